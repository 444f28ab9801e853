/* The S3 adapter's thread: one libcurl multi handle with its kept connections for all buckets.
 *
 * HOW IT WORKS. submit (any thread) checks the request, hashes its body and puts it into
 * `incoming`. The thread moves it to its store's `ready`; the stores take turns to send, each at
 * most `window` requests at once (halved on overload, grown by one a round), all together at most
 * `connections`. A call that is to be repeated waits in `delayed`. Every SWEEP_MS the thread looks
 * for what is over: deadlines, tries without a byte, cancelled calls, stores that close.
 *
 * INVARIANTS. (1) A call is in exactly one of incoming, ready, delayed, the multi handle. (2) done
 * is called once, without the lock. (3) Only the thread touches a call, but for is_cancelled. (4) A
 * store in `turns` has something ready, hence pending: it cannot be closed.
 * @thread submit and cancel any; the rest the adapter's
 */
#include "connectors/s3_int.h"
#include "stream/base/mem.h"

#define MS       ((int64_t)1000000)
#define SWEEP_MS 50
#define IDLE_MS  1000
#define SEND_MAX ((size_t)4 << 20)

/* ---- lists ---- */

static void push(struct tni_s3_calls *calls, struct tni_s3_call *call)
{
    call->next = NULL;
    *calls->last = call;
    calls->last = &call->next;
}

static struct tni_s3_call *pop(struct tni_s3_calls *calls)
{
    struct tni_s3_call *call = calls->first;
    if (call) {
        calls->first = call->next;
        if (!calls->first)
            calls->last = &calls->first;
    }
    return call;
}

static void unlink_call(struct tni_s3_calls *calls, struct tni_s3_call *call)
{
    for (struct tni_s3_call **p = &calls->first; *p; p = &(*p)->next)
        if (*p == call) {
            *p = call->next;
            if (!*p)
                calls->last = p;
            return;
        }
}

/* ---- submit, cancel ---- */

static enum tn_status check_request(const struct tni_s3_store *store,
                                    const struct tn_object_request *request, struct tn_err *err)
{
    enum tn_object_op op = request->op;
    bool is_list = op == TN_OBJECT_LIST || op == TN_OBJECT_UPLOADS;
    bool is_write = op == TN_OBJECT_PUT || op == TN_OBJECT_UPLOAD_START;
    const char *key = request->key ? request->key : "";
    if (!is_list)
        TN_TRY(tn_object_key_check(key, is_write, err));
    else if (key[0])
        TN_TRY(tn_object_key_check(key, false, err));
    if (strlen(store->prefix) + strlen(key) > TN_OBJECT_KEY_MAX ||
        (request->start_after && strlen(request->start_after) > TN_OBJECT_KEY_MAX))
        return tn_err_set(err, TN_E_INVALID,
                          "'%.200s' with the prefix of '%.100s' has more than %d bytes", key,
                          store->url, TN_OBJECT_KEY_MAX);
    if (op == TN_OBJECT_UPLOAD_PART && (request->part < 1 || request->part > TN_OBJECT_PARTS_MAX))
        return tn_err_set(err, TN_E_INVALID, "part number %d is not in 1 … %d", request->part,
                          TN_OBJECT_PARTS_MAX);
    if (op == TN_OBJECT_UPLOAD_FINISH &&
        (request->parts_count < 1 || request->parts_count > TN_OBJECT_PARTS_MAX))
        return tn_err_set(err, TN_E_INVALID, "an upload has 1 … %d parts, not %d",
                          TN_OBJECT_PARTS_MAX, request->parts_count);
    if (op >= TN_OBJECT_UPLOAD_PART && op <= TN_OBJECT_UPLOAD_ABORT &&
        (!request->upload_id[0] ||
         strnlen(request->upload_id, TN_OBJECT_UPLOAD_MAX) == TN_OBJECT_UPLOAD_MAX))
        return tn_err_set(err, TN_E_INVALID, "'%.64s' is not an upload's id", request->upload_id);
    if (op == TN_OBJECT_GET && request->offset < 0)
        return tn_err_set(err, TN_E_INVALID, "byte %lld was asked for", (long long)request->offset);
    return TN_OK;
}

