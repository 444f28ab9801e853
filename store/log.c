/* The embedded log's type table, keys, offsets, open and close. */
#include "store/log_int.h"

#include <string.h>

#include "stream/base/mem.h"

/* ---- keys and rows ---- */

char *tni_part_key(char *to, char kind, const struct tni_part *part)
{
    *to++ = kind;
    return tni_put_be32(tni_put_be32(to, part->topic->info.id), part->index);
}

char *tni_index_key(char *to, const struct tni_part *part, int64_t base)
{
    return tni_put_be64(tni_part_key(to, TNI_META_INDEX, part), (uint64_t)base);
}

char *tni_log_entry_key(char *to, const struct tni_part *part, int64_t base)
{
    to = tni_put_be32(tni_put_be32(to, part->topic->info.id), part->index);
    return tni_put_be64(to, (uint64_t)base);
}

void tni_index_encode(char *to, const struct tni_index *index)
{
    to = tni_put_be32(tni_put_be32(to, index->count), index->bytes);
    to = tni_put_be64(to, (uint64_t)index->next);
    to = tni_put_be64(to, (uint64_t)index->ts_min);
    to = tni_put_be64(to, (uint64_t)index->ts_max);
    to = tni_put_be64(to, (uint64_t)index->ts_running_max);
    tni_put_be64(to, (uint64_t)index->bytes_total);
}

enum tn_status tni_index_decode(struct tn_str key, struct tn_str value, struct tni_index *ret_index,
                                struct tn_err *err)
{
    if (key.len != TNI_INDEX_KEY_BYTES || value.len != TNI_INDEX_BYTES)
        return tn_err_set(err, TN_E_CORRUPT, "store: an index row of the log is malformed");
    const char *p = value.ptr;
    *ret_index = (struct tni_index){
        .base = (int64_t)tn_be64(key.ptr + TNI_PART_KEY_BYTES),
        .count = tn_be32(p),
        .bytes = tn_be32(p + 4),
        .next = (int64_t)tn_be64(p + 8),
        .ts_min = (int64_t)tn_be64(p + 16),
        .ts_max = (int64_t)tn_be64(p + 24),
        .ts_running_max = (int64_t)tn_be64(p + 32),
        .bytes_total = (int64_t)tn_be64(p + 40),
    };
    return TN_OK;
}

void tni_part_row_put(rocksdb_writebatch_t *batch, struct tni_log *log, const struct tni_part *part)
{
    char key[TNI_PART_KEY_BYTES], value[40];
    tni_part_key(key, TNI_META_PARTITION, part);
    char *to = tni_put_be64(value, (uint64_t)part->start);
    to = tni_put_be64(to, (uint64_t)part->bytes_removed);
    to = tni_put_be64(to, (uint64_t)part->clean_end);
    to = tni_put_be64(to, (uint64_t)part->tomb_end);
    tni_put_be64(to, (uint64_t)part->tomb_ms);
    rocksdb_writebatch_put_cf(batch, log->store->cf[TNI_CF_META], key, sizeof key, value,
                              sizeof value);
}

void *tni_grow(void *items, uint32_t *cap, uint32_t count, size_t size)
{
    if (count < *cap)
        return items;
    *cap = *cap ? *cap * 2 : 16;
    return tn_realloc(items, *cap * size);
}

/* ---- look-ups ---- */

enum tn_status tni_log_no_topic(const char *name, struct tn_err *err)
{
    tn_err_set(err, TN_E_NAME, "topic '%s' does not exist", name);
    if (err)
        err->code = TN_NOT_FOUND;
    return TN_NOT_FOUND;
}

enum tn_status tni_log_gone(const char *name, struct tn_err *err)
{
    return tn_err_set(err, TN_E_NAME, "topic '%s' does not exist", name);
}

struct tni_part *tni_log_part(struct tni_log *log, const struct tn_topic *topic, int32_t partition)
{
    struct tni_part *part = NULL;
    pthread_rwlock_rdlock(&log->topics_mu);
    struct tni_topic *found = topic->id < log->topics_cap ? log->topics[topic->id] : NULL;
    if (found && !atomic_load_explicit(&found->is_deleted, memory_order_acquire) &&
        partition >= 0 && partition < found->info.partitions_count)
        part = &found->parts[partition];
    pthread_rwlock_unlock(&log->topics_mu);
    return part;
}

static enum tn_status log_offsets(struct tn_log *base, const struct tn_topic *topic,
                                  int32_t partition, struct tn_offsets *ret_offsets,
                                  struct tn_err *err)
{
    struct tni_part *part = tni_log_part((struct tni_log *)(void *)base, topic, partition);
    if (!part)
        return tni_log_no_topic(topic->name, err);
    pthread_mutex_lock(&part->mu);
    *ret_offsets = (struct tn_offsets){.start = part->start,
                                       .end_visible = part->end_visible,
                                       .end_durable = part->end_durable,
                                       .bytes = part->bytes_total - part->bytes_removed};
    pthread_mutex_unlock(&part->mu);
    return TN_OK;
}

