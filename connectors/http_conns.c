/* Connections: counts and limits at accept, and the watch thread that ends slow ones.
 *
 * Why a watch thread: MHD's only time-out is inactivity, which one byte now and then defeats, and
 * it does not look at the sockets of suspended connections. The watch thread walks all connections
 * a few times a second (it sleeps while there are none), shuts down the sockets of those over a
 * limit of their phase, and tells holders and streams whose clients have left. It only ever calls
 * shutdown(): closing is MHD's.
 *
 * INVARIANT: a connection is in the list exactly between MHD's "started" and "closed"
 * notifications; its socket is closed after the latter, so shutdown() under server->lock never hits
 * a reused descriptor.
 */
#include "connectors/http_int.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "connectors/wait.h"
#include "stream/base/hash.h"
#include "stream/base/mem.h"

#define WATCH_TICK_NS ((int64_t)200 * 1000000)

static uint32_t address_slot(const struct sockaddr *addr, bool *ret_is_loopback, char *peer)
{
    unsigned char bytes[16] = {0};
    const unsigned char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    *ret_is_loopback = false;
    if (addr->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)addr;
        memcpy(bytes, &in->sin_addr, 4);
        *ret_is_loopback = bytes[0] == 127;
        if (peer)
            inet_ntop(AF_INET, &in->sin_addr, peer, TNI_HTTP_PEER_MAX);
        return (uint32_t)tn_hash64(bytes, 4) % TNI_HTTP_ADDRESSES;
    }
    if (addr->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)addr;
        memcpy(bytes, &in6->sin6_addr, 16);
        *ret_is_loopback = IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr) ||
                           (memcmp(bytes, mapped, 12) == 0 && bytes[12] == 127);
        if (peer)
            inet_ntop(AF_INET6, &in6->sin6_addr, peer, TNI_HTTP_PEER_MAX);
        return (uint32_t)tn_hash64(bytes, 8) % TNI_HTTP_ADDRESSES; /* one /64, one client */
    }
    return 0;
}

enum MHD_Result tni_http_accept_policy(void *cls, const struct sockaddr *addr, socklen_t len)
{
    struct tn_http_server *server = cls;
    bool is_loopback, is_full, is_crowded;
    (void)len;
    uint32_t slot = address_slot(addr, &is_loopback, NULL);
    pthread_mutex_lock(&server->lock);
    is_full =
        server->conns_count - atomic_load(&server->sse_count) >= server->config.connections_max;
    is_crowded =
        !is_loopback && server->address_counts[slot] >= server->config.connections_address_max;
    pthread_mutex_unlock(&server->lock);
    if (is_full)
        tni_http_refused(server, TNI_REFUSED_CONNECTIONS);
    else if (is_crowded)
        tni_http_refused(server, TNI_REFUSED_ADDRESS);
    return is_full || is_crowded || atomic_load(&server->is_stopping) ? MHD_NO : MHD_YES;
}

static void conn_started(struct tn_http_server *server, struct MHD_Connection *mhd,
                         void **socket_context)
{
    struct tni_http_conn *conn = tn_alloc(sizeof *conn);
    const union MHD_ConnectionInfo *info;
    int one = 1;
    conn->server = server;
    conn->mhd = mhd;
    atomic_init(&conn->refs, 1);
    info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
    conn->fd = info ? info->connect_fd : -1;
    info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    if (info && info->client_addr)
        conn->address_slot = address_slot(info->client_addr, &conn->is_loopback, conn->peer);
    (void)setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    tni_http_request_init(&conn->req, conn);
    tni_http_request_reset(&conn->req);
    tni_http_phase(conn, TNI_HTTP_NEW, tn_mono_ns(server->clock));
    *socket_context = conn;
    tn_metric_add(server->m.accepted, 1);
    tn_metric_add(server->m.connections, 1);
    pthread_mutex_lock(&server->lock);
    conn->next = server->conns;
    if (conn->next)
        conn->next->prev = conn;
    server->conns = conn;
    server->address_counts[conn->address_slot]++;
    if (server->conns_count++ == 0)
        pthread_cond_broadcast(&server->changed);
    pthread_mutex_unlock(&server->lock);
}

static void conn_closed(struct tn_http_server *server, struct tni_http_conn *conn)
{
    pthread_mutex_lock(&server->lock);
    if (conn->prev)
        conn->prev->next = conn->next;
    else
        server->conns = conn->next;
    if (conn->next)
        conn->next->prev = conn->prev;
    server->address_counts[conn->address_slot]--;
    server->conns_count--;
    pthread_mutex_unlock(&server->lock);
    tn_metric_add(server->m.connections, -1);
    tni_http_conn_unref(conn);
}

void tni_http_on_connection(void *cls, struct MHD_Connection *mhd, void **socket_context,
                            enum MHD_ConnectionNotificationCode code)
{
    if (code == MHD_CONNECTION_NOTIFY_STARTED)
        conn_started(cls, mhd, socket_context);
    else if (*socket_context)
        conn_closed(cls, *socket_context);
}

void tni_http_conn_unref(struct tni_http_conn *conn)
{
    if (atomic_fetch_sub(&conn->refs, 1) != 1)
        return;
    tni_http_request_release(&conn->req);
    tn_free(conn);
}

/* ---- watch thread ---- */

