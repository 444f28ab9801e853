/* Bound queries: what the binder makes of a SELECT under `query` rules, and what the executors
 * read.
 *
 * A tree that mirrors SQL's own structure, names and types resolved, coercions and constants
 * folded, rules written into each expression (stream/expr.h). The native executor takes the shapes
 * of sql/README.md "Native"; the SQLite generator takes every tree. Column references are (rel,
 * column): rel numbers every struct tn_rel of the whole statement uniquely (tn_rel.number), column
 * indexes tn_rel.schema. A reference to a rel of an enclosing select is a correlated one.
 *
 * Ownership: the statement arena. @thread one statement, one thread
 */
#ifndef TN_SQL_BOUND_H
#define TN_SQL_BOUND_H

#include "stream/expr.h"

struct tn_object; /* sql/catalog.h: a stream, table, view or system table */

enum tn_rel_kind {
    TN_REL_TABLE,  /* object */
    TN_REL_QUERY,  /* derived table, view or CTE reference: query */
    TN_REL_VALUES, /* rows × schema->fields_count constants or expressions */
    TN_REL_JOIN,   /* left, right, join, on; schema = left's then right's columns (references go to
                      the leaves) */
    TN_REL_NONE    /* SELECT without FROM: one row, no columns */
};

enum tn_rel_join { TN_RJ_INNER, TN_RJ_LEFT, TN_RJ_RIGHT, TN_RJ_FULL, TN_RJ_CROSS };

struct tn_query;

struct tn_rel {
    enum tn_rel_kind kind;
    int number;          /* unique in the statement */
    struct tn_str alias; /* as written, else the table's name */
    const struct tn_schema *schema;
    const struct tn_object *object; /* TABLE */
    bool *needed;                   /* TABLE: columns the statement reads, by schema index */
    struct tn_query *query;         /* QUERY */
    uint32_t rows_count;            /* VALUES */
    struct tn_expr *const *const *rows;
    struct tn_rel *left, *right; /* JOIN */
    enum tn_rel_join join;
    struct tn_expr *on; /* JOIN; NULL for CROSS; USING and NATURAL are written out by the binder */
};

struct tn_select_item {
    struct tn_expr *expr;
    struct tn_str name; /* output name: alias, column's declared spelling, or _col<n> */
};

struct tn_sort_item {
    struct tn_expr *expr; /* NULL when `output` is set */
    int output;           /* index of the select item it names, −1 = none */
    bool is_desc;
    bool is_nulls_first; /* Trino: NULLS LAST by default for ASC and DESC */
};

struct tn_select {
    bool is_distinct;
    uint32_t items_count;
    struct tn_select_item *items;
    struct tn_rel *from;
    struct tn_expr *where; /* NULL = none */
    bool is_grouped;       /* GROUP BY given, or aggregates without it */
    uint32_t groups_count;
    struct tn_expr **groups;
    struct tn_expr *having;
};

enum tn_set_op { TN_SET_NONE, TN_SET_UNION_ALL, TN_SET_UNION, TN_SET_INTERSECT, TN_SET_EXCEPT };

struct tn_query {
    enum tn_set_op op; /* NONE: select */
    struct tn_select *select;
    struct tn_query *left, *right;  /* set operation; column types already coerced */
    const struct tn_schema *schema; /* output names and types */
    uint32_t sorts_count;
    struct tn_sort_item *sorts;
    int64_t limit; /* −1 = none */
    int64_t offset;
    int rels_count; /* on the outermost query: rel numbers are 0 … rels_count − 1 */
};

/* TN_E_SUBQUERY: expr->sub points here. expr->type is BOOLEAN except for SCALAR.
 * SCALAR: one column; more than one row is an error (SUBQUERY_MULTIPLE_ROWS), none is NULL.
 * EXISTS: is_not = NOT EXISTS. IN: expr->args are the left values (several for a row value),
 * coerced to the types of the query's columns; is_not = NOT IN. `= ANY` is IN, `<> ALL` is NOT IN.
 */
enum tn_sub_kind { TN_SUB_SCALAR, TN_SUB_EXISTS, TN_SUB_IN };

struct tn_subquery {
    enum tn_sub_kind kind;
    bool is_not;
    struct tn_query *query;
};

/* TN_E_WINDOW: expr->sub points here. An aggregate window has expr->agg set (args, filter as
 * TN_E_AGG); otherwise expr->name is one of row_number, rank, dense_rank, percent_rank, cume_dist,
 * ntile, lag, lead, first_value, last_value, nth_value and expr->args are its arguments. */
enum tn_frame_unit { TN_FRAME_DEFAULT, TN_FRAME_ROWS, TN_FRAME_RANGE, TN_FRAME_GROUPS };

enum tn_frame_bound {
    TN_BOUND_UNBOUNDED_PRECEDING,
    TN_BOUND_PRECEDING, /* start_offset / end_offset rows */
    TN_BOUND_CURRENT_ROW,
    TN_BOUND_FOLLOWING,
    TN_BOUND_UNBOUNDED_FOLLOWING
};

struct tn_window_spec {
    uint32_t parts_count;
    struct tn_expr **parts; /* PARTITION BY */
    uint32_t sorts_count;
    struct tn_sort_item *sorts; /* ORDER BY; output = −1 */
    enum tn_frame_unit unit;    /* DEFAULT: none written */
    enum tn_frame_bound start, end;
    struct tn_expr *start_offset, *end_offset; /* constants; PRECEDING, FOLLOWING */
};

#endif
