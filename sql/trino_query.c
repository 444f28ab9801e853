/* Query objects of the Trino protocol: the table they are found in, pages between the statement
 * and its client, tokens, held requests, and the watch thread that ends waits and forgotten
 * queries. How it works: trino_int.h.
 * @thread as noted there */
#include <stdio.h>
#include <sys/random.h>
#include <time.h>

#include "sql/trino_int.h"
#include "connectors/wait.h"
#include "stream/base/hash.h"
#include "stream/base/mem.h"

#define WATCH_NS ((int64_t)1000000000)

/* ---- objects ---- */

static void random_text(char *text, size_t len)
{
    static const char digits[] = "abcdefghijkmnpqrstuvwxyz23456789";
    unsigned char bytes[64];
    TN_ASSERT(len <= sizeof bytes);
    if (getrandom(bytes, len, 0) != (ssize_t)len)
        tn_assert_failed("getrandom", __FILE__, __LINE__);
    for (size_t i = 0; i < len; i++)
        text[i] = digits[bytes[i] & 31];
    text[len] = 0;
}

struct tni_trino_query *tni_trino_query_new(struct tn_trino *trino)
{
    struct tni_trino_query *query = tn_alloc(sizeof *query);
    query->trino = trino;
    atomic_init(&query->refs, 1);
    atomic_init(&query->budget.memory_bytes, 0);
    atomic_init(&query->budget.is_cancelled, false);
    tn_arena_init(&query->arena, 4u << 20);
    tn_buf_init(&query->columns, 16u << 20);
    tn_buf_init(&query->served, TNI_TRINO_ROW_MAX + TNI_TRINO_PAGE_MAX);
    tn_session_init(&query->session);
    random_text(query->slug, 32);
    query->token = -1;
    query->update_count = -1;
    query->page_bytes = TNI_TRINO_PAGE_BYTES;
    query->created_ns = query->seen_ns = tn_mono_ns(trino->config.clock);
    query->created_ms = tn_wall_ms(trino->config.clock);
    pthread_mutex_init(&query->lock, NULL);
    pthread_cond_init(&query->room, NULL);
    return query;
}

static void pages_free(struct tni_trino_query *query)
{
    for (struct tni_trino_page *page = query->first_page, *next; page; page = next) {
        next = page->next;
        tn_free(page->rows);
        tn_free(page);
    }
    query->first_page = query->last_page = NULL;
    query->pages_count = 0;
}

static void query_free(struct tni_trino_query *query)
{
    TN_ASSERT(query->waiters_count == 0);
    pages_free(query);
    for (uint32_t i = 0; i < query->sets_count; i++)
        tn_free(query->sets[i].value);
    tn_arena_release(&query->arena);
    tn_buf_release(&query->columns);
    tn_buf_release(&query->served);
    tn_free(query->killed);
    tn_free(query->text);
    pthread_cond_destroy(&query->room);
    pthread_mutex_destroy(&query->lock);
    tn_free(query);
}

void tni_trino_query_ref(struct tni_trino_query *query)
{
    atomic_fetch_add(&query->refs, 1);
}

void tni_trino_query_unref(struct tni_trino_query *query)
{
    if (query && atomic_fetch_sub(&query->refs, 1) == 1)
        query_free(query);
}

/* ---- table; trino->lock held ---- */

static struct tni_trino_query **slot_of(struct tn_trino *trino, struct tn_str id)
{
    return &trino->table[tn_hash64(id.ptr, id.len) & (TNI_TRINO_HASH - 1)];
}

static void table_remove(struct tn_trino *trino, struct tni_trino_query *query)
{
    struct tni_trino_query **at = slot_of(trino, tn_str_of(query->id));
    while (*at != query)
        at = &(*at)->next_hash;
    *at = query->next_hash;
    if (query->prev)
        query->prev->next = query->next;
    else
        trino->newest = query->next;
    if (query->next)
        query->next->prev = query->prev;
    else
        trino->oldest = query->prev;
    trino->queries_count--;
}

static void id_make(struct tn_trino *trino, struct tni_trino_query *query)
{
    time_t seconds = (time_t)(query->created_ms / 1000);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    trino->sequence = trino->sequence % 99999 + 1;
    char when[20];
    strftime(when, sizeof when, "%Y%m%d_%H%M%S", &tm);
    snprintf(query->id, sizeof query->id, "%s_%05u_%s", when, (unsigned)trino->sequence,
             trino->coordinator);
}

