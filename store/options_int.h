/* RocksDB options of the store. Private to store/. */
#ifndef TN_STORE_OPTIONS_INT_H
#define TN_STORE_OPTIONS_INT_H

#include "store/db_int.h"

/* Options of the database; *ret_message set (rocksdb_free) when RocksDB refuses one. */
rocksdb_options_t *tni_options_db(const struct tn_store_config *config, char **ret_message);
rocksdb_cache_t *tni_options_cache(const struct tn_store_config *config);
/* A copy of `db_options` for one column family. */
rocksdb_options_t *tni_options_cf(const rocksdb_options_t *db_options,
                                  const struct tn_store_config *config, enum tni_cf cf,
                                  rocksdb_cache_t *cache);

#endif
