/* Adding, replacing, dropping and pausing queries while the engine runs; subscriptions. @thread any
 *
 * Dropping: the query leaves at once; its position keys are removed by the next commit and only
 * then its state and internal topics, so that a crash in between leaves either all of the query or
 * only garbage without positions.
 */
#include "stream/engine_int.h"

#include <stdio.h>

#include "stream/base/logline.h"
#include "stream/base/mem.h"

struct tni_query *tni_engine_find(struct tn_engine *engine, const char *query_id)
{
    for (uint32_t q = 0; q < engine->queries_count; q++)
        if (strcmp(engine->queries[q]->plan->query_id, query_id) == 0)
            return engine->queries[q];
    return NULL;
}

static enum tn_status no_query(const char *query_id, struct tn_err *err)
{
    return tn_err_set(err, TN_E_NAME, "no query '%s' is running", query_id);
}

static enum tn_status refuse_if_fatal(struct tn_engine *engine, struct tn_err *err)
{
    if (!atomic_load(&engine->is_fatal))
        return TN_OK;
    pthread_mutex_lock(&engine->lock);
    if (err)
        *err = engine->fatal;
    pthread_mutex_unlock(&engine->lock);
    tn_err_prefix(err, "processing has stopped");
    return err ? err->code : TN_E_FENCED;
}

/* The list is read by other threads under `lock`. */
static void set_queries(struct tn_engine *engine, struct tni_query *add, struct tni_query *remove)
{
    pthread_mutex_lock(&engine->lock);
    uint32_t kept = 0;
    for (uint32_t q = 0; q < engine->queries_count; q++)
        if (engine->queries[q] != remove)
            engine->queries[kept++] = engine->queries[q];
        else if (add) /* a replacement keeps its place */
            engine->queries[kept++] = add, add = NULL;
    engine->queries_count = kept;
    if (add) {
        if (engine->queries_count == engine->queries_cap) {
            engine->queries_cap = engine->queries_cap ? engine->queries_cap * 2 : 16;
            engine->queries = tn_realloc(engine->queries, engine->queries_cap * sizeof(void *));
        }
        engine->queries[engine->queries_count++] = add;
    }
    pthread_mutex_unlock(&engine->lock);
}

static void count_subscriptions(struct tni_query *query)
{
    struct tn_engine *engine = query->engine;
    int count = 0;
    pthread_mutex_lock(&engine->subs_lock);
    for (struct tn_subscription *s = engine->subscriptions; s; s = s->next)
        count += strcmp(s->query_id, query->plan->query_id) == 0;
    atomic_store(&query->subscriptions_count, count);
    pthread_mutex_unlock(&engine->subs_lock);
}

/* ---- add, replace ---- */

static enum tn_status run_add(struct tn_engine *engine, void *ctx, struct tn_err *err)
{
    struct tn_plan *plan = ctx;
    TN_TRY(refuse_if_fatal(engine, err));
    if (tni_engine_find(engine, plan->query_id))
        return tn_err_set(err, TN_E_EXISTS, "query '%s' is running already", plan->query_id);
    for (uint32_t q = 0; q < engine->dropping_count; q++)
        if (strcmp(engine->dropping[q]->plan->query_id, plan->query_id) == 0)
            return tn_err_set(err, TN_E_BUSY, "the dropped query '%s' is still being removed",
                              plan->query_id);
    struct tni_query *query = NULL;
    TN_TRY(tni_member_join(engine, tni_plan_width(plan), err));
    TN_TRY(tni_query_new(engine, plan, &query, err));
    enum tn_status st = tni_query_attach(query, err);
    if (tn_failed(st)) {
        tni_query_detach(query);
        tni_query_free(query);
        return st;
    }
    count_subscriptions(query);
    tni_query_hold(query, false);
    set_queries(engine, query, NULL);
    return TN_OK;
}

enum tn_status tn_engine_add(struct tn_engine *engine, struct tn_plan *plan, struct tn_err *err)
{
    return tni_engine_control(engine, run_add, plan, err);
}

