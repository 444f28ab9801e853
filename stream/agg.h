/* Aggregate functions: one const descriptor each. The same descriptors serve streams, the native
 * executor and the functions registered in SQLite. State is *partial* (mergeable) and finalised
 * when read.
 *
 * A state is `state_bytes` of plain memory inside a hash entry, aligned to 8; what does not fit
 * (text, lists) hangs behind it in memory from tn_alloc, freed by `release`. `bytes_extra` reports
 * it for budgets.
 *
 * @thread one owner per state; descriptors are immutable
 */
#ifndef TN_STREAM_AGG_H
#define TN_STREAM_AGG_H

#include "stream/batch.h"
#include "stream/expr.h"

struct tn_agg;

/* A bound aggregate call: descriptor + types + constant parameters (k of TOPK, ignoreNulls…).
 * Immutable. */
struct tn_agg_call {
    const struct tn_agg *agg;
    uint32_t args_count; /* columns per row; 0 for COUNT(*) */
    const struct tn_type *arg_types[4];
    const struct tn_type *type; /* of the final value */
    enum tn_rules rules;
    bool is_distinct; /* query rules: DISTINCT argument */
    uint32_t params_count;
    struct tn_value params[3];
    uint32_t state_bytes; /* filled by bind, multiple of 8 */
};

enum tn_agg_flags {
    TN_AGG_STREAM = 1u << 0,
    TN_AGG_QUERY = 1u << 1,
    TN_AGG_RETRACT = 1u << 2,    /* `retract` is there: usable over tables */
    TN_AGG_INVERTIBLE = 1u << 3, /* the final value determines the state: `from_final` is there */
    TN_AGG_NULLS = 1u << 4,      /* update sees NULL arguments; else the caller drops such rows */
    TN_AGG_ROWS = 1u << 5,       /* needs row order (offsets): LATEST, EARLIEST, COLLECT */
    TN_AGG_EXACT = 1u << 6       /* merge is exact over arguments that are (tn_agg_is_exact) */
};

struct tn_agg {
    const char *name; /* lower case */
    unsigned flags;
    uint32_t args_min, args_max; /* column arguments */
    /* constant arguments behind them: n, ignoreNulls, k, a percentile */
    uint32_t params_min, params_max;
    /* Result type and state size for the argument types; TN_E_TYPE when they do not fit. */
    enum tn_status (*bind)(struct tn_agg_call *call, struct tn_arena *arena, struct tn_err *err);
    void (*init)(const struct tn_agg_call *call, void *state);
    /* For each i < rows_count: states[i] += row rows[i] of args. rows NULL = identity. Rows are in
     * order; the same state may come many times. */
    void (*update)(const struct tn_agg_call *call, const struct tn_column *args,
                   const uint32_t *rows, uint32_t rows_count, void *const *states);
    void (*retract)(const struct tn_agg_call *call, const struct tn_column *args,
                    const uint32_t *rows, uint32_t rows_count, void *const *states);
    /* to += from; `from` stays valid and is later than `to` in row order. */
    void (*merge)(const struct tn_agg_call *call, void *to, const void *from);
    /* Final values of states[0…count) as a column in `arena`. */
    void (*final)(const struct tn_agg_call *call, void *const *states, uint32_t count,
                  struct tn_column *ret_col, struct tn_arena *arena);
    /* Self-delimiting bytes of the partial state, and back. decode: into a state fresh from init;
     * TN_E_CORRUPT on bad bytes (the state is then fit for release only); returns the end. */
    void (*encode)(const struct tn_agg_call *call, const void *state, struct tn_buf *buf);
    enum tn_status (*decode)(const struct tn_agg_call *call, void *state, const char *ptr,
                             const char *end, const char **ret_next);
    /* Optional (INVERTIBLE): the state that finalises to row `row` of `col`. */
    void (*from_final)(const struct tn_agg_call *call, void *state, const struct tn_column *col,
                       uint32_t row);
    void (*release)(const struct tn_agg_call *call, void *state);             /* optional */
    size_t (*bytes_extra)(const struct tn_agg_call *call, const void *state); /* optional */
    /* Optional (query rules): an evaluation error such as sum overflow, found while updating;
     * checked by final's caller. Returns TN_OK or fills err. */
    enum tn_status (*error)(const struct tn_agg_call *call, const void *state, struct tn_err *err);
    const char *help;
};

/* Find by case-blind name usable under `rules`, NULL when there is none. */
const struct tn_agg *tn_agg_find(struct tn_str name, enum tn_rules rules);
const struct tn_agg *const *tn_agg_all(size_t *ret_count);
/* Of `given` written arguments, how many are columns (the first ones); the rest are call->params,
 * which must be constants. UINT32_MAX when no split fits. COUNT(*) and COUNT() give 0 arguments. */
uint32_t tn_agg_columns_count(const struct tn_agg *agg, uint32_t given);
/* Does merge give the same bytes of a state however its rows were split and in whatever order the
 * parts come? COUNT; SUM and AVG of integers; MIN and MAX of what has one form of each value. */
bool tn_agg_is_exact(const struct tn_agg_call *call);
/* Check counts, call agg->bind, round state_bytes up to 8. call->agg, rules, args_count, arg_types,
 * params must be set. */
enum tn_status tn_agg_bind(struct tn_agg_call *call, struct tn_arena *arena, struct tn_err *err);

#endif
