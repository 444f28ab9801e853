/* The shapes of the simulation: plans as the planner would make them, and recounts that share
 * nothing with the engine.
 *
 * events: key INTEGER, value {"g":group,"v":number}; users: the same as a table; names: a global
 * table.
 */
#include <limits.h>
#include <stdio.h>

#include "connectors/formats.h"
#include "stream/base/mem.h"
#include "tests/sim/sim.h"

#define VALUE_COLUMNS "key INTEGER, g INTEGER, v BIGINT"

static struct tn_topic_decl *input(struct sim_world *world, struct plan_kit *kit, const char *topic,
                                   bool is_table)
{
    struct tn_topic_decl *decl = kit_decl(kit, topic, VALUE_COLUMNS, 1, &tn_format_kafka,
                                          &tn_format_json, world->partitions_count);
    decl->is_table = is_table;
    return decl;
}

static const struct tn_topic_decl *sink(struct sim_world *world, struct plan_kit *kit,
                                        const struct sim_shape *shape, const char *columns)
{
    struct tn_topic_decl *decl = kit_decl(kit, shape->name, columns, 1, &tn_format_kafka,
                                          &tn_format_json, world->partitions_count);
    decl->is_table = true;
    decl->window = shape->window;
    decl->window_size_ms = SIM_WINDOW_MS;
    return decl;
}

static struct tn_plan *done(struct sim_world *world, struct plan_kit *kit,
                            const struct sim_shape *shape)
{
    kit->plan->is_emit_every_update = world->is_emit_every_update && !shape->is_held;
    kit_stage(kit, world->partitions_count);
    for (uint32_t i = 0; i < kit->stores_count; i++)
        kit->plan->stores[i].id = (uint32_t)(shape - sim_shapes) * 10 + i + 1;
    return kit_done(kit);
}

/* The node whose changes the rest of the plan sees. */
static int held(struct sim_world *world, struct plan_kit *kit, const struct sim_shape *shape,
                int node)
{
    return shape->is_held ? kit_hold(kit, node, world->hold_ms) : node;
}

static bool is_usable(const struct sim_event *e)
{
    return !e->is_bad && !e->is_null_key && !e->is_null_value;
}

/* ---- count by key; the result is the changelog ---- */

static struct tn_plan *count_plan(struct sim_world *world, const struct sim_shape *shape)
{
    static const int from_result[] = {-1, 0};
    struct plan_kit kit = kit_new(shape->name);
    int source = kit_source(&kit, input(world, &kit, "events", false));
    int agg = kit_aggregate(&kit, source, "key", "count()", NULL, "store");
    kit_store(&kit)->changelog = shape->name;
    kit_store(&kit)->is_changelog_result = true;
    kit_store(&kit)->from_result = from_result;
    kit_sink(&kit, agg, sink(world, &kit, shape, "key INTEGER, a0 BIGINT"));
    return done(world, &kit, shape);
}

static void count_recount(struct sim_world *world, int32_t partition, int64_t end,
                          struct sim_rows *rows)
{
    size_t cursor = 0;
    struct sim_event e;
    while (sim_next(world, "events", partition, end, &cursor, &e))
        if (is_usable(&e))
            sim_rows_get(rows, e.key, 0, 0)->a[0] += 1;
}

/* ---- join with a global table, then count ---- */

static struct tn_plan *join_plan(struct sim_world *world, const struct sim_shape *shape)
{
    struct plan_kit kit = kit_new(shape->name);
    struct tn_topic_decl *names =
        kit_decl(&kit, "names", "key INTEGER, name VARCHAR", 1, &tn_format_kafka, &tn_format_json,
                 world->partitions_count);
    names->is_table = names->is_global = true;
    int source = kit_source(&kit, input(world, &kit, "events", false));
    int table = kit_materialize(&kit, kit_source(&kit, names), "names");
    int join = kit_join_global(&kit, source, table, kit_col(&kit, source, "key"));
    int agg = kit_aggregate(&kit, join, "key", "count() latest_by_offset(name)", NULL, "store");
    struct tn_expr *exprs[] = {kit_col(&kit, agg, "key"), kit_col(&kit, agg, "a0"), NULL};
    int project = kit_project(&kit, agg, "key INTEGER, a0 BIGINT", exprs);
    kit_sink(&kit, project, sink(world, &kit, shape, "key INTEGER, a0 BIGINT"));
    return done(world, &kit, shape);
}