static struct tni_s3_call *call_new(struct tni_s3_store *store, struct tn_object_request *request)
{
    struct tni_s3_call *call = tn_alloc(sizeof *call);
    int64_t limit_ms = request->timeout_ms > 0 ? request->timeout_ms : store->options.timeout_ms;
    call->request = request;
    call->store = store;
    call->submitted_ns = tn_mono_ns(store->s3->clock);
    call->deadline_ns = call->submitted_ns + limit_ms * MS;
    call->body_before = request->ret_body ? request->ret_body->len : 0;
    if (request->op == TN_OBJECT_UPLOAD_FINISH)
        snprintf(call->token, sizeof call->token, "%.32s", request->upload_id);
    else if (request->op == TN_OBJECT_PUT || request->op == TN_OBJECT_UPLOAD_START)
        tni_object_token(call->token);
    if (request->op == TN_OBJECT_GET && request->length == 0)
        call->phase = TNI_S3_SIZE;
    if (!store->is_payload_hashed)
        snprintf(call->payload_hash, sizeof call->payload_hash, TNI_PAYLOAD_UNKNOWN);
    else if (request->body.len)
        tni_sha256_hex(request->body, call->payload_hash);
    tn_buf_init(&call->continuation, TN_OBJECT_KEY_MAX * 4);
    tn_buf_init(&call->continuation_upload, TN_OBJECT_UPLOAD_MAX);
    tn_buf_init(&call->send, SEND_MAX);
    tn_buf_init(&call->body, TNI_S3_ANSWER_MAX);
    return call;
}

static void call_free(struct tni_s3_call *call)
{
    curl_slist_free_all(call->headers);
    tn_buf_release(&call->continuation);
    tn_buf_release(&call->continuation_upload);
    tn_buf_release(&call->send);
    tn_buf_release(&call->body);
    tn_free(call);
}

/* Under the lock. */
static void wake(struct tni_s3 *s3)
{
    if (s3->is_polling) {
        s3->is_polling = false;
        curl_multi_wakeup(s3->multi);
    }
}

void tni_s3_submit(struct tni_s3_store *store, struct tn_object_request *request)
{
    struct tni_s3 *s3 = store->s3;
    request->tries = 0;
    request->adapter = NULL;
    request->status = check_request(store, request, &request->err);
    if (request->status != TN_OK) {
        request->done(request);
        return;
    }
    struct tni_s3_call *call = call_new(store, request);
    tn_metric_add(s3->m.pending, 1);
    pthread_mutex_lock(&s3->lock);
    bool is_closing = store->is_closing;
    if (!is_closing) {
        store->pending++;
        request->adapter = call;
        push(&s3->incoming, call);
        wake(s3);
    }
    pthread_mutex_unlock(&s3->lock);
    if (!is_closing)
        return;
    call_free(call);
    tn_metric_add(s3->m.pending, -1);
    request->status = tn_err_set(&request->err, TN_E_CANCELLED, "the store is being closed");
    request->done(request);
}

void tni_s3_cancel(struct tni_s3_store *store, struct tn_object_request *request)
{
    struct tni_s3 *s3 = store->s3;
    pthread_mutex_lock(&s3->lock);
    struct tni_s3_call *call = request->adapter;
    if (call) {
        atomic_store(&call->is_cancelled, true);
        s3->is_attention = true;
        wake(s3);
    }
    pthread_mutex_unlock(&s3->lock);
}

void tni_s3_attach(struct tni_s3_store *store)
{
    struct tni_s3 *s3 = store->s3;
    pthread_mutex_lock(&s3->lock);
    s3->stores_count++;
    pthread_mutex_unlock(&s3->lock);
}

void tni_s3_detach(struct tni_s3_store *store)
{
    struct tni_s3 *s3 = store->s3;
    pthread_mutex_lock(&s3->lock);
    atomic_store(&store->is_closing, true);
    s3->is_attention = true;
    wake(s3);
    while (store->pending > 0)
        pthread_cond_wait(&s3->drained, &s3->lock);
    s3->stores_count--;
    pthread_mutex_unlock(&s3->lock);
}

