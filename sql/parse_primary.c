/* Expressions: literals, names, parentheses, constructors, CASE, CAST and what follows them ([] .
 * ->). Function calls: parse_call.c. How the parser works: parse_int.h. */
#include "sql/parse_int.h"

#include <stdlib.h>

/* ---- literals ---------------------------------------------------------------------------- */

/* Sign, digits without underscores; hexadecimal and the like in decimal. */
static struct tn_str number_text(struct tni_parser *parser, const struct tni_token *token,
                                 bool is_negative, bool is_integer, int64_t value)
{
    if (is_integer) {
        const char *text = tn_arena_printf(parser->arena, "%lld", (long long)value);
        return tn_str_of(text);
    }
    char *to = tn_arena_alloc(parser->arena, token->raw.len + 3);
    size_t len = 0;
    if (is_negative)
        to[len++] = '-';
    if (token->raw.ptr[0] == '.')
        to[len++] = '0';
    for (size_t i = 0; i < token->raw.len; i++)
        if (token->raw.ptr[i] != '_')
            to[len++] = token->raw.ptr[i];
    to[len] = 0;
    return (struct tn_str){to, len};
}

static struct tn_ast_expr *parse_number(struct tni_parser *parser, bool is_negative, int line,
                                        int col)
{
    struct tni_token token = parser->tok;
    struct tn_ast_expr *expr = tni_ast_node(parser, TN_AX_DECIMAL, line, col);
    bool is_integer =
        token.kind == TNI_T_INTEGER && tni_token_integer(&token, is_negative, &expr->integer);
    bool is_radix = token.kind == TNI_T_INTEGER && token.raw.len > 1 && token.raw.ptr[0] == '0' &&
                    token.raw.ptr[1] >= 'A';
    if (is_radix && !is_integer)
        tni_fail_at(parser, line, col, "number '%.*s' is too large", TN_STR_FMT(token.raw));
    expr->text = number_text(parser, &token, is_negative, is_integer, expr->integer);
    if (is_integer)
        expr->kind = TN_AX_INTEGER;
    if (token.kind == TNI_T_DOUBLE) {
        expr->kind = TN_AX_DOUBLE;
        expr->number = strtod(expr->text.ptr, NULL);
    }
    tni_advance(parser);
    return expr;
}

static struct tn_ast_expr *parse_string(struct tni_parser *parser)
{
    enum tn_ast_expr_kind kind = parser->tok.kind == TNI_T_BYTES ? TN_AX_BYTES : TN_AX_STRING;
    struct tn_ast_expr *expr = tni_ast_node(parser, kind, parser->tok.line, parser->tok.col);
    enum tn_status st = tni_token_text(&parser->tok, parser->arena, &expr->text, parser->err);
    if (tn_failed(st)) {
        tni_stop(parser, st);
        expr->text = TN_STR("");
    } else {
        tni_advance(parser);
    }
    return expr;
}

/* INTERVAL [+|-] 'text' unit [TO unit] */
static struct tn_ast_expr *parse_interval(struct tni_parser *parser)
{
    struct tn_ast_expr *expr =
        tni_ast_node(parser, TN_AX_INTERVAL, parser->tok.line, parser->tok.col);
    tni_advance(parser);
    expr->is_negative = tni_is_op(parser, '-');
    if (expr->is_negative || tni_is_op(parser, '+'))
        tni_advance(parser);
    expr->text = tni_string(parser, "a string");
    enum tn_ast_unit *units[] = {&expr->unit, &expr->unit_to};
    for (int i = 0; i < 2; i++) {
        *units[i] = tni_unit_of(&parser->tok);
        if (*units[i] == TN_AU_NONE) {
            tni_want_kw(parser, TNI_KW_SECOND);
            tni_want_kw(parser, TNI_KW_MINUTE);
            tni_want_kw(parser, TNI_KW_HOUR);
            tni_want_kw(parser, TNI_KW_DAY);
            tni_want_kw(parser, TNI_KW_WEEK);
            tni_want_kw(parser, TNI_KW_MONTH);
            tni_want_kw(parser, TNI_KW_YEAR);
            tni_expected(parser);
            break;
        }
        tni_advance(parser);
        if (i == 1 || !tni_is_kw(parser, TNI_KW_TO))
            break;
        tni_advance(parser);
    }
    return expr;
}