/* ---- join with a co-partitioned table ---- */

static struct tn_plan *lookup_plan(struct sim_world *world, const struct sim_shape *shape)
{
    struct plan_kit kit = kit_new(shape->name);
    struct tn_topic_decl *names =
        kit_decl(&kit, "names", "key INTEGER, name VARCHAR", 1, &tn_format_kafka, &tn_format_json,
                 world->partitions_count);
    names->is_table = true;
    int source = kit_source(&kit, input(world, &kit, "events", false));
    int table = kit_materialize(&kit, kit_source(&kit, names), "names");
    int join = kit_join_global(&kit, source, table, kit_col(&kit, source, "key"));
    int agg = kit_aggregate(&kit, join, "key", "count() latest_by_offset(name)", NULL, "store");
    struct tn_expr *exprs[] = {kit_col(&kit, agg, "key"), kit_col(&kit, agg, "a0"), NULL};
    int project = kit_project(&kit, agg, "key INTEGER, a0 BIGINT", exprs);
    kit_sink(&kit, project, sink(world, &kit, shape, "key INTEGER, a0 BIGINT"));
    return done(world, &kit, shape);
}

static void join_recount(struct sim_world *world, int32_t partition, int64_t end,
                         struct sim_rows *rows)
{
    size_t cursor = 0;
    struct sim_event e;
    while (sim_next(world, "events", partition, end, &cursor, &e))
        if (is_usable(&e) && e.key % 3 != 0) /* every third key has no name */
            sim_rows_get(rows, e.key, 0, 0)->a[0] += 1;
}

/* ---- repartition by group, then count and sum ---- */

static struct tn_plan *group_plan(struct sim_world *world, const struct sim_shape *shape)
{
    struct plan_kit kit = kit_new(shape->name);
    int source = kit_source(&kit, input(world, &kit, "events", false));
    char topic[64];
    snprintf(topic, sizeof topic, "app-%s-repartition", shape->name);
    struct tn_topic_decl *between =
        kit_decl(&kit, topic, "g INTEGER, v BIGINT", 1, &tn_format_kafka, &tn_format_json,
                 world->partitions_count);
    struct tn_expr *exprs[] = {kit_col(&kit, source, "g"), kit_col(&kit, source, "v"), NULL};
    kit_repartition(&kit, source, between, exprs);
    kit_stage(&kit, world->partitions_count);
    int again = kit_source(&kit, between);
    int agg = kit_aggregate(&kit, again, "g", "count() sum(v)", NULL, "store");
    kit_sink(&kit, agg, sink(world, &kit, shape, "g INTEGER, a0 BIGINT, a1 BIGINT"));
    return done(world, &kit, shape);
}

/* The same, folded on the way; not where every update is shown, as the planner has it. */
static struct tn_plan *fold_plan(struct sim_world *world, const struct sim_shape *shape)
{
    if (world->is_emit_every_update)
        return group_plan(world, shape);
    struct plan_kit kit = kit_new(shape->name);
    int source = kit_source(&kit, input(world, &kit, "events", false));
    struct tn_expr *exprs[] = {kit_col(&kit, source, "g"), kit_col(&kit, source, "v"), NULL};
    int rows = kit_project(&kit, source, "g INTEGER, v BIGINT", exprs);
    char topic[64];
    snprintf(topic, sizeof topic, "app-%s-repartition", shape->name);
    int agg = kit_fold(&kit, rows, topic, "g", "count() sum(v)", "store", world->partitions_count);
    kit_sink(&kit, agg, sink(world, &kit, shape, "g INTEGER, a0 BIGINT, a1 BIGINT"));
    return done(world, &kit, shape);
}

