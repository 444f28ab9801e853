/* Membership: several processes with one application id share the partition numbers.
 *
 * The log's group gives this process a set of partition numbers; a task belongs to whoever owns the
 * number of its partition, for every topic at once, so what was co-partitioned stays together. Push
 * queries and global tables belong to nobody: every process runs its own.
 *
 * HOW IT WORKS. Between two rounds the commit thread asks for news. A change is applied where
 * control operations run: workers parked, everything committed, nothing open. First what is gone is
 * given up (rows flushed, so that a later return restores little), then the log may hand it to
 * others, then what is new is loaded: positions from the log, rows from the state port or a
 * standby, the changelog's tail. Lost partitions belong to others already: the open rounds are
 * rolled back first, and nothing of them is written.
 *
 * A process may be told to take no tasks: it then leaves the group at a boundary, as ever, and
 * joins it again when it is let in.
 *
 * A partition that cannot be loaded is loaded again with everything else by a recovery, as often as
 * it takes.
 *
 * Standbys follow the changelogs of partitions that others own. They are loaded at the changes of
 * the assignment and every STANDBY_NS while some have no position to start from yet.
 *
 * INVARIANTS
 *   M1  Only owned tasks read inputs, write outputs and commit positions.
 *   M2  member_done comes after the last round of what was given up.
 *   M3  Whoever takes over reads positions and changelogs to an end that includes the undecided
 *       transactions of its predecessor (log.h: `positions`, end_written).
 * @thread commit
 */
#include "stream/engine_int.h"

#include <stdio.h>

#include "stream/base/hash.h"
#include "stream/base/logline.h"

#define FENCES_MAX 3
#define FENCES_NS  600000000000ll
#define REJOIN_NS  1000000000ll

static bool is_everybodys(const struct tni_task *task)
{
    return task->is_global || !task->query->plan->sink_name;
}

bool tni_engine_owns(const struct tn_engine *engine, const struct tni_task *task)
{
    return !engine->has_members || is_everybodys(task) ||
           tni_bit_is_set(engine->owned, task->partition);
}

int32_t tni_plan_width(const struct tn_plan *plan)
{
    int32_t width = 0;
    for (uint32_t s = 0; s < plan->stages_count && plan->sink_name; s++)
        if (plan->stages[s].partitions_count > width)
            width = plan->stages[s].partitions_count;
    return width;
}

int32_t tn_engine_owned(struct tn_engine *engine, int32_t *ret, int32_t max)
{
    if (!engine->has_members)
        return -1;
    int32_t count = 0;
    pthread_mutex_lock(&engine->lock);
    for (int32_t p = 0; p < engine->member_partitions; p++) {
        if (!tni_bit_is_set(engine->owned, p))
            continue;
        if (count < max)
            ret[count] = p;
        count++;
    }
    pthread_mutex_unlock(&engine->lock);
    return count;
}

int64_t tn_engine_epoch(struct tn_engine *engine)
{
    return atomic_load(&engine->epoch);
}

int32_t tn_engine_shared_partitions(struct tn_engine *engine)
{
    pthread_mutex_lock(&engine->lock);
    int32_t width = engine->has_members ? engine->member_partitions : 0;
    pthread_mutex_unlock(&engine->lock);
    return width;
}

bool tn_engine_owns_name(struct tn_engine *engine, const char *name)
{
    if (!engine->has_members)
        return true;
    pthread_mutex_lock(&engine->lock);
    int32_t width = engine->member_partitions;
    bool is_owned =
        !width || tni_bit_is_set(engine->owned, tn_partition_of(name, strlen(name), width));
    pthread_mutex_unlock(&engine->lock);
    return is_owned;
}

void tn_engine_withhold(struct tn_engine *engine, const char *reason)
{
    pthread_mutex_lock(&engine->lock);
    bool is_news = engine->has_members && atomic_load(&engine->is_withheld) != (reason != NULL);
    snprintf(engine->withheld, sizeof engine->withheld, "%s", reason ? reason : "");
    atomic_store(&engine->is_withheld, engine->has_members && reason);
    pthread_mutex_unlock(&engine->lock);
    if (!is_news)
        return;
    tn_logf(reason ? TN_LOG_WARN : TN_LOG_INFO, "engine", "state=%s group=%s reason=\"%s\"",
            reason ? "takes-no-tasks" : "takes-tasks", engine->config.application_id,
            reason ? reason : "");
    engine->commit_wake.signal(&engine->commit_wake);
}

