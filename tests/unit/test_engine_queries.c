/* Covers the engine's queries over the in-memory log and state: failures (policy fail, a record the
 * log refuses, lost and fenced commits), dead letters byte by byte, a query added late, paused,
 * dropped and created again, pins and key filters, subscriptions, freshness over a repartition, the
 * order of a join's inputs, commit knobs, push queries without a sink.
 */
#include <stdio.h>

#include "connectors/formats.h"
#include "tests/check.h"
#include "tests/support/engine_world.h"

#define PARTITIONS 2

#define settle(w) CHECK(engine_world_settle(w))

static void open_world(struct engine_world *w)
{
    engine_world_init(w);
    engine_world_topic(w, "events", PARTITIONS);
}

static struct tn_topic_decl *events(struct plan_kit *kit)
{
    return kit_decl(kit, "events", "key INTEGER, g INTEGER", 1, &tn_format_kafka, &tn_format_json,
                    PARTITIONS);
}

/* Count by key; the result topic has the query's name. */
static struct tn_plan *count_plan(const char *name, uint32_t store_id, enum tn_policy policy)
{
    struct plan_kit kit = kit_new(name);
    struct tn_topic_decl *decl = events(&kit);
    decl->on_error = policy;
    int agg = kit_aggregate(&kit, kit_source(&kit, decl), "key", "count() sum(g)", NULL, "store");
    kit_store(&kit)->id = store_id;
    struct tn_topic_decl *sink = kit_decl(&kit, name, "key INTEGER, n BIGINT, total INTEGER", 1,
                                          &tn_format_kafka, &tn_format_json, PARTITIONS);
    sink->is_table = true;
    kit_sink(&kit, agg, sink);
    kit_stage(&kit, PARTITIONS);
    return kit_done(&kit);
}

static void add_count(struct engine_world *w, const char *name, uint32_t store_id,
                      enum tn_policy policy)
{
    engine_world_topic(w, name, PARTITIONS);
    engine_world_add(w, count_plan(name, store_id, policy));
}

static void put(struct engine_world *w, int32_t key, int g)
{
    char json[32];
    snprintf(json, sizeof json, "{\"g\":%d}", g);
    engine_world_put(w, "events", key, json, 1000);
}

/* "key:n " of all rows that pass the filter, as of the pin (NULL: now), in key order. */
static const char *rows(struct engine_world *w, const char *query_id, struct tn_pin *pin,
                        const struct tn_key_filter *filter)
{
    static char text[4096];
    int64_t counts[100] = {0};
    struct tn_pin *own = NULL;
    struct tn_table_scan *scan = NULL;
    struct tn_batch *batch = NULL;
    if (!pin)
        CHECK_OK(tn_engine_pin(w->engine, &own, &w->err), &w->err);
    enum tn_status st =
        tn_table_scan_open(w->engine, pin ? pin : own, query_id, filter, NULL, &scan, &w->err);
    while (st == TN_OK && (st = tn_table_scan_next(scan, &batch, &w->err)) == TN_OK)
        for (uint32_t i = 0; i < batch->rows_count; i++)
            counts[tn_column_i32(&batch->columns[0], i)] = tn_column_i64(&batch->columns[1], i);
    CHECK(st == TN_END);
    tn_table_scan_close(scan);
    tn_pin_free(own);
    size_t at = 0;
    text[0] = 0;
    for (int key = 0; key < 100; key++)
        if (counts[key])
            at += (size_t)snprintf(text + at, sizeof text - at, "%d:%lld ", key,
                                   (long long)counts[key]);
    return text;
}

/* ---- failures ---- */

static void test_policy_fail(void)
{
    struct engine_world w;
    struct tn_query_info info;
    open_world(&w);
    add_count(&w, "strict", 1, TN_POLICY_FAIL);
    add_count(&w, "lenient", 2, TN_POLICY_DEAD_LETTER);
    for (int i = 0; i < 5; i++)
        put(&w, 1, i);
    engine_world_put(&w, "events", 1, "{\"g\":\"x\"}", 1000);
    put(&w, 1, 9);
    settle(&w);
    CHECK(engine_world_info(&w, "strict", &info));
    CHECK(info.state == TN_QUERY_FAILED);
    CHECK(strstr(info.error.message, "offset 5") != NULL);
    CHECK(strstr(info.error.message, "'g'") != NULL);
    CHECK_STR(tn_str_of(rows(&w, "strict", NULL, NULL)), "1:5 "); /* what came before it counts */
    CHECK_STR(tn_str_of(rows(&w, "lenient", NULL, NULL)), "1:6 ");
    CHECK(engine_world_info(&w, "lenient", &info));
    CHECK(info.state == TN_QUERY_RUNNING);
    CHECK_INT(info.rows_bad, 1);
    CHECK_INT(info.rows_in, 6);
    engine_world_release(&w);
}

