/* The ktable's worker side: opening, batch look-up, updates, reading open values. The picture is in
 * ktable.h.
 *
 * LOOK-UP OF A BATCH. All keys are encoded once into scratch and hashed; index slots are prefetched
 * in groups, then entries, then compared, so that cache misses of a group overlap. What is missing
 * is inserted under the write lock (queries read the index too) and, unless the table is complete,
 * read from the state port with one MultiGet.
 *
 * @thread worker */
#include "stream/ktable_int.h"

#include <stdio.h>

/* ---- open, free ---- */

static void layout(struct tni_ktable *kt)
{
    const struct tni_ktable_config *cfg = &kt->cfg;
    uint32_t at = sizeof(struct tni_entry);
    kt->agg_at = tn_alloc_array(cfg->aggs_count + 1, sizeof *kt->agg_at);
    kt->agg_at[0] = at;
    for (uint32_t a = 0; a < cfg->aggs_count; a++) {
        kt->agg_at[a] = at;
        at += (cfg->aggs[a].state_bytes + 7u) & ~7u;
        kt->has_extra |= cfg->aggs[a].agg->bytes_extra != NULL;
    }
    if (kt->is_rows)
        at += sizeof(struct tni_open_row);
    kt->states_bytes = at - (uint32_t)sizeof(struct tni_entry);
    kt->key_at = at;
    size_t fixed = tni_keycode_width(cfg->key_types, cfg->keys_count);
    uint32_t want = (uint32_t)(fixed ? fixed : 16) + kt->window_bytes;
    kt->entry_bytes = (at + (want < 8 ? 8 : want) + 7u) & ~7u;
    kt->key_inline = kt->entry_bytes - kt->key_at;
}

static void value_types_fill(struct tni_ktable *kt)
{
    const struct tni_ktable_config *cfg = &kt->cfg;
    kt->is_rows = cfg->aggs_count == 0;
    kt->values_count = kt->is_rows ? cfg->values_count : cfg->aggs_count;
    kt->value_types = tn_alloc_array(kt->values_count + 1, sizeof *kt->value_types);
    for (uint32_t i = 0; i < kt->values_count; i++)
        kt->value_types[i] = kt->is_rows ? cfg->value_types[i] : cfg->aggs[i].type;
}

static void put_be32(char *to, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++)
        to[i] = (char)(value >> (24 - 8 * i));
}

/* Is there any key of this store partition in the state port? */
static enum tn_status probe_empty(struct tni_ktable *kt, bool *ret_empty, struct tn_err *err)
{
    char from[8], to[8];
    tni_ktable_range(kt, from, to);
    struct tn_state_iter *iter = NULL;
    struct tn_state *state = kt->cfg.state;
    TN_TRY(state->type->iter_open(state, NULL, (struct tn_str){from, 8}, (struct tn_str){to, 8},
                                  &iter, err));
    struct tn_str key, value;
    enum tn_status st = state->type->iter_next(iter, &key, &value, err);
    state->type->iter_close(iter);
    if (tn_failed(st))
        return st;
    *ret_empty = st == TN_END;
    return TN_OK;
}

enum tn_status tni_ktable_open(const struct tni_ktable_config *config, struct tni_ktable **ret_kt,
                               struct tn_err *err)
{
    TN_ASSERT(config->keys_count > 0 && config->budget && config->view && config->state);
    enum tn_status st;
    struct tni_ktable *kt = tn_alloc(sizeof *kt);
    kt->cfg = *config;
    atomic_init(&kt->refs, 1);
    switch (config->window.kind) {
    case TN_WINDOW_NONE: break;
    case TN_WINDOW_TUMBLE:
    case TN_WINDOW_HOP: kt->window_bytes = 8; break;
    case TN_WINDOW_SESSION: kt->window_bytes = 16; break;
    }
    put_be32(kt->prefix, config->store_id);
    put_be32(kt->prefix + 4, config->partition);
    value_types_fill(kt);
    layout(kt);
    tni_mem_open(kt);
    bool is_empty = config->is_known_empty;
    if (!is_empty)
        TN_GOTO(probe_empty(kt, &is_empty, err));
    atomic_init(&kt->is_complete, is_empty);
    if (kt->window_bytes)
        tni_windows_reset(kt);
    tni_settle(kt);
    *ret_kt = kt;
    return TN_OK;
fail:
    tni_ktable_unref(kt);
    return st;
}

struct tni_ktable *tni_ktable_ref(struct tni_ktable *kt)
{
    atomic_fetch_add(&kt->refs, 1);
    return kt;
}

