/* Streaming planner: sources, stream–table joins, repartitioning. Contract: sql/plan_stream_int.h.
 *
 * A table that is joined gets its own SOURCE and MATERIALIZE inside the stage of the join, so that
 * rows of both sides meet in one task in order of time. Partition p of the stream must meet
 * partition p of the table: the join key must be what the stream is keyed by, in the table's key
 * format; else the stream is repartitioned first.
 */
#include "sql/plan_stream_int.h"

#include <stdio.h>

/* ---- layout of the flow ---- */

static void map_source(struct tni_planner *pl, uint32_t source, int first)
{
    const struct tn_schema *schema = pl->query->sources[source].schema;
    pl->columns[source] = TN_ARENA_ARRAY(pl->arena, int, schema->fields_count + 1);
    for (uint32_t i = 0; i < schema->fields_count; i++)
        pl->columns[source][i] = first < 0 ? -1 : first + (int)i;
    for (int i = 0; i < TNI_PSEUDO_COUNT; i++)
        pl->pseudo[source][i] = -1;
}

static const struct tn_topic_decl *decl_copy(struct tni_planner *pl,
                                             const struct tn_topic_decl *from)
{
    struct tn_topic_decl *copy = TN_ARENA_NEW(pl->arena, struct tn_topic_decl);
    *copy = *from;
    copy->topic = tn_arena_strdup(pl->arena, from->topic);
    if (from->timestamp_format)
        copy->timestamp_format = tn_arena_strdup(pl->arena, from->timestamp_format);
    struct tn_schema *schema = tni_schema_new(pl->arena, from->schema->fields_count);
    struct tn_field *fields = (struct tn_field *)(uintptr_t)schema->fields;
    for (uint32_t i = 0; i < schema->fields_count; i++) {
        fields[i].name = tn_arena_str(pl->arena, from->schema->fields[i].name);
        fields[i].type = tn_type_copy(pl->arena, from->schema->fields[i].type);
    }
    copy->schema = schema;
    return copy;
}

static int source_node(struct tni_planner *pl, const struct tn_topic_decl *decl, bool is_table,
                       struct tn_err *err)
{
    const struct tn_schema *schema = decl->window == TN_WINDOW_NONE
                                         ? decl->schema
                                         : tni_windowed_schema(pl->arena, decl->schema);
    int at = tni_node_add(pl, TN_NODE_SOURCE, -1, schema, err);
    tni_node_at(pl, at)->decl = decl;
    tni_node_at(pl, at)->is_table = is_table;
    return at;
}

static int table_nodes(struct tni_planner *pl, const struct tn_object *object, struct tn_err *err)
{
    const struct tn_topic_decl *decl = decl_copy(pl, &object->decl);
    int source = source_node(pl, decl, true, err);
    int at = tni_node_add(pl, TN_NODE_MATERIALIZE, source, tni_node_at(pl, source)->schema, err);
    tni_node_at(pl, at)->is_table = true;
    char *name = tn_arena_printf(pl->arena, "%s-%u", object->name, pl->stores_count);
    int store = tni_store_add(pl, name, at);
    pl->stores[store].changelog = decl->topic;
    pl->stores[store].is_source = true;
    return at;
}

static struct tn_expr *key_column(struct tni_planner *pl, uint32_t source, uint32_t column)
{
    const struct tn_schema *schema = pl->query->sources[source].schema;
    struct tni_build build = {.arena = pl->arena, .rules = TN_RULES_STREAM};
    return tni_column(&build, (int)source, (int)column, schema->fields[column].type,
                      schema->fields[column].name, (struct tni_pos){0, 0});
}

