/* TZif reading and look-ups. A zone is a sorted list of instants at which its offset changes, and
 * the offset from each on; behind the last one the POSIX rule of the file's footer is expanded once
 * for the years up to 2100, so that a look-up is one bisection. Leap seconds are ignored: RFC 8536
 * "posix" files have none. @thread any */
#include "stream/base/zone.h"

#include <pthread.h>
#include <stdlib.h>

#include "stream/base/mem.h"
#include "stream/base/time.h"

#define CHANGES_MAX   4000
#define NAME_MAX_LEN  64
#define RULE_YEAR_END 2100

struct change {
    int64_t at_s;
    int32_t offset_s; /* from at_s on */
};

struct tn_zone {
    char name[NAME_MAX_LEN + 1];
    bool is_missing; /* remembered failure */
    int32_t first_offset_s;
    uint32_t changes_count;
    struct change *changes;
};

static pthread_mutex_t cache_lock = PTHREAD_MUTEX_INITIALIZER;
static struct tn_zone *cache[TN_ZONES_MAX];
static uint32_t cache_count;
static tn_zone_loader loader;

void tn_zone_set_loader(tn_zone_loader fn)
{
    loader = fn;
}

/* ---- fixed offsets ---- */

static bool parse_fixed(struct tn_str name, int32_t *ret_offset_s)
{
    static const char *const words[] = {"UTC", "GMT", "UT", "Z", "Etc/UTC", "Etc/GMT"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (tn_str_eq_nocase(name, tn_str_of(words[i]))) {
            *ret_offset_s = 0;
            return true;
        }
    }
    const char *p = name.ptr, *end = name.ptr + name.len;
    if (name.len > 3 && (strncasecmp(p, "UTC", 3) == 0 || strncasecmp(p, "GMT", 3) == 0))
        p += 3;
    if (p == end || (*p != '+' && *p != '-'))
        return false;
    bool is_west = *p++ == '-';
    int digits[4] = {0}, count = 0;
    for (; p < end; p++) {
        if (*p == ':' && count == 2)
            continue;
        if (*p < '0' || *p > '9' || count == 4)
            return false;
        digits[count++] = *p - '0';
    }
    if (count == 1) {
        digits[1] = digits[0];
        digits[0] = 0;
    } else if (count != 2 && count != 4) {
        return false;
    }
    int hours = digits[0] * 10 + digits[1], minutes = digits[2] * 10 + digits[3];
    if (hours > 18 || minutes > 59)
        return false;
    *ret_offset_s = (is_west ? -1 : 1) * (hours * 3600 + minutes * 60);
    return true;
}

/* ---- POSIX rule of the footer: "CET-1CEST,M3.5.0,M10.5.0/3" ---- */

struct rule_day {
    char kind; /* 'M', 'J' or '0' */
    int month, week, day;
    int time_s;
};

static const char *rule_name(const char *p)
{
    if (*p == '<') {
        while (*p && *p != '>')
            p++;
        return *p ? p + 1 : NULL;
    }
    const char *from = p;
    while ((*p | 32) >= 'a' && (*p | 32) <= 'z')
        p++;
    return p - from >= 3 ? p : NULL;
}

/* [+-]hh[:mm[:ss]] in seconds. */
static const char *rule_time(const char *p, int *ret_s)
{
    int sign = *p == '-' ? -1 : 1, parts[3] = {0}, n = 0;
    p += *p == '-' || *p == '+';
    if (*p < '0' || *p > '9')
        return NULL;
    for (;;) {
        char *end;
        parts[n++] = (int)strtol(p, &end, 10);
        p = end;
        if (*p != ':' || n == 3)
            break;
        p++;
    }
    *ret_s = sign * (parts[0] * 3600 + parts[1] * 60 + parts[2]);
    return p;
}

static const char *rule_day(const char *p, struct rule_day *day)
{
    char *end;
    *day = (struct rule_day){.kind = '0', .time_s = 7200};
    if (*p == 'M' || *p == 'J')
        day->kind = *p++;
    day->day = (int)strtol(p, &end, 10);
    if (end == p)
        return NULL;
    p = end;
    if (day->kind == 'M') {
        day->month = day->day;
        if (*p++ != '.')
            return NULL;
        day->week = (int)strtol(p, &end, 10);
        if (*end != '.')
            return NULL;
        day->day = (int)strtol(end + 1, &end, 10);
        if (day->month < 1 || day->month > 12 || day->week < 1 || day->week > 5)
            return NULL;
        p = end;
    }
    return *p == '/' ? rule_time(p + 1, &day->time_s) : p;
}