void tni_ktable_unref(struct tni_ktable *kt)
{
    if (!kt || atomic_fetch_sub(&kt->refs, 1) != 1)
        return;
    tni_settle(kt);
    tni_settle_committed(kt);
    tni_windows_free(kt);
    tni_mem_release(kt);
    tn_free(kt->warm_key);
    tn_free(kt->agg_at);
    tn_free(kt->value_types);
    tn_free(kt);
}

uint32_t tni_ktable_values_count(const struct tni_ktable *kt)
{
    return kt->values_count;
}

/* ---- encoding keys ---- */

static char *scratch_bytes(struct tni_ktable *kt, size_t size)
{
    struct tni_scratch *s = &kt->scratch;
    if (s->bytes_cap < size) {
        tn_free(s->bytes);
        s->bytes_cap = size + size / 2 + 64;
        s->bytes = tn_alloc_raw(s->bytes_cap);
    }
    return s->bytes;
}

static inline char *put_be64(char *to, uint64_t value)
{
    value = __builtin_bswap64(value);
    memcpy(to, &value, 8);
    return to + 8;
}

/* Windows go behind the key: start, or end and start. */
static inline char *put_window(const struct tni_ktable *kt, char *to, const int64_t *starts,
                               const int64_t *ends, uint32_t i)
{
    if (kt->window_bytes == 16) {
        TN_ASSERT(ends);
        to = put_be64(to, (uint64_t)ends[i]);
    }
    return put_be64(to, (uint64_t)starts[i]);
}

static bool encode_ints(struct tni_ktable *kt, const struct tn_column *col, const uint32_t *rows,
                        uint32_t count, const int64_t *starts, const int64_t *ends)
{
    size_t width = tn_kind_width(col->type->kind);
    char *to = scratch_bytes(kt, count * (width + 1 + kt->window_bytes));
    for (uint32_t i = 0; i < count; i++) {
        uint32_t row = rows ? rows[i] : i;
        char *from = to;
        bool is_null = tn_column_is_null(col, row);
        *to++ = is_null ? 0 : 1;
        if (is_null) {
            ; /* the tag is all there is */
        } else if (width == 4) {
            uint32_t v = __builtin_bswap32((uint32_t)tn_column_i32(col, row) ^ 1u << 31);
            memcpy(to, &v, 4);
            to += 4;
        } else {
            to = put_be64(to, (uint64_t)tn_column_i64(col, row) ^ 1ull << 63);
        }
        if (kt->window_bytes)
            to = put_window(kt, to, starts, ends, i);
        kt->scratch.keys[i] = (struct tn_str){from, (size_t)(to - from)};
    }
    return true;
}

static inline uint64_t zero_bytes(uint64_t w)
{
    return (w - 0x0101010101010101ull) & ~w & 0x8080808080808080ull;
}

/* Copies text by overlapping words; false when it holds a zero byte (then it needs escapes). */
static inline bool copy_text(char *to, const char *from, size_t len)
{
    uint64_t zeros = 0, w;
    if (TN_LIKELY(len >= 8)) {
        for (size_t at = 0; at + 8 < len; at += 8) {
            memcpy(&w, from + at, 8);
            memcpy(to + at, &w, 8);
            zeros |= zero_bytes(w);
        }
        memcpy(&w, from + len - 8, 8);
        memcpy(to + len - 8, &w, 8);
        return (zeros | zero_bytes(w)) == 0;
    }
    if (len >= 4) {
        uint32_t low, high;
        memcpy(&low, from, 4);
        memcpy(&high, from + len - 4, 4);
        memcpy(to, &low, 4);
        memcpy(to + len - 4, &high, 4);
        return zero_bytes((uint64_t)high << 32 | low) == 0;
    }
    for (size_t i = 0; i < len; i++) {
        zeros |= from[i] == 0;
        to[i] = from[i];
    }
    return zeros == 0;
}

static bool encode_texts(struct tni_ktable *kt, const struct tn_column *col, const uint32_t *rows,
                         uint32_t count, const int64_t *starts, const int64_t *ends)
{
    size_t total = 0;
    for (uint32_t i = 0; i < count; i++)
        total += tn_column_str(col, rows ? rows[i] : i).len;
    char *to = scratch_bytes(kt, total + count * (size_t)(3 + kt->window_bytes));
    for (uint32_t i = 0; i < count; i++) {
        uint32_t row = rows ? rows[i] : i;
        char *from = to;
        bool is_null = tn_column_is_null(col, row);
        *to++ = is_null ? 0 : 1;
        if (TN_LIKELY(!is_null)) {
            struct tn_str text = tn_column_str(col, row);
            if (!copy_text(to, text.ptr, text.len))
                return false;
            to += text.len;
            *to++ = 0;
            *to++ = 0;
        }
        if (kt->window_bytes)
            to = put_window(kt, to, starts, ends, i);
        kt->scratch.keys[i] = (struct tn_str){from, (size_t)(to - from)};
    }
    return true;
}

