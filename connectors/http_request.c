/* Requests: what a handler can read of them, and how replies are filled and queued.
 *
 * A buffered reply's bytes stay in req->out until MHD has sent them, so they are queued without a
 * copy; small ones leave with the header in one packet. Buffers up to TNI_HTTP_BODY_KEEP stay for
 * the next request of the connection.
 * @thread the polling thread of the connection, or the holder between hold and complete
 */
#include "connectors/http_int.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "stream/base/mem.h"

void tni_http_request_init(struct tn_http_request *req, struct tni_http_conn *conn)
{
    req->conn = conn;
    tn_arena_init(&req->arena, 0);
    tn_buf_init(&req->body, 0);
    tn_buf_init(&req->out, (size_t)conn->server->config.result_bytes_max);
    pthread_mutex_init(&req->lock, NULL);
}

static void buf_recycle(struct tn_buf *buf)
{
    if (buf->cap > TNI_HTTP_BODY_KEEP) {
        size_t max = buf->max;
        tn_buf_release(buf);
        tn_buf_init(buf, max);
    }
    tn_buf_reset(buf);
}

void tni_http_request_reset(struct tn_http_request *req)
{
    struct tn_http_server *server = req->conn->server;
    if (req->body_charged) {
        atomic_fetch_sub(&server->bodies_bytes, req->body_charged);
        tn_metric_add(server->m.bodies_bytes, -req->body_charged);
    }
    if (req->stream)
        tni_http_stream_abandon(req->stream);
    tn_arena_reset(&req->arena);
    if (req->body.cap > TNI_HTTP_BODY_KEEP)
        tni_http_spare_give(&req->body);
    buf_recycle(&req->body);
    buf_recycle(&req->out);
    req->route = NULL;
    req->path = (struct tn_str){NULL, 0};
    memset(req->params, 0, sizeof req->params);
    req->body_charged = req->drained_bytes = 0;
    req->is_begun = req->is_handled = req->is_early = false;
    req->host = req->origin = req->sec_fetch_site = req->sec_fetch_mode = (struct tn_str){NULL, 0};
    req->content_length = -1;
    req->is_chunked = req->is_expect = req->is_keepalive_off = false;
    req->slot = NULL;
    req->status = 0;
    req->content_type = NULL;
    req->static_body = (struct tn_str){NULL, 0};
    req->is_static = req->is_gzip_allowed = false;
    req->headers_count = 0;
    req->stream = NULL;
    pthread_mutex_lock(&req->lock); /* the watch thread reads these */
    req->is_held = req->is_completed = req->is_suspended = req->is_gone = false;
    req->gone = NULL;
    req->gone_ctx = NULL;
    pthread_mutex_unlock(&req->lock);
}

void tni_http_request_release(struct tn_http_request *req)
{
    if (req->stream)
        tni_http_stream_abandon(req->stream);
    tn_arena_release(&req->arena);
    tni_http_spare_give(&req->body);
    tn_buf_release(&req->out);
    pthread_mutex_destroy(&req->lock);
}

/* ---- reading ---- */

const char *tn_http_method(const struct tn_http_request *req)
{
    return req->method;
}

struct tn_str tn_http_path(const struct tn_http_request *req)
{
    return req->path;
}

struct tn_str tn_http_peer(const struct tn_http_request *req)
{
    return tn_str_of(req->conn->peer);
}

struct tn_str tn_http_header(const struct tn_http_request *req, const char *name)
{
    const char *value = NULL;
    size_t len = 0;
    if (MHD_lookup_connection_value_n(req->conn->mhd, MHD_HEADER_KIND, name, strlen(name), &value,
                                      &len) != MHD_YES)
        return (struct tn_str){NULL, 0};
    return value ? (struct tn_str){value, len} : TN_STR("");
}

struct headers_walk {
    bool (*each)(void *ctx, struct tn_str name, struct tn_str value);
    void *ctx;
};

static enum MHD_Result headers_step(void *cls, enum MHD_ValueKind kind, const char *key,
                                    size_t key_len, const char *value, size_t value_len)
{
    const struct headers_walk *walk = cls;
    (void)kind;
    return walk->each(walk->ctx, (struct tn_str){key, key_len},
                      (struct tn_str){value ? value : "", value_len})
               ? MHD_YES
               : MHD_NO;
}

