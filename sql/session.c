/* What belongs to one client's session: its properties, its prepared statements, and what its last
 * statement was. The server keeps no sessions: whoever runs statements owns the struct.
 * Contract: sql/db.h. @thread any */
#include <stdio.h>

#include "sql/db_int.h"
#include "stream/base/zone.h"

void tn_session_init(struct tn_session *session)
{
    *session = (struct tn_session){.catalog = "tarn", .schema = "default", .update_count = -1};
}

/* ---- properties ---- */

const struct tni_session_property tni_session_properties[] = {
    {"auto_offset_reset", NULL, "varchar", "where a new persistent query starts to read streams"},
    {"query_max_run_time", "100.00d", "varchar", "a query is ended after this time"},
    {"time_zone_id", "", "varchar", "time zone of the session"},
};
const size_t tni_session_properties_count =
    sizeof tni_session_properties / sizeof *tni_session_properties;

/* Trino's durations: "2s", "1.5m", "100.00ms", "3d". */
static bool parse_duration(struct tn_str text, int64_t *ret_ms)
{
    static const struct {
        const char *unit;
        double ms;
    } units[] = {{"ns", 1e-6}, {"us", 1e-3},  {"ms", 1},         {"s", 1e3},
                 {"m", 60e3},  {"h", 3600e3}, {"d", 24 * 3600e3}};
    double value = 0, scale = 1;
    size_t at = 0;
    bool has_point = false, has_digit = false;
    for (; at < text.len && ((text.ptr[at] >= '0' && text.ptr[at] <= '9') || text.ptr[at] == '.');
         at++) {
        if (text.ptr[at] == '.') {
            if (has_point)
                return false;
            has_point = true;
            continue;
        }
        has_digit = true;
        value = value * 10 + (text.ptr[at] - '0');
        scale = has_point ? scale * 10 : 1;
    }
    while (at < text.len && text.ptr[at] == ' ')
        at++;
    struct tn_str unit = {text.ptr + at, text.len - at};
    for (size_t i = 0; has_digit && i < sizeof units / sizeof *units; i++)
        if (tn_str_eq(unit, tn_str_of(units[i].unit)) && value / scale * units[i].ms < 1e15) {
            *ret_ms = (int64_t)(value / scale * units[i].ms);
            return *ret_ms > 0;
        }
    return false;
}

static enum tn_status bad_value(struct tn_str name, struct tn_str value, const char *wanted,
                                struct tn_err *err)
{
    return tn_err_at(err, TN_E_INVALID, "INVALID_SESSION_PROPERTY", 0, 0,
                     "%.*s is invalid: '%.*s'; %s expected", TN_STR_FMT(name),
                     (int)(value.len < 80 ? value.len : 80), value.ptr, wanted);
}

enum tn_status tn_session_property(struct tn_session *session, struct tn_str name,
                                   struct tn_str value, struct tn_err *err)
{
    if (tn_str_eq_nocase(name, TN_STR("query_max_run_time")) ||
        tn_str_eq_nocase(name, TN_STR("query_max_execution_time"))) {
        if (!parse_duration(value, &session->max_run_ms))
            return bad_value(name, value, "a time such as 2s or 1.5m", err);
        return TN_OK;
    }
    if (tn_str_eq_nocase(name, TN_STR("auto_offset_reset"))) {
        bool is_latest = tn_str_eq_nocase(value, TN_STR("latest"));
        if (!is_latest && !tn_str_eq_nocase(value, TN_STR("earliest")))
            return bad_value(name, value, "earliest or latest", err);
        session->offset_reset = is_latest ? 2 : 1;
        return TN_OK;
    }
    if (tn_str_eq_nocase(name, TN_STR("time_zone_id"))) {
        if (value.len >= sizeof session->time_zone || !tn_zone_find(value))
            return tn_err_at(err, TN_E_UNSUPPORTED, "NOT_SUPPORTED", 0, 0,
                             "Time zone not supported: %.*s",
                             (int)(value.len < 80 ? value.len : 80), value.ptr);
        snprintf(session->time_zone, sizeof session->time_zone, "%.*s", TN_STR_FMT(value));
        return TN_OK;
    }
    return tn_err_at(err, TN_E_INVALID, "INVALID_SESSION_PROPERTY", 0, 0,
                     "Session property '%.*s' does not exist", (int)(name.len < 80 ? name.len : 80),
                     name.ptr);
}

const char *tni_session_value(const struct tn_session *session,
                              const struct tni_session_property *property, const char *server_reset,
                              char *buf, size_t size)
{
    static const char *const resets[] = {NULL, "earliest", "latest"};
    if (!strcmp(property->name, "auto_offset_reset"))
        return session->offset_reset ? resets[session->offset_reset] : server_reset;
    if (!strcmp(property->name, "time_zone_id"))
        return session->time_zone;
    if (session->max_run_ms == 0)
        return property->deflt;
    snprintf(buf, size, "%.2fs", (double)session->max_run_ms / 1000);
    return buf;
}

/* ---- prepared statements ---- */

enum tn_status tni_prepared_text(const struct tn_session *session, struct tn_str name,
                                 struct tn_str *ret_text, struct tn_err *err)
{
    for (uint32_t i = 0; i < session->prepared_count; i++)
        if (tn_str_eq(session->prepared[i].name, name)) {
            *ret_text = session->prepared[i].text;
            return TN_OK;
        }
    return tn_err_at(err, TN_E_NAME, "NOT_FOUND", 0, 0, "Prepared statement not found: %.*s",
                     (int)(name.len < 200 ? name.len : 200), name.ptr);
}

/* ---- kinds ---- */

static const char *drop_type(enum tn_ast_object object)
{
    switch (object) {
    case TN_AOB_STREAM: return "DROP STREAM";
    case TN_AOB_TABLE: return "DROP TABLE";
    case TN_AOB_VIEW: return "DROP VIEW";
    case TN_AOB_SCHEMA: return "DROP SCHEMA";
    case TN_AOB_TYPE: return "DROP TYPE";
    case TN_AOB_SINK: return "DROP SINK";
    case TN_AOB_JOB: return "DROP JOB";
    default: return "DROP";
    }
}

const char *tni_update_type(const struct tn_ast_stmt *stmt)
{
    switch (stmt->kind) {
    case TN_AS_QUERY:
    case TN_AS_SHOW:
    case TN_AS_DESCRIBE:
    case TN_AS_EXPLAIN:
    case TN_AS_PRINT: return NULL;
    case TN_AS_DROP: return drop_type(stmt->drop->object);
    case TN_AS_DEALLOCATE: return "DEALLOCATE";
    default: return tn_ast_stmt_text(stmt->kind);
    }
}
