/* Expressions: one function per form of the syntax tree. Names are in bind_name.c, calls in
 * bind_call.c, subqueries in bind_subquery.c. Contract: sql/bind_int.h. */
#include "sql/bind_int.h"

#include "stream/base/decimal.h"

/* ---- literals ---- */

static enum tn_status bind_integer(struct tni_ctx *ctx, const struct tn_ast_expr *ast,
                                   struct tn_expr **ret_expr)
{
    bool is_small = ast->integer >= INT32_MIN && ast->integer <= INT32_MAX;
    *ret_expr = tni_const_i64(&ctx->bind->build, is_small ? TN_K_INTEGER : TN_K_BIGINT,
                              ast->integer, tni_pos_of(ast));
    return TN_OK;
}

/* Precision and scale are those of the digits as written, leading zeros aside. */
static enum tn_status bind_decimal(struct tni_ctx *ctx, const struct tn_ast_expr *ast,
                                   struct tn_str text, struct tn_expr **ret_expr,
                                   struct tn_err *err)
{
    const char *at = text.ptr, *end = at + text.len;
    int precision = 0, scale = 0;
    if (at < end && (*at == '-' || *at == '+'))
        at++;
    while (at < end && *at == '0')
        at++;
    const char *dot = memchr(at, '.', (size_t)(end - at));
    for (; at < end; at++)
        precision += *at >= '0' && *at <= '9';
    if (dot)
        scale = (int)(end - dot - 1);
    precision = precision < scale ? scale : precision;
    precision = precision ? precision : 1;
    tn_int128 value;
    if (precision > TN_DECIMAL_PRECISION_MAX ||
        !tn_decimal_parse_exact(text, precision, scale, &value))
        return tn_err_at(err, TN_E_INVALID, "INVALID_LITERAL", ast->line, ast->col,
                         "'%.*s' is not a number of at most %d digits", TN_STR_FMT(text),
                         TN_DECIMAL_PRECISION_MAX);
    struct tn_value v = {.type = tn_type_decimal(ctx->bind->build.arena, precision, scale),
                         .dec = value};
    *ret_expr = tni_const(&ctx->bind->build, &v, tni_pos_of(ast));
    return TN_OK;
}

/* TIMESTAMP '2024-01-01 00:00:00 UTC' has a zone: letters, or a sign behind the time. */
static bool text_has_zone(struct tn_str text)
{
    for (size_t i = 10; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '+' || c == '-' || (((c | 0x20) >= 'a' && (c | 0x20) <= 'z') && (c | 0x20) != 't'))
            return true;
    }
    return false;
}

/* Bits of TINYINT, SMALLINT and REAL under query rules; 0 = another type. */
static int small_of(const struct tni_ctx *ctx, const struct tn_ast_type *type)
{
    if (ctx->bind->build.rules != TN_RULES_QUERY || type->kind != TN_AT_NAMED)
        return 0;
    if (tn_str_eq_nocase(type->name.text, TN_STR("TINYINT")))
        return 8;
    if (tn_str_eq_nocase(type->name.text, TN_STR("REAL")))
        return 32;
    return tn_str_eq_nocase(type->name.text, TN_STR("SMALLINT")) ? 16 : 0;
}

/* Constants of the small types, as drivers send them: INTEGERs whose range is checked here, DOUBLEs
 * that are rounded here. Only constants: nothing computes with fewer bits. */
static enum tn_status bind_small(struct tni_ctx *ctx, const struct tn_ast_expr *ast,
                                 struct tn_expr *arg, struct tn_expr **ret_expr, struct tn_err *err)
{
    int bits = small_of(ctx, ast->type);
    struct tn_expr *expr;
    struct tn_value value = {.is_null = true};
    TN_ASSERT(bits > 0);
    TN_TRY(tni_cast(&ctx->bind->build, arg, tn_type_of(bits == 32 ? TN_K_DOUBLE : TN_K_INTEGER),
                    ast->is_try, tni_pos_of(ast), &expr, err));
    if (!tni_is_const(expr)) { /* a cast that fails does so when it is run */
        *ret_expr = expr;
        return TN_OK;
    }
    value = expr->value;
    value.type = tn_type_small(bits);
    if (bits == 32) {
        value.d = value.is_null ? 0 : (double)(float)value.d;
    } else if (!value.is_null) {
        int64_t limit = INT64_C(1) << (bits - 1);
        bool is_over = value.i < -limit || value.i >= limit;
        if (is_over && !ast->is_try)
            return tn_err_at(err, TN_E_EVAL, "NUMERIC_VALUE_OUT_OF_RANGE", ast->line, ast->col,
                             "Out of range for %s: %lld", bits == 8 ? "tinyint" : "smallint",
                             (long long)value.i);
        value.is_null = is_over;
    }
    *ret_expr = value.is_null ? tni_const_null(&ctx->bind->build, value.type, tni_pos_of(ast))
                              : tni_const(&ctx->bind->build, &value, tni_pos_of(ast));
    return TN_OK;
}