void tn_http_headers_each(const struct tn_http_request *req,
                          bool (*each)(void *ctx, struct tn_str name, struct tn_str value),
                          void *ctx)
{
    struct headers_walk walk = {each, ctx};
    (void)MHD_get_connection_values_n(req->conn->mhd, MHD_HEADER_KIND, headers_step, &walk);
}

struct tn_str tn_http_param(const struct tn_http_request *req, const char *name)
{
    size_t want = strlen(name), at = 0;
    if (!req->route || !req->route->path)
        return (struct tn_str){NULL, 0};
    for (const char *p = strchr(req->route->path, '{'); p; p = strchr(p + 1, '{'), at++)
        if (strncmp(p + 1, name, want) == 0 && p[1 + want] == '}')
            return req->params[at];
    return (struct tn_str){NULL, 0};
}

struct tn_str tn_http_query(const struct tn_http_request *req, const char *name)
{
    const char *value = NULL;
    size_t len = 0;
    struct tn_str text;
    if (MHD_lookup_connection_value_n(req->conn->mhd, MHD_GET_ARGUMENT_KIND, name, strlen(name),
                                      &value, &len) != MHD_YES)
        return (struct tn_str){NULL, 0};
    struct tn_arena *arena = &((struct tn_http_request *)(uintptr_t)req)->arena;
    if (!value || !tni_http_decode(arena, (struct tn_str){value, len}, &text))
        return (struct tn_str){"", 0};
    return text;
}

struct tn_str tn_http_body(const struct tn_http_request *req)
{
    return tn_buf_str(&req->body);
}

struct tn_arena *tn_http_arena(struct tn_http_request *req)
{
    return &req->arena;
}

void **tn_http_slot(struct tn_http_request *req)
{
    return &req->slot;
}

/* One element of an Accept header: does it cover `type`, and how precisely (0 = not)? */
static int accept_matches(struct tn_str range, const char *type)
{
    size_t slash = strcspn(type, "/");
    if (tn_str_eq(range, TN_STR("*/*")) || tn_str_eq(range, TN_STR("*")))
        return 1;
    if (range.len == slash + 2 && range.ptr[slash] == '/' && range.ptr[slash + 1] == '*' &&
        strncasecmp(range.ptr, type, slash) == 0)
        return 2;
    return tn_str_eq_nocase(range, tn_str_of(type)) ? 3 : 0;
}

static double accept_quality(struct tn_str params)
{
    for (size_t i = 0; i + 2 < params.len; i++)
        if ((params.ptr[i] | 0x20) == 'q' && params.ptr[i + 1] == '=' &&
            (i == 0 || strchr("; \t", params.ptr[i - 1]))) {
            char digits[8] = {0};
            size_t len = params.len - i - 2;
            memcpy(digits, params.ptr + i + 2, len < 7 ? len : 7);
            return strtod(digits, NULL);
        }
    return 1;
}

/* Best quality that the header gives to `type`, by its most precise element; −1: not mentioned. */
static double accept_quality_of(struct tn_str accept, const char *type)
{
    double quality = -1;
    int best = 0;
    size_t at = 0;
    while (at < accept.len) {
        size_t end = at;
        while (end < accept.len && accept.ptr[end] != ',')
            end++;
        struct tn_str item = {accept.ptr + at, end - at};
        while (item.len && (*item.ptr == ' ' || *item.ptr == '\t')) {
            item.ptr++;
            item.len--;
        }
        size_t len = 0;
        while (len < item.len && item.ptr[len] != ';' && item.ptr[len] != ' ')
            len++;
        int precision = accept_matches((struct tn_str){item.ptr, len}, type);
        if (precision > best) {
            best = precision;
            quality = accept_quality((struct tn_str){item.ptr + len, item.len - len});
        }
        at = end + 1;
    }
    return quality;
}

