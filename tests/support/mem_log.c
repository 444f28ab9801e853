/* In-memory log (mem_log.h).
 *
 * HOW IT WORKS: a partition is an array of entries in offset order. An entry is committed, pending
 * (its transaction is open) or dead (aborted, control, compacted). Every operation that changes the
 * log takes the next sequence number; `durable_seq` is the last one a crash cannot take back.
 * Positions keep their history for the same reason.
 */
#include "tests/support/mem_log.h"

#include <pthread.h>

#include "stream/base/mem.h"

#define TOPICS_MAX  256
#define READERS_MAX 256
#define ROWS_MAX    4096 /* TN_BATCH_ROWS_MAX */

enum entry_state { ENTRY_COMMITTED, ENTRY_PENDING, ENTRY_DEAD };

static const char lost_marker; /* owner of entries whose control record was lost */

struct entry {
    int64_t offset, timestamp_ms;
    int64_t seq; /* operation that made it visible (or dead) */
    enum entry_state state;
    const void *owner; /* PENDING: our transaction; NULL = a foreign one of the tests */
    char *key, *value;
    size_t key_len, value_len;
    struct tn_records *headers; /* the records it came with, when they have headers; else NULL */
    uint32_t headers_at;
};

struct partition {
    struct entry *entries;
    size_t count, cap;
    int64_t next_offset, start;
};

struct topic {
    struct tn_topic info;
    struct partition *partitions;
    bool is_deleted;
};

struct position {
    char *key, *value;
    size_t key_len, value_len;
    int64_t seq;
};

struct mem_log {
    struct tn_log base;
    struct tn_log_type type; /* own copy: commits_state differs */
    pthread_mutex_t lock;
    struct topic topics[TOPICS_MAX];
    uint32_t topics_count;
    struct position *positions;
    size_t positions_count, positions_cap;
    struct tn_wake *wakes[READERS_MAX]; /* of open readers */
    int64_t seq, durable_seq;
    uint64_t topics_version;
    bool is_shared;         /* several producers: more than one transaction at a time */
    struct tn_log_txn *txn; /* the open one */
    tn_mem_fault_fn fault;
    void *fault_ctx;
};

struct tn_log_reader {
    struct mem_log *log;
    uint32_t slot;
};

struct append_op {
    struct topic *topic;
    int32_t partition;
    struct tn_records *records;
    int64_t base_offset;
};

struct tn_log_txn {
    struct mem_log *log;
    struct append_op *ops;
    uint32_t ops_count, ops_cap;
    struct position *positions;
    size_t positions_count, positions_cap;
    bool is_written; /* entries are in the partitions, pending */
    bool is_settled;
};

static struct mem_log *mem(struct tn_log *log)
{
    return (struct mem_log *)(void *)log;
}

static struct tn_mem_fault fault_at(struct mem_log *log, enum tn_mem_call call)
{
    struct tn_mem_fault none = {.st = TN_OK};
    return log->fault ? log->fault(log->fault_ctx, call) : none;
}

/* Fails the call when the hook says so. */
static enum tn_status fault_check(struct mem_log *log, enum tn_mem_call call, const char *what,
                                  struct tn_err *err)
{
    struct tn_mem_fault f = fault_at(log, call);
    if (f.st == TN_OK)
        return TN_OK;
    enum tn_status st = tn_err_set(err, f.st, "injected fault at %s", what);
    if (err)
        err->retriable = f.st != TN_E_FENCED;
    return st;
}

static char *copy_bytes(struct tn_str s)
{
    return s.ptr ? tn_strndup(s.ptr, s.len) : NULL;
}

static struct topic *find_topic(struct mem_log *log, const char *name)
{
    for (uint32_t i = 0; i < log->topics_count; i++)
        if (!log->topics[i].is_deleted && strcmp(log->topics[i].info.name, name) == 0)
            return &log->topics[i];
    return NULL;
}

/* Of the topic itself, not of a later one of the same name. NULL: gone. */
static struct partition *partition_of(struct mem_log *log, const struct tn_topic *topic, int32_t p)
{
    struct topic *t = find_topic(log, topic->name);
    if (!t || t->info.id != topic->id || p < 0 || p >= t->info.partitions_count)
        return NULL;
    return &t->partitions[p];
}

static struct partition *partition_at(struct mem_log *log, const char *name, int32_t p)
{
    struct topic *t = find_topic(log, name);
    TN_ASSERT(t && p >= 0 && p < t->info.partitions_count);
    return &t->partitions[p];
}

static struct entry *add_entry(struct partition *part, struct tn_str key, struct tn_str value,
                               int64_t timestamp_ms, enum entry_state state, int64_t seq)
{
    if (part->count == part->cap) {
        part->cap = part->cap ? part->cap * 2 : 64;
        part->entries = tn_realloc(part->entries, part->cap * sizeof *part->entries);
    }
    struct entry *e = &part->entries[part->count++];
    *e = (struct entry){.offset = part->next_offset++,
                        .timestamp_ms = timestamp_ms,
                        .seq = seq,
                        .state = state,
                        .key = copy_bytes(key),
                        .key_len = key.len,
                        .value = copy_bytes(value),
                        .value_len = value.len};
    return e;
}

