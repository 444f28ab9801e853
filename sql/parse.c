/* Parser: entry points, tokens, errors, names and literals. How it works: parse_int.h. */
#include "sql/parse_int.h"
#include "stream/base/utf8.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

/* ---- errors ------------------------------------------------------------------------------ */

/* Nothing more is read: the current token is END, look-ahead finds the end of the text. */
void tni_stop(struct tni_parser *parser, enum tn_status st)
{
    parser->st = st;
    parser->tok = (struct tni_token){.kind = TNI_T_END,
                                     .line = parser->tok.line,
                                     .col = parser->tok.col,
                                     .pos = parser->tok.pos};
    parser->lexer.pos = parser->lexer.text.len;
    parser->pending_expr = NULL;
    parser->pending_query = NULL;
    parser->pending_rel = NULL;
}

void tni_fail(struct tni_parser *parser, enum tn_status code, const char *name, int line, int col,
              const char *fmt, ...)
{
    if (tni_failed(parser))
        return;
    char text[TN_ERR_MESSAGE_MAX];
    va_list va;
    va_start(va, fmt);
    vsnprintf(text, sizeof text, fmt, va);
    va_end(va);
    tn_err_at(parser->err, code, name, line, col, "%s", text);
    tni_stop(parser, code);
}

void tni_fail_at(struct tni_parser *parser, int line, int col, const char *fmt, ...)
{
    char text[TN_ERR_MESSAGE_MAX];
    va_list va;
    va_start(va, fmt);
    vsnprintf(text, sizeof text, fmt, va);
    va_end(va);
    tni_fail(parser, TN_E_SYNTAX, NULL, line, col, "%s", text);
}

/* Call it before the tni_fail it belongs to would have been too early: right after, while no other
 * fail can have come between. */
void tni_fail_hint(struct tni_parser *parser, const char *fmt, ...)
{
    char text[TN_ERR_HINT_MAX];
    va_list va;
    va_start(va, fmt);
    vsnprintf(text, sizeof text, fmt, va);
    va_end(va);
    tn_err_hint(parser->err, "%s", text);
}

static void remember(struct tni_parser *parser, const char *text, bool is_keyword, bool is_quiet)
{
    struct tni_expected_set *set = &parser->expected;
    for (uint32_t i = 0; i < set->count; i++)
        if (strcmp(set->items[i].text, text) == 0) {
            set->items[i].is_quiet &= is_quiet;
            return;
        }
    if (set->count < TNI_EXPECTED_MAX)
        set->items[set->count++] = (struct tni_expected){text, is_keyword, is_quiet};
}

void tni_want(struct tni_parser *parser, const char *text)
{
    remember(parser, text, false, false);
}

void tni_want_kw(struct tni_parser *parser, enum tni_kw kw)
{
    remember(parser, tni_keyword_text(kw), true, false);
}

/* Shown as 'X' in "expected …, got 'X'": cut at 40 bytes on a character boundary. */
static void print_got(const struct tni_token *token, char *to, size_t to_bytes)
{
    size_t len = token->raw.len;
    const char *more = "";
    if (token->kind == TNI_T_END || tni_token_is_op(token, ';')) {
        snprintf(to, to_bytes, "end of statement");
        return;
    }
    if (len > 40) {
        for (len = 40; len > 0 && ((unsigned char)token->raw.ptr[len] & 0xc0) == 0x80;)
            len--;
        more = "…";
    }
    if (token->kind == TNI_T_STRING)
        snprintf(to, to_bytes, "string %.*s%s", (int)len, token->raw.ptr, more);
    else
        snprintf(to, to_bytes, "'%.*s%s'", (int)len, token->raw.ptr, more);
}