/* Over the time its phase may take? */
static bool conn_is_late(const struct tni_http_conn *conn, int64_t now_ns)
{
    const struct tn_http_config *config = &conn->server->config;
    int64_t limit_ms;
    switch ((enum tni_http_phase)atomic_load_explicit(&conn->phase, memory_order_acquire)) {
    case TNI_HTTP_NEW:
    case TNI_HTTP_HEADERS: limit_ms = config->header_ms; break;
    case TNI_HTTP_IDLE: limit_ms = config->idle_ms; break;
    case TNI_HTTP_READING: limit_ms = config->request_ms; break;
    case TNI_HTTP_RUNNING:
    case TNI_HTTP_SENDING:
    default: return false;
    }
    return now_ns - atomic_load_explicit(&conn->phase_since_ns, memory_order_relaxed) >
           limit_ms * 1000000;
}

static bool fd_is_gone(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLRDHUP};
    return poll(&p, 1, 0) == 1 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

/* Tells the holder of a suspended request that its client left. @locks server->lock held */
static void conn_watch_held(struct tni_http_conn *conn)
{
    struct tn_http_request *req = &conn->req;
    pthread_mutex_lock(&req->lock);
    if (req->is_suspended && !req->is_gone && fd_is_gone(conn->fd)) {
        req->is_gone = true;
        if (req->gone)
            req->gone(req->gone_ctx);
    }
    pthread_mutex_unlock(&req->lock);
}

/* @locks server->lock held */
static void conn_watch(struct tn_http_server *server, struct tni_http_conn *conn, int64_t now_ns)
{
    if (conn->is_cut)
        return;
    if (conn_is_late(conn, now_ns)) {
        int phase = atomic_load(&conn->phase);
        if (phase != TNI_HTTP_IDLE)
            tni_http_refused(server, TNI_REFUSED_SLOW_SENDER);
        conn->is_cut = true;
        (void)shutdown(conn->fd, SHUT_RDWR);
        return;
    }
    if (conn->stream) {
        bool is_idle;
        if (tni_http_stream_watch(conn->stream, now_ns, &is_idle)) {
            tni_http_refused(server, TNI_REFUSED_SLOW_READER);
            conn->is_cut = true;
            (void)shutdown(conn->fd, SHUT_RDWR);
            tni_http_stream_gone(conn->stream);
        } else if (is_idle && fd_is_gone(conn->fd)) {
            tni_http_stream_gone(conn->stream);
        }
        return;
    }
    if (atomic_load(&conn->phase) == TNI_HTTP_RUNNING)
        conn_watch_held(conn);
}

static void *watch_main(void *arg)
{
    struct tn_http_server *server = arg;
    pthread_mutex_lock(&server->lock);
    while (!server->is_watch_over) {
        tni_http_spare_tick(!server->conns);
        if (!server->conns) {
            pthread_cond_wait(&server->changed, &server->lock);
            continue;
        }
        int64_t now_ns = tn_mono_ns(server->clock);
        for (struct tni_http_conn *conn = server->conns; conn; conn = conn->next)
            conn_watch(server, conn, now_ns);
        (void)tn_cond_wait_for(&server->changed, &server->lock, WATCH_TICK_NS);
    }
    pthread_mutex_unlock(&server->lock);
    return NULL;
}

enum tn_status tni_http_conns_start(struct tn_http_server *server, struct tn_err *err)
{
    if (pthread_create(&server->watch, NULL, watch_main, server) != 0)
        return tn_err_set(err, TN_E_IO, "cannot start the connection watch thread");
    server->is_watching = true;
    return TN_OK;
}

void tni_http_conns_stop(struct tn_http_server *server)
{
    if (!server->is_watching)
        return;
    pthread_mutex_lock(&server->lock);
    server->is_watch_over = true;
    pthread_cond_broadcast(&server->changed);
    pthread_mutex_unlock(&server->lock);
    pthread_join(server->watch, NULL);
    server->is_watching = false;
}

/* @locks server->lock held. Returns whether the request is held. */
static bool conn_cancel(struct tni_http_conn *conn, bool is_abandon)
{
    struct tn_http_request *req = &conn->req;
    pthread_mutex_lock(&req->lock);
    bool is_held = req->is_held && !req->is_completed;
    if (is_held && !req->is_gone) {
        req->is_gone = true;
        if (req->gone)
            req->gone(req->gone_ctx);
    }
    if (is_held && is_abandon && req->is_suspended && !req->is_abandoned) {
        req->is_abandoned = true;
        req->is_suspended = false;
        MHD_resume_connection(conn->mhd);
    }
    pthread_mutex_unlock(&req->lock);
    return is_held;
}

int tni_http_conns_cancel(struct tn_http_server *server, bool is_abandon)
{
    int busy_count = 0;
    pthread_mutex_lock(&server->lock);
    for (struct tni_http_conn *conn = server->conns; conn; conn = conn->next) {
        int phase = atomic_load(&conn->phase);
        if (conn->stream) {
            tni_http_stream_gone(conn->stream);
            busy_count++;
        } else if (phase == TNI_HTTP_RUNNING) {
            busy_count += conn_cancel(conn, is_abandon);
        }
    }
    pthread_mutex_unlock(&server->lock);
    return busy_count;
}
