/* Queries: from a plan to tasks, and back to what was committed.
 *
 * Loading a query reads its positions from the log, then its stores (task_restore.c). A query
 * without positions is new: it starts at auto.offset.reset, and what lies in its changelog and
 * repartition topics from an earlier life does not count. Its first commit writes a position for
 * every input of every task, so that from then on "no position" never means "from the start" for
 * some of them only.
 * @thread commit, workers parked
 */
#include "stream/engine_int.h"

#include <stdio.h>

#include "stream/base/logline.h"
#include "stream/base/mem.h"

/* ---- internal topics ---- */

static enum tn_status create_topic(struct tn_engine *engine, const char *name,
                                   int32_t partitions_count, enum tn_cleanup cleanup,
                                   struct tn_err *err)
{
    struct tn_topic topic;
    enum tn_status st = engine->log->type->topic_find(engine->log, name, &topic, err);
    if (st != TN_NOT_FOUND)
        return st;
    struct tn_topic_spec spec = {.name = name,
                                 .partitions_count = partitions_count,
                                 .cleanup = cleanup,
                                 .retention_ms = -1,
                                 .retention_bytes = -1};
    return engine->log->type->topic_create(engine->log, &spec, err);
}

static bool has_own_changelog(const struct tn_store_spec *store)
{
    return store->changelog && !store->is_changelog_result && !store->is_source;
}

static enum tn_status create_topics(struct tn_engine *engine, const struct tn_plan *plan,
                                    struct tn_err *err)
{
    for (uint32_t s = 0; s < plan->stages_count; s++)
        for (uint32_t i = 0; i < plan->stages[s].nodes_count; i++) {
            const struct tn_node *node = &plan->stages[s].nodes[i];
            if (node->kind == TN_NODE_REPARTITION)
                TN_TRY(create_topic(engine, node->decl->topic, node->decl->partitions_count,
                                    TN_CLEANUP_DELETE, err));
        }
    for (uint32_t i = 0; i < plan->stores_count; i++)
        if (has_own_changelog(&plan->stores[i]))
            TN_TRY(create_topic(engine, plan->stores[i].changelog,
                                plan->stages[plan->stores[i].stage].partitions_count,
                                TN_CLEANUP_COMPACT, err));
    return TN_OK;
}

enum tn_status tni_query_drop_topics(struct tni_query *query, struct tn_err *err)
{
    struct tn_engine *engine = query->engine;
    const struct tn_plan *plan = query->plan;
    for (uint32_t s = 0; s < plan->stages_count; s++)
        for (uint32_t i = 0; i < plan->stages[s].nodes_count; i++) {
            const struct tn_node *node = &plan->stages[s].nodes[i];
            if (node->kind == TN_NODE_REPARTITION)
                TN_TRY(engine->log->type->topic_delete(engine->log, node->decl->topic, err));
        }
    for (uint32_t i = 0; i < plan->stores_count; i++)
        if (has_own_changelog(&plan->stores[i]))
            TN_TRY(engine->log->type->topic_delete(engine->log, plan->stores[i].changelog, err));
    return TN_OK;
}

/* ---- making ---- */

static const struct tn_node *last_node(const struct tn_plan *plan)
{
    const struct tn_stage *stage = &plan->stages[plan->stages_count - 1];
    for (uint32_t i = stage->nodes_count; i--;)
        if (stage->nodes[i].kind == TN_NODE_SINK)
            return &stage->nodes[i];
    return &stage->nodes[stage->nodes_count - 1];
}

/* What scans and subscribers see: the sink's columns, then window bounds. */
static void make_shown_schema(struct tni_query *query)
{
    const struct tn_node *node = last_node(query->plan);
    tn_arena_init(&query->shown_arena, 0);
    query->shown_schema = node->schema;
    if (node->kind != TN_NODE_SINK)
        return;
    const struct tn_schema *schema = node->decl->schema;
    query->shown_schema = schema;
    if (node->decl->window == TN_WINDOW_NONE)
        return;
    struct tn_field *fields =
        TN_ARENA_ARRAY(&query->shown_arena, struct tn_field, schema->fields_count + 2);
    memcpy(fields, schema->fields, schema->fields_count * sizeof *fields);
    fields[schema->fields_count] =
        (struct tn_field){.name = TN_STR("WINDOWSTART"), .type = tn_type_of(TN_K_BIGINT)};
    fields[schema->fields_count + 1] =
        (struct tn_field){.name = TN_STR("WINDOWEND"), .type = tn_type_of(TN_K_BIGINT)};
    struct tn_schema *shown = TN_ARENA_NEW(&query->shown_arena, struct tn_schema);
    *shown = (struct tn_schema){.fields_count = schema->fields_count + 2, .fields = fields};
    query->shown_schema = shown;
}

