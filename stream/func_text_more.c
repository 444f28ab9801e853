/* Text, continued: padding, splitting, joining with a separator, choosing among texts, masking,
 * distances.
 * @thread the running one */
#include "stream/base/utf8.h"
#include "stream/func_int.h"

#define PAD_MAX (16 << 20) /* longest result of LPAD and RPAD in characters, stream rules */

/* ---- padding ---- */

struct pad {
    bool is_text, is_left;
};

static size_t count_of(struct pad pad, struct tn_str text)
{
    return pad.is_text ? tn_utf8_count(text) : text.len;
}

static size_t offset_of(struct pad pad, struct tn_str text, size_t count)
{
    return pad.is_text ? tn_utf8_offset(text, count) : count < text.len ? count : text.len;
}

static void pad_row(struct tni_text *out, struct pad pad, struct tn_str text, size_t size,
                    struct tn_str with)
{
    size_t count = count_of(pad, text), with_count = count_of(pad, with);
    if (count >= size) {
        tni_text_add(out, (struct tn_str){text.ptr, offset_of(pad, text, size)});
        return;
    }
    size_t missing = size - count;
    if (!pad.is_left)
        tni_text_add(out, text);
    for (; missing >= with_count && !out->is_over && !out->is_full; missing -= with_count)
        tni_text_add(out, with);
    tni_text_add(out, (struct tn_str){with.ptr, offset_of(pad, with, missing)});
    if (pad.is_left)
        tni_text_add(out, text);
}

static void kernel_pad(struct tn_call *call)
{
    struct pad pad = {call->type->kind == TN_K_VARCHAR, call->func->name[0] == 'l'};
    bool is_stream = call->func->flags & TN_FN_STREAM;
    int size_max = is_stream ? PAD_MAX : TN_TEXT_BYTES_MAX;
    struct tni_text out;
    tni_text_open(&out, call, (size_t)call->rows_count * 16);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        if (tni_row_ok(call, row)) {
            int64_t size = tni_arg_i64(call, 1, row);
            struct tn_str with = tni_arg_str(call, 2, row);
            if (size >= 0 && size <= size_max && with.len)
                pad_row(&out, pad, tni_arg_str(call, 0, row), (size_t)size, with);
            else if (is_stream && size <= PAD_MAX)
                tni_null(call, row);
            else if (with.len == 0)
                tni_error_argument(call, row, "padding string must not be empty");
            else
                tni_error_argument(call, row, "target length must be in the range [0..%d]",
                                   size_max);
        }
        tni_text_end(&out);
    }
    tni_text_close(&out);
}

/* ---- splitting ---- */

/* Next piece of *io_rest up to `by`; false behind the last one. */
static bool next_piece(struct tn_str *io_rest, struct tn_str by, struct tn_str *ret_piece)
{
    if (!io_rest->ptr)
        return false;
    const char *at = by.len ? memmem(io_rest->ptr, io_rest->len, by.ptr, by.len) : NULL;
    if (!at) {
        *ret_piece = *io_rest;
        *io_rest = (struct tn_str){0};
        return true;
    }
    *ret_piece = (struct tn_str){io_rest->ptr, (size_t)(at - io_rest->ptr)};
    io_rest->len -= ret_piece->len + by.len;
    io_rest->ptr = at + by.len;
    return true;
}

/* SPLIT by nothing, stream rules: one piece per character. */
static bool next_char(struct tn_str *io_rest, struct tn_str *ret_piece)
{
    if (!io_rest->ptr || io_rest->len == 0)
        return false;
    size_t len = tn_utf8_offset(*io_rest, 1);
    *ret_piece = (struct tn_str){io_rest->ptr, len};
    io_rest->ptr += len;
    io_rest->len -= len;
    return true;
}

