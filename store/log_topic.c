/* Topics of the embedded log: a durable row per topic, structures in memory. A deleted topic's
 * structures stay until the log closes, because readers and writers may still point at its
 * partitions. */
#include "store/log_int.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "stream/base/crashpoint.h"
#include "stream/base/mem.h"

#define TOPIC_ROW_BYTES 44u

static size_t topic_row_key(char *key, const char *name)
{
    key[0] = TNI_META_TOPIC;
    size_t len = strlen(name);
    memcpy(key + 1, name, len);
    return len + 1;
}

static void topic_row_encode(char *to, const struct tn_topic *info)
{
    to = tni_put_be32(to, info->id);
    memcpy(to, info->log_id, sizeof info->log_id);
    to += sizeof info->log_id;
    to = tni_put_be32(to, (uint32_t)info->partitions_count);
    to = tni_put_be32(to, (uint32_t)info->cleanup);
    to = tni_put_be64(to, (uint64_t)info->retention_ms);
    tni_put_be64(to, (uint64_t)info->retention_bytes);
}

static enum tn_status topic_row_decode(struct tn_str key, struct tn_str value,
                                       struct tn_topic *ret_info, struct tn_err *err)
{
    if (key.len < 2 || key.len > TN_TOPIC_NAME_MAX + 1u || value.len != TOPIC_ROW_BYTES)
        return tn_err_set(err, TN_E_CORRUPT, "store: the row of topic '%.*s' is malformed",
                          (int)key.len - 1, key.ptr + 1);
    struct tn_topic info = {0};
    memcpy(info.name, key.ptr + 1, key.len - 1);
    const char *p = value.ptr;
    info.id = tn_be32(p);
    memcpy(info.log_id, p + 4, sizeof info.log_id);
    info.partitions_count = (int32_t)tn_be32(p + 20);
    info.cleanup = (enum tn_cleanup)tn_be32(p + 24);
    info.retention_ms = (int64_t)tn_be64(p + 28);
    info.retention_bytes = (int64_t)tn_be64(p + 36);
    if (info.partitions_count < 1 || info.partitions_count > TN_PARTITIONS_MAX)
        return tn_err_set(err, TN_E_CORRUPT, "store: topic '%s' has %d partitions", info.name,
                          info.partitions_count);
    *ret_info = info;
    return TN_OK;
}

/* ---- memory ---- */

static struct tni_topic *topic_new(struct tni_log *log, const struct tn_topic *info)
{
    struct tni_topic *topic = tn_alloc(sizeof *topic);
    topic->log = log;
    topic->info = *info;
    topic->parts = tn_alloc_array((size_t)info->partitions_count, sizeof *topic->parts);
    for (int32_t p = 0; p < info->partitions_count; p++) {
        struct tni_part *part = &topic->parts[p];
        part->topic = topic;
        part->index = (uint32_t)p;
        part->serial = log->next_serial++;
        part->ts_running_max = INT64_MIN;
        pthread_mutex_init(&part->mu, NULL);
    }
    return topic;
}

void tni_topic_free(struct tni_topic *topic)
{
    for (int32_t p = 0; p < topic->info.partitions_count; p++) {
        struct tni_part *part = &topic->parts[p];
        TN_ASSERT(part->tail.count == 0 && !part->waiters); /* readers close before the log */
        while (part->holds) {
            struct tni_hold *hold = part->holds;
            part->holds = hold->next;
            tn_free(hold->holder);
            tn_free(hold);
        }
        tn_free(part->tail.ring);
        pthread_mutex_destroy(&part->mu);
    }
    tn_free(topic->parts);
    tn_free(topic);
}

/* Index of `name` in by_name, or where it belongs. */
static uint32_t name_index(const struct tni_log *log, const char *name, bool *ret_is_found)
{
    uint32_t low = 0, high = log->by_name_count;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        int order = strcmp(log->by_name[mid]->info.name, name);
        if (order == 0) {
            *ret_is_found = true;
            return mid;
        }
        if (order < 0)
            low = mid + 1;
        else
            high = mid;
    }
    *ret_is_found = false;
    return low;
}

/* @locks topics_mu for writing */
static void topic_register(struct tni_log *log, struct tni_topic *topic)
{
    uint32_t id = topic->info.id;
    if (id >= log->topics_cap) {
        uint32_t cap = log->topics_cap ? log->topics_cap : 16;
        while (cap <= id)
            cap *= 2;
        log->topics = tn_realloc(log->topics, cap * sizeof *log->topics);
        memset(log->topics + log->topics_cap, 0, (cap - log->topics_cap) * sizeof *log->topics);
        log->topics_cap = cap;
    }
    log->topics[id] = topic;
    bool is_found;
    uint32_t at = name_index(log, topic->info.name, &is_found);
    TN_ASSERT(!is_found);
    log->by_name =
        tni_grow(log->by_name, &log->by_name_cap, log->by_name_count, sizeof *log->by_name);
    memmove(log->by_name + at + 1, log->by_name + at,
            (log->by_name_count - at) * sizeof *log->by_name);
    log->by_name[at] = topic;
    log->by_name_count++;
}

