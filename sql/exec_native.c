/* Planner of the native executor: a bound query becomes a tree of operators, or is refused with the
 * reason.
 *
 * SHAPE (sql/README.md "Native"). Every FROM is a single relation: a table, VALUES, nothing, or a
 * derived table (recursively). Plain derived tables are flattened, so predicates reach the scan;
 * others are run as they stand. UNION [ALL] is a concatenation. Refused: joins, subqueries in
 * expressions, window functions, correlated references, INTERSECT and EXCEPT.
 *
 * A grouped select is lowered in two steps: compute(groups, arguments, filters) → aggregate →
 * compute(items), where each part of an item that equals a group or an aggregate has become a
 * column of the aggregate's output.
 *
 * Ownership: see exec_op.h. @thread one statement, one thread */
#include "sql/bind_build.h"
#include "sql/members_partial.h"

#define QUERY_DEPTH_MAX 100

/* One FROM: rows of an operator or of a scan yet to be made, and what the relation's columns mean
 * over them. */
struct source {
    int rel;
    const struct tn_schema *schema; /* of the rows */
    struct tni_op *op;              /* owned; NULL = scan of object */
    const struct tn_object *object;
    struct tn_expr *where; /* of flattened relations, over the rows */
    uint32_t items_count;
    struct tn_expr **items; /* flattened: meaning of each column; NULL = the row's column */
};

struct planner {
    struct tni_exec_ctx *ctx;
    struct tn_arena *arena;
    const char *why;
    struct tn_err *err;
    int depth;
};

/* A list of output expressions with room for hidden sort columns. */
struct output {
    uint32_t items_count, count;
    struct tn_expr **exprs;
    struct tn_field *fields;
    struct tni_sort_key *keys;
};

static enum tn_status plan_query(struct planner *pl, const struct tn_query *query,
                                 struct tni_op **ret_op);

static enum tn_status refuse(struct planner *pl, const char *why)
{
    pl->why = why;
    return TN_E_UNSUPPORTED;
}

/* ---- names → columns of the rows ---- */

struct map_ctx {
    struct planner *pl;
    const struct source *source;
};

static struct tn_expr *map_node(void *ctx, const struct tn_expr *expr, enum tn_status *ret_st)
{
    struct map_ctx *map = ctx;
    const struct source *source = map->source;
    if (expr->kind == TN_E_WINDOW || expr->kind == TN_E_SUBQUERY) {
        *ret_st = refuse(map->pl, expr->kind == TN_E_WINDOW ? "window function" : "subquery");
        return NULL;
    }
    if ((expr->kind != TN_E_COLUMN && expr->kind != TN_E_PSEUDO) || expr->rel == TN_REL_LAMBDA)
        return NULL;
    if (expr->rel != source->rel) {
        *ret_st = refuse(map->pl, "correlated reference");
        return NULL;
    }
    uint32_t column = (uint32_t)expr->column;
    if (expr->kind == TN_E_PSEUDO) {
        TN_ASSERT(source->object != NULL);
        column = (uint32_t)tni_tscan_pseudo(source->object, (enum tn_pseudo)expr->column);
    } else if (source->items) {
        TN_ASSERT(column < source->items_count);
        return source->items[column];
    }
    TN_ASSERT(column < source->schema->fields_count);
    return tni_expr_column(map->pl->arena, column, expr->type, expr);
}

/* NULL stays NULL. */
static enum tn_status map_expr(struct planner *pl, const struct source *source,
                               const struct tn_expr *expr, struct tn_expr **ret_expr)
{
    struct map_ctx map = {pl, source};
    *ret_expr = NULL;
    return expr ? tni_expr_map(expr, map_node, &map, pl->arena, ret_expr) : TN_OK;
}

