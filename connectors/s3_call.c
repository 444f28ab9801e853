/* What to do about an answer: the decisions of the S3 adapter.
 *
 * HOW IT WORKS. A try ends with an HTTP status and an error code, or without an answer. s3_fault.c
 * gives its class; here it becomes: done, send again (now or after a pause), or look first.
 *
 * LOOK FIRST. A write whose answer was lost may have happened, and libcurl itself repeats a request
 * on a kept connection that turns out closed. So a failed condition of put-if-absent does not mean
 * "lost": HEAD tells by the token we sent along whose object it is. The end of an upload is looked
 * at in the same way after any 5xx, lost answer or NoSuchUpload; if the object is not ours, listing
 * the parts tells whether the upload lives, since some servers answer 500 for one that is gone.
 *
 * INVARIANTS. (1) A 2xx of the end of an upload counts only after its body was read. (2) Each try
 * is signed anew, with the time and the keys of now. (3) Fixes (clock, keys, redirects) are
 * bounded. (4) ret_body is as it was after any try that failed.
 * @thread the adapter's
 */
#include <stdio.h>

#include "connectors/s3_int.h"
#include "stream/base/logline.h"
#include "stream/base/random.h"

#define FIXES_MAX      6
#define MS             ((int64_t)1000000)
#define WINDOW_MIN     1.0
#define CLOCK_SLACK_MS 2000

static const char *const op_names[TN_OBJECT_OP_COUNT] = {
    "put",          "get",         "head",          "list",         "remove",
    "upload_start", "upload_part", "upload_finish", "upload_abort", "uploads"};

/* ---- ending ---- */

static void put_body_back(struct tni_s3_call *call)
{
    struct tn_buf *body = call->request->ret_body;
    if (call->request->op == TN_OBJECT_GET && body) {
        body->len = call->body_before;
        body->is_over = false;
    }
}

void tni_s3_call_end(struct tni_s3_call *call, enum tn_status st)
{
    call->request->status = st;
    if (st != TN_OK)
        put_body_back(call);
    tni_s3_finish(call);
}

/* "bucket 'b', object 'k': WHAT (HTTP 403 AccessDenied, request tx1)" */
static enum tn_status describe(struct tni_s3_call *call, enum tn_status st, const char *what)
{
    const struct tni_s3_answer *answer = &call->answer;
    struct tn_err *err = &call->request->err;
    char detail[320] = "";
    if (answer->http_status)
        snprintf(detail, sizeof detail, " (HTTP %d%s%s%s%s)", answer->http_status,
                 answer->code[0] ? " " : "", answer->code,
                 answer->request_id[0] ? ", request " : "", answer->request_id);
    else if (call->error[0])
        snprintf(detail, sizeof detail, " (%.150s)", call->error);
    tn_err_set(err, st, "bucket '%s', %s '%.120s%.120s': %s%s", call->store->bucket,
               op_names[call->request->op], call->store->prefix,
               call->request->key ? call->request->key : "", what, detail);
    return st;
}

/* A failure of the table, or the last of a series. */
static void fail(struct tni_s3_call *call, const struct tni_s3_fault *fault, bool is_retriable)
{
    struct tn_err *err = &call->request->err;
    enum tn_status st = fault->status;
    char what[300];
    if (fault->class == TNI_S3_CREDENTIALS || fault->class == TNI_S3_CLOCK)
        snprintf(what, sizeof what, "%s (credentials: %.150s)", fault->what,
                 tni_s3_credentials_source(call->store->credentials));
    else
        snprintf(what, sizeof what, "%s", fault->what);
    describe(call, st, what);
    if (fault->fix)
        tn_err_hint(err, "%s", fault->fix);
    err->retriable = is_retriable;
    tni_s3_call_end(call, st);
}

static void fail_with(struct tni_s3_call *call, enum tn_status st, const char *what)
{
    tni_s3_call_end(call, describe(call, st, what));
}

