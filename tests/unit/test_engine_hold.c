/* Covers results that are held back (EMIT_INTERVAL_MS): they leave once an interval with the last
 * value of each key, by themselves when no input comes, while the table's state, its changelog and
 * other tables follow every commit; kept over kill, recovery and pause; given at the end of engine
 * and query; equal values, rows that came and went, HAVING, windows that expire meanwhile; the
 * bound of the pending ones; EXPLAIN; the view that tarn verify has of them.
 */
#include <stdio.h>

#include "connectors/formats.h"
#include "tests/check.h"
#include "tests/support/engine_world.h"

#define PARTITIONS  2
#define INTERVAL_MS 10000

#define settle(w) CHECK(engine_world_settle(w))

static void open_world(struct engine_world *w)
{
    engine_world_init(w);
    engine_world_topic(w, "events", PARTITIONS);
}

struct wish {
    const char *name;
    int64_t interval_ms; /* 0 = not held */
    int64_t at_most;     /* HAVING sum <= at_most; 0 = no HAVING */
    struct tn_window window;
};

/* SUM(g) by key into a topic of the query's name. */
static void add_sum(struct engine_world *w, struct wish wish)
{
    struct plan_kit kit = kit_new(wish.name);
    struct tn_topic_decl *decl = kit_decl(&kit, "events", "key INTEGER, g INTEGER", 1,
                                          &tn_format_kafka, &tn_format_json, PARTITIONS);
    bool is_windowed = wish.window.kind != TN_WINDOW_NONE;
    int at = kit_aggregate(&kit, kit_source(&kit, decl), "key", "sum(g)",
                           is_windowed ? &wish.window : NULL, "store");
    kit_store(&kit)->id = wish.interval_ms ? 10 : 20;
    if (wish.interval_ms) {
        at = kit_hold(&kit, at, wish.interval_ms);
        kit_store(&kit)->id = 11;
    }
    if (wish.at_most)
        at = kit_filter(&kit, at,
                        kit_call(&kit, "<=", kit_col(&kit, at, "a0"), kit_int(&kit, wish.at_most)));
    struct tn_topic_decl *sink = kit_decl(&kit, wish.name, "key INTEGER, total INTEGER", 1,
                                          &tn_format_kafka, &tn_format_json, PARTITIONS);
    sink->is_table = true;
    sink->window = wish.window.kind;
    sink->window_size_ms = wish.window.size_ms;
    kit_sink(&kit, at, sink);
    kit_stage(&kit, PARTITIONS);
    struct tn_topic found;
    if (w->log->type->topic_find(w->log, wish.name, &found, &w->err) == TN_NOT_FOUND)
        engine_world_topic(w, wish.name, PARTITIONS);
    engine_world_add(w, kit_done(&kit));
}

static void add_held(struct engine_world *w)
{
    add_sum(w, (struct wish){.name = "held", .interval_ms = INTERVAL_MS});
}

static void put_at(struct engine_world *w, int32_t key, int g, int64_t timestamp_ms)
{
    char json[32];
    snprintf(json, sizeof json, "{\"g\":%d}", g);
    engine_world_put(w, "events", key, json, timestamp_ms);
}

static void put(struct engine_world *w, int32_t key, int g)
{
    put_at(w, key, g, 1000);
}

/* Past the interval, and whatever becomes due by it. */
static void pass(struct engine_world *w)
{
    fake_clock_advance(&w->clock, INTERVAL_MS);
    settle(w);
}

/* Records of a topic as "key=total " with "-" for a tombstone, partition after partition. */
static const char *topic_of(struct engine_world *w, const char *topic)
{
    static char text[4096];
    size_t at = 0;
    text[0] = 0;
    for (int32_t p = 0; p < PARTITIONS; p++) {
        size_t cursor = 0;
        struct tn_mem_record r;
        while (tn_mem_log_next(w->log, topic, p, &cursor, &r)) {
            int total = 0;
            char value[64];
            snprintf(value, sizeof value, "%.*s", TN_STR_FMT(r.value));
            CHECK(!r.value.ptr || sscanf(value, "{\"total\":%d}", &total) == 1);
            at += (size_t)snprintf(text + at, sizeof text - at, r.value.ptr ? "%d=%d " : "%d=- ",
                                   (int)tn_be32(r.key.ptr), total);
        }
    }
    return text;
}

