/* Calls: aggregates, forms that look like functions (COALESCE, IF, NULLIF, TRY…), constants of the
 * statement (now, current_user…), lambdas, and everything of the function table. Contract:
 * sql/bind_int.h. */
#include "sql/bind_int.h"
#include "stream/base/zone.h"

#include "stream/agg.h"

static struct tn_str call_name(const struct tn_ast_expr *ast)
{
    return tn_ast_last(ast->kind == TN_AX_NAME ? ast->name : &ast->call->name).text;
}

static enum tn_status count_args(const struct tn_ast_expr *ast, uint32_t min, uint32_t max,
                                 struct tn_err *err)
{
    if (ast->args_count >= min && ast->args_count <= max)
        return TN_OK;
    struct tn_str name = call_name(ast);
    if (min == max)
        return tn_err_at(err, TN_E_TYPE, "FUNCTION_NOT_FOUND", ast->line, ast->col,
                         "function '%.*s' takes %u arguments, not %u", TN_STR_FMT(name), min,
                         ast->args_count);
    return tn_err_at(err, TN_E_TYPE, "FUNCTION_NOT_FOUND", ast->line, ast->col,
                     "function '%.*s' takes %u to %u arguments, not %u", TN_STR_FMT(name), min, max,
                     ast->args_count);
}

static enum tn_status bind_all(struct tni_ctx *ctx, const struct tn_ast_expr *ast,
                               struct tn_expr ***ret_args, struct tn_err *err)
{
    struct tn_expr **args =
        TN_ARENA_ARRAY(ctx->bind->build.arena, struct tn_expr *, ast->args_count + 1);
    for (uint32_t i = 0; i < ast->args_count; i++)
        TN_TRY(tni_bind_expr(ctx, ast->args[i], &args[i], err));
    *ret_args = args;
    return TN_OK;
}

/* ---- forms ---- */

static enum tn_status form_coalesce(struct tni_ctx *ctx, const struct tn_ast_expr *ast,
                                    struct tn_expr **ret_expr, struct tn_err *err)
{
    struct tn_expr **args;
    const struct tni_build *build = &ctx->bind->build;
    TN_TRY(count_args(ast, 1, TN_FUNC_ARGS_MAX, err));
    TN_TRY(bind_all(ctx, ast, &args, err));
    struct tn_expr *node = tni_node(build, TN_E_COALESCE, NULL, ast->args_count, tni_pos_of(ast));
    memcpy(node->args, args, ast->args_count * sizeof *args);
    TN_TRY(
        tni_unify(build, node->args, node->args_count, "arguments of COALESCE", &node->type, err));
    *ret_expr = tni_fold(build, node);
    return TN_OK;
}

static enum tn_status form_if(struct tni_ctx *ctx, const struct tn_ast_expr *ast,
                              struct tn_expr **ret_expr, struct tn_err *err)
{
    struct tn_expr **args;
    const struct tni_build *build = &ctx->bind->build;
    TN_TRY(count_args(ast, 2, 3, err));
    TN_TRY(bind_all(ctx, ast, &args, err));
    struct tn_expr *node = tni_node(build, TN_E_CASE, NULL, ast->args_count, tni_pos_of(ast));
    TN_TRY(tni_need_boolean(build, args[0], "condition of IF", &node->args[0], err));
    TN_TRY(tni_unify(build, args + 1, ast->args_count - 1, "results of IF", &node->type, err));
    for (uint32_t i = 1; i < ast->args_count; i++)
        node->args[i] = args[i];
    node->is_flag = ast->args_count == 3;
    *ret_expr = tni_fold(build, node);
    return TN_OK;
}