enum tn_status tni_flow_source(struct tni_planner *pl, struct tn_err *err)
{
    const struct tni_source *source = &pl->query->sources[0];
    const struct tn_topic_decl *decl = &source->object->decl;
    if (source->is_table && decl->window != TN_WINDOW_NONE)
        return tn_err_at(
            err, TN_E_UNSUPPORTED, "NOT_SUPPORTED", source->line, source->col,
            "a persistent query over the windowed table '%s' is not supported; declare "
            "its topic as a STREAM with WINDOW_TYPE",
            source->object->name);
    tni_stage_add(pl, decl->partitions_count);
    pl->base = *decl;
    pl->is_table = source->is_table;
    if (source->is_table)
        pl->node = table_nodes(pl, source->object, err);
    else
        pl->node = source_node(pl, decl_copy(pl, decl), false, err);
    pl->schema = tni_node_at(pl, pl->node)->schema;
    if (source->is_table && pl->query->groups_count == 0)
        TN_TRY(tni_flow_hold(pl, err));
    map_source(pl, 0, 0);
    struct tn_expr **keys = TN_ARENA_ARRAY(pl->arena, struct tn_expr *, decl->keys_count + 1);
    for (uint32_t i = 0; i < decl->keys_count; i++)
        keys[i] = key_column(pl, 0, i);
    pl->key = (struct tni_key){.count = decl->keys_count,
                               .exprs = keys,
                               .format = decl->key_format,
                               .delimiter = decl->key_delimiter};
    return TN_OK;
}

/* ---- repartition ---- */

struct used {
    struct tni_planner *pl;
    bool *columns[TNI_SOURCES_MAX];
    bool pseudo[TNI_SOURCES_MAX][TNI_PSEUDO_COUNT];
};

static bool mark_used(void *ctx, const struct tn_expr *expr)
{
    struct used *used = ctx;
    if (expr->kind == TN_E_COLUMN && expr->rel >= 0)
        used->columns[expr->rel][expr->column] = true;
    if (expr->kind == TN_E_PSEUDO && expr->rel >= 0 && expr->column < TNI_PSEUDO_COUNT)
        used->pseudo[expr->rel][expr->column] = true;
    return true;
}

/* What the rest of the query reads of the rows on this side of the repartition. */
static void used_of(struct tni_planner *pl, struct used *used)
{
    const struct tni_stream_query *query = pl->query;
    *used = (struct used){.pl = pl};
    for (uint32_t i = 0; i < query->sources_count; i++)
        used->columns[i] =
            TN_ARENA_ARRAY(pl->arena, bool, query->sources[i].schema->fields_count + 1);
    for (uint32_t i = 0; i + 1 < query->sources_count; i++) {
        tni_expr_walk(query->joins[i].left, mark_used, used);
        tni_expr_walk(query->joins[i].right, mark_used, used);
    }
    if (query->where)
        tni_expr_walk(query->where, mark_used, used);
    if (query->having)
        tni_expr_walk(query->having, mark_used, used);
    for (uint32_t i = 0; i < query->groups_count; i++)
        tni_expr_walk(query->groups[i], mark_used, used);
    for (uint32_t i = 0; i < query->parts_count; i++)
        tni_expr_walk(query->parts[i], mark_used, used);
    for (uint32_t i = 0; i < query->items_count; i++)
        tni_expr_walk(query->items[i].expr, mark_used, used);
}

struct carried {
    struct tn_expr **exprs;
    struct tn_field *fields;
    uint32_t count;
};

static int carry(struct tni_planner *pl, struct carried *out, struct tn_expr *lowered)
{
    out->exprs[out->count] = lowered;
    out->fields[out->count].type = lowered->type;
    out->fields[out->count].name =
        tn_str_of(tn_arena_printf(pl->arena, "KSQL_INTERNAL_COL_%u", out->count));
    return (int)out->count++;
}

/* The value columns: everything of sources 0 … last that is still read. New places go to `columns`,
 * `pseudo`. */
static void carry_values(struct tni_planner *pl, const struct used *used, struct carried *out,
                         struct tn_expr *const *keys, int *columns[],
                         int pseudo[][TNI_PSEUDO_COUNT])
{
    struct tni_build build = {.arena = pl->arena, .rules = TN_RULES_STREAM};
    uint32_t keys_count = out->count;
    for (uint32_t s = 0; s < pl->query->sources_count && pl->columns[s]; s++) {
        uint32_t width = pl->query->sources[s].schema->fields_count;
        const bool *is_read = used->columns[s];
        TN_ASSERT(is_read);
        columns[s] = TN_ARENA_ARRAY(pl->arena, int, width + 1);
        for (uint32_t c = 0; c < width; c++) {
            struct tn_expr *column = key_column(pl, s, c);
            columns[s][c] = -1;
            for (uint32_t k = 0; k < keys_count; k++)
                if (tn_expr_eq(keys[k], column))
                    columns[s][c] = (int)k;
            if (columns[s][c] < 0 && pl->columns[s][c] >= 0 && is_read[c])
                columns[s][c] = carry(pl, out, tni_lower(pl, column));
        }
        for (int p = 0; p < TNI_PSEUDO_COUNT; p++) {
            pseudo[s][p] = -1;
            if (p == TN_PSEUDO_ROWTIME || !used->pseudo[s][p])
                continue; /* the record's time travels with it */
            struct tn_expr *expr =
                tni_pseudo(&build, (int)s, (enum tn_pseudo)p, (struct tni_pos){0, 0});
            pseudo[s][p] = carry(pl, out, tni_lower(pl, expr));
        }
    }
}

