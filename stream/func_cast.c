/* CAST between numbers, booleans and collections, and the table of all casts. Text and time are in
 * func_cast_text.c and func_cast_time.c.
 *
 *                          stream rules                 query rules
 *   DOUBLE → integer       cut; NaN 0, saturates        half away from zero; out of range fails
 *   DECIMAL → integer      cut, wraps                   half up; out of range fails
 *   BIGINT → INTEGER       wraps                        out of range fails
 *   … → DECIMAL            half up; too many digits fail in both
 *   BOOLEAN ↔ number       –                            0, 1; not 0 is true
 *
 * TRY_CAST is the same kernel; its own errors become NULL. @thread the running one */
#include "stream/func_cast.h"

#include "stream/func_int.h"

/* ---- to integers ---- */

static void int_to_bigint(struct tn_call *call)
{
    const int32_t *a = call->args[0].values;
    for (uint32_t row = 0; row < call->rows_count; row++)
        TNI_OUT(call, int64_t)[row] = a[row];
}

static void bigint_to_int_stream(struct tn_call *call)
{
    const int64_t *a = call->args[0].values;
    for (uint32_t row = 0; row < call->rows_count; row++)
        TNI_OUT(call, int32_t)[row] = (int32_t)(uint32_t)(uint64_t)a[row];
}

static bool put_integer(struct tn_call *call, uint32_t row, int64_t value)
{
    if (call->type->kind == TN_K_BIGINT)
        TNI_OUT(call, int64_t)[row] = value;
    else if (value >= INT32_MIN && value <= INT32_MAX)
        TNI_OUT(call, int32_t)[row] = (int32_t)value;
    else
        return false;
    return true;
}

static void bigint_to_int_query(struct tn_call *call)
{
    for (uint32_t row = 0; row < call->rows_count; row++)
        if (tni_row_ok(call, row) && !put_integer(call, row, tn_column_i64(&call->args[0], row)))
            tni_error_range(call, row, "out of range for integer: %lld",
                            (long long)tn_column_i64(&call->args[0], row));
}

static void double_to_integer_stream(struct tn_call *call)
{
    bool is_wide = call->type->kind == TN_K_BIGINT;
    double low = is_wide ? -0x1p63 : (double)INT32_MIN, high = is_wide ? 0x1p63 : 0x1p31;
    for (uint32_t row = 0; row < call->rows_count; row++) {
        double x = tn_column_f64(&call->args[0], row);
        int64_t value = isnan(x)    ? 0
                        : x <= low  ? (is_wide ? INT64_MIN : INT32_MIN)
                        : x >= high ? (is_wide ? INT64_MAX : INT32_MAX)
                                    : (int64_t)x;
        if (is_wide)
            TNI_OUT(call, int64_t)[row] = value;
        else
            TNI_OUT(call, int32_t)[row] = (int32_t)value;
    }
}

static void double_to_integer_query(struct tn_call *call)
{
    for (uint32_t row = 0; row < call->rows_count; row++) {
        double x = tn_column_f64(&call->args[0], row);
        if (!tni_row_ok(call, row))
            continue;
        double rounded = round(x);
        bool is_wide = call->type->kind == TN_K_BIGINT;
        if (rounded >= -0x1p63 && rounded < 0x1p63 && put_integer(call, row, (int64_t)rounded))
            continue;
        if (is_wide || isnan(x))
            tni_error_cast(call, row, "unable to cast %g to %s", x, is_wide ? "bigint" : "integer");
        else
            tni_error_range(call, row, "out of range for integer: %g", x);
    }
}

