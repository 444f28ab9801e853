/* Bound expressions, and their compiled form that runs over columns.
 *
 * A bound expression is a typed tree made by the binder (sql/) in a statement arena; rules
 * (`stream` or `query`) are already written into it: a node names its kernel, nothing below asks
 * which rule set is in force. tn_expr_compile turns a tree into a flat step array with numbered
 * registers (PostgreSQL's executor README); tn_program_run evaluates it over a batch without
 * recursion or per-row calls.
 *
 * Errors per row. A kernel that fails for a row (division by zero, bad cast, overflow) marks the
 * row in the register's error bitmap and sets it NULL; AND, OR, CASE, COALESCE, IF and TRY choose
 * which operand's errors survive. At the end the caller decides: stream rules count them and keep
 * NULL (or drop the row in WHERE), query rules raise the first one. So `CASE WHEN x <> 0 THEN 1/x
 * END` never fails in either.
 *
 * Ownership: bound trees and programs are immutable after their making and may be shared by
 * threads; a struct tn_scratch is per thread. @thread any
 */
#ifndef TN_STREAM_EXPR_H
#define TN_STREAM_EXPR_H

#include "stream/batch.h"

struct tn_func; /* stream/func.h */
struct tn_agg;  /* stream/agg.h */

enum tn_rules { TN_RULES_STREAM, TN_RULES_QUERY };

enum tn_expr_kind {
    TN_E_CONST,  /* value */
    TN_E_COLUMN, /* rel, column */
    TN_E_CALL,   /* func, args: every operator, cast and function */
    TN_E_AND, /* args[2…]; query rules: three-valued; stream rules: NULL operands count as false */
    TN_E_OR,
    TN_E_NOT,
    TN_E_CASE, /* args = when1, then1, when2, then2 … [else]; searched form only; is_flag = has else
                */
    TN_E_COALESCE,
    TN_E_TRY,    /* args[0]; errors become NULL */
    TN_E_IN,     /* args[0] in constants or expressions args[1…]; is_flag = NOT IN */
    TN_E_LAMBDA, /* args[0] = body, of type `type`; its parameters are columns column …
                  * column + rel - 1 of relation TN_REL_LAMBDA (a nested lambda counts on from
                  * the one around it, so that inner bodies can name outer parameters) */
    /* not evaluable over a batch; lowered by a planner before compilation: */
    TN_E_AGG,      /* agg, args, filter, is_flag = DISTINCT */
    TN_E_WINDOW,   /* window function: SQLite path only; func_name, args, window (opaque to stream/)
                    */
    TN_E_SUBQUERY, /* scalar, IN or EXISTS subquery: SQLite path only; sub (opaque to stream/) */
    TN_E_PSEUDO /* ROWTIME, ROWPARTITION, ROWOFFSET, WINDOWSTART, WINDOWEND: column = enum tn_pseudo
                 */
};

enum tn_pseudo {
    TN_PSEUDO_ROWTIME,
    TN_PSEUDO_ROWPARTITION,
    TN_PSEUDO_ROWOFFSET,
    TN_PSEUDO_WINDOWSTART,
    TN_PSEUDO_WINDOWEND,
    TN_PSEUDO_HEADERS,
    TN_PSEUDO_PATH, /* of zone tables: "$path", "$file_modified_time", "$file_size" */
    TN_PSEUDO_FILE_TIME,
    TN_PSEUDO_FILE_SIZE
};

#define TN_REL_LAMBDA     (-1) /* columns of this relation are lambda parameters */
#define TN_EXPR_DEPTH_MAX 100
#define TN_EXPR_NODES_MAX 50000

struct tn_expr {
    enum tn_expr_kind kind;
    const struct tn_type *type;
    int line, col;       /* position in the statement, for errors */
    bool is_flag;        /* meaning by kind */
    enum tn_rules rules; /* AND, OR, NOT, IN, CASE: which logic */
    uint32_t args_count;
    struct tn_expr **args;
    const struct tn_func *func; /* CALL */
    const struct tn_agg *agg;   /* AGG */
    struct tn_expr *filter;     /* AGG: FILTER (WHERE …) */
    struct tn_value value;      /* CONST */
    int rel, column; /* COLUMN: relation number (0 in streams and native scans) and column index */
    const void *sub; /* SUBQUERY, WINDOW: sql/ structure */
    struct tn_str name; /* column or function spelling, for EXPLAIN and generated names */
};

/* A compiled program. All columns must be of relation 0. */
struct tn_program;

struct tn_row_error {
    enum tn_status code;
    int line, col;
    const char *name; /* SQL error name; static */
    char message[160];
};

/* Result of one program over one batch. */
struct tn_result {
    struct tn_column col;
    uint8_t *errors; /* bitmap of failed rows; NULL = none failed */
    uint32_t errors_count;
    uint32_t error_row;        /* row of `error` */
    struct tn_row_error error; /* the first one (lowest row), when errors_count > 0 */
};

/* Compile `expr`; the program lives in `arena` and borrows the tree. Fails with TN_E_UNSUPPORTED
 * (naming the construct and its position) for AGG, WINDOW and SUBQUERY nodes. */
enum tn_status tn_expr_compile(const struct tn_expr *expr, struct tn_arena *arena,
                               struct tn_program **ret_program, struct tn_err *err);

/* Evaluate over all rows of `batch`. Result buffers live in `arena`; a plain column reference is
 * returned without a copy. PSEUDO columns read the batch's hidden columns. */
void tn_program_run(const struct tn_program *program, const struct tn_batch *batch,
                    struct tn_arena *arena, struct tn_result *ret_result);

/* Rows where a BOOLEAN result is true and not failed: fills rows[] (batch->rows_count slots),
 * returns count. */
uint32_t tn_result_select(const struct tn_result *result, uint32_t *rows);

/* Evaluate an expression without columns now (literal folding). NULL result has is_null set. */
enum tn_status tn_expr_fold(const struct tn_expr *expr, struct tn_arena *arena,
                            struct tn_value *ret_value, struct tn_err *err);

/* Structural equality (GROUP BY matching, statement no-op check). */
bool tn_expr_eq(const struct tn_expr *a, const struct tn_expr *b);
/* Mark the columns of relation `rel` that the tree reads: mask[column] = true. */
void tn_expr_columns(const struct tn_expr *expr, int rel, bool *mask);
/* SQL-like text for EXPLAIN. */
void tn_expr_print(const struct tn_expr *expr, struct tn_buf *buf);

#endif
