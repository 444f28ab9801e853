/* Tasks: operators and inputs of one stage for one partition, made once, then run batch by batch.
 *
 * A stage that joins a global table is split: the nodes from the global source to its MATERIALIZE
 * run in a global task (engine_global.c), the others in the ordinary tasks. @thread commit (with
 * workers parked) for making and releasing
 */
#include "stream/op_int.h"

#include "stream/base/logline.h"
#include "stream/base/mem.h"

/* ---- making ---- */

/* Does anything behind this node look at old rows? A ktable keeps them itself. */
static bool readers_need_before(const struct tn_stage *stage, uint32_t node)
{
    for (uint32_t i = node + 1; i < stage->nodes_count; i++) {
        const struct tn_node *reader = &stage->nodes[i];
        if (reader->input != (int)node)
            continue;
        switch (reader->kind) {
        case TN_NODE_FILTER:
        case TN_NODE_AGGREGATE:
        case TN_NODE_REPARTITION: return true;
        case TN_NODE_PROJECT:
        case TN_NODE_HOLD:
            if (readers_need_before(stage, i))
                return true;
            break;
        case TN_NODE_SOURCE:
        case TN_NODE_JOIN_TABLE:
        case TN_NODE_MATERIALIZE:
        case TN_NODE_SINK: break;
        }
    }
    return false;
}

static uint32_t keys_count_of(const struct tn_stage *stage, const struct tn_node *node)
{
    if (node->keys_count)
        return node->keys_count;
    while (node->input >= 0)
        node = &stage->nodes[node->input];
    return node->decl->keys_count;
}

static void init_readers(struct tni_task *task, struct tni_op *op)
{
    op->readers = TN_ARENA_ARRAY(&task->own_arena, uint32_t, task->stage->nodes_count);
    for (uint32_t i = op->number + 1; i < task->stage->nodes_count; i++)
        if (task->stage->nodes[i].input == (int)op->number && task->ops[i].is_mine)
            op->readers[op->readers_count++] = i;
}

static enum tn_status find_topic(const struct tni_task *task, const char *name,
                                 struct tn_topic *ret_topic, struct tn_err *err)
{
    struct tn_log *log = task->query->engine->log;
    enum tn_status st = log->type->topic_find(log, name, ret_topic, err);
    if (st == TN_NOT_FOUND)
        return tn_err_set(err, TN_E_NAME, "topic '%s' does not exist", name);
    return st;
}

static enum tn_status open_codec(struct tni_task *task, const struct tn_topic_decl *decl,
                                 bool is_key, struct tn_codec **ret_codec, struct tn_err *err)
{
    uint32_t from = is_key ? 0 : decl->keys_count;
    uint32_t to = is_key ? decl->keys_count : decl->schema->fields_count;
    struct tn_schema *schema = TN_ARENA_NEW(&task->own_arena, struct tn_schema);
    *schema = (struct tn_schema){.fields_count = to - from, .fields = decl->schema->fields + from};
    struct tn_codec_spec spec = tn_decl_spec(decl, is_key, schema);
    const struct tn_format *format = is_key ? decl->key_format : decl->value_format;
    return format->open(format, &spec, ret_codec, err);
}

static enum tn_status init_writer(struct tni_task *task, struct tni_op *op, struct tn_err *err)
{
    const struct tn_topic_decl *decl = op->node->decl;
    TN_TRY(find_topic(task, decl->topic, &op->topic, err));
    op->changelog_of = -1;
    if (decl->timestamp_column >= 0 && decl->timestamp_format)
        TN_TRY(tni_time_program(decl, &task->own_arena, &op->time_program, err));
    if (decl->keys_count)
        TN_TRY(open_codec(task, decl, true, &op->key_codec, err));
    bool is_change =
        op->node->kind == TN_NODE_REPARTITION && task->stage->nodes[op->node->input].is_table;
    if (!is_change && !op->node->is_fold && decl->schema->fields_count > decl->keys_count)
        TN_TRY(open_codec(task, decl, false, &op->value_codec, err));
    return TN_OK;
}