/* A fraction that is finer than the default of three digits shows. */
static bool has_micros(struct tn_str text)
{
    const char *dot = memchr(text.ptr, '.', text.len), *end = text.ptr + text.len;
    for (const char *at = dot ? dot + 1 : end; at < end && *at >= '0' && *at <= '9'; at++)
        if (at - dot > 3 && *at != '0')
            return true;
    return false;
}

static enum tn_status bind_typed(struct tni_ctx *ctx, const struct tn_ast_expr *ast,
                                 struct tn_expr **ret_expr, struct tn_err *err)
{
    const struct tni_build *build = &ctx->bind->build;
    const struct tn_type *type;
    struct tn_expr *text = tni_const_str(build, ast->text, tni_pos_of(ast)), *value;
    if (ast->type->kind == TN_AT_NAMED && !ast->type->numbers_count &&
        tn_str_eq_nocase(ast->type->name.text, TN_STR("DECIMAL")))
        return bind_decimal(ctx, ast, ast->text, ret_expr, err);
    if (small_of(ctx, ast->type))
        return bind_small(ctx, ast, text, ret_expr, err);
    TN_TRY(tni_bind_type(ctx->bind, ast->type, &type, err));
    if (type->kind == TN_K_TIMESTAMP && build->rules == TN_RULES_QUERY && text_has_zone(ast->text))
        type = tn_type_of(TN_K_TIMESTAMP_TZ);
    if (type->kind >= TN_K_TIME && type->kind <= TN_K_TIMESTAMP_TZ &&
        build->rules == TN_RULES_QUERY && has_micros(ast->text))
        type = tn_type_time(build->arena, type->kind, 6);
    if (type->kind == TN_K_JSON) /* the literal is read; a cast would make a JSON string of it */
        TN_TRY(tni_call(build, TN_STR("json_parse"), &text, 1, tni_pos_of(ast), &value, err));
    else
        TN_TRY(tni_cast(build, text, type, false, tni_pos_of(ast), &value, err));
    if (!tni_is_const(value))
        return tn_err_at(err, TN_E_INVALID, "INVALID_LITERAL", ast->line, ast->col,
                         "'%.*s' is not a valid %s literal", TN_STR_FMT(ast->text),
                         tni_type_text(build, type));
    *ret_expr = value;
    return TN_OK;
}

/* Digits up to a separator; false when there is none. */
static bool interval_part(const char **at, const char *end, int64_t *ret_value)
{
    const char *start = *at;
    int64_t value = 0;
    for (; *at < end && **at >= '0' && **at <= '9'; (*at)++)
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, **at - '0', &value))
            return false;
    *ret_value = value;
    return *at > start;
}

static int64_t unit_us(enum tn_ast_unit unit)
{
    switch (unit) {
    case TN_AU_MILLISECOND: return 1000;
    case TN_AU_SECOND: return 1000000;
    case TN_AU_MINUTE: return INT64_C(60000000);
    case TN_AU_HOUR: return INT64_C(3600000000);
    case TN_AU_DAY: return INT64_C(86400000000);
    case TN_AU_WEEK: return 7 * INT64_C(86400000000);
    default: return 0;
    }
}

static enum tn_ast_unit unit_below(enum tn_ast_unit unit)
{
    return unit == TN_AU_DAY ? TN_AU_HOUR : unit == TN_AU_HOUR ? TN_AU_MINUTE : TN_AU_SECOND;
}

static bool interval_fraction(const char **at, const char *end, int64_t *us)
{
    int64_t scale = 100000;
    if (*at == end || **at != '.')
        return true;
    for ((*at)++; *at < end && **at >= '0' && **at <= '9'; (*at)++, scale /= 10)
        *us += (**at - '0') * scale;
    return true;
}

