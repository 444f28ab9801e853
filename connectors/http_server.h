/* HTTP server: a small wrapper of libmicrohttpd, so that no other file knows its callbacks.
 *
 * A failing handler may choose the status of its error with tn_http_reply(req, status, NULL) before
 * it returns.
 *
 * A route is (method, path pattern, handler). A handler runs on one of the server's few polling
 * threads and either fills the reply and returns TN_OK, returns an error (sent as the JSON error
 * document), or holds the request (tn_http_hold), starts something elsewhere and returns TN_AGAIN;
 * whoever finishes fills the reply and calls tn_http_complete from any thread. Handlers must be
 * short: a polling thread serves many connections.
 *
 * Bodies are collected up to the route's limit before the handler runs; a truncated body never
 * reaches it. Long answers and server-sent events go through a struct tn_http_stream: a bounded
 * queue between a writer and the polling thread. A reader that takes nothing for stall_ms is cut.
 *
 * Security that holds for every route: the Host header must name a loopback address, the listen
 * address or one of `hosts`; an Origin must be this server or one of `cors_origins`; else 403.
 * Request smuggling forms get 400.
 *
 * Ownership: routes and config strings must outlive the server. A request lives until its reply is
 * sent and its holder has completed it. Slices of a request are valid until tn_http_complete or the
 * handler's return.
 */
#ifndef TN_CONNECTORS_HTTP_SERVER_H
#define TN_CONNECTORS_HTTP_SERVER_H

#include "stream/base/arena.h"
#include "stream/base/buf.h"
#include "stream/base/clock.h"
#include "stream/base/metrics.h"
#include "stream/base/opt.h"

#define TN_HTTP_ROUTES_MAX    64
#define TN_HTTP_PARAMS_MAX    4
#define TN_HTTP_REPLY_HEADERS 32
#define TN_HTTP_BODY_DEFAULT  ((size_t)1 << 20)

struct tn_http_server;
struct tn_http_request;
struct tn_http_stream;

/* Filled by the option table tn_http_opts (or tn_http_config_init for the defaults). */
struct tn_http_config {
    const char *listen;       /* "127.0.0.1:8090", "[::1]:0"; port 0 = any free one */
    const char *hosts;        /* further names in Host, comma-separated; "*" = any */
    const char *cors_origins; /* further origins, comma-separated */
    int64_t threads_count;    /* polling threads */
    int64_t connections_max, connections_address_max, sse_max;
    int64_t header_ms, request_ms, idle_ms, stall_ms;
    int64_t header_bytes_max, uri_bytes_max;
    int64_t body_bytes_max, ingest_bytes_max;
    int64_t bodies_bytes_max; /* all bodies in memory together */
    int64_t result_bytes_max; /* one buffered reply */
};

extern const struct tn_opts tn_http_opts;
/* The defaults of the table, without parsing (robustness limits; listen 127.0.0.1:8090). */
void tn_http_config_init(struct tn_http_config *config);

/* Binds and listens, so that a port in use is known at once: TN_E_BUSY naming the address. No
 * request is served before tn_http_start. `clock` and `metrics` outlive the server; config is
 * copied (its strings are not). */
enum tn_status tn_http_open(const struct tn_http_config *config, struct tn_clock *clock,
                            struct tn_metrics *metrics, struct tn_http_server **ret_server,
                            struct tn_err *err);

/* Handler at the end of the body; `begin` (may be NULL) as soon as the headers are there: a failure
 * is answered without reading the body. Both on a polling thread. */
typedef enum tn_status (*tn_http_handler)(void *ctx, struct tn_http_request *req,
                                          struct tn_err *err);

enum tn_http_route_flags {
    TN_HTTP_BODY = 1u << 0,     /* takes a body; without it a body is refused with 413 */
    TN_HTTP_FALLBACK = 1u << 1, /* any path of this method that no other route has; path is NULL */
    TN_HTTP_NO_STORE = 1u << 2  /* Cache-Control: no-store */
};

struct tn_http_route {
    const char *method; /* "GET" serves HEAD too */
    const char *path;   /* "/streams/{name}/events": a {…} segment matches one path segment */
    tn_http_handler handler;
    tn_http_handler begin;
    void *ctx;
    size_t body_bytes_max; /* 0 = config.body_bytes_max */
    unsigned flags;
};
/* Before tn_http_start only. `route` is copied. */
void tn_http_route_add(struct tn_http_server *server, const struct tn_http_route *route);

enum tn_status tn_http_start(struct tn_http_server *server, struct tn_err *err);
/* "127.0.0.1:8090" with the real port; valid while the server is open. */
const char *tn_http_address(const struct tn_http_server *server);
const struct tn_http_config *tn_http_config_of(const struct tn_http_server *server);
/* Stop accepting, end streams, tell holders that their clients are gone, wait for running requests
 * up to grace_ms, stop threads. After it no handler runs. Safe to call twice. */
void tn_http_stop(struct tn_http_server *server, int64_t grace_ms);
void tn_http_close(struct tn_http_server *server); /* stops first; NULL is a no-op */

/* ---- request; on the handler's thread ---- */

