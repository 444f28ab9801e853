/* Covers what a start does with state that does not fit the log: state ahead of the committed
 * positions, another cluster, a changelog that was recreated or cut, an input with more partitions;
 * that a start replays only the tail, and that it needs nothing of a committed tail that the log
 * does not show yet.
 */
#include <stdio.h>

#include "connectors/formats.h"
#include "stream/base/hash.h"
#include "tests/check.h"
#include "tests/support/engine_world.h"

#define PARTITIONS 2
#define CHANGELOG  "app-counts-store-changelog"

#define settle(w) CHECK(engine_world_settle(w))

static struct tn_plan *count_plan(void)
{
    struct plan_kit kit = kit_new("counts");
    struct tn_topic_decl *events = kit_decl(&kit, "events", "key INTEGER, g INTEGER", 1,
                                            &tn_format_kafka, &tn_format_json, PARTITIONS);
    int agg = kit_aggregate(&kit, kit_source(&kit, events), "key", "count() sum(g)", NULL, "store");
    struct tn_topic_decl *sink = kit_decl(&kit, "counts", "key INTEGER, n BIGINT, total INTEGER", 1,
                                          &tn_format_kafka, &tn_format_json, PARTITIONS);
    sink->is_table = true;
    kit_sink(&kit, agg, sink);
    kit_stage(&kit, PARTITIONS);
    return kit_done(&kit);
}

static void put(struct engine_world *w, int32_t key, int count)
{
    for (int i = 0; i < count; i++)
        engine_world_put(w, "events", key, "{\"g\":1}", 1000);
}

static void open_world(struct engine_world *w, bool has_other_ids)
{
    engine_world_init(w);
    if (has_other_ids)
        engine_world_topic(w, "somebody-elses", 1);
    engine_world_topic(w, "events", PARTITIONS);
    engine_world_topic(w, "counts", PARTITIONS);
    engine_world_add(w, count_plan());
}

static void shut(struct engine_world *w)
{
    tn_engine_close(w->engine);
    w->engine = NULL;
}

static void reopen(struct engine_world *w)
{
    engine_world_open(w);
    engine_world_add(w, count_plan());
    settle(w);
}

static int64_t count_of(struct engine_world *w, int32_t key)
{
    struct tn_pin *pin = NULL;
    struct tn_table_scan *scan = NULL;
    struct tn_batch *batch = NULL;
    int64_t found = 0;
    CHECK_OK(tn_engine_pin(w->engine, &pin, &w->err), &w->err);
    enum tn_status st = tn_table_scan_open(w->engine, pin, "counts", NULL, NULL, &scan, &w->err);
    while (st == TN_OK && (st = tn_table_scan_next(scan, &batch, &w->err)) == TN_OK)
        for (uint32_t i = 0; i < batch->rows_count; i++)
            if (tn_column_i32(&batch->columns[0], i) == key)
                found = tn_column_i64(&batch->columns[1], i);
    tn_table_scan_close(scan);
    tn_pin_free(pin);
    return found;
}

static void check_failed(struct engine_world *w, const char *text)
{
    struct tn_query_info info;
    CHECK(engine_world_info(w, "counts", &info));
    CHECK(info.state == TN_QUERY_FAILED);
    CHECK(strstr(info.error.message, text) != NULL);
}

/* State of a log that had more: the same topics (ids) or those of another cluster. */
static void check_foreign_state(bool has_other_ids)
{
    struct engine_world from, w;
    open_world(&from, false);
    put(&from, 1, 10);
    settle(&from);
    shut(&from);
    open_world(&w, has_other_ids);
    put(&w, 1, 3);
    settle(&w);
    shut(&w);
    struct tn_state *own = w.state;
    w.state = from.state;
    reopen(&w);
    CHECK_INT(count_of(&w, 1), 3);
    put(&w, 1, 1);
    settle(&w);
    CHECK_INT(count_of(&w, 1), 4);
    from.state = own;
    engine_world_release(&w);
    engine_world_release(&from);
}

static void test_ahead(void)
{
    check_foreign_state(false);
}

static void test_other_cluster(void)
{
    check_foreign_state(true);
}

/* Same log ids, but nothing was ever committed there: the whole input counts. */
static void test_fresh_cluster(void)
{
    struct engine_world from, w;
    open_world(&from, false);
    put(&from, 1, 10);
    settle(&from);
    shut(&from);
    open_world(&w, false);
    shut(&w);
    struct tn_state *own = w.state;
    w.state = from.state;
    put(&w, 1, 2);
    reopen(&w);
    CHECK_INT(count_of(&w, 1), 2);
    from.state = own;
    engine_world_release(&w);
    engine_world_release(&from);
}

static void test_changelog_recreated(void)
{
    struct engine_world w;
    open_world(&w, false);
    put(&w, 1, 5);
    settle(&w);
    shut(&w);
    CHECK_OK(w.log->type->topic_delete(w.log, CHANGELOG, &w.err), &w.err);
    reopen(&w); /* makes the topic */
    check_failed(&w, "was deleted and created anew");
    engine_world_release(&w);
}

