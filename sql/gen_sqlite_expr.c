/* Generator, expressions: which parts SQLite may compute itself, which become calls of our kernels.
 *
 * "Exact" below means: SQLite's operator gives what the kernel gives, on the representation of
 * sql/exec_sqlite_value.c, and cannot fail. Only such nodes are written as SQL operators. A node
 * that holds a subquery or window function cannot be compiled; it is written structurally (AND,
 * CASE …) or has that part as an argument of its site.
 *
 * Ownership, threads: see gen_sqlite.h */
#include "sql/gen_sqlite_int.h"

#include <inttypes.h>
#include <math.h>

#include "sql/bind_build.h"
#include "stream/func.h"

/* ---- scopes ---- */

static bool find_scoped(const struct tni_gen *gen, const struct tn_expr *expr,
                        const struct tni_gen_scope **ret_scope, uint32_t *ret_column)
{
    if (expr->kind == TN_E_CONST)
        return false;
    for (const struct tni_gen_scope *scope = gen->scope; scope; scope = scope->outer) {
        *ret_scope = scope;
        for (uint32_t i = 0; i < scope->groups_count; i++) {
            *ret_column = i;
            if (tn_expr_eq(scope->groups[i], expr))
                return true;
        }
        for (uint32_t i = 0; expr->kind == TN_E_AGG && i < scope->aggs_count; i++) {
            *ret_column = scope->groups_count + i;
            if (scope->aggs[i] == expr || tn_expr_eq(scope->aggs[i], expr))
                return true;
        }
    }
    return false;
}

void tni_gen_collect(struct tni_gen *gen, struct tni_gen_scope *scope, const struct tn_expr *expr)
{
    if (!expr)
        return;
    if (expr->kind == TN_E_AGG) {
        for (uint32_t i = 0; i < scope->aggs_count; i++)
            if (tn_expr_eq(scope->aggs[i], expr))
                return;
        if (scope->aggs_count == scope->aggs_cap)
            scope->aggs = tni_gen_grow(gen, scope->aggs, scope->aggs_count, &scope->aggs_cap,
                                       sizeof *scope->aggs);
        scope->aggs[scope->aggs_count++] = expr;
        return;
    }
    for (uint32_t i = 0; i < expr->args_count; i++)
        tni_gen_collect(gen, scope, expr->args[i]);
    tni_gen_collect(gen, scope, expr->filter);
    if (expr->kind != TN_E_WINDOW)
        return;
    const struct tn_window_spec *window = expr->sub;
    for (uint32_t i = 0; i < window->parts_count; i++)
        tni_gen_collect(gen, scope, window->parts[i]);
    for (uint32_t i = 0; i < window->sorts_count; i++)
        tni_gen_collect(gen, scope, window->sorts[i].expr);
}

/* ---- leaves ---- */

static bool is_complex(const struct tn_expr *expr)
{
    return expr->kind == TN_E_SUBQUERY || expr->kind == TN_E_WINDOW;
}

static bool is_leaf(const struct tni_gen *gen, const struct tn_expr *expr)
{
    const struct tni_gen_scope *scope;
    uint32_t column;
    if (expr->kind == TN_E_COLUMN)
        return expr->rel != TN_REL_LAMBDA;
    return expr->kind == TN_E_PSEUDO || is_complex(expr) || find_scoped(gen, expr, &scope, &column);
}

/* Does the tree hold a subquery or window function that no scope replaces? */
static bool has_complex(const struct tni_gen *gen, const struct tn_expr *expr)
{
    if (is_complex(expr))
        return true;
    if (is_leaf(gen, expr))
        return false;
    for (uint32_t i = 0; i < expr->args_count; i++)
        if (has_complex(gen, expr->args[i]))
            return true;
    return false;
}