/* Finished queries beyond the limits go, oldest first; ret_free: the chain of those to let go. */
static struct tni_trino_query *table_trim(struct tn_trino *trino, int64_t now_ns)
{
    struct tni_trino_query *gone = NULL, *query = trino->oldest;
    while (query) {
        struct tni_trino_query *newer = query->prev;
        pthread_mutex_lock(&query->lock);
        bool is_over = query->is_done && query->waiters_count == 0;
        int64_t bytes = query->kept_bytes, ended_ns = query->ended_ns;
        pthread_mutex_unlock(&query->lock);
        bool is_many = trino->queries_count - trino->live_count > TNI_TRINO_KEPT_MAX ||
                       trino->kept_bytes > TNI_TRINO_KEPT_BYTES;
        if (is_over && (is_many || now_ns - ended_ns > TNI_TRINO_KEEP_NS)) {
            table_remove(trino, query);
            trino->kept_bytes -= bytes;
            query->next = gone;
            gone = query;
        } else if (!is_many && is_over) {
            break; /* newer ones have ended later, or will be looked at by the watch thread */
        }
        query = newer;
    }
    return gone;
}

static void chain_unref(struct tni_trino_query *query)
{
    for (struct tni_trino_query *next; query; query = next) {
        next = query->next;
        query->next = NULL;
        tni_trino_query_unref(query);
    }
}

enum tn_status tni_trino_query_add(struct tni_trino_query *query, struct tn_err *err)
{
    struct tn_trino *trino = query->trino;
    pthread_mutex_lock(&trino->lock);
    if (trino->live_count >= TNI_TRINO_QUERIES_MAX || trino->is_over) {
        pthread_mutex_unlock(&trino->lock);
        tn_metric_add(trino->m.refused, 1);
        enum tn_status st = tn_err_at(err, TN_E_LIMIT, "QUERY_QUEUE_FULL", 0, 0,
                                      "%u queries are open already", TNI_TRINO_QUERIES_MAX);
        if (err)
            err->retriable = true;
        return st;
    }
    id_make(trino, query);
    struct tni_trino_query **slot = slot_of(trino, tn_str_of(query->id));
    query->next_hash = *slot;
    *slot = query;
    query->next = trino->newest;
    if (trino->newest)
        trino->newest->prev = query;
    else
        trino->oldest = query;
    trino->newest = query;
    trino->queries_count++;
    trino->live_count++;
    tni_trino_query_ref(query);
    struct tni_trino_query *gone = NULL;
    if (trino->queries_count - trino->live_count > TNI_TRINO_KEPT_MAX)
        gone = table_trim(trino, query->created_ns);
    pthread_mutex_unlock(&trino->lock);
    tn_metric_add(trino->m.running, 1);
    chain_unref(gone);
    return TN_OK;
}

struct tni_trino_query *tni_trino_query_find(struct tn_trino *trino, struct tn_str id)
{
    pthread_mutex_lock(&trino->lock);
    struct tni_trino_query *query = *slot_of(trino, id);
    while (query && !tn_str_eq(tn_str_of(query->id), id))
        query = query->next_hash;
    if (query)
        tni_trino_query_ref(query);
    pthread_mutex_unlock(&trino->lock);
    return query;
}

static struct tni_query_row row_of(const struct tni_trino_query *query)
{
    int64_t now_ns = tn_mono_ns(query->trino->config.clock);
    int64_t from_ns = query->started_ns ? query->started_ns : now_ns;
    struct tni_query_row row = {
        .id = query->id,
        .state = tni_trino_state_name(query->state),
        .user = query->client.user,
        .source = query->client.source[0] ? query->client.source : NULL,
        .text = {query->text, query->text_len},
        .queued_ms = (from_ns - query->created_ns) / 1000000,
        .created_ms = query->created_ms,
        .started_ms =
            query->started_ns ? query->created_ms + (from_ns - query->created_ns) / 1000000 : 0,
        .seen_ms = query->created_ms + (query->seen_ns - query->created_ns) / 1000000,
        .ended_ms = query->ended_ms};
    if (query->is_done && query->err.code != TN_OK) {
        struct tni_trino_error error = tni_trino_error_of(&query->err);
        row.error_type = error.type;
        row.error_name = error.name;
    }
    return row;
}

void tni_trino_queries_each(struct tni_query_list *list,
                            bool (*each)(void *ctx, const struct tni_query_row *row), void *ctx)
{
    struct tn_trino *trino = (struct tn_trino *)list; /* its first member */
    bool is_wanted = true;
    pthread_mutex_lock(&trino->lock);
    for (struct tni_trino_query *query = trino->newest; query && is_wanted; query = query->next) {
        pthread_mutex_lock(&query->lock);
        struct tni_query_row row = row_of(query);
        is_wanted = each(ctx, &row);
        pthread_mutex_unlock(&query->lock);
    }
    pthread_mutex_unlock(&trino->lock);
}

