/* Expressions as executors need them: rewriting bound trees for a batch, evaluating them with query
 * rules (the first failed row is an error). Folder-private.
 *
 * Ownership: results live in the arena given. @thread one statement, one thread */
#ifndef TN_SQL_EXEC_EXPR_H
#define TN_SQL_EXEC_EXPR_H

#include "sql/exec.h"
#include "stream/agg.h"

/* Returns the replacement of a node, NULL to keep it and go on with its operands; *ret_st stops the
 * walk. */
typedef struct tn_expr *(*tni_map_fn)(void *ctx, const struct tn_expr *expr,
                                      enum tn_status *ret_st);
/* Copy of `expr` with nodes replaced; nodes without replaced operands are shared, not copied. */
enum tn_status tni_expr_map(const struct tn_expr *expr, tni_map_fn map, void *ctx,
                            struct tn_arena *arena, struct tn_expr **ret_expr);
/* First node for which `test` is true, in prefix order; NULL = none. Does not enter subqueries. */
const struct tn_expr *tni_expr_find(const struct tn_expr *expr,
                                    bool (*test)(const struct tn_expr *expr));
/* A column reference to relation 0. */
struct tn_expr *tni_expr_column(struct tn_arena *arena, uint32_t column, const struct tn_type *type,
                                const struct tn_expr *like);
/* May evaluating it fail or differ between two evaluations of the same row? */
bool tni_expr_is_volatile(const struct tn_expr *expr);

/* One expression ready to run over batches of relation 0. Plain columns cost nothing. */
struct tni_eval {
    const struct tn_expr *expr;
    int column; /* ≥ 0: just this column */
    struct tn_program *program;
    bool is_sliced; /* with bulky parts: run over few rows at a time */
};
enum tn_status tni_eval_init(struct tni_eval *eval, const struct tn_expr *expr,
                             struct tn_arena *arena, struct tn_err *err);
/* Column of batch->rows_count rows; buffers in `arena` or the batch's. When the arena has a limit,
 * kernels stop there: TN_E_NOMEM. */
enum tn_status tni_eval_run(const struct tni_eval *eval, const struct tn_batch *batch,
                            struct tn_arena *arena, struct tn_column *ret_col, struct tn_err *err);
/* Rows for which a BOOLEAN expression is true → rows[]; returns the count. */
enum tn_status tni_eval_select(const struct tni_eval *eval, const struct tn_batch *batch,
                               struct tn_arena *arena, uint32_t *rows, uint32_t *ret_count,
                               struct tn_err *err);
/* The failure of a row as an error of the statement. */
enum tn_status tni_row_error(const struct tn_row_error *error, struct tn_err *err);

#endif
