/* Private parts of the HTTP surface of the database, shared by sql/http_sql*.c. See http_sql.h for
 * the contract.
 *
 * A request becomes a job. A job runs in one of three places:
 *   inline  on the polling thread, when statements of its shape were short before; with a deadline
 * of a few ms, after which it is thrown away and runs again in the pool (it is a query: nothing has
 * happened) pool    on one of a fixed number of statement threads, behind a bounded queue push on a
 * thread of its own: push queries run until their reader leaves
 *
 * Ownership: a job is freed by the thread that finishes it. It holds its request until the reply is
 * decided: a buffered answer completes it at the end, a long answer becomes a stream and completes
 * it at once.
 */
#ifndef TN_SQL_HTTP_SQL_INT_H
#define TN_SQL_HTTP_SQL_INT_H

#include <pthread.h>
#include <stdatomic.h>

#include "connectors/http_probes.h"
#include "sql/http_sql.h"
#include "sql/writers.h"

#define TNI_SQL_SHAPES       2048u               /* power of two */
#define TNI_SQL_INLINE_NS    ((int64_t)1000000)  /* shapes shorter than this run inline */
#define TNI_SQL_INLINE_MAX   ((int64_t)5000000)  /* and are given up after this */
#define TNI_SQL_BUFFER_BYTES ((size_t)256 << 10) /* an answer longer than this is streamed */
#define TNI_SQL_STREAM_BYTES ((size_t)1 << 20)   /* queue of a streamed answer */
#define TNI_SQL_SSE_BYTES    ((size_t)256 << 10)

enum tni_job_place { TNI_JOB_INLINE, TNI_JOB_POOL, TNI_JOB_PUSH };

struct tni_sql_job {
    struct tn_http_sql *http;
    struct tn_http_request *req; /* NULL once completed */
    struct tni_sql_job *next;    /* queue */
    enum tni_job_place place;
    char *text; /* owned */
    size_t text_len;
    char *user;
    struct tn_session session;
    struct tn_budget budget;
    enum tn_result_format format;
    bool is_sse, is_fresh, is_push;
    uint32_t shape;
    int64_t started_ns;
    struct tn_http_stream *stream; /* the answer is streamed */
    int error_status;              /* 0 = from the error */
    bool is_overflow;              /* inline answer is too long for the buffer */
    enum tn_statement_class class;
    struct tn_byte_sink sink;
    struct tn_rows sse_rows;
    struct tn_buf event; /* SSE text of one batch */
    int64_t rows_count;
};

struct tni_push_thread {
    pthread_t thread;
    struct tni_push_thread *next;
    atomic_bool is_over;
};

struct tni_sql_metrics {
    struct tn_metric *statements[5]; /* by enum tn_statement_class */
    struct tn_metric *failed, *cancelled, *ns, *queued, *inlined, *retried, *pushes;
};

struct tni_resolver {
    struct tn_ingest_resolver base; /* first member */
    struct tn_db *db;
};

struct tn_http_sql {
    struct tn_http_sql_config config;
    struct tn_http_server *server;
    struct tni_resolver resolver;
    struct tn_ingest *ingest;
    struct tn_http_probes *probes;
    struct tni_sql_metrics m;
    _Atomic uint64_t shapes[TNI_SQL_SHAPES]; /* tag in the upper, mean ns in the lower half */

    pthread_mutex_t lock; /* all below */
    pthread_cond_t work;
    struct tni_sql_job *first, *last;
    int queue_count, queue_max;
    bool is_over;
    pthread_t *threads;
    int threads_count;
    struct tni_push_thread *pushes;
};

/* http_sql_run.c: runs the job to its reply; false: an inline job that must run again in the pool.
 */
bool tni_sql_job_run(struct tni_sql_job *job);
void tni_sql_job_free(struct tni_sql_job *job);
void tni_sql_job_cancel(void *job); /* its client has left */

/* http_sql_pool.c */
enum tn_status tni_sql_pool_start(struct tn_http_sql *http, struct tn_err *err);
void tni_sql_pool_stop(struct tn_http_sql *http);
/* Takes over the job. TN_E_LIMIT: the queue is full, the job is still the caller's. */
enum tn_status tni_sql_pool_add(struct tn_http_sql *http, struct tni_sql_job *job,
                                struct tn_err *err);
enum tn_status tni_sql_push_start(struct tn_http_sql *http, struct tni_sql_job *job,
                                  struct tn_err *err);
/* Statements that differ only in literals and white space have one shape. */
uint32_t tni_sql_shape(struct tn_str text);
/* Is it known to be short? */
bool tni_sql_shape_is_short(const struct tn_http_sql *http, uint32_t shape);
void tni_sql_shape_took(struct tn_http_sql *http, uint32_t shape, int64_t ns);
/* Does the text hold EMIT CHANGES outside of quotes and comments? */
bool tni_sql_is_push(struct tn_str text);

/* http_sql_targets.c */
void tni_sql_resolver_init(struct tni_resolver *resolver, struct tn_db *db);

#endif