static void decimal_to_integer(struct tn_call *call)
{
    bool is_stream = tni_call_rules(call) == TN_RULES_STREAM;
    int scale = call->args[0].type->scale;
    for (uint32_t row = 0; row < call->rows_count; row++) {
        tn_int128 value = tni_arg_dec(call, 0, row);
        if (!tni_row_ok(call, row))
            continue;
        if (is_stream)
            value /= tn_decimal_ten(scale);
        else if (!tn_decimal_rescale(value, scale, 0, &value, NULL))
            value = 0; /* cannot happen: the scale shrinks */
        if (is_stream && call->type->kind == TN_K_INTEGER)
            value = (int32_t)(uint32_t)(tn_uint128)value;
        bool is_in = is_stream || (value >= INT64_MIN && value <= INT64_MAX);
        if (!is_in || !put_integer(call, row, (int64_t)(uint64_t)(tn_uint128)value))
            tni_error_cast(call, row, "a decimal is out of range for %s",
                           call->type->kind == TN_K_BIGINT ? "bigint" : "integer");
    }
}

static void bool_to_number(struct tn_call *call)
{
    for (uint32_t row = 0; row < call->rows_count; row++) {
        bool value = tn_column_bool(&call->args[0], row);
        switch (call->type->kind) {
        case TN_K_INTEGER: TNI_OUT(call, int32_t)[row] = value; break;
        case TN_K_BIGINT: TNI_OUT(call, int64_t)[row] = value; break;
        case TN_K_DOUBLE: TNI_OUT(call, double)[row] = value; break;
        default: TNI_OUT(call, tn_int128)[row] = value ? tn_decimal_ten(call->type->scale) : 0;
        }
    }
}

/* ---- to DOUBLE, DECIMAL, BOOLEAN ---- */

static void number_to_double(struct tn_call *call)
{
    const struct tn_column *col = &call->args[0];
    for (uint32_t row = 0; row < call->rows_count; row++)
        TNI_OUT(call, double)
    [row] = col->type->kind == TN_K_INTEGER ? (double)tn_column_i32(col, row)
            : col->type->kind == TN_K_BIGINT
                ? (double)tn_column_i64(col, row)
                : tn_decimal_to_double(tni_arg_dec(call, 0, row), col->type->scale);
}

static void error_decimal(struct tn_call *call, uint32_t row)
{
    tni_error_cast(call, row, "value does not fit DECIMAL(%d, %d)", call->type->precision,
                   call->type->scale);
}

static void exact_to_decimal(struct tn_call *call)
{
    const struct tn_type *from = call->args[0].type;
    int scale = from->kind == TN_K_DECIMAL ? from->scale : 0;
    for (uint32_t row = 0; row < call->rows_count; row++) {
        if (!tni_row_ok(call, row))
            continue;
        tn_int128 value =
            from->kind == TN_K_DECIMAL ? tni_arg_dec(call, 0, row) : tni_arg_int(call, 0, row);
        if (tn_decimal_rescale(value, scale, call->type->scale, &value, NULL) &&
            tn_decimal_fits(value, call->type->precision))
            TNI_OUT(call, tn_int128)[row] = value;
        else
            error_decimal(call, row);
    }
}

static void double_to_decimal(struct tn_call *call)
{
    for (uint32_t row = 0; row < call->rows_count; row++) {
        if (!tni_row_ok(call, row))
            continue;
        if (!tn_decimal_from_double(tn_column_f64(&call->args[0], row), call->type->precision,
                                    call->type->scale, &TNI_OUT(call, tn_int128)[row]))
            error_decimal(call, row);
    }
}

static void number_to_bool(struct tn_call *call)
{
    for (uint32_t row = 0; row < call->rows_count; row++) {
        enum tn_kind kind = call->args[0].type->kind;
        bool value = kind == TN_K_DOUBLE    ? tn_column_f64(&call->args[0], row) != 0
                     : kind == TN_K_DECIMAL ? tni_arg_dec(call, 0, row) != 0
                                            : tni_arg_int(call, 0, row) != 0;
        tn_bit_put(call->out->col.values, row, value);
    }
}

/* ---- collections ---- */

/* Rows of the parent for each item of its lists. */
static uint32_t *list_parents(const struct tn_column *col, struct tn_arena *arena)
{
    uint32_t items_count = (uint32_t)col->offsets[col->rows_count];
    uint32_t *parents = TN_ARENA_ARRAY(arena, uint32_t, items_count);
    for (uint32_t row = 0; row < col->rows_count; row++)
        for (int32_t at = col->offsets[row]; at < col->offsets[row + 1]; at++)
            parents[at] = row;
    return parents;
}

