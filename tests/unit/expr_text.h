/* Expressions as text for unit tests of the expression engine: a table row is {rules, expression,
 * expected}.
 *
 *   expression: (name arg …) any function or operator · and or not case coalesce try in notin ·
 * (cast x TYPE) (trycast x TYPE) · (. x field) · (fn (p q) body) lambda atoms: 12 1.50 1e3 'text'
 * true false null D'2024-01-31' T'10:00' TS'2024-01-31 10:00' TZ'…' IV'µs' IY'months' X'00ff'
 * J'{"a":1}' and the columns of expr_batch() expected: one value when the expression has no column,
 * else one a row, joined by " | "; values as CAST AS STRING of stream rules prints them, NULL, or
 * !ERROR_NAME
 */
#ifndef TN_TESTS_EXPR_TEXT_H
#define TN_TESTS_EXPR_TEXT_H

#include <ctype.h>
#include <stdlib.h>

#include "stream/base/base64.h"
#include "stream/base/decimal.h"
#include "stream/base/dtoa.h"
#include "stream/base/time.h"
#include "stream/func.h"
#include "stream/func_int.h"
#include "tests/check.h"

struct expr_row {
    char rules; /* 's' stream, 'q' query, 'b' both */
    const char *text, *want;
};

static struct tn_arena expr_arena;
static enum tn_rules expr_rules;
static const struct tn_batch *expr_input;
static struct tn_str expr_params[16];
static const struct tn_type *expr_param_types[16];
static int expr_params_count;
static char expr_problem[512];

static struct tn_expr *expr_parse(const char **io_p);

static void expr_blanks(const char **io_p)
{
    while (**io_p == ' ' || **io_p == ',')
        (*io_p)++;
}

static struct tn_str expr_word(const char **io_p)
{
    expr_blanks(io_p);
    const char *from = *io_p;
    while (**io_p && !strchr(" ,()<>", **io_p))
        (*io_p)++;
    if (*io_p == from && (**io_p == '<' || **io_p == '>'))
        while (**io_p == '<' || **io_p == '>' || **io_p == '=')
            (*io_p)++;
    return (struct tn_str){from, (size_t)(*io_p - from)};
}

static struct tn_expr *expr_node(enum tn_expr_kind kind, const struct tn_type *type)
{
    struct tn_expr *expr = TN_ARENA_NEW(&expr_arena, struct tn_expr);
    expr->kind = kind;
    expr->type = type;
    expr->rules = expr_rules;
    expr->args = TN_ARENA_ARRAY(&expr_arena, struct tn_expr *, 64);
    return expr;
}

static const struct tn_type *expr_type(const char **io_p)
{
    static const struct {
        const char *name;
        enum tn_kind kind;
    } names[] = {{"INT", TN_K_INTEGER},    {"BIGINT", TN_K_BIGINT},       {"DOUBLE", TN_K_DOUBLE},
                 {"STRING", TN_K_VARCHAR}, {"BYTES", TN_K_BYTES},         {"BOOLEAN", TN_K_BOOLEAN},
                 {"DATE", TN_K_DATE},      {"TIMESTAMP", TN_K_TIMESTAMP}, {"TIME", TN_K_TIME},
                 {"JSON", TN_K_JSON},      {"TZ", TN_K_TIMESTAMP_TZ}};
    struct tn_str word = expr_word(io_p);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (tn_str_eq(word, tn_str_of(names[i].name)))
            return tn_type_of(names[i].kind);
    if (tn_str_eq(word, TN_STR("DECIMAL")) || tn_str_eq(word, TN_STR("VARCHAR"))) {
        (*io_p)++;
        int p = (int)strtol(*io_p, (char **)(uintptr_t)io_p, 10), s = 0;
        if (**io_p == ',')
            s = (int)strtol(*io_p + 1, (char **)(uintptr_t)io_p, 10);
        (*io_p)++;
        return word.ptr[0] == 'D' ? tn_type_decimal(&expr_arena, p, s)
                                  : tn_type_varchar(&expr_arena, (uint32_t)p);
    }
    struct tn_field fields[8];
    uint32_t count = 0;
    for ((*io_p)++; **io_p != '>'; expr_blanks(io_p)) {
        fields[count].name = tn_str_eq(word, TN_STR("STRUCT")) ? expr_word(io_p) : TN_STR("");
        fields[count++].type = expr_type(io_p);
    }
    (*io_p)++;
    if (tn_str_eq(word, TN_STR("ARRAY")))
        return tn_type_array(&expr_arena, fields[0].type);
    if (tn_str_eq(word, TN_STR("MAP")))
        return tn_type_map(&expr_arena, fields[0].type, fields[1].type);
    return tn_type_struct(&expr_arena, fields, count);
}

