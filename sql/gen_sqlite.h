/* SQL generator: bound trees → SQL text that SQLite runs as Trino would. Folder-private; contract
 * with sql/exec_sqlite*.c and sql/vtab.c.
 *
 * Names. No user text reaches SQLite as a name: relations are r<number>, their columns c<index>,
 * grouped selects q<n>, tables v<slot>_<width>.
 *
 * Expressions. A subtree is written in SQL only where SQLite means the same (comparisons of equal
 * kinds other than DOUBLE, AND, OR, NOT, CASE, COALESCE, IS NULL, IN). Everything else becomes one
 * call f<site>(leaves…): the whole subtree is compiled to a program of our kernels over its leaves
 * (x<site> when it is volatile). Aggregates are calls a<site>(arguments…), except count.
 *
 * Tables. Every table of a FROM is a slot: a virtual table whose rows come from a native operator
 * tree. Conditions on one relation alone move into it. In AUTO mode whole uncorrelated derived
 * tables become slots too.
 *
 * Ownership: everything lives in the statement's arena. @thread one statement, one thread */
#ifndef TN_SQL_GEN_SQLITE_H
#define TN_SQL_GEN_SQLITE_H

#include "sql/exec_op.h"

#define TNI_GEN_ARGS_MAX  96 /* leaves of one site; SQLite's limit is set to 100 */
#define TNI_GEN_DEPTH_MAX 200

/* A scalar function call: `expr` over relation 0, whose columns are the arguments. */
struct tni_site {
    const struct tn_expr *expr;
    bool is_volatile;
    uint32_t args_count;
    const struct tn_type **arg_types;
};

struct tni_agg_site {
    const struct tn_expr *expr; /* for the position */
    struct tn_agg_call call;    /* is_distinct is off: SQLite drops repeats */
    bool is_moving;             /* window whose start moves: rows leave again */
};

/* Rows of one table or derived table. */
struct tni_slot {
    int rel;
    const struct tn_object *object; /* a table: columns are the scan's */
    const struct tn_query *query;   /* else a derived table for the native executor */
    const struct tn_schema *schema;
    bool *used;             /* columns that the SQL text reads */
    struct tn_expr *filter; /* over relation 0 = the columns; NULL = none */
    bool is_stable;         /* row numbers must be the same at each pass (RIGHT and FULL JOIN) */
    int64_t rows_estimate;
};

/* Relations by number, while generating. */
struct tni_gen_rel {
    const struct tn_rel *rel;
    bool *used;
    struct tn_expr *filter; /* of slots, over relation 0 */
    bool is_slot;
    bool is_stable;
};

struct tni_gen_scope;

struct tni_gen {
    struct tni_exec_ctx *ctx;
    struct tn_arena *arena;
    struct tn_err *err;
    struct tn_buf sql;
    uint32_t slots_count, slots_cap;
    struct tni_slot *slots;
    uint32_t sites_count, sites_cap;
    struct tni_site *sites;
    uint32_t aggs_count, aggs_cap;
    struct tni_agg_site *aggs;
    uint32_t binds_count, binds_cap;
    struct tn_value *binds; /* ?1, ?2, … */
    /* while generating */
    int rels_count;
    struct tni_gen_rel *rels;
    struct tni_gen_scope *scope;
    int queries_count, depth;
    bool is_native_derived; /* derived tables may become slots */
};

/* Generate `query`; columns of the text are query->schema's. Release with tni_gen_release also
 * after failure. */
enum tn_status tni_gen_query(struct tni_exec_ctx *ctx, const struct tn_query *query,
                             struct tni_gen *gen, struct tn_err *err);
void tni_gen_release(struct tni_gen *gen);
/* Width class of a slot's table: 16, 64 or 300 columns. */
int tni_slot_width(const struct tni_slot *slot);

#endif
