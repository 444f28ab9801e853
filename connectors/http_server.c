/* The server: options, MHD daemon, and the path of a request from headers to reply.
 *
 * HOW IT WORKS. MHD runs threads_count epoll threads over one listening socket. For each request it
 * calls http_access: first when the headers are there (checks, route, `begin`), then with pieces of
 * the body, then at the end (handler, reply). A held request is suspended and http_access runs once
 * more after tn_http_complete.
 *
 * A reply decided before the body (404, 413…) waits until the body is read and thrown away, up to a
 * bound: closing a socket with unread bytes makes the kernel send a reset, which can destroy the
 * reply before the client sees it.
 *
 * Sized for: MHD 0.9.75 clears its per-connection memory at every request, so that is kept at 32
 * KiB.
 */
#include "connectors/http_int.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "stream/base/logline.h"
#include "stream/base/mem.h"

#define POOL_BYTES_MIN   ((size_t)32 << 10)
#define DRAIN_BYTES_MAX  ((int64_t)32 << 20)
#define BODY_RESERVE_MAX ((int64_t)1 << 20)

#define AT(field) offsetof(struct tn_http_config, field)

static const struct tn_opt http_items[] = {
    {.name = "listen",
     .type = TN_OPT_STRING,
     .offset = AT(listen),
     .deflt = "127.0.0.1:8090",
     .help = "address and port to serve HTTP on; port 0 takes a free one"},
    {.name = "http.hosts",
     .type = TN_OPT_STRING,
     .offset = AT(hosts),
     .deflt = "",
     .help = "names a request's Host may carry besides loopback and the listen address; * = any"},
    {.name = "http.cors.origins",
     .type = TN_OPT_STRING,
     .offset = AT(cors_origins),
     .deflt = "",
     .help = "origins of web pages elsewhere that may call this server"},
    {.name = "http.threads",
     .type = TN_OPT_INT,
     .offset = AT(threads_count),
     .deflt = "2",
     .min = 1,
     .max = 64,
     .help = "polling threads"},
    {.name = "http.connections.max",
     .type = TN_OPT_INT,
     .offset = AT(connections_max),
     .deflt = "1024",
     .min = 1,
     .max = 65536,
     .help = "open connections, event streams not counted"},
    {.name = "http.connections.per.address.max",
     .type = TN_OPT_INT,
     .offset = AT(connections_address_max),
     .deflt = "256",
     .min = 1,
     .max = 65535,
     .help = "open connections of one client address (loopback exempt)"},
    {.name = "http.sse.max",
     .type = TN_OPT_INT,
     .offset = AT(sse_max),
     .deflt = "128",
     .min = 1,
     .max = 65536,
     .help = "open event streams"},
    {.name = "http.header.timeout.ms",
     .type = TN_OPT_MS,
     .offset = AT(header_ms),
     .deflt = "5000",
     .min = 100,
     .max = 3600000,
     .help = "time for a request's headers to arrive"},
    {.name = "http.request.timeout.ms",
     .type = TN_OPT_MS,
     .offset = AT(request_ms),
     .deflt = "30000",
     .min = 100,
     .max = 3600000,
     .help = "time for a request's body to arrive"},
    {.name = "http.idle.timeout.ms",
     .type = TN_OPT_MS,
     .offset = AT(idle_ms),
     .deflt = "75000",
     .min = 1000,
     .max = 3600000,
     .help = "time between two requests of a connection"},
    {.name = "http.stall.timeout.ms",
     .type = TN_OPT_MS,
     .offset = AT(stall_ms),
     .deflt = "30000",
     .min = 1000,
     .max = 3600000,
     .help = "a reader that takes nothing for so long is cut"},
    {.name = "http.header.bytes.max",
     .type = TN_OPT_BYTES,
     .offset = AT(header_bytes_max),
     .deflt = "16k", /* twice what Trino takes; why not more: README */
     .min = 1024,
     .max = 262144,
     .help = "size of a request's headers"},
    {.name = "http.uri.bytes.max",
     .type = TN_OPT_BYTES,
     .offset = AT(uri_bytes_max),
     .deflt = "8k",
     .min = 256,
     .max = 65536,
     .help = "size of a request's path and query"},
    {.name = "http.body.bytes.max",
     .type = TN_OPT_BYTES,
     .offset = AT(body_bytes_max),
     .deflt = "1m",
     .min = 1024,
     .max = 1073741824,
     .help = "size of a request's body, except ingest"},
    {.name = "http.ingest.bytes.max",
     .type = TN_OPT_BYTES,
     .offset = AT(ingest_bytes_max),
     .deflt = "16m",
     .min = 1024,
     .max = 1073741824,
     .help = "size of an ingest request's body"},
    {.name = "http.bodies.bytes.max",
     .type = TN_OPT_BYTES,
     .offset = AT(bodies_bytes_max),
     .deflt = "256m",
     .min = 1048576,
     .max = 68719476736,
     .help = "all request bodies in memory together; over it requests get 503"},
    {.name = "http.result.bytes.max",
     .type = TN_OPT_BYTES,
     .offset = AT(result_bytes_max),
     .deflt = "64m",
     .min = 65536,
     .max = 1073741824,
     .help = "size of one answer that is not streamed"},
};