/* ---- sending ---- */

static void push_turn(struct tni_s3_store *store)
{
    struct tni_s3 *s3 = store->s3;
    if (store->is_in_turns)
        return;
    store->is_in_turns = true;
    store->turn_next = NULL;
    *s3->turn_last = store;
    s3->turn_last = &store->turn_next;
}

static void remove_turn(struct tni_s3_store *store)
{
    struct tni_s3 *s3 = store->s3;
    for (struct tni_s3_store **p = &s3->turn_first; *p; p = &(*p)->turn_next)
        if (*p == store) {
            *p = store->turn_next;
            if (!*p)
                s3->turn_last = p;
            break;
        }
    store->is_in_turns = false;
}

static void push_ready(struct tni_s3_call *call)
{
    push(&call->store->ready, call);
    push_turn(call->store);
}

void tni_s3_again(struct tni_s3_call *call, int64_t pause_ns)
{
    if (pause_ns > 0) {
        call->due_ns = tn_mono_ns(call->store->s3->clock) + pause_ns;
        push(&call->store->s3->delayed, call);
    } else {
        push_ready(call);
    }
}

static void release_easy(struct tni_s3_call *call)
{
    struct tni_s3 *s3 = call->store->s3;
    if (!call->easy)
        return;
    curl_multi_remove_handle(s3->multi, call->easy);
    curl_easy_reset(call->easy);
    s3->idle[s3->idle_count++] = call->easy;
    call->easy = NULL;
    call->is_active = false;
    call->store->active--;
    s3->active--;
    tn_metric_set(s3->m.active, s3->active);
}

void tni_s3_finish(struct tni_s3_call *call)
{
    struct tni_s3_store *store = call->store;
    struct tni_s3 *s3 = store->s3;
    struct tn_object_request *request = call->request;
    TN_ASSERT(!call->is_active);
    tn_metric_add(s3->m.requests[request->op], 1);
    tn_metric_add(s3->m.failed[request->op], tn_failed(request->status));
    tn_metric_observe(s3->m.seconds[request->op], tn_mono_ns(s3->clock) - call->submitted_ns);
    tn_metric_add(s3->m.pending, -1);
    *call->all_at = call->all_next;
    if (call->all_next)
        call->all_next->all_at = call->all_at;
    pthread_mutex_lock(&s3->lock);
    request->adapter = NULL;
    pthread_mutex_unlock(&s3->lock);
    call_free(call);
    request->done(request);
    pthread_mutex_lock(&s3->lock); /* after done: the store may be closed from then on */
    if (--store->pending == 0)
        pthread_cond_broadcast(&s3->drained);
    pthread_mutex_unlock(&s3->lock);
}

static void send_call(struct tni_s3_call *call)
{
    struct tni_s3 *s3 = call->store->s3;
    TN_ASSERT(s3->idle_count > 0);
    call->easy = s3->idle[--s3->idle_count];
    call->is_active = true;
    call->store->active++;
    s3->active++;
    call->tries++;
    call->request->tries++;
    call->started_ns = call->moved_ns = tn_mono_ns(s3->clock);
    call->moved_bytes = 0;
    enum tn_status st = tni_s3_prepare(call, &call->request->err);
    if (st == TN_OK && curl_multi_add_handle(s3->multi, call->easy) == CURLM_OK)
        return;
    if (st == TN_OK)
        st = tn_err_set(&call->request->err, TN_E_INTERNAL, "a request cannot be sent");
    release_easy(call);
    tni_s3_call_end(call, st);
}

/* Stores in turn, as their windows and the connections allow. A store whose last call fails at once
 * may be gone after send_call: it is not touched any more (I4). */
static void send_ready(struct tni_s3 *s3)
{
    struct tni_s3_store *full = NULL; /* the first of a row of stores whose window is full */
    while (s3->turn_first && s3->active < s3->connections) {
        struct tni_s3_store *store = s3->turn_first;
        bool is_open = (double)store->active + 1.0 <= store->window;
        struct tni_s3_call *call = is_open ? pop(&store->ready) : NULL;
        if (!call && store == full)
            return;
        remove_turn(store);
        if (store->ready.first)
            push_turn(store);
        full = call ? NULL : full ? full : store;
        if (call)
            send_call(call);
    }
}