void tni_trino_table_free(struct tn_trino *trino)
{
    while (trino->newest) {
        struct tni_trino_query *query = trino->newest;
        TN_ASSERT(query->is_done);
        table_remove(trino, query);
        tni_trino_query_unref(query);
    }
}

/* ---- documents; query->lock held ---- */

static void reply_fill(struct tni_trino_query *query, struct tn_http_request *req)
{
    const char *family = query->client.is_presto ? "X-Presto" : "X-Trino";
    tn_buf_add_str(tn_http_out(req), tn_buf_str(&query->served));
    for (uint32_t i = 0; i < query->sets_count; i++) {
        const char *name =
            tn_arena_printf(tn_http_arena(req), "%s-%s", family, query->sets[i].suffix);
        tn_http_reply_header(req, name, query->sets[i].value);
    }
    tn_http_reply(req, 200, "application/json");
    tn_http_reply_gzip(req);
}

/* Makes the next document: the oldest page, the end, or nothing yet. */
static void served_next(struct tni_trino_query *query)
{
    struct tni_trino_page *page = query->first_page;
    if (page) {
        query->first_page = page->next;
        if (!page->next)
            query->last_page = NULL;
        query->pages_count--;
        pthread_cond_signal(&query->room);
    }
    bool is_last = query->is_done && !query->first_page;
    tn_buf_reset(&query->served);
    tni_trino_doc_page(query, page, is_last, &query->served);
    query->token++;
    query->is_served_last = is_last;
    if (page) {
        tn_metric_add(query->trino->m.pages, 1);
        tn_metric_add(query->trino->m.page_bytes, (int64_t)page->len);
        tn_free(page->rows);
        tn_free(page);
    }
}

/* All held requests want the next token: they get one and the same document. */
static void waiters_serve(struct tni_trino_query *query)
{
    if (query->waiters_count == 0)
        return;
    served_next(query);
    for (uint32_t i = 0; i < query->waiters_count; i++) {
        reply_fill(query, query->waiters[i].req);
        tn_http_complete(query->waiters[i].req);
    }
    tn_metric_add(query->trino->m.held, -(int64_t)query->waiters_count);
    query->waiters_count = 0;
}

static enum tn_status reply_text(struct tn_http_request *req, int status, const char *text)
{
    tn_buf_add_text(tn_http_out(req), text);
    tn_http_reply(req, status, "text/plain");
    return TN_OK;
}

static void waiter_gone(void *ctx)
{
    struct tni_trino_query *query = ctx;
    atomic_store(&query->has_gone, true);
    pthread_cond_signal(&query->trino->watch_cond);
}

static enum tn_status waiter_add(struct tni_trino_query *query, struct tn_http_request *req,
                                 int64_t now_ns)
{
    struct tn_trino *trino = query->trino;
    if (query->waiters_count == TNI_TRINO_WAITERS_MAX)
        return reply_text(req, 503, "too many requests wait for this page\n");
    tn_http_hold(req);
    query->waiters[query->waiters_count++] =
        (struct tni_trino_waiter){.req = req, .until_ns = now_ns + TNI_TRINO_WAIT_NS};
    tn_metric_add(trino->m.held, 1);
    tn_http_on_gone(req, waiter_gone, query);
    return TN_AGAIN;
}

enum tn_status tni_trino_query_get(struct tni_trino_query *query, struct tn_http_request *req,
                                   int64_t token, struct tn_err *err)
{
    struct tn_trino *trino = query->trino;
    enum tn_status st = TN_OK;
    (void)err;
    pthread_mutex_lock(&query->lock);
    int64_t now_ns = tn_mono_ns(trino->config.clock);
    query->seen_ns = now_ns;
    if (token < query->token) {
        st = reply_text(req, 410, "Error 410 Gone: HTTP 410 Gone\n");
    } else if (token > query->token + 1 || (token > query->token && query->is_served_last)) {
        st = reply_text(req, 404, "Error 404 Not Found: Query not found\n");
    } else if (token == query->token) {
        reply_fill(query, req);
    } else if ((query->first_page && !query->is_cancelled) || query->is_done) {
        served_next(query);
        reply_fill(query, req);
    } else {
        st = waiter_add(query, req, now_ns);
    }
    pthread_mutex_unlock(&query->lock);
    if (st == TN_AGAIN) { /* the watch thread may sleep longer than this wait */
        pthread_mutex_lock(&trino->lock);
        if (trino->watch_ns > now_ns + TNI_TRINO_WAIT_NS)
            pthread_cond_signal(&trino->watch_cond);
        pthread_mutex_unlock(&trino->lock);
    }
    return st;
}

