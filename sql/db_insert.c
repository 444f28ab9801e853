/* INSERT INTO … VALUES: rows encoded by the stream's formats and appended durably before the
 * answer.
 *
 * All rows of a statement are bound and encoded first; then each partition gets one append, and the
 * statement waits for all of them. A failing append leaves the others: rows of different partitions
 * are not atomic, as with any producer without a transaction.
 */
#include "sql/db_int.h"

#include "stream/base/hash.h"
#include "stream/base/mem.h"

struct insert {
    struct tn_db *db;
    struct tn_arena *arena;
    const struct tn_object *object;
    const struct tn_ast_insert *ast;
    uint32_t rows_count;
    int *targets; /* column of the decl per written column; −1 = ROWTIME */
    uint32_t targets_count;
    struct tn_colbuilder **builders;
    int64_t *rowtimes_ms;
};

static enum tn_status target_of(struct insert *ins, const struct tni_bind *bind,
                                const struct tn_ident *name, int *ret_target, struct tn_err *err)
{
    const struct tn_schema *schema = ins->object->decl.schema;
    const char *names[256];
    size_t count = 0;
    for (uint32_t i = 0; i < schema->fields_count; i++) {
        if (tn_catalog_name_eq(bind->catalog, schema->fields[i].name, name->text)) {
            *ret_target = (int)i;
            return TN_OK;
        }
        if (count < 256)
            names[count++] = tn_arena_str(ins->arena, schema->fields[i].name).ptr;
    }
    if (tn_str_eq_nocase(name->text, TN_STR("ROWTIME"))) {
        *ret_target = -1;
        return TN_OK;
    }
    if (tn_str_eq_nocase(name->text, TN_STR("ROWPARTITION")) ||
        tn_str_eq_nocase(name->text, TN_STR("ROWOFFSET")))
        return tn_err_at(err, TN_E_INVALID, "INVALID_ARGUMENTS", name->line, name->col,
                         "'%.*s' is given by the log and cannot be inserted",
                         TN_STR_FMT(name->text));
    const char *nearest = tn_str_nearest(name->text, names, count);
    tn_err_at(err, TN_E_NAME, "COLUMN_NOT_FOUND", name->line, name->col,
              "Column '%.*s' cannot be resolved in '%s'", TN_STR_FMT(name->text),
              ins->object->name);
    if (nearest)
        tn_err_hint(err, "did you mean '%s'?", nearest);
    return TN_E_NAME;
}

static enum tn_status insert_targets(struct insert *ins, const struct tni_bind *bind,
                                     struct tn_err *err)
{
    const struct tn_schema *schema = ins->object->decl.schema;
    uint32_t count = ins->ast->columns_count ? ins->ast->columns_count : schema->fields_count;
    ins->targets = TN_ARENA_ARRAY(ins->arena, int, count + 1);
    ins->targets_count = count;
    for (uint32_t i = 0; i < count; i++) {
        ins->targets[i] = (int)i;
        if (ins->ast->columns_count)
            TN_TRY(target_of(ins, bind, &ins->ast->columns[i], &ins->targets[i], err));
        for (uint32_t j = 0; j < i; j++)
            if (ins->targets[j] == ins->targets[i])
                return tn_err_at(err, TN_E_NAME, "DUPLICATE_COLUMN_NAME", ins->ast->columns[i].line,
                                 ins->ast->columns[i].col, "column '%.*s' is given twice",
                                 TN_STR_FMT(ins->ast->columns[i].text));
    }
    return TN_OK;
}

