/* A worker's unit of work: a boundary when one is wanted, a piece of restore, queued input, one
 * read.
 *
 * The order matters for liveness only: boundaries first (a round waits for all workers), then what
 * is decoded already, then reading. A worker whose open round is full does nothing until the
 * boundary. @thread worker
 */
#include "stream/engine_int.h"

#include "stream/base/logline.h"
#include "stream/base/mem.h"

#define WARM_ROWS 1000

void tni_worker_boundary(struct tni_worker *worker)
{
    struct tn_engine *engine = worker->engine;
    struct tni_part *part = tn_alloc(sizeof *part);
    for (uint32_t i = 0; i < worker->tasks_count; i++) {
        struct tn_err err = TN_ERR_INIT;
        struct tni_turn *turn = tni_task_boundary(worker->tasks[i], &err);
        if (err.code != TN_OK)
            tni_task_trouble(worker->tasks[i], &err);
        if (!turn)
            continue;
        if (part->turns_last)
            part->turns_last->next = turn;
        else
            part->turns = turn;
        part->turns_last = turn;
    }
    tni_dead_take(worker->dead, part);
    tn_arena_reset(&worker->arena);
    int64_t rows = atomic_load(&worker->open_rows);
    tn_metric_observe(engine->m.round_rows, rows);
    tn_metric_add(engine->m.rows_in, rows);
    atomic_store(&worker->open_rows, 0);
    atomic_store(&worker->folded_rows, 0);
    atomic_store(&worker->round_bytes, 0);
    atomic_store(&worker->changed_at_ns, 0);
    atomic_store(&worker->has_changes, false);
    atomic_store(&worker->has_rows, false);
    tni_worker_plan_emits(worker);
    pthread_mutex_lock(&engine->lock);
    TN_ASSERT(!engine->parts[worker->index]);
    engine->parts[worker->index] = part;
    engine->parts_count++;
    pthread_mutex_unlock(&engine->lock);
    worker->round++;
    tni_commit_kick(engine);
}

/* ---- restoring ---- */

static bool replay_is_done(struct tni_task *task)
{
    for (uint32_t i = 0; i < task->inputs_count; i++) {
        const struct tni_input *input = &task->inputs[i];
        if (input->is_replayed && input->stop_at != INT64_MAX &&
            (input->queue_count || atomic_load(&input->position) < input->stop_at))
            return false;
    }
    return true;
}

static void go_live(struct tni_task *task)
{
    for (uint32_t i = 0; i < task->inputs_count; i++) {
        struct tni_input *input = &task->inputs[i];
        input->stop_at = INT64_MAX;
        if (input->source)
            input->source->is_drained = false;
        atomic_store(&input->position, atomic_load(&input->committed));
    }
    tni_restore_free(task->restore);
    task->restore = NULL;
    task->stream_time_ms = task->committed_time_ms;
    int64_t emit_ns = task->query->plan->emit_interval_ms * 1000000;
    for (uint32_t i = 0; i < task->ops_count; i++)
        tni_hold_reset(&task->ops[i], tn_mono_ns(task->query->engine->clock) + emit_ns);
    atomic_store_explicit(&task->state, TNI_TASK_RUNNING, memory_order_release);
    atomic_store(&task->worker->has_changes, true); /* a new query's first positions */
    tni_worker_plan_emits(task->worker);
    tni_fresh_signal(task->query->engine);
}

static enum tn_status restore_unit(struct tni_task *task)
{
    struct tn_err err = TN_ERR_INIT;
    enum tn_status st = tni_restore_step(task, &err);
    if (tn_failed(st)) {
        tni_task_trouble(task, &err);
        return TN_AGAIN;
    }
    if (st != TN_END)
        return st;
    bool has_attached = false;
    for (uint32_t i = 0; i < task->inputs_count; i++) {
        struct tni_input *input = &task->inputs[i];
        if (!input->is_replayed || input->source || input->stop_at == INT64_MAX ||
            atomic_load(&input->position) >= input->stop_at)
            continue;
        tni_source_attach(input);
        has_attached = true;
    }
    if (has_attached)
        return TN_OK;
    if (!replay_is_done(task))
        return tni_task_run(task, &err);
    go_live(task);
    return TN_OK;
}

