/* Holds, retention and the maintenance thread.
 *
 * Retention drops whole entries from the start of a partition, never at or beyond a hold or
 * end_durable. Holds are rows too: after a restart the stored ones apply until their owners move
 * them, and they only ever move forward, so an old one is merely careful. The row of a hold is
 * refreshed before anything is dropped.
 */
#include "store/log_int.h"

#include <malloc.h>
#include <string.h>

#include "stream/base/crashpoint.h"
#include "stream/base/mem.h"
#include "stream/base/wait.h"

#define HOLDER_MAX 255u
#define TRIM_BYTES ((size_t)32 << 20) /* free heap worth giving back */
#define RECLAIM_BYTES                                                                              \
    ((int64_t)64 << 20) /* dropped bytes after which RocksDB is asked for the space */

#define GC_PASSES 6 /* maintenance passes, a minute by default */

/* ---- holds ---- */

static size_t hold_key(char *key, const struct tni_part *part, const char *holder)
{
    size_t len = strlen(holder);
    memcpy(tni_part_key(key, TNI_META_HOLD, part), holder, len);
    return TNI_PART_KEY_BYTES + len;
}

static void hold_row_put(rocksdb_writebatch_t *batch, struct tni_log *log,
                         const struct tni_part *part, const char *holder, int64_t offset)
{
    char key[TNI_PART_KEY_BYTES + HOLDER_MAX], value[8];
    size_t key_len = hold_key(key, part, holder);
    tni_put_be64(value, (uint64_t)offset);
    if (offset < 0)
        rocksdb_writebatch_delete_cf(batch, log->store->cf[TNI_CF_META], key, key_len);
    else
        rocksdb_writebatch_put_cf(batch, log->store->cf[TNI_CF_META], key, key_len, value,
                                  sizeof value);
}

/* @locks part->mu */
static struct tni_hold **find_hold(struct tni_part *part, const char *holder)
{
    struct tni_hold **link = &part->holds;
    while (*link && strcmp((*link)->holder, holder) != 0)
        link = &(*link)->next;
    return link;
}

static void add_hold(struct tni_hold **link, const char *holder, int64_t offset)
{
    struct tni_hold *hold = tn_alloc(sizeof *hold);
    hold->holder = tn_strdup(holder);
    hold->offset = hold->stored_offset = offset;
    *link = hold;
}

/* A new hold or a release: changes the row. @locks maintain_mu, so that no refresh brings a
 * released row back */
static void change_hold(struct tni_log *log, struct tni_part *part, const char *holder,
                        int64_t offset)
{
    pthread_mutex_lock(&part->mu);
    struct tni_hold **link = find_hold(part, holder), *hold = *link;
    if (offset < 0 && hold) {
        *link = hold->next;
        tn_free(hold->holder);
        tn_free(hold);
    } else if (offset >= 0 && !hold) {
        add_hold(link, holder, offset);
    }
    pthread_mutex_unlock(&part->mu);
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
    struct tn_err ignored = TN_ERR_INIT;
    hold_row_put(batch, log, part, holder, offset);
    /* When this fails the store refuses everything from now on, retention included: nothing is
     * dropped. */
    (void)!tni_store_write(log->store, batch, false, &ignored);
    rocksdb_writebatch_destroy(batch);
}

void tni_log_hold(struct tn_log *base, const struct tn_topic *topic, int32_t partition,
                  const char *holder, int64_t offset)
{
    struct tni_log *log = (struct tni_log *)(void *)base;
    struct tni_part *part = tni_log_part(log, topic, partition);
    if (!part)
        return;
    TN_ASSERT(strlen(holder) <= HOLDER_MAX);
    pthread_mutex_lock(&part->mu);
    struct tni_hold *hold = *find_hold(part, holder);
    bool is_moved = hold && offset >= 0;
    bool is_nothing = !hold && offset < 0;
    if (is_moved)
        hold->offset = offset;
    pthread_mutex_unlock(&part->mu);
    if (is_moved || is_nothing)
        return;
    pthread_mutex_lock(&log->maintain_mu);
    change_hold(log, part, holder, offset);
    pthread_mutex_unlock(&log->maintain_mu);
}

