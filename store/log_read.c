/* Readers: the tail in memory, RocksDB behind it, wake-ups, and look-up by time.
 *
 * HOW IT WORKS: a read first looks into the partition's tail under part->mu and gathers as many
 * rows as fit from consecutive entries; whole entries are decoded once and shared by all readers.
 * What is older comes from RocksDB by one iterator a read. A read that finds nothing arms the
 * reader's waiter under the same lock that publishes, so no wake-up is lost.
 */
#include "store/log_int.h"

#include <inttypes.h>
#include <string.h>

#include "stream/base/mem.h"
#include "stream/batch.h"

#define PIECES_MAX 4096u

struct tn_log_reader {
    struct tni_log *log;
    struct tn_wake *wake;
    atomic_int refs;          /* the owner, and signals on their way */
    atomic_bool is_signalled; /* in some batch's list already */
    pthread_mutex_t signal_mu;
    bool is_closed;              /* under signal_mu */
    struct tni_waiter **waiters; /* by part->serial; made on first drain */
    uint32_t waiters_cap;
    struct tni_piece *pieces; /* scratch of the owner thread */
    uint32_t pieces_count, pieces_cap;
};

/* ---- wake-ups ---- */

static void reader_unref(struct tn_log_reader *reader)
{
    if (atomic_fetch_sub_explicit(&reader->refs, 1, memory_order_acq_rel) > 1)
        return;
    pthread_mutex_destroy(&reader->signal_mu);
    for (uint32_t i = 0; i < reader->waiters_cap; i++)
        tn_free(reader->waiters[i]);
    tn_free(reader->waiters);
    tn_free(reader->pieces);
    tn_free(reader);
}

/* @locks part->mu */
static void disarm(struct tni_waiter *waiter)
{
    if (!waiter->prev)
        return;
    *waiter->prev = waiter->next;
    if (waiter->next)
        waiter->next->prev = waiter->prev;
    waiter->prev = NULL;
}

/* @locks part->mu */
static void arm(struct tn_log_reader *reader, struct tni_part *part)
{
    if (!reader->wake)
        return;
    if (part->serial >= reader->waiters_cap) {
        uint32_t cap = reader->waiters_cap ? reader->waiters_cap : 16;
        while (cap <= part->serial)
            cap *= 2;
        reader->waiters = tn_realloc(reader->waiters, cap * sizeof(struct tni_waiter *));
        memset(reader->waiters + reader->waiters_cap, 0,
               (cap - reader->waiters_cap) * sizeof(struct tni_waiter *));
        reader->waiters_cap = cap;
    }
    struct tni_waiter *waiter = reader->waiters[part->serial];
    if (!waiter) {
        waiter = reader->waiters[part->serial] = tn_alloc(sizeof *waiter);
        waiter->reader = reader;
        waiter->part = part;
    }
    if (waiter->prev)
        return;
    waiter->next = part->waiters;
    waiter->prev = &part->waiters;
    if (waiter->next)
        waiter->next->prev = &waiter->next;
    part->waiters = waiter;
}

void tni_waiters_take(struct tni_part *part, struct tni_batch *batch)
{
    while (part->waiters) {
        struct tn_log_reader *reader = part->waiters->reader;
        disarm(part->waiters);
        if (atomic_exchange(&reader->is_signalled, true))
            continue; /* a signal that comes after this publication is already on its way */
        atomic_fetch_add_explicit(&reader->refs, 1, memory_order_relaxed);
        batch->signals = tni_grow(batch->signals, &batch->signals_cap, batch->signals_count,
                                  sizeof(struct tn_log_reader *));
        batch->signals[batch->signals_count++] = reader;
    }
}

