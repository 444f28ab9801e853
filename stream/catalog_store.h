/* Port: durable, versioned store of the catalog's DDL records. Adapter: store/catalog_store.h;
 * tests have an in-memory one. Version numbers are 1, 2, 3 … without gaps.
 * @thread any
 */
#ifndef TN_STREAM_CATALOG_STORE_H
#define TN_STREAM_CATALOG_STORE_H

#include <stdint.h>
#include "stream/base/status.h"
#include "stream/base/str.h"

struct tn_catalog_store {
    /* Append version `version` (must be last + 1) durably before return. TN_E_BUSY: another version
     * came first. */
    enum tn_status (*append)(struct tn_catalog_store *store, int64_t version, struct tn_str record,
                             struct tn_err *err);
    /* All records in version order; a failure of `each` ends the walk and is returned. */
    enum tn_status (*each)(struct tn_catalog_store *store,
                           enum tn_status (*each)(void *ctx, int64_t version, struct tn_str record,
                                                  struct tn_err *err),
                           void *ctx, struct tn_err *err);
    /* Optional: the versions after `after`, with those other processes have written meanwhile. */
    enum tn_status (*follow)(struct tn_catalog_store *store, int64_t after,
                             enum tn_status (*each)(void *ctx, int64_t version,
                                                    struct tn_str record, struct tn_err *err),
                             void *ctx, struct tn_err *err);
};

#endif
