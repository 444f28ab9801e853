/* Streamed replies: a bounded byte queue between one writer and the polling thread of a connection.
 *
 * HOW IT WORKS. MHD asks for bytes; an empty queue suspends the connection, the next write resumes
 * it. Suspend and resume happen under stream->lock, so a write between "empty" and "suspended"
 * cannot be missed. MHD does not watch a suspended connection's socket: the watch thread does
 * (http_conns.c) and marks the stream gone.
 *
 * INVARIANTS. (1) conn and mhd are used only while !is_gone. (2) After is_gone no byte is taken.
 * (3) A write is queued whole or not at all, so comments put in by the watch thread never cut an
 * event.
 *
 * Bounds: at most `max` bytes wait, or one write that is larger when the queue is empty.
 */
#include "connectors/http_int.h"

#include <string.h>
#include <sys/socket.h>

#include "stream/base/mem.h"

#define STREAM_CHUNK 8192

enum tn_status tn_http_stream_open(struct tn_http_request *req, int status,
                                   const char *content_type, size_t queue_bytes_max, unsigned flags,
                                   struct tn_http_stream **ret_stream, struct tn_err *err)
{
    struct tn_http_server *server = req->conn->server;
    TN_ASSERT(!req->stream && queue_bytes_max > 0);
    if (flags & TN_HTTP_SSE) {
        if (atomic_fetch_add(&server->sse_count, 1) >= server->config.sse_max) {
            atomic_fetch_sub(&server->sse_count, 1);
            tni_http_refused(server, TNI_REFUSED_SSE);
            enum tn_status st = tn_err_set(err, TN_E_LIMIT, "%lld event streams are open already",
                                           (long long)server->config.sse_max);
            tn_err_hint(err, "close one, or raise http.sse.max");
            return st;
        }
        tn_metric_add(server->m.sse, 1);
        tn_http_reply_header(req, "Cache-Control", "no-store");
        tn_http_reply_header(req, "X-Accel-Buffering", "no");
    }
    struct tn_http_stream *stream = tn_alloc(sizeof *stream);
    atomic_init(&stream->refs, 2);
    stream->server = server;
    stream->conn = req->conn;
    stream->mhd = req->conn->mhd;
    stream->flags = flags;
    stream->max = queue_bytes_max;
    stream->taken_ns = stream->written_ns = tn_mono_ns(server->clock);
    pthread_mutex_init(&stream->lock, NULL);
    pthread_cond_init(&stream->room, NULL);
    req->stream = stream;
    tn_http_reply(req, status, content_type);
    *ret_stream = stream;
    return TN_OK;
}

void tni_http_stream_unref(struct tn_http_stream *stream)
{
    if (atomic_fetch_sub(&stream->refs, 1) != 1)
        return;
    pthread_mutex_destroy(&stream->lock);
    pthread_cond_destroy(&stream->room);
    tn_free(stream->queue);
    tn_free(stream);
}

/* @locks stream->lock held */
static void stream_resume(struct tn_http_stream *stream)
{
    if (stream->is_suspended) {
        stream->is_suspended = false;
        MHD_resume_connection(stream->mhd);
    }
}

/* @locks stream->lock held */
static void stream_tell_writer(struct tn_http_stream *stream)
{
    pthread_cond_broadcast(&stream->room);
    if (stream->event && (stream->is_starved || stream->is_gone)) {
        stream->is_starved = false;
        stream->event(stream->event_ctx);
    }
}

void tni_http_stream_gone(struct tn_http_stream *stream)
{
    pthread_mutex_lock(&stream->lock);
    if (!stream->is_gone) {
        stream->is_gone = true;
        stream_resume(stream);
        stream_tell_writer(stream);
        if (stream->gone)
            stream->gone(stream->gone_ctx);
    }
    pthread_mutex_unlock(&stream->lock);
}

/* MHD wants up to `room` bytes. */
static ssize_t stream_take(void *cls, uint64_t pos, char *to, size_t room)
{
    struct tn_http_stream *stream = cls;
    ssize_t ret;
    (void)pos;
    pthread_mutex_lock(&stream->lock);
    if (stream->is_gone || (stream->is_ended && stream->is_cut && stream->len == 0)) {
        /* MHD 0.9.75 notices its own close only at the connection's next event: make one. */
        (void)shutdown(stream->conn->fd, SHUT_RDWR);
        ret = MHD_CONTENT_READER_END_WITH_ERROR;
    } else if (stream->len > 0) {
        size_t n = stream->len < room ? stream->len : room;
        memcpy(to, stream->queue + stream->head, n);
        stream->head += n;
        stream->len -= n;
        stream->taken_ns = tn_mono_ns(stream->server->clock);
        if (stream->len == 0)
            stream->head = 0;
        stream_tell_writer(stream);
        ret = (ssize_t)n;
    } else if (stream->is_ended) {
        ret = MHD_CONTENT_READER_END_OF_STREAM;
    } else {
        stream->is_suspended = true;
        MHD_suspend_connection(stream->mhd);
        ret = 0;
    }
    pthread_mutex_unlock(&stream->lock);
    return ret;
}

void tni_http_stream_abandon(struct tn_http_stream *stream)
{
    struct tn_http_server *server = stream->server;
    tni_http_stream_gone(stream);
    if (stream->flags & TN_HTTP_SSE) {
        atomic_fetch_sub(&server->sse_count, 1);
        tn_metric_add(server->m.sse, -1);
    }
    tni_http_stream_unref(stream);
}