/* ---- load ---- */

static enum tn_status load_part(struct tni_log *log, struct tni_part *part,
                                const struct tni_iter *index_iter, struct tn_err *err)
{
    char key[TNI_INDEX_KEY_BYTES], *value = NULL;
    size_t len = 0;
    tni_part_key(key, TNI_META_PARTITION, part);
    enum tn_status st = tni_store_get(log->store, TNI_CF_META,
                                      (struct tn_str){key, TNI_PART_KEY_BYTES}, &value, &len, err);
    TN_TRY(st);
    if (st == TN_OK) {
        bool is_good = len == 40;
        if (is_good) {
            part->start = part->end_visible = (int64_t)tn_be64(value);
            part->bytes_removed = part->bytes_total = (int64_t)tn_be64(value + 8);
            part->clean_end = (int64_t)tn_be64(value + 16);
            part->tomb_end = (int64_t)tn_be64(value + 24);
            part->tomb_ms = (int64_t)tn_be64(value + 32);
        }
        tn_free(value);
        if (!is_good)
            return tn_err_set(err, TN_E_CORRUPT, "store: row of topic '%s' partition %u malformed",
                              part->topic->info.name, part->index);
    }
    tni_index_key(key, part, INT64_MAX);
    rocksdb_iter_seek_for_prev(index_iter->it, key, sizeof key);
    if (tni_iter_valid(index_iter) && tni_iter_key(index_iter).len == TNI_INDEX_KEY_BYTES &&
        memcmp(tni_iter_key(index_iter).ptr, key, TNI_PART_KEY_BYTES) == 0) {
        struct tni_index last;
        TN_TRY(tni_index_decode(tni_iter_key(index_iter), tni_iter_value(index_iter), &last, err));
        part->end_visible = last.next;
        part->ts_running_max = last.ts_running_max;
        part->bytes_total = last.bytes_total;
    }
    TN_TRY(tni_iter_status(index_iter, "log index", err));
    part->end_durable =
        part->end_visible; /* what recovery found is on disk or synced with the next write */
    return TN_OK;
}

static enum tn_status load_topic(struct tni_log *log, const struct tni_iter *iter,
                                 const struct tni_iter *index_iter, struct tn_err *err)
{
    struct tn_topic info;
    TN_TRY(topic_row_decode(tni_iter_key(iter), tni_iter_value(iter), &info, err));
    struct tni_topic *topic = topic_new(log, &info);
    topic_register(log, topic);
    if (info.id >= log->next_topic)
        log->next_topic = info.id + 1;
    for (int32_t p = 0; p < info.partitions_count; p++)
        TN_TRY(load_part(log, &topic->parts[p], index_iter, err));
    return TN_OK;
}

enum tn_status tni_topics_load(struct tni_log *log, struct tn_err *err)
{
    const char end[1] = {TNI_META_TOPIC + 1}, next_key[1] = {TNI_META_NEXT_TOPIC};
    char *value = NULL;
    size_t len = 0;
    enum tn_status st =
        tni_store_get(log->store, TNI_CF_META, (struct tn_str){next_key, 1}, &value, &len, err);
    TN_TRY(st);
    if (st == TN_OK) {
        log->next_topic = len == 4 ? tn_be32(value) : 0;
        tn_free(value);
    }
    struct tni_iter iter, index_iter;
    tni_iter_open(log->store, TNI_CF_META, (struct tn_str){end, 1}, &iter);
    tni_iter_open(log->store, TNI_CF_META, (struct tn_str){NULL, 0}, &index_iter);
    const char start[1] = {TNI_META_TOPIC};
    st = TN_OK;
    for (rocksdb_iter_seek(iter.it, start, 1); st == TN_OK && tni_iter_valid(&iter);
         rocksdb_iter_next(iter.it))
        st = load_topic(log, &iter, &index_iter, err);
    if (st == TN_OK)
        st = tni_iter_status(&iter, "topics", err);
    tni_iter_close(&index_iter);
    tni_iter_close(&iter);
    return st;
}

/* ---- port functions ---- */

