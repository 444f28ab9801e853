/* OR REPLACE: what may change under a running query, and whether two definitions are the same.
 *
 * Accepted: another WHERE, more value columns at the end of the projection. Everything that keys,
 * groups, joins, aggregates or encodes must stay, because the state and the topics were made with
 * it.
 */
#include "sql/db_int.h"
#include "sql/zone_ddl.h"

#include <stdarg.h>
#include <stdio.h>

static enum tn_status differs(struct tn_err *err, const char *fmt, ...) TN_PRINTF(2, 3);

static enum tn_status differs(struct tn_err *err, const char *fmt, ...)
{
    char text[TN_ERR_MESSAGE_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    tn_err_at(err, TN_E_INVALID, "NOT_SUPPORTED", 0, 0, "cannot replace: %s", text);
    tn_err_hint(err, "only WHERE may change and columns be added at the end; else DROP it first");
    return TN_E_INVALID;
}

static bool text_eq(const char *a, const char *b)
{
    return (!a || !*a) ? (!b || !*b) : (b && !strcmp(a, b));
}

static bool expr_text_eq(const struct tn_expr *a, const struct tn_expr *b)
{
    if (!a || !b)
        return a == b;
    return tn_type_eq(a->type, b->type) && tn_expr_eq(a, b);
}

static bool schema_eq(const struct tn_schema *a, const struct tn_schema *b)
{
    if (a->fields_count != b->fields_count)
        return false;
    for (uint32_t i = 0; i < a->fields_count; i++)
        if (!tn_str_eq(a->fields[i].name, b->fields[i].name) ||
            !tn_type_eq(a->fields[i].type, b->fields[i].type))
            return false;
    return true;
}

/* Everything of a decl but its columns. */
static enum tn_status decl_check(const struct tn_topic_decl *a, const struct tn_topic_decl *b,
                                 struct tn_err *err)
{
    if (strcmp(a->topic, b->topic) != 0)
        return differs(err, "the topic is '%s', not '%s'", a->topic, b->topic);
    if (a->key_format != b->key_format || a->key_delimiter != b->key_delimiter ||
        a->is_key_bare != b->is_key_bare)
        return differs(err, "the key format of topic '%s' differs", a->topic);
    if (a->value_format != b->value_format || a->value_delimiter != b->value_delimiter ||
        a->is_value_bare != b->is_value_bare)
        return differs(err, "the value format of topic '%s' differs", a->topic);
    if (a->partitions_count != b->partitions_count)
        return differs(err, "topic '%s' has %d partitions, not %d", a->topic, a->partitions_count,
                       b->partitions_count);
    if (a->is_table != b->is_table || a->is_global != b->is_global)
        return differs(err, "the kind of '%s' differs", a->topic);
    if (a->window != b->window || a->window_size_ms != b->window_size_ms)
        return differs(err, "the window of topic '%s' differs", a->topic);
    if (a->timestamp_column != b->timestamp_column ||
        !text_eq(a->timestamp_format, b->timestamp_format))
        return differs(err, "the TIMESTAMP of topic '%s' differs", a->topic);
    return TN_OK;
}

/* Columns of `b`: those of `a`, then perhaps more values. */
static enum tn_status columns_check(const struct tn_schema *a, uint32_t a_keys,
                                    const struct tn_schema *b, uint32_t b_keys, struct tn_err *err)
{
    if (a_keys != b_keys)
        return differs(err, "there are %u key columns, not %u", a_keys, b_keys);
    for (uint32_t i = 0; i < a->fields_count; i++) {
        if (i >= b->fields_count)
            return differs(err, "column '%.*s' is missing", TN_STR_FMT(a->fields[i].name));
        if (!tn_str_eq_nocase(a->fields[i].name, b->fields[i].name))
            return differs(err, "column %u is '%.*s', not '%.*s'", i + 1,
                           TN_STR_FMT(a->fields[i].name), TN_STR_FMT(b->fields[i].name));
        if (!tn_type_eq(a->fields[i].type, b->fields[i].type))
            return differs(err, "the type of column '%.*s' differs", TN_STR_FMT(a->fields[i].name));
    }
    return TN_OK;
}

enum tn_status tni_decl_replace_check(const struct tn_object *from, const struct tn_object *to,
                                      struct tn_err *err)
{
    if (from->kind != to->kind || (from->kind == TN_OBJ_STREAM && from->query_id))
        return differs(err, "'%s' is the result of a query", from->name);
    TN_TRY(decl_check(&from->decl, &to->decl, err));
    return columns_check(from->decl.schema, from->decl.keys_count, to->decl.schema,
                         to->decl.keys_count, err);
}

/* ---- plans ---- */

/* Steps of a stage without the filters that may come and go. */
static uint32_t steps_of(const struct tn_stage *stage, const struct tn_node **steps)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < stage->nodes_count; i++)
        if (stage->nodes[i].kind != TN_NODE_FILTER || stage->nodes[i].is_having)
            steps[count++] = &stage->nodes[i];
    return count;
}

static enum tn_status agg_check(const struct tn_node *a, const struct tn_node *b,
                                struct tn_err *err)
{
    if (a->aggs_count != b->aggs_count)
        return differs(err, "the aggregate functions differ");
    for (uint32_t i = 0; i < a->aggs_count; i++) {
        const struct tn_agg_call *x = &a->aggs[i], *y = &b->aggs[i];
        bool is_same = x->agg == y->agg && x->args_count == y->args_count &&
                       x->params_count == y->params_count && tn_type_eq(x->type, y->type) &&
                       a->agg_filters[i] == b->agg_filters[i];
        for (uint32_t j = 0; is_same && j < x->args_count; j++)
            is_same = a->agg_args[i][j] == b->agg_args[i][j];
        if (!is_same)
            return differs(err, "aggregate function %s differs", x->agg->name);
    }
    const struct tn_window *v = &a->window, *w = &b->window;
    if (v->kind != w->kind || v->size_ms != w->size_ms || v->advance_ms != w->advance_ms ||
        v->grace_ms != w->grace_ms || v->retention_ms != w->retention_ms ||
        v->is_final != w->is_final)
        return differs(err, "the window differs");
    return TN_OK;
}

