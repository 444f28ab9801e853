/* HOLD: results of a table leave no more often than its EMIT_INTERVAL_MS, while its state and all
 * other tables are committed as ever.
 *
 * HOW IT WORKS. It stands directly behind the store whose changes it holds (AGGREGATE, MATERIALIZE)
 * and keeps a ktable of its own: key bytes of the store -> the row as the last result showed it
 * (NULL: there was none). The round that first changes a key puts that row there; the new row needs
 * no copy, it is the store's. When the interval is over, the boundary gives every key as one
 * change, from the kept row to the store's row of that boundary, to the readers, and empties the
 * ktable in the same round. Equal ones emit nothing. A change at a boundary where nothing is held
 * back and the interval is over goes straight on.
 *
 * So what is held back is committed state like any other: it has a changelog, comes back after a
 * restart, moves to another worker or process with its task, and is rolled back with its round.
 *
 * At least once nothing ties a result to the record that empties the ktable: the ktable is emptied
 * one round later, when the results are there. A crash in between emits them again.
 *
 * Order: key bytes, whatever the interval and the memory look like (I5). Memory: a held key stays
 * in memory until it went out (`is_resident`); more of them than cache.max.bytes.buffering go
 * early. Windows expire only up to the time at which results last went out. @thread worker
 */
#include "stream/op_int.h"

#include "stream/base/mem.h"

#define STEP       ((uint32_t)TN_BATCH_ROWS_MAX / 2) /* a change is up to two rows */
#define ROW_BYTES  64                                /* of one held key, estimated as for commits */
#define BYTES_STEP ((size_t)256 << 20)               /* of one column built here */

void tni_hold_init(struct tni_task *task, struct tni_op *op)
{
    op->keys_count = 1;
    op->key_types[0] = op->key_types[1] = tn_type_of(TN_K_BYTES);
    task->ops[op->node->input].hold = op;
}

void tni_hold_reset(struct tni_op *op, int64_t emit_at_ns)
{
    if (op->node->kind != TN_NODE_HOLD)
        return;
    struct tni_ktable_stats stats = {0};
    if (op->kt)
        tni_ktable_stats(op->kt, &stats);
    op->has_held = op->kt && !(stats.is_complete && stats.keys == 0);
    op->emit_at_ns = op->has_held ? emit_at_ns : 0;
    op->held_rows = stats.keys;
    op->is_emitted = false;
}

/* ---- when ---- */

static bool is_full(const struct tni_task *task, const struct tni_op *hold)
{
    int64_t max = task->query->engine->config.cache_emit_bytes;
    return max > 0 && hold->held_rows * ROW_BYTES * task->stage->partitions_count > max;
}

/* A failed query is silent: the record that spoiled a round would spoil the next one, too. A paused
 * one gives only when it is dropped. */
static bool is_silent(const struct tni_query *query)
{
    return atomic_load(&query->is_failed) ||
           (atomic_load(&query->is_paused) && !atomic_load(&query->is_emit_wanted));
}

static bool is_open(const struct tni_task *task, const struct tni_op *hold)
{
    const struct tni_query *query = task->query;
    if (is_silent(query))
        return false;
    return atomic_load(&query->is_emit_wanted) || atomic_load(&query->engine->is_emit_wanted) ||
           is_full(task, hold) || tn_mono_ns(query->engine->clock) >= hold->emit_at_ns;
}

bool tni_hold_is_due(const struct tni_task *task, const struct tni_op *op)
{
    return op->node->kind == TN_NODE_HOLD && op->has_held && is_open(task, op);
}

void tni_worker_plan_emits(struct tni_worker *worker)
{
    int64_t at_ns = INT64_MAX;
    for (uint32_t t = 0; t < worker->tasks_count; t++) {
        struct tni_task *task = worker->tasks[t];
        if (!task->query->plan->emit_interval_ms || !tni_task_is_live(task) || task->is_blocked ||
            is_silent(task->query))
            continue;
        for (uint32_t i = 0; i < task->ops_count; i++) {
            const struct tni_op *op = &task->ops[i];
            if (op->node->kind != TN_NODE_HOLD || !op->has_held)
                continue;
            int64_t due_ns = is_full(task, op) ? 0 : op->emit_at_ns;
            at_ns = due_ns < at_ns ? due_ns : at_ns;
        }
    }
    if (at_ns < atomic_exchange(&worker->emit_at_ns, at_ns))
        tni_commit_kick(worker->engine);
}

