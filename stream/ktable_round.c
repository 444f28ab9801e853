/* Rounds of a ktable: boundary (open changes → delta), publish (delta → committed versions),
 * garbage collection, abort.
 *
 * A version is made once, at the boundary, and then only linked: publishing copies nothing. `last`
 * of an entry is the newest closed version, which is the before-image of the next round even while
 * its own round is still in flight (K5: publish of round n frees nothing that round n + 1 names as
 * `before`, because that is the head until n + 1 is published).
 *
 * @thread boundary: worker; publish, gc: commit; abort: both idle */
#include "stream/ktable_int.h"

/* ---- boundary ---- */

struct tni_version *tni_version_tombstone(struct tni_ktable *kt, const struct tni_entry *e)
{
    struct tni_version *v = tni_version_new(kt, TNI_ROWTIME_BYTES);
    int64_t rowtime_ms = tni_entry_rowtime_ms(e);
    memcpy(v->bytes, &rowtime_ms, 8);
    v->is_deleted = 1;
    return v;
}

struct tni_version *tni_version_encode(struct tni_ktable *kt, struct tni_entry *e)
{
    struct tn_buf *buf = &kt->scratch.buf;
    tn_buf_reset(buf);
    int64_t rowtime_ms = tni_entry_rowtime_ms(e);
    tn_buf_add(buf, &rowtime_ms, 8);
    for (uint32_t a = 0; a < kt->cfg.aggs_count; a++)
        kt->cfg.aggs[a].agg->encode(&kt->cfg.aggs[a], tni_entry_state(kt, e, a), buf);
    TN_ASSERT(!tn_buf_over(buf));
    struct tni_version *v = tni_version_new(kt, buf->len);
    memcpy(v->bytes, buf->ptr, buf->len);
    if (kt->has_extra)
        tni_entry_extra(kt, e);
    return v;
}

/* The open row moves into its version; the entry keeps none. */
static struct tni_version *encode_row(struct tni_ktable *kt, struct tni_entry *e)
{
    int64_t rowtime_ms = tni_entry_rowtime_ms(e);
    const struct tni_open_row *open = tni_entry_open_row(kt, e);
    struct tn_str value = {open->ptr, open->len};
    if (!(e->wflags & TNI_W_STATE)) { /* touched only: the value is the last one */
        TN_ASSERT(tni_version_lives(e->last));
        value =
            (struct tn_str){e->last->bytes + TNI_ROWTIME_BYTES, e->last->len - TNI_ROWTIME_BYTES};
    }
    struct tni_version *v = tni_version_new(kt, TNI_ROWTIME_BYTES + value.len);
    memcpy(v->bytes, &rowtime_ms, 8);
    memcpy(v->bytes + TNI_ROWTIME_BYTES, value.ptr, value.len);
    tni_state_release(kt, e);
    return v;
}

/* Same bytes, rowtime and all: nothing happened. */
static bool is_unchanged(const struct tni_version *v, const struct tni_version *before)
{
    return tni_version_lives(before) && !v->is_deleted && v->len == before->len &&
           memcmp(v->bytes, before->bytes, v->len) == 0;
}

static void close_entry(struct tni_ktable *kt, struct tni_delta *delta, struct tni_entry *e)
{
    const struct tni_version *before = e->last;
    struct tni_version *v;
    e->wflags &= (uint8_t)~TNI_W_DIRTY;
    if (e->wflags & TNI_W_EXISTS) {
        v = kt->is_rows ? encode_row(kt, e) : tni_version_encode(kt, e);
    } else {
        if (!before && !(e->cflags & TNI_C_PERSISTED)) { /* came and went */
            tni_entries_add(&kt->gone, e);
            return;
        }
        if (before && before->is_deleted)
            return;
        v = tni_version_tombstone(kt, e);
    }
    if (is_unchanged(v, before)) {
        tni_version_free(kt, v);
        return;
    }
    e->last = v;
    delta->items[delta->count++] = (struct tni_delta_item){e, v, before};
    delta->bytes += e->key_len + v->len + sizeof(struct tni_delta_item);
}

