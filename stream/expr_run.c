/* Evaluation of step arrays over a batch.
 *
 * HOW IT WORKS: steps run in order, each over all rows; operands that SQL would skip are evaluated
 * too, and only their errors are dropped (expr_logic.c). For a strict call the validity of the
 * result is the AND of its arguments' bitmaps, made here once for all kernels. A constant operand
 * is one row; a call whose operands are all constant runs over one row.
 *
 * Messages: a kernel formats the message of its first failed row only. When that row's error is
 * dropped later while another row's survives, the message is found by running the program once more
 * over the surviving row alone.
 *
 * Ownership: registers and results in the arena of the run. @thread the running one */
#include <stdio.h>

#include "stream/expr_int.h"
#include "stream/func_int.h"
#include "stream/records.h"

uint8_t *tni_bits_new(uint32_t rows_count, struct tn_arena *arena)
{
    return tn_arena_zalloc(arena, tn_bits_bytes(rows_count), 1);
}

uint32_t tni_bits_count(const uint8_t *bits, uint32_t rows_count)
{
    uint32_t count = 0;
    for (uint32_t at = 0; at < rows_count; at += 64) {
        uint64_t word;
        memcpy(&word, bits + at / 8, 8);
        if (rows_count - at < 64)
            word &= (UINT64_C(1) << (rows_count - at)) - 1;
        count += (uint32_t)__builtin_popcountll(word);
    }
    return count;
}

uint32_t tni_bits_first(const uint8_t *bits, uint32_t rows_count)
{
    for (uint32_t at = 0; at < rows_count; at += 64) {
        uint64_t word;
        memcpy(&word, bits + at / 8, 8);
        if (word == 0)
            continue;
        uint32_t row = at + (uint32_t)__builtin_ctzll(word);
        return row < rows_count ? row : TNI_NO_ROW;
    }
    return TNI_NO_ROW;
}

void tni_broadcast(const struct tn_column *in, uint32_t rows_count, struct tn_column *out,
                   struct tn_arena *arena)
{
    if (rows_count == 1) {
        *out = *in;
        return;
    }
    uint32_t *rows = TN_ARENA_ARRAY(arena, uint32_t, rows_count);
    tn_column_gather(in, rows, rows_count, out, arena);
}

void tn_call_error(struct tn_call *call, uint32_t row, enum tn_status code, const char *name,
                   const char *fmt, ...)
{
    struct tn_result *out = call->out;
    TN_ASSERT(row < call->rows_count && tn_failed(code));
    tn_column_set_null(&out->col, row, call->arena);
    if (!out->errors)
        out->errors = tni_bits_new(call->rows_count, call->arena);
    if (tn_bit_get(out->errors, row))
        return;
    tn_bit_set(out->errors, row);
    if (out->errors_count++ > 0)
        return;
    out->error_row = row;
    out->error = (struct tn_row_error){.code = code,
                                       .name = name ? name : tn_status_sql_name(code),
                                       .line = call->expr ? call->expr->line : 0,
                                       .col = call->expr ? call->expr->col : 0};
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(out->error.message, sizeof out->error.message, fmt, ap);
    va_end(ap);
}

/* ---- sources ---- */

static void step_column(const struct tni_step *step, struct tni_reg *reg, const struct tni_env *env)
{
    TN_ASSERT((uint32_t)step->expr->column < env->batch->schema->fields_count);
    const struct tn_column *col = &env->batch->columns[step->expr->column];
    TN_ASSERT(!col->is_absent); /* the plan names every column it reads */
    reg->col = *col;
}

static void step_param(const struct tni_step *step, struct tni_reg *reg, const struct tni_env *env)
{
    TN_ASSERT((uint32_t)step->expr->column < env->params_count);
    reg->col = env->params[step->expr->column];
}