/* DATE '…', TIMESTAMP '…', DOUBLE PRECISION '…', any_name '…' */
static struct tn_ast_expr *parse_typed(struct tni_parser *parser)
{
    struct tn_ast_expr *expr = tni_ast_node(parser, TN_AX_TYPED, parser->tok.line, parser->tok.col);
    expr->type = tni_parse_type(parser);
    expr->text = tni_string(parser, "a string");
    return expr;
}

/* ---- forms ------------------------------------------------------------------------------- */

static struct tn_ast_expr *parse_case(struct tni_parser *parser)
{
    struct tn_ast_expr *expr = tni_ast_node(parser, TN_AX_CASE, parser->tok.line, parser->tok.col);
    tni_advance(parser);
    if (!tni_is_kw(parser, TNI_KW_WHEN)) {
        expr->has_operand = true;
        tni_add_arg(parser, expr, tni_parse_expr(parser));
    }
    if (!tni_is_kw(parser, TNI_KW_WHEN))
        tni_expect(parser, TNI_KW_WHEN);
    while (tni_accept(parser, TNI_KW_WHEN)) {
        tni_add_arg(parser, expr, tni_parse_expr(parser));
        tni_expect(parser, TNI_KW_THEN);
        tni_add_arg(parser, expr, tni_parse_expr(parser));
    }
    if (tni_accept(parser, TNI_KW_ELSE)) {
        expr->has_else = true;
        tni_add_arg(parser, expr, tni_parse_expr(parser));
    }
    tni_expect(parser, TNI_KW_END);
    return expr;
}

static struct tn_ast_expr *parse_cast(struct tni_parser *parser)
{
    struct tn_ast_expr *expr = tni_ast_node(parser, TN_AX_CAST, parser->tok.line, parser->tok.col);
    expr->is_try = tni_is_kw(parser, TNI_KW_TRY_CAST);
    tni_advance(parser);
    tni_expect_op(parser, '(');
    tni_add_arg(parser, expr, tni_parse_expr(parser));
    tni_expect(parser, TNI_KW_AS);
    expr->type = tni_parse_type(parser);
    tni_expect_op(parser, ')');
    return expr;
}

/* "TIMESTAMP col": what Grafana's parse-time macro leaves; means CAST(col AS TIMESTAMP). */
static struct tn_ast_expr *parse_timestamp_macro(struct tni_parser *parser)
{
    struct tn_ast_expr *expr = tni_ast_node(parser, TN_AX_CAST, parser->tok.line, parser->tok.col);
    expr->is_macro = true;
    expr->type = TN_ARENA_NEW(parser->arena, struct tn_ast_type);
    expr->type->name = tni_ident(parser, "TIMESTAMP");
    expr->type->line = expr->line;
    expr->type->col = expr->col;
    expr->type->height = 1;
    struct tn_ast_expr *arg = tni_ast_node(parser, TN_AX_NAME, parser->tok.line, parser->tok.col);
    arg->name = tni_name(parser, "a column name");
    tni_add_arg(parser, expr, arg);
    return expr;
}

/* A word that is no keyword behind TIMESTAMP names a column, unless the pair is a column with its
 * alias: the text ends there, or goes on with ',' FROM or ')'. */
static bool is_timestamp_macro(const struct tni_parser *parser)
{
    struct tni_token next = tni_peek(parser, 1);
    if (next.kind != TNI_T_QUOTED && (next.kind != TNI_T_WORD || next.kw != TNI_KW_NONE))
        return false;
    if (parser->depth != parser->item_depth)
        return true;
    struct tni_token after = tni_peek(parser, 2);
    return after.kind != TNI_T_END && !tni_token_is_kw(&after, TNI_KW_FROM) &&
           !tni_token_op_in(&after, ",;)");
}

/* ---- constructors ------------------------------------------------------------------------ */

