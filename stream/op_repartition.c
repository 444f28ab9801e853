/* REPARTITION: rows go to the internal topic that the next stage reads, under their new key.
 *
 * Rows of a stream are encoded with the topic's formats. Changes of a table carry the op and both
 * values in our own encoding (the key stays in the topic's key format, so that its partition is the
 * one every client computes):
 *
 *   value = tag 1 | row              a new row (insert)
 *           tag 2 | row              an old row that leaves this key (undo)
 *           tag 3 | varint n | old row of n bytes | new row      an update under one key
 *
 * row = stream/rowcode.h of the value columns. An update whose key changes becomes two records, old
 * first. Rows of a stream that are only counted behind the topic are folded first (op_fold.c).
 * @thread worker
 */
#include "stream/op_int.h"

#include "stream/base/mem.h"
#include "stream/rowcode.h"

enum { TAG_NEW = 1, TAG_OLD = 2, TAG_BOTH = 3 };

static enum tn_status new_columns(struct tni_task *task, struct tni_op *op, struct tn_batch *batch,
                                  struct tn_batch **ret_batch)
{
    uint32_t width = op->node->exprs_count;
    struct tn_batch *out = TN_ARENA_NEW(task->arena, struct tn_batch);
    *out = *batch;
    out->schema = op->node->is_fold ? op->node->schema : op->node->decl->schema;
    out->columns = TN_ARENA_ARRAY(task->arena, struct tn_column, width);
    for (uint32_t i = 0; i < width; i++) {
        struct tn_result result;
        tn_program_run(op->node->programs[i], batch, task->arena, &result);
        if (result.errors_count)
            atomic_fetch_add_explicit(&task->query->counters.rows_error, result.errors_count,
                                      memory_order_relaxed);
        out->columns[i] = result.col;
    }
    *ret_batch = out;
    return TN_OK;
}

struct changes {
    struct tn_batch *batch;
    struct tni_encoded *keys;
    uint32_t keys_count, values_count;
};

static bool has_null_key(const struct changes *c, uint32_t row)
{
    for (uint32_t k = 0; k < c->keys_count; k++)
        if (tn_column_is_null(&c->batch->columns[k], row))
            return true;
    return false;
}

static void add_row(struct tn_buf *buf, const struct changes *c, uint32_t row)
{
    tni_rowcode_add(buf, c->batch->columns + c->keys_count, c->values_count, row);
}

static void send_one(struct tni_task *task, struct tni_op *op, const struct changes *c,
                     uint32_t row, char tag, uint32_t time_row)
{
    if (has_null_key(c, row)) {
        atomic_fetch_add_explicit(&task->query->counters.rows_null_key, 1, memory_order_relaxed);
        return;
    }
    struct tn_buf *buf = &op->value_bytes;
    tn_buf_reset(buf);
    tn_buf_add_byte(buf, tag);
    add_row(buf, c, row);
    struct tn_str key = tni_encoded_row(c->keys, row);
    tni_op_record(task, op, tni_partition_for(task, op, key), key, tn_buf_str(buf),
                  c->batch->rowtime_ms[time_row]);
}

static void send_both(struct tni_task *task, struct tni_op *op, const struct changes *c,
                      uint32_t row)
{
    struct tn_buf *buf = &op->value_bytes, *old = &op->window_bytes;
    tn_buf_reset(old);
    add_row(old, c, row);
    tn_buf_reset(buf);
    tn_buf_add_byte(buf, TAG_BOTH);
    tn_buf_add_slice(buf, tn_buf_str(old));
    add_row(buf, c, row + 1);
    struct tn_str key = tni_encoded_row(c->keys, row);
    tni_op_record(task, op, tni_partition_for(task, op, key), key, tn_buf_str(buf),
                  c->batch->rowtime_ms[row + 1]);
}

static void send_pair(struct tni_task *task, struct tni_op *op, const struct changes *c,
                      uint32_t row)
{
    bool is_null = has_null_key(c, row) || has_null_key(c, row + 1);
    if (!is_null && tn_str_eq(tni_encoded_row(c->keys, row), tni_encoded_row(c->keys, row + 1))) {
        send_both(task, op, c, row);
        return;
    }
    send_one(task, op, c, row, TAG_OLD, row + 1);
    send_one(task, op, c, row + 1, TAG_NEW, row + 1);
}

static enum tn_status send_changes(struct tni_task *task, struct tni_op *op, struct tn_batch *batch,
                                   struct tn_err *err)
{
    const struct tn_topic_decl *decl = op->node->decl;
    struct changes c = {.batch = batch,
                        .keys_count = decl->keys_count,
                        .values_count = decl->schema->fields_count - decl->keys_count};
    c.keys = tni_encode_side(op->key_codec, batch->columns, batch->rows_count, NULL, &op->key_bytes,
                             task->arena);
    for (uint32_t i = 0; i < batch->rows_count; i++) {
        enum tn_op what = batch->ops ? (enum tn_op)batch->ops[i] : TN_OP_INSERT;
        if (what == TN_OP_UPDATE_BEFORE) {
            TN_ASSERT(i + 1 < batch->rows_count && batch->ops[i + 1] == TN_OP_UPDATE_AFTER);
            send_pair(task, op, &c, i++);
        } else if (what == TN_OP_DELETE) {
            send_one(task, op, &c, i, TAG_OLD, i);
        } else {
            send_one(task, op, &c, i, TAG_NEW, i);
        }
    }
    if (tn_buf_over(&op->key_bytes) || tn_buf_over(&op->value_bytes))
        return tn_err_set(err, TN_E_LIMIT, "a row for topic '%s' is too large", op->topic.name);
    tni_task_touch(task, op);
    return TN_OK;
}