static void test_dead_letter_bytes(void)
{
    struct engine_world w;
    struct tn_buf buf;
    open_world(&w);
    tn_buf_init(&buf, 1 << 16);
    add_count(&w, "first", 1, TN_POLICY_DEAD_LETTER);
    add_count(&w, "second", 2, TN_POLICY_DEAD_LETTER);
    engine_world_put(&w, "events", 1, "{\"g\":", 7);
    settle(&w);
    size_t cursor = 0;
    struct tn_mem_record r;
    CHECK(tn_mem_log_next(w.log, "app-dead-letters", 0, &cursor, &r));
    tn_buf_add_str(&buf, r.value);
    const char *text = tn_buf_cstr(&buf);
    CHECK(strstr(text, "{\"topic\":\"events\",\"partition\":") == text);
    CHECK(strstr(text, "\"offset\":0,\"timestamp\":7,\"query\":\"") != NULL);
    CHECK(strstr(text, "\"key\":\"AAAAAQ==\",\"value\":\"eyJnIjo=\"}") != NULL);
    CHECK_INT(r.timestamp_ms, 7);
    CHECK(!tn_mem_log_next(w.log, "app-dead-letters", 0, &cursor, &r)); /* once for two queries */
    tn_buf_release(&buf);
    engine_world_release(&w);
}

/* The log refuses what one query writes: it fails alone, the round is processed again without it.
 */
static void test_poisoned_query(void)
{
    struct engine_world w;
    struct tn_query_info info;
    open_world(&w);
    add_count(&w, "good", 1, TN_POLICY_DEAD_LETTER);
    add_count(&w, "doomed", 2, TN_POLICY_DEAD_LETTER);
    put(&w, 3, 1);
    settle(&w);
    CHECK_OK(w.log->type->topic_delete(w.log, "doomed", &w.err), &w.err);
    put(&w, 3, 1);
    settle(&w);
    CHECK(engine_world_info(&w, "doomed", &info));
    CHECK(info.state == TN_QUERY_FAILED);
    CHECK(strstr(info.error.message, "doomed") != NULL);
    CHECK_STR(tn_str_of(rows(&w, "good", NULL, NULL)), "3:2 ");
    put(&w, 3, 1);
    settle(&w);
    CHECK_STR(tn_str_of(rows(&w, "good", NULL, NULL)), "3:3 ");
    engine_world_release(&w);
}

struct script {
    struct tn_mem_fault polls[4];
    uint32_t count, at;
};

static struct tn_mem_fault play_script(void *ctx, enum tn_mem_call call)
{
    struct script *script = ctx;
    if (call == TN_MEM_COMMIT_POLL && script->at < script->count)
        return script->polls[script->at++];
    return (struct tn_mem_fault){.st = TN_OK};
}

static void test_commit_outcomes(void)
{
    static const struct tn_mem_fault outcomes[] = {{.st = TN_E_IO},
                                                   {.st = TN_E_INDEFINITE, .is_applied = false},
                                                   {.st = TN_E_INDEFINITE, .is_applied = true}};
    for (size_t i = 0; i < sizeof outcomes / sizeof *outcomes; i++) {
        struct engine_world w;
        struct script script = {.polls = {outcomes[i]}, .count = 1};
        struct tn_buf buf;
        open_world(&w);
        tn_buf_init(&buf, 1 << 16);
        add_count(&w, "counts", 1, TN_POLICY_DEAD_LETTER);
        settle(&w);
        tn_mem_log_set_fault(w.log, play_script, &script);
        put(&w, 4, 2);
        settle(&w);
        CHECK_INT(script.at, 1);
        CHECK_STR(tn_str_of(rows(&w, "counts", NULL, NULL)), "4:1 ");
        put(&w, 4, 2);
        settle(&w);
        engine_world_dump(&w, "counts", true, &buf);
        CHECK_STR(tn_buf_str(&buf), "4={\"n\":1,\"total\":2}\n4={\"n\":2,\"total\":4}\n");
        tn_buf_release(&buf);
        engine_world_release(&w);
    }
}

