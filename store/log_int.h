/* Inside of the embedded log. Private to store/ and its unit tests.
 *
 * Locks, in order: maintain_mu (one chunk of retention or compaction, topic deletion) → write_mu
 * (offsets are assigned, written and published under it, so entries reach the WAL in offset order)
 * → part->mu (one partition's offsets, tail and waiters). topics_mu, queue_mu, sync_mu's inner part
 * and reader->signal_mu are leaves. A wake is signalled with no lock held but its reader's
 * signal_mu.
 */
#ifndef TN_STORE_LOG_INT_H
#define TN_STORE_LOG_INT_H

#include "store/db_int.h"
#include "store/entry_int.h"
#include "store/log.h"

#define TNI_PART_KEY_BYTES  9u  /* kind, topic, partition */
#define TNI_INDEX_KEY_BYTES 17u /* + base */
#define TNI_ENTRY_KEY_BYTES 16u /* topic, partition, base */
#define TNI_INDEX_BYTES     48u

struct tni_log;
struct tni_topic;
struct tni_part;

/* One row per entry, so that offsets, times and sizes are found without reading entries. */
struct tni_index {
    int64_t base; /* in the key */
    uint32_t count, bytes;
    int64_t next;
    int64_t ts_min, ts_max;
    int64_t ts_running_max; /* largest timestamp of the partition up to here: ascends, so time is
                               searchable */
    int64_t bytes_total;    /* of this partition up to here */
};

/* Newest entries of a partition in memory. */
struct tni_tail_node {
    struct tni_tail_node *next; /* oldest first over all partitions */
    struct tni_part *part;
    struct tni_entry *entry;
    struct tn_records *records; /* whole entry decoded, made by the first reader; NULL before */
    size_t bytes;
};

struct tni_tail {
    struct tni_tail_node **ring; /* cap is a power of two */
    uint32_t head, count, cap;
};

/* A reader that drained a partition. */
struct tni_waiter {
    struct tni_waiter *next, **prev; /* prev NULL: not armed */
    struct tn_log_reader *reader;
    struct tni_part *part;
};

struct tni_hold {
    struct tni_hold *next;
    char *holder;
    int64_t offset, stored_offset;
};

struct tni_part {
    struct tni_topic *topic;
    uint32_t index;  /* partition */
    uint32_t serial; /* dense number in the log, for readers' tables */
    pthread_mutex_t mu;
    /* under mu; end_visible also changes only under write_mu */
    int64_t start, end_visible, end_durable;
    int64_t bytes_removed; /* stored bytes = bytes_total − bytes_removed */
    struct tni_tail tail;
    int64_t tail_from; /* entries below were compacted: what the tail has of them is out of date */
    struct tni_waiter *waiters;
    struct tni_hold *holds;
    /* under write_mu */
    int64_t ts_running_max, bytes_total;
    bool is_unsynced; /* in log->unsynced */
    /* under maintain_mu */
    int64_t clean_end; /* compacted up to here */
    int64_t tomb_end,
        tomb_ms; /* tombstones below tomb_end may go delete_retention_ms after tomb_ms */
    /* owned by the batch being built: run number + 1 */
    uint32_t run_of[2];
};

struct tni_topic {
    struct tni_log *log;
    struct tn_topic info;
    atomic_bool is_deleted; /* kept until the log closes: readers may still point at it */
    struct tni_part *parts;
};

/* ---- one atomic write of records to several partitions ---- */

enum { TNI_BATCH_WRITER, TNI_BATCH_TXN };

struct tni_slot {
    struct tni_part *part;
    struct tn_records *records; /* owned */
    uint32_t run;
    uint32_t next; /* next slot of the same run + 1; 0 = last */
    int64_t delta; /* its first offset − the run's */
};

struct tni_run {
    struct tni_part *part;
    uint32_t first, last; /* slots */
    uint32_t entries_from, entries_to;
    int64_t count, base;
};

struct tni_batch {
    struct tni_log *log;
    int owner; /* TNI_BATCH_… */
    struct tni_slot *slots;
    struct tni_run *runs;
    struct tni_entry **entries;
    struct tni_span *spans;         /* scratch of encoding */
    struct tn_log_reader **signals; /* scratch of publishing */
    uint32_t slots_count, slots_cap, runs_count, runs_cap, entries_count, entries_cap, spans_cap,
        signals_count, signals_cap;
    int64_t rows;
    rocksdb_writebatch_t *write;
};