static enum tn_status gen_column(struct tni_gen *gen, const struct tn_expr *expr,
                                 struct tni_rope *rope)
{
    TN_ASSERT(expr->rel >= 0 && expr->rel < gen->rels_count);
    struct tni_gen_rel *rel = &gen->rels[expr->rel];
    TN_ASSERT(rel->rel != NULL);
    int column = expr->column;
    if (expr->kind == TN_E_PSEUDO) {
        if (rel->rel->kind != TN_REL_TABLE)
            return tn_err_at(gen->err, TN_E_UNSUPPORTED, NULL, expr->line, expr->col,
                             "pseudo-column '%.*s' of a derived table", TN_STR_FMT(expr->name));
        column = tni_tscan_pseudo(rel->rel->object, (enum tn_pseudo)expr->column);
    }
    rel->used[column] = true;
    tni_rope_printf(gen, rope, "r%d.c%d", expr->rel, column);
    return TN_OK;
}

/* ---- literals ---- */

static void gen_bind(struct tni_gen *gen, const struct tn_value *value, struct tni_rope *rope)
{
    if (gen->binds_count == gen->binds_cap)
        gen->binds =
            tni_gen_grow(gen, gen->binds, gen->binds_count, &gen->binds_cap, sizeof *gen->binds);
    gen->binds[gen->binds_count++] = *value;
    tni_rope_printf(gen, rope, "?%" PRIu32, gen->binds_count);
}

/* Quotes doubled; SQLite knows no other escape. */
static void gen_text(struct tni_gen *gen, struct tn_str text, struct tni_rope *rope)
{
    char *to = tn_arena_alloc(gen->arena, 2 * text.len + 3);
    size_t len = 0;
    to[len++] = '\'';
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '\'')
            to[len++] = '\'';
        to[len++] = text.ptr[i];
    }
    to[len++] = '\'';
    to[len] = 0;
    tni_rope_text(gen, rope, to);
}

static void gen_const(struct tni_gen *gen, const struct tn_expr *expr, struct tni_rope *rope)
{
    struct tn_value value = expr->value;
    value.type = expr->type;
    if (value.is_null || value.type->kind == TN_K_NULL) {
        tni_rope_text(gen, rope, "NULL");
        return;
    }
    switch (value.type->kind) {
    case TN_K_BOOLEAN: tni_rope_text(gen, rope, value.b ? "1" : "0"); return;
    case TN_K_INTEGER:
    case TN_K_BIGINT:
    case TN_K_DATE:
    case TN_K_TIME:
    case TN_K_TIMESTAMP:
    case TN_K_TIMESTAMP_TZ:
    case TN_K_INTERVAL_DAY:
    case TN_K_INTERVAL_YEAR:
        if (value.i >= 0)
            tni_rope_printf(gen, rope, "%" PRId64, value.i);
        else
            gen_bind(gen, &value, rope);
        return;
    case TN_K_VARCHAR:
    case TN_K_JSON:
        if (!value.s.ptr)
            value.s = TN_STR("");
        if (value.s.len <= 10000 && !memchr(value.s.ptr, 0, value.s.len))
            gen_text(gen, value.s, rope);
        else
            gen_bind(gen, &value, rope);
        return;
    default: gen_bind(gen, &value, rope); return;
    }
}

/* ---- what SQLite computes as we do ---- */

static bool is_exact_kind(const struct tn_type *type)
{
    switch (type->kind) {
    case TN_K_DOUBLE:
    case TN_K_JSON:
    case TN_K_ARRAY:
    case TN_K_MAP:
    case TN_K_STRUCT:
    case TN_K_NULL:
    case TN_K_COUNT: return false;
    default: return true;
    }
}

/* Same representation: both 32- or 64-bit integers, or the same type. */
static bool is_same_kind(const struct tn_type *a, const struct tn_type *b)
{
    bool is_int_a = a->kind == TN_K_INTEGER || a->kind == TN_K_BIGINT;
    bool is_int_b = b->kind == TN_K_INTEGER || b->kind == TN_K_BIGINT;
    if (is_int_a || is_int_b)
        return is_int_a && is_int_b;
    if (a->kind == TN_K_DECIMAL && b->kind == TN_K_DECIMAL)
        return a->scale == b->scale && (a->precision > 18) == (b->precision > 18);
    return a->kind == b->kind;
}

