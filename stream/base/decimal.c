/* 128-bit decimals. Products and scaled dividends may need 256 bits: they are kept as two 128-bit
 * halves and divided by shift and subtract, which only runs when the fast 128-bit way overflows.
 * @thread any */
#include "stream/base/decimal.h"

#include <math.h>

#include "stream/base/dtoa.h"

#define TEN18 INT64_C(1000000000000000000)

static const int64_t small_tens[19] = {1,
                                       10,
                                       100,
                                       1000,
                                       10000,
                                       100000,
                                       1000000,
                                       10000000,
                                       100000000,
                                       1000000000,
                                       10000000000,
                                       100000000000,
                                       1000000000000,
                                       10000000000000,
                                       100000000000000,
                                       1000000000000000,
                                       10000000000000000,
                                       100000000000000000,
                                       TEN18};

tn_int128 tn_decimal_ten(int exponent)
{
    TN_ASSERT(exponent >= 0 && exponent <= TN_DECIMAL_DIGITS_MAX);
    tn_int128 value = 1;
    for (; exponent > 18; exponent -= 18)
        value *= TEN18;
    return value * small_tens[exponent];
}

static tn_uint128 magnitude(tn_int128 value)
{
    return value < 0 ? 0 - (tn_uint128)value : (tn_uint128)value;
}

bool tn_decimal_fits(tn_int128 value, int precision)
{
    return magnitude(value) < (tn_uint128)tn_decimal_ten(precision);
}

/* Store ± m when it fits 38 digits. */
static bool give(tn_uint128 m, bool is_negative, tn_int128 *ret_value)
{
    if (m >= (tn_uint128)tn_decimal_ten(TN_DECIMAL_DIGITS_MAX))
        return false;
    *ret_value = is_negative ? -(tn_int128)m : (tn_int128)m;
    return true;
}

bool tn_decimal_add(tn_int128 a, tn_int128 b, tn_int128 *ret_sum)
{
    tn_int128 sum = 0;
    if (__builtin_add_overflow(a, b, &sum) || !tn_decimal_fits(sum, TN_DECIMAL_DIGITS_MAX))
        return false;
    *ret_sum = sum;
    return true;
}

struct wide {
    tn_uint128 hi, lo;
};

static struct wide wide_mul(tn_uint128 a, tn_uint128 b)
{
    const tn_uint128 mask = UINT64_MAX;
    tn_uint128 a0 = a & mask, a1 = a >> 64, b0 = b & mask, b1 = b >> 64;
    tn_uint128 low = a0 * b0, mid1 = a0 * b1, mid2 = a1 * b0;
    tn_uint128 mid = (low >> 64) + (mid1 & mask) + (mid2 & mask);
    return (struct wide){a1 * b1 + (mid1 >> 64) + (mid2 >> 64) + (mid >> 64),
                         (low & mask) | mid << 64};
}

/* Quotient of a 256-bit number; false when it needs more than 128 bits. */
static bool wide_div(struct wide n, tn_uint128 d, tn_uint128 *ret_quotient, tn_uint128 *ret_rest)
{
    if (n.hi == 0) {
        *ret_quotient = n.lo / d;
        *ret_rest = n.lo % d;
        return true;
    }
    if (n.hi >= d)
        return false;
    tn_uint128 rest = n.hi, quotient = 0;
    for (int bit = 127; bit >= 0; bit--) {
        bool carry = rest >> 127;
        rest = rest << 1 | (n.lo >> bit & 1);
        if (carry || rest >= d) {
            rest -= d;
            quotient |= (tn_uint128)1 << bit;
        }
    }
    *ret_quotient = quotient;
    *ret_rest = rest;
    return true;
}

/* n / d rounded half up, with sign. */
static bool round_div(struct wide n, tn_uint128 d, bool is_negative, tn_int128 *ret_value,
                      bool *ret_is_exact)
{
    tn_uint128 quotient, rest;
    if (!wide_div(n, d, &quotient, &rest))
        return false;
    if (rest >= d - rest) /* 2 × rest >= d without overflow */
        quotient++;
    if (!give(quotient, is_negative, ret_value))
        return false;
    if (ret_is_exact)
        *ret_is_exact = rest == 0;
    return true;
}

