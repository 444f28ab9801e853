/* SELECT under stream rules: sources, joins, windows, keys and generated names. Contract:
 * sql/bind.h, result: sql/bound_stream.h. */
#include "sql/bind_int.h"

#include "sql/plan_stream.h"

#define DAY_MS INT64_C(86400000)

struct binding {
    struct tni_bind *bind;
    struct tni_stream_query *query;
    struct tni_scope *scope;
    uint32_t items_cap;
    uint32_t unnamed_next; /* KSQL_COL_<n> */
};

static void *arena_array(struct binding *b, size_t count, size_t size)
{
    return tn_arena_zalloc(b->bind->build.arena, count + 1, size);
}

/* ---- refusals ---- */

static enum tn_status refuse(const struct tn_ast_query *ast, struct tn_err *err)
{
    static const char *const kinds[] = {[TN_AQ_VALUES] = "VALUES",
                                        [TN_AQ_TABLE] = "TABLE",
                                        [TN_AQ_SET] = "UNION, INTERSECT or EXCEPT",
                                        [TN_AQ_NESTED] = "a nested query"};
    if (ast->ctes_count)
        return tni_not_supported(err, ast->line, ast->col,
                                 "WITH is not supported in a persistent query");
    if (ast->kind != TN_AQ_SELECT)
        return tni_not_supported(err, ast->line, ast->col,
                                 "%s is not supported in a persistent query", kinds[ast->kind]);
    if (ast->sorts_count)
        return tni_not_supported(err, ast->sorts[0].expr->line, ast->sorts[0].expr->col,
                                 "ORDER BY is not supported in a persistent query");
    if (ast->offset)
        return tni_not_supported(err, ast->offset->line, ast->offset->col,
                                 "OFFSET is not supported in a persistent query");
    const struct tn_ast_select *select = ast->select;
    if (select->is_distinct)
        return tni_not_supported(err, select->line, select->col,
                                 "SELECT DISTINCT is not supported in a persistent query");
    if (select->windows_count)
        return tni_not_supported(err, select->line, select->col,
                                 "WINDOW name AS is not supported in a persistent query");
    if (!select->from)
        return tn_err_at(err, TN_E_INVALID, "INVALID_ARGUMENTS", select->line, select->col,
                         "a persistent query needs FROM");
    return TN_OK;
}

/* ---- FROM ---- */

static void scope_source(struct binding *b, uint32_t index)
{
    const struct tni_source *source = &b->query->sources[index];
    struct tni_scope_rel *rel = tni_scope_add_rel(b->bind, b->scope);
    *rel = (struct tni_scope_rel){.alias = source->alias,
                                  .schema_name = tn_str_of(source->object->schema_name),
                                  .source = source,
                                  .number = (int)index,
                                  .cols_first = b->scope->cols_count,
                                  .cols_count = source->schema->fields_count,
                                  .has_pseudo = true};
    uint32_t declared = source->object->decl.schema->fields_count;
    for (uint32_t i = 0; i < source->schema->fields_count; i++) {
        const struct tn_field *field = &source->schema->fields[i];
        struct tni_col *col = tni_scope_add_col(b->bind, b->scope);
        *col = (struct tni_col){.rel_alias = source->alias,
                                .rel_schema = rel->schema_name,
                                .name = field->name,
                                .is_hidden = i >= declared};
        col->expr = tni_column(&b->bind->build, (int)index, (int)i, field->type, field->name,
                               (struct tni_pos){0, 0});
    }
}

