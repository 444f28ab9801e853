/* Streaming planner: GROUP BY, windows, HAVING, and which topic carries the state. Contract:
 * sql/plan_stream_int.h.
 *
 * Rows reach AGGREGATE as (group expressions, arguments, filters): by a PROJECT when they are
 * already keyed by exactly the groups, else as the columns of the repartition topic, or folded
 * into partial states on the way there (can_fold). Behind it
 * every expression is over group columns and aggregate results.
 */
#include "sql/plan_stream_int.h"

struct agg_plan {
    struct tni_planner *pl;
    const struct tn_expr **aggs; /* distinct AGG nodes of SELECT and HAVING */
    uint32_t aggs_count, aggs_cap;
    struct tn_agg_call *calls;
    /* rows in front of AGGREGATE */
    struct tn_expr **exprs;       /* lowered */
    const struct tn_expr **bound; /* the same, as bound */
    struct tn_field *fields;
    uint32_t width;
    uint32_t (*args)[4];
    int32_t *filters;
    bool is_repartitioned;
    bool is_folded; /* the repartition topic carries partial states */
    struct tni_columns columns;
};

/* ---- aggregates of the query ---- */

static bool count_agg(void *ctx, const struct tn_expr *expr)
{
    *(uint32_t *)ctx += expr->kind == TN_E_AGG;
    return true;
}

static bool collect_agg(void *ctx, const struct tn_expr *expr)
{
    struct agg_plan *ap = ctx;
    if (expr->kind != TN_E_AGG)
        return true;
    for (uint32_t i = 0; i < ap->aggs_count; i++)
        if (tn_expr_eq(ap->aggs[i], expr))
            return false;
    TN_ASSERT(ap->aggs_count < ap->aggs_cap);
    ap->aggs[ap->aggs_count++] = expr;
    return false;
}

static void collect(struct agg_plan *ap)
{
    const struct tni_stream_query *query = ap->pl->query;
    for (uint32_t i = 0; i < query->items_count; i++)
        tni_expr_walk(query->items[i].expr, count_agg, &ap->aggs_cap);
    if (query->having)
        tni_expr_walk(query->having, count_agg, &ap->aggs_cap);
    ap->aggs = TN_ARENA_ARRAY(ap->pl->arena, const struct tn_expr *, ap->aggs_cap + 1);
    for (uint32_t i = 0; i < query->items_count; i++)
        tni_expr_walk(query->items[i].expr, collect_agg, ap);
    if (query->having)
        tni_expr_walk(query->having, collect_agg, ap);
}

/* ---- columns in front of AGGREGATE ---- */

static uint32_t column_of(struct agg_plan *ap, const struct tn_expr *expr)
{
    for (uint32_t i = 0; i < ap->width; i++)
        if (tn_expr_eq(ap->bound[i], expr))
            return i;
    ap->bound[ap->width] = expr;
    ap->exprs[ap->width] = tni_lower(ap->pl, expr);
    ap->fields[ap->width].type = ap->exprs[ap->width]->type;
    ap->fields[ap->width].name =
        tn_str_of(tn_arena_printf(ap->pl->arena, "KSQL_AGG_ARG_%u", ap->width));
    return ap->width++;
}

static struct tn_value param_copy(struct tn_arena *arena, const struct tn_value *from)
{
    struct tn_value copy = *from;
    copy.type = tn_type_copy(arena, from->type);
    if (!from->is_null && tn_kind_is_varlen(from->type->kind))
        copy.s = tn_arena_str(arena, from->s);
    return copy;
}

static enum tn_status bind_call(struct agg_plan *ap, uint32_t at, struct tn_err *err)
{
    struct tni_planner *pl = ap->pl;
    const struct tn_expr *agg = ap->aggs[at];
    struct tn_agg_call *call = &ap->calls[at];
    if (pl->is_table && !(agg->agg->flags & TN_AGG_RETRACT))
        return tn_err_at(err, TN_E_UNSUPPORTED, "NOT_SUPPORTED", agg->line, agg->col,
                         "'%s' cannot be used over a table: it cannot take a row back",
                         agg->agg->name);
    TN_TRY(tni_agg_call(agg, pl->arena, call, err));
    for (uint32_t i = 0; i < call->params_count; i++)
        call->params[i] = param_copy(pl->arena, &call->params[i]);
    for (uint32_t i = 0; i < call->args_count; i++) {
        call->arg_types[i] = tn_type_copy(pl->arena, call->arg_types[i]);
        ap->args[at][i] = column_of(ap, agg->args[i]);
    }
    call->type = tn_type_copy(pl->arena, call->type);
    ap->filters[at] = agg->filter ? (int32_t)column_of(ap, agg->filter) : -1;
    return TN_OK;
}

