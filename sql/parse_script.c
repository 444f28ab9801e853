/* Scripts before parsing: splitting at ';', and ${name} variables. Contract: parse.h.
 *
 * Both read the text with the lexer, so a ';' in a string, name or comment is no end. What is not a
 * token (a stray
 * '#') is skipped: the parser will report it. A quote or comment that does not end runs to the end
 * of the text.
 */
#include "sql/lexer.h"
#include "sql/parse.h"

/* Does the text from this error on belong together, because a quote or comment is open? */
static bool is_open_ended(const struct tni_lexer *lexer)
{
    struct tn_str text = lexer->text;
    char c = text.ptr[lexer->pos], next = lexer->pos + 1 < text.len ? text.ptr[lexer->pos + 1] : 0;
    return c == '\'' || c == '"' || c == '`' || (c == '/' && next == '*') ||
           ((c | 0x20) == 'x' && next == '\'') || ((c | 0x20) == 'u' && next == '&');
}

/* Go behind the token; false when the rest of the text is one open quote or comment. */
static bool skip_error(struct tni_lexer *lexer)
{
    if (is_open_ended(lexer)) {
        lexer->pos = lexer->text.len;
        return false;
    }
    lexer->pos++;
    while (lexer->pos < lexer->text.len &&
           ((unsigned char)lexer->text.ptr[lexer->pos] & 0xc0) == 0x80)
        lexer->pos++;
    lexer->col++;
    return true;
}

enum tn_status tn_script_next(struct tn_str text, size_t *pos, int *line, int *col,
                              struct tn_script_part *ret_part)
{
    struct tni_lexer lexer;
    struct tni_token token;
    struct tn_script_part part = {0};
    size_t begin = 0, end = 0;
    bool has_token = false;
    tni_lexer_init(&lexer, text, *line, *col);
    lexer.pos = *pos;
    for (;;) {
        tni_lexer_next(&lexer, &token);
        if (token.kind == TNI_T_END)
            break;
        bool is_end = token.kind == TNI_T_OP && token.op == ';';
        if (is_end && has_token) {
            part.is_complete = true;
            break;
        }
        if (is_end)
            continue; /* an empty statement */
        if (!has_token) {
            begin = token.pos;
            part.line = token.line;
            part.col = token.col;
            has_token = true;
        }
        if (token.kind == TNI_T_ERROR)
            skip_error(&lexer);
        end = lexer.pos;
    }
    *pos = lexer.pos;
    *line = lexer.line;
    *col = lexer.col;
    if (!has_token)
        return TN_END;
    part.text = (struct tn_str){text.ptr + begin, end - begin};
    *ret_part = part;
    return TN_OK;
}

/* Length of a variable's name at the start of `text` that ends with '}', 0 when there is none. */
static size_t variable_length(struct tn_str text)
{
    size_t n = 0;
    while (n < text.len && ((text.ptr[n] | 0x20) >= 'a' && (text.ptr[n] | 0x20) <= 'z'))
        n++;
    size_t letters = n;
    while (n < text.len && (((text.ptr[n] | 0x20) >= 'a' && (text.ptr[n] | 0x20) <= 'z') ||
                            (text.ptr[n] >= '0' && text.ptr[n] <= '9') || text.ptr[n] == '_')) {
        n++;
    }
    if (letters == 0 && (n == 0 || text.ptr[0] != '_'))
        return 0;
    return n < text.len && text.ptr[n] == '}' ? n : 0;
}

/* End of the comment that begins at `pos`, or `pos` when none does. */
static size_t comment_end(struct tn_str text, size_t pos)
{
    const char *p = text.ptr + pos;
    size_t left = text.len - pos;
    if (left >= 2 && p[0] == '-' && p[1] == '-') {
        const char *end = memchr(p, '\n', left);
        return end ? (size_t)(end - text.ptr) : text.len;
    }
    if (left >= 2 && p[0] == '/' && p[1] == '*') {
        const char *end = memmem(p + 2, left - 2, "*/", 2);
        return end ? (size_t)(end - text.ptr) + 2 : text.len;
    }
    return pos;
}

static void count_position(struct tn_str text, size_t from, size_t to, int *line, int *col)
{
    for (size_t i = from; i < to; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        *col = c == '\n' ? 1 : *col + ((c & 0xc0) != 0x80);
        *line += c == '\n';
    }
}

enum tn_status tn_script_substitute(struct tn_str text, int line, int col,
                                    struct tn_str (*lookup)(void *ctx, struct tn_str name),
                                    void *ctx, struct tn_buf *ret_text, struct tn_err *err)
{
    char quote = 0;
    size_t counted = 0;
    for (size_t i = 0; i < text.len;) {
        char c = text.ptr[i];
        size_t end = quote ? i : comment_end(text, i);
        if (end > i) {
            tn_buf_add(ret_text, text.ptr + i, end - i);
            i = end;
            continue;
        }
        if (quote ? c == quote : c == '\'' || c == '"' || c == '`')
            quote = quote ? 0 : c;
        struct tn_str rest = {text.ptr + i, text.len - i};
        bool is_escaped = rest.len > 3 && memcmp(rest.ptr, "$${", 3) == 0;
        size_t skip = is_escaped ? 3 : 2;
        size_t name_len = 0;
        if (is_escaped || (rest.len > 2 && rest.ptr[0] == '$' && rest.ptr[1] == '{'))
            name_len = variable_length((struct tn_str){rest.ptr + skip, rest.len - skip});
        if (name_len == 0) {
            tn_buf_add_byte(ret_text, c);
            i++;
        } else if (is_escaped) { /* $${name} stands for the text ${name} */
            tn_buf_add(ret_text, rest.ptr + 1, name_len + 3);
            i += name_len + 4;
        } else {
            struct tn_str name = {rest.ptr + 2, name_len}, value = lookup(ctx, name);
            count_position(text, counted, i, &line, &col);
            counted = i;
            if (!value.ptr) {
                enum tn_status st = tn_err_at(err, TN_E_SYNTAX, NULL, line, col,
                                              "variable '%.*s' is not defined", TN_STR_FMT(name));
                tn_err_hint(err, "DEFINE %.*s = '…'; or write $${%.*s} for the text itself",
                            TN_STR_FMT(name), TN_STR_FMT(name));
                return st;
            }
            tn_buf_add_str(ret_text, value);
            i += name_len + 3;
        }
    }
    if (tn_buf_over(ret_text))
        return tn_err_set(err, TN_E_LIMIT, "statement is larger than %zu bytes with its variables",
                          ret_text->max);
    return TN_OK;
}

const char *const *tn_parse_keywords(size_t *ret_count)
{
    static const char *const words[] = {
#define XX(word, is_reserved) #word,
        TNI_KEYWORD_MAP(XX)
#undef XX
    };
    *ret_count = sizeof words / sizeof words[0];
    return words;
}

bool tn_parse_needs_quotes(struct tn_str name)
{
    struct tni_lexer lexer;
    struct tni_token token;
    tni_lexer_init(&lexer, name, 1, 1);
    tni_lexer_next(&lexer, &token);
    return token.kind != TNI_T_WORD || token.pos != 0 || token.raw.len != name.len ||
           tni_keyword_is_reserved(token.kw);
}
