/* A bound SELECT under `stream` rules: what sql/bind_stream.c makes and sql/plan_stream.c turns
 * into a plan.
 *
 * Flat, as the streaming dialect has no subqueries: sources joined from left to right, one WHERE,
 * one GROUP BY or PARTITION BY. Column references are (rel, column): rel = index of the source,
 * column = index of its schema (the decl's columns, then WINDOWSTART and WINDOWEND for windowed
 * keys). Row times, partitions and offsets are TN_E_PSEUDO with rel = source.
 *
 * Ownership: the statement arena. @thread one statement, one thread
 */
#ifndef TN_SQL_BOUND_STREAM_H
#define TN_SQL_BOUND_STREAM_H

#include "sql/bound.h"
#include "sql/catalog.h"

#define TNI_SOURCES_MAX 16

struct tni_source {
    const struct tn_object *object;
    struct tn_str alias;
    const struct tn_schema *schema;
    bool is_table;
    int line, col;
};

/* Joins source i + 1 to everything left of it: left = right. */
struct tni_join {
    enum tn_join_kind kind;
    struct tn_expr *left, *right;
    bool is_windowed; /* WITHIN */
    int64_t before_ms, after_ms, grace_ms;
    int line, col;
};

enum tni_emit { TNI_EMIT_NONE, TNI_EMIT_CHANGES, TNI_EMIT_FINAL };

struct tni_item {
    struct tn_expr *expr;
    struct tn_str name;
    bool is_from_star;
};

struct tni_stream_query {
    uint32_t sources_count;
    struct tni_source *sources;
    struct tni_join *joins; /* sources_count − 1 */
    struct tn_expr *where;
    uint32_t groups_count;
    struct tn_expr **groups;
    bool is_partitioned;  /* PARTITION BY written */
    uint32_t parts_count; /* 0 with is_partitioned: PARTITION BY NULL */
    struct tn_expr **parts;
    struct tn_expr *having;
    uint32_t items_count;
    struct tni_item *items;
    bool has_aggs;
    struct tn_window window; /* kind NONE without WINDOW */
    enum tni_emit emit;
    int64_t limit; /* −1 = none */
    int line, col; /* of SELECT */
};

#endif