const struct tn_opts tn_http_opts = {
    .component = "http", .items = http_items, .count = sizeof http_items / sizeof *http_items};

void tn_http_config_init(struct tn_http_config *config)
{
    *config = (struct tn_http_config){.listen = "127.0.0.1:8090",
                                      .hosts = "",
                                      .cors_origins = "",
                                      .threads_count = 2,
                                      .connections_max = 1024,
                                      .connections_address_max = 256,
                                      .sse_max = 128,
                                      .header_ms = 5000,
                                      .request_ms = 30000,
                                      .idle_ms = 75000,
                                      .stall_ms = 30000,
                                      .header_bytes_max = 16384,
                                      .uri_bytes_max = 8192,
                                      .body_bytes_max = 1 << 20,
                                      .ingest_bytes_max = 16 << 20,
                                      .bodies_bytes_max = 256 << 20,
                                      .result_bytes_max = 64 << 20};
}

/* ---- metrics ---- */

static const struct tn_metric_desc requests_desc = {"tarn_http_requests_total", TN_METRIC_COUNTER,
                                                    "requests", "class", "requests answered"};
static const struct tn_metric_desc seconds_desc = {"tarn_http_request_seconds", TN_METRIC_HISTOGRAM,
                                                   "seconds", NULL,
                                                   "time from a request's headers to its reply"};
static const struct tn_metric_desc connections_desc = {"tarn_http_connections", TN_METRIC_GAUGE,
                                                       "connections", NULL, "open connections"};
static const struct tn_metric_desc accepted_desc = {"tarn_http_connections_accepted_total",
                                                    TN_METRIC_COUNTER, "connections", NULL,
                                                    "connections accepted"};
static const struct tn_metric_desc sse_desc = {"tarn_http_event_streams", TN_METRIC_GAUGE,
                                               "streams", NULL, "open event streams"};
static const struct tn_metric_desc bodies_desc = {"tarn_http_bodies_bytes", TN_METRIC_GAUGE,
                                                  "bytes", NULL, "request bodies in memory"};
static const struct tn_metric_desc body_desc = {"tarn_http_body_bytes_total", TN_METRIC_COUNTER,
                                                "bytes", NULL, "request body bytes read"};
static const struct tn_metric_desc reply_desc = {"tarn_http_reply_bytes_total", TN_METRIC_COUNTER,
                                                 "bytes", NULL, "buffered reply bytes"};
static const struct tn_metric_desc refused_desc = {
    "tarn_http_refused_total", TN_METRIC_COUNTER, "requests", "reason",
    "connections and requests refused or cut, by limit"};

static const char *const refusal_names[TNI_REFUSALS_COUNT] = {
    [TNI_REFUSED_HOST] = "host",
    [TNI_REFUSED_ORIGIN] = "origin",
    [TNI_REFUSED_FORM] = "form",
    [TNI_REFUSED_URI] = "uri",
    [TNI_REFUSED_HEADERS] = "headers",
    [TNI_REFUSED_BODY] = "body",
    [TNI_REFUSED_MEMORY] = "memory",
    [TNI_REFUSED_CONNECTIONS] = "connections",
    [TNI_REFUSED_ADDRESS] = "address",
    [TNI_REFUSED_SSE] = "event_streams",
    [TNI_REFUSED_SLOW_SENDER] = "slow_sender",
    [TNI_REFUSED_SLOW_READER] = "slow_reader",
};

