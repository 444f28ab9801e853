/* Filling a ktable from a changelog, and from the state port in idle time.
 *
 * Restored rows become committed versions at once (unflushed), the newest of a key in a batch only;
 * what it replaces is not decoded. States of own-encoding rows are made when a key is first used.
 * Damaged bytes are found here for what a check of lengths can find, and at first use for the rest.
 *
 * @thread worker */
#include "stream/ktable_int.h"

static struct tni_version *version_of(struct tni_ktable *kt, struct tn_str row)
{
    struct tni_version *v = tni_version_new(kt, row.ptr ? row.len : TNI_ROWTIME_BYTES);
    if (row.ptr)
        memcpy(v->bytes, row.ptr, row.len);
    else
        memset(v->bytes, 0, TNI_ROWTIME_BYTES);
    v->is_deleted = !row.ptr;
    return v;
}

/* Write lock held. Returns the memory that cannot go before the next flush. What the key was before
 * under the same commit goes at once: no pin can want it (the rule of tni_ktable_gc). */
static size_t replace_head(struct tni_ktable *kt, struct tni_entry *e, struct tni_version *v,
                           int64_t commit)
{
    struct tni_version *old = e->head;
    kt->keys_count += (int)!v->is_deleted - (int)tni_version_lives(old);
    v->commit = commit;
    v->next = old;
    e->head = e->last = v;
    if (old && old->commit == commit && !(e->cflags & TNI_C_FLUSHING)) {
        v->next = old->next;
        tni_version_free(kt, old);
    }
    if (v->next && !(e->cflags & TNI_C_GARBAGE)) {
        e->cflags |= TNI_C_GARBAGE;
        tni_entries_add(&kt->garbage, e);
    }
    if (e->cflags & TNI_C_UNFLUSHED)
        return 0;
    e->cflags |= TNI_C_UNFLUSHED;
    tni_entries_add(&kt->unflushed, e);
    return kt->entry_bytes + sizeof *v + v->len;
}

static void replace_heads(struct tni_ktable *kt, struct tni_entry **entries,
                          struct tni_version **versions, uint32_t count, int64_t commit)
{
    size_t bytes = 0;
    for (uint32_t from = 0; from < count; from += TNI_LOCK_ITEMS) {
        uint32_t end = count - from > TNI_LOCK_ITEMS ? from + TNI_LOCK_ITEMS : count;
        pthread_rwlock_wrlock(&kt->lock);
        for (uint32_t i = from; i < end; i++) {
            entries[i]->wflags &= (uint8_t)~TNI_W_DIRTY;
            bytes += replace_head(kt, entries[i], versions[i], commit);
        }
        pthread_rwlock_unlock(&kt->lock);
    }
    atomic_fetch_add_explicit(&kt->bytes_unflushed, (long long)bytes, memory_order_relaxed);
    tni_mem_sweep(kt);
    tni_settle(kt);
}

/* Walk a batch from its end: of a key only the newest row counts, which TNI_W_DIRTY marks
 * meanwhile. The version before is wanted soon. */
static bool is_newest(struct tni_entry *const *entries, uint32_t i)
{
    struct tni_entry *e = entries[i];
    if (i >= 8 && entries[i - 8]->head)
        __builtin_prefetch(entries[i - 8]->head);
    if (e->wflags & TNI_W_DIRTY)
        return false;
    e->wflags |= TNI_W_DIRTY;
    return true;
}

