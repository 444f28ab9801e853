/* Object stores by URL, and what the stores of a process share: settings, HTTP connections,
 * credentials, metrics.
 *
 *   /folder, folder, file:///folder     a folder; it is made when it does not exist
 *   s3://bucket, s3://bucket/prefix     S3 (s3a:// and s3n:// mean the same); keys of the store are
 *                                       below the prefix
 *
 * Ownership: the caller closes each store (tn_object_store_close), then frees the stores.
 * @thread any
 */
#ifndef TN_CONNECTORS_OBJECT_URL_H
#define TN_CONNECTORS_OBJECT_URL_H

#include "connectors/s3_options.h"
#include "stream/base/clock.h"
#include "stream/base/metrics.h"
#include "stream/object_store.h"

struct tn_object_stores;

/* `s3` is copied (its strings are not), metrics (may be NULL) and clock outlive the stores. Starts
 * no thread and opens no connection yet. */
struct tn_object_stores *tn_object_stores_new(const struct tn_s3_options *s3,
                                              struct tn_clock *clock, struct tn_metrics *metrics);
void tn_object_stores_free(struct tn_object_stores *stores); /* NULL is a no-op */

/* Opens the store; no request is sent yet, but missing credentials are an error now. `options` is
 * for this store alone; NULL = the process's. A key or password in the URL is refused, unseen. */
enum tn_status tn_object_store_open(struct tn_object_stores *stores, const char *url,
                                    const struct tn_s3_options *options,
                                    struct tn_object_store **ret_store, struct tn_err *err);

/* One spelling for one place: "s3a://b/p//" and "s3://b/p" are "s3://b/p"; folders become
 * "file:///absolute" (the folder need not exist). TN_E_INVALID as tn_object_store_open. */
enum tn_status tn_object_url_normal(const char *url, struct tn_buf *ret_url, struct tn_err *err);

#endif
