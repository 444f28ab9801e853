/* AGGREGATE: rows into the states of their groups, and windows.
 *
 * Streams add. Tables undo the old row in its old group, then add the new one to its group. Rows
 * without value or with a NULL group are left out. Windowed rows enter every window that is open
 * for them; late ones are counted. Nothing here looks at single events except in emit-every-update
 * mode: whole columns go to the ktable's kernels.
 * @thread worker
 */
#include "stream/op_int.h"

static bool may_skip(const struct tn_batch *batch, const struct tn_column *keys,
                     uint32_t keys_count)
{
    bool may = batch->null_values != NULL;
    for (uint32_t k = 0; k < keys_count; k++)
        may |= keys[k].validity != NULL;
    return may;
}

const uint32_t *tni_usable_rows(struct tni_task *task, const struct tn_batch *batch,
                                const struct tn_column *keys, uint32_t keys_count,
                                uint32_t *ret_count)
{
    const uint32_t *rows = batch->selected;
    uint32_t total = rows ? batch->selected_count : batch->rows_count;
    *ret_count = total;
    if (!may_skip(batch, keys, keys_count))
        return rows;
    uint32_t *kept = tn_arena_alloc(task->arena, total * sizeof *kept);
    uint32_t count = 0, null_values = 0;
    for (uint32_t i = 0; i < total; i++) {
        uint32_t row = rows ? rows[i] : i;
        bool is_null_value = batch->null_values && tn_bit_get(batch->null_values, row);
        bool is_null_key = false;
        for (uint32_t k = 0; k < keys_count; k++)
            is_null_key |= tn_column_is_null(&keys[k], row);
        null_values += is_null_value;
        kept[count] = row;
        count += !is_null_value && !is_null_key;
    }
    if (count == total)
        return rows;
    struct tni_counters *counters = &task->query->counters;
    atomic_fetch_add_explicit(&counters->rows_null_value, null_values, memory_order_relaxed);
    atomic_fetch_add_explicit(&counters->rows_null_key, total - count - null_values,
                              memory_order_relaxed);
    *ret_count = count;
    return kept;
}

static void count_late(struct tni_task *task, uint32_t late_count)
{
    if (late_count)
        atomic_fetch_add_explicit(&task->query->counters.rows_late, late_count,
                                  memory_order_relaxed);
}

/* Rows of one call: which rows of the batch meet which entries. */
struct hits {
    struct tni_entry **entries;
    const uint32_t *rows; /* NULL = identity */
    uint32_t count;
};

static void update(struct tni_op *op, const struct tn_batch *batch, const struct hits *hits,
                   bool is_retract)
{
    tni_ktable_update(op->kt, hits->entries, batch, hits->rows, hits->count, op->node->agg_args,
                      op->node->agg_filters, is_retract);
}

/* ---- every update ---- */

/* Length of the run from `from` in which no entry repeats. */
static uint32_t distinct_run(struct tni_pointer_set *set, const struct hits *hits, uint32_t from)
{
    set->stamp++;
    uint32_t i = from;
    for (; i < hits->count && i - from < TNI_POINTER_SET_FILL; i++) {
        uintptr_t p = (uintptr_t)hits->entries[i];
        uint32_t at = (uint32_t)((p >> 4) * 0x9E3779B1u) & (TNI_POINTER_SET_SIZE - 1);
        while (set->stamps[at] == set->stamp && set->pointers[at] != p)
            at = (at + 1) & (TNI_POINTER_SET_SIZE - 1);
        if (set->stamps[at] == set->stamp)
            break;
        set->stamps[at] = set->stamp;
        set->pointers[at] = p;
    }
    return i - from;
}

static bool *existence(struct tni_entry *const *entries, uint32_t count, struct tn_arena *arena)
{
    bool *flags = tn_arena_alloc(arena, count);
    for (uint32_t i = 0; i < count; i++)
        flags[i] = tni_entry_exists(entries[i]);
    return flags;
}

