/* Expressions: from OR down to unary minus. How the parser works: parse_int.h.
 *
 * Binding, weakest first:  OR · AND · NOT · comparison, BETWEEN, IN, LIKE, IS (one, not chained) ·
 * || · + - ·
 * * / % · unary - + · AT TIME ZONE · [] . ->
 */
#include "sql/parse_int.h"

static struct tn_ast_expr *binary_node(struct tni_parser *parser, enum tn_ast_expr_kind kind,
                                       const struct tni_token *op, struct tn_ast_expr *left,
                                       struct tn_ast_expr *right)
{
    struct tn_ast_expr *expr = tni_ast_node(parser, kind, op->line, op->col);
    tni_add_arg(parser, expr, left);
    tni_add_arg(parser, expr, right);
    return expr;
}

/* ---- values ------------------------------------------------------------------------------ */

static struct tn_ast_expr *parse_at_zone(struct tni_parser *parser)
{
    struct tn_ast_expr *expr = tni_parse_primary(parser);
    for (;;) {
        struct tni_token at = parser->tok;
        if (!tni_is_kw(parser, TNI_KW_AT) || !tni_peek_kw(parser, TNI_KW_TIME))
            return expr;
        tni_advance(parser);
        tni_advance(parser);
        tni_expect(parser, TNI_KW_ZONE);
        expr = binary_node(parser, TN_AX_AT_ZONE, &at, expr, tni_parse_primary(parser));
    }
}

static bool is_number(const struct tni_token *token)
{
    return token->kind == TNI_T_INTEGER || token->kind == TNI_T_DECIMAL ||
           token->kind == TNI_T_DOUBLE;
}

/* Signs are a loop, not recursion. The last minus before a number belongs to the number
 * (parse_primary.c). */
static struct tn_ast_expr *parse_unary(struct tni_parser *parser)
{
    struct tni_token *minus = NULL;
    uint32_t minus_count = 0;
    while (!parser->pending_expr) {
        bool is_minus = tni_is_op(parser, '-');
        if (!is_minus && !tni_is_op(parser, '+'))
            break;
        struct tni_token sign = parser->tok, next = tni_peek(parser, 1);
        if (is_minus && is_number(&next))
            break;
        tni_advance(parser);
        if (is_minus)
            *TNI_PUSH(parser, minus, minus_count) = sign;
        if (minus_count > TN_AST_DEPTH_MAX) {
            tni_fail(parser, TN_E_LIMIT, "EXPRESSION_TOO_DEEP", sign.line, sign.col,
                     "statement is nested deeper than %d levels", TN_AST_DEPTH_MAX);
            break;
        }
    }
    struct tn_ast_expr *expr = parse_at_zone(parser);
    while (minus_count > 0) {
        const struct tni_token *sign = &minus[--minus_count];
        struct tn_ast_expr *outer = tni_ast_node(parser, TN_AX_NEGATE, sign->line, sign->col);
        tni_add_arg(parser, outer, expr);
        expr = outer;
    }
    return expr;
}

/* Operator and binding of the current token; 0 = none. */
static int value_op(struct tni_parser *parser, enum tn_ast_op *ret_op)
{
    static const struct {
        int token;
        enum tn_ast_op op;
        int binding;
    } ops[] = {{TNI_OP_CONCAT, TN_AO_CONCAT, 1},
               {'+', TN_AO_ADD, 2},
               {'-', TN_AO_SUB, 2},
               {'*', TN_AO_MUL, 3},
               {'/', TN_AO_DIV, 3},
               {'%', TN_AO_MOD, 3}};
    if (parser->tok.kind == TNI_T_OP)
        for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++)
            if (parser->tok.op == ops[i].token) {
                *ret_op = ops[i].op;
                return ops[i].binding;
            }
    return 0;
}

static struct tn_ast_expr *parse_binary(struct tni_parser *parser, int binding_min)
{
    struct tn_ast_expr *left = parse_unary(parser);
    for (;;) {
        enum tn_ast_op op = TN_AO_NONE;
        struct tni_token token = parser->tok;
        int binding = value_op(parser, &op);
        if (binding == 0 || binding < binding_min)
            return left;
        tni_advance(parser);
        left = binary_node(parser, TN_AX_BINARY, &token, left, parse_binary(parser, binding + 1));
        left->op = op;
    }
}

struct tn_ast_expr *tni_parse_value(struct tni_parser *parser)
{
    return parse_binary(parser, 1);
}

/* ---- predicates -------------------------------------------------------------------------- */

static enum tn_ast_op compare_op(const struct tni_token *token)
{
    if (token->kind != TNI_T_OP)
        return TN_AO_NONE;
    switch (token->op) {
    case '=': return TN_AO_EQ;
    case TNI_OP_NE: return TN_AO_NE;
    case '<': return TN_AO_LT;
    case TNI_OP_LE: return TN_AO_LE;
    case '>': return TN_AO_GT;
    case TNI_OP_GE: return TN_AO_GE;
    default: return TN_AO_NONE;
    }
}

