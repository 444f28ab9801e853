/* Number and time text: see text_value.h. Doubles take the exact fast path (at most 15
 * digits and a power of ten up to 22, both exact in binary64, one rounding: Clinger 1990), strtod
 * otherwise. */
#include "connectors/text_value.h"

#include <math.h>
#include <stdlib.h>

#include "stream/base/decimal.h"
#include "stream/base/time.h"

#define NUMBER_TEXT_MAX 512
#define MS_PER_DAY      INT64_C(86400000)

bool tni_text_i64(struct tn_str text, int64_t *ret_value)
{
    const char *p = text.ptr, *end = text.ptr + text.len;
    bool is_negative = p < end && *p == '-';
    uint64_t value = 0;
    p += p < end && (*p == '-' || *p == '+');
    if (p == end || end - p > 19)
        return false;
    for (; p < end; p++) {
        unsigned digit = (unsigned)(*p - '0');
        if (digit > 9)
            return false;
        value = value * 10 + digit; /* at most 19 digits: fits uint64 */
    }
    if (value > (uint64_t)INT64_MAX + is_negative)
        return false;
    *ret_value = is_negative ? (int64_t)(0 - value) : (int64_t)value;
    return true;
}

static bool is_number_text(struct tn_str text)
{
    const char *p = text.ptr, *end = text.ptr + text.len;
    p += p < end && (*p == '-' || *p == '+');
    if (p == end || !(*p == '.' || (*p >= '0' && *p <= '9')))
        return false;
    for (; p < end; p++)
        if (!((*p >= '0' && *p <= '9') || *p == '.' || *p == 'e' || *p == 'E' || *p == '-' ||
              *p == '+'))
            return false;
    return true;
}

