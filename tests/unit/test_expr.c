/* Covers the expression machine: error selection by AND, OR, CASE, COALESCE, TRY and IN in both
 * rule sets, NULL logic, constants beside columns, lambdas with captured columns, shared subtrees,
 * selection of rows, folding, equality, columns read, text; overload resolution and its messages;
 * large batches against a plain loop. */
#include "tests/unit/expr_text.h"

static const struct expr_row logic[] = {
    {'q', "(and b null)", "NULL | false | NULL | NULL"},
    {'s', "(and b null)", "false | false | false | false"},
    {'q', "(or b null)", "true | NULL | NULL | true"},
    {'s', "(or b null)", "true | false | false | true"},
    {'q', "(and b true)", "true | false | NULL | true"},
    {'q', "(or b false)", "true | false | NULL | true"},
    {'q', "(not b)", "false | true | NULL | false"},
    {'s', "(not b)", "false | true | NULL | false"},
    {'b', "(and false (= (/ 1 0) 1))", "false"},
    {'b', "(and (= (/ 1 0) 1) false)", "!DIVISION_BY_ZERO"},
    {'b', "(or true (= (/ 1 0) 1))", "true"},
    {'q', "(or (<> i -7) (= (/ 1 (+ i 7)) 1))", "true | true | NULL | !DIVISION_BY_ZERO"},
    {'s', "(or (<> i -7) (= (/ 1 (+ i 7)) 1))", "true | true | false | !DIVISION_BY_ZERO"},
    {'b', "(case (= i 1) 'one' (= i 2) 'two' 'more')", "one | two | more | more"},
    {'b', "(case (= i 1) 1 (= i 2) 2.5)", "1.0 | 2.5 | NULL | NULL"},
    {'b', "(case (<> i 1) (/ 10 (- i 1)))", "NULL | 10 | NULL | -1"},
    {'b', "(case (= i 1) (/ 1 0) 5)", "!DIVISION_BY_ZERO | 5 | 5 | 5"},
    {'b', "(case (= (/ 1 (- i 1)) 1) 'x' 'y')", "!DIVISION_BY_ZERO | x | y | y"},
    {'b', "(case (= i 2) a (array 9))", "[9] | [] | [9] | [9]"},
    {'b', "(case b d 1)", "1.5 | 1.0 | 1.0 | 0.0"},
    {'b', "(case b true false)", "true | false | false | true"},
    {'b', "(coalesce_ l i 0)", "10 | 2 | 30 | 9223372036854775807"},
    {'b', "(coalesce_ s 'none')", "abc | \xC3\x84\xC3\xB6x | none | "},
    {'b', "(coalesce_ i (/ 1 0))", "1 | 2 | !DIVISION_BY_ZERO | -7"},
    {'b', "(coalesce_ (/ 1 (- i 1)) 5)", "!DIVISION_BY_ZERO | 1 | 5 | 0"},
    {'b', "(try (/ 1 (- i 1)))", "NULL | 1 | NULL | 0"},
    {'b', "(coalesce_ (try (/ 1 (- i 1))) 5)", "5 | 1 | 5 | 0"},
    {'q', "(in i 1 2)", "true | true | NULL | false"},
    {'s', "(in i 1 2)", "true | true | false | false"},
    {'q', "(notin i 1 2)", "false | false | NULL | true"},
    {'s', "(notin i 1 2)", "false | false | true | true"},
    {'q', "(in i 1 null)", "true | NULL | NULL | NULL"},
    {'s', "(in i 1 null)", "true | false | false | false"},
    {'q', "(notin i 1 null)", "false | NULL | NULL | NULL"},
    {'q', "(in s 'abc' 'q' 'z' 'y' '')", "true | false | NULL | true"},
    {'q', "(in d 0e0 1.5e0 7)", "true | false | NULL | true"},
    {'q', "(in l i 10 30)", "true | NULL | true | false"},
    {'q', "(in m 1.25 100 3)", "true | NULL | false | true"},
    {'b', "(in (array 1 2) (array 1 2) (array 3))", "true"},
    {'b', "(in 1 1 (/ 1 0))", "true"},
    {'b', "(in 2 1 (/ 1 0))", "!DIVISION_BY_ZERO"},
    {'b', "(in 2 2)", "true"},
    {'b', "(+ (* i 2) (* i 2))", "4 | 8 | NULL | -28"},
    {'b', "(+ (/ 1 0) i)", "!DIVISION_BY_ZERO | ! | ! | !"},
    {'b', "(is_null (/ 1 (- i 1)))", "!DIVISION_BY_ZERO | false | true | false"},
};

