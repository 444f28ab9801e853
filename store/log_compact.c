/* Compaction of compacted topics: keeps the last record of every key, offsets unchanged.
 *
 * HOW IT WORKS: (1) the part not yet clean, [clean_end, limit), is scanned and the last offset of
 * each key remembered, in bounded memory: when the map is full the pass ends there. (2) Entries
 * from the start to the map's end are read in groups; a record is dropped when the map knows a
 * later one of its key, or when it is a tombstone whose time has come. A group that lost records or
 * joins several entries is replaced by one entry, in one atomic write. Dropping a superseded record
 * is right at any moment, so a crash between groups loses only work.
 *
 * Tombstones: those below tomb_end (clean at tomb_ms) go when tomb_ms + store.delete.retention.ms
 * has passed. Nothing at or beyond a hold or end_durable is touched; records without a key are
 * kept.
 */
#include "store/log_int.h"

#include <string.h>

#include "stream/base/crashpoint.h"
#include "stream/base/hash.h"
#include "stream/base/mem.h"

#define GROUP_ENTRIES_MAX   256u
#define GROUP_RAW_BYTES_MAX ((size_t)8 << 20) /* entries in memory, dropped rows included */

/* ---- last offset by key ---- */

struct map_slot {
    uint32_t hash; /* 0 = empty */
    uint32_t key_len;
    uint64_t key_at;
    int64_t offset;
};

struct key_map {
    struct map_slot *slots;
    uint64_t cap, count; /* cap is a power of two */
    struct tn_buf keys;
};

static void map_init(struct key_map *map, size_t bytes_max)
{
    *map = (struct key_map){.cap = 1024};
    map->slots = tn_alloc_array(map->cap, sizeof *map->slots);
    tn_buf_init(&map->keys, bytes_max + 2 * TN_RECORD_BYTES_MAX);
}

static void map_release(struct key_map *map)
{
    tn_free(map->slots);
    tn_buf_release(&map->keys);
}

static size_t map_bytes(const struct key_map *map)
{
    return map->keys.len + map->cap * sizeof *map->slots;
}

static uint32_t key_hash(struct tn_str key)
{
    return (uint32_t)(tn_hash64(key.ptr, key.len) >> 32) | 1u;
}

static struct map_slot *map_slot(const struct key_map *map, struct tn_str key, uint32_t hash)
{
    for (uint64_t i = hash;; i++) {
        struct map_slot *slot = &map->slots[i & (map->cap - 1)];
        if (slot->hash == 0)
            return slot;
        if (slot->hash == hash && slot->key_len == key.len &&
            (key.len == 0 || memcmp(map->keys.ptr + slot->key_at, key.ptr, key.len) == 0))
            return slot;
    }
}

static void map_grow(struct key_map *map)
{
    struct map_slot *old = map->slots;
    uint64_t old_cap = map->cap;
    map->cap *= 2;
    map->slots = tn_alloc_array(map->cap, sizeof *map->slots);
    for (uint64_t i = 0; i < old_cap; i++) {
        if (old[i].hash == 0)
            continue;
        uint64_t at = old[i].hash;
        while (map->slots[at & (map->cap - 1)].hash != 0)
            at++;
        map->slots[at & (map->cap - 1)] = old[i];
    }
    tn_free(old);
}

static void map_put(struct key_map *map, struct tn_str key, int64_t offset)
{
    if (map->count * 4 >= map->cap * 3)
        map_grow(map);
    uint32_t hash = key_hash(key);
    struct map_slot *slot = map_slot(map, key, hash);
    if (slot->hash == 0) {
        *slot = (struct map_slot){hash, (uint32_t)key.len, map->keys.len, 0};
        tn_buf_add_str(&map->keys, key);
        TN_ASSERT(!tn_buf_over(&map->keys));
        map->count++;
    }
    slot->offset = offset;
}

/* ---- a pass ---- */

