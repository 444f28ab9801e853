/* ABS, SIGN, ROUND, FLOOR, CEIL, TRUNCATE for every number type.
 *
 *                      stream rules                         query rules
 *   ROUND(DOUBLE)      BIGINT, ties towards +∞              DOUBLE, ties away from zero
 *   ROUND(DOUBLE, n)   by the shortest decimal digits       by x × 10^n
 *   ROUND(DECIMAL)     DECIMAL(p − s, 0)                    DECIMAL(p − s + 1, 0)
 *   FLOOR(DECIMAL)     DECIMAL(p, s)                        DECIMAL(p − s + 1, 0)
 *   TRUNC(DOUBLE)      BIGINT                               DOUBLE
 *   SIGN               INTEGER                              type of the argument
 * @thread the running one */
#include "stream/base/decimal.h"
#include "stream/func_int.h"

enum mode { MODE_AWAY, MODE_UP, MODE_FLOOR, MODE_CEIL, MODE_CUT }; /* AWAY, UP: where ties go */

/* ---- integers ---- */

static void kernel_same(struct tn_call *call)
{
    tni_same_as(call, 0);
}

static void kernel_int_to_bigint(struct tn_call *call)
{
    for (uint32_t row = 0; row < call->rows_count; row++)
        TNI_OUT(call, int64_t)[row] = tni_arg_int(call, 0, row);
}

static void put_int(struct tn_call *call, uint32_t row, int64_t value)
{
    if (call->type->kind == TN_K_INTEGER)
        TNI_OUT(call, int32_t)[row] = (int32_t)value;
    else
        TNI_OUT(call, int64_t)[row] = value;
}

static void kernel_abs_int(struct tn_call *call)
{
    int64_t min = call->type->kind == TN_K_INTEGER ? INT32_MIN : INT64_MIN;
    for (uint32_t row = 0; row < call->rows_count; row++) {
        int64_t x = tni_arg_int(call, 0, row);
        if (x != min)
            put_int(call, row, x < 0 ? -x : x);
        else if (call->func->flags & TN_FN_STREAM)
            put_int(call, row, x); /* wraps */
        else if (tni_row_ok(call, row))
            tni_error_range(call, row, "value %lld is out of range for abs", (long long)x);
    }
}

/* round(integer, n): n < 0 rounds to tens. */
static void kernel_round_int_to(struct tn_call *call)
{
    for (uint32_t row = 0; row < call->rows_count; row++) {
        int64_t x = tni_arg_int(call, 0, row), digits = tni_arg_i64(call, 1, row);
        if (!tni_row_ok(call, row))
            continue;
        tn_int128 value = x;
        if (digits < -18)
            value = 0;
        else if (digits < 0) {
            tn_int128 unit = tn_decimal_ten((int)-digits);
            bool is_rounded = tn_decimal_rescale(x, (int)-digits, 0, &value, NULL);
            TN_ASSERT(is_rounded);
            value *= unit;
        }
        bool is_wide = call->type->kind == TN_K_BIGINT;
        if (value > (is_wide ? INT64_MAX : INT32_MAX) || value < (is_wide ? INT64_MIN : INT32_MIN))
            tni_error_range(call, row, "rounded value is out of range");
        else
            put_int(call, row, (int64_t)value);
    }
}

/* ---- doubles ---- */

static double round_whole(double x, enum mode mode)
{
    switch (mode) {
    case MODE_AWAY: return round(x);
    case MODE_UP: {
        double low = floor(x);
        return x - low >= 0.5 ? low + 1 : low;
    }
    case MODE_FLOOR: return floor(x);
    case MODE_CEIL: return ceil(x);
    default: return trunc(x);
    }
}

static void whole_doubles(struct tn_call *call, enum mode mode)
{
    for (uint32_t row = 0; row < call->rows_count; row++) {
        double x = round_whole(tni_arg_f64(call, 0, row), mode);
        if (call->type->kind == TN_K_DOUBLE)
            TNI_OUT(call, double)[row] = x;
        else
            TNI_OUT(call, int64_t)
        [row] = isnan(x) ? 0 : x >= 0x1p63 ? INT64_MAX : x <= -0x1p63 ? INT64_MIN : (int64_t)x;
    }
}

static void kernel_round_f64(struct tn_call *call)
{
    whole_doubles(call, MODE_AWAY);
}
static void kernel_round_f64_up(struct tn_call *call)
{
    whole_doubles(call, MODE_UP);
}
static void kernel_floor_f64(struct tn_call *call)
{
    whole_doubles(call, MODE_FLOOR);
}
static void kernel_ceil_f64(struct tn_call *call)
{
    whole_doubles(call, MODE_CEIL);
}
static void kernel_cut_f64(struct tn_call *call)
{
    whole_doubles(call, MODE_CUT);
}
static void kernel_abs_f64(struct tn_call *call)
{
    for (uint32_t row = 0; row < call->rows_count; row++)
        TNI_OUT(call, double)[row] = fabs(tni_arg_f64(call, 0, row));
}

