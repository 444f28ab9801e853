/* Arithmetic: + - * / % and negation on numbers, times and intervals.
 *
 * Stream rules: INTEGER and BIGINT wrap, + also joins strings. Query rules: overflow is
 * NUMERIC_VALUE_OUT_OF_RANGE; dates, timestamps and intervals take part. In both, division of
 * INTEGER, BIGINT and DECIMAL by zero fails the row, and DOUBLE follows IEEE 754.
 *
 * DECIMAL result types: streaming and query rules have their own formulas (resolve_* below); a
 * precision over 38 is cut to 38, a value that needs more digits fails the row, quotients are
 * rounded half up to the result's scale.
 * @thread the running one */
#include "stream/base/time.h"
#include "stream/func_int.h"

/* Loop over two operands, either of which may be constant; X and Y are their values of type T, R
 * the result row. */
#define BINARY_LOOP(T, TR, STATEMENT)                                                              \
    do {                                                                                           \
        const T *a_ = call->args[0].values, *b_ = call->args[1].values;                            \
        TR *out_ = call->out->col.values;                                                          \
        uint32_t n_ = call->rows_count;                                                            \
        if (call->is_const[1]) {                                                                   \
            const T Y = *b_;                                                                       \
            bool is_a_const_ = call->is_const[0];                                                  \
            for (uint32_t row = 0; row < n_; row++) {                                              \
                const T X = a_[is_a_const_ ? 0 : row];                                             \
                TR R;                                                                              \
                STATEMENT;                                                                         \
                out_[row] = R;                                                                     \
            }                                                                                      \
        } else if (call->is_const[0]) {                                                            \
            const T X = *a_;                                                                       \
            for (uint32_t row = 0; row < n_; row++) {                                              \
                const T Y = b_[row];                                                               \
                TR R;                                                                              \
                STATEMENT;                                                                         \
                out_[row] = R;                                                                     \
            }                                                                                      \
        } else {                                                                                   \
            for (uint32_t row = 0; row < n_; row++) {                                              \
                const T X = a_[row], Y = b_[row];                                                  \
                TR R;                                                                              \
                STATEMENT;                                                                         \
                out_[row] = R;                                                                     \
            }                                                                                      \
        }                                                                                          \
    } while (0)

/* ---- stream rules: wrapping ---- */

#define WRAP(NAME, T, U, OP)                                                                       \
    static void NAME(struct tn_call *call)                                                         \
    {                                                                                              \
        BINARY_LOOP(T, T, R = (T)((U)X OP(U) Y));                                                  \
    }

WRAP(wrap_add_i32, int32_t, uint32_t, +)
WRAP(wrap_sub_i32, int32_t, uint32_t, -)
WRAP(wrap_mul_i32, int32_t, uint32_t, *)
WRAP(wrap_add_i64, int64_t, uint64_t, +)
WRAP(wrap_sub_i64, int64_t, uint64_t, -)
WRAP(wrap_mul_i64, int64_t, uint64_t, *)

static void wrap_neg_i32(struct tn_call *call)
{
    const int32_t *a = call->args[0].values;
    for (uint32_t row = 0; row < call->rows_count; row++)
        TNI_OUT(call, int32_t)[row] = (int32_t)(0 - (uint32_t)a[row]);
}

static void wrap_neg_i64(struct tn_call *call)
{
    const int64_t *a = call->args[0].values;
    for (uint32_t row = 0; row < call->rows_count; row++)
        TNI_OUT(call, int64_t)[row] = (int64_t)(0 - (uint64_t)a[row]);
}

/* ---- query rules: checked ---- */

