/* Ingest: the routes, the cache of streams, and the way from request to batch.
 *
 * Streams are cached by name or path and catalog version, because each request needs codecs and a
 * topic handle. A changed catalog version makes the next request look its stream up again; requests
 * in flight keep theirs.
 * @thread polling threads; the cache has a lock, encoders are lent one request each
 */
#include "connectors/ingest_int.h"

#include <time.h>

#include "connectors/formats.h"
#include "stream/base/mem.h"

#define ENCODERS_KEPT_MAX 16

static const struct tn_metric_desc records_desc = {"tarn_ingest_records_total", TN_METRIC_COUNTER,
                                                   "records", NULL,
                                                   "events made durable over HTTP"};
static const struct tn_metric_desc bytes_desc = {"tarn_ingest_bytes_total", TN_METRIC_COUNTER,
                                                 "bytes", NULL, "their key and value bytes"};
static const struct tn_metric_desc requests_desc = {"tarn_ingest_requests_total", TN_METRIC_COUNTER,
                                                    "requests", NULL, "ingest requests"};
static const struct tn_metric_desc refused_desc = {
    "tarn_ingest_refused_total", TN_METRIC_COUNTER, "requests", NULL,
    "ingest requests refused before anything was stored"};
static const struct tn_metric_desc failed_desc = {
    "tarn_ingest_failed_total", TN_METRIC_COUNTER, "requests", NULL,
    "ingest requests that the log did not take whole"};
static const struct tn_metric_desc replayed_desc = {
    "tarn_ingest_replayed_total", TN_METRIC_COUNTER, "requests", NULL,
    "repeated requests answered from their Idempotency-Key"};
static const struct tn_metric_desc ack_desc = {"tarn_ingest_ack_seconds", TN_METRIC_HISTOGRAM,
                                               "seconds", NULL, "time from request to durable"};

/* ---- streams ---- */

static void stream_free(struct tni_ingest_stream *stream)
{
    struct tn_ingest_resolver *resolver = stream->ingest->config.resolver;
    for (struct tni_encoder *e = stream->encoders, *next; e; e = next) {
        next = e->next;
        tni_ingest_encoder_free(e);
    }
    resolver->release(resolver, &stream->target);
    pthread_mutex_destroy(&stream->lock);
    tn_free(stream);
}

void tni_ingest_stream_unref(struct tni_ingest_stream *stream)
{
    if (stream && atomic_fetch_sub(&stream->refs, 1) == 1)
        stream_free(stream);
}

static enum tn_status stream_new(struct tn_ingest *ingest, struct tn_str name, bool is_path,
                                 struct tni_ingest_stream **ret_stream, struct tn_err *err)
{
    struct tn_ingest_resolver *resolver = ingest->config.resolver;
    struct tn_log *log = ingest->config.log;
    struct tn_ingest_target target = {0};
    struct tni_encoder *encoder = NULL;
    enum tn_status st = resolver->find(resolver, name, is_path, &target, err);
    if (st != TN_OK)
        return st;
    struct tni_ingest_stream *stream = tn_alloc(sizeof *stream);
    atomic_init(&stream->refs, 1);
    stream->ingest = ingest;
    stream->target = target;
    stream->is_json = target.decl->value_format == &tn_format_json;
    pthread_mutex_init(&stream->lock, NULL);
    st = log->type->topic_find(log, target.decl->topic, &stream->topic, err);
    if (st == TN_NOT_FOUND)
        st = tn_err_set(err, TN_E_NAME, "the topic '%s' of stream '%s' does not exist",
                        target.decl->topic, target.name);
    if (st != TN_OK)
        goto fail;
    if (target.decl->window != TN_WINDOW_NONE && !target.refusal)
        stream->target.refusal = "its keys are windowed";
    if (target.defaults)
        TN_GOTO(tni_ingest_defaults_parse(target.defaults, &stream->defaults, err));
    if (!stream->target.refusal) {
        TN_GOTO(tni_ingest_encoder_new(target.decl, &encoder, err)); /* can it be encoded? */
        tni_ingest_encoder_give(stream, encoder);
    }
    *ret_stream = stream;
    return TN_OK;
fail:
    stream_free(stream);
    return st;
}