static double round_digits(double x, int64_t digits, enum mode mode)
{
    if (!isfinite(x) || digits > 300)
        return x;
    if (digits < -300)
        return 0;
    double factor = pow(10, (double)(digits < 0 ? -digits : digits));
    double scaled = digits < 0 ? x / factor : x * factor;
    if (!(fabs(scaled) < 0x1p53))
        return x; /* no digits behind the wanted one */
    scaled = round_whole(scaled, mode);
    return digits < 0 ? scaled * factor : scaled / factor;
}

/* By decimal digits: what is written 2.675 rounds to 2.68 although its binary value is less. */
static double round_decimal_digits(double x, int64_t digits, enum mode mode)
{
    enum { SCALE = 20 };
    tn_int128 value;
    if (digits < 0 || digits > SCALE || fabs(x) >= 1e17 ||
        !tn_decimal_from_double(x, TN_DECIMAL_DIGITS_MAX, SCALE, &value))
        return round_digits(x, digits, mode);
    tn_int128 unit = tn_decimal_ten(SCALE - (int)digits);
    if (mode == MODE_UP) {
        value += unit / 2;
        tn_int128 rest = value % unit;
        value -= rest < 0 ? rest + unit : rest;
    } else {
        value -= value % unit;
    }
    return tn_decimal_to_double(value, SCALE);
}

static void digits_of_doubles(struct tn_call *call, enum mode mode)
{
    bool is_stream = call->func->flags & TN_FN_STREAM;
    for (uint32_t row = 0; row < call->rows_count; row++) {
        double x = tni_arg_f64(call, 0, row);
        int64_t digits = tni_arg_i64(call, 1, row);
        TNI_OUT(call, double)
        [row] = is_stream ? round_decimal_digits(x, digits, mode) : round_digits(x, digits, mode);
    }
}

static void kernel_round_f64_to(struct tn_call *call)
{
    digits_of_doubles(call, call->func->flags & TN_FN_STREAM ? MODE_UP : MODE_AWAY);
}
static void kernel_cut_f64_to(struct tn_call *call)
{
    digits_of_doubles(call, MODE_CUT);
}

/* ---- decimals ---- */

/* Multiple of `unit` that the mode names. */
static tn_int128 to_unit(tn_int128 value, tn_int128 unit, enum mode mode)
{
    tn_int128 rest = value % unit;
    tn_int128 low = value - (rest < 0 ? rest + unit : rest); /* towards −∞ */
    tn_int128 above = value - low;
    switch (mode) {
    case MODE_FLOOR: return low;
    case MODE_CEIL: return above ? low + unit : low;
    case MODE_CUT: return value - rest;
    case MODE_UP: return above >= unit - above && above ? low + unit : low;
    default:
        if (above == unit - above)
            return value < 0 ? low : low + unit;
        return above > unit - above ? low + unit : low;
    }
}

/* Value rounded to `digits` decimals, in the scale of the result. */
static void decimal_to(struct tn_call *call, uint32_t row, int64_t digits, enum mode mode)
{
    int scale = call->args[0].type->scale;
    tn_int128 value = tni_arg_dec(call, 0, row);
    if (digits < -TN_DECIMAL_DIGITS_MAX)
        digits = -TN_DECIMAL_DIGITS_MAX - 1;
    if (digits < scale) {
        int64_t drop = scale - digits;
        value = drop > TN_DECIMAL_DIGITS_MAX ? 0 : to_unit(value, tn_decimal_ten((int)drop), mode);
    }
    if (!tn_decimal_rescale(value, scale, call->type->scale, &value, NULL) ||
        !tn_decimal_fits(value, call->type->precision))
        tni_error_range(call, row, "decimal overflow");
    else
        TNI_OUT(call, tn_int128)[row] = value;
}

static void decimals(struct tn_call *call, enum mode mode)
{
    for (uint32_t row = 0; row < call->rows_count; row++)
        if (tni_row_ok(call, row))
            decimal_to(call, row, call->args_count == 2 ? tni_arg_i64(call, 1, row) : 0, mode);
}