bool tn_decimal_mul(tn_int128 a, tn_int128 b, int scale_from, int scale_to, tn_int128 *ret_value)
{
    TN_ASSERT(scale_from >= scale_to && scale_from - scale_to <= TN_DECIMAL_DIGITS_MAX);
    tn_int128 product;
    if (scale_from == scale_to)
        return !__builtin_mul_overflow(a, b, &product) &&
               give(magnitude(product), product < 0, ret_value);
    struct wide n = wide_mul(magnitude(a), magnitude(b));
    return round_div(n, (tn_uint128)tn_decimal_ten(scale_from - scale_to), (a < 0) != (b < 0),
                     ret_value, NULL);
}

bool tn_decimal_div(tn_int128 a, tn_int128 b, int shift, tn_int128 *ret_value, bool *ret_is_exact)
{
    TN_ASSERT(b != 0 && shift >= -TN_DECIMAL_DIGITS_MAX && shift <= 2 * TN_DECIMAL_DIGITS_MAX);
    bool is_negative = (a < 0) != (b < 0);
    tn_uint128 m = magnitude(a), d = magnitude(b);
    if (a == 0) {
        *ret_value = 0;
        if (ret_is_exact)
            *ret_is_exact = true;
        return true;
    }
    if (shift < 0) {
        struct wide divisor = wide_mul(d, (tn_uint128)tn_decimal_ten(-shift));
        if (divisor.hi) { /* divisor over 2^128 > any 38-digit dividend: less than a half */
            *ret_value = 0;
            if (ret_is_exact)
                *ret_is_exact = false;
            return true;
        }
        return round_div((struct wide){0, m}, divisor.lo, is_negative, ret_value, ret_is_exact);
    }
    if (shift > TN_DECIMAL_DIGITS_MAX) {
        struct wide first = wide_mul(m, (tn_uint128)tn_decimal_ten(shift - TN_DECIMAL_DIGITS_MAX));
        if (first.hi)
            return false;
        m = first.lo;
        shift = TN_DECIMAL_DIGITS_MAX;
    }
    return round_div(wide_mul(m, (tn_uint128)tn_decimal_ten(shift)), d, is_negative, ret_value,
                     ret_is_exact);
}

bool tn_decimal_rescale(tn_int128 value, int scale_from, int scale_to, tn_int128 *ret_value,
                        bool *ret_is_exact)
{
    if (scale_from > scale_to)
        return round_div((struct wide){0, magnitude(value)},
                         (tn_uint128)tn_decimal_ten(scale_from - scale_to), value < 0, ret_value,
                         ret_is_exact);
    tn_int128 scaled;
    if (__builtin_mul_overflow(value, tn_decimal_ten(scale_to - scale_from), &scaled) ||
        !give(magnitude(scaled), scaled < 0, ret_value))
        return false;
    if (ret_is_exact)
        *ret_is_exact = true;
    return true;
}

/* ---- text ---- */

struct digits {
    tn_uint128 m;  /* the significant digits kept */
    int count;     /* how many */
    int point;     /* value = m × 10^point */
    int first_cut; /* first digit that did not fit, −1 = none */
    bool has_rest; /* a later one was not zero */
    bool is_negative;
};

static void add_digit(struct digits *d, int digit, bool is_fraction)
{
    if (d->count < TN_DECIMAL_DIGITS_MAX) {
        d->m = d->m * 10 + (unsigned)digit;
        d->count += d->m != 0;
        d->point -= is_fraction;
        return;
    }
    if (d->first_cut < 0)
        d->first_cut = digit;
    else
        d->has_rest |= digit != 0;
    d->point += !is_fraction;
}

static bool read_exponent(const char *p, const char *end, int *ret_exponent)
{
    bool is_negative = p < end && *p == '-';
    p += p < end && (*p == '-' || *p == '+');
    if (p == end || end - p > 9)
        return false;
    int exponent = 0;
    for (; p < end; p++) {
        if (*p < '0' || *p > '9')
            return false;
        exponent = exponent * 10 + (*p - '0');
    }
    *ret_exponent = is_negative ? -exponent : exponent;
    return true;
}

static bool read_digits(struct tn_str text, struct digits *d)
{
    const char *p = text.ptr, *end = text.ptr + text.len;
    *d = (struct digits){.first_cut = -1};
    d->is_negative = p < end && *p == '-';
    p += p < end && (*p == '-' || *p == '+');
    bool has_point = false, has_digit = false;
    for (; p < end; p++) {
        if (*p >= '0' && *p <= '9') {
            add_digit(d, *p - '0', has_point);
            has_digit = true;
        } else if (*p == '.' && !has_point) {
            has_point = true;
        } else {
            break;
        }
    }
    int exponent = 0;
    if (p < end && ((*p != 'e' && *p != 'E') || !read_exponent(p + 1, end, &exponent)))
        return false;
    d->point += exponent;
    return has_digit;
}

