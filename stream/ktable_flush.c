/* Flush of a task: committed rows of its ktables and its positions, in key order, as one atomic
 * change of the state port.
 *
 * SORTING. Only references {8 key bytes, number} move: the bytes behind the longest common prefix
 * of all keys, radix sorted, equal ones sorted again by the next bytes. Keys are then written out
 * once, in order. So a flush of n rows needs about 80 bytes a row beside the rows themselves; the
 * engine bounds n by tni_ktable_unflushed_bytes.
 *
 * BORROWING. Values point into versions. From tni_flush_add to apply or free an entry is FLUSHING:
 * its versions are neither collected nor evicted, so that publish and gc may run meanwhile.
 *
 * @thread commit or a flush thread: one flush at a time */
#include "stream/ktable_int.h"

#include <stdlib.h>

struct flush_part {
    struct tni_ktable *kt;
    struct tni_entries taken;      /* those that are written first */
    struct tni_version **versions; /* head of each when taken */
    size_t puts_count;             /* how many are written */
    long long bytes_unflushed;
    uint64_t expire_from, expire_to; /* segments */
};

struct tni_flush {
    struct tn_state *state;
    struct tni_view *view;
    struct tn_arena arena;
    struct tn_state_put *opaque;
    size_t opaque_count, opaque_cap;
    struct flush_part *parts;
    size_t parts_count, parts_cap, puts_count;
    bool is_applied;
};

struct tni_flush *tni_flush_new(struct tn_state *state, struct tni_view *view)
{
    struct tni_flush *flush = tn_alloc(sizeof *flush);
    flush->state = state;
    flush->view = view;
    tn_arena_init(&flush->arena, 0);
    return flush;
}

void tni_ktable_range(const struct tni_ktable *kt, char from[8], char to[8])
{
    memcpy(from, kt->prefix, 8);
    memcpy(to, kt->prefix, 8);
    size_t len = 8;
    bool has_end = tni_keycode_successor(to, &len);
    TN_ASSERT(has_end); /* store numbers stay below 2^32 − 1 */
    memset(to + len, 0, 8 - len);
}

uint64_t tni_key_segment(const struct tni_ktable *kt, struct tn_str key)
{
    int64_t start, end;
    tni_key_window(kt, key, &start, &end);
    return tni_window_segment(&kt->cfg.window, start, end);
}

static void put_be64(char *to, uint64_t value)
{
    for (unsigned i = 0; i < 8; i++)
        to[i] = (char)(value >> (56 - 8 * i));
}

struct tn_str tni_state_key_write(const struct tni_ktable *kt, struct tn_str key, char *to)
{
    size_t head = 8;
    memcpy(to, kt->prefix, 8);
    if (kt->window_bytes) {
        put_be64(to + 8, tni_key_segment(kt, key));
        head = 16;
    }
    memcpy(to + head, key.ptr, key.len);
    return (struct tn_str){to, head + key.len};
}

void tni_ktable_state_key(const struct tni_ktable *kt, struct tn_str key, struct tn_buf *buf)
{
    char *to = tn_buf_reserve(buf, key.len + 16);
    if (to)
        buf->len += tni_state_key_write(kt, key, to).len;
}

/* ---- taking ---- */

/* Is there anything to write for this version? */
static bool is_written(const struct flush_part *part, const struct tni_entry *e,
                       const struct tni_version *v)
{
    const struct tni_ktable *kt = part->kt;
    if (v->is_deleted && !(e->cflags & TNI_C_PERSISTED))
        return false; /* the state port never saw it */
    if (!kt->window_bytes)
        return true;
    struct tn_str key = {tni_entry_key_ptr(kt, e), e->key_len};
    return tni_key_segment(kt, key) >= part->expire_to; /* else it goes with its segment */
}

