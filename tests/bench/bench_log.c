/* In-memory source and swallowing sinks: see bench_log.h. */
#include "tests/bench/bench_log.h"

#include <pthread.h>
#include <stdio.h>

#include "stream/base/hash.h"
#include "stream/base/mem.h"
#include "stream/batch.h"

#define TOPICS_MAX     512
#define PARTITIONS_MAX 16
#define POSITIONS_MAX  8192

/* Records of a partition that is kept: those of segment i begin at base. */
struct kept {
    struct segment {
        struct tn_records *records;
        int64_t base;
    } * segments;
    uint32_t count, cap;
};

struct bench_topic {
    struct tn_topic info;
    bool is_source, is_kept;
    int64_t ends[PARTITIONS_MAX];
    struct kept kept[PARTITIONS_MAX];
    int64_t records, bytes;
};

struct position {
    char *key, *value;
    size_t key_len, value_len;
};

/* Events of one partition, when there are several. */
struct share {
    uint64_t *items;
    uint64_t count;
};

struct bench_log {
    struct tn_log base;
    struct share shares[PARTITIONS_MAX];
    pthread_mutex_t lock;
    const struct events *events;
    int32_t partitions_count;
    struct bench_topic topics[TOPICS_MAX];
    uint32_t topics_count;
    struct position positions[POSITIONS_MAX];
    size_t positions_count;
};

struct tn_log_reader {
    struct bench_log *log;
};

struct slot {
    struct bench_topic *topic;
    int32_t partition;
    uint32_t count;
    int64_t base;
    struct tn_records *records; /* of a topic that is kept */
};

struct tn_log_txn {
    struct bench_log *log;
    struct slot *slots;
    uint32_t slots_count, slots_cap;
    struct position *positions;
    size_t positions_count, positions_cap;
    bool is_committed;
};

static struct bench_topic *find_topic(struct bench_log *log, const char *name)
{
    for (uint32_t i = 0; i < log->topics_count; i++)
        if (strcmp(log->topics[i].info.name, name) == 0)
            return &log->topics[i];
    return NULL;
}

static struct bench_topic *add_topic(struct bench_log *log, const char *name,
                                     int32_t partitions_count, enum tn_cleanup cleanup)
{
    TN_ASSERT(log->topics_count < TOPICS_MAX && partitions_count <= PARTITIONS_MAX);
    struct bench_topic *topic = &log->topics[log->topics_count];
    topic->info = (struct tn_topic){.id = log->topics_count,
                                    .log_id = {(uint8_t)(log->topics_count + 1)},
                                    .partitions_count = partitions_count,
                                    .cleanup = cleanup,
                                    .retention_ms = -1,
                                    .retention_bytes = -1};
    snprintf(topic->info.name, sizeof topic->info.name, "%s", name);
    topic->is_kept = strstr(name, "repartition") != NULL;
    log->topics_count++;
    return topic;
}

static enum tn_status bench_topic_create(struct tn_log *base, const struct tn_topic_spec *spec,
                                         struct tn_err *err)
{
    struct bench_log *log = (struct bench_log *)base;
    (void)err;
    if (!find_topic(log, spec->name))
        add_topic(log, spec->name, spec->partitions_count, spec->cleanup);
    return TN_OK;
}

static enum tn_status bench_topic_find(struct tn_log *base, const char *name,
                                       struct tn_topic *ret_topic, struct tn_err *err)
{
    struct bench_topic *topic = find_topic((struct bench_log *)base, name);
    (void)err;
    if (!topic)
        return TN_NOT_FOUND;
    *ret_topic = topic->info;
    return TN_OK;
}

static enum tn_status bench_topic_delete(struct tn_log *base, const char *name, struct tn_err *err)
{
    (void)base;
    return tn_err_set(err, TN_E_UNSUPPORTED, "the benchmark log keeps topic '%s'", name);
}

static enum tn_status bench_topic_each(struct tn_log *base,
                                       bool (*each)(void *ctx, const struct tn_topic *topic),
                                       void *ctx, struct tn_err *err)
{
    struct bench_log *log = (struct bench_log *)base;
    (void)err;
    for (uint32_t i = 0; i < log->topics_count; i++)
        if (!each(ctx, &log->topics[i].info))
            break;
    return TN_OK;
}

