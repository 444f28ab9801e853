/* The sinks of a process: threads, what others see, files by the table logs. Contract:
 * connectors/sink.h. */
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "connectors/sink_int.h"
#include "stream/base/mem.h"

#define FILES_TIMEOUT_MS INT64_C(5000)

static const struct tn_metric_desc descs[] = {
    {"tarn_sink_rows_total", TN_METRIC_COUNTER, "records", "sink", "rows in committed files"},
    {"tarn_sink_files_total", TN_METRIC_COUNTER, "files", "sink", "files committed"},
    {"tarn_sink_bytes_total", TN_METRIC_COUNTER, "bytes", "sink", "bytes of committed files"},
    {"tarn_sink_cuts_total", TN_METRIC_COUNTER, "entries", "sink", "entries of the table log"},
    {"tarn_sink_bad_total", TN_METRIC_GAUGE, "records", "sink", "records that did not fit"},
    {"tarn_sink_notices_total", TN_METRIC_COUNTER, "records", "sink", "notices and dead letters"},
    {"tarn_sink_errors_total", TN_METRIC_COUNTER, "errors", "sink", "failures that were retried"},
    {"tarn_sink_lag_records", TN_METRIC_GAUGE, "records", "sink",
     "durable records not in the table"},
    {"tarn_sink_lag_ms", TN_METRIC_GAUGE, "ms", "sink", "age of the oldest open record"},
    {"tarn_sink_upload_ns", TN_METRIC_HISTOGRAM, "ns", "sink", "upload of a cut's files"},
};

enum tn_status tn_sinks_open(const struct tn_sinks_config *config, struct tn_sinks **ret_sinks,
                             struct tn_err *err)
{
    (void)err;
    struct tn_sinks *sinks = tn_alloc(sizeof *sinks);
    sinks->config = *config;
    pthread_mutex_init(&sinks->lock, NULL);
    pthread_cond_init(&sinks->unused, NULL);
    *ret_sinks = sinks;
    return TN_OK;
}

static void wake(struct tn_wake *base)
{
    struct tni_sink *sink = (struct tni_sink *)(void *)base;
    pthread_mutex_lock(&sink->lock);
    sink->is_woken = true;
    pthread_cond_signal(&sink->cond);
    pthread_mutex_unlock(&sink->lock);
}

static void sink_metrics(struct tni_sink *sink)
{
    struct tn_metrics *metrics = sink->sinks->config.metrics;
    struct tn_metric **all[] = {&sink->metrics.rows,   &sink->metrics.files, &sink->metrics.bytes,
                                &sink->metrics.cuts,   &sink->metrics.bad,   &sink->metrics.notices,
                                &sink->metrics.errors, &sink->metrics.lag,   &sink->metrics.lag_ms,
                                &sink->metrics.upload};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        *all[i] = tn_metric_get(metrics, &descs[i], sink->name);
}

static struct tni_sink *sink_new(struct tn_sinks *sinks, struct tn_sink_spec *spec)
{
    struct tni_sink *sink = tn_alloc(sizeof *sink);
    sink->wake.signal = wake;
    sink->sinks = sinks;
    sink->name = tn_strdup(spec->name);
    sink->wanted = tn_sink_spec_ref(spec);
    pthread_mutex_init(&sink->lock, NULL);
    pthread_cond_init(&sink->cond, NULL);
    pthread_cond_init(&sink->idle, NULL);
    pthread_mutex_init(&sink->cache.lock, NULL);
    tn_arena_init(&sink->arena, 0);
    tn_arena_init(&sink->cut_arena, 0);
    tn_arena_init(&sink->cache.arena, 0);
    sink->meta_version = -1;
    sink_metrics(sink);
    return sink;
}

static void sink_stop(struct tni_sink *sink)
{
    pthread_mutex_lock(&sink->lock);
    sink->is_stopping = true;
    pthread_cond_broadcast(&sink->cond);
    pthread_cond_broadcast(&sink->idle);
    pthread_mutex_unlock(&sink->lock);
}

static void sink_free(struct tni_sink *sink)
{
    sink_stop(sink);
    if (sink->has_thread)
        pthread_join(sink->thread, NULL);
    tn_sink_spec_unref(sink->spec);
    tn_sink_spec_unref(sink->wanted);
    tn_arena_release(&sink->arena);
    tn_arena_release(&sink->cut_arena);
    tn_arena_release(&sink->cache.arena);
    tn_free(sink->cache.items);
    pthread_mutex_destroy(&sink->cache.lock);
    pthread_cond_destroy(&sink->idle);
    pthread_cond_destroy(&sink->cond);
    pthread_mutex_destroy(&sink->lock);
    tn_free(sink->name);
    tn_free(sink);
}

static enum tn_status sink_start(struct tni_sink *sink, struct tn_err *err)
{
    if (pthread_create(&sink->thread, NULL, tni_sink_main, sink) != 0)
        return tn_err_set(err, TN_E_LIMIT, "no thread for sink '%s'", sink->name);
    sink->has_thread = true;
    return TN_OK;
}