/* Rows of a table as SQL sees them; is_held: those held back, as results showed them last. */
static const char *rows_of(struct engine_world *w, const char *query_id, bool is_held)
{
    static char text[4096];
    int64_t totals[100];
    struct tn_pin *pin = NULL;
    struct tn_table_scan *scan = NULL;
    struct tn_batch *batch = NULL;
    for (int key = 0; key < 100; key++)
        totals[key] = INT64_MIN;
    CHECK_OK(tn_engine_pin(w->engine, &pin, &w->err), &w->err);
    enum tn_status st = tn_table_scan_open(w->engine, pin, query_id, NULL, NULL, &scan, &w->err);
    if (is_held)
        CHECK(tn_table_scan_held(scan, true));
    while (st == TN_OK && (st = tn_table_scan_next(scan, &batch, &w->err)) == TN_OK)
        for (uint32_t i = 0; i < batch->rows_count; i++)
            totals[tn_column_i32(&batch->columns[0], i)] = tn_column_i32(&batch->columns[1], i);
    CHECK(st == TN_END);
    tn_table_scan_close(scan);
    tn_pin_free(pin);
    size_t at = 0;
    text[0] = 0;
    for (int key = 0; key < 100; key++)
        if (totals[key] != INT64_MIN)
            at += (size_t)snprintf(text + at, sizeof text - at, "%d=%lld ", key,
                                   (long long)totals[key]);
    return text;
}

static int64_t records_of(struct engine_world *w, const char *name)
{
    int64_t records = 0;
    for (int32_t p = 0; p < PARTITIONS; p++) {
        size_t cursor = 0;
        struct tn_mem_record r;
        while (tn_mem_log_next(w->log, name, p, &cursor, &r))
            records++;
    }
    return records;
}

/* One event a millisecond: the held table gives once, the other with every commit, the state of
 * both is current. Then nothing comes any more, and the rest leaves by itself. */
static void test_spacing(void)
{
    struct engine_world w;
    open_world(&w);
    add_held(&w);
    add_sum(&w, (struct wish){.name = "plain"});
    settle(&w);
    for (int i = 0; i < 900; i++) {
        put(&w, 1, 1);
        while (tn_engine_step(w.engine, &w.err) == TN_OK)
            continue;
        fake_clock_advance(&w.clock, 1);
    }
    CHECK_INT(records_of(&w, "held"), 1);
    CHECK(records_of(&w, "plain") >= 8);
    settle(&w);
    CHECK_STR(tn_str_of(rows_of(&w, "held", false)), "1=900 ");
    CHECK_INT(records_of(&w, "app-held-store-changelog"), records_of(&w, "plain"));
    CHECK_INT(records_of(&w, "held"), 1);
    pass(&w);
    CHECK_INT(records_of(&w, "held"), 2);
    CHECK(strstr(topic_of(&w, "held"), "1=900 ") != NULL);
    int64_t commits = tn_engine_commit(w.engine);
    pass(&w); /* nothing is due any more */
    CHECK_INT(tn_engine_commit(w.engine), commits);
    engine_world_release(&w);
}

/* Killed while results are held back; again after a recovery; and once more with state that was
 * flushed and a changelog that is compacted. */
static void test_restarts(void)
{
    struct engine_world w;
    open_world(&w);
    w.config.is_flush_every_commit = true;
    tn_engine_close(w.engine);
    engine_world_open(&w);
    add_held(&w);
    put(&w, 1, 1);
    put(&w, 2, 1);
    settle(&w); /* the first ones go straight on */
    CHECK_STR(tn_str_of(topic_of(&w, "held")), "1=1 2=1 ");
    for (int round = 0; round < 3; round++) {
        put(&w, 1, 10);
        settle(&w);
        tni_engine_abandon(w.engine);
        tn_mem_log_compact(w.log, "app-held-store-held-changelog");
        engine_world_open(&w);
        add_held(&w);
        settle(&w);
        CHECK_STR(tn_str_of(topic_of(&w, "held")), "1=1 2=1 ");
        CHECK_STR(tn_str_of(rows_of(&w, "held", true)), "1=1 ");
    }
    atomic_store(&w.engine->is_recover_wanted, true);
    settle(&w);
    pass(&w);
    CHECK_STR(tn_str_of(topic_of(&w, "held")), "1=1 1=31 2=1 ");
    CHECK_STR(tn_str_of(rows_of(&w, "held", true)), "");
    tni_engine_abandon(w.engine);
    engine_world_open(&w);
    add_held(&w);
    settle(&w);
    pass(&w);
    CHECK_STR(tn_str_of(topic_of(&w, "held")), "1=1 1=31 2=1 "); /* not again */
    engine_world_release(&w);
}

