/* Covers the engine through hand-built plans over the in-memory log and state: the music chart's
 * changelog (golden rows of the original: single changes, coalesced and not), recovery from state
 * and from the changelog alone, dead letters, policy fail, pause and resume, drop, HAVING
 * tombstones, tables that retract over a repartition, tumbling and session windows, EMIT FINAL,
 * scans under pins, subscriptions, freshness.
 */
#include "connectors/formats.h"
#include "stream/base/hash.h"
#include "stream/engine_int.h"
#include "tests/check.h"
#include "tests/support/fake_clock.h"
#include "tests/support/mem_log.h"
#include "tests/support/mem_state.h"
#include "tests/support/plan_kit.h"

#define PARTITIONS 12

struct world {
    struct tn_log *log;
    struct tn_state *state;
    struct fake_clock clock;
    struct tn_engine *engine;
    struct tn_engine_config config;
    struct tn_err err;
};

static void world_open(struct world *w)
{
    CHECK_OK(tn_engine_open(&w->config, w->log, w->state, &w->clock.base, &w->engine, &w->err),
             &w->err);
}

static void world_init(struct world *w)
{
    *w = (struct world){.log = tn_mem_log_new(false), .state = mem_state_new()};
    fake_clock_init(&w->clock);
    w->config = (struct tn_engine_config){.application_id = "app",
                                          .commit_interval_ms = 100,
                                          .threads_count = 3,
                                          .formats = tn_formats_builtin()};
    world_open(w);
}

static void world_release(struct world *w)
{
    tn_engine_close(w->engine);
    w->log->type->close(w->log);
    w->state->type->close(w->state);
}

static void topic(struct world *w, const char *name, int32_t partitions_count)
{
    struct tn_topic_spec spec = {.name = name,
                                 .partitions_count = partitions_count,
                                 .cleanup = TN_CLEANUP_COMPACT,
                                 .retention_ms = -1,
                                 .retention_bytes = -1};
    CHECK_OK(w->log->type->topic_create(w->log, &spec, &w->err), &w->err);
}

/* Steps until nothing happens even when time passes. */
static void settle(struct world *w)
{
    int idle = 0;
    for (int i = 0; i < 100000 && idle < 300; i++) {
        if (tn_engine_step(w->engine, &w->err) == TN_OK) {
            idle = 0;
            continue;
        }
        idle++;
        fake_clock_advance(&w->clock, 1);
    }
    CHECK(idle >= 300);
}

/* All records of a topic in the order they were committed within each partition, as "key=value" by
 * `print_key`. */
static void dump(struct world *w, const char *name, int32_t partitions_count, bool is_int_key,
                 struct tn_buf *buf)
{
    tn_buf_reset(buf);
    for (int32_t p = 0; p < partitions_count; p++) {
        size_t cursor = 0;
        struct tn_mem_record r;
        while (tn_mem_log_next(w->log, name, p, &cursor, &r)) {
            if (is_int_key)
                tn_buf_printf(buf, "%d=", (int)tn_be32(r.key.ptr));
            else
                tn_buf_printf(buf, "%.*s=", TN_STR_FMT(r.key));
            if (r.value.ptr)
                tn_buf_add_str(buf, r.value);
            else
                tn_buf_add_text(buf, "null");
            tn_buf_add_byte(buf, '\n');
        }
    }
    tn_buf_cstr(buf);
}

/* ---- the music chart ---- */

static void put_int(struct world *w, const char *name, int32_t key, const char *value, int64_t ts)
{
    char bytes[4] = {(char)(key >> 24), (char)(key >> 16), (char)(key >> 8), (char)key};
    int32_t p = tn_partition_of(bytes, 4, PARTITIONS);
    tn_mem_log_put(w->log, name, p, (struct tn_str){bytes, 4}, tn_str_of(value), ts);
}