/* NULLIF(a, b): the value of a, of its own type, unless it equals b. */
static enum tn_status form_nullif(struct tni_ctx *ctx, const struct tn_ast_expr *ast,
                                  struct tn_expr **ret_expr, struct tn_err *err)
{
    struct tn_expr **args, *eq;
    const struct tni_build *build = &ctx->bind->build;
    struct tni_pos pos = tni_pos_of(ast);
    TN_TRY(count_args(ast, 2, 2, err));
    TN_TRY(bind_all(ctx, ast, &args, err));
    if (tni_is_null(args[1])) {
        *ret_expr = args[0];
        return TN_OK;
    }
    TN_TRY(tni_compare(build, "=", args[0], args[1], pos, &eq, err));
    struct tn_expr *node = tni_node(build, TN_E_CASE, args[0]->type, 3, pos);
    node->args[0] = eq;
    node->args[1] = tni_const_null(build, args[0]->type, pos);
    node->args[2] = args[0];
    node->is_flag = true;
    *ret_expr = tni_fold(build, node);
    return TN_OK;
}

static enum tn_status form_try(struct tni_ctx *ctx, const struct tn_ast_expr *ast,
                               struct tn_expr **ret_expr, struct tn_err *err)
{
    struct tn_expr *arg;
    TN_TRY(count_args(ast, 1, 1, err));
    TN_TRY(tni_bind_expr(ctx, ast->args[0], &arg, err));
    struct tn_expr *node = tni_node(&ctx->bind->build, TN_E_TRY, arg->type, 1, tni_pos_of(ast));
    node->args[0] = arg;
    *ret_expr = tni_is_const(arg) ? arg : node;
    return TN_OK;
}

/* AS_VALUE(k): the key's value, but no longer the key. An identity that is not equal to its
 * argument. */
static enum tn_status form_as_value(struct tni_ctx *ctx, const struct tn_ast_expr *ast,
                                    struct tn_expr **ret_expr, struct tn_err *err)
{
    struct tn_expr *arg;
    TN_TRY(count_args(ast, 1, 1, err));
    TN_TRY(tni_bind_expr(ctx, ast->args[0], &arg, err));
    struct tn_expr *node =
        tni_node(&ctx->bind->build, TN_E_COALESCE, arg->type, 1, tni_pos_of(ast));
    node->args[0] = arg;
    node->name = TN_STR("as_value");
    *ret_expr = node;
    return TN_OK;
}

static enum tn_status form_typeof(struct tni_ctx *ctx, const struct tn_ast_expr *ast,
                                  struct tn_expr **ret_expr, struct tn_err *err)
{
    struct tn_expr *arg;
    TN_TRY(count_args(ast, 1, 1, err));
    TN_TRY(tni_bind_expr(ctx, ast->args[0], &arg, err));
    *ret_expr = tni_const_str(
        &ctx->bind->build, tn_str_of(tni_type_text(&ctx->bind->build, arg->type)), tni_pos_of(ast));
    return TN_OK;
}

/* ---- constants of the statement ---- */

static enum tn_status const_now(struct tni_ctx *ctx, const struct tn_ast_expr *ast,
                                struct tn_expr **ret_expr, struct tn_err *err)
{
    (void)err;
    struct tn_str name = call_name(ast);
    enum tn_kind kind = TN_K_TIMESTAMP_TZ;
    const struct tn_zone *zone = ctx->bind->build.zone;
    int64_t value = ctx->bind->now_ms * 1000;
    int64_t local_ms = zone ? tn_zone_to_local(zone, value) / 1000 : ctx->bind->now_ms;
    if (tn_str_eq_nocase(name, TN_STR("localtimestamp"))) {
        kind = TN_K_TIMESTAMP;
        value = local_ms * 1000;
    } else if (tn_str_eq_nocase(name, TN_STR("current_date"))) {
        kind = TN_K_DATE;
        value = local_ms / 86400000 - (local_ms % 86400000 < 0);
    } else if (tn_str_eq_nocase(name, TN_STR("localtime")) ||
               tn_str_eq_nocase(name, TN_STR("current_time"))) {
        kind = TN_K_TIME;
        value = local_ms % 86400000 * 1000;
    }
    *ret_expr = tni_const_i64(&ctx->bind->build, kind, value, tni_pos_of(ast));
    if (kind == TN_K_TIMESTAMP_TZ) {
        (*ret_expr)->type = tn_type_zoned(ctx->bind->build.arena, (*ret_expr)->type, zone);
        (*ret_expr)->value.type = (*ret_expr)->type;
    }
    return TN_OK;
}