static enum tn_status load_hold(struct tni_log *log, struct tn_str key, struct tn_str value,
                                struct tn_err *err)
{
    if (key.len <= TNI_PART_KEY_BYTES || key.len > TNI_PART_KEY_BYTES + HOLDER_MAX ||
        value.len != 8)
        return tn_err_set(err, TN_E_CORRUPT, "store: a hold of the log is malformed");
    struct tn_topic topic = {.id = tn_be32(key.ptr + 1)};
    struct tni_part *part = tni_log_part(log, &topic, (int32_t)tn_be32(key.ptr + 5));
    if (!part)
        return TN_OK; /* left over from a deleted topic */
    char holder[HOLDER_MAX + 1] = {0};
    memcpy(holder, key.ptr + TNI_PART_KEY_BYTES, key.len - TNI_PART_KEY_BYTES);
    add_hold(find_hold(part, holder), holder, (int64_t)tn_be64(value.ptr));
    return TN_OK;
}

enum tn_status tni_holds_load(struct tni_log *log, struct tn_err *err)
{
    const char from[1] = {TNI_META_HOLD}, to[1] = {TNI_META_HOLD + 1};
    struct tni_iter iter;
    tni_iter_open(log->store, TNI_CF_META, (struct tn_str){to, 1}, &iter);
    enum tn_status st = TN_OK;
    for (rocksdb_iter_seek(iter.it, from, 1); st == TN_OK && tni_iter_valid(&iter);
         rocksdb_iter_next(iter.it))
        st = load_hold(log, tni_iter_key(&iter), tni_iter_value(&iter), err);
    if (st == TN_OK)
        st = tni_iter_status(&iter, "holds", err);
    tni_iter_close(&iter);
    return st;
}

void tn_rocks_log_holds_each(struct tn_log *base,
                             bool (*each)(void *ctx, const char *topic, int32_t partition,
                                          const char *holder, int64_t offset),
                             void *ctx)
{
    struct tni_log *log = (struct tni_log *)(void *)base;
    pthread_mutex_lock(&log->maintain_mu); /* keeps holds and topics from being freed */
    bool goes_on = true;
    for (uint32_t t = 0; goes_on && t < log->by_name_count; t++) {
        struct tni_topic *topic = log->by_name[t];
        for (int32_t p = 0; goes_on && p < topic->info.partitions_count; p++) {
            pthread_mutex_lock(&topic->parts[p].mu);
            struct tni_hold *hold = topic->parts[p].holds;
            for (; goes_on && hold; hold = hold->next)
                goes_on = each(ctx, topic->info.name, p, hold->holder, hold->offset);
            pthread_mutex_unlock(&topic->parts[p].mu);
        }
    }
    pthread_mutex_unlock(&log->maintain_mu);
}

int64_t tni_part_limit(struct tni_part *part)
{
    pthread_mutex_lock(&part->mu);
    int64_t limit = part->end_durable;
    for (const struct tni_hold *hold = part->holds; hold; hold = hold->next)
        limit = hold->offset < limit ? hold->offset : limit;
    pthread_mutex_unlock(&part->mu);
    return limit;
}

void tni_holds_refresh(rocksdb_writebatch_t *batch, struct tni_log *log, struct tni_part *part)
{
    pthread_mutex_lock(&part->mu);
    for (struct tni_hold *hold = part->holds; hold; hold = hold->next) {
        if (hold->offset == hold->stored_offset)
            continue;
        hold_row_put(batch, log, part, hold->holder, hold->offset);
        hold->stored_offset = hold->offset;
    }
    pthread_mutex_unlock(&part->mu);
}

/* ---- retention ---- */

struct expiry {
    int64_t start, new_start; /* offsets */
    int64_t bytes, records;   /* dropped */
};

static bool is_expired(const struct tn_topic *info, const struct tni_index *index, int64_t now_ms,
                       int64_t bytes_left)
{
    if (info->retention_ms >= 0 && index->ts_max < now_ms - info->retention_ms)
        return true;
    return info->retention_bytes >= 0 && bytes_left - index->bytes >= info->retention_bytes;
}

