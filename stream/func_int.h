/* What kernels and function tables share, private to stream/: access to arguments, results of text
 * and lists, row errors, tables of overloads, and the text of values under each rule set.
 *
 * KERNEL CONTRACT. A kernel writes call->out->col for call->rows_count rows. Before it is called:
 *   - arguments that are constant are one row long (is_const); when all are, rows_count is 1;
 *   - for a strict function (no TN_FN_NULL_CALL) the result's validity already has the rows with a
 * NULL argument cleared; a constant NULL argument never reaches the kernel;
 *   - fixed-width results and BOOLEAN have zeroed values.
 * The kernel may clear more validity bits (tni_null) and fail rows (tn_call_error); it need not
 * care for the errors of its arguments. It writes values for every row or leaves zeros under NULLs,
 * and never fails a NULL row. Text results go through struct tni_text, lists through a column
 * builder (tni_list_*).
 *
 * Ownership: results live in call->arena. @thread the running one
 */
#ifndef TN_STREAM_FUNC_INT_H
#define TN_STREAM_FUNC_INT_H

#include <math.h>

#include "stream/base/decimal.h"
#include "stream/func.h"

/* ---- tables ---- */

struct tni_func_table {
    const struct tn_func *rows;
    size_t count;
};

#define TNI_FUNC_TABLES(XX)                                                                        \
    XX(arith)                                                                                      \
    XX(compare)                                                                                    \
    XX(cast)                                                                                       \
    XX(like)                                                                                       \
    XX(nested)                                                                                     \
    XX(text)                                                                                       \
    XX(text_more)                                                                                  \
    XX(math)                                                                                       \
    XX(round)                                                                                      \
    XX(time)                                                                                       \
    XX(time_format) XX(array) XX(map) XX(json) XX(binary) XX(regex) XX(url) XX(misc) XX(lambda)
#define XX(name) extern const struct tni_func_table tni_funcs_##name;
TNI_FUNC_TABLES(XX)
#undef XX

#define TNI_BOTH (TN_FN_STREAM | TN_FN_QUERY)
/* One overload with a scalar result. */
#define TNI_FN(NAME, FLAGS, ARGS, RESULT, FN, HELP)                                                \
    {                                                                                              \
        .name = NAME, .flags = FLAGS, .args_count = sizeof(ARGS) - 1, .args = ARGS,                \
        .result = TN_K_##RESULT, .kernel = FN, .help = HELP                                        \
    }
/* One overload whose result type depends on its arguments. */
#define TNI_FN_TYPED(NAME, FLAGS, ARGS, RESOLVE, FN, HELP)                                         \
    {                                                                                              \
        .name = NAME, .flags = FLAGS, .args_count = sizeof(ARGS) - 1, .args = ARGS, .kernel = FN,  \
        .resolve = RESOLVE, .help = HELP                                                           \
    }
#define TNI_TABLE(name)                                                                            \
    const struct tni_func_table tni_funcs_##name = {rows, sizeof rows / sizeof *rows}

/* ---- arguments ---- */

static inline uint32_t tni_arg_row(const struct tn_call *call, uint32_t arg, uint32_t row)
{
    return call->is_const[arg] ? 0 : row;
}
static inline bool tni_arg_null(const struct tn_call *call, uint32_t arg, uint32_t row)
{
    return tn_column_is_null(&call->args[arg], tni_arg_row(call, arg, row));
}
static inline struct tn_str tni_arg_str(const struct tn_call *call, uint32_t arg, uint32_t row)
{
    return tn_column_str(&call->args[arg], tni_arg_row(call, arg, row));
}
static inline int64_t tni_arg_i64(const struct tn_call *call, uint32_t arg, uint32_t row)
{
    return tn_column_i64(&call->args[arg], tni_arg_row(call, arg, row));
}
static inline int32_t tni_arg_i32(const struct tn_call *call, uint32_t arg, uint32_t row)
{
    return tn_column_i32(&call->args[arg], tni_arg_row(call, arg, row));
}
static inline double tni_arg_f64(const struct tn_call *call, uint32_t arg, uint32_t row)
{
    return tn_column_f64(&call->args[arg], tni_arg_row(call, arg, row));
}
static inline bool tni_arg_bool(const struct tn_call *call, uint32_t arg, uint32_t row)
{
    return tn_column_bool(&call->args[arg], tni_arg_row(call, arg, row));
}
static inline tn_int128 tni_arg_dec(const struct tn_call *call, uint32_t arg, uint32_t row)
{
    return ((const tn_int128 *)call->args[arg].values)[tni_arg_row(call, arg, row)];
}
/* INTEGER or BIGINT argument. */
static inline int64_t tni_arg_int(const struct tn_call *call, uint32_t arg, uint32_t row)
{
    return call->args[arg].type->kind == TN_K_INTEGER ? tni_arg_i32(call, arg, row)
                                                      : tni_arg_i64(call, arg, row);
}