enum tn_status tni_ktable_restore(struct tni_ktable *kt, const struct tn_str *keys,
                                  const struct tn_str *rows, uint32_t count, int64_t commit,
                                  struct tn_err *err)
{
    for (uint32_t i = 0; i < count; i++)
        if ((rows[i].ptr && rows[i].len < TNI_ROWTIME_BYTES) || !keys[i].ptr ||
            keys[i].len <= kt->window_bytes)
            return tn_err_set(err, TN_E_CORRUPT,
                              "store %u partition %u: a changelog record is cut short",
                              kt->cfg.store_id, kt->cfg.partition);
    struct tni_entry **entries = tn_alloc_array(count + 1, sizeof *entries);
    enum tn_status st = tni_acquire_keys(kt, keys, count, TNI_ACQUIRE_BLIND, entries, err);
    if (tn_failed(st)) {
        tn_free(entries);
        return st;
    }
    TN_ASSERT(!kt->dirty.count); /* restore comes before processing */
    struct tni_version **versions = tn_alloc_raw((count + 1) * sizeof *versions);
    uint32_t at = count;
    for (uint32_t i = count; i-- > 0;) {
        struct tni_entry *e = entries[i];
        if (!is_newest(entries, i))
            continue;
        tni_state_release(kt, e);
        struct tni_version *v = version_of(kt, rows[i]);
        e->rowtime_ms = tni_version_rowtime(v);
        e->wflags = (uint8_t)((e->wflags & ~TNI_W_EXISTS) | (v->is_deleted ? 0 : TNI_W_EXISTS));
        entries[--at] = e;
        versions[at] = v;
    }
    replace_heads(kt, entries + at, versions + at, count - at, commit);
    tn_free(versions);
    tn_free(entries);
    return TN_OK;
}

/* Rows of a MATERIALIZE table. */
static void restore_puts(struct tni_ktable *kt, struct tni_entry *const *entries,
                         const struct tn_column *values, const uint8_t *is_delete,
                         const int64_t *rowtimes_ms, uint32_t count, int64_t commit)
{
    for (uint32_t i = 0; i < count; i++) {
        int64_t rowtime_ms = rowtimes_ms ? rowtimes_ms[i] : 0;
        uint32_t row = i;
        if (is_delete && tn_bit_get(is_delete, i))
            tni_ktable_delete(kt, entries[i], rowtime_ms);
        else
            tni_ktable_put(kt, &entries[i], values, rowtimes_ms, &row, 1);
        entries[i]->rowtime_ms = rowtime_ms;
    }
    tni_ktable_publish(kt, tni_ktable_boundary(kt), commit);
}

/* The state of a final value stays open in the entry; what it was before is not read. */
static struct tni_version *version_of_final(struct tni_ktable *kt, struct tni_entry *e,
                                            const struct tn_column *values, uint32_t row)
{
    if (!(e->wflags & TNI_W_STATE)) {
        tni_states_init(kt, e);
        e->wflags |= TNI_W_STATE;
    }
    for (uint32_t a = 0; a < kt->cfg.aggs_count; a++) {
        const struct tn_agg_call *call = &kt->cfg.aggs[a];
        call->agg->from_final(call, tni_entry_state(kt, e, a), &values[a], row);
    }
    e->wflags |= TNI_W_EXISTS;
    return tni_version_encode(kt, e);
}

static void restore_finals(struct tni_ktable *kt, struct tni_entry **entries,
                           const struct tn_column *values, const uint8_t *is_delete,
                           const int64_t *rowtimes_ms, uint32_t count, int64_t commit)
{
    for (uint32_t a = 0; a < kt->cfg.aggs_count; a++)
        TN_ASSERT(kt->cfg.aggs[a].agg->from_final); /* the planner chose this changelog for
                                                       invertible ones only */
    TN_ASSERT(!kt->dirty.count);
    struct tni_version **versions = tn_alloc_raw((count + 1) * sizeof *versions);
    uint32_t at = count;
    for (uint32_t i = count; i-- > 0;) {
        struct tni_entry *e = entries[i];
        if (!is_newest(entries, i))
            continue;
        e->rowtime_ms = rowtimes_ms ? rowtimes_ms[i] : 0;
        entries[--at] = e;
        if (is_delete && tn_bit_get(is_delete, i)) {
            tni_state_release(kt, e);
            e->wflags &= (uint8_t)~TNI_W_EXISTS;
            versions[at] = tni_version_tombstone(kt, e);
        } else {
            versions[at] = version_of_final(kt, e, values, i);
        }
    }
    replace_heads(kt, entries + at, versions + at, count - at, commit);
    tn_free(versions);
}

