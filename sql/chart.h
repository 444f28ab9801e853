/* A two-column result as a bar chart of text: what `tarn demo` prints at its end. */
#ifndef TN_SQL_CHART_H
#define TN_SQL_CHART_H

#include <stdio.h>
#include "sql/db.h"

/* Runs `text` (label VARCHAR, number BIGINT) and prints one bar a row and the sum. */
enum tn_status tn_chart_print(struct tn_db *db, const char *text, FILE *out, struct tn_err *err);

#endif