static const char *step_name(enum tn_node_kind kind)
{
    switch (kind) {
    case TN_NODE_SOURCE: return "the source";
    case TN_NODE_AGGREGATE: return "the grouping";
    case TN_NODE_JOIN_TABLE: return "the join";
    case TN_NODE_REPARTITION: return "the key";
    case TN_NODE_FILTER: return "HAVING";
    case TN_NODE_PROJECT: return "what is grouped or aggregated";
    default: return "the result";
    }
}

/* is_last: the projection in front of the sink, which may grow. */
static enum tn_status step_check(const struct tn_node *a, const struct tn_node *b, bool is_last,
                                 struct tn_err *err)
{
    if (a->kind != b->kind)
        return differs(err, "%s differs", step_name(a->kind));
    if (a->is_fold != b->is_fold)
        return differs(err, "rows are grouped by another key, and what is on its way there differs "
                            "with EMIT");
    if (a->decl && b->decl) {
        TN_TRY(decl_check(a->decl, b->decl, err));
        if (a->kind != TN_NODE_SOURCE)
            TN_TRY(columns_check(a->decl->schema, a->decl->keys_count, b->decl->schema,
                                 b->decl->keys_count, err));
    }
    if (a->kind == TN_NODE_AGGREGATE)
        return agg_check(a, b, err);
    if (a->exprs_count > b->exprs_count || (a->exprs_count < b->exprs_count && !is_last))
        return differs(err, "%s differs", step_name(a->kind));
    for (uint32_t i = 0; i < a->exprs_count; i++)
        if (!expr_text_eq(a->exprs[i], b->exprs[i])) {
            if (a->kind == TN_NODE_PROJECT && i < a->schema->fields_count)
                return differs(err, "column '%.*s' is computed in another way",
                               TN_STR_FMT(a->schema->fields[i].name));
            return differs(err, "%s differs", step_name(a->kind));
        }
    if (a->kind == TN_NODE_JOIN_TABLE && a->join != b->join)
        return differs(err, "the kind of join differs");
    return TN_OK;
}

static enum tn_status stage_check(const struct tn_stage *a, const struct tn_stage *b,
                                  struct tn_err *err)
{
    const struct tn_node *from[TN_NODES_MAX], *to[TN_NODES_MAX];
    uint32_t from_count = steps_of(a, from), to_count = steps_of(b, to);
    if (from_count != to_count)
        return differs(err, "the steps of the query differ");
    for (uint32_t i = 0; i < from_count; i++) {
        bool is_last = i + 1 < from_count && from[i + 1]->kind == TN_NODE_SINK;
        TN_TRY(step_check(from[i], to[i], is_last, err));
    }
    return TN_OK;
}

enum tn_status tni_replace_check(const struct tn_plan *from, const struct tn_plan *to,
                                 struct tn_err *err)
{
    if (from->stages_count != to->stages_count)
        return differs(err, "the key, grouping or join differs");
    for (uint32_t i = 0; i < from->stages_count; i++)
        TN_TRY(stage_check(&from->stages[i], &to->stages[i], err));
    if (from->stores_count != to->stores_count)
        return differs(err, "the state differs");
    for (uint32_t i = 0; i < from->stores_count; i++)
        if (strcmp(from->stores[i].name, to->stores[i].name) != 0 ||
            strcmp(from->stores[i].changelog, to->stores[i].changelog) != 0)
            return differs(err, "store '%s' or its changelog differs", from->stores[i].name);
    return TN_OK;
}

bool tni_plan_same(const struct tn_plan *a, const struct tn_plan *b)
{
    struct tn_buf left, right;
    tn_buf_init(&left, 8u << 20);
    tn_buf_init(&right, 8u << 20);
    tn_plan_print(a, &left);
    tn_plan_print(b, &right);
    bool is_same = tn_str_eq(tn_buf_str(&left), tn_buf_str(&right)) &&
                   a->is_emit_every_update == b->is_emit_every_update &&
                   a->emit_interval_ms == b->emit_interval_ms;
    tn_buf_release(&left);
    tn_buf_release(&right);
    return is_same;
}

bool tni_object_same(const struct tn_object *a, const struct tn_object *b)
{
    struct tn_err ignored = TN_ERR_INIT;
    if (a->kind != b->kind || strcmp(a->name, b->name) != 0 || a->is_source != b->is_source)
        return false;
    if (a->kind == TN_OBJ_ZONE)
        return tni_zone_same(a, b);
    if (a->kind == TN_OBJ_VIEW)
        return text_eq(a->text, b->text) && text_eq(a->text_schema, b->text_schema) &&
               schema_eq(a->schema, b->schema);
    return !tn_failed(decl_check(&a->decl, &b->decl, &ignored)) &&
           a->decl.keys_count == b->decl.keys_count && a->decl.on_error == b->decl.on_error &&
           a->decl.is_case_exact == b->decl.is_case_exact &&
           schema_eq(a->decl.schema, b->decl.schema) && text_eq(a->ingest_path, b->ingest_path) &&
           text_eq(a->ingest_text, b->ingest_text) &&
           text_eq(a->ingest_defaults, b->ingest_defaults) &&
           text_eq(a->ingest_event, b->ingest_event) && a->ingest_status == b->ingest_status;
}
