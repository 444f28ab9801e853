/* Covers the engine through the music chart's plan over the in-memory log and state: the golden
 * rows of the original (single changes, coalesced and not), and restarts from state and from the
 * changelog alone. Queries, failures and reads: test_engine_queries.c; everything at once:
 * tests/sim.
 */
#include "connectors/formats.h"
#include "tests/check.h"
#include "tests/support/engine_world.h"

#define PARTITIONS 12

#define settle(w) CHECK(engine_world_settle(w))

/* ---- the music chart ---- */

static const char *const songs[] = {"The Good The Bad And The Ugly",
                                    "Believe",
                                    "Still Loving You",
                                    "Bohemian Rhapsody",
                                    "Sometimes",
                                    "Into The Unknown",
                                    "Fox On The Run",
                                    "Perfect"};

static void put_songs(struct engine_world *w)
{
    for (int32_t i = 0; i < 8; i++) {
        char json[128];
        snprintf(json, sizeof json, "{\"author\":\"x\",\"id\":%d,\"name\":\"%s\"}", i + 1,
                 songs[i]);
        engine_world_put(w, "songs", i + 1, json, 0);
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

static void chart_open(struct engine_world *w, bool is_emit_every_update)
{
    engine_world_topic(w, "songs", PARTITIONS);
    engine_world_topic(w, "played-songs", PARTITIONS);
    engine_world_topic(w, "chart", PARTITIONS);
    put_songs(w);
    engine_world_add(w, chart_plan(is_emit_every_update));
    settle(w);
}

static void play(struct engine_world *w, int32_t id, int64_t ts)
{
    engine_world_put(w, "played-songs", id, "2020-07-25T19:52:47Z;Alex", ts);
}

/* Changes one by one: key, count in the order of commits. `ids` 5 s apart. */
static void check_changes(bool is_emit_every_update, bool is_settled_between, const int *ids,
                          const int *counts, int n)
{
    struct engine_world w;
    engine_world_init(&w);
    chart_open(&w, is_emit_every_update);
    for (int i = 0; i < n; i++) {
        play(&w, ids[i], 5000 * (int64_t)i);
        if (is_settled_between)
            settle(&w);
    }
    settle(&w);
    struct tn_buf buf;
    tn_buf_init(&buf, 1 << 20);
    engine_world_dump(&w, "chart", true, &buf);
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
    engine_world_release(&w);
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

static void play_backlog(struct engine_world *w)
{
    static const int plays[][2] = {{7, 1}, {8, 1}, {1, 1}, {5, 2}, {4, 3}, {6, 3}, {2, 3}};
    for (int round = 0; round < 3; round++)
        for (size_t i = 0; i < sizeof plays / sizeof *plays; i++)
            if (round < plays[i][1])
                play(w, plays[i][0], round);
}

static void test_golden_backlog(void)
{
    struct engine_world w;
    struct tn_buf buf;
    engine_world_init(&w);
    tn_buf_init(&buf, 1 << 20);
    chart_open(&w, false);
    play_backlog(&w);
    play(&w, 99, 0); /* unknown song: dropped */
    settle(&w);
    engine_world_dump(&w, "chart", true, &buf);
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
    engine_world_dump(&w, "chart", true, &buf);
    CHECK(strstr(tn_buf_cstr(&buf), "6={\"count\":4,") != NULL);
    CHECK(strstr(tn_buf_cstr(&buf), "7={\"count\":2,") != NULL);
    tn_buf_release(&buf);
    engine_world_release(&w);
}

/* Stop in one of three ways, start again, count on: nothing lost, nothing twice. */
static void check_restart(bool is_kill, bool is_state_lost)
{
    struct engine_world w;
    struct tn_buf buf;
    engine_world_init(&w);
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
    engine_world_open(&w);
    engine_world_add(&w, chart_plan(false));
    play(&w, 6, 1000);
    settle(&w);
    engine_world_dump(&w, "chart", true, &buf);
    CHECK(strstr(tn_buf_cstr(&buf), "6={\"count\":4,\"songName\":\"Into The Unknown\"}") != NULL);
    CHECK(strstr(tn_buf_cstr(&buf), "\"count\":5") == NULL);
    tn_buf_release(&buf);
    engine_world_release(&w);
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