void tni_waiters_signal(struct tni_batch *batch)
{
    for (uint32_t i = 0; i < batch->signals_count; i++) {
        struct tn_log_reader *reader = batch->signals[i];
        atomic_store(&reader->is_signalled, false);
        pthread_mutex_lock(&reader->signal_mu);
        if (!reader->is_closed)
            reader->wake->signal(reader->wake);
        pthread_mutex_unlock(&reader->signal_mu);
        reader_unref(reader);
    }
    batch->signals_count = 0;
}

enum tn_status tni_reader_open(struct tn_log *base, struct tn_wake *wake,
                               struct tn_log_reader **ret_reader, struct tn_err *err)
{
    (void)err;
    struct tn_log_reader *reader = tn_alloc(sizeof *reader);
    reader->log = (struct tni_log *)(void *)base;
    reader->wake = wake;
    atomic_init(&reader->refs, 1);
    pthread_mutex_init(&reader->signal_mu, NULL);
    *ret_reader = reader;
    return TN_OK;
}

/* After return the wake is not signalled any more. */
void tni_reader_close(struct tn_log_reader *reader)
{
    if (!reader)
        return;
    for (uint32_t i = 0; i < reader->waiters_cap; i++) {
        struct tni_waiter *waiter = reader->waiters[i];
        if (!waiter)
            continue;
        pthread_mutex_lock(&waiter->part->mu);
        disarm(waiter);
        pthread_mutex_unlock(&waiter->part->mu);
    }
    pthread_mutex_lock(&reader->signal_mu);
    reader->is_closed = true;
    pthread_mutex_unlock(&reader->signal_mu);
    reader_unref(reader);
}

/* ---- tail ---- */

static struct tni_tail_node *tail_at(const struct tni_tail *tail, uint32_t i)
{
    return tail->ring[(tail->head + i) & (tail->cap - 1)];
}

void tni_tail_push(struct tni_part *part, struct tni_entry *entry)
{
    struct tni_log *log = part->topic->log;
    struct tni_tail *tail = &part->tail;
    if (tail->count == tail->cap) {
        uint32_t cap = tail->cap ? tail->cap * 2 : 8;
        struct tni_tail_node **ring = tn_alloc_array(cap, sizeof(struct tni_tail_node *));
        for (uint32_t i = 0; i < tail->count; i++)
            ring[i] = tail_at(tail, i);
        tn_free(tail->ring);
        *tail = (struct tni_tail){.ring = ring, .count = tail->count, .cap = cap};
    }
    struct tni_tail_node *node = tn_alloc(sizeof *node);
    node->part = part;
    node->entry = tni_log_entry_ref(entry);
    node->bytes = sizeof *node + entry->len + entry->count * 48u; /* decoded arrays included */
    tail->ring[(tail->head + tail->count++) & (tail->cap - 1)] = node;
    if (log->tail_last)
        log->tail_last->next = node;
    else
        log->tail_first = node;
    log->tail_last = node;
    atomic_fetch_add_explicit(&log->tail_bytes, (int64_t)node->bytes, memory_order_relaxed);
}

void tni_tail_trim(struct tni_log *log, int64_t bytes_max)
{
    while (log->tail_first &&
           atomic_load_explicit(&log->tail_bytes, memory_order_relaxed) > bytes_max) {
        struct tni_tail_node *node = log->tail_first;
        struct tni_part *part = node->part;
        log->tail_first = node->next;
        if (!log->tail_first)
            log->tail_last = NULL;
        pthread_mutex_lock(&part->mu);
        TN_ASSERT(part->tail.count > 0 && tail_at(&part->tail, 0) == node);
        part->tail.head = (part->tail.head + 1) & (part->tail.cap - 1);
        part->tail.count--;
        pthread_mutex_unlock(&part->mu);
        atomic_fetch_sub_explicit(&log->tail_bytes, (int64_t)node->bytes, memory_order_relaxed);
        tn_records_unref(node->records);
        tni_log_entry_unref(node->entry);
        tn_free(node);
    }
}

/* ---- gathering ---- */

