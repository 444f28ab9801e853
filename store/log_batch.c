/* One atomic write of records to several partitions: used by the group commit and by transactions.
 *
 * HOW IT WORKS: slots collect records; per partition they form a run, encoded into entries without
 * any lock (several small appends share an entry). tni_batch_commit then takes write_mu: bases are
 * the partitions' ends, entries are sealed, entries and index rows go into one WriteBatch, and
 * after the write every run is published: end_visible moves, entries join the tail, drained readers
 * are collected and signalled after the locks.
 */
#include "store/log_int.h"

#include "stream/base/crashpoint.h"
#include "stream/base/mem.h"

void tni_batch_init(struct tni_batch *batch, struct tni_log *log, int owner)
{
    *batch = (struct tni_batch){.log = log, .owner = owner, .write = rocksdb_writebatch_create()};
}

void tni_batch_clear(struct tni_batch *batch)
{
    for (uint32_t i = 0; i < batch->slots_count; i++)
        tn_records_unref(batch->slots[i].records);
    for (uint32_t i = 0; i < batch->runs_count; i++)
        batch->runs[i].part->run_of[batch->owner] = 0;
    for (uint32_t i = 0; i < batch->entries_count; i++)
        tni_log_entry_unref(batch->entries[i]);
    TN_ASSERT(batch->signals_count == 0);
    batch->slots_count = batch->runs_count = batch->entries_count = 0;
    batch->rows = 0;
    rocksdb_writebatch_clear(batch->write);
}

void tni_batch_release(struct tni_batch *batch)
{
    if (!batch->write)
        return;
    tni_batch_clear(batch);
    rocksdb_writebatch_destroy(batch->write);
    tn_free(batch->slots);
    tn_free(batch->runs);
    tn_free(batch->entries);
    tn_free(batch->spans);
    tn_free(batch->signals);
    *batch = (struct tni_batch){0};
}

uint32_t tni_batch_add(struct tni_batch *batch, struct tni_part *part, struct tn_records *records)
{
    uint32_t slot = batch->slots_count;
    batch->slots = tni_grow(batch->slots, &batch->slots_cap, slot, sizeof *batch->slots);
    batch->slots[slot] = (struct tni_slot){.part = part, .records = records};
    batch->slots_count++;
    uint32_t *run_of = &part->run_of[batch->owner];
    if (*run_of == 0) {
        batch->runs =
            tni_grow(batch->runs, &batch->runs_cap, batch->runs_count, sizeof *batch->runs);
        batch->runs[batch->runs_count] = (struct tni_run){.part = part, .first = slot};
        *run_of = ++batch->runs_count;
    } else {
        batch->slots[batch->runs[*run_of - 1].last].next = slot + 1;
    }
    struct tni_run *run = &batch->runs[*run_of - 1];
    run->last = slot;
    batch->slots[slot].run = *run_of - 1;
    batch->slots[slot].delta = run->count;
    run->count += records->count;
    batch->rows += records->count;
    return slot;
}

int64_t tni_batch_offset(const struct tni_batch *batch, uint32_t slot)
{
    TN_ASSERT(slot < batch->slots_count);
    const struct tni_slot *s = &batch->slots[slot];
    const struct tni_run *run = &batch->runs[s->run];
    return run->base < 0 ? -1 : run->base + s->delta;
}

/* ---- encode ---- */

static void add_entry(struct tni_batch *batch, uint32_t spans_count)
{
    batch->entries =
        tni_grow(batch->entries, &batch->entries_cap, batch->entries_count, sizeof *batch->entries);
    batch->entries[batch->entries_count++] =
        tni_log_entry_build(batch->spans, spans_count, false, 0);
}

static uint32_t add_span(struct tni_batch *batch, uint32_t spans_count,
                         const struct tn_records *records, uint32_t from, uint32_t to)
{
    if (from == to)
        return spans_count;
    batch->spans = tni_grow(batch->spans, &batch->spans_cap, spans_count, sizeof *batch->spans);
    batch->spans[spans_count] = (struct tni_span){records, from, to};
    return spans_count + 1;
}

static void encode_run(struct tni_batch *batch, struct tni_run *run)
{
    size_t bytes = 0;
    uint32_t rows = 0, spans_count = 0;
    run->entries_from = batch->entries_count;
    for (uint32_t at = run->first + 1; at != 0; at = batch->slots[at - 1].next) {
        const struct tn_records *records = batch->slots[at - 1].records;
        uint32_t from = 0;
        for (uint32_t i = 0; i < records->count; i++) {
            size_t size = records->keys[i].len + records->values[i].len;
            if (rows == TNI_ENTRY_ROWS_MAX || (rows > 0 && bytes + size > TNI_ENTRY_BYTES_SOFT)) {
                spans_count = add_span(batch, spans_count, records, from, i);
                add_entry(batch, spans_count);
                spans_count = rows = 0;
                bytes = 0;
                from = i;
            }
            rows++;
            bytes += size;
        }
        spans_count = add_span(batch, spans_count, records, from, records->count);
    }
    if (rows > 0)
        add_entry(batch, spans_count);
    run->entries_to = batch->entries_count;
}