/* SQL spelling of a comparison that is exact for exact kinds; NULL when it is none. */
static const char *compare_spelling(const struct tn_expr *expr)
{
    static const struct {
        const char *name, *spelling;
    } rows[] = {{"=", " = "},
                {"<>", " <> "},
                {"<", " < "},
                {"<=", " <= "},
                {">", " > "},
                {">=", " >= "},
                {"is_distinct", " IS NOT "},
                {"is_not_distinct", " IS "}};
    if (expr->kind != TN_E_CALL || expr->args_count != 2 || !(expr->func->flags & TN_FN_QUERY))
        return NULL;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(expr->func->name, rows[i].name) == 0)
            return rows[i].spelling;
    return NULL;
}

static bool is_null_test(const struct tn_expr *expr)
{
    return expr->kind == TN_E_CALL && expr->args_count == 1 &&
           (strcmp(expr->func->name, "is_null") == 0 ||
            strcmp(expr->func->name, "is_not_null") == 0);
}

/* INTEGER → BIGINT changes nothing in SQLite. */
static bool is_widening(const struct tn_expr *expr)
{
    return expr->kind == TN_E_CALL && strcmp(expr->func->name, "cast") == 0 &&
           expr->type->kind == TN_K_BIGINT && expr->args[0]->type->kind == TN_K_INTEGER;
}

/* Can this node, its operands aside, be written as SQL? */
static bool is_exact_node(const struct tn_expr *expr)
{
    switch (expr->kind) {
    case TN_E_AND:
    case TN_E_OR:
    case TN_E_NOT:
    case TN_E_CASE: return expr->rules == TN_RULES_QUERY;
    case TN_E_COALESCE: return true;
    case TN_E_IN:
        if (expr->rules != TN_RULES_QUERY || !is_exact_kind(expr->args[0]->type))
            return false;
        for (uint32_t i = 1; i < expr->args_count; i++)
            if (!is_same_kind(expr->args[0]->type, expr->args[i]->type))
                return false;
        return expr->args_count > 1;
    case TN_E_CALL:
        if (is_null_test(expr) || is_widening(expr))
            return true;
        return compare_spelling(expr) && is_exact_kind(expr->args[0]->type) &&
               is_same_kind(expr->args[0]->type, expr->args[1]->type);
    default: return false;
    }
}

bool tni_gen_is_exact(const struct tni_gen *gen, const struct tn_expr *expr)
{
    if (expr->kind == TN_E_CONST || is_leaf(gen, expr))
        return true;
    if (!is_exact_node(expr))
        return false;
    for (uint32_t i = 0; i < expr->args_count; i++)
        if (!tni_gen_is_exact(gen, expr->args[i]))
            return false;
    return true;
}

static enum tn_status gen_list(struct tni_gen *gen, struct tn_expr *const *exprs, uint32_t count,
                               const char *separator, struct tni_rope *rope)
{
    for (uint32_t i = 0; i < count; i++) {
        if (i)
            tni_rope_text(gen, rope, separator);
        TN_TRY(tni_gen_expr(gen, exprs[i], rope));
    }
    return TN_OK;
}

static enum tn_status gen_case(struct tni_gen *gen, const struct tn_expr *expr,
                               struct tni_rope *rope)
{
    uint32_t i = 0;
    tni_rope_text(gen, rope, "(CASE");
    for (; i + 1 < expr->args_count; i += 2) {
        tni_rope_text(gen, rope, " WHEN ");
        TN_TRY(tni_gen_expr(gen, expr->args[i], rope));
        tni_rope_text(gen, rope, " THEN ");
        TN_TRY(tni_gen_expr(gen, expr->args[i + 1], rope));
    }
    if (i < expr->args_count) {
        tni_rope_text(gen, rope, " ELSE ");
        TN_TRY(tni_gen_expr(gen, expr->args[i], rope));
    }
    tni_rope_text(gen, rope, " END)");
    return TN_OK;
}

