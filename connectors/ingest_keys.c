/* Idempotency-Key: a repeated request within 24 hours gets the first answer and appends nothing.
 *
 * HOW IT WORKS. A compacted topic `<application id>-ingest-keys` with one partition holds one
 * record per key (stream name, NUL, Idempotency-Key): begun: written durably before the events,
 * with the partitions, counts and log ends of the request; done:  status and answer, written after
 * the events are durable, not waited for; null:  forgotten. Events of such a request carry the key
 * as a record header. When a crash falls between "begun" and "done", the events that became durable
 * are found again behind the recorded ends: appends of one partition keep their order, so what is
 * there is a prefix, and a repeat appends exactly the rest.
 *
 * Limits: idempotency_keys_max keys are remembered; beyond it new keys are refused, never old ones
 * forgotten early. Answers are kept up to REPLY_MAX bytes. @thread any (one lock)
 */
#include "connectors/ingest_int.h"

#include <stdio.h>

#include "connectors/wait.h"
#include "stream/base/hash.h"
#include "stream/base/logline.h"
#include "stream/base/mem.h"

#define KEEP_MS          ((int64_t)24 * 3600 * 1000)
#define KEYS_MAX_DEFAULT 100000
#define REPLY_MAX        ((size_t)16 << 10)
#define RECORD_VERSION   1
#define READ_BYTES       ((size_t)1 << 20)
#define WAIT_NS          30000000000ll

enum entry_state { ENTRY_NEW, ENTRY_BEGUN, ENTRY_DONE };

struct tni_idem_entry {
    struct tni_idem_entry *hash_next, *age_prev, *age_next; /* age list: oldest first */
    char *key;
    size_t key_len;
    uint64_t hash;
    enum entry_state state;
    bool is_claimed;
    int64_t created_ms;
    uint32_t body_crc;
    uint64_t body_len;
    char *topic;
    struct tni_part *parts;
    uint32_t parts_count;
    int status;
    char *reply;
    size_t reply_len;
};

struct tni_idempotency {
    struct tn_ingest *ingest;
    pthread_mutex_t lock;
    struct tni_idem_entry **slots;
    uint32_t slots_count, entries_count;
    struct tni_idem_entry *oldest, *newest;
    struct tn_topic topic;
    bool has_topic;
    _Atomic int appends_open;
};

/* ---- table; @locks idem->lock held ---- */

static struct tni_idem_entry **entry_slot(struct tni_idempotency *idem, const char *key, size_t len,
                                          uint64_t hash)
{
    struct tni_idem_entry **slot = &idem->slots[hash & (idem->slots_count - 1)];
    while (*slot && !((*slot)->hash == hash && (*slot)->key_len == len &&
                      memcmp((*slot)->key, key, len) == 0))
        slot = &(*slot)->hash_next;
    return slot;
}

static void table_grow(struct tni_idempotency *idem)
{
    uint32_t count = idem->slots_count ? idem->slots_count * 2 : 256;
    struct tni_idem_entry **slots = tn_alloc_array(count, sizeof *slots);
    for (struct tni_idem_entry *e = idem->oldest; e; e = e->age_next) {
        e->hash_next = slots[e->hash & (count - 1)];
        slots[e->hash & (count - 1)] = e;
    }
    tn_free(idem->slots);
    idem->slots = slots;
    idem->slots_count = count;
}

static struct tni_idem_entry *entry_add(struct tni_idempotency *idem, const char *key, size_t len)
{
    if (idem->entries_count + 1 > idem->slots_count)
        table_grow(idem);
    struct tni_idem_entry *entry = tn_alloc(sizeof *entry);
    entry->key = tn_strndup(key, len); /* holds a NUL inside */
    entry->key_len = len;
    entry->hash = tn_hash64(key, len);
    struct tni_idem_entry **slot = entry_slot(idem, key, len, entry->hash);
    TN_ASSERT(!*slot);
    *slot = entry;
    entry->age_prev = idem->newest;
    if (idem->newest)
        idem->newest->age_next = entry;
    else
        idem->oldest = entry;
    idem->newest = entry;
    idem->entries_count++;
    return entry;
}

