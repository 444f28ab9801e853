/* Sort and top-N. Contract: sql/exec_op.h.
 *
 * HOW IT WORKS. Input batches are copied as chunks; each row gets a 16-byte entry: the first sort
 * key as an unsigned number whose order is the wanted one (descending keys are complemented), a
 * rank that puts NULLs first or last, and the row's place. Entries are compared by rank and number
 * first; only ties look at the columns, and equal rows keep their order of arrival. When the first
 * key is a number and the only one, no comparison touches a column.
 *
 * With a row limit, entries are cut back to the best rows_max by quickselect as soon as twice as
 * many (and some) are held, their rows copied together; from then on rows worse than the worst kept
 * one are dropped on arrival. So memory is bounded by the limit and a row that cannot win costs one
 * comparison.
 *
 * Ownership, threads: see exec_op.h */
#include "sql/exec_op.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>

#include "stream/base/mem.h"

#define CHUNK_SHIFT 12
#define CHUNK_ROWS  (1u << CHUNK_SHIFT)
#define SLACK_ROWS  8192 /* rows beyond twice the limit that are held before cutting back */

static_assert(CHUNK_ROWS == TN_BATCH_ROWS_MAX, "a place is chunk and row of one batch");

struct entry {
    uint64_t number; /* first key */
    uint32_t place;  /* chunk << CHUNK_SHIFT | row */
    uint32_t rank;   /* 0 NULLs first, 1 values, 2 NULLs last */
};

struct op_sort {
    struct tni_op base;
    uint32_t keys_count;
    const struct tni_sort_key *keys;
    int64_t rows_max;
    bool is_number_exact; /* number and rank decide the whole first key */
    bool is_filled;
    struct tn_arena arena; /* chunks */
    struct tn_arena out;   /* the batch handed out */
    struct tn_batch **chunks;
    uint32_t chunks_count, chunks_cap;
    struct entry *entries;
    uint32_t count, cap, next;
    bool has_worst;
    struct entry worst; /* a row must be before it to be kept; its row is entry count − 1 */
};

/* ---- keys as numbers ---- */

static uint64_t number_i64(int64_t value)
{
    return (uint64_t)value ^ UINT64_C(1) << 63;
}

/* NaN is the largest and equal to itself, −0.0 equals 0.0. */
static uint64_t number_f64(double value)
{
    uint64_t bits;
    if (isnan(value))
        return UINT64_MAX;
    if (value == 0)
        value = 0;
    memcpy(&bits, &value, sizeof bits);
    return bits >> 63 ? ~bits : bits | UINT64_C(1) << 63;
}

static uint64_t number_text(struct tn_str text)
{
    unsigned char bytes[8] = {0};
    memcpy(bytes, text.len ? text.ptr : "", text.len < 8 ? text.len : 8);
    return tn_be64(bytes);
}

static uint64_t number_of(const struct tn_column *col, uint32_t row)
{
    switch (col->type->kind) {
    case TN_K_BOOLEAN: return tn_column_bool(col, row);
    case TN_K_INTEGER:
    case TN_K_DATE: return number_i64(tn_column_i32(col, row));
    case TN_K_DOUBLE: return number_f64(tn_column_f64(col, row));
    case TN_K_DECIMAL: {
        tn_int128 value = ((const tn_int128 *)col->values)[row];
        return number_i64((int64_t)(value >> 64));
    }
    case TN_K_VARCHAR:
    case TN_K_BYTES:
    case TN_K_JSON: return number_text(tn_column_str(col, row));
    case TN_K_BIGINT:
    case TN_K_TIME:
    case TN_K_TIMESTAMP:
    case TN_K_TIMESTAMP_TZ:
    case TN_K_INTERVAL_DAY:
    case TN_K_INTERVAL_YEAR: return number_i64(tn_column_i64(col, row));
    default: return 0;
    }
}

static bool is_exact(enum tn_kind kind)
{
    return kind != TN_K_DECIMAL && !tn_kind_is_varlen(kind) && !tn_kind_is_nested(kind);
}