/* The loop only remembers that some row overflowed; the rows are found by a second pass. */
#define CHECKED(NAME, T, BUILTIN, WORD, SIGN, TYPE)                                                \
    static void NAME(struct tn_call *call)                                                         \
    {                                                                                              \
        bool is_over = false;                                                                      \
        BINARY_LOOP(T, T, R = 0; is_over |= BUILTIN(X, Y, &R));                                    \
        for (uint32_t row = 0; is_over && row < call->rows_count; row++) {                         \
            const T *a = call->args[0].values, *b = call->args[1].values;                          \
            T x = a[tni_arg_row(call, 0, row)], y = b[tni_arg_row(call, 1, row)], r;               \
            if (tni_row_ok(call, row) && BUILTIN(x, y, &r))                                        \
                tni_error_range(call, row, TYPE " " WORD " overflow: %lld " SIGN " %lld",          \
                                (long long)x, (long long)y);                                       \
        }                                                                                          \
    }

CHECKED(checked_add_i32, int32_t, __builtin_add_overflow, "addition", "+", "integer")
CHECKED(checked_sub_i32, int32_t, __builtin_sub_overflow, "subtraction", "-", "integer")
CHECKED(checked_mul_i32, int32_t, __builtin_mul_overflow, "multiplication", "*", "integer")
CHECKED(checked_add_i64, int64_t, __builtin_add_overflow, "addition", "+", "bigint")
CHECKED(checked_sub_i64, int64_t, __builtin_sub_overflow, "subtraction", "-", "bigint")
CHECKED(checked_mul_i64, int64_t, __builtin_mul_overflow, "multiplication", "*", "bigint")

static void checked_neg_i32(struct tn_call *call)
{
    wrap_neg_i32(call);
    for (uint32_t row = 0; row < call->rows_count; row++)
        if (tn_column_i32(&call->args[0], row) == INT32_MIN && tni_row_ok(call, row))
            tni_error_range(call, row, "integer negation overflow: %d", INT32_MIN);
}

static void checked_neg_i64(struct tn_call *call)
{
    wrap_neg_i64(call);
    for (uint32_t row = 0; row < call->rows_count; row++)
        if (tn_column_i64(&call->args[0], row) == INT64_MIN && tni_row_ok(call, row))
            tni_error_range(call, row, "bigint negation overflow: %lld", (long long)INT64_MIN);
}

/* ---- both: division ---- */

static void fail_zero_divisors(struct tn_call *call)
{
    bool is_wide = call->args[1].type->kind == TN_K_BIGINT;
    for (uint32_t row = 0; row < call->rows_count; row++) {
        int64_t y = is_wide ? tni_arg_i64(call, 1, row) : tni_arg_i32(call, 1, row);
        if (y == 0 && tni_row_ok(call, row))
            tni_error_division(call, row);
    }
}

/* MIN / −1 wraps to MIN under stream rules and overflows under query rules; MIN % −1 is 0. */
#define DIVISION(SUFFIX, T, MIN, TYPE)                                                             \
    static void div_##SUFFIX(struct tn_call *call)                                                 \
    {                                                                                              \
        bool has_zero = false, has_min = false;                                                    \
        BINARY_LOOP(T, T, has_zero |= Y == 0; bool is_min = X == MIN && Y == -1;                   \
                    has_min |= is_min; R = is_min ? MIN : (T)(X / (Y == 0 ? 1 : Y)));              \
        if (has_zero)                                                                              \
            fail_zero_divisors(call);                                                              \
        for (uint32_t row = 0;                                                                     \
             has_min && call->func->flags & TN_FN_QUERY && row < call->rows_count; row++) {        \
            const T *a = call->args[0].values, *b = call->args[1].values;                          \
            if (a[tni_arg_row(call, 0, row)] == MIN && b[tni_arg_row(call, 1, row)] == -1 &&       \
                tni_row_ok(call, row))                                                             \
                tni_error_range(call, row, TYPE " division overflow: %lld / -1", (long long)MIN);  \
        }                                                                                          \
    }                                                                                              \
    static void mod_##SUFFIX(struct tn_call *call)                                                 \
    {                                                                                              \
        bool has_zero = false;                                                                     \
        BINARY_LOOP(T, T, has_zero |= Y == 0; R = Y == 0 || Y == -1 ? 0 : (T)(X % Y));             \
        if (has_zero)                                                                              \
            fail_zero_divisors(call);                                                              \
    }

