/* Synced part of the write-ahead log: known at run time, checked before RocksDB recovers. Private
 * to store/.
 *
 * @thread tni_wal_open, _check, _verify, _close: the one that opens; _before_sync, _after_sync
 * under store->sync_mu; _note, _written any.
 */
#ifndef TN_STORE_WAL_INT_H
#define TN_STORE_WAL_INT_H

#include "store/db_int.h"

/* Opens <state>/synced and reads what it says. */
enum tn_status tni_wal_open(struct tn_store *store, struct tn_err *err);
/* TN_E_CORRUPT names the damaged file and the fix. A torn end that was never synced is cut off. */
enum tn_status tni_wal_check(struct tn_store *store, struct tn_err *err);
/* After RocksDB's open: everything that was synced is there. */
enum tn_status tni_wal_verify(struct tn_store *store, struct tn_err *err);
void tni_wal_close(struct tn_store *store);

/* Puts into the batch where the write before it went; called immediately before its write. */
void tni_wal_note(struct tn_store *store, rocksdb_writebatch_t *batch);
/* A batch was written; its first sequence number stands in it. */
void tni_wal_written(struct tn_store *store, const rocksdb_writebatch_t *batch);
/* What the sync about to start covers at least. */
struct tni_wal_mark tni_wal_before_sync(struct tn_store *store);
void tni_wal_after_sync(struct tn_store *store, const struct tni_wal_mark *mark);

#endif
