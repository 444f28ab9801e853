/* Covers functions over arrays, maps and JSON in both rule sets, and a property of the whole table:
 * every function is listed once, documented, and its kernel survives NULLs and empty text in every
 * argument. */
#include "tests/unit/expr_text.h"

static const struct expr_row arrays[] = {
    {'q', "(cardinality a)", "3 | 0 | NULL | 3"},
    {'q', "(cardinality mp)", "2 | 0 | NULL | 1"},
    {'s', "(array_length a)", "3 | 0 | NULL | 3"},
    {'q', "(contains a 1)", "true | false | NULL | NULL"},
    {'q', "(contains a 5)", "false | false | NULL | true"},
    {'s', "(array_contains a 1)", "true | false | NULL | false"},
    {'s', "(array_contains a null)", "false | false | NULL | true"},
    {'q', "(array_position a 2)", "3 | 0 | NULL | 0"},
    {'q', "(array_max a)", "3 | NULL | NULL | NULL"},
    {'s', "(array_max a)", "3 | NULL | NULL | 5"},
    {'s', "(array_min a)", "1 | NULL | NULL | 5"},
    {'s', "(array_max as)", "y | NULL | NULL | z"},
    {'q', "(element_at a -1)", "2 | NULL | NULL | 5"},
    {'q', "(element_at a 9)", "NULL | NULL | NULL | NULL"},
    {'q', "(element_at mp 'k')", "1 | NULL | NULL | NULL"},
    {'q', "(arrays_overlap a (array 1 9))", "true | false | NULL | NULL"},
    {'b', "(array_distinct a)", "[3, 1, 2] | [] | NULL | [null, 5]"},
    {'b', "(array_except a (array 1 5))", "[3, 2] | [] | NULL | [null]"},
    {'b', "(array_intersect a (array 1 5 3))", "[3, 1] | [] | NULL | [5]"},
    {'b', "(array_union a (array 1 9))", "[3, 1, 2, 9] | [1, 9] | NULL | [null, 5, 1, 9]"},
    {'b', "(array_remove a 5)", "[3, 1, 2] | [] | NULL | [null]"},
    {'s', "(array_remove a null)", "[3, 1, 2] | [] | NULL | [5, 5]"},
    {'q', "(array_remove a null)", "NULL | NULL | NULL | NULL"},
    {'q', "(reverse a)", "[2, 1, 3] | [] | NULL | [5, 5, null]"},
    {'b', "(array_sort a)", "[1, 2, 3] | [] | NULL | [5, 5, null]"},
    {'s', "(array_sort a 'DESC')", "[3, 2, 1] | [] | NULL | [5, 5, null]"},
    {'b', "(array_sort as)", "[x, y] | [] | NULL | [z, null]"},
    {'q', "(slice a 2 5)", "[1, 2] | [] | NULL | [5, 5]"},
    {'q', "(slice a -2 1)", "[1] | [] | NULL | [5]"},
    {'q', "(slice a 0 1)", "!INVALID_FUNCTION_ARGUMENT | ! | NULL | !"},
    {'s', "(slice a 2 3)", "[1, 2] | NULL | NULL | [5, 5]"},
    {'s', "(slice a null 2)", "[3, 1] | NULL | NULL | [null, 5]"},
    {'q', "(flatten (array (array 1) (array) null (array 2 3)))", "[1, 2, 3]"},
    {'q', "(repeat s 2)",
     "[abc, abc] | [\xC3\x84\xC3\xB6x, \xC3\x84\xC3\xB6x] | [null, null] | [, ]"},
    {'q', "(concat a (array 9) a)",
     "[3, 1, 2, 9, 3, 1, 2] | [9] | NULL | [null, 5, 5, 9, null, 5, 5]"},
    {'q', "(|| a 7)", "[3, 1, 2, 7] | [7] | NULL | [null, 5, 5, 7]"},
    {'q', "(|| 7 a)", "[7, 3, 1, 2] | [7] | NULL | [7, null, 5, 5]"},
    {'s', "(array_concat a (array 9))", "[3, 1, 2, 9] | [9] | [9] | [null, 5, 5, 9]"},
    {'q', "(sequence 1 5)", "[1, 2, 3, 4, 5]"},
    {'q', "(sequence 5 1 -2)", "[5, 3, 1]"},
    {'q', "(sequence 1 5 -1)", "!INVALID_FUNCTION_ARGUMENT"},
    {'s', "(generate_series 1 3)", "[1, 2, 3]"},
    {'s', "(generate_series 1 i)", "[1] | [1, 2] | NULL | [1, 0, -1, -2, -3, -4, -5, -6, -7]"},
    {'q', "(array_join a '-')", "3-1-2 |  | NULL | 5-5"},
    {'q', "(array_join a '-' 'x')", "3-1-2 |  | NULL | x-5-5"},
    {'s', "(array_join a)", "3,1,2 |  | NULL | null,5,5"},
    {'q', "(contains (array 1 2) 'x')", "?unexpected parameters"},
};