static void metrics_open(struct tn_http_server *server, struct tn_metrics *metrics)
{
    static const char *const classes[6] = {"other", "1xx", "2xx", "3xx", "4xx", "5xx"};
    struct tni_http_metrics *m = &server->m;
    for (int i = 0; i < 6; i++)
        m->requests[i] = tn_metric_get(metrics, &requests_desc, classes[i]);
    for (int i = 0; i < TNI_REFUSALS_COUNT; i++)
        m->refused[i] = tn_metric_get(metrics, &refused_desc, refusal_names[i]);
    m->seconds = tn_metric_get(metrics, &seconds_desc, NULL);
    m->connections = tn_metric_get(metrics, &connections_desc, NULL);
    m->accepted = tn_metric_get(metrics, &accepted_desc, NULL);
    m->sse = tn_metric_get(metrics, &sse_desc, NULL);
    m->bodies_bytes = tn_metric_get(metrics, &bodies_desc, NULL);
    m->body_bytes = tn_metric_get(metrics, &body_desc, NULL);
    m->reply_bytes = tn_metric_get(metrics, &reply_desc, NULL);
}

/* ---- open and close ---- */

enum tn_status tn_http_open(const struct tn_http_config *config, struct tn_clock *clock,
                            struct tn_metrics *metrics, struct tn_http_server **ret_server,
                            struct tn_err *err)
{
    struct tn_http_server *server = tn_alloc(sizeof *server);
    server->config = *config;
    server->clock = clock;
    server->listen_fd = -1;
    pthread_mutex_init(&server->lock, NULL);
    pthread_cond_init(&server->changed, NULL);
    metrics_open(server, metrics);
    tni_http_guard_open(server);
    enum tn_status st = tni_http_listen(server, err);
    if (tn_failed(st)) {
        tn_http_close(server);
        return st;
    }
    *ret_server = server;
    return TN_OK;
}

void tn_http_route_add(struct tn_http_server *server, const struct tn_http_route *route)
{
    TN_ASSERT(!server->daemon && server->routes_count < TN_HTTP_ROUTES_MAX);
    TN_ASSERT(route->handler && (route->path || (route->flags & TN_HTTP_FALLBACK)));
    server->routes[server->routes_count++] = *route;
}

const char *tn_http_address(const struct tn_http_server *server)
{
    return server->address;
}

const struct tn_http_config *tn_http_config_of(const struct tn_http_server *server)
{
    return &server->config;
}

/* ---- a request's way ---- */

struct header_facts {
    struct tn_http_request *req;
    uint32_t lengths_count, encodings_count;
    bool is_bad;
};

static void facts_length(struct header_facts *facts, const char *value, size_t len)
{
    facts->lengths_count++;
    int64_t n = 0;
    for (size_t i = 0; i < len; i++) {
        if (value[i] < '0' || value[i] > '9' || n > INT64_MAX / 10 - 9) {
            facts->is_bad = true;
            return;
        }
        n = n * 10 + (value[i] - '0');
    }
    facts->is_bad |= len == 0;
    facts->req->content_length = n;
}

static enum MHD_Result facts_header(void *cls, enum MHD_ValueKind kind, const char *key,
                                    size_t key_len, const char *value, size_t value_len)
{
    struct header_facts *facts = cls;
    struct tn_http_request *req = facts->req;
    struct tn_str name = {key, key_len}, text = {value ? value : "", value_len};
    (void)kind;
    switch (key_len) {
    case 4:
        if (tn_str_eq_nocase(name, TN_STR("Host"))) {
            facts->is_bad |= req->host.ptr != NULL;
            req->host = text;
        }
        break;
    case 6:
        if (tn_str_eq_nocase(name, TN_STR("Origin")))
            req->origin = text;
        else if (tn_str_eq_nocase(name, TN_STR("Expect")))
            req->is_expect = true;
        break;
    case 14:
        if (tn_str_eq_nocase(name, TN_STR("Content-Length")))
            facts_length(facts, text.ptr, text.len);
        else if (tn_str_eq_nocase(name, TN_STR("Sec-Fetch-Site")))
            req->sec_fetch_site = text;
        else if (tn_str_eq_nocase(name, TN_STR("Sec-Fetch-Mode")))
            req->sec_fetch_mode = text;
        break;
    case 17:
        if (tn_str_eq_nocase(name, TN_STR("Transfer-Encoding"))) {
            facts->encodings_count++;
            facts->is_bad |= !tn_str_eq_nocase(text, TN_STR("chunked"));
            req->is_chunked = true;
        }
        break;
    default: break;
    }
    return MHD_YES;
}