static struct tn_expr *expr_cast(struct tn_expr *arg, const struct tn_type *type, bool is_try)
{
    struct tn_err err = TN_ERR_INIT;
    if (tn_type_eq(arg->type, type))
        return arg;
    struct tn_expr *expr = expr_node(TN_E_CALL, type);
    if (tn_failed(tn_func_cast(arg->type, type, expr_rules, is_try, &expr->func, &err))) {
        snprintf(expr_problem, sizeof expr_problem, "%s", err.message);
        return arg;
    }
    expr->args[0] = arg;
    expr->args_count = 1;
    return expr;
}

static struct tn_expr *expr_const(const struct tn_type *type)
{
    struct tn_expr *expr = expr_node(TN_E_CONST, type);
    expr->value.type = type;
    return expr;
}

static struct tn_str expr_quoted(const char **io_p)
{
    struct tn_buf buf;
    tn_buf_init(&buf, 1 << 20);
    for ((*io_p)++; **io_p && (**io_p != '\'' || (*io_p)[1] == '\''); (*io_p)++) {
        if (**io_p == '\'')
            (*io_p)++;
        tn_buf_add_byte(&buf, **io_p);
    }
    (*io_p)++;
    struct tn_str text = tn_arena_str(&expr_arena, tn_buf_str(&buf));
    tn_buf_release(&buf);
    return text;
}

static struct tn_expr *expr_literal(struct tn_str prefix, const char **io_p)
{
    struct tn_str text = expr_quoted(io_p);
    struct tn_expr *expr = expr_const(tn_type_of(TN_K_VARCHAR));
    expr->value.s = text;
    if (prefix.len == 0)
        return expr;
    if (tn_str_eq(prefix, TN_STR("X"))) {
        char *bytes = tn_arena_alloc(&expr_arena, text.len);
        expr = expr_const(tn_type_of(TN_K_BYTES));
        expr->value.s = (struct tn_str){bytes, (size_t)tn_hex_decode(text, bytes)};
    } else if (tn_str_eq(prefix, TN_STR("IV")) || tn_str_eq(prefix, TN_STR("IY"))) {
        expr =
            expr_const(tn_type_of(prefix.ptr[1] == 'V' ? TN_K_INTERVAL_DAY : TN_K_INTERVAL_YEAR));
        expr->value.i = strtoll(text.ptr, NULL, 10);
    } else if (tn_str_eq(prefix, TN_STR("J"))) {
        expr = expr_const(tn_type_of(TN_K_JSON));
        expr->value.s = text;
    } else {
        enum tn_kind kind = tn_str_eq(prefix, TN_STR("D"))    ? TN_K_DATE
                            : tn_str_eq(prefix, TN_STR("T"))  ? TN_K_TIME
                            : tn_str_eq(prefix, TN_STR("TS")) ? TN_K_TIMESTAMP
                                                              : TN_K_TIMESTAMP_TZ;
        return expr_cast(expr, tn_type_of(kind), false);
    }
    return expr;
}