struct group {
    struct tni_entry *entries[GROUP_ENTRIES_MAX];
    struct tn_records *records[GROUP_ENTRIES_MAX];
    uint32_t entries_count;
    struct tni_span *spans; /* rows kept */
    uint32_t spans_count, spans_cap;
    uint32_t rows, dropped;
    size_t bytes, raw_bytes;
};

struct pass {
    struct tni_log *log;
    struct tni_part *part;
    struct key_map map;
    struct group group;
    int64_t start, clean_end, limit; /* offsets */
    int64_t map_end;
    int64_t tomb_end;  /* tombstones below go; 0 = none */
    bool is_full;      /* the map */
    bool is_abandoned; /* the topic was deleted or retention passed a group: nothing may be marked
                          clean */
};

static void group_clear(struct group *group)
{
    for (uint32_t i = 0; i < group->entries_count; i++) {
        tn_records_unref(group->records[i]);
        tni_log_entry_unref(group->entries[i]);
    }
    group->entries_count = group->spans_count = group->rows = group->dropped = 0;
    group->bytes = group->raw_bytes = 0;
}

/* Calls `each` with every entry of [from, to); `to` is an entry's end. Stops with TN_END when each
 * returns it. */
static enum tn_status entries_each(struct pass *pass, int64_t from, int64_t to,
                                   enum tn_status (*each)(struct pass *pass,
                                                          struct tni_entry *entry,
                                                          struct tn_err *err),
                                   struct tn_err *err)
{
    char key[TNI_ENTRY_KEY_BYTES], upper[TNI_ENTRY_KEY_BYTES];
    tni_log_entry_key(key, pass->part, from);
    tni_log_entry_key(upper, pass->part, to);
    struct tni_iter iter;
    tni_iter_open(pass->log->store, TNI_CF_LOG, (struct tn_str){upper, sizeof upper}, &iter);
    rocksdb_iter_seek(iter.it, key, sizeof key);
    enum tn_status st = TN_OK;
    for (; st == TN_OK && tni_iter_valid(&iter); rocksdb_iter_next(iter.it)) {
        struct tni_entry *entry = NULL;
        st = tni_log_entry_at(pass->part, &iter, &entry, err);
        if (st == TN_OK)
            st = each(pass, entry, err);
        tni_log_entry_unref(entry);
    }
    if (st == TN_OK)
        st = tni_iter_status(&iter, "compaction", err);
    tni_iter_close(&iter);
    return st == TN_END ? TN_OK : st;
}

static enum tn_status remember_keys(struct pass *pass, struct tni_entry *entry, struct tn_err *err)
{
    (void)err;
    if (tni_log_entry_next(entry) > pass->limit)
        return TN_END;
    if (map_bytes(&pass->map) > (size_t)pass->log->store->config.compaction_bytes) {
        pass->is_full = true;
        return TN_END;
    }
    struct tni_piece piece = {tni_log_entry_ref(entry), 0, entry->count};
    struct tn_records *records = tni_pieces_records(&piece, 1);
    for (uint32_t i = 0; i < records->count; i++)
        if (records->keys[i].ptr)
            map_put(&pass->map, records->keys[i], records->offsets[i]);
    tn_records_unref(records);
    pass->map_end = tni_log_entry_next(entry);
    return TN_OK;
}

static bool is_dropped(const struct pass *pass, const struct tn_records *records, uint32_t row)
{
    if (!records->keys[row].ptr)
        return false;
    uint32_t hash = key_hash(records->keys[row]);
    const struct map_slot *slot = map_slot(&pass->map, records->keys[row], hash);
    if (slot->hash != 0 && slot->offset > records->offsets[row])
        return true;
    return !records->values[row].ptr && records->offsets[row] < pass->tomb_end;
}