static void entry_free(struct tni_idem_entry *entry)
{
    tn_free(entry->key);
    tn_free(entry->topic);
    tn_free(entry->parts);
    tn_free(entry->reply);
    tn_free(entry);
}

static void entry_remove(struct tni_idempotency *idem, struct tni_idem_entry *entry)
{
    struct tni_idem_entry **slot = entry_slot(idem, entry->key, entry->key_len, entry->hash);
    TN_ASSERT(*slot == entry);
    *slot = entry->hash_next;
    if (entry->age_prev)
        entry->age_prev->age_next = entry->age_next;
    else
        idem->oldest = entry->age_next;
    if (entry->age_next)
        entry->age_next->age_prev = entry->age_prev;
    else
        idem->newest = entry->age_prev;
    idem->entries_count--;
    entry_free(entry);
}

/* ---- records ---- */

static void entry_encode(const struct tni_idem_entry *entry, struct tn_buf *buf)
{
    tn_buf_add_byte(buf, RECORD_VERSION);
    tn_buf_add_byte(buf, (char)entry->state);
    tn_buf_add_be64(buf, (uint64_t)entry->created_ms);
    tn_buf_add_be32(buf, entry->body_crc);
    tn_buf_add_varint(buf, entry->body_len);
    tn_buf_add_varint(buf, (uint64_t)entry->status);
    size_t topic_len = entry->topic ? strlen(entry->topic) : 0;
    tn_buf_add_varint(buf, topic_len);
    tn_buf_add(buf, entry->topic ? entry->topic : "", topic_len);
    tn_buf_add_varint(buf, entry->parts_count);
    for (uint32_t i = 0; i < entry->parts_count; i++) {
        tn_buf_add_varint(buf, (uint64_t)entry->parts[i].partition);
        tn_buf_add_varint(buf, entry->parts[i].count);
        tn_buf_add_varint(buf, (uint64_t)entry->parts[i].scan_from);
    }
    tn_buf_add_varint(buf, entry->reply_len);
    tn_buf_add(buf, entry->reply ? entry->reply : "", entry->reply_len);
}

static bool take_varint(const char **p, const char *end, uint64_t max, uint64_t *ret_value)
{
    *p = tn_varint_read(*p, end, ret_value);
    return *p && *ret_value <= max;
}

static bool take_bytes(const char **p, const char *end, char **ret_bytes, size_t *ret_len)
{
    uint64_t len;
    if (!take_varint(p, end, REPLY_MAX, &len) || len > (uint64_t)(end - *p))
        return false;
    *ret_bytes = tn_strndup(*p, (size_t)len);
    *ret_len = (size_t)len;
    *p += len;
    return true;
}

/* False: not a record of ours, or of a newer version. */
static bool entry_decode(struct tni_idem_entry *entry, struct tn_str value)
{
    const char *p = value.ptr, *end = value.ptr + value.len;
    uint64_t n, count, partition, records, from;
    size_t topic_len;
    if (value.len < 14 || p[0] != RECORD_VERSION || (p[1] != ENTRY_BEGUN && p[1] != ENTRY_DONE))
        return false;
    entry->state = (enum entry_state)p[1];
    entry->created_ms = (int64_t)tn_be64(p + 2);
    entry->body_crc = tn_be32(p + 10);
    p += 14;
    if (!take_varint(&p, end, UINT64_MAX, &entry->body_len) || !take_varint(&p, end, 999, &n))
        return false;
    entry->status = (int)n;
    if (!take_bytes(&p, end, &entry->topic, &topic_len) ||
        !take_varint(&p, end, TN_PARTITIONS_MAX, &count))
        return false;
    entry->parts = tn_alloc_array(count ? (size_t)count : 1, sizeof *entry->parts);
    for (; entry->parts_count < count; entry->parts_count++) {
        if (!take_varint(&p, end, TN_PARTITIONS_MAX, &partition) ||
            !take_varint(&p, end, UINT32_MAX, &records) || !take_varint(&p, end, INT64_MAX, &from))
            return false;
        entry->parts[entry->parts_count] = (struct tni_part){.partition = (int32_t)partition,
                                                             .count = (uint32_t)records,
                                                             .base_offset = -1,
                                                             .scan_from = (int64_t)from};
    }
    return take_bytes(&p, end, &entry->reply, &entry->reply_len) && p == end;
}