static enum tn_status add_source(struct binding *b, const struct tn_ast_rel *ast,
                                 struct tn_err *err)
{
    const struct tn_object *object;
    struct tni_stream_query *query = b->query;
    if (ast->kind != TN_AR_TABLE)
        return tni_not_supported(err, ast->line, ast->col,
                                 "FROM of a persistent query takes streams and tables only");
    if (ast->sample.ptr || ast->aliases_count)
        return tni_not_supported(err, ast->line, ast->col,
                                 "%s is not supported in a persistent query",
                                 ast->sample.ptr ? "TABLESAMPLE" : "a list of column names");
    if (query->sources_count == TNI_SOURCES_MAX)
        return tn_err_at(err, TN_E_LIMIT, "STATEMENT_TOO_COMPLEX", ast->line, ast->col,
                         "a persistent query joins at most %d sources", TNI_SOURCES_MAX);
    TN_TRY(tni_bind_object(b->bind, ast->name, &object, err));
    if (object->kind == TN_OBJ_VIEW || object->kind == TN_OBJ_SYSTEM || object->kind == TN_OBJ_ZONE)
        return tni_not_supported(
            err, ast->line, ast->col, "'%s' is a %s; a persistent query reads streams and tables",
            object->name, object->kind == TN_OBJ_VIEW ? "view" : "system table");
    struct tni_source *source = &query->sources[query->sources_count];
    *source = (struct tni_source){.object = object,
                                  .alias = ast->alias.text.ptr ? ast->alias.text
                                                               : tn_str_of(object->name),
                                  .schema = object->decl.schema,
                                  .is_table = object->kind != TN_OBJ_STREAM,
                                  .line = ast->line,
                                  .col = ast->col};
    if (object->decl.window != TN_WINDOW_NONE)
        source->schema = tni_windowed_schema(b->bind->build.arena, object->decl.schema);
    for (uint32_t i = 0; i < query->sources_count; i++)
        if (tni_name_eq(b->bind, query->sources[i].alias, source->alias))
            return tn_err_at(err, TN_E_NAME, "AMBIGUOUS_NAME", ast->line, ast->col,
                             "'%.*s' is twice in FROM; give one an alias",
                             TN_STR_FMT(source->alias));
    scope_source(b, query->sources_count++);
    return TN_OK;
}

struct rel_range {
    int low, high; /* sources an expression reads; low > high: none */
};

static bool see_rel(void *ctx, const struct tn_expr *expr)
{
    struct rel_range *range = ctx;
    if ((expr->kind == TN_E_COLUMN || expr->kind == TN_E_PSEUDO) && expr->rel >= 0) {
        range->low = expr->rel < range->low ? expr->rel : range->low;
        range->high = expr->rel > range->high ? expr->rel : range->high;
    }
    return true;
}

static void walk(const struct tn_expr *expr, bool (*each)(void *, const struct tn_expr *),
                 void *ctx)
{
    if (!each(ctx, expr))
        return;
    for (uint32_t i = 0; i < expr->args_count; i++)
        walk(expr->args[i], each, ctx);
}

static struct rel_range rels_of(const struct tn_expr *expr)
{
    struct rel_range range = {INT32_MAX, -1};
    walk(expr, see_rel, &range);
    return range;
}

/* ON l = r: one equality, each side over one side of the join. */
static enum tn_status bind_on(struct binding *b, const struct tn_ast_rel *ast, int right,
                              struct tni_join *join, struct tn_err *err)
{
    struct tni_ctx ctx = {.bind = b->bind, .scope = b->scope, .clause = "ON"};
    struct tn_expr *sides[2];
    if (!ast->on || ast->using_count || ast->is_natural)
        return tni_not_supported(err, ast->line, ast->col,
                                 "a join in a persistent query needs ON a = b");
    if (ast->on->kind != TN_AX_COMPARE || ast->on->op != TN_AO_EQ)
        return tni_not_supported(err, ast->on->line, ast->on->col,
                                 "ON takes one equality: ON a = b");
    for (int i = 0; i < 2; i++)
        TN_TRY(tni_bind_expr(&ctx, ast->on->args[i], &sides[i], err));
    struct rel_range first = rels_of(sides[0]), second = rels_of(sides[1]);
    bool is_swapped = first.low == right && first.high == right;
    struct rel_range left = is_swapped ? second : first, other = is_swapped ? first : second;
    if (other.low != right || other.high != right || left.high >= right || left.high < 0)
        return tn_err_at(err, TN_E_INVALID, "INVALID_ARGUMENTS", ast->on->line, ast->on->col,
                         "ON must compare the left side with '%.*s'",
                         TN_STR_FMT(b->query->sources[right].alias));
    join->left = sides[is_swapped ? 1 : 0];
    join->right = sides[is_swapped ? 0 : 1];
    return TN_OK;
}

