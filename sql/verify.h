/* tarn verify: proves that logs, tables, changelogs and positions of a state folder agree.
 *
 * The engine under proof is restored but reads no input (tn_db_config.is_still), so that what was
 * committed is what is compared. For every query:
 *   recount    the same plan runs again in a second engine with an empty state, from the first
 *              record of its inputs to its committed positions; its table equals the live one. A
 *              second stage reads the repartition records that are in the log, and what the first
 *              stage writes again is compared with them.
 *   changelog  a third engine builds the table from its changelog and the committed positions.
 *   result     the result topic, folded (last value per key, tombstones delete), equals the live
 *              rows, byte for byte.
 *   positions  lie within their topics.
 *   joins      what a joining stage wrote is what it writes in some order of its inputs, where
 *              that can be told (verify_join.c).
 * What cannot be counted again (dropped records, sums over joined rows, random functions) is named
 * with its reason instead; such a recount may agree, but a difference is not held against the
 * table. Nothing is written to the folder's logs: the other engines write to a scratch store.
 *
 * Memory: the rows of one table, twice. @thread the caller's
 */
#ifndef TN_SQL_VERIFY_H
#define TN_SQL_VERIFY_H

#include <stdio.h>
#include "sql/db.h"

struct tn_verify_config {
    struct tn_db *db;
    struct tn_engine *engine; /* started; its queries paused */
    struct tn_log *log;
    struct tn_clock *clock;
    const struct tn_engine_config *engine_config; /* for the engines that count again */
    /* An empty store of its own for each of them; close gives it up. */
    enum tn_status (*scratch_open)(void *ctx, struct tn_log **ret_log, struct tn_state **ret_state,
                                   struct tn_err *err);
    void (*scratch_close)(void *ctx);
    void *ctx;
    FILE *out;
    FILE *progress; /* a line every few seconds of long work */
};

/* Prints lines per query and one per difference (the first 20 of a kind). */
enum tn_status tn_verify_run(const struct tn_verify_config *config, int64_t *ret_differences,
                             struct tn_err *err);

#endif