void tn_sinks_start(struct tn_sinks *sinks)
{
    pthread_mutex_lock(&sinks->lock);
    sinks->is_started = true;
    for (struct tni_sink *sink = sinks->list; sink; sink = sink->next)
        if (!sink->has_thread)
            (void)!sink_start(sink, NULL);
    pthread_mutex_unlock(&sinks->lock);
}

void tn_sinks_close(struct tn_sinks *sinks)
{
    if (!sinks)
        return;
    for (struct tni_sink *sink = sinks->list; sink; sink = sink->next)
        sink_stop(sink); /* all at once, then wait for each */
    while (sinks->list) {
        struct tni_sink *sink = sinks->list;
        sinks->list = sink->next;
        sink_free(sink);
    }
    pthread_cond_destroy(&sinks->unused);
    pthread_mutex_destroy(&sinks->lock);
    tn_free(sinks);
}

static struct tni_sink *find(struct tn_sinks *sinks, const char *name)
{
    struct tni_sink *sink = sinks->list;
    while (sink && strcmp(sink->name, name) != 0)
        sink = sink->next;
    return sink;
}

enum tn_status tn_sinks_put(struct tn_sinks *sinks, struct tn_sink_spec *spec, struct tn_err *err)
{
    enum tn_status st = TN_OK;
    pthread_mutex_lock(&sinks->lock);
    struct tni_sink *sink = find(sinks, spec->name);
    if (sink) {
        pthread_mutex_lock(&sink->lock);
        struct tn_sink_spec *old = sink->wanted;
        sink->wanted = tn_sink_spec_ref(spec);
        sink->is_woken = true;
        pthread_cond_signal(&sink->cond);
        pthread_mutex_unlock(&sink->lock);
        tn_sink_spec_unref(old);
    } else {
        sink = sink_new(sinks, spec);
        struct tni_sink **at = &sinks->list;
        while (*at)
            at = &(*at)->next;
        *at = sink;
        if (sinks->is_started)
            st = sink_start(sink, err);
    }
    pthread_mutex_unlock(&sinks->lock);
    return st;
}

void tn_sinks_drop(struct tn_sinks *sinks, const char *name)
{
    struct tn_log *log = sinks->config.log;
    struct tn_topic topic;
    pthread_mutex_lock(&sinks->lock);
    struct tni_sink **at = &sinks->list;
    while (*at && strcmp((*at)->name, name) != 0)
        at = &(*at)->next;
    struct tni_sink *sink = *at;
    if (sink) {
        *at = sink->next;
        sink_stop(sink);
        while (sink->users)
            pthread_cond_wait(&sinks->unused, &sinks->lock);
    }
    pthread_mutex_unlock(&sinks->lock);
    if (!sink)
        return;
    if (sink->has_thread)
        pthread_join(sink->thread, NULL);
    sink->has_thread = false;
    (void)!sinks->config.store->put(sinks->config.store, name, (struct tn_str){NULL, 0}, NULL);
    if (log->type->hold &&
        log->type->topic_find(log, sink->wanted->decl.topic, &topic, NULL) == TN_OK)
        for (int32_t p = 0; p < topic.partitions_count; p++)
            log->type->hold(log, &topic, p, name, -1);
    sink_free(sink);
}

void tn_sinks_each(struct tn_sinks *sinks, bool (*each)(void *ctx, const struct tn_sink_info *info),
                   void *ctx)
{
    bool goes_on = true;
    int64_t now = tn_mono_ns(sinks->config.clock);
    pthread_mutex_lock(&sinks->lock);
    for (struct tni_sink *sink = sinks->list; sink && goes_on; sink = sink->next) {
        struct tn_sink_info info;
        pthread_mutex_lock(&sink->lock);
        info = (struct tn_sink_info){.spec = tn_sink_spec_ref(sink->wanted),
                                     .state = sink->state,
                                     .epoch = sink->shown_epoch,
                                     .version = sink->shown_version,
                                     .rows = sink->counts.rows,
                                     .files = sink->counts.files,
                                     .bytes = sink->counts.bytes,
                                     .cuts = sink->counts.cuts,
                                     .bad = sink->counts.bad,
                                     .notices = sink->counts.notices,
                                     .retries = sink->counts.retries,
                                     .open_rows = sink->open_rows,
                                     .open_bytes = sink->open_bytes,
                                     .lag_records = sink->lag_records,
                                     .committed_ms = sink->counts.committed_ms};
        if (sink->lag_since_ns)
            info.lag_ms = (now - sink->lag_since_ns) / 1000000;
        memcpy(info.error, sink->error, sizeof info.error);
        info.recent_count = sink->recent_count;
        memcpy(info.recent, sink->recent, sizeof info.recent);
        pthread_mutex_unlock(&sink->lock);
        goes_on = each(ctx, &info);
        tn_sink_spec_unref((struct tn_sink_spec *)(uintptr_t)info.spec);
    }
    pthread_mutex_unlock(&sinks->lock);
}