static int64_t rule_day_s(const struct rule_day *day, int64_t year)
{
    int64_t days;
    if (day->kind == 'M') {
        int64_t first = tn_days_of(year, day->month, 1);
        int weekday = tn_day_of_week(first) % 7; /* 0 = Sunday */
        int dom = 1 + (day->day - weekday + 7) % 7 + (day->week - 1) * 7;
        while (dom > tn_days_in_month(year, day->month))
            dom -= 7;
        days = first + dom - 1;
    } else {
        days = tn_days_of(year, 1, 1) + day->day - (day->kind == 'J');
        if (day->kind == 'J' && tn_days_in_month(year, 2) == 29 && day->day >= 60)
            days++;
    }
    return days * 86400 + day->time_s;
}

static void add_change(struct tn_zone *zone, int64_t at_s, int32_t offset_s)
{
    if (zone->changes_count == CHANGES_MAX)
        return;
    if (zone->changes_count && zone->changes[zone->changes_count - 1].at_s >= at_s)
        return;
    zone->changes[zone->changes_count++] = (struct change){at_s, offset_s};
}

static void expand_rule(struct tn_zone *zone, const char *rule)
{
    int standard_s, summer_s;
    struct rule_day from, to;
    const char *p = rule_name(rule);
    if (!p || !(p = rule_time(p, &standard_s)) || !*p)
        return;
    if (!(p = rule_name(p)))
        return;
    summer_s = standard_s - 3600;
    if (*p && *p != ',' && !(p = rule_time(p, &summer_s)))
        return;
    if (*p != ',' || !(p = rule_day(p + 1, &from)) || *p != ',' || !rule_day(p + 1, &to))
        return;
    int64_t last_s = zone->changes_count ? zone->changes[zone->changes_count - 1].at_s : 0;
    for (int64_t year = tn_civil_of(tn_floor_div(last_s, 86400)).year; year <= RULE_YEAR_END;
         year++) {
        int64_t start = rule_day_s(&from, year) + standard_s;
        int64_t end = rule_day_s(&to, year) + summer_s;
        if (start < end) {
            add_change(zone, start, -summer_s);
            add_change(zone, end, -standard_s);
        } else {
            add_change(zone, end, -standard_s);
            add_change(zone, start, -summer_s);
        }
    }
}

/* ---- TZif ---- */

struct tzif {
    uint32_t isut, isstd, leap, time, type, chars;
};

static const char *read_header(const char *p, const char *end, struct tzif *head)
{
    if (end - p < 44 || memcmp(p, "TZif", 4) != 0)
        return NULL;
    *head = (struct tzif){tn_be32(p + 20), tn_be32(p + 24), tn_be32(p + 28),
                          tn_be32(p + 32), tn_be32(p + 36), tn_be32(p + 40)};
    if (head->time > 2000 || head->type > 256 || head->type == 0 || head->chars > 4096 ||
        head->leap > 1000 || head->isut > 256 || head->isstd > 256)
        return NULL;
    return p + 44;
}

static bool parse_tzif(struct tn_zone *zone, struct tn_str bytes)
{
    const char *p = bytes.ptr, *end = bytes.ptr + bytes.len;
    struct tzif head;
    if (!(p = read_header(p, end, &head)))
        return false;
    size_t skip =
        head.time * 5ul + head.type * 6ul + head.chars + head.leap * 8ul + head.isstd + head.isut;
    if ((size_t)(end - p) < skip || !(p = read_header(p + skip, end, &head)))
        return false; /* version 1 files are not supported */
    size_t body =
        head.time * 9ul + head.type * 6ul + head.chars + head.leap * 12ul + head.isstd + head.isut;
    if ((size_t)(end - p) < body)
        return false;
    const char *kinds = p + head.time * 8ul, *types = kinds + head.time;
    zone->first_offset_s = (int32_t)tn_be32(types);
    for (uint32_t i = 0; i < head.time; i++) {
        unsigned kind = (unsigned char)kinds[i];
        if (kind >= head.type)
            return false;
        add_change(zone, (int64_t)tn_be64(p + i * 8ul), (int32_t)tn_be32(types + kind * 6ul));
    }
    char rule[128];
    const char *footer = p + body;
    size_t len = 0;
    if (footer < end && *footer == '\n')
        for (footer++; footer < end && *footer != '\n' && len < sizeof rule - 1; footer++)
            rule[len++] = *footer;
    rule[len] = 0;
    if (len)
        expand_rule(zone, rule);
    return true;
}

