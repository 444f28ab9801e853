/* Running a task: rows from its inputs through its operators.
 *
 * A task with one input takes what comes. A task with several (stream and table side of a join)
 * merges them by timestamp in runs of rows: the input whose head row is oldest goes first and runs
 * until the head of another one is older; at equal times tables go before streams. An empty input
 * holds the others back only while it is known to have more (its source is not drained) or for
 * max.task.idle.
 *
 * Replay. While a store that is rebuilt from its source topic is behind its committed position, and
 * always in a global task, rows go only along the path to the store and each batch is published at
 * once: nothing of it belongs to a round.
 * @thread worker
 */
#include "stream/op_int.h"

void tni_task_touch(struct tni_task *task, struct tni_op *op)
{
    op->is_touched = true;
    struct tni_worker *worker = task->worker;
    if (!atomic_load_explicit(&worker->has_changes, memory_order_relaxed))
        atomic_store(&worker->has_changes, true);
}

bool tni_task_is_replaying(const struct tni_task *task)
{
    return task->is_global ||
           atomic_load_explicit(&task->state, memory_order_relaxed) == TNI_TASK_RESTORING;
}

/* Committed side of the replayed stores follows the batch. */
static void publish_replayed(struct tni_task *task, struct tni_input *input)
{
    struct tn_engine *engine = task->query->engine;
    pthread_mutex_lock(&task->side_lock);
    for (uint32_t i = 0; i < task->ops_count; i++) {
        struct tni_op *op = &task->ops[i];
        if (!op->kt || !op->is_touched)
            continue;
        struct tni_delta *delta = tni_ktable_boundary(op->kt);
        op->is_touched = false;
        if (!delta)
            continue;
        int64_t commit = task->is_global ? tni_view_commit(&task->global_view) + 1
                                         : tni_view_commit(&engine->view);
        tni_ktable_publish(op->kt, delta, commit);
        if (task->is_global)
            tni_view_advance(&task->global_view, commit);
        tni_ktable_gc(op->kt);
    }
    atomic_store(&input->applied, atomic_load(&input->position));
    pthread_mutex_unlock(&task->side_lock);
}

static void trim(struct tni_task *task)
{
    struct tn_engine *engine = task->query->engine;
    for (uint32_t i = 0; i < task->ops_count; i++) {
        struct tni_op *op = &task->ops[i];
        if (op->kt && !tni_ktable_trim(op->kt) &&
            !atomic_exchange_explicit(&engine->is_flush_wanted, true, memory_order_relaxed))
            tni_commit_kick(engine);
    }
}

static int64_t latest(const struct tn_batch *batch)
{
    int64_t max = INT64_MIN;
    for (uint32_t i = 0; i < batch->rows_count; i++)
        max = batch->rowtime_ms[i] > max ? batch->rowtime_ms[i] : max;
    return max;
}

static void advance_time(struct tni_task *task, struct tni_block *block,
                         const struct tn_batch *batch)
{
    int64_t max = INT64_MIN;
    if (batch != block->batch)
        max = latest(batch);
    else if (block->time_max_ms == INT64_MIN) /* once for all tasks that read it */
        max = block->time_max_ms = latest(batch);
    else
        max = block->time_max_ms;
    if (max > task->stream_time_ms)
        task->stream_time_ms = max;
    atomic_store_explicit(&task->shown_time_ms, task->stream_time_ms, memory_order_relaxed);
}