void tni_flush_add(struct tni_flush *flush, struct tni_ktable *kt)
{
    TN_ASSERT(!flush->is_applied);
    int64_t commit = tni_view_commit(flush->view);
    if (flush->parts_count == flush->parts_cap) {
        flush->parts_cap = flush->parts_cap ? flush->parts_cap * 2 : 8;
        flush->parts = tn_realloc(flush->parts, flush->parts_cap * sizeof *flush->parts);
    }
    struct flush_part *part = &flush->parts[flush->parts_count++];
    *part = (struct flush_part){.kt = tni_ktable_ref(kt)};
    pthread_rwlock_wrlock(&kt->lock);
    part->taken = kt->unflushed;
    kt->unflushed = (struct tni_entries){0};
    part->bytes_unflushed = atomic_exchange(&kt->bytes_unflushed, 0);
    part->expire_from = kt->flushed_expiry;
    part->expire_to = tni_expiry_at(kt, INT64_MAX);
    part->versions = tn_alloc_array(part->taken.count + 1, sizeof *part->versions);
    for (uint32_t i = 0; i < part->taken.count; i++) {
        struct tni_entry *e = part->taken.items[i];
        TN_ASSERT((e->cflags & TNI_C_UNFLUSHED) && !(e->cflags & TNI_C_FLUSHING));
        TN_ASSERT(e->head->commit <= commit); /* K6 */
        e->cflags = (uint8_t)((e->cflags & ~TNI_C_UNFLUSHED) | TNI_C_FLUSHING);
        part->versions[i] = e->head;
        if (!is_written(part, e, e->head))
            continue;
        e->cflags |= TNI_C_PERSISTED; /* from now on: a failed apply may have got through */
        size_t at = part->puts_count++;
        part->taken.items[i] = part->taken.items[at];
        part->versions[i] = part->versions[at];
        part->taken.items[at] = e;
        part->versions[at] = e->head;
    }
    pthread_rwlock_unlock(&kt->lock);
    flush->puts_count += part->puts_count;
}

void tni_flush_put(struct tni_flush *flush, struct tn_str key, struct tn_str value)
{
    if (flush->opaque_count == flush->opaque_cap) {
        flush->opaque_cap = flush->opaque_cap ? flush->opaque_cap * 2 : 16;
        flush->opaque = tn_realloc(flush->opaque, flush->opaque_cap * sizeof *flush->opaque);
    }
    flush->opaque[flush->opaque_count++] =
        (struct tn_state_put){tn_arena_str(&flush->arena, key), tn_arena_str(&flush->arena, value)};
}

size_t tni_flush_count(const struct tni_flush *flush)
{
    return flush->puts_count + flush->opaque_count;
}

/* ---- sorting ---- */

struct sort_ref {
    uint64_t k;
    uint32_t at; /* in part->taken */
};

struct sorter {
    const struct tni_ktable *kt;
    const struct tni_entries *taken;
    struct sort_ref *other; /* as many as there are refs */
};

static struct tn_str ref_key(const struct sorter *sorter, const struct sort_ref *ref)
{
    const struct tni_entry *e = sorter->taken->items[ref->at];
    return (struct tn_str){tni_entry_key_ptr(sorter->kt, e), e->key_len};
}

/* Longest common prefix of the keys, knowing that the first `skip` bytes agree. */
static size_t common_prefix(const struct sorter *sorter, const struct sort_ref *refs, size_t count,
                            size_t skip)
{
    struct tn_str first = ref_key(sorter, &refs[0]);
    size_t lcp = first.len;
    for (size_t i = 1; i < count && lcp > skip; i++) {
        struct tn_str key = ref_key(sorter, &refs[i]);
        size_t max = key.len < lcp ? key.len : lcp, n = skip < max ? skip : max;
        while (n < max && key.ptr[n] == first.ptr[n])
            n++;
        lcp = n;
    }
    return lcp;
}

/* Bytes from `at` on as a number; short keys are padded with zeros, which keycode never confuses:
 * no key is a prefix of another one. */
