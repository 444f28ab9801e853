/* Port: an ordered byte store with atomic changes. Adapters: RocksDB (store/), in-memory model
 * (tests/, sim).
 *
 * Keys compare by memcmp. The layout of keys is the runner's (stream/README.md, "State layout"):
 * store u32 BE | partition u32 BE | segment | key | window start.
 *
 * @thread any; an iterator or snapshot has one owner thread at a time.
 */
#ifndef TN_STREAM_STATE_H
#define TN_STREAM_STATE_H

#include "stream/base/arena.h"
#include "stream/base/status.h"

struct tn_state;
struct tn_state_snapshot;
struct tn_state_iter;

struct tn_state_put {
    struct tn_str key;
    struct tn_str value; /* ptr NULL = delete */
};

struct tn_state_range {
    struct tn_str from, to; /* [from, to) */
};

/* One atomic change. */
struct tn_state_change {
    const struct tn_state_put *puts;
    size_t puts_count;
    bool is_sorted; /* puts ascend by key without repeats: a large change may be ingested as a file
                     */
    const struct tn_state_range *ranges; /* deleted before the puts */
    size_t ranges_count;
};

struct tn_state_type {
    const char *name;
    /* For each key: ret_values[i] in `arena`, ptr NULL when absent. snapshot NULL = newest. */
    enum tn_status (*multi_get)(struct tn_state *state, const struct tn_state_snapshot *snapshot,
                                const struct tn_str *keys, size_t keys_count,
                                struct tn_arena *arena, struct tn_str *ret_values,
                                struct tn_err *err);
    enum tn_status (*apply)(struct tn_state *state, const struct tn_state_change *change,
                            struct tn_err *err);
    enum tn_status (*snapshot)(struct tn_state *state, struct tn_state_snapshot **ret_snapshot,
                               struct tn_err *err);
    void (*snapshot_free)(struct tn_state *state, struct tn_state_snapshot *snapshot);
    /* [from, to); to.ptr NULL = to the end. */
    enum tn_status (*iter_open)(struct tn_state *state, const struct tn_state_snapshot *snapshot,
                                struct tn_str from, struct tn_str to,
                                struct tn_state_iter **ret_iter, struct tn_err *err);
    /* TN_END after the last. Slices valid until the next call. */
    enum tn_status (*iter_next)(struct tn_state_iter *iter, struct tn_str *ret_key,
                                struct tn_str *ret_value, struct tn_err *err);
    void (*iter_close)(struct tn_state_iter *iter);
    /* Approximate bytes on disk and keys of a range, for metrics and plans. */
    enum tn_status (*size)(struct tn_state *state, struct tn_str from, struct tn_str to,
                           int64_t *ret_bytes, int64_t *ret_keys);
    void (*close)(struct tn_state *state);
};

struct tn_state {
    const struct tn_state_type *type;
};

#endif