struct tni_delta *tni_ktable_boundary(struct tni_ktable *kt)
{
    struct tni_delta *delta = NULL;
    uint32_t dirty = kt->dirty.count;
    if (dirty || kt->expire_segment) {
        delta = tn_alloc_raw(sizeof *delta + dirty * sizeof delta->items[0]);
        *delta = (struct tni_delta){.kt = kt, .expire_segment = kt->expire_segment};
        for (uint32_t i = 0; i < dirty; i++) {
            if (i + 4 < dirty)
                __builtin_prefetch(kt->dirty.items[i + 4]);
            close_entry(kt, delta, kt->dirty.items[i]);
        }
        kt->dirty.count = 0;
        kt->expire_segment = 0;
        if (!delta->count && !delta->expire_segment) {
            tn_free(delta);
            delta = NULL;
        }
    }
    tni_mem_sweep(kt);
    tni_ktable_trim(kt);
    return delta;
}

uint32_t tni_delta_count(const struct tni_delta *delta)
{
    return delta ? delta->count : 0;
}

size_t tni_delta_bytes(const struct tni_delta *delta)
{
    return delta ? delta->bytes : 0;
}

struct tni_change tni_delta_get(const struct tni_delta *delta, uint32_t i)
{
    TN_ASSERT(i < delta->count);
    const struct tni_delta_item *item = &delta->items[i];
    const struct tni_version *v = item->version, *before = item->before;
    struct tni_change change = {.key = tni_entry_key(delta->kt, item->entry),
                                .rowtime_ms = tni_version_rowtime(v)};
    if (!v->is_deleted)
        change.row = (struct tn_str){v->bytes, v->len};
    if (tni_version_lives(before)) {
        change.before = (struct tn_str){before->bytes, before->len};
        change.is_same = !v->is_deleted && v->len == before->len &&
                         memcmp(v->bytes + TNI_ROWTIME_BYTES, before->bytes + TNI_ROWTIME_BYTES,
                                v->len - TNI_ROWTIME_BYTES) == 0;
    }
    return change;
}

/* ---- publish ---- */

