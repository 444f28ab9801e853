/* Columns and batches: allocation, gather, cell access and the cell-by-cell builder.
 *
 * Gather is the hot function here (every filter and key change ends in one): fixed widths are
 * copied by a loop per width, bitmaps eight rows at a time, text in two passes (offsets, then
 * bytes; a run of consecutive rows is one memcpy). Nested kinds turn into a gather of their
 * children by a row list made once.
 *
 * Ownership: all buffers come from the arena given. @thread owner of that arena */
#include "stream/batch.h"

#include <math.h>
#include <string.h>

static void init_children(struct tn_column *col, const struct tn_type *type, uint32_t rows_count,
                          struct tn_arena *arena)
{
    col->children = TN_ARENA_ARRAY(arena, struct tn_column, type->children_count);
    for (uint32_t i = 0; i < type->children_count; i++) {
        uint32_t rows = type->kind == TN_K_STRUCT ? rows_count : 0;
        tn_column_init(&col->children[i], type->children[i].type, rows, true, arena);
    }
}

static uint8_t *bits_filled(struct tn_arena *arena, uint32_t rows_count, int byte)
{
    size_t bytes = tn_bits_bytes(rows_count);
    uint8_t *bits = tn_arena_alloc(arena, bytes);
    memset(bits, byte, bytes);
    return bits;
}

void tn_column_init(struct tn_column *col, const struct tn_type *type, uint32_t rows_count,
                    bool is_nullable, struct tn_arena *arena)
{
    *col = (struct tn_column){.type = type, .rows_count = rows_count};
    size_t width = tn_kind_width(type->kind);
    if (width)
        col->values = tn_arena_zalloc(arena, rows_count, width);
    else if (type->kind == TN_K_BOOLEAN)
        col->values = bits_filled(arena, rows_count, 0);
    else if (tn_kind_is_varlen(type->kind) || type->kind == TN_K_ARRAY || type->kind == TN_K_MAP)
        col->offsets = tn_arena_zalloc(arena, (size_t)rows_count + 1, sizeof *col->offsets);
    if (tn_kind_is_nested(type->kind))
        init_children(col, type, rows_count, arena);
    if (type->kind == TN_K_NULL)
        col->validity = bits_filled(arena, rows_count, 0);
    else if (is_nullable)
        col->validity = bits_filled(arena, rows_count, 0xff);
}

uint8_t *tn_column_need_validity(struct tn_column *col, struct tn_arena *arena)
{
    if (!col->validity)
        col->validity = bits_filled(arena, col->rows_count, 0xff);
    return col->validity;
}

void tn_column_set_null(struct tn_column *col, uint32_t row, struct tn_arena *arena)
{
    TN_ASSERT(row < col->rows_count);
    tn_bit_clear(tn_column_need_validity(col, arena), row);
}

static uint8_t *gather_bits(const uint8_t *bits, const uint32_t *rows, uint32_t count,
                            struct tn_arena *arena)
{
    uint8_t *out = tn_arena_alloc(arena, tn_bits_bytes(count));
    memset(out, 0, tn_bits_bytes(count));
    uint32_t i = 0;
    for (; i + 8 <= count; i += 8) {
        unsigned byte = 0;
        for (unsigned k = 0; k < 8; k++)
            byte |= (unsigned)(bits[rows[i + k] >> 3] >> (rows[i + k] & 7u) & 1u) << k;
        out[i >> 3] = (uint8_t)byte;
    }
    for (; i < count; i++)
        tn_bit_put(out, i, tn_bit_get(bits, rows[i]));
    return out;
}

static void *gather_fixed(const void *values, size_t width, const uint32_t *rows, uint32_t count,
                          struct tn_arena *arena)
{
    void *out = tn_arena_alloc(arena, (size_t)count * width);
    if (width == 8) {
        const uint64_t *from = values;
        uint64_t *to = out;
        for (uint32_t i = 0; i < count; i++)
            to[i] = from[rows[i]];
    } else if (width == 4) {
        const uint32_t *from = values;
        uint32_t *to = out;
        for (uint32_t i = 0; i < count; i++)
            to[i] = from[rows[i]];
    } else {
        TN_ASSERT(width == 16);
        const tn_int128 *from = values;
        tn_int128 *to = out;
        for (uint32_t i = 0; i < count; i++)
            to[i] = from[rows[i]];
    }
    return out;
}