/* An exact node, operands by tni_gen_expr. */
static enum tn_status gen_exact(struct tni_gen *gen, const struct tn_expr *expr,
                                struct tni_rope *rope)
{
    if (is_widening(expr) || (expr->kind == TN_E_COALESCE && expr->args_count == 1))
        return tni_gen_expr(gen, expr->args[0], rope);
    if (expr->kind == TN_E_CASE)
        return gen_case(gen, expr, rope);
    if (expr->kind == TN_E_COALESCE) {
        tni_rope_text(gen, rope, "coalesce(");
        TN_TRY(gen_list(gen, expr->args, expr->args_count, ", ", rope));
        tni_rope_text(gen, rope, ")");
        return TN_OK;
    }
    tni_rope_text(gen, rope, expr->kind == TN_E_NOT ? "(NOT " : "(");
    if (expr->kind == TN_E_IN) {
        TN_TRY(tni_gen_expr(gen, expr->args[0], rope));
        tni_rope_text(gen, rope, expr->is_flag ? " NOT IN (" : " IN (");
        TN_TRY(gen_list(gen, expr->args + 1, expr->args_count - 1, ", ", rope));
        tni_rope_text(gen, rope, ")");
    } else {
        const char *separator = expr->kind == TN_E_AND   ? " AND "
                                : expr->kind == TN_E_OR  ? " OR "
                                : expr->kind == TN_E_NOT ? ""
                                                         : compare_spelling(expr);
        TN_TRY(gen_list(gen, expr->args, expr->args_count, separator, rope));
        if (is_null_test(expr))
            tni_rope_text(gen, rope,
                          strcmp(expr->func->name, "is_null") == 0 ? " IS NULL" : " IS NOT NULL");
    }
    tni_rope_text(gen, rope, ")");
    return TN_OK;
}

/* ---- sites ---- */

struct cut {
    struct tni_gen *gen;
    uint32_t leaves_count, leaves_cap;
    const struct tn_expr **leaves;
};

static bool is_same_leaf(const struct tn_expr *a, const struct tn_expr *b)
{
    return a == b || (!is_complex(a) && !is_complex(b) && tn_expr_eq(a, b));
}

static struct tn_expr *cut_node(void *ctx, const struct tn_expr *expr, enum tn_status *ret_st)
{
    struct cut *cut = ctx;
    (void)ret_st;
    if (!is_leaf(cut->gen, expr))
        return NULL;
    uint32_t at = 0;
    while (at < cut->leaves_count && !is_same_leaf(cut->leaves[at], expr))
        at++;
    if (at == cut->leaves_count) {
        if (cut->leaves_count == cut->leaves_cap)
            cut->leaves = tni_gen_grow(cut->gen, cut->leaves, cut->leaves_count, &cut->leaves_cap,
                                       sizeof *cut->leaves);
        cut->leaves[cut->leaves_count++] = expr;
    }
    return tni_expr_column(cut->gen->arena, at, expr->type, expr);
}

static uint32_t add_site(struct tni_gen *gen, const struct tn_expr *expr, const struct cut *cut)
{
    bool is_volatile = tni_expr_is_volatile(expr);
    for (uint32_t i = 0; i < gen->sites_count && !is_volatile; i++)
        if (gen->sites[i].args_count == cut->leaves_count && tn_expr_eq(gen->sites[i].expr, expr))
            return i;
    if (gen->sites_count == gen->sites_cap)
        gen->sites =
            tni_gen_grow(gen, gen->sites, gen->sites_count, &gen->sites_cap, sizeof *gen->sites);
    struct tni_site *site = &gen->sites[gen->sites_count];
    *site = (struct tni_site){
        .expr = expr, .is_volatile = is_volatile, .args_count = cut->leaves_count};
    site->arg_types =
        TN_ARENA_ARRAY(gen->arena, const struct tn_type *, (size_t)cut->leaves_count + 1);
    for (uint32_t i = 0; i < cut->leaves_count; i++)
        site->arg_types[i] = cut->leaves[i]->type;
    return gen->sites_count++;
}

