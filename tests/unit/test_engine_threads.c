/* Covers the engine with its threads: workers and commit thread over an in-memory log that fails
 * now and then, a producer that appends meanwhile, a reader that scans under pins, queries added,
 * paused and dropped while events flow. In the end every event is counted once. Meant to be run
 * under ThreadSanitizer too.
 */
#include <pthread.h>

#include "connectors/formats.h"
#include "stream/base/hash.h"
#include "stream/engine_int.h"
#include "tests/check.h"
#include "tests/support/mem_log.h"
#include "tests/support/mem_state.h"
#include "tests/support/plan_kit.h"
#include "tests/support/test_clock.h"

#define PARTITIONS 4
#define EVENTS     20000
#define KEYS       97

struct world {
    struct tn_log *log;
    struct tn_state *state;
    struct tn_engine *engine;
    struct tn_err err;
    atomic_uint_fast64_t roll;
    atomic_bool has_faults, is_done;
    atomic_llong scans;
};

static struct tn_mem_fault decide(void *ctx, enum tn_mem_call call)
{
    struct world *w = ctx;
    struct tn_mem_fault none = {.st = TN_OK};
    if (!atomic_load(&w->has_faults))
        return none;
    uint64_t roll = tn_mix64(atomic_fetch_add(&w->roll, 1), 77) % 1000;
    if (call == TN_MEM_COMMIT_POLL) {
        if (roll < 200)
            return (struct tn_mem_fault){.st = TN_AGAIN};
        if (roll < 260)
            return (struct tn_mem_fault){.st = TN_E_IO};
        if (roll < 300)
            return (struct tn_mem_fault){.st = TN_E_INDEFINITE, .is_applied = roll % 2};
    }
    if (call == TN_MEM_READ && roll < 300)
        return (struct tn_mem_fault){.st = TN_OK, .rows_max = 1 + (uint32_t)roll % 30};
    if ((call == TN_MEM_BEGIN || call == TN_MEM_COMMIT_START) && roll < 20)
        return (struct tn_mem_fault){.st = TN_E_IO};
    return none;
}

static void topic(struct world *w, const char *name)
{
    struct tn_topic_spec spec = {.name = name,
                                 .partitions_count = PARTITIONS,
                                 .cleanup = TN_CLEANUP_COMPACT,
                                 .retention_ms = -1,
                                 .retention_bytes = -1};
    CHECK_OK(w->log->type->topic_create(w->log, &spec, &w->err), &w->err);
}

/* Count by g over a repartition: two stages, so that records of one round feed the next. */
static struct tn_plan *group_plan(const char *name, uint32_t store_id)
{
    struct plan_kit kit = kit_new(name);
    struct tn_topic_decl *events = kit_decl(&kit, "events", "key INTEGER, g INTEGER", 1,
                                            &tn_format_kafka, &tn_format_json, PARTITIONS);
    int source = kit_source(&kit, events);
    char between_name[64];
    snprintf(between_name, sizeof between_name, "app-%s-repartition", name);
    struct tn_topic_decl *between = kit_decl(&kit, between_name, "g INTEGER, key INTEGER", 1,
                                             &tn_format_kafka, &tn_format_json, PARTITIONS);
    struct tn_expr *exprs[] = {kit_col(&kit, source, "g"), kit_col(&kit, source, "key"), NULL};
    kit_repartition(&kit, source, between, exprs);
    kit_stage(&kit, PARTITIONS);
    int agg = kit_aggregate(&kit, kit_source(&kit, between), "g", "count()", NULL, "store");
    kit_store(&kit)->id = store_id;
    struct tn_topic_decl *sink = kit_decl(&kit, name, "g INTEGER, n BIGINT", 1, &tn_format_kafka,
                                          &tn_format_json, PARTITIONS);
    sink->is_table = true;
    kit_sink(&kit, agg, sink);
    kit_stage(&kit, PARTITIONS);
    return kit_done(&kit);
}

