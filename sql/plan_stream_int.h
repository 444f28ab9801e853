/* Inside the streaming planner. A `flow` is the point the plan has reached: the last node, where
 * each column of each source is in its rows, and how those rows are keyed. Steps append nodes and
 * move the flow on.
 */
#ifndef TN_SQL_PLAN_STREAM_INT_H
#define TN_SQL_PLAN_STREAM_INT_H

#include "sql/bind_build.h"
#include "sql/plan_stream.h"

#define TNI_PSEUDO_COUNT 5

struct tni_stage {
    uint32_t nodes_count;
    struct tn_node nodes[TN_NODES_MAX];
    int32_t partitions;
};

/* How rows are keyed: the expressions whose values the record key holds, and its wire form. */
struct tni_key {
    uint32_t count;
    struct tn_expr *const *exprs;
    struct tn_expr *const *alts; /* other side of a join: names the key in SELECT; NULL = none */
    bool is_alt_equal;           /* INNER: the values are equal (LEFT: NULL when unmatched) */
    const struct tn_format *format;
    char delimiter;
};

struct tni_planner {
    const struct tni_plan_request *request;
    const struct tni_stream_query *query;
    struct tn_plan *plan;
    struct tn_arena *arena; /* the plan's */
    uint32_t stages_count;
    struct tni_stage *stages[TN_STAGES_MAX];
    uint32_t stores_count;
    struct tn_store_spec stores[TN_STAGES_MAX];
    uint32_t repartitions_count;
    /* flow */
    int node; /* in the last stage */
    const struct tn_schema *schema;
    bool is_table;
    int *columns[TNI_SOURCES_MAX];
    int pseudo[TNI_SOURCES_MAX][TNI_PSEUDO_COUNT]; /* −1 = hidden column of the batch */
    struct tni_key key;
    struct tn_topic_decl base; /* left-most source: what the sink inherits */
    /* sink */
    const char *changelog_why;
    struct tn_topic_decl sink;
};

/* plan_stream.c */
struct tni_stage *tni_stage_add(struct tni_planner *pl, int32_t partitions);
struct tni_stage *tni_stage_last(struct tni_planner *pl);
/* Append a node; its index in the stage. */
int tni_node_add(struct tni_planner *pl, enum tn_node_kind kind, int input,
                 const struct tn_schema *schema, struct tn_err *err);
struct tn_node *tni_node_at(struct tni_planner *pl, int node);
int tni_store_add(struct tni_planner *pl, const char *name, int node);
/* EMIT_INTERVAL_MS: results of the store just added are held back; its own store is added, too. */
enum tn_status tni_flow_hold(struct tni_planner *pl, struct tn_err *err);
/* Topic of a store whose rows no result topic gives back. */
const char *tni_store_changelog(struct tni_planner *pl, const char *store);
struct tn_schema *tni_schema_new(struct tn_arena *arena, uint32_t fields_count);
enum tn_status tni_flow_filter(struct tni_planner *pl, const struct tn_expr *condition,
                               struct tn_err *err);

/* plan_stream_lower.c: copy into the plan's arena, columns of sources → columns of the flow. */
struct tn_expr *tni_lower(struct tni_planner *pl, const struct tn_expr *expr);
/* The same, and subtrees equal to from[i] become column to[i] of the flow (aggregate results, group
 * keys). */
struct tn_expr *tni_lower_with(struct tni_planner *pl, const struct tn_expr *expr,
                               const struct tn_expr *const *from, const int *to, uint32_t count);
/* Is one of from[…] somewhere in the tree? Calls `each` for every node, parents first; false stops
 * the descent. */
void tni_expr_walk(const struct tn_expr *expr, bool (*each)(void *ctx, const struct tn_expr *expr),
                   void *ctx);

/* plan_stream_join.c */
enum tn_status tni_flow_source(struct tni_planner *pl, struct tn_err *err);
enum tn_status tni_flow_join(struct tni_planner *pl, uint32_t index, struct tn_err *err);
/* Write the rows to an internal topic keyed by keys[…] and go on in a new stage. */
enum tn_status tni_flow_repartition(struct tni_planner *pl, struct tn_expr *const *keys,
                                    const struct tn_str *names, uint32_t keys_count,
                                    const struct tn_format *format, char delimiter,
                                    int32_t partitions, const char *step, struct tn_err *err);

/* plan_stream_agg.c */
enum tn_status tni_flow_aggregate(struct tni_planner *pl, struct tn_err *err);

/* The same with the columns of the internal topic given: exprs over the flow, keys first. */
enum tn_status tni_flow_exchange(struct tni_planner *pl, struct tn_expr *const *exprs,
                                 const struct tn_schema *schema, uint32_t keys_count,
                                 const struct tn_format *format, char delimiter, int32_t partitions,
                                 const char *step, struct tn_err *err);

/* The same for rows that are folded first: `fold` has the fields of a folding REPARTITION
 * (stream/plan.h) and the schema of its exprs. */
enum tn_status tni_flow_fold(struct tni_planner *pl, const struct tn_node *fold,
                             const struct tn_format *format, char delimiter, int32_t partitions,
                             const char *step, struct tn_err *err);

/* plan_stream_sink.c */
enum tn_status tni_flow_project(struct tni_planner *pl, struct tn_err *err);
/* Formats, delimiters, topic and partitions of the sink into pl->sink; `keys_count` 0 = no key. */
enum tn_status tni_sink_begin(struct tni_planner *pl, uint32_t keys_count, struct tn_err *err);
/* Columns, wrapping, row time; checks that the formats can carry them. */
enum tn_status tni_sink_columns(struct tni_planner *pl, const struct tn_schema *schema,
                                uint32_t keys_count, struct tn_err *err);
enum tn_status tni_flow_sink(struct tni_planner *pl, struct tn_err *err);
/* Which item is key i (its expression, or an equal one)? Exactly one must be; also fills values[…]
 * with the others in order. Missing key items of a SELECT * are added under generated names: then
 * item is −1. */
struct tni_columns {
    uint32_t keys_count, values_count;
    const struct tn_expr **keys;
    struct tn_str *key_names;
    const struct tni_item **values;
};
enum tn_status tni_split_items(struct tni_planner *pl, const struct tni_key *key,
                               struct tni_columns *ret_columns, struct tn_err *err);
/* INSERT INTO: the result's columns must be those of the target; casts them. */
enum tn_status tni_insert_check(struct tni_planner *pl, const struct tn_schema *schema,
                                uint32_t keys_count, struct tn_expr **exprs, struct tn_err *err);

#endif