DIVISION(i32, int32_t, INT32_MIN, "integer")
DIVISION(i64, int64_t, INT64_MIN, "bigint")

static void add_f64(struct tn_call *call)
{
    BINARY_LOOP(double, double, R = X + Y);
}
static void sub_f64(struct tn_call *call)
{
    BINARY_LOOP(double, double, R = X - Y);
}
static void mul_f64(struct tn_call *call)
{
    BINARY_LOOP(double, double, R = X * Y);
}
/* IEEE 754 quotient, written out for zero divisors so that sanitizers see no division by zero. */
static inline double divide(double x, double y)
{
    if (TN_LIKELY(y != 0))
        return x / y;
    if (x == 0 || isnan(x))
        return (double)NAN;
    return signbit(x) == signbit(y) ? (double)INFINITY : -(double)INFINITY;
}
static void div_f64(struct tn_call *call)
{
    BINARY_LOOP(double, double, R = divide(X, Y));
}
static void mod_f64(struct tn_call *call)
{
    BINARY_LOOP(double, double, R = fmod(X, Y));
}
static void neg_f64(struct tn_call *call)
{
    const double *a = call->args[0].values;
    for (uint32_t row = 0; row < call->rows_count; row++)
        TNI_OUT(call, double)[row] = -a[row];
}

/* ---- decimals ---- */

static bool decimal_operands(const struct tn_call *call, uint32_t row, int scale, tn_int128 *ret_a,
                             tn_int128 *ret_b)
{
    *ret_a = tni_arg_dec(call, 0, row);
    *ret_b = tni_arg_dec(call, 1, row);
    int scale_a = call->args[0].type->scale, scale_b = call->args[1].type->scale;
    return (scale_a == scale || tn_decimal_rescale(*ret_a, scale_a, scale, ret_a, NULL)) &&
           (scale_b == scale || tn_decimal_rescale(*ret_b, scale_b, scale, ret_b, NULL));
}

static void decimal_row(struct tn_call *call, uint32_t row, bool is_ok, tn_int128 value)
{
    if (is_ok && tn_decimal_fits(value, call->type->precision))
        TNI_OUT(call, tn_int128)[row] = value;
    else
        tni_error_range(call, row, "decimal overflow");
}

static void add_dec(struct tn_call *call)
{
    for (uint32_t row = 0; row < call->rows_count; row++) {
        tn_int128 a, b, sum = 0;
        if (!tni_row_ok(call, row))
            continue;
        bool is_ok =
            decimal_operands(call, row, call->type->scale, &a, &b) && tn_decimal_add(a, b, &sum);
        decimal_row(call, row, is_ok, sum);
    }
}

static void sub_dec(struct tn_call *call)
{
    for (uint32_t row = 0; row < call->rows_count; row++) {
        tn_int128 a, b, difference = 0;
        if (!tni_row_ok(call, row))
            continue;
        bool is_ok = decimal_operands(call, row, call->type->scale, &a, &b) &&
                     tn_decimal_add(a, -b, &difference);
        decimal_row(call, row, is_ok, difference);
    }
}

static void mul_dec(struct tn_call *call)
{
    int scale = call->args[0].type->scale + call->args[1].type->scale;
    for (uint32_t row = 0; row < call->rows_count; row++) {
        tn_int128 product = 0;
        if (!tni_row_ok(call, row))
            continue;
        bool is_ok = tn_decimal_mul(tni_arg_dec(call, 0, row), tni_arg_dec(call, 1, row), scale,
                                    call->type->scale, &product);
        decimal_row(call, row, is_ok, product);
    }
}

