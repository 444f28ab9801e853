/* Order-preserving bytes of key columns: memcmp order of the bytes == order of the values, column
 * by column.
 *
 * One byte per column says NULL (0x00, sorts first) or value (0x01); then
 *   BOOLEAN 1 byte · INTEGER, DATE 4 bytes BE, sign flipped · BIGINT, TIME, TIMESTAMP, INTERVAL 8
 * bytes BE, sign flipped · DECIMAL 16 bytes BE, sign flipped (one column has one scale) · DOUBLE 8
 * bytes BE, IEEE order (−0.0 before 0.0, NaN with a clear sign bit last); the exact bits come back
 * · VARCHAR, BYTES, JSON: bytes with 0x00 written as 0x00 0xFF, ended by 0x00 0x00, so that a
 * prefix sorts first and columns do not run into each other · ARRAY: items each after a 0x01, ended
 * by 0x00 · MAP: as ARRAY of key, value · STRUCT: fields one after another. Reading gives back
 * exactly the values written. Stored in state: never change.
 *
 * @thread any
 */
#ifndef TN_STREAM_KEYCODE_H
#define TN_STREAM_KEYCODE_H

#include "stream/batch.h"

/* Append the key of one row of `cols` (one value per column). */
void tni_keycode_add(struct tn_buf *buf, const struct tn_column *cols, uint32_t cols_count,
                     uint32_t row);
/* Append one value; its type decides. For constants in look-ups (cast to the key column's type
 * before). */
void tni_keycode_add_value(struct tn_buf *buf, const struct tn_value *value);
/* Bytes of a key when every column has a fixed width and is not NULL; 0 when the types have no
 * fixed width. */
size_t tni_keycode_width(const struct tn_type *const *types, uint32_t types_count);
/* Turn `count` keys back into columns. key.len may be longer than the columns (a window follows).
 * TN_E_CORRUPT names what is wrong. ret_ends[i] (may be NULL) = bytes consumed of key i. */
enum tn_status tni_keycode_columns(const struct tn_type *const *types, uint32_t types_count,
                                   const struct tn_str *keys, uint32_t count,
                                   struct tn_arena *arena, struct tn_column *ret_cols,
                                   size_t *ret_ends, struct tn_err *err);
/* Smallest byte string greater than every string that starts with `prefix`: increments in place and
 * shortens; false when there is none (all 0xFF): then the range is open. */
bool tni_keycode_successor(char *prefix, size_t *len);

#endif
