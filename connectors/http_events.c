/* Event streams of logs: GET /streams/{name}/events and GET /events, as server-sent events.
 *
 * HOW IT WORKS. One pump thread owns one log reader and all subscriptions. It sleeps until the log
 * signals news, a reader has room again, or one comes or goes. Each subscription has its own
 * offsets, so a slow reader only lags (and is cut when it stalls); reads at the same place are
 * shared within a round. Nothing at or beyond end_durable is shown.
 *
 * What is sent:
 *   GET /streams/{name}/events   id: positions of all partitions ("0:17,1:4"); data: the value (or
 * the stream's INGEST_EVENT text); event: bytes + base64 for what is not UTF-8; event: tombstone.
 *                                Starts at the end, at ?from=earliest, or after Last-Event-ID.
 *                                ?envelope=1: data is
 * {"key","value","partition","offset","timestamp"}. GET /events                  all streams with
 * an ingest path; id: a random UUID; data: INGEST_EVENT text or the value. Starts at the end. After
 * a reconnect with Last-Event-ID events come at least once, in order per partition.
 *
 * @thread open, close, requests: any; the rest: the pump
 */
#include "connectors/ingest_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "connectors/format_json.h"
#include "connectors/wait.h"
#include "stream/base/base64.h"
#include "stream/base/mem.h"
#include "stream/base/utf8.h"

#define QUEUE_BYTES   ((size_t)256 << 10)
#define EVENTS_BYTES  ((size_t)32 << 10) /* collected before they go to the queue */
#define READ_BYTES    ((size_t)256 << 10)
#define SHARED_MAX    64
#define SOURCES_MAX   256
#define ID_PARTITIONS 64 /* more than this: the id names only the record's own partition */
#define DURABLE_NS    ((int64_t)10 * 1000000) /* look again when only durability is missing */
#define TEMPLATE_MAX  4096

struct source {
    struct tni_ingest_stream *stream;
    int64_t *next;        /* per partition */
    struct tn_codec *key; /* envelopes: key bytes → key columns; NULL = no key columns */
};

struct subscription {
    struct subscription *next_sub;
    struct tn_http_stream *out;
    struct source *sources;
    uint32_t sources_count;
    bool is_all, is_envelope;
    struct tn_arena arena; /* of one decoded key */
    int64_t version;       /* of the catalog, for is_all */
    struct tn_buf pending; /* whole events that wait for room */
};

/* A read of this round, shared by subscriptions at the same place. */
struct shared_read {
    uint32_t topic;
    int32_t partition;
    int64_t from, end_durable;
    struct tn_read read;
    enum tn_status st;
};

struct tni_events {
    struct tn_wake wake; /* first member */
    struct tn_ingest *ingest;
    struct tn_log_reader *reader;
    pthread_t thread;
    bool is_running;
    pthread_mutex_t lock;
    pthread_cond_t news;
    bool is_signalled, is_over;
    struct subscription *arrivals; /* under lock */
    struct subscription *subs;     /* the pump's */
    struct shared_read shared[SHARED_MAX];
    uint32_t shared_count;
    bool is_durability_awaited;
};

static void events_signal(struct tni_events *events)
{
    pthread_mutex_lock(&events->lock);
    events->is_signalled = true;
    pthread_cond_signal(&events->news);
    pthread_mutex_unlock(&events->lock);
}

static void wake_signal(struct tn_wake *wake)
{
    events_signal((struct tni_events *)wake);
}

static void stream_event(void *ctx)
{
    events_signal(ctx);
}

/* ---- subscriptions ---- */

static void source_release(struct source *source)
{
    if (source->key)
        source->key->format->close(source->key);
    tni_ingest_stream_unref(source->stream);
    tn_free(source->next);
}

static void subscription_free(struct subscription *sub)
{
    for (uint32_t i = 0; i < sub->sources_count; i++)
        source_release(&sub->sources[i]);
    tn_free(sub->sources);
    tn_buf_release(&sub->pending);
    tn_arena_release(&sub->arena);
    tn_free(sub);
}

