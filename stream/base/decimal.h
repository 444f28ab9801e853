/* DECIMAL(p, s), p <= 38: a 128-bit integer counted in units of 10^-s. Overflow means |value| >=
 * 10^p (38 where no precision is given); every operation reports it, none wraps. Rounding is half
 * up, away from zero on ties.
 * @thread any
 */
#ifndef TN_STREAM_BASE_DECIMAL_H
#define TN_STREAM_BASE_DECIMAL_H

#include "stream/base/buf.h"

__extension__ typedef __int128 tn_int128;
__extension__ typedef unsigned __int128 tn_uint128;

#define TN_DECIMAL_DIGITS_MAX 38
#define TN_DECIMAL_TEXT_MAX   48

/* 10^exponent, 0 <= exponent <= 38. */
tn_int128 tn_decimal_ten(int exponent);
bool tn_decimal_fits(tn_int128 value, int precision);

bool tn_decimal_add(tn_int128 a, tn_int128 b, tn_int128 *ret_sum);
/* Product rounded from scale `scale_from` (that of the exact product) to `scale_to`. */
bool tn_decimal_mul(tn_int128 a, tn_int128 b, int scale_from, int scale_to, tn_int128 *ret_value);
/* a / b with `shift` = wanted scale − scale of a + scale of b decimal digits added. b != 0.
 * ret_is_exact may be NULL: false when the quotient was rounded. */
bool tn_decimal_div(tn_int128 a, tn_int128 b, int shift, tn_int128 *ret_value, bool *ret_is_exact);
/* Change of scale; false on overflow of 38 digits. ret_is_exact may be NULL. */
bool tn_decimal_rescale(tn_int128 value, int scale_from, int scale_to, tn_int128 *ret_value,
                        bool *ret_is_exact);

/* [+-] digits [. digits] [(e|E) [+-] digits], no blanks. Rounds to `scale`; false when it is no
 * number or needs more than `precision` digits. */
bool tn_decimal_parse(struct tn_str text, int precision, int scale, tn_int128 *ret_value);
/* The same, and false when rounding would change the value. */
bool tn_decimal_parse_exact(struct tn_str text, int precision, int scale, tn_int128 *ret_value);
/* Plain notation with exactly `scale` decimals: "10.10", "-0.05". Returns the length; no NUL. */
size_t tn_decimal_text(tn_int128 value, int scale, char text[TN_DECIMAL_TEXT_MAX]);
void tn_decimal_print(tn_int128 value, int scale, struct tn_buf *buf);

double tn_decimal_to_double(tn_int128 value, int scale); /* correctly rounded */
/* By the shortest digits of the double (0.1 becomes 0.1 exactly); false for NaN, infinities and
 * overflow. */
bool tn_decimal_from_double(double value, int precision, int scale, tn_int128 *ret_value);

#endif
