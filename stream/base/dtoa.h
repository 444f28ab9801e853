/* Doubles as text and back, independent of the locale.
 *
 * Printing follows Java: the shortest digits that read back as the same double; plain with at least
 * one decimal for 1e-3 <= |x| < 1e7 ("100.0"), else "1.0E7"; "NaN", "Infinity", "-Infinity".
 * Reading is correctly rounded.
 * @thread any
 */
#ifndef TN_STREAM_BASE_DTOA_H
#define TN_STREAM_BASE_DTOA_H

#include "stream/base/buf.h"

#define TN_DOUBLE_TEXT_MAX 32

/* Java layout into `text`; returns the length. No NUL. */
size_t tn_double_text(double value, char text[TN_DOUBLE_TEXT_MAX]);
void tn_double_print(double value, struct tn_buf *buf);
/* The layout of CAST(double AS VARCHAR) under query rules: always an exponent ("1.5E0", "-1.0E-3").
 */
size_t tn_double_text_exponent(double value, char text[TN_DOUBLE_TEXT_MAX]);

/* Shortest decimal digits of a finite value: |value| = 0.DIGITS × 10^point. Returns the number of
 * digits (1 … 17), without leading or trailing zeros ("0" for zero). */
int tn_double_digits(double value, char digits[20], int *ret_point);

/* Reads the whole text as a number: [+-] digits [. digits] [(e|E) [+-] digits], or NaN, Infinity,
 * -Infinity (exact case). No blanks. False when it is anything else. */
bool tn_double_parse(struct tn_str text, double *ret_value);

#endif
