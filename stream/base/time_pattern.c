/* Compiles the three notations to one list of fields; printing and reading walk that list. An
 * optional part of a Java pattern is a pair of marks: reading tries it and goes on behind it when
 * it does not match. @thread any */
#include "stream/base/time_pattern.h"

#include <ctype.h>
#include <stdio.h>

#include "stream/base/time.h"
#include "stream/base/zone.h"

#define FIELDS_MAX 128

enum field_kind {
    FIELD_TEXT,
    FIELD_OPTIONAL, /* end = index of its FIELD_END */
    FIELD_END,
    FIELD_YEAR,
    FIELD_YEAR_2,
    FIELD_WEEK_YEAR,
    FIELD_WEEK,
    FIELD_QUARTER,
    FIELD_MONTH,
    FIELD_MONTH_SHORT,
    FIELD_MONTH_LONG,
    FIELD_DAY,
    FIELD_DAY_OF_YEAR,
    FIELD_WEEKDAY, /* 1 = Monday */
    FIELD_WEEKDAY_SHORT,
    FIELD_WEEKDAY_LONG,
    FIELD_HOUR_24,  /* 0…23 */
    FIELD_HOUR_24K, /* 1…24 */
    FIELD_HOUR_12,  /* 1…12 */
    FIELD_HOUR_12K, /* 0…11 */
    FIELD_AM_PM,
    FIELD_MINUTE,
    FIELD_SECOND,
    FIELD_FRACTION,
    FIELD_NANO,
    FIELD_MILLI_OF_DAY,
    FIELD_OFFSET, /* width: 1 +01 or +0130, 2 +0100, 3 +01:00; is_z: Z for zero */
    FIELD_ZONE,   /* name */
    FIELD_ERA
};

struct field {
    enum field_kind kind;
    uint8_t width;    /* digits printed at least */
    uint8_t min, max; /* digits read */
    bool is_z;
    uint16_t end;
    struct tn_str text;
};

struct tn_time_pattern {
    enum tn_pattern_style style;
    uint32_t count;
    struct field fields[FIELDS_MAX];
};

static const char *const months[] = {"January",   "February", "March",    "April",
                                     "May",       "June",     "July",     "August",
                                     "September", "October",  "November", "December"};
static const char *const weekdays[] = {"Monday", "Tuesday",  "Wednesday", "Thursday",
                                       "Friday", "Saturday", "Sunday"};

/* ---- compiling ---- */

static struct field *add(struct tn_time_pattern *pattern, enum field_kind kind, int width, int min,
                         int max)
{
    struct field *field = &pattern->fields[pattern->count++];
    *field = (struct field){
        .kind = kind, .width = (uint8_t)width, .min = (uint8_t)min, .max = (uint8_t)max};
    return field;
}

static void add_text(struct tn_time_pattern *pattern, struct tn_str text, struct tn_arena *arena)
{
    add(pattern, FIELD_TEXT, 0, 0, 0)->text = tn_arena_str(arena, text);
}

/* A two-place number, or one place upwards: "dd" of Java is strict, of Joda lenient. */
static void add_number(struct tn_time_pattern *pattern, enum field_kind kind, int count, int max)
{
    bool is_strict = pattern->style == TN_PATTERN_JAVA && count > 1;
    add(pattern, kind, count, is_strict ? count : 1, count > max ? count : max);
}

static bool add_year(struct tn_time_pattern *pattern, enum field_kind kind, int count)
{
    if (count == 2 && kind == FIELD_YEAR)
        add(pattern, FIELD_YEAR_2, 2, 2, 2);
    else
        add(pattern, kind, count, pattern->style == TN_PATTERN_JAVA ? count : 1, 9);
    return true;
}

static bool add_month(struct tn_time_pattern *pattern, int count)
{
    if (count <= 2)
        add_number(pattern, FIELD_MONTH, count, 2);
    else
        add(pattern, count == 3 ? FIELD_MONTH_SHORT : FIELD_MONTH_LONG, 0, 0, 0);
    return true;
}

static bool add_offset(struct tn_time_pattern *pattern, char letter, int count)
{
    bool is_joda = pattern->style == TN_PATTERN_JODA;
    if (letter == 'Z' && is_joda && count >= 3) {
        add(pattern, FIELD_ZONE, 0, 0, 0);
        return true;
    }
    int width = letter == 'Z' ? (is_joda ? (count == 2 ? 3 : 2) : (count >= 4 ? 3 : 2))
                              : (count > 3 ? 3 : count);
    add(pattern, FIELD_OFFSET, width, 0, 0)->is_z = letter == 'X';
    return true;
}