static void group_recount(struct sim_world *world, int32_t partition, int64_t end,
                          struct sim_rows *rows)
{
    size_t cursor = 0;
    struct sim_event e;
    while (sim_next(world, "events", partition, end, &cursor, &e)) {
        if (e.is_bad || e.is_null_value)
            continue;
        struct sim_row *row = sim_rows_get(rows, e.g, 0, 0);
        row->a[0] += 1;
        row->a[1] += (double)e.v;
    }
}

/* ---- average: its own changelog ---- */

static struct tn_plan *avg_plan(struct sim_world *world, const struct sim_shape *shape)
{
    struct plan_kit kit = kit_new(shape->name);
    int source = kit_source(&kit, input(world, &kit, "events", false));
    int agg = kit_aggregate(&kit, source, "key", "avg(v) max(v)", NULL, "store");
    kit_sink(&kit, agg, sink(world, &kit, shape, "key INTEGER, a0 DOUBLE, a1 BIGINT"));
    return done(world, &kit, shape);
}

static void avg_recount(struct sim_world *world, int32_t partition, int64_t end,
                        struct sim_rows *rows)
{
    struct sim_rows counts = {0};
    size_t cursor = 0;
    struct sim_event e;
    while (sim_next(world, "events", partition, end, &cursor, &e)) {
        if (!is_usable(&e))
            continue;
        struct sim_row *n = sim_rows_get(&counts, e.key, 0, 0);
        struct sim_row *row = sim_rows_get(rows, e.key, 0, 0);
        row->a[0] = (row->a[0] * n->a[0] + (double)e.v) / (n->a[0] + 1);
        row->a[1] = n->a[0] == 0 || (double)e.v > row->a[1] ? (double)e.v : row->a[1];
        n->a[0] += 1;
    }
    sim_rows_release(&counts);
}

/* ---- HAVING count between 3 and 6: comes and goes ---- */

static struct tn_plan *having_plan(struct sim_world *world, const struct sim_shape *shape)
{
    struct plan_kit kit = kit_new(shape->name);
    int source = kit_source(&kit, input(world, &kit, "events", false));
    int agg = kit_aggregate(&kit, source, "key", "count()", NULL, "store");
    agg = held(world, &kit, shape, agg);
    int low =
        kit_filter(&kit, agg, kit_call(&kit, ">=", kit_col(&kit, agg, "a0"), kit_int(&kit, 3)));
    int high =
        kit_filter(&kit, low, kit_call(&kit, "<", kit_col(&kit, low, "a0"), kit_int(&kit, 7)));
    kit_sink(&kit, high, sink(world, &kit, shape, "key INTEGER, a0 BIGINT"));
    return done(world, &kit, shape);
}

static void having_recount(struct sim_world *world, int32_t partition, int64_t end,
                           struct sim_rows *rows)
{
    struct sim_rows counts = {0};
    count_recount(world, partition, end, &counts);
    for (size_t i = 0; i < counts.count; i++)
        if (counts.items[i].a[0] >= 3 && counts.items[i].a[0] < 7)
            sim_rows_add(rows, counts.items[i]);
    sim_rows_release(&counts);
}

/* ---- table grouped by a column: changes retract over a repartition ---- */

static struct tn_plan *retract_plan(struct sim_world *world, const struct sim_shape *shape)
{
    struct plan_kit kit = kit_new(shape->name);
    int source = kit_source(&kit, input(world, &kit, "users", true));
    int table = kit_materialize(&kit, source, "users");
    char topic[64];
    snprintf(topic, sizeof topic, "app-%s-repartition", shape->name);
    struct tn_topic_decl *between =
        kit_decl(&kit, topic, "g INTEGER, v BIGINT", 1, &tn_format_kafka, &tn_format_json,
                 world->partitions_count);
    between->is_table = true;
    struct tn_expr *exprs[] = {kit_col(&kit, table, "g"), kit_col(&kit, table, "v"), NULL};
    kit_repartition(&kit, table, between, exprs);
    kit_stage(&kit, world->partitions_count);
    int again = kit_source(&kit, between);
    int agg = kit_aggregate(&kit, again, "g", "count() sum(v)", NULL, "store");
    agg = held(world, &kit, shape, agg);
    kit_sink(&kit, agg, sink(world, &kit, shape, "g INTEGER, a0 BIGINT, a1 BIGINT"));
    return done(world, &kit, shape);
}

