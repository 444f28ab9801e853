/* Inside of the ktable: entries, versions, index. Folder-private; shared by ktable*.c only.
 *
 * MEMORY. Entries have one size per table (header | states | key bytes inline or a pointer) and
 * live in slabs that never move; an entry is named by a 32-bit id. The index is open addressing
 * with linear probing over 8-byte slots {hash, id + 1}, so a probe that misses touches one cache
 * line and growing never touches entries. Versions come from size classes.
 *
 * WHO WRITES WHAT
 *   index, slab directory   worker, under the write lock; the worker reads them without a lock
 *   entry: states, last, rowtime, wflags, extra     worker
 *   entry: head, cflags; version.next, .commit, .flush; lists unflushed, garbage, dead   write lock
 *   entry: key bytes, version bytes                 immutable once reachable
 */
#ifndef TN_STREAM_KTABLE_INT_H
#define TN_STREAM_KTABLE_INT_H

#include "stream/base/hash.h"
#include "stream/base/mem.h"
#include "stream/keycode.h"
#include "stream/ktable.h"
#include "stream/rowcode.h"
#include "stream/window.h"

#define TNI_SLAB_SHIFT    8
#define TNI_SLAB_ENTRIES  (1u << TNI_SLAB_SHIFT)
#define TNI_CLASS_BYTES   8u
#define TNI_CLASSES_COUNT 64u /* versions up to 512 bytes; larger ones are allocated singly */
#define TNI_CHUNK_BYTES   ((size_t)64 << 10)
#define TNI_ROWTIME_BYTES 8u
#define TNI_NOT_FLUSHED   UINT32_MAX
#define TNI_LOCK_ITEMS    512u /* items handled per hold of the write lock */

struct tni_version {
    struct tni_version *next; /* older */
    int64_t commit;
    uint32_t flush;    /* flush that wrote it; 0 = read from the state port; TNI_NOT_FLUSHED */
    uint32_t len : 31; /* of bytes */
    uint32_t is_deleted : 1;
    char bytes[]; /* rowtime, then the value */
};

enum tni_wflags {
    TNI_W_STATE = 1u << 0, /* states are decoded (AGGREGATE) or hold an open row (MATERIALIZE) */
    TNI_W_EXISTS = 1u << 1,
    TNI_W_DIRTY = 1u << 2,    /* in kt->dirty */
    TNI_W_REF = 1u << 3,      /* second chance */
    TNI_W_UNLOADED = 1u << 4, /* its look-up in the state port failed: look again */
    TNI_W_LIVE = 1u << 5      /* the slot is in use */
};
enum tni_cflags {
    TNI_C_GARBAGE = 1u << 0,   /* in kt->garbage */
    TNI_C_UNFLUSHED = 1u << 1, /* in kt->unflushed */
    TNI_C_PERSISTED = 1u << 2, /* the state port may hold the key */
    TNI_C_DEAD = 1u << 3,      /* in kt->dead */
    TNI_C_FLUSHING = 1u << 4   /* a flush borrows its versions */
};

struct tni_entry {
    struct tni_version *head; /* newest published */
    struct tni_version *last; /* newest closed: head, or in a delta in flight */
    int64_t rowtime_ms;       /* INT64_MIN = none */
    uint32_t key_len;
    uint32_t id;
    uint32_t extra; /* bytes behind the states, as charged */
    uint8_t wflags, cflags;
    uint16_t unused;
    /* states, then key bytes */
};

/* State of a MATERIALIZE entry: the open row. */
struct tni_open_row {
    char *ptr;
    uint32_t len, cap;
};

struct tni_slot {
    uint32_t hash;
    uint32_t id; /* + 1; 0 = empty */
};

struct tni_entries {
    struct tni_entry **items;
    uint32_t count, cap;
};
static inline void tni_entries_add(struct tni_entries *list, struct tni_entry *e)
{
    if (TN_UNLIKELY(list->count == list->cap)) {
        list->cap = list->cap ? list->cap * 2 : 64;
        list->items = tn_realloc(list->items, list->cap * sizeof *list->items);
    }
    list->items[list->count++] = e;
}