/* Forms that two servers on the way may read differently (request smuggling). */
static enum tn_status check_form(struct tn_http_request *req, struct tn_err *err)
{
    struct header_facts facts = {.req = req};
    (void)MHD_get_connection_values_n(req->conn->mhd, MHD_HEADER_KIND, facts_header, &facts);
    if (facts.is_bad || facts.lengths_count > 1 || facts.encodings_count > 1 ||
        (facts.lengths_count && facts.encodings_count)) {
        req->is_keepalive_off = true;
        tni_http_refused(req->conn->server, TNI_REFUSED_FORM);
        return tn_err_set(err, TN_E_INVALID,
                          "the request's length is ambiguous: one Content-Length, or "
                          "Transfer-Encoding: chunked, and one Host expected");
    }
    return TN_OK;
}

static enum tn_status check_caller(struct tn_http_request *req, struct tn_err *err)
{
    struct tn_http_server *server = req->conn->server;
    enum tn_status st;
    if (req->host.ptr && !tni_http_host_ok(server, req->host)) {
        tni_http_refused(server, TNI_REFUSED_HOST);
        st = tn_err_set(err, TN_E_DENIED, "the Host '%.*s' is not this server",
                        (int)(req->host.len < 128 ? req->host.len : 128), req->host.ptr);
        tn_err_hint(err,
                    "call it by its loopback or listen address, or add the name to http.hosts");
        return st;
    }
    bool is_foreign = req->origin.ptr && !tni_http_origin_ok(server, req->origin, req->host);
    /* A page elsewhere that embeds us sends no Origin for plain GETs, but says so here. */
    if (!req->origin.ptr && req->sec_fetch_site.ptr &&
        tn_str_eq(req->sec_fetch_site, TN_STR("cross-site")) &&
        !tn_str_eq(req->sec_fetch_mode, TN_STR("navigate")))
        is_foreign = true;
    if (is_foreign) {
        tni_http_refused(server, TNI_REFUSED_ORIGIN);
        st = tn_err_set(err, TN_E_DENIED, "a page of origin '%.*s' may not call this server",
                        (int)(req->origin.len < 128 ? req->origin.len : 128),
                        req->origin.ptr ? req->origin.ptr : "");
        tn_err_hint(err, "add the origin to http.cors.origins");
        return st;
    }
    return TN_OK;
}

