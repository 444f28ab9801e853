/* Signature version 4 in the S3 dialect, as a pure function: paths are percent-encoded once and
 * never shortened, queries and headers sorted, the payload named by its hash. What is signed is
 * what must be sent: the function also gives the path and query in their encoded form.
 * Ownership: slices are borrowed for the call. @thread any
 */
#ifndef TN_CONNECTORS_S3_SIGN_H
#define TN_CONNECTORS_S3_SIGN_H

#include <stdint.h>

#include "stream/base/buf.h"

#define TNI_SIGN_PAIRS_MAX  24
#define TNI_SHA256_HEX      65 /* with NUL */
#define TNI_SIGN_DATE       17 /* 20261121T120000Z with NUL */
#define TNI_PAYLOAD_UNKNOWN "UNSIGNED-PAYLOAD"

struct tni_pair {
    struct tn_str name, value; /* headers: names in lower case; queries: raw bytes */
};

struct tni_sign_input {
    const char *method;
    const char *path; /* raw bytes, begins with '/' */
    const struct tni_pair *query;
    size_t query_count;
    const struct tni_pair *headers; /* all that are signed: host and x-amz-* among them */
    size_t headers_count;
    const char *payload; /* hex SHA-256, or TNI_PAYLOAD_UNKNOWN */
    const char *access_key, *secret_key;
    const char *region, *service;
    int64_t time_s; /* since the epoch */
};

/* The derived key of one day, region and secret; filled and checked by tni_s3_sign. */
struct tni_sign_key {
    char scope[160];
    unsigned char secret_sha256[32];
    unsigned char key[32];
};

/* "20261121T120000Z", UTC. */
void tni_sign_date(int64_t time_s, char ret_date[TNI_SIGN_DATE]);
void tni_sha256_hex(struct tn_str bytes, char ret_hex[TNI_SHA256_HEX]);
/* Each byte but A-Z a-z 0-9 - _ . ~ as %XX; '/' stays when is_path. */
void tni_uri_encode(struct tn_str text, bool is_path, struct tn_buf *buf);
/* Encoded path, and "?query" when there is one. */
void tni_sign_target(const struct tni_sign_input *input, struct tn_buf *buf);
/* Appends the value of the Authorization header. `scratch` is reset and used; `ret_canonical_hash`
 * may be NULL. TN_E_LIMIT: too many pairs, or a buffer is over. */
enum tn_status tni_s3_sign(const struct tni_sign_input *input, struct tni_sign_key *key,
                           struct tn_buf *scratch, struct tn_buf *ret_authorization,
                           char ret_canonical_hash[TNI_SHA256_HEX], struct tn_err *err);

#endif
