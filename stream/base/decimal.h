/* 128-bit scaled integers: text in and out. Precision is at most 38, so every value fits int128. @thread any */
#ifndef TN_STREAM_BASE_DECIMAL_H
#define TN_STREAM_BASE_DECIMAL_H

#include "stream/batch.h"

/* The number in `text` (sign, digits, point, exponent) as an unscaled DECIMAL(precision, scale). False when it is no
 * number, has digits below the scale that are not zero, or more digits than the precision: nothing is rounded. */
bool tn_decimal_parse_exact(struct tn_str text, int precision, int scale, tn_int128 *ret_value);
/* Plain notation with exactly `scale` fraction digits. */
void tn_decimal_print(tn_int128 value, int scale, struct tn_buf *buf);

#endif
