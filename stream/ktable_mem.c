/* Memory of a ktable: slabs of entries, size classes of versions, the index, eviction, and the
 * process-wide view.
 *
 * EVICTION is second chance over entry ids. An entry may go when nothing of it would be lost to
 * anybody: no open change, nothing in flight, one version at most, and that one flushed before the
 * snapshot of every pin (K1). A table that loses a living key is no longer complete, so this waits
 * while a scan relies on completeness (K2).
 *
 * @thread worker, unless a function says otherwise */
#include "stream/ktable_int.h"

/* ---- view ---- */

enum tn_status tni_view_init(struct tni_view *view, struct tn_state *state, int64_t commit,
                             struct tn_err *err)
{
    struct tn_state_snapshot *snapshot = NULL;
    TN_TRY(state->type->snapshot(state, &snapshot, err));
    *view = (struct tni_view){.state = state, .commit = commit};
    view->current = tn_alloc(sizeof *view->current);
    *view->current = (struct tni_view_snapshot){.snapshot = snapshot, .refs = 1};
    pthread_mutex_init(&view->lock, NULL);
    return TN_OK;
}

/* Lock held; the snapshot itself is freed by the caller outside of it. */
static struct tni_view_snapshot *shared_drop(struct tni_view_snapshot *shared)
{
    return --shared->refs == 0 ? shared : NULL;
}

static void shared_free(struct tni_view *view, struct tni_view_snapshot *shared)
{
    if (!shared)
        return;
    view->state->type->snapshot_free(view->state, shared->snapshot);
    tn_free(shared);
}

void tni_view_release(struct tni_view *view)
{
    if (!view->state) /* init failed */
        return;
    TN_ASSERT(!view->pins);
    shared_free(view, shared_drop(view->current));
    pthread_mutex_destroy(&view->lock);
    view->state = NULL;
}

void tni_view_flushed(struct tni_view *view, struct tn_state_snapshot *snapshot)
{
    struct tni_view_snapshot *fresh = tn_alloc(sizeof *fresh), *old;
    pthread_mutex_lock(&view->lock);
    view->flush++;
    TN_ASSERT(view->flush < TNI_NOT_FLUSHED);
    *fresh = (struct tni_view_snapshot){.snapshot = snapshot, .flush = view->flush, .refs = 1};
    old = shared_drop(view->current);
    view->current = fresh;
    pthread_mutex_unlock(&view->lock);
    shared_free(view, old);
}

enum tn_status tni_view_refresh(struct tni_view *view, struct tn_err *err)
{
    struct tn_state_snapshot *snapshot = NULL;
    TN_TRY(view->state->type->snapshot(view->state, &snapshot, err));
    tni_view_flushed(view, snapshot);
    return TN_OK;
}

void tni_view_advance(struct tni_view *view, int64_t commit)
{
    pthread_mutex_lock(&view->lock);
    TN_ASSERT(commit >= view->commit);
    view->commit = commit;
    pthread_mutex_unlock(&view->lock);
}

int64_t tni_view_commit(struct tni_view *view)
{
    pthread_mutex_lock(&view->lock);
    int64_t commit = view->commit;
    pthread_mutex_unlock(&view->lock);
    return commit;
}

void tni_view_pin(struct tni_view *view, struct tni_view_pin *pin)
{
    pthread_mutex_lock(&view->lock);
    TN_DCHECK(view->current->flush == view->flush);
    *pin = (struct tni_view_pin){
        .commit = view->commit, .flush = view->flush, .shared = view->current, .next = view->pins};
    view->current->refs++;
    if (view->pins)
        view->pins->prev = pin;
    view->pins = pin;
    pthread_mutex_unlock(&view->lock);
}

void tni_view_unpin(struct tni_view *view, struct tni_view_pin *pin)
{
    pthread_mutex_lock(&view->lock);
    if (pin->next)
        pin->next->prev = pin->prev;
    if (pin->prev)
        pin->prev->next = pin->next;
    else
        view->pins = pin->next;
    struct tni_view_snapshot *unused = shared_drop(pin->shared);
    pthread_mutex_unlock(&view->lock);
    shared_free(view, unused);
}

