/* Port: a partitioned log (engine.md §1 in our words). Adapters: embedded (store/), Kafka
 * (connectors/), scripted and in-memory (tests/). Everything between two stages is a log.
 *
 * Non-blocking throughout: a call that would wait returns TN_AGAIN; waiting is a struct tn_wake
 * which the log signals when a topic its reader has drained gets more visible records, or a commit
 * settles.
 *
 * Offsets. A read returns the next offset to ask for, which is not last + rows: control records,
 * aborted data and compaction leave holes. end_visible = first offset a reader may not see yet
 * (last stable offset). end_durable = first offset that a power loss may take back; sinks, webhooks
 * and event streams never pass it.
 *
 * Remote logs. The first read at an offset asks for records and answers TN_AGAIN until they are
 * here; TN_AGAIN with end_visible > next means "on its way, or the end is not known yet", and the
 * wake-up comes when something arrives. Calls about topics, offsets and positions may wait for the
 * servers, bounded by a deadline, and fail with a retriable TN_E_IO then; read, append and the
 * calls of a transaction never wait.
 *
 * @thread a log handle: any. A reader or transaction: one owner thread. Callbacks: any thread of
 * the adapter.
 */
#ifndef TN_STREAM_LOG_H
#define TN_STREAM_LOG_H

#include "stream/base/buf.h"
#include "stream/base/status.h"
#include "stream/records.h"

#define TN_TOPIC_NAME_MAX 249 /* Kafka's limit; letters, digits, '.', '_', '-' */
#define TN_PARTITIONS_MAX 10000

enum tn_cleanup { TN_CLEANUP_DELETE = 1, TN_CLEANUP_COMPACT = 2, TN_CLEANUP_BOTH = 3 };

struct tn_topic_spec {
    const char *name;
    int32_t partitions_count;
    int32_t replicas_count; /* Kafka only; 0 = broker default */
    enum tn_cleanup cleanup;
    int64_t retention_ms;    /* −1 = keep all */
    int64_t retention_bytes; /* per partition; −1 = keep all */
    bool is_append_time; /* Kafka only: records get the broker's time, retention counts from it */
};

struct tn_topic {
    uint32_t id; /* adapter's handle, stable while the log is open */
    char name[TN_TOPIC_NAME_MAX + 1];
    uint8_t log_id[16]; /* another one when the topic is recreated */
    int32_t partitions_count;
    enum tn_cleanup cleanup;
    int64_t retention_ms, retention_bytes;
};

struct tn_offsets {
    int64_t start; /* first offset kept */
    int64_t end_visible;
    int64_t end_durable;
    int64_t bytes; /* stored bytes; −1 unknown */
    /* End including records of transactions that are not decided yet (high watermark): a replay
     * that must miss nothing waits until end_visible has passed it. 0 = the same as end_visible. */
    int64_t end_written;
};

/* Signalled from any thread, many times; must only set a flag and notify. */
struct tn_wake {
    void (*signal)(struct tn_wake *wake);
};

struct tn_log;
struct tn_log_reader;
struct tn_log_txn;
struct tn_log_member;

/* What a member of the application's group is to work on. Valid until the next member_poll. */
struct tn_log_assignment {
    uint64_t generation;       /* grows with every change */
    uint32_t count;            /* partitions of all inputs: task p reads partition p of each */
    const int32_t *partitions; /* ascending */
    bool is_lost; /* what is missing now belongs to others already: abort, write nothing for it */
};

/* One read. records NULL when status is TN_AGAIN but next moved over a hole. Caller unrefs records.
 */
struct tn_read {
    struct tn_records *records;
    int64_t next;
    int64_t end_visible;
};

/* Durable append outside a transaction (HTTP ingest, INSERT VALUES, produce). */
typedef void (*tn_append_done)(void *ctx, enum tn_status st, int64_t base_offset,
                               const struct tn_err *err);

/* Outcome of commit_poll: TN_OK committed · TN_AGAIN not yet · TN_E_IO aborted, process again ·
 * TN_E_INDEFINITE · TN_E_FENCED · TN_E_LIMIT, TN_E_NAME, TN_E_DENIED, TN_E_INVALID aborted because
 * of the records of txn_failed_slot. */
struct tn_log_type {
    const char *name;
    bool commits_state; /* positions, outputs and changelog become durable in one atomic local write
                         */

    /* TN_E_EXISTS when it exists with another partition count or cleanup; TN_OK when equal. */
    enum tn_status (*topic_create)(struct tn_log *log, const struct tn_topic_spec *spec,
                                   struct tn_err *err);
    enum tn_status (*topic_find)(struct tn_log *log, const char *name, struct tn_topic *ret_topic,
                                 struct tn_err *err); /* TN_NOT_FOUND */
    enum tn_status (*topic_delete)(struct tn_log *log, const char *name, struct tn_err *err);
    /* Calls `each` for every topic, by name order; stops early when it returns false. */
    enum tn_status (*topic_each)(struct tn_log *log,
                                 bool (*each)(void *ctx, const struct tn_topic *topic), void *ctx,
                                 struct tn_err *err);
    enum tn_status (*offsets)(struct tn_log *log, const struct tn_topic *topic, int32_t partition,
                              struct tn_offsets *ret_offsets, struct tn_err *err);
    /* First offset whose timestamp is ≥ timestamp_ms; end_visible when none. */
    enum tn_status (*offset_at)(struct tn_log *log, const struct tn_topic *topic, int32_t partition,
                                int64_t timestamp_ms, int64_t *ret_offset, struct tn_err *err);

