/* Object store adapter: S3 and what speaks its protocol (Ceph RGW, MinIO…). Opened through
 * object_url.h. See s3_loop.c for how it works.
 */
#ifndef TN_CONNECTORS_S3_STORE_H
#define TN_CONNECTORS_S3_STORE_H

#include "connectors/s3_options.h"
#include "stream/base/clock.h"
#include "stream/base/metrics.h"
#include "stream/object_store.h"

/* One adapter thread with its connections, for all buckets; started by the first store. */
struct tni_s3;

struct tni_s3 *tni_s3_new(struct tn_clock *clock, struct tn_metrics *metrics, int connections);
void tni_s3_free(struct tni_s3 *s3); /* NULL is a no-op; stores are closed before */

/* `prefix` without slashes at its ends, may be "". */
enum tn_status tni_s3_store_open(struct tni_s3 *s3, const char *bucket, const char *prefix,
                                 const struct tn_s3_options *options,
                                 struct tn_object_store **ret_store, struct tn_err *err);

#endif
