/* Canonical text of names, types and expressions. Contract: ast.h; queries: ast_print_query.c;
 * statements: ast_print_stmt.c.
 *
 * Parentheses follow from the binding of each node (see parse_expr.c): an operand that binds weaker
 * than its place asks for gets them. Names in quotes stay in quotes, always "…": whether a word
 * could do without depends on the identifier rules the text was parsed under. A few words that
 * begin a form of their own (ARRAY[…], INTERVAL …) are quoted even when they were not, because
 * parentheses that kept them apart in the source are gone.
 */
#include "sql/ast_print_int.h"
#include "sql/lexer.h"

/* Bindings, weakest first. */
enum bind {
    BIND_LAMBDA,
    BIND_OR,
    BIND_AND,
    BIND_NOT,
    BIND_PREDICATE,
    BIND_CONCAT,
    BIND_ADD,
    BIND_MUL,
    BIND_UNARY,
    BIND_ZONE,
    BIND_POSTFIX
};

#define BIND_ANY   BIND_OR /* any expression but a lambda */
#define BIND_VALUE BIND_CONCAT

static void print(const struct tn_ast_expr *expr, enum bind min, struct tn_buf *buf);

const char *tn_ast_op_text(enum tn_ast_op op)
{
    static const char *const texts[] = {
        [TN_AO_NONE] = "",    [TN_AO_ADD] = "+", [TN_AO_SUB] = "-", [TN_AO_MUL] = "*",
        [TN_AO_DIV] = "/",    [TN_AO_MOD] = "%", [TN_AO_EQ] = "=",  [TN_AO_NE] = "<>",
        [TN_AO_LT] = "<",     [TN_AO_LE] = "<=", [TN_AO_GT] = ">",  [TN_AO_GE] = ">=",
        [TN_AO_CONCAT] = "||"};
    TN_ASSERT((size_t)op < sizeof texts / sizeof texts[0]);
    return texts[op];
}

const char *tn_ast_unit_text(enum tn_ast_unit unit)
{
    static const char *const texts[] = {"",     "MILLISECOND", "SECOND",  "MINUTE", "HOUR", "DAY",
                                        "WEEK", "MONTH",       "QUARTER", "YEAR",   ""};
    TN_ASSERT((size_t)unit < sizeof texts / sizeof texts[0]);
    return texts[unit];
}

/* ---- names ------------------------------------------------------------------------------- */

static bool begins_form(struct tn_str word)
{
    switch (tni_keyword_find(word)) {
    case TNI_KW_ALL:
    case TNI_KW_ARRAY:
    case TNI_KW_ASYMMETRIC:
    case TNI_KW_BOTH:
    case TNI_KW_CUBE:
    case TNI_KW_CURRENT:
    case TNI_KW_GROUPING:
    case TNI_KW_INTERVAL:
    case TNI_KW_LEADING:
    case TNI_KW_MAP:
    case TNI_KW_ROLLUP:
    case TNI_KW_ROW:
    case TNI_KW_STRUCT:
    case TNI_KW_SYMMETRIC:
    case TNI_KW_TIMESTAMP:
    case TNI_KW_TRAILING:
    case TNI_KW_TRY_CAST:
    case TNI_KW_UNBOUNDED: return true;
    default: return false;
    }
}

/* Words that begin a form with a parenthesis behind them, too. */
static bool begins_call_form(struct tn_str word)
{
    switch (tni_keyword_find(word)) {
    case TNI_KW_ASYMMETRIC:
    case TNI_KW_CUBE:
    case TNI_KW_ROLLUP:
    case TNI_KW_SYMMETRIC: return true;
    default: return false;
    }
}

static void print_quoted(struct tn_str text, char quote, struct tn_buf *buf)
{
    tn_buf_add_byte(buf, quote);
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == quote)
            tn_buf_add_byte(buf, quote);
        tn_buf_add_byte(buf, text.ptr[i]);
    }
    tn_buf_add_byte(buf, quote);
}