/* Offsets of the gathered rows; the total is offsets[count]. */
static int32_t *gather_offsets(const int32_t *offsets, const uint32_t *rows, uint32_t count,
                               struct tn_arena *arena)
{
    int32_t *out = tn_arena_alloc(arena, ((size_t)count + 1) * sizeof *out);
    int64_t total = 0;
    for (uint32_t i = 0; i < count; i++) {
        out[i] = (int32_t)total;
        total += offsets[rows[i] + 1] - offsets[rows[i]];
    }
    if (TN_UNLIKELY(tn_arena_refuses(arena, (size_t)total))) { /* empty; the evaluation fails */
        memset(out, 0, ((size_t)count + 1) * sizeof *out);
        return out;
    }
    TN_ASSERT(total <= INT32_MAX); /* batches are bounded by bytes where they are made */
    out[count] = (int32_t)total;
    return out;
}

static void gather_text(const struct tn_column *in, const uint32_t *rows, uint32_t count,
                        struct tn_column *out, struct tn_arena *arena)
{
    out->offsets = gather_offsets(in->offsets, rows, count, arena);
    out->data = tn_arena_alloc(arena, (size_t)out->offsets[count]);
    for (uint32_t i = 0; i < count;) {
        uint32_t end = i + 1;
        while (end < count && rows[end] == rows[end - 1] + 1)
            end++;
        int32_t from = in->offsets[rows[i]], to = in->offsets[rows[end - 1] + 1];
        if (to > from && out->offsets[count] > 0)
            memcpy(out->data + out->offsets[i], in->data + from, (size_t)(to - from));
        i = end;
    }
}

static void gather_lists(const struct tn_column *in, const uint32_t *rows, uint32_t count,
                         struct tn_column *out, struct tn_arena *arena)
{
    out->offsets = gather_offsets(in->offsets, rows, count, arena);
    uint32_t total = (uint32_t)out->offsets[count];
    uint32_t *items = tn_arena_alloc(arena, total * sizeof *items);
    uint32_t n = 0;
    for (uint32_t i = 0; i < count && total > 0; i++)
        for (int32_t at = in->offsets[rows[i]]; at < in->offsets[rows[i] + 1]; at++)
            items[n++] = (uint32_t)at;
    TN_ASSERT(n == total);
    uint32_t children_count = in->type->children_count;
    out->children = TN_ARENA_ARRAY(arena, struct tn_column, children_count);
    for (uint32_t k = 0; k < children_count; k++)
        tn_column_gather(&in->children[k], items, total, &out->children[k], arena);
}

void tn_column_gather(const struct tn_column *in, const uint32_t *rows, uint32_t count,
                      struct tn_column *out, struct tn_arena *arena)
{
    struct tn_column res = {.type = in->type, .rows_count = count, .is_absent = in->is_absent};
    if (!in->is_absent) {
        enum tn_kind kind = in->type->kind;
        size_t width = tn_kind_width(kind);
        if (in->validity)
            res.validity = gather_bits(in->validity, rows, count, arena);
        if (width)
            res.values = gather_fixed(in->values, width, rows, count, arena);
        else if (kind == TN_K_BOOLEAN)
            res.values = gather_bits(in->values, rows, count, arena);
        else if (tn_kind_is_varlen(kind))
            gather_text(in, rows, count, &res, arena);
        else if (kind == TN_K_ARRAY || kind == TN_K_MAP)
            gather_lists(in, rows, count, &res, arena);
        else if (kind == TN_K_STRUCT) {
            res.children = TN_ARENA_ARRAY(arena, struct tn_column, in->type->children_count);
            for (uint32_t k = 0; k < in->type->children_count; k++)
                tn_column_gather(&in->children[k], rows, count, &res.children[k], arena);
        }
    }
    *out = res;
}

static bool same_list(const struct tn_column *a, uint32_t row_a, const struct tn_column *b,
                      uint32_t row_b)
{
    int32_t from_a = a->offsets[row_a], from_b = b->offsets[row_b];
    int32_t count = a->offsets[row_a + 1] - from_a;
    if (count != b->offsets[row_b + 1] - from_b)
        return false;
    for (uint32_t k = 0; k < a->type->children_count; k++)
        for (int32_t i = 0; i < count; i++)
            if (!tn_column_same(&a->children[k], (uint32_t)(from_a + i), &b->children[k],
                                (uint32_t)(from_b + i)))
                return false;
    return true;
}

