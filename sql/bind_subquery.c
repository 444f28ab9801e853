/* Subqueries in expressions: scalar, EXISTS, IN, quantified comparisons. They may name columns of
 * the enclosing query (correlated). Contract: sql/bound.h. */
#include "sql/bind_int.h"

static struct tn_expr *sub_node(struct tni_ctx *ctx, const struct tn_ast_expr *ast,
                                enum tn_sub_kind kind, struct tn_query *query, bool is_not)
{
    struct tn_subquery *sub = TN_ARENA_NEW(ctx->bind->build.arena, struct tn_subquery);
    *sub = (struct tn_subquery){kind, is_not, query};
    struct tn_expr *node =
        tni_node(&ctx->bind->build, TN_E_SUBQUERY, tn_type_of(TN_K_BOOLEAN), 0, tni_pos_of(ast));
    node->sub = sub;
    return node;
}

static enum tn_status bind_scalar(struct tni_ctx *ctx, const struct tn_ast_expr *ast,
                                  struct tn_expr **ret_expr, struct tn_err *err)
{
    struct tn_query *query;
    TN_TRY(tni_bind_query_in(ctx->bind, ast->query, ctx->scope, &query, err));
    if (query->schema->fields_count != 1)
        return tn_err_at(err, TN_E_INVALID, "NOT_SUPPORTED", ast->line, ast->col,
                         "a subquery in an expression gives one column, not %u",
                         query->schema->fields_count);
    *ret_expr = sub_node(ctx, ast, TN_SUB_SCALAR, query, false);
    (*ret_expr)->type = query->schema->fields[0].type;
    return TN_OK;
}

/* Both sides in their common types. */
static enum tn_status bind_in_sides(struct tni_ctx *ctx, const struct tn_ast_expr *ast,
                                    struct tn_expr **left, uint32_t count, struct tn_query *query,
                                    struct tn_query **ret_query, struct tn_err *err)
{
    const struct tni_build *build = &ctx->bind->build;
    if (query->schema->fields_count != count)
        return tn_err_at(err, TN_E_TYPE, "TYPE_MISMATCH", ast->line, ast->col,
                         "%u value%s on the left, %u columns in the subquery", count,
                         count == 1 ? "" : "s", query->schema->fields_count);
    const struct tn_type **types = TN_ARENA_ARRAY(build->arena, const struct tn_type *, count + 1);
    for (uint32_t i = 0; i < count; i++) {
        const struct tn_type *right = query->schema->fields[i].type;
        types[i] = tn_type_common(left[i]->type, right, build->rules, build->arena);
        if (!types[i])
            return tn_err_at(err, TN_E_TYPE, "TYPE_MISMATCH", ast->line, ast->col,
                             "%s compared with a subquery of %s",
                             tni_type_text(build, left[i]->type), tni_type_text(build, right));
        TN_TRY(tni_cast(build, left[i], types[i], false, tni_pos_of(ast), &left[i], err));
    }
    return tni_query_cast(ctx->bind, query, types, ret_query, err);
}

static enum tn_status bind_in_query(struct tni_ctx *ctx, const struct tn_ast_expr *ast, bool is_not,
                                    struct tn_expr **ret_expr, struct tn_err *err)
{
    const struct tn_ast_expr *left = ast->args[0];
    uint32_t count = left->kind == TN_AX_ROW ? left->args_count : 1;
    struct tn_expr **args = TN_ARENA_ARRAY(ctx->bind->build.arena, struct tn_expr *, count + 1);
    struct tn_query *query;
    for (uint32_t i = 0; i < count; i++)
        TN_TRY(tni_bind_expr(ctx, left->kind == TN_AX_ROW ? left->args[i] : left, &args[i], err));
    TN_TRY(tni_bind_query_in(ctx->bind, ast->query, ctx->scope, &query, err));
    TN_TRY(bind_in_sides(ctx, ast, args, count, query, &query, err));
    struct tn_expr *node = sub_node(ctx, ast, TN_SUB_IN, query, is_not);
    node->args = args;
    node->args_count = count;
    *ret_expr = node;
    return TN_OK;
}

enum tn_status tni_bind_subquery(struct tni_ctx *ctx, const struct tn_ast_expr *ast,
                                 struct tn_expr **ret_expr, struct tn_err *err)
{
    if (ctx->bind->build.rules == TN_RULES_STREAM)
        return tni_not_supported(err, ast->line, ast->col,
                                 "a subquery is not supported in a persistent query");
    if (!ctx->scope && ctx->clause)
        return tni_not_supported(err, ast->line, ast->col, "a subquery cannot stand in %s",
                                 ctx->clause);
    if (ctx->is_in_agg)
        return tni_not_supported(err, ast->line, ast->col,
                                 "a subquery inside an aggregate function is not supported");
    if (ast->kind == TN_AX_SUBQUERY)
        return bind_scalar(ctx, ast, ret_expr, err);
    if (ast->kind == TN_AX_IN_QUERY)
        return bind_in_query(ctx, ast, ast->is_not, ret_expr, err);
    if (ast->kind == TN_AX_QUANTIFIED) {
        if (ast->op == TN_AO_EQ && !ast->is_all)
            return bind_in_query(ctx, ast, false, ret_expr, err);
        if (ast->op == TN_AO_NE && ast->is_all)
            return bind_in_query(ctx, ast, true, ret_expr, err);
        return tni_not_supported(err, ast->line, ast->col,
                                 "'%s %s' with a subquery is not supported",
                                 tn_ast_op_text(ast->op), ast->is_all ? "ALL" : "ANY");
    }
    struct tn_query *query;
    TN_TRY(tni_bind_query_in(ctx->bind, ast->query, ctx->scope, &query, err));
    *ret_expr = sub_node(ctx, ast, TN_SUB_EXISTS, query, false);
    return TN_OK;
}