static void kernel_round_dec(struct tn_call *call)
{
    decimals(call, call->func->flags & TN_FN_STREAM ? MODE_UP : MODE_AWAY);
}
static void kernel_floor_dec(struct tn_call *call)
{
    decimals(call, MODE_FLOOR);
}
static void kernel_ceil_dec(struct tn_call *call)
{
    decimals(call, MODE_CEIL);
}
static void kernel_cut_dec(struct tn_call *call)
{
    decimals(call, MODE_CUT);
}
static void kernel_abs_dec(struct tn_call *call)
{
    for (uint32_t row = 0; row < call->rows_count; row++) {
        tn_int128 x = tni_arg_dec(call, 0, row);
        TNI_OUT(call, tn_int128)[row] = x < 0 ? -x : x;
    }
}

/* ---- sign ---- */

static int sign_of(const struct tn_call *call, uint32_t row)
{
    switch (call->args[0].type->kind) {
    case TN_K_DOUBLE: {
        double x = tni_arg_f64(call, 0, row);
        return (x > 0) - (x < 0);
    }
    case TN_K_DECIMAL: {
        tn_int128 x = tni_arg_dec(call, 0, row);
        return (x > 0) - (x < 0);
    }
    default: {
        int64_t x = tni_arg_int(call, 0, row);
        return (x > 0) - (x < 0);
    }
    }
}

static void kernel_sign(struct tn_call *call)
{
    for (uint32_t row = 0; row < call->rows_count; row++) {
        int sign = sign_of(call, row);
        if (call->type->kind == TN_K_DOUBLE)
            TNI_OUT(call, double)
        [row] = isnan(tni_arg_f64(call, 0, row)) ? (double)NAN : sign;
        else if (call->type->kind == TN_K_DECIMAL) TNI_OUT(call, tn_int128)[row] = sign;
        else put_int(call, row, sign);
    }
}

/* ---- types ---- */

static int at_least(int a, int b)
{
    return a > b ? a : b;
}

static enum tn_status resolve_whole(const struct tn_func *func, const struct tn_type **arg_types,
                                    uint32_t args_count, struct tn_arena *arena,
                                    const struct tn_type **ret_type)
{
    (void)args_count;
    const struct tn_type *type = arg_types[0];
    if (type->kind != TN_K_DECIMAL)
        return TN_E_TYPE;
    bool is_carried = func->flags & TN_FN_QUERY && type->scale > 0 && func->name[0] != 't';
    int precision = at_least(type->precision - type->scale + is_carried, 1);
    *ret_type = tn_type_decimal(arena, precision, 0);
    return TN_OK;
}

/* round(decimal(p, s), n) of query rules: one more digit for the carry. */
static enum tn_status resolve_digits(const struct tn_func *func, const struct tn_type **arg_types,
                                     uint32_t args_count, struct tn_arena *arena,
                                     const struct tn_type **ret_type)
{
    (void)args_count;
    const struct tn_type *type = arg_types[0];
    if (type->kind != TN_K_DECIMAL)
        return TN_E_TYPE;
    bool is_carried = func->name[0] == 'r' && type->precision < TN_DECIMAL_PRECISION_MAX;
    *ret_type = tn_type_decimal(arena, type->precision + is_carried, type->scale);
    return TN_OK;
}

static enum tn_status resolve_sign(const struct tn_func *func, const struct tn_type **arg_types,
                                   uint32_t args_count, struct tn_arena *arena,
                                   const struct tn_type **ret_type)
{
    (void)func;
    (void)args_count;
    if (arg_types[0]->kind != TN_K_DECIMAL)
        return TN_E_TYPE;
    *ret_type = tn_type_decimal(arena, 1, 0);
    return TN_OK;
}

#define BOTH   TNI_BOTH
#define QUERY  TN_FN_QUERY
#define STREAM TN_FN_STREAM