static enum tn_status check_spec(const struct tn_topic_spec *spec, struct tn_err *err)
{
    size_t len = strlen(spec->name);
    bool is_good = len > 0 && len <= TN_TOPIC_NAME_MAX && strcmp(spec->name, ".") != 0 &&
                   strcmp(spec->name, "..") != 0;
    for (size_t i = 0; is_good && i < len; i++) {
        char c = spec->name[i];
        is_good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '.' || c == '_' || c == '-';
    }
    if (!is_good) {
        tn_err_set(err, TN_E_INVALID, "'%.260s' is not a topic name", spec->name);
        tn_err_hint(err, "use 1 to %d letters, digits, '.', '_' or '-'", TN_TOPIC_NAME_MAX);
        return TN_E_INVALID;
    }
    if (spec->partitions_count < 1 || spec->partitions_count > TN_PARTITIONS_MAX)
        return tn_err_set(err, TN_E_INVALID, "topic '%s': expected 1 to %d partitions, got %d",
                          spec->name, TN_PARTITIONS_MAX, spec->partitions_count);
    if (spec->cleanup < TN_CLEANUP_DELETE || spec->cleanup > TN_CLEANUP_BOTH)
        return tn_err_set(err, TN_E_INVALID, "topic '%s': unknown clean-up policy", spec->name);
    return TN_OK;
}

static const char *cleanup_name(enum tn_cleanup cleanup)
{
    return cleanup == TN_CLEANUP_DELETE    ? "delete"
           : cleanup == TN_CLEANUP_COMPACT ? "compact"
                                           : "compact,delete";
}

static enum tn_status compare_spec(const struct tn_topic *info, const struct tn_topic_spec *spec,
                                   struct tn_err *err)
{
    if (info->partitions_count != spec->partitions_count)
        return tn_err_set(err, TN_E_EXISTS, "topic '%s' exists with %d partitions, not %d",
                          spec->name, info->partitions_count, spec->partitions_count);
    if (info->cleanup != spec->cleanup)
        return tn_err_set(err, TN_E_EXISTS, "topic '%s' exists with clean-up policy %s, not %s",
                          spec->name, cleanup_name(info->cleanup), cleanup_name(spec->cleanup));
    return TN_OK;
}

static enum tn_status write_topic(struct tni_log *log, const struct tn_topic *info,
                                  struct tn_err *err)
{
    char key[TN_TOPIC_NAME_MAX + 1], value[TOPIC_ROW_BYTES], next[4];
    const char next_key[1] = {TNI_META_NEXT_TOPIC};
    size_t key_len = topic_row_key(key, info->name);
    topic_row_encode(value, info);
    tni_put_be32(next, info->id + 1);
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
    rocksdb_writebatch_put_cf(batch, log->store->cf[TNI_CF_META], key, key_len, value,
                              sizeof value);
    rocksdb_writebatch_put_cf(batch, log->store->cf[TNI_CF_META], next_key, 1, next, sizeof next);
    enum tn_status st = tni_store_write(log->store, batch, true, err);
    rocksdb_writebatch_destroy(batch);
    return st;
}

static enum tn_status create_locked(struct tni_log *log, const struct tn_topic_spec *spec,
                                    struct tn_err *err)
{
    bool is_found;
    uint32_t at = name_index(log, spec->name, &is_found);
    if (is_found)
        return compare_spec(&log->by_name[at]->info, spec, err);
    struct tn_topic info = {.id = log->next_topic,
                            .partitions_count = spec->partitions_count,
                            .cleanup = spec->cleanup,
                            .retention_ms = spec->retention_ms,
                            .retention_bytes = spec->retention_bytes};
    memcpy(info.name, spec->name, strlen(spec->name) + 1);
    if (getrandom(info.log_id, sizeof info.log_id, 0) != (ssize_t)sizeof info.log_id)
        return tn_err_set(err, TN_E_IO, "no random bytes for topic '%s': %s", spec->name,
                          strerror(errno));
    TN_TRY(write_topic(log, &info, err));
    log->next_topic++;
    struct tni_topic *topic = topic_new(log, &info);
    pthread_rwlock_wrlock(&log->topics_mu);
    topic_register(log, topic);
    pthread_rwlock_unlock(&log->topics_mu);
    return TN_OK;
}

enum tn_status tni_topic_create(struct tn_log *base, const struct tn_topic_spec *spec,
                                struct tn_err *err)
{
    struct tni_log *log = (struct tni_log *)(void *)base;
    TN_TRY(check_spec(spec, err));
    pthread_mutex_lock(&log->write_mu);
    enum tn_status st = create_locked(log, spec, err);
    pthread_mutex_unlock(&log->write_mu);
    return st;
}