static struct tn_ast_expr *parse_array(struct tni_parser *parser)
{
    struct tn_ast_expr *expr = tni_ast_node(parser, TN_AX_ARRAY, parser->tok.line, parser->tok.col);
    tni_advance(parser);
    tni_expect_op(parser, '[');
    if (!tni_is_op(parser, ']'))
        do {
            tni_add_arg(parser, expr, tni_parse_expr(parser));
        } while (tni_accept_op(parser, ','));
    tni_expect_op(parser, ']');
    return expr;
}

static struct tn_ast_expr *parse_row(struct tni_parser *parser)
{
    struct tn_ast_expr *expr = tni_ast_node(parser, TN_AX_ROW, parser->tok.line, parser->tok.col);
    tni_advance(parser);
    tni_expect_op(parser, '(');
    do {
        tni_add_arg(parser, expr, tni_parse_expr(parser));
    } while (tni_accept_op(parser, ','));
    tni_expect_op(parser, ')');
    return expr;
}

/* STRUCT(f := v, …) */
static struct tn_ast_expr *parse_struct(struct tni_parser *parser)
{
    struct tn_ast_expr *expr =
        tni_ast_node(parser, TN_AX_STRUCT, parser->tok.line, parser->tok.col);
    tni_advance(parser);
    tni_expect_op(parser, '(');
    if (!tni_is_op(parser, ')'))
        do {
            struct tn_ident ident = tni_ident(parser, "a field name");
            *TNI_PUSH(parser, expr->idents, expr->idents_count) = ident;
            tni_expect_op(parser, TNI_OP_ASSIGN);
            tni_add_arg(parser, expr, tni_parse_expr(parser));
        } while (tni_accept_op(parser, ','));
    tni_expect_op(parser, ')');
    return expr;
}

/* MAP(k := v, …), or the function map(keys, values): the first ':=' decides. */
static struct tn_ast_expr *parse_map(struct tni_parser *parser)
{
    struct tni_token word = parser->tok, first = tni_peek(parser, 2);
    struct tn_ast_name *name = tni_name(parser, "a function name");
    if (tni_token_is_op(&first, ')') || tni_token_is_op(&first, '*') ||
        tni_token_is_kw(&first, TNI_KW_DISTINCT) || tni_token_is_kw(&first, TNI_KW_ALL))
        return tni_parse_call(parser, name);
    tni_expect_op(parser, '(');
    struct tn_ast_expr *key = tni_parse_expr(parser);
    if (!tni_accept_op(parser, TNI_OP_ASSIGN))
        return tni_parse_call_after(parser, name, key);
    struct tn_ast_expr *expr = tni_ast_node(parser, TN_AX_MAP, word.line, word.col);
    tni_add_arg(parser, expr, key);
    tni_add_arg(parser, expr, tni_parse_expr(parser));
    while (tni_accept_op(parser, ',')) {
        tni_add_arg(parser, expr, tni_parse_expr(parser));
        tni_expect_op(parser, TNI_OP_ASSIGN);
        tni_add_arg(parser, expr, tni_parse_expr(parser));
    }
    tni_expect_op(parser, ')');
    return expr;
}

/* ---- lambdas ----------------------------------------------------------------------------- */

/* At '(': is this (a, b, …) followed by `op`? */
static bool is_lambda_paren(const struct tni_parser *parser, int op, uint32_t *ret_count)
{
    struct tni_lexer ahead = parser->lexer;
    struct tni_token token;
    uint32_t count = 0;
    tni_lexer_next(&ahead, &token);
    while (tni_token_is_name(&token)) {
        count++;
        tni_lexer_next(&ahead, &token);
        if (!tni_token_is_op(&token, ','))
            break;
        tni_lexer_next(&ahead, &token);
    }
    *ret_count = count;
    if (!tni_token_is_op(&token, ')'))
        return false;
    tni_lexer_next(&ahead, &token);
    return tni_token_is_op(&token, op);
}

/* x => e, (k, v) => e; with is_arrow also Trino's x -> e: see tni_parse_call. */
bool tni_is_lambda(const struct tni_parser *parser, bool is_arrow)
{
    uint32_t count = 0;
    if (tni_is_op(parser, '('))
        return is_lambda_paren(parser, TNI_OP_LAMBDA, &count) ||
               (is_lambda_paren(parser, TNI_OP_ARROW, &count) && (is_arrow || count != 1));
    if (!tni_token_is_name(&parser->tok))
        return false;
    return tni_peek_op(parser, TNI_OP_LAMBDA) || (is_arrow && tni_peek_op(parser, TNI_OP_ARROW));
}