static void split_row(struct tn_call *call, uint32_t row, struct tn_value *list)
{
    struct tn_str rest = tni_arg_str(call, 0, row), by = tni_arg_str(call, 1, row), piece;
    int64_t limit = call->args_count == 3 ? tni_arg_i64(call, 2, row) : INT64_MAX;
    const struct tn_type *type = call->type->children[0].type;
    uint32_t cap = 8;
    list->list.items = TN_ARENA_ARRAY(call->arena, struct tn_value, cap);
    bool is_empty = rest.len == 0;
    if (is_empty)
        rest.ptr = "";
    while (by.len || is_empty ? next_piece(&rest, by, &piece) : next_char(&rest, &piece)) {
        if (list->list.count + 1 == limit && rest.ptr) {
            piece.len = (size_t)(rest.ptr + rest.len - piece.ptr);
            rest.ptr = NULL;
        }
        if (list->list.count == cap) {
            struct tn_value *items = TN_ARENA_ARRAY(call->arena, struct tn_value, cap * 2);
            memcpy(items, list->list.items, cap * sizeof *items);
            list->list.items = items;
            cap *= 2;
        }
        list->list.items[list->list.count++] = (struct tn_value){.type = type, .s = piece};
    }
}

static void kernel_split(struct tn_call *call)
{
    struct tn_colbuilder *builder = tn_colbuilder_new(call->type, call->arena);
    bool is_query = call->func->flags & TN_FN_QUERY;
    for (uint32_t row = 0; row < call->rows_count; row++) {
        struct tn_value list = {.type = call->type, .is_null = !tni_row_ok(call, row)};
        if (!list.is_null && is_query && tni_arg_str(call, 1, row).len == 0) {
            tni_error_argument(call, row, "the delimiter may not be the empty string");
            list.is_null = true;
        } else if (!list.is_null && call->args_count == 3 && tni_arg_i64(call, 2, row) <= 0) {
            tni_error_argument(call, row, "limit must be positive");
            list.is_null = true;
        }
        if (!list.is_null)
            split_row(call, row, &list);
        tn_colbuilder_add(builder, &list);
    }
    tni_finish(call, builder);
}

static void kernel_split_part(struct tn_call *call)
{
    struct tni_text out;
    tni_text_open(&out, call, 1024);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        if (tni_row_ok(call, row)) {
            struct tn_str rest = tni_arg_str(call, 0, row), by = tni_arg_str(call, 1, row), piece;
            int64_t index = tni_arg_i64(call, 2, row), i = 0;
            bool is_found = false;
            if (rest.len == 0)
                rest.ptr = "";
            if (index <= 0)
                tni_error_argument(call, row, "index must be greater than zero");
            else if (by.len == 0)
                tni_error_argument(call, row, "the delimiter may not be the empty string");
            else
                while (i < index && (is_found = next_piece(&rest, by, &piece)))
                    i++;
            if (is_found)
                tni_text_add(&out, piece);
            else if (tni_row_ok(call, row))
                tni_null(call, row);
        }
        tni_text_end(&out);
    }
    tni_text_close(&out);
}

static enum tn_status resolve_texts(const struct tn_func *func, const struct tn_type **arg_types,
                                    uint32_t args_count, struct tn_arena *arena,
                                    const struct tn_type **ret_type)
{
    (void)func;
    (void)args_count;
    bool is_bytes = arg_types[0]->kind == TN_K_BYTES;
    *ret_type = tn_type_array(arena, tn_type_of(is_bytes ? TN_K_BYTES : TN_K_VARCHAR));
    return TN_OK;
}

/* ---- joining with a separator ---- */

static void kernel_concat_ws(struct tn_call *call)
{
    struct tni_text out;
    tni_text_open(&out, call, (size_t)call->rows_count * 16);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        if (tni_arg_null(call, 0, row)) {
            tni_null(call, row);
        } else {
            bool is_first = true;
            for (uint32_t arg = 1; arg < call->args_count; arg++) {
                if (tni_arg_null(call, arg, row))
                    continue;
                if (!is_first)
                    tni_text_add(&out, tni_arg_str(call, 0, row));
                tni_text_add(&out, tni_arg_str(call, arg, row));
                is_first = false;
            }
        }
        tni_text_end(&out);
    }
    tni_text_close(&out);
}

/* concat_ws(separator, array(varchar)) */
static void kernel_concat_ws_array(struct tn_call *call)
{
    const struct tn_column *list = &call->args[1], *items = list->children;
    struct tni_text out;
    tni_text_open(&out, call, (size_t)call->rows_count * 16);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        bool is_first = true;
        uint32_t at = tni_arg_row(call, 1, row);
        for (int32_t i = list->offsets[at]; tni_row_ok(call, row) && i < list->offsets[at + 1];
             i++) {
            if (tn_column_is_null(items, (uint32_t)i))
                continue;
            if (!is_first)
                tni_text_add(&out, tni_arg_str(call, 0, row));
            tni_text_add(&out, tn_column_str(items, (uint32_t)i));
            is_first = false;
        }
        tni_text_end(&out);
    }
    tni_text_close(&out);
}

