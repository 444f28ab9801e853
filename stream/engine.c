/* The engine's life: open, threads, control operations, close. What it runs is in round.c,
 * round_worker.c, task*.c.
 *
 * THREADS. With tn_engine_start, worker w loops over tni_worker_step and the commit thread over
 * tni_round_step; both sleep on condition variables until somebody kicks them or their deadline
 * comes. Deadlines are the clock's mono_ns and must be CLOCK_MONOTONIC in this mode. With
 * tn_engine_step the same functions run on the caller's thread.
 *
 * Control operations (add, drop, replace a query, close) run on the commit thread between two
 * rounds: the workers make a boundary and park, the round is committed, the operation runs alone,
 * the workers go on.
 */
#include "stream/engine_int.h"

#include <stddef.h>
#include <stdio.h>

#include "stream/base/logline.h"
#include "stream/base/mem.h"
#include "stream/base/wait.h"
#include "stream/op_int.h"

#define CLOSE_STEPS_MAX                                                                            \
    100000 /* steps without threads before a close gives up on a log that never answers */
#define CLOSE_NS_MAX 10000000000ll

/* ---- wake-ups ---- */

static void wake(struct tni_worker *worker, bool is_kick)
{
    pthread_mutex_lock(&worker->lock);
    worker->is_signalled = true;
    worker->is_kicked |= is_kick;
    pthread_cond_signal(&worker->cond);
    pthread_mutex_unlock(&worker->lock);
}

void tni_worker_kick(struct tni_worker *worker)
{
    wake(worker, true);
}

void tni_workers_kick(struct tn_engine *engine)
{
    for (uint32_t w = 0; w < engine->workers_count; w++)
        tni_worker_kick(&engine->workers[w]);
}

void tni_commit_kick(struct tn_engine *engine)
{
    pthread_mutex_lock(&engine->commit_lock);
    engine->is_commit_signalled = true;
    pthread_cond_signal(&engine->commit_cond);
    pthread_mutex_unlock(&engine->commit_lock);
}

/* The log has something. */
static void worker_signal(struct tn_wake *of)
{
    wake((struct tni_worker *)(void *)((char *)of - offsetof(struct tni_worker, wake)), false);
}

static void commit_signal(struct tn_wake *wake)
{
    tni_commit_kick(
        (struct tn_engine *)(void *)((char *)wake - offsetof(struct tn_engine, commit_wake)));
}

/* ---- threads ---- */

/* Stands still at a batch boundary while the commit thread wants it; boundaries are still made. */
static void stay_parked(struct tni_worker *worker)
{
    struct tn_engine *engine = worker->engine;
    pthread_mutex_lock(&worker->lock);
    worker->is_parked = true;
    pthread_mutex_unlock(&worker->lock);
    tni_commit_kick(engine);
    pthread_mutex_lock(&worker->lock);
    while (worker->is_parked && !atomic_load(&engine->is_stopping)) {
        if (atomic_load(&engine->boundary_wanted) > worker->round) {
            pthread_mutex_unlock(&worker->lock);
            tni_worker_boundary(worker);
            pthread_mutex_lock(&worker->lock);
        } else {
            pthread_cond_wait(&worker->cond, &worker->lock);
        }
    }
    pthread_mutex_unlock(&worker->lock);
}

static void worker_wait(struct tni_worker *worker)
{
    struct tn_engine *engine = worker->engine;
    if (atomic_load(&worker->has_changes))
        tni_commit_kick(engine); /* drained: a round may be due */
    int64_t deadline = worker->idle_until_ns ? worker->idle_until_ns : INT64_MAX;
    pthread_mutex_lock(&worker->lock);
    while (!worker->is_signalled && !atomic_load(&engine->is_stopping) &&
           tn_mono_ns(engine->clock) < deadline)
        (void)tn_cond_wait_until(&worker->cond, &worker->lock, deadline);
    pthread_mutex_unlock(&worker->lock);
}

static void *worker_main(void *arg)
{
    struct tni_worker *worker = arg;
    struct tn_engine *engine = worker->engine;
    while (!atomic_load(&engine->is_stopping)) {
        enum tn_status st = tni_worker_step(worker);
        if (st == TN_OK)
            continue;
        if (atomic_load(&engine->park_wanted))
            stay_parked(worker);
        else
            worker_wait(worker);
    }
    return NULL;
}

static void *commit_main(void *arg)
{
    struct tn_engine *engine = arg;
    while (!atomic_load(&engine->is_stopping)) {
        if (tni_round_step(engine) == TN_OK)
            continue;
        int64_t deadline = tni_round_deadline_ns(engine);
        pthread_mutex_lock(&engine->commit_lock);
        if (!engine->is_commit_signalled && !atomic_load(&engine->is_stopping) &&
            tn_mono_ns(engine->clock) < deadline)
            (void)tn_cond_wait_until(&engine->commit_cond, &engine->commit_lock, deadline);
        engine->is_commit_signalled = false;
        pthread_mutex_unlock(&engine->commit_lock);
    }
    return NULL;
}