static struct tni_stream_entry *entry_find(struct tn_ingest *ingest, struct tn_str name,
                                           bool is_path)
{
    for (uint32_t i = 0; i < ingest->entries_count; i++)
        if (ingest->entries[i].is_path == is_path &&
            tn_str_eq(tn_str_of(ingest->entries[i].name), name))
            return &ingest->entries[i];
    return NULL;
}

static void entry_drop(struct tn_ingest *ingest, uint32_t at)
{
    tni_ingest_stream_unref(ingest->entries[at].stream);
    tn_free(ingest->entries[at].name);
    ingest->entries[at] = ingest->entries[--ingest->entries_count];
}

/* @locks ingest->lock held for writing */
static void entry_put(struct tn_ingest *ingest, struct tn_str name, bool is_path, int64_t version,
                      struct tni_ingest_stream *stream)
{
    struct tni_stream_entry *entry = entry_find(ingest, name, is_path);
    if (entry) {
        tni_ingest_stream_unref(entry->stream);
        entry->stream = stream;
        entry->version = version;
        return;
    }
    if (ingest->entries_count == TNI_INGEST_STREAMS_MAX)
        entry_drop(ingest, 0);
    ingest->entries[ingest->entries_count++] =
        (struct tni_stream_entry){tn_strndup(name.ptr, name.len), is_path, version, stream};
}

enum tn_status tni_ingest_stream_get(struct tn_ingest *ingest, struct tn_str name, bool is_path,
                                     struct tni_ingest_stream **ret_stream, struct tn_err *err)
{
    int64_t version = ingest->config.resolver->version(ingest->config.resolver);
    struct tni_ingest_stream *stream = NULL;
    pthread_rwlock_rdlock(&ingest->lock);
    struct tni_stream_entry *entry = entry_find(ingest, name, is_path);
    if (entry && entry->version == version) {
        stream = entry->stream;
        atomic_fetch_add(&stream->refs, 1);
    }
    pthread_rwlock_unlock(&ingest->lock);
    if (!stream) {
        enum tn_status st = stream_new(ingest, name, is_path, &stream, err);
        if (st != TN_OK)
            return st;
        atomic_fetch_add(&stream->refs, 1); /* the cache's */
        pthread_rwlock_wrlock(&ingest->lock);
        entry_put(ingest, name, is_path, version, stream);
        pthread_rwlock_unlock(&ingest->lock);
    }
    *ret_stream = stream;
    return TN_OK;
}

void tni_ingest_stream_forget(struct tn_ingest *ingest)
{
    pthread_rwlock_wrlock(&ingest->lock);
    while (ingest->entries_count)
        entry_drop(ingest, ingest->entries_count - 1);
    pthread_rwlock_unlock(&ingest->lock);
}

enum tn_status tni_ingest_encoder_take(struct tni_ingest_stream *stream,
                                       struct tni_encoder **ret_encoder, struct tn_err *err)
{
    pthread_mutex_lock(&stream->lock);
    struct tni_encoder *encoder = stream->encoders;
    if (encoder)
        stream->encoders = encoder->next;
    pthread_mutex_unlock(&stream->lock);
    if (encoder) {
        *ret_encoder = encoder;
        return TN_OK;
    }
    return tni_ingest_encoder_new(stream->target.decl, ret_encoder, err);
}

void tni_ingest_encoder_give(struct tni_ingest_stream *stream, struct tni_encoder *encoder)
{
    pthread_mutex_lock(&stream->lock);
    encoder->next = stream->encoders;
    stream->encoders = encoder;
    pthread_mutex_unlock(&stream->lock);
}

/* ---- requests ---- */

static enum tn_status check_writable(const struct tni_ingest_stream *stream, struct tn_err *err)
{
    if (!stream->target.refusal)
        return TN_OK;
    return tn_err_set(err, TN_E_DENIED, "'%s' takes no events: %s", stream->target.name,
                      stream->target.refusal);
}

/* POST of a path no other route has: only declared ingest paths go on. */
static enum tn_status path_begin(void *ctx, struct tn_http_request *req, struct tn_err *err)
{
    struct tn_ingest *ingest = ctx;
    struct tni_ingest_stream *stream;
    enum tn_status st = tni_ingest_stream_get(ingest, tn_http_path(req), true, &stream, err);
    if (st == TN_OK) {
        st = check_writable(stream, err);
        tni_ingest_stream_unref(stream);
        if (st == TN_OK)
            return TN_OK;
    }
    tn_http_reply(req, st == TN_E_NAME ? 404 : tn_status_http(st), NULL);
    return st;
}