void tni_print_ident(const struct tn_ident *ident, struct tn_buf *buf)
{
    if (ident->is_quoted)
        print_quoted(ident->text, '"', buf);
    else
        tn_buf_add_str(buf, ident->text);
}

void tni_print_idents(const struct tn_ident *idents, uint32_t count, struct tn_buf *buf)
{
    tn_buf_add_byte(buf, '(');
    for (uint32_t i = 0; i < count; i++) {
        tn_buf_add_text(buf, i == 0 ? "" : ", ");
        tni_print_ident(&idents[i], buf);
    }
    tn_buf_add_byte(buf, ')');
}

void tn_ast_print_name(const struct tn_ast_name *name, struct tn_buf *buf)
{
    for (uint32_t i = 0; i < name->parts_count; i++) {
        tn_buf_add_text(buf, i == 0 ? "" : ".");
        tni_print_ident(&name->parts[i], buf);
    }
}

void tni_print_string(struct tn_str text, struct tn_buf *buf)
{
    print_quoted(text, '\'', buf);
}

void tni_print_duration(const struct tn_ast_duration *duration, struct tn_buf *buf)
{
    tn_buf_add_i64(buf, duration->count);
    tn_buf_add_byte(buf, ' ');
    tn_buf_add(buf, duration->unit, strlen(duration->unit) - (duration->count == 1 ? 1 : 0));
}

/* ---- types ------------------------------------------------------------------------------- */

static void print_upper(struct tn_str text, struct tn_buf *buf)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        tn_buf_add_byte(buf, (char)(c >= 'a' && c <= 'z' ? c - 32 : c));
    }
}

static void print_named_type(const struct tn_ast_type *type, struct tn_buf *buf)
{
    if (type->name.is_quoted)
        tni_print_ident(&type->name, buf);
    else
        print_upper(type->name.text, buf);
    for (uint32_t i = 0; i < type->numbers_count; i++) {
        tn_buf_add_text(buf, i == 0 ? "(" : ", ");
        tn_buf_add_i64(buf, type->numbers[i]);
    }
    tn_buf_add_text(buf, type->numbers_count ? ")" : "");
    tn_buf_add_text(buf, type->is_zoned ? " WITH TIME ZONE" : "");
}

void tn_ast_print_type(const struct tn_ast_type *type, struct tn_buf *buf)
{
    static const char *const words[] = {
        [TN_AT_ARRAY] = "ARRAY<", [TN_AT_MAP] = "MAP<", [TN_AT_STRUCT] = "STRUCT<"};
    if (type->kind == TN_AT_NAMED) {
        print_named_type(type, buf);
        return;
    }
    tn_buf_add_text(buf, words[type->kind]);
    for (uint32_t i = 0; i < type->children_count; i++) {
        tn_buf_add_text(buf, i == 0 ? "" : ", ");
        if (type->kind == TN_AT_STRUCT && type->names[i].text.ptr) {
            tni_print_ident(&type->names[i], buf);
            tn_buf_add_byte(buf, ' ');
        }
        tn_ast_print_type(type->children[i], buf);
    }
    tn_buf_add_byte(buf, '>');
}

/* ---- lists ------------------------------------------------------------------------------- */

static void print_list(struct tn_ast_expr *const *exprs, uint32_t count, enum bind min,
                       struct tn_buf *buf)
{
    for (uint32_t i = 0; i < count; i++) {
        tn_buf_add_text(buf, i == 0 ? "" : ", ");
        print(exprs[i], min, buf);
    }
}

void tni_print_exprs(struct tn_ast_expr *const *exprs, uint32_t count, struct tn_buf *buf)
{
    print_list(exprs, count, BIND_ANY, buf);
}

