/* Relations: FROM, joins, aliases, UNNEST, LATERAL. How the parser works: parse_int.h. */
#include "sql/parse_int.h"

static struct tn_ast_rel *parse_joins(struct tni_parser *parser);

static struct tn_ast_rel *rel_node(struct tni_parser *parser, enum tn_ast_rel_kind kind, int line,
                                   int col)
{
    struct tn_ast_rel *rel = TN_ARENA_NEW(parser->arena, struct tn_ast_rel);
    rel->kind = kind;
    rel->line = line;
    rel->col = col;
    rel->height = 1;
    tni_count_node(parser, line, col);
    return rel;
}

static void raise(struct tni_parser *parser, struct tn_ast_rel *rel, unsigned child)
{
    tni_raise(parser, &rel->height, child, rel->line, rel->col);
}

/* ---- aliases ----------------------------------------------------------------------------- */

/* Words that may begin a clause here: is this one the clause, or an alias without AS? It is an
 * alias when nothing that belongs to the clause follows, but what may follow an alias does. */
static bool is_clause(const struct tni_parser *parser, bool is_item)
{
    struct tni_token next = tni_peek(parser, 1);
    bool is_aliased = tni_token_is_op(&next, ',') || tni_token_is_op(&next, ')') ||
                      (next.kind == TNI_T_WORD && tni_keyword_is_reserved(next.kw));
    switch (parser->tok.kw) {
    case TNI_KW_PARTITION:
    case TNI_KW_WITHIN: return tni_token_is_kw(&next, TNI_KW_BY) || !is_aliased;
    case TNI_KW_EMIT:
    case TNI_KW_LIMIT:
    case TNI_KW_OFFSET:
    case TNI_KW_FETCH: return !is_aliased;
    case TNI_KW_WINDOW: return is_item ? tni_is_stream_window(parser) : !is_aliased;
    case TNI_KW_TABLESAMPLE:
    case TNI_KW_MATCH_RECOGNIZE: return !is_item && !is_aliased;
    case TNI_KW_GRACE: return !is_item && tni_token_is_kw(&next, TNI_KW_PERIOD);
    default: return false;
    }
}

struct tn_ident tni_parse_alias(struct tni_parser *parser, bool is_item)
{
    struct tn_ident none = {0};
    if (tni_accept_quiet(parser, TNI_KW_AS))
        return tni_ident(parser, "a name");
    if (!tni_token_is_name(&parser->tok) || is_clause(parser, is_item))
        return none;
    if (parser->tok.kind != TNI_T_WORD)
        return tni_ident(parser, "a name");
    /* What else could stand here, should the alias turn out to be a mistyped keyword. */
    struct tni_token word = parser->tok;
    if (is_item) {
        tni_want_kw(parser, TNI_KW_FROM);
        tni_want(parser, "','");
    } else {
        tni_want_kw(parser, TNI_KW_WHERE);
        tni_want_kw(parser, TNI_KW_GROUP);
        tni_want_kw(parser, TNI_KW_ORDER);
        tni_want_kw(parser, TNI_KW_JOIN);
        tni_want_kw(parser, TNI_KW_LIMIT);
        tni_want_kw(parser, TNI_KW_WINDOW);
        tni_want_kw(parser, TNI_KW_EMIT);
        tni_want_kw(parser, TNI_KW_HAVING);
    }
    tni_want(parser, "end of statement");
    struct tni_expected_set expected = parser->expected;
    struct tn_ident alias = tni_ident(parser, "a name");
    if (!tni_failed(parser)) {
        parser->alias = word;
        parser->alias_end = parser->prev_end;
        parser->alias_expected = expected;
    }
    return alias;
}

static void parse_rel_alias(struct tni_parser *parser, struct tn_ast_rel *rel)
{
    rel->alias = tni_parse_alias(parser, false);
    if (rel->alias.text.ptr && tni_is_op(parser, '('))
        tni_ident_list(parser, "a column name", &rel->aliases, &rel->aliases_count);
    if (tni_is_kw(parser, TNI_KW_MATCH_RECOGNIZE) && tni_peek_op(parser, '('))
        tni_fail(parser, TN_E_UNSUPPORTED, NULL, parser->tok.line, parser->tok.col,
                 "MATCH_RECOGNIZE is not supported");
    if (tni_is_kw(parser, TNI_KW_FOR) &&
        (tni_peek_kw(parser, TNI_KW_VERSION) || tni_peek_kw(parser, TNI_KW_TIMESTAMP)))
        tni_fail(parser, TN_E_UNSUPPORTED, NULL, parser->tok.line, parser->tok.col,
                 "reading a table FOR VERSION or TIMESTAMP is not supported");
    if (!tni_is_kw(parser, TNI_KW_TABLESAMPLE))
        return;
    tni_advance(parser);
    rel->sample = TN_STR("BERNOULLI");
    if (!tni_accept(parser, TNI_KW_BERNOULLI)) {
        rel->sample = TN_STR("SYSTEM");
        tni_expect(parser, TNI_KW_SYSTEM);
    }
    tni_expect_op(parser, '(');
    rel->sample_percent = tni_parse_expr(parser);
    raise(parser, rel, rel->sample_percent->height);
    tni_expect_op(parser, ')');
}