static struct tn_plan *join_plan(const char *name, uint32_t store_id)
{
    struct plan_kit kit = kit_new(name);
    struct tn_topic_decl *events = kit_decl(&kit, "events", "key INTEGER, g INTEGER", 1,
                                            &tn_format_kafka, &tn_format_json, PARTITIONS);
    struct tn_topic_decl *names = kit_decl(&kit, "names", "key INTEGER, name VARCHAR", 1,
                                           &tn_format_kafka, &tn_format_json, PARTITIONS);
    names->is_table = names->is_global = true;
    int source = kit_source(&kit, events);
    int table = kit_materialize(&kit, kit_source(&kit, names), "names");
    kit_store(&kit)->id = store_id + 1;
    int join = kit_join_global(&kit, source, table, kit_col(&kit, source, "key"));
    int agg = kit_aggregate(&kit, join, "key", "count()", NULL, "store");
    kit_store(&kit)->id = store_id;
    struct tn_topic_decl *sink = kit_decl(&kit, name, "key INTEGER, n BIGINT", 1, &tn_format_kafka,
                                          &tn_format_json, PARTITIONS);
    sink->is_table = true;
    kit_sink(&kit, agg, sink);
    kit_stage(&kit, PARTITIONS);
    return kit_done(&kit);
}

static void put(struct world *w, const char *name, int32_t key, const char *json, int64_t ts)
{
    char bytes[4] = {0, 0, (char)(key >> 8), (char)key};
    tn_mem_log_put(w->log, name, tn_partition_of(bytes, 4, PARTITIONS), (struct tn_str){bytes, 4},
                   tn_str_of(json), ts);
}

static void *produce(void *arg)
{
    struct world *w = arg;
    for (int i = 0; i < EVENTS; i++) {
        char json[64];
        snprintf(json, sizeof json, "{\"g\":%d}", i % 10);
        put(w, "events", i % KEYS, json, i);
    }
    return NULL;
}

/* Sum of the counts of a table as of one pin; −1 when it cannot be read now. */
static int64_t sum(struct world *w, const char *name)
{
    struct tn_pin *pin = NULL;
    struct tn_table_scan *scan = NULL;
    struct tn_batch *batch = NULL;
    int64_t total = 0;
    if (tn_engine_pin(w->engine, &pin, NULL) != TN_OK)
        return -1;
    enum tn_status st = tn_table_scan_open(w->engine, pin, name, NULL, NULL, &scan, NULL);
    while (st == TN_OK && (st = tn_table_scan_next(scan, &batch, NULL)) == TN_OK)
        for (uint32_t i = 0; i < batch->rows_count; i++)
            total += tn_column_i64(&batch->columns[1], i);
    tn_table_scan_close(scan);
    tn_pin_free(pin);
    return st == TN_END ? total : -1;
}

static bool look_at_info(void *ctx, const struct tn_query_info *info)
{
    struct world *w = ctx;
    atomic_fetch_add(&w->scans, info->rows_in < 0);
    return true;
}

static void *observe(void *arg)
{
    struct world *w = arg;
    int64_t last = 0;
    while (!atomic_load(&w->is_done)) {
        int64_t now = sum(w, "join");
        if (now >= 0 && now < last)
            atomic_fetch_add(&w->scans, 1000000); /* a committed count went back */
        last = now > last ? now : last;
        tn_engine_each_query(w->engine, look_at_info, w);
    }
    return NULL;
}

struct waiter {
    struct tn_wake wake;
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool is_signalled;
};

static void signal_waiter(struct tn_wake *wake)
{
    struct waiter *waiter = (struct waiter *)(void *)wake;
    pthread_mutex_lock(&waiter->lock);
    waiter->is_signalled = true;
    pthread_cond_signal(&waiter->cond);
    pthread_mutex_unlock(&waiter->lock);
}

