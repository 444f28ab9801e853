/* Writing zone tables by statement. Contract: sql/zone_write.h. */
#include "sql/zone_write.h"

#include "connectors/table_log.h"
#include "sql/parse.h"
#include "sql/zone_ddl.h"
#include "sql/zone_files.h"
#include "sql/zone_out.h"
#include "stream/base/mem.h"
#include "stream/base/utf8.h"

#define COMMITS_MAX 100 /* other writers that may be faster */

struct writer {
    struct tn_rows base; /* first */
    const struct tni_zone_writing *writing;
    struct tni_zone_out out;
};

bool tni_zone_is_write(const struct tn_catalog *catalog, const struct tn_session *session,
                       const struct tn_ast_stmt *stmt)
{
    struct tni_bind bind;
    struct tn_arena arena;
    struct tn_str schema_name, name;
    bool is_write = false;
    if (stmt->kind != TN_AS_INSERT && (stmt->kind != TN_AS_CREATE_TABLE || !stmt->create->query))
        return false;
    tn_arena_init(&arena, 0);
    tni_bind_init(&bind, &arena, TN_RULES_QUERY, catalog, session, 0);
    if (stmt->kind == TN_AS_INSERT) {
        const struct tn_object *object;
        is_write = !tn_failed(tni_bind_object(&bind, stmt->insert->name, &object, NULL)) &&
                   object->kind == TN_OBJ_ZONE;
    } else if (!tn_failed(tni_bind_schema(&bind, stmt->create->name, &schema_name, &name, NULL))) {
        is_write = tni_zone_is_target(schema_name, &stmt->create->props);
    }
    tn_arena_release(&arena);
    return is_write;
}

/* ---- files ---- */

static enum tn_status write_columns(struct tn_rows *rows, const struct tn_schema *schema,
                                    struct tn_err *err)
{
    (void)rows;
    (void)schema;
    (void)err;
    return TN_OK;
}

static enum tn_status write_batch(struct tn_rows *rows, const struct tn_batch *batch,
                                  struct tn_err *err)
{
    struct writer *writer = (struct writer *)rows;
    return tni_zone_out_rows(&writer->out, batch->columns, batch->rows_count, err);
}

static enum tn_status writer_open(struct writer *writer, const struct tni_zone_writing *writing,
                                  const struct tn_object *object, struct tn_err *err)
{
    struct tn_db *db = writing->db;
    writer->base = (struct tn_rows){write_columns, write_batch};
    writer->writing = writing;
    return tni_zone_out_open(&writer->out, db->config.stores, object->zone, object->schema,
                             db->config.clock, writing->arena, err);
}

/* ---- the table log ---- */

static const struct tn_table_meta *make_meta(struct writer *writer, const struct tn_schema *schema)
{
    struct tn_arena *arena = writer->writing->arena;
    struct tn_table_meta *meta = TN_ARENA_NEW(arena, struct tn_table_meta);
    meta->format = writer->out.zone->layout.format == TN_FILE_CSV ? TN_STR("csv") : TN_STR("json");
    meta->compression = TN_STR("none");
    meta->layout = TN_STR("value");
    meta->columns_count = schema->fields_count;
    meta->columns = TN_ARENA_ARRAY(arena, struct tn_table_column, schema->fields_count + 1);
    meta->partitions_count = writer->out.zone->partitions_count;
    meta->partitions = TN_ARENA_ARRAY(arena, struct tn_str, meta->partitions_count + 1);
    for (uint32_t i = 0; i < meta->partitions_count; i++)
        meta->partitions[i] =
            schema->fields[schema->fields_count - meta->partitions_count + i].name;
    for (uint32_t i = 0; i < schema->fields_count; i++) {
        struct tn_buf type;
        tn_buf_init(&type, 1u << 16);
        tn_type_print_ksql(schema->fields[i].type, &type);
        meta->columns[i].name = schema->fields[i].name;
        meta->columns[i].type = tn_arena_str(arena, tn_buf_str(&type));
        tn_buf_release(&type);
    }
    return meta;
}

static bool any_object(void *ctx, const struct tn_object_info *info)
{
    bool *found = ctx;
    *found = info->size > 0 && info->key.ptr[0] != '_' && info->key.ptr[0] != '.';
    return !*found;
}