static void null_reg(struct tni_reg *reg, const struct tn_type *type, struct tn_arena *arena)
{
    tn_column_init(&reg->col, type, 1, true, arena);
    tn_bit_clear(reg->col.validity, 0);
    reg->is_const = true;
}

static void headers_column(struct tni_reg *reg, const struct tn_type *type,
                           const struct tni_env *env)
{
    struct tn_colbuilder *builder = tn_colbuilder_new(type, env->arena);
    const struct tn_headers *all =
        env->batch->records ? tn_records_headers(env->batch->records) : NULL;
    for (uint32_t row = 0; row < env->rows_count; row++) {
        uint32_t count = all ? all[row].count : 0;
        struct tn_value *items = TN_ARENA_ARRAY(env->arena, struct tn_value, count * 3);
        const struct tn_type *pair = type->children[0].type;
        for (uint32_t i = 0; i < count; i++) {
            const struct tn_header *header = &all[row].items[i];
            struct tn_value *parts = &items[count + 2 * i];
            parts[0] = (struct tn_value){.type = pair->children[0].type, .s = header->key};
            parts[1] = (struct tn_value){
                .type = pair->children[1].type, .is_null = !header->value.ptr, .s = header->value};
            items[i] = (struct tn_value){.type = pair, .list = {2, parts}};
        }
        tn_colbuilder_add(builder, &(struct tn_value){.type = type, .list = {count, items}});
    }
    tn_colbuilder_finish(builder, &reg->col);
}

static void i64_column(struct tni_reg *reg, const struct tn_type *type, int64_t *values,
                       const struct tni_env *env)
{
    if (!values)
        null_reg(reg, type, env->arena);
    else
        reg->col =
            (struct tn_column){.type = type, .rows_count = env->rows_count, .values = values};
}

static void window_bound(struct tni_reg *reg, const struct tn_expr *expr, const struct tni_env *env)
{
    bool is_start = expr->column == TN_PSEUDO_WINDOWSTART;
    int column =
        tn_schema_find(env->batch->schema, is_start ? TN_STR("windowstart") : TN_STR("windowend"));
    if (column < 0)
        null_reg(reg, expr->type, env->arena);
    else
        reg->col = env->batch->columns[column];
}

static void step_pseudo(const struct tni_step *step, struct tni_reg *reg, const struct tni_env *env)
{
    const struct tn_expr *expr = step->expr;
    switch ((enum tn_pseudo)expr->column) {
    case TN_PSEUDO_ROWTIME: i64_column(reg, expr->type, env->batch->rowtime_ms, env); break;
    case TN_PSEUDO_ROWOFFSET: i64_column(reg, expr->type, env->batch->offsets, env); break;
    case TN_PSEUDO_ROWPARTITION:
        tn_column_init(&reg->col, expr->type, 1, false, env->arena);
        *(int32_t *)reg->col.values = env->batch->partition;
        reg->is_const = true;
        break;
    case TN_PSEUDO_WINDOWSTART:
    case TN_PSEUDO_WINDOWEND: window_bound(reg, expr, env); break;
    case TN_PSEUDO_HEADERS: headers_column(reg, expr->type, env); break;
    case TN_PSEUDO_PATH:
    case TN_PSEUDO_FILE_TIME:
    case TN_PSEUDO_FILE_SIZE: null_reg(reg, expr->type, env->arena); break; /* only in scans */
    }
}

/* ---- calls ---- */

/* Rows of a call: 1 when every operand is constant and the function is pure. */
static uint32_t call_rows(const struct tni_step *step, const struct tni_reg *regs,
                          const struct tni_env *env)
{
    if (step->expr->func->flags & TN_FN_VOLATILE)
        return env->rows_count;
    for (uint32_t i = 0; i < step->args_count; i++) {
        bool is_lambda = step->lambdas && step->lambdas[i].program;
        if (is_lambda || !regs[step->args[i]].is_const)
            return env->rows_count;
    }
    return 1;
}

