/* The committed side of a ktable: look-ups and scans as of a pin, restore, warm-up, decoding of
 * rows.
 *
 * WHERE A ROW IS. For a pin, the row of a key is the newest version in memory with commit ≤ the
 * pin's, if that version is not in the pin's snapshot ("memory row": version.flush > pin.flush).
 * Memory rows can neither be evicted nor collected while the pin is open, so this property of a key
 * does not change during a scan, whatever publish, flush and eviction do meanwhile. Every other key
 * of the pin is in the snapshot, perhaps also in memory. complete table   walk the entries;
 * eviction waits (K2) otherwise        phase 1: snapshot in key order, leaving out keys whose row
 * is a memory row; phase 2: walk the entries for memory rows
 *
 * @thread any */
#include "stream/ktable_int.h"

/* Is version v, which the pin sees, missing in the pin's snapshot? */
static bool is_memory_row(const struct tni_version *v, const struct tni_view_pin *pin)
{
    return v && v->flush > pin->flush;
}

/* Rows are copied out under the lock: bytes from blocks of the arena. */
struct copier {
    struct tn_arena *arena;
    char *next, *end;
};

/* Keys and rows are mostly 8 to 32 bytes: two overlapping moves instead of a call. */
static inline void copy_small(char *to, const char *from, size_t len)
{
    if (len >= 8 && len <= 16) {
        uint64_t a, b;
        memcpy(&a, from, 8);
        memcpy(&b, from + len - 8, 8);
        memcpy(to, &a, 8);
        memcpy(to + len - 8, &b, 8);
    } else if (len > 16 && len <= 32) {
        uint64_t a[2], b[2];
        memcpy(a, from, 16);
        memcpy(b, from + len - 16, 16);
        memcpy(to, a, 16);
        memcpy(to + len - 16, b, 16);
    } else if (len > 0) { /* an empty value may come before there is memory */
        memcpy(to, from, len);
    }
}

static inline struct tn_str copy_out(struct copier *copier, const char *ptr, size_t len)
{
    if (TN_UNLIKELY((size_t)(copier->end - copier->next) < len)) {
        size_t size = len > 16384 ? len : 16384;
        copier->next = tn_arena_alloc(copier->arena, size);
        copier->end = copier->next + size;
    }
    char *to = copier->next;
    copy_small(to, ptr, len);
    copier->next += len;
    return (struct tn_str){to, len};
}

/* ---- look-up ---- */

/* Rows found in memory; keys that must be read from the snapshot go to `wanted`. Read lock held. */
static uint32_t get_memory(struct tni_ktable *kt, const struct tni_view_pin *pin,
                           const struct tn_str *keys, uint32_t count, struct copier *copier,
                           struct tni_row *rows, uint32_t *wanted)
{
    uint32_t wanted_count = 0;
    bool is_complete = atomic_load(&kt->is_complete);
    uint64_t expired = kt->window_bytes ? tni_expiry_at(kt, pin->commit) : 0;
    for (uint32_t i = 0; i < count; i++) {
        rows[i] = (struct tni_row){.key = keys[i]};
        if (kt->window_bytes && tni_key_segment(kt, keys[i]) < expired)
            continue;
        const struct tni_entry *e = tni_index_find(kt, keys[i], tni_key_hash(keys[i]));
        if (e && e->head) {
            const struct tni_version *v = tni_entry_visible(e, pin->commit);
            if (tni_version_lives(v))
                rows[i].row = copy_out(copier, v->bytes, v->len);
        } else if (!is_complete) {
            wanted[wanted_count++] = i;
        }
    }
    return wanted_count;
}

