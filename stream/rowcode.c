/* Compact value bytes; the layout is in rowcode.h. Readers trust nothing: every length is checked
 * against the end.
 * @thread any */
#include "stream/rowcode.h"

#include <string.h>

static uint64_t zigzag(int64_t value)
{
    return (uint64_t)value << 1 ^ (uint64_t)(value >> 63);
}
static int64_t unzigzag(uint64_t value)
{
    return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
}

void tni_rowcode_add_value(struct tn_buf *buf, const struct tn_type *type,
                           const struct tn_value *value)
{
    tn_buf_add_byte(buf, value->is_null ? 0 : 1);
    if (value->is_null)
        return;
    switch (type->kind) {
    case TN_K_NULL: tn_assert_failed("a value of type NULL is NULL", __FILE__, __LINE__);
    case TN_K_BOOLEAN: tn_buf_add_byte(buf, value->b ? 1 : 0); break;
    case TN_K_DOUBLE: tn_buf_add(buf, &value->d, 8); break;
    case TN_K_DECIMAL: tn_buf_add(buf, &value->dec, 16); break;
    case TN_K_VARCHAR:
    case TN_K_BYTES:
    case TN_K_JSON: tn_buf_add_slice(buf, value->s); break;
    case TN_K_ARRAY:
    case TN_K_MAP:
        tn_buf_add_varint(buf, value->list.count);
        for (uint32_t i = 0; i < value->list.count; i++)
            tni_rowcode_add_value(buf, type->children[i % type->children_count].type,
                                  &value->list.items[i]);
        break;
    case TN_K_STRUCT:
        for (uint32_t i = 0; i < type->children_count; i++)
            tni_rowcode_add_value(buf, type->children[i].type, &value->list.items[i]);
        break;
    default: tn_buf_add_varint(buf, zigzag(value->i));
    }
}

static char *put_varint(char *to, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        *to++ = (char)(value | 0x80);
    *to++ = (char)value;
    return to;
}

/* The common kinds straight from their column: the bytes of tni_rowcode_add_value. False: another
 * kind. */
static inline bool add_plain(struct tn_buf *buf, const struct tn_column *col, uint32_t row)
{
    enum tn_kind kind = col->type->kind;
    bool is_text = kind == TN_K_VARCHAR;
    bool is_32 = kind == TN_K_INTEGER || kind == TN_K_DATE;
    bool is_64 = kind == TN_K_BIGINT || kind == TN_K_TIMESTAMP || kind == TN_K_TIMESTAMP_TZ;
    if (col->is_absent || !(is_text || is_32 || is_64))
        return false;
    if (tn_column_is_null(col, row)) {
        tn_buf_add_byte(buf, 0);
        return true;
    }
    struct tn_str text = is_text ? tn_column_str(col, row) : (struct tn_str){"", 0};
    char *from = tn_buf_reserve(buf, 11 + text.len), *to = from;
    if (!from)
        return true; /* over the maximum: the owner sees it */
    *to++ = 1;
    if (is_text) {
        to = put_varint(to, text.len);
        if (text.len)
            memcpy(to, text.ptr, text.len);
        to += text.len;
    } else {
        to = put_varint(to, zigzag(is_32 ? tn_column_i32(col, row) : tn_column_i64(col, row)));
    }
    buf->len += (size_t)(to - from);
    return true;
}

void tni_rowcode_add(struct tn_buf *buf, const struct tn_column *cols, uint32_t cols_count,
                     uint32_t row)
{
    for (uint32_t c = 0; c < cols_count; c++) {
        const struct tn_column *col = &cols[c];
        if (TN_LIKELY(add_plain(buf, col, row)))
            continue;
        if (!tn_kind_is_nested(col->type->kind)) {
            struct tn_value value = tn_column_value(col, row, NULL);
            tni_rowcode_add_value(buf, col->type, &value);
            continue;
        }
        struct tn_arena arena;
        tn_arena_init(&arena, 0);
        struct tn_value value = tn_column_value(col, row, &arena);
        tni_rowcode_add_value(buf, col->type, &value);
        tn_arena_release(&arena);
    }
}

