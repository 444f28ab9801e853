/* Text of a number or time to typed values: shared by JSON and DELIMITED.
 * All functions take the whole text and return false when it does not fit; nothing is written then.
 * @thread any
 */
#ifndef TN_CONNECTORS_TEXT_VALUE_H
#define TN_CONNECTORS_TEXT_VALUE_H

#include "connectors/column_writer.h"

/* Decimal digits with optional sign; false on overflow or other characters. */
bool tni_text_i64(struct tn_str text, int64_t *ret_value);
/* A JSON number with fraction or exponent, cut towards zero; false when out of the int64 range. */
bool tni_text_number_i64(struct tn_str text, int64_t *ret_value);
/* Number text, correctly rounded; also NaN, Infinity, -Infinity. False when it overflows binary64.
 */
bool tni_text_f64(struct tn_str text, double *ret_value);
/* Store the text of a number into a numeric or time column: INTEGER (narrowed to 32 bits), BIGINT,
 * DOUBLE, DECIMAL (exact or false), DATE (epoch day), TIME (ms of day), TIMESTAMP (epoch ms).
 * is_integer: the text is known to be plain digits. Returns NULL, or static text saying what did
 * not fit. */
const char *tni_text_store_number(struct tni_cw *cw, uint32_t row, struct tn_str text,
                                  bool is_integer);
/* ISO 8601 text into a DATE, TIME, TIMESTAMP or TIMESTAMP_TZ column; false, and nothing is written,
 * for other columns and other text. */
bool tni_text_store_iso(struct tni_cw *cw, uint32_t row, struct tn_str text);

#endif