/* One record of the topic; the caller appends and unrefs it. is_null: forget. */
static struct tn_records *entry_records(const struct tni_idem_entry *entry, bool is_null,
                                        int64_t now_ms)
{
    struct tn_records_builder rb;
    struct tn_buf value;
    tn_records_builder_init(&rb);
    tn_buf_init(&value, (size_t)1 << 20);
    if (!is_null)
        entry_encode(entry, &value);
    tn_records_builder_add(&rb, (struct tn_str){entry->key, entry->key_len},
                           is_null ? (struct tn_str){NULL, 0} : tn_buf_str(&value), now_ms);
    struct tn_records *records = tn_records_builder_finish(&rb);
    tn_buf_release(&value);
    tn_records_builder_release(&rb);
    return records;
}

static void side_done(void *ctx, enum tn_status st, int64_t base_offset, const struct tn_err *err)
{
    struct tni_idempotency *idem = ctx;
    (void)base_offset;
    if (st != TN_OK)
        tn_logf(TN_LOG_WARN, "ingest", "idempotency record not written, reason=\"%s\"",
                err ? err->message : tn_status_name(st));
    atomic_fetch_sub(&idem->appends_open, 1);
}

/* Written without waiting. */
static void side_append(struct tni_idempotency *idem, struct tn_records *records)
{
    struct tn_log *log = idem->ingest->config.log;
    atomic_fetch_add(&idem->appends_open, 1);
    log->type->append(log, &idem->topic, 0, records, side_done, idem);
    tn_records_unref(records);
}

/* ---- reading back ---- */

/* Calls `each` for the records of [from, end_visible) of one partition. */
static enum tn_status scan(struct tn_log *log, const struct tn_topic *topic, int32_t partition,
                           int64_t from, void (*each)(void *ctx, const struct tn_records *records),
                           void *ctx, struct tn_err *err)
{
    struct tn_waiter waiter;
    struct tn_log_reader *reader = NULL;
    struct tn_offsets offsets;
    TN_TRY(log->type->offsets(log, topic, partition, &offsets, err));
    if (from < offsets.start)
        from = offsets.start;
    if (from >= offsets.end_visible)
        return TN_OK;
    tn_waiter_init(&waiter);
    enum tn_status st = log->type->reader_open(log, &waiter.wake, &reader, err);
    while (!tn_failed(st) && st != TN_NOT_FOUND && from < offsets.end_visible) {
        struct tn_read read = {.next = from};
        st = log->type->read(reader, topic, partition, from, READ_BYTES, &read, err);
        if (st == TN_OK && read.records) {
            each(ctx, read.records);
            tn_records_unref(read.records);
        }
        if (st == TN_AGAIN && read.next == from && !tn_waiter_wait(&waiter, WAIT_NS))
            st = tn_err_set(err, TN_E_TIMEOUT, "topic '%s' could not be read back", topic->name);
        from = read.next;
    }
    if (reader)
        log->type->reader_close(reader);
    tn_waiter_release(&waiter);
    return tn_failed(st) ? st : TN_OK;
}