static void and_bits(uint8_t **io_bits, const uint8_t *bits, uint32_t rows_count,
                     struct tn_arena *arena)
{
    size_t bytes = tn_bits_bytes(rows_count);
    if (!*io_bits) {
        *io_bits = tn_arena_alloc(arena, bytes);
        memcpy(*io_bits, bits, bytes);
        return;
    }
    for (size_t at = 0; at < bytes; at += 8) {
        uint64_t a, b;
        memcpy(&a, *io_bits + at, 8);
        memcpy(&b, bits + at, 8);
        a &= b;
        memcpy(*io_bits + at, &a, 8);
    }
}

static void or_bits(uint8_t **io_bits, const uint8_t *bits, uint32_t rows_count,
                    struct tn_arena *arena)
{
    if (!*io_bits)
        *io_bits = tni_bits_new(rows_count, arena);
    for (size_t at = 0; at < tn_bits_bytes(rows_count); at++)
        (*io_bits)[at] |= bits[at];
}

/* Errors of an operand become errors of the result. */
static void take_errors(struct tni_reg *dst, const struct tni_reg *arg, uint32_t rows_count,
                        struct tn_arena *arena)
{
    if (!arg->errors)
        return;
    if (arg->is_const && rows_count != 1) {
        if (!tn_bit_get(arg->errors, 0))
            return;
        uint8_t *all = tni_bits_new(rows_count, arena);
        for (uint32_t row = 0; row < rows_count; row++)
            tn_bit_set(all, row);
        or_bits(&dst->errors, all, rows_count, arena);
    } else {
        or_bits(&dst->errors, arg->errors, rows_count, arena);
    }
    if (arg->error && (!dst->error || arg->error_row < dst->error_row)) {
        dst->error = arg->error;
        dst->error_row = arg->error_row;
    }
}

/* Failed rows are NULL. */
static void null_failed(struct tni_reg *reg, struct tn_arena *arena)
{
    if (!reg->errors)
        return;
    uint8_t *validity = tn_column_need_validity(&reg->col, arena);
    for (size_t at = 0; at < tn_bits_bytes(reg->col.rows_count); at++)
        validity[at] = (uint8_t)(validity[at] & ~(unsigned)reg->errors[at]);
}

static void give_errors(struct tni_reg *dst, const struct tn_result *out, uint32_t rows_count,
                        struct tn_arena *arena)
{
    if (!out->errors)
        return;
    or_bits(&dst->errors, out->errors, rows_count, arena);
    if (dst->error && dst->error_row <= out->error_row)
        return;
    struct tn_row_error *error = TN_ARENA_NEW(arena, struct tn_row_error);
    *error = out->error;
    dst->error = error;
    dst->error_row = out->error_row;
}

/* Validity of a strict result; false when an operand is a constant NULL. */
static bool strict_validity(const struct tni_step *step, const struct tni_reg *regs,
                            uint32_t rows_count, uint8_t **ret_validity, struct tn_arena *arena)
{
    uint8_t *validity = NULL;
    for (uint32_t i = 0; i < step->args_count; i++) {
        if (step->lambdas && step->lambdas[i].program)
            continue;
        const struct tni_reg *arg = &regs[step->args[i]];
        if (!arg->col.validity)
            continue;
        if (arg->is_const) {
            if (!tn_bit_get(arg->col.validity, 0))
                return false;
            continue;
        }
        and_bits(&validity, arg->col.validity, rows_count, arena);
    }
    *ret_validity = validity;
    return true;
}

/* The call as its kernel sees it, with what lambdas need behind it. */
struct running_call {
    struct tn_call call; /* first: kernels get a pointer to it */
    const struct tni_step *step;
    const struct tni_env *env;
};