/* One cell: text literals become times, everything else must be castable without a written CAST. */
static enum tn_status insert_cell(struct insert *ins, struct tni_bind *bind,
                                  const struct tn_ast_expr *ast, const struct tn_type *type,
                                  const char *what, struct tn_value *ret_value, struct tn_err *err)
{
    struct tn_value value;
    TN_TRY(tni_bind_constant(bind, ast, NULL, what, &value, err));
    bool is_time = type->kind >= TN_K_DATE && type->kind <= TN_K_TIMESTAMP;
    if (!value.is_null && value.type->kind == TN_K_VARCHAR &&
        (is_time || type->kind == TN_K_BYTES)) {
        struct tni_pos pos = {ast->line, ast->col};
        struct tn_expr *expr = tni_const(&bind->build, &value, pos);
        TN_TRY(tni_cast(&bind->build, expr, type, false, pos, &expr, err));
        if (!tni_is_const(expr))
            return tn_err_at(err, TN_E_TYPE, "TYPE_MISMATCH", pos.line, pos.col,
                             "%s: '%.*s' is not a %s", what, TN_STR_FMT(value.s),
                             tni_type_text(&bind->build, type));
        *ret_value = expr->value;
        return TN_OK;
    }
    (void)ins;
    return tni_bind_constant(bind, ast, type, what, ret_value, err);
}

static enum tn_status insert_row(struct insert *ins, struct tni_bind *bind, uint32_t row,
                                 struct tn_err *err)
{
    const struct tn_schema *schema = ins->object->decl.schema;
    const struct tn_ast_expr *ast = ins->ast->query->rows[row];
    uint32_t count = ast->kind == TN_AX_ROW ? ast->args_count : 1;
    struct tn_value *values = TN_ARENA_ARRAY(ins->arena, struct tn_value, schema->fields_count + 1);
    if (count != ins->targets_count)
        return tn_err_at(err, TN_E_TYPE, "MISMATCHED_COLUMNS", ast->line, ast->col,
                         "row %u has %u values for %u columns", row + 1, count, ins->targets_count);
    for (uint32_t i = 0; i < schema->fields_count; i++)
        values[i] = (struct tn_value){.type = schema->fields[i].type, .is_null = true};
    for (uint32_t i = 0; i < count; i++) {
        const struct tn_ast_expr *cell = ast->kind == TN_AX_ROW ? ast->args[i] : ast;
        int target = ins->targets[i];
        struct tn_value rowtime;
        if (target >= 0) {
            const struct tn_field *field = &schema->fields[target];
            const char *what =
                tn_arena_printf(ins->arena, "column '%.*s'", TN_STR_FMT(field->name));
            TN_TRY(insert_cell(ins, bind, cell, field->type, what, &values[target], err));
            continue;
        }
        TN_TRY(insert_cell(ins, bind, cell, tn_type_of(TN_K_BIGINT), "ROWTIME", &rowtime, err));
        if (rowtime.is_null || rowtime.i < 0)
            return tn_err_at(err, TN_E_INVALID, "INVALID_ARGUMENTS", cell->line, cell->col,
                             "ROWTIME must be milliseconds since 1970, not below 0");
        ins->rowtimes_ms[row] = rowtime.i;
    }
    const struct tn_topic_decl *decl = &ins->object->decl;
    bool is_key_null = decl->keys_count > 0;
    for (uint32_t i = 0; i < schema->fields_count; i++) {
        is_key_null = is_key_null && (i >= decl->keys_count || values[i].is_null);
        tn_colbuilder_add(ins->builders[i], &values[i]);
    }
    if (decl->is_table && is_key_null)
        return tn_err_at(err, TN_E_INVALID, "INVALID_ARGUMENTS", ast->line, ast->col,
                         "row %u has no primary key", row + 1);
    return TN_OK;
}

/* ---- encoding ---- */