void tni_print_sorts(const struct tn_ast_sort *sorts, uint32_t count, struct tn_buf *buf)
{
    for (uint32_t i = 0; i < count; i++) {
        tn_buf_add_text(buf, i == 0 ? "" : ", ");
        print(sorts[i].expr, BIND_ANY, buf);
        if (sorts[i].is_desc)
            tn_buf_add_text(buf, " DESC");
        if (sorts[i].nulls != TN_AN_DEFAULT)
            tn_buf_add_text(buf, sorts[i].nulls == TN_AN_FIRST ? " NULLS FIRST" : " NULLS LAST");
    }
}

/* ---- OVER -------------------------------------------------------------------------------- */

static void print_bound(enum tn_ast_bound bound, const struct tn_ast_expr *offset,
                        struct tn_buf *buf)
{
    static const char *const texts[] = {[TN_AB_UNBOUNDED_PRECEDING] = "UNBOUNDED PRECEDING",
                                        [TN_AB_PRECEDING] = " PRECEDING",
                                        [TN_AB_CURRENT_ROW] = "CURRENT ROW",
                                        [TN_AB_FOLLOWING] = " FOLLOWING",
                                        [TN_AB_UNBOUNDED_FOLLOWING] = "UNBOUNDED FOLLOWING"};
    if (offset)
        print(offset, BIND_ANY, buf);
    tn_buf_add_text(buf, texts[bound]);
}

void tni_print_over(const struct tn_ast_over *over, struct tn_buf *buf)
{
    static const char *const frames[] = {"", "ROWS", "RANGE", "GROUPS"};
    const char *gap = "";
    if (over->is_reference) {
        tni_print_ident(&over->base, buf);
        return;
    }
    tn_buf_add_byte(buf, '(');
    if (over->base.text.ptr) {
        tni_print_ident(&over->base, buf);
        gap = " ";
    }
    if (over->parts_count) {
        tn_buf_printf(buf, "%sPARTITION BY ", gap);
        tni_print_exprs(over->parts, over->parts_count, buf);
        gap = " ";
    }
    if (over->sorts_count) {
        tn_buf_printf(buf, "%sORDER BY ", gap);
        tni_print_sorts(over->sorts, over->sorts_count, buf);
        gap = " ";
    }
    if (over->frame != TN_AF_NONE) {
        tn_buf_printf(buf, "%s%s BETWEEN ", gap, frames[over->frame]);
        print_bound(over->start, over->start_offset, buf);
        tn_buf_add_text(buf, " AND ");
        print_bound(over->end, over->end_offset, buf);
    }
    tn_buf_add_byte(buf, ')');
}

/* ---- expressions ------------------------------------------------------------------------- */

static bool is_number(const struct tn_ast_expr *expr)
{
    return expr->kind == TN_AX_INTEGER || expr->kind == TN_AX_DECIMAL || expr->kind == TN_AX_DOUBLE;
}

/* Does the text of this operand begin with a digit? A minus before it would become part of a
 * literal. */
static bool begins_with_number(const struct tn_ast_expr *expr)
{
    while (expr->kind == TN_AX_AT_ZONE || expr->kind == TN_AX_SUBSCRIPT ||
           expr->kind == TN_AX_ARROW || expr->kind == TN_AX_FIELD)
        expr = expr->args[0];
    return is_number(expr);
}

static enum bind bind_of(const struct tn_ast_expr *expr)
{
    switch (expr->kind) {
    case TN_AX_LAMBDA: return BIND_LAMBDA;
    case TN_AX_OR: return BIND_OR;
    case TN_AX_AND: return BIND_AND;
    case TN_AX_NOT: return BIND_NOT;
    case TN_AX_COMPARE:
    case TN_AX_IS_NULL:
    case TN_AX_IS_TRUE:
    case TN_AX_IS_FALSE:
    case TN_AX_IS_UNKNOWN:
    case TN_AX_DISTINCT:
    case TN_AX_BETWEEN:
    case TN_AX_IN:
    case TN_AX_IN_QUERY:
    case TN_AX_QUANTIFIED:
    case TN_AX_LIKE: return BIND_PREDICATE;
    case TN_AX_BINARY:
        return expr->op == TN_AO_CONCAT                         ? BIND_CONCAT
               : expr->op == TN_AO_ADD || expr->op == TN_AO_SUB ? BIND_ADD
                                                                : BIND_MUL;
    case TN_AX_NEGATE: return BIND_UNARY;
    case TN_AX_AT_ZONE: return BIND_ZONE;
    default: return is_number(expr) && expr->text.ptr[0] == '-' ? BIND_UNARY : BIND_POSTFIX;
    }
}

