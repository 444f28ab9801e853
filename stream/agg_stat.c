/* Statistics: variance and standard deviation (both rule sets), correlation, SUM_LIST.
 *
 * Variance keeps count, sum and the sum of squared deviations m2 (Youngs and Cramer's updating
 * form), which can be undone and merged, and does not cancel as sum-of-squares does. The stream
 * functions return 0.0 below two rows, and STDDEV_SAMP returns the variance, as the dialect has it;
 * the query functions return NULL.
 *
 * @thread owner of the state */
#include <math.h>

#include "stream/agg_int.h"

static double number_at(const struct tn_column *col, uint32_t row)
{
    switch (col->type->kind) {
    case TN_K_INTEGER: return tn_column_i32(col, row);
    case TN_K_BIGINT: return (double)tn_column_i64(col, row);
    case TN_K_DOUBLE: return tn_column_f64(col, row);
    default:
        return (double)((const tn_int128 *)col->values)[row] / (double)tni_pow10(col->type->scale);
    }
}

static enum tn_status numbers_bind(struct tn_agg_call *call, size_t state_bytes, struct tn_err *err)
{
    for (uint32_t i = 0; i < call->args_count; i++)
        if (!tn_kind_is_number(call->arg_types[i]->kind))
            return tni_agg_bad_type(call, i, "a number", err);
    call->type = tn_type_of(TN_K_DOUBLE);
    call->state_bytes = (uint32_t)state_bytes;
    return TN_OK;
}

static void stat_init(const struct tn_agg_call *call, void *state)
{
    memset(state, 0, call->state_bytes);
}

/* ---- variance ---- */

struct var_state {
    int64_t count;
    double sum, m2;
};

static enum tn_status var_bind(struct tn_agg_call *call, struct tn_arena *arena, struct tn_err *err)
{
    (void)arena;
    return numbers_bind(call, sizeof(struct var_state), err);
}

static void var_update(const struct tn_agg_call *call, const struct tn_column *args,
                       const uint32_t *rows, uint32_t rows_count, void *const *states)
{
    (void)call;
    for (uint32_t i = 0; i < rows_count; i++) {
        struct var_state *s = states[i];
        double x = number_at(&args[0], tni_row(rows, i)), n = (double)++s->count;
        s->sum += x;
        if (s->count > 1) {
            double d = n * x - s->sum;
            s->m2 += d * d / (n * (n - 1));
        }
    }
}

static void var_retract(const struct tn_agg_call *call, const struct tn_column *args,
                        const uint32_t *rows, uint32_t rows_count, void *const *states)
{
    (void)call;
    for (uint32_t i = 0; i < rows_count; i++) {
        struct var_state *s = states[i];
        double x = number_at(&args[0], tni_row(rows, i)), n = (double)s->count;
        if (s->count > 1) {
            double d = n * x - s->sum;
            s->m2 -= d * d / (n * (n - 1));
        }
        s->sum -= x;
        s->count--;
    }
}

static void var_merge(const struct tn_agg_call *call, void *to, const void *from)
{
    (void)call;
    struct var_state *a = to;
    const struct var_state *b = from;
    if (a->count && b->count) {
        double na = (double)a->count, nb = (double)b->count;
        double delta = b->sum / nb - a->sum / na;
        a->m2 += b->m2 + delta * delta * na * nb / (na + nb);
    } else {
        a->m2 += b->m2;
    }
    a->sum += b->sum;
    a->count += b->count;
}

/* What is asked for: squared or not, over n or n − 1, and what stands for too few rows. */
enum var_kind { VAR_POP = 1, VAR_ROOT = 2, VAR_ZERO = 4 };

static void var_final(const struct tn_agg_call *call, void *const *states, uint32_t count,
                      struct tn_column *ret_col, struct tn_arena *arena, unsigned kind)
{
    tn_column_init(ret_col, call->type, count, false, arena);
    double *values = ret_col->values;
    for (uint32_t i = 0; i < count; i++) {
        const struct var_state *s = states[i];
        int64_t least = kind & VAR_POP ? 1 : 2;
        if (s->count < least) {
            if (!(kind & VAR_ZERO))
                tn_column_set_null(ret_col, i, arena);
            continue;
        }
        double m2 = s->m2 < 0 ? 0 : s->m2; /* rounding after an undo */
        double var = m2 / (double)(kind & VAR_POP ? s->count : s->count - 1);
        values[i] = kind & VAR_ROOT ? sqrt(var) : var;
    }
}