/* ---- one relation ------------------------------------------------------------------------ */

static struct tn_ast_rel *query_rel(struct tni_parser *parser, struct tn_ast_query *query, int line,
                                    int col)
{
    struct tn_ast_rel *rel = rel_node(parser, TN_AR_QUERY, line, col);
    rel->query = query;
    raise(parser, rel, query->height);
    return rel;
}

/* (query), (a JOIN b …), ((query) UNION …), ((a)). *ret_is_query: it was a query, which may still
 * go on. */
static struct tn_ast_rel *parse_paren(struct tni_parser *parser, bool *ret_is_query)
{
    int line = parser->tok.line, col = parser->tok.col;
    struct tn_ast_rel *rel = NULL;
    *ret_is_query = false;
    if (!tni_enter(parser)) {
        tni_leave(parser);
        return rel_node(parser, TN_AR_QUERY, line, col);
    }
    tni_expect_op(parser, '(');
    if (tni_is_query_start(&parser->tok) &&
        !(tni_is_kw(parser, TNI_KW_TABLE) && tni_peek_op(parser, '('))) {
        rel = query_rel(parser, tni_parse_query(parser), line, col);
        *ret_is_query = true;
    } else if (tni_is_op(parser, '(')) {
        bool is_query = false;
        rel = parse_paren(parser, &is_query);
        if (is_query && tni_is_query_tail(parser)) {
            parser->pending_query = rel->query;
            rel = query_rel(parser, tni_parse_query(parser), line, col);
            *ret_is_query = true;
        } else if (is_query && tni_is_op(parser, ')')) {
            *ret_is_query = true;
        } else if (!tni_failed(parser)) {
            parser->pending_rel = rel;
            rel = parse_joins(parser);
        }
    } else {
        rel = parse_joins(parser);
    }
    tni_expect_op(parser, ')');
    tni_leave(parser);
    return rel;
}

static struct tn_ast_rel *parse_unnest(struct tni_parser *parser)
{
    struct tn_ast_rel *rel = rel_node(parser, TN_AR_UNNEST, parser->tok.line, parser->tok.col);
    tni_advance(parser);
    tni_expect_op(parser, '(');
    tni_parse_exprs(parser, &rel->args, &rel->args_count);
    for (uint32_t i = 0; i < rel->args_count; i++)
        raise(parser, rel, rel->args[i]->height);
    tni_expect_op(parser, ')');
    rel->has_ordinality = tni_accept2(parser, TNI_KW_WITH, TNI_KW_ORDINALITY);
    return rel;
}

/* TABLE(f(…)) */
static struct tn_ast_rel *parse_function(struct tni_parser *parser)
{
    struct tn_ast_rel *rel = rel_node(parser, TN_AR_FUNCTION, parser->tok.line, parser->tok.col);
    tni_advance(parser);
    tni_expect_op(parser, '(');
    struct tn_ast_name *name = tni_name(parser, "a function name");
    struct tn_ast_expr *call = tni_parse_call(parser, name);
    *TNI_PUSH(parser, rel->args, rel->args_count) = call;
    raise(parser, rel, call->height);
    tni_expect_op(parser, ')');
    return rel;
}

static struct tn_ast_rel *parse_rel(struct tni_parser *parser)
{
    struct tn_ast_rel *rel = parser->pending_rel;
    int line = parser->tok.line, col = parser->tok.col;
    bool is_query;
    if (rel) {
        parser->pending_rel = NULL;
        if (rel->kind == TN_AR_JOIN || rel->alias.text.ptr) /* closed: (a JOIN b), (t AS x) */
            return rel;
    } else if (tni_is_op(parser, '(')) {
        rel = parse_paren(parser, &is_query);
        if (rel->kind == TN_AR_JOIN || rel->alias.text.ptr)
            return rel;
    } else if (tni_is_kw(parser, TNI_KW_UNNEST) && tni_peek_op(parser, '(')) {
        rel = parse_unnest(parser);
    } else if (tni_is_kw(parser, TNI_KW_TABLE) && tni_peek_op(parser, '(')) {
        rel = parse_function(parser);
    } else if (tni_is_kw(parser, TNI_KW_LATERAL) && tni_peek_op(parser, '(')) {
        tni_advance(parser);
        tni_advance(parser);
        rel = query_rel(parser, tni_parse_query(parser), line, col);
        rel->is_lateral = true;
        tni_expect_op(parser, ')');
    } else if (tni_is_kw(parser, TNI_KW_JSON_TABLE) && tni_peek_op(parser, '(')) {
        tni_fail(parser, TN_E_UNSUPPORTED, NULL, line, col, "JSON_TABLE is not supported");
        return rel_node(parser, TN_AR_TABLE, line, col);
    } else {
        rel = rel_node(parser, TN_AR_TABLE, line, col);
        rel->name = tni_name(parser, "a table name");
    }
    parse_rel_alias(parser, rel);
    return rel;
}

