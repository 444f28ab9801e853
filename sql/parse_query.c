/* Queries: WITH, set operations, SELECT and its clauses. FROM: parse_rel.c. How the parser works:
 * parse_int.h. */
#include "sql/parse_int.h"

bool tni_is_query_start(const struct tni_token *token)
{
    return token->kind == TNI_T_WORD && (token->kw == TNI_KW_SELECT || token->kw == TNI_KW_WITH ||
                                         token->kw == TNI_KW_VALUES || token->kw == TNI_KW_TABLE);
}

bool tni_is_query_tail(const struct tni_parser *parser)
{
    if (parser->tok.kind != TNI_T_WORD)
        return false;
    switch (parser->tok.kw) {
    case TNI_KW_UNION:
    case TNI_KW_INTERSECT:
    case TNI_KW_EXCEPT:
    case TNI_KW_ORDER:
    case TNI_KW_LIMIT:
    case TNI_KW_OFFSET:
    case TNI_KW_FETCH: return true;
    case TNI_KW_EMIT:
        return tni_peek_kw(parser, TNI_KW_CHANGES) || tni_peek_kw(parser, TNI_KW_FINAL);
    default: return false;
    }
}

static struct tn_ast_query *query_node(struct tni_parser *parser, enum tn_ast_query_kind kind,
                                       int line, int col)
{
    struct tn_ast_query *query = TN_ARENA_NEW(parser->arena, struct tn_ast_query);
    query->kind = kind;
    query->line = line;
    query->col = col;
    query->height = 1;
    tni_count_node(parser, line, col);
    return query;
}

static void raise(struct tni_parser *parser, struct tn_ast_query *query, unsigned child)
{
    tni_raise(parser, &query->height, child, query->line, query->col);
}

static void raise_exprs(struct tni_parser *parser, struct tn_ast_query *query,
                        struct tn_ast_expr *const *exprs, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        raise(parser, query, exprs[i]->height);
}

/* ---- select list ------------------------------------------------------------------------- */

static struct tn_ast_item parse_item(struct tni_parser *parser)
{
    struct tn_ast_item item = {.line = parser->tok.line, .col = parser->tok.col};
    if (tni_accept_op_quiet(parser, '*')) {
        item.kind = TN_AI_STAR;
        return item;
    }
    tni_want(parser, "'*'");
    item.expr = tni_parse_expr(parser);
    bool is_dot = tni_is_op(parser, '.'), is_arrow = tni_is_op(parser, TNI_OP_ARROW);
    if ((is_dot || is_arrow) && tni_peek_op(parser, '*')) {
        tni_advance(parser);
        tni_advance(parser);
        item.kind = is_dot ? TN_AI_REL_STAR : TN_AI_ARROW_STAR;
        if (is_dot && tni_is_kw(parser, TNI_KW_AS) && tni_peek_op(parser, '(')) {
            tni_advance(parser);
            tni_ident_list(parser, "a column name", &item.aliases, &item.aliases_count);
        }
    } else {
        item.alias = tni_parse_alias(parser, true);
    }
    return item;
}

static void parse_items(struct tni_parser *parser, struct tn_ast_query *query)
{
    struct tn_ast_select *select = query->select;
    int outer = parser->item_depth;
    if (!tni_accept_quiet(parser, TNI_KW_DISTINCT)) {
        struct tni_token next = tni_peek(parser, 1); /* ALL may also be a column */
        if (tni_is_kw(parser, TNI_KW_ALL) &&
            (next.kind != TNI_T_OP || tni_token_op_in(&next, "*(?")) && next.kind != TNI_T_END &&
            !tni_token_is_kw(&next, TNI_KW_FROM) && !tni_token_is_kw(&next, TNI_KW_AS))
            tni_advance(parser);
    } else {
        select->is_distinct = true;
    }
    parser->item_depth = parser->depth + 1;
    do {
        struct tn_ast_item item = parse_item(parser);
        *TNI_PUSH(parser, select->items, select->items_count) = item;
        if (item.expr)
            raise(parser, query, item.expr->height);
    } while (tni_accept_op(parser, ','));
    parser->item_depth = outer;
}

/* ---- WINDOW of streams ------------------------------------------------------------------- */

bool tni_is_stream_window(const struct tni_parser *parser)
{
    struct tni_token next = tni_peek(parser, 1);
    if (!tni_token_is_kw(&next, TNI_KW_TUMBLING) && !tni_token_is_kw(&next, TNI_KW_HOPPING) &&
        !tni_token_is_kw(&next, TNI_KW_SESSION))
        return false;
    struct tni_token after = tni_peek(parser, 2);
    return tni_token_is_op(&after, '(');
}