static bool is_outcome_unknown(const struct tni_s3_call *call)
{
    const struct tn_object_request *request = call->request;
    return call->is_unknown && ((request->op == TN_OBJECT_PUT && request->is_if_absent) ||
                                request->op == TN_OBJECT_UPLOAD_FINISH);
}

void tni_s3_call_timeout(struct tni_s3_call *call)
{
    struct tni_s3_fault fault = call->last;
    char what[200];
    bool is_unknown = is_outcome_unknown(call);
    int64_t seconds = (call->deadline_ns - call->submitted_ns) / (1000 * MS);
    snprintf(what, sizeof what, "%s%s in %lld s, %d tries; last: %s",
             is_unknown ? "it is not known whether it happened; " : "", "no success",
             (long long)seconds, call->request->tries,
             fault.what && fault.what[0] ? fault.what : "no answer yet");
    enum tn_status st = is_unknown                          ? TN_E_INDEFINITE
                        : fault.status == TN_E_CORRUPT      ? TN_E_CORRUPT
                        : fault.class == TNI_S3_CREDENTIALS ? TN_E_DENIED
                                                            : TN_E_TIMEOUT;
    describe(call, st, what);
    call->request->err.retriable = true;
    if (fault.fix)
        tn_err_hint(&call->request->err, "%s", fault.fix);
    else
        tn_err_hint(&call->request->err, "is '%s' reachable and able to answer?",
                    call->store->host);
    tni_s3_call_end(call, st);
}

/* ---- health of the store ---- */

static void note_success(struct tni_s3_call *call)
{
    struct tni_s3_store *store = call->store;
    double most = (double)store->s3->connections;
    store->window += 1.0 / store->window;
    store->window = store->window > most ? most : store->window;
    if (!store->is_away)
        return;
    store->is_away = false;
    tn_metric_add(store->s3->m.away, -1);
    tn_logf(TN_LOG_INFO, "s3", "store answers again, bucket=%s host=%s", store->bucket,
            store->host);
}

/* Halves the requests at once, at most once for those that were under way together. */
static void note_trouble(struct tni_s3_call *call, const char *what)
{
    struct tni_s3_store *store = call->store;
    if (call->started_ns >= store->window_cut_ns) {
        store->window = store->window / 2 < WINDOW_MIN ? WINDOW_MIN : store->window / 2;
        store->window_cut_ns = tn_mono_ns(store->s3->clock);
    }
    if (store->is_away)
        return;
    store->is_away = true;
    tn_metric_add(store->s3->m.away, 1);
    tn_logf(TN_LOG_WARN, "s3", "store in trouble, requests are repeated, bucket=%s host=%s: %s%s%s",
            store->bucket, store->host, what, call->error[0] ? ": " : "", call->error);
}

/* ---- again ---- */

static void count_retry(struct tni_s3_call *call, enum tni_s3_reason reason)
{
    tn_metric_add(call->store->s3->m.retries[reason], 1);
}

/* Full jitter: a random part of a pause that doubles; what the server asks for is the least. */
static void again_later(struct tni_s3_call *call, enum tni_s3_reason reason)
{
    const struct tn_s3_options *options = &call->store->options;
    int64_t now_ns = tn_mono_ns(call->store->s3->clock), most = options->retry_backoff_ms;
    for (int i = 1; i < call->tries && most < options->retry_backoff_max_ms; i++)
        most *= 2;
    most = most < options->retry_backoff_max_ms ? most : options->retry_backoff_max_ms;
    int64_t pause_ms = (int64_t)(tn_random_unit() * (double)most);
    if (call->answer.retry_after_ms > pause_ms)
        pause_ms = call->answer.retry_after_ms;
    count_retry(call, reason);
    if (now_ns + pause_ms * MS >= call->deadline_ns)
        tni_s3_call_timeout(call);
    else
        tni_s3_again(call, pause_ms * MS);
}

static void go(struct tni_s3_call *call, enum tni_s3_phase phase)
{
    call->phase = phase;
    tni_s3_again(call, 0);
}

static bool may_fix(struct tni_s3_call *call)
{
    return ++call->fixes <= FIXES_MAX;
}