static const struct expr_row maps[] = {
    {'b', "(map_keys mp)", "[k, n] | [] | NULL | [q]"},
    {'b', "(map_values mp)", "[1, null] | [] | NULL | [7]"},
    {'s', "(map_union mp (map 'k' 9))", "{k=9, n=null} | {k=9} | {k=9} | {q=7, k=9}"},
    {'q', "(map_concat mp (map 'k' 9))", "{k=9, n=null} | {k=9} | NULL | {q=7, k=9}"},
    {'q', "(map_entries mp)", "[Struct{=k,=1}, Struct{=n,=null}] | [] | NULL | [Struct{=q,=7}]"},
    {'s', "(entries (map 'z' 1 'a' 2) true)", "[Struct{K=a,V=2}, Struct{K=z,V=1}]"},
    {'q', "(map_from_entries (array (row 'a' 1) (row 'b' 2)))", "{a=1, b=2}"},
    {'q', "(map_from_entries (array (row 'a' 1) (row 'a' 2)))", "!INVALID_FUNCTION_ARGUMENT"},
    {'s', "(as_map (array 'a' 'b' 'c') (array 1 2))", "{a=1, b=2}"},
    {'s', "(split_to_map 'apple=green,cherry=red,x' ',' '=')", "{apple=green, cherry=red}"},
};

static const struct expr_row json[] = {
    {'q', "(json_extract_scalar '{\"a\":{\"b\":[1,\"x\"]}}' '$.a.b[1]')", "x"},
    {'q', "(json_extract_scalar '{\"a\":{\"b\":[1,\"x\"]}}' '$.a')", "NULL"},
    {'q', "(json_extract_scalar '{\"a\":null}' '$.a')", "NULL"},
    {'q', "(json_extract_scalar '{\"a\":1.50}' '$[\"a\"]')", "1.50"},
    {'q', "(json_extract_scalar 'not json' '$.a')", "NULL"},
    {'q', "(json_extract_scalar '{}' 'a b[')", "!INVALID_FUNCTION_ARGUMENT"},
    {'q', "(cast (json_extract '{\"a\": { \"b\" : [1, 2]}}' '$.a') STRING)",
     "!INVALID_CAST_ARGUMENT"},
    {'q', "(json_format (json_extract '{\"a\": { \"b\" : [1, 2]}}' '$.a'))", "{\"b\":[1,2]}"},
    {'q', "(json_format (json_extract '\"x\"' '$'))", "\"x\""},
    {'q', "(json_format (json_parse '[1, 2 ]'))", "[1,2]"},
    {'q', "(json_parse '[1,')", "!INVALID_FUNCTION_ARGUMENT"},
    {'q', "(json_array_length '[1,[2],{}]')", "3"},
    {'q', "(json_array_length '{}')", "NULL"},
    {'q', "(json_array_contains '[1, 2.5, \"x\"]' 2.5e0)", "true"},
    {'q', "(json_array_contains '[1, 2.5, \"x\"]' 'x')", "true"},
    {'q', "(json_array_contains '[1, 2.5, \"x\"]' 3)", "false"},
    {'q', "(json_format (json_array_get '[10,20]' -1))", "20"},
    {'q', "(json_size '{\"x\":{\"a\":1,\"b\":2}}' '$.x')", "2"},
    {'q', "(is_json_scalar '[1]')", "false"},
    {'s', "(extractjsonfield '{\"a\":{\"b\":[1,\"x\"]}}' '$.a.b[0]')", "1"},
    {'s', "(extractjsonfield '{\"a\": {\"b\": 1}}' '$.a')", "{\"b\":1}"},
    {'s', "(extractjsonfield '{\"a\": 1}' '$.z')", "NULL"},
    {'s', "(extractjsonfield 'x' '$.z')", "!INVALID_FUNCTION_ARGUMENT"},
    {'s', "(extractjsonfield '{\"a\":\"\\u00e4\\n\"}' '$.a')", "\xC3\xA4\n"},
    {'s', "(to_json_string i)", "1 | 2 | null | -7"},
    {'s', "(to_json_string s)", "\"abc\" | \"\xC3\x84\xC3\xB6x\" | null | \"\""},
    {'s', "(to_json_string a)", "[3,1,2] | [] | null | [null,5,5]"},
    {'s', "(to_json_string st)",
     "{\"A\":1,\"B\":\"x\"} | {\"A\":null,\"B\":\"y\"} | null | {\"A\":3,\"B\":null}"},
    {'s', "(to_json_string mp)", "{\"k\":1,\"n\":null} | {} | null | {\"q\":7}"},
    {'s', "(to_json_string 1.50)", "1.50"},
    {'s', "(to_json_string 1e10)", "1.0E10"},
    {'s', "(is_json_string '[]')", "true"},
    {'s', "(is_json_string '[] x')", "false"},
    {'s', "(is_json_string null)", "false"},
    {'s', "(json_array_length '[1,2]')", "2"},
    {'s', "(json_array_contains '[1,null]' null)", "true"},
    {'s', "(json_concat '{\"a\":1}' '{\"b\":2,\"a\":3}')", "{\"a\":3,\"b\":2}"},
    {'s', "(json_concat '[1]' '{\"b\":2}' '3')", "[1,{\"b\":2},3]"},
    {'s', "(json_items '[1, {\"a\": 2}]')", "[1, {\"a\":2}]"},
    {'s', "(json_keys '{\"a\":1,\"b\":2}')", "[a, b]"},
    {'s', "(json_keys '[]')", "NULL"},
    {'s', "(json_records '{\"a\":1,\"b\":\"x\"}')", "{a=1, b=\"x\"}"},
    {'q', "(json_array_length '[[[[[[]]]]],{\"a\":[1,{\"b\":[]}]}]')", "2"},
    {'q', "(json_array_length '[1,]')", "NULL"},
    {'q', "(json_array_length '[01]')", "NULL"},
    {'q', "(json_array_length '[\"\\x\"]')", "NULL"},
    {'q', "(json_array_length '[1e+5,-0.5,true,null]')", "4"},
};