static void parse_window(struct tni_parser *parser, struct tn_ast_window *window)
{
    window->line = parser->tok.line;
    window->col = parser->tok.col;
    tni_advance(parser);
    enum tni_kw kw = parser->tok.kw;
    tni_advance(parser);
    tni_expect_op(parser, '(');
    if (kw == TNI_KW_SESSION) {
        window->kind = TN_AW_SESSION;
        window->size = tni_duration(parser);
    } else {
        window->kind = kw == TNI_KW_TUMBLING ? TN_AW_TUMBLING : TN_AW_HOPPING;
        tni_expect(parser, TNI_KW_SIZE);
        window->size = tni_duration(parser);
    }
    if (kw == TNI_KW_HOPPING) {
        tni_expect_op(parser, ',');
        tni_expect(parser, TNI_KW_ADVANCE);
        tni_expect(parser, TNI_KW_BY);
        window->advance = tni_duration(parser);
    }
    bool has_comma = tni_accept_op(parser, ',');
    if (has_comma && tni_accept(parser, TNI_KW_RETENTION)) {
        window->retention = tni_duration(parser);
        has_comma = tni_accept_op(parser, ',');
    }
    if (has_comma) {
        tni_expect(parser, TNI_KW_GRACE);
        tni_expect(parser, TNI_KW_PERIOD);
        window->grace = tni_duration(parser);
    }
    tni_expect_op(parser, ')');
}

/* ---- GROUP BY ---------------------------------------------------------------------------- */

static void parse_set(struct tni_parser *parser, struct tn_ast_query *query,
                      struct tn_ast_group *group)
{
    struct tn_ast_group_set set = {0};
    if (tni_is_op(parser, '(') && tni_peek_op(parser, ')')) {
        tni_advance(parser);
        tni_advance(parser);
    } else {
        int line = parser->tok.line, col = parser->tok.col;
        bool is_paren = tni_is_op(parser, '(');
        struct tn_ast_expr *expr = tni_parse_expr(parser);
        raise(parser, query, expr->height);
        if (is_paren && expr->kind == TN_AX_ROW && expr->line == line && expr->col == col) {
            set.args = expr->args; /* (a, b): not a row but a set */
            set.args_count = expr->args_count;
        } else {
            *TNI_PUSH(parser, set.args, set.args_count) = expr;
        }
    }
    *TNI_PUSH(parser, group->sets, group->sets_count) = set;
}

static void parse_sets(struct tni_parser *parser, struct tn_ast_query *query,
                       struct tn_ast_group *group)
{
    tni_expect_op(parser, '(');
    if (group->kind == TN_AG_SETS || !tni_is_op(parser, ')'))
        do {
            parse_set(parser, query, group);
        } while (tni_accept_op(parser, ','));
    tni_expect_op(parser, ')');
}

static void parse_group(struct tni_parser *parser, struct tn_ast_query *query)
{
    struct tn_ast_group group = {.line = parser->tok.line, .col = parser->tok.col};
    struct tni_token next = tni_peek(parser, 1);
    bool is_cube = tni_is_kw(parser, TNI_KW_CUBE);
    if ((is_cube || tni_is_kw(parser, TNI_KW_ROLLUP)) && tni_token_is_op(&next, '(')) {
        group.kind = is_cube ? TN_AG_CUBE : TN_AG_ROLLUP;
        tni_advance(parser);
        parse_sets(parser, query, &group);
    } else if (tni_is_kw(parser, TNI_KW_GROUPING) && tni_token_is_kw(&next, TNI_KW_SETS)) {
        group.kind = TN_AG_SETS;
        tni_advance(parser);
        tni_advance(parser);
        parse_sets(parser, query, &group);
    } else {
        bool is_empty = tni_is_op(parser, '(') && tni_token_is_op(&next, ')');
        parse_set(parser, query, &group);
        group.kind = is_empty || group.sets[0].args_count > 1 ? TN_AG_SET : TN_AG_EXPR;
    }
    *TNI_PUSH(parser, query->select->groups, query->select->groups_count) = group;
}

static void parse_groups(struct tni_parser *parser, struct tn_ast_query *query)
{
    struct tni_token next = tni_peek(parser, 1);
    query->select->is_grouped = true;
    if (tni_accept_quiet(parser, TNI_KW_DISTINCT))
        query->select->is_group_distinct = true;
    else if (tni_is_kw(parser, TNI_KW_ALL) && next.kind != TNI_T_OP && next.kind != TNI_T_END)
        tni_advance(parser);
    do {
        parse_group(parser, query);
    } while (tni_accept_op(parser, ','));
}