/* The index row of the group's last entry: its running figures hold for the new entry. */
static enum tn_status last_index(struct pass *pass, int64_t base, struct tni_index *ret_index,
                                 struct tn_err *err)
{
    char key[TNI_INDEX_KEY_BYTES], *value = NULL;
    size_t len = 0;
    tni_index_key(key, pass->part, base);
    enum tn_status st = tni_store_get(pass->log->store, TNI_CF_META,
                                      (struct tn_str){key, sizeof key}, &value, &len, err);
    if (st == TN_NOT_FOUND)
        st = tn_err_set(err, TN_E_CORRUPT, "index row is missing");
    else if (st == TN_OK)
        st = tni_index_decode((struct tn_str){key, sizeof key}, (struct tn_str){value, len},
                              ret_index, err);
    tn_free(value);
    return st == TN_E_CORRUPT ? tni_log_entry_damage(pass->part, base, err) : st;
}

static void stage_group(struct pass *pass, rocksdb_writebatch_t *batch, struct tni_index *index)
{
    struct group *group = &pass->group;
    const struct tn_store *store = pass->log->store;
    char key[TNI_INDEX_KEY_BYTES], value[TNI_INDEX_BYTES];
    int64_t base = group->entries[0]->base, bytes_old = 0;
    int64_t next = tni_log_entry_next(group->entries[group->entries_count - 1]);
    for (uint32_t i = 0; i < group->entries_count; i++) {
        tni_log_entry_key(key, pass->part, group->entries[i]->base);
        rocksdb_writebatch_delete_cf(batch, store->cf[TNI_CF_LOG], key, TNI_ENTRY_KEY_BYTES);
        tni_index_key(key, pass->part, group->entries[i]->base);
        rocksdb_writebatch_delete_cf(batch, store->cf[TNI_CF_META], key, TNI_INDEX_KEY_BYTES);
        bytes_old += (int64_t)group->entries[i]->len;
    }
    bool is_sparse = next - base != group->rows;
    struct tni_entry *entry =
        tni_log_entry_build(group->spans, group->spans_count, is_sparse, base);
    tni_log_entry_seal(entry, pass->part->topic->info.id, pass->part->index, base,
                       (uint32_t)(next - base));
    index->count = entry->count;
    index->bytes = (uint32_t)entry->len;
    index->ts_min = entry->ts_min;
    index->ts_max = entry->ts_max;
    tni_log_entry_key(key, pass->part, base);
    rocksdb_writebatch_put_cf(batch, store->cf[TNI_CF_LOG], key, TNI_ENTRY_KEY_BYTES, entry->bytes,
                              entry->len);
    tni_index_key(key, pass->part, base);
    tni_index_encode(value, index);
    rocksdb_writebatch_put_cf(batch, store->cf[TNI_CF_META], key, TNI_INDEX_KEY_BYTES, value,
                              sizeof value);
    pthread_mutex_lock(&pass->part->mu);
    pass->part->bytes_removed += bytes_old - (int64_t)entry->len;
    tni_part_row_put(batch, pass->log, pass->part);
    pthread_mutex_unlock(&pass->part->mu);
    atomic_fetch_add(&pass->log->reclaim_bytes, bytes_old);
    tni_log_entry_unref(entry);
}

/* @locks maintain_mu */
static enum tn_status write_group(struct pass *pass, struct tn_err *err)
{
    struct group *group = &pass->group;
    pthread_mutex_lock(&pass->part->mu);
    bool is_gone = atomic_load(&pass->part->topic->is_deleted) ||
                   pass->part->start > group->entries[0]->base; /* retention was here */
    pthread_mutex_unlock(&pass->part->mu);
    if (is_gone) {
        pass->is_abandoned = true;
        return TN_END;
    }
    struct tni_index index;
    TN_TRY(last_index(pass, group->entries[group->entries_count - 1]->base, &index, err));
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
    tni_holds_refresh(batch, pass->log, pass->part);
    stage_group(pass, batch, &index);
    tn_crash_point("compaction-before-write");
    enum tn_status st = tni_store_write(pass->log->store, batch, false, err);
    rocksdb_writebatch_destroy(batch);
    tn_crash_point("compaction-after-write");
    atomic_fetch_add(&pass->log->compacted_count, group->dropped);
    int64_t next = tni_log_entry_next(group->entries[group->entries_count - 1]);
    pthread_mutex_lock(&pass->part->mu);
    if (st == TN_OK && next > pass->part->tail_from)
        pass->part->tail_from = next;
    pthread_mutex_unlock(&pass->part->mu);
    return st;
}