/* '1', '1 02:03:04.5', '02:03' … from unit down to unit_to. */
static bool interval_us(const struct tn_ast_expr *ast, int64_t *ret_us)
{
    const char *at = ast->text.ptr, *end = at + ast->text.len;
    enum tn_ast_unit unit = ast->unit, last = ast->unit_to ? ast->unit_to : ast->unit;
    int64_t total = 0;
    for (;;) {
        int64_t part, us;
        if (!interval_part(&at, end, &part) || __builtin_mul_overflow(part, unit_us(unit), &us))
            return false;
        if (unit == TN_AU_SECOND && !interval_fraction(&at, end, &us))
            return false;
        if (__builtin_add_overflow(total, us, &total))
            return false;
        if (at == end && unit == last)
            break;
        if (at == end || unit == last || *at != (unit == TN_AU_DAY ? ' ' : ':'))
            return false;
        at++;
        unit = unit_below(unit);
    }
    *ret_us = total;
    return true;
}

static bool interval_months(const struct tn_ast_expr *ast, int64_t *ret_months)
{
    const char *at = ast->text.ptr, *end = at + ast->text.len;
    int64_t months, rest = 0;
    int64_t factor = ast->unit == TN_AU_YEAR ? 12 : ast->unit == TN_AU_QUARTER ? 3 : 1;
    if (!interval_part(&at, end, &months) || __builtin_mul_overflow(months, factor, &months))
        return false;
    if (ast->unit == TN_AU_YEAR && ast->unit_to == TN_AU_MONTH && at < end && *at == '-') {
        at++;
        if (!interval_part(&at, end, &rest))
            return false;
    }
    *ret_months = months + rest;
    return at == end && months < INT32_MAX;
}

static enum tn_status bind_interval(struct tni_ctx *ctx, const struct tn_ast_expr *ast,
                                    struct tn_expr **ret_expr, struct tn_err *err)
{
    int64_t value = 0;
    bool is_month =
        ast->unit == TN_AU_YEAR || ast->unit == TN_AU_MONTH || ast->unit == TN_AU_QUARTER;
    if (is_month ? !interval_months(ast, &value) : !interval_us(ast, &value))
        return tn_err_at(err, TN_E_INVALID, "INVALID_LITERAL", ast->line, ast->col,
                         "'%.*s' is not an interval of %s", TN_STR_FMT(ast->text),
                         tn_ast_unit_text(ast->unit));
    *ret_expr = tni_const_i64(&ctx->bind->build, is_month ? TN_K_INTERVAL_YEAR : TN_K_INTERVAL_DAY,
                              ast->is_negative ? -value : value, tni_pos_of(ast));
    return TN_OK;
}

static enum tn_status bind_param(struct tni_ctx *ctx, const struct tn_ast_expr *ast,
                                 struct tn_expr **ret_expr, struct tn_err *err)
{
    struct tni_params *params = ctx->bind->build.params;
    if (params && ast->integer >= 0 && (uint64_t)ast->integer < params->count) {
        *ret_expr = tni_const_null(&ctx->bind->build, tn_type_of(TN_K_NULL), tni_pos_of(ast));
        params->nodes[ast->integer] = *ret_expr;
        return TN_OK;
    }
    if (ast->integer < 0 || (uint64_t)ast->integer >= ctx->bind->params_count)
        return tn_err_at(err, TN_E_INVALID, "INVALID_PARAMETER_USAGE", ast->line, ast->col,
                         "parameter %lld has no value: %u given", (long long)ast->integer + 1,
                         ctx->bind->params_count);
    return tni_bind_expr(ctx, ctx->bind->params[ast->integer], ret_expr, err);
}

static enum tn_status bind_literal(struct tni_ctx *ctx, const struct tn_ast_expr *ast,
                                   struct tn_expr **ret_expr, struct tn_err *err)
{
    const struct tni_build *build = &ctx->bind->build;
    struct tni_pos pos = tni_pos_of(ast);
    struct tn_value v = {0};
    switch (ast->kind) {
    case TN_AX_NULL: *ret_expr = tni_const_null(build, tn_type_of(TN_K_NULL), pos); return TN_OK;
    case TN_AX_BOOLEAN: *ret_expr = tni_const_bool(build, ast->boolean, pos); return TN_OK;
    case TN_AX_INTEGER: return bind_integer(ctx, ast, ret_expr);
    case TN_AX_DECIMAL: return bind_decimal(ctx, ast, ast->text, ret_expr, err);
    case TN_AX_DOUBLE:
        v = (struct tn_value){.type = tn_type_of(TN_K_DOUBLE), .d = ast->number};
        *ret_expr = tni_const(build, &v, pos);
        return TN_OK;
    case TN_AX_STRING:
    case TN_AX_UNIT: {
        struct tn_str text =
            ast->kind == TN_AX_STRING ? ast->text : tn_str_of(tn_ast_unit_text(ast->unit));
        *ret_expr = tni_const_str(build, text, pos);
        return TN_OK;
    }
    case TN_AX_BYTES:
        v = (struct tn_value){.type = tn_type_of(TN_K_BYTES),
                              .s = tn_arena_str(build->arena, ast->text)};
        *ret_expr = tni_const(build, &v, pos);
        return TN_OK;
    case TN_AX_TYPED: return bind_typed(ctx, ast, ret_expr, err);
    case TN_AX_INTERVAL: return bind_interval(ctx, ast, ret_expr, err);
    default: return bind_param(ctx, ast, ret_expr, err);
    }
}