static struct tn_expr *new_node(struct planner *pl, enum tn_expr_kind kind, struct tn_expr *a,
                                struct tn_expr *b)
{
    struct tn_expr *expr = TN_ARENA_NEW(pl->arena, struct tn_expr);
    *expr = (struct tn_expr){.kind = kind,
                             .type = b->type,
                             .line = b->line,
                             .col = b->col,
                             .rules = TN_RULES_QUERY,
                             .args_count = 2};
    expr->args = TN_ARENA_ARRAY(pl->arena, struct tn_expr *, 2);
    expr->args[0] = a;
    expr->args[1] = b;
    return expr;
}

/* Rows that pass `first`, then `second`: the second is not evaluated for the others, so it cannot
 * fail for them. */
static struct tn_expr *both(struct planner *pl, struct tn_expr *first, struct tn_expr *second)
{
    if (!first || !second)
        return first ? first : second;
    return new_node(pl, TN_E_CASE, first, second);
}

/* A condition with a term that is never true is that term: the others are not evaluated. */
static const struct tn_expr *never_true(const struct tn_expr *where)
{
    if (where->kind == TN_E_CONST && (where->value.is_null || !where->value.b))
        return where;
    const struct tn_expr *found = NULL;
    for (uint32_t i = 0; where->kind == TN_E_AND && i < where->args_count && !found; i++)
        found = never_true(where->args[i]);
    return found;
}

/* WHERE of a select over the rows of its source. */
static enum tn_status map_where(struct planner *pl, const struct source *source,
                                const struct tn_expr *where, struct tn_expr **ret_where)
{
    const struct tn_expr *never = where ? never_true(where) : NULL;
    return map_expr(pl, source, never ? never : where, ret_where);
}

/* ---- FROM ---- */

/* A derived table that only filters and computes: its items can stand where its columns are named.
 * An ORDER BY without LIMIT in a derived table means nothing. */
static bool can_flatten(const struct tn_query *query)
{
    const struct tn_select *select = query->select;
    if (query->op != TN_SET_NONE || query->limit >= 0 || query->offset > 0 || select->is_distinct ||
        select->is_grouped || select->from->kind == TN_REL_JOIN)
        return false;
    for (uint32_t i = 0; i < select->items_count; i++)
        if (tni_expr_is_volatile(select->items[i].expr))
            return false;
    return true;
}

static enum tn_status plan_source(struct planner *pl, const struct tn_rel *rel,
                                  struct source *ret_source);

static enum tn_status flatten(struct planner *pl, const struct tn_rel *rel,
                              struct source *ret_source)
{
    const struct tn_select *select = rel->query->select;
    struct source inner;
    struct tn_expr *where, **items;
    TN_TRY(plan_source(pl, select->from, &inner));
    enum tn_status st = TN_OK;
    TN_GOTO(map_where(pl, &inner, select->where, &where));
    items = TN_ARENA_ARRAY(pl->arena, struct tn_expr *, select->items_count + 1);
    for (uint32_t i = 0; i < select->items_count; i++)
        TN_GOTO(map_expr(pl, &inner, select->items[i].expr, &items[i]));
    *ret_source = inner;
    ret_source->rel = rel->number;
    ret_source->where = both(pl, inner.where, where);
    ret_source->items = items;
    ret_source->items_count = select->items_count;
    return TN_OK;
fail:
    tni_op_close(inner.op);
    return st;
}

static enum tn_status plan_source(struct planner *pl, const struct tn_rel *rel,
                                  struct source *ret_source)
{
    static const struct tn_schema none = {0, NULL};
    enum tn_status st;
    *ret_source = (struct source){.rel = rel->number, .schema = rel->schema};
    switch (rel->kind) {
    case TN_REL_TABLE:
        if (rel->object->kind == TN_OBJ_VIEW)
            return refuse(pl, "view that was not expanded");
        ret_source->object = rel->object;
        ret_source->schema = tni_tscan_schema(rel->object, pl->arena);
        return TN_OK;
    case TN_REL_QUERY:
        if (++pl->depth > QUERY_DEPTH_MAX)
            return refuse(pl, "derived tables nested too deep");
        st = can_flatten(rel->query) ? flatten(pl, rel, ret_source)
                                     : plan_query(pl, rel->query, &ret_source->op);
        pl->depth--;
        return st;
    case TN_REL_VALUES:
        return tni_op_values(pl->ctx, rel->schema, rel->rows_count, rel->rows, &ret_source->op,
                             pl->err);
    case TN_REL_NONE:
        ret_source->schema = &none;
        return tni_op_values(pl->ctx, &none, 1, NULL, &ret_source->op, pl->err);
    case TN_REL_JOIN: return refuse(pl, "join");
    }
    return refuse(pl, "unknown relation");
}