#define VAR_FINAL(name, kind)                                                                      \
    static void name(const struct tn_agg_call *call, void *const *states, uint32_t count,          \
                     struct tn_column *ret_col, struct tn_arena *arena)                            \
    {                                                                                              \
        var_final(call, states, count, ret_col, arena, kind);                                      \
    }
VAR_FINAL(final_var_samp, 0)
VAR_FINAL(final_var_pop, VAR_POP)
VAR_FINAL(final_stddev_samp, VAR_ROOT)
VAR_FINAL(final_stddev_pop, VAR_POP | VAR_ROOT)
VAR_FINAL(final_stream_stddev, VAR_ROOT | VAR_ZERO)
VAR_FINAL(final_stream_var, VAR_ZERO)

static void var_encode(const struct tn_agg_call *call, const void *state, struct tn_buf *buf)
{
    (void)call;
    const struct var_state *s = state;
    tni_put_i64(buf, s->count);
    tn_buf_add(buf, &s->sum, 16);
}

static enum tn_status var_decode(const struct tn_agg_call *call, void *state, const char *ptr,
                                 const char *end, const char **ret_next)
{
    (void)call;
    struct var_state *s = state;
    ptr = tni_get_i64(ptr, end, &s->count);
    ptr = tni_get_raw(ptr, end, &s->sum, 16);
    if (!ptr)
        return TN_E_CORRUPT;
    *ret_next = ptr;
    return TN_OK;
}

#define VAR_AGG(id, text, which, finish, line)                                                     \
    static const struct tn_agg id = {                                                              \
        .name = text,                                                                              \
        .flags = (which) | TN_AGG_RETRACT,                                                         \
        .args_min = 1,                                                                             \
        .args_max = 1,                                                                             \
        .bind = var_bind,                                                                          \
        .init = stat_init,                                                                         \
        .update = var_update,                                                                      \
        .retract = var_retract,                                                                    \
        .merge = var_merge,                                                                        \
        .final = finish,                                                                           \
        .encode = var_encode,                                                                      \
        .decode = var_decode,                                                                      \
        .help = line,                                                                              \
    };
VAR_AGG(stddev_sample_agg, "stddev_sample", TN_AGG_STREAM, final_stream_stddev,
        "sample standard deviation; 0.0 below two rows")
VAR_AGG(stddev_samp_stream_agg, "stddev_samp", TN_AGG_STREAM, final_stream_var,
        "sample variance (sic); 0.0 below two rows")
VAR_AGG(stddev_agg, "stddev", TN_AGG_QUERY, final_stddev_samp, "sample standard deviation")
VAR_AGG(stddev_samp_agg, "stddev_samp", TN_AGG_QUERY, final_stddev_samp,
        "sample standard deviation")
VAR_AGG(stddev_pop_agg, "stddev_pop", TN_AGG_QUERY, final_stddev_pop,
        "population standard deviation")
VAR_AGG(variance_agg, "variance", TN_AGG_QUERY, final_var_samp, "sample variance")
VAR_AGG(var_samp_agg, "var_samp", TN_AGG_QUERY, final_var_samp, "sample variance")
VAR_AGG(var_pop_agg, "var_pop", TN_AGG_QUERY, final_var_pop, "population variance")

/* ---- correlation ---- */

struct corr_state {
    int64_t count;
    double x, y, xx, yy, xy;
};

static enum tn_status corr_bind(struct tn_agg_call *call, struct tn_arena *arena,
                                struct tn_err *err)
{
    (void)arena;
    return numbers_bind(call, sizeof(struct corr_state), err);
}

static void corr_apply(const struct tn_column *args, const uint32_t *rows, uint32_t rows_count,
                       void *const *states, int sign)
{
    for (uint32_t i = 0; i < rows_count; i++) {
        struct corr_state *s = states[i];
        uint32_t row = tni_row(rows, i);
        double x = number_at(&args[0], row), y = number_at(&args[1], row);
        s->count += sign;
        s->x += sign * x;
        s->y += sign * y;
        s->xx += sign * x * x;
        s->yy += sign * y * y;
        s->xy += sign * x * y;
    }
}

static void corr_update(const struct tn_agg_call *call, const struct tn_column *args,
                        const uint32_t *rows, uint32_t rows_count, void *const *states)
{
    (void)call;
    corr_apply(args, rows, rows_count, states, 1);
}

