/* Freshness: has everything that was visible when the ticket was taken reached the tables asked
 * for?
 *
 * HOW IT WORKS. The queries that feed the asked ones are found through topics: a query is fed by
 * those that write one of its inputs (sinks, and repartition topics inside a query). Tickets go hop
 * by hop: for every input that nobody of the set writes, the end visible now is the target. When an
 * input's writer has passed all of its own targets, the end of the input's topic visible *then* is
 * its target. The ticket is good when every input has passed its target.
 *
 * An input has passed when its committed position has, or when it stands behind the target and
 * consumed no row since the last commit (a tail of control records or aborted data has no rows to
 * commit). @thread any; one owner
 */
#include "stream/engine_int.h"

#include <stdio.h>

#include "stream/base/mem.h"

struct goal {
    char query_id[64];
    char topic[TN_TOPIC_NAME_MAX + 1];
    int32_t partition;
    uint32_t stage;
    int64_t target; /* −1: not known yet, the writers are not through */
    bool is_passed;
};

struct tn_fresh {
    struct tn_engine *engine;
    struct tn_wake *wake;
    struct tn_fresh *next;
    char (*query_ids)[64]; /* asked ones and those that feed them */
    uint32_t queries_count, queries_cap;
    struct goal *goals;
    uint32_t goals_count, goals_cap;
};

static bool writes(const struct tn_plan *plan, const char *topic, uint32_t *ret_stage)
{
    for (uint32_t s = 0; s < plan->stages_count; s++)
        for (uint32_t i = 0; i < plan->stages[s].nodes_count; i++) {
            const struct tn_node *node = &plan->stages[s].nodes[i];
            bool is_writer = node->kind == TN_NODE_SINK || node->kind == TN_NODE_REPARTITION;
            if (is_writer && strcmp(node->decl->topic, topic) == 0) {
                *ret_stage = s;
                return true;
            }
        }
    return false;
}

static bool reads(const struct tn_plan *plan, const char *topic)
{
    for (uint32_t s = 0; s < plan->stages_count; s++)
        for (uint32_t i = 0; i < plan->stages[s].nodes_count; i++) {
            const struct tn_node *node = &plan->stages[s].nodes[i];
            if (node->kind == TN_NODE_SOURCE && strcmp(node->decl->topic, topic) == 0)
                return true;
        }
    return false;
}

static bool has_query(const struct tn_fresh *fresh, const char *query_id)
{
    for (uint32_t i = 0; i < fresh->queries_count; i++)
        if (strcmp(fresh->query_ids[i], query_id) == 0)
            return true;
    return false;
}

static void add_query(struct tn_fresh *fresh, const char *query_id)
{
    if (has_query(fresh, query_id))
        return;
    if (fresh->queries_count == fresh->queries_cap) {
        fresh->queries_cap = fresh->queries_cap ? fresh->queries_cap * 2 : 8;
        fresh->query_ids =
            tn_realloc(fresh->query_ids, fresh->queries_cap * sizeof *fresh->query_ids);
    }
    snprintf(fresh->query_ids[fresh->queries_count++], sizeof *fresh->query_ids, "%s", query_id);
}

/* Queries whose sink is an input of one that is in the set already; until nothing is added. */
static void add_feeders(struct tn_fresh *fresh)
{
    struct tn_engine *engine = fresh->engine;
    for (uint32_t at = 0; at < fresh->queries_count; at++) {
        struct tni_query *query = tni_engine_find(engine, fresh->query_ids[at]);
        for (uint32_t q = 0; query && q < engine->queries_count; q++) {
            const struct tn_plan *feeder = engine->queries[q]->plan;
            for (uint32_t s = 0; s < feeder->stages_count; s++)
                for (uint32_t i = 0; i < feeder->stages[s].nodes_count; i++) {
                    const struct tn_node *node = &feeder->stages[s].nodes[i];
                    if (node->kind == TN_NODE_SINK && reads(query->plan, node->decl->topic))
                        add_query(fresh, feeder->query_id);
                }
        }
    }
}

/* Ours and not loaded yet, or nobody's as far as we know: it may be ours in a moment. */
static bool is_coming(const struct tn_engine *engine, const struct tni_task *task)
{
    if (!engine->has_members || tni_engine_owns(engine, task))
        return engine->has_members;
    return !atomic_load(&engine->is_withheld) &&
           (engine->generation == 0 || atomic_load(&engine->is_bereft));
}

