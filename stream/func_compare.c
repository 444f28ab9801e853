/* Comparisons: = <> < <= > >=, IS [NOT] DISTINCT FROM, IS [NOT] NULL, BETWEEN, for every kind.
 *
 * Three loops per fixed-width type (equal, less, less or equal) write 64 rows into one word; the
 * other operators are these with operands swapped or the result inverted, which is right for NaN as
 * well (IEEE: every comparison with NaN is false, <> is true). Text compares by bytes, lists and
 * structs cell by cell; a NULL inside a list equals a NULL.
 *
 * Stream rules: a NULL operand makes the result false, for <> too. Query rules: NULL. @thread the
 * running one */
#include "stream/dict.h"
#include "stream/func_int.h"

enum op { OP_EQ, OP_NE, OP_LT, OP_LE, OP_GT, OP_GE };

/* One operand: a column, or one row that stands for all. */
struct side {
    const struct tn_column *col;
    bool is_const;
};

#define COMPARE_LOOP(NAME, T, OP)                                                                  \
    static void NAME(const T *a, bool is_a_const, const T *b, bool is_b_const, uint32_t n,         \
                     uint8_t *out)                                                                 \
    {                                                                                              \
        for (uint32_t at = 0; at < n; at += 64) {                                                  \
            uint32_t m = n - at < 64 ? n - at : 64;                                                \
            uint64_t word = 0;                                                                     \
            if (is_b_const) {                                                                      \
                T y = *b;                                                                          \
                for (uint32_t k = 0; k < m; k++)                                                   \
                    word |= (uint64_t)((is_a_const ? *a : a[at + k]) OP y) << k;                   \
            } else if (is_a_const) {                                                               \
                T x = *a;                                                                          \
                for (uint32_t k = 0; k < m; k++)                                                   \
                    word |= (uint64_t)(x OP b[at + k]) << k;                                       \
            } else {                                                                               \
                for (uint32_t k = 0; k < m; k++)                                                   \
                    word |= (uint64_t)(a[at + k] OP b[at + k]) << k;                               \
            }                                                                                      \
            memcpy(out + at / 8, &word, 8);                                                        \
        }                                                                                          \
    }