/* Rows [from, to) of the block, then the input stands at `next`. */
static enum tn_status run_rows(struct tni_input *input, struct tni_block *block, uint32_t from,
                               uint32_t to, int64_t next, struct tn_err *err)
{
    struct tni_task *task = input->task;
    struct tni_worker *worker = task->worker;
    enum tn_status st = TN_OK;
    if (block->batch && to > from) {
        struct tn_batch *batch = block->batch;
        if (to - from < batch->rows_count) {
            uint32_t *rows = tn_arena_alloc(task->arena, (to - from) * sizeof *rows);
            for (uint32_t i = from; i < to; i++)
                rows[i - from] = i;
            batch = tn_batch_gather(batch, rows, to - from, task->arena);
        }
        advance_time(task, block, batch);
        if (!tni_task_is_replaying(task)) {
            atomic_fetch_add_explicit(&task->query->counters.rows_in, to - from,
                                      memory_order_relaxed);
            atomic_fetch_add_explicit(&worker->open_rows, to - from, memory_order_relaxed);
            if (task->is_folding)
                atomic_fetch_add_explicit(&worker->folded_rows, to - from, memory_order_relaxed);
        }
        st = tni_op_push(task, &task->ops[input->node], batch, err);
    }
    if (block->batch || block->bad_count) { /* rows or dead letters that a commit must show */
        atomic_store_explicit(&input->rows_end, next, memory_order_release);
        if (!tni_task_is_replaying(task))
            atomic_store(&worker->has_rows, true);
    }
    atomic_store_explicit(&input->position, next, memory_order_release);
    if (!tni_task_is_replaying(task))
        atomic_store(&worker->has_changes, true);
    else if (!tn_failed(st))
        publish_replayed(task, input);
    trim(task);
    tn_arena_reset(task->arena);
    return st;
}

/* ---- queues ---- */

static struct tni_queued *head(struct tni_input *input)
{
    return input->queue_count ? &input->queue[input->queue_from] : NULL;
}

static void pop(struct tni_input *input)
{
    tni_block_unref(input->queue[input->queue_from].block);
    input->queue_from = (input->queue_from + 1) % TNI_QUEUE_BLOCKS_MAX;
    input->queue_count--;
}

/* Where the input stands after this block. Behind the last one in the queue the source may have
 * passed control records and aborted data already, and will not say so again. */
static int64_t position_after(const struct tni_input *input, const struct tni_block *block)
{
    const struct tni_source *source = input->source;
    bool is_ahead = source && input->queue_count == 1 && source->next > block->next;
    return is_ahead ? source->next : block->next;
}

/* Rows [row, to) of the head block; drops the block when it is used up. */
static enum tn_status run_head(struct tni_input *input, uint32_t to, struct tn_err *err)
{
    struct tni_queued *queued = head(input);
    struct tni_block *block = queued->block;
    uint32_t from = queued->row, rows_count = block->batch ? block->batch->rows_count : 0;
    bool is_last = to >= rows_count;
    if (is_last)
        to = rows_count;
    int64_t next = is_last ? position_after(input, block) : block->batch->offsets[to];
    block->refs++; /* trouble may clear the queue */
    enum tn_status st = run_rows(input, block, from, to, next, err);
    if (is_last)
        pop(input);
    else
        queued->row = to;
    tni_block_unref(block);
    return st;
}

static enum tn_status run_any(struct tni_task *task, struct tn_err *err)
{
    for (uint32_t i = 0; i < task->inputs_count; i++) {
        struct tni_queued *queued = head(&task->inputs[i]);
        if (queued)
            return run_head(&task->inputs[i], UINT32_MAX, err);
    }
    return TN_AGAIN;
}

/* ---- merge ---- */

/* May the others run although this input has nothing queued? */
static bool may_pass_empty(struct tni_input *input)
{
    struct tni_worker *worker = input->task->worker;
    struct tn_engine *engine = worker->engine;
    if (!input->source)
        return true;
    if (!input->source->is_drained)
        return false;
    if (engine->config.task_idle_ms <= 0)
        return true;
    int64_t now = tn_mono_ns(engine->clock);
    if (input->idle_since_ns == 0)
        input->idle_since_ns = now;
    int64_t until = input->idle_since_ns + engine->config.task_idle_ms * 1000000;
    if (now >= until)
        return true;
    if (worker->idle_until_ns == 0 || until < worker->idle_until_ns)
        worker->idle_until_ns = until;
    return false;
}

static int64_t head_time(struct tni_input *input)
{
    struct tni_queued *queued = head(input);
    return queued->block->batch->rowtime_ms[queued->row];
}