struct tni_free_version {
    struct tni_free_version *next;
};
struct tni_pool {
    struct tni_free_version *free[TNI_CLASSES_COUNT + 1];     /* worker */
    struct tni_free_version *returned[TNI_CLASSES_COUNT + 1]; /* lock */
    atomic_uint returned_count;
    char *next, *end;
    void **chunks;
    uint32_t chunks_count, chunks_cap;
};

/* Scratch of the worker, sized for one batch. */
struct tni_scratch {
    uint32_t cap;
    struct tn_str *keys;
    uint32_t *hashes, *missing, *rows;
    void **states;
    struct tni_entry **entries;
    char *bytes;
    size_t bytes_cap;
    struct tn_buf buf;
    struct tn_arena arena;
};

struct tni_windows; /* ktable_window.c: time index and session directory */

struct tni_expiry {
    int64_t commit;
    uint64_t segment;
};
#define TNI_EXPIRIES_MAX 64u

struct tni_ktable {
    struct tni_ktable_config cfg;
    atomic_int refs;
    bool is_rows;   /* MATERIALIZE */
    bool has_extra; /* some aggregate keeps bytes behind its state */
    uint32_t values_count;
    const struct tn_type **value_types;
    uint32_t *agg_at; /* offset of each aggregate's state in an entry */
    uint32_t states_bytes, key_at, key_inline, entry_bytes;
    uint32_t window_bytes; /* 0, 8, 16 */
    char prefix[8];        /* store, partition */

    struct tni_slot *slots;
    uint32_t mask, used;
    char **slabs;
    uint32_t slabs_count, slabs_cap, ids_used;
    uint32_t *free_ids;
    uint32_t free_count, free_cap;

    /* worker */
    struct tni_entries dirty, gone;
    struct tni_scratch scratch;
    struct tni_windows *windows;
    struct tni_pool pool;
    uint32_t hand;        /* clock */
    uint32_t created;     /* entries since the last trim */
    uint32_t stuck_flush; /* whole turns of the hand freed too little at this flush: … */
    bool is_stuck;        /* … until the next one only as much is looked at as was created */
    char *warm_key;       /* next state port key to warm from */
    size_t warm_key_len;
    uint64_t warm_evictions;
    bool is_warm_started;
    uint64_t expire_segment; /* wanted by the open round */
    int64_t pending_bytes;   /* charged, not yet added to the counters below */
    int64_t hits_open, misses_open;

    /* committed side */
    pthread_rwlock_t lock;
    struct tni_entries unflushed, garbage, dead;
    int64_t keys_count;        /* living heads in memory */
    int64_t committed_pending; /* as pending_bytes, lock */
    uint32_t memory_scans;     /* open scans that rely on K2; guarded by scan_lock */
    pthread_mutex_t scan_lock;
    struct tni_expiry expiries[TNI_EXPIRIES_MAX]; /* ascending commits, lock */
    uint32_t expiries_count;
    uint64_t flushed_expiry; /* segments below are gone from the state port */
    atomic_bool is_complete;

    atomic_llong bytes, bytes_unflushed, hits, misses, loads, evictions, late_rows;
};

struct tni_delta_item {
    struct tni_entry *entry;
    struct tni_version *version;
    const struct tni_version *before;
};
struct tni_delta {
    struct tni_ktable *kt;
    uint32_t count;
    size_t bytes;
    uint64_t expire_segment; /* 0 = none */
    struct tni_delta_item items[];
};

/* ---- entries ---- */