static void div_dec(struct tn_call *call)
{
    int shift = call->type->scale - call->args[0].type->scale + call->args[1].type->scale;
    for (uint32_t row = 0; row < call->rows_count; row++) {
        tn_int128 quotient = 0;
        if (!tni_row_ok(call, row))
            continue;
        if (tni_arg_dec(call, 1, row) == 0) {
            tni_error_division(call, row);
            continue;
        }
        bool is_ok = tn_decimal_div(tni_arg_dec(call, 0, row), tni_arg_dec(call, 1, row), shift,
                                    &quotient, NULL);
        decimal_row(call, row, is_ok, quotient);
    }
}

static void mod_dec(struct tn_call *call)
{
    for (uint32_t row = 0; row < call->rows_count; row++) {
        tn_int128 a, b;
        if (!tni_row_ok(call, row))
            continue;
        bool is_ok = decimal_operands(call, row, call->type->scale, &a, &b);
        if (is_ok && b == 0)
            tni_error_division(call, row);
        else
            decimal_row(call, row, is_ok, is_ok ? a % b : 0);
    }
}

static void neg_dec(struct tn_call *call)
{
    const tn_int128 *a = call->args[0].values;
    for (uint32_t row = 0; row < call->rows_count; row++)
        TNI_OUT(call, tn_int128)[row] = -a[row];
}

static const struct tn_type *capped(struct tn_arena *arena, int precision, int scale)
{
    if (scale > TN_DECIMAL_PRECISION_MAX)
        scale = TN_DECIMAL_PRECISION_MAX;
    if (precision > TN_DECIMAL_PRECISION_MAX)
        precision = TN_DECIMAL_PRECISION_MAX;
    if (precision < scale)
        precision = scale;
    return tn_type_decimal(arena, precision < 1 ? 1 : precision, scale);
}

static int max_int(int a, int b)
{
    return a > b ? a : b;
}

static int min_int(int a, int b)
{
    return a < b ? a : b;
}

static enum tn_status resolve_dec(const struct tn_func *func, const struct tn_type **arg_types,
                                  uint32_t args_count, struct tn_arena *arena,
                                  const struct tn_type **ret_type)
{
    (void)args_count;
    if (arg_types[0]->kind == TN_K_NULL)
        arg_types[0] = arg_types[1];
    if (arg_types[1]->kind == TN_K_NULL)
        arg_types[1] = arg_types[0];
    if (arg_types[0]->kind != TN_K_DECIMAL || arg_types[1]->kind != TN_K_DECIMAL)
        return TN_E_TYPE;
    bool is_stream = func->flags & TN_FN_STREAM;
    int p1 = arg_types[0]->precision, s1 = arg_types[0]->scale;
    int p2 = arg_types[1]->precision, s2 = arg_types[1]->scale;
    int scale = max_int(s1, s2), precision;
    switch (func->name[0]) {
    case '+':
    case '-': precision = scale + max_int(p1 - s1, p2 - s2) + 1; break;
    case '*':
        precision = p1 + p2 + is_stream;
        scale = s1 + s2;
        break;
    case '/':
        if (is_stream)
            scale = max_int(6, s1 + p2 + 1);
        precision = is_stream ? p1 - s1 + s2 + scale : p1 + s2 + max_int(0, s2 - s1);
        break;
    default: precision = min_int(p1 - s1, p2 - s2) + scale; break;
    }
    *ret_type = capped(arena, precision, scale);
    return TN_OK;
}

/* ---- text: + of stream rules ---- */

static void add_text(struct tn_call *call)
{
    struct tni_text text;
    tni_text_open(&text, call, (size_t)call->rows_count * 16);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        if (tni_row_ok(call, row)) {
            tni_text_add(&text, tni_arg_str(call, 0, row));
            tni_text_add(&text, tni_arg_str(call, 1, row));
        }
        tni_text_end(&text);
    }
    tni_text_close(&text);
}

/* ---- times and intervals: query rules ---- */

static bool is_minus(const struct tn_call *call)
{
    return call->func->name[0] == '-';
}