static enum tn_status gen_site(struct tni_gen *gen, const struct tn_expr *expr,
                               struct tni_rope *rope)
{
    struct cut cut = {.gen = gen};
    struct tn_expr *inner;
    TN_TRY(tni_expr_map(expr, cut_node, &cut, gen->arena, &inner));
    if (cut.leaves_count > TNI_GEN_ARGS_MAX)
        return tn_err_at(gen->err, TN_E_LIMIT, "EXCEEDED_FUNCTION_ARGUMENTS", expr->line, expr->col,
                         "expression reads more than %d columns", TNI_GEN_ARGS_MAX);
    uint32_t site = add_site(gen, inner, &cut);
    tni_rope_printf(gen, rope, "%c%" PRIu32 "(", gen->sites[site].is_volatile ? 'x' : 'f', site);
    for (uint32_t i = 0; i < cut.leaves_count; i++) {
        if (i)
            tni_rope_text(gen, rope, ", ");
        TN_TRY(tni_gen_expr(gen, cut.leaves[i], rope));
    }
    tni_rope_text(gen, rope, ")");
    return TN_OK;
}

/* ---- aggregates and windows ---- */

static bool is_count(const struct tn_expr *expr)
{
    return strcmp(expr->agg->name, "count") == 0 && expr->args_count <= 1;
}

static enum tn_status gen_agg_call(struct tni_gen *gen, const struct tn_expr *expr, bool is_moving,
                                   struct tni_rope *rope)
{
    struct tn_agg_call call;
    TN_TRY(tni_agg_call(expr, gen->arena, &call, gen->err));
    if (call.is_distinct && call.args_count != 1)
        return tn_err_at(gen->err, TN_E_UNSUPPORTED, NULL, expr->line, expr->col,
                         "DISTINCT with several arguments in %s", expr->agg->name);
    if (is_count(expr)) {
        tni_rope_text(gen, rope, "count(");
    } else {
        if (gen->aggs_count == gen->aggs_cap)
            gen->aggs =
                tni_gen_grow(gen, gen->aggs, gen->aggs_count, &gen->aggs_cap, sizeof *gen->aggs);
        tni_rope_printf(gen, rope, "a%" PRIu32 "(", gen->aggs_count);
        struct tni_agg_site *site = &gen->aggs[gen->aggs_count++];
        *site = (struct tni_agg_site){.expr = expr, .call = call, .is_moving = is_moving};
        site->call.is_distinct = false;
    }
    if (call.is_distinct)
        tni_rope_text(gen, rope, "DISTINCT ");
    if (is_count(expr) && call.args_count == 0)
        tni_rope_text(gen, rope, "*");
    TN_TRY(gen_list(gen, expr->args, call.args_count, ", ", rope));
    tni_rope_text(gen, rope, ")");
    if (expr->filter) {
        tni_rope_text(gen, rope, " FILTER (WHERE ");
        TN_TRY(tni_gen_expr(gen, expr->filter, rope));
        tni_rope_text(gen, rope, ")");
    }
    return TN_OK;
}

enum tn_status tni_gen_agg(struct tni_gen *gen, const struct tn_expr *expr, struct tni_rope *rope)
{
    return gen_agg_call(gen, expr, false, rope);
}

void tni_gen_direction(struct tni_gen *gen, const struct tn_sort_item *sort, struct tni_rope *rope)
{
    if (sort->is_desc)
        tni_rope_text(gen, rope, sort->is_nulls_first ? " DESC NULLS FIRST" : " DESC");
    else if (!sort->is_nulls_first)
        tni_rope_text(gen, rope, " NULLS LAST");
}

