/* The program that turns a VARCHAR time column into epoch milliseconds by the stream's
 * TIMESTAMP_FORMAT: the dialect's own STRINGTOTIMESTAMP, called as a query would. @thread any
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