/* Write lock held. Returns the memory that cannot go before the next flush. */
static size_t publish_item(struct tni_ktable *kt, const struct tni_delta_item *item, int64_t commit)
{
    struct tni_entry *e = item->entry;
    struct tni_version *v = item->version;
    kt->keys_count += (int)!v->is_deleted - (int)tni_version_lives(e->head);
    v->commit = commit;
    v->next = e->head;
    e->head = v;
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

static void publish_expiry(struct tni_ktable *kt, uint64_t segment, int64_t commit)
{
    if (kt->expiries_count ==
        TNI_EXPIRIES_MAX) { /* the oldest two become one: earlier readers see a little less */
        memmove(&kt->expiries[0], &kt->expiries[1],
                (TNI_EXPIRIES_MAX - 1) * sizeof kt->expiries[0]);
        kt->expiries_count--;
    }
    kt->expiries[kt->expiries_count++] = (struct tni_expiry){commit, segment};
}

uint64_t tni_expiry_at(const struct tni_ktable *kt, int64_t commit)
{
    for (uint32_t i = kt->expiries_count; i > 0; i--)
        if (kt->expiries[i - 1].commit <= commit)
            return kt->expiries[i - 1].segment;
    return 0;
}

void tni_ktable_publish(struct tni_ktable *kt, struct tni_delta *delta, int64_t commit)
{
    if (!delta)
        return;
    size_t bytes = 0;
    for (uint32_t from = 0; from < delta->count; from += TNI_LOCK_ITEMS) {
        uint32_t end = delta->count - from > TNI_LOCK_ITEMS ? from + TNI_LOCK_ITEMS : delta->count;
        pthread_rwlock_wrlock(&kt->lock);
        for (uint32_t i = from; i < end; i++) {
            if (i + 4 < end)
                __builtin_prefetch(delta->items[i + 4].entry);
            bytes += publish_item(kt, &delta->items[i], commit);
        }
        pthread_rwlock_unlock(&kt->lock);
    }
    if (delta->expire_segment) {
        pthread_rwlock_wrlock(&kt->lock);
        publish_expiry(kt, delta->expire_segment, commit);
        pthread_rwlock_unlock(&kt->lock);
    }
    atomic_fetch_add_explicit(&kt->bytes_unflushed, (long long)bytes, memory_order_relaxed);
    tn_free(delta);
}

/* ---- garbage ---- */

#define COMMITS_MAX 128u

/* Commits somebody may read, newest first, without repeats; 0 when there are too many to list. */
static uint32_t needed_commits(struct tni_view *view, int64_t *commits)
{
    uint32_t count = 0;
    pthread_mutex_lock(&view->lock);
    commits[count++] = view->commit;
    for (const struct tni_view_pin *pin = view->pins; pin && count; pin = pin->next) {
        uint32_t at = 0;
        while (at < count && commits[at] > pin->commit)
            at++;
        if (at < count && commits[at] == pin->commit)
            continue;
        if (count == COMMITS_MAX) {
            count = 0;
            break;
        }
        memmove(&commits[at + 1], &commits[at], (count - at) * sizeof *commits);
        commits[at] = pin->commit;
        count++;
    }
    pthread_mutex_unlock(&view->lock);
    return count;
}

/* Keep the head and, for each needed commit, the newest version not above it. */
static void collect_chain(struct tni_ktable *kt, struct tni_entry *e, const int64_t *commits,
                          uint32_t count)
{
    uint32_t at = 0;
    struct tni_version **link = &e->head->next;
    while (at < count && commits[at] >= e->head->commit)
        at++; /* served by the head */
    while (*link) {
        struct tni_version *v = *link;
        bool is_needed = at < count && commits[at] >= v->commit;
        if (is_needed) {
            while (at < count && commits[at] >= v->commit)
                at++;
            link = &v->next;
        } else {
            *link = v->next;
            tni_version_return(kt, v);
        }
    }
}

void tni_ktable_gc(struct tni_ktable *kt)
{
    int64_t commits[COMMITS_MAX + 1];
    uint32_t count = needed_commits(kt->cfg.view, commits), kept = 0;
    if (!count) /* rare: over a hundred different pins */
        return;
    uint32_t total = kt->garbage.count; /* only this thread adds */
    for (uint32_t from = 0; from < total; from += TNI_LOCK_ITEMS) {
        uint32_t end = total - from > TNI_LOCK_ITEMS ? from + TNI_LOCK_ITEMS : total;
        pthread_rwlock_wrlock(&kt->lock);
        for (uint32_t i = from; i < end; i++) {
            struct tni_entry *e = kt->garbage.items[i];
            if (!(e->cflags & TNI_C_FLUSHING))
                collect_chain(kt, e, commits, count);
            if (e->head->next)
                kt->garbage.items[kept++] = e;
            else
                e->cflags &= (uint8_t)~TNI_C_GARBAGE;
        }
        tni_settle_committed(kt);
        pthread_rwlock_unlock(&kt->lock);
    }
    kt->garbage.count = kept;
}

/* ---- abort ---- */

/* Back to the committed version: states are decoded again when next used. */
static void reset_entry(struct tni_ktable *kt, struct tni_entry *e)
{
    tni_state_release(kt, e);
    e->last = e->head;
    e->wflags &= (uint8_t) ~(TNI_W_DIRTY | TNI_W_EXISTS);
    e->rowtime_ms = INT64_MIN;
    if (e->head)
        e->rowtime_ms = tni_version_rowtime(e->head);
    if (tni_version_lives(e->head))
        e->wflags |= TNI_W_EXISTS;
}

enum tn_status tni_ktable_abort(struct tni_ktable *kt, struct tni_delta *const *deltas,
                                uint32_t deltas_count, struct tn_err *err)
{
    (void)err; /* nothing is read: reserved for tables that must reload */
    for (uint32_t i = 0; i < kt->dirty.count; i++)
        reset_entry(kt, kt->dirty.items[i]);
    kt->dirty.count = 0;
    kt->expire_segment = 0;
    for (uint32_t d = deltas_count; d > 0; d--) {
        struct tni_delta *delta = deltas[d - 1];
        for (uint32_t i = 0; i < tni_delta_count(delta); i++) {
            reset_entry(kt, delta->items[i].entry);
            tni_version_free(kt, delta->items[i].version);
        }
        tn_free(delta);
    }
    if (kt->windows)
        tni_windows_reset(kt);
    tni_settle(kt);
    return TN_OK;
}