/* a goes before b at equal times. */
static bool goes_first(const struct tni_input *a, const struct tni_input *b)
{
    if (a->is_table != b->is_table)
        return a->is_table;
    return a < b;
}

/* Nothing queued anywhere: nobody waits for anybody, so nobody's waiting time runs. */
static bool is_empty(struct tni_task *task)
{
    for (uint32_t i = 0; i < task->inputs_count; i++)
        if (head(&task->inputs[i]))
            return false;
    for (uint32_t i = 0; i < task->inputs_count; i++)
        task->inputs[i].idle_since_ns = 0;
    return true;
}

/* The input to run and how far: rows up to (and, if it goes first at equal times, with) `limit_ms`.
 */
static struct tni_input *choose(struct tni_task *task, int64_t *ret_limit_ms, bool *ret_with_equal)
{
    struct tni_input *best = NULL;
    if (is_empty(task))
        return NULL;
    for (uint32_t i = 0; i < task->inputs_count; i++) {
        struct tni_input *input = &task->inputs[i];
        if (!head(input)) {
            if (!may_pass_empty(input))
                return NULL;
            continue;
        }
        input->idle_since_ns = 0;
        int64_t time = head_time(input);
        if (!best || time < head_time(best) || (time == head_time(best) && goes_first(input, best)))
            best = input;
    }
    *ret_limit_ms = INT64_MAX;
    *ret_with_equal = true;
    for (uint32_t i = 0; best && i < task->inputs_count; i++) {
        struct tni_input *other = &task->inputs[i];
        if (other == best || !head(other))
            continue;
        int64_t time = head_time(other);
        if (time < *ret_limit_ms || (time == *ret_limit_ms && !goes_first(best, other))) {
            *ret_limit_ms = time;
            *ret_with_equal = goes_first(best, other);
        }
    }
    return best;
}

static enum tn_status run_merged(struct tni_task *task, struct tn_err *err)
{
    for (uint32_t i = 0; i < task->inputs_count;
         i++) { /* blocks without rows only move the position */
        struct tni_queued *queued = head(&task->inputs[i]);
        if (queued && (!queued->block->batch || queued->row >= queued->block->batch->rows_count))
            return run_head(&task->inputs[i], UINT32_MAX, err);
    }
    int64_t limit_ms = 0;
    bool with_equal = false;
    struct tni_input *input = choose(task, &limit_ms, &with_equal);
    if (!input)
        return TN_AGAIN;
    struct tni_queued *queued = head(input);
    const struct tn_batch *batch = queued->block->batch;
    uint32_t to = queued->row + 1;
    while (to < batch->rows_count &&
           (batch->rowtime_ms[to] < limit_ms || (with_equal && batch->rowtime_ms[to] == limit_ms)))
        to++;
    return run_head(input, to, err);
}

/* ---- entry ---- */

static bool waits_for_global(const struct tni_task *task)
{
    for (uint32_t i = 0; i < task->ops_count; i++)
        if (task->ops[i].global &&
            !atomic_load_explicit(&task->ops[i].global->is_ready, memory_order_acquire))
            return true;
    return false;
}

static void detach_all(struct tni_task *task)
{
    for (uint32_t i = 0; i < task->inputs_count; i++)
        if (task->inputs[i].source || task->inputs[i].queue_count)
            tni_source_detach(&task->inputs[i]);
}

enum tn_status tni_task_run(struct tni_task *task, struct tn_err *err)
{
    if (atomic_load_explicit(&task->query->is_failed, memory_order_acquire)) {
        detach_all(task);
        return TN_AGAIN;
    }
    if (task->is_blocked || atomic_load(&task->state) == TNI_TASK_STOPPED || waits_for_global(task))
        return TN_AGAIN;
    bool is_merge = task->inputs_count > 1 && !tni_task_is_replaying(task);
    enum tn_status st = is_merge ? run_merged(task, err) : run_any(task, err);
    if (tn_failed(st)) {
        tni_task_trouble(task, err);
        return TN_AGAIN;
    }
    return st;
}