bool tn_engine_is_withheld(struct tn_engine *engine, struct tn_buf *ret_reason)
{
    pthread_mutex_lock(&engine->lock);
    bool is_withheld = atomic_load(&engine->is_withheld);
    if (is_withheld)
        tn_buf_add_text(ret_reason, engine->withheld);
    pthread_mutex_unlock(&engine->lock);
    return is_withheld;
}

static void set_owned(struct tn_engine *engine, const struct tni_assignment *next)
{
    pthread_mutex_lock(&engine->lock);
    memcpy(engine->owned, next->owned, sizeof engine->owned);
    engine->generation = next->generation;
    pthread_mutex_unlock(&engine->lock);
}

/* ---- the group ---- */

static void change(struct tn_engine *engine, const struct tni_assignment *next);

enum tn_status tni_member_join(struct tn_engine *engine, int32_t partitions_count,
                               struct tn_err *err)
{
    if (!engine->has_members || (engine->member && partitions_count <= engine->member_partitions))
        return TN_OK;
    if (partitions_count < engine->member_partitions)
        partitions_count = engine->member_partitions;
    tni_member_leave(engine); /* a wider group is another one */
    if (!atomic_load(&engine->is_withheld))
        TN_TRY(engine->log->type->member_open(engine->log, partitions_count, &engine->commit_wake,
                                              &engine->member, err));
    pthread_mutex_lock(&engine->lock); /* others show it */
    engine->member_partitions = partitions_count;
    pthread_mutex_unlock(&engine->lock);
    return TN_OK;
}

void tni_member_leave(struct tn_engine *engine)
{
    if (!engine->member)
        return;
    struct tn_log_member *member = engine->member;
    engine->member = NULL;
    engine->assignment = (struct tni_assignment){0};
    change(engine, &(struct tni_assignment){0});
    engine->log->type->member_close(member);
}

bool tni_member_rejoin(struct tn_engine *engine, const struct tn_err *err)
{
    int64_t now = tn_mono_ns(engine->clock);
    if (!engine->has_members || !engine->member)
        return false;
    if (now - engine->fenced_at_ns > FENCES_NS)
        engine->fences_count = 0;
    if (++engine->fences_count >= FENCES_MAX)
        return false; /* two processes with one identity fence each other for ever */
    engine->fenced_at_ns = now;
    tn_logf(TN_LOG_WARN, "engine", "fenced, joining the group again: %s", err->message);
    engine->assignment =
        (struct tni_assignment){.is_pending = true, .is_lost = true, .is_rejoin = true};
    return true;
}

static void take_news(struct tn_engine *engine, const struct tn_log_assignment *news)
{
    struct tni_assignment *next = &engine->assignment;
    bool was_lost = next->is_pending && next->is_lost;
    *next = (struct tni_assignment){
        .is_pending = true, .is_lost = news->is_lost || was_lost, .generation = news->generation};
    for (uint32_t i = 0; i < news->count; i++)
        next->owned[news->partitions[i] / 8] |= (uint8_t)(1u << (news->partitions[i] % 8));
}

static bool wants_standby(const struct tni_task *task)
{
    return !task->is_owned && task->query->engine->config.standbys_count > 0 &&
           task->query->plan->sink_name && atomic_load(&task->state) == TNI_TASK_STOPPED;
}

/* Standbys that had nothing to start from, or stopped: the same assignment once more. */
static bool standbys_are_due(struct tn_engine *engine)
{
    int64_t now = tn_mono_ns(engine->clock);
    if (engine->config.standbys_count <= 0 || now < engine->standbys_at_ns)
        return false;
    engine->standbys_at_ns = now + TNI_STANDBY_NS;
    for (uint32_t q = 0; q < engine->queries_count; q++)
        for (uint32_t t = 0; t < engine->queries[q]->tasks_count; t++)
            if (wants_standby(&engine->queries[q]->tasks[t]))
                return true;
    return false;
}

/* After a fence: a new member, as soon as the log lets it in. */
static bool try_open(struct tn_engine *engine)
{
    struct tn_err err = TN_ERR_INIT;
    int64_t now = tn_mono_ns(engine->clock);
    if (now < engine->rejoin_at_ns || atomic_load(&engine->is_withheld))
        return false;
    engine->rejoin_at_ns = now + REJOIN_NS;
    enum tn_status st = engine->log->type->member_open(engine->log, engine->member_partitions,
                                                       &engine->commit_wake, &engine->member, &err);
    if (tn_failed(st))
        tn_logf(TN_LOG_WARN, "engine", "not in the group yet: %s", err.message);
    return !tn_failed(st);
}