/* Types to try for a pattern letter. */
static const struct tn_type *type_of_letter(char letter)
{
    const struct tn_type *integer = tn_type_of(TN_K_INTEGER);
    struct tn_field fields[2] = {{TN_STR("x"), integer}, {TN_STR("y"), integer}};
    static const char letters[] = "bildsyDTtzjvw";
    static const enum tn_kind kinds[] = {
        TN_K_BOOLEAN, TN_K_INTEGER,      TN_K_BIGINT,       TN_K_DOUBLE,    TN_K_VARCHAR,
        TN_K_BYTES,   TN_K_DATE,         TN_K_TIME,         TN_K_TIMESTAMP, TN_K_TIMESTAMP_TZ,
        TN_K_JSON,    TN_K_INTERVAL_DAY, TN_K_INTERVAL_YEAR};
    const char *at = strchr(letters, letter);
    switch (letter) {
    case 'A': return tn_type_array(&expr_arena, integer);
    case 'M': return tn_type_map(&expr_arena, integer, integer);
    case 'R': return tn_type_struct(&expr_arena, fields, 2);
    case 'm': return tn_type_decimal(&expr_arena, 5, 2);
    case '*':
    case 'n': return integer;
    default: CHECK(at); return tn_type_of(kinds[at - letters]);
    }
}

/* Cells of one argument: NULL, zero or empty, then something else, and numbers at their limits. */
static struct tn_value cell_of(const struct tn_type *type, int n)
{
    struct tn_value value = {.type = type, .is_null = n == 0};
    if (n == 0)
        return value;
    static const char *const texts[] = {"", "", "a,b=1", "x\xC3\xA9y", "-7", "[1,2]"};
    switch (type->kind) {
    case TN_K_BOOLEAN: value.b = n % 2; break;
    case TN_K_DOUBLE: value.d = n == 1 ? 0 : n == 2 ? (double)NAN : n == 3 ? -1e300 : 2.5; break;
    case TN_K_DECIMAL: value.dec = n == 1 ? 0 : n == 2 ? 99999 : -350; break;
    case TN_K_INTEGER: value.i = n == 1 ? 0 : n == 2 ? INT32_MAX : n == 3 ? INT32_MIN : 2; break;
    case TN_K_DATE: value.i = n == 1 ? 0 : n == 2 ? 100000 : -100000; break;
    case TN_K_TIME: value.i = n == 1 ? 0 : 86399999999; break;
    case TN_K_VARCHAR:
    case TN_K_BYTES: value.s = tn_str_of(texts[n]); break;
    case TN_K_JSON: value.s = TN_STR("{\"a\":[1]}"); break;
    case TN_K_ARRAY:
    case TN_K_MAP:
    case TN_K_STRUCT: {
        uint32_t groups = type->kind == TN_K_STRUCT ? 1 : (uint32_t)n - 1;
        value.list.count = groups * type->children_count;
        value.list.items = TN_ARENA_ARRAY(&expr_arena, struct tn_value, value.list.count);
        for (uint32_t i = 0; i < value.list.count; i++)
            value.list.items[i] =
                cell_of(type->children[i % type->children_count].type, (n + (int)i) % 6);
        break;
    }
    default: value.i = n == 1 ? 0 : n == 2 ? INT64_MAX : n == 3 ? INT64_MIN : n; break;
    }
    return value;
}

