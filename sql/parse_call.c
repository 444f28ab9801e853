/* Function calls, their special forms, OVER; and types. How the parser works: parse_int.h. */
#include "sql/ast_print_int.h"
#include "sql/parse_int.h"

/* ---- lambdas of Trino -------------------------------------------------------------------- */

/* `x -> e` is a lambda in Trino and a field of a struct in ksqlDB. It is a lambda where only a
 * lambda can stand: these arguments of these functions. (With two parameters, and with =>, it is
 * one everywhere.) */
bool tni_takes_lambda(const struct tn_ast_name *name, uint32_t arg)
{
    static const struct {
        const char *name;
        uint32_t first, last; /* argument indexes */
    } items[] = {{"transform", 1, 2},        {"filter", 1, 1},       {"reduce", 2, 3},
                 {"any_match", 1, 1},        {"all_match", 1, 1},    {"none_match", 1, 1},
                 {"zip_with", 2, 2},         {"map_filter", 1, 1},   {"transform_keys", 1, 1},
                 {"transform_values", 1, 1}, {"map_zip_with", 2, 2}, {"array_sort", 1, 1},
                 {"reduce_agg", 2, 3}};
    struct tn_str text = tn_ast_last(name).text;
    for (size_t i = 0; i < sizeof items / sizeof items[0]; i++)
        if (arg >= items[i].first && arg <= items[i].last &&
            tn_str_eq_nocase(text, tn_str_of(items[i].name)))
            return true;
    return false;
}

/* Functions of ksqlDB whose first argument is a time unit: TIMESTAMPADD(HOURS, 2, t). */
static bool takes_unit(const struct tn_ast_name *name)
{
    static const char *const names[] = {"timestampadd", "timestampsub", "dateadd",
                                        "datesub",      "timeadd",      "timesub"};
    struct tn_str text = tn_ast_last(name).text;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (tn_str_eq_nocase(text, tn_str_of(names[i])))
            return true;
    return false;
}

/* ---- special forms ----------------------------------------------------------------------- */

static struct tn_ast_expr *call_node(struct tni_parser *parser, struct tn_ast_name *name)
{
    struct tn_ast_expr *expr = tni_ast_node(parser, TN_AX_CALL, name->line, name->col);
    expr->call = TN_ARENA_NEW(parser->arena, struct tn_ast_call);
    expr->call->name = *name;
    return expr;
}

static void rename_call(struct tni_parser *parser, struct tn_ast_expr *expr, const char *text)
{
    struct tn_ast_name *name = &expr->call->name;
    struct tn_ident ident = name->parts[0];
    ident.text = tn_str_of(text);
    if (parser->is_identifiers_ksql) {
        char *upper = tn_arena_strdup(parser->arena, text);
        for (char *p = upper; *p; p++)
            *p = (char)(*p >= 'a' && *p <= 'z' ? *p - 32 : *p);
        ident.text.ptr = upper;
    }
    name->parts = TN_ARENA_NEW(parser->arena, struct tn_ident);
    name->parts[0] = ident;
}

static struct tn_ast_expr *parse_extract(struct tni_parser *parser, struct tn_ast_name *name)
{
    struct tn_ast_expr *expr = tni_ast_node(parser, TN_AX_EXTRACT, name->line, name->col);
    tni_expect_op(parser, '(');
    expr->unit = tni_unit_of(&parser->tok);
    if (expr->unit == TN_AU_NONE)
        expr->unit = TN_AU_OTHER;
    struct tn_str word = {"", 0};
    if (parser->tok.kind == TNI_T_WORD) {
        word = parser->tok.raw;
        tni_advance(parser);
    } else {
        tni_want(parser, "a field (YEAR, HOUR, …)");
        tni_expected(parser);
    }
    char *lower = tn_arena_alloc(parser->arena, word.len + 1);
    for (size_t i = 0; i < word.len; i++)
        lower[i] =
            (char)(word.ptr[i] >= 'A' && word.ptr[i] <= 'Z' ? word.ptr[i] + 32 : word.ptr[i]);
    lower[word.len] = 0;
    expr->text = (struct tn_str){lower, word.len};
    tni_expect(parser, TNI_KW_FROM);
    tni_add_arg(parser, expr, tni_parse_expr(parser));
    tni_expect_op(parser, ')');
    return expr;
}

