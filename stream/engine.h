/* The engine: owns tasks, rounds and the committed view of every table. sql/, connectors/ and
 * dashboards/ talk to streaming only through this header.
 *
 * Rounds (stream/README.md "Commit round"): workers process batches into open state; the commit
 * thread closes a round at a batch boundary of every task, commits outputs + positions through the
 * log, then publishes the round's changes under the next commit number. Queries pin a commit number
 * and see all tables as of it.
 *
 * Two ways to run the same code: tn_engine_start (worker and commit threads) or tn_engine_step
 * (everything on the caller's thread, for the simulation).
 */
#ifndef TN_STREAM_ENGINE_H
#define TN_STREAM_ENGINE_H

#include "stream/base/clock.h"
#include "stream/base/metrics.h"
#include "stream/log.h"
#include "stream/plan.h"
#include "stream/state.h"

struct tn_engine;

struct tn_engine_config {
    const char *application_id;
    int64_t commit_interval_ms; /* commit.interval.ms */
    int64_t cache_emit_bytes;   /* cache.max.bytes.buffering: pending results flushed when over; 0 =
                                   off */
    int64_t state_cache_bytes;  /* state.cache.bytes: one budget for the process */
    int64_t round_rows_max, round_bytes_max;
    int32_t threads_count; /* num.stream.threads */
    int64_t
        task_idle_ms; /* max.task.idle.ms: how long a join waits for an input that is at its end */
    struct tn_metrics *metrics; /* registry to add to; NULL = the engine keeps its own */
    bool is_flush_every_commit; /* tests: state reaches the store at each commit */
    bool is_at_least_once;
    bool is_member;         /* share the work with other processes through the log's membership */
    int32_t standbys_count; /* num.standby.replicas: > 0 keeps warm copies of what others own */
    bool is_scan_partial;   /* table scans show the partitions that are here and leave out others */
    const struct tn_formats *formats;
};

/* Takes no ownership of log, state, clock; they outlive the engine. */
enum tn_status tn_engine_open(const struct tn_engine_config *config, struct tn_log *log,
                              struct tn_state *state, struct tn_clock *clock,
                              struct tn_engine **ret_engine, struct tn_err *err);
/* Finishes the open round, commits, flushes state, joins threads. NULL is a no-op. */
void tn_engine_close(struct tn_engine *engine);
enum tn_status tn_engine_start(struct tn_engine *engine, struct tn_err *err);
/* One unit of work on the caller's thread; TN_AGAIN when nothing was to do. Only without
 * tn_engine_start. */
enum tn_status tn_engine_step(struct tn_engine *engine, struct tn_err *err);

/* Queries. Adding takes a reference on the plan; topics must exist. State and positions of an
 * earlier run of the same query id are taken up (restore from the changelog tail happens in the
 * background). @thread any */
enum tn_status tn_engine_add(struct tn_engine *engine, struct tn_plan *plan, struct tn_err *err);
/* While held nothing is read, so queries added one after another begin at the same records and read
 * them once; else each catches up with the others by itself. Counts: release as often. @thread any
 */
void tn_engine_hold(struct tn_engine *engine, bool is_held);
/* Replace a running query's plan, keeping its state and positions (OR REPLACE rules were checked by
 * sql/). */
enum tn_status tn_engine_replace(struct tn_engine *engine, struct tn_plan *plan,
                                 struct tn_err *err);
/* Stop and forget: state, positions and internal topics are removed at the next commit. */
enum tn_status tn_engine_drop(struct tn_engine *engine, const char *query_id, struct tn_err *err);
/* The same of what another process has dropped: topics are that one's to remove. */
enum tn_status tn_engine_forget(struct tn_engine *engine, const char *query_id, struct tn_err *err);
enum tn_status tn_engine_pause(struct tn_engine *engine, const char *query_id, bool is_paused,
                               struct tn_err *err);

enum tn_query_state { TN_QUERY_RESTORING, TN_QUERY_RUNNING, TN_QUERY_PAUSED, TN_QUERY_FAILED };

struct tn_query_info {
    const struct tn_plan *plan; /* valid during the callback */
    enum tn_query_state state;
    struct tn_err error; /* FAILED */
    int64_t rows_in, rows_out, rows_late, rows_bad, rows_unmatched, rows_null_key, rows_null_value,
        rows_error; /* expressions that failed for a row and gave NULL */
    int64_t lag_records, lag_ms;
    int64_t restore_done, restore_total; /* changelog records */
    int64_t stream_time_ms;
    int64_t state_keys, state_bytes;
    int64_t state_hits, state_misses; /* keys looked for: found in memory, or not */
};
void tn_engine_each_query(struct tn_engine *engine,
                          bool (*each)(void *ctx, const struct tn_query_info *info), void *ctx);

/* Position of a query on one input partition, for system.positions, lag and verify. */
struct tn_position_info {
    const char *query_id, *topic;
    int32_t partition;
    int64_t offset, end_visible, stream_time_ms;
};
void tn_engine_each_position(struct tn_engine *engine,
                             bool (*each)(void *ctx, const struct tn_position_info *info),
                             void *ctx);

/* Names and meanings of the engine's metrics, for documents. */
const struct tn_metric_desc *tn_engine_metric_descs(size_t *ret_count);

/* Partition numbers this process works on, ascending into `ret` (room for max); the count. Without
 * membership −1: all. @thread any */
int32_t tn_engine_owned(struct tn_engine *engine, int32_t *ret, int32_t max);
/* Partition numbers that the processes of the application share among them; 0: nothing is shared.
 */
int32_t tn_engine_shared_partitions(struct tn_engine *engine);

