/* Covers global tables that several queries join: kept once (the first query leads, the others
 * look at its table), joined by all of them on every partition; taken over when the leader is
 * dropped or replaced, after a restart and a recovery; not shared when the topic is read in
 * another form; a record that its policy refuses stops all of them.
 */
#include <stdio.h>

#include "connectors/formats.h"
#include "tests/check.h"
#include "tests/support/engine_world.h"

#define PARTITIONS 2

#define settle(w) CHECK(engine_world_settle(w))

static struct tn_plan *join_plan(const char *name, uint32_t store_id, enum tn_policy policy)
{
    struct plan_kit kit = kit_new(name);
    struct tn_topic_decl *names = kit_decl(&kit, "names", "key INTEGER, name VARCHAR", 1,
                                           &tn_format_kafka, &tn_format_json, PARTITIONS);
    names->is_table = names->is_global = true;
    names->on_error = policy;
    int source = kit_source(&kit, kit_decl(&kit, "events", "key INTEGER, g INTEGER", 1,
                                           &tn_format_kafka, &tn_format_json, PARTITIONS));
    int table = kit_materialize(&kit, kit_source(&kit, names), "names");
    kit_store(&kit)->id = store_id;
    int join = kit_join_global(&kit, source, table, kit_col(&kit, source, "g"));
    struct tn_expr *exprs[] = {kit_at(&kit, kit.nodes[join].schema, 0), kit_col(&kit, join, "name"),
                               NULL};
    int project = kit_project(&kit, join, "key INTEGER, name VARCHAR", exprs);
    kit_sink(&kit, project,
             kit_decl(&kit, name, "key INTEGER, name VARCHAR", 1, &tn_format_kafka, &tn_format_json,
                      PARTITIONS));
    kit_stage(&kit, PARTITIONS);
    return kit_done(&kit);
}

static void add(struct engine_world *w, const char *name, uint32_t store_id)
{
    engine_world_add(w, join_plan(name, store_id, TN_POLICY_DEAD_LETTER));
}

static void name(struct engine_world *w, int32_t key, const char *text)
{
    char json[64];
    snprintf(json, sizeof json, "{\"name\":\"%s\"}", text);
    engine_world_put(w, "names", key, json, 1);
}

static void open_world(struct engine_world *w)
{
    static const char *const topics[] = {"events", "names", "one", "two", "three"};
    engine_world_init(w);
    for (size_t i = 0; i < sizeof topics / sizeof *topics; i++)
        engine_world_topic(w, topics[i], PARTITIONS);
    for (int key = 0; key < 50; key++) {
        char text[8];
        snprintf(text, sizeof text, "n%d", key);
        name(w, key, text);
    }
}

/* An event that looks up name `g`: the last record that is in the topic then, and how many. */
static const char *joined(struct engine_world *w, int g, const char *sink)
{
    static char text[128];
    char json[32];
    int records = 0;
    snprintf(json, sizeof json, "{\"g\":%d}", g);
    engine_world_put(w, "events", 1, json, 5);
    settle(w);
    for (int32_t p = 0; p < PARTITIONS; p++) {
        size_t cursor = 0;
        struct tn_mem_record r;
        while (tn_mem_log_next(w->log, sink, p, &cursor, &r))
            snprintf(text, sizeof text, "%d %.*s", ++records, TN_STR_FMT(r.value));
    }
    return text;
}

static struct tni_task *global_of(struct engine_world *w, const char *query_id)
{
    struct tni_query *query = tni_engine_find(w->engine, query_id);
    CHECK(query && query->tasks[0].is_global);
    return &query->tasks[0];
}

static int64_t keys_of(struct engine_world *w, const char *query_id)
{
    struct tni_task *task = global_of(w, query_id);
    struct tni_ktable_stats stats = {0};
    if (task->ops[task->table_node].kt)
        tni_ktable_stats(task->ops[task->table_node].kt, &stats);
    return stats.keys;
}

static void test_shared(void)
{
    struct engine_world w;
    open_world(&w);
    add(&w, "one", 1);
    add(&w, "two", 2);
    settle(&w);
    CHECK(!global_of(&w, "one")->leader);
    CHECK(global_of(&w, "two")->leader == global_of(&w, "one"));
    CHECK_INT(keys_of(&w, "one"), 50);
    CHECK_INT(keys_of(&w, "two"), 0);
    CHECK_STR(tn_str_of(joined(&w, 7, "one")), "1 {\"name\":\"n7\"}");
    CHECK_STR(tn_str_of(joined(&w, 8, "two")), "2 {\"name\":\"n8\"}");
    name(&w, 7, "n7x");
    settle(&w);
    CHECK_STR(tn_str_of(joined(&w, 7, "two")), "3 {\"name\":\"n7x\"}");
    engine_world_release(&w);
}

