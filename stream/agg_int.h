/* Shared parts of the aggregate functions. Folder-private.
 *
 * A *cell* holds one value of any type inside a state: MIN, MAX, LATEST, ARBITRARY… keep one, lists
 * keep many. Numbers and times sit in the cell; text, DECIMAL and nested values hang behind it as
 * bytes (text raw, the others in rowcode), so that a cell stays 16 bytes. Setting the same text
 * again writes nothing.
 *
 * @thread one owner per state
 */
#ifndef TN_STREAM_AGG_INT_H
#define TN_STREAM_AGG_INT_H

#include "stream/agg.h"
#include "stream/base/mem.h"

enum tni_cell_state { TNI_CELL_NONE, TNI_CELL_VALUE, TNI_CELL_NULL };

struct tni_cell {
    union {
        int64_t i;
        double d;
        char *ptr;
    };
    uint32_t len;
    uint16_t cap_16; /* allocated bytes / 16; 0 with a pointer: exactly len */
    uint8_t state;   /* enum tni_cell_state */
    uint8_t has_ptr;
};

/* Does a cell of this type keep its value behind a pointer? */
static inline bool tni_cell_is_bytes(const struct tn_type *type)
{
    return tn_kind_is_varlen(type->kind) || tn_kind_is_nested(type->kind) ||
           type->kind == TN_K_DECIMAL;
}
void tni_cell_set(struct tni_cell *cell, const struct tn_column *col, uint32_t row);
void tni_cell_set_bytes(struct tni_cell *cell, const char *ptr, size_t len);
void tni_cell_copy(const struct tn_type *type, struct tni_cell *to, const struct tni_cell *from);
/* < 0, 0, > 0 of two cells that hold values; types ordered as tn_value_cmp. */
int tni_cell_cmp(const struct tn_type *type, const struct tni_cell *a, const struct tni_cell *b);
/* The same against a row that is not NULL. */
int tni_cell_cmp_row(const struct tni_cell *cell, const struct tn_column *col, uint32_t row);
/* Equal for distinctness: NULL equals NULL. */
bool tni_cell_same(const struct tn_type *type, const struct tni_cell *a, const struct tni_cell *b);
uint64_t tni_cell_hash(const struct tn_type *type, const struct tni_cell *cell);
void tni_cell_release(struct tni_cell *cell);
static inline size_t tni_cell_bytes(const struct tni_cell *cell)
{
    return !cell->has_ptr ? 0 : cell->cap_16 ? cell->cap_16 * 16u : cell->len;
}
void tni_cell_encode(const struct tn_type *type, const struct tni_cell *cell, struct tn_buf *buf);
/* NULL when damaged. The cell must be empty (zeroed). */
const char *tni_cell_decode(const struct tn_type *type, struct tni_cell *cell, const char *ptr,
                            const char *end);
/* Value of a cell (NONE and NULL give a NULL value); bytes borrowed from the cell, items in arena.
 */
struct tn_value tni_cell_value(const struct tn_type *type, const struct tni_cell *cell,
                               struct tn_arena *arena);
/* One column from count cells, cell i at (char *)states[i] + offset. */
void tni_cells_column(const struct tn_type *type, void *const *states, size_t offset,
                      uint32_t count, struct tn_column *ret_col, struct tn_arena *arena);

/* A growing list of cells. */
struct tni_cells {
    struct tni_cell *items;
    uint32_t count, cap;
};
struct tni_cell *tni_cells_add(struct tni_cells *cells); /* zeroed slot at the end */
void tni_cells_remove(struct tni_cells *cells, uint32_t at, uint32_t count); /* releases them */
void tni_cells_release(struct tni_cells *cells);
size_t tni_cells_bytes(const struct tni_cells *cells);
void tni_cells_encode(const struct tn_type *type, const struct tni_cells *cells,
                      struct tn_buf *buf);
const char *tni_cells_decode(const struct tn_type *type, struct tni_cells *cells, const char *ptr,
                             const char *end);
/* ARRAY value of the cells. */
struct tn_value tni_cells_value(const struct tn_type *array_type, const struct tni_cells *cells,
                                struct tn_arena *arena);

static inline uint32_t tni_row(const uint32_t *rows, uint32_t i)
{
    return rows ? rows[i] : i;
}
static inline uint64_t tni_zigzag(int64_t value)
{
    return (uint64_t)value << 1 ^ (uint64_t)(value >> 63);
}
static inline int64_t tni_unzigzag(uint64_t value)
{
    return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
}
static inline int64_t tni_wrap_add(int64_t a, int64_t b)
{
    return (int64_t)((uint64_t)a + (uint64_t)b);
}
static inline int64_t tni_wrap_sub(int64_t a, int64_t b)
{
    return (int64_t)((uint64_t)a - (uint64_t)b);
}
static inline int32_t tni_wrap_32(int64_t a)
{
    return (int32_t)(uint32_t)(uint64_t)a;
}
/* Integer of a row of an INTEGER, DATE, BIGINT or time column. */
static inline int64_t tni_int_at(const struct tn_column *col, uint32_t row)
{
    return tn_kind_width(col->type->kind) == 4 ? tn_column_i32(col, row) : tn_column_i64(col, row);
}
/* Compensated sum (Neumaier): error of the order of one rounding however many rows. */
struct tni_sum_double {
    double sum, comp;
};
static inline void tni_sum_add(struct tni_sum_double *s, double x)
{
    double t = s->sum + x;
    if (__builtin_fabs(s->sum) >= __builtin_fabs(x))
        s->comp += s->sum - t + x;
    else
        s->comp += x - t + s->sum;
    s->sum = t;
}
static inline double tni_sum_value(const struct tni_sum_double *s)
{
    double t = s->sum + s->comp;
    return __builtin_isfinite(s->comp) ? t : s->sum; /* infinities spoil only the correction */
}
/* 10^n as DECIMAL, n ≤ 38. */
tn_int128 tni_pow10(unsigned n);

enum tn_status tni_agg_corrupt(struct tn_err *err);
enum tn_status tni_agg_bad_type(const struct tn_agg_call *call, uint32_t arg, const char *want,
                                struct tn_err *err);
/* NULL-terminated lists of the families, joined by agg.c. */
extern const struct tn_agg *const tni_aggs_num[];
extern const struct tn_agg *const tni_aggs_offset[];
extern const struct tn_agg *const tni_aggs_list[];
extern const struct tn_agg *const tni_aggs_stat[];
extern const struct tn_agg *const tni_aggs_sketch[];
extern const struct tn_agg *const tni_aggs_query[];

/* Fixed-width pieces of encoded states. */
static inline void tni_put_i64(struct tn_buf *buf, int64_t value)
{
    tn_buf_add_varint(buf, tni_zigzag(value));
}
static inline const char *tni_get_i64(const char *ptr, const char *end, int64_t *ret_value)
{
    uint64_t u = 0;
    if (TN_LIKELY(ptr && ptr < end && (unsigned char)*ptr < 0x80)) { /* one byte: small counts */
        *ret_value = tni_unzigzag((unsigned char)*ptr);
        return ptr + 1;
    }
    ptr = ptr ? tn_varint_read(ptr, end, &u) : NULL;
    if (ptr)
        *ret_value = tni_unzigzag(u);
    return ptr;
}
static inline const char *tni_get_raw(const char *ptr, const char *end, void *to, size_t len)
{
    if (!ptr || (size_t)(end - ptr) < len)
        return NULL;
    if (len)
        memcpy(to, ptr, len);
    return ptr + len;
}

#endif
