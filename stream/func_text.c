/* Text: joining, case, length, parts, trimming, searching. Positions are code points; LEN of stream
 * rules counts UTF-16 units, as Java does. Case mapping is one code point to one
 * (stream/base/utf8.h). Padding, splitting and masking are in func_text_more.c. @thread the running
 * one */
#include "stream/base/utf8.h"
#include "stream/func_int.h"

/* ---- joining ---- */

/* Query rules: strict. */
static void kernel_concat(struct tn_call *call)
{
    struct tni_text out;
    tni_text_open(&out, call, (size_t)call->rows_count * 16);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        for (uint32_t arg = 0; tni_row_ok(call, row) && arg < call->args_count; arg++)
            tni_text_add(&out, tni_arg_str(call, arg, row));
        tni_text_end(&out);
    }
    tni_text_close(&out);
}

/* Stream rules: NULL is left out. */
static void kernel_concat_nulls(struct tn_call *call)
{
    struct tni_text out;
    tni_text_open(&out, call, (size_t)call->rows_count * 16);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        for (uint32_t arg = 0; arg < call->args_count; arg++)
            if (!tni_arg_null(call, arg, row))
                tni_text_add(&out, tni_arg_str(call, arg, row));
        tni_text_end(&out);
    }
    tni_text_close(&out);
}

/* ---- case ---- */

static bool is_ascii(struct tn_str text)
{
    size_t i = 0;
    uint64_t word;
    for (; i + 8 <= text.len; i += 8) {
        memcpy(&word, text.ptr + i, 8);
        if (word & 0x8080808080808080u)
            return false;
    }
    for (; i < text.len; i++)
        if ((unsigned char)text.ptr[i] & 0x80)
            return false;
    return true;
}

static void case_ascii(struct tni_text *out, struct tn_str text, unsigned char first)
{
    unsigned char *to = (unsigned char *)tni_text_reserve(out, text.len);
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        to[i] = (unsigned char)(c - first) < 26 ? c ^ 32u : c;
    }
    out->len += text.len;
}

static void map_case(struct tn_call *call, uint32_t (*map)(uint32_t), unsigned char first)
{
    struct tni_text out;
    tni_text_open(&out, call, 1024);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        struct tn_str text = tni_row_ok(call, row) ? tni_arg_str(call, 0, row) : TN_STR("");
        if (is_ascii(text)) {
            case_ascii(&out, text, first);
        } else {
            const char *p = text.ptr, *end = p + text.len;
            while (p < end) {
                char *to = tni_text_reserve(&out, 4);
                out.len += tn_utf8_put(map(tn_utf8_next(&p, end)), to);
            }
        }
        tni_text_end(&out);
    }
    tni_text_close(&out);
}

static void kernel_lower(struct tn_call *call)
{
    map_case(call, tn_code_lower, 'A');
}

static void kernel_upper(struct tn_call *call)
{
    map_case(call, tn_code_upper, 'a');
}

/* ---- length ---- */

static void kernel_length(struct tn_call *call)
{
    bool is_text = call->args[0].type->kind == TN_K_VARCHAR;
    for (uint32_t row = 0; row < call->rows_count; row++) {
        struct tn_str text = tni_arg_str(call, 0, row);
        TNI_OUT(call, int64_t)[row] = (int64_t)(is_text ? tn_utf8_count(text) : text.len);
    }
}

static void kernel_len(struct tn_call *call)
{
    bool is_text = call->args[0].type->kind == TN_K_VARCHAR;
    for (uint32_t row = 0; row < call->rows_count; row++) {
        struct tn_str text = tni_arg_str(call, 0, row);
        TNI_OUT(call, int32_t)[row] = (int32_t)(is_text ? tn_utf8_count_utf16(text) : text.len);
    }
}

/* ---- parts ---- */

static size_t units(const struct tn_call *call, struct tn_str text)
{
    return call->type->kind == TN_K_VARCHAR ? tn_utf8_count(text) : text.len;
}

static struct tn_str part(const struct tn_call *call, struct tn_str text, int64_t from,
                          int64_t count)
{
    if (call->type->kind != TN_K_VARCHAR)
        return (struct tn_str){text.ptr + from, (size_t)count};
    size_t start = tn_utf8_offset(text, (size_t)from);
    struct tn_str rest = {text.ptr + start, text.len - start};
    return (struct tn_str){rest.ptr, tn_utf8_offset(rest, (size_t)count)};
}

