/* Row times from a declared time column: BIGINT in ms, TIMESTAMP, or VARCHAR by TIMESTAMP_FORMAT
 * through the dialect's own STRINGTOTIMESTAMP, called as a query would. @thread any
 */
#include "stream/engine_int.h"

#include "stream/func.h"

static struct tn_expr *leaf(struct tn_arena *arena, enum tn_expr_kind kind,
                            const struct tn_type *type)
{
    struct tn_expr *expr = TN_ARENA_NEW(arena, struct tn_expr);
    expr->kind = kind;
    expr->type = type;
    return expr;
}

enum tn_status tni_time_program(const struct tn_topic_decl *decl, struct tn_arena *arena,
                                struct tn_program **ret_program, struct tn_err *err)
{
    const struct tn_type *text = tn_type_of(TN_K_VARCHAR);
    const struct tn_type *given[2] = {decl->schema->fields[decl->timestamp_column].type, text};
    const struct tn_type *wanted[2], *type = NULL;
    const struct tn_func *func = NULL;
    TN_TRY(tn_func_resolve(TN_STR("stringtotimestamp"), TN_RULES_STREAM, given, 2, arena, &func,
                           wanted, &type, err));
    if (!func)
        return tn_err_set(err, TN_E_UNSUPPORTED, "TIMESTAMP_FORMAT is not supported");
    struct tn_expr *call = leaf(arena, TN_E_CALL, type);
    call->func = func;
    call->rules = TN_RULES_STREAM;
    call->args_count = 2;
    call->args = TN_ARENA_ARRAY(arena, struct tn_expr *, 2);
    call->args[0] = leaf(arena, TN_E_COLUMN, given[0]);
    call->args[0]->column = decl->timestamp_column;
    call->args[1] = leaf(arena, TN_E_CONST, text);
    call->args[1]->value = (struct tn_value){.type = text, .s = tn_str_of(decl->timestamp_format)};
    return tn_expr_compile(call, arena, ret_program, err);
}

void tni_column_times(const struct tn_topic_decl *decl, const struct tn_program *program,
                      const struct tn_batch *batch, struct tn_arena *arena, int64_t *ret_times_ms,
                      uint8_t *ret_bad)
{
    struct tn_column col = batch->columns[decl->timestamp_column];
    const uint8_t *errors = NULL;
    if (program) {
        struct tn_result result;
        tn_program_run(program, batch, arena, &result);
        col = result.col;
        errors = result.errors;
    }
    bool is_us = col.type->kind == TN_K_TIMESTAMP || col.type->kind == TN_K_TIMESTAMP_TZ;
    for (uint32_t i = 0; i < batch->rows_count; i++) {
        bool is_bad = tn_column_is_null(&col, i) || (errors && tn_bit_get(errors, i));
        int64_t value = is_bad ? -1 : tn_column_i64(&col, i);
        ret_times_ms[i] = is_us && value > 0 ? value / 1000 : value;
        if (value < 0)
            tn_bit_set(ret_bad, i);
    }
}
