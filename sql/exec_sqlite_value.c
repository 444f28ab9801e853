/* Values between columns and SQLite. The representation is tabulated in exec_sqlite_int.h.
 *
 * Nested values travel as bytes: one tag byte a value (0 NULL, 1 value), scalars as fixed 8 or 16
 * bytes, text and lists with a 4-byte length in front. Equal values have equal bytes, so grouping
 * by them works.
 *
 * @thread the statement's */
#include "sql/exec_sqlite_int.h"

#include <math.h>

#include "stream/base/hash.h"

#define NESTED_BYTES_MAX ((size_t)64 << 20)

static const char nan_bytes[3] = {'N', 'a', 'N'};

/* ---- decimals of more than 18 digits ---- */

static void decimal_bytes(tn_int128 value, unsigned char bytes[16])
{
    uint64_t high = (uint64_t)(value >> 64) ^ UINT64_C(1) << 63, low = (uint64_t)value;
    for (int i = 0; i < 8; i++) {
        bytes[i] = (unsigned char)(high >> (56 - 8 * i));
        bytes[8 + i] = (unsigned char)(low >> (56 - 8 * i));
    }
}

static tn_int128 bytes_decimal(const unsigned char *bytes)
{
    uint64_t high = tn_be64(bytes) ^ UINT64_C(1) << 63;
    return (tn_int128)((tn_uint128)high << 64 | tn_be64(bytes + 8));
}

/* ---- nested values ---- */

static void add_nested(struct tn_buf *buf, const struct tn_value *value)
{
    tn_buf_add_byte(buf, value->is_null ? 0 : 1);
    if (value->is_null)
        return;
    enum tn_kind kind = value->type->kind;
    if (kind == TN_K_DECIMAL) {
        unsigned char bytes[16];
        decimal_bytes(value->dec, bytes);
        tn_buf_add(buf, bytes, sizeof bytes);
    } else if (kind == TN_K_DOUBLE) {
        uint64_t bits;
        double d = isnan(value->d) ? (double)NAN : value->d == 0 ? 0 : value->d;
        memcpy(&bits, &d, sizeof bits);
        tn_buf_add_be64(buf, bits);
    } else if (kind == TN_K_BOOLEAN) {
        tn_buf_add_be64(buf, value->b);
    } else if (tn_kind_is_varlen(kind)) {
        tn_buf_add_be32(buf, (uint32_t)value->s.len);
        tn_buf_add_str(buf, value->s);
    } else if (tn_kind_is_nested(kind)) {
        tn_buf_add_be32(buf, value->list.count);
        for (uint32_t i = 0; i < value->list.count; i++)
            add_nested(buf, &value->list.items[i]);
    } else {
        tn_buf_add_be64(buf, (uint64_t)value->i);
    }
}

static const unsigned char *read_nested(const unsigned char *p, const unsigned char *end,
                                        const struct tn_type *type, struct tn_arena *arena,
                                        struct tn_value *ret_value);

static const unsigned char *read_list(const unsigned char *p, const unsigned char *end,
                                      const struct tn_type *type, struct tn_arena *arena,
                                      struct tn_value *ret_value)
{
    uint32_t count = tn_be32(p);
    p += 4;
    if (count > (uint32_t)(end - p)) /* every item has a tag byte */
        return NULL;
    ret_value->list.count = count;
    ret_value->list.items = TN_ARENA_ARRAY(arena, struct tn_value, (size_t)count + 1);
    for (uint32_t i = 0; i < count && p; i++)
        p = read_nested(p, end, type->children[i % type->children_count].type, arena,
                        &ret_value->list.items[i]);
    return p;
}

static const unsigned char *read_nested(const unsigned char *p, const unsigned char *end,
                                        const struct tn_type *type, struct tn_arena *arena,
                                        struct tn_value *ret_value)
{
    *ret_value = (struct tn_value){.type = type};
    if (p == end)
        return NULL;
    ret_value->is_null = *p++ == 0;
    if (ret_value->is_null)
        return p;
    size_t left = (size_t)(end - p);
    size_t need = type->kind == TN_K_DECIMAL                                       ? 16
                  : tn_kind_is_varlen(type->kind) || tn_kind_is_nested(type->kind) ? 4
                                                                                   : 8;
    if (left < need)
        return NULL;
    if (tn_kind_is_nested(type->kind))
        return read_list(p, end, type, arena, ret_value);
    if (tn_kind_is_varlen(type->kind)) {
        uint32_t len = tn_be32(p);
        if (left - 4 < len)
            return NULL;
        ret_value->s = (struct tn_str){(const char *)p + 4, len};
        return p + 4 + len;
    }
    uint64_t bits = tn_be64(p);
    if (type->kind == TN_K_DECIMAL)
        ret_value->dec = bytes_decimal(p);
    else if (type->kind == TN_K_DOUBLE)
        memcpy(&ret_value->d, &bits, sizeof bits);
    else if (type->kind == TN_K_BOOLEAN)
        ret_value->b = bits != 0;
    else
        ret_value->i = (int64_t)bits;
    return p + need;
}

