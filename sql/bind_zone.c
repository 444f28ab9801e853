/* Time zones of TIMESTAMP WITH TIME ZONE. A value is an instant (µs UTC); the zone it is shown in
 * is part of its type here, known when the statement is bound: that of a literal, of AT TIME ZONE,
 * else the session's. NULL is UTC, and then nothing in this file does anything.
 *
 * Functions of the wall clock (hour, date_trunc, date_format…) get the wall clock of the zone as a
 * TIMESTAMP; what they give back as an instant is converted back. So the kernels know no zones.
 * Limits: zones are constants of a statement; a column has the session's. */
#include <stdio.h>
#include <stdlib.h>

#include "sql/bind_build.h"
#include "sql/bind_int.h"
#include "stream/base/time.h"
#include "stream/base/zone.h"

const struct tn_zone *tni_zone_find(struct tn_str name, bool *ret_is_known)
{
    static const char *const utc[] = {
        "UTC",      "Etc/UTC", "GMT",           "Etc/GMT",  "Z",
        "UCT",      "Etc/UCT", "Zulu",          "Etc/Zulu", "Universal",
        "Etc/GMT0", "GMT0",    "Etc/Universal", "+00:00",   "-00:00"};
    *ret_is_known = true;
    for (size_t i = 0; i < sizeof utc / sizeof *utc; i++)
        if (tn_str_eq_nocase(name, tn_str_of(utc[i])))
            return NULL;
    const struct tn_zone *zone = tn_zone_find(name);
    *ret_is_known = zone != NULL;
    return zone;
}

static bool is_instant(const struct tn_expr *expr)
{
    return expr->type->kind == TN_K_TIMESTAMP_TZ;
}

/* The node again, shown in `zone`. */
static struct tn_expr *in_zone(const struct tni_build *build, const struct tn_expr *expr,
                               const struct tn_zone *zone)
{
    struct tn_expr *copy = TN_ARENA_NEW(build->arena, struct tn_expr);
    *copy = *expr;
    copy->type = tn_type_zoned(build->arena, expr->type, zone);
    if (tni_is_const(copy))
        copy->value.type = copy->type;
    return copy;
}

static struct tn_expr *zone_text(const struct tni_build *build, const struct tn_zone *zone,
                                 struct tni_pos pos)
{
    return tni_const_str(build, zone ? tn_zone_name(zone) : TN_STR("UTC"), pos);
}

/* The wall clock of an instant's zone, a TIMESTAMP. */
static enum tn_status wall_of(const struct tni_build *build, struct tn_expr *expr,
                              const struct tn_zone *zone, struct tn_expr **ret_expr,
                              struct tn_err *err)
{
    struct tni_pos pos = {expr->line, expr->col};
    struct tn_expr *args[2] = {expr, zone_text(build, zone, pos)};
    return tni_call_plain(build, TN_STR("at_timezone"), args, 2, pos, ret_expr, err);
}

/* The instant at which `zone` shows a TIMESTAMP. */
static enum tn_status instant_of(const struct tni_build *build, struct tn_expr *expr,
                                 const struct tn_zone *zone, struct tn_expr **ret_expr,
                                 struct tn_err *err)
{
    struct tni_pos pos = {expr->line, expr->col};
    struct tn_expr *args[2] = {expr, zone_text(build, zone, pos)}, *call;
    TN_TRY(tni_call_plain(build, TN_STR("with_timezone"), args, 2, pos, &call, err));
    *ret_expr = in_zone(build, call, zone);
    return TN_OK;
}

/* ---- AT TIME ZONE ---- */

static enum tn_status constant_zone(struct tn_expr *expr, const struct tn_zone **ret_zone,
                                    struct tn_err *err)
{
    bool is_known;
    if (!tni_is_const(expr) || expr->value.is_null || expr->type->kind != TN_K_VARCHAR)
        return tni_not_supported(err, expr->line, expr->col,
                                 "a time zone must be a constant text here");
    *ret_zone = tni_zone_find(expr->value.s, &is_known);
    if (!is_known)
        return tn_err_at(err, TN_E_EVAL, "INVALID_FUNCTION_ARGUMENT", expr->line, expr->col,
                         "'%.*s' is not a valid time zone",
                         (int)(expr->value.s.len < 64 ? expr->value.s.len : 64), expr->value.s.ptr);
    return TN_OK;
}