/* ---- open and close ---- */

static void log_close(struct tn_log *base)
{
    struct tni_log *log = (struct tni_log *)(void *)base;
    if (!log)
        return;
    tni_maintainer_stop(log);
    tni_writer_stop(log);
    TN_ASSERT(!atomic_load(&log->is_txn_open)); /* the owner closes its transaction first */
    tni_batch_release(&log->txn.batch);
    tni_tail_trim(log, 0);
    for (uint32_t i = 0; i < log->by_name_count; i++)
        tni_topic_free(log->by_name[i]);
    for (uint32_t i = 0; i < log->graveyard_count; i++)
        tni_topic_free(log->graveyard[i]);
    tn_free(log->topics);
    tn_free(log->by_name);
    tn_free(log->graveyard);
    tn_free(log->unsynced);
    tn_free(log->syncing);
    pthread_rwlock_destroy(&log->topics_mu);
    pthread_mutex_destroy(&log->write_mu);
    pthread_mutex_destroy(&log->sync_mu);
    pthread_mutex_destroy(&log->queue_mu);
    pthread_cond_destroy(&log->queue_cv);
    pthread_mutex_destroy(&log->maintain_mu);
    pthread_mutex_destroy(&log->reclaim_mu);
    pthread_mutex_destroy(&log->maintainer_mu);
    pthread_cond_destroy(&log->maintainer_cv);
    tn_free(log);
}

static const struct tn_log_type rocks_log_type = {
    .name = "embedded",
    .commits_state = true,
    .topic_create = tni_topic_create,
    .topic_find = tni_topic_find,
    .topic_delete = tni_topic_delete,
    .topic_each = tni_topic_each,
    .offsets = log_offsets,
    .offset_at = tni_offset_at,
    .reader_open = tni_reader_open,
    .reader_close = tni_reader_close,
    .read = tni_reader_read,
    .append = tni_log_append,
    .begin = tni_txn_begin,
    .txn_append = tni_txn_append,
    .txn_position = tni_txn_position,
    .commit_start = tni_txn_start,
    .commit_poll = tni_txn_poll,
    .txn_offset = tni_txn_offset,
    .txn_close = tni_txn_close,
    .positions = tni_positions,
    .sync = tni_log_sync,
    .close = log_close,
    .hold = tni_log_hold,
};

static void init_locks(struct tni_log *log)
{
    pthread_rwlock_init(&log->topics_mu, NULL);
    pthread_mutex_init(&log->write_mu, NULL);
    pthread_mutex_init(&log->sync_mu, NULL);
    pthread_mutex_init(&log->queue_mu, NULL);
    pthread_cond_init(&log->queue_cv, NULL);
    pthread_mutex_init(&log->maintain_mu, NULL);
    pthread_mutex_init(&log->reclaim_mu, NULL);
    pthread_mutex_init(&log->maintainer_mu, NULL);
    pthread_cond_init(&log->maintainer_cv, NULL);
}

enum tn_status tn_rocks_log_open(struct tn_store *store, struct tn_log **ret_log,
                                 struct tn_err *err)
{
    struct tni_log *log = tn_alloc(sizeof *log);
    enum tn_status st;
    log->base.type = &rocks_log_type;
    log->store = store;
    log->queue_last = &log->queue_first;
    init_locks(log);
    tni_batch_init(&log->txn.batch, log, TNI_BATCH_TXN);
    TN_GOTO(tni_topics_load(log, err));
    TN_GOTO(tni_holds_load(log, err));
    TN_GOTO(tni_writer_start(log, err));
    TN_GOTO(tni_maintainer_start(log, err));
    *ret_log = &log->base;
    return TN_OK;
fail:
    log_close(&log->base);
    return st;
}

void tn_rocks_log_stats(struct tn_log *base, struct tn_rocks_log_stats *ret_stats)
{
    struct tni_log *log = (struct tni_log *)(void *)base;
    *ret_stats = (struct tn_rocks_log_stats){
        .appends_count = atomic_load(&log->appends_count),
        .records_count = atomic_load(&log->records_count),
        .groups_count = atomic_load(&log->groups_count),
        .commits_count = atomic_load(&log->commits_count),
        .refused_count = atomic_load(&log->refused_count),
        .tail_bytes = atomic_load(&log->tail_bytes),
        .tail_hits_count = atomic_load(&log->tail_hits_count),
        .tail_misses_count = atomic_load(&log->tail_misses_count),
        .expired_count = atomic_load(&log->expired_count),
        .compacted_count = atomic_load(&log->compacted_count),
    };
}
