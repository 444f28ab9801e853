/* Bound expression nodes: constants, casts, calls, folding, unification. Contract:
 * sql/bind_build.h. */
#include "sql/bind_build.h"

#include "stream/base/time.h"

struct tn_expr *tni_node(const struct tni_build *build, enum tn_expr_kind kind,
                         const struct tn_type *type, uint32_t args_count, struct tni_pos pos)
{
    struct tn_expr *expr = TN_ARENA_NEW(build->arena, struct tn_expr);
    expr->kind = kind;
    expr->type = type;
    expr->line = pos.line;
    expr->col = pos.col;
    expr->rules = build->rules;
    expr->args_count = args_count;
    if (args_count)
        expr->args = TN_ARENA_ARRAY(build->arena, struct tn_expr *, args_count);
    return expr;
}

struct tn_expr *tni_const(const struct tni_build *build, const struct tn_value *value,
                          struct tni_pos pos)
{
    struct tn_expr *expr = tni_node(build, TN_E_CONST, value->type, 0, pos);
    expr->value = *value;
    return expr;
}

struct tn_expr *tni_const_i64(const struct tni_build *build, enum tn_kind kind, int64_t value,
                              struct tni_pos pos)
{
    struct tn_value v = {.type = tn_type_of(kind), .i = value};
    return tni_const(build, &v, pos);
}

struct tn_expr *tni_const_str(const struct tni_build *build, struct tn_str text, struct tni_pos pos)
{
    struct tn_value v = {.type = tn_type_of(TN_K_VARCHAR), .s = tn_arena_str(build->arena, text)};
    return tni_const(build, &v, pos);
}

struct tn_expr *tni_const_bool(const struct tni_build *build, bool value, struct tni_pos pos)
{
    struct tn_value v = {.type = tn_type_of(TN_K_BOOLEAN), .b = value};
    return tni_const(build, &v, pos);
}

struct tn_expr *tni_const_null(const struct tni_build *build, const struct tn_type *type,
                               struct tni_pos pos)
{
    struct tn_value v = {.type = type, .is_null = true};
    return tni_const(build, &v, pos);
}

struct tn_expr *tni_column(const struct tni_build *build, int rel, int column,
                           const struct tn_type *type, struct tn_str name, struct tni_pos pos)
{
    struct tn_expr *expr = tni_node(build, TN_E_COLUMN, type, 0, pos);
    expr->rel = rel;
    expr->column = column;
    expr->name = name;
    return expr;
}

struct tn_expr *tni_pseudo(const struct tni_build *build, int rel, enum tn_pseudo pseudo,
                           struct tni_pos pos)
{
    static const struct {
        const char *name;
        enum tn_kind kind;
    } rows[] = {
        [TN_PSEUDO_ROWTIME] = {"ROWTIME", TN_K_BIGINT},
        [TN_PSEUDO_ROWPARTITION] = {"ROWPARTITION", TN_K_INTEGER},
        [TN_PSEUDO_ROWOFFSET] = {"ROWOFFSET", TN_K_BIGINT},
        [TN_PSEUDO_WINDOWSTART] = {"WINDOWSTART", TN_K_BIGINT},
        [TN_PSEUDO_WINDOWEND] = {"WINDOWEND", TN_K_BIGINT},
        [TN_PSEUDO_HEADERS] = {"HEADERS", TN_K_NULL},
        [TN_PSEUDO_PATH] = {"$path", TN_K_VARCHAR},
        [TN_PSEUDO_FILE_TIME] = {"$file_modified_time", TN_K_TIMESTAMP_TZ},
        [TN_PSEUDO_FILE_SIZE] = {"$file_size", TN_K_BIGINT},
    };
    TN_ASSERT((size_t)pseudo < sizeof rows / sizeof *rows);
    struct tn_expr *expr = tni_node(build, TN_E_PSEUDO, tn_type_of(rows[pseudo].kind), 0, pos);
    expr->rel = rel;
    expr->column = (int)pseudo;
    expr->name = tn_str_of(rows[pseudo].name);
    return expr;
}

