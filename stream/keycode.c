/* Order-preserving key bytes; the layout is in keycode.h.
 *
 * Scalars are written by one switch on the kind; nested kinds recurse over struct tn_value (keys of
 * nested types are rare, so they take the slow way). Readers go column by column over all keys, so
 * that the inner loops stay typed.
 *
 * @thread any */
#include "stream/keycode.h"
#include "stream/base/hash.h"

#include <string.h>

enum { TAG_NULL = 0, TAG_VALUE = 1, TAG_END = 0 };

static void put_be(struct tn_buf *buf, uint64_t value, unsigned width)
{
    char *to = tn_buf_reserve(buf, width);
    if (!to)
        return;
    for (unsigned i = 0; i < width; i++)
        to[i] = (char)(value >> (8 * (width - 1 - i)));
    buf->len += width;
}

static void put_text(struct tn_buf *buf, struct tn_str text)
{
    char *to = tn_buf_reserve(buf, text.len * 2 + 2);
    if (!to)
        return;
    size_t n = 0;
    if (text.len && !memchr(text.ptr, 0, text.len)) {
        memcpy(to, text.ptr, text.len);
        n = text.len;
    } else {
        for (size_t i = 0; i < text.len; i++) {
            to[n++] = text.ptr[i];
            if (!text.ptr[i])
                to[n++] = (char)0xff;
        }
    }
    to[n++] = 0;
    to[n++] = 0;
    buf->len += n;
}

static uint64_t double_bits(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, 8);
    return bits >> 63 ? ~bits : bits | 1ull << 63;
}

static void put_decimal(struct tn_buf *buf, tn_int128 value)
{
    put_be(buf, (uint64_t)(value >> 64) ^ 1ull << 63, 8);
    put_be(buf, (uint64_t)value, 8);
}

static void put_list(struct tn_buf *buf, const struct tn_value *value)
{
    uint32_t step = value->type->kind == TN_K_MAP ? 2 : 1;
    for (uint32_t i = 0; i < value->list.count; i += step) {
        tn_buf_add_byte(buf, TAG_VALUE);
        for (uint32_t k = 0; k < step; k++)
            tni_keycode_add_value(buf, &value->list.items[i + k]);
    }
    tn_buf_add_byte(buf, TAG_END);
}

void tni_keycode_add_value(struct tn_buf *buf, const struct tn_value *value)
{
    if (value->is_null) {
        tn_buf_add_byte(buf, TAG_NULL);
        return;
    }
    tn_buf_add_byte(buf, TAG_VALUE);
    switch (value->type->kind) {
    case TN_K_NULL: tn_assert_failed("a value of type NULL is NULL", __FILE__, __LINE__);
    case TN_K_BOOLEAN: tn_buf_add_byte(buf, value->b ? 1 : 0); break;
    case TN_K_INTEGER:
    case TN_K_DATE: put_be(buf, (uint32_t)value->i ^ 1u << 31, 4); break;
    case TN_K_DOUBLE: put_be(buf, double_bits(value->d), 8); break;
    case TN_K_DECIMAL: put_decimal(buf, value->dec); break;
    case TN_K_VARCHAR:
    case TN_K_BYTES:
    case TN_K_JSON: put_text(buf, value->s); break;
    case TN_K_ARRAY:
    case TN_K_MAP: put_list(buf, value); break;
    case TN_K_STRUCT:
        for (uint32_t i = 0; i < value->list.count; i++)
            tni_keycode_add_value(buf, &value->list.items[i]);
        break;
    default: put_be(buf, (uint64_t)value->i ^ 1ull << 63, 8);
    }
}