/* The sink whose topic rebuilds the store keeps its records in the task's partition. */
static enum tn_status pin_sink(struct tni_task *task, struct tni_op *op, struct tn_err *err)
{
    TN_ASSERT(op->store->changelog);
    for (uint32_t i = op->number + 1; i < task->ops_count; i++) {
        struct tni_op *sink = &task->ops[i];
        if (sink->node->kind != TN_NODE_SINK ||
            strcmp(sink->node->decl->topic, op->store->changelog) != 0)
            continue;
        sink->is_pinned = true;
        sink->changelog_of = (int32_t)op->number;
        if (sink->topic.partitions_count != task->stage->partitions_count)
            return tn_err_set(err, TN_E_INVALID,
                              "topic '%s' has %d partitions, its table has %d: they must be equal",
                              sink->topic.name, sink->topic.partitions_count,
                              task->stage->partitions_count);
        return TN_OK;
    }
    return tn_err_set(err, TN_E_INTERNAL, "store '%s' is rebuilt from '%s', which no sink writes",
                      op->store->name, op->store->changelog);
}

static enum tn_status init_store(struct tni_task *task, struct tni_op *op, struct tn_err *err)
{
    const struct tn_schema *schema = op->node->schema;
    op->store = &task->query->plan->stores[op->node->store];
    op->keys_count = keys_count_of(task->stage, op->node);
    op->key_types =
        TN_ARENA_ARRAY(&task->own_arena, const struct tn_type *, schema->fields_count + 2);
    for (uint32_t i = 0; i < schema->fields_count; i++)
        op->key_types[i] = schema->fields[i].type;
    if (op->node->kind == TN_NODE_HOLD)
        tni_hold_init(task, op);
    op->needs_before = op->node->needs_before || readers_need_before(task->stage, op->number);
    op->stream_time_ms = op->closed_ms = INT64_MIN;
    op->committed_stream_ms = op->committed_closed_ms = INT64_MIN;
    op->has_own_changelog =
        op->store->changelog && !op->store->is_changelog_result && !op->store->is_source;
    if (op->store->is_changelog_result)
        TN_TRY(pin_sink(task, op, err));
    if (op->store->changelog && !op->store->is_source)
        TN_TRY(find_topic(task, op->store->changelog, &op->changelog, err));
    return TN_OK;
}

static void init_join(struct tni_task *task, struct tni_op *op)
{
    const struct tn_store_spec *store = &task->query->plan->stores[op->node->store];
    const struct tn_stage *stage = task->stage;
    uint32_t in_count = stage->nodes[op->node->input].schema->fields_count;
    uint32_t keys_count = keys_count_of(stage, &stage->nodes[store->node]);
    bool *live = TN_ARENA_ARRAY(&task->own_arena, bool, op->node->schema->fields_count);
    tni_plan_live(stage, op->number, live);
    op->live_values = live + in_count + keys_count;
    op->table = &task->ops[store->node];
    if (op->table->is_mine)
        return;
    for (uint32_t t = 0; t < task->query->tasks_count; t++) {
        struct tni_task *other = &task->query->tasks[t];
        if (other->is_global && other->stage_number == task->stage_number &&
            other->table_node == store->node)
            op->global = other;
    }
    TN_ASSERT(op->global);
    tni_global_bind(op, op->global);
}

static enum tn_status init_op(struct tni_task *task, struct tni_op *op, struct tn_err *err)
{
    tn_buf_init(&op->key_bytes, (size_t)1 << 30);
    tn_buf_init(&op->value_bytes, (size_t)1 << 30);
    tn_buf_init(&op->window_bytes, TN_RECORD_BYTES_MAX * 2);
    if (!op->is_mine)
        return TN_OK;
    init_readers(task, op);
    switch (op->node->kind) {
    case TN_NODE_SINK:
    case TN_NODE_REPARTITION: return init_writer(task, op, err);
    case TN_NODE_JOIN_TABLE: init_join(task, op); break;
    case TN_NODE_FILTER:
        if (!op->node->is_table && op->readers_count) { /* without readers subscribers see it */
            op->live_values =
                TN_ARENA_ARRAY(&task->own_arena, bool, op->node->schema->fields_count + 1);
            tni_plan_live(task->stage, op->number, op->live_values);
            op->is_selecting = tni_plan_selects(task->stage, op->number);
        }
        break;
    case TN_NODE_AGGREGATE:
        return op->node->is_fold ? open_codec(task, task->stage->nodes[op->node->input].decl, true,
                                              &op->key_codec, err)
                                 : TN_OK;
    case TN_NODE_SOURCE:
    case TN_NODE_PROJECT:
    case TN_NODE_HOLD:
    case TN_NODE_MATERIALIZE: break;
    }
    return TN_OK;
}

/* The path from a source to the store it rebuilds. */
static void mark_replayed(struct tni_task *task)
{
    for (uint32_t i = 0; i < task->ops_count; i++) {
        struct tni_op *op = &task->ops[i];
        if (!op->is_mine || !op->store || !op->store->is_source)
            continue;
        for (int n = (int)i; n >= 0; n = task->stage->nodes[n].input)
            task->ops[n].is_replayed = true;
    }
}