struct tn_ast_expr *tni_parse_lambda(struct tni_parser *parser)
{
    struct tn_ast_expr *expr =
        tni_ast_node(parser, TN_AX_LAMBDA, parser->tok.line, parser->tok.col);
    if (tni_is_op(parser, '(') && tni_peek_op(parser, ')')) {
        tni_advance(parser);
        tni_advance(parser);
    } else if (tni_is_op(parser, '(')) {
        tni_ident_list(parser, "a parameter name", &expr->idents, &expr->idents_count);
    } else {
        struct tn_ident ident = tni_ident(parser, "a parameter name");
        *TNI_PUSH(parser, expr->idents, expr->idents_count) = ident;
    }
    if (!tni_is_op(parser, TNI_OP_ARROW))
        tni_expect_op(parser, TNI_OP_LAMBDA);
    else
        tni_advance(parser);
    tni_add_arg(parser, expr, tni_parse_expr(parser));
    return expr;
}

/* ---- parentheses ------------------------------------------------------------------------- */

static struct tn_ast_expr *query_expr(struct tni_parser *parser, struct tn_ast_query *query,
                                      int line, int col)
{
    struct tn_ast_expr *expr = tni_ast_node(parser, TN_AX_SUBQUERY, line, col);
    expr->query = query;
    tni_raise(parser, &expr->height, query->height, line, col);
    return expr;
}

static struct tn_ast_expr *parse_paren(struct tni_parser *parser);

struct tn_ast_expr *tni_parse_expr_or_query(struct tni_parser *parser,
                                            struct tn_ast_query **ret_query)
{
    if (tni_is_query_start(&parser->tok)) {
        *ret_query = tni_parse_query(parser);
        return NULL;
    }
    if (tni_is_op(parser, '(') && !tni_is_lambda(parser, false)) {
        struct tn_ast_expr *inner = parse_paren(parser);
        if (inner->kind == TN_AX_SUBQUERY && tni_is_query_tail(parser)) {
            parser->pending_query = inner->query;
            *ret_query = tni_parse_query(parser);
            return NULL;
        }
        parser->pending_expr = tni_failed(parser) ? NULL : inner;
    }
    return tni_parse_expr(parser);
}

/* (e), (a, b), (SELECT …), ((SELECT …) UNION …) */
static struct tn_ast_expr *parse_paren(struct tni_parser *parser)
{
    int line = parser->tok.line, col = parser->tok.col;
    struct tn_ast_query *query = NULL;
    if (!tni_enter(parser)) {
        tni_leave(parser);
        return tni_ast_node(parser, TN_AX_NULL, line, col);
    }
    tni_expect_op(parser, '(');
    struct tn_ast_expr *expr = tni_parse_expr_or_query(parser, &query);
    if (query) {
        expr = query_expr(parser, query, line, col);
    } else if (tni_accept_op(parser, ',')) {
        struct tn_ast_expr *row = tni_ast_node(parser, TN_AX_ROW, line, col);
        tni_add_arg(parser, row, expr);
        do {
            tni_add_arg(parser, row, tni_parse_expr(parser));
        } while (tni_accept_op(parser, ','));
        expr = row;
    }
    tni_expect_op(parser, ')');
    tni_leave(parser);
    return expr;
}

static struct tn_ast_expr *parse_exists(struct tni_parser *parser)
{
    struct tn_ast_expr *expr =
        tni_ast_node(parser, TN_AX_EXISTS, parser->tok.line, parser->tok.col);
    tni_advance(parser);
    tni_expect_op(parser, '(');
    expr->query = tni_parse_query(parser);
    tni_raise(parser, &expr->height, expr->query->height, expr->line, expr->col);
    tni_expect_op(parser, ')');
    return expr;
}

/* ---- words ------------------------------------------------------------------------------- */