/* ---- joins ------------------------------------------------------------------------------- */

static bool is_join_start(const struct tni_parser *parser)
{
    if (parser->tok.kind != TNI_T_WORD)
        return false;
    switch (parser->tok.kw) {
    case TNI_KW_JOIN:
    case TNI_KW_INNER:
    case TNI_KW_LEFT:
    case TNI_KW_RIGHT:
    case TNI_KW_FULL:
    case TNI_KW_CROSS:
    case TNI_KW_NATURAL: return true;
    default: return false;
    }
}

static enum tn_ast_join parse_join_type(struct tni_parser *parser)
{
    enum tn_ast_join join = TN_AJ_INNER;
    if (tni_accept_quiet(parser, TNI_KW_INNER))
        return TN_AJ_INNER;
    if (tni_accept_quiet(parser, TNI_KW_LEFT))
        join = TN_AJ_LEFT;
    else if (tni_accept_quiet(parser, TNI_KW_RIGHT))
        join = TN_AJ_RIGHT;
    else if (tni_accept_quiet(parser, TNI_KW_FULL))
        join = TN_AJ_FULL;
    else
        return TN_AJ_INNER;
    tni_accept(parser, TNI_KW_OUTER);
    return join;
}

/* WITHIN d | (d, d), [GRACE PERIOD d] */
static void parse_within(struct tni_parser *parser, struct tn_ast_rel *rel)
{
    if (!tni_is_kw(parser, TNI_KW_WITHIN))
        return;
    tni_advance(parser);
    if (tni_accept_op(parser, '(')) {
        rel->within_before = tni_duration(parser);
        tni_expect_op(parser, ',');
        rel->within_after = tni_duration(parser);
        tni_expect_op(parser, ')');
    } else {
        rel->within_before = rel->within_after = tni_duration(parser);
    }
    if (tni_accept(parser, TNI_KW_GRACE)) {
        tni_expect(parser, TNI_KW_PERIOD);
        rel->grace = tni_duration(parser);
    }
}

static void parse_criteria(struct tni_parser *parser, struct tn_ast_rel *rel)
{
    if (is_join_start(parser)) { /* a JOIN b JOIN c ON x ON y: b JOIN c ON x is the right side */
        parser->pending_rel = rel->right;
        rel->right = parse_joins(parser);
    }
    parse_within(parser, rel);
    if (tni_accept(parser, TNI_KW_USING)) {
        tni_ident_list(parser, "a column name", &rel->using_names, &rel->using_count);
    } else {
        tni_expect(parser, TNI_KW_ON);
        rel->on = tni_parse_expr(parser);
        raise(parser, rel, rel->on->height);
    }
}

static struct tn_ast_rel *parse_join(struct tni_parser *parser, struct tn_ast_rel *left)
{
    struct tn_ast_rel *rel = rel_node(parser, TN_AR_JOIN, parser->tok.line, parser->tok.col);
    rel->left = left;
    if (tni_accept_quiet(parser, TNI_KW_CROSS)) {
        rel->join = TN_AJ_CROSS;
        tni_expect(parser, TNI_KW_JOIN);
        rel->right = parse_rel(parser);
    } else {
        rel->is_natural = tni_accept_quiet(parser, TNI_KW_NATURAL);
        rel->join = parse_join_type(parser);
        tni_expect(parser, TNI_KW_JOIN);
        if (tni_enter(parser)) {
            rel->right = parse_rel(parser);
            if (!rel->is_natural)
                parse_criteria(parser, rel);
        } else {
            rel->right = left;
        }
        tni_leave(parser);
    }
    raise(parser, rel, rel->left->height);
    raise(parser, rel, rel->right->height);
    return rel;
}

static struct tn_ast_rel *parse_joins(struct tni_parser *parser)
{
    struct tn_ast_rel *rel = parse_rel(parser);
    while (is_join_start(parser))
        rel = parse_join(parser, rel);
    tni_want_kw(parser, TNI_KW_JOIN);
    return rel;
}

struct tn_ast_rel *tni_parse_from(struct tni_parser *parser)
{
    struct tn_ast_rel *left = parse_joins(parser);
    while (tni_is_op(parser, ',')) {
        struct tn_ast_rel *rel = rel_node(parser, TN_AR_JOIN, parser->tok.line, parser->tok.col);
        rel->join = TN_AJ_CROSS;
        rel->is_comma = true;
        tni_advance(parser);
        rel->left = left;
        rel->right = parse_joins(parser);
        raise(parser, rel, rel->left->height);
        raise(parser, rel, rel->right->height);
        left = rel;
    }
    return left;
}