static struct tn_expr *expr_number(struct tn_str word)
{
    if (memchr(word.ptr, 'e', word.len)) {
        struct tn_expr *expr = expr_const(tn_type_of(TN_K_DOUBLE));
        CHECK(tn_double_parse(word, &expr->value.d));
        return expr;
    }
    const char *point = memchr(word.ptr, '.', word.len);
    if (point) {
        int scale = (int)(word.ptr + word.len - point) - 1;
        int precision = (int)word.len - 1 - (word.ptr[0] == '-');
        struct tn_expr *expr = expr_const(tn_type_decimal(&expr_arena, precision, scale));
        CHECK(tn_decimal_parse(word, precision, scale, &expr->value.dec));
        return expr;
    }
    int64_t value = strtoll(word.ptr, NULL, 10);
    bool is_small = value >= INT32_MIN && value <= INT32_MAX;
    struct tn_expr *expr = expr_const(tn_type_of(is_small ? TN_K_INTEGER : TN_K_BIGINT));
    expr->value.i = value;
    return expr;
}

static struct tn_expr *expr_atom(const char **io_p)
{
    const char *from = *io_p;
    while (isalpha((unsigned char)**io_p))
        (*io_p)++;
    if (**io_p == '\'')
        return expr_literal((struct tn_str){from, (size_t)(*io_p - from)}, io_p);
    *io_p = from;
    struct tn_str word = expr_word(io_p);
    if (word.len && (isdigit((unsigned char)*word.ptr) || (*word.ptr == '-' && word.len > 1)))
        return expr_number(word);
    if (tn_str_eq(word, TN_STR("true")) || tn_str_eq(word, TN_STR("false"))) {
        struct tn_expr *expr = expr_const(tn_type_of(TN_K_BOOLEAN));
        expr->value.b = word.ptr[0] == 't';
        return expr;
    }
    if (tn_str_eq(word, TN_STR("null"))) {
        struct tn_expr *expr = expr_const(tn_type_of(TN_K_NULL));
        expr->value.is_null = true;
        return expr;
    }
    for (int i = expr_params_count - 1; i >= 0; i--) {
        if (tn_str_eq(expr_params[i], word)) {
            struct tn_expr *expr = expr_node(TN_E_COLUMN, expr_param_types[i]);
            expr->rel = TN_REL_LAMBDA;
            expr->column = i;
            return expr;
        }
    }
    int column = tn_schema_find(expr_input->schema, word);
    if (column < 0) {
        snprintf(expr_problem, sizeof expr_problem, "no column '%.*s'", TN_STR_FMT(word));
        return expr_number(TN_STR("0"));
    }
    struct tn_expr *expr = expr_node(TN_E_COLUMN, expr_input->schema->fields[column].type);
    expr->column = column;
    return expr;
}

static void expr_args(const char **io_p, struct tn_expr *expr)
{
    for (expr_blanks(io_p); **io_p && **io_p != ')'; expr_blanks(io_p))
        expr->args[expr->args_count++] = expr_parse(io_p);
    if (**io_p)
        (*io_p)++;
}

/* Common type of args first, first + step … (CASE results, IN lists). */
static const struct tn_type *expr_unify(struct tn_expr *expr, uint32_t first, uint32_t step,
                                        bool with_else)
{
    const struct tn_type *type = tn_type_of(TN_K_NULL);
    for (uint32_t i = 0; i < expr->args_count && type; i++) {
        bool is_else = with_else && expr->args_count % 2 && i == expr->args_count - 1;
        if (is_else || (i >= first && (i - first) % step == 0))
            type = tn_type_common(type, expr->args[i]->type, expr_rules, &expr_arena);
    }
    for (uint32_t i = 0; i < expr->args_count && type; i++) {
        bool is_else = with_else && expr->args_count % 2 && i == expr->args_count - 1;
        if (is_else || (i >= first && (i - first) % step == 0))
            expr->args[i] = expr_cast(expr->args[i], type, false);
    }
    return type;
}