static const char *get_list(const struct tn_type *type, const char *ptr, const char *end,
                            struct tn_arena *arena, struct tn_value *value)
{
    uint64_t count = type->children_count;
    if (type->kind != TN_K_STRUCT)
        ptr = tn_varint_read(ptr, end, &count);
    /* every item takes at least its tag byte */
    if (!ptr || count > (uint64_t)(end - ptr) ||
        (type->kind == TN_K_MAP && count % type->children_count))
        return NULL;
    value->list.count = (uint32_t)count;
    value->list.items = TN_ARENA_ARRAY(arena, struct tn_value, count);
    for (uint32_t i = 0; i < count && ptr; i++)
        ptr = tni_rowcode_value(type->children[i % type->children_count].type, ptr, end, arena,
                                &value->list.items[i]);
    return ptr;
}

const char *tni_rowcode_value(const struct tn_type *type, const char *ptr, const char *end,
                              struct tn_arena *arena, struct tn_value *ret_value)
{
    struct tn_value value = {.type = type};
    if (ptr >= end || (unsigned char)*ptr > 1)
        return NULL;
    value.is_null = *ptr++ == 0;
    uint64_t u;
    if (value.is_null) {
        *ret_value = value;
        return ptr;
    }
    switch (type->kind) {
    case TN_K_NULL: return NULL;
    case TN_K_BOOLEAN:
        if (ptr >= end)
            return NULL;
        value.b = *ptr++ != 0;
        break;
    case TN_K_DOUBLE:
        if (end - ptr < 8)
            return NULL;
        memcpy(&value.d, ptr, 8);
        ptr += 8;
        break;
    case TN_K_DECIMAL:
        if (end - ptr < 16)
            return NULL;
        memcpy(&value.dec, ptr, 16);
        ptr += 16;
        break;
    case TN_K_VARCHAR:
    case TN_K_BYTES:
    case TN_K_JSON: ptr = tn_slice_read(ptr, end, &value.s); break;
    case TN_K_ARRAY:
    case TN_K_MAP:
    case TN_K_STRUCT: ptr = get_list(type, ptr, end, arena, &value); break;
    default:
        ptr = tn_varint_read(ptr, end, &u);
        if (ptr)
            value.i = unzigzag(u);
    }
    *ret_value = value;
    return ptr;
}

static const char *skip_list(const struct tn_type *type, const char *ptr, const char *end)
{
    uint64_t count = type->children_count;
    if (type->kind != TN_K_STRUCT)
        ptr = tn_varint_read(ptr, end, &count);
    if (!ptr || count > (uint64_t)(end - ptr))
        return NULL;
    for (uint64_t i = 0; i < count && ptr; i++)
        ptr = tni_rowcode_skip(type->children[i % type->children_count].type, ptr, end);
    return ptr;
}

const char *tni_rowcode_skip(const struct tn_type *type, const char *ptr, const char *end)
{
    if (ptr >= end || (unsigned char)*ptr > 1)
        return NULL;
    if (*ptr++ == 0)
        return ptr;
    struct tn_str text;
    uint64_t u;
    switch (type->kind) {
    case TN_K_NULL: return NULL;
    case TN_K_BOOLEAN: return end - ptr < 1 ? NULL : ptr + 1;
    case TN_K_DOUBLE: return end - ptr < 8 ? NULL : ptr + 8;
    case TN_K_DECIMAL: return end - ptr < 16 ? NULL : ptr + 16;
    case TN_K_VARCHAR:
    case TN_K_BYTES:
    case TN_K_JSON: return tn_slice_read(ptr, end, &text);
    case TN_K_ARRAY:
    case TN_K_MAP:
    case TN_K_STRUCT: return skip_list(type, ptr, end);
    default: return tn_varint_read(ptr, end, &u);
    }
}

/* One fixed-width or text column over all rows; at[i] moves behind the value. */
static enum tn_status corrupt(struct tn_err *err)
{
    return tn_err_set(err, TN_E_CORRUPT, "stored row is damaged: a value is cut short");
}

static void set_fixed(struct tn_column *col, uint32_t row, const struct tn_value *value)
{
    switch (col->type->kind) {
    case TN_K_BOOLEAN: tn_bit_put(col->values, row, value->b); break;
    case TN_K_INTEGER:
    case TN_K_DATE: ((int32_t *)col->values)[row] = (int32_t)value->i; break;
    case TN_K_DOUBLE: ((double *)col->values)[row] = value->d; break;
    case TN_K_DECIMAL: ((tn_int128 *)col->values)[row] = value->dec; break;
    default: ((int64_t *)col->values)[row] = value->i;
    }
}