static enum tn_status bench_offsets(struct tn_log *base, const struct tn_topic *topic,
                                    int32_t partition, struct tn_offsets *ret_offsets,
                                    struct tn_err *err)
{
    struct bench_log *log = (struct bench_log *)base;
    (void)err;
    pthread_mutex_lock(&log->lock);
    int64_t end = log->topics[topic->id].ends[partition];
    pthread_mutex_unlock(&log->lock);
    *ret_offsets = (struct tn_offsets){.end_visible = end, .end_durable = end, .bytes = -1};
    return TN_OK;
}

static enum tn_status bench_offset_at(struct tn_log *base, const struct tn_topic *topic,
                                      int32_t partition, int64_t timestamp_ms, int64_t *ret_offset,
                                      struct tn_err *err)
{
    (void)base, (void)topic, (void)partition, (void)timestamp_ms, (void)err;
    *ret_offset = 0;
    return TN_OK;
}

static enum tn_status bench_reader_open(struct tn_log *base, struct tn_wake *wake,
                                        struct tn_log_reader **ret_reader, struct tn_err *err)
{
    (void)wake, (void)err;
    *ret_reader = tn_alloc(sizeof **ret_reader);
    (*ret_reader)->log = (struct bench_log *)base;
    return TN_OK;
}

static void bench_reader_close(struct tn_log_reader *reader)
{
    tn_free(reader);
}

/* Text of the member "song": every event has it, without escapes. */
static struct tn_str song_of(struct tn_str event)
{
    const char *from = memmem(event.ptr, event.len, "\"song\":\"", 8);
    TN_ASSERT(from);
    from += 8;
    return (struct tn_str){from, (size_t)((const char *)memchr(from, '"', 20) - from)};
}

static void share_out(struct bench_log *log)
{
    for (int32_t p = 0; p < log->partitions_count; p++)
        log->shares[p].items = tn_alloc_array(log->events->count, sizeof(uint64_t));
    for (uint64_t i = 0; i < log->events->count; i++) {
        struct tn_str song = song_of(log->events->items[i]);
        struct share *share =
            &log->shares[tn_partition_of(song.ptr, song.len, log->partitions_count)];
        share->items[share->count++] = i;
    }
}

/* The rest of the segment that holds `offset`. */
static struct tn_records *read_kept(const struct kept *kept, int64_t offset)
{
    uint32_t low = 0, high = kept->count - 1;
    while (low < high) {
        uint32_t middle = (low + high + 1) / 2;
        if (kept->segments[middle].base <= offset)
            low = middle;
        else
            high = middle - 1;
    }
    struct tn_records *records = kept->segments[low].records;
    TN_ASSERT(records->offsets[0] == offset); /* readers take whole segments */
    return tn_records_ref(records);
}

static void keep(struct kept *kept, struct tn_records *records, int64_t base)
{
    if (kept->count == kept->cap) {
        kept->cap = kept->cap ? kept->cap * 2 : 16;
        kept->segments = tn_realloc(kept->segments, kept->cap * sizeof *kept->segments);
    }
    for (uint32_t i = 0; i < records->count; i++)
        records->offsets[i] = base + i;
    kept->segments[kept->count++] = (struct segment){records, base};
}

static enum tn_status bench_read(struct tn_log_reader *reader, const struct tn_topic *topic,
                                 int32_t partition, int64_t offset, size_t bytes_max,
                                 struct tn_read *ret_read, struct tn_err *err)
{
    struct bench_log *log = reader->log;
    struct bench_topic *from = &log->topics[topic->id];
    int64_t end = from->ends[partition];
    (void)err, (void)bytes_max;
    *ret_read = (struct tn_read){NULL, offset, end};
    if (offset >= end)
        return TN_AGAIN;
    if (from->is_kept) {
        ret_read->records = read_kept(&from->kept[partition], offset);
        ret_read->next = offset + ret_read->records->count;
        return TN_OK;
    }
    TN_ASSERT(from->is_source);
    int64_t left = end - offset;
    uint32_t count = left < TN_BATCH_ROWS_MAX ? (uint32_t)left : TN_BATCH_ROWS_MAX;
    struct tn_records *records = tn_records_new(count);
    for (uint32_t i = 0; i < count; i++) {
        const struct share *share = &log->shares[partition];
        int64_t at = share->items ? (int64_t)share->items[offset + i] : offset + i;
        records->values[i] = log->events->items[at];
        records->keys[i] = share->items ? song_of(log->events->items[at]) : (struct tn_str){0};
        records->timestamps_ms[i] = 1700000000000 + at / 1000;
        records->offsets[i] = offset + i;
        records->bytes += log->events->items[at].len;
    }
    ret_read->records = records;
    ret_read->next = offset + count;
    return TN_OK;
}