static struct tn_expr *expr_special(struct tn_str name, const char **io_p)
{
    static const struct {
        const char *name;
        enum tn_expr_kind kind;
    } forms[] = {{"and", TN_E_AND},
                 {"or", TN_E_OR},
                 {"not", TN_E_NOT},
                 {"case", TN_E_CASE},
                 {"try", TN_E_TRY},
                 {"in", TN_E_IN},
                 {"coalesce_", TN_E_COALESCE},
                 {"notin", TN_E_IN}};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        if (!tn_str_eq(name, tn_str_of(forms[i].name)))
            continue;
        struct tn_expr *expr = expr_node(forms[i].kind, tn_type_of(TN_K_BOOLEAN));
        expr_args(io_p, expr);
        if (expr->kind == TN_E_CASE)
            expr->type = expr_unify(expr, 1, 2, true);
        if (expr->kind == TN_E_COALESCE)
            expr->type = expr_unify(expr, 0, 1, false);
        if (expr->kind == TN_E_TRY)
            expr->type = expr->args[0]->type;
        if (expr->kind == TN_E_IN)
            expr_unify(expr, 0, 1, false);
        expr->is_flag = name.ptr[0] == 'n' && expr->kind == TN_E_IN;
        if (expr->kind == TN_E_CASE)
            expr->is_flag = expr->args_count % 2;
        return expr;
    }
    return NULL;
}

/* (fn (p q) body): parameters typed by tn_func_lambda from the arguments before it. */
static struct tn_expr *expr_lambda(const char **io_p, struct tn_str func, struct tn_expr *call)
{
    const struct tn_type *types[16], *params[4];
    struct tn_err err = TN_ERR_INIT;
    int before = expr_params_count, count = 0;
    *io_p += 3;
    for (; **io_p != '('; (*io_p)++)
        ;
    (*io_p)++;
    for (expr_blanks(io_p); **io_p != ')'; expr_blanks(io_p))
        expr_params[before + count++] = expr_word(io_p);
    (*io_p)++;
    for (uint32_t i = 0; i < 16; i++)
        types[i] = i < call->args_count ? call->args[i]->type : NULL;
    if (tn_func_lambda(func, expr_rules, types, call->args_count + 1, call->args_count,
                       (uint32_t)count, params, &err) != TN_OK) {
        snprintf(expr_problem, sizeof expr_problem, "lambda: %s", err.message);
        return expr_number(TN_STR("0"));
    }
    for (int i = 0; i < count; i++)
        expr_param_types[before + i] = params[i];
    expr_params_count = before + count;
    struct tn_expr *body = expr_parse(io_p);
    expr_params_count = before;
    expr_blanks(io_p);
    (*io_p)++;
    struct tn_expr *lambda = expr_node(TN_E_LAMBDA, body->type);
    lambda->args[0] = body;
    lambda->args_count = 1;
    lambda->column = before;
    lambda->rel = count;
    return lambda;
}

static struct tn_expr *expr_call(struct tn_str name, const char **io_p)
{
    struct tn_expr *call = expr_node(TN_E_CALL, NULL);
    const struct tn_type *types[64], *want[64];
    struct tn_err err = TN_ERR_INIT;
    for (expr_blanks(io_p); **io_p && **io_p != ')'; expr_blanks(io_p)) {
        bool is_lambda = strncmp(*io_p, "(fn ", 4) == 0;
        struct tn_expr *arg = is_lambda ? expr_lambda(io_p, name, call) : expr_parse(io_p);
        call->args[call->args_count++] = arg;
    }
    if (**io_p)
        (*io_p)++;
    for (uint32_t i = 0; i < call->args_count; i++)
        types[i] = call->args[i]->type;
    enum tn_status st = tn_func_resolve(name, expr_rules, types, call->args_count, &expr_arena,
                                        &call->func, want, &call->type, &err);
    if (st != TN_OK) {
        snprintf(expr_problem, sizeof expr_problem, "%s", err.message);
        return expr_number(TN_STR("0"));
    }
    for (uint32_t i = 0; i < call->args_count; i++) {
        struct tn_expr *arg = call->args[i];
        if (arg->kind == TN_E_LAMBDA) {
            arg->args[0] = expr_cast(arg->args[0], want[i], false);
            arg->type = want[i];
        } else {
            call->args[i] = expr_cast(arg, want[i], false);
        }
    }
    return call;
}