bool tn_column_same(const struct tn_column *a, uint32_t row_a, const struct tn_column *b,
                    uint32_t row_b)
{
    bool a_null = tn_column_is_null(a, row_a), b_null = tn_column_is_null(b, row_b);
    if (a_null || b_null)
        return a_null && b_null;
    switch (a->type->kind) {
    case TN_K_NULL: return true;
    case TN_K_BOOLEAN: return tn_column_bool(a, row_a) == tn_column_bool(b, row_b);
    case TN_K_INTEGER:
    case TN_K_DATE: return tn_column_i32(a, row_a) == tn_column_i32(b, row_b);
    case TN_K_DOUBLE: {
        double x = tn_column_f64(a, row_a), y = tn_column_f64(b, row_b);
        return x == y || (isnan(x) && isnan(y));
    }
    case TN_K_DECIMAL:
        return ((const tn_int128 *)a->values)[row_a] == ((const tn_int128 *)b->values)[row_b];
    case TN_K_VARCHAR:
    case TN_K_BYTES:
    case TN_K_JSON: return tn_str_eq(tn_column_str(a, row_a), tn_column_str(b, row_b));
    case TN_K_ARRAY:
    case TN_K_MAP: return same_list(a, row_a, b, row_b);
    case TN_K_STRUCT:
        for (uint32_t k = 0; k < a->type->children_count; k++)
            if (!tn_column_same(&a->children[k], row_a, &b->children[k], row_b))
                return false;
        return true;
    default: return tn_column_i64(a, row_a) == tn_column_i64(b, row_b);
    }
}

struct tn_batch *tn_batch_new(const struct tn_schema *schema, uint32_t rows_count,
                              struct tn_arena *arena)
{
    struct tn_batch *batch = TN_ARENA_NEW(arena, struct tn_batch);
    batch->schema = schema;
    batch->rows_count = rows_count;
    batch->columns = TN_ARENA_ARRAY(arena, struct tn_column, schema->fields_count);
    batch->arena = arena;
    return batch;
}

struct tn_batch *tn_batch_gather(const struct tn_batch *in, const uint32_t *rows, uint32_t count,
                                 struct tn_arena *arena)
{
    struct tn_batch *out = tn_batch_new(in->schema, count, arena);
    for (uint32_t i = 0; i < in->schema->fields_count; i++)
        tn_column_gather(&in->columns[i], rows, count, &out->columns[i], arena);
    out->partition = in->partition;
    if (in->rowtime_ms)
        out->rowtime_ms = gather_fixed(in->rowtime_ms, 8, rows, count, arena);
    if (in->offsets)
        out->offsets = gather_fixed(in->offsets, 8, rows, count, arena);
    if (in->null_values)
        out->null_values = gather_bits(in->null_values, rows, count, arena);
    if (in->ops) {
        out->ops = tn_arena_alloc(arena, count);
        for (uint32_t i = 0; i < count; i++)
            out->ops[i] = in->ops[rows[i]];
    }
    if (in->keys) {
        out->keys = tn_arena_alloc(arena, count * sizeof *out->keys);
        for (uint32_t i = 0; i < count; i++)
            out->keys[i] = in->keys[rows[i]];
    }
    return out;
}

/* ---- cells ---- */

static struct tn_value list_value(const struct tn_column *col, uint32_t row, struct tn_arena *arena)
{
    struct tn_value value = {.type = col->type};
    uint32_t children = col->type->children_count;
    bool is_struct = col->type->kind == TN_K_STRUCT;
    uint32_t from = is_struct ? row : (uint32_t)col->offsets[row];
    uint32_t end = is_struct ? row + 1 : (uint32_t)col->offsets[row + 1];
    value.list.count = (end - from) * children;
    value.list.items = TN_ARENA_ARRAY(arena, struct tn_value, value.list.count);
    struct tn_value *to = value.list.items;
    for (uint32_t i = from; i < end; i++)
        for (uint32_t k = 0; k < children; k++)
            *to++ = tn_column_value(&col->children[k], i, arena);
    return value;
}