static enum tn_status const_text(struct tni_ctx *ctx, const struct tn_ast_expr *ast,
                                 struct tn_expr **ret_expr, struct tn_err *err)
{
    (void)err;
    struct tn_str name = call_name(ast);
    const char *text = TN_VERSION;
    if (tn_str_eq_nocase(name, TN_STR("current_user")))
        text = ctx->bind->user ? ctx->bind->user : "tarn";
    else if (tn_str_eq_nocase(name, TN_STR("current_catalog")))
        text = ctx->bind->session_catalog;
    else if (tn_str_eq_nocase(name, TN_STR("current_schema")))
        text = ctx->bind->session_schema;
    else if (tn_str_eq_nocase(name, TN_STR("current_timezone")))
        text = ctx->bind->build.zone
                   ? tn_arena_str(ctx->bind->build.arena, tn_zone_name(ctx->bind->build.zone)).ptr
                   : "UTC";
    *ret_expr = tni_const_str(&ctx->bind->build, tn_str_of(text), tni_pos_of(ast));
    return TN_OK;
}

static enum tn_status form_grouping(struct tni_ctx *ctx, const struct tn_ast_expr *ast,
                                    struct tn_expr **ret_expr, struct tn_err *err)
{
    (void)ctx;
    (void)ret_expr;
    return tni_not_supported(err, ast->line, ast->col, "grouping() is not supported");
}

#define QUERY  TN_FN_QUERY
#define STREAM TN_FN_STREAM

static const struct form {
    const char *name;
    unsigned rules;
    uint32_t args_max; /* more: not this form */
    enum tn_status (*bind)(struct tni_ctx *ctx, const struct tn_ast_expr *ast,
                           struct tn_expr **ret_expr, struct tn_err *err);
} forms[] = {
    {"coalesce", QUERY | STREAM, TN_FUNC_ARGS_MAX, form_coalesce},
    {"ifnull", STREAM, 2, form_coalesce},
    {"if", QUERY, 3, form_if},
    {"nullif", QUERY | STREAM, 2, form_nullif},
    {"try", QUERY, 1, form_try},
    {"as_value", STREAM, 1, form_as_value},
    {"typeof", QUERY, 1, form_typeof},
    {"grouping", QUERY, TN_FUNC_ARGS_MAX, form_grouping},
    {"now", QUERY, 0, const_now},
    {"current_timestamp", QUERY, 1, const_now},
    {"localtimestamp", QUERY, 1, const_now},
    {"current_date", QUERY, 0, const_now},
    {"current_time", QUERY, 1, const_now},
    {"localtime", QUERY, 1, const_now},
    {"current_user", QUERY, 0, const_text},
    {"current_catalog", QUERY, 0, const_text},
    {"current_schema", QUERY, 0, const_text},
    {"current_timezone", QUERY, 0, const_text},
    {"version", QUERY, 0, const_text},
};

static const struct form *form_find(const struct tni_ctx *ctx, struct tn_str name)
{
    unsigned rule = ctx->bind->build.rules == TN_RULES_QUERY ? QUERY : STREAM;
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (forms[i].rules & rule && tn_str_eq_nocase(name, tn_str_of(forms[i].name)))
            return &forms[i];
    return NULL;
}

/* ---- aggregates ---- */