struct gather {
    struct tn_log_reader *reader;
    int64_t next; /* first offset not looked at */
    uint32_t rows;
    size_t bytes, bytes_max;
    bool is_full;
};

/* Take rows of `entry` from gather->next on; borrows the entry's reference when it took any
 * (returns true). */
static bool gather_entry(struct gather *gather, struct tni_entry *entry)
{
    struct tn_log_reader *reader = gather->reader;
    uint32_t from = tni_log_entry_row(entry, gather->next), to = from;
    size_t bytes = gather->bytes;
    while (to < entry->count && gather->rows + (to - from) < TN_BATCH_ROWS_MAX) {
        size_t row = tni_log_entry_bytes(entry, to, to + 1);
        if (gather->rows + (to - from) > 0 && bytes + row > gather->bytes_max)
            break;
        bytes += row;
        to++;
    }
    gather->is_full = to < entry->count;
    gather->next = gather->is_full ? tni_log_entry_offset(entry, to) : tni_log_entry_next(entry);
    if (to == from)
        return false;
    gather->rows += to - from;
    gather->bytes = bytes;
    reader->pieces =
        tni_grow(reader->pieces, &reader->pieces_cap, reader->pieces_count, sizeof *reader->pieces);
    reader->pieces[reader->pieces_count++] = (struct tni_piece){entry, from, to};
    gather->is_full = gather->is_full || gather->rows >= TN_BATCH_ROWS_MAX ||
                      gather->bytes >= gather->bytes_max || reader->pieces_count >= PIECES_MAX;
    return true;
}

static struct tn_records *gather_finish(struct gather *gather)
{
    struct tn_log_reader *reader = gather->reader;
    struct tn_records *records = NULL;
    if (reader->pieces_count > 0)
        records = tni_pieces_records(reader->pieces, reader->pieces_count);
    reader->pieces_count = 0;
    return records;
}

static void gather_drop(struct tn_log_reader *reader)
{
    for (uint32_t i = 0; i < reader->pieces_count; i++)
        tni_log_entry_unref(reader->pieces[i].entry);
    reader->pieces_count = 0;
}