enum tn_status tni_ktable_get(struct tni_ktable *kt, const struct tni_view_pin *pin,
                              const struct tn_str *keys, uint32_t count, struct tn_arena *arena,
                              struct tni_row *ret_rows, struct tn_err *err)
{
    uint32_t *wanted = TN_ARENA_ARRAY(arena, uint32_t, count);
    struct tni_row *rows = TN_ARENA_ARRAY(arena, struct tni_row, count);
    struct copier copier = {.arena = arena};
    pthread_rwlock_rdlock(&kt->lock);
    uint32_t wanted_count = get_memory(kt, pin, keys, count, &copier, rows, wanted);
    pthread_rwlock_unlock(&kt->lock);
    if (wanted_count) {
        struct tn_str *state_keys = TN_ARENA_ARRAY(arena, struct tn_str, wanted_count);
        struct tn_str *values = TN_ARENA_ARRAY(arena, struct tn_str, wanted_count);
        for (uint32_t w = 0; w < wanted_count; w++)
            state_keys[w] = tni_state_key_write(kt, keys[wanted[w]],
                                                tn_arena_alloc(arena, keys[wanted[w]].len + 16));
        struct tn_state *state = kt->cfg.state;
        TN_TRY(state->type->multi_get(state, pin->shared->snapshot, state_keys, wanted_count, arena,
                                      values, err));
        for (uint32_t w = 0; w < wanted_count; w++)
            if (values[w].ptr && values[w].len >= TNI_ROWTIME_BYTES)
                rows[wanted[w]].row = values[w];
    }
    if (count)
        memcpy(ret_rows, rows, count * sizeof *rows);
    return TN_OK;
}

/* ---- scans ---- */

struct tni_scan {
    struct tni_ktable *kt;
    const struct tni_view_pin *pin;
    struct tn_arena arena; /* the range's bytes */
    struct tni_scan_range range;
    bool has_range;
    bool is_memory_only; /* complete table: counted in kt->memory_scans */
    bool is_snapshot_done;
    uint32_t id;                       /* next entry of the memory walk */
    uint64_t expired;                  /* segments below are gone for this pin */
    uint64_t segment_from, segment_to; /* inclusive; windowed tables */
    struct tn_state_iter *iter;
    struct tn_str *pending_keys, *pending_rows;
};

static bool in_range(const struct tni_scan *scan, struct tn_str key)
{
    const struct tni_ktable *kt = scan->kt;
    if (kt->window_bytes) {
        int64_t start, end;
        tni_key_window(kt, key, &start, &end);
        if (tni_window_segment(&kt->cfg.window, start, end) < scan->expired)
            return false;
        if (scan->has_range &&
            (start < scan->range.start_from_ms || start > scan->range.start_to_ms))
            return false;
    }
    if (!scan->has_range)
        return true;
    return !(scan->range.low.ptr && tn_str_cmp(key, scan->range.low) < 0) &&
           !(scan->range.high.ptr && tn_str_cmp(key, scan->range.high) >= 0);
}

static void range_copy(struct tni_scan *scan, const struct tni_scan_range *range)
{
    scan->has_range = range->low.ptr || range->high.ptr || range->start_from_ms != INT64_MIN ||
                      range->start_to_ms != INT64_MAX;
    scan->range = *range;
    scan->range.low = tn_arena_str(&scan->arena, range->low);
    scan->range.high = tn_arena_str(&scan->arena, range->high);
}

/* Bounds of the state port keys: the key range where segments do not come first, else the segments.
 */
static enum tn_status open_iter(struct tni_scan *scan, struct tn_err *err)
{
    struct tni_ktable *kt = scan->kt;
    char from[8], to[8];
    tni_ktable_range(kt, from, to);
    struct tn_buf low, high;
    tn_buf_init(&low, UINT32_MAX);
    tn_buf_init(&high, UINT32_MAX);
    tn_buf_add(&low, from, 8);
    tn_buf_add(&high, to, 8);
    if (kt->window_bytes) {
        tn_buf_add_be64(&low, scan->expired);
    } else if (scan->has_range) {
        if (scan->range.low.ptr)
            tn_buf_add_str(&low, scan->range.low);
        if (scan->range.high.ptr) {
            tn_buf_reset(&high);
            tn_buf_add(&high, from, 8);
            tn_buf_add_str(&high, scan->range.high);
        }
    }
    struct tn_state *state = kt->cfg.state;
    enum tn_status st = state->type->iter_open(state, scan->pin->shared->snapshot, tn_buf_str(&low),
                                               tn_buf_str(&high), &scan->iter, err);
    tn_buf_release(&low);
    tn_buf_release(&high);
    return st;
}

