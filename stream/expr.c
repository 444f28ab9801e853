/* Compilation of bound trees to step arrays.
 *
 * HOW IT WORKS: a post-order walk gives each node a register. Constants are one-row columns made
 * now; equal pure subtrees get the same register (bounded search); a lambda body becomes a program
 * of its own. Depth and node count are bounded by TN_EXPR_DEPTH_MAX and TN_EXPR_NODES_MAX, which
 * the parser enforces and this walk checks again.
 *
 * Ownership: everything in the arena given; the tree is borrowed. @thread any */
#include "stream/expr.h"

#include "stream/expr_int.h"

#define SHARE_STEPS_MAX 64 /* subtrees are looked up among this many steps */

struct compiler {
    struct tn_arena *arena;
    struct tn_err *err;
    uint32_t nodes_count;
    int depth;
    uint32_t steps_count, steps_cap;
    struct tni_step *steps;
    uint32_t regs_count, regs_cap;
    struct tni_reg *regs;
};

static enum tn_status compile_node(struct compiler *cc, const struct tn_expr *expr,
                                   uint32_t *ret_reg);

static void *grow(struct tn_arena *arena, const void *items, uint32_t count, uint32_t *io_cap,
                  size_t size)
{
    uint32_t cap = *io_cap ? *io_cap * 2 : 8;
    void *more = tn_arena_zalloc(arena, cap, size);
    if (count)
        memcpy(more, items, count * size);
    *io_cap = cap;
    return more;
}

static uint32_t new_reg(struct compiler *cc)
{
    if (cc->regs_count == cc->regs_cap)
        cc->regs = grow(cc->arena, cc->regs, cc->regs_count, &cc->regs_cap, sizeof *cc->regs);
    return cc->regs_count++;
}

static uint32_t add_step(struct compiler *cc, const struct tni_step *step)
{
    if (cc->steps_count == cc->steps_cap)
        cc->steps = grow(cc->arena, cc->steps, cc->steps_count, &cc->steps_cap, sizeof *cc->steps);
    uint32_t dst = new_reg(cc);
    cc->steps[cc->steps_count] = *step;
    cc->steps[cc->steps_count++].dst = dst;
    return dst;
}

static uint32_t add_const(struct compiler *cc, const struct tn_expr *expr)
{
    struct tn_value value = expr->value;
    value.type = expr->type;
    struct tn_colbuilder *builder = tn_colbuilder_new(expr->type, cc->arena);
    tn_colbuilder_add(builder, &value);
    uint32_t reg = new_reg(cc);
    cc->regs[reg] = (struct tni_reg){.is_const = true};
    tn_colbuilder_finish(builder, &cc->regs[reg].col);
    return reg;
}

static bool is_pure(const struct tn_expr *expr)
{
    if (expr->kind == TN_E_LAMBDA || (expr->func && expr->func->flags & TN_FN_VOLATILE))
        return false;
    for (uint32_t i = 0; i < expr->args_count; i++)
        if (!is_pure(expr->args[i]))
            return false;
    return true;
}

/* A step that already computes the same. */
static bool find_shared(const struct compiler *cc, const struct tn_expr *expr, uint32_t *ret_reg)
{
    if (cc->steps_count > SHARE_STEPS_MAX || !is_pure(expr))
        return false;
    for (uint32_t i = 0; i < cc->steps_count; i++) {
        if (cc->steps[i].expr->kind == expr->kind && tn_expr_eq(cc->steps[i].expr, expr)) {
            *ret_reg = cc->steps[i].dst;
            return true;
        }
    }
    return false;
}

static enum tn_status refuse(const struct compiler *cc, const struct tn_expr *expr,
                             const char *what)
{
    return tn_err_at(cc->err, TN_E_UNSUPPORTED, NULL, expr->line, expr->col,
                     "%s cannot be used here", what);
}

static enum tn_status compile_program(struct compiler *cc, const struct tn_expr *expr,
                                      struct tn_program **ret_program)
{
    uint32_t root;
    TN_TRY(compile_node(cc, expr, &root));
    struct tn_program *program = TN_ARENA_NEW(cc->arena, struct tn_program);
    *program = (struct tn_program){.expr = expr,
                                   .steps_count = cc->steps_count,
                                   .steps = cc->steps,
                                   .regs_count = cc->regs_count,
                                   .regs_init = cc->regs,
                                   .root = root};
    *ret_program = program;
    return TN_OK;
}

static enum tn_status compile_lambda(struct compiler *cc, const struct tn_expr *lambda,
                                     struct tni_lambda *ret_lambda)
{
    TN_ASSERT(lambda->kind == TN_E_LAMBDA && lambda->args_count == 1 && lambda->rel > 0);
    struct compiler inner = {
        .arena = cc->arena, .err = cc->err, .nodes_count = cc->nodes_count, .depth = cc->depth + 1};
    struct tn_program *program;
    TN_TRY(compile_program(&inner, lambda->args[0], &program));
    cc->nodes_count = inner.nodes_count;
    *ret_lambda = (struct tni_lambda){
        .program = program, .param_first = lambda->column, .params_count = lambda->rel};
    return TN_OK;
}