/* The argument that is the interval: + takes it on either side. */
static uint32_t interval_arg(const struct tn_call *call)
{
    enum tn_kind kind = call->args[1].type->kind;
    return kind == TN_K_INTERVAL_DAY || kind == TN_K_INTERVAL_YEAR ? 1 : 0;
}

/* instant ± interval; DATE in days, the others in µs. */
static void add_interval(struct tn_call *call)
{
    uint32_t by = interval_arg(call), base = 1 - by;
    bool is_months = call->args[by].type->kind == TN_K_INTERVAL_YEAR;
    bool is_date = call->type->kind == TN_K_DATE;
    for (uint32_t row = 0; row < call->rows_count; row++) {
        if (!tni_row_ok(call, row))
            continue;
        int64_t count = tni_arg_i64(call, by, row), us, result = 0;
        us = is_date ? tn_us_of_days(tni_arg_i32(call, base, row)) : tni_arg_i64(call, base, row);
        if (is_minus(call))
            count = count == INT64_MIN ? INT64_MAX : -count;
        bool is_ok =
            tn_timestamp_add(is_months ? TN_UNIT_MONTH : TN_UNIT_MICROSECOND, us, count, &result);
        if (!is_ok)
            tni_error_range(call, row, "timestamp out of range");
        else if (is_date && result % TN_US_PER_DAY != 0)
            tni_error_argument(call, row, "cannot add hour, minutes or seconds to a date");
        else if (is_date)
            TNI_OUT(call, int32_t)[row] = (int32_t)(result / TN_US_PER_DAY);
        else
            TNI_OUT(call, int64_t)
        [row] = call->type->kind == TN_K_TIME ? tn_floor_mod(result, TN_US_PER_DAY) : result;
    }
}

static void sub_dates(struct tn_call *call)
{
    for (uint32_t row = 0; row < call->rows_count; row++)
        TNI_OUT(call, int64_t)
    [row] = tn_us_of_days((int64_t)tni_arg_i32(call, 0, row) - tni_arg_i32(call, 1, row));
}

static void scale_interval(struct tn_call *call)
{
    uint32_t by = interval_arg(call) == 1 ? 0 : 1, interval = 1 - by;
    bool is_division = call->func->name[0] == '/';
    for (uint32_t row = 0; row < call->rows_count; row++) {
        if (!tni_row_ok(call, row))
            continue;
        double factor = tni_arg_f64(call, by, row);
        double value = (double)tni_arg_i64(call, interval, row);
        if (is_division && factor == 0) {
            tni_error_division(call, row);
            continue;
        }
        value = is_division ? value / factor : value * factor;
        if (!(fabs(value) < 9.2e18))
            tni_error_range(call, row, "interval out of range");
        else
            TNI_OUT(call, int64_t)[row] = llround(value);
    }
}

static void scale_interval_exact(struct tn_call *call)
{
    for (uint32_t row = 0; row < call->rows_count; row++) {
        int64_t result = 0;
        if (!tni_row_ok(call, row))
            continue;
        if (__builtin_mul_overflow(tni_arg_i64(call, 0, row), tni_arg_i64(call, 1, row), &result))
            tni_error_range(call, row, "interval out of range");
        else
            TNI_OUT(call, int64_t)[row] = result;
    }
}

#define ROW(NAME, FLAGS, ARGS, RESULT, FN)                                                         \
    {                                                                                              \
        .name = NAME, .flags = (FLAGS) | TN_FN_INTERNAL, .args_count = sizeof(ARGS) - 1,           \
        .args = ARGS, .result = TN_K_##RESULT, .kernel = FN                                        \
    }
