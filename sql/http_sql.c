/* Routes of the database: reads the request into a job and decides where it runs. See
 * http_sql_int.h.
 *
 * POST /sql         body: one statement as text. Accept: NDJSON (default), JSON, CSV. ?fresh=1
 * waits until everything acknowledged before is visible. Session: X-Tarn-Catalog, X-Tarn-Schema or
 * ?catalog=, ?schema=. GET /sql?q=       the same, read-only. GET /sql/stream?q=  rows as
 * server-sent events: `columns` once, then one event a row (`delete` for a removed key), `error`,
 * `end`.
 */
#include "sql/http_sql_int.h"

#include <stdio.h>

#include "stream/base/mem.h"
#include "stream/base/utf8.h"

#define STATEMENT_BYTES_DEFAULT ((int64_t)64 << 10)

static const struct tn_metric_desc statements_desc = {
    "tarn_sql_statements_total", TN_METRIC_COUNTER, "statements", "class", "statements done"};
static const struct tn_metric_desc failed_desc = {"tarn_sql_failed_total", TN_METRIC_COUNTER,
                                                  "statements", NULL, "statements with an error"};
static const struct tn_metric_desc cancelled_desc = {
    "tarn_sql_cancelled_total", TN_METRIC_COUNTER, "statements", NULL,
    "statements ended because their client left or the server stopped"};
static const struct tn_metric_desc ns_desc = {"tarn_sql_statement_seconds", TN_METRIC_HISTOGRAM,
                                              "seconds", NULL, "time from request to answer"};
static const struct tn_metric_desc queued_desc = {"tarn_sql_queued", TN_METRIC_GAUGE, "statements",
                                                  NULL, "statements waiting for a thread"};
static const struct tn_metric_desc inline_desc = {
    "tarn_sql_inline_total", TN_METRIC_COUNTER, "statements", NULL,
    "short statements answered on the polling thread"};
static const struct tn_metric_desc retried_desc = {
    "tarn_sql_inline_retried_total", TN_METRIC_COUNTER, "statements", NULL,
    "statements begun on the polling thread that were not short"};
static const struct tn_metric_desc pushes_desc = {"tarn_sql_push_queries", TN_METRIC_GAUGE,
                                                  "queries", NULL, "push queries running"};

static void metrics_open(struct tn_http_sql *http)
{
    static const char *const classes[5] = {"query", "push", "ddl", "insert", "admin"};
    struct tn_metrics *metrics = http->config.metrics;
    struct tni_sql_metrics *m = &http->m;
    for (int i = 0; i < 5; i++)
        m->statements[i] = tn_metric_get(metrics, &statements_desc, classes[i]);
    m->failed = tn_metric_get(metrics, &failed_desc, NULL);
    m->cancelled = tn_metric_get(metrics, &cancelled_desc, NULL);
    m->ns = tn_metric_get(metrics, &ns_desc, NULL);
    m->queued = tn_metric_get(metrics, &queued_desc, NULL);
    m->inlined = tn_metric_get(metrics, &inline_desc, NULL);
    m->retried = tn_metric_get(metrics, &retried_desc, NULL);
    m->pushes = tn_metric_get(metrics, &pushes_desc, NULL);
}

/* ---- request → job ---- */

static enum tn_status choose_format(struct tn_http_request *req, enum tn_result_format *ret_format,
                                    struct tn_err *err)
{
    static const char *const types[] = {"application/x-ndjson", "application/json", "text/csv"};
    static const char *const names[] = {"ndjson", "json", "csv"};
    struct tn_str format = tn_http_query(req, "format");
    int index = -1;
    if (format.ptr) {
        for (int i = 0; i < 3; i++)
            if (tn_str_eq_nocase(format, tn_str_of(names[i])))
                index = i;
        if (index < 0)
            return tn_err_set(err, TN_E_INVALID, "format must be ndjson, json or csv");
    } else {
        index = tn_http_accept(req, types, 3);
        if (index < 0) {
            tn_http_reply(req, 406, NULL);
            return tn_err_set(err, TN_E_INVALID,
                              "answers come as application/x-ndjson, "
                              "application/json or text/csv");
        }
    }
    *ret_format = (enum tn_result_format)index;
    return TN_OK;
}

static enum tn_status session_name(struct tn_http_request *req, const char *header,
                                   const char *query, char *to, size_t size, struct tn_err *err)
{
    struct tn_str name = tn_http_header(req, header);
    if (!name.ptr)
        name = tn_http_query(req, query);
    if (!name.ptr)
        return TN_OK;
    if (name.len == 0 || name.len >= size)
        return tn_err_set(err, TN_E_INVALID, "%s must have 1 to %zu bytes", query, size - 1);
    memcpy(to, name.ptr, name.len);
    to[name.len] = 0;
    return TN_OK;
}

