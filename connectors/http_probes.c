/* Probes: what monitors and supervisors ask. All answers are made on the polling thread and take no
 * lock of the engine beyond its own read functions.
 *
 * /metrics prints the registry, the process (memory, CPU, descriptors) and one series per query, so
 * that a dropped query's series end with it. */
#include "connectors/http_probes.h"

#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "stream/base/mem.h"

struct tn_http_probes {
    struct tn_engine *engine;
    struct tn_metrics *metrics;
    struct tn_clock *clock;
    const char *version;
    int64_t started_ns;
};

/* ---- /metrics ---- */

enum query_value {
    QUERY_ROWS_IN,
    QUERY_ROWS_OUT,
    QUERY_LATE,
    QUERY_BAD,
    QUERY_UNMATCHED,
    QUERY_NULL_KEY,
    QUERY_LAG_RECORDS,
    QUERY_LAG_MS,
    QUERY_STATE_KEYS,
    QUERY_STATE_BYTES,
    QUERY_RUNNING,
    QUERY_VALUES_COUNT
};

static const struct tn_metric_desc query_descs[QUERY_VALUES_COUNT] = {
    [QUERY_ROWS_IN] = {"tarn_query_rows_in_total", TN_METRIC_COUNTER, "records", "query",
                       "records read"},
    [QUERY_ROWS_OUT] = {"tarn_query_rows_out_total", TN_METRIC_COUNTER, "records", "query",
                        "records written"},
    [QUERY_LATE] = {"tarn_query_rows_late_total", TN_METRIC_COUNTER, "records", "query",
                    "records dropped because their window was closed"},
    [QUERY_BAD] = {"tarn_query_rows_bad_total", TN_METRIC_COUNTER, "records", "query",
                   "records that could not be used"},
    [QUERY_UNMATCHED] = {"tarn_query_rows_unmatched_total", TN_METRIC_COUNTER, "records", "query",
                         "records without a match in an inner join"},
    [QUERY_NULL_KEY] = {"tarn_query_rows_null_key_total", TN_METRIC_COUNTER, "records", "query",
                        "records dropped for a null key"},
    [QUERY_LAG_RECORDS] = {"tarn_query_lag_records", TN_METRIC_GAUGE, "records", "query",
                           "visible input not processed yet"},
    [QUERY_LAG_MS] = {"tarn_query_lag_ms", TN_METRIC_GAUGE, "ms", "query",
                      "age of the oldest input not processed yet"},
    [QUERY_STATE_KEYS] = {"tarn_query_state_keys", TN_METRIC_GAUGE, "keys", "query",
                          "keys of its stores"},
    [QUERY_STATE_BYTES] = {"tarn_query_state_bytes", TN_METRIC_GAUGE, "bytes", "query",
                           "bytes of its stores"},
    [QUERY_RUNNING] = {"tarn_query_running", TN_METRIC_GAUGE, "", "query",
                       "1 = running, 0 = restoring, paused or failed"},
};

struct query_print {
    struct tn_buf *buf;
    enum query_value value;
};

static int64_t query_value(const struct tn_query_info *info, enum query_value value)
{
    switch (value) {
    case QUERY_ROWS_IN: return info->rows_in;
    case QUERY_ROWS_OUT: return info->rows_out;
    case QUERY_LATE: return info->rows_late;
    case QUERY_BAD: return info->rows_bad;
    case QUERY_UNMATCHED: return info->rows_unmatched;
    case QUERY_NULL_KEY: return info->rows_null_key;
    case QUERY_LAG_RECORDS: return info->lag_records;
    case QUERY_LAG_MS: return info->lag_ms;
    case QUERY_STATE_KEYS: return info->state_keys;
    case QUERY_STATE_BYTES: return info->state_bytes;
    case QUERY_RUNNING: return info->state == TN_QUERY_RUNNING;
    case QUERY_VALUES_COUNT:
    default: return 0;
    }
}

static void print_desc(struct tn_buf *buf, const struct tn_metric_desc *desc)
{
    tn_buf_printf(buf, "# HELP %s %s\n# TYPE %s %s\n", desc->name, desc->help, desc->name,
                  desc->kind == TN_METRIC_COUNTER ? "counter" : "gauge");
}

static bool print_query(void *ctx, const struct tn_query_info *info)
{
    struct query_print *print = ctx;
    tn_buf_printf(print->buf, "%s{query=\"%s\"} %lld\n", query_descs[print->value].name,
                  info->plan->query_id, (long long)query_value(info, print->value));
    return true;
}

static void print_queries(struct tn_engine *engine, struct tn_buf *buf)
{
    for (int i = 0; i < QUERY_VALUES_COUNT; i++) {
        struct query_print print = {buf, (enum query_value)i};
        print_desc(buf, &query_descs[i]);
        tn_engine_each_query(engine, print_query, &print);
    }
}

