/* Aggregates of the query rules that fit no other family: count_if, bool_and, every, bool_or,
 * arbitrary, any_value, max_by, min_by.
 *
 * @thread owner of the state */
#include <math.h>

#include "stream/agg_int.h"

static void zero_init(const struct tn_agg_call *call, void *state)
{
    memset(state, 0, call->state_bytes);
}

static enum tn_status boolean_arg(struct tn_agg_call *call, struct tn_err *err)
{
    if (call->arg_types[0]->kind != TN_K_BOOLEAN)
        return tni_agg_bad_type(call, 0, "a boolean", err);
    call->state_bytes = sizeof(int64_t);
    return TN_OK;
}

static void i64_encode(const struct tn_agg_call *call, const void *state, struct tn_buf *buf)
{
    (void)call;
    tni_put_i64(buf, *(const int64_t *)state);
}

static enum tn_status i64_decode(const struct tn_agg_call *call, void *state, const char *ptr,
                                 const char *end, const char **ret_next)
{
    (void)call;
    ptr = tni_get_i64(ptr, end, state);
    if (!ptr)
        return TN_E_CORRUPT;
    *ret_next = ptr;
    return TN_OK;
}

/* ---- count_if ---- */

static enum tn_status count_if_bind(struct tn_agg_call *call, struct tn_arena *arena,
                                    struct tn_err *err)
{
    (void)arena;
    call->type = tn_type_of(TN_K_BIGINT);
    return boolean_arg(call, err);
}

static void count_if_update(const struct tn_agg_call *call, const struct tn_column *args,
                            const uint32_t *rows, uint32_t rows_count, void *const *states)
{
    (void)call;
    for (uint32_t i = 0; i < rows_count; i++)
        *(int64_t *)states[i] += tn_column_bool(&args[0], tni_row(rows, i));
}

static void count_if_merge(const struct tn_agg_call *call, void *to, const void *from)
{
    (void)call;
    *(int64_t *)to += *(const int64_t *)from;
}

static void count_if_final(const struct tn_agg_call *call, void *const *states, uint32_t count,
                           struct tn_column *ret_col, struct tn_arena *arena)
{
    tn_column_init(ret_col, call->type, count, false, arena);
    for (uint32_t i = 0; i < count; i++)
        ((int64_t *)ret_col->values)[i] = *(const int64_t *)states[i];
}

static const struct tn_agg count_if_agg = {
    .name = "count_if",
    .flags = TN_AGG_QUERY,
    .args_min = 1,
    .args_max = 1,
    .bind = count_if_bind,
    .init = zero_init,
    .update = count_if_update,
    .merge = count_if_merge,
    .final = count_if_final,
    .encode = i64_encode,
    .decode = i64_decode,
    .help = "number of rows where the argument is true",
};

/* ---- bool_and, every, bool_or: 0 = no row, 1 = false, 2 = true ---- */

static enum tn_status bool_bind(struct tn_agg_call *call, struct tn_arena *arena,
                                struct tn_err *err)
{
    (void)arena;
    call->type = tn_type_of(TN_K_BOOLEAN);
    return boolean_arg(call, err);
}

static void bool_add(int64_t *state, int64_t value, bool is_or)
{
    if (!*state || !value)
        *state = *state ? *state : value;
    else if (is_or ? value > *state : value < *state)
        *state = value;
}

static void bool_or_update(const struct tn_agg_call *call, const struct tn_column *args,
                           const uint32_t *rows, uint32_t rows_count, void *const *states)
{
    (void)call;
    for (uint32_t i = 0; i < rows_count; i++)
        bool_add(states[i], 1 + tn_column_bool(&args[0], tni_row(rows, i)), true);
}

static void bool_and_update(const struct tn_agg_call *call, const struct tn_column *args,
                            const uint32_t *rows, uint32_t rows_count, void *const *states)
{
    (void)call;
    for (uint32_t i = 0; i < rows_count; i++)
        bool_add(states[i], 1 + tn_column_bool(&args[0], tni_row(rows, i)), false);
}

static void bool_or_merge(const struct tn_agg_call *call, void *to, const void *from)
{
    (void)call;
    bool_add(to, *(const int64_t *)from, true);
}

static void bool_and_merge(const struct tn_agg_call *call, void *to, const void *from)
{
    (void)call;
    bool_add(to, *(const int64_t *)from, false);
}

static void bool_final(const struct tn_agg_call *call, void *const *states, uint32_t count,
                       struct tn_column *ret_col, struct tn_arena *arena)
{
    tn_column_init(ret_col, call->type, count, false, arena);
    for (uint32_t i = 0; i < count; i++) {
        int64_t state = *(const int64_t *)states[i];
        tn_bit_put(ret_col->values, i, state == 2);
        if (!state)
            tn_column_set_null(ret_col, i, arena);
    }
}