static enum tn_status find_expired(struct tni_log *log, struct tni_part *part,
                                   struct expiry *expiry, struct tn_err *err)
{
    int64_t limit = tni_part_limit(part), now_ms = tn_wall_ms(log->store->config.clock);
    pthread_mutex_lock(&part->mu);
    /* The changelog of windows ages by the time of its records, as the windows do: events of long
     * ago must not lose a state that is still alive. */
    if (part->topic->info.cleanup == TN_CLEANUP_BOTH && part->ts_running_max < now_ms)
        now_ms = part->ts_running_max;
    int64_t bytes_left = part->bytes_total - part->bytes_removed;
    expiry->start = expiry->new_start = part->start;
    pthread_mutex_unlock(&part->mu);
    char key[TNI_INDEX_KEY_BYTES], upper[TNI_INDEX_KEY_BYTES];
    tni_index_key(key, part, expiry->start);
    tni_index_key(upper, part, INT64_MAX);
    struct tni_iter iter;
    tni_iter_open(log->store, TNI_CF_META, (struct tn_str){upper, sizeof upper}, &iter);
    enum tn_status st = TN_OK;
    for (rocksdb_iter_seek(iter.it, key, sizeof key); tni_iter_valid(&iter);
         rocksdb_iter_next(iter.it)) {
        struct tni_index index;
        st = tni_index_decode(tni_iter_key(&iter), tni_iter_value(&iter), &index, err);
        if (st != TN_OK || index.next > limit ||
            !is_expired(&part->topic->info, &index, now_ms, bytes_left))
            break;
        bytes_left -= index.bytes;
        expiry->bytes += index.bytes;
        expiry->records += index.count;
        expiry->new_start = index.next;
    }
    if (st == TN_OK)
        st = tni_iter_status(&iter, "log index", err);
    tni_iter_close(&iter);
    return st;
}

/* @locks maintain_mu */
static enum tn_status expire_part(struct tni_log *log, struct tni_part *part, struct tn_err *err)
{
    const struct tn_topic *info = &part->topic->info;
    if (!(info->cleanup & TN_CLEANUP_DELETE) ||
        (info->retention_ms < 0 && info->retention_bytes < 0))
        return TN_OK;
    struct expiry expiry = {0};
    TN_TRY(find_expired(log, part, &expiry, err));
    if (expiry.new_start == expiry.start)
        return TN_OK;
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
    tni_holds_refresh(batch, log, part);
    pthread_mutex_lock(&part->mu);
    part->start = expiry.new_start; /* first, so that no reader takes the drop for damage */
    part->bytes_removed += expiry.bytes;
    tni_part_row_put(batch, log, part);
    pthread_mutex_unlock(&part->mu);
    char from[TNI_INDEX_KEY_BYTES], to[TNI_INDEX_KEY_BYTES];
    tni_index_key(from, part, expiry.start);
    tni_index_key(to, part, expiry.new_start);
    rocksdb_writebatch_delete_range_cf(batch, log->store->cf[TNI_CF_META], from, sizeof from, to,
                                       sizeof to);
    tni_log_entry_key(from, part, expiry.start);
    tni_log_entry_key(to, part, expiry.new_start);
    rocksdb_writebatch_delete_range_cf(batch, log->store->cf[TNI_CF_LOG], from, TNI_ENTRY_KEY_BYTES,
                                       to, TNI_ENTRY_KEY_BYTES);
    tn_crash_point("retention-before-write");
    enum tn_status st = tni_store_write(log->store, batch, false, err);
    rocksdb_writebatch_destroy(batch);
    tn_crash_point("retention-after-write");
    atomic_fetch_add(&log->expired_count, expiry.records);
    atomic_fetch_add(&log->reclaim_bytes, expiry.bytes);
    return st;
}

/* ---- passes ---- */

/* Live topic by id, or NULL. */
static struct tni_topic *topic_by_id(struct tni_log *log, uint32_t id)
{
    pthread_rwlock_rdlock(&log->topics_mu);
    struct tni_topic *topic = id < log->topics_cap ? log->topics[id] : NULL;
    pthread_rwlock_unlock(&log->topics_mu);
    return topic;
}

static enum tn_status maintain_topic(struct tni_log *log, uint32_t id, bool is_forced,
                                     struct tn_err *err)
{
    struct tni_topic *topic = topic_by_id(log, id);
    for (int32_t p = 0; topic && p < topic->info.partitions_count; p++) {
        pthread_mutex_lock(&log->maintain_mu);
        enum tn_status st =
            atomic_load(&topic->is_deleted) ? TN_OK : expire_part(log, &topic->parts[p], err);
        pthread_mutex_unlock(&log->maintain_mu);
        TN_TRY(st);
        if (topic->info.cleanup & TN_CLEANUP_COMPACT)
            TN_TRY(tni_part_compact(log, &topic->parts[p], is_forced, err));
    }
    return TN_OK;
}