/* The store's results are out as of now: the next ones wait. */
static void went_out(struct tni_task *task, const struct tni_op *op, struct tni_op *hold)
{
    hold->stream_time_ms = op->stream_time_ms;
    hold->emit_at_ns =
        tn_mono_ns(task->query->engine->clock) + task->query->plan->emit_interval_ms * 1000000;
    hold->held_rows = 0;
}

/* ---- taking ---- */

/* `count` strings as a BYTES column; ptr NULL = NULL. Columns of the arena given. */
static struct tn_column bytes_column(const struct tn_str *items, uint32_t count,
                                     struct tn_arena *arena)
{
    struct tn_column col = {.type = tn_type_of(TN_K_BYTES), .rows_count = count};
    size_t bytes = 0;
    for (uint32_t i = 0; i < count; i++)
        bytes += items[i].len;
    TN_ASSERT(bytes <= INT32_MAX);
    col.offsets = tn_arena_alloc(arena, (count + 1) * sizeof *col.offsets);
    col.data = tn_arena_alloc(arena, bytes + 1);
    col.offsets[0] = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (items[i].len)
            memcpy(col.data + col.offsets[i], items[i].ptr, items[i].len);
        col.offsets[i + 1] = col.offsets[i] + (int32_t)items[i].len;
        if (!items[i].ptr)
            tn_column_set_null(&col, i, arena);
    }
    return col;
}

/* The ktable is emptied. */
static void forget(struct tni_op *hold, struct tni_entry *const *entries, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        tni_ktable_delete(hold->kt, entries[i], tni_entry_rowtime_ms(entries[i]));
    hold->is_touched = true;
    hold->has_held = hold->is_emitted = false;
}

static enum tn_status forget_emitted(struct tni_op *hold, struct tn_err *err)
{
    struct tni_entry **entries = NULL;
    uint32_t count = 0;
    if (!hold->is_emitted)
        return TN_OK;
    TN_TRY(tni_ktable_living(hold->kt, &entries, &count, err));
    forget(hold, entries, count);
    tn_free(entries);
    return TN_OK;
}

struct taken {
    struct tn_str *keys, *befores;
    int64_t *rowtimes_ms;
    bool *is_delete;
    uint32_t count;
};

/* New keys are kept with the row before; of known ones only the time of a deletion is news. */
static enum tn_status take(struct tni_task *task, struct tni_op *hold, const struct taken *taken,
                           struct tn_err *err)
{
    struct tn_arena *arena = task->arena;
    uint32_t n = taken->count, rows_count = 0;
    struct tn_column keys = bytes_column(taken->keys, n, arena), known;
    struct tni_entry **entries = tn_arena_alloc(arena, n * sizeof *entries), **changed = NULL;
    TN_TRY(tni_ktable_acquire(hold->kt, &keys, NULL, n, NULL, entries, err));
    TN_TRY(tni_ktable_columns(hold->kt, entries, n, NULL, arena, &known, err));
    uint32_t *rows = tn_arena_alloc(arena, n * sizeof *rows);
    changed = tn_arena_alloc(arena, n * sizeof *changed);
    for (uint32_t i = 0; i < n; i++) {
        bool exists = tni_entry_exists(entries[i]);
        if (exists && !taken->is_delete[i])
            continue;
        if (exists)
            taken->befores[i] =
                tn_column_is_null(&known, i) ? (struct tn_str){0} : tn_column_str(&known, i);
        hold->held_rows += !exists;
        changed[rows_count] = entries[i];
        rows[rows_count++] = i;
    }
    if (!rows_count)
        return TN_OK;
    struct tn_column befores = bytes_column(taken->befores, n, arena);
    tni_ktable_put(hold->kt, changed, &befores, taken->rowtimes_ms, rows, rows_count);
    hold->is_touched = hold->has_held = true;
    return TN_OK;
}

