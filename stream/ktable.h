/* A ktable: the store of one AGGREGATE or MATERIALIZE node for one partition. Folder-private.
 *
 * WHY IT LOOKS LIKE THIS. One process counts millions of events a second and answers queries about
 * the last commit at the same time. So a key has one *entry* with two sides:
 *
 *   worker side     in-place aggregate states, touched only by the worker thread that owns the
 *                   task, without locks
 *   committed side  a chain of immutable *versions* (encoded bytes + commit number), newest first;
 *                   read by queries under a read lock, changed by the commit thread under the
 *                   write lock
 *
 *   batch ─► acquire ─► update ─► … ─► boundary ─► delta ─► publish(commit) ─► gc ─► flush ─► state
 *            (MultiGet for misses)        │                                               port
 *                                         └─► changelog rows (columns of new and old values)
 *   abort drops the deltas in flight and the open changes
 *
 * BYTES OF A ROW (`struct tn_str row`, also the value in the state port and in state changelogs):
 *   int64 LE rowtime in ms | value
 *   Value of an AGGREGATE: the encoded states of its aggregates, one after another. Value of a
 *   MATERIALIZE: stream/rowcode.h of its value columns.
 *
 * BYTES OF A KEY (`struct tn_str key`): stream/keycode.h of the key columns, then for TUMBLE and
 *   HOP the window start, for SESSION the window end and start, each 8 bytes big-endian. Key order
 *   is value order, then time.
 *
 * STATE PORT KEY:
 *   store u32 BE | partition u32 BE | segment u64 BE (windowed only) | key bytes as above
 *
 * INVARIANTS
 *   K1  A row that is committed but not flushed is always in memory; so is every version an open
 *       pin still needs and its snapshot lacks. Only clean, flushed entries are evicted.
 *   K2  While `is_complete`, every living key is in memory: misses need no state look-up, scans no
 *       merge.
 *   K3  The order of a delta's changes is the order in which keys were first touched in the round.
 *   K4  At most two deltas are in flight; they are published in order or aborted together.
 *   K5  Bytes of a change (key, row, before) stay valid until its delta is published or aborted.
 *   K6  A flush holds only commits that are visible, so a pin's snapshot never runs ahead of it.
 *
 * THREADS. @thread worker: the owner of the task. @thread commit: publish, gc, flush; they may run
 * while the worker works. @thread any: pins, look-ups, scans, stats. Abort needs the worker and the
 * commit thread idle and may be called by either.
 */
#ifndef TN_STREAM_KTABLE_H
#define TN_STREAM_KTABLE_H

#include <stdatomic.h>
#include <pthread.h>
#include "stream/agg.h"
#include "stream/batch.h"
#include "stream/plan.h"
#include "stream/state.h"

/* ---- budget: bytes of all ktables of the process ---- */

struct tni_budget {
    int64_t bytes_max;
    atomic_llong bytes_used;
};
static inline void tni_budget_init(struct tni_budget *budget, int64_t bytes_max)
{
    budget->bytes_max = bytes_max;
    atomic_init(&budget->bytes_used, 0);
}
static inline bool tni_budget_is_over(struct tni_budget *budget)
{
    return atomic_load_explicit(&budget->bytes_used, memory_order_relaxed) > budget->bytes_max;
}

/* ---- view: what is committed and visible, process-wide; pins ---- */

/* One state snapshot after each flush, shared by all pins until the next one: a pin costs no call
 * of the state port, and a snapshot holds exactly the flushes up to its number, even while another
 * one is being applied. */
struct tni_view_snapshot {
    struct tn_state_snapshot *snapshot;
    uint32_t flush;
    uint32_t refs; /* pins, + 1 while it is the view's current one */
};

struct tni_view_pin {
    int64_t commit; /* rows as of this commit number */
    uint32_t flush; /* flushes ≤ this one are in the snapshot */
    struct tni_view_snapshot *shared;
    struct tni_view_pin *next, *prev;
};

struct tni_view {
    pthread_mutex_t lock;
    struct tn_state *state;
    int64_t commit; /* newest visible commit */
    uint32_t flush; /* newest flush that is complete in the state port */
    struct tni_view_snapshot *current;
    struct tni_view_pin *pins;
};

enum tn_status tni_view_init(struct tni_view *view, struct tn_state *state, int64_t commit,
                             struct tn_err *err);