bool tni_is_const(const struct tn_expr *expr)
{
    return expr->kind == TN_E_CONST;
}

bool tni_is_null(const struct tn_expr *expr)
{
    return expr->kind == TN_E_CONST && expr->value.is_null;
}

static bool is_foldable(const struct tn_expr *expr)
{
    switch (expr->kind) {
    case TN_E_CALL:
        if (!expr->args_count || expr->func->flags & TN_FN_VOLATILE)
            return false;
        break;
    case TN_E_AND:
    case TN_E_OR:
    case TN_E_NOT:
    case TN_E_CASE:
    case TN_E_COALESCE:
    case TN_E_IN: break;
    default: return false;
    }
    for (uint32_t i = 0; i < expr->args_count; i++)
        if (!tni_is_const(expr->args[i]))
            return false;
    return true;
}

struct tn_expr *tni_fold(const struct tni_build *build, struct tn_expr *expr)
{
    struct tn_value value;
    struct tn_err ignored = TN_ERR_INIT;
    if (!is_foldable(expr) || tn_failed(tn_expr_fold(expr, build->arena, &value, &ignored)))
        return expr;
    value.type = expr->type;
    return tni_const(build, &value, (struct tni_pos){expr->line, expr->col});
}

const char *tni_type_text(const struct tni_build *build, const struct tn_type *type)
{
    struct tn_buf buf;
    tn_buf_init(&buf, 4096);
    if (type->kind == TN_K_NULL)
        tn_buf_add_text(&buf, build->rules == TN_RULES_QUERY ? "unknown" : "NULL");
    else if (build->rules == TN_RULES_QUERY)
        tn_type_print_trino(type, &buf);
    else
        tn_type_print_ksql(type, &buf);
    const char *text = tn_arena_strdup(build->arena, tn_buf_cstr(&buf));
    tn_buf_release(&buf);
    return text;
}

/* ---- casts ---- */

enum tn_status tni_cast(const struct tni_build *build, struct tn_expr *expr,
                        const struct tn_type *type, bool is_try, struct tni_pos pos,
                        struct tn_expr **ret_expr, struct tn_err *err)
{
    if (tn_type_eq(expr->type, type)) {
        *ret_expr = expr;
        if (tni_is_const(expr) && expr->type->bits != type->bits) { /* CAST(SMALLINT '1' AS INT) */
            struct tn_value value = expr->value;
            value.type = type;
            *ret_expr = tni_const(build, &value, pos);
        }
        return TN_OK;
    }
    if (tni_is_null(expr)) {
        for (uint32_t i = 0; build->params && i < build->params->count; i++)
            if (build->params->nodes[i] == expr && !build->params->types[i])
                build->params->types[i] = type;
        *ret_expr = tni_const_null(build, type, pos);
        return TN_OK;
    }
    bool has_zone = expr->type->kind == TN_K_TIMESTAMP_TZ || type->kind == TN_K_TIMESTAMP_TZ;
    if (has_zone && build->rules == TN_RULES_QUERY)
        return tni_zone_cast(build, expr, type, is_try, pos, ret_expr, err);
    return tni_cast_plain(build, expr, type, is_try, pos, ret_expr, err);
}

