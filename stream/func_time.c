/* Dates and times: parts, truncation, arithmetic in units, Unix times, zones. Patterns are in
 * func_time_format.c.
 *
 * TIMESTAMP WITH TIME ZONE is an instant (µs UTC) without a zone of its own, shown in UTC. So x AT
 * TIME ZONE 'z' (at_timezone) gives the wall clock of that zone as a TIMESTAMP: truncating,
 * extracting and printing it do what they do in Trino. with_timezone(t, 'z') is the instant at
 * which that zone shows t. @thread the running one */
#include <stdio.h>

#include "stream/base/time.h"
#include "stream/base/zone.h"
#include "stream/func_int.h"

/* µs since the epoch of an argument that is a DATE, TIME or timestamp. */
static int64_t instant(const struct tn_call *call, uint32_t arg, uint32_t row)
{
    if (call->args[arg].type->kind == TN_K_DATE)
        return tn_us_of_days(tni_arg_i32(call, arg, row));
    return tni_arg_i64(call, arg, row);
}

static void put_instant(struct tn_call *call, uint32_t row, int64_t us)
{
    if (call->type->kind == TN_K_DATE)
        TNI_OUT(call, int32_t)[row] = (int32_t)tn_floor_div(us, TN_US_PER_DAY);
    else
        TNI_OUT(call, int64_t)
    [row] = call->type->kind == TN_K_TIME ? tn_floor_mod(us, TN_US_PER_DAY) : us;
}

static const char *kind_word(enum tn_kind kind)
{
    return kind == TN_K_DATE ? "DATE" : kind == TN_K_TIME ? "TIME" : "TIMESTAMP";
}

/* The unit named by argument `arg`, allowed for the kind; fails the row. */
static bool unit_of(struct tn_call *call, uint32_t arg, uint32_t row, enum tn_kind kind,
                    enum tn_unit *ret_unit)
{
    struct tn_str name = tni_arg_str(call, arg, row);
    bool is_known = tn_unit_parse(name, ret_unit);
    if (is_known && kind == TN_K_DATE)
        is_known = *ret_unit >= TN_UNIT_DAY;
    if (is_known && kind == TN_K_TIME)
        is_known = *ret_unit < TN_UNIT_DAY;
    if (!is_known)
        tni_error_argument(call, row, "'%.*s' is not a valid %s field",
                           (int)(name.len < 40 ? name.len : 40), name.ptr, kind_word(kind));
    return is_known;
}

/* ---- truncation, addition, difference ---- */

/* Constant unit of fixed length: plain arithmetic over the column. */
static bool trunc_fast(struct tn_call *call)
{
    enum tn_unit unit;
    if (!call->is_const[0] || call->is_const[1] || call->args[1].type->kind == TN_K_DATE ||
        !tn_unit_parse(tni_arg_str(call, 0, 0), &unit) || unit == TN_UNIT_WEEK ||
        !tn_unit_us(unit) || (call->args[1].type->kind == TN_K_TIME && unit >= TN_UNIT_DAY))
        return false;
    const int64_t *a = call->args[1].values, us = tn_unit_us(unit);
    for (uint32_t row = 0; row < call->rows_count; row++)
        TNI_OUT(call, int64_t)[row] = a[row] - tn_floor_mod(a[row], us);
    return true;
}

static void kernel_date_trunc(struct tn_call *call)
{
    if (trunc_fast(call))
        return;
    enum tn_unit unit = TN_UNIT_DAY;
    for (uint32_t row = 0; row < call->rows_count; row++)
        if (tni_row_ok(call, row) && unit_of(call, 0, row, call->args[1].type->kind, &unit))
            put_instant(call, row, tn_timestamp_trunc(unit, instant(call, 1, row)));
}