/* ---- operators ---- */

static enum tn_status bind_args(struct tni_ctx *ctx, const struct tn_ast_expr *ast,
                                struct tn_expr ***ret_args, struct tn_err *err)
{
    struct tn_expr **args =
        TN_ARENA_ARRAY(ctx->bind->build.arena, struct tn_expr *, ast->args_count + 1);
    for (uint32_t i = 0; i < ast->args_count; i++)
        TN_TRY(tni_bind_expr(ctx, ast->args[i], &args[i], err));
    *ret_args = args;
    return TN_OK;
}

static enum tn_status bind_operator(struct tni_ctx *ctx, const struct tn_ast_expr *ast,
                                    const char *name, struct tn_expr **ret_expr, struct tn_err *err)
{
    struct tn_expr **args;
    TN_TRY(bind_args(ctx, ast, &args, err));
    return tni_call(&ctx->bind->build, tn_str_of(name), args, ast->args_count, tni_pos_of(ast),
                    ret_expr, err);
}

static struct tn_expr *negate(struct tni_ctx *ctx, struct tn_expr *expr, bool is_not)
{
    if (!is_not)
        return expr;
    struct tn_expr *node = tni_node(&ctx->bind->build, TN_E_NOT, tn_type_of(TN_K_BOOLEAN), 1,
                                    (struct tni_pos){expr->line, expr->col});
    node->args[0] = expr;
    return tni_fold(&ctx->bind->build, node);
}

static enum tn_status bind_compare(struct tni_ctx *ctx, const struct tn_ast_expr *ast,
                                   struct tn_expr **ret_expr, struct tn_err *err)
{
    struct tn_expr **args;
    TN_TRY(bind_args(ctx, ast, &args, err));
    return tni_compare(&ctx->bind->build, tn_ast_op_text(ast->op), args[0], args[1],
                       tni_pos_of(ast), ret_expr, err);
}

static enum tn_status bind_logic(struct tni_ctx *ctx, const struct tn_ast_expr *ast,
                                 struct tn_expr **ret_expr, struct tn_err *err)
{
    enum tn_expr_kind kind = ast->kind == TN_AX_AND ? TN_E_AND : TN_E_OR;
    struct tn_expr **args;
    TN_TRY(bind_args(ctx, ast, &args, err));
    struct tn_expr *node = tni_node(&ctx->bind->build, kind, tn_type_of(TN_K_BOOLEAN),
                                    ast->args_count, tni_pos_of(ast));
    for (uint32_t i = 0; i < ast->args_count; i++)
        TN_TRY(tni_need_boolean(&ctx->bind->build, args[i],
                                kind == TN_E_AND ? "operand of AND" : "operand of OR",
                                &node->args[i], err));
    *ret_expr = tni_fold(&ctx->bind->build, node);
    return TN_OK;
}

static enum tn_status bind_not(struct tni_ctx *ctx, const struct tn_ast_expr *ast,
                               struct tn_expr **ret_expr, struct tn_err *err)
{
    struct tn_expr *arg;
    TN_TRY(tni_bind_expr(ctx, ast->args[0], &arg, err));
    TN_TRY(tni_need_boolean(&ctx->bind->build, arg, "operand of NOT", &arg, err));
    *ret_expr = negate(ctx, arg, true);
    return TN_OK;
}

