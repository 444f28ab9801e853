/* The loop of one sink: read, fill files, cut when a rule says so, wait. Every failure is shown,
 * waited out and tried again; nothing is read meanwhile, so what a sink holds is bounded. Contract:
 * connectors/sink_int.h. */
#include "connectors/sink_int.h"

#include <inttypes.h>
#include <stdio.h>

#include "connectors/wait.h"
#include "stream/base/logline.h"
#include "stream/base/mem.h"
#include "stream/base/random.h"
#include "stream/base/time.h"

#define HELD_BYTES_MAX  ((int64_t)128 << 20) /* of one sink's open files, beside the spool */
#define DURABLE_WAIT_MS 20
#define IDLE_WAIT_MS    1000
#define OURS_WAIT_MS    200
#define FENCED_WAIT_MS  5000 /* until the group has told whose it is */

static int64_t now_ns(const struct tni_sink *sink)
{
    return tn_mono_ns(sink->sinks->config.clock);
}

void tni_sink_wait(struct tni_sink *sink, int64_t ms)
{
    pthread_mutex_lock(&sink->lock);
    if (!sink->is_woken && !sink->is_stopping)
        (void)tn_cond_wait_for(&sink->cond, &sink->lock, ms * 1000000);
    sink->is_woken = false;
    pthread_mutex_unlock(&sink->lock);
}

/* After a failure the log's wake-ups do not cut the wait short; a new spec or the end does. */
static void wait_back_off(struct tni_sink *sink, int64_t ms)
{
    int64_t until = now_ns(sink) + ms * 1000000;
    for (;;) {
        int64_t left = (until - now_ns(sink)) / 1000000;
        pthread_mutex_lock(&sink->lock);
        bool is_news = sink->is_stopping || sink->wanted != sink->spec;
        pthread_mutex_unlock(&sink->lock);
        if (is_news || left <= 0)
            return;
        tni_sink_wait(sink, left);
    }
}

bool tni_sink_is_stopping(void *of)
{
    struct tni_sink *sink = of;
    pthread_mutex_lock(&sink->lock);
    bool is_stopping = sink->is_stopping;
    pthread_mutex_unlock(&sink->lock);
    return is_stopping;
}

/* ---- what others see ---- */

static void show(struct tni_sink *sink, enum tn_sink_state state, const char *error)
{
    int64_t rows = 0, bytes = 0, lag = 0, opened = 0;
    for (uint32_t p = 0; p < sink->parts_count; p++) {
        const struct tni_sink_part *part = &sink->parts[p];
        rows += part->rows;
        for (uint32_t f = 0; f < part->files_count; f++)
            bytes += (int64_t)part->files[f].raw.len + tni_sink_file_bytes(&part->files[f]);
        /* offsets without records (ends of transactions) are passed, not committed */
        int64_t from = part->rows ? part->committed : part->next;
        if (part->end_durable > from)
            lag += part->end_durable - from;
        if (part->rows && (!opened || part->opened_ns < opened))
            opened = part->opened_ns;
    }
    pthread_mutex_lock(&sink->lock);
    sink->state = state;
    sink->open_rows = rows;
    sink->open_bytes = bytes;
    sink->lag_records = lag;
    sink->lag_since_ns = lag ? opened : 0;
    sink->shown_epoch = sink->epoch;
    sink->shown_version = sink->version;
    sink->counts.bad = sink->encoder.bad;
    snprintf(sink->error, sizeof sink->error, "%s", error);
    pthread_mutex_unlock(&sink->lock);
    tn_metric_set(sink->metrics.lag, lag);
    tn_metric_set(sink->metrics.lag_ms, opened ? (now_ns(sink) - opened) / 1000000 : 0);
}

/* ---- rotation ---- */

static int64_t schedule_slot(const struct tni_sink *sink)
{
    int64_t every = sink->spec->options.rotate_schedule_ms;
    return every ? tn_wall_ms(sink->sinks->config.clock) / every : 0;
}

static bool is_due(const struct tni_sink *sink, const struct tni_sink_part *part, int64_t now)
{
    const struct tn_sink_options *options = &sink->spec->options;
    if (!part->rows)
        return false;
    if (options->object_key || part->is_due)
        return true;
    return (options->rotate_records && part->rows >= options->rotate_records) ||
           (options->rotate_bytes && part->bytes >= options->rotate_bytes) ||
           (options->rotate_interval_ms &&
            now - part->opened_ns >= options->rotate_interval_ms * 1000000) ||
           (options->rotate_idle_ms && now - part->last_ns >= options->rotate_idle_ms * 1000000) ||
           (options->rotate_schedule_ms && schedule_slot(sink) != part->schedule_slot) ||
           (int64_t)part->files_count > options->open_files_max;
}