static enum tn_status check_sizes(struct tn_http_request *req, size_t uri_len, struct tn_err *err)
{
    struct tn_http_server *server = req->conn->server;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(req->conn->mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    if ((int64_t)uri_len > server->config.uri_bytes_max) {
        tni_http_refused(server, TNI_REFUSED_URI);
        req->status = 414;
        return tn_err_set(err, TN_E_LIMIT, "the URI is longer than %lld bytes",
                          (long long)server->config.uri_bytes_max);
    }
    if (info && (int64_t)info->header_size > server->config.header_bytes_max) {
        tni_http_refused(server, TNI_REFUSED_HEADERS);
        req->status = 431;
        return tn_err_set(err, TN_E_LIMIT, "the headers are larger than %lld bytes",
                          (long long)server->config.header_bytes_max);
    }
    return TN_OK;
}

static enum tn_status find_route(struct tn_http_request *req, struct tn_str path,
                                 struct tn_err *err)
{
    bool is_path;
    if (!tni_http_decode(&req->arena, path, &req->path)) {
        tni_http_refused(req->conn->server, TNI_REFUSED_FORM);
        return tn_err_set(err, TN_E_INVALID, "the path is not validly percent-encoded");
    }
    req->route = tni_http_route_find(req->conn->server, req, path, &is_path);
    if (req->route)
        return TN_OK;
    if (is_path) {
        char text[128];
        struct tn_buf allow;
        tn_buf_init(&allow, sizeof text - 1);
        tni_http_allow(req->conn->server, req, path, &allow);
        snprintf(text, sizeof text, "%s", tn_buf_cstr(&allow));
        tn_buf_release(&allow);
        tn_http_reply_header(req, "Allow", text);
        req->status = 405;
        return tn_err_set(err, TN_E_INVALID, "this path does not take %s; it takes %s", req->method,
                          text);
    }
    req->status = 404;
    return tn_err_set(err, TN_E_NAME, "there is nothing at '%.*s'",
                      (int)(req->path.len < 200 ? req->path.len : 200), req->path.ptr);
}

static size_t body_limit(const struct tn_http_request *req)
{
    if (!req->route || !(req->route->flags & TN_HTTP_BODY))
        return 0;
    return req->route->body_bytes_max ? req->route->body_bytes_max
                                      : (size_t)req->conn->server->config.body_bytes_max;
}

static enum tn_status body_too_large(struct tn_http_request *req, struct tn_err *err)
{
    size_t limit = body_limit(req);
    tni_http_refused(req->conn->server, TNI_REFUSED_BODY);
    req->status = 413;
    if (limit == 0)
        return tn_err_set(err, TN_E_LIMIT, "this path takes no request body");
    enum tn_status st =
        tn_err_set(err, TN_E_LIMIT, "the body is larger than %zu bytes; nothing was done", limit);
    tn_err_hint(err, "send it in smaller parts, or raise the limit");
    return st;
}

/* CORS preflight of a listed origin. */
static bool reply_preflight(struct tn_http_request *req)
{
    if (strcmp(req->method, "OPTIONS") != 0 || !req->origin.ptr ||
        !tni_http_origin_listed(req->conn->server, req->origin))
        return false;
    tn_http_reply_header(req, "Access-Control-Allow-Methods", "GET, POST, DELETE");
    tn_http_reply_header(req, "Access-Control-Allow-Headers",
                         "Accept, Content-Type, Idempotency-Key, X-Tarn-Key, X-Tarn-Catalog, "
                         "X-Tarn-Schema");
    tn_http_reply_header(req, "Access-Control-Max-Age", "600");
    tn_http_reply(req, 204, NULL);
    return true;
}

/* Everything that is decided when the headers are there. */
static enum tn_status request_check(struct tn_http_request *req, struct tn_str path, size_t uri_len,
                                    struct tn_err *err)
{
    TN_TRY(check_form(req, err));
    TN_TRY(check_sizes(req, uri_len, err));
    TN_TRY(check_caller(req, err));
    if (reply_preflight(req)) {
        req->is_early = true;
        return TN_OK;
    }
    TN_TRY(find_route(req, path, err));
    if (req->route->begin)
        TN_TRY(req->route->begin(req->route->ctx, req, err));
    if (req->content_length > (int64_t)body_limit(req) || (req->is_chunked && !body_limit(req)))
        return body_too_large(req, err);
    return TN_OK;
}

static void reply_early(struct tn_http_request *req, const struct tn_err *err)
{
    req->is_early = true;
    tn_http_reply_error(req, req->status, err);
}

/* First call: headers are complete. */
static enum MHD_Result request_begin(struct tn_http_request *req, const char *url,
                                     const char *method)
{
    struct tn_http_server *server = req->conn->server;
    struct tn_err err = TN_ERR_INIT;
    size_t uri_len = (size_t)(uintptr_t)req->slot;
    req->slot = NULL;
    req->is_begun = true;
    req->method = method;
    req->started_ns = tn_mono_ns(server->clock);
    tni_http_phase(req->conn, TNI_HTTP_READING, req->started_ns);
    if (tn_failed(request_check(req, tn_str_of(url), uri_len, &err)))
        reply_early(req, &err);
    if (req->is_early) {
        bool is_long = req->content_length > DRAIN_BYTES_MAX;
        if (req->is_expect || is_long || req->is_keepalive_off)
            return tni_http_queue_reply(req);
        return MHD_YES;
    }
    req->body.max = body_limit(req);
    if (req->content_length > (int64_t)TNI_HTTP_BODY_KEEP && req->body.cap <= TNI_HTTP_BODY_KEEP) {
        tn_buf_release(&req->body);
        tni_http_spare_take(&req->body);
    }
    if (req->content_length > 0)
        (void)tn_buf_reserve(&req->body,
                             (size_t)(req->content_length < BODY_RESERVE_MAX ? req->content_length
                                                                             : BODY_RESERVE_MAX));
    return MHD_YES;
}

/* A piece of the body. */
static enum MHD_Result request_body(struct tn_http_request *req, const char *bytes, size_t len)
{
    struct tn_http_server *server = req->conn->server;
    struct tn_err err = TN_ERR_INIT;
    tn_metric_add(server->m.body_bytes, (int64_t)len);
    if (req->is_early) {
        req->drained_bytes += (int64_t)len;
        return req->drained_bytes > DRAIN_BYTES_MAX ? MHD_NO : MHD_YES;
    }
    if (req->body.len + len > body_limit(req)) {
        (void)body_too_large(req, &err);
        reply_early(req, &err);
        return MHD_YES;
    }
    int64_t all = atomic_fetch_add(&server->bodies_bytes, (int64_t)len) + (int64_t)len;
    tn_metric_add(server->m.bodies_bytes, (int64_t)len);
    req->body_charged += (int64_t)len;
    if (all > server->config.bodies_bytes_max) {
        tni_http_refused(server, TNI_REFUSED_MEMORY);
        (void)tn_err_set(&err, TN_E_LIMIT, "too many request bodies are in memory; try again");
        err.retriable = true;
        req->status = 503;
        reply_early(req, &err);
        return MHD_YES;
    }
    tn_buf_add(&req->body, bytes, len);
    return MHD_YES;
}

/* The whole request is there: run the handler, or answer what was held. */
static enum MHD_Result request_finish(struct tn_http_request *req)
{
    struct tn_http_server *server = req->conn->server;
    struct tn_err err = TN_ERR_INIT;
    if (req->is_early)
        return tni_http_queue_reply(req);
    if (!req->is_handled) {
        req->is_handled = true;
        tni_http_phase(req->conn, TNI_HTTP_RUNNING, tn_mono_ns(server->clock));
        if (atomic_load(&server->is_stopping))
            return tni_http_queue_abandoned(req->conn->mhd);
        enum tn_status st = req->route->handler(req->route->ctx, req, &err);
        if (st != TN_AGAIN) {
            TN_ASSERT(!req->is_held);
            if (tn_failed(st))
                tn_http_reply_error(req, req->status >= 400 ? req->status : 0, &err);
            return tni_http_queue_reply(req);
        }
    }
    pthread_mutex_lock(&req->lock);
    TN_ASSERT(req->is_held);
    bool is_abandoned = req->is_abandoned;
    bool is_waiting = !req->is_completed && !is_abandoned;
    if (is_waiting) {
        req->is_suspended = true;
        MHD_suspend_connection(req->conn->mhd);
    }
    pthread_mutex_unlock(&req->lock);
    if (is_waiting)
        return MHD_YES;
    return is_abandoned ? tni_http_queue_abandoned(req->conn->mhd) : tni_http_queue_reply(req);
}

/* "http://host:port/v1/x" → "/v1/x": some clients send absolute request lines. */
static const char *origin_form(const char *url)
{
    if (strncasecmp(url, "http://", 7) != 0)
        return url;
    const char *path = strchr(url + 7, '/');
    return path ? path : "/";
}

static enum MHD_Result http_access(void *cls, struct MHD_Connection *mhd, const char *url,
                                   const char *method, const char *version, const char *upload,
                                   size_t *upload_len, void **con_cls)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct tni_http_conn *conn = info ? info->socket_context : NULL;
    (void)cls;
    (void)version;
    if (!conn)
        return MHD_NO;
    *con_cls = conn;
    if (!conn->req.is_begun)
        return request_begin(&conn->req, origin_form(url), method);
    if (*upload_len > 0) {
        enum MHD_Result ret = request_body(&conn->req, upload, *upload_len);
        *upload_len = 0;
        return ret;
    }
    return request_finish(&conn->req);
}

