/* Port: what a sink remembers between runs (one small record a sink: its epoch, positions and the
 * cut it is working on). A cache of the table log plus the promise "this cut is what I upload".
 * Adapter: store/sink_store.h; tests have an in-memory one.
 * @thread any
 */
#ifndef TN_STREAM_SINK_STORE_H
#define TN_STREAM_SINK_STORE_H

#include "stream/base/buf.h"

struct tn_sink_store {
    /* Replaces the record of `sink`, durably before return; an empty record removes it. */
    enum tn_status (*put)(struct tn_sink_store *store, const char *sink, struct tn_str record,
                          struct tn_err *err);
    /* Appends the record to ret_record. TN_NOT_FOUND. */
    enum tn_status (*get)(struct tn_sink_store *store, const char *sink, struct tn_buf *ret_record,
                          struct tn_err *err);
};

#endif