static void print_join(const struct tn_ast_expr *expr, const char *word, enum bind min,
                       struct tn_buf *buf)
{
    for (uint32_t i = 0; i < expr->args_count; i++) {
        tn_buf_add_text(buf, i == 0 ? "" : word);
        print(expr->args[i], min, buf);
    }
}

static void print_bytes(struct tn_str text, struct tn_buf *buf)
{
    tn_buf_add_text(buf, "X'");
    for (size_t i = 0; i < text.len; i++)
        tn_buf_printf(buf, "%02X", (unsigned char)text.ptr[i]);
    tn_buf_add_byte(buf, '\'');
}

static void print_interval(const struct tn_ast_expr *expr, struct tn_buf *buf)
{
    tn_buf_add_text(buf, expr->is_negative ? "INTERVAL -" : "INTERVAL ");
    tni_print_string(expr->text, buf);
    tn_buf_printf(buf, " %s", tn_ast_unit_text(expr->unit));
    if (expr->unit_to != TN_AU_NONE)
        tn_buf_printf(buf, " TO %s", tn_ast_unit_text(expr->unit_to));
}

/* A name whose first word would begin another form here is quoted. */
static void print_name(const struct tn_ast_name *name, bool is_form, struct tn_buf *buf)
{
    struct tn_ident first = name->parts[0];
    first.is_quoted |= is_form;
    tni_print_ident(&first, buf);
    for (uint32_t i = 1; i < name->parts_count; i++) {
        tn_buf_add_byte(buf, '.');
        tni_print_ident(&name->parts[i], buf);
    }
}

/* The base of e.field is no plain name (that would be one longer name) and no number. */
static void print_field(const struct tn_ast_expr *expr, struct tn_buf *buf)
{
    const struct tn_ast_expr *base = expr->args[0];
    bool is_arrow = expr->kind == TN_AX_ARROW;
    bool needs_paren = !is_arrow && (base->kind == TN_AX_NAME || is_number(base));
    tn_buf_add_text(buf, needs_paren ? "(" : "");
    print(base, needs_paren ? BIND_ANY : BIND_POSTFIX, buf);
    tn_buf_add_text(buf, needs_paren ? ")" : "");
    tn_buf_add_text(buf, is_arrow ? "->" : ".");
    tni_print_ident(&expr->ident, buf);
}

static void print_case(const struct tn_ast_expr *expr, struct tn_buf *buf)
{
    uint32_t i = 0, end = expr->args_count - (expr->has_else ? 1 : 0);
    tn_buf_add_text(buf, "CASE");
    if (expr->has_operand) {
        tn_buf_add_byte(buf, ' ');
        print(expr->args[i++], BIND_ANY, buf);
    }
    for (; i + 1 < end; i += 2) {
        tn_buf_add_text(buf, " WHEN ");
        print(expr->args[i], BIND_ANY, buf);
        tn_buf_add_text(buf, " THEN ");
        print(expr->args[i + 1], BIND_ANY, buf);
    }
    if (expr->has_else) {
        tn_buf_add_text(buf, " ELSE ");
        print(expr->args[end], BIND_ANY, buf);
    }
    tn_buf_add_text(buf, " END");
}

static void print_cast(const struct tn_ast_expr *expr, struct tn_buf *buf)
{
    tn_buf_add_text(buf, expr->is_try ? "TRY_CAST(" : "CAST(");
    print(expr->args[0], BIND_ANY, buf);
    tn_buf_add_text(buf, " AS ");
    tn_ast_print_type(expr->type, buf);
    tn_buf_add_byte(buf, ')');
}

