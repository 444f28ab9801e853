/* Routes of the live page and the thread that makes its frames.
 *
 * HOW IT WORKS. The builder sleeps until there is a reader. Then it makes a frame every interval:
 * the common part once, the chart and the latest events once per choice, and hands the text to each
 * reader's stream. A full queue means that the reader is slow: it misses this frame and gets a
 * later one; one that stalls is cut by the server.
 *
 * The page may load nothing from elsewhere (Content-Security-Policy) and may not be framed.
 * @thread routes: polling threads; the rest: builder
 */
#include "dashboards/live.h"

#include <stdio.h>

#include "connectors/wait.h"
#include "dashboards/assets.h"
#include "dashboards/live_int.h"
#include "stream/base/mem.h"

#define INTERVAL_MS_DEFAULT 500

static const char page_policy[] =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/* ---- routes ---- */

static enum tn_status get_asset(void *ctx, struct tn_http_request *req, struct tn_err *err)
{
    const struct tni_asset *asset = ctx;
    struct tn_str known = tn_http_header(req, "If-None-Match");
    (void)err;
    tn_http_reply_header(req, "ETag", asset->etag);
    tn_http_reply_header(req, "Cache-Control", "no-cache");
    tn_http_reply_header(req, "Content-Security-Policy", page_policy);
    tn_http_reply_header(req, "Referrer-Policy", "no-referrer");
    tn_http_reply_header(req, "Cross-Origin-Resource-Policy", "same-origin");
    if (known.ptr && tn_str_eq(known, tn_str_of(asset->etag)))
        tn_http_reply_static(req, 304, NULL, TN_STR(""));
    else
        tn_http_reply_static(req, 200, asset->content_type, asset->body);
    return TN_OK;
}

static enum tn_status choice(struct tn_http_request *req, const char *name,
                             char to[TNI_LIVE_NAME_MAX], struct tn_err *err)
{
    struct tn_str text = tn_http_query(req, name);
    if (text.len >= TNI_LIVE_NAME_MAX)
        return tn_err_set(err, TN_E_INVALID, "%s is too long", name);
    if (text.len)
        memcpy(to, text.ptr, text.len);
    to[text.len] = 0;
    return TN_OK;
}

static enum tn_status get_live(void *ctx, struct tn_http_request *req, struct tn_err *err)
{
    struct tn_live *live = ctx;
    struct tni_live_reader *reader = tn_alloc(sizeof *reader);
    enum tn_status st = choice(req, "table", reader->table, err);
    if (!tn_failed(st))
        st = choice(req, "stream", reader->stream, err);
    if (!tn_failed(st)) {
        st = tn_http_stream_open(req, 200, "text/event-stream", TNI_LIVE_QUEUE, TN_HTTP_SSE,
                                 &reader->out, err);
        if (tn_failed(st))
            tn_http_reply(req, 503, NULL);
    }
    if (tn_failed(st)) {
        tn_free(reader);
        return st;
    }
    pthread_mutex_lock(&live->lock);
    reader->next = live->arrivals;
    live->arrivals = reader;
    pthread_cond_signal(&live->news);
    pthread_mutex_unlock(&live->lock);
    return TN_OK;
}

/* ---- builder ---- */

static void frame_build(struct tn_live *live, const struct tn_catalog *catalog,
                        struct tni_live_reader *reader)
{
    const struct tn_object *table = tni_live_table_find(live, catalog, reader);
    const struct tn_object *stream = tni_live_stream_find(catalog, reader->stream, table);
    tn_buf_reset(&live->frame);
    tn_buf_add_text(&live->frame, "data: {");
    tn_buf_add_str(&live->frame, tn_buf_str(&live->now));
    tn_buf_add_text(&live->frame, ",\"table\":");
    tni_live_table(live, table, &live->frame);
    tn_buf_add_text(&live->frame, ",\"latest\":");
    tni_live_latest(live, catalog, stream, &live->frame);
    tn_buf_add_text(&live->frame, "}\n\n");
}

static bool is_same_choice(const struct tni_live_reader *a, const struct tni_live_reader *b)
{
    return strcmp(a->table, b->table) == 0 && strcmp(a->stream, b->stream) == 0;
}

/* Sends the frame to every reader of this choice that comes after `first` too. */
static void frame_send(struct tn_live *live, const struct tni_live_reader *first)
{
    for (struct tni_live_reader *reader = live->readers; reader; reader = reader->next)
        if (is_same_choice(reader, first))
            (void)tn_http_stream_write(reader->out, tn_buf_str(&live->frame));
}

static bool is_first_of_choice(const struct tn_live *live, const struct tni_live_reader *reader)
{
    for (const struct tni_live_reader *r = live->readers; r && r != reader; r = r->next)
        if (is_same_choice(r, reader))
            return false;
    return true;
}

static void readers_reap(struct tn_live *live, bool is_all)
{
    for (struct tni_live_reader **at = &live->readers; *at;) {
        struct tni_live_reader *reader = *at;
        if (!is_all && !tn_http_stream_is_gone(reader->out)) {
            at = &reader->next;
            continue;
        }
        *at = reader->next;
        tn_http_stream_end(reader->out, false);
        tn_free(reader);
    }
}