/* ---- SELECT ------------------------------------------------------------------------------ */

/* WINDOW w AS (…), … */
static void parse_named_windows(struct tni_parser *parser, struct tn_ast_query *query)
{
    struct tn_ast_select *select = query->select;
    do {
        struct tn_ast_named_window window = {.name = tni_ident(parser, "a window name")};
        tni_expect(parser, TNI_KW_AS);
        window.over = tni_parse_over_body(parser);
        raise(parser, query, tni_over_height(window.over));
        *TNI_PUSH(parser, select->windows, select->windows_count) = window;
    } while (tni_accept_op(parser, ','));
}

static void parse_clauses(struct tni_parser *parser, struct tn_ast_query *query)
{
    struct tn_ast_select *select = query->select;
    if (tni_is_kw(parser, TNI_KW_WINDOW) && tni_is_stream_window(parser))
        parse_window(parser, &select->window);
    if (tni_accept(parser, TNI_KW_WHERE)) {
        select->where = tni_parse_expr(parser);
        raise(parser, query, select->where->height);
    }
    if (tni_accept(parser, TNI_KW_GROUP)) {
        tni_expect(parser, TNI_KW_BY);
        parse_groups(parser, query);
    }
    if (tni_accept2(parser, TNI_KW_PARTITION, TNI_KW_BY)) {
        tni_parse_exprs(parser, &select->parts, &select->parts_count);
        raise_exprs(parser, query, select->parts, select->parts_count);
    }
    if (tni_accept(parser, TNI_KW_HAVING)) {
        select->having = tni_parse_expr(parser);
        raise(parser, query, select->having->height);
    }
    if (tni_is_kw(parser, TNI_KW_WINDOW) && tni_is_stream_window(parser)) {
        tni_fail_at(parser, parser->tok.line, parser->tok.col,
                    "WINDOW %s stands behind FROM, before WHERE and GROUP BY",
                    tni_keyword_text(tni_peek(parser, 1).kw));
    } else if (tni_accept(parser, TNI_KW_WINDOW)) {
        parse_named_windows(parser, query);
    }
}

static struct tn_ast_query *parse_select(struct tni_parser *parser)
{
    struct tn_ast_query *query =
        query_node(parser, TN_AQ_SELECT, parser->tok.line, parser->tok.col);
    query->select = TN_ARENA_NEW(parser->arena, struct tn_ast_select);
    query->select->line = query->line;
    query->select->col = query->col;
    tni_expect(parser, TNI_KW_SELECT);
    parse_items(parser, query);
    if (tni_accept(parser, TNI_KW_FROM)) {
        query->select->from = tni_parse_from(parser);
        raise(parser, query, query->select->from->height);
    }
    parse_clauses(parser, query);
    return query;
}

static struct tn_ast_query *parse_values(struct tni_parser *parser)
{
    struct tn_ast_query *query =
        query_node(parser, TN_AQ_VALUES, parser->tok.line, parser->tok.col);
    tni_advance(parser);
    tni_parse_exprs(parser, &query->rows, &query->rows_count);
    raise_exprs(parser, query, query->rows, query->rows_count);
    return query;
}

static struct tn_ast_query *parse_table(struct tni_parser *parser)
{
    struct tn_ast_query *query = query_node(parser, TN_AQ_TABLE, parser->tok.line, parser->tok.col);
    tni_advance(parser);
    query->rel = TN_ARENA_NEW(parser->arena, struct tn_ast_rel);
    query->rel->line = parser->tok.line;
    query->rel->col = parser->tok.col;
    query->rel->height = 1;
    query->rel->name = tni_name(parser, "a table name");
    raise(parser, query, 1);
    return query;
}

/* ---- set operations ---------------------------------------------------------------------- */

/* SELECT …, VALUES …, TABLE t, (query). *ret_is_closed: it came in parentheses. */
static struct tn_ast_query *parse_term(struct tni_parser *parser, bool *ret_is_closed)
{
    *ret_is_closed = false;
    if (parser->pending_query) {
        struct tn_ast_query *query = parser->pending_query;
        parser->pending_query = NULL;
        *ret_is_closed = true;
        return query;
    }
    if (tni_is_kw(parser, TNI_KW_VALUES))
        return parse_values(parser);
    if (tni_is_kw(parser, TNI_KW_TABLE))
        return parse_table(parser);
    if (tni_accept_op_quiet(parser, '(')) {
        struct tn_ast_query *query = tni_parse_query(parser);
        tni_expect_op(parser, ')');
        *ret_is_closed = true;
        return query;
    }
    if (!tni_is_kw(parser, TNI_KW_SELECT)) {
        int line = parser->tok.line, col = parser->tok.col;
        tni_want_kw(parser, TNI_KW_SELECT);
        tni_want_kw(parser, TNI_KW_VALUES);
        tni_want_kw(parser, TNI_KW_TABLE);
        tni_want(parser, "'('");
        tni_expected(parser);
        return query_node(parser, TN_AQ_VALUES, line, col);
    }
    return parse_select(parser);
}