enum tn_status tni_cast_plain(const struct tni_build *build, struct tn_expr *expr,
                              const struct tn_type *type, bool is_try, struct tni_pos pos,
                              struct tn_expr **ret_expr, struct tn_err *err)
{
    if (tn_type_eq(expr->type, type)) {
        *ret_expr = expr;
        return TN_OK;
    }
    struct tn_err why = TN_ERR_INIT;
    const struct tn_func *func;
    if (tn_failed(tn_func_cast(expr->type, type, build->rules, is_try, &func, &why)))
        return tn_err_at(err, TN_E_TYPE, "TYPE_MISMATCH", pos.line, pos.col, "cannot cast %s to %s",
                         tni_type_text(build, expr->type), tni_type_text(build, type));
    struct tn_expr *call = tni_node(build, TN_E_CALL, type, 1, pos);
    call->func = func;
    call->name = is_try ? TN_STR("try_cast") : TN_STR("cast");
    call->is_flag = is_try;
    call->args[0] = expr;
    *ret_expr = tni_fold(build, call);
    return TN_OK;
}

enum tn_status tni_coerce(const struct tni_build *build, struct tn_expr *expr,
                          const struct tn_type *type, const char *what, struct tn_expr **ret_expr,
                          struct tn_err *err)
{
    struct tni_pos pos = {expr->line, expr->col};
    if (tn_type_eq(expr->type, type) || tni_is_null(expr) ||
        tn_type_coercible(expr->type, type, build->rules))
        return tni_cast(build, expr, type, false, pos, ret_expr, err);
    return tn_err_at(err, TN_E_TYPE, "TYPE_MISMATCH", pos.line, pos.col, "%s is %s, expected %s",
                     what, tni_type_text(build, expr->type), tni_type_text(build, type));
}

enum tn_status tni_need_boolean(const struct tni_build *build, struct tn_expr *expr,
                                const char *what, struct tn_expr **ret_expr, struct tn_err *err)
{
    const struct tn_type *boolean = tn_type_of(TN_K_BOOLEAN);
    if (expr->type->kind != TN_K_BOOLEAN && !tni_is_null(expr))
        return tn_err_at(err, TN_E_TYPE, "TYPE_MISMATCH", expr->line, expr->col,
                         "%s must be %s, not %s", what, tni_type_text(build, boolean),
                         tni_type_text(build, expr->type));
    return tni_cast(build, expr, boolean, false, (struct tni_pos){expr->line, expr->col}, ret_expr,
                    err);
}

enum tn_status tni_unify(const struct tni_build *build, struct tn_expr **exprs, uint32_t count,
                         const char *what, const struct tn_type **ret_type, struct tn_err *err)
{
    const struct tn_type *type = tn_type_of(TN_K_NULL);
    for (uint32_t i = 0; i < count; i++) {
        const struct tn_type *common =
            tn_type_common(type, exprs[i]->type, build->rules, build->arena);
        if (!common)
            return tn_err_at(err, TN_E_TYPE, "TYPE_MISMATCH", exprs[i]->line, exprs[i]->col,
                             "%s must have one type, found %s and %s", what,
                             tni_type_text(build, type), tni_type_text(build, exprs[i]->type));
        type = common;
    }
    for (uint32_t i = 0; i < count; i++)
        if (type->kind != TN_K_NULL)
            TN_TRY(tni_cast(build, exprs[i], type, false,
                            (struct tni_pos){exprs[i]->line, exprs[i]->col}, &exprs[i], err));
    *ret_type = type;
    return TN_OK;
}

/* ---- calls ---- */

static const char *nearest_function(struct tn_str name, enum tn_rules rules)
{
    size_t count;
    const struct tn_func *const *all = tn_func_all(&count);
    const char *names[1024];
    size_t names_count = 0, aggs_count;
    const struct tn_agg *const *aggs = tn_agg_all(&aggs_count);
    unsigned agg_flag = rules == TN_RULES_STREAM ? TN_AGG_STREAM : TN_AGG_QUERY;
    for (size_t i = 0; i < aggs_count; i++)
        if (aggs[i]->flags & agg_flag)
            names[names_count++] = aggs[i]->name;
    unsigned flag = rules == TN_RULES_STREAM ? TN_FN_STREAM : TN_FN_QUERY;
    for (size_t i = 0; i < count && names_count < 1024; i++)
        if (all[i]->flags & flag && !(all[i]->flags & TN_FN_INTERNAL))
            names[names_count++] = all[i]->name;
    return tn_str_nearest(name, names, names_count);
}