static enum tn_status gen_bound(struct tni_gen *gen, enum tn_frame_bound bound,
                                const struct tn_expr *offset, struct tni_rope *rope)
{
    static const char *const spellings[] = {
        [TN_BOUND_UNBOUNDED_PRECEDING] = "UNBOUNDED PRECEDING",
        [TN_BOUND_PRECEDING] = " PRECEDING",
        [TN_BOUND_CURRENT_ROW] = "CURRENT ROW",
        [TN_BOUND_FOLLOWING] = " FOLLOWING",
        [TN_BOUND_UNBOUNDED_FOLLOWING] = "UNBOUNDED FOLLOWING",
    };
    if (bound == TN_BOUND_PRECEDING || bound == TN_BOUND_FOLLOWING)
        TN_TRY(tni_gen_expr(gen, offset, rope));
    tni_rope_text(gen, rope, spellings[bound]);
    return TN_OK;
}

static enum tn_status gen_frame(struct tni_gen *gen, const struct tn_expr *expr,
                                const struct tn_window_spec *window, struct tni_rope *rope)
{
    static const char *const units[] = {"", " ROWS BETWEEN ", " RANGE BETWEEN ",
                                        " GROUPS BETWEEN "};
    if (window->unit == TN_FRAME_DEFAULT)
        return TN_OK;
    if (window->unit == TN_FRAME_RANGE && (window->start_offset || window->end_offset)) {
        enum tn_kind kind =
            window->sorts_count == 1 ? window->sorts[0].expr->type->kind : TN_K_NULL;
        if (kind != TN_K_INTEGER && kind != TN_K_BIGINT)
            return tn_err_at(gen->err, TN_E_UNSUPPORTED, NULL, expr->line, expr->col,
                             "RANGE with an offset needs one integer ORDER BY column");
    }
    tni_rope_text(gen, rope, units[window->unit]);
    TN_TRY(gen_bound(gen, window->start, window->start_offset, rope));
    tni_rope_text(gen, rope, " AND ");
    return gen_bound(gen, window->end, window->end_offset, rope);
}

static enum tn_status gen_window(struct tni_gen *gen, const struct tn_expr *expr,
                                 struct tni_rope *rope)
{
    const struct tn_window_spec *window = expr->sub;
    if (expr->agg) {
        bool is_moving =
            window->unit != TN_FRAME_DEFAULT && window->start != TN_BOUND_UNBOUNDED_PRECEDING;
        TN_TRY(gen_agg_call(gen, expr, is_moving, rope));
    } else {
        tni_rope_printf(gen, rope, "%.*s(", TN_STR_FMT(expr->name));
        TN_TRY(gen_list(gen, expr->args, expr->args_count, ", ", rope));
        tni_rope_text(gen, rope, ")");
    }
    tni_rope_text(gen, rope, " OVER (");
    if (window->parts_count) {
        tni_rope_text(gen, rope, "PARTITION BY ");
        TN_TRY(gen_list(gen, window->parts, window->parts_count, ", ", rope));
    }
    for (uint32_t i = 0; i < window->sorts_count; i++) {
        tni_rope_text(gen, rope, i ? ", " : " ORDER BY ");
        TN_TRY(tni_gen_expr(gen, window->sorts[i].expr, rope));
        tni_gen_direction(gen, &window->sorts[i], rope);
    }
    TN_TRY(gen_frame(gen, expr, window, rope));
    tni_rope_text(gen, rope, ")");
    return TN_OK;
}

/* ---- subqueries ---- */

/* At most one row for certain: aggregates without GROUP BY. */
static bool is_single(const struct tn_query *query)
{
    return query->op == TN_SET_NONE && query->select->is_grouped &&
           query->select->groups_count == 0;
}