static enum tn_status resolve_ws_array(const struct tn_func *func, const struct tn_type **arg_types,
                                       uint32_t args_count, struct tn_arena *arena,
                                       const struct tn_type **ret_type)
{
    (void)func;
    (void)args_count;
    (void)arena;
    if (arg_types[1]->kind != TN_K_ARRAY || arg_types[1]->children[0].type->kind != TN_K_VARCHAR)
        return TN_E_TYPE;
    *ret_type = tn_type_of(TN_K_VARCHAR);
    return TN_OK;
}

/* ---- choosing ---- */

static void kernel_elt(struct tn_call *call)
{
    struct tni_text out;
    tni_text_open(&out, call, 1024);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        int64_t n = tni_arg_null(call, 0, row) ? 0 : tni_arg_i64(call, 0, row);
        if (n < 1 || n >= call->args_count || tni_arg_null(call, (uint32_t)n, row))
            tni_null(call, row);
        else
            tni_text_add(&out, tni_arg_str(call, (uint32_t)n, row));
        tni_text_end(&out);
    }
    tni_text_close(&out);
}

static void kernel_field(struct tn_call *call)
{
    for (uint32_t row = 0; row < call->rows_count; row++) {
        if (tni_arg_null(call, 0, row))
            continue;
        struct tn_str text = tni_arg_str(call, 0, row);
        for (uint32_t arg = 1; arg < call->args_count; arg++) {
            if (tni_arg_null(call, arg, row) || !tn_str_eq(tni_arg_str(call, arg, row), text))
                continue;
            TNI_OUT(call, int32_t)[row] = (int32_t)arg;
            break;
        }
    }
}

/* ---- INITCAP ---- */

static void kernel_initcap(struct tn_call *call)
{
    struct tni_text out;
    tni_text_open(&out, call, 1024);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        struct tn_str text = tni_row_ok(call, row) ? tni_arg_str(call, 0, row) : TN_STR("");
        const char *p = text.ptr, *end = p + text.len;
        bool is_start = true;
        while (p < end) {
            uint32_t code = tn_utf8_next(&p, end);
            uint32_t mapped = is_start ? tn_code_upper(code) : tn_code_lower(code);
            out.len += tn_utf8_put(mapped, tni_text_reserve(&out, 4));
            is_start = code == ' ' || (code >= 9 && code <= 13);
        }
        tni_text_end(&out);
    }
    tni_text_close(&out);
}

/* ---- masks ---- */

enum { MASK_UPPER, MASK_LOWER, MASK_DIGIT, MASK_OTHER, MASK_COUNT };

struct mask {
    struct tn_str with[MASK_COUNT]; /* ptr NULL: leave the character */
};

/* Optional arguments behind the text (and the count): four replacements; NULL keeps that class. */
static void read_mask(const struct tn_call *call, uint32_t row, uint32_t first, struct mask *mask)
{
    static const struct tn_str defaults[MASK_COUNT] = {{"X", 1}, {"x", 1}, {"n", 1}, {"-", 1}};
    for (uint32_t k = 0; k < MASK_COUNT; k++) {
        mask->with[k] = defaults[k];
        if (first + k < call->args_count)
            mask->with[k] = tni_arg_null(call, first + k, row) ? (struct tn_str){0}
                                                               : tni_arg_str(call, first + k, row);
        if (mask->with[k].ptr)
            mask->with[k].len = tn_utf8_offset(mask->with[k], 1);
    }
}

static void mask_char(struct tni_text *out, const struct mask *mask, struct tn_str one)
{
    const char *p = one.ptr;
    uint32_t code = tn_utf8_next(&p, one.ptr + one.len);
    int class = tn_code_lower(code) != code   ? MASK_UPPER
                : tn_code_upper(code) != code ? MASK_LOWER
                : code >= '0' && code <= '9'  ? MASK_DIGIT
                                              : MASK_OTHER;
    tni_text_add(out, mask->with[class].ptr ? mask->with[class] : one);
}