void tni_view_release(struct tni_view *view);
/* Make everything published under `commit` visible. Call after every ktable of the commit was
 * published. @thread commit */
void tni_view_advance(struct tni_view *view, int64_t commit);
int64_t tni_view_commit(struct tni_view *view);
/* The state port was changed beside the flushes (a store was dropped, tables start anew after a
 * recovery): later pins see it as it is now. No flush may be under way. @thread commit */
enum tn_status tni_view_refresh(struct tni_view *view, struct tn_err *err);
/* Pin the newest commit; allocates nothing, never fails. @thread any */
void tni_view_pin(struct tni_view *view, struct tni_view_pin *pin);
void tni_view_unpin(struct tni_view *view, struct tni_view_pin *pin);

/* ---- the table ---- */

struct tni_ktable;
struct tni_entry;
struct tni_delta;

struct tni_ktable_config {
    uint32_t store_id;
    uint32_t partition;
    uint32_t keys_count; /* ≥ 1 */
    const struct tn_type *const *key_types;
    /* AGGREGATE: aggs; MATERIALIZE: aggs_count = 0 and values (value columns only) */
    uint32_t aggs_count;
    const struct tn_agg_call *aggs;
    uint32_t values_count;
    const struct tn_type *const
        *value_types;        /* MATERIALIZE; for AGGREGATE the types of the calls are used */
    struct tn_window window; /* kind NONE for tables without windows */
    struct tn_state *state;
    struct tni_budget *budget;
    struct tni_view *view;
    bool is_known_empty; /* the state port holds nothing of this store partition */
    bool is_resident;    /* nothing is evicted, and warming up does not mind the budget */
};

/* The config's arrays are borrowed (the plan outlives the table). refs = 1. */
enum tn_status tni_ktable_open(const struct tni_ktable_config *config, struct tni_ktable **ret_kt,
                               struct tn_err *err);
struct tni_ktable *tni_ktable_ref(struct tni_ktable *kt);
/* Frees memory with the last reference; unflushed rows are forgotten (the changelog has them). NULL
 * is a no-op. */
void tni_ktable_unref(struct tni_ktable *kt);

/* Number and types of the value columns that the *_columns calls below produce: one per aggregate,
 * or the MATERIALIZE values. */
uint32_t tni_ktable_values_count(const struct tni_ktable *kt);

/* ---- worker side @thread worker ---- */

/* Entries of n rows: row rows[i] (i when rows is NULL) of the key columns, and window_starts[i] for
 * TUMBLE and HOP tables (NULL otherwise). Creates or loads; equal keys give equal pointers. Missing
 * keys of the whole batch are looked up with one MultiGet unless the table is complete. Entries
 * stay valid until the next tni_ktable_trim, boundary or abort. Marks nothing dirty. NULL key
 * columns are allowed (NULL equals NULL); callers drop such rows where semantics say so. Not for
 * SESSION. */
enum tn_status tni_ktable_acquire(struct tni_ktable *kt, const struct tn_column *keys,
                                  const uint32_t *rows, uint32_t count,
                                  const int64_t *window_starts, struct tni_entry **ret_entries,
                                  struct tn_err *err);
/* SESSION tables that are materialised: windows given by both bounds. */
enum tn_status tni_ktable_acquire_sessions(struct tni_ktable *kt, const struct tn_column *keys,
                                           const uint32_t *rows, uint32_t count,
                                           const int64_t *starts, const int64_t *ends,
                                           struct tni_entry **ret_entries, struct tn_err *err);
/* The same as acquire without creating: NULL where the key does not exist (deleted, never seen).
 * For joins on the task's own thread: sees the open round. */
enum tn_status tni_ktable_find(struct tni_ktable *kt, const struct tn_column *keys,
                               const uint32_t *rows, uint32_t count, const int64_t *window_starts,
                               struct tni_entry **ret_entries, struct tn_err *err);
/* As acquire, but a key that is not in memory starts from nothing instead of being loaded. For
 * restore, where the record replaces whatever was there. */
enum tn_status tni_ktable_acquire_blind(struct tni_ktable *kt, const struct tn_column *keys,
                                        const uint32_t *rows, uint32_t count,
                                        const int64_t *window_starts,
                                        struct tni_entry **ret_entries, struct tn_err *err);

/* AGGREGATE: run every aggregate over the rows (retract when is_retract), mark the entries dirty
 * and existing, rowtime = max(rowtime, row's). agg_args, agg_filters as in struct tn_node: columns
 * of `batch`; agg_filters may be NULL. batch->rowtime_ms NULL counts as 0. */
