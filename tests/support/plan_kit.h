/* Hand-built plans for tests of the engine: what the planner of sql/ would make, without SQL.
 *
 * Everything is allocated in the plan's arena. A kit builds one stage at a time; nodes are added in
 * order and named by the number returned. @thread one test
 */
#ifndef TN_TESTS_SUPPORT_PLAN_KIT_H
#define TN_TESTS_SUPPORT_PLAN_KIT_H

#include "stream/plan.h"

#define KIT_NODES_MAX 16

struct plan_kit {
    struct tn_plan *plan;
    struct tn_arena *arena;
    struct tn_node nodes[KIT_NODES_MAX];
    uint32_t nodes_count;
    uint32_t stores_count;
};

struct plan_kit kit_new(const char *query_id);
/* "id INTEGER, name VARCHAR": INTEGER, BIGINT, DOUBLE, VARCHAR, BOOLEAN. */
const struct tn_schema *kit_schema(struct plan_kit *kit, const char *text);
/* The first keys_count columns are the key; one key column is bare. */
struct tn_topic_decl *kit_decl(struct plan_kit *kit, const char *topic, const char *columns,
                               uint32_t keys_count, const struct tn_format *key_format,
                               const struct tn_format *value_format, int32_t partitions_count);

struct tn_expr *kit_col(struct plan_kit *kit, int node, const char *name);
struct tn_expr *kit_at(struct plan_kit *kit, const struct tn_schema *schema, uint32_t column);
struct tn_expr *kit_int(struct plan_kit *kit, int64_t value);
struct tn_expr *kit_call(struct plan_kit *kit, const char *name, struct tn_expr *a,
                         struct tn_expr *b);

int kit_source(struct plan_kit *kit, const struct tn_topic_decl *decl);
int kit_filter(struct plan_kit *kit, int input, struct tn_expr *condition);
/* exprs end with NULL; columns = "a INTEGER, …" of the output. */
int kit_project(struct plan_kit *kit, int input, const char *columns, struct tn_expr *const *exprs);
int kit_join_global(struct plan_kit *kit, int input, int table, struct tn_expr *key);
/* Results of the store last made are held back; its input is that node. */
int kit_hold(struct plan_kit *kit, int input, int64_t interval_ms);
int kit_materialize(struct plan_kit *kit, int input, const char *store);
int kit_repartition(struct plan_kit *kit, int input, const struct tn_topic_decl *decl,
                    struct tn_expr *const *exprs);
int kit_sink(struct plan_kit *kit, int input, const struct tn_topic_decl *decl);

/* calls: "count()", "sum(amount)", … separated by blanks. Output names: key columns, then a0, a1 …
 */
int kit_aggregate(struct plan_kit *kit, int input, const char *keys, const char *calls,
                  const struct tn_window *window, const char *store);
/* The store of the last kit_aggregate or kit_materialize. */
/* The same over a repartition topic: its rows are folded. The input's first columns are the keys;
 * ends the stage. */
int kit_fold(struct plan_kit *kit, int input, const char *topic, const char *keys,
             const char *calls, const char *store, int32_t partitions_count);
struct tn_store_spec *kit_store(struct plan_kit *kit);

/* Ends the stage begun. */
void kit_stage(struct plan_kit *kit, int32_t partitions_count);
/* Checks and compiles; aborts the test when the plan is wrong. */
struct tn_plan *kit_done(struct plan_kit *kit);

#endif