static struct tn_ast_query *set_node(struct tni_parser *parser, enum tn_ast_set set, bool is_all,
                                     struct tn_ast_query *left, struct tn_ast_query *right)
{
    struct tn_ast_query *query = query_node(parser, TN_AQ_SET, left->line, left->col);
    query->set = set;
    query->is_all = is_all;
    query->left = left;
    query->right = right;
    raise(parser, query, left->height);
    raise(parser, query, right->height);
    return query;
}

static bool parse_all(struct tni_parser *parser)
{
    bool is_all = tni_accept_quiet(parser, TNI_KW_ALL);
    if (!is_all)
        tni_accept_quiet(parser, TNI_KW_DISTINCT);
    return is_all;
}

static void count_term(struct tni_parser *parser, int *terms)
{
    if (++*terms > TNI_COMPOUND_MAX)
        tni_fail(parser, TN_E_LIMIT, "STATEMENT_TOO_COMPLEX", parser->tok.line, parser->tok.col,
                 "more than %d queries are combined by UNION, INTERSECT and EXCEPT",
                 TNI_COMPOUND_MAX);
}

/* INTERSECT binds closer than UNION and EXCEPT. */
static struct tn_ast_query *parse_intersect(struct tni_parser *parser, int *terms,
                                            bool *ret_is_closed)
{
    struct tn_ast_query *left = parse_term(parser, ret_is_closed);
    while (tni_accept_quiet(parser, TNI_KW_INTERSECT)) {
        bool is_all = parse_all(parser), is_closed;
        count_term(parser, terms);
        left = set_node(parser, TN_ASET_INTERSECT, is_all, left, parse_term(parser, &is_closed));
        *ret_is_closed = false;
    }
    return left;
}

static struct tn_ast_query *parse_body(struct tni_parser *parser, bool *ret_is_closed)
{
    int terms = 1;
    struct tn_ast_query *left = parse_intersect(parser, &terms, ret_is_closed);
    for (;;) {
        enum tn_ast_set set = TN_ASET_UNION;
        if (!tni_accept_quiet(parser, TNI_KW_UNION)) {
            set = TN_ASET_EXCEPT;
            if (!tni_accept_quiet(parser, TNI_KW_EXCEPT))
                return left;
        }
        bool is_all = parse_all(parser), is_closed;
        count_term(parser, &terms);
        left = set_node(parser, set, is_all, left, parse_intersect(parser, &terms, &is_closed));
        *ret_is_closed = false;
    }
}

/* ---- WITH, ORDER BY, EMIT, LIMIT --------------------------------------------------------- */

static void parse_ctes(struct tni_parser *parser, struct tn_ast_query *head)
{
    tni_advance(parser);
    if (tni_is_kw(parser, TNI_KW_RECURSIVE)) {
        struct tni_token next = tni_peek(parser, 1);
        head->is_recursive = tni_token_is_name(&next);
        if (head->is_recursive)
            tni_advance(parser);
    }
    do {
        struct tn_ast_cte cte = {.name = tni_ident(parser, "a name")};
        if (tni_is_op(parser, '('))
            tni_ident_list(parser, "a column name", &cte.aliases, &cte.aliases_count);
        tni_expect(parser, TNI_KW_AS);
        tni_expect_op(parser, '(');
        cte.query = tni_parse_query(parser);
        tni_expect_op(parser, ')');
        raise(parser, head, cte.query->height);
        *TNI_PUSH(parser, head->ctes, head->ctes_count) = cte;
    } while (tni_accept_op(parser, ','));
}

/* A number or '?'. */
static struct tn_ast_expr *parse_count(struct tni_parser *parser)
{
    if (parser->tok.kind == TNI_T_INTEGER || tni_is_op(parser, '?')) {
        struct tn_ast_expr *expr = tni_parse_primary(parser);
        if (expr->kind == TN_AX_DECIMAL)
            tni_fail_at(parser, expr->line, expr->col, "number '%.*s' is too large",
                        TN_STR_FMT(expr->text));
        return expr;
    }
    tni_want(parser, "a number");
    tni_expected(parser);
    return tni_ast_node(parser, TN_AX_INTEGER, parser->tok.line, parser->tok.col);
}