/* Takes over the caller's reference on `stream`. Starts at the durable end, or at the start. */
static enum tn_status source_add(struct subscription *sub, struct tni_ingest_stream *stream,
                                 bool is_from_start, struct tn_err *err)
{
    struct tn_log *log = stream->ingest->config.log;
    int32_t count = stream->topic.partitions_count;
    struct source source = {stream, tn_alloc_array((size_t)count, sizeof(int64_t)), NULL};
    enum tn_status st = TN_OK;
    for (int32_t p = 0; p < count && st == TN_OK; p++) {
        struct tn_offsets offsets = {0};
        st = log->type->offsets(log, &stream->topic, p, &offsets, err);
        source.next[p] = is_from_start ? offsets.start : offsets.end_durable;
    }
    if (st != TN_OK || sub->sources_count == SOURCES_MAX) {
        source_release(&source);
        return st;
    }
    sub->sources = tn_realloc(sub->sources, (sub->sources_count + 1) * sizeof *sub->sources);
    sub->sources[sub->sources_count++] = source;
    return TN_OK;
}

/* "0:17,1:4": go on there. Unknown text is ignored: the client then gets new events only. */
static void source_seek(struct source *source, struct tn_str id)
{
    char text[ID_PARTITIONS * 32];
    if (id.len == 0 || id.len >= sizeof text)
        return;
    memcpy(text, id.ptr, id.len);
    text[id.len] = 0;
    for (char *p = text; p && *p;) {
        char *end;
        long partition = strtol(p, &end, 10);
        if (*end != ':')
            return;
        long long next = strtoll(end + 1, &end, 10);
        if (partition < 0 || partition >= source->stream->topic.partitions_count || next < 0)
            return;
        if (next <= source->next[partition])
            source->next[partition] = next;
        p = *end == ',' ? end + 1 : NULL;
    }
}

/* Keys are decoded for envelopes only; a key that no codec takes is shown as text. */
static void source_open_key(struct source *source)
{
    const struct tn_topic_decl *decl = source->stream->target.decl;
    struct tn_schema schema = {decl->keys_count, decl->schema->fields};
    struct tn_codec_spec spec = {.is_key = true,
                                 .is_bare = decl->is_key_bare,
                                 .delimiter = decl->key_delimiter,
                                 .is_case_exact = decl->is_case_exact,
                                 .is_lenient = true,
                                 .schema = &schema};
    struct tn_err ignored = TN_ERR_INIT;
    if (decl->keys_count && decl->key_format && decl->window == TN_WINDOW_NONE)
        (void)decl->key_format->open(decl->key_format, &spec, &source->key, &ignored);
}

struct collect {
    struct tni_events *events;
    struct subscription *sub;
};

static bool has_source(const struct subscription *sub, const struct tni_ingest_stream *stream)
{
    for (uint32_t i = 0; i < sub->sources_count; i++)
        if (memcmp(sub->sources[i].stream->topic.log_id, stream->topic.log_id, 16) == 0)
            return true;
    return false;
}

static void collect_stream(void *ctx, const char *name)
{
    struct collect *collect = ctx;
    struct tni_ingest_stream *stream;
    struct tn_err err = TN_ERR_INIT;
    if (tni_ingest_stream_get(collect->events->ingest, tn_str_of(name), false, &stream, &err) !=
        TN_OK)
        return;
    if (has_source(collect->sub, stream))
        tni_ingest_stream_unref(stream);
    else
        (void)source_add(collect->sub, stream, false, &err);
}

/* All streams with an ingest path, also those declared since. */
static void subscription_collect(struct tni_events *events, struct subscription *sub)
{
    struct tn_ingest_resolver *resolver = events->ingest->config.resolver;
    int64_t version = resolver->version(resolver);
    struct collect collect = {events, sub};
    if (!sub->is_all || sub->version == version)
        return;
    sub->version = version;
    resolver->each(resolver, collect_stream, &collect);
}