static const struct tn_topic_decl *repartition_decl(struct tni_planner *pl, const char *step,
                                                    const struct tn_schema *schema,
                                                    uint32_t keys_count,
                                                    const struct tn_format *format, char delimiter,
                                                    int32_t partitions)
{
    const struct tn_format *json = tn_format_find(pl->request->formats, TN_STR("JSON"));
    TN_ASSERT(json);
    struct tn_topic_decl *decl = TN_ARENA_NEW(pl->arena, struct tn_topic_decl);
    *decl = (struct tn_topic_decl){.is_table = pl->is_table,
                                   .schema = schema,
                                   .keys_count = keys_count,
                                   .key_format = format,
                                   .value_format = json,
                                   .is_key_bare = keys_count == 1,
                                   .key_delimiter = delimiter,
                                   .is_case_exact = true,
                                   .partitions_count = partitions,
                                   .timestamp_column = -1,
                                   .on_error = TN_POLICY_FAIL};
    decl->topic = tn_arena_printf(pl->arena, "%s-%s-%s-repartition", pl->request->application_id,
                                  pl->request->query_id, step);
    return decl;
}

enum tn_status tni_flow_exchange(struct tni_planner *pl, struct tn_expr *const *exprs,
                                 const struct tn_schema *schema, uint32_t keys_count,
                                 const struct tn_format *format, char delimiter, int32_t partitions,
                                 const char *step, struct tn_err *err)
{
    const struct tn_topic_decl *decl =
        repartition_decl(pl, step, schema, keys_count, format, delimiter, partitions);
    TN_TRY(tni_format_check(decl, true, err));
    int at = tni_node_add(pl, TN_NODE_REPARTITION, pl->node, schema, err);
    struct tn_node *node = tni_node_at(pl, at);
    node->decl = decl;
    node->exprs = exprs;
    node->exprs_count = schema->fields_count;
    node->is_table = pl->is_table;
    if (pl->is_table)
        tni_node_at(pl, pl->node)->needs_before = true;
    tni_stage_add(pl, partitions);
    pl->node = source_node(pl, decl, pl->is_table, err);
    pl->schema = schema;
    return TN_OK;
}

enum tn_status tni_flow_fold(struct tni_planner *pl, const struct tn_node *fold,
                             const struct tn_format *format, char delimiter, int32_t partitions,
                             const char *step, struct tn_err *err)
{
    const struct tn_format *raw = tn_format_find(pl->request->formats, TN_STR("RAW"));
    uint32_t keys = fold->keys_count;
    struct tn_schema *schema = tni_schema_new(pl->arena, keys + 1);
    struct tn_field *fields = (struct tn_field *)(uintptr_t)schema->fields;
    TN_ASSERT(raw);
    memcpy(fields, fold->schema->fields, keys * sizeof *fields);
    fields[keys] = (struct tn_field){TN_STR("KSQL_AGG_STATES"), tn_type_of(TN_K_BYTES)};
    struct tn_topic_decl *decl = TN_ARENA_NEW(pl->arena, struct tn_topic_decl);
    *decl = *repartition_decl(pl, step, schema, keys, format, delimiter, partitions);
    decl->value_format = raw;
    decl->is_value_bare = true;
    TN_TRY(tni_format_check(decl, true, err));
    int at = tni_node_add(pl, TN_NODE_REPARTITION, pl->node, fold->schema, err);
    struct tn_node *node = tni_node_at(pl, at);
    int input = node->input;
    *node = *fold;
    node->kind = TN_NODE_REPARTITION;
    node->input = input;
    node->decl = decl;
    node->is_fold = true;
    tni_stage_add(pl, partitions);
    pl->node = source_node(pl, decl, false, err);
    pl->schema = schema;
    return TN_OK;
}