enum tn_status tni_ktable_restore_columns(struct tni_ktable *kt, const struct tn_column *keys,
                                          const int64_t *window_starts, const int64_t *window_ends,
                                          const struct tn_column *values, const uint8_t *is_delete,
                                          const int64_t *rowtimes_ms, uint32_t count,
                                          int64_t commit, struct tn_err *err)
{
    struct tni_entry **entries = tn_alloc_array(count + 1, sizeof *entries);
    tni_keys_encode(kt, keys, NULL, count, window_starts, window_ends);
    enum tn_status st =
        tni_acquire_keys(kt, kt->scratch.keys, count, TNI_ACQUIRE_BLIND, entries, err);
    if (!tn_failed(st)) {
        if (kt->is_rows)
            restore_puts(kt, entries, values, is_delete, rowtimes_ms, count, commit);
        else
            restore_finals(kt, entries, values, is_delete, rowtimes_ms, count, commit);
    }
    tn_free(entries);
    return st;
}

/* ---- warm-up ---- */

static void warm_from(struct tni_ktable *kt, struct tn_str state_key)
{
    tn_free(kt->warm_key);
    kt->warm_key_len = state_key.len + 1; /* the smallest key behind it */
    kt->warm_key = tn_alloc(kt->warm_key_len);
    memcpy(kt->warm_key, state_key.ptr, state_key.len);
}

/* Take one row in if the key is not in memory, or is there but could not be read before. */
void tni_warm_row(struct tni_ktable *kt, struct tn_str key, struct tn_str row)
{
    uint32_t hash = tni_key_hash(key);
    struct tni_entry *e = tni_index_find(kt, key, hash);
    if (e && !(e->wflags & TNI_W_UNLOADED))
        return;
    TN_ASSERT(!e || !e->head);
    tni_index_reserve(kt, 1);
    struct tni_version *v = version_of(kt, row);
    pthread_rwlock_wrlock(&kt->lock);
    if (!e)
        e = tni_entry_new(kt, key, hash);
    tni_entry_adopt(kt, e, v);
    pthread_rwlock_unlock(&kt->lock);
}

static enum tn_status warm_rows(struct tni_ktable *kt, struct tn_state_iter *iter,
                                uint32_t rows_max, struct tn_err *err)
{
    size_t head = kt->window_bytes ? 16 : 8;
    for (uint32_t i = 0; i < rows_max; i++) {
        struct tn_str key, row;
        enum tn_status st = kt->cfg.state->type->iter_next(iter, &key, &row, err);
        if (st != TN_OK)
            return st;
        if (key.len < head + kt->window_bytes || row.len < TNI_ROWTIME_BYTES)
            return tn_err_set(err, TN_E_CORRUPT, "store %u partition %u: a stored row is cut short",
                              kt->cfg.store_id, kt->cfg.partition);
        tni_warm_row(kt, (struct tn_str){key.ptr + head, key.len - head}, row);
        if (i + 1 == rows_max)
            warm_from(kt, key);
    }
    return TN_OK;
}

enum tn_status tni_ktable_warm(struct tni_ktable *kt, uint32_t rows_max, struct tn_err *err)
{
    uint64_t evictions = (uint64_t)atomic_load_explicit(&kt->evictions, memory_order_relaxed);
    if (atomic_load(&kt->is_complete) ||
        (tni_budget_is_over(kt->cfg.budget) && !kt->cfg.is_resident))
        return TN_END;
    if (!kt->is_warm_started || kt->warm_evictions != evictions) {
        char from[8], to[8]; /* something was evicted since: begin again */
        tni_ktable_range(kt, from, to);
        tn_free(kt->warm_key);
        kt->warm_key = tn_alloc(8);
        kt->warm_key_len = 8;
        memcpy(kt->warm_key, from, 8);
        kt->is_warm_started = true;
        kt->warm_evictions = evictions;
    }
    char from[8], to[8];
    tni_ktable_range(kt, from, to);
    struct tn_state *state = kt->cfg.state;
    struct tn_state_iter *iter = NULL;
    TN_TRY(state->type->iter_open(state, NULL, (struct tn_str){kt->warm_key, kt->warm_key_len},
                                  (struct tn_str){to, 8}, &iter, err));
    enum tn_status st = warm_rows(kt, iter, rows_max, err);
    state->type->iter_close(iter);
    tni_settle(kt);
    if (st == TN_END)
        atomic_store(&kt->is_complete, true); /* K2: every key of the port was seen, none evicted */
    return st;
}