static enum tn_status bind_is(struct tni_ctx *ctx, const struct tn_ast_expr *ast,
                              struct tn_expr **ret_expr, struct tn_err *err)
{
    const struct tni_build *build = &ctx->bind->build;
    struct tn_expr *args[2];
    TN_TRY(tni_bind_expr(ctx, ast->args[0], &args[0], err));
    if (ast->kind == TN_AX_IS_NULL || ast->kind == TN_AX_IS_UNKNOWN) {
        if (ast->kind == TN_AX_IS_UNKNOWN)
            TN_TRY(tni_need_boolean(build, args[0], "operand of IS UNKNOWN", &args[0], err));
        return tni_call(build, ast->is_not ? TN_STR("is_not_null") : TN_STR("is_null"), args, 1,
                        tni_pos_of(ast), ret_expr, err);
    }
    if (ast->kind == TN_AX_DISTINCT) {
        TN_TRY(tni_bind_expr(ctx, ast->args[1], &args[1], err));
        return tni_compare(build, ast->is_not ? "is_not_distinct" : "is_distinct", args[0], args[1],
                           tni_pos_of(ast), ret_expr, err);
    }
    TN_TRY(tni_need_boolean(build, args[0], "operand of IS TRUE or IS FALSE", &args[0], err));
    args[1] = tni_const_bool(build, ast->kind == TN_AX_IS_TRUE, tni_pos_of(ast));
    return tni_call(build, ast->is_not ? TN_STR("is_distinct") : TN_STR("is_not_distinct"), args, 2,
                    tni_pos_of(ast), ret_expr, err);
}

/* x BETWEEN a AND b is x >= a AND x <= b, so that scans see ranges. */
static enum tn_status between(struct tni_ctx *ctx, struct tn_expr *x, struct tn_expr *low,
                              struct tn_expr *high, struct tni_pos pos, struct tn_expr **ret_expr,
                              struct tn_err *err)
{
    struct tn_expr *from, *to;
    TN_TRY(tni_compare(&ctx->bind->build, ">=", x, low, pos, &from, err));
    TN_TRY(tni_compare(&ctx->bind->build, "<=", x, high, pos, &to, err));
    *ret_expr = tni_logic(&ctx->bind->build, TN_E_AND, from, to);
    return TN_OK;
}

static enum tn_status bind_between(struct tni_ctx *ctx, const struct tn_ast_expr *ast,
                                   struct tn_expr **ret_expr, struct tn_err *err)
{
    struct tn_expr **args, *range, *other;
    struct tni_pos pos = tni_pos_of(ast);
    TN_TRY(bind_args(ctx, ast, &args, err));
    TN_TRY(between(ctx, args[0], args[1], args[2], pos, &range, err));
    if (ast->is_symmetric) {
        TN_TRY(between(ctx, args[0], args[2], args[1], pos, &other, err));
        range = tni_logic(&ctx->bind->build, TN_E_OR, range, other);
    }
    *ret_expr = negate(ctx, range, ast->is_not);
    return TN_OK;
}

static enum tn_status bind_like(struct tni_ctx *ctx, const struct tn_ast_expr *ast,
                                struct tn_expr **ret_expr, struct tn_err *err)
{
    enum tn_status st = bind_operator(ctx, ast, "like", ret_expr, err);
    if (st == TN_E_TYPE && err && !strcmp(tn_err_name(err), "FUNCTION_NOT_FOUND"))
        return tn_err_at(err, st, "TYPE_MISMATCH", ast->args[0]->line, ast->args[0]->col,
                         "both sides of LIKE must be varchar");
    TN_TRY(st);
    *ret_expr = negate(ctx, *ret_expr, ast->is_not);
    return TN_OK;
}

/* (a, b) IN ((1, 2), (3, 4)) → a = 1 AND b = 2 OR a = 3 AND b = 4 */
static enum tn_status bind_row_in(struct tni_ctx *ctx, const struct tn_ast_expr *ast,
                                  struct tn_expr **ret_expr, struct tn_err *err)
{
    const struct tn_ast_expr *left = ast->args[0];
    struct tn_expr **left_args, *any = NULL;
    TN_TRY(bind_args(ctx, left, &left_args, err));
    for (uint32_t i = 1; i < ast->args_count; i++) {
        const struct tn_ast_expr *row = ast->args[i];
        struct tn_expr **args, *all = NULL;
        if (row->kind != TN_AX_ROW || row->args_count != left->args_count)
            return tn_err_at(err, TN_E_TYPE, "TYPE_MISMATCH", row->line, row->col,
                             "expected a row of %u values", left->args_count);
        TN_TRY(bind_args(ctx, row, &args, err));
        for (uint32_t j = 0; j < row->args_count; j++) {
            struct tn_expr *eq;
            TN_TRY(tni_compare(&ctx->bind->build, "=", left_args[j], args[j], tni_pos_of(row), &eq,
                               err));
            all = tni_logic(&ctx->bind->build, TN_E_AND, all, eq);
        }
        any = tni_logic(&ctx->bind->build, TN_E_OR, any, all);
    }
    TN_ASSERT(any); /* the grammar wants at least one row */
    *ret_expr = negate(ctx, any, ast->is_not);
    return TN_OK;
}

/* Text literals beside numbers, booleans and times become those under stream rules; beside times
 * under both. */