static enum tn_status input_columns(struct agg_plan *ap, struct tn_err *err)
{
    struct tni_planner *pl = ap->pl;
    uint32_t width_max = pl->query->groups_count + ap->aggs_count * 5 + 1;
    ap->exprs = TN_ARENA_ARRAY(pl->arena, struct tn_expr *, width_max);
    ap->bound = TN_ARENA_ARRAY(pl->arena, const struct tn_expr *, width_max);
    ap->fields = TN_ARENA_ARRAY(pl->arena, struct tn_field, width_max);
    ap->calls = TN_ARENA_ARRAY(pl->arena, struct tn_agg_call, ap->aggs_count + 1);
    ap->args = tn_arena_zalloc(pl->arena, ap->aggs_count + 1, sizeof *ap->args);
    ap->filters = TN_ARENA_ARRAY(pl->arena, int32_t, ap->aggs_count + 1);
    for (uint32_t i = 0; i < pl->query->groups_count; i++) {
        if (column_of(ap, pl->query->groups[i]) != i)
            return tn_err_at(err, TN_E_INVALID, "INVALID_ARGUMENTS", pl->query->groups[i]->line,
                             pl->query->groups[i]->col, "GROUP BY names the same key twice");
        ap->fields[i].name = tn_arena_str(pl->arena, ap->columns.key_names[i]);
    }
    for (uint32_t i = 0; i < ap->aggs_count; i++)
        TN_TRY(bind_call(ap, i, err));
    return TN_OK;
}

/* Are the rows keyed by exactly the groups, in their order? */
static bool is_keyed_by_groups(const struct tni_planner *pl)
{
    if (pl->key.count != pl->query->groups_count)
        return false;
    for (uint32_t i = 0; i < pl->key.count; i++) {
        const struct tn_expr *group = pl->query->groups[i];
        const struct tn_expr *alt = pl->key.is_alt_equal ? pl->key.alts[i] : NULL;
        if (!tn_expr_eq(pl->key.exprs[i], group) && !(alt && tn_expr_eq(alt, group)))
            return false;
    }
    return true;
}

static bool is_key_type(const struct tn_type *type)
{
    return type->kind != TN_K_DOUBLE && !tn_kind_is_nested(type->kind);
}

/* May rows be aggregated before they are repartitioned, too? Only where nothing can tell: no
 * output per row, no windows (which row is late is known behind the topic), results that are the
 * same however rows are grouped. Not behind a join: what it has written is compared record by
 * record (verify_join.c). */
static bool can_fold(const struct agg_plan *ap)
{
    const struct tni_planner *pl = ap->pl;
    const struct tni_with *with = pl->request->with;
    bool can = !pl->is_table && pl->query->window.kind == TN_WINDOW_NONE &&
               pl->query->sources_count == 1 && !(with && !strcmp(with->emit, "update"));
    for (uint32_t k = 0; can && k < pl->query->groups_count; k++)
        can = is_key_type(ap->fields[k].type);
    for (uint32_t a = 0; can && a < ap->aggs_count; a++)
        can = tn_agg_is_exact(&ap->calls[a]);
    return can;
}

static enum tn_status fold(struct agg_plan *ap, const struct tn_schema *schema, struct tn_err *err)
{
    struct tni_planner *pl = ap->pl;
    struct tn_node node = {.schema = schema,
                           .exprs = ap->exprs,
                           .exprs_count = ap->width,
                           .keys_count = pl->query->groups_count,
                           .aggs_count = ap->aggs_count,
                           .aggs = ap->calls,
                           .agg_args = (const uint32_t(*)[4])ap->args,
                           .agg_filters = ap->filters};
    ap->is_folded = true;
    return tni_flow_fold(pl, &node, pl->sink.key_format, pl->sink.key_delimiter,
                         pl->sink.partitions_count, "Aggregate-GroupBy", err);
}