/* "A, B or C"; of more than 8 the first 6 and the last, which is what ends the clause. */
static void print_expected(const struct tni_expected_set *set, char *to, size_t to_bytes)
{
    const char *shown[TNI_EXPECTED_MAX];
    size_t count = 0, len = 0;
    for (uint32_t i = 0; i < set->count; i++)
        if (!set->items[i].is_quiet)
            shown[count++] = set->items[i].text;
    to[0] = 0;
    for (size_t i = 0; i < count && len < to_bytes; i++) {
        const char *join = i == 0 ? "" : i + 1 == count ? " or " : ", ";
        if (count > 8 && i == 6) {
            i = count - 1;
            join = " … or ";
        }
        bool takes_by = (strcmp(shown[i], "GROUP") == 0 || strcmp(shown[i], "ORDER") == 0 ||
                         strcmp(shown[i], "PARTITION") == 0);
        len += (size_t)snprintf(to + len, to_bytes - len, "%s%s%s", join, shown[i],
                                takes_by ? " BY" : "");
    }
}

/* A word that is a keyword is no misspelling, unless it lacks an ending or has one too many. */
static bool is_misspelled(const struct tni_token *token, const char *word)
{
    size_t len = strlen(word) < token->raw.len ? strlen(word) : token->raw.len;
    return token->kw == TNI_KW_NONE ||
           (strlen(word) != token->raw.len && strncasecmp(word, token->raw.ptr, len) == 0);
}

static const char *nearest(const struct tni_expected_set *set, const struct tni_token *token)
{
    const char *words[TNI_EXPECTED_MAX];
    size_t count = 0;
    if (token->kind != TNI_T_WORD)
        return NULL;
    for (uint32_t i = 0; i < set->count; i++)
        if (set->items[i].is_keyword)
            words[count++] = set->items[i].text;
    const char *word = tn_str_nearest(token->raw, words, count);
    return word && is_misspelled(token, word) ? word : NULL;
}

static bool wants(const struct tni_expected_set *set, const char *part)
{
    for (uint32_t i = 0; i < set->count; i++)
        if (strstr(set->items[i].text, part))
            return true;
    return false;
}

/* A reserved word where a name would do: is it meant as one? */
static bool is_meant_as_name(const struct tni_parser *parser)
{
    if (parser->tok.kind != TNI_T_WORD || !tni_keyword_is_reserved(parser->tok.kw) ||
        tni_is_kw(parser, TNI_KW_END))
        return false;
    if (wants(&parser->expected, "name"))
        return true;
    struct tni_token next = tni_peek(parser, 1);
    return wants(&parser->expected, "an expression") &&
           (next.kind == TNI_T_END || tni_token_is_kw(&next, TNI_KW_FROM) ||
            (next.kind == TNI_T_OP && next.op != '('));
}

void tni_expected(struct tni_parser *parser)
{
    if (tni_failed(parser))
        return;
    const struct tni_expected_set *set = &parser->expected;
    struct tni_token token = parser->tok;
    const char *hint = nearest(set, &token);
    if (!hint && parser->alias_end != 0 && parser->alias_end == parser->prev_end) {
        hint = nearest(&parser->alias_expected, &parser->alias); /* SELECT a FORM t: blame FORM */
        if (hint) {
            set = &parser->alias_expected;
            token = parser->alias;
        }
    }
    bool is_name = !hint && is_meant_as_name(parser);
    char list[TN_ERR_MESSAGE_MAX - 80], got[64];
    print_expected(set, list, sizeof list);
    print_got(&token, got, sizeof got);
    tni_fail_at(parser, token.line, token.col, "expected %s, got %s", list, got);
    if (hint)
        tni_fail_hint(parser, "did you mean %s?", hint);
    else if (is_name)
        tni_fail_hint(parser, "%.*s is a reserved word: quote it to use it as a name",
                      TN_STR_FMT(token.raw));
}

/* ---- tokens ------------------------------------------------------------------------------ */

static void read_token(struct tni_parser *parser)
{
    tni_lexer_next(&parser->lexer, &parser->tok);
    parser->expected.count = 0;
    if (parser->tok.kind == TNI_T_ERROR) {
        struct tni_token bad = parser->tok;
        if (bad.shows_char)
            tni_fail_at(parser, bad.line, bad.col, "character '%c' %s", bad.raw.ptr[0], bad.error);
        else
            tni_fail_at(parser, bad.line, bad.col, "%s", bad.error);
    }
}