static enum tn_status update_and_push(struct tni_task *task, struct tni_op *op,
                                      const struct tn_batch *batch, const struct hits *run,
                                      enum tn_op how, struct tn_err *err)
{
    struct tni_updates updates = {.count = run->count,
                                  .existed = existence(run->entries, run->count, task->arena)};
    if (op->needs_before)
        TN_TRY(tni_state_entries(op, run->entries, run->count, task->arena, &updates.before, err));
    update(op, batch, run, how == TN_OP_DELETE);
    TN_TRY(tni_state_entries(op, run->entries, run->count, task->arena, &updates.after, err));
    updates.exists = existence(run->entries, run->count, task->arena);
    return tni_push_updates(task, op, &updates, err);
}

static enum tn_status update_each(struct tni_task *task, struct tni_op *op,
                                  const struct tn_batch *batch, const struct hits *hits,
                                  struct tn_err *err)
{
    uint32_t *identity = NULL;
    if (!hits->rows) {
        identity = tn_arena_alloc(task->arena, hits->count * sizeof *identity);
        for (uint32_t i = 0; i < hits->count; i++)
            identity[i] = i;
    }
    const uint32_t *rows = hits->rows ? hits->rows : identity;
    for (uint32_t from = 0; from < hits->count;) {
        uint32_t len = distinct_run(&task->worker->scratch->set, hits, from);
        struct hits run = {.entries = hits->entries + from, .rows = rows + from, .count = len};
        TN_TRY(update_and_push(task, op, batch, &run, TN_OP_INSERT, err));
        from += len;
    }
    return TN_OK;
}

/* ---- changes of tables ---- */

static enum tn_status change_pair(struct tni_task *task, struct tni_op *op,
                                  const struct tn_batch *batch, const struct hits *pair,
                                  struct tn_err *err)
{
    struct hits old = {.entries = pair->entries, .rows = pair->rows, .count = 1};
    struct hits now = {.entries = pair->entries + 1, .rows = pair->rows + 1, .count = 1};
    if (pair->entries[0] != pair->entries[1]) {
        TN_TRY(update_and_push(task, op, batch, &old, TN_OP_DELETE, err));
        return update_and_push(task, op, batch, &now, TN_OP_INSERT, err);
    }
    struct tni_updates updates = {.count = 1, .existed = existence(pair->entries, 1, task->arena)};
    if (op->needs_before)
        TN_TRY(tni_state_entries(op, pair->entries, 1, task->arena, &updates.before, err));
    update(op, batch, &old, true);
    update(op, batch, &now, false);
    TN_TRY(tni_state_entries(op, pair->entries, 1, task->arena, &updates.after, err));
    updates.exists = existence(pair->entries, 1, task->arena);
    return tni_push_updates(task, op, &updates, err);
}

static bool is_undo(const struct tn_batch *batch, uint32_t row)
{
    return batch->ops &&
           (batch->ops[row] == TN_OP_UPDATE_BEFORE || batch->ops[row] == TN_OP_DELETE);
}

static enum tn_status changes_each(struct tni_task *task, struct tni_op *op,
                                   const struct tn_batch *batch, const struct hits *hits,
                                   struct tn_err *err)
{
    for (uint32_t i = 0; i < hits->count; i++) {
        uint32_t row = hits->rows[i];
        struct hits one = {.entries = hits->entries + i, .rows = hits->rows + i, .count = 1};
        bool is_pair = batch->ops && batch->ops[row] == TN_OP_UPDATE_BEFORE &&
                       i + 1 < hits->count && hits->rows[i + 1] == row + 1;
        if (is_pair) {
            one.count = 2;
            TN_TRY(change_pair(task, op, batch, &one, err));
            i++;
        } else {
            enum tn_op how = is_undo(batch, row) ? TN_OP_DELETE : TN_OP_INSERT;
            TN_TRY(update_and_push(task, op, batch, &one, how, err));
        }
    }
    return TN_OK;
}

/* Undo and add in maximal runs of the same kind: the order of rows is kept, whole runs go to the
 * kernels. */
