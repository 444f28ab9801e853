/* MATERIALIZE: upserts and deletes of a table into its ktable; changes leave with old and new row.
 * JOIN_TABLE: a stream looks up a table as it is now, row by row of the stream but one look-up call
 * a batch.
 *
 * A co-partitioned table is looked up in the task's own ktable and sees the open round. A global
 * table lives in another task (maybe another thread): it is looked up on its committed side, under
 * a pin of its own view. @thread worker
 */
#include "stream/op_int.h"

#include "stream/keycode.h"

/* ---- materialize ---- */

static bool is_delete(const struct tn_batch *batch, uint32_t row)
{
    return (batch->ops && batch->ops[row] == TN_OP_DELETE) ||
           (batch->null_values && tn_bit_get(batch->null_values, row));
}

/* Rows that change the table: keys without NULL, the old halves of updates left out. */
static uint32_t *table_rows(struct tni_task *task, const struct tni_op *op,
                            const struct tn_batch *batch, uint32_t *ret_count)
{
    uint32_t *rows = tn_arena_alloc(task->arena, batch->rows_count * sizeof *rows);
    uint32_t count = 0, null_keys = 0;
    for (uint32_t i = 0; i < batch->rows_count; i++) {
        if (batch->ops && batch->ops[i] == TN_OP_UPDATE_BEFORE)
            continue;
        bool is_null = false;
        for (uint32_t k = 0; k < op->keys_count; k++)
            is_null |= tn_column_is_null(&batch->columns[k], i);
        null_keys += is_null;
        if (!is_null)
            rows[count++] = i;
    }
    if (null_keys)
        atomic_fetch_add_explicit(&task->query->counters.rows_null_key, null_keys,
                                  memory_order_relaxed);
    *ret_count = count;
    return rows;
}

static void put_run(struct tni_op *op, const struct tn_batch *batch,
                    struct tni_entry *const *entries, const uint32_t *rows, uint32_t count)
{
    if (is_delete(batch, rows[0]))
        for (uint32_t i = 0; i < count; i++)
            tni_ktable_delete(op->kt, entries[i], batch->rowtime_ms[rows[i]]);
    else
        tni_ktable_put(op->kt, entries, batch->columns + op->keys_count, batch->rowtime_ms, rows,
                       count);
}

static enum tn_status put_and_push(struct tni_task *task, struct tni_op *op,
                                   const struct tn_batch *batch, struct tni_entry *const *entry,
                                   const uint32_t *row, struct tn_err *err)
{
    bool existed = tni_entry_exists(*entry);
    struct tni_updates updates = {.count = 1, .existed = &existed};
    if (existed)
        TN_TRY(tni_state_entries(op, entry, 1, task->arena, &updates.before, err));
    put_run(op, batch, entry, row, 1);
    bool exists = tni_entry_exists(*entry);
    TN_TRY(tni_state_entries(op, entry, 1, task->arena, &updates.after, err));
    updates.after->rowtime_ms[0] = batch->rowtime_ms[*row];
    updates.exists = &exists;
    return tni_push_updates(task, op, &updates, err);
}

enum tn_status tni_op_materialize(struct tni_task *task, struct tni_op *op, struct tn_batch *batch,
                                  struct tn_err *err)
{
    uint32_t count = 0;
    uint32_t *rows = table_rows(task, op, batch, &count);
    if (count == 0)
        return TN_OK;
    struct tni_entry **entries = tn_arena_alloc(task->arena, count * sizeof *entries);
    TN_TRY(tni_ktable_acquire(op->kt, batch->columns, rows, count, NULL, entries, err));
    tni_task_touch(task, op);
    bool is_each = task->query->plan->is_emit_every_update && op->readers_count > 0 &&
                   !tni_task_is_replaying(task);
    for (uint32_t from = 0; from < count;) {
        uint32_t to = from + 1;
        if (is_each) {
            TN_TRY(put_and_push(task, op, batch, &entries[from], &rows[from], err));
        } else {
            bool del = is_delete(batch, rows[from]);
            while (to < count && is_delete(batch, rows[to]) == del)
                to++;
            put_run(op, batch, entries + from, rows + from, to - from);
        }
        from = to;
    }
    return TN_OK;
}

/* ---- join ---- */

/* Result of one look-up of a whole batch: is_hit[i], and the table's columns row for row. */
struct lookup {
    bool *is_hit;
    struct tn_column *values; /* of the table's value columns */
    uint32_t hits_count;
};

static enum tn_status look_up_own(struct tni_task *task, struct tni_op *op,
                                  const struct tn_column *key, uint32_t count,
                                  struct lookup *ret_lookup, struct tn_err *err)
{
    struct tni_entry **entries = tn_arena_alloc(task->arena, count * sizeof *entries);
    TN_TRY(tni_ktable_find(op->table->kt, key, NULL, count, NULL, entries, err));
    for (uint32_t i = 0; i < count; i++)
        if (tn_column_is_null(key, i) || (entries[i] && !tni_entry_exists(entries[i])))
            entries[i] = NULL;
    for (uint32_t i = 0; i < count; i++) {
        ret_lookup->is_hit[i] = entries[i] != NULL;
        ret_lookup->hits_count += entries[i] != NULL;
    }
    return tni_ktable_columns(op->table->kt, entries, count, op->live_values, task->arena,
                              ret_lookup->values, err);
}