static enum tn_status check_text(const struct tn_http_sql *http, struct tn_http_request *req,
                                 struct tn_str text, struct tn_err *err)
{
    int64_t limit = http->config.statement_bytes_max ? http->config.statement_bytes_max
                                                     : STATEMENT_BYTES_DEFAULT;
    if ((int64_t)text.len > limit) {
        tn_http_reply(req, 413, NULL);
        return tn_err_set(err, TN_E_LIMIT, "the statement is longer than %lld bytes",
                          (long long)limit);
    }
    if (!tn_utf8_ok(text.ptr, text.len) || memchr(text.ptr, 0, text.len))
        return tn_err_set(err, TN_E_INVALID, "the statement is not valid UTF-8 text");
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.ptr[i] > ' ')
            return TN_OK;
    enum tn_status st = tn_err_set(err, TN_E_INVALID, "there is no statement");
    tn_err_hint(err, "send one SQL statement as the body, or as ?q=");
    return st;
}

static enum tn_status read_flag(struct tn_http_request *req, const char *name, bool *ret_flag,
                                struct tn_err *err)
{
    struct tn_str value = tn_http_query(req, name);
    if (!value.ptr || tn_str_eq(value, TN_STR("0")) || tn_str_eq_nocase(value, TN_STR("false")))
        return TN_OK;
    if (!tn_str_eq(value, TN_STR("1")) && !tn_str_eq_nocase(value, TN_STR("true")) && value.len)
        return tn_err_set(err, TN_E_INVALID, "%s must be 0 or 1", name);
    *ret_flag = true;
    return TN_OK;
}

static void budget_init(struct tni_sql_job *job)
{
    const struct tn_http_sql_config *config = &job->http->config;
    job->budget.clock = config->clock;
    job->budget.is_local = false;
    job->budget.rows_max = job->is_push ? 0 : config->rows_max;
    job->budget.memory_bytes_max = config->memory_bytes;
    job->budget.deadline_ns = job->is_push || config->timeout_ms <= 0
                                  ? 0
                                  : job->started_ns + config->timeout_ms * 1000000;
    atomic_init(&job->budget.memory_bytes, 0);
    atomic_init(&job->budget.is_cancelled, false);
}

/* The budget of an attempt that is thrown away when it takes long. */
static void budget_inline(struct tni_sql_job *job)
{
    int64_t until_ns = job->started_ns + TNI_SQL_INLINE_MAX;
    job->budget.is_local = true;
    if (job->budget.deadline_ns == 0 || job->budget.deadline_ns > until_ns)
        job->budget.deadline_ns = until_ns;
}

static enum tn_status job_new(struct tn_http_sql *http, struct tn_http_request *req,
                              struct tn_str text, bool is_sse, struct tni_sql_job **ret_job,
                              struct tn_err *err)
{
    enum tn_status st = TN_OK;
    TN_TRY(check_text(http, req, text, err));
    struct tni_sql_job *job = tn_alloc(sizeof *job);
    job->http = http;
    job->is_sse = is_sse;
    job->started_ns = tn_mono_ns(http->config.clock);
    tn_buf_init(&job->event, (size_t)256 << 20);
    tn_session_init(&job->session);
    if (!is_sse)
        TN_GOTO(choose_format(req, &job->format, err));
    TN_GOTO(session_name(req, "X-Tarn-Catalog", "catalog", job->session.catalog,
                         sizeof job->session.catalog, err));
    TN_GOTO(session_name(req, "X-Tarn-Schema", "schema", job->session.schema,
                         sizeof job->session.schema, err));
    TN_GOTO(read_flag(req, "fresh", &job->is_fresh, err));
    job->session.is_read_only = strcmp(tn_http_method(req), "POST") != 0;
    job->text = tn_strndup(text.ptr, text.len);
    job->text_len = text.len;
    job->shape = tni_sql_shape(text);
    job->is_push = is_sse || tni_sql_is_push(text);
    budget_init(job);
    job->req = req;
    *ret_job = job;
    return TN_OK;
fail:
    tni_sql_job_free(job);
    return st;
}

