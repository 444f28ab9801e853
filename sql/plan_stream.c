/* Streaming planner: the frame. Contract: sql/plan_stream.h; steps in plan_stream_join.c, _agg.c,
 * _sink.c.
 *
 * HOW IT WORKS. The planner walks a bound query in the order of execution (source, joins, WHERE,
 * GROUP BY, HAVING, projection, sink) and appends nodes to the last stage; a change of key in front
 * of a stateful step closes the stage with a REPARTITION node and opens the next one. Expressions
 * stay bound to (source, column) until the moment they are put into a node; `columns` says where
 * each of them is by then.
 */
#include "sql/plan_stream_int.h"

struct tn_schema *tni_schema_new(struct tn_arena *arena, uint32_t fields_count)
{
    struct tn_schema *schema = TN_ARENA_NEW(arena, struct tn_schema);
    schema->fields = TN_ARENA_ARRAY(arena, struct tn_field, fields_count + 1);
    schema->fields_count = fields_count;
    return schema;
}

const struct tn_schema *tni_windowed_schema(struct tn_arena *arena, const struct tn_schema *schema)
{
    struct tn_schema *wide = tni_schema_new(arena, schema->fields_count + 2);
    struct tn_field *fields = (struct tn_field *)(uintptr_t)wide->fields;
    for (uint32_t i = 0; i < schema->fields_count; i++)
        fields[i] = schema->fields[i];
    fields[schema->fields_count] =
        (struct tn_field){TN_STR("WINDOWSTART"), tn_type_of(TN_K_BIGINT)};
    fields[schema->fields_count + 1] =
        (struct tn_field){TN_STR("WINDOWEND"), tn_type_of(TN_K_BIGINT)};
    return wide;
}

struct tni_stage *tni_stage_last(struct tni_planner *pl)
{
    TN_ASSERT(pl->stages_count > 0);
    return pl->stages[pl->stages_count - 1];
}

struct tni_stage *tni_stage_add(struct tni_planner *pl, int32_t partitions)
{
    TN_ASSERT(pl->stages_count < TN_STAGES_MAX);
    struct tni_stage *stage = TN_ARENA_NEW(pl->arena, struct tni_stage);
    stage->partitions = partitions;
    pl->stages[pl->stages_count++] = stage;
    return stage;
}

struct tn_node *tni_node_at(struct tni_planner *pl, int node)
{
    return &tni_stage_last(pl)->nodes[node];
}

int tni_node_add(struct tni_planner *pl, enum tn_node_kind kind, int input,
                 const struct tn_schema *schema, struct tn_err *err)
{
    (void)err;
    struct tni_stage *stage = tni_stage_last(pl);
    TN_ASSERT(stage->nodes_count < TN_NODES_MAX); /* TNI_SOURCES_MAX bounds it */
    struct tn_node *node = &stage->nodes[stage->nodes_count];
    *node = (struct tn_node){.kind = kind, .input = input, .schema = schema, .store = -1};
    return (int)stage->nodes_count++;
}

int tni_store_add(struct tni_planner *pl, const char *name, int node)
{
    struct tn_store_spec *store = &pl->stores[pl->stores_count];
    *store = (struct tn_store_spec){.name = tn_arena_strdup(pl->arena, name),
                                    .id = pl->request->store_first + pl->stores_count,
                                    .stage = pl->stages_count - 1,
                                    .node = (uint32_t)node};
    tni_node_at(pl, node)->store = (int)pl->stores_count;
    return (int)pl->stores_count++;
}

const char *tni_store_changelog(struct tni_planner *pl, const char *store)
{
    return tn_arena_printf(pl->arena, "%s-%s-%s-changelog", pl->request->application_id,
                           pl->request->query_id, store);
}

