/* Statements of the Trino protocol that only change the client's session. The server keeps no
 * session: each answers headers that the client sends back with its next statements.
 *
 * All begin with one of a few words, so everything else is not parsed twice. Under X-Presto headers
 * they answer one column `result` with one row `true`, as old clients of Presto need; else no
 * columns.
 * @thread the one that runs the statement */
#include <stdio.h>
#include <sys/random.h>

#include "sql/admin_int.h"
#include "sql/bind.h"
#include "sql/parse.h"
#include "sql/trino_int.h"
#include "stream/base/mem.h"
#include "stream/base/zone.h"

struct run {
    struct tni_trino_query *query;
    struct tn_session *session;
    const struct tn_ast_stmt *stmt;
    const struct tn_catalog *catalog;
    struct tn_arena *arena;
};

/* Does the text begin with a word of ours? */
static bool is_ours(struct tn_str text)
{
    static const char *const words[] = {"USE",   "SET",    "RESET",    "PREPARE", "DEALLOCATE",
                                        "START", "COMMIT", "ROLLBACK", "CALL"};
    size_t at = 0;
    while (at < text.len &&
           (text.ptr[at] == '-' || text.ptr[at] == '/' || (unsigned char)text.ptr[at] <= ' ')) {
        if (text.ptr[at] == '-' && at + 1 < text.len && text.ptr[at + 1] == '-') {
            while (at < text.len && text.ptr[at] != '\n')
                at++;
        } else if (text.ptr[at] == '/' && at + 1 < text.len && text.ptr[at + 1] == '*') {
            const char *end = memmem(text.ptr + at, text.len - at, "*/", 2);
            at = end ? (size_t)(end - text.ptr) + 2 : text.len;
        } else {
            at++;
        }
    }
    size_t len = 0;
    while (at + len < text.len && ((text.ptr[at + len] | 0x20) >= 'a') &&
           (text.ptr[at + len] | 0x20) <= 'z')
        len++;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (tn_str_eq_nocase((struct tn_str){text.ptr + at, len}, tn_str_of(words[i])))
            return true;
    return false;
}

static void url_encode(struct tn_buf *buf, struct tn_str text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                        (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.' || c == '*';
        if (is_plain)
            tn_buf_add_byte(buf, (char)c);
        else if (c == ' ')
            tn_buf_add_byte(buf, '+');
        else
            tn_buf_printf(buf, "%%%02X", c);
    }
}

/* "name=urlenc(value)", or urlenc(name) alone. */
static void set_pair(struct run *run, const char *suffix, struct tn_str name,
                     const struct tn_str *value, bool is_name_encoded)
{
    struct tn_buf buf;
    tn_buf_init(&buf, 4u << 20);
    if (is_name_encoded)
        url_encode(&buf, name);
    else
        tn_buf_add_str(&buf, name);
    if (value) {
        tn_buf_add_byte(&buf, '=');
        url_encode(&buf, *value);
    }
    (void)tn_buf_cstr(&buf);
    size_t len;
    char *text = tn_buf_detach(&buf, &len);
    tni_trino_query_set(run->query, suffix, text);
}

/* ---- USE ---- */

static enum tn_status run_use(struct run *run, struct tn_err *err)
{
    const struct tn_ast_use *use = run->stmt->use;
    struct tn_str catalog = use->catalog.text, name = use->schema.text;
    if (catalog.ptr && !tn_catalog_is_name(catalog))
        return tn_err_at(err, TN_E_NAME, "CATALOG_NOT_FOUND", 0, 0, "Catalog '%.*s' not found",
                         TN_STR_FMT(catalog));
    if (!catalog.ptr)
        catalog = tn_str_of(run->session->catalog);
    if (!tn_catalog_schema(run->catalog, catalog, name).ptr) {
        const char *lower = tni_lower_case(run->arena, tn_arena_str(run->arena, name).ptr);
        return tn_err_at(err, TN_E_NAME, "NOT_FOUND", 0, 0, "Schema does not exist: %.*s.%s",
                         TN_STR_FMT(catalog), lower);
    }
    if (use->catalog.text.ptr)
        set_pair(run, "Set-Catalog", catalog, NULL, false);
    set_pair(run, "Set-Schema", name, NULL, false);
    return TN_OK;
}