/* date_add(unit, n, x); the names that end in "sub" take it away. */
static void kernel_date_add(struct tn_call *call)
{
    const char *name = call->func->name;
    bool is_minus = strcmp(name + strlen(name) - 3, "sub") == 0;
    enum tn_unit unit = TN_UNIT_DAY;
    for (uint32_t row = 0; row < call->rows_count; row++) {
        int64_t count = tni_arg_i64(call, 1, row), us;
        if (!tni_row_ok(call, row) || !unit_of(call, 0, row, call->type->kind, &unit))
            continue;
        if (is_minus)
            count = count == INT64_MIN ? INT64_MAX : -count;
        if (!tn_timestamp_add(unit, instant(call, 2, row), count, &us))
            tni_error_range(call, row, "timestamp out of range");
        else
            put_instant(call, row, us);
    }
}

static void kernel_date_diff(struct tn_call *call)
{
    enum tn_unit unit = TN_UNIT_DAY;
    for (uint32_t row = 0; row < call->rows_count; row++)
        if (tni_row_ok(call, row) && unit_of(call, 0, row, call->args[1].type->kind, &unit))
            TNI_OUT(call, int64_t)
    [row] = tn_timestamp_diff(unit, instant(call, 1, row), instant(call, 2, row));
}

static void kernel_last_day(struct tn_call *call)
{
    for (uint32_t row = 0; row < call->rows_count; row++) {
        struct tn_civil civil = tn_civil_of(tn_floor_div(instant(call, 0, row), TN_US_PER_DAY));
        int last = tn_days_in_month(civil.year, civil.month);
        TNI_OUT(call, int32_t)[row] = (int32_t)tn_days_of(civil.year, civil.month, last);
    }
}

/* ---- parts ---- */

#define DATE_PART(NAME, EXPR)                                                                      \
    static void NAME(struct tn_call *call)                                                         \
    {                                                                                              \
        for (uint32_t row = 0; row < call->rows_count; row++) {                                    \
            int64_t days = tn_floor_div(instant(call, 0, row), TN_US_PER_DAY), year = 0;           \
            struct tn_civil civil = tn_civil_of(days);                                             \
            (void)civil;                                                                           \
            (void)year;                                                                            \
            TNI_OUT(call, int64_t)[row] = (EXPR);                                                  \
        }                                                                                          \
    }

DATE_PART(kernel_year, civil.year)
DATE_PART(kernel_quarter, (civil.month + 2) / 3)
DATE_PART(kernel_month, civil.month)
DATE_PART(kernel_day, civil.day)
DATE_PART(kernel_week, tn_iso_week(days, NULL))
DATE_PART(kernel_week_year, (tn_iso_week(days, &year), year))
DATE_PART(kernel_day_of_week, tn_day_of_week(days))
DATE_PART(kernel_day_of_year, tn_day_of_year(days))

#define TIME_PART(NAME, EXPR)                                                                      \
    static void NAME(struct tn_call *call)                                                         \
    {                                                                                              \
        for (uint32_t row = 0; row < call->rows_count; row++) {                                    \
            int64_t us = tn_floor_mod(instant(call, 0, row), TN_US_PER_DAY);                       \
            TNI_OUT(call, int64_t)[row] = (EXPR);                                                  \
        }                                                                                          \
    }

TIME_PART(kernel_hour, us / TN_US_PER_HOUR)
TIME_PART(kernel_minute, us / TN_US_PER_MINUTE % 60)
TIME_PART(kernel_second, us / TN_US_PER_SECOND % 60)
TIME_PART(kernel_millisecond, us / 1000 % 1000)
TIME_PART(kernel_zero, us * 0)

#define INTERVAL_PART(NAME, EXPR)                                                                  \
    static void NAME(struct tn_call *call)                                                         \
    {                                                                                              \
        const int64_t *a = call->args[0].values;                                                   \
        for (uint32_t row = 0; row < call->rows_count; row++) {                                    \
            int64_t x = a[row];                                                                    \
            TNI_OUT(call, int64_t)[row] = (EXPR);                                                  \
        }                                                                                          \
    }