static void load_records(void *ctx, const struct tn_records *records)
{
    struct tni_idempotency *idem = ctx;
    int64_t now_ms = tn_wall_ms(idem->ingest->config.clock);
    for (uint32_t i = 0; i < records->count; i++) {
        struct tn_str key = records->keys[i];
        if (!key.ptr || !memchr(key.ptr, 0, key.len))
            continue;
        uint64_t hash = tn_hash64(key.ptr, key.len);
        struct tni_idem_entry **slot = entry_slot(idem, key.ptr, key.len, hash);
        if (*slot)
            entry_remove(idem, *slot);
        if (!records->values[i].ptr)
            continue;
        struct tni_idem_entry *entry = entry_add(idem, key.ptr, key.len);
        if (!entry_decode(entry, records->values[i]) || entry->created_ms + KEEP_MS < now_ms)
            entry_remove(idem, entry);
    }
}

struct find {
    struct tni_part *part;
    struct tn_str key;
};

static void find_records(void *ctx, const struct tn_records *records)
{
    struct find *find = ctx;
    const struct tn_headers *headers = tn_records_headers(records);
    for (uint32_t i = 0; headers && i < records->count; i++)
        for (uint32_t h = 0; h < headers[i].count; h++) {
            const struct tn_header *header = &headers[i].items[h];
            if (!tn_str_eq(header->key, TN_STR(TNI_IDEMPOTENCY_HEADER)) ||
                !tn_str_eq(header->value, find->key))
                continue;
            if (find->part->done++ == 0)
                find->part->base_offset = records->offsets[i];
        }
}

/* What a request that was begun and not finished has left in the log. */
static enum tn_status entry_recover(struct tni_idempotency *idem, struct tni_idem_entry *entry,
                                    struct tn_err *err)
{
    struct tn_log *log = idem->ingest->config.log;
    struct tn_topic topic;
    const char *idem_key = entry->key + strlen(entry->key) + 1;
    struct find find = {.key = {idem_key, entry->key_len - strlen(entry->key) - 1}};
    if (!entry->topic || log->type->topic_find(log, entry->topic, &topic, err) != TN_OK)
        return TN_OK; /* the topic is gone: a repeat fails on its own */
    for (uint32_t i = 0; i < entry->parts_count; i++) {
        find.part = &entry->parts[i];
        if (find.part->partition < topic.partitions_count)
            TN_TRY(scan(log, &topic, find.part->partition, find.part->scan_from, find_records,
                        &find, err));
        if (find.part->done > find.part->count)
            find.part->done = find.part->count;
    }
    return TN_OK;
}

static enum tn_status topic_open(struct tni_idempotency *idem, bool is_create, struct tn_err *err)
{
    struct tn_log *log = idem->ingest->config.log;
    char name[TN_TOPIC_NAME_MAX + 1];
    int len = snprintf(name, sizeof name, "%s-ingest-keys", idem->ingest->config.application_id);
    if (len < 0 || (size_t)len >= sizeof name)
        return tn_err_set(err, TN_E_LIMIT, "the application id is too long");
    struct tn_topic_spec spec = {.name = name,
                                 .partitions_count = 1,
                                 .cleanup = TN_CLEANUP_COMPACT,
                                 .retention_ms = -1,
                                 .retention_bytes = -1};
    struct tn_err ignored = TN_ERR_INIT;
    enum tn_status st = log->type->topic_find(log, name, &idem->topic, &ignored);
    if (st == TN_NOT_FOUND && is_create) {
        TN_TRY(log->type->topic_create(log, &spec, err));
        st = log->type->topic_find(log, name, &idem->topic, err);
    }
    idem->has_topic = st == TN_OK;
    return st == TN_NOT_FOUND ? TN_OK : st;
}

enum tn_status tni_idempotency_open(struct tn_ingest *ingest, struct tn_err *err)
{
    struct tni_idempotency *idem = tn_alloc(sizeof *idem);
    enum tn_status st;
    idem->ingest = ingest;
    pthread_mutex_init(&idem->lock, NULL);
    table_grow(idem);
    ingest->idempotency = idem; /* freed by tn_ingest_close in any case */
    TN_GOTO(topic_open(idem, false, err));
    if (!idem->has_topic)
        return TN_OK;
    TN_GOTO(scan(ingest->config.log, &idem->topic, 0, 0, load_records, idem, err));
    for (struct tni_idem_entry *e = idem->oldest; e; e = e->age_next)
        if (e->state == ENTRY_BEGUN)
            TN_GOTO(entry_recover(idem, e, err));
    return TN_OK;
fail:
    tn_err_prefix(err, "idempotency keys");
    return st;
}

