/* Module tarn_table and function tarn_attach of the SQLite extension: tables of a running tarn,
 * over its POST /sql. See sql/ext/tarn_sqlite.c.
 *
 * A scan asks for the columns it reads, with the constraints that mean the same on both sides as
 * WHERE (keys are looked up there), and keeps the answer as text of one JSON array a row.
 * The address is url='http://…' or the file <state>/endpoint that a running tarn keeps.
 */
#include "sql/ext/ext_int.h"

#include <inttypes.h>
#include <stdio.h>

#include "connectors/http_client.h"
#include "connectors/json_scan.h"
#include "stream/base/mem.h"

SQLITE_EXTENSION_INIT3

#define TIMEOUT_MS    60000
#define ANSWER_MAX    ((size_t)1 << 30)
#define URL_MAX_BYTES 1024

struct table_vtab {
    sqlite3_vtab base; /* first */
    struct tn_arena arena;
    char url[URL_MAX_BYTES];
    const char *name; /* quoted, for SQL */
    struct tn_schema *schema;
};

struct table_cursor {
    sqlite3_vtab_cursor base; /* first */
    struct tn_buf answer;
    size_t next;       /* row behind the current one */
    struct tn_str row; /* the current object */
    int *order;        /* column → place among those asked for, −1 = not asked */
    struct tn_str *cells;
    int cells_count;
    sqlite3_int64 rowid;
    bool is_end;
};

/* ---- HTTP ---- */

static enum tn_status find_url(const char *state, char *ret_url, struct tn_err *err)
{
    char path[4096];
    if (strncmp(state, "http://", 7) == 0 || strncmp(state, "https://", 8) == 0) {
        snprintf(ret_url, URL_MAX_BYTES, "%s", state);
        return TN_OK;
    }
    snprintf(path, sizeof path, "%s/endpoint", state);
    FILE *file = fopen(path, "r");
    if (!file || !fgets(ret_url, URL_MAX_BYTES, file)) {
        if (file)
            fclose(file);
        tn_err_set(err, TN_E_NAME, "no running tarn found: cannot read '%s'", path);
        tn_err_hint(err, "start one: tarn run FILE --state %s", state);
        return TN_E_NAME;
    }
    fclose(file);
    ret_url[strcspn(ret_url, "\r\n")] = 0;
    return TN_OK;
}

static bool add_bytes(void *ctx, struct tn_str bytes)
{
    tn_buf_add_str(ctx, bytes);
    return !tn_buf_over(ctx);
}

static enum tn_status ask(const char *url, struct tn_str sql, struct tn_buf *ret_answer,
                          struct tn_err *err)
{
    static const struct tn_http_header_pair headers[] = {{"Accept", "application/x-ndjson"},
                                                         {"Content-Type", "text/plain"}};
    struct tn_http_client *client = NULL;
    struct tn_http_response response = {.status = 0};
    enum tn_status st = tn_http_client_new(url, TIMEOUT_MS, &client, err);
    if (!tn_failed(st))
        st = tn_http_call_stream(client, "POST", "/sql", headers, 2, sql, add_bytes, ret_answer,
                                 &response, err);
    if (!tn_failed(st) && response.status >= 400)
        st = tn_http_response_error(&response, err);
    tn_http_client_free(client);
    if (st == TN_E_IO && err && !err->hint[0])
        tn_err_hint(err, "is it running? tarn run FILE --state DIR");
    return st;
}

/* ---- rows of the answer ---- */

/* Next line of the answer; false at its end. */
static bool next_line(const struct tn_buf *answer, size_t *io_at, struct tn_str *ret_line)
{
    while (*io_at < answer->len) {
        const char *from = answer->ptr + *io_at;
        const char *newline = memchr(from, '\n', answer->len - *io_at);
        size_t len = newline ? (size_t)(newline - from) : answer->len - *io_at;
        *io_at += len + 1;
        *ret_line = (struct tn_str){from, len};
        if (len)
            return true;
    }
    return false;
}

