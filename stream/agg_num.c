/* SUM, AVG, MIN, MAX under both rule sets.
 *
 * stream: SUM and AVG keep the sum in the type of the argument and wrap; start at 0; DOUBLE is a
 * plain running sum, so that the final value is the state. DECIMAL keeps precision and scale,
 * overflow is an error of the state. query:  SUM of integers is BIGINT and checked, of DOUBLE
 * compensated, of DECIMAL(p,s) DECIMAL(38,s); NULL without rows. AVG of numbers is DOUBLE, of
 * DECIMAL(p,s) DECIMAL(p,s) rounded half up.
 *
 * @thread owner of the state */
#include <math.h>

#include "stream/agg_int.h"

#include "stream/base/hash.h"

/* ---- SUM, stream rules ---- */

struct sum_state {
    union {
        int64_t i;
        double d;
    };
};
struct sum_dec_state {
    uint64_t low, high; /* DECIMAL as two words: states are aligned to 8 only */
    uint64_t is_over;
};

static tn_int128 dec_get(const struct sum_dec_state *s)
{
    return (tn_int128)((tn_uint128)s->high << 64 | s->low);
}
static void dec_put(struct sum_dec_state *s, tn_int128 value)
{
    s->low = (uint64_t)value;
    s->high = (uint64_t)((tn_uint128)value >> 64);
}
static void dec_add(struct sum_dec_state *s, tn_int128 value, unsigned precision)
{
    tn_int128 sum, limit = tni_pow10(precision);
    if (__builtin_add_overflow(dec_get(s), value, &sum) || sum >= limit || sum <= -limit)
        s->is_over = 1;
    else
        dec_put(s, sum);
}

static enum tn_status sum_stream_bind(struct tn_agg_call *call, struct tn_arena *arena,
                                      struct tn_err *err)
{
    (void)arena;
    if (!tn_kind_is_number(call->arg_types[0]->kind))
        return tni_agg_bad_type(call, 0, "a number", err);
    call->type = call->arg_types[0];
    call->state_bytes =
        call->type->kind == TN_K_DECIMAL ? sizeof(struct sum_dec_state) : sizeof(struct sum_state);
    return TN_OK;
}

static void sum_stream_init(const struct tn_agg_call *call, void *state)
{
    memset(state, 0, call->state_bytes);
}

static void sum_stream_apply(const struct tn_agg_call *call, const struct tn_column *args,
                             const uint32_t *rows, uint32_t rows_count, void *const *states,
                             int sign)
{
    const struct tn_column *col = &args[0];
    switch (call->type->kind) {
    case TN_K_INTEGER:
        for (uint32_t i = 0; i < rows_count; i++) {
            int64_t *sum = states[i];
            *sum = tni_wrap_32(*sum + sign * (int64_t)tn_column_i32(col, tni_row(rows, i)));
        }
        break;
    case TN_K_BIGINT:
        for (uint32_t i = 0; i < rows_count; i++) {
            int64_t *sum = states[i], value = tn_column_i64(col, tni_row(rows, i));
            *sum = sign > 0 ? tni_wrap_add(*sum, value) : tni_wrap_sub(*sum, value);
        }
        break;
    case TN_K_DOUBLE:
        for (uint32_t i = 0; i < rows_count; i++)
            *(double *)states[i] += sign * tn_column_f64(col, tni_row(rows, i));
        break;
    default:
        for (uint32_t i = 0; i < rows_count; i++)
            dec_add(states[i], sign * ((const tn_int128 *)col->values)[tni_row(rows, i)],
                    call->type->precision);
    }
}

static void sum_stream_update(const struct tn_agg_call *call, const struct tn_column *args,
                              const uint32_t *rows, uint32_t rows_count, void *const *states)
{
    sum_stream_apply(call, args, rows, rows_count, states, 1);
}

static void sum_stream_retract(const struct tn_agg_call *call, const struct tn_column *args,
                               const uint32_t *rows, uint32_t rows_count, void *const *states)
{
    sum_stream_apply(call, args, rows, rows_count, states, -1);
}