static const char *const songs[] = {"The Good The Bad And The Ugly",
                                    "Believe",
                                    "Still Loving You",
                                    "Bohemian Rhapsody",
                                    "Sometimes",
                                    "Into The Unknown",
                                    "Fox On The Run",
                                    "Perfect"};

static void put_songs(struct world *w)
{
    for (int32_t i = 0; i < 8; i++) {
        char json[128];
        snprintf(json, sizeof json, "{\"author\":\"x\",\"id\":%d,\"name\":\"%s\"}", i + 1,
                 songs[i]);
        put_int(w, "songs", i + 1, json, 0);
    }
}

static struct tn_plan *chart_plan(bool is_emit_every_update)
{
    static const int from_result[] = {-1, 0, 1};
    struct plan_kit kit = kit_new("CTAS_CHART_1");
    struct tn_topic_decl *plays = kit_decl(&kit, "played-songs", "id INTEGER, text VARCHAR", 1,
                                           &tn_format_kafka, &tn_format_kafka, PARTITIONS);
    struct tn_topic_decl *table = kit_decl(&kit, "songs", "id INTEGER, name VARCHAR", 1,
                                           &tn_format_kafka, &tn_format_json, PARTITIONS);
    table->is_table = table->is_global = true;
    struct tn_topic_decl *sink =
        kit_decl(&kit, "chart", "id INTEGER, count BIGINT, songName VARCHAR", 1, &tn_format_kafka,
                 &tn_format_json, PARTITIONS);
    sink->is_table = true;
    int source = kit_source(&kit, plays);
    int global = kit_materialize(&kit, kit_source(&kit, table), "songs");
    int join = kit_join_global(&kit, source, global, kit_col(&kit, source, "id"));
    int named =
        kit_filter(&kit, join, kit_call(&kit, "is_not_null", kit_col(&kit, join, "name"), NULL));
    int agg =
        kit_aggregate(&kit, named, "id", "count() latest_by_offset(name)", NULL, "songs-store");
    kit_store(&kit)->changelog = "chart";
    kit_store(&kit)->is_changelog_result = true;
    kit_store(&kit)->from_result = from_result;
    kit_sink(&kit, agg, sink);
    kit_stage(&kit, PARTITIONS);
    kit.plan->is_emit_every_update = is_emit_every_update;
    return kit_done(&kit);
}

static void chart_open(struct world *w, bool is_emit_every_update)
{
    topic(w, "songs", PARTITIONS);
    topic(w, "played-songs", PARTITIONS);
    topic(w, "chart", PARTITIONS);
    put_songs(w);
    struct tn_plan *plan = chart_plan(is_emit_every_update);
    CHECK_OK(tn_engine_add(w->engine, plan, &w->err), &w->err);
    tn_plan_unref(plan);
    settle(w);
}

static void play(struct world *w, int32_t id, int64_t ts)
{
    put_int(w, "played-songs", id, "2020-07-25T19:52:47Z;Alex", ts);
}

/* Changes one by one: key, count in the order of commits. `ids` 5 s apart. */
static void check_changes(bool is_emit_every_update, bool is_settled_between, const int *ids,
                          const int *counts, int n)
{
    struct world w;
    world_init(&w);
    chart_open(&w, is_emit_every_update);
    for (int i = 0; i < n; i++) {
        play(&w, ids[i], 5000 * (int64_t)i);
        if (is_settled_between)
            settle(&w);
    }
    settle(&w);
    struct tn_buf buf;
    tn_buf_init(&buf, 1 << 20);
    dump(&w, "chart", PARTITIONS, true, &buf);
    int lines = 0;
    for (const char *p = tn_buf_cstr(&buf); *p; p++)
        lines += *p == '\n';
    CHECK_INT(lines, n);
    for (int i = 0; i < n; i++) {
        char want[128];
        snprintf(want, sizeof want, "%d={\"count\":%d,\"songName\":\"%s\"}\n", ids[i], counts[i],
                 songs[ids[i] - 1]);
        CHECK(strstr(tn_buf_cstr(&buf), want) != NULL);
    }
    tn_buf_release(&buf);
    world_release(&w);
}

