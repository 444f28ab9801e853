/* The binder: syntax trees become bound trees. One binder serves both rule sets; struct tni_bind
 * says which.
 *
 *   tni_bind_query         SELECT under query rules → struct tn_query (sql/bound.h), for the
 * executors tni_bind_stream_query  SELECT under stream rules → struct tni_stream_query, for the
 * streaming planner
 *
 * Errors carry the position of the node to blame and a SQL error name (COLUMN_NOT_FOUND,
 * TYPE_MISMATCH…).
 *
 * Ownership: results live in the binder's arena and borrow the catalog snapshot. @thread one
 * statement, one thread
 */
#ifndef TN_SQL_BIND_H
#define TN_SQL_BIND_H

#include "sql/ast.h"
#include "sql/bind_build.h"
#include "sql/bound_stream.h"
#include "sql/db.h"

struct tni_cte;
struct tni_view_frame;

#define TNI_RELS_MAX 4096 /* relations of one statement, views and CTEs expanded */

struct tni_bind {
    struct tni_build build; /* arena and rules */
    const struct tn_catalog *catalog;
    const char *session_catalog, *session_schema, *user;
    int64_t now_ms;        /* the statement's current_timestamp */
    uint32_t params_count; /* EXECUTE … USING */
    struct tn_ast_expr *const *params;
    /* while binding */
    int rels_count;
    const struct tni_cte *ctes;         /* visible WITH queries */
    const struct tni_view_frame *views; /* being expanded, to find cycles */
    struct tn_str unnamed_taken;        /* unused under query rules */
};

void tni_bind_init(struct tni_bind *bind, struct tn_arena *arena, enum tn_rules rules,
                   const struct tn_catalog *catalog, const struct tn_session *session,
                   int64_t now_ms);

enum tn_status tni_bind_query(struct tni_bind *bind, const struct tn_ast_query *ast,
                              struct tn_query **ret_query, struct tn_err *err);
enum tn_status tni_bind_stream_query(struct tni_bind *bind, const struct tn_ast_query *ast,
                                     struct tni_stream_query **ret_query, struct tn_err *err);
enum tn_status tni_bind_type(const struct tni_bind *bind, const struct tn_ast_type *ast,
                             const struct tn_type **ret_type, struct tn_err *err);
/* An expression without columns, as a value of `type` (INSERT … VALUES); type NULL = its own. */
enum tn_status tni_bind_constant(struct tni_bind *bind, const struct tn_ast_expr *ast,
                                 const struct tn_type *type, const char *what,
                                 struct tn_value *ret_value, struct tn_err *err);
/* Find the object a name means. TABLE_NOT_FOUND, SCHEMA_NOT_FOUND, CATALOG_NOT_FOUND with nearest
 * names. */
enum tn_status tni_bind_object(const struct tni_bind *bind, const struct tn_ast_name *name,
                               const struct tn_object **ret_object, struct tn_err *err);
/* Schema and last part of a name that may not exist yet. */
enum tn_status tni_bind_schema(const struct tni_bind *bind, const struct tn_ast_name *name,
                               struct tn_str *ret_schema, struct tn_str *ret_name,
                               struct tn_err *err);

/* NOT_SUPPORTED: parsed, known by name, not offered. */
enum tn_status(tni_not_supported)(struct tn_err *err, int line, int col, const char *fmt, ...)
    TN_PRINTF(4, 5);

#endif
