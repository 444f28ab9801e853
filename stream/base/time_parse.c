/* ISO 8601 text to dates and times. One cursor walks the text; each part is optional from the
 * right, so that "2024", "2024-05" and "2024-05-01T10" are read as the start of what they name.
 * @thread any */
#include "stream/base/time.h"

struct cursor {
    const char *p, *end;
};

static bool take(struct cursor *c, char byte)
{
    if (c->p == c->end || *c->p != byte)
        return false;
    c->p++;
    return true;
}

/* Exactly min…max digits. */
static bool number(struct cursor *c, int min, int max, int64_t *ret_value)
{
    int64_t value = 0;
    int count = 0;
    for (; count < max && c->p < c->end && *c->p >= '0' && *c->p <= '9'; count++)
        value = value * 10 + (*c->p++ - '0');
    if (count < min)
        return false;
    *ret_value = value;
    return true;
}

static bool part(struct cursor *c, int min, int max, int *ret_value)
{
    int64_t value;
    if (!number(c, 1, 2, &value) || value < min || value > max)
        return false;
    *ret_value = (int)value;
    return true;
}

static struct cursor trimmed(struct tn_str text)
{
    struct cursor c = {text.ptr, text.ptr + text.len};
    while (c.p < c.end && (*c.p == ' ' || *c.p == '\t'))
        c.p++;
    while (c.end > c.p && (c.end[-1] == ' ' || c.end[-1] == '\t'))
        c.end--;
    return c;
}

static bool date(struct cursor *c, struct tn_datetime *dt)
{
    bool is_negative = take(c, '-');
    if (!is_negative)
        take(c, '+');
    if (!number(c, 4, 6, &dt->year))
        return false;
    if (is_negative)
        dt->year = -dt->year;
    dt->month = dt->day = 1;
    if (!take(c, '-'))
        return true;
    if (!part(c, 1, 12, &dt->month))
        return false;
    if (!take(c, '-'))
        return true;
    return part(c, 1, tn_days_in_month(dt->year, dt->month), &dt->day);
}

/* Digits behind the point to µs, rounded half up; may give 1000000 (the caller carries). */
static bool fraction(struct cursor *c, int *ret_micro)
{
    int micro = 0, count = 0, round = 0;
    for (; c->p < c->end && *c->p >= '0' && *c->p <= '9'; c->p++, count++) {
        if (count < 6)
            micro = micro * 10 + (*c->p - '0');
        else if (count == 6)
            round = *c->p >= '5';
    }
    for (int i = count; i < 6; i++)
        micro *= 10;
    *ret_micro = micro + round;
    return count > 0;
}

static bool time_of_day(struct cursor *c, struct tn_datetime *dt)
{
    dt->has_time = true;
    if (!part(c, 0, 23, &dt->hour))
        return false;
    if (!take(c, ':'))
        return true;
    if (!part(c, 0, 59, &dt->minute))
        return false;
    if (!take(c, ':'))
        return true;
    if (!part(c, 0, 59, &dt->second))
        return false;
    if (take(c, '.') || take(c, ','))
        return fraction(c, &dt->micro);
    return true;
}

static bool offset(struct cursor *c, struct tn_datetime *dt)
{
    bool is_west = *c->p == '-';
    int hour = 0, minute = 0;
    c->p++;
    if (!part(c, 0, 18, &hour))
        return false;
    if (take(c, ':') || c->p < c->end) {
        if (!part(c, 0, 59, &minute))
            return false;
    }
    dt->has_zone = true;
    dt->zone_s = (is_west ? -1 : 1) * (hour * 3600 + minute * 60);
    return true;
}

static bool zone(struct cursor *c, struct tn_datetime *dt)
{
    while (take(c, ' '))
        ;
    if (c->p == c->end)
        return true;
    if (*c->p == '+' || *c->p == '-')
        return offset(c, dt);
    struct tn_str name = {c->p, (size_t)(c->end - c->p)};
    c->p = c->end;
    dt->has_zone = true;
    if (tn_str_eq_nocase(name, TN_STR("Z")) || tn_str_eq_nocase(name, TN_STR("UTC")) ||
        tn_str_eq_nocase(name, TN_STR("GMT")))
        return true;
    for (size_t i = 0; i < name.len; i++) {
        unsigned char b = (unsigned char)name.ptr[i];
        bool is_letter = (b | 32u) >= 'a' && (b | 32u) <= 'z';
        if (!is_letter && (i == 0 || !strchr("/_+-0123456789", b)))
            return false;
    }
    dt->zone_name = name;
    return true;
}

bool tn_datetime_parse(struct tn_str text, struct tn_datetime *ret_dt)
{
    struct cursor c = trimmed(text);
    struct tn_datetime dt = {0};
    if (!date(&c, &dt))
        return false;
    if (c.p < c.end && (*c.p == 'T' || *c.p == 't' || *c.p == ' ')) {
        bool is_blank = *c.p == ' ';
        bool is_digit = c.end - c.p > 1 && c.p[1] >= '0' && c.p[1] <= '9';
        if (is_digit || !is_blank) {
            c.p++;
            if (c.p < c.end && !time_of_day(&c, &dt))
                return false;
        }
    }
    if (!zone(&c, &dt) || c.p != c.end)
        return false;
    *ret_dt = dt;
    return true;
}

bool tn_datetime_us(const struct tn_datetime *dt, int64_t *ret_us)
{
    if (dt->year > 290000 || dt->year < -290000)
        return false;
    int64_t seconds = (int64_t)dt->hour * 3600 + dt->minute * 60 + dt->second - dt->zone_s;
    *ret_us = tn_days_of(dt->year, dt->month, dt->day) * TN_US_PER_DAY +
              seconds * TN_US_PER_SECOND + dt->micro;
    return true;
}

bool tn_date_parse(struct tn_str text, int32_t *ret_days)
{
    struct cursor c = trimmed(text);
    struct tn_datetime dt = {0};
    if (!date(&c, &dt) || c.p != c.end)
        return false;
    *ret_days = (int32_t)tn_days_of(dt.year, dt.month, dt.day);
    return true;
}

bool tn_time_parse(struct tn_str text, int64_t *ret_us)
{
    struct cursor c = trimmed(text);
    struct tn_datetime dt = {0};
    if (!time_of_day(&c, &dt) || c.p != c.end || c.end - trimmed(text).p < 3)
        return false;
    int64_t us = ((int64_t)dt.hour * 3600 + dt.minute * 60 + dt.second) * TN_US_PER_SECOND;
    *ret_us = (us + dt.micro) % TN_US_PER_DAY;
    return true;
}

bool tn_timestamp_parse(struct tn_str text, int64_t *ret_us)
{
    struct tn_datetime dt;
    return tn_datetime_parse(text, &dt) && dt.zone_name.len == 0 && tn_datetime_us(&dt, ret_us);
}