enum tn_status tni_topic_find(struct tn_log *base, const char *name, struct tn_topic *ret_topic,
                              struct tn_err *err)
{
    struct tni_log *log = (struct tni_log *)(void *)base;
    pthread_rwlock_rdlock(&log->topics_mu);
    bool is_found;
    uint32_t at = name_index(log, name, &is_found);
    if (is_found)
        *ret_topic = log->by_name[at]->info;
    pthread_rwlock_unlock(&log->topics_mu);
    return is_found ? TN_OK : tni_log_no_topic(name, err);
}

static enum tn_status erase_topic(struct tni_log *log, const struct tn_topic *info,
                                  struct tn_err *err)
{
    char key[TN_TOPIC_NAME_MAX + 1], from[5], to[5];
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
    rocksdb_column_family_handle_t *meta = log->store->cf[TNI_CF_META];
    rocksdb_writebatch_delete_cf(batch, meta, key, topic_row_key(key, info->name));
    static const char kinds[] = {TNI_META_INDEX, TNI_META_PARTITION, TNI_META_HOLD};
    for (size_t i = 0; i < sizeof kinds; i++) {
        from[0] = to[0] = kinds[i];
        tni_put_be32(from + 1, info->id);
        tni_put_be32(to + 1, info->id + 1);
        rocksdb_writebatch_delete_range_cf(batch, meta, from, 5, to, 5);
    }
    tni_put_be32(from, info->id);
    tni_put_be32(to, info->id + 1);
    rocksdb_writebatch_delete_range_cf(batch, log->store->cf[TNI_CF_LOG], from, 4, to, 4);
    enum tn_status st = tni_store_write(log->store, batch, true, err);
    rocksdb_writebatch_destroy(batch);
    return st;
}

static void wake_readers(struct tni_log *log, struct tni_topic *topic)
{
    struct tni_batch wakes;
    tni_batch_init(&wakes, log, TNI_BATCH_WRITER);
    for (int32_t p = 0; p < topic->info.partitions_count; p++) {
        pthread_mutex_lock(&topic->parts[p].mu);
        tni_waiters_take(&topic->parts[p], &wakes);
        pthread_mutex_unlock(&topic->parts[p].mu);
    }
    tni_waiters_signal(&wakes);
    tni_batch_release(&wakes);
}

/* @locks maintain_mu, write_mu */
static enum tn_status delete_locked(struct tni_log *log, const char *name,
                                    struct tni_topic **ret_topic, struct tn_err *err)
{
    bool is_found;
    uint32_t at = name_index(log, name, &is_found);
    if (!is_found)
        return tni_log_no_topic(name, err);
    struct tni_topic *topic = log->by_name[at];
    TN_TRY(erase_topic(log, &topic->info, err));
    tn_crash_point("topic-delete");
    pthread_rwlock_wrlock(&log->topics_mu);
    atomic_store(&topic->is_deleted, true);
    log->topics[topic->info.id] = NULL;
    memmove(log->by_name + at, log->by_name + at + 1,
            (log->by_name_count - at - 1) * sizeof *log->by_name);
    log->by_name_count--;
    pthread_rwlock_unlock(&log->topics_mu);
    log->graveyard =
        tni_grow(log->graveyard, &log->graveyard_cap, log->graveyard_count, sizeof *log->graveyard);
    log->graveyard[log->graveyard_count++] = topic;
    *ret_topic = topic;
    return TN_OK;
}

enum tn_status tni_topic_delete(struct tn_log *base, const char *name, struct tn_err *err)
{
    struct tni_log *log = (struct tni_log *)(void *)base;
    struct tni_topic *topic = NULL;
    pthread_mutex_lock(&log->maintain_mu);
    pthread_mutex_lock(&log->write_mu);
    enum tn_status st = delete_locked(log, name, &topic, err);
    pthread_mutex_unlock(&log->write_mu);
    pthread_mutex_unlock(&log->maintain_mu);
    if (topic)
        wake_readers(log, topic);
    return st;
}

enum tn_status tni_topic_each(struct tn_log *base,
                              bool (*each)(void *ctx, const struct tn_topic *topic), void *ctx,
                              struct tn_err *err)
{
    struct tni_log *log = (struct tni_log *)(void *)base;
    (void)err;
    pthread_rwlock_rdlock(&log->topics_mu);
    uint32_t count = log->by_name_count;
    struct tn_topic *infos = tn_alloc_array(count, sizeof *infos);
    for (uint32_t i = 0; i < count; i++)
        infos[i] = log->by_name[i]->info;
    pthread_rwlock_unlock(&log->topics_mu);
    for (uint32_t i = 0; i < count && each(ctx, &infos[i]); i++)
        ;
    tn_free(infos);
    return TN_OK;
}
