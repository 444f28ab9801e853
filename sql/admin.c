/* Administrative statements: rows, session, dispatch. Contract: sql/db_int.h, sql/admin_int.h. */
#include "sql/admin_int.h"

#include <ctype.h>
#include <stdio.h>

/* ---- rows ---- */

static void builders_new(struct tni_out *out)
{
    for (uint32_t i = 0; i < out->schema->fields_count; i++)
        out->builders[i] = tn_colbuilder_new(out->schema->fields[i].type, out->arena);
    out->rows_count = 0;
    out->cell = 0;
}

enum tn_status tni_out_begin(struct tni_out *out, struct tn_rows *rows, struct tn_arena *arena,
                             const struct tni_out_column *columns, uint32_t columns_count,
                             struct tn_err *err)
{
    TN_ASSERT(columns_count <= TNI_OUT_COLUMNS_MAX);
    struct tn_schema *schema = TN_ARENA_NEW(arena, struct tn_schema);
    struct tn_field *fields = TN_ARENA_ARRAY(arena, struct tn_field, columns_count);
    for (uint32_t i = 0; i < columns_count; i++)
        fields[i] = (struct tn_field){tn_str_of(columns[i].name), tn_type_of(columns[i].kind)};
    *schema = (struct tn_schema){columns_count, fields};
    *out = (struct tni_out){.rows = rows, .arena = arena, .schema = schema};
    builders_new(out);
    return rows->columns(rows, schema, err);
}

static void cell(struct tni_out *out, struct tn_value *value)
{
    value->type = out->schema->fields[out->cell].type;
    tn_colbuilder_add(out->builders[out->cell++], value);
}

void tni_out_str(struct tni_out *out, struct tn_str text)
{
    struct tn_value value = {.is_null = !text.ptr, .s = text};
    cell(out, &value);
}

void tni_out_text(struct tni_out *out, const char *text)
{
    tni_out_str(out, tn_str_of(text));
}

void tni_out_i64(struct tni_out *out, int64_t value)
{
    cell(out, &(struct tn_value){.i = value});
}

void tni_out_double(struct tni_out *out, double value)
{
    cell(out, &(struct tn_value){.d = value});
}

void tni_out_bool(struct tni_out *out, bool value)
{
    cell(out, &(struct tn_value){.b = value});
}

static enum tn_status flush(struct tni_out *out, struct tn_err *err)
{
    if (!out->rows_count)
        return TN_OK;
    struct tn_batch *batch = tn_batch_new(out->schema, out->rows_count, out->arena);
    for (uint32_t i = 0; i < out->schema->fields_count; i++)
        tn_colbuilder_finish(out->builders[i], &batch->columns[i]);
    builders_new(out);
    return out->rows->batch(out->rows, batch, err);
}

enum tn_status tni_out_row(struct tni_out *out, struct tn_err *err)
{
    TN_ASSERT(out->cell == out->schema->fields_count);
    out->cell = 0;
    if (++out->rows_count < TN_BATCH_ROWS_MAX)
        return TN_OK;
    return flush(out, err);
}

enum tn_status tni_out_end(struct tni_out *out, struct tn_err *err)
{
    return flush(out, err);
}

enum tn_status tni_message(struct tn_rows *rows, struct tn_arena *arena, const char *message,
                           struct tn_err *err)
{
    static const struct tni_out_column columns[] = {{"message", TN_K_VARCHAR}};
    struct tni_out out;
    TN_TRY(tni_out_begin(&out, rows, arena, columns, 1, err));
    tni_out_text(&out, message);
    TN_TRY(tni_out_row(&out, err));
    return tni_out_end(&out, err);
}

enum tn_status tni_row_count(struct tn_rows *rows, struct tn_arena *arena, int64_t count,
                             struct tn_err *err)
{
    static const struct tni_out_column columns[] = {{"rows", TN_K_BIGINT}};
    struct tni_out out;
    TN_TRY(tni_out_begin(&out, rows, arena, columns, 1, err));
    tni_out_i64(&out, count);
    TN_TRY(tni_out_row(&out, err));
    return tni_out_end(&out, err);
}

/* ---- helpers ---- */

