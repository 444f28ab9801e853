/* Cells: one value of any type inside an aggregate state. See agg_int.h.
 * Ownership: a cell owns the bytes behind it. @thread owner of the state */
#include "stream/agg_int.h"

#include <math.h>
#include "stream/base/hash.h"
#include "stream/rowcode.h"

void tni_cell_set_bytes(struct tni_cell *cell, const char *ptr, size_t len)
{
    TN_ASSERT(len <= UINT32_MAX);
    if (cell->state == TNI_CELL_VALUE && cell->len == len &&
        (len == 0 || memcmp(cell->ptr, ptr, len) == 0))
        return;
    if (!cell->has_ptr || tni_cell_bytes(cell) < len) {
        size_t units = (len + 15) / 16;
        if (units == 0)
            units = 1;
        size_t size = units > UINT16_MAX ? len : units * 16;
        char *fresh = tn_alloc_raw(size);
        if (cell->has_ptr)
            tn_free(cell->ptr);
        cell->ptr = fresh;
        cell->has_ptr = 1;
        cell->cap_16 = units > UINT16_MAX ? 0 : (uint16_t)units;
    }
    if (len)
        memcpy(cell->ptr, ptr, len);
    cell->len = (uint32_t)len;
    cell->state = TNI_CELL_VALUE;
}

void tni_cell_release(struct tni_cell *cell)
{
    if (cell->has_ptr)
        tn_free(cell->ptr);
    *cell = (struct tni_cell){0};
}

static void set_encoded(struct tni_cell *cell, const struct tn_column *col, uint32_t row)
{
    struct tn_buf buf;
    tn_buf_init(&buf, UINT32_MAX);
    tni_rowcode_add(&buf, col, 1, row);
    tni_cell_set_bytes(cell, buf.ptr, buf.len);
    tn_buf_release(&buf);
}

void tni_cell_set(struct tni_cell *cell, const struct tn_column *col, uint32_t row)
{
    if (tn_column_is_null(col, row)) {
        tni_cell_release(cell);
        cell->state = TNI_CELL_NULL;
        return;
    }
    switch (col->type->kind) {
    case TN_K_VARCHAR:
    case TN_K_BYTES:
    case TN_K_JSON: {
        struct tn_str text = tn_column_str(col, row);
        tni_cell_set_bytes(cell, text.ptr, text.len);
        return;
    }
    case TN_K_DECIMAL:
        tni_cell_set_bytes(cell, (const char *)((const tn_int128 *)col->values + row), 16);
        return;
    case TN_K_ARRAY:
    case TN_K_MAP:
    case TN_K_STRUCT: set_encoded(cell, col, row); return;
    case TN_K_DOUBLE: cell->d = tn_column_f64(col, row); break;
    case TN_K_BOOLEAN: cell->i = tn_column_bool(col, row); break;
    default: cell->i = tni_int_at(col, row);
    }
    cell->state = TNI_CELL_VALUE;
}

void tni_cell_copy(const struct tn_type *type, struct tni_cell *to, const struct tni_cell *from)
{
    if (from->state == TNI_CELL_VALUE && tni_cell_is_bytes(type)) {
        tni_cell_set_bytes(to, from->ptr, from->len);
        return;
    }
    tni_cell_release(to);
    *to = *from;
    TN_ASSERT(!to->has_ptr);
}

struct tn_value tni_cell_value(const struct tn_type *type, const struct tni_cell *cell,
                               struct tn_arena *arena)
{
    struct tn_value value = {.type = type, .is_null = cell->state != TNI_CELL_VALUE};
    if (value.is_null)
        return value;
    switch (type->kind) {
    case TN_K_VARCHAR:
    case TN_K_BYTES:
    case TN_K_JSON: value.s = (struct tn_str){cell->ptr, cell->len}; break;
    case TN_K_DECIMAL: memcpy(&value.dec, cell->ptr, 16); break;
    case TN_K_DOUBLE: value.d = cell->d; break;
    case TN_K_BOOLEAN: value.b = cell->i != 0; break;
    case TN_K_ARRAY:
    case TN_K_MAP:
    case TN_K_STRUCT: {
        const char *next = tni_rowcode_value(type, cell->ptr, cell->ptr + cell->len, arena, &value);
        TN_ASSERT(next == cell->ptr + cell->len); /* checked when decoded */
        break;
    }
    default: value.i = cell->i;
    }
    return value;
}