static void wait_fresh(struct world *w, const char *query_id)
{
    struct waiter waiter = {.wake = {signal_waiter}};
    pthread_mutex_init(&waiter.lock, NULL);
    pthread_cond_init(&waiter.cond, NULL);
    struct tn_fresh *fresh = NULL;
    CHECK_OK(tn_fresh_open(w->engine, &query_id, 1, &waiter.wake, &fresh, &w->err), &w->err);
    while (fresh && tn_fresh_poll(fresh, NULL) == TN_AGAIN) {
        pthread_mutex_lock(&waiter.lock);
        while (!waiter.is_signalled)
            pthread_cond_wait(&waiter.cond, &waiter.lock);
        waiter.is_signalled = false;
        pthread_mutex_unlock(&waiter.lock);
    }
    tn_fresh_free(fresh);
}

/* A round may still meet a fault and load everything again: then there is no table for a moment. */
static int64_t settled_sum(struct world *w, const char *name)
{
    int64_t total = -1;
    for (int i = 0; i < 1000 && total == -1; i++) {
        wait_fresh(w, name);
        total = sum(w, name);
    }
    return total;
}

static void add(struct world *w, struct tn_plan *plan)
{
    CHECK_OK(tn_engine_add(w->engine, plan, &w->err), &w->err);
    tn_plan_unref(plan);
}

static void open_engine(struct world *w)
{
    struct tn_engine_config config = {.application_id = "app",
                                      .commit_interval_ms = 20,
                                      .threads_count = 3,
                                      .round_rows_max = 3000,
                                      .state_cache_bytes = 256 << 10,
                                      .formats = tn_formats_builtin()};
    CHECK_OK(tn_engine_open(&config, w->log, w->state, &test_clock, &w->engine, &w->err), &w->err);
    CHECK_OK(tn_engine_start(w->engine, &w->err), &w->err);
}

static void run(bool commits_state, bool has_faults)
{
    struct world w = {.log = tn_mem_log_new(commits_state), .state = mem_state_new()};
    atomic_store(&w.has_faults, has_faults);
    tn_mem_log_set_fault(w.log, decide, &w);
    topic(&w, "events");
    topic(&w, "names");
    topic(&w, "group");
    topic(&w, "join");
    topic(&w, "late");
    for (int32_t key = 0; key < KEYS; key++)
        put(&w, "names", key, "{\"name\":\"x\"}", 0);
    open_engine(&w);
    add(&w, join_plan("join", 10));
    add(&w, group_plan("group", 20));
    pthread_t producer, observer;
    pthread_create(&producer, NULL, produce, &w);
    pthread_create(&observer, NULL, observe, &w);
    add(&w, join_plan("late", 30)); /* catches up beside the others */
    CHECK_OK(tn_engine_pause(w.engine, "group", true, &w.err), &w.err);
    CHECK_OK(tn_engine_pause(w.engine, "group", false, &w.err), &w.err);
    pthread_join(producer, NULL);
    CHECK_INT(settled_sum(&w, "join"), EVENTS);
    CHECK_INT(settled_sum(&w, "group"), EVENTS);
    CHECK_INT(settled_sum(&w, "late"), EVENTS);
    atomic_store(&w.is_done, true);
    pthread_join(observer, NULL);
    CHECK_INT(atomic_load(&w.scans), 0);
    CHECK_OK(tn_engine_drop(w.engine, "late", &w.err), &w.err);
    CHECK(sum(&w, "late") == -1);
    tn_engine_close(w.engine);
    open_engine(&w); /* the state that close flushed */
    add(&w, group_plan("group", 20));
    wait_fresh(&w, "group");
    CHECK_INT(sum(&w, "group"), EVENTS);
    tn_engine_close(w.engine);
    w.log->type->close(w.log);
    w.state->type->close(w.state);
}

int main(void)
{
    run(false, false);
    run(true, false);
    run(false, true);
    return TN_TEST_END();
}
