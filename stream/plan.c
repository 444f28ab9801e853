/* Plans: made once, checked once, then read-only (plan.h).
 *
 * The checks here are the only place where the shape of a plan is doubted: operators assert it. A
 * plan that fails them is a bug of the planner, so the texts name node and stage for the developer,
 * not for the SQL user.
 */
#include "stream/plan_int.h"

#include <limits.h>
#include <stdio.h>

#include "stream/base/mem.h"

struct tn_plan *tn_plan_new(void)
{
    struct tn_plan *plan = tn_alloc(sizeof *plan);
    atomic_init(&plan->refs, 1);
    tn_arena_init(&plan->arena, 0);
    return plan;
}

struct tn_plan *tn_plan_ref(const struct tn_plan *plan)
{
    struct tn_plan *shared =
        (struct tn_plan *)(uintptr_t)plan; /* the count is not part of the plan's value */
    int before = atomic_fetch_add(&shared->refs, 1);
    TN_ASSERT(before > 0);
    return shared;
}

void tn_plan_unref(struct tn_plan *plan)
{
    if (!plan || atomic_fetch_sub(&plan->refs, 1) != 1)
        return;
    tn_arena_release(&plan->arena);
    tn_free(plan);
}

static const char *const kind_names[] = {[TN_NODE_SOURCE] = "source",
                                         [TN_NODE_FILTER] = "filter",
                                         [TN_NODE_PROJECT] = "project",
                                         [TN_NODE_AGGREGATE] = "aggregate",
                                         [TN_NODE_JOIN_TABLE] = "join table",
                                         [TN_NODE_MATERIALIZE] = "materialize",
                                         [TN_NODE_HOLD] = "hold",
                                         [TN_NODE_REPARTITION] = "repartition",
                                         [TN_NODE_SINK] = "sink"};

struct check {
    struct tn_plan *plan;
    const struct tn_stage *stage;
    uint32_t stage_number, node_number;
    struct tn_err *err;
};

static enum tn_status broken(const struct check *c, const char *what)
{
    return tn_err_set(c->err, TN_E_INTERNAL, "plan '%s', stage %u, node %u (%s): %s",
                      c->plan->query_id, c->stage_number, c->node_number,
                      kind_names[c->stage->nodes[c->node_number].kind], what);
}

static const struct tn_schema *input_schema(const struct check *c, const struct tn_node *node)
{
    return c->stage->nodes[node->input].schema;
}

static bool needs_exprs(const struct tn_node *node, uint32_t *ret_count)
{
    switch (node->kind) {
    case TN_NODE_FILTER:
    case TN_NODE_JOIN_TABLE: *ret_count = 1; return true;
    case TN_NODE_PROJECT: *ret_count = node->schema->fields_count; return true;
    case TN_NODE_REPARTITION: *ret_count = node->decl->schema->fields_count; return !node->is_fold;
    case TN_NODE_SOURCE:
    case TN_NODE_AGGREGATE:
    case TN_NODE_MATERIALIZE:
    case TN_NODE_HOLD:
    case TN_NODE_SINK: break;
    }
    return false;
}

/* Arguments and filters among `in_count` columns. */
static enum tn_status check_calls(const struct check *c, const struct tn_node *node,
                                  uint32_t in_count)
{
    for (uint32_t a = 0; a < node->aggs_count; a++) {
        const struct tn_agg_call *call = &node->aggs[a];
        for (uint32_t i = 0; i < call->args_count; i++)
            if (node->agg_args[a][i] >= in_count)
                return broken(c, "an aggregate's argument is out of range");
        if (node->agg_filters && node->agg_filters[a] >= (int32_t)in_count)
            return broken(c, "an aggregate's filter is out of range");
    }
    return TN_OK;
}