void tni_keycode_add(struct tn_buf *buf, const struct tn_column *cols, uint32_t cols_count,
                     uint32_t row)
{
    for (uint32_t c = 0; c < cols_count; c++) {
        const struct tn_column *col = &cols[c];
        if (!tn_kind_is_nested(col->type->kind)) {
            struct tn_value value = tn_column_value(col, row, NULL);
            tni_keycode_add_value(buf, &value);
            continue;
        }
        struct tn_arena arena;
        tn_arena_init(&arena, 0);
        struct tn_value value = tn_column_value(col, row, &arena);
        tni_keycode_add_value(buf, &value);
        tn_arena_release(&arena);
    }
}

size_t tni_keycode_width(const struct tn_type *const *types, uint32_t types_count)
{
    size_t width = 0;
    for (uint32_t i = 0; i < types_count; i++) {
        size_t one = types[i]->kind == TN_K_BOOLEAN ? 1 : tn_kind_width(types[i]->kind);
        if (!one)
            return 0;
        width += one + 1;
    }
    return width;
}

/* ---- reading ---- */

/* End of an escaped text (behind its terminator), NULL when there is none; ret_len = unescaped
 * bytes. */
static const char *text_end(const char *ptr, const char *end, size_t *ret_len)
{
    size_t len = 0;
    while (ptr < end) {
        const char *zero = memchr(ptr, 0, (size_t)(end - ptr));
        if (!zero || zero + 1 >= end)
            return NULL;
        len += (size_t)(zero - ptr);
        if (!zero[1]) {
            *ret_len = len;
            return zero + 2;
        }
        if ((unsigned char)zero[1] != 0xff)
            return NULL;
        len++;
        ptr = zero + 2;
    }
    return NULL;
}

/* Unescape `len` bytes of result; `span` bytes lie there before the terminator. */
static void text_copy(char *to, const char *ptr, size_t len, size_t span)
{
    if (TN_LIKELY(len == span)) { /* nothing was escaped */
        if (len)
            memcpy(to, ptr, len);
        return;
    }
    while (len) {
        const char *zero = memchr(ptr, 0, len);
        size_t n = zero ? (size_t)(zero - ptr) + 1 : len;
        memcpy(to, ptr, n);
        to += n;
        ptr += n + (zero ? 1 : 0);
        len -= n;
    }
}

static const char *read_value(const struct tn_type *type, const char *ptr, const char *end,
                              struct tn_arena *arena, struct tn_value *ret_value);

static const char *read_items(const struct tn_type *type, const char *ptr, const char *end,
                              struct tn_arena *arena, struct tn_value *value)
{
    uint32_t cap = 0, step = type->children_count;
    value->list.count = 0;
    while (ptr < end && *ptr == TAG_VALUE) {
        if (value->list.count + step > cap) {
            cap = cap ? cap * 2 : 4 * step;
            struct tn_value *items = TN_ARENA_ARRAY(arena, struct tn_value, cap);
            if (value->list.count)
                memcpy(items, value->list.items, value->list.count * sizeof *items);
            value->list.items = items;
        }
        ptr++;
        for (uint32_t k = 0; k < step; k++) {
            ptr = read_value(type->children[k].type, ptr, end, arena,
                             &value->list.items[value->list.count++]);
            if (!ptr)
                return NULL;
        }
    }
    return ptr < end && *ptr == TAG_END ? ptr + 1 : NULL;
}

static const char *read_fields(const struct tn_type *type, const char *ptr, const char *end,
                               struct tn_arena *arena, struct tn_value *value)
{
    value->list.count = type->children_count;
    value->list.items = TN_ARENA_ARRAY(arena, struct tn_value, type->children_count);
    for (uint32_t k = 0; k < type->children_count && ptr; k++)
        ptr = read_value(type->children[k].type, ptr, end, arena, &value->list.items[k]);
    return ptr;
}

static const char *read_text(const char *ptr, const char *end, struct tn_arena *arena,
                             struct tn_value *value)
{
    size_t len;
    const char *next = text_end(ptr, end, &len);
    if (!next)
        return NULL;
    char *copy = tn_arena_alloc(arena, len + 1);
    text_copy(copy, ptr, len, (size_t)(next - ptr) - 2);
    value->s = (struct tn_str){copy, len};
    return next;
}

