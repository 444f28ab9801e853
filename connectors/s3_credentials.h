/* Keys of S3 stores, from where secrets may be: the environment, a token file for web identity, the
 * shared credentials file, a container's or machine's own service. Never from SQL or settings.
 *
 * Keys with an end are renewed some minutes before it; when that fails the old ones stay as long as
 * they are good. A credentials file is read again when it has changed.
 * Ownership: one owner thread (renewal waits at most TNI_CREDENTIALS_MS for a service).
 */
#ifndef TN_CONNECTORS_S3_CREDENTIALS_H
#define TN_CONNECTORS_S3_CREDENTIALS_H

#include "connectors/s3_options.h"
#include "stream/base/clock.h"

#define TNI_CREDENTIALS_MS 2000

struct tni_s3_keys {
    char *access, *secret, *token; /* token NULL: none; access NULL: anonymous */
    int64_t expires_ms;            /* 0 = never */
    unsigned generation;           /* grows when they are read anew */
};

struct tni_s3_credentials;

/* Reads the keys; TN_E_DENIED naming all places that were tried. */
enum tn_status tni_s3_credentials_new(const struct tn_s3_options *options, const char *region,
                                      struct tn_clock *clock,
                                      struct tni_s3_credentials **ret_credentials,
                                      struct tn_err *err);
void tni_s3_credentials_free(struct tni_s3_credentials *credentials); /* NULL is a no-op */
/* The keys as they are now; valid until the next call. */
const struct tni_s3_keys *tni_s3_credentials_keys(struct tni_s3_credentials *credentials);
/* The store did not take them: read anew, at most once a second. True when they differ now. */
bool tni_s3_credentials_renew(struct tni_s3_credentials *credentials);
/* "environment", "file /home/x/.aws/credentials [default]"… for messages. */
const char *tni_s3_credentials_source(const struct tni_s3_credentials *credentials);

/* A value of the profile in ~/.aws/config or the credentials file ("region"); false when none. */
bool tni_s3_profile_value(const char *profile, const char *name, char *ret_value, size_t size);
/* options->profile, AWS_PROFILE or "default". */
const char *tni_s3_profile_name(const struct tn_s3_options *options);

#endif