static enum tn_status spawn(pthread_t *thread, void *(*fn)(void *), void *arg, struct tn_err *err)
{
    int rc = pthread_create(thread, NULL, fn, arg);
    if (rc != 0)
        return tn_err_set(err, TN_E_IO, "a thread could not be started: error %d", rc);
    return TN_OK;
}

enum tn_status tn_engine_start(struct tn_engine *engine, struct tn_err *err)
{
    TN_ASSERT(!engine->has_threads);
    engine->has_threads = true;
    for (uint32_t w = 0; w < engine->workers_count; w++) {
        TN_TRY(spawn(&engine->workers[w].thread, worker_main, &engine->workers[w], err));
        engine->workers[w].has_thread = true;
    }
    TN_TRY(spawn(&engine->commit_thread, commit_main, engine, err));
    engine->has_commit_thread = true;
    return TN_OK;
}

static void stop_threads(struct tn_engine *engine)
{
    atomic_store(&engine->is_stopping, true);
    tni_workers_kick(engine);
    tni_commit_kick(engine);
    for (uint32_t w = 0; w < engine->workers_count; w++)
        if (engine->workers[w].has_thread)
            pthread_join(engine->workers[w].thread, NULL);
    if (engine->has_commit_thread)
        pthread_join(engine->commit_thread, NULL);
    engine->has_threads = engine->has_commit_thread = false;
}

enum tn_status tn_engine_step(struct tn_engine *engine, struct tn_err *err)
{
    TN_ASSERT(!engine->has_threads);
    bool has_worked = false;
    for (uint32_t i = 0; i < engine->workers_count && !has_worked; i++) {
        engine->step_turn = (engine->step_turn + 1) % engine->workers_count;
        has_worked = tni_worker_step(&engine->workers[engine->step_turn]) == TN_OK;
    }
    has_worked |= tni_round_step(engine) == TN_OK;
    if (atomic_load(&engine->is_fatal)) {
        if (err)
            *err = engine->fatal;
        return engine->fatal.code;
    }
    return has_worked ? TN_OK : TN_AGAIN;
}

/* ---- failures ---- */

void tni_query_fail(struct tni_query *query, const struct tn_err *err)
{
    struct tn_engine *engine = query->engine;
    pthread_mutex_lock(&engine->lock);
    bool is_first = !atomic_load(&query->is_failed);
    if (is_first) {
        query->error = *err;
        atomic_store_explicit(&query->is_failed, true, memory_order_release);
    }
    pthread_mutex_unlock(&engine->lock);
    if (!is_first)
        return;
    tn_logf(TN_LOG_ERROR, "engine", "query failed: query=%s: %s", query->plan->query_id,
            err->message);
    tni_workers_kick(engine);
}

void tni_engine_fail(struct tn_engine *engine, const struct tn_err *err)
{
    pthread_mutex_lock(&engine->lock);
    engine->fatal = *err;
    engine->fatal.fatal = true;
    atomic_store(&engine->is_fatal, true);
    pthread_mutex_unlock(&engine->lock);
    if (engine->member) /* others take over */
        engine->log->type->member_close(engine->member);
    engine->member = NULL;
    engine->log->type->txn_close(engine->txn);
    engine->txn = NULL;
    tn_logf(TN_LOG_ERROR, "engine", "processing stopped: %s", err->message);
    tni_workers_kick(engine);
}

/* ---- control operations ---- */

/* Without threads: run rounds here until the operation is done. */
static bool step_until_done(struct tn_engine *engine, const struct tni_control *control)
{
    for (int i = 0; i < CLOSE_STEPS_MAX && !control->is_done; i++) {
        for (uint32_t w = 0; w < engine->workers_count; w++)
            if (atomic_load(&engine->boundary_wanted) > engine->workers[w].round)
                tni_worker_step(&engine->workers[w]);
        if (tni_round_step(engine) == TN_AGAIN)
            engine->retry_at_ns = 0; /* nobody else turns the clock while we wait */
    }
    return control->is_done;
}

static bool wait_until_done(struct tn_engine *engine, const struct tni_control *control,
                            int64_t deadline_ns)
{
    tni_commit_kick(engine);
    pthread_mutex_lock(&engine->lock);
    while (!control->is_done && tn_mono_ns(engine->clock) < deadline_ns)
        (void)tn_cond_wait_until(&engine->controls_changed, &engine->lock, deadline_ns);
    bool is_done = control->is_done;
    pthread_mutex_unlock(&engine->lock);
    return is_done;
}