enum tn_status tni_scan_open(struct tni_ktable *kt, const struct tni_view_pin *pin,
                             const struct tni_scan_range *range, struct tni_scan **ret_scan,
                             struct tn_err *err)
{
    struct tni_scan *scan = tn_alloc(sizeof *scan);
    scan->kt = tni_ktable_ref(kt);
    scan->pin = pin;
    tn_arena_init(&scan->arena, 0);
    if (range)
        range_copy(scan, range);
    pthread_mutex_lock(&kt->scan_lock);
    scan->is_memory_only = atomic_load(&kt->is_complete);
    if (scan->is_memory_only)
        kt->memory_scans++;
    pthread_mutex_unlock(&kt->scan_lock);
    pthread_rwlock_rdlock(&kt->lock);
    scan->expired = kt->window_bytes ? tni_expiry_at(kt, pin->commit) : 0;
    pthread_rwlock_unlock(&kt->lock);
    scan->is_snapshot_done = scan->is_memory_only;
    if (!scan->is_memory_only) {
        enum tn_status st = open_iter(scan, err);
        if (tn_failed(st)) {
            tni_scan_close(scan);
            return st;
        }
    }
    *ret_scan = scan;
    return TN_OK;
}

void tni_scan_close(struct tni_scan *scan)
{
    if (!scan)
        return;
    struct tni_ktable *kt = scan->kt;
    if (scan->is_memory_only) {
        pthread_mutex_lock(&kt->scan_lock);
        TN_ASSERT(kt->memory_scans > 0);
        kt->memory_scans--;
        pthread_mutex_unlock(&kt->scan_lock);
    }
    if (scan->iter)
        kt->cfg.state->type->iter_close(scan->iter);
    tn_arena_release(&scan->arena);
    tn_free(scan);
    tni_ktable_unref(kt);
}

/* Walk entries from scan->id on. Read lock held. */
static uint32_t walk_memory(struct tni_scan *scan, uint32_t rows_max, struct copier *copier,
                            struct tni_row *rows)
{
    struct tni_ktable *kt = scan->kt;
    bool is_filtered = scan->has_range || kt->window_bytes;
    uint32_t count = 0, ids = kt->slabs_count << TNI_SLAB_SHIFT;
    for (; scan->id < ids && count < rows_max; scan->id++) {
        if ((scan->id & 7u) == 0 && scan->id + 16 < ids)
            for (uint32_t i = 8; i < 16; i++) {
                const struct tni_entry *ahead = tni_entry_at(kt, scan->id + i);
                if (ahead->head)
                    __builtin_prefetch(ahead->head);
            }
        const struct tni_entry *e = tni_entry_at(kt, scan->id);
        if (!e->head)
            continue;
        const struct tni_version *v = tni_entry_visible(e, scan->pin->commit);
        if (!tni_version_lives(v) || (!scan->is_memory_only && !is_memory_row(v, scan->pin)))
            continue;
        struct tn_str key = {tni_entry_key_ptr(kt, e), e->key_len};
        if (is_filtered && !in_range(scan, key))
            continue;
        rows[count].key = copy_out(copier, key.ptr, key.len);
        rows[count++].row = copy_out(copier, v->bytes, v->len);
    }
    return count;
}

/* The next rows of the snapshot that lie in the range; their bytes go to the arena. */
static enum tn_status read_snapshot(struct tni_scan *scan, uint32_t rows_max, struct copier *copier,
                                    struct tni_row *rows, uint32_t *ret_count, struct tn_err *err)
{
    const struct tni_ktable *kt = scan->kt;
    size_t head = kt->window_bytes ? 16 : 8;
    uint32_t count = 0;
    while (count < rows_max) {
        struct tn_str key, row;
        enum tn_status st = kt->cfg.state->type->iter_next(scan->iter, &key, &row, err);
        if (tn_failed(st))
            return st;
        if (st == TN_END) {
            scan->is_snapshot_done = true;
            break;
        }
        if (key.len < head + kt->window_bytes || row.len < TNI_ROWTIME_BYTES)
            return tn_err_set(err, TN_E_CORRUPT, "store %u partition %u: a stored row is cut short",
                              kt->cfg.store_id, kt->cfg.partition);
        key = (struct tn_str){key.ptr + head, key.len - head};
        if (!in_range(scan, key))
            continue;
        rows[count].key = copy_out(copier, key.ptr, key.len);
        rows[count++].row = copy_out(copier, row.ptr, row.len);
    }
    *ret_count = count;
    return TN_OK;
}