static void encode_any(struct tni_ktable *kt, const struct tn_column *keys, const uint32_t *rows,
                       uint32_t count, const int64_t *starts, const int64_t *ends)
{
    struct tn_buf *buf = &kt->scratch.buf;
    tn_buf_reset(buf);
    size_t from = 0;
    for (uint32_t i = 0; i < count; i++) {
        tni_keycode_add(buf, keys, kt->cfg.keys_count, rows ? rows[i] : i);
        if (kt->window_bytes == 16) {
            TN_ASSERT(ends);
            tn_buf_add_be64(buf, (uint64_t)ends[i]);
        }
        if (kt->window_bytes)
            tn_buf_add_be64(buf, (uint64_t)starts[i]);
        kt->scratch.keys[i].len = buf->len - from;
        from = buf->len;
    }
    TN_ASSERT(!tn_buf_over(buf)); /* a batch of keys is bounded by the batch */
    const char *ptr = buf->ptr;
    for (uint32_t i = 0; i < count; i++) {
        kt->scratch.keys[i].ptr = ptr;
        ptr += kt->scratch.keys[i].len;
    }
}

void tni_keys_encode(struct tni_ktable *kt, const struct tn_column *keys, const uint32_t *rows,
                     uint32_t count, const int64_t *starts, const int64_t *ends)
{
    TN_ASSERT(!kt->window_bytes || (starts && (ends || kt->window_bytes == 8)));
    tni_scratch_reserve(kt, count);
    enum tn_kind kind = keys[0].type->kind;
    if (kt->cfg.keys_count == 1) {
        size_t width = tn_kind_width(kind);
        if (tn_kind_is_varlen(kind) && encode_texts(kt, &keys[0], rows, count, starts, ends))
            return;
        if ((width == 4 || width == 8) && kind != TN_K_DOUBLE &&
            encode_ints(kt, &keys[0], rows, count, starts, ends))
            return;
    }
    encode_any(kt, keys, rows, count, starts, ends);
}

/* ---- look-up ---- */

#define GROUP 32u

/* Fill ret_entries; the indices of missing keys go to scratch.missing. Returns their number. */
static uint32_t probe_batch(struct tni_ktable *kt, const struct tn_str *keys, uint32_t count,
                            struct tni_entry **ret_entries)
{
    uint32_t *hashes = kt->scratch.hashes, missing = 0;
    for (uint32_t from = 0; from < count; from += GROUP) {
        uint32_t end = from + GROUP < count ? from + GROUP : count;
        for (uint32_t i = from; i < end; i++) {
            hashes[i] = tni_key_hash(keys[i]);
            __builtin_prefetch(&kt->slots[hashes[i] & kt->mask]);
        }
        for (uint32_t i = from; i < end; i++) {
            struct tni_slot slot = kt->slots[hashes[i] & kt->mask];
            if (slot.id)
                __builtin_prefetch(tni_entry_at(kt, slot.id - 1));
        }
        for (uint32_t i = from; i < end; i++) {
            struct tni_entry *e = tni_index_find(kt, keys[i], hashes[i]);
            ret_entries[i] = e;
            if (TN_LIKELY(e && !(e->wflags & TNI_W_UNLOADED)))
                e->wflags |= TNI_W_REF;
            else
                kt->scratch.missing[missing++] = i;
        }
    }
    return missing;
}

void tni_entry_adopt(struct tni_ktable *kt, struct tni_entry *e, struct tni_version *v)
{
    v->flush = 0;
    e->head = e->last = v;
    e->cflags |= TNI_C_PERSISTED;
    e->wflags = (uint8_t)((e->wflags & ~TNI_W_UNLOADED) | TNI_W_EXISTS);
    e->rowtime_ms = tni_version_rowtime(v);
    kt->keys_count++;
}