static void retract_recount(struct sim_world *world, int32_t partition, int64_t end,
                            struct sim_rows *rows)
{
    struct sim_rows latest = {0};
    size_t cursor = 0;
    struct sim_event e;
    while (sim_next(world, "users", partition, end, &cursor, &e)) {
        if (e.is_bad || e.is_null_key)
            continue;
        struct sim_row *row = sim_rows_get(&latest, e.key, 0, 0);
        row->end_ms = 0;
        row->a[0] = e.is_null_value ? -1 : e.g;
        row->a[1] = (double)e.v;
    }
    for (size_t i = 0; i < latest.count; i++) {
        if (latest.items[i].a[0] < 0)
            continue;
        struct sim_row *row = sim_rows_get(rows, (int32_t)latest.items[i].a[0], 0, 0);
        row->a[0] += 1;
        row->a[1] += latest.items[i].a[1];
    }
    sim_rows_release(&latest);
}

/* ---- count, and a filtered table: results held back ---- */

static struct tn_plan *held_plan(struct sim_world *world, const struct sim_shape *shape)
{
    struct plan_kit kit = kit_new(shape->name);
    int source = kit_source(&kit, input(world, &kit, "events", false));
    int agg = kit_aggregate(&kit, source, "key", "count()", NULL, "store");
    agg = held(world, &kit, shape, agg);
    kit_sink(&kit, agg, sink(world, &kit, shape, "key INTEGER, a0 BIGINT"));
    return done(world, &kit, shape);
}

static struct tn_plan *users_plan(struct sim_world *world, const struct sim_shape *shape)
{
    struct plan_kit kit = kit_new(shape->name);
    int source = kit_source(&kit, input(world, &kit, "users", true));
    int table = kit_materialize(&kit, source, "users");
    table = held(world, &kit, shape, table);
    int some =
        kit_filter(&kit, table, kit_call(&kit, ">=", kit_col(&kit, table, "g"), kit_int(&kit, 2)));
    struct tn_expr *exprs[] = {kit_col(&kit, some, "key"), kit_col(&kit, some, "g"),
                               kit_col(&kit, some, "v"), NULL};
    int project = kit_project(&kit, some, "key INTEGER, a0 INTEGER, a1 BIGINT", exprs);
    kit_sink(&kit, project, sink(world, &kit, shape, "key INTEGER, a0 INTEGER, a1 BIGINT"));
    return done(world, &kit, shape);
}

static void users_recount(struct sim_world *world, int32_t partition, int64_t end,
                          struct sim_rows *rows)
{
    struct sim_rows latest = {0};
    size_t cursor = 0;
    struct sim_event e;
    while (sim_next(world, "users", partition, end, &cursor, &e)) {
        if (e.is_bad || e.is_null_key)
            continue;
        struct sim_row *row = sim_rows_get(&latest, e.key, 0, 0);
        row->a[0] = e.is_null_value ? -1 : e.g;
        row->a[1] = (double)e.v;
    }
    for (size_t i = 0; i < latest.count; i++)
        if (latest.items[i].a[0] >= 2)
            sim_rows_add(rows, latest.items[i]);
    sim_rows_release(&latest);
}

/* ---- windows ---- */

static struct tn_window window_of(const struct sim_shape *shape)
{
    struct tn_window window = {
        .kind = shape->window,
        .size_ms = shape->window == TN_WINDOW_SESSION ? SIM_GAP_MS : SIM_WINDOW_MS,
        .advance_ms = SIM_WINDOW_MS,
        .grace_ms = SIM_GRACE_MS,
        .retention_ms = shape->has_expiry ? SIM_WINDOW_MS + SIM_GRACE_MS : 86400000,
        .is_final = shape->is_final};
    return window;
}