static enum tn_status name_begin(void *ctx, struct tn_http_request *req, struct tn_err *err)
{
    struct tn_ingest *ingest = ctx;
    struct tni_ingest_stream *stream;
    enum tn_status st =
        tni_ingest_stream_get(ingest, tn_http_param(req, "name"), false, &stream, err);
    if (st == TN_OK) {
        st = check_writable(stream, err);
        tni_ingest_stream_unref(stream);
        if (st == TN_OK)
            return TN_OK;
    }
    tn_http_reply(req, st == TN_E_NAME ? 404 : tn_status_http(st), NULL);
    return st;
}

static bool type_is(struct tn_str type, const char *name)
{
    size_t len = 0;
    while (len < type.len && type.ptr[len] != ';' && type.ptr[len] != ' ')
        len++;
    return tn_str_eq_nocase((struct tn_str){type.ptr, len}, tn_str_of(name));
}

static bool type_is_lines(struct tn_str type)
{
    return type_is(type, "application/x-ndjson") || type_is(type, "application/ndjson") ||
           type_is(type, "application/jsonl") || type_is(type, "application/json-lines");
}

static enum tn_status build_body(struct tni_ingest_batch *batch, struct tn_err *err)
{
    struct tn_http_request *req = batch->req;
    struct tn_str type = tn_http_header(req, "Content-Type");
    struct tn_str encoding = tn_http_header(req, "Content-Encoding");
    struct tn_str key = tn_http_header(req, "X-Tarn-Key");
    struct tn_str body = tn_http_body(req); /* the bytes stay where they are */
    if (encoding.ptr && !tn_str_eq_nocase(encoding, TN_STR("identity"))) {
        tn_http_reply(req, 415, NULL);
        return tn_err_set(err, TN_E_UNSUPPORTED,
                          "Content-Encoding '%.*s' is not taken; send the "
                          "body as it is",
                          (int)(encoding.len < 40 ? encoding.len : 40), encoding.ptr);
    }
    if (type.ptr && type_is(type, "application/octet-stream"))
        return tni_ingest_batch_build_raw(batch, body, key, err);
    struct tni_elements elements = {0};
    enum tni_ingest_form form = type.ptr && type_is_lines(type) ? TNI_FORM_LINES : TNI_FORM_AUTO;
    bool is_checked_later = batch->stream->target.decl->keys_count > 0 && !key.ptr &&
                            batch->stream->defaults.count == 0;
    if (batch->stream->is_json && batch->stream->defaults.count == 0)
        batch->body = tn_http_body_take(req);
    enum tn_status st = tni_ingest_split(body, form, is_checked_later, &elements, err);
    if (!tn_failed(st))
        st = tni_ingest_batch_build(batch, &elements, body, key.ptr != NULL, key, err);
    tn_http_bytes_unref(batch->body);
    batch->body = NULL;
    tni_ingest_elements_release(&elements);
    return st;
}

/* Finds out what the Idempotency-Key means for this request. TN_END: the answer is there already.
 */
