/* Columns and batches with the Arrow memory layout (Arrow columnar format 1.x: validity bitmap LSB
 * first, values, int32 offsets), so that a column can be handed to an Arrow reader without a copy.
 *
 * validity: bit i set = row i is not NULL; NULL pointer = no NULLs.
 * BOOLEAN: bit-packed values. VARCHAR, BYTES, JSON: offsets[rows+1] into data. ARRAY:
 * offsets[rows+1] into children[0]; MAP: offsets[rows+1] into children[0] (keys) and children[1]
 * (values); STRUCT: children of the same length. Bits and values under a NULL are unspecified but
 * initialised.
 *
 * A source batch has the declared schema; columns no plan reads are *absent* (is_absent, no
 * buffers).
 *
 * Ownership: buffers live in the batch's arena (or in the arena a kernel was given) and die with
 * it. A batch that crosses threads moves as a whole. @thread owner
 */
#ifndef TN_STREAM_BATCH_H
#define TN_STREAM_BATCH_H

#include "stream/base/decimal.h"
#include "stream/type.h"

#define TN_BATCH_ROWS_MAX 4096

struct tn_column {
    const struct tn_type *type;
    uint32_t rows_count;
    bool is_absent;
    uint8_t *validity;
    void *values;     /* fixed width and BOOLEAN */
    int32_t *offsets; /* varlen, ARRAY, MAP */
    uint8_t *data;    /* varlen */
    struct tn_column *children;
    struct tn_dict *dict; /* varlen columns that several readers share (dict.h); NULL = none */
};

/* What a row of a batch does to the table it belongs to. Rows of a stream are always INSERT.
 * UPDATE_BEFORE stands directly before its UPDATE_AFTER when both are carried. */
enum tn_op { TN_OP_INSERT, TN_OP_UPDATE_BEFORE, TN_OP_UPDATE_AFTER, TN_OP_DELETE };

struct tn_batch {
    const struct tn_schema *schema;
    uint32_t rows_count;
    struct tn_column *columns; /* schema->fields_count */
    /* hidden columns; NULL where the producer has none */
    int64_t *rowtime_ms;      /* event time */
    uint8_t *ops;             /* enum tn_op; NULL = all INSERT */
    int64_t *offsets;         /* source offset */
    uint8_t *null_values;     /* bitmap: the record's value is null (tombstone); NULL = none is */
    const uint32_t *selected; /* the rows that count, when a filter's readers take them so (see
                                 tni_plan_selects); NULL = all */
    uint32_t selected_count;
    int32_t partition;
    struct tn_str *keys; /* serialized key bytes of the source record; ptr NULL = null key */
    const struct tn_records
        *records; /* raw records the rows came from, row for row; NULL after a gather */
    struct tn_arena *arena;
};

static inline bool tn_bit_get(const uint8_t *bits, size_t i)
{
    return bits[i >> 3] >> (i & 7u) & 1u;
}
static inline void tn_bit_set(uint8_t *bits, size_t i)
{
    bits[i >> 3] = (uint8_t)((unsigned)bits[i >> 3] | 1u << (i & 7u));
}
static inline void tn_bit_clear(uint8_t *bits, size_t i)
{
    bits[i >> 3] = (uint8_t)((unsigned)bits[i >> 3] & ~(1u << (i & 7u)));
}
static inline void tn_bit_put(uint8_t *bits, size_t i, bool value)
{
    if (value)
        tn_bit_set(bits, i);
    else
        tn_bit_clear(bits, i);
}
static inline size_t tn_bits_bytes(size_t count)
{
    return (count + 63u) / 64u * 8u; /* whole words, so kernels may work on uint64_t */
}
static inline bool tn_column_is_null(const struct tn_column *col, size_t row)
{
    return col->validity && !tn_bit_get(col->validity, row);
}
static inline struct tn_str tn_column_str(const struct tn_column *col, size_t row)
{
    return (struct tn_str){(const char *)col->data + col->offsets[row],
                           (size_t)(col->offsets[row + 1] - col->offsets[row])};
}
static inline int64_t tn_column_i64(const struct tn_column *col, size_t row)
{
    return ((const int64_t *)col->values)[row];
}
static inline int32_t tn_column_i32(const struct tn_column *col, size_t row)
{
    return ((const int32_t *)col->values)[row];
}
static inline double tn_column_f64(const struct tn_column *col, size_t row)
{
    return ((const double *)col->values)[row];
}
static inline bool tn_column_bool(const struct tn_column *col, size_t row)
{
    return tn_bit_get(col->values, row);
}

/* Allocate the fixed-size buffers of a column for `rows_count` rows in `arena`: values (zeroed) or
 * offsets (zeroed); validity all set when `is_nullable`, else NULL. Varlen data is the caller's. */
void tn_column_init(struct tn_column *col, const struct tn_type *type, uint32_t rows_count,
                    bool is_nullable, struct tn_arena *arena);
/* Ensure a validity bitmap exists (all set) and return it. */
uint8_t *tn_column_need_validity(struct tn_column *col, struct tn_arena *arena);
void tn_column_set_null(struct tn_column *col, uint32_t row, struct tn_arena *arena);

/* out = rows[0…count) of in, any kind. Absent stays absent. */
void tn_column_gather(const struct tn_column *in, const uint32_t *rows, uint32_t count,
                      struct tn_column *out, struct tn_arena *arena);
/* Value of one row is equal in both columns of the same type; NULL equals NULL (distinctness). */
bool tn_column_same(const struct tn_column *a, uint32_t row_a, const struct tn_column *b,
                    uint32_t row_b);

/* New batch with rows[0…count) of `in`, hidden columns included. */
struct tn_batch *tn_batch_gather(const struct tn_batch *in, const uint32_t *rows, uint32_t count,
                                 struct tn_arena *arena);
/* New empty-columned batch: columns zeroed, hidden columns NULL. */
struct tn_batch *tn_batch_new(const struct tn_schema *schema, uint32_t rows_count,
                              struct tn_arena *arena);

/* One scalar datum: constants, keys, single results. Text and items are borrowed from the maker's
 * arena. */
struct tn_value {
    const struct tn_type *type;
    bool is_null;
    union {
        bool b;
        int64_t i; /* INTEGER, BIGINT, DATE, TIME, TIMESTAMP…, INTERVAL */
        double d;
        tn_int128 dec;
        struct tn_str s; /* VARCHAR, BYTES, JSON */
        struct {
            uint32_t count; /* ARRAY: elements; MAP: 2 × entries, key then value; STRUCT: fields */
            struct tn_value *items;
        } list;
    };
};

/* Read one cell; nested items go to `arena`. */
struct tn_value tn_column_value(const struct tn_column *col, uint32_t row, struct tn_arena *arena);
/* < 0, 0, > 0 for two non-NULL values of the same scalar type: numbers, text by bytes, false <
 * true, NaN largest and equal to itself. */
int tn_value_cmp(const struct tn_value *a, const struct tn_value *b);

/* Builds one column cell by cell, for slow paths (constants, nested results, tests). */
struct tn_colbuilder;
struct tn_colbuilder *tn_colbuilder_new(const struct tn_type *type, struct tn_arena *arena);
void tn_colbuilder_add(struct tn_colbuilder *builder, const struct tn_value *value);
void tn_colbuilder_add_null(struct tn_colbuilder *builder);
void tn_colbuilder_finish(struct tn_colbuilder *builder, struct tn_column *ret_col);

#endif