/* Trino: 1-based, negative from the end; 0 and anything outside give ''. */
static struct tn_str substr_query(const struct tn_call *call, struct tn_str text, int64_t start,
                                  int64_t count)
{
    int64_t length = (int64_t)units(call, text);
    if (start == 0 || count <= 0 || start > length || start < -length)
        return TN_STR("");
    int64_t from = start > 0 ? start - 1 : length + start;
    return part(call, text, from, count < length - from ? count : length - from);
}

/* ksqlDB: positions outside are moved to the nearest end. */
static struct tn_str substr_stream(const struct tn_call *call, struct tn_str text, int64_t start,
                                   int64_t count)
{
    int64_t length = (int64_t)units(call, text), from;
    if (start < 0)
        from = start > -length ? length + start : 0;
    else
        from = start == 0 ? 0 : start - 1 < length ? start - 1 : length;
    int64_t end = count < 0 ? from : count < length - from ? from + count : length;
    return part(call, text, from, end - from);
}

static void kernel_substr(struct tn_call *call)
{
    bool is_stream = call->func->flags & TN_FN_STREAM;
    struct tni_text out;
    tni_text_open(&out, call, 1024);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        if (tni_row_ok(call, row)) {
            struct tn_str text = tni_arg_str(call, 0, row);
            int64_t start = tni_arg_i64(call, 1, row);
            int64_t count = call->args_count == 3 ? tni_arg_i64(call, 2, row) : INT64_MAX;
            tni_text_add(&out, is_stream ? substr_stream(call, text, start, count)
                                         : substr_query(call, text, start, count));
        }
        tni_text_end(&out);
    }
    tni_text_close(&out);
}

static void kernel_reverse(struct tn_call *call)
{
    bool is_text = call->type->kind == TN_K_VARCHAR;
    struct tni_text out;
    tni_text_open(&out, call, 1024);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        struct tn_str text = tni_row_ok(call, row) ? tni_arg_str(call, 0, row) : TN_STR("");
        char *to = tni_text_reserve(&out, text.len);
        for (size_t i = 0, len; i < text.len; i += len) {
            len = 1;
            while (is_text && i + len < text.len && tn_utf8_is_tail(text.ptr[i + len]))
                len++;
            memcpy(to + text.len - i - len, text.ptr + i, len);
        }
        out.len += text.len;
        tni_text_end(&out);
    }
    tni_text_close(&out);
}

/* ---- trimming ---- */

enum { TRIM_LEFT = 1, TRIM_RIGHT = 2 };

static bool in_set(uint32_t code, struct tn_str set)
{
    const char *p = set.ptr, *end = p + set.len;
    while (p < end)
        if (tn_utf8_next(&p, end) == code)
            return true;
    return false;
}

/* Unicode White_Space for query rules; everything up to U+0020 for stream rules
 * (java.lang.String.trim). */
static bool is_space(uint32_t code, bool is_stream)
{
    if (is_stream)
        return code <= ' ';
    return (code >= 9 && code <= 13) || code == ' ' || code == 0x85 || code == 0xA0 ||
           code == 0x1680 || (code >= 0x2000 && code <= 0x200A) || code == 0x2028 ||
           code == 0x2029 || code == 0x202F || code == 0x205F || code == 0x3000;
}

static bool is_cut(const struct tn_call *call, uint32_t row, uint32_t code)
{
    if (call->args_count == 2)
        return in_set(code, tni_arg_str(call, 1, row));
    return is_space(code, call->func->flags & TN_FN_STREAM);
}

static void trim(struct tn_call *call, unsigned sides)
{
    struct tni_text out;
    tni_text_open(&out, call, 1024);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        struct tn_str text = tni_row_ok(call, row) ? tni_arg_str(call, 0, row) : TN_STR("");
        const char *from = text.ptr, *end = from + text.len;
        while (sides & TRIM_LEFT && from < end) {
            const char *p = from;
            if (!is_cut(call, row, tn_utf8_next(&p, end)))
                break;
            from = p;
        }
        while (sides & TRIM_RIGHT && from < end) {
            const char *last = end - 1;
            while (last > from && tn_utf8_is_tail(*last))
                last--;
            const char *p = last;
            if (!is_cut(call, row, tn_utf8_next(&p, end)))
                break;
            end = last;
        }
        tni_text_row(&out, (struct tn_str){from, (size_t)(end - from)});
    }
    tni_text_close(&out);
}