void tni_idempotency_close(struct tni_idempotency *idem)
{
    if (!idem)
        return;
    struct timespec pause = {.tv_nsec = 1000000};
    while (atomic_load(&idem->appends_open) > 0)
        nanosleep(&pause, NULL);
    for (struct tni_idem_entry *e = idem->oldest, *next; e; e = next) {
        next = e->age_next;
        entry_free(e);
    }
    tn_free(idem->slots);
    pthread_mutex_destroy(&idem->lock);
    tn_free(idem);
}

/* ---- requests ---- */

/* Forgets keys older than KEEP_MS. @locks idem->lock held */
static void expire(struct tni_idempotency *idem, int64_t now_ms)
{
    for (struct tni_idem_entry *e = idem->oldest, *next; e; e = next) {
        next = e->age_next;
        if (e->created_ms + KEEP_MS > now_ms)
            break;
        if (e->is_claimed)
            continue;
        if (idem->has_topic)
            side_append(idem, entry_records(e, true, now_ms));
        entry_remove(idem, e);
    }
}

static enum tni_claim claim_known(struct tni_idem_entry *entry, uint32_t crc, size_t len,
                                  int *ret_status, struct tn_buf *ret_reply)
{
    if (entry->body_crc != crc || entry->body_len != len)
        return TNI_CLAIM_OTHER;
    if (entry->is_claimed)
        return TNI_CLAIM_RUNNING;
    if (entry->state == ENTRY_DONE) {
        *ret_status = entry->status;
        tn_buf_add(ret_reply, entry->reply ? entry->reply : "", entry->reply_len);
        return TNI_CLAIM_REPLAY;
    }
    entry->is_claimed = true;
    return entry->state == ENTRY_BEGUN ? TNI_CLAIM_RESUME : TNI_CLAIM_NEW;
}

enum tni_claim tni_idempotency_claim(struct tni_idempotency *idem, const char *stream_name,
                                     struct tn_str key, struct tn_str body, int *ret_status,
                                     struct tn_buf *ret_reply, struct tni_idem_entry **ret_entry)
{
    char text[TNI_IDEMPOTENCY_KEY_MAX + 512];
    size_t name_len = strlen(stream_name);
    TN_ASSERT(key.len <= TNI_IDEMPOTENCY_KEY_MAX && name_len < 512);
    memcpy(text, stream_name, name_len + 1);
    memcpy(text + name_len + 1, key.ptr, key.len);
    size_t len = name_len + 1 + key.len;
    uint64_t hash = tn_hash64(text, len);
    uint32_t crc = tn_crc32c(0, body.ptr, body.len);
    int64_t now_ms = tn_wall_ms(idem->ingest->config.clock);
    int64_t keys_max = idem->ingest->config.idempotency_keys_max;
    enum tni_claim claim;
    pthread_mutex_lock(&idem->lock);
    expire(idem, now_ms);
    struct tni_idem_entry *entry = *entry_slot(idem, text, len, hash);
    if (entry) {
        claim = claim_known(entry, crc, body.len, ret_status, ret_reply);
    } else if (idem->entries_count >= (keys_max ? keys_max : KEYS_MAX_DEFAULT)) {
        claim = TNI_CLAIM_FULL;
    } else {
        entry = entry_add(idem, text, len);
        entry->body_crc = crc;
        entry->body_len = body.len;
        entry->created_ms = now_ms;
        entry->is_claimed = true;
        claim = TNI_CLAIM_NEW;
    }
    pthread_mutex_unlock(&idem->lock);
    *ret_entry = entry;
    return claim;
}

