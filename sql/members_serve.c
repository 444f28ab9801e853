/* The side that answers other processes: pages of table scans, freshness. Contract: members_int.h.
 *
 * A statement of another process has a session here: one pin, its open scans, a freshness ticket.
 * It ends when the asker says so, or when nothing was asked for SESSION_NS. A page is at most about
 * PAGE_BYTES, so answers need bounded memory however large the table is.
 *
 * Requests are held and run on threads of their own: statements here may wait for other processes,
 * so they must not share threads with what those wait for.
 *
 * Ownership: sessions belong to the list; a request marks its session busy while it works on it.
 * @thread handlers: polling threads; the work: SERVE_THREADS
 */
#include "sql/members_int.h"

#include <stdio.h>
#include <time.h>

#include "stream/base/hash.h"
#include "stream/base/mem.h"
#include "stream/scan_wire.h"

#define SERVE_THREADS 4
#define QUEUE_MAX     256u
#define SESSIONS_MAX  1024u
#define SESSION_NS    INT64_C(60000000000)
#define FRESH_MS      200
#define PAGE_BYTES    ((size_t)1 << 20)
#define BODY_BYTES    ((size_t)8 << 20)
#define FRESH_IDS_MAX 64u
#define PARTIAL_ROWS  (1u << 20) /* rows of a page of states: an answer comes in time */

struct open_scan {
    uint64_t id;
    struct tn_table_scan *scan;
    bool *needed;
    struct tn_arena arena;       /* of the aggregates */
    struct tni_partial *partial; /* NULL: rows */
    struct open_scan *next;
};

struct session {
    char statement[TNI_STATEMENT_BYTES];
    struct tn_pin *pin;
    struct open_scan *scans;
    struct tn_fresh *fresh;
    int64_t used_ns;
    bool is_busy;
    struct session *next;
};

enum ask { ASK_SCAN, ASK_NEXT, ASK_FRESH, ASK_DONE };

struct request {
    struct tn_http_request *req;
    enum ask kind;
    struct request *next;
};

struct tni_members_serve {
    struct tn_members *members;
    struct tn_metric *asked, *rows, *bytes;
    pthread_mutex_t lock; /* all below */
    pthread_cond_t work;
    struct request *first, *last;
    uint32_t queue_count, sessions_count;
    struct session *sessions;
    uint64_t scans_made;
    bool is_over;
    pthread_t threads[SERVE_THREADS];
    int threads_count;
};

static const struct tn_metric_desc asked_desc = {
    "tarn_members_requests_total", TN_METRIC_COUNTER, "requests", NULL,
    "requests of other processes for rows of partitions here"};
static const struct tn_metric_desc rows_desc = {"tarn_members_rows_total", TN_METRIC_COUNTER,
                                                "rows", NULL,
                                                "rows given to statements of other processes"};
static const struct tn_metric_desc bytes_desc = {
    "tarn_members_bytes_total", TN_METRIC_COUNTER, "bytes", NULL,
    "bytes of the pages given to statements of other processes"};

/* ---- sessions ---- */

static void scan_free(struct open_scan *open)
{
    tn_table_scan_close(open->scan);
    tn_arena_release(&open->arena);
    tn_free(open->needed);
    tn_free(open);
}

static void session_free(struct session *session)
{
    for (struct open_scan *next, *scan = session->scans; scan; scan = next) {
        next = scan->next;
        scan_free(scan);
    }
    tn_fresh_free(session->fresh);
    tn_pin_free(session->pin);
    tn_free(session);
}

/* Takes expired ones out of the list; the caller frees them without the lock. */
static struct session *take_expired(struct tni_members_serve *serve, int64_t now_ns)
{
    struct session *gone = NULL;
    for (struct session **at = &serve->sessions; *at;) {
        struct session *session = *at;
        if (session->is_busy || now_ns - session->used_ns < SESSION_NS) {
            at = &session->next;
            continue;
        }
        *at = session->next;
        session->next = gone;
        gone = session;
        serve->sessions_count--;
    }
    return gone;
}

static void free_all(struct session *sessions)
{
    for (struct session *next; sessions; sessions = next) {
        next = sessions->next;
        session_free(sessions);
    }
}