/* listagg(x, ',') WITHIN GROUP (ORDER BY …) and agg(x ORDER BY …) need ordered input. */
static enum tn_status agg_refuse(struct tni_ctx *ctx, const struct tn_ast_expr *ast,
                                 struct tn_err *err)
{
    const struct tn_ast_call *call = ast->call;
    struct tn_str name = call_name(ast);
    if (!ctx->is_agg_allowed)
        return tn_err_at(err, TN_E_INVALID, "EXPRESSION_NOT_SCALAR", ast->line, ast->col,
                         "aggregate function '%.*s' cannot stand in %s", TN_STR_FMT(name),
                         ctx->clause);
    if (ctx->is_in_agg)
        return tn_err_at(err, TN_E_INVALID, "NESTED_AGGREGATION", ast->line, ast->col,
                         "aggregate function '%.*s' cannot stand inside another one",
                         TN_STR_FMT(name));
    if (call->sorts_count || call->is_within_group)
        return tni_not_supported(err, ast->line, ast->col,
                                 "'%.*s' with ORDER BY inside is not supported", TN_STR_FMT(name));
    if (call->is_ignore_nulls || call->is_respect_nulls)
        return tni_not_supported(err, ast->line, ast->col,
                                 "'%.*s' with IGNORE or RESPECT NULLS is not supported",
                                 TN_STR_FMT(name));
    if (call->is_distinct && ctx->bind->build.rules == TN_RULES_STREAM)
        return tni_not_supported(err, ast->line, ast->col,
                                 "'%.*s(DISTINCT …)' is not supported in a persistent query%s",
                                 TN_STR_FMT(name), "; use COUNT_DISTINCT");
    return TN_OK;
}

enum tn_status tni_bind_agg(struct tni_ctx *ctx, const struct tn_agg *agg,
                            const struct tn_ast_expr *ast, struct tn_expr **ret_expr,
                            struct tn_err *err)
{
    const struct tni_build *build = &ctx->bind->build;
    const struct tn_ast_call *call = ast->call;
    struct tn_expr **args;
    TN_TRY(agg_refuse(ctx, ast, err));
    bool is_window = call->over != NULL; /* sum(count(*)) OVER () is fine */
    ctx->is_in_agg = !is_window;
    enum tn_status st = bind_all(ctx, ast, &args, err);
    struct tn_expr *filter = NULL;
    if (!tn_failed(st) && call->filter) {
        st = tni_bind_expr(ctx, call->filter, &filter, err);
        if (!tn_failed(st))
            st = tni_need_boolean(build, filter, "FILTER", &filter, err);
    }
    ctx->is_in_agg = false;
    if (tn_failed(st))
        return st;
    struct tn_expr *node = tni_node(build, TN_E_AGG, NULL, ast->args_count, tni_pos_of(ast));
    node->agg = agg;
    node->args = args;
    node->filter = filter;
    node->is_flag = call->is_distinct;
    node->name = tn_str_of(agg->name);
    struct tn_agg_call bound;
    st = tni_agg_call(node, build->arena, &bound, err);
    if (tn_failed(st))
        return st;
    node->type = bound.type;
    ctx->has_agg = ctx->has_agg || !is_window;
    *ret_expr = node;
    return TN_OK;
}

/* ---- functions with lambdas ---- */

static enum tn_status bind_lambda(struct tni_ctx *ctx, const struct tn_ast_expr *ast,
                                  struct tn_str name, const struct tn_type **types, uint32_t arg,
                                  uint32_t args_count, struct tn_expr **ret_expr,
                                  struct tn_err *err)
{
    const struct tni_build *build = &ctx->bind->build;
    const struct tn_type **params =
        TN_ARENA_ARRAY(build->arena, const struct tn_type *, ast->idents_count + 1);
    struct tn_err why = TN_ERR_INIT;
    if (tn_func_lambda(name, build->rules, types, args_count, arg, ast->idents_count, params,
                       &why) != TN_OK)
        return tn_err_at(err, TN_E_TYPE, "TYPE_MISMATCH", ast->line, ast->col,
                         "function '%.*s' takes no lambda of %u parameters as argument %u",
                         TN_STR_FMT(name), ast->idents_count, arg + 1);
    struct tni_lambda lambda = {
        .outer = ctx->lambda, .count = ast->idents_count, .names = ast->idents, .types = params};
    lambda.first = ctx->lambda ? ctx->lambda->first + ctx->lambda->count : 0;
    struct tn_expr *body;
    ctx->lambda = &lambda;
    enum tn_status st = tni_bind_expr(ctx, ast->args[0], &body, err);
    ctx->lambda = lambda.outer;
    if (tn_failed(st))
        return st;
    struct tn_expr *node = tni_node(build, TN_E_LAMBDA, body->type, 1, tni_pos_of(ast));
    node->args[0] = body;
    node->column = (int)lambda.first;
    node->rel = (int)lambda.count;
    *ret_expr = node;
    return TN_OK;
}