static enum tn_status run_replace(struct tn_engine *engine, void *ctx, struct tn_err *err)
{
    struct tn_plan *plan = ctx;
    TN_TRY(refuse_if_fatal(engine, err));
    struct tni_query *old = tni_engine_find(engine, plan->query_id), *query = NULL;
    if (!old)
        return no_query(plan->query_id, err);
    TN_TRY(tni_member_join(engine, tni_plan_width(plan), err));
    TN_TRY(tni_round_flush(engine, true, err)); /* the new tables are loaded from the state port */
    tni_global_resign(old);
    TN_TRY(tni_query_new(engine, plan, &query, err));
    atomic_store(&query->is_paused, atomic_load(&old->is_paused));
    tni_query_detach(old);
    enum tn_status st = tni_query_attach(query, err);
    if (tn_failed(st)) {
        tni_query_detach(query);
        tni_query_free(query);
        tni_query_follow(old);
        atomic_store(&engine->is_recover_wanted, true); /* which loads it, as often as it takes */
        return st;
    }
    count_subscriptions(query);
    set_queries(engine, query, old);
    tni_query_free(old);
    return TN_OK;
}

enum tn_status tn_engine_replace(struct tn_engine *engine, struct tn_plan *plan, struct tn_err *err)
{
    return tni_engine_control(engine, run_replace, plan, err);
}

/* ---- drop ---- */

static void drop_position(struct tn_engine *engine, const struct tni_input *input)
{
    struct tn_buf key;
    tn_buf_init(&key, 4096);
    tni_position_key(engine, input->task->query->plan->query_id, input->topic.name,
                     input->partition, &key);
    if (engine->dropped_count == engine->dropped_cap) {
        engine->dropped_cap = engine->dropped_cap ? engine->dropped_cap * 2 : 16;
        engine->dropped_positions =
            tn_realloc(engine->dropped_positions, engine->dropped_cap * sizeof(struct tn_str));
    }
    engine->dropped_positions[engine->dropped_count++] =
        (struct tn_str){tn_strndup(key.ptr, key.len), key.len};
    tn_buf_release(&key);
}

static enum tn_status run_drop(struct tn_engine *engine, void *ctx, struct tn_err *err)
{
    struct tni_query *query = tni_engine_find(engine, ctx);
    if (!query)
        return no_query(ctx, err);
    tni_global_resign(query);
    tni_query_detach(query);
    set_queries(engine, NULL, query);
    for (uint32_t t = 0; t < query->tasks_count && query->plan->sink_name; t++)
        for (uint32_t i = 0; i < query->tasks[t].inputs_count && !query->tasks[t].is_global; i++)
            drop_position(engine, &query->tasks[t].inputs[i]);
    if (engine->dropping_count == engine->dropping_cap) {
        engine->dropping_cap = engine->dropping_cap ? engine->dropping_cap * 2 : 4;
        engine->dropping = tn_realloc(engine->dropping, engine->dropping_cap * sizeof(void *));
    }
    engine->dropping[engine->dropping_count++] = query;
    return TN_OK;
}

void tn_engine_hold(struct tn_engine *engine, bool is_held)
{
    atomic_fetch_add(&engine->holds_count, is_held ? 1 : -1);
    for (uint32_t w = 0; w < engine->workers_count && !is_held; w++)
        engine->workers[w].wake.signal(&engine->workers[w].wake);
}

enum tn_status tn_engine_drop(struct tn_engine *engine, const char *query_id, struct tn_err *err)
{
    pthread_mutex_lock(&engine->lock);
    struct tni_query *query = tni_engine_find(engine, query_id);
    if (query) /* the round that is closed for the operation takes what is held back along */
        atomic_store(&query->is_emit_wanted, true);
    pthread_mutex_unlock(&engine->lock);
    return tni_engine_control(engine, run_drop, (void *)(uintptr_t)query_id, err);
}