/* When the clock alone will make a part due. */
static int64_t next_due_ms(const struct tni_sink *sink, int64_t now)
{
    const struct tn_sink_options *options = &sink->spec->options;
    int64_t wait = IDLE_WAIT_MS;
    for (uint32_t p = 0; p < sink->parts_count; p++) {
        const struct tni_sink_part *part = &sink->parts[p];
        if (!part->rows)
            continue;
        int64_t left[2] = {IDLE_WAIT_MS, IDLE_WAIT_MS};
        if (options->rotate_interval_ms)
            left[0] = options->rotate_interval_ms - (now - part->opened_ns) / 1000000;
        if (options->rotate_idle_ms)
            left[1] = options->rotate_idle_ms - (now - part->last_ns) / 1000000;
        for (int i = 0; i < 2; i++)
            wait = left[i] < wait ? left[i] : wait;
        if (options->rotate_schedule_ms && wait > 100)
            wait = 100;
    }
    return wait < 1 ? 1 : wait;
}

/* The cut takes the parts that are due; *ret_any. */
static bool mark_due(struct tni_sink *sink, bool is_all)
{
    int64_t now = now_ns(sink);
    bool is_any = false, is_full = tni_sink_held(sink) > HELD_BYTES_MAX;
    for (uint32_t p = 0; p < sink->parts_count; p++) {
        sink->is_cut[p] =
            sink->parts[p].rows > 0 && (is_all || is_full || is_due(sink, &sink->parts[p], now));
        is_any |= sink->is_cut[p];
    }
    return is_any;
}

/* ---- reading ---- */

/* How many of the records may be taken now. */
static uint32_t take_count(struct tni_sink *sink, struct tni_sink_part *part,
                           const struct tn_records *records)
{
    const struct tn_sink_options *options = &sink->spec->options;
    uint32_t count = 0;
    int64_t left = INT64_MAX, first = part->rows ? part->ts_first_ms : records->timestamps_ms[0];
    if (options->object_key)
        left = options->batch_records - part->rows;
    else if (options->rotate_records)
        left = options->rotate_records - part->rows;
    while (count < records->count && count < left && records->offsets[count] < part->end_durable) {
        if (options->rotate_span_ms &&
            records->timestamps_ms[count] - first >= options->rotate_span_ms) {
            part->is_due = count > 0 || part->rows > 0;
            break;
        }
        count++;
    }
    return count;
}

static enum tn_status take(struct tni_sink *sink, struct tni_sink_part *part,
                           const struct tn_read *read, uint32_t *ret_count, struct tn_err *err)
{
    struct tn_log *log = sink->sinks->config.log;
    struct tn_records *records = read->records;
    if (records->offsets[records->count - 1] >= part->end_durable) {
        struct tn_offsets offsets;
        TN_TRY(log->type->offsets(log, &sink->topic, part->partition, &offsets, err));
        part->end_durable = offsets.end_durable;
    }
    uint32_t count = take_count(sink, part, records);
    *ret_count = count;
    if (!count)
        return TN_OK;
    bool is_first = part->rows == 0;
    TN_TRY(tni_encoder_add(&sink->encoder, part, records, count, err));
    if (count == records->count)
        part->next = read->next;
    part->last_ns = now_ns(sink);
    if (is_first) {
        part->opened_ns = part->last_ns;
        part->ts_first_ms = records->timestamps_ms[0];
        part->schedule_slot = schedule_slot(sink);
    }
    return TN_OK;
}

static enum tn_status read_part(struct tni_sink *sink, struct tni_sink_part *part,
                                uint32_t *ret_count, struct tn_err *err)
{
    struct tn_log *log = sink->sinks->config.log;
    struct tn_read read = {.records = NULL};
    *ret_count = 0;
    enum tn_status st = log->type->read(sink->reader, &sink->topic, part->partition, part->next,
                                        TNI_SINK_READ_BYTES, &read, err);
    if (st == TN_AGAIN) {
        if (read.next > part->next)
            part->next = read.next;
        return TN_OK;
    }
    if (st == TN_NOT_FOUND)
        return tn_err_set(err, TN_E_NAME, "topic '%s' is gone", sink->topic.name);
    TN_TRY(st);
    st = take(sink, part, &read, ret_count, err);
    tn_records_unref(read.records);
    return st;
}

static bool is_flush_wanted(struct tni_sink *sink, int64_t *ret_wanted)
{
    pthread_mutex_lock(&sink->lock);
    *ret_wanted = sink->flush_wanted;
    bool is_wanted = sink->flush_wanted > sink->flush_done;
    pthread_mutex_unlock(&sink->lock);
    return is_wanted;
}