void tni_ktable_update(struct tni_ktable *kt, struct tni_entry *const *entries,
                       const struct tn_batch *batch, const uint32_t *rows, uint32_t count,
                       const uint32_t (*agg_args)[4], const int32_t *agg_filters, bool is_retract);
/* States of aggregate `agg` of each entry, for callers that run an aggregate themselves; follow
 * with tni_ktable_touch. */
void tni_ktable_states(const struct tni_ktable *kt, struct tni_entry *const *entries,
                       uint32_t count, uint32_t agg, void **ret_states);
/* Mark dirty and existing; rowtime = max of itself and rowtimes_ms[rows[i]] (rowtimes_ms NULL:
 * unchanged). */
void tni_ktable_touch(struct tni_ktable *kt, struct tni_entry *const *entries,
                      const int64_t *rowtimes_ms, const uint32_t *rows, uint32_t count);

/* MATERIALIZE: replace the row of each entry by row rows[i] of `values` (values_count columns).
 * rowtime is set, not maximised: the last offset wins. */
void tni_ktable_put(struct tni_ktable *kt, struct tni_entry *const *entries,
                    const struct tn_column *values, const int64_t *rowtimes_ms,
                    const uint32_t *rows, uint32_t count);
/* The row ceases to exist (table delete; aggregate group removed). */
void tni_ktable_delete(struct tni_ktable *kt, struct tni_entry *entry, int64_t rowtime_ms);

bool tni_entry_exists(const struct tni_entry *entry);
int64_t tni_entry_rowtime_ms(const struct tni_entry *entry);
/* Window bounds; TUMBLE and HOP: end = start + size. 0, 0 without windows. */
void tni_entry_window(const struct tni_ktable *kt, const struct tni_entry *entry,
                      int64_t *ret_start_ms, int64_t *ret_end_ms);
struct tn_str tni_entry_key(const struct tni_ktable *kt, const struct tni_entry *entry);

/* Current (open) values of entries as columns in `arena`: finals of the aggregates or the
 * materialised columns. Entry NULL or not existing: NULL row. needed NULL = all; others come back
 * absent. For emit-every-update: call before and after updating a run of rows in which no entry
 * repeats. */
enum tn_status tni_ktable_columns(struct tni_ktable *kt, struct tni_entry *const *entries,
                                  uint32_t count, const bool *needed, struct tn_arena *arena,
                                  struct tn_column *ret_values, struct tn_err *err);
/* Rows of keys as of the last boundary (ptr NULL: none), for when nothing is open. Bytes stay valid
 * until the next trim, boundary or abort. */
enum tn_status tni_ktable_last(struct tni_ktable *kt, const struct tn_str *keys, uint32_t count,
                               struct tn_str *ret_rows, struct tn_err *err);
/* All living rows, the open round's too, in key order; the caller frees the list. Resident tables:
 * reads what is not in memory yet. */
enum tn_status tni_ktable_living(struct tni_ktable *kt, struct tni_entry ***ret_entries,
                                 uint32_t *ret_count, struct tn_err *err);
/* Key columns (keys_count) of entries. */
void tni_ktable_key_columns(const struct tni_ktable *kt, struct tni_entry *const *entries,
                            uint32_t count, struct tn_arena *arena, struct tn_column *ret_keys);

/* Give memory back when the budget is over: evicts clean, flushed entries (second chance). Call
 * after each batch; costs one load when there is nothing to do. Returns false when the budget is
 * still over: then a commit and a flush are needed before more can go. */
bool tni_ktable_trim(struct tni_ktable *kt);
/* Read up to rows_max further rows of the state port into memory while the budget has room; TN_END
 * when the table has become complete or the budget is full. For idle time after a start. */
enum tn_status tni_ktable_warm(struct tni_ktable *kt, uint32_t rows_max, struct tn_err *err);

/* ---- windows @thread worker; see also stream/window.h for assignment and lateness ---- */

/* What one row did to the sessions of its key. */
struct tni_session_effect {
    uint32_t row; /* i of the call: source row rows[i], or i itself */
    uint32_t old_count;
    struct tni_entry *const *old; /* sessions it joined, ascending end; deleted unless == merged */
    struct tni_entry *merged;     /* the session that holds the row now */
    bool has_tombstones; /* emitting every update: a tombstone for each of old goes first */
};
/* SESSION tables: for each row, in order: find the sessions within the gap, merge them and the row
 * (aggregates updated), mark dirty. Rows that are late by stream time − grace are left out and
 * counted. *stream_time_ms is advanced row by row. Effects go to `ret_effects` (count slots) in
 * `arena`; merged/old pointers stay valid until trim or boundary. */