/* ---- inputs ---- */

static bool is_followed(const struct tni_task *task)
{
    return !atomic_load(&task->query->is_failed) && !atomic_load(&task->query->is_paused);
}

/* Inputs of a live task follow a source while its query runs, none otherwise. */
static bool attach_inputs(struct tni_task *task)
{
    bool has_changed = false, wanted = task->is_global ? !task->is_stuck : is_followed(task);
    for (uint32_t i = 0; i < task->inputs_count; i++) {
        struct tni_input *input = &task->inputs[i];
        if (wanted == (input->source != NULL))
            continue;
        if (wanted)
            tni_source_attach(input);
        else
            tni_source_detach(input);
        has_changed = true;
    }
    return has_changed;
}

static void check_ready(struct tni_task *task)
{
    if (!task->is_global || atomic_load(&task->is_ready))
        return;
    for (uint32_t i = 0; i < task->inputs_count; i++)
        if (atomic_load(&task->inputs[i].position) < task->inputs[i].ready_at)
            return;
    atomic_store_explicit(&task->is_ready, true, memory_order_release);
    tni_workers_kick(task->query->engine);
    tni_fresh_signal(task->query->engine);
}

/* Trouble of a copy is nobody's trouble: it begins again with the next look at the assignment. */
static enum tn_status standby_unit(struct tni_task *task)
{
    struct tn_err err = TN_ERR_INIT;
    enum tn_status st = tni_standby_step(task, &err);
    if (!tn_failed(st))
        return st;
    tn_logf(TN_LOG_WARN, "engine", "standby stopped: query=%s partition=%d: %s",
            task->query->plan->query_id, task->partition, err.message);
    task->is_state_bad = err.code == TN_E_CORRUPT;
    atomic_store(&task->state, TNI_TASK_STOPPED);
    return TN_AGAIN;
}

static enum tn_status task_unit(struct tni_task *task)
{
    if (task->is_blocked)
        return TN_AGAIN;
    switch ((enum tni_task_state)atomic_load(&task->state)) {
    case TNI_TASK_STOPPED: return TN_AGAIN;
    case TNI_TASK_STANDBY: return standby_unit(task);
    case TNI_TASK_RESTORING: return restore_unit(task);
    case TNI_TASK_RUNNING: break;
    }
    bool has_changed = attach_inputs(task);
    struct tn_err err = TN_ERR_INIT;
    enum tn_status st = tni_task_run(task, &err);
    check_ready(task);
    return has_changed ? TN_OK : st;
}

/* Only a row in its input's queue, or somebody who kicks the worker, gives it something to do. */
static bool waits_for_row(const struct tni_task *task)
{
    return atomic_load_explicit(&task->state, memory_order_relaxed) == TNI_TASK_RUNNING &&
           !task->is_global && task->inputs_count == 1 && task->inputs[0].source &&
           task->inputs[0].queue_count == 0;
}

/* Of hundreds of tasks few have rows: those that wait for one are not looked at. */
static enum tn_status run_tasks(struct tni_worker *worker)
{
    uint32_t at = worker->tasks_turn;
    for (uint32_t i = 0; i < worker->tasks_count; i++) {
        at = at + 1 < worker->tasks_count ? at + 1 : 0;
        if (worker->is_quiet[at])
            continue;
        if (task_unit(worker->tasks[at]) == TN_OK) {
            worker->tasks_turn = at;
            return TN_OK;
        }
        worker->is_quiet[at] = waits_for_row(worker->tasks[at]);
    }
    return TN_AGAIN;
}

static void source_failed(struct tni_source *source, const struct tn_err *err)
{
    tn_logf(TN_LOG_WARN, "engine", "input not usable: %s", err->message);
    for (uint32_t i = 0; i < source->inputs_count; i++)
        tni_task_fail(source->inputs[i]->task, err);
    source->is_drained = true;
}