/* ---- SET SESSION, SET TIME ZONE ---- */

static enum tn_status constant_text(struct run *run, const struct tn_ast_expr *ast,
                                    const char *what, struct tn_str *ret_text, struct tn_err *err)
{
    struct tni_bind bind;
    struct tn_value value;
    struct tn_buf buf;
    tni_bind_init(&bind, run->arena, TN_RULES_QUERY, run->catalog, run->session,
                  tn_wall_ms(run->query->trino->config.clock));
    TN_TRY(tni_bind_constant(&bind, ast, NULL, what, &value, err));
    if (value.is_null)
        return tn_err_at(err, TN_E_INVALID, "INVALID_SESSION_PROPERTY", ast->line, ast->col,
                         "%s must not be null", what);
    struct tn_colbuilder *builder = tn_colbuilder_new(value.type, run->arena);
    struct tn_column col;
    tn_colbuilder_add(builder, &value);
    tn_colbuilder_finish(builder, &col);
    tn_buf_init(&buf, 64u << 10);
    tn_cell_text(&buf, &col, 0);
    *ret_text = tn_arena_str(run->arena, tn_buf_str(&buf));
    tn_buf_release(&buf);
    return TN_OK;
}

static enum tn_status run_set_session(struct run *run, struct tn_err *err)
{
    const struct tn_ast_set_stmt *set = run->stmt->set;
    struct tn_str name = tn_ast_last(set->name).text, value;
    struct tn_session try = *run->session;
    if (set->name->parts_count > 1)
        return tn_err_at(err, TN_E_INVALID, "INVALID_SESSION_PROPERTY", set->line, set->col,
                         "Session property '%.*s.%.*s' does not exist",
                         TN_STR_FMT(set->name->parts[0].text), TN_STR_FMT(name));
    if (run->stmt->kind == TN_AS_RESET_SESSION) {
        struct tn_err ignored = TN_ERR_INIT;
        bool is_known = false;
        for (size_t i = 0; i < tni_session_properties_count; i++)
            is_known |= tn_str_eq_nocase(name, tn_str_of(tni_session_properties[i].name));
        if (!is_known)
            return tn_session_property(&try, name, TN_STR("1s"), err ? err : &ignored) == TN_OK
                       ? (set_pair(run, "Clear-Session", name, NULL, true), TN_OK)
                       : TN_E_INVALID;
        set_pair(run, "Clear-Session", name, NULL, true);
        return TN_OK;
    }
    TN_TRY(constant_text(run, set->value, "a session property", &value, err));
    enum tn_status st = tn_session_property(&try, name, value, err);
    if (tn_failed(st)) {
        if (err) {
            err->line = set->line;
            err->col = set->col;
        }
        return st;
    }
    set_pair(run, "Set-Session", name, &value, true);
    return TN_OK;
}

static enum tn_status run_set_time_zone(struct run *run, struct tn_err *err)
{
    const struct tn_ast_set_stmt *set = run->stmt->set;
    struct tn_str value;
    if (!set->value) {
        set_pair(run, "Clear-Session", TN_STR("time_zone_id"), NULL, true);
        return TN_OK;
    }
    TN_TRY(constant_text(run, set->value, "a time zone", &value, err));
    if (!tn_zone_find(value))
        return tn_err_at(err, TN_E_UNSUPPORTED, "NOT_SUPPORTED", run->stmt->line, run->stmt->col,
                         "Time zone not supported: %.*s", TN_STR_FMT(value));
    set_pair(run, "Set-Session", TN_STR("time_zone_id"), &value, true);
    return TN_OK;
}