static bool is_bare_call(enum tni_kw kw)
{
    switch (kw) {
    case TNI_KW_CURRENT_CATALOG:
    case TNI_KW_CURRENT_DATE:
    case TNI_KW_CURRENT_PATH:
    case TNI_KW_CURRENT_ROLE:
    case TNI_KW_CURRENT_SCHEMA:
    case TNI_KW_CURRENT_TIME:
    case TNI_KW_CURRENT_TIMESTAMP:
    case TNI_KW_CURRENT_USER:
    case TNI_KW_LOCALTIME:
    case TNI_KW_LOCALTIMESTAMP: return true;
    default: return false;
    }
}

/* current_timestamp, current_timestamp(6) */
static struct tn_ast_expr *parse_bare_call(struct tni_parser *parser)
{
    struct tn_ast_expr *expr = tni_ast_node(parser, TN_AX_CALL, parser->tok.line, parser->tok.col);
    expr->call = TN_ARENA_NEW(parser->arena, struct tn_ast_call);
    expr->call->is_bare = true;
    expr->call->name.line = expr->line;
    expr->call->name.col = expr->col;
    struct tn_ident ident = tni_ident_any(parser, "a function name");
    *TNI_PUSH(parser, expr->call->name.parts, expr->call->name.parts_count) = ident;
    if (tni_accept_op_quiet(parser, '(')) {
        if (parser->tok.kind == TNI_T_INTEGER)
            tni_add_arg(parser, expr,
                        parse_number(parser, false, parser->tok.line, parser->tok.col));
        tni_expect_op(parser, ')');
    }
    return expr;
}

static struct tn_ast_expr *parse_reserved(struct tni_parser *parser)
{
    int line = parser->tok.line, col = parser->tok.col;
    struct tn_ast_expr *expr;
    switch (parser->tok.kw) {
    case TNI_KW_NULL: expr = tni_ast_node(parser, TN_AX_NULL, line, col); break;
    case TNI_KW_TRUE:
    case TNI_KW_FALSE:
        expr = tni_ast_node(parser, TN_AX_BOOLEAN, line, col);
        expr->boolean = parser->tok.kw == TNI_KW_TRUE;
        break;
    case TNI_KW_CASE: return parse_case(parser);
    case TNI_KW_CAST: return parse_cast(parser);
    case TNI_KW_EXISTS: return parse_exists(parser);
    default:
        if (is_bare_call(parser->tok.kw))
            return parse_bare_call(parser);
        tni_want(parser, "an expression");
        tni_expected(parser);
        return tni_ast_node(parser, TN_AX_NULL, line, col);
    }
    tni_advance(parser);
    return expr;
}

static bool is_string_token(const struct tni_token *token)
{
    return token->kind == TNI_T_STRING || token->kind == TNI_T_UNICODE;
}

static bool is_typed_literal(const struct tni_parser *parser, const struct tni_token *next)
{
    if (is_string_token(next))
        return true;
    if (!tni_is_kw(parser, TNI_KW_DOUBLE) || !tni_token_is_kw(next, TNI_KW_PRECISION))
        return false;
    struct tni_token after = tni_peek(parser, 2);
    return is_string_token(&after);
}

static bool is_interval(const struct tni_parser *parser, const struct tni_token *next)
{
    if (!tni_is_kw(parser, TNI_KW_INTERVAL))
        return false;
    struct tni_token after = tni_peek(parser, 2);
    return is_string_token(next) ||
           ((tni_token_is_op(next, '-') || tni_token_is_op(next, '+')) && is_string_token(&after));
}

/* Forms that begin with a word that may also be a name; NULL when it is one. */
static struct tn_ast_expr *parse_word_form(struct tni_parser *parser)
{
    struct tni_token next = tni_peek(parser, 1);
    bool is_call = tni_token_is_op(&next, '(');
    if (is_interval(parser, &next))
        return parse_interval(parser);
    if (is_typed_literal(parser, &next))
        return parse_typed(parser);
    switch (parser->tok.kw) {
    case TNI_KW_TRY_CAST: return is_call ? parse_cast(parser) : NULL;
    case TNI_KW_ARRAY: return tni_token_is_op(&next, '[') ? parse_array(parser) : NULL;
    case TNI_KW_MAP: return is_call ? parse_map(parser) : NULL;
    case TNI_KW_STRUCT: return is_call ? parse_struct(parser) : NULL;
    case TNI_KW_ROW: return is_call ? parse_row(parser) : NULL;
    case TNI_KW_TIMESTAMP: return is_timestamp_macro(parser) ? parse_timestamp_macro(parser) : NULL;
    default: return NULL;
    }
}