static uint64_t key_word(struct tn_str key, size_t at)
{
    unsigned char bytes[8] = {0};
    if (key.len > at)
        memcpy(bytes, key.ptr + at, key.len - at < 8 ? key.len - at : 8);
    return tn_be64(bytes);
}

/* Stable counting sort by one byte; false when it is the same everywhere. */
static bool radix_pass(const struct sort_ref *from, struct sort_ref *to, size_t count,
                       unsigned shift)
{
    size_t ends[256] = {0};
    for (size_t i = 0; i < count; i++)
        ends[from[i].k >> shift & 255u]++;
    size_t at = 0;
    for (unsigned v = 0; v < 256; v++) {
        if (ends[v] == count)
            return false;
        size_t n = ends[v];
        ends[v] = at;
        at += n;
    }
    for (size_t i = 0; i < count; i++)
        to[ends[from[i].k >> shift & 255u]++] = from[i];
    return true;
}

static void radix_sort(struct sorter *sorter, struct sort_ref *refs, size_t count)
{
    struct sort_ref *from = refs, *to = sorter->other;
    for (unsigned shift = 0; shift < 64; shift += 8) {
        if (!radix_pass(from, to, count, shift))
            continue;
        struct sort_ref *swap = from;
        from = to;
        to = swap;
    }
    if (from != refs)
        memcpy(refs, from, count * sizeof *refs);
}

static void insertion_sort(const struct sorter *sorter, struct sort_ref *refs, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        struct sort_ref ref = refs[i];
        struct tn_str key = ref_key(sorter, &ref);
        size_t at = i;
        for (; at > 0 && tn_str_cmp(ref_key(sorter, &refs[at - 1]), key) > 0; at--)
            refs[at] = refs[at - 1];
        refs[at] = ref;
    }
}

/* Sort by key bytes; the first `skip` agree. Depth is bounded by the key length ÷ 8. */
static void sort_refs(struct sorter *sorter, struct sort_ref *refs, size_t count, size_t skip)
{
    if (count <= 24) {
        insertion_sort(sorter, refs, count);
        return;
    }
    size_t at = common_prefix(sorter, refs, count, skip);
    for (size_t i = 0; i < count; i++)
        refs[i].k = key_word(ref_key(sorter, &refs[i]), at);
    radix_sort(sorter, refs, count);
    for (size_t i = 0; i < count;) {
        size_t end = i + 1;
        while (end < count && refs[end].k == refs[i].k)
            end++;
        if (end - i > 1)
            sort_refs(sorter, &refs[i], end - i, at + 8);
        i = end;
    }
}

/* Windowed tables: segment first. */
static void sort_segments(struct sorter *sorter, struct sort_ref *refs, size_t count)
{
    for (size_t i = 0; i < count; i++)
        refs[i].k = tni_key_segment(sorter->kt, ref_key(sorter, &refs[i]));
    radix_sort(sorter, refs, count);
    for (size_t i = 0; i < count;) {
        size_t end = i + 1;
        while (end < count && refs[end].k == refs[i].k)
            end++;
        sort_refs(sorter, &refs[i], end - i, 0);
        i = end;
    }
}

#define KEY_BLOCK_BYTES ((size_t)64 << 10)

struct key_writer {
    struct tn_arena *arena;
    char *next, *end;
};

static char *key_space(struct key_writer *kw, size_t len)
{
    if ((size_t)(kw->end - kw->next) < len) {
        size_t size = len > KEY_BLOCK_BYTES ? len : KEY_BLOCK_BYTES;
        kw->next = tn_arena_alloc(kw->arena, size);
        kw->end = kw->next + size;
    }
    char *ptr = kw->next;
    kw->next += len;
    return ptr;
}

