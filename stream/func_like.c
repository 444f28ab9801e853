/* LIKE. A pattern is compiled to literal runs and wildcards once when it is constant; patterns that
 * are only a prefix, a suffix, a substring or plain text take a memcmp or memmem. '_' is one code
 * point. There is no escape character unless ESCAPE names one. @thread the running one */
#include "stream/base/utf8.h"
#include "stream/func_int.h"

enum token { TOKEN_TEXT, TOKEN_ONE, TOKEN_ANY };

struct piece {
    enum token token;
    struct tn_str text;
};

struct pattern {
    uint32_t count;
    struct piece *pieces;
    const char *error;
};

static void add_piece(struct pattern *pattern, enum token token, struct tn_str text)
{
    struct piece *last = pattern->count ? &pattern->pieces[pattern->count - 1] : NULL;
    if (token == TOKEN_ANY && last && last->token == TOKEN_ANY)
        return;
    pattern->pieces[pattern->count++] = (struct piece){token, text};
}

static void compile(struct tn_str text, struct tn_str escape, struct tn_arena *arena,
                    struct pattern *pattern)
{
    *pattern = (struct pattern){.pieces = TN_ARENA_ARRAY(arena, struct piece, 2 * text.len + 1)};
    char *literal = tn_arena_alloc(arena, text.len);
    size_t from = 0, len = 0;
    for (size_t i = 0; i < text.len; i++) {
        bool is_escape = escape.len && text.len - i >= escape.len &&
                         memcmp(text.ptr + i, escape.ptr, escape.len) == 0;
        if (is_escape) {
            i += escape.len;
            bool is_known =
                i < text.len &&
                (text.ptr[i] == '%' || text.ptr[i] == '_' ||
                 (text.len - i >= escape.len && memcmp(text.ptr + i, escape.ptr, escape.len) == 0));
            if (!is_known) {
                pattern->error = "escape character must be followed by '%', '_' or the escape "
                                 "character itself";
                return;
            }
        } else if (text.ptr[i] == '%' || text.ptr[i] == '_') {
            if (len > from)
                add_piece(pattern, TOKEN_TEXT, (struct tn_str){literal + from, len - from});
            from = len;
            add_piece(pattern, text.ptr[i] == '%' ? TOKEN_ANY : TOKEN_ONE, (struct tn_str){0});
            continue;
        }
        literal[len++] = text.ptr[i];
    }
    if (len > from)
        add_piece(pattern, TOKEN_TEXT, (struct tn_str){literal + from, len - from});
}

/* One step of the matcher: the piece at the text's start; false when it does not match. */
static bool match_piece(const struct piece *piece, const char **io_p, const char *end)
{
    const char *p = *io_p;
    if (piece->token == TOKEN_ONE) {
        if (p == end)
            return false;
        for (p++; p < end && tn_utf8_is_tail(*p); p++)
            ;
        *io_p = p;
        return true;
    }
    if ((size_t)(end - p) < piece->text.len || memcmp(p, piece->text.ptr, piece->text.len) != 0)
        return false;
    *io_p = p + piece->text.len;
    return true;
}

/* Greedy with one point of return: the last '%' passed is retried one byte further. */
static bool match_general(const struct pattern *pattern, struct tn_str text)
{
    const char *p = text.ptr, *end = p + text.len, *retry = NULL;
    uint32_t i = 0, retry_piece = 0;
    for (;;) {
        if (i < pattern->count && pattern->pieces[i].token == TOKEN_ANY) {
            retry_piece = ++i;
            retry = p;
            if (i == pattern->count)
                return true;
            continue;
        }
        if (i < pattern->count && match_piece(&pattern->pieces[i], &p, end)) {
            i++;
            continue;
        }
        if (i == pattern->count && p == end)
            return true;
        if (!retry || retry == end)
            return false;
        for (retry++; retry < end && tn_utf8_is_tail(*retry); retry++)
            ;
        p = retry;
        i = retry_piece;
    }
}