static enum tn_status read_fixed(struct tn_column *col, const struct tn_str *rows, uint32_t count,
                                 const char **at, struct tn_arena *arena, struct tn_err *err)
{
    for (uint32_t i = 0; i < count; i++) {
        struct tn_value value = {.is_null = true};
        if (rows[i].ptr) {
            at[i] = tni_rowcode_value(col->type, at[i], rows[i].ptr + rows[i].len, arena, &value);
            if (!at[i])
                return corrupt(err);
        }
        if (value.is_null)
            tn_column_set_null(col, i, arena);
        else
            set_fixed(col, i, &value);
    }
    return TN_OK;
}

static enum tn_status read_texts(struct tn_column *col, const struct tn_str *rows, uint32_t count,
                                 const char **at, struct tn_arena *arena, struct tn_err *err)
{
    struct tn_str *texts = TN_ARENA_ARRAY(arena, struct tn_str, count);
    size_t total = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct tn_value value = {.is_null = true};
        if (rows[i].ptr) {
            at[i] = tni_rowcode_value(col->type, at[i], rows[i].ptr + rows[i].len, arena, &value);
            if (!at[i])
                return corrupt(err);
        }
        if (value.is_null)
            tn_column_set_null(col, i, arena);
        else
            texts[i] = value.s;
        total += texts[i].len;
    }
    if (total > INT32_MAX)
        return tn_err_set(err, TN_E_LIMIT, "rows of one batch are over 2 GB");
    col->data = tn_arena_alloc(arena, total + 1);
    size_t to = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (texts[i].len)
            memcpy(col->data + to, texts[i].ptr, texts[i].len);
        to += texts[i].len;
        col->offsets[i + 1] = (int32_t)to;
    }
    return TN_OK;
}

static enum tn_status read_nested(struct tn_column *col, const struct tn_str *rows, uint32_t count,
                                  const char **at, struct tn_arena *arena, struct tn_err *err)
{
    struct tn_colbuilder *builder = tn_colbuilder_new(col->type, arena);
    for (uint32_t i = 0; i < count; i++) {
        struct tn_value value;
        if (!rows[i].ptr) {
            tn_colbuilder_add_null(builder);
            continue;
        }
        at[i] = tni_rowcode_value(col->type, at[i], rows[i].ptr + rows[i].len, arena, &value);
        if (!at[i])
            return corrupt(err);
        tn_colbuilder_add(builder, &value);
    }
    tn_colbuilder_finish(builder, col);
    return TN_OK;
}

static enum tn_status skip_column(const struct tn_type *type, const struct tn_str *rows,
                                  uint32_t count, const char **at, struct tn_err *err)
{
    for (uint32_t i = 0; i < count; i++) {
        if (!rows[i].ptr)
            continue;
        at[i] = tni_rowcode_skip(type, at[i], rows[i].ptr + rows[i].len);
        if (!at[i])
            return corrupt(err);
    }
    return TN_OK;
}

enum tn_status tni_rowcode_columns(const struct tn_type *const *types, uint32_t types_count,
                                   const struct tn_str *rows, uint32_t count, const bool *needed,
                                   struct tn_arena *arena, struct tn_column *ret_cols,
                                   struct tn_err *err)
{
    const char **at = TN_ARENA_ARRAY(arena, const char *, count);
    struct tn_column *cols = TN_ARENA_ARRAY(arena, struct tn_column, types_count);
    for (uint32_t i = 0; i < count; i++)
        at[i] = rows[i].ptr;
    for (uint32_t c = 0; c < types_count; c++) {
        struct tn_column *col = &cols[c];
        if (needed && !needed[c]) {
            *col = (struct tn_column){.type = types[c], .rows_count = count, .is_absent = true};
            TN_TRY(skip_column(types[c], rows, count, at, err));
            continue;
        }
        tn_column_init(col, types[c], count, false, arena);
        if (tn_kind_is_varlen(types[c]->kind))
            TN_TRY(read_texts(col, rows, count, at, arena, err));
        else if (tn_kind_is_nested(types[c]->kind))
            TN_TRY(read_nested(col, rows, count, at, arena, err));
        else
            TN_TRY(read_fixed(col, rows, count, at, arena, err));
    }
    for (uint32_t c = 0; c < types_count; c++)
        ret_cols[c] = cols[c];
    return TN_OK;
}