static void add_input(struct tni_task *task, struct tni_op *op, const struct tn_topic *topic,
                      int32_t partition)
{
    const struct tn_topic_decl *decl = op->node->decl;
    struct tni_input *input = &task->inputs[task->inputs_count++];
    *input = (struct tni_input){.task = task,
                                .node = op->number,
                                .decl = decl,
                                .topic = *topic,
                                .partition = partition,
                                .is_table = decl->is_table,
                                .is_replayed = op->is_replayed,
                                .stop_at = INT64_MAX};
    const struct tn_node *writer = tni_plan_repartition(task->query->plan, decl->topic);
    for (uint32_t s = 0; writer && s < task->query->plan->stages_count; s++) {
        const struct tn_stage *stage = &task->query->plan->stages[s];
        if (writer >= stage->nodes && writer < stage->nodes + stage->nodes_count)
            input->is_change = stage->nodes[writer->input].is_table;
    }
}

static enum tn_status init_inputs(struct tni_task *task, struct tn_err *err)
{
    struct tn_topic topics[TN_NODES_MAX];
    size_t room = 0;
    for (uint32_t i = 0; i < task->ops_count; i++) {
        if (!task->ops[i].is_mine || task->ops[i].node->kind != TN_NODE_SOURCE)
            continue;
        TN_TRY(find_topic(task, task->ops[i].node->decl->topic, &topics[i], err));
        room += task->is_global ? (size_t)topics[i].partitions_count : 1;
    }
    task->inputs = tn_alloc_array(room, sizeof *task->inputs);
    for (uint32_t i = 0; i < task->ops_count; i++) {
        if (!task->ops[i].is_mine || task->ops[i].node->kind != TN_NODE_SOURCE)
            continue;
        int32_t from = task->is_global ? 0 : task->partition;
        int32_t to = task->is_global ? topics[i].partitions_count : from + 1;
        for (int32_t p = from; p < to && p < topics[i].partitions_count; p++)
            add_input(task, &task->ops[i], &topics[i], p);
    }
    return TN_OK;
}

static bool is_last_shown(const struct tni_task *task, const struct tni_op *op)
{
    return task->stage_number == task->query->plan->stages_count - 1 && op->readers_count == 0 &&
           op->node->kind != TN_NODE_REPARTITION && op->node->kind != TN_NODE_JOIN_TABLE;
}

/* All its rows end in folds, which bound themselves: a round may take any number of them. */
static bool has_folds_only(const struct tni_task *task)
{
    for (uint32_t i = 0; i < task->ops_count; i++) {
        const struct tni_op *op = &task->ops[i];
        if (op->store || (op->readers_count == 0 && !op->node->is_fold))
            return false;
    }
    return true;
}

enum tn_status tni_task_init(struct tni_task *task, struct tni_query *query, uint32_t stage,
                             int32_t partition, int table_node, struct tn_err *err)
{
    bool is_global = table_node >= 0;
    task->query = query;
    task->stage = &query->plan->stages[stage];
    task->stage_number = stage;
    task->partition = partition;
    task->is_global = is_global;
    task->table_node = is_global ? (uint32_t)table_node : 0;
    task->stream_time_ms = task->committed_time_ms = INT64_MIN;
    atomic_store(&task->shown_time_ms, INT64_MIN);
    pthread_mutex_init(&task->side_lock, NULL);
    tn_arena_init(&task->own_arena, 0);
    task->is_made = true;
    struct tn_engine *engine = query->engine;
    task->worker = is_global ? &engine->workers[table_node % (int)engine->workers_count]
                             : tni_worker_of(engine, partition);
    task->arena = &task->worker->arena;
    atomic_store(&task->state, TNI_TASK_STOPPED);
    bool global_nodes[TN_NODES_MAX];
    tni_global_nodes(query->plan, task->stage, table_node, global_nodes);
    task->ops_count = task->stage->nodes_count;
    task->ops = tn_alloc_array(task->ops_count, sizeof *task->ops);
    for (uint32_t i = 0; i < task->ops_count; i++) {
        task->ops[i].node = &task->stage->nodes[i];
        task->ops[i].number = i;
        task->ops[i].is_mine = global_nodes[i] == is_global;
    }
    for (uint32_t i = 0; i < task->ops_count; i++)
        TN_TRY(init_op(task, &task->ops[i], err));
    for (uint32_t i = 0; i < task->ops_count; i++) {
        struct tni_op *op = &task->ops[i];
        bool has_store = op->node->kind == TN_NODE_AGGREGATE ||
                         op->node->kind == TN_NODE_MATERIALIZE || op->node->kind == TN_NODE_HOLD;
        if (op->is_mine && has_store)
            TN_TRY(init_store(task, op, err));
        op->is_shown = op->is_mine && is_last_shown(task, op);
    }
    mark_replayed(task);
    task->is_folding = has_folds_only(task);
    uint32_t stores_count = 0;
    for (uint32_t i = 0; i < task->ops_count; i++)
        stores_count += task->ops[i].store != NULL;
    if (stores_count > TNI_TASK_STORES_MAX)
        return tn_err_set(err, TN_E_LIMIT, "query '%s' has %u stores in one stage, at most %d",
                          query->plan->query_id, stores_count, TNI_TASK_STORES_MAX);
    return init_inputs(task, err);
}