/* False: the commit thread has taken it and will finish it. */
static bool unlink_control(struct tn_engine *engine, const struct tni_control *control)
{
    bool was_waiting = false;
    pthread_mutex_lock(&engine->lock);
    for (struct tni_control **at = &engine->controls; *at && !was_waiting;) {
        was_waiting = *at == control;
        if (was_waiting)
            *at = control->next;
        else
            at = &(*at)->next;
    }
    pthread_mutex_unlock(&engine->lock);
    return was_waiting;
}

static enum tn_status run_control(struct tn_engine *engine,
                                  enum tn_status (*run)(struct tn_engine *engine, void *ctx,
                                                        struct tn_err *err),
                                  void *ctx, int64_t wait_ns, struct tn_err *err)
{
    struct tni_control control = {.run = run, .ctx = ctx, .err = err};
    pthread_mutex_lock(&engine->lock);
    struct tni_control **at = &engine->controls;
    while (*at)
        at = &(*at)->next;
    *at = &control;
    pthread_mutex_unlock(&engine->lock);
    int64_t deadline = wait_ns == INT64_MAX ? INT64_MAX : tn_mono_ns(engine->clock) + wait_ns;
    bool is_done = engine->has_threads ? wait_until_done(engine, &control, deadline)
                                       : step_until_done(engine, &control);
    if (!is_done && !unlink_control(engine, &control))
        is_done = wait_until_done(engine, &control, INT64_MAX);
    if (is_done)
        return control.st;
    return tn_err_set(err, TN_E_TIMEOUT, "the log did not settle a commit in time");
}

enum tn_status tni_engine_control(struct tn_engine *engine,
                                  enum tn_status (*run)(struct tn_engine *engine, void *ctx,
                                                        struct tn_err *err),
                                  void *ctx, struct tn_err *err)
{
    return run_control(engine, run, ctx, INT64_MAX, err);
}

/* ---- open ---- */

static enum tn_status init_worker(struct tn_engine *engine, uint32_t index, struct tn_err *err)
{
    struct tni_worker *worker = &engine->workers[index];
    worker->engine = engine;
    worker->index = index;
    atomic_init(&worker->emit_at_ns, INT64_MAX);
    worker->wake.signal = worker_signal;
    pthread_mutex_init(&worker->lock, NULL);
    pthread_cond_init(&worker->cond, NULL);
    tn_arena_init(&worker->arena, 0);
    worker->scratch = tn_alloc(sizeof *worker->scratch);
    worker->dead = tni_dead_new(worker);
    engine->workers_count++;
    return engine->log->type->reader_open(engine->log, &worker->wake, &worker->reader, err);
}

static enum tn_status open_dead_topic(struct tn_engine *engine, struct tn_err *err)
{
    char name[TN_TOPIC_NAME_MAX + 1];
    int len = snprintf(name, sizeof name, "%s-dead-letters", engine->application_id);
    if (len < 0 || (size_t)len >= sizeof name)
        return tn_err_set(err, TN_E_INVALID, "application.id '%s' is too long",
                          engine->application_id);
    enum tn_status st = engine->log->type->topic_find(engine->log, name, &engine->dead_topic, err);
    if (st != TN_NOT_FOUND)
        return st;
    struct tn_topic_spec spec = {.name = name,
                                 .partitions_count = 1,
                                 .cleanup = TN_CLEANUP_DELETE,
                                 .retention_ms = -1,
                                 .retention_bytes = -1};
    TN_TRY(engine->log->type->topic_create(engine->log, &spec, err));
    return engine->log->type->topic_find(engine->log, name, &engine->dead_topic, err);
}

static void init_locks(struct tn_engine *engine)
{
    pthread_mutex_init(&engine->lock, NULL);
    pthread_mutex_init(&engine->subs_lock, NULL);
    pthread_mutex_init(&engine->commit_lock, NULL);
    pthread_cond_init(&engine->commit_cond, NULL);
    pthread_cond_init(&engine->controls_changed, NULL);
    engine->commit_wake.signal = commit_signal;
}

static void init_config(struct tn_engine *engine, const struct tn_engine_config *config)
{
    engine->config = *config;
    snprintf(engine->application_id, sizeof engine->application_id, "%s", config->application_id);
    if (engine->config.round_rows_max <= 0)
        engine->config.round_rows_max = 1000000;
    if (engine->config.round_bytes_max <= 0)
        engine->config.round_bytes_max = 64 << 20;
    if (engine->config.commit_interval_ms <= 0)
        engine->config.commit_interval_ms = 100;
    engine->has_members = config->is_member && engine->log->type->member_open;
    if (engine->config.state_cache_bytes <= 0)
        engine->config.state_cache_bytes = 64 << 20;
    tni_budget_init(&engine->budget, engine->config.state_cache_bytes);
}