#define COMPARE_LOOPS(SUFFIX, T)                                                                   \
    COMPARE_LOOP(eq_##SUFFIX, T, ==)                                                               \
    COMPARE_LOOP(lt_##SUFFIX, T, <)                                                                \
    COMPARE_LOOP(le_##SUFFIX, T, <=)

COMPARE_LOOPS(i32, int32_t)
COMPARE_LOOPS(i64, int64_t)
COMPARE_LOOPS(f64, double)
COMPARE_LOOPS(dec, tn_int128)

#define DISPATCH(SUFFIX, T)                                                                        \
    (op == OP_EQ   ? eq_##SUFFIX                                                                   \
     : op == OP_LT ? lt_##SUFFIX                                                                   \
                   : le_##SUFFIX)(a.col->values, a.is_const, b.col->values, b.is_const, n, out)

static void compare_bool(enum op op, struct side a, struct side b, uint32_t n, uint8_t *out)
{
    for (uint32_t row = 0; row < n; row++) {
        bool x = tn_column_bool(a.col, a.is_const ? 0 : row);
        bool y = tn_column_bool(b.col, b.is_const ? 0 : row);
        tn_bit_put(out, row, op == OP_EQ ? x == y : op == OP_LT ? !x && y : !x || y);
    }
}

static void equal_text(struct side a, struct side b, uint32_t n, uint8_t *out)
{
    for (uint32_t row = 0; row < n; row++) {
        struct tn_str x = tn_column_str(a.col, a.is_const ? 0 : row);
        struct tn_str y = tn_column_str(b.col, b.is_const ? 0 : row);
        if (tn_str_eq(x, y))
            tn_bit_set(out, row);
    }
}

static void order_text(enum op op, struct side a, struct side b, uint32_t n, uint8_t *out)
{
    for (uint32_t row = 0; row < n; row++) {
        int c = tn_str_cmp(tn_column_str(a.col, a.is_const ? 0 : row),
                           tn_column_str(b.col, b.is_const ? 0 : row));
        tn_bit_put(out, row, op == OP_LT ? c < 0 : c <= 0);
    }
}

/* Text with a dictionary beside one text: compared once per value, then looked up by row. */
static bool compare_codes(enum op op, struct side a, struct side b, uint32_t n, uint8_t *out)
{
    bool holds[TN_DICT_VALUES_MAX];
    if (a.is_const == b.is_const)
        return false;
    const struct tn_dict *dict = tn_column_dict(a.is_const ? b.col : a.col);
    if (!dict)
        return false;
    struct tn_str other = tn_column_str(a.is_const ? a.col : b.col, 0);
    for (uint32_t i = 0; i < dict->values_count; i++) {
        int c =
            a.is_const ? tn_str_cmp(other, dict->values[i]) : tn_str_cmp(dict->values[i], other);
        holds[i] = op == OP_EQ ? c == 0 : op == OP_LT ? c < 0 : c <= 0;
    }
    for (uint32_t at = 0; at < n; at += 64) {
        uint32_t m = n - at < 64 ? n - at : 64;
        uint64_t word = 0;
        for (uint32_t k = 0; k < m; k++)
            word |= (uint64_t)holds[dict->codes[at + k]] << k;
        memcpy(out + at / 8, &word, 8);
    }
    return true;
}

static void compare_cells(enum op op, struct side a, struct side b, uint32_t n, uint8_t *out,
                          struct tn_arena *arena)
{
    for (uint32_t row = 0; row < n; row++) {
        uint32_t at_a = a.is_const ? 0 : row, at_b = b.is_const ? 0 : row;
        if (tn_column_is_null(a.col, at_a) || tn_column_is_null(b.col, at_b))
            continue;
        if (op == OP_EQ) {
            tn_bit_put(out, row, tn_column_same(a.col, at_a, b.col, at_b));
            continue;
        }
        struct tn_value x = tn_column_value(a.col, at_a, arena);
        struct tn_value y = tn_column_value(b.col, at_b, arena);
        int c = tn_value_cmp(&x, &y);
        tn_bit_put(out, row, op == OP_LT ? c < 0 : c <= 0);
    }
}

static void compare_base(enum op op, struct side a, struct side b, uint32_t n, uint8_t *out,
                         struct tn_arena *arena)
{
    enum tn_kind kind = a.col->type->kind;
    TN_ASSERT(kind == b.col->type->kind); /* the binder made them one type */
    switch (kind) {
    case TN_K_NULL: return;
    case TN_K_BOOLEAN: compare_bool(op, a, b, n, out); return;
    case TN_K_INTEGER:
    case TN_K_DATE: DISPATCH(i32, int32_t); return;
    case TN_K_DOUBLE: DISPATCH(f64, double); return;
    case TN_K_DECIMAL: DISPATCH(dec, tn_int128); return;
    case TN_K_VARCHAR:
    case TN_K_BYTES:
    case TN_K_JSON:
        if (compare_codes(op, a, b, n, out))
            return;
        if (op == OP_EQ)
            equal_text(a, b, n, out);
        else
            order_text(op, a, b, n, out);
        return;
    case TN_K_ARRAY:
    case TN_K_MAP:
    case TN_K_STRUCT: compare_cells(op, a, b, n, out, arena); return;
    default: DISPATCH(i64, int64_t); return;
    }
}

/* Bits of a OP b for n rows; rows with NULL operands are unspecified. `out` is zeroed. */
static void compare_bits(enum op op, struct side a, struct side b, uint32_t n, uint8_t *out,
                         struct tn_arena *arena)
{
    switch (op) {
    case OP_GT: compare_base(OP_LT, b, a, n, out, arena); break;
    case OP_GE: compare_base(OP_LE, b, a, n, out, arena); break;
    case OP_NE:
        compare_base(OP_EQ, a, b, n, out, arena);
        for (size_t at = 0; at < tn_bits_bytes(n); at++)
            out[at] = (uint8_t)~out[at];
        break;
    default: compare_base(op, a, b, n, out, arena);
    }
}

static struct side side_of(const struct tn_call *call, uint32_t arg)
{
    return (struct side){&call->args[arg], call->is_const[arg]};
}

/* Clear the bits of rows where the operand is NULL. */
static void clear_nulls(const struct tn_call *call, uint32_t arg, uint8_t *bits)
{
    const uint8_t *validity = call->args[arg].validity;
    if (!validity)
        return;
    bool is_all_null = call->is_const[arg] && !tn_bit_get(validity, 0);
    if (call->is_const[arg] && !is_all_null)
        return;
    for (size_t at = 0; at < tn_bits_bytes(call->rows_count); at++)
        bits[at] = is_all_null ? 0 : bits[at] & validity[at];
}

static void compare(struct tn_call *call, enum op op)
{
    uint8_t *out = call->out->col.values;
    compare_bits(op, side_of(call, 0), side_of(call, 1), call->rows_count, out, call->arena);
    if (call->func->flags & TN_FN_NULL_CALL) { /* stream rules */
        clear_nulls(call, 0, out);
        clear_nulls(call, 1, out);
    }
}

static void kernel_eq(struct tn_call *call)
{
    compare(call, OP_EQ);
}
static void kernel_ne(struct tn_call *call)
{
    compare(call, OP_NE);
}
static void kernel_lt(struct tn_call *call)
{
    compare(call, OP_LT);
}
static void kernel_le(struct tn_call *call)
{
    compare(call, OP_LE);
}
static void kernel_gt(struct tn_call *call)
{
    compare(call, OP_GT);
}
static void kernel_ge(struct tn_call *call)
{
    compare(call, OP_GE);
}

/* ---- NULL tests ---- */

static uint8_t *validity_bits(const struct tn_call *call, uint32_t arg)
{
    uint8_t *bits = tn_arena_alloc(call->arena, tn_bits_bytes(call->rows_count));
    memset(bits, 0xff, tn_bits_bytes(call->rows_count));
    clear_nulls(call, arg, bits);
    if (call->args[arg].type->kind == TN_K_NULL)
        memset(bits, 0, tn_bits_bytes(call->rows_count));
    return bits;
}

static void kernel_is_not_null(struct tn_call *call)
{
    call->out->col.values = validity_bits(call, 0);
}

static void kernel_is_null(struct tn_call *call)
{
    uint8_t *bits = validity_bits(call, 0);
    for (size_t at = 0; at < tn_bits_bytes(call->rows_count); at++)
        bits[at] = (uint8_t)~bits[at];
    call->out->col.values = bits;
}

/* Equal, or both NULL; NaN is not distinct from NaN. */
static void not_distinct(struct tn_call *call)
{
    uint8_t *out = call->out->col.values;
    const uint8_t *valid_a = validity_bits(call, 0), *valid_b = validity_bits(call, 1);
    bool is_double = call->args[0].type->kind == TN_K_DOUBLE;
    if (!is_double)
        compare_bits(OP_EQ, side_of(call, 0), side_of(call, 1), call->rows_count, out, call->arena);
    for (uint32_t row = 0; is_double && row < call->rows_count; row++) {
        double a = tni_arg_f64(call, 0, row), b = tni_arg_f64(call, 1, row);
        tn_bit_put(out, row, a == b || (isnan(a) && isnan(b)));
    }
    for (size_t at = 0; at < tn_bits_bytes(call->rows_count); at++) {
        unsigned both = valid_a[at] & valid_b[at], none = ~((unsigned)valid_a[at] | valid_b[at]);
        out[at] = (uint8_t)((out[at] & both) | none);
    }
}

static void kernel_not_distinct(struct tn_call *call)
{
    not_distinct(call);
}

static void kernel_distinct(struct tn_call *call)
{
    not_distinct(call);
    uint8_t *out = call->out->col.values;
    for (size_t at = 0; at < tn_bits_bytes(call->rows_count); at++)
        out[at] = (uint8_t)~out[at];
}

/* x >= low AND x <= high; query rules: false when either is known to be false, else NULL by
 * operand. */
static void kernel_between(struct tn_call *call)
{
    size_t bytes = tn_bits_bytes(call->rows_count);
    uint8_t *low = tn_arena_zalloc(call->arena, bytes, 1);
    uint8_t *high = tn_arena_zalloc(call->arena, bytes, 1);
    compare_bits(OP_GE, side_of(call, 0), side_of(call, 1), call->rows_count, low, call->arena);
    compare_bits(OP_LE, side_of(call, 0), side_of(call, 2), call->rows_count, high, call->arena);
    const uint8_t *valid_x = validity_bits(call, 0);
    const uint8_t *valid_low = validity_bits(call, 1), *valid_high = validity_bits(call, 2);
    uint8_t *out = call->out->col.values;
    uint8_t *validity = tn_arena_alloc(call->arena, bytes);
    for (size_t at = 0; at < bytes; at++) {
        unsigned known_low = valid_x[at] & valid_low[at], known_high = valid_x[at] & valid_high[at];
        unsigned is_false = (known_low & ~(unsigned)low[at]) | (known_high & ~(unsigned)high[at]);
        out[at] = (uint8_t)(low[at] & high[at] & known_low & known_high);
        validity[at] = (uint8_t)(is_false | (known_low & known_high));
    }
    if (call->func->flags & TN_FN_QUERY)
        call->out->col.validity = validity;
}

/* ---- types ---- */

static bool is_instant(enum tn_kind kind)
{
    return kind == TN_K_DATE || kind == TN_K_TIMESTAMP || kind == TN_K_TIMESTAMP_TZ;
}

static const struct tn_type *operand_type(const struct tn_type *a, const struct tn_type *b,
                                          enum tn_rules rules, struct tn_arena *arena)
{
    const struct tn_type *type = tn_type_common(a, b, rules, arena);
    if (type)
        return type;
    bool is_time_b = is_instant(b->kind) || b->kind == TN_K_TIME;
    if (a->kind != TN_K_VARCHAR || !is_time_b)
        return NULL;
    /* text beside a date: a full timestamp may be written in it, so both become timestamps */
    return b->kind == TN_K_DATE && rules == TN_RULES_QUERY ? tn_type_of(TN_K_TIMESTAMP) : b;
}

static enum tn_status resolve(const struct tn_func *func, const struct tn_type **arg_types,
                              uint32_t args_count, struct tn_arena *arena,
                              const struct tn_type **ret_type)
{
    enum tn_rules rules = func->flags & TN_FN_QUERY ? TN_RULES_QUERY : TN_RULES_STREAM;
    const struct tn_type *type = arg_types[0];
    for (uint32_t i = 1; i < args_count && type; i++) {
        const struct tn_type *both = operand_type(type, arg_types[i], rules, arena);
        type = both ? both : operand_type(arg_types[i], type, rules, arena);
    }
    bool is_order = func->name[0] == '<' ? func->name[1] != '>' : func->name[0] != '=';
    is_order = is_order && func->name[0] != 'i';
    if (!type || (is_order && (type->kind == TN_K_MAP || type->kind == TN_K_STRUCT)))
        return TN_E_TYPE;
    if (rules == TN_RULES_STREAM && is_order && type->kind == TN_K_ARRAY)
        return TN_E_TYPE;
    for (uint32_t i = 0; i < args_count; i++)
        arg_types[i] = type;
    *ret_type = tn_type_of(TN_K_BOOLEAN);
    return TN_OK;
}

#define OPERATOR(NAME, FN)                                                                         \
    {.name = NAME,                                                                                 \
     .flags = TN_FN_QUERY | TN_FN_INTERNAL,                                                        \
     .args_count = 2,                                                                              \
     .kernel = FN,                                                                                 \
     .resolve = resolve},                                                                          \
    {                                                                                              \
        .name = NAME, .flags = TN_FN_STREAM | TN_FN_NULL_CALL | TN_FN_INTERNAL, .args_count = 2,   \
        .kernel = FN, .resolve = resolve                                                           \
    }

#define TEST(NAME, COUNT, FN, RESOLVE)                                                             \
    {                                                                                              \
        .name = NAME, .flags = TNI_BOTH | TN_FN_NULL_CALL | TN_FN_INTERNAL, .args_count = COUNT,   \
        .result = TN_K_BOOLEAN, .kernel = FN, .resolve = RESOLVE                                   \
    }

static const struct tn_func rows[] = {
    OPERATOR("=", kernel_eq),
    OPERATOR("<>", kernel_ne),
    OPERATOR("<", kernel_lt),
    OPERATOR("<=", kernel_le),
    OPERATOR(">", kernel_gt),
    OPERATOR(">=", kernel_ge),
    TEST("is_null", 1, kernel_is_null, NULL),
    TEST("is_not_null", 1, kernel_is_not_null, NULL),
    TEST("is_distinct", 2, kernel_distinct, resolve),
    TEST("is_not_distinct", 2, kernel_not_distinct, resolve),
    {.name = "between",
     .flags = TN_FN_QUERY | TN_FN_NULL_CALL | TN_FN_INTERNAL,
     .args_count = 3,
     .kernel = kernel_between,
     .resolve = resolve},
    {.name = "between",
     .flags = TN_FN_STREAM | TN_FN_NULL_CALL | TN_FN_INTERNAL,
     .args_count = 3,
     .kernel = kernel_between,
     .resolve = resolve},
};

TNI_TABLE(compare);
