/* Private parts of the HTTP server, shared by connectors/http_*.c. See http_server.h for the
 * contract.
 *
 * Objects. A connection (tni_http_conn) lives from MHD's "started" to its "closed" notification and
 * embeds the one request it serves at a time, so that buffers are reused over keep-alive.
 * References: one of MHD, one per hold. A stream is referenced by its writer and by MHD's response.
 *
 * Locks, in this order: server->lock (connection list, address counts) → req->lock (hold state) or
 * stream->lock → MHD's own. Fields without a note belong to the polling thread that owns the
 * connection.
 */
#ifndef TN_CONNECTORS_HTTP_INT_H
#define TN_CONNECTORS_HTTP_INT_H

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>

#include "connectors/http_server.h"

#define TNI_HTTP_PEER_MAX     46
#define TNI_HTTP_NAMES_MAX    32
#define TNI_HTTP_ADDRESSES    4096u /* hash slots of per-address counts */
#define TNI_HTTP_BODY_KEEP    ((size_t)64 << 10)
#define TNI_HTTP_SSE_ALIVE_NS ((int64_t)15 * 1000000000)

/* Where a connection is, for the watch thread. */
enum tni_http_phase {
    TNI_HTTP_NEW,     /* accepted, no request line yet: header_ms */
    TNI_HTTP_IDLE,    /* between requests: idle_ms */
    TNI_HTTP_HEADERS, /* request line seen: header_ms */
    TNI_HTTP_READING, /* body: request_ms */
    TNI_HTTP_RUNNING, /* a handler has it, or it is held */
    TNI_HTTP_SENDING
};

enum tni_http_refusal {
    TNI_REFUSED_HOST,
    TNI_REFUSED_ORIGIN,
    TNI_REFUSED_FORM, /* smuggling forms, malformed path */
    TNI_REFUSED_URI,
    TNI_REFUSED_HEADERS,
    TNI_REFUSED_BODY,
    TNI_REFUSED_MEMORY,
    TNI_REFUSED_CONNECTIONS,
    TNI_REFUSED_ADDRESS,
    TNI_REFUSED_SSE,
    TNI_REFUSED_SLOW_SENDER,
    TNI_REFUSED_SLOW_READER,
    TNI_REFUSALS_COUNT
};

struct tni_http_conn;

struct tni_http_reply_header {
    const char *name;
    char *value; /* request arena */
};

struct tn_http_request {
    struct tni_http_conn *conn;
    const struct tn_http_route *route; /* NULL until found */
    const char *method;                /* MHD's, valid for the request */
    struct tn_str path;                /* decoded; arena */
    struct tn_str params[TN_HTTP_PARAMS_MAX];
    struct tn_arena arena;
    struct tn_buf body;
    int64_t body_charged;  /* counted in server->bodies_bytes */
    int64_t drained_bytes; /* body bytes thrown away before an early reply */
    bool is_begun, is_handled;
    bool is_early; /* reply decided before the body: the body is thrown away */
    struct tn_str host, origin, sec_fetch_site, sec_fetch_mode;
    int64_t content_length; /* −1 = not given */
    bool is_chunked, is_expect, is_keepalive_off;
    int64_t started_ns;
    void *slot;

    /* reply */
    int status;
    const char *content_type;
    struct tn_buf out;
    struct tn_str static_body;
    bool is_static, is_gzip_allowed;
    struct tni_http_reply_header headers[TN_HTTP_REPLY_HEADERS];
    uint32_t headers_count;
    struct tn_http_stream *stream; /* reply is a stream: reference for MHD's response */

    /* hold state, under lock */
    pthread_mutex_t lock;
    bool is_held, is_completed, is_suspended, is_gone, is_abandoned;
    void (*gone)(void *ctx);
    void *gone_ctx;
};

struct tni_http_conn {
    struct tn_http_server *server;
    struct MHD_Connection *mhd;
    atomic_int refs;
    int fd;
    char peer[TNI_HTTP_PEER_MAX];
    bool is_loopback;
    uint32_t address_slot;
    _Atomic int phase; /* enum tni_http_phase */
    _Atomic int64_t phase_since_ns;
    /* under server->lock */
    struct tni_http_conn *prev, *next;
    bool is_cut;
    struct tn_http_stream *stream; /* open stream, for the watch thread; borrowed */
    struct tn_http_request req;
};

struct tn_http_stream {
    atomic_int refs;
    struct tn_http_server *server;
    struct tni_http_conn *conn; /* valid until is_gone */
    struct MHD_Connection *mhd; /* the same */
    unsigned flags;
    pthread_mutex_t lock;
    pthread_cond_t room;
    char *queue;
    size_t head, len, cap, max;
    bool is_attached; /* MHD reads it */
    bool is_suspended, is_ended, is_cut, is_gone, is_starved;
    int64_t taken_ns; /* when the reader last took bytes, or the queue became non-empty */
    int64_t written_ns;
    void (*event)(void *ctx);
    void *event_ctx;
    void (*gone)(void *ctx);
    void *gone_ctx;
};