static double bits_double(uint64_t bits)
{
    bits = bits >> 63 ? bits & ~(1ull << 63) : ~bits;
    double value;
    memcpy(&value, &bits, 8);
    return value;
}

static tn_int128 read_decimal(const char *ptr)
{
    uint64_t high = tn_be64(ptr) ^ 1ull << 63;
    return (tn_int128)((tn_uint128)high << 64 | tn_be64(ptr + 8));
}

static size_t kind_bytes(enum tn_kind kind)
{
    return kind == TN_K_BOOLEAN ? 1 : tn_kind_width(kind);
}

static const char *read_value(const struct tn_type *type, const char *ptr, const char *end,
                              struct tn_arena *arena, struct tn_value *ret_value)
{
    struct tn_value value = {.type = type};
    if (ptr >= end || (unsigned char)*ptr > TAG_VALUE)
        return NULL;
    value.is_null = *ptr++ == TAG_NULL;
    size_t width = kind_bytes(type->kind);
    if (!value.is_null) {
        if ((size_t)(end - ptr) < width)
            return NULL;
        switch (type->kind) {
        case TN_K_NULL: return NULL;
        case TN_K_BOOLEAN: value.b = *ptr != 0; break;
        case TN_K_INTEGER:
        case TN_K_DATE: value.i = (int32_t)(tn_be32(ptr) ^ 1u << 31); break;
        case TN_K_DOUBLE: value.d = bits_double(tn_be64(ptr)); break;
        case TN_K_DECIMAL: value.dec = read_decimal(ptr); break;
        case TN_K_VARCHAR:
        case TN_K_BYTES:
        case TN_K_JSON: ptr = read_text(ptr, end, arena, &value); break;
        case TN_K_ARRAY:
        case TN_K_MAP: ptr = read_items(type, ptr, end, arena, &value); break;
        case TN_K_STRUCT: ptr = read_fields(type, ptr, end, arena, &value); break;
        default: value.i = (int64_t)(tn_be64(ptr) ^ 1ull << 63);
        }
        if (ptr)
            ptr += width;
    }
    *ret_value = value;
    return ptr;
}

static enum tn_status corrupt(struct tn_err *err, const char *what)
{
    return tn_err_set(err, TN_E_CORRUPT, "stored key is damaged: %s", what);
}

/* Tag of key i at *at: false = damaged or too short for `width` more bytes. */
static bool read_tag(struct tn_str key, size_t at, size_t width, bool *ret_null)
{
    if (at >= key.len || (unsigned char)key.ptr[at] > TAG_VALUE)
        return false;
    *ret_null = key.ptr[at] == TAG_NULL;
    return *ret_null || key.len - at - 1 >= width;
}

static enum tn_status read_fixed(struct tn_column *col, const struct tn_str *keys, uint32_t count,
                                 size_t *ends, struct tn_arena *arena, struct tn_err *err)
{
    enum tn_kind kind = col->type->kind;
    size_t width = kind_bytes(kind);
    for (uint32_t i = 0; i < count; i++) {
        bool is_null;
        if (!read_tag(keys[i], ends[i], width, &is_null))
            return corrupt(err, "a column is cut short");
        const char *ptr = keys[i].ptr + ends[i] + 1;
        ends[i] += 1 + (is_null ? 0 : width);
        if (is_null)
            tn_column_set_null(col, i, arena);
        else if (kind == TN_K_BOOLEAN)
            tn_bit_put(col->values, i, *ptr != 0);
        else if (width == 4)
            ((int32_t *)col->values)[i] = (int32_t)(tn_be32(ptr) ^ 1u << 31);
        else if (kind == TN_K_DOUBLE)
            ((double *)col->values)[i] = bits_double(tn_be64(ptr));
        else if (kind == TN_K_DECIMAL)
            ((tn_int128 *)col->values)[i] = read_decimal(ptr);
        else
            ((int64_t *)col->values)[i] = (int64_t)(tn_be64(ptr) ^ 1ull << 63);
    }
    return TN_OK;
}

