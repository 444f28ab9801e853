/* Decimal text: see decimal.h. */
#include "stream/base/decimal.h"

#define EXPONENT_MAX 10000

static bool parse_exponent(const char *p, const char *end, int *ret_exponent)
{
    bool is_negative = p < end && *p == '-';
    int value = 0;
    p += p < end && (*p == '-' || *p == '+');
    if (p == end)
        return false;
    for (; p < end; p++) {
        if (*p < '0' || *p > '9')
            return false;
        value = value * 10 + (*p - '0');
        if (value > EXPONENT_MAX)
            return false;
    }
    *ret_exponent = is_negative ? -value : value;
    return true;
}

static bool times_ten(tn_int128 *value, int digit, int precision, int *digits)
{
    if (*value != 0 || digit != 0)
        if (++*digits > precision)
            return false;
    *value = *value * 10 + digit;
    return true;
}

bool tn_decimal_parse_exact(struct tn_str text, int precision, int scale, tn_int128 *ret_value)
{
    const char *p = text.ptr, *end = text.ptr + text.len;
    bool is_negative = p < end && *p == '-', has_point = false, has_digit = false;
    tn_int128 value = 0;
    int fraction = 0, exponent = 0, digits = 0, zeros = 0;
    for (p += p < end && (*p == '-' || *p == '+'); p < end && *p != 'e' && *p != 'E'; p++) {
        if (*p == '.' && !has_point) {
            has_point = true;
            continue;
        }
        if (*p < '0' || *p > '9')
            return false;
        has_digit = true;
        fraction += has_point;
        if (*p == '0') { /* trailing zeros cost no precision until another digit follows */
            zeros++;
            continue;
        }
        for (; zeros > 0; zeros--)
            if (!times_ten(&value, 0, precision, &digits))
                return false;
        if (!times_ten(&value, *p - '0', precision, &digits))
            return false;
    }
    if (!has_digit || (p < end && !parse_exponent(p + 1, end, &exponent)))
        return false;
    /* number = value × 10^(zeros − fraction + exponent); wanted: unscaled at 10^−scale */
    int shift = zeros - fraction + exponent + scale;
    if (value != 0 && shift < 0)
        return false;
    for (; value != 0 && shift > 0; shift--)
        if (!times_ten(&value, 0, precision, &digits))
            return false;
    *ret_value = is_negative ? -value : value;
    return true;
}

void tn_decimal_print(tn_int128 value, int scale, struct tn_buf *buf)
{
    char text[64];
    char *p = text + sizeof text;
    bool is_negative = value < 0;
    int digits = 0;
    if (is_negative)
        value = -value;
    do {
        if (scale && digits == scale)
            *--p = '.';
        *--p = (char)('0' + (int)(value % 10));
        value /= 10;
        digits++;
    } while (value || digits <= scale);
    if (is_negative)
        *--p = '-';
    tn_buf_add(buf, p, (size_t)(text + sizeof text - p));
}
