/* Numbers: roots, powers, logarithms, trigonometry, bits, constants. Rounding is in func_round.c,
 * operators in func_arith.c. @thread the running one */
#include "stream/base/random.h"
#include "stream/func_int.h"

#define UNARY(NAME, EXPR)                                                                          \
    static void NAME(struct tn_call *call)                                                         \
    {                                                                                              \
        const double *a = call->args[0].values;                                                    \
        for (uint32_t row = 0; row < call->rows_count; row++) {                                    \
            double x = a[row];                                                                     \
            TNI_OUT(call, double)[row] = (EXPR);                                                   \
        }                                                                                          \
    }

#define RADIANS_PER_DEGREE 0.017453292519943295

/* The C library may miss a whole root by one unit in the last place. */
static double cube_root(double x)
{
    double root = cbrt(x), whole = round(root);
    return whole * whole * whole == x ? whole : root;
}

UNARY(kernel_sqrt, sqrt(x))
UNARY(kernel_cbrt, cube_root(x))
UNARY(kernel_exp, exp(x))
UNARY(kernel_ln, log(x))
UNARY(kernel_log2, log2(x))
UNARY(kernel_log10, log10(x))
UNARY(kernel_sin, sin(x))
UNARY(kernel_cos, cos(x))
UNARY(kernel_tan, tan(x))
UNARY(kernel_cot, 1 / tan(x))
UNARY(kernel_asin, asin(x))
UNARY(kernel_acos, acos(x))
UNARY(kernel_atan, atan(x))
UNARY(kernel_sinh, sinh(x))
UNARY(kernel_cosh, cosh(x))
UNARY(kernel_tanh, tanh(x))
UNARY(kernel_degrees, x / RADIANS_PER_DEGREE)
UNARY(kernel_radians, x *RADIANS_PER_DEGREE)

#define BINARY(NAME, EXPR)                                                                         \
    static void NAME(struct tn_call *call)                                                         \
    {                                                                                              \
        for (uint32_t row = 0; row < call->rows_count; row++) {                                    \
            double x = tni_arg_f64(call, 0, row), y = tni_arg_f64(call, 1, row);                   \
            TNI_OUT(call, double)[row] = (EXPR);                                                   \
        }                                                                                          \
    }

BINARY(kernel_power, pow(x, y))
BINARY(kernel_atan2, atan2(x, y))
BINARY(kernel_log_base, log(y) / log(x))

#define TEST(NAME, EXPR)                                                                           \
    static void NAME(struct tn_call *call)                                                         \
    {                                                                                              \
        const double *a = call->args[0].values;                                                    \
        for (uint32_t row = 0; row < call->rows_count; row++) {                                    \
            double x = a[row];                                                                     \
            tn_bit_put(call->out->col.values, row, (EXPR));                                        \
        }                                                                                          \
    }

TEST(kernel_is_nan, isnan(x))
TEST(kernel_is_finite, isfinite(x))
TEST(kernel_is_infinite, isinf(x))

#define CONSTANT(NAME, VALUE)                                                                      \
    static void NAME(struct tn_call *call)                                                         \
    {                                                                                              \
        for (uint32_t row = 0; row < call->rows_count; row++)                                      \
            TNI_OUT(call, double)[row] = (VALUE);                                                  \
    }

CONSTANT(kernel_pi, 3.141592653589793)
CONSTANT(kernel_e, 2.718281828459045)
CONSTANT(kernel_infinity, (double)INFINITY)
CONSTANT(kernel_nan, (double)NAN)
CONSTANT(kernel_random, tn_random_unit())

static void kernel_random_below(struct tn_call *call)
{
    for (uint32_t row = 0; row < call->rows_count; row++) {
        if (!tni_row_ok(call, row))
            continue;
        bool is_range = call->args_count == 2;
        int64_t low = is_range ? tni_arg_i64(call, 0, row) : 0;
        int64_t high = tni_arg_i64(call, is_range ? 1 : 0, row);
        if (high <= low)
            tni_error_argument(call, row,
                               is_range ? "start value must be less than stop value"
                                        : "bound must be positive");
        else
            TNI_OUT(call, int64_t)
        [row] = (int64_t)((uint64_t)low + tn_random_next() % ((uint64_t)high - (uint64_t)low));
    }
}

/* ---- bits ---- */

