/* Bound trees as data: equality, columns read, text, folding. Recursion is bounded by
 * TN_EXPR_DEPTH_MAX, which the parser enforces. @thread any */
#include "stream/expr.h"

#include "stream/agg.h"
#include "stream/expr_int.h"
#include "stream/func_int.h"

#define FOLD_BYTES_MAX ((size_t)64 << 20) /* a constant that needs more is left to its query */

/* ---- equality ---- */

/* −0.0 is another constant than 0.0, and NaN is itself. */
static bool is_same_double(double a, double b)
{
    uint64_t a_bits, b_bits;
    memcpy(&a_bits, &a, sizeof a);
    memcpy(&b_bits, &b, sizeof b);
    return a_bits == b_bits;
}

static bool same_value(const struct tn_value *a, const struct tn_value *b)
{
    if (a->is_null || b->is_null)
        return a->is_null && b->is_null;
    if (a->type->kind == TN_K_DOUBLE)
        return is_same_double(a->d, b->d);
    return tn_value_cmp(a, b) == 0;
}

bool tn_expr_eq(const struct tn_expr *a, const struct tn_expr *b)
{
    if (a == b)
        return true;
    if (a->kind != b->kind || a->is_flag != b->is_flag || a->rules != b->rules ||
        a->args_count != b->args_count || a->func != b->func || a->agg != b->agg ||
        a->rel != b->rel || a->column != b->column || a->sub != b->sub ||
        !tn_type_eq(a->type, b->type))
        return false;
    if (a->kind == TN_E_CONST && !same_value(&a->value, &b->value))
        return false;
    if (!a->filter != !b->filter || (a->filter && !tn_expr_eq(a->filter, b->filter)))
        return false;
    for (uint32_t i = 0; i < a->args_count; i++)
        if (!tn_expr_eq(a->args[i], b->args[i]))
            return false;
    return true;
}

void tn_expr_columns(const struct tn_expr *expr, int rel, bool *mask)
{
    if (expr->kind == TN_E_COLUMN && expr->rel == rel)
        mask[expr->column] = true;
    if (expr->filter)
        tn_expr_columns(expr->filter, rel, mask);
    for (uint32_t i = 0; i < expr->args_count; i++)
        tn_expr_columns(expr->args[i], rel, mask);
}

/* ---- folding ---- */

static struct tn_value copy_value(const struct tn_value *value, struct tn_arena *arena)
{
    struct tn_value copy = *value;
    enum tn_kind kind = value->type->kind;
    if (value->is_null)
        return copy;
    if (tn_kind_is_varlen(kind))
        copy.s = tn_arena_str(arena, value->s);
    if (!tn_kind_is_nested(kind))
        return copy;
    copy.list.items = TN_ARENA_ARRAY(arena, struct tn_value, value->list.count);
    for (uint32_t i = 0; i < value->list.count; i++)
        copy.list.items[i] = copy_value(&value->list.items[i], arena);
    return copy;
}

static enum tn_status fold_in(const struct tn_expr *expr, struct tn_arena *scratch,
                              struct tn_arena *arena, struct tn_value *ret_value,
                              struct tn_err *err)
{
    struct tn_program *program;
    TN_TRY(tn_expr_compile(expr, scratch, &program, err));
    struct tn_schema schema = {0};
    struct tn_batch *batch = tn_batch_new(&schema, 1, scratch);
    struct tn_result result;
    tn_program_run(program, batch, scratch, &result);
    if (result.errors_count) {
        const struct tn_row_error *error = &result.error;
        return tn_err_at(err, error->code, error->name, error->line, error->col, "%s",
                         error->message);
    }
    struct tn_value value = tn_column_value(&result.col, 0, scratch);
    *ret_value = copy_value(&value, arena);
    ret_value->type = expr->type;
    return TN_OK;
}

enum tn_status tn_expr_fold(const struct tn_expr *expr, struct tn_arena *arena,
                            struct tn_value *ret_value, struct tn_err *err)
{
    struct tn_arena scratch;
    tn_arena_init(&scratch, FOLD_BYTES_MAX);
    enum tn_status st = fold_in(expr, &scratch, arena, ret_value, err);
    tn_arena_release(&scratch);
    return st;
}

/* ---- text ---- */

static void print_quoted(struct tn_str text, struct tn_buf *buf)
{
    tn_buf_add_byte(buf, '\'');
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '\'')
            tn_buf_add_byte(buf, '\'');
        tn_buf_add_byte(buf, text.ptr[i]);
    }
    tn_buf_add_byte(buf, '\'');
}

static void print_const(const struct tn_expr *expr, struct tn_buf *buf)
{
    struct tn_value value = expr->value;
    value.type = expr->type;
    if (value.is_null) {
        tn_buf_add_text(buf, "NULL");
        return;
    }
    enum tn_kind kind = expr->type->kind;
    bool is_quoted = kind == TN_K_VARCHAR || kind == TN_K_BYTES || kind >= TN_K_DATE;
    if (kind == TN_K_VARCHAR) {
        print_quoted(value.s, buf);
        return;
    }
    if (is_quoted) {
        tn_type_print_trino(expr->type, buf);
        tn_buf_add_text(buf, " '");
    }
    tni_value_print(&value, TN_RULES_QUERY, buf);
    if (is_quoted)
        tn_buf_add_byte(buf, '\'');
}

static void print_list(const struct tn_expr *expr, uint32_t from, const char *separator,
                       struct tn_buf *buf)
{
    for (uint32_t i = from; i < expr->args_count; i++) {
        if (i > from)
            tn_buf_add_text(buf, separator);
        tn_expr_print(expr->args[i], buf);
    }
}

