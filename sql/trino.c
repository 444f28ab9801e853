/* Routes of the Trino protocol. See trino_int.h for how a statement becomes documents.
 *
 * Answers that are no documents (404, 410, 401) are plain text, as Trino's are. */
#include "sql/trino_int.h"

#include <stdio.h>

#include "stream/base/mem.h"
#include "stream/base/utf8.h"

static const struct tn_metric_desc descs[] = {
    {"tarn_trino_queries_total", TN_METRIC_COUNTER, "queries", NULL, "statements of Trino clients"},
    {"tarn_trino_failed_total", TN_METRIC_COUNTER, "queries", NULL, "of them with an error"},
    {"tarn_trino_cancelled_total", TN_METRIC_COUNTER, "queries", NULL,
     "of them ended by their client or by kill_query"},
    {"tarn_trino_abandoned_total", TN_METRIC_COUNTER, "queries", NULL,
     "of them ended because nobody asked for their pages"},
    {"tarn_trino_refused_total", TN_METRIC_COUNTER, "queries", NULL,
     "statements refused because too many were open"},
    {"tarn_trino_open", TN_METRIC_GAUGE, "queries", NULL, "statements not finished yet"},
    {"tarn_trino_pages_total", TN_METRIC_COUNTER, "pages", NULL, "pages with rows given out"},
    {"tarn_trino_page_bytes_total", TN_METRIC_COUNTER, "bytes", NULL, "bytes of their rows"},
    {"tarn_trino_held", TN_METRIC_GAUGE, "requests", NULL, "requests that wait for a page"},
    {"tarn_trino_query_seconds", TN_METRIC_HISTOGRAM, "seconds", NULL,
     "time from a statement's arrival to its end"},
};

static void metrics_open(struct tn_trino *trino)
{
    struct tn_metric **const to[] = {&trino->m.queries,   &trino->m.failed,     &trino->m.cancelled,
                                     &trino->m.abandoned, &trino->m.refused,    &trino->m.running,
                                     &trino->m.pages,     &trino->m.page_bytes, &trino->m.held,
                                     &trino->m.ns};
    for (size_t i = 0; i < sizeof descs / sizeof *descs; i++)
        *to[i] = tn_metric_get(trino->config.metrics, &descs[i], NULL);
}

static enum tn_status reply_text(struct tn_http_request *req, int status, const char *text)
{
    tn_buf_reset(tn_http_out(req));
    tn_buf_add_text(tn_http_out(req), text);
    tn_http_reply(req, status, "text/plain");
    return TN_OK;
}

static enum tn_status not_found(struct tn_http_request *req)
{
    return reply_text(req, 404, "Error 404 Not Found: Query not found\n");
}

/* ---- POST /v1/statement ---- */

static void budget_init(struct tni_trino_query *query)
{
    const struct tn_http_sql_config *config = &query->trino->config;
    int64_t ms = config->timeout_ms;
    if (query->session.max_run_ms > 0 && (ms <= 0 || query->session.max_run_ms < ms)) {
        ms = query->session.max_run_ms;
        query->max_run_ms = ms;
    }
    query->budget.clock = config->clock;
    query->budget.rows_max = config->rows_max;
    query->budget.memory_bytes_max = config->memory_bytes;
    query->budget.deadline_ns = ms > 0 ? query->created_ns + ms * 1000000 : 0;
}

/* Tries short statements at once; the others go to a thread. */
static void query_start(struct tni_trino_query *query)
{
    struct tn_trino *trino = query->trino;
    budget_init(query);
    if (tni_sql_shape_is_short(trino->http, query->shape)) {
        int64_t until_ns = query->created_ns + TNI_SQL_INLINE_MAX;
        query->is_inline = true;
        if (query->budget.deadline_ns == 0 || query->budget.deadline_ns > until_ns)
            query->budget.deadline_ns = until_ns;
        if (tni_trino_run(query))
            return;
        budget_init(query);
    }
    tni_trino_run_add(trino, query);
}

static bool is_blank(struct tn_str text)
{
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.ptr[i] > ' ')
            return false;
    return true;
}