const char *tn_http_method(const struct tn_http_request *req);
struct tn_str tn_http_path(const struct tn_http_request *req); /* percent-decoded, without query */
struct tn_str tn_http_peer(const struct tn_http_request *req); /* "127.0.0.1" */
/* ptr NULL when absent. */
struct tn_str tn_http_header(const struct tn_http_request *req, const char *name);
/* Every header line of the request, in order; each returns false to stop. */
void tn_http_headers_each(const struct tn_http_request *req,
                          bool (*each)(void *ctx, struct tn_str name, struct tn_str value),
                          void *ctx);
struct tn_str tn_http_param(const struct tn_http_request *req,
                            const char *name); /* {name} of the path */
struct tn_str tn_http_query(const struct tn_http_request *req,
                            const char *name); /* ?name=…, decoded */
struct tn_str tn_http_body(const struct tn_http_request *req);
/* A large body as shared bytes that outlive the request, which has none any more; NULL: it is
 * small, copy what is needed. @thread _ref and _unref: any */
struct tn_http_bytes *tn_http_body_take(struct tn_http_request *req);
struct tn_str tn_http_bytes_text(const struct tn_http_bytes *bytes);
struct tn_http_bytes *tn_http_bytes_ref(struct tn_http_bytes *bytes);
void tn_http_bytes_unref(struct tn_http_bytes *bytes); /* NULL is a no-op */
/* Scratch of this request; any thread that holds it. */
struct tn_arena *tn_http_arena(struct tn_http_request *req);
/* One pointer for the handler's own state between begin and handler. */
void **tn_http_slot(struct tn_http_request *req);
/* Does the Accept header prefer `type` ("application/json") over none of the others? Quality 0 =
 * refused. Returns the index of the best of `types` (first wins ties), −1 when none is acceptable;
 * no Accept header: 0. */
int tn_http_accept(const struct tn_http_request *req, const char *const *types, size_t types_count);

/* ---- reply; on the thread that owns the request ---- */

/* Body to append to; starts empty, bounded by config.result_bytes_max. */
struct tn_buf *tn_http_out(struct tn_http_request *req);
/* Status and type (static text) of the reply whose body is in tn_http_out. */
void tn_http_reply(struct tn_http_request *req, int status, const char *content_type);
/* The buffered body may be sent gzipped to clients that accept it. */
void tn_http_reply_gzip(struct tn_http_request *req);
/* The same with a body that outlives the server (an embedded asset). */
void tn_http_reply_static(struct tn_http_request *req, int status, const char *content_type,
                          struct tn_str body);
/* `name` static; value is copied. Control characters are refused by assertion. */
void tn_http_reply_header(struct tn_http_request *req, const char *name, const char *value);
/* {"error":{"code","name","message","line","column","hint"}}; status 0 = from err->code. */
void tn_http_reply_error(struct tn_http_request *req, int status, const struct tn_err *err);
/* The error document alone, for streams. */
void tn_http_print_error(struct tn_buf *buf, const struct tn_err *err);

/* ---- asynchronous completion ---- */

/* Before starting the work; the handler then returns TN_AGAIN. */
void tn_http_hold(struct tn_http_request *req);
/* Called at most once, from another thread, when the client has left or the server stops; never
 * after tn_http_complete has begun. Must only signal. At once if the client has left already. */
void tn_http_on_gone(struct tn_http_request *req, void (*gone)(void *ctx), void *ctx);
/* Exactly once per hold; the reply must be filled; `req` is invalid afterwards. @thread any */
void tn_http_complete(struct tn_http_request *req);
/* Has the client left? Cheap; for handlers that run long on a polling thread. @thread any holder */
bool tn_http_is_gone(struct tn_http_request *req);

/* ---- streamed replies ---- */

enum tn_http_stream_flags { TN_HTTP_SSE = 1u << 0 };

/* Makes the reply of `req` a stream of bytes (chunked). With TN_HTTP_SSE it counts against sse_max
 * (TN_E_LIMIT, sent as 503) and gets comments as keep-alive. The caller is the writer and must end
 * it. */
enum tn_status tn_http_stream_open(struct tn_http_request *req, int status,
                                   const char *content_type, size_t queue_bytes_max, unsigned flags,
                                   struct tn_http_stream **ret_stream, struct tn_err *err);
/* All or nothing. TN_AGAIN: the queue is full. TN_E_CANCELLED: the reader is gone. One writer
 * thread at a time. */
enum tn_status tn_http_stream_write(struct tn_http_stream *stream, struct tn_str bytes);
/* Waits for room; TN_E_CANCELLED when the reader left, stalled or the server stops. */
enum tn_status tn_http_stream_write_wait(struct tn_http_stream *stream, struct tn_str bytes);
/* Called from a polling or watch thread when there is room again or the reader is gone; must only
 * signal. */
void tn_http_stream_on_event(struct tn_http_stream *stream, void (*event)(void *ctx), void *ctx);
/* Called at most once, when the reader has left or the server stops (at once if it has already);
 * never after tn_http_stream_end has begun. Must only signal. */
void tn_http_stream_on_gone(struct tn_http_stream *stream, void (*gone)(void *ctx), void *ctx);
bool tn_http_stream_is_gone(struct tn_http_stream *stream);
/* Ends the reply and gives the writer's reference back. is_cut: without the final chunk, so that
 * the client sees that something is missing. */
void tn_http_stream_end(struct tn_http_stream *stream, bool is_cut);

#endif
