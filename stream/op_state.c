/* What AGGREGATE and MATERIALIZE share: turning entries and changes of a ktable into batches of the
 * node's schema, and closing a round: coalesced changes go to the readers, state changes to the
 * changelog.
 *
 * Emission. Per commit (default): nothing is pushed while batches run; at the boundary the ktable
 * tells for every touched key the row before and after the round, equal ones are left out. Every
 * update: pushed while batches run, the boundary only writes the changelog. EMIT FINAL: rows are
 * pushed when their window closes. With a HOLD behind the store it takes the changes of a round
 * and decides when they go on (op_hold.c). @thread worker
 */
#include "stream/op_int.h"

#include "stream/base/mem.h"

bool tni_op_emits_at_boundary(const struct tni_task *task, const struct tni_op *op)
{
    return !task->query->plan->is_emit_every_update && !op->node->window.is_final &&
           (op->readers_count > 0 || op->is_shown);
}

struct tn_batch *tni_state_batch(struct tni_op *op, uint32_t rows_count, struct tn_arena *arena,
                                 struct tn_column **ret_keys, struct tn_column **ret_values)
{
    struct tn_batch *batch = tn_batch_new(op->node->schema, rows_count, arena);
    batch->rowtime_ms = TN_ARENA_ARRAY(arena, int64_t, rows_count);
    *ret_keys = batch->columns;
    *ret_values = batch->columns + op->keys_count;
    return batch;
}

static void set_bigint(struct tn_column *col, int64_t *values, uint32_t count)
{
    *col =
        (struct tn_column){.type = tn_type_of(TN_K_BIGINT), .rows_count = count, .values = values};
}

/* Window bounds are the last two columns; a session's result has the time of its end. */
void tni_state_windows(struct tni_op *op, struct tn_batch *batch, int64_t *starts, int64_t *ends)
{
    if (op->node->kind != TN_NODE_AGGREGATE || op->node->window.kind == TN_WINDOW_NONE)
        return;
    uint32_t at = op->node->schema->fields_count - 2;
    set_bigint(&batch->columns[at], starts, batch->rows_count);
    set_bigint(&batch->columns[at + 1], ends, batch->rows_count);
    if (op->node->window.kind == TN_WINDOW_SESSION)
        memcpy(batch->rowtime_ms, ends, batch->rows_count * sizeof *ends);
}

enum tn_status tni_state_rows(struct tni_op *op, const struct tni_row *rows, uint32_t count,
                              struct tn_arena *arena, struct tn_batch **ret_batch,
                              struct tn_err *err)
{
    struct tn_column *keys, *values;
    struct tn_batch *batch = tni_state_batch(op, count, arena, &keys, &values);
    int64_t *starts = TN_ARENA_ARRAY(arena, int64_t, count);
    int64_t *ends = TN_ARENA_ARRAY(arena, int64_t, count);
    TN_TRY(tni_ktable_rows_columns(op->kt, rows, count, NULL, arena, keys, values,
                                   batch->rowtime_ms, starts, ends, err));
    tni_state_windows(op, batch, starts, ends);
    *ret_batch = batch;
    return TN_OK;
}

enum tn_status tni_state_entries(struct tni_op *op, struct tni_entry *const *entries,
                                 uint32_t count, struct tn_arena *arena,
                                 struct tn_batch **ret_batch, struct tn_err *err)
{
    struct tn_column *keys, *values;
    struct tn_batch *batch = tni_state_batch(op, count, arena, &keys, &values);
    int64_t *starts = TN_ARENA_ARRAY(arena, int64_t, count);
    int64_t *ends = TN_ARENA_ARRAY(arena, int64_t, count);
    tni_ktable_key_columns(op->kt, entries, count, arena, keys);
    TN_TRY(tni_ktable_columns(op->kt, entries, count, NULL, arena, values, err));
    for (uint32_t i = 0; i < count; i++) {
        batch->rowtime_ms[i] = tni_entry_rowtime_ms(entries[i]);
        tni_entry_window(op->kt, entries[i], &starts[i], &ends[i]);
    }
    tni_state_windows(op, batch, starts, ends);
    *ret_batch = batch;
    return TN_OK;
}

/* ---- boundary ---- */