/* ---- what is over ---- */

/* Takes a call out of wherever it is. */
static void detach(struct tni_s3_call *call)
{
    struct tni_s3_store *store = call->store;
    if (call->is_active) {
        release_easy(call);
        return;
    }
    unlink_call(&store->ready, call);
    unlink_call(&store->s3->delayed, call);
    if (!store->ready.first)
        remove_turn(store);
}

static bool is_stalled(struct tni_s3_call *call, int64_t now_ns)
{
    curl_off_t up = 0, down = 0;
    if (!call->is_active)
        return false;
    curl_easy_getinfo(call->easy, CURLINFO_SIZE_UPLOAD_T, &up);
    curl_easy_getinfo(call->easy, CURLINFO_SIZE_DOWNLOAD_T, &down);
    if (up + down != call->moved_bytes) {
        call->moved_bytes = up + down;
        call->moved_ns = now_ns;
    }
    return now_ns - call->moved_ns >= call->store->options.stall_timeout_ms * MS;
}

static void sweep(struct tni_s3 *s3, int64_t now_ns)
{
    for (struct tni_s3_call *call = s3->all, *next; call; call = next) {
        next = call->all_next;
        bool is_stopped = atomic_load(&call->is_cancelled) || call->store->is_closing;
        if (is_stopped) {
            detach(call);
            tn_err_set(&call->request->err, TN_E_CANCELLED, "bucket '%s', object '%.200s': %s",
                       call->store->bucket, call->request->key ? call->request->key : "",
                       "cancelled");
            tni_s3_call_end(call, TN_E_CANCELLED);
        } else if (now_ns >= call->deadline_ns) {
            bool was_active = call->is_active;
            detach(call);
            call->is_unknown = call->is_unknown || (was_active && call->phase == TNI_S3_MAIN);
            tni_s3_call_timeout(call);
        } else if (is_stalled(call, now_ns)) {
            release_easy(call);
            snprintf(call->error, sizeof call->error, "no byte for %lld ms",
                     (long long)call->store->options.stall_timeout_ms);
            tni_s3_call_done(call, CURLE_OPERATION_TIMEDOUT);
        }
    }
}

/* Calls whose pause is over; returns when the next one is due. */
static int64_t take_delayed(struct tni_s3 *s3, int64_t now_ns)
{
    struct tni_s3_calls due = s3->delayed;
    int64_t next_ns = INT64_MAX;
    if (!due.first)
        return next_ns;
    s3->delayed.first = NULL;
    s3->delayed.last = &s3->delayed.first;
    for (struct tni_s3_call *call = due.first, *next; call; call = next) {
        next = call->next;
        if (call->due_ns <= now_ns) {
            push_ready(call);
        } else {
            push(&s3->delayed, call);
            next_ns = call->due_ns < next_ns ? call->due_ns : next_ns;
        }
    }
    return next_ns;
}

/* ---- the loop ---- */

static void take_incoming(struct tni_s3 *s3)
{
    struct tni_s3_calls calls = {NULL, NULL};
    pthread_mutex_lock(&s3->lock);
    if (s3->incoming.first) {
        calls = s3->incoming;
        s3->incoming.first = NULL;
        s3->incoming.last = &s3->incoming.first;
    }
    pthread_mutex_unlock(&s3->lock);
    for (struct tni_s3_call *call = calls.first, *next; call; call = next) {
        next = call->next;
        call->all_next = s3->all;
        call->all_at = &s3->all;
        if (s3->all)
            s3->all->all_at = &call->all_next;
        s3->all = call;
        push_ready(call);
    }
}