static void add_control(struct partition *part, int64_t seq)
{
    add_entry(part, (struct tn_str){0}, (struct tn_str){0}, 0, ENTRY_DEAD, seq);
}

/* Last stable offset: the first pending entry, else the end. */
static int64_t end_visible(const struct partition *part)
{
    for (size_t i = 0; i < part->count; i++)
        if (part->entries[i].state == ENTRY_PENDING)
            return part->entries[i].offset;
    return part->next_offset;
}

static void signal_all(struct mem_log *log)
{
    for (uint32_t i = 0; i < READERS_MAX; i++)
        if (log->wakes[i])
            log->wakes[i]->signal(log->wakes[i]);
}

/* ---- topics ---- */

static enum tn_status do_create(struct mem_log *log, const struct tn_topic_spec *spec,
                                struct tn_err *err)
{
    struct topic *t = find_topic(log, spec->name);
    if (t) {
        if (t->info.partitions_count == spec->partitions_count && t->info.cleanup == spec->cleanup)
            return TN_OK;
        return tn_err_set(err, TN_E_EXISTS, "topic '%s' exists with %d partitions", spec->name,
                          t->info.partitions_count);
    }
    if (strlen(spec->name) > TN_TOPIC_NAME_MAX || spec->partitions_count < 1 ||
        log->topics_count == TOPICS_MAX)
        return tn_err_set(err, TN_E_INVALID, "topic '%.40s…' has a bad name or size", spec->name);
    t = &log->topics[log->topics_count];
    *t = (struct topic){.info = {.id = log->topics_count,
                                 .partitions_count = spec->partitions_count,
                                 .cleanup = spec->cleanup,
                                 .retention_ms = spec->retention_ms,
                                 .retention_bytes = spec->retention_bytes}};
    memcpy(t->info.name, spec->name, strlen(spec->name) + 1);
    log->topics_count++;
    memcpy(t->info.log_id, &log->topics_count, sizeof log->topics_count);
    t->partitions = tn_alloc_array((size_t)spec->partitions_count, sizeof *t->partitions);
    return TN_OK;
}

static enum tn_status mem_topic_create(struct tn_log *base, const struct tn_topic_spec *spec,
                                       struct tn_err *err)
{
    struct mem_log *log = mem(base);
    TN_TRY(fault_check(log, TN_MEM_TOPIC_CREATE, "topic create", err));
    pthread_mutex_lock(&log->lock);
    enum tn_status st = do_create(log, spec, err);
    pthread_mutex_unlock(&log->lock);
    return st;
}

static enum tn_status mem_topic_find(struct tn_log *base, const char *name,
                                     struct tn_topic *ret_topic, struct tn_err *err)
{
    struct mem_log *log = mem(base);
    TN_TRY(fault_check(log, TN_MEM_TOPIC_FIND, "topic find", err));
    pthread_mutex_lock(&log->lock);
    struct topic *t = find_topic(log, name);
    if (t)
        *ret_topic = t->info;
    pthread_mutex_unlock(&log->lock);
    return t ? TN_OK : TN_NOT_FOUND;
}

static void free_entries(struct partition *part, size_t from)
{
    for (size_t i = from; i < part->count; i++) {
        tn_free(part->entries[i].key);
        tn_free(part->entries[i].value);
        tn_records_unref(part->entries[i].headers);
    }
    part->count = from;
}

static void free_partitions(struct topic *t)
{
    for (int32_t p = 0; p < t->info.partitions_count; p++) {
        free_entries(&t->partitions[p], 0);
        tn_free(t->partitions[p].entries);
    }
    tn_free(t->partitions);
    t->partitions = NULL;
}

static enum tn_status mem_topic_delete(struct tn_log *base, const char *name, struct tn_err *err)
{
    struct mem_log *log = mem(base);
    TN_TRY(fault_check(log, TN_MEM_TOPIC_DELETE, "topic delete", err));
    pthread_mutex_lock(&log->lock);
    struct topic *t = find_topic(log, name);
    if (t) {
        t->is_deleted = true;
        free_partitions(t);
    }
    pthread_mutex_unlock(&log->lock);
    return t ? TN_OK : TN_NOT_FOUND;
}