/* trim([[BOTH|LEADING|TRAILING] [chars] FROM] x), also trim(x, chars) */
static struct tn_ast_expr *parse_trim(struct tni_parser *parser, struct tn_ast_name *name)
{
    struct tn_ast_expr *expr = call_node(parser, name), *chars = NULL;
    tni_expect_op(parser, '(');
    struct tni_token next = tni_peek(parser, 1);
    bool is_side = next.kind != TNI_T_OP || next.op == '(';
    bool needs_from = true;
    if (is_side && tni_is_kw(parser, TNI_KW_LEADING)) {
        rename_call(parser, expr, "ltrim");
        tni_advance(parser);
    } else if (is_side && tni_is_kw(parser, TNI_KW_TRAILING)) {
        rename_call(parser, expr, "rtrim");
        tni_advance(parser);
    } else if (is_side && tni_is_kw(parser, TNI_KW_BOTH)) {
        tni_advance(parser);
    } else {
        needs_from = false;
    }
    if (!tni_is_kw(parser, TNI_KW_FROM))
        chars = tni_parse_expr(parser);
    if (needs_from ? (tni_expect(parser, TNI_KW_FROM), true) : tni_accept(parser, TNI_KW_FROM)) {
        tni_add_arg(parser, expr, tni_parse_expr(parser));
        if (chars)
            tni_add_arg(parser, expr, chars);
    } else {
        if (chars)
            tni_add_arg(parser, expr, chars);
        while (tni_accept_op(parser, ','))
            tni_add_arg(parser, expr, tni_parse_expr(parser));
    }
    tni_expect_op(parser, ')');
    return expr;
}

/* substring(x FROM a [FOR b]), also substring(x, a, b) */
static struct tn_ast_expr *parse_substring(struct tni_parser *parser, struct tn_ast_name *name)
{
    struct tn_ast_expr *expr = call_node(parser, name);
    tni_expect_op(parser, '(');
    tni_add_arg(parser, expr, tni_parse_expr(parser));
    if (tni_accept(parser, TNI_KW_FROM)) {
        tni_add_arg(parser, expr, tni_parse_expr(parser));
        if (tni_accept(parser, TNI_KW_FOR))
            tni_add_arg(parser, expr, tni_parse_expr(parser));
    } else {
        while (tni_accept_op(parser, ','))
            tni_add_arg(parser, expr, tni_parse_expr(parser));
    }
    tni_expect_op(parser, ')');
    return expr;
}

/* position(a IN b) is strpos(b, a); also position(a, b), a function like any other. */
static struct tn_ast_expr *parse_position(struct tni_parser *parser, struct tn_ast_name *name)
{
    struct tn_ast_expr *expr = call_node(parser, name);
    tni_expect_op(parser, '(');
    struct tn_ast_expr *first = tni_parse_value(parser);
    if (tni_accept(parser, TNI_KW_IN)) {
        rename_call(parser, expr, "strpos");
        tni_add_arg(parser, expr, tni_parse_value(parser));
        tni_add_arg(parser, expr, first);
    } else {
        tni_add_arg(parser, expr, first);
        while (tni_accept_op(parser, ','))
            tni_add_arg(parser, expr, tni_parse_expr(parser));
    }
    tni_expect_op(parser, ')');
    return expr;
}

/* normalize(x [, NFC|NFD|NFKC|NFKD]) */
static struct tn_ast_expr *parse_normalize(struct tni_parser *parser, struct tn_ast_name *name)
{
    struct tn_ast_expr *expr = call_node(parser, name);
    tni_expect_op(parser, '(');
    tni_add_arg(parser, expr, tni_parse_expr(parser));
    if (tni_accept_op(parser, ',')) {
        struct tni_token form = parser->tok;
        if (tni_is_kw(parser, TNI_KW_NFC) || tni_is_kw(parser, TNI_KW_NFD) ||
            tni_is_kw(parser, TNI_KW_NFKC) || tni_is_kw(parser, TNI_KW_NFKD)) {
            struct tn_ast_expr *text = tni_ast_node(parser, TN_AX_STRING, form.line, form.col);
            text->text = tn_str_of(tni_keyword_text(form.kw));
            tni_add_arg(parser, expr, text);
            tni_advance(parser);
        } else {
            tni_add_arg(parser, expr, tni_parse_expr(parser));
        }
    }
    tni_expect_op(parser, ')');
    return expr;
}

/* ---- arguments and what follows them ----------------------------------------------------- */

static struct tn_ast_expr *parse_arg(struct tni_parser *parser, const struct tn_ast_expr *expr)
{
    const struct tn_ast_name *name = &expr->call->name;
    if (tni_is_lambda(parser, tni_takes_lambda(name, expr->args_count)))
        return tni_parse_lambda(parser);
    struct tni_token token = parser->tok;
    struct tn_ast_expr *arg = tni_parse_expr(parser);
    if (expr->args_count == 0 && arg->kind == TN_AX_NAME && takes_unit(name) &&
        arg->name->parts_count == 1 && !arg->name->parts[0].is_quoted) {
        token.kw = tni_keyword_find(arg->name->parts[0].text);
        token.kind = TNI_T_WORD;
        arg->unit = tni_unit_of(&token);
        if (arg->unit != TN_AU_NONE) {
            arg->kind = TN_AX_UNIT;
            arg->name = NULL;
        }
    }
    return arg;
}