static void fix_clock(struct tni_s3_call *call, const struct tni_s3_fault *fault)
{
    struct tni_s3_store *store = call->store;
    int64_t offset = call->answer.date_ms ? call->answer.date_ms - tn_wall_ms(store->s3->clock) : 0;
    int64_t change = offset - store->clock_offset_ms;
    if (!call->answer.date_ms || !may_fix(call) ||
        (change < CLOCK_SLACK_MS && change > -CLOCK_SLACK_MS && call->fixes > 1)) {
        fail(call, fault, true);
        return;
    }
    store->clock_offset_ms = offset;
    tn_logf(TN_LOG_WARN, "s3", "clock differs from the store's by %lld ms, taken over, bucket=%s",
            (long long)offset, store->bucket);
    count_retry(call, TNI_S3_RETRY_CLOCK);
    tni_s3_again(call, 0);
}

/* Keys that changed while the call was under way are tried at once; expired ones may yet be
 * renewed by whoever writes the file, so that failure is worth trying again. */
static void fix_credentials(struct tni_s3_call *call, const struct tni_s3_fault *fault)
{
    struct tni_s3_credentials *credentials = call->store->credentials;
    bool is_newer = tni_s3_credentials_keys(credentials)->generation != call->keys_generation ||
                    tni_s3_credentials_renew(credentials);
    if (!is_newer || !may_fix(call)) {
        fail(call, fault, strncmp(call->answer.code, "ExpiredToken", 12) == 0);
        return;
    }
    count_retry(call, TNI_S3_RETRY_CREDENTIALS);
    tni_s3_again(call, 0);
}

/* The host of a URL or host name, when it belongs to the store's own: a signed request with its
 * body must not be led to a stranger. */
static bool redirect_host(const struct tni_s3_call *call, char host[TNI_S3_HOST_MAX])
{
    const char *location = call->answer.location, *scheme = strstr(location, "://");
    const char *start = scheme ? scheme + 3 : location;
    size_t len = strcspn(start, "/?"), known = strlen(call->store->host);
    bool is_same_scheme = !scheme || strncmp(location, call->store->is_https ? "https:" : "http:",
                                             call->store->is_https ? 6 : 5) == 0;
    bool is_below = len >= known && strncmp(start + len - known, call->store->host, known) == 0 &&
                    (len == known || start[len - known - 1] == '.');
    bool is_amazon =
        call->store->is_amazon && len > 14 && strncmp(start + len - 14, ".amazonaws.com", 14) == 0;
    if (!is_same_scheme || len == 0 || len >= TNI_S3_HOST_MAX || !(is_below || is_amazon))
        return false;
    memcpy(host, start, len);
    host[len] = 0;
    return true;
}

static void fix_redirect(struct tni_s3_call *call, const struct tni_s3_fault *fault)
{
    struct tni_s3_store *store = call->store;
    const char *region = call->answer.region;
    char host[TNI_S3_HOST_MAX];
    bool is_region = region[0] && strcmp(region, store->region) != 0;
    if (may_fix(call) && is_region) {
        tn_logf(TN_LOG_WARN, "s3", "bucket %s is in region %s, not %s; set s3.region",
                store->bucket, region, store->region);
        if (store->is_amazon)
            snprintf(store->host, TNI_S3_HOST_MAX, "s3.%.63s.amazonaws.com", region);
        snprintf(store->region, sizeof store->region, "%s", region);
        call->host[0] = 0;
    } else if (call->fixes <= FIXES_MAX && redirect_host(call, host)) {
        snprintf(call->host, sizeof call->host, "%s", host);
    } else {
        fail(call, fault, false);
        return;
    }
    count_retry(call, TNI_S3_RETRY_REDIRECT);
    tni_s3_again(call, 0);
}

/* ---- answers that are good ---- */

static void take_info(struct tni_s3_call *call)
{
    const struct tni_s3_answer *answer = &call->answer;
    struct tn_object_info *info = &call->request->info;
    memcpy(info->etag, answer->etag, sizeof info->etag);
    info->modified_ms = answer->modified_ms;
    info->size = answer->range_total >= 0 ? answer->range_total : answer->length;
}

