/* The part of a frame that is the same for all readers: rates, latency, state, queries, sinks,
 * zones, names. Numbers come from the metrics registry and the engine's own lists. @thread builder
 */
#include <stdio.h>

#include "dashboards/live_int.h"
#include "connectors/http_probes.h"

#include "connectors/sink.h"
#include "sql/zone.h"

#define RATE_NS_MIN ((int64_t)200 * 1000000)

static double per_second(int64_t delta, int64_t ns)
{
    return ns > 0 && delta > 0 ? (double)delta * 1e9 / (double)ns : 0;
}

static void rates_update(struct tn_live *live)
{
    struct tni_live_past *past = &live->past;
    int64_t now_ns = tn_mono_ns(live->config.clock);
    int64_t ingested = tn_metric_value(live->ingested),
            processed = tn_metric_value(live->processed);
    int64_t commits = tn_engine_commit(live->config.engine);
    int64_t count = tn_metric_count(live->commit_seconds),
            sum = tn_metric_sum(live->commit_seconds);
    int64_t ns = now_ns - past->at_ns;
    if (past->at_ns != 0 && ns < RATE_NS_MIN)
        return; /* a reader came between two frames: too short for a rate */
    if (past->at_ns == 0) {
        past->commit_ms = -1;
    } else {
        past->events_per_s = per_second(ingested - past->ingested, ns);
        past->processed_per_s = per_second(processed - past->processed, ns);
        past->commits_per_s = per_second(commits - past->commits, ns);
        if (count > past->commit_count)
            past->commit_ms =
                (double)(sum - past->commit_sum_ns) / 1e6 / (double)(count - past->commit_count);
    }
    past->at_ns = now_ns;
    past->ingested = ingested;
    past->processed = processed;
    past->commits = commits;
    past->commit_count = count;
    past->commit_sum_ns = sum;
}

struct queries {
    struct tn_buf *buf;
    int64_t keys, bytes;
    bool is_first;
};

static bool print_query(void *ctx, const struct tn_query_info *info)
{
    static const char *const states[] = {"restoring", "running", "paused", "failed"};
    struct queries *queries = ctx;
    struct tn_buf *buf = queries->buf;
    queries->keys += info->state_keys;
    queries->bytes += info->state_bytes;
    tn_buf_add_text(buf, queries->is_first ? "{\"id\":" : ",{\"id\":");
    queries->is_first = false;
    tn_buf_add_json(buf, tn_str_of(info->plan->query_id));
    tn_buf_add_text(buf, ",\"sink\":");
    tn_buf_add_json(buf, tn_str_of(info->plan->sink_name ? info->plan->sink_name : ""));
    tn_buf_printf(
        buf,
        ",\"state\":\"%s\",\"rows_in\":%lld,\"rows_out\":%lld,\"lag\":%lld,\"lag_ms\":%lld,"
        "\"late\":%lld,\"bad\":%lld,\"unmatched\":%lld",
        states[info->state], (long long)info->rows_in, (long long)info->rows_out,
        (long long)info->lag_records, (long long)info->lag_ms, (long long)info->rows_late,
        (long long)info->rows_bad, (long long)info->rows_unmatched);
    if (info->state == TN_QUERY_FAILED) {
        tn_buf_add_text(buf, ",\"error\":");
        tn_buf_add_json(buf, tn_str_of(info->error.message));
    }
    tn_buf_add_byte(buf, '}');
    return true;
}

static bool print_sink(void *ctx, const struct tn_sink_info *info)
{
    static const char *const states[] = {"starting", "running", "paused", "retrying", "failed"};
    struct queries *sinks = ctx;
    struct tn_buf *buf = sinks->buf;
    tn_buf_add_text(buf, sinks->is_first ? "{\"name\":" : ",{\"name\":");
    sinks->is_first = false;
    tn_buf_add_json(buf, tn_str_of(info->spec->name));
    tn_buf_add_text(buf, ",\"table\":");
    tn_buf_add_json(buf, tn_str_of(info->spec->table));
    tn_buf_printf(buf,
                  ",\"state\":\"%s\",\"lag\":%lld,\"lag_ms\":%lld,\"rows\":%lld,\"files\":%lld,"
                  "\"bytes\":%lld,\"open_rows\":%lld,\"bad\":%lld",
                  states[info->state], (long long)info->lag_records, (long long)info->lag_ms,
                  (long long)info->rows, (long long)info->files, (long long)info->bytes,
                  (long long)info->open_rows, (long long)info->bad);
    if (info->error[0]) {
        tn_buf_add_text(buf, ",\"error\":");
        tn_buf_add_json(buf, tn_str_of(info->error));
    }
    tn_buf_add_text(buf, ",\"recent\":[");
    for (uint32_t i = 0; i < info->recent_count; i++) {
        const struct tn_sink_recent *file = &info->recent[i];
        tn_buf_add_text(buf, i ? ",{\"path\":" : "{\"path\":");
        tn_buf_add_json(buf, tn_str_of(file->path));
        tn_buf_printf(buf, ",\"rows\":%lld,\"bytes\":%lld,\"time\":%lld}", (long long)file->rows,
                      (long long)file->bytes, (long long)file->committed_ms);
    }
    tn_buf_add_text(buf, "]}");
    return true;
}

static void print_ready(struct tn_live *live, struct tn_buf *buf)
{
    struct tn_buf missing;
    tn_buf_init(&missing, 64 << 10);
    bool is_ready = tn_engine_is_ready(live->config.engine, &missing);
    tn_buf_printf(buf, ",\"ready\":%s,\"missing\":", is_ready ? "true" : "false");
    tn_buf_add_json(buf, tn_buf_str(&missing));
    tn_buf_release(&missing);
}