static void sum_stream_merge(const struct tn_agg_call *call, void *to, const void *from)
{
    int64_t *a = to;
    switch (call->type->kind) {
    case TN_K_INTEGER: *a = tni_wrap_32(*a + *(const int64_t *)from); break;
    case TN_K_BIGINT: *a = tni_wrap_add(*a, *(const int64_t *)from); break;
    case TN_K_DOUBLE: *(double *)to += *(const double *)from; break;
    default: {
        const struct sum_dec_state *other = from;
        struct sum_dec_state *mine = to;
        dec_add(mine, dec_get(other), call->type->precision);
        mine->is_over |= other->is_over;
    }
    }
}

static void sum_stream_final(const struct tn_agg_call *call, void *const *states, uint32_t count,
                             struct tn_column *ret_col, struct tn_arena *arena)
{
    tn_column_init(ret_col, call->type, count, false, arena);
    for (uint32_t i = 0; i < count; i++) {
        switch (call->type->kind) {
        case TN_K_INTEGER:
            ((int32_t *)ret_col->values)[i] = (int32_t) * (const int64_t *)states[i];
            break;
        case TN_K_DECIMAL: ((tn_int128 *)ret_col->values)[i] = dec_get(states[i]); break;
        default: memcpy((int64_t *)ret_col->values + i, states[i], 8);
        }
    }
}

static void sum_stream_encode(const struct tn_agg_call *call, const void *state, struct tn_buf *buf)
{
    switch (call->type->kind) {
    case TN_K_DOUBLE: tn_buf_add(buf, state, 8); break;
    case TN_K_DECIMAL:
        tn_buf_add(buf, state, 16);
        tn_buf_add_byte(buf, (char)((const struct sum_dec_state *)state)->is_over);
        break;
    default: tni_put_i64(buf, *(const int64_t *)state);
    }
}

static enum tn_status sum_stream_decode(const struct tn_agg_call *call, void *state,
                                        const char *ptr, const char *end, const char **ret_next)
{
    switch (call->type->kind) {
    case TN_K_DOUBLE: ptr = tni_get_raw(ptr, end, state, 8); break;
    case TN_K_DECIMAL: {
        uint8_t is_over = 0;
        ptr = tni_get_raw(ptr, end, state, 16);
        ptr = tni_get_raw(ptr, end, &is_over, 1);
        ((struct sum_dec_state *)state)->is_over = is_over;
        break;
    }
    default: ptr = tni_get_i64(ptr, end, state);
    }
    if (!ptr)
        return TN_E_CORRUPT;
    *ret_next = ptr;
    return TN_OK;
}

static void sum_stream_from_final(const struct tn_agg_call *call, void *state,
                                  const struct tn_column *col, uint32_t row)
{
    memset(state, 0, call->state_bytes);
    if (tn_column_is_null(col, row))
        return;
    switch (call->type->kind) {
    case TN_K_INTEGER: *(int64_t *)state = tn_column_i32(col, row); break;
    case TN_K_DECIMAL: dec_put(state, ((const tn_int128 *)col->values)[row]); break;
    default: memcpy(state, (const int64_t *)col->values + row, 8);
    }
}

static enum tn_status sum_stream_error(const struct tn_agg_call *call, const void *state,
                                       struct tn_err *err)
{
    if (call->type->kind != TN_K_DECIMAL || !((const struct sum_dec_state *)state)->is_over)
        return TN_OK;
    return tn_err_at(err, TN_E_EVAL, "NUMERIC_VALUE_OUT_OF_RANGE", 0, 0,
                     "sum does not fit DECIMAL(%d, %d)", call->type->precision, call->type->scale);
}

static const struct tn_agg sum_stream_agg = {
    .name = "sum",
    .flags = TN_AGG_STREAM | TN_AGG_RETRACT | TN_AGG_INVERTIBLE | TN_AGG_EXACT,
    .args_min = 1,
    .args_max = 1,
    .bind = sum_stream_bind,
    .init = sum_stream_init,
    .update = sum_stream_update,
    .retract = sum_stream_retract,
    .merge = sum_stream_merge,
    .final = sum_stream_final,
    .encode = sum_stream_encode,
    .decode = sum_stream_decode,
    .from_final = sum_stream_from_final,
    .error = sum_stream_error,
    .help = "sum in the type of the argument; integers wrap",
};

