/* Building bound expressions: every node of struct tn_expr is made here, with its type, its rules
 * and its constants folded. Nothing here knows the AST or names; sql/bind_expr.c does.
 *
 * Ownership: nodes live in the builder's arena. @thread one statement, one thread
 */
#ifndef TN_SQL_BIND_BUILD_H
#define TN_SQL_BIND_BUILD_H

#include "stream/agg.h"
#include "stream/expr.h"
#include "stream/func.h"

struct tni_pos {
    int line, col;
};

/* Parameters of a statement that is only described: NULLs whose types are looked for. */
struct tni_params {
    uint32_t count;
    const struct tn_expr **nodes; /* what stands for each */
    const struct tn_type **types; /* what it was first coerced to; NULL = nothing yet */
};

struct tn_datetime;
struct tni_build {
    struct tn_arena *arena;
    enum tn_rules rules;
    struct tni_params *params;  /* NULL: parameters have values */
    const struct tn_zone *zone; /* of the session; NULL = UTC */
};

struct tn_expr *tni_const(const struct tni_build *build, const struct tn_value *value,
                          struct tni_pos pos);
struct tn_expr *tni_const_i64(const struct tni_build *build, enum tn_kind kind, int64_t value,
                              struct tni_pos pos);
struct tn_expr *tni_const_str(const struct tni_build *build, struct tn_str text,
                              struct tni_pos pos);
struct tn_expr *tni_const_bool(const struct tni_build *build, bool value, struct tni_pos pos);
struct tn_expr *tni_const_null(const struct tni_build *build, const struct tn_type *type,
                               struct tni_pos pos);
struct tn_expr *tni_column(const struct tni_build *build, int rel, int column,
                           const struct tn_type *type, struct tn_str name, struct tni_pos pos);
struct tn_expr *tni_pseudo(const struct tni_build *build, int rel, enum tn_pseudo pseudo,
                           struct tni_pos pos);
struct tn_expr *tni_node(const struct tni_build *build, enum tn_expr_kind kind,
                         const struct tn_type *type, uint32_t args_count, struct tni_pos pos);

bool tni_is_const(const struct tn_expr *expr);
bool tni_is_null(const struct tn_expr *expr); /* the literal NULL, typed or not */
/* Replace a node whose operands are constants by its value; one that fails stays (it fails when it
 * is run). */
struct tn_expr *tni_fold(const struct tni_build *build, struct tn_expr *expr);

/* Written CAST (is_try: TRY_CAST). */
enum tn_status tni_cast(const struct tni_build *build, struct tn_expr *expr,
                        const struct tn_type *type, bool is_try, struct tni_pos pos,
                        struct tn_expr **ret_expr, struct tn_err *err);
/* Cast that was not written; TYPE_MISMATCH naming `what` when the rules do not allow it. */
enum tn_status tni_coerce(const struct tni_build *build, struct tn_expr *expr,
                          const struct tn_type *type, const char *what, struct tn_expr **ret_expr,
                          struct tn_err *err);
/* Function or operator by name. is_operator words the error ("operator '='…"). */
enum tn_status tni_call(const struct tni_build *build, struct tn_str name, struct tn_expr **args,
                        uint32_t args_count, struct tni_pos pos, struct tn_expr **ret_expr,
                        struct tn_err *err);
/* Both without regard to time zones, for bind_zone.c. */
enum tn_status tni_call_plain(const struct tni_build *build, struct tn_str name,
                              struct tn_expr **args, uint32_t args_count, struct tni_pos pos,
                              struct tn_expr **ret_expr, struct tn_err *err);
enum tn_status tni_cast_plain(const struct tni_build *build, struct tn_expr *expr,
                              const struct tn_type *type, bool is_try, struct tni_pos pos,
                              struct tn_expr **ret_expr, struct tn_err *err);
/* bind_zone.c: calls and casts under query rules in which TIMESTAMP WITH TIME ZONE may occur. */
enum tn_status tni_zone_call(const struct tni_build *build, struct tn_str name,
                             struct tn_expr **args, uint32_t args_count, struct tni_pos pos,
                             struct tn_expr **ret_expr, struct tn_err *err);
enum tn_status tni_zone_cast(const struct tni_build *build, struct tn_expr *expr,
                             const struct tn_type *type, bool is_try, struct tni_pos pos,
                             struct tn_expr **ret_expr, struct tn_err *err);
/* NULL and known: a name of UTC. */
const struct tn_zone *tni_zone_find(struct tn_str name, bool *ret_is_known);
const struct tn_zone *tni_zone_of_datetime(const struct tn_datetime *dt);
bool tni_func_exists(const struct tni_build *build, struct tn_str name);
/* FUNCTION_NOT_FOUND with the nearest function or aggregate. */
enum tn_status tni_func_not_found(const struct tni_build *build, struct tn_str name,
                                  struct tni_pos pos, struct tn_err *err);
/* = <> < <= > >= is_distinct is_not_distinct, with the leniencies between text and time. */
enum tn_status tni_compare(const struct tni_build *build, const char *op, struct tn_expr *left,
                           struct tn_expr *right, struct tni_pos pos, struct tn_expr **ret_expr,
                           struct tn_err *err);
/* The bound call of an AGG node (or aggregate WINDOW node): arguments beyond the descriptor's
 * columns are constant parameters; the columns are agg->args[0 … ret_call->args_count). */
enum tn_status tni_agg_call(const struct tn_expr *agg, struct tn_arena *arena,
                            struct tn_agg_call *ret_call, struct tn_err *err);
/* AND or OR of two conditions, flattened; either may be NULL (absent). */
struct tn_expr *tni_logic(const struct tni_build *build, enum tn_expr_kind kind,
                          struct tn_expr *left, struct tn_expr *right);
/* `what` must be boolean ("WHERE", "argument of NOT"). NULL becomes a boolean NULL. */
enum tn_status tni_need_boolean(const struct tni_build *build, struct tn_expr *expr,
                                const char *what, struct tn_expr **ret_expr, struct tn_err *err);
/* Common type of several expressions (CASE branches, IN list, ARRAY[…], set operations), all
 * coerced in place. */
enum tn_status tni_unify(const struct tni_build *build, struct tn_expr **exprs, uint32_t count,
                         const char *what, const struct tn_type **ret_type, struct tn_err *err);

/* ISO 8601 instant, parts missing from the right are padded; UTC unless it has a zone. µs since the
 * epoch. */
bool tni_iso_parse(struct tn_str text, int64_t *ret_us, bool *ret_has_time);
/* "varchar" under query rules, "STRING" under stream rules; static buffer per arena. */
const char *tni_type_text(const struct tni_build *build, const struct tn_type *type);

#endif
