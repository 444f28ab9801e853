/* Settings of S3 stores: one option table (s3.*), used by the process, and by a statement for a
 * store of its own. No secret is a setting: credentials come from the environment, the shared
 * credentials file, a token file or the machine (s3_credentials.h).
 * Ownership: strings belong to the arena the table was filled with.
 */
#ifndef TN_CONNECTORS_S3_OPTIONS_H
#define TN_CONNECTORS_S3_OPTIONS_H

#include "stream/base/opt.h"

struct tn_s3_options {
    const char *endpoint;     /* NULL: AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, else Amazon's */
    const char *region;       /* NULL: AWS_REGION, AWS_DEFAULT_REGION, the profile's, us-east-1 */
    const char *path_style;   /* auto, true, false */
    const char *profile;      /* NULL: AWS_PROFILE, else default */
    const char *credentials;  /* chain, environment, file, web_identity, container, machine,
                                 anonymous */
    const char *payload_hash; /* auto: over http only; true; false */
    const char *sse;          /* none, AES256, aws:kms */
    const char *sse_kms_key_id;
    const char *storage_class;
    const char *ca_file;
    int64_t connections;
    int64_t part_bytes;
    int64_t timeout_ms, connect_timeout_ms, stall_timeout_ms;
    int64_t retry_backoff_ms, retry_backoff_max_ms;
};

extern const struct tn_opts tn_s3_opts;

#endif
