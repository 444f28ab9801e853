/* Window functions: f(…) OVER (…). They run on the SQLite path; the names and shapes are in
 * sql/bound.h. */
#include "sql/bind_int.h"

#include "stream/agg.h"

static const struct window_func {
    const char *name;
    uint32_t args_min, args_max;
    enum tn_kind result; /* NULL: type of the first argument */
} window_funcs[] = {
    {"row_number", 0, 0, TN_K_BIGINT}, {"rank", 0, 0, TN_K_BIGINT},
    {"dense_rank", 0, 0, TN_K_BIGINT}, {"percent_rank", 0, 0, TN_K_DOUBLE},
    {"cume_dist", 0, 0, TN_K_DOUBLE},  {"ntile", 1, 1, TN_K_BIGINT},
    {"lag", 1, 3, TN_K_NULL},          {"lead", 1, 3, TN_K_NULL},
    {"first_value", 1, 1, TN_K_NULL},  {"last_value", 1, 1, TN_K_NULL},
    {"nth_value", 2, 2, TN_K_NULL},
};

static const struct window_func *window_func_find(struct tn_str name)
{
    for (size_t i = 0; i < sizeof window_funcs / sizeof *window_funcs; i++)
        if (tn_str_eq_nocase(name, tn_str_of(window_funcs[i].name)))
            return &window_funcs[i];
    return NULL;
}

bool tni_is_window_func(struct tn_str name)
{
    return window_func_find(name) != NULL;
}

static const struct tn_ast_over *named_window(struct tni_ctx *ctx, struct tn_str name)
{
    for (uint32_t i = 0; ctx->windows && i < ctx->windows->count; i++)
        if (tni_name_eq(ctx->bind, ctx->windows->items[i].name.text, name))
            return ctx->windows->items[i].over;
    return NULL;
}

static enum tn_status bind_sorts(struct tni_ctx *ctx, const struct tn_ast_over *over,
                                 struct tn_window_spec *spec, struct tn_err *err)
{
    spec->sorts_count = over->sorts_count;
    spec->sorts =
        TN_ARENA_ARRAY(ctx->bind->build.arena, struct tn_sort_item, over->sorts_count + 1);
    for (uint32_t i = 0; i < over->sorts_count; i++) {
        TN_TRY(tni_bind_expr(ctx, over->sorts[i].expr, &spec->sorts[i].expr, err));
        spec->sorts[i].output = -1;
        spec->sorts[i].is_desc = over->sorts[i].is_desc;
        spec->sorts[i].is_nulls_first = over->sorts[i].nulls == TN_AN_FIRST;
    }
    return TN_OK;
}

static enum tn_status bind_offset(struct tni_ctx *ctx, const struct tn_ast_expr *ast,
                                  struct tn_expr **ret_expr, struct tn_err *err)
{
    if (!ast)
        return TN_OK;
    struct tn_expr *expr;
    TN_TRY(tni_bind_expr(ctx, ast, &expr, err));
    if (!tni_is_const(expr) || tni_is_null(expr) ||
        (expr->type->kind != TN_K_INTEGER && expr->type->kind != TN_K_BIGINT) || expr->value.i < 0)
        return tn_err_at(err, TN_E_INVALID, "INVALID_WINDOW_FRAME", ast->line, ast->col,
                         "a frame bound must be a whole number of rows, not below 0");
    *ret_expr = expr;
    return TN_OK;
}

static const enum tn_frame_unit frame_units[] = {[TN_AF_NONE] = TN_FRAME_DEFAULT,
                                                 [TN_AF_ROWS] = TN_FRAME_ROWS,
                                                 [TN_AF_RANGE] = TN_FRAME_RANGE,
                                                 [TN_AF_GROUPS] = TN_FRAME_GROUPS};
static const enum tn_frame_bound frame_bounds[] = {
    [TN_AB_UNBOUNDED_PRECEDING] = TN_BOUND_UNBOUNDED_PRECEDING,
    [TN_AB_PRECEDING] = TN_BOUND_PRECEDING,
    [TN_AB_CURRENT_ROW] = TN_BOUND_CURRENT_ROW,
    [TN_AB_FOLLOWING] = TN_BOUND_FOLLOWING,
    [TN_AB_UNBOUNDED_FOLLOWING] = TN_BOUND_UNBOUNDED_FOLLOWING};

static enum tn_status bind_spec(struct tni_ctx *ctx, const struct tn_ast_over *over,
                                struct tn_window_spec *spec, struct tn_err *err)
{
    if (over->base.text.ptr) {
        const struct tn_ast_over *base = named_window(ctx, over->base.text);
        if (!base)
            return tn_err_at(err, TN_E_NAME, "INVALID_WINDOW_REFERENCE", over->line, over->col,
                             "no window '%.*s'", TN_STR_FMT(over->base.text));
        TN_TRY(bind_spec(ctx, base, spec, err));
        if (over->is_reference)
            return TN_OK;
    }
    if (over->parts_count) {
        spec->parts_count = over->parts_count;
        spec->parts = TN_ARENA_ARRAY(ctx->bind->build.arena, struct tn_expr *, over->parts_count);
        for (uint32_t i = 0; i < over->parts_count; i++)
            TN_TRY(tni_bind_expr(ctx, over->parts[i], &spec->parts[i], err));
    }
    if (over->sorts_count)
        TN_TRY(bind_sorts(ctx, over, spec, err));
    if (over->frame == TN_AF_NONE)
        return TN_OK;
    spec->unit = frame_units[over->frame];
    spec->start = frame_bounds[over->start];
    spec->end = frame_bounds[over->end];
    if (spec->start > spec->end || spec->start == TN_BOUND_UNBOUNDED_FOLLOWING ||
        spec->end == TN_BOUND_UNBOUNDED_PRECEDING) /* PRECEDING < CURRENT ROW < FOLLOWING */
        return tn_err_at(err, TN_E_INVALID, "INVALID_WINDOW_FRAME", over->line, over->col,
                         "a window frame cannot end before it starts");
    TN_TRY(bind_offset(ctx, over->start_offset, &spec->start_offset, err));
    TN_TRY(bind_offset(ctx, over->end_offset, &spec->end_offset, err));
    if (spec->unit == TN_FRAME_RANGE && (spec->start_offset || spec->end_offset))
        return tni_not_supported(err, over->line, over->col,
                                 "RANGE with an offset is not supported; use ROWS");
    return TN_OK;
}

