/* libtarn_sqlite.so: zone tables and KTables inside any SQLite (sqlite3, Python, libsqliteodbc,
 * JDBC).
 *
 *     .load libtarn_sqlite.so
 *     CREATE VIRTUAL TABLE songs USING tarn(
 *       'count int', 'songName varchar', location='/data/songs', format='json');
 *     CREATE VIRTUAL TABLE chart USING tarn_table(state='/var/lib/tarn', table='plays_by_song');
 *     SELECT tarn_attach('/var/lib/tarn');      -- all tables of a running tarn
 *
 * `tarn` reads files by the scan that the server uses; `tarn_table` asks a running tarn over HTTP.
 * Neither libsqlite3 nor RocksDB is linked: the host brings its SQLite.
 *
 * The modules are DIRECTONLY (they read files). Times come as text, as SQLite's functions expect.
 *
 * This file: the entry point and module `tarn`. idxStr of its plans: one letter a constraint, '='
 * '<' 'l' '>' 'g', with the column behind it; the arguments come in that order. Constraints are
 * hints: SQLite checks them again.
 *
 * @thread the host's; one connection, one thread at a time
 */
#include "sql/ext/ext_int.h"

#include <stdio.h>
#include <time.h>

#include "stream/base/mem.h"
#include "stream/base/time.h"

SQLITE_EXTENSION_INIT1

/* ---- clock ---- */

