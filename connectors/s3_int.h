/* Parts of the S3 adapter: s3_store.c (opening, addressing), s3_request.c (what is sent),
 * s3_answer.c (what came back), s3_call.c (what to do about it), s3_loop.c (the thread).
 */
#ifndef TN_CONNECTORS_S3_INT_H
#define TN_CONNECTORS_S3_INT_H

#include <curl/curl.h>
#include <pthread.h>
#include <stdatomic.h>

#include "connectors/object_token.h"
#include "connectors/s3_credentials.h"
#include "connectors/s3_fault.h"
#include "connectors/s3_sign.h"
#include "connectors/s3_store.h"

#define TNI_S3_HOST_MAX   320
#define TNI_S3_ANSWER_MAX ((size_t)16 << 20) /* a page of a list, an error */
#define TNI_S3_TOKEN_NAME "x-amz-meta-tarn-token"

/* What is sent next for a request. */
enum tni_s3_phase {
    TNI_S3_MAIN,
    TNI_S3_LOOK,  /* HEAD: is the object that is there ours (token)? */
    TNI_S3_PARTS, /* list parts: does the upload live? */
    TNI_S3_WHY,   /* GET of one byte: the error of a HEAD, which has no body */
    TNI_S3_SIZE   /* HEAD: how large is the object whose range was refused? */
};

/* One answer; reset before each try. */
struct tni_s3_answer {
    int http_status;
    char code[64], message[160], request_id[80], region[64], location[TNI_S3_HOST_MAX];
    char etag[TN_OBJECT_ETAG_MAX], token[TNI_OBJECT_TOKEN];
    int64_t length, range_start, range_total, modified_ms, date_ms, retry_after_ms; /* −1: none */
};

struct tni_s3_store;

/* A request under way, from submit to done. The thread's, but for is_cancelled. */
struct tni_s3_call {
    struct tn_object_request *request;
    struct tni_s3_store *store;
    struct tni_s3_call *next; /* in the list it is in */
    struct tni_s3_call *all_next, **all_at;
    atomic_bool is_cancelled;
    enum tni_s3_phase phase;
    int64_t submitted_ns, deadline_ns, started_ns, due_ns; /* due: when to send it again */
    int64_t moved_ns, moved_bytes;                         /* the last time bytes moved */
    int tries;                                             /* of this page */
    int fixes;                  /* of clock, credentials, redirects: bounded */
    bool is_unknown;            /* an earlier try may have done it */
    bool is_active;             /* in the multi handle */
    bool is_over;               /* more bytes than ret_body takes */
    unsigned keys_generation;   /* signed with */
    char host[TNI_S3_HOST_MAX]; /* "" = the store's; of a redirect */
    char token[TNI_OBJECT_TOKEN];
    char payload_hash[TNI_SHA256_HEX];
    size_t body_before; /* ret_body's length at submit */
    int64_t body_skip;  /* bytes to drop: the server ignored the range */
    struct tn_buf continuation, continuation_upload; /* the next page */
    struct tn_buf send;                              /* body made by us */
    struct tn_buf body;                              /* answer that is not the object itself */
    struct tni_s3_answer answer;
    struct tni_s3_fault last; /* of the last try */
    CURL *easy;
    struct curl_slist *headers;
    char error[CURL_ERROR_SIZE];
};

struct tni_s3_calls {
    struct tni_s3_call *first, **last;
};

struct tni_s3_store {
    struct tn_object_store base; /* first member */
    struct tni_s3 *s3;
    struct tn_s3_options options;
    char *url, *bucket, *prefix; /* prefix "" or with '/' at its end */
    bool is_https, is_path_style, is_amazon, is_payload_hashed;
    char *host, *base_path;
    /* the thread's */
    char region[64];
    struct tni_s3_credentials *credentials;
    struct tni_sign_key sign_key;
    int64_t clock_offset_ms;
    bool is_bucket_seen; /* a request has succeeded: a 404 is about the key */
    bool is_away;        /* told in the log */
    double window;       /* requests at once; halves on overload, grows by one a round */
    int64_t window_cut_ns;
    int active;
    struct tni_s3_calls ready;
    struct tni_s3_store *turn_next; /* in s3->turns while something is ready */
    bool is_in_turns;
    int pending; /* under s3->lock */
    atomic_bool is_closing;
};