/* Look the entries of scratch.entries[0…count) up in the state port, all at once. */
static enum tn_status load(struct tni_ktable *kt, uint32_t count, struct tn_err *err)
{
    struct tni_scratch *s = &kt->scratch;
    struct tn_state *state = kt->cfg.state;
    tn_arena_reset(&s->arena);
    struct tn_str *keys = TN_ARENA_ARRAY(&s->arena, struct tn_str, count);
    struct tn_str *values = TN_ARENA_ARRAY(&s->arena, struct tn_str, count);
    size_t bytes = 0;
    for (uint32_t i = 0; i < count; i++)
        bytes += s->entries[i]->key_len + 16u;
    char *to = tn_arena_alloc(&s->arena, bytes);
    for (uint32_t i = 0; i < count; i++) {
        struct tni_entry *e = s->entries[i];
        e->wflags |= TNI_W_UNLOADED;
        keys[i] = tni_state_key_write(kt, tni_entry_key(kt, e), to);
        to += keys[i].len;
    }
    TN_TRY(state->type->multi_get(state, NULL, keys, count, &s->arena, values, err));
    struct tni_version **found = TN_ARENA_ARRAY(&s->arena, struct tni_version *, count);
    uint32_t found_count = 0;
    for (uint32_t i = 0; i < count; i++) { /* allocating may take the lock itself */
        if (!values[i].ptr || values[i].len < TNI_ROWTIME_BYTES)
            continue;
        found[i] = tni_version_new(kt, values[i].len);
        memcpy(found[i]->bytes, values[i].ptr, values[i].len);
        found_count++;
    }
    pthread_rwlock_wrlock(&kt->lock);
    for (uint32_t i = 0; i < count; i++) {
        s->entries[i]->wflags &= (uint8_t)~TNI_W_UNLOADED;
        if (found[i])
            tni_entry_adopt(kt, s->entries[i], found[i]);
    }
    pthread_rwlock_unlock(&kt->lock);
    atomic_fetch_add_explicit(&kt->loads, found_count, memory_order_relaxed);
    return TN_OK;
}

/* Create the missing entries; those that must be read go to scratch.entries. Returns how many. */
static uint32_t create_missing(struct tni_ktable *kt, const struct tn_str *keys, uint32_t missing,
                               enum tni_acquire how, struct tni_entry **ret_entries)
{
    struct tni_scratch *s = &kt->scratch;
    bool is_loading = how == TNI_ACQUIRE_LOAD && !atomic_load(&kt->is_complete);
    uint32_t wanted = 0;
    tni_index_reserve(kt, missing);
    pthread_rwlock_wrlock(&kt->lock);
    for (uint32_t m = 0; m < missing; m++) {
        uint32_t i = s->missing[m];
        struct tni_entry *e = tni_index_find(kt, keys[i], s->hashes[i]);
        bool is_new = !e;
        if (is_new) {
            e = tni_entry_new(kt, keys[i], s->hashes[i]);
            e->wflags |= TNI_W_REF;
            if (how == TNI_ACQUIRE_BLIND)
                e->cflags |= TNI_C_PERSISTED; /* for all we know */
        }
        ret_entries[i] = e;
        if (is_loading && (is_new || (e->wflags & TNI_W_UNLOADED))) {
            e->wflags |= TNI_W_UNLOADED;
            s->entries[wanted++] = e; /* a repeat is looked up twice at worst */
        }
    }
    pthread_rwlock_unlock(&kt->lock);
    return wanted;
}

/* Drop repeats: an entry UNLOADED twice in one batch must be adopted once. */
static uint32_t unique_entries(struct tni_entry **entries, uint32_t count)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (!(entries[i]->wflags & TNI_W_UNLOADED))
            continue;
        entries[i]->wflags &= (uint8_t)~TNI_W_UNLOADED;
        entries[kept++] = entries[i];
    }
    return kept;
}

enum tn_status tni_acquire_keys(struct tni_ktable *kt, const struct tn_str *keys, uint32_t count,
                                enum tni_acquire how, struct tni_entry **ret_entries,
                                struct tn_err *err)
{
    tni_scratch_reserve(kt, count);
    uint32_t missing = probe_batch(kt, keys, count, ret_entries);
    kt->hits_open += count - missing;
    kt->misses_open += missing;
    if (!missing)
        return TN_OK;
    uint32_t wanted = create_missing(kt, keys, missing, how, ret_entries);
    wanted = unique_entries(kt->scratch.entries, wanted);
    if (wanted)
        TN_TRY(load(kt, wanted, err));
    return TN_OK;
}