static int64_t read_clock(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static int64_t wall_ms(struct tn_clock *clock)
{
    (void)clock;
    return read_clock(CLOCK_REALTIME) / 1000000;
}

static int64_t mono_ns(struct tn_clock *clock)
{
    (void)clock;
    return read_clock(CLOCK_MONOTONIC);
}

struct tn_clock tni_ext_clock = {wall_ms, mono_ns};

/* ---- arguments ---- */

/* 'text' or text, quotes taken off, in the arena. */
char *tni_ext_unquote(struct tn_arena *arena, struct tn_str text)
{
    while (text.len && (*text.ptr == ' ' || *text.ptr == '\n' || *text.ptr == '\t'))
        text = (struct tn_str){text.ptr + 1, text.len - 1};
    while (text.len && strchr(" \n\t", text.ptr[text.len - 1]))
        text.len--;
    char quote = text.len >= 2 ? text.ptr[0] : 0;
    if ((quote != '\'' && quote != '"') || text.ptr[text.len - 1] != quote)
        return tn_arena_printf(arena, "%.*s", TN_STR_FMT(text));
    char *out = tn_arena_alloc(arena, text.len);
    size_t len = 0;
    for (size_t i = 1; i + 1 < text.len; i++) {
        i += text.ptr[i] == quote && i + 2 < text.len && text.ptr[i + 1] == quote;
        out[len++] = text.ptr[i];
    }
    out[len] = 0;
    return out;
}

/* name=value; false: it is something else. */
bool tni_ext_option(struct tn_arena *arena, const char *arg, struct tn_str *ret_name,
                    char **ret_value)
{
    size_t len = strspn(arg, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_");
    const char *p = arg + len;
    p += strspn(p, " ");
    if (!len || *p != '=')
        return false;
    *ret_name = (struct tn_str){arg, len};
    *ret_value = tni_ext_unquote(arena, tn_str_of(p + 1));
    return true;
}

/* ---- columns ---- */

static const struct tn_type *type_of_text(struct tn_arena *arena, const char *text)
{
    static const struct {
        const char *name;
        enum tn_kind kind;
    } names[] = {
        {"int", TN_K_INTEGER},         {"integer", TN_K_INTEGER}, {"bigint", TN_K_BIGINT},
        {"double", TN_K_DOUBLE},       {"real", TN_K_DOUBLE},     {"varchar", TN_K_VARCHAR},
        {"string", TN_K_VARCHAR},      {"text", TN_K_VARCHAR},    {"boolean", TN_K_BOOLEAN},
        {"timestamp", TN_K_TIMESTAMP}, {"date", TN_K_DATE},       {"time", TN_K_TIME},
        {"varbinary", TN_K_BYTES},     {"bytes", TN_K_BYTES}};
    size_t len = strcspn(text, " (");
    int precision = 18, scale = 0;
    if (len == 7 && !strncasecmp(text, "decimal", 7)) {
        (void)!sscanf(text + 7, " ( %d , %d )", &precision, &scale);
        if (precision < 1 || precision > TN_DECIMAL_PRECISION_MAX || scale < 0 || scale > precision)
            return NULL;
        return tn_type_decimal(arena, precision, scale);
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strlen(names[i].name) == len && !strncasecmp(text, names[i].name, len))
            return tn_type_of(names[i].kind);
    return NULL;
}

/* "name type" */
static enum tn_status add_column(struct tn_arena *arena, const char *text, struct tn_field *field,
                                 struct tn_err *err)
{
    text += strspn(text, " \n\t");
    size_t len = strcspn(text, " \n\t");
    const char *type = text + len + strspn(text + len, " \n\t");
    field->name = tn_arena_str(arena, (struct tn_str){text, len});
    if (len >= 2 && text[0] == '"')
        field->name = tn_str_of(tni_ext_unquote(arena, field->name));
    field->type = type_of_text(arena, type);
    if (field->type && field->name.len)
        return TN_OK;
    tn_err_set(err, TN_E_TYPE, "column '%s': write 'name type'", text);
    tn_err_hint(err, "types: int bigint double varchar boolean timestamp date time decimal(p,s)");
    return TN_E_TYPE;
}

/* ---- the table ---- */

struct zone_vtab {
    sqlite3_vtab base; /* first */
    struct tn_arena arena;
    struct tni_ext *ext;
    struct tn_object object;
    struct tn_zone_table zone;
    struct tn_schema stored;
};

struct zone_cursor {
    sqlite3_vtab_cursor base; /* first */
    struct tn_arena arena;    /* of one scan */
    struct tn_budget budget;
    struct tni_exec_ctx ctx;
    struct tni_tscan *scan;
    struct tn_batch *batch;
    uint32_t row;
    sqlite3_int64 rowid;
    bool is_open;
};

void tni_ext_declared(const struct tn_type *type, struct tn_buf *buf)
{
    switch (type->kind) {
    case TN_K_INTEGER: tn_buf_add_text(buf, "INTEGER"); break;
    case TN_K_BIGINT: tn_buf_add_text(buf, "BIGINT"); break;
    case TN_K_DOUBLE: tn_buf_add_text(buf, "DOUBLE"); break;
    case TN_K_BOOLEAN: tn_buf_add_text(buf, "BOOLEAN"); break;
    case TN_K_BYTES: tn_buf_add_text(buf, "BLOB"); break;
    case TN_K_DATE: tn_buf_add_text(buf, "DATE"); break;
    case TN_K_TIMESTAMP: tn_buf_add_text(buf, "TIMESTAMP"); break;
    case TN_K_DECIMAL: tn_buf_printf(buf, "DECIMAL(%d,%d)", type->precision, type->scale); break;
    default: tn_buf_add_text(buf, "VARCHAR"); break;
    }
}

int tni_ext_declare(sqlite3 *db, const struct tn_schema *schema, struct tn_err *err)
{
    struct tn_buf sql;
    tn_buf_init(&sql, 1u << 20);
    tn_buf_add_text(&sql, "CREATE TABLE x(");
    for (uint32_t i = 0; i < schema->fields_count; i++) {
        tn_buf_add_text(&sql, i ? ", \"" : "\"");
        for (size_t k = 0; k < schema->fields[i].name.len; k++) {
            if (schema->fields[i].name.ptr[k] == '"')
                tn_buf_add_byte(&sql, '"');
            tn_buf_add_byte(&sql, schema->fields[i].name.ptr[k]);
        }
        tn_buf_add_text(&sql, "\" ");
        tni_ext_declared(schema->fields[i].type, &sql);
    }
    tn_buf_add_byte(&sql, ')');
    int rc = sqlite3_declare_vtab(db, tn_buf_cstr(&sql));
    if (rc == SQLITE_OK)
        rc = sqlite3_vtab_config(db, SQLITE_VTAB_DIRECTONLY);
    else
        tn_err_set(err, TN_E_INVALID, "cannot declare the columns: %s", sqlite3_errmsg(db));
    tn_buf_release(&sql);
    return rc;
}

int tni_ext_fail(char **ret_message, const struct tn_err *err)
{
    *ret_message =
        sqlite3_mprintf(err->hint[0] ? "tarn: %s (%s)" : "tarn: %s", err->message, err->hint);
    return SQLITE_ERROR;
}

static enum tn_status one_char(const char *text, char *ret_char, struct tn_err *err)
{
    *ret_char = strcasecmp(text, "tab") == 0 ? '\t' : text[0];
    if (*ret_char == '\t' || strlen(text) == 1)
        return TN_OK;
    return tn_err_set(err, TN_E_INVALID, "'%s' must be one character or TAB", text);
}

static enum tn_status set_option(struct zone_vtab *vtab, struct tn_str name, char *value,
                                 const char **ret_location, uint32_t *ret_parts, struct tn_err *err)
{
    struct tn_file_layout *layout = &vtab->zone.layout;
    if (tn_str_eq_nocase(name, TN_STR("location"))) {
        *ret_location = value;
    } else if (tn_str_eq_nocase(name, TN_STR("format"))) {
        if (strcasecmp(value, "json") != 0 && strcasecmp(value, "csv") != 0)
            return tn_err_set(err, TN_E_INVALID, "format '%s': there are json and csv", value);
        layout->format = strcasecmp(value, "csv") == 0 ? TN_FILE_CSV : TN_FILE_JSON;
    } else if (tn_str_eq_nocase(name, TN_STR("malformed"))) {
        layout->on_bad = strcasecmp(value, "skip") == 0   ? TN_FILE_BAD_SKIP
                         : strcasecmp(value, "fail") == 0 ? TN_FILE_BAD_FAIL
                                                          : TN_FILE_BAD_NULL;
    } else if (tn_str_eq_nocase(name, TN_STR("partition_columns"))) {
        *ret_parts = (uint32_t)atoi(value);
    } else if (tn_str_eq_nocase(name, TN_STR("csv_separator"))) {
        return one_char(value, &layout->separator, err);
    } else if (tn_str_eq_nocase(name, TN_STR("csv_quote"))) {
        return one_char(value, &layout->quote, err);
    } else if (tn_str_eq_nocase(name, TN_STR("csv_escape"))) {
        return one_char(value, &layout->escape, err);
    } else if (tn_str_eq_nocase(name, TN_STR("skip_header_line_count"))) {
        layout->header_lines = (uint32_t)atoi(value);
    } else {
        tn_err_set(err, TN_E_INVALID, "no option '%.*s'", TN_STR_FMT(name));
        tn_err_hint(err, "location format malformed partition_columns csv_separator csv_quote "
                         "csv_escape skip_header_line_count");
        return TN_E_INVALID;
    }
    return TN_OK;
}

static enum tn_status read_arguments(struct zone_vtab *vtab, int argc, const char *const *argv,
                                     struct tn_err *err)
{
    struct tn_arena *arena = &vtab->arena;
    struct tn_field *fields = TN_ARENA_ARRAY(arena, struct tn_field, (size_t)argc + 1);
    uint32_t count = 0, parts = 0;
    const char *location = NULL;
    vtab->zone.layout = (struct tn_file_layout){.separator = ',', .quote = '"', .escape = '"'};
    for (int i = 3; i < argc; i++) {
        struct tn_str name;
        char *value;
        if (tni_ext_option(arena, argv[i], &name, &value))
            TN_TRY(set_option(vtab, name, value, &location, &parts, err));
        else
            TN_TRY(add_column(arena, tni_ext_unquote(arena, tn_str_of(argv[i])), &fields[count++],
                              err));
    }
    if (!location || !count || parts >= count) {
        tn_err_set(err, TN_E_INVALID, "a zone table needs columns and a location");
        tn_err_hint(err, "USING tarn('id int', 'name varchar', location='/folder')");
        return TN_E_INVALID;
    }
    struct tn_schema *schema = TN_ARENA_NEW(arena, struct tn_schema);
    *schema = (struct tn_schema){count, fields};
    vtab->stored = (struct tn_schema){count - parts, fields};
    vtab->zone.layout.schema = &vtab->stored;
    vtab->zone.partitions_count = parts;
    vtab->zone.is_external = true;
    struct tn_buf url;
    tn_buf_init(&url, TN_ZONE_URL_MAX);
    enum tn_status st = tn_zone_url_clean("location", tn_str_of(location), &url, err);
    if (!tn_failed(st))
        vtab->zone.location = tn_arena_strdup(arena, tn_buf_cstr(&url));
    tn_buf_release(&url);
    vtab->object = (struct tn_object){.kind = TN_OBJ_ZONE,
                                      .schema_name = argv[1],
                                      .name = tn_arena_strdup(arena, argv[2]),
                                      .schema = schema,
                                      .zone = &vtab->zone};
    vtab->object.schema_name = "main";
    return st;
}

static int zone_disconnect(sqlite3_vtab *base)
{
    struct zone_vtab *vtab = (struct zone_vtab *)base;
    tn_arena_release(&vtab->arena);
    tn_free(vtab);
    return SQLITE_OK;
}

static int zone_connect(sqlite3 *db, void *aux, int argc, const char *const *argv,
                        sqlite3_vtab **ret_vtab, char **ret_message)
{
    struct tn_err err = TN_ERR_INIT;
    struct zone_vtab *vtab = tn_alloc(sizeof *vtab);
    vtab->ext = aux;
    tn_arena_init(&vtab->arena, 0);
    int rc = SQLITE_ERROR;
    if (!tn_failed(read_arguments(vtab, argc, argv, &err)))
        rc = tni_ext_declare(db, vtab->object.schema, &err);
    if (rc != SQLITE_OK) {
        (void)zone_disconnect(&vtab->base);
        return tni_ext_fail(ret_message, &err);
    }
    *ret_vtab = &vtab->base;
    return SQLITE_OK;
}

/* ---- plans ---- */

static char constraint_letter(unsigned char op)
{
    switch (op) {
    case SQLITE_INDEX_CONSTRAINT_EQ: return '=';
    case SQLITE_INDEX_CONSTRAINT_LT: return '<';
    case SQLITE_INDEX_CONSTRAINT_LE: return 'l';
    case SQLITE_INDEX_CONSTRAINT_GT: return '>';
    case SQLITE_INDEX_CONSTRAINT_GE: return 'g';
    default: return 0;
    }
}

int tni_ext_plan(const struct tn_schema *schema, sqlite3_index_info *info, bool is_exact_text)
{
    struct tn_buf plan;
    int args = 0;
    tn_buf_init(&plan, 4096);
    tn_buf_printf(&plan, "%llx", (unsigned long long)info->colUsed);
    for (int i = 0; i < info->nConstraint && args < TNI_TSCAN_PREDS_MAX; i++) {
        const struct sqlite3_index_constraint *c = &info->aConstraint[i];
        char letter = constraint_letter(c->op);
        if (!c->usable || !letter || c->iColumn < 0 || c->iColumn >= (int)schema->fields_count)
            continue;
        bool is_text = schema->fields[c->iColumn].type->kind == TN_K_VARCHAR;
        if (is_text && is_exact_text && strcmp(sqlite3_vtab_collation(info, i), "BINARY") != 0)
            continue;
        info->aConstraintUsage[i].argvIndex = ++args;
        tn_buf_printf(&plan, "%c%d", letter, c->iColumn);
    }
    info->idxStr = sqlite3_mprintf("%s", tn_buf_cstr(&plan));
    info->needToFreeIdxStr = 1;
    info->estimatedCost = args ? 1e5 : 1e6;
    tn_buf_release(&plan);
    return info->idxStr ? SQLITE_OK : SQLITE_NOMEM;
}

static int zone_plan(sqlite3_vtab *base, sqlite3_index_info *info)
{
    return tni_ext_plan(((struct zone_vtab *)base)->object.schema, info, true);
}

/* ---- cursors ---- */

static int zone_open(sqlite3_vtab *base, sqlite3_vtab_cursor **ret_cursor)
{
    struct zone_cursor *cursor = tn_alloc(sizeof *cursor);
    (void)base;
    *ret_cursor = &cursor->base;
    return SQLITE_OK;
}

static void scan_end(struct zone_cursor *cursor)
{
    if (!cursor->is_open)
        return;
    if (cursor->scan)
        cursor->scan->type->close(cursor->scan);
    tni_zone_release(&cursor->ctx);
    tn_arena_release(&cursor->arena);
    cursor->scan = NULL;
    cursor->is_open = false;
}

static int zone_close(sqlite3_vtab_cursor *base)
{
    scan_end((struct zone_cursor *)base);
    tn_free(base);
    return SQLITE_OK;
}

/* The argument as a value of the column's type; false: SQLite compares it in another way. */
static bool argument(sqlite3_value *arg, const struct tn_type *type, struct tn_arena *arena,
                     struct tn_value *ret_value)
{
    int kind = sqlite3_value_type(arg);
    *ret_value = (struct tn_value){.type = type};
    if ((type->kind == TN_K_INTEGER || type->kind == TN_K_BIGINT) && kind == SQLITE_INTEGER) {
        ret_value->i = sqlite3_value_int64(arg);
        return true;
    }
    if (type->kind == TN_K_VARCHAR && kind == SQLITE_TEXT) {
        const char *text = (const char *)sqlite3_value_text(arg);
        ret_value->s = tn_arena_str(arena, (struct tn_str){text, (size_t)sqlite3_value_bytes(arg)});
        return true;
    }
    if (type->kind == TN_K_DATE && kind == SQLITE_TEXT && sqlite3_value_bytes(arg) == 10) {
        int32_t days;
        struct tn_str text = {(const char *)sqlite3_value_text(arg), 10};
        if (!tn_date_parse(text, &days))
            return false;
        ret_value->i = days;
        return true;
    }
    return false;
}

static void read_plan(const struct zone_vtab *vtab, struct zone_cursor *cursor, const char *plan,
                      sqlite3_value **argv, struct tni_tscan_spec *spec)
{
    char *at;
    uint64_t used = strtoull(plan, &at, 16);
    uint32_t count = vtab->object.schema->fields_count + TNI_TSCAN_PSEUDOS;
    bool *needed = TN_ARENA_ARRAY(&cursor->arena, bool, count);
    struct tni_pred *preds = TN_ARENA_ARRAY(&cursor->arena, struct tni_pred, TNI_TSCAN_PREDS_MAX);
    for (uint32_t i = 0; i < vtab->object.schema->fields_count; i++)
        needed[i] = used >> (i < 63 ? i : 63) & 1u;
    spec->object = &vtab->object;
    spec->needed = needed;
    spec->preds = preds;
    for (int i = 0; *at; i++) {
        char letter = *at++;
        int column = (int)strtol(at, &at, 10);
        struct tn_value value;
        if (sqlite3_value_type(argv[i]) == SQLITE_NULL) {
            preds[spec->preds_count++] = (struct tni_pred){.column = column, .is_none = true};
            continue;
        }
        if (!argument(argv[i], vtab->object.schema->fields[column].type, &cursor->arena, &value))
            continue;
        struct tn_value *kept = TN_ARENA_NEW(&cursor->arena, struct tn_value);
        *kept = value;
        struct tni_pred *pred = &preds[spec->preds_count++];
        *pred = (struct tni_pred){.column = column};
        if (letter == '=') {
            pred->values_count = 1;
            pred->values = kept;
        } else if (letter == '<' || letter == 'l') {
            pred->high = kept;
            pred->is_high_strict = letter == '<';
        } else {
            pred->low = kept;
            pred->is_low_strict = letter == '>';
        }
    }
}

static int cursor_fail(struct zone_cursor *cursor, const struct tn_err *err)
{
    sqlite3_free(cursor->base.pVtab->zErrMsg);
    return tni_ext_fail(&cursor->base.pVtab->zErrMsg, err);
}

static int next_batch(struct zone_cursor *cursor)
{
    struct tn_err err = TN_ERR_INIT;
    enum tn_status st;
    cursor->row = 0;
    do {
        st = cursor->scan->type->next(cursor->scan, &cursor->batch, &err);
    } while (st == TN_OK && cursor->batch->rows_count == 0);
    if (st != TN_OK)
        cursor->batch = NULL;
    return tn_failed(st) ? cursor_fail(cursor, &err) : SQLITE_OK;
}

static int zone_filter(sqlite3_vtab_cursor *base, int number, const char *plan, int argc,
                       sqlite3_value **argv)
{
    struct zone_cursor *cursor = (struct zone_cursor *)base;
    struct zone_vtab *vtab = (struct zone_vtab *)base->pVtab;
    struct tn_err err = TN_ERR_INIT;
    (void)number;
    (void)argc;
    scan_end(cursor);
    tn_arena_init(&cursor->arena, 0);
    cursor->is_open = true;
    cursor->budget = (struct tn_budget){.clock = &tni_ext_clock};
    cursor->ctx = (struct tni_exec_ctx){.clock = &tni_ext_clock,
                                        .zones = vtab->ext->zones,
                                        .budget = &cursor->budget,
                                        .arena = &cursor->arena};
    struct tni_tscan_spec *spec = TN_ARENA_NEW(&cursor->arena, struct tni_tscan_spec);
    read_plan(vtab, cursor, plan, argv, spec);
    const struct tn_schema *schema = tni_tscan_schema(&vtab->object, &cursor->arena);
    if (tn_failed(tni_tscan_zone_open(&cursor->ctx, spec, schema, &cursor->scan, &err)))
        return cursor_fail(cursor, &err);
    cursor->rowid = 0;
    return next_batch(cursor);
}

static int zone_next(sqlite3_vtab_cursor *base)
{
    struct zone_cursor *cursor = (struct zone_cursor *)base;
    cursor->rowid++;
    if (++cursor->row < cursor->batch->rows_count)
        return SQLITE_OK;
    return next_batch(cursor);
}

static int zone_eof(sqlite3_vtab_cursor *base)
{
    return !((struct zone_cursor *)base)->batch;
}

static void result_text(sqlite3_context *out, const char *text, size_t len)
{
    sqlite3_result_text64(out, text, len, SQLITE_TRANSIENT, SQLITE_UTF8);
}

void tni_ext_result(sqlite3_context *out, const struct tn_value *value)
{
    char text[TN_TIME_TEXT_MAX + 64];
    if (value->is_null) {
        sqlite3_result_null(out);
        return;
    }
    switch (value->type->kind) {
    case TN_K_BOOLEAN: sqlite3_result_int(out, value->b); break;
    case TN_K_INTEGER:
    case TN_K_BIGINT: sqlite3_result_int64(out, value->i); break;
    case TN_K_DOUBLE: sqlite3_result_double(out, value->d); break;
    case TN_K_DATE: result_text(out, text, tn_date_text((int32_t)value->i, text)); break;
    case TN_K_TIME: result_text(out, text, tn_time_text(value->i, 3, text)); break;
    case TN_K_TIMESTAMP: result_text(out, text, tn_timestamp_text(value->i, 3, ' ', text)); break;
    case TN_K_DECIMAL: {
        struct tn_buf buf;
        tn_buf_init(&buf, 64);
        tn_decimal_print(value->dec, value->type->scale, &buf);
        result_text(out, tn_buf_cstr(&buf), buf.len);
        tn_buf_release(&buf);
        break;
    }
    case TN_K_BYTES:
        sqlite3_result_blob64(out, value->s.len ? value->s.ptr : "", value->s.len,
                              SQLITE_TRANSIENT);
        break;
    default: result_text(out, value->s.len ? value->s.ptr : "", value->s.len); break;
    }
}

static int zone_column(sqlite3_vtab_cursor *base, sqlite3_context *out, int column)
{
    struct zone_cursor *cursor = (struct zone_cursor *)base;
    const struct tn_column *col = &cursor->batch->columns[column];
    struct tn_value value = {.is_null = true, .type = col->type};
    if (!col->is_absent)
        value = tn_column_value(col, cursor->row, &cursor->arena);
    tni_ext_result(out, &value);
    return SQLITE_OK;
}

static int zone_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *ret_rowid)
{
    *ret_rowid = ((struct zone_cursor *)base)->rowid;
    return SQLITE_OK;
}

static const sqlite3_module zone_module = {
    .iVersion = 0,
    .xCreate = zone_connect,
    .xConnect = zone_connect,
    .xBestIndex = zone_plan,
    .xDisconnect = zone_disconnect,
    .xDestroy = zone_disconnect,
    .xOpen = zone_open,
    .xClose = zone_close,
    .xFilter = zone_filter,
    .xNext = zone_next,
    .xEof = zone_eof,
    .xColumn = zone_column,
    .xRowid = zone_rowid,
};

/* ---- the extension ---- */

static void ext_free(void *aux)
{
    struct tni_ext *ext = aux;
    tni_zones_free(ext->zones);
    tn_object_stores_free(ext->stores);
    tn_arena_release(&ext->arena);
    tn_free(ext);
}

static struct tni_ext *ext_new(void)
{
    struct tni_ext *ext = tn_alloc(sizeof *ext);
    tn_arena_init(&ext->arena, 0);
    tn_opt_defaults(&tn_s3_opts, &ext->s3, &ext->arena);
    const char *endpoint = getenv("AWS_ENDPOINT_URL_S3");
    if (endpoint)
        (void)!tn_opt_set(&tn_s3_opts, &ext->s3, TN_STR("s3.endpoint"), tn_str_of(endpoint),
                          &ext->arena, NULL);
    ext->stores = tn_object_stores_new(&ext->s3, &tni_ext_clock, NULL);
    ext->zones = tni_zones_new(&(struct tni_zones_config){.stores = ext->stores,
                                                          .clock = &tni_ext_clock,
                                                          .cache_bytes = (int64_t)64 << 20,
                                                          .threads_count = 1});
    return ext;
}

TNI_EXT_EXPORT int sqlite3_extension_init(sqlite3 *db, char **ret_message,
                                          const sqlite3_api_routines *api)
{
    SQLITE_EXTENSION_INIT2(api);
    (void)ret_message;
    int rc = sqlite3_create_module_v2(db, "tarn", &zone_module, ext_new(), ext_free);
    return rc == SQLITE_OK ? tni_ext_tables_register(db) : rc;
}

/* The name SQLite makes of "libtarn_sqlite.so". */
TNI_EXT_EXPORT int sqlite3_tarnsqlite_init(sqlite3 *db, char **ret_message,
                                           const sqlite3_api_routines *api)
{
    return sqlite3_extension_init(db, ret_message, api);
}