/* Letters that mean the same in Java and Joda. */
static bool add_common(struct tn_time_pattern *pattern, char letter, int count)
{
    switch (letter) {
    case 'y': return add_year(pattern, FIELD_YEAR, count);
    case 'M': return add_month(pattern, count);
    case 'd': add_number(pattern, FIELD_DAY, count, 2); return true;
    case 'D': add_number(pattern, FIELD_DAY_OF_YEAR, count, 3); return true;
    case 'E':
        add(pattern, count <= 3 ? FIELD_WEEKDAY_SHORT : FIELD_WEEKDAY_LONG, 0, 0, 0);
        return true;
    case 'e': add_number(pattern, FIELD_WEEKDAY, count, 1); return true;
    case 'w': add_number(pattern, FIELD_WEEK, count, 2); return true;
    case 'a': add(pattern, FIELD_AM_PM, 0, 0, 0); return true;
    case 'H': add_number(pattern, FIELD_HOUR_24, count, 2); return true;
    case 'k': add_number(pattern, FIELD_HOUR_24K, count, 2); return true;
    case 'h': add_number(pattern, FIELD_HOUR_12, count, 2); return true;
    case 'K': add_number(pattern, FIELD_HOUR_12K, count, 2); return true;
    case 'm': add_number(pattern, FIELD_MINUTE, count, 2); return true;
    case 's': add_number(pattern, FIELD_SECOND, count, 2); return true;
    case 'S': {
        bool is_java = pattern->style == TN_PATTERN_JAVA;
        add(pattern, FIELD_FRACTION, count, is_java ? count : 1, is_java ? count : 9);
        return true;
    }
    case 'G': add(pattern, FIELD_ERA, 0, 0, 0); return true;
    case 'Z': return add_offset(pattern, letter, count);
    case 'z': add(pattern, FIELD_ZONE, 0, 0, 0); return true;
    default: return false;
    }
}

static bool add_letter(struct tn_time_pattern *pattern, char letter, int count)
{
    bool is_java = pattern->style == TN_PATTERN_JAVA;
    switch (letter) {
    case 'u':
        if (is_java)
            return add_year(pattern, FIELD_YEAR, count);
        break;
    case 'Y': return add_year(pattern, is_java ? FIELD_WEEK_YEAR : FIELD_YEAR, count);
    case 'x':
        return is_java ? add_offset(pattern, letter, count)
                       : add_year(pattern, FIELD_WEEK_YEAR, count);
    case 'X':
        if (is_java)
            return add_offset(pattern, letter, count);
        break;
    case 'L':
        if (is_java)
            return add_month(pattern, count);
        break;
    case 'Q': add_number(pattern, FIELD_QUARTER, count, 1); return is_java;
    case 'n': add(pattern, FIELD_NANO, count, 1, 9); return is_java;
    case 'A': add(pattern, FIELD_MILLI_OF_DAY, count, 1, 8); return is_java;
    case 'V':
    case 'O': add(pattern, FIELD_ZONE, 0, 0, 0); return is_java;
    default: break;
    }
    return add_common(pattern, letter, count);
}

static enum tn_status bad_letter(char letter, struct tn_str text, struct tn_err *err)
{
    return tn_err_set(err, TN_E_INVALID, "'%c' in the date pattern '%.*s' is not understood",
                      letter, (int)(text.len < 100 ? text.len : 100), text.ptr);
}

/* '…' at p; '' is a quote. Returns behind the closing quote, NULL when there is none. */
static const char *add_quoted(struct tn_time_pattern *pattern, const char *p, const char *end,
                              struct tn_arena *arena)
{
    char *text = tn_arena_alloc(arena, (size_t)(end - p));
    size_t len = 0;
    if (end - p >= 2 && p[1] == '\'') {
        add_text(pattern, TN_STR("'"), arena);
        return p + 2;
    }
    for (p++; p < end; p++) {
        if (*p == '\'' && (p + 1 == end || p[1] != '\'')) {
            add_text(pattern, (struct tn_str){text, len}, arena);
            return p + 1;
        }
        p += *p == '\'';
        text[len++] = *p;
    }
    return NULL;
}