static enum tn_status bind_function(struct tni_ctx *ctx, const struct tn_ast_expr *ast,
                                    struct tn_expr **ret_expr, struct tn_err *err)
{
    const struct tni_build *build = &ctx->bind->build;
    struct tn_str name = call_name(ast);
    uint32_t count = ast->args_count;
    if (count > TN_FUNC_ARGS_MAX)
        return tn_err_at(err, TN_E_LIMIT, "TOO_MANY_ARGUMENTS", ast->line, ast->col,
                         "'%.*s' has %u arguments, at most %d are taken", TN_STR_FMT(name), count,
                         TN_FUNC_ARGS_MAX);
    struct tn_expr **args = TN_ARENA_ARRAY(build->arena, struct tn_expr *, count + 1);
    const struct tn_type **types = TN_ARENA_ARRAY(build->arena, const struct tn_type *, count + 1);
    for (uint32_t i = 0; i < count; i++) {
        if (ast->args[i]->kind == TN_AX_LAMBDA)
            TN_TRY(bind_lambda(ctx, ast->args[i], name, types, i, count, &args[i], err));
        else
            TN_TRY(tni_bind_expr(ctx, ast->args[i], &args[i], err));
        types[i] = args[i]->type;
    }
    return tni_call(build, name, args, count, tni_pos_of(ast), ret_expr, err);
}

static enum tn_status plain_only(const struct tn_ast_expr *ast, struct tn_err *err)
{
    const struct tn_ast_call *call = ast->call;
    const char *what = call->is_star       ? "(*)"
                       : call->is_distinct ? "DISTINCT"
                       : call->sorts_count ? "ORDER BY"
                       : call->filter      ? "FILTER"
                                           : NULL;
    if (!what)
        return TN_OK;
    return tn_err_at(err, TN_E_INVALID, "FUNCTION_NOT_AGGREGATE", ast->line, ast->col,
                     "'%.*s' is not an aggregate function, it takes no %s",
                     TN_STR_FMT(call_name(ast)), what);
}

enum tn_status tni_bind_call(struct tni_ctx *ctx, const struct tn_ast_expr *ast,
                             struct tn_expr **ret_expr, struct tn_err *err)
{
    struct tn_str name = call_name(ast);
    const struct form *form = form_find(ctx, name);
    if (ast->kind == TN_AX_NAME)
        return form ? form->bind(ctx, ast, ret_expr, err)
                    : tn_err_at(err, TN_E_NAME, "COLUMN_NOT_FOUND", ast->line, ast->col,
                                "no column '%.*s'", TN_STR_FMT(name));
    if (ast->call->name.parts_count > 1)
        return tn_err_at(err, TN_E_NAME, "FUNCTION_NOT_FOUND", ast->line, ast->col,
                         "function names have one part");
    if (ast->call->over)
        return tni_bind_window_call(ctx, ast, ret_expr, err);
    if (form) {
        TN_TRY(plain_only(ast, err));
        TN_TRY(count_args(ast, 0, form->args_max, err));
        return form->bind(ctx, ast, ret_expr, err);
    }
    const struct tn_agg *agg = tn_agg_find(name, ctx->bind->build.rules);
    if (agg)
        return tni_bind_agg(ctx, agg, ast, ret_expr, err);
    if (tni_is_window_func(name) && ctx->bind->build.rules == TN_RULES_QUERY)
        return tn_err_at(err, TN_E_INVALID, "MISSING_OVER", ast->line, ast->col,
                         "window function '%.*s' needs an OVER clause", TN_STR_FMT(name));
    if (!tni_func_exists(&ctx->bind->build, name))
        return tni_func_not_found(&ctx->bind->build, name, tni_pos_of(ast), err);
    TN_TRY(plain_only(ast, err));
    return bind_function(ctx, ast, ret_expr, err);
}