/* The puts of one table, in order. */
static void part_puts(struct tni_flush *flush, const struct flush_part *part,
                      struct tn_state_put *puts)
{
    const struct tni_ktable *kt = part->kt;
    struct sort_ref *refs = tn_alloc_raw((part->puts_count + 1) * sizeof *refs);
    struct sorter sorter = {.kt = kt, .taken = &part->taken};
    sorter.other = tn_alloc_raw((part->puts_count + 1) * sizeof *refs);
    size_t count = part->puts_count;
    for (size_t i = 0; i < count; i++)
        refs[i] = (struct sort_ref){.at = (uint32_t)i};
    if (kt->window_bytes)
        sort_segments(&sorter, refs, count);
    else
        sort_refs(&sorter, refs, count, 0);
    struct key_writer kw = {.arena = &flush->arena};
    for (size_t i = 0; i < count; i++) {
        struct tn_str key = ref_key(&sorter, &refs[i]);
        const struct tni_version *v = part->versions[refs[i].at];
        puts[i].key = tni_state_key_write(kt, key, key_space(&kw, 16 + key.len));
        puts[i].value =
            v->is_deleted ? (struct tn_str){NULL, 0} : (struct tn_str){v->bytes, v->len};
    }
    tn_free(refs);
    tn_free(sorter.other);
}

static int cmp_parts(const void *a, const void *b)
{
    const struct flush_part *x = a, *y = b;
    return memcmp(x->kt->prefix, y->kt->prefix, 8);
}

static int cmp_puts(const void *a, const void *b)
{
    const struct tn_state_put *x = a, *y = b;
    return tn_str_cmp(x->key, y->key);
}

/* Sorted, without repeats: of an opaque key put twice the later one stays. */
static void sort_opaque(struct tni_flush *flush)
{
    for (size_t i = 0; i < flush->opaque_count; i++)
        for (size_t k = i + 1; k < flush->opaque_count; k++)
            if (tn_str_eq(flush->opaque[i].key, flush->opaque[k].key)) {
                flush->opaque[i].value = flush->opaque[k].value;
                flush->opaque[k] = flush->opaque[--flush->opaque_count];
                k--;
            }
    if (flush->opaque_count)
        qsort(flush->opaque, flush->opaque_count, sizeof *flush->opaque, cmp_puts);
}

/* All puts of the flush in key order: tables follow each other, opaque puts are merged in from the
 * back. */
static struct tn_state_put *sorted_puts(struct tni_flush *flush)
{
    sort_opaque(flush);
    struct tn_state_put *puts = tn_alloc_array(tni_flush_count(flush) + 1, sizeof *puts);
    if (flush->parts_count)
        qsort(flush->parts, flush->parts_count, sizeof *flush->parts, cmp_parts);
    size_t rows = 0;
    for (size_t p = 0; p < flush->parts_count; p++) {
        part_puts(flush, &flush->parts[p], puts + rows);
        rows += flush->parts[p].puts_count;
    }
    size_t to = rows + flush->opaque_count, left = flush->opaque_count;
    while (left) {
        if (rows && cmp_puts(&puts[rows - 1], &flush->opaque[left - 1]) > 0)
            puts[--to] = puts[--rows];
        else
            puts[--to] = flush->opaque[--left];
    }
    return puts;
}

/* ---- apply ---- */

struct range_bytes {
    char from[16], to[16];
};

static size_t expired_ranges(struct tni_flush *flush, struct tn_state_range *ranges,
                             struct range_bytes *bytes)
{
    size_t count = 0;
    for (size_t p = 0; p < flush->parts_count; p++) {
        const struct flush_part *part = &flush->parts[p];
        if (part->expire_to <= part->expire_from)
            continue;
        struct range_bytes *b = &bytes[count];
        memcpy(b->from, part->kt->prefix, 8);
        memcpy(b->to, part->kt->prefix, 8);
        put_be64(b->from + 8, part->expire_from);
        put_be64(b->to + 8, part->expire_to);
        ranges[count++] = (struct tn_state_range){{b->from, 16}, {b->to, 16}};
    }
    return count;
}