static void run_kernel(const struct tni_step *step, struct tni_reg *regs, const struct tni_env *env,
                       uint32_t rows_count, uint8_t *validity)
{
    struct tn_result out = {0};
    struct tni_reg *dst = &regs[step->dst];
    struct tn_column *args = tn_arena_alloc(env->arena, step->args_count * sizeof *args);
    bool *is_const = tn_arena_alloc(env->arena, step->args_count);
    for (uint32_t i = 0; i < step->args_count; i++) {
        bool is_lambda = step->lambdas && step->lambdas[i].program;
        args[i] = is_lambda ? (struct tn_column){.type = step->expr->args[i]->type}
                            : regs[step->args[i]].col;
        is_const[i] = is_lambda || regs[step->args[i]].is_const;
    }
    tn_column_init(&out.col, step->expr->type, rows_count, false, env->arena);
    out.col.validity = validity;
    struct running_call running = {.call = {.func = step->expr->func,
                                            .expr = step->expr,
                                            .type = step->expr->type,
                                            .rows_count = rows_count,
                                            .args_count = step->args_count,
                                            .args = args,
                                            .is_const = is_const,
                                            .batch = env->batch,
                                            .arena = env->arena,
                                            .out = &out},
                                   .step = step,
                                   .env = env};
    step->expr->func->kernel(&running.call);
    TN_DCHECK(out.col.rows_count == rows_count);
    dst->col = out.col;
    dst->is_const = rows_count == 1 && env->rows_count != 1;
    give_errors(dst, &out, rows_count, env->arena);
}

static void step_call(const struct tni_step *step, struct tni_reg *regs, const struct tni_env *env)
{
    struct tni_reg *dst = &regs[step->dst];
    uint32_t rows_count = call_rows(step, regs, env);
    uint8_t *validity = NULL;
    bool is_strict = !(step->expr->func->flags & TN_FN_NULL_CALL);
    if (is_strict && !strict_validity(step, regs, rows_count, &validity, env->arena)) {
        null_reg(dst, step->expr->type, env->arena);
        bool is_failed = false;
        for (uint32_t i = 0; i < step->args_count; i++)
            is_failed |=
                !(step->lambdas && step->lambdas[i].program) && regs[step->args[i]].errors != NULL;
        if (!is_failed)
            return;
        tni_broadcast(&dst->col, rows_count, &dst->col, env->arena);
        dst->is_const = rows_count == 1 && env->rows_count != 1;
    } else {
        run_kernel(step, regs, env, rows_count, validity);
    }
    for (uint32_t i = 0; i < step->args_count; i++)
        if (!(step->lambdas && step->lambdas[i].program))
            take_errors(dst, &regs[step->args[i]], rows_count, env->arena);
    null_failed(dst, env->arena);
}

static void step_try(const struct tni_step *step, struct tni_reg *regs)
{
    const struct tni_reg *arg = &regs[step->args[0]];
    regs[step->dst] = (struct tni_reg){.col = arg->col, .is_const = arg->is_const};
}

/* ---- lambdas ---- */

/* Columns of the batch that the body reads, one row per item. */
static struct tn_batch *item_batch(const struct tn_expr *body, const struct tni_env *env,
                                   const uint32_t *parents, uint32_t items_count)
{
    uint32_t columns_count = env->batch->schema->fields_count;
    struct tn_batch *batch = tn_batch_new(env->batch->schema, items_count, env->arena);
    bool *mask = TN_ARENA_ARRAY(env->arena, bool, columns_count + 1);
    tn_expr_columns(body, 0, mask);
    for (uint32_t i = 0; i < columns_count; i++) {
        batch->columns[i].is_absent = true;
        if (mask[i])
            tn_column_gather(&env->batch->columns[i], parents, items_count, &batch->columns[i],
                             env->arena);
    }
    batch->partition = env->batch->partition;
    if (env->batch->rowtime_ms) {
        batch->rowtime_ms = tn_arena_alloc(env->arena, items_count * sizeof(int64_t));
        for (uint32_t i = 0; i < items_count; i++)
            batch->rowtime_ms[i] = env->batch->rowtime_ms[parents[i]];
    }
    return batch;
}