/* The bytes are in ret_body; are they the ones that were asked for? */
static void end_get(struct tni_s3_call *call)
{
    struct tn_object_request *request = call->request;
    int64_t got = (int64_t)(request->ret_body->len - call->body_before);
    take_info(call);
    int64_t left = request->info.size - request->offset;
    int64_t want = request->length >= 0 && request->length < left ? request->length : left;
    bool is_start = call->answer.http_status != 206 || call->answer.range_start == request->offset;
    if (request->info.size >= 0 && left < 0) {
        fail_with(call, TN_E_INVALID, "the range begins behind the object's end");
    } else if (request->info.size >= 0 && (!is_start || got != want)) {
        put_body_back(call);
        again_later(call, TNI_S3_RETRY_ERROR);
    } else {
        tni_s3_call_end(call, TN_OK);
    }
}

static void end_page(struct tni_s3_call *call)
{
    struct tni_s3 *s3 = call->store->s3;
    bool is_last = true;
    enum tn_status st = tni_s3_answer_page(call, &is_last, &call->request->err);
    if (st != TN_OK) {
        fail_with(call, st, "its list cannot be read");
    } else if (is_last) {
        tni_s3_call_end(call, TN_OK);
    } else {
        int64_t length = call->deadline_ns - call->submitted_ns;
        call->tries = 0;
        call->submitted_ns = tn_mono_ns(s3->clock);
        call->deadline_ns = call->submitted_ns + length;
        tni_s3_again(call, 0);
    }
}

static void end_upload_start(struct tni_s3_call *call)
{
    char id[TN_OBJECT_UPLOAD_MAX - TNI_OBJECT_TOKEN];
    if (!tni_s3_answer_text(tn_buf_str(&call->body), "UploadId", id, sizeof id) || !id[0]) {
        fail_with(call, TN_E_CORRUPT, "the store's answer holds no upload id");
        return;
    }
    snprintf(call->request->upload_id, TN_OBJECT_UPLOAD_MAX, "%s:%s", call->token, id);
    tni_s3_call_end(call, TN_OK);
}

/* 200 with a body that was read and is no <Error>. Some servers leave the ETag empty. */
static void end_upload_finish(struct tni_s3_call *call)
{
    char etag[TN_OBJECT_ETAG_MAX + 2];
    bool is_whole = tni_s3_answer_text(tn_buf_str(&call->body), "ETag", etag, sizeof etag);
    size_t len = is_whole ? strlen(etag) : 0;
    if (len > 2 && etag[0] == '"') {
        memcpy(call->answer.etag, etag + 1, len - 2);
        call->answer.etag[len - 2] = 0;
        take_info(call);
        call->request->info.size = -1;
        tni_s3_call_end(call, TN_OK);
        return;
    }
    call->is_unknown = true; /* empty, or cut: HEAD tells */
    go(call, TNI_S3_LOOK);
}

static void end_main(struct tni_s3_call *call)
{
    struct tn_object_request *request = call->request;
    switch (request->op) {
    case TN_OBJECT_GET: end_get(call); return;
    case TN_OBJECT_LIST:
    case TN_OBJECT_UPLOADS: end_page(call); return;
    case TN_OBJECT_UPLOAD_START: end_upload_start(call); return;
    case TN_OBJECT_UPLOAD_FINISH: end_upload_finish(call); return;
    case TN_OBJECT_PUT:
    case TN_OBJECT_UPLOAD_PART:
        take_info(call);
        request->info.size = (int64_t)request->body.len;
        break;
    default: take_info(call); break;
    }
    tni_s3_call_end(call, TN_OK);
}