/* ---- results ---- */

/* The row of a strict function has all arguments. */
static inline bool tni_row_ok(const struct tn_call *call, uint32_t row)
{
    return !tn_column_is_null(&call->out->col, row);
}
static inline void tni_null(struct tn_call *call, uint32_t row)
{
    tn_column_set_null(&call->out->col, row, call->arena);
}
#define TNI_OUT(call, T) ((T *)(call)->out->col.values)

/* Text result, row by row in order: open, then add bytes and end each row, then close. A row that
 * grows over TN_TEXT_BYTES_MAX (stream rules: a record), or beyond what the arena of the run may
 * hold, fails; what it wrote is dropped on the way, so no expression can take unbounded memory. */
struct tni_text {
    struct tn_call *call;
    uint8_t *data;
    size_t len, cap;
    uint32_t rows_count;   /* rows ended */
    bool is_over, is_full; /* the open row is too long; the arena is at its limit */
};
void tni_text_open(struct tni_text *text, struct tn_call *call, size_t bytes_hint);
void tni_text_grow(struct tni_text *text, size_t extra);
static inline char *tni_text_reserve(struct tni_text *text, size_t extra)
{
    if (TN_UNLIKELY(text->cap - text->len < extra))
        tni_text_grow(text, extra);
    return (char *)text->data + text->len;
}
static inline void tni_text_add(struct tni_text *text, struct tn_str part)
{
    if (TN_UNLIKELY(text->is_over || text->is_full || part.len == 0))
        return;
    char *to = tni_text_reserve(text, part.len);
    memcpy(to, part.ptr, part.len);
    text->len += part.len;
}
void tni_text_end(struct tni_text *text);
/* One whole row. */
static inline void tni_text_row(struct tni_text *text, struct tn_str part)
{
    tni_text_add(text, part);
    tni_text_end(text);
}
void tni_text_close(struct tni_text *text);

/* Replaces the result column by what the builder holds (rows_count rows were added) and takes over
 * its NULLs. */
void tni_finish(struct tn_call *call, struct tn_colbuilder *builder);
/* The result is an argument column as it is (same layout), with the result's type. */
void tni_same_as(struct tn_call *call, uint32_t arg);

/* ---- errors: the names are Trino's ---- */

void tni_error_range(struct tn_call *call, uint32_t row, const char *fmt, ...) TN_PRINTF(3, 4);
void tni_error_argument(struct tn_call *call, uint32_t row, const char *fmt, ...) TN_PRINTF(3, 4);
void tni_error_cast(struct tn_call *call, uint32_t row, const char *fmt, ...) TN_PRINTF(3, 4);
void tni_error_division(struct tn_call *call, uint32_t row);

/* ---- text of values ---- */

/* As CAST(… AS VARCHAR / STRING) gives it. */
void tni_value_print(const struct tn_value *value, enum tn_rules rules, struct tn_buf *buf);
/* As JSON: TO_JSON_STRING, CAST(… AS JSON). */
void tni_value_json(const struct tn_value *value, enum tn_rules rules, struct tn_buf *buf);

/* ---- types ---- */

const struct tn_type *tni_decimal_of(const struct tn_type *type, struct tn_arena *arena);
/* The kernel of a cast; NULL when there is none. func_cast.c */
tn_kernel tni_cast_kernel(const struct tn_type *from, const struct tn_type *to,
                          enum tn_rules rules);
/* Run a kernel over columns as if it stood in the place of `call`: errors of row r fail row
 * parents[r] of `call` (NULL = the same row). The result is *ret_col; its NULLs are those of the
 * first argument and failures. */
void tni_call_kernel(struct tn_call *call, tn_kernel kernel, const struct tn_type *type,
                     const struct tn_column *args, const bool *is_const, uint32_t args_count,
                     uint32_t rows_count, const uint32_t *parents, struct tn_column *ret_col);
enum tn_rules tni_call_rules(const struct tn_call *call);

/* resolve callbacks used by several tables */
enum tn_status tni_resolve_first(const struct tn_func *func, const struct tn_type **arg_types,
                                 uint32_t args_count, struct tn_arena *arena,
                                 const struct tn_type **ret_type); /* type of argument 0 */
enum tn_status tni_resolve_common(const struct tn_func *func, const struct tn_type **arg_types,
                                  uint32_t args_count, struct tn_arena *arena,
                                  const struct tn_type **ret_type); /* one type for all */

#endif