static enum tn_status claim_key(struct tni_ingest_batch *batch, struct tn_err *err)
{
    struct tn_http_request *req = batch->req;
    struct tn_ingest *ingest = batch->ingest;
    struct tn_str key = tn_http_header(req, "Idempotency-Key");
    const char *name = batch->stream->target.name;
    int status = 0;
    if (!key.ptr)
        return TN_OK;
    if (key.len == 0 || key.len > TNI_IDEMPOTENCY_KEY_MAX || strlen(name) >= 512)
        return tn_err_set(err, TN_E_INVALID, "the Idempotency-Key must have 1 to %d bytes",
                          TNI_IDEMPOTENCY_KEY_MAX);
    enum tni_claim claim = tni_idempotency_claim(ingest->idempotency, name, key, tn_http_body(req),
                                                 &status, tn_http_out(req), &batch->idem);
    switch (claim) {
    case TNI_CLAIM_NEW:
    case TNI_CLAIM_RESUME:
        batch->is_resumed = claim == TNI_CLAIM_RESUME;
        batch->idem_key = tn_arena_str(tn_http_arena(req), key);
        return TN_OK;
    case TNI_CLAIM_REPLAY:
        tn_metric_add(ingest->m.replayed, 1);
        tn_http_reply_header(req, "Idempotent-Replayed", "true");
        tn_http_reply(req, status,
                      batch->stream->target.reply_text ? "text/plain; charset=utf-8"
                                                       : "application/json");
        return TN_END;
    case TNI_CLAIM_RUNNING:
        err->retriable = true;
        return tn_err_set(err, TN_E_BUSY, "a request with this Idempotency-Key is at work");
    case TNI_CLAIM_OTHER:
        tn_http_reply(req, 422, NULL);
        return tn_err_set(err, TN_E_INVALID,
                          "this Idempotency-Key was used with another body within 24 hours");
    case TNI_CLAIM_FULL:
    default:
        tn_http_reply(req, 503, NULL);
        return tn_err_set(err, TN_E_LIMIT, "too many Idempotency-Keys within 24 hours");
    }
}

static enum tn_status prepare(struct tni_ingest_batch *batch, bool is_delete, struct tn_err *err)
{
    struct tn_str key = tn_http_header(batch->req, "X-Tarn-Key");
    enum tn_status st = claim_key(batch, err);
    if (st != TN_OK)
        return st;
    if (is_delete && !key.ptr)
        st = tn_err_set(err, TN_E_INVALID, "which record? give its key in X-Tarn-Key");
    else if (is_delete)
        st = tni_ingest_batch_build_raw(batch, (struct tn_str){NULL, 0}, key, err);
    else
        st = build_body(batch, err);
    if (!tn_failed(st) && batch->is_resumed) {
        st = tni_idempotency_resume(batch->idem, &batch->parts, err);
        if (tn_failed(st))
            tni_ingest_batch_release(batch);
    }
    if (tn_failed(st) && batch->idem)
        tni_idempotency_release(batch->ingest->idempotency, batch->idem, NULL);
    return st;
}

static enum tn_status ingest_request(struct tn_ingest *ingest, struct tn_http_request *req,
                                     struct tn_str name, bool is_path, bool is_delete,
                                     struct tn_err *err)
{
    struct tni_ingest_batch *batch = TN_ARENA_NEW(tn_http_arena(req), struct tni_ingest_batch);
    batch->ingest = ingest;
    batch->req = req;
    batch->started_ns = tn_mono_ns(ingest->config.clock);
    tn_metric_add(ingest->m.requests, 1);
    enum tn_status st = tni_ingest_stream_get(ingest, name, is_path, &batch->stream, err);
    if (st == TN_OK)
        st = check_writable(batch->stream, err);
    if (st == TN_OK)
        st = prepare(batch, is_delete, err);
    if (st != TN_OK) {
        tn_metric_add(ingest->m.refused, st != TN_END);
        tni_ingest_stream_unref(batch->stream);
        if (st == TN_E_NAME)
            tn_http_reply(req, 404, NULL);
        return st == TN_END ? TN_OK : st;
    }
    tni_ingest_batch_start(batch);
    return TN_AGAIN;
}

static enum tn_status post_name(void *ctx, struct tn_http_request *req, struct tn_err *err)
{
    return ingest_request(ctx, req, tn_http_param(req, "name"), false, false, err);
}

static enum tn_status delete_name(void *ctx, struct tn_http_request *req, struct tn_err *err)
{
    return ingest_request(ctx, req, tn_http_param(req, "name"), false, true, err);
}

static enum tn_status post_path(void *ctx, struct tn_http_request *req, struct tn_err *err)
{
    return ingest_request(ctx, req, tn_http_path(req), true, false, err);
}

/* ---- declarations ---- */

/* Paths that the server answers itself; one that ends in '/' stands for everything below too. */
static const char *const own_paths[] = {"/sql",     "/sql/",    "/streams/", "/events", "/live",
                                        "/assets/", "/metrics", "/healthz",  "/readyz", "/v1/"};