static void corr_retract(const struct tn_agg_call *call, const struct tn_column *args,
                         const uint32_t *rows, uint32_t rows_count, void *const *states)
{
    (void)call;
    corr_apply(args, rows, rows_count, states, -1);
}

static void corr_merge(const struct tn_agg_call *call, void *to, const void *from)
{
    (void)call;
    struct corr_state *a = to;
    const struct corr_state *b = from;
    a->count += b->count;
    a->x += b->x;
    a->y += b->y;
    a->xx += b->xx;
    a->yy += b->yy;
    a->xy += b->xy;
}

static void corr_final_any(const struct tn_agg_call *call, void *const *states, uint32_t count,
                           struct tn_column *ret_col, struct tn_arena *arena, bool is_null)
{
    tn_column_init(ret_col, call->type, count, false, arena);
    double *values = ret_col->values;
    for (uint32_t i = 0; i < count; i++) {
        const struct corr_state *s = states[i];
        double n = (double)s->count;
        double a = n * s->xx - s->x * s->x, b = n * s->yy - s->y * s->y;
        values[i] = (n * s->xy - s->x * s->y) / (sqrt(a) * sqrt(b));
        if (!isfinite(values[i])) {
            values[i] = (double)NAN;
            if (is_null)
                tn_column_set_null(ret_col, i, arena);
        }
    }
}

static void corr_final_stream(const struct tn_agg_call *call, void *const *states, uint32_t count,
                              struct tn_column *ret_col, struct tn_arena *arena)
{
    corr_final_any(call, states, count, ret_col, arena, false);
}

static void corr_final_query(const struct tn_agg_call *call, void *const *states, uint32_t count,
                             struct tn_column *ret_col, struct tn_arena *arena)
{
    corr_final_any(call, states, count, ret_col, arena, true);
}

static void corr_encode(const struct tn_agg_call *call, const void *state, struct tn_buf *buf)
{
    (void)call;
    const struct corr_state *s = state;
    tni_put_i64(buf, s->count);
    tn_buf_add(buf, &s->x, 5 * sizeof(double));
}

static enum tn_status corr_decode(const struct tn_agg_call *call, void *state, const char *ptr,
                                  const char *end, const char **ret_next)
{
    (void)call;
    struct corr_state *s = state;
    ptr = tni_get_i64(ptr, end, &s->count);
    ptr = tni_get_raw(ptr, end, &s->x, 5 * sizeof(double));
    if (!ptr)
        return TN_E_CORRUPT;
    *ret_next = ptr;
    return TN_OK;
}

static const struct tn_agg correlation_agg = {
    .name = "correlation",
    .flags = TN_AGG_STREAM | TN_AGG_RETRACT,
    .args_min = 2,
    .args_max = 2,
    .bind = corr_bind,
    .init = stat_init,
    .update = corr_update,
    .retract = corr_retract,
    .merge = corr_merge,
    .final = corr_final_stream,
    .encode = corr_encode,
    .decode = corr_decode,
    .help = "Pearson correlation of two columns; NaN when undefined",
};

static const struct tn_agg corr_agg = {
    .name = "corr",
    .flags = TN_AGG_QUERY,
    .args_min = 2,
    .args_max = 2,
    .bind = corr_bind,
    .init = stat_init,
    .update = corr_update,
    .merge = corr_merge,
    .final = corr_final_query,
    .encode = corr_encode,
    .decode = corr_decode,
    .help = "Pearson correlation of two columns; NULL when undefined",
};

/* ---- SUM_LIST: SUM over the elements of arrays ---- */

static enum tn_status sum_list_bind(struct tn_agg_call *call, struct tn_arena *arena,
                                    struct tn_err *err)
{
    (void)arena;
    const struct tn_type *type = call->arg_types[0];
    enum tn_kind kind = type->kind == TN_K_ARRAY ? type->children[0].type->kind : TN_K_NULL;
    if (kind != TN_K_INTEGER && kind != TN_K_BIGINT && kind != TN_K_DOUBLE)
        return tni_agg_bad_type(call, 0, "an ARRAY of INTEGER, BIGINT or DOUBLE", err);
    call->type = tn_type_of(kind);
    call->state_bytes = sizeof(int64_t);
    return TN_OK;
}

