/* Parts shared by the generator's files. */
#ifndef TN_SQL_GEN_SQLITE_INT_H
#define TN_SQL_GEN_SQLITE_INT_H

#include "sql/gen_sqlite.h"

/* Text in pieces, so that FROM can be written after everything that names its columns. */
struct tni_rope_part;
struct tni_rope {
    struct tni_rope_part *head, *tail;
};

void tni_rope_text(struct tni_gen *gen, struct tni_rope *rope, const char *text); /* not copied */
void tni_rope_printf(struct tni_gen *gen, struct tni_rope *rope, const char *fmt, ...)
    TN_PRINTF(3, 4);
/* The other rope's text goes here, even when it is written later. */
void tni_rope_rope(struct tni_gen *gen, struct tni_rope *rope, const struct tni_rope *other);
void tni_rope_flatten(const struct tni_rope *rope, struct tn_buf *buf);

/* The output of a grouped select: inside it, expressions equal to a group or an aggregate are its
 * columns. */
struct tni_gen_scope {
    struct tni_gen_scope *outer;
    int number; /* q<number> */
    uint32_t groups_count;
    struct tn_expr *const *groups;
    uint32_t aggs_count, aggs_cap;
    const struct tn_expr **aggs;
};

/* Any expression; it is atomic or in parentheses. */
enum tn_status tni_gen_expr(struct tni_gen *gen, const struct tn_expr *expr, struct tni_rope *rope);
/* A condition at the top of WHERE, ON or HAVING: written so that the planner can use its parts. */
enum tn_status tni_gen_cond(struct tni_gen *gen, const struct tn_expr *expr, struct tni_rope *rope);
/* Does SQLite compute all of it as we do, without errors? */
bool tni_gen_is_exact(const struct tni_gen *gen, const struct tn_expr *expr);
/* An aggregate call inside the grouping select. */
enum tn_status tni_gen_agg(struct tni_gen *gen, const struct tn_expr *expr, struct tni_rope *rope);
/* "2 DESC NULLS FIRST": what follows a sort expression. */
void tni_gen_direction(struct tni_gen *gen, const struct tn_sort_item *sort, struct tni_rope *rope);
/* Aggregates of the select itself in `expr`, window clauses included, are added to the scope. */
void tni_gen_collect(struct tni_gen *gen, struct tni_gen_scope *scope, const struct tn_expr *expr);
/* A query whose columns are c0, c1, …; `used` NULL = all of them. */
enum tn_status tni_gen_select(struct tni_gen *gen, const struct tn_query *query, const bool *used,
                              struct tni_rope *rope);
/* As above, as a slot where that is possible. */
enum tn_status tni_gen_derived(struct tni_gen *gen, const struct tn_query *query, const bool *used,
                               struct tni_rope *rope);
/* Relations that the expression reads, subqueries included: calls `each` per column reference. */
void tni_gen_refs(const struct tn_expr *expr, void (*each)(void *ctx, const struct tn_expr *ref),
                  void *ctx);
enum tn_status tni_gen_enter(struct tni_gen *gen);
static inline void tni_gen_leave(struct tni_gen *gen)
{
    gen->depth--;
}
/* Grow an array in the arena; returns its new place. */
void *tni_gen_grow(struct tni_gen *gen, void *items, uint32_t count, uint32_t *io_cap, size_t size);

#endif