static enum tn_status bind_from(struct binding *b, const struct tn_ast_rel *ast, struct tn_err *err)
{
    static const enum tn_join_kind kinds[] = {[TN_AJ_INNER] = TN_JOIN_INNER,
                                              [TN_AJ_LEFT] = TN_JOIN_LEFT,
                                              [TN_AJ_RIGHT] = TN_JOIN_RIGHT,
                                              [TN_AJ_FULL] = TN_JOIN_FULL};
    if (ast->kind != TN_AR_JOIN)
        return add_source(b, ast, err);
    TN_TRY(bind_from(b, ast->left, err));
    if (ast->join == TN_AJ_CROSS)
        return tni_not_supported(err, ast->line, ast->col,
                                 "%s is not supported in a persistent query",
                                 ast->is_comma ? "a list in FROM" : "CROSS JOIN");
    if (ast->right->kind == TN_AR_JOIN)
        return tni_not_supported(err, ast->right->line, ast->right->col,
                                 "joins in a persistent query are written from left to right");
    TN_TRY(add_source(b, ast->right, err));
    int right = (int)b->query->sources_count - 1;
    struct tni_join *join = &b->query->joins[right - 1];
    join->kind = kinds[ast->join];
    join->line = ast->line;
    join->col = ast->col;
    join->is_windowed = ast->within_before.is_given;
    join->before_ms = ast->within_before.ms;
    join->after_ms = ast->within_after.ms;
    join->grace_ms = ast->grace.is_given ? ast->grace.ms : -1;
    return bind_on(b, ast, right, join, err);
}

/* ---- WINDOW ---- */

static enum tn_status bind_window(struct binding *b, const struct tn_ast_window *ast,
                                  struct tn_err *err)
{
    static const enum tn_window_kind kinds[] = {[TN_AW_NONE] = TN_WINDOW_NONE,
                                                [TN_AW_TUMBLING] = TN_WINDOW_TUMBLE,
                                                [TN_AW_HOPPING] = TN_WINDOW_HOP,
                                                [TN_AW_SESSION] = TN_WINDOW_SESSION};
    struct tn_window *window = &b->query->window;
    *window = (struct tn_window){.kind = kinds[ast->kind]};
    if (ast->kind == TN_AW_NONE)
        return TN_OK;
    window->is_final = b->query->emit == TNI_EMIT_FINAL;
    window->size_ms = ast->size.ms;
    window->advance_ms = ast->kind == TN_AW_HOPPING ? ast->advance.ms : ast->size.ms;
    if (window->size_ms < 1)
        return tn_err_at(err, TN_E_INVALID, "INVALID_ARGUMENTS", ast->size.line, ast->size.col,
                         "the size of a window must be above 0");
    if (window->advance_ms < 1 || window->advance_ms > window->size_ms)
        return tn_err_at(err, TN_E_INVALID, "INVALID_ARGUMENTS", ast->advance.line,
                         ast->advance.col, "ADVANCE BY must be above 0 and not above SIZE");
    if (ast->grace.is_given)
        window->grace_ms = ast->grace.ms;
    else if (!window->is_final && window->size_ms < DAY_MS)
        window->grace_ms = DAY_MS - window->size_ms;
    if (__builtin_add_overflow(window->size_ms, window->grace_ms, &window->retention_ms))
        return tn_err_at(err, TN_E_INVALID, "INVALID_ARGUMENTS", ast->line, ast->col,
                         "SIZE and GRACE PERIOD together are too large");
    if (ast->retention.is_given) {
        if (ast->retention.ms < window->retention_ms)
            return tn_err_at(err, TN_E_INVALID, "INVALID_ARGUMENTS", ast->retention.line,
                             ast->retention.col,
                             "RETENTION is %lld ms, it must be at least SIZE and GRACE PERIOD "
                             "together: %lld ms",
                             (long long)ast->retention.ms, (long long)window->retention_ms);
        window->retention_ms = ast->retention.ms;
    }
    return TN_OK;
}

/* ---- items and their names ---- */

static bool name_taken(const struct binding *b, struct tn_str name)
{
    for (uint32_t i = 0; i < b->query->items_count; i++)
        if (b->query->items[i].name.ptr && tni_name_eq(b->bind, b->query->items[i].name, name))
            return true;
    return false;
}

static bool in_sources(const struct binding *b, struct tn_str name)
{
    for (uint32_t i = 0; i < b->scope->cols_count; i++)
        if (tni_name_eq(b->bind, b->scope->cols[i].name, name))
            return true;
    return false;
}

static struct tn_str unnamed(struct binding *b)
{
    for (;;) {
        struct tn_str name =
            tn_str_of(tn_arena_printf(b->bind->build.arena, "KSQL_COL_%u", b->unnamed_next++));
        if (!name_taken(b, name) && !in_sources(b, name))
            return name;
    }
}

/* `F`, then `F_1` … */
static struct tn_str numbered(struct binding *b, struct tn_str base)
{
    struct tn_str name = base;
    for (unsigned n = 1; name_taken(b, name) || in_sources(b, name); n++)
        name = tn_str_of(tn_arena_printf(b->bind->build.arena, "%.*s_%u", TN_STR_FMT(base), n));
    return name;
}