static enum tn_status gen_subquery(struct tni_gen *gen, const struct tn_expr *expr,
                                   struct tni_rope *rope)
{
    const struct tn_subquery *sub = expr->sub;
    switch (sub->kind) {
    case TN_SUB_EXISTS:
        tni_rope_text(gen, rope, sub->is_not ? "(NOT EXISTS (" : "(EXISTS (");
        TN_TRY(tni_gen_derived(gen, sub->query, NULL, rope));
        tni_rope_text(gen, rope, "))");
        return TN_OK;
    case TN_SUB_IN:
        tni_rope_text(gen, rope, expr->args_count > 1 ? "((" : "(");
        TN_TRY(gen_list(gen, expr->args, expr->args_count, ", ", rope));
        tni_rope_text(gen, rope, expr->args_count > 1 ? ")" : "");
        tni_rope_text(gen, rope, sub->is_not ? " NOT IN (" : " IN (");
        TN_TRY(tni_gen_derived(gen, sub->query, NULL, rope));
        tni_rope_text(gen, rope, "))");
        return TN_OK;
    case TN_SUB_SCALAR:
        tni_rope_text(gen, rope, is_single(sub->query) ? "(" : "(SELECT single(c0) FROM (");
        TN_TRY(tni_gen_derived(gen, sub->query, NULL, rope));
        tni_rope_text(gen, rope, is_single(sub->query) ? ")" : "))");
        return TN_OK;
    }
    return TN_E_INTERNAL;
}

/* ---- expressions ---- */

static enum tn_status gen_leaf(struct tni_gen *gen, const struct tn_expr *expr,
                               struct tni_rope *rope)
{
    const struct tni_gen_scope *scope;
    uint32_t column;
    if (find_scoped(gen, expr, &scope, &column)) {
        tni_rope_printf(gen, rope, "q%d.c%" PRIu32, scope->number, column);
        return TN_OK;
    }
    if (expr->kind == TN_E_SUBQUERY)
        return gen_subquery(gen, expr, rope);
    if (expr->kind == TN_E_WINDOW)
        return gen_window(gen, expr, rope);
    return gen_column(gen, expr, rope);
}

enum tn_status tni_gen_expr(struct tni_gen *gen, const struct tn_expr *expr, struct tni_rope *rope)
{
    enum tn_status st;
    TN_TRY(tni_gen_enter(gen));
    if (expr->kind == TN_E_CONST) {
        gen_const(gen, expr, rope);
        st = TN_OK;
    } else if (is_leaf(gen, expr)) {
        st = gen_leaf(gen, expr, rope);
    } else if (tni_gen_is_exact(gen, expr) || (has_complex(gen, expr) && is_exact_node(expr))) {
        st = gen_exact(gen, expr, rope);
    } else if (expr->kind == TN_E_TRY && has_complex(gen, expr)) {
        st = tn_err_at(gen->err, TN_E_UNSUPPORTED, NULL, expr->line, expr->col,
                       "TRY around a subquery or window function");
    } else {
        st = gen_site(gen, expr, rope);
    }
    tni_gen_leave(gen);
    return st;
}

/* a = b of DOUBLEs: SQLite's equality holds for every pair that ours holds for (not the other way:
 * NaN), so it may stand in front to let the planner use a hash. */
static bool is_double_equality(const struct tn_expr *expr)
{
    const char *spelling = compare_spelling(expr);
    return spelling && strcmp(spelling, " = ") == 0 && expr->args[0]->type->kind == TN_K_DOUBLE &&
           expr->args[1]->type->kind == TN_K_DOUBLE;
}

enum tn_status tni_gen_cond(struct tni_gen *gen, const struct tn_expr *expr, struct tni_rope *rope)
{
    if (expr->kind == TN_E_AND && expr->rules == TN_RULES_QUERY) {
        for (uint32_t i = 0; i < expr->args_count; i++) {
            if (i)
                tni_rope_text(gen, rope, " AND ");
            TN_TRY(tni_gen_cond(gen, expr->args[i], rope));
        }
        return TN_OK;
    }
    if (is_double_equality(expr)) {
        TN_TRY(tni_gen_expr(gen, expr->args[0], rope));
        tni_rope_text(gen, rope, " = ");
        TN_TRY(tni_gen_expr(gen, expr->args[1], rope));
        tni_rope_text(gen, rope, " AND ");
    }
    return tni_gen_expr(gen, expr, rope);
}