/* Both ends of a fold. */
static enum tn_status check_fold(const struct check *c, const struct tn_node *node)
{
    const struct tn_node *input = &c->stage->nodes[node->input];
    const struct tn_topic_decl *decl = node->kind == TN_NODE_AGGREGATE ? input->decl : node->decl;
    if (!decl || decl->keys_count != node->keys_count || node->keys_count == 0 ||
        decl->schema->fields_count != node->keys_count + 1 ||
        decl->schema->fields[node->keys_count].type->kind != TN_K_BYTES)
        return broken(c, "the topic does not carry keys and partial states");
    if (c->plan->is_emit_every_update || node->window.kind != TN_WINDOW_NONE || decl->is_table)
        return broken(c, "what shows every row cannot be folded");
    for (uint32_t a = 0; a < node->aggs_count; a++)
        if (!tn_agg_is_exact(&node->aggs[a]) || node->aggs[a].args_count > 1)
            return broken(c, "an aggregate depends on how rows are folded");
    if (node->kind == TN_NODE_AGGREGATE)
        return TN_OK;
    if (node->exprs_count < node->keys_count)
        return broken(c, "wrong number of expressions");
    return check_calls(c, node, node->exprs_count);
}

static enum tn_status check_aggregate(const struct check *c, const struct tn_node *node)
{
    uint32_t in_count = input_schema(c, node)->fields_count;
    uint32_t windows = node->window.kind == TN_WINDOW_NONE ? 0 : 2;
    if (node->schema->fields_count != node->keys_count + node->aggs_count + windows)
        return broken(c, "the schema is not keys, aggregates, window bounds");
    for (uint32_t k = 0; k < node->keys_count; k++)
        if (node->keys[k] >= in_count)
            return broken(c, "a key column is out of range");
    if (!node->is_fold)
        TN_TRY(check_calls(c, node, in_count));
    for (uint32_t a = 0; a < node->aggs_count; a++)
        if (c->stage->nodes[node->input].is_table && !node->aggs[a].agg->retract)
            return broken(c, "the aggregate cannot undo, its input is a table");
    if (node->window.kind != TN_WINDOW_NONE && node->window.size_ms <= 0)
        return broken(c, "the window has no size");
    return TN_OK;
}

static enum tn_status check_store(const struct check *c, const struct tn_node *node)
{
    if (node->store < 0 || (uint32_t)node->store >= c->plan->stores_count)
        return broken(c, "no such store");
    struct tn_store_spec *store = &c->plan->stores[node->store];
    if (node->kind == TN_NODE_JOIN_TABLE) {
        if (store->stage != c->stage_number || store->node >= c->node_number ||
            c->stage->nodes[store->node].kind != TN_NODE_MATERIALIZE)
            return broken(c, "the joined store is not filled by an earlier node of the stage");
        return TN_OK;
    }
    if (store->stage != c->stage_number || store->node != c->node_number)
        return broken(c, "the store names another node as its filler");
    if (!store->changelog && !store->is_source)
        return broken(c, "the store has no changelog");
    return TN_OK;
}

/* Only changes that a store coalesces per commit can be coalesced further. */
static enum tn_status check_hold(const struct check *c, const struct tn_node *node)
{
    const struct tn_node *below = &c->stage->nodes[node->input];
    if (below->kind != TN_NODE_AGGREGATE && below->kind != TN_NODE_MATERIALIZE)
        return broken(c, "no store to hold the results of");
    if (c->plan->is_emit_every_update || below->window.is_final || c->plan->emit_interval_ms <= 0)
        return broken(c, "results that are not coalesced cannot be held back");
    return TN_OK;
}

static enum tn_status check_shape(const struct check *c, const struct tn_node *node)
{
    bool is_source = node->kind == TN_NODE_SOURCE;
    if (is_source ? node->input != -1 : node->input < 0 || (uint32_t)node->input >= c->node_number)
        return broken(c, "the input is not an earlier node");
    bool has_decl = is_source || node->kind == TN_NODE_SINK || node->kind == TN_NODE_REPARTITION;
    if (has_decl && (!node->decl || !node->decl->value_format || !node->decl->key_format))
        return broken(c, "no topic with formats");
    bool is_end = node->kind == TN_NODE_SINK || node->kind == TN_NODE_REPARTITION;
    if (!is_end && !node->schema)
        return broken(c, "no schema");
    if (is_end && tni_plan_has_reader(c->stage, c->node_number))
        return broken(c, "something reads a node that ends the stage");
    uint32_t exprs_count = 0;
    if (needs_exprs(node, &exprs_count) && node->exprs_count != exprs_count)
        return broken(c, "wrong number of expressions");
    if (node->kind == TN_NODE_FILTER && node->exprs[0]->type->kind != TN_K_BOOLEAN)
        return broken(c, "the condition is not BOOLEAN");
    if (node->kind == TN_NODE_SINK &&
        input_schema(c, node)->fields_count < node->decl->schema->fields_count)
        return broken(c, "fewer columns than the topic has");
    return TN_OK;
}