static void add_goals(struct tn_fresh *fresh, const struct tni_query *query)
{
    for (uint32_t t = 0; t < query->tasks_count; t++) {
        const struct tni_task *task = &query->tasks[t];
        bool is_ours = task->is_owned || is_coming(fresh->engine, task);
        for (uint32_t i = 0; i < task->inputs_count && !task->is_global && is_ours; i++) {
            if (fresh->goals_count == fresh->goals_cap) {
                fresh->goals_cap = fresh->goals_cap ? fresh->goals_cap * 2 : 32;
                fresh->goals = tn_realloc(fresh->goals, fresh->goals_cap * sizeof *fresh->goals);
            }
            struct goal *goal = &fresh->goals[fresh->goals_count++];
            *goal = (struct goal){
                .partition = task->inputs[i].partition, .stage = task->stage_number, .target = -1};
            snprintf(goal->query_id, sizeof goal->query_id, "%s", query->plan->query_id);
            memcpy(goal->topic, task->inputs[i].topic.name, sizeof goal->topic);
        }
    }
}

/* Is some stage of the set that writes this topic still behind one of its own targets? */
static bool writer_is_behind(struct tn_fresh *fresh, const struct goal *goal)
{
    for (uint32_t q = 0; q < fresh->queries_count; q++) {
        struct tni_query *query = tni_engine_find(fresh->engine, fresh->query_ids[q]);
        uint32_t stage = 0;
        if (!query || !writes(query->plan, goal->topic, &stage))
            continue;
        for (uint32_t g = 0; g < fresh->goals_count; g++)
            if (!fresh->goals[g].is_passed && fresh->goals[g].stage == stage &&
                strcmp(fresh->goals[g].query_id, query->plan->query_id) == 0)
                return true;
    }
    return false;
}

/* Is the topic written by a query of the set? */
static bool has_writer(const struct tn_fresh *fresh, const struct goal *goal)
{
    for (uint32_t q = 0; q < fresh->queries_count; q++) {
        const struct tni_query *query = tni_engine_find(fresh->engine, fresh->query_ids[q]);
        uint32_t stage = 0;
        if (query && writes(query->plan, goal->topic, &stage))
            return true;
    }
    return false;
}

static struct tni_input *input_of(struct tn_engine *engine, const struct goal *goal)
{
    struct tni_query *query = tni_engine_find(engine, goal->query_id);
    for (uint32_t t = 0; query && t < query->tasks_count; t++) {
        struct tni_task *task = &query->tasks[t];
        for (uint32_t i = 0; i < task->inputs_count; i++)
            if (!task->is_global && task->stage_number == goal->stage &&
                task->inputs[i].partition == goal->partition &&
                strcmp(task->inputs[i].topic.name, goal->topic) == 0)
                return &task->inputs[i];
    }
    return NULL;
}

static bool has_passed(struct tni_input *input, int64_t target)
{
    if (!tni_task_is_live(input->task))
        return false; /* its table is not there yet */
    if (atomic_load(&input->committed) >= target)
        return true;
    /* Twice: a rewind sets both back, and one read before it with the other read after it would
     * look like a tail without rows. */
    for (int i = 0; i < 2; i++)
        if (atomic_load(&input->position) < target ||
            atomic_load(&input->rows_end) > atomic_load(&input->committed))
            return false;
    return true;
}

/* A log may take long to answer: never with the lock, which the rounds need. What we wrote
 * ourselves was committed before, but Kafka may show it only later (the marker of a transaction
 * follows the answer), so there the end is the one that includes what is undecided. Not elsewhere:
 * others may keep a transaction open for long. */
static enum tn_status ask_end(struct tn_engine *engine, const struct tni_input *input,
                              bool is_own_work, int64_t *ret_end, struct tn_err *err)
{
    struct tn_topic topic = input->topic;
    int32_t partition = input->partition;
    struct tn_offsets offsets = {0};
    pthread_mutex_unlock(&engine->lock);
    enum tn_status st = engine->log->type->offsets(engine->log, &topic, partition, &offsets, err);
    pthread_mutex_lock(&engine->lock);
    if (!tn_failed(st))
        *ret_end = is_own_work && offsets.end_written > offsets.end_visible ? offsets.end_written
                                                                            : offsets.end_visible;
    return st;
}

/* One look at one goal. A query that was dropped meanwhile is nobody's wait any more. Called with
 * engine->lock, which is given up for a while. */
static enum tn_status look(struct tn_fresh *fresh, struct goal *goal, struct tn_err *err)
{
    struct tn_engine *engine = fresh->engine;
    struct tni_input *input = input_of(engine, goal);
    if (input && !input->task->is_owned && is_coming(engine, input->task))
        return TN_OK; /* ours, or nobody's yet: wait until it is loaded */
    if (!input || !input->task->is_owned) {
        goal->is_passed = true;
        return TN_OK;
    }
    if (goal->target < 0) {
        if (writer_is_behind(fresh, goal))
            return TN_OK;
        TN_TRY(ask_end(engine, input, has_writer(fresh, goal), &goal->target, err));
        return TN_OK; /* whether it is passed: the next round, the input may be another by now */
    }
    goal->is_passed = has_passed(input, goal->target);
    return TN_OK;
}