/* A table without a log has the files that lie there: a log would hide them. */
static enum tn_status check_writable(struct writer *writer, const struct tn_object *object,
                                     int64_t *ret_next, struct tn_err *err)
{
    bool has_files = false;
    TN_TRY(tn_table_log_end(writer->out.store, TN_STR(""), ret_next, err));
    if (*ret_next == 0)
        TN_TRY(tn_object_list(writer->out.store, "", "", any_object, &has_files, 0, err));
    if (has_files || (*ret_next == 0 && writer->out.zone->is_external && object))
        return tn_err_at(err, TN_E_UNSUPPORTED, "NOT_SUPPORTED", writer->writing->stmt->line,
                         writer->writing->stmt->col,
                         "cannot write to '%s': its files are not tarn's (it has no table log)",
                         writer->out.zone->location);
    return TN_OK;
}

static enum tn_status commit(struct writer *writer, const struct tn_schema *schema, int64_t version,
                             struct tn_err *err)
{
    const struct tni_zone_writing *writing = writer->writing;
    struct tn_table_entry entry = {.version = version,
                                   .timestamp_ms = tn_wall_ms(writing->db->config.clock),
                                   .commit_id = tn_str_of(writer->out.id),
                                   .operation = version ? TN_STR("APPEND") : TN_STR("CREATE"),
                                   .sink = TN_STR(""),
                                   .files_count = writer->out.files_count,
                                   .files = writer->out.files};
    for (int tries = 0; tries < COMMITS_MAX; tries++) {
        struct tn_err why = TN_ERR_INIT;
        struct tn_table_entry other;
        entry.meta = entry.version ? NULL : make_meta(writer, schema);
        enum tn_status st = tn_table_log_append(writer->out.store, TN_STR(""), &entry, 0, &why);
        if (st == TN_OK)
            tn_table_log_checkpoint(writer->out.store, TN_STR(""), entry.version, 0);
        if (st != TN_E_EXISTS && st != TN_E_INDEFINITE) {
            if (st != TN_OK && err)
                *err = why;
            return st;
        }
        st = tn_table_log_get(writer->out.store, TN_STR(""), entry.version, writing->arena, &other,
                              0, err);
        if (tn_failed(st))
            return st;
        if (st == TN_OK && tn_str_eq(other.commit_id, entry.commit_id))
            return TN_OK; /* it was ours after all */
        entry.version += st == TN_OK;
    }
    return tn_err_set(err, TN_E_BUSY, "other writers of '%s' were always faster",
                      writer->out.zone->location);
}

/* ---- the query ---- */

static enum tn_status bind_query(const struct tni_zone_writing *writing,
                                 const struct tn_ast_query *ast, struct tn_query **ret_query,
                                 struct tn_err *err)
{
    struct tni_bind bind;
    tni_bind_init(&bind, writing->arena, TN_RULES_QUERY, writing->catalog, writing->session,
                  tn_wall_ms(writing->db->config.clock));
    return tni_bind_query(&bind, ast, ret_query, err);
}

static enum tn_status run_query(struct writer *writer, const struct tn_query *query,
                                struct tn_err *err)
{
    const struct tni_zone_writing *writing = writer->writing;
    struct tni_exec_ctx ctx;
    tni_exec_init(writing->db, writing->catalog, writing->budget, writing->arena, &ctx);
    enum tn_status st = tni_exec_query(&ctx, query, &writer->base, err);
    tni_exec_release(&ctx);
    return tn_failed(st) ? st : tni_zone_out_flush(&writer->out, err);
}

static int number_rank(enum tn_kind kind)
{
    switch (kind) {
    case TN_K_INTEGER: return 1;
    case TN_K_BIGINT: return 2;
    case TN_K_DECIMAL: return 3;
    case TN_K_DOUBLE: return 4;
    default: return 0;
    }
}

/* Does a value of type `from` mean the same in a column of type `to` once it is text? */
static bool assignable(const struct tn_type *from, const struct tn_type *to)
{
    if (from->kind == TN_K_NULL)
        return true;
    if (from->kind == TN_K_DECIMAL && to->kind == TN_K_DECIMAL)
        return from->scale <= to->scale &&
               from->precision - from->scale <= to->precision - to->scale;
    if (from->kind == to->kind)
        return tn_kind_is_nested(from->kind) ? tn_type_eq(from, to) : true;
    int a = number_rank(from->kind), b = number_rank(to->kind);
    if (a && b && from->kind != TN_K_DECIMAL && to->kind == TN_K_DECIMAL)
        return to->precision - to->scale >= (a == 1 ? 10 : 19);
    return a && b && a <= b;
}

static const char *types_text(const struct tn_schema *schema, uint32_t count,
                              struct tn_arena *arena)
{
    struct tn_buf buf;
    tn_buf_init(&buf, 256);
    for (uint32_t i = 0; i < count; i++) {
        tn_buf_add_text(&buf, i ? ", " : "");
        tn_type_print_trino(schema->fields[i].type, &buf);
    }
    const char *text = tn_arena_strdup(arena, tn_buf_cstr(&buf));
    tn_buf_release(&buf);
    return text;
}