/* What is held back goes out when the engine ends or the query is dropped, not while it pauses. */
static void test_ends(void)
{
    struct engine_world w;
    open_world(&w);
    add_held(&w);
    put(&w, 1, 1);
    settle(&w);
    put(&w, 1, 1);
    settle(&w);
    CHECK_OK(tn_engine_pause(w.engine, "held", true, &w.err), &w.err);
    pass(&w);
    CHECK_STR(tn_str_of(topic_of(&w, "held")), "1=1 ");
    CHECK_OK(tn_engine_pause(w.engine, "held", false, &w.err), &w.err);
    settle(&w);
    CHECK_STR(tn_str_of(topic_of(&w, "held")), "1=1 1=2 ");
    put(&w, 1, 1);
    settle(&w);
    tn_engine_close(w.engine);
    CHECK_STR(tn_str_of(topic_of(&w, "held")), "1=1 1=2 1=3 ");
    engine_world_open(&w);
    add_held(&w);
    put(&w, 1, 1);
    settle(&w);
    put(&w, 1, 1);
    settle(&w);
    CHECK_OK(tn_engine_drop(w.engine, "held", &w.err), &w.err);
    settle(&w);
    CHECK_STR(tn_str_of(topic_of(&w, "held")), "1=1 1=2 1=3 1=4 1=5 ");
    struct tn_topic topic;
    CHECK(w.log->type->topic_find(w.log, "app-held-store-held-changelog", &topic, &w.err) ==
          TN_NOT_FOUND);
    engine_world_release(&w);
}

/* Back to the value shown last: nothing. Hidden by HAVING meanwhile: a tombstone if it was shown.
 */
static void test_values(void)
{
    struct engine_world w;
    open_world(&w);
    add_sum(&w, (struct wish){.name = "held", .interval_ms = INTERVAL_MS, .at_most = 10});
    put(&w, 1, 5);
    put(&w, 3, 5);
    settle(&w);
    CHECK_STR(tn_str_of(topic_of(&w, "held")), "1=5 3=5 ");
    put(&w, 1, 3);  /* to 8 and back to 5 */
    put(&w, 3, 2);  /* to 7, then too much */
    put(&w, 4, 20); /* never shown */
    settle(&w);
    put(&w, 1, -3);
    put(&w, 3, 9);
    settle(&w);
    pass(&w);
    CHECK_STR(tn_str_of(topic_of(&w, "held")), "1=5 3=5 3=- ");
    engine_world_release(&w);
}

/* Stream time runs far ahead within one interval: windows stay until their results are out. */
static void test_expired(void)
{
    struct engine_world w;
    struct tn_window window = {
        .kind = TN_WINDOW_TUMBLE, .size_ms = 10000, .advance_ms = 10000, .retention_ms = 10000};
    open_world(&w);
    tn_engine_close(w.engine);
    w.config.is_flush_every_commit = true; /* what is expired and flushed leaves memory, too */
    engine_world_open(&w);
    add_sum(&w, (struct wish){.name = "held", .interval_ms = INTERVAL_MS, .window = window});
    put(&w, 1, 1);
    settle(&w);
    for (int day = 1; day <= 3; day++) {
        put_at(&w, 1, day, day * 86400000ll);
        settle(&w);
    }
    CHECK_STR(tn_str_of(topic_of(&w, "held")), "1=1 ");
    pass(&w);
    CHECK_STR(tn_str_of(topic_of(&w, "held")), "1=1 1=1 1=2 1=3 ");
    put_at(&w, 1, 9, 4 * 86400000ll);
    settle(&w);
    pass(&w);
    CHECK_STR(tn_str_of(rows_of(&w, "held", false)), "1=9 "); /* the old ones are gone now */
    engine_world_release(&w);
}

/* More pending results than cache.max.bytes.buffering do not wait. */
static void test_bound(void)
{
    struct engine_world w;
    open_world(&w);
    tn_engine_close(w.engine);
    w.config.cache_emit_bytes = 2560; /* 20 rows of each of the two partitions */
    engine_world_open(&w);
    add_held(&w);
    put(&w, 50, 1);
    put(&w, 51, 1);
    put(&w, 52, 1);
    put(&w, 53, 1);
    settle(&w);
    int64_t first = records_of(&w, "held");
    for (int key = 0; key < 8; key++)
        put(&w, key, 1);
    settle(&w);
    CHECK_INT(records_of(&w, "held"), first);
    for (int key = 0; key < 80; key++)
        put(&w, key, 1);
    settle(&w);
    CHECK(records_of(&w, "held") >= first + 40);
    engine_world_release(&w);
}

static void test_explain(void)
{
    struct engine_world w;
    struct tn_buf buf;
    struct tn_query_info info;
    open_world(&w);
    tn_buf_init(&buf, 1 << 16);
    add_held(&w);
    CHECK(engine_world_info(&w, "held", &info));
    tn_plan_print(info.plan, &buf);
    CHECK(strstr(tn_buf_cstr(&buf), "2 hold <- 1; store 'store-held'") != NULL);
    tn_buf_release(&buf);
    engine_world_release(&w);
}

int main(void)
{
    test_spacing();
    test_restarts();
    test_ends();
    test_values();
    test_expired();
    test_bound();
    test_explain();
    return TN_TEST_END();
}