void tni_batch_init(struct tni_batch *batch, struct tni_log *log, int owner);
void tni_batch_clear(struct tni_batch *batch); /* unrefs records, keeps memory */
void tni_batch_release(struct tni_batch *batch);
/* Takes over one reference on records. Returns the slot. */
uint32_t tni_batch_add(struct tni_batch *batch, struct tni_part *part, struct tn_records *records);
/* Encode, assign offsets, write (not synced) and make visible. A topic deleted meanwhile: TN_E_NAME
 * for a transaction; offset −1 for the slots of a group commit. */
enum tn_status tni_batch_commit(struct tni_batch *batch, struct tn_err *err);
int64_t tni_batch_offset(const struct tni_batch *batch, uint32_t slot);

/* ---- the log ---- */

struct tni_request {
    struct tni_request *next;
    struct tni_part *part;
    struct tn_records *records;
    tn_append_done done;
    void *ctx;
};

struct tni_unsynced {
    struct tni_part *part;
    int64_t end;
};

struct tn_log_txn {
    struct tni_log *log;
    struct tni_batch batch;
    enum { TNI_TXN_CLOSED, TNI_TXN_OPEN, TNI_TXN_COMMITTED, TNI_TXN_FAILED } state;
    struct tn_err error; /* FAILED */
};

struct tni_log {
    struct tn_log base;
    struct tn_store *store;

    pthread_rwlock_t topics_mu;
    struct tni_topic **topics; /* by id; NULL holes */
    uint32_t topics_cap;
    struct tni_topic **by_name; /* live ones, sorted */
    uint32_t by_name_count, by_name_cap;
    uint32_t next_topic, next_serial;

    pthread_mutex_t write_mu;
    struct tni_part **unsynced;
    uint32_t unsynced_count, unsynced_cap;
    struct tni_tail_node *tail_first, *tail_last; /* under write_mu */
    atomic_int_fast64_t tail_bytes;
    struct tni_topic **graveyard; /* deleted, freed at close; under write_mu */
    uint32_t graveyard_count, graveyard_cap;

    pthread_mutex_t sync_mu; /* one syncer */
    struct tni_unsynced *syncing;
    uint32_t syncing_cap;

    pthread_mutex_t queue_mu;
    pthread_cond_t queue_cv;
    struct tni_request *queue_first, **queue_last;
    size_t queue_bytes;
    int64_t sync_due_ns; /* 0 = nothing unsynced; under queue_mu */
    bool is_stopping;
    bool is_maintainer_stopping; /* under maintainer_mu */
    bool is_writer_started, is_maintainer_started;
    pthread_t writer, maintainer;

    pthread_mutex_t maintain_mu;
    pthread_mutex_t reclaim_mu;    /* taken alone */
    bool is_collecting;            /* garbage of blob files; under reclaim_mu */
    int idle_passes;               /* since the last reclaim; under reclaim_mu */
    pthread_mutex_t maintainer_mu; /* sleep of the maintenance thread */
    pthread_cond_t maintainer_cv;

    struct tn_log_txn txn; /* one at a time */
    atomic_bool is_txn_open;

    atomic_int_fast64_t appends_count, records_count, groups_count, commits_count, refused_count,
        tail_hits_count, tail_misses_count, expired_count, compacted_count, maintain_errors_count,
        reclaim_bytes; /* dropped since RocksDB was last asked for the space */
};

/* log.c */
struct tni_part *tni_log_part(struct tni_log *log, const struct tn_topic *topic, int32_t partition);
enum tn_status tni_log_no_topic(const char *name,
                                struct tn_err *err);               /* TN_NOT_FOUND with a text */
enum tn_status tni_log_gone(const char *name, struct tn_err *err); /* TN_E_NAME: for writers */
char *tni_part_key(char *to, char kind, const struct tni_part *part);
char *tni_log_entry_key(char *to, const struct tni_part *part, int64_t base);
char *tni_index_key(char *to, const struct tni_part *part, int64_t base);
void tni_index_encode(char *to, const struct tni_index *index);
enum tn_status tni_index_decode(struct tn_str key, struct tn_str value, struct tni_index *ret_index,
                                struct tn_err *err);
void tni_part_row_put(rocksdb_writebatch_t *batch, struct tni_log *log,
                      const struct tni_part *part);
void *tni_grow(void *items, uint32_t *cap, uint32_t count, size_t size); /* room for one more */

/* log_topic.c */
enum tn_status tni_topics_load(struct tni_log *log, struct tn_err *err);
void tni_topic_free(struct tni_topic *topic);
enum tn_status tni_topic_create(struct tn_log *base, const struct tn_topic_spec *spec,
                                struct tn_err *err);