static enum tn_status run_set_role(struct run *run, struct tn_err *err)
{
    struct tn_str role = run->stmt->set->key;
    if (!tn_str_eq_nocase(role, TN_STR("ALL")) && !tn_str_eq_nocase(role, TN_STR("NONE")))
        return tn_err_at(err, TN_E_NAME, "ROLE_NOT_FOUND", run->stmt->line, run->stmt->col,
                         "Role '%.*s' does not exist", TN_STR_FMT(role));
    tni_trino_query_set(
        run->query, "Set-Role",
        tn_strdup(tn_str_eq_nocase(role, TN_STR("ALL")) ? "system=ALL" : "system=NONE"));
    return TN_OK;
}

/* ---- PREPARE ---- */

static enum tn_status run_prepare(struct run *run, struct tn_err *err)
{
    const struct tn_ast_prepare *prepare = run->stmt->prepare;
    const struct tn_ast_stmt *inner = prepare->stmt;
    if (inner->kind == TN_AS_PREPARE || inner->kind == TN_AS_EXECUTE ||
        inner->kind == TN_AS_EXECUTE_IMMEDIATE || inner->kind == TN_AS_DEALLOCATE)
        return tni_not_supported(err, inner->line, inner->col,
                                 "Invalid statement type for prepared statement: %s",
                                 tn_ast_stmt_text(inner->kind));
    set_pair(run, "Added-Prepare", prepare->name.text, &inner->text, true);
    return TN_OK;
}

static enum tn_status run_deallocate(struct run *run, struct tn_err *err)
{
    struct tn_str name = run->stmt->prepare->name.text, text;
    TN_TRY(tni_prepared_text(run->session, name, &text, err));
    set_pair(run, "Deallocated-Prepare", name, NULL, true);
    return TN_OK;
}

/* ---- CALL ---- */

static enum tn_status run_call(struct run *run, struct tn_err *err)
{
    const struct tn_ast_call_stmt *call = run->stmt->call;
    const struct tn_ident *parts = call->name->parts;
    struct tn_str id = {NULL, 0}, message = TN_STR("");
    bool is_kill = call->name->parts_count == 3 &&
                   tn_str_eq_nocase(parts[0].text, TN_STR("system")) &&
                   tn_str_eq_nocase(parts[1].text, TN_STR("runtime")) &&
                   tn_str_eq_nocase(parts[2].text, TN_STR("kill_query"));
    if (!is_kill)
        return tn_err_at(err, TN_E_NAME, "PROCEDURE_NOT_FOUND", run->stmt->line, run->stmt->col,
                         "Procedure not registered: %.*s; there is system.runtime.kill_query",
                         TN_STR_FMT(tn_ast_last(call->name).text));
    for (uint32_t i = 0; i < call->args_count; i++) {
        struct tn_str name = call->names ? call->names[i].text : (struct tn_str){NULL, 0};
        bool is_id = name.ptr ? tn_str_eq_nocase(name, TN_STR("query_id")) : i == 0;
        bool is_message = name.ptr ? tn_str_eq_nocase(name, TN_STR("message")) : i == 1;
        if (!is_id && !is_message)
            return tn_err_at(err, TN_E_INVALID, "INVALID_ARGUMENTS", call->args[i]->line,
                             call->args[i]->col, "kill_query takes query_id and message");
        TN_TRY(constant_text(run, call->args[i], "an argument of kill_query",
                             is_id ? &id : &message, err));
    }
    if (!id.ptr)
        return tn_err_at(err, TN_E_INVALID, "INVALID_ARGUMENTS", run->stmt->line, run->stmt->col,
                         "Required procedure argument 'QUERY_ID' is missing");
    struct tni_trino_query *target = tni_trino_query_find(run->query->trino, id);
    if (!target)
        return tn_err_at(err, TN_E_NAME, "NOT_FOUND", 0, 0, "Target query not found: %.*s",
                         (int)(id.len < 80 ? id.len : 80), id.ptr);
    tni_trino_query_cancel(target, tn_arena_str(run->arena, message).ptr);
    tni_trino_query_unref(target);
    return TN_OK;
}

/* ---- transactions ---- */