static void chunk_add(struct tni_chunk *chunk, struct tn_str key, struct tn_str row, enum tn_op op,
                      int64_t deleted_at_ms)
{
    TN_ASSERT(chunk->count < TN_BATCH_ROWS_MAX);
    chunk->rows[chunk->count] = (struct tni_row){.key = key, .row = row};
    chunk->deleted_at_ms[chunk->count] = deleted_at_ms;
    chunk->ops[chunk->count++] = (uint8_t)op;
}

void tni_chunk_change(struct tni_chunk *chunk, const struct tni_change *change, bool needs_before)
{
    if (change->is_same)
        return;
    if (!change->row.ptr) {
        if (change->before.ptr)
            chunk_add(chunk, change->key, change->before, TN_OP_DELETE, change->rowtime_ms);
        return;
    }
    if (!change->before.ptr) {
        chunk_add(chunk, change->key, change->row, TN_OP_INSERT, INT64_MIN);
        return;
    }
    if (needs_before)
        chunk_add(chunk, change->key, change->before, TN_OP_UPDATE_BEFORE, INT64_MIN);
    chunk_add(chunk, change->key, change->row, TN_OP_UPDATE_AFTER, INT64_MIN);
}

enum tn_status tni_chunk_push(struct tni_task *task, struct tni_op *op, struct tni_op *out,
                              struct tni_chunk *chunk, struct tn_err *err)
{
    if (chunk->count == 0)
        return TN_OK;
    struct tn_batch *batch = NULL;
    struct tn_arena *arena = task->arena;
    TN_TRY(tni_state_rows(op, chunk->rows, chunk->count, arena, &batch, err));
    batch->ops = tn_arena_alloc(arena, chunk->count);
    memcpy(batch->ops, chunk->ops, chunk->count);
    bool is_session = op->node->window.kind == TN_WINDOW_SESSION;
    for (uint32_t i = 0; i < chunk->count; i++)
        if (chunk->deleted_at_ms[i] != INT64_MIN && !is_session)
            batch->rowtime_ms[i] = chunk->deleted_at_ms[i];
    batch->partition = task->partition;
    chunk->count = 0;
    TN_TRY(tni_op_push(task, out, batch, err));
    tn_arena_reset(arena);
    return TN_OK;
}

enum tn_status tni_push_changes(struct tni_task *task, struct tni_op *op, struct tni_op *out,
                                const struct tni_delta *delta, struct tn_err *err)
{
    uint32_t count = tni_delta_count(delta);
    struct tni_chunk *chunk = &task->worker->scratch->chunk;
    chunk->count = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (chunk->count + 2 > TN_BATCH_ROWS_MAX)
            TN_TRY(tni_chunk_push(task, op, out, chunk, err));
        struct tni_change change = tni_delta_get(delta, i);
        tni_chunk_change(chunk, &change, op->needs_before);
    }
    return tni_chunk_push(task, op, out, chunk, err);
}

/* State changes in our own encoding: key bytes and row bytes as the ktable holds them. */
void tni_write_changelog(struct tni_task *task, struct tni_op *op, struct tni_turn *turn,
                         const struct tni_delta *delta)
{
    uint32_t count = tni_delta_count(delta);
    struct tn_records_builder rb;
    tn_records_builder_init(&rb);
    for (uint32_t i = 0; i < count; i++) {
        struct tni_change change = tni_delta_get(delta, i);
        tn_records_builder_add(&rb, change.key, change.row, change.rowtime_ms);
    }
    tni_turn_emit(turn, &op->changelog, task->partition, tn_records_builder_finish(&rb),
                  (int32_t)op->number);
    tn_records_builder_release(&rb);
}

enum tn_status tni_op_boundary(struct tni_task *task, struct tni_op *op, struct tni_turn *turn,
                               struct tn_err *err)
{
    if (op->node->kind == TN_NODE_HOLD)
        return tni_hold_boundary(task, op, turn, err);
    struct tni_delta *delta = tni_ktable_boundary(op->kt);
    op->is_touched = false;
    if (!delta)
        return TN_OK;
    turn->deltas[op->number] = delta;
    if (op->has_own_changelog)
        tni_write_changelog(task, op, turn, delta);
    if (op->hold)
        return tni_hold_changes(task, op, op->hold, delta, err);
    if (tni_op_emits_at_boundary(task, op))
        return tni_push_changes(task, op, op, delta, err);
    return TN_OK;
}