static enum tn_status check_node(const struct check *c, const struct tn_node *node)
{
    TN_TRY(check_shape(c, node));
    if (node->kind == TN_NODE_AGGREGATE)
        TN_TRY(check_aggregate(c, node));
    if (node->is_fold)
        TN_TRY(check_fold(c, node));
    if (node->kind == TN_NODE_HOLD)
        TN_TRY(check_hold(c, node));
    if (node->kind == TN_NODE_AGGREGATE || node->kind == TN_NODE_MATERIALIZE ||
        node->kind == TN_NODE_HOLD || node->kind == TN_NODE_JOIN_TABLE)
        TN_TRY(check_store(c, node));
    return TN_OK;
}

static enum tn_status compile_node(struct tn_plan *plan, struct tn_node *node, struct tn_err *err)
{
    if (node->exprs_count == 0 || node->programs)
        return TN_OK;
    struct tn_program **programs =
        TN_ARENA_ARRAY(&plan->arena, struct tn_program *, node->exprs_count);
    for (uint32_t i = 0; i < node->exprs_count; i++)
        TN_TRY(tn_expr_compile(node->exprs[i], &plan->arena, &programs[i], err));
    node->programs = programs;
    return TN_OK;
}

enum tn_status tn_plan_compile(struct tn_plan *plan, struct tn_err *err)
{
    struct check c = {.plan = plan, .err = err};
    if (plan->stages_count == 0 || plan->stages_count > TN_STAGES_MAX)
        return tn_err_set(err, TN_E_LIMIT, "plan '%s' has %u stages, expected 1 to %d",
                          plan->query_id, plan->stages_count, TN_STAGES_MAX);
    for (uint32_t s = 0; s < plan->stages_count; s++) {
        c.stage = &plan->stages[s];
        c.stage_number = s;
        if (c.stage->nodes_count == 0 || c.stage->nodes_count > TN_NODES_MAX)
            return tn_err_set(err, TN_E_LIMIT, "plan '%s', stage %u has %u nodes, at most %d",
                              plan->query_id, s, c.stage->nodes_count, TN_NODES_MAX);
        if (c.stage->partitions_count < 1 || c.stage->partitions_count > TN_PARTITIONS_MAX)
            return tn_err_set(err, TN_E_LIMIT, "plan '%s', stage %u has %d partitions",
                              plan->query_id, s, c.stage->partitions_count);
        for (c.node_number = 0; c.node_number < c.stage->nodes_count; c.node_number++) {
            struct tn_node *node = &plan->stages[s].nodes[c.node_number];
            TN_TRY(check_node(&c, node));
            TN_TRY(compile_node(plan, node, err));
        }
    }
    return TN_OK;
}

bool tni_plan_has_reader(const struct tn_stage *stage, uint32_t node)
{
    for (uint32_t i = node + 1; i < stage->nodes_count; i++)
        if (stage->nodes[i].input == (int)node)
            return true;
    return false;
}

const struct tn_node *tni_plan_repartition(const struct tn_plan *plan, const char *topic)
{
    for (uint32_t s = 0; s < plan->stages_count; s++)
        for (uint32_t i = 0; i < plan->stages[s].nodes_count; i++) {
            const struct tn_node *node = &plan->stages[s].nodes[i];
            if (node->kind == TN_NODE_REPARTITION && strcmp(node->decl->topic, topic) == 0)
                return node;
        }
    return NULL;
}

static bool is_plain(const struct tn_node *node)
{
    for (uint32_t i = 0; i < node->exprs_count; i++)
        if (node->exprs[i]->kind != TN_E_COLUMN)
            return false;
    return true;
}

