/* Covers the engine over the model of Kafka: a record that the broker refuses, at once or as the
 * outcome of the commit, stops its query and no other; three such rounds in a row stop the process;
 * the group's offset is the foremost query's; two processes share the partitions, one takes over
 * from the other, and a table scan names who is not here; who is told to take no tasks leaves.
 */
#include <stdio.h>

#include "connectors/formats.h"
#include "tests/check.h"
#include "tests/support/engine_world.h"
#include "tests/support/model_broker.h"

#define PARTITIONS 2

static struct model_broker *broker;

static struct tn_plan *plan(const char *name, uint32_t store_id, const char *calls,
                            const char *columns)
{
    struct plan_kit kit = kit_new(name);
    struct tn_topic_decl *events = kit_decl(&kit, "events", "key INTEGER, t VARCHAR", 1,
                                            &tn_format_kafka, &tn_format_json, PARTITIONS);
    int agg = kit_aggregate(&kit, kit_source(&kit, events), "key", calls, NULL, "store");
    kit_store(&kit)->id = store_id;
    struct tn_topic_decl *sink =
        kit_decl(&kit, name, columns, 1, &tn_format_kafka, &tn_format_json, PARTITIONS);
    sink->is_table = true;
    kit_sink(&kit, agg, sink);
    kit_stage(&kit, PARTITIONS);
    return kit_done(&kit);
}

static void make_topics(void)
{
    static const char *const names[] = {"events", "one", "two", "long", "long2", "long3"};
    struct tn_log *log = model_broker_log(broker);
    struct tn_err err = TN_ERR_INIT;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct tn_topic_spec spec = {.name = names[i],
                                     .partitions_count = PARTITIONS,
                                     .cleanup = TN_CLEANUP_COMPACT,
                                     .retention_ms = -1,
                                     .retention_bytes = -1};
        CHECK_OK(log->type->topic_create(log, &spec, &err), &err);
    }
}

static void open_process(struct engine_world *w, const char *id)
{
    *w =
        (struct engine_world){.log = model_client_new(broker, id, false), .state = mem_state_new()};
    fake_clock_init(&w->clock);
    w->config = (struct tn_engine_config){.application_id = "app",
                                          .commit_interval_ms = 10,
                                          .threads_count = 2,
                                          .is_member = true,
                                          .formats = tn_formats_builtin()};
    engine_world_open(w);
}

static void init(uint64_t seed)
{
    struct model_broker_config config = {
        .seed = seed, .session_timeout_ms = 10000, .txn_timeout_ms = 8000};
    broker = model_broker_new(&config);
    make_topics();
}

static void add_count(struct engine_world *w, const char *name, uint32_t store_id)
{
    engine_world_add(w, plan(name, store_id, "count()", "key INTEGER, n BIGINT"));
}

static void add_long(struct engine_world *w, const char *name, uint32_t store_id)
{
    engine_world_add(w, plan(name, store_id, "latest_by_offset(t)", "key INTEGER, text VARCHAR"));
}

static void put(int32_t key, size_t text_len)
{
    char json[256], bytes[4] = {0, 0, 0, (char)key};
    snprintf(json, sizeof json, "{\"t\":\"%0*d\"}", (int)text_len, 7);
    tn_mem_log_put(model_broker_log(broker), "events", key % PARTITIONS, (struct tn_str){bytes, 4},
                   tn_str_of(json), 1000);
}

/* Steps the processes together until all are idle; the failure that stopped one, or TN_OK. */
static enum tn_status settle(struct engine_world *worlds, int count)
{
    int idle = 0;
    for (int i = 0; i < 100000 && idle < 300; i++) {
        bool has_worked = false;
        for (int p = 0; p < count; p++) {
            enum tn_status st = tn_engine_step(worlds[p].engine, &worlds[p].err);
            if (tn_failed(st))
                return st;
            has_worked |= st == TN_OK;
            fake_clock_advance(&worlds[p].clock, 1);
        }
        model_broker_advance(broker, tn_mono_ns(&worlds[0].clock.base) / 1000000);
        idle = has_worked ? 0 : idle + 1;
    }
    CHECK(idle >= 300);
    return TN_OK;
}

/* Sum of counts of a table as this process shows it; −1: refused. */
static int64_t total(struct engine_world *w, const char *query_id)
{
    struct tn_pin *pin = NULL;
    struct tn_table_scan *scan = NULL;
    struct tn_batch *batch = NULL;
    int64_t sum = 0;
    CHECK_OK(tn_engine_pin(w->engine, &pin, &w->err), &w->err);
    enum tn_status st = tn_table_scan_open(w->engine, pin, query_id, NULL, NULL, &scan, &w->err);
    if (st != TN_OK)
        sum = -1;
    while (st == TN_OK && (st = tn_table_scan_next(scan, &batch, &w->err)) == TN_OK)
        for (uint32_t i = 0; i < batch->rows_count; i++)
            sum += tn_column_i64(&batch->columns[1], i);
    tn_table_scan_close(scan);
    tn_pin_free(pin);
    return sum;
}

static void test_poisoned(uint64_t seed)
{
    struct engine_world w;
    struct tn_query_info info;
    init(seed); /* decides whether the refusal comes at once or with the commit */
    open_process(&w, "a");
    model_broker_record_max(broker, 60);
    add_count(&w, "one", 1);
    add_long(&w, "long", 2);
    add_count(&w, "two", 3);
    for (int i = 0; i < 10; i++)
        put(i, 5);
    CHECK(settle(&w, 1) == TN_OK);
    put(13, 100);
    for (int i = 0; i < 10; i++)
        put(i, 5);
    CHECK(settle(&w, 1) == TN_OK);
    CHECK(engine_world_info(&w, "long", &info));
    CHECK(info.state == TN_QUERY_FAILED);
    CHECK(strstr(info.error.message, "larger than 60 bytes") != NULL);
    CHECK_INT(total(&w, "one"), 21);
    CHECK_INT(total(&w, "two"), 21);
    CHECK_INT(model_broker_group_offset(broker, "events", 0), 10);
    CHECK_INT(model_broker_group_offset(broker, "events", 1), 11);
    engine_world_release(&w);
    model_broker_free(broker);
}