static enum tn_status subscribe(struct tni_events *events, struct subscription *sub,
                                struct tn_http_request *req, struct tn_err *err)
{
    tn_buf_init(&sub->pending, (size_t)256 << 20);
    enum tn_status st = tn_http_stream_open(req, 200, "text/event-stream", QUEUE_BYTES, TN_HTTP_SSE,
                                            &sub->out, err);
    if (st != TN_OK) {
        tn_http_reply(req, 503, NULL);
        subscription_free(sub);
        return st;
    }
    tn_http_stream_on_event(sub->out, stream_event, events);
    (void)tn_http_stream_write(sub->out, TN_STR(": ready\n\n"));
    pthread_mutex_lock(&events->lock);
    sub->next_sub = events->arrivals;
    events->arrivals = sub;
    pthread_mutex_unlock(&events->lock);
    events_signal(events);
    return TN_OK;
}

enum tn_status tni_http_events_stream(void *ctx, struct tn_http_request *req, struct tn_err *err)
{
    struct tni_events *events = ctx;
    struct tni_ingest_stream *stream;
    struct tn_str from = tn_http_query(req, "from");
    bool is_earliest = from.ptr && tn_str_eq_nocase(from, TN_STR("earliest"));
    if (from.ptr && !is_earliest && !tn_str_eq_nocase(from, TN_STR("latest")))
        return tn_err_set(err, TN_E_INVALID, "from must be earliest or latest");
    struct tn_str envelope = tn_http_query(req, "envelope");
    bool is_envelope = envelope.ptr && !tn_str_eq(envelope, TN_STR("0")) &&
                       !tn_str_eq_nocase(envelope, TN_STR("false"));
    enum tn_status st =
        tni_ingest_stream_get(events->ingest, tn_http_param(req, "name"), false, &stream, err);
    if (st == TN_E_NAME)
        tn_http_reply(req, 404, NULL);
    if (st != TN_OK)
        return st;
    struct subscription *sub = tn_alloc(sizeof *sub);
    st = source_add(sub, stream, is_earliest, err);
    if (st != TN_OK || sub->sources_count == 0) {
        subscription_free(sub);
        return tn_failed(st) ? st : tn_err_set(err, TN_E_NAME, "the stream's topic is gone");
    }
    source_seek(&sub->sources[0], tn_http_header(req, "Last-Event-ID"));
    sub->is_envelope = is_envelope;
    if (is_envelope)
        source_open_key(&sub->sources[0]);
    return subscribe(events, sub, req, err);
}

enum tn_status tni_http_events_all(void *ctx, struct tn_http_request *req, struct tn_err *err)
{
    struct tni_events *events = ctx;
    struct subscription *sub = tn_alloc(sizeof *sub);
    sub->is_all = true;
    sub->version = -1;
    subscription_collect(events, sub);
    return subscribe(events, sub, req, err);
}

/* ---- event text ---- */

static void print_uuid(struct tn_buf *buf)
{
    unsigned char b[16];
    if (getrandom(b, sizeof b, 0) != (ssize_t)sizeof b)
        memset(b, 0, sizeof b);
    b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
    for (int i = 0; i < 16; i++)
        tn_buf_printf(buf, i == 4 || i == 6 || i == 8 || i == 10 ? "-%02x" : "%02x", b[i]);
}

static void print_id(const struct subscription *sub, const struct source *source, int32_t partition,
                     struct tn_buf *buf)
{
    int32_t count = source->stream->topic.partitions_count;
    tn_buf_add_text(buf, "id: ");
    if (sub->is_all)
        print_uuid(buf);
    else if (count > ID_PARTITIONS)
        tn_buf_printf(buf, "%d:%lld", partition, (long long)source->next[partition]);
    else
        for (int32_t p = 0; p < count; p++)
            tn_buf_printf(buf, "%s%d:%lld", p ? "," : "", p, (long long)source->next[p]);
    tn_buf_add_byte(buf, '\n');
}