/* ---- write ---- */

static void put_entry(struct tni_batch *batch, const struct tni_part *part,
                      const struct tni_entry *entry, const struct tni_index *index)
{
    const struct tn_store *store = batch->log->store;
    char key[TNI_ENTRY_KEY_BYTES], index_key[TNI_INDEX_KEY_BYTES], value[TNI_INDEX_BYTES];
    tni_log_entry_key(key, part, entry->base);
    rocksdb_writebatch_put_cf(batch->write, store->cf[TNI_CF_LOG], key, sizeof key, entry->bytes,
                              entry->len);
    tni_index_key(index_key, part, entry->base);
    tni_index_encode(value, index);
    rocksdb_writebatch_put_cf(batch->write, store->cf[TNI_CF_META], index_key, sizeof index_key,
                              value, sizeof value);
}

/* Bases for the entries of one run. @locks write_mu */
static void seal_run(struct tni_batch *batch, struct tni_run *run)
{
    struct tni_part *part = run->part;
    struct tni_index index = {.next = part->end_visible,
                              .ts_running_max = part->ts_running_max,
                              .bytes_total = part->bytes_total};
    run->base = part->end_visible;
    for (uint32_t i = run->entries_from; i < run->entries_to; i++) {
        struct tni_entry *entry = batch->entries[i];
        tni_log_entry_seal(entry, part->topic->info.id, part->index, index.next, entry->count);
        index.base = entry->base;
        index.next = tni_log_entry_next(entry);
        index.count = entry->count;
        index.bytes = (uint32_t)entry->len;
        index.ts_min = entry->ts_min;
        index.ts_max = entry->ts_max;
        if (entry->ts_max > index.ts_running_max)
            index.ts_running_max = entry->ts_max;
        index.bytes_total += (int64_t)entry->len;
        put_entry(batch, part, entry, &index);
    }
}

/* @locks write_mu */
static void publish_run(struct tni_batch *batch, const struct tni_run *run)
{
    struct tni_log *log = batch->log;
    struct tni_part *part = run->part;
    if (!part->is_unsynced) {
        log->unsynced =
            tni_grow(log->unsynced, &log->unsynced_cap, log->unsynced_count, sizeof *log->unsynced);
        log->unsynced[log->unsynced_count++] = part;
        part->is_unsynced = true;
    }
    pthread_mutex_lock(&part->mu);
    for (uint32_t i = run->entries_from; i < run->entries_to; i++) {
        struct tni_entry *entry = batch->entries[i];
        if (entry->ts_max > part->ts_running_max)
            part->ts_running_max = entry->ts_max;
        part->bytes_total += (int64_t)entry->len;
        tni_tail_push(part, entry);
    }
    part->end_visible += run->count;
    tni_waiters_take(part, batch);
    pthread_mutex_unlock(&part->mu);
}

/* @locks write_mu */
static enum tn_status commit_locked(struct tni_batch *batch, struct tn_err *err)
{
    for (uint32_t i = 0; i < batch->runs_count; i++) {
        struct tni_run *run = &batch->runs[i];
        run->base = -1;
        if (!atomic_load(&run->part->topic->is_deleted))
            seal_run(batch, run);
        else if (batch->owner == TNI_BATCH_TXN)
            return tni_log_gone(run->part->topic->info.name, err);
    }
    tn_crash_point(batch->owner == TNI_BATCH_TXN ? "commit-before-write" : "append-before-write");
    if (rocksdb_writebatch_count(batch->write) > 0)
        TN_TRY(tni_store_write(batch->log->store, batch->write, false, err));
    tn_crash_point(batch->owner == TNI_BATCH_TXN ? "commit-after-write" : "append-after-write");
    for (uint32_t i = 0; i < batch->runs_count; i++)
        if (batch->runs[i].base >= 0)
            publish_run(batch, &batch->runs[i]);
    tni_tail_trim(batch->log, batch->log->store->config.tail_bytes);
    return TN_OK;
}

enum tn_status tni_batch_commit(struct tni_batch *batch, struct tn_err *err)
{
    for (uint32_t i = 0; i < batch->runs_count; i++)
        encode_run(batch, &batch->runs[i]);
    pthread_mutex_lock(&batch->log->write_mu);
    enum tn_status st = commit_locked(batch, err);
    pthread_mutex_unlock(&batch->log->write_mu);
    if (st == TN_OK)
        atomic_fetch_add(&batch->log->records_count, batch->rows);
    tni_waiters_signal(batch);
    return st;
}