enum tn_status tni_flow_repartition(struct tni_planner *pl, struct tn_expr *const *keys,
                                    const struct tn_str *names, uint32_t keys_count,
                                    const struct tn_format *format, char delimiter,
                                    int32_t partitions, const char *step, struct tn_err *err)
{
    struct used used;
    used_of(pl, &used);
    uint32_t width_max = keys_count;
    for (uint32_t s = 0; s < pl->query->sources_count; s++)
        width_max += pl->query->sources[s].schema->fields_count + TNI_PSEUDO_COUNT;
    struct carried out = {TN_ARENA_ARRAY(pl->arena, struct tn_expr *, width_max),
                          TN_ARENA_ARRAY(pl->arena, struct tn_field, width_max), 0};
    for (uint32_t i = 0; i < keys_count; i++) {
        int at = carry(pl, &out, tni_lower(pl, keys[i]));
        if (names)
            out.fields[at].name = tn_arena_str(pl->arena, names[i]);
    }
    int *columns[TNI_SOURCES_MAX] = {0};
    int pseudo[TNI_SOURCES_MAX][TNI_PSEUDO_COUNT];
    carry_values(pl, &used, &out, keys, columns, pseudo);
    struct tn_schema *schema = TN_ARENA_NEW(pl->arena, struct tn_schema);
    *schema = (struct tn_schema){out.count, out.fields};
    TN_TRY(tni_flow_exchange(pl, out.exprs, schema, keys_count, format, delimiter, partitions, step,
                             err));
    memcpy(pl->columns, columns, sizeof columns);
    memcpy(pl->pseudo, pseudo, sizeof pseudo);
    pl->key = (struct tni_key){
        .count = keys_count, .exprs = keys, .format = format, .delimiter = delimiter};
    return TN_OK;
}

/* ---- join ---- */

static bool same_format(const struct tni_key *key, const struct tn_topic_decl *decl)
{
    return key->format == decl->key_format && key->delimiter == decl->key_delimiter;
}

static enum tn_status join_check(struct tni_planner *pl, const struct tni_join *join,
                                 const struct tni_source *right, struct tn_err *err)
{
    const struct tn_topic_decl *decl = &right->object->decl;
    struct tni_build build = {.arena = pl->arena, .rules = TN_RULES_STREAM};
    if (decl->window != TN_WINDOW_NONE)
        return tn_err_at(err, TN_E_UNSUPPORTED, "NOT_SUPPORTED", right->line, right->col,
                         "a join with the windowed table '%s' is not supported",
                         right->object->name);
    if (decl->keys_count != 1)
        return tn_err_at(err, TN_E_INVALID, "INVALID_ARGUMENTS", join->line, join->col,
                         "table '%s' has %u key columns; a join needs a single one",
                         right->object->name, decl->keys_count);
    if (join->right->kind != TN_E_COLUMN || join->right->column != 0)
        return tn_err_at(err, TN_E_INVALID, "INVALID_ARGUMENTS", join->line, join->col,
                         "a stream is joined with table '%s' on the table's primary key '%.*s'",
                         right->object->name, TN_STR_FMT(decl->schema->fields[0].name));
    if (!tn_type_eq(join->left->type, join->right->type))
        return tn_err_at(err, TN_E_TYPE, "TYPE_MISMATCH", join->line, join->col,
                         "join of %s with %s: both sides must have the same type",
                         tni_type_text(&build, join->left->type),
                         tni_type_text(&build, join->right->type));
    return TN_OK;
}

/* Make the stream keyed by the join expression with the table's partitioning, unless the table is
 * global. */
