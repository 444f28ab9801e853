/* See mem_state.h. A *version* is an immutable sorted array of entries with a reference count;
 * apply merges the sorted puts into a new one. Bytes of entries are shared between versions and
 * freed with the state, so a test's memory grows with what it wrote: fine for tests.
 * @thread any */
#include "tests/support/mem_state.h"

#include <pthread.h>
#include <stdlib.h>

#include "stream/base/mem.h"

struct mem_entry {
    struct tn_str key, value;
};

struct mem_version {
    int refs;
    size_t count;
    struct mem_entry *items;
};

struct tn_state_snapshot {
    struct mem_version *version;
};

struct mem_state {
    struct tn_state base;
    pthread_mutex_t lock;
    struct mem_version *version;
    struct tn_arena bytes;
    int64_t fail_in;
    struct mem_state_stats stats;
};

struct tn_state_iter {
    struct mem_state *ms;
    struct mem_version *version;
    size_t at;
    char *to;
    size_t to_len;
};

static struct mem_state *mem_of(struct tn_state *state)
{
    return (struct mem_state *)state;
}

static void version_drop(struct mem_version *version)
{
    if (--version->refs)
        return;
    tn_free(version->items);
    tn_free(version);
}

/* Lock held. */
static enum tn_status fault(struct mem_state *ms, const char *what, struct tn_err *err)
{
    if (ms->fail_in && --ms->fail_in == 0)
        return tn_err_set(err, TN_E_IO, "injected fault in %s", what);
    return TN_OK;
}