INTERVAL_PART(kernel_interval_year, x / 12)
INTERVAL_PART(kernel_interval_month, x % 12)
INTERVAL_PART(kernel_interval_day, x / TN_US_PER_DAY)
INTERVAL_PART(kernel_interval_hour, x / TN_US_PER_HOUR % 24)
INTERVAL_PART(kernel_interval_minute, x / TN_US_PER_MINUTE % 60)
INTERVAL_PART(kernel_interval_second, x / TN_US_PER_SECOND % 60)
INTERVAL_PART(kernel_interval_ms, x / 1000 % 1000)
INTERVAL_PART(kernel_to_milliseconds, x / 1000)

/* ---- Unix times ---- */

static void kernel_from_unixtime(struct tn_call *call)
{
    for (uint32_t row = 0; row < call->rows_count; row++) {
        if (!tni_row_ok(call, row))
            continue;
        double ms = round(tni_arg_f64(call, 0, row) * 1000); /* Trino keeps milliseconds */
        if (!(fabs(ms) < 9.2e15))
            tni_error_range(call, row, "timestamp out of range");
        else
            TNI_OUT(call, int64_t)[row] = (int64_t)ms * 1000;
    }
}

static void kernel_from_unixtime_nanos(struct tn_call *call)
{
    for (uint32_t row = 0; row < call->rows_count; row++)
        TNI_OUT(call, int64_t)[row] = tn_floor_div(tni_arg_i64(call, 0, row), 1000);
}

static void kernel_to_unixtime(struct tn_call *call)
{
    for (uint32_t row = 0; row < call->rows_count; row++)
        TNI_OUT(call, double)[row] = (double)instant(call, 0, row) / 1e6;
}

/* ksqlDB counts milliseconds. */
static void kernel_from_ms(struct tn_call *call)
{
    for (uint32_t row = 0; row < call->rows_count; row++) {
        int64_t us = 0;
        if (__builtin_mul_overflow(tni_arg_i64(call, 0, row), 1000, &us) && tni_row_ok(call, row))
            tni_error_range(call, row, "timestamp out of range");
        TNI_OUT(call, int64_t)[row] = us;
    }
}

static void kernel_to_ms(struct tn_call *call)
{
    for (uint32_t row = 0; row < call->rows_count; row++)
        TNI_OUT(call, int64_t)[row] = tn_floor_div(tni_arg_i64(call, 0, row), 1000);
}

/* DATE and the number of its days share their layout. */
static void kernel_same_days(struct tn_call *call)
{
    tni_same_as(call, 0);
}

/* ---- conversions ---- */

static void to_date(struct tn_call *call)
{
    for (uint32_t row = 0; row < call->rows_count; row++)
        put_instant(call, row, instant(call, 0, row));
}

/* from_iso8601_date, from_iso8601_timestamp, date(varchar) */
static void kernel_from_iso(struct tn_call *call)
{
    for (uint32_t row = 0; row < call->rows_count; row++) {
        if (!tni_row_ok(call, row))
            continue;
        struct tn_str text = tni_arg_str(call, 0, row);
        struct tn_datetime dt;
        int64_t us = 0;
        const struct tn_zone *zone = NULL;
        bool is_ok = tn_datetime_parse(text, &dt) && tn_datetime_us(&dt, &us);
        if (is_ok && dt.zone_name.len)
            is_ok = (zone = tn_zone_find(dt.zone_name)) != NULL;
        if (is_ok && call->type->kind == TN_K_DATE)
            is_ok = !dt.has_time || call->func->name[0] == 'd';
        if (!is_ok)
            tni_error_argument(call, row, "invalid format: \"%.*s\"",
                               (int)(text.len < 60 ? text.len : 60), text.ptr);
        else
            put_instant(call, row, zone ? tn_zone_to_utc(zone, us) : us);
    }
}