static int cmp_i64(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

static int cmp_f64(double a, double b)
{
    if (isnan(a) || isnan(b))
        return isnan(a) - isnan(b);
    return (a > b) - (a < b);
}

static int cmp_nested(const struct tn_type *type, const struct tni_cell *a,
                      const struct tni_cell *b)
{
    struct tn_arena arena;
    tn_arena_init(&arena, 0);
    struct tn_value x = tni_cell_value(type, a, &arena), y = tni_cell_value(type, b, &arena);
    int c = tn_value_cmp(&x, &y);
    tn_arena_release(&arena);
    return c;
}

int tni_cell_cmp(const struct tn_type *type, const struct tni_cell *a, const struct tni_cell *b)
{
    TN_ASSERT(a->state == TNI_CELL_VALUE && b->state == TNI_CELL_VALUE);
    switch (type->kind) {
    case TN_K_VARCHAR:
    case TN_K_BYTES:
    case TN_K_JSON:
        return tn_str_cmp((struct tn_str){a->ptr, a->len}, (struct tn_str){b->ptr, b->len});
    case TN_K_DECIMAL: {
        tn_int128 x, y;
        memcpy(&x, a->ptr, 16);
        memcpy(&y, b->ptr, 16);
        return (x > y) - (x < y);
    }
    case TN_K_DOUBLE: return cmp_f64(a->d, b->d);
    case TN_K_ARRAY:
    case TN_K_MAP:
    case TN_K_STRUCT: return cmp_nested(type, a, b);
    default: return cmp_i64(a->i, b->i);
    }
}

int tni_cell_cmp_row(const struct tni_cell *cell, const struct tn_column *col, uint32_t row)
{
    switch (col->type->kind) {
    case TN_K_VARCHAR:
    case TN_K_BYTES:
    case TN_K_JSON:
        return tn_str_cmp((struct tn_str){cell->ptr, cell->len}, tn_column_str(col, row));
    case TN_K_DOUBLE: return cmp_f64(cell->d, tn_column_f64(col, row));
    case TN_K_BOOLEAN: return cmp_i64(cell->i, tn_column_bool(col, row));
    case TN_K_DECIMAL:
    case TN_K_ARRAY:
    case TN_K_MAP:
    case TN_K_STRUCT: {
        struct tni_cell other = {0};
        tni_cell_set(&other, col, row);
        int c = tni_cell_cmp(col->type, cell, &other);
        tni_cell_release(&other);
        return c;
    }
    default: return cmp_i64(cell->i, tni_int_at(col, row));
    }
}

bool tni_cell_same(const struct tn_type *type, const struct tni_cell *a, const struct tni_cell *b)
{
    if (a->state != b->state)
        return false;
    if (a->state != TNI_CELL_VALUE)
        return true;
    if (tn_kind_is_nested(type->kind)) /* rowcode bytes are canonical but for doubles' NaN bits */
        return a->len == b->len && memcmp(a->ptr, b->ptr, a->len) == 0;
    return tni_cell_cmp(type, a, b) == 0;
}

uint64_t tni_cell_hash(const struct tn_type *type, const struct tni_cell *cell)
{
    if (cell->state != TNI_CELL_VALUE)
        return tn_mix64(cell->state, 7);
    if (tni_cell_is_bytes(type))
        return tn_hash64(cell->ptr, cell->len);
    int64_t bits = cell->i;
    if (type->kind == TN_K_DOUBLE) {
        double d = isnan(cell->d) ? (double)NAN : cell->d == 0 ? 0.0 : cell->d;
        memcpy(&bits, &d, 8);
    }
    return tn_mix64((uint64_t)bits, 8);
}

void tni_cell_encode(const struct tn_type *type, const struct tni_cell *cell, struct tn_buf *buf)
{
    tn_buf_add_byte(buf, (char)cell->state);
    if (cell->state != TNI_CELL_VALUE)
        return;
    if (type->kind == TN_K_DECIMAL) {
        tn_buf_add(buf, cell->ptr, 16);
    } else if (tni_cell_is_bytes(type)) {
        tn_buf_add_varint(buf, cell->len);
        tn_buf_add(buf, cell->ptr, cell->len);
    } else if (type->kind == TN_K_DOUBLE) {
        tn_buf_add(buf, &cell->d, 8);
    } else {
        tni_put_i64(buf, cell->i);
    }
}

const char *tni_cell_decode(const struct tn_type *type, struct tni_cell *cell, const char *ptr,
                            const char *end)
{
    if (!ptr || ptr >= end || (unsigned char)*ptr > TNI_CELL_NULL)
        return NULL;
    uint8_t state = (uint8_t)*ptr++;
    if (state != TNI_CELL_VALUE) {
        cell->state = state;
        return ptr;
    }
    if (tni_cell_is_bytes(type)) {
        uint64_t len = 16;
        if (type->kind != TN_K_DECIMAL)
            ptr = tn_varint_read(ptr, end, &len);
        if (!ptr || len > (uint64_t)(end - ptr) || len > UINT32_MAX)
            return NULL;
        if (tn_kind_is_nested(type->kind) && tni_rowcode_skip(type, ptr, ptr + len) != ptr + len)
            return NULL;
        tni_cell_set_bytes(cell, ptr, (size_t)len);
        return ptr + len;
    }
    int64_t i = 0;
    double d = 0;
    if (type->kind == TN_K_DOUBLE) {
        ptr = tni_get_raw(ptr, end, &d, 8);
        cell->d = d;
    } else {
        ptr = tni_get_i64(ptr, end, &i);
        cell->i = i;
    }
    cell->state = ptr ? TNI_CELL_VALUE : TNI_CELL_NONE;
    return ptr;
}

/* Text cells go into the column directly; the rest through the builder or typed stores. */
static void texts_column(void *const *states, size_t offset, uint32_t count, struct tn_column *col,
                         struct tn_arena *arena)
{
    size_t total = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct tni_cell *cell = (const void *)((const char *)states[i] + offset);
        total += cell->state == TNI_CELL_VALUE ? cell->len : 0;
    }
    TN_ASSERT(total <= INT32_MAX);
    col->data = tn_arena_alloc(arena, total + 1);
    size_t at = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct tni_cell *cell = (const void *)((const char *)states[i] + offset);
        if (cell->state != TNI_CELL_VALUE) {
            tn_column_set_null(col, i, arena);
        } else if (cell->len) {
            memcpy(col->data + at, cell->ptr, cell->len);
            at += cell->len;
        }
        col->offsets[i + 1] = (int32_t)at;
    }
}