void tni_view_oldest(struct tni_view *view, int64_t *ret_commit, uint32_t *ret_flush)
{
    pthread_mutex_lock(&view->lock);
    int64_t commit = view->commit;
    uint32_t flush = view->flush;
    for (const struct tni_view_pin *pin = view->pins; pin; pin = pin->next) {
        commit = pin->commit < commit ? pin->commit : commit;
        flush = pin->flush < flush ? pin->flush : flush;
    }
    pthread_mutex_unlock(&view->lock);
    *ret_commit = commit;
    *ret_flush = flush;
}

/* ---- charges ---- */

static void settle(struct tni_ktable *kt, int64_t *pending)
{
    if (!*pending)
        return;
    atomic_fetch_add_explicit(&kt->bytes, *pending, memory_order_relaxed);
    atomic_fetch_add_explicit(&kt->cfg.budget->bytes_used, *pending, memory_order_relaxed);
    *pending = 0;
}

void tni_settle(struct tni_ktable *kt)
{
    settle(kt, &kt->pending_bytes);
    if (kt->hits_open | kt->misses_open) {
        atomic_fetch_add_explicit(&kt->hits, kt->hits_open, memory_order_relaxed);
        atomic_fetch_add_explicit(&kt->misses, kt->misses_open, memory_order_relaxed);
        kt->hits_open = kt->misses_open = 0;
    }
}

void tni_settle_committed(struct tni_ktable *kt)
{
    settle(kt, &kt->committed_pending);
}

/* ---- versions ---- */

static uint32_t class_of(size_t len)
{
    size_t total = sizeof(struct tni_version) + len;
    size_t class = (total + TNI_CLASS_BYTES - 1) / TNI_CLASS_BYTES;
    return class <= TNI_CLASSES_COUNT ? (uint32_t) class : 0; /* 0 = allocated singly */
}

static size_t version_bytes(uint32_t class, size_t len)
{
    return class ? class * (size_t)TNI_CLASS_BYTES : sizeof(struct tni_version) + len + 16;
}

/* Take over what the commit thread gave back. */
static void take_returned(struct tni_ktable *kt)
{
    struct tni_pool *pool = &kt->pool;
    pthread_rwlock_wrlock(&kt->lock);
    for (uint32_t class = 1; class <= TNI_CLASSES_COUNT; class ++) {
        struct tni_free_version *list = pool->returned[class];
        pool->returned[class] = NULL;
        if (!pool->free[class]) {
            pool->free[class] = list;
            continue;
        }
        while (list) {
            struct tni_free_version *next = list->next;
            list->next = pool->free[class];
            pool->free[class] = list;
            list = next;
        }
    }
    atomic_store_explicit(&pool->returned_count, 0, memory_order_relaxed);
    pthread_rwlock_unlock(&kt->lock);
}

static void *chunk_take(struct tni_pool *pool, size_t bytes)
{
    if (TN_UNLIKELY((size_t)(pool->end - pool->next) < bytes)) {
        if (pool->chunks_count == pool->chunks_cap) {
            pool->chunks_cap = pool->chunks_cap ? pool->chunks_cap * 2 : 8;
            pool->chunks = tn_realloc(pool->chunks, pool->chunks_cap * sizeof *pool->chunks);
        }
        size_t size = pool->chunks_count < 4 ? TNI_CHUNK_BYTES / 16 : TNI_CHUNK_BYTES;
        pool->next = tn_alloc_raw(size);
        pool->end = pool->next + size;
        pool->chunks[pool->chunks_count++] = pool->next;
    }
    void *ptr = pool->next;
    pool->next += bytes;
    return ptr;
}

