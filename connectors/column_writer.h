/* Writes one column row by row while a format decodes: fixed-width cells in place, text appended
 * behind the offsets, nested values kept until the end. Last write of a row wins; a row without a
 * write is NULL.
 *
 * HOW: validity bits start clear and are set by a write; tni_cw_row_end closes the row's offset.
 * tni_cw_undo takes back all writes of a row (bad record). tni_cw_finish drops the bitmap when
 * nothing is NULL.
 *
 * Ownership: buffers in the arena given to begin. @thread one
 */
#ifndef TN_CONNECTORS_COLUMN_WRITER_H
#define TN_CONNECTORS_COLUMN_WRITER_H

#include "stream/batch.h"

struct tni_cw {
    const struct tn_type *type;
    enum tn_kind kind;
    uint32_t rows_count;
    int64_t row_set; /* row of the last write, −1 */
    uint32_t set_count;
    uint8_t *validity;
    void *values;
    int32_t *offsets;
    char *data;
    size_t data_len, data_cap;
    struct tn_value *nested; /* nested kinds: one per row */
    struct tn_arena *arena;
};

void tni_cw_begin(struct tni_cw *cw, const struct tn_type *type, uint32_t rows_count,
                  struct tn_arena *arena);
void tni_cw_finish(struct tni_cw *cw, struct tn_column *ret_col);
void tni_cw_grow(struct tni_cw *cw, size_t extra);

static inline void tni_cw_mark(struct tni_cw *cw, uint32_t row)
{
    tn_bit_set(cw->validity, row);
    cw->set_count += cw->row_set != (int64_t)row;
    cw->row_set = row;
}

/* Forget what was written to `row`. */
static inline void tni_cw_undo(struct tni_cw *cw, uint32_t row)
{
    if (cw->row_set != (int64_t)row)
        return;
    tn_bit_clear(cw->validity, row);
    cw->set_count--;
    cw->row_set = -1;
    if (cw->offsets)
        cw->data_len = (size_t)cw->offsets[row];
}

static inline void tni_cw_row_end(struct tni_cw *cw, uint32_t row)
{
    if (cw->offsets)
        cw->offsets[row + 1] = (int32_t)cw->data_len;
}

/* Room for `len` bytes of text of `row`; the text written there is committed by tni_cw_text_end. */
static inline char *tni_cw_text_begin(struct tni_cw *cw, uint32_t row, size_t len)
{
    if (TN_UNLIKELY(cw->row_set == (int64_t)row))
        cw->data_len = (size_t)cw->offsets[row];
    if (TN_UNLIKELY(cw->data_cap - cw->data_len < len))
        tni_cw_grow(cw, len);
    return cw->data + cw->data_len;
}

static inline void tni_cw_text_end(struct tni_cw *cw, uint32_t row, size_t len)
{
    cw->data_len += len;
    tni_cw_mark(cw, row);
}

static inline void tni_cw_text(struct tni_cw *cw, uint32_t row, struct tn_str text)
{
    memcpy(tni_cw_text_begin(cw, row, text.len), text.ptr, text.len);
    tni_cw_text_end(cw, row, text.len);
}

static inline void tni_cw_i32(struct tni_cw *cw, uint32_t row, int32_t value)
{
    ((int32_t *)cw->values)[row] = value;
    tni_cw_mark(cw, row);
}

static inline void tni_cw_i64(struct tni_cw *cw, uint32_t row, int64_t value)
{
    ((int64_t *)cw->values)[row] = value;
    tni_cw_mark(cw, row);
}

static inline void tni_cw_f64(struct tni_cw *cw, uint32_t row, double value)
{
    ((double *)cw->values)[row] = value;
    tni_cw_mark(cw, row);
}

static inline void tni_cw_bool(struct tni_cw *cw, uint32_t row, bool value)
{
    tn_bit_put(cw->values, row, value);
    tni_cw_mark(cw, row);
}

static inline void tni_cw_dec(struct tni_cw *cw, uint32_t row, tn_int128 value)
{
    ((tn_int128 *)cw->values)[row] = value;
    tni_cw_mark(cw, row);
}

static inline void tni_cw_nested(struct tni_cw *cw, uint32_t row, const struct tn_value *value)
{
    cw->nested[row] = *value;
    tni_cw_mark(cw, row);
}

#endif