enum tn_status tni_states_decode(const struct tni_ktable *kt, char *base, const char *ptr,
                                 const char *end, struct tn_err *err)
{
    for (uint32_t a = 0; a < kt->cfg.aggs_count; a++) {
        const struct tn_agg_call *call = &kt->cfg.aggs[a];
        void *state = base + (kt->agg_at[a] - sizeof(struct tni_entry));
        if (tn_failed(call->agg->decode(call, state, ptr, end, &ptr)))
            return tn_err_set(err, TN_E_CORRUPT, "store %u partition %u: state of '%s' is damaged",
                              kt->cfg.store_id, kt->cfg.partition, call->agg->name);
    }
    if (ptr != end)
        return tn_err_set(err, TN_E_CORRUPT, "store %u partition %u: a row has bytes left over",
                          kt->cfg.store_id, kt->cfg.partition);
    return TN_OK;
}

void tni_states_init(const struct tni_ktable *kt, struct tni_entry *e)
{
    for (uint32_t a = 0; a < kt->cfg.aggs_count; a++)
        kt->cfg.aggs[a].agg->init(&kt->cfg.aggs[a], tni_entry_state(kt, e, a));
}

static uint32_t extra_bytes(const struct tni_ktable *kt, const struct tni_entry *e)
{
    size_t extra = 0;
    for (uint32_t a = 0; a < kt->cfg.aggs_count; a++)
        if (kt->cfg.aggs[a].agg->bytes_extra)
            extra += kt->cfg.aggs[a].agg->bytes_extra(&kt->cfg.aggs[a], tni_entry_state(kt, e, a));
    return extra > UINT32_MAX ? UINT32_MAX : (uint32_t)extra;
}

void tni_entry_extra(struct tni_ktable *kt, struct tni_entry *e)
{
    uint32_t extra = extra_bytes(kt, e);
    tni_charge(kt, (int64_t)extra - e->extra);
    e->extra = extra;
}

enum tn_status tni_entry_open(struct tni_ktable *kt, struct tni_entry *e, struct tn_err *err)
{
    if (TN_LIKELY(e->wflags & TNI_W_STATE) || kt->is_rows)
        return TN_OK;
    tni_states_init(kt, e);
    e->wflags |= TNI_W_STATE;
    if (!tni_version_lives(e->last))
        return TN_OK;
    const char *ptr = e->last->bytes;
    enum tn_status st =
        tni_states_decode(kt, (char *)(e + 1), ptr + TNI_ROWTIME_BYTES, ptr + e->last->len, err);
    if (kt->has_extra)
        tni_entry_extra(kt, e);
    if (tn_failed(st))
        tni_state_release(kt, e);
    return st;
}

static enum tn_status acquire(struct tni_ktable *kt, const struct tn_column *keys,
                              const uint32_t *rows, uint32_t count, const int64_t *starts,
                              const int64_t *ends, enum tni_acquire how,
                              struct tni_entry **ret_entries, struct tn_err *err)
{
    tni_keys_encode(kt, keys, rows, count, starts, ends);
    TN_TRY(tni_acquire_keys(kt, kt->scratch.keys, count, how, ret_entries, err));
    for (uint32_t i = 0; i < count; i++)
        if (TN_UNLIKELY(!(ret_entries[i]->wflags & TNI_W_STATE)))
            TN_TRY(tni_entry_open(kt, ret_entries[i], err));
    return TN_OK;
}

enum tn_status tni_ktable_acquire(struct tni_ktable *kt, const struct tn_column *keys,
                                  const uint32_t *rows, uint32_t count,
                                  const int64_t *window_starts, struct tni_entry **ret_entries,
                                  struct tn_err *err)
{
    return acquire(kt, keys, rows, count, window_starts, NULL, TNI_ACQUIRE_LOAD, ret_entries, err);
}

enum tn_status tni_ktable_acquire_blind(struct tni_ktable *kt, const struct tn_column *keys,
                                        const uint32_t *rows, uint32_t count,
                                        const int64_t *window_starts,
                                        struct tni_entry **ret_entries, struct tn_err *err)
{
    return acquire(kt, keys, rows, count, window_starts, NULL, TNI_ACQUIRE_BLIND, ret_entries, err);
}

enum tn_status tni_ktable_acquire_sessions(struct tni_ktable *kt, const struct tn_column *keys,
                                           const uint32_t *rows, uint32_t count,
                                           const int64_t *starts, const int64_t *ends,
                                           struct tni_entry **ret_entries, struct tn_err *err)
{
    return acquire(kt, keys, rows, count, starts, ends, TNI_ACQUIRE_LOAD, ret_entries, err);
}

