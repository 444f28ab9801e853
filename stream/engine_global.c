/* Global tables: each is read by every process as a whole, once for all queries that join it.
 *
 * A query has a global task for each global table it joins. The first of several with the same
 * table *leads*: it reads the topic, keeps the rows under its own store, and is ready when it has
 * passed what the topic held at the start. The others follow: their global task stays empty and
 * their joins look at the leader's table, on its committed side (op_table.c).
 *
 *   query 1: global task ──fills──► table ◄── joins of query 1, 2, 3
 *   query 2: global task ─leader─┘
 *
 * When the leader's query is dropped or replaced, the next one in order leads: it has stored rows
 * of its own only if it led before, so it mostly reads the topic anew, and joins wait for it.
 * After a restart the first query leads. That is also the one whose stored rows are there.
 *
 * INVARIANT: of the queries of the engine at most one task leads a table, and a leader follows
 * nobody. @thread commit, with workers parked
 */
#include "stream/engine_int.h"

static int top_of(const struct tn_stage *stage, int node)
{
    while (stage->nodes[node].input >= 0)
        node = stage->nodes[node].input;
    return node;
}

bool tni_global_nodes(const struct tn_plan *plan, const struct tn_stage *stage, int table_node,
                      bool *mask)
{
    bool has_any = false;
    memset(mask, 0, stage->nodes_count * sizeof *mask);
    for (uint32_t i = 0; i < stage->nodes_count; i++) {
        const struct tn_node *join = &stage->nodes[i];
        if (join->kind != TN_NODE_JOIN_TABLE)
            continue;
        int n = (int)plan->stores[join->store].node;
        if ((table_node >= 0 && n != table_node) || !stage->nodes[top_of(stage, n)].decl->is_global)
            continue;
        has_any = true;
        for (; n >= 0; n = stage->nodes[n].input)
            mask[n] = true;
    }
    return has_any;
}

/* Only tables that are their topic: nothing stands between source and store. */
static const struct tn_node *plain_source(const struct tni_task *task)
{
    const struct tn_node *nodes = task->stage->nodes;
    const struct tn_node *source = &nodes[nodes[task->table_node].input];
    return source->kind == TN_NODE_SOURCE ? source : NULL;
}

static bool is_same_table(const struct tni_task *a, const struct tni_task *b)
{
    const struct tn_node *x = plain_source(a), *y = plain_source(b);
    return x && y && tni_decl_same(x->decl, y->decl) &&
           memcmp(a->inputs[0].topic.log_id, b->inputs[0].topic.log_id, 16) == 0 &&
           a->inputs_count == b->inputs_count;
}

struct tni_task *tni_global_leader(const struct tni_task *task)
{
    const struct tn_engine *engine = task->query->engine;
    for (uint32_t q = 0; q < engine->queries_count; q++) {
        struct tni_query *query = engine->queries[q];
        if (strcmp(query->plan->query_id, task->query->plan->query_id) == 0)
            continue; /* the one that is being replaced */
        for (uint32_t t = 0; t < query->tasks_count; t++) {
            struct tni_task *other = &query->tasks[t];
            if (other->is_global && !other->leader && is_same_table(task, other))
                return other;
        }
    }
    return NULL;
}

void tni_global_bind(struct tni_op *join, struct tni_task *global)
{
    join->global = global->leader ? global->leader : global;
    join->table = &join->global->ops[join->global->table_node];
}

/* Joins of the query that looked at `from` look at what fills the table now. */
static void rebind(struct tni_query *query, const struct tni_task *from, struct tni_task *to)
{
    for (uint32_t t = 0; t < query->tasks_count; t++)
        for (uint32_t i = 0; i < query->tasks[t].ops_count; i++)
            if (query->tasks[t].ops[i].global == from)
                tni_global_bind(&query->tasks[t].ops[i], to);
}

/* `next` leads instead of `old`, which follows it like all the others. */
static enum tn_status promote(struct tni_task *old, struct tni_task *next, struct tn_err *err)
{
    struct tn_engine *engine = old->query->engine;
    pthread_mutex_lock(&engine->lock);
    next->leader = NULL;
    old->leader = next;
    for (uint32_t q = 0; q < engine->queries_count; q++) {
        struct tni_query *query = engine->queries[q];
        for (uint32_t t = 0; t < query->tasks_count; t++)
            if (query->tasks[t].leader == old)
                query->tasks[t].leader = next;
        rebind(query, old, next);
    }
    pthread_mutex_unlock(&engine->lock);
    tni_task_stop(old);
    return tni_task_load(next, NULL, err);
}

static struct tni_task *follower_of(const struct tni_task *leader)
{
    const struct tn_engine *engine = leader->query->engine;
    for (uint32_t q = 0; q < engine->queries_count; q++)
        for (uint32_t t = 0; t < engine->queries[q]->tasks_count; t++)
            if (engine->queries[q]->tasks[t].leader == leader)
                return &engine->queries[q]->tasks[t];
    return NULL;
}

void tni_global_resign(struct tni_query *query)
{
    struct tn_err err = TN_ERR_INIT;
    for (uint32_t t = 0; t < query->tasks_count; t++) {
        struct tni_task *task = &query->tasks[t];
        struct tni_task *next = task->is_global && !task->leader ? follower_of(task) : NULL;
        if (next && tn_failed(promote(task, next, &err))) /* it is loaded as often as it takes */
            atomic_store(&query->engine->is_recover_wanted, true);
    }
}

void tni_task_fail(struct tni_task *task, const struct tn_err *err)
{
    struct tn_engine *engine = task->query->engine;
    tni_query_fail(task->query, err);
    if (!task->is_global)
        return;
    task->is_stuck = true;
    for (uint32_t q = 0; q < engine->queries_count; q++) /* changes only with workers parked */
        for (uint32_t t = 0; t < engine->queries[q]->tasks_count; t++)
            if (engine->queries[q]->tasks[t].leader == task)
                tni_query_fail(engine->queries[q], err);
}