static struct entry entry_of(const struct op_sort *op, const struct tn_batch *batch, uint32_t row)
{
    const struct tni_sort_key *key = &op->keys[0];
    const struct tn_column *col = &batch->columns[key->column];
    struct entry entry = {.rank = 1};
    if (tn_column_is_null(col, row))
        entry.rank = key->is_nulls_first ? 0 : 2;
    else
        entry.number = key->is_desc ? ~number_of(col, row) : number_of(col, row);
    return entry;
}

static int compare_cells(const struct tni_sort_key *key, const struct tn_column *a, uint32_t row_a,
                         const struct tn_column *b, uint32_t row_b)
{
    bool is_null_a = tn_column_is_null(a, row_a), is_null_b = tn_column_is_null(b, row_b);
    if (is_null_a || is_null_b) {
        if (is_null_a == is_null_b)
            return 0;
        return is_null_a == key->is_nulls_first ? -1 : 1;
    }
    int order;
    if (tn_kind_is_varlen(a->type->kind)) {
        order = tn_str_cmp(tn_column_str(a, row_a), tn_column_str(b, row_b));
    } else {
        struct tn_value value_a = tn_column_value(a, row_a, NULL);
        struct tn_value value_b = tn_column_value(b, row_b, NULL);
        order = tn_value_cmp(&value_a, &value_b);
    }
    return key->is_desc ? -order : order;
}

/* Order of the rows behind two entries whose first keys tie as numbers. */
static int compare_rows(const struct op_sort *op, const struct tn_batch *a, uint32_t row_a,
                        const struct tn_batch *b, uint32_t row_b)
{
    for (uint32_t k = op->is_number_exact ? 1 : 0; k < op->keys_count; k++) {
        uint32_t column = op->keys[k].column;
        int order =
            compare_cells(&op->keys[k], &a->columns[column], row_a, &b->columns[column], row_b);
        if (order)
            return order;
    }
    return 0;
}

static inline int compare_entries(const struct op_sort *op, const struct entry *a,
                                  const struct entry *b)
{
    if (a->rank != b->rank)
        return a->rank < b->rank ? -1 : 1;
    if (a->number != b->number)
        return a->number < b->number ? -1 : 1;
    if (!op->is_number_exact || op->keys_count > 1) {
        int order =
            compare_rows(op, op->chunks[a->place >> CHUNK_SHIFT], a->place & (CHUNK_ROWS - 1),
                         op->chunks[b->place >> CHUNK_SHIFT], b->place & (CHUNK_ROWS - 1));
        if (order)
            return order;
    }
    return a->place < b->place ? -1 : a->place > b->place;
}

/* ---- ordering entries ---- */

static void insertion_sort(const struct op_sort *op, struct entry *items, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++) {
        struct entry item = items[i];
        uint32_t at = i;
        while (at > 0 && compare_entries(op, &item, &items[at - 1]) < 0) {
            items[at] = items[at - 1];
            at--;
        }
        items[at] = item;
    }
}

/* Bottom-up merge sort: places are unique, so any correct sort is stable; this one is never
 * quadratic. */
static void sort_entries(const struct op_sort *op, struct entry *items, uint32_t count)
{
    enum { RUN = 12 };
    for (uint32_t i = 0; i < count; i += RUN)
        insertion_sort(op, items + i, count - i < RUN ? count - i : RUN);
    if (count <= RUN)
        return;
    struct entry *spare = tn_alloc_raw((size_t)count * sizeof *spare);
    struct entry *from = items, *to = spare;
    for (size_t width = RUN; width < count; width *= 2) {
        for (size_t low = 0; low < count; low += 2 * width) {
            size_t mid = low + width < count ? low + width : count;
            size_t high = low + 2 * width < count ? low + 2 * width : count;
            size_t a = low, b = mid, out = low;
            while (a < mid && b < high)
                to[out++] = compare_entries(op, &from[b], &from[a]) < 0 ? from[b++] : from[a++];
            while (a < mid)
                to[out++] = from[a++];
            while (b < high)
                to[out++] = from[b++];
        }
        struct entry *swap = from;
        from = to;
        to = swap;
    }
    if (from != items)
        memcpy(items, from, (size_t)count * sizeof *items);
    tn_free(spare);
}

