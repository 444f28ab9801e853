/* Covers stream/base: option tables (parse, ranges, units, nearest name, secrets, prefix rows,
 * printing), metrics
 * (series, quantiles, Prometheus text), log lines. */
#include "stream/base/logline.h"
#include "stream/base/metrics.h"
#include "stream/base/opt.h"
#include "tests/check.h"

struct conf {
    bool is_on;
    int64_t threads, bytes, wait_ms;
    double ratio;
    const char *name, *mode, *password;
    struct tn_opt_pair *kafka;
};

static const struct tn_opt items[] = {
    {"is.on", TN_OPT_BOOL, offsetof(struct conf, is_on), "true", 0, 0, NULL, 0, NULL, "switch"},
    {"threads", TN_OPT_INT, offsetof(struct conf, threads), "2", 1, 64, NULL, 0, NULL, "workers"},
    {"cache.bytes", TN_OPT_BYTES, offsetof(struct conf, bytes), "64m", 0, 0, NULL, TN_OPT_DYNAMIC,
     NULL, "budget"},
    {"wait.ms", TN_OPT_MS, offsetof(struct conf, wait_ms), "5s", 0, 0, NULL, 0, NULL, "wait"},
    {"ratio", TN_OPT_DOUBLE, offsetof(struct conf, ratio), "0.5", 0, 0, NULL, 0, NULL, "ratio"},
    {"name", TN_OPT_STRING, offsetof(struct conf, name), NULL, 0, 0, NULL, TN_OPT_REQUIRED, NULL,
     "name"},
    {"mode", TN_OPT_CHOICE, offsetof(struct conf, mode), "exactly_once", 0, 0,
     "exactly_once,at_least_once", 0, NULL, "guarantee"},
    {"password", TN_OPT_STRING, offsetof(struct conf, password), NULL, 0, 0, NULL, TN_OPT_SECRET,
     NULL, "secret"},
    {"kafka.", TN_OPT_STRING, offsetof(struct conf, kafka), NULL, 0, 0, NULL, TN_OPT_PREFIX, NULL,
     "passed through"},
    {"tls", TN_OPT_BOOL, 0, NULL, 0, 0, NULL, 0, "built without TLS", "tls"},
};
static const struct tn_opts opts = {"server", items, sizeof items / sizeof *items};

static enum tn_status set(struct conf *conf, struct tn_arena *arena, const char *name,
                          const char *value, struct tn_err *err)
{
    return tn_opt_set(&opts, conf, tn_str_of(name), tn_str_of(value), arena, err);
}

static void test_values(struct conf *conf, struct tn_arena *arena)
{
    struct tn_err err = TN_ERR_INIT;
    tn_opt_defaults(&opts, conf, arena);
    CHECK(conf->is_on);
    CHECK_INT(conf->bytes, 64 << 20);
    CHECK_INT(conf->wait_ms, 5000);
    CHECK_STR(tn_str_of(conf->mode), "exactly_once");
    CHECK(conf->name == NULL && conf->kafka == NULL);
    CHECK_OK(set(conf, arena, "Threads", "8", &err), &err);
    CHECK_OK(set(conf, arena, "cache.bytes", "64k", &err), &err);
    CHECK_OK(set(conf, arena, "wait.ms", "2 h", &err), &err);
    CHECK_OK(set(conf, arena, "mode", "AT_LEAST_ONCE", &err), &err);
    CHECK_OK(set(conf, arena, "kafka.a.b", "1", &err), &err);
    CHECK_OK(set(conf, arena, "kafka.c", "2", &err), &err);
    CHECK_OK(set(conf, arena, "kafka.a.b", "3", &err), &err);
    CHECK_OK(set(conf, arena, "password", "hunter2", &err), &err);
    CHECK_INT(conf->threads, 8);
    CHECK_INT(conf->bytes, 65536);
    CHECK_INT(conf->wait_ms, 7200000);
    CHECK_STR(tn_str_of(conf->mode), "at_least_once");
    CHECK_STR(tn_str_of(conf->kafka->name), "a.b");
    CHECK_STR(tn_str_of(conf->kafka->value), "3");
    CHECK_STR(tn_str_of(conf->kafka->next->value), "2");
}