static enum tn_status make_tasks(struct tni_query *query, struct tn_err *err)
{
    const struct tn_plan *plan = query->plan;
    bool mask[TN_NODES_MAX];
    uint32_t room = plan->stores_count;
    for (uint32_t s = 0; s < plan->stages_count; s++)
        room += (uint32_t)plan->stages[s].partitions_count;
    query->tasks = tn_alloc_array(room + 1, sizeof *query->tasks);
    for (uint32_t i = 0; i < plan->stores_count; i++) {
        const struct tn_store_spec *store = &plan->stores[i];
        if (!tni_global_nodes(plan, &plan->stages[store->stage], (int)store->node, mask))
            continue;
        struct tni_task *task = &query->tasks[query->tasks_count++];
        TN_TRY(tni_task_init(task, query, store->stage, -1, (int)store->node, err));
        task->leader = tni_global_leader(task);
    }
    for (uint32_t s = 0; s < plan->stages_count; s++)
        for (int32_t p = 0; p < plan->stages[s].partitions_count; p++)
            TN_TRY(tni_task_init(&query->tasks[query->tasks_count++], query, s, p, -1, err));
    return TN_OK;
}

enum tn_status tni_query_new(struct tn_engine *engine, struct tn_plan *plan,
                             struct tni_query **ret_query, struct tn_err *err)
{
    struct tni_query *query = tn_alloc(sizeof *query);
    query->engine = engine;
    query->plan = tn_plan_ref(plan);
    make_shown_schema(query);
    enum tn_status st = create_topics(engine, plan, err);
    tni_engine_place(engine, plan);
    if (!tn_failed(st))
        st = make_tasks(query, err);
    if (tn_failed(st)) {
        tn_err_prefix(err, "query '%s'", plan->query_id);
        tni_query_free(query);
        return st;
    }
    *ret_query = query;
    return TN_OK;
}

void tni_query_free(struct tni_query *query)
{
    if (!query)
        return;
    for (uint32_t t = query->tasks_count; t--;)
        tni_task_release(&query->tasks[t]);
    tn_free(query->tasks);
    tn_arena_release(&query->shown_arena);
    tn_plan_unref(query->plan);
    tn_free(query);
}

/* ---- loading ---- */

static bool is_internal(const struct tni_query *query, const struct tni_input *input)
{
    return tni_plan_repartition(query->plan, input->topic.name) != NULL;
}

static int64_t first_position(const struct tni_query *query, const struct tni_input *input,
                              const struct tn_offsets *offsets)
{
    if (is_internal(query, input)) /* alone: what is there was written by an earlier life of the
                                      query; with others, by another process of this one */
        return query->engine->has_members ? offsets->start : offsets->end_visible;
    bool is_latest = query->plan->is_from_latest && !input->is_table;
    return is_latest ? offsets->end_visible : offsets->start;
}

static void refuse_position(struct tni_query *query, const struct tni_input *input, const char *why)
{
    if (!input->task->is_owned)
        return; /* its owner says it */
    struct tn_err err = TN_ERR_INIT;
    tn_err_set(&err, TN_E_INVALID, "topic '%s' partition %d %s", input->topic.name,
               input->partition, why);
    tn_err_hint(&err, "drop the query and create it again to start from the topic as it is");
    tni_query_fail(query, &err);
}