void tni_advance(struct tni_parser *parser)
{
    if (tni_failed(parser))
        return;
    parser->prev_end = parser->tok.pos + parser->tok.raw.len;
    read_token(parser);
}

struct tni_token tni_peek(const struct tni_parser *parser, int n)
{
    struct tni_lexer copy = parser->lexer;
    struct tni_token token;
    do {
        tni_lexer_next(&copy, &token);
    } while (--n > 0);
    return token;
}

bool tni_peek_kw(const struct tni_parser *parser, enum tni_kw kw)
{
    struct tni_token next = tni_peek(parser, 1);
    return tni_token_is_kw(&next, kw);
}

bool tni_peek_op(const struct tni_parser *parser, int op)
{
    struct tni_token next = tni_peek(parser, 1);
    return tni_token_is_op(&next, op);
}

static bool accept(struct tni_parser *parser, enum tni_kw kw, bool is_quiet)
{
    if (tni_is_kw(parser, kw)) {
        tni_advance(parser);
        return true;
    }
    remember(parser, tni_keyword_text(kw), true, is_quiet);
    return false;
}

bool tni_accept(struct tni_parser *parser, enum tni_kw kw)
{
    return accept(parser, kw, false);
}

bool tni_accept_quiet(struct tni_parser *parser, enum tni_kw kw)
{
    return accept(parser, kw, true);
}

static const char *op_text(int op)
{
    static const char *const texts[] = {
        ['('] = "'('",
        [')'] = "')'",
        ['['] = "'['",
        [']'] = "']'",
        [','] = "','",
        ['.'] = "'.'",
        ['='] = "'='",
        ['<'] = "'<'",
        ['>'] = "'>'",
        ['*'] = "'*'",
        ['+'] = "'+'",
        ['-'] = "'-'",
        ['/'] = "'/'",
        ['%'] = "'%'",
        [':'] = "':'",
        ['?'] = "'?'",
        [';'] = "';'",
        [TNI_OP_NE] = "'<>'",
        [TNI_OP_LE] = "'<='",
        [TNI_OP_GE] = "'>='",
        [TNI_OP_CONCAT] = "'||'",
        [TNI_OP_ARROW] = "'->'",
        [TNI_OP_LAMBDA] = "'=>'",
        [TNI_OP_ASSIGN] = "':='",
    };
    TN_ASSERT((size_t)op < sizeof texts / sizeof texts[0] && texts[op]);
    return texts[op];
}

static bool accept_op(struct tni_parser *parser, int op, bool is_quiet)
{
    if (tni_is_op(parser, op)) {
        tni_advance(parser);
        return true;
    }
    remember(parser, op_text(op), false, is_quiet);
    return false;
}

bool tni_accept_op(struct tni_parser *parser, int op)
{
    return accept_op(parser, op, false);
}

bool tni_accept_op_quiet(struct tni_parser *parser, int op)
{
    return accept_op(parser, op, true);
}

bool tni_accept2(struct tni_parser *parser, enum tni_kw first, enum tni_kw second)
{
    if (!tni_is_kw(parser, first)) {
        tni_want_kw(parser, first);
        return false;
    }
    if (!tni_peek_kw(parser, second))
        return false;
    tni_advance(parser);
    tni_advance(parser);
    return true;
}

void tni_expect(struct tni_parser *parser, enum tni_kw kw)
{
    if (!tni_accept(parser, kw))
        tni_expected(parser);
}

void tni_expect_op(struct tni_parser *parser, int op)
{
    if (!tni_accept_op(parser, op))
        tni_expected(parser);
}

/* ---- limits ------------------------------------------------------------------------------ */