enum tn_status tni_topic_find(struct tn_log *base, const char *name, struct tn_topic *ret_topic,
                              struct tn_err *err);
enum tn_status tni_topic_delete(struct tn_log *base, const char *name, struct tn_err *err);
enum tn_status tni_topic_each(struct tn_log *base,
                              bool (*each)(void *ctx, const struct tn_topic *topic), void *ctx,
                              struct tn_err *err);

/* log_write.c, log_txn.c */
enum tn_status tni_writer_start(struct tni_log *log, struct tn_err *err);
void tni_writer_stop(struct tni_log *log);
void tni_log_append(struct tn_log *base, const struct tn_topic *topic, int32_t partition,
                    struct tn_records *records, tn_append_done done, void *ctx);
enum tn_status tni_log_sync(struct tn_log *base, struct tn_err *err);
void tni_log_sync_soon(struct tni_log *log);
enum tn_status tni_records_check(const struct tni_topic *topic, const struct tn_records *records,
                                 struct tn_err *err);
enum tn_status tni_txn_begin(struct tn_log *base, struct tn_log_txn **ret_txn, struct tn_err *err);
enum tn_status tni_txn_append(struct tn_log_txn *txn, const struct tn_topic *topic,
                              int32_t partition, struct tn_records *records, uint32_t *ret_slot,
                              struct tn_err *err);
enum tn_status tni_txn_position(struct tn_log_txn *txn, struct tn_str key, struct tn_str value,
                                struct tn_err *err);
enum tn_status tni_txn_start(struct tn_log_txn *txn, struct tn_wake *wake, struct tn_err *err);
enum tn_status tni_txn_poll(struct tn_log_txn *txn, struct tn_err *err);
int64_t tni_txn_offset(const struct tn_log_txn *txn, uint32_t slot);
void tni_txn_close(struct tn_log_txn *txn);
enum tn_status tni_positions(struct tn_log *base, struct tn_str prefix,
                             enum tn_status (*each)(void *ctx, struct tn_str key,
                                                    struct tn_str value, struct tn_err *err),
                             void *ctx, struct tn_err *err);

/* log_read.c */
enum tn_status tni_reader_open(struct tn_log *base, struct tn_wake *wake,
                               struct tn_log_reader **ret_reader, struct tn_err *err);
void tni_reader_close(struct tn_log_reader *reader);
enum tn_status tni_reader_read(struct tn_log_reader *reader, const struct tn_topic *topic,
                               int32_t partition, int64_t offset, size_t bytes_max,
                               struct tn_read *ret_read, struct tn_err *err);
/* Under part->mu: move the readers to wake from the partition to the batch. */
void tni_waiters_take(struct tni_part *part, struct tni_batch *batch);
/* Signals and forgets them; no lock held. */
void tni_waiters_signal(struct tni_batch *batch);
/* Under write_mu and part->mu: add the newest entry. */
void tni_tail_push(struct tni_part *part, struct tni_entry *entry);
void tni_tail_trim(struct tni_log *log, int64_t bytes_max); /* under write_mu */
enum tn_status tni_log_entry_damage(const struct tni_part *part, int64_t offset,
                                    struct tn_err *err);
/* Entry that covers `offset`, read from RocksDB through an iterator of the log column family at or
 * before it. */
enum tn_status tni_log_entry_at(const struct tni_part *part, struct tni_iter *iter,
                                struct tni_entry **ret_entry, struct tn_err *err);
enum tn_status tni_offset_at(struct tn_log *base, const struct tn_topic *topic, int32_t partition,
                             int64_t timestamp_ms, int64_t *ret_offset, struct tn_err *err);

/* log_maintain.c, log_compact.c */
enum tn_status tni_maintainer_start(struct tni_log *log, struct tn_err *err);
void tni_maintainer_stop(struct tni_log *log);
void tni_log_hold(struct tn_log *base, const struct tn_topic *topic, int32_t partition,
                  const char *holder, int64_t offset);
enum tn_status tni_holds_load(struct tni_log *log, struct tn_err *err);
/* Lowest offset that retention and compaction must leave alone. */
int64_t tni_part_limit(struct tni_part *part);
/* Into `batch`: rows of holds that moved since they were stored. @locks maintain_mu */
void tni_holds_refresh(rocksdb_writebatch_t *batch, struct tni_log *log, struct tni_part *part);
/* is_forced: any dirty record is worth a pass. @locks none (takes maintain_mu per group) */
enum tn_status tni_part_compact(struct tni_log *log, struct tni_part *part, bool is_forced,
                                struct tn_err *err);

#endif