static bool is_word(const char *name)
{
    return (name[0] | 0x20) >= 'a' && (name[0] | 0x20) <= 'z';
}

static void print_cast(const struct tn_expr *expr, struct tn_buf *buf)
{
    tn_buf_add_text(buf, expr->func->name[0] == 't' ? "TRY_CAST(" : "CAST(");
    tn_expr_print(expr->args[0], buf);
    tn_buf_add_text(buf, " AS ");
    tn_type_print_trino(expr->type, buf);
    tn_buf_add_byte(buf, ')');
}

static void print_call(const struct tn_expr *expr, struct tn_buf *buf)
{
    const char *name = expr->func->name;
    if (strcmp(name, "cast") == 0 || strcmp(name, "try_cast") == 0) {
        print_cast(expr, buf);
    } else if (expr->args_count == 2 && !is_word(name)) {
        tn_buf_add_byte(buf, '(');
        tn_expr_print(expr->args[0], buf);
        tn_buf_printf(buf, " %s ", name);
        tn_expr_print(expr->args[1], buf);
        tn_buf_add_byte(buf, ')');
    } else if (strcmp(name, "subscript") == 0) {
        tn_expr_print(expr->args[0], buf);
        tn_buf_add_byte(buf, '[');
        tn_expr_print(expr->args[1], buf);
        tn_buf_add_byte(buf, ']');
    } else if (strcmp(name, "is_null") == 0 || strcmp(name, "is_not_null") == 0) {
        tn_expr_print(expr->args[0], buf);
        tn_buf_add_text(buf, name[3] == 'n' && name[4] == 'u' ? " IS NULL" : " IS NOT NULL");
    } else {
        tn_buf_printf(buf, "%s(", name);
        print_list(expr, 0, ", ", buf);
        tn_buf_add_byte(buf, ')');
    }
}

static void print_case(const struct tn_expr *expr, struct tn_buf *buf)
{
    tn_buf_add_text(buf, "CASE");
    uint32_t i = 0;
    for (; i + 1 < expr->args_count; i += 2) {
        tn_buf_add_text(buf, " WHEN ");
        tn_expr_print(expr->args[i], buf);
        tn_buf_add_text(buf, " THEN ");
        tn_expr_print(expr->args[i + 1], buf);
    }
    if (i < expr->args_count) {
        tn_buf_add_text(buf, " ELSE ");
        tn_expr_print(expr->args[i], buf);
    }
    tn_buf_add_text(buf, " END");
}

static void print_named(const struct tn_expr *expr, struct tn_str name, struct tn_buf *buf)
{
    tn_buf_printf(buf, "%.*s(", TN_STR_FMT(name));
    if (expr->is_flag && expr->kind == TN_E_AGG)
        tn_buf_add_text(buf, "DISTINCT ");
    if (expr->kind == TN_E_AGG && expr->args_count == 0)
        tn_buf_add_byte(buf, '*');
    print_list(expr, 0, ", ", buf);
    tn_buf_add_byte(buf, ')');
    if (expr->filter) {
        tn_buf_add_text(buf, " FILTER (WHERE ");
        tn_expr_print(expr->filter, buf);
        tn_buf_add_byte(buf, ')');
    }
}

static void print_column(const struct tn_expr *expr, struct tn_buf *buf)
{
    if (expr->name.len)
        tn_buf_add_str(buf, expr->name);
    else
        tn_buf_printf(buf, expr->rel == TN_REL_LAMBDA ? "p%d" : "$%d", expr->column);
}

void tn_expr_print(const struct tn_expr *expr, struct tn_buf *buf)
{
    static const char *const pseudos[] = {"ROWTIME",     "ROWPARTITION", "ROWOFFSET",
                                          "WINDOWSTART", "WINDOWEND",    "HEADERS"};
    switch (expr->kind) {
    case TN_E_CONST: print_const(expr, buf); break;
    case TN_E_COLUMN: print_column(expr, buf); break;
    case TN_E_CALL: print_call(expr, buf); break;
    case TN_E_AND:
    case TN_E_OR:
        tn_buf_add_byte(buf, '(');
        print_list(expr, 0, expr->kind == TN_E_AND ? " AND " : " OR ", buf);
        tn_buf_add_byte(buf, ')');
        break;
    case TN_E_NOT:
        tn_buf_add_text(buf, "NOT ");
        tn_expr_print(expr->args[0], buf);
        break;
    case TN_E_CASE: print_case(expr, buf); break;
    case TN_E_COALESCE: print_named(expr, TN_STR("COALESCE"), buf); break;
    case TN_E_TRY: print_named(expr, TN_STR("TRY"), buf); break;
    case TN_E_IN:
        tn_expr_print(expr->args[0], buf);
        tn_buf_add_text(buf, expr->is_flag ? " NOT IN (" : " IN (");
        print_list(expr, 1, ", ", buf);
        tn_buf_add_byte(buf, ')');
        break;
    case TN_E_LAMBDA:
        for (int i = 0; i < expr->rel; i++)
            tn_buf_printf(buf, i ? ", p%d" : "(p%d", expr->column + i);
        tn_buf_add_text(buf, ") => ");
        tn_expr_print(expr->args[0], buf);
        break;
    case TN_E_PSEUDO: tn_buf_add_text(buf, pseudos[expr->column]); break;
    case TN_E_AGG:
        print_named(expr, expr->agg ? tn_str_of(expr->agg->name) : expr->name, buf);
        break;
    case TN_E_WINDOW: print_named(expr, expr->name, buf); break;
    case TN_E_SUBQUERY: print_named(expr, TN_STR("SUBQUERY"), buf); break;
    }
}