static struct tn_str joined_name(struct binding *b, uint32_t source, struct tn_str name)
{
    return tn_str_of(tn_arena_printf(b->bind->build.arena, "%.*s_%.*s",
                                     TN_STR_FMT(b->query->sources[source].alias),
                                     TN_STR_FMT(name)));
}

static bool is_unique(const struct binding *b, struct tn_str name)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < b->scope->cols_count; i++)
        count += !b->scope->cols[i].is_hidden && tni_name_eq(b->bind, b->scope->cols[i].name, name);
    return count <= 1;
}

static struct tni_item *item_add(struct binding *b)
{
    struct tni_stream_query *query = b->query;
    if (query->items_count == b->items_cap) {
        uint32_t cap = b->items_cap ? b->items_cap * 2 : 16;
        struct tni_item *items = arena_array(b, cap, sizeof *items);
        if (query->items_count)
            memcpy(items, query->items, query->items_count * sizeof *items);
        query->items = items;
        b->items_cap = cap;
    }
    return &query->items[query->items_count++];
}

static enum tn_status add_star(struct binding *b, const struct tn_ast_item *ast, struct tn_err *err)
{
    struct tni_pos pos = {ast->line, ast->col};
    const struct tn_ast_name *name = ast->kind == TN_AI_REL_STAR ? ast->expr->name : NULL;
    uint32_t before = b->query->items_count;
    for (uint32_t i = 0; i < b->scope->cols_count; i++) {
        const struct tni_col *col = &b->scope->cols[i];
        if (col->is_hidden ||
            (name && !tni_name_eq(b->bind, col->rel_alias, tn_ast_last(name).text)))
            continue;
        struct tni_item *item = item_add(b);
        item->expr = tni_expr_copy_ref(b->bind, col->expr, pos);
        item->is_from_star = true;
        item->name = b->query->sources_count > 1
                         ? joined_name(b, (uint32_t)col->expr->rel, col->name)
                         : col->name;
    }
    if (b->query->items_count == before && !name)
        return tn_err_at(err, TN_E_INVALID, "INVALID_ARGUMENTS", ast->line, ast->col,
                         "'*' stands for no column here");
    if (b->query->items_count == before)
        return tn_err_at(err, TN_E_NAME, "TABLE_NOT_FOUND", ast->line, ast->col,
                         "no source '%.*s' in FROM", TN_STR_FMT(tn_ast_last(name).text));
    return TN_OK;
}

/* e->*: one column per field. */
static enum tn_status add_fields(struct binding *b, struct tni_ctx *ctx,
                                 const struct tn_ast_item *ast, struct tn_err *err)
{
    struct tn_expr *base;
    TN_TRY(tni_bind_expr(ctx, ast->expr, &base, err));
    if (base->type->kind != TN_K_STRUCT)
        return tn_err_at(err, TN_E_TYPE, "TYPE_MISMATCH", ast->line, ast->col,
                         "->* needs a STRUCT, not %s", tni_type_text(&b->bind->build, base->type));
    for (uint32_t i = 0; i < base->type->children_count; i++) {
        struct tn_ident field = {
            .text = base->type->children[i].name, .line = ast->line, .col = ast->col};
        struct tn_expr *expr;
        TN_TRY(tni_bind_field(ctx, base, &field, &expr, err));
        struct tn_str name = numbered(b, field.text);
        *item_add(b) = (struct tni_item){expr, name, false};
    }
    return TN_OK;
}

static struct tn_str item_name(struct binding *b, const struct tn_ast_item *ast,
                               const struct tn_expr *expr)
{
    if (ast->alias.text.ptr)
        return ast->alias.text;
    if (expr->kind == TN_E_COLUMN && ast->expr->kind == TN_AX_NAME)
        return is_unique(b, expr->name) ? expr->name
                                        : joined_name(b, (uint32_t)expr->rel, expr->name);
    if (ast->expr->kind == TN_AX_ARROW || ast->expr->kind == TN_AX_FIELD)
        return numbered(b, ast->expr->ident.text);
    if (ast->expr->kind == TN_AX_NAME && ast->expr->name->parts_count > 1 &&
        expr->kind == TN_E_CALL)
        return numbered(b, tn_ast_last(ast->expr->name).text);
    return (struct tn_str){0}; /* generated when all others are known */
}