static struct tn_ast_expr *parse_name(struct tni_parser *parser)
{
    if (tni_is_lambda(parser, false))
        return tni_parse_lambda(parser);
    if (parser->tok.kind == TNI_T_WORD) {
        struct tn_ast_expr *form = parse_word_form(parser);
        if (form)
            return form;
    }
    int line = parser->tok.line, col = parser->tok.col;
    struct tn_ast_name *name = tni_name(parser, "an expression");
    if (tni_is_op(parser, '('))
        return tni_parse_call(parser, name);
    struct tn_ast_expr *expr = tni_ast_node(parser, TN_AX_NAME, line, col);
    expr->name = name;
    return expr;
}

/* ---- primary ----------------------------------------------------------------------------- */

static struct tn_ast_expr *parse_param(struct tni_parser *parser)
{
    struct tn_ast_expr *expr = tni_ast_node(parser, TN_AX_PARAM, parser->tok.line, parser->tok.col);
    expr->integer = parser->params_count++;
    tni_advance(parser);
    return expr;
}

static struct tn_ast_expr *parse_operand(struct tni_parser *parser)
{
    int line = parser->tok.line, col = parser->tok.col;
    switch (parser->tok.kind) {
    case TNI_T_INTEGER:
    case TNI_T_DECIMAL:
    case TNI_T_DOUBLE: return parse_number(parser, false, line, col);
    case TNI_T_STRING:
    case TNI_T_UNICODE:
    case TNI_T_BYTES: return parse_string(parser);
    case TNI_T_QUOTED: return parse_name(parser);
    case TNI_T_WORD:
        return tni_keyword_is_reserved(parser->tok.kw) ? parse_reserved(parser)
                                                       : parse_name(parser);
    case TNI_T_OP:
        if (parser->tok.op == '?')
            return parse_param(parser);
        if (parser->tok.op == '(')
            return tni_is_lambda(parser, false) ? tni_parse_lambda(parser) : parse_paren(parser);
        break;
    default: break;
    }
    tni_want(parser, "an expression");
    tni_expected(parser);
    return tni_ast_node(parser, TN_AX_NULL, line, col);
}

/* a[i], e.field, s->field */
static struct tn_ast_expr *parse_postfix(struct tni_parser *parser, struct tn_ast_expr *expr)
{
    for (;;) {
        struct tni_token op = parser->tok;
        bool is_dot = tni_is_op(parser, '.');
        struct tn_ast_expr *outer;
        if (tni_accept_op_quiet(parser, '[')) {
            outer = tni_ast_node(parser, TN_AX_SUBSCRIPT, op.line, op.col);
            tni_add_arg(parser, outer, expr);
            tni_add_arg(parser, outer, tni_parse_expr(parser));
            tni_expect_op(parser, ']');
        } else if ((is_dot || tni_is_op(parser, TNI_OP_ARROW)) && !tni_peek_op(parser, '*')) {
            tni_advance(parser);
            outer = tni_ast_node(parser, is_dot ? TN_AX_FIELD : TN_AX_ARROW, op.line, op.col);
            outer->ident = tni_ident_any(parser, "a field name");
            tni_add_arg(parser, outer, expr);
        } else {
            return expr;
        }
        expr = outer;
    }
}

struct tn_ast_expr *tni_parse_primary(struct tni_parser *parser)
{
    struct tn_ast_expr *expr = parser->pending_expr;
    parser->pending_expr = NULL;
    if (!expr && tni_is_op(parser, '-')) { /* parse_unary left the one before a number */
        int line = parser->tok.line, col = parser->tok.col;
        tni_advance(parser);
        return parse_number(parser, true, line, col);
    }
    return parse_postfix(parser, expr ? expr : parse_operand(parser));
}