/* The session of a statement, marked busy. */
static enum tn_status session_take(struct tni_members_serve *serve, struct tn_str statement,
                                   struct session **ret_session, struct tn_err *err)
{
    int64_t now_ns = tn_mono_ns(serve->members->config.clock);
    struct session *session;
    enum tn_status st = TN_OK;
    pthread_mutex_lock(&serve->lock);
    struct session *gone = take_expired(serve, now_ns);
    for (session = serve->sessions; session; session = session->next)
        if (!memcmp(session->statement, statement.ptr, TNI_STATEMENT_BYTES))
            break;
    if (session && session->is_busy) {
        st = tn_err_set(err, TN_E_BUSY, "another request of this statement is running");
    } else if (!session && serve->sessions_count >= SESSIONS_MAX) {
        st = tn_err_set(err, TN_E_LIMIT, "%u statements of other processes are open already",
                        SESSIONS_MAX);
    } else if (!session) {
        session = tn_alloc(sizeof *session);
        memcpy(session->statement, statement.ptr, TNI_STATEMENT_BYTES);
        session->next = serve->sessions;
        serve->sessions = session;
        serve->sessions_count++;
    }
    if (!tn_failed(st)) {
        session->is_busy = true;
        session->used_ns = now_ns;
        *ret_session = session;
    }
    pthread_mutex_unlock(&serve->lock);
    free_all(gone);
    return st;
}

static void session_give(struct tni_members_serve *serve, struct session *session, bool is_done)
{
    pthread_mutex_lock(&serve->lock);
    session->is_busy = false;
    session->used_ns = tn_mono_ns(serve->members->config.clock);
    for (struct session **at = &serve->sessions; is_done && *at; at = &(*at)->next)
        if (*at == session) {
            *at = session->next;
            serve->sessions_count--;
            break;
        }
    pthread_mutex_unlock(&serve->lock);
    if (is_done)
        session_free(session);
}

/* ---- scans ---- */

static enum tn_status malformed(struct tn_err *err)
{
    return tn_err_set(err, TN_E_INVALID, "malformed request between processes");
}

static enum tn_status pin_session(struct tni_members_serve *serve, struct session *session,
                                  struct tn_err *err)
{
    if (session->pin)
        return TN_OK;
    return tn_engine_pin(serve->members->config.engine, &session->pin, err);
}

/* Opens once without a filter, to know the schema; then with it. */
static enum tn_status open_table(struct tni_members_serve *serve, struct session *session,
                                 const struct tni_scan_ask *ask, struct tn_scan_parts *parts,
                                 struct open_scan *open, struct tn_err *err)
{
    struct tn_engine *engine = serve->members->config.engine;
    struct tn_arena arena;
    struct tn_key_filter *filter = NULL;
    struct tn_scan_parts none = {.wanted = (const uint8_t *)ask->wanted.ptr};
    const char *at = ask->rest;
    tn_arena_init(&arena, 0);
    enum tn_status st;
    TN_GOTO(pin_session(serve, session, err));
    TN_GOTO(tn_table_scan_open_parts(engine, session->pin, ask->query_id, NULL, NULL, &none,
                                     &open->scan, err));
    const struct tn_schema *schema = tn_table_scan_schema(open->scan);
    if (tn_scan_wire_fingerprint(schema) != ask->fingerprint ||
        ask->needed.len != schema->fields_count)
        TN_GOTO(
            tn_err_set(err, TN_E_BUSY, "query '%s' has another definition here", ask->query_id));
    open->needed = tn_alloc_array(schema->fields_count + 1, sizeof *open->needed);
    for (uint32_t c = 0; c < schema->fields_count; c++)
        open->needed[c] = ask->needed.ptr[c] != 0;
    if (ask->partial.len)
        TN_GOTO(tni_partial_read(ask->partial, schema, &open->arena, &open->partial, err));
    TN_GOTO(tn_scan_wire_read_filter(&at, ask->end, schema, ask->keys_count, &arena, &filter, err));
    tn_table_scan_close(open->scan);
    open->scan = NULL;
    TN_GOTO(tn_table_scan_open_parts(engine, session->pin, ask->query_id, filter, open->needed,
                                     parts, &open->scan, err));
fail:
    tn_arena_release(&arena);
    return st;
}