static enum tn_status in_literal(struct tni_ctx *ctx, const struct tn_expr *left,
                                 struct tn_expr **item, struct tn_err *err)
{
    const struct tni_build *build = &ctx->bind->build;
    struct tni_pos pos = {(*item)->line, (*item)->col};
    if (!tni_is_const(*item) || tni_is_null(*item) || (*item)->type->kind != TN_K_VARCHAR ||
        left->type->kind == TN_K_VARCHAR)
        return TN_OK;
    enum tn_kind kind = left->type->kind;
    bool is_time = kind >= TN_K_DATE && kind <= TN_K_TIMESTAMP_TZ;
    if (!is_time && build->rules == TN_RULES_QUERY)
        return TN_OK;
    struct tn_expr *value;
    TN_TRY(tni_cast(build, *item, left->type, false, pos, &value, err));
    if (!tni_is_const(value))
        return tn_err_at(err, TN_E_TYPE, "TYPE_MISMATCH", pos.line, pos.col, "'%.*s' is not a %s",
                         TN_STR_FMT((*item)->value.s), tni_type_text(build, left->type));
    *item = value;
    return TN_OK;
}

static enum tn_status bind_in(struct tni_ctx *ctx, const struct tn_ast_expr *ast,
                              struct tn_expr **ret_expr, struct tn_err *err)
{
    const struct tn_type *type;
    if (ast->args[0]->kind == TN_AX_ROW)
        return bind_row_in(ctx, ast, ret_expr, err);
    struct tn_expr **args;
    TN_TRY(bind_args(ctx, ast, &args, err));
    for (uint32_t i = 1; i < ast->args_count; i++)
        TN_TRY(in_literal(ctx, args[0], &args[i], err));
    struct tn_expr *node = tni_node(&ctx->bind->build, TN_E_IN, tn_type_of(TN_K_BOOLEAN),
                                    ast->args_count, tni_pos_of(ast));
    memcpy(node->args, args, ast->args_count * sizeof *args);
    TN_TRY(tni_unify(&ctx->bind->build, node->args, node->args_count, "IN list", &type, err));
    node->is_flag = ast->is_not;
    *ret_expr = tni_fold(&ctx->bind->build, node);
    return TN_OK;
}

/* ---- forms ---- */

static enum tn_status case_when(struct tni_ctx *ctx, struct tn_expr *operand,
                                const struct tn_ast_expr *ast, struct tn_expr **ret_expr,
                                struct tn_err *err)
{
    struct tn_expr *when;
    TN_TRY(tni_bind_expr(ctx, ast, &when, err));
    if (operand)
        return tni_compare(&ctx->bind->build, "=", operand, when, tni_pos_of(ast), ret_expr, err);
    return tni_need_boolean(&ctx->bind->build, when, "condition of CASE", ret_expr, err);
}

static enum tn_status bind_case(struct tni_ctx *ctx, const struct tn_ast_expr *ast,
                                struct tn_expr **ret_expr, struct tn_err *err)
{
    const struct tni_build *build = &ctx->bind->build;
    struct tn_expr *operand = NULL;
    uint32_t at = ast->has_operand ? 1 : 0, count = ast->args_count - at;
    uint32_t pairs = (count - (ast->has_else ? 1 : 0)) / 2;
    if (ast->has_operand)
        TN_TRY(tni_bind_expr(ctx, ast->args[0], &operand, err));
    struct tn_expr *node =
        tni_node(build, TN_E_CASE, tn_type_of(TN_K_NULL), count, tni_pos_of(ast));
    struct tn_expr **values = TN_ARENA_ARRAY(build->arena, struct tn_expr *, pairs + 1);
    for (uint32_t i = 0; i < pairs; i++) {
        TN_TRY(case_when(ctx, operand, ast->args[at + 2 * i], &node->args[2 * i], err));
        TN_TRY(tni_bind_expr(ctx, ast->args[at + 2 * i + 1], &values[i], err));
    }
    if (ast->has_else)
        TN_TRY(tni_bind_expr(ctx, ast->args[ast->args_count - 1], &values[pairs], err));
    TN_TRY(tni_unify(build, values, pairs + (ast->has_else ? 1 : 0), "results of CASE", &node->type,
                     err));
    for (uint32_t i = 0; i < pairs; i++)
        node->args[2 * i + 1] = values[i];
    if (ast->has_else)
        node->args[count - 1] = values[pairs];
    node->is_flag = ast->has_else;
    *ret_expr = tni_fold(build, node);
    return TN_OK;
}

