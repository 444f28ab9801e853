/* Functions that take lambdas. A body is a program over items: all elements of all rows are laid
 * out in one column, the body runs once over it (columns it reads are repeated per element), and
 * the result is cut back into lists. REDUCE runs once per position, over the rows that have an
 * element there. @thread the running one */
#include "stream/expr_int.h"
#include "stream/func_int.h"
#include "stream/func_nested.h"

/* Elements of the rows of a call whose arguments are all there. */
struct items {
    uint32_t count;
    uint32_t *at;      /* index in the children of the list column */
    uint32_t *parents; /* row of the call */
    int32_t *offsets;  /* rows_count + 1 */
};

static void items_of(const struct tn_call *call, uint32_t arg, struct items *items)
{
    const struct tn_column *list = &call->args[arg];
    items->offsets = TN_ARENA_ARRAY(call->arena, int32_t, call->rows_count + 1);
    int64_t total = 0;
    for (uint32_t row = 0; row < call->rows_count; row++) {
        uint32_t from = tni_arg_row(call, arg, row);
        if (tni_row_ok(call, row))
            total += list->offsets[from + 1] - list->offsets[from];
        items->offsets[row + 1] = (int32_t)total;
    }
    TN_ASSERT(total <= INT32_MAX);
    items->count = (uint32_t)total;
    items->at = TN_ARENA_ARRAY(call->arena, uint32_t, items->count);
    items->parents = TN_ARENA_ARRAY(call->arena, uint32_t, items->count);
    for (uint32_t row = 0, n = 0; row < call->rows_count; row++) {
        uint32_t from = tni_arg_row(call, arg, row);
        for (uint32_t k = 0; n < (uint32_t)items->offsets[row + 1]; k++, n++) {
            items->at[n] = (uint32_t)list->offsets[from] + k;
            items->parents[n] = row;
        }
    }
}

/* Children of the list, one row per item: element; or key and value. */
static struct tn_column *params_of(const struct tn_call *call, uint32_t arg,
                                   const struct items *items)
{
    const struct tn_column *list = &call->args[arg];
    uint32_t count = list->type->children_count;
    struct tn_column *params = TN_ARENA_ARRAY(call->arena, struct tn_column, count);
    for (uint32_t k = 0; k < count; k++)
        tn_column_gather(&list->children[k], items->at, items->count, &params[k], call->arena);
    return params;
}

static void give_list(struct tn_call *call, const struct items *items, struct tn_column *children)
{
    struct tn_column *col = &call->out->col;
    uint8_t *validity = col->validity;
    *col = (struct tn_column){.type = call->type,
                              .rows_count = call->rows_count,
                              .validity = validity,
                              .offsets = items->offsets,
                              .children = children};
    for (uint32_t k = 0; k < call->type->children_count; k++)
        children[k].type = call->type->children[k].type;
}

static void kernel_transform(struct tn_call *call)
{
    struct items items;
    items_of(call, 0, &items);
    struct tn_column *params = params_of(call, 0, &items);
    struct tn_column *children =
        TN_ARENA_ARRAY(call->arena, struct tn_column, call->type->children_count);
    for (uint32_t k = 0; k < call->type->children_count; k++)
        tni_lambda_run(call, 1 + k, params, items.parents, items.count, &children[k]);
    give_list(call, &items, children);
}

/* transform_keys, transform_values: one child is replaced. */
static void transform_child(struct tn_call *call, uint32_t child)
{
    struct items items;
    items_of(call, 0, &items);
    struct tn_column *params = params_of(call, 0, &items);
    struct tn_column *children = TN_ARENA_ARRAY(call->arena, struct tn_column, 2);
    children[1 - child] = params[1 - child];
    tni_lambda_run(call, 1, params, items.parents, items.count, &children[child]);
    give_list(call, &items, children);
}

static void kernel_transform_keys(struct tn_call *call)
{
    transform_child(call, 0);
}

