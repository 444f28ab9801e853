/* State in RocksDB: adapter of stream/state.h on the store's column family `state`.
 *
 * A small change is one write batch through the WAL. A large sorted one (store.ingest.rows) is one
 * SST file, ingested: about ten times cheaper a key. The file bypasses the WAL, so apply syncs the
 * WAL first when anything in it is not durable yet: state never gets ahead of the log. Either way
 * the change is atomic.
 */
#ifndef TN_STORE_STATE_H
#define TN_STORE_STATE_H

#include "store/db.h"
#include "stream/state.h"

/* One per store. */
enum tn_status tn_rocks_state_open(struct tn_store *store, struct tn_state **ret_state,
                                   struct tn_err *err);

#endif