static void count_bytes(struct tni_s3 *s3, CURL *easy)
{
    curl_off_t up = 0, down = 0;
    curl_easy_getinfo(easy, CURLINFO_SIZE_UPLOAD_T, &up);
    curl_easy_getinfo(easy, CURLINFO_SIZE_DOWNLOAD_T, &down);
    tn_metric_add(s3->m.sent_bytes, up);
    tn_metric_add(s3->m.received_bytes, down);
}

/* True when a call has ended, so that others may be sent. */
static bool take_ended(struct tni_s3 *s3)
{
    int left;
    bool is_any = false;
    for (CURLMsg *msg; (msg = curl_multi_info_read(s3->multi, &left)) != NULL;) {
        struct tni_s3_call *call = NULL;
        CURLcode code = msg->data.result;
        if (msg->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **)&call);
        count_bytes(s3, call->easy);
        release_easy(call);
        tni_s3_call_done(call, code);
        is_any = true;
    }
    return is_any;
}

/* Waits for sockets, a submit or the next thing due. */
static void wait_more(struct tni_s3 *s3, int64_t now_ns, int64_t next_ns)
{
    int64_t wait_ms = s3->all ? SWEEP_MS : IDLE_MS;
    if (next_ns != INT64_MAX && next_ns - now_ns < wait_ms * MS)
        wait_ms = next_ns > now_ns ? (next_ns - now_ns) / MS + 1 : 0;
    pthread_mutex_lock(&s3->lock);
    bool is_quiet = !s3->incoming.first && !s3->is_attention && !s3->is_stopping;
    s3->is_polling = is_quiet;
    pthread_mutex_unlock(&s3->lock);
    if (!is_quiet)
        return;
    curl_multi_poll(s3->multi, NULL, 0, (int)wait_ms, NULL);
    pthread_mutex_lock(&s3->lock);
    s3->is_polling = false;
    pthread_mutex_unlock(&s3->lock);
}

static void *loop_main(void *arg)
{
    struct tni_s3 *s3 = arg;
    for (;;) {
        int running;
        pthread_mutex_lock(&s3->lock);
        bool is_stopping = s3->is_stopping, is_attention = s3->is_attention;
        s3->is_attention = false;
        pthread_mutex_unlock(&s3->lock);
        if (is_stopping)
            return NULL; /* stores are closed: nothing is pending */
        int64_t now_ns = tn_mono_ns(s3->clock);
        take_incoming(s3);
        int64_t next_ns = take_delayed(s3, now_ns);
        send_ready(s3);
        curl_multi_perform(s3->multi, &running);
        bool is_more = take_ended(s3);
        if (is_attention || now_ns - s3->swept_ns >= SWEEP_MS * MS) {
            s3->swept_ns = now_ns;
            sweep(s3, now_ns);
        }
        if (!is_more)
            wait_more(s3, now_ns, next_ns);
    }
}

/* ---- open, close ---- */

static const struct tn_metric_desc requests_desc = {"tarn_s3_requests_total", TN_METRIC_COUNTER,
                                                    "requests", "op", "requests that have ended"};
static const struct tn_metric_desc failed_desc = {"tarn_s3_failed_total", TN_METRIC_COUNTER,
                                                  "requests", "op",
                                                  "requests that ended with an error"};
static const struct tn_metric_desc seconds_desc = {
    "tarn_s3_request_seconds", TN_METRIC_HISTOGRAM, "seconds", "op",
    "time from a request's submit to its end, repeats included"};
static const struct tn_metric_desc retries_desc = {"tarn_s3_retries_total", TN_METRIC_COUNTER,
                                                   "requests", "reason",
                                                   "requests that were sent again"};
static const struct tn_metric_desc sent_desc = {"tarn_s3_sent_bytes_total", TN_METRIC_COUNTER,
                                                "bytes", NULL, "bytes of bodies sent"};
static const struct tn_metric_desc received_desc = {
    "tarn_s3_received_bytes_total", TN_METRIC_COUNTER, "bytes", NULL, "bytes of bodies received"};
static const struct tn_metric_desc active_desc = {"tarn_s3_active_requests", TN_METRIC_GAUGE,
                                                  "requests", NULL, "requests on a connection now"};