static void cast_child(struct tn_call *call, uint32_t child, const uint32_t *parents,
                       struct tn_column *ret_col)
{
    const struct tn_column *from = &call->args[0].children[child];
    const struct tn_type *type = call->type->children[child].type;
    if (tn_type_eq(from->type, type)) {
        *ret_col = *from;
        return;
    }
    if (from->type->kind == TN_K_NULL) {
        tn_column_init(ret_col, type, from->rows_count, true, call->arena);
        memset(ret_col->validity, 0, tn_bits_bytes(from->rows_count));
        return;
    }
    tn_kernel kernel = tni_cast_kernel(from->type, type, tni_call_rules(call));
    TN_ASSERT(kernel); /* tni_cast_kernel of the whole type checked its children */
    bool is_const = false;
    tni_call_kernel(call, kernel, type, from, &is_const, 1, from->rows_count, parents, ret_col);
}

static void cast_children(struct tn_call *call)
{
    uint8_t *validity = call->out->col.validity;
    const struct tn_column *from = &call->args[0];
    bool is_list = from->type->kind != TN_K_STRUCT;
    const uint32_t *parents = is_list ? list_parents(from, call->arena) : NULL;
    struct tn_column *col = &call->out->col;
    struct tn_column *children =
        TN_ARENA_ARRAY(call->arena, struct tn_column, from->type->children_count);
    *col = (struct tn_column){.type = call->type,
                              .rows_count = call->rows_count,
                              .validity = validity,
                              .offsets = from->offsets,
                              .children = children};
    for (uint32_t k = 0; k < from->type->children_count; k++)
        cast_child(call, k, parents, &children[k]);
}

static void same_layout(struct tn_call *call)
{
    tni_same_as(call, 0);
}

/* ---- the table ---- */

struct cast {
    tn_kernel stream, query;
};

static const struct cast scalar_casts[TN_K_ARRAY][TN_K_ARRAY] = {
    [TN_K_BOOLEAN] = {[TN_K_INTEGER] = {NULL, bool_to_number},
                      [TN_K_BIGINT] = {NULL, bool_to_number},
                      [TN_K_DOUBLE] = {NULL, bool_to_number},
                      [TN_K_DECIMAL] = {NULL, bool_to_number}},
    [TN_K_INTEGER] = {[TN_K_BOOLEAN] = {NULL, number_to_bool},
                      [TN_K_BIGINT] = {int_to_bigint, int_to_bigint},
                      [TN_K_DOUBLE] = {number_to_double, number_to_double},
                      [TN_K_DECIMAL] = {exact_to_decimal, exact_to_decimal}},
    [TN_K_BIGINT] = {[TN_K_BOOLEAN] = {NULL, number_to_bool},
                     [TN_K_INTEGER] = {bigint_to_int_stream, bigint_to_int_query},
                     [TN_K_DOUBLE] = {number_to_double, number_to_double},
                     [TN_K_DECIMAL] = {exact_to_decimal, exact_to_decimal}},
    [TN_K_DOUBLE] = {[TN_K_BOOLEAN] = {NULL, number_to_bool},
                     [TN_K_INTEGER] = {double_to_integer_stream, double_to_integer_query},
                     [TN_K_BIGINT] = {double_to_integer_stream, double_to_integer_query},
                     [TN_K_DECIMAL] = {double_to_decimal, double_to_decimal}},
    [TN_K_DECIMAL] = {[TN_K_BOOLEAN] = {NULL, number_to_bool},
                      [TN_K_INTEGER] = {decimal_to_integer, decimal_to_integer},
                      [TN_K_BIGINT] = {decimal_to_integer, decimal_to_integer},
                      [TN_K_DOUBLE] = {number_to_double, number_to_double},
                      [TN_K_DECIMAL] = {exact_to_decimal, exact_to_decimal}},
};

