/* Covers functions over dates and times, the three pattern notations, and time zones read from a
 * TZif file built here (one change of offset and a yearly rule). */
#include "stream/base/time_pattern.h"
#include "stream/base/zone.h"
#include "tests/unit/expr_text.h"

static const struct expr_row parts[] = {
    {'q', "(date_trunc 'hour' t)",
     "2024-02-29T13:00:00.000 | 1969-12-31T23:00:00.000 | NULL | 2023-01-01T00:00:00.000"},
    {'q', "(date_trunc 'week' t)",
     "2024-02-26T00:00:00.000 | 1969-12-29T00:00:00.000 | NULL | 2022-12-26T00:00:00.000"},
    {'q', "(date_trunc 'month' dt)", "2024-02-01 | 1969-12-01 | NULL | 2023-01-01"},
    {'q', "(date_trunc 'minute' tm)", "01:02 | 23:59 | NULL | 00:00"},
    {'q', "(date_trunc 'hour' dt)", "!INVALID_FUNCTION_ARGUMENT | ! | NULL | !"},
    {'q', "(date_trunc 'nosuch' t)", "!INVALID_FUNCTION_ARGUMENT | ! | NULL | !"},
    {'q', "(date_trunc (case (= i 1) 'day' 'year') t)",
     "2024-02-29T00:00:00.000 | 1969-01-01T00:00:00.000 | NULL | 2023-01-01T00:00:00.000"},
    {'q', "(date_add 'month' 1 dt)", "2024-03-29 | 1970-01-31 | NULL | 2023-02-01"},
    {'q', "(date_add 'hour' -1 TS'2024-01-01 00:30')", "2023-12-31T23:30:00.000"},
    {'q', "(date_add 'hour' 23 T'02:00')", "01:00"},
    {'q', "(date_diff 'day' D'2024-02-28' D'2024-03-01')", "2"},
    {'q', "(date_diff 'month' TS'2024-01-31 00:00' TS'2024-02-29 00:00')", "1"},
    {'q', "(date_diff 'second' t t)", "0 | 0 | NULL | 0"},
    {'q', "(year t)", "2024 | 1969 | NULL | 2023"},
    {'q', "(quarter dt)", "1 | 4 | NULL | 1"},
    {'q', "(month dt)", "2 | 12 | NULL | 1"},
    {'q', "(day dt)", "29 | 31 | NULL | 1"},
    {'q', "(week dt)", "9 | 1 | NULL | 52"},
    {'q', "(yow dt)", "2024 | 1970 | NULL | 2022"},
    {'q', "(dow dt)", "4 | 3 | NULL | 7"},
    {'q', "(doy dt)", "60 | 365 | NULL | 1"},
    {'q', "(hour t)", "13 | 23 | NULL | 0"},
    {'q', "(minute tm)", "2 | 59 | NULL | 0"},
    {'q', "(second t)", "15 | 59 | NULL | 0"},
    {'q', "(millisecond t)", "678 | 500 | NULL | 0"},
    {'q', "(hour IV'93784500000')", "2"},
    {'q', "(day IV'93784500000')", "1"},
    {'q', "(month IY'25')", "1"},
    {'q', "(last_day_of_month dt)", "2024-02-29 | 1969-12-31 | NULL | 2023-01-31"},
    {'q', "(date t)", "2024-02-29 | 1969-12-31 | NULL | 2023-01-01"},
    {'q', "(date '2024-05-06 07:08:09')", "2024-05-06"},
    {'q', "(cast (from_unixtime 1.5e0) TIMESTAMP)", "1970-01-01T00:00:01.500"},
    {'q', "(to_unixtime TS'1970-01-02 00:00:00.25')", "86400.25"},
    {'q', "(from_iso8601_date '2024-05-06')", "2024-05-06"},
    {'q', "(from_iso8601_date 'x')", "!INVALID_FUNCTION_ARGUMENT"},
    {'q', "(cast (from_iso8601_timestamp '2024-05-06T07:08:09+02:00') TIMESTAMP)",
     "2024-05-06T05:08:09.000"},
    {'q', "(to_iso8601 t)",
     "2024-02-29T13:14:15.678 | 1969-12-31T23:59:59.500 | NULL | 2023-01-01T00:00:00.000"},
    {'s', "(timestampadd 'HOURS' 2 t)",
     "2024-02-29T15:14:15.678 | 1970-01-01T01:59:59.500 | NULL | 2023-01-01T02:00:00.000"},
    {'s', "(timestampsub 'DAY' 1 t)",
     "2024-02-28T13:14:15.678 | 1969-12-30T23:59:59.500 | NULL | 2022-12-31T00:00:00.000"},
    {'s', "(dateadd 'DAYS' i dt)", "2024-03-01 | 1970-01-02 | NULL | 2022-12-25"},
    {'s', "(timesub 'HOURS' 2 T'01:00')", "23:00"},
    {'s', "(from_unixtime 1500)", "1970-01-01T00:00:01.500"},
    {'s', "(unix_timestamp t)", "1709212455678 | -500 | NULL | 1672531200000"},
    {'s', "(unix_date dt)", "19782 | -1 | NULL | 19358"},
    {'s', "(from_days 19782)", "2024-02-29"},
};

