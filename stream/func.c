/* The registry of functions: all tables as one list sorted by name, overload resolution, implicit
 * conversions, and the helpers of func_int.h.
 *
 * RESOLUTION. Candidates are the overloads of the name that serve the rule set and take that many
 * arguments. Each argument costs 0 when its kind is the pattern's, 1 for NULL or a pattern that
 * takes several kinds, 2 a step of widening (INTEGER → BIGINT → DECIMAL → DOUBLE, DATE → TIMESTAMP
 * → TIMESTAMP WITH TIME ZONE). The cheapest wins, the first one in its table on a tie; its
 * `resolve` may refuse, then the next cheapest is asked.
 *
 * @thread any: the list is built once */
#include "stream/func.h"

#include <ctype.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "stream/func_int.h"
#include "stream/records.h"

#define FUNCS_MAX 1024
#define NO_FIT    INT32_MAX

static const struct tni_func_table *const tables[] = {
#define XX(name) &tni_funcs_##name,
    TNI_FUNC_TABLES(XX)
#undef XX
};

static const struct tn_func *all_funcs[FUNCS_MAX];
static size_t all_count;
static pthread_once_t all_once = PTHREAD_ONCE_INIT;

static void list_all(void)
{
    size_t n = 0;
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++) {
        for (size_t i = 0; i < tables[t]->count; i++) {
            const struct tn_func *func = &tables[t]->rows[i];
            TN_ASSERT(n < FUNCS_MAX && func->name && func->kernel);
            TN_ASSERT(!func->args || strlen(func->args) == func->args_count);
            size_t at = n++; /* insertion keeps the order of tables within a name */
            for (; at > 0 && strcmp(all_funcs[at - 1]->name, func->name) > 0; at--)
                all_funcs[at] = all_funcs[at - 1];
            all_funcs[at] = func;
        }
    }
    all_count = n;
}

const struct tn_func *const *tn_func_all(size_t *ret_count)
{
    pthread_once(&all_once, list_all);
    *ret_count = all_count;
    return all_funcs;
}