enum tn_status tni_flow_hold(struct tni_planner *pl, struct tn_err *err)
{
    const struct tni_with *with = pl->request->with;
    if (!with || with->emit_interval_ms <= 0 || pl->request->sink == TNI_SINK_NONE)
        return TN_OK;
    const char *other = pl->query->window.is_final      ? "EMIT FINAL"
                        : !strcmp(with->emit, "update") ? "EMIT='update'"
                                                        : NULL;
    if (other) {
        tn_err_set(err, TN_E_INVALID,
                   "EMIT_INTERVAL_MS coalesces the results of a table, %s wants each of them",
                   other);
        tn_err_hint(err, "leave out one of the two");
        return err ? err->code : TN_E_INVALID;
    }
    const char *name = tn_arena_printf(pl->arena, "%s-held", pl->stores[pl->stores_count - 1].name);
    int at = tni_node_add(pl, TN_NODE_HOLD, pl->node, pl->schema, err);
    tni_node_at(pl, at)->is_table = true;
    int store = tni_store_add(pl, name, at);
    pl->stores[store].changelog = tni_store_changelog(pl, name);
    pl->node = at;
    return TN_OK;
}

enum tn_status tni_flow_filter(struct tni_planner *pl, const struct tn_expr *condition,
                               struct tn_err *err)
{
    struct tn_expr **exprs = TN_ARENA_ARRAY(pl->arena, struct tn_expr *, 1);
    exprs[0] = tni_lower(pl, condition);
    int at = tni_node_add(pl, TN_NODE_FILTER, pl->node, pl->schema, err);
    struct tn_node *node = tni_node_at(pl, at);
    node->exprs_count = 1;
    node->exprs = exprs;
    node->is_table = pl->is_table;
    if (pl->is_table)
        tni_node_at(pl, pl->node)->needs_before = true;
    pl->node = at;
    return TN_OK;
}

/* ---- checks before planning ---- */

static enum tn_status refuse_unbuilt(const struct tni_stream_query *query, struct tn_err *err)
{
    for (uint32_t i = 0; i + 1 < query->sources_count; i++) {
        const struct tni_join *join = &query->joins[i];
        const struct tni_source *right = &query->sources[i + 1];
        const char *what = NULL;
        if (!right->is_table && !query->sources[0].is_table)
            what = "a join of two streams (WITHIN)";
        else if (right->is_table && query->sources[0].is_table)
            what = "a join of two tables";
        else if (!right->is_table)
            what = "a join of a table with a stream";
        if (what)
            return tn_err_at(err, TN_E_UNSUPPORTED, "NOT_SUPPORTED", join->line, join->col,
                             "%s is not supported yet; a stream can be joined with tables", what);
        if (join->is_windowed)
            return tn_err_at(err, TN_E_INVALID, "INVALID_ARGUMENTS", join->line, join->col,
                             "WITHIN belongs to joins of two streams, '%.*s' is a table",
                             TN_STR_FMT(right->alias));
        if (join->kind != TN_JOIN_INNER && join->kind != TN_JOIN_LEFT)
            return tn_err_at(err, TN_E_INVALID, "INVALID_ARGUMENTS", join->line, join->col,
                             "a stream is joined with a table by INNER or LEFT JOIN only");
    }
    return TN_OK;
}

/* Kind of the result against the kind of the statement. */
static enum tn_status check_kind(const struct tni_plan_request *request, bool is_table,
                                 struct tn_err *err)
{
    const struct tni_stream_query *query = request->query;
    if (request->sink == TNI_SINK_NONE || is_table == (request->sink == TNI_SINK_TABLE))
        return TN_OK;
    if (request->insert_into)
        return tn_err_at(err, TN_E_INVALID, "INVALID_ARGUMENTS", query->line, query->col,
                         "the SELECT gives a table, '%s' is a stream", request->insert_into->name);
    tn_err_at(err, TN_E_INVALID, "INVALID_ARGUMENTS", query->line, query->col,
              "the SELECT gives a %s", is_table ? "table" : "stream");
    tn_err_hint(err, "use CREATE %s … AS SELECT", is_table ? "TABLE" : "STREAM");
    return TN_E_INVALID;
}