static enum tn_status bind_cast(struct tni_ctx *ctx, const struct tn_ast_expr *ast,
                                struct tn_expr **ret_expr, struct tn_err *err)
{
    struct tn_expr *arg;
    const struct tn_type *type;
    TN_TRY(tni_bind_expr(ctx, ast->args[0], &arg, err));
    if (small_of(ctx, ast->type) && tni_is_const(arg))
        return bind_small(ctx, ast, arg, ret_expr, err);
    TN_TRY(tni_bind_type(ctx->bind, ast->type, &type, err));
    return tni_cast(&ctx->bind->build, arg, type, ast->is_try, tni_pos_of(ast), ret_expr, err);
}

static enum tn_status bind_extract(struct tni_ctx *ctx, const struct tn_ast_expr *ast,
                                   struct tn_expr **ret_expr, struct tn_err *err)
{
    struct tn_expr *arg;
    TN_TRY(tni_bind_expr(ctx, ast->args[0], &arg, err));
    return tni_call(&ctx->bind->build, ast->text, &arg, 1, tni_pos_of(ast), ret_expr, err);
}

static enum tn_status bind_array(struct tni_ctx *ctx, const struct tn_ast_expr *ast,
                                 struct tn_expr **ret_expr, struct tn_err *err)
{
    struct tn_expr **args;
    const struct tn_type *type;
    TN_TRY(bind_args(ctx, ast, &args, err));
    TN_TRY(tni_unify(&ctx->bind->build, args, ast->args_count, "elements of ARRAY", &type, err));
    return tni_call(&ctx->bind->build, TN_STR("array"), args, ast->args_count, tni_pos_of(ast),
                    ret_expr, err);
}

static enum tn_status bind_map(struct tni_ctx *ctx, const struct tn_ast_expr *ast,
                               struct tn_expr **ret_expr, struct tn_err *err)
{
    const struct tni_build *build = &ctx->bind->build;
    struct tn_expr **args;
    const struct tn_type *type;
    uint32_t pairs = ast->args_count / 2;
    TN_TRY(bind_args(ctx, ast, &args, err));
    struct tn_expr **half = TN_ARENA_ARRAY(build->arena, struct tn_expr *, pairs + 1);
    for (uint32_t side = 0; side < 2; side++) {
        for (uint32_t i = 0; i < pairs; i++)
            half[i] = args[2 * i + side];
        TN_TRY(tni_unify(build, half, pairs, side ? "values of MAP" : "keys of MAP", &type, err));
        for (uint32_t i = 0; i < pairs; i++)
            args[2 * i + side] = half[i];
    }
    return tni_call(build, TN_STR("map"), args, ast->args_count, tni_pos_of(ast), ret_expr, err);
}

static enum tn_status bind_struct(struct tni_ctx *ctx, const struct tn_ast_expr *ast,
                                  struct tn_expr **ret_expr, struct tn_err *err)
{
    const struct tni_build *build = &ctx->bind->build;
    struct tn_expr **args;
    TN_TRY(bind_args(ctx, ast, &args, err));
    struct tn_field *fields = TN_ARENA_ARRAY(build->arena, struct tn_field, ast->args_count + 1);
    for (uint32_t i = 0; i < ast->args_count; i++) {
        fields[i].name = ast->kind == TN_AX_STRUCT ? ast->idents[i].text : TN_STR("");
        fields[i].type = args[i]->type;
        for (uint32_t j = 0; j < i; j++)
            if (fields[i].name.len && tni_name_eq(ctx->bind, fields[i].name, fields[j].name))
                return tn_err_at(err, TN_E_NAME, "DUPLICATE_COLUMN_NAME", ast->line, ast->col,
                                 "field '%.*s' is given twice", TN_STR_FMT(fields[i].name));
    }
    struct tn_expr *call;
    TN_TRY(tni_call(build, TN_STR("row"), args, ast->args_count, tni_pos_of(ast), &call, err));
    call->type = tn_type_struct(build->arena, fields, ast->args_count);
    if (call->kind == TN_E_CONST)
        call->value.type = call->type;
    *ret_expr = call;
    return TN_OK;
}

static enum tn_status bind_dereference(struct tni_ctx *ctx, const struct tn_ast_expr *ast,
                                       struct tn_expr **ret_expr, struct tn_err *err)
{
    struct tn_expr *base;
    TN_TRY(tni_bind_expr(ctx, ast->args[0], &base, err));
    return tni_bind_field(ctx, base, &ast->ident, ret_expr, err);
}

static enum tn_status bind_binary(struct tni_ctx *ctx, const struct tn_ast_expr *ast,
                                  struct tn_expr **ret_expr, struct tn_err *err)
{
    return bind_operator(ctx, ast, tn_ast_op_text(ast->op), ret_expr, err);
}

