/* Private parts of the Trino protocol, shared by sql/trino*.c.
 *
 * HOW IT WORKS. A POST becomes a query object, found later by its id, guarded by an unguessable
 * slug. Its statement runs at once: on the polling thread when its shape was short before, else on
 * a statement thread. Rows are printed into pages; a page is handed out by GET …/{token}, token n
 * being the n-th document. The last document is kept, so that a repeated GET gets the same bytes.
 * A GET that comes before there is anything is held for at most one second, without a thread.
 *
 *   POST ─► query ─► run ─► pages (at most TNI_TRINO_PAGES wait) ─► documents ─► GET
 *
 * A statement whose pages nobody fetches waits; while it waits it gives its slot to another
 * statement. A query nobody asks for is cancelled after TNI_TRINO_IDLE_NS.
 *
 * Locks: trino->lock (table of queries, run queue) → query->lock (its state) → the server's. A
 * query is freed when the table, its runner and its requests have let go (refs).
 */
#ifndef TN_SQL_TRINO_INT_H
#define TN_SQL_TRINO_INT_H

#include <pthread.h>
#include <stdatomic.h>

#include "sql/exec.h"
#include "sql/http_sql_int.h"
#include "sql/trino.h"

#define TNI_TRINO_QUERIES_MAX  1024u                   /* unfinished ones */
#define TNI_TRINO_KEPT_MAX     256u                    /* finished ones, for repeated GETs */
#define TNI_TRINO_KEPT_BYTES   ((int64_t)64 << 20)     /* bytes of their last documents */
#define TNI_TRINO_HASH         2048u                   /* power of two */
#define TNI_TRINO_THREADS_MAX  128                     /* running and waiting statements */
#define TNI_TRINO_PAGES        2                       /* pages that wait for their GET */
#define TNI_TRINO_PAGE_BYTES   ((size_t)1 << 20)       /* row data of a page */
#define TNI_TRINO_PAGE_MAX     ((size_t)128 << 20)     /* what targetResultSize may ask for */
#define TNI_TRINO_ROW_MAX      ((size_t)256 << 20)     /* one row */
#define TNI_TRINO_WAIT_NS      ((int64_t)1000000000)   /* a GET waits so long for its page */
#define TNI_TRINO_KEEP_NS      ((int64_t)60000000000)  /* a last page can be asked for again */
#define TNI_TRINO_IDLE_NS      ((int64_t)300000000000) /* no request for so long: abandoned */
#define TNI_TRINO_WAITERS_MAX  8                       /* held GETs of one query */
#define TNI_TRINO_SETS_MAX     24                      /* response headers of one query */
#define TNI_TRINO_TEXT_MAX     ((int64_t)1000000)      /* of a statement */
#define TNI_TRINO_PREPARED_MAX 64u
#define TNI_TRINO_TX_MAX       64u

enum tni_trino_state { TNI_TRINO_QUEUED, TNI_TRINO_RUNNING, TNI_TRINO_FINISHED, TNI_TRINO_FAILED };

struct tni_trino_page {
    struct tni_trino_page *next;
    char *rows; /* "[1,2],[3,4]"; owned */
    size_t len;
};

struct tni_trino_waiter {
    struct tn_http_request *req;
    int64_t until_ns;
    bool is_gzip;
};

struct tni_trino_set {  /* a response header that changes the client's session */
    const char *suffix; /* "Set-Schema" */
    char *value;        /* owned */
};

/* What the request's headers said; kept with the query, for later GETs carry nothing. */
struct tni_trino_client {
    bool is_presto;    /* X-Presto-* family */
    bool has_datetime; /* PARAMETRIC_DATETIME */
    bool has_catalog, has_schema;
    bool has_transactions; /* X-Trino-Transaction-Id was sent */
    char transaction[64];  /* "" = NONE */
    char user[128], source[128];
    char base[192]; /* http://host:port */
};