/* ---- INSERT ---- */

struct mapped_rows {
    struct tn_rows base; /* first */
    struct writer *writer;
    const struct tn_schema *schema; /* of the table's files */
    int *from;                      /* query column of each, −1 = NULL */
    struct tn_arena arena;
};

/* VARCHAR(n): blanks at the end may be cut off, nothing else. */
static enum tn_status check_lengths(const struct tn_field *field, const struct tn_column *col,
                                    uint32_t rows_count, struct tn_err *err)
{
    uint32_t length_max = field->type->length_max;
    for (uint32_t row = 0; length_max && !col->is_absent && row < rows_count; row++) {
        if (tn_column_is_null(col, row))
            continue;
        struct tn_str text = tn_column_str(col, row);
        while (text.len && text.ptr[text.len - 1] == ' ')
            text.len--;
        if (text.len > length_max && tn_utf8_count(text) > length_max)
            return tn_err_at(err, TN_E_EVAL, "INVALID_CAST_ARGUMENT", 0, 0,
                             "Cannot truncate non-space characters on INSERT: column '%.*s' is "
                             "varchar(%u)",
                             TN_STR_FMT(field->name), length_max);
    }
    return TN_OK;
}

static enum tn_status mapped_batch(struct tn_rows *rows, const struct tn_batch *batch,
                                   struct tn_err *err)
{
    struct mapped_rows *mapped = (struct mapped_rows *)rows;
    uint32_t count = mapped->schema->fields_count;
    tn_arena_reset(&mapped->arena);
    struct tn_batch out = *batch;
    out.columns = TN_ARENA_ARRAY(&mapped->arena, struct tn_column, count + 1);
    for (uint32_t c = 0; c < count; c++) {
        if (mapped->from[c] >= 0) {
            out.columns[c] = batch->columns[mapped->from[c]];
            TN_TRY(
                check_lengths(&mapped->schema->fields[c], &out.columns[c], batch->rows_count, err));
            continue;
        }
        tn_column_init(&out.columns[c], mapped->schema->fields[c].type, batch->rows_count, true,
                       &mapped->arena);
        memset(out.columns[c].validity, 0, tn_bits_bytes(batch->rows_count));
    }
    return write_batch(&mapped->writer->base, &out, err);
}

static enum tn_status insert_map(const struct tni_zone_writing *writing,
                                 const struct tn_object *object, const struct tn_query *query,
                                 int *from, struct tn_err *err)
{
    const struct tn_ast_insert *insert = writing->stmt->insert;
    const struct tn_schema *schema = object->schema;
    uint32_t count = insert->columns_count ? insert->columns_count : schema->fields_count;
    bool fits = query->schema->fields_count == count;
    for (uint32_t c = 0; c < schema->fields_count; c++)
        from[c] = -1;
    for (uint32_t i = 0; i < count && fits; i++) {
        int at = insert->columns_count ? tn_schema_find(schema, insert->columns[i].text) : (int)i;
        if (at < 0)
            return tn_err_at(err, TN_E_NAME, "COLUMN_NOT_FOUND", insert->columns[i].line,
                             insert->columns[i].col, "no column '%.*s' in '%s'",
                             TN_STR_FMT(insert->columns[i].text), object->name);
        if (from[at] >= 0)
            return tn_err_at(err, TN_E_NAME, "DUPLICATE_COLUMN_NAME", insert->columns[i].line,
                             insert->columns[i].col, "column '%.*s' is given twice",
                             TN_STR_FMT(insert->columns[i].text));
        from[at] = (int)i;
        fits = assignable(query->schema->fields[i].type, schema->fields[at].type);
    }
    if (fits)
        return TN_OK;
    return tn_err_at(err, TN_E_TYPE, "TYPE_MISMATCH", writing->stmt->line, writing->stmt->col,
                     "Insert query has mismatched column types: Table: [%s], Query: [%s]",
                     types_text(schema, schema->fields_count, writing->arena),
                     types_text(query->schema, query->schema->fields_count, writing->arena));
}