bool tni_plan_selects(const struct tn_stage *stage, uint32_t number)
{
    const struct tn_node *reader = NULL;
    for (uint32_t i = number + 1; i < stage->nodes_count; i++) {
        if (stage->nodes[i].input != (int)number)
            continue;
        if (reader)
            return false;
        reader = &stage->nodes[i];
    }
    if (!reader || !is_plain(reader))
        return false;
    if (reader->kind == TN_NODE_PROJECT)
        return tni_plan_selects(stage, (uint32_t)(reader - stage->nodes));
    return (reader->kind == TN_NODE_AGGREGATE && !reader->is_fold) ||
           (reader->kind == TN_NODE_REPARTITION && reader->is_fold);
}

/* Marks what `reader` needs of its input; `live` are the columns of reader's own output that are
 * needed. */
static void mark_reads(const struct tn_node *reader, uint32_t in_count, const bool *live,
                       bool *mask)
{
    for (uint32_t i = 0; i < reader->exprs_count; i++)
        tn_expr_columns(reader->exprs[i], 0, mask);
    switch (reader->kind) {
    case TN_NODE_FILTER:
    case TN_NODE_HOLD:
    case TN_NODE_JOIN_TABLE:
        TN_ASSERT(live);
        for (uint32_t i = 0; i < in_count; i++)
            mask[i] = mask[i] || live[i];
        break;
    case TN_NODE_AGGREGATE:
        if (reader->is_fold) {
            mask[reader->keys_count] = true;
            break;
        }
        for (uint32_t k = 0; k < reader->keys_count; k++)
            mask[reader->keys[k]] = true;
        for (uint32_t a = 0; a < reader->aggs_count; a++) {
            for (uint32_t i = 0; i < reader->aggs[a].args_count; i++)
                mask[reader->agg_args[a][i]] = true;
            if (reader->agg_filters && reader->agg_filters[a] >= 0)
                mask[reader->agg_filters[a]] = true;
        }
        break;
    case TN_NODE_MATERIALIZE:
    case TN_NODE_SINK:
        for (uint32_t i = 0; i < in_count; i++)
            mask[i] = true;
        break;
    case TN_NODE_SOURCE:
    case TN_NODE_PROJECT:
    case TN_NODE_REPARTITION: break;
    }
}

void tni_plan_live(const struct tn_stage *stage, uint32_t node, bool *mask)
{
    uint32_t in_count = stage->nodes[node].schema->fields_count;
    memset(mask, 0, in_count * sizeof *mask);
    for (uint32_t i = node + 1; i < stage->nodes_count; i++) {
        const struct tn_node *reader = &stage->nodes[i];
        if (reader->input != (int)node)
            continue;
        bool *live = NULL;
        if (reader->schema) {
            live = tn_alloc_array(reader->schema->fields_count, sizeof *live);
            if (reader->kind == TN_NODE_FILTER || reader->kind == TN_NODE_HOLD ||
                reader->kind == TN_NODE_JOIN_TABLE)
                tni_plan_live(stage, i, live);
        }
        mark_reads(reader, in_count, live, mask);
        tn_free(live);
    }
}

/* ---- EXPLAIN ---- */

static void print_names(const struct tn_schema *schema, uint32_t from, uint32_t count,
                        struct tn_buf *buf)
{
    for (uint32_t i = from; i < from + count && i < schema->fields_count; i++) {
        tn_buf_add_text(buf, i == from ? "" : ", ");
        tn_buf_add_str(buf, schema->fields[i].name);
    }
}

static void print_decl(const struct tn_topic_decl *decl, struct tn_buf *buf)
{
    tn_buf_printf(buf, " '%s' %s key %s value %s, %d partitions%s%s", decl->topic,
                  decl->is_table ? "table" : "stream", decl->key_format->name,
                  decl->value_format->name, decl->partitions_count,
                  decl->is_global ? ", global" : "", decl->window ? ", windowed key" : "");
}

static void print_window(const struct tn_window *window, struct tn_buf *buf)
{
    static const char *const names[] = {"", "tumbling", "hopping", "session"};
    if (window->kind == TN_WINDOW_NONE)
        return;
    tn_buf_printf(buf, " window %s %lld ms", names[window->kind], (long long)window->size_ms);
    if (window->kind == TN_WINDOW_HOP)
        tn_buf_printf(buf, " advance %lld ms", (long long)window->advance_ms);
    tn_buf_printf(buf, " grace %lld ms retention %lld ms%s", (long long)window->grace_ms,
                  (long long)window->retention_ms, window->is_final ? " final" : "");
}