static enum tn_status check_text(struct tni_trino_query *query, struct tn_str text,
                                 struct tn_err *err)
{
    if ((int64_t)text.len > TNI_TRINO_TEXT_MAX)
        return tn_err_at(err, TN_E_LIMIT, "QUERY_TEXT_TOO_LARGE", 0, 0,
                         "Query text length (%zu) exceeds the maximum length (%lld)", text.len,
                         (long long)TNI_TRINO_TEXT_MAX);
    if (!tn_utf8_ok(text.ptr, text.len) || memchr(text.ptr, 0, text.len))
        return tn_err_at(err, TN_E_SYNTAX, "SYNTAX_ERROR", 0, 0,
                         "the statement is not valid UTF-8 text");
    if (tni_sql_is_push(text)) {
        tn_err_at(err, TN_E_UNSUPPORTED, "NOT_SUPPORTED", 0, 0,
                  "EMIT CHANGES is not supported by the Trino protocol");
        tn_err_hint(err, "leave EMIT CHANGES out, or use GET /sql/stream");
        return TN_E_UNSUPPORTED;
    }
    if (query->client.transaction[0])
        return tni_trino_tx_check(query->trino, query->client.transaction,
                                  tn_str_eq_nocase(text, TN_STR("COMMIT")) ||
                                      tn_str_eq_nocase(text, TN_STR("ROLLBACK")),
                                  err);
    return TN_OK;
}

static enum tn_status post_statement(void *ctx, struct tn_http_request *req, struct tn_err *err)
{
    struct tn_trino *trino = ctx;
    struct tn_str text = tn_http_body(req);
    struct tn_err why = TN_ERR_INIT;
    int status = 400;
    (void)err;
    if (text.len == 0)
        return reply_text(req, 400, "SQL statement is empty");
    struct tni_trino_query *query = tni_trino_query_new(trino);
    if (tn_failed(tni_trino_read_head(req, query, &status, &why))) {
        if (status == 401)
            tn_http_reply_header(req, "WWW-Authenticate", "Basic realm=\"Trino\"");
        (void)reply_text(req, status, why.message);
        tni_trino_query_unref(query);
        return TN_OK;
    }
    query->text_len = (int64_t)text.len > TNI_TRINO_TEXT_MAX ? 0 : text.len;
    query->text = tn_strndup(text.ptr, query->text_len);
    query->shape = tni_sql_shape(text);
    if (tn_failed(tni_trino_query_add(query, &why))) {
        tn_http_reply_header(req, "Retry-After", "1");
        (void)reply_text(req, 503, why.message);
        tni_trino_query_unref(query);
        return TN_OK;
    }
    if (is_blank(text))
        tn_err_at(&query->err, TN_E_SYNTAX, "SYNTAX_ERROR", 1, 1, "mismatched input '<EOF>'");
    else if (query->err.code == TN_OK)
        (void)check_text(query, text, &query->err);
    tni_trino_doc_post(query, tn_http_out(req)); /* while nobody else works on the query */
    if (query->err.code != TN_OK) {
        struct tn_err copy = query->err;
        tni_trino_query_done(query, copy.code, &copy);
    } else {
        query_start(query);
    }
    tni_trino_query_unref(query);
    tn_http_reply(req, 200, "application/json");
    return TN_OK;
}

/* What JDBC's validateConnection sends. */
static enum tn_status head_statement(void *ctx, struct tn_http_request *req, struct tn_err *err)
{
    (void)ctx;
    (void)err;
    return reply_text(req, 200, "");
}

/* ---- GET, DELETE …/executing/{id}/{slug}/{token} ---- */

static struct tni_trino_query *query_of(struct tn_trino *trino, struct tn_http_request *req)
{
    struct tni_trino_query *query = tni_trino_query_find(trino, tn_http_param(req, "id"));
    struct tn_str slug = tn_http_param(req, "slug");
    if (!query)
        return NULL;
    size_t len = strlen(query->slug);
    unsigned char differs = slug.len != len; /* same time for every wrong slug */
    for (size_t i = 0; i < len && i < slug.len; i++)
        differs |= (unsigned char)(slug.ptr[i] ^ query->slug[i]);
    if (!differs)
        return query;
    tni_trino_query_unref(query);
    return NULL;
}

static bool token_of(struct tn_http_request *req, int64_t *ret_token)
{
    struct tn_str text = tn_http_param(req, "token");
    int64_t token = 0;
    if (text.len == 0 || text.len > 15)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return false;
        token = token * 10 + (text.ptr[i] - '0');
    }
    *ret_token = token;
    return true;
}