static void set_query(struct tni_parser *parser, struct tn_ast_expr *expr,
                      struct tn_ast_query *query)
{
    expr->query = query;
    tni_raise(parser, &expr->height, query->height, expr->line, expr->col);
}

static struct tn_ast_expr *parse_compare(struct tni_parser *parser, struct tn_ast_expr *left)
{
    struct tni_token op = parser->tok;
    tni_advance(parser);
    bool is_all = tni_is_kw(parser, TNI_KW_ALL);
    if ((is_all || tni_is_kw(parser, TNI_KW_ANY) || tni_is_kw(parser, TNI_KW_SOME)) &&
        tni_peek_op(parser, '(')) {
        struct tn_ast_expr *expr = tni_ast_node(parser, TN_AX_QUANTIFIED, op.line, op.col);
        expr->op = compare_op(&op);
        expr->is_all = is_all;
        tni_add_arg(parser, expr, left);
        tni_advance(parser);
        tni_expect_op(parser, '(');
        set_query(parser, expr, tni_parse_query(parser));
        tni_expect_op(parser, ')');
        return expr;
    }
    struct tn_ast_expr *expr =
        binary_node(parser, TN_AX_COMPARE, &op, left, tni_parse_value(parser));
    expr->op = compare_op(&op);
    return expr;
}

static struct tn_ast_expr *parse_is(struct tni_parser *parser, struct tn_ast_expr *left)
{
    struct tni_token is = parser->tok;
    tni_advance(parser);
    struct tn_ast_expr *expr = tni_ast_node(parser, TN_AX_IS_NULL, is.line, is.col);
    tni_add_arg(parser, expr, left);
    expr->is_not = tni_accept(parser, TNI_KW_NOT);
    if (tni_accept(parser, TNI_KW_NULL))
        return expr;
    if (tni_accept(parser, TNI_KW_TRUE)) {
        expr->kind = TN_AX_IS_TRUE;
    } else if (tni_accept(parser, TNI_KW_FALSE)) {
        expr->kind = TN_AX_IS_FALSE;
    } else if (tni_accept(parser, TNI_KW_UNKNOWN)) {
        expr->kind = TN_AX_IS_UNKNOWN;
    } else if (tni_accept(parser, TNI_KW_DISTINCT)) {
        expr->kind = TN_AX_DISTINCT;
        tni_expect(parser, TNI_KW_FROM);
        tni_add_arg(parser, expr, tni_parse_value(parser));
    } else {
        tni_expected(parser);
    }
    return expr;
}

static struct tn_ast_expr *parse_between(struct tni_parser *parser, struct tn_ast_expr *left,
                                         const struct tni_token *op)
{
    struct tn_ast_expr *expr = tni_ast_node(parser, TN_AX_BETWEEN, op->line, op->col);
    tni_add_arg(parser, expr, left);
    struct tni_token next = tni_peek(parser, 1); /* an operand: the word is no column */
    bool is_word = next.kind == TNI_T_OP ? tni_token_op_in(&next, "(-+?")
                                         : !tni_token_is_kw(&next, TNI_KW_AND);
    if (is_word && tni_is_kw(parser, TNI_KW_SYMMETRIC)) {
        expr->is_symmetric = true;
        tni_advance(parser);
    } else if (is_word && tni_is_kw(parser, TNI_KW_ASYMMETRIC)) {
        tni_advance(parser);
    }
    tni_add_arg(parser, expr, tni_parse_value(parser));
    tni_expect(parser, TNI_KW_AND);
    tni_add_arg(parser, expr, tni_parse_value(parser));
    return expr;
}

static struct tn_ast_expr *parse_in(struct tni_parser *parser, struct tn_ast_expr *left,
                                    const struct tni_token *op)
{
    struct tn_ast_expr *expr = tni_ast_node(parser, TN_AX_IN, op->line, op->col);
    struct tn_ast_query *query = NULL;
    tni_add_arg(parser, expr, left);
    tni_expect_op(parser, '(');
    struct tn_ast_expr *item = tni_parse_expr_or_query(parser, &query);
    if (query) {
        expr->kind = TN_AX_IN_QUERY;
        set_query(parser, expr, query);
    } else {
        tni_add_arg(parser, expr, item);
        while (tni_accept_op(parser, ','))
            tni_add_arg(parser, expr, tni_parse_expr(parser));
    }
    tni_expect_op(parser, ')');
    return expr;
}

static struct tn_ast_expr *parse_like(struct tni_parser *parser, struct tn_ast_expr *left,
                                      const struct tni_token *op)
{
    struct tn_ast_expr *expr = tni_ast_node(parser, TN_AX_LIKE, op->line, op->col);
    tni_add_arg(parser, expr, left);
    tni_add_arg(parser, expr, tni_parse_value(parser));
    if (tni_accept_quiet(parser, TNI_KW_ESCAPE))
        tni_add_arg(parser, expr, tni_parse_value(parser));
    return expr;
}