static void kernel_transform_values(struct tn_call *call)
{
    transform_child(call, 1);
}

static bool is_true(const struct tn_column *col, uint32_t row)
{
    return col->type->kind == TN_K_BOOLEAN && !tn_column_is_null(col, row) &&
           tn_column_bool(col, row);
}

static void kernel_filter(struct tn_call *call)
{
    struct items items;
    struct tn_column keep;
    items_of(call, 0, &items);
    struct tn_column *params = params_of(call, 0, &items);
    tni_lambda_run(call, 1, params, items.parents, items.count, &keep);
    uint32_t *kept = TN_ARENA_ARRAY(call->arena, uint32_t, items.count), count = 0;
    for (uint32_t row = 0; row < call->rows_count; row++) {
        uint32_t from = (uint32_t)items.offsets[row], end = (uint32_t)items.offsets[row + 1];
        items.offsets[row] = (int32_t)count; /* the next row's start is still the old one */
        for (uint32_t i = from; i < end; i++)
            if (is_true(&keep, i))
                kept[count++] = i;
    }
    items.offsets[call->rows_count] = (int32_t)count;
    uint32_t children_count = call->type->children_count;
    struct tn_column *children = TN_ARENA_ARRAY(call->arena, struct tn_column, children_count);
    for (uint32_t k = 0; k < children_count; k++)
        tn_column_gather(&params[k], kept, count, &children[k], call->arena);
    give_list(call, &items, children);
}

/* any_match and its kin: `wanted` element decides; NULL results make the answer NULL when none
 * decided. */
static void match(struct tn_call *call, bool wanted, bool decided_value)
{
    struct items items;
    struct tn_column result;
    items_of(call, 0, &items);
    tni_lambda_run(call, 1, params_of(call, 0, &items), items.parents, items.count, &result);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        bool is_decided = false, has_null = false;
        for (int32_t i = items.offsets[row]; i < items.offsets[row + 1]; i++) {
            bool is_null = tn_column_is_null(&result, (uint32_t)i);
            has_null |= is_null;
            is_decided |= !is_null && is_true(&result, (uint32_t)i) == wanted;
        }
        tn_bit_put(call->out->col.values, row, is_decided ? decided_value : !decided_value);
        if (!is_decided && has_null)
            tni_null(call, row);
    }
}

static void kernel_any_match(struct tn_call *call)
{
    match(call, true, true);
}

static void kernel_all_match(struct tn_call *call)
{
    match(call, false, false);
}

static void kernel_none_match(struct tn_call *call)
{
    match(call, true, false);
}

/* ---- reduce ---- */

/* One position: the rows that have an element there, their states and elements, the new states put
 * back. */
static void reduce_step(struct tn_call *call, const struct items *items, uint32_t position,
                        struct tn_column *state)
{
    const struct tn_column *list = &call->args[0];
    uint32_t children_count = list->type->children_count;
    uint32_t *rows = TN_ARENA_ARRAY(call->arena, uint32_t, call->rows_count);
    uint32_t *at = TN_ARENA_ARRAY(call->arena, uint32_t, call->rows_count), count = 0;
    for (uint32_t row = 0; row < call->rows_count; row++) {
        if (items->offsets[row] + (int64_t)position >= items->offsets[row + 1])
            continue;
        rows[count] = row;
        at[count++] = items->at[(uint32_t)items->offsets[row] + position];
    }
    struct tn_column params[3], next;
    tn_column_gather(state, rows, count, &params[0], call->arena);
    for (uint32_t k = 0; k < children_count; k++)
        tn_column_gather(&list->children[k], at, count, &params[1 + k], call->arena);
    tni_lambda_run(call, 2, params, rows, count, &next);
    /* states of the other rows stay: build the whole column anew */
    struct tn_colbuilder *builder = tn_colbuilder_new(state->type, call->arena);
    for (uint32_t row = 0, n = 0; row < call->rows_count; row++) {
        bool is_next = n < count && rows[n] == row;
        struct tn_value value = is_next ? tn_column_value(&next, n++, call->arena)
                                        : tn_column_value(state, row, call->arena);
        tn_colbuilder_add(builder, &value);
    }
    tn_colbuilder_finish(builder, state);
}