/* ---- SUM and AVG, query rules: one state ---- */

struct total_state {
    int64_t count;
    uint64_t low, high; /* exact integer or DECIMAL sum */
    struct tni_sum_double d;
    uint64_t is_over;
};

static tn_int128 total_get(const struct total_state *s)
{
    return (tn_int128)((tn_uint128)s->high << 64 | s->low);
}
static void total_put(struct total_state *s, tn_int128 value)
{
    s->low = (uint64_t)value;
    s->high = (uint64_t)((tn_uint128)value >> 64);
}

static enum tn_status total_bind(struct tn_agg_call *call, struct tn_err *err)
{
    if (!tn_kind_is_number(call->arg_types[0]->kind))
        return tni_agg_bad_type(call, 0, "a number", err);
    call->state_bytes = sizeof(struct total_state);
    return TN_OK;
}

static enum tn_status sum_query_bind(struct tn_agg_call *call, struct tn_arena *arena,
                                     struct tn_err *err)
{
    TN_TRY(total_bind(call, err));
    enum tn_kind kind = call->arg_types[0]->kind;
    if (kind == TN_K_DECIMAL)
        call->type = tn_type_decimal(arena, TN_DECIMAL_PRECISION_MAX, call->arg_types[0]->scale);
    else
        call->type = tn_type_of(kind == TN_K_DOUBLE ? TN_K_DOUBLE : TN_K_BIGINT);
    return TN_OK;
}

static enum tn_status avg_query_bind(struct tn_agg_call *call, struct tn_arena *arena,
                                     struct tn_err *err)
{
    (void)arena;
    TN_TRY(total_bind(call, err));
    bool is_dec = call->arg_types[0]->kind == TN_K_DECIMAL;
    call->type = is_dec ? call->arg_types[0] : tn_type_of(TN_K_DOUBLE);
    return TN_OK;
}

static void total_init(const struct tn_agg_call *call, void *state)
{
    memset(state, 0, call->state_bytes);
}

static void total_add_dec(struct total_state *s, tn_int128 value)
{
    tn_int128 sum;
    if (__builtin_add_overflow(total_get(s), value, &sum))
        s->is_over = 1;
    else
        total_put(s, sum);
}

static void total_update(const struct tn_agg_call *call, const struct tn_column *args,
                         const uint32_t *rows, uint32_t rows_count, void *const *states)
{
    const struct tn_column *col = &args[0];
    for (uint32_t i = 0; i < rows_count; i++)
        ((struct total_state *)states[i])->count++;
    switch (call->arg_types[0]->kind) {
    case TN_K_INTEGER:
        for (uint32_t i = 0; i < rows_count; i++)
            total_add_dec(states[i], tn_column_i32(col, tni_row(rows, i)));
        break;
    case TN_K_BIGINT:
        for (uint32_t i = 0; i < rows_count; i++)
            total_add_dec(states[i], tn_column_i64(col, tni_row(rows, i)));
        break;
    case TN_K_DOUBLE:
        for (uint32_t i = 0; i < rows_count; i++)
            tni_sum_add(&((struct total_state *)states[i])->d,
                        tn_column_f64(col, tni_row(rows, i)));
        break;
    default:
        for (uint32_t i = 0; i < rows_count; i++)
            total_add_dec(states[i], ((const tn_int128 *)col->values)[tni_row(rows, i)]);
    }
}

static void total_merge(const struct tn_agg_call *call, void *to, const void *from)
{
    (void)call;
    struct total_state *a = to;
    const struct total_state *b = from;
    a->count += b->count;
    total_add_dec(a, total_get(b));
    tni_sum_add(&a->d, b->d.sum);
    a->d.comp += b->d.comp;
    a->is_over |= b->is_over;
}