enum tn_status tni_ktable_find(struct tni_ktable *kt, const struct tn_column *keys,
                               const uint32_t *rows, uint32_t count, const int64_t *window_starts,
                               struct tni_entry **ret_entries, struct tn_err *err)
{
    tni_keys_encode(kt, keys, rows, count, window_starts, NULL);
    if (atomic_load(&kt->is_complete)) { /* K2: what is not here is nowhere */
        uint32_t missing = probe_batch(kt, kt->scratch.keys, count, ret_entries);
        kt->hits_open += count - missing;
        kt->misses_open += missing;
    } else {
        TN_TRY(tni_acquire_keys(kt, kt->scratch.keys, count, TNI_ACQUIRE_LOAD, ret_entries, err));
    }
    for (uint32_t i = 0; i < count; i++) {
        if (ret_entries[i] && !(ret_entries[i]->wflags & TNI_W_EXISTS))
            ret_entries[i] = NULL;
        if (ret_entries[i])
            TN_TRY(tni_entry_open(kt, ret_entries[i], err));
    }
    return TN_OK;
}

/* ---- changing entries ---- */

void tni_ktable_states(const struct tni_ktable *kt, struct tni_entry *const *entries,
                       uint32_t count, uint32_t agg, void **ret_states)
{
    uint32_t at = kt->agg_at[agg];
    for (uint32_t i = 0; i < count; i++)
        ret_states[i] = (char *)entries[i] + at;
}

void tni_ktable_touch(struct tni_ktable *kt, struct tni_entry *const *entries,
                      const int64_t *rowtimes_ms, const uint32_t *rows, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct tni_entry *e = entries[i];
        tni_entry_mark(kt, e);
        if (!(e->wflags & TNI_W_EXISTS)) {
            e->wflags |= TNI_W_EXISTS;
            e->rowtime_ms = INT64_MIN; /* a new life: the time of its deletion does not count */
        }
        if (rowtimes_ms) {
            int64_t time_ms = rowtimes_ms[rows ? rows[i] : i];
            if (time_ms > e->rowtime_ms)
                e->rowtime_ms = time_ms;
        }
    }
}

/* Decoders hand out a validity bitmap whether or not a value is missing: look. */
static bool has_null(const struct tn_column *col)
{
    if (!col->validity)
        return false;
    uint32_t full = col->rows_count / 8, rest = col->rows_count % 8;
    for (uint32_t i = 0; i < full; i++)
        if (col->validity[i] != 0xff)
            return true;
    return rest && (col->validity[full] | (0xff << rest & 0xff)) != 0xff;
}

/* Rows the aggregate sees: FILTER true, no NULL argument. Fills scratch.rows and scratch.states. */
static uint32_t select_rows(struct tni_ktable *kt, struct tni_entry *const *entries,
                            const struct tn_column *args, uint32_t args_count,
                            const struct tn_column *filter, const uint32_t *rows, uint32_t count,
                            uint32_t at)
{
    struct tni_scratch *s = &kt->scratch;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t row = rows ? rows[i] : i;
        if (filter && (tn_column_is_null(filter, row) || !tn_column_bool(filter, row)))
            continue;
        bool is_null = false;
        for (uint32_t k = 0; k < args_count; k++)
            is_null |= tn_column_is_null(&args[k], row);
        if (is_null)
            continue;
        s->rows[kept] = row;
        s->states[kept++] = (char *)entries[i] + at;
    }
    return kept;
}

static void update_one(struct tni_ktable *kt, uint32_t a, struct tni_entry *const *entries,
                       const struct tn_column *args, const struct tn_column *filter,
                       const uint32_t *rows, uint32_t count, bool is_retract)
{
    const struct tn_agg_call *call = &kt->cfg.aggs[a];
    bool sees_nulls = call->agg->flags & TN_AGG_NULLS;
    bool is_selective = filter != NULL;
    for (uint32_t k = 0; k < call->args_count; k++)
        is_selective |= !sees_nulls && has_null(&args[k]);
    if (is_selective) {
        count = select_rows(kt, entries, args, sees_nulls ? 0 : call->args_count, filter, rows,
                            count, kt->agg_at[a]);
        rows = kt->scratch.rows;
    } else {
        tni_ktable_states(kt, entries, count, a, kt->scratch.states);
    }
    TN_ASSERT(!is_retract || call->agg->retract); /* the planner refuses the others over tables */
    (is_retract ? call->agg->retract : call->agg->update)(call, args, rows, count,
                                                          kt->scratch.states);
}