static void kernel_reduce(struct tn_call *call)
{
    struct items items;
    struct tn_column state;
    uint8_t *before = call->out->col.validity;
    items_of(call, 0, &items);
    if (call->is_const[1])
        tni_broadcast(&call->args[1], call->rows_count, &state, call->arena);
    else
        state = call->args[1];
    int32_t longest = 0;
    for (uint32_t row = 0; row < call->rows_count; row++) {
        int32_t count = items.offsets[row + 1] - items.offsets[row];
        longest = count > longest ? count : longest;
    }
    for (int32_t position = 0; position < longest; position++)
        reduce_step(call, &items, (uint32_t)position, &state);
    if (call->args_count == 4) {
        uint32_t *rows = TN_ARENA_ARRAY(call->arena, uint32_t, call->rows_count);
        for (uint32_t row = 0; row < call->rows_count; row++)
            rows[row] = row;
        tni_lambda_run(call, 3, &state, rows, call->rows_count, &state);
    }
    call->out->col = state;
    call->out->col.type = call->type;
    if (!before)
        return;
    tn_column_need_validity(&call->out->col, call->arena);
    for (size_t at = 0; at < tn_bits_bytes(call->rows_count); at++)
        call->out->col.validity[at] &= before[at];
}

/* ---- zip_with ---- */

static void kernel_zip_with(struct tn_call *call)
{
    const struct tn_column *a = &call->args[0], *b = &call->args[1];
    struct items items = {.offsets = TN_ARENA_ARRAY(call->arena, int32_t, call->rows_count + 1)};
    uint32_t room = (uint32_t)(a->offsets[a->rows_count] + b->offsets[b->rows_count]);
    if (call->is_const[0] || call->is_const[1])
        room *= call->rows_count;
    uint32_t *at_a = TN_ARENA_ARRAY(call->arena, uint32_t, room);
    uint32_t *at_b = TN_ARENA_ARRAY(call->arena, uint32_t, room);
    items.parents = TN_ARENA_ARRAY(call->arena, uint32_t, room);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        uint32_t row_a = tni_arg_row(call, 0, row), row_b = tni_arg_row(call, 1, row);
        int32_t count_a = a->offsets[row_a + 1] - a->offsets[row_a];
        int32_t count_b = b->offsets[row_b + 1] - b->offsets[row_b];
        int32_t count = count_a > count_b ? count_a : count_b;
        for (int32_t i = 0; tni_row_ok(call, row) && i < count; i++) {
            at_a[items.count] = i < count_a ? (uint32_t)(a->offsets[row_a] + i) : TNI_NO_ITEM;
            at_b[items.count] = i < count_b ? (uint32_t)(b->offsets[row_b] + i) : TNI_NO_ITEM;
            items.parents[items.count++] = row;
        }
        items.offsets[row + 1] = (int32_t)items.count;
    }
    struct tn_column params[2];
    struct tn_column *child = TN_ARENA_NEW(call->arena, struct tn_column);
    tni_gather_or_null(&a->children[0], at_a, items.count, &params[0], call->arena);
    tni_gather_or_null(&b->children[0], at_b, items.count, &params[1], call->arena);
    tni_lambda_run(call, 2, params, items.parents, items.count, child);
    give_list(call, &items, child);
}

/* ---- types ---- */

static enum tn_status resolve_transform(const struct tn_func *func,
                                        const struct tn_type **arg_types, uint32_t args_count,
                                        struct tn_arena *arena, const struct tn_type **ret_type)
{
    (void)func;
    if (arg_types[0]->kind == TN_K_ARRAY && args_count == 2)
        *ret_type = tn_type_array(arena, arg_types[1]);
    else if (arg_types[0]->kind == TN_K_MAP && args_count == 3)
        *ret_type = tn_type_map(arena, arg_types[1], arg_types[2]);
    else
        return TN_E_TYPE;
    return TN_OK;
}