static void bench_append(struct tn_log *base, const struct tn_topic *topic, int32_t partition,
                         struct tn_records *records, tn_append_done done, void *ctx)
{
    struct bench_log *log = (struct bench_log *)base;
    pthread_mutex_lock(&log->lock);
    int64_t at = log->topics[topic->id].ends[partition];
    log->topics[topic->id].ends[partition] += records->count;
    pthread_mutex_unlock(&log->lock);
    done(ctx, TN_OK, at, NULL);
}

static enum tn_status bench_begin(struct tn_log *base, struct tn_log_txn **ret_txn,
                                  struct tn_err *err)
{
    (void)err;
    *ret_txn = tn_alloc(sizeof **ret_txn);
    (*ret_txn)->log = (struct bench_log *)base;
    return TN_OK;
}

static enum tn_status bench_txn_append(struct tn_log_txn *txn, const struct tn_topic *topic,
                                       int32_t partition, struct tn_records *records,
                                       uint32_t *ret_slot, struct tn_err *err)
{
    (void)err;
    if (txn->slots_count == txn->slots_cap) {
        txn->slots_cap = txn->slots_cap ? txn->slots_cap * 2 : 16;
        txn->slots = tn_realloc(txn->slots, txn->slots_cap * sizeof *txn->slots);
    }
    struct bench_topic *to = &txn->log->topics[topic->id];
    txn->slots[txn->slots_count] = (struct slot){to, partition, records->count, 0,
                                                 to->is_kept ? tn_records_ref(records) : NULL};
    to->records += records->count;
    to->bytes += (int64_t)records->bytes;
    *ret_slot = txn->slots_count++;
    return TN_OK;
}

static enum tn_status bench_txn_position(struct tn_log_txn *txn, struct tn_str key,
                                         struct tn_str value, struct tn_err *err)
{
    (void)err;
    if (txn->positions_count == txn->positions_cap) {
        txn->positions_cap = txn->positions_cap ? txn->positions_cap * 2 : 16;
        txn->positions = tn_realloc(txn->positions, txn->positions_cap * sizeof *txn->positions);
    }
    txn->positions[txn->positions_count++] =
        (struct position){tn_strndup(key.ptr, key.len),
                          value.ptr ? tn_strndup(value.ptr, value.len) : NULL, key.len, value.len};
    return TN_OK;
}

static void put_position(struct bench_log *log, struct position *position)
{
    for (size_t i = 0; i < log->positions_count; i++) {
        struct position *old = &log->positions[i];
        if (old->key_len == position->key_len &&
            memcmp(old->key, position->key, old->key_len) == 0) {
            tn_free(old->key);
            tn_free(old->value);
            *old = *position;
            return;
        }
    }
    TN_ASSERT(log->positions_count < POSITIONS_MAX);
    log->positions[log->positions_count++] = *position;
}

static enum tn_status bench_commit_start(struct tn_log_txn *txn, struct tn_wake *wake,
                                         struct tn_err *err)
{
    struct bench_log *log = txn->log;
    (void)err;
    pthread_mutex_lock(&log->lock);
    for (uint32_t i = 0; i < txn->slots_count; i++) {
        struct slot *slot = &txn->slots[i];
        slot->base = slot->topic->ends[slot->partition];
        slot->topic->ends[slot->partition] += slot->count;
        if (slot->records)
            keep(&slot->topic->kept[slot->partition], slot->records, slot->base);
    }
    for (size_t i = 0; i < txn->positions_count; i++)
        put_position(log, &txn->positions[i]);
    txn->positions_count = 0;
    pthread_mutex_unlock(&log->lock);
    txn->is_committed = true;
    if (wake)
        wake->signal(wake);
    return TN_OK;
}

static enum tn_status bench_commit_poll(struct tn_log_txn *txn, struct tn_err *err)
{
    (void)txn, (void)err;
    return TN_OK;
}

static int64_t bench_txn_offset(const struct tn_log_txn *txn, uint32_t slot)
{
    return txn->slots[slot].base;
}