static void parse_fetch(struct tni_parser *parser, struct tn_ast_query *tail)
{
    if (!tni_accept(parser, TNI_KW_FIRST))
        tni_expect(parser, TNI_KW_NEXT);
    if (tni_is_kw(parser, TNI_KW_ROW) || tni_is_kw(parser, TNI_KW_ROWS)) {
        tail->limit = tni_ast_node(parser, TN_AX_INTEGER, parser->tok.line, parser->tok.col);
        tail->limit->integer = 1;
        tail->limit->text = TN_STR("1");
    } else {
        tail->limit = parse_count(parser);
    }
    if (!tni_accept(parser, TNI_KW_ROW))
        tni_expect(parser, TNI_KW_ROWS);
    if (tni_accept2(parser, TNI_KW_WITH, TNI_KW_TIES))
        tail->is_with_ties = true;
    else
        tni_expect(parser, TNI_KW_ONLY);
}

/* OFFSET n [ROWS], LIMIT n, FETCH FIRST n ROWS ONLY: each once, in either order. */
static void parse_limits(struct tni_parser *parser, struct tn_ast_query *tail)
{
    bool has_offset = false, has_limit = false;
    for (;;) {
        if (!has_offset && tni_accept(parser, TNI_KW_OFFSET)) {
            has_offset = true;
            tail->offset = parse_count(parser);
            if (!tni_accept_quiet(parser, TNI_KW_ROW))
                tni_accept_quiet(parser, TNI_KW_ROWS);
        } else if (!has_limit && tni_accept(parser, TNI_KW_LIMIT)) {
            has_limit = true;
            if (!tni_accept_quiet(parser, TNI_KW_ALL))
                tail->limit = parse_count(parser);
        } else if (!has_limit && tni_accept_quiet(parser, TNI_KW_FETCH)) {
            has_limit = true;
            parse_fetch(parser, tail);
        } else {
            return;
        }
    }
}

static void parse_tail(struct tni_parser *parser, struct tn_ast_query *tail)
{
    if (tni_accept(parser, TNI_KW_ORDER)) {
        tni_expect(parser, TNI_KW_BY);
        tni_parse_sorts(parser, &tail->sorts, &tail->sorts_count);
        raise(parser, tail, tni_sorts_height(tail->sorts, tail->sorts_count));
    }
    tail->emit_line = parser->tok.line;
    tail->emit_col = parser->tok.col;
    if (tni_accept(parser, TNI_KW_EMIT)) {
        tail->emit = TN_AE_CHANGES;
        if (!tni_accept(parser, TNI_KW_CHANGES)) {
            tail->emit = TN_AE_FINAL;
            tni_expect(parser, TNI_KW_FINAL);
        }
    }
    parse_limits(parser, tail);
}

/* Put what stands around the body to it; a body in parentheses keeps its own. */
static struct tn_ast_query *combine(struct tni_parser *parser, struct tn_ast_query *body,
                                    const struct tn_ast_query *around, bool is_closed)
{
    bool is_bare = around->ctes_count == 0 && around->sorts_count == 0 && !around->limit &&
                   !around->offset && around->emit == TN_AE_NONE;
    if (is_bare)
        return body;
    if (is_closed) {
        struct tn_ast_query *outer = query_node(parser, TN_AQ_NESTED, body->line, body->col);
        outer->left = body;
        raise(parser, outer, body->height);
        body = outer;
    }
    body->is_recursive = around->is_recursive;
    body->ctes_count = around->ctes_count;
    body->ctes = around->ctes;
    body->sorts_count = around->sorts_count;
    body->sorts = around->sorts;
    body->emit = around->emit;
    body->emit_line = around->emit_line;
    body->emit_col = around->emit_col;
    body->limit = around->limit;
    body->offset = around->offset;
    body->is_with_ties = around->is_with_ties;
    if (around->height > 1)
        raise(parser, body, around->height - 1u);
    return body;
}

struct tn_ast_query *tni_parse_query(struct tni_parser *parser)
{
    struct tn_ast_query around = {.height = 1, .line = parser->tok.line, .col = parser->tok.col};
    bool is_closed = false;
    if (!tni_enter(parser)) {
        tni_leave(parser);
        return query_node(parser, TN_AQ_VALUES, around.line, around.col);
    }
    if (!parser->pending_query && tni_is_kw(parser, TNI_KW_WITH))
        parse_ctes(parser, &around);
    struct tn_ast_query *body = parse_body(parser, &is_closed);
    parse_tail(parser, &around);
    tni_leave(parser);
    return combine(parser, body, &around, is_closed);
}
