/* Where the rows of a statement go. Every executor and every administrative statement pushes
 * batches into one of these; writers (JSON, NDJSON, CSV, Trino pages, the shell's table) implement
 * it.
 *
 * Calls: columns once, then batch any number of times, on the statement's thread; the caller of the
 * executor knows success or failure from the returned status. A writer returns TN_E_CANCELLED when
 * its client has gone, TN_AGAIN is not used: a slow client blocks its own statement (bounded by the
 * reader stall limit).
 *
 * Ownership: batches are valid during the call.
 */
#ifndef TN_SQL_RESULT_H
#define TN_SQL_RESULT_H

#include "stream/batch.h"

struct tn_rows {
    enum tn_status (*columns)(struct tn_rows *rows, const struct tn_schema *schema,
                              struct tn_err *err);
    enum tn_status (*batch)(struct tn_rows *rows, const struct tn_batch *batch, struct tn_err *err);
};

/* Deadline, cancellation and memory of one running statement; checked by executors once a batch and
 * by SQLite's progress handler. */
struct tn_budget {
    int64_t deadline_ns;          /* monotonic; 0 = none */
    int64_t rows_max;             /* result rows; 0 = none */
    int64_t memory_bytes_max;     /* 0 = none */
    _Atomic int64_t memory_bytes; /* charged now */
    _Atomic bool is_cancelled;    /* set by any thread */
    bool is_local;                /* asks no other process: ends with TN_E_TIMEOUT instead */
    struct tn_clock *clock;
};

/* TN_OK, or TN_E_TIMEOUT / TN_E_CANCELLED / TN_E_NOMEM with the limit and the option named. */
enum tn_status tn_budget_check(struct tn_budget *budget, struct tn_err *err);
enum tn_status tn_budget_charge(struct tn_budget *budget, int64_t bytes, struct tn_err *err);

#endif