static void test_fenced(void)
{
    struct engine_world w;
    struct script script = {.polls = {{.st = TN_E_FENCED}}, .count = 1};
    struct tn_buf buf;
    open_world(&w);
    tn_buf_init(&buf, 1 << 16);
    add_count(&w, "counts", 1, TN_POLICY_DEAD_LETTER);
    settle(&w);
    tn_mem_log_set_fault(w.log, play_script, &script);
    put(&w, 4, 2);
    enum tn_status st = TN_OK;
    for (int i = 0; i < 1000 && !tn_failed(st); i++) {
        st = tn_engine_step(w.engine, &w.err);
        fake_clock_advance(&w.clock, 1);
    }
    CHECK(st == TN_E_FENCED);
    struct tn_plan *plan = count_plan("other", 2, TN_POLICY_SKIP);
    CHECK(tn_engine_add(w.engine, plan, &w.err) == TN_E_FENCED);
    CHECK(strstr(w.err.message, "processing has stopped") != NULL);
    tn_plan_unref(plan);
    CHECK(!tn_engine_is_ready(w.engine, &buf));
    tn_engine_close(w.engine); /* writes nothing anywhere */
    engine_world_dump(&w, "counts", true, &buf);
    CHECK_STR(tn_buf_str(&buf), "");
    engine_world_open(&w);
    engine_world_add(&w, count_plan("counts", 1, TN_POLICY_DEAD_LETTER));
    settle(&w);
    CHECK_STR(tn_str_of(rows(&w, "counts", NULL, NULL)), "4:1 ");
    tn_buf_release(&buf);
    engine_world_release(&w);
}

/* ---- coming and going ---- */

static uint32_t sources_count(const struct engine_world *w)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < w->engine->workers_count; i++)
        count += w->engine->workers[i].sources_count;
    return count;
}

static void test_late_query(void)
{
    struct engine_world w;
    open_world(&w);
    add_count(&w, "early", 1, TN_POLICY_DEAD_LETTER);
    for (int i = 0; i < 500; i++)
        put(&w, i % 7, 1);
    settle(&w);
    add_count(&w, "late", 2, TN_POLICY_DEAD_LETTER);
    settle(&w);
    CHECK_INT(sources_count(&w), PARTITIONS); /* it caught up and shares the reading now */
    for (int i = 0; i < 500; i++)
        put(&w, i % 7, 1);
    CHECK_OK(tn_engine_pause(w.engine, "late", true, &w.err), &w.err);
    settle(&w);
    CHECK_OK(tn_engine_pause(w.engine, "late", false, &w.err), &w.err);
    settle(&w);
    char want[256];
    snprintf(want, sizeof want, "%s", rows(&w, "early", NULL, NULL));
    CHECK_STR(tn_str_of(want), "0:144 1:144 2:144 3:142 4:142 5:142 6:142 ");
    CHECK_STR(tn_str_of(rows(&w, "late", NULL, NULL)), want);
    CHECK_INT(sources_count(&w), PARTITIONS);
    engine_world_release(&w);
}

static bool count_position(void *ctx, const struct tn_position_info *info)
{
    *(int *)ctx += strcmp(info->query_id, "counts") == 0;
    return true;
}