static struct entry median(const struct op_sort *op, const struct entry *a, const struct entry *b,
                           const struct entry *c)
{
    if (compare_entries(op, a, b) > 0) {
        const struct entry *swap = a;
        a = b;
        b = swap;
    }
    if (compare_entries(op, b, c) <= 0)
        return *b;
    return compare_entries(op, a, c) > 0 ? *a : *c;
}

/* The `keep` least entries to the front, in no order. Bad pivots fall back to sorting. */
static void select_entries(const struct op_sort *op, struct entry *items, uint32_t count,
                           uint32_t keep)
{
    uint32_t low = 0, high = count;
    for (int round = 0; high - low > 32; round++) {
        if (round == 64) {
            sort_entries(op, items + low, high - low);
            return;
        }
        struct entry pivot =
            median(op, &items[low], &items[low + (high - low) / 2], &items[high - 1]);
        uint32_t i = low, j = high - 1;
        for (;;) {
            while (compare_entries(op, &items[i], &pivot) < 0)
                i++;
            while (compare_entries(op, &pivot, &items[j]) < 0)
                j--;
            if (i >= j)
                break;
            struct entry swap = items[i];
            items[i++] = items[j];
            items[j--] = swap;
        }
        uint32_t split = j + 1; /* items[low … split) ≤ items[split … high) */
        if (keep < split)
            high = split;
        else if (keep > split)
            low = split;
        else
            return;
    }
    insertion_sort(op, items + low, high - low);
}

/* ---- rows of several chunks into one batch ---- */

static void collect_fixed(struct op_sort *op, const struct entry *entries, uint32_t count,
                          uint32_t column, struct tn_column *out)
{
    size_t width = tn_kind_width(out->type->kind);
    for (uint32_t i = 0; i < count; i++) {
        const struct tn_column *in = &op->chunks[entries[i].place >> CHUNK_SHIFT]->columns[column];
        uint32_t row = entries[i].place & (CHUNK_ROWS - 1);
        if (tn_column_is_null(in, row))
            tn_bit_clear(out->validity, i);
        else if (width == 8)
            ((uint64_t *)out->values)[i] = ((const uint64_t *)in->values)[row];
        else if (width)
            memcpy((char *)out->values + i * width, (const char *)in->values + row * width, width);
        else
            tn_bit_put(out->values, i, tn_column_bool(in, row));
    }
}

static void collect_text(struct op_sort *op, const struct entry *entries, uint32_t count,
                         uint32_t column, struct tn_column *out, struct tn_arena *arena)
{
    size_t total = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct tn_column *in = &op->chunks[entries[i].place >> CHUNK_SHIFT]->columns[column];
        uint32_t row = entries[i].place & (CHUNK_ROWS - 1);
        if (tn_column_is_null(in, row))
            tn_bit_clear(out->validity, i);
        else
            total += tn_column_str(in, row).len;
        TN_ASSERT(total <= INT32_MAX);
        out->offsets[i + 1] = (int32_t)total;
    }
    out->data = tn_arena_alloc(arena, total);
    for (uint32_t i = 0; i < count; i++) {
        const struct tn_column *in = &op->chunks[entries[i].place >> CHUNK_SHIFT]->columns[column];
        size_t len = (size_t)(out->offsets[i + 1] - out->offsets[i]);
        if (len)
            memcpy(out->data + out->offsets[i],
                   tn_column_str(in, entries[i].place & (CHUNK_ROWS - 1)).ptr, len);
    }
}