static void builder_round(struct tn_live *live)
{
    readers_reap(live, false);
    if (!live->readers)
        return;
    const struct tn_catalog *catalog = tn_db_catalog(live->config.db);
    tn_buf_reset(&live->now);
    tni_live_now(live, catalog, &live->now);
    for (struct tni_live_reader *reader = live->readers; reader; reader = reader->next)
        if (is_first_of_choice(live, reader)) {
            frame_build(live, catalog, reader);
            if (!tn_buf_over(&live->frame))
                frame_send(live, reader);
        }
    tn_catalog_unref(catalog);
}

/* Waits for the next frame's time, or for a reader when there is none. False: over. */
static bool builder_wait(struct tn_live *live, int64_t until_ns)
{
    pthread_mutex_lock(&live->lock);
    while (!live->is_over && !live->arrivals) {
        int64_t left = until_ns - tn_mono_ns(live->config.clock);
        if (!live->readers) {
            pthread_cond_wait(&live->news, &live->lock);
            continue;
        }
        if (left <= 0)
            break;
        (void)tn_cond_wait_for(&live->news, &live->lock, left);
    }
    while (live->arrivals) {
        struct tni_live_reader *reader = live->arrivals;
        live->arrivals = reader->next;
        reader->next = live->readers;
        live->readers = reader;
    }
    bool is_over = live->is_over;
    pthread_mutex_unlock(&live->lock);
    return !is_over;
}

static void *builder_main(void *arg)
{
    struct tn_live *live = arg;
    int64_t interval_ms = live->config.interval_ms ? live->config.interval_ms : INTERVAL_MS_DEFAULT;
    int64_t next_ns = 0;
    while (builder_wait(live, next_ns)) {
        next_ns = tn_mono_ns(live->config.clock) + interval_ms * 1000000;
        builder_round(live);
    }
    readers_reap(live, true);
    return NULL;
}

/* ---- life ---- */

static const struct tn_metric_desc *engine_desc(const char *name)
{
    size_t count;
    const struct tn_metric_desc *descs = tn_engine_metric_descs(&count);
    for (size_t i = 0; i < count; i++)
        if (strcmp(descs[i].name, name) == 0)
            return &descs[i];
    tn_assert_failed("an engine metric that the live page shows is gone", __FILE__, __LINE__);
}

static void metrics_open(struct tn_live *live)
{
    static const struct tn_metric_desc ingested = {"tarn_ingest_records_total", TN_METRIC_COUNTER,
                                                   "records", NULL,
                                                   "events made durable over HTTP"};
    struct tn_metrics *metrics = live->config.metrics;
    live->ingested = tn_metric_get(metrics, &ingested, NULL);
    live->processed = tn_metric_get(metrics, engine_desc("tarn_engine_rows_in_total"), NULL);
    live->commits = tn_metric_get(metrics, engine_desc("tarn_engine_commits_total"), NULL);
    live->commit_seconds = tn_metric_get(metrics, engine_desc("tarn_engine_commit_seconds"), NULL);
    live->dead = tn_metric_get(metrics, engine_desc("tarn_engine_dead_letters_total"), NULL);
}

static void routes_add(struct tn_live *live, struct tn_http_server *server)
{
    size_t count;
    const struct tni_asset *assets = tni_assets(&count);
    for (size_t i = 0; i < count; i++) {
        struct tn_http_route route = {.method = "GET",
                                      .path = assets[i].path,
                                      .handler = get_asset,
                                      .ctx = (void *)(uintptr_t)&assets[i]};
        tn_http_route_add(server, &route);
    }
    struct tn_http_route feed = {
        .method = "GET", .path = "/live", .handler = get_live, .ctx = live};
    tn_http_route_add(server, &feed);
}

enum tn_status tn_live_open(const struct tn_live_config *config, struct tn_http_server *server,
                            struct tn_live **ret_live, struct tn_err *err)
{
    struct tn_live *live = tn_alloc(sizeof *live);
    struct tn_log *log = config->log;
    enum tn_status st;
    live->config = *config;
    live->started_ns = tn_mono_ns(config->clock);
    pthread_mutex_init(&live->lock, NULL);
    pthread_cond_init(&live->news, NULL);
    tn_buf_init(&live->now, TNI_LIVE_FRAME_MAX);
    tn_buf_init(&live->frame, TNI_LIVE_FRAME_MAX);
    tn_buf_init(&live->dead_letters, TNI_LIVE_FRAME_MAX);
    metrics_open(live);
    TN_GOTO(log->type->reader_open(log, NULL, &live->log_reader, err));
    routes_add(live, server);
    if (pthread_create(&live->thread, NULL, builder_main, live) != 0) {
        st = tn_err_set(err, TN_E_IO, "cannot start the live page's thread");
        goto fail;
    }
    live->is_running = true;
    *ret_live = live;
    return TN_OK;
fail:
    tn_live_close(live);
    return st;
}

void tn_live_close(struct tn_live *live)
{
    if (!live)
        return;
    if (live->is_running) {
        pthread_mutex_lock(&live->lock);
        live->is_over = true;
        pthread_cond_signal(&live->news);
        pthread_mutex_unlock(&live->lock);
        pthread_join(live->thread, NULL);
    }
    tni_live_tails_free(live);
    if (live->log_reader)
        live->config.log->type->reader_close(live->log_reader);
    tn_buf_release(&live->now);
    tn_buf_release(&live->frame);
    tn_buf_release(&live->dead_letters);
    pthread_mutex_destroy(&live->lock);
    pthread_cond_destroy(&live->news);
    tn_free(live);
}