#define BITS(NAME, EXPR)                                                                           \
    static void NAME(struct tn_call *call)                                                         \
    {                                                                                              \
        for (uint32_t row = 0; row < call->rows_count; row++) {                                    \
            uint64_t x = (uint64_t)tni_arg_i64(call, 0, row);                                      \
            uint64_t y = call->args_count > 1 ? (uint64_t)tni_arg_i64(call, 1, row) : 0;           \
            (void)y;                                                                               \
            TNI_OUT(call, int64_t)[row] = (int64_t)(EXPR);                                         \
        }                                                                                          \
    }

BITS(kernel_bit_and, x &y)
BITS(kernel_bit_or, x | y)
BITS(kernel_bit_xor, x ^ y)
BITS(kernel_bit_not, ~x)
BITS(kernel_shift_left, y < 64 ? x << y : 0)
BITS(kernel_shift_right, y < 64 ? x >> y : 0)
BITS(kernel_shift_right_arithmetic, (int64_t)x >> (y < 64 ? y : 63))

static void kernel_bit_count(struct tn_call *call)
{
    for (uint32_t row = 0; row < call->rows_count; row++) {
        int64_t bits = tni_arg_i64(call, 1, row), x = tni_arg_i64(call, 0, row);
        if (!tni_row_ok(call, row))
            continue;
        if (bits < 2 || bits > 64) {
            tni_error_argument(call, row, "bits specified in bit_count must be between 2 and 64");
            continue;
        }
        uint64_t mask = bits == 64 ? UINT64_MAX : (UINT64_C(1) << bits) - 1;
        TNI_OUT(call, int64_t)[row] = __builtin_popcountll((uint64_t)x & mask);
    }
}

/* ---- the rest ---- */

static void kernel_width_bucket(struct tn_call *call)
{
    for (uint32_t row = 0; row < call->rows_count; row++) {
        if (!tni_row_ok(call, row))
            continue;
        double x = tni_arg_f64(call, 0, row), low = tni_arg_f64(call, 1, row);
        double high = tni_arg_f64(call, 2, row);
        int64_t count = tni_arg_i64(call, 3, row);
        if (count <= 0 || count > INT32_MAX || low == high || !isfinite(low) || !isfinite(high) ||
            isnan(x)) {
            tni_error_argument(call, row,
                               "width_bucket needs finite, different bounds, a number "
                               "and a positive bucket count");
            continue;
        }
        double share = (x - low) / (high - low);
        TNI_OUT(call, int64_t)
        [row] = share < 0 ? 0 : share >= 1 ? count + 1 : (int64_t)(share * (double)count) + 1;
    }
}

static void kernel_to_base(struct tn_call *call)
{
    struct tni_text out;
    tni_text_open(&out, call, (size_t)call->rows_count * 8);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        int64_t x = tni_arg_i64(call, 0, row), base = tni_arg_i64(call, 1, row);
        char text[72], *p = text + sizeof text;
        if (tni_row_ok(call, row) && (base < 2 || base > 36)) {
            tni_error_argument(call, row, "radix must be between 2 and 36");
        } else if (tni_row_ok(call, row)) {
            uint64_t m = x < 0 ? 0 - (uint64_t)x : (uint64_t)x;
            do {
                *--p = "0123456789abcdefghijklmnopqrstuvwxyz"[m % (uint64_t)base];
                m /= (uint64_t)base;
            } while (m);
            if (x < 0)
                *--p = '-';
            tni_text_add(&out, (struct tn_str){p, (size_t)(text + sizeof text - p)});
        }
        tni_text_end(&out);
    }
    tni_text_close(&out);
}

static bool parse_base(struct tn_str text, int64_t base, int64_t *ret_value)
{
    const char *p = text.ptr, *end = text.ptr + text.len;
    bool is_negative = p < end && *p == '-';
    p += p < end && (*p == '-' || *p == '+');
    int64_t value = 0;
    if (p == end)
        return false;
    for (; p < end; p++) {
        int c = *p | 32, digit = *p >= '0' && *p <= '9' ? *p - '0' : c - 'a' + 10;
        if (digit < 0 || digit >= base || (*p > '9' && c < 'a') ||
            __builtin_mul_overflow(value, base, &value) ||
            __builtin_sub_overflow(value, digit, &value))
            return false;
    }
    if (!is_negative && value == INT64_MIN)
        return false;
    *ret_value = is_negative ? value : -value;
    return true;
}