static void changes_runs(struct tni_op *op, const struct tn_batch *batch, const struct hits *hits)
{
    for (uint32_t from = 0; from < hits->count;) {
        bool undo = is_undo(batch, hits->rows[from]);
        uint32_t to = from + 1;
        while (to < hits->count && is_undo(batch, hits->rows[to]) == undo)
            to++;
        struct hits run = {
            .entries = hits->entries + from, .rows = hits->rows + from, .count = to - from};
        update(op, batch, &run, undo);
        from = to;
    }
}

/* Order does not matter to undoable aggregates that keep no order: all undos, then all adds. */
static void changes_two_passes(struct tni_task *task, struct tni_op *op,
                               const struct tn_batch *batch, const struct hits *hits)
{
    struct tni_entry **entries = tn_arena_alloc(task->arena, hits->count * sizeof(void *));
    uint32_t *rows = tn_arena_alloc(task->arena, hits->count * sizeof *rows);
    for (int pass = 0; pass < 2; pass++) {
        struct hits some = {.entries = entries, .rows = rows};
        for (uint32_t i = 0; i < hits->count; i++) {
            if (is_undo(batch, hits->rows[i]) != (pass == 0))
                continue;
            entries[some.count] = hits->entries[i];
            rows[some.count++] = hits->rows[i];
        }
        if (some.count)
            update(op, batch, &some, pass == 0);
    }
}

static enum tn_status apply_changes(struct tni_task *task, struct tni_op *op,
                                    const struct tn_batch *batch, struct hits *hits,
                                    struct tn_err *err)
{
    if (!hits->rows) {
        uint32_t *rows = tn_arena_alloc(task->arena, hits->count * sizeof *rows);
        for (uint32_t i = 0; i < hits->count; i++)
            rows[i] = i;
        hits->rows = rows;
    }
    if (task->query->plan->is_emit_every_update)
        return changes_each(task, op, batch, hits, err);
    bool is_ordered = false;
    for (uint32_t a = 0; a < op->node->aggs_count; a++)
        is_ordered |= (op->node->aggs[a].agg->flags & TN_AGG_ROWS) != 0;
    if (is_ordered)
        changes_runs(op, batch, hits);
    else
        changes_two_passes(task, op, batch, hits);
    return TN_OK;
}

/* ---- windows ---- */

static enum tn_status push_closed(struct tni_task *task, struct tni_op *op, struct tn_err *err)
{
    struct tni_entry **entries = NULL;
    uint32_t count = 0;
    if (op->stream_time_ms == INT64_MIN)
        return TN_OK;
    TN_TRY(tni_ktable_close_windows(op->kt, op->stream_time_ms, &op->closed_ms, task->arena,
                                    &entries, &count, err));
    for (uint32_t from = 0; from < count; from += TN_BATCH_ROWS_MAX) {
        uint32_t len = count - from < TN_BATCH_ROWS_MAX ? count - from : TN_BATCH_ROWS_MAX;
        struct tn_batch *batch = NULL;
        TN_TRY(tni_state_entries(op, entries + from, len, task->arena, &batch, err));
        batch->partition = task->partition;
        TN_TRY(tni_op_push(task, op, batch, err));
    }
    return TN_OK;
}

static enum tn_status push_session(struct tni_task *task, struct tni_op *op,
                                   const struct tni_session_effect *effect, struct tn_err *err)
{
    struct tn_batch *batch = NULL;
    if (effect->has_tombstones) {
        TN_TRY(tni_state_entries(op, effect->old, effect->old_count, task->arena, &batch, err));
        batch->ops = tn_arena_alloc(task->arena, effect->old_count);
        memset(batch->ops, TN_OP_DELETE, effect->old_count);
        batch->partition = task->partition;
        TN_TRY(tni_op_push(task, op, batch, err));
    }
    TN_TRY(tni_state_entries(op, &effect->merged, 1, task->arena, &batch, err));
    batch->partition = task->partition;
    return tni_op_push(task, op, batch, err);
}