static bool close_optional(struct tn_time_pattern *pattern)
{
    uint32_t at = pattern->count;
    add(pattern, FIELD_END, 0, 0, 0);
    while (at-- > 0) {
        if (pattern->fields[at].kind == FIELD_OPTIONAL && pattern->fields[at].end == 0) {
            pattern->fields[at].end = (uint16_t)(pattern->count - 1);
            return true;
        }
    }
    return false;
}

static enum tn_status compile_letters(struct tn_time_pattern *pattern, struct tn_str text,
                                      struct tn_arena *arena, struct tn_err *err)
{
    const char *p = text.ptr, *end = p + text.len;
    int open = 0;
    while (p < end) {
        if (pattern->count >= FIELDS_MAX - 2)
            return tn_err_set(err, TN_E_INVALID, "date pattern has more than %d parts", FIELDS_MAX);
        if (*p == '\'') {
            p = add_quoted(pattern, p, end, arena);
            if (!p)
                return tn_err_set(err, TN_E_INVALID, "date pattern '%.*s' has an unclosed quote",
                                  (int)(text.len < 100 ? text.len : 100), text.ptr);
        } else if (pattern->style == TN_PATTERN_JAVA && *p == '[') {
            add(pattern, FIELD_OPTIONAL, 0, 0, 0);
            open++;
            p++;
        } else if (pattern->style == TN_PATTERN_JAVA && *p == ']') {
            if (open-- == 0 || !close_optional(pattern))
                return bad_letter(*p, text, err);
            p++;
        } else if (isalpha((unsigned char)*p)) {
            const char *from = p;
            while (p < end && *p == *from)
                p++;
            if (p - from > 30 || !add_letter(pattern, *from, (int)(p - from)))
                return bad_letter(*from, text, err);
        } else {
            add_text(pattern, (struct tn_str){p, 1}, arena);
            p++;
        }
    }
    return open ? bad_letter('[', text, err) : TN_OK;
}

static bool add_percent(struct tn_time_pattern *pattern, char letter, struct tn_arena *arena)
{
    switch (letter) {
    case 'a': add(pattern, FIELD_WEEKDAY_SHORT, 0, 0, 0); return true;
    case 'W': add(pattern, FIELD_WEEKDAY_LONG, 0, 0, 0); return true;
    case 'b': add(pattern, FIELD_MONTH_SHORT, 0, 0, 0); return true;
    case 'M': add(pattern, FIELD_MONTH_LONG, 0, 0, 0); return true;
    case 'c': add(pattern, FIELD_MONTH, 1, 1, 2); return true;
    case 'm': add(pattern, FIELD_MONTH, 2, 1, 2); return true;
    case 'd': add(pattern, FIELD_DAY, 2, 1, 2); return true;
    case 'e': add(pattern, FIELD_DAY, 1, 1, 2); return true;
    case 'f': add(pattern, FIELD_FRACTION, 6, 1, 9); return true;
    case 'H': add(pattern, FIELD_HOUR_24, 2, 1, 2); return true;
    case 'k': add(pattern, FIELD_HOUR_24, 1, 1, 2); return true;
    case 'h':
    case 'I': add(pattern, FIELD_HOUR_12, 2, 1, 2); return true;
    case 'l': add(pattern, FIELD_HOUR_12, 1, 1, 2); return true;
    case 'i': add(pattern, FIELD_MINUTE, 2, 1, 2); return true;
    case 's':
    case 'S': add(pattern, FIELD_SECOND, 2, 1, 2); return true;
    case 'j': add(pattern, FIELD_DAY_OF_YEAR, 3, 1, 3); return true;
    case 'p': add(pattern, FIELD_AM_PM, 0, 0, 0); return true;
    case 'v': add(pattern, FIELD_WEEK, 2, 1, 2); return true;
    case 'x': add(pattern, FIELD_WEEK_YEAR, 4, 1, 4); return true;
    case 'Y': add(pattern, FIELD_YEAR, 4, 1, 4); return true;
    case 'y': add(pattern, FIELD_YEAR_2, 2, 2, 2); return true;
    case 'T':
    case 'r':
        add(pattern, letter == 'T' ? FIELD_HOUR_24 : FIELD_HOUR_12, 2, 1, 2);
        add_text(pattern, TN_STR(":"), arena);
        add(pattern, FIELD_MINUTE, 2, 1, 2);
        add_text(pattern, TN_STR(":"), arena);
        add(pattern, FIELD_SECOND, 2, 1, 2);
        if (letter == 'r') {
            add_text(pattern, TN_STR(" "), arena);
            add(pattern, FIELD_AM_PM, 0, 0, 0);
        }
        return true;
    case 'D':
    case 'U':
    case 'u':
    case 'V':
    case 'w':
    case 'X': return false;
    default: add_text(pattern, (struct tn_str){&letter, 1}, arena); return true;
    }
}