/* Raw values of the members of a row, in order. */
static int split_row(struct tn_str row, struct tn_str *cells, int cells_max)
{
    struct tn_json json = {row.ptr + 1, row.ptr + row.len, NULL, 256};
    for (int count = 0;; count++) {
        struct tn_str name;
        unsigned flags;
        bool is_done;
        if (!tn_json_member(&json, count == 0, &is_done, &name, &flags) || is_done ||
            count == cells_max)
            return count;
        const char *from = json.p;
        if (!tn_json_skip(&json))
            return count;
        cells[count] = (struct tn_str){from, (size_t)(json.p - from)};
    }
}

/* Text of a raw JSON string; others as they stand. */
static struct tn_str cell_text(struct tn_str raw, struct tn_arena *arena)
{
    if (raw.len < 2 || raw.ptr[0] != '"')
        return raw;
    char *to = tn_arena_alloc(arena, raw.len);
    size_t len = tn_json_unescape((struct tn_str){raw.ptr + 1, raw.len - 2}, to);
    to[len] = 0;
    return (struct tn_str){to, len};
}

/* ---- the table ---- */

static int table_disconnect(sqlite3_vtab *base)
{
    tn_arena_release(&((struct table_vtab *)base)->arena);
    tn_free(base);
    return SQLITE_OK;
}

static const struct tn_type *type_of(struct tn_str text)
{
    static const struct {
        const char *name;
        enum tn_kind kind;
    } names[] = {{"integer", TN_K_INTEGER},
                 {"bigint", TN_K_BIGINT},
                 {"double", TN_K_DOUBLE},
                 {"boolean", TN_K_BOOLEAN},
                 {"date", TN_K_DATE}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (tn_str_eq(text, tn_str_of(names[i].name)))
            return tn_type_of(names[i].kind);
    if (text.len >= 9 && !memcmp(text.ptr, "timestamp", 9))
        return tn_type_of(TN_K_TIMESTAMP);
    return tn_type_of(TN_K_VARCHAR);
}

static void add_literal(struct tn_buf *sql, struct tn_str text)
{
    tn_buf_add_byte(sql, '\'');
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '\'')
            tn_buf_add_byte(sql, '\'');
        tn_buf_add_byte(sql, text.ptr[i]);
    }
    tn_buf_add_byte(sql, '\'');
}

static void add_name(struct tn_buf *sql, struct tn_str text)
{
    tn_buf_add_byte(sql, '"');
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '"')
            tn_buf_add_byte(sql, '"');
        tn_buf_add_byte(sql, text.ptr[i]);
    }
    tn_buf_add_byte(sql, '"');
}

static enum tn_status read_columns(struct table_vtab *vtab, const char *schema_name,
                                   const char *table, struct tn_err *err)
{
    struct tn_buf sql, answer;
    struct tn_field *fields = TN_ARENA_ARRAY(&vtab->arena, struct tn_field, 2000);
    struct tn_schema *schema = TN_ARENA_NEW(&vtab->arena, struct tn_schema);
    tn_buf_init(&sql, 1u << 16);
    tn_buf_init(&answer, (size_t)16 << 20);
    tn_buf_add_text(&sql, "SELECT column_name, data_type FROM information_schema.columns WHERE "
                          "table_schema = lower(");
    add_literal(&sql, tn_str_of(schema_name));
    tn_buf_add_text(&sql, ") AND table_name = lower(");
    add_literal(&sql, tn_str_of(table));
    tn_buf_add_text(&sql, ") ORDER BY ordinal_position");
    enum tn_status st = ask(vtab->url, tn_buf_str(&sql), &answer, err);
    struct tn_str row, cells[2];
    for (size_t at = 0; !tn_failed(st) && next_line(&answer, &at, &row);) {
        if (split_row(row, cells, 2) != 2 || schema->fields_count == 2000)
            continue;
        struct tn_field *field = &fields[schema->fields_count++];
        field->name = tn_arena_str(&vtab->arena, cell_text(cells[0], &vtab->arena));
        field->type = type_of(cell_text(cells[1], &vtab->arena));
    }
    schema->fields = fields;
    vtab->schema = schema;
    if (!tn_failed(st) && !schema->fields_count)
        st = tn_err_set(err, TN_E_NAME, "no table '%s.%s' at %s", schema_name, table, vtab->url);
    tn_buf_release(&sql);
    tn_buf_release(&answer);
    return st;
}