/* Request line seen: keeps the URI's length for the check at the headers' end. */
static void *http_uri(void *cls, const char *uri, struct MHD_Connection *mhd)
{
    struct tn_http_server *server = cls;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct tni_http_conn *conn = info ? info->socket_context : NULL;
    if (conn) {
        conn->req.slot = (void *)(uintptr_t)strlen(uri);
        if (atomic_load(&conn->phase) != TNI_HTTP_NEW)
            tni_http_phase(conn, TNI_HTTP_HEADERS, tn_mono_ns(server->clock));
    }
    return NULL;
}

static void http_completed(void *cls, struct MHD_Connection *mhd, void **con_cls,
                           enum MHD_RequestTerminationCode code)
{
    struct tn_http_server *server = cls;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct tni_http_conn *conn = info ? info->socket_context : NULL;
    (void)code;
    *con_cls = NULL;
    if (!conn)
        return;
    pthread_mutex_lock(&conn->req.lock);
    bool is_abandoned = conn->req.is_abandoned;
    pthread_mutex_unlock(&conn->req.lock);
    /* An abandoned request still belongs to its holder. */
    if (!is_abandoned)
        tni_http_request_reset(&conn->req);
    tni_http_phase(conn, TNI_HTTP_IDLE, tn_mono_ns(server->clock));
}