/* Masks characters number from … end − 1. */
static void mask_row(struct tni_text *out, const struct mask *mask, struct tn_str text,
                     int64_t from, int64_t end)
{
    for (int64_t i = 0; text.len; i++) {
        struct tn_str one = {text.ptr, tn_utf8_offset(text, 1)};
        if (i >= from && i < end)
            mask_char(out, mask, one);
        else
            tni_text_add(out, one);
        text.ptr += one.len;
        text.len -= one.len;
    }
}

static void kernel_mask(struct tn_call *call)
{
    const char *kind =
        call->func->name + 4; /* "", "_left", "_right", "_keep_left", "_keep_right" */
    bool has_count = *kind != 0, is_keep = strncmp(kind, "_keep", 5) == 0;
    bool is_left = has_count && strstr(kind, "left") != NULL;
    struct tni_text out;
    tni_text_open(&out, call, 1024);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        bool is_null = tni_arg_null(call, 0, row) || (has_count && tni_arg_null(call, 1, row));
        if (is_null) {
            tni_null(call, row);
            tni_text_end(&out);
            continue;
        }
        struct mask mask;
        struct tn_str text = tni_arg_str(call, 0, row);
        int64_t length = (int64_t)tn_utf8_count(text), from = 0, end = length;
        read_mask(call, row, has_count ? 2 : 1, &mask);
        int64_t count = has_count ? tni_arg_i64(call, 1, row) : 0;
        if (has_count && count < 0) {
            tni_error_argument(call, row, "number of characters must not be negative");
            tni_text_end(&out);
            continue;
        }
        count = count < length ? count : length;
        if (has_count && is_left != is_keep)
            end = is_keep ? length - count : count; /* mask_left, mask_keep_right */
        else if (has_count)
            from = is_keep ? count : length - count; /* mask_keep_left, mask_right */
        mask_row(&out, &mask, text, from, end);
        tni_text_end(&out);
    }
    tni_text_close(&out);
}

/* ---- distances ---- */

#define DISTANCE_MAX 10000 /* longest text whose edit distance is computed */

static uint32_t *codes_of(struct tn_str text, size_t count, struct tn_arena *arena)
{
    uint32_t *codes = TN_ARENA_ARRAY(arena, uint32_t, count + 1);
    const char *p = text.ptr, *end = p + text.len;
    for (size_t i = 0; p < end && i < count; i++)
        codes[i] = tn_utf8_next(&p, end);
    return codes;
}