/* Batches until the page is full or the scan is over. */
static enum tn_status fill_page(struct tni_members_serve *serve, struct open_scan *open,
                                struct tn_buf *out, bool *ret_end, struct tn_err *err)
{
    size_t from = out->len;
    *ret_end = false;
    while (out->len - from < PAGE_BYTES) {
        struct tn_batch *batch;
        enum tn_status st = tn_table_scan_next(open->scan, &batch, err);
        if (tn_failed(st))
            return st;
        if (st == TN_END) {
            *ret_end = true;
            break;
        }
        tn_scan_wire_add(out, batch, open->needed);
        tn_metric_add(serve->rows, batch->rows_count);
    }
    return tn_buf_over(out) ? tn_err_set(err, TN_E_LIMIT, "a page of rows is too large") : TN_OK;
}

/* The groups of so many rows that their table is about a page. */
static enum tn_status fill_states(struct tni_members_serve *serve, struct open_scan *open,
                                  struct tn_buf *out, bool *ret_end, struct tn_err *err)
{
    struct tn_hashagg *hash = tni_partial_hash(open->partial);
    struct tn_arena arena;
    enum tn_status st = TN_OK;
    tn_arena_init(&arena, 0);
    *ret_end = false;
    for (uint32_t rows = 0;
         rows == 0 || (rows < PARTIAL_ROWS && tn_hashagg_bytes(hash) < PAGE_BYTES);) {
        struct tn_batch *batch;
        TN_GOTO(tn_table_scan_next(open->scan, &batch, err));
        *ret_end = st == TN_END;
        if (*ret_end)
            break;
        tn_arena_reset(&arena);
        TN_GOTO(tni_partial_take(open->partial, hash, batch, &arena, err));
        rows += batch->rows_count;
    }
    TN_GOTO(tni_partial_print(open->partial, hash, out, err));
    tn_metric_add(serve->rows, tn_hashagg_count(hash));
    if (tn_buf_over(out))
        st = tn_err_set(err, TN_E_LIMIT, "a page of groups is too large");
fail:
    tn_arena_release(&arena);
    tn_hashagg_free(hash);
    return st;
}

static enum tn_status answer_page(struct tni_members_serve *serve, struct session *session,
                                  struct open_scan *open, const uint8_t *missing,
                                  struct tn_buf *out, bool *ret_end, struct tn_err *err)
{
    tni_scan_page_add(out, open->id, (uint64_t)tn_pin_commit(session->pin), missing);
    TN_TRY((open->partial ? fill_states : fill_page)(serve, open, out, ret_end, err));
    if (*ret_end)
        out->ptr[0] = 1;
    tn_metric_add(serve->bytes, (int64_t)out->len);
    return TN_OK;
}

static enum tn_status serve_scan(struct tni_members_serve *serve, struct session *session,
                                 struct tn_str body, struct tn_buf *out, struct tn_err *err)
{
    struct tni_scan_ask ask;
    TN_TRY(tni_scan_ask_read(body, &ask, err));
    struct open_scan *open = tn_alloc(sizeof *open);
    tn_arena_init(&open->arena, 0);
    struct tn_scan_parts parts = {.wanted = (const uint8_t *)ask.wanted.ptr};
    bool is_end = false;
    pthread_mutex_lock(&serve->lock);
    open->id = ++serve->scans_made;
    pthread_mutex_unlock(&serve->lock);
    enum tn_status st = open_table(serve, session, &ask, &parts, open, err);
    if (!tn_failed(st))
        st = answer_page(serve, session, open, parts.missing, out, &is_end, err);
    if (tn_failed(st) || is_end) {
        scan_free(open);
        return st;
    }
    open->next = session->scans;
    session->scans = open;
    return TN_OK;
}

static enum tn_status serve_next(struct tni_members_serve *serve, struct session *session,
                                 struct tn_str body, struct tn_buf *out, struct tn_err *err)
{
    bool is_end = false;
    if (body.len != 8)
        return malformed(err);
    struct open_scan **at = &session->scans;
    while (*at && (*at)->id != tn_be64(body.ptr))
        at = &(*at)->next;
    struct open_scan *open = *at;
    if (!open)
        return tn_err_set(err, TN_E_BUSY, "this scan of another process has ended");
    enum tn_status st = answer_page(serve, session, open, NULL, out, &is_end, err);
    if (tn_failed(st) || is_end) {
        *at = open->next;
        scan_free(open);
    }
    return st;
}

/* ---- freshness ---- */