bool tni_func_exists(const struct tni_build *build, struct tn_str name)
{
    size_t count;
    const struct tn_func *const *all = tn_func_all(&count);
    unsigned flag = build->rules == TN_RULES_STREAM ? TN_FN_STREAM : TN_FN_QUERY;
    for (size_t i = 0; i < count; i++)
        if (all[i]->flags & flag && tn_str_eq_nocase(tn_str_of(all[i]->name), name))
            return true;
    return false;
}

enum tn_status tni_func_not_found(const struct tni_build *build, struct tn_str name,
                                  struct tni_pos pos, struct tn_err *err)
{
    const char *nearest = nearest_function(name, build->rules);
    tn_err_at(err, TN_E_NAME, "FUNCTION_NOT_FOUND", pos.line, pos.col, "no function '%.*s'",
              TN_STR_FMT(name));
    if (nearest)
        tn_err_hint(err, "did you mean %s?", nearest);
    return TN_E_NAME;
}

/* `why` lists the overloads that exist. */
static enum tn_status call_error(const struct tni_build *build, struct tn_str name,
                                 struct tni_pos pos, enum tn_status st, const struct tn_err *why,
                                 struct tn_err *err)
{
    if (st == TN_NOT_FOUND)
        return tni_func_not_found(build, name, pos, err);
    return tn_err_at(err, TN_E_TYPE, why->name, pos.line, pos.col, "%s", why->message);
}

enum tn_status tni_call(const struct tni_build *build, struct tn_str name, struct tn_expr **args,
                        uint32_t args_count, struct tni_pos pos, struct tn_expr **ret_expr,
                        struct tn_err *err)
{
    if (build->rules == TN_RULES_QUERY)
        return tni_zone_call(build, name, args, args_count, pos, ret_expr, err);
    return tni_call_plain(build, name, args, args_count, pos, ret_expr, err);
}

enum tn_status tni_call_plain(const struct tni_build *build, struct tn_str name,
                              struct tn_expr **args, uint32_t args_count, struct tni_pos pos,
                              struct tn_expr **ret_expr, struct tn_err *err)
{
    if (args_count > TN_FUNC_ARGS_MAX)
        return tn_err_at(err, TN_E_LIMIT, "TOO_MANY_ARGUMENTS", pos.line, pos.col,
                         "'%.*s' has %u arguments, at most %d are taken", TN_STR_FMT(name),
                         args_count, TN_FUNC_ARGS_MAX);
    const struct tn_type *types[TN_FUNC_ARGS_MAX], *want[TN_FUNC_ARGS_MAX];
    for (uint32_t i = 0; i < args_count; i++)
        types[i] = args[i]->type;
    const struct tn_func *func;
    const struct tn_type *type;
    struct tn_err why = TN_ERR_INIT;
    enum tn_status st = tn_func_resolve(name, build->rules, types, args_count, build->arena, &func,
                                        want, &type, &why);
    if (st != TN_OK)
        return call_error(build, name, pos, st, &why, err);
    struct tn_expr *call = tni_node(build, TN_E_CALL, type, args_count, pos);
    call->func = func;
    call->name = tn_arena_str(build->arena, name);
    for (uint32_t i = 0; i < args_count; i++) {
        struct tn_expr **to = &call->args[i];
        call->args[i] = args[i];
        if (args[i]->kind == TN_E_LAMBDA) {
            args[i]->type = want[i];
            to = &args[i]->args[0]; /* its body is what has the type */
        }
        TN_TRY(tni_cast(build, *to, want[i], false, (struct tni_pos){args[i]->line, args[i]->col},
                        to, err));
    }
    *ret_expr = tni_fold(build, call);
    return TN_OK;
}

