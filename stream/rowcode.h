/* Compact bytes of value columns: what a materialised row, a collected list element or a stored
 * aggregate value looks like in state and in changelogs in our own encoding. Not order-preserving;
 * see keycode.h for that.
 *
 * Per value one tag byte: 0 NULL, 1 value follows; then BOOLEAN 1 byte · INTEGER, DATE zigzag
 * varint · BIGINT and times zigzag varint · DOUBLE 8 bytes LE · DECIMAL 16 bytes LE · VARCHAR,
 * BYTES, JSON varint length + bytes · ARRAY varint count + values · MAP varint count + key, value …
 * · STRUCT values of the fields. Stored: never change.
 * @thread any
 */
#ifndef TN_STREAM_ROWCODE_H
#define TN_STREAM_ROWCODE_H

#include "stream/batch.h"

void tni_rowcode_add(struct tn_buf *buf, const struct tn_column *cols, uint32_t cols_count,
                     uint32_t row);
void tni_rowcode_add_value(struct tn_buf *buf, const struct tn_type *type,
                           const struct tn_value *value);
/* One value; text is borrowed from the bytes, items live in `arena`. Returns the byte after it,
 * NULL when corrupt. */
const char *tni_rowcode_value(const struct tn_type *type, const char *ptr, const char *end,
                              struct tn_arena *arena, struct tn_value *ret_value);
/* Skip one value; NULL when corrupt. */
const char *tni_rowcode_skip(const struct tn_type *type, const char *ptr, const char *end);
/* Decode count rows of types_count values into columns; rows[i].ptr NULL = all NULL. needed NULL =
 * all; others come back absent. */
enum tn_status tni_rowcode_columns(const struct tn_type *const *types, uint32_t types_count,
                                   const struct tn_str *rows, uint32_t count, const bool *needed,
                                   struct tn_arena *arena, struct tn_column *ret_cols,
                                   struct tn_err *err);

#endif