static struct tn_plan *window_plan(struct sim_world *world, const struct sim_shape *shape)
{
    struct plan_kit kit = kit_new(shape->name);
    int source = kit_source(&kit, input(world, &kit, "events", false));
    struct tn_window window = window_of(shape);
    int agg = kit_aggregate(&kit, source, "key", "count() sum(v)", &window, "store");
    agg = held(world, &kit, shape, agg);
    kit_sink(&kit, agg, sink(world, &kit, shape, "key INTEGER, a0 BIGINT, a1 BIGINT"));
    return done(world, &kit, shape);
}

static void tumble(struct sim_world *world, int32_t partition, int64_t end, bool is_final,
                   struct sim_rows *rows)
{
    struct sim_rows all = {0};
    size_t cursor = 0;
    int64_t stream_ms = INT64_MIN;
    struct sim_event e;
    while (sim_next(world, "events", partition, end, &cursor, &e)) {
        if (!is_usable(&e))
            continue;
        stream_ms = e.timestamp_ms > stream_ms ? e.timestamp_ms : stream_ms;
        int64_t start = e.timestamp_ms / SIM_WINDOW_MS * SIM_WINDOW_MS;
        if (start + SIM_WINDOW_MS <= stream_ms - SIM_GRACE_MS)
            continue; /* late */
        struct sim_row *row = sim_rows_get(&all, e.key, start, start + SIM_WINDOW_MS);
        row->a[0] += 1;
        row->a[1] += (double)e.v;
    }
    for (size_t i = 0; i < all.count; i++)
        if (!is_final || stream_ms >= all.items[i].end_ms + SIM_GRACE_MS)
            sim_rows_add(rows, all.items[i]);
    sim_rows_release(&all);
}

static void tumble_recount(struct sim_world *world, int32_t partition, int64_t end,
                           struct sim_rows *rows)
{
    tumble(world, partition, end, false, rows);
}

static void final_recount(struct sim_world *world, int32_t partition, int64_t end,
                          struct sim_rows *rows)
{
    tumble(world, partition, end, true, rows);
}

/* Sessions of a key that the row touches become one. */
static void session_add(struct sim_rows *all, const struct sim_event *e, int64_t stream_ms)
{
    struct sim_row merged = {.key = e->key, .start_ms = e->timestamp_ms, .end_ms = e->timestamp_ms};
    merged.a[0] = 1;
    merged.a[1] = (double)e->v;
    size_t kept = 0;
    bool *is_old = tn_alloc_array(all->count + 1, sizeof *is_old);
    for (size_t i = 0; i < all->count; i++) {
        const struct sim_row *s = &all->items[i];
        is_old[i] = s->key == e->key && s->start_ms - SIM_GAP_MS <= e->timestamp_ms &&
                    s->end_ms + SIM_GAP_MS >= e->timestamp_ms;
        if (!is_old[i])
            continue;
        merged.start_ms = s->start_ms < merged.start_ms ? s->start_ms : merged.start_ms;
        merged.end_ms = s->end_ms > merged.end_ms ? s->end_ms : merged.end_ms;
        merged.a[0] += s->a[0];
        merged.a[1] += s->a[1];
    }
    bool is_late = merged.end_ms < stream_ms - SIM_GRACE_MS - SIM_GAP_MS;
    for (size_t i = 0; i < all->count && !is_late; i++)
        if (!is_old[i])
            all->items[kept++] = all->items[i];
    tn_free(is_old);
    if (is_late)
        return;
    all->count = kept;
    sim_rows_add(all, merged);
}

static void session_recount(struct sim_world *world, int32_t partition, int64_t end,
                            struct sim_rows *rows)
{
    struct sim_rows all = {0};
    size_t cursor = 0;
    int64_t stream_ms = INT64_MIN;
    struct sim_event e;
    while (sim_next(world, "events", partition, end, &cursor, &e)) {
        if (!is_usable(&e))
            continue;
        stream_ms = e.timestamp_ms > stream_ms ? e.timestamp_ms : stream_ms;
        session_add(&all, &e, stream_ms);
    }
    for (size_t i = 0; i < all.count; i++)
        sim_rows_add(rows, all.items[i]);
    sim_rows_release(&all);
}

