/* Windows of a ktable: the time index, sessions, closing (EMIT FINAL) and expiry.
 *
 * TIME INDEX. Entries are listed in *buckets* by window start (TUMBLE, HOP: one bucket a start) or
 * by window end (SESSION: a grain of a quarter of the gap). Lists may name entries that have gone
 * since: a reader checks that the entry is alive and belongs to the bucket. A bucket remembers that
 * rows of it were evicted or never read; closing then reads them back from the state port by
 * segment.
 *
 * SESSIONS. A directory maps a key (without its window) to its sessions in memory, ascending by
 * end. A key whose sessions are not all known to be in memory is loaded by one range read per
 * segment. Extending a session makes a new entry (its bounds are part of the key) and deletes the
 * old one; what came and went within a round leaves no trace.
 *
 * Both are rebuilt from the entries when first needed after an open or an abort.
 *
 * @thread worker */
#include <stdlib.h>

#include "stream/ktable_int.h"

#define SEGMENTS_MAX 64u

struct bucket {
    int64_t at; /* time ÷ grain */
    uint32_t *ids;
    uint32_t count, cap, stale;
    bool has_evicted; /* the state port holds living rows of it that are not in memory */
};

struct session {
    int64_t start_ms, end_ms;
    uint32_t id;
};

struct session_key {
    struct tn_str key; /* owned; ptr NULL = free slot */
    uint32_t hash;
    bool is_loaded; /* all its sessions are listed */
    uint32_t count, cap;
    struct session *items; /* ascending end */
};

struct tni_windows {
    bool is_built;
    int64_t grain_ms;
    struct bucket *buckets; /* ascending at */
    uint32_t buckets_count, buckets_cap;
    struct session_key *keys; /* open addressing; SESSION only */
    uint32_t keys_mask, keys_used;
    uint64_t expire_sent; /* highest segment given to a delta */
};

/* ---- buckets ---- */

static int64_t bucket_of(const struct tni_ktable *kt, const struct tni_entry *e)
{
    int64_t start, end;
    tni_entry_window(kt, e, &start, &end);
    return (kt->cfg.window.kind == TN_WINDOW_SESSION ? end : start) / kt->windows->grain_ms;
}