/* ---- files ---- */

static enum tn_status cache_entry(void *ctx, const struct tn_table_entry *entry, struct tn_err *err)
{
    struct tni_sink_files_cache *cache = ctx;
    (void)err;
    for (uint32_t i = 0; i < entry->files_count; i++) {
        if (entry->files[i].is_removed) {
            for (uint32_t k = 0; k < cache->count; k++)
                if (tn_str_eq(cache->items[k].file.path, entry->files[i].path))
                    cache->items[k].file.is_removed = true;
            continue;
        }
        if (cache->count == cache->cap) {
            cache->cap = cache->cap ? cache->cap * 2 : 64;
            cache->items = tn_realloc(cache->items, cache->cap * sizeof *cache->items);
        }
        cache->items[cache->count++] =
            (struct tni_cached_file){entry->version, entry->timestamp_ms, entry->files[i]};
    }
    return TN_OK;
}

static bool files_of(struct tn_sinks *sinks, struct tni_sink *sink,
                     bool (*each)(void *ctx, const struct tn_sink_file_info *info), void *ctx)
{
    struct tn_object_store *store = NULL;
    char root[TN_OBJECT_KEY_MAX + 1];
    struct tn_err err = TN_ERR_INIT;
    struct tni_sink_files_cache *cache = &sink->cache;
    bool goes_on = true;
    pthread_mutex_lock(&sink->lock);
    struct tn_sink_spec *spec = tn_sink_spec_ref(sink->wanted);
    pthread_mutex_unlock(&sink->lock);
    pthread_mutex_lock(&cache->lock);
    if (sinks->config.store_open(sinks->config.store_ctx, spec->location, &store, root, &err) ==
        TN_OK) {
        int64_t next = cache->next;
        (void)!tn_table_log_read(store, tn_str_of(root), cache->next, &cache->arena, cache_entry,
                                 cache, &next, FILES_TIMEOUT_MS, &err);
        cache->next = next;
        tn_object_store_close(store);
    }
    for (uint32_t i = 0; i < cache->count && goes_on; i++) {
        struct tn_sink_file_info info = {.sink = sink->name,
                                         .table = spec->table,
                                         .version = cache->items[i].version,
                                         .committed_ms = cache->items[i].committed_ms,
                                         .file = &cache->items[i].file};
        if (!cache->items[i].file.is_removed)
            goes_on = each(ctx, &info);
    }
    pthread_mutex_unlock(&cache->lock);
    tn_sink_spec_unref(spec);
    return goes_on;
}

/* @locks the list's lock is held */
static void unuse(struct tn_sinks *sinks, struct tni_sink *sink)
{
    if (--sink->users == 0)
        pthread_cond_broadcast(&sinks->unused);
}

void tn_sinks_each_file(struct tn_sinks *sinks,
                        bool (*each)(void *ctx, const struct tn_sink_file_info *info), void *ctx)
{
    bool goes_on = true;
    pthread_mutex_lock(&sinks->lock);
    for (struct tni_sink *sink = sinks->list; sink && goes_on;) {
        sink->users++; /* the store may be slow: others need the list meanwhile */
        pthread_mutex_unlock(&sinks->lock);
        goes_on = files_of(sinks, sink, each, ctx);
        pthread_mutex_lock(&sinks->lock);
        struct tni_sink *next = sink->is_stopping ? NULL : sink->next;
        unuse(sinks, sink);
        sink = next;
    }
    pthread_mutex_unlock(&sinks->lock);
}

/* ---- flush ---- */

enum tn_status tn_sinks_flush(struct tn_sinks *sinks, const char *name, int64_t timeout_ms,
                              struct tn_err *err)
{
    struct timespec until;
    enum tn_status st = TN_OK;
    pthread_mutex_lock(&sinks->lock);
    struct tni_sink *sink = find(sinks, name);
    if (!sink) {
        pthread_mutex_unlock(&sinks->lock);
        return tn_err_set(err, TN_E_NAME, "no sink '%s'", name);
    }
    sink->users++;
    pthread_mutex_unlock(&sinks->lock);
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += timeout_ms / 1000;
    pthread_mutex_lock(&sink->lock);
    int64_t wanted = ++sink->flush_wanted;
    sink->is_woken = true;
    pthread_cond_signal(&sink->cond);
    while (sink->flush_done < wanted && !sink->is_stopping && st == TN_OK)
        if (pthread_cond_clockwait(&sink->idle, &sink->lock, CLOCK_MONOTONIC, &until) != 0)
            st = tn_err_set(err, TN_E_TIMEOUT, "sink '%s' is not done: %s", name, sink->error);
    pthread_mutex_unlock(&sink->lock);
    pthread_mutex_lock(&sinks->lock);
    unuse(sinks, sink);
    pthread_mutex_unlock(&sinks->lock);
    return st;
}
