/* Inside the binder: scopes and expression contexts. */
#ifndef TN_SQL_BIND_INT_H
#define TN_SQL_BIND_INT_H

#include "sql/bind.h"

/* One column that names can mean. */
struct tni_col {
    struct tn_str rel_alias;  /* qualifier; ptr NULL for merged columns of USING */
    struct tn_str rel_schema; /* schema of a catalog object without alias, else ptr NULL */
    struct tn_str name;
    struct tn_expr *expr; /* what a reference becomes (copied per reference) */
    bool *needed;         /* set when referenced; NULL = nobody asks */
    bool is_merged_away;  /* joined by USING: only reachable with its qualifier */
    bool is_hidden;       /* not part of '*' */
};

struct tni_scope_rel {
    struct tn_str alias, schema_name;
    struct tn_rel *rel;              /* query rules */
    const struct tni_source *source; /* stream rules */
    int number;
    uint32_t cols_first, cols_count;
    bool has_pseudo; /* ROWTIME … can be read */
    bool has_files;  /* "$path" … can be read */
};

/* What a FROM clause makes visible. */
struct tni_scope {
    const struct tni_scope *outer; /* of the enclosing query */
    struct tni_col *cols;
    uint32_t cols_count, cols_cap;
    struct tni_scope_rel *rels;
    uint32_t rels_count, rels_cap;
    const struct tn_window
        *window; /* aggregating query with WINDOW: WINDOWSTART and WINDOWEND are its bounds */
};

/* Parameters of an enclosing lambda. */
struct tni_lambda {
    const struct tni_lambda *outer;
    uint32_t count;
    const struct tn_ident *names;
    const struct tn_type *const *types;
    uint32_t first; /* number of the first one among all enclosing */
};

struct tni_named_windows {
    uint32_t count;
    const struct tn_ast_named_window *items;
};

/* Where an expression stands. */
struct tni_ctx {
    struct tni_bind *bind;
    const struct tni_scope *scope; /* NULL: no columns at all */
    const char *clause;            /* "WHERE", "GROUP BY" …, for messages */
    bool is_agg_allowed, is_window_allowed;
    bool is_in_agg;
    bool has_agg, has_window; /* set while binding */
    const struct tni_lambda *lambda;
    const struct tni_named_windows *windows;
    /* ORDER BY: output columns come before input columns */
    const struct tn_select_item *outputs;
    uint32_t outputs_count;
    bool is_output_only; /* set operations: no input columns */
};

enum tn_status tni_bind_expr(struct tni_ctx *ctx, const struct tn_ast_expr *ast,
                             struct tn_expr **ret_expr, struct tn_err *err);

/* bind_name.c */
enum tn_status tni_bind_name(struct tni_ctx *ctx, const struct tn_ast_expr *ast,
                             struct tn_expr **ret_expr, struct tn_err *err);
enum tn_status tni_bind_field(struct tni_ctx *ctx, struct tn_expr *base,
                              const struct tn_ident *field, struct tn_expr **ret_expr,
                              struct tn_err *err);
bool tni_name_eq(const struct tni_bind *bind, struct tn_str a, struct tn_str b);
struct tni_col *tni_scope_add_col(const struct tni_bind *bind, struct tni_scope *scope);
struct tni_scope_rel *tni_scope_add_rel(const struct tni_bind *bind, struct tni_scope *scope);
struct tn_expr *tni_expr_copy_ref(const struct tni_bind *bind, const struct tn_expr *expr,
                                  struct tni_pos pos);

/* bind_call.c */
enum tn_status tni_bind_call(struct tni_ctx *ctx, const struct tn_ast_expr *ast,
                             struct tn_expr **ret_expr, struct tn_err *err);
/* bind_subquery.c */
enum tn_status tni_bind_subquery(struct tni_ctx *ctx, const struct tn_ast_expr *ast,
                                 struct tn_expr **ret_expr, struct tn_err *err);
/* bind_window.c */
bool tni_is_window_func(struct tn_str name);
enum tn_status tni_bind_window_call(struct tni_ctx *ctx, const struct tn_ast_expr *ast,
                                    struct tn_expr **ret_expr, struct tn_err *err);
enum tn_status tni_bind_agg(struct tni_ctx *ctx, const struct tn_agg *agg,
                            const struct tn_ast_expr *ast, struct tn_expr **ret_expr,
                            struct tn_err *err);

/* bind_from.c */
enum tn_status tni_bind_from(struct tni_bind *bind, const struct tn_ast_rel *ast,
                             const struct tni_scope *outer, struct tni_scope *scope,
                             struct tn_rel **ret_rel, struct tn_err *err);
struct tn_rel *tni_rel_new(struct tni_bind *bind, enum tn_rel_kind kind);
/* Add a relation's columns to a scope under `alias`. */
void tni_scope_add(const struct tni_bind *bind, struct tni_scope *scope, struct tn_rel *rel,
                   struct tn_str alias, struct tn_str schema_name);

/* bind_query.c */
enum tn_status tni_bind_query_in(struct tni_bind *bind, const struct tn_ast_query *ast,
                                 const struct tni_scope *outer, struct tn_query **ret_query,
                                 struct tn_err *err);
/* The query with its output columns cast to `types`: itself, or a SELECT around it. */
enum tn_status tni_query_cast(struct tni_bind *bind, struct tn_query *query,
                              const struct tn_type *const *types, struct tn_query **ret_query,
                              struct tn_err *err);
/* bind_group.c: every item is built from groups and aggregates. */
enum tn_status tni_check_grouped(const struct tn_expr *expr, struct tn_expr *const *groups,
                                 uint32_t groups_count, const struct tni_scope *scope,
                                 struct tn_err *err);

/* An aggregate or window function anywhere in the tree (subqueries aside). */
bool tni_has_agg(const struct tn_expr *expr);

struct tni_cte {
    const struct tni_cte *outer;
    const struct tn_ast_cte *ast;
    const struct tni_cte *env; /* what its own query sees */
};

struct tni_view_frame {
    const struct tni_view_frame *outer;
    const struct tn_object *object;
};

static inline struct tni_pos tni_pos_of(const struct tn_ast_expr *ast)
{
    return (struct tni_pos){ast->line, ast->col};
}

#endif