/* ---- from the runner ---- */

/* Waits until the client has taken a page. The time does not count against the statement. */
static void wait_room(struct tni_trino_query *query)
{
    struct tn_clock *clock = query->trino->config.clock;
    int64_t from_ns = tn_mono_ns(clock);
    pthread_mutex_unlock(&query->lock);
    tni_trino_slot_release(query->trino);
    pthread_mutex_lock(&query->lock);
    while (query->pages_count >= TNI_TRINO_PAGES && !query->is_cancelled)
        pthread_cond_wait(&query->room, &query->lock);
    pthread_mutex_unlock(&query->lock);
    tni_trino_slot_acquire(query->trino);
    pthread_mutex_lock(&query->lock);
    if (query->budget.deadline_ns && query->max_run_ms == 0)
        query->budget.deadline_ns += tn_mono_ns(clock) - from_ns;
}

enum tn_status tni_trino_query_page(struct tni_trino_query *query, char *rows, size_t len,
                                    struct tn_err *err)
{
    if (query->is_inline) {
        tn_free(rows);
        query->is_overflow = true;
        return tn_err_set(err, TN_E_CANCELLED, "too long to be answered at once");
    }
    struct tni_trino_page *page = tn_alloc(sizeof *page);
    page->rows = rows;
    page->len = len;
    pthread_mutex_lock(&query->lock);
    if (query->pages_count >= TNI_TRINO_PAGES)
        wait_room(query);
    bool is_cancelled = query->is_cancelled;
    if (is_cancelled) {
        tn_free(page->rows);
        tn_free(page);
    } else {
        if (query->last_page)
            query->last_page->next = page;
        else
            query->first_page = page;
        query->last_page = page;
        query->pages_count++;
        waiters_serve(query);
    }
    pthread_mutex_unlock(&query->lock);
    return is_cancelled ? tn_budget_check(&query->budget, err) : TN_OK;
}

static void done_error(struct tni_trino_query *query, enum tn_status st, const struct tn_err *err)
{
    query->err = *err;
    if (query->err.code == TN_OK)
        query->err.code = st;
    query->err.code = query->err.code == TN_OK ? TN_E_INTERNAL : query->err.code;
    if (st == TN_E_CANCELLED) {
        struct tn_err *to = &query->err;
        if (query->killed)
            tn_err_at(to, st, "ADMINISTRATIVELY_KILLED", 0, 0, "Query killed. Message: %s",
                      query->killed);
        else if (query->is_abandoned)
            tn_err_at(to, st, "ABANDONED_QUERY", 0, 0,
                      "Query %s has not been accessed since %d seconds", query->id,
                      (int)(TNI_TRINO_IDLE_NS / 1000000000));
        else
            tn_err_at(to, st, "USER_CANCELED", 0, 0, "Query was canceled");
        to->hint[0] = 0;
    } else if (st == TN_E_TIMEOUT && query->max_run_ms > 0) {
        tn_err_at(&query->err, st, "EXCEEDED_TIME_LIMIT", 0, 0,
                  "Query exceeded maximum time limit of %.2fs", (double)query->max_run_ms / 1000);
        query->err.hint[0] = 0;
    }
    pages_free(query); /* an error ends the result at once */
}

void tni_trino_query_done(struct tni_trino_query *query, enum tn_status st,
                          const struct tn_err *err)
{
    struct tn_trino *trino = query->trino;
    pthread_mutex_lock(&query->lock);
    query->state = tn_failed(st) ? TNI_TRINO_FAILED : TNI_TRINO_FINISHED;
    query->ended_ns = tn_mono_ns(trino->config.clock);
    query->ended_ms = tn_wall_ms(trino->config.clock);
    if (tn_failed(st))
        done_error(query, st, err);
    query->is_done = true;
    query->kept_bytes = 1024 + (int64_t)query->text_len;
    for (const struct tni_trino_page *page = query->first_page; page; page = page->next)
        query->kept_bytes += (int64_t)page->len;
    waiters_serve(query);
    int64_t bytes = query->kept_bytes, ns = query->ended_ns - query->created_ns;
    pthread_mutex_unlock(&query->lock);
    pthread_mutex_lock(&trino->lock);
    trino->live_count--;
    trino->kept_bytes += bytes;
    pthread_mutex_unlock(&trino->lock);
    tn_metric_add(trino->m.running, -1);
    tn_metric_add(trino->m.queries, 1);
    tn_metric_observe(trino->m.ns, ns);
    if (st == TN_E_CANCELLED)
        tn_metric_add(trino->m.cancelled, 1);
    else if (tn_failed(st))
        tn_metric_add(trino->m.failed, 1);
    if (tn_failed(st) && query->client.transaction[0])
        tni_trino_tx_abort(trino, query->client.transaction);
}