static void flush_end(struct tni_sink *sink, int64_t wanted)
{
    pthread_mutex_lock(&sink->lock);
    sink->flush_done = wanted;
    pthread_cond_broadcast(&sink->idle);
    pthread_mutex_unlock(&sink->lock);
}

/* Has everything durable been read? Also what the lag is measured against. */
static enum tn_status find_ends(struct tni_sink *sink, bool *ret_behind, bool *ret_undurable,
                                struct tn_err *err)
{
    struct tn_log *log = sink->sinks->config.log;
    *ret_behind = *ret_undurable = false;
    for (uint32_t p = 0; p < sink->parts_count; p++) {
        struct tni_sink_part *part = &sink->parts[p];
        struct tn_offsets offsets;
        TN_TRY(log->type->offsets(log, &sink->topic, part->partition, &offsets, err));
        part->end_durable = offsets.end_durable;
        *ret_behind |= part->next < offsets.end_durable;
        *ret_undurable |= offsets.end_durable < offsets.end_visible;
    }
    return TN_OK;
}

static enum tn_status read_all(struct tni_sink *sink, struct tn_err *err)
{
    int64_t wanted;
    bool is_any = false, is_behind, is_undurable, is_flush = is_flush_wanted(sink, &wanted);
    for (uint32_t i = 0; i < sink->parts_count; i++) {
        uint32_t count;
        struct tni_sink_part *part = &sink->parts[(sink->turn + i) % sink->parts_count];
        TN_TRY(read_part(sink, part, &count, err));
        is_any |= count > 0;
        tni_sink_spool(sink);
    }
    sink->turn++;
    if (!is_any)
        TN_TRY(find_ends(sink, &is_behind, &is_undurable, err));
    bool is_at_end = !is_any && !is_behind;
    if (mark_due(sink, is_flush && is_at_end))
        return tni_sink_cut_begin(sink, err);
    if (is_flush && is_at_end)
        flush_end(sink, wanted);
    show(sink, TN_SINK_RUNNING, "");
    if (!is_any)
        tni_sink_wait(sink, is_undurable || is_behind ? DURABLE_WAIT_MS
                                                      : next_due_ms(sink, now_ns(sink)));
    return TN_OK;
}

/* ---- a cut that was under way when the process ended ---- */

static enum tn_status rebuild_part(struct tni_sink *sink, const struct tn_table_range *range,
                                   bool *ret_done, struct tn_err *err)
{
    struct tn_log *log = sink->sinks->config.log;
    struct tni_sink_part *part = &sink->parts[range->partition];
    struct tn_read read = {.records = NULL};
    *ret_done = part->next >= range->next;
    if (*ret_done)
        return TN_OK;
    enum tn_status st = log->type->read(sink->reader, &sink->topic, part->partition, part->next,
                                        TNI_SINK_READ_BYTES, &read, err);
    if (st == TN_AGAIN) {
        if (read.next > part->next)
            part->next = read.next < range->next ? read.next : range->next;
        else
            tni_sink_wait(sink, DURABLE_WAIT_MS);
        return TN_OK;
    }
    if (st == TN_NOT_FOUND)
        return tn_err_set(err, TN_E_NAME, "topic '%s' is gone", sink->topic.name);
    TN_TRY(st);
    uint32_t count = 0;
    while (count < read.records->count && read.records->offsets[count] < range->next)
        count++;
    if (count)
        st = tni_encoder_add(&sink->encoder, part, read.records, count, err);
    if (count == read.records->count)
        part->next = read.next < range->next ? read.next : range->next;
    else
        part->next = range->next;
    part->opened_ns = part->last_ns = now_ns(sink);
    tn_records_unref(read.records);
    return st;
}

static enum tn_status rebuild(struct tni_sink *sink, struct tn_err *err)
{
    bool is_all = true;
    for (uint32_t i = 0; i < sink->cut.ranges_count; i++) {
        bool is_done;
        if (!sink->is_cut[sink->cut.ranges[i].partition])
            continue;
        tni_sink_spool(sink);
        if (tni_sink_held(sink) > 2 * HELD_BYTES_MAX)
            return tn_err_set(err, TN_E_FULL,
                              "no room in '%s' for the files of a cut that is made again",
                              sink->sinks->config.spool_folder);
        TN_TRY(rebuild_part(sink, &sink->cut.ranges[i], &is_done, err));
        is_all &= is_done;
    }
    sink->is_rebuilding = !is_all;
    return TN_OK;
}

/* ---- the loop ---- */