static void sum_query_final(const struct tn_agg_call *call, void *const *states, uint32_t count,
                            struct tn_column *ret_col, struct tn_arena *arena)
{
    tn_column_init(ret_col, call->type, count, false, arena);
    for (uint32_t i = 0; i < count; i++) {
        const struct total_state *s = states[i];
        if (!s->count)
            tn_column_set_null(ret_col, i, arena);
        else if (call->type->kind == TN_K_DOUBLE)
            ((double *)ret_col->values)[i] = tni_sum_value(&s->d);
        else if (call->type->kind == TN_K_DECIMAL)
            ((tn_int128 *)ret_col->values)[i] = total_get(s);
        else
            ((int64_t *)ret_col->values)[i] = (int64_t)total_get(s);
    }
}

static enum tn_status sum_query_error(const struct tn_agg_call *call, const void *state,
                                      struct tn_err *err)
{
    const struct total_state *s = state;
    tn_int128 sum = total_get(s), limit;
    switch (call->type->kind) {
    case TN_K_DOUBLE: return TN_OK;
    case TN_K_DECIMAL:
        limit = tni_pow10(TN_DECIMAL_PRECISION_MAX);
        if (!s->is_over && sum < limit && sum > -limit)
            return TN_OK;
        return tn_err_at(err, TN_E_EVAL, "NUMERIC_VALUE_OUT_OF_RANGE", 0, 0,
                         "decimal addition overflow");
    default:
        if (!s->is_over && sum >= INT64_MIN && sum <= INT64_MAX)
            return TN_OK;
        return tn_err_at(err, TN_E_EVAL, "NUMERIC_VALUE_OUT_OF_RANGE", 0, 0,
                         "bigint addition overflow");
    }
}

static tn_int128 div_half_up(tn_int128 sum, int64_t count)
{
    tn_int128 q = sum / count, r = sum % count;
    tn_int128 twice = r < 0 ? -r * 2 : r * 2;
    if (twice >= count)
        q += sum < 0 ? -1 : 1;
    return q;
}

static void avg_query_final(const struct tn_agg_call *call, void *const *states, uint32_t count,
                            struct tn_column *ret_col, struct tn_arena *arena)
{
    tn_column_init(ret_col, call->type, count, false, arena);
    bool is_double = call->arg_types[0]->kind == TN_K_DOUBLE;
    for (uint32_t i = 0; i < count; i++) {
        const struct total_state *s = states[i];
        if (!s->count)
            tn_column_set_null(ret_col, i, arena);
        else if (call->type->kind == TN_K_DECIMAL)
            ((tn_int128 *)ret_col->values)[i] = div_half_up(total_get(s), s->count);
        else
            ((double *)ret_col->values)[i] =
                (is_double ? tni_sum_value(&s->d) : (double)total_get(s)) / (double)s->count;
    }
}

static enum tn_status avg_query_error(const struct tn_agg_call *call, const void *state,
                                      struct tn_err *err)
{
    (void)call;
    if (!((const struct total_state *)state)->is_over)
        return TN_OK;
    return tn_err_at(err, TN_E_EVAL, "NUMERIC_VALUE_OUT_OF_RANGE", 0, 0,
                     "sum inside avg overflows");
}

static void total_encode(const struct tn_agg_call *call, const void *state, struct tn_buf *buf)
{
    const struct total_state *s = state;
    tni_put_i64(buf, s->count);
    if (call->arg_types[0]->kind == TN_K_DOUBLE) {
        tn_buf_add(buf, &s->d, 16);
    } else {
        tn_buf_add(buf, &s->low, 16);
        tn_buf_add_byte(buf, (char)s->is_over);
    }
}

static enum tn_status total_decode(const struct tn_agg_call *call, void *state, const char *ptr,
                                   const char *end, const char **ret_next)
{
    struct total_state *s = state;
    uint8_t is_over = 0;
    ptr = tni_get_i64(ptr, end, &s->count);
    if (call->arg_types[0]->kind == TN_K_DOUBLE) {
        ptr = tni_get_raw(ptr, end, &s->d, 16);
    } else {
        ptr = tni_get_raw(ptr, end, &s->low, 16);
        ptr = tni_get_raw(ptr, end, &is_over, 1);
        s->is_over = is_over;
    }
    if (!ptr)
        return TN_E_CORRUPT;
    *ret_next = ptr;
    return TN_OK;
}

