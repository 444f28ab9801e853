/* The catalog's records in the store's column family `catalog`; durable before append returns. */
#ifndef TN_STORE_CATALOG_STORE_H
#define TN_STORE_CATALOG_STORE_H

#include "store/db.h"
#include "stream/catalog_store.h"

/* One per store. */
enum tn_status tn_rocks_catalog_open(struct tn_store *store, struct tn_catalog_store **ret_catalog,
                                     struct tn_err *err);
void tn_rocks_catalog_close(struct tn_catalog_store *base);

#endif