static enum tn_status feed(struct agg_plan *ap, struct tn_err *err)
{
    struct tni_planner *pl = ap->pl;
    struct tn_schema *schema = TN_ARENA_NEW(pl->arena, struct tn_schema);
    *schema = (struct tn_schema){ap->width, ap->fields};
    /* rows of one partition meet whatever their key is */
    bool is_single = tni_stage_last(pl)->partitions == 1 && pl->sink.partitions_count == 1;
    ap->is_repartitioned = !is_keyed_by_groups(pl) && !is_single;
    if (ap->is_repartitioned && pl->query->sources[0].object->decl.window != TN_WINDOW_NONE)
        return tn_err_at(err, TN_E_UNSUPPORTED, "NOT_SUPPORTED", pl->query->line, pl->query->col,
                         "rows with windowed keys cannot be grouped by another key");
    if (ap->is_repartitioned && can_fold(ap))
        return fold(ap, schema, err);
    if (ap->is_repartitioned)
        return tni_flow_exchange(pl, ap->exprs, schema, pl->query->groups_count,
                                 pl->sink.key_format, pl->sink.key_delimiter,
                                 pl->sink.partitions_count, "Aggregate-GroupBy", err);
    int at = tni_node_add(pl, TN_NODE_PROJECT, pl->node, schema, err);
    struct tn_node *node = tni_node_at(pl, at);
    node->exprs = ap->exprs;
    node->exprs_count = ap->width;
    node->is_table = pl->is_table;
    if (pl->is_table)
        tni_node_at(pl, pl->node)->needs_before = true;
    pl->node = at;
    pl->schema = schema;
    return TN_OK;
}

/* ---- AGGREGATE ---- */

static const struct tn_schema *agg_schema(struct agg_plan *ap)
{
    struct tni_planner *pl = ap->pl;
    uint32_t keys = pl->query->groups_count;
    struct tn_schema *schema = tni_schema_new(pl->arena, keys + ap->aggs_count);
    struct tn_field *fields = (struct tn_field *)(uintptr_t)schema->fields;
    for (uint32_t i = 0; i < keys; i++)
        fields[i] = ap->fields[i];
    for (uint32_t i = 0; i < ap->aggs_count; i++)
        fields[keys + i] = (struct tn_field){
            tn_str_of(tn_arena_printf(pl->arena, "KSQL_AGG_VARIABLE_%u", i)), ap->calls[i].type};
    if (pl->query->window.kind == TN_WINDOW_NONE)
        return schema;
    return tni_windowed_schema(pl->arena, schema);
}

static enum tn_status aggregate_node(struct agg_plan *ap, struct tn_err *err)
{
    struct tni_planner *pl = ap->pl;
    uint32_t keys_count = pl->query->groups_count;
    const struct tn_schema *schema = agg_schema(ap);
    int at = tni_node_add(pl, TN_NODE_AGGREGATE, pl->node, schema, err);
    struct tn_node *node = tni_node_at(pl, at);
    uint32_t *keys = TN_ARENA_ARRAY(pl->arena, uint32_t, keys_count + 1);
    for (uint32_t i = 0; i < keys_count; i++)
        keys[i] = i;
    node->is_table = true;
    node->keys_count = keys_count;
    node->keys = keys;
    node->aggs_count = ap->aggs_count;
    node->aggs = ap->calls;
    node->agg_args = (const uint32_t(*)[4])ap->args;
    node->agg_filters = ap->filters;
    node->is_fold = ap->is_folded;
    node->window = pl->query->window;
    const struct tni_with *with = pl->request->with;
    if (with && with->retention_ms > node->window.retention_ms &&
        node->window.kind != TN_WINDOW_NONE)
        node->window.retention_ms = with->retention_ms;
    bool is_named = with && with->store && *with->store;
    tni_store_add(pl, is_named ? with->store : "Aggregate", at);
    pl->node = at;
    pl->schema = schema;
    pl->is_table = true;
    return TN_OK;
}

/* ---- behind it ---- */

struct behind {
    const struct tn_expr **from;
    int *to;
    uint32_t count;
};