enum tn_status tni_agg_call(const struct tn_expr *agg, struct tn_arena *arena,
                            struct tn_agg_call *ret_call, struct tn_err *err)
{
    struct tn_agg_call call = {
        .agg = agg->agg, .rules = agg->rules, .is_distinct = agg->kind == TN_E_AGG && agg->is_flag};
    uint32_t columns = tn_agg_columns_count(agg->agg, agg->args_count);
    if (columns == UINT32_MAX || columns > 4 || agg->args_count - columns > 3)
        return tn_err_at(err, TN_E_TYPE, "FUNCTION_NOT_FOUND", agg->line, agg->col,
                         "function '%s' takes %u to %u arguments, not %u", agg->agg->name,
                         agg->agg->args_min + agg->agg->params_min,
                         agg->agg->args_max + agg->agg->params_max, agg->args_count);
    call.args_count = columns;
    call.params_count = agg->args_count - columns;
    for (uint32_t i = 0; i < columns; i++)
        call.arg_types[i] = agg->args[i]->type;
    for (uint32_t i = 0; i < call.params_count; i++) {
        const struct tn_expr *param = agg->args[columns + i];
        if (!tni_is_const(param))
            return tn_err_at(err, TN_E_INVALID, "INVALID_ARGUMENTS", param->line, param->col,
                             "argument %u of '%s' must be a constant", columns + i + 1,
                             agg->agg->name);
        call.params[i] = param->value;
    }
    enum tn_status st = tn_agg_bind(&call, arena, err);
    if (tn_failed(st)) {
        if (err && !err->line) {
            err->line = agg->line;
            err->col = agg->col;
        }
        return st;
    }
    *ret_call = call;
    return TN_OK;
}

struct tn_expr *tni_logic(const struct tni_build *build, enum tn_expr_kind kind,
                          struct tn_expr *left, struct tn_expr *right)
{
    if (!left || !right)
        return left ? left : right;
    uint32_t left_count = left->kind == kind ? left->args_count : 1;
    uint32_t right_count = right->kind == kind ? right->args_count : 1;
    struct tn_expr *expr = tni_node(build, kind, tn_type_of(TN_K_BOOLEAN), left_count + right_count,
                                    (struct tni_pos){left->line, left->col});
    for (uint32_t i = 0; i < left_count; i++)
        expr->args[i] = left->kind == kind ? left->args[i] : left;
    for (uint32_t i = 0; i < right_count; i++)
        expr->args[left_count + i] = right->kind == kind ? right->args[i] : right;
    return tni_fold(build, expr);
}

/* ---- comparisons between text and time ---- */

static bool is_time_kind(enum tn_kind kind)
{
    return kind == TN_K_DATE || kind == TN_K_TIME || kind == TN_K_TIMESTAMP ||
           kind == TN_K_TIMESTAMP_TZ;
}

/* Row times and window bounds are BIGINT milliseconds that compare with text as instants. */
static bool is_time_column(const struct tn_expr *expr)
{
    if (expr->kind == TN_E_PSEUDO)
        return expr->column == TN_PSEUDO_ROWTIME || expr->column == TN_PSEUDO_WINDOWSTART ||
               expr->column == TN_PSEUDO_WINDOWEND;
    if (expr->kind != TN_E_COLUMN || expr->type->kind != TN_K_BIGINT)
        return false;
    return tn_str_eq_nocase(expr->name, TN_STR("rowtime")) ||
           tn_str_eq_nocase(expr->name, TN_STR("windowstart")) ||
           tn_str_eq_nocase(expr->name, TN_STR("windowend"));
}