static enum tn_status load_input(struct tni_query *query, struct tni_input *input,
                                 const struct tni_position *position, struct tn_err *err)
{
    struct tn_engine *engine = query->engine;
    struct tn_offsets offsets = {0};
    enum tn_status st =
        engine->log->type->offsets(engine->log, &input->topic, input->partition, &offsets, err);
    if (tn_failed(st))
        return st;
    int64_t at = first_position(query, input, &offsets);
    atomic_store(&input->seen_end, offsets.end_visible);
    if (st == TN_NOT_FOUND) {
        refuse_position(query, input, "is gone");
    } else if (position && memcmp(position->log_id, input->topic.log_id, 16) != 0) {
        refuse_position(query, input, "was deleted and created anew since the last commit");
    } else if (position && position->offset > offsets.end_visible &&
               position->offset > offsets.end_written) {
        char why[96];
        snprintf(why, sizeof why, "ends at %lld, before the committed position %lld",
                 (long long)offsets.end_visible, (long long)position->offset);
        refuse_position(query, input, why);
    } else if (position && position->offset < offsets.start) {
        tn_logf(TN_LOG_WARN, "engine",
                "records were dropped by retention before they were read: query=%s topic=%s "
                "partition=%d from=%lld to=%lld",
                query->plan->query_id, input->topic.name, input->partition,
                (long long)position->offset, (long long)offsets.start);
        at = offsets.start;
    } else if (position) {
        at = position->offset;
    }
    input->start = offsets.start;
    input->ready_at = offsets.end_visible;
    input->stop_at = INT64_MAX;
    input->handed = at;
    atomic_store(&input->committed, at);
    atomic_store(&input->position, at);
    atomic_store(&input->rows_end, at);
    return TN_OK;
}

/* Without its changelog a table cannot be brought to the committed positions. */
static void check_changelog(struct tni_task *task, const struct tni_op *op,
                            const struct tni_position_store *stored)
{
    static const uint8_t none[16];
    struct tn_err err = TN_ERR_INIT;
    if (!task->is_owned || memcmp(stored->changelog_id, none, 16) == 0 ||
        memcmp(stored->changelog_id, op->changelog.log_id, 16) == 0)
        return;
    tn_err_set(&err, TN_E_INVALID,
               "changelog '%s' of store '%s' was deleted and created anew since the last commit",
               op->changelog.name, op->store->name);
    tn_err_hint(&err, "drop the query and create it again to build the table from its inputs");
    tni_query_fail(task->query, &err);
}

static void load_times(struct tni_task *task, const struct tni_position *position)
{
    if (position->stream_time_ms > task->stream_time_ms)
        task->stream_time_ms = task->committed_time_ms = position->stream_time_ms;
    for (uint32_t i = 0; i < position->stores_count; i++) {
        const struct tni_position_store *stored = &position->stores[i];
        for (uint32_t o = 0; o < task->ops_count; o++) {
            struct tni_op *op = &task->ops[o];
            if (!op->store || op->store->id != stored->id)
                continue;
            if (stored->stream_time_ms > op->stream_time_ms)
                op->stream_time_ms = op->committed_stream_ms = stored->stream_time_ms;
            if (stored->closed_ms > op->closed_ms)
                op->closed_ms = op->committed_closed_ms = stored->closed_ms;
            op->changelog_base = stored->changelog_base;
            check_changelog(task, op, stored);
        }
    }
}

static enum tn_status forget_task(struct tni_task *task, struct tn_err *err)
{
    TN_TRY(tni_task_drop_changes(task, err));
    task->is_blocked = false;
    task->stream_time_ms = task->committed_time_ms = INT64_MIN;
    for (uint32_t i = 0; i < task->inputs_count; i++)
        tni_source_detach(&task->inputs[i]);
    for (uint32_t i = 0; i < task->ops_count; i++) {
        struct tni_op *op = &task->ops[i];
        tni_op_set_table(task, op, NULL);
        op->stream_time_ms = op->closed_ms = INT64_MIN;
        op->committed_stream_ms = op->committed_closed_ms = INT64_MIN;
        op->changelog_base = 0;
    }
    return TN_OK;
}

void tni_task_stop(struct tni_task *task)
{
    atomic_store(&task->state, TNI_TASK_STOPPED);
    (void)forget_task(task, NULL); /* nothing is open, so nothing can fail that matters */
    tni_restore_free(task->restore);
    task->restore = NULL;
}