static enum tn_status open_ticket(struct tni_members_serve *serve, struct session *session,
                                  struct tn_str body, struct tn_err *err)
{
    const char *ids[FRESH_IDS_MAX], *at = body.ptr, *end = body.ptr + body.len;
    struct tn_arena arena;
    size_t count = 0;
    enum tn_status st = TN_OK;
    tn_arena_init(&arena, 0);
    while (at < end && count < FRESH_IDS_MAX) {
        struct tn_str id;
        if (!(at = tn_slice_read(at, end, &id)))
            TN_GOTO(malformed(err));
        ids[count++] = tn_arena_str(&arena, id).ptr;
    }
    TN_GOTO(tn_fresh_open(serve->members->config.engine, ids, count, NULL, &session->fresh, err));
fail:
    tn_arena_release(&arena);
    return st;
}

/* Waits a moment; the asker asks again. */
static enum tn_status serve_fresh(struct tni_members_serve *serve, struct session *session,
                                  struct tn_str body, struct tn_buf *out, struct tn_err *err)
{
    struct tn_buf lagging;
    if (!session->fresh)
        TN_TRY(open_ticket(serve, session, body, err));
    tn_buf_init(&lagging, 300);
    enum tn_status st = tn_fresh_poll(session->fresh, &lagging);
    for (int ms = 0; st == TN_AGAIN && ms < FRESH_MS; ms += 5) {
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
        tn_buf_reset(&lagging);
        st = tn_fresh_poll(session->fresh, &lagging);
    }
    tn_buf_release(&lagging);
    if (tn_failed(st))
        return tn_err_set(err, st, "freshness cannot be told");
    tn_buf_add_byte(out, st == TN_AGAIN ? 0 : 1);
    if (st != TN_AGAIN) {
        tn_fresh_free(session->fresh);
        session->fresh = NULL;
    }
    return TN_OK;
}

/* ---- requests ---- */

static enum tn_status serve_one(struct tni_members_serve *serve, struct request *request,
                                struct tn_err *err)
{
    struct tn_str body = tn_http_body(request->req);
    struct tn_buf *out = tn_http_out(request->req);
    struct session *session = NULL;
    if (body.len < TNI_STATEMENT_BYTES)
        return malformed(err);
    TN_TRY(session_take(serve, body, &session, err));
    body = (struct tn_str){body.ptr + TNI_STATEMENT_BYTES, body.len - TNI_STATEMENT_BYTES};
    enum tn_status st = TN_OK;
    switch (request->kind) {
    case ASK_SCAN: st = serve_scan(serve, session, body, out, err); break;
    case ASK_NEXT: st = serve_next(serve, session, body, out, err); break;
    case ASK_FRESH: st = serve_fresh(serve, session, body, out, err); break;
    case ASK_DONE: break;
    }
    session_give(serve, session, request->kind == ASK_DONE);
    return st;
}

static void run_request(struct tni_members_serve *serve, struct request *request)
{
    struct tn_err err = TN_ERR_INIT;
    enum tn_status st = serve_one(serve, request, &err);
    if (tn_failed(st)) {
        tn_buf_reset(tn_http_out(request->req));
        tn_http_reply_error(request->req, 0, &err);
    } else {
        tn_http_reply(request->req, 200, "application/octet-stream");
    }
    tn_http_complete(request->req);
    tn_free(request);
}

static void *serve_main(void *arg)
{
    struct tni_members_serve *serve = arg;
    pthread_mutex_lock(&serve->lock);
    for (;;) {
        while (!serve->first && !serve->is_over)
            pthread_cond_wait(&serve->work, &serve->lock);
        struct request *request = serve->first;
        if (!request)
            break;
        serve->first = request->next;
        if (!serve->first)
            serve->last = NULL;
        serve->queue_count--;
        pthread_mutex_unlock(&serve->lock);
        run_request(serve, request);
        pthread_mutex_lock(&serve->lock);
    }
    pthread_mutex_unlock(&serve->lock);
    return NULL;
}

/* Compares in constant time. */
static bool is_ours(const char *token, struct tn_str given)
{
    size_t len = strlen(token);
    unsigned char diff = 0;
    if (!given.ptr || given.len != len + 7 || memcmp(given.ptr, "Bearer ", 7) != 0)
        return false;
    for (size_t i = 0; i < len; i++)
        diff |= (unsigned char)(token[i] ^ given.ptr[7 + i]);
    return diff == 0;
}