struct tni_version *tni_version_new(struct tni_ktable *kt, size_t len)
{
    TN_ASSERT(len < (1u << 31));
    struct tni_pool *pool = &kt->pool;
    uint32_t class = class_of(len);
    size_t bytes = version_bytes(class, len);
    struct tni_version *v;
    if (!class) {
        v = tn_alloc_raw(bytes);
    } else {
        if (!pool->free[class] &&
            atomic_load_explicit(&pool->returned_count, memory_order_relaxed) >= 64)
            take_returned(kt);
        if (pool->free[class]) {
            v = (void *)pool->free[class];
            pool->free[class] = pool->free[class]->next;
        } else {
            v = chunk_take(pool, bytes);
        }
    }
    *v = (struct tni_version){.flush = TNI_NOT_FLUSHED, .len = (uint32_t)len & 0x7fffffffu};
    tni_charge(kt, (int64_t)bytes);
    return v;
}

void tni_version_free(struct tni_ktable *kt, struct tni_version *v)
{
    uint32_t class = class_of(v->len);
    tni_charge(kt, -(int64_t)version_bytes(class, v->len));
    if (!class) {
        tn_free(v);
        return;
    }
    struct tni_free_version *f = (void *)v;
    f->next = kt->pool.free[class];
    kt->pool.free[class] = f;
}

void tni_version_return(struct tni_ktable *kt, struct tni_version *v)
{
    uint32_t class = class_of(v->len);
    kt->committed_pending -= (int64_t)version_bytes(class, v->len);
    if (!class) {
        tn_free(v);
        return;
    }
    struct tni_free_version *f = (void *)v;
    f->next = kt->pool.returned[class];
    kt->pool.returned[class] = f;
    atomic_fetch_add_explicit(&kt->pool.returned_count, 1, memory_order_relaxed);
}

/* ---- index ---- */

static void slots_insert(struct tni_slot *slots, uint32_t mask, struct tni_slot slot)
{
    uint32_t p = slot.hash & mask;
    while (slots[p].id)
        p = (p + 1) & mask;
    slots[p] = slot;
}

void tni_index_reserve(struct tni_ktable *kt, uint32_t extra)
{
    uint64_t want = kt->used + (uint64_t)extra, size = kt->slots ? kt->mask + 1ull : 0;
    if (size && want * 4 <= size * 3)
        return;
    uint64_t fresh_size = size ? size : 64;
    while (want * 4 > fresh_size * 3)
        fresh_size *= 2;
    TN_ASSERT(fresh_size <= 1ull << 32);
    struct tni_slot *fresh = tn_alloc_array(fresh_size, sizeof *fresh);
    uint32_t fresh_mask = (uint32_t)(fresh_size - 1);
    for (uint64_t i = 0; i < size; i++)
        if (kt->slots[i].id)
            slots_insert(fresh, fresh_mask, kt->slots[i]);
    struct tni_slot *old = kt->slots;
    pthread_rwlock_wrlock(&kt->lock);
    kt->slots = fresh;
    kt->mask = fresh_mask;
    pthread_rwlock_unlock(&kt->lock);
    tn_free(old);
    tni_charge(kt, (int64_t)((fresh_size - size) * sizeof *fresh));
}

/* Backward shift: close the gap so that probes need no tombstones. */
static void index_remove(struct tni_ktable *kt, struct tn_str key, uint32_t id)
{
    uint32_t p = tni_key_hash(key) & kt->mask;
    while (kt->slots[p].id != id + 1) {
        TN_ASSERT(kt->slots[p].id);
        p = (p + 1) & kt->mask;
    }
    for (uint32_t q = (p + 1) & kt->mask; kt->slots[q].id; q = (q + 1) & kt->mask) {
        uint32_t home = kt->slots[q].hash & kt->mask;
        if (((q - home) & kt->mask) < ((q - p) & kt->mask))
            continue;
        kt->slots[p] = kt->slots[q];
        p = q;
    }
    kt->slots[p] = (struct tni_slot){0};
    kt->used--;
}

/* ---- entries ---- */