static bool parse_cut(const struct digits *d, tn_int128 *ret_value, bool *ret_is_exact)
{
    /* 38 digits and more behind them, at the wanted scale exactly */
    tn_uint128 m = d->m + (d->first_cut >= 5 ? 1 : 0);
    *ret_is_exact = d->first_cut <= 0 && !d->has_rest;
    return give(m, d->is_negative, ret_value);
}

static bool parse(struct tn_str text, int precision, int scale, tn_int128 *ret_value,
                  bool *ret_is_exact)
{
    struct digits d;
    tn_int128 value = 0;
    *ret_is_exact = true;
    if (!read_digits(text, &d))
        return false;
    int shift = d.point + scale; /* value in units = m × 10^shift */
    bool has_cut = d.first_cut > 0 || d.has_rest;
    if (d.m == 0)
        shift = 0;
    if (shift > TN_DECIMAL_DIGITS_MAX)
        return false;
    if (shift < -TN_DECIMAL_DIGITS_MAX) {
        *ret_is_exact = false;
        *ret_value = 0;
        return true;
    }
    if (shift == 0) {
        if (!parse_cut(&d, &value, ret_is_exact))
            return false;
    } else if (!tn_decimal_rescale((tn_int128)d.m, shift < 0 ? -shift : 0, shift > 0 ? shift : 0,
                                   &value, ret_is_exact)) {
        return false;
    } else {
        *ret_is_exact = *ret_is_exact && !has_cut;
        value = d.is_negative ? -value : value;
    }
    if (!tn_decimal_fits(value, precision))
        return false;
    *ret_value = value;
    return true;
}

bool tn_decimal_parse(struct tn_str text, int precision, int scale, tn_int128 *ret_value)
{
    bool is_exact;
    return parse(text, precision, scale, ret_value, &is_exact);
}

bool tn_decimal_parse_exact(struct tn_str text, int precision, int scale, tn_int128 *ret_value)
{
    bool is_exact;
    tn_int128 value;
    if (!parse(text, precision, scale, &value, &is_exact) || !is_exact)
        return false;
    *ret_value = value;
    return true;
}

size_t tn_decimal_text(tn_int128 value, int scale, char text[TN_DECIMAL_TEXT_MAX])
{
    char reversed[TN_DECIMAL_TEXT_MAX];
    int len = 0, digits_count = 0;
    tn_uint128 m = magnitude(value);
    while (m || digits_count <= scale) {
        if (digits_count == scale && scale > 0)
            reversed[len++] = '.';
        uint64_t low = m <= UINT64_MAX ? (uint64_t)m % 10 : (uint64_t)(m % 10);
        reversed[len++] = (char)('0' + low);
        m = m <= UINT64_MAX ? (uint64_t)m / 10 : m / 10;
        digits_count++;
    }
    if (value < 0)
        reversed[len++] = '-';
    for (int i = 0; i < len; i++)
        text[i] = reversed[len - 1 - i];
    return (size_t)len;
}

void tn_decimal_print(tn_int128 value, int scale, struct tn_buf *buf)
{
    char *to = tn_buf_reserve(buf, TN_DECIMAL_TEXT_MAX);
    if (to)
        buf->len += tn_decimal_text(value, scale, to);
}

double tn_decimal_to_double(tn_int128 value, int scale)
{
    if (scale <= 22 && magnitude(value) <= (tn_uint128)1 << 53)
        return (double)value / (double)tn_decimal_ten(scale);
    char text[TN_DECIMAL_TEXT_MAX];
    double result = 0;
    bool is_number =
        tn_double_parse((struct tn_str){text, tn_decimal_text(value, scale, text)}, &result);
    TN_ASSERT(is_number);
    return result;
}

bool tn_decimal_from_double(double value, int precision, int scale, tn_int128 *ret_value)
{
    if (!isfinite(value))
        return false;
    char text[TN_DOUBLE_TEXT_MAX];
    size_t len = tn_double_text(value, text);
    return tn_decimal_parse((struct tn_str){text, len}, precision, scale, ret_value);
}