static enum tn_status sessions(struct tni_task *task, struct tni_op *op, struct tn_batch *batch,
                               const struct tn_column *keys, const uint32_t *rows, uint32_t count,
                               struct tn_err *err)
{
    const struct tn_node *node = op->node;
    bool is_each = task->query->plan->is_emit_every_update && !node->window.is_final;
    uint32_t *identity = tn_arena_alloc(task->arena, count * sizeof *identity);
    for (uint32_t i = 0; i < count; i++)
        identity[i] = rows ? rows[i] : i;
    struct tni_session_effect *effects = tn_arena_alloc(task->arena, count * sizeof *effects);
    uint32_t *late = tn_arena_alloc(task->arena, count * sizeof *late);
    uint32_t step = is_each ? 1 : count;
    for (uint32_t from = 0; from < count; from += step) {
        uint32_t effects_count = 0, late_count = 0;
        TN_TRY(tni_ktable_session_update(op->kt, keys, batch, identity + from, step, node->agg_args,
                                         node->agg_filters, &op->stream_time_ms, task->arena,
                                         effects, &effects_count, late, &late_count, err));
        count_late(task, late_count);
        for (uint32_t i = 0; is_each && i < effects_count; i++)
            TN_TRY(push_session(task, op, &effects[i], err));
    }
    return TN_OK;
}

static enum tn_status aggregate_windows(struct tni_task *task, struct tni_op *op,
                                        struct tn_batch *batch, const struct tn_column *keys,
                                        const uint32_t *rows, uint32_t count, struct tn_err *err)
{
    const struct tn_window *window = &op->node->window;
    if (window->kind == TN_WINDOW_SESSION) {
        TN_TRY(sessions(task, op, batch, keys, rows, count, err));
    } else {
        struct tni_window_pairs pairs;
        tni_window_assign(window, batch->rowtime_ms, rows, count, &op->stream_time_ms, task->arena,
                          &pairs);
        count_late(task, pairs.late_count);
        struct hits hits = {.entries = tn_arena_alloc(task->arena, pairs.count * sizeof(void *)),
                            .rows = pairs.rows,
                            .count = pairs.count};
        TN_TRY(tni_ktable_acquire(op->kt, keys, pairs.rows, pairs.count, pairs.starts_ms,
                                  hits.entries, err));
        if (task->query->plan->is_emit_every_update && !window->is_final)
            TN_TRY(update_each(task, op, batch, &hits, err));
        else if (pairs.count)
            update(op, batch, &hits, false);
    }
    if (window->is_final)
        TN_TRY(push_closed(task, op, err));
    int64_t gone_ms = op->hold ? op->hold->stream_time_ms : op->stream_time_ms;
    if (gone_ms != INT64_MIN) /* a window whose result is held back stays */
        tni_ktable_expire(op->kt, gone_ms);
    return TN_OK;
}

enum tn_status tni_op_aggregate(struct tni_task *task, struct tni_op *op, struct tn_batch *batch,
                                struct tn_err *err)
{
    const struct tn_node *node = op->node;
    if (node->is_fold)
        return tni_fold_merge(task, op, batch, err);
    struct tn_column *keys = tn_arena_alloc(task->arena, node->keys_count * sizeof *keys);
    for (uint32_t k = 0; k < node->keys_count; k++)
        keys[k] = batch->columns[node->keys[k]];
    uint32_t count = 0;
    const uint32_t *rows = tni_usable_rows(task, batch, keys, node->keys_count, &count);
    if (count == 0)
        return TN_OK;
    tni_task_touch(task, op);
    if (node->window.kind != TN_WINDOW_NONE)
        return aggregate_windows(task, op, batch, keys, rows, count, err);
    struct hits hits = {.entries = tn_arena_alloc(task->arena, count * sizeof(void *)),
                        .rows = rows,
                        .count = count};
    TN_TRY(tni_ktable_acquire(op->kt, keys, rows, count, NULL, hits.entries, err));
    if (task->stage->nodes[node->input].is_table)
        return apply_changes(task, op, batch, &hits, err);
    if (task->query->plan->is_emit_every_update)
        return update_each(task, op, batch, &hits, err);
    update(op, batch, &hits, false);
    return TN_OK;
}