static void kernel_trim(struct tn_call *call)
{
    trim(call, TRIM_LEFT | TRIM_RIGHT);
}

static void kernel_ltrim(struct tn_call *call)
{
    trim(call, TRIM_LEFT);
}

static void kernel_rtrim(struct tn_call *call)
{
    trim(call, TRIM_RIGHT);
}

/* ---- searching ---- */

static const char *find(const char *p, const char *end, struct tn_str what)
{
    if (what.len == 0)
        return p;
    return memmem(p, (size_t)(end - p), what.ptr, what.len);
}

/* Between characters and at both ends when nothing is searched, as Java's replace does. */
static void replace_nothing(struct tni_text *out, struct tn_str text, struct tn_str with)
{
    for (size_t i = 0; i < text.len; i++) {
        if (!tn_utf8_is_tail(text.ptr[i]))
            tni_text_add(out, with);
        tni_text_add(out, (struct tn_str){text.ptr + i, 1});
    }
    tni_text_add(out, with);
}

static void kernel_replace(struct tn_call *call)
{
    struct tni_text out;
    tni_text_open(&out, call, 1024);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        if (!tni_row_ok(call, row)) {
            tni_text_end(&out);
            continue;
        }
        struct tn_str text = tni_arg_str(call, 0, row), what = tni_arg_str(call, 1, row);
        struct tn_str with = call->args_count == 3 ? tni_arg_str(call, 2, row) : TN_STR("");
        const char *p = text.ptr, *end = p + text.len, *at;
        if (what.len == 0) {
            replace_nothing(&out, text, with);
            p = end;
        }
        while (p < end && (at = find(p, end, what))) {
            tni_text_add(&out, (struct tn_str){p, (size_t)(at - p)});
            tni_text_add(&out, with);
            p = at + what.len;
        }
        tni_text_row(&out, (struct tn_str){p, (size_t)(end - p)});
    }
    tni_text_close(&out);
}

static int64_t position_of(struct tn_str text, const char *at)
{
    return (int64_t)tn_utf8_count((struct tn_str){text.ptr, (size_t)(at - text.ptr)}) + 1;
}

/* n-th occurrence from the start, or from the end when n < 0; 0 when there is none. */
static int64_t find_nth(struct tn_str text, struct tn_str what, int64_t n)
{
    const char *end = text.ptr + text.len, *at = NULL;
    int64_t wanted = n;
    if (n < 0) {
        int64_t count = 0;
        for (const char *p = text.ptr; (p = find(p, end, what)) && p < end; p++)
            count++;
        wanted = count + n + 1;
    }
    const char *p = text.ptr;
    for (int64_t i = 0; i < wanted; i++) {
        if (i > 0 && p >= end)
            return 0;
        at = find(i > 0 ? p + 1 : p, end, what);
        if (!at)
            return 0;
        p = at;
    }
    return at ? position_of(text, at) : 0;
}

static void kernel_strpos(struct tn_call *call)
{
    for (uint32_t row = 0; row < call->rows_count; row++) {
        if (!tni_row_ok(call, row))
            continue;
        int64_t n = call->args_count == 3 ? tni_arg_i64(call, 2, row) : 1;
        struct tn_str text = tni_arg_str(call, 0, row), what = tni_arg_str(call, 1, row);
        if (n == 0)
            tni_error_argument(call, row, "'instance' must not be 0");
        else
            TNI_OUT(call, int64_t)[row] = find_nth(text, what, n);
    }
}

/* INSTR(text, what [, position [, occurrence]]): a negative position searches backwards from there.
 */