static void kernel_from_base(struct tn_call *call)
{
    for (uint32_t row = 0; row < call->rows_count; row++) {
        if (!tni_row_ok(call, row))
            continue;
        struct tn_str text = tni_arg_str(call, 0, row);
        int64_t base = tni_arg_i64(call, 1, row);
        if (base < 2 || base > 36)
            tni_error_argument(call, row, "radix must be between 2 and 36");
        else if (!parse_base(text, base, &TNI_OUT(call, int64_t)[row]))
            tni_error_argument(call, row, "not a valid base-%lld number: %.*s", (long long)base,
                               (int)(text.len < 60 ? text.len : 60), text.ptr);
    }
}

/* Great-circle distance by the haversine formula; unit: km (default) or miles. */
static void kernel_geo_distance(struct tn_call *call)
{
    for (uint32_t row = 0; row < call->rows_count; row++) {
        if (!tni_row_ok(call, row))
            continue;
        double v[4];
        for (uint32_t k = 0; k < 4; k++)
            v[k] = tni_arg_f64(call, k, row);
        if (fabs(v[0]) > 90 || fabs(v[2]) > 90 || fabs(v[1]) > 180 || fabs(v[3]) > 180) {
            tni_error_argument(call, row, "latitude must be within 90, longitude within 180");
            continue;
        }
        double radius_km = 6371;
        if (call->args_count == 5) {
            struct tn_str unit = tni_arg_str(call, 4, row);
            bool is_mile = unit.len >= 2 && strncasecmp(unit.ptr, "mi", 2) == 0;
            if (!is_mile && !(unit.len >= 1 && strncasecmp(unit.ptr, "k", 1) == 0)) {
                tni_error_argument(call, row, "unit must be 'km' or 'miles', not '%.*s'",
                                   (int)(unit.len < 30 ? unit.len : 30), unit.ptr);
                continue;
            }
            radius_km = is_mile ? 3959 : radius_km;
        }
        double dlat = (v[2] - v[0]) * RADIANS_PER_DEGREE, dlon = (v[3] - v[1]) * RADIANS_PER_DEGREE;
        double a = pow(sin(dlat / 2), 2) + pow(sin(dlon / 2), 2) * cos(v[0] * RADIANS_PER_DEGREE) *
                                               cos(v[2] * RADIANS_PER_DEGREE);
        TNI_OUT(call, double)[row] = 2 * asin(sqrt(a)) * radius_km;
    }
}

#define BOTH  TNI_BOTH
#define QUERY TN_FN_QUERY
#define ANY   TN_FN_STREAM