/* The operator of a source whose rows `where` and `exprs` read: makes the scan, with its predicates
 * and columns. */
static struct tni_op *source_op(struct planner *pl, const struct source *source,
                                const struct tn_expr *where, struct tn_expr *const *exprs,
                                uint32_t exprs_count)
{
    if (source->op)
        return source->op;
    bool *needed = TN_ARENA_ARRAY(pl->arena, bool, source->schema->fields_count);
    if (where)
        tn_expr_columns(where, 0, needed);
    for (uint32_t i = 0; i < exprs_count; i++)
        tn_expr_columns(exprs[i], 0, needed);
    struct tni_tscan_spec *spec = TN_ARENA_NEW(pl->arena, struct tni_tscan_spec);
    spec->object = source->object;
    spec->needed = needed;
    struct tni_pred *preds = NULL;
    if (!pl->ctx->is_pushdown_off)
        tni_preds_of(where, 0, source->object, pl->arena, &preds, &spec->preds_count);
    spec->preds = preds;
    return tni_op_scan(pl->ctx, spec);
}

/* ---- output columns ---- */

static void output_init(struct planner *pl, const struct tn_query *query, struct output *out)
{
    uint32_t count = query->schema->fields_count;
    uint32_t room = count + query->sorts_count + 1;
    *out = (struct output){.items_count = count, .count = count};
    out->exprs = TN_ARENA_ARRAY(pl->arena, struct tn_expr *, room);
    out->fields = TN_ARENA_ARRAY(pl->arena, struct tn_field, room);
    out->keys = TN_ARENA_ARRAY(pl->arena, struct tni_sort_key, query->sorts_count + 1);
    if (count)
        memcpy(out->fields, query->schema->fields, count * sizeof *out->fields);
}

/* Column that sort item `i` orders by; `expr` is its rewritten expression. */
static enum tn_status output_sort(struct planner *pl, const struct tn_query *query, uint32_t i,
                                  struct tn_expr *expr, struct output *out)
{
    const struct tn_sort_item *sort = &query->sorts[i];
    struct tni_sort_key *key = &out->keys[i];
    *key = (struct tni_sort_key){.is_desc = sort->is_desc, .is_nulls_first = sort->is_nulls_first};
    if (!expr) {
        TN_ASSERT(sort->output >= 0 && (uint32_t)sort->output < out->items_count);
        key->column = (uint32_t)sort->output;
        return TN_OK;
    }
    for (key->column = 0; key->column < out->count; key->column++)
        if (tn_expr_eq(out->exprs[key->column], expr))
            return TN_OK;
    if (query->select->is_distinct)
        return tn_err_at(pl->err, TN_E_INVALID, "EXPRESSION_NOT_IN_DISTINCT", expr->line, expr->col,
                         "for SELECT DISTINCT, ORDER BY expressions must appear in select list");
    out->exprs[out->count] = expr;
    out->fields[out->count] = (struct tn_field){TN_STR("sort"), expr->type};
    out->count++;
    return TN_OK;
}

static const struct tn_schema *new_schema(struct planner *pl, const struct tn_field *fields,
                                          uint32_t count)
{
    struct tn_schema *schema = TN_ARENA_NEW(pl->arena, struct tn_schema);
    *schema = (struct tn_schema){count, fields};
    return schema;
}