static enum tn_status get_global(struct tni_task *task, struct tni_op *op,
                                 const struct tn_str *keys, uint32_t count, struct tni_row *rows,
                                 struct tn_err *err)
{
    struct tni_view *view = &op->global->global_view;
    struct tni_view_pin pin;
    tni_view_pin(view, &pin);
    enum tn_status st = tni_ktable_get(op->table->kt, &pin, keys, count, task->arena, rows, err);
    tni_view_unpin(view, &pin);
    return st;
}

static enum tn_status look_up_global(struct tni_task *task, struct tni_op *op,
                                     const struct tn_column *key, uint32_t count,
                                     struct lookup *ret_lookup, struct tn_err *err)
{
    struct tn_arena *arena = task->arena;
    struct tn_buf *bytes = &op->key_bytes;
    size_t *ends = tn_arena_alloc(arena, count * sizeof *ends);
    tn_buf_reset(bytes);
    for (uint32_t i = 0; i < count; i++) {
        tni_keycode_add(bytes, key, 1, i);
        ends[i] = bytes->len;
    }
    struct tn_str *keys = tn_arena_alloc(arena, count * sizeof *keys);
    for (uint32_t i = 0; i < count; i++) {
        size_t from = i ? ends[i - 1] : 0;
        keys[i] = (struct tn_str){bytes->ptr + from, ends[i] - from};
    }
    struct tni_row *rows = TN_ARENA_ARRAY(arena, struct tni_row, count);
    TN_TRY(get_global(task, op, keys, count, rows, err));
    for (uint32_t i = 0; i < count; i++) {
        rows[i].key = keys[i];
        ret_lookup->is_hit[i] = rows[i].row.ptr && !tn_column_is_null(key, i);
        ret_lookup->hits_count += ret_lookup->is_hit[i];
        if (!ret_lookup->is_hit[i])
            rows[i].row = (struct tn_str){0};
    }
    return tni_ktable_rows_columns(op->table->kt, rows, count, op->live_values, arena, NULL,
                                   ret_lookup->values, NULL, NULL, NULL, err);
}

/* The table's key column beside the stream row: the key looked up, NULL where nothing was found. */
static struct tn_column found_keys(const struct tn_column *key, const struct lookup *lookup,
                                   uint32_t count, struct tn_arena *arena)
{
    struct tn_column col = *key;
    if (lookup->hits_count == count)
        return col;
    col.validity = tn_arena_zalloc(arena, tn_bits_bytes(count), 1);
    for (uint32_t i = 0; i < count; i++)
        if (lookup->is_hit[i])
            tn_bit_set(col.validity, i);
    return col;
}

static void count_drops(struct tni_task *task, uint32_t null_values, uint32_t null_keys,
                        uint32_t unmatched)
{
    struct tni_counters *c = &task->query->counters;
    if (null_values)
        atomic_fetch_add_explicit(&c->rows_null_value, null_values, memory_order_relaxed);
    if (null_keys)
        atomic_fetch_add_explicit(&c->rows_null_key, null_keys, memory_order_relaxed);
    if (unmatched)
        atomic_fetch_add_explicit(&c->rows_unmatched, unmatched, memory_order_relaxed);
}

/* Which joined rows go on: all of a left join, matched ones of an inner join; never a row without
 * value. */
static uint32_t *joined_rows(struct tni_task *task, const struct tni_op *op,
                             const struct tn_batch *batch, const struct tn_column *key,
                             const struct lookup *lookup, uint32_t *ret_count)
{
    bool is_left = op->node->join == TN_JOIN_LEFT;
    uint32_t *rows = tn_arena_alloc(task->arena, batch->rows_count * sizeof *rows);
    uint32_t count = 0, null_values = 0, null_keys = 0, unmatched = 0;
    for (uint32_t i = 0; i < batch->rows_count; i++) {
        if (batch->null_values && tn_bit_get(batch->null_values, i)) {
            null_values++;
        } else if (is_left || lookup->is_hit[i]) {
            rows[count++] = i;
        } else if (tn_column_is_null(key, i)) {
            null_keys++;
        } else {
            unmatched++;
        }
    }
    count_drops(task, null_values, null_keys, unmatched);
    *ret_count = count;
    return rows;
}

enum tn_status tni_op_join(struct tni_task *task, struct tni_op *op, struct tn_batch *batch,
                           struct tn_err *err)
{
    struct tn_arena *arena = task->arena;
    uint32_t n = batch->rows_count, in_count = batch->schema->fields_count;
    struct tn_result key;
    tn_program_run(op->node->programs[0], batch, arena, &key);
    struct tn_batch *out = tn_batch_new(op->node->schema, n, arena);
    struct tn_column *columns = out->columns;
    struct tn_schema const *schema = out->schema;
    *out = *batch;
    out->schema = schema;
    out->columns = columns;
    out->arena = arena;
    memcpy(columns, batch->columns, in_count * sizeof *columns);
    struct lookup lookup = {.is_hit = tn_arena_alloc(arena, n), .values = columns + in_count + 1};
    TN_TRY(op->global ? look_up_global(task, op, &key.col, n, &lookup, err)
                      : look_up_own(task, op, &key.col, n, &lookup, err));
    columns[in_count] = found_keys(&key.col, &lookup, n, arena);
    uint32_t count = 0;
    uint32_t *rows = joined_rows(task, op, batch, &key.col, &lookup, &count);
    if (count < n)
        out = tn_batch_gather(out, rows, count, arena);
    return tni_op_push(task, op, out, err);
}