static enum tn_status at_zone(const struct tni_build *build, struct tn_expr **args,
                              struct tn_expr **ret_expr, struct tn_err *err)
{
    const struct tn_zone *zone;
    struct tn_expr *instant = args[0];
    TN_TRY(constant_zone(args[1], &zone, err));
    if (!is_instant(instant))
        TN_TRY(tni_cast(build, instant, tn_type_of(TN_K_TIMESTAMP_TZ), false,
                        (struct tni_pos){instant->line, instant->col}, &instant, err));
    *ret_expr = in_zone(build, instant, zone);
    return TN_OK;
}

/* ---- functions of the wall clock ---- */

enum zone_use { USE_INSTANT, USE_WALL, USE_WALL_BACK, USE_OFFSET };

static bool is_fine_unit(const struct tn_expr *expr)
{
    enum tn_unit unit;
    return tni_is_const(expr) && !expr->value.is_null && expr->type->kind == TN_K_VARCHAR &&
           tn_unit_parse(expr->value.s, &unit) && unit <= TN_UNIT_HOUR;
}

static enum zone_use use_of(struct tn_str name, struct tn_expr **args, uint32_t args_count)
{
    static const char *const wall[] = {"year",
                                       "quarter",
                                       "month",
                                       "week",
                                       "week_of_year",
                                       "day",
                                       "day_of_month",
                                       "dow",
                                       "day_of_week",
                                       "doy",
                                       "day_of_year",
                                       "yow",
                                       "year_of_week",
                                       "hour",
                                       "minute",
                                       "second",
                                       "millisecond",
                                       "date",
                                       "date_format",
                                       "format_datetime",
                                       "last_day_of_month"};
    for (size_t i = 0; i < sizeof wall / sizeof *wall; i++)
        if (tn_str_eq_nocase(name, tn_str_of(wall[i])))
            return USE_WALL;
    if (tn_str_eq_nocase(name, TN_STR("date_trunc")))
        return USE_WALL_BACK;
    if (tn_str_eq_nocase(name, TN_STR("date_add")))
        return is_fine_unit(args[0]) ? USE_INSTANT : USE_WALL_BACK;
    if (tn_str_eq_nocase(name, TN_STR("date_diff")))
        return is_fine_unit(args[0]) ? USE_INSTANT : USE_WALL;
    if (tn_str_eq_nocase(name, TN_STR("timezone_hour")) ||
        tn_str_eq_nocase(name, TN_STR("timezone_minute")))
        return USE_OFFSET;
    bool has_months = false;
    for (uint32_t i = 0; i < args_count; i++)
        has_months |= args[i]->type->kind == TN_K_INTERVAL_YEAR;
    return has_months ? USE_WALL_BACK : USE_INSTANT;
}

/* Patterns that print the zone would print UTC's. */
static enum tn_status check_pattern(struct tn_str name, struct tn_expr **args, uint32_t args_count,
                                    struct tn_err *err)
{
    if (!tn_str_eq_nocase(name, TN_STR("format_datetime")) || args_count != 2)
        return TN_OK;
    const struct tn_expr *pattern = args[1];
    bool is_plain = tni_is_const(pattern) && !pattern->value.is_null &&
                    pattern->type->kind == TN_K_VARCHAR &&
                    !memchr(pattern->value.s.ptr, 'Z', pattern->value.s.len) &&
                    !memchr(pattern->value.s.ptr, 'z', pattern->value.s.len);
    if (is_plain)
        return TN_OK;
    return tni_not_supported(err, pattern->line, pattern->col,
                             "format_datetime can show the zone of UTC values only");
}

