/* Inside of the store: handles shared by log, state and catalog. Private to store/ and its unit
 * tests.
 *
 * Every write goes through tni_store_write, so that write_seq counts all of them and tn_store_sync
 * knows what is durable. @thread any
 */
#ifndef TN_STORE_DB_INT_H
#define TN_STORE_DB_INT_H

#include <pthread.h>
#include <rocksdb/c.h>
#include <stdatomic.h>
#include "store/db.h"

enum tni_cf { TNI_CF_META, TNI_CF_LOG, TNI_CF_STATE, TNI_CF_CATALOG, TNI_CF_COUNT };

/* First byte of the keys of TNI_CF_META (RocksDB's "default"). */
enum tni_meta {
    TNI_META_STORE = 'A',      /* "A" name: format, application, id */
    TNI_META_SINK = 'F',       /* F sink → its record (stream/sink_store.h) */
    TNI_META_HOLD = 'H',       /* H topic partition holder → offset */
    TNI_META_INDEX = 'I',      /* I topic partition base → struct tni_index (log_int.h) */
    TNI_META_NEXT_TOPIC = 'N', /* N → next topic id */
    TNI_META_POSITION = 'P',   /* P key → value */
    TNI_META_PARTITION = 'S',  /* S topic partition → start offset and compaction marks */
    TNI_META_TOPIC = 'T'       /* T name → topic */
};

/* What is known to be synced of the WAL: wal.c. */
struct tni_wal_mark {
    uint64_t counter; /* marks written */
    uint64_t file, bytes, seq;
};

struct tn_store {
    struct tn_store_config config;
    char *path, *db_path, *application_id, *compression;
    char id_hex[33];
    int lock_fd;
    rocksdb_t *db;
    rocksdb_column_family_handle_t *cf[TNI_CF_COUNT];
    rocksdb_options_t *cf_options[TNI_CF_COUNT];
    rocksdb_cache_t *cache;
    rocksdb_readoptions_t *read_options;
    rocksdb_writeoptions_t *write_options;
    rocksdb_envoptions_t *env_options;

    atomic_int_fast64_t write_seq;  /* completed writes */
    atomic_int_fast64_t synced_seq; /* writes known durable; ≤ write_seq */
    atomic_int_fast64_t syncs_count;
    atomic_bool is_failed;   /* a write or sync failed: nothing is acknowledged any more */
    atomic_bool is_full;     /* one failed for want of space: nothing is, until there is room */
    atomic_bool was_full;    /* once in this process: full.c says what follows */
    atomic_bool is_keeping;  /* RocksDB keeps its files: full.c, tni_full_manifest */
    pthread_mutex_t full_mu; /* one tries to resume */
    int64_t resume_tried_ns; /* under full_mu */
    pthread_mutex_t sync_mu; /* one syncer at a time; late comers find their work done */

    atomic_uint_fast64_t wal_seq; /* first sequence number of the last batch written; 0 = none */
    bool is_cut_allowed;          /* store.wal.damage=cut */
    int mark_fd;                  /* <path>/synced; with `mark` under sync_mu */
    struct tni_wal_mark mark;
    pthread_mutex_t wal_mu; /* innermost; the rest: */
    int wal_fd;             /* the WAL file that the last known write went to */
    uint64_t wal_file, wal_bytes;
    int64_t wal_writes;                             /* write_seq when it was looked at */
    int64_t folder_stamp, stamp_seen_ns, listed_ns; /* of db/: its mtime; monotonic times */

    pthread_mutex_t ingest_mu; /* one ingest at a time: recover.c says why */

    atomic_int_fast64_t room_checked_ns; /* monotonic time of the last statvfs */
    atomic_int_fast64_t free_bytes, reserve_bytes;
    atomic_int_fast64_t next_file; /* names of files to ingest */
};

/* Turn a RocksDB message (freed here) into *err: "store: …". Never TN_OK. */
enum tn_status tni_rocks_err(char *message, const char *what, struct tn_err *err);

/* The same after a failed write, sync or ingest (message freed): nothing more is accepted, after
 * TN_E_FULL until there is room. */
enum tn_status tni_store_fail(struct tn_store *store, char *message, const char *what,
                              struct tn_err *err);
/* TN_E_IO after such a failure; TN_E_FULL while the disk is full. Any write or sync asks first. */
enum tn_status tni_store_ready(struct tn_store *store, struct tn_err *err);
enum tn_status tni_store_failed(struct tn_err *err); /* what it says for good */
/* All memtables to files. */
enum tn_status tni_store_flush(struct tn_store *store, struct tn_err *err);
void tni_store_look(struct tn_store *store); /* at the free space */

/* full.c: RocksDB met the end of the disk (*err is set); then: is there room again? */
enum tn_status tni_full_begin(struct tn_store *store, struct tn_err *err);
enum tn_status tni_full_resume(struct tn_store *store, struct tn_err *err);
/* No file may be ingested any more. */
bool tni_full_forbids_ingest(struct tn_store *store);
/* A call that writes RocksDB's manifest failed, other than a write, flush or compaction. */
void tni_full_manifest(struct tn_store *store);
enum tn_status tni_fsync_folder(const char *path, struct tn_err *err);

/* Write and clear the batch; visible on return, durable after the next sync (or on return with
 * is_sync). */
enum tn_status tni_store_write(struct tn_store *store, rocksdb_writebatch_t *batch, bool is_sync,
                               struct tn_err *err);
/* Copy of a value, tn_free it; TN_NOT_FOUND. */
enum tn_status tni_store_get(struct tn_store *store, enum tni_cf cf, struct tn_str key,
                             char **ret_value, size_t *ret_len, struct tn_err *err);
/* Iterator over [from, to) of a column family; `to` must outlive it. Free with tni_iter_close. */
struct tni_iter {
    rocksdb_iterator_t *it;
    rocksdb_readoptions_t *options;
};
void tni_iter_open(struct tn_store *store, enum tni_cf cf, struct tn_str to, struct tni_iter *iter);
void tni_iter_close(struct tni_iter *iter);
struct tn_str tni_iter_key(const struct tni_iter *iter);
struct tn_str tni_iter_value(const struct tni_iter *iter);
/* TN_OK when the iterator ended for want of keys. */
enum tn_status tni_iter_status(const struct tni_iter *iter, const char *what, struct tn_err *err);
bool tni_iter_valid(const struct tni_iter *iter);

void tni_crc_link(void);   /* crc.c is part of the program */
int64_t tni_mono_ns(void); /* intervals of background threads; no result depends on it */

static inline char *tni_put_be32(char *to, uint32_t value)
{
    unsigned char *p = (unsigned char *)to;
    p[0] = (unsigned char)(value >> 24);
    p[1] = (unsigned char)(value >> 16);
    p[2] = (unsigned char)(value >> 8);
    p[3] = (unsigned char)value;
    return to + 4;
}

static inline char *tni_put_be64(char *to, uint64_t value)
{
    return tni_put_be32(tni_put_be32(to, (uint32_t)(value >> 32)), (uint32_t)value);
}

#endif