bool tni_enter(struct tni_parser *parser)
{
    if (++parser->depth <= TN_AST_DEPTH_MAX)
        return true;
    tni_fail(parser, TN_E_LIMIT, "EXPRESSION_TOO_DEEP", parser->tok.line, parser->tok.col,
             "statement is nested deeper than %d levels", TN_AST_DEPTH_MAX);
    return false;
}

void tni_leave(struct tni_parser *parser)
{
    TN_ASSERT(parser->depth > 0);
    parser->depth--;
}

void tni_count_node(struct tni_parser *parser, int line, int col)
{
    if (++parser->nodes_count > TN_AST_NODES_MAX)
        tni_fail(parser, TN_E_LIMIT, "STATEMENT_TOO_COMPLEX", line, col,
                 "statement has more than %d expressions and relations", TN_AST_NODES_MAX);
}

void tni_raise(struct tni_parser *parser, uint16_t *height, unsigned child, int line, int col)
{
    if (child + 1 > *height)
        *height = (uint16_t)(child + 1);
    if (*height > TN_AST_DEPTH_MAX) {
        *height = TN_AST_DEPTH_MAX;
        tni_fail(parser, TN_E_LIMIT, "EXPRESSION_TOO_DEEP", line, col,
                 "statement is nested deeper than %d levels", TN_AST_DEPTH_MAX);
    }
}

struct tn_ast_expr *tni_ast_node(struct tni_parser *parser, enum tn_ast_expr_kind kind, int line,
                                 int col)
{
    struct tn_ast_expr *expr = TN_ARENA_NEW(parser->arena, struct tn_ast_expr);
    expr->kind = kind;
    expr->line = line;
    expr->col = col;
    expr->height = 1;
    tni_count_node(parser, line, col);
    return expr;
}

void *tni_push(struct tni_parser *parser, void *items, uint32_t *count, size_t item_bytes)
{
    uint32_t n = (*count)++;
    if (n != 0 && (n & (n - 1)) != 0) /* room is the next power of two */
        return items;
    size_t room = n == 0 ? 1 : (size_t)n * 2;
    void *grown = tn_arena_zalloc(parser->arena, room, item_bytes);
    if (n != 0)
        memcpy(grown, items, n * item_bytes);
    return grown;
}

void tni_add_arg(struct tni_parser *parser, struct tn_ast_expr *expr, struct tn_ast_expr *arg)
{
    *TNI_PUSH(parser, expr->args, expr->args_count) = arg;
    tni_raise(parser, &expr->height, arg->height, expr->line, expr->col);
}

/* ---- names and literals ------------------------------------------------------------------ */

bool tni_token_is_name(const struct tni_token *token)
{
    return token->kind == TNI_T_QUOTED ||
           (token->kind == TNI_T_WORD && !tni_keyword_is_reserved(token->kw));
}

/* Value of the current token, which is then taken. */
static struct tn_str take_text(struct tni_parser *parser)
{
    struct tn_str text = {"", 0};
    enum tn_status st = tni_token_text(&parser->tok, parser->arena, &text, parser->err);
    if (tn_failed(st))
        tni_stop(parser, st);
    else
        tni_advance(parser);
    return text;
}

static struct tn_ident take_ident(struct tni_parser *parser)
{
    struct tn_ident ident = {.line = parser->tok.line,
                             .col = parser->tok.col,
                             .is_quoted = parser->tok.kind == TNI_T_QUOTED};
    ident.text = take_text(parser);
    if (!ident.is_quoted && parser->is_identifiers_ksql) {
        char *upper = tn_arena_alloc(parser->arena, ident.text.len + 1);
        for (size_t i = 0; i < ident.text.len; i++) {
            char c = ident.text.ptr[i];
            upper[i] = (char)(c >= 'a' && c <= 'z' ? c - 32 : c);
        }
        upper[ident.text.len] = 0;
        ident.text.ptr = upper;
    }
    return ident;
}

static struct tn_ident no_ident(struct tni_parser *parser, const char *what)
{
    tni_want(parser, what);
    tni_expected(parser);
    return (struct tn_ident){.text = {"", 0}};
}