/* Escapes are decoded by us, per segment and only once. */
static size_t http_unescape(void *cls, struct MHD_Connection *mhd, char *text)
{
    (void)cls;
    (void)mhd;
    return strlen(text);
}

static void http_log(void *cls, const char *fmt, va_list args) TN_PRINTF(2, 0);
static void http_log(void *cls, const char *fmt, va_list args)
{
    char line[256];
    (void)cls;
    vsnprintf(line, sizeof line, fmt, args);
    line[strcspn(line, "\n")] = 0;
    tn_logf(TN_LOG_DEBUG, "http", "%s", line);
}

enum tn_status tn_http_start(struct tn_http_server *server, struct tn_err *err)
{
    const struct tn_http_config *c = &server->config;
    size_t pool = (size_t)c->header_bytes_max * 2;
    unsigned threads = (unsigned)c->threads_count;
    /* MHD divides the limit among its threads, and a client picks none: leave each room for all. */
    unsigned connections = (unsigned)(c->connections_max + c->sse_max) * threads;
    struct MHD_OptionItem pool_option[2] = {{MHD_OPTION_END, 0, NULL}, {MHD_OPTION_END, 0, NULL}};
    TN_ASSERT(!server->daemon);
    if (threads > 1)
        pool_option[0] =
            (struct MHD_OptionItem){MHD_OPTION_THREAD_POOL_SIZE, (intptr_t)threads, NULL};
    TN_TRY(tni_http_conns_start(server, err));
    server->daemon = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0,
        tni_http_accept_policy, server, http_access, server, MHD_OPTION_EXTERNAL_LOGGER, http_log,
        NULL, MHD_OPTION_LISTEN_SOCKET, server->listen_fd, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        pool > POOL_BYTES_MIN ? pool : POOL_BYTES_MIN, MHD_OPTION_CONNECTION_LIMIT, connections,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)(c->idle_ms / 1000 + 1),
        MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_URI_LOG_CALLBACK, http_uri, server,
        MHD_OPTION_UNESCAPE_CALLBACK, http_unescape, NULL, MHD_OPTION_NOTIFY_COMPLETED,
        http_completed, server, MHD_OPTION_NOTIFY_CONNECTION, tni_http_on_connection, server,
        MHD_OPTION_ARRAY, pool_option, MHD_OPTION_END);
    if (!server->daemon)
        return tn_err_set(err, TN_E_IO, "cannot start the HTTP server on %s", server->address);
    return TN_OK;
}

static void sleep_ms(int ms)
{
    struct timespec ts = {.tv_nsec = (long)ms * 1000000};
    nanosleep(&ts, NULL);
}

void tn_http_stop(struct tn_http_server *server, int64_t grace_ms)
{
    if (!server || !server->daemon)
        return;
    int64_t until_ns = tn_mono_ns(server->clock) + grace_ms * 1000000;
    atomic_store(&server->is_stopping, true);
    (void)MHD_quiesce_daemon(server->daemon);
    while (tni_http_conns_cancel(server, false) > 0 && tn_mono_ns(server->clock) < until_ns)
        sleep_ms(2);
    /* MHD must have no suspended connection when it stops. */
    while (tni_http_conns_cancel(server, true) > 0 &&
           tn_mono_ns(server->clock) < until_ns + (int64_t)1000000000)
        sleep_ms(2);
    tni_http_conns_stop(server);
    MHD_stop_daemon(server->daemon);
    server->daemon = NULL;
}

void tn_http_close(struct tn_http_server *server)
{
    if (!server)
        return;
    tn_http_stop(server, 2000);
    if (server->listen_fd >= 0)
        close(server->listen_fd);
    pthread_mutex_destroy(&server->lock);
    pthread_cond_destroy(&server->changed);
    tn_free(server);
}