static int64_t instr(struct tn_str text, struct tn_str what, int64_t position, int64_t occurrence)
{
    if (!text.ptr)
        return 0;
    int64_t length = (int64_t)tn_utf8_count(text);
    const char *end = text.ptr + text.len;
    if (position == 0 || occurrence < 1 || position > length + 1 || position < -length)
        return 0;
    if (position > 0) {
        const char *p = text.ptr + tn_utf8_offset(text, (size_t)position - 1), *at = NULL;
        for (int64_t i = 0; i < occurrence; i++) {
            at = p <= end ? find(p, end, what) : NULL;
            if (!at)
                return 0;
            p = at + 1;
        }
        return position_of(text, at);
    }
    const char *p = text.ptr + tn_utf8_offset(text, (size_t)(length + position));
    for (int64_t seen = 0; p >= text.ptr; p--) {
        bool is_here = (size_t)(end - p) >= what.len && memcmp(p, what.ptr, what.len) == 0;
        if (is_here && ++seen == occurrence)
            return position_of(text, p);
    }
    return 0;
}

static void kernel_instr(struct tn_call *call)
{
    for (uint32_t row = 0; row < call->rows_count; row++) {
        if (!tni_row_ok(call, row))
            continue;
        int64_t position = call->args_count > 2 ? tni_arg_i64(call, 2, row) : 1;
        int64_t occurrence = call->args_count > 3 ? tni_arg_i64(call, 3, row) : 1;
        TNI_OUT(call, int32_t)
        [row] = (int32_t)instr(tni_arg_str(call, 0, row), tni_arg_str(call, 1, row), position,
                               occurrence);
    }
}

static void kernel_starts_with(struct tn_call *call)
{
    for (uint32_t row = 0; row < call->rows_count; row++) {
        struct tn_str text = tni_arg_str(call, 0, row), what = tni_arg_str(call, 1, row);
        tn_bit_put(call->out->col.values, row,
                   text.len >= what.len && memcmp(text.ptr, what.ptr, what.len) == 0);
    }
}

static void kernel_ends_with(struct tn_call *call)
{
    for (uint32_t row = 0; row < call->rows_count; row++) {
        struct tn_str text = tni_arg_str(call, 0, row), what = tni_arg_str(call, 1, row);
        tn_bit_put(call->out->col.values, row,
                   text.len >= what.len &&
                       memcmp(text.ptr + text.len - what.len, what.ptr, what.len) == 0);
    }
}

/* ---- code points ---- */

static void kernel_chr(struct tn_call *call)
{
    struct tni_text out;
    tni_text_open(&out, call, call->rows_count * 4);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        int64_t code = tni_arg_i64(call, 0, row);
        bool is_code = code >= 0 && code <= 0x10FFFF && !(code >= 0xD800 && code <= 0xDFFF);
        if (tni_row_ok(call, row) && !is_code)
            tni_error_argument(call, row, "not a valid Unicode code point: %lld", (long long)code);
        else if (tni_row_ok(call, row))
            out.len += tn_utf8_put((uint32_t)code, tni_text_reserve(&out, 4));
        tni_text_end(&out);
    }
    tni_text_close(&out);
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'                 ? c - '0'
           : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                : -1;
}

/* CHR('\uD83D\uDE00'): one code point as UTF-16 escapes. */
static void kernel_chr_escape(struct tn_call *call)
{
    struct tni_text out;
    tni_text_open(&out, call, call->rows_count * 4);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        struct tn_str text = tni_row_ok(call, row) ? tni_arg_str(call, 0, row) : TN_STR("");
        uint32_t unit[2] = {0};
        bool is_ok = text.len == 6 || text.len == 12;
        for (size_t i = 0; is_ok && i < text.len; i++) {
            size_t at = i % 6;
            int digit = at > 1 ? hex_digit(text.ptr[i]) : 0;
            is_ok = at == 0 ? text.ptr[i] == '\\' : at == 1 ? text.ptr[i] == 'u' : digit >= 0;
            unit[i / 6] = unit[i / 6] << 4 | (uint32_t)digit;
        }
        bool is_pair = unit[0] >= 0xD800 && unit[0] < 0xDC00 && unit[1] >= 0xDC00;
        if (is_ok && text.len == 12 && !is_pair)
            is_ok = false;
        uint32_t code =
            is_pair ? 0x10000 + ((unit[0] - 0xD800) << 10) + (unit[1] - 0xDC00) : unit[0];
        if (is_ok)
            out.len += tn_utf8_put(code, tni_text_reserve(&out, 4));
        else
            tni_null(call, row);
        tni_text_end(&out);
    }
    tni_text_close(&out);
}

