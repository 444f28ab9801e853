/* Compiled form of expressions, private to stream/: steps, registers and what kernels of functions
 * with lambdas need.
 *
 * A program is a list of steps in evaluation order; each writes one register and reads earlier
 * ones. A register is a column, or one row that stands for all of them (is_const), with the bitmap
 * of failed rows. Registers are written once, so equal subtrees share one.
 *
 * Ownership: programs live in the arena they were compiled in and are read-only; registers live in
 * the arena of one run. @thread programs any, registers the running thread
 */
#ifndef TN_STREAM_EXPR_INT_H
#define TN_STREAM_EXPR_INT_H

#include "stream/expr.h"
#include "stream/func.h"

#define TNI_NO_ROW UINT32_MAX

struct tni_reg {
    struct tn_column col; /* rows_count 1 when is_const */
    bool is_const;
    uint8_t *errors;                  /* over col.rows_count rows; NULL = none */
    const struct tn_row_error *error; /* of row error_row; NULL = not known */
    uint32_t error_row;
};

enum tni_step_kind {
    TNI_STEP_COLUMN, /* column of the batch */
    TNI_STEP_PARAM,  /* lambda parameter */
    TNI_STEP_PSEUDO,
    TNI_STEP_CALL,
    TNI_STEP_AND,
    TNI_STEP_OR,
    TNI_STEP_NOT,
    TNI_STEP_CASE,
    TNI_STEP_COALESCE,
    TNI_STEP_TRY,
    TNI_STEP_IN
};

struct tni_in_set;

/* A lambda argument, compiled. */
struct tni_lambda {
    const struct tn_program *program; /* NULL: this argument is no lambda */
    int param_first;
    int params_count;
};

struct tni_step {
    enum tni_step_kind kind;
    const struct tn_expr *expr;
    uint32_t dst;
    uint32_t args_count;
    const uint32_t *args;             /* registers; unused entries for lambda arguments */
    const struct tni_lambda *lambdas; /* CALL: by argument; NULL when it has none */
    const struct tni_in_set *set;     /* IN over constants */
};

struct tn_program {
    const struct tn_expr *expr;
    uint32_t steps_count, regs_count;
    const struct tni_step *steps;
    const struct tni_reg *regs_init; /* constants in place, the rest zeroed */
    uint32_t root;                   /* register of the result */
};

/* What a program reads. */
struct tni_env {
    const struct tn_batch *batch;
    uint32_t rows_count;
    const struct tn_column *params; /* lambda parameters by number */
    uint32_t params_count;
    struct tn_arena *arena;
};

/* Run without finishing: the register may be constant and keeps errors. */
void tni_program_eval(const struct tn_program *program, const struct tni_env *env,
                      struct tni_reg *ret_reg);
/* rows_count copies of a one-row column. */
void tni_broadcast(const struct tn_column *in, uint32_t rows_count, struct tn_column *out,
                   struct tn_arena *arena);
/* Bytes of words, zeroed. */
uint8_t *tni_bits_new(uint32_t rows_count, struct tn_arena *arena);
uint32_t tni_bits_count(const uint8_t *bits, uint32_t rows_count);
/* First set bit below rows_count, TNI_NO_ROW when there is none. */
uint32_t tni_bits_first(const uint8_t *bits, uint32_t rows_count);

/* expr_logic.c: steps that choose between operands. */
void tni_step_logic(const struct tni_step *step, struct tni_reg *regs, const struct tni_env *env);
void tni_step_not(const struct tni_step *step, struct tni_reg *regs, const struct tni_env *env);
void tni_step_case(const struct tni_step *step, struct tni_reg *regs, const struct tni_env *env);
void tni_step_coalesce(const struct tni_step *step, struct tni_reg *regs,
                       const struct tni_env *env);
void tni_step_in(const struct tni_step *step, struct tni_reg *regs, const struct tni_env *env);
/* The set of an IN list whose members are all constants; NULL when it is short enough for a loop.
 */
const struct tni_in_set *tni_in_set_new(const struct tn_expr *expr, struct tn_arena *arena);

/* Lambda argument `arg` of the running call over `items_count` items: parents[i] is the row of the
 * call that item i belongs to, params the columns of its parameters. Errors of items fail their
 * rows in call->out. */
void tni_lambda_run(struct tn_call *call, uint32_t arg, const struct tn_column *params,
                    const uint32_t *parents, uint32_t items_count, struct tn_column *ret_col);

#endif
