/* Shortest printing and correctly rounded reading of doubles.
 *
 * Most doubles in data are short decimals. n / 10^k is one correctly rounded operation while n <
 * 2^53 and k <= 22 (both exact in binary64), so the smallest k for which round(x × 10^k) / 10^k
 * gives x back yields the shortest digits without big numbers; reading takes the same way back
 * (Clinger 1990). What is left goes through the C library with 15, 16 or 17 digits. LC_NUMERIC
 * stays "C": nothing in tarn calls setlocale for it. @thread any */
#include "stream/base/dtoa.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define EXACT_MAX       9007199254740992.0 /* 2^53 */
#define NUMBER_TEXT_MAX 512

static const double ten[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                             1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

static int trim_zeros(char *digits, int count)
{
    while (count > 1 && digits[count - 1] == '0')
        count--;
    return count;
}

static int integer_digits(uint64_t n, char *digits)
{
    char text[24];
    int len = 0;
    do {
        text[len++] = (char)('0' + n % 10);
        n /= 10;
    } while (n);
    for (int i = 0; i < len; i++)
        digits[i] = text[len - 1 - i];
    return len;
}

static int short_digits(double x, char *digits, int *ret_point)
{
    for (int k = 0; k <= 8; k++) {
        double scaled = x * ten[k];
        if (scaled >= EXACT_MAX)
            return 0;
        double n = nearbyint(scaled);
        if (n / ten[k] != x || n == 0)
            continue;
        int count = integer_digits((uint64_t)n, digits);
        *ret_point = count - k;
        return trim_zeros(digits, count);
    }
    return 0;
}

int tn_double_digits(double value, char digits[20], int *ret_point)
{
    double x = fabs(value);
    TN_ASSERT(isfinite(x));
    if (x == 0) {
        digits[0] = '0';
        *ret_point = 1;
        return 1;
    }
    int count = short_digits(x, digits, ret_point);
    if (count)
        return count;
    char text[40];
    /* subnormals carry fewer digits; Java prints at least two */
    for (int precision = x < 2.3e-308 ? 2 : 15; precision <= 17; precision++) {
        snprintf(text, sizeof text, "%.*e", precision - 1, x);
        if (precision == 17 || strtod(text, NULL) == x)
            break;
    }
    char *e = strchr(text, 'e');
    TN_ASSERT(e && text[1] == '.');
    *ret_point = atoi(e + 1) + 1;
    digits[0] = text[0];
    count = (int)(e - text) - 1;
    memcpy(digits + 1, text + 2, (size_t)count - 1);
    return trim_zeros(digits, count);
}

static size_t put_special(double value, char *text)
{
    const char *word = isnan(value) ? "NaN" : value < 0 ? "-Infinity" : "Infinity";
    size_t len = strlen(word);
    memcpy(text, word, len);
    return len;
}

static size_t put_exponent(char *to, const char *digits, int count, int point)
{
    char *p = to;
    *p++ = digits[0];
    *p++ = '.';
    if (count == 1)
        *p++ = '0';
    memcpy(p, digits + 1, (size_t)count - 1);
    p += count - 1;
    p += snprintf(p, 8, "E%d", point - 1);
    return (size_t)(p - to);
}

static size_t put_plain(char *to, const char *digits, int count, int point)
{
    char *p = to;
    for (int i = 0; i < point; i++)
        *p++ = i < count ? digits[i] : '0';
    if (point <= 0)
        *p++ = '0';
    *p++ = '.';
    for (int i = point; i < 0; i++)
        *p++ = '0';
    int from = point > 0 ? point : 0;
    if (from >= count)
        *p++ = '0';
    for (int i = from; i < count; i++)
        *p++ = digits[i];
    return (size_t)(p - to);
}

static size_t double_text(double value, char *text, bool is_always_exponent)
{
    if (!isfinite(value))
        return put_special(value, text);
    char digits[20];
    int point;
    int count = tn_double_digits(value, digits, &point);
    size_t sign = signbit(value) ? 1 : 0;
    text[0] = '-';
    bool is_plain = value == 0 || (point > -3 && point <= 7);
    if (is_always_exponent || !is_plain)
        return sign + put_exponent(text + sign, digits, count, point);
    return sign + put_plain(text + sign, digits, count, point);
}

size_t tn_double_text(double value, char text[TN_DOUBLE_TEXT_MAX])
{
    return double_text(value, text, false);
}

size_t tn_double_text_exponent(double value, char text[TN_DOUBLE_TEXT_MAX])
{
    if (value == 0) { /* Trino's only number without a fraction */
        const char *zero = signbit(value) ? "-0E0" : "0E0";
        memcpy(text, zero, strlen(zero));
        return strlen(zero);
    }
    return double_text(value, text, true);
}

void tn_double_print(double value, struct tn_buf *buf)
{
    char *to = tn_buf_reserve(buf, TN_DOUBLE_TEXT_MAX);
    if (to)
        buf->len += double_text(value, to, false);
}

static bool parse_special(struct tn_str text, double *ret_value)
{
    if (tn_str_eq(text, TN_STR("NaN")))
        *ret_value = (double)NAN;
    else if (tn_str_eq(text, TN_STR("Infinity")) || tn_str_eq(text, TN_STR("+Infinity")))
        *ret_value = (double)INFINITY;
    else if (tn_str_eq(text, TN_STR("-Infinity")))
        *ret_value = -(double)INFINITY;
    else
        return false;
    return true;
}

/* What the scan of a number found: value = mantissa × 10^exponent, when not more than 19 digits
 * counted. */
struct scan {
    bool is_negative;
    uint64_t mantissa;
    int digits_count; /* significant ones */
    int exponent;
};

static const char *scan_digits(const char *p, const char *end, struct scan *scan, bool is_fraction)
{
    for (; p < end && *p >= '0' && *p <= '9'; p++) {
        if (scan->digits_count < 19) {
            scan->mantissa = scan->mantissa * 10 + (uint64_t)(*p - '0');
            scan->digits_count += scan->mantissa != 0;
        } else {
            scan->digits_count++;
        }
        scan->exponent -= is_fraction;
    }
    return p;
}

static bool scan_exponent(const char **io_p, const char *end, struct scan *scan)
{
    const char *p = *io_p + 1;
    bool is_negative = p < end && *p == '-';
    p += p < end && (*p == '-' || *p == '+');
    if (p == end)
        return false;
    int exponent = 0;
    for (; p < end && *p >= '0' && *p <= '9'; p++)
        exponent = exponent < 100000 ? exponent * 10 + (*p - '0') : exponent;
    scan->exponent += is_negative ? -exponent : exponent;
    *io_p = p;
    return true;
}

static bool scan_number(struct tn_str text, struct scan *scan)
{
    const char *p = text.ptr, *end = text.ptr + text.len;
    scan->is_negative = p < end && *p == '-';
    p += p < end && (*p == '-' || *p == '+');
    const char *digits = p;
    p = scan_digits(p, end, scan, false);
    size_t digits_count = (size_t)(p - digits);
    if (p < end && *p == '.') {
        digits = ++p;
        p = scan_digits(p, end, scan, true);
        digits_count += (size_t)(p - digits);
    }
    if (digits_count == 0)
        return false;
    if (p < end && (*p == 'e' || *p == 'E') && !scan_exponent(&p, end, scan))
        return false;
    return p == end;
}

bool tn_double_parse(struct tn_str text, double *ret_value)
{
    if (text.len == 0)
        return false;
    struct scan scan = {0};
    if (!scan_number(text, &scan))
        return parse_special(text, ret_value);
    if (scan.digits_count <= 19 && scan.mantissa <= (uint64_t)EXACT_MAX && scan.exponent >= -22 &&
        scan.exponent <= 22) {
        double m = (double)scan.mantissa;
        double x = scan.exponent < 0 ? m / ten[-scan.exponent] : m * ten[scan.exponent];
        *ret_value = scan.is_negative ? -x : x;
        return true;
    }
    char copy[NUMBER_TEXT_MAX];
    if (text.len >= sizeof copy)
        return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = 0;
    *ret_value = strtod(copy, NULL);
    return true;
}