static bool has_standbys(const struct tni_query *query)
{
    return query->engine->config.standbys_count > 0 && query->plan->sink_name;
}

/* A standby starts where somebody has committed; before that there is nothing to follow. */
static enum tn_status load_other(struct tni_task *task, bool is_new, struct tn_err *err)
{
    if (is_new)
        return TN_OK;
    TN_TRY(tni_restore_prepare(task, false, err));
    atomic_store(&task->state, TNI_TASK_STANDBY);
    return TN_OK;
}

enum tn_status tni_task_load(struct tni_task *task, const struct tni_positions *positions,
                             struct tn_err *err)
{
    struct tni_query *query = task->query;
    bool is_new = true;
    atomic_store(&task->state, TNI_TASK_STOPPED); /* until all of it is there */
    task->is_owned = tni_engine_owns(query->engine, task);
    TN_TRY(forget_task(task, err));
    if (!task->is_owned && !has_standbys(query))
        return TN_OK;
    for (uint32_t i = 0; i < task->inputs_count; i++) {
        struct tni_input *input = &task->inputs[i];
        const struct tni_position *position =
            task->is_global || !query->plan->sink_name
                ? NULL
                : tni_positions_find(positions, input->topic.name, input->partition);
        TN_TRY(load_input(query, input, position, err));
        if (position) {
            is_new = false;
            load_times(task, position);
        }
    }
    if (!task->is_owned)
        return load_other(task, is_new, err);
    if (task->leader)
        return TN_OK; /* it has the rows */
    if (task->is_global && !task->has_view) {
        TN_TRY(tni_view_init(&task->global_view, query->engine->state, 0, err));
        task->has_view = true;
    }
    TN_TRY(tni_restore_prepare(task, is_new, err));
    task->is_new = is_new && !task->is_global && query->plan->sink_name;
    query->needs_first |= task->is_new;
    atomic_store(&task->is_ready, false);
    task->is_stuck = false;
    bool is_running = task->is_global;
    atomic_store(&task->state, is_running ? TNI_TASK_RUNNING : TNI_TASK_RESTORING);
    return TN_OK;
}

enum tn_status tni_query_load(struct tni_query *query, struct tn_err *err)
{
    struct tni_positions *positions = NULL;
    TN_TRY(tni_positions_load(query->engine, query->plan->query_id, &positions, err));
    atomic_store(&query->restore_done, 0);
    atomic_store(&query->restore_total, 0);
    enum tn_status st = TN_OK;
    query->needs_first = false;
    for (uint32_t t = 0; t < query->tasks_count && !tn_failed(st); t++)
        st = tni_task_load(&query->tasks[t], positions, err);
    tni_positions_free(positions);
    if (!tn_failed(st)) /* stores may have been dropped: no pin may see them again */
        st = tni_view_refresh(&query->engine->view, err);
    return st;
}

static void add_to_worker(struct tni_task *task)
{
    struct tni_worker *worker = task->worker;
    if (worker->tasks_count == worker->tasks_cap) {
        worker->tasks_cap = worker->tasks_cap ? worker->tasks_cap * 2 : 16;
        worker->tasks = tn_realloc(worker->tasks, worker->tasks_cap * sizeof(void *));
        worker->is_quiet = tn_realloc(worker->is_quiet, worker->tasks_cap * sizeof(bool));
    }
    task->number = worker->tasks_count;
    worker->is_quiet[task->number] = false;
    worker->tasks[worker->tasks_count++] = task;
}

void tni_query_follow(struct tni_query *query)
{
    for (uint32_t t = 0; t < query->tasks_count; t++)
        add_to_worker(&query->tasks[t]);
}

enum tn_status tni_query_attach(struct tni_query *query, struct tn_err *err)
{
    TN_TRY(tni_query_load(query, err));
    tni_query_follow(query);
    return TN_OK;
}