/* An instant in the zone of its type, with Z or the offset. */
static size_t iso_instant(const struct tn_type *type, int64_t us, char *to)
{
    int32_t offset_s = type->zone ? tn_zone_offset_s(type->zone, us) : 0;
    int64_t local_us = type->zone ? tn_zone_to_local(type->zone, us) : us;
    size_t len = tn_timestamp_text(local_us, type->precision, 'T', to);
    if (offset_s == 0) {
        to[len] = 'Z';
        return len + 1;
    }
    int minutes = (offset_s < 0 ? -offset_s : offset_s) / 60;
    return len + (size_t)snprintf(to + len, 8, "%c%02d:%02d", offset_s < 0 ? '-' : '+',
                                  minutes / 60 % 24, minutes % 60);
}

static void kernel_to_iso(struct tn_call *call)
{
    struct tni_text out;
    enum tn_kind kind = call->args[0].type->kind;
    tni_text_open(&out, call, (size_t)call->rows_count * 24);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        if (tni_row_ok(call, row)) {
            char *to = tni_text_reserve(&out, TN_TIME_TEXT_MAX + 8);
            if (kind == TN_K_DATE)
                out.len += tn_date_text(tni_arg_i32(call, 0, row), to);
            else if (kind == TN_K_TIMESTAMP_TZ)
                out.len += iso_instant(call->args[0].type, tni_arg_i64(call, 0, row), to);
            else
                out.len += tn_timestamp_text(tni_arg_i64(call, 0, row),
                                             call->args[0].type->precision, 'T', to);
        }
        tni_text_end(&out);
    }
    tni_text_close(&out);
}

/* ---- zones ---- */

static const struct tn_zone *zone_of(struct tn_call *call, uint32_t arg, uint32_t row)
{
    struct tn_str name = tni_arg_str(call, arg, row);
    const struct tn_zone *zone = tn_zone_find(name);
    if (!zone)
        tni_error_argument(call, row, "time zone not supported: %.*s",
                           (int)(name.len < 60 ? name.len : 60), name.ptr);
    return zone;
}

static void kernel_at_timezone(struct tn_call *call)
{
    const struct tn_zone *zone = NULL;
    for (uint32_t row = 0; row < call->rows_count; row++) {
        if (!tni_row_ok(call, row))
            continue;
        if (!zone || !call->is_const[1])
            zone = zone_of(call, 1, row);
        if (zone)
            TNI_OUT(call, int64_t)[row] = tn_zone_to_local(zone, tni_arg_i64(call, 0, row));
    }
}

static void kernel_with_timezone(struct tn_call *call)
{
    for (uint32_t row = 0; row < call->rows_count; row++) {
        if (!tni_row_ok(call, row))
            continue;
        const struct tn_zone *zone = zone_of(call, 1, row);
        if (zone)
            TNI_OUT(call, int64_t)[row] = tn_zone_to_utc(zone, tni_arg_i64(call, 0, row));
    }
}

/* CONVERT_TZ(t, from, to) */
static void kernel_convert_tz(struct tn_call *call)
{
    for (uint32_t row = 0; row < call->rows_count; row++) {
        if (!tni_row_ok(call, row))
            continue;
        const struct tn_zone *from = zone_of(call, 1, row);
        const struct tn_zone *to = from ? zone_of(call, 2, row) : NULL;
        if (to)
            TNI_OUT(call, int64_t)
        [row] = tn_zone_to_local(to, tn_zone_to_utc(from, tni_arg_i64(call, 0, row)));
    }
}

/* ---- types: the result is of the type of the last argument ---- */

static enum tn_status resolve_last(const struct tn_func *func, const struct tn_type **arg_types,
                                   uint32_t args_count, struct tn_arena *arena,
                                   const struct tn_type **ret_type)
{
    (void)func;
    (void)arena;
    *ret_type = arg_types[args_count - 1];
    return TN_OK;
}

#define QUERY  TN_FN_QUERY
#define STREAM TN_FN_STREAM

#define ON_DATES(NAME, FN, HELP)                                                                   \
    TNI_FN(NAME, QUERY, "D", BIGINT, FN, HELP), TNI_FN(NAME, QUERY, "t", BIGINT, FN, HELP),        \
        TNI_FN(NAME, QUERY, "z", BIGINT, FN, HELP)