static enum tn_status run_transaction(struct run *run, struct tn_err *err)
{
    struct tni_trino_client *client = &run->query->client;
    if (!client->has_transactions)
        return tn_err_at(err, TN_E_INVALID, "INCOMPATIBLE_CLIENT", 0, 0,
                         "Client does not support transactions");
    if (run->stmt->kind == TN_AS_START_TRANSACTION) {
        char id[40];
        if (client->transaction[0])
            return tni_not_supported(err, 0, 0, "Nested transactions not supported");
        TN_TRY(tni_trino_tx_start(run->query->trino, id, err));
        tni_trino_query_set(run->query, "Started-Transaction-Id", tn_strdup(id));
        return TN_OK;
    }
    if (!client->transaction[0])
        return tn_err_at(err, TN_E_INVALID, "NOT_IN_TRANSACTION", 0, 0,
                         "No transaction in progress");
    bool is_aborted = tni_trino_tx_end(run->query->trino, client->transaction);
    tni_trino_query_set(run->query, "Clear-Transaction-Id", tn_strdup("true"));
    if (is_aborted && run->stmt->kind == TN_AS_COMMIT)
        return tn_err_at(err, TN_E_INVALID, "TRANSACTION_ALREADY_ABORTED", 0, 0,
                         "Current transaction is aborted, commands ignored until end of "
                         "transaction block");
    return TN_OK;
}

/* ---- dispatch ---- */

static enum tn_status run_stmt(struct run *run, bool *ret_is_done, struct tn_err *err)
{
    *ret_is_done = true;
    switch (run->stmt->kind) {
    case TN_AS_USE: return run_use(run, err);
    case TN_AS_SET_SESSION:
    case TN_AS_RESET_SESSION: return run_set_session(run, err);
    case TN_AS_SET_TIME_ZONE: return run_set_time_zone(run, err);
    case TN_AS_SET_ROLE: return run_set_role(run, err);
    case TN_AS_RESET_AUTHORIZATION:
        tni_trino_query_set(run->query, "Reset-Authorization-User", tn_strdup("true"));
        return TN_OK;
    case TN_AS_PREPARE: return run_prepare(run, err);
    case TN_AS_DEALLOCATE: return run_deallocate(run, err);
    case TN_AS_CALL: return run_call(run, err);
    case TN_AS_START_TRANSACTION:
    case TN_AS_COMMIT:
    case TN_AS_ROLLBACK: return run_transaction(run, err);
    default: *ret_is_done = false; return TN_OK;
    }
}

static enum tn_status answer(struct run *run, struct tn_rows *rows, struct tn_err *err)
{
    struct tni_trino_query *query = run->query;
    if (query->client.is_presto) {
        static const struct tni_out_column columns[] = {{"result", TN_K_BOOLEAN}};
        struct tni_out out;
        TN_TRY(tni_out_begin(&out, rows, run->arena, columns, 1, err));
        tni_out_bool(&out, true);
        TN_TRY(tni_out_row(&out, err));
        return tni_out_end(&out, err);
    }
    static const struct tn_schema none = {0, NULL};
    return rows->columns(rows, &none, err);
}

enum tn_status tni_trino_session_run(struct tni_trino_query *query, struct tn_rows *rows,
                                     bool *ret_is_done, struct tn_err *err)
{
    struct tn_str text = {query->text, query->text_len};
    struct tn_ast_stmt *stmt;
    if (!is_ours(text))
        return TN_OK;
    TN_TRY(tn_parse_statement(text, NULL, &query->arena, &stmt, err));
    struct run run = {.query = query,
                      .session = &query->session,
                      .stmt = stmt,
                      .catalog = tn_db_catalog(query->trino->config.db),
                      .arena = &query->arena};
    query->update_type = tni_update_type(stmt);
    enum tn_status st = run_stmt(&run, ret_is_done, err);
    if (!tn_failed(st) && *ret_is_done)
        st = answer(&run, rows, err);
    if (!*ret_is_done)
        query->update_type = NULL;
    tn_catalog_unref(run.catalog);
    return st;
}