static void test_drop_and_create(void)
{
    struct engine_world w;
    struct tn_topic topic;
    open_world(&w);
    add_count(&w, "counts", 1, TN_POLICY_DEAD_LETTER);
    put(&w, 1, 1);
    put(&w, 1, 1);
    settle(&w);
    CHECK(w.log->type->topic_find(w.log, "app-counts-store-changelog", &topic, &w.err) == TN_OK);
    CHECK_OK(tn_engine_drop(w.engine, "counts", &w.err), &w.err);
    settle(&w);
    CHECK(w.log->type->topic_find(w.log, "app-counts-store-changelog", &topic, &w.err) ==
          TN_NOT_FOUND);
    CHECK(w.log->type->topic_find(w.log, "counts", &topic, &w.err) == TN_OK); /* the user's */
    int positions_count = 0;
    tn_engine_each_position(w.engine, count_position, &positions_count);
    CHECK_INT(positions_count, 0);
    CHECK(tn_engine_drop(w.engine, "counts", &w.err) == TN_E_NAME);
    put(&w, 1, 1);
    settle(&w);
    engine_world_add(&w, count_plan("counts", 1, TN_POLICY_DEAD_LETTER));
    settle(&w);
    CHECK_STR(tn_str_of(rows(&w, "counts", NULL, NULL)), "1:3 "); /* all of the input, once */
    struct tn_plan *again = count_plan("counts", 1, TN_POLICY_DEAD_LETTER);
    CHECK(tn_engine_add(w.engine, again, &w.err) == TN_E_EXISTS);
    tn_plan_unref(again);
    engine_world_release(&w);
}

/* ---- reading ---- */

static void test_pins_and_filters(void)
{
    struct engine_world w;
    struct tn_pin *old = NULL;
    open_world(&w);
    add_count(&w, "counts", 1, TN_POLICY_DEAD_LETTER);
    for (int key = 0; key < 20; key++)
        put(&w, key, 1);
    settle(&w);
    CHECK_OK(tn_engine_pin(w.engine, &old, &w.err), &w.err);
    for (int key = 0; key < 30; key++)
        put(&w, key, 1);
    settle(&w);
    CHECK(tn_pin_commit(old) < tn_engine_commit(w.engine));
    const struct tn_type *integer = tn_type_of(TN_K_INTEGER), *bigint = tn_type_of(TN_K_BIGINT);
    struct tn_value four = {.type = integer, .i = 4}, big = {.type = bigint, .i = 25},
                    seven = {.type = integer, .i = 7}, gone = {.type = integer, .i = 99};
    const struct tn_value *in[] = {&four, &big, &gone};
    struct tn_key_filter keys = {
        .keys_count = 3, .keys = in, .window_from_ms = INT64_MIN, .window_to_ms = INT64_MAX};
    CHECK_STR(tn_str_of(rows(&w, "counts", old, &keys)), "4:1 ");
    CHECK_STR(tn_str_of(rows(&w, "counts", NULL, &keys)), "4:2 25:1 ");
    struct tn_key_filter range = {.low = &four,
                                  .high = &seven,
                                  .is_low_strict = true,
                                  .window_from_ms = INT64_MIN,
                                  .window_to_ms = INT64_MAX};
    CHECK_STR(tn_str_of(rows(&w, "counts", NULL, &range)), "5:2 6:2 7:2 ");
    range.is_high_strict = true;
    CHECK_STR(tn_str_of(rows(&w, "counts", old, &range)), "5:1 6:1 ");
    tn_pin_free(old);
    struct tn_table_scan *scan = NULL;
    struct tn_pin *pin = NULL;
    CHECK_OK(tn_engine_pin(w.engine, &pin, &w.err), &w.err);
    CHECK(tn_table_scan_open(w.engine, pin, "nobody", NULL, NULL, &scan, &w.err) == TN_E_NAME);
    tn_pin_free(pin);
    engine_world_release(&w);
}

struct seen {
    int64_t last_commit;
    int rows_count;
    int64_t sum;
};

static void see(void *ctx, int64_t commit, const struct tn_batch *batch)
{
    struct seen *seen = ctx;
    CHECK(commit >= seen->last_commit);
    seen->last_commit = commit;
    for (uint32_t i = 0; i < batch->rows_count; i++) {
        if (batch->ops && batch->ops[i] == TN_OP_UPDATE_BEFORE)
            continue;
        seen->rows_count++;
        seen->sum += tn_column_i64(&batch->columns[1], i);
    }
}