/* First entry with key ≥ `key`. */
static size_t lower_bound(const struct mem_version *version, struct tn_str key)
{
    size_t low = 0, high = version->count;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (tn_str_cmp(version->items[mid].key, key) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static enum tn_status mem_multi_get(struct tn_state *state,
                                    const struct tn_state_snapshot *snapshot,
                                    const struct tn_str *keys, size_t keys_count,
                                    struct tn_arena *arena, struct tn_str *ret_values,
                                    struct tn_err *err)
{
    struct mem_state *ms = mem_of(state);
    pthread_mutex_lock(&ms->lock);
    enum tn_status st = fault(ms, "multi_get", err);
    if (st == TN_OK) {
        const struct mem_version *version = snapshot ? snapshot->version : ms->version;
        ms->stats.gets++;
        ms->stats.keys += (int64_t)keys_count;
        for (size_t i = 0; i < keys_count; i++) {
            size_t at = lower_bound(version, keys[i]);
            ret_values[i] = (struct tn_str){NULL, 0};
            if (at < version->count && tn_str_eq(version->items[at].key, keys[i])) {
                ret_values[i] = tn_arena_str(arena, version->items[at].value);
                ms->stats.found++;
            }
        }
    }
    pthread_mutex_unlock(&ms->lock);
    return st;
}

static int cmp_puts(const void *a, const void *b)
{
    const struct tn_state_put *const *x = a, *const *y = b;
    int c = tn_str_cmp((*x)->key, (*y)->key);
    return c ? c : (*x > *y) - (*x < *y); /* stable: the later one counts */
}

static bool in_ranges(const struct tn_state_change *change, struct tn_str key)
{
    for (size_t i = 0; i < change->ranges_count; i++)
        if (tn_str_cmp(key, change->ranges[i].from) >= 0 &&
            tn_str_cmp(key, change->ranges[i].to) < 0)
            return true;
    return false;
}

static void keep(struct mem_version *version, struct tn_str key, struct tn_str value)
{
    version->items[version->count++] = (struct mem_entry){key, value};
}

/* Merge of the old entries and the puts in key order. */
static struct mem_version *merged(struct mem_state *ms, const struct tn_state_change *change,
                                  const struct tn_state_put **puts)
{
    const struct mem_version *old = ms->version;
    struct mem_version *fresh = tn_alloc(sizeof *fresh);
    fresh->refs = 1;
    fresh->items = tn_alloc_array(old->count + change->puts_count + 1, sizeof *fresh->items);
    size_t o = 0;
    for (size_t p = 0; p < change->puts_count; p++) {
        const struct tn_state_put *put = puts[p];
        for (; o < old->count && tn_str_cmp(old->items[o].key, put->key) < 0; o++)
            if (!in_ranges(change, old->items[o].key))
                keep(fresh, old->items[o].key, old->items[o].value);
        if (o < old->count && tn_str_eq(old->items[o].key, put->key))
            o++;
        if (p + 1 < change->puts_count && tn_str_eq(puts[p + 1]->key, put->key))
            continue;
        if (put->value.ptr)
            keep(fresh, tn_arena_str(&ms->bytes, put->key), tn_arena_str(&ms->bytes, put->value));
    }
    for (; o < old->count; o++)
        if (!in_ranges(change, old->items[o].key))
            keep(fresh, old->items[o].key, old->items[o].value);
    return fresh;
}

static enum tn_status mem_apply(struct tn_state *state, const struct tn_state_change *change,
                                struct tn_err *err)
{
    struct mem_state *ms = mem_of(state);
    const struct tn_state_put **puts = tn_alloc_array(change->puts_count + 1, sizeof *puts);
    for (size_t i = 0; i < change->puts_count; i++) {
        puts[i] = &change->puts[i];
        if (change->is_sorted && i)
            TN_ASSERT(tn_str_cmp(change->puts[i - 1].key, change->puts[i].key) < 0);
    }
    if (!change->is_sorted && change->puts_count)
        qsort(puts, change->puts_count, sizeof *puts, cmp_puts);
    pthread_mutex_lock(&ms->lock);
    enum tn_status st = fault(ms, "apply", err);
    if (st == TN_OK) {
        struct mem_version *fresh = merged(ms, change, puts);
        version_drop(ms->version);
        ms->version = fresh;
        ms->stats.changes++;
        ms->stats.puts += (int64_t)change->puts_count;
        ms->stats.ranges += (int64_t)change->ranges_count;
    }
    pthread_mutex_unlock(&ms->lock);
    tn_free(puts);
    return st;
}

static enum tn_status mem_snapshot(struct tn_state *state, struct tn_state_snapshot **ret_snapshot,
                                   struct tn_err *err)
{
    struct mem_state *ms = mem_of(state);
    pthread_mutex_lock(&ms->lock);
    enum tn_status st = fault(ms, "snapshot", err);
    if (st == TN_OK) {
        struct tn_state_snapshot *snapshot = tn_alloc(sizeof *snapshot);
        snapshot->version = ms->version;
        ms->version->refs++;
        *ret_snapshot = snapshot;
    }
    pthread_mutex_unlock(&ms->lock);
    return st;
}

static void mem_snapshot_free(struct tn_state *state, struct tn_state_snapshot *snapshot)
{
    struct mem_state *ms = mem_of(state);
    if (!snapshot)
        return;
    pthread_mutex_lock(&ms->lock);
    version_drop(snapshot->version);
    pthread_mutex_unlock(&ms->lock);
    tn_free(snapshot);
}

static enum tn_status mem_iter_open(struct tn_state *state,
                                    const struct tn_state_snapshot *snapshot, struct tn_str from,
                                    struct tn_str to, struct tn_state_iter **ret_iter,
                                    struct tn_err *err)
{
    struct mem_state *ms = mem_of(state);
    pthread_mutex_lock(&ms->lock);
    enum tn_status st = fault(ms, "iter_open", err);
    if (st == TN_OK) {
        struct tn_state_iter *iter = tn_alloc(sizeof *iter);
        iter->ms = ms;
        iter->version = snapshot ? snapshot->version : ms->version;
        iter->version->refs++;
        iter->at = lower_bound(iter->version, from);
        if (to.ptr) {
            iter->to = tn_strndup(to.ptr, to.len);
            iter->to_len = to.len;
        }
        *ret_iter = iter;
    }
    pthread_mutex_unlock(&ms->lock);
    return st;
}

static enum tn_status mem_iter_next(struct tn_state_iter *iter, struct tn_str *ret_key,
                                    struct tn_str *ret_value, struct tn_err *err)
{
    pthread_mutex_lock(&iter->ms->lock);
    enum tn_status st = fault(iter->ms, "iter_next", err);
    pthread_mutex_unlock(&iter->ms->lock);
    if (tn_failed(st))
        return st;
    if (iter->at >= iter->version->count)
        return TN_END;
    const struct mem_entry *entry = &iter->version->items[iter->at];
    if (iter->to && tn_str_cmp(entry->key, (struct tn_str){iter->to, iter->to_len}) >= 0)
        return TN_END;
    iter->at++;
    *ret_key = entry->key;
    *ret_value = entry->value;
    return TN_OK;
}

static void mem_iter_close(struct tn_state_iter *iter)
{
    if (!iter)
        return;
    struct mem_state *ms = iter->ms;
    pthread_mutex_lock(&ms->lock);
    version_drop(iter->version);
    pthread_mutex_unlock(&ms->lock);
    tn_free(iter->to);
    tn_free(iter);
}

static enum tn_status mem_size(struct tn_state *state, struct tn_str from, struct tn_str to,
                               int64_t *ret_bytes, int64_t *ret_keys)
{
    struct mem_state *ms = mem_of(state);
    int64_t bytes = 0, keys = 0;
    pthread_mutex_lock(&ms->lock);
    for (size_t i = lower_bound(ms->version, from); i < ms->version->count; i++) {
        const struct mem_entry *entry = &ms->version->items[i];
        if (to.ptr && tn_str_cmp(entry->key, to) >= 0)
            break;
        bytes += (int64_t)(entry->key.len + entry->value.len);
        keys++;
    }
    pthread_mutex_unlock(&ms->lock);
    *ret_bytes = bytes;
    *ret_keys = keys;
    return TN_OK;
}

static void mem_close(struct tn_state *state)
{
    struct mem_state *ms = mem_of(state);
    if (!ms)
        return;
    TN_ASSERT(ms->version->refs == 1); /* snapshots and iterators are closed before */
    version_drop(ms->version);
    tn_arena_release(&ms->bytes);
    pthread_mutex_destroy(&ms->lock);
    tn_free(ms);
}

static const struct tn_state_type mem_type = {
    .name = "memory",
    .multi_get = mem_multi_get,
    .apply = mem_apply,
    .snapshot = mem_snapshot,
    .snapshot_free = mem_snapshot_free,
    .iter_open = mem_iter_open,
    .iter_next = mem_iter_next,
    .iter_close = mem_iter_close,
    .size = mem_size,
    .close = mem_close,
};

struct tn_state *mem_state_new(void)
{
    struct mem_state *ms = tn_alloc(sizeof *ms);
    ms->base.type = &mem_type;
    ms->version = tn_alloc(sizeof *ms->version);
    ms->version->refs = 1;
    tn_arena_init(&ms->bytes, 0);
    pthread_mutex_init(&ms->lock, NULL);
    return &ms->base;
}

void mem_state_fail_at(struct tn_state *state, int64_t n)
{
    struct mem_state *ms = mem_of(state);
    pthread_mutex_lock(&ms->lock);
    ms->fail_in = n;
    pthread_mutex_unlock(&ms->lock);
}

void mem_state_stats(struct tn_state *state, struct mem_state_stats *ret_stats)
{
    struct mem_state *ms = mem_of(state);
    pthread_mutex_lock(&ms->lock);
    *ret_stats = ms->stats;
    pthread_mutex_unlock(&ms->lock);
}

size_t mem_state_count(struct tn_state *state)
{
    struct mem_state *ms = mem_of(state);
    pthread_mutex_lock(&ms->lock);
    size_t count = ms->version->count;
    pthread_mutex_unlock(&ms->lock);
    return count;
}