static uint32_t id_take(struct tni_ktable *kt)
{
    if (kt->free_count)
        return kt->free_ids[--kt->free_count];
    TN_ASSERT(kt->ids_used < UINT32_MAX - 1);
    if (kt->ids_used >> TNI_SLAB_SHIFT == kt->slabs_count) {
        if (kt->slabs_count == kt->slabs_cap) {
            kt->slabs_cap = kt->slabs_cap ? kt->slabs_cap * 2 : 4;
            kt->slabs = tn_realloc(kt->slabs, kt->slabs_cap * sizeof *kt->slabs);
        }
        kt->slabs[kt->slabs_count++] = tn_alloc_raw((size_t)kt->entry_bytes * TNI_SLAB_ENTRIES);
        for (uint32_t i = 0; i < TNI_SLAB_ENTRIES; i++) { /* scans look at every header */
            struct tni_entry *e = tni_entry_at(kt, kt->ids_used + i);
            e->head = NULL;
            e->wflags = e->cflags = 0;
        }
    }
    return kt->ids_used++;
}

struct tni_entry *tni_entry_new(struct tni_ktable *kt, struct tn_str key, uint32_t hash)
{
    TN_ASSERT(key.len <= UINT32_MAX);
    uint32_t id = id_take(kt);
    struct tni_entry *e = tni_entry_at(kt, id);
    *e = (struct tni_entry){
        .rowtime_ms = INT64_MIN, .key_len = (uint32_t)key.len, .id = id, .wflags = TNI_W_LIVE};
    char *at = (char *)e + kt->key_at;
    if (key.len <= kt->key_inline) {
        memcpy(at, key.ptr, key.len);
    } else {
        char *ptr = tn_alloc_raw(key.len);
        memcpy(ptr, key.ptr, key.len);
        memcpy(at, &ptr, sizeof ptr);
        tni_charge(kt, (int64_t)key.len + 16);
    }
    slots_insert(kt->slots, kt->mask, (struct tni_slot){hash, id + 1});
    kt->used++;
    kt->created++;
    tni_charge(kt, kt->entry_bytes);
    if (kt->windows)
        tni_windows_created(kt, e);
    return e;
}

void tni_state_release(struct tni_ktable *kt, struct tni_entry *e)
{
    if (!(e->wflags & TNI_W_STATE))
        return;
    if (kt->is_rows) {
        struct tni_open_row *row = tni_entry_open_row(kt, e);
        tni_charge(kt, -(int64_t)row->cap);
        tn_free(row->ptr);
        *row = (struct tni_open_row){0};
    } else if (kt->has_extra) {
        for (uint32_t a = 0; a < kt->cfg.aggs_count; a++)
            if (kt->cfg.aggs[a].agg->release)
                kt->cfg.aggs[a].agg->release(&kt->cfg.aggs[a], tni_entry_state(kt, e, a));
        tni_charge(kt, -(int64_t)e->extra);
        e->extra = 0;
    }
    e->wflags &= (uint8_t)~TNI_W_STATE;
}

void tni_entry_drop(struct tni_ktable *kt, struct tni_entry *e)
{
    TN_ASSERT(!(e->wflags & TNI_W_DIRTY) && e->last == e->head);
    TN_ASSERT((e->wflags & TNI_W_LIVE) && !(e->cflags & (TNI_C_GARBAGE | TNI_C_UNFLUSHED)));
    if (kt->windows)
        tni_windows_dropped(kt, e);
    struct tn_str key = {tni_entry_key_ptr(kt, e), e->key_len};
    index_remove(kt, key, e->id);
    tni_state_release(kt, e);
    if (e->head) {
        kt->keys_count -= tni_version_lives(e->head);
        TN_ASSERT(!e->head->next);
        tni_version_free(kt, e->head);
    }
    if (e->key_len > kt->key_inline) {
        tni_charge(kt, -((int64_t)e->key_len + 16));
        tn_free((void *)(uintptr_t)key.ptr);
    }
    tni_charge(kt, -(int64_t)kt->entry_bytes);
    uint32_t id = e->id;
    e->head = e->last = NULL;
    e->wflags = e->cflags = 0;
    if (kt->free_count == kt->free_cap) {
        kt->free_cap = kt->free_cap ? kt->free_cap * 2 : 64;
        kt->free_ids = tn_realloc(kt->free_ids, kt->free_cap * sizeof *kt->free_ids);
    }
    kt->free_ids[kt->free_count++] = id;
}