static const struct tn_metric_desc pending_desc = {"tarn_s3_pending_requests", TN_METRIC_GAUGE,
                                                   "requests", NULL,
                                                   "requests submitted and not ended"};
static const struct tn_metric_desc away_desc = {
    "tarn_s3_stores_in_trouble", TN_METRIC_GAUGE, "stores", NULL,
    "stores whose last answers were errors that are repeated, or none"};

static void open_metrics(struct tni_s3 *s3, struct tn_metrics *metrics)
{
    static const char *const ops[TN_OBJECT_OP_COUNT] = {
        "put",          "get",         "head",          "list",         "remove",
        "upload_start", "upload_part", "upload_finish", "upload_abort", "uploads"};
    static const char *const reasons[TNI_S3_RETRY_COUNT] = {
        "overload", "error", "network", "clock", "credentials", "redirect", "conflict"};
    for (int i = 0; i < TN_OBJECT_OP_COUNT; i++) {
        s3->m.requests[i] = tn_metric_get(metrics, &requests_desc, ops[i]);
        s3->m.failed[i] = tn_metric_get(metrics, &failed_desc, ops[i]);
        s3->m.seconds[i] = tn_metric_get(metrics, &seconds_desc, ops[i]);
    }
    for (int i = 0; i < TNI_S3_RETRY_COUNT; i++)
        s3->m.retries[i] = tn_metric_get(metrics, &retries_desc, reasons[i]);
    s3->m.sent_bytes = tn_metric_get(metrics, &sent_desc, NULL);
    s3->m.received_bytes = tn_metric_get(metrics, &received_desc, NULL);
    s3->m.active = tn_metric_get(metrics, &active_desc, NULL);
    s3->m.pending = tn_metric_get(metrics, &pending_desc, NULL);
    s3->m.away = tn_metric_get(metrics, &away_desc, NULL);
}

struct tni_s3 *tni_s3_new(struct tn_clock *clock, struct tn_metrics *metrics, int connections)
{
    struct tni_s3 *s3 = tn_alloc(sizeof *s3);
    (void)curl_global_init(CURL_GLOBAL_DEFAULT); /* counts; safe beside others since 7.84 */
    s3->clock = clock;
    s3->connections = connections;
    s3->incoming.last = &s3->incoming.first;
    s3->delayed.last = &s3->delayed.first;
    s3->turn_last = &s3->turn_first;
    s3->own_metrics = metrics ? NULL : tn_metrics_new();
    open_metrics(s3, metrics ? metrics : s3->own_metrics);
    tn_buf_init(&s3->scratch, 64 << 10);
    tn_buf_init(&s3->url, 64 << 10);
    pthread_mutex_init(&s3->lock, NULL);
    pthread_cond_init(&s3->drained, NULL);
    s3->idle = tn_alloc_array((size_t)connections, sizeof *s3->idle);
    s3->multi = curl_multi_init();
    TN_ASSERT(s3->multi != NULL);
    curl_multi_setopt(s3->multi, CURLMOPT_MAXCONNECTS, (long)connections + 4);
    for (int i = 0; i < connections; i++) {
        CURL *easy = curl_easy_init();
        TN_ASSERT(easy != NULL);
        s3->idle[s3->idle_count++] = easy;
    }
    TN_ASSERT(pthread_create(&s3->thread, NULL, loop_main, s3) == 0);
    return s3;
}

void tni_s3_free(struct tni_s3 *s3)
{
    if (!s3)
        return;
    pthread_mutex_lock(&s3->lock);
    TN_ASSERT(s3->stores_count == 0);
    s3->is_stopping = true;
    wake(s3);
    pthread_mutex_unlock(&s3->lock);
    pthread_join(s3->thread, NULL);
    for (int i = 0; i < s3->idle_count; i++)
        curl_easy_cleanup(s3->idle[i]);
    curl_multi_cleanup(s3->multi);
    tn_free(s3->idle);
    tn_buf_release(&s3->scratch);
    tn_buf_release(&s3->url);
    pthread_cond_destroy(&s3->drained);
    pthread_mutex_destroy(&s3->lock);
    tn_metrics_free(s3->own_metrics);
    tn_free(s3);
}