static enum tn_status window_type(const struct tni_build *build, const struct window_func *func,
                                  struct tn_expr *node, struct tn_err *err)
{
    const struct tn_type *type = node->args_count ? node->args[0]->type : NULL;
    bool is_shift = !strcmp(func->name, "lag") || !strcmp(func->name, "lead");
    if (is_shift && node->args_count == 3)
        TN_TRY(tni_coerce(build, node->args[2], type, "default value", &node->args[2], err));
    uint32_t count_at = !strcmp(func->name, "ntile") ? 0 : 1;
    if (node->args_count > count_at && (is_shift || func->args_min == 2 || count_at == 0))
        TN_TRY(tni_coerce(build, node->args[count_at], tn_type_of(TN_K_BIGINT), "row count",
                          &node->args[count_at], err));
    node->type = func->result == TN_K_NULL ? type : tn_type_of(func->result);
    return TN_OK;
}

static enum tn_status bind_window_func(struct tni_ctx *ctx, const struct window_func *func,
                                       const struct tn_ast_expr *ast, struct tn_expr **ret_expr,
                                       struct tn_err *err)
{
    const struct tni_build *build = &ctx->bind->build;
    if (ast->args_count < func->args_min || ast->args_count > func->args_max)
        return tn_err_at(err, TN_E_TYPE, "FUNCTION_NOT_FOUND", ast->line, ast->col,
                         "window function '%s' takes %u to %u arguments, not %u", func->name,
                         func->args_min, func->args_max, ast->args_count);
    struct tn_expr *node = tni_node(build, TN_E_WINDOW, NULL, ast->args_count, tni_pos_of(ast));
    for (uint32_t i = 0; i < ast->args_count; i++)
        TN_TRY(tni_bind_expr(ctx, ast->args[i], &node->args[i], err));
    node->name = tn_str_of(func->name);
    TN_TRY(window_type(build, func, node, err));
    *ret_expr = node;
    return TN_OK;
}

static enum tn_status bind_window_agg(struct tni_ctx *ctx, const struct tn_ast_expr *ast,
                                      struct tn_str name, struct tn_expr **ret_expr,
                                      struct tn_err *err)
{
    const struct tn_agg *agg = tn_agg_find(name, ctx->bind->build.rules);
    if (!agg)
        return tn_err_at(err, TN_E_NAME, "FUNCTION_NOT_FOUND", ast->line, ast->col,
                         "no window function '%.*s'", TN_STR_FMT(name));
    if (ast->call->is_distinct)
        return tni_not_supported(err, ast->line, ast->col,
                                 "'%.*s(DISTINCT …) OVER' is not supported", TN_STR_FMT(name));
    TN_TRY(tni_bind_agg(ctx, agg, ast, ret_expr, err));
    (*ret_expr)->kind = TN_E_WINDOW;
    return TN_OK;
}

enum tn_status tni_bind_window_call(struct tni_ctx *ctx, const struct tn_ast_expr *ast,
                                    struct tn_expr **ret_expr, struct tn_err *err)
{
    struct tn_str name = tn_ast_last(&ast->call->name).text;
    if (ctx->bind->build.rules == TN_RULES_STREAM)
        return tni_not_supported(err, ast->line, ast->col,
                                 "'%.*s() OVER' is not supported in a persistent query",
                                 TN_STR_FMT(name));
    if (!ctx->is_window_allowed)
        return tn_err_at(err, TN_E_INVALID, "EXPRESSION_NOT_SCALAR", ast->line, ast->col,
                         "window function '%.*s' cannot stand in %s", TN_STR_FMT(name),
                         ctx->clause);
    if (ast->call->is_ignore_nulls)
        return tni_not_supported(err, ast->line, ast->col, "IGNORE NULLS is not supported");
    const struct window_func *func = window_func_find(name);
    struct tn_expr *node;
    ctx->is_window_allowed = false; /* none inside its own arguments */
    enum tn_status st = func ? bind_window_func(ctx, func, ast, &node, err)
                             : bind_window_agg(ctx, ast, name, &node, err);
    struct tn_window_spec *spec = TN_ARENA_NEW(ctx->bind->build.arena, struct tn_window_spec);
    if (!tn_failed(st))
        st = bind_spec(ctx, ast->call->over, spec, err);
    ctx->is_window_allowed = true;
    if (tn_failed(st))
        return st;
    node->sub = spec;
    ctx->has_window = true;
    *ret_expr = node;
    return TN_OK;
}