static enum tn_status resolve_transform_child(const struct tn_func *func,
                                              const struct tn_type **arg_types, uint32_t args_count,
                                              struct tn_arena *arena,
                                              const struct tn_type **ret_type)
{
    (void)args_count;
    if (arg_types[0]->kind != TN_K_MAP)
        return TN_E_TYPE;
    bool is_keys = strcmp(func->name, "transform_keys") == 0;
    const struct tn_field *children = arg_types[0]->children;
    *ret_type = tn_type_map(arena, is_keys ? arg_types[1] : children[0].type,
                            is_keys ? children[1].type : arg_types[1]);
    return TN_OK;
}

static enum tn_status resolve_filter(const struct tn_func *func, const struct tn_type **arg_types,
                                     uint32_t args_count, struct tn_arena *arena,
                                     const struct tn_type **ret_type)
{
    (void)args_count;
    (void)arena;
    if (!tn_kind_is_nested(arg_types[0]->kind) ||
        (arg_types[1]->kind != TN_K_BOOLEAN && arg_types[1]->kind != TN_K_NULL))
        return TN_E_TYPE;
    bool is_match = strstr(func->name, "_match") != NULL;
    arg_types[1] = tn_type_of(TN_K_BOOLEAN);
    *ret_type = is_match ? arg_types[1] : arg_types[0];
    return TN_OK;
}

static enum tn_status resolve_reduce(const struct tn_func *func, const struct tn_type **arg_types,
                                     uint32_t args_count, struct tn_arena *arena,
                                     const struct tn_type **ret_type)
{
    (void)arena;
    enum tn_rules rules = func->flags & TN_FN_QUERY ? TN_RULES_QUERY : TN_RULES_STREAM;
    if (!tn_kind_is_nested(arg_types[0]->kind) ||
        !tn_type_coercible(arg_types[2], arg_types[1], rules))
        return TN_E_TYPE;
    arg_types[2] = arg_types[1];
    *ret_type = arg_types[args_count == 4 ? 3 : 1];
    return TN_OK;
}

static enum tn_status resolve_zip_with(const struct tn_func *func, const struct tn_type **arg_types,
                                       uint32_t args_count, struct tn_arena *arena,
                                       const struct tn_type **ret_type)
{
    (void)func;
    (void)args_count;
    if (arg_types[0]->kind != TN_K_ARRAY || arg_types[1]->kind != TN_K_ARRAY)
        return TN_E_TYPE;
    *ret_type = tn_type_array(arena, arg_types[2]);
    return TN_OK;
}

#define LAMBDA(NAME, FLAGS, ARGS, FN, RESOLVE, HELP)                                               \
    {                                                                                              \
        .name = NAME, .flags = FLAGS, .args_count = sizeof(ARGS) - 1, .args = ARGS, .kernel = FN,  \
        .resolve = RESOLVE, .help = HELP                                                           \
    }

