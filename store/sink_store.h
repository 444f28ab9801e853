/* Records of sinks in the store's column family `default`; durable before put returns. */
#ifndef TN_STORE_SINK_STORE_H
#define TN_STORE_SINK_STORE_H

#include "store/db.h"
#include "stream/sink_store.h"

/* One per store. */
enum tn_status tn_rocks_sinks_open(struct tn_store *store, struct tn_sink_store **ret_sinks,
                                   struct tn_err *err);
void tn_rocks_sinks_close(struct tn_sink_store *base); /* NULL is a no-op */

#endif