/* Goals in rounds, until a round changes nothing. TN_OK: all passed. Called with engine->lock. */
static enum tn_status look_at_all(struct tn_fresh *fresh, struct tn_err *err)
{
    bool has_changed = true, is_done = false;
    while (has_changed && !is_done) {
        has_changed = false;
        is_done = true;
        for (uint32_t g = 0; g < fresh->goals_count; g++) {
            struct goal *goal = &fresh->goals[g];
            if (goal->is_passed)
                continue;
            int64_t target = goal->target;
            TN_TRY(look(fresh, goal, err));
            has_changed |= goal->is_passed || goal->target != target;
            is_done &= goal->is_passed;
        }
    }
    return is_done ? TN_OK : TN_AGAIN;
}

enum tn_status tn_fresh_open(struct tn_engine *engine, const char *const *query_ids,
                             size_t query_ids_count, struct tn_wake *wake,
                             struct tn_fresh **ret_fresh, struct tn_err *err)
{
    struct tn_fresh *fresh = tn_alloc(sizeof *fresh);
    fresh->engine = engine;
    fresh->wake = wake;
    pthread_mutex_lock(&engine->lock);
    for (size_t i = 0; i < query_ids_count; i++)
        add_query(fresh, query_ids[i]);
    add_feeders(fresh);
    for (uint32_t q = 0; q < fresh->queries_count; q++) {
        struct tni_query *query = tni_engine_find(engine, fresh->query_ids[q]);
        if (query)
            add_goals(fresh, query);
    }
    enum tn_status st = look_at_all(fresh, err); /* takes the ends of the outer inputs now */
    fresh->next = engine->freshes;
    engine->freshes = fresh;
    pthread_mutex_unlock(&engine->lock);
    if (tn_failed(st)) {
        tn_fresh_free(fresh);
        return st;
    }
    atomic_store(&engine->is_commit_wanted,
                 true); /* whatever is open need not wait for its interval */
    tni_commit_kick(engine);
    *ret_fresh = fresh;
    return TN_OK;
}

uint32_t tn_fresh_hops(struct tn_fresh *fresh)
{
    uint32_t stages = 0;
    pthread_mutex_lock(&fresh->engine->lock);
    for (uint32_t q = 0; q < fresh->queries_count; q++) {
        const struct tni_query *query = tni_engine_find(fresh->engine, fresh->query_ids[q]);
        stages += query ? query->plan->stages_count : 0;
    }
    pthread_mutex_unlock(&fresh->engine->lock);
    return stages;
}

enum tn_status tn_fresh_poll(struct tn_fresh *fresh, struct tn_buf *ret_lagging)
{
    struct tn_engine *engine = fresh->engine;
    pthread_mutex_lock(&engine->lock);
    enum tn_status st = look_at_all(fresh, NULL);
    for (uint32_t q = 0; q < fresh->queries_count; q++) {
        const struct tni_query *query = tni_engine_find(engine, fresh->query_ids[q]);
        if (!query || !tni_query_is_restoring(query))
            continue;
        st = TN_AGAIN;
        if (ret_lagging)
            tn_buf_printf(ret_lagging, "query %s is restoring\n", query->plan->query_id);
    }
    for (uint32_t g = 0; st != TN_OK && ret_lagging && g < fresh->goals_count; g++) {
        const struct goal *goal = &fresh->goals[g];
        struct tni_input *input = goal->is_passed ? NULL : input_of(engine, goal);
        if (input)
            tn_buf_printf(ret_lagging, "query %s is at %lld of %lld in topic %s partition %d\n",
                          goal->query_id, (long long)atomic_load(&input->committed),
                          (long long)goal->target, goal->topic, goal->partition);
    }
    pthread_mutex_unlock(&engine->lock);
    return st == TN_OK ? TN_OK : TN_AGAIN;
}

void tn_fresh_free(struct tn_fresh *fresh)
{
    if (!fresh)
        return;
    struct tn_engine *engine = fresh->engine;
    pthread_mutex_lock(&engine->lock);
    for (struct tn_fresh **at = &engine->freshes; *at; at = &(*at)->next)
        if (*at == fresh) {
            *at = fresh->next;
            break;
        }
    pthread_mutex_unlock(&engine->lock);
    tn_free(fresh->query_ids);
    tn_free(fresh->goals);
    tn_free(fresh);
}

void tni_fresh_signal(struct tn_engine *engine)
{
    pthread_mutex_lock(&engine->lock);
    for (struct tn_fresh *fresh = engine->freshes; fresh; fresh = fresh->next)
        if (fresh->wake)
            fresh->wake->signal(fresh->wake);
    pthread_mutex_unlock(&engine->lock);
}