struct tn_ident tni_ident(struct tni_parser *parser, const char *what)
{
    return tni_token_is_name(&parser->tok) ? take_ident(parser) : no_ident(parser, what);
}

struct tn_ident tni_ident_any(struct tni_parser *parser, const char *what)
{
    if (parser->tok.kind == TNI_T_WORD || parser->tok.kind == TNI_T_QUOTED)
        return take_ident(parser);
    return no_ident(parser, what);
}

struct tn_ast_name *tni_name(struct tni_parser *parser, const char *what)
{
    struct tn_ast_name *name = TN_ARENA_NEW(parser->arena, struct tn_ast_name);
    name->line = parser->tok.line;
    name->col = parser->tok.col;
    struct tn_ident ident = tni_ident(parser, what);
    *TNI_PUSH(parser, name->parts, name->parts_count) = ident;
    while (tni_is_op(parser, '.') && !tni_peek_op(parser, '*')) {
        tni_advance(parser);
        ident = tni_ident_any(parser, "a name");
        *TNI_PUSH(parser, name->parts, name->parts_count) = ident;
    }
    return name;
}

void tni_ident_list(struct tni_parser *parser, const char *what, struct tn_ident **ret_items,
                    uint32_t *ret_count)
{
    tni_expect_op(parser, '(');
    do {
        struct tn_ident ident = tni_ident(parser, what);
        *TNI_PUSH(parser, *ret_items, *ret_count) = ident;
    } while (tni_accept_op(parser, ','));
    tni_expect_op(parser, ')');
}

bool tni_is_string(const struct tni_parser *parser)
{
    return parser->tok.kind == TNI_T_STRING || parser->tok.kind == TNI_T_UNICODE;
}

struct tn_str tni_string(struct tni_parser *parser, const char *what)
{
    if (tni_is_string(parser))
        return take_text(parser);
    tni_want(parser, what);
    tni_expected(parser);
    return (struct tn_str){"", 0};
}

bool tni_token_integer(const struct tni_token *token, bool is_negative, int64_t *ret_value)
{
    struct tn_str raw = token->raw;
    unsigned base = 10;
    size_t i = 0;
    if (raw.len > 2 && raw.ptr[0] == '0' && (raw.ptr[1] | 0x20) >= 'b') {
        char radix = (char)(raw.ptr[1] | 0x20);
        base = radix == 'x' ? 16 : radix == 'o' ? 8 : 2;
        i = 2;
    }
    uint64_t value = 0, max = (uint64_t)INT64_MAX + (is_negative ? 1 : 0);
    for (; i < raw.len; i++) {
        char c = raw.ptr[i];
        if (c == '_')
            continue;
        unsigned digit = (unsigned)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
        if (value > (max - digit) / base)
            return false;
        value = value * base + digit;
    }
    *ret_value = is_negative ? (int64_t)(0 - value) : (int64_t)value;
    return true;
}

int64_t tni_integer(struct tni_parser *parser, const char *what)
{
    int64_t value = 0;
    if (parser->tok.kind != TNI_T_INTEGER) {
        tni_want(parser, what);
        tni_expected(parser);
    } else if (!tni_token_integer(&parser->tok, false, &value)) {
        tni_fail_at(parser, parser->tok.line, parser->tok.col, "number '%.*s' is too large",
                    TN_STR_FMT(parser->tok.raw));
    } else {
        tni_advance(parser);
    }
    return value;
}

enum tn_ast_unit tni_unit_of(const struct tni_token *token)
{
    if (token->kind != TNI_T_WORD)
        return TN_AU_NONE;
    switch (token->kw) {
    case TNI_KW_MILLISECOND:
    case TNI_KW_MILLISECONDS: return TN_AU_MILLISECOND;
    case TNI_KW_SECOND:
    case TNI_KW_SECONDS: return TN_AU_SECOND;
    case TNI_KW_MINUTE:
    case TNI_KW_MINUTES: return TN_AU_MINUTE;
    case TNI_KW_HOUR:
    case TNI_KW_HOURS: return TN_AU_HOUR;
    case TNI_KW_DAY:
    case TNI_KW_DAYS: return TN_AU_DAY;
    case TNI_KW_WEEK:
    case TNI_KW_WEEKS: return TN_AU_WEEK;
    case TNI_KW_MONTH:
    case TNI_KW_MONTHS: return TN_AU_MONTH;
    case TNI_KW_QUARTER: return TN_AU_QUARTER;
    case TNI_KW_YEAR:
    case TNI_KW_YEARS: return TN_AU_YEAR;
    default: return TN_AU_NONE;
    }
}