/* ---- to SQLite ---- */

static void result_nested(sqlite3_context *context, const struct tn_column *col, uint32_t row)
{
    struct tn_arena arena;
    struct tn_buf buf;
    tn_arena_init(&arena, 0);
    tn_buf_init(&buf, NESTED_BYTES_MAX);
    struct tn_value value = tn_column_value(col, row, &arena);
    add_nested(&buf, &value);
    if (tn_buf_over(&buf))
        sqlite3_result_error_toobig(context);
    else
        sqlite3_result_blob64(context, buf.ptr, buf.len, SQLITE_TRANSIENT);
    tn_buf_release(&buf);
    tn_arena_release(&arena);
}

static void result_double(sqlite3_context *context, double value)
{
    if (isnan(value))
        sqlite3_result_blob(context, nan_bytes, sizeof nan_bytes, SQLITE_STATIC);
    else
        sqlite3_result_double(context, value);
}

static void result_decimal(sqlite3_context *context, const struct tn_type *type, tn_int128 value)
{
    if (type->precision <= 18) {
        sqlite3_result_int64(context, (int64_t)value);
        return;
    }
    unsigned char bytes[16];
    decimal_bytes(value, bytes);
    sqlite3_result_blob(context, bytes, sizeof bytes, SQLITE_TRANSIENT);
}

void tni_sq_result(sqlite3_context *context, const struct tn_column *col, uint32_t row,
                   bool is_static)
{
    if (col->is_absent || tn_column_is_null(col, row)) {
        sqlite3_result_null(context);
        return;
    }
    struct tn_str text;
    void (*keep)(void *) = is_static ? SQLITE_STATIC : SQLITE_TRANSIENT;
    switch (col->type->kind) {
    case TN_K_BOOLEAN: sqlite3_result_int(context, tn_column_bool(col, row)); break;
    case TN_K_INTEGER:
    case TN_K_DATE: sqlite3_result_int(context, tn_column_i32(col, row)); break;
    case TN_K_DOUBLE: result_double(context, tn_column_f64(col, row)); break;
    case TN_K_DECIMAL:
        result_decimal(context, col->type, ((const tn_int128 *)col->values)[row]);
        break;
    case TN_K_VARCHAR:
    case TN_K_JSON:
        text = tn_column_str(col, row);
        sqlite3_result_text64(context, text.len ? text.ptr : "", text.len, keep, SQLITE_UTF8);
        break;
    case TN_K_BYTES:
        text = tn_column_str(col, row);
        sqlite3_result_blob64(context, text.len ? text.ptr : "", text.len, keep);
        break;
    case TN_K_ARRAY:
    case TN_K_MAP:
    case TN_K_STRUCT: result_nested(context, col, row); break;
    case TN_K_NULL:
    case TN_K_COUNT: sqlite3_result_null(context); break;
    default: sqlite3_result_int64(context, tn_column_i64(col, row)); break;
    }
}

static int bind_nested(sqlite3_stmt *stmt, int index, const struct tn_value *value)
{
    struct tn_buf buf;
    tn_buf_init(&buf, NESTED_BYTES_MAX);
    add_nested(&buf, value);
    int rc = tn_buf_over(&buf)
                 ? SQLITE_TOOBIG
                 : sqlite3_bind_blob64(stmt, index, buf.ptr, buf.len, SQLITE_TRANSIENT);
    tn_buf_release(&buf);
    return rc;
}

int tni_sq_bind(sqlite3_stmt *stmt, int index, const struct tn_value *value)
{
    unsigned char bytes[16];
    if (value->is_null)
        return sqlite3_bind_null(stmt, index);
    switch (value->type->kind) {
    case TN_K_BOOLEAN: return sqlite3_bind_int(stmt, index, value->b);
    case TN_K_DOUBLE:
        if (isnan(value->d))
            return sqlite3_bind_blob(stmt, index, nan_bytes, sizeof nan_bytes, SQLITE_STATIC);
        return sqlite3_bind_double(stmt, index, value->d);
    case TN_K_DECIMAL:
        if (value->type->precision <= 18)
            return sqlite3_bind_int64(stmt, index, (int64_t)value->dec);
        decimal_bytes(value->dec, bytes);
        return sqlite3_bind_blob(stmt, index, bytes, sizeof bytes, SQLITE_TRANSIENT);
    case TN_K_VARCHAR:
    case TN_K_JSON:
        return sqlite3_bind_text64(stmt, index, value->s.len ? value->s.ptr : "", value->s.len,
                                   SQLITE_TRANSIENT, SQLITE_UTF8);
    case TN_K_BYTES:
        return sqlite3_bind_blob64(stmt, index, value->s.len ? value->s.ptr : "", value->s.len,
                                   SQLITE_TRANSIENT);
    case TN_K_ARRAY:
    case TN_K_MAP:
    case TN_K_STRUCT: return bind_nested(stmt, index, value);
    default: return sqlite3_bind_int64(stmt, index, value->i);
    }
}

