/* The catalog objects a bound query reads, each table reference once. */
#include "sql/db_int.h"

struct walk {
    void (*each)(void *ctx, const struct tn_object *object);
    void *ctx;
};

static void walk_query(const struct walk *walk, const struct tn_query *query);

static void walk_expr(const struct walk *walk, const struct tn_expr *expr)
{
    if (!expr)
        return;
    for (uint32_t i = 0; i < expr->args_count; i++)
        walk_expr(walk, expr->args[i]);
    walk_expr(walk, expr->filter);
    if (expr->kind == TN_E_SUBQUERY)
        walk_query(walk, ((const struct tn_subquery *)expr->sub)->query);
    if (expr->kind != TN_E_WINDOW)
        return;
    const struct tn_window_spec *spec = expr->sub;
    for (uint32_t i = 0; i < spec->parts_count; i++)
        walk_expr(walk, spec->parts[i]);
    for (uint32_t i = 0; i < spec->sorts_count; i++)
        walk_expr(walk, spec->sorts[i].expr);
}

static void walk_rel(const struct walk *walk, const struct tn_rel *rel)
{
    switch (rel->kind) {
    case TN_REL_TABLE: walk->each(walk->ctx, rel->object); break;
    case TN_REL_QUERY: walk_query(walk, rel->query); break;
    case TN_REL_JOIN:
        walk_rel(walk, rel->left);
        walk_rel(walk, rel->right);
        walk_expr(walk, rel->on);
        break;
    case TN_REL_VALUES:
        for (uint32_t i = 0; i < rel->rows_count; i++)
            for (uint32_t j = 0; j < rel->schema->fields_count; j++)
                walk_expr(walk, rel->rows[i][j]);
        break;
    case TN_REL_NONE: break;
    }
}

static void walk_query(const struct walk *walk, const struct tn_query *query)
{
    if (query->op != TN_SET_NONE) {
        walk_query(walk, query->left);
        walk_query(walk, query->right);
        return;
    }
    const struct tn_select *select = query->select;
    walk_rel(walk, select->from);
    for (uint32_t i = 0; i < select->items_count; i++)
        walk_expr(walk, select->items[i].expr);
    walk_expr(walk, select->where);
    walk_expr(walk, select->having);
    for (uint32_t i = 0; i < select->groups_count; i++)
        walk_expr(walk, select->groups[i]);
    for (uint32_t i = 0; i < query->sorts_count; i++)
        walk_expr(walk, query->sorts[i].expr);
}

void tni_query_objects(const struct tn_query *query,
                       void (*each)(void *ctx, const struct tn_object *object), void *ctx)
{
    struct walk walk = {each, ctx};
    walk_query(&walk, query);
}