struct tn_value tn_column_value(const struct tn_column *col, uint32_t row, struct tn_arena *arena)
{
    struct tn_value value = {.type = col->type};
    if (col->is_absent || tn_column_is_null(col, row)) {
        value.is_null = true;
        return value;
    }
    switch (col->type->kind) {
    case TN_K_NULL: value.is_null = true; break;
    case TN_K_BOOLEAN: value.b = tn_column_bool(col, row); break;
    case TN_K_INTEGER:
    case TN_K_DATE: value.i = tn_column_i32(col, row); break;
    case TN_K_DOUBLE: value.d = tn_column_f64(col, row); break;
    case TN_K_DECIMAL: value.dec = ((const tn_int128 *)col->values)[row]; break;
    case TN_K_VARCHAR:
    case TN_K_BYTES:
    case TN_K_JSON: value.s = tn_column_str(col, row); break;
    case TN_K_ARRAY:
    case TN_K_MAP:
    case TN_K_STRUCT: return list_value(col, row, arena);
    default: value.i = tn_column_i64(col, row);
    }
    return value;
}

static int cmp_double(double a, double b)
{
    if (isnan(a) || isnan(b))
        return isnan(a) - isnan(b);
    return (a > b) - (a < b);
}

static int cmp_list(const struct tn_value *a, const struct tn_value *b)
{
    uint32_t count = a->list.count < b->list.count ? a->list.count : b->list.count;
    for (uint32_t i = 0; i < count; i++) {
        const struct tn_value *x = &a->list.items[i], *y = &b->list.items[i];
        if (x->is_null || y->is_null) {
            if (x->is_null != y->is_null)
                return x->is_null ? 1 : -1; /* NULL items last */
            continue;
        }
        int c = tn_value_cmp(x, y);
        if (c)
            return c;
    }
    return (a->list.count > b->list.count) - (a->list.count < b->list.count);
}

int tn_value_cmp(const struct tn_value *a, const struct tn_value *b)
{
    TN_ASSERT(!a->is_null && !b->is_null && a->type->kind == b->type->kind);
    switch (a->type->kind) {
    case TN_K_NULL: return 0;
    case TN_K_BOOLEAN: return (int)a->b - (int)b->b;
    case TN_K_DOUBLE: return cmp_double(a->d, b->d);
    case TN_K_DECIMAL: return (a->dec > b->dec) - (a->dec < b->dec);
    case TN_K_VARCHAR:
    case TN_K_BYTES:
    case TN_K_JSON: return tn_str_cmp(a->s, b->s);
    case TN_K_ARRAY:
    case TN_K_MAP:
    case TN_K_STRUCT: return cmp_list(a, b);
    default: return (a->i > b->i) - (a->i < b->i);
    }
}

/* ---- builder ---- */

struct tn_colbuilder {
    const struct tn_type *type;
    struct tn_arena *arena;
    uint32_t rows_count, cap;
    bool has_null;
    uint8_t *validity;
    uint8_t *values; /* fixed width, or the bits of BOOLEAN */
    int32_t *offsets;
    uint8_t *data;
    size_t data_len, data_cap;
    struct tn_colbuilder **children;
};

static bool has_offsets(const struct tn_type *type)
{
    return tn_kind_is_varlen(type->kind) || type->kind == TN_K_ARRAY || type->kind == TN_K_MAP;
}

struct tn_colbuilder *tn_colbuilder_new(const struct tn_type *type, struct tn_arena *arena)
{
    struct tn_colbuilder *builder = TN_ARENA_NEW(arena, struct tn_colbuilder);
    builder->type = type;
    builder->arena = arena;
    builder->children = TN_ARENA_ARRAY(arena, struct tn_colbuilder *, type->children_count);
    for (uint32_t i = 0; i < type->children_count; i++)
        builder->children[i] = tn_colbuilder_new(type->children[i].type, arena);
    return builder;
}

static void *grown(struct tn_arena *arena, const void *from, size_t used, size_t size)
{
    uint8_t *to = tn_arena_alloc(arena, size);
    TN_ASSERT(from || !used);
    if (used)
        memcpy(to, from, used);
    memset(to + used, 0, size - used);
    return to;
}

static void reserve_row(struct tn_colbuilder *builder)
{
    if (builder->rows_count < builder->cap)
        return;
    struct tn_arena *arena = builder->arena;
    uint32_t old = builder->cap, cap = old ? old * 2 : 64;
    TN_ASSERT(cap > old);
    size_t width = tn_kind_width(builder->type->kind);
    builder->validity = grown(arena, builder->validity, tn_bits_bytes(old), tn_bits_bytes(cap));
    if (width)
        builder->values = grown(arena, builder->values, old * width, cap * width);
    else if (builder->type->kind == TN_K_BOOLEAN)
        builder->values = grown(arena, builder->values, tn_bits_bytes(old), tn_bits_bytes(cap));
    else if (has_offsets(builder->type))
        builder->offsets = grown(arena, builder->offsets, old ? (old + 1) * sizeof(int32_t) : 0,
                                 ((size_t)cap + 1) * sizeof(int32_t));
    builder->cap = cap;
}