/* RocksDB's blob collection moves what is alive out of the oldest files whenever their keys are
 * compacted. A log that only grows would be written twice for nothing, so it is on only from a drop
 * of RECLAIM_BYTES until GC_PASSES passes dropped less. @locks reclaim_mu held */
static void collect_blobs(struct tni_log *log, bool is_on)
{
    const char *name = "enable_blob_garbage_collection", *value = is_on ? "true" : "false";
    char *message = NULL;
    if (log->is_collecting == is_on)
        return;
    rocksdb_set_options_cf(log->store->db, log->store->cf[TNI_CF_LOG], 1, &name, &value, &message);
    if (!message) {
        log->is_collecting = is_on;
        return;
    }
    struct tn_err err = TN_ERR_INIT; /* tried again at the next pass */
    if (tni_rocks_err(message, "options", &err) == TN_E_FULL) {
        tni_full_manifest(log->store);
        (void)tni_full_begin(log->store, &err);
    }
}

static void reclaim(struct tni_log *log)
{
    if (atomic_load(&log->reclaim_bytes) < RECLAIM_BYTES) {
        if (log->is_collecting && ++log->idle_passes >= GC_PASSES)
            collect_blobs(log, false);
        return;
    }
    atomic_store(&log->reclaim_bytes, 0);
    log->idle_passes = 0;
    collect_blobs(log, true);
    /* rewrites keys, moves what is alive in the oldest blob files, lets emptied ones go */
    rocksdb_compact_range_cf(log->store->db, log->store->cf[TNI_CF_LOG], NULL, 0, NULL, 0);
}

static enum tn_status maintain(struct tni_log *log, bool is_forced, struct tn_err *err)
{
    pthread_rwlock_rdlock(&log->topics_mu);
    uint32_t cap = log->topics_cap;
    pthread_rwlock_unlock(&log->topics_mu);
    for (uint32_t id = 0; id < cap; id++)
        TN_TRY(maintain_topic(log, id, is_forced, err));
    pthread_mutex_lock(&log->reclaim_mu);
    reclaim(log);
    pthread_mutex_unlock(&log->reclaim_mu);
    return TN_OK;
}

enum tn_status tn_rocks_log_maintain(struct tn_log *base, struct tn_err *err)
{
    return maintain((struct tni_log *)(void *)base, true, err);
}

/* Memtables hold entries of any size, filled by one thread and freed by another: the heaps keep
 * what was freed between blocks still in use. Given back here, at most once a pass. */
static void trim_heap(void)
{
#ifdef __GLIBC__
    if (mallinfo2().fordblks > TRIM_BYTES)
        malloc_trim(TRIM_BYTES / 4);
#endif
}

static void *maintainer_main(void *arg)
{
    struct tni_log *log = arg;
    pthread_mutex_lock(&log->maintainer_mu);
    while (!log->is_maintainer_stopping) {
        int64_t due_ns = tni_mono_ns() + log->store->config.maintain_interval_ms * 1000000;
        (void)tn_cond_wait_until(&log->maintainer_cv, &log->maintainer_mu, due_ns);
        if (log->is_maintainer_stopping || tni_mono_ns() < due_ns)
            continue;
        pthread_mutex_unlock(&log->maintainer_mu);
        struct tn_err err = TN_ERR_INIT;
        if (maintain(log, false, &err) != TN_OK)
            atomic_fetch_add(&log->maintain_errors_count, 1);
        trim_heap();
        pthread_mutex_lock(&log->maintainer_mu);
    }
    pthread_mutex_unlock(&log->maintainer_mu);
    return NULL;
}

enum tn_status tni_maintainer_start(struct tni_log *log, struct tn_err *err)
{
    int cause = pthread_create(&log->maintainer, NULL, maintainer_main, log);
    if (cause != 0)
        return tn_err_set(err, TN_E_IO, "cannot start the log's maintenance thread: %s",
                          strerror(cause));
    log->is_maintainer_started = true;
    pthread_setname_np(log->maintainer, "log-maintainer");
    return TN_OK;
}

void tni_maintainer_stop(struct tni_log *log)
{
    if (!log->is_maintainer_started)
        return;
    pthread_mutex_lock(&log->maintainer_mu);
    log->is_maintainer_stopping = true;
    pthread_cond_signal(&log->maintainer_cv);
    pthread_mutex_unlock(&log->maintainer_mu);
    pthread_join(log->maintainer, NULL);
    log->is_maintainer_started = false;
}
