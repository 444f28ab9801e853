/* SINK: rows become records of the result topic. And what subscribers see of a query.
 *
 * Partition: murmur2 of the key bytes as the Java client does; a null key stays with the source
 * partition. When the topic is also the changelog of a store, a row goes to the task's own
 * partition, where the restore reads it (for keys that came partitioned the same way this is the
 * same one). Windowed keys carry their suffix after the bytes the partition is chosen from. @thread
 * worker
 */
#include "stream/op_int.h"

#include "stream/base/hash.h"
#include "stream/base/mem.h"

/* ---- subscriptions ---- */

enum tn_status tni_op_show(struct tni_task *task, struct tni_op *op, struct tn_batch *batch)
{
    if (!op->is_shown || task->is_global ||
        atomic_load_explicit(&task->query->subscriptions_count, memory_order_acquire) == 0)
        return TN_OK;
    struct tni_turn *turn = tni_task_turn(task);
    uint32_t *rows = tn_arena_alloc(task->arena, batch->rows_count * sizeof *rows);
    for (uint32_t i = 0; i < batch->rows_count; i++)
        rows[i] = i;
    struct tni_shown *shown = TN_ARENA_NEW(&turn->arena, struct tni_shown);
    shown->batch = tn_batch_gather(batch, rows, batch->rows_count, &turn->arena);
    shown->batch->schema = task->query->shown_schema;
    shown->batch->keys = NULL; /* borrowed from the source's block */
    if (turn->shown_last)
        turn->shown_last->next = shown;
    else
        turn->shown = shown;
    turn->shown_last = shown;
    return TN_OK;
}

/* ---- encoding ---- */

/* Bits of rows whose side is written as null bytes. NULL = none. */
static uint8_t *null_values(const struct tn_batch *batch, const struct tn_topic_decl *decl,
                            struct tn_arena *arena)
{
    bool is_bare = decl->is_value_bare && decl->schema->fields_count == decl->keys_count + 1;
    const struct tn_column *only = is_bare ? &batch->columns[decl->keys_count] : NULL;
    if (!batch->ops && !batch->null_values && !(only && only->validity))
        return NULL;
    uint8_t *bits = tn_arena_zalloc(arena, tn_bits_bytes(batch->rows_count), 1);
    for (uint32_t i = 0; i < batch->rows_count; i++)
        if ((batch->ops && batch->ops[i] == TN_OP_DELETE) ||
            (batch->null_values && tn_bit_get(batch->null_values, i)) ||
            (only && tn_column_is_null(only, i)))
            tn_bit_set(bits, i);
    return bits;
}

static uint8_t *null_keys(const struct tn_batch *batch, uint32_t keys_count, struct tn_arena *arena)
{
    bool may_be_null = keys_count == 0;
    for (uint32_t k = 0; k < keys_count; k++)
        may_be_null |= batch->columns[k].validity != NULL;
    if (!may_be_null)
        return NULL;
    uint8_t *bits = tn_arena_zalloc(arena, tn_bits_bytes(batch->rows_count), 1);
    for (uint32_t i = 0; i < batch->rows_count; i++) {
        bool is_null = true;
        for (uint32_t k = 0; k < keys_count && is_null; k++)
            is_null = tn_column_is_null(&batch->columns[k], i);
        if (is_null)
            tn_bit_set(bits, i);
    }
    return bits;
}

struct tni_encoded *tni_encode_side(struct tn_codec *codec, const struct tn_column *columns,
                                    uint32_t rows_count, const uint8_t *null_rows,
                                    struct tn_buf *buf, struct tn_arena *arena)
{
    struct tni_encoded *out = TN_ARENA_NEW(arena, struct tni_encoded);
    size_t *ends = tn_arena_alloc(arena, (rows_count + 1) * sizeof *ends);
    ends[0] = 0;
    tn_buf_reset(buf);
    if (codec)
        codec->format->encode(codec, columns, rows_count, null_rows, buf, ends + 1);
    else /* a side without columns: empty bytes, which are not null */
        memset(ends, 0, (rows_count + 1) * sizeof *ends);
    *out = (struct tni_encoded){.bytes = buf, .ends = ends, .null_rows = null_rows};
    return out;
}

struct tn_str tni_encoded_row(const struct tni_encoded *encoded, uint32_t row)
{
    if (encoded->null_rows && tn_bit_get(encoded->null_rows, row))
        return (struct tn_str){0};
    const char *ptr = encoded->bytes->ptr ? encoded->bytes->ptr : "";
    return (struct tn_str){ptr + encoded->ends[row], encoded->ends[row + 1] - encoded->ends[row]};
}

int32_t tni_partition_for(const struct tni_task *task, const struct tni_op *op, struct tn_str key)
{
    if (op->is_pinned)
        return task->partition;
    int32_t count = op->topic.partitions_count;
    return key.ptr ? tn_partition_of(key.ptr, key.len, count) : task->partition % count;
}

void tni_op_record(struct tni_task *task, struct tni_op *op, int32_t partition, struct tn_str key,
                   struct tn_str value, int64_t timestamp_ms)
{
    if (!op->builders)
        op->builders = tn_alloc_array((size_t)op->topic.partitions_count, sizeof *op->builders);
    struct tn_records_builder *rb = &op->builders[partition];
    if (!rb->bytes)
        tn_records_builder_init(rb);
    tn_records_builder_add(rb, key, value, timestamp_ms);
    atomic_fetch_add_explicit(&task->worker->round_bytes, (long long)(key.len + value.len),
                              memory_order_relaxed);
}