/* First tail node whose entry reaches beyond `offset`; count when none. @locks part->mu */
static uint32_t tail_find(const struct tni_tail *tail, int64_t offset)
{
    uint32_t low = 0, high = tail->count;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (tni_log_entry_next(tail_at(tail, mid)->entry) <= offset)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* A whole entry from its first row that fits well enough: decoded once for all readers. @locks
 * part->mu */
static struct tn_records *share_whole(struct tni_tail_node *node, struct gather *gather)
{
    struct tni_entry *entry = node->entry;
    if (entry->base != gather->next || entry->count == 0 || entry->count > TN_BATCH_ROWS_MAX ||
        entry->body_len > 2 * gather->bytes_max ||
        (entry->body_len < gather->bytes_max / 4 && entry->count < TN_BATCH_ROWS_MAX / 4))
        return NULL;
    if (!node->records) {
        struct tni_piece piece = {tni_log_entry_ref(entry), 0, entry->count};
        node->records = tni_pieces_records(&piece, 1);
    }
    gather->next = tni_log_entry_next(entry);
    return tn_records_ref(node->records);
}

/* Rows from the tail. False when `offset` is older than the tail. @locks part->mu */
static bool read_tail(struct tni_part *part, struct gather *gather, struct tn_records **ret_records)
{
    const struct tni_tail *tail = &part->tail;
    uint32_t at = tail_find(tail, gather->next);
    if (gather->next < part->tail_from)
        return false;
    if (at == tail->count || tail_at(tail, at)->entry->base > gather->next)
        return false;
    *ret_records = share_whole(tail_at(tail, at), gather);
    for (; !*ret_records && at < tail->count && !gather->is_full; at++) {
        struct tni_entry *entry = tail_at(tail, at)->entry;
        if (gather_entry(gather, entry))
            tni_log_entry_ref(entry);
    }
    return true;
}

/* ---- RocksDB ---- */

enum tn_status tni_log_entry_damage(const struct tni_part *part, int64_t offset, struct tn_err *err)
{
    tn_err_prefix(err, "topic '%s' partition %u offset %" PRId64, part->topic->info.name,
                  part->index, offset);
    tn_err_hint(err, "the state folder is damaged: restore it from a copy or rebuild it");
    return TN_E_CORRUPT;
}

enum tn_status tni_log_entry_at(const struct tni_part *part, struct tni_iter *iter,
                                struct tni_entry **ret_entry, struct tn_err *err)
{
    struct tn_str key = tni_iter_key(iter);
    if (key.len != TNI_ENTRY_KEY_BYTES)
        return tn_err_set(err, TN_E_CORRUPT, "a key of the log is malformed");
    int64_t base = (int64_t)tn_be64(key.ptr + 8);
    enum tn_status st = tni_log_entry_parse(tni_iter_value(iter), part->topic->info.id, part->index,
                                            base, ret_entry, err);
    return st == TN_E_CORRUPT ? tni_log_entry_damage(part, base, err) : st;
}

static bool is_of_part(const struct tni_part *part, const struct tni_iter *iter)
{
    if (!tni_iter_valid(iter))
        return false;
    char key[TNI_ENTRY_KEY_BYTES];
    tni_log_entry_key(key, part, 0);
    return memcmp(tni_iter_key(iter).ptr, key, 8) == 0;
}

static enum tn_status missing(const struct tni_part *part, int64_t offset,
                              const struct tni_iter *iter, struct tn_err *err)
{
    enum tn_status st = tni_iter_status(iter, "read", err);
    if (st == TN_OK)
        st = tn_err_set(err, TN_E_CORRUPT, "entry is missing");
    return st == TN_E_CORRUPT ? tni_log_entry_damage(part, offset, err) : st;
}

/* Rows from RocksDB, below `end`. Entries tile the partition: a gap is damage. */
static enum tn_status read_cold(struct tni_part *part, struct gather *gather, int64_t end,
                                struct tn_err *err)
{
    char key[TNI_ENTRY_KEY_BYTES], upper[TNI_ENTRY_KEY_BYTES];
    tni_log_entry_key(key, part, gather->next);
    tni_log_entry_key(upper, part, INT64_MAX);
    struct tni_iter iter;
    tni_iter_open(gather->reader->log->store, TNI_CF_LOG, (struct tn_str){upper, sizeof upper},
                  &iter);
    rocksdb_iter_seek_for_prev(iter.it, key, sizeof key);
    enum tn_status st = TN_OK;
    while (st == TN_OK && !gather->is_full && gather->next < end) {
        struct tni_entry *entry = NULL;
        if (!is_of_part(part, &iter)) {
            st = missing(part, gather->next, &iter, err);
            break;
        }
        st = tni_log_entry_at(part, &iter, &entry, err);
        if (st != TN_OK)
            break;
        if (entry->base > gather->next || tni_log_entry_next(entry) <= gather->next) {
            st = missing(part, gather->next, &iter, err);
            tni_log_entry_unref(entry);
            break;
        }
        if (!gather_entry(gather, entry))
            tni_log_entry_unref(entry);
        rocksdb_iter_next(iter.it);
    }
    tni_iter_close(&iter);
    return st;
}

/* ---- read ---- */

static enum tn_status out_of_range(const struct tni_part *part, int64_t offset, int64_t start,
                                   int64_t end, struct tn_err *err)
{
    tn_err_set(err, TN_E_INVALID,
               "offset out of range: topic '%s' partition %u has offsets %" PRId64 " to %" PRId64
               ", asked for %" PRId64,
               part->topic->info.name, part->index, start, end, offset);
    return TN_E_INVALID;
}

/* Under part->mu: what can be answered from memory. TN_END: `offset` must be read from RocksDB. */
static enum tn_status read_warm(struct tn_log_reader *reader, struct tni_part *part,
                                struct gather *gather, struct tn_read *ret_read, struct tn_err *err)
{
    int64_t offset = gather->next;
    ret_read->end_visible = part->end_visible;
    if (atomic_load(&part->topic->is_deleted))
        return tni_log_no_topic(part->topic->info.name, err);
    if (offset < part->start || offset > part->end_visible)
        return out_of_range(part, offset, part->start, part->end_visible, err);
    if (offset == part->end_visible) {
        arm(reader, part);
        return TN_AGAIN;
    }
    return read_tail(part, gather, &ret_read->records) ? TN_OK : TN_END;
}

/* A cold read met trouble: retention may have passed it meanwhile, which is not damage. */
static enum tn_status judge_cold(struct tni_part *part, int64_t offset, enum tn_status st,
                                 struct tn_err *err)
{
    if (st != TN_E_CORRUPT)
        return st;
    pthread_mutex_lock(&part->mu);
    int64_t start = part->start, end = part->end_visible;
    bool is_deleted = atomic_load(&part->topic->is_deleted);
    pthread_mutex_unlock(&part->mu);
    if (is_deleted)
        return tni_log_no_topic(part->topic->info.name, err);
    return offset < start ? out_of_range(part, offset, start, end, err) : st;
}

enum tn_status tni_reader_read(struct tn_log_reader *reader, const struct tn_topic *topic,
                               int32_t partition, int64_t offset, size_t bytes_max,
                               struct tn_read *ret_read, struct tn_err *err)
{
    struct tni_part *part = tni_log_part(reader->log, topic, partition);
    if (!part)
        return tni_log_no_topic(topic->name, err);
    struct tn_read result = {.next = offset};
    for (;;) {
        struct gather gather = {.reader = reader, .next = result.next, .bytes_max = bytes_max};
        pthread_mutex_lock(&part->mu);
        enum tn_status st = read_warm(reader, part, &gather, &result, err);
        pthread_mutex_unlock(&part->mu);
        if (st == TN_OK) {
            atomic_fetch_add_explicit(&reader->log->tail_hits_count, 1, memory_order_relaxed);
        } else if (st == TN_END) {
            atomic_fetch_add_explicit(&reader->log->tail_misses_count, 1, memory_order_relaxed);
            st = judge_cold(part, offset, read_cold(part, &gather, result.end_visible, err), err);
        }
        if (st != TN_OK && st != TN_AGAIN) {
            gather_drop(reader);
            return st;
        }
        if (!result.records)
            result.records = gather_finish(&gather);
        result.next = gather.next;
        if (result.records || st == TN_AGAIN) {
            *ret_read = result;
            return st == TN_AGAIN ? TN_AGAIN : TN_OK;
        }
        /* only holes up to gather.next: look again from there, to find rows or to arm the waiter */
    }
}

/* ---- look-up by time ---- */

/* First index row whose running maximum reaches the time, by bisection over offsets. TN_END: none.
 */
static enum tn_status find_index(const struct tni_part *part, struct tni_iter *iter, int64_t start,
                                 int64_t end, int64_t timestamp_ms, struct tn_err *err)
{
    char key[TNI_INDEX_KEY_BYTES];
    int64_t low = start,
            high = end; /* both are bases of rows, or the end; the row wanted is in [low, high] */
    while (low < high) {
        int64_t mid = low + (high - low) / 2;
        struct tni_index index;
        tni_index_key(key, part, mid);
        rocksdb_iter_seek_for_prev(iter->it, key, sizeof key);
        if (!tni_iter_valid(iter) || memcmp(tni_iter_key(iter).ptr, key, TNI_PART_KEY_BYTES) != 0)
            return missing(part, mid, iter, err);
        TN_TRY(tni_index_decode(tni_iter_key(iter), tni_iter_value(iter), &index, err));
        if (index.base < low || index.next <= mid || index.next > high)
            return missing(part, mid, iter, err);
        if (index.ts_running_max >= timestamp_ms)
            high = index.base;
        else
            low = index.next;
    }
    if (high >= end)
        return TN_END;
    tni_index_key(key, part, high);
    rocksdb_iter_seek(iter->it, key, sizeof key);
    return TN_OK;
}

/* The running maximum may come from a record that retention or compaction dropped: walk on to a row
 * that has it. */
static enum tn_status walk_index(const struct tni_part *part, struct tni_iter *iter,
                                 int64_t timestamp_ms, int64_t *ret_base, struct tn_err *err)
{
    char prefix[TNI_PART_KEY_BYTES];
    tni_part_key(prefix, TNI_META_INDEX, part);
    for (; tni_iter_valid(iter); rocksdb_iter_next(iter->it)) {
        struct tn_str key = tni_iter_key(iter);
        if (memcmp(key.ptr, prefix, sizeof prefix) != 0)
            break;
        struct tni_index index;
        TN_TRY(tni_index_decode(key, tni_iter_value(iter), &index, err));
        if (index.count > 0 && index.ts_max >= timestamp_ms) {
            *ret_base = index.base;
            return TN_OK;
        }
    }
    TN_TRY(tni_iter_status(iter, "log index", err));
    return TN_END;
}

static enum tn_status find_in_entry(struct tni_log *log, const struct tni_part *part, int64_t base,
                                    int64_t start, int64_t timestamp_ms, int64_t *ret_offset,
                                    struct tn_err *err)
{
    char key[TNI_ENTRY_KEY_BYTES];
    tni_log_entry_key(key, part, base);
    struct tni_iter iter;
    tni_iter_open(log->store, TNI_CF_LOG, (struct tn_str){NULL, 0}, &iter);
    rocksdb_iter_seek(iter.it, key, sizeof key);
    struct tni_entry *entry = NULL;
    enum tn_status st;
    if (!tni_iter_valid(&iter) || memcmp(tni_iter_key(&iter).ptr, key, sizeof key) != 0)
        st = missing(part, base, &iter, err);
    else
        st = tni_log_entry_at(part, &iter, &entry, err);
    tni_iter_close(&iter);
    if (st != TN_OK)
        return st;
    uint32_t row = 0;
    while (row < entry->count && tni_log_entry_timestamp(entry, row) < timestamp_ms)
        row++;
    int64_t offset =
        row < entry->count ? tni_log_entry_offset(entry, row) : tni_log_entry_next(entry);
    *ret_offset = offset < start ? start : offset;
    tni_log_entry_unref(entry);
    return TN_OK;
}

enum tn_status tni_offset_at(struct tn_log *base, const struct tn_topic *topic, int32_t partition,
                             int64_t timestamp_ms, int64_t *ret_offset, struct tn_err *err)
{
    struct tni_log *log = (struct tni_log *)(void *)base;
    struct tni_part *part = tni_log_part(log, topic, partition);
    if (!part)
        return tni_log_no_topic(topic->name, err);
    pthread_mutex_lock(&part->mu);
    int64_t start = part->start, end = part->end_visible;
    pthread_mutex_unlock(&part->mu);
    struct tni_iter iter;
    int64_t entry_base = 0;
    tni_iter_open(log->store, TNI_CF_META, (struct tn_str){NULL, 0}, &iter);
    enum tn_status st = find_index(part, &iter, start, end, timestamp_ms, err);
    if (st == TN_OK)
        st = walk_index(part, &iter, timestamp_ms, &entry_base, err);
    tni_iter_close(&iter);
    if (st == TN_OK)
        st = find_in_entry(log, part, entry_base, start, timestamp_ms, ret_offset, err);
    if (st == TN_END) {
        *ret_offset = end;
        st = TN_OK;
    }
    return st;
}