static enum tn_status check_shape(const struct tni_stream_query *query, struct tn_err *err)
{
    if (query->window.kind != TN_WINDOW_NONE && !query->groups_count)
        return tn_err_at(err, TN_E_INVALID, "INVALID_ARGUMENTS", query->line, query->col,
                         "WINDOW needs GROUP BY");
    if (query->window.kind != TN_WINDOW_NONE && query->sources[0].is_table)
        return tn_err_at(err, TN_E_INVALID, "INVALID_ARGUMENTS", query->line, query->col,
                         "WINDOW needs a stream, '%.*s' is a table",
                         TN_STR_FMT(query->sources[0].alias));
    if (query->groups_count && !query->has_aggs)
        return tn_err_at(err, TN_E_INVALID, "INVALID_ARGUMENTS", query->line, query->col,
                         "GROUP BY needs an aggregate function in SELECT or HAVING");
    if (!query->groups_count && query->has_aggs)
        return tn_err_at(err, TN_E_INVALID, "INVALID_ARGUMENTS", query->line, query->col,
                         "an aggregate function needs GROUP BY");
    if (query->having && !query->groups_count)
        return tn_err_at(err, TN_E_INVALID, "INVALID_ARGUMENTS", query->having->line,
                         query->having->col, "HAVING needs GROUP BY");
    if (query->is_partitioned && query->groups_count)
        return tn_err_at(err, TN_E_INVALID, "INVALID_ARGUMENTS", query->line, query->col,
                         "GROUP BY and PARTITION BY exclude each other");
    if (query->emit == TNI_EMIT_FINAL && query->window.kind == TN_WINDOW_NONE)
        return tn_err_at(err, TN_E_INVALID, "INVALID_ARGUMENTS", query->line, query->col,
                         "EMIT FINAL needs a WINDOW");
    return TN_OK;
}

/* ---- the plan ---- */

static void plan_finish(struct tni_planner *pl)
{
    struct tn_plan *plan = pl->plan;
    plan->stages_count = pl->stages_count;
    plan->stages = TN_ARENA_ARRAY(pl->arena, struct tn_stage, pl->stages_count);
    for (uint32_t i = 0; i < pl->stages_count; i++) {
        const struct tni_stage *from = pl->stages[i];
        struct tn_stage *to = &plan->stages[i];
        to->nodes_count = from->nodes_count;
        to->partitions_count = from->partitions;
        to->nodes = TN_ARENA_ARRAY(pl->arena, struct tn_node, from->nodes_count);
        memcpy(to->nodes, from->nodes, from->nodes_count * sizeof *to->nodes);
    }
    plan->stores_count = pl->stores_count;
    plan->stores = TN_ARENA_ARRAY(pl->arena, struct tn_store_spec, pl->stores_count + 1);
    memcpy(plan->stores, pl->stores, pl->stores_count * sizeof *plan->stores);
}

static void plan_name(struct tn_plan *plan, const char *query_id, const char *sink_name,
                      const char *statement)
{
    TN_ASSERT(strlen(query_id) < sizeof plan->query_id);
    memcpy(plan->query_id, query_id, strlen(query_id) + 1);
    plan->sink_name = sink_name ? tn_arena_strdup(&plan->arena, sink_name) : NULL;
    plan->statement = tn_arena_strdup(&plan->arena, statement ? statement : "");
}

static enum tn_status plan_steps(struct tni_planner *pl, struct tn_err *err)
{
    const struct tni_stream_query *query = pl->query;
    TN_TRY(tni_flow_source(pl, err));
    for (uint32_t i = 0; i + 1 < query->sources_count; i++)
        TN_TRY(tni_flow_join(pl, i, err));
    bool is_table = pl->is_table || query->groups_count > 0;
    TN_TRY(check_kind(pl->request, is_table, err));
    if (query->where)
        TN_TRY(tni_flow_filter(pl, query->where, err));
    if (query->groups_count)
        TN_TRY(tni_flow_aggregate(pl, err));
    else
        TN_TRY(tni_flow_project(pl, err));
    return pl->request->sink == TNI_SINK_NONE ? TN_OK : tni_flow_sink(pl, err);
}

