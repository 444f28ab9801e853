/* tarn verify: proves that logs, tables and changelogs agree.
 *
 * For every table that a query fills: (1) its result topic, folded (last value per key, tombstones
 * delete), equals the live rows, byte for byte after encoding; (2) every position lies within its
 * topic and nothing before it is missing. Each difference is one line naming table, partition and
 * key.
 * @thread the caller's; needs a running engine that has restored
 */
#ifndef TN_SQL_VERIFY_H
#define TN_SQL_VERIFY_H

#include <stdio.h>
#include "sql/db.h"

/* Waits until the engine has restored and drained its inputs, then compares. Prints one line per
 * table and one per difference (the first 20 of a table). */
enum tn_status tn_verify_run(struct tn_db *db, struct tn_engine *engine, struct tn_log *log,
                             FILE *out, int64_t *ret_differences, struct tn_err *err);

#endif