static void fixed_column(void *const *states, size_t offset, uint32_t count, struct tn_column *col,
                         struct tn_arena *arena)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct tni_cell *cell = (const void *)((const char *)states[i] + offset);
        if (cell->state != TNI_CELL_VALUE) {
            tn_column_set_null(col, i, arena);
            continue;
        }
        switch (col->type->kind) {
        case TN_K_BOOLEAN: tn_bit_put(col->values, i, cell->i != 0); break;
        case TN_K_INTEGER:
        case TN_K_DATE: ((int32_t *)col->values)[i] = (int32_t)cell->i; break;
        case TN_K_DOUBLE: ((double *)col->values)[i] = cell->d; break;
        case TN_K_DECIMAL: memcpy((tn_int128 *)col->values + i, cell->ptr, 16); break;
        default: ((int64_t *)col->values)[i] = cell->i;
        }
    }
}

void tni_cells_column(const struct tn_type *type, void *const *states, size_t offset,
                      uint32_t count, struct tn_column *ret_col, struct tn_arena *arena)
{
    if (tn_kind_is_nested(type->kind)) {
        struct tn_colbuilder *builder = tn_colbuilder_new(type, arena);
        for (uint32_t i = 0; i < count; i++) {
            const struct tni_cell *cell = (const void *)((const char *)states[i] + offset);
            struct tn_value value = tni_cell_value(type, cell, arena);
            tn_colbuilder_add(builder, &value);
        }
        tn_colbuilder_finish(builder, ret_col);
        return;
    }
    tn_column_init(ret_col, type, count, false, arena);
    if (tn_kind_is_varlen(type->kind))
        texts_column(states, offset, count, ret_col, arena);
    else
        fixed_column(states, offset, count, ret_col, arena);
}