static void end_look(struct tni_s3_call *call)
{
    bool is_put = call->request->op == TN_OBJECT_PUT;
    bool is_there = call->answer.http_status / 100 == 2;
    if (is_there && strcmp(call->answer.token, call->token) == 0) {
        take_info(call);
        tni_s3_call_end(call, TN_OK);
    } else if (is_there && is_put) {
        call->answer = (struct tni_s3_answer){0};
        fail_with(call, TN_E_EXISTS, "the object exists already");
    } else if (is_put) { /* gone again: the place is free */
        call->phase = TNI_S3_MAIN;
        again_later(call, TNI_S3_RETRY_CONFLICT);
    } else {
        go(call, TNI_S3_PARTS);
    }
}

/* An answer to a question of ours; is_absent: 404. */
static void end_question(struct tni_s3_call *call, bool is_absent)
{
    struct tn_object_request *request = call->request;
    switch (call->phase) {
    case TNI_S3_LOOK: end_look(call); return;
    case TNI_S3_PARTS: /* the upload lives: end it again */
        call->phase = TNI_S3_MAIN;
        again_later(call, TNI_S3_RETRY_ERROR);
        return;
    case TNI_S3_SIZE:
        take_info(call);
        if (is_absent)
            tni_s3_call_end(call, TN_NOT_FOUND);
        else if (request->offset <= request->info.size)
            tni_s3_call_end(call, TN_OK); /* nothing is there to read */
        else
            fail_with(call, TN_E_INVALID, "the range begins behind the object's end");
        return;
    default: /* why a HEAD failed: it does not any more */
        call->phase = TNI_S3_MAIN;
        again_later(call, TNI_S3_RETRY_ERROR);
        return;
    }
}

/* ---- answers that are not ---- */

static bool is_write(enum tn_object_op op)
{
    return op == TN_OBJECT_PUT || op == TN_OBJECT_UPLOAD_FINISH;
}

static void on_exists(struct tni_s3_call *call, const struct tni_s3_fault *fault)
{
    const struct tn_object_request *request = call->request;
    if (request->op == TN_OBJECT_PUT && request->is_if_absent)
        go(call, TNI_S3_LOOK);
    else if (request->op == TN_OBJECT_GET && request->if_etag)
        tni_s3_call_end(call, TN_NOT_FOUND); /* that version is gone */
    else
        fail(call, fault, false);
}

static void on_absent(struct tni_s3_call *call)
{
    enum tn_object_op op = call->request->op;
    bool is_bare = !call->answer.code[0] && !call->store->is_bucket_seen;
    if (op == TN_OBJECT_HEAD && call->phase == TNI_S3_MAIN && is_bare)
        go(call, TNI_S3_WHY); /* the key or the bucket? */
    else if (op == TN_OBJECT_GET || op == TN_OBJECT_HEAD)
        tni_s3_call_end(call, TN_NOT_FOUND);
    else if (op == TN_OBJECT_REMOVE || op == TN_OBJECT_UPLOAD_ABORT)
        tni_s3_call_end(call, TN_OK);
    else if (op == TN_OBJECT_UPLOAD_FINISH)
        fail_with(call, TN_E_CANCELLED, "the upload was aborted or has expired");
    else
        fail_with(call, TN_E_IO, "the store answers as if it were no S3 server");
}

static void on_no_upload(struct tni_s3_call *call, const struct tni_s3_fault *fault)
{
    if (call->request->op == TN_OBJECT_UPLOAD_ABORT)
        tni_s3_call_end(call, TN_OK);
    else if (call->request->op == TN_OBJECT_UPLOAD_FINISH && call->phase == TNI_S3_MAIN)
        go(call, TNI_S3_LOOK); /* an earlier try may have ended it */
    else
        fail(call, fault, true);
}

/* Errors that a pause may cure. */
static void on_transient(struct tni_s3_call *call, const struct tni_s3_fault *fault)
{
    bool is_conflict = fault->class == TNI_S3_CONFLICT;
    enum tni_s3_reason reason = is_conflict                     ? TNI_S3_RETRY_CONFLICT
                                : call->answer.http_status == 0 ? TNI_S3_RETRY_NETWORK
                                : fault->class == TNI_S3_SLOW   ? TNI_S3_RETRY_SLOW
                                                                : TNI_S3_RETRY_ERROR;
    if (!is_conflict)
        note_trouble(call, fault->what);
    if (call->phase == TNI_S3_MAIN && is_write(call->request->op))
        call->is_unknown = true;
    if (call->phase == TNI_S3_MAIN && call->request->op == TN_OBJECT_UPLOAD_FINISH && !is_conflict)
        call->phase = TNI_S3_LOOK;
    again_later(call, reason);
}

