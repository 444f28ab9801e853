/* Lexer. Purpose and contract: lexer.h.
 *
 * Columns count code points: every byte that is not a UTF-8 continuation byte is one. A line ends
 * at '\n'. Invariants: tokens do not overlap and lie within the text; every call either advances or
 * returns END or ERROR.
 */
#include "sql/lexer.h"
#include "stream/base/utf8.h"

#define IS_DIGIT(c) ((c) >= '0' && (c) <= '9')

static const struct {
    const char *text;
    bool is_reserved;
} keywords[] = {{"", false},
#define XX(word, is_res) {#word, is_res},
                TNI_KEYWORD_MAP(XX)
#undef XX
};

static bool is_word_start(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_word(unsigned char c)
{
    return is_word_start(c) || IS_DIGIT(c) || c == '@';
}

enum tni_kw tni_keyword_find(struct tn_str word)
{
    char upper[24];
    if (word.len == 0 || word.len >= sizeof upper)
        return TNI_KW_NONE;
    for (size_t i = 0; i < word.len; i++) {
        char c = word.ptr[i];
        upper[i] = (char)(c >= 'a' && c <= 'z' ? c - 32 : c);
    }
    upper[word.len] = 0;
    int lo = 1, hi = TNI_KW_COUNT - 1;
    while (lo <= hi) {
        int mid = (lo + hi) / 2, c = strcmp(upper, keywords[mid].text);
        if (c == 0)
            return (enum tni_kw)mid;
        if (c < 0)
            hi = mid - 1;
        else
            lo = mid + 1;
    }
    return TNI_KW_NONE;
}

const char *tni_keyword_text(enum tni_kw kw)
{
    TN_ASSERT(kw < TNI_KW_COUNT);
    return keywords[kw].text;
}

bool tni_keyword_is_reserved(enum tni_kw kw)
{
    TN_ASSERT(kw < TNI_KW_COUNT);
    return keywords[kw].is_reserved;
}

void tni_lexer_init(struct tni_lexer *lexer, struct tn_str text, int line, int col)
{
    *lexer = (struct tni_lexer){.text = text, .line = line, .col = col};
}

static unsigned char at(const struct tni_lexer *lexer, size_t ahead)
{
    size_t pos = lexer->pos + ahead;
    return pos < lexer->text.len ? (unsigned char)lexer->text.ptr[pos] : 0;
}

static bool is_end(const struct tni_lexer *lexer)
{
    return lexer->pos >= lexer->text.len;
}

static void skip(struct tni_lexer *lexer, size_t count)
{
    for (; count > 0 && !is_end(lexer); count--, lexer->pos++) {
        unsigned char c = (unsigned char)lexer->text.ptr[lexer->pos];
        if (c == '\n') {
            lexer->line++;
            lexer->col = 1;
        } else if ((c & 0xc0) != 0x80) {
            lexer->col++;
        }
    }
}

/* Spaces and comments. False: a block comment does not end (the lexer stands at its start). */
static bool skip_space(struct tni_lexer *lexer)
{
    while (!is_end(lexer)) {
        unsigned char c = at(lexer, 0);
        if (c == ' ' || (c >= '\t' && c <= '\r')) {
            skip(lexer, 1);
        } else if (c == '-' && at(lexer, 1) == '-') {
            while (!is_end(lexer) && at(lexer, 0) != '\n')
                skip(lexer, 1);
        } else if (c == '/' && at(lexer, 1) == '*') {
            struct tni_lexer start = *lexer;
            skip(lexer, 2);
            while (!is_end(lexer) && !(at(lexer, 0) == '*' && at(lexer, 1) == '/'))
                skip(lexer, 1);
            if (is_end(lexer)) {
                *lexer = start;
                return false;
            }
            skip(lexer, 2);
        } else if (c == 0xc2 && at(lexer, 1) == 0xa0) {
            skip(lexer, 2); /* no-break space, as pasted from web pages */
        } else {
            break;
        }
    }
    return true;
}

static void fail(struct tni_lexer *lexer, const struct tni_lexer *start, struct tni_token *token,
                 const char *error)
{
    token->kind = TNI_T_ERROR;
    token->error = error;
    *lexer = *start;
}

/* From an opening quote to its end; doubled quotes stay inside. */
static bool skip_quoted(struct tni_lexer *lexer, bool *ret_has_escapes)
{
    unsigned char quote = at(lexer, 0);
    skip(lexer, 1);
    while (!is_end(lexer)) {
        if (at(lexer, 0) != quote) {
            skip(lexer, 1);
        } else if (at(lexer, 1) == quote) {
            *ret_has_escapes = true;
            skip(lexer, 2);
        } else {
            skip(lexer, 1);
            return true;
        }
    }
    return false;
}

static void lex_quoted(struct tni_lexer *lexer, struct tni_token *token)
{
    struct tni_lexer start = *lexer;
    bool is_string = at(lexer, 0) == '\'';
    token->kind = is_string ? TNI_T_STRING : TNI_T_QUOTED;
    if (!skip_quoted(lexer, &token->has_escapes))
        fail(lexer, &start, token,
             is_string ? "string does not end: closing ' is missing"
                       : "quoted name does not end: closing quote is missing");
    else if (!is_string && lexer->pos - start.pos == 2)
        fail(lexer, &start, token, "quoted name is empty");
}

/* X'…' and U&'…' [UESCAPE 'c']; `prefix` bytes stand before the quote. */
static void lex_prefixed(struct tni_lexer *lexer, struct tni_token *token, size_t prefix)
{
    struct tni_lexer start = *lexer;
    token->kind = prefix == 1 ? TNI_T_BYTES : TNI_T_UNICODE;
    skip(lexer, prefix);
    if (!skip_quoted(lexer, &token->has_escapes)) {
        fail(lexer, &start, token, "string does not end: closing ' is missing");
        return;
    }
    if (prefix == 1)
        return;
    struct tni_lexer ahead = *lexer;
    if (skip_space(&ahead) && ahead.pos + 7 <= ahead.text.len &&
        strncasecmp(ahead.text.ptr + ahead.pos, "UESCAPE", 7) == 0 && !is_word(at(&ahead, 7))) {
        bool has_escapes = false;
        skip(&ahead, 7);
        if (!skip_space(&ahead) || at(&ahead, 0) != '\'' || !skip_quoted(&ahead, &has_escapes))
            fail(lexer, &start, token, "UESCAPE needs a string of one character");
        else
            *lexer = ahead;
    }
}

static void skip_digits(struct tni_lexer *lexer)
{
    while (IS_DIGIT(at(lexer, 0)) || (at(lexer, 0) == '_' && IS_DIGIT(at(lexer, 1))))
        skip(lexer, 1);
}

static bool is_radix_digit(unsigned char c, unsigned char radix)
{
    switch (radix) {
    case 'b': return c == '0' || c == '1';
    case 'o': return c >= '0' && c <= '7';
    default: return IS_DIGIT(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
    }
}

static void lex_number(struct tni_lexer *lexer, struct tni_token *token)
{
    struct tni_lexer start = *lexer;
    unsigned char radix = at(lexer, 1) | 0x20;
    token->kind = TNI_T_INTEGER;
    if (at(lexer, 0) == '0' && (radix == 'x' || radix == 'o' || radix == 'b') &&
        is_radix_digit(at(lexer, 2), radix)) {
        skip(lexer, 2);
        while (is_radix_digit(at(lexer, 0), radix) ||
               (at(lexer, 0) == '_' && is_radix_digit(at(lexer, 1), radix)))
            skip(lexer, 1);
    } else {
        skip_digits(lexer);
        if (at(lexer, 0) == '.') {
            token->kind = TNI_T_DECIMAL;
            skip(lexer, 1);
            skip_digits(lexer);
        }
        size_t sign = at(lexer, 1) == '+' || at(lexer, 1) == '-';
        if ((at(lexer, 0) | 0x20) == 'e' && IS_DIGIT(at(lexer, 1 + sign))) {
            token->kind = TNI_T_DOUBLE;
            skip(lexer, 1 + sign);
            skip_digits(lexer);
        }
    }
    if (is_word(at(lexer, 0)) || at(lexer, 0) >= 0x80)
        fail(lexer, &start, token, "a name must not begin with a digit: quote it");
}

static void lex_op(struct tni_lexer *lexer, struct tni_token *token)
{
    static const struct {
        char text[3];
        enum tni_op op;
    } pairs[] = {{"<>", TNI_OP_NE},     {"!=", TNI_OP_NE},     {"<=", TNI_OP_LE},
                 {">=", TNI_OP_GE},     {"||", TNI_OP_CONCAT}, {"->", TNI_OP_ARROW},
                 {"=>", TNI_OP_LAMBDA}, {":=", TNI_OP_ASSIGN}};
    token->kind = TNI_T_OP;
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
        if (at(lexer, 0) == (unsigned char)pairs[i].text[0] &&
            at(lexer, 1) == (unsigned char)pairs[i].text[1]) {
            token->op = (int)pairs[i].op;
            skip(lexer, 2);
            return;
        }
    unsigned char c = at(lexer, 0);
    if (c != 0 && strchr("+-*/%=<>()[],.;?:", c)) {
        token->op = c;
        skip(lexer, 1);
    } else if (c == '$' && at(lexer, 1) == '{') {
        fail(lexer, lexer, token, "a variable ${name} is not replaced here: see DEFINE");
    } else if (c >= 0x80) {
        fail(lexer, lexer, token, "names with letters other than a-z must be quoted");
    } else {
        fail(lexer, lexer, token, "is not allowed here");
        token->shows_char = c > ' ' && c < 0x7f;
    }
}

void tni_lexer_next(struct tni_lexer *lexer, struct tni_token *ret_token)
{
    bool is_ok = skip_space(lexer);
    size_t pos = lexer->pos;
    *ret_token = (struct tni_token){.line = lexer->line, .col = lexer->col, .pos = pos};
    unsigned char c = at(lexer, 0);
    if (!is_ok) {
        fail(lexer, lexer, ret_token, "comment does not end: closing */ is missing");
    } else if (is_end(lexer)) {
        ret_token->kind = TNI_T_END;
    } else if (c == '\'' || c == '"' || c == '`') {
        lex_quoted(lexer, ret_token);
    } else if ((c | 0x20) == 'x' && at(lexer, 1) == '\'') {
        lex_prefixed(lexer, ret_token, 1);
    } else if ((c | 0x20) == 'u' && at(lexer, 1) == '&' && at(lexer, 2) == '\'') {
        lex_prefixed(lexer, ret_token, 2);
    } else if (is_word_start(c)) {
        ret_token->kind = TNI_T_WORD;
        while (is_word(at(lexer, 0)))
            skip(lexer, 1);
    } else if (IS_DIGIT(c) || (c == '.' && IS_DIGIT(at(lexer, 1)))) {
        lex_number(lexer, ret_token);
    } else {
        lex_op(lexer, ret_token);
    }
    size_t end = lexer->pos;
    if (ret_token->kind == TNI_T_ERROR) /* show what is there, for messages */
        end = pos + (pos < lexer->text.len ? 1 : 0);
    ret_token->raw = (struct tn_str){lexer->text.ptr + pos, end - pos};
    if (ret_token->kind == TNI_T_WORD)
        ret_token->kw = tni_keyword_find(ret_token->raw);
}

/* ---- values of tokens -------------------------------------------------------------------- */

static struct tn_str undouble(struct tn_str inner, char quote, struct tn_arena *arena)
{
    char *to = tn_arena_alloc(arena, inner.len + 1);
    size_t len = 0;
    for (size_t i = 0; i < inner.len; i++) {
        to[len++] = inner.ptr[i];
        if (inner.ptr[i] == quote)
            i++;
    }
    to[len] = 0;
    return (struct tn_str){to, len};
}

static int hex_value(char c)
{
    if (IS_DIGIT(c))
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static enum tn_status bytes_text(const struct tni_token *token, struct tn_str inner,
                                 struct tn_arena *arena, struct tn_str *ret_text,
                                 struct tn_err *err)
{
    char *to = tn_arena_alloc(arena, inner.len / 2 + 1);
    size_t digits = 0;
    for (size_t i = 0; i < inner.len; i++) {
        char c = inner.ptr[i];
        if (c == ' ' || c == '\n' || c == '\t' || c == '\r')
            continue;
        int value = hex_value(c);
        if (value < 0)
            return tn_err_at(err, TN_E_SYNTAX, NULL, token->line, token->col,
                             "binary literal has '%c': expected hexadecimal digits", c);
        if (digits % 2 == 0)
            to[digits / 2] = (char)(value << 4);
        else
            to[digits / 2] = (char)(to[digits / 2] | value);
        digits++;
    }
    if (digits % 2 != 0)
        return tn_err_at(err, TN_E_SYNTAX, NULL, token->line, token->col,
                         "binary literal has %zu digits: expected an even number", digits);
    to[digits / 2] = 0;
    *ret_text = (struct tn_str){to, digits / 2};
    return TN_OK;
}

/* One escape after the escape character: XXXX or +XXXXXX. Returns bytes used, 0 when bad. */
static size_t read_escape(struct tn_str rest, unsigned *ret_code)
{
    size_t begin = rest.len > 0 && rest.ptr[0] == '+', digits = begin ? 6 : 4;
    unsigned code = 0;
    if (rest.len < begin + digits)
        return 0;
    for (size_t i = 0; i < digits; i++) {
        int value = hex_value(rest.ptr[begin + i]);
        if (value < 0)
            return 0;
        code = code * 16 + (unsigned)value;
    }
    if (code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
        return 0;
    *ret_code = code;
    return begin + digits;
}

static enum tn_status unicode_text(const struct tni_token *token, struct tn_arena *arena,
                                   struct tn_str *ret_text, struct tn_err *err)
{
    struct tni_lexer lexer;
    bool has_escapes = false;
    tni_lexer_init(&lexer, token->raw, token->line, token->col);
    skip(&lexer, 2);
    skip_quoted(&lexer, &has_escapes);
    struct tn_str inner = {token->raw.ptr + 3, lexer.pos - 4};
    char escape = '\\';
    if (lexer.pos < token->raw.len) { /* the raw text ends with UESCAPE 'c' */
        escape = token->raw.ptr[token->raw.len - 2];
        if (token->raw.ptr[token->raw.len - 3] != '\'' || hex_value(escape) >= 0 ||
            strchr("+'\" ", escape) || (unsigned char)escape >= 0x80)
            return tn_err_at(err, TN_E_SYNTAX, NULL, token->line, token->col,
                             "UESCAPE needs one character that is no digit, letter a-f, "
                             "'+', quote or space");
    }
    if (has_escapes)
        inner = undouble(inner, '\'', arena);
    char *to = tn_arena_alloc(arena, inner.len + 1);
    size_t len = 0;
    for (size_t i = 0; i < inner.len; i++) {
        unsigned code = 0;
        if (inner.ptr[i] != escape) {
            to[len++] = inner.ptr[i];
        } else if (i + 1 < inner.len && inner.ptr[i + 1] == escape) {
            to[len++] = inner.ptr[++i];
        } else {
            size_t used = read_escape((struct tn_str){inner.ptr + i + 1, inner.len - i - 1}, &code);
            if (used == 0)
                return tn_err_at(err, TN_E_SYNTAX, NULL, token->line, token->col,
                                 "bad escape in U& string: expected %cXXXX or %c+XXXXXX, a code "
                                 "point in hexadecimal digits",
                                 escape, escape);
            len += tn_utf8_put(code, to + len);
            i += used;
        }
    }
    to[len] = 0;
    *ret_text = (struct tn_str){to, len};
    return TN_OK;
}

enum tn_status tni_token_text(const struct tni_token *token, struct tn_arena *arena,
                              struct tn_str *ret_text, struct tn_err *err)
{
    struct tn_str inner = token->raw;
    switch (token->kind) {
    case TNI_T_QUOTED:
    case TNI_T_STRING:
        inner.ptr++;
        inner.len -= 2;
        *ret_text = token->has_escapes ? undouble(inner, token->raw.ptr[0], arena) : inner;
        return TN_OK;
    case TNI_T_BYTES:
        inner.ptr += 2;
        inner.len -= 3;
        return bytes_text(token, inner, arena, ret_text, err);
    case TNI_T_UNICODE: return unicode_text(token, arena, ret_text, err);
    default: *ret_text = token->raw; return TN_OK;
    }
}
