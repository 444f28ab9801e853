/* Aggregates that other processes begin: each groups the rows of its own partitions and sends, per
 * group, the key and the states of the aggregates; the asker merges them with its own.
 *
 * Only where it gives the same bytes as all rows would: groups and arguments are columns of the
 * table, the aggregates' merge is exact (tn_agg_is_exact), the condition is comparisons of columns
 * with constants and nothing else.
 *
 * Ownership: a partial lives in the arena it was made in. @thread one at a time
 */
#ifndef TN_SQL_MEMBERS_PARTIAL_H
#define TN_SQL_MEMBERS_PARTIAL_H

#include "sql/exec_op.h"
#include "stream/hashagg.h"

#define TNI_PARTIAL_ARGS       4
#define TNI_PARTIAL_VALUES_MAX 10000u /* of one predicate */

/* All columns are those of the engine's schema of the table. */
struct tni_partial {
    uint32_t keys_count, aggs_count, preds_count;
    const uint32_t *keys;
    const struct tn_agg_call *aggs;
    const uint32_t *args;           /* TNI_PARTIAL_ARGS an aggregate */
    const struct tni_pred *preds;   /* a row that fails one does not count */
    const struct tn_schema *schema; /* of what travels: the keys, the states as bytes */
};

/* Of an aggregation over a scan: exprs are the groups, then the arguments of each aggregate. NULL:
 * the rows have to travel. In the statement's arena. */
const struct tni_partial *tni_partial_plan(struct tni_exec_ctx *ctx,
                                           const struct tni_tscan_spec *spec, struct tn_expr *where,
                                           uint32_t keys_count, struct tn_expr *const *exprs,
                                           uint32_t aggs_count, const struct tni_agg_spec *aggs);

/* What travels: the keys, the states of all aggregates as bytes. In the arena. */
const struct tn_schema *tni_partial_schema(const struct tn_type **key_types, uint32_t keys_count,
                                           struct tn_arena *arena);
/* One of the constants, all of one type; NULL = it has none. */
const struct tn_value *tni_partial_value(const struct tni_pred *pred);
/* What is asked, as bytes, and back: bound again to the columns of `schema`. */
void tni_partial_add(struct tn_buf *buf, const struct tni_partial *partial);
enum tn_status tni_partial_read(struct tn_str bytes, const struct tn_schema *schema,
                                struct tn_arena *arena, struct tni_partial **ret_partial,
                                struct tn_err *err);

/* The side that answers: a table of groups, rows of the engine into it, its groups as batches. */
struct tn_hashagg *tni_partial_hash(const struct tni_partial *partial);
enum tn_status tni_partial_take(const struct tni_partial *partial, struct tn_hashagg *hash,
                                const struct tn_batch *batch, struct tn_arena *arena,
                                struct tn_err *err);
enum tn_status tni_partial_print(const struct tni_partial *partial, struct tn_hashagg *hash,
                                 struct tn_buf *buf, struct tn_err *err);

/* The side that asked: a batch of partial->schema into its groups. */
enum tn_status tni_partial_merge(struct tn_hashagg *hash, const struct tn_batch *batch,
                                 struct tn_err *err);

#endif