static const struct tn_metric_desc process_descs[] = {
    {"tarn_process_resident_bytes", TN_METRIC_GAUGE, "bytes", NULL, "resident memory"},
    {"tarn_process_cpu_seconds_total", TN_METRIC_COUNTER, "seconds", NULL, "CPU time"},
    {"tarn_process_uptime_seconds", TN_METRIC_GAUGE, "seconds", NULL, "time since start"},
};

int64_t tn_process_resident_bytes(void)
{
    long long size = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file) {
        if (fscanf(file, "%lld %lld", &size, &resident) != 2)
            resident = 0;
        fclose(file);
    }
    return resident * sysconf(_SC_PAGESIZE);
}

static void print_process(const struct tn_http_probes *probes, struct tn_buf *buf)
{
    struct rusage usage = {0};
    (void)getrusage(RUSAGE_SELF, &usage);
    double cpu = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                 (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    double up = (double)(tn_mono_ns(probes->clock) - probes->started_ns) / 1e9;
    print_desc(buf, &process_descs[0]);
    tn_buf_printf(buf, "%s %lld\n", process_descs[0].name, (long long)tn_process_resident_bytes());
    print_desc(buf, &process_descs[1]);
    tn_buf_printf(buf, "%s %.6f\n", process_descs[1].name, cpu);
    print_desc(buf, &process_descs[2]);
    tn_buf_printf(buf, "%s %.3f\n", process_descs[2].name, up);
    tn_buf_printf(buf,
                  "# HELP tarn_info version of this tarn\n# TYPE tarn_info gauge\n"
                  "tarn_info{version=\"%s\"} 1\n",
                  probes->version);
}

static enum tn_status get_metrics(void *ctx, struct tn_http_request *req, struct tn_err *err)
{
    struct tn_http_probes *probes = ctx;
    struct tn_buf *out = tn_http_out(req);
    (void)err;
    tn_metrics_print(probes->metrics, out);
    print_process(probes, out);
    print_queries(probes->engine, out);
    tn_http_reply(req, 200, "text/plain; version=0.0.4; charset=utf-8");
    return TN_OK;
}

/* ---- probes ---- */

static enum tn_status get_health(void *ctx, struct tn_http_request *req, struct tn_err *err)
{
    (void)ctx;
    (void)err;
    tn_http_reply_static(req, 200, "text/plain", TN_STR("ok\n"));
    return TN_OK;
}

static enum tn_status get_ready(void *ctx, struct tn_http_request *req, struct tn_err *err)
{
    struct tn_http_probes *probes = ctx;
    struct tn_buf *out = tn_http_out(req);
    struct tn_buf reason;
    (void)err;
    tn_buf_init(&reason, 64 << 10);
    bool is_ready = tn_engine_is_ready(probes->engine, &reason);
    if (is_ready) {
        tn_buf_add_text(out, "{\"ready\":true}\n");
    } else {
        tn_buf_add_text(out, "{\"ready\":false,\"missing\":");
        tn_buf_add_json(out, tn_buf_str(&reason));
        tn_buf_add_text(out, "}\n");
        tn_http_reply_header(req, "Retry-After", "1");
    }
    tn_buf_release(&reason);
    tn_http_reply(req, is_ready ? 200 : 503, "application/json");
    return TN_OK;
}

/* The document Trino clients read the version from. */
static enum tn_status get_info(void *ctx, struct tn_http_request *req, struct tn_err *err)
{
    struct tn_http_probes *probes = ctx;
    double minutes = (double)(tn_mono_ns(probes->clock) - probes->started_ns) / 6e10;
    struct tn_buf reason;
    (void)err;
    tn_buf_init(&reason, 64 << 10);
    bool is_ready = tn_engine_is_ready(probes->engine, &reason);
    tn_buf_release(&reason);
    tn_buf_printf(tn_http_out(req),
                  "{\"nodeVersion\":{\"version\":\"%s\"},\"environment\":\"tarn\","
                  "\"coordinator\":true,\"starting\":%s,\"uptime\":\"%.2fm\"}\n",
                  probes->version, is_ready ? "false" : "true", minutes);
    tn_http_reply(req, 200, "application/json");
    return TN_OK;
}

struct tn_http_probes *tn_http_probes_new(struct tn_http_server *server, struct tn_engine *engine,
                                          struct tn_metrics *metrics, struct tn_clock *clock,
                                          const char *version)
{
    struct tn_http_probes *probes = tn_alloc(sizeof *probes);
    *probes = (struct tn_http_probes){engine, metrics, clock, version, tn_mono_ns(clock)};
    const struct tn_http_route routes[] = {
        {.method = "GET", .path = "/metrics", .handler = get_metrics, .ctx = probes},
        {.method = "GET", .path = "/healthz", .handler = get_health, .ctx = probes},
        {.method = "GET", .path = "/readyz", .handler = get_ready, .ctx = probes},
        {.method = "GET", .path = "/v1/info", .handler = get_info, .ctx = probes},
    };
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        struct tn_http_route route = routes[i];
        route.flags = TN_HTTP_NO_STORE;
        tn_http_route_add(server, &route);
    }
    return probes;
}

void tn_http_probes_free(struct tn_http_probes *probes)
{
    tn_free(probes);
}