static bool match(const struct pattern *pattern, struct tn_str text)
{
    const struct piece *p = pattern->pieces;
    switch (pattern->count) {
    case 0: return text.len == 0;
    case 1:
        if (p[0].token == TOKEN_ANY)
            return true;
        if (p[0].token == TOKEN_TEXT)
            return tn_str_eq(p[0].text, text);
        break;
    case 2:
        if (p[0].token == TOKEN_TEXT && p[1].token == TOKEN_ANY)
            return text.len >= p[0].text.len && memcmp(text.ptr, p[0].text.ptr, p[0].text.len) == 0;
        if (p[0].token == TOKEN_ANY && p[1].token == TOKEN_TEXT)
            return text.len >= p[1].text.len &&
                   memcmp(text.ptr + text.len - p[1].text.len, p[1].text.ptr, p[1].text.len) == 0;
        break;
    case 3:
        if (p[0].token == TOKEN_ANY && p[1].token == TOKEN_TEXT && p[2].token == TOKEN_ANY)
            return memmem(text.ptr, text.len, p[1].text.ptr, p[1].text.len) != NULL;
        break;
    default: break;
    }
    return match_general(pattern, text);
}

static struct tn_str escape_of(struct tn_call *call, uint32_t row, bool *ret_is_bad)
{
    struct tn_str escape = call->args_count == 3 ? tni_arg_str(call, 2, row) : (struct tn_str){0};
    *ret_is_bad = call->args_count == 3 && tn_utf8_count(escape) != 1;
    return escape;
}

static void kernel_like(struct tn_call *call)
{
    bool is_const = call->is_const[1] && (call->args_count == 2 || call->is_const[2]);
    struct pattern pattern = {0};
    bool is_bad = false;
    for (uint32_t row = 0; row < call->rows_count; row++) {
        if (row == 0 || !is_const) {
            if (!is_const && !tni_row_ok(call, row))
                continue;
            struct tn_str escape = escape_of(call, row, &is_bad);
            compile(tni_arg_str(call, 1, row), escape, call->arena, &pattern);
            if (is_bad)
                pattern.error = "escape string must be a single character";
        }
        if (!tni_row_ok(call, row))
            continue;
        if (pattern.error)
            tni_error_argument(call, row, "%s", pattern.error);
        else if (match(&pattern, tni_arg_str(call, 0, row)))
            tn_bit_set(call->out->col.values, row);
    }
}

/* Stream rules: a NULL operand gives false. */
static void kernel_like_stream(struct tn_call *call)
{
    uint8_t *validity = NULL;
    for (uint32_t row = 0; row < call->rows_count; row++) {
        bool is_null = false;
        for (uint32_t arg = 0; arg < call->args_count; arg++)
            is_null |= tni_arg_null(call, arg, row);
        if (is_null)
            tni_null(call, row);
    }
    bool is_null_const = (call->is_const[1] && tni_arg_null(call, 1, 0)) ||
                         (call->args_count == 3 && call->is_const[2] && tni_arg_null(call, 2, 0));
    if (!is_null_const)
        kernel_like(call);
    /* failed rows stay NULL, NULL operands become false */
    validity = call->out->col.validity;
    if (!validity)
        return;
    for (size_t at = 0; at < tn_bits_bytes(call->rows_count); at++)
        validity[at] = call->out->errors ? (uint8_t) ~(unsigned)call->out->errors[at] : 0xff;
}

#define LIKE(FLAGS, ARGS, FN)                                                                      \
    {                                                                                              \
        .name = "like", .flags = (FLAGS) | TN_FN_INTERNAL, .args_count = sizeof(ARGS) - 1,         \
        .args = ARGS, .result = TN_K_BOOLEAN, .kernel = FN                                         \
    }

static const struct tn_func rows[] = {
    LIKE(TN_FN_QUERY, "ss", kernel_like),
    LIKE(TN_FN_QUERY, "sss", kernel_like),
    LIKE(TN_FN_STREAM | TN_FN_NULL_CALL, "ss", kernel_like_stream),
    LIKE(TN_FN_STREAM | TN_FN_NULL_CALL, "sss", kernel_like_stream),
};

TNI_TABLE(like);