struct tni_trino_query {
    struct tn_trino *trino;
    struct tni_trino_query *next_hash, *next_run;
    struct tni_trino_query *prev, *next; /* all, newest first; under trino->lock */
    atomic_int refs;
    char id[48], slug[40];
    uint32_t shape;
    bool is_inline; /* being tried on the polling thread */
    bool is_overflow;
    char *text; /* owned */
    size_t text_len;
    struct tni_trino_client client;
    struct tn_session session;
    struct tn_arena arena; /* prepared statements of the request */
    struct tn_budget budget;
    int64_t created_ms, created_ns, started_ns, ended_ns, ended_ms;
    int64_t max_run_ms; /* session property query_max_run_time; 0 = none */
    size_t page_bytes;

    pthread_mutex_t lock; /* all below */
    pthread_cond_t room;  /* a page was taken, or the query is cancelled */
    enum tni_trino_state state;
    struct tn_buf columns; /* JSON of the columns; is_known: also when empty */
    bool has_columns;
    const struct tn_schema *schema; /* while it runs */
    struct tni_trino_page *first_page, *last_page;
    int pages_count;
    _Atomic int64_t rows_count; /* written by the run, read by documents meanwhile */
    bool is_done, is_cancelled, is_abandoned;
    struct tn_err err;
    char *killed; /* message of kill_query; owned */
    const char *update_type;
    int64_t update_count; /* −1 = none */
    struct tni_trino_set sets[TNI_TRINO_SETS_MAX];
    uint32_t sets_count;
    int64_t token; /* of the last document; −1 = none yet */
    struct tn_buf served;
    bool is_served_last;
    struct tni_trino_waiter waiters[TNI_TRINO_WAITERS_MAX];
    uint32_t waiters_count;
    int64_t seen_ns, kept_bytes;
    _Atomic bool has_gone; /* the client of a held request has left */
};

struct tni_trino_tx {
    char id[40]; /* "" = free */
    bool is_aborted;
    int64_t seen_ns;
};

struct tni_trino_metrics {
    struct tn_metric *queries, *failed, *cancelled, *abandoned, *refused;
    struct tn_metric *running, *pages, *page_bytes, *held, *ns;
};

struct tn_trino {
    struct tni_query_list list; /* first: system.runtime.queries */
    char uri[160];
    struct tn_http_sql_config config;
    struct tn_http_server *server;
    struct tn_http_sql *http; /* shapes */
    struct tni_trino_metrics m;
    int64_t started_ns;
    char coordinator[8]; /* last part of query ids */

    pthread_mutex_t lock; /* all below */
    struct tni_trino_query *table[TNI_TRINO_HASH];
    struct tni_trino_query *newest, *oldest;
    uint32_t queries_count, live_count;
    int64_t kept_bytes;
    uint64_t sequence;

    struct tni_trino_query *run_first, *run_last;
    pthread_cond_t work;
    pthread_t threads[TNI_TRINO_THREADS_MAX];
    int threads_count, idle_count;
    int slots_count; /* statements that may run at once */
    int running_count;
    bool is_over;

    struct tni_trino_tx txs[TNI_TRINO_TX_MAX];

    pthread_t watch;
    bool is_watching;
    pthread_cond_t watch_cond;
    int64_t watch_ns; /* when the watch thread wakes by itself */
};

/* trino_head.c: request headers → client and session. `ret_status`: HTTP status of a refusal. */
enum tn_status tni_trino_read_head(struct tn_http_request *req, struct tni_trino_query *query,
                                   int *ret_status, struct tn_err *err);