static const struct tn_func rows[] = {
    TNI_FN("abs", STREAM, "i", INTEGER, kernel_abs_int, "absolute value"),
    TNI_FN("abs", STREAM, "l", BIGINT, kernel_abs_int, "absolute value"),
    TNI_FN("abs", QUERY, "i", INTEGER, kernel_abs_int, "absolute value"),
    TNI_FN("abs", QUERY, "l", BIGINT, kernel_abs_int, "absolute value"),
    TNI_FN_TYPED("abs", BOTH, "m", tni_resolve_first, kernel_abs_dec, "absolute value"),
    TNI_FN("abs", BOTH, "d", DOUBLE, kernel_abs_f64, "absolute value"),
    TNI_FN("sign", STREAM, "i", INTEGER, kernel_sign, "-1, 0 or 1"),
    TNI_FN("sign", STREAM, "l", INTEGER, kernel_sign, "-1, 0 or 1"),
    TNI_FN("sign", STREAM, "d", INTEGER, kernel_sign, "-1, 0 or 1"),
    TNI_FN("sign", QUERY, "i", INTEGER, kernel_sign, "-1, 0 or 1"),
    TNI_FN("sign", QUERY, "l", BIGINT, kernel_sign, "-1, 0 or 1"),
    TNI_FN_TYPED("sign", QUERY, "m", resolve_sign, kernel_sign, "-1, 0 or 1"),
    TNI_FN("sign", QUERY, "d", DOUBLE, kernel_sign, "-1, 0 or 1"),

    TNI_FN("round", STREAM, "l", BIGINT, kernel_int_to_bigint, "nearest whole number"),
    TNI_FN_TYPED("round", STREAM, "m", resolve_whole, kernel_round_dec, "nearest whole number"),
    TNI_FN("round", STREAM, "d", BIGINT, kernel_round_f64_up, "nearest whole number"),
    TNI_FN_TYPED("round", STREAM, "ml", tni_resolve_first, kernel_round_dec,
                 "rounded to n decimals"),
    TNI_FN("round", STREAM, "dl", DOUBLE, kernel_round_f64_to, "rounded to n decimals"),
    TNI_FN("round", QUERY, "i", INTEGER, kernel_same, "nearest whole number"),
    TNI_FN("round", QUERY, "l", BIGINT, kernel_same, "nearest whole number"),
    TNI_FN_TYPED("round", QUERY, "m", resolve_whole, kernel_round_dec, "nearest whole number"),
    TNI_FN("round", QUERY, "d", DOUBLE, kernel_round_f64, "nearest whole number"),
    TNI_FN("round", QUERY, "il", INTEGER, kernel_round_int_to, "rounded to n decimals"),
    TNI_FN("round", QUERY, "ll", BIGINT, kernel_round_int_to, "rounded to n decimals"),
    TNI_FN_TYPED("round", QUERY, "ml", resolve_digits, kernel_round_dec, "rounded to n decimals"),
    TNI_FN("round", QUERY, "dl", DOUBLE, kernel_round_f64_to, "rounded to n decimals"),

    TNI_FN("floor", BOTH, "i", INTEGER, kernel_same, "largest whole number not above x"),
    TNI_FN("floor", BOTH, "l", BIGINT, kernel_same, "largest whole number not above x"),
    TNI_FN_TYPED("floor", STREAM, "m", tni_resolve_first, kernel_floor_dec,
                 "largest whole number not above x"),
    TNI_FN_TYPED("floor", QUERY, "m", resolve_whole, kernel_floor_dec,
                 "largest whole number not above x"),
    TNI_FN("floor", BOTH, "d", DOUBLE, kernel_floor_f64, "largest whole number not above x"),

    TNI_FN("ceil", BOTH, "i", INTEGER, kernel_same, "smallest whole number not below x"),
    TNI_FN("ceil", BOTH, "l", BIGINT, kernel_same, "smallest whole number not below x"),
    TNI_FN_TYPED("ceil", STREAM, "m", tni_resolve_first, kernel_ceil_dec,
                 "smallest whole number not below x"),
    TNI_FN_TYPED("ceil", QUERY, "m", resolve_whole, kernel_ceil_dec,
                 "smallest whole number not below x"),
    TNI_FN("ceil", BOTH, "d", DOUBLE, kernel_ceil_f64, "smallest whole number not below x"),
    TNI_FN("ceiling", QUERY, "i", INTEGER, kernel_same, "smallest whole number not below x"),
    TNI_FN("ceiling", QUERY, "l", BIGINT, kernel_same, "smallest whole number not below x"),
    TNI_FN_TYPED("ceiling", QUERY, "m", resolve_whole, kernel_ceil_dec,
                 "smallest whole number not below x"),
    TNI_FN("ceiling", QUERY, "d", DOUBLE, kernel_ceil_f64, "smallest whole number not below x"),

    TNI_FN("trunc", STREAM, "l", BIGINT, kernel_int_to_bigint, "whole part"),
    TNI_FN_TYPED("trunc", STREAM, "m", resolve_whole, kernel_cut_dec, "whole part"),
    TNI_FN("trunc", STREAM, "d", BIGINT, kernel_cut_f64, "whole part"),
    TNI_FN_TYPED("trunc", STREAM, "ml", tni_resolve_first, kernel_cut_dec, "cut to n decimals"),
    TNI_FN("trunc", STREAM, "dl", DOUBLE, kernel_cut_f64_to, "cut to n decimals"),
    TNI_FN_TYPED("truncate", QUERY, "m", resolve_whole, kernel_cut_dec, "whole part"),
    TNI_FN("truncate", QUERY, "d", DOUBLE, kernel_cut_f64, "whole part"),
    TNI_FN_TYPED("truncate", QUERY, "ml", tni_resolve_first, kernel_cut_dec, "cut to n decimals"),
    TNI_FN("truncate", QUERY, "dl", DOUBLE, kernel_cut_f64_to, "cut to n decimals"),
};

TNI_TABLE(round);