/* Seconds between the wall clock and UTC, as hours or as the minutes that are left. */
static enum tn_status offset_of(const struct tni_build *build, struct tn_str name,
                                struct tn_expr *arg, const struct tn_zone *zone, struct tni_pos pos,
                                struct tn_expr **ret_expr, struct tn_err *err)
{
    bool is_hour = tn_str_eq_nocase(name, TN_STR("timezone_hour"));
    struct tn_expr *args[3], *seconds, *pair[2];
    args[0] = tni_const_str(build, TN_STR("minute"), pos);
    TN_TRY(wall_of(build, arg, NULL, &args[1], err));
    TN_TRY(wall_of(build, arg, zone, &args[2], err));
    TN_TRY(tni_call_plain(build, TN_STR("date_diff"), args, 3, pos, &seconds, err));
    pair[0] = seconds;
    pair[1] = tni_const_i64(build, TN_K_BIGINT, 60, pos);
    return tni_call_plain(build, is_hour ? TN_STR("/") : TN_STR("%"), pair, 2, pos, ret_expr, err);
}

static enum tn_status wall_call(const struct tni_build *build, struct tn_str name,
                                struct tn_expr **args, uint32_t args_count,
                                const struct tn_zone *zone, bool is_back, struct tni_pos pos,
                                struct tn_expr **ret_expr, struct tn_err *err)
{
    struct tn_expr *own[TN_FUNC_ARGS_MAX];
    TN_TRY(check_pattern(name, args, args_count, err));
    for (uint32_t i = 0; i < args_count; i++) {
        own[i] = args[i];
        if (is_instant(args[i]))
            TN_TRY(wall_of(build, args[i], zone, &own[i], err));
    }
    TN_TRY(tni_call_plain(build, name, own, args_count, pos, ret_expr, err));
    if (is_back && (*ret_expr)->type->kind == TN_K_TIMESTAMP)
        return instant_of(build, *ret_expr, zone, ret_expr, err);
    return TN_OK;
}

/* Zone of a result: the constant's own for with_timezone and texts with a zone. */
static enum tn_status result_zone(const struct tni_build *build, struct tn_str name,
                                  struct tn_expr **args, uint32_t args_count,
                                  const struct tn_zone **ret_zone, struct tn_err *err)
{
    *ret_zone = build->zone;
    if (tn_str_eq_nocase(name, TN_STR("with_timezone")) && args_count == 2)
        return constant_zone(args[1], ret_zone, err);
    struct tn_datetime dt;
    bool is_text = tn_str_eq_nocase(name, TN_STR("from_iso8601_timestamp")) &&
                   tni_is_const(args[0]) && !args[0]->value.is_null &&
                   args[0]->type->kind == TN_K_VARCHAR;
    if (is_text && tn_datetime_parse(args[0]->value.s, &dt) && dt.has_zone)
        *ret_zone = tni_zone_of_datetime(&dt);
    return TN_OK;
}

const struct tn_zone *tni_zone_of_datetime(const struct tn_datetime *dt)
{
    char text[8];
    bool is_known;
    int minutes = dt->zone_s / 60;
    if (dt->zone_name.len)
        return tni_zone_find(dt->zone_name, &is_known);
    if (minutes == 0)
        return NULL;
    int len = snprintf(text, sizeof text, "%c%02d:%02d", minutes < 0 ? '-' : '+',
                       abs(minutes) / 60 % 100, abs(minutes) % 60);
    return tni_zone_find((struct tn_str){text, (size_t)len}, &is_known);
}

enum tn_status tni_zone_call(const struct tni_build *build, struct tn_str name,
                             struct tn_expr **args, uint32_t args_count, struct tni_pos pos,
                             struct tn_expr **ret_expr, struct tn_err *err)
{
    const struct tn_zone *zone = NULL;
    bool has_instant = false;
    for (uint32_t i = 0; i < args_count && !has_instant; i++)
        if (is_instant(args[i])) {
            has_instant = true;
            zone = args[i]->type->zone;
        }
    if (tn_str_eq_nocase(name, TN_STR("at_timezone")) && args_count == 2 &&
        (has_instant || args[0]->type->kind == TN_K_TIMESTAMP))
        return at_zone(build, args, ret_expr, err);
    if (has_instant && zone) {
        enum zone_use use = use_of(name, args, args_count);
        if (use == USE_OFFSET)
            return offset_of(build, name, args[0], zone, pos, ret_expr, err);
        if (use != USE_INSTANT)
            return wall_call(build, name, args, args_count, zone, use == USE_WALL_BACK, pos,
                             ret_expr, err);
    }
    TN_TRY(tni_call_plain(build, name, args, args_count, pos, ret_expr, err));
    if (!is_instant(*ret_expr))
        return TN_OK;
    if (!has_instant)
        TN_TRY(result_zone(build, name, args, args_count, &zone, err));
    if (zone)
        *ret_expr = in_zone(build, *ret_expr, zone);
    return TN_OK;
}

