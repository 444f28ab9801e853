/* Files of a zone table decoded ahead of the scan by several threads. Folder-private.
 *
 * The wanted files that are not in memory are cut into units: ranges of whole lines of a plain
 * NDJSON file, or a whole file. Workers take units in order, at most a window ahead of the scan,
 * and keep each as columns; the scan takes them in the same order, so the order of rows does not
 * depend on the number of threads. A large file that cannot be cut (compressed, CSV) comes in
 * pieces, of which a few are ahead of the scan.
 *
 * Ownership: the scan owns the pool. @thread new, take, free: the statement's */
#ifndef TN_SQL_ZONE_POOL_H
#define TN_SQL_ZONE_POOL_H

#include "connectors/file_scan.h"
#include "sql/zone_files.h"

struct tni_zone_pool;

struct tni_zone_job {
    struct tni_exec_ctx *ctx;
    const struct tn_zone_table *zone;
    struct tni_zone_files *files;
    const bool *is_wanted; /* NULL = all */
    const bool *needed;    /* stored columns */
    uint64_t layout;
    int64_t growing_after_ms; /* files changed later may still be written to */
    int64_t expanded_max;
};

/* What a worker made of one unit, or of the next piece of it. */
struct tni_zone_unit {
    uint32_t file;
    int64_t from, to;       /* from = 0: nothing of the file came before */
    bool is_whole, is_last; /* of its file */
    enum tn_status st;
    struct tn_err err;
    struct tni_zone_cols *cols; /* pinned; the taker's */
    struct tn_file_scan_counts counts;
    bool is_done;
    struct tni_zone_stream *stream; /* it comes in pieces; NULL = at once */
};

/* NULL: not worth it, the scan reads everything itself. */
struct tni_zone_pool *tni_zone_pool_new(const struct tni_zone_job *job);
/* Is the next unit one of this file? */
bool tni_zone_pool_has(const struct tni_zone_pool *pool, uint32_t file);
/* Waits for the next unit, which has its own status and is valid until the next call. Fails when
 * the budget is over. */
enum tn_status tni_zone_pool_take(struct tni_zone_pool *pool, struct tn_budget *budget,
                                  struct tni_zone_unit **ret_unit, struct tn_err *err);
void tni_zone_pool_free(struct tni_zone_pool *pool); /* NULL is a no-op */

#endif
