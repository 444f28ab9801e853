/* The Trino client protocol, version 1: POST /v1/statement and the pages behind it, for Superset,
 * JDBC, the Trino CLI, Python's trino and the clients of Presto that speak the same documents.
 *
 * Opened beside the HTTP surface of the database (sql/http_sql.h), whose limits it shares.
 * @thread open and close: the owner; everything else is driven by the server
 */
#ifndef TN_SQL_TRINO_H
#define TN_SQL_TRINO_H

#include "sql/http_sql.h"

struct tn_trino;

/* Adds the routes (before tn_http_start). `http` outlives it. */
enum tn_status tn_trino_open(struct tn_http_sql *http, struct tn_trino **ret_trino,
                             struct tn_err *err);
/* After tn_http_stop. NULL is a no-op. */
void tn_trino_close(struct tn_trino *trino);

#endif