/* ---- eviction ---- */

bool tni_entry_is_clean(const struct tni_entry *e, uint32_t oldest_flush)
{
    if ((e->wflags & (TNI_W_DIRTY | TNI_W_LIVE)) != TNI_W_LIVE || e->last != e->head ||
        (e->cflags & (TNI_C_GARBAGE | TNI_C_UNFLUSHED | TNI_C_DEAD | TNI_C_FLUSHING)))
        return false;
    return !e->head || (!e->head->next && e->head->flush <= oldest_flush);
}

/* Look at up to `steps` entries from the hand on; returns how many went. Write lock held. */
static uint32_t evict_step(struct tni_ktable *kt, uint32_t steps, uint32_t oldest_flush)
{
    uint32_t evicted = 0;
    for (uint32_t i = 0; i < steps; i++) {
        if (kt->hand >= kt->ids_used)
            kt->hand = 0;
        struct tni_entry *e = tni_entry_at(kt, kt->hand++);
        if (e->wflags & TNI_W_REF) {
            e->wflags &= (uint8_t)~TNI_W_REF;
            continue;
        }
        if (!tni_entry_is_clean(e, oldest_flush))
            continue;
        if (tni_version_lives(e->head))
            atomic_store(&kt->is_complete, false);
        tni_entry_drop(kt, e);
        evicted++;
    }
    return evicted;
}

/* Entries worth looking at: two turns of the hand, unless that was in vain since the last flush. */
static uint64_t trim_steps(const struct tni_ktable *kt, uint32_t oldest_flush)
{
    uint64_t all = 2ull * kt->ids_used, some = 8ull * kt->created + 256;
    if (kt->memory_scans)
        return 0;
    return kt->is_stuck && kt->stuck_flush == oldest_flush && some < all ? some : all;
}

bool tni_ktable_trim(struct tni_ktable *kt)
{
    tni_settle(kt);
    if (TN_LIKELY(!tni_budget_is_over(kt->cfg.budget)))
        return true;
    if (kt->cfg.is_resident)
        return false;
    int64_t oldest_commit;
    uint32_t oldest_flush, evicted = 0;
    tni_view_oldest(kt->cfg.view, &oldest_commit, &oldest_flush);
    pthread_mutex_lock(&kt->scan_lock); /* no scan may start relying on K2 meanwhile */
    uint64_t left = trim_steps(kt, oldest_flush);
    bool is_blocked = kt->memory_scans > 0;
    while (left && tni_budget_is_over(kt->cfg.budget)) {
        uint32_t steps = left < TNI_LOCK_ITEMS ? (uint32_t)left : TNI_LOCK_ITEMS;
        pthread_rwlock_wrlock(&kt->lock);
        evicted += evict_step(kt, steps, oldest_flush);
        pthread_rwlock_unlock(&kt->lock);
        tni_settle(kt);
        left -= steps;
    }
    pthread_mutex_unlock(&kt->scan_lock);
    bool is_over = tni_budget_is_over(kt->cfg.budget);
    kt->is_stuck = is_over && !is_blocked;
    kt->stuck_flush = oldest_flush;
    kt->created = 0;
    atomic_fetch_add_explicit(&kt->evictions, evicted, memory_order_relaxed);
    return !is_over;
}

static uint32_t sweep_dead(struct tni_ktable *kt, uint32_t oldest_flush)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < kt->dead.count; i++) {
        struct tni_entry *e = kt->dead.items[i];
        e->cflags &= (uint8_t)~TNI_C_DEAD;
        if (e->head && e->head->is_deleted && tni_entry_is_clean(e, oldest_flush)) {
            tni_entry_drop(kt, e);
        } else if (e->head && e->head->is_deleted && e->head->flush != TNI_NOT_FLUSHED) {
            e->cflags |= TNI_C_DEAD; /* a pin still needs what is under it */
            kt->dead.items[kept++] = e;
        }
    }
    kt->dead.count = kept;
    return kept;
}