static void kernel_codepoint(struct tn_call *call)
{
    for (uint32_t row = 0; row < call->rows_count; row++) {
        if (!tni_row_ok(call, row))
            continue;
        struct tn_str text = tni_arg_str(call, 0, row);
        const char *p = text.ptr, *end = p + text.len;
        if (tn_utf8_count(text) != 1)
            tni_error_argument(call, row, "codepoint takes exactly one character");
        else
            TNI_OUT(call, int32_t)[row] = (int32_t)tn_utf8_next(&p, end);
    }
}

/* Characters of `from` become those of `to` at the same place; those without one are dropped. */
static void translate_row(struct tni_text *out, struct tn_str text, struct tn_str from,
                          struct tn_str to)
{
    const char *p = text.ptr, *end = p + text.len;
    while (p < end) {
        const char *start = p, *f = from.ptr, *f_end = f + from.len, *t = to.ptr;
        const char *t_end = t + to.len;
        uint32_t code = tn_utf8_next(&p, end);
        bool is_found = false, has_target = false;
        const char *target = t;
        while (f < f_end && !is_found) {
            is_found = tn_utf8_next(&f, f_end) == code;
            target = t;
            has_target = t < t_end;
            if (has_target)
                tn_utf8_next(&t, t_end);
        }
        if (!is_found)
            tni_text_add(out, (struct tn_str){start, (size_t)(p - start)});
        else if (has_target)
            tni_text_add(out, (struct tn_str){target, (size_t)(t - target)});
    }
}

static void kernel_translate(struct tn_call *call)
{
    struct tni_text out;
    tni_text_open(&out, call, 1024);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        if (tni_row_ok(call, row))
            translate_row(&out, tni_arg_str(call, 0, row), tni_arg_str(call, 1, row),
                          tni_arg_str(call, 2, row));
        tni_text_end(&out);
    }
    tni_text_close(&out);
}

#define BOTH   TNI_BOTH
#define QUERY  TN_FN_QUERY
#define STREAM TN_FN_STREAM
#define JOIN_S (TN_FN_STREAM | TN_FN_NULL_CALL)