/* ---- casts ---- */

static enum tn_status text_to_instant(const struct tni_build *build, struct tn_expr *expr,
                                      const struct tn_type *type, bool is_try, struct tni_pos pos,
                                      struct tn_expr **ret_expr, struct tn_err *err)
{
    struct tn_datetime dt;
    bool is_const = tni_is_const(expr) && !expr->value.is_null;
    bool is_date = is_const && tn_datetime_parse(expr->value.s, &dt);
    if (is_date && !dt.has_zone && !dt.zone_name.len && build->zone) {
        TN_TRY(tni_cast_plain(build, expr, tn_type_of(TN_K_TIMESTAMP), is_try, pos, &expr, err));
        return instant_of(build, expr, build->zone, ret_expr, err);
    }
    TN_TRY(tni_cast_plain(build, expr, type, is_try, pos, ret_expr, err));
    if (is_date)
        *ret_expr = in_zone(build, *ret_expr, tni_zone_of_datetime(&dt));
    else if (build->zone)
        *ret_expr = in_zone(build, *ret_expr, build->zone);
    return TN_OK;
}

static enum tn_status instant_to_text(const struct tni_build *build, struct tn_expr *expr,
                                      const struct tn_type *type, struct tni_pos pos,
                                      struct tn_expr **ret_expr, struct tn_err *err)
{
    const struct tn_zone *zone = expr->type->zone;
    struct tn_str name = tn_zone_name(zone);
    struct tn_expr *pair[2];
    TN_TRY(wall_of(build, expr, zone, &pair[0], err));
    TN_TRY(tni_cast_plain(build, pair[0], tn_type_of(TN_K_VARCHAR), false, pos, &pair[0], err));
    pair[1] = tni_const_str(
        build, tn_str_of(tn_arena_printf(build->arena, " %.*s", TN_STR_FMT(name))), pos);
    TN_TRY(tni_call_plain(build, TN_STR("||"), pair, 2, pos, ret_expr, err));
    return tni_cast_plain(build, *ret_expr, type, false, pos, ret_expr, err);
}

enum tn_status tni_zone_cast(const struct tni_build *build, struct tn_expr *expr,
                             const struct tn_type *type, bool is_try, struct tni_pos pos,
                             struct tn_expr **ret_expr, struct tn_err *err)
{
    enum tn_kind from = expr->type->kind, to = type->kind;
    if (to == TN_K_TIMESTAMP_TZ && from == TN_K_VARCHAR)
        return text_to_instant(build, expr, type, is_try, pos, ret_expr, err);
    if (to == TN_K_TIMESTAMP_TZ && (from == TN_K_TIMESTAMP || from == TN_K_DATE) && build->zone) {
        TN_TRY(tni_cast_plain(build, expr, tn_type_of(TN_K_TIMESTAMP), is_try, pos, &expr, err));
        return instant_of(build, expr, build->zone, ret_expr, err);
    }
    if (from == TN_K_TIMESTAMP_TZ && to == TN_K_TIMESTAMP_TZ) { /* another precision */
        const struct tn_zone *zone = expr->type->zone;
        TN_TRY(tni_cast_plain(build, expr, type, is_try, pos, ret_expr, err));
        if (zone)
            *ret_expr = in_zone(build, *ret_expr, zone);
        return TN_OK;
    }
    if (from != TN_K_TIMESTAMP_TZ || !expr->type->zone)
        return tni_cast_plain(build, expr, type, is_try, pos, ret_expr, err);
    if (to == TN_K_VARCHAR)
        return instant_to_text(build, expr, type, pos, ret_expr, err);
    if (to == TN_K_TIMESTAMP || to == TN_K_DATE || to == TN_K_TIME)
        TN_TRY(wall_of(build, expr, expr->type->zone, &expr, err));
    return tni_cast_plain(build, expr, type, is_try, pos, ret_expr, err);
}