static inline struct tni_entry *tni_entry_at(const struct tni_ktable *kt, uint32_t id)
{
    return (struct tni_entry *)(void *)(kt->slabs[id >> TNI_SLAB_SHIFT] +
                                        (size_t)(id & (TNI_SLAB_ENTRIES - 1)) * kt->entry_bytes);
}
static inline void *tni_entry_state(const struct tni_ktable *kt, const struct tni_entry *e,
                                    uint32_t agg)
{
    return (char *)(uintptr_t)e + kt->agg_at[agg];
}
static inline const char *tni_entry_key_ptr(const struct tni_ktable *kt, const struct tni_entry *e)
{
    const char *at = (const char *)e + kt->key_at;
    if (TN_LIKELY(e->key_len <= kt->key_inline))
        return at;
    const char *ptr;
    memcpy(&ptr, at, sizeof ptr);
    return ptr;
}
static inline struct tni_open_row *tni_entry_open_row(const struct tni_ktable *kt,
                                                      const struct tni_entry *e)
{
    return tni_entry_state(kt, e, 0);
}
static inline bool tni_version_lives(const struct tni_version *v)
{
    return v && !v->is_deleted;
}
static inline int64_t tni_version_rowtime(const struct tni_version *v)
{
    int64_t rowtime_ms;
    memcpy(&rowtime_ms, v->bytes, 8);
    return rowtime_ms;
}
static inline uint32_t tni_key_hash(struct tn_str key)
{
    return (uint32_t)(tn_hash64(key.ptr, key.len) >> 32);
}
static inline bool tni_key_same(const char *a, const char *b, size_t len)
{
    if (len >= 8 && len <= 16) {
        uint64_t a0, b0, a1, b1;
        memcpy(&a0, a, 8);
        memcpy(&b0, b, 8);
        memcpy(&a1, a + len - 8, 8);
        memcpy(&b1, b + len - 8, 8);
        return ((a0 ^ b0) | (a1 ^ b1)) == 0;
    }
    return memcmp(a, b, len) == 0;
}
static inline struct tni_entry *tni_index_find(const struct tni_ktable *kt, struct tn_str key,
                                               uint32_t hash)
{
    for (uint32_t p = hash & kt->mask;; p = (p + 1) & kt->mask) {
        struct tni_slot slot = kt->slots[p];
        if (!slot.id)
            return NULL;
        if (slot.hash == hash) {
            struct tni_entry *e = tni_entry_at(kt, slot.id - 1);
            if (e->key_len == key.len && tni_key_same(tni_entry_key_ptr(kt, e), key.ptr, key.len))
                return e;
        }
    }
}
/* Newest version a reader of `commit` may see; NULL when there is none in memory. */
static inline struct tni_version *tni_entry_visible(const struct tni_entry *e, int64_t commit)
{
    struct tni_version *v = e->head;
    while (v && v->commit > commit)
        v = v->next;
    return v;
}
static inline void tni_charge(struct tni_ktable *kt, int64_t bytes)
{
    kt->pending_bytes += bytes;
}

/* ktable_mem.c */
void tni_mem_open(struct tni_ktable *kt);
void tni_mem_release(struct tni_ktable *kt);
/* New entry with this key, put into the index. Write lock held, index grown before
 * (tni_index_reserve). */
struct tni_entry *tni_entry_new(struct tni_ktable *kt, struct tn_str key, uint32_t hash);
/* Take out of index and memory. Write lock held. */
void tni_entry_drop(struct tni_ktable *kt, struct tni_entry *e);
/* Room for `extra` more keys; takes the write lock only to swap. Worker; lock not held. */
void tni_index_reserve(struct tni_ktable *kt, uint32_t extra);
void tni_state_release(struct tni_ktable *kt, struct tni_entry *e);
struct tni_version *tni_version_new(struct tni_ktable *kt, size_t len); /* worker */
void tni_version_free(struct tni_ktable *kt, struct tni_version *v);    /* worker */
void tni_version_return(struct tni_ktable *kt, struct tni_version *v);  /* write lock held */
void tni_settle(struct tni_ktable *kt);                                 /* worker's charges */
void tni_settle_committed(struct tni_ktable *kt);                       /* write lock held */
void tni_scratch_reserve(struct tni_ktable *kt, uint32_t count);
/* A flush is complete: `snapshot` (taken over) was made right after it. @thread flush */
void tni_view_flushed(struct tni_view *view, struct tn_state_snapshot *snapshot);
/* Oldest commit and flush that any present or future pin may need. */
void tni_view_oldest(struct tni_view *view, int64_t *ret_commit, uint32_t *ret_flush);
/* Nothing of the entry would be lost to worker, log or pins. Write lock held. */
bool tni_entry_is_clean(const struct tni_entry *e, uint32_t oldest_flush);
/* Drop entries that came and went, flushed tombstones and expired rows. Worker. */
void tni_mem_sweep(struct tni_ktable *kt);