static bool adopt_spec(struct tni_sink *sink)
{
    pthread_mutex_lock(&sink->lock);
    struct tn_sink_spec *wanted = sink->wanted;
    bool is_new = wanted != sink->spec;
    bool is_same_table = is_new && sink->spec && sink->is_open &&
                         strcmp(wanted->location, sink->spec->location) == 0;
    /* A cut under way ends as it was begun, unless it cannot (then the new spec may help). */
    if (is_new && (sink->stage == TNI_CUT_NONE || sink->failures > 0 || !is_same_table)) {
        struct tn_sink_spec *old = sink->spec;
        tn_sink_spec_ref(wanted);
        pthread_mutex_unlock(&sink->lock);
        tni_sink_release(sink);
        sink->spec = wanted;
        sink->failures = 0;
        sink->meta_version = -1;
        sink->is_spec_new = old != NULL;
        tn_sink_spec_unref(old);
        return true;
    }
    pthread_mutex_unlock(&sink->lock);
    return is_new;
}

static enum tn_status work(struct tni_sink *sink, struct tn_err *err)
{
    if (!sink->is_open) {
        enum tn_status st = tni_sink_recover(sink, err);
        if (st != TN_OK)
            tni_sink_release(sink);
        return st;
    }
    if (sink->is_rebuilding)
        return rebuild(sink, err);
    if (sink->stage != TNI_CUT_NONE)
        return tni_sink_cut_step(sink, err);
    return read_all(sink, err);
}

static bool is_transient(enum tn_status st)
{
    return st == TN_E_IO || st == TN_E_TIMEOUT || st == TN_E_BUSY || st == TN_E_FULL ||
           st == TN_E_INDEFINITE || st == TN_E_CANCELLED;
}

static void failed(struct tni_sink *sink, enum tn_status st, const struct tn_err *err)
{
    const struct tn_sink_options *options = &sink->spec->options;
    bool is_news = strcmp(sink->error, err->message) != 0;
    if (is_news)
        tn_logf(st == TN_E_FENCED ? TN_LOG_ERROR : TN_LOG_WARN, "sink",
                "sink=%s table=%s: %s%s%s%s", sink->name, sink->spec->table, err->message,
                err->hint[0] ? " (" : "", err->hint, err->hint[0] ? ")" : "");
    tn_metric_add(sink->metrics.errors, 1);
    pthread_mutex_lock(&sink->lock);
    sink->counts.retries++;
    pthread_mutex_unlock(&sink->lock);
    show(sink, is_transient(st) ? TN_SINK_RETRYING : TN_SINK_FAILED, err->message);
    int64_t wait = options->retry_ms;
    for (int i = 0; i < sink->failures && wait < options->retry_max_ms; i++)
        wait *= 2;
    if (wait > options->retry_max_ms || !is_transient(st))
        wait = options->retry_max_ms;
    if (sink->failures < 30)
        sink->failures++;
    if (st == TN_E_INVALID || st == TN_E_CORRUPT || st == TN_E_FENCED)
        tni_sink_release(sink); /* what was read is read again */
    if (st == TN_E_FENCED)
        wait = sink->sinks->config.is_ours ? FENCED_WAIT_MS : INT64_MAX / 2000000;
    wait_back_off(sink, wait / 2 + (int64_t)(tn_random_unit() * (double)wait / 2) + 1);
}

/* False: another process writes it; what was open here is given up. */
static bool is_ours(struct tni_sink *sink)
{
    const struct tn_sinks_config *config = &sink->sinks->config;
    if (!config->is_ours || config->is_ours(config->ours_ctx, sink->name))
        return true;
    if (sink->is_open)
        tn_logf(TN_LOG_INFO, "sink", "given up to another process, sink=%s", sink->name);
    tni_sink_release(sink);
    sink->failures = 0;
    show(sink, TN_SINK_ELSEWHERE, "");
    return false;
}

void *tni_sink_main(void *arg)
{
    struct tni_sink *sink = arg;
    for (;;) {
        struct tn_err err = TN_ERR_INIT;
        if (tni_sink_is_stopping(sink))
            break;
        adopt_spec(sink);
        if (sink->spec->is_paused && sink->stage == TNI_CUT_NONE) {
            show(sink, TN_SINK_PAUSED, "");
            tni_sink_wait(sink, IDLE_WAIT_MS);
            continue;
        }
        if (!is_ours(sink)) {
            tni_sink_wait(sink, OURS_WAIT_MS);
            continue;
        }
        enum tn_status st = work(sink, &err);
        if (tn_failed(st)) {
            failed(sink, st, &err);
        } else if (sink->failures) {
            tn_logf(TN_LOG_INFO, "sink", "goes on, sink=%s", sink->name);
            sink->failures = 0;
        }
    }
    tni_sink_release(sink);
    return NULL;
}