/* a, b [ORDER BY …] ) */
static void parse_arg_list(struct tni_parser *parser, struct tn_ast_expr *expr)
{
    struct tn_ast_call *call = expr->call;
    while (expr->args_count == 0 || tni_accept_op(parser, ','))
        tni_add_arg(parser, expr, parse_arg(parser, expr));
    if (tni_is_kw(parser, TNI_KW_ON) && tni_peek_kw(parser, TNI_KW_OVERFLOW))
        tni_fail(parser, TN_E_UNSUPPORTED, NULL, parser->tok.line, parser->tok.col,
                 "ON OVERFLOW of listagg is not supported");
    if (tni_accept_quiet(parser, TNI_KW_ORDER)) {
        tni_expect(parser, TNI_KW_BY);
        tni_parse_sorts(parser, &call->sorts, &call->sorts_count);
    }
    tni_expect_op(parser, ')');
}

/* ( * ), (), ([DISTINCT|ALL] a, b …) */
static void parse_args(struct tni_parser *parser, struct tn_ast_expr *expr)
{
    struct tn_ast_call *call = expr->call;
    tni_expect_op(parser, '(');
    if (tni_accept_op_quiet(parser, '*')) {
        call->is_star = true;
        tni_expect_op(parser, ')');
    } else if (!tni_accept_op_quiet(parser, ')')) {
        struct tni_token next = tni_peek(parser, 1);
        call->is_distinct = tni_accept_quiet(parser, TNI_KW_DISTINCT);
        if (!call->is_distinct && tni_is_kw(parser, TNI_KW_ALL) &&
            (next.kind != TNI_T_OP || next.op == '('))
            tni_advance(parser);
        parse_arg_list(parser, expr);
    }
}

/* [WITHIN GROUP (ORDER BY …)] [FILTER (WHERE …)] [IGNORE|RESPECT NULLS] [OVER …] */
static void parse_call_tail(struct tni_parser *parser, struct tn_ast_expr *expr)
{
    struct tn_ast_call *call = expr->call;
    if (tni_is_kw(parser, TNI_KW_WITHIN) && tni_peek_kw(parser, TNI_KW_GROUP)) {
        tni_advance(parser);
        tni_advance(parser);
        tni_expect_op(parser, '(');
        tni_expect(parser, TNI_KW_ORDER);
        tni_expect(parser, TNI_KW_BY);
        call->is_within_group = true;
        call->sorts_count = 0;
        call->sorts = NULL;
        tni_parse_sorts(parser, &call->sorts, &call->sorts_count);
        tni_expect_op(parser, ')');
    }
    if (tni_is_kw(parser, TNI_KW_FILTER) && tni_peek_op(parser, '(')) {
        tni_advance(parser);
        tni_advance(parser);
        tni_expect(parser, TNI_KW_WHERE);
        call->filter = tni_parse_expr(parser);
        tni_raise(parser, &expr->height, call->filter->height, expr->line, expr->col);
        tni_expect_op(parser, ')');
    }
    bool is_ignore = tni_is_kw(parser, TNI_KW_IGNORE);
    if ((is_ignore || tni_is_kw(parser, TNI_KW_RESPECT)) && tni_peek_kw(parser, TNI_KW_NULLS)) {
        tni_advance(parser);
        tni_advance(parser);
        call->is_ignore_nulls = is_ignore;
        call->is_respect_nulls = !is_ignore;
    }
    struct tni_token next = tni_peek(parser, 1);
    if (tni_is_kw(parser, TNI_KW_OVER) &&
        (tni_token_is_op(&next, '(') || tni_token_is_name(&next))) {
        tni_advance(parser);
        call->over = tni_parse_over(parser);
        tni_raise(parser, &expr->height, tni_over_height(call->over), expr->line, expr->col);
    }
    tni_raise(parser, &expr->height, tni_sorts_height(call->sorts, call->sorts_count), expr->line,
              expr->col);
}

struct tn_ast_expr *tni_parse_call(struct tni_parser *parser, struct tn_ast_name *name)
{
    if (name->parts_count == 1 && !name->parts[0].is_quoted) {
        switch (tni_keyword_find(name->parts[0].text)) {
        case TNI_KW_EXTRACT: return parse_extract(parser, name);
        case TNI_KW_TRIM: return parse_trim(parser, name);
        case TNI_KW_SUBSTRING: return parse_substring(parser, name);
        case TNI_KW_POSITION: return parse_position(parser, name);
        case TNI_KW_NORMALIZE: return parse_normalize(parser, name);
        default: break;
        }
    }
    struct tn_ast_expr *expr = call_node(parser, name);
    parse_args(parser, expr);
    parse_call_tail(parser, expr);
    return expr;
}

