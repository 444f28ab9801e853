/* Grouped queries: which expressions may stand beside GROUP BY. */
#include "sql/bind_int.h"

static bool is_local(const struct tn_expr *expr, const struct tni_scope *scope)
{
    for (uint32_t i = 0; i < scope->rels_count; i++)
        if (scope->rels[i].number == expr->rel)
            return true;
    return false;
}

static enum tn_status not_grouped(const struct tn_expr *expr, struct tn_err *err)
{
    return tn_err_at(err, TN_E_INVALID, "EXPRESSION_NOT_AGGREGATE", expr->line, expr->col,
                     "column '%.*s' must be in GROUP BY or inside an aggregate function",
                     TN_STR_FMT(expr->name));
}

static enum tn_status check_sub(const void *sub, struct tn_expr *const *groups,
                                uint32_t groups_count, const struct tni_scope *scope,
                                struct tn_err *err)
{
    const struct tn_window_spec *spec = sub;
    for (uint32_t i = 0; i < spec->parts_count; i++)
        TN_TRY(tni_check_grouped(spec->parts[i], groups, groups_count, scope, err));
    for (uint32_t i = 0; i < spec->sorts_count; i++)
        TN_TRY(tni_check_grouped(spec->sorts[i].expr, groups, groups_count, scope, err));
    return TN_OK;
}

enum tn_status tni_check_grouped(const struct tn_expr *expr, struct tn_expr *const *groups,
                                 uint32_t groups_count, const struct tni_scope *scope,
                                 struct tn_err *err)
{
    for (uint32_t i = 0; i < groups_count; i++)
        if (tn_expr_eq(expr, groups[i]))
            return TN_OK;
    if (expr->kind == TN_E_AGG)
        return TN_OK;
    if (expr->kind == TN_E_PSEUDO && scope->window && expr->column >= TN_PSEUDO_WINDOWSTART)
        return TN_OK; /* bounds of the group's window */
    if ((expr->kind == TN_E_COLUMN || expr->kind == TN_E_PSEUDO) && is_local(expr, scope))
        return not_grouped(expr, err);
    for (uint32_t i = 0; i < expr->args_count; i++)
        TN_TRY(tni_check_grouped(expr->args[i], groups, groups_count, scope, err));
    if (expr->kind == TN_E_WINDOW) {
        if (expr->filter)
            TN_TRY(tni_check_grouped(expr->filter, groups, groups_count, scope, err));
        return check_sub(expr->sub, groups, groups_count, scope, err);
    }
    return TN_OK;
}

bool tni_has_agg(const struct tn_expr *expr)
{
    if (expr->kind == TN_E_AGG || expr->kind == TN_E_WINDOW)
        return true;
    for (uint32_t i = 0; i < expr->args_count; i++)
        if (tni_has_agg(expr->args[i]))
            return true;
    return false;
}
