/* Lowering: bound expressions over sources become expressions over one node's rows (rel 0), copied
 * into the plan's arena so that the plan outlives the statement. */
#include "sql/plan_stream_int.h"

static struct tn_value value_copy(struct tn_arena *arena, const struct tn_value *from)
{
    struct tn_value copy = *from;
    copy.type = tn_type_copy(arena, from->type);
    if (from->is_null)
        return copy;
    if (tn_kind_is_varlen(from->type->kind)) {
        copy.s = tn_arena_str(arena, from->s);
    } else if (tn_kind_is_nested(from->type->kind)) {
        copy.list.items = TN_ARENA_ARRAY(arena, struct tn_value, from->list.count + 1);
        for (uint32_t i = 0; i < from->list.count; i++)
            copy.list.items[i] = value_copy(arena, &from->list.items[i]);
    }
    return copy;
}

struct lowering {
    struct tni_planner *pl;
    const struct tn_expr *const *from;
    const int *to;
    uint32_t count;
};

static struct tn_expr *flow_column(const struct lowering *lw, const struct tn_expr *expr,
                                   int column)
{
    struct tni_planner *pl = lw->pl;
    struct tn_expr *copy = TN_ARENA_NEW(pl->arena, struct tn_expr);
    TN_ASSERT(column >= 0 && (uint32_t)column < pl->schema->fields_count);
    copy->kind = TN_E_COLUMN;
    copy->type = pl->schema->fields[column].type;
    copy->line = expr->line;
    copy->col = expr->col;
    copy->rules = expr->rules;
    copy->column = column;
    copy->name = pl->schema->fields[column].name;
    return copy;
}

static struct tn_expr *lower(const struct lowering *lw, const struct tn_expr *expr)
{
    struct tni_planner *pl = lw->pl;
    for (uint32_t i = 0; i < lw->count; i++)
        if (tn_expr_eq(expr, lw->from[i]))
            return flow_column(lw, expr, lw->to[i]);
    if (expr->kind == TN_E_COLUMN && expr->rel >= 0)
        return flow_column(lw, expr, pl->columns[expr->rel][expr->column]);
    if (expr->kind == TN_E_PSEUDO && expr->rel >= 0 && pl->pseudo[expr->rel][expr->column] >= 0)
        return flow_column(lw, expr, pl->pseudo[expr->rel][expr->column]);
    struct tn_expr *copy = TN_ARENA_NEW(pl->arena, struct tn_expr);
    *copy = *expr;
    copy->type = tn_type_copy(pl->arena, expr->type);
    copy->name = tn_arena_str(pl->arena, expr->name);
    copy->rel = expr->kind == TN_E_PSEUDO ? 0 : expr->rel;
    if (expr->kind == TN_E_CONST)
        copy->value = value_copy(pl->arena, &expr->value);
    if (expr->args_count)
        copy->args = TN_ARENA_ARRAY(pl->arena, struct tn_expr *, expr->args_count);
    for (uint32_t i = 0; i < expr->args_count; i++)
        copy->args[i] = lower(lw, expr->args[i]);
    return copy;
}

struct tn_expr *tni_lower_with(struct tni_planner *pl, const struct tn_expr *expr,
                               const struct tn_expr *const *from, const int *to, uint32_t count)
{
    struct lowering lw = {pl, from, to, count};
    return lower(&lw, expr);
}

struct tn_expr *tni_lower(struct tni_planner *pl, const struct tn_expr *expr)
{
    return tni_lower_with(pl, expr, NULL, NULL, 0);
}

void tni_expr_walk(const struct tn_expr *expr, bool (*each)(void *ctx, const struct tn_expr *expr),
                   void *ctx)
{
    if (!each(ctx, expr))
        return;
    for (uint32_t i = 0; i < expr->args_count; i++)
        tni_expr_walk(expr->args[i], each, ctx);
    if (expr->filter)
        tni_expr_walk(expr->filter, each, ctx);
}