/* The response is destroyed: sent whole, or its connection is closed. */
static void stream_released(void *cls)
{
    struct tn_http_stream *stream = cls;
    struct tn_http_server *server = stream->server;
    pthread_mutex_lock(&server->lock);
    if (stream->conn->stream == stream)
        stream->conn->stream = NULL;
    pthread_mutex_unlock(&server->lock);
    tni_http_stream_abandon(stream);
}

struct MHD_Response *tni_http_stream_response(struct tn_http_stream *stream)
{
    struct MHD_Response *response = MHD_create_response_from_callback(
        MHD_SIZE_UNKNOWN, STREAM_CHUNK, stream_take, stream, stream_released);
    if (!response)
        return NULL;
    /* The reference of MHD's response, taken over from the request. */
    stream->conn->req.stream = NULL;
    pthread_mutex_lock(&stream->server->lock);
    stream->conn->stream = stream;
    pthread_mutex_unlock(&stream->server->lock);
    pthread_mutex_lock(&stream->lock);
    stream->is_attached = true;
    pthread_mutex_unlock(&stream->lock);
    return response;
}

/* @locks stream->lock held */
static void stream_append(struct tn_http_stream *stream, const char *bytes, size_t len)
{
    if (stream->head + stream->len + len > stream->cap) {
        if (stream->head) {
            memmove(stream->queue, stream->queue + stream->head, stream->len);
            stream->head = 0;
        }
        if (stream->len + len > stream->cap) {
            size_t cap = stream->cap ? stream->cap : 4096;
            while (cap < stream->len + len)
                cap *= 2;
            stream->queue = tn_realloc(stream->queue, cap);
            stream->cap = cap;
        }
    }
    if (stream->len == 0)
        stream->taken_ns = tn_mono_ns(stream->server->clock);
    memcpy(stream->queue + stream->head + stream->len, bytes, len);
    stream->len += len;
}

/* @locks stream->lock held */
static enum tn_status stream_try_write(struct tn_http_stream *stream, struct tn_str bytes)
{
    TN_ASSERT(!stream->is_ended);
    if (stream->is_gone)
        return TN_E_CANCELLED;
    if (stream->len > 0 && stream->len + bytes.len > stream->max) {
        stream->is_starved = true;
        return TN_AGAIN;
    }
    if (bytes.len == 0)
        return TN_OK;
    stream_append(stream, bytes.ptr, bytes.len);
    stream->written_ns = tn_mono_ns(stream->server->clock);
    stream_resume(stream);
    return TN_OK;
}

enum tn_status tn_http_stream_write(struct tn_http_stream *stream, struct tn_str bytes)
{
    pthread_mutex_lock(&stream->lock);
    enum tn_status st = stream_try_write(stream, bytes);
    pthread_mutex_unlock(&stream->lock);
    return st;
}

enum tn_status tn_http_stream_write_wait(struct tn_http_stream *stream, struct tn_str bytes)
{
    pthread_mutex_lock(&stream->lock);
    enum tn_status st = stream_try_write(stream, bytes);
    /* The watch thread cuts a reader that stalls, so this wait ends. */
    while (st == TN_AGAIN) {
        pthread_cond_wait(&stream->room, &stream->lock);
        st = stream_try_write(stream, bytes);
    }
    pthread_mutex_unlock(&stream->lock);
    return st;
}

void tn_http_stream_on_event(struct tn_http_stream *stream, void (*event)(void *ctx), void *ctx)
{
    pthread_mutex_lock(&stream->lock);
    stream->event = event;
    stream->event_ctx = ctx;
    pthread_mutex_unlock(&stream->lock);
}

void tn_http_stream_on_gone(struct tn_http_stream *stream, void (*gone)(void *ctx), void *ctx)
{
    pthread_mutex_lock(&stream->lock);
    stream->gone = gone;
    stream->gone_ctx = ctx;
    if (stream->is_gone && gone)
        gone(ctx);
    pthread_mutex_unlock(&stream->lock);
}

bool tn_http_stream_is_gone(struct tn_http_stream *stream)
{
    pthread_mutex_lock(&stream->lock);
    bool is_gone = stream->is_gone;
    pthread_mutex_unlock(&stream->lock);
    return is_gone;
}

void tn_http_stream_end(struct tn_http_stream *stream, bool is_cut)
{
    pthread_mutex_lock(&stream->lock);
    TN_ASSERT(!stream->is_ended);
    stream->is_ended = true;
    stream->is_cut = is_cut;
    stream->event = NULL;
    stream->gone = NULL;
    if (!stream->is_gone)
        stream_resume(stream);
    pthread_mutex_unlock(&stream->lock);
    tni_http_stream_unref(stream);
}

bool tni_http_stream_watch(struct tn_http_stream *stream, int64_t now_ns, bool *ret_is_idle)
{
    static const struct tn_str comment = {": keep-alive\n\n", 14};
    int64_t stall_ns = stream->server->config.stall_ms * 1000000;
    pthread_mutex_lock(&stream->lock);
    bool is_live = stream->is_attached && !stream->is_gone && !stream->is_ended;
    if (is_live && (stream->flags & TN_HTTP_SSE) && stream->len == 0 &&
        now_ns - stream->written_ns > TNI_HTTP_SSE_ALIVE_NS)
        (void)stream_try_write(stream, comment);
    *ret_is_idle = stream->is_suspended && !stream->is_gone;
    bool is_stalled = stream->len > 0 && stream->is_attached && !stream->is_gone &&
                      now_ns - stream->taken_ns > stall_ns;
    pthread_mutex_unlock(&stream->lock);
    return is_stalled;
}