/* Leave out rows that the memory walk gives. Read lock held. */
static uint32_t drop_memory_rows(const struct tni_scan *scan, struct tni_row *rows, uint32_t count)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        TN_ASSERT(rows[i].key.ptr);
        const struct tni_entry *e =
            tni_index_find(scan->kt, rows[i].key, tni_key_hash(rows[i].key));
        if (e && is_memory_row(tni_entry_visible(e, scan->pin->commit), scan->pin))
            continue;
        rows[kept++] = rows[i];
    }
    return kept;
}

enum tn_status tni_scan_next(struct tni_scan *scan, uint32_t rows_max, struct tn_arena *arena,
                             struct tni_row *ret_rows, uint32_t *ret_count, struct tn_err *err)
{
    struct tni_ktable *kt = scan->kt;
    struct copier copier = {.arena = arena};
    uint32_t count = 0;
    TN_ASSERT(rows_max > 0);
    while (!count && !scan->is_snapshot_done) {
        TN_TRY(read_snapshot(scan, rows_max, &copier, ret_rows, &count, err));
        pthread_rwlock_rdlock(&kt->lock);
        count = drop_memory_rows(scan, ret_rows, count);
        pthread_rwlock_unlock(&kt->lock);
    }
    while (!count) {
        pthread_rwlock_rdlock(&kt->lock);
        bool is_end = scan->id >= kt->slabs_count << TNI_SLAB_SHIFT;
        if (!is_end)
            count = walk_memory(scan, rows_max, &copier, ret_rows);
        pthread_rwlock_unlock(&kt->lock);
        if (is_end)
            return TN_END;
    }
    *ret_count = count;
    return TN_OK;
}

/* ---- decoding ---- */

/* Pointer tables of `count` states of one row-block: base of row i at bases + i × states_bytes. */
static enum tn_status decode_states(const struct tni_ktable *kt, const struct tni_row *rows,
                                    uint32_t count, char *bases, uint32_t *ret_decoded,
                                    struct tn_err *err)
{
    for (uint32_t i = 0; i < count; i++) {
        char *base = bases + (size_t)i * kt->states_bytes;
        for (uint32_t a = 0; a < kt->cfg.aggs_count; a++)
            kt->cfg.aggs[a].agg->init(&kt->cfg.aggs[a],
                                      base + (kt->agg_at[a] - sizeof(struct tni_entry)));
        *ret_decoded = i + 1; /* to be released, decoded or not */
        if (rows[i].row.ptr)
            TN_TRY(tni_states_decode(kt, base, rows[i].row.ptr + TNI_ROWTIME_BYTES,
                                     rows[i].row.ptr + rows[i].row.len, err));
    }
    return TN_OK;
}

static void release_states(const struct tni_ktable *kt, char *bases, uint32_t count)
{
    for (uint32_t a = 0; a < kt->cfg.aggs_count; a++) {
        const struct tn_agg_call *call = &kt->cfg.aggs[a];
        for (uint32_t i = 0; call->agg->release && i < count; i++)
            call->agg->release(call, bases + (size_t)i * kt->states_bytes +
                                         (kt->agg_at[a] - sizeof(struct tni_entry)));
    }
}

static void final_columns(const struct tni_ktable *kt, const struct tni_row *rows, uint32_t count,
                          const bool *needed, char *bases, struct tn_arena *arena,
                          struct tn_column *ret_values)
{
    void **states = tn_arena_alloc(arena, count * sizeof *states);
    for (uint32_t a = 0; a < kt->cfg.aggs_count; a++) {
        const struct tn_agg_call *call = &kt->cfg.aggs[a];
        ret_values[a] = (struct tn_column){
            .type = call->type, .rows_count = count, .is_absent = needed && !needed[a]};
        if (ret_values[a].is_absent)
            continue;
        for (uint32_t i = 0; i < count; i++)
            states[i] =
                bases + (size_t)i * kt->states_bytes + (kt->agg_at[a] - sizeof(struct tni_entry));
        call->agg->final(call, states, count, &ret_values[a], arena);
        for (uint32_t i = 0; i < count; i++)
            if (!rows[i].row.ptr)
                tn_column_set_null(&ret_values[a], i, arena);
    }
}