static const struct expr_row formats[] = {
    {'q', "(date_format t '%Y-%m-%d %H:%i:%s.%f')",
     "2024-02-29 13:14:15.678000 | 1969-12-31 23:59:59.500000 | NULL | 2023-01-01 "
     "00:00:00.000000"},
    {'q', "(date_format TS'2024-02-29 13:04:05' '%a %b %e %W %M %c %j %k %l %p %r %T %y %v %x %%')",
     "Thu Feb 29 Thursday February 2 060 13 1 PM 01:04:05 PM 13:04:05 24 09 2024 %"},
    {'q', "(date_format t '%D')", "!INVALID_FUNCTION_ARGUMENT | ! | NULL | !"},
    {'q', "(date_parse '2024-02-29 13:14:15' '%Y-%m-%d %H:%i:%s')", "2024-02-29T13:14:15.000"},
    {'q', "(date_parse '29/Feb/2024 01 pm' '%d/%b/%Y %h %p')", "2024-02-29T13:00:00.000"},
    {'q', "(date_parse '2024-02-30' '%Y-%m-%d')", "!INVALID_FUNCTION_ARGUMENT"},
    {'q', "(format_datetime TS'2024-02-29 13:04:05.678' 'yyyy-MM-dd''T''HH:mm:ss.SSSZZ EEE w')",
     "2024-02-29T13:04:05.678+00:00 Thu 9"},
    {'q', "(cast (parse_datetime '2024-02-29 13:04 +02:00' 'yyyy-MM-dd HH:mm Z') TIMESTAMP)",
     "2024-02-29T11:04:00.000"},
    {'s', "(format_timestamp t 'yyyy/MM/dd hh:mm:ss.SSS a')",
     "2024/02/29 01:14:15.678 PM | 1969/12/31 11:59:59.500 PM | NULL | 2023/01/01 12:00:00.000 AM"},
    {'s', "(format_timestamp TS'2024-02-29 13:04' 'yyyy-MM-dd HH:mm XXX' '+05:30')",
     "2024-02-29 18:34 +05:30"},
    {'s', "(format_date dt 'dd MMMM yy')",
     "29 February 24 | 31 December 69 | NULL | 01 January 23"},
    {'s', "(format_time tm 'HH:mm:ss.SSS')", "01:02:03.000 | 23:59:59.999 | NULL | 00:00:00.000"},
    {'s', "(parse_timestamp '2024-02-29T13:14:15.678' 'yyyy-MM-dd''T''HH:mm:ss.SSS')",
     "2024-02-29T13:14:15.678"},
    {'s', "(parse_timestamp '20240229131415' 'yyyyMMddHHmmss')", "2024-02-29T13:14:15.000"},
    {'s', "(parse_timestamp '2024-02-29' 'yyyy-MM-dd[ HH:mm]')", "2024-02-29T00:00:00.000"},
    {'s', "(parse_timestamp '2024-02-29 10:11' 'yyyy-MM-dd[ HH:mm]')", "2024-02-29T10:11:00.000"},
    {'s', "(parse_timestamp '2024-02-29 10' 'yyyy-MM-dd HH' '-01:00')", "2024-02-29T11:00:00.000"},
    {'s', "(parse_date '1-Mar-2024' 'd-MMM-yyyy')", "2024-03-01"},
    {'s', "(parse_date '1-3-2024' 'dd-MM-yyyy')", "!INVALID_FUNCTION_ARGUMENT"},
    {'s', "(parse_time '23:59' 'HH:mm')", "23:59"},
    {'s', "(parse_time '24:59' 'HH:mm')", "!INVALID_FUNCTION_ARGUMENT"},
    {'s', "(stringtotimestamp '1970-01-01 00:00:01' 'yyyy-MM-dd HH:mm:ss')", "1000"},
    {'s', "(timestamptostring 1000 'yyyy-MM-dd HH:mm:ss')", "1970-01-01 00:00:01"},
    {'s', "(stringtodate '2024-02-29' 'yyyy-MM-dd')", "19782"},
    {'s', "(datetostring 19782 'yyyy.MM.dd')", "2024.02.29"},
    {'s', "(format_date dt 'yyyy bbb')", "!INVALID_FUNCTION_ARGUMENT | ! | NULL | !"},
};