static void test_subscription(void)
{
    struct engine_world w;
    struct seen seen = {0};
    struct tn_subscription *subscription = NULL;
    open_world(&w);
    add_count(&w, "counts", 1, TN_POLICY_DEAD_LETTER);
    CHECK(tn_engine_subscribe(w.engine, "nobody", see, &seen, &subscription, &w.err) == TN_E_NAME);
    CHECK_OK(tn_engine_subscribe(w.engine, "counts", see, &seen, &subscription, &w.err), &w.err);
    put(&w, 1, 1);
    put(&w, 2, 1);
    settle(&w);
    put(&w, 1, 1);
    settle(&w);
    CHECK_INT(seen.rows_count, 3);
    CHECK_INT(seen.sum, 1 + 1 + 2);
    CHECK_INT(seen.last_commit, tn_engine_commit(w.engine));
    tn_subscription_free(subscription);
    put(&w, 1, 1);
    settle(&w);
    CHECK_INT(seen.rows_count, 3);
    engine_world_release(&w);
}

static void test_push_query(void)
{
    struct engine_world w;
    struct seen seen = {0};
    struct tn_subscription *subscription = NULL;
    struct tn_plan *found = NULL;
    open_world(&w);
    struct plan_kit kit = kit_new("push");
    int source = kit_source(&kit, events(&kit));
    struct tn_expr *exprs[] = {kit_col(&kit, source, "key"), kit_int(&kit, 5), NULL};
    kit_project(&kit, source, "key INTEGER, n BIGINT", exprs);
    kit_stage(&kit, PARTITIONS);
    kit.plan->sink_name = NULL;
    found = kit_done(&kit);
    engine_world_add(&w, found);
    CHECK_OK(tn_engine_subscribe(w.engine, "push", see, &seen, &subscription, &w.err), &w.err);
    put(&w, 1, 1);
    put(&w, 2, 1);
    settle(&w);
    CHECK_INT(seen.rows_count, 2);
    CHECK_INT(seen.sum, 10);
    tn_subscription_free(subscription);
    CHECK_OK(tn_engine_drop(w.engine, "push", &w.err), &w.err);
    settle(&w);
    CHECK_INT(sources_count(&w), 0);
    engine_world_release(&w);
}

/* ---- freshness ---- */

static struct tn_plan *group_plan(void)
{
    struct plan_kit kit = kit_new("groups");
    int source = kit_source(&kit, events(&kit));
    struct tn_topic_decl *between =
        kit_decl(&kit, "app-groups-repartition", "g INTEGER, key INTEGER", 1, &tn_format_kafka,
                 &tn_format_json, PARTITIONS);
    struct tn_expr *exprs[] = {kit_col(&kit, source, "g"), kit_col(&kit, source, "key"), NULL};
    kit_repartition(&kit, source, between, exprs);
    kit_stage(&kit, PARTITIONS);
    int agg = kit_aggregate(&kit, kit_source(&kit, between), "g", "count()", NULL, "store");
    struct tn_topic_decl *sink = kit_decl(&kit, "groups", "g INTEGER, n BIGINT", 1,
                                          &tn_format_kafka, &tn_format_json, PARTITIONS);
    sink->is_table = true;
    kit_sink(&kit, agg, sink);
    kit_stage(&kit, PARTITIONS);
    return kit_done(&kit);
}

static void test_fresh(void)
{
    struct engine_world w;
    struct tn_fresh *fresh = NULL;
    struct tn_buf lagging;
    const char *id = "groups";
    open_world(&w);
    tn_buf_init(&lagging, 1 << 16);
    engine_world_topic(&w, "groups", PARTITIONS);
    engine_world_add(&w, group_plan());
    settle(&w);
    for (int i = 0; i < 40; i++)
        put(&w, i, 3);
    CHECK_OK(tn_fresh_open(w.engine, &id, 1, NULL, &fresh, &w.err), &w.err);
    CHECK(tn_fresh_poll(fresh, &lagging) == TN_AGAIN);
    CHECK(strstr(tn_buf_cstr(&lagging), "topic events") != NULL);
    int steps = 0;
    while (tn_fresh_poll(fresh, NULL) == TN_AGAIN && steps++ < 10000)
        if (tn_engine_step(w.engine, &w.err) == TN_AGAIN)
            fake_clock_advance(&w.clock, 1);
    CHECK_STR(tn_str_of(rows(&w, "groups", NULL, NULL)), "3:40 "); /* both hops, nothing missing */
    tn_fresh_free(fresh);
    tn_buf_release(&lagging);
    engine_world_release(&w);
}

