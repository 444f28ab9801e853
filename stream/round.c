/* The commit round: when to close one, what happens to its outcome. The drawing is in
 * stream/README.md.
 *
 * HOW IT WORKS. tni_round_step is a state machine run by the commit thread (or by the caller of
 * tn_engine_step):
 *
 *   OPEN ──due──► CLOSING ──all parts──► COMMITTING ──committed──► publish, flush ──► OPEN
 *     │              │                      │                                  └─► CONTROL ──► OPEN
 *     └──────────────┴── trouble ───────────┴── aborted, indefinite ──► ABORTING ──► OPEN
 *
 * Workers are only asked for a boundary when no round is settling, so at most one round is settling
 * and one open; a worker whose open round is full waits (back-pressure). ABORTING and CONTROL wait
 * until every worker is parked at a batch boundary, then this thread owns everything.
 *
 * INVARIANTS
 *   I1  State, positions and outputs of a round become visible together, after the log accepted
 * them. I2  After an outcome that is not "committed" nothing of the round or of the open one
 * survives in memory. I3  An indefinite outcome is never guessed: everything is loaded again from
 * the log.
 * @thread commit
 */
#include "stream/engine_int.h"

#include "stream/base/logline.h"
#include "stream/base/mem.h"

#define MEMBER_NS      500000000ll /* news of the group are asked for this often */
#define POLL_NS        2000000ll   /* of a commit whose log does not signal */
#define BACKOFF_MS_MAX 1000

/* ---- parts ---- */

void tni_part_free(struct tni_part *part)
{
    if (!part)
        return;
    for (struct tni_turn *turn = part->turns, *next; turn; turn = next) {
        next = turn->next;
        tni_turn_free(turn);
    }
    tn_records_unref(part->dead);
    tn_free(part->marks);
    tn_free(part);
}

void tni_parts_clear(struct tn_engine *engine)
{
    for (uint32_t w = 0; w < engine->workers_count; w++) {
        tni_part_free(engine->parts[w]);
        engine->parts[w] = NULL;
    }
    engine->parts_count = 0;
}

static bool round_is_empty(const struct tn_engine *engine)
{
    if (engine->dropped_count)
        return false; /* positions to remove */
    for (uint32_t w = 0; w < engine->workers_count; w++)
        if (engine->parts[w]->turns || engine->parts[w]->dead)
            return false;
    return true;
}

/* ---- when ---- */

struct pending {
    bool has_changes, has_rows, is_drained, is_full;
    int64_t rows, bytes, since_ns, emit_at_ns;
};

static struct pending look(struct tn_engine *engine)
{
    struct pending p = {.is_drained = true, .since_ns = INT64_MAX, .emit_at_ns = INT64_MAX};
    for (uint32_t w = 0; w < engine->workers_count; w++) {
        struct tni_worker *worker = &engine->workers[w];
        p.has_changes |= atomic_load(&worker->has_changes);
        p.has_rows |= atomic_load(&worker->has_rows);
        p.is_full |= tni_worker_is_full(worker);
        p.is_drained &= atomic_load(&worker->is_idle);
        p.rows += tni_worker_rows(worker);
        p.bytes += atomic_load(&worker->round_bytes);
        int64_t since = atomic_load(&worker->changed_at_ns);
        if (since && since < p.since_ns)
            p.since_ns = since;
        int64_t emit_at = atomic_load(&worker->emit_at_ns);
        if (emit_at < p.emit_at_ns)
            p.emit_at_ns = emit_at;
    }
    return p;
}

/* Results pending emission, estimated by rows: every row may have touched another key. */
static int64_t pending_bytes(const struct pending *p)
{
    return p->bytes + p->rows * 64;
}

static int64_t interval_ns(const struct tn_engine *engine)
{
    int64_t interval = engine->config.commit_interval_ms * 1000000;
    return interval > TNI_COMMIT_GAP_NS ? interval : TNI_COMMIT_GAP_NS;
}

static bool has_controls(struct tn_engine *engine)
{
    pthread_mutex_lock(&engine->lock);
    bool has = engine->controls != NULL;
    pthread_mutex_unlock(&engine->lock);
    return has || engine->assignment.is_pending;
}

static bool is_due(struct tn_engine *engine, int64_t now)
{
    if (atomic_load(&engine->is_commit_wanted) || has_controls(engine))
        return true;
    struct pending p = look(engine);
    if (now >= p.emit_at_ns)
        return true;
    if (!p.has_changes && !engine->dropping_count && !atomic_load(&engine->is_flush_wanted))
        return false;
    if (p.is_full || atomic_load(&engine->is_flush_wanted) || engine->dropping_count)
        return true;
    if (engine->config.cache_emit_bytes > 0 && pending_bytes(&p) > engine->config.cache_emit_bytes)
        return true;
    if (p.since_ns != INT64_MAX && now - p.since_ns >= interval_ns(engine))
        return true;
    return p.has_rows && p.is_drained && now - engine->committed_at_ns >= TNI_COMMIT_GAP_NS;
}