static enum tn_status check_path(const char *path, struct tn_err *err)
{
    bool is_ok = path[0] == '/' && path[1] != 0;
    for (const char *p = path; *p && is_ok; p++)
        is_ok = (unsigned char)*p > ' ' && !strchr("?#%", *p) && !(p[0] == '/' && p[1] == '/');
    if (!is_ok)
        return tn_err_set(err, TN_E_INVALID,
                          "property INGEST_PATH is '%s', a path like '/songs' is expected", path);
    for (size_t i = 0; i < sizeof own_paths / sizeof *own_paths; i++) {
        size_t len = strlen(own_paths[i]);
        bool is_own = own_paths[i][len - 1] == '/' ? strncmp(path, own_paths[i], len) == 0
                                                   : strcmp(path, own_paths[i]) == 0;
        if (is_own)
            return tn_err_set(err, TN_E_INVALID,
                              "property INGEST_PATH: '%s' is answered by the server itself", path);
    }
    return TN_OK;
}

enum tn_status tn_ingest_check(const char *path, const char *defaults, struct tn_err *err)
{
    struct tni_defaults parsed;
    if (path)
        TN_TRY(check_path(path, err));
    return defaults ? tni_ingest_defaults_parse(defaults, &parsed, err) : TN_OK;
}

/* ---- life ---- */

static void metrics_open(struct tn_ingest *ingest)
{
    struct tn_metrics *metrics = ingest->config.metrics;
    struct tni_ingest_metrics *m = &ingest->m;
    m->records = tn_metric_get(metrics, &records_desc, NULL);
    m->bytes = tn_metric_get(metrics, &bytes_desc, NULL);
    m->requests = tn_metric_get(metrics, &requests_desc, NULL);
    m->refused = tn_metric_get(metrics, &refused_desc, NULL);
    m->failed = tn_metric_get(metrics, &failed_desc, NULL);
    m->replayed = tn_metric_get(metrics, &replayed_desc, NULL);
    m->ack_ns = tn_metric_get(metrics, &ack_desc, NULL);
}

enum tn_status tn_ingest_open(const struct tn_ingest_config *config, struct tn_ingest **ret_ingest,
                              struct tn_err *err)
{
    struct tn_ingest *ingest = tn_alloc(sizeof *ingest);
    enum tn_status st;
    ingest->config = *config;
    pthread_rwlock_init(&ingest->lock, NULL);
    ingest->entries = tn_alloc_array(TNI_INGEST_STREAMS_MAX, sizeof *ingest->entries);
    metrics_open(ingest);
    TN_GOTO(tni_idempotency_open(ingest, err));
    TN_GOTO(tni_http_events_open(ingest, err));
    *ret_ingest = ingest;
    return TN_OK;
fail:
    tn_ingest_close(ingest);
    return st;
}

void tn_ingest_close(struct tn_ingest *ingest)
{
    if (!ingest)
        return;
    /* The log answers every append, at the latest when it fails: nothing of ours may go before. */
    struct timespec pause = {.tv_nsec = 1000000};
    while (atomic_load(&ingest->appends_open) > 0)
        nanosleep(&pause, NULL);
    tni_http_events_close(ingest->events);
    tni_idempotency_close(ingest->idempotency);
    tni_ingest_stream_forget(ingest);
    tn_free(ingest->entries);
    pthread_rwlock_destroy(&ingest->lock);
    tn_free(ingest);
}

void tn_ingest_routes(struct tn_ingest *ingest, struct tn_http_server *server)
{
    size_t limit = (size_t)tn_http_config_of(server)->ingest_bytes_max;
    const struct tn_http_route routes[] = {
        {.method = "POST",
         .path = "/streams/{name}",
         .handler = post_name,
         .begin = name_begin,
         .ctx = ingest,
         .body_bytes_max = limit,
         .flags = TN_HTTP_BODY},
        {.method = "DELETE", .path = "/streams/{name}", .handler = delete_name, .ctx = ingest},
        {.method = "GET",
         .path = "/streams/{name}/events",
         .handler = tni_http_events_stream,
         .ctx = ingest->events},
        {.method = "GET", .path = "/events", .handler = tni_http_events_all, .ctx = ingest->events},
        {.method = "POST",
         .handler = post_path,
         .begin = path_begin,
         .ctx = ingest,
         .body_bytes_max = limit,
         .flags = TN_HTTP_BODY | TN_HTTP_FALLBACK},
    };
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++)
        tn_http_route_add(server, &routes[i]);
}