static enum tn_status compile_percents(struct tn_time_pattern *pattern, struct tn_str text,
                                       struct tn_arena *arena, struct tn_err *err)
{
    for (size_t i = 0; i < text.len; i++) {
        if (pattern->count >= FIELDS_MAX - 8)
            return tn_err_set(err, TN_E_INVALID, "date pattern has more than %d parts", FIELDS_MAX);
        if (text.ptr[i] != '%')
            add_text(pattern, (struct tn_str){text.ptr + i, 1}, arena);
        else if (++i == text.len || !add_percent(pattern, text.ptr[i], arena))
            return bad_letter(i < text.len ? text.ptr[i] : '%', text, err);
    }
    return TN_OK;
}

enum tn_status tn_time_pattern_new(enum tn_pattern_style style, struct tn_str text,
                                   struct tn_arena *arena, struct tn_time_pattern **ret_pattern,
                                   struct tn_err *err)
{
    struct tn_time_pattern *pattern = TN_ARENA_NEW(arena, struct tn_time_pattern);
    pattern->style = style;
    TN_TRY(style == TN_PATTERN_MYSQL ? compile_percents(pattern, text, arena, err)
                                     : compile_letters(pattern, text, arena, err));
    *ret_pattern = pattern;
    return TN_OK;
}

/* ---- printing ---- */

struct parts {
    struct tn_civil civil;
    int64_t days, us_of_day;
    int32_t offset_s;
    const struct tn_zone *zone;
};

static void put_number(struct tn_buf *buf, int64_t value, int width)
{
    char text[64], *p = text + sizeof text;
    uint64_t m = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    int count = 0;
    for (; m || count < width || count == 0; count++, m /= 10)
        *--p = (char)('0' + m % 10);
    if (value < 0)
        *--p = '-';
    tn_buf_add(buf, p, (size_t)(text + sizeof text - p));
}

static void put_offset(struct tn_buf *buf, const struct field *field, int32_t offset_s)
{
    int minutes = (offset_s < 0 ? -offset_s : offset_s) / 60;
    if (field->is_z && offset_s == 0) {
        tn_buf_add_byte(buf, 'Z');
        return;
    }
    tn_buf_printf(buf, "%c%02d", offset_s < 0 ? '-' : '+', minutes / 60);
    if (field->width == 1 && minutes % 60 == 0)
        return;
    tn_buf_printf(buf, field->width == 3 ? ":%02d" : "%02d", minutes % 60);
}

static void put_fraction(struct tn_buf *buf, int64_t us, int width)
{
    char digits[16];
    snprintf(digits, sizeof digits, "%06d000", (int)(us % TN_US_PER_SECOND));
    for (int i = 0; i < width; i++)
        tn_buf_add_byte(buf, i < 9 ? digits[i] : '0');
}

static void put_date_field(const struct field *field, const struct parts *parts, struct tn_buf *buf)
{
    int64_t year;
    const struct tn_civil *civil = &parts->civil;
    switch (field->kind) {
    case FIELD_YEAR: put_number(buf, civil->year, field->width); break;
    case FIELD_YEAR_2: put_number(buf, tn_floor_mod(civil->year, 100), 2); break;
    case FIELD_WEEK_YEAR:
        tn_iso_week(parts->days, &year);
        put_number(buf, year, field->width);
        break;
    case FIELD_WEEK: put_number(buf, tn_iso_week(parts->days, NULL), field->width); break;
    case FIELD_QUARTER: put_number(buf, (civil->month + 2) / 3, field->width); break;
    case FIELD_MONTH: put_number(buf, civil->month, field->width); break;
    case FIELD_MONTH_SHORT: tn_buf_add(buf, months[civil->month - 1], 3); break;
    case FIELD_MONTH_LONG: tn_buf_add_text(buf, months[civil->month - 1]); break;
    case FIELD_DAY: put_number(buf, civil->day, field->width); break;
    case FIELD_DAY_OF_YEAR: put_number(buf, tn_day_of_year(parts->days), field->width); break;
    case FIELD_WEEKDAY: put_number(buf, tn_day_of_week(parts->days), field->width); break;
    case FIELD_WEEKDAY_SHORT: tn_buf_add(buf, weekdays[tn_day_of_week(parts->days) - 1], 3); break;
    case FIELD_WEEKDAY_LONG: tn_buf_add_text(buf, weekdays[tn_day_of_week(parts->days) - 1]); break;
    case FIELD_ERA: tn_buf_add_text(buf, civil->year > 0 ? "AD" : "BC"); break;
    default: break;
    }
}