struct tn_ast_expr *tni_parse_call_after(struct tni_parser *parser, struct tn_ast_name *name,
                                         struct tn_ast_expr *first)
{
    struct tn_ast_expr *expr = call_node(parser, name);
    tni_add_arg(parser, expr, first);
    parse_arg_list(parser, expr);
    parse_call_tail(parser, expr);
    return expr;
}

/* ---- OVER -------------------------------------------------------------------------------- */

static enum tn_ast_bound parse_bound(struct tni_parser *parser, struct tn_ast_expr **ret_offset)
{
    struct tni_token next = tni_peek(parser, 1);
    if (tni_is_kw(parser, TNI_KW_UNBOUNDED) &&
        (tni_token_is_kw(&next, TNI_KW_PRECEDING) || tni_token_is_kw(&next, TNI_KW_FOLLOWING))) {
        tni_advance(parser);
        tni_advance(parser);
        return next.kw == TNI_KW_PRECEDING ? TN_AB_UNBOUNDED_PRECEDING : TN_AB_UNBOUNDED_FOLLOWING;
    }
    if (tni_is_kw(parser, TNI_KW_CURRENT) && tni_token_is_kw(&next, TNI_KW_ROW)) {
        tni_advance(parser);
        tni_advance(parser);
        return TN_AB_CURRENT_ROW;
    }
    tni_want_kw(parser, TNI_KW_UNBOUNDED);
    tni_want_kw(parser, TNI_KW_CURRENT);
    *ret_offset = tni_parse_expr(parser);
    if (tni_accept(parser, TNI_KW_PRECEDING))
        return TN_AB_PRECEDING;
    tni_expect(parser, TNI_KW_FOLLOWING);
    return TN_AB_FOLLOWING;
}

static void parse_frame(struct tni_parser *parser, struct tn_ast_over *over)
{
    if (tni_accept(parser, TNI_KW_ROWS))
        over->frame = TN_AF_ROWS;
    else if (tni_accept(parser, TNI_KW_RANGE))
        over->frame = TN_AF_RANGE;
    else if (tni_accept(parser, TNI_KW_GROUPS))
        over->frame = TN_AF_GROUPS;
    else
        return;
    over->end = TN_AB_CURRENT_ROW;
    if (tni_accept(parser, TNI_KW_BETWEEN)) {
        over->start = parse_bound(parser, &over->start_offset);
        tni_expect(parser, TNI_KW_AND);
        over->end = parse_bound(parser, &over->end_offset);
    } else {
        over->start = parse_bound(parser, &over->start_offset);
    }
}

struct tn_ast_over *tni_parse_over_body(struct tni_parser *parser)
{
    struct tn_ast_over *over = TN_ARENA_NEW(parser->arena, struct tn_ast_over);
    over->line = parser->tok.line;
    over->col = parser->tok.col;
    tni_expect_op(parser, '(');
    struct tni_token next = tni_peek(parser, 1);
    bool is_clause = next.kind == TNI_T_WORD && !tni_token_is_name(&next);
    bool is_frame = tni_is_kw(parser, TNI_KW_ROWS) || tni_is_kw(parser, TNI_KW_RANGE) ||
                    tni_is_kw(parser, TNI_KW_GROUPS);
    if (tni_token_is_name(&parser->tok) && !(tni_is_kw(parser, TNI_KW_PARTITION) && is_clause) &&
        !(is_frame && !tni_token_is_op(&next, ')')))
        over->base = tni_ident(parser, "a window name");
    if (tni_accept(parser, TNI_KW_PARTITION)) {
        tni_expect(parser, TNI_KW_BY);
        tni_parse_exprs(parser, &over->parts, &over->parts_count);
    }
    if (tni_accept(parser, TNI_KW_ORDER)) {
        tni_expect(parser, TNI_KW_BY);
        tni_parse_sorts(parser, &over->sorts, &over->sorts_count);
    }
    parse_frame(parser, over);
    tni_expect_op(parser, ')');
    return over;
}

struct tn_ast_over *tni_parse_over(struct tni_parser *parser)
{
    if (tni_is_op(parser, '('))
        return tni_parse_over_body(parser);
    struct tn_ast_over *over = TN_ARENA_NEW(parser->arena, struct tn_ast_over);
    over->line = parser->tok.line;
    over->col = parser->tok.col;
    over->is_reference = true;
    over->base = tni_ident(parser, "a window name");
    return over;
}

unsigned tni_over_height(const struct tn_ast_over *over)
{
    unsigned height = tni_sorts_height(over->sorts, over->sorts_count);
    for (uint32_t i = 0; i < over->parts_count; i++)
        if (over->parts[i]->height > height)
            height = over->parts[i]->height;
    if (over->start_offset && over->start_offset->height > height)
        height = over->start_offset->height;
    if (over->end_offset && over->end_offset->height > height)
        height = over->end_offset->height;
    return height;
}