static tn_kernel nested_kernel(const struct tn_type *from, const struct tn_type *to,
                               enum tn_rules rules)
{
    if (from->kind != to->kind || from->children_count != to->children_count)
        return NULL;
    for (uint32_t i = 0; i < from->children_count; i++)
        if (!tn_type_eq(from->children[i].type, to->children[i].type) &&
            from->children[i].type->kind != TN_K_NULL &&
            !tni_cast_kernel(from->children[i].type, to->children[i].type, rules))
            return NULL;
    return cast_children;
}

tn_kernel tni_cast_kernel(const struct tn_type *from, const struct tn_type *to, enum tn_rules rules)
{
    if (from->kind == TN_K_NULL || tn_type_eq(from, to))
        return same_layout;
    tn_kernel kernel = tni_cast_text_kernel(from, to, rules);
    if (!kernel)
        kernel = tni_cast_time_kernel(from, to, rules);
    if (!kernel && tn_kind_is_nested(from->kind))
        return nested_kernel(from, to, rules);
    if (kernel || tn_kind_is_nested(from->kind) || tn_kind_is_nested(to->kind))
        return kernel;
    const struct cast *cast = &scalar_casts[from->kind][to->kind];
    return rules == TN_RULES_STREAM ? cast->stream : cast->query;
}

static void kernel_cast(struct tn_call *call)
{
    tn_kernel kernel = tni_cast_kernel(call->args[0].type, call->type, tni_call_rules(call));
    TN_ASSERT(kernel);
    kernel(call);
}

static void kernel_try_cast(struct tn_call *call)
{
    kernel_cast(call);
    call->out->errors = NULL; /* the rows are NULL already */
    call->out->errors_count = 0;
}

static enum tn_status never(const struct tn_func *func, const struct tn_type **arg_types,
                            uint32_t args_count, struct tn_arena *arena,
                            const struct tn_type **ret_type)
{
    (void)func;
    (void)arg_types;
    (void)args_count;
    (void)arena;
    (void)ret_type;
    return TN_E_TYPE; /* the target type is not an argument: tn_func_cast makes these calls */
}

#define CAST(NAME, FLAG, FN)                                                                       \
    {                                                                                              \
        .name = NAME, .flags = (FLAG) | TN_FN_INTERNAL, .args_count = 1, .args = "*",              \
        .kernel = FN, .resolve = never                                                             \
    }

static const struct tn_func rows[] = {
    CAST("cast", TN_FN_STREAM, kernel_cast),
    CAST("cast", TN_FN_QUERY, kernel_cast),
    CAST("try_cast", TN_FN_STREAM, kernel_try_cast),
    CAST("try_cast", TN_FN_QUERY, kernel_try_cast),
};

TNI_TABLE(cast);

static void print_type(const struct tn_type *type, enum tn_rules rules, struct tn_buf *buf)
{
    if (rules == TN_RULES_QUERY)
        tn_type_print_trino(type, buf);
    else
        tn_type_print_ksql(type, buf);
}

enum tn_status tn_func_cast(const struct tn_type *from, const struct tn_type *to,
                            enum tn_rules rules, bool is_try, const struct tn_func **ret_func,
                            struct tn_err *err)
{
    if (tni_cast_kernel(from, to, rules)) {
        *ret_func = &rows[(is_try ? 2 : 0) + (rules == TN_RULES_QUERY ? 1 : 0)];
        return TN_OK;
    }
    struct tn_buf buf;
    tn_buf_init(&buf, 300);
    tn_buf_add_text(&buf, "cannot cast ");
    print_type(from, rules, &buf);
    tn_buf_add_text(&buf, " to ");
    print_type(to, rules, &buf);
    tn_err_at(err, TN_E_TYPE, "TYPE_MISMATCH", 0, 0, "%.*s", TN_STR_FMT(tn_buf_str(&buf)));
    tn_buf_release(&buf);
    return TN_E_TYPE;
}