static int64_t deadline_ns(struct tn_engine *engine)
{
    int64_t now = tn_mono_ns(engine->clock);
    if (engine->round_state == TNI_ROUND_COMMITTING || engine->round_state == TNI_ROUND_CLOSING)
        return now + POLL_NS;
    if (engine->round_state != TNI_ROUND_OPEN)
        return engine->retry_at_ns > now ? engine->retry_at_ns : INT64_MAX;
    struct pending p = look(engine);
    int64_t at = p.since_ns == INT64_MAX ? now : p.since_ns + interval_ns(engine);
    if (!p.has_changes)
        at = INT64_MAX;
    else if (p.has_rows && p.is_drained && engine->committed_at_ns + TNI_COMMIT_GAP_NS < at)
        at = engine->committed_at_ns + TNI_COMMIT_GAP_NS;
    at = p.emit_at_ns < at ? p.emit_at_ns : at;
    if (atomic_load(&engine->is_flush_wanted))
        at = now;
    return at > engine->retry_at_ns ? at : engine->retry_at_ns;
}

/* A group wants to be looked at even when nothing flows. */
int64_t tni_round_deadline_ns(struct tn_engine *engine)
{
    int64_t at = deadline_ns(engine), look_at = tn_mono_ns(engine->clock) + MEMBER_NS;
    return engine->has_members && look_at < at ? look_at : at;
}

/* ---- parking ---- */

bool tni_workers_are_parked(struct tn_engine *engine)
{
    if (!engine->has_threads)
        return true;
    for (uint32_t w = 0; w < engine->workers_count; w++) {
        struct tni_worker *worker = &engine->workers[w];
        pthread_mutex_lock(&worker->lock);
        bool is_parked = worker->is_parked;
        pthread_mutex_unlock(&worker->lock);
        if (!is_parked)
            return false;
    }
    return true;
}

static void park(struct tn_engine *engine)
{
    if (!atomic_exchange(&engine->park_wanted, true))
        tni_workers_kick(engine);
}

static void unpark(struct tn_engine *engine)
{
    atomic_store(&engine->park_wanted, false);
    for (uint32_t w = 0; w < engine->workers_count; w++) {
        struct tni_worker *worker = &engine->workers[w];
        pthread_mutex_lock(&worker->lock);
        worker->is_parked = false;
        worker->is_signalled = worker->is_kicked = true; /* inputs may have changed under it */
        pthread_cond_signal(&worker->cond);
        pthread_mutex_unlock(&worker->lock);
    }
}

/* ---- abort ---- */

static enum tn_status rewind_all(struct tn_engine *engine, struct tn_err *err)
{
    for (uint32_t w = 0; w < engine->workers_count; w++)
        tni_dead_rewind(engine->workers[w].dead, engine->parts[w]);
    for (uint32_t q = 0; q < engine->queries_count; q++) {
        struct tni_query *query = engine->queries[q];
        for (uint32_t t = 0; t < query->tasks_count; t++)
            TN_TRY(tni_task_rewind(&query->tasks[t], err));
    }
    return TN_OK;
}

static void reset_workers(struct tn_engine *engine)
{
    for (uint32_t w = 0; w < engine->workers_count; w++) {
        struct tni_worker *worker = &engine->workers[w];
        atomic_store(&worker->has_changes, false);
        atomic_store(&worker->has_rows, false);
        atomic_store(&worker->open_rows, 0);
        atomic_store(&worker->folded_rows, 0);
        atomic_store(&worker->round_bytes, 0);
        atomic_store(&worker->changed_at_ns, 0);
        atomic_store(&worker->is_idle, false);
        tni_worker_plan_emits(worker);
    }
}

static int64_t backoff_ns(uint32_t failures_count)
{
    int64_t ms = failures_count <= 1 ? 0 : 5ll << (failures_count < 10 ? failures_count : 10);
    return (ms < BACKOFF_MS_MAX ? ms : BACKOFF_MS_MAX) * 1000000;
}

static void begin_abort(struct tn_engine *engine, enum tni_rewind how)
{
    engine->log->type->txn_close(engine->txn);
    engine->txn = NULL;
    tni_group_forget(engine, false);
    engine->rewind = how;
    for (uint32_t q = 0; q < engine->queries_count; q++)
        engine->queries[q]->is_first_sent = false;
    engine->failures_count++;
    engine->retry_at_ns = tn_mono_ns(engine->clock) + backoff_ns(engine->failures_count);
    engine->round_state = TNI_ROUND_ABORTING;
    tn_metric_add(engine->m.aborts, 1);
    park(engine);
}

