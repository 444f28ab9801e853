/* Covers functions over numbers: rounding of every number type in both rule sets, roots and
 * logarithms, bits, GREATEST and LEAST. */
#include "tests/unit/expr_text.h"

static const struct expr_row rounding[] = {
    {'b', "(abs i)", "1 | 2 | NULL | 7"},
    {'b', "(abs d)", "1.5 | 2.5 | NULL | 0.0"},
    {'b', "(abs m)", "1.25 | NULL | 3.50 | 100.00"},
    {'q', "(abs -9223372036854775808)", "!NUMERIC_VALUE_OUT_OF_RANGE"},
    {'s', "(abs -9223372036854775808)", "-9223372036854775808"},
    {'q', "(abs s)",
     "?unexpected parameters (varchar) for function abs. expected: abs(integer), "
     "abs(bigint), abs(decimal), abs(double)"},
    {'q', "(round d)", "2.0 | -3.0 | NULL | 0.0"},
    {'s', "(round d)", "2 | -2 | NULL | 0"},
    {'q', "(round 7)", "7"},
    {'q', "(round 1234 -2)", "1200"},
    {'q', "(round 2.675e0 2)", "2.68"},
    {'s', "(round 2.675e0 2)", "2.68"},
    {'s', "(round -2.5e0 0)", "-2.0"},
    {'s', "(round 1.005e0 2)", "1.01"},
    {'q', "(round -1.55 1)", "-1.60"},
    {'s', "(round -1.55 1)", "-1.50"},
    {'q', "(round m)", "1 | NULL | -4 | 100"},
    {'s', "(round m)", "1 | NULL | -3 | 100"},
    {'q', "(floor m)", "1 | NULL | -4 | 100"},
    {'s', "(floor m)", "1.00 | NULL | -4.00 | 100.00"},
    {'q', "(ceil m)", "2 | NULL | -3 | 100"},
    {'q', "(ceiling -1.5e0)", "-1.0"},
    {'b', "(floor d)", "1.0 | -3.0 | NULL | 0.0"},
    {'b', "(floor i)", "1 | 2 | NULL | -7"},
    {'q', "(truncate d)", "1.0 | -2.0 | NULL | 0.0"},
    {'q', "(truncate -1.99 1)", "-1.90"},
    {'s', "(trunc d)", "1 | -2 | NULL | 0"},
    {'s', "(trunc 1.999e0 2)", "1.99"},
    {'b', "(sign i)", "1 | 1 | NULL | -1"},
    {'q', "(sign d)", "1.0 | -1.0 | NULL | 0.0"},
    {'s', "(sign d)", "1 | -1 | NULL | 0"},
};

static const struct expr_row math[] = {
    {'b', "(sqrt 16)", "4.0"},
    {'b', "(power 2 10)", "1024.0"},
    {'b', "(cbrt 27)", "3.0"},
    {'b', "(exp 0)", "1.0"},
    {'b', "(ln 1)", "0.0"},
    {'q', "(log10 1000)", "3.0"},
    {'q', "(log2 8)", "3.0"},
    {'b', "(log 10 100)", "2.0"},
    {'s', "(log 1)", "0.0"},
    {'b', "(sqrt -1)", "NaN"},
    {'b', "(degrees (pi))", "180.0"},
    {'q', "(is_nan (nan))", "true"},
    {'q', "(is_finite (infinity))", "false"},
    {'q', "(mod 7 3)", "1"},
    {'q', "(mod 7.5 2)", "1.5"},
    {'q', "(mod i 0)", "!DIVISION_BY_ZERO | ! | NULL | !"},
    {'q', "(bitwise_and 12 10)", "8"},
    {'q', "(bitwise_xor 12 10)", "6"},
    {'q', "(bitwise_not 0)", "-1"},
    {'q', "(bitwise_left_shift 1 4)", "16"},
    {'q', "(bitwise_right_shift -1 60)", "15"},
    {'q', "(bitwise_right_shift_arithmetic -16 2)", "-4"},
    {'q', "(bit_count 9 64)", "2"},
    {'q', "(bit_count 9 1)", "!INVALID_FUNCTION_ARGUMENT"},
    {'q', "(width_bucket 5e0 0 10 5)", "3"},
    {'q', "(width_bucket 10e0 0 10 5)", "6"},
    {'q', "(to_base 255 16)", "ff"},
    {'q', "(from_base '-ff' 16)", "-255"},
    {'q', "(from_base 'fg' 16)", "!INVALID_FUNCTION_ARGUMENT"},
    {'q', "(greatest i 1 l)", "10 | NULL | NULL | 9223372036854775807"},
    {'s', "(greatest i 1 l)", "10 | 2 | 30 | 9223372036854775807"},
    {'q', "(least i 1.5)", "1.0 | 1.5 | NULL | -7.0"},
    {'s', "(least s 'b')", "abc | b | b | "},
    {'b', "(greatest 'a')", "a"},
    {'b', "(greatest 1 'a')", "?unexpected parameters"},
    {'s', "(cast (geo_distance 37.4133 -122.1162 37.4133 -122.1162) INT)", "0"},
    {'s', "(round (geo_distance 37.4133 -122.1162 51.5257 -0.1322))", "8634"},
    {'s', "(round (geo_distance 37.4133 -122.1162 51.5257 -0.1322 'miles'))", "5365"},
    {'s', "(geo_distance 91 0 0 0)", "!INVALID_FUNCTION_ARGUMENT"},
};

static void test_random(void)
{
    struct tn_program *program;
    struct tn_err err = TN_ERR_INIT;
    struct tn_result result;
    const char *text = "(random)";
    expr_rules = TN_RULES_QUERY;
    struct tn_expr *expr = expr_parse(&text);
    CHECK_OK(tn_expr_compile(expr, &expr_arena, &program, &err), &err);
    tn_program_run(program, expr_input, &expr_arena, &result);
    CHECK_INT(result.col.rows_count, 4); /* one number a row, not one for all */
    for (uint32_t row = 0; row < 4; row++)
        CHECK(tn_column_f64(&result.col, row) >= 0 && tn_column_f64(&result.col, row) < 1);
    CHECK(tn_column_f64(&result.col, 0) != tn_column_f64(&result.col, 1));
}

int main(void)
{
    tn_arena_init(&expr_arena, 0);
    EXPR_TABLE(rounding);
    EXPR_TABLE(math);
    test_random();
    tn_arena_release(&expr_arena);
    return TN_TEST_END();
}