static const struct expr_row lambdas[] = {
    {'b', "(transform a (fn (x) (+ x i)))", "[4, 2, 3] | [] | NULL | [null, -2, -2]"},
    {'b', "(transform (array 1 2) (fn (x) (* x i)))", "[1, 2] | [2, 4] | [null, null] | [-7, -14]"},
    {'b', "(transform a (fn (x) 'c'))", "[c, c, c] | [] | NULL | [c, c, c]"},
    {'b', "(transform a (fn (x) (/ 6 (- x 1))))", "!DIVISION_BY_ZERO | [] | NULL | [null, 1, 1]"},
    {'b', "(transform (array (array 1 2) (array 3)) (fn (x) (transform x (fn (y) (+ y 1)))))",
     "[[2, 3], [4]]"},
    {'b', "(transform (array 1 2) (fn (x) (transform (array 10 20) (fn (y) (+ x y)))))",
     "[[11, 21], [12, 22]]"},
    {'s', "(transform mp (fn (k v) (|| k '!')) (fn (k v) (+ v 1)))",
     "{k!=2, n!=null} | {} | NULL | {q!=8}"},
    {'b', "(filter a (fn (x) (> x 1)))", "[3, 2] | [] | NULL | [5, 5]"},
    {'b', "(filter a (fn (x) (is_not_null i)))", "[3, 1, 2] | [] | NULL | [null, 5, 5]"},
    {'s', "(filter mp (fn (k v) (= k 'k')))", "{k=1} | {} | NULL | {}"},
    {'s', "(reduce a 10 (fn (s x) (+ s (coalesce_ x 100))))", "16 | 10 | NULL | 120"},
    {'s', "(reduce mp 0 (fn (s k v) (+ s (coalesce_ v 50))))", "51 | 0 | NULL | 7"},
    {'s', "(reduce a i (fn (s x) (+ s 1)))", "4 | 2 | NULL | -4"},
    {'q', "(reduce a 0 (fn (s x) (+ s (coalesce_ x 0))) (fn (s) (* s 2)))", "12 | 0 | NULL | 20"},
    {'q', "(any_match a (fn (x) (= x 3)))", "true | false | NULL | NULL"},
    {'q', "(all_match a (fn (x) (< x 5)))", "true | true | NULL | false"},
    {'q', "(none_match a (fn (x) (= x 5)))", "true | true | NULL | false"},
    {'q', "(zip_with a (array 1 1) (fn (x y) (+ x y)))",
     "[4, 2, null] | [null, null] | NULL | [null, 6, null]"},
    {'q', "(transform_values mp (fn (k v) (coalesce_ v 0)))", "{k=1, n=0} | {} | NULL | {q=7}"},
    {'q', "(map_filter mp (fn (k v) (is_not_null v)))", "{k=1} | {} | NULL | {q=7}"},
    {'b', "(transform a 5)", "?expected a lambda like x => x + 1"},
    {'b', "(filter a (fn (x) 'no'))", "?unexpected parameters"},
};

static const struct expr_row resolution[] = {
    {'q', "(nosuchfunction 1)", "?function 'nosuchfunction' not registered"},
    {'q', "(like 1 2)",
     "?unexpected parameters (integer, integer) for function like. expected: "
     "like(varchar, varchar), like(varchar, varchar, varchar)"},
    {'s', "(neg 'x')",
     "?unexpected parameters (STRING) for function neg. expected: neg(INTEGER), neg(BIGINT), "
     "neg(decimal), neg(DOUBLE)"},
};

static struct tn_expr *parse(const char *text)
{
    expr_problem[0] = 0;
    struct tn_expr *expr = expr_parse(&text);
    CHECK_STR(tn_str_of(expr_problem), "");
    return expr;
}

static void test_messages(void)
{
    /* the first error belongs to a row whose error CASE drops; the second one's message must be
     * found */
    expr_rules = TN_RULES_QUERY;
    struct tn_program *program;
    struct tn_err err = TN_ERR_INIT;
    struct tn_result result;
    struct tn_expr *expr = parse("(case (= i 1) 0 (cast (|| s 'q') BIGINT))");
    expr->args[2]->line = 3;
    expr->args[2]->col = 9;
    CHECK_OK(tn_expr_compile(expr, &expr_arena, &program, &err), &err);
    tn_program_run(program, expr_input, &expr_arena, &result);
    CHECK_INT(result.errors_count, 2);
    CHECK_INT(result.error_row, 1);
    CHECK_STR(tn_str_of(result.error.message), "cannot cast '\xC3\x84\xC3\xB6xq' to bigint");
    CHECK(result.error.line == 3 && result.error.col == 9 && result.error.code == TN_E_EVAL);
}