/* Takes no tasks: the process leaves the group, for the others to go on, and joins it again when
 * the reason is NULL. tn_engine_is_ready shows it. Nothing without membership. @thread any */
void tn_engine_withhold(struct tn_engine *engine, const char *reason);
/* Does it take none now? Then why. @thread any */
bool tn_engine_is_withheld(struct tn_engine *engine, struct tn_buf *ret_reason);

/* Grows with every change of the assignment, and when state is loaded anew. @thread any */
int64_t tn_engine_epoch(struct tn_engine *engine);

/* Is this process the one that does what is done once in the application, known by that name? It
 * goes with the partition of the name's hash, so there may be none, or two for a moment: whoever
 * asks has a fence. Without membership, or before any query shares its work: true. @thread any */
bool tn_engine_owns_name(struct tn_engine *engine, const char *name);

/* All queries restored and following their inputs? Otherwise the text names what is missing. */
bool tn_engine_is_ready(struct tn_engine *engine, struct tn_buf *ret_reason);

/* ---- committed view ---- */

struct tn_pin; /* a commit number and a state snapshot; cheap; holds back garbage collection while
                  open */

enum tn_status tn_engine_pin(struct tn_engine *engine, struct tn_pin **ret_pin, struct tn_err *err);
void tn_pin_free(struct tn_pin *pin);
int64_t tn_pin_commit(const struct tn_pin *pin);
int64_t tn_engine_commit(struct tn_engine *engine); /* newest commit number */

/* Predicate on the key, pushed into a table scan. All given parts must hold. Copied by the scan. */
struct tn_key_filter {
    uint32_t keys_count; /* full keys wanted (EQ, IN): each an array of the table's key columns'
                            values */
    const struct tn_value *const *keys;
    const struct tn_value *low,
        *high; /* range on the first key column (when keys_count = 0); NULL = open */
    bool is_low_strict, is_high_strict;
    int64_t window_from_ms,
        window_to_ms; /* bounds on WINDOWSTART, inclusive; INT64_MIN/MAX = open */
};

struct tn_table_scan;
/* Rows of store `store_name` of query `query_id` as of the pin: schema of the sink (key columns,
 * value columns; for windowed tables then WINDOWSTART, WINDOWEND), hidden rowtime. `needed` by
 * schema column, NULL = all. Rows come in no defined order, HAVING applied. */
enum tn_status tn_table_scan_open(struct tn_engine *engine, struct tn_pin *pin,
                                  const char *query_id, const struct tn_key_filter *filter,
                                  const bool *needed, struct tn_table_scan **ret_scan,
                                  struct tn_err *err);
/* The same of the partitions that are here, for several processes that share the work. */
struct tn_scan_parts {
    const uint8_t *wanted; /* a bit per partition; NULL = all */
    bool has_standbys;     /* copies of what others own count as here; they may lag */
    uint8_t missing[TN_PARTITIONS_MAX / 8 + 1]; /* out: wanted, and not shown by this scan */
    int32_t missing_count;                      /* out */
};
enum tn_status tn_table_scan_open_parts(struct tn_engine *engine, struct tn_pin *pin,
                                        const char *query_id, const struct tn_key_filter *filter,
                                        const bool *needed, struct tn_scan_parts *parts,
                                        struct tn_table_scan **ret_scan, struct tn_err *err);
/* Partitions of the table; 0 when there is no such query. */
int32_t tn_engine_table_partitions(struct tn_engine *engine, const char *query_id);
/* Next batch in the scan's own arena (valid until the next call); TN_END. */
enum tn_status tn_table_scan_next(struct tn_table_scan *scan, struct tn_batch **ret_batch,
                                  struct tn_err *err);
/* Before the first row, no filter: only rows whose results are held back (EMIT_INTERVAL_MS), as the
 * results showed them last, or as they are now. False: nothing can be, do not go on. */
bool tn_table_scan_held(struct tn_table_scan *scan, bool is_before);
void tn_table_scan_close(struct tn_table_scan *scan);
/* Schema of the scan above. */
const struct tn_schema *tn_table_scan_schema(const struct tn_table_scan *scan);
/* Approximate row count for query plans; exact when all of the table is in memory. */
int64_t tn_engine_table_rows(struct tn_engine *engine, const char *query_id);

/* ---- push ---- */

/* Called on the commit thread after each commit that changed the sink of `query_id`; must hand over
 * quickly. The batch (sink schema, ops) is valid during the call. */
typedef void (*tn_changes_fn)(void *ctx, int64_t commit, const struct tn_batch *batch);
struct tn_subscription;
enum tn_status tn_engine_subscribe(struct tn_engine *engine, const char *query_id, tn_changes_fn fn,
                                   void *ctx, struct tn_subscription **ret_subscription,
                                   struct tn_err *err);
void tn_subscription_free(struct tn_subscription *subscription);

/* ---- freshness ---- */

/* Have all queries that feed `query_id` (itself included) committed everything that was visible in
 * their inputs when `ticket` was taken? Repartition hops are followed. TN_AGAIN: not yet. */
struct tn_fresh;
enum tn_status tn_fresh_open(struct tn_engine *engine, const char *const *query_ids,
                             size_t query_ids_count, struct tn_wake *wake,
                             struct tn_fresh **ret_fresh, struct tn_err *err);
enum tn_status tn_fresh_poll(struct tn_fresh *fresh, struct tn_buf *ret_lagging);
/* At most so many topics are written between the first input and the tables asked for, and one. */
uint32_t tn_fresh_hops(struct tn_fresh *fresh);
void tn_fresh_free(struct tn_fresh *fresh);

#endif
