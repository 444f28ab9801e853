/* Which aggregations other processes can begin: see members_partial.h.
 *
 * Ownership: in the statement's arena. @thread one statement, one thread */
#include "sql/members_int.h"
#include "sql/members_partial.h"

struct plan {
    const struct tn_object *object;
    struct tn_arena *arena;
    bool is_out; /* something is no declared column */
};

/* The engine's column of a scan column of that type. */
static uint32_t column_of(struct plan *plan, int column, const struct tn_type *type)
{
    const struct tn_schema *declared = plan->object->decl.schema;
    int at = column < 0 ? -1 : tni_decl_column(plan->object, (uint32_t)column);
    plan->is_out |= at < 0 || !tn_type_eq(declared->fields[at].type, type);
    return at < 0 ? 0 : (uint32_t)at;
}

static uint32_t column_expr(struct plan *plan, const struct tn_expr *expr)
{
    bool is_column = expr->kind == TN_E_COLUMN && expr->rel == 0;
    return column_of(plan, is_column ? expr->column : -1, expr->type);
}

static void plan_keys(struct plan *plan, struct tni_partial *partial, struct tn_expr *const *exprs)
{
    uint32_t *keys = TN_ARENA_ARRAY(plan->arena, uint32_t, partial->keys_count + 1);
    const struct tn_type **types =
        TN_ARENA_ARRAY(plan->arena, const struct tn_type *, partial->keys_count + 1);
    for (uint32_t k = 0; k < partial->keys_count; k++) {
        keys[k] = column_expr(plan, exprs[k]);
        types[k] = exprs[k]->type;
    }
    partial->keys = keys;
    partial->schema = tni_partial_schema(types, partial->keys_count, plan->arena);
}

static void plan_aggs(struct plan *plan, struct tni_partial *partial, struct tn_expr *const *exprs,
                      const struct tni_agg_spec *specs)
{
    struct tn_agg_call *calls =
        TN_ARENA_ARRAY(plan->arena, struct tn_agg_call, partial->aggs_count + 1);
    uint32_t *args =
        TN_ARENA_ARRAY(plan->arena, uint32_t, (partial->aggs_count + 1) * TNI_PARTIAL_ARGS);
    for (uint32_t a = 0; a < partial->aggs_count && !plan->is_out; a++) {
        calls[a] = specs[a].call;
        plan->is_out |= specs[a].has_filter || !tn_agg_is_exact(&calls[a]);
        for (uint32_t i = 0; i < calls[a].args_count && !plan->is_out; i++)
            args[a * TNI_PARTIAL_ARGS + i] = column_expr(plan, *exprs++);
    }
    partial->aggs = calls;
    partial->args = args;
}

static void plan_preds(struct plan *plan, struct tni_partial *partial,
                       const struct tni_tscan_spec *spec, struct tn_expr *where)
{
    struct tni_pred *preds = TN_ARENA_ARRAY(plan->arena, struct tni_pred, spec->preds_count + 1);
    plan->is_out |= !tni_preds_say_all(where, spec->preds_count);
    for (uint32_t i = 0; i < spec->preds_count && !plan->is_out; i++) {
        int column = spec->preds[i].column;
        preds[i] = spec->preds[i];
        const struct tn_value *value = tni_partial_value(&preds[i]);
        if (column < 0 || (uint32_t)column >= plan->object->schema->fields_count)
            plan->is_out = true; /* a pseudo-column */
        else
            preds[i].column = (int)column_of(
                plan, column, value ? value->type : plan->object->schema->fields[column].type);
        plan->is_out |= preds[i].values_count > TNI_PARTIAL_VALUES_MAX;
    }
    partial->preds_count = spec->preds_count;
    partial->preds = preds;
}

const struct tni_partial *tni_partial_plan(struct tni_exec_ctx *ctx,
                                           const struct tni_tscan_spec *spec, struct tn_expr *where,
                                           uint32_t keys_count, struct tn_expr *const *exprs,
                                           uint32_t aggs_count, const struct tni_agg_spec *aggs)
{
    struct plan plan = {.object = spec->object, .arena = ctx->arena};
    if (!tni_gather_takes_states(ctx) || ctx->is_pushdown_off || keys_count > TNI_SCAN_KEYS_MAX ||
        aggs_count > TNI_SCAN_KEYS_MAX || !tni_object_has_store(spec->object) ||
        tni_tscan_is_lookup(spec))
        return NULL;
    struct tni_partial *partial = TN_ARENA_NEW(ctx->arena, struct tni_partial);
    *partial = (struct tni_partial){.keys_count = keys_count, .aggs_count = aggs_count};
    plan_keys(&plan, partial, exprs);
    plan_aggs(&plan, partial, exprs + keys_count, aggs);
    plan_preds(&plan, partial, spec, where);
    return plan.is_out ? NULL : partial;
}