static void release_op(struct tni_op *op)
{
    if (op->key_codec)
        op->key_codec->format->close(op->key_codec);
    if (op->value_codec)
        op->value_codec->format->close(op->value_codec);
    for (int32_t p = 0; op->builders && p < op->topic.partitions_count; p++)
        tn_records_builder_release(&op->builders[p]);
    tn_free(op->builders);
    tni_fold_drop(op);
    tn_buf_release(&op->key_bytes);
    tn_buf_release(&op->value_bytes);
    tn_buf_release(&op->window_bytes);
    tni_ktable_unref(op->kt);
}

void tni_task_release(struct tni_task *task)
{
    if (!task->is_made)
        return;
    tni_turn_free(task->turn);
    tni_restore_free(task->restore);
    for (uint32_t i = 0; i < task->inputs_count; i++)
        tni_source_detach(&task->inputs[i]);
    tn_free(task->inputs);
    for (uint32_t i = 0; i < task->ops_count; i++)
        release_op(&task->ops[i]);
    tn_free(task->ops);
    if (task->has_view)
        tni_view_release(&task->global_view);
    tn_arena_release(&task->own_arena);
    pthread_mutex_destroy(&task->side_lock);
    task->is_made = false;
}

/* ---- turns ---- */

struct tni_turn *tni_task_turn(struct tni_task *task)
{
    if (task->turn)
        return task->turn;
    struct tni_turn *turn = tn_alloc(sizeof *turn);
    turn->task = task;
    tn_arena_init(&turn->arena, 0);
    turn->deltas = TN_ARENA_ARRAY(&turn->arena, struct tni_delta *, task->ops_count);
    turn->positions = TN_ARENA_ARRAY(&turn->arena, int64_t, task->inputs_count + 1);
    turn->op_times = TN_ARENA_ARRAY(&turn->arena, int64_t, (size_t)task->ops_count * 2);
    task->turn = turn;
    return turn;
}

void tni_turn_emit(struct tni_turn *turn, const struct tn_topic *topic, int32_t partition,
                   struct tn_records *records, int32_t changelog_op)
{
    if (turn->emits_count == turn->emits_cap) {
        turn->emits_cap = turn->emits_cap ? turn->emits_cap * 2 : 8;
        turn->emits = tn_realloc(turn->emits, turn->emits_cap * sizeof *turn->emits);
    }
    turn->bytes += records->bytes;
    turn->emits[turn->emits_count++] = (struct tni_emit){
        .topic = topic, .partition = partition, .records = records, .changelog_op = changelog_op};
}

void tni_turn_free(struct tni_turn *turn)
{
    if (!turn)
        return;
    for (uint32_t i = 0; i < turn->emits_count; i++)
        tn_records_unref(turn->emits[i].records);
    tn_free(turn->emits);
    tn_arena_release(&turn->arena);
    tn_free(turn);
}

static bool has_moved(const struct tni_task *task)
{
    for (uint32_t i = 0; i < task->inputs_count; i++)
        if (atomic_load(&task->inputs[i].position) != task->inputs[i].handed)
            return true;
    return false;
}

static void fill_positions(struct tni_task *task, struct tni_turn *turn)
{
    for (uint32_t i = 0; i < task->inputs_count; i++) {
        struct tni_input *input = &task->inputs[i];
        turn->positions[i] = atomic_load(&input->position);
        input->handed = turn->positions[i];
    }
    for (uint32_t i = 0; i < task->ops_count; i++) {
        turn->op_times[2 * i] = task->ops[i].stream_time_ms;
        turn->op_times[2 * i + 1] = task->ops[i].closed_ms;
    }
    turn->stream_time_ms = task->stream_time_ms;
}

