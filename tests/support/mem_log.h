/* The log port in memory: the reference model for conformance tests, the engine's simulation and
 * unit tests.
 *
 * It behaves like a Kafka log where that is harder: control records and aborted transactions leave
 * holes, an open foreign transaction holds back end_visible, compaction drops superseded keys. With
 * `commits_state` it behaves like the embedded log: a crash may take back what was not synced,
 * always a suffix of the history of the whole log.
 *
 * Faults: before a call does anything, the hook is asked what shall happen (see tn_mem_fault). The
 * hook decides by a seeded generator, a script or an n-th-call counter.
 *
 * Ownership: tn_log.type->close frees everything. @thread any (one lock)
 */
#ifndef TN_TESTS_SUPPORT_MEM_LOG_H
#define TN_TESTS_SUPPORT_MEM_LOG_H

#include "stream/log.h"

enum tn_mem_call {
    TN_MEM_TOPIC_CREATE,
    TN_MEM_TOPIC_FIND,
    TN_MEM_TOPIC_DELETE,
    TN_MEM_TOPIC_EACH,
    TN_MEM_OFFSETS,
    TN_MEM_READER_OPEN,
    TN_MEM_READ,
    TN_MEM_APPEND,
    TN_MEM_BEGIN,
    TN_MEM_TXN_APPEND,
    TN_MEM_TXN_POSITION,
    TN_MEM_COMMIT_START,
    TN_MEM_COMMIT_POLL,
    TN_MEM_POSITIONS,
    TN_MEM_SYNC,
    TN_MEM_CALLS_COUNT
};

/* What happens at a call. st TN_OK: proceed. READ: TN_AGAIN = nothing now; rows_max > 0 shortens
 * the answer. COMMIT_POLL: TN_AGAIN = not yet; TN_E_IO = aborted; TN_E_INDEFINITE with is_applied =
 * the commit happened and its answer was lost, without = it did not happen; TN_E_FENCED = neither.
 * Any other call: it fails with st. */
struct tn_mem_fault {
    enum tn_status st;
    bool is_applied;
    uint32_t rows_max;
};
typedef struct tn_mem_fault (*tn_mem_fault_fn)(void *ctx, enum tn_mem_call call);

struct tn_log *tn_mem_log_new(bool commits_state);
/* Several producers may have a transaction each. */
void tn_mem_log_share(struct tn_log *log);
void tn_mem_log_set_fault(struct tn_log *log, tn_mem_fault_fn fn, void *ctx);

/* Producer side of tests: visible and durable at once. The topic must exist. */
void tn_mem_log_put(struct tn_log *log, const char *topic, int32_t partition, struct tn_str key,
                    struct tn_str value, int64_t timestamp_ms);
/* A foreign transaction of one record that was aborted: one hidden record and one control record.
 */
void tn_mem_log_put_aborted(struct tn_log *log, const char *topic, int32_t partition,
                            struct tn_str key, struct tn_str value, int64_t timestamp_ms);
/* A foreign transaction stays open: holds end_visible until it is settled (one at a time per
 * partition). */
void tn_mem_log_put_open(struct tn_log *log, const char *topic, int32_t partition,
                         struct tn_str key, struct tn_str value, int64_t timestamp_ms);
void tn_mem_log_settle(struct tn_log *log, const char *topic, int32_t partition, bool is_commit);

/* The partition's last commit lost its control record: nobody sees those records before the next
 * transaction with records here ends, which decides for them, too. */
void tn_mem_log_lose_marker(struct tn_log *log, const char *topic, int32_t partition);

/* Process death: forgets what is not durable, ends our open transaction. Readers and transactions
 * must be closed or forgotten before. lose_all: every unsynced operation is lost; else a random
 * prefix of them (by `roll`) stays. */
void tn_mem_log_crash(struct tn_log *log, bool lose_all, uint64_t roll);
/* Make everything durable, as a background sync would. */
void tn_mem_log_settle_disk(struct tn_log *log);
/* Keep only the last record of each key below end_visible (tombstones stay: their retention has not
 * passed). */
void tn_mem_log_compact(struct tn_log *log, const char *topic);

/* Retention: records below `start` are gone, offsets below it out of range. */
void tn_mem_log_truncate(struct tn_log *log, const char *topic, int32_t partition, int64_t start);
/* More partitions, the others as they are. */
void tn_mem_log_widen(struct tn_log *log, const char *topic, int32_t partitions_count);

/* Committed records in order, for oracles: *cursor starts at 0. False past the end. Slices live
 * until the next change of the log. */
struct tn_mem_record {
    int64_t offset, timestamp_ms;
    struct tn_str key, value;
};
bool tn_mem_log_next(struct tn_log *log, const char *topic, int32_t partition, size_t *cursor,
                     struct tn_mem_record *ret_record);

#endif
