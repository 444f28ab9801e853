/* See exec_expr.h. */
#include "sql/exec_expr.h"

#include "stream/func.h"

#define SLICE_ROWS 64 /* of programs with bulky parts */

enum tn_status tni_expr_map(const struct tn_expr *expr, tni_map_fn map, void *ctx,
                            struct tn_arena *arena, struct tn_expr **ret_expr)
{
    enum tn_status st = TN_OK;
    struct tn_expr *other = map(ctx, expr, &st);
    TN_TRY(st);
    if (other) {
        *ret_expr = other;
        return TN_OK;
    }
    struct tn_expr *copy = NULL;
    for (uint32_t i = 0; i < expr->args_count; i++) {
        struct tn_expr *arg;
        TN_TRY(tni_expr_map(expr->args[i], map, ctx, arena, &arg));
        if (arg == expr->args[i] && !copy)
            continue;
        if (!copy) {
            copy = TN_ARENA_NEW(arena, struct tn_expr);
            *copy = *expr;
            copy->args = TN_ARENA_ARRAY(arena, struct tn_expr *, expr->args_count);
            memcpy(copy->args, expr->args, expr->args_count * sizeof *copy->args);
        }
        copy->args[i] = arg;
    }
    if (expr->filter) {
        struct tn_expr *filter;
        TN_TRY(tni_expr_map(expr->filter, map, ctx, arena, &filter));
        if (filter != expr->filter && !copy) {
            copy = TN_ARENA_NEW(arena, struct tn_expr);
            *copy = *expr;
        }
        if (copy)
            copy->filter = filter;
    }
    union {
        const struct tn_expr *in;
        struct tn_expr *out;
    } same = {.in = expr}; /* shared, never written */
    *ret_expr = copy ? copy : same.out;
    return TN_OK;
}

const struct tn_expr *tni_expr_find(const struct tn_expr *expr,
                                    bool (*test)(const struct tn_expr *expr))
{
    if (!expr)
        return NULL;
    if (test(expr))
        return expr;
    for (uint32_t i = 0; i < expr->args_count; i++) {
        const struct tn_expr *found = tni_expr_find(expr->args[i], test);
        if (found)
            return found;
    }
    return tni_expr_find(expr->filter, test);
}

struct tn_expr *tni_expr_column(struct tn_arena *arena, uint32_t column, const struct tn_type *type,
                                const struct tn_expr *like)
{
    struct tn_expr *expr = TN_ARENA_NEW(arena, struct tn_expr);
    expr->kind = TN_E_COLUMN;
    expr->type = type;
    expr->column = (int)column;
    if (like) {
        expr->line = like->line;
        expr->col = like->col;
        expr->name = like->name;
        expr->rules = like->rules;
    }
    return expr;
}

static bool is_volatile(const struct tn_expr *expr)
{
    return expr->kind == TN_E_CALL && (expr->func->flags & TN_FN_VOLATILE);
}

bool tni_expr_is_volatile(const struct tn_expr *expr)
{
    return tni_expr_find(expr, is_volatile) != NULL;
}

/* ---- evaluation ---- */

/* May a row of it cost much more than it reads: lists, patterns, repeated text? */
static bool is_bulky(const struct tn_expr *expr)
{
    static const char *const names[] = {"regexp", "replace", "lpad", "rpad", "levenshtein"};
    if (expr->kind == TN_E_COLUMN)
        return false;
    if (tn_kind_is_nested(expr->type->kind))
        return true;
    for (size_t i = 0; expr->kind == TN_E_CALL && i < sizeof names / sizeof *names; i++)
        if (strncmp(expr->func->name, names[i], strlen(names[i])) == 0)
            return true;
    return false;
}

enum tn_status tni_eval_init(struct tni_eval *eval, const struct tn_expr *expr,
                             struct tn_arena *arena, struct tn_err *err)
{
    *eval = (struct tni_eval){.expr = expr, .column = -1};
    if (expr->kind == TN_E_COLUMN) {
        TN_ASSERT(expr->rel == 0);
        eval->column = expr->column;
        return TN_OK;
    }
    eval->is_sliced = tni_expr_find(expr, is_bulky) != NULL;
    return tn_expr_compile(expr, arena, &eval->program, err);
}

enum tn_status tni_row_error(const struct tn_row_error *error, struct tn_err *err)
{
    return tn_err_at(err, error->code, error->name, error->line, error->col, "%s", error->message);
}

static enum tn_status check_arena(const struct tni_eval *eval, const struct tn_arena *arena,
                                  struct tn_err *err)
{
    if (!tn_arena_over(arena))
        return TN_OK;
    return tn_err_at(err, TN_E_NOMEM, "EXCEEDED_LOCAL_MEMORY_LIMIT", eval->expr->line,
                     eval->expr->col, "expression needs more memory than the query may use");
}

static enum tn_status run_program(const struct tni_eval *eval, const struct tn_batch *batch,
                                  struct tn_arena *arena, struct tn_column *ret_col,
                                  struct tn_err *err)
{
    struct tn_result result;
    tn_program_run(eval->program, batch, arena, &result);
    if (result.errors_count)
        return tni_row_error(&result.error, err);
    *ret_col = result.col;
    return check_arena(eval, arena, err);
}

/* A row may make a list of thousands of items: few rows at a time, so that the limit is seen before
 * memory is gone. */
static enum tn_status run_sliced(const struct tni_eval *eval, const struct tn_batch *batch,
                                 struct tn_arena *arena, struct tn_column *ret_col,
                                 struct tn_err *err)
{
    struct tn_colbuilder *builder = tn_colbuilder_new(eval->expr->type, arena);
    for (uint32_t from = 0; from < batch->rows_count; from += SLICE_ROWS) {
        uint32_t rows[SLICE_ROWS], count = 0;
        while (count < SLICE_ROWS && from + count < batch->rows_count) {
            rows[count] = from + count;
            count++;
        }
        struct tn_batch *slice = tn_batch_gather(batch, rows, count, arena);
        struct tn_column col;
        TN_TRY(run_program(eval, slice, arena, &col, err));
        for (uint32_t i = 0; i < count; i++) {
            struct tn_value value = tn_column_value(&col, i, arena);
            tn_colbuilder_add(builder, &value);
        }
    }
    tn_colbuilder_finish(builder, ret_col);
    return check_arena(eval, arena, err);
}

enum tn_status tni_eval_run(const struct tni_eval *eval, const struct tn_batch *batch,
                            struct tn_arena *arena, struct tn_column *ret_col, struct tn_err *err)
{
    if (eval->column >= 0) {
        *ret_col = batch->columns[eval->column];
        if (!ret_col->is_absent)
            return TN_OK;
        tn_column_init(ret_col, eval->expr->type, batch->rows_count, true, arena);
        memset(ret_col->validity, 0, tn_bits_bytes(batch->rows_count));
        return TN_OK;
    }
    if (eval->is_sliced && batch->rows_count > SLICE_ROWS)
        return run_sliced(eval, batch, arena, ret_col, err);
    return run_program(eval, batch, arena, ret_col, err);
}

enum tn_status tni_eval_select(const struct tni_eval *eval, const struct tn_batch *batch,
                               struct tn_arena *arena, uint32_t *rows, uint32_t *ret_count,
                               struct tn_err *err)
{
    struct tn_result result = {.errors_count = 0};
    TN_TRY(tni_eval_run(eval, batch, arena, &result.col, err));
    *ret_count = tn_result_select(&result, rows);
    return TN_OK;
}