    /* Readers. `wake` may be NULL (the reader polls). */
    enum tn_status (*reader_open)(struct tn_log *log, struct tn_wake *wake,
                                  struct tn_log_reader **ret_reader, struct tn_err *err);
    void (*reader_close)(struct tn_log_reader *reader);
    /* Records from `offset`, about bytes_max of them (at least one), at most TN_BATCH_ROWS_MAX.
     * TN_AGAIN: nothing visible at or after `offset` yet (ret_read->next may have moved).
     * TN_E_INVALID: offset below start or beyond the end ("offset out of range", says both).
     * TN_NOT_FOUND: topic gone. */
    enum tn_status (*read)(struct tn_log_reader *reader, const struct tn_topic *topic,
                           int32_t partition, int64_t offset, size_t bytes_max,
                           struct tn_read *ret_read, struct tn_err *err);

    /* Takes its own reference on records. done is called exactly once, possibly before return. A
     * record with key NULL is allowed. Through done: TN_E_FULL when the disk reserve is reached,
     * TN_E_NAME when the topic is gone, TN_E_LIMIT for a record over TN_RECORD_BYTES_MAX, TN_E_BUSY
     * (retriable) when too much waits already. */
    void (*append)(struct tn_log *log, const struct tn_topic *topic, int32_t partition,
                   struct tn_records *records, tn_append_done done, void *ctx);

    /* Transactions: commit thread only, one at a time. */
    enum tn_status (*begin)(struct tn_log *log, struct tn_log_txn **ret_txn, struct tn_err *err);
    /* Takes a reference. ret_slot identifies this append for txn_offset. TN_E_NAME when the topic
     * is gone. */
    enum tn_status (*txn_append)(struct tn_log_txn *txn, const struct tn_topic *topic,
                                 int32_t partition, struct tn_records *records, uint32_t *ret_slot,
                                 struct tn_err *err);
    /* Position record: key names (application, query, topic, partition), value is the runner's
     * encoding. */
    enum tn_status (*txn_position)(struct tn_log_txn *txn, struct tn_str key, struct tn_str value,
                                   struct tn_err *err);
    enum tn_status (*commit_start)(struct tn_log_txn *txn, struct tn_wake *wake,
                                   struct tn_err *err);
    enum tn_status (*commit_poll)(struct tn_log_txn *txn, struct tn_err *err);
    /* After TN_OK from commit_poll: offset of the first record of a slot. The others follow it, not
     * always side by side: the marker of another transaction may stand between (Kafka writes it
     * after the commit's answer). The same holds for base_offset of append. */
    int64_t (*txn_offset)(const struct tn_log_txn *txn, uint32_t slot);
    void (*txn_close)(struct tn_log_txn *txn); /* aborts when not committed; NULL is a no-op */
    /* All committed positions whose key starts with `prefix`, in key order. Stable: what was
     * written by a transaction still undecided at the call is waited for, or the call fails
     * retriably. */
    enum tn_status (*positions)(struct tn_log *log, struct tn_str prefix,
                                enum tn_status (*each)(void *ctx, struct tn_str key,
                                                       struct tn_str value, struct tn_err *err),
                                void *ctx, struct tn_err *err);
    /* Make everything visible durable now (blocking); called by the runner before a sorted ingest
     * into the state. */
    enum tn_status (*sync)(struct tn_log *log, struct tn_err *err);
    void (*close)(struct tn_log *log);
    /* optional */
    /* Nothing at or after `offset` may be dropped by retention; −1 releases the hold of `holder`.
     */
    void (*hold)(struct tn_log *log, const struct tn_topic *topic, int32_t partition,
                 const char *holder, int64_t offset);
    /* The shared position of the live queries on one input partition, as others see it (consumer
     * groups and their lag); part of the transaction. With a member, at least one goes into every
     * transaction, after all its records are acknowledged: what a member that lost its partitions
     * wrote is then either refused, or seen as undecided by its successor. */
    enum tn_status (*txn_group_offset)(struct tn_log_txn *txn, const struct tn_topic *topic,
                                       int32_t partition, int64_t offset, struct tn_err *err);
    /* After commit_poll failed: the slot whose records the log refused; UINT32_MAX = none is to
     * blame. */
    uint32_t (*txn_failed_slot)(const struct tn_log_txn *txn);
    /* False when the log cannot be used at the moment; the reason is appended. Cheap. @thread any
     */
    bool (*is_healthy)(struct tn_log *log, struct tn_buf *ret_reason);
    /* Membership: NULL = this process alone owns all partitions. One member per log. The log makes
     * the topic "<application id>-tasks" with at least partitions_count partitions and joins the
     * group; transactions then carry the membership, so that a zombie is fenced. `wake` is
     * signalled when member_poll has news. */
    enum tn_status (*member_open)(struct tn_log *log, int32_t partitions_count,
                                  struct tn_wake *wake, struct tn_log_member **ret_member,
                                  struct tn_err *err);
    /* TN_OK: another assignment than the last one; TN_AGAIN: no change. Partitions that are missing
     * now are kept from others until member_done (or until they are lost). */
    enum tn_status (*member_poll)(struct tn_log_member *member,
                                  struct tn_log_assignment *ret_assignment, struct tn_err *err);
    /* The last round of everything not in assignment `generation` is settled: give it up. */
    void (*member_done)(struct tn_log_member *member, uint64_t generation);
    void (*member_close)(struct tn_log_member *member); /* leaves the group; NULL is a no-op */
    /* Grows when a known topic was seen to be gone, recreated or wider. NULL: topics change only
     * through this log. Cheap. @thread any */
    uint64_t (*topics_version)(struct tn_log *log);
};

struct tn_log {
    const struct tn_log_type *type;
};

#endif