/* Group expressions, aggregates and window bounds, and the columns they are in. */
static struct behind results(struct agg_plan *ap)
{
    struct tni_planner *pl = ap->pl;
    uint32_t keys = pl->query->groups_count, max = keys + ap->aggs_count + 2;
    struct behind out = {TN_ARENA_ARRAY(pl->arena, const struct tn_expr *, max + 1),
                         TN_ARENA_ARRAY(pl->arena, int, max + 1), 0};
    struct tni_build build = {.arena = pl->arena, .rules = TN_RULES_STREAM};
    for (uint32_t i = 0; i < keys + ap->aggs_count; i++) {
        out.from[i] = i < keys ? pl->query->groups[i] : ap->aggs[i - keys];
        out.to[i] = (int)i;
    }
    out.count = keys + ap->aggs_count;
    if (pl->query->window.kind != TN_WINDOW_NONE)
        for (int i = 0; i < 2; i++) {
            enum tn_pseudo pseudo = i ? TN_PSEUDO_WINDOWEND : TN_PSEUDO_WINDOWSTART;
            out.from[out.count] = tni_pseudo(&build, 0, pseudo, (struct tni_pos){0, 0});
            out.to[out.count] = (int)out.count;
            out.count++;
        }
    return out;
}

static enum tn_status having(struct agg_plan *ap, const struct behind *behind, struct tn_err *err)
{
    struct tni_planner *pl = ap->pl;
    if (!pl->query->having)
        return TN_OK;
    struct tn_expr **exprs = TN_ARENA_ARRAY(pl->arena, struct tn_expr *, 1);
    exprs[0] = tni_lower_with(pl, pl->query->having, behind->from, behind->to, behind->count);
    int at = tni_node_add(pl, TN_NODE_FILTER, pl->node, pl->schema, err);
    struct tn_node *node = tni_node_at(pl, at);
    node->exprs = exprs;
    node->exprs_count = 1;
    node->is_table = true;
    node->is_having = true;
    tni_node_at(pl, pl->node)->needs_before = true;
    pl->node = at;
    return TN_OK;
}

/* Sink columns: keys, values, and for windows the two bounds behind them. */
static enum tn_status post_project(struct agg_plan *ap, const struct behind *behind,
                                   struct tn_err *err)
{
    struct tni_planner *pl = ap->pl;
    const struct tni_columns *columns = &ap->columns;
    uint32_t keys = columns->keys_count, width = keys + columns->values_count;
    bool is_windowed = pl->query->window.kind != TN_WINDOW_NONE;
    struct tn_expr **exprs = TN_ARENA_ARRAY(pl->arena, struct tn_expr *, width + 3);
    struct tn_schema *schema = tni_schema_new(pl->arena, width);
    struct tn_field *fields = (struct tn_field *)(uintptr_t)schema->fields;
    for (uint32_t i = 0; i < width; i++) {
        const struct tn_expr *expr = i < keys ? columns->keys[i] : columns->values[i - keys]->expr;
        struct tn_str name = i < keys ? columns->key_names[i] : columns->values[i - keys]->name;
        exprs[i] = tni_lower_with(pl, expr, behind->from, behind->to, behind->count);
        fields[i] = (struct tn_field){tn_arena_str(pl->arena, name), exprs[i]->type};
    }
    if (pl->request->insert_into)
        TN_TRY(tni_insert_check(pl, schema, keys, exprs, err));
    if (is_windowed)
        for (uint32_t i = 0; i < 2; i++)
            exprs[width + i] = tni_lower_with(pl, behind->from[behind->count - 2 + i], behind->from,
                                              behind->to, behind->count);
    if (pl->request->sink != TNI_SINK_NONE)
        TN_TRY(tni_sink_columns(pl, schema, keys, err));
    const struct tn_schema *rows = is_windowed ? tni_windowed_schema(pl->arena, schema) : schema;
    int at = tni_node_add(pl, TN_NODE_PROJECT, pl->node, rows, err);
    struct tn_node *node = tni_node_at(pl, at);
    node->exprs = exprs;
    node->exprs_count = rows->fields_count;
    node->is_table = true;
    pl->node = at;
    pl->schema = rows;
    return TN_OK;
}

/* ---- one topic or two (engine.md §5 in our words: sql/README.md "Changelog and result") ---- */

static bool is_never_null(const struct tn_agg_call *call)
{
    return !strcmp(call->agg->name, "count") || !strcmp(call->agg->name, "sum");
}

/* Does the sink's row give back the value bit for bit? */
static bool is_exact_type(const struct tn_type *type)
{
    switch (type->kind) {
    case TN_K_BOOLEAN:
    case TN_K_INTEGER:
    case TN_K_BIGINT:
    case TN_K_DOUBLE:
    case TN_K_DECIMAL:
    case TN_K_VARCHAR:
    case TN_K_DATE: return true;
    default: return false; /* times lose microseconds; nested ones may hold a time */
    }
}