#define BOOL_AGG(id, text, add, join, line)                                                        \
    static const struct tn_agg id = {                                                              \
        .name = text,                                                                              \
        .flags = TN_AGG_QUERY,                                                                     \
        .args_min = 1,                                                                             \
        .args_max = 1,                                                                             \
        .bind = bool_bind,                                                                         \
        .init = zero_init,                                                                         \
        .update = add,                                                                             \
        .merge = join,                                                                             \
        .final = bool_final,                                                                       \
        .encode = i64_encode,                                                                      \
        .decode = i64_decode,                                                                      \
        .help = line,                                                                              \
    };
BOOL_AGG(bool_and_agg, "bool_and", bool_and_update, bool_and_merge, "true when every value is")
BOOL_AGG(every_agg, "every", bool_and_update, bool_and_merge, "true when every value is")
BOOL_AGG(bool_or_agg, "bool_or", bool_or_update, bool_or_merge, "true when any value is")

/* ---- arbitrary, any_value ---- */

static enum tn_status any_bind(struct tn_agg_call *call, struct tn_arena *arena, struct tn_err *err)
{
    (void)arena;
    (void)err;
    call->type = call->arg_types[0];
    call->state_bytes = sizeof(struct tni_cell);
    return TN_OK;
}

static void any_update(const struct tn_agg_call *call, const struct tn_column *args,
                       const uint32_t *rows, uint32_t rows_count, void *const *states)
{
    (void)call;
    for (uint32_t i = 0; i < rows_count; i++) {
        struct tni_cell *cell = states[i];
        if (cell->state == TNI_CELL_NONE)
            tni_cell_set(cell, &args[0], tni_row(rows, i));
    }
}

static void any_merge(const struct tn_agg_call *call, void *to, const void *from)
{
    if (((const struct tni_cell *)to)->state == TNI_CELL_NONE)
        tni_cell_copy(call->type, to, from);
}

static void any_final(const struct tn_agg_call *call, void *const *states, uint32_t count,
                      struct tn_column *ret_col, struct tn_arena *arena)
{
    tni_cells_column(call->type, states, 0, count, ret_col, arena);
}

static void any_encode(const struct tn_agg_call *call, const void *state, struct tn_buf *buf)
{
    tni_cell_encode(call->type, state, buf);
}

static enum tn_status any_decode(const struct tn_agg_call *call, void *state, const char *ptr,
                                 const char *end, const char **ret_next)
{
    ptr = tni_cell_decode(call->type, state, ptr, end);
    if (!ptr)
        return TN_E_CORRUPT;
    *ret_next = ptr;
    return TN_OK;
}

static void any_release(const struct tn_agg_call *call, void *state)
{
    (void)call;
    tni_cell_release(state);
}

static size_t any_bytes_extra(const struct tn_agg_call *call, const void *state)
{
    (void)call;
    return tni_cell_bytes(state);
}

#define ANY_AGG(id, text)                                                                          \
    static const struct tn_agg id = {                                                              \
        .name = text,                                                                              \
        .flags = TN_AGG_QUERY,                                                                     \
        .args_min = 1,                                                                             \
        .args_max = 1,                                                                             \
        .bind = any_bind,                                                                          \
        .init = zero_init,                                                                         \
        .update = any_update,                                                                      \
        .merge = any_merge,                                                                        \
        .final = any_final,                                                                        \
        .encode = any_encode,                                                                      \
        .decode = any_decode,                                                                      \
        .release = any_release,                                                                    \
        .bytes_extra = any_bytes_extra,                                                            \
        .help = "some value that is not NULL (the first)",                                         \
    };
ANY_AGG(arbitrary_agg, "arbitrary")
ANY_AGG(any_value_agg, "any_value")

/* ---- max_by, min_by ---- */

struct by_state {
    struct tni_cell value; /* may be NULL */
    struct tni_cell order;
};

static enum tn_status by_bind(struct tn_agg_call *call, struct tn_arena *arena, struct tn_err *err)
{
    (void)arena;
    enum tn_kind kind = call->arg_types[1]->kind;
    if (tn_kind_is_nested(kind) || kind == TN_K_JSON)
        return tni_agg_bad_type(call, 1, "an orderable type as second argument", err);
    call->type = call->arg_types[0];
    call->state_bytes = sizeof(struct by_state);
    return TN_OK;
}

/* Order of two cells; NaN is below all numbers for max_by and above them for min_by. */
static int by_cmp(const struct tn_type *type, const struct tni_cell *a, double b, int cmp, int sign)
{
    if (type->kind != TN_K_DOUBLE || sign < 0 || isnan(a->d) == isnan(b))
        return cmp;
    return -cmp;
}

