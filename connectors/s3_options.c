/* The table of s3.* settings. @thread any (constant) */
#include "connectors/s3_options.h"

#define OPT(field) offsetof(struct tn_s3_options, field)

static const struct tn_opt items[] = {
    {"s3.endpoint", TN_OPT_STRING, OPT(endpoint), NULL, 0, 0, NULL, 0, NULL,
     "http(s)://HOST[:PORT] of another S3 server; default: AWS_ENDPOINT_URL_S3, else Amazon's of "
     "the region"},
    {"s3.region", TN_OPT_STRING, OPT(region), NULL, 0, 0, NULL, 0, NULL,
     "region; default: AWS_REGION, the profile's, else us-east-1"},
    {"s3.path.style", TN_OPT_CHOICE, OPT(path_style), "auto", 0, 0, "auto,true,false", 0, NULL,
     "bucket in the path (true) or in the host name (false); auto: in the path with s3.endpoint"},
    {"s3.profile", TN_OPT_STRING, OPT(profile), NULL, 0, 0, NULL, 0, NULL,
     "profile of the shared credentials file; default: AWS_PROFILE, else default"},
    {"s3.credentials", TN_OPT_CHOICE, OPT(credentials), "chain", 0, 0,
     "chain,environment,file,web_identity,container,machine,anonymous", 0, NULL,
     "where keys come from; chain: environment, web identity, file; never from SQL"},
    {"s3.payload.hash", TN_OPT_CHOICE, OPT(payload_hash), "auto", 0, 0, "auto,true,false", 0, NULL,
     "sign the bodies' SHA-256; auto: over http only"},
    {"s3.sse", TN_OPT_CHOICE, OPT(sse), "none", 0, 0, "none,AES256,aws:kms", 0, NULL,
     "encryption by the server"},
    {"s3.sse.kms.key.id", TN_OPT_STRING, OPT(sse_kms_key_id), NULL, 0, 0, NULL, 0, NULL,
     "key of aws:kms; default: the bucket's"},
    {"s3.storage.class", TN_OPT_STRING, OPT(storage_class), NULL, 0, 0, NULL, 0, NULL,
     "storage class of new objects"},
    {"s3.ca.file", TN_OPT_STRING, OPT(ca_file), NULL, 0, 0, NULL, 0, NULL,
     "PEM file of the authorities to trust; default: the system's"},
    {"s3.connections", TN_OPT_INT, OPT(connections), "32", 1, 1024, NULL, 0, NULL,
     "requests at once, all buckets together; fewer while the store is overloaded"},
    {"s3.part.bytes", TN_OPT_BYTES, OPT(part_bytes), "8m", 5 << 20, INT64_C(5) << 30, NULL, 0, NULL,
     "larger objects are sent in parts of this size"},
    {"s3.timeout.ms", TN_OPT_MS, OPT(timeout_ms), "60s", 100, 86400000, NULL, 0, NULL,
     "longest time of a request, tries again included"},
    {"s3.connect.timeout.ms", TN_OPT_MS, OPT(connect_timeout_ms), "5s", 10, 600000, NULL, 0, NULL,
     "longest time of a connect"},
    {"s3.stall.timeout.ms", TN_OPT_MS, OPT(stall_timeout_ms), "20s", 100, 600000, NULL, 0, NULL,
     "a try without any byte for so long is given up and repeated"},
    {"s3.retry.backoff.ms", TN_OPT_MS, OPT(retry_backoff_ms), "100", 1, 60000, NULL, 0, NULL,
     "first pause before a request is repeated; it doubles, and a random part of it is taken"},
    {"s3.retry.backoff.max.ms", TN_OPT_MS, OPT(retry_backoff_max_ms), "20s", 1, 600000, NULL, 0,
     NULL, "longest pause before a request is repeated"},
};

const struct tn_opts tn_s3_opts = {"S3 stores", items, sizeof items / sizeof *items};