/* Only the version written is in the state port; older ones that pins keep never got there. */
static void mark_entry(struct tni_ktable *kt, struct tni_entry *e, struct tni_version *v,
                       uint32_t flush_number)
{
    e->cflags &= (uint8_t)~TNI_C_FLUSHING;
    v->flush = flush_number;
    if (e->head->is_deleted && e->head == v && !(e->cflags & TNI_C_DEAD)) {
        e->cflags |= TNI_C_DEAD;
        tni_entries_add(&kt->dead, e);
    }
}

static void part_release(struct flush_part *part)
{
    tn_free(part->taken.items);
    tn_free(part->versions);
    part->taken = (struct tni_entries){0};
    part->versions = NULL;
}

static void mark_part(struct flush_part *part, uint32_t flush_number)
{
    struct tni_ktable *kt = part->kt;
    for (uint32_t from = 0; from < part->taken.count; from += TNI_LOCK_ITEMS) {
        uint32_t left = part->taken.count - from;
        pthread_rwlock_wrlock(&kt->lock);
        for (uint32_t i = from; i < from + left && i < from + TNI_LOCK_ITEMS; i++)
            mark_entry(kt, part->taken.items[i], part->versions[i], flush_number);
        pthread_rwlock_unlock(&kt->lock);
    }
    kt->flushed_expiry = part->expire_to;
    part_release(part);
}

enum tn_status tni_flush_apply(struct tni_flush *flush, struct tn_err *err)
{
    TN_ASSERT(!flush->is_applied);
    struct tn_state_put *puts = sorted_puts(flush);
    size_t puts_count = tni_flush_count(flush);
    struct tn_state_range *ranges = tn_alloc_array(flush->parts_count + 1, sizeof *ranges);
    struct range_bytes *bytes = tn_alloc_array(flush->parts_count + 1, sizeof *bytes);
    struct tn_state_change change = {.puts = puts, .puts_count = puts_count, .is_sorted = true};
    change.ranges_count = expired_ranges(flush, ranges, bytes);
    change.ranges = ranges;
    enum tn_status st = TN_OK;
    if (puts_count || change.ranges_count)
        st = flush->state->type->apply(flush->state, &change, err);
    tn_free(puts);
    tn_free(ranges);
    tn_free(bytes);
    if (tn_failed(st))
        return st;
    /* Should the snapshot fail, rows stay unflushed and are written once more: harmless. */
    struct tn_state_snapshot *snapshot = NULL;
    TN_TRY(flush->state->type->snapshot(flush->state, &snapshot, err));
    uint32_t number = flush->view->flush + 1; /* one flush at a time: nobody else changes it */
    for (size_t p = 0; p < flush->parts_count; p++)
        mark_part(&flush->parts[p], number);
    tni_view_flushed(flush->view,
                     snapshot); /* only now: pins taken meanwhile go with the old one */
    flush->is_applied = true;
    return TN_OK;
}

/* A flush that was not applied gives its rows back. */
static void give_back(struct flush_part *part)
{
    struct tni_ktable *kt = part->kt;
    pthread_rwlock_wrlock(&kt->lock);
    for (uint32_t i = 0; i < part->taken.count; i++) {
        struct tni_entry *e = part->taken.items[i];
        e->cflags &= (uint8_t)~TNI_C_FLUSHING;
        if (e->cflags & TNI_C_UNFLUSHED)
            continue;
        e->cflags |= TNI_C_UNFLUSHED;
        tni_entries_add(&kt->unflushed, e);
    }
    pthread_rwlock_unlock(&kt->lock);
    atomic_fetch_add(&kt->bytes_unflushed, part->bytes_unflushed);
    part_release(part);
}

void tni_flush_free(struct tni_flush *flush)
{
    if (!flush)
        return;
    for (size_t p = 0; p < flush->parts_count; p++) {
        if (!flush->is_applied)
            give_back(&flush->parts[p]);
        tni_ktable_unref(flush->parts[p].kt);
    }
    tn_free(flush->parts);
    tn_free(flush->opaque);
    tn_arena_release(&flush->arena);
    tn_free(flush);
}