static void put_time_field(const struct field *field, const struct parts *parts, struct tn_buf *buf)
{
    int64_t us = parts->us_of_day;
    int hour = (int)(us / TN_US_PER_HOUR);
    int width = field->width;
    switch (field->kind) {
    case FIELD_HOUR_24: put_number(buf, hour, width); break;
    case FIELD_HOUR_24K: put_number(buf, hour == 0 ? 24 : hour, width); break;
    case FIELD_HOUR_12: put_number(buf, hour % 12 == 0 ? 12 : hour % 12, width); break;
    case FIELD_HOUR_12K: put_number(buf, hour % 12, width); break;
    case FIELD_AM_PM: tn_buf_add_text(buf, hour < 12 ? "AM" : "PM"); break;
    case FIELD_MINUTE: put_number(buf, us / TN_US_PER_MINUTE % 60, width); break;
    case FIELD_SECOND: put_number(buf, us / TN_US_PER_SECOND % 60, width); break;
    case FIELD_FRACTION: put_fraction(buf, us, width); break;
    case FIELD_NANO: put_number(buf, us % TN_US_PER_SECOND * 1000, width); break;
    case FIELD_MILLI_OF_DAY: put_number(buf, us / 1000, width); break;
    case FIELD_OFFSET: put_offset(buf, field, parts->offset_s); break;
    case FIELD_ZONE:
        tn_buf_add_str(buf, parts->zone ? tn_zone_name(parts->zone) : TN_STR("UTC"));
        break;
    case FIELD_TEXT: tn_buf_add_str(buf, field->text); break;
    default: put_date_field(field, parts, buf);
    }
}

void tn_time_pattern_print(const struct tn_time_pattern *pattern, int64_t us,
                           const struct tn_zone *zone, struct tn_buf *buf)
{
    int32_t offset_s = zone ? tn_zone_offset_s(zone, us) : 0;
    int64_t local = zone ? tn_zone_to_local(zone, us) : us;
    struct parts parts = {.days = tn_floor_div(local, TN_US_PER_DAY),
                          .us_of_day = tn_floor_mod(local, TN_US_PER_DAY),
                          .offset_s = offset_s,
                          .zone = zone};
    parts.civil = tn_civil_of(parts.days);
    for (uint32_t i = 0; i < pattern->count; i++)
        put_time_field(&pattern->fields[i], &parts, buf);
}

/* ---- reading ---- */

struct reading {
    const char *p, *end;
    int64_t year;
    int month, day, day_of_year, week, weekday;
    int64_t week_year;
    bool has_week_year, has_hour_12, is_pm, has_milli_of_day, has_zone, is_bc;
    int hour, minute, second;
    int64_t us, milli_of_day;
    int32_t offset_s;
    const struct tn_zone *zone;
};

static bool is_number_field(enum field_kind kind)
{
    switch (kind) {
    case FIELD_TEXT:
    case FIELD_OPTIONAL:
    case FIELD_END:
    case FIELD_MONTH_SHORT:
    case FIELD_MONTH_LONG:
    case FIELD_WEEKDAY_SHORT:
    case FIELD_WEEKDAY_LONG:
    case FIELD_AM_PM:
    case FIELD_OFFSET:
    case FIELD_ZONE:
    case FIELD_ERA: return false;
    default: return true;
    }
}

static bool read_digits(struct reading *in, int min, int max, int64_t *ret_value)
{
    int count = 0;
    int64_t value = 0;
    for (; count < max && in->p < in->end && *in->p >= '0' && *in->p <= '9'; count++)
        value = value * 10 + (*in->p++ - '0');
    *ret_value = value;
    return count >= min;
}