static enum tn_status finish_group(struct pass *pass, struct tn_err *err)
{
    struct group *group = &pass->group;
    enum tn_status st = TN_OK;
    if (group->dropped > 0 || group->entries_count > 1) {
        pthread_mutex_lock(&pass->log->maintain_mu);
        st = write_group(pass, err);
        pthread_mutex_unlock(&pass->log->maintain_mu);
    }
    group_clear(group);
    return st;
}

static void add_kept(struct group *group, const struct tn_records *records, uint32_t from,
                     uint32_t to)
{
    if (from == to)
        return;
    group->spans =
        tni_grow(group->spans, &group->spans_cap, group->spans_count, sizeof *group->spans);
    group->spans[group->spans_count++] = (struct tni_span){records, from, to};
}

/* Groups are made of whole entries, so that a pass over clean entries changes nothing. */
static enum tn_status rewrite(struct pass *pass, struct tni_entry *entry, struct tn_err *err)
{
    struct group *group = &pass->group;
    struct tni_piece piece = {tni_log_entry_ref(entry), 0, entry->count};
    struct tn_records *records = tni_pieces_records(&piece, 1);
    uint32_t kept = 0;
    size_t bytes = 0;
    bool *is_kept = tn_alloc_array(records->count, sizeof *is_kept);
    for (uint32_t i = 0; i < records->count; i++) {
        is_kept[i] = !is_dropped(pass, records, i);
        kept += is_kept[i];
        bytes += is_kept[i] ? records->keys[i].len + records->values[i].len : 0;
    }
    enum tn_status st = TN_OK;
    if (group->entries_count > 0 &&
        (group->entries_count == GROUP_ENTRIES_MAX || group->rows + kept > TNI_ENTRY_ROWS_MAX ||
         group->bytes + bytes > TNI_ENTRY_BYTES_SOFT || group->raw_bytes > GROUP_RAW_BYTES_MAX ||
         tni_log_entry_next(entry) - group->entries[0]->base > UINT32_MAX))
        st = finish_group(pass, err);
    group->entries[group->entries_count] = tni_log_entry_ref(entry);
    group->records[group->entries_count++] = records;
    group->rows += kept;
    group->bytes += bytes;
    group->raw_bytes += entry->len;
    group->dropped += entry->count - kept;
    for (uint32_t i = 0, from; i < records->count; i++) {
        for (from = i; i < records->count && is_kept[i]; i++)
            ;
        add_kept(group, records, from, i);
    }
    tn_free(is_kept);
    return st;
}

/* ---- when and how far ---- */

/* Stored bytes of the partition below `offset`, counted from its creation. */
static enum tn_status bytes_below(struct pass *pass, int64_t offset, int64_t *ret_bytes,
                                  struct tn_err *err)
{
    char key[TNI_INDEX_KEY_BYTES];
    tni_index_key(key, pass->part, offset);
    struct tni_iter iter;
    tni_iter_open(pass->log->store, TNI_CF_META, (struct tn_str){NULL, 0}, &iter);
    rocksdb_iter_seek(iter.it, key, sizeof key);
    struct tni_index index = {0};
    enum tn_status st = TN_OK;
    bool is_ours =
        tni_iter_valid(&iter) && memcmp(tni_iter_key(&iter).ptr, key, TNI_PART_KEY_BYTES) == 0;
    if (is_ours)
        st = tni_index_decode(tni_iter_key(&iter), tni_iter_value(&iter), &index, err);
    if (st == TN_OK)
        st = tni_iter_status(&iter, "log index", err);
    tni_iter_close(&iter);
    if (st == TN_OK)
        *ret_bytes = is_ours ? index.bytes_total - index.bytes : INT64_MAX;
    return st;
}