static bool fast_f64(struct tn_str text, double *ret_value)
{
    static const double ten[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                 1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    const char *p = text.ptr, *end = text.ptr + text.len;
    bool is_negative = p < end && *p == '-';
    uint64_t mantissa = 0;
    unsigned digits = 0, scale = 0;
    bool has_point = false;
    for (p += is_negative; p < end; p++) {
        if (*p == '.' && !has_point) {
            has_point = true;
            continue;
        }
        unsigned digit = (unsigned)(*p - '0');
        if (digit > 9 || ++digits > 15)
            return false;
        mantissa = mantissa * 10 + digit;
        scale += has_point;
    }
    if (!digits)
        return false;
    double value = (double)mantissa / ten[scale];
    *ret_value = is_negative ? -value : value;
    return true;
}

/* The words that the encoders write for what has no digits. */
static bool special_f64(struct tn_str text, double *ret_value)
{
    if (tn_str_eq(text, TN_STR("NaN")))
        *ret_value = NAN;
    else if (tn_str_eq(text, TN_STR("Infinity")))
        *ret_value = INFINITY;
    else if (tn_str_eq(text, TN_STR("-Infinity")))
        *ret_value = -INFINITY;
    else
        return false;
    return true;
}

bool tni_text_f64(struct tn_str text, double *ret_value)
{
    char copy[NUMBER_TEXT_MAX];
    char *end;
    if (fast_f64(text, ret_value) || special_f64(text, ret_value))
        return true;
    if (!is_number_text(text) || text.len >= sizeof copy)
        return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = 0;
    double value = strtod(copy, &end);
    if (*end || isinf(value))
        return false;
    *ret_value = value;
    return true;
}

bool tni_text_number_i64(struct tn_str text, int64_t *ret_value)
{
    if (tni_text_i64(text, ret_value))
        return true;
    if (!is_number_text(text))
        return false;
    const char *point = memchr(text.ptr, '.', text.len);
    const char *exponent = memchr(text.ptr, 'e', text.len);
    if (!exponent)
        exponent = memchr(text.ptr, 'E', text.len);
    if (!exponent && point > text.ptr) {
        struct tn_str whole = {text.ptr, (size_t)(point - text.ptr)};
        return whole.len == 1 && *whole.ptr == '-' ? false : tni_text_i64(whole, ret_value);
    }
    double value;
    if (!tni_text_f64(text, &value) || !(fabs(value) < 9223372036854775808.0))
        return false;
    *ret_value = (int64_t)value;
    return true;
}

/* ms to µs of TIME and TIMESTAMP columns. */
static const char *store_ms(struct tni_cw *cw, uint32_t row, int64_t ms)
{
    int64_t us;
    if (__builtin_mul_overflow(ms, INT64_C(1000), &us))
        return "timestamp out of range";
    if (cw->kind == TN_K_TIME && (ms < 0 || ms >= MS_PER_DAY))
        return "time of day out of range";
    tni_cw_i64(cw, row, us);
    return NULL;
}

const char *tni_text_store_number(struct tni_cw *cw, uint32_t row, struct tn_str text,
                                  bool is_integer)
{
    int64_t i;
    double d;
    tn_int128 dec;
    if (cw->kind == TN_K_DOUBLE) {
        if (!tni_text_f64(text, &d))
            return is_number_text(text) ? "number out of range" : "expected a number";
        tni_cw_f64(cw, row, d);
        return NULL;
    }
    if (cw->kind == TN_K_DECIMAL) {
        if (!tn_decimal_parse_exact(text, cw->type->precision, cw->type->scale, &dec))
            return "number does not fit the DECIMAL type exactly";
        tni_cw_dec(cw, row, dec);
        return NULL;
    }
    if (!(is_integer ? tni_text_i64(text, &i) : tni_text_number_i64(text, &i)))
        return is_number_text(text) ? "number out of range" : "expected a number";
    switch (cw->kind) {
    case TN_K_INTEGER: tni_cw_i32(cw, row, (int32_t)(uint32_t)i); return NULL;
    case TN_K_BIGINT: tni_cw_i64(cw, row, i); return NULL;
    case TN_K_DATE:
        if (i < INT32_MIN || i > INT32_MAX)
            return "date out of range";
        tni_cw_i32(cw, row, (int32_t)i);
        return NULL;
    case TN_K_TIME:
    case TN_K_TIMESTAMP:
    case TN_K_TIMESTAMP_TZ: return store_ms(cw, row, i);
    default: return "not a number column";
    }
}

/* YYYY-MM-DD, the usual form, without the general parser. */
static bool plain_date(const char *p, int64_t *ret_days)
{
    static _Thread_local char last_text[10]; /* events come day by day */
    static _Thread_local int64_t last_days;
    if (memcmp(p, last_text, sizeof last_text) == 0) {
        *ret_days = last_days;
        return true;
    }
    static const char form[] = "dddd-dd-dd";
    int part[3] = {0, 0, 0}, at = 0;
    for (int i = 0; i < 10; i++) {
        unsigned digit = (unsigned)(p[i] - '0');
        if (form[i] == '-') {
            if (p[i] != '-')
                return false;
            at++;
        } else if (digit > 9) {
            return false;
        } else {
            part[at] = part[at] * 10 + (int)digit;
        }
    }
    if (part[1] < 1 || part[1] > 12 || part[2] < 1 || part[2] > tn_days_in_month(part[0], part[1]))
        return false;
    *ret_days = last_days = tn_days_of(part[0], part[1], part[2]);
    memcpy(last_text, p, sizeof last_text);
    return true;
}

static inline int two_digits(const char *p)
{
    unsigned a = (unsigned)(p[0] - '0'), b = (unsigned)(p[1] - '0');
    return a > 9 || b > 9 ? -1 : (int)(a * 10 + b);
}

/* YYYY-MM-DD(T| )HH:MM:SS[.f…][Z] */
static bool plain_timestamp(struct tn_str text, int64_t *ret_us)
{
    const char *p = text.ptr;
    int64_t days, us = 0, unit = 100000;
    if (text.len < 19 || (p[10] != 'T' && p[10] != ' ') || p[13] != ':' || p[16] != ':' ||
        !plain_date(p, &days))
        return false;
    int hour = two_digits(p + 11), minute = two_digits(p + 14), second = two_digits(p + 17);
    if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59)
        return false;
    size_t at = 19;
    if (at < text.len && p[at] == '.') {
        for (at++; at < text.len && p[at] >= '0' && p[at] <= '9'; at++, unit /= 10)
            us += (p[at] - '0') * unit;
        if (at == 20 || at > 26)
            return false;
    }
    if (at < text.len && p[at] == 'Z')
        at++;
    if (at != text.len)
        return false;
    *ret_us = days * TN_US_PER_DAY + ((hour * 60 + minute) * 60 + second) * TN_US_PER_SECOND + us;
    return true;
}

bool tni_text_store_iso(struct tni_cw *cw, uint32_t row, struct tn_str text)
{
    int64_t us;
    int32_t date;
    switch (cw->kind) {
    case TN_K_DATE:
        if (text.len == 10 && plain_date(text.ptr, &us))
            date = (int32_t)us;
        else if (text.len < 5 || !tn_timestamp_parse(text, &us))
            return false;
        else
            date = (int32_t)tn_floor_div(us, TN_US_PER_DAY);
        tni_cw_i32(cw, row, date);
        return true;
    case TN_K_TIME:
        if (!memchr(text.ptr, ':', text.len) || !tn_time_parse(text, &us))
            return false;
        break;
    case TN_K_TIMESTAMP:
    case TN_K_TIMESTAMP_TZ:
        /* plain digits are milliseconds, also when they could be a year */
        if (!plain_timestamp(text, &us) &&
            (text.len < 5 || !memchr(text.ptr + 1, '-', text.len - 1) ||
             !tn_timestamp_parse(text, &us)))
            return false;
        break;
    default: return false;
    }
    tni_cw_i64(cw, row, us);
    return true;
}
