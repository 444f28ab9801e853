/* See cell_text.h. Calendar arithmetic is the proleptic Gregorian calendar, as everywhere in tarn.
 */
#include "sql/cell_text.h"

#include <inttypes.h>
#include <stdlib.h>

static int64_t floor_div(int64_t a, int64_t b)
{
    int64_t q = a / b;
    return a % b != 0 && (a < 0) != (b < 0) ? q - 1 : q;
}

static void add_digits(struct tn_buf *buf, int64_t value, int digits)
{
    char text[20];
    for (int i = digits - 1; i >= 0; i--) {
        text[i] = (char)('0' + value % 10);
        value /= 10;
    }
    tn_buf_add(buf, text, (size_t)digits);
}

/* Civil date of a day number: eras of 400 years, years that begin in March. */
void tni_date_print(int64_t days, struct tn_buf *buf)
{
    int64_t z = days + 719468;
    int64_t era = floor_div(z, 146097);
    int64_t doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153;
    int64_t day = doy - (153 * mp + 2) / 5 + 1;
    int64_t month = mp < 10 ? mp + 3 : mp - 9;
    int64_t year = yoe + era * 400 + (month <= 2);
    if (year < 0 || year > 9999)
        tn_buf_printf(buf, "%s%04" PRId64, year < 0 ? "-" : "+", year < 0 ? -year : year);
    else
        add_digits(buf, year, 4);
    tn_buf_add_byte(buf, '-');
    add_digits(buf, month, 2);
    tn_buf_add_byte(buf, '-');
    add_digits(buf, day, 2);
}

void tni_time_print(int64_t day_us, struct tn_buf *buf)
{
    int64_t seconds = day_us / 1000000, us = day_us % 1000000;
    add_digits(buf, seconds / 3600, 2);
    tn_buf_add_byte(buf, ':');
    add_digits(buf, seconds / 60 % 60, 2);
    tn_buf_add_byte(buf, ':');
    add_digits(buf, seconds % 60, 2);
    tn_buf_add_byte(buf, '.');
    if (us % 1000)
        add_digits(buf, us, 6);
    else
        add_digits(buf, us / 1000, 3);
}

void tni_timestamp_print(int64_t us, struct tn_buf *buf)
{
    int64_t days = floor_div(us, 86400000000);
    tni_date_print(days, buf);
    tn_buf_add_byte(buf, ' ');
    tni_time_print(us - days * 86400000000, buf);
}

void tni_interval_day_print(int64_t us, struct tn_buf *buf)
{
    uint64_t abs_us = us < 0 ? 0 - (uint64_t)us : (uint64_t)us;
    uint64_t ms = abs_us / 1000;
    tn_buf_printf(buf, "%s%" PRIu64 " %02u:%02u:%02u.%03u", us < 0 ? "-" : "", ms / 86400000,
                  (unsigned)(ms / 3600000 % 24), (unsigned)(ms / 60000 % 60),
                  (unsigned)(ms / 1000 % 60), (unsigned)(ms % 1000));
}

void tni_interval_year_print(int64_t months, struct tn_buf *buf)
{
    uint64_t abs_months = months < 0 ? 0 - (uint64_t)months : (uint64_t)months;
    tn_buf_printf(buf, "%s%" PRIu64 "-%" PRIu64, months < 0 ? "-" : "", abs_months / 12,
                  abs_months % 12);
}

void tni_base64_print(struct tn_str bytes, struct tn_buf *buf)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *p = (const unsigned char *)bytes.ptr;
    for (size_t i = 0; i < bytes.len; i += 3) {
        size_t left = bytes.len - i;
        uint32_t bits = (uint32_t)p[i] << 16;
        if (left > 1)
            bits |= (uint32_t)p[i + 1] << 8;
        if (left > 2)
            bits |= p[i + 2];
        char four[4] = {digits[bits >> 18], digits[bits >> 12 & 63],
                        left > 1 ? digits[bits >> 6 & 63] : '=',
                        left > 2 ? digits[bits & 63] : '='};
        tn_buf_add(buf, four, 4);
    }
}