static const struct tn_agg sum_query_agg = {
    .name = "sum",
    .flags = TN_AGG_QUERY | TN_AGG_EXACT,
    .args_min = 1,
    .args_max = 1,
    .bind = sum_query_bind,
    .init = total_init,
    .update = total_update,
    .merge = total_merge,
    .final = sum_query_final,
    .encode = total_encode,
    .decode = total_decode,
    .error = sum_query_error,
    .help = "sum; NULL without rows; overflow is an error",
};

static const struct tn_agg avg_query_agg = {
    .name = "avg",
    .flags = TN_AGG_QUERY | TN_AGG_EXACT,
    .args_min = 1,
    .args_max = 1,
    .bind = avg_query_bind,
    .init = total_init,
    .update = total_update,
    .merge = total_merge,
    .final = avg_query_final,
    .encode = total_encode,
    .decode = total_decode,
    .error = avg_query_error,
    .help = "mean; NULL without rows",
};

/* ---- AVG, stream rules ---- */

struct avg_state {
    int64_t count;
    struct sum_state sum; /* in the type of the argument */
};

static enum tn_status avg_stream_bind(struct tn_agg_call *call, struct tn_arena *arena,
                                      struct tn_err *err)
{
    (void)arena;
    enum tn_kind kind = call->arg_types[0]->kind;
    if (kind != TN_K_INTEGER && kind != TN_K_BIGINT && kind != TN_K_DOUBLE)
        return tni_agg_bad_type(call, 0, "INTEGER, BIGINT or DOUBLE", err);
    call->type = tn_type_of(TN_K_DOUBLE);
    call->state_bytes = sizeof(struct avg_state);
    return TN_OK;
}

static void avg_stream_apply(const struct tn_agg_call *call, const struct tn_column *args,
                             const uint32_t *rows, uint32_t rows_count, void *const *states,
                             int sign)
{
    const struct tn_column *col = &args[0];
    enum tn_kind kind = call->arg_types[0]->kind;
    for (uint32_t i = 0; i < rows_count; i++) {
        struct avg_state *s = states[i];
        uint32_t row = tni_row(rows, i);
        s->count += sign;
        if (kind == TN_K_DOUBLE)
            s->sum.d += sign * tn_column_f64(col, row);
        else if (kind == TN_K_INTEGER)
            s->sum.i = tni_wrap_32(s->sum.i + sign * (int64_t)tn_column_i32(col, row));
        else
            s->sum.i = sign > 0 ? tni_wrap_add(s->sum.i, tn_column_i64(col, row))
                                : tni_wrap_sub(s->sum.i, tn_column_i64(col, row));
    }
}

static void avg_stream_update(const struct tn_agg_call *call, const struct tn_column *args,
                              const uint32_t *rows, uint32_t rows_count, void *const *states)
{
    avg_stream_apply(call, args, rows, rows_count, states, 1);
}

static void avg_stream_retract(const struct tn_agg_call *call, const struct tn_column *args,
                               const uint32_t *rows, uint32_t rows_count, void *const *states)
{
    avg_stream_apply(call, args, rows, rows_count, states, -1);
}

static void avg_stream_merge(const struct tn_agg_call *call, void *to, const void *from)
{
    struct avg_state *a = to;
    const struct avg_state *b = from;
    a->count += b->count;
    switch (call->arg_types[0]->kind) {
    case TN_K_DOUBLE: a->sum.d += b->sum.d; break;
    case TN_K_INTEGER: a->sum.i = tni_wrap_32(a->sum.i + b->sum.i); break;
    default: a->sum.i = tni_wrap_add(a->sum.i, b->sum.i);
    }
}

static void avg_stream_final(const struct tn_agg_call *call, void *const *states, uint32_t count,
                             struct tn_column *ret_col, struct tn_arena *arena)
{
    tn_column_init(ret_col, call->type, count, false, arena);
    bool is_double = call->arg_types[0]->kind == TN_K_DOUBLE;
    for (uint32_t i = 0; i < count; i++) {
        const struct avg_state *s = states[i];
        double sum = is_double ? s->sum.d : (double)s->sum.i;
        ((double *)ret_col->values)[i] = s->count ? sum / (double)s->count : 0.0;
    }
}