enum tn_status tn_engine_open(const struct tn_engine_config *config, struct tn_log *log,
                              struct tn_state *state, struct tn_clock *clock,
                              struct tn_engine **ret_engine, struct tn_err *err)
{
    if (!config->application_id || !*config->application_id)
        return tn_err_set(err, TN_E_INVALID, "application.id is missing");
    struct tn_engine *engine = tn_alloc(sizeof *engine);
    enum tn_status st;
    engine->log = log;
    engine->state = state;
    engine->clock = clock;
    init_config(engine, config);
    init_locks(engine);
    tni_engine_metrics_init(engine);
    TN_GOTO(tni_view_init(&engine->view, state, 0, err));
    engine->has_view = true;
    int32_t workers = config->threads_count < 1 ? 1 : config->threads_count;
    workers = workers > TNI_WORKERS_MAX ? TNI_WORKERS_MAX : workers;
    for (int32_t w = 0; w < workers; w++)
        TN_GOTO(init_worker(engine, (uint32_t)w, err));
    TN_GOTO(open_dead_topic(engine, err));
    TN_GOTO(tni_engine_load_marks(engine, err));
    engine->flushed_at_ns = tn_mono_ns(clock);
    *ret_engine = engine;
    return TN_OK;
fail:
    tni_engine_abandon(engine);
    return st;
}

/* ---- close ---- */

static void release_worker(struct tni_worker *worker)
{
    for (struct tni_block *block = worker->free_blocks, *next; block; block = next) {
        next = block->next_free;
        tn_arena_release(&block->arena);
        tn_free(block);
    }
    worker->engine->log->type->reader_close(worker->reader);
    tni_dead_free(worker->dead);
    tn_free(worker->scratch);
    tn_free(worker->tasks);
    tn_free(worker->is_quiet);
    tn_free(worker->sources);
    tn_arena_release(&worker->arena);
    pthread_cond_destroy(&worker->cond);
    pthread_mutex_destroy(&worker->lock);
}

void tni_engine_abandon(struct tn_engine *engine)
{
    stop_threads(engine);
    engine->log->type->txn_close(engine->txn);
    engine->txn = NULL;
    if (engine->member)
        engine->log->type->member_close(engine->member);
    engine->member = NULL;
    for (uint32_t q = 0; q < engine->queries_count; q++)
        for (uint32_t t = 0; t < engine->queries[q]->tasks_count; t++)
            (void)tni_task_drop_changes(&engine->queries[q]->tasks[t], NULL);
    tni_parts_clear(engine);
    for (uint32_t q = 0; q < engine->queries_count; q++)
        tni_query_free(engine->queries[q]);
    for (uint32_t q = 0; q < engine->dropping_count; q++)
        tni_query_free(engine->dropping[q]);
    tn_free(engine->queries);
    tn_free(engine->dropping);
    for (uint32_t i = 0; i < engine->dropped_count; i++)
        tn_free((char *)(uintptr_t)engine->dropped_positions[i].ptr);
    tn_free(engine->dropped_positions);
    tn_free(engine->groups);
    for (uint32_t w = 0; w < engine->workers_count; w++)
        release_worker(&engine->workers[w]);
    if (engine->has_view)
        tni_view_release(&engine->view);
    if (!engine->config.metrics)
        tn_metrics_free(engine->metrics);
    pthread_mutex_destroy(&engine->lock);
    pthread_mutex_destroy(&engine->subs_lock);
    pthread_mutex_destroy(&engine->commit_lock);
    pthread_cond_destroy(&engine->commit_cond);
    pthread_cond_destroy(&engine->controls_changed);
    tn_free(engine);
}

static enum tn_status run_close(struct tn_engine *engine, void *ctx, struct tn_err *err)
{
    (void)ctx;
    if (atomic_load(&engine->is_fatal))
        return TN_OK; /* write nothing anywhere */
    TN_TRY(tni_round_flush(engine, true, err));
    tni_member_leave(engine);
    engine->member_partitions = 0; /* for good: not to be joined again until the threads end */
    return TN_OK;
}

void tn_engine_close(struct tn_engine *engine)
{
    if (!engine)
        return;
    struct tn_err err = TN_ERR_INIT;
    atomic_store(&engine->is_emit_wanted, true);
    enum tn_status st = run_control(engine, run_close, NULL, CLOSE_NS_MAX, &err);
    if (tn_failed(st))
        tn_logf(TN_LOG_WARN, "engine", "closed without a last commit: %s", err.message);
    tni_engine_abandon(engine);
}