enum tn_status tni_ktable_session_update(
    struct tni_ktable *kt, const struct tn_column *keys, const struct tn_batch *batch,
    const uint32_t *rows, uint32_t count, const uint32_t (*agg_args)[4], const int32_t *agg_filters,
    int64_t *stream_time_ms, struct tn_arena *arena, struct tni_session_effect *ret_effects,
    uint32_t *ret_effects_count, uint32_t *late_rows, uint32_t *ret_late_count, struct tn_err *err);

/* EMIT FINAL: windows that are closed at `stream_time_ms` and were not closed at `closed_ms` (the
 * position's last closed time; INT64_MIN at first), ordered by start (sessions: end), then key
 * bytes of keycode. A window is closed when stream time ≥ end + grace, a session when stream time >
 * end + gap + grace. *closed_ms becomes stream_time_ms; persist it with the positions. Call after
 * the rows that moved stream time were added. */
enum tn_status tni_ktable_close_windows(struct tni_ktable *kt, int64_t stream_time_ms,
                                        int64_t *closed_ms, struct tn_arena *arena,
                                        struct tni_entry ***ret_entries, uint32_t *ret_count,
                                        struct tn_err *err);
/* Retention: whole segments older than stream_time_ms − retention leave at the next boundary
 * (memory) and flush (range delete). No changelog rows are written for them. */
void tni_ktable_expire(struct tni_ktable *kt, int64_t stream_time_ms);

/* ---- rounds ---- */

struct tni_change {
    struct tn_str key;    /* key bytes (with window) */
    struct tn_str row;    /* ptr NULL = delete */
    struct tn_str before; /* committed row before the round (or of the round in flight before it);
                             ptr NULL = none */
    int64_t rowtime_ms;   /* of the row or of its deletion */
    bool is_same;         /* row and before differ only in rowtime */
};

/* Close the round: encode every dirty entry. Keys that came and went within the round leave no
 * change. Returns NULL when nothing changed. The next batch may start at once. @thread worker */
struct tni_delta *tni_ktable_boundary(struct tni_ktable *kt);
uint32_t tni_delta_count(const struct tni_delta *delta);
/* Change i < count. @thread any, until publish or abort */
struct tni_change tni_delta_get(const struct tni_delta *delta, uint32_t i);
size_t tni_delta_bytes(const struct tni_delta *delta);
/* The log accepted the round. Frees the delta. NULL is a no-op. @thread commit */
void tni_ktable_publish(struct tni_ktable *kt, struct tni_delta *delta, int64_t commit);
/* After tni_view_advance: drop versions that neither the view nor a pin needs. @thread commit */
void tni_ktable_gc(struct tni_ktable *kt);
/* Roll back: all deltas in flight (oldest first; freed) and the open round. Worker and commit
 * thread idle. */
enum tn_status tni_ktable_abort(struct tni_ktable *kt, struct tni_delta *const *deltas,
                                uint32_t deltas_count, struct tn_err *err);

/* ---- flush: one at a time, on the commit thread or another one; publish and gc may run meanwhile
 * ---- */

/* One atomic change of the state port: the committed rows of a task's ktables and its positions.
 * New, add and put belong on the commit thread, after tni_view_advance and before the next publish,
 * so that rows and positions are of one commit; apply may move elsewhere. Memory: about 80 bytes a
 * row until it is freed, so flush before tni_ktable_unflushed_bytes grows large. */
struct tni_flush;
struct tni_flush *tni_flush_new(struct tn_state *state, struct tni_view *view);
/* Take all committed, unflushed rows of kt (and its expired segments). */
void tni_flush_add(struct tni_flush *flush, struct tni_ktable *kt);
/* Opaque key and value (copied), e.g. positions. value.ptr NULL deletes. */
void tni_flush_put(struct tni_flush *flush, struct tn_str key, struct tn_str value);
size_t tni_flush_count(const struct tni_flush *flush);
/* Sort, apply, mark flushed. On failure nothing is marked and the rows stay unflushed. Free in
 * either case. */