/* ktable.c */
enum tni_acquire {
    TNI_ACQUIRE_LOAD,  /* look missing keys up in the state port */
    TNI_ACQUIRE_BLIND, /* whatever it holds will be replaced */
    TNI_ACQUIRE_NEW    /* it holds nothing */
};
enum tn_status tni_acquire_keys(struct tni_ktable *kt, const struct tn_str *keys, uint32_t count,
                                enum tni_acquire how, struct tni_entry **ret_entries,
                                struct tn_err *err);
/* Adopt what was read from the state port for an entry nobody has changed. Write lock held. */
void tni_entry_adopt(struct tni_ktable *kt, struct tni_entry *e, struct tni_version *v);
/* Recompute the bytes behind the states of an open entry. */
void tni_entry_extra(struct tni_ktable *kt, struct tni_entry *e);
void tni_states_init(const struct tni_ktable *kt, struct tni_entry *e);
/* Decode or start the states of an entry. */
enum tn_status tni_entry_open(struct tni_ktable *kt, struct tni_entry *e, struct tn_err *err);
enum tn_status tni_states_decode(const struct tni_ktable *kt, char *base, const char *ptr,
                                 const char *end, struct tn_err *err);
/* Encode key columns (and windows) of a batch into kt->scratch.keys. */
void tni_keys_encode(struct tni_ktable *kt, const struct tn_column *keys, const uint32_t *rows,
                     uint32_t count, const int64_t *starts, const int64_t *ends);
static inline void tni_entry_mark(struct tni_ktable *kt, struct tni_entry *e)
{
    if (!(e->wflags & TNI_W_DIRTY)) {
        e->wflags |= TNI_W_DIRTY;
        tni_entries_add(&kt->dirty, e);
    }
}
/* Expired segment as a reader of `commit` sees it. Lock held. */
uint64_t tni_expiry_at(const struct tni_ktable *kt, int64_t commit);
/* Window bounds at the end of key bytes. */
void tni_key_window(const struct tni_ktable *kt, struct tn_str key, int64_t *ret_start_ms,
                    int64_t *ret_end_ms);
uint64_t tni_key_segment(const struct tni_ktable *kt, struct tn_str key);
/* Key of the state port; `to` has room for key.len + 16 bytes. */
struct tn_str tni_state_key_write(const struct tni_ktable *kt, struct tn_str key, char *to);

/* ktable_window.c */
void tni_windows_free(struct tni_ktable *kt);
void tni_windows_created(struct tni_ktable *kt, struct tni_entry *e);
void tni_windows_dropped(struct tni_ktable *kt, struct tni_entry *e);
void tni_windows_reset(struct tni_ktable *kt); /* after an abort: rebuild when next used */
/* Drop entries of expired segments that nobody can see any more. Write lock held. */
void tni_windows_sweep(struct tni_ktable *kt, int64_t oldest_commit, uint32_t oldest_flush);

/* ktable_round.c: the open states of an entry, or its deletion, as a version nobody has yet.
 * Worker. */
struct tni_version *tni_version_encode(struct tni_ktable *kt, struct tni_entry *e);
struct tni_version *tni_version_tombstone(struct tni_ktable *kt, const struct tni_entry *e);

/* ktable_restore.c: take a row of the state port in, unless the key is in memory. */
void tni_warm_row(struct tni_ktable *kt, struct tn_str key, struct tn_str row);

#endif