struct tn_ast_duration tni_duration(struct tni_parser *parser)
{
    static const struct {
        int64_t ms;
        const char *unit;
    } units[] = {[TN_AU_MILLISECOND] = {1, "MILLISECONDS"},
                 [TN_AU_SECOND] = {1000, "SECONDS"},
                 [TN_AU_MINUTE] = {60000, "MINUTES"},
                 [TN_AU_HOUR] = {3600000, "HOURS"},
                 [TN_AU_DAY] = {86400000, "DAYS"}};
    struct tn_ast_duration d = {
        .is_given = true, .line = parser->tok.line, .col = parser->tok.col, .unit = "DAYS"};
    d.count = tni_integer(parser, "a duration (5 MINUTES)");
    enum tn_ast_unit unit = tni_unit_of(&parser->tok);
    if (unit < TN_AU_MILLISECOND || unit > TN_AU_DAY) {
        tni_want_kw(parser, TNI_KW_MILLISECONDS);
        tni_want_kw(parser, TNI_KW_SECONDS);
        tni_want_kw(parser, TNI_KW_MINUTES);
        tni_want_kw(parser, TNI_KW_HOURS);
        tni_want_kw(parser, TNI_KW_DAYS);
        tni_expected(parser);
        return d;
    }
    d.unit = units[unit].unit;
    if (__builtin_mul_overflow(d.count, units[unit].ms, &d.ms))
        tni_fail_at(parser, d.line, d.col, "duration of %" PRId64 " %s is too long", d.count,
                    d.unit);
    tni_advance(parser);
    return d;
}

struct tn_str tni_slice(const struct tni_parser *parser, size_t begin)
{
    size_t end = parser->prev_end > begin ? parser->prev_end : begin;
    return (struct tn_str){parser->lexer.text.ptr + begin, end - begin};
}

/* ---- entry points ------------------------------------------------------------------------ */

static enum tn_status check_text(struct tn_str text, const struct tni_lexer *start,
                                 struct tn_err *err)
{
    size_t bad = tn_utf8_prefix(text.ptr, text.len);
    const char *nul = memchr(text.ptr, 0, bad); /* names and most strings are C strings later */
    if (nul)
        bad = (size_t)(nul - text.ptr);
    if (bad == text.len)
        return TN_OK;
    int line = start->line, col = start->col;
    for (size_t i = 0; i < bad; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        col = c == '\n' ? 1 : col + ((c & 0xc0) != 0x80);
        line += c == '\n';
    }
    return tn_err_at(err, TN_E_SYNTAX, NULL, line, col,
                     "statement is not valid text: byte 0x%02x at offset %zu",
                     (unsigned char)text.ptr[bad], bad);
}

/* Limits hold per statement: each one of a script is parsed from its own slice. */
static enum tn_status begin(struct tni_parser *parser, struct tn_str text,
                            const struct tn_parse_opts *opts, struct tn_arena *arena,
                            struct tn_err *err)
{
    static const struct tn_parse_opts defaults;
    opts = opts ? opts : &defaults;
    *parser = (struct tni_parser){
        .arena = arena, .err = err, .is_identifiers_ksql = opts->is_identifiers_ksql};
    if (!text.ptr)
        text = TN_STR("");
    tni_lexer_init(&parser->lexer, text, opts->start_line > 0 ? opts->start_line : 1,
                   opts->start_col > 0 ? opts->start_col : 1);
    size_t bytes_max = opts->bytes_max ? opts->bytes_max : TN_PARSE_BYTES_DEFAULT;
    if (bytes_max > TN_PARSE_BYTES_MAX)
        bytes_max = TN_PARSE_BYTES_MAX;
    if (text.len > bytes_max) {
        tn_err_at(err, TN_E_LIMIT, "QUERY_TEXT_TOO_LARGE", parser->lexer.line, parser->lexer.col,
                  "statement has %zu bytes, more than the limit of %zu", text.len, bytes_max);
        return TN_E_LIMIT;
    }
    TN_TRY(check_text(text, &parser->lexer, err));
    read_token(parser);
    return parser->st;
}