/* Index of the name at the text, by `len` letters (0 = all); −1 when there is none. */
static int read_name(struct reading *in, const char *const *names, int count, size_t len)
{
    for (int i = 0; i < count; i++) {
        size_t n = len ? len : strlen(names[i]);
        if ((size_t)(in->end - in->p) < n || strncasecmp(in->p, names[i], n) != 0)
            continue;
        in->p += n;
        return i;
    }
    return -1;
}

static bool read_offset(struct reading *in)
{
    if (in->p < in->end && (*in->p == 'Z' || *in->p == 'z')) {
        in->p++;
        in->has_zone = true;
        return true;
    }
    if (in->p == in->end || (*in->p != '+' && *in->p != '-'))
        return false;
    bool is_west = *in->p++ == '-';
    int64_t hours, minutes = 0;
    if (!read_digits(in, 2, 2, &hours))
        return false;
    if (in->p < in->end && *in->p == ':')
        in->p++;
    if (in->p < in->end && *in->p >= '0' && *in->p <= '9' && !read_digits(in, 2, 2, &minutes))
        return false;
    in->has_zone = true;
    in->offset_s = (int32_t)((is_west ? -1 : 1) * (hours * 3600 + minutes * 60));
    return hours <= 18 && minutes < 60;
}

static bool read_zone(struct reading *in)
{
    const char *from = in->p;
    while (in->p < in->end && (isalnum((unsigned char)*in->p) || strchr("_/+-:", *in->p)))
        in->p++;
    in->zone = tn_zone_find((struct tn_str){from, (size_t)(in->p - from)});
    return in->zone != NULL;
}

static bool read_text_field(struct reading *in, const struct field *field)
{
    int i;
    static const char *const halves[] = {"AM", "PM"};
    static const char *const eras[] = {"AD", "BC"};
    switch (field->kind) {
    case FIELD_TEXT:
        if ((size_t)(in->end - in->p) < field->text.len ||
            strncasecmp(in->p, field->text.ptr, field->text.len) != 0)
            return false;
        in->p += field->text.len;
        return true;
    case FIELD_MONTH_LONG:
    case FIELD_MONTH_SHORT:
        i = field->kind == FIELD_MONTH_LONG ? read_name(in, months, 12, 0) : -1;
        i = i >= 0 ? i : read_name(in, months, 12, 3);
        in->month = i + 1;
        return i >= 0;
    case FIELD_WEEKDAY_LONG:
    case FIELD_WEEKDAY_SHORT:
        i = field->kind == FIELD_WEEKDAY_LONG ? read_name(in, weekdays, 7, 0) : -1;
        i = i >= 0 ? i : read_name(in, weekdays, 7, 3);
        in->weekday = i + 1;
        return i >= 0;
    case FIELD_AM_PM:
        i = read_name(in, halves, 2, 0);
        in->is_pm = i == 1;
        return i >= 0;
    case FIELD_ERA:
        i = read_name(in, eras, 2, 0);
        in->is_bc = i == 1;
        return i >= 0;
    case FIELD_OFFSET: return read_offset(in);
    default: return read_zone(in);
    }
}

static bool read_fraction(struct reading *in, const struct field *field)
{
    const char *from = in->p;
    int64_t value;
    if (!read_digits(in, field->min, field->max, &value))
        return false;
    int digits = (int)(in->p - from);
    for (; digits < 6; digits++)
        value *= 10;
    for (; digits > 6; digits--)
        value /= 10;
    in->us = value;
    return true;
}