static void test_refusals(struct conf *conf, struct tn_arena *arena)
{
    static const struct {
        const char *name, *value;
        enum tn_status st;
        const char *message;
    } cases[] = {
        {"thread", "1", TN_E_NAME, "unknown server option 'thread'"},
        {"threads", "65", TN_E_INVALID,
         "server option 'threads': 65 is out of range, expected 1 to 64"},
        {"threads", "1x", TN_E_INVALID,
         "server option 'threads': expected a whole number, got '1x'"},
        {"threads", "", TN_E_INVALID, "server option 'threads': expected a whole number, got ''"},
        {"threads", "99999999999999999999", TN_E_INVALID,
         "server option 'threads': expected a whole number, got '99999999999999999999'"},
        {"is.on", "1", TN_E_INVALID, "server option 'is.on': expected true or false, got '1'"},
        {"ratio", "nan", TN_E_INVALID, "server option 'ratio': expected a number, got 'nan'"},
        {"mode", "x", TN_E_INVALID,
         "server option 'mode': 'x' is not one of exactly_once,at_least_once"},
        {"tls", "true", TN_E_UNSUPPORTED,
         "server option 'tls' is not available: built without TLS"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tn_err err = TN_ERR_INIT;
        CHECK(set(conf, arena, cases[i].name, cases[i].value, &err) == cases[i].st);
        CHECK_STR(tn_str_of(err.message), cases[i].message);
    }
    struct tn_err err = TN_ERR_INIT;
    CHECK(set(conf, arena, "thread", "1", &err) == TN_E_NAME);
    CHECK_STR(tn_str_of(err.hint), "did you mean 'threads'?");
    bool is_set[sizeof items / sizeof *items] = {false};
    CHECK(tn_opt_check_required(&opts, is_set, &err) == TN_E_INVALID);
    CHECK_STR(tn_str_of(err.message), "server option 'name' is missing");
}

static void test_print(struct conf *conf)
{
    struct tn_buf buf;
    tn_buf_init(&buf, 1 << 16);
    static const char *const want[] = {
        "true", "8", "64k", "2h", "0.5", "", "at_least_once", "***", "kafka.a.b=3 kafka.c=2"};
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        tn_buf_reset(&buf);
        tn_opt_print_value(&items[i], conf, &buf);
        CHECK_STR(tn_buf_str(&buf), want[i]);
    }
    tn_buf_reset(&buf);
    tn_opt_print_help(&opts, &buf);
    CHECK(strstr(tn_buf_cstr(&buf), "--cache.bytes SIZE") != NULL);
    CHECK(strstr(tn_buf_cstr(&buf), "(default 64m)") != NULL);
    tn_buf_reset(&buf);
    tn_opt_print_markdown(&opts, &buf);
    CHECK(strstr(tn_buf_cstr(&buf), "| `threads` | a whole number, 1 … 64 | `2` | workers |"));
    tn_buf_release(&buf);
}

static const struct tn_metric_desc rows_desc = {"tarn_test_rows_total", TN_METRIC_COUNTER,
                                                "records", "query", "rows"};
static const struct tn_metric_desc took_desc = {"tarn_test_took_seconds", TN_METRIC_HISTOGRAM,
                                                "seconds", NULL, "time"};

static void test_metrics(void)
{
    struct tn_metrics *metrics = tn_metrics_new();
    struct tn_metric *a = tn_metric_get(metrics, &rows_desc, "a\"b");
    CHECK(a == tn_metric_get(metrics, &rows_desc, "a\"b"));
    tn_metric_add(a, 3);
    tn_metric_add(tn_metric_get(metrics, &rows_desc, "c"), 4);
    CHECK_INT(tn_metric_value(a), 3);
    struct tn_metric *took = tn_metric_get(metrics, &took_desc, NULL);
    CHECK_INT(tn_metric_quantile(took, 0.5), 0);
    for (int64_t i = 1; i <= 1000; i++)
        tn_metric_observe(took, i * 1000000);
    CHECK_INT(tn_metric_count(took), 1000);
    int64_t p50 = tn_metric_quantile(took, 0.5);
    CHECK(p50 >= 500000000 && p50 <= 500000000 + 500000000 / 16);
    CHECK(tn_metric_quantile(took, 1) >= 1000000000);
    tn_metric_observe(took, INT64_MAX);
    CHECK(tn_metric_quantile(took, 1) == INT64_MAX);
    struct tn_buf buf;
    tn_buf_init(&buf, 1 << 16);
    tn_metrics_print(metrics, &buf);
    const char *text = tn_buf_cstr(&buf);
    CHECK(strstr(text, "# TYPE tarn_test_rows_total counter\n") != NULL);
    CHECK(strstr(text, "tarn_test_rows_total{query=\"a\\\"b\"} 3\n") != NULL);
    CHECK(strstr(text, "tarn_test_took_seconds_count 1001\n") != NULL);
    tn_buf_release(&buf);
    tn_metrics_free(metrics);
}

static char last_line[128];

static void keep_line(enum tn_log_level level, const char *component, const char *line)
{
    snprintf(last_line, sizeof last_line, "%d %s %s", (int)level, component, line);
}

static void test_log(void)
{
    tn_logf(TN_LOG_ERROR, "x", "dropped without a sink");
    tn_log_set_sink(keep_line, TN_LOG_INFO);
    tn_logf(TN_LOG_WARN, "kafka", "broker away, name=%s", "a\nb");
    CHECK_STR(tn_str_of(last_line), "1 kafka broker away, name=a b");
    tn_logf(TN_LOG_DEBUG, "kafka", "too fine");
    CHECK_STR(tn_str_of(last_line), "1 kafka broker away, name=a b");
    tn_log_set_sink(NULL, TN_LOG_ERROR);
}

int main(void)
{
    struct tn_arena arena;
    tn_arena_init(&arena, 0);
    struct conf conf;
    test_values(&conf, &arena);
    test_refusals(&conf, &arena);
    test_print(&conf);
    test_metrics();
    test_log();
    tn_arena_release(&arena);
    return TN_TEST_END();
}