static enum tn_status table_arguments(struct table_vtab *vtab, int argc, const char *const *argv,
                                      struct tn_err *err)
{
    const char *state = NULL, *table = argv[2], *schema_name = "default";
    for (int i = 3; i < argc; i++) {
        struct tn_str name = {0};
        char *value = NULL;
        bool is_option = tni_ext_option(&vtab->arena, argv[i], &name, &value);
        if (is_option &&
            (tn_str_eq_nocase(name, TN_STR("state")) || tn_str_eq_nocase(name, TN_STR("url"))))
            state = value;
        else if (is_option && tn_str_eq_nocase(name, TN_STR("table")))
            table = value;
        else if (is_option && tn_str_eq_nocase(name, TN_STR("schema")))
            schema_name = value;
        else
            return tn_err_set(err, TN_E_INVALID,
                              "'%s': tarn_table takes state, url, schema and table", argv[i]);
    }
    if (!state) {
        tn_err_set(err, TN_E_INVALID, "the address is missing");
        tn_err_hint(err, "USING tarn_table(state='/folder', table='t'), or url='http://…'");
        return TN_E_INVALID;
    }
    TN_TRY(find_url(state, vtab->url, err));
    struct tn_buf quoted;
    tn_buf_init(&quoted, 4096);
    add_name(&quoted, tn_str_of(schema_name));
    tn_buf_add_byte(&quoted, '.');
    add_name(&quoted, tn_str_of(table));
    vtab->name = tn_arena_strdup(&vtab->arena, tn_buf_cstr(&quoted));
    tn_buf_release(&quoted);
    return read_columns(vtab, schema_name, table, err);
}

static int table_connect(sqlite3 *db, void *aux, int argc, const char *const *argv,
                         sqlite3_vtab **ret_vtab, char **ret_message)
{
    struct tn_err err = TN_ERR_INIT;
    struct table_vtab *vtab = tn_alloc(sizeof *vtab);
    (void)aux;
    tn_arena_init(&vtab->arena, 0);
    int rc = SQLITE_ERROR;
    if (!tn_failed(table_arguments(vtab, argc, argv, &err)))
        rc = tni_ext_declare(db, vtab->schema, &err);
    if (rc != SQLITE_OK) {
        (void)table_disconnect(&vtab->base);
        return tni_ext_fail(ret_message, &err);
    }
    *ret_vtab = &vtab->base;
    return SQLITE_OK;
}

static int table_plan(sqlite3_vtab *base, sqlite3_index_info *info)
{
    return tni_ext_plan(((struct table_vtab *)base)->schema, info, true);
}

/* ---- cursors ---- */

static int table_open(sqlite3_vtab *base, sqlite3_vtab_cursor **ret_cursor)
{
    struct table_vtab *vtab = (struct table_vtab *)base;
    struct table_cursor *cursor = tn_alloc(sizeof *cursor);
    tn_buf_init(&cursor->answer, ANSWER_MAX);
    cursor->order = tn_alloc_array((size_t)vtab->schema->fields_count + 1, sizeof(int));
    cursor->cells = tn_alloc_array((size_t)vtab->schema->fields_count + 1, sizeof(struct tn_str));
    *ret_cursor = &cursor->base;
    return SQLITE_OK;
}

static int table_close(sqlite3_vtab_cursor *base)
{
    struct table_cursor *cursor = (struct table_cursor *)base;
    tn_buf_release(&cursor->answer);
    tn_free(cursor->order);
    tn_free(cursor->cells);
    tn_free(cursor);
    return SQLITE_OK;
}

static const char *operator_text(char letter)
{
    return letter == '='   ? " = "
           : letter == '<' ? " < "
           : letter == 'l' ? " <= "
           : letter == '>' ? " > "
                           : " >= ";
}

/* Constraints whose literal means the same in tarn: integers on integer columns, text on VARCHAR.
 */