static bool load(struct tn_zone *zone)
{
    struct tn_buf buf;
    tn_buf_init(&buf, TN_ZONE_BYTES_MAX);
    bool is_read = loader && loader(zone->name, &buf) && !tn_buf_over(&buf);
    if (is_read) {
        zone->changes = tn_alloc_array(CHANGES_MAX, sizeof *zone->changes);
        is_read = parse_tzif(zone, tn_buf_str(&buf));
        zone->changes =
            tn_realloc(zone->changes, (zone->changes_count + 1) * sizeof *zone->changes);
    }
    tn_buf_release(&buf);
    return is_read;
}

static bool is_name(struct tn_str name)
{
    if (name.len == 0 || name.len > NAME_MAX_LEN || name.ptr[0] == '/')
        return false;
    for (size_t i = 0; i < name.len; i++) {
        unsigned char b = (unsigned char)name.ptr[i];
        bool is_letter = (b | 32u) >= 'a' && (b | 32u) <= 'z';
        if (!is_letter && !(b >= '0' && b <= '9') && !strchr("_+-/", b))
            return false;
    }
    return true;
}

const struct tn_zone *tn_zone_find(struct tn_str name)
{
    struct tn_zone *zone = NULL;
    if (!name.ptr || (!is_name(name) && !memchr(name.ptr, ':', name.len)))
        return NULL;
    if (name.len > NAME_MAX_LEN)
        return NULL;
    pthread_mutex_lock(&cache_lock);
    for (uint32_t i = 0; i < cache_count && !zone; i++)
        if (tn_str_eq(tn_str_of(cache[i]->name), name))
            zone = cache[i];
    if (!zone && cache_count < TN_ZONES_MAX) {
        zone = tn_alloc(sizeof *zone);
        memcpy(zone->name, name.ptr, name.len);
        zone->is_missing =
            !parse_fixed(name, &zone->first_offset_s) && !(is_name(name) && load(zone));
        cache[cache_count++] = zone;
    }
    pthread_mutex_unlock(&cache_lock);
    return zone && !zone->is_missing ? zone : NULL;
}

struct tn_str tn_zone_name(const struct tn_zone *zone)
{
    return tn_str_of(zone->name);
}

int32_t tn_zone_offset_s(const struct tn_zone *zone, int64_t utc_us)
{
    int64_t at_s = tn_floor_div(utc_us, TN_US_PER_SECOND);
    uint32_t low = 0, high = zone->changes_count;
    while (low < high) {
        uint32_t mid = (low + high) / 2;
        if (zone->changes[mid].at_s <= at_s)
            low = mid + 1;
        else
            high = mid;
    }
    return low ? zone->changes[low - 1].offset_s : zone->first_offset_s;
}

int64_t tn_zone_to_utc(const struct tn_zone *zone, int64_t local_us)
{
    if (local_us > INT64_MAX - 2 * TN_US_PER_DAY || local_us < INT64_MIN + 2 * TN_US_PER_DAY)
        return local_us;
    /* the offsets a day earlier and later bracket any change near the wall time */
    int64_t early = tn_zone_offset_s(zone, local_us - TN_US_PER_DAY) * TN_US_PER_SECOND;
    int64_t late = tn_zone_offset_s(zone, local_us + TN_US_PER_DAY) * TN_US_PER_SECOND;
    int64_t by_early = local_us - early, by_late = local_us - late;
    if (tn_zone_offset_s(zone, by_early) * TN_US_PER_SECOND == early)
        return by_early;
    if (tn_zone_offset_s(zone, by_late) * TN_US_PER_SECOND == late)
        return by_late;
    return by_early; /* skipped: as if the change had not come yet */
}