static enum tn_status bind_at_zone(struct tni_ctx *ctx, const struct tn_ast_expr *ast,
                                   struct tn_expr **ret_expr, struct tn_err *err)
{
    return bind_operator(ctx, ast, "at_timezone", ret_expr, err);
}

static enum tn_status bind_negate(struct tni_ctx *ctx, const struct tn_ast_expr *ast,
                                  struct tn_expr **ret_expr, struct tn_err *err)
{
    enum tn_status st = bind_operator(ctx, ast, "neg", ret_expr, err);
    if (st == TN_E_TYPE && err && !strcmp(tn_err_name(err), "FUNCTION_NOT_FOUND"))
        return tn_err_at(err, st, "TYPE_MISMATCH", ast->line, ast->col,
                         "only numbers and intervals can be negated");
    return st;
}

static enum tn_status bind_subscript(struct tni_ctx *ctx, const struct tn_ast_expr *ast,
                                     struct tn_expr **ret_expr, struct tn_err *err)
{
    return bind_operator(ctx, ast, "subscript", ret_expr, err);
}

static enum tn_status bind_lambda_alone(struct tni_ctx *ctx, const struct tn_ast_expr *ast,
                                        struct tn_expr **ret_expr, struct tn_err *err)
{
    (void)ctx;
    (void)ret_expr;
    return tn_err_at(err, TN_E_TYPE, "TYPE_MISMATCH", ast->line, ast->col,
                     "a lambda can only be an argument of a function");
}

typedef enum tn_status (*bind_fn)(struct tni_ctx *ctx, const struct tn_ast_expr *ast,
                                  struct tn_expr **ret_expr, struct tn_err *err);

static const bind_fn binders[] = {
    [TN_AX_NULL] = bind_literal,
    [TN_AX_BOOLEAN] = bind_literal,
    [TN_AX_INTEGER] = bind_literal,
    [TN_AX_DECIMAL] = bind_literal,
    [TN_AX_DOUBLE] = bind_literal,
    [TN_AX_STRING] = bind_literal,
    [TN_AX_BYTES] = bind_literal,
    [TN_AX_TYPED] = bind_literal,
    [TN_AX_INTERVAL] = bind_literal,
    [TN_AX_PARAM] = bind_literal,
    [TN_AX_NAME] = tni_bind_name,
    [TN_AX_FIELD] = bind_dereference,
    [TN_AX_ARROW] = bind_dereference,
    [TN_AX_SUBSCRIPT] = bind_subscript,
    [TN_AX_NEGATE] = bind_negate,
    [TN_AX_BINARY] = bind_binary,
    [TN_AX_COMPARE] = bind_compare,
    [TN_AX_AND] = bind_logic,
    [TN_AX_OR] = bind_logic,
    [TN_AX_NOT] = bind_not,
    [TN_AX_IS_NULL] = bind_is,
    [TN_AX_IS_TRUE] = bind_is,
    [TN_AX_IS_FALSE] = bind_is,
    [TN_AX_IS_UNKNOWN] = bind_is,
    [TN_AX_DISTINCT] = bind_is,
    [TN_AX_BETWEEN] = bind_between,
    [TN_AX_IN] = bind_in,
    [TN_AX_LIKE] = bind_like,
    [TN_AX_AT_ZONE] = bind_at_zone,
    [TN_AX_SUBQUERY] = tni_bind_subquery,
    [TN_AX_EXISTS] = tni_bind_subquery,
    [TN_AX_IN_QUERY] = tni_bind_subquery,
    [TN_AX_QUANTIFIED] = tni_bind_subquery,
    [TN_AX_CASE] = bind_case,
    [TN_AX_CAST] = bind_cast,
    [TN_AX_EXTRACT] = bind_extract,
    [TN_AX_CALL] = tni_bind_call,
    [TN_AX_ROW] = bind_struct,
    [TN_AX_ARRAY] = bind_array,
    [TN_AX_MAP] = bind_map,
    [TN_AX_STRUCT] = bind_struct,
    [TN_AX_LAMBDA] = bind_lambda_alone,
    [TN_AX_UNIT] = bind_literal,
};

enum tn_status tni_bind_expr(struct tni_ctx *ctx, const struct tn_ast_expr *ast,
                             struct tn_expr **ret_expr, struct tn_err *err)
{
    TN_ASSERT((size_t)ast->kind < sizeof binders / sizeof *binders && binders[ast->kind]);
    return binders[ast->kind](ctx, ast, ret_expr, err);
}