/* Does the text begin with that of args[0]? */
static bool begins_with_operand(const struct tn_ast_expr *expr)
{
    switch (bind_of(expr)) {
    case BIND_LAMBDA:
    case BIND_NOT:
    case BIND_UNARY: return false;
    case BIND_POSTFIX:
        return expr->kind == TN_AX_SUBSCRIPT || expr->kind == TN_AX_ARROW ||
               expr->kind == TN_AX_FIELD;
    default: return true;
    }
}

/* Does the text begin "name->"? Where a lambda can stand that would be one. */
static bool begins_with_arrow(const struct tn_ast_expr *expr)
{
    for (; begins_with_operand(expr); expr = expr->args[0])
        if (expr->kind == TN_AX_ARROW && expr->args[0]->kind == TN_AX_NAME)
            return expr->args[0]->name->parts_count == 1;
    return false;
}

static void print_args(const struct tn_ast_expr *expr, struct tn_buf *buf)
{
    for (uint32_t i = 0; i < expr->args_count; i++) {
        bool needs_paren =
            tni_takes_lambda(&expr->call->name, i) && begins_with_arrow(expr->args[i]);
        tn_buf_add_text(buf, i == 0 ? "" : ", ");
        tn_buf_add_text(buf, needs_paren ? "(" : "");
        print(expr->args[i], BIND_LAMBDA, buf);
        tn_buf_add_text(buf, needs_paren ? ")" : "");
    }
}

static void print_call(const struct tn_ast_expr *expr, struct tn_buf *buf)
{
    const struct tn_ast_call *call = expr->call;
    print_name(&call->name, begins_call_form(call->name.parts[0].text), buf);
    if (!call->is_bare || expr->args_count) {
        tn_buf_add_text(buf, call->is_distinct ? "(DISTINCT " : "(");
        tn_buf_add_text(buf, call->is_star ? "*" : "");
        print_args(expr, buf);
        if (call->sorts_count && !call->is_within_group) {
            tn_buf_add_text(buf, " ORDER BY ");
            tni_print_sorts(call->sorts, call->sorts_count, buf);
        }
        tn_buf_add_byte(buf, ')');
    }
    if (call->is_within_group) {
        tn_buf_add_text(buf, " WITHIN GROUP (ORDER BY ");
        tni_print_sorts(call->sorts, call->sorts_count, buf);
        tn_buf_add_byte(buf, ')');
    }
    if (call->filter) {
        tn_buf_add_text(buf, " FILTER (WHERE ");
        print(call->filter, BIND_ANY, buf);
        tn_buf_add_byte(buf, ')');
    }
    if (call->is_ignore_nulls || call->is_respect_nulls)
        tn_buf_add_text(buf, call->is_ignore_nulls ? " IGNORE NULLS" : " RESPECT NULLS");
    if (call->over) {
        tn_buf_add_text(buf, " OVER ");
        tni_print_over(call->over, buf);
    }
}

/* MAP(k := v), STRUCT(f := v) */
static void print_pairs(const struct tn_ast_expr *expr, struct tn_buf *buf)
{
    bool is_map = expr->kind == TN_AX_MAP;
    tn_buf_add_text(buf, is_map ? "MAP(" : "STRUCT(");
    for (uint32_t i = 0; i < expr->args_count; i++) {
        tn_buf_add_text(buf, i == 0 ? "" : is_map && i % 2 == 1 ? " := " : ", ");
        if (!is_map) {
            tni_print_ident(&expr->idents[i], buf);
            tn_buf_add_text(buf, " := ");
        }
        print(expr->args[i], BIND_ANY, buf);
    }
    tn_buf_add_byte(buf, ')');
}

static void print_lambda(const struct tn_ast_expr *expr, struct tn_buf *buf)
{
    if (expr->idents_count == 1)
        tni_print_ident(&expr->idents[0], buf);
    else
        tni_print_idents(expr->idents, expr->idents_count, buf);
    tn_buf_add_text(buf, " => ");
    print(expr->args[0], BIND_LAMBDA, buf);
}