void tni_ktable_update(struct tni_ktable *kt, struct tni_entry *const *entries,
                       const struct tn_batch *batch, const uint32_t *rows, uint32_t count,
                       const uint32_t (*agg_args)[4], const int32_t *agg_filters, bool is_retract)
{
    tni_scratch_reserve(kt, count);
    for (uint32_t a = 0; a < kt->cfg.aggs_count; a++) {
        struct tn_column args[4];
        for (uint32_t k = 0; k < kt->cfg.aggs[a].args_count; k++)
            args[k] = batch->columns[agg_args[a][k]];
        const struct tn_column *filter =
            agg_filters && agg_filters[a] >= 0 ? &batch->columns[agg_filters[a]] : NULL;
        update_one(kt, a, entries, args, filter, rows, count, is_retract);
    }
    tni_ktable_touch(kt, entries, batch->rowtime_ms, rows, count);
}

static void open_row_set(struct tni_ktable *kt, struct tni_entry *e, struct tn_str row)
{
    struct tni_open_row *open = tni_entry_open_row(kt, e);
    if (!(e->wflags & TNI_W_STATE)) {
        *open = (struct tni_open_row){0};
        e->wflags |= TNI_W_STATE;
    }
    if (!open->ptr || open->cap < row.len) {
        uint32_t cap = (uint32_t)((row.len + 16u) & ~(size_t)15u);
        tni_charge(kt, (int64_t)cap - open->cap);
        tn_free(open->ptr);
        open->ptr = tn_alloc_raw(cap);
        open->cap = cap;
    }
    memcpy(open->ptr, row.ptr, row.len);
    open->len = (uint32_t)row.len;
}

void tni_ktable_put(struct tni_ktable *kt, struct tni_entry *const *entries,
                    const struct tn_column *values, const int64_t *rowtimes_ms,
                    const uint32_t *rows, uint32_t count)
{
    TN_ASSERT(kt->is_rows);
    struct tn_buf *buf = &kt->scratch.buf;
    for (uint32_t i = 0; i < count; i++) {
        struct tni_entry *e = entries[i];
        uint32_t row = rows ? rows[i] : i;
        tn_buf_reset(buf);
        tni_rowcode_add(buf, values, kt->values_count, row);
        TN_ASSERT(!tn_buf_over(buf));
        open_row_set(kt, e, (struct tn_str){buf->ptr ? buf->ptr : "", buf->len});
        e->rowtime_ms = rowtimes_ms ? rowtimes_ms[row] : 0;
        e->wflags |= TNI_W_EXISTS;
        tni_entry_mark(kt, e);
    }
}

void tni_ktable_delete(struct tni_ktable *kt, struct tni_entry *entry, int64_t rowtime_ms)
{
    tni_state_release(kt, entry);
    if (!kt->is_rows) {
        tni_states_init(kt, entry);
        entry->wflags |= TNI_W_STATE;
    }
    entry->wflags &= (uint8_t)~TNI_W_EXISTS;
    entry->rowtime_ms = rowtime_ms;
    tni_entry_mark(kt, entry);
}

/* ---- reading entries ---- */

bool tni_entry_exists(const struct tni_entry *entry)
{
    return entry->wflags & TNI_W_EXISTS;
}

int64_t tni_entry_rowtime_ms(const struct tni_entry *entry)
{
    return entry->rowtime_ms == INT64_MIN ? 0 : entry->rowtime_ms;
}

struct tn_str tni_entry_key(const struct tni_ktable *kt, const struct tni_entry *entry)
{
    return (struct tn_str){tni_entry_key_ptr(kt, entry), entry->key_len};
}

void tni_key_window(const struct tni_ktable *kt, struct tn_str key, int64_t *ret_start_ms,
                    int64_t *ret_end_ms)
{
    int64_t start = 0, end = 0;
    const char *behind = key.ptr + key.len;
    if (kt->window_bytes && key.len >= kt->window_bytes) {
        start = (int64_t)tn_be64(behind - 8);
        end =
            kt->window_bytes == 16 ? (int64_t)tn_be64(behind - 16) : start + kt->cfg.window.size_ms;
    }
    *ret_start_ms = start;
    *ret_end_ms = end;
}

void tni_entry_window(const struct tni_ktable *kt, const struct tni_entry *entry,
                      int64_t *ret_start_ms, int64_t *ret_end_ms)
{
    tni_key_window(kt, tni_entry_key(kt, entry), ret_start_ms, ret_end_ms);
}

/* Row bytes of the open side of a MATERIALIZE entry, without the rowtime; ptr NULL when there is
 * none. */