static enum tn_status encode_side(struct insert *ins, const struct tn_column *columns, bool is_key,
                                  struct tn_str *ret_slices, struct tn_buf *buf, struct tn_err *err)
{
    const struct tn_topic_decl *decl = &ins->object->decl;
    uint32_t from = is_key ? 0 : decl->keys_count;
    struct tn_schema slice = {is_key ? decl->keys_count : decl->schema->fields_count - from,
                              decl->schema->fields + from};
    const struct tn_format *format = is_key ? decl->key_format : decl->value_format;
    struct tn_codec_spec spec = tn_decl_spec(decl, is_key, &slice);
    struct tn_codec *codec;
    if (is_key && !decl->keys_count)
        return TN_OK; /* null keys */
    TN_TRY(format->open(format, &spec, &codec, err));
    size_t *ends = TN_ARENA_ARRAY(ins->arena, size_t, ins->rows_count + 1);
    format->encode(codec, columns + from, ins->rows_count, NULL, buf, ends);
    format->close(codec);
    if (tn_buf_over(buf))
        return tn_err_set(err, TN_E_LIMIT, "the rows are larger than %zu bytes", buf->max);
    size_t start = 0;
    for (uint32_t i = 0; i < ins->rows_count; i++) {
        bool is_null = is_key;
        for (uint32_t k = 0; is_null && k < decl->keys_count; k++)
            is_null = tn_column_is_null(&columns[k], i);
        if (!is_null)
            ret_slices[i] = (struct tn_str){buf->ptr + start, ends[i] - start};
        start = ends[i];
    }
    return TN_OK;
}

/* ---- append ---- */

struct append_wait {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    uint32_t pending;
    enum tn_status st;
    struct tn_err err;
};

static void append_done(void *ctx, enum tn_status st, int64_t base_offset, const struct tn_err *err)
{
    struct append_wait *wait = ctx;
    (void)base_offset;
    pthread_mutex_lock(&wait->lock);
    if (tn_failed(st) && !tn_failed(wait->st)) {
        wait->st = st;
        if (err)
            wait->err = *err;
    }
    if (--wait->pending == 0)
        pthread_cond_signal(&wait->cond);
    pthread_mutex_unlock(&wait->lock);
}

static enum tn_status append_rows(struct insert *ins, const struct tn_str *keys,
                                  const struct tn_str *values, struct tn_err *err)
{
    struct tn_log *log = ins->db->config.log;
    struct tn_topic topic;
    struct append_wait wait = {.st = TN_OK};
    enum tn_status st = log->type->topic_find(log, ins->object->decl.topic, &topic, err);
    if (tn_failed(st))
        return st;
    if (st == TN_NOT_FOUND)
        return tn_err_set(err, TN_E_NAME, "topic '%s' of '%s' is gone", ins->object->decl.topic,
                          ins->object->name);
    int32_t *partitions = TN_ARENA_ARRAY(ins->arena, int32_t, ins->rows_count + 1);
    for (uint32_t i = 0; i < ins->rows_count; i++)
        partitions[i] = keys[i].ptr
                            ? tn_partition_of(keys[i].ptr, keys[i].len, topic.partitions_count)
                            : (int32_t)(ins->db->insert_next++ % (uint64_t)topic.partitions_count);
    pthread_mutex_init(&wait.lock, NULL);
    pthread_cond_init(&wait.cond, NULL);
    struct tn_records_builder rb;
    tn_records_builder_init(&rb);
    wait.pending = 1;
    for (int32_t p = 0; p < topic.partitions_count; p++) {
        uint32_t count = 0;
        for (uint32_t i = 0; i < ins->rows_count; i++)
            if (partitions[i] == p) {
                tn_records_builder_add(&rb, keys[i], values[i], ins->rowtimes_ms[i]);
                count++;
            }
        if (!count)
            continue;
        struct tn_records *records = tn_records_builder_finish(&rb);
        pthread_mutex_lock(&wait.lock);
        wait.pending++;
        pthread_mutex_unlock(&wait.lock);
        log->type->append(log, &topic, p, records, append_done, &wait);
        tn_records_unref(records);
    }
    pthread_mutex_lock(&wait.lock);
    wait.pending--;
    while (wait.pending)
        pthread_cond_wait(&wait.cond, &wait.lock);
    pthread_mutex_unlock(&wait.lock);
    tn_records_builder_release(&rb);
    pthread_cond_destroy(&wait.cond);
    pthread_mutex_destroy(&wait.lock);
    if (tn_failed(wait.st) && err)
        *err = wait.err;
    return wait.st;
}

/* ---- the statement ---- */