struct tni_turn *tni_task_boundary(struct tni_task *task, struct tn_err *err)
{
    if (task->is_global || !tni_task_is_live(task) || task->is_blocked)
        return NULL;
    for (uint32_t i = 0; i < task->ops_count; i++) {
        struct tni_op *op = &task->ops[i];
        if (op->kt && (op->is_touched || tni_hold_is_due(task, op)) &&
            tn_failed(tni_op_boundary(task, op, tni_task_turn(task), err)))
            return NULL; /* the caller sees err; the turn stays open for the rewind */
    }
    for (uint32_t i = 0; i < task->ops_count; i++)
        if (tn_failed(tni_fold_flush(task, &task->ops[i], err)))
            return NULL;
    for (uint32_t i = 0; i < task->ops_count; i++)
        tni_op_flush_builders(task, &task->ops[i]);
    if (!task->turn && !has_moved(task))
        return NULL;
    struct tni_turn *turn = tni_task_turn(task);
    fill_positions(task, turn);
    task->turn = NULL;
    return turn;
}

/* ---- rewind ---- */

static void drop_open_outputs(struct tni_task *task)
{
    tni_turn_free(task->turn);
    task->turn = NULL;
    for (uint32_t i = 0; i < task->ops_count; i++) {
        struct tni_op *op = &task->ops[i];
        op->is_touched = false;
        tni_fold_drop(op);
        for (int32_t p = 0; op->builders && p < op->topic.partitions_count; p++)
            tn_records_builder_release(&op->builders[p]);
    }
}

static const struct tni_turn *turn_in_flight(const struct tni_task *task)
{
    const struct tni_part *part = task->query->engine->parts[task->worker->index];
    for (const struct tni_turn *turn = part ? part->turns : NULL; turn; turn = turn->next)
        if (turn->task == task)
            return turn;
    return NULL;
}

enum tn_status tni_task_drop_changes(struct tni_task *task, struct tn_err *err)
{
    const struct tni_turn *turns[2] = {turn_in_flight(task), task->turn};
    for (uint32_t i = 0; i < task->ops_count; i++) {
        struct tni_op *op = &task->ops[i];
        if (!op->kt)
            continue;
        struct tni_delta *deltas[2];
        uint32_t deltas_count = 0;
        for (int t = 0; t < 2; t++) /* the second one: a boundary that failed half-way */
            if (turns[t] && turns[t]->deltas[i]) {
                deltas[deltas_count++] = turns[t]->deltas[i];
                turns[t]->deltas[i] = NULL;
            }
        TN_TRY(tni_ktable_abort(op->kt, deltas, deltas_count, err));
        op->stream_time_ms = op->committed_stream_ms;
        op->closed_ms = op->committed_closed_ms;
        tni_hold_reset(op, 0);
    }
    drop_open_outputs(task);
    return TN_OK;
}

enum tn_status tni_task_rewind(struct tni_task *task, struct tn_err *err)
{
    if (task->is_global || !tni_task_is_live(task))
        return TN_OK;
    TN_TRY(tni_task_drop_changes(task, err));
    task->stream_time_ms = task->committed_time_ms;
    task->is_blocked = false;
    for (uint32_t i = 0; i < task->inputs_count; i++) {
        struct tni_input *input = &task->inputs[i];
        int64_t committed = atomic_load(&input->committed);
        tni_source_detach(input);
        atomic_store(&input->position, committed);
        atomic_store(&input->rows_end, committed);
        input->handed = committed;
    }
    return TN_OK;
}

/* ---- trouble ---- */

void tni_task_trouble(struct tni_task *task, const struct tn_err *err)
{
    struct tn_engine *engine = task->query->engine;
    bool is_state = err->code == TN_E_CORRUPT || err->code == TN_E_IO || err->code == TN_E_FULL;
    task->is_blocked = true;
    if (err->code == TN_E_CORRUPT)
        task->is_state_bad = true;
    int failures = is_state ? atomic_fetch_add(&task->query->state_failures, 1) + 1 : 0;
    if (is_state && failures <= TNI_FAILURES_MAX) {
        tn_logf(TN_LOG_WARN, "engine", "state not usable, recovering: query=%s partition=%d: %s",
                task->query->plan->query_id, task->partition, err->message);
        atomic_store(&engine->is_recover_wanted, true);
    } else {
        tni_task_fail(task, err);
        atomic_store(&engine->is_abort_wanted, true);
    }
    tni_commit_kick(engine);
}
