/* Group commit: append() queues, one writer thread writes and syncs for all.
 *
 * HOW IT WORKS: the writer takes what is queued (up to GROUP_BYTES_MAX), writes it as one batch,
 * syncs once and calls the done callbacks; meanwhile the next group gathers. With one appender a
 * group is one record, with 64 it is 64. The same thread syncs transactions that no append made
 * durable within store.sync.interval.ms.
 *
 * Bound: QUEUE_BYTES_MAX of records waiting; beyond it appends are refused at once (TN_E_BUSY,
 * retriable).
 */
#include "store/log_int.h"

#include <string.h>

#include "stream/base/crashpoint.h"
#include "stream/base/mem.h"
#include "stream/base/wait.h"

#define GROUP_BYTES_MAX ((size_t)16 << 20)
#define QUEUE_BYTES_MAX ((size_t)128 << 20)
#define FULL_WAIT_NS    ((int64_t)100 * 1000 * 1000)

/* ---- append ---- */

enum tn_status tni_records_check(const struct tni_topic *topic, const struct tn_records *records,
                                 struct tn_err *err)
{
    for (uint32_t i = 0; i < records->count; i++) {
        size_t bytes = records->keys[i].len + records->values[i].len;
        if (bytes > TN_RECORD_BYTES_MAX) {
            tn_err_set(err, TN_E_LIMIT, "topic '%s': a record has %zu bytes, the limit is %zu",
                       topic->info.name, bytes, TN_RECORD_BYTES_MAX);
            return TN_E_LIMIT;
        }
        if (records->headers && records->headers[i].count > TN_HEADERS_MAX)
            return tn_err_set(err, TN_E_LIMIT,
                              "topic '%s': a record has %u headers, the limit is %d",
                              topic->info.name, records->headers[i].count, TN_HEADERS_MAX);
    }
    return TN_OK;
}

static enum tn_status enqueue(struct tni_log *log, struct tni_request *request, struct tn_err *err)
{
    size_t bytes = request->records->bytes;
    pthread_mutex_lock(&log->queue_mu);
    bool is_full = log->queue_bytes > 0 && log->queue_bytes + bytes > QUEUE_BYTES_MAX;
    if (!is_full) {
        bool was_empty = log->queue_first == NULL;
        log->queue_bytes += bytes;
        *log->queue_last = request;
        log->queue_last = &request->next;
        if (was_empty)
            pthread_cond_signal(&log->queue_cv);
    }
    pthread_mutex_unlock(&log->queue_mu);
    if (!is_full)
        return TN_OK;
    tn_err_set(err, TN_E_BUSY, "too many appends wait for the disk (%zu MiB)",
               QUEUE_BYTES_MAX >> 20);
    tn_err_hint(err, "try again");
    if (err)
        err->retriable = true;
    return TN_E_BUSY;
}

void tni_log_append(struct tn_log *base, const struct tn_topic *topic, int32_t partition,
                    struct tn_records *records, tn_append_done done, void *ctx)
{
    struct tni_log *log = (struct tni_log *)(void *)base;
    struct tn_err err = TN_ERR_INIT;
    struct tni_part *part = tni_log_part(log, topic, partition);
    enum tn_status st =
        part ? tni_records_check(part->topic, records, &err) : tni_log_gone(topic->name, &err);
    if (st == TN_OK)
        st = tn_store_check_room(log->store, &err);
    if (st == TN_OK) {
        struct tni_request *request = tn_alloc(sizeof *request);
        *request = (struct tni_request){
            .part = part, .records = tn_records_ref(records), .done = done, .ctx = ctx};
        st = enqueue(log, request, &err);
        if (st == TN_OK)
            return;
        tn_records_unref(records);
        tn_free(request);
    }
    atomic_fetch_add(&log->refused_count, 1);
    done(ctx, st, -1, &err);
}

/* ---- durability ---- */