int tn_http_accept(const struct tn_http_request *req, const char *const *types, size_t types_count)
{
    struct tn_str accept = tn_http_header(req, "Accept");
    int best = -1;
    double best_quality = 0;
    if (!accept.ptr || accept.len == 0)
        return 0;
    for (size_t i = 0; i < types_count; i++) {
        double quality = accept_quality_of(accept, types[i]);
        if (quality > best_quality) {
            best = (int)i;
            best_quality = quality;
        }
    }
    return best;
}

/* ---- replying ---- */

struct tn_buf *tn_http_out(struct tn_http_request *req)
{
    return &req->out;
}

void tn_http_reply(struct tn_http_request *req, int status, const char *content_type)
{
    req->status = status;
    req->content_type = content_type;
    req->is_static = false;
}

void tn_http_reply_gzip(struct tn_http_request *req)
{
    req->is_gzip_allowed = true;
}

void tn_http_reply_static(struct tn_http_request *req, int status, const char *content_type,
                          struct tn_str body)
{
    req->status = status;
    req->content_type = content_type;
    req->static_body = body;
    req->is_static = true;
}

void tn_http_reply_header(struct tn_http_request *req, const char *name, const char *value)
{
    for (const char *p = value; *p; p++)
        TN_ASSERT((unsigned char)*p >= 0x20 && *p != 0x7f);
    TN_ASSERT(req->headers_count < TN_HTTP_REPLY_HEADERS);
    req->headers[req->headers_count++] =
        (struct tni_http_reply_header){name, tn_arena_strdup(&req->arena, value)};
}

void tn_http_print_error(struct tn_buf *buf, const struct tn_err *err)
{
    tn_buf_printf(buf, "{\"error\":{\"code\":\"%s\",\"name\":\"%s\",\"message\":",
                  tn_status_name(err->code), tn_err_name(err));
    tn_buf_add_json(buf, tn_str_of(err->message));
    if (err->line > 0)
        tn_buf_printf(buf, ",\"line\":%d,\"column\":%d", err->line, err->col);
    else
        tn_buf_add_text(buf, ",\"line\":null,\"column\":null");
    tn_buf_add_text(buf, ",\"hint\":");
    if (err->hint[0])
        tn_buf_add_json(buf, tn_str_of(err->hint));
    else
        tn_buf_add_text(buf, "null");
    tn_buf_add_text(buf, "}}\n");
}

void tn_http_reply_error(struct tn_http_request *req, int status, const struct tn_err *err)
{
    tn_buf_reset(&req->out);
    tn_http_print_error(&req->out, err);
    if (status == 0)
        status = tn_status_http(err->code);
    if (status == 503 && err->retriable)
        tn_http_reply_header(req, "Retry-After", "1");
    tn_http_reply(req, status, "application/json");
}

static struct MHD_Response *reply_response(struct tn_http_request *req)
{
    struct tn_str body = req->is_static ? req->static_body : tn_buf_str(&req->out);
    if (req->stream)
        return tni_http_stream_response(req->stream);
    return MHD_create_response_from_buffer(body.len, (void *)(uintptr_t)body.ptr,
                                           MHD_RESPMEM_PERSISTENT);
}

static void reply_cors(struct tn_http_request *req, struct MHD_Response *response)
{
    if (!req->origin.ptr || !tni_http_origin_listed(req->conn->server, req->origin))
        return;
    MHD_add_response_header(response, "Access-Control-Allow-Origin", req->origin.ptr);
    MHD_add_response_header(response, "Vary", "Origin");
}

static void reply_count(struct tn_http_request *req, size_t bytes)
{
    struct tn_http_server *server = req->conn->server;
    int class = req->status / 100;
    tn_metric_add(server->m.requests[class >= 1 && class <= 5 ? class : 0], 1);
    tn_metric_add(server->m.reply_bytes, (int64_t)bytes);
    tn_metric_observe(server->m.seconds, tn_mono_ns(server->clock) - req->started_ns);
}