struct tni_http_metrics {
    struct tn_metric *requests[6]; /* by status / 100; 0 = other */
    struct tn_metric *seconds;
    struct tn_metric *connections, *accepted, *sse, *bodies_bytes, *body_bytes, *reply_bytes;
    struct tn_metric *refused[TNI_REFUSALS_COUNT];
};

struct tn_http_server {
    struct tn_http_config config;
    struct tn_clock *clock;
    struct tn_http_route routes[TN_HTTP_ROUTES_MAX];
    uint32_t routes_count;
    int listen_fd;
    char address[128];
    struct tn_str hosts[TNI_HTTP_NAMES_MAX], origins[TNI_HTTP_NAMES_MAX];
    uint32_t hosts_count, origins_count;
    struct MHD_Daemon *daemon;
    struct tni_http_metrics m;
    _Atomic int64_t bodies_bytes;
    _Atomic int sse_count;
    _Atomic bool is_stopping;

    pthread_mutex_t lock;
    pthread_cond_t changed; /* connections came or went; stop */
    struct tni_http_conn *conns;
    int conns_count;
    uint16_t address_counts[TNI_HTTP_ADDRESSES];
    pthread_t watch;
    bool is_watching, is_watch_over;
};

/* http_listen.c */
enum tn_status tni_http_listen(struct tn_http_server *server, struct tn_err *err);

/* http_guard.c */
void tni_http_guard_open(struct tn_http_server *server);
bool tni_http_host_ok(const struct tn_http_server *server, struct tn_str host);
bool tni_http_origin_ok(const struct tn_http_server *server, struct tn_str origin,
                        struct tn_str host);
bool tni_http_origin_listed(const struct tn_http_server *server, struct tn_str origin);
/* Percent-decodes `text` into the arena; false: malformed escape or a NUL byte. */
bool tni_http_decode(struct tn_arena *arena, struct tn_str text, struct tn_str *ret_text);

/* http_route.c */
/* Finds the route and fills params and path; ret_is_path: another method has this path. */
const struct tn_http_route *tni_http_route_find(struct tn_http_server *server,
                                                struct tn_http_request *req, struct tn_str path,
                                                bool *ret_is_path);
void tni_http_allow(const struct tn_http_server *server, struct tn_http_request *req,
                    struct tn_str path, struct tn_buf *buf);

/* http_request.c */
void tni_http_request_init(struct tn_http_request *req, struct tni_http_conn *conn);
void tni_http_request_reset(struct tn_http_request *req); /* between two requests */
void tni_http_request_release(struct tn_http_request *req);
/* http_body.c: memory of large bodies. take: into an empty buffer, if there is some; give: instead
 * of tn_buf_release; tick: by the watch thread, is_last when it goes to sleep. */
void tni_http_spare_take(struct tn_buf *buf);
void tni_http_spare_give(struct tn_buf *buf);
void tni_http_spare_tick(bool is_last);

/* http_gzip.c: compresses the body when that is allowed, wanted and worth it; true: it did. */
bool tni_http_gzip(struct tn_http_request *req);
enum MHD_Result tni_http_queue_reply(struct tn_http_request *req);
/* For requests whose holder is still at work at the end: touches nothing of the request. */
enum MHD_Result tni_http_queue_abandoned(struct MHD_Connection *mhd);

/* http_conns.c */
enum tn_status tni_http_conns_start(struct tn_http_server *server, struct tn_err *err);
void tni_http_conns_stop(struct tn_http_server *server); /* ends the watch thread */
enum MHD_Result tni_http_accept_policy(void *cls, const struct sockaddr *addr, socklen_t len);
void tni_http_on_connection(void *cls, struct MHD_Connection *mhd, void **socket_context,
                            enum MHD_ConnectionNotificationCode code);
void tni_http_conn_unref(struct tni_http_conn *conn);
/* Tells every holder and stream that its client is gone; abandon: resume held requests without
 * their holders. Returns the number of held requests and open streams. */
int tni_http_conns_cancel(struct tn_http_server *server, bool is_abandon);
static inline void tni_http_phase(struct tni_http_conn *conn, enum tni_http_phase phase,
                                  int64_t now_ns)
{
    atomic_store_explicit(&conn->phase_since_ns, now_ns, memory_order_relaxed);
    atomic_store_explicit(&conn->phase, (int)phase, memory_order_release);
}

/* http_stream.c */
struct MHD_Response *tni_http_stream_response(struct tn_http_stream *stream);
void tni_http_stream_unref(struct tn_http_stream *stream);
void tni_http_stream_gone(struct tn_http_stream *stream); /* marks it gone and wakes both sides */
/* The reference of a response that never was, or is over: gone, and given back. */
void tni_http_stream_abandon(struct tn_http_stream *stream);
/* Keep-alive comment when due; is the reader stalled? @locks server->lock held */
bool tni_http_stream_watch(struct tn_http_stream *stream, int64_t now_ns, bool *ret_is_idle);

static inline void tni_http_refused(struct tn_http_server *server, enum tni_http_refusal why)
{
    tn_metric_add(server->m.refused[why], 1);
}

#endif