enum tn_status tni_plan_stream(const struct tni_plan_request *request,
                               struct tni_planned *ret_planned, struct tn_err *err)
{
    enum tn_status st;
    struct tn_plan *plan = NULL;
    TN_TRY(check_shape(request->query, err));
    TN_TRY(refuse_unbuilt(request->query, err));
    plan = tn_plan_new();
    struct tni_planner *pl = TN_ARENA_NEW(&plan->arena, struct tni_planner);
    *pl = (struct tni_planner){
        .request = request, .query = request->query, .plan = plan, .arena = &plan->arena};
    char *sink_name = request->sink_name.ptr
                          ? (char *)(uintptr_t)tn_arena_str(&plan->arena, request->sink_name).ptr
                          : NULL;
    plan_name(plan, request->query_id, sink_name, request->statement);
    TN_GOTO(plan_steps(pl, err));
    plan_finish(pl);
    if (request->with) {
        plan->is_emit_every_update = !strcmp(request->with->emit, "update");
        plan->emit_interval_ms = request->with->emit_interval_ms;
    }
    plan->is_from_latest = request->is_latest;
    TN_GOTO(tn_plan_compile(plan, err));
    *ret_planned = (struct tni_planned){.plan = plan,
                                        .decl = pl->sink,
                                        .stores_count = pl->stores_count,
                                        .changelog_why = pl->changelog_why};
    ret_planned->schema = request->sink == TNI_SINK_NONE ? pl->schema : pl->sink.schema;
    if (request->sink != TNI_SINK_NONE && pl->sink.window != TN_WINDOW_NONE)
        ret_planned->schema = tni_windowed_schema(pl->arena, pl->sink.schema);
    return TN_OK;
fail:
    tn_plan_unref(plan);
    return st;
}

enum tn_status tni_plan_table(const struct tn_topic_decl *decl, const char *query_id,
                              const char *sink_name, uint32_t store_id, struct tn_plan **ret_plan,
                              struct tn_err *err)
{
    enum tn_status st;
    struct tn_plan *plan = tn_plan_new();
    struct tn_arena *arena = &plan->arena;
    plan_name(plan, query_id, sink_name, NULL);
    struct tn_topic_decl *copy = TN_ARENA_NEW(arena, struct tn_topic_decl);
    *copy = *decl;
    copy->topic = tn_arena_strdup(arena, decl->topic);
    copy->timestamp_format =
        decl->timestamp_format ? tn_arena_strdup(arena, decl->timestamp_format) : NULL;
    struct tn_schema *schema = tni_schema_new(arena, decl->schema->fields_count);
    for (uint32_t i = 0; i < schema->fields_count; i++) {
        struct tn_field *field = (struct tn_field *)(uintptr_t)&schema->fields[i];
        field->name = tn_arena_str(arena, decl->schema->fields[i].name);
        field->type = tn_type_copy(arena, decl->schema->fields[i].type);
    }
    copy->schema = schema;
    const struct tn_schema *rows =
        decl->window == TN_WINDOW_NONE ? schema : tni_windowed_schema(arena, schema);
    struct tn_node *nodes = TN_ARENA_ARRAY(arena, struct tn_node, 2);
    nodes[0] = (struct tn_node){.kind = TN_NODE_SOURCE,
                                .input = -1,
                                .schema = rows,
                                .is_table = true,
                                .decl = copy,
                                .store = -1};
    nodes[1] = (struct tn_node){
        .kind = TN_NODE_MATERIALIZE, .input = 0, .schema = rows, .is_table = true, .store = 0};
    plan->stages_count = 1;
    plan->stages = TN_ARENA_ARRAY(arena, struct tn_stage, 1);
    plan->stages[0] = (struct tn_stage){
        .nodes_count = 2, .nodes = nodes, .partitions_count = decl->partitions_count};
    plan->stores_count = 1;
    plan->stores = TN_ARENA_ARRAY(arena, struct tn_store_spec, 1);
    plan->stores[0] = (struct tn_store_spec){.name = tn_arena_strdup(arena, sink_name),
                                             .id = store_id,
                                             .node = 1,
                                             .changelog = copy->topic,
                                             .is_source = true};
    TN_GOTO(tn_plan_compile(plan, err));
    *ret_plan = plan;
    return TN_OK;
fail:
    tn_plan_unref(plan);
    return st;
}