static void test_three_in_a_row(void)
{
    struct engine_world w;
    init(5);
    open_process(&w, "a");
    model_broker_record_max(broker, 60);
    add_long(&w, "long", 1);
    add_long(&w, "long2", 2);
    add_long(&w, "long3", 3);
    put(3, 100);
    CHECK(settle(&w, 1) == TN_E_LIMIT);
    CHECK(strstr(w.err.message, "larger than 60 bytes") != NULL);
    engine_world_release(&w);
    model_broker_free(broker);
}

static void test_share_and_take_over(void)
{
    struct engine_world w[2];
    int32_t owned[4];
    init(1);
    open_process(&w[0], "a");
    add_count(&w[0], "one", 1);
    for (int i = 0; i < 10; i++)
        put(i, 5);
    CHECK(settle(w, 1) == TN_OK);
    CHECK_INT(tn_engine_owned(w[0].engine, owned, 4), 2);
    CHECK_INT(total(&w[0], "one"), 10);
    open_process(&w[1], "b");
    w[1].clock = w[0].clock;
    add_count(&w[1], "one", 1);
    put(1, 5);
    CHECK(settle(w, 2) == TN_OK);
    CHECK_INT(tn_engine_owned(w[0].engine, owned, 4), 1);
    CHECK_INT(tn_engine_owned(w[1].engine, owned, 4), 1);
    CHECK_INT(total(&w[0], "one"), -1);
    CHECK(strstr(w[0].err.message, "is at another process of 'app'") != NULL);
    engine_world_release(&w[0]); /* leaves the group */
    put(2, 5);
    CHECK(settle(&w[1], 1) == TN_OK);
    CHECK_INT(tn_engine_owned(w[1].engine, owned, 4), 2);
    CHECK_INT(total(&w[1], "one"), 12);
    engine_world_release(&w[1]);
    model_broker_free(broker);
}

/* Who is told to take no tasks leaves them to the other one, says why, and comes back. */
static void test_withheld(void)
{
    struct engine_world w[2];
    struct tn_buf reason;
    int32_t owned[4];
    init(1);
    for (int p = 0; p < 2; p++) {
        open_process(&w[p], p ? "b" : "a");
        add_count(&w[p], "one", 1);
    }
    for (int i = 0; i < 10; i++)
        put(i, 5);
    CHECK(settle(w, 2) == TN_OK);
    CHECK_INT(tn_engine_owned(w[1].engine, owned, 4), 1);
    tn_buf_init(&reason, 4096);
    CHECK(tn_engine_is_ready(w[1].engine, &reason));
    tn_engine_withhold(w[1].engine, "it is two versions behind");
    put(1, 5);
    put(2, 5);
    CHECK(settle(w, 2) == TN_OK);
    CHECK_INT(tn_engine_owned(w[1].engine, owned, 4), 0);
    CHECK_INT(tn_engine_owned(w[0].engine, owned, 4), 2);
    CHECK_INT(total(&w[0], "one"), 12);
    CHECK(!tn_engine_is_ready(w[1].engine, &reason));
    CHECK_STR(tn_buf_str(&reason), "takes no tasks: it is two versions behind\n");
    tn_engine_withhold(w[1].engine, NULL);
    fake_clock_advance(&w[1].clock, 2000); /* it asks the group once a second */
    put(3, 5);
    CHECK(settle(w, 2) == TN_OK);
    CHECK_INT(tn_engine_owned(w[0].engine, owned, 4), 1);
    CHECK_INT(tn_engine_owned(w[1].engine, owned, 4), 1);
    tn_buf_reset(&reason);
    CHECK(tn_engine_is_ready(w[1].engine, &reason));
    tn_buf_release(&reason);
    engine_world_release(&w[0]);
    engine_world_release(&w[1]);
    model_broker_free(broker);
}

/* With a standby each process answers for all partitions. */
static void test_standbys_answer(void)
{
    struct engine_world w[2];
    init(1);
    for (int p = 0; p < 2; p++) {
        open_process(&w[p], p ? "b" : "a");
        w[p].config.standbys_count = 1;
        tn_engine_close(w[p].engine);
        engine_world_open(&w[p]);
        add_count(&w[p], "one", 1);
    }
    for (int i = 0; i < 10; i++)
        put(i, 5);
    CHECK(settle(w, 2) == TN_OK);
    for (int p = 0; p < 2; p++) /* standbys look for a position again */
        fake_clock_advance(&w[p].clock, 5000);
    model_broker_advance(broker, tn_mono_ns(&w[0].clock.base) / 1000000);
    CHECK(settle(w, 2) == TN_OK);
    put(1, 5);
    CHECK(settle(w, 2) == TN_OK);
    CHECK_INT(total(&w[0], "one"), 11);
    CHECK_INT(total(&w[1], "one"), 11);
    for (int p = 0; p < 2; p++)
        CHECK_INT(tn_metric_value(w[p].engine->m.standby_lag), 0);
    engine_world_release(&w[0]);
    engine_world_release(&w[1]);
    model_broker_free(broker);
}

int main(void)
{
    for (uint64_t seed = 1; seed <= 4; seed++)
        test_poisoned(seed);
    test_three_in_a_row();
    test_share_and_take_over();
    test_withheld();
    test_standbys_answer();
    return TN_TEST_END();
}