static enum tn_status get_page(void *ctx, struct tn_http_request *req, struct tn_err *err)
{
    int64_t token;
    struct tni_trino_query *query = query_of(ctx, req);
    if (!query || !token_of(req, &token)) {
        tni_trino_query_unref(query);
        return not_found(req);
    }
    enum tn_status st = tni_trino_query_get(query, req, token, err);
    tni_trino_query_unref(query);
    return st;
}

static enum tn_status delete_page(void *ctx, struct tn_http_request *req, struct tn_err *err)
{
    struct tni_trino_query *query = query_of(ctx, req);
    (void)err;
    if (query)
        tni_trino_query_cancel(query, NULL);
    tni_trino_query_unref(query);
    tn_http_reply(req, 204, NULL);
    return TN_OK;
}

/* ---- /v1/query ---- */

static enum tn_status delete_query(void *ctx, struct tn_http_request *req, struct tn_err *err)
{
    struct tni_trino_query *query = tni_trino_query_find(ctx, tn_http_param(req, "id"));
    (void)err;
    if (query)
        tni_trino_query_cancel(query, NULL);
    tni_trino_query_unref(query);
    tn_http_reply(req, 204, NULL);
    return TN_OK;
}

static enum tn_status get_query(void *ctx, struct tn_http_request *req, struct tn_err *err)
{
    struct tni_trino_query *query = tni_trino_query_find(ctx, tn_http_param(req, "id"));
    (void)err;
    if (!query)
        return reply_text(req, 410, "Error 410 Gone: HTTP 410 Gone\n");
    pthread_mutex_lock(&query->lock);
    tni_trino_doc_info(query, true, tn_http_out(req));
    pthread_mutex_unlock(&query->lock);
    tni_trino_query_unref(query);
    tn_http_reply(req, 200, "application/json");
    return TN_OK;
}

static enum tn_status get_queries(void *ctx, struct tn_http_request *req, struct tn_err *err)
{
    struct tn_trino *trino = ctx;
    struct tn_buf *out = tn_http_out(req);
    (void)err;
    tn_buf_add_byte(out, '[');
    pthread_mutex_lock(&trino->lock);
    for (struct tni_trino_query *query = trino->newest; query; query = query->next) {
        if (query != trino->newest)
            tn_buf_add_byte(out, ',');
        pthread_mutex_lock(&query->lock);
        tni_trino_doc_info(query, false, out);
        pthread_mutex_unlock(&query->lock);
    }
    pthread_mutex_unlock(&trino->lock);
    tn_buf_add_byte(out, ']');
    tn_http_reply(req, 200, "application/json");
    return TN_OK;
}

/* ---- the rest ---- */

static enum tn_status get_state(void *ctx, struct tn_http_request *req, struct tn_err *err)
{
    (void)ctx;
    (void)err;
    tn_buf_add_text(tn_http_out(req), "\"ACTIVE\"");
    tn_http_reply(req, 200, "application/json");
    return TN_OK;
}

static enum tn_status get_nodes(void *ctx, struct tn_http_request *req, struct tn_err *err)
{
    (void)ctx;
    (void)err;
    tn_buf_add_text(tn_http_out(req), "[]");
    tn_http_reply(req, 200, "application/json");
    return TN_OK;
}

static enum tn_status get_status(void *ctx, struct tn_http_request *req, struct tn_err *err)
{
    const struct tn_trino *trino = ctx;
    (void)err;
    tn_buf_printf(tn_http_out(req),
                  "{\"nodeId\":\"tarn\",\"nodeVersion\":{\"version\":\"%s\"},"
                  "\"environment\":\"tarn\",\"coordinator\":true,\"uptime\":\"%.2fm\","
                  "\"externalAddress\":\"%s\",\"internalAddress\":\"%s\"}",
                  trino->config.version,
                  (double)(tn_mono_ns(trino->config.clock) - trino->started_ns) / 6e10,
                  tn_http_address(trino->server), tn_http_address(trino->server));
    tn_http_reply(req, 200, "application/json");
    return TN_OK;
}