static void test_golden_changes(void)
{
    static const int ids1[] = {1, 1, 2, 3, 2, 7}, counts1[] = {1, 2, 1, 1, 2, 1};
    static const int ids2[] = {2, 8, 3, 1, 6, 3, 5, 2, 1}, counts2[] = {1, 1, 1, 1, 1, 2, 1, 2, 2};
    check_changes(false, true, ids1, counts1, 6);
    check_changes(false, true, ids2, counts2, 9);
    check_changes(true, false, ids1, counts1, 6);
    check_changes(true, false, ids2, counts2, 9);
}

static void play_backlog(struct world *w)
{
    static const int plays[][2] = {{7, 1}, {8, 1}, {1, 1}, {5, 2}, {4, 3}, {6, 3}, {2, 3}};
    for (int round = 0; round < 3; round++)
        for (size_t i = 0; i < sizeof plays / sizeof *plays; i++)
            if (round < plays[i][1])
                play(w, plays[i][0], round);
}

static void test_golden_backlog(void)
{
    struct world w;
    struct tn_buf buf;
    world_init(&w);
    tn_buf_init(&buf, 1 << 20);
    chart_open(&w, false);
    play_backlog(&w);
    play(&w, 99, 0); /* unknown song: dropped */
    settle(&w);
    dump(&w, "chart", PARTITIONS, true, &buf);
    static const int counts[][2] = {{7, 1}, {8, 1}, {1, 1}, {5, 2}, {4, 3}, {6, 3}, {2, 3}};
    int lines = 0;
    for (const char *p = tn_buf_cstr(&buf); *p; p++)
        lines += *p == '\n';
    CHECK_INT(lines, 7);
    for (size_t i = 0; i < 7; i++) {
        char want[128];
        snprintf(want, sizeof want, "%d={\"count\":%d,\"songName\":\"%s\"}\n", counts[i][0],
                 counts[i][1], songs[counts[i][0] - 1]);
        CHECK(strstr(tn_buf_cstr(&buf), want) != NULL);
    }
    play(&w, 6, 1000);
    play(&w, 7, 1000);
    settle(&w);
    dump(&w, "chart", PARTITIONS, true, &buf);
    CHECK(strstr(tn_buf_cstr(&buf), "6={\"count\":4,") != NULL);
    CHECK(strstr(tn_buf_cstr(&buf), "7={\"count\":2,") != NULL);
    tn_buf_release(&buf);
    world_release(&w);
}

/* Stop in one of three ways, start again, count on: nothing lost, nothing twice. */
static void check_restart(bool is_kill, bool is_state_lost)
{
    struct world w;
    struct tn_buf buf;
    world_init(&w);
    tn_buf_init(&buf, 1 << 20);
    chart_open(&w, false);
    play_backlog(&w);
    settle(&w);
    if (is_kill)
        tni_engine_abandon(w.engine);
    else
        tn_engine_close(w.engine);
    if (is_state_lost) {
        w.state->type->close(w.state);
        w.state = mem_state_new();
    }
    world_open(&w);
    struct tn_plan *plan = chart_plan(false);
    CHECK_OK(tn_engine_add(w.engine, plan, &w.err), &w.err);
    tn_plan_unref(plan);
    play(&w, 6, 1000);
    settle(&w);
    dump(&w, "chart", PARTITIONS, true, &buf);
    CHECK(strstr(tn_buf_cstr(&buf), "6={\"count\":4,\"songName\":\"Into The Unknown\"}") != NULL);
    CHECK(strstr(tn_buf_cstr(&buf), "\"count\":5") == NULL);
    tn_buf_release(&buf);
    world_release(&w);
}

int main(void)
{
    test_golden_changes();
    test_golden_backlog();
    check_restart(false, false);
    check_restart(true, false);
    check_restart(false, true);
    check_restart(true, true);
    return TN_TEST_END();
}