static const struct tn_func rows[] = {
    TNI_FN("||", QUERY | TN_FN_INTERNAL, "ss", VARCHAR, kernel_concat, NULL),
    TNI_FN("||", QUERY | TN_FN_INTERNAL, "yy", BYTES, kernel_concat, NULL),
    TNI_FN("||", JOIN_S | TN_FN_INTERNAL, "ss", VARCHAR, kernel_concat_nulls, NULL),
    TNI_FN("||", JOIN_S | TN_FN_INTERNAL, "yy", BYTES, kernel_concat_nulls, NULL),
    TNI_FN("concat", QUERY | TN_FN_VARARGS, "sss", VARCHAR, kernel_concat,
           "texts joined; NULL when one is NULL"),
    TNI_FN("concat", QUERY | TN_FN_VARARGS, "yyy", BYTES, kernel_concat, "bytes joined"),
    TNI_FN("concat", JOIN_S | TN_FN_VARARGS, "sss", VARCHAR, kernel_concat_nulls,
           "texts joined, NULL left out"),
    TNI_FN("concat", JOIN_S | TN_FN_VARARGS, "yyy", BYTES, kernel_concat_nulls,
           "bytes joined, NULL left out"),
    TNI_FN("lower", QUERY, "s", VARCHAR, kernel_lower, "in lower case"),
    TNI_FN("upper", QUERY, "s", VARCHAR, kernel_upper, "in upper case"),
    TNI_FN("lcase", STREAM, "s", VARCHAR, kernel_lower, "in lower case"),
    TNI_FN("ucase", STREAM, "s", VARCHAR, kernel_upper, "in upper case"),
    TNI_FN("length", QUERY, "s", BIGINT, kernel_length, "number of characters"),
    TNI_FN("length", QUERY, "y", BIGINT, kernel_length, "number of bytes"),
    TNI_FN("char_length", QUERY, "s", BIGINT, kernel_length, "number of characters"),
    TNI_FN("character_length", QUERY, "s", BIGINT, kernel_length, "number of characters"),
    TNI_FN("len", STREAM, "s", INTEGER, kernel_len, "number of UTF-16 units"),
    TNI_FN("len", STREAM, "y", INTEGER, kernel_len, "number of bytes"),
    TNI_FN("substr", QUERY, "sl", VARCHAR, kernel_substr, "text from position n on"),
    TNI_FN("substr", QUERY, "sll", VARCHAR, kernel_substr, "m characters from position n on"),
    TNI_FN("substr", QUERY, "yl", BYTES, kernel_substr, "bytes from position n on"),
    TNI_FN("substr", QUERY, "yll", BYTES, kernel_substr, "m bytes from position n on"),
    TNI_FN("substring", QUERY, "sl", VARCHAR, kernel_substr, "text from position n on"),
    TNI_FN("substring", QUERY, "sll", VARCHAR, kernel_substr, "m characters from position n on"),
    TNI_FN("substring", STREAM, "sl", VARCHAR, kernel_substr, "text from position n on"),
    TNI_FN("substring", STREAM, "sll", VARCHAR, kernel_substr, "m characters from position n on"),
    TNI_FN("substring", STREAM, "yl", BYTES, kernel_substr, "bytes from position n on"),
    TNI_FN("substring", STREAM, "yll", BYTES, kernel_substr, "m bytes from position n on"),
    TNI_FN("reverse", QUERY, "s", VARCHAR, kernel_reverse, "characters in reverse order"),
    TNI_FN("reverse", QUERY, "y", BYTES, kernel_reverse, "bytes in reverse order"),
    TNI_FN("trim", STREAM, "s", VARCHAR, kernel_trim, "without outer blanks"),
    TNI_FN("trim", QUERY, "s", VARCHAR, kernel_trim, "without outer white space"),
    TNI_FN("trim", QUERY, "ss", VARCHAR, kernel_trim, "without outer characters of the second"),
    TNI_FN("ltrim", QUERY, "s", VARCHAR, kernel_ltrim, "without leading white space"),
    TNI_FN("ltrim", QUERY, "ss", VARCHAR, kernel_ltrim, "without leading characters of the second"),
    TNI_FN("rtrim", QUERY, "s", VARCHAR, kernel_rtrim, "without trailing white space"),
    TNI_FN("rtrim", QUERY, "ss", VARCHAR, kernel_rtrim,
           "without trailing characters of the second"),
    TNI_FN("replace", QUERY, "ss", VARCHAR, kernel_replace, "without the second text"),
    TNI_FN("replace", BOTH, "sss", VARCHAR, kernel_replace,
           "the second text replaced by the third"),
    TNI_FN("strpos", QUERY, "ss", BIGINT, kernel_strpos,
           "position of the second text, 0 if absent"),
    TNI_FN("strpos", QUERY, "ssl", BIGINT, kernel_strpos, "position of its n-th occurrence"),
    TNI_FN("position", QUERY, "ss", BIGINT, kernel_strpos, "position of the second text"),
    TNI_FN("instr", STREAM, "ss", INTEGER, kernel_instr,
           "position of the second text, 0 if absent"),
    TNI_FN("instr", STREAM, "ssl", INTEGER, kernel_instr, "the same from a position on"),
    TNI_FN("instr", STREAM, "ssll", INTEGER, kernel_instr, "the same, n-th occurrence"),
    TNI_FN("starts_with", QUERY, "ss", BOOLEAN, kernel_starts_with, "begins with the second text"),
    TNI_FN("ends_with", QUERY, "ss", BOOLEAN, kernel_ends_with, "ends with the second text"),
    TNI_FN("chr", BOTH, "l", VARCHAR, kernel_chr, "character of a code point"),
    TNI_FN("chr", STREAM, "s", VARCHAR, kernel_chr_escape, "character of '\\uXXXX'"),
    TNI_FN("codepoint", QUERY, "s", INTEGER, kernel_codepoint, "code point of a character"),
    TNI_FN("translate", QUERY, "sss", VARCHAR, kernel_translate,
           "characters of the second replaced by those of the third"),
};

TNI_TABLE(text);