static void avg_stream_encode(const struct tn_agg_call *call, const void *state, struct tn_buf *buf)
{
    const struct avg_state *s = state;
    tni_put_i64(buf, s->count);
    if (call->arg_types[0]->kind == TN_K_DOUBLE)
        tn_buf_add(buf, &s->sum.d, 8);
    else
        tni_put_i64(buf, s->sum.i);
}

static enum tn_status avg_stream_decode(const struct tn_agg_call *call, void *state,
                                        const char *ptr, const char *end, const char **ret_next)
{
    struct avg_state *s = state;
    ptr = tni_get_i64(ptr, end, &s->count);
    if (call->arg_types[0]->kind == TN_K_DOUBLE)
        ptr = tni_get_raw(ptr, end, &s->sum.d, 8);
    else
        ptr = tni_get_i64(ptr, end, &s->sum.i);
    if (!ptr)
        return TN_E_CORRUPT;
    *ret_next = ptr;
    return TN_OK;
}

static const struct tn_agg avg_stream_agg = {
    .name = "avg",
    .flags = TN_AGG_STREAM | TN_AGG_RETRACT | TN_AGG_EXACT,
    .args_min = 1,
    .args_max = 1,
    .bind = avg_stream_bind,
    .init = total_init,
    .update = avg_stream_update,
    .retract = avg_stream_retract,
    .merge = avg_stream_merge,
    .final = avg_stream_final,
    .encode = avg_stream_encode,
    .decode = avg_stream_decode,
    .help = "mean as DOUBLE; 0.0 without rows; the sum wraps in the type of the argument",
};

/* ---- MIN, MAX: the state is one cell ---- */

static enum tn_status extreme_bind(struct tn_agg_call *call, struct tn_arena *arena,
                                   struct tn_err *err)
{
    (void)arena;
    enum tn_kind kind = call->arg_types[0]->kind;
    bool is_stream = call->rules == TN_RULES_STREAM;
    if (tn_kind_is_nested(kind) || kind == TN_K_JSON || (is_stream && kind == TN_K_BOOLEAN))
        return tni_agg_bad_type(
            call, 0, is_stream ? "a scalar other than BOOLEAN" : "an orderable type", err);
    call->type = call->arg_types[0];
    call->state_bytes = sizeof(struct tni_cell);
    return TN_OK;
}

/* Trino's max: NaN is below all numbers, though it sorts above them. */
static void max_f64_query(const struct tn_column *col, const uint32_t *rows, uint32_t rows_count,
                          void *const *states)
{
    for (uint32_t i = 0; i < rows_count; i++) {
        struct tni_cell *cell = states[i];
        uint32_t row = tni_row(rows, i);
        double value = tn_column_f64(col, row);
        if (cell->state != TNI_CELL_VALUE || isnan(cell->d) || value > cell->d)
            tni_cell_set(cell, col, row);
    }
}

static bool is_max_f64_query(const struct tn_agg_call *call)
{
    return call->rules == TN_RULES_QUERY && call->type->kind == TN_K_DOUBLE;
}

static void extreme_apply(const struct tn_column *col, const uint32_t *rows, uint32_t rows_count,
                          void *const *states, int sign)
{
    bool is_int = tn_kind_width(col->type->kind) == 8 && col->type->kind != TN_K_DOUBLE;
    for (uint32_t i = 0; i < rows_count; i++) {
        struct tni_cell *cell = states[i];
        uint32_t row = tni_row(rows, i);
        if (is_int && cell->state == TNI_CELL_VALUE) {
            int64_t value = tn_column_i64(col, row);
            if (sign > 0 ? value > cell->i : value < cell->i)
                cell->i = value;
        } else if (cell->state != TNI_CELL_VALUE || sign * tni_cell_cmp_row(cell, col, row) < 0) {
            tni_cell_set(cell, col, row);
        }
    }
}