static struct tn_str open_row(const struct tni_ktable *kt, const struct tni_entry *e)
{
    if (!e || !(e->wflags & TNI_W_EXISTS))
        return (struct tn_str){NULL, 0};
    if (e->wflags & TNI_W_STATE) {
        const struct tni_open_row *open = tni_entry_open_row(kt, e);
        return (struct tn_str){open->ptr, open->len};
    }
    return (struct tn_str){e->last->bytes + TNI_ROWTIME_BYTES, e->last->len - TNI_ROWTIME_BYTES};
}

enum tn_status tni_ktable_columns(struct tni_ktable *kt, struct tni_entry *const *entries,
                                  uint32_t count, const bool *needed, struct tn_arena *arena,
                                  struct tn_column *ret_values, struct tn_err *err)
{
    if (kt->is_rows) {
        struct tn_str *rows = TN_ARENA_ARRAY(arena, struct tn_str, count);
        for (uint32_t i = 0; i < count; i++)
            rows[i] = open_row(kt, entries[i]);
        return tni_rowcode_columns(kt->value_types, kt->values_count, rows, count, needed, arena,
                                   ret_values, err);
    }
    void **states = TN_ARENA_ARRAY(arena, void *, count);
    for (uint32_t a = 0; a < kt->values_count; a++) {
        const struct tn_agg_call *call = &kt->cfg.aggs[a];
        ret_values[a] = (struct tn_column){
            .type = call->type, .rows_count = count, .is_absent = needed && !needed[a]};
        if (ret_values[a].is_absent)
            continue;
        char *neutral = tn_arena_zalloc(arena, 1, call->state_bytes);
        call->agg->init(call, neutral);
        for (uint32_t i = 0; i < count; i++)
            states[i] = entries[i] && (entries[i]->wflags & TNI_W_EXISTS)
                            ? tni_entry_state(kt, entries[i], a)
                            : (void *)neutral;
        call->agg->final(call, states, count, &ret_values[a], arena);
        for (uint32_t i = 0; i < count; i++)
            if (states[i] == neutral)
                tn_column_set_null(&ret_values[a], i, arena);
    }
    return TN_OK;
}

void tni_ktable_key_columns(const struct tni_ktable *kt, struct tni_entry *const *entries,
                            uint32_t count, struct tn_arena *arena, struct tn_column *ret_keys)
{
    struct tn_str *keys = TN_ARENA_ARRAY(arena, struct tn_str, count);
    for (uint32_t i = 0; i < count; i++)
        keys[i] = tni_entry_key(kt, entries[i]);
    struct tn_err err = TN_ERR_INIT;
    enum tn_status st = tni_keycode_columns(kt->cfg.key_types, kt->cfg.keys_count, keys, count,
                                            arena, ret_keys, NULL, &err);
    TN_ASSERT(st == TN_OK); /* keys in memory were made by keycode */
}

/* ---- numbers ---- */

void tni_ktable_stats(struct tni_ktable *kt, struct tni_ktable_stats *ret_stats)
{
    struct tni_ktable_stats res = {
        .bytes = atomic_load_explicit(&kt->bytes, memory_order_relaxed),
        .bytes_unflushed = atomic_load_explicit(&kt->bytes_unflushed, memory_order_relaxed),
        .hits = atomic_load_explicit(&kt->hits, memory_order_relaxed),
        .misses = atomic_load_explicit(&kt->misses, memory_order_relaxed),
        .loads = atomic_load_explicit(&kt->loads, memory_order_relaxed),
        .evictions = atomic_load_explicit(&kt->evictions, memory_order_relaxed),
        .late_rows = atomic_load_explicit(&kt->late_rows, memory_order_relaxed),
        .is_complete = atomic_load(&kt->is_complete),
    };
    pthread_rwlock_rdlock(&kt->lock);
    res.keys = kt->keys_count;
    pthread_rwlock_unlock(&kt->lock);
    res.keys_total = res.keys;
    if (!res.is_complete) {
        char from[8], to[8];
        int64_t bytes = 0, keys = 0;
        tni_ktable_range(kt, from, to);
        struct tn_state *state = kt->cfg.state;
        if (state->type->size(state, (struct tn_str){from, 8}, (struct tn_str){to, 8}, &bytes,
                              &keys) == TN_OK &&
            keys > res.keys_total)
            res.keys_total = keys;
    }
    *ret_stats = res;
}

size_t tni_ktable_unflushed_bytes(const struct tni_ktable *kt)
{
    long long bytes = atomic_load_explicit(&kt->bytes_unflushed, memory_order_relaxed);
    return bytes > 0 ? (size_t)bytes : 0;
}