/* DISTINCT, ORDER BY, LIMIT over an operator whose first columns are the query's; takes it over. */
static struct tni_op *finish(const struct tn_query *query, bool is_distinct,
                             const struct tni_sort_key *keys, struct tni_op *op)
{
    uint32_t count = query->schema->fields_count;
    if (is_distinct)
        op = tni_op_distinct(op, count);
    if (query->sorts_count) {
        int64_t rows_max = INT64_MAX;
        if (query->limit >= 0 && query->limit < INT64_MAX - query->offset)
            rows_max = query->limit + query->offset;
        op = tni_op_sort(op, query->sorts_count, keys, rows_max);
    }
    if (op->schema->fields_count > count)
        op = tni_op_rename(op, query->schema);
    if (query->limit >= 0 || query->offset > 0)
        op = tni_op_limit(op, query->limit, query->offset);
    return op;
}

/* ---- SELECT without groups ---- */

static enum tn_status plan_plain(struct planner *pl, const struct tn_query *query,
                                 struct source *source, struct tn_expr *where,
                                 struct tni_op **ret_op)
{
    const struct tn_select *select = query->select;
    struct output out;
    output_init(pl, query, &out);
    for (uint32_t i = 0; i < select->items_count; i++)
        TN_TRY(map_expr(pl, source, select->items[i].expr, &out.exprs[i]));
    for (uint32_t i = 0; i < query->sorts_count; i++) {
        struct tn_expr *expr;
        bool is_output = query->sorts[i].output >= 0;
        TN_TRY(map_expr(pl, source, is_output ? NULL : query->sorts[i].expr, &expr));
        TN_TRY(output_sort(pl, query, i, expr, &out));
    }
    struct tni_op *op = source_op(pl, source, where, out.exprs, out.count);
    source->op = NULL; /* handed over */
    TN_TRY(
        tni_op_compute(op, where, new_schema(pl, out.fields, out.count), out.exprs, &op, pl->err));
    *ret_op = finish(query, select->is_distinct, out.keys, op);
    return TN_OK;
}

/* ---- SELECT with groups ---- */

struct grouped {
    struct planner *pl;
    uint32_t groups_count;
    struct tn_expr **groups; /* over the source's rows */
    uint32_t aggs_count, aggs_cap;
    struct tn_expr **aggs; /* TN_E_AGG nodes, each once */
};

static uint32_t find_agg(struct grouped *gr, const struct tn_expr *expr)
{
    uint32_t i = 0;
    while (i < gr->aggs_count && !tn_expr_eq(gr->aggs[i], expr))
        i++;
    return i;
}

/* Rewrites an expression over the source's rows into one over the aggregate's output. */
static struct tn_expr *group_node(void *ctx, const struct tn_expr *expr, enum tn_status *ret_st)
{
    struct grouped *gr = ctx;
    for (uint32_t i = 0; i < gr->groups_count; i++)
        if (tn_expr_eq(gr->groups[i], expr))
            return tni_expr_column(gr->pl->arena, i, expr->type, expr);
    if (expr->kind == TN_E_AGG) {
        uint32_t i = find_agg(gr, expr);
        if (i == gr->aggs_count) {
            if (gr->aggs_count == gr->aggs_cap) {
                struct tn_expr **old = gr->aggs;
                gr->aggs_cap = gr->aggs_cap ? gr->aggs_cap * 2 : 8;
                gr->aggs = TN_ARENA_ARRAY(gr->pl->arena, struct tn_expr *, gr->aggs_cap);
                if (old)
                    memcpy(gr->aggs, old, gr->aggs_count * sizeof *old);
            }
            struct tn_expr *copy = TN_ARENA_NEW(gr->pl->arena, struct tn_expr);
            *copy = *expr;
            gr->aggs[gr->aggs_count++] = copy;
        }
        return tni_expr_column(gr->pl->arena, gr->groups_count + i, expr->type, expr);
    }
    if (expr->kind == TN_E_COLUMN && expr->rel != TN_REL_LAMBDA)
        *ret_st =
            tn_err_at(gr->pl->err, TN_E_INVALID, "EXPRESSION_NOT_AGGREGATE", expr->line, expr->col,
                      "'%.*s' must be an aggregate expression or appear in GROUP BY clause",
                      TN_STR_FMT(expr->name));
    return NULL;
}