static void max_update(const struct tn_agg_call *call, const struct tn_column *args,
                       const uint32_t *rows, uint32_t rows_count, void *const *states)
{
    if (is_max_f64_query(call))
        max_f64_query(&args[0], rows, rows_count, states);
    else
        extreme_apply(&args[0], rows, rows_count, states, 1);
}

static void min_update(const struct tn_agg_call *call, const struct tn_column *args,
                       const uint32_t *rows, uint32_t rows_count, void *const *states)
{
    (void)call;
    extreme_apply(&args[0], rows, rows_count, states, -1);
}

static void extreme_merge(const struct tn_agg_call *call, void *to, const void *from, int sign)
{
    const struct tni_cell *other = from;
    struct tni_cell *cell = to;
    if (other->state != TNI_CELL_VALUE)
        return;
    if (cell->state != TNI_CELL_VALUE || sign * tni_cell_cmp(call->type, cell, other) < 0)
        tni_cell_copy(call->type, cell, other);
}

static void max_merge(const struct tn_agg_call *call, void *to, const void *from)
{
    struct tni_cell *cell = to;
    const struct tni_cell *other = from;
    if (!is_max_f64_query(call) || cell->state != TNI_CELL_VALUE || other->state != TNI_CELL_VALUE)
        extreme_merge(call, to, from, 1);
    else if (isnan(cell->d) || other->d > cell->d)
        tni_cell_copy(call->type, cell, other);
}

static void min_merge(const struct tn_agg_call *call, void *to, const void *from)
{
    extreme_merge(call, to, from, -1);
}

static void cell_final(const struct tn_agg_call *call, void *const *states, uint32_t count,
                       struct tn_column *ret_col, struct tn_arena *arena)
{
    tni_cells_column(call->type, states, 0, count, ret_col, arena);
}

static void cell_encode(const struct tn_agg_call *call, const void *state, struct tn_buf *buf)
{
    tni_cell_encode(call->type, state, buf);
}

static enum tn_status cell_decode(const struct tn_agg_call *call, void *state, const char *ptr,
                                  const char *end, const char **ret_next)
{
    const char *next = tni_cell_decode(call->type, state, ptr, end);
    if (!next)
        return TN_E_CORRUPT;
    *ret_next = next;
    return TN_OK;
}

static void cell_from_final(const struct tn_agg_call *call, void *state,
                            const struct tn_column *col, uint32_t row)
{
    (void)call;
    tni_cell_release(state);
    if (!tn_column_is_null(col, row))
        tni_cell_set(state, col, row);
}

static void cell_release(const struct tn_agg_call *call, void *state)
{
    (void)call;
    tni_cell_release(state);
}

static size_t cell_bytes_extra(const struct tn_agg_call *call, const void *state)
{
    (void)call;
    return tni_cell_bytes(state);
}

static const struct tn_agg max_agg = {
    .name = "max",
    .flags = TN_AGG_STREAM | TN_AGG_QUERY | TN_AGG_INVERTIBLE | TN_AGG_EXACT,
    .args_min = 1,
    .args_max = 1,
    .bind = extreme_bind,
    .init = total_init,
    .update = max_update,
    .merge = max_merge,
    .final = cell_final,
    .encode = cell_encode,
    .decode = cell_decode,
    .from_final = cell_from_final,
    .release = cell_release,
    .bytes_extra = cell_bytes_extra,
    .help = "largest value; NULL without rows",
};

static const struct tn_agg min_agg = {
    .name = "min",
    .flags = TN_AGG_STREAM | TN_AGG_QUERY | TN_AGG_INVERTIBLE | TN_AGG_EXACT,
    .args_min = 1,
    .args_max = 1,
    .bind = extreme_bind,
    .init = total_init,
    .update = min_update,
    .merge = min_merge,
    .final = cell_final,
    .encode = cell_encode,
    .decode = cell_decode,
    .from_final = cell_from_final,
    .release = cell_release,
    .bytes_extra = cell_bytes_extra,
    .help = "smallest value; NULL without rows",
};

const struct tn_agg *const tni_aggs_num[] = {
    &sum_stream_agg, &sum_query_agg, &avg_stream_agg, &avg_query_agg, &max_agg, &min_agg, NULL};