enum { SWEEP_ROWS = 36 };

static struct tn_expr *sweep_arg(const struct tn_type *type, uint32_t arg, bool is_const, int n,
                                 struct tn_batch *batch)
{
    if (is_const) {
        struct tn_expr *expr = expr_const(type);
        expr->value = cell_of(type, n);
        return expr;
    }
    struct tn_colbuilder *builder = tn_colbuilder_new(type, &expr_arena);
    for (int row = 0; row < SWEEP_ROWS; row++) {
        struct tn_value value = cell_of(type, arg % 2 ? row % 6 : row / 6);
        tn_colbuilder_add(builder, &value);
    }
    tn_colbuilder_finish(builder, &batch->columns[arg]);
    struct tn_expr *expr = expr_node(TN_E_COLUMN, type);
    expr->column = (int)arg;
    return expr;
}

/* One overload over a grid of cells; variant 0: all columns, else constant arguments by bits. */
static void sweep(const struct tn_func *func, unsigned constants, int n)
{
    struct tn_field fields[8] = {0};
    struct tn_schema schema = {8, fields};
    struct tn_batch *batch = tn_batch_new(&schema, SWEEP_ROWS, &expr_arena);
    struct tn_expr *call = expr_node(TN_E_CALL, NULL);
    const struct tn_type *types[8], *want[8];
    struct tn_err err = TN_ERR_INIT;
    call->args_count = func->args_count + (func->flags & TN_FN_VARARGS ? 1 : 0);
    for (uint32_t i = 0; i < call->args_count; i++)
        types[i] = type_of_letter(func->args[i < func->args_count ? i : func->args_count - 1]);
    expr_rules = func->flags & TN_FN_QUERY ? TN_RULES_QUERY : TN_RULES_STREAM;
    if (tn_func_resolve(tn_str_of(func->name), expr_rules, types, call->args_count, &expr_arena,
                        &call->func, want, &call->type, &err) != TN_OK)
        return; /* an overload for other element types */
    for (uint32_t i = 0; i < call->args_count; i++)
        call->args[i] = sweep_arg(want[i], i, constants >> i & 1, n, batch);
    struct tn_program *program;
    struct tn_result result;
    CHECK_OK(tn_expr_compile(call, &expr_arena, &program, &err), &err);
    tn_program_run(program, batch, &expr_arena, &result);
    CHECK_INT(result.col.rows_count, SWEEP_ROWS);
    for (uint32_t row = 0; row < SWEEP_ROWS; row++) {
        struct tn_value value = tn_column_value(&result.col, row, &expr_arena);
        bool is_failed = result.errors && tn_bit_get(result.errors, row);
        CHECK(!is_failed || value.is_null);
        /* a row alone gives what it gives among others */
        if (func->flags & TN_FN_VOLATILE || row % 5)
            continue;
        struct tn_result one;
        struct tn_batch *single = tn_batch_new(&schema, 1, &expr_arena);
        for (uint32_t i = 0; i < call->args_count; i++)
            if (batch->columns[i].type)
                tn_column_gather(&batch->columns[i], &row, 1, &single->columns[i], &expr_arena);
        tn_program_run(program, single, &expr_arena, &one);
        bool is_same =
            tn_column_same(&one.col, 0, &result.col, row) && (one.errors_count > 0) == is_failed;
        CHECK(is_same);
        if (!is_same)
            fprintf(stderr, "    %s(%s), constants %u, cell %d, row %u\n", func->name, func->args,
                    constants, n, row);
    }
}

static void test_all_functions(void)
{
    size_t count;
    const struct tn_func *const *all = tn_func_all(&count);
    CHECK(count > 300);
    for (size_t i = 0; i < count; i++) {
        const struct tn_func *func = all[i];
        CHECK(func->help || func->flags & TN_FN_INTERNAL);
        CHECK(func->flags & (TN_FN_STREAM | TN_FN_QUERY));
        if (i)
            CHECK(strcmp(all[i - 1]->name, func->name) <= 0);
        if (!func->args || strchr(func->args, 'f') || strcmp(func->name, "deref") == 0 ||
            strstr(func->name, "cast") || func->args_count > 6)
            continue;
        struct tn_arena keep = expr_arena;
        tn_arena_init(&expr_arena, 0);
        for (unsigned constants = 0; constants < 1u << func->args_count && constants < 8;
             constants++)
            for (int n = 0; n < (constants ? 6 : 1); n++)
                sweep(func, constants, n);
        tn_arena_release(&expr_arena);
        expr_arena = keep;
    }
}

int main(void)
{
    tn_arena_init(&expr_arena, 0);
    EXPR_TABLE(arrays);
    EXPR_TABLE(maps);
    EXPR_TABLE(json);
    test_all_functions();
    tn_arena_release(&expr_arena);
    return TN_TEST_END();
}
