/* CAST between text, DATE, TIME and the timestamps. Text is ISO 8601 with partial dates
 * (stream/base/time.h); a zone offset in it is applied. Values are rounded to the precision of the
 * target type, half up. @thread the running one */
#include "stream/base/time.h"
#include "stream/base/zone.h"
#include "stream/func_cast.h"
#include "stream/func_int.h"

/* Round to `precision` fraction digits. */
static int64_t rounded(int64_t us, int precision)
{
    static const int64_t units[] = {1000000, 100000, 10000, 1000, 100, 10};
    if (precision >= 6)
        return us;
    int64_t unit = units[precision], rest = tn_floor_mod(us, unit);
    return us - rest + (rest * 2 >= unit ? unit : 0);
}

static const char *type_word(enum tn_kind kind)
{
    switch (kind) {
    case TN_K_DATE: return "date";
    case TN_K_TIME: return "time";
    case TN_K_TIMESTAMP: return "timestamp";
    default: return "timestamp with time zone";
    }
}

/* A text that names a zone in words is an instant in that zone. */
static bool parse_instant(struct tn_str text, int64_t *ret_us)
{
    struct tn_datetime dt;
    if (!tn_datetime_parse(text, &dt) || !tn_datetime_us(&dt, ret_us))
        return false;
    if (dt.zone_name.len == 0)
        return true;
    const struct tn_zone *zone = tn_zone_find(dt.zone_name);
    if (!zone)
        return false;
    *ret_us = tn_zone_to_utc(zone, *ret_us);
    return true;
}

static bool parse(struct tn_call *call, struct tn_str text, int64_t *ret_value)
{
    int32_t days;
    switch (call->type->kind) {
    case TN_K_DATE: {
        if (tn_date_parse(text, &days)) {
            *ret_value = days;
            return true;
        }
        /* stream rules take the date of a full timestamp too */
        if (tni_call_rules(call) != TN_RULES_STREAM || !parse_instant(text, ret_value))
            return false;
        *ret_value = tn_floor_div(*ret_value, TN_US_PER_DAY);
        return true;
    }
    case TN_K_TIME:
        if (!tn_time_parse(text, ret_value))
            return false;
        *ret_value = rounded(*ret_value, call->type->precision) % TN_US_PER_DAY;
        return true;
    default:
        if (!parse_instant(text, ret_value))
            return false;
        *ret_value = rounded(*ret_value, call->type->precision);
        return true;
    }
}

static void put(struct tn_call *call, uint32_t row, int64_t value)
{
    if (call->type->kind == TN_K_DATE)
        TNI_OUT(call, int32_t)[row] = (int32_t)value;
    else
        TNI_OUT(call, int64_t)[row] = value;
}

static void text_to_time(struct tn_call *call)
{
    for (uint32_t row = 0; row < call->rows_count; row++) {
        if (!tni_row_ok(call, row))
            continue;
        struct tn_str text = tn_column_str(&call->args[0], row);
        int64_t value = 0;
        if (parse(call, text, &value))
            put(call, row, value);
        else
            tni_error_cast(call, row, "value cannot be cast to %s: '%.*s'",
                           type_word(call->type->kind), (int)(text.len < 60 ? text.len : 60),
                           text.ptr);
    }
}

static void date_to_timestamp(struct tn_call *call)
{
    const int32_t *a = call->args[0].values;
    for (uint32_t row = 0; row < call->rows_count; row++)
        TNI_OUT(call, int64_t)[row] = tn_us_of_days(a[row]);
}

static void timestamp_to_date(struct tn_call *call)
{
    const int64_t *a = call->args[0].values;
    for (uint32_t row = 0; row < call->rows_count; row++)
        TNI_OUT(call, int32_t)[row] = (int32_t)tn_floor_div(a[row], TN_US_PER_DAY);
}

static void timestamp_to_time(struct tn_call *call)
{
    const int64_t *a = call->args[0].values;
    for (uint32_t row = 0; row < call->rows_count; row++)
        TNI_OUT(call, int64_t)
    [row] = tn_floor_mod(rounded(a[row], call->type->precision), TN_US_PER_DAY);
}

/* TIMESTAMP and TIMESTAMP WITH TIME ZONE share their layout: the session zone is UTC. */
static void round_time(struct tn_call *call)
{
    if (call->type->precision >= call->args[0].type->precision) {
        tni_same_as(call, 0);
        return;
    }
    const int64_t *a = call->args[0].values;
    for (uint32_t row = 0; row < call->rows_count; row++)
        TNI_OUT(call, int64_t)[row] = rounded(a[row], call->type->precision);
}

tn_kernel tni_cast_time_kernel(const struct tn_type *from, const struct tn_type *to,
                               enum tn_rules rules)
{
    bool is_from_instant = from->kind == TN_K_TIMESTAMP || from->kind == TN_K_TIMESTAMP_TZ;
    bool is_to_instant = to->kind == TN_K_TIMESTAMP || to->kind == TN_K_TIMESTAMP_TZ;
    if (rules == TN_RULES_STREAM && to->kind == TN_K_TIMESTAMP_TZ)
        return NULL;
    if (from->kind == TN_K_VARCHAR)
        return to->kind == TN_K_DATE || to->kind == TN_K_TIME || is_to_instant ? text_to_time
                                                                               : NULL;
    if (from->kind == TN_K_DATE)
        return is_to_instant ? date_to_timestamp : NULL;
    if (from->kind == TN_K_TIME)
        return to->kind == TN_K_TIME ? round_time : NULL;
    if (!is_from_instant)
        return NULL;
    if (to->kind == TN_K_DATE)
        return timestamp_to_date;
    if (to->kind == TN_K_TIME)
        return timestamp_to_time;
    return is_to_instant ? round_time : NULL;
}