static void add_where(const struct table_vtab *vtab, const char *plan, sqlite3_value **argv,
                      struct tn_buf *sql)
{
    char *at;
    const char *word = " WHERE ";
    (void)strtoull(plan, &at, 16);
    for (int i = 0; *at; i++) {
        char letter = *at++;
        int column = (int)strtol(at, &at, 10);
        enum tn_kind kind = vtab->schema->fields[column].type->kind;
        int type = sqlite3_value_type(argv[i]);
        bool is_int = (kind == TN_K_INTEGER || kind == TN_K_BIGINT) && type == SQLITE_INTEGER &&
                      sqlite3_value_int64(argv[i]) >= INT32_MIN &&
                      sqlite3_value_int64(argv[i]) <= INT32_MAX;
        if (!is_int && !(kind == TN_K_VARCHAR && type == SQLITE_TEXT))
            continue;
        tn_buf_add_text(sql, word);
        add_name(sql, vtab->schema->fields[column].name);
        tn_buf_add_text(sql, operator_text(letter));
        if (is_int)
            tn_buf_add_i64(sql, sqlite3_value_int64(argv[i]));
        else
            add_literal(sql, (struct tn_str){(const char *)sqlite3_value_text(argv[i]),
                                             (size_t)sqlite3_value_bytes(argv[i])});
        word = " AND ";
    }
}

static int table_next(sqlite3_vtab_cursor *base)
{
    struct table_cursor *cursor = (struct table_cursor *)base;
    struct table_vtab *vtab = (struct table_vtab *)base->pVtab;
    cursor->rowid++;
    cursor->is_end = !next_line(&cursor->answer, &cursor->next, &cursor->row);
    if (!cursor->is_end)
        cursor->cells_count =
            split_row(cursor->row, cursor->cells, (int)vtab->schema->fields_count);
    return SQLITE_OK;
}

static int table_filter(sqlite3_vtab_cursor *base, int number, const char *plan, int argc,
                        sqlite3_value **argv)
{
    struct table_cursor *cursor = (struct table_cursor *)base;
    struct table_vtab *vtab = (struct table_vtab *)base->pVtab;
    struct tn_err err = TN_ERR_INIT;
    uint64_t used = strtoull(plan, NULL, 16);
    struct tn_buf sql;
    int count = 0;
    (void)number;
    (void)argc;
    tn_buf_init(&sql, 1u << 20);
    tn_buf_add_text(&sql, "SELECT ");
    for (uint32_t i = 0; i < vtab->schema->fields_count; i++) {
        cursor->order[i] = used >> (i < 63 ? i : 63) & 1u ? count++ : -1;
        if (cursor->order[i] < 0)
            continue;
        tn_buf_add_text(&sql, count > 1 ? ", " : "");
        add_name(&sql, vtab->schema->fields[i].name);
        tn_buf_printf(&sql, " AS c%d", cursor->order[i]);
    }
    tn_buf_printf(&sql, "%s FROM %s", count ? "" : "1 AS c0", vtab->name);
    add_where(vtab, plan, argv, &sql);
    tn_buf_reset(&cursor->answer);
    cursor->next = 0;
    cursor->rowid = -1;
    enum tn_status st = ask(vtab->url, tn_buf_str(&sql), &cursor->answer, &err);
    tn_buf_release(&sql);
    if (!tn_failed(st))
        return table_next(base);
    sqlite3_free(base->pVtab->zErrMsg);
    return tni_ext_fail(&base->pVtab->zErrMsg, &err);
}

static int table_eof(sqlite3_vtab_cursor *base)
{
    return ((struct table_cursor *)base)->is_end;
}

static int table_column(sqlite3_vtab_cursor *base, sqlite3_context *out, int column)
{
    struct table_cursor *cursor = (struct table_cursor *)base;
    const struct table_vtab *vtab = (struct table_vtab *)base->pVtab;
    int at = cursor->order[column];
    struct tn_str raw = at >= 0 && at < cursor->cells_count ? cursor->cells[at] : TN_STR("null");
    enum tn_kind kind = vtab->schema->fields[column].type->kind;
    struct tn_arena arena;
    if (tn_str_eq(raw, TN_STR("null"))) {
        sqlite3_result_null(out);
        return SQLITE_OK;
    }
    tn_arena_init(&arena, 0);
    struct tn_str text = cell_text(raw, &arena);
    char *copy = tn_arena_printf(&arena, "%.*s", TN_STR_FMT(text));
    if (kind == TN_K_INTEGER || kind == TN_K_BIGINT)
        sqlite3_result_int64(out, strtoll(copy, NULL, 10));
    else if (kind == TN_K_DOUBLE)
        sqlite3_result_double(out, strtod(copy, NULL));
    else if (kind == TN_K_BOOLEAN)
        sqlite3_result_int(out, copy[0] == 't');
    else
        sqlite3_result_text64(out, text.ptr, text.len, SQLITE_TRANSIENT, SQLITE_UTF8);
    tn_arena_release(&arena);
    return SQLITE_OK;
}