static enum tn_status step_aborting(struct tn_engine *engine)
{
    if (!tni_workers_are_parked(engine))
        return TN_AGAIN;
    if (tn_mono_ns(engine->clock) < engine->retry_at_ns)
        return TN_AGAIN;
    struct tn_err err = TN_ERR_INIT;
    enum tn_status st = TN_OK;
    bool is_recover = engine->rewind == TNI_REWIND_RECOVER;
    bool is_kept =
        is_recover && !atomic_load(&engine->is_recover_wanted) && !engine->log->type->commits_state;
    atomic_store(&engine->is_abort_wanted, false);
    atomic_store(&engine->is_recover_wanted, false);
    if (!is_recover)
        st = rewind_all(engine, &err);
    if (tn_failed(st))
        is_recover = true; /* a half rewind cannot be trusted */
    if (is_recover) {
        engine->rewind = TNI_REWIND_RECOVER;
        if (is_kept)
            tni_round_keep(engine);
        st = tni_engine_recover(engine, &err);
        if (tn_failed(st)) {
            engine->failures_count++;
            engine->retry_at_ns = tn_mono_ns(engine->clock) + backoff_ns(engine->failures_count);
            tn_logf(TN_LOG_WARN, "engine", "recovery failed, trying again: %s", err.message);
            return TN_AGAIN;
        }
    }
    tni_parts_clear(engine);
    reset_workers(engine);
    tni_member_apply(engine);
    engine->rewind = TNI_REWIND_NONE;
    engine->round_state = TNI_ROUND_OPEN;
    unpark(engine);
    return TN_OK;
}

/* ---- control operations ---- */

static enum tn_status run_controls(struct tn_engine *engine)
{
    if (!tni_workers_are_parked(engine))
        return TN_AGAIN;
    for (;;) {
        pthread_mutex_lock(&engine->lock);
        struct tni_control *control = engine->controls;
        if (control)
            engine->controls = control->next;
        pthread_mutex_unlock(&engine->lock);
        if (!control)
            break;
        enum tn_status st = control->run(engine, control->ctx, control->err);
        pthread_mutex_lock(&engine->lock);
        control->st = st;
        control->is_done = true;
        pthread_cond_broadcast(&engine->controls_changed);
        pthread_mutex_unlock(&engine->lock);
    }
    if (!atomic_load(&engine->is_fatal))
        tni_member_apply(engine);
    engine->round_state = TNI_ROUND_OPEN;
    unpark(engine);
    return TN_OK;
}

/* ---- the machine ---- */

/* One line when the store begins to refuse, one when it takes state again; /readyz says it, too. */
static void note_flush(struct tn_engine *engine, const struct tn_err *err)
{
    bool is_refused = err->code != TN_OK;
    if (is_refused && !engine->is_unwritten)
        tn_logf(TN_LOG_WARN, "engine", "state not written, tried again until it is: %s",
                err->message);
    if (!is_refused && engine->is_unwritten)
        tn_logf(TN_LOG_INFO, "engine", "state is written again");
    if (is_refused == engine->is_unwritten)
        return;
    pthread_mutex_lock(&engine->lock);
    engine->is_unwritten = is_refused;
    engine->unwritten = *err;
    pthread_mutex_unlock(&engine->lock);
}

static enum tn_status settled(struct tn_engine *engine)
{
    tni_parts_clear(engine);
    engine->committed_at_ns = tn_mono_ns(engine->clock);
    engine->retry_at_ns = 0;
    atomic_store(&engine->is_commit_wanted, false);
    tni_engine_finish_drops(engine);
    struct tn_err err = TN_ERR_INIT;
    if (tn_failed(tni_round_flush(engine, false, &err))) {
        engine->retry_at_ns = tn_mono_ns(engine->clock) + backoff_ns(4);
        atomic_store(&engine->is_flush_wanted, true); /* also when nothing comes any more */
    }
    note_flush(engine, &err);
    engine->round_state = atomic_load(&engine->park_wanted) ? TNI_ROUND_CONTROL : TNI_ROUND_OPEN;
    if (engine->round_state == TNI_ROUND_OPEN)
        tni_workers_kick(engine); /* one that was full may go on */
    return TN_OK;
}

static enum tn_status step_open(struct tn_engine *engine)
{
    if (tni_member_poll(engine) && engine->assignment.is_lost) {
        begin_abort(engine, TNI_REWIND_ABORT);
        return TN_OK;
    }
    tni_engine_check_widths(engine);
    if (atomic_load(&engine->is_recover_wanted) || atomic_load(&engine->is_abort_wanted)) {
        begin_abort(engine, atomic_load(&engine->is_recover_wanted) ? TNI_REWIND_RECOVER
                                                                    : TNI_REWIND_ABORT);
        return TN_OK;
    }
    int64_t now = tn_mono_ns(engine->clock);
    if (now < engine->retry_at_ns || !is_due(engine, now))
        return TN_AGAIN;
    engine->closing_since_ns = now;
    engine->round_state = TNI_ROUND_CLOSING;
    if (has_controls(engine))
        atomic_store(&engine->park_wanted, true);
    atomic_fetch_add(&engine->boundary_wanted, 1);
    tni_workers_kick(engine);
    return TN_OK;
}

