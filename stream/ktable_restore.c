/* Filling a ktable from a changelog, and from the state port in idle time.
 *
 * Restored rows become committed versions at once (unflushed), without decoding: states are made
 * when a key is first used. Damaged bytes are found here for what a check of lengths can find, and
 * at first use for the rest.
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
    struct tni_delta *delta = tn_alloc_raw(sizeof *delta + count * sizeof delta->items[0]);
    *delta = (struct tni_delta){.kt = kt};
    for (uint32_t i = 0; i < count; i++) {
        struct tni_entry *e = entries[i];
        TN_ASSERT(!(e->wflags & TNI_W_DIRTY)); /* restore comes before processing */
        tni_state_release(kt, e);
        const struct tni_version *before = e->last;
        struct tni_version *v = version_of(kt, rows[i]);
        e->last = v;
        e->rowtime_ms = tni_version_rowtime(v);
        e->wflags = (uint8_t)((e->wflags & ~TNI_W_EXISTS) | (v->is_deleted ? 0 : TNI_W_EXISTS));
        delta->items[delta->count++] = (struct tni_delta_item){e, v, before};
    }
    tn_free(entries);
    tni_settle(kt);
    tni_ktable_publish(kt, delta, commit);
    return TN_OK;
}

static void restore_states(struct tni_ktable *kt, struct tni_entry *const *entries,
                           const struct tn_column *values, uint32_t count)
{
    for (uint32_t a = 0; a < kt->cfg.aggs_count; a++) {
        const struct tn_agg_call *call = &kt->cfg.aggs[a];
        TN_ASSERT(
            call->agg->from_final); /* the planner chose this changelog for invertible ones only */
        for (uint32_t i = 0; i < count; i++)
            call->agg->from_final(call, tni_entry_state(kt, entries[i], a), &values[a], i);
    }
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
    for (uint32_t i = 0; i < count && !tn_failed(st); i++)
        st = tni_entry_open(kt, entries[i], err);
    if (tn_failed(st)) {
        tn_free(entries);
        return st;
    }
    if (!kt->is_rows)
        restore_states(kt, entries, values, count);
    for (uint32_t i = 0; i < count; i++) {
        bool is_deleted = is_delete && tn_bit_get(is_delete, i);
        int64_t rowtime_ms = rowtimes_ms ? rowtimes_ms[i] : 0;
        uint32_t row = i;
        if (is_deleted)
            tni_ktable_delete(kt, entries[i], rowtime_ms);
        else if (kt->is_rows)
            tni_ktable_put(kt, &entries[i], values, rowtimes_ms, &row, 1);
        else
            tni_ktable_touch(kt, &entries[i], NULL, NULL, 1);
        entries[i]->rowtime_ms = rowtime_ms;
    }
    tn_free(entries);
    tni_ktable_publish(kt, tni_ktable_boundary(kt), commit);
    return TN_OK;
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
