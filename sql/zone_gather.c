/* Columns of several files behind each other. Contract: sql/zone_scan.h. */
#include "sql/zone_scan.h"

#include "stream/base/utf8.h"

void tni_gather_begin(struct tni_gather *gather, const struct tn_schema *schema, const bool *needed,
                      struct tn_arena *arena)
{
    *gather = (struct tni_gather){.schema = schema, .needed = needed, .arena = arena};
}

static void first_columns(struct tni_gather *gather)
{
    gather->columns = TN_ARENA_ARRAY(gather->arena, struct tni_gather_column,
                                     (size_t)gather->schema->fields_count + 1);
    for (uint32_t c = 0; c < gather->schema->fields_count; c++) {
        struct tni_gather_column *to = &gather->columns[c];
        if (!gather->needed[c])
            continue;
        tn_column_init(&to->col, gather->schema->fields[c].type, TN_BATCH_ROWS_MAX, false,
                       gather->arena);
        if (to->col.offsets) {
            to->data_cap = 32768;
            to->col.data = tn_arena_alloc(gather->arena, to->data_cap);
        }
    }
}

static void add_text(struct tni_gather *gather, struct tni_gather_column *to,
                     const struct tn_column *from, uint32_t rows_count)
{
    uint32_t at = gather->rows_count;
    size_t len = (size_t)(from->offsets[rows_count] - from->offsets[0]);
    if (to->data_cap - to->data_len < len) {
        size_t cap = (to->data_cap + len) * 2;
        uint8_t *data = tn_arena_alloc(gather->arena, cap);
        memcpy(data, to->col.data, to->data_len);
        to->col.data = data;
        to->data_cap = cap;
    }
    if (len)
        memcpy(to->col.data + to->data_len, from->data + from->offsets[0], len);
    int32_t shift = (int32_t)to->data_len - from->offsets[0];
    for (uint32_t i = 0; i <= rows_count; i++)
        to->col.offsets[at + i] = from->offsets[i] + shift;
    to->data_len += len;
}

static void add_validity(struct tni_gather *gather, struct tni_gather_column *to,
                         const struct tn_column *from, uint32_t rows_count)
{
    if (!from->validity)
        return; /* a bitmap that is made later starts with all bits set */
    uint8_t *bits = tn_column_need_validity(&to->col, gather->arena);
    for (uint32_t i = 0; i < rows_count; i++)
        if (!tn_bit_get(from->validity, i))
            tn_bit_clear(bits, gather->rows_count + i);
}

void tni_gather_add(struct tni_gather *gather, const struct tn_column *columns, uint32_t rows_count)
{
    if (!gather->columns)
        first_columns(gather);
    for (uint32_t c = 0; c < gather->schema->fields_count; c++) {
        struct tni_gather_column *to = &gather->columns[c];
        const struct tn_column *from = &columns[c];
        if (!gather->needed[c])
            continue;
        size_t width = tn_kind_width(from->type->kind);
        if (to->col.offsets)
            add_text(gather, to, from, rows_count);
        else if (width)
            memcpy((char *)to->col.values + gather->rows_count * width, from->values,
                   rows_count * width);
        else
            for (uint32_t i = 0; i < rows_count; i++)
                tn_bit_put(to->col.values, gather->rows_count + i, tn_column_bool(from, i));
        add_validity(gather, to, from, rows_count);
    }
    gather->rows_count += rows_count;
}

void tni_gather_end(struct tni_gather *gather, struct tn_column *ret_columns)
{
    for (uint32_t c = 0; c < gather->schema->fields_count; c++) {
        ret_columns[c] = gather->columns ? gather->columns[c].col : (struct tn_column){0};
        if (!gather->needed[c])
            ret_columns[c] =
                (struct tn_column){.type = gather->schema->fields[c].type, .is_absent = true};
        ret_columns[c].rows_count = gather->rows_count;
    }
}

/* ---- VARCHAR(n) ---- */

static bool is_too_long(const struct tn_column *col, uint32_t row, uint32_t length_max)
{
    struct tn_str text = tn_column_str(col, row);
    return text.len > length_max && tn_utf8_count(text) > length_max;
}

static void cut_column(struct tn_column *col, uint32_t rows_count, uint32_t length_max,
                       struct tn_arena *arena)
{
    uint32_t row = 0;
    while (row < rows_count && (tn_column_is_null(col, row) || !is_too_long(col, row, length_max)))
        row++;
    if (row == rows_count)
        return; /* nothing is copied when all fit */
    struct tn_colbuilder *builder = tn_colbuilder_new(col->type, arena);
    for (row = 0; row < rows_count; row++) {
        struct tn_value value = {.type = col->type};
        if (tn_column_is_null(col, row)) {
            tn_colbuilder_add_null(builder);
            continue;
        }
        value.s = tn_column_str(col, row);
        value.s.len = tn_utf8_offset(value.s, length_max);
        tn_colbuilder_add(builder, &value);
    }
    tn_colbuilder_finish(builder, col);
}

void tni_zone_cut_texts(struct tn_batch *batch, struct tn_arena *arena)
{
    for (uint32_t c = 0; c < batch->schema->fields_count; c++) {
        uint32_t length_max = batch->schema->fields[c].type->length_max;
        if (length_max && !batch->columns[c].is_absent)
            cut_column(&batch->columns[c], batch->rows_count, length_max, arena);
    }
}
