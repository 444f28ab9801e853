/* The table of S3's errors; see s3_fault.h. Codes first, since several statuses carry more than
 * one meaning (403: policy, wrong key, expired token, wrong clock); then the status alone.
 */
#include "connectors/s3_fault.h"

#define FIX_KEY                                                                                    \
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the profile (s3.profile) that belongs "   \
    "to this store"
#define FIX_POLICY "let the bucket's or user's policy allow this action for these credentials"
#define FIX_TOKEN  "renew the credentials; a changed credentials file is read again by itself"
#define FIX_BUCKET "create the bucket, or correct the location, s3.endpoint or s3.region"
#define FIX_CLOCK  "set this machine's clock (NTP)"
#define FIX_QUOTA  "raise the quota or free space"

static const struct row {
    const char *code;
    struct tni_s3_fault fault;
} codes[] = {
    {"SlowDown", {TNI_S3_SLOW, TN_E_TIMEOUT, "the store is overloaded", NULL}},
    {"ServiceUnavailable", {TNI_S3_SLOW, TN_E_TIMEOUT, "the store is not available", NULL}},
    {"RequestLimitExceeded", {TNI_S3_SLOW, TN_E_TIMEOUT, "the store is overloaded", NULL}},
    {"Throttling", {TNI_S3_SLOW, TN_E_TIMEOUT, "the store is overloaded", NULL}},
    {"TooManyRequests", {TNI_S3_SLOW, TN_E_TIMEOUT, "the store is overloaded", NULL}},
    {"InternalError", {TNI_S3_TRANSIENT, TN_E_TIMEOUT, "the store failed", NULL}},
    {"RequestTimeout", {TNI_S3_TRANSIENT, TN_E_TIMEOUT, "the store waited too long", NULL}},
    {"OperationAborted", {TNI_S3_CONFLICT, TN_E_TIMEOUT, "another write is under way", NULL}},
    {"ConditionalRequestConflict",
     {TNI_S3_CONFLICT, TN_E_TIMEOUT, "another write is under way", NULL}},
    /* damaged on the way: what was sent is right, so it is sent again */
    {"BadDigest", {TNI_S3_TRANSIENT, TN_E_CORRUPT, "the bytes were damaged on the way", NULL}},
    {"XAmzContentSHA256Mismatch",
     {TNI_S3_TRANSIENT, TN_E_CORRUPT, "the bytes were damaged on the way", NULL}},
    {"IncompleteBody", {TNI_S3_TRANSIENT, TN_E_TIMEOUT, "the body was cut", NULL}},
    {"ExpiredToken", {TNI_S3_CREDENTIALS, TN_E_DENIED, "the credentials have expired", FIX_TOKEN}},
    {"ExpiredTokenException",
     {TNI_S3_CREDENTIALS, TN_E_DENIED, "the credentials have expired", FIX_TOKEN}},
    {"TokenRefreshRequired",
     {TNI_S3_CREDENTIALS, TN_E_DENIED, "the credentials have expired", FIX_TOKEN}},
    {"InvalidToken",
     {TNI_S3_CREDENTIALS, TN_E_DENIED, "the session token is not valid", FIX_TOKEN}},
    {"InvalidAccessKeyId",
     {TNI_S3_CREDENTIALS, TN_E_DENIED, "the access key is not known to the store", FIX_KEY}},
    {"SignatureDoesNotMatch",
     {TNI_S3_CREDENTIALS, TN_E_DENIED, "the secret key does not belong to the access key",
      FIX_KEY}},
    {"RequestTimeTooSkewed",
     {TNI_S3_CLOCK, TN_E_DENIED, "this machine's clock differs too much from the store's",
      FIX_CLOCK}},
    {"RequestExpired",
     {TNI_S3_CLOCK, TN_E_DENIED, "this machine's clock differs too much from the store's",
      FIX_CLOCK}},
    {"AccessDenied", {TNI_S3_PERMANENT, TN_E_DENIED, "the store refuses it", FIX_POLICY}},
    {"AllAccessDisabled", {TNI_S3_PERMANENT, TN_E_DENIED, "the store refuses it", FIX_POLICY}},
    {"AccountProblem",
     {TNI_S3_PERMANENT, TN_E_DENIED, "the account has a problem", "ask the store's operator"}},
    {"UserSuspended",
     {TNI_S3_PERMANENT, TN_E_DENIED, "the user is suspended", "ask the store's operator"}},
    {"NoSuchBucket", {TNI_S3_PERMANENT, TN_E_NAME, "the bucket does not exist", FIX_BUCKET}},
    {"InvalidBucketName",
     {TNI_S3_PERMANENT, TN_E_NAME, "the store does not take this bucket name", FIX_BUCKET}},
    {"NoSuchKey", {TNI_S3_ABSENT, TN_NOT_FOUND, "the object does not exist", NULL}},
    {"NoSuchUpload",
     {TNI_S3_NO_UPLOAD, TN_E_CANCELLED, "the upload was aborted or has expired", NULL}},
    {"PreconditionFailed", {TNI_S3_EXISTS, TN_E_EXISTS, "the object exists already", NULL}},
    {"InvalidRange", {TNI_S3_RANGE, TN_E_INVALID, "the range is outside the object", NULL}},
    {"PermanentRedirect",
     {TNI_S3_REDIRECT, TN_E_NAME, "the bucket is in another region", "set s3.region"}},
    {"TemporaryRedirect",
     {TNI_S3_REDIRECT, TN_E_NAME, "the bucket is in another region", "set s3.region"}},
    {"AuthorizationHeaderMalformed",
     {TNI_S3_REDIRECT, TN_E_NAME, "the store expects another region", "set s3.region"}},
    {"IllegalLocationConstraintException",
     {TNI_S3_REDIRECT, TN_E_NAME, "the store expects another region", "set s3.region"}},
    {"QuotaExceeded", {TNI_S3_PERMANENT, TN_E_FULL, "the quota is used up", FIX_QUOTA}},
    {"XMinioStorageFull", {TNI_S3_PERMANENT, TN_E_FULL, "the store is full", FIX_QUOTA}},
    {"EntityTooLarge",
     {TNI_S3_PERMANENT, TN_E_LIMIT, "the object is too large for one request",
      "send it in parts: lower s3.part.bytes"}},
    {"EntityTooSmall",
     {TNI_S3_PERMANENT, TN_E_INVALID, "a part but the last has less than 5 MiB",
      "raise s3.part.bytes"}},
    {"InvalidPart", {TNI_S3_PERMANENT, TN_E_INVALID, "a part is missing or another", NULL}},
    {"InvalidPartOrder", {TNI_S3_PERMANENT, TN_E_INVALID, "the parts are not in order", NULL}},
    {"KeyTooLongError",
     {TNI_S3_PERMANENT, TN_E_INVALID, "the name is too long", "shorten prefix or name template"}},
    {"InvalidObjectName",
     {TNI_S3_PERMANENT, TN_E_INVALID, "the store does not take this name", NULL}},
    {"NotImplemented",
     {TNI_S3_PERMANENT, TN_E_UNSUPPORTED, "the store cannot do this",
      "is it an S3 server? exactly-once needs conditional PUT"}},
};

