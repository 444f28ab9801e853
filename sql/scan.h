/* One way to read any table: KTables as of the statement's pin, declared tables, log topics
 * (streams), system tables.
 *
 * Scan schema. The columns of a scan are the object's columns, then one column per pseudo-column in
 * the order of enum tn_pseudo: column `object->schema->fields_count + pseudo`. Columns that are not
 * needed, or that the object does not have, are absent in its batches.
 *
 * Predicates are hints: a scan may leave out rows that fail one of them, and need not. Whoever
 * asked checks again. They make key look-ups and ranges cheap on KTables, and skip partitions and
 * offsets of logs.
 *
 * What is read: KTables as of the pin of the statement (one for all its scans); logs from their
 * start to the visible end as it was when the statement first opened that topic.
 *
 * Ownership: a batch is valid until the next call. @thread one statement, one thread
 */
#ifndef TN_SQL_SCAN_H
#define TN_SQL_SCAN_H

#include "sql/exec.h"

#define TNI_TSCAN_PSEUDOS   9
#define TNI_TSCAN_PREDS_MAX 32
#define TNI_TSCAN_KEYS_MAX  10000 /* keys of one IN list that are looked up instead of scanned */

struct tni_partial; /* sql/members_partial.h */

/* values_count > 0: column = one of values (never NULL). Else a range; NULL bound = open. Values
 * have the type of the column. A pred with is_none matches no row (x = NULL, x IN ()). */
struct tni_pred {
    int column; /* of the scan schema */
    bool is_none;
    uint32_t values_count;
    const struct tn_value *values;
    const struct tn_value *low, *high;
    bool is_low_strict, is_high_strict;
};

struct tni_tscan_spec {
    const struct tn_object *object;
    const bool *needed; /* by scan column; NULL = all */
    uint32_t preds_count;
    const struct tni_pred *preds;
    /* Of rows at other processes only the states of these aggregates are wanted, with
     * tni_tscan_next_states after the rows that are here; NULL = the rows. */
    const struct tni_partial *partial;
};

struct tni_tscan;

struct tni_tscan_type {
    enum tn_status (*next)(struct tni_tscan *scan, struct tn_batch **ret_batch, struct tn_err *err);
    void (*close)(struct tni_tscan *scan);
};

struct tni_tscan {
    const struct tni_tscan_type *type;
    struct tni_exec_ctx *ctx;
    const struct tn_schema *schema;
};

/* The scan schema of an object, in `arena`. */
const struct tn_schema *tni_tscan_schema(const struct tn_object *object, struct tn_arena *arena);
/* Scan column of a pseudo-column. */
static inline int tni_tscan_pseudo(const struct tn_object *object, enum tn_pseudo pseudo)
{
    return (int)object->schema->fields_count + (int)pseudo;
}

enum tn_status tni_tscan_open(struct tni_exec_ctx *ctx, const struct tni_tscan_spec *spec,
                              struct tni_tscan **ret_scan, struct tn_err *err);
/* Next batch with at least one row; TN_END. Checks the budget. */
enum tn_status tni_tscan_next(struct tni_tscan *scan, struct tn_batch **ret_batch,
                              struct tn_err *err);
/* Batches of spec->partial->schema; TN_END. Of a KTable, after TN_END of its rows. */
enum tn_status tni_tscan_next_states(struct tni_tscan *base, struct tn_batch **ret_batch,
                                     struct tn_err *err);
void tni_tscan_close(struct tni_tscan *scan); /* NULL is a no-op */
/* Rows a full scan gives, roughly; for choosing plans. */
int64_t tni_tscan_rows_estimate(struct tni_exec_ctx *ctx, const struct tn_object *object);
/* One line of EXPLAIN: "KTable songs: key look-up (1 key)", "topic plays: …". */
void tni_tscan_explain(struct tni_exec_ctx *ctx, const struct tni_tscan_spec *spec,
                       struct tn_buf *buf);
/* Does the spec name full keys of a KTable (point look-up)? */
bool tni_tscan_is_lookup(const struct tni_tscan_spec *spec);

/* ---- predicates of a condition ---- */

/* Split `where` at its top-level ANDs into `ret_terms` (room for terms_max); returns the count, or
 * 0 when there are more than terms_max. */
uint32_t tni_terms(struct tn_expr *where, struct tn_expr **ret_terms, uint32_t terms_max);
/* Are the preds_count predicates of tni_preds_of(where) all that it says? */
bool tni_preds_say_all(struct tn_expr *where, uint32_t preds_count);
/* The predicates on columns of relation `rel` that `where` implies: comparisons with constants, IN,
 * BETWEEN, LIKE with a fixed prefix, IS NULL left out. Pseudo-columns are given as scan columns. */
void tni_preds_of(const struct tn_expr *where, int rel, const struct tn_object *object,
                  struct tn_arena *arena, struct tni_pred **ret_preds, uint32_t *ret_count);

#endif