bool tni_member_poll(struct tn_engine *engine)
{
    struct tni_assignment *next = &engine->assignment;
    if (!engine->member && (!engine->member_partitions || !try_open(engine)))
        return next->is_pending;
    if (atomic_load(&engine->is_withheld)) {
        if (!next->is_pending)
            *next = (struct tni_assignment){.is_pending = true, .is_rejoin = true};
        return true;
    }
    struct tn_log_assignment news = {0};
    struct tn_err err = TN_ERR_INIT;
    enum tn_status st = engine->log->type->member_poll(engine->member, &news, &err);
    if (st == TN_OK) {
        take_news(engine, &news);
    } else if (!next->is_pending && standbys_are_due(engine)) {
        *next = (struct tni_assignment){.is_pending = true, .generation = engine->generation};
        memcpy(next->owned, engine->owned, sizeof next->owned);
    }
    return next->is_pending;
}

/* ---- a change ---- */

static void give_up(struct tni_task *task)
{
    struct tn_engine *engine = task->query->engine;
    struct tn_err err = TN_ERR_INIT;
    if (tni_task_is_live(task) && tn_failed(tni_task_flush(engine, task, &err)))
        tn_logf(TN_LOG_WARN, "engine", "state of a partition given away is not written: %s",
                err.message); /* it is behind then, which is allowed */
    task->is_owned = task->is_new = false;
    tni_task_stop(task);
}

static enum tn_status load_tasks(struct tni_query *query, struct tn_err *err)
{
    struct tn_engine *engine = query->engine;
    struct tni_positions *positions = NULL;
    enum tn_status st = TN_OK;
    for (uint32_t t = 0; t < query->tasks_count && !tn_failed(st); t++) {
        struct tni_task *task = &query->tasks[t];
        bool is_taken = tni_engine_owns(engine, task) && !task->is_owned;
        if (!is_taken && !wants_standby(task))
            continue;
        if (!positions)
            st = tni_positions_load(engine, query->plan->query_id, &positions, err);
        if (!tn_failed(st) && is_taken && atomic_load(&task->state) == TNI_TASK_STANDBY)
            st = tni_task_flush(engine, task, err); /* the load takes it up from the port */
        if (!tn_failed(st))
            st = tni_task_load(task, positions, err);
    }
    tni_positions_free(positions);
    return st;
}

static enum tn_status load_all(struct tn_engine *engine, struct tn_err *err)
{
    TN_TRY(tni_engine_load_marks(engine, err));
    for (uint32_t q = 0; q < engine->queries_count; q++)
        TN_TRY(load_tasks(engine->queries[q], err));
    return tni_view_refresh(&engine->view, err);
}

static uint32_t count_bits(const uint8_t *bits)
{
    uint32_t count = 0;
    for (int32_t p = 0; p < TN_PARTITIONS_MAX; p++)
        count += tni_bit_is_set(bits, p);
    return count;
}

static void give_up_gone(struct tn_engine *engine)
{
    for (uint32_t q = 0; q < engine->queries_count; q++)
        for (uint32_t t = 0; t < engine->queries[q]->tasks_count; t++) {
            struct tni_task *task = &engine->queries[q]->tasks[t];
            if (task->is_owned && !tni_engine_owns(engine, task))
                give_up(task);
        }
}

static void change(struct tn_engine *engine, const struct tni_assignment *next)
{
    if (memcmp(next->owned, engine->owned, sizeof next->owned) != 0) {
        tn_logf(TN_LOG_INFO, "engine", "partitions assigned: now=%u before=%u lost=%d",
                count_bits(next->owned), count_bits(engine->owned), next->is_lost);
        atomic_fetch_add(&engine->epoch, 1); /* pins may miss tables from here on */
    }
    set_owned(engine, next);
    atomic_store(&engine->is_bereft, next->is_lost && count_bits(next->owned) == 0);
    tni_group_forget(engine, true);
    tn_metric_set(engine->m.owned, count_bits(next->owned));
    give_up_gone(engine);
}

void tni_member_apply(struct tn_engine *engine)
{
    struct tni_assignment next = engine->assignment;
    struct tn_err err = TN_ERR_INIT;
    if (!next.is_pending)
        return;
    engine->assignment.is_pending = false;
    change(engine, &next);
    if (next.is_rejoin) {
        engine->log->type->member_close(engine->member);
        engine->member = NULL;
        engine->rejoin_at_ns = 0;
    } else if (engine->member) {
        engine->log->type->member_done(engine->member, next.generation); /* M2 */
    }
    if (tn_failed(load_all(engine, &err))) {
        tn_logf(TN_LOG_WARN, "engine", "partitions not loaded, trying again: %s", err.message);
        atomic_store(&engine->is_recover_wanted, true);
    }
    tni_fresh_signal(engine);
}