static void collect_nested(struct op_sort *op, const struct entry *entries, uint32_t count,
                           uint32_t column, struct tn_column *out, struct tn_arena *arena)
{
    struct tn_colbuilder *builder = tn_colbuilder_new(out->type, arena);
    for (uint32_t i = 0; i < count; i++) {
        const struct tn_column *in = &op->chunks[entries[i].place >> CHUNK_SHIFT]->columns[column];
        struct tn_value value = tn_column_value(in, entries[i].place & (CHUNK_ROWS - 1), arena);
        tn_colbuilder_add(builder, &value);
    }
    tn_colbuilder_finish(builder, out);
}

static struct tn_batch *collect(struct op_sort *op, const struct entry *entries, uint32_t count,
                                struct tn_arena *arena)
{
    struct tn_batch *batch = tn_batch_new(op->base.schema, count, arena);
    for (uint32_t c = 0; c < op->base.schema->fields_count; c++) {
        struct tn_column *out = &batch->columns[c];
        const struct tn_type *type = op->base.schema->fields[c].type;
        tn_column_init(out, type, count, true, arena);
        if (tn_kind_is_nested(type->kind))
            collect_nested(op, entries, count, c, out, arena);
        else if (tn_kind_is_varlen(type->kind))
            collect_text(op, entries, count, c, out, arena);
        else if (type->kind != TN_K_NULL)
            collect_fixed(op, entries, count, c, out);
    }
    return batch;
}

/* ---- filling ---- */

static void add_chunk(struct op_sort *op, struct tn_batch *chunk)
{
    if (op->chunks_count == op->chunks_cap) {
        op->chunks_cap = op->chunks_cap ? op->chunks_cap * 2 : 8;
        op->chunks = tn_realloc(op->chunks, op->chunks_cap * sizeof(struct tn_batch *));
    }
    TN_ASSERT(op->chunks_count < UINT32_MAX >> CHUNK_SHIFT);
    op->chunks[op->chunks_count++] = chunk;
}

static void add_entry(struct op_sort *op, struct entry entry)
{
    if (op->count == op->cap) {
        op->cap = op->cap ? op->cap * 2 : 1024;
        op->entries = tn_realloc(op->entries, op->cap * sizeof *op->entries);
    }
    op->entries[op->count++] = entry;
}

/* Keep the best rows_max rows, copied together; order of arrival lives on in their places. */
static void cut_back(struct op_sort *op)
{
    uint32_t keep = (uint32_t)op->rows_max;
    select_entries(op, op->entries, op->count, keep);
    op->count = keep;
    sort_entries(op, op->entries, keep);
    struct tn_arena arena;
    tn_arena_init(&arena, 0);
    uint32_t chunks = 0;
    struct tn_batch **fresh = tn_alloc_array(keep / CHUNK_ROWS + 1, sizeof(struct tn_batch *));
    for (uint32_t from = 0; from < keep; from += CHUNK_ROWS) {
        uint32_t count = keep - from < CHUNK_ROWS ? keep - from : CHUNK_ROWS;
        fresh[chunks++] = collect(op, op->entries + from, count, &arena);
    }
    for (uint32_t i = 0; i < keep; i++)
        op->entries[i].place = i;
    tn_arena_release(&op->arena);
    op->arena = arena;
    op->chunks_count = 0;
    for (uint32_t i = 0; i < chunks; i++)
        add_chunk(op, fresh[i]);
    tn_free(fresh);
    op->has_worst = true;
    op->worst = op->entries[keep - 1];
}

static bool is_before_worst(const struct op_sort *op, const struct entry *entry,
                            const struct tn_batch *batch, uint32_t row)
{
    const struct entry *worst = &op->worst;
    if (entry->rank != worst->rank)
        return entry->rank < worst->rank;
    if (entry->number != worst->number)
        return entry->number < worst->number;
    return compare_rows(op, batch, row, op->chunks[worst->place >> CHUNK_SHIFT],
                        worst->place & (CHUNK_ROWS - 1)) < 0;
}

