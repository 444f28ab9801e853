/* The embedded log: adapter of stream/log.h on the store.
 *
 * HOW IT WORKS
 * - Entries are record batches. Key: topic u32 | partition u32 | base offset u64, big-endian.
 * Value: entry.h.
 * - append() queues; one writer thread takes everything queued, merges records of one partition
 * into few entries, does one write, makes it visible, one WAL sync, then the done callbacks: a
 * group commit whose size adapts by itself.
 * - A transaction is collected in memory and written by commit_start in one batch (outputs and
 * positions), visible at once, durable at the next sync (store.sync.interval.ms, a group commit, or
 * sync()).
 * - The newest entries stay in memory (one budget), so live readers do not touch RocksDB.
 * - retention and compaction run in a maintenance thread; holds bound both. See store/README.md.
 */
#ifndef TN_STORE_LOG_H
#define TN_STORE_LOG_H

#include "store/db.h"
#include "stream/log.h"

/* One per store. Loads topics; starts the writer and the maintenance thread. */
enum tn_status tn_rocks_log_open(struct tn_store *store, struct tn_log **ret_log,
                                 struct tn_err *err);

/* One pass of retention and compaction over all partitions, now. For tests and commands; the thread
 * does the same. */
enum tn_status tn_rocks_log_maintain(struct tn_log *base, struct tn_err *err);

/* Who holds back retention where. Strings valid during the call. */
void tn_rocks_log_holds_each(struct tn_log *base,
                             bool (*each)(void *ctx, const char *topic, int32_t partition,
                                          const char *holder, int64_t offset),
                             void *ctx);

/* Counters since open, for metrics. */
struct tn_rocks_log_stats {
    int64_t appends_count; /* append() calls that became durable */
    int64_t records_count; /* records written by appends and transactions */
    int64_t groups_count;  /* group commits */
    int64_t commits_count; /* transactions */
    int64_t refused_count; /* appends refused (full disk, too large, unknown topic) */
    int64_t tail_bytes;    /* tail cache */
    int64_t tail_hits_count, tail_misses_count;
    int64_t expired_count;   /* records dropped by retention */
    int64_t compacted_count; /* records dropped by compaction */
};
void tn_rocks_log_stats(struct tn_log *base, struct tn_rocks_log_stats *ret_stats);

#endif