#define ON_TIMES(NAME, FN, HELP)                                                                   \
    TNI_FN(NAME, QUERY, "T", BIGINT, FN, HELP), TNI_FN(NAME, QUERY, "t", BIGINT, FN, HELP),        \
        TNI_FN(NAME, QUERY, "z", BIGINT, FN, HELP)
#define TYPED_4(NAME, BEFORE, FN, HELP)                                                            \
    TNI_FN_TYPED(NAME, QUERY, BEFORE "D", resolve_last, FN, HELP),                                 \
        TNI_FN_TYPED(NAME, QUERY, BEFORE "t", resolve_last, FN, HELP),                             \
        TNI_FN_TYPED(NAME, QUERY, BEFORE "z", resolve_last, FN, HELP),                             \
        TNI_FN_TYPED(NAME, QUERY, BEFORE "T", resolve_last, FN, HELP)

static const struct tn_func rows[] = {
    TYPED_4("date_trunc", "s", kernel_date_trunc, "start of the unit that holds x"),
    TYPED_4("date_add", "sl", kernel_date_add, "x plus n units"),
    TNI_FN("date_diff", QUERY, "sDD", BIGINT, kernel_date_diff, "whole units from a to b"),
    TNI_FN("date_diff", QUERY, "stt", BIGINT, kernel_date_diff, "whole units from a to b"),
    TNI_FN("date_diff", QUERY, "szz", BIGINT, kernel_date_diff, "whole units from a to b"),
    TNI_FN("date_diff", QUERY, "sTT", BIGINT, kernel_date_diff, "whole units from a to b"),
    TNI_FN("timestampadd", STREAM, "slt", TIMESTAMP, kernel_date_add, "t plus n units"),
    TNI_FN("timestampsub", STREAM, "slt", TIMESTAMP, kernel_date_add, "t minus n units"),
    TNI_FN("dateadd", STREAM, "slD", DATE, kernel_date_add, "date plus n units"),
    TNI_FN("datesub", STREAM, "slD", DATE, kernel_date_add, "date minus n units"),
    TNI_FN("timeadd", STREAM, "slT", TIME, kernel_date_add, "time plus n units"),
    TNI_FN("timesub", STREAM, "slT", TIME, kernel_date_add, "time minus n units"),
    TNI_FN("last_day_of_month", QUERY, "D", DATE, kernel_last_day, "last day of the month"),
    TNI_FN("last_day_of_month", QUERY, "t", DATE, kernel_last_day, "last day of the month"),
    TNI_FN("last_day_of_month", QUERY, "z", DATE, kernel_last_day, "last day of the month"),
    ON_DATES("year", kernel_year, "year"),
    ON_DATES("quarter", kernel_quarter, "quarter, 1 to 4"),
    ON_DATES("month", kernel_month, "month, 1 to 12"),
    ON_DATES("week", kernel_week, "ISO week, 1 to 53"),
    ON_DATES("week_of_year", kernel_week, "ISO week, 1 to 53"),
    ON_DATES("year_of_week", kernel_week_year, "year of the ISO week"),
    ON_DATES("yow", kernel_week_year, "year of the ISO week"),
    ON_DATES("day", kernel_day, "day of the month"),
    ON_DATES("day_of_month", kernel_day, "day of the month"),
    ON_DATES("day_of_week", kernel_day_of_week, "1 = Monday to 7 = Sunday"),
    ON_DATES("dow", kernel_day_of_week, "1 = Monday to 7 = Sunday"),
    ON_DATES("day_of_year", kernel_day_of_year, "1 to 366"),
    ON_DATES("doy", kernel_day_of_year, "1 to 366"),
    ON_TIMES("hour", kernel_hour, "hour, 0 to 23"),
    ON_TIMES("minute", kernel_minute, "minute, 0 to 59"),
    ON_TIMES("second", kernel_second, "second, 0 to 59"),
    ON_TIMES("millisecond", kernel_millisecond, "millisecond of the second"),
    TNI_FN("timezone_hour", QUERY, "z", BIGINT, kernel_zero, "hours of the zone offset"),
    TNI_FN("timezone_minute", QUERY, "z", BIGINT, kernel_zero, "minutes of the zone offset"),
    TNI_FN("year", QUERY, "w", BIGINT, kernel_interval_year, "years of the interval"),
    TNI_FN("month", QUERY, "w", BIGINT, kernel_interval_month, "months of the interval"),
    TNI_FN("day", QUERY, "v", BIGINT, kernel_interval_day, "days of the interval"),
    TNI_FN("hour", QUERY, "v", BIGINT, kernel_interval_hour, "hours of the interval"),
    TNI_FN("minute", QUERY, "v", BIGINT, kernel_interval_minute, "minutes of the interval"),
    TNI_FN("second", QUERY, "v", BIGINT, kernel_interval_second, "seconds of the interval"),
    TNI_FN("millisecond", QUERY, "v", BIGINT, kernel_interval_ms, "milliseconds of the interval"),
    TNI_FN("to_milliseconds", QUERY, "v", BIGINT, kernel_to_milliseconds,
           "the interval in milliseconds"),
    TNI_FN("from_unixtime", QUERY, "d", TIMESTAMP_TZ, kernel_from_unixtime,
           "instant from seconds since 1970"),
    TNI_FN("from_unixtime_nanos", QUERY, "l", TIMESTAMP_TZ, kernel_from_unixtime_nanos,
           "instant from nanoseconds since 1970"),
    TNI_FN("to_unixtime", QUERY, "t", DOUBLE, kernel_to_unixtime, "seconds since 1970"),
    TNI_FN("to_unixtime", QUERY, "z", DOUBLE, kernel_to_unixtime, "seconds since 1970"),
    TNI_FN("from_unixtime", STREAM, "l", TIMESTAMP, kernel_from_ms,
           "timestamp from milliseconds since 1970"),
    TNI_FN("unix_timestamp", STREAM, "t", BIGINT, kernel_to_ms, "milliseconds since 1970"),
    TNI_FN("unix_date", STREAM, "D", INTEGER, kernel_same_days, "days since 1970-01-01"),
    TNI_FN("from_days", STREAM, "i", DATE, kernel_same_days, "date from days since 1970-01-01"),
    TNI_FN("date", QUERY, "s", DATE, kernel_from_iso, "date of a text"),
    TNI_FN("date", QUERY, "D", DATE, to_date, "date of x"),
    TNI_FN("date", QUERY, "t", DATE, to_date, "date of x"),
    TNI_FN("date", QUERY, "z", DATE, to_date, "date of x"),
    TNI_FN("from_iso8601_date", QUERY, "s", DATE, kernel_from_iso, "date of ISO 8601 text"),
    TNI_FN("from_iso8601_timestamp", QUERY, "s", TIMESTAMP_TZ, kernel_from_iso,
           "instant of ISO 8601 text"),
    TNI_FN("to_iso8601", QUERY, "D", VARCHAR, kernel_to_iso, "ISO 8601 text"),
    TNI_FN("to_iso8601", QUERY, "t", VARCHAR, kernel_to_iso, "ISO 8601 text"),
    TNI_FN("to_iso8601", QUERY, "z", VARCHAR, kernel_to_iso, "ISO 8601 text"),
    TNI_FN("at_timezone", QUERY, "zs", TIMESTAMP, kernel_at_timezone, "wall clock of a zone"),
    TNI_FN("at_timezone", QUERY, "ts", TIMESTAMP, kernel_at_timezone,
           "wall clock of a zone; x is UTC"),
    TNI_FN("with_timezone", QUERY, "ts", TIMESTAMP_TZ, kernel_with_timezone,
           "instant at which a zone shows t"),
    TNI_FN("convert_tz", STREAM, "tss", TIMESTAMP, kernel_convert_tz,
           "wall clock of one zone as that of another"),
};

TNI_TABLE(time);
