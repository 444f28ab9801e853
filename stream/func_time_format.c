/* Dates and times by patterns (stream/base/time_pattern.h): MySQL letters for date_format and
 * date_parse, Joda's for format_datetime and parse_datetime, Java's for the functions of stream
 * rules. A constant pattern is compiled once a batch. @thread the running one */
#include "stream/base/time.h"
#include "stream/base/time_pattern.h"
#include "stream/base/zone.h"
#include "stream/func_int.h"

/* The pattern and zone of a row; both are kept while their arguments are constant. */
struct format {
    enum tn_pattern_style style;
    uint32_t pattern_arg, zone_arg; /* zone_arg 0: none */
    struct tn_time_pattern *pattern;
    const struct tn_zone *zone;
};

static bool prepare(struct tn_call *call, uint32_t row, struct format *format)
{
    if (!format->pattern || !call->is_const[format->pattern_arg]) {
        struct tn_err err = TN_ERR_INIT;
        struct tn_str text = tni_arg_str(call, format->pattern_arg, row);
        if (tn_failed(
                tn_time_pattern_new(format->style, text, call->arena, &format->pattern, &err))) {
            tni_error_argument(call, row, "%s", err.message);
            return false;
        }
    }
    if (!format->zone_arg || (format->zone && call->is_const[format->zone_arg]))
        return true;
    struct tn_str name = tni_arg_str(call, format->zone_arg, row);
    format->zone = tn_zone_find(name);
    if (!format->zone)
        tni_error_argument(call, row, "time zone not supported: %.*s",
                           (int)(name.len < 60 ? name.len : 60), name.ptr);
    return format->zone != NULL;
}

static enum tn_pattern_style style_of(const struct tn_func *func)
{
    if (func->flags & TN_FN_STREAM)
        return TN_PATTERN_JAVA;
    return strncmp(func->name, "date_", 5) == 0 ? TN_PATTERN_MYSQL : TN_PATTERN_JODA;
}

static struct format format_of(const struct tn_call *call)
{
    return (struct format){
        .style = style_of(call->func), .pattern_arg = 1, .zone_arg = call->args_count == 3 ? 2 : 0};
}

/* µs of the argument: BIGINT is ms and INTEGER days under stream rules. */
static int64_t instant(const struct tn_call *call, uint32_t row)
{
    switch (call->args[0].type->kind) {
    case TN_K_INTEGER:
    case TN_K_DATE: return tn_us_of_days(tni_arg_i32(call, 0, row));
    case TN_K_BIGINT: {
        int64_t ms = tni_arg_i64(call, 0, row);
        return ms > INT64_MAX / 1000 || ms < INT64_MIN / 1000 ? 0 : ms * 1000;
    }
    default: return tni_arg_i64(call, 0, row);
    }
}

static void kernel_print(struct tn_call *call)
{
    struct format format = format_of(call);
    struct tni_text out;
    struct tn_buf buf;
    tn_buf_init(&buf, 1 << 20);
    tni_text_open(&out, call, (size_t)call->rows_count * 20);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        if (tni_row_ok(call, row) && prepare(call, row, &format)) {
            tn_buf_reset(&buf);
            tn_time_pattern_print(format.pattern, instant(call, row), format.zone, &buf);
            tni_text_add(&out, tn_buf_str(&buf));
        }
        tni_text_end(&out);
    }
    tn_buf_release(&buf);
    tni_text_close(&out);
}

static void put(struct tn_call *call, uint32_t row, int64_t us)
{
    switch (call->type->kind) {
    case TN_K_DATE:
    case TN_K_INTEGER:
        TNI_OUT(call, int32_t)[row] = (int32_t)tn_floor_div(us, TN_US_PER_DAY);
        break;
    case TN_K_TIME: TNI_OUT(call, int64_t)[row] = tn_floor_mod(us, TN_US_PER_DAY); break;
    case TN_K_BIGINT: TNI_OUT(call, int64_t)[row] = tn_floor_div(us, 1000); break;
    default: TNI_OUT(call, int64_t)[row] = us;
    }
}

static void kernel_parse(struct tn_call *call)
{
    struct format format = format_of(call);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        int64_t us;
        if (!tni_row_ok(call, row) || !prepare(call, row, &format))
            continue;
        struct tn_str text = tni_arg_str(call, 0, row);
        if (tn_time_pattern_parse(format.pattern, text, format.zone, &us))
            put(call, row, us);
        else
            tni_error_argument(call, row, "invalid format: \"%.*s\"",
                               (int)(text.len < 80 ? text.len : 80), text.ptr);
    }
}

#define QUERY  TN_FN_QUERY
#define STREAM TN_FN_STREAM

static const struct tn_func rows[] = {
    TNI_FN("date_format", QUERY, "ts", VARCHAR, kernel_print, "text by a MySQL pattern"),
    TNI_FN("date_format", QUERY, "zs", VARCHAR, kernel_print, "text by a MySQL pattern"),
    TNI_FN("date_parse", QUERY, "ss", TIMESTAMP, kernel_parse, "timestamp by a MySQL pattern"),
    TNI_FN("format_datetime", QUERY, "ts", VARCHAR, kernel_print, "text by a Joda pattern"),
    TNI_FN("format_datetime", QUERY, "zs", VARCHAR, kernel_print, "text by a Joda pattern"),
    TNI_FN("parse_datetime", QUERY, "ss", TIMESTAMP_TZ, kernel_parse, "instant by a Joda pattern"),
    TNI_FN("format_date", STREAM, "Ds", VARCHAR, kernel_print, "text by a Java pattern"),
    TNI_FN("format_time", STREAM, "Ts", VARCHAR, kernel_print, "text by a Java pattern"),
    TNI_FN("format_timestamp", STREAM, "ts", VARCHAR, kernel_print, "text by a Java pattern"),
    TNI_FN("format_timestamp", STREAM, "tss", VARCHAR, kernel_print,
           "text by a Java pattern, in a zone"),
    TNI_FN("datetostring", STREAM, "is", VARCHAR, kernel_print, "days since 1970 as text"),
    TNI_FN("timestamptostring", STREAM, "ls", VARCHAR, kernel_print, "epoch ms as text"),
    TNI_FN("timestamptostring", STREAM, "lss", VARCHAR, kernel_print,
           "epoch ms as text, in a zone"),
    TNI_FN("parse_date", STREAM, "ss", DATE, kernel_parse, "date by a Java pattern"),
    TNI_FN("parse_time", STREAM, "ss", TIME, kernel_parse, "time by a Java pattern"),
    TNI_FN("parse_timestamp", STREAM, "ss", TIMESTAMP, kernel_parse, "timestamp by a Java pattern"),
    TNI_FN("parse_timestamp", STREAM, "sss", TIMESTAMP, kernel_parse,
           "timestamp by a Java pattern, in a zone"),
    TNI_FN("stringtodate", STREAM, "ss", INTEGER, kernel_parse, "days since 1970 of a text"),
    TNI_FN("stringtotimestamp", STREAM, "ss", BIGINT, kernel_parse, "epoch ms of a text"),
    TNI_FN("stringtotimestamp", STREAM, "sss", BIGINT, kernel_parse,
           "epoch ms of a text, in a zone"),
};

TNI_TABLE(time_format);