struct names {
    struct tn_buf *buf;
    bool is_first, is_tables;
};

static bool print_name(void *ctx, const struct tn_object *object)
{
    struct names *names = ctx;
    uint32_t label, value;
    bool is_listed = names->is_tables ? tni_live_table_columns(object, &label, &value)
                                      : object->kind == TN_OBJ_STREAM;
    if (!is_listed)
        return true;
    if (!names->is_first)
        tn_buf_add_byte(names->buf, ',');
    names->is_first = false;
    tn_buf_add_json(names->buf, tn_str_of(object->name));
    return true;
}

static void print_names(const struct tn_catalog *catalog, const char *member, bool is_tables,
                        struct tn_buf *buf)
{
    struct names names = {buf, true, is_tables};
    tn_buf_printf(buf, ",\"%s\":[", member);
    tn_catalog_each(catalog, print_name, &names);
    tn_buf_add_byte(buf, ']');
}

/* Names of the sinks that write a zone table. */
static void print_fillers(const struct tn_catalog *catalog, const struct tn_object *object,
                          struct tn_buf *buf)
{
    const struct tn_catalog_sink *sink;
    bool is_first = true;
    for (size_t i = 0; (sink = tn_catalog_sink_at(catalog, i)); i++) {
        if (!tn_str_eq_nocase(tn_str_of(sink->table_schema), tn_str_of(object->schema_name)) ||
            !tn_str_eq_nocase(tn_str_of(sink->table_name), tn_str_of(object->name)))
            continue;
        if (!is_first)
            tn_buf_add_byte(buf, ',');
        is_first = false;
        tn_buf_add_json(buf, tn_str_of(sink->name));
    }
}

/* Zone tables in order of schema and name: the first TNI_LIVE_ZONES of them, and how many there
 * are. From the catalog alone: no file is looked at for a frame. */
static void print_zones(const struct tn_catalog *catalog, struct tn_buf *buf)
{
    static const char *const formats[] = {"JSON", "CSV"};
    const struct tn_object *object;
    uint32_t count = 0;
    tn_buf_add_text(buf, ",\"zones\":[");
    for (size_t i = 0; (object = tn_catalog_at(catalog, i)); i++) {
        if (object->kind != TN_OBJ_ZONE || count++ >= TNI_LIVE_ZONES)
            continue;
        tn_buf_add_text(buf, count > 1 ? ",{\"schema\":" : "{\"schema\":");
        tn_buf_add_json(buf, tn_str_of(object->schema_name));
        tn_buf_add_text(buf, ",\"name\":");
        tn_buf_add_json(buf, tn_str_of(object->name));
        tn_buf_add_text(buf, ",\"location\":");
        tn_buf_add_json(buf, tn_str_of(object->zone->location));
        tn_buf_printf(buf, ",\"format\":\"%s\",\"external\":%s,\"columns\":%u,\"sinks\":[",
                      formats[object->zone->layout.format],
                      object->zone->is_external ? "true" : "false", object->schema->fields_count);
        print_fillers(catalog, object, buf);
        tn_buf_add_text(buf, "]}");
    }
    tn_buf_printf(buf, "],\"zone_tables\":%u", count);
}

void tni_live_now(struct tn_live *live, const struct tn_catalog *catalog, struct tn_buf *buf)
{
    struct tni_live_past *past = &live->past;
    struct queries queries = {buf, 0, 0, true};
    rates_update(live);
    tn_buf_printf(buf, "\"now\":{\"time\":%lld,\"uptime_ms\":%lld,\"version\":\"%s\"",
                  (long long)tn_wall_ms(live->config.clock),
                  (long long)((past->at_ns - live->started_ns) / 1000000), live->config.version);
    print_ready(live, buf);
    tn_buf_printf(buf, ",\"events_per_s\":%.2f,\"processed_per_s\":%.2f,\"commits_per_s\":%.2f",
                  past->events_per_s, past->processed_per_s, past->commits_per_s);
    if (past->commit_ms >= 0)
        tn_buf_printf(buf, ",\"commit_ms\":%.3f", past->commit_ms);
    else
        tn_buf_add_text(buf, ",\"commit_ms\":null");
    tn_buf_printf(buf,
                  ",\"events_total\":%lld,\"commit\":%lld,\"memory_bytes\":%lld,"
                  "\"dead_total\":%lld,\"queries\":[",
                  (long long)past->processed, (long long)past->commits,
                  (long long)tn_process_resident_bytes(), (long long)tn_metric_value(live->dead));
    tn_engine_each_query(live->config.engine, print_query, &queries);
    tn_buf_printf(buf, "],\"state_keys\":%lld,\"state_bytes\":%lld", (long long)queries.keys,
                  (long long)queries.bytes);
    struct queries sinks = {buf, 0, 0, true};
    tn_buf_add_text(buf, ",\"sinks\":[");
    if (live->config.sinks)
        tn_sinks_each(live->config.sinks, print_sink, &sinks);
    tn_buf_add_byte(buf, ']');
    print_zones(catalog, buf);
    print_names(catalog, "tables", true, buf);
    print_names(catalog, "streams", false, buf);
    tn_buf_add_text(buf, ",\"dead_letters\":");
    tni_live_dead(live, buf);
    tn_buf_add_byte(buf, '}');
}