static enum tn_status insert_object(struct insert *ins, const struct tni_bind *bind,
                                    struct tn_err *err)
{
    const struct tn_ast_name *name = ins->ast->name;
    TN_TRY(tni_bind_object(bind, name, &ins->object, err));
    const struct tn_object *object = ins->object;
    if (object->kind == TN_OBJ_VIEW || object->kind == TN_OBJ_SYSTEM)
        return tn_err_at(err, TN_E_INVALID, "NOT_SUPPORTED", name->line, name->col,
                         "'%s' is not a stream or table", object->name);
    if (object->is_source)
        return tn_err_at(err, TN_E_INVALID, "INVALID_ARGUMENTS", name->line, name->col,
                         "'%s' is a SOURCE and read-only", object->name);
    if (object->kind == TN_OBJ_KTABLE)
        return tn_err_at(err, TN_E_INVALID, "INVALID_ARGUMENTS", name->line, name->col,
                         "'%s' is the result of query %s", object->name, object->query_id);
    if (object->decl.window != TN_WINDOW_NONE)
        return tni_not_supported(err, name->line, name->col,
                                 "rows with windowed keys cannot be inserted");
    if (ins->ast->props.items_count)
        return tni_not_supported(err, ins->ast->props.line, ins->ast->props.col,
                                 "INSERT … VALUES takes no WITH properties");
    return TN_OK;
}

static enum tn_status insert_encode(struct insert *ins, struct tn_err *err)
{
    const struct tn_schema *schema = ins->object->decl.schema;
    struct tn_column *columns =
        TN_ARENA_ARRAY(ins->arena, struct tn_column, schema->fields_count + 1);
    for (uint32_t i = 0; i < schema->fields_count; i++)
        tn_colbuilder_finish(ins->builders[i], &columns[i]);
    struct tn_str *keys = TN_ARENA_ARRAY(ins->arena, struct tn_str, ins->rows_count + 1);
    struct tn_str *values = TN_ARENA_ARRAY(ins->arena, struct tn_str, ins->rows_count + 1);
    struct tn_buf key_bytes, value_bytes;
    tn_buf_init(&key_bytes, TN_RECORD_BYTES_MAX);
    tn_buf_init(&value_bytes, TN_RECORD_BYTES_MAX);
    enum tn_status st = encode_side(ins, columns, true, keys, &key_bytes, err);
    if (!tn_failed(st))
        st = encode_side(ins, columns, false, values, &value_bytes, err);
    if (!tn_failed(st))
        st = append_rows(ins, keys, values, err);
    tn_buf_release(&key_bytes);
    tn_buf_release(&value_bytes);
    return st;
}

enum tn_status tni_insert_values(struct tn_db *db, const struct tn_catalog *catalog,
                                 struct tn_session *session, const struct tn_ast_insert *insert,
                                 struct tn_budget *budget, struct tn_arena *arena,
                                 struct tn_rows *rows, struct tn_err *err)
{
    struct insert ins = {
        .db = db, .arena = arena, .ast = insert, .rows_count = insert->query->rows_count};
    struct tni_bind bind;
    int64_t now_ms = tn_wall_ms(db->config.clock);
    tni_bind_init(&bind, arena, TN_RULES_STREAM, catalog, session, now_ms);
    TN_TRY(insert_object(&ins, &bind, err));
    TN_TRY(insert_targets(&ins, &bind, err));
    const struct tn_schema *schema = ins.object->decl.schema;
    ins.builders = TN_ARENA_ARRAY(arena, struct tn_colbuilder *, schema->fields_count + 1);
    for (uint32_t i = 0; i < schema->fields_count; i++)
        ins.builders[i] = tn_colbuilder_new(schema->fields[i].type, arena);
    ins.rowtimes_ms = TN_ARENA_ARRAY(arena, int64_t, ins.rows_count + 1);
    for (uint32_t i = 0; i < ins.rows_count; i++) {
        ins.rowtimes_ms[i] = now_ms;
        TN_TRY(insert_row(&ins, &bind, i, err));
        TN_TRY(tn_budget_check(budget, err));
    }
    TN_TRY(insert_encode(&ins, err));
    session->update_count = ins.rows_count;
    return tni_row_count(rows, arena, ins.rows_count, err);
}
