/* Covers stream/base/{dtoa,decimal,utf8,time}: known values, and round trips over many generated
 * ones. */
#include <math.h>
#include <stdlib.h>

#include "stream/base/decimal.h"
#include "stream/base/dtoa.h"
#include "stream/base/time.h"
#include "stream/base/utf8.h"
#include "tests/check.h"

static uint64_t seed = 42;

static uint64_t next_random(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

static void check_double(double value, const char *want)
{
    char text[TN_DOUBLE_TEXT_MAX];
    CHECK_STR(((struct tn_str){text, tn_double_text(value, text)}), want);
}

static void test_double_text(void)
{
    static const struct {
        double value;
        const char *text;
    } rows[] = {{100, "100.0"},
                {0, "0.0"},
                {-0.0, "-0.0"},
                {0.1 + 0.2, "0.30000000000000004"},
                {1e7, "1.0E7"},
                {9999999, "9999999.0"},
                {0.001, "0.001"},
                {0.00099, "9.9E-4"},
                {1.5, "1.5"},
                {123456.789, "123456.789"},
                {1e20, "1.0E20"},
                {1.7976931348623157e308, "1.7976931348623157E308"},
                {5e-324, "4.9E-324"},
                {-12.25, "-12.25"},
                {2e23, "2.0E23"},
                {9007199254740993.0, "9.007199254740992E15"},
                {1234567.875, "1234567.875"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        check_double(rows[i].value, rows[i].text);
    check_double((double)NAN, "NaN");
    check_double(-(double)INFINITY, "-Infinity");
    char text[TN_DOUBLE_TEXT_MAX];
    CHECK_STR(((struct tn_str){text, tn_double_text_exponent(1.5, text)}), "1.5E0");
    CHECK_STR(((struct tn_str){text, tn_double_text_exponent(-1000, text)}), "-1.0E3");
    CHECK_STR(((struct tn_str){text, tn_double_text_exponent(0, text)}), "0E0");
}

static void test_double_round_trip(void)
{
    for (int i = 0; i < 20000; i++) {
        uint64_t bits = next_random();
        double value, back = 0;
        memcpy(&value, &bits, 8);
        if (i % 2)
            value = (double)(int64_t)(bits % 2000000000) / 1000.0;
        if (isnan(value))
            continue;
        char text[TN_DOUBLE_TEXT_MAX];
        size_t len = tn_double_text(value, text);
        CHECK(len < TN_DOUBLE_TEXT_MAX);
        CHECK(tn_double_parse((struct tn_str){text, len}, &back) && back == value);
    }
}

static void test_double_parse(void)
{
    static const char *const good[] = {"1",
                                       "-1.5",
                                       "+2",
                                       "1e3",
                                       "1.E2",
                                       ".5",
                                       "1e-400",
                                       "1e400",
                                       "123456789012345678901234567890",
                                       "0.000000000000000000001",
                                       "9007199254740993",
                                       "1.7976931348623157e308"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        double value = -1;
        CHECK(tn_double_parse(tn_str_of(good[i]), &value) && value == strtod(good[i], NULL));
    }
    static const char *const bad[] = {"",   "-",    ".",   "1e",  "1x",
                                      " 1", "0x10", "inf", "nan", "1.2.3"};
    double value;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK(!tn_double_parse(tn_str_of(bad[i]), &value));
}

static void check_decimal(const char *text, int precision, int scale, const char *want)
{
    tn_int128 value;
    char out[TN_DECIMAL_TEXT_MAX];
    bool ok = tn_decimal_parse(tn_str_of(text), precision, scale, &value);
    CHECK(ok == (want != NULL));
    if (ok && want)
        CHECK_STR(((struct tn_str){out, tn_decimal_text(value, scale, out)}), want);
}

static void test_decimal_text(void)
{
    check_decimal("10.1", 4, 2, "10.10");
    check_decimal("-0.05", 4, 2, "-0.05");
    check_decimal("0", 4, 2, "0.00");
    check_decimal("1.005", 4, 2, "1.01");
    check_decimal("-1.005", 4, 2, "-1.01");
    check_decimal("99.995", 4, 2, NULL);
    check_decimal("1e2", 5, 1, "100.0");
    check_decimal("125e-2", 5, 1, "1.3");
    check_decimal("99999999999999999999999999999999999999", 38, 0,
                  "99999999999999999999999999999999999999");
    check_decimal("99999999999999999999999999999999999999.5", 38, 0, NULL);
    check_decimal("0.00000000000000000000000000000000000001", 38, 38,
                  "0.00000000000000000000000000000000000001");
    check_decimal("1e-100", 5, 2, "0.00");
    check_decimal("1e100", 5, 2, NULL);
    check_decimal("", 5, 2, NULL);
    check_decimal("1.2.3", 5, 2, NULL);
    check_decimal("abc", 5, 2, NULL);
    tn_int128 value;
    CHECK(tn_decimal_parse_exact(TN_STR("1.50"), 4, 1, &value) && value == 15);
    CHECK(!tn_decimal_parse_exact(TN_STR("1.55"), 4, 1, &value));
    CHECK(tn_decimal_from_double(0.1, 10, 3, &value) && value == 100);
    CHECK(tn_decimal_from_double(-2.5, 10, 0, &value) && value == -3);
    CHECK(!tn_decimal_from_double((double)NAN, 10, 0, &value));
    CHECK(tn_decimal_to_double(12345, 3) == 12.345);
    CHECK(tn_decimal_to_double(tn_decimal_ten(38) - 1, 0) == 1e38);
}

static void test_decimal_math(void)
{
    tn_int128 value;
    bool is_exact;
    tn_int128 big = tn_decimal_ten(38) - 1;
    CHECK(!tn_decimal_add(big, 1, &value));
    CHECK(tn_decimal_add(big, -1, &value) && value == big - 1);
    CHECK(!tn_decimal_mul(big, 10, 0, 0, &value));
    CHECK(tn_decimal_mul(big, big, 38, 0, &value) && value == big - 1);
    CHECK(tn_decimal_mul(15, -15, 2, 1, &value) && value == -23);
    CHECK(tn_decimal_div(1, 3, 6, &value, &is_exact) && value == 333333 && !is_exact);
    CHECK(tn_decimal_div(-2, 3, 6, &value, &is_exact) && value == -666667);
    CHECK(tn_decimal_div(10, 4, 1, &value, &is_exact) && value == 25 && is_exact);
    CHECK(tn_decimal_div(big, 7, 3, &value, &is_exact) == false);
    CHECK(tn_decimal_div(big, big, 37, &value, &is_exact) && value == tn_decimal_ten(37));
    CHECK(tn_decimal_rescale(1250, 3, 1, &value, &is_exact) && value == 13 && !is_exact);
    CHECK(!tn_decimal_rescale(big, 0, 1, &value, NULL));
}

static void test_utf8(void)
{
    CHECK(tn_utf8_ok("plain ascii text, long", 22) && tn_utf8_ok("", 0));
    CHECK(tn_utf8_ok("z\xC3\xA9\xE2\x82\xAC\xF0\x9F\x8E\xB5", 10));
    static const char *const bad[] = {"\x80",         "\xC0\xAF",         "\xE0\x80\x80",
                                      "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xC3",
                                      "\xE2\x82",     "abcdefgh\xFF",     "\xF8\x88\x80\x80\x80"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK(!tn_utf8_ok(bad[i], strlen(bad[i])));
    CHECK_INT(tn_utf8_prefix("abcdefghi\xFF", 10), 9);
    struct tn_str text = TN_STR("z\xC3\xA9\xE2\x82\xAC\xF0\x9F\x8E\xB5");
    CHECK_INT(tn_utf8_count(text), 4);
    CHECK_INT(tn_utf8_count_utf16(text), 5);
    CHECK_INT(tn_utf8_offset(text, 2), 3);
    CHECK_INT(tn_utf8_offset(text, 9), 10);
    CHECK(tn_code_lower(0xC9) == 0xE9 && tn_code_upper(0xE9) == 0xC9);
    CHECK(tn_code_upper(0xDF) == 0xDF && tn_code_lower('Q') == 'q' && tn_code_upper('q') == 'Q');
    CHECK(tn_code_lower(0x0416) == 0x0436 && tn_code_upper(0x1E9B) == 0x1E60);
    for (uint32_t code = 0; code < 0x11000; code++) {
        char bytes[4];
        size_t len = tn_utf8_put(code, bytes);
        const char *p = bytes;
        uint32_t want = code >= 0xD800 && code <= 0xDFFF ? 0xFFFD : code;
        CHECK(tn_utf8_next(&p, bytes + len) == want && p == bytes + len);
    }
    struct tn_buf buf;
    tn_buf_init(&buf, 100);
    tn_utf8_repair(TN_STR("a\xFF"
                          "b\xC3"),
                   &buf);
    CHECK_STR(tn_buf_str(&buf), "a\xEF\xBF\xBD"
                                "b\xEF\xBF\xBD");
    tn_buf_release(&buf);
}

static void test_calendar(void)
{
    CHECK_INT(tn_days_of(1970, 1, 1), 0);
    CHECK_INT(tn_days_of(2000, 3, 1), 11017);
    for (int64_t days = -800000; days < 800000; days += 13) {
        struct tn_civil c = tn_civil_of(days);
        CHECK(tn_days_of(c.year, c.month, c.day) == days);
        CHECK(c.day <= tn_days_in_month(c.year, c.month));
    }
    CHECK_INT(tn_day_of_week(tn_days_of(2024, 1, 1)), 1);
    CHECK_INT(tn_day_of_year(tn_days_of(2024, 12, 31)), 366);
    int64_t year = 0;
    CHECK_INT(tn_iso_week(tn_days_of(2021, 1, 3), &year), 53);
    CHECK_INT(year, 2020);
    CHECK_INT(tn_iso_week(tn_days_of(2024, 12, 30), &year), 1);
    CHECK_INT(year, 2025);
}

static void check_timestamp(const char *text, const char *want)
{
    int64_t us = 0;
    char out[TN_TIME_TEXT_MAX];
    bool ok = tn_timestamp_parse(tn_str_of(text), &us);
    CHECK(ok == (want != NULL));
    if (ok && want)
        CHECK_STR(((struct tn_str){out, tn_timestamp_text(us, 6, ' ', out)}), want);
}

static void test_time_text(void)
{
    check_timestamp("2024-02-29 10:11:12.5", "2024-02-29 10:11:12.500000");
    check_timestamp("2024-02-29T10:11:12.1234565Z", "2024-02-29 10:11:12.123457");
    check_timestamp("2024-02-29T10:11:12+02:00", "2024-02-29 08:11:12.000000");
    check_timestamp("2024-02-29T10:11-0530", "2024-02-29 15:41:00.000000");
    check_timestamp("2024-02-29T10", "2024-02-29 10:00:00.000000");
    check_timestamp("2024-02", "2024-02-01 00:00:00.000000");
    check_timestamp("2024", "2024-01-01 00:00:00.000000");
    check_timestamp(" 1969-12-31 23:59:59.999 UTC ", "1969-12-31 23:59:59.999000");
    check_timestamp("2024-12-31 23:59:59.9999999", "2025-01-01 00:00:00.000000");
    check_timestamp("-0001-01-01", "-0001-01-01 00:00:00.000000");
    check_timestamp("2023-02-29", NULL);
    check_timestamp("2024-13-01", NULL);
    check_timestamp("2024-01-01 24:00", NULL);
    check_timestamp("2024-01-01x", NULL);
    check_timestamp("24-01-01", NULL);
    check_timestamp("", NULL);
    check_timestamp("2024-01-01 10:00 Europe/Paris", NULL);
    struct tn_datetime dt;
    CHECK(tn_datetime_parse(TN_STR("2024-01-01 10:00 Europe/Paris"), &dt));
    CHECK_STR(dt.zone_name, "Europe/Paris");
    int64_t us = 0;
    char out[TN_TIME_TEXT_MAX];
    CHECK(tn_time_parse(TN_STR("01:02:03.004"), &us) && us == 3723004000);
    CHECK(!tn_time_parse(TN_STR("25:00"), &us) && !tn_time_parse(TN_STR("7"), &us));
    CHECK_STR(((struct tn_str){out, tn_time_text(us, 3, out)}), "01:02:03.004");
    CHECK_STR(((struct tn_str){out, tn_interval_day_text(-93784500000, out)}), "-1 02:03:04.500");
    CHECK_STR(((struct tn_str){out, tn_interval_year_text(-36, out)}), "-3-0");
    int32_t days = 0;
    CHECK(tn_date_parse(TN_STR("2024-05-06"), &days));
    CHECK_STR(((struct tn_str){out, tn_date_text(days, out)}), "2024-05-06");
    CHECK(!tn_date_parse(TN_STR("2024-05-06 01:00"), &days));
}

static int64_t ts(const char *text)
{
    int64_t us = 0;
    CHECK(tn_timestamp_parse(tn_str_of(text), &us));
    return us;
}

static void test_units(void)
{
    enum tn_unit unit;
    CHECK(tn_unit_parse(TN_STR("HOURS"), &unit) && unit == TN_UNIT_HOUR);
    CHECK(!tn_unit_parse(TN_STR("fortnight"), &unit));
    int64_t t = ts("2024-05-16 13:14:15.678");
    CHECK(tn_timestamp_trunc(TN_UNIT_WEEK, t) == ts("2024-05-13"));
    CHECK(tn_timestamp_trunc(TN_UNIT_QUARTER, t) == ts("2024-04-01"));
    CHECK(tn_timestamp_trunc(TN_UNIT_YEAR, t) == ts("2024-01-01"));
    CHECK(tn_timestamp_trunc(TN_UNIT_HOUR, ts("1969-12-31 23:30")) == ts("1969-12-31 23:00"));
    int64_t out = 0;
    CHECK(tn_timestamp_add(TN_UNIT_MONTH, ts("2024-01-31"), 1, &out) && out == ts("2024-02-29"));
    CHECK(tn_timestamp_add(TN_UNIT_YEAR, ts("2024-02-29"), -1, &out) && out == ts("2023-02-28"));
    CHECK(!tn_timestamp_add(TN_UNIT_DAY, t, INT64_MAX / 2, &out));
    CHECK_INT(tn_timestamp_diff(TN_UNIT_MONTH, ts("2024-01-31"), ts("2024-02-29")), 1);
    CHECK_INT(tn_timestamp_diff(TN_UNIT_MONTH, ts("2024-01-15"), ts("2024-02-14")), 0);
    CHECK_INT(tn_timestamp_diff(TN_UNIT_MONTH, ts("2024-02-14"), ts("2024-01-15")), 0);
    CHECK_INT(tn_timestamp_diff(TN_UNIT_DAY, ts("2024-02-14"), ts("2024-02-12 01:00")), -1);
    CHECK_INT(tn_timestamp_diff(TN_UNIT_YEAR, ts("2020-02-29"), ts("2024-02-28")), 3);
}

int main(void)
{
    test_double_text();
    test_double_round_trip();
    test_double_parse();
    test_decimal_text();
    test_decimal_math();
    test_utf8();
    test_calendar();
    test_time_text();
    test_units();
    return TN_TEST_END();
}
