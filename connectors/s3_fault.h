/* What an S3 answer means: one table from HTTP status and error code to what is to be done about
 * it, to the port's status and to words for the user. Pure.
 * @thread any
 */
#ifndef TN_CONNECTORS_S3_FAULT_H
#define TN_CONNECTORS_S3_FAULT_H

#include "stream/base/status.h"
#include "stream/base/str.h"

enum tni_s3_class {
    TNI_S3_OK,
    TNI_S3_TRANSIENT,   /* pause, again */
    TNI_S3_SLOW,        /* the same, with fewer requests at once */
    TNI_S3_CREDENTIALS, /* read the credentials anew, once again */
    TNI_S3_CLOCK,       /* take over the server's time, once again */
    TNI_S3_REDIRECT,    /* other region or host, once again */
    TNI_S3_CONFLICT,    /* a conditional write met another under way: again */
    TNI_S3_EXISTS,      /* the condition failed */
    TNI_S3_ABSENT,      /* no such key */
    TNI_S3_NO_UPLOAD,
    TNI_S3_RANGE,    /* outside the object */
    TNI_S3_PERMANENT /* the status of the table */
};

struct tni_s3_fault {
    enum tni_s3_class class;
    enum tn_status status; /* of PERMANENT, and when tries run out: E_TIMEOUT for the others */
    const char *what;      /* short, static */
    const char *fix;       /* hint, static; may be NULL */
};

/* http_status 0: no answer came. `code` is the Code element of the body, "" when there is none. */
struct tni_s3_fault tni_s3_fault_of(int http_status, const char *code);

#endif