static bool like_here(const char *text, const char *text_end, const char *pattern,
                      const char *pattern_end, char escape)
{
    for (; pattern < pattern_end; pattern++) {
        bool is_literal = escape && *pattern == escape && pattern + 1 < pattern_end;
        if (is_literal) {
            pattern++;
        } else if (*pattern == '%') {
            for (const char *at = text; at <= text_end; at++)
                if (like_here(at, text_end, pattern + 1, pattern_end, escape))
                    return true;
            return false;
        }
        if (text == text_end)
            return false;
        if ((is_literal || *pattern != '_') &&
            tolower((unsigned char)*pattern) != tolower((unsigned char)*text))
            return false;
        text++;
    }
    return text == text_end;
}

bool tni_like(struct tn_str text, struct tn_str pattern, struct tn_str escape)
{
    if (!pattern.ptr)
        return true;
    return like_here(text.ptr, text.ptr + text.len, pattern.ptr, pattern.ptr + pattern.len,
                     escape.len ? escape.ptr[0] : 0);
}

const char *tni_type_print(struct tn_arena *arena, const struct tn_type *type, bool is_trino)
{
    struct tn_buf buf;
    tn_buf_init(&buf, 64u << 10);
    if (is_trino)
        tn_type_print_trino(type, &buf);
    else
        tn_type_print_ksql(type, &buf);
    const char *text = tn_arena_strdup(arena, tn_buf_cstr(&buf));
    tn_buf_release(&buf);
    return text;
}