/* The members of an IN list that became a set need no registers: only its first operand is
 * compiled. */
static enum tn_status compile_args(struct compiler *cc, const struct tn_expr *expr,
                                   struct tni_step *step)
{
    uint32_t args_count = step->set ? 1 : expr->args_count;
    uint32_t *args = TN_ARENA_ARRAY(cc->arena, uint32_t, args_count);
    struct tni_lambda *lambdas = NULL;
    for (uint32_t i = 0; i < args_count; i++) {
        const struct tn_expr *arg = expr->args[i];
        bool wants_lambda = expr->kind == TN_E_CALL && expr->func->args &&
                            i < expr->func->args_count && expr->func->args[i] == 'f';
        if (wants_lambda != (arg->kind == TN_E_LAMBDA))
            return tn_err_at(cc->err, TN_E_TYPE, "TYPE_MISMATCH", arg->line, arg->col,
                             wants_lambda ? "expected a lambda like x => x + 1"
                                          : "a lambda cannot be used here");
        if (arg->kind != TN_E_LAMBDA) {
            TN_TRY(compile_node(cc, arg, &args[i]));
            continue;
        }
        if (!lambdas)
            lambdas = TN_ARENA_ARRAY(cc->arena, struct tni_lambda, args_count);
        TN_TRY(compile_lambda(cc, arg, &lambdas[i]));
    }
    step->args = args;
    step->args_count = args_count;
    step->lambdas = lambdas;
    return TN_OK;
}

static enum tn_status step_kind(const struct compiler *cc, const struct tn_expr *expr,
                                enum tni_step_kind *ret_kind)
{
    switch (expr->kind) {
    case TN_E_CALL: *ret_kind = TNI_STEP_CALL; break;
    case TN_E_AND: *ret_kind = TNI_STEP_AND; break;
    case TN_E_OR: *ret_kind = TNI_STEP_OR; break;
    case TN_E_NOT: *ret_kind = TNI_STEP_NOT; break;
    case TN_E_CASE: *ret_kind = TNI_STEP_CASE; break;
    case TN_E_COALESCE: *ret_kind = TNI_STEP_COALESCE; break;
    case TN_E_TRY: *ret_kind = TNI_STEP_TRY; break;
    case TN_E_IN: *ret_kind = TNI_STEP_IN; break;
    case TN_E_PSEUDO: *ret_kind = TNI_STEP_PSEUDO; break;
    case TN_E_COLUMN:
        TN_ASSERT(expr->rel == 0 || expr->rel == TN_REL_LAMBDA);
        *ret_kind = expr->rel == 0 ? TNI_STEP_COLUMN : TNI_STEP_PARAM;
        break;
    case TN_E_LAMBDA: return refuse(cc, expr, "a lambda");
    case TN_E_AGG: return refuse(cc, expr, "an aggregate");
    case TN_E_WINDOW: return refuse(cc, expr, "a window function");
    case TN_E_SUBQUERY: return refuse(cc, expr, "a subquery");
    default: return tn_err_set(cc->err, TN_E_INTERNAL, "unknown expression kind %d", expr->kind);
    }
    return TN_OK;
}

static enum tn_status compile_node(struct compiler *cc, const struct tn_expr *expr,
                                   uint32_t *ret_reg)
{
    if (++cc->nodes_count > TN_EXPR_NODES_MAX || cc->depth >= 2 * TN_EXPR_DEPTH_MAX)
        return tn_err_at(cc->err, TN_E_LIMIT, NULL, expr->line, expr->col,
                         "expression is too large: at most %d nodes, %d levels", TN_EXPR_NODES_MAX,
                         TN_EXPR_DEPTH_MAX);
    if (expr->kind == TN_E_CONST) {
        *ret_reg = add_const(cc, expr);
        return TN_OK;
    }
    if (find_shared(cc, expr, ret_reg))
        return TN_OK;
    struct tni_step step = {.expr = expr};
    TN_TRY(step_kind(cc, expr, &step.kind));
    if (step.kind == TNI_STEP_IN)
        step.set = tni_in_set_new(expr, cc->arena);
    cc->depth++;
    enum tn_status st = compile_args(cc, expr, &step);
    cc->depth--;
    TN_TRY(st);
    *ret_reg = add_step(cc, &step);
    return TN_OK;
}

enum tn_status tn_expr_compile(const struct tn_expr *expr, struct tn_arena *arena,
                               struct tn_program **ret_program, struct tn_err *err)
{
    struct compiler cc = {.arena = arena, .err = err};
    return compile_program(&cc, expr, ret_program);
}
