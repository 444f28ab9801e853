/* HTTP surface of the database: POST /sql, GET /sql, GET /sql/stream, the ingest and event routes
 * bound to the catalog, /metrics, /healthz, /readyz, /v1/info.
 *
 * Statements known to be short run on the polling thread that read them; all others on a bounded
 * pool of statement threads. The client's leaving cancels its statement.
 * @thread open and close: the owner; everything else is driven by the server
 */
#ifndef TN_SQL_HTTP_SQL_H
#define TN_SQL_HTTP_SQL_H

#include "connectors/http_server.h"
#include "connectors/ingest.h"
#include "sql/db.h"

struct tn_http_sql;

struct tn_http_sql_config {
    struct tn_db *db;
    struct tn_engine *engine;
    struct tn_log *log;
    struct tn_clock *clock;
    struct tn_metrics *metrics;
    const struct tn_formats *formats;
    const char *application_id;
    const char *version;  /* TN_VERSION */
    int64_t timeout_ms;   /* sql.timeout.ms */
    int64_t memory_bytes; /* sql.memory.bytes */
    int64_t rows_max;
    int64_t statement_bytes_max; /* 0 = 64 KiB */
    int threads_count;           /* statement threads (sql.threads) */
    int queue_max;               /* statements waiting; 0 = 256; over it 503 */
};

/* Adds the routes to the server (before tn_http_start). Everything in config and the server outlive
 * it. */
enum tn_status tn_http_sql_open(const struct tn_http_sql_config *config,
                                struct tn_http_server *server, struct tn_http_sql **ret_http,
                                struct tn_err *err);
/* After tn_http_stop. NULL is a no-op. */
void tn_http_sql_close(struct tn_http_sql *http);

#endif