/* What is visible now, to be durable after the next sync. @locks sync_mu */
static uint32_t collect_unsynced(struct tni_log *log)
{
    pthread_mutex_lock(&log->write_mu);
    uint32_t count = log->unsynced_count;
    if (count > log->syncing_cap) {
        log->syncing = tn_realloc(log->syncing, count * sizeof *log->syncing);
        log->syncing_cap = count;
    }
    for (uint32_t i = 0; i < count; i++) {
        struct tni_part *part = log->unsynced[i];
        part->is_unsynced = false;
        log->syncing[i] = (struct tni_unsynced){part, part->end_visible};
    }
    log->unsynced_count = 0;
    pthread_mutex_unlock(&log->write_mu);
    return count;
}

/* The sync failed; a later one shall cover them. @locks sync_mu */
static void put_back_unsynced(struct tni_log *log, uint32_t count)
{
    pthread_mutex_lock(&log->write_mu);
    for (uint32_t i = 0; i < count; i++) {
        struct tni_part *part = log->syncing[i].part;
        if (part->is_unsynced)
            continue;
        log->unsynced =
            tni_grow(log->unsynced, &log->unsynced_cap, log->unsynced_count, sizeof *log->unsynced);
        log->unsynced[log->unsynced_count++] = part;
        part->is_unsynced = true;
    }
    pthread_mutex_unlock(&log->write_mu);
}

enum tn_status tni_log_sync(struct tn_log *base, struct tn_err *err)
{
    struct tni_log *log = (struct tni_log *)(void *)base;
    pthread_mutex_lock(&log->queue_mu);
    log->sync_due_ns = 0;
    pthread_mutex_unlock(&log->queue_mu);
    pthread_mutex_lock(&log->sync_mu);
    uint32_t count = collect_unsynced(log);
    enum tn_status st = tn_store_sync(log->store, err);
    if (st != TN_OK)
        put_back_unsynced(log, count);
    for (uint32_t i = 0; st == TN_OK && i < count; i++) {
        struct tni_part *part = log->syncing[i].part;
        pthread_mutex_lock(&part->mu);
        part->end_durable = log->syncing[i].end;
        pthread_mutex_unlock(&part->mu);
    }
    pthread_mutex_unlock(&log->sync_mu);
    return st;
}

void tni_log_sync_soon(struct tni_log *log)
{
    pthread_mutex_lock(&log->queue_mu);
    if (log->sync_due_ns == 0) {
        log->sync_due_ns = tni_mono_ns() + log->store->config.sync_interval_ms * 1000000;
        pthread_cond_signal(&log->queue_cv);
    }
    pthread_mutex_unlock(&log->queue_mu);
}

/* ---- the writer thread ---- */

struct tni_group {
    struct tni_request *first;
    size_t bytes;
};

static struct tni_group take_group(struct tni_log *log)
{
    struct tni_group group = {.first = log->queue_first};
    struct tni_request **link = &log->queue_first;
    while (*link &&
           (group.bytes == 0 || group.bytes + (*link)->records->bytes <= GROUP_BYTES_MAX)) {
        group.bytes += (*link)->records->bytes;
        link = &(*link)->next;
    }
    struct tni_request *rest = *link;
    *link = NULL;
    log->queue_first = rest;
    if (!rest)
        log->queue_last = &log->queue_first;
    return group;
}

static void finish_group(struct tni_log *log, struct tni_batch *batch, struct tni_group group,
                         enum tn_status st, const struct tn_err *err)
{
    pthread_mutex_lock(&log->queue_mu);
    log->queue_bytes -= group.bytes;
    pthread_mutex_unlock(&log->queue_mu);
    uint32_t slot = 0;
    for (struct tni_request *request = group.first, *next; request; request = next, slot++) {
        next = request->next;
        int64_t offset = st == TN_OK ? tni_batch_offset(batch, slot) : -1;
        if (st == TN_OK && offset < 0) { /* the topic was deleted while the request waited */
            struct tn_err gone = TN_ERR_INIT;
            enum tn_status gone_st = tni_log_gone(request->part->topic->info.name, &gone);
            atomic_fetch_add(&log->refused_count, 1);
            request->done(request->ctx, gone_st, -1, &gone);
        } else {
            atomic_fetch_add(st == TN_OK ? &log->appends_count : &log->refused_count, 1);
            request->done(request->ctx, st, offset, err);
        }
        tn_free(request);
    }
}

