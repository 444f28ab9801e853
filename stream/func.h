/* Scalar functions, operators and casts: one table, each overload a const descriptor.
 *
 * Names of operators as the binder asks for them: "+" "-" "*" "/" "%" "neg" "=" "<>" "<" "<=" ">"
 * ">=" "||" "like" "is_null" "is_not_null" "is_distinct" "is_not_distinct" "between" "subscript"
 * "deref" "cast" "try_cast". Overloads differ by argument kinds and by rule set (TN_FN_STREAM,
 * TN_FN_QUERY or both), e.g. integer "+" wraps under stream rules and raises
 * NUMERIC_VALUE_OUT_OF_RANGE under query rules.
 *
 * @thread any (immutable)
 */
#ifndef TN_STREAM_FUNC_H
#define TN_STREAM_FUNC_H

#include "stream/expr.h"

#define TN_FUNC_ARGS_MAX  100
#define TN_TEXT_BYTES_MAX 1000000 /* one text or binary result under query rules */

enum tn_func_flags {
    TN_FN_STREAM = 1u << 0,    /* usable under stream rules */
    TN_FN_QUERY = 1u << 1,     /* usable under query rules */
    TN_FN_VARARGS = 1u << 2,   /* the last argument pattern repeats, zero or more times */
    TN_FN_NULL_CALL = 1u << 3, /* called for NULL arguments too; else a NULL argument gives NULL */
    TN_FN_VOLATILE = 1u << 4,  /* not folded (RANDOM, UUID) */
    TN_FN_INTERNAL = 1u << 5   /* operators: not listed by SHOW FUNCTIONS */
};

/* What a kernel sees. Args are columns of rows_count rows, or constants (is_const[i]: one row, use
 * row 0). */
struct tn_call {
    const struct tn_func *func;
    const struct tn_expr *expr; /* bound node: lambda bodies, types, position */
    const struct tn_type *type; /* result type */
    uint32_t rows_count;
    uint32_t args_count;
    const struct tn_column *args;
    const bool *is_const;
    const struct tn_batch *batch;
    struct tn_arena *arena;
    struct tn_result *out; /* out->col is initialised (values, validity by NULL arguments) for
                              fixed-width results */
};

/* Mark `row` failed and NULL. Keeps the first message only. */
void tn_call_error(struct tn_call *call, uint32_t row, enum tn_status code, const char *name,
                   const char *fmt, ...) TN_PRINTF(5, 6);

typedef void (*tn_kernel)(struct tn_call *call);

struct tn_func {
    const char *name; /* lower case */
    unsigned flags;
    uint32_t args_count;
    const char *args; /* one pattern letter per argument, see func.c; NULL when `resolve` decides */
    enum tn_kind result; /* result kind for scalar results */
    tn_kernel kernel;
    /* Optional: checks argument types (may rewrite coercion targets) and gives the result type. */
    enum tn_status (*resolve)(const struct tn_func *func, const struct tn_type **arg_types,
                              uint32_t args_count, struct tn_arena *arena,
                              const struct tn_type **ret_type);
    const char *help; /* one line, for SHOW FUNCTIONS and FUNCTIONS.md */
};

/* Argument patterns: b BOOLEAN, i INTEGER, l BIGINT, d DOUBLE, m DECIMAL, s VARCHAR, y BYTES, D
 * DATE, T TIME, t TIMESTAMP, z TIMESTAMP WITH TIME ZONE, j JSON, v and w INTERVAL (day, year), A M
 * R any ARRAY, MAP, STRUCT, n any number, * any type, f lambda (its given type is that of the bound
 * body, its ret_arg_type that of the body to cast to).
 *
 * Constructors: "array" (elements), "map" (key, value, …), "row" (fields, without names: the binder
 * may put a STRUCT type with the same field types and with names into the call). Subscript of array
 * and map: "subscript".
 */

/* Best overload of `name` for the argument types under `rules`: exact match first, then by implicit
 * widening (INTEGER → BIGINT → DECIMAL → DOUBLE; NULL → anything). ret_arg_types[i] is what each
 * argument must be cast to (tn_type_eq with the given one when no cast is needed). TN_NOT_FOUND: no
 * such name. TN_E_TYPE: no overload fits. */
enum tn_status tn_func_resolve(struct tn_str name, enum tn_rules rules,
                               const struct tn_type *const *arg_types, uint32_t args_count,
                               struct tn_arena *arena, const struct tn_func **ret_func,
                               const struct tn_type **ret_arg_types,
                               const struct tn_type **ret_type, struct tn_err *err);

/* Parameter types of the lambda that is argument `arg` of `name`, before its body can be bound.
 * arg_types: types of the arguments bound so far, NULL where a lambda or something later stands.
 * TN_NOT_FOUND: no such name; TN_E_TYPE: `name` takes no lambda with params_count parameters there.
 */
enum tn_status tn_func_lambda(struct tn_str name, enum tn_rules rules,
                              const struct tn_type *const *arg_types, uint32_t args_count,
                              uint32_t arg, uint32_t params_count,
                              const struct tn_type **ret_param_types, struct tn_err *err);

/* The call behind s->f: its arguments are the struct and the constant INTEGER *ret_field (0-based),
 * its type is the field's. NULL when the STRUCT type has no such field. */
const struct tn_func *tn_func_deref(const struct tn_type *type, struct tn_str field,
                                    int32_t *ret_field);

/* The cast kernel from one type to another under a rule set; is_try: failure gives NULL instead of
 * an error. TN_E_TYPE when no such cast exists. */
enum tn_status tn_func_cast(const struct tn_type *from, const struct tn_type *to,
                            enum tn_rules rules, bool is_try, const struct tn_func **ret_func,
                            struct tn_err *err);
/* May `from` become `to` without a written CAST under `rules`? */
bool tn_type_coercible(const struct tn_type *from, const struct tn_type *to, enum tn_rules rules);
/* Common type of two operands (CASE branches, UNION, IN lists); NULL when there is none. */
const struct tn_type *tn_type_common(const struct tn_type *a, const struct tn_type *b,
                                     enum tn_rules rules, struct tn_arena *arena);

/* All overloads, for SHOW FUNCTIONS, docs, registering in SQLite, nearest names. */
const struct tn_func *const *tn_func_all(size_t *ret_count);

#endif