static enum tn_status value_columns(const struct tni_ktable *kt, const struct tni_row *rows,
                                    uint32_t count, const bool *needed, struct tn_arena *arena,
                                    struct tn_column *ret_values, struct tn_err *err)
{
    if (kt->is_rows) {
        struct tn_str *values = TN_ARENA_ARRAY(arena, struct tn_str, count);
        for (uint32_t i = 0; i < count; i++)
            if (rows[i].row.ptr)
                values[i] = (struct tn_str){rows[i].row.ptr + TNI_ROWTIME_BYTES,
                                            rows[i].row.len - TNI_ROWTIME_BYTES};
        return tni_rowcode_columns(kt->value_types, kt->values_count, values, count, needed, arena,
                                   ret_values, err);
    }
    bool is_wanted = !needed;
    for (uint32_t a = 0; a < kt->cfg.aggs_count && !is_wanted; a++)
        is_wanted = needed[a];
    if (!is_wanted) { /* keys only: states stay encoded */
        for (uint32_t a = 0; a < kt->cfg.aggs_count; a++)
            ret_values[a] = (struct tn_column){
                .type = kt->cfg.aggs[a].type, .rows_count = count, .is_absent = true};
        return TN_OK;
    }
    char *bases = tn_arena_alloc(arena, (size_t)count * kt->states_bytes + 8);
    uint32_t decoded = 0;
    enum tn_status st = decode_states(kt, rows, count, bases, &decoded, err);
    if (!tn_failed(st))
        final_columns(kt, rows, count, needed, bases, arena, ret_values);
    release_states(kt, bases, decoded);
    return st;
}

static enum tn_status key_columns(const struct tni_ktable *kt, const struct tni_row *rows,
                                  uint32_t count, struct tn_arena *arena,
                                  struct tn_column *ret_keys, struct tn_err *err)
{
    struct tn_str *keys = tn_arena_alloc(arena, count * sizeof *keys);
    for (uint32_t i = 0; i < count; i++)
        keys[i] = rows[i].key;
    return tni_keycode_columns(kt->cfg.key_types, kt->cfg.keys_count, keys, count, arena, ret_keys,
                               NULL, err);
}

enum tn_status tni_ktable_rows_columns(const struct tni_ktable *kt, const struct tni_row *rows,
                                       uint32_t count, const bool *needed, struct tn_arena *arena,
                                       struct tn_column *ret_keys, struct tn_column *ret_values,
                                       int64_t *ret_rowtimes_ms, int64_t *ret_starts_ms,
                                       int64_t *ret_ends_ms, struct tn_err *err)
{
    for (uint32_t i = 0; i < count; i++) {
        if (rows[i].row.ptr && rows[i].row.len < TNI_ROWTIME_BYTES)
            return tn_err_set(err, TN_E_CORRUPT, "store %u partition %u: a row is cut short",
                              kt->cfg.store_id, kt->cfg.partition);
        if (ret_rowtimes_ms) {
            ret_rowtimes_ms[i] = 0;
            if (rows[i].row.ptr)
                memcpy(&ret_rowtimes_ms[i], rows[i].row.ptr, 8);
        }
        int64_t start, end;
        if (ret_starts_ms || ret_ends_ms) {
            tni_key_window(kt, rows[i].key, &start, &end);
            if (ret_starts_ms)
                ret_starts_ms[i] = start;
            if (ret_ends_ms)
                ret_ends_ms[i] = end;
        }
    }
    if (ret_keys)
        TN_TRY(key_columns(kt, rows, count, arena, ret_keys, err));
    if (ret_values)
        TN_TRY(value_columns(kt, rows, count, needed, arena, ret_values, err));
    return TN_OK;
}
