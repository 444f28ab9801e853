/* The store: one RocksDB in the state folder, shared by the embedded log, the state and the
 * catalog.
 *
 * HOW IT WORKS: <path>/lock is held (flock) by the process and holds its pid; <path>/db is the
 * RocksDB with four column families: default (format, application id, topics, positions, log
 * index), log (record batches, values in blob files), state, catalog. One block cache and one write
 * buffer budget for all. Every write goes through the WAL; tn_store_sync makes everything written
 * before it durable. A crash keeps a prefix of the WAL.
 *
 * Ownership: tn_rocks_log_open, tn_rocks_state_open and tn_rocks_catalog_open borrow the store;
 * close them first.
 * @thread any
 */
#ifndef TN_STORE_DB_H
#define TN_STORE_DB_H

#include "stream/base/clock.h"
#include "stream/base/opt.h"
#include "stream/base/status.h"

#define TN_STORE_FORMAT                                                                            \
    1u /* version of everything stored; raised when an older tarn could not read it */

struct tn_store;

struct tn_store_config {
    const char *path; /* state folder; made when absent (its parent must exist) */
    const char *application_id;
    struct tn_clock *clock;     /* wall clock for retention; outlives the store */
    int64_t cache_bytes;        /* store.cache.bytes: block cache */
    int64_t write_buffer_bytes; /* store.write.buffer.bytes: memtables of all column families
                                   together */
    int64_t reserve_bytes; /* store.reserve.bytes: −1 = the smaller of 5 % of the disk and 1 GiB */
    int64_t sync_interval_ms; /* store.sync.interval.ms: commits become durable within this time */
    int64_t tail_bytes; /* store.tail.bytes: newest log entries kept in memory for live readers */
    int64_t maintain_interval_ms; /* store.maintain.interval.ms: retention and compaction of logs */
    int64_t delete_retention_ms;  /* store.delete.retention.ms: tombstones of compacted topics */
    int64_t compaction_bytes;     /* store.compaction.bytes: key map of one compaction pass */
    int64_t ingest_rows_min; /* store.ingest.rows: sorted changes from this size on become a file */
    const char *compression; /* store.log.compression: none, lz4, zstd */
    const char *wal_damage;  /* store.wal.damage: refuse, cut; read by tn_store_open only */
};

/* Option table of the above (path, application_id and clock excepted). */
extern const struct tn_opts tn_store_opts;
/* All options at their defaults. */
void tn_store_config_init(struct tn_store_config *config);

/* Sets malloc's mmap and trim thresholds for the process (db.c says why).
 * TN_E_BUSY: in use by another process (names its pid). TN_E_INVALID: other application id or newer
 * format. TN_E_CORRUPT: what was synced cannot be read (names the file). */
enum tn_status tn_store_open(const struct tn_store_config *config, struct tn_store **ret_store,
                             struct tn_err *err);
void tn_store_close(struct tn_store *store); /* syncs; NULL is a no-op */

/* Make everything written before this call durable. Cheap when nothing was written since the last
 * one. */
enum tn_status tn_store_sync(struct tn_store *store, struct tn_err *err);
/* TN_E_FULL when free space is below the reserve (looked up at most 10 times a second). */
enum tn_status tn_store_check_room(struct tn_store *store, struct tn_err *err);
/* 16 random bytes made with the folder, hex: identity of this copy of the state. NUL-terminated. */
const char *tn_store_id(const struct tn_store *store);

struct tn_store_stats {
    int64_t disk_bytes;   /* live files of RocksDB */
    int64_t memory_bytes; /* memtables + block cache + table readers */
    int64_t syncs_count;  /* fdatasync rounds */
    int64_t writes_count; /* write batches */
    int64_t free_bytes, reserve_bytes;
};
void tn_store_stats(struct tn_store *store, struct tn_store_stats *ret_stats);

/* Install the crash hook when TARN_CRASH_POINT=name[:count] is set: the count-th pass through the
 * point ends the process by SIGKILL. Called by tn_store_open; harmless when called again. */
void tn_store_crash_points_install(void);

#endif