/* Over the source's rows, then over the aggregate's output; NULL stays NULL. */
static enum tn_status group_expr(struct grouped *gr, const struct source *source,
                                 const struct tn_expr *expr, struct tn_expr **ret_expr)
{
    struct tn_expr *mapped;
    *ret_expr = NULL;
    TN_TRY(map_expr(gr->pl, source, expr, &mapped));
    return mapped ? tni_expr_map(mapped, group_node, gr, gr->pl->arena, ret_expr) : TN_OK;
}

/* An argument is not evaluated for rows that FILTER leaves out: CASE WHEN filter THEN argument END.
 */
static struct tn_expr *filtered_argument(struct planner *pl, const struct tn_expr *agg,
                                         struct tn_expr *arg)
{
    if (!agg->filter || arg->kind == TN_E_COLUMN || arg->kind == TN_E_CONST)
        return arg;
    return new_node(pl, TN_E_CASE, agg->filter, arg);
}

/* compute(groups, arguments, filters) → aggregate. */
static enum tn_status plan_aggregate(struct grouped *gr, struct source *source,
                                     struct tn_expr *where, struct tni_op **ret_op)
{
    struct planner *pl = gr->pl;
    uint32_t room = gr->groups_count + 1, count = gr->groups_count;
    for (uint32_t a = 0; a < gr->aggs_count; a++)
        room += gr->aggs[a]->args_count + 1;
    struct tn_expr **exprs = TN_ARENA_ARRAY(pl->arena, struct tn_expr *, room);
    struct tn_field *in = TN_ARENA_ARRAY(pl->arena, struct tn_field, room);
    struct tn_field *out =
        TN_ARENA_ARRAY(pl->arena, struct tn_field, gr->groups_count + gr->aggs_count + 1);
    struct tni_agg_spec *specs = TN_ARENA_ARRAY(pl->arena, struct tni_agg_spec, gr->aggs_count + 1);
    for (uint32_t i = 0; i < gr->groups_count; i++) {
        exprs[i] = gr->groups[i];
        out[i] = (struct tn_field){gr->groups[i]->name, gr->groups[i]->type};
    }
    for (uint32_t a = 0; a < gr->aggs_count; a++) {
        const struct tn_expr *agg = gr->aggs[a];
        TN_TRY(tni_agg_call(agg, pl->arena, &specs[a].call, pl->err));
        for (uint32_t i = 0; i < specs[a].call.args_count; i++)
            exprs[count++] = filtered_argument(pl, agg, agg->args[i]);
        specs[a].has_filter = agg->filter != NULL;
        if (agg->filter)
            exprs[count++] = agg->filter;
        out[gr->groups_count + a] =
            (struct tn_field){tn_str_of(agg->agg->name), specs[a].call.type};
    }
    for (uint32_t i = 0; i < count; i++)
        in[i] = (struct tn_field){exprs[i]->name, exprs[i]->type};
    bool is_scan = !source->op;
    struct tni_op *op = source_op(pl, source, where, exprs, count), *scan = op;
    source->op = NULL; /* handed over */
    const struct tni_partial *partial =
        is_scan ? tni_partial_plan(pl->ctx, tni_op_scan_spec(op), where, gr->groups_count, exprs,
                                   gr->aggs_count, specs)
                : NULL;
    if (partial)
        tni_op_scan_partial(scan, partial);
    TN_TRY(tni_op_compute(op, where, new_schema(pl, in, count), exprs, &op, pl->err));
    *ret_op = tni_op_group(op, new_schema(pl, out, gr->groups_count + gr->aggs_count),
                           gr->groups_count, gr->aggs_count, specs, partial ? scan : NULL);
    return TN_OK;
}