static void bench_txn_close(struct tn_log_txn *txn)
{
    if (!txn)
        return;
    for (size_t i = 0; i < txn->positions_count; i++) {
        tn_free(txn->positions[i].key);
        tn_free(txn->positions[i].value);
    }
    tn_free(txn->positions);
    tn_free(txn->slots);
    tn_free(txn);
}

static enum tn_status bench_positions(struct tn_log *base, struct tn_str prefix,
                                      enum tn_status (*each)(void *ctx, struct tn_str key,
                                                             struct tn_str value,
                                                             struct tn_err *err),
                                      void *ctx, struct tn_err *err)
{
    struct bench_log *log = (struct bench_log *)base;
    for (size_t i = 0; i < log->positions_count; i++) {
        struct position *position = &log->positions[i];
        if (!position->value || position->key_len < prefix.len ||
            memcmp(position->key, prefix.ptr, prefix.len) != 0)
            continue;
        TN_TRY(each(ctx, (struct tn_str){position->key, position->key_len},
                    (struct tn_str){position->value, position->value_len}, err));
    }
    return TN_OK;
}

static enum tn_status bench_sync(struct tn_log *base, struct tn_err *err)
{
    (void)base, (void)err;
    return TN_OK;
}

static void bench_close(struct tn_log *base)
{
    (void)base;
}

static const struct tn_log_type bench_log_type = {
    .name = "bench",
    .commits_state = true,
    .topic_create = bench_topic_create,
    .topic_find = bench_topic_find,
    .topic_delete = bench_topic_delete,
    .topic_each = bench_topic_each,
    .offsets = bench_offsets,
    .offset_at = bench_offset_at,
    .reader_open = bench_reader_open,
    .reader_close = bench_reader_close,
    .read = bench_read,
    .append = bench_append,
    .begin = bench_begin,
    .txn_append = bench_txn_append,
    .txn_position = bench_txn_position,
    .commit_start = bench_commit_start,
    .commit_poll = bench_commit_poll,
    .txn_offset = bench_txn_offset,
    .txn_close = bench_txn_close,
    .positions = bench_positions,
    .sync = bench_sync,
    .close = bench_close,
};

struct tn_log *bench_log_new(const char *name, const struct events *events,
                             int32_t partitions_count)
{
    struct bench_log *log = tn_alloc(sizeof *log);
    log->base.type = &bench_log_type;
    pthread_mutex_init(&log->lock, NULL);
    log->events = events;
    log->partitions_count = partitions_count;
    struct bench_topic *source = add_topic(log, name, partitions_count, TN_CLEANUP_DELETE);
    source->is_source = true;
    if (partitions_count > 1)
        share_out(log);
    for (int32_t p = 0; p < partitions_count; p++)
        source->ends[p] = (int64_t)(partitions_count > 1 ? log->shares[p].count : events->count);
    return &log->base;
}

static void free_kept(struct kept *kept)
{
    for (uint32_t i = 0; i < kept->count; i++)
        tn_records_unref(kept->segments[i].records);
    tn_free(kept->segments);
}

void bench_log_free(struct tn_log *base)
{
    struct bench_log *log = (struct bench_log *)base;
    for (size_t i = 0; i < log->positions_count; i++) {
        tn_free(log->positions[i].key);
        tn_free(log->positions[i].value);
    }
    for (int32_t p = 0; p < log->partitions_count; p++)
        tn_free(log->shares[p].items);
    for (uint32_t t = 0; t < log->topics_count; t++)
        for (int32_t p = 0; p < PARTITIONS_MAX; p++)
            free_kept(&log->topics[t].kept[p]);
    pthread_mutex_destroy(&log->lock);
    tn_free(log);
}

void bench_log_swallowed(struct tn_log *base, const char *suffix, int64_t *ret_records,
                         int64_t *ret_bytes)
{
    struct bench_log *log = (struct bench_log *)base;
    *ret_records = *ret_bytes = 0;
    for (uint32_t i = 0; i < log->topics_count; i++) {
        size_t len = strlen(log->topics[i].info.name), n = strlen(suffix);
        if (log->topics[i].is_source || len < n ||
            strcasecmp(log->topics[i].info.name + len - n, suffix) != 0)
            continue;
        *ret_records += log->topics[i].records;
        *ret_bytes += log->topics[i].bytes;
    }
}