static enum tn_status text_as_instant(const struct tni_build *build, const struct tn_expr *text,
                                      struct tn_expr **ret_expr, struct tn_err *err)
{
    int64_t us;
    bool has_time;
    if (!tni_iso_parse(text->value.s, &us, &has_time))
        return tn_err_at(err, TN_E_TYPE, "TYPE_MISMATCH", text->line, text->col,
                         "'%.*s' is not a date and time like '2024-01-31T12:00:00'",
                         TN_STR_FMT(text->value.s));
    int64_t ms = tn_floor_div(us, TN_US_PER_MS);
    *ret_expr = tni_const_i64(build, TN_K_BIGINT, ms, (struct tni_pos){text->line, text->col});
    return TN_OK;
}

/* Text beside a DATE, TIME or TIMESTAMP becomes that type; a literal in ISO form is folded by
 * tni_iso_parse, so that partial dates are padded under both rule sets. */
static enum tn_status text_as_time(const struct tni_build *build, struct tn_expr *text,
                                   struct tn_expr **time, struct tn_expr **ret_expr,
                                   struct tn_err *err)
{
    struct tni_pos pos = {text->line, text->col};
    enum tn_kind kind = (*time)->type->kind;
    int64_t us;
    bool has_time;
    if (kind == TN_K_TIME || text->kind != TN_E_CONST || text->value.is_null ||
        !tni_iso_parse(text->value.s, &us, &has_time)) {
        if (kind == TN_K_DATE && build->rules == TN_RULES_QUERY && text->kind != TN_E_CONST) {
            TN_TRY(tni_cast(build, *time, tn_type_of(TN_K_TIMESTAMP), false, pos, time, err));
            kind = TN_K_TIMESTAMP;
        }
        return tni_cast(build, text, tn_type_of(kind), false, pos, ret_expr, err);
    }
    bool is_midnight = us % TN_US_PER_DAY == 0;
    if (kind == TN_K_DATE && !is_midnight)
        TN_TRY(tni_cast(build, *time, tn_type_of(TN_K_TIMESTAMP), false, pos, time, err));
    if (kind == TN_K_DATE && is_midnight)
        *ret_expr = tni_const_i64(build, TN_K_DATE, us / TN_US_PER_DAY, pos);
    else
        *ret_expr = tni_const_i64(build, kind == TN_K_DATE ? TN_K_TIMESTAMP : kind, us, pos);
    return TN_OK;
}

static enum tn_status text_lenient(const struct tni_build *build, struct tn_expr **text,
                                   struct tn_expr **other, struct tn_err *err)
{
    if ((*text)->type->kind != TN_K_VARCHAR)
        return TN_OK;
    bool is_literal = tni_is_const(*text) && !tni_is_null(*text);
    if (is_literal && is_time_column(*other))
        return text_as_instant(build, *text, text, err);
    if (is_time_kind((*other)->type->kind) && (is_literal || build->rules == TN_RULES_QUERY))
        return text_as_time(build, *text, other, text, err);
    return TN_OK;
}

enum tn_status tni_compare(const struct tni_build *build, const char *op, struct tn_expr *left,
                           struct tn_expr *right, struct tni_pos pos, struct tn_expr **ret_expr,
                           struct tn_err *err)
{
    bool is_distinct = *op == 'i';
    if (build->rules == TN_RULES_STREAM && !is_distinct &&
        (tni_is_null(left) || tni_is_null(right)))
        return tn_err_at(err, TN_E_TYPE, "TYPE_MISMATCH", pos.line, pos.col,
                         "comparing with NULL is never true; use IS NULL or IS NOT NULL");
    TN_TRY(text_lenient(build, &left, &right, err));
    TN_TRY(text_lenient(build, &right, &left, err));
    struct tn_expr *args[2] = {left, right};
    return tni_call(build, tn_str_of(op), args, 2, pos, ret_expr, err);
}

bool tni_iso_parse(struct tn_str text, int64_t *ret_us, bool *ret_has_time)
{
    struct tn_datetime dt;
    if (!tn_datetime_parse(text, &dt) || dt.zone_name.len || !tn_datetime_us(&dt, ret_us))
        return false;
    *ret_has_time = dt.has_time;
    return true;
}