static enum tn_status get_empty(void *ctx, struct tn_http_request *req, struct tn_err *err)
{
    (void)ctx;
    (void)err;
    return reply_text(req, 200, "");
}

/* Where infoUri leads: the statement and how it went. */
static enum tn_status get_query_page(void *ctx, struct tn_http_request *req, struct tn_err *err)
{
    static const char page[] =
        "<!doctype html><meta charset=\"utf-8\"><title>tarn: query</title><pre id=\"out\"></pre>"
        "<script>const id=location.search.slice(1);fetch('/v1/query/'+encodeURIComponent(id))"
        ".then(r=>r.ok?r.json():{queryId:id,state:'GONE'})"
        ".then(q=>{document.getElementById('out').textContent=JSON.stringify(q,null,2)})</script>";
    (void)ctx;
    (void)err;
    tn_http_reply_static(req, 200, "text/html; charset=utf-8",
                         (struct tn_str){page, sizeof page - 1});
    return TN_OK;
}

static void routes_add(struct tn_trino *trino, struct tn_http_server *server)
{
    const struct {
        const char *method, *path;
        tn_http_handler handler;
    } routes[] = {
        {"HEAD", "/v1/statement", head_statement},
        {"GET", "/v1/statement/executing/{id}/{slug}/{token}", get_page},
        {"GET", "/v1/statement/queued/{id}/{slug}/{token}", get_page},
        {"DELETE", "/v1/statement/executing/{id}/{slug}/{token}", delete_page},
        {"DELETE", "/v1/statement/queued/{id}/{slug}/{token}", delete_page},
        {"DELETE", "/v1/statement/executing/partialCancel/{id}/{stage}/{slug}/{token}",
         delete_page},
        {"GET", "/v1/query", get_queries},
        {"GET", "/v1/query/{id}", get_query},
        {"DELETE", "/v1/query/{id}", delete_query},
        {"GET", "/v1/info/state", get_state},
        {"GET", "/v1/info/coordinator", get_empty},
        {"GET", "/v1/status", get_status},
        {"GET", "/v1/node", get_nodes},
        {"GET", "/ui/query.html", get_query_page},
    };
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++)
        tn_http_route_add(server, &(struct tn_http_route){.method = routes[i].method,
                                                          .path = routes[i].path,
                                                          .handler = routes[i].handler,
                                                          .ctx = trino,
                                                          .flags = TN_HTTP_NO_STORE});
    tn_http_route_add(server, &(struct tn_http_route){.method = "POST",
                                                      .path = "/v1/statement",
                                                      .handler = post_statement,
                                                      .ctx = trino,
                                                      .body_bytes_max = 4u << 20,
                                                      .flags = TN_HTTP_BODY | TN_HTTP_NO_STORE});
}

enum tn_status tn_trino_open(struct tn_http_sql *http, struct tn_trino **ret_trino,
                             struct tn_err *err)
{
    struct tn_trino *trino = tn_alloc(sizeof *trino);
    enum tn_status st;
    trino->config = http->config;
    trino->http = http;
    trino->server = http->server;
    trino->started_ns = tn_mono_ns(http->config.clock);
    trino->slots_count = http->config.threads_count > 0 ? http->config.threads_count : 4;
    trino->watch_ns = INT64_MAX;
    pthread_mutex_init(&trino->lock, NULL);
    pthread_cond_init(&trino->work, NULL);
    metrics_open(trino);
    TN_GOTO(tni_trino_watch_start(trino, err));
    snprintf(trino->uri, sizeof trino->uri, "http://%s", tn_http_address(http->server));
    trino->list = (struct tni_query_list){tni_trino_queries_each, trino->uri};
    tn_db_set_queries(trino->config.db, &trino->list);
    routes_add(trino, http->server);
    *ret_trino = trino;
    return TN_OK;
fail:
    tn_trino_close(trino);
    return st;
}

void tn_trino_close(struct tn_trino *trino)
{
    if (!trino)
        return;
    tn_db_set_queries(trino->config.db, NULL);
    tni_trino_watch_stop(trino);
    tni_trino_run_stop(trino);
    tni_trino_table_free(trino);
    pthread_cond_destroy(&trino->work);
    pthread_cond_destroy(&trino->watch_cond);
    pthread_mutex_destroy(&trino->lock);
    tn_free(trino);
}