enum tn_status tni_idempotency_resume(const struct tni_idem_entry *entry, struct tni_parts *parts,
                                      struct tn_err *err)
{
    bool is_same = entry->parts_count == parts->count;
    for (uint32_t i = 0; is_same && i < parts->count; i++)
        is_same = entry->parts[i].partition == parts->items[i].partition &&
                  entry->parts[i].count == parts->items[i].count;
    if (!is_same)
        return tn_err_set(err, TN_E_INVALID,
                          "a request with this Idempotency-Key was interrupted and the stream has "
                          "changed since: it cannot be continued");
    for (uint32_t i = 0; i < parts->count; i++) {
        parts->items[i].done = entry->parts[i].done;
        parts->items[i].base_offset = entry->parts[i].base_offset;
    }
    return TN_OK;
}

static void entry_keep_parts(struct tni_idem_entry *entry, const struct tni_parts *parts)
{
    tn_free(entry->parts);
    entry->parts = tn_alloc_array(parts->count ? parts->count : 1, sizeof *entry->parts);
    entry->parts_count = parts->count;
    for (uint32_t i = 0; i < parts->count; i++) {
        entry->parts[i] = parts->items[i];
        entry->parts[i].chunks = NULL;
    }
}

void tni_idempotency_begin(struct tni_idempotency *idem, struct tni_idem_entry *entry,
                           const char *topic, const struct tni_parts *parts, tn_append_done done,
                           void *ctx)
{
    struct tn_log *log = idem->ingest->config.log;
    struct tn_topic target;
    struct tn_err err = TN_ERR_INIT;
    enum tn_status st = TN_OK;
    pthread_mutex_lock(&idem->lock);
    if (!idem->has_topic)
        st = topic_open(idem, true, &err);
    if (!tn_failed(st))
        st = log->type->topic_find(log, topic, &target, &err);
    for (uint32_t i = 0; st == TN_OK && i < parts->count; i++) {
        struct tn_offsets offsets;
        st = log->type->offsets(log, &target, parts->items[i].partition, &offsets, &err);
        if (st == TN_OK)
            parts->items[i].scan_from = offsets.end_visible;
    }
    if (st == TN_OK) {
        entry_keep_parts(entry, parts);
        entry->state = ENTRY_BEGUN;
        tn_free(entry->topic);
        entry->topic = tn_strdup(topic);
    }
    struct tn_records *records =
        st == TN_OK ? entry_records(entry, false, tn_wall_ms(idem->ingest->config.clock)) : NULL;
    pthread_mutex_unlock(&idem->lock);
    if (!records) {
        done(ctx, st, -1, &err);
        return;
    }
    log->type->append(log, &idem->topic, 0, records, done, ctx);
    tn_records_unref(records);
}

void tni_idempotency_settle(struct tni_idempotency *idem, struct tni_idem_entry *entry, int status,
                            struct tn_str reply)
{
    pthread_mutex_lock(&idem->lock);
    entry->state = ENTRY_DONE;
    entry->status = status;
    entry->reply_len = reply.len < REPLY_MAX ? reply.len : REPLY_MAX;
    tn_free(entry->reply);
    entry->reply = tn_strndup(reply.ptr, entry->reply_len);
    tn_free(entry->parts);
    entry->parts = NULL;
    entry->parts_count = 0;
    entry->is_claimed = false;
    struct tn_records *records =
        entry_records(entry, false, tn_wall_ms(idem->ingest->config.clock));
    pthread_mutex_unlock(&idem->lock);
    side_append(idem, records);
}

void tni_idempotency_release(struct tni_idempotency *idem, struct tni_idem_entry *entry,
                             const struct tni_parts *parts)
{
    pthread_mutex_lock(&idem->lock);
    entry->is_claimed = false;
    if (entry->state != ENTRY_BEGUN)
        entry_remove(idem, entry);
    else if (parts)
        entry_keep_parts(entry, parts);
    pthread_mutex_unlock(&idem->lock);
}