/* ---- order of inputs ---- */

static struct tn_plan *join_plan(void)
{
    struct plan_kit kit = kit_new("joined");
    struct tn_topic_decl *table = kit_decl(&kit, "prices", "key INTEGER, price BIGINT", 1,
                                           &tn_format_kafka, &tn_format_json, PARTITIONS);
    table->is_table = true;
    int source = kit_source(&kit, events(&kit));
    int prices = kit_materialize(&kit, kit_source(&kit, table), "prices");
    int join = kit_join_global(&kit, source, prices, kit_col(&kit, source, "key"));
    struct tn_expr *exprs[] = {kit_at(&kit, kit.nodes[join].schema, 0),
                               kit_col(&kit, join, "price"), NULL};
    int project = kit_project(&kit, join, "key INTEGER, price BIGINT", exprs);
    kit_sink(&kit, project,
             kit_decl(&kit, "joined", "key INTEGER, price BIGINT", 1, &tn_format_kafka,
                      &tn_format_json, PARTITIONS));
    kit_stage(&kit, PARTITIONS);
    return kit_done(&kit);
}

static void test_join_order(void)
{
    struct engine_world w;
    struct tn_query_info info;
    struct tn_buf buf;
    open_world(&w);
    tn_buf_init(&buf, 1 << 16);
    engine_world_topic(&w, "prices", PARTITIONS);
    engine_world_topic(&w, "joined", PARTITIONS);
    engine_world_put(&w, "events", 1, "{\"g\":0}", 5); /* before any price */
    engine_world_put(&w, "events", 1, "{\"g\":0}", 10);
    engine_world_put(&w, "events", 1, "{\"g\":0}", 19);
    engine_world_put(&w, "events", 1, "{\"g\":0}", 30);
    engine_world_put(&w, "events", 1, "{\"g\":0}", 45);
    engine_world_put(&w, "prices", 1, "{\"price\":100}", 10); /* equal time: the table goes first */
    engine_world_put(&w, "prices", 1, "{\"price\":200}", 20);
    engine_world_put(&w, "prices", 1, NULL, 40);
    engine_world_add(&w, join_plan());
    settle(&w);
    engine_world_dump(&w, "joined", true, &buf);
    CHECK_STR(tn_buf_str(&buf), "1={\"price\":100}\n1={\"price\":100}\n1={\"price\":200}\n");
    CHECK(engine_world_info(&w, "joined", &info));
    CHECK_INT(info.rows_unmatched, 2);
    tn_buf_release(&buf);
    engine_world_release(&w);
}

/* max.task.idle: a drained table holds the stream back for its time, so a row that comes late still
 * counts. */
static void test_task_idle(void)
{
    struct engine_world w;
    struct tn_buf buf;
    open_world(&w);
    tn_buf_init(&buf, 1 << 16);
    tn_engine_close(w.engine);
    w.config.task_idle_ms = 50;
    engine_world_open(&w);
    engine_world_topic(&w, "prices", PARTITIONS);
    engine_world_topic(&w, "joined", PARTITIONS);
    engine_world_add(&w, join_plan());
    settle(&w);
    engine_world_put(&w, "events", 1, "{\"g\":0}", 10);
    for (int i = 0; i < 100; i++) /* 20 ms */
        if (tn_engine_step(w.engine, &w.err) == TN_AGAIN && i % 5 == 0)
            fake_clock_advance(&w.clock, 1);
    engine_world_put(&w, "prices", 1, "{\"price\":7}", 9);
    settle(&w);
    engine_world_dump(&w, "joined", true, &buf);
    CHECK_STR(tn_buf_str(&buf), "1={\"price\":7}\n");
    tn_buf_release(&buf);
    engine_world_release(&w);
}

/* ---- emission ---- */

/* Commits while 60,000 waiting events of one partition are counted, at 10 ms a step of the engine.
 */