/* "data: " before every line. */
static void print_data(struct tn_str text, struct tn_buf *buf)
{
    size_t at = 0;
    do {
        size_t end = at;
        while (end < text.len && text.ptr[end] != '\n' && text.ptr[end] != '\r')
            end++;
        tn_buf_add_text(buf, "data: ");
        tn_buf_add(buf, text.ptr + at, end - at);
        tn_buf_add_byte(buf, '\n');
        at = end + 1;
        if (end + 1 < text.len && text.ptr[end] == '\r' && text.ptr[end + 1] == '\n')
            at++;
    } while (at <= text.len && text.len);
    if (text.len == 0)
        tn_buf_add_text(buf, "data: \n");
}

/* "Song {id} processed" with members of the JSON value. */
static void print_template(const char *template, struct tn_str value, struct tn_buf *buf)
{
    struct tn_buf text;
    tn_buf_init(&text, TEMPLATE_MAX);
    for (const char *p = template; *p;) {
        size_t plain = strcspn(p, "{");
        tn_buf_add(&text, p, plain);
        p += plain;
        const char *end = *p == '{' ? strchr(p, '}') : NULL;
        if (*p && !end) {
            tn_buf_add_text(&text, p);
            break;
        }
        if (end) {
            (void)tni_json_member_text(value, (struct tn_str){p + 1, (size_t)(end - p - 1)}, &text);
            p = end + 1;
        }
    }
    print_data(tn_buf_str(&text), buf);
    tn_buf_release(&text);
}

/* Bytes as a JSON value: JSON itself, else text, else base64; null stays null. */
static void print_json_bytes(struct tn_str bytes, bool is_json, struct tn_buf *buf)
{
    struct tn_json json = {bytes.ptr, bytes.ptr + bytes.len, NULL, TNI_INGEST_DEPTH_MAX};
    if (!bytes.ptr) {
        tn_buf_add_text(buf, "null");
    } else if (is_json && tn_json_check(&json) && !memchr(bytes.ptr, '\n', bytes.len) &&
               !memchr(bytes.ptr, '\r', bytes.len)) {
        tn_buf_add_str(buf, bytes);
    } else if (tn_utf8_ok(bytes.ptr, bytes.len)) {
        tn_buf_add_json(buf, bytes);
    } else {
        tn_buf_add_text(buf, "{\"base64\":\"");
        tn_base64_encode(bytes, buf);
        tn_buf_add_text(buf, "\"}");
    }
}

/* {"id":2}: the key's columns. */
static void print_key(struct subscription *sub, const struct source *source, struct tn_str key,
                      struct tn_buf *buf)
{
    const struct tn_topic_decl *decl = source->stream->target.decl;
    struct tn_decoded decoded = {0};
    tn_arena_reset(&sub->arena);
    if (source->key && key.ptr)
        source->key->format->decode(source->key, &key, 1, &sub->arena, &decoded);
    if (!decoded.columns || decoded.bad_count) {
        print_json_bytes(key, false, buf);
        return;
    }
    for (uint32_t i = 0; i < decl->keys_count; i++) {
        tn_buf_add_byte(buf, i ? ',' : '{');
        tn_buf_add_json(buf, decl->schema->fields[i].name);
        tn_buf_add_byte(buf, ':');
        tni_json_encode_cell(&decoded.columns[i], 0, buf);
    }
    tn_buf_add_byte(buf, '}');
}

/* ?envelope=1: one JSON object with everything the record has. */
static void print_envelope(struct subscription *sub, const struct source *source, int32_t partition,
                           const struct tn_records *records, uint32_t i, struct tn_buf *buf)
{
    print_id(sub, source, partition, buf);
    tn_buf_add_text(buf, "data: {\"key\":");
    print_key(sub, source, records->keys[i], buf);
    tn_buf_add_text(buf, ",\"value\":");
    print_json_bytes(records->values[i], source->stream->is_json, buf);
    tn_buf_printf(buf, ",\"partition\":%d,\"offset\":%lld,\"timestamp\":%lld}\n\n", partition,
                  (long long)records->offsets[i], (long long)records->timestamps_ms[i]);
}