static int64_t levenshtein(struct tn_str a, struct tn_str b, struct tn_arena *arena)
{
    size_t n = tn_utf8_count(a), m = tn_utf8_count(b);
    const uint32_t *x = codes_of(a, n, arena), *y = codes_of(b, m, arena);
    int64_t *row = TN_ARENA_ARRAY(arena, int64_t, m + 1);
    for (size_t j = 0; j <= m; j++)
        row[j] = (int64_t)j;
    for (size_t i = 1; i <= n; i++) {
        int64_t diagonal = row[0];
        row[0] = (int64_t)i;
        for (size_t j = 1; j <= m; j++) {
            int64_t best = diagonal + (x[i - 1] != y[j - 1]);
            best = row[j] + 1 < best ? row[j] + 1 : best;
            best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[m];
}

static void kernel_levenshtein(struct tn_call *call)
{
    for (uint32_t row = 0; row < call->rows_count; row++) {
        if (!tni_row_ok(call, row))
            continue;
        struct tn_str a = tni_arg_str(call, 0, row), b = tni_arg_str(call, 1, row);
        if (a.len > DISTANCE_MAX || b.len > DISTANCE_MAX)
            tni_error_argument(call, row, "texts are too long to compare: at most %d bytes",
                               DISTANCE_MAX);
        else
            TNI_OUT(call, int64_t)[row] = levenshtein(a, b, call->arena);
    }
}

static void kernel_hamming(struct tn_call *call)
{
    for (uint32_t row = 0; row < call->rows_count; row++) {
        if (!tni_row_ok(call, row))
            continue;
        struct tn_str a = tni_arg_str(call, 0, row), b = tni_arg_str(call, 1, row);
        if (tn_utf8_count(a) != tn_utf8_count(b)) {
            tni_error_argument(call, row, "the texts must have the same length");
            continue;
        }
        const char *p = a.ptr, *p_end = p + a.len, *q = b.ptr, *q_end = q + b.len;
        int64_t distance = 0;
        while (p < p_end && q < q_end)
            distance += tn_utf8_next(&p, p_end) != tn_utf8_next(&q, q_end);
        TNI_OUT(call, int64_t)[row] = distance;
    }
}

#define BOTH   TNI_BOTH
#define QUERY  TN_FN_QUERY
#define STREAM TN_FN_STREAM
#define NULLS  (TN_FN_STREAM | TN_FN_NULL_CALL)

#define MASKS(NAME, COUNT, HELP)                                                                   \
    TNI_FN(NAME, NULLS, "s" COUNT, VARCHAR, kernel_mask, HELP),                                    \
        TNI_FN(NAME, NULLS, "s" COUNT "ssss", VARCHAR, kernel_mask,                                \
               HELP "; replacements for upper, lower, digit, other")

static const struct tn_func rows[] = {
    TNI_FN("lpad", QUERY, "sls", VARCHAR, kernel_pad, "filled up to n characters from the left"),
    TNI_FN("rpad", QUERY, "sls", VARCHAR, kernel_pad, "filled up to n characters from the right"),
    TNI_FN("lpad", STREAM, "sls", VARCHAR, kernel_pad, "filled up to n characters from the left"),
    TNI_FN("rpad", STREAM, "sls", VARCHAR, kernel_pad, "filled up to n characters from the right"),
    TNI_FN("lpad", QUERY, "yly", BYTES, kernel_pad, "filled up to n bytes from the left"),
    TNI_FN("rpad", QUERY, "yly", BYTES, kernel_pad, "filled up to n bytes from the right"),
    TNI_FN("lpad", STREAM, "yly", BYTES, kernel_pad, "filled up to n bytes from the left"),
    TNI_FN("rpad", STREAM, "yly", BYTES, kernel_pad, "filled up to n bytes from the right"),
    TNI_FN_TYPED("split", QUERY, "ss", resolve_texts, kernel_split, "parts between delimiters"),
    TNI_FN_TYPED("split", QUERY, "ssl", resolve_texts, kernel_split, "at most n parts"),
    TNI_FN_TYPED("split", STREAM, "ss", resolve_texts, kernel_split, "parts between delimiters"),
    TNI_FN("split_part", QUERY, "ssl", VARCHAR, kernel_split_part,
           "n-th part between delimiters, NULL past the end"),
    TNI_FN("concat_ws", BOTH | TN_FN_NULL_CALL | TN_FN_VARARGS, "sss", VARCHAR, kernel_concat_ws,
           "texts joined by the first, NULL left out"),
    TNI_FN("concat_ws", STREAM | TN_FN_NULL_CALL | TN_FN_VARARGS, "yyy", BYTES, kernel_concat_ws,
           "bytes joined by the first, NULL left out"),
    TNI_FN_TYPED("concat_ws", QUERY, "sA", resolve_ws_array, kernel_concat_ws_array,
                 "elements joined by the first, NULL left out"),
    TNI_FN("elt", NULLS | TN_FN_VARARGS, "lss", VARCHAR, kernel_elt, "n-th of the texts"),
    TNI_FN("field", NULLS | TN_FN_VARARGS, "sss", INTEGER, kernel_field,
           "place of the first text among the others, 0 if absent"),
    TNI_FN("initcap", STREAM, "s", VARCHAR, kernel_initcap, "words with a capital first letter"),
    MASKS("mask", "", "characters replaced by their class"),
    MASKS("mask_left", "l", "the first n characters masked"),
    MASKS("mask_right", "l", "the last n characters masked"),
    MASKS("mask_keep_left", "l", "all but the first n characters masked"),
    MASKS("mask_keep_right", "l", "all but the last n characters masked"),
    TNI_FN("levenshtein_distance", QUERY, "ss", BIGINT, kernel_levenshtein, "edit distance"),
    TNI_FN("hamming_distance", QUERY, "ss", BIGINT, kernel_hamming, "number of places that differ"),
};

TNI_TABLE(text_more);