void tni_op_flush_builders(struct tni_task *task, struct tni_op *op)
{
    for (int32_t p = 0; op->builders && p < op->topic.partitions_count; p++) {
        if (op->builders[p].count == 0)
            continue;
        tni_turn_emit(tni_task_turn(task), &op->topic, p,
                      tn_records_builder_finish(&op->builders[p]), op->changelog_of);
    }
}

/* Key bytes with the window behind them: start for windows of one length, end and start for
 * sessions. */
static struct tn_str windowed_key(const struct tni_op *op, struct tn_str key,
                                  const struct tn_batch *batch, uint32_t row, struct tn_buf *buf)
{
    uint32_t at = batch->schema->fields_count - 2;
    uint64_t start = (uint64_t)tn_column_i64(&batch->columns[at], row);
    uint64_t end = (uint64_t)tn_column_i64(&batch->columns[at + 1], row);
    tn_buf_reset(buf);
    tn_buf_add_str(buf, key);
    if (op->node->decl->window == TN_WINDOW_SESSION)
        tn_buf_add_be64(buf, end);
    tn_buf_add_be64(buf, start);
    return tn_buf_str(buf);
}

static enum tn_status check_encoded(const struct tni_op *op, struct tn_err *err)
{
    if (tn_buf_over(&op->key_bytes) || tn_buf_over(&op->value_bytes))
        return tn_err_set(err, TN_E_LIMIT, "rows of topic '%s' do not fit %zu bytes a batch",
                          op->topic.name, op->value_bytes.max);
    return TN_OK;
}

/* What goes into the records of one batch. */
struct tni_records_of {
    struct tni_encoded *keys, *values;
    const int64_t *times_ms;
    uint8_t *bad_times; /* rows dropped for it; NULL = none */
};

/* Times of the records: the rows', or the sink's own time column; then rows without a usable time
 * are dropped, and tombstones have the current stream time. */
static const int64_t *record_times(struct tni_task *task, const struct tni_op *op,
                                   const struct tn_batch *batch, const uint8_t *nulls,
                                   uint8_t **ret_bad)
{
    const struct tn_topic_decl *decl = op->node->decl;
    if (decl->timestamp_column < 0 || op->node->kind != TN_NODE_SINK)
        return batch->rowtime_ms;
    int64_t *times = tn_arena_alloc(task->arena, batch->rows_count * sizeof *times);
    *ret_bad = tn_arena_zalloc(task->arena, tn_bits_bytes(batch->rows_count), 1);
    tni_column_times(decl, op->time_program, batch, task->arena, times, *ret_bad);
    for (uint32_t i = 0; nulls && i < batch->rows_count; i++)
        if (tn_bit_get(nulls, i)) {
            times[i] = task->stream_time_ms;
            tn_bit_clear(*ret_bad, i);
        }
    return times;
}

static enum tn_status send_rows(struct tni_task *task, struct tni_op *op,
                                const struct tn_batch *batch, const struct tni_records_of *r,
                                struct tn_err *err)
{
    const struct tn_topic_decl *decl = op->node->decl;
    int64_t rows_out = 0, rows_bad = 0;
    for (uint32_t i = 0; i < batch->rows_count; i++) {
        if (batch->ops && batch->ops[i] == TN_OP_UPDATE_BEFORE)
            continue;
        if (r->bad_times && tn_bit_get(r->bad_times, i)) {
            rows_bad++;
            continue;
        }
        struct tn_str key = tni_encoded_row(r->keys, i), value = tni_encoded_row(r->values, i);
        if (key.len + value.len > TN_RECORD_BYTES_MAX)
            return tn_err_set(err, TN_E_LIMIT, "a record of %zu bytes for topic '%s' is too large",
                              key.len + value.len, op->topic.name);
        int32_t partition = tni_partition_for(task, op, key);
        if (decl->window != TN_WINDOW_NONE)
            key = windowed_key(op, key, batch, i, &op->window_bytes);
        tni_op_record(task, op, partition, key, value, r->times_ms[i]);
        rows_out++;
    }
    struct tni_counters *c = &task->query->counters;
    if (rows_bad)
        atomic_fetch_add_explicit(&c->rows_error, rows_bad, memory_order_relaxed);
    if (op->node->kind == TN_NODE_SINK)
        atomic_fetch_add_explicit(&c->rows_out, rows_out, memory_order_relaxed);
    return TN_OK;
}

enum tn_status tni_op_sink(struct tni_task *task, struct tni_op *op, struct tn_batch *batch,
                           struct tn_err *err)
{
    const struct tn_topic_decl *decl = op->node->decl;
    struct tn_arena *arena = task->arena;
    uint32_t n = batch->rows_count;
    uint8_t *nulls = null_values(batch, decl, arena);
    struct tni_records_of r = {0};
    r.keys = tni_encode_side(op->key_codec, batch->columns, n,
                             null_keys(batch, decl->keys_count, arena), &op->key_bytes, arena);
    r.values = tni_encode_side(op->value_codec, batch->columns + decl->keys_count, n, nulls,
                               &op->value_bytes, arena);
    r.times_ms = record_times(task, op, batch, nulls, &r.bad_times);
    TN_TRY(check_encoded(op, err));
    TN_TRY(send_rows(task, op, batch, &r, err));
    tni_task_touch(task, op);
    return tni_op_show(task, op, batch);
}