static const char *two_topics_query(const struct agg_plan *ap, int32_t partitions)
{
    const struct tni_planner *pl = ap->pl;
    const struct tni_with *with = pl->request->with;
    if (pl->query->having)
        return "HAVING hides rows whose state must be kept";
    if (pl->query->window.is_final)
        return "EMIT FINAL writes a window once, its state before";
    if (pl->sink.timestamp_column >= 0)
        return "TIMESTAMP replaces the time of the rows";
    if (with && with->emit_interval_ms > 0)
        return "EMIT_INTERVAL_MS holds results back";
    if (is_keyed_by_groups(pl) &&
        (pl->key.format != pl->sink.key_format || pl->key.delimiter != pl->sink.key_delimiter))
        return "the result's keys are written in another format than the source's";
    if (partitions != pl->sink.partitions_count)
        return "the result has another partition count";
    return NULL;
}

static const char *two_topics_columns(const struct agg_plan *ap, int *from_result)
{
    const struct tni_planner *pl = ap->pl;
    uint32_t keys = ap->columns.keys_count;
    bool is_json = tn_str_eq(tn_str_of(pl->sink.value_format->name), TN_STR("JSON")) &&
                   !pl->sink.is_value_bare;
    for (uint32_t i = 0; i < keys; i++)
        from_result[i] = -1 - (int)i;
    for (uint32_t v = 0; v < ap->columns.values_count; v++) {
        from_result[keys + v] = INT32_MIN;
        for (uint32_t a = 0; a < ap->aggs_count; a++)
            if (tn_expr_eq(ap->columns.values[v]->expr, ap->aggs[a]))
                from_result[keys + v] = (int)a;
    }
    for (uint32_t a = 0; a < ap->aggs_count; a++) {
        const struct tn_agg_call *call = &ap->calls[a];
        bool is_there = false;
        for (uint32_t i = keys; i < keys + ap->columns.values_count; i++)
            is_there = is_there || from_result[i] == (int)a;
        if (!(call->agg->flags & TN_AGG_INVERTIBLE) || call->params_count)
            return tn_arena_printf(pl->arena, "the value of %s does not determine its state",
                                   call->agg->name);
        if (!is_there)
            return tn_arena_printf(pl->arena, "%s is not a column of the result by itself",
                                   call->agg->name);
        if (!is_exact_type(call->type))
            return tn_arena_printf(pl->arena, "the format rounds the value of %s", call->agg->name);
        if (!is_json && !is_never_null(call))
            return tn_arena_printf(pl->arena, "the format does not tell a NULL of %s apart",
                                   call->agg->name);
    }
    return NULL;
}

static void choose_changelog(struct agg_plan *ap, struct tn_store_spec *store)
{
    struct tni_planner *pl = ap->pl;
    uint32_t width = ap->columns.keys_count + ap->columns.values_count;
    int *from_result = TN_ARENA_ARRAY(pl->arena, int, width + 1);
    const char *why = two_topics_query(ap, tni_stage_last(pl)->partitions);
    if (!why)
        why = two_topics_columns(ap, from_result);
    if (pl->request->sink == TNI_SINK_NONE)
        why = "there is no result topic";
    pl->changelog_why = why;
    store->is_changelog_result = !why;
    if (!why) {
        store->changelog = pl->sink.topic;
        store->from_result = from_result;
    } else {
        store->changelog = tni_store_changelog(pl, store->name);
    }
}

enum tn_status tni_flow_aggregate(struct tni_planner *pl, struct tn_err *err)
{
    struct agg_plan ap = {.pl = pl};
    struct tni_key groups = {.count = pl->query->groups_count, .exprs = pl->query->groups};
    TN_TRY(tni_split_items(pl, &groups, &ap.columns, err));
    TN_TRY(tni_sink_begin(pl, pl->query->groups_count, err));
    collect(&ap);
    TN_TRY(input_columns(&ap, err));
    TN_TRY(feed(&ap, err));
    TN_TRY(aggregate_node(&ap, err));
    int store = (int)pl->stores_count - 1;
    TN_TRY(tni_flow_hold(pl, err));
    struct behind behind = results(&ap);
    TN_TRY(having(&ap, &behind, err));
    pl->sink.window = pl->query->window.kind;
    pl->sink.window_size_ms = pl->query->window.size_ms;
    TN_TRY(post_project(&ap, &behind, err));
    choose_changelog(&ap, &pl->stores[store]);
    return TN_OK;
}
