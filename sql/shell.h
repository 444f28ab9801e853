/* The shell of `tarn sql`: statements from a terminal (libedit: editing, history, completion), a
 * pipe or --execute, run against a running tarn over HTTP. Results as a table on a terminal, as CSV
 * or NDJSON on request.
 * @thread the caller's
 */
#ifndef TN_SQL_SHELL_H
#define TN_SQL_SHELL_H

#include "stream/base/opt.h"
#include "stream/base/status.h"

struct tn_shell_config {
    const char *url;     /* --url; NULL: from <state>/endpoint */
    const char *state;   /* --state: folder whose `endpoint` file names the running tarn */
    const char *format;  /* table, csv, ndjson, json */
    const char *execute; /* one or more statements; NULL = standard input */
    bool is_fresh;       /* wait until everything acknowledged is visible */
};

extern const struct tn_opts tn_shell_opts;

/* Runs until end of input. Returns the exit status: 0, 1 when a statement failed, 2 for a bad
 * option. */
int tn_shell_run(const struct tn_shell_config *config);

#endif