static bool put_read(struct reading *in, const struct field *field, int64_t value)
{
    switch (field->kind) {
    case FIELD_YEAR: in->year = value; return true;
    case FIELD_YEAR_2: in->year = value < 70 ? 2000 + value : 1900 + value; return true;
    case FIELD_WEEK_YEAR:
        in->week_year = value;
        in->has_week_year = true;
        return true;
    case FIELD_WEEK: in->week = (int)value; return value >= 1 && value <= 53;
    case FIELD_QUARTER: in->month = (int)value * 3 - 2; return value >= 1 && value <= 4;
    case FIELD_MONTH: in->month = (int)value; return value >= 1 && value <= 12;
    case FIELD_DAY: in->day = (int)value; return value >= 1 && value <= 31;
    case FIELD_DAY_OF_YEAR: in->day_of_year = (int)value; return value >= 1 && value <= 366;
    case FIELD_WEEKDAY: in->weekday = (int)value; return value >= 1 && value <= 7;
    case FIELD_HOUR_24: in->hour = (int)value; return value <= 23;
    case FIELD_HOUR_24K: in->hour = (int)value % 24; return value >= 1 && value <= 24;
    case FIELD_HOUR_12:
    case FIELD_HOUR_12K:
        in->hour = (int)value % 12;
        in->has_hour_12 = true;
        return value <= 12;
    case FIELD_MINUTE: in->minute = (int)value; return value <= 59;
    case FIELD_SECOND: in->second = (int)value; return value <= 59;
    case FIELD_NANO: in->us = value / 1000; return true;
    case FIELD_MILLI_OF_DAY:
        in->milli_of_day = value;
        in->has_milli_of_day = true;
        return value < 86400000;
    default: return false;
    }
}

static bool read_number(struct reading *in, const struct field *field, bool is_tight)
{
    int64_t value;
    if (field->kind == FIELD_FRACTION)
        return read_fraction(in, field);
    bool is_year = field->kind == FIELD_YEAR || field->kind == FIELD_WEEK_YEAR;
    bool is_negative = is_year && in->p < in->end && *in->p == '-';
    in->p += is_negative;
    /* numbers that touch take exactly their width */
    int max = is_tight && field->width ? field->width : field->max;
    if (!read_digits(in, is_tight ? max : field->min, max, &value))
        return false;
    return put_read(in, field, is_negative ? -value : value);
}

static bool read_range(const struct tn_time_pattern *pattern, uint32_t from, uint32_t end,
                       struct reading *in)
{
    for (uint32_t i = from; i < end; i++) {
        const struct field *field = &pattern->fields[i];
        if (field->kind == FIELD_OPTIONAL) {
            struct reading attempt = *in;
            if (read_range(pattern, i + 1, field->end, &attempt)) /* depth ≤ FIELDS_MAX */
                *in = attempt;
            i = field->end;
        } else if (field->kind == FIELD_END) {
            continue;
        } else if (is_number_field(field->kind)) {
            bool is_tight = i + 1 < end && is_number_field(pattern->fields[i + 1].kind);
            if (!read_number(in, field, is_tight))
                return false;
        } else if (!read_text_field(in, field)) {
            return false;
        }
    }
    return true;
}

static bool days_of(const struct reading *in, int64_t *ret_days)
{
    int64_t year = in->is_bc ? 1 - in->year : in->year;
    if (year > 290000 || year < -290000)
        return false;
    if (in->week) {
        int64_t week_year = in->has_week_year ? in->week_year : year;
        int64_t fourth = tn_days_of(week_year, 1, 4); /* always in week 1 */
        int weekday = in->weekday ? in->weekday : 1;
        *ret_days = fourth - (tn_day_of_week(fourth) - 1) + (in->week - 1) * 7 + weekday - 1;
        return true;
    }
    if (in->day_of_year) {
        *ret_days = tn_days_of(year, 1, 1) + in->day_of_year - 1;
        return tn_civil_of(*ret_days).year == year;
    }
    *ret_days = tn_days_of(year, in->month, in->day);
    return in->day <= tn_days_in_month(year, in->month);
}

bool tn_time_pattern_parse(const struct tn_time_pattern *pattern, struct tn_str text,
                           const struct tn_zone *zone, int64_t *ret_us)
{
    struct reading in = {.p = text.ptr,
                         .end = text.ptr + text.len,
                         .year = 1970,
                         .month = 1,
                         .day = 1,
                         .zone = zone};
    int64_t days;
    if (!read_range(pattern, 0, pattern->count, &in) || in.p != in.end || !days_of(&in, &days))
        return false;
    int hour = in.has_hour_12 && in.is_pm ? in.hour + 12 : in.hour;
    int64_t us =
        in.has_milli_of_day
            ? in.milli_of_day * 1000
            : ((int64_t)hour * 3600 + in.minute * 60 + in.second) * TN_US_PER_SECOND + in.us;
    us += days * TN_US_PER_DAY;
    if (in.has_zone)
        us -= in.offset_s * TN_US_PER_SECOND;
    else if (in.zone)
        us = tn_zone_to_utc(in.zone, us);
    *ret_us = us;
    return true;
}