static int64_t commits_of(int64_t commit_interval_ms, int64_t cache_emit_bytes,
                          int64_t round_rows_max, int64_t *ret_records)
{
    struct engine_world w;
    struct tn_offsets offsets;
    struct tn_topic topic;
    open_world(&w);
    tn_engine_close(w.engine);
    w.config.commit_interval_ms = commit_interval_ms;
    w.config.cache_emit_bytes = cache_emit_bytes;
    w.config.round_rows_max = round_rows_max;
    w.config.round_bytes_max = INT64_MAX;
    engine_world_open(&w);
    add_count(&w, "counts", 1, TN_POLICY_DEAD_LETTER);
    for (int i = 0; i < 60000; i++)
        put(&w, 1, i);
    int64_t before = tn_engine_commit(w.engine);
    for (int i = 0; i < 200; i++) {
        if (tn_engine_step(w.engine, &w.err) == TN_OK)
            fake_clock_advance(&w.clock, 10);
    }
    settle(&w);
    CHECK_STR(tn_str_of(rows(&w, "counts", NULL, NULL)), "1:60000 ");
    CHECK(w.log->type->topic_find(w.log, "counts", &topic, &w.err) == TN_OK);
    *ret_records = 0;
    for (int32_t p = 0; p < topic.partitions_count; p++) {
        CHECK(w.log->type->offsets(w.log, &topic, p, &offsets, &w.err) == TN_OK);
        *ret_records += offsets.end_visible;
    }
    int64_t commits = tn_engine_commit(w.engine) - before;
    engine_world_release(&w);
    return commits;
}

/* commit.interval.ms and cache.max.bytes.buffering end a round while inputs still flow; off, the
 * round lasts until they are drained. Each commit of the one key is one record of the result. */
static void test_commit_knobs(void)
{
    int64_t records, commits = commits_of(1000000, 0, INT64_MAX, &records);
    CHECK_INT(commits, 1);
    CHECK(records >= 1 && records <= 2); /* the log's own marks take offsets too */
    CHECK((commits = commits_of(20, 0, INT64_MAX, &records)) >= 5);
    CHECK(records >= commits && records <= 2 * commits);
    CHECK((commits = commits_of(1000000, 64 * 5000, INT64_MAX, &records)) >= 5);
    CHECK(records >= commits && records <= 2 * commits);
    CHECK(commits_of(1000000, 0, 5000, &records) >= 5); /* also when one worker has all rows */
}

/* Three workers; partition 1 holds as much as the others together. */
static void test_places_follow_records(void)
{
    static const int records_count[6] = {10, 100, 30, 30, 0, 0};
    struct engine_world w;
    engine_world_init(&w);
    engine_world_topic(&w, "weights", 6);
    engine_world_topic(&w, "weighed", 6);
    for (int32_t p = 0; p < 6; p++)
        for (int i = 0; i < records_count[p]; i++)
            tn_mem_log_put(w.log, "weights", p, TN_STR("abcd"), TN_STR("{}"), i);
    struct plan_kit kit = kit_new("Q");
    struct tn_topic_decl *from = kit_decl(&kit, "weights", "key INTEGER, g INTEGER", 1,
                                          &tn_format_kafka, &tn_format_json, 6);
    struct tn_topic_decl *to = kit_decl(&kit, "weighed", "key INTEGER, g INTEGER", 1,
                                        &tn_format_kafka, &tn_format_json, 6);
    kit_sink(&kit, kit_source(&kit, from), to);
    kit_stage(&kit, 6);
    engine_world_add(&w, kit_done(&kit));
    uint32_t heavy = tni_worker_of(w.engine, 1)->index, second = tni_worker_of(w.engine, 2)->index;
    CHECK(second != heavy);
    CHECK(tni_worker_of(w.engine, 3)->index != heavy &&
          tni_worker_of(w.engine, 3)->index != second);
    CHECK(tni_worker_of(w.engine, 0)->index != heavy);
    CHECK_INT(tni_worker_of(w.engine, 4)->index, 1); /* empty: by number */
    CHECK_INT(tni_worker_of(w.engine, 5)->index, 2);
    engine_world_release(&w);
}

int main(void)
{
    test_policy_fail();
    test_dead_letter_bytes();
    test_poisoned_query();
    test_commit_outcomes();
    test_fenced();
    test_late_query();
    test_drop_and_create();
    test_pins_and_filters();
    test_subscription();
    test_push_query();
    test_fresh();
    test_join_order();
    test_task_idle();
    test_commit_knobs();
    test_places_follow_records();
    return TN_TEST_END();
}