/* Hands the held request to another thread. */
static enum tn_status job_hand_over(struct tni_sql_job *job, struct tn_err *err)
{
    struct tn_http_sql *http = job->http;
    struct tn_http_request *req = job->req;
    job->place = job->is_push ? TNI_JOB_PUSH : TNI_JOB_POOL;
    tn_http_hold(req);
    tn_http_on_gone(req, tni_sql_job_cancel, job);
    enum tn_status st =
        job->is_push ? tni_sql_push_start(http, job, err) : tni_sql_pool_add(http, job, err);
    if (tn_failed(st)) {
        tn_http_on_gone(req, NULL, NULL);
        job->req = NULL;
        tni_sql_job_free(job);
        tn_http_reply_error(req, 503, err);
        tn_http_complete(req);
    }
    return TN_AGAIN;
}

static enum tn_status job_start(struct tni_sql_job *job, struct tn_err *err)
{
    struct tn_http_sql *http = job->http;
    if (job->is_push || job->is_fresh || !tni_sql_shape_is_short(http, job->shape))
        return job_hand_over(job, err);
    job->place = TNI_JOB_INLINE;
    budget_inline(job);
    if (tni_sql_job_run(job)) {
        tn_metric_add(http->m.inlined, 1);
        tni_sql_job_free(job);
        return TN_OK;
    }
    job->is_overflow = false;
    budget_init(job);
    return job_hand_over(job, err);
}

/* ---- routes ---- */

static enum tn_status post_sql(void *ctx, struct tn_http_request *req, struct tn_err *err)
{
    struct tni_sql_job *job;
    TN_TRY(job_new(ctx, req, tn_http_body(req), false, &job, err));
    return job_start(job, err);
}

static enum tn_status query_text(struct tn_http_request *req, struct tn_str *ret_text,
                                 struct tn_err *err)
{
    struct tn_str text = tn_http_query(req, "q");
    if (!text.ptr)
        return tn_err_set(err, TN_E_INVALID, "the statement is missing: give it as ?q=");
    *ret_text = text;
    return TN_OK;
}

static enum tn_status get_sql(void *ctx, struct tn_http_request *req, struct tn_err *err)
{
    struct tni_sql_job *job;
    struct tn_str text;
    TN_TRY(query_text(req, &text, err));
    TN_TRY(job_new(ctx, req, text, false, &job, err));
    return job_start(job, err);
}

static enum tn_status get_stream(void *ctx, struct tn_http_request *req, struct tn_err *err)
{
    struct tni_sql_job *job;
    struct tn_str text;
    TN_TRY(query_text(req, &text, err));
    TN_TRY(job_new(ctx, req, text, true, &job, err));
    return job_start(job, err);
}

static void routes_add(struct tn_http_sql *http, struct tn_http_server *server)
{
    const struct tn_http_route routes[] = {
        {.method = "POST",
         .path = "/sql",
         .handler = post_sql,
         .ctx = http,
         .flags = TN_HTTP_BODY | TN_HTTP_NO_STORE},
        {.method = "GET",
         .path = "/sql",
         .handler = get_sql,
         .ctx = http,
         .flags = TN_HTTP_NO_STORE},
        {.method = "GET", .path = "/sql/stream", .handler = get_stream, .ctx = http},
    };
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++)
        tn_http_route_add(server, &routes[i]);
    tn_ingest_routes(http->ingest, server);
}

enum tn_status tn_http_sql_open(const struct tn_http_sql_config *config,
                                struct tn_http_server *server, struct tn_http_sql **ret_http,
                                struct tn_err *err)
{
    struct tn_http_sql *http = tn_alloc(sizeof *http);
    enum tn_status st;
    http->config = *config;
    http->server = server;
    pthread_mutex_init(&http->lock, NULL);
    pthread_cond_init(&http->work, NULL);
    metrics_open(http);
    tni_sql_resolver_init(&http->resolver, config->db);
    struct tn_ingest_config ingest = {.application_id = config->application_id,
                                      .log = config->log,
                                      .formats = config->formats,
                                      .clock = config->clock,
                                      .metrics = config->metrics,
                                      .resolver = &http->resolver.base};
    TN_GOTO(tn_ingest_open(&ingest, &http->ingest, err));
    TN_GOTO(tni_sql_pool_start(http, err));
    routes_add(http, server);
    http->probes =
        tn_http_probes_new(server, config->engine, config->metrics, config->clock, config->version);
    *ret_http = http;
    return TN_OK;
fail:
    tn_http_sql_close(http);
    return st;
}

void tn_http_sql_close(struct tn_http_sql *http)
{
    if (!http)
        return;
    tni_sql_pool_stop(http);
    tn_ingest_close(http->ingest);
    tn_http_probes_free(http->probes);
    pthread_mutex_destroy(&http->lock);
    pthread_cond_destroy(&http->work);
    tn_free(http);
}