static void test_select(void)
{
    struct tn_program *program;
    struct tn_err err = TN_ERR_INIT;
    struct tn_result result;
    uint32_t rows[4];
    expr_rules = TN_RULES_STREAM;
    CHECK_OK(tn_expr_compile(parse("(> (/ 1 (- i 1)) -1)"), &expr_arena, &program, &err), &err);
    tn_program_run(program, expr_input, &expr_arena, &result);
    CHECK_INT(tn_result_select(&result, rows), 2);
    CHECK(rows[0] == 1 && rows[1] == 3);
    CHECK_OK(tn_expr_compile(parse("true"), &expr_arena, &program, &err), &err);
    tn_program_run(program, expr_input, &expr_arena, &result);
    CHECK_INT(tn_result_select(&result, rows), 4);
    CHECK_OK(tn_expr_compile(parse("b"), &expr_arena, &program, &err), &err);
    tn_program_run(program, expr_input, &expr_arena, &result);
    CHECK(result.col.values == expr_input->columns[5].values); /* no copy */
    CHECK_INT(tn_result_select(&result, rows), 2);
}

static void check_print(const char *text, const char *want)
{
    struct tn_buf buf;
    tn_buf_init(&buf, 1000);
    tn_expr_print(parse(text), &buf);
    CHECK_STR(tn_buf_str(&buf), want);
    tn_buf_release(&buf);
}

static void test_trees(void)
{
    expr_rules = TN_RULES_QUERY;
    CHECK(tn_expr_eq(parse("(+ i 1)"), parse("(+ i 1)")));
    CHECK(!tn_expr_eq(parse("(+ i 1)"), parse("(+ i 2)")));
    CHECK(!tn_expr_eq(parse("(+ i 1)"), parse("(+ l 1)")));
    CHECK(!tn_expr_eq(parse("(in i 1 2)"), parse("(notin i 1 2)")));
    CHECK(!tn_expr_eq(parse("(cast i STRING)"), parse("(trycast i STRING)")));
    bool mask[32] = {0};
    tn_expr_columns(parse("(case (= i 1) d (transform a (fn (x) (+ x l))))"), 0, mask);
    struct tn_expr *expr = parse("(transform a (fn (x) (+ x l)))");
    memset(mask, 0, sizeof mask);
    tn_expr_columns(expr, 0, mask);
    CHECK(!mask[0] && mask[1] && mask[10]);
    check_print("(and (= s 'it''s') (not b))", "(($4 = 'it''s') AND NOT $5)");
    check_print("(case b 1 2)", "CASE WHEN $5 THEN 1 ELSE 2 END");
    check_print("(cast i STRING)", "CAST($0 AS varchar)");
    check_print("(in i 1 2)", "$0 IN (1, 2)");
    check_print("(subscript a 1)", "$10[CAST(1 AS bigint)]");
    check_print("(is_null i)", "$0 IS NULL");
    check_print("TS'2024-01-01 00:00'", "CAST('2024-01-01 00:00' AS timestamp(3))");
}

static void test_fold(void)
{
    struct tn_value value;
    struct tn_err err = TN_ERR_INIT;
    expr_rules = TN_RULES_QUERY;
    CHECK_OK(tn_expr_fold(parse("(|| 'a' 'b')"), &expr_arena, &value, &err), &err);
    CHECK_STR(value.s, "ab");
    CHECK(tn_expr_fold(parse("(/ 1 0)"), &expr_arena, &value, &err) == TN_E_EVAL);
    CHECK_STR(tn_str_of(tn_err_name(&err)), "DIVISION_BY_ZERO");
    CHECK_OK(tn_expr_fold(parse("(array 'x' null)"), &expr_arena, &value, &err), &err);
    CHECK(value.list.count == 2 && value.list.items[1].is_null);
}

static void test_refused(void)
{
    struct tn_program *program;
    struct tn_err err = TN_ERR_INIT;
    struct tn_expr *expr = expr_node(TN_E_AGG, tn_type_of(TN_K_BIGINT));
    expr->line = 2;
    CHECK(tn_expr_compile(expr, &expr_arena, &program, &err) == TN_E_UNSUPPORTED);
    CHECK(err.line == 2);
    CHECK_STR(tn_str_of(err.message), "an aggregate cannot be used here");
}