void tni_query_detach(struct tni_query *query)
{
    for (uint32_t t = 0; t < query->tasks_count; t++) {
        struct tni_task *task = &query->tasks[t];
        struct tni_worker *worker = task->worker;
        for (uint32_t i = 0; i < task->inputs_count; i++)
            tni_source_detach(&task->inputs[i]);
        uint32_t kept = 0; /* order is kept: a run is repeatable */
        for (uint32_t i = 0; i < worker->tasks_count; i++)
            if (worker->tasks[i] != task) {
                worker->tasks[i]->number = kept;
                worker->is_quiet[kept] = false;
                worker->tasks[kept++] = worker->tasks[i];
            }
        worker->tasks_count = kept;
    }
}

/* ---- wider topics ---- */

static enum tn_status check_width(struct tni_query *query, const struct tni_input *input,
                                  struct tn_err *err)
{
    struct tn_log *log = query->engine->log;
    struct tn_topic topic;
    enum tn_status st = log->type->topic_find(log, input->topic.name, &topic, err);
    if (st != TN_OK || memcmp(topic.log_id, input->topic.log_id, 16) != 0)
        return tn_failed(st) ? st : TN_OK; /* reading it will tell */
    if (topic.partitions_count <= input->topic.partitions_count)
        return TN_OK;
    struct tn_err why = TN_ERR_INIT;
    tn_err_set(&why, TN_E_INVALID,
               "topic '%s' has %d partitions now, query '%s' was made for %d: its keys may be "
               "anywhere",
               topic.name, topic.partitions_count, query->plan->query_id,
               input->topic.partitions_count);
    tn_err_hint(&why, "drop the query and create it again");
    tni_query_fail(query, &why);
    return TN_OK;
}

void tni_engine_check_widths(struct tn_engine *engine)
{
    struct tn_err err = TN_ERR_INIT;
    const struct tn_log_type *log = engine->log->type;
    uint64_t version = log->topics_version ? log->topics_version(engine->log) : 0;
    if (version == engine->topics_version)
        return;
    for (uint32_t q = 0; q < engine->queries_count; q++) {
        struct tni_query *query = engine->queries[q];
        const struct tni_task *last = NULL; /* inputs of a stage are in each of its tasks */
        for (uint32_t t = 0; t < query->tasks_count && !atomic_load(&query->is_failed); t++) {
            const struct tni_task *task = &query->tasks[t];
            if (task->is_global || (last && last->stage == task->stage))
                continue;
            last = task;
            for (uint32_t i = 0; i < task->inputs_count; i++)
                if (tn_failed(check_width(query, &task->inputs[i], &err)))
                    return; /* the log does not answer; later */
        }
    }
    engine->topics_version = version;
}

/* ---- recovery ---- */

enum tn_status tni_engine_load_marks(struct tn_engine *engine, struct tn_err *err)
{
    struct tni_positions *marks = NULL;
    TN_TRY(tni_positions_load(engine, "", &marks, err));
    for (uint32_t i = 0; i < tni_positions_count(marks); i++) {
        const char *topic = NULL;
        int32_t partition = 0;
        tni_positions_at(marks, i, &topic, &partition);
        const struct tni_position *mark = tni_positions_find(marks, topic, partition);
        struct tn_topic found;
        enum tn_status st = engine->log->type->topic_find(engine->log, topic, &found, err);
        if (tn_failed(st)) {
            tni_positions_free(marks);
            return st;
        }
        bool is_same = st == TN_OK && memcmp(found.log_id, mark->log_id, 16) == 0;
        for (uint32_t w = 0; is_same && w < engine->workers_count; w++) /* not placed yet */
            tni_dead_restore(engine->workers[w].dead, topic, partition, mark->offset);
    }
    tni_positions_free(marks);
    return TN_OK;
}

enum tn_status tni_engine_recover(struct tn_engine *engine, struct tn_err *err)
{
    atomic_fetch_add(&engine->epoch, 1);
    for (uint32_t w = 0; w < engine->workers_count; w++)
        tni_dead_rewind(engine->workers[w].dead, engine->parts[w]);
    TN_TRY(tni_engine_load_marks(engine, err));
    for (uint32_t q = 0; q < engine->queries_count; q++)
        TN_TRY(tni_query_load(engine->queries[q], err));
    tn_metric_add(engine->m.recoveries, 1);
    return TN_OK;
}
