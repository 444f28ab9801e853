/* Opening RocksDB after any end of the process before: what was promised is there, or the open is
 * refused with the file and the fix. Private to store/.
 *
 * @thread the one that opens; tni_doubt_path any
 */
#ifndef TN_STORE_RECOVER_INT_H
#define TN_STORE_RECOVER_INT_H

#include "store/db_int.h"

/* Opens store->db and its column families (store->cf_options are made). */
enum tn_status tni_recover_open(struct tn_store *store, const rocksdb_options_t *options,
                                struct tn_err *err);

/* Name of the file being ingested until RocksDB is known to have it or not; inside db/. */
void tni_doubt_path(const struct tn_store *store, char *path, size_t path_size);

#endif