static enum tn_status plan_grouped(struct planner *pl, const struct tn_query *query,
                                   struct source *source, struct tn_expr *where,
                                   struct tni_op **ret_op)
{
    const struct tn_select *select = query->select;
    struct grouped gr = {.pl = pl, .groups_count = select->groups_count};
    struct output out;
    struct tn_expr *having;
    output_init(pl, query, &out);
    gr.groups = TN_ARENA_ARRAY(pl->arena, struct tn_expr *, gr.groups_count + 1);
    for (uint32_t i = 0; i < gr.groups_count; i++)
        TN_TRY(map_expr(pl, source, select->groups[i], &gr.groups[i]));
    for (uint32_t i = 0; i < select->items_count; i++)
        TN_TRY(group_expr(&gr, source, select->items[i].expr, &out.exprs[i]));
    TN_TRY(group_expr(&gr, source, select->having, &having));
    for (uint32_t i = 0; i < query->sorts_count; i++) {
        struct tn_expr *expr;
        bool is_output = query->sorts[i].output >= 0;
        TN_TRY(group_expr(&gr, source, is_output ? NULL : query->sorts[i].expr, &expr));
        TN_TRY(output_sort(pl, query, i, expr, &out));
    }
    struct tni_op *op;
    TN_TRY(plan_aggregate(&gr, source, where, &op));
    TN_TRY(
        tni_op_compute(op, having, new_schema(pl, out.fields, out.count), out.exprs, &op, pl->err));
    *ret_op = finish(query, select->is_distinct, out.keys, op);
    return TN_OK;
}

/* ---- queries ---- */

static enum tn_status plan_set(struct planner *pl, const struct tn_query *query,
                               struct tni_op **ret_op)
{
    if (query->op != TN_SET_UNION_ALL && query->op != TN_SET_UNION)
        return refuse(pl, "INTERSECT or EXCEPT");
    struct tni_op *left, *right;
    if (++pl->depth > QUERY_DEPTH_MAX)
        return refuse(pl, "set operations nested too deep");
    TN_TRY(plan_query(pl, query->left, &left));
    enum tn_status st = plan_query(pl, query->right, &right);
    if (tn_failed(st)) {
        tni_op_close(left);
        return st;
    }
    pl->depth--;
    struct tni_op *op = tni_op_union(left, right, query->schema);
    struct tni_sort_key *keys =
        TN_ARENA_ARRAY(pl->arena, struct tni_sort_key, query->sorts_count + 1);
    for (uint32_t i = 0; i < query->sorts_count; i++) {
        const struct tn_sort_item *sort = &query->sorts[i];
        int column = sort->output;
        if (column < 0) {
            tni_op_close(op);
            return refuse(pl, "ORDER BY expression over a set operation");
        }
        keys[i] = (struct tni_sort_key){(uint32_t)column, sort->is_desc, sort->is_nulls_first};
    }
    *ret_op = finish(query, query->op == TN_SET_UNION, keys, op);
    return TN_OK;
}

static enum tn_status plan_query(struct planner *pl, const struct tn_query *query,
                                 struct tni_op **ret_op)
{
    if (query->op != TN_SET_NONE)
        return plan_set(pl, query, ret_op);
    struct source source;
    struct tn_expr *where;
    TN_TRY(plan_source(pl, query->select->from, &source));
    enum tn_status st = TN_OK;
    TN_GOTO(map_where(pl, &source, query->select->where, &where));
    where = both(pl, source.where, where);
    if (query->select->is_grouped)
        TN_GOTO(plan_grouped(pl, query, &source, where, ret_op));
    else
        TN_GOTO(plan_plain(pl, query, &source, where, ret_op));
    return TN_OK;
fail:
    tni_op_close(source.op);
    return st;
}

enum tn_status tni_native_plan(struct tni_exec_ctx *ctx, const struct tn_query *query,
                               struct tni_op **ret_op, const char **ret_why, struct tn_err *err)
{
    struct planner pl = {.ctx = ctx, .arena = ctx->arena, .err = err};
    enum tn_status st = plan_query(&pl, query, ret_op);
    *ret_why = pl.why;
    return st;
}