static void sum_list_apply(const struct tn_agg_call *call, const struct tn_column *args,
                           const uint32_t *rows, uint32_t rows_count, void *const *states,
                           bool is_retract)
{
    const struct tn_column *items = &args[0].children[0];
    for (uint32_t i = 0; i < rows_count; i++) {
        uint32_t row = tni_row(rows, i);
        for (int32_t k = args[0].offsets[row]; k < args[0].offsets[row + 1]; k++) {
            uint32_t at = (uint32_t)k;
            if (tn_column_is_null(items, at))
                continue;
            if (call->type->kind == TN_K_DOUBLE) {
                double *sum = states[i], value = tn_column_f64(items, at);
                *sum += is_retract ? -value : value;
                continue;
            }
            int64_t *sum = states[i], value = tni_int_at(items, at);
            *sum = is_retract ? tni_wrap_sub(*sum, value) : tni_wrap_add(*sum, value);
            if (call->type->kind == TN_K_INTEGER)
                *sum = tni_wrap_32(*sum);
        }
    }
}

static void sum_list_update(const struct tn_agg_call *call, const struct tn_column *args,
                            const uint32_t *rows, uint32_t rows_count, void *const *states)
{
    sum_list_apply(call, args, rows, rows_count, states, false);
}

static void sum_list_retract(const struct tn_agg_call *call, const struct tn_column *args,
                             const uint32_t *rows, uint32_t rows_count, void *const *states)
{
    sum_list_apply(call, args, rows, rows_count, states, true);
}

static void sum_list_merge(const struct tn_agg_call *call, void *to, const void *from)
{
    if (call->type->kind == TN_K_DOUBLE) {
        *(double *)to += *(const double *)from;
        return;
    }
    int64_t *sum = to;
    *sum = tni_wrap_add(*sum, *(const int64_t *)from);
    if (call->type->kind == TN_K_INTEGER)
        *sum = tni_wrap_32(*sum);
}

static void sum_list_final(const struct tn_agg_call *call, void *const *states, uint32_t count,
                           struct tn_column *ret_col, struct tn_arena *arena)
{
    tn_column_init(ret_col, call->type, count, false, arena);
    for (uint32_t i = 0; i < count; i++) {
        if (call->type->kind == TN_K_INTEGER)
            ((int32_t *)ret_col->values)[i] = (int32_t) * (const int64_t *)states[i];
        else
            memcpy((int64_t *)ret_col->values + i, states[i], 8);
    }
}

static void sum_list_encode(const struct tn_agg_call *call, const void *state, struct tn_buf *buf)
{
    (void)call;
    tn_buf_add(buf, state, 8);
}

static enum tn_status sum_list_decode(const struct tn_agg_call *call, void *state, const char *ptr,
                                      const char *end, const char **ret_next)
{
    (void)call;
    ptr = tni_get_raw(ptr, end, state, 8);
    if (!ptr)
        return TN_E_CORRUPT;
    *ret_next = ptr;
    return TN_OK;
}

static void sum_list_from_final(const struct tn_agg_call *call, void *state,
                                const struct tn_column *col, uint32_t row)
{
    memset(state, 0, call->state_bytes);
    if (tn_column_is_null(col, row))
        return;
    if (call->type->kind == TN_K_INTEGER)
        *(int64_t *)state = tn_column_i32(col, row);
    else
        memcpy(state, (const int64_t *)col->values + row, 8);
}

static const struct tn_agg sum_list_agg = {
    .name = "sum_list",
    .flags = TN_AGG_STREAM | TN_AGG_RETRACT | TN_AGG_INVERTIBLE,
    .args_min = 1,
    .args_max = 1,
    .bind = sum_list_bind,
    .init = stat_init,
    .update = sum_list_update,
    .retract = sum_list_retract,
    .merge = sum_list_merge,
    .final = sum_list_final,
    .encode = sum_list_encode,
    .decode = sum_list_decode,
    .from_final = sum_list_from_final,
    .help = "sum of the elements of all arrays; integers wrap",
};

const struct tn_agg *const tni_aggs_stat[] = {&stddev_sample_agg, &stddev_samp_stream_agg,
                                              &stddev_agg,        &stddev_samp_agg,
                                              &stddev_pop_agg,    &variance_agg,
                                              &var_samp_agg,      &var_pop_agg,
                                              &correlation_agg,   &corr_agg,
                                              &sum_list_agg,      NULL};