/* ---- from SQLite ---- */

static struct tn_str bytes_of(sqlite3_value *in, bool is_text)
{
    const void *ptr = is_text ? (const void *)sqlite3_value_text(in) : sqlite3_value_blob(in);
    return (struct tn_str){ptr ? ptr : "", (size_t)sqlite3_value_bytes(in)};
}

/* An integer in a column of doubles is its double; NaN is a blob. */
static bool read_double(sqlite3_value *in, int storage, double *ret_value)
{
    if (storage == SQLITE_BLOB) {
        struct tn_str bytes = bytes_of(in, false);
        *ret_value = NAN;
        return bytes.len == sizeof nan_bytes && memcmp(bytes.ptr, nan_bytes, bytes.len) == 0;
    }
    *ret_value = sqlite3_value_double(in);
    return storage == SQLITE_FLOAT || storage == SQLITE_INTEGER;
}

static bool read_decimal(sqlite3_value *in, int storage, const struct tn_type *type,
                         tn_int128 *ret_value)
{
    if (type->precision <= 18) {
        *ret_value = sqlite3_value_int64(in);
        return storage == SQLITE_INTEGER;
    }
    struct tn_str bytes = bytes_of(in, false);
    if (storage != SQLITE_BLOB || bytes.len != 16)
        return false;
    *ret_value = bytes_decimal((const unsigned char *)bytes.ptr);
    return true;
}

bool tni_sq_value(sqlite3_value *in, const struct tn_type *type, struct tn_arena *arena,
                  struct tn_value *ret_value)
{
    int storage = sqlite3_value_type(in);
    *ret_value = (struct tn_value){.type = type, .is_null = storage == SQLITE_NULL};
    if (ret_value->is_null)
        return true;
    switch (type->kind) {
    case TN_K_BOOLEAN:
        ret_value->b = sqlite3_value_int64(in) != 0;
        return storage == SQLITE_INTEGER;
    case TN_K_INTEGER:
    case TN_K_DATE:
        ret_value->i = sqlite3_value_int64(in);
        return storage == SQLITE_INTEGER && ret_value->i >= INT32_MIN && ret_value->i <= INT32_MAX;
    case TN_K_DOUBLE: return read_double(in, storage, &ret_value->d);
    case TN_K_DECIMAL: return read_decimal(in, storage, type, &ret_value->dec);
    case TN_K_VARCHAR:
    case TN_K_JSON:
        if (storage != SQLITE_TEXT)
            return false;
        ret_value->s = bytes_of(in, true);
        return true;
    case TN_K_BYTES:
        if (storage != SQLITE_BLOB)
            return false;
        ret_value->s = bytes_of(in, false);
        return true;
    case TN_K_ARRAY:
    case TN_K_MAP:
    case TN_K_STRUCT: {
        struct tn_str bytes = bytes_of(in, false);
        const unsigned char *p = (const unsigned char *)bytes.ptr, *end = p + bytes.len;
        return storage == SQLITE_BLOB && read_nested(p, end, type, arena, ret_value) == end;
    }
    case TN_K_NULL:
    case TN_K_COUNT: return false;
    default: ret_value->i = sqlite3_value_int64(in); return storage == SQLITE_INTEGER;
    }
}

bool tni_sq_column(sqlite3_value *in, const struct tn_type *type, struct tn_arena *arena,
                   struct tni_cell *cell, struct tn_column *ret_col)
{
    struct tn_value value;
    if (!tni_sq_value(in, type, arena, &value))
        return false;
    if (tn_kind_is_nested(type->kind)) {
        struct tn_colbuilder *builder = tn_colbuilder_new(type, arena);
        tn_colbuilder_add(builder, &value);
        tn_colbuilder_finish(builder, ret_col);
        return true;
    }
    cell->validity = !value.is_null;
    cell->value.dec = 0;
    cell->offsets[0] = cell->offsets[1] = 0;
    *ret_col = (struct tn_column){.type = type,
                                  .rows_count = 1,
                                  .validity = value.is_null ? (uint8_t *)&cell->validity : NULL};
    if (tn_kind_is_varlen(type->kind)) {
        union {
            const char *in;
            uint8_t *out;
        } data = {.in = value.s.ptr}; /* columns are read only */
        cell->offsets[1] = (int32_t)value.s.len;
        ret_col->offsets = cell->offsets;
        ret_col->data = data.out;
        return true;
    }
    ret_col->values = &cell->value;
    if (value.is_null)
        return true;
    size_t width = tn_kind_width(type->kind);
    if (type->kind == TN_K_DOUBLE)
        cell->value.f64 = value.d;
    else if (type->kind == TN_K_DECIMAL)
        cell->value.dec = value.dec;
    else if (type->kind == TN_K_BOOLEAN)
        cell->value.i64 = value.b;
    else if (width == 4)
        cell->value.i32 = (int32_t)value.i;
    else
        cell->value.i64 = value.i;
    return true;
}