static enum tn_status mem_topic_each(struct tn_log *base,
                                     bool (*each)(void *ctx, const struct tn_topic *topic),
                                     void *ctx, struct tn_err *err)
{
    struct mem_log *log = mem(base);
    TN_TRY(fault_check(log, TN_MEM_TOPIC_EACH, "topic each", err));
    const struct tn_topic *sorted[TOPICS_MAX];
    size_t count = 0;
    pthread_mutex_lock(&log->lock);
    for (uint32_t i = 0; i < log->topics_count; i++) {
        if (log->topics[i].is_deleted)
            continue;
        size_t at = count++;
        for (; at && strcmp(sorted[at - 1]->name, log->topics[i].info.name) > 0; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = &log->topics[i].info;
    }
    pthread_mutex_unlock(&log->lock);
    for (size_t i = 0; i < count; i++)
        if (!each(ctx, sorted[i]))
            break;
    return TN_OK;
}

static enum tn_status mem_offsets(struct tn_log *base, const struct tn_topic *topic, int32_t p,
                                  struct tn_offsets *ret_offsets, struct tn_err *err)
{
    struct mem_log *log = mem(base);
    TN_TRY(fault_check(log, TN_MEM_OFFSETS, "offsets", err));
    pthread_mutex_lock(&log->lock);
    struct topic *t = find_topic(log, topic->name);
    if (t && t->info.id == topic->id && p < t->info.partitions_count) {
        struct partition *part = &t->partitions[p];
        int64_t end = end_visible(part), durable = part->next_offset;
        for (size_t i = part->count; i-- && part->entries[i].seq > log->durable_seq;)
            durable = part->entries[i].offset;
        *ret_offsets = (struct tn_offsets){.start = part->start,
                                           .end_visible = end,
                                           .end_written = part->next_offset,
                                           .end_durable = durable < end ? durable : end,
                                           .bytes = -1};
    } else {
        t = NULL;
    }
    pthread_mutex_unlock(&log->lock);
    return t ? TN_OK : TN_NOT_FOUND;
}

static enum tn_status mem_offset_at(struct tn_log *base, const struct tn_topic *topic, int32_t p,
                                    int64_t timestamp_ms, int64_t *ret_offset, struct tn_err *err)
{
    struct mem_log *log = mem(base);
    TN_TRY(fault_check(log, TN_MEM_OFFSETS, "offset at", err));
    pthread_mutex_lock(&log->lock);
    struct partition *part = partition_of(log, topic, p);
    int64_t end = part ? end_visible(part) : 0, found = end;
    for (size_t i = part ? part->count : 0; i--;) {
        const struct entry *e = &part->entries[i];
        if (e->offset < end && e->state == ENTRY_COMMITTED && e->timestamp_ms >= timestamp_ms)
            found = e->offset;
    }
    pthread_mutex_unlock(&log->lock);
    if (!part)
        return TN_NOT_FOUND;
    *ret_offset = found;
    return TN_OK;
}

/* ---- readers ---- */

static enum tn_status mem_reader_open(struct tn_log *base, struct tn_wake *wake,
                                      struct tn_log_reader **ret_reader, struct tn_err *err)
{
    struct mem_log *log = mem(base);
    TN_TRY(fault_check(log, TN_MEM_READER_OPEN, "reader open", err));
    struct tn_log_reader *reader = tn_alloc(sizeof *reader);
    reader->log = log;
    reader->slot = READERS_MAX;
    pthread_mutex_lock(&log->lock);
    for (uint32_t i = 0; wake && i < READERS_MAX; i++) {
        if (log->wakes[i])
            continue;
        log->wakes[i] = wake;
        reader->slot = i;
        break;
    }
    pthread_mutex_unlock(&log->lock);
    TN_ASSERT(!wake || reader->slot < READERS_MAX);
    *ret_reader = reader;
    return TN_OK;
}

static void mem_reader_close(struct tn_log_reader *reader)
{
    if (!reader)
        return;
    pthread_mutex_lock(&reader->log->lock);
    if (reader->slot < READERS_MAX)
        reader->log->wakes[reader->slot] = NULL;
    pthread_mutex_unlock(&reader->log->lock);
    tn_free(reader);
}

/* First index whose offset is at or after `offset`. */
static size_t lower_bound(const struct partition *part, int64_t offset)
{
    size_t low = 0, high = part->count;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (part->entries[mid].offset < offset)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static struct tn_str arena_bytes(struct tn_arena *arena, const char *ptr, size_t len)
{
    return tn_arena_str(arena, (struct tn_str){ptr, ptr ? len : 0});
}

static void copy_headers(struct tn_records *records, uint32_t i, const struct entry *e)
{
    if (!records->headers)
        records->headers = TN_ARENA_ARRAY(&records->arena, struct tn_headers, records->count);
    const struct tn_headers *from = &e->headers->headers[e->headers_at];
    struct tn_header *items = TN_ARENA_ARRAY(&records->arena, struct tn_header, from->count);
    for (uint32_t h = 0; h < from->count; h++)
        items[h] = (struct tn_header){tn_arena_str(&records->arena, from->items[h].key),
                                      tn_arena_str(&records->arena, from->items[h].value)};
    records->headers[i] = (struct tn_headers){from->count, items};
}

static struct tn_records *copy_entries(const struct partition *part, const size_t *picked,
                                       uint32_t count)
{
    struct tn_records *records = tn_records_new(count);
    for (uint32_t i = 0; i < count; i++) {
        const struct entry *e = &part->entries[picked[i]];
        records->keys[i] = arena_bytes(&records->arena, e->key, e->key_len);
        records->values[i] = arena_bytes(&records->arena, e->value, e->value_len);
        records->timestamps_ms[i] = e->timestamp_ms;
        records->offsets[i] = e->offset;
        records->bytes += e->key_len + e->value_len;
        if (e->headers)
            copy_headers(records, i, e);
    }
    return records;
}

static enum tn_status do_read(struct partition *part, int64_t offset, size_t bytes_max,
                              uint32_t rows_max, struct tn_read *ret_read, struct tn_err *err)
{
    if (offset < part->start || offset > part->next_offset)
        return tn_err_set(err, TN_E_INVALID, "offset out of range: %lld is not in %lld … %lld",
                          (long long)offset, (long long)part->start, (long long)part->next_offset);
    size_t picked[ROWS_MAX];
    uint32_t count = 0;
    size_t bytes = 0, i = lower_bound(part, offset);
    int64_t end = end_visible(part), next = offset;
    for (; i < part->count && part->entries[i].offset < end; i++) {
        const struct entry *e = &part->entries[i];
        if (e->state == ENTRY_COMMITTED) {
            size_t size = e->key_len + e->value_len;
            if (count == rows_max || (count && bytes + size > bytes_max))
                break;
            picked[count++] = i;
            bytes += size;
        }
        next = e->offset + 1;
    }
    *ret_read = (struct tn_read){.records = count ? copy_entries(part, picked, count) : NULL,
                                 .next = next,
                                 .end_visible = end};
    return count ? TN_OK : TN_AGAIN;
}

static enum tn_status mem_read(struct tn_log_reader *reader, const struct tn_topic *topic,
                               int32_t p, int64_t offset, size_t bytes_max,
                               struct tn_read *ret_read, struct tn_err *err)
{
    struct mem_log *log = reader->log;
    struct tn_mem_fault f = fault_at(log, TN_MEM_READ);
    if (tn_failed(f.st))
        return tn_err_set(err, f.st, "injected fault at read");
    pthread_mutex_lock(&log->lock);
    enum tn_status st = TN_NOT_FOUND;
    struct topic *t = find_topic(log, topic->name);
    if (t && t->info.id == topic->id && p < t->info.partitions_count) {
        struct partition *part = &t->partitions[p];
        uint32_t rows_max = f.rows_max && f.rows_max < ROWS_MAX ? f.rows_max : ROWS_MAX;
        if (f.st == TN_AGAIN) {
            *ret_read = (struct tn_read){.next = offset, .end_visible = end_visible(part)};
            st = TN_AGAIN;
        } else {
            st = do_read(part, offset, bytes_max, rows_max, ret_read, err);
        }
    }
    pthread_mutex_unlock(&log->lock);
    return st;
}

/* ---- appends and transactions ---- */

static int64_t write_records(struct partition *part, const struct tn_records *records,
                             enum entry_state state, int64_t seq, const void *owner)
{
    int64_t base_offset = part->next_offset;
    for (uint32_t i = 0; i < records->count; i++) {
        struct entry *e = add_entry(part, records->keys[i], records->values[i],
                                    records->timestamps_ms[i], state, seq);
        e->owner = owner;
        e->headers = records->headers ? tn_records_ref(records) : NULL;
        e->headers_at = i;
    }
    return base_offset;
}

static void mem_append(struct tn_log *base, const struct tn_topic *topic, int32_t p,
                       struct tn_records *records, tn_append_done done, void *ctx)
{
    struct mem_log *log = mem(base);
    struct tn_err err = TN_ERR_INIT;
    enum tn_status st = fault_check(log, TN_MEM_APPEND, "append", &err);
    int64_t base_offset = -1;
    for (uint32_t i = 0; st == TN_OK && i < records->count; i++)
        if (records->keys[i].len + records->values[i].len > TN_RECORD_BYTES_MAX)
            st = tn_err_set(&err, TN_E_LIMIT, "record of %zu bytes for topic '%s' is too large",
                            records->keys[i].len + records->values[i].len, topic->name);
    if (st == TN_OK) {
        pthread_mutex_lock(&log->lock);
        struct partition *part = partition_of(log, topic, p);
        if (part) {
            base_offset = write_records(part, records, ENTRY_COMMITTED, ++log->seq, NULL);
            log->durable_seq = log->seq; /* an acknowledged append is durable */
            signal_all(log);
        } else {
            st = tn_err_set(&err, TN_E_NAME, "no partition %d of topic '%s'", p, topic->name);
        }
        pthread_mutex_unlock(&log->lock);
    }
    done(ctx, st, base_offset, &err);
}

static enum tn_status mem_begin(struct tn_log *base, struct tn_log_txn **ret_txn,
                                struct tn_err *err)
{
    struct mem_log *log = mem(base);
    TN_TRY(fault_check(log, TN_MEM_BEGIN, "begin", err));
    pthread_mutex_lock(&log->lock);
    struct tn_log_txn *txn = log->txn && !log->is_shared ? NULL : tn_alloc(sizeof *txn);
    if (txn) {
        txn->log = log;
        log->txn = txn;
    }
    pthread_mutex_unlock(&log->lock);
    if (!txn)
        return tn_err_set(err, TN_E_BUSY, "a transaction is open already");
    *ret_txn = txn;
    return TN_OK;
}

static enum tn_status mem_txn_append(struct tn_log_txn *txn, const struct tn_topic *topic,
                                     int32_t p, struct tn_records *records, uint32_t *ret_slot,
                                     struct tn_err *err)
{
    TN_TRY(fault_check(txn->log, TN_MEM_TXN_APPEND, "transactional append", err));
    TN_ASSERT(!txn->is_settled && !txn->is_written);
    pthread_mutex_lock(&txn->log->lock);
    struct topic *t = find_topic(txn->log, topic->name);
    pthread_mutex_unlock(&txn->log->lock);
    if (!t || p < 0 || p >= t->info.partitions_count)
        return tn_err_set(err, TN_E_NAME, "no partition %d of topic '%s'", p, topic->name);
    if (txn->ops_count == txn->ops_cap) {
        txn->ops_cap = txn->ops_cap ? txn->ops_cap * 2 : 16;
        txn->ops = tn_realloc(txn->ops, txn->ops_cap * sizeof *txn->ops);
    }
    txn->ops[txn->ops_count] = (struct append_op){
        .topic = t, .partition = p, .records = tn_records_ref(records), .base_offset = -1};
    if (ret_slot)
        *ret_slot = txn->ops_count;
    txn->ops_count++;
    return TN_OK;
}

static void push_position(struct position **list, size_t *count, size_t *cap, struct tn_str key,
                          struct tn_str value, int64_t seq)
{
    if (*count == *cap) {
        *cap = *cap ? *cap * 2 : 16;
        *list = tn_realloc(*list, *cap * sizeof **list);
    }
    (*list)[(*count)++] = (struct position){.key = copy_bytes(key),
                                            .key_len = key.len,
                                            .value = copy_bytes(value),
                                            .value_len = value.len,
                                            .seq = seq};
}

static enum tn_status mem_txn_position(struct tn_log_txn *txn, struct tn_str key,
                                       struct tn_str value, struct tn_err *err)
{
    TN_TRY(fault_check(txn->log, TN_MEM_TXN_POSITION, "position", err));
    push_position(&txn->positions, &txn->positions_count, &txn->positions_cap, key, value, 0);
    return TN_OK;
}

static enum tn_status mem_commit_start(struct tn_log_txn *txn, struct tn_wake *wake,
                                       struct tn_err *err)
{
    (void)wake;
    struct mem_log *log = txn->log;
    TN_TRY(fault_check(log, TN_MEM_COMMIT_START, "commit start", err));
    TN_ASSERT(!txn->is_written);
    pthread_mutex_lock(&log->lock);
    for (uint32_t i = 0; i < txn->ops_count; i++)
        if (txn->ops[i].topic->is_deleted) {
            pthread_mutex_unlock(&log->lock);
            return tn_err_set(err, TN_E_NAME, "topic '%s' is gone", txn->ops[i].topic->info.name);
        }
    for (uint32_t i = 0; i < txn->ops_count; i++) {
        struct append_op *op = &txn->ops[i];
        op->base_offset = write_records(&op->topic->partitions[op->partition], op->records,
                                        ENTRY_PENDING, log->seq + 1, txn);
    }
    txn->is_written = true;
    pthread_mutex_unlock(&log->lock);
    return TN_OK;
}

static void settle_lost(struct partition *part, enum entry_state state, int64_t seq)
{
    for (size_t i = 0; i < part->count; i++) {
        struct entry *e = &part->entries[i];
        if (e->state != ENTRY_PENDING || e->owner != &lost_marker)
            continue;
        e->state = state;
        e->seq = seq;
    }
}

/* Our pending entries become committed or dead; each touched partition gets its control record. */
static void settle_txn(struct tn_log_txn *txn, bool is_commit)
{
    struct mem_log *log = txn->log;
    if (txn->is_settled)
        return;
    txn->is_settled = true;
    if (!txn->is_written && !is_commit)
        return;
    int64_t seq = ++log->seq;
    for (uint32_t i = 0; i < txn->ops_count; i++) {
        if (txn->ops[i].topic->is_deleted)
            continue;
        struct partition *part = &txn->ops[i].topic->partitions[txn->ops[i].partition];
        bool is_touched = false;
        for (size_t at = lower_bound(part, txn->ops[i].base_offset); at < part->count; at++) {
            struct entry *e = &part->entries[at];
            if (e->state != ENTRY_PENDING || e->owner != txn)
                continue;
            e->state = is_commit ? ENTRY_COMMITTED : ENTRY_DEAD;
            e->seq = seq;
            is_touched = true;
        }
        if (!is_touched)
            continue;
        settle_lost(part, is_commit ? ENTRY_COMMITTED : ENTRY_DEAD, seq);
        add_control(part, seq);
    }
    for (size_t i = 0; is_commit && i < txn->positions_count; i++)
        push_position(&log->positions, &log->positions_count, &log->positions_cap,
                      (struct tn_str){txn->positions[i].key, txn->positions[i].key_len},
                      (struct tn_str){txn->positions[i].value, txn->positions[i].value_len}, seq);
    if (!log->type.commits_state)
        log->durable_seq = log->seq; /* a broker's commit is durable */
    signal_all(log);
}

static enum tn_status mem_commit_poll(struct tn_log_txn *txn, struct tn_err *err)
{
    TN_ASSERT(txn->is_written);
    struct tn_mem_fault f = fault_at(txn->log, TN_MEM_COMMIT_POLL);
    if (f.st == TN_AGAIN)
        return TN_AGAIN;
    pthread_mutex_lock(&txn->log->lock);
    settle_txn(txn, f.st == TN_OK || (f.st == TN_E_INDEFINITE && f.is_applied));
    pthread_mutex_unlock(&txn->log->lock);
    if (f.st == TN_OK)
        return TN_OK;
    return tn_err_set(err, f.st, "injected commit outcome %s", tn_status_name(f.st));
}

static int64_t mem_txn_offset(const struct tn_log_txn *txn, uint32_t slot)
{
    TN_ASSERT(slot < txn->ops_count && txn->is_written);
    return txn->ops[slot].base_offset;
}

static void free_positions(struct position *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        tn_free(list[i].key);
        tn_free(list[i].value);
    }
    tn_free(list);
}

static void mem_txn_close(struct tn_log_txn *txn)
{
    if (!txn)
        return;
    pthread_mutex_lock(&txn->log->lock);
    settle_txn(txn, false);
    if (txn->log->txn == txn)
        txn->log->txn = NULL;
    pthread_mutex_unlock(&txn->log->lock);
    for (uint32_t i = 0; i < txn->ops_count; i++)
        tn_records_unref(txn->ops[i].records);
    tn_free(txn->ops);
    free_positions(txn->positions, txn->positions_count);
    tn_free(txn);
}

/* Newest value of each key, in key order. */
static size_t newest_positions(struct mem_log *log, struct tn_str prefix, struct position *out)
{
    size_t count = 0;
    for (size_t i = log->positions_count; i--;) {
        struct position *p = &log->positions[i];
        struct tn_str key = {p->key, p->key_len};
        if (key.len < prefix.len || (prefix.len && memcmp(key.ptr, prefix.ptr, prefix.len) != 0))
            continue;
        size_t at = 0;
        int c = 1;
        while (at < count &&
               (c = tn_str_cmp((struct tn_str){out[at].key, out[at].key_len}, key)) < 0)
            at++;
        if (at < count && c == 0)
            continue;
        memmove(&out[at + 1], &out[at], (count - at) * sizeof *out);
        out[at] = *p;
        count++;
    }
    return count;
}

static enum tn_status mem_positions(struct tn_log *base, struct tn_str prefix,
                                    enum tn_status (*each)(void *ctx, struct tn_str key,
                                                           struct tn_str value, struct tn_err *err),
                                    void *ctx, struct tn_err *err)
{
    struct mem_log *log = mem(base);
    TN_TRY(fault_check(log, TN_MEM_POSITIONS, "positions", err));
    pthread_mutex_lock(&log->lock);
    struct position *found = tn_alloc_array(log->positions_count + 1, sizeof *found);
    size_t count = newest_positions(log, prefix, found);
    pthread_mutex_unlock(&log->lock);
    enum tn_status st = TN_OK;
    for (size_t i = 0; i < count && !tn_failed(st); i++)
        if (found[i].value) /* a null value removes the key */
            st = each(ctx, (struct tn_str){found[i].key, found[i].key_len},
                      (struct tn_str){found[i].value, found[i].value_len}, err);
    tn_free(found);
    return tn_failed(st) ? st : TN_OK;
}

static enum tn_status mem_sync(struct tn_log *base, struct tn_err *err)
{
    struct mem_log *log = mem(base);
    TN_TRY(fault_check(log, TN_MEM_SYNC, "sync", err));
    tn_mem_log_settle_disk(base);
    return TN_OK;
}

static uint64_t mem_topics_version(struct tn_log *base)
{
    struct mem_log *log = mem(base);
    pthread_mutex_lock(&log->lock);
    uint64_t version = log->topics_version;
    pthread_mutex_unlock(&log->lock);
    return version;
}

static void mem_close(struct tn_log *base)
{
    struct mem_log *log = mem(base);
    for (uint32_t i = 0; i < log->topics_count; i++)
        if (!log->topics[i].is_deleted)
            free_partitions(&log->topics[i]);
    free_positions(log->positions, log->positions_count);
    pthread_mutex_destroy(&log->lock);
    tn_free(log);
}

struct tn_log *tn_mem_log_new(bool commits_state)
{
    struct mem_log *log = tn_alloc(sizeof *log);
    log->type = (struct tn_log_type){.name = "memory",
                                     .commits_state = commits_state,
                                     .topic_create = mem_topic_create,
                                     .topic_find = mem_topic_find,
                                     .topic_delete = mem_topic_delete,
                                     .topic_each = mem_topic_each,
                                     .offsets = mem_offsets,
                                     .offset_at = mem_offset_at,
                                     .reader_open = mem_reader_open,
                                     .reader_close = mem_reader_close,
                                     .read = mem_read,
                                     .append = mem_append,
                                     .begin = mem_begin,
                                     .txn_append = mem_txn_append,
                                     .txn_position = mem_txn_position,
                                     .commit_start = mem_commit_start,
                                     .commit_poll = mem_commit_poll,
                                     .txn_offset = mem_txn_offset,
                                     .txn_close = mem_txn_close,
                                     .positions = mem_positions,
                                     .sync = mem_sync,
                                     .close = mem_close,
                                     .topics_version = mem_topics_version};
    log->base.type = &log->type;
    pthread_mutex_init(&log->lock, NULL);
    return &log->base;
}

void tn_mem_log_share(struct tn_log *base)
{
    mem(base)->is_shared = true;
}

void tn_mem_log_set_fault(struct tn_log *base, tn_mem_fault_fn fn, void *ctx)
{
    mem(base)->fault = fn;
    mem(base)->fault_ctx = ctx;
}

/* ---- what tests do to it ---- */

static void put(struct tn_log *base, const char *topic, int32_t p, struct tn_mem_record record,
                enum entry_state state)
{
    struct mem_log *log = mem(base);
    pthread_mutex_lock(&log->lock);
    struct partition *part = partition_at(log, topic, p);
    int64_t seq = ++log->seq;
    add_entry(part, record.key, record.value, record.timestamp_ms, state, seq);
    if (state == ENTRY_DEAD)
        add_control(part, seq);
    log->durable_seq = log->seq;
    signal_all(log);
    pthread_mutex_unlock(&log->lock);
}

void tn_mem_log_put(struct tn_log *log, const char *topic, int32_t partition, struct tn_str key,
                    struct tn_str value, int64_t timestamp_ms)
{
    put(log, topic, partition, (struct tn_mem_record){0, timestamp_ms, key, value},
        ENTRY_COMMITTED);
}

void tn_mem_log_put_aborted(struct tn_log *log, const char *topic, int32_t partition,
                            struct tn_str key, struct tn_str value, int64_t timestamp_ms)
{
    put(log, topic, partition, (struct tn_mem_record){0, timestamp_ms, key, value}, ENTRY_DEAD);
}

void tn_mem_log_put_open(struct tn_log *log, const char *topic, int32_t partition,
                         struct tn_str key, struct tn_str value, int64_t timestamp_ms)
{
    put(log, topic, partition, (struct tn_mem_record){0, timestamp_ms, key, value}, ENTRY_PENDING);
}

void tn_mem_log_settle(struct tn_log *base, const char *topic, int32_t partition, bool is_commit)
{
    struct mem_log *log = mem(base);
    pthread_mutex_lock(&log->lock);
    struct partition *part = partition_at(log, topic, partition);
    int64_t seq = ++log->seq;
    for (size_t i = 0; i < part->count; i++)
        if (part->entries[i].state == ENTRY_PENDING && !part->entries[i].owner)
            part->entries[i].state = is_commit ? ENTRY_COMMITTED : ENTRY_DEAD;
    add_control(part, seq);
    log->durable_seq = log->seq;
    signal_all(log);
    pthread_mutex_unlock(&log->lock);
}

static void crash_partition(struct partition *part, int64_t seq_kept)
{
    size_t keep = part->count;
    while (keep && part->entries[keep - 1].seq > seq_kept)
        keep--;
    if (keep < part->count) {
        part->next_offset = part->entries[keep].offset;
        free_entries(part, keep);
    }
    for (size_t i = 0; i < part->count; i++)
        if (part->entries[i].state == ENTRY_PENDING && part->entries[i].owner)
            part->entries[i].state = ENTRY_DEAD;
}

void tn_mem_log_crash(struct tn_log *base, bool lose_all, uint64_t roll)
{
    struct mem_log *log = mem(base);
    pthread_mutex_lock(&log->lock);
    memset(log->wakes, 0, sizeof log->wakes);
    log->txn = NULL;
    int64_t unsynced = log->seq - log->durable_seq;
    int64_t kept = lose_all ? 0 : (int64_t)(roll % (uint64_t)(unsynced + 1));
    int64_t seq_kept = log->durable_seq + kept;
    for (uint32_t i = 0; i < log->topics_count; i++)
        for (int32_t p = 0; !log->topics[i].is_deleted && p < log->topics[i].info.partitions_count;
             p++)
            crash_partition(&log->topics[i].partitions[p], seq_kept);
    while (log->positions_count && log->positions[log->positions_count - 1].seq > seq_kept) {
        struct position *p = &log->positions[--log->positions_count];
        tn_free(p->key);
        tn_free(p->value);
    }
    log->seq = log->durable_seq = seq_kept;
    pthread_mutex_unlock(&log->lock);
}

void tn_mem_log_settle_disk(struct tn_log *base)
{
    struct mem_log *log = mem(base);
    pthread_mutex_lock(&log->lock);
    log->durable_seq = log->seq;
    pthread_mutex_unlock(&log->lock);
}

void tn_mem_log_compact(struct tn_log *base, const char *topic)
{
    struct mem_log *log = mem(base);
    pthread_mutex_lock(&log->lock);
    struct topic *t = find_topic(log, topic);
    for (int32_t p = 0; t && p < t->info.partitions_count; p++) {
        struct partition *part = &t->partitions[p];
        int64_t end = end_visible(part);
        for (size_t i = 0; i < part->count && part->entries[i].offset < end; i++)
            for (size_t j = i + 1; j < part->count && part->entries[j].offset < end; j++) {
                struct entry *a = &part->entries[i], *b = &part->entries[j];
                if (a->state == ENTRY_COMMITTED && b->state == ENTRY_COMMITTED && a->key &&
                    b->key && a->key_len == b->key_len && memcmp(a->key, b->key, a->key_len) == 0)
                    a->state = ENTRY_DEAD;
            }
    }
    pthread_mutex_unlock(&log->lock);
}

void tn_mem_log_lose_marker(struct tn_log *base, const char *topic, int32_t partition)
{
    struct mem_log *log = mem(base);
    pthread_mutex_lock(&log->lock);
    struct partition *part = partition_at(log, topic, partition);
    TN_ASSERT(part->count && part->entries[part->count - 1].state == ENTRY_DEAD);
    const struct entry *control = &part->entries[--part->count];
    part->next_offset = control->offset;
    for (size_t i = part->count; i-- && part->entries[i].seq == control->seq;) {
        part->entries[i].state = ENTRY_PENDING;
        part->entries[i].owner = &lost_marker;
    }
    pthread_mutex_unlock(&log->lock);
}

void tn_mem_log_truncate(struct tn_log *base, const char *topic, int32_t partition, int64_t start)
{
    struct mem_log *log = mem(base);
    pthread_mutex_lock(&log->lock);
    struct partition *part = partition_at(log, topic, partition);
    int64_t end = end_visible(part);
    start = start < end ? start : end;
    for (size_t i = 0; i < part->count && part->entries[i].offset < start; i++)
        part->entries[i].state = ENTRY_DEAD;
    if (start > part->start)
        part->start = start;
    pthread_mutex_unlock(&log->lock);
}

void tn_mem_log_widen(struct tn_log *base, const char *topic, int32_t partitions_count)
{
    struct mem_log *log = mem(base);
    pthread_mutex_lock(&log->lock);
    struct topic *t = find_topic(log, topic);
    TN_ASSERT(t && partitions_count >= t->info.partitions_count);
    struct partition *wider = tn_alloc_array((size_t)partitions_count, sizeof *wider);
    memcpy(wider, t->partitions, (size_t)t->info.partitions_count * sizeof *wider);
    tn_free(t->partitions);
    t->partitions = wider;
    t->info.partitions_count = partitions_count;
    log->topics_version++;
    pthread_mutex_unlock(&log->lock);
}

bool tn_mem_log_next(struct tn_log *base, const char *topic, int32_t partition, size_t *cursor,
                     struct tn_mem_record *ret_record)
{
    struct mem_log *log = mem(base);
    bool is_found = false;
    pthread_mutex_lock(&log->lock);
    struct partition *part = partition_at(log, topic, partition);
    int64_t end = end_visible(part);
    while (*cursor < part->count && !is_found) {
        const struct entry *e = &part->entries[(*cursor)++];
        if (e->state != ENTRY_COMMITTED || e->offset >= end)
            continue;
        *ret_record = (struct tn_mem_record){.offset = e->offset,
                                             .timestamp_ms = e->timestamp_ms,
                                             .key = {e->key, e->key_len},
                                             .value = {e->value, e->value_len}};
        is_found = true;
    }
    pthread_mutex_unlock(&log->lock);
    return is_found;
}