const struct sim_shape sim_shapes[] = {
    {.name = "count",
     .input = "events",
     .columns_count = 1,
     .is_one_stage = true,
     .is_counting = true,
     .plan = count_plan,
     .recount = count_recount},
    {.name = "join",
     .input = "events",
     .columns_count = 1,
     .is_one_stage = true,
     .is_counting = true,
     .plan = join_plan,
     .recount = join_recount},
    {.name = "joinagain", /* the same global table: kept once */
     .input = "events",
     .columns_count = 1,
     .is_one_stage = true,
     .is_counting = true,
     .plan = join_plan,
     .recount = join_recount},
    {.name = "lookup",
     .input = "events",
     .columns_count = 1,
     .is_one_stage = true,
     .is_counting = true,
     .plan = lookup_plan,
     .recount = join_recount},
    {.name = "group",
     .input = "events",
     .columns_count = 2,
     .is_counting = true,
     .plan = group_plan,
     .recount = group_recount},
    {.name = "folded",
     .input = "events",
     .columns_count = 2,
     .is_counting = true,
     .plan = fold_plan,
     .recount = group_recount},
    {.name = "average",
     .input = "events",
     .columns_count = 2,
     .is_one_stage = true,
     .plan = avg_plan,
     .recount = avg_recount},
    {.name = "having",
     .has_tombstones = true,
     .input = "events",
     .columns_count = 1,
     .is_one_stage = true,
     .plan = having_plan,
     .recount = having_recount},
    {.name = "retract",
     .input = "users",
     .columns_count = 2,
     .is_zero_hidden = true,
     .plan = retract_plan,
     .recount = retract_recount},
    {.name = "tumble",
     .input = "events",
     .columns_count = 2,
     .is_one_stage = true,
     .has_window = true,
     .window = TN_WINDOW_TUMBLE,
     .plan = window_plan,
     .recount = tumble_recount},
    {.name = "session",
     .has_tombstones = true,
     .input = "events",
     .columns_count = 2,
     .is_one_stage = true,
     .has_window = true,
     .window = TN_WINDOW_SESSION,
     .plan = window_plan,
     .recount = session_recount},
    {.name = "final",
     .input = "events",
     .columns_count = 2,
     .has_window = true,
     .window = TN_WINDOW_TUMBLE,
     .is_final = true,
     .is_one_stage = true,
     .plan = window_plan,
     .recount = final_recount,
     .recount_table = tumble_recount},
    {.name = "held",
     .input = "events",
     .columns_count = 1,
     .is_one_stage = true,
     .is_counting = true,
     .is_held = true,
     .plan = held_plan,
     .recount = count_recount},
    {.name = "heldhaving",
     .has_tombstones = true,
     .input = "events",
     .columns_count = 1,
     .is_one_stage = true,
     .is_held = true,
     .plan = having_plan,
     .recount = having_recount},
    {.name = "heldretract",
     .input = "users",
     .columns_count = 2,
     .is_zero_hidden = true,
     .is_held = true,
     .plan = retract_plan,
     .recount = retract_recount},
    {.name = "heldusers",
     .has_tombstones = true,
     .input = "users",
     .columns_count = 2,
     .is_one_stage = true,
     .is_held = true,
     .plan = users_plan,
     .recount = users_recount},
    {.name = "heldtumble",
     .input = "events",
     .columns_count = 2,
     .is_one_stage = true,
     .has_window = true,
     .window = TN_WINDOW_TUMBLE,
     .has_expiry = true,
     .is_held = true,
     .plan = window_plan,
     .recount = tumble_recount},
    {.name = "heldsession",
     .has_tombstones = true,
     .input = "events",
     .columns_count = 2,
     .is_one_stage = true,
     .has_window = true,
     .window = TN_WINDOW_SESSION,
     .is_held = true,
     .plan = window_plan,
     .recount = session_recount},
};
const size_t sim_shapes_count = sizeof sim_shapes / sizeof *sim_shapes;
