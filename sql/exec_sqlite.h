/* SQLite path: a pool of in-memory connections, and running a generated statement on one of them.
 * Only text made by sql/gen_sqlite.c from a bound tree reaches SQLite.
 *
 * Ownership: the pool owns idle connections; a running statement owns one. @thread pool: any
 */
#ifndef TN_SQL_EXEC_SQLITE_H
#define TN_SQL_EXEC_SQLITE_H

#include "sql/exec.h"

struct tni_sqlite_pool;

/* `idle_max` connections are kept when their statement ends. */
enum tn_status tni_sqlite_pool_open(int idle_max, struct tni_sqlite_pool **ret_pool,
                                    struct tn_err *err);
void tni_sqlite_pool_close(
    struct tni_sqlite_pool *pool); /* NULL is a no-op; no statement may run */

enum tn_status tni_sqlite_run(struct tni_exec_ctx *ctx, const struct tn_query *query,
                              struct tn_rows *rows, struct tn_err *err);
/* Generated SQL and its plan notes, for EXPLAIN. */
enum tn_status tni_sqlite_explain(struct tni_exec_ctx *ctx, const struct tn_query *query,
                                  struct tn_buf *buf, struct tn_err *err);

#endif