/* Worth a pass: half of the stored bytes are not clean yet, or tombstones may go. */
static enum tn_status is_due(struct pass *pass, bool *ret_is_due, struct tn_err *err)
{
    int64_t clean_bytes = 0, limit_bytes = 0, total;
    pthread_mutex_lock(&pass->part->mu);
    int64_t end_bytes = pass->part->bytes_total;
    total = end_bytes - pass->part->bytes_removed;
    pthread_mutex_unlock(&pass->part->mu);
    TN_TRY(bytes_below(pass, pass->clean_end, &clean_bytes, err));
    TN_TRY(bytes_below(pass, pass->limit, &limit_bytes, err));
    clean_bytes = clean_bytes < end_bytes ? clean_bytes : end_bytes;
    limit_bytes = limit_bytes < end_bytes ? limit_bytes : end_bytes;
    int64_t dirty = limit_bytes - clean_bytes;
    *ret_is_due = (dirty > 0 && dirty * 2 >= total) || pass->tomb_end > pass->start;
    return TN_OK;
}

static void pass_begin(struct pass *pass)
{
    struct tni_part *part = pass->part;
    pass->limit = tni_part_limit(part);
    int64_t now_ms = tn_wall_ms(pass->log->store->config.clock);
    int64_t retention_ms = pass->log->store->config.delete_retention_ms;
    pthread_mutex_lock(&part->mu);
    pass->start = part->start;
    pass->clean_end = part->clean_end > part->start ? part->clean_end : part->start;
    bool is_tomb_due = part->tomb_end > 0 && now_ms - part->tomb_ms >= retention_ms;
    pass->tomb_end = is_tomb_due ? part->tomb_end : 0;
    pthread_mutex_unlock(&part->mu);
    pass->map_end = pass->clean_end;
}

/* @locks maintain_mu */
static enum tn_status pass_end(struct pass *pass, struct tn_err *err)
{
    struct tni_part *part = pass->part;
    if (atomic_load(&part->topic->is_deleted))
        return TN_OK;
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
    pthread_mutex_lock(&part->mu);
    part->clean_end = pass->map_end;
    if (pass->tomb_end > 0 || part->tomb_end == 0) { /* the old mark is used up */
        part->tomb_end = pass->map_end;
        part->tomb_ms = tn_wall_ms(pass->log->store->config.clock);
    }
    tni_part_row_put(batch, pass->log, part);
    pthread_mutex_unlock(&part->mu);
    enum tn_status st = tni_store_write(pass->log->store, batch, false, err);
    rocksdb_writebatch_destroy(batch);
    return st;
}

static enum tn_status run_pass(struct pass *pass, bool is_forced, struct tn_err *err)
{
    bool is_wanted = is_forced && (pass->limit > pass->clean_end || pass->tomb_end > 0);
    if (!is_forced)
        TN_TRY(is_due(pass, &is_wanted, err));
    if (!is_wanted)
        return TN_OK;
    TN_TRY(entries_each(pass, pass->clean_end, INT64_MAX, remember_keys, err));
    TN_TRY(entries_each(pass, pass->start, pass->map_end, rewrite, err));
    enum tn_status st = pass->is_abandoned ? TN_OK : finish_group(pass, err);
    TN_TRY(st);
    if (pass->is_abandoned)
        return TN_OK;
    pthread_mutex_lock(&pass->log->maintain_mu);
    st = pass_end(pass, err);
    pthread_mutex_unlock(&pass->log->maintain_mu);
    return st;
}

enum tn_status tni_part_compact(struct tni_log *log, struct tni_part *part, bool is_forced,
                                struct tn_err *err)
{
    struct pass *pass = tn_alloc(sizeof *pass);
    enum tn_status st;
    do {
        *pass = (struct pass){.log = log, .part = part};
        map_init(&pass->map, (size_t)log->store->config.compaction_bytes);
        pass_begin(pass);
        st = run_pass(pass, is_forced, err);
        group_clear(&pass->group);
        tn_free(pass->group.spans);
        map_release(&pass->map);
    } while (st == TN_OK && pass->is_full && is_forced && !pass->is_abandoned);
    tn_free(pass);
    return st;
}