static void print_exprs(const struct tn_node *node, struct tn_buf *buf)
{
    for (uint32_t i = 0; i < node->exprs_count; i++) {
        tn_buf_add_text(buf, i == 0 ? " " : ", ");
        tn_expr_print(node->exprs[i], buf);
        if (node->kind == TN_NODE_PROJECT) {
            tn_buf_add_text(buf, " AS ");
            tn_buf_add_str(buf, node->schema->fields[i].name);
        }
    }
}

/* `in` NULL: without the arguments. */
static void print_calls(const struct tn_node *node, const struct tn_schema *in, struct tn_buf *buf)
{
    for (uint32_t a = 0; a < node->aggs_count; a++) {
        tn_buf_printf(buf, "%s%s(", a == 0 ? ": " : ", ", node->aggs[a].agg->name);
        for (uint32_t i = 0; in && i < node->aggs[a].args_count; i++) {
            tn_buf_add_text(buf, i == 0 ? "" : ", ");
            tn_buf_add_str(buf, in->fields[node->agg_args[a][i]].name);
        }
        tn_buf_add_text(buf, ")");
    }
}

static void print_aggregate(const struct tn_plan *plan, const struct tn_node *node,
                            const struct tn_schema *in, struct tn_buf *buf)
{
    tn_buf_add_text(buf, " by ");
    print_names(node->schema, 0, node->keys_count, buf);
    print_calls(node, node->is_fold ? NULL : in, buf);
    if (node->is_fold)
        tn_buf_add_text(buf, " of partial states");
    print_window(&node->window, buf);
    const struct tn_store_spec *store = &plan->stores[node->store];
    tn_buf_printf(buf, "; store '%s' changelog '%s'%s", store->name,
                  store->changelog ? store->changelog : "",
                  store->is_changelog_result ? " (the result topic)" : "");
}

static void print_node(const struct tn_plan *plan, const struct tn_stage *stage, uint32_t number,
                       struct tn_buf *buf)
{
    const struct tn_node *node = &stage->nodes[number];
    tn_buf_printf(buf, "  %u %s", number, kind_names[node->kind]);
    if (node->input >= 0)
        tn_buf_printf(buf, " <- %d", node->input);
    if (node->decl)
        print_decl(node->decl, buf);
    print_exprs(node, buf);
    if (node->kind == TN_NODE_REPARTITION && node->is_fold) {
        tn_buf_add_text(buf, "; folded");
        print_calls(node, node->schema, buf);
    }
    if (node->kind == TN_NODE_AGGREGATE)
        print_aggregate(plan, node, stage->nodes[node->input].schema, buf);
    else if (node->kind == TN_NODE_MATERIALIZE || node->kind == TN_NODE_HOLD ||
             node->kind == TN_NODE_JOIN_TABLE)
        tn_buf_printf(buf, "; store '%s'%s", plan->stores[node->store].name,
                      node->kind == TN_NODE_JOIN_TABLE && node->join == TN_JOIN_LEFT ? " left"
                                                                                     : "");
    if (node->is_having)
        tn_buf_add_text(buf, " (having)");
    tn_buf_add_byte(buf, '\n');
}

void tn_plan_print(const struct tn_plan *plan, struct tn_buf *buf)
{
    tn_buf_printf(buf, "query %s, emit ", plan->query_id);
    if (plan->emit_interval_ms)
        tn_buf_printf(buf, "at most every %lld ms\n", (long long)plan->emit_interval_ms);
    else
        tn_buf_printf(buf, "%s\n", plan->is_emit_every_update ? "every update" : "per commit");
    for (uint32_t s = 0; s < plan->stages_count; s++) {
        const struct tn_stage *stage = &plan->stages[s];
        tn_buf_printf(buf, "stage %u, %d partitions\n", s, stage->partitions_count);
        for (uint32_t i = 0; i < stage->nodes_count; i++)
            print_node(plan, stage, i, buf);
    }
}