static void blame(struct tn_engine *engine, struct tni_query *culprit, const struct tn_err *err)
{
    tni_query_fail(culprit, err);
    if (++engine->poisoned_count >= TNI_FAILURES_MAX)
        tni_engine_fail(engine, err);
}

/* Without transactions some records of the round may be in the topics already: state is what its
 * changelog says, so it is loaded again. */
static enum tni_rewind after(const struct tn_engine *engine, enum tn_status st)
{
    return st == TN_E_INDEFINITE || engine->config.is_at_least_once ? TNI_REWIND_RECOVER
                                                                    : TNI_REWIND_ABORT;
}

/* Alone: stop. In a group: everything is lost, and this process joins again. */
static enum tn_status fenced(struct tn_engine *engine, const struct tn_err *err)
{
    if (tni_member_rejoin(engine, err))
        begin_abort(engine, TNI_REWIND_ABORT);
    else
        tni_engine_fail(engine, err);
    return TN_OK;
}

/* All parts are there: the transaction is filled, over several steps when the log asks for time. */
static enum tn_status start_commit(struct tn_engine *engine)
{
    struct tni_query *culprit = NULL;
    struct tn_err err = TN_ERR_INIT;
    enum tn_status st = tni_commit_start(engine, &culprit, &err);
    if (st == TN_AGAIN)
        return TN_AGAIN;
    if (st == TN_E_FENCED)
        return fenced(engine, &err);
    if (tn_failed(st)) {
        if (culprit)
            blame(engine, culprit, &err);
        begin_abort(engine, after(engine, st));
        return TN_OK;
    }
    engine->round_state = TNI_ROUND_COMMITTING;
    return TN_OK;
}

static enum tn_status step_closing(struct tn_engine *engine)
{
    pthread_mutex_lock(&engine->lock);
    bool is_complete = engine->parts_count == engine->workers_count;
    pthread_mutex_unlock(&engine->lock);
    if (!is_complete)
        return TN_AGAIN;
    if (engine->txn)
        return start_commit(engine);
    bool is_recover = atomic_load(&engine->is_recover_wanted);
    if (is_recover || atomic_load(&engine->is_abort_wanted)) {
        begin_abort(engine, is_recover ? TNI_REWIND_RECOVER : TNI_REWIND_ABORT);
        return TN_OK;
    }
    tn_metric_observe(engine->m.boundary_seconds,
                      tn_mono_ns(engine->clock) - engine->closing_since_ns);
    return round_is_empty(engine) ? settled(engine) : start_commit(engine);
}

static enum tn_status step_committing(struct tn_engine *engine)
{
    struct tn_err err = TN_ERR_INIT;
    enum tn_status st = engine->log->type->commit_poll(engine->txn, &err);
    if (st == TN_AGAIN)
        return TN_AGAIN;
    if (st == TN_OK) {
        tni_commit_publish(engine);
        engine->log->type->txn_close(engine->txn);
        engine->txn = NULL;
        engine->failures_count = engine->poisoned_count = 0;
        tn_metric_observe(engine->m.commit_seconds,
                          tn_mono_ns(engine->clock) - engine->closing_since_ns);
        return settled(engine);
    }
    if (st == TN_E_FENCED)
        return fenced(engine, &err);
    struct tni_query *culprit = tni_commit_culprit(engine);
    if (culprit)
        blame(engine, culprit, &err);
    tn_logf(TN_LOG_WARN, "engine", "commit not settled, processing again: outcome=%s: %s",
            tn_status_name(st), err.message);
    begin_abort(engine, after(engine, st));
    return TN_OK;
}

enum tn_status tni_round_step(struct tn_engine *engine)
{
    if (atomic_load(
            &engine->is_fatal)) { /* nothing is written any more; callers still get answers */
        if (!has_controls(engine))
            return TN_AGAIN;
        park(engine);
        return run_controls(engine);
    }
    switch (engine->round_state) {
    case TNI_ROUND_OPEN: return step_open(engine);
    case TNI_ROUND_CLOSING: return step_closing(engine);
    case TNI_ROUND_COMMITTING: return step_committing(engine);
    case TNI_ROUND_CONTROL: return run_controls(engine);
    case TNI_ROUND_ABORTING: return step_aborting(engine);
    }
    return TN_AGAIN;
}