void tni_trino_query_set(struct tni_trino_query *query, const char *suffix, char *value)
{
    pthread_mutex_lock(&query->lock);
    if (query->sets_count < TNI_TRINO_SETS_MAX)
        query->sets[query->sets_count++] = (struct tni_trino_set){suffix, value};
    else
        tn_free(value);
    pthread_mutex_unlock(&query->lock);
}

void tni_trino_query_forget(struct tni_trino_query *query)
{
    query->is_inline = query->is_overflow = query->has_columns = false;
    query->rows_count = 0;
    tn_buf_reset(&query->columns);
    pages_free(query);
}

void tni_trino_query_cancel(struct tni_trino_query *query, const char *killed)
{
    pthread_mutex_lock(&query->lock);
    if (!query->is_done && !query->is_cancelled) {
        query->is_cancelled = true;
        if (killed)
            query->killed = tn_strdup(killed);
        atomic_store(&query->budget.is_cancelled, true);
        pthread_cond_broadcast(&query->room);
    }
    pthread_mutex_unlock(&query->lock);
}

/* ---- watch thread ---- */

/* Ends waits that are over and abandoned queries; returns when to look again. trino->lock held. */
static int64_t watch_query(struct tni_trino_query *query, int64_t now_ns)
{
    int64_t next_ns = INT64_MAX;
    pthread_mutex_lock(&query->lock);
    if (query->waiters_count) {
        int64_t until_ns = query->waiters[0].until_ns;
        if (until_ns <= now_ns || atomic_exchange(&query->has_gone, false))
            waiters_serve(query);
        else
            next_ns = until_ns;
    } else if (!query->is_done) {
        next_ns = query->seen_ns + TNI_TRINO_IDLE_NS;
        if (next_ns <= now_ns && !query->is_cancelled) {
            query->is_abandoned = query->is_cancelled = true;
            atomic_store(&query->budget.is_cancelled, true);
            pthread_cond_broadcast(&query->room);
            tn_metric_add(query->trino->m.abandoned, 1);
        }
        if (next_ns <= now_ns)
            next_ns = now_ns + WATCH_NS;
    } else {
        next_ns = query->ended_ns + TNI_TRINO_KEEP_NS;
    }
    pthread_mutex_unlock(&query->lock);
    return next_ns;
}

static void *watch_main(void *arg)
{
    struct tn_trino *trino = arg;
    pthread_mutex_lock(&trino->lock);
    while (!trino->is_over) {
        int64_t now_ns = tn_mono_ns(trino->config.clock), next_ns = now_ns + 60 * WATCH_NS;
        struct tni_trino_query *gone = table_trim(trino, now_ns);
        for (struct tni_trino_query *query = trino->newest; query; query = query->next) {
            int64_t at_ns = watch_query(query, now_ns);
            next_ns = at_ns < next_ns ? at_ns : next_ns;
        }
        if (gone) {
            pthread_mutex_unlock(&trino->lock);
            chain_unref(gone);
            pthread_mutex_lock(&trino->lock);
            continue;
        }
        trino->watch_ns = next_ns;
        int64_t wait_ns = next_ns > now_ns ? next_ns - now_ns : 0;
        (void)tn_cond_wait_for(&trino->watch_cond, &trino->lock, wait_ns);
    }
    pthread_mutex_unlock(&trino->lock);
    return NULL;
}

enum tn_status tni_trino_watch_start(struct tn_trino *trino, struct tn_err *err)
{
    random_text(trino->coordinator, 5);
    pthread_cond_init(&trino->watch_cond, NULL);
    if (pthread_create(&trino->watch, NULL, watch_main, trino) != 0)
        return tn_err_set(err, TN_E_LIMIT, "cannot start the watch thread of the Trino protocol");
    trino->is_watching = true;
    return TN_OK;
}

void tni_trino_watch_stop(struct tn_trino *trino)
{
    pthread_mutex_lock(&trino->lock);
    trino->is_over = true;
    pthread_cond_broadcast(&trino->watch_cond);
    for (struct tni_trino_query *query = trino->newest; query; query = query->next)
        tni_trino_query_cancel(query, NULL);
    pthread_mutex_unlock(&trino->lock);
    if (trino->is_watching)
        pthread_join(trino->watch, NULL);
    trino->is_watching = false;
}