/* TN_OK too when an input was found to be at its end: others of its task may have waited for that.
 */
static enum tn_status read_one(struct tni_worker *worker)
{
    bool has_drained = false;
    if (atomic_load_explicit(&worker->engine->holds_count, memory_order_relaxed) > 0)
        return TN_AGAIN;
    for (uint32_t i = 0; i < worker->sources_count; i++) {
        worker->sources_turn = (worker->sources_turn + 1) % worker->sources_count;
        struct tni_source *source = worker->sources[worker->sources_turn];
        struct tn_err err = TN_ERR_INIT;
        bool was_drained = source->is_drained;
        int64_t was_at = source->next;
        enum tn_status st = tni_source_step(source, &err);
        has_drained |= source->is_drained && !was_drained;
        if (tn_failed(st))
            source_failed(source, &err);
        if (source->next != was_at)
            tni_source_merge(source);
        if (st != TN_AGAIN)
            return TN_OK;
    }
    return has_drained ? TN_OK : TN_AGAIN;
}

bool tni_worker_is_full(const struct tni_worker *worker)
{
    const struct tn_engine_config *config = &worker->engine->config;
    int64_t share = (int64_t)worker->engine->workers_count;
    return tni_worker_rows(worker) * share >= config->round_rows_max ||
           atomic_load(&worker->round_bytes) * share >= config->round_bytes_max;
}

static void take_signal(struct tni_worker *worker)
{
    pthread_mutex_lock(&worker->lock);
    bool is_signalled = worker->is_signalled, is_kicked = worker->is_kicked;
    worker->is_signalled = worker->is_kicked = false;
    pthread_mutex_unlock(&worker->lock);
    if (is_kicked && worker->tasks_count)
        memset(worker->is_quiet, 0, worker->tasks_count * sizeof *worker->is_quiet);
    if (!is_signalled)
        return;
    tni_worker_plan_emits(worker); /* a paused query may go on */
    for (uint32_t i = 0; i < worker->sources_count; i++)
        worker->sources[i]->is_drained = false;
}

/* Idle time after a start: stored rows come into memory, so that later look-ups need no state port.
 */
static enum tn_status warm_one(struct tni_worker *worker)
{
    for (uint32_t t = 0; t < worker->tasks_count; t++) {
        struct tni_task *task = worker->tasks[t];
        for (uint32_t i = 0; i < task->ops_count && tni_task_is_live(task); i++) {
            struct tni_op *op = &task->ops[i];
            struct tn_err err = TN_ERR_INIT;
            if (!op->kt || op->is_warm)
                continue;
            enum tn_status st = tni_ktable_warm(op->kt, WARM_ROWS, &err);
            op->is_warm = st != TN_OK; /* done, no room, or not now: it is only a help */
            if (st == TN_OK)
                return TN_OK;
        }
    }
    return TN_AGAIN;
}

enum tn_status tni_worker_step(struct tni_worker *worker)
{
    struct tn_engine *engine = worker->engine;
    take_signal(worker); /* before looking at anything: what changes after this signals again */
    if (atomic_load(&engine->boundary_wanted) > worker->round) {
        tni_worker_boundary(worker);
        return TN_OK;
    }
    if (atomic_load(&engine->park_wanted) || atomic_load(&engine->is_fatal))
        return TN_AGAIN;
    if (tni_worker_is_full(worker)) {
        tni_commit_kick(engine);
        return TN_AGAIN;
    }
    worker->idle_until_ns = 0;
    enum tn_status st = run_tasks(worker);
    if (st != TN_OK)
        st = read_one(worker);
    if (atomic_load(&worker->has_changes) && atomic_load(&worker->changed_at_ns) == 0)
        atomic_store(&worker->changed_at_ns, tn_mono_ns(engine->clock));
    atomic_store(&worker->is_idle, st != TN_OK);
    return st == TN_OK ? st : warm_one(worker);
}