enum tn_status tni_flush_apply(struct tni_flush *flush, struct tn_err *err);
void tni_flush_free(struct tni_flush *flush);
/* Bytes of committed, unflushed rows (approximate). @thread any */
size_t tni_ktable_unflushed_bytes(const struct tni_ktable *kt);
/* [from, to) of this store partition in the state port, for dropping it. Bytes go to the two
 * buffers of 16. */
void tni_ktable_range(const struct tni_ktable *kt, char from[8], char to[8]);
/* State port key of a table key: appends to buf. */
void tni_ktable_state_key(const struct tni_ktable *kt, struct tn_str key, struct tn_buf *buf);

/* ---- restore @thread worker (before the table is live) ---- */

/* Bulk apply of own-encoding changelog records: key bytes and row bytes (ptr NULL = delete) replace
 * what was there, as if published under `commit`, unflushed. Rows are checked when first used; a
 * bad row is TN_E_CORRUPT here or there. */
enum tn_status tni_ktable_restore(struct tni_ktable *kt, const struct tn_str *keys,
                                  const struct tn_str *rows, uint32_t count, int64_t commit,
                                  struct tn_err *err);
/* Records of a changelog that is the result topic: values[i] = column of aggregate i as
 * tn_agg.from_final reads it (AGGREGATE), or the value columns (MATERIALIZE). is_delete: bitmap,
 * NULL = none. window_starts, window_ends for windowed tables. */
enum tn_status tni_ktable_restore_columns(struct tni_ktable *kt, const struct tn_column *keys,
                                          const int64_t *window_starts, const int64_t *window_ends,
                                          const struct tn_column *values, const uint8_t *is_delete,
                                          const int64_t *rowtimes_ms, uint32_t count,
                                          int64_t commit, struct tn_err *err);

/* ---- committed side @thread any, under a pin of the table's view ---- */

struct tni_row {
    struct tn_str key; /* key bytes; borrowed from the arena given */
    struct tn_str row; /* ptr NULL = absent */
};

/* Rows of exactly these key bytes as of the pin. Rows land in
 * ret_rows in order of keys; absent ones have row.ptr NULL. */
enum tn_status tni_ktable_get(struct tni_ktable *kt, const struct tni_view_pin *pin,
                              const struct tn_str *keys, uint32_t count, struct tn_arena *arena,
                              struct tni_row *ret_rows, struct tn_err *err);

struct tni_scan_range {
    struct tn_str low,
        high; /* keycode bytes of a key (prefix): low ≤ key < high; ptr NULL = open */
    int64_t start_from_ms, start_to_ms; /* window start, inclusive; INT64_MIN, INT64_MAX = open */
};
struct tni_scan;
/* range NULL = all. Rows come in no defined order. The pin outlives the scan. */
enum tn_status tni_scan_open(struct tni_ktable *kt, const struct tni_view_pin *pin,
                             const struct tni_scan_range *range, struct tni_scan **ret_scan,
                             struct tn_err *err);
/* Next up to rows_max rows, bytes in `arena`; TN_END. */
enum tn_status tni_scan_next(struct tni_scan *scan, uint32_t rows_max, struct tn_arena *arena,
                             struct tni_row *ret_rows, uint32_t *ret_count, struct tn_err *err);
void tni_scan_close(struct tni_scan *scan);

/* Decode keys of rows into key columns; values of rows into value columns (finals), rowtimes and
 * window bounds (each may be NULL). A row with ptr NULL gives NULL values. Also for changes: build
 * struct tni_row from key and row/before. @thread any */
enum tn_status tni_ktable_rows_columns(const struct tni_ktable *kt, const struct tni_row *rows,
                                       uint32_t count, const bool *needed, struct tn_arena *arena,
                                       struct tn_column *ret_keys, struct tn_column *ret_values,
                                       int64_t *ret_rowtimes_ms, int64_t *ret_starts_ms,
                                       int64_t *ret_ends_ms, struct tn_err *err);

/* ---- numbers @thread any (approximate while running) ---- */

struct tni_ktable_stats {
    int64_t keys; /* living keys in memory, as of the newest commit; all of them when is_complete */
    int64_t keys_total; /* estimate including the state port */
    int64_t bytes;      /* memory charged to the budget */
    int64_t bytes_unflushed;
    int64_t hits, misses, loads, evictions, late_rows;
    bool is_complete;
};
void tni_ktable_stats(struct tni_ktable *kt, struct tni_ktable_stats *ret_stats);

#endif