/* Every record goes; the last control record stays. */
static void cut(struct engine_world *w)
{
    struct tn_topic topic;
    struct tn_offsets offsets;
    CHECK_OK(w->log->type->topic_find(w->log, CHANGELOG, &topic, &w->err), &w->err);
    for (int32_t p = 0; p < PARTITIONS; p++) {
        CHECK_OK(w->log->type->offsets(w->log, &topic, p, &offsets, &w->err), &w->err);
        tn_mem_log_truncate(w->log, CHANGELOG, p, offsets.end_visible - 1);
    }
}

static void test_changelog_cut(void)
{
    struct engine_world w;
    open_world(&w, false);
    put(&w, 1, 5);
    settle(&w);
    shut(&w);
    cut(&w);
    reopen(&w); /* the state port has all of it */
    CHECK_INT(count_of(&w, 1), 5);
    put(&w, 1, 1);
    settle(&w);
    shut(&w);
    cut(&w);
    w.state->type->close(w.state);
    w.state = mem_state_new();
    reopen(&w);
    check_failed(&w, "older records");
    engine_world_release(&w);
}

static void test_tail_only(void)
{
    struct engine_world w;
    struct tn_query_info info;
    open_world(&w, false);
    put(&w, 1, 5);
    settle(&w);
    shut(&w); /* a clean stop flushes */
    reopen(&w);
    CHECK(engine_world_info(&w, "counts", &info));
    CHECK(info.restore_total <= PARTITIONS); /* control records behind the last ones */
    put(&w, 1, 2);
    put(&w, 2, 2);
    settle(&w);
    tni_engine_abandon(w.engine); /* a kill does not */
    reopen(&w);
    CHECK(engine_world_info(&w, "counts", &info));
    CHECK(info.restore_total >= 2 && info.restore_total <= 2 + 2 * PARTITIONS);
    CHECK_INT(info.restore_done, info.restore_total);
    CHECK_INT(count_of(&w, 1), 7);
    CHECK_INT(count_of(&w, 2), 2);
    engine_world_release(&w);
}

static void check_hidden(struct engine_world *w, int32_t partition, bool is_hidden)
{
    struct tn_topic topic;
    struct tn_offsets offsets;
    CHECK_INT(w->log->type->topic_find(w->log, CHANGELOG, &topic, &w->err), TN_OK);
    CHECK_OK(w->log->type->offsets(w->log, &topic, partition, &offsets, &w->err), &w->err);
    CHECK((offsets.end_visible < offsets.end_written) == is_hidden);
}

static int32_t partition_of(int32_t key)
{
    char bytes[4] = {0, 0, 0, (char)key};
    return tn_partition_of(bytes, sizeof bytes, PARTITIONS);
}

static struct tn_mem_fault fail_begin(void *ctx, enum tn_mem_call call)
{
    int *left = ctx;
    bool is_hit = call == TN_MEM_BEGIN && *left > 0 && (*left)-- > 0;
    return (struct tn_mem_fault){.st = is_hit ? TN_E_INDEFINITE : TN_OK};
}

/* The last commit was acknowledged, but its records stay hidden: stored state that has them is used
 * as it is (it would wait for them for ever otherwise), and the next commit shows them. is_kept:
 * not a start, but a recovery of the running engine. */
static void check_lost_marker(bool is_kept)
{
    struct engine_world w;
    int32_t partition = partition_of(1);
    int left = 1;
    open_world(&w, false);
    put(&w, 1, 5);
    settle(&w);
    put(&w, 1, 3);
    settle(&w);
    if (!is_kept)
        shut(&w);
    tn_mem_log_lose_marker(w.log, CHANGELOG, partition);
    check_hidden(&w, partition, true);
    if (is_kept)
        tn_mem_log_set_fault(w.log, fail_begin, &left);
    else
        reopen(&w);
    if (!is_kept)
        CHECK_INT(count_of(&w, 1), 8);
    put(&w, 1, 1);
    settle(&w);
    CHECK_INT(count_of(&w, 1), 9);
    CHECK_INT(left, is_kept ? 0 : 1);
    check_hidden(&w, partition, false);
    tni_engine_abandon(w.engine);
    reopen(&w);
    CHECK_INT(count_of(&w, 1), 9);
    engine_world_release(&w);
}

static void test_lost_marker(void)
{
    check_lost_marker(false);
    check_lost_marker(true);
}

static void test_wider_input(void)
{
    struct engine_world w;
    open_world(&w, false);
    put(&w, 1, 1);
    settle(&w);
    tn_mem_log_widen(w.log, "events", PARTITIONS + 1); /* nothing else need happen to it */
    settle(&w);
    check_failed(&w, "has 3 partitions now");
    engine_world_release(&w);
}

int main(void)
{
    test_ahead();
    test_other_cluster();
    test_fresh_cluster();
    test_changelog_recreated();
    test_changelog_cut();
    test_tail_only();
    test_lost_marker();
    test_wider_input();
    return TN_TEST_END();
}