static enum tn_status read_texts(struct tn_column *col, const struct tn_str *keys, uint32_t count,
                                 size_t *ends, struct tn_arena *arena, struct tn_err *err)
{
    size_t total = 0;
    for (uint32_t i = 0; i < count; i++) {
        TN_ASSERT(keys[i].len >= ends[i]);
        total += keys[i].len - ends[i]; /* upper bound */
    }
    if (total > INT32_MAX)
        return tn_err_set(err, TN_E_LIMIT, "keys of one batch are over 2 GB");
    col->data = tn_arena_alloc(arena, total + 1);
    size_t at = 0;
    for (uint32_t i = 0; i < count; i++) {
        bool is_null;
        if (!read_tag(keys[i], ends[i], 0, &is_null))
            return corrupt(err, "a column is missing");
        ends[i]++;
        if (is_null) {
            tn_column_set_null(col, i, arena);
        } else {
            const char *ptr = keys[i].ptr + ends[i];
            size_t len;
            const char *next = text_end(ptr, keys[i].ptr + keys[i].len, &len);
            if (!next)
                return corrupt(err, "text without its end");
            text_copy((char *)col->data + at, ptr, len, (size_t)(next - ptr) - 2);
            at += len;
            ends[i] = (size_t)(next - keys[i].ptr);
        }
        col->offsets[i + 1] = (int32_t)at;
    }
    return TN_OK;
}

static enum tn_status read_nested(struct tn_column *col, const struct tn_str *keys, uint32_t count,
                                  size_t *ends, struct tn_arena *arena, struct tn_err *err)
{
    struct tn_colbuilder *builder = tn_colbuilder_new(col->type, arena);
    for (uint32_t i = 0; i < count; i++) {
        struct tn_value value;
        const char *next =
            read_value(col->type, keys[i].ptr + ends[i], keys[i].ptr + keys[i].len, arena, &value);
        if (!next)
            return corrupt(err, "a nested column is cut short");
        ends[i] = (size_t)(next - keys[i].ptr);
        tn_colbuilder_add(builder, &value);
    }
    tn_colbuilder_finish(builder, col);
    return TN_OK;
}

enum tn_status tni_keycode_columns(const struct tn_type *const *types, uint32_t types_count,
                                   const struct tn_str *keys, uint32_t count,
                                   struct tn_arena *arena, struct tn_column *ret_cols,
                                   size_t *ret_ends, struct tn_err *err)
{
    size_t *ends = TN_ARENA_ARRAY(arena, size_t, count);
    struct tn_column *cols = TN_ARENA_ARRAY(arena, struct tn_column, types_count);
    for (uint32_t c = 0; c < types_count; c++) {
        struct tn_column *col = &cols[c];
        tn_column_init(col, types[c], count, false, arena);
        if (tn_kind_is_varlen(types[c]->kind))
            TN_TRY(read_texts(col, keys, count, ends, arena, err));
        else if (tn_kind_is_nested(types[c]->kind))
            TN_TRY(read_nested(col, keys, count, ends, arena, err));
        else
            TN_TRY(read_fixed(col, keys, count, ends, arena, err));
    }
    for (uint32_t c = 0; c < types_count; c++)
        ret_cols[c] = cols[c];
    if (ret_ends && count)
        memcpy(ret_ends, ends, count * sizeof *ends);
    return TN_OK;
}

bool tni_keycode_successor(char *prefix, size_t *len)
{
    while (*len) {
        unsigned char last = (unsigned char)prefix[*len - 1];
        if (last != 0xff) {
            prefix[*len - 1] = (char)(last + 1);
            return true;
        }
        --*len;
    }
    return false;
}