/* First overload of a lower-case name; all_count when there is none. */
static size_t find_first(const char *name)
{
    size_t low = 0, high;
    tn_func_all(&high);
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (strcmp(all_funcs[mid]->name, name) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* ---- patterns ---- */

static bool kind_of_letter(char letter, enum tn_kind *ret_kind)
{
    static const struct {
        char letter;
        enum tn_kind kind;
    } letters[] = {{'b', TN_K_BOOLEAN},      {'i', TN_K_INTEGER}, {'l', TN_K_BIGINT},
                   {'d', TN_K_DOUBLE},       {'m', TN_K_DECIMAL}, {'s', TN_K_VARCHAR},
                   {'y', TN_K_BYTES},        {'D', TN_K_DATE},    {'T', TN_K_TIME},
                   {'t', TN_K_TIMESTAMP},    {'j', TN_K_JSON},    {'z', TN_K_TIMESTAMP_TZ},
                   {'v', TN_K_INTERVAL_DAY}, {'A', TN_K_ARRAY},   {'w', TN_K_INTERVAL_YEAR},
                   {'M', TN_K_MAP},          {'R', TN_K_STRUCT}};
    for (size_t i = 0; i < sizeof letters / sizeof *letters; i++) {
        if (letters[i].letter == letter) {
            *ret_kind = letters[i].kind;
            return true;
        }
    }
    return false;
}

/* Steps of widening between kinds, −1 when there are none. */
static int widening_steps(enum tn_kind from, enum tn_kind to)
{
    if (tn_kind_is_number(from) && tn_kind_is_number(to)) {
        static const int rank[] = {
            [TN_K_INTEGER] = 0, [TN_K_BIGINT] = 1, [TN_K_DECIMAL] = 2, [TN_K_DOUBLE] = 3};
        return rank[to] - rank[from];
    }
    if (from == TN_K_DATE && (to == TN_K_TIMESTAMP || to == TN_K_TIMESTAMP_TZ))
        return to == TN_K_TIMESTAMP ? 1 : 2;
    if (from == TN_K_TIMESTAMP && to == TN_K_TIMESTAMP_TZ)
        return 1;
    return -1;
}

const struct tn_type *tni_decimal_of(const struct tn_type *type, struct tn_arena *arena)
{
    if (type->kind == TN_K_DECIMAL)
        return type;
    return tn_type_decimal(arena, type->kind == TN_K_INTEGER ? 10 : 19, 0);
}

/* Cost of one argument, and the type it must be cast to. */
static int fit(char letter, const struct tn_type *type, struct tn_arena *arena,
               const struct tn_type **ret_type)
{
    enum tn_kind kind;
    *ret_type = type;
    if (letter == '*' || letter == 'f')
        return 1;
    if (letter == 'n')
        return tn_kind_is_number(type->kind) || type->kind == TN_K_NULL ? 1 : NO_FIT;
    bool is_known = kind_of_letter(letter, &kind);
    TN_ASSERT(is_known);
    if (type->kind == kind)
        return 0;
    if (type->kind == TN_K_NULL) {
        if (kind != TN_K_DECIMAL && !tn_kind_is_nested(kind))
            *ret_type = tn_type_of(kind);
        return 1;
    }
    int steps = widening_steps(type->kind, kind);
    if (steps < 0)
        return NO_FIT;
    *ret_type = kind == TN_K_DECIMAL ? tni_decimal_of(type, arena) : tn_type_of(kind);
    return 2 * steps;
}

static bool takes_count(const struct tn_func *func, uint32_t count)
{
    if (!func->args && func->resolve && func->flags & TN_FN_VARARGS)
        return count + 1 >= func->args_count;
    if (func->flags & TN_FN_VARARGS)
        return count + 1 >= func->args_count;
    return count == func->args_count;
}

static char letter_at(const struct tn_func *func, uint32_t arg)
{
    if (!func->args)
        return '*';
    return func->args[arg < func->args_count ? arg : func->args_count - 1];
}

static int fit_all(const struct tn_func *func, const struct tn_type *const *types, uint32_t count,
                   struct tn_arena *arena, const struct tn_type **ret_types)
{
    int cost = 0;
    for (uint32_t i = 0; i < count; i++) {
        int one = fit(letter_at(func, i), types[i], arena, &ret_types[i]);
        if (one == NO_FIT)
            return NO_FIT;
        cost += one;
    }
    return cost;
}

/* ---- error texts ---- */

static const char *word_of_letter(char letter, enum tn_rules rules)
{
    enum tn_kind kind;
    switch (letter) {
    case '*': return "any";
    case 'n': return "number";
    case 'f': return "lambda";
    case 'A': return "array";
    case 'M': return "map";
    case 'R': return rules == TN_RULES_QUERY ? "row" : "struct";
    case 'm': return "decimal";
    default: break;
    }
    if (!kind_of_letter(letter, &kind))
        return "?";
    return rules == TN_RULES_QUERY ? tn_kind_trino(kind) : tn_kind_ksql(kind);
}

static void print_signature(const struct tn_func *func, enum tn_rules rules, struct tn_buf *buf)
{
    tn_buf_printf(buf, "%s(", func->name);
    for (uint32_t i = 0; i < func->args_count; i++)
        tn_buf_printf(buf, "%s%s", i ? ", " : "", word_of_letter(letter_at(func, i), rules));
    tn_buf_add_text(buf, func->flags & TN_FN_VARARGS ? ", …)" : ")");
}

static unsigned rules_flag(enum tn_rules rules)
{
    return rules == TN_RULES_STREAM ? TN_FN_STREAM : TN_FN_QUERY;
}

static void print_types(const struct tn_type *const *types, uint32_t count, enum tn_rules rules,
                        struct tn_buf *buf)
{
    for (uint32_t i = 0; i < count; i++) {
        if (i)
            tn_buf_add_text(buf, ", ");
        if (rules == TN_RULES_QUERY)
            tn_type_print_trino(types[i], buf);
        else
            tn_type_print_ksql(types[i], buf);
    }
}

/* "unexpected parameters (varchar) for function abs. expected: abs(integer), abs(bigint)…" */
static enum tn_status no_overload(const char *name, enum tn_rules rules,
                                  const struct tn_type *const *types, uint32_t count,
                                  struct tn_err *err)
{
    struct tn_buf buf;
    tn_buf_init(&buf, TN_ERR_MESSAGE_MAX);
    bool is_operator = !isalpha((unsigned char)name[0]);
    if (is_operator && count == 2) {
        tn_buf_add_text(&buf, "cannot apply operator: ");
        print_types(types, 1, rules, &buf);
        tn_buf_printf(&buf, " %s ", name);
        print_types(types + 1, 1, rules, &buf);
    } else {
        tn_buf_add_text(&buf, "unexpected parameters (");
        print_types(types, count, rules, &buf);
        tn_buf_printf(&buf, ") for function %s. expected: ", name);
        bool is_first = true;
        for (size_t i = find_first(name); i < all_count && !strcmp(all_funcs[i]->name, name); i++) {
            if (!(all_funcs[i]->flags & rules_flag(rules)))
                continue;
            if (!is_first)
                tn_buf_add_text(&buf, ", ");
            print_signature(all_funcs[i], rules, &buf);
            is_first = false;
        }
    }
    bool is_concat = rules == TN_RULES_QUERY && !strcmp(name, "||"); /* a function to Trino */
    tn_err_at(err, TN_E_TYPE, is_operator && !is_concat ? "TYPE_MISMATCH" : "FUNCTION_NOT_FOUND", 0,
              0, "%.*s", TN_STR_FMT(tn_buf_str(&buf)));
    tn_buf_release(&buf);
    return TN_E_TYPE;
}

static enum tn_status no_name(struct tn_str name, enum tn_rules rules, struct tn_err *err)
{
    const char *names[FUNCS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < all_count; i++)
        if (all_funcs[i]->flags & rules_flag(rules) && !(all_funcs[i]->flags & TN_FN_INTERNAL) &&
            (count == 0 || strcmp(names[count - 1], all_funcs[i]->name) != 0))
            names[count++] = all_funcs[i]->name;
    tn_err_at(err, TN_E_NAME, "FUNCTION_NOT_FOUND", 0, 0, "function '%.*s' not registered",
              TN_STR_FMT(name));
    const char *nearest = tn_str_nearest(name, names, count);
    if (nearest)
        tn_err_hint(err, "did you mean %s?", nearest);
    return TN_NOT_FOUND;
}

/* ---- resolution ---- */

static bool lower_name(struct tn_str name, char *lower, size_t size)
{
    if (name.len >= size)
        return false;
    for (size_t i = 0; i < name.len; i++)
        lower[i] = (char)tolower((unsigned char)name.ptr[i]);
    lower[name.len] = 0;
    return true;
}

#define OVERLOADS_MAX 48

struct candidate {
    const struct tn_func *func;
    int cost;
};

static enum tn_status settle(const struct tn_func *func, const struct tn_type **arg_types,
                             uint32_t args_count, struct tn_arena *arena,
                             const struct tn_type **ret_type)
{
    if (func->resolve)
        return func->resolve(func, arg_types, args_count, arena, ret_type);
    *ret_type = tn_type_of(func->result);
    return TN_OK;
}

enum tn_status tn_func_resolve(struct tn_str name, enum tn_rules rules,
                               const struct tn_type *const *arg_types, uint32_t args_count,
                               struct tn_arena *arena, const struct tn_func **ret_func,
                               const struct tn_type **ret_arg_types,
                               const struct tn_type **ret_type, struct tn_err *err)
{
    char lower[64];
    const struct tn_type *fitted[TN_FUNC_ARGS_MAX], *type;
    struct candidate candidates[OVERLOADS_MAX];
    size_t count = 0;
    bool is_known = false;
    size_t i = lower_name(name, lower, sizeof lower) ? find_first(lower) : SIZE_MAX;
    TN_ASSERT(args_count <= TN_FUNC_ARGS_MAX);
    for (; i < all_count && strcmp(all_funcs[i]->name, lower) == 0; i++) {
        const struct tn_func *func = all_funcs[i];
        if (!(func->flags & rules_flag(rules)))
            continue;
        is_known = true;
        int cost = takes_count(func, args_count)
                       ? fit_all(func, arg_types, args_count, arena, fitted)
                       : NO_FIT;
        if (cost == NO_FIT)
            continue;
        TN_ASSERT(count < OVERLOADS_MAX);
        size_t at = count++;
        for (; at > 0 && candidates[at - 1].cost > cost; at--)
            candidates[at] = candidates[at - 1];
        candidates[at] = (struct candidate){func, cost};
    }
    if (!is_known)
        return no_name(name, rules, err);
    for (size_t c = 0; c < count; c++) {
        fit_all(candidates[c].func, arg_types, args_count, arena, fitted);
        if (tn_failed(settle(candidates[c].func, fitted, args_count, arena, &type)))
            continue;
        *ret_func = candidates[c].func;
        *ret_type = type;
        memcpy(ret_arg_types, fitted, args_count * sizeof(const struct tn_type *));
        return TN_OK;
    }
    return no_overload(lower, rules, arg_types, args_count, err);
}

/* ---- implicit conversions ---- */

static bool decimal_holds(const struct tn_type *decimal, int digits, int scale)
{
    return decimal->precision - decimal->scale >= digits - scale && decimal->scale >= scale;
}

static bool number_coercible(const struct tn_type *from, const struct tn_type *to)
{
    if (widening_steps(from->kind, to->kind) < 0)
        return false;
    if (to->kind != TN_K_DECIMAL)
        return true;
    int digits = from->kind == TN_K_INTEGER ? 10 : from->kind == TN_K_BIGINT ? 19 : from->precision;
    return decimal_holds(to, digits, from->kind == TN_K_DECIMAL ? from->scale : 0);
}

bool tn_type_coercible(const struct tn_type *from, const struct tn_type *to, enum tn_rules rules)
{
    if (tn_type_eq(from, to) || from->kind == TN_K_NULL)
        return true;
    if (tn_kind_is_number(from->kind) && tn_kind_is_number(to->kind))
        return number_coercible(from, to);
    if (from->kind == TN_K_VARCHAR && to->kind == TN_K_VARCHAR)
        return to->length_max == 0 || (from->length_max && from->length_max <= to->length_max);
    if (from->kind == to->kind && from->kind >= TN_K_TIME && from->kind <= TN_K_TIMESTAMP_TZ)
        return true;
    if (from->kind == to->kind && tn_kind_is_nested(from->kind)) {
        if (from->children_count != to->children_count)
            return false;
        for (uint32_t i = 0; i < from->children_count; i++)
            if (!tn_type_coercible(from->children[i].type, to->children[i].type, rules))
                return false;
        return true;
    }
    if (rules == TN_RULES_STREAM && to->kind == TN_K_TIMESTAMP_TZ)
        return false;
    return widening_steps(from->kind, to->kind) >= 0;
}

static const struct tn_type *common_nested(const struct tn_type *a, const struct tn_type *b,
                                           enum tn_rules rules, struct tn_arena *arena)
{
    if (a->children_count != b->children_count)
        return NULL;
    struct tn_type *type = TN_ARENA_NEW(arena, struct tn_type);
    struct tn_field *fields = TN_ARENA_ARRAY(arena, struct tn_field, a->children_count);
    *type = *a;
    type->children = fields;
    for (uint32_t i = 0; i < a->children_count; i++) {
        fields[i].name = a->children[i].name;
        fields[i].type = tn_type_common(a->children[i].type, b->children[i].type, rules, arena);
        if (!fields[i].type)
            return NULL;
    }
    return type;
}

static const struct tn_type *common_number(const struct tn_type *a, const struct tn_type *b,
                                           struct tn_arena *arena)
{
    if (a->kind == TN_K_DOUBLE || b->kind == TN_K_DOUBLE)
        return tn_type_of(TN_K_DOUBLE);
    if (a->kind != TN_K_DECIMAL && b->kind != TN_K_DECIMAL)
        return tn_type_of(TN_K_BIGINT);
    a = tni_decimal_of(a, arena);
    b = tni_decimal_of(b, arena);
    int scale = a->scale > b->scale ? a->scale : b->scale;
    int whole_a = a->precision - a->scale, whole_b = b->precision - b->scale;
    int precision = (whole_a > whole_b ? whole_a : whole_b) + scale;
    if (precision > TN_DECIMAL_PRECISION_MAX)
        precision = TN_DECIMAL_PRECISION_MAX;
    return tn_type_decimal(arena, precision, scale);
}

const struct tn_type *tn_type_common(const struct tn_type *a, const struct tn_type *b,
                                     enum tn_rules rules, struct tn_arena *arena)
{
    if (a->bits != b->bits && a->kind == b->kind) /* the wider one: 0 is the kind's own */
        return a->bits == 0 || (b->bits && a->bits > b->bits) ? a : b;
    if (a->kind == TN_K_NULL || tn_type_eq(a, b))
        return b;
    if (b->kind == TN_K_NULL)
        return a;
    if (tn_kind_is_number(a->kind) && tn_kind_is_number(b->kind))
        return common_number(a, b, arena);
    if (a->kind == b->kind && a->kind == TN_K_VARCHAR) {
        bool is_bounded = a->length_max && b->length_max;
        uint32_t longest = a->length_max > b->length_max ? a->length_max : b->length_max;
        return tn_type_varchar(arena, is_bounded ? longest : 0);
    }
    if (a->kind == b->kind && tn_kind_is_nested(a->kind))
        return common_nested(a, b, rules, arena);
    if (a->kind == b->kind)
        return a->precision >= b->precision ? a : b; /* times of different precision */
    if (tn_type_coercible(a, b, rules))
        return b;
    return tn_type_coercible(b, a, rules) ? a : NULL;
}

/* ---- helpers of kernels ---- */

enum tn_rules tni_call_rules(const struct tn_call *call)
{
    if ((call->func->flags & TNI_BOTH) == TNI_BOTH)
        return call->expr ? call->expr->rules : TN_RULES_QUERY;
    return call->func->flags & TN_FN_STREAM ? TN_RULES_STREAM : TN_RULES_QUERY;
}

void tni_text_open(struct tni_text *text, struct tn_call *call, size_t bytes_hint)
{
    size_t cap = bytes_hint < 64 ? 64 : bytes_hint;
    *text = (struct tni_text){.call = call, .data = tn_arena_alloc(call->arena, cap), .cap = cap};
}

static size_t text_bytes_max(const struct tn_call *call)
{
    return tni_call_rules(call) == TN_RULES_QUERY ? TN_TEXT_BYTES_MAX : TN_RECORD_BYTES_MAX;
}

static size_t row_start(const struct tni_text *text)
{
    return (size_t)text->call->out->col.offsets[text->rows_count];
}

/* Slow path of reserve. A row that is too long begins again at its start; it fails when it ends. */
void tni_text_grow(struct tni_text *text, size_t extra)
{
    struct tn_arena *arena = text->call->arena;
    size_t start = row_start(text);
    if (text->len - start + extra > text_bytes_max(text->call) || text->len + extra > INT32_MAX)
        text->is_over = true;
    size_t need = text->len + extra, cap = text->cap;
    while (cap < need)
        cap *= 2;
    if (arena->bytes_max && arena->bytes_total + cap > arena->bytes_max)
        text->is_full = true;
    if (text->is_over || text->is_full) {
        text->len = start;
        if (text->cap - start >= extra)
            return;
        cap = start + extra; /* the call that asked knows its size: bounded by its arguments */
    }
    uint8_t *data = tn_arena_alloc(arena, cap);
    memcpy(data, text->data, text->len);
    text->data = data;
    text->cap = cap;
}

void tni_text_end(struct tni_text *text)
{
    struct tn_call *call = text->call;
    TN_ASSERT(text->rows_count < call->rows_count);
    size_t start = row_start(text), max = text_bytes_max(call);
    if (TN_UNLIKELY(text->is_over || text->is_full || text->len - start > max)) {
        if (text->is_full)
            tn_call_error(call, text->rows_count, TN_E_NOMEM, "EXCEEDED_LOCAL_MEMORY_LIMIT",
                          "%s needs more memory than the query may use", call->func->name);
        else
            tn_call_error(call, text->rows_count, TN_E_LIMIT, "EXCEEDED_TEXT_LIMIT",
                          "result of %s is longer than %zu bytes", call->func->name, max);
        text->len = start;
        text->is_over = false; /* full stays: the rows behind fail at once */
    }
    TN_ASSERT(text->len <= INT32_MAX);
    call->out->col.offsets[++text->rows_count] = (int32_t)text->len;
}

void tni_text_close(struct tni_text *text)
{
    TN_ASSERT(text->rows_count == text->call->rows_count);
    text->call->out->col.data = text->data;
}

void tni_finish(struct tn_call *call, struct tn_colbuilder *builder)
{
    struct tn_column col;
    tn_colbuilder_finish(builder, &col);
    TN_ASSERT(col.rows_count == call->rows_count);
    col.type = call->type;
    uint8_t *before = call->out->col.validity;
    if (before) {
        tn_column_need_validity(&col, call->arena);
        for (size_t at = 0; at < tn_bits_bytes(col.rows_count); at++)
            col.validity[at] &= before[at];
    }
    call->out->col = col;
}

void tni_same_as(struct tn_call *call, uint32_t arg)
{
    uint8_t *validity = call->out->col.validity;
    struct tn_column *col = &call->out->col;
    if (call->is_const[arg] && call->rows_count != 1) {
        uint32_t *rows = TN_ARENA_ARRAY(call->arena, uint32_t, call->rows_count);
        tn_column_gather(&call->args[arg], rows, call->rows_count, col, call->arena);
    } else {
        *col = call->args[arg];
    }
    col->type = call->type;
    if (validity)
        col->validity = validity; /* strict: holds the argument's NULLs already */
}

#define ERROR_WITH(code, name)                                                                     \
    do {                                                                                           \
        char text_[160];                                                                           \
        va_list ap_;                                                                               \
        va_start(ap_, fmt);                                                                        \
        vsnprintf(text_, sizeof text_, fmt, ap_);                                                  \
        va_end(ap_);                                                                               \
        tn_call_error(call, row, code, name, "%s", text_);                                         \
    } while (0)

/* The first failed row only needs a message: later ones skip the formatting. */
static bool has_message(const struct tn_call *call)
{
    return call->out->errors_count > 0;
}

void tni_error_range(struct tn_call *call, uint32_t row, const char *fmt, ...)
{
    if (has_message(call))
        tn_call_error(call, row, TN_E_EVAL, NULL, " ");
    else
        ERROR_WITH(TN_E_EVAL, "NUMERIC_VALUE_OUT_OF_RANGE");
}

void tni_error_argument(struct tn_call *call, uint32_t row, const char *fmt, ...)
{
    if (has_message(call))
        tn_call_error(call, row, TN_E_EVAL, NULL, " ");
    else
        ERROR_WITH(TN_E_EVAL, "INVALID_FUNCTION_ARGUMENT");
}

void tni_error_cast(struct tn_call *call, uint32_t row, const char *fmt, ...)
{
    if (has_message(call))
        tn_call_error(call, row, TN_E_EVAL, NULL, " ");
    else
        ERROR_WITH(TN_E_EVAL, "INVALID_CAST_ARGUMENT");
}

void tni_error_division(struct tn_call *call, uint32_t row)
{
    tn_call_error(call, row, TN_E_EVAL, "DIVISION_BY_ZERO", "division by zero");
}

void tni_call_kernel(struct tn_call *call, tn_kernel kernel, const struct tn_type *type,
                     const struct tn_column *args, const bool *is_const, uint32_t args_count,
                     uint32_t rows_count, const uint32_t *parents, struct tn_column *ret_col)
{
    struct tn_result out = {0};
    tn_column_init(&out.col, type, rows_count, false, call->arena);
    for (uint32_t a = 0; a < args_count; a++) {
        for (uint32_t row = 0; args[a].validity && row < rows_count; row++)
            if (tn_column_is_null(&args[a], is_const[a] ? 0 : row))
                tn_column_set_null(&out.col, row, call->arena);
    }
    struct tn_call sub = {.func = call->func,
                          .expr = call->expr,
                          .type = type,
                          .rows_count = rows_count,
                          .args_count = args_count,
                          .args = args,
                          .is_const = is_const,
                          .batch = call->batch,
                          .arena = call->arena,
                          .out = &out};
    kernel(&sub);
    for (uint32_t row = 0; out.errors && row < rows_count; row++)
        if (tn_bit_get(out.errors, row))
            tn_call_error(call, parents ? parents[row] : row, out.error.code, out.error.name, "%s",
                          out.error.message);
    *ret_col = out.col;
}

enum tn_status tni_resolve_first(const struct tn_func *func, const struct tn_type **arg_types,
                                 uint32_t args_count, struct tn_arena *arena,
                                 const struct tn_type **ret_type)
{
    (void)func;
    (void)arena;
    if (args_count == 0)
        return TN_E_TYPE;
    *ret_type = arg_types[0];
    return TN_OK;
}

enum tn_status tni_resolve_common(const struct tn_func *func, const struct tn_type **arg_types,
                                  uint32_t args_count, struct tn_arena *arena,
                                  const struct tn_type **ret_type)
{
    enum tn_rules rules = func->flags & TN_FN_QUERY ? TN_RULES_QUERY : TN_RULES_STREAM;
    const struct tn_type *type = tn_type_of(TN_K_NULL);
    for (uint32_t i = 0; i < args_count && type; i++)
        type = tn_type_common(type, arg_types[i], rules, arena);
    if (!type)
        return TN_E_TYPE;
    for (uint32_t i = 0; i < args_count; i++)
        arg_types[i] = type;
    *ret_type = type;
    return TN_OK;
}