/* trino_query.c */
struct tni_trino_query *tni_trino_query_new(struct tn_trino *trino);
void tni_trino_query_ref(struct tni_trino_query *query);
void tni_trino_query_unref(struct tni_trino_query *query);
/* Into the table. TN_E_LIMIT: too many. */
enum tn_status tni_trino_query_add(struct tni_trino_query *query, struct tn_err *err);
/* By id, with a reference; NULL when there is none. */
struct tni_trino_query *tni_trino_query_find(struct tn_trino *trino, struct tn_str id);
/* Asks the statement to end; `killed` (may be NULL) is the message of kill_query. */
void tni_trino_query_cancel(struct tni_trino_query *query, const char *killed);
/* A GET: fills the reply or holds the request (TN_AGAIN). */
enum tn_status tni_trino_query_get(struct tni_trino_query *query, struct tn_http_request *req,
                                   int64_t token, struct tn_err *err);
/* From the runner. `rows` is taken over. TN_AGAIN when the client is slow and the query is inline.
 */
enum tn_status tni_trino_query_page(struct tni_trino_query *query, char *rows, size_t len,
                                    struct tn_err *err);
void tni_trino_query_done(struct tni_trino_query *query, enum tn_status st,
                          const struct tn_err *err);
/* Takes over `value`. */
void tni_trino_query_set(struct tni_trino_query *query, const char *suffix, char *value);
void tni_trino_query_forget(struct tni_trino_query *query); /* an inline try that starts again */
enum tn_status tni_trino_watch_start(struct tn_trino *trino, struct tn_err *err);
void tni_trino_watch_stop(struct tn_trino *trino);
void tni_trino_queries_each(struct tni_query_list *list,
                            bool (*each)(void *ctx, const struct tni_query_row *row), void *ctx);
void tni_trino_table_free(struct tn_trino *trino); /* at the very end */

/* trino_pool.c */
void tni_trino_run_add(struct tn_trino *trino, struct tni_trino_query *query);
void tni_trino_run_stop(struct tn_trino *trino);
/* A statement that waits for its client lets another one run meanwhile. */
void tni_trino_slot_release(struct tn_trino *trino);
void tni_trino_slot_acquire(struct tn_trino *trino);

/* trino_run.c: runs the statement to its end. False: an inline try that must go to the pool. */
bool tni_trino_run(struct tni_trino_query *query);

/* trino_session.c: statements that only change the client's session, and those of the protocol.
 * ret_is_done: it was one of them and has run; `text` may be replaced by what must run. */
enum tn_status tni_trino_session_run(struct tni_trino_query *query, struct tn_rows *rows,
                                     bool *ret_is_done, struct tn_err *err);

/* trino_tx.c */
enum tn_status tni_trino_tx_start(struct tn_trino *trino, char id[40], struct tn_err *err);
/* Was it aborted (and known)? */
bool tni_trino_tx_end(struct tn_trino *trino, const char *id);
/* May a statement run in it? is_end: COMMIT or ROLLBACK. */
enum tn_status tni_trino_tx_check(struct tn_trino *trino, const char *id, bool is_end,
                                  struct tn_err *err);
void tni_trino_tx_abort(struct tn_trino *trino, const char *id);

/* trino_doc.c: documents; query->lock held. */
void tni_trino_doc_post(struct tni_trino_query *query, struct tn_buf *buf);
void tni_trino_doc_page(struct tni_trino_query *query, const struct tni_trino_page *page,
                        bool is_last, struct tn_buf *buf);
void tni_trino_doc_info(struct tni_trino_query *query, bool is_full, struct tn_buf *buf);
const char *tni_trino_state_name(enum tni_trino_state state);

/* trino_type.c: "columns":[…] */
void tni_trino_columns(struct tn_buf *buf, const struct tn_schema *schema, bool has_datetime);
/* trino_value.c: one cell as JSON. */
void tni_trino_cell(struct tn_buf *buf, const struct tn_column *col, uint32_t row,
                    bool has_datetime);

/* trino_error.c */
struct tni_trino_error {
    const char *name, *type;
    int code;
};
/* Trino's name, type and code of an error. */
struct tni_trino_error tni_trino_error_of(const struct tn_err *err);
/* "line 1:8: Column 'x' cannot be resolved" */
void tni_trino_error_text(const struct tn_err *err, struct tn_buf *buf);

#endif