static const struct tn_func rows[] = {
    LAMBDA("transform", TNI_BOTH, "Af", kernel_transform, resolve_transform,
           "array of the lambda's results"),
    LAMBDA("transform", TN_FN_STREAM, "Mff", kernel_transform, resolve_transform,
           "map with new keys and values by two lambdas"),
    LAMBDA("filter", TNI_BOTH, "Af", kernel_filter, resolve_filter,
           "elements for which the lambda is true"),
    LAMBDA("filter", TN_FN_STREAM, "Mf", kernel_filter, resolve_filter,
           "entries for which the lambda is true"),
    LAMBDA("map_filter", TN_FN_QUERY, "Mf", kernel_filter, resolve_filter,
           "entries for which the lambda is true"),
    LAMBDA("transform_keys", TN_FN_QUERY, "Mf", kernel_transform_keys, resolve_transform_child,
           "map with new keys by the lambda"),
    LAMBDA("transform_values", TN_FN_QUERY, "Mf", kernel_transform_values, resolve_transform_child,
           "map with new values by the lambda"),
    LAMBDA("any_match", TN_FN_QUERY, "Af", kernel_any_match, resolve_filter,
           "whether the lambda is true for an element"),
    LAMBDA("all_match", TN_FN_QUERY, "Af", kernel_all_match, resolve_filter,
           "whether the lambda is true for all elements"),
    LAMBDA("none_match", TN_FN_QUERY, "Af", kernel_none_match, resolve_filter,
           "whether the lambda is true for no element"),
    LAMBDA("reduce", TN_FN_STREAM, "A*f", kernel_reduce, resolve_reduce,
           "folds an array: lambda of state and element"),
    LAMBDA("reduce", TN_FN_STREAM, "M*f", kernel_reduce, resolve_reduce,
           "folds a map: lambda of state, key and value"),
    LAMBDA("reduce", TN_FN_QUERY, "A*ff", kernel_reduce, resolve_reduce,
           "folds an array: lambda of state and element, then one of the state"),
    LAMBDA("zip_with", TN_FN_QUERY, "AAf", kernel_zip_with, resolve_zip_with,
           "array of the lambda's results over the elements of two arrays"),
};

TNI_TABLE(lambda);

/* ---- parameter types ---- */

/* Parameters of the lambda that is `arg` of the overload; 0 when they cannot be told. */
static uint32_t params_for(const struct tn_func *func, const struct tn_type *const *types,
                           uint32_t arg, const struct tn_type **ret_params)
{
    const struct tn_type *list = types[0];
    uint32_t n = 0;
    bool is_reduce = strcmp(func->name, "reduce") == 0;
    bool is_map = func->args[0] == 'M';
    if (!list || list->kind != (is_map ? TN_K_MAP : TN_K_ARRAY) || (is_reduce && !types[1]))
        return 0;
    if (is_reduce)
        ret_params[n++] = types[1];
    if (is_reduce && arg == 3)
        return n;
    for (uint32_t k = 0; k < list->children_count; k++)
        ret_params[n++] = list->children[k].type;
    if (strcmp(func->name, "zip_with") == 0) {
        if (!types[1] || types[1]->kind != TN_K_ARRAY)
            return 0;
        ret_params[n++] = types[1]->children[0].type;
    }
    return n;
}

enum tn_status tn_func_lambda(struct tn_str name, enum tn_rules rules,
                              const struct tn_type *const *arg_types, uint32_t args_count,
                              uint32_t arg, uint32_t params_count,
                              const struct tn_type **ret_param_types, struct tn_err *err)
{
    bool is_known = false;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct tn_func *func = &rows[i];
        const struct tn_type *params[4];
        unsigned flag = rules == TN_RULES_STREAM ? TN_FN_STREAM : TN_FN_QUERY;
        if (!tn_str_eq_nocase(name, tn_str_of(func->name)) || !(func->flags & flag))
            continue;
        is_known = true;
        if (arg >= func->args_count || func->args[arg] != 'f' || args_count > func->args_count)
            continue;
        if (params_for(func, arg_types, arg, params) != params_count || params_count == 0)
            continue;
        memcpy(ret_param_types, params, params_count * sizeof *params);
        return TN_OK;
    }
    if (!is_known) {
        tn_err_at(err, TN_E_NAME, "FUNCTION_NOT_FOUND", 0, 0, "function '%.*s' takes no lambda",
                  TN_STR_FMT(name));
        return TN_NOT_FOUND;
    }
    return tn_err_at(err, TN_E_TYPE, "TYPE_MISMATCH", 0, 0,
                     "argument %u of %.*s does not take a lambda with %u parameters", arg + 1,
                     TN_STR_FMT(name), params_count);
}
