/* Queries under query rules: SELECT, VALUES, TABLE, set operations, WITH, ORDER BY, LIMIT.
 * Contract: sql/bind.h, result: sql/bound.h. */
#include "sql/bind_int.h"

#include <stdarg.h>
#include <stdio.h>

enum tn_status(tni_not_supported)(struct tn_err *err, int line, int col, const char *fmt, ...)
{
    char text[TN_ERR_MESSAGE_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return tn_err_at(err, TN_E_UNSUPPORTED, "NOT_SUPPORTED", line, col, "%s", text);
}

void tni_bind_init(struct tni_bind *bind, struct tn_arena *arena, enum tn_rules rules,
                   const struct tn_catalog *catalog, const struct tn_session *session,
                   int64_t now_ms)
{
    bool is_known = false;
    const struct tn_zone *zone = NULL;
    if (session && session->time_zone[0] && rules == TN_RULES_QUERY)
        zone = tni_zone_find(tn_str_of(session->time_zone), &is_known);
    *bind = (struct tni_bind){.build = {.arena = arena, .rules = rules, .zone = zone},
                              .catalog = catalog,
                              .session_catalog = session ? session->catalog : "tarn",
                              .session_schema = session ? session->schema : "default",
                              .user = session ? session->user : NULL,
                              .now_ms = now_ms};
}

/* ---- helpers ---- */

static struct tn_query *query_new(struct tni_bind *bind)
{
    struct tn_query *query = TN_ARENA_NEW(bind->build.arena, struct tn_query);
    query->limit = -1;
    return query;
}

static void query_schema(struct tni_bind *bind, struct tn_query *query)
{
    const struct tn_select *select = query->select;
    struct tn_schema *schema = TN_ARENA_NEW(bind->build.arena, struct tn_schema);
    struct tn_field *fields =
        TN_ARENA_ARRAY(bind->build.arena, struct tn_field, select->items_count + 1);
    for (uint32_t i = 0; i < select->items_count; i++)
        fields[i] = (struct tn_field){select->items[i].name, select->items[i].expr->type};
    *schema = (struct tn_schema){select->items_count, fields};
    query->schema = schema;
}

/* SELECT * FROM (query), every item still to be changed by the caller. */
static struct tn_query *query_around(struct tni_bind *bind, struct tn_query *inner)
{
    struct tn_query *outer = query_new(bind);
    struct tn_rel *rel = tni_rel_new(bind, TN_REL_QUERY);
    rel->query = inner;
    rel->schema = inner->schema;
    struct tn_select *select = TN_ARENA_NEW(bind->build.arena, struct tn_select);
    select->from = rel;
    select->items_count = inner->schema->fields_count;
    select->items =
        TN_ARENA_ARRAY(bind->build.arena, struct tn_select_item, select->items_count + 1);
    for (uint32_t i = 0; i < select->items_count; i++) {
        const struct tn_field *field = &inner->schema->fields[i];
        select->items[i].name = field->name;
        select->items[i].expr = tni_column(&bind->build, rel->number, (int)i, field->type,
                                           field->name, (struct tni_pos){0, 0});
    }
    outer->select = select;
    outer->schema = inner->schema;
    return outer;
}

enum tn_status tni_query_cast(struct tni_bind *bind, struct tn_query *query,
                              const struct tn_type *const *types, struct tn_query **ret_query,
                              struct tn_err *err)
{
    bool is_same = true;
    for (uint32_t i = 0; i < query->schema->fields_count; i++)
        is_same = is_same && tn_type_eq(query->schema->fields[i].type, types[i]);
    if (is_same) {
        *ret_query = query;
        return TN_OK;
    }
    struct tn_query *outer = query_around(bind, query);
    for (uint32_t i = 0; i < query->schema->fields_count; i++) {
        struct tn_select_item *item = &outer->select->items[i];
        TN_TRY(tni_cast(&bind->build, item->expr, types[i], false, (struct tni_pos){0, 0},
                        &item->expr, err));
    }
    query_schema(bind, outer);
    *ret_query = outer;
    return TN_OK;
}

/* ---- SELECT items ---- */

struct items {
    struct tn_select_item *list;
    uint32_t count, cap;
};

static struct tn_select_item *item_add(struct tni_bind *bind, struct items *items)
{
    if (items->count == items->cap) {
        uint32_t cap = items->cap ? items->cap * 2 : 16;
        struct tn_select_item *list = TN_ARENA_ARRAY(bind->build.arena, struct tn_select_item, cap);
        if (items->count)
            memcpy(list, items->list, items->count * sizeof *list);
        items->list = list;
        items->cap = cap;
    }
    return &items->list[items->count++];
}

static bool star_matches(struct tni_bind *bind, const struct tni_col *col,
                         const struct tn_ast_name *name)
{
    if (!name)
        return !col->is_merged_away && !col->is_hidden;
    uint32_t count = name->parts_count;
    if (!col->rel_alias.ptr || !tni_name_eq(bind, col->rel_alias, name->parts[count - 1].text))
        return false;
    return count == 1 ||
           (col->rel_schema.ptr && tn_str_eq_nocase(col->rel_schema, name->parts[count - 2].text));
}

static enum tn_status item_star(struct tni_ctx *ctx, const struct tn_ast_item *ast,
                                struct items *items, struct tn_err *err)
{
    const struct tn_ast_name *name = NULL;
    if (ast->kind == TN_AI_REL_STAR) {
        if (ast->expr->kind != TN_AX_NAME || ast->aliases_count)
            return tni_not_supported(err, ast->line, ast->col,
                                     "the fields of a row as columns are not supported");
        name = ast->expr->name;
    }
    uint32_t before = items->count;
    for (uint32_t i = 0; i < ctx->scope->cols_count; i++) {
        const struct tni_col *col = &ctx->scope->cols[i];
        if (!star_matches(ctx->bind, col, name))
            continue;
        if (col->needed)
            *col->needed = true;
        struct tn_select_item *item = item_add(ctx->bind, items);
        item->name = col->name;
        item->expr = tni_expr_copy_ref(ctx->bind, col->expr, (struct tni_pos){ast->line, ast->col});
    }
    if (items->count > before)
        return TN_OK;
    if (name)
        return tn_err_at(err, TN_E_NAME, "TABLE_NOT_FOUND", ast->line, ast->col,
                         "no relation '%.*s' in FROM", TN_STR_FMT(tn_ast_last(name).text));
    return tn_err_at(err, TN_E_INVALID, "COLUMN_NOT_FOUND", ast->line, ast->col,
                     "SELECT * needs a FROM clause with columns");
}

static struct tn_str item_name(struct tni_bind *bind, const struct tn_ast_item *ast,
                               const struct tn_expr *expr, uint32_t index)
{
    if (ast->alias.text.ptr)
        return ast->alias.text;
    const struct tn_ast_expr *e = ast->expr;
    if (e->kind == TN_AX_NAME && expr->name.len)
        return expr->name;
    if (e->kind == TN_AX_NAME)
        return tn_ast_last(e->name).text;
    if (e->kind == TN_AX_ARROW || (e->kind == TN_AX_FIELD && bind->build.rules == TN_RULES_STREAM))
        return e->ident.text;
    return tn_str_of(tn_arena_printf(bind->build.arena, "_col%u", index));
}

static enum tn_status bind_items(struct tni_ctx *ctx, const struct tn_ast_select *ast,
                                 struct tn_select *select, struct tn_err *err)
{
    struct items items = {0};
    for (uint32_t i = 0; i < ast->items_count; i++) {
        const struct tn_ast_item *item = &ast->items[i];
        if (item->kind == TN_AI_ARROW_STAR)
            return tni_not_supported(err, item->line, item->col,
                                     "->* is supported in persistent queries only");
        if (item->kind != TN_AI_EXPR) {
            TN_TRY(item_star(ctx, item, &items, err));
            continue;
        }
        struct tn_expr *expr;
        TN_TRY(tni_bind_expr(ctx, item->expr, &expr, err));
        struct tn_str name = item_name(ctx->bind, item, expr, items.count);
        *item_add(ctx->bind, &items) = (struct tn_select_item){expr, name};
    }
    select->items = items.list;
    select->items_count = items.count;
    return TN_OK;
}

/* ---- GROUP BY ---- */

/* An integer literal is the number of a SELECT item. */
static enum tn_status group_ordinal(const struct tn_ast_expr *ast, const char *clause,
                                    uint32_t items_count, int *ret_index, struct tn_err *err)
{
    *ret_index = -1;
    if (ast->kind != TN_AX_INTEGER)
        return TN_OK;
    if (ast->integer < 1 || ast->integer > (int64_t)items_count)
        return tn_err_at(err, TN_E_INVALID, "INVALID_COLUMN_REFERENCE", ast->line, ast->col,
                         "%s %lld: the SELECT list has %u items", clause, (long long)ast->integer,
                         items_count);
    *ret_index = (int)ast->integer - 1;
    return TN_OK;
}

static enum tn_status bind_groups(struct tni_ctx *ctx, const struct tn_ast_select *ast,
                                  struct tn_select *select, struct tn_err *err)
{
    static const char *const names[] = {
        [TN_AG_ROLLUP] = "ROLLUP", [TN_AG_CUBE] = "CUBE", [TN_AG_SETS] = "GROUPING SETS"};
    uint32_t count = 0, at = 0;
    for (uint32_t i = 0; i < ast->groups_count; i++) {
        const struct tn_ast_group *group = &ast->groups[i];
        if (group->kind != TN_AG_EXPR && group->kind != TN_AG_SET)
            return tni_not_supported(err, group->line, group->col, "%s is not supported",
                                     names[group->kind]);
        count += group->sets[0].args_count;
    }
    select->groups = TN_ARENA_ARRAY(ctx->bind->build.arena, struct tn_expr *, count + 1);
    for (uint32_t i = 0; i < ast->groups_count; i++)
        for (uint32_t j = 0; j < ast->groups[i].sets[0].args_count; j++) {
            const struct tn_ast_expr *expr = ast->groups[i].sets[0].args[j];
            int index;
            TN_TRY(group_ordinal(expr, "GROUP BY", select->items_count, &index, err));
            if (index >= 0)
                select->groups[at] = select->items[index].expr;
            else
                TN_TRY(tni_bind_expr(ctx, expr, &select->groups[at], err));
            if (tni_has_agg(select->groups[at]))
                return tn_err_at(err, TN_E_INVALID, "EXPRESSION_NOT_SCALAR", expr->line, expr->col,
                                 "GROUP BY cannot hold an aggregate or window function");
            at++;
        }
    select->groups_count = count;
    return TN_OK;
}

/* ---- ORDER BY, LIMIT ---- */

static int find_item(const struct tn_select_item *items, uint32_t count, const struct tn_expr *expr)
{
    for (uint32_t i = 0; i < count; i++)
        if (tn_expr_eq(items[i].expr, expr))
            return (int)i;
    return -1;
}

static enum tn_status bind_sort(struct tni_ctx *ctx, const struct tn_ast_sort *ast,
                                const struct tn_select_item *items, uint32_t items_count,
                                bool is_items_only, struct tn_sort_item *ret_sort,
                                struct tn_err *err)
{
    struct tn_sort_item sort = {
        .output = -1, .is_desc = ast->is_desc, .is_nulls_first = ast->nulls == TN_AN_FIRST};
    TN_TRY(group_ordinal(ast->expr, "ORDER BY", items_count, &sort.output, err));
    if (sort.output < 0) {
        TN_TRY(tni_bind_expr(ctx, ast->expr, &sort.expr, err));
        sort.output = find_item(items, items_count, sort.expr);
        if (sort.output >= 0)
            sort.expr = NULL;
        else if (is_items_only)
            return tn_err_at(err, TN_E_INVALID, "EXPRESSION_NOT_IN_DISTINCT", ast->expr->line,
                             ast->expr->col,
                             "with SELECT DISTINCT, ORDER BY can only use SELECT items");
    }
    *ret_sort = sort;
    return TN_OK;
}

static enum tn_status bind_sorts(struct tni_ctx *ctx, const struct tn_ast_query *ast,
                                 const struct tn_select_item *items, uint32_t items_count,
                                 bool is_items_only, struct tn_query *query, struct tn_err *err)
{
    query->sorts =
        TN_ARENA_ARRAY(ctx->bind->build.arena, struct tn_sort_item, ast->sorts_count + 1);
    query->sorts_count = ast->sorts_count;
    for (uint32_t i = 0; i < ast->sorts_count; i++)
        TN_TRY(bind_sort(ctx, &ast->sorts[i], items, items_count, is_items_only, &query->sorts[i],
                         err));
    return TN_OK;
}

static enum tn_status row_count(struct tni_bind *bind, const struct tn_ast_expr *ast,
                                const char *clause, int64_t *ret_count, struct tn_err *err)
{
    struct tn_value value;
    TN_TRY(tni_bind_constant(bind, ast, tn_type_of(TN_K_BIGINT), clause, &value, err));
    if (value.is_null && bind->build.params) /* a parameter that is only described */
        value = (struct tn_value){.i = 0};
    if (value.is_null || value.i < 0)
        return tn_err_at(err, TN_E_INVALID, "INVALID_LIMIT_CLAUSE", ast->line, ast->col,
                         "%s must be a whole number, not below 0", clause);
    *ret_count = value.i;
    return TN_OK;
}

static enum tn_status bind_limit(struct tni_bind *bind, const struct tn_ast_query *ast,
                                 struct tn_query *query, struct tn_err *err)
{
    if (ast->is_with_ties)
        return tni_not_supported(err, ast->line, ast->col, "WITH TIES is not supported");
    if (ast->limit)
        TN_TRY(row_count(bind, ast->limit, "LIMIT", &query->limit, err));
    if (ast->offset)
        TN_TRY(row_count(bind, ast->offset, "OFFSET", &query->offset, err));
    return TN_OK;
}

/* ---- SELECT ---- */

static enum tn_status refuse_streaming(const struct tn_ast_query *ast, struct tn_err *err)
{
    const struct tn_ast_select *select = ast->select;
    if (ast->emit != TN_AE_NONE)
        return tni_not_supported(err, ast->emit_line, ast->emit_col,
                                 "EMIT can only stand at the end of the whole statement");
    if (ast->kind != TN_AQ_SELECT)
        return TN_OK;
    if (select->window.kind != TN_AW_NONE)
        return tni_not_supported(err, select->window.line, select->window.col,
                                 "WINDOW TUMBLING, HOPPING and SESSION need EMIT CHANGES or a "
                                 "persistent query");
    if (select->parts_count)
        return tni_not_supported(err, select->parts[0]->line, select->parts[0]->col,
                                 "PARTITION BY needs EMIT CHANGES or a persistent query");
    if (select->is_group_distinct)
        return tni_not_supported(err, select->line, select->col,
                                 "GROUP BY DISTINCT is not supported");
    return TN_OK;
}

static enum tn_status check_groups(const struct tn_query *query, const struct tni_scope *scope,
                                   struct tn_err *err)
{
    const struct tn_select *select = query->select;
    if (!select->is_grouped)
        return TN_OK;
    for (uint32_t i = 0; i < select->items_count; i++)
        TN_TRY(tni_check_grouped(select->items[i].expr, select->groups, select->groups_count, scope,
                                 err));
    if (select->having)
        TN_TRY(tni_check_grouped(select->having, select->groups, select->groups_count, scope, err));
    for (uint32_t i = 0; i < query->sorts_count; i++)
        if (query->sorts[i].expr)
            TN_TRY(tni_check_grouped(query->sorts[i].expr, select->groups, select->groups_count,
                                     scope, err));
    return TN_OK;
}

static enum tn_status bind_where(struct tni_bind *bind, const struct tni_scope *scope,
                                 const struct tn_ast_expr *ast, struct tn_expr **ret_expr,
                                 struct tn_err *err)
{
    struct tni_ctx ctx = {.bind = bind, .scope = scope, .clause = "WHERE"};
    if (!ast)
        return TN_OK;
    TN_TRY(tni_bind_expr(&ctx, ast, ret_expr, err));
    return tni_need_boolean(&bind->build, *ret_expr, "WHERE", ret_expr, err);
}

static enum tn_status bind_select(struct tni_bind *bind, const struct tn_ast_query *ast_query,
                                  const struct tni_scope *outer, struct tn_query *query,
                                  struct tn_err *err)
{
    const struct tn_ast_select *ast = ast_query->select;
    struct tni_scope *scope = TN_ARENA_NEW(bind->build.arena, struct tni_scope);
    struct tn_select *select = TN_ARENA_NEW(bind->build.arena, struct tn_select);
    struct tni_named_windows windows = {ast->windows_count, ast->windows};
    query->select = select;
    scope->outer = outer;
    if (ast->from)
        TN_TRY(tni_bind_from(bind, ast->from, outer, scope, &select->from, err));
    else
        select->from = tni_rel_new(bind, TN_REL_NONE);
    TN_TRY(bind_where(bind, scope, ast->where, &select->where, err));
    struct tni_ctx ctx = {.bind = bind,
                          .scope = scope,
                          .clause = "SELECT",
                          .is_agg_allowed = true,
                          .is_window_allowed = true,
                          .windows = &windows};
    TN_TRY(bind_items(&ctx, ast, select, err));
    struct tni_ctx group_ctx = {.bind = bind, .scope = scope, .clause = "GROUP BY"};
    TN_TRY(bind_groups(&group_ctx, ast, select, err));
    if (ast->having) {
        ctx.clause = "HAVING";
        ctx.is_window_allowed = false;
        TN_TRY(tni_bind_expr(&ctx, ast->having, &select->having, err));
        TN_TRY(tni_need_boolean(&bind->build, select->having, "HAVING", &select->having, err));
    }
    select->is_distinct = ast->is_distinct;
    ctx.clause = "ORDER BY";
    ctx.is_window_allowed = true;
    ctx.outputs = select->items;
    ctx.outputs_count = select->items_count;
    TN_TRY(bind_sorts(&ctx, ast_query, select->items, select->items_count, ast->is_distinct, query,
                      err));
    select->is_grouped = ast->is_grouped || ast->having || ctx.has_agg;
    query_schema(bind, query);
    return check_groups(query, scope, err);
}

/* ---- VALUES, TABLE, set operations ---- */

static enum tn_status bind_values(struct tni_bind *bind, const struct tn_ast_query *ast,
                                  struct tn_query **ret_query, struct tn_err *err)
{
    struct tn_arena *arena = bind->build.arena;
    struct tni_scope *empty = TN_ARENA_NEW(arena, struct tni_scope);
    struct tni_ctx ctx = {.bind = bind, .scope = empty, .clause = "VALUES"};
    uint32_t width = ast->rows[0]->kind == TN_AX_ROW ? ast->rows[0]->args_count : 1;
    struct tn_expr ***rows = TN_ARENA_ARRAY(arena, struct tn_expr **, ast->rows_count + 1);
    for (uint32_t i = 0; i < ast->rows_count; i++) {
        const struct tn_ast_expr *row = ast->rows[i];
        uint32_t count = row->kind == TN_AX_ROW ? row->args_count : 1;
        if (count != width)
            return tn_err_at(err, TN_E_TYPE, "TYPE_MISMATCH", row->line, row->col,
                             "row %u of VALUES has %u columns, the first one has %u", i + 1, count,
                             width);
        rows[i] = TN_ARENA_ARRAY(arena, struct tn_expr *, width + 1);
        for (uint32_t j = 0; j < width; j++)
            TN_TRY(
                tni_bind_expr(&ctx, row->kind == TN_AX_ROW ? row->args[j] : row, &rows[i][j], err));
    }
    struct tn_field *fields = TN_ARENA_ARRAY(arena, struct tn_field, width + 1);
    struct tn_expr **column = TN_ARENA_ARRAY(arena, struct tn_expr *, ast->rows_count + 1);
    for (uint32_t j = 0; j < width; j++) {
        for (uint32_t i = 0; i < ast->rows_count; i++)
            column[i] = rows[i][j];
        TN_TRY(tni_unify(&bind->build, column, ast->rows_count, "a column of VALUES",
                         &fields[j].type, err));
        for (uint32_t i = 0; i < ast->rows_count; i++)
            rows[i][j] = column[i];
        fields[j].name = tn_str_of(tn_arena_printf(arena, "_col%u", j));
    }
    struct tn_rel *rel = tni_rel_new(bind, TN_REL_VALUES);
    struct tn_schema *schema = TN_ARENA_NEW(arena, struct tn_schema);
    *schema = (struct tn_schema){width, fields};
    rel->schema = schema;
    rel->rows_count = ast->rows_count;
    rel->rows = (struct tn_expr *const *const *)rows;
    struct tn_query inner = {.schema = schema};
    struct tn_query *query = query_around(bind, &inner);
    query->select->from = rel; /* the items name the relation made by query_around */
    for (uint32_t j = 0; j < width; j++)
        query->select->items[j].expr->rel = rel->number;
    *ret_query = query;
    return TN_OK;
}

static enum tn_status bind_set(struct tni_bind *bind, const struct tn_ast_query *ast,
                               const struct tni_scope *outer, struct tn_query **ret_query,
                               struct tn_err *err)
{
    static const enum tn_set_op ops[] = {[TN_ASET_UNION] = TN_SET_UNION,
                                         [TN_ASET_INTERSECT] = TN_SET_INTERSECT,
                                         [TN_ASET_EXCEPT] = TN_SET_EXCEPT};
    const struct tni_build *build = &bind->build;
    if (ast->is_all && ast->set != TN_ASET_UNION)
        return tni_not_supported(err, ast->line, ast->col, "%s ALL is not supported",
                                 ast->set == TN_ASET_INTERSECT ? "INTERSECT" : "EXCEPT");
    struct tn_query *left, *right, *query = query_new(bind);
    TN_TRY(tni_bind_query_in(bind, ast->left, outer, &left, err));
    TN_TRY(tni_bind_query_in(bind, ast->right, outer, &right, err));
    uint32_t count = left->schema->fields_count;
    if (right->schema->fields_count != count)
        return tn_err_at(err, TN_E_TYPE, "TYPE_MISMATCH", ast->line, ast->col,
                         "the sides have %u and %u columns", count, right->schema->fields_count);
    const struct tn_type **types = TN_ARENA_ARRAY(build->arena, const struct tn_type *, count + 1);
    for (uint32_t i = 0; i < count; i++) {
        const struct tn_type *a = left->schema->fields[i].type, *b = right->schema->fields[i].type;
        types[i] = tn_type_common(a, b, build->rules, build->arena);
        if (!types[i])
            return tn_err_at(err, TN_E_TYPE, "TYPE_MISMATCH", ast->line, ast->col,
                             "column %u is %s on one side and %s on the other", i + 1,
                             tni_type_text(build, a), tni_type_text(build, b));
    }
    TN_TRY(tni_query_cast(bind, left, types, &query->left, err));
    TN_TRY(tni_query_cast(bind, right, types, &query->right, err));
    query->op = ast->is_all ? TN_SET_UNION_ALL : ops[ast->set];
    query->schema = query->left->schema;
    *ret_query = query;
    return TN_OK;
}

/* ORDER BY of anything but a SELECT: output columns only. The sort expressions are over the query's
 * own columns, so those that are not plain columns get a SELECT around it. */
static enum tn_status sort_outputs(struct tni_bind *bind, const struct tn_ast_query *ast,
                                   struct tn_query **query, struct tn_err *err)
{
    if (!ast->sorts_count)
        return TN_OK;
    struct tn_query *around = query_around(bind, *query);
    struct tni_scope *empty = TN_ARENA_NEW(bind->build.arena, struct tni_scope);
    struct tni_ctx ctx = {.bind = bind,
                          .scope = empty,
                          .clause = "ORDER BY",
                          .outputs = around->select->items,
                          .outputs_count = around->select->items_count,
                          .is_output_only = true};
    struct tn_query sorted = {.limit = -1};
    TN_TRY(bind_sorts(&ctx, ast, around->select->items, around->select->items_count, false, &sorted,
                      err));
    bool is_plain = true;
    for (uint32_t i = 0; i < sorted.sorts_count; i++)
        is_plain = is_plain && sorted.sorts[i].output >= 0;
    if (!is_plain)
        *query = around;
    (*query)->sorts = sorted.sorts;
    (*query)->sorts_count = sorted.sorts_count;
    return TN_OK;
}

static enum tn_status bind_other(struct tni_bind *bind, const struct tn_ast_query *ast,
                                 const struct tni_scope *outer, struct tn_query **ret_query,
                                 struct tn_err *err)
{
    struct tn_query *query = NULL;
    if (ast->kind == TN_AQ_VALUES) {
        TN_TRY(bind_values(bind, ast, &query, err));
    } else if (ast->kind == TN_AQ_TABLE) {
        struct tni_scope *scope = TN_ARENA_NEW(bind->build.arena, struct tni_scope);
        struct tn_rel *rel;
        struct items items = {0};
        struct tn_ast_item star = {.kind = TN_AI_STAR, .line = ast->line, .col = ast->col};
        struct tni_ctx ctx = {.bind = bind, .scope = scope, .clause = "TABLE"};
        query = query_new(bind);
        query->select = TN_ARENA_NEW(bind->build.arena, struct tn_select);
        TN_TRY(tni_bind_from(bind, ast->rel, outer, scope, &rel, err));
        query->select->from = rel;
        TN_TRY(item_star(&ctx, &star, &items, err));
        query->select->items = items.list;
        query->select->items_count = items.count;
        query_schema(bind, query);
    } else if (ast->kind == TN_AQ_SET) {
        TN_TRY(bind_set(bind, ast, outer, &query, err));
    } else {
        TN_TRY(tni_bind_query_in(bind, ast->left, outer, &query, err));
        if (query->sorts_count || query->limit >= 0 || query->offset)
            query = query_around(bind, query);
    }
    TN_TRY(sort_outputs(bind, ast, &query, err));
    *ret_query = query;
    return TN_OK;
}

/* ---- WITH ---- */

static enum tn_status push_ctes(struct tni_bind *bind, const struct tn_ast_query *ast,
                                struct tn_err *err)
{
    if (ast->is_recursive)
        return tni_not_supported(err, ast->ctes[0].name.line, ast->ctes[0].name.col,
                                 "WITH RECURSIVE is not supported");
    for (uint32_t i = 0; i < ast->ctes_count; i++) {
        for (uint32_t j = 0; j < i; j++)
            if (tni_name_eq(bind, ast->ctes[i].name.text, ast->ctes[j].name.text))
                return tn_err_at(err, TN_E_NAME, "DUPLICATE_NAMED_QUERY", ast->ctes[i].name.line,
                                 ast->ctes[i].name.col, "WITH query '%.*s' is defined twice",
                                 TN_STR_FMT(ast->ctes[i].name.text));
        struct tni_cte *cte = TN_ARENA_NEW(bind->build.arena, struct tni_cte);
        *cte = (struct tni_cte){.outer = bind->ctes, .ast = &ast->ctes[i], .env = bind->ctes};
        bind->ctes = cte;
        /* one that is never read must be right, too */
        struct tn_query *ignored;
        struct tni_bind probe = *bind;
        probe.ctes = cte->env;
        TN_TRY(tni_bind_query_in(&probe, cte->ast->query, NULL, &ignored, err));
    }
    return TN_OK;
}

enum tn_status tni_bind_query_in(struct tni_bind *bind, const struct tn_ast_query *ast,
                                 const struct tni_scope *outer, struct tn_query **ret_query,
                                 struct tn_err *err)
{
    const struct tni_cte *saved = bind->ctes;
    struct tn_query *query = NULL;
    TN_TRY(refuse_streaming(ast, err));
    enum tn_status st = push_ctes(bind, ast, err);
    if (!tn_failed(st) && ast->kind == TN_AQ_SELECT) {
        query = query_new(bind);
        st = bind_select(bind, ast, outer, query, err);
    } else if (!tn_failed(st)) {
        st = bind_other(bind, ast, outer, &query, err);
    }
    bind->ctes = saved;
    if (tn_failed(st))
        return st;
    TN_TRY(bind_limit(bind, ast, query, err));
    *ret_query = query;
    return TN_OK;
}

enum tn_status tni_bind_query(struct tni_bind *bind, const struct tn_ast_query *ast,
                              struct tn_query **ret_query, struct tn_err *err)
{
    TN_ASSERT(bind->build.rules == TN_RULES_QUERY);
    struct tn_query *query;
    TN_TRY(tni_bind_query_in(bind, ast, NULL, &query, err));
    query->rels_count = bind->rels_count;
    *ret_query = query;
    return TN_OK;
}

enum tn_status tni_bind_constant(struct tni_bind *bind, const struct tn_ast_expr *ast,
                                 const struct tn_type *type, const char *what,
                                 struct tn_value *ret_value, struct tn_err *err)
{
    struct tni_ctx ctx = {.bind = bind, .clause = what};
    struct tn_expr *expr;
    TN_TRY(tni_bind_expr(&ctx, ast, &expr, err));
    if (type)
        TN_TRY(tni_coerce(&bind->build, expr, type, what, &expr, err));
    if (tni_is_const(expr)) {
        *ret_value = expr->value;
        return TN_OK;
    }
    struct tn_err why = TN_ERR_INIT;
    struct tn_value value;
    if (tn_failed(tn_expr_fold(expr, bind->build.arena, &value, &why)))
        return tn_err_at(err, TN_E_EVAL, why.name, ast->line, ast->col, "%s: %s", what,
                         why.message);
    value.type = expr->type;
    *ret_value = value;
    return TN_OK;
}
