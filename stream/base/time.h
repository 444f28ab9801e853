/* Civil time without clocks or zones: proleptic Gregorian calendar, ISO 8601 text, units.
 *
 * DATE is int32 days, TIME and TIMESTAMP int64 µs since midnight and since 1970-01-01T00:00:00.
 * Years run from −9999 to 99999 in text; arithmetic reports overflow.
 * @thread any
 */
#ifndef TN_STREAM_BASE_TIME_H
#define TN_STREAM_BASE_TIME_H

#include "stream/base/buf.h"

#define TN_US_PER_MS     INT64_C(1000)
#define TN_US_PER_SECOND INT64_C(1000000)
#define TN_US_PER_MINUTE (60 * TN_US_PER_SECOND)
#define TN_US_PER_HOUR   (60 * TN_US_PER_MINUTE)
#define TN_US_PER_DAY    (24 * TN_US_PER_HOUR)
#define TN_TIME_TEXT_MAX 48

struct tn_civil {
    int64_t year;
    int month; /* 1…12 */
    int day;   /* 1…31 */
};

int64_t tn_days_of(int64_t year, int month, int day);
struct tn_civil tn_civil_of(int64_t days);
int tn_days_in_month(int64_t year, int month);
/* 1 = Monday … 7 = Sunday; 1…366; ISO 8601 week 1…53 and its year. */
int tn_day_of_week(int64_t days);
int tn_day_of_year(int64_t days);
int tn_iso_week(int64_t days, int64_t *ret_year);

/* Division that rounds towards −∞, and its remainder; `b` > 0. */
static inline int64_t tn_floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}
static inline int64_t tn_floor_mod(int64_t a, int64_t b)
{
    int64_t r = a % b;
    return r < 0 ? r + b : r;
}

/* Days in µs; stops at the ends of int64 (about 292,000 years). */
static inline int64_t tn_us_of_days(int64_t days)
{
    int64_t us;
    if (__builtin_mul_overflow(days, TN_US_PER_DAY, &us))
        us = days < 0 ? INT64_MIN : INT64_MAX;
    return us;
}

/* What a text held; parts that were absent are 0 (month and day 1). */
struct tn_datetime {
    int64_t year;
    int month, day, hour, minute, second, micro;
    bool has_time, has_zone;
    int zone_s;              /* offset east of UTC in seconds */
    struct tn_str zone_name; /* a zone named in words ("Europe/Paris"), borrowed from the text */
};

/* ISO 8601 with partial dates: YYYY[-MM[-DD]][(T| )HH[:MM[:SS[.f…]]]][Z|±HH[[:]MM]| zone name].
 * Fractions beyond µs are rounded half up. False when the text is anything else or a part is out of
 * range. Outer blanks are allowed. */
bool tn_datetime_parse(struct tn_str text, struct tn_datetime *ret_dt);
/* µs since the epoch, the zone offset applied. */
bool tn_datetime_us(const struct tn_datetime *dt, int64_t *ret_us);
bool tn_date_parse(struct tn_str text, int32_t *ret_days); /* YYYY-MM-DD, or partial */
bool tn_time_parse(struct tn_str text, int64_t *ret_us);   /* HH:MM[:SS[.f…]] */
bool tn_timestamp_parse(struct tn_str text,
                        int64_t *ret_us); /* as tn_datetime_parse; no zone names */

/* Printing; each returns the length, no NUL. `precision` 0…6 (more prints zeros). */
size_t tn_date_text(int32_t days, char text[TN_TIME_TEXT_MAX]);
size_t tn_time_text(int64_t us, int precision, char text[TN_TIME_TEXT_MAX]);
size_t tn_timestamp_text(int64_t us, int precision, char separator, char text[TN_TIME_TEXT_MAX]);
/* "2 00:00:00.000", "-1 02:03:04.500"; "1-1", "-3-0". */
size_t tn_interval_day_text(int64_t us, char text[TN_TIME_TEXT_MAX]);
size_t tn_interval_year_text(int64_t months, char text[TN_TIME_TEXT_MAX]);

enum tn_unit {
    TN_UNIT_MICROSECOND,
    TN_UNIT_MILLISECOND,
    TN_UNIT_SECOND,
    TN_UNIT_MINUTE,
    TN_UNIT_HOUR,
    TN_UNIT_DAY,
    TN_UNIT_WEEK,
    TN_UNIT_MONTH,
    TN_UNIT_QUARTER,
    TN_UNIT_YEAR,
    TN_UNIT_COUNT
};

/* "day", "DAYS", "Hour"…; false when it is no unit. */
bool tn_unit_parse(struct tn_str text, enum tn_unit *ret_unit);
/* Length of units of fixed length (microsecond … week) in µs, 0 for the others. */
int64_t tn_unit_us(enum tn_unit unit);
/* Start of the unit that holds the instant; weeks start on Monday. */
int64_t tn_timestamp_trunc(enum tn_unit unit, int64_t us);
/* Calendar units keep the day of month, clipped to the month's length. False on overflow. */
bool tn_timestamp_add(enum tn_unit unit, int64_t us, int64_t count, int64_t *ret_us);
/* Whole units from a to b, towards zero. */
int64_t tn_timestamp_diff(enum tn_unit unit, int64_t a, int64_t b);

#endif
