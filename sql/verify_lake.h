/* tarn verify, lake part: proves that topics, table logs and files of sinks agree.
 * @thread the caller's; sinks must not be running
 */
#ifndef TN_SQL_VERIFY_LAKE_H
#define TN_SQL_VERIFY_LAKE_H

#include <stdio.h>
#include "sql/db.h"

/* For every sink: the table log has no gap; its ranges follow each other; each file is there with
 * the size and checksum of the log and as many rows; nothing lies in the table's folder that no
 * entry names; the files hold as many rows as the topic has records in the ranges. Prints one line
 * a sink and one per difference (the first 20). */
enum tn_status tn_verify_lake(struct tn_db *db, struct tn_object_stores *stores, struct tn_log *log,
                              FILE *out, int64_t *ret_differences, struct tn_err *err);

#endif