void tni_mem_sweep(struct tni_ktable *kt)
{
    int64_t oldest_commit;
    uint32_t oldest_flush;
    tni_view_oldest(kt->cfg.view, &oldest_commit, &oldest_flush);
    pthread_rwlock_wrlock(&kt->lock);
    for (uint32_t i = 0; i < kt->gone.count; i++)
        if (!kt->gone.items[i]->head && tni_entry_is_clean(kt->gone.items[i], oldest_flush))
            tni_entry_drop(kt, kt->gone.items[i]);
    kt->gone.count = 0;
    sweep_dead(kt, oldest_flush);
    if (kt->windows)
        tni_windows_sweep(kt, oldest_commit, oldest_flush);
    pthread_rwlock_unlock(&kt->lock);
}

/* ---- life ---- */

void tni_scratch_reserve(struct tni_ktable *kt, uint32_t count)
{
    struct tni_scratch *s = &kt->scratch;
    if (count <= s->cap)
        return;
    uint32_t cap = s->cap ? s->cap : 256;
    while (cap < count)
        cap *= 2;
    s->keys = tn_realloc(s->keys, cap * sizeof *s->keys);
    s->hashes = tn_realloc(s->hashes, cap * sizeof *s->hashes);
    s->missing = tn_realloc(s->missing, cap * sizeof *s->missing);
    s->rows = tn_realloc(s->rows, cap * sizeof *s->rows);
    s->states = tn_realloc(s->states, cap * sizeof *s->states);
    s->entries = tn_realloc(s->entries, cap * sizeof *s->entries);
    s->cap = cap;
}

void tni_mem_open(struct tni_ktable *kt)
{
    pthread_rwlockattr_t attr;
    pthread_rwlockattr_init(&attr);
    pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&kt->lock, &attr);
    pthread_rwlockattr_destroy(&attr);
    pthread_mutex_init(&kt->scan_lock, NULL);
    tn_buf_init(&kt->scratch.buf, UINT32_MAX);
    tn_arena_init(&kt->scratch.arena, 0);
    tni_index_reserve(kt, 16);
}

static void free_versions(struct tni_ktable *kt)
{
    for (uint32_t id = 0; id < kt->ids_used; id++) {
        struct tni_entry *e = tni_entry_at(kt, id);
        if (!(e->wflags & TNI_W_LIVE))
            continue;
        TN_ASSERT(e->last == e->head); /* deltas in flight are aborted before the table goes */
        tni_state_release(kt, e);
        if (e->key_len > kt->key_inline)
            tn_free((void *)(uintptr_t)tni_entry_key_ptr(kt, e));
        for (struct tni_version *v = e->head, *next; v; v = next) {
            next = v->next;
            if (!class_of(v->len))
                tn_free(v);
        }
    }
}

void tni_mem_release(struct tni_ktable *kt)
{
    free_versions(kt);
    for (uint32_t i = 0; i < kt->slabs_count; i++)
        tn_free(kt->slabs[i]);
    for (uint32_t i = 0; i < kt->pool.chunks_count; i++)
        tn_free(kt->pool.chunks[i]);
    tn_free(kt->slabs);
    tn_free(kt->pool.chunks);
    tn_free(kt->slots);
    tn_free(kt->free_ids);
    tn_free(kt->dirty.items);
    tn_free(kt->gone.items);
    tn_free(kt->unflushed.items);
    tn_free(kt->garbage.items);
    tn_free(kt->dead.items);
    struct tni_scratch *s = &kt->scratch;
    tn_free(s->keys);
    tn_free(s->hashes);
    tn_free(s->missing);
    tn_free(s->rows);
    tn_free(s->states);
    tn_free(s->entries);
    tn_free(s->bytes);
    tn_buf_release(&s->buf);
    tn_arena_release(&s->arena);
    atomic_fetch_sub_explicit(&kt->cfg.budget->bytes_used, atomic_load(&kt->bytes),
                              memory_order_relaxed);
    pthread_mutex_destroy(&kt->scan_lock);
    pthread_rwlock_destroy(&kt->lock);
}