static struct tn_ast_expr *parse_predicate(struct tni_parser *parser)
{
    struct tn_ast_expr *left = tni_parse_value(parser), *expr;
    struct tni_token op = parser->tok;
    if (compare_op(&op) != TN_AO_NONE)
        return parse_compare(parser, left);
    if (tni_is_kw(parser, TNI_KW_IS))
        return parse_is(parser, left);
    bool is_not = tni_is_kw(parser, TNI_KW_NOT);
    if (is_not)
        tni_advance(parser);
    if (is_not ? tni_accept(parser, TNI_KW_BETWEEN) : tni_accept_quiet(parser, TNI_KW_BETWEEN)) {
        expr = parse_between(parser, left, &op);
    } else if (is_not ? tni_accept(parser, TNI_KW_IN) : tni_accept_quiet(parser, TNI_KW_IN)) {
        expr = parse_in(parser, left, &op);
    } else if (is_not ? tni_accept(parser, TNI_KW_LIKE) : tni_accept_quiet(parser, TNI_KW_LIKE)) {
        expr = parse_like(parser, left, &op);
    } else {
        if (is_not)
            tni_expected(parser);
        return left;
    }
    expr->is_not = is_not;
    return expr;
}

/* ---- logic ------------------------------------------------------------------------------- */

static struct tn_ast_expr *parse_not(struct tni_parser *parser)
{
    struct tni_token *nots = NULL;
    uint32_t nots_count = 0;
    while (!parser->pending_expr && tni_is_kw(parser, TNI_KW_NOT)) {
        *TNI_PUSH(parser, nots, nots_count) = parser->tok;
        tni_advance(parser);
        if (nots_count > TN_AST_DEPTH_MAX) {
            tni_fail(parser, TN_E_LIMIT, "EXPRESSION_TOO_DEEP", parser->tok.line, parser->tok.col,
                     "statement is nested deeper than %d levels", TN_AST_DEPTH_MAX);
            break;
        }
    }
    struct tn_ast_expr *expr = parse_predicate(parser);
    while (nots_count > 0) {
        const struct tni_token *op = &nots[--nots_count];
        struct tn_ast_expr *outer = tni_ast_node(parser, TN_AX_NOT, op->line, op->col);
        tni_add_arg(parser, outer, expr);
        expr = outer;
    }
    return expr;
}

/* Chains of AND, OR are one node, so that long ones stay flat. */
static struct tn_ast_expr *parse_and(struct tni_parser *parser)
{
    struct tn_ast_expr *first = parse_not(parser), *chain = NULL;
    struct tni_token op = parser->tok;
    while (tni_accept_quiet(parser, TNI_KW_AND)) {
        if (!chain) {
            chain = tni_ast_node(parser, TN_AX_AND, op.line, op.col);
            tni_add_arg(parser, chain, first);
        }
        tni_add_arg(parser, chain, parse_not(parser));
    }
    return chain ? chain : first;
}

struct tn_ast_expr *tni_parse_expr(struct tni_parser *parser)
{
    if (!tni_enter(parser)) {
        tni_leave(parser);
        return tni_ast_node(parser, TN_AX_NULL, parser->tok.line, parser->tok.col);
    }
    struct tn_ast_expr *first = parse_and(parser), *chain = NULL;
    struct tni_token op = parser->tok;
    while (tni_accept_quiet(parser, TNI_KW_OR)) {
        if (!chain) {
            chain = tni_ast_node(parser, TN_AX_OR, op.line, op.col);
            tni_add_arg(parser, chain, first);
        }
        tni_add_arg(parser, chain, parse_and(parser));
    }
    tni_leave(parser);
    return chain ? chain : first;
}

/* ---- lists ------------------------------------------------------------------------------- */

void tni_parse_exprs(struct tni_parser *parser, struct tn_ast_expr ***ret_items,
                     uint32_t *ret_count)
{
    do {
        struct tn_ast_expr *expr = tni_parse_expr(parser);
        *TNI_PUSH(parser, *ret_items, *ret_count) = expr;
    } while (tni_accept_op(parser, ','));
}

void tni_parse_sorts(struct tni_parser *parser, struct tn_ast_sort **ret_sorts, uint32_t *ret_count)
{
    do {
        struct tn_ast_sort sort = {.expr = tni_parse_expr(parser)};
        if (!tni_accept_quiet(parser, TNI_KW_ASC))
            sort.is_desc = tni_accept_quiet(parser, TNI_KW_DESC);
        if (tni_accept_quiet(parser, TNI_KW_NULLS)) {
            sort.nulls = TN_AN_FIRST;
            if (!tni_accept(parser, TNI_KW_FIRST)) {
                sort.nulls = TN_AN_LAST;
                tni_expect(parser, TNI_KW_LAST);
            }
        }
        *TNI_PUSH(parser, *ret_sorts, *ret_count) = sort;
    } while (tni_accept_op(parser, ','));
}

unsigned tni_sorts_height(const struct tn_ast_sort *sorts, uint32_t count)
{
    unsigned height = 0;
    for (uint32_t i = 0; i < count; i++)
        if (sorts[i].expr->height > height)
            height = sorts[i].expr->height;
    return height;
}