/* The type of the timestamp, with its precision. */
static enum tn_status resolve_moment(const struct tn_func *func, const struct tn_type **arg_types,
                                     uint32_t args_count, struct tn_arena *arena,
                                     const struct tn_type **ret_type)
{
    (void)func;
    (void)arena;
    for (uint32_t i = 0; i < args_count; i++)
        if (arg_types[i]->kind == TN_K_TIMESTAMP || arg_types[i]->kind == TN_K_TIMESTAMP_TZ)
            *ret_type = arg_types[i];
    return TN_OK;
}

#define MOMENT(NAME, ARGS)                                                                         \
    {                                                                                              \
        .name = NAME, .flags = TN_FN_QUERY | TN_FN_INTERNAL, .args_count = 2, .args = ARGS,        \
        .kernel = add_interval, .resolve = resolve_moment                                          \
    }
#define DEC(NAME, FN)                                                                              \
    {.name = NAME,                                                                                 \
     .flags = TN_FN_QUERY | TN_FN_INTERNAL,                                                        \
     .args_count = 2,                                                                              \
     .args = "mm",                                                                                 \
     .kernel = FN,                                                                                 \
     .resolve = resolve_dec},                                                                      \
    {                                                                                              \
        .name = NAME, .flags = TN_FN_STREAM | TN_FN_INTERNAL, .args_count = 2, .args = "mm",       \
        .kernel = FN, .resolve = resolve_dec                                                       \
    }