static struct tn_expr *expr_parse(const char **io_p)
{
    expr_blanks(io_p);
    if (**io_p != '(')
        return expr_atom(io_p);
    (*io_p)++;
    struct tn_str name = expr_word(io_p);
    struct tn_expr *expr = expr_special(name, io_p);
    if (expr)
        return expr;
    if (tn_str_eq(name, TN_STR("cast")) || tn_str_eq(name, TN_STR("trycast"))) {
        struct tn_expr *arg = expr_parse(io_p);
        const struct tn_type *type = expr_type(io_p);
        expr_blanks(io_p);
        (*io_p)++;
        return expr_cast(arg, type, name.ptr[0] == 't');
    }
    if (tn_str_eq(name, TN_STR("."))) {
        struct tn_expr *call = expr_node(TN_E_CALL, NULL);
        int32_t field;
        expr_args(io_p, call); /* the field is written as a text literal */
        call->func = tn_func_deref(call->args[0]->type, call->args[1]->value.s, &field);
        if (!call->func) {
            snprintf(expr_problem, sizeof expr_problem, "no field");
            return expr_number(TN_STR("0"));
        }
        call->type = call->args[0]->type->children[field].type;
        call->args[1] = expr_const(tn_type_of(TN_K_INTEGER));
        call->args[1]->value.i = field;
        return call;
    }
    return expr_call(name, io_p);
}

/* ---- the batch: 4 rows, the third mostly NULL ---- */

static struct tn_batch *expr_batch(void)
{
    static const struct {
        const char *name, *type;
        const char *cells[4]; /* literals of this notation */
    } columns[] = {
        {"i", "INT", {"1", "2", "null", "-7"}},
        {"l", "BIGINT", {"10", "null", "30", "9223372036854775807"}},
        {"d", "DOUBLE", {"1.5e0", "-2.5e0", "null", "0e0"}},
        {"m", "DECIMAL(5,2)", {"1.25", "null", "-3.50", "100.00"}},
        {"s", "STRING", {"'abc'", "'\xC3\x84\xC3\xB6x'", "null", "''"}},
        {"b", "BOOLEAN", {"true", "false", "null", "true"}},
        {"dt", "DATE", {"D'2024-02-29'", "D'1969-12-31'", "null", "D'2023-01-01'"}},
        {"tm", "TIME", {"T'01:02:03'", "T'23:59:59.999'", "null", "T'00:00'"}},
        {"t",
         "TIMESTAMP",
         {"TS'2024-02-29 13:14:15.678'", "TS'1969-12-31 23:59:59.5'", "null",
          "TS'2023-01-01 00:00'"}},
        {"y", "BYTES", {"X'00ff'", "X''", "null", "X'616263'"}},
        {"a", "ARRAY<INT>", {"(array 3 1 2)", "(array)", "null", "(array null 5 5)"}},
        {"as", "ARRAY<STRING>", {"(array 'x' 'y')", "(array)", "null", "(array null 'z')"}},
        {"mp", "MAP<STRING,INT>", {"(map 'k' 1 'n' null)", "(map)", "null", "(map 'q' 7)"}},
        {"st",
         "STRUCT<A INT, B STRING>",
         {"(struct 1 'x')", "(struct null 'y')", "null", "(struct 3 null)"}},
    };
    enum { N = sizeof columns / sizeof *columns };
    struct tn_field *fields = TN_ARENA_ARRAY(&expr_arena, struct tn_field, N);
    struct tn_schema *schema = TN_ARENA_NEW(&expr_arena, struct tn_schema);
    *schema = (struct tn_schema){N, fields};
    struct tn_batch *batch = tn_batch_new(schema, 4, &expr_arena);
    struct tn_schema none = {0};
    expr_input = tn_batch_new(&none, 1, &expr_arena);
    for (size_t c = 0; c < N; c++) {
        const char *p = columns[c].type;
        fields[c] = (struct tn_field){tn_str_of(columns[c].name), expr_type(&p)};
        struct tn_colbuilder *builder = tn_colbuilder_new(fields[c].type, &expr_arena);
        for (int row = 0; row < 4; row++) {
            struct tn_value value;
            struct tn_err err = TN_ERR_INIT;
            p = columns[c].cells[row];
            struct tn_expr *expr = expr_parse(&p);
            if (expr->type->kind == TN_K_STRUCT)
                expr->type = fields[c].type;
            expr = expr_cast(expr, fields[c].type, false);
            CHECK_OK(tn_expr_fold(expr, &expr_arena, &value, &err), &err);
            tn_colbuilder_add(builder, &value);
        }
        tn_colbuilder_finish(builder, &batch->columns[c]);
    }
    batch->rowtime_ms = TN_ARENA_ARRAY(&expr_arena, int64_t, 4);
    for (int row = 0; row < 4; row++)
        batch->rowtime_ms[row] = 1000 + row;
    return batch;
}