static const struct status_row {
    int http_status;
    struct tni_s3_fault fault;
} statuses[] = {
    {301, {TNI_S3_REDIRECT, TN_E_NAME, "the bucket is in another region", "set s3.region"}},
    {307, {TNI_S3_REDIRECT, TN_E_NAME, "the bucket is in another region", "set s3.region"}},
    {308, {TNI_S3_REDIRECT, TN_E_NAME, "the bucket is in another region", "set s3.region"}},
    {403, {TNI_S3_PERMANENT, TN_E_DENIED, "the store refuses it", FIX_POLICY}},
    {401, {TNI_S3_PERMANENT, TN_E_DENIED, "the store wants other credentials", FIX_KEY}},
    {404, {TNI_S3_ABSENT, TN_NOT_FOUND, "the object does not exist", NULL}},
    {408, {TNI_S3_TRANSIENT, TN_E_TIMEOUT, "the store waited too long", NULL}},
    {409, {TNI_S3_CONFLICT, TN_E_TIMEOUT, "another write is under way", NULL}},
    {412, {TNI_S3_EXISTS, TN_E_EXISTS, "the object exists already", NULL}},
    {416, {TNI_S3_RANGE, TN_E_INVALID, "the range is outside the object", NULL}},
    {429, {TNI_S3_SLOW, TN_E_TIMEOUT, "the store is overloaded", NULL}},
    {501,
     {TNI_S3_PERMANENT, TN_E_UNSUPPORTED, "the store cannot do this",
      "is it an S3 server? exactly-once needs conditional PUT"}},
    {503, {TNI_S3_SLOW, TN_E_TIMEOUT, "the store is not available", NULL}},
    {507, {TNI_S3_PERMANENT, TN_E_FULL, "the store is full", FIX_QUOTA}},
};

struct tni_s3_fault tni_s3_fault_of(int http_status, const char *code)
{
    for (size_t i = 0; i < sizeof codes / sizeof *codes && code[0]; i++)
        if (strcmp(codes[i].code, code) == 0)
            return codes[i].fault;
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++)
        if (statuses[i].http_status == http_status)
            return statuses[i].fault;
    if (http_status == 0)
        return (struct tni_s3_fault){TNI_S3_TRANSIENT, TN_E_TIMEOUT, "no answer came", NULL};
    if (http_status >= 500)
        return (struct tni_s3_fault){TNI_S3_TRANSIENT, TN_E_TIMEOUT, "the store failed", NULL};
    if (http_status >= 200 && http_status < 300)
        return (struct tni_s3_fault){TNI_S3_OK, TN_OK, "", NULL};
    return (struct tni_s3_fault){TNI_S3_PERMANENT, TN_E_INVALID, "the store refuses the request",
                                 NULL};
}