static const struct tn_func rows[] = {
    TNI_FN("sqrt", BOTH, "d", DOUBLE, kernel_sqrt, "square root"),
    TNI_FN("cbrt", BOTH, "d", DOUBLE, kernel_cbrt, "cube root"),
    TNI_FN("exp", BOTH, "d", DOUBLE, kernel_exp, "e raised to x"),
    TNI_FN("ln", BOTH, "d", DOUBLE, kernel_ln, "natural logarithm"),
    TNI_FN("log", ANY, "d", DOUBLE, kernel_ln, "natural logarithm"),
    TNI_FN("log", BOTH, "dd", DOUBLE, kernel_log_base, "logarithm of the second to the first"),
    TNI_FN("log2", QUERY, "d", DOUBLE, kernel_log2, "logarithm to base 2"),
    TNI_FN("log10", QUERY, "d", DOUBLE, kernel_log10, "logarithm to base 10"),
    TNI_FN("power", BOTH, "dd", DOUBLE, kernel_power, "x raised to y"),
    TNI_FN("pow", QUERY, "dd", DOUBLE, kernel_power, "x raised to y"),
    TNI_FN("sin", BOTH, "d", DOUBLE, kernel_sin, "sine"),
    TNI_FN("cos", BOTH, "d", DOUBLE, kernel_cos, "cosine"),
    TNI_FN("tan", BOTH, "d", DOUBLE, kernel_tan, "tangent"),
    TNI_FN("cot", BOTH, "d", DOUBLE, kernel_cot, "cotangent"),
    TNI_FN("asin", BOTH, "d", DOUBLE, kernel_asin, "arc sine"),
    TNI_FN("acos", BOTH, "d", DOUBLE, kernel_acos, "arc cosine"),
    TNI_FN("atan", BOTH, "d", DOUBLE, kernel_atan, "arc tangent"),
    TNI_FN("atan2", BOTH, "dd", DOUBLE, kernel_atan2, "angle of the point (second, first)"),
    TNI_FN("sinh", BOTH, "d", DOUBLE, kernel_sinh, "hyperbolic sine"),
    TNI_FN("cosh", BOTH, "d", DOUBLE, kernel_cosh, "hyperbolic cosine"),
    TNI_FN("tanh", BOTH, "d", DOUBLE, kernel_tanh, "hyperbolic tangent"),
    TNI_FN("degrees", BOTH, "d", DOUBLE, kernel_degrees, "radians to degrees"),
    TNI_FN("radians", BOTH, "d", DOUBLE, kernel_radians, "degrees to radians"),
    TNI_FN("pi", BOTH, "", DOUBLE, kernel_pi, "the constant pi"),
    TNI_FN("e", QUERY, "", DOUBLE, kernel_e, "the constant e"),
    TNI_FN("infinity", QUERY, "", DOUBLE, kernel_infinity, "positive infinity"),
    TNI_FN("nan", QUERY, "", DOUBLE, kernel_nan, "not a number"),
    TNI_FN("is_nan", QUERY, "d", BOOLEAN, kernel_is_nan, "whether x is not a number"),
    TNI_FN("is_finite", QUERY, "d", BOOLEAN, kernel_is_finite, "whether x is finite"),
    TNI_FN("is_infinite", QUERY, "d", BOOLEAN, kernel_is_infinite, "whether x is infinite"),
    TNI_FN("random", BOTH | TN_FN_VOLATILE, "", DOUBLE, kernel_random, "random number below 1"),
    TNI_FN("rand", QUERY | TN_FN_VOLATILE, "", DOUBLE, kernel_random, "random number below 1"),
    TNI_FN("random", QUERY | TN_FN_VOLATILE, "l", BIGINT, kernel_random_below,
           "random whole number below n"),
    TNI_FN("rand", QUERY | TN_FN_VOLATILE, "l", BIGINT, kernel_random_below,
           "random whole number below n"),
    TNI_FN("random", QUERY | TN_FN_VOLATILE, "ll", BIGINT, kernel_random_below,
           "random whole number from m to below n"),
    TNI_FN("bitwise_and", QUERY, "ll", BIGINT, kernel_bit_and, "bitwise and"),
    TNI_FN("bitwise_or", QUERY, "ll", BIGINT, kernel_bit_or, "bitwise or"),
    TNI_FN("bitwise_xor", QUERY, "ll", BIGINT, kernel_bit_xor, "bitwise exclusive or"),
    TNI_FN("bitwise_not", QUERY, "l", BIGINT, kernel_bit_not, "bitwise complement"),
    TNI_FN("bitwise_left_shift", QUERY, "ll", BIGINT, kernel_shift_left, "shifted left by n bits"),
    TNI_FN("bitwise_right_shift", QUERY, "ll", BIGINT, kernel_shift_right,
           "shifted right by n bits, zeros enter"),
    TNI_FN("bitwise_right_shift_arithmetic", QUERY, "ll", BIGINT, kernel_shift_right_arithmetic,
           "shifted right by n bits, the sign enters"),
    TNI_FN("bit_count", QUERY, "ll", BIGINT, kernel_bit_count, "bits set among the lowest n"),
    TNI_FN("width_bucket", QUERY, "dddl", BIGINT, kernel_width_bucket,
           "number of the equal-width bucket that holds x"),
    TNI_FN("to_base", QUERY, "ll", VARCHAR, kernel_to_base, "number as text in a radix"),
    TNI_FN("from_base", QUERY, "sl", BIGINT, kernel_from_base, "number from text in a radix"),
    TNI_FN("geo_distance", ANY, "dddd", DOUBLE, kernel_geo_distance,
           "distance in km between two points (lat1, lon1, lat2, lon2)"),
    TNI_FN("geo_distance", ANY, "dddds", DOUBLE, kernel_geo_distance,
           "distance between two points in km or miles"),
};

TNI_TABLE(math);