static enum tn_status insert_rows(const struct tni_zone_writing *writing,
                                  const struct tn_object *object, struct tn_query *query,
                                  struct writer *writer, struct tn_err *err)
{
    int64_t next;
    struct mapped_rows mapped = {
        .base = {write_columns, mapped_batch}, .writer = writer, .schema = object->schema};
    struct tni_exec_ctx ctx;
    mapped.from = TN_ARENA_ARRAY(writing->arena, int, object->schema->fields_count + 1);
    TN_TRY(insert_map(writing, object, query, mapped.from, err));
    TN_TRY(check_writable(writer, object, &next, err));
    tn_arena_init(&mapped.arena, 0);
    tni_exec_init(writing->db, writing->catalog, writing->budget, writing->arena, &ctx);
    enum tn_status st = tni_exec_query(&ctx, query, &mapped.base, err);
    tni_exec_release(&ctx);
    tn_arena_release(&mapped.arena);
    if (!tn_failed(st))
        st = tni_zone_out_flush(&writer->out, err);
    if (!tn_failed(st) && writer->out.files_count)
        st = commit(writer, object->schema, next, err);
    return st;
}

static enum tn_status zone_insert(const struct tni_zone_writing *writing, int64_t *ret_rows,
                                  struct tn_err *err)
{
    struct tni_bind bind;
    const struct tn_object *object;
    struct tn_query *query;
    struct writer writer;
    tni_bind_init(&bind, writing->arena, TN_RULES_QUERY, writing->catalog, writing->session, 0);
    TN_TRY(tni_bind_object(&bind, writing->stmt->insert->name, &object, err));
    TN_TRY(bind_query(writing, writing->stmt->insert->query, &query, err));
    enum tn_status st = writer_open(&writer, writing, object, err);
    if (!tn_failed(st))
        st = insert_rows(writing, object, query, &writer, err);
    *ret_rows = writer.out.rows_count;
    tni_zone_out_close(&writer.out, !tn_failed(st));
    return st;
}

/* ---- CREATE TABLE AS ---- */

static void add_quoted(struct tn_buf *buf, struct tn_str name)
{
    tn_buf_add_byte(buf, '"');
    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] == '"')
            tn_buf_add_byte(buf, '"');
        tn_buf_add_byte(buf, name.ptr[i]);
    }
    tn_buf_add_byte(buf, '"');
}

/* The catalog keeps CREATE TABLE with the columns that came out. */
static enum tn_status create_text(const struct tni_zone_writing *writing,
                                  const struct tn_query *query, struct tn_str *ret_text,
                                  struct tn_err *err)
{
    const struct tn_ast_create *create = writing->stmt->create;
    struct tni_bind bind;
    struct tn_str schema_name, name;
    struct tn_buf buf;
    for (uint32_t i = 0; i < query->schema->fields_count; i++)
        if (tn_str_eq(query->schema->fields[i].name,
                      tn_str_of(tn_arena_printf(writing->arena, "_col%u", i))))
            return tn_err_at(err, TN_E_INVALID, "MISSING_COLUMN_NAME", 1, 1,
                             "column %u has no name (give it one with AS)", i + 1);
    tni_bind_init(&bind, writing->arena, TN_RULES_QUERY, writing->catalog, writing->session, 0);
    TN_TRY(tni_bind_schema(&bind, create->name, &schema_name, &name, err));
    tn_buf_init(&buf, 1u << 20);
    tn_buf_add_text(&buf, "CREATE TABLE ");
    add_quoted(&buf, schema_name);
    tn_buf_add_byte(&buf, '.');
    add_quoted(&buf, name);
    for (uint32_t i = 0; i < query->schema->fields_count; i++) {
        const struct tn_type *type = query->schema->fields[i].type;
        tn_buf_add_text(&buf, i ? ", " : " (");
        add_quoted(&buf, query->schema->fields[i].name);
        tn_buf_add_byte(&buf, ' ');
        if (type->kind == TN_K_NULL)
            tn_buf_add_text(&buf, "varchar");
        else
            tn_type_print_trino(type, &buf);
    }
    tn_buf_add_text(&buf, ")");
    for (uint32_t i = 0; i < create->props.items_count; i++) {
        const struct tn_ast_prop *prop = &create->props.items[i];
        tn_buf_printf(&buf, "%s%.*s = ", i ? ", " : " WITH (", TN_STR_FMT(prop->name.text));
        if (prop->value && prop->value->kind == TN_AX_STRING) {
            tn_buf_add_byte(&buf, '\'');
            for (size_t k = 0; k < prop->value->text.len; k++) {
                if (prop->value->text.ptr[k] == '\'')
                    tn_buf_add_byte(&buf, '\'');
                tn_buf_add_byte(&buf, prop->value->text.ptr[k]);
            }
            tn_buf_add_byte(&buf, '\'');
        } else if (prop->value && prop->value->kind == TN_AX_INTEGER) {
            tn_buf_add_str(&buf, prop->value->text);
        } else if (prop->value && prop->value->kind == TN_AX_ARRAY) {
            tn_ast_print_expr(prop->value, &buf);
        } else {
            tn_buf_release(&buf);
            return tni_not_supported(err, prop->name.line, prop->name.col,
                                     "property %.*s is not supported with AS SELECT",
                                     TN_STR_FMT(prop->name.text));
        }
    }
    tn_buf_add_text(&buf, create->props.items_count ? ")" : "");
    *ret_text = tn_arena_str(writing->arena, tn_buf_str(&buf));
    tn_buf_release(&buf);
    return TN_OK;
}