static void test_taken_over(void)
{
    struct engine_world w;
    open_world(&w);
    add(&w, "one", 1);
    add(&w, "two", 2);
    add(&w, "three", 3);
    settle(&w);
    CHECK_OK(tn_engine_drop(w.engine, "one", &w.err), &w.err);
    settle(&w);
    CHECK(!global_of(&w, "two")->leader);
    CHECK(global_of(&w, "three")->leader == global_of(&w, "two"));
    CHECK_INT(keys_of(&w, "two"), 50);
    CHECK_STR(tn_str_of(joined(&w, 7, "two")), "1 {\"name\":\"n7\"}");
    struct tn_plan *plan = join_plan("two", 2, TN_POLICY_DEAD_LETTER);
    CHECK_OK(tn_engine_replace(w.engine, plan, &w.err), &w.err);
    tn_plan_unref(plan);
    settle(&w);
    CHECK(!global_of(&w, "three")->leader);
    CHECK(global_of(&w, "two")->leader == global_of(&w, "three"));
    CHECK_STR(tn_str_of(joined(&w, 8, "two")), "2 {\"name\":\"n8\"}");
    CHECK_OK(tn_engine_drop(w.engine, "two", &w.err), &w.err); /* a follower: nothing moves */
    plan = join_plan("three", 3, TN_POLICY_DEAD_LETTER);
    CHECK_OK(tn_engine_replace(w.engine, plan, &w.err), &w.err); /* alone: its own rows again */
    tn_plan_unref(plan);
    settle(&w);
    CHECK(!global_of(&w, "three")->leader);
    CHECK_STR(tn_str_of(joined(&w, 9, "three")), "3 {\"name\":\"n9\"}");
    engine_world_release(&w);
}

static void test_restart(void)
{
    struct engine_world w;
    open_world(&w);
    w.config.is_flush_every_commit = true;
    tn_engine_close(w.engine);
    engine_world_open(&w);
    add(&w, "one", 1);
    add(&w, "two", 2);
    settle(&w);
    CHECK_STR(tn_str_of(joined(&w, 7, "two")), "1 {\"name\":\"n7\"}");
    for (int round = 0; round < 2; round++) {
        round ? tn_engine_close(w.engine) : tni_engine_abandon(w.engine);
        engine_world_open(&w);
        add(&w, "one", 1);
        add(&w, "two", 2);
        settle(&w);
        CHECK_STR(tn_str_of(joined(&w, 8, "two")),
                  round ? "3 {\"name\":\"n8\"}" : "2 {\"name\":\"n8\"}");
    }
    atomic_store(&w.engine->is_recover_wanted, true);
    settle(&w);
    CHECK_STR(tn_str_of(joined(&w, 9, "two")), "4 {\"name\":\"n9\"}");
    CHECK_STR(tn_str_of(joined(&w, 9, "one")), "5 {\"name\":\"n9\"}");
    engine_world_release(&w);
}

static void test_apart_and_failing(void)
{
    struct engine_world w;
    struct tn_query_info info;
    open_world(&w);
    engine_world_add(&w, join_plan("one", 1, TN_POLICY_FAIL));
    engine_world_add(&w, join_plan("two", 2, TN_POLICY_FAIL));
    add(&w, "three", 3); /* another policy: it sees other rows */
    settle(&w);
    CHECK(global_of(&w, "two")->leader == global_of(&w, "one"));
    CHECK(!global_of(&w, "three")->leader);
    engine_world_put(&w, "names", 3, "{\"name\":", 1);
    settle(&w);
    CHECK(engine_world_info(&w, "one", &info) && info.state == TN_QUERY_FAILED);
    CHECK(engine_world_info(&w, "two", &info) && info.state == TN_QUERY_FAILED);
    CHECK(strstr(info.error.message, "topic 'names'") != NULL);
    CHECK(engine_world_info(&w, "three", &info) && info.state == TN_QUERY_RUNNING);
    engine_world_release(&w);
}

int main(void)
{
    test_shared();
    test_taken_over();
    test_restart();
    test_apart_and_failing();
    return TN_TEST_END();
}