static void end_row(struct tn_colbuilder *builder)
{
    if (has_offsets(builder->type)) {
        size_t end = tn_kind_is_varlen(builder->type->kind) ? builder->data_len
                                                            : builder->children[0]->rows_count;
        TN_ASSERT(end <= INT32_MAX);
        builder->offsets[builder->rows_count + 1] = (int32_t)end;
    }
    builder->rows_count++;
}

void tn_colbuilder_add_null(struct tn_colbuilder *builder)
{
    reserve_row(builder);
    tn_bit_clear(builder->validity, builder->rows_count);
    builder->has_null = true;
    if (builder->type->kind == TN_K_STRUCT)
        for (uint32_t k = 0; k < builder->type->children_count; k++)
            tn_colbuilder_add_null(builder->children[k]);
    end_row(builder);
}

static void add_bytes(struct tn_colbuilder *builder, struct tn_str text)
{
    size_t need = builder->data_len + text.len;
    if (need > builder->data_cap || !builder->data) {
        size_t cap = builder->data_cap ? builder->data_cap * 2 : 256;
        if (cap < need)
            cap = need;
        if (tn_arena_refuses(builder->arena, cap) && builder->data)
            return; /* the evaluation fails */
        builder->data = grown(builder->arena, builder->data, builder->data_len, cap);
        builder->data_cap = cap;
    }
    if (text.len)
        memcpy(builder->data + builder->data_len, text.ptr, text.len);
    builder->data_len = need;
}

static void add_items(struct tn_colbuilder *builder, const struct tn_value *value)
{
    uint32_t children = builder->type->children_count;
    TN_ASSERT(children > 0 && value->list.count % children == 0);
    TN_ASSERT(builder->type->kind != TN_K_STRUCT || value->list.count == children);
    if (builder->type->kind != TN_K_STRUCT && tn_arena_over(builder->arena))
        return; /* an empty list; the evaluation fails */
    for (uint32_t i = 0; i < value->list.count; i++)
        tn_colbuilder_add(builder->children[i % children], &value->list.items[i]);
}

void tn_colbuilder_add(struct tn_colbuilder *builder, const struct tn_value *value)
{
    enum tn_kind kind = builder->type->kind;
    if (value->is_null || kind == TN_K_NULL) {
        tn_colbuilder_add_null(builder);
        return;
    }
    reserve_row(builder);
    uint32_t row = builder->rows_count;
    tn_bit_set(builder->validity, row);
    switch (kind) {
    case TN_K_BOOLEAN: tn_bit_put(builder->values, row, value->b); break;
    case TN_K_INTEGER:
    case TN_K_DATE: ((int32_t *)(void *)builder->values)[row] = (int32_t)value->i; break;
    case TN_K_DOUBLE: ((double *)(void *)builder->values)[row] = value->d; break;
    case TN_K_DECIMAL: ((tn_int128 *)(void *)builder->values)[row] = value->dec; break;
    case TN_K_VARCHAR:
    case TN_K_BYTES:
    case TN_K_JSON: add_bytes(builder, value->s); break;
    case TN_K_ARRAY:
    case TN_K_MAP:
    case TN_K_STRUCT: add_items(builder, value); break;
    default: ((int64_t *)(void *)builder->values)[row] = value->i;
    }
    end_row(builder);
}

void tn_colbuilder_finish(struct tn_colbuilder *builder, struct tn_column *ret_col)
{
    reserve_row(builder); /* buffers exist even without rows */
    *ret_col = (struct tn_column){.type = builder->type, .rows_count = builder->rows_count};
    if (builder->has_null || builder->type->kind == TN_K_NULL)
        ret_col->validity = builder->validity;
    ret_col->values = builder->values;
    ret_col->offsets = builder->offsets;
    ret_col->data = builder->data ? builder->data : tn_arena_alloc(builder->arena, 1);
    if (builder->type->children_count == 0)
        return;
    ret_col->children =
        TN_ARENA_ARRAY(builder->arena, struct tn_column, builder->type->children_count);
    for (uint32_t k = 0; k < builder->type->children_count; k++)
        tn_colbuilder_finish(builder->children[k], &ret_col->children[k]);
}