/* Applies the text to the newest catalog; is_final: and makes it durable. ret_zone lives in the
 * statement's arena. */
static enum tn_status apply_create(const struct tni_zone_writing *writing, struct tn_str text,
                                   bool is_final, struct tni_change *change, struct tn_err *err)
{
    struct tn_db *db = writing->db;
    struct tn_parse_opts opts = {.is_identifiers_ksql = false};
    struct tn_ast_stmt *stmt;
    TN_TRY(tn_parse_statement(text, &opts, writing->arena, &stmt, err));
    pthread_mutex_lock(&db->ddl_lock);
    enum tn_status st =
        tni_change_begin(db, db->catalog, writing->session, writing->arena, text, change, err);
    if (!tn_failed(st))
        st = tni_change_apply(change, stmt, err);
    if (!tn_failed(st) && is_final)
        st = tni_change_commit(change, err);
    pthread_mutex_unlock(&db->ddl_lock);
    return st;
}

static enum tn_status create_rows(const struct tni_zone_writing *writing,
                                  const struct tn_zone_table *zone, const struct tn_query *query,
                                  struct tn_str text, struct writer *writer, struct tn_err *err)
{
    int64_t next;
    struct tni_change change = {.is_noop = false};
    TN_TRY(check_writable(writer, NULL, &next, err));
    if (next)
        return tn_err_at(err, TN_E_EXISTS, "TABLE_ALREADY_EXISTS", writing->stmt->line,
                         writing->stmt->col, "there is a table log at '%s' already",
                         zone->location);
    if (!writing->stmt->create->is_no_data)
        TN_TRY(run_query(writer, query, err));
    enum tn_status st = apply_create(writing, text, false, &change, err); /* still free? */
    tni_change_release(&change);
    TN_TRY(st);
    TN_TRY(commit(writer, query->schema, 0, err));
    st = apply_create(writing, text, true, &change, err);
    tni_change_release(&change);
    return st;
}

static enum tn_status zone_create(const struct tni_zone_writing *writing, int64_t *ret_rows,
                                  struct tn_err *err)
{
    const struct tn_ast_create *create = writing->stmt->create;
    struct tn_query *query;
    struct tn_str text;
    struct tni_change change = {.is_noop = false};
    struct writer writer;
    if (create->has_columns || create->is_or_replace || create->is_source)
        return tni_not_supported(err, writing->stmt->line, writing->stmt->col,
                                 "a column list, OR REPLACE and SOURCE are not supported with AS "
                                 "SELECT into a zone");
    TN_TRY(bind_query(writing, create->query, &query, err));
    TN_TRY(create_text(writing, query, &text, err));
    enum tn_status st = apply_create(writing, text, false, &change, err);
    if (st == TN_E_EXISTS && create->is_if_not_exists) {
        tni_change_release(&change);
        *ret_rows = 0;
        return TN_OK;
    }
    if (tn_failed(st)) {
        tni_change_release(&change);
        return st;
    }
    struct tni_bind bind;
    struct tn_str schema_name, name;
    tni_bind_init(&bind, writing->arena, TN_RULES_QUERY, writing->catalog, writing->session, 0);
    st = tni_bind_schema(&bind, create->name, &schema_name, &name, err);
    const struct tn_object *object =
        tn_failed(st) ? NULL : tn_catalog_find(change.catalog, schema_name, name);
    if (object) {
        st = writer_open(&writer, writing, object, err);
        if (!tn_failed(st))
            st = create_rows(writing, object->zone, query, text, &writer, err);
        *ret_rows = writer.out.rows_count;
        tni_zone_out_close(&writer.out, !tn_failed(st));
    }
    tni_change_release(&change);
    return st;
}

enum tn_status tni_zone_write(const struct tni_zone_writing *writing, struct tn_err *err)
{
    int64_t rows_count = 0;
    TN_TRY(writing->stmt->kind == TN_AS_INSERT ? zone_insert(writing, &rows_count, err)
                                               : zone_create(writing, &rows_count, err));
    writing->session->update_count = rows_count;
    return tni_row_count(writing->rows, writing->arena, rows_count, err);
}