/* 4,000 rows: compare whole-word kernels with a loop over rows. */
static void test_large(void)
{
    enum { N = 4000 };
    static const char *const texts[] = {"(+ (* i 3) l)",
                                        "(= (% i 7) 3)",
                                        "(< i l)",
                                        "(and (> i 100) (or (= l 5) (is_null l)))",
                                        "(case (> i l) i l)",
                                        "(in i 1 5 9 77 1000 -5)"};
    struct tn_field fields[2] = {{TN_STR("i"), tn_type_of(TN_K_INTEGER)},
                                 {TN_STR("l"), tn_type_of(TN_K_BIGINT)}};
    struct tn_schema schema = {2, fields};
    struct tn_batch *batch = tn_batch_new(&schema, N, &expr_arena);
    tn_column_init(&batch->columns[0], fields[0].type, N, true, &expr_arena);
    tn_column_init(&batch->columns[1], fields[1].type, N, true, &expr_arena);
    for (uint32_t row = 0; row < N; row++) {
        ((int32_t *)batch->columns[0].values)[row] = (int32_t)(row * 7919 % 2003) - 900;
        ((int64_t *)batch->columns[1].values)[row] = (int64_t)(row * 104729 % 211);
        if (row % 11 == 0)
            tn_column_set_null(&batch->columns[0], row, &expr_arena);
        if (row % 13 == 0)
            tn_column_set_null(&batch->columns[1], row, &expr_arena);
    }
    const struct tn_batch *before = expr_input;
    expr_input = batch;
    for (size_t t = 0; t < sizeof texts / sizeof *texts; t++) {
        struct tn_program *program;
        struct tn_err err = TN_ERR_INIT;
        struct tn_result all, one;
        expr_rules = t % 2 ? TN_RULES_STREAM : TN_RULES_QUERY;
        CHECK_OK(tn_expr_compile(parse(texts[t]), &expr_arena, &program, &err), &err);
        tn_program_run(program, batch, &expr_arena, &all);
        CHECK_INT(all.col.rows_count, N);
        for (uint32_t row = 0; row < N; row += 3) {
            struct tn_batch *single = tn_batch_gather(batch, &row, 1, &expr_arena);
            tn_program_run(program, single, &expr_arena, &one);
            CHECK(tn_column_same(&all.col, row, &one.col, 0));
        }
    }
    uint32_t none = 0;
    struct tn_batch *empty = tn_batch_gather(batch, &none, 0, &expr_arena);
    struct tn_program *program;
    struct tn_err err = TN_ERR_INIT;
    struct tn_result result;
    CHECK_OK(tn_expr_compile(parse("(case (> i 5) (+ i l) 7)"), &expr_arena, &program, &err), &err);
    tn_program_run(program, empty, &expr_arena, &result);
    CHECK_INT(result.col.rows_count, 0);
    expr_input = before;
}

/* An IN list of 20,000 constants is one set, not 20,000 columns. */
static void test_long_list(void)
{
    expr_rules = TN_RULES_QUERY;
    struct tn_expr *expr = expr_node(TN_E_IN, tn_type_of(TN_K_BOOLEAN));
    struct tn_arena arena;
    struct tn_program *program;
    struct tn_err err = TN_ERR_INIT;
    struct tn_result result;
    expr->args_count = 20001;
    expr->args = TN_ARENA_ARRAY(&expr_arena, struct tn_expr *, expr->args_count);
    expr->args[0] = parse("i");
    for (uint32_t i = 1; i < expr->args_count; i++) {
        expr->args[i] = expr_const(tn_type_of(TN_K_INTEGER));
        expr->args[i]->value.i = (int64_t)i + 1;
    }
    tn_arena_init(&arena, 0);
    CHECK_OK(tn_expr_compile(expr, &arena, &program, &err), &err);
    CHECK(arena.bytes_total < (size_t)4 << 20);
    tn_program_run(program, expr_input, &arena, &result);
    CHECK(!tn_column_bool(&result.col, 0) && tn_column_bool(&result.col, 1));
    CHECK(tn_column_is_null(&result.col, 2));
    tn_arena_release(&arena);
}

int main(void)
{
    tn_arena_init(&expr_arena, 0);
    EXPR_TABLE(logic);
    EXPR_TABLE(lambdas);
    EXPR_TABLE(resolution);
    test_messages();
    test_select();
    test_trees();
    test_fold();
    test_refused();
    test_large();
    test_long_list();
    tn_arena_release(&expr_arena);
    return TN_TEST_END();
}