static bool is_reserved(struct tn_str name)
{
    static const char *const names[] = {"ROWTIME", "ROWPARTITION", "ROWOFFSET", "WINDOWSTART",
                                        "WINDOWEND"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (tn_str_eq_nocase(name, tn_str_of(names[i])))
            return true;
    return false;
}

static enum tn_status check_names(struct binding *b, struct tn_err *err)
{
    const struct tni_stream_query *query = b->query;
    for (uint32_t i = 0; i < query->items_count; i++) {
        const struct tni_item *item = &query->items[i];
        if (is_reserved(item->name))
            return tn_err_at(err, TN_E_NAME, "INVALID_COLUMN_NAME", item->expr->line,
                             item->expr->col, "'%.*s' is a reserved name; give it an alias",
                             TN_STR_FMT(item->name));
        for (uint32_t j = 0; j < i; j++)
            if (tn_str_eq_nocase(query->items[j].name, item->name) &&
                (!tn_catalog_is_exact(b->bind->catalog) ||
                 tn_str_eq(query->items[j].name, item->name)))
                return tn_err_at(err, TN_E_NAME, "DUPLICATE_COLUMN_NAME", item->expr->line,
                                 item->expr->col, "column '%.*s' is twice in the SELECT list",
                                 TN_STR_FMT(item->name));
    }
    return TN_OK;
}

static enum tn_status bind_items(struct binding *b, struct tni_ctx *ctx,
                                 const struct tn_ast_select *ast, struct tn_err *err)
{
    for (uint32_t i = 0; i < ast->items_count; i++) {
        const struct tn_ast_item *item = &ast->items[i];
        struct tn_expr *expr;
        if (item->kind == TN_AI_ARROW_STAR) {
            TN_TRY(add_fields(b, ctx, item, err));
        } else if (item->kind != TN_AI_EXPR) {
            if (item->kind == TN_AI_REL_STAR && item->expr->kind != TN_AX_NAME)
                return tni_not_supported(err, item->line, item->col,
                                         "(…).* is not supported; use ->*");
            TN_TRY(add_star(b, item, err));
        } else {
            TN_TRY(tni_bind_expr(ctx, item->expr, &expr, err));
            if (expr->kind == TN_E_PSEUDO && expr->column >= TN_PSEUDO_WINDOWSTART &&
                !item->alias.text.ptr)
                continue; /* bounds are in the key anyway; only an alias stores them */
            struct tn_str name = item_name(b, item, expr);
            *item_add(b) = (struct tni_item){expr, name, false};
        }
    }
    for (uint32_t i = 0; i < b->query->items_count; i++)
        if (!b->query->items[i].name.ptr)
            b->query->items[i].name = unnamed(b);
    return TN_OK;
}

/* ---- GROUP BY, PARTITION BY ---- */

static enum tn_status bind_groups(struct binding *b, const struct tn_ast_select *ast,
                                  struct tn_err *err)
{
    struct tni_ctx ctx = {.bind = b->bind, .scope = b->scope, .clause = "GROUP BY"};
    uint32_t count = 0;
    for (uint32_t i = 0; i < ast->groups_count; i++) {
        if (ast->groups[i].kind > TN_AG_SET)
            return tni_not_supported(err, ast->groups[i].line, ast->groups[i].col,
                                     "ROLLUP, CUBE and GROUPING SETS are not supported");
        count += ast->groups[i].sets[0].args_count;
    }
    b->query->groups = arena_array(b, count, sizeof *b->query->groups);
    for (uint32_t i = 0; i < ast->groups_count; i++)
        for (uint32_t j = 0; j < ast->groups[i].sets[0].args_count; j++) {
            const struct tn_ast_expr *arg = ast->groups[i].sets[0].args[j];
            struct tn_expr **group = &b->query->groups[b->query->groups_count++];
            TN_TRY(tni_bind_expr(&ctx, arg, group, err));
            if (tni_is_const(*group))
                return tn_err_at(err, TN_E_INVALID, "INVALID_ARGUMENTS", arg->line, arg->col,
                                 "GROUP BY a constant gives a single group; name a column");
        }
    return TN_OK;
}

static enum tn_status bind_parts(struct binding *b, const struct tn_ast_select *ast,
                                 struct tn_err *err)
{
    struct tni_ctx ctx = {.bind = b->bind, .scope = b->scope, .clause = "PARTITION BY"};
    struct tni_stream_query *query = b->query;
    query->is_partitioned = ast->parts_count > 0;
    if (ast->parts_count == 1 && ast->parts[0]->kind == TN_AX_NULL)
        return TN_OK;
    query->parts = arena_array(b, ast->parts_count, sizeof *query->parts);
    for (uint32_t i = 0; i < ast->parts_count; i++) {
        TN_TRY(tni_bind_expr(&ctx, ast->parts[i], &query->parts[i], err));
        if (tni_is_const(query->parts[i]))
            return tn_err_at(err, TN_E_INVALID, "INVALID_ARGUMENTS", ast->parts[i]->line,
                             ast->parts[i]->col,
                             "PARTITION BY a constant would put all rows into one partition");
    }
    query->parts_count = ast->parts_count;
    return TN_OK;
}

static enum tn_status check_groups(struct binding *b, struct tn_err *err)
{
    const struct tni_stream_query *query = b->query;
    if (!query->groups_count)
        return TN_OK;
    for (uint32_t i = 0; i < query->items_count; i++)
        TN_TRY(tni_check_grouped(query->items[i].expr, query->groups, query->groups_count, b->scope,
                                 err));
    if (!query->having)
        return TN_OK;
    return tni_check_grouped(query->having, query->groups, query->groups_count, b->scope, err);
}

static enum tn_status bind_condition(struct binding *b, struct tni_ctx *ctx,
                                     const struct tn_ast_expr *ast, struct tn_expr **ret_expr,
                                     struct tn_err *err)
{
    if (!ast)
        return TN_OK;
    TN_TRY(tni_bind_expr(ctx, ast, ret_expr, err));
    return tni_need_boolean(&b->bind->build, *ret_expr, ctx->clause, ret_expr, err);
}

static enum tn_status bind_limit(struct binding *b, const struct tn_ast_query *ast,
                                 struct tn_err *err)
{
    struct tn_value value;
    b->query->limit = -1;
    if (!ast->limit)
        return TN_OK;
    TN_TRY(tni_bind_constant(b->bind, ast->limit, tn_type_of(TN_K_BIGINT), "LIMIT", &value, err));
    if (value.is_null || value.i < 0)
        return tn_err_at(err, TN_E_INVALID, "INVALID_LIMIT_CLAUSE", ast->limit->line,
                         ast->limit->col, "LIMIT must be a whole number, not below 0");
    b->query->limit = value.i;
    return TN_OK;
}

enum tn_status tni_bind_stream_query(struct tni_bind *bind, const struct tn_ast_query *ast,
                                     struct tni_stream_query **ret_query, struct tn_err *err)
{
    static const enum tni_emit emits[] = {[TN_AE_NONE] = TNI_EMIT_NONE,
                                          [TN_AE_CHANGES] = TNI_EMIT_CHANGES,
                                          [TN_AE_FINAL] = TNI_EMIT_FINAL};
    TN_ASSERT(bind->build.rules == TN_RULES_STREAM);
    TN_TRY(refuse(ast, err));
    const struct tn_ast_select *select = ast->select;
    struct tni_stream_query *query = TN_ARENA_NEW(bind->build.arena, struct tni_stream_query);
    struct tni_scope *scope = TN_ARENA_NEW(bind->build.arena, struct tni_scope);
    struct binding b = {.bind = bind, .query = query, .scope = scope};
    query->line = select->line;
    query->col = select->col;
    query->emit = emits[ast->emit];
    query->sources = arena_array(&b, TNI_SOURCES_MAX, sizeof *query->sources);
    query->joins = arena_array(&b, TNI_SOURCES_MAX, sizeof *query->joins);
    TN_TRY(bind_from(&b, select->from, err));
    TN_TRY(bind_window(&b, &select->window, err));
    struct tni_ctx ctx = {.bind = bind, .scope = scope, .clause = "WHERE"};
    TN_TRY(bind_condition(&b, &ctx, select->where, &query->where, err));
    TN_TRY(bind_groups(&b, select, err));
    TN_TRY(bind_parts(&b, select, err));
    ctx.is_agg_allowed = true;
    ctx.clause = "SELECT";
    scope->window = query->window.kind == TN_WINDOW_NONE ? NULL : &query->window;
    TN_TRY(bind_items(&b, &ctx, select, err));
    TN_TRY(check_names(&b, err));
    const struct tn_window *window = scope->window;
    scope->window = NULL; /* bounds of the own window: in SELECT only */
    ctx.clause = "HAVING";
    TN_TRY(bind_condition(&b, &ctx, select->having, &query->having, err));
    scope->window = window;
    query->has_aggs = ctx.has_agg;
    TN_TRY(check_groups(&b, err));
    TN_TRY(bind_limit(&b, ast, err));
    *ret_query = query;
    return TN_OK;
}
