/* Civil calendar arithmetic: days are counted from 1 March of year 0 in 400-year eras, so that the
 * leap day is the last of a year and a month's first day is a linear formula (the well-known method
 * for the proleptic Gregorian calendar). Units and printing stand on it; reading is in
 * time_parse.c. @thread any */
#include "stream/base/time.h"

#include <stdio.h>

int64_t tn_days_of(int64_t year, int month, int day)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = tn_floor_div(y, 400);
    int64_t year_of_era = y - era * 400;
    int64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

struct tn_civil tn_civil_of(int64_t days)
{
    int64_t z = days + 719468;
    int64_t era = tn_floor_div(z, 146097);
    int64_t day_of_era = z - era * 146097;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t shifted = (5 * day_of_year + 2) / 153;
    struct tn_civil civil = {.day = (int)(day_of_year - (153 * shifted + 2) / 5 + 1),
                             .month = (int)(shifted < 10 ? shifted + 3 : shifted - 9)};
    civil.year = year_of_era + era * 400 + (civil.month <= 2);
    return civil;
}

static bool is_leap(int64_t year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

int tn_days_in_month(int64_t year, int month)
{
    static const int days[13] = {0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    TN_ASSERT(month >= 1 && month <= 12);
    return month == 2 && is_leap(year) ? 29 : days[month];
}

int tn_day_of_week(int64_t days)
{
    return (int)tn_floor_mod(days + 3, 7) + 1; /* 1970-01-01 was a Thursday */
}

int tn_day_of_year(int64_t days)
{
    return (int)(days - tn_days_of(tn_civil_of(days).year, 1, 1)) + 1;
}

int tn_iso_week(int64_t days, int64_t *ret_year)
{
    int64_t thursday =
        days - (tn_day_of_week(days) - 4); /* a week belongs to its Thursday's year */
    if (ret_year)
        *ret_year = tn_civil_of(thursday).year;
    return (tn_day_of_year(thursday) - 1) / 7 + 1;
}

/* ---- printing ---- */

static size_t put_year(int64_t year, char *text)
{
    if (year < 0)
        return (size_t)snprintf(text, 24, "-%04lld", (long long)-year);
    return (size_t)snprintf(text, 24, year > 9999 ? "+%lld" : "%04lld", (long long)year);
}

static char *put_2(char *to, int value)
{
    *to++ = (char)('0' + value / 10 % 10);
    *to++ = (char)('0' + value % 10);
    return to;
}

static char *put_date(char *to, int64_t days)
{
    struct tn_civil civil = tn_civil_of(days);
    to += put_year(civil.year, to);
    *to++ = '-';
    to = put_2(to, civil.month);
    *to++ = '-';
    return put_2(to, civil.day);
}

static char *put_time(char *to, int64_t us, int precision)
{
    int64_t seconds = us / TN_US_PER_SECOND;
    to = put_2(to, (int)(seconds / 3600));
    *to++ = ':';
    to = put_2(to, (int)(seconds / 60 % 60));
    *to++ = ':';
    to = put_2(to, (int)(seconds % 60));
    if (precision <= 0)
        return to;
    *to++ = '.';
    int64_t fraction = us % TN_US_PER_SECOND, unit = 100000;
    for (int i = 0; i < precision && i < 12; i++, unit /= 10)
        *to++ = unit ? (char)('0' + fraction / unit % 10) : '0';
    return to;
}

size_t tn_date_text(int32_t days, char text[TN_TIME_TEXT_MAX])
{
    return (size_t)(put_date(text, days) - text);
}

size_t tn_time_text(int64_t us, int precision, char text[TN_TIME_TEXT_MAX])
{
    return (size_t)(put_time(text, tn_floor_mod(us, TN_US_PER_DAY), precision) - text);
}

size_t tn_timestamp_text(int64_t us, int precision, char separator, char text[TN_TIME_TEXT_MAX])
{
    char *to = put_date(text, tn_floor_div(us, TN_US_PER_DAY));
    *to++ = separator;
    return (size_t)(put_time(to, tn_floor_mod(us, TN_US_PER_DAY), precision) - text);
}

size_t tn_interval_day_text(int64_t us, char text[TN_TIME_TEXT_MAX])
{
    uint64_t m = us < 0 ? 0 - (uint64_t)us : (uint64_t)us;
    char *to = text + snprintf(text, 24, us < 0 ? "-%llu " : "%llu ",
                               (unsigned long long)(m / (uint64_t)TN_US_PER_DAY));
    return (size_t)(put_time(to, (int64_t)(m % (uint64_t)TN_US_PER_DAY), 3) - text);
}

size_t tn_interval_year_text(int64_t months, char text[TN_TIME_TEXT_MAX])
{
    uint64_t m = months < 0 ? 0 - (uint64_t)months : (uint64_t)months;
    return (size_t)snprintf(text, TN_TIME_TEXT_MAX, months < 0 ? "-%llu-%llu" : "%llu-%llu",
                            (unsigned long long)(m / 12), (unsigned long long)(m % 12));
}

/* ---- units ---- */

static const struct {
    const char *name;
    int64_t us;
} units[TN_UNIT_COUNT] = {
    [TN_UNIT_MICROSECOND] = {"microsecond", 1},
    [TN_UNIT_MILLISECOND] = {"millisecond", TN_US_PER_MS},
    [TN_UNIT_SECOND] = {"second", TN_US_PER_SECOND},
    [TN_UNIT_MINUTE] = {"minute", TN_US_PER_MINUTE},
    [TN_UNIT_HOUR] = {"hour", TN_US_PER_HOUR},
    [TN_UNIT_DAY] = {"day", TN_US_PER_DAY},
    [TN_UNIT_WEEK] = {"week", 7 * TN_US_PER_DAY},
    [TN_UNIT_MONTH] = {"month", 0},
    [TN_UNIT_QUARTER] = {"quarter", 0},
    [TN_UNIT_YEAR] = {"year", 0},
};

bool tn_unit_parse(struct tn_str text, enum tn_unit *ret_unit)
{
    if (text.len > 1 && (text.ptr[text.len - 1] == 's' || text.ptr[text.len - 1] == 'S'))
        text.len--;
    for (int u = 0; u < TN_UNIT_COUNT; u++) {
        if (tn_str_eq_nocase(text, tn_str_of(units[u].name))) {
            *ret_unit = (enum tn_unit)u;
            return true;
        }
    }
    return false;
}

int64_t tn_unit_us(enum tn_unit unit)
{
    TN_ASSERT(unit < TN_UNIT_COUNT);
    return units[unit].us;
}

/* Months in the calendar units. */
static int64_t unit_months(enum tn_unit unit)
{
    return unit == TN_UNIT_MONTH ? 1 : unit == TN_UNIT_QUARTER ? 3 : 12;
}

int64_t tn_timestamp_trunc(enum tn_unit unit, int64_t us)
{
    int64_t days = tn_floor_div(us, TN_US_PER_DAY);
    if (unit == TN_UNIT_WEEK)
        return (days - (tn_day_of_week(days) - 1)) * TN_US_PER_DAY;
    if (units[unit].us)
        return us - tn_floor_mod(us, units[unit].us);
    struct tn_civil civil = tn_civil_of(days);
    int months = (int)unit_months(unit);
    int month = (civil.month - 1) / months * months + 1;
    return tn_days_of(civil.year, month, 1) * TN_US_PER_DAY;
}

static bool add_months(int64_t us, int64_t months, int64_t *ret_us)
{
    if (months > 12 * 300000 || months < -12 * 300000)
        return false;
    int64_t days = tn_floor_div(us, TN_US_PER_DAY);
    struct tn_civil civil = tn_civil_of(days);
    int64_t total = civil.year * 12 + civil.month - 1 + months;
    int64_t year = tn_floor_div(total, 12);
    int month = (int)tn_floor_mod(total, 12) + 1;
    int last = tn_days_in_month(year, month);
    int64_t moved = tn_days_of(year, month, civil.day < last ? civil.day : last);
    int64_t result;
    if (__builtin_mul_overflow(moved, TN_US_PER_DAY, &result) ||
        __builtin_add_overflow(result, tn_floor_mod(us, TN_US_PER_DAY), &result))
        return false;
    *ret_us = result;
    return true;
}

bool tn_timestamp_add(enum tn_unit unit, int64_t us, int64_t count, int64_t *ret_us)
{
    int64_t delta, result;
    if (!units[unit].us)
        return !__builtin_mul_overflow(count, unit_months(unit), &delta) &&
               add_months(us, delta, ret_us);
    if (__builtin_mul_overflow(count, units[unit].us, &delta) ||
        __builtin_add_overflow(us, delta, &result))
        return false;
    *ret_us = result;
    return true;
}

int64_t tn_timestamp_diff(enum tn_unit unit, int64_t a, int64_t b)
{
    if (units[unit].us) {
        int64_t delta;
        if (!__builtin_sub_overflow(b, a, &delta))
            return delta / units[unit].us;
        return b / units[unit].us - a / units[unit].us;
    }
    struct tn_civil from = tn_civil_of(tn_floor_div(a, TN_US_PER_DAY));
    struct tn_civil to = tn_civil_of(tn_floor_div(b, TN_US_PER_DAY));
    int64_t months = (to.year - from.year) * 12 + (to.month - from.month);
    int64_t moved = 0;
    bool is_known = add_months(a, months, &moved);
    if (is_known && months > 0 && moved > b)
        months--;
    else if (is_known && months < 0 && moved < b)
        months++;
    return months / unit_months(unit);
}