static void fail_parents(struct tn_call *call, const struct tni_reg *reg, const uint32_t *parents,
                         uint32_t items_count)
{
    if (!reg->errors)
        return;
    for (uint32_t i = 0; i < items_count; i++) {
        if (!tn_bit_get(reg->errors, reg->is_const ? 0 : i))
            continue;
        const struct tn_row_error *error = reg->error;
        tn_call_error(call, parents[i], error ? error->code : TN_E_EVAL, error ? error->name : NULL,
                      "%s", error ? error->message : "the lambda failed");
    }
}

void tni_lambda_run(struct tn_call *call, uint32_t arg, const struct tn_column *params,
                    const uint32_t *parents, uint32_t items_count, struct tn_column *ret_col)
{
    const struct running_call *running = (const struct running_call *)(const void *)call;
    const struct tni_lambda *lambda = &running->step->lambdas[arg];
    const struct tni_env *outer = running->env;
    uint32_t params_count = (uint32_t)(lambda->param_first + lambda->params_count);
    struct tn_column *all = TN_ARENA_ARRAY(call->arena, struct tn_column, params_count);
    for (uint32_t i = 0; i < (uint32_t)lambda->param_first && i < outer->params_count; i++)
        tn_column_gather(&outer->params[i], parents, items_count, &all[i], call->arena);
    for (int i = 0; i < lambda->params_count; i++)
        all[lambda->param_first + i] = params[i];
    struct tni_env env = {.batch = item_batch(lambda->program->expr, outer, parents, items_count),
                          .rows_count = items_count,
                          .params = all,
                          .params_count = params_count,
                          .arena = call->arena};
    struct tni_reg reg;
    tni_program_eval(lambda->program, &env, &reg);
    fail_parents(call, &reg, parents, items_count);
    if (reg.is_const)
        tni_broadcast(&reg.col, items_count, ret_col, call->arena);
    else
        *ret_col = reg.col;
}

/* ---- programs ---- */

static void run_step(const struct tni_step *step, struct tni_reg *regs, const struct tni_env *env)
{
    switch (step->kind) {
    case TNI_STEP_COLUMN: step_column(step, &regs[step->dst], env); break;
    case TNI_STEP_PARAM: step_param(step, &regs[step->dst], env); break;
    case TNI_STEP_PSEUDO: step_pseudo(step, &regs[step->dst], env); break;
    case TNI_STEP_CALL: step_call(step, regs, env); break;
    case TNI_STEP_AND:
    case TNI_STEP_OR: tni_step_logic(step, regs, env); break;
    case TNI_STEP_NOT: tni_step_not(step, regs, env); break;
    case TNI_STEP_CASE: tni_step_case(step, regs, env); break;
    case TNI_STEP_COALESCE: tni_step_coalesce(step, regs, env); break;
    case TNI_STEP_TRY: step_try(step, regs); break;
    case TNI_STEP_IN: tni_step_in(step, regs, env); break;
    }
}

/* The arena is at its limit: kernels gave up what they were making, so every row fails. */
static void fail_memory(const struct tn_program *program, const struct tni_env *env,
                        struct tni_reg *ret_reg)
{
    struct tn_row_error *error = TN_ARENA_NEW(env->arena, struct tn_row_error);
    *error =
        (struct tn_row_error){.code = TN_E_NOMEM,
                              .name = "EXCEEDED_LOCAL_MEMORY_LIMIT",
                              .line = program->expr->line,
                              .col = program->expr->col,
                              .message = "expression needs more memory than the query may use"};
    *ret_reg = (struct tni_reg){.error = error};
    tn_column_init(&ret_reg->col, program->expr->type, env->rows_count, true, env->arena);
    memset(ret_reg->col.validity, 0, tn_bits_bytes(env->rows_count));
    ret_reg->errors = tni_bits_new(env->rows_count, env->arena);
    for (uint32_t i = 0; i < env->rows_count; i++)
        tn_bit_set(ret_reg->errors, i);
}