/* Nothing may follow but one ';' if `is_stmt`. */
static enum tn_status finish(struct tni_parser *parser, bool is_stmt)
{
    if (is_stmt && tni_is_op(parser, ';'))
        tni_advance(parser);
    if (!tni_failed(parser) && parser->tok.kind != TNI_T_END) {
        tni_want(parser, is_stmt ? "end of statement" : "the end");
        tni_expected(parser);
    }
    TN_ASSERT(tni_failed(parser) || (!parser->pending_expr && !parser->pending_query &&
                                     !parser->pending_rel && parser->depth == 0));
    return parser->st;
}

enum tn_status tn_parse_statement(struct tn_str text, const struct tn_parse_opts *opts,
                                  struct tn_arena *arena, struct tn_ast_stmt **ret_stmt,
                                  struct tn_err *err)
{
    struct tni_parser parser;
    TN_TRY(begin(&parser, text, opts, arena, err));
    if (parser.tok.kind == TNI_T_END || tni_is_op(&parser, ';'))
        return tn_err_at(err, TN_E_SYNTAX, NULL, parser.tok.line, parser.tok.col,
                         "statement is empty");
    struct tn_ast_stmt *stmt = tni_parse_stmt(&parser);
    TN_TRY(finish(&parser, true));
    *ret_stmt = stmt;
    return TN_OK;
}

enum tn_status tn_parse_script(struct tn_str text, const struct tn_parse_opts *opts,
                               struct tn_arena *arena, struct tn_ast_script *ret_script,
                               struct tn_err *err)
{
    struct tn_ast_script script = {0};
    struct tn_parse_opts at = opts ? *opts : (struct tn_parse_opts){0};
    struct tni_parser pusher = {.arena = arena};
    struct tn_script_part part;
    size_t pos = 0;
    int line = at.start_line > 0 ? at.start_line : 1, col = at.start_col > 0 ? at.start_col : 1;
    while (tn_script_next(text, &pos, &line, &col, &part) == TN_OK) {
        struct tn_ast_stmt *stmt = NULL;
        at.start_line = part.line;
        at.start_col = part.col;
        TN_TRY(tn_parse_statement(part.text, &at, arena, &stmt, err));
        *TNI_PUSH(&pusher, script.stmts, script.stmts_count) = stmt;
    }
    *ret_script = script;
    return TN_OK;
}

enum tn_status tn_parse_expr(struct tn_str text, const struct tn_parse_opts *opts,
                             struct tn_arena *arena, struct tn_ast_expr **ret_expr,
                             struct tn_err *err)
{
    struct tni_parser parser;
    TN_TRY(begin(&parser, text, opts, arena, err));
    struct tn_ast_expr *expr = tni_parse_expr(&parser);
    TN_TRY(finish(&parser, false));
    *ret_expr = expr;
    return TN_OK;
}

enum tn_status tn_parse_type(struct tn_str text, const struct tn_parse_opts *opts,
                             struct tn_arena *arena, struct tn_ast_type **ret_type,
                             struct tn_err *err)
{
    struct tni_parser parser;
    TN_TRY(begin(&parser, text, opts, arena, err));
    struct tn_ast_type *type = tni_parse_type(&parser);
    TN_TRY(finish(&parser, false));
    *ret_type = type;
    return TN_OK;
}