/* First bucket with at ≥ `at`. */
static uint32_t bucket_bound(const struct tni_windows *win, int64_t at)
{
    uint32_t low = 0, high = win->buckets_count;
    if (high && win->buckets[high - 1].at < at)
        return high; /* time moves forward */
    while (low < high) {
        uint32_t mid = (low + high) / 2;
        if (win->buckets[mid].at < at)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static struct bucket *bucket_need(struct tni_ktable *kt, int64_t at)
{
    struct tni_windows *win = kt->windows;
    uint32_t i = bucket_bound(win, at);
    if (i < win->buckets_count && win->buckets[i].at == at)
        return &win->buckets[i];
    if (win->buckets_count == win->buckets_cap) {
        uint32_t cap = win->buckets_cap ? win->buckets_cap * 2 : 16;
        tni_charge(kt, (int64_t)((cap - win->buckets_cap) * sizeof *win->buckets));
        win->buckets = tn_realloc(win->buckets, cap * sizeof *win->buckets);
        win->buckets_cap = cap;
    }
    memmove(&win->buckets[i + 1], &win->buckets[i],
            (win->buckets_count - i) * sizeof *win->buckets);
    win->buckets_count++;
    win->buckets[i] = (struct bucket){.at = at};
    return &win->buckets[i];
}

static void bucket_free(struct tni_ktable *kt, struct bucket *bucket)
{
    tni_charge(kt, -(int64_t)(bucket->cap * sizeof *bucket->ids));
    tn_free(bucket->ids);
}

static bool belongs(const struct tni_ktable *kt, const struct bucket *bucket, uint32_t id)
{
    const struct tni_entry *e = tni_entry_at(kt, id);
    return (e->wflags & TNI_W_LIVE) && bucket_of(kt, e) == bucket->at;
}

static int cmp_ids(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* Drop stale and repeated ids. */
static void bucket_compact(const struct tni_ktable *kt, struct bucket *bucket)
{
    if (bucket->stale)
        qsort(bucket->ids, bucket->count, sizeof *bucket->ids, cmp_ids);
    uint32_t kept = 0;
    for (uint32_t i = 0; bucket->stale && i < bucket->count; i++) {
        bool is_repeat = kept && bucket->ids[kept - 1] == bucket->ids[i];
        if (!is_repeat && belongs(kt, bucket, bucket->ids[i]))
            bucket->ids[kept++] = bucket->ids[i];
    }
    if (bucket->stale)
        bucket->count = kept;
    bucket->stale = 0;
}

static void bucket_add(struct tni_ktable *kt, struct bucket *bucket, uint32_t id)
{
    if (bucket->count == bucket->cap && bucket->stale > bucket->count / 2) {
        bucket_compact(kt, bucket); /* keeps `id` where its last life was listed here too */
        if (bucket->count && bsearch(&id, bucket->ids, bucket->count, sizeof *bucket->ids, cmp_ids))
            return;
    }
    if (bucket->count == bucket->cap) {
        uint32_t cap = bucket->cap ? bucket->cap * 2 : 4;
        tni_charge(kt, (int64_t)((cap - bucket->cap) * sizeof *bucket->ids));
        bucket->ids = tn_realloc(bucket->ids, cap * sizeof *bucket->ids);
        bucket->cap = cap;
    }
    bucket->ids[bucket->count++] = id;
}

/* ---- session directory ---- */

static struct tn_str bare_key(const struct tni_ktable *kt, struct tn_str key)
{
    return (struct tn_str){key.ptr, key.len - kt->window_bytes};
}

static void directory_grow(struct tni_ktable *kt)
{
    struct tni_windows *win = kt->windows;
    uint32_t size = win->keys ? win->keys_mask + 1 : 0;
    if (size && (uint64_t)win->keys_used * 4 < (uint64_t)size * 3)
        return;
    uint32_t fresh_size = size ? size * 2 : 64;
    struct session_key *fresh = tn_alloc_array(fresh_size, sizeof *fresh);
    for (uint32_t i = 0; i < size; i++) {
        if (!win->keys[i].key.ptr)
            continue;
        uint32_t p = win->keys[i].hash & (fresh_size - 1);
        while (fresh[p].key.ptr)
            p = (p + 1) & (fresh_size - 1);
        fresh[p] = win->keys[i];
    }
    tn_free(win->keys);
    tni_charge(kt, (int64_t)((fresh_size - size) * sizeof *fresh));
    win->keys = fresh;
    win->keys_mask = fresh_size - 1;
}

/* The directory's record of a key; made when `is_needed`. */
static struct session_key *directory_find(struct tni_ktable *kt, struct tn_str key, bool is_needed)
{
    struct tni_windows *win = kt->windows;
    if (is_needed)
        directory_grow(kt);
    else if (!win->keys)
        return NULL;
    uint32_t hash = tni_key_hash(key), p = hash & win->keys_mask;
    for (; win->keys[p].key.ptr; p = (p + 1) & win->keys_mask)
        if (win->keys[p].hash == hash && tn_str_eq(win->keys[p].key, key))
            return &win->keys[p];
    if (!is_needed)
        return NULL;
    char *copy = tn_alloc_raw(key.len + 1);
    memcpy(copy, key.ptr, key.len);
    win->keys[p] = (struct session_key){
        .key = {copy, key.len}, .hash = hash, .is_loaded = atomic_load(&kt->is_complete)};
    win->keys_used++;
    tni_charge(kt, (int64_t)key.len + 16);
    return &win->keys[p];
}

static void directory_remove(struct tni_ktable *kt, struct session_key *sk)
{
    struct tni_windows *win = kt->windows;
    tni_charge(kt, -((int64_t)sk->key.len + 16) - (int64_t)(sk->cap * sizeof *sk->items));
    tn_free((void *)(uintptr_t)sk->key.ptr);
    tn_free(sk->items);
    uint32_t p = (uint32_t)(sk - win->keys);
    for (uint32_t q = (p + 1) & win->keys_mask; win->keys[q].key.ptr;
         q = (q + 1) & win->keys_mask) {
        uint32_t home = win->keys[q].hash & win->keys_mask;
        if (((q - home) & win->keys_mask) < ((q - p) & win->keys_mask))
            continue;
        win->keys[p] = win->keys[q];
        p = q;
    }
    win->keys[p] = (struct session_key){0};
    win->keys_used--;
}

static void session_insert(struct tni_ktable *kt, struct session_key *sk, struct session session)
{
    if (sk->count == sk->cap) {
        uint32_t cap = sk->cap ? sk->cap * 2 : 1;
        tni_charge(kt, (int64_t)((cap - sk->cap) * sizeof *sk->items));
        sk->items = tn_realloc(sk->items, cap * sizeof *sk->items);
        sk->cap = cap;
    }
    uint32_t at = sk->count;
    while (at > 0 && sk->items[at - 1].end_ms > session.end_ms)
        at--;
    memmove(&sk->items[at + 1], &sk->items[at], (sk->count - at) * sizeof *sk->items);
    sk->items[at] = session;
    sk->count++;
}

/* Forget one session; the record goes with its last one. */
static void session_forget(struct tni_ktable *kt, const struct tni_entry *e, bool is_evicted)
{
    struct tn_str key = bare_key(kt, tni_entry_key(kt, e));
    struct session_key *sk = directory_find(kt, key, false);
    if (!sk)
        return;
    for (uint32_t i = 0; i < sk->count; i++) {
        if (sk->items[i].id != e->id)
            continue;
        memmove(&sk->items[i], &sk->items[i + 1], (sk->count - i - 1) * sizeof *sk->items);
        sk->count--;
        break;
    }
    if (is_evicted)
        sk->is_loaded = false;
    if (!sk->count)
        directory_remove(kt, sk);
}

/* ---- hooks of the entries' life ---- */

static void index_entry(struct tni_ktable *kt, struct tni_entry *e)
{
    bucket_add(kt, bucket_need(kt, bucket_of(kt, e)), e->id);
    if (kt->cfg.window.kind != TN_WINDOW_SESSION)
        return;
    struct session session = {.id = e->id};
    tni_entry_window(kt, e, &session.start_ms, &session.end_ms);
    session_insert(kt, directory_find(kt, bare_key(kt, tni_entry_key(kt, e)), true), session);
}

void tni_windows_created(struct tni_ktable *kt, struct tni_entry *e)
{
    if (kt->windows->is_built)
        index_entry(kt, e);
}

void tni_windows_dropped(struct tni_ktable *kt, struct tni_entry *e)
{
    struct tni_windows *win = kt->windows;
    if (!win->is_built)
        return;
    bool is_evicted = tni_version_lives(e->head);
    int64_t at = bucket_of(kt, e);
    uint32_t i = bucket_bound(win, at);
    if (i < win->buckets_count && win->buckets[i].at == at) {
        win->buckets[i].stale++;
        win->buckets[i].has_evicted |= is_evicted;
    }
    if (kt->cfg.window.kind == TN_WINDOW_SESSION)
        session_forget(kt, e, is_evicted);
}

static void clear(struct tni_ktable *kt)
{
    struct tni_windows *win = kt->windows;
    for (uint32_t i = 0; i < win->buckets_count; i++)
        bucket_free(kt, &win->buckets[i]);
    win->buckets_count = 0;
    for (uint32_t i = 0; win->keys && i <= win->keys_mask; i++) {
        struct session_key *sk = &win->keys[i];
        if (!sk->key.ptr)
            continue;
        tni_charge(kt, -((int64_t)sk->key.len + 16) - (int64_t)(sk->cap * sizeof *sk->items));
        tn_free((void *)(uintptr_t)sk->key.ptr);
        tn_free(sk->items);
        *sk = (struct session_key){0};
    }
    win->keys_used = 0;
    win->is_built = false;
}

void tni_windows_reset(struct tni_ktable *kt)
{
    if (!kt->windows) {
        const struct tn_window *window = &kt->cfg.window;
        struct tni_windows *win = tn_alloc(sizeof *win);
        win->grain_ms = window->kind == TN_WINDOW_HOP ? window->advance_ms : window->size_ms;
        if (window->kind == TN_WINDOW_SESSION)
            win->grain_ms /= 4;
        if (win->grain_ms < 1)
            win->grain_ms = 1;
        kt->windows = win;
        return;
    }
    clear(kt);
    pthread_rwlock_rdlock(&kt->lock);
    kt->windows->expire_sent = tni_expiry_at(kt, INT64_MAX);
    pthread_rwlock_unlock(&kt->lock);
}

void tni_windows_free(struct tni_ktable *kt)
{
    if (!kt->windows)
        return;
    clear(kt);
    tn_free(kt->windows->buckets);
    tn_free(kt->windows->keys);
    tn_free(kt->windows);
    kt->windows = NULL;
}

/* ---- reading windows back ---- */

/* Calls `each` for the rows of the state port with segment in [from, to]. */
static enum tn_status each_stored(struct tni_ktable *kt, uint64_t from, uint64_t to,
                                  struct tn_str key,
                                  void (*each)(struct tni_ktable *kt, void *ctx, struct tn_str key,
                                               struct tn_str row),
                                  void *ctx, struct tn_err *err)
{
    struct tn_state *state = kt->cfg.state;
    struct tn_buf low, high;
    tn_buf_init(&low, UINT32_MAX);
    tn_buf_init(&high, UINT32_MAX);
    tn_buf_add(&low, kt->prefix, 8);
    tn_buf_add_be64(&low, from);
    tn_buf_add_str(&low, key);
    tn_buf_add(&high, kt->prefix, 8);
    tn_buf_add_be64(&high, to);
    tn_buf_add_str(&high, key);
    bool has_end = tni_keycode_successor(high.ptr, &high.len);
    TN_ASSERT(has_end);
    struct tn_state_iter *iter = NULL;
    enum tn_status st =
        state->type->iter_open(state, NULL, tn_buf_str(&low), tn_buf_str(&high), &iter, err);
    tn_buf_release(&low);
    tn_buf_release(&high);
    TN_TRY(st);
    struct tn_str state_key, row;
    while ((st = state->type->iter_next(iter, &state_key, &row, err)) == TN_OK) {
        if (state_key.len < 16u + kt->window_bytes || row.len < TNI_ROWTIME_BYTES) {
            st = tn_err_set(err, TN_E_CORRUPT, "store %u partition %u: a stored row is cut short",
                            kt->cfg.store_id, kt->cfg.partition);
            break;
        }
        each(kt, ctx, (struct tn_str){state_key.ptr + 16, state_key.len - 16}, row);
    }
    state->type->iter_close(iter);
    return tn_failed(st) ? st : TN_OK;
}

static void note_stored(struct tni_ktable *kt, void *ctx, struct tn_str key, struct tn_str row)
{
    (void)ctx;
    (void)row;
    if (tni_index_find(kt, key, tni_key_hash(key)))
        return;
    int64_t start, end;
    tni_key_window(kt, key, &start, &end);
    int64_t time_ms = kt->cfg.window.kind == TN_WINDOW_SESSION ? end : start;
    bucket_need(kt, time_ms / kt->windows->grain_ms)->has_evicted = true;
}

/* Index all entries; of an EMIT FINAL table also what lies in the state port only. */
static enum tn_status build(struct tni_ktable *kt, struct tn_err *err)
{
    struct tni_windows *win = kt->windows;
    if (win->is_built)
        return TN_OK;
    clear(kt);
    for (uint32_t id = 0; id < kt->ids_used; id++)
        if (tni_entry_at(kt, id)->wflags & TNI_W_LIVE)
            index_entry(kt, tni_entry_at(kt, id));
    if (kt->cfg.window.is_final && !atomic_load(&kt->is_complete)) {
        enum tn_status st = each_stored(kt, 0, UINT64_MAX - 1, TN_STR(""), note_stored, NULL, err);
        if (tn_failed(st)) {
            clear(kt);
            return st;
        }
    }
    win->is_built = true;
    return TN_OK;
}

/* ---- closing ---- */

static void adopt_bucket(struct tni_ktable *kt, void *ctx, struct tn_str key, struct tn_str row)
{
    const int64_t *at = ctx;
    int64_t start, end;
    tni_key_window(kt, key, &start, &end);
    if ((kt->cfg.window.kind == TN_WINDOW_SESSION ? end : start) / kt->windows->grain_ms == *at)
        tni_warm_row(kt, key, row);
}

/* Bring the rows of a bucket that are only in the state port into memory. */
static enum tn_status bucket_load(struct tni_ktable *kt, int64_t at, struct tn_err *err)
{
    const struct tn_window *window = &kt->cfg.window;
    int64_t from = at * kt->windows->grain_ms, to = from + kt->windows->grain_ms - 1;
    TN_TRY(each_stored(kt, tni_window_segment(window, from, from),
                       tni_window_segment(window, to, to), TN_STR(""), adopt_bucket, &at, err));
    bucket_need(kt, at)->has_evicted = false;
    return TN_OK;
}

struct closing {
    int64_t order_ms;
    struct tn_str key;
    struct tni_entry *entry;
};

static int cmp_closing(const void *a, const void *b)
{
    const struct closing *x = a, *y = b;
    if (x->order_ms != y->order_ms)
        return x->order_ms < y->order_ms ? -1 : 1;
    return tn_str_cmp(x->key, y->key);
}

/* Entries of one bucket that close in (closed_ms, stream_time_ms]. */
static uint32_t collect_closing(struct tni_ktable *kt, struct bucket *bucket, int64_t closed_ms,
                                int64_t stream_time_ms, struct closing *list)
{
    const struct tn_window *window = &kt->cfg.window;
    uint32_t count = 0;
    bucket_compact(kt, bucket);
    for (uint32_t i = 0; i < bucket->count; i++) {
        struct tni_entry *e = tni_entry_at(kt, bucket->ids[i]);
        int64_t start, end;
        if (!(e->wflags & TNI_W_EXISTS))
            continue;
        tni_entry_window(kt, e, &start, &end);
        if (!tni_window_is_closed(window, end, stream_time_ms) ||
            tni_window_is_closed(window, end, closed_ms))
            continue;
        list[count++] = (struct closing){window->kind == TN_WINDOW_SESSION ? end : start,
                                         bare_key(kt, tni_entry_key(kt, e)), e};
    }
    return count;
}

/* Last bucket that can hold a window closed at `stream_time_ms`; INT64_MIN = none. */
static int64_t last_bucket(const struct tni_ktable *kt, int64_t stream_time_ms)
{
    const struct tn_window *window = &kt->cfg.window;
    int64_t end = stream_time_ms;
    if (end == INT64_MIN || __builtin_sub_overflow(end, window->grace_ms, &end) || end < 0)
        return INT64_MIN;
    if (__builtin_sub_overflow(end, window->size_ms, &end) || end < 0)
        return INT64_MIN;
    return end / kt->windows->grain_ms;
}

enum tn_status tni_ktable_close_windows(struct tni_ktable *kt, int64_t stream_time_ms,
                                        int64_t *closed_ms, struct tn_arena *arena,
                                        struct tni_entry ***ret_entries, uint32_t *ret_count,
                                        struct tn_err *err)
{
    TN_ASSERT(kt->window_bytes);
    TN_TRY(build(kt, err));
    struct tni_windows *win = kt->windows;
    int64_t first = last_bucket(kt, *closed_ms), last = last_bucket(kt, stream_time_ms);
    uint32_t total = 0;
    for (uint32_t i = bucket_bound(win, first); i < win->buckets_count; i++) {
        if (win->buckets[i].at > last)
            break;
        int64_t at = win->buckets[i].at;
        if (win->buckets[i].has_evicted)
            TN_TRY(bucket_load(kt, at, err));
        i = bucket_bound(win, at);
        total += win->buckets[i].count;
    }
    struct closing *list = TN_ARENA_ARRAY(arena, struct closing, total);
    uint32_t count = 0;
    for (uint32_t i = bucket_bound(win, first); i < win->buckets_count; i++) {
        if (win->buckets[i].at > last)
            break;
        count += collect_closing(kt, &win->buckets[i], *closed_ms, stream_time_ms, list + count);
    }
    if (count)
        qsort(list, count, sizeof *list, cmp_closing);
    struct tni_entry **entries = TN_ARENA_ARRAY(arena, struct tni_entry *, count);
    for (uint32_t i = 0; i < count; i++) {
        TN_TRY(tni_entry_open(kt, list[i].entry, err));
        entries[i] = list[i].entry;
    }
    if (stream_time_ms > *closed_ms)
        *closed_ms = stream_time_ms;
    *ret_entries = entries;
    *ret_count = count;
    tni_settle(kt);
    return TN_OK;
}

/* ---- expiry ---- */

void tni_ktable_expire(struct tni_ktable *kt, int64_t stream_time_ms)
{
    if (!kt->window_bytes)
        return;
    uint64_t segment = tni_window_expired_segment(&kt->cfg.window, stream_time_ms);
    if (segment <= kt->windows->expire_sent)
        return;
    struct tn_err err = TN_ERR_INIT;
    (void)!build(kt, &err); /* without the index rows only leave a little later */
    kt->windows->expire_sent = segment;
    kt->expire_segment = segment; /* goes with the next delta */
}

void tni_windows_sweep(struct tni_ktable *kt, int64_t oldest_commit, uint32_t oldest_flush)
{
    struct tni_windows *win = kt->windows;
    uint64_t expired = tni_expiry_at(kt, oldest_commit);
    if (!expired || !win->is_built)
        return;
    uint32_t kept = 0, i = 0;
    for (; i < win->buckets_count; i++) {
        struct bucket *bucket = &win->buckets[i];
        int64_t last = bucket->at * win->grain_ms + win->grain_ms - 1;
        if (tni_window_segment(&kt->cfg.window, last, last) >= expired)
            break;
        uint32_t left = 0;
        bucket_compact(kt, bucket);
        for (uint32_t k = 0; k < bucket->count; k++) {
            struct tni_entry *e = tni_entry_at(kt, bucket->ids[k]);
            if (tni_entry_is_clean(e, oldest_flush))
                tni_entry_drop(kt, e);
            else
                bucket->ids[left++] = bucket->ids[k];
        }
        bucket->count = left;
        bucket->stale = 0; /* those that went were counted as stale */
        if (left)
            win->buckets[kept++] = *bucket;
        else
            bucket_free(kt, bucket);
    }
    if (kept < i) {
        memmove(&win->buckets[kept], &win->buckets[i],
                (win->buckets_count - i) * sizeof *win->buckets);
        win->buckets_count -= i - kept;
    }
}

/* ---- sessions ---- */

static void adopt_key(struct tni_ktable *kt, void *ctx, struct tn_str key, struct tn_str row)
{
    const struct tn_str *wanted = ctx;
    if (tn_str_eq(bare_key(kt, key), *wanted))
        tni_warm_row(kt, key, row);
}

/* All sessions of a key into memory: a range read for each segment that can hold one. */
static enum tn_status load_sessions(struct tni_ktable *kt, struct tn_str key,
                                    int64_t stream_time_ms, struct tn_err *err)
{
    const struct tn_window *window = &kt->cfg.window;
    uint64_t from = tni_window_expired_segment(window, stream_time_ms);
    uint64_t to = tni_window_segment(window, stream_time_ms, stream_time_ms);
    if (to >=
        from + SEGMENTS_MAX) /* kept for ever: one long read is cheaper than many short ones */
        TN_TRY(each_stored(kt, from, to, TN_STR(""), adopt_key, &key, err));
    for (uint64_t segment = from; segment <= to && to < from + SEGMENTS_MAX; segment++)
        TN_TRY(each_stored(kt, segment, segment, key, adopt_key, &key, err));
    struct session_key *sk = directory_find(kt, key, true);
    sk->is_loaded = true;
    return TN_OK;
}

/* Sessions within the gap of `time_ms` that exist: their range in sk->items is contiguous, because
 * sessions of a key neither overlap nor touch. Dead ones in between are skipped by the caller. */
static uint32_t find_overlaps(const struct tni_ktable *kt, const struct session_key *sk,
                              int64_t time_ms, struct tni_entry **found, int64_t *start,
                              int64_t *end)
{
    int64_t gap = kt->cfg.window.size_ms;
    uint32_t count = 0;
    *start = *end = time_ms;
    for (uint32_t i = 0; i < sk->count; i++) {
        const struct session *s = &sk->items[i];
        struct tni_entry *e = tni_entry_at(kt, s->id);
        if (!(e->wflags & TNI_W_EXISTS))
            continue;
        bool is_before = s->end_ms < time_ms && time_ms - s->end_ms > gap;
        bool is_after = s->start_ms > time_ms && s->start_ms - time_ms > gap;
        if (is_before || is_after)
            continue;
        found[count++] = e;
        *start = s->start_ms < *start ? s->start_ms : *start;
        *end = s->end_ms > *end ? s->end_ms : *end;
    }
    return count;
}

static enum tn_status new_session(struct tni_ktable *kt, struct tn_str key, int64_t start,
                                  int64_t end, struct tni_entry **ret_entry, struct tn_err *err)
{
    struct tn_buf buf;
    tn_buf_init(&buf, UINT32_MAX);
    tn_buf_add_str(&buf, key);
    tn_buf_add_be64(&buf, (uint64_t)end);
    tn_buf_add_be64(&buf, (uint64_t)start);
    struct tn_str full = tn_buf_str(&buf);
    /* Bounds that once were cannot come again: what held them has grown. So nothing is stored. */
    enum tn_status st = tni_acquire_keys(kt, &full, 1, TNI_ACQUIRE_NEW, ret_entry, err);
    tn_buf_release(&buf);
    if (st == TN_OK)
        st = tni_entry_open(kt, *ret_entry, err);
    return st;
}

static void merge_states(struct tni_ktable *kt, struct tni_entry *to, const struct tni_entry *from)
{
    for (uint32_t a = 0; a < kt->cfg.aggs_count; a++)
        kt->cfg.aggs[a].agg->merge(&kt->cfg.aggs[a], tni_entry_state(kt, to, a),
                                   tni_entry_state(kt, from, a));
}

struct session_call {
    const struct tn_batch *batch;
    const uint32_t (*agg_args)[4];
    const int32_t *agg_filters;
    struct tn_arena *arena;
};

/* Merge the found sessions and the row into one session. */
static enum tn_status merge_sessions(struct tni_ktable *kt, const struct session_call *call,
                                     struct tn_str key, uint32_t row, int64_t start, int64_t end,
                                     struct tni_session_effect *effect, struct tn_err *err)
{
    struct tni_entry *merged = NULL;
    for (uint32_t i = 0; i < effect->old_count; i++) {
        int64_t old_start, old_end;
        TN_TRY(tni_entry_open(kt, effect->old[i], err));
        tni_entry_window(kt, effect->old[i], &old_start, &old_end);
        if (old_start == start && old_end == end)
            merged = effect->old[i]; /* then it is the only one */
    }
    TN_ASSERT(!merged || effect->old_count == 1);
    if (!merged) {
        TN_TRY(new_session(kt, key, start, end, &merged, err));
        for (uint32_t i = 0; i < effect->old_count; i++) {
            int64_t old_start, old_end;
            merge_states(kt, merged, effect->old[i]);
            tni_entry_window(kt, effect->old[i], &old_start, &old_end);
            tni_ktable_delete(kt, effect->old[i], old_end);
        }
    }
    tni_ktable_update(kt, &merged, call->batch, &row, 1, call->agg_args, call->agg_filters, false);
    merged->rowtime_ms = end;
    effect->merged = merged;
    effect->has_tombstones = effect->old_count > 0 && start != end;
    return TN_OK;
}

/* Deleted entries keep their place in the directory until they are dropped; drop them from it now.
 */
static void forget_old(struct tni_ktable *kt, const struct tni_session_effect *effect)
{
    for (uint32_t i = 0; i < effect->old_count; i++)
        if (effect->old[i] != effect->merged)
            session_forget(kt, effect->old[i], false);
}

static enum tn_status session_row(struct tni_ktable *kt, const struct session_call *call,
                                  struct tn_str key, uint32_t row, int64_t time_ms,
                                  int64_t stream_time_ms, struct tni_session_effect *effect,
                                  bool *ret_late, struct tn_err *err)
{
    struct session_key *sk = directory_find(kt, key, true);
    if (!sk->is_loaded) {
        TN_TRY(load_sessions(kt, key, stream_time_ms, err));
        sk = directory_find(kt, key, true);
    }
    struct tni_entry **found = TN_ARENA_ARRAY(call->arena, struct tni_entry *, sk->count);
    int64_t start, end;
    uint32_t count = find_overlaps(kt, sk, time_ms, found, &start, &end);
    *ret_late = !tni_window_is_open(&kt->cfg.window, start, end, stream_time_ms);
    if (*ret_late) {
        if (!sk->count)
            directory_remove(kt, sk);
        return TN_OK;
    }
    effect->old = found;
    effect->old_count = count;
    TN_TRY(merge_sessions(kt, call, key, row, start, end, effect, err));
    forget_old(kt, effect);
    return TN_OK;
}

enum tn_status tni_ktable_session_update(
    struct tni_ktable *kt, const struct tn_column *keys, const struct tn_batch *batch,
    const uint32_t *rows, uint32_t count, const uint32_t (*agg_args)[4], const int32_t *agg_filters,
    int64_t *stream_time_ms, struct tn_arena *arena, struct tni_session_effect *ret_effects,
    uint32_t *ret_effects_count, uint32_t *late_rows, uint32_t *ret_late_count, struct tn_err *err)
{
    TN_ASSERT(kt->cfg.window.kind == TN_WINDOW_SESSION && !kt->is_rows && batch->rowtime_ms);
    TN_TRY(build(kt, err));
    const struct session_call call = {batch, agg_args, agg_filters, arena};
    uint32_t effects = 0, late = 0;
    struct tn_buf buf;
    tn_buf_init(&buf, UINT32_MAX);
    enum tn_status st = TN_OK;
    for (uint32_t i = 0; i < count && st == TN_OK; i++) {
        uint32_t row = rows ? rows[i] : i;
        int64_t time_ms = batch->rowtime_ms[row];
        bool is_late = time_ms < 0;
        if (time_ms > *stream_time_ms)
            *stream_time_ms = time_ms;
        struct tni_session_effect effect = {.row = i};
        if (!is_late) {
            tn_buf_reset(&buf);
            tni_keycode_add(&buf, keys, kt->cfg.keys_count, row);
            struct tn_str key = tn_arena_str(arena, tn_buf_str(&buf));
            st = session_row(kt, &call, key, row, time_ms, *stream_time_ms, &effect, &is_late, err);
        }
        if (st == TN_OK && is_late)
            late_rows[late++] = row;
        else if (st == TN_OK)
            ret_effects[effects++] = effect;
    }
    tn_buf_release(&buf);
    atomic_fetch_add_explicit(&kt->late_rows, late, memory_order_relaxed);
    tni_settle(kt);
    *ret_effects_count = effects;
    *ret_late_count = late;
    return st;
}
