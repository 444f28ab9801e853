/* S3 stores: being built. @thread any */
#include "connectors/s3_store.h"

#include "stream/base/mem.h"

struct tni_s3 {
    struct tn_clock *clock;
};

struct tni_s3 *tni_s3_new(struct tn_clock *clock, struct tn_metrics *metrics, int connections)
{
    struct tni_s3 *s3 = tn_alloc(sizeof *s3);
    (void)metrics;
    (void)connections;
    s3->clock = clock;
    return s3;
}

void tni_s3_free(struct tni_s3 *s3)
{
    tn_free(s3);
}

enum tn_status tni_s3_store_open(struct tni_s3 *s3, const char *bucket, const char *prefix,
                                 const struct tn_s3_options *options,
                                 struct tn_object_store **ret_store, struct tn_err *err)
{
    (void)s3, (void)prefix, (void)options, (void)ret_store;
    return tn_err_set(err, TN_E_UNSUPPORTED, "bucket '%s': S3 is not built in yet", bucket);
}