static enum tn_status sort_batch(struct op_sort *op, const struct tn_batch *in, struct tn_err *err)
{
    uint32_t rows[TN_BATCH_ROWS_MAX], kept = 0;
    for (uint32_t i = 0; i < in->rows_count; i++) {
        struct entry entry = entry_of(op, in, i);
        if (op->has_worst && !is_before_worst(op, &entry, in, i))
            continue;
        entry.place = op->chunks_count << CHUNK_SHIFT | kept;
        add_entry(op, entry);
        rows[kept++] = i;
    }
    if (kept == 0)
        return TN_OK;
    add_chunk(op, tn_batch_gather(in, rows, kept, &op->arena));
    if (op->rows_max < op->count && op->count - op->rows_max >= op->rows_max + SLACK_ROWS)
        cut_back(op);
    return tni_op_charge(&op->base, op->arena.bytes_total + op->cap * sizeof *op->entries, err);
}

static enum tn_status sort_fill(struct op_sort *op, struct tn_err *err)
{
    struct tn_batch *in;
    enum tn_status st;
    while ((st = tni_op_next(op->base.input, &in, err)) == TN_OK)
        TN_TRY(sort_batch(op, in, err));
    if (st != TN_END)
        return st;
    if (op->rows_max < op->count) {
        select_entries(op, op->entries, op->count, (uint32_t)op->rows_max);
        op->count = (uint32_t)op->rows_max;
    }
    TN_TRY(tn_budget_check(op->base.ctx->budget, err));
    sort_entries(op, op->entries, op->count);
    op->is_filled = true;
    return TN_OK;
}

static enum tn_status sort_next(struct tni_op *base, struct tn_batch **ret_batch,
                                struct tn_err *err)
{
    struct op_sort *op = (struct op_sort *)base;
    if (op->rows_max == 0)
        return TN_END;
    if (!op->is_filled)
        TN_TRY(sort_fill(op, err));
    uint32_t left = op->count - op->next;
    uint32_t count = left < TN_BATCH_ROWS_MAX ? left : TN_BATCH_ROWS_MAX;
    if (count == 0)
        return TN_END;
    TN_TRY(tn_budget_check(base->ctx->budget, err));
    tn_arena_reset(&op->out);
    *ret_batch = collect(op, op->entries + op->next, count, &op->out);
    op->next += count;
    return TN_OK;
}

static void sort_close(struct tni_op *base)
{
    struct op_sort *op = (struct op_sort *)base;
    tn_arena_release(&op->arena);
    tn_arena_release(&op->out);
    tn_free(op->chunks);
    tn_free(op->entries);
    tn_free(op);
}

static void sort_explain(const struct tni_op *base, struct tn_buf *buf)
{
    const struct op_sort *op = (const struct op_sort *)base;
    if (op->rows_max == INT64_MAX)
        tn_buf_add_text(buf, "sort by");
    else
        tn_buf_printf(buf, "top %" PRId64 " by", op->rows_max);
    for (uint32_t k = 0; k < op->keys_count; k++) {
        tn_buf_add_text(buf, k ? ", " : " ");
        tn_buf_add_str(buf, base->schema->fields[op->keys[k].column].name);
        if (op->keys[k].is_desc)
            tn_buf_add_text(buf, " desc");
        if (op->keys[k].is_nulls_first)
            tn_buf_add_text(buf, " nulls first");
    }
}

static const struct tni_op_type sort_type = {"sort", sort_next, sort_close, sort_explain};

struct tni_op *tni_op_sort(struct tni_op *input, uint32_t keys_count,
                           const struct tni_sort_key *keys, int64_t rows_max)
{
    TN_ASSERT(keys_count > 0);
    struct op_sort *op = tn_alloc(sizeof *op);
    op->base.type = &sort_type;
    op->base.ctx = input->ctx;
    op->base.schema = input->schema;
    op->base.input = input;
    op->keys_count = keys_count;
    op->keys = keys;
    op->rows_max = rows_max;
    op->is_number_exact = is_exact(input->schema->fields[keys[0].column].type->kind);
    tn_arena_init(&op->arena, 0);
    tn_arena_init(&op->out, 0);
    return &op->base;
}