static void act(struct tni_s3_call *call, const struct tni_s3_fault *fault)
{
    switch (fault->class) {
    case TNI_S3_OK:
        note_success(call);
        call->store->is_bucket_seen = true;
        if (call->phase == TNI_S3_MAIN)
            end_main(call);
        else
            end_question(call, false);
        return;
    case TNI_S3_TRANSIENT:
    case TNI_S3_SLOW:
    case TNI_S3_CONFLICT: on_transient(call, fault); return;
    case TNI_S3_CREDENTIALS: fix_credentials(call, fault); return;
    case TNI_S3_CLOCK: fix_clock(call, fault); return;
    case TNI_S3_REDIRECT: fix_redirect(call, fault); return;
    case TNI_S3_EXISTS: on_exists(call, fault); return;
    case TNI_S3_ABSENT:
        if (call->phase == TNI_S3_LOOK || call->phase == TNI_S3_SIZE)
            end_question(call, true);
        else
            on_absent(call);
        return;
    case TNI_S3_NO_UPLOAD: on_no_upload(call, fault); return;
    case TNI_S3_RANGE:
        if (call->request->op == TN_OBJECT_GET)
            go(call, TNI_S3_SIZE);
        else if (call->phase == TNI_S3_WHY) /* an empty object: HEAD works now */
            end_question(call, false);
        else
            fail(call, fault, false);
        return;
    case TNI_S3_PERMANENT: fail(call, fault, false); return;
    }
}

/* Failures of libcurl that no second try cures. */
static const char *permanent_cause(CURLcode code)
{
    switch (code) {
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
        return "the server's certificate is not trusted (s3.ca.file names the authority)";
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL: return "s3.endpoint is not a URL";
    case CURLE_WRITE_ERROR: return "the answer is too large";
    default: return NULL;
    }
}

/* HEAD has no error body: a GET of one byte tells the code. */
static bool is_silent_head(const struct tni_s3_call *call)
{
    int status = call->answer.http_status;
    return call->request->op == TN_OBJECT_HEAD && call->phase == TNI_S3_MAIN &&
           (status == 400 || status == 403 || status == 301 || status == 307);
}

void tni_s3_call_done(struct tni_s3_call *call, CURLcode code)
{
    struct tni_s3_answer *answer = &call->answer;
    enum tn_object_op op = call->request->op;
    const char *cause = code != CURLE_OK ? permanent_cause(code) : NULL;
    if (call->is_over) {
        fail_with(call, TN_E_LIMIT, "the object is larger than the reader takes");
        return;
    }
    if (cause) {
        fail_with(call, TN_E_IO, cause);
        return;
    }
    if (code != CURLE_OK) {
        *answer = (struct tni_s3_answer){.retry_after_ms = -1};
        put_body_back(call);
    } else if (is_silent_head(call)) {
        go(call, TNI_S3_WHY);
        return;
    } else if (answer->http_status >= 300 ||
               (op == TN_OBJECT_UPLOAD_FINISH && call->phase == TNI_S3_MAIN)) {
        if (tni_s3_answer_error(answer, tn_buf_str(&call->body)) && answer->http_status < 300 &&
            !answer->code[0])
            snprintf(answer->code, sizeof answer->code, "InternalError");
    }
    call->last = tni_s3_fault_of(answer->http_status, answer->code);
    struct tni_s3_fault fault = call->last;
    if (fault.class == TNI_S3_OK && answer->code[0]) /* an <Error> with a code we do not know */
        fault = call->last = tni_s3_fault_of(500, "");
    act(call, &fault);
}