enum tn_status tn_engine_forget(struct tn_engine *engine, const char *query_id, struct tn_err *err)
{
    pthread_mutex_lock(&engine->lock);
    struct tni_query *query = tni_engine_find(engine, query_id);
    if (query)
        atomic_store(&query->keeps_topics, true);
    pthread_mutex_unlock(&engine->lock);
    return tn_engine_drop(engine, query_id, err);
}

static enum tn_status remove_leftovers(struct tni_query *query, struct tn_err *err)
{
    tni_query_hold(query, true);
    for (uint32_t t = 0; t < query->tasks_count; t++)
        for (uint32_t i = 0; i < query->tasks[t].ops_count; i++)
            if (query->tasks[t].ops[i].store)
                TN_TRY(tni_state_drop(&query->tasks[t], &query->tasks[t].ops[i], err));
    return atomic_load(&query->keeps_topics) ? TN_OK : tni_query_drop_topics(query, err);
}

/* The removal of its positions must be durable before anything else of it goes. What fails is tried
 * again after the next round. */
void tni_engine_finish_drops(struct tn_engine *engine)
{
    struct tn_err err = TN_ERR_INIT;
    if (engine->dropping_count == 0)
        return;
    enum tn_status st = engine->log->type->sync(engine->log, &err);
    while (!tn_failed(st) && engine->dropping_count) {
        struct tni_query *query = engine->dropping[engine->dropping_count - 1];
        st = remove_leftovers(query, &err);
        if (tn_failed(st))
            break;
        engine->dropping_count--;
        tni_query_free(query);
    }
    if (!tn_failed(st))
        st = tni_view_refresh(&engine->view, &err);
    if (tn_failed(st))
        tn_logf(TN_LOG_WARN, "engine", "not all of a dropped query is removed yet: %s",
                err.message);
}

/* ---- pause ---- */

enum tn_status tn_engine_pause(struct tn_engine *engine, const char *query_id, bool is_paused,
                               struct tn_err *err)
{
    pthread_mutex_lock(&engine->lock);
    struct tni_query *query = tni_engine_find(engine, query_id);
    if (query)
        atomic_store(&query->is_paused, is_paused);
    pthread_mutex_unlock(&engine->lock);
    if (!query)
        return no_query(query_id, err);
    tni_workers_kick(engine);
    return TN_OK;
}

/* ---- subscriptions ---- */

enum tn_status tn_engine_subscribe(struct tn_engine *engine, const char *query_id, tn_changes_fn fn,
                                   void *ctx, struct tn_subscription **ret_subscription,
                                   struct tn_err *err)
{
    struct tn_subscription *subscription = tn_alloc(sizeof *subscription);
    *subscription = (struct tn_subscription){.engine = engine, .fn = fn, .ctx = ctx};
    snprintf(subscription->query_id, sizeof subscription->query_id, "%s", query_id);
    pthread_mutex_lock(&engine->lock);
    struct tni_query *query = tni_engine_find(engine, query_id);
    if (query) {
        pthread_mutex_lock(&engine->subs_lock);
        subscription->next = engine->subscriptions;
        engine->subscriptions = subscription;
        pthread_mutex_unlock(&engine->subs_lock);
        atomic_fetch_add(&query->subscriptions_count, 1);
    }
    pthread_mutex_unlock(&engine->lock);
    if (!query) {
        tn_free(subscription);
        return no_query(query_id, err);
    }
    *ret_subscription = subscription;
    return TN_OK;
}

void tn_subscription_free(struct tn_subscription *subscription)
{
    if (!subscription)
        return;
    struct tn_engine *engine = subscription->engine;
    pthread_mutex_lock(&engine->lock);
    pthread_mutex_lock(&engine->subs_lock); /* waits for a running callback */
    for (struct tn_subscription **at = &engine->subscriptions; *at; at = &(*at)->next)
        if (*at == subscription) {
            *at = subscription->next;
            break;
        }
    pthread_mutex_unlock(&engine->subs_lock);
    struct tni_query *query = tni_engine_find(engine, subscription->query_id);
    if (query)
        atomic_fetch_sub(&query->subscriptions_count, 1);
    pthread_mutex_unlock(&engine->lock);
    tn_free(subscription);
}
