/* The catalog as a log: DDL records of an application that several processes share.
 *
 * Topic "<application id>-catalog": one partition, not compacted, nothing expires. Each record
 * names the version it makes, one more than the version it builds on. Whoever reads the log from
 * its start takes a record only when its version is the next one; so of two records written at the
 * same time the first one in the log wins for everybody, and the other is void for everybody. An
 * append therefore reads the log up to its own record before it answers.
 *
 * Ownership: the store borrows log and clock. @thread any (one lock); append waits for the log.
 */
#ifndef TN_STREAM_CATALOG_LOG_H
#define TN_STREAM_CATALOG_LOG_H

#include "stream/base/clock.h"
#include "stream/catalog_store.h"
#include "stream/log.h"

enum tn_status tn_catalog_log_open(struct tn_log *log, const char *application_id,
                                   struct tn_clock *clock, struct tn_catalog_store **ret_store,
                                   struct tn_err *err);
void tn_catalog_log_close(struct tn_catalog_store *store); /* NULL is a no-op */

#endif