/* Literals. False: `expr` is none. */
static bool print_literal(const struct tn_ast_expr *expr, struct tn_buf *buf)
{
    switch (expr->kind) {
    case TN_AX_NULL: tn_buf_add_text(buf, "NULL"); return true;
    case TN_AX_BOOLEAN: tn_buf_add_text(buf, expr->boolean ? "TRUE" : "FALSE"); return true;
    case TN_AX_INTEGER:
    case TN_AX_DECIMAL:
    case TN_AX_DOUBLE: tn_buf_add_str(buf, expr->text); return true;
    case TN_AX_STRING: tni_print_string(expr->text, buf); return true;
    case TN_AX_BYTES: print_bytes(expr->text, buf); return true;
    case TN_AX_TYPED:
        tn_ast_print_type(expr->type, buf);
        tn_buf_add_byte(buf, ' ');
        tni_print_string(expr->text, buf);
        return true;
    case TN_AX_INTERVAL: print_interval(expr, buf); return true;
    case TN_AX_PARAM: tn_buf_add_byte(buf, '?'); return true;
    case TN_AX_UNIT: tn_buf_add_text(buf, tn_ast_unit_text(expr->unit)); return true;
    default: return false;
    }
}

static void print_query_in_paren(const struct tn_ast_query *query, struct tn_buf *buf)
{
    tn_buf_add_byte(buf, '(');
    tn_ast_print_query(query, buf);
    tn_buf_add_byte(buf, ')');
}

/* IS …, BETWEEN, IN, LIKE: the left operand is printed here. */
static void print_predicate(const struct tn_ast_expr *expr, struct tn_buf *buf)
{
    const char *is_not = expr->is_not ? "NOT " : "";
    print(expr->args[0], BIND_VALUE, buf);
    switch (expr->kind) {
    case TN_AX_IS_NULL: tn_buf_printf(buf, " IS %sNULL", is_not); break;
    case TN_AX_IS_TRUE: tn_buf_printf(buf, " IS %sTRUE", is_not); break;
    case TN_AX_IS_FALSE: tn_buf_printf(buf, " IS %sFALSE", is_not); break;
    case TN_AX_IS_UNKNOWN: tn_buf_printf(buf, " IS %sUNKNOWN", is_not); break;
    case TN_AX_DISTINCT:
        tn_buf_printf(buf, " IS %sDISTINCT FROM ", is_not);
        print(expr->args[1], BIND_VALUE, buf);
        break;
    case TN_AX_BETWEEN:
        tn_buf_printf(buf, " %sBETWEEN %s", is_not, expr->is_symmetric ? "SYMMETRIC " : "");
        print(expr->args[1], BIND_VALUE, buf);
        tn_buf_add_text(buf, " AND ");
        print(expr->args[2], BIND_VALUE, buf);
        break;
    case TN_AX_IN:
        tn_buf_printf(buf, " %sIN (", is_not);
        print_list(expr->args + 1, expr->args_count - 1, BIND_ANY, buf);
        tn_buf_add_byte(buf, ')');
        break;
    case TN_AX_IN_QUERY:
        tn_buf_printf(buf, " %sIN ", is_not);
        print_query_in_paren(expr->query, buf);
        break;
    case TN_AX_QUANTIFIED:
        tn_buf_printf(buf, " %s %s ", tn_ast_op_text(expr->op), expr->is_all ? "ALL" : "ANY");
        print_query_in_paren(expr->query, buf);
        break;
    case TN_AX_COMPARE:
        tn_buf_printf(buf, " %s ", tn_ast_op_text(expr->op));
        print(expr->args[1], BIND_VALUE, buf);
        break;
    default: /* LIKE */
        tn_buf_printf(buf, " %sLIKE ", is_not);
        print(expr->args[1], BIND_VALUE, buf);
        if (expr->args_count > 2) {
            tn_buf_add_text(buf, " ESCAPE ");
            print(expr->args[2], BIND_VALUE, buf);
        }
    }
}