static void print_event(struct subscription *sub, const struct source *source, int32_t partition,
                        const struct tn_records *records, uint32_t i, struct tn_buf *buf)
{
    const struct tn_ingest_target *target = &source->stream->target;
    struct tn_str value = records->values[i];
    if (sub->is_envelope) {
        print_envelope(sub, source, partition, records, i, buf);
        return;
    }
    print_id(sub, source, partition, buf);
    if (!value.ptr) {
        tn_buf_add_text(buf, "event: tombstone\ndata: \n");
    } else if (target->event_text && source->stream->is_json) {
        print_template(target->event_text, value, buf);
    } else if (target->event_text) {
        print_data(tn_str_of(target->event_text), buf);
    } else if (tn_utf8_ok(value.ptr, value.len)) {
        print_data(value, buf);
    } else {
        tn_buf_add_text(buf, "event: bytes\ndata: ");
        tn_base64_encode(value, buf);
        tn_buf_add_byte(buf, '\n');
    }
    tn_buf_add_byte(buf, '\n');
}

/* ---- pump ---- */

static struct shared_read *read_at(struct tni_events *events, const struct tn_topic *topic,
                                   int32_t partition, int64_t from)
{
    struct tn_log *log = events->ingest->config.log;
    struct tn_err err = TN_ERR_INIT;
    struct tn_offsets offsets;
    for (uint32_t i = 0; i < events->shared_count; i++) {
        struct shared_read *r = &events->shared[i];
        if (r->topic == topic->id && r->partition == partition && r->from == from)
            return r;
    }
    uint32_t at = events->shared_count < SHARED_MAX ? events->shared_count++ : 0;
    struct shared_read *r = &events->shared[at];
    tn_records_unref(r->read.records);
    *r = (struct shared_read){.topic = topic->id, .partition = partition, .from = from};
    r->read.next = from;
    r->st = log->type->read(events->reader, topic, partition, from, READ_BYTES, &r->read, &err);
    if (r->st == TN_OK || r->st == TN_AGAIN) {
        enum tn_status st = log->type->offsets(log, topic, partition, &offsets, &err);
        r->end_durable = st == TN_OK ? offsets.end_durable : from;
    }
    return r;
}

static void reads_forget(struct tni_events *events)
{
    for (uint32_t i = 0; i < events->shared_count; i++) {
        tn_records_unref(events->shared[i].read.records);
        events->shared[i].read.records = NULL;
    }
    events->shared_count = 0;
}

/* Sends what is pending. False: wait for room, or the reader is gone. */
static bool pending_send(struct subscription *sub)
{
    if (sub->pending.len == 0)
        return true;
    if (tn_http_stream_write(sub->out, tn_buf_str(&sub->pending)) != TN_OK)
        return false;
    tn_buf_reset(&sub->pending);
    return true;
}

/* Events of one partition; false: stop this subscription for now. */
static bool pump_partition(struct tni_events *events, struct subscription *sub,
                           struct source *source, int32_t partition)
{
    while (true) {
        struct shared_read *r =
            read_at(events, &source->stream->topic, partition, source->next[partition]);
        if (r->st == TN_E_INVALID) { /* dropped by retention: go on with what is kept */
            struct tn_offsets offsets;
            struct tn_err err = TN_ERR_INIT;
            struct tn_log *log = events->ingest->config.log;
            if (log->type->offsets(log, &source->stream->topic, partition, &offsets, &err) !=
                    TN_OK ||
                source->next[partition] == offsets.start)
                return true;
            source->next[partition] = offsets.start;
            continue;
        }
        if (r->st != TN_OK || !r->read.records) {
            bool is_hole = r->st == TN_AGAIN && r->read.next > source->next[partition];
            if (!is_hole)
                return true;
            source->next[partition] = r->read.next;
            continue;
        }
        for (uint32_t i = 0; i < r->read.records->count; i++) {
            int64_t offset = r->read.records->offsets[i];
            if (offset >= r->end_durable) {
                events->is_durability_awaited = true;
                return true;
            }
            if (offset < source->next[partition])
                continue;
            source->next[partition] = offset + 1;
            print_event(sub, source, partition, r->read.records, i, &sub->pending);
            if (sub->pending.len >= EVENTS_BYTES && !pending_send(sub))
                return false;
        }
        source->next[partition] = r->read.next;
    }
}