static enum tn_status join_partition(struct tni_planner *pl, uint32_t index,
                                     const struct tni_join *join, const struct tni_source *right,
                                     struct tn_err *err)
{
    const struct tn_topic_decl *decl = &right->object->decl;
    if (decl->is_global)
        return TN_OK;
    bool is_keyed =
        pl->key.count == 1 && (tn_expr_eq(pl->key.exprs[0], join->left) ||
                               (pl->key.is_alt_equal && tn_expr_eq(pl->key.alts[0], join->left)));
    int32_t partitions = tni_stage_last(pl)->partitions;
    if (is_keyed && same_format(&pl->key, decl)) {
        if (partitions == decl->partitions_count)
            return TN_OK;
        tn_err_at(err, TN_E_INVALID, "INVALID_ARGUMENTS", join->line, join->col,
                  "'%.*s' has %d partitions and table '%s' has %d: rows of one key would not meet",
                  TN_STR_FMT(pl->query->sources[0].alias), partitions, right->object->name,
                  decl->partitions_count);
        tn_err_hint(err, "make a stream with PARTITIONS=%d first, or declare the table GLOBAL=true",
                    decl->partitions_count);
        return TN_E_INVALID;
    }
    char step[40];
    snprintf(step, sizeof step, "Join%u-left", index);
    struct tn_expr **keys = TN_ARENA_ARRAY(pl->arena, struct tn_expr *, 1);
    keys[0] = join->left;
    return tni_flow_repartition(pl, keys, NULL, 1, decl->key_format, decl->key_delimiter,
                                decl->partitions_count, step, err);
}

static const struct tn_schema *join_schema(struct tni_planner *pl, const struct tn_schema *left,
                                           const struct tn_schema *right)
{
    struct tn_schema *schema = tni_schema_new(pl->arena, left->fields_count + right->fields_count);
    struct tn_field *fields = (struct tn_field *)(uintptr_t)schema->fields;
    memcpy(fields, left->fields, left->fields_count * sizeof *fields);
    memcpy(fields + left->fields_count, right->fields, right->fields_count * sizeof *fields);
    return schema;
}

/* The result is keyed by the left expression when it is a column, else by the right one. A GLOBAL
 * table leaves the stream's own key as it is. */
static void join_key(struct tni_planner *pl, const struct tni_join *join, bool is_global)
{
    if (is_global && !(pl->key.count == 1 && tn_expr_eq(pl->key.exprs[0], join->left)))
        return;
    bool is_left = join->left->kind == TN_E_COLUMN;
    struct tn_expr **exprs = TN_ARENA_ARRAY(pl->arena, struct tn_expr *, 1);
    struct tn_expr **alts = TN_ARENA_ARRAY(pl->arena, struct tn_expr *, 1);
    exprs[0] = is_left ? join->left : join->right;
    alts[0] = is_left ? join->right : join->left;
    if (!is_left && join->kind == TN_JOIN_LEFT) { /* an unmatched row has no right column */
        exprs[0] = join->left;
        alts[0] = join->right;
    }
    pl->key.count = 1;
    pl->key.exprs = exprs;
    pl->key.alts = alts;
    pl->key.is_alt_equal = join->kind == TN_JOIN_INNER;
}

enum tn_status tni_flow_join(struct tni_planner *pl, uint32_t index, struct tn_err *err)
{
    const struct tni_join *join = &pl->query->joins[index];
    const struct tni_source *right = &pl->query->sources[index + 1];
    TN_TRY(join_check(pl, join, right, err));
    TN_TRY(join_partition(pl, index, join, right, err));
    int left = pl->node;
    int table = table_nodes(pl, right->object, err);
    const struct tn_schema *table_schema = tni_node_at(pl, table)->schema;
    struct tn_expr **exprs = TN_ARENA_ARRAY(pl->arena, struct tn_expr *, 1);
    exprs[0] = tni_lower(pl, join->left);
    int first = (int)pl->schema->fields_count;
    const struct tn_schema *schema = join_schema(pl, pl->schema, table_schema);
    int at = tni_node_add(pl, TN_NODE_JOIN_TABLE, left, schema, err);
    struct tn_node *node = tni_node_at(pl, at);
    node->store = tni_node_at(pl, table)->store;
    node->join = join->kind;
    node->exprs = exprs;
    node->exprs_count = 1;
    pl->node = at;
    pl->schema = schema;
    map_source(pl, index + 1, first);
    join_key(pl, join, right->object->decl.is_global);
    return TN_OK;
}