/* What was written is visible already: on a full disk its answer waits until there is room. */
static enum tn_status sync_group(struct tni_log *log, struct tn_err *err)
{
    enum tn_status st = tni_log_sync(&log->base, err);
    while (st == TN_E_FULL) {
        pthread_mutex_lock(&log->queue_mu);
        bool is_stopping = log->is_stopping;
        if (!is_stopping)
            (void)tn_cond_wait_until(&log->queue_cv, &log->queue_mu, tni_mono_ns() + FULL_WAIT_NS);
        pthread_mutex_unlock(&log->queue_mu);
        if (is_stopping)
            break;
        *err = (struct tn_err)TN_ERR_INIT;
        st = tni_log_sync(&log->base, err);
    }
    return st;
}

static void write_group(struct tni_log *log, struct tni_batch *batch, struct tni_group group)
{
    struct tn_err err = TN_ERR_INIT;
    for (struct tni_request *request = group.first; request; request = request->next)
        tni_batch_add(batch, request->part, request->records); /* the batch owns the records now */
    enum tn_status st = tni_batch_commit(batch, &err);
    tn_crash_point("append-before-sync");
    if (st == TN_OK)
        st = sync_group(log, &err);
    tn_crash_point("append-before-done");
    atomic_fetch_add(&log->groups_count, 1);
    finish_group(log, batch, group, st, &err);
    tni_batch_clear(batch);
}

static void wait_for_work(struct tni_log *log)
{
    while (!log->queue_first && !log->is_stopping) {
        if (log->sync_due_ns == 0) {
            pthread_cond_wait(&log->queue_cv, &log->queue_mu);
            continue;
        }
        if (tni_mono_ns() >= log->sync_due_ns)
            return;
        (void)tn_cond_wait_until(&log->queue_cv, &log->queue_mu, log->sync_due_ns);
    }
}

/* Commits that nobody waits for. */
static void sync_commits(struct tni_log *log)
{
    struct tn_err err = TN_ERR_INIT;
    enum tn_status st = tni_log_sync(&log->base, &err);
    if (st == TN_E_FULL)
        tni_log_sync_soon(log);
    else if (st != TN_OK)
        atomic_store(&log->store->is_failed, true); /* the next commit or append reports it */
}

static void *writer_main(void *arg)
{
    struct tni_log *log = arg;
    struct tni_batch batch;
    tni_batch_init(&batch, log, TNI_BATCH_WRITER);
    pthread_mutex_lock(&log->queue_mu);
    for (;;) {
        wait_for_work(log);
        if (!log->queue_first && log->is_stopping)
            break;
        struct tni_group group = take_group(log);
        pthread_mutex_unlock(&log->queue_mu);
        if (group.first)
            write_group(log, &batch, group);
        else
            sync_commits(log);
        pthread_mutex_lock(&log->queue_mu);
    }
    pthread_mutex_unlock(&log->queue_mu);
    tni_batch_release(&batch);
    return NULL;
}

enum tn_status tni_writer_start(struct tni_log *log, struct tn_err *err)
{
    int cause = pthread_create(&log->writer, NULL, writer_main, log);
    if (cause != 0)
        return tn_err_set(err, TN_E_IO, "cannot start the log's writer thread: %s",
                          strerror(cause));
    log->is_writer_started = true;
    pthread_setname_np(log->writer, "log-writer");
    return TN_OK;
}

void tni_writer_stop(struct tni_log *log)
{
    if (!log->is_writer_started)
        return;
    pthread_mutex_lock(&log->queue_mu);
    log->is_stopping = true;
    pthread_cond_signal(&log->queue_cv);
    pthread_mutex_unlock(&log->queue_mu);
    pthread_join(log->writer, NULL);
    log->is_writer_started = false;
}