static const struct tn_func rows[] = {
    ROW("+", TN_FN_STREAM, "ii", INTEGER, wrap_add_i32),
    ROW("+", TN_FN_STREAM, "ll", BIGINT, wrap_add_i64),
    ROW("+", TN_FN_QUERY, "ii", INTEGER, checked_add_i32),
    ROW("+", TN_FN_QUERY, "ll", BIGINT, checked_add_i64),
    DEC("+", add_dec),
    ROW("+", TNI_BOTH, "dd", DOUBLE, add_f64),
    ROW("+", TN_FN_STREAM, "ss", VARCHAR, add_text),
    ROW("+", TN_FN_QUERY, "Dv", DATE, add_interval),
    ROW("+", TN_FN_QUERY, "vD", DATE, add_interval),
    ROW("+", TN_FN_QUERY, "Dw", DATE, add_interval),
    ROW("+", TN_FN_QUERY, "wD", DATE, add_interval),
    MOMENT("+", "tv"),
    MOMENT("+", "vt"),
    MOMENT("+", "tw"),
    MOMENT("+", "wt"),
    MOMENT("+", "zv"),
    MOMENT("+", "vz"),
    MOMENT("+", "zw"),
    MOMENT("+", "wz"),
    ROW("+", TN_FN_QUERY, "Tv", TIME, add_interval),
    ROW("+", TN_FN_QUERY, "vT", TIME, add_interval),
    ROW("+", TN_FN_QUERY, "vv", INTERVAL_DAY, checked_add_i64),
    ROW("+", TN_FN_QUERY, "ww", INTERVAL_YEAR, checked_add_i64),
    ROW("-", TN_FN_STREAM, "ii", INTEGER, wrap_sub_i32),
    ROW("-", TN_FN_STREAM, "ll", BIGINT, wrap_sub_i64),
    ROW("-", TN_FN_QUERY, "ii", INTEGER, checked_sub_i32),
    ROW("-", TN_FN_QUERY, "ll", BIGINT, checked_sub_i64),
    DEC("-", sub_dec),
    ROW("-", TNI_BOTH, "dd", DOUBLE, sub_f64),
    ROW("-", TN_FN_QUERY, "Dv", DATE, add_interval),
    ROW("-", TN_FN_QUERY, "Dw", DATE, add_interval),
    MOMENT("-", "tv"),
    MOMENT("-", "tw"),
    MOMENT("-", "zv"),
    MOMENT("-", "zw"),
    ROW("-", TN_FN_QUERY, "Tv", TIME, add_interval),
    ROW("-", TN_FN_QUERY, "vv", INTERVAL_DAY, checked_sub_i64),
    ROW("-", TN_FN_QUERY, "ww", INTERVAL_YEAR, checked_sub_i64),
    ROW("-", TN_FN_QUERY, "DD", INTERVAL_DAY, sub_dates),
    ROW("-", TN_FN_QUERY, "tt", INTERVAL_DAY, checked_sub_i64),
    ROW("-", TN_FN_QUERY, "zz", INTERVAL_DAY, checked_sub_i64),
    ROW("-", TN_FN_QUERY, "TT", INTERVAL_DAY, checked_sub_i64),
    ROW("*", TN_FN_STREAM, "ii", INTEGER, wrap_mul_i32),
    ROW("*", TN_FN_STREAM, "ll", BIGINT, wrap_mul_i64),
    ROW("*", TN_FN_QUERY, "ii", INTEGER, checked_mul_i32),
    ROW("*", TN_FN_QUERY, "ll", BIGINT, checked_mul_i64),
    DEC("*", mul_dec),
    ROW("*", TNI_BOTH, "dd", DOUBLE, mul_f64),
    ROW("*", TN_FN_QUERY, "vl", INTERVAL_DAY, scale_interval_exact),
    ROW("*", TN_FN_QUERY, "lv", INTERVAL_DAY, scale_interval_exact),
    ROW("*", TN_FN_QUERY, "wl", INTERVAL_YEAR, scale_interval_exact),
    ROW("*", TN_FN_QUERY, "lw", INTERVAL_YEAR, scale_interval_exact),
    ROW("*", TN_FN_QUERY, "vd", INTERVAL_DAY, scale_interval),
    ROW("*", TN_FN_QUERY, "dv", INTERVAL_DAY, scale_interval),
    ROW("/", TN_FN_STREAM, "ii", INTEGER, div_i32),
    ROW("/", TN_FN_QUERY, "ii", INTEGER, div_i32),
    ROW("/", TN_FN_STREAM, "ll", BIGINT, div_i64),
    ROW("/", TN_FN_QUERY, "ll", BIGINT, div_i64),
    DEC("/", div_dec),
    ROW("/", TNI_BOTH, "dd", DOUBLE, div_f64),
    ROW("/", TN_FN_QUERY, "vd", INTERVAL_DAY, scale_interval),
    ROW("%", TNI_BOTH, "ii", INTEGER, mod_i32),
    ROW("%", TNI_BOTH, "ll", BIGINT, mod_i64),
    DEC("%", mod_dec),
    ROW("%", TNI_BOTH, "dd", DOUBLE, mod_f64),
    TNI_FN("mod", TN_FN_QUERY, "ii", INTEGER, mod_i32, "remainder of the division"),
    TNI_FN("mod", TN_FN_QUERY, "ll", BIGINT, mod_i64, "remainder of the division"),
    TNI_FN_TYPED("mod", TN_FN_QUERY, "mm", resolve_dec, mod_dec, "remainder of the division"),
    TNI_FN("mod", TN_FN_QUERY, "dd", DOUBLE, mod_f64, "remainder of the division"),
    ROW("neg", TN_FN_STREAM, "i", INTEGER, wrap_neg_i32),
    ROW("neg", TN_FN_STREAM, "l", BIGINT, wrap_neg_i64),
    ROW("neg", TN_FN_QUERY, "i", INTEGER, checked_neg_i32),
    ROW("neg", TN_FN_QUERY, "l", BIGINT, checked_neg_i64),
    {.name = "neg",
     .flags = TNI_BOTH | TN_FN_INTERNAL,
     .args_count = 1,
     .args = "m",
     .kernel = neg_dec,
     .resolve = tni_resolve_first},
    ROW("neg", TNI_BOTH, "d", DOUBLE, neg_f64),
    ROW("neg", TN_FN_QUERY, "v", INTERVAL_DAY, checked_neg_i64),
    ROW("neg", TN_FN_QUERY, "w", INTERVAL_YEAR, checked_neg_i64),
};

TNI_TABLE(arith);