enum tn_status tni_op_repartition(struct tni_task *task, struct tni_op *op, struct tn_batch *batch,
                                  struct tn_err *err)
{
    struct tn_batch *out = NULL;
    TN_TRY(new_columns(task, op, batch, &out));
    if (op->node->is_fold)
        return tni_fold_rows(task, op, out, err);
    if (task->stage->nodes[op->node->input].is_table)
        return send_changes(task, op, out, err);
    return tni_op_sink(task, op, out, err);
}

/* ---- reading them back ---- */

struct change_rows {
    uint32_t *records; /* record of each row */
    struct tn_str *rows;
    uint8_t *ops;
    uint32_t count;
};

static void row_add(struct change_rows *out, uint32_t record, struct tn_str row, enum tn_op op)
{
    out->records[out->count] = record;
    out->rows[out->count] = row;
    out->ops[out->count++] = (uint8_t)op;
}

static enum tn_status split_record(struct change_rows *out, uint32_t record, struct tn_str value,
                                   struct tn_err *err)
{
    const char *ptr = value.ptr, *end = ptr ? ptr + value.len : NULL;
    struct tn_str old;
    if (!ptr || value.len < 1)
        return tn_err_set(err, TN_E_CORRUPT, "a repartition record has no value");
    char tag = *ptr++;
    if (tag == TAG_NEW || tag == TAG_OLD) {
        row_add(out, record, (struct tn_str){ptr, (size_t)(end - ptr)},
                tag == TAG_NEW ? TN_OP_INSERT : TN_OP_DELETE);
        return TN_OK;
    }
    if (tag != TAG_BOTH || !(ptr = tn_slice_read(ptr, end, &old)))
        return tn_err_set(err, TN_E_CORRUPT, "a repartition record is damaged");
    row_add(out, record, old, TN_OP_UPDATE_BEFORE);
    row_add(out, record, (struct tn_str){ptr, (size_t)(end - ptr)}, TN_OP_UPDATE_AFTER);
    return TN_OK;
}

static struct change_rows change_rows_new(struct tn_arena *arena)
{
    return (struct change_rows){
        .records = tn_arena_alloc(arena, TN_BATCH_ROWS_MAX * sizeof(uint32_t)),
        .rows = tn_arena_alloc(arena, TN_BATCH_ROWS_MAX * sizeof(struct tn_str)),
        .ops = tn_arena_alloc(arena, TN_BATCH_ROWS_MAX)};
}

static enum tn_status change_columns(struct tni_source *source, struct tni_block *block,
                                     const struct change_rows *rows, struct tn_err *err)
{
    const struct tn_topic_decl *decl = source->decl;
    struct tn_arena *arena = &block->arena;
    uint32_t values_count = decl->schema->fields_count - decl->keys_count;
    struct tn_batch *batch = tn_batch_new(decl->schema, rows->count, arena);
    struct tn_decoded keys;
    source->key_codec->format->decode(source->key_codec, block->records->keys,
                                      block->records->count, arena, &keys);
    if (keys.bad_count)
        return tn_err_set(err, TN_E_CORRUPT, "a repartition record has a bad key: %s",
                          keys.bad[0].reason);
    for (uint32_t k = 0; k < decl->keys_count; k++)
        tn_column_gather(&keys.columns[k], rows->records, rows->count, &batch->columns[k], arena);
    const struct tn_type **types = tn_arena_alloc(arena, (values_count + 1) * sizeof *types);
    for (uint32_t v = 0; v < values_count; v++)
        types[v] = decl->schema->fields[decl->keys_count + v].type;
    TN_TRY(tni_rowcode_columns(types, values_count, rows->rows, rows->count, NULL, arena,
                               batch->columns + decl->keys_count, err));
    batch->ops = rows->ops;
    batch->rowtime_ms = tn_arena_alloc(arena, rows->count * sizeof(int64_t));
    batch->offsets = tn_arena_alloc(arena, rows->count * sizeof(int64_t));
    for (uint32_t i = 0; i < rows->count; i++) {
        batch->rowtime_ms[i] = block->records->timestamps_ms[rows->records[i]];
        batch->offsets[i] = block->records->offsets[rows->records[i]];
    }
    batch->partition = source->partition;
    block->batch = batch;
    return TN_OK;
}

enum tn_status tni_change_decode(struct tni_source *source, struct tni_block *block,
                                 struct tn_err *err)
{
    struct change_rows rows = change_rows_new(&block->arena);
    struct tn_records *records = block->records;
    for (uint32_t r = 0; r < records->count; r++) {
        if (rows.count + 2 > TN_BATCH_ROWS_MAX) { /* the rest is read again */
            block->next = records->offsets[r];
            break;
        }
        TN_TRY(split_record(&rows, r, records->values[r], err));
    }
    return change_columns(source, block, &rows, err);
}