enum tn_status tni_hold_changes(struct tni_task *task, struct tni_op *op, struct tni_op *hold,
                                const struct tni_delta *delta, struct tn_err *err)
{
    TN_TRY(forget_emitted(hold, err));
    if (!hold->has_held && is_open(task, hold)) {
        went_out(task, op, hold);
        return tni_push_changes(task, op, hold, delta, err);
    }
    uint32_t count = tni_delta_count(delta);
    for (uint32_t from = 0; from < count;) {
        struct tn_arena *arena = task->arena;
        size_t bytes = 0;
        struct taken taken = {.keys = TN_ARENA_ARRAY(arena, struct tn_str, STEP),
                              .befores = TN_ARENA_ARRAY(arena, struct tn_str, STEP),
                              .rowtimes_ms = TN_ARENA_ARRAY(arena, int64_t, STEP),
                              .is_delete = TN_ARENA_ARRAY(arena, bool, STEP)};
        for (; from < count && taken.count < STEP && bytes < BYTES_STEP; from++) {
            struct tni_change change = tni_delta_get(delta, from);
            if (change.is_same)
                continue;
            taken.keys[taken.count] = change.key;
            taken.befores[taken.count] = change.before;
            taken.rowtimes_ms[taken.count] = change.rowtime_ms;
            taken.is_delete[taken.count++] = !change.row.ptr;
            bytes += change.key.len + change.before.len;
        }
        if (taken.count)
            TN_TRY(take(task, hold, &taken, err));
        tn_arena_reset(arena);
    }
    return TN_OK;
}

/* ---- giving ---- */

static bool is_same(struct tn_str row, struct tn_str before)
{
    size_t time = sizeof(int64_t); /* the row's own time does not count */
    return row.ptr && before.ptr && row.len == before.len &&
           memcmp(row.ptr + time, before.ptr + time, row.len - time) == 0;
}

static enum tn_status give(struct tni_task *task, struct tni_op *op, struct tni_op *hold,
                           struct tni_entry *const *entries, uint32_t count, struct tn_err *err)
{
    struct tn_arena *arena = task->arena;
    struct tni_chunk *chunk = &task->worker->scratch->chunk;
    struct tn_str *keys = TN_ARENA_ARRAY(arena, struct tn_str, count);
    struct tn_str *rows = TN_ARENA_ARRAY(arena, struct tn_str, count);
    struct tn_column key_bytes, befores;
    tni_ktable_key_columns(hold->kt, entries, count, arena, &key_bytes);
    TN_TRY(tni_ktable_columns(hold->kt, entries, count, NULL, arena, &befores, err));
    for (uint32_t i = 0; i < count; i++)
        keys[i] = tn_column_str(&key_bytes, i);
    TN_TRY(tni_ktable_last(op->kt, keys, count, rows, err));
    chunk->count = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct tni_change change = {
            .key = keys[i], .row = rows[i], .rowtime_ms = tni_entry_rowtime_ms(entries[i])};
        if (!tn_column_is_null(&befores, i))
            change.before = tn_column_str(&befores, i);
        change.is_same = is_same(change.row, change.before);
        tni_chunk_change(chunk, &change, hold->needs_before);
    }
    TN_TRY(tni_chunk_push(task, op, hold, chunk, err));
    tn_arena_reset(arena);
    return TN_OK;
}

static enum tn_status give_all(struct tni_task *task, struct tni_op *hold, struct tn_err *err)
{
    struct tni_op *op = &task->ops[hold->node->input];
    struct tni_entry **entries = NULL;
    uint32_t count = 0;
    TN_TRY(tni_ktable_living(hold->kt, &entries, &count, err));
    enum tn_status st = TN_OK;
    for (uint32_t from = 0; from < count && !tn_failed(st); from += STEP)
        st = give(task, op, hold, entries + from, count - from < STEP ? count - from : STEP, err);
    if (!tn_failed(st)) {
        went_out(task, op, hold);
        if (task->query->engine->config.is_at_least_once)
            hold->is_emitted = count > 0;
        else
            forget(hold, entries, count);
        hold->has_held = hold->is_emitted;
    }
    tn_free(entries);
    return st;
}

enum tn_status tni_hold_boundary(struct tni_task *task, struct tni_op *hold, struct tni_turn *turn,
                                 struct tn_err *err)
{
    TN_TRY(forget_emitted(hold, err));
    if (tni_hold_is_due(task, hold))
        TN_TRY(give_all(task, hold, err));
    struct tni_delta *delta = tni_ktable_boundary(hold->kt);
    hold->is_touched = false;
    if (!delta)
        return TN_OK;
    turn->deltas[hold->number] = delta;
    tni_write_changelog(task, hold, turn, delta);
    return TN_OK;
}
