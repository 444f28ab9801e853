/* Operators of the native executor: a tree of pull iterators over column batches. Folder-private.
 *
 *   scan → compute (filter, then expressions) → aggregate → compute → distinct → sort → limit
 *
 * A batch is valid until the next call of the operator that gave it. Every operator takes ownership
 * of its inputs.
 *
 * Ownership: operators are heap memory, descriptions live in the statement's arena. What an
 * operator keeps is charged to the budget. @thread one statement, one thread */
#ifndef TN_SQL_EXEC_OP_H
#define TN_SQL_EXEC_OP_H

#include "sql/exec_expr.h"
#include "sql/scan.h"

struct tni_op;

struct tni_op_type {
    const char *name;
    enum tn_status (*next)(struct tni_op *op, struct tn_batch **ret_batch, struct tn_err *err);
    void (*close)(struct tni_op *op); /* not its input */
    void (*explain)(const struct tni_op *op, struct tn_buf *buf);
};

struct tni_op {
    const struct tni_op_type *type;
    struct tni_exec_ctx *ctx;
    const struct tn_schema *schema;
    struct tni_op *input;   /* NULL for sources */
    struct tni_op *input_2; /* union */
    int64_t charged;
};

/* TN_END after the last batch; batches have at least one row. */
enum tn_status tni_op_next(struct tni_op *op, struct tn_batch **ret_batch, struct tn_err *err);
void tni_op_close(struct tni_op *op); /* with its inputs; NULL is a no-op */
/* Charge what the operator holds now. */
enum tn_status tni_op_charge(struct tni_op *op, size_t bytes, struct tn_err *err);
/* Limit of an arena of this statement; 0 = none. */
size_t tni_memory_max(const struct tni_exec_ctx *ctx);
/* One line an operator, inputs indented below. */
void tni_op_explain(const struct tni_op *op, int depth, struct tn_buf *buf);

/* Opens the scan at the first next. The spec is borrowed from the statement's arena. */
struct tni_op *tni_op_scan(struct tni_exec_ctx *ctx, const struct tni_tscan_spec *spec);
/* rows_count rows of expressions without columns; 1 row of no columns for SELECT without FROM. */
enum tn_status tni_op_values(struct tni_exec_ctx *ctx, const struct tn_schema *schema,
                             uint32_t rows_count, struct tn_expr *const *const *rows,
                             struct tni_op **ret_op, struct tn_err *err);
/* filter may be NULL. schema has exprs_count columns. On failure the input is closed. */
enum tn_status tni_op_compute(struct tni_op *input, const struct tn_expr *filter,
                              const struct tn_schema *schema, struct tn_expr *const *exprs,
                              struct tni_op **ret_op, struct tn_err *err);
/* Input: keys_count key columns, then for each call its arguments, then its filter if it has one.
 * Output: keys, then one column a call. Without keys there is always one row. */
struct tni_agg_spec {
    struct tn_agg_call call;
    bool has_filter;
};
struct tni_op *tni_op_group(struct tni_op *input, const struct tn_schema *schema,
                            uint32_t keys_count, uint32_t aggs_count,
                            const struct tni_agg_spec *aggs,
                            struct tni_op *states); /* scan that has them; NULL = none */
/* From now on the scan gives rows that are here only, and the states of the aggregates that others
 * made. partial as members_partial.h says. */
void tni_op_scan_partial(struct tni_op *base, const struct tni_partial *partial);
const struct tni_tscan_spec *tni_op_scan_spec(const struct tni_op *base);
/* After the last row: batches of states; TN_END. */
enum tn_status tni_op_scan_states(struct tni_op *base, struct tn_batch **ret_batch,
                                  struct tn_err *err);
/* Rows that differ in their first columns_count columns, the first of each, in order of arrival. */
struct tni_op *tni_op_distinct(struct tni_op *input, uint32_t columns_count);

struct tni_sort_key {
    uint32_t column;
    bool is_desc, is_nulls_first;
};
/* Stable. rows_max: only the first rows_max rows are wanted; INT64_MAX = all. */
struct tni_op *tni_op_sort(struct tni_op *input, uint32_t keys_count,
                           const struct tni_sort_key *keys, int64_t rows_max);
/* limit −1 = none. */
struct tni_op *tni_op_limit(struct tni_op *input, int64_t limit, int64_t offset);
/* Only the first columns of the input, under another schema. */
struct tni_op *tni_op_rename(struct tni_op *input, const struct tn_schema *schema);
struct tni_op *tni_op_union(struct tni_op *left, struct tni_op *right,
                            const struct tn_schema *schema);

/* Plan a query for the native executor. TN_E_UNSUPPORTED: outside its shape, *ret_why says what
 * (static text). */
enum tn_status tni_native_plan(struct tni_exec_ctx *ctx, const struct tn_query *query,
                               struct tni_op **ret_op, const char **ret_why, struct tn_err *err);

#endif