static void by_apply(const struct tn_column *args, const uint32_t *rows, uint32_t rows_count,
                     void *const *states, int sign)
{
    for (uint32_t i = 0; i < rows_count; i++) {
        struct by_state *s = states[i];
        uint32_t row = tni_row(rows, i);
        if (tn_column_is_null(&args[1], row))
            continue;
        const struct tn_type *type = args[1].type;
        double value = type->kind == TN_K_DOUBLE ? tn_column_f64(&args[1], row) : 0;
        if (s->order.state == TNI_CELL_VALUE &&
            sign * by_cmp(type, &s->order, value, tni_cell_cmp_row(&s->order, &args[1], row),
                          sign) >=
                0)
            continue;
        tni_cell_set(&s->order, &args[1], row);
        tni_cell_set(&s->value, &args[0], row);
    }
}

static void max_by_update(const struct tn_agg_call *call, const struct tn_column *args,
                          const uint32_t *rows, uint32_t rows_count, void *const *states)
{
    (void)call;
    by_apply(args, rows, rows_count, states, 1);
}

static void min_by_update(const struct tn_agg_call *call, const struct tn_column *args,
                          const uint32_t *rows, uint32_t rows_count, void *const *states)
{
    (void)call;
    by_apply(args, rows, rows_count, states, -1);
}

static void by_merge(const struct tn_agg_call *call, void *to, const void *from, int sign)
{
    struct by_state *a = to;
    const struct by_state *b = from;
    if (b->order.state != TNI_CELL_VALUE ||
        (a->order.state == TNI_CELL_VALUE &&
         sign * by_cmp(call->arg_types[1], &a->order, b->order.d,
                       tni_cell_cmp(call->arg_types[1], &a->order, &b->order), sign) >=
             0))
        return;
    tni_cell_copy(call->arg_types[1], &a->order, &b->order);
    tni_cell_copy(call->arg_types[0], &a->value, &b->value);
}

static void max_by_merge(const struct tn_agg_call *call, void *to, const void *from)
{
    by_merge(call, to, from, 1);
}

static void min_by_merge(const struct tn_agg_call *call, void *to, const void *from)
{
    by_merge(call, to, from, -1);
}

static void by_encode(const struct tn_agg_call *call, const void *state, struct tn_buf *buf)
{
    const struct by_state *s = state;
    tni_cell_encode(call->arg_types[0], &s->value, buf);
    tni_cell_encode(call->arg_types[1], &s->order, buf);
}

static enum tn_status by_decode(const struct tn_agg_call *call, void *state, const char *ptr,
                                const char *end, const char **ret_next)
{
    struct by_state *s = state;
    ptr = tni_cell_decode(call->arg_types[0], &s->value, ptr, end);
    ptr = tni_cell_decode(call->arg_types[1], &s->order, ptr, end);
    if (!ptr)
        return TN_E_CORRUPT;
    *ret_next = ptr;
    return TN_OK;
}

static void by_release(const struct tn_agg_call *call, void *state)
{
    (void)call;
    struct by_state *s = state;
    tni_cell_release(&s->value);
    tni_cell_release(&s->order);
}

static size_t by_bytes_extra(const struct tn_agg_call *call, const void *state)
{
    (void)call;
    const struct by_state *s = state;
    return tni_cell_bytes(&s->value) + tni_cell_bytes(&s->order);
}

#define BY_AGG(id, text, add, join, line)                                                          \
    static const struct tn_agg id = {                                                              \
        .name = text,                                                                              \
        .flags = TN_AGG_QUERY | TN_AGG_NULLS,                                                      \
        .args_min = 2,                                                                             \
        .args_max = 2,                                                                             \
        .bind = by_bind,                                                                           \
        .init = zero_init,                                                                         \
        .update = add,                                                                             \
        .merge = join,                                                                             \
        .final = any_final, /* the value is the first member */                                    \
        .encode = by_encode,                                                                       \
        .decode = by_decode,                                                                       \
        .release = by_release,                                                                     \
        .bytes_extra = by_bytes_extra,                                                             \
        .help = line,                                                                              \
    };
BY_AGG(max_by_agg, "max_by", max_by_update, max_by_merge,
       "first argument of the row with the largest second argument")
BY_AGG(min_by_agg, "min_by", min_by_update, min_by_merge,
       "first argument of the row with the smallest second argument")

const struct tn_agg *const tni_aggs_query[] = {&count_if_agg, &bool_and_agg,  &every_agg,
                                               &bool_or_agg,  &arbitrary_agg, &any_value_agg,
                                               &max_by_agg,   &min_by_agg,    NULL};
