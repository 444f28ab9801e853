/* GREATEST and LEAST. Stream rules leave NULL out, query rules give NULL when an argument is NULL.
 * @thread the running one */
#include "stream/func_int.h"
#include "stream/func_nested.h"

/* Argument that wins in the row, UINT32_MAX when all are NULL. */
static uint32_t winner(const struct tn_call *call, uint32_t row, int wanted)
{
    uint32_t best = UINT32_MAX;
    for (uint32_t arg = 0; arg < call->args_count; arg++) {
        if (tni_arg_null(call, arg, row))
            continue;
        if (best == UINT32_MAX ||
            tni_item_beats(call, &call->args[arg], tni_arg_row(call, arg, row), &call->args[best],
                           tni_arg_row(call, best, row), wanted))
            best = arg;
    }
    return best;
}

static void choose(struct tn_call *call, int wanted)
{
    struct tn_colbuilder *builder = tn_colbuilder_new(call->type, call->arena);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        uint32_t arg = tni_row_ok(call, row) ? winner(call, row, wanted) : UINT32_MAX;
        if (arg == UINT32_MAX) {
            tn_colbuilder_add_null(builder);
            continue;
        }
        struct tn_value value =
            tn_column_value(&call->args[arg], tni_arg_row(call, arg, row), call->arena);
        tn_colbuilder_add(builder, &value);
    }
    tni_finish(call, builder);
}

static void kernel_greatest(struct tn_call *call)
{
    choose(call, 1);
}

static void kernel_least(struct tn_call *call)
{
    choose(call, -1);
}

static enum tn_status resolve(const struct tn_func *func, const struct tn_type **arg_types,
                              uint32_t args_count, struct tn_arena *arena,
                              const struct tn_type **ret_type)
{
    TN_TRY(tni_resolve_common(func, arg_types, args_count, arena, ret_type));
    enum tn_kind kind = (*ret_type)->kind;
    return kind == TN_K_MAP || kind == TN_K_STRUCT || kind == TN_K_ARRAY ? TN_E_TYPE : TN_OK;
}

#define CHOICE(NAME, FLAGS, FN, HELP)                                                              \
    TNI_FN_TYPED(NAME, (FLAGS) | TN_FN_VARARGS, "**", resolve, FN, HELP)

static const struct tn_func rows[] = {
    CHOICE("greatest", TN_FN_QUERY, kernel_greatest, "largest; NULL when one is NULL"),
    CHOICE("greatest", TN_FN_STREAM | TN_FN_NULL_CALL, kernel_greatest, "largest, NULL left out"),
    CHOICE("least", TN_FN_QUERY, kernel_least, "smallest; NULL when one is NULL"),
    CHOICE("least", TN_FN_STREAM | TN_FN_NULL_CALL, kernel_least, "smallest, NULL left out"),
};

TNI_TABLE(misc);