/* Half/Land: +1:00 before 2000-01-01T00:00Z, then +2:00, with summer time +3:00 from the last
 * Sunday of March to the last one of October. */
static bool load_zone(const char *name, struct tn_buf *buf)
{
    if (strcmp(name, "Half/Land") != 0)
        return false;
    static const unsigned char head[] = "TZif2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    for (int version = 1; version <= 2; version++) {
        uint32_t counts[6] = {0, 0, 0, 1, 2, 8}; /* isut, isstd, leap, time, type, char */
        tn_buf_add(buf, head, 20);
        for (int i = 0; i < 6; i++)
            tn_buf_add_be32(buf, counts[i]);
        if (version == 1)
            tn_buf_add_be32(buf, 946684800);
        else
            tn_buf_add_be64(buf, 946684800);
        tn_buf_add(buf, "\1", 1);
        tn_buf_add_be32(buf, 3600);
        tn_buf_add(buf, "\0\0", 2);
        tn_buf_add_be32(buf, 7200);
        tn_buf_add(buf, "\0\4", 2);
        tn_buf_add(buf, "HST\0HLT\0", 8);
    }
    tn_buf_add_text(buf, "\nHLT-2HLS,M3.5.0/3,M10.5.0/4\n");
    return true;
}

static const struct expr_row zones[] = {
    {'q', "(at_timezone TS'1999-06-01 12:00' 'Half/Land')", "1999-06-01T13:00:00.000"},
    {'q', "(at_timezone TS'2024-01-01 12:00' 'Half/Land')", "2024-01-01T14:00:00.000"},
    {'q', "(at_timezone TS'2024-07-01 12:00' 'Half/Land')", "2024-07-01T15:00:00.000"},
    {'q', "(at_timezone TS'2024-03-31 00:59' 'Half/Land')", "2024-03-31T02:59:00.000"},
    {'q', "(at_timezone TS'2024-03-31 01:00' 'Half/Land')", "2024-03-31T04:00:00.000"},
    {'q', "(at_timezone TS'2024-10-27 01:00' 'Half/Land')", "2024-10-27T03:00:00.000"},
    {'q', "(cast (with_timezone TS'2024-07-01 15:00' 'Half/Land') TIMESTAMP)",
     "2024-07-01T12:00:00.000"},
    {'q', "(cast (with_timezone TS'2024-03-31 03:30' 'Half/Land') TIMESTAMP)",
     "2024-03-31T01:30:00.000"},
    {'q', "(at_timezone TS'2024-07-01 12:00' 'No/Such')", "!INVALID_FUNCTION_ARGUMENT"},
    {'q', "(at_timezone TS'2024-07-01 12:00' '../etc/passwd')", "!INVALID_FUNCTION_ARGUMENT"},
    {'q', "(at_timezone TS'2024-07-01 12:00' '-03:30')", "2024-07-01T08:30:00.000"},
    {'q', "(cast (cast '2024-07-01 15:00 Half/Land' TZ) TIMESTAMP)", "2024-07-01T12:00:00.000"},
    {'s', "(convert_tz TS'2024-07-01 12:00' 'UTC' 'Half/Land')", "2024-07-01T15:00:00.000"},
    {'s', "(format_timestamp TS'2024-07-01 12:00' 'HH:mm VV' 'Half/Land')", "15:00 Half/Land"},
    {'s', "(parse_timestamp '2024-07-01 15:00' 'yyyy-MM-dd HH:mm' 'Half/Land')",
     "2024-07-01T12:00:00.000"},
};

int main(void)
{
    tn_arena_init(&expr_arena, 0);
    tn_zone_set_loader(load_zone);
    EXPR_TABLE(parts);
    EXPR_TABLE(formats);
    EXPR_TABLE(zones);
    tn_arena_release(&expr_arena);
    return TN_TEST_END();
}