/* ---- lists of cells ---- */

struct tni_cell *tni_cells_add(struct tni_cells *cells)
{
    if (cells->count == cells->cap) {
        uint32_t cap = cells->cap ? cells->cap * 2 : 4;
        TN_ASSERT(cap > cells->cap);
        cells->items = tn_realloc(cells->items, cap * sizeof *cells->items);
        cells->cap = cap;
    }
    struct tni_cell *cell = &cells->items[cells->count++];
    *cell = (struct tni_cell){0};
    return cell;
}

void tni_cells_remove(struct tni_cells *cells, uint32_t at, uint32_t count)
{
    TN_ASSERT(at + count <= cells->count);
    for (uint32_t i = 0; i < count; i++)
        tni_cell_release(&cells->items[at + i]);
    memmove(&cells->items[at], &cells->items[at + count],
            (cells->count - at - count) * sizeof *cells->items);
    cells->count -= count;
}

void tni_cells_release(struct tni_cells *cells)
{
    for (uint32_t i = 0; i < cells->count; i++)
        tni_cell_release(&cells->items[i]);
    tn_free(cells->items);
    *cells = (struct tni_cells){0};
}

size_t tni_cells_bytes(const struct tni_cells *cells)
{
    size_t bytes = cells->cap * sizeof *cells->items;
    for (uint32_t i = 0; i < cells->count; i++)
        bytes += tni_cell_bytes(&cells->items[i]);
    return bytes;
}

void tni_cells_encode(const struct tn_type *type, const struct tni_cells *cells, struct tn_buf *buf)
{
    tn_buf_add_varint(buf, cells->count);
    for (uint32_t i = 0; i < cells->count; i++)
        tni_cell_encode(type, &cells->items[i], buf);
}

const char *tni_cells_decode(const struct tn_type *type, struct tni_cells *cells, const char *ptr,
                             const char *end)
{
    uint64_t count = 0;
    ptr = ptr ? tn_varint_read(ptr, end, &count) : NULL;
    if (!ptr || count > (uint64_t)(end - ptr)) /* a cell takes at least one byte */
        return NULL;
    for (uint64_t i = 0; i < count && ptr; i++)
        ptr = tni_cell_decode(type, tni_cells_add(cells), ptr, end);
    return ptr;
}

struct tn_value tni_cells_value(const struct tn_type *array_type, const struct tni_cells *cells,
                                struct tn_arena *arena)
{
    struct tn_value value = {.type = array_type};
    value.list.count = cells->count;
    value.list.items = TN_ARENA_ARRAY(arena, struct tn_value, cells->count);
    for (uint32_t i = 0; i < cells->count; i++)
        value.list.items[i] = tni_cell_value(array_type->children[0].type, &cells->items[i], arena);
    return value;
}