enum MHD_Result tni_http_queue_reply(struct tn_http_request *req)
{
    struct tni_http_conn *conn = req->conn;
    TN_ASSERT(req->status >= 200);
    if (!req->is_static && !req->stream && tn_buf_over(&req->out)) {
        struct tn_err err = TN_ERR_INIT;
        (void)tn_err_set(&err, TN_E_LIMIT, "the answer is larger than %lld bytes",
                         (long long)conn->server->config.result_bytes_max);
        tn_err_hint(&err, "ask for fewer rows (LIMIT) or raise http.result.bytes.max");
        tn_http_reply_error(req, 0, &err);
    }
    bool is_gzip = !req->is_static && !req->stream && tni_http_gzip(req);
    struct MHD_Response *response = reply_response(req);
    if (!response)
        return MHD_NO;
    if (is_gzip)
        MHD_add_response_header(response, "Content-Encoding", "gzip");
    if (req->is_gzip_allowed)
        MHD_add_response_header(response, "Vary", "Accept-Encoding");
    if (req->content_type)
        MHD_add_response_header(response, "Content-Type", req->content_type);
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    if (req->route && (req->route->flags & TN_HTTP_NO_STORE))
        MHD_add_response_header(response, "Cache-Control", "no-store");
    for (uint32_t i = 0; i < req->headers_count; i++)
        MHD_add_response_header(response, req->headers[i].name, req->headers[i].value);
    reply_cors(req, response);
    if (req->is_keepalive_off)
        MHD_add_response_header(response, "Connection", "close");
    size_t bytes = req->is_static ? req->static_body.len : req->out.len;
    reply_count(req, bytes);
    /* Small replies fit the socket's buffer; only large ones can wait for their reader. */
    if (req->stream || bytes > TNI_HTTP_BODY_KEEP)
        (void)MHD_set_connection_option(conn->mhd, MHD_CONNECTION_OPTION_TIMEOUT,
                                        (unsigned)(conn->server->config.stall_ms / 1000 + 1));
    tni_http_phase(conn, TNI_HTTP_SENDING, req->started_ns);
    enum MHD_Result ret = MHD_queue_response(conn->mhd, (unsigned)req->status, response);
    MHD_destroy_response(response);
    return ret;
}

enum MHD_Result tni_http_queue_abandoned(struct MHD_Connection *mhd)
{
    static char body[] = "{\"error\":{\"code\":\"E_BUSY\",\"name\":\"BUSY\",\"message\":"
                         "\"the server is stopping\",\"line\":null,\"column\":null,"
                         "\"hint\":null}}\n";
    struct MHD_Response *response =
        MHD_create_response_from_buffer(sizeof body - 1, body, MHD_RESPMEM_PERSISTENT);
    if (!response)
        return MHD_NO;
    MHD_add_response_header(response, "Content-Type", "application/json");
    MHD_add_response_header(response, "Connection", "close");
    enum MHD_Result ret = MHD_queue_response(mhd, 503, response);
    MHD_destroy_response(response);
    return ret;
}

/* ---- asynchronous completion ---- */

void tn_http_hold(struct tn_http_request *req)
{
    atomic_fetch_add(&req->conn->refs, 1);
    pthread_mutex_lock(&req->lock);
    TN_ASSERT(!req->is_held);
    req->is_held = true;
    pthread_mutex_unlock(&req->lock);
}

void tn_http_on_gone(struct tn_http_request *req, void (*gone)(void *ctx), void *ctx)
{
    pthread_mutex_lock(&req->lock);
    req->gone = gone;
    req->gone_ctx = ctx;
    if (req->is_gone && gone)
        gone(ctx);
    pthread_mutex_unlock(&req->lock);
}

void tn_http_complete(struct tn_http_request *req)
{
    struct tni_http_conn *conn = req->conn;
    pthread_mutex_lock(&req->lock);
    TN_ASSERT(req->is_held && !req->is_completed);
    req->is_completed = true;
    req->gone = NULL;
    if (req->is_suspended && !req->is_abandoned) {
        req->is_suspended = false;
        MHD_resume_connection(conn->mhd);
    }
    pthread_mutex_unlock(&req->lock);
    tni_http_conn_unref(conn);
}

bool tn_http_is_gone(struct tn_http_request *req)
{
    struct pollfd fd = {.fd = req->conn->fd, .events = POLLRDHUP};
    pthread_mutex_lock(&req->lock);
    bool is_gone = req->is_gone || req->is_abandoned;
    pthread_mutex_unlock(&req->lock);
    return is_gone || (poll(&fd, 1, 0) == 1 && (fd.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0);
}