void tni_program_eval(const struct tn_program *program, const struct tni_env *env,
                      struct tni_reg *ret_reg)
{
    struct tni_reg *regs =
        tn_arena_alloc(env->arena, program->regs_count * sizeof *program->regs_init);
    memcpy(regs, program->regs_init, program->regs_count * sizeof *regs);
    for (uint32_t i = 0; i < program->steps_count; i++) {
        run_step(&program->steps[i], regs, env);
        if (TN_UNLIKELY(tn_arena_over(env->arena))) {
            fail_memory(program, env, ret_reg);
            return;
        }
    }
    *ret_reg = regs[program->root];
}

/* The message of the first surviving error that no register remembered. */
static void find_message(const struct tn_program *program, const struct tn_batch *batch,
                         uint32_t row, struct tn_arena *arena, struct tn_row_error *ret_error)
{
    struct tn_batch *one = tn_batch_gather(batch, &row, 1, arena);
    struct tni_env env = {.batch = one, .rows_count = 1, .arena = arena};
    struct tni_reg reg;
    tni_program_eval(program, &env, &reg);
    if (reg.errors && tn_bit_get(reg.errors, 0) && reg.error)
        *ret_error = *reg.error;
    else
        *ret_error = (struct tn_row_error){.code = TN_E_EVAL,
                                           .name = tn_status_sql_name(TN_E_EVAL),
                                           .line = program->expr->line,
                                           .col = program->expr->col,
                                           .message = "expression failed"};
}

void tn_program_run(const struct tn_program *program, const struct tn_batch *batch,
                    struct tn_arena *arena, struct tn_result *ret_result)
{
    struct tni_env env = {.batch = batch, .rows_count = batch->rows_count, .arena = arena};
    struct tni_reg reg;
    tni_program_eval(program, &env, &reg);
    struct tn_result result = {.col = reg.col, .errors = reg.errors};
    if (reg.is_const && batch->rows_count != 1) {
        struct tni_reg wide = {.col = {.rows_count = batch->rows_count}};
        tni_broadcast(&reg.col, batch->rows_count, &result.col, arena);
        take_errors(&wide, &reg, batch->rows_count, arena);
        result.errors = wide.errors;
    }
    if (result.errors) {
        result.errors_count = tni_bits_count(result.errors, batch->rows_count);
        result.error_row = tni_bits_first(result.errors, batch->rows_count);
    }
    if (result.errors_count == 0)
        result.errors = NULL;
    else if (reg.error && reg.error_row == result.error_row)
        result.error = *reg.error;
    else
        find_message(program, batch, result.error_row, arena, &result.error);
    result.col.type = program->expr->type;
    *ret_result = result;
}

uint32_t tn_result_select(const struct tn_result *result, uint32_t *rows)
{
    const struct tn_column *col = &result->col;
    uint32_t count = 0;
    TN_ASSERT(col->type->kind == TN_K_BOOLEAN || col->type->kind == TN_K_NULL);
    if (col->type->kind == TN_K_NULL)
        return 0;
    for (uint32_t at = 0; at < col->rows_count; at += 64) {
        uint64_t word, more;
        memcpy(&word, (const uint8_t *)col->values + at / 8, 8);
        if (col->validity) {
            memcpy(&more, col->validity + at / 8, 8);
            word &= more;
        }
        if (result->errors) {
            memcpy(&more, result->errors + at / 8, 8);
            word &= ~more;
        }
        if (col->rows_count - at < 64)
            word &= (UINT64_C(1) << (col->rows_count - at)) - 1;
        for (; word; word &= word - 1)
            rows[count++] = at + (uint32_t)__builtin_ctzll(word);
    }
    return count;
}