static enum tn_status begin(void *ctx, struct tn_http_request *req, struct tn_err *err)
{
    const struct tni_members_serve *serve = ctx;
    if (is_ours(serve->members->token, tn_http_header(req, "Authorization")))
        return TN_OK;
    return tn_err_set(err, TN_E_DENIED, "only processes of application '%s' may ask this",
                      serve->members->config.application_id);
}

static enum tn_status enqueue(struct tni_members_serve *serve, struct tn_http_request *req,
                              enum ask kind, struct tn_err *err)
{
    struct request *request = tn_alloc(sizeof *request);
    request->req = req;
    request->kind = kind;
    tn_http_hold(req);
    pthread_mutex_lock(&serve->lock);
    bool is_full = serve->queue_count >= QUEUE_MAX || serve->is_over;
    if (!is_full) {
        if (serve->last)
            serve->last->next = request;
        else
            serve->first = request;
        serve->last = request;
        serve->queue_count++;
        pthread_cond_signal(&serve->work);
    }
    pthread_mutex_unlock(&serve->lock);
    tn_metric_add(serve->asked, 1);
    if (is_full) {
        tn_err_set(err, TN_E_LIMIT, "%u requests of other processes are waiting", QUEUE_MAX);
        tn_free(request);
        tn_http_reply_error(req, 503, err);
        tn_http_complete(req);
    }
    return TN_AGAIN;
}

static enum tn_status post_scan(void *ctx, struct tn_http_request *req, struct tn_err *err)
{
    return enqueue(ctx, req, ASK_SCAN, err);
}

static enum tn_status post_next(void *ctx, struct tn_http_request *req, struct tn_err *err)
{
    return enqueue(ctx, req, ASK_NEXT, err);
}

static enum tn_status post_fresh(void *ctx, struct tn_http_request *req, struct tn_err *err)
{
    return enqueue(ctx, req, ASK_FRESH, err);
}

static enum tn_status post_done(void *ctx, struct tn_http_request *req, struct tn_err *err)
{
    return enqueue(ctx, req, ASK_DONE, err);
}

/* ---- life ---- */

enum tn_status tni_members_serve_open(struct tn_members *members, struct tn_http_server *server,
                                      struct tn_err *err)
{
    static const struct {
        const char *path;
        tn_http_handler handler;
    } routes[] = {{"/members/scan", post_scan},
                  {"/members/next", post_next},
                  {"/members/fresh", post_fresh},
                  {"/members/done", post_done}};
    struct tni_members_serve *serve = tn_alloc(sizeof *serve);
    serve->members = members;
    members->serve = serve;
    pthread_mutex_init(&serve->lock, NULL);
    pthread_cond_init(&serve->work, NULL);
    serve->asked = tn_metric_get(members->config.metrics, &asked_desc, NULL);
    serve->rows = tn_metric_get(members->config.metrics, &rows_desc, NULL);
    serve->bytes = tn_metric_get(members->config.metrics, &bytes_desc, NULL);
    for (; serve->threads_count < SERVE_THREADS; serve->threads_count++)
        if (pthread_create(&serve->threads[serve->threads_count], NULL, serve_main, serve) != 0)
            return tn_err_set(err, TN_E_LIMIT, "cannot start a thread for other processes");
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        struct tn_http_route route = {.method = "POST",
                                      .path = routes[i].path,
                                      .handler = routes[i].handler,
                                      .begin = begin,
                                      .ctx = serve,
                                      .body_bytes_max = BODY_BYTES,
                                      .flags = TN_HTTP_BODY | TN_HTTP_NO_STORE};
        tn_http_route_add(server, &route);
    }
    return TN_OK;
}

void tni_members_serve_close(struct tn_members *members)
{
    struct tni_members_serve *serve = members->serve;
    if (!serve)
        return;
    pthread_mutex_lock(&serve->lock);
    serve->is_over = true;
    pthread_cond_broadcast(&serve->work);
    pthread_mutex_unlock(&serve->lock);
    for (int i = 0; i < serve->threads_count; i++)
        pthread_join(serve->threads[i], NULL);
    free_all(serve->sessions);
    pthread_cond_destroy(&serve->work);
    pthread_mutex_destroy(&serve->lock);
    tn_free(serve);
    members->serve = NULL;
}