const char *tni_lower_case(struct tn_arena *arena, const char *text)
{
    char *copy = tn_arena_strdup(arena, text);
    for (char *p = copy; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    return copy;
}

/* ---- session ---- */

static enum tn_status run_use(struct tni_admin *admin, struct tn_err *err)
{
    const struct tn_ast_use *use = admin->stmt->use;
    struct tn_str schema_name = use->schema.text, catalog = use->catalog.text;
    if (catalog.ptr && !tn_str_eq_nocase(catalog, TN_STR("tarn")) &&
        !tn_str_eq_nocase(catalog, TN_STR("hive")))
        return tn_err_at(err, TN_E_NAME, "CATALOG_NOT_FOUND", use->catalog.line, use->catalog.col,
                         "Catalog '%.*s' not found", TN_STR_FMT(catalog));
    if (!tn_catalog_has_schema(admin->catalog, schema_name))
        return tn_err_at(err, TN_E_NAME, "SCHEMA_NOT_FOUND", use->schema.line, use->schema.col,
                         "Schema '%.*s' does not exist", TN_STR_FMT(schema_name));
    if (catalog.ptr)
        snprintf(admin->session->catalog, sizeof admin->session->catalog, "%.*s",
                 TN_STR_FMT(catalog));
    snprintf(admin->session->schema, sizeof admin->session->schema, "%.*s",
             TN_STR_FMT(schema_name));
    return tni_message(admin->rows, admin->arena,
                       tn_arena_printf(admin->arena, "using %s.%s", admin->session->catalog,
                                       admin->session->schema),
                       err);
}

static enum tn_status run_set(struct tni_admin *admin, struct tn_err *err)
{
    const struct tn_ast_set_stmt *set = admin->stmt->set;
    bool is_unset = admin->stmt->kind == TN_AS_UNSET;
    if (!tn_str_eq_nocase(set->key, TN_STR("auto.offset.reset")) &&
        !tn_str_eq_nocase(set->key, TN_STR("ksql.streams.auto.offset.reset"))) {
        tn_err_at(err, TN_E_INVALID, "INVALID_SESSION_PROPERTY", set->line, set->col,
                  "no session property '%.*s'", TN_STR_FMT(set->key));
        tn_err_hint(err, "auto.offset.reset can be set; other options are set when tarn starts");
        return TN_E_INVALID;
    }
    if (is_unset)
        admin->session->offset_reset = 0;
    else if (tn_str_eq_nocase(set->text, TN_STR("earliest")))
        admin->session->offset_reset = 1;
    else if (tn_str_eq_nocase(set->text, TN_STR("latest")))
        admin->session->offset_reset = 2;
    else
        return tn_err_at(err, TN_E_INVALID, "INVALID_SESSION_PROPERTY", set->line, set->col,
                         "auto.offset.reset is 'earliest' or 'latest', not '%.*s'",
                         TN_STR_FMT(set->text));
    return tni_message(
        admin->rows, admin->arena,
        is_unset ? "auto.offset.reset is the server's again" : "auto.offset.reset is set", err);
}

static enum tn_status run_define(struct tni_admin *admin, struct tn_err *err)
{
    const struct tn_ast_set_stmt *set = admin->stmt->set;
    struct tn_session *session = admin->session;
    uint32_t at = 0;
    while (at < session->vars_count &&
           !tn_str_eq_nocase(set->key, tn_str_of(session->vars[at].name)))
        at++;
    if (admin->stmt->kind == TN_AS_UNDEFINE) {
        if (at == session->vars_count)
            return tn_err_at(err, TN_E_NAME, "NOT_FOUND", set->line, set->col, "no variable '%.*s'",
                             TN_STR_FMT(set->key));
        session->vars[at] = session->vars[--session->vars_count];
        return tni_message(admin->rows, admin->arena, "undefined", err);
    }
    struct tn_session_var *var = &session->vars[at];
    if (at == sizeof session->vars / sizeof *session->vars)
        return tn_err_at(err, TN_E_LIMIT, "EXCEEDED_LIMIT", set->line, set->col,
                         "a session has at most %zu variables",
                         sizeof session->vars / sizeof *session->vars);
    if (set->key.len >= sizeof var->name || set->text.len >= sizeof var->value)
        return tn_err_at(err, TN_E_LIMIT, "EXCEEDED_LIMIT", set->line, set->col,
                         "a variable has a name below %zu and a value below %zu bytes",
                         sizeof var->name, sizeof var->value);
    snprintf(var->name, sizeof var->name, "%.*s", TN_STR_FMT(set->key));
    snprintf(var->value, sizeof var->value, "%.*s", TN_STR_FMT(set->text));
    if (at == session->vars_count)
        session->vars_count++;
    return tni_message(admin->rows, admin->arena, "defined", err);
}

/* ---- what later versions bring ---- */

enum tn_status tni_refuse_later(const struct tn_ast_stmt *stmt, struct tn_err *err)
{
    if (stmt->kind == TN_AS_REFUSED) {
        tni_not_supported(err, stmt->line, stmt->col, "%s is not supported", stmt->refused->what);
        if (stmt->refused->hint)
            tn_err_hint(err, "%s", stmt->refused->hint);
        return TN_E_UNSUPPORTED;
    }
    switch (stmt->kind) {
    case TN_AS_CREATE_JOB:
        return tni_not_supported(err, stmt->line, stmt->col, "CREATE JOB is not supported yet");
    case TN_AS_CREATE_CONNECTOR:
        tni_not_supported(err, stmt->line, stmt->col,
                          "CREATE CONNECTOR is not supported: there are no connectors");
        tn_err_hint(err, "sources are streams with INGEST_PATH, sinks are CREATE SINK");
        return TN_E_UNSUPPORTED;
    default:
        return tni_not_supported(err, stmt->line, stmt->col, "%s is not supported yet",
                                 tn_ast_stmt_text(stmt->kind));
    }
}

enum tn_status tni_admin_run(struct tn_db *db, const struct tn_catalog *catalog,
                             struct tn_session *session, const struct tn_ast_stmt *stmt,
                             struct tn_budget *budget, struct tn_arena *arena, struct tn_rows *rows,
                             struct tn_err *err)
{
    struct tni_admin admin = {db, catalog, session, stmt, budget, arena, rows};
    switch (stmt->kind) {
    case TN_AS_SHOW: return tni_admin_show(&admin, err);
    case TN_AS_DESCRIBE: return tni_admin_describe(&admin, err);
    case TN_AS_EXPLAIN: return tni_admin_explain(&admin, err);
    case TN_AS_USE: return run_use(&admin, err);
    case TN_AS_SET:
    case TN_AS_UNSET: return run_set(&admin, err);
    case TN_AS_DEFINE:
    case TN_AS_UNDEFINE: return run_define(&admin, err);
    default: return tni_refuse_later(stmt, err);
    }
}