static void pump_subscription(struct tni_events *events, struct subscription *sub)
{
    if (!pending_send(sub))
        return;
    subscription_collect(events, sub);
    for (uint32_t i = 0; i < sub->sources_count; i++)
        for (int32_t p = 0; p < sub->sources[i].stream->topic.partitions_count; p++)
            if (!pump_partition(events, sub, &sub->sources[i], p))
                return;
    (void)pending_send(sub);
}

static void pump_round(struct tni_events *events)
{
    events->is_durability_awaited = false;
    for (struct subscription **at = &events->subs; *at;) {
        struct subscription *sub = *at;
        if (tn_http_stream_is_gone(sub->out)) {
            *at = sub->next_sub;
            tn_http_stream_end(sub->out, false);
            subscription_free(sub);
            continue;
        }
        pump_subscription(events, sub);
        at = &sub->next_sub;
    }
    reads_forget(events);
}

static void pump_wait(struct tni_events *events)
{
    pthread_mutex_lock(&events->lock);
    if (events->is_durability_awaited && !events->is_signalled) {
        (void)tn_cond_wait_for(&events->news, &events->lock, DURABLE_NS);
    } else {
        while (!events->is_signalled && !events->is_over)
            pthread_cond_wait(&events->news, &events->lock);
    }
    events->is_signalled = false;
    while (events->arrivals) {
        struct subscription *sub = events->arrivals;
        events->arrivals = sub->next_sub;
        sub->next_sub = events->subs;
        events->subs = sub;
    }
    pthread_mutex_unlock(&events->lock);
}

static void *pump_main(void *arg)
{
    struct tni_events *events = arg;
    bool is_over = false;
    while (!is_over) {
        pump_wait(events);
        pump_round(events);
        pthread_mutex_lock(&events->lock);
        is_over = events->is_over;
        pthread_mutex_unlock(&events->lock);
    }
    while (events->subs) {
        struct subscription *sub = events->subs;
        events->subs = sub->next_sub;
        tn_http_stream_end(sub->out, false);
        subscription_free(sub);
    }
    return NULL;
}

enum tn_status tni_http_events_open(struct tn_ingest *ingest, struct tn_err *err)
{
    struct tn_log *log = ingest->config.log;
    struct tni_events *events = tn_alloc(sizeof *events);
    events->wake.signal = wake_signal;
    events->ingest = ingest;
    pthread_mutex_init(&events->lock, NULL);
    pthread_cond_init(&events->news, NULL);
    ingest->events = events; /* freed by tn_ingest_close in any case */
    TN_TRY(log->type->reader_open(log, &events->wake, &events->reader, err));
    if (pthread_create(&events->thread, NULL, pump_main, events) != 0)
        return tn_err_set(err, TN_E_IO, "cannot start the event stream thread");
    events->is_running = true;
    return TN_OK;
}

void tni_http_events_close(struct tni_events *events)
{
    if (!events)
        return;
    if (events->is_running) {
        pthread_mutex_lock(&events->lock);
        events->is_over = true;
        pthread_cond_signal(&events->news);
        pthread_mutex_unlock(&events->lock);
        pthread_join(events->thread, NULL);
    }
    if (events->reader)
        events->ingest->config.log->type->reader_close(events->reader);
    pthread_mutex_destroy(&events->lock);
    pthread_cond_destroy(&events->news);
    tn_free(events);
}