enum tni_s3_reason {
    TNI_S3_RETRY_SLOW,
    TNI_S3_RETRY_ERROR,
    TNI_S3_RETRY_NETWORK,
    TNI_S3_RETRY_CLOCK,
    TNI_S3_RETRY_CREDENTIALS,
    TNI_S3_RETRY_REDIRECT,
    TNI_S3_RETRY_CONFLICT,
    TNI_S3_RETRY_COUNT
};

struct tni_s3_metrics {
    struct tn_metric *requests[TN_OBJECT_OP_COUNT], *seconds[TN_OBJECT_OP_COUNT];
    struct tn_metric *failed[TN_OBJECT_OP_COUNT];
    struct tn_metric *retries[TNI_S3_RETRY_COUNT];
    struct tn_metric *sent_bytes, *received_bytes, *active, *pending, *away;
};

struct tni_s3 {
    struct tn_clock *clock;
    int connections;
    struct tni_s3_metrics m;
    struct tn_metrics *own_metrics; /* when none were given */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t drained; /* a store's pending became 0 */
    struct tni_s3_calls incoming;
    int stores_count;
    bool is_stopping, is_polling, is_attention; /* attention: cancels, closings */
    /* the thread's */
    CURLM *multi;
    CURL **idle; /* handles to use again */
    int idle_count, active;
    struct tni_s3_calls delayed;
    struct tni_s3_call *all;
    struct tni_s3_store *turn_first, **turn_last; /* stores with something ready, in turn */
    int64_t swept_ns;
    struct tn_buf scratch, url;
};

/* s3_request.c: signs and prepares call->easy. */
enum tn_status tni_s3_prepare(struct tni_s3_call *call, struct tn_err *err);

/* s3_answer.c */
void tni_s3_answer_reset(struct tni_s3_answer *answer);
void tni_s3_answer_header(struct tni_s3_answer *answer, struct tn_str line);
/* Code and Message of an <Error> document; false when it is none. */
bool tni_s3_answer_error(struct tni_s3_answer *answer, struct tn_str document);
/* A page of a list (or of uploads): calls request->each for what is below the store's prefix.
 * *ret_is_last: no further page, or each wants no more; else call->continuation is set. */
enum tn_status tni_s3_answer_page(struct tni_s3_call *call, bool *ret_is_last, struct tn_err *err);
/* Text of the element `name`, wherever it is; false when it is missing or the document is bad. */
bool tni_s3_answer_text(struct tn_str document, const char *name, char *ret_text, size_t size);

/* s3_call.c: a try has ended; either sends again (the loop's functions below) or ends the call. */
void tni_s3_call_done(struct tni_s3_call *call, CURLcode code);
/* The time is over, cancelled, the store closes. */
void tni_s3_call_end(struct tni_s3_call *call, enum tn_status st);
void tni_s3_call_timeout(struct tni_s3_call *call);

/* s3_loop.c */
void tni_s3_submit(struct tni_s3_store *store, struct tn_object_request *request);
void tni_s3_cancel(struct tni_s3_store *store, struct tn_object_request *request);
/* A store joins; leaves when all its requests have ended (cancelled). @thread any */
void tni_s3_attach(struct tni_s3_store *store);
void tni_s3_detach(struct tni_s3_store *store);
/* Again: at once, or after a pause. */
void tni_s3_again(struct tni_s3_call *call, int64_t pause_ns);
/* status and err of the request are set; calls done. */
void tni_s3_finish(struct tni_s3_call *call);

#endif