static void print_operator(const struct tn_ast_expr *expr, struct tn_buf *buf)
{
    enum bind bind = bind_of(expr);
    bool needs_paren;
    switch (expr->kind) {
    case TN_AX_OR: print_join(expr, " OR ", BIND_OR, buf); break;
    case TN_AX_AND: print_join(expr, " AND ", BIND_AND, buf); break;
    case TN_AX_NOT:
        tn_buf_add_text(buf, "NOT ");
        print(expr->args[0], BIND_NOT, buf);
        break;
    case TN_AX_BINARY:
        print(expr->args[0], bind, buf);
        tn_buf_printf(buf, " %s ", tn_ast_op_text(expr->op));
        print(expr->args[1], bind + 1, buf);
        break;
    case TN_AX_NEGATE: /* -(5) is not the literal -5, and "--" begins a comment */
        needs_paren = begins_with_number(expr->args[0]);
        tn_buf_add_text(buf, needs_paren ? "-(" : "-");
        print(expr->args[0], needs_paren ? BIND_ANY : BIND_ZONE, buf);
        tn_buf_add_text(buf, needs_paren ? ")" : "");
        break;
    case TN_AX_AT_ZONE:
        print(expr->args[0], BIND_ZONE, buf);
        tn_buf_add_text(buf, " AT TIME ZONE ");
        print(expr->args[1], BIND_POSTFIX, buf);
        break;
    default: print_predicate(expr, buf); break;
    }
}

static void print_form(const struct tn_ast_expr *expr, struct tn_buf *buf)
{
    switch (expr->kind) {
    case TN_AX_NAME: print_name(expr->name, begins_form(expr->name->parts[0].text), buf); break;
    case TN_AX_FIELD:
    case TN_AX_ARROW: print_field(expr, buf); break;
    case TN_AX_SUBSCRIPT:
        print(expr->args[0], BIND_POSTFIX, buf);
        tn_buf_add_byte(buf, '[');
        print(expr->args[1], BIND_ANY, buf);
        tn_buf_add_byte(buf, ']');
        break;
    case TN_AX_SUBQUERY: print_query_in_paren(expr->query, buf); break;
    case TN_AX_EXISTS:
        tn_buf_add_text(buf, "EXISTS ");
        print_query_in_paren(expr->query, buf);
        break;
    case TN_AX_CASE: print_case(expr, buf); break;
    case TN_AX_CAST: print_cast(expr, buf); break;
    case TN_AX_EXTRACT:
        tn_buf_add_text(buf, "EXTRACT(");
        print_upper(expr->text, buf);
        tn_buf_add_text(buf, " FROM ");
        print(expr->args[0], BIND_ANY, buf);
        tn_buf_add_byte(buf, ')');
        break;
    case TN_AX_CALL: print_call(expr, buf); break;
    case TN_AX_ROW:
    case TN_AX_ARRAY:
        tn_buf_add_text(buf, expr->kind == TN_AX_ROW ? "ROW(" : "ARRAY[");
        print_list(expr->args, expr->args_count, BIND_ANY, buf);
        tn_buf_add_byte(buf, expr->kind == TN_AX_ROW ? ')' : ']');
        break;
    case TN_AX_MAP:
    case TN_AX_STRUCT: print_pairs(expr, buf); break;
    case TN_AX_LAMBDA: print_lambda(expr, buf); break;
    default: print_operator(expr, buf); break;
    }
}

static void print(const struct tn_ast_expr *expr, enum bind min, struct tn_buf *buf)
{
    bool needs_paren = bind_of(expr) < min;
    if (needs_paren)
        tn_buf_add_byte(buf, '(');
    if (!print_literal(expr, buf))
        print_form(expr, buf);
    if (needs_paren)
        tn_buf_add_byte(buf, ')');
}

void tn_ast_print_expr(const struct tn_ast_expr *expr, struct tn_buf *buf)
{
    print(expr, BIND_LAMBDA, buf);
}