static bool expr_has_column(const struct tn_expr *expr)
{
    if (expr->kind == TN_E_COLUMN && expr->rel == 0)
        return true;
    for (uint32_t i = 0; i < expr->args_count; i++)
        if (expr_has_column(expr->args[i]))
            return true;
    return false;
}

static void expr_run(const struct tn_expr *expr, struct tn_buf *buf)
{
    struct tn_program *program;
    struct tn_err err = TN_ERR_INIT;
    struct tn_result result;
    if (tn_failed(tn_expr_compile(expr, &expr_arena, &program, &err))) {
        tn_buf_printf(buf, "?%s", err.message);
        return;
    }
    tn_program_run(program, expr_input, &expr_arena, &result);
    uint32_t rows_count = expr_has_column(expr) ? expr_input->rows_count : 1;
    if (result.col.rows_count != expr_input->rows_count)
        tn_buf_printf(buf, "?%u rows", result.col.rows_count);
    for (uint32_t row = 0; row < rows_count; row++) {
        if (row)
            tn_buf_add_text(buf, " | ");
        struct tn_value value = tn_column_value(&result.col, row, &expr_arena);
        bool is_failed = result.errors && tn_bit_get(result.errors, row);
        if (is_failed && !value.is_null)
            tn_buf_add_text(buf, "?failed but not NULL");
        else if (is_failed)
            tn_buf_printf(buf, "!%s", row == result.error_row ? result.error.name : "");
        else if (value.is_null)
            tn_buf_add_text(buf, "NULL");
        else
            tni_value_print(&value, TN_RULES_STREAM, buf);
    }
}

static void expr_check(const char *file, const struct expr_row *row, enum tn_rules rules)
{
    const char *p = row->text;
    struct tn_buf buf;
    tn_buf_init(&buf, 1 << 20);
    expr_rules = rules;
    expr_problem[0] = 0;
    expr_params_count = 0;
    struct tn_expr *expr = expr_parse(&p);
    if (expr_problem[0])
        tn_buf_printf(&buf, "?%s", expr_problem);
    else
        expr_run(expr, &buf);
    tn_checks_run++;
    struct tn_str got = tn_buf_str(&buf), want = tn_str_of(row->want);
    if (want.len && *want.ptr == '?' && got.len > want.len)
        got.len = want.len; /* the start of a message is enough */
    if (!tn_str_eq(got, want)) {
        tn_checks_failed++;
        fprintf(stderr, "%s: %s %s\n    got  %s\n    want %s\n", file,
                rules == TN_RULES_STREAM ? "stream" : "query", row->text, tn_buf_cstr(&buf),
                row->want);
    }
    tn_buf_release(&buf);
}

static void expr_table(const char *file, const struct expr_row *rows, size_t count)
{
    expr_rules = TN_RULES_STREAM;
    const struct tn_batch *batch = expr_batch();
    expr_input = batch;
    for (size_t i = 0; i < count; i++) {
        if (rows[i].rules != 'q')
            expr_check(file, &rows[i], TN_RULES_STREAM);
        if (rows[i].rules != 's')
            expr_check(file, &rows[i], TN_RULES_QUERY);
    }
}

#define EXPR_TABLE(rows) expr_table(__FILE__, rows, sizeof rows / sizeof *rows)

#endif