static int table_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *ret_rowid)
{
    *ret_rowid = ((struct table_cursor *)base)->rowid;
    return SQLITE_OK;
}

static const sqlite3_module table_module = {
    .iVersion = 0,
    .xCreate = table_connect,
    .xConnect = table_connect,
    .xBestIndex = table_plan,
    .xDisconnect = table_disconnect,
    .xDestroy = table_disconnect,
    .xOpen = table_open,
    .xClose = table_close,
    .xFilter = table_filter,
    .xNext = table_next,
    .xEof = table_eof,
    .xColumn = table_column,
    .xRowid = table_rowid,
};

/* ---- tarn_attach(state or URL): a virtual table for each table ---- */

static int attach_one(sqlite3 *db, const char *state, struct tn_str schema_name,
                      struct tn_str table, char **ret_message)
{
    struct tn_buf sql, name;
    tn_buf_init(&sql, 1u << 16);
    tn_buf_init(&name, 4096);
    if (!tn_str_eq(schema_name, TN_STR("default"))) {
        tn_buf_add_str(&name, schema_name);
        tn_buf_add_byte(&name, '_');
    }
    tn_buf_add_str(&name, table);
    tn_buf_add_text(&sql, "CREATE VIRTUAL TABLE IF NOT EXISTS main.");
    add_name(&sql, tn_buf_str(&name));
    tn_buf_add_text(&sql, " USING tarn_table(state=");
    add_literal(&sql, tn_str_of(state));
    tn_buf_add_text(&sql, ", schema=");
    add_literal(&sql, schema_name);
    tn_buf_add_text(&sql, ", table=");
    add_literal(&sql, table);
    tn_buf_add_byte(&sql, ')');
    int rc = sqlite3_exec(db, tn_buf_cstr(&sql), NULL, NULL, ret_message);
    tn_buf_release(&sql);
    tn_buf_release(&name);
    return rc;
}

static void attach(sqlite3_context *out, int argc, sqlite3_value **argv)
{
    const char *state = (const char *)sqlite3_value_text(argv[0]);
    char url[URL_MAX_BYTES], *message = NULL;
    struct tn_err err = TN_ERR_INIT;
    struct tn_buf answer;
    struct tn_arena arena;
    struct tn_str row, cells[2];
    int count = 0, rc = SQLITE_OK;
    (void)argc;
    tn_buf_init(&answer, (size_t)16 << 20);
    tn_arena_init(&arena, 0);
    enum tn_status st = find_url(state ? state : "", url, &err);
    if (!tn_failed(st))
        st = ask(url,
                 TN_STR("SELECT table_schema, table_name FROM information_schema.tables WHERE "
                        "table_schema NOT IN ('information_schema', 'system') ORDER BY 1, 2"),
                 &answer, &err);
    for (size_t at = 0; !tn_failed(st) && rc == SQLITE_OK && next_line(&answer, &at, &row);) {
        if (split_row(row, cells, 2) != 2)
            continue;
        rc = attach_one(sqlite3_context_db_handle(out), state, cell_text(cells[0], &arena),
                        cell_text(cells[1], &arena), &message);
        count++;
    }
    if (tn_failed(st))
        (void)tni_ext_fail(&message, &err);
    if (tn_failed(st) || rc != SQLITE_OK)
        sqlite3_result_error(out, message ? message : "tarn_attach failed", -1);
    else
        sqlite3_result_int(out, count);
    sqlite3_free(message);
    tn_buf_release(&answer);
    tn_arena_release(&arena);
}

int tni_ext_tables_register(sqlite3 *db)
{
    int rc = sqlite3_create_module_v2(db, "tarn_table", &table_module, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_create_function_v2(db, "tarn_attach", 1, SQLITE_UTF8 | SQLITE_DIRECTONLY, NULL,
                                        attach, NULL, NULL, NULL);
    return rc;
}
