/* Benchmarks core, wide, cold, workers and queries: the engine over events in memory, beside the
 * bare reference program (queries: beside one query).
 *
 *   core     5 M events, 10,000 keys (Zipf 1.0), one thread: decode → count by key → coalesced
 * changelog wide     the same with 2 M keys; state flushed, read back by a second open, both timed
 *   cold     10 M keys uniform, state.cache.bytes 64 MB; the share of misses is printed
 *   workers  core over 4 partitions with 1 and with 2 worker threads, wall time
 *   queries  500,000 events with 10 columns of 20 to 200 values in 4 partitions: 100 counts, each
 *            with another WHERE and GROUP BY, and 10 counts by song; CPU of many over CPU of one
 *
 * Results are compared with the reference before any figure is printed: same keys and counts, dead
 * letters equal to the malformed events. Figures are CPU seconds of the process; min, median, max
 * of the rounds. Usage: bench_core core|wide|cold|workers|queries [rounds [events]]
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "connectors/formats.h"
#include "sql/db.h"
#include "store/db.h"
#include "store/state.h"
#include "stream/base/mem.h"
#include "tests/bench/bare_core.h"
#include "tests/bench/bench_log.h"
#include "tests/bench/mem_catalog.h"
#include "tests/bench/system_clock.h"

#define ROUNDS_MAX 32

struct shape {
    const char *name;
    struct events_spec events;
    int64_t cache_bytes;
    int32_t partitions, threads; /* threads 0 = everything on this thread */
    bool is_reopened;
    int rounds;
};

static const struct shape shapes[] = {
    {"core", {11, 5000000, 10000, 1.0, 0.001, false}, 256 << 20, 1, 0, false, 5},
    {"wide", {12, 5000000, 2000000, 1.0, 0.001, false}, 256 << 20, 1, 0, true, 3},
    {"cold", {13, 5000000, 10000000, 0, 0.001, false}, 64 << 20, 1, 0, false, 1},
    {"workers", {11, 5000000, 10000, 1.0, 0.001, false}, 256 << 20, 4, 1, false, 3},
    {"queries", {.count = 500000}, 256 << 20, 4, 0, false, 3},
};

struct rig {
    const struct shape *shape;
    struct tn_store *store;
    struct tn_state *state;
    struct tn_log *log;
    struct tn_catalog_store *catalog;
    struct tn_engine *engine;
    struct tn_db *db;
    struct tn_metrics *metrics;
    char folder[64];
};

static void check(enum tn_status st, const struct tn_err *err)
{
    if (tn_failed(st)) {
        fprintf(stderr, "bench: %s: %s\n", tn_status_name(st), err->message);
        exit(1);
    }
}

static void rig_open_engine(struct rig *rig, int32_t threads)
{
    struct tn_err err = TN_ERR_INIT;
    struct tn_engine_config config = {.application_id = "bench",
                                      .commit_interval_ms = 100,
                                      .state_cache_bytes = rig->shape->cache_bytes,
                                      .round_rows_max = 500000,
                                      .round_bytes_max = 64 << 20,
                                      .threads_count = threads ? threads : 1,
                                      .metrics = rig->metrics,
                                      .formats = tn_formats_builtin()};
    check(tn_engine_open(&config, rig->log, rig->state, bench_clock(), &rig->engine, &err), &err);
    struct tn_db_config db = {.application_id = "bench",
                              .engine = rig->engine,
                              .log = rig->log,
                              .catalog_store = rig->catalog,
                              .clock = bench_clock(),
                              .metrics = rig->metrics,
                              .formats = tn_formats_builtin(),
                              .timeout_ms = 600000,
                              .rows_max = 100000000,
                              .threads_count = 1,
                              .default_partitions = rig->shape->partitions};
    check(tn_db_open(&db, &rig->db, &err), &err);
}

static void rig_open(struct rig *rig, const struct shape *shape, const struct events *events)
{
    struct tn_err err = TN_ERR_INIT;
    struct tn_store_config config;
    *rig = (struct rig){.shape = shape};
    snprintf(rig->folder, sizeof rig->folder, "/tmp/tarn-bench-XXXXXX");
    if (!mkdtemp(rig->folder))
        abort();
    tn_store_config_init(&config);
    config.path = rig->folder;
    config.application_id = "bench";
    config.clock = bench_clock();
    check(tn_store_open(&config, &rig->store, &err), &err);
    check(tn_rocks_state_open(rig->store, &rig->state, &err), &err);
    rig->metrics = tn_metrics_new();
    rig->log = bench_log_new("events", events, shape->partitions);
    rig->catalog = mem_catalog_new();
    rig_open_engine(rig, shape->threads);
}

static void rig_close_engine(struct rig *rig)
{
    tn_db_close(rig->db);
    tn_engine_close(rig->engine);
}

static void rig_close(struct rig *rig)
{
    char command[128];
    rig_close_engine(rig);
    rig->state->type->close(rig->state);
    tn_store_close(rig->store);
    bench_log_free(rig->log);
    mem_catalog_free(rig->catalog);
    tn_metrics_free(rig->metrics);
    snprintf(command, sizeof command, "rm -rf '%s'", rig->folder);
    if (system(command) != 0)
        abort();
}

static void apply(struct rig *rig, const char *script)
{
    struct tn_err err = TN_ERR_INIT;
    struct tn_buf warnings;
    tn_buf_init(&warnings, 65536);
    check(tn_db_apply(rig->db, tn_str_of(script), false, &warnings, &err), &err);
    tn_buf_release(&warnings);
}

static void rig_apply(struct rig *rig)
{
    static const char keyless[] = "CREATE STREAM events (song VARCHAR, ms INT) WITH "
                                  "(KAFKA_TOPIC='events', VALUE_FORMAT='JSON');";
    static const char keyed[] = "CREATE STREAM events (song VARCHAR KEY, ms INT) "
                                "WITH (KAFKA_TOPIC='events', VALUE_FORMAT='JSON');";
    static const char table[] =
        "CREATE TABLE by_song WITH (KEY_FORMAT='KAFKA') AS SELECT song, COUNT(*) AS n FROM events "
        "WHERE ms >= 0 GROUP BY song;";
    char script[1024];
    snprintf(script, sizeof script, "%s%s", rig->shape->partitions > 1 ? keyed : keyless, table);
    apply(rig, script);
}

struct totals {
    int64_t in, bad, lag, hits, misses;
    bool is_failed;
};

static bool add_totals(void *ctx, const struct tn_query_info *info)
{
    struct totals *totals = ctx;
    totals->in += info->rows_in;
    totals->bad += info->rows_bad;
    totals->lag += info->lag_records;
    totals->hits += info->state_hits;
    totals->misses += info->state_misses;
    if (info->state == TN_QUERY_FAILED) {
        fprintf(stderr, "bench: query failed: %s\n", info->error.message);
        totals->is_failed = true;
    }
    return true;
}

/* The table as an order-free checksum. */
static void read_table(struct rig *rig, const char *name, struct bare_counts *ret_counts)
{
    struct tn_err err = TN_ERR_INIT;
    struct tn_pin *pin;
    struct tn_table_scan *scan;
    struct tn_batch *batch;
    enum tn_status st;
    const struct tn_catalog *catalog = tn_db_catalog(rig->db);
    const struct tn_object *object = tn_catalog_find(catalog, TN_STR("default"), tn_str_of(name));
    check(tn_engine_pin(rig->engine, &pin, &err), &err);
    check(tn_table_scan_open(rig->engine, pin, object->query_id, NULL, NULL, &scan, &err), &err);
    *ret_counts = (struct bare_counts){0};
    while ((st = tn_table_scan_next(scan, &batch, &err)) == TN_OK) {
        for (uint32_t r = 0; r < batch->rows_count; r++)
            ret_counts->checksum += bare_pair_hash(tn_column_str(&batch->columns[0], r),
                                                   (uint64_t)tn_column_i64(&batch->columns[1], r));
        ret_counts->keys += batch->rows_count;
    }
    check(st == TN_END ? TN_OK : st, &err);
    tn_table_scan_close(scan);
    tn_pin_free(pin);
    tn_catalog_unref(catalog);
}

static void wake_signal(struct tn_wake *wake)
{
    (void)wake;
}

/* Process everything; with threads the caller waits through the engine's freshness ticket. */
static void drain(struct rig *rig, const char *table)
{
    struct tn_err err = TN_ERR_INIT;
    const char *ids[1];
    struct tn_wake wake = {wake_signal};
    struct tn_fresh *fresh;
    struct tn_buf lagging;
    enum tn_status st;
    const struct tn_catalog *catalog = tn_db_catalog(rig->db);
    ids[0] = tn_catalog_find(catalog, TN_STR("default"), tn_str_of(table))->query_id;
    tn_buf_init(&lagging, 4096);
    if (rig->shape->threads)
        check(tn_engine_start(rig->engine, &err), &err);
    check(tn_fresh_open(rig->engine, ids, 1, &wake, &fresh, &err), &err);
    while ((st = tn_fresh_poll(fresh, &lagging)) == TN_AGAIN) {
        if (rig->shape->threads)
            usleep(200);
        else
            for (int i = 0; i < 8; i++)
                check(tn_engine_step(rig->engine, &err), &err);
        tn_buf_reset(&lagging);
    }
    check(st, &err);
    tn_fresh_free(fresh);
    tn_buf_release(&lagging);
    tn_catalog_unref(catalog);
}

struct figures {
    double cpu, wall;
    int64_t changelog_records, changelog_bytes;
    double miss_share; /* of the keys looked for */
};

static void run_tarn(const struct shape *shape, const struct events *events,
                     const struct bare_counts *want, struct figures *ret_figures)
{
    struct rig rig;
    struct bare_counts got;
    struct totals totals = {0};
    int64_t dead, ignored;
    rig_open(&rig, shape, events);
    double cpu = bench_cpu(), wall = bench_wall();
    rig_apply(&rig);
    drain(&rig, "by_song");
    tn_engine_each_query(rig.engine, add_totals, &totals);
    ret_figures->miss_share = (double)totals.misses / (double)(totals.hits + totals.misses);
    if (shape->is_reopened) {
        rig_close_engine(&rig);
        rig_open_engine(&rig, 0);
        drain(&rig, "by_song");
    }
    if (!shape->is_reopened) {
        ret_figures->cpu = bench_cpu() - cpu;
        ret_figures->wall = bench_wall() - wall;
    }
    read_table(&rig, "by_song", &got);
    if (shape->is_reopened) {
        ret_figures->cpu = bench_cpu() - cpu;
        ret_figures->wall = bench_wall() - wall;
    }
    bench_log_swallowed(rig.log, "dead-letters", &dead, &ignored);
    bench_log_swallowed(rig.log, "BY_SONG", &ret_figures->changelog_records,
                        &ret_figures->changelog_bytes);
    if (got.keys != want->keys || got.checksum != want->checksum ||
        dead != (int64_t)want->malformed) {
        fprintf(stderr,
                "bench %s: results differ: %llu keys (want %llu), %lld dead letters (want %llu)\n",
                shape->name, (unsigned long long)got.keys, (unsigned long long)want->keys,
                (long long)dead, (unsigned long long)want->malformed);
        exit(1);
    }
    rig_close(&rig);
}

static void print_row(const char *name, double *values, int n, double events, double *ret_median)
{
    double low, median, high;
    bench_spread(values, n, &low, &median, &high);
    printf("  %-26s %8.3f %8.3f %8.3f CPU-s   %7.1f ns/event  %6.2f M events/CPU-s\n", name, low,
           median, high, median / events * 1e9, events / median / 1e6);
    *ret_median = median;
}

static void run_shape(const struct shape *shape)
{
    struct events events;
    struct bare_counts counts;
    struct figures figures[ROUNDS_MAX];
    double bare[ROUNDS_MAX], tarn[ROUNDS_MAX], bare_median, tarn_median;
    events_make(&shape->events, &events);
    printf("%s: %llu events of %.0f bytes, %u keys (%s), %d partition(s), state.cache.bytes %lld "
           "MiB, commit.interval.ms 100\n",
           shape->name, (unsigned long long)events.count,
           (double)events.bytes_count / (double)events.count, shape->events.keys_count,
           shape->events.zipf > 0 ? "Zipf 1.0" : "uniform", shape->partitions,
           (long long)(shape->cache_bytes >> 20));
    for (int i = 0; i < shape->rounds; i++) {
        double cpu = bench_cpu();
        bare_core_run(&events, &counts);
        bare[i] = bench_cpu() - cpu;
        run_tarn(shape, &events, &counts, &figures[i]);
        tarn[i] = figures[i].cpu;
    }
    print_row("bare_core.c", bare, shape->rounds, (double)events.count, &bare_median);
    print_row("tarn", tarn, shape->rounds, (double)events.count, &tarn_median);
    printf(
        "  ratio %.2f x bare; %lld changelog records, %.1f MB; %.1f %% of keys not in memory\n\n",
        bare_median / tarn_median, (long long)figures[0].changelog_records,
        (double)figures[0].changelog_bytes / 1e6, figures[0].miss_share * 100);
    bench_report(shape->name, "events per CPU-second", "events/s",
                 (double)events.count / tarn_median, (double)events.count / bare_median,
                 "bare_core.c");
    events_free(&events);
}

static void run_workers(const struct shape *one)
{
    struct events events;
    struct bare_counts counts;
    struct figures figures;
    double walls[2][ROUNDS_MAX], medians[2], low, high;
    events_make(&one->events, &events);
    bare_core_run(&events, &counts);
    for (int i = 0; i < one->rounds; i++) {
        for (int t = 0; t < 2; t++) {
            struct shape shape = *one;
            shape.threads = t + 1;
            run_tarn(&shape, &events, &counts, &figures);
            walls[t][i] = figures.wall;
        }
    }
    for (int t = 0; t < 2; t++) {
        bench_spread(walls[t], one->rounds, &low, &medians[t], &high);
        printf("workers: num.stream.threads=%d  %.3f %.3f %.3f s wall\n", t + 1, low, medians[t],
               high);
    }
    printf("  1 → 2 workers: %.2f x\n\n", medians[0] / medians[1]);
    bench_report("workers", "wall, 2 workers", "s", medians[1], medians[0], "1 worker");
    events_free(&events);
}

/* ---- many queries over one topic ---- */

static void by_column(struct tn_buf *script, int number)
{
    tn_buf_printf(script,
                  "CREATE TABLE t%d AS SELECT c%d, COUNT(*) AS n FROM events "
                  "WHERE ms >= %d AND c%d <> 'v%d' GROUP BY c%d;",
                  number, number % 10, number * 997 % 100000, (number / 10 + number + 1) % 10,
                  number % 20, number % 10);
}

static void by_key(struct tn_buf *script, int number)
{
    tn_buf_printf(script,
                  "CREATE TABLE t%d AS SELECT song, COUNT(*) AS n FROM events WHERE ms >= %d "
                  "GROUP BY song;",
                  number, number * 997);
}

/* CPU seconds of `count` queries; the first one's table as a checksum. */
static double run_queries(const struct shape *shape, const struct events *events,
                          void (*add)(struct tn_buf *script, int number), int count,
                          struct bare_counts *ret_first)
{
    struct rig rig;
    struct tn_buf script;
    char name[16];
    tn_buf_init(&script, 1 << 20);
    tn_buf_add_text(&script, "CREATE STREAM events (song VARCHAR KEY, ms INT");
    for (int c = 0; c < 10; c++)
        tn_buf_printf(&script, ", c%d VARCHAR", c);
    tn_buf_add_text(&script, ") WITH (KAFKA_TOPIC='events', VALUE_FORMAT='JSON');");
    for (int i = 0; i < count; i++)
        add(&script, i);
    tn_buf_add_byte(&script, 0);
    rig_open(&rig, shape, events);
    double cpu = bench_cpu();
    apply(&rig, script.ptr);
    double applied = bench_cpu();
    for (int i = 0; i < count; i++) { /* all read at once: the first one takes the time */
        snprintf(name, sizeof name, "t%d", i);
        drain(&rig, name);
    }
    double end = bench_cpu();
    printf("    %3d: %.3f CPU-s, %.3f of them until they ran\n", count, end - cpu, applied - cpu);
    read_table(&rig, "t0", ret_first);
    rig_close(&rig);
    tn_buf_release(&script);
    return end - cpu;
}

static void run_many(const struct shape *shape)
{
    static const struct {
        const char *name;
        void (*add)(struct tn_buf *script, int number);
        int count;
    } kinds[] = {{"counts by column", by_column, 100}, {"counts by song", by_key, 10}};
    struct events events;
    events_make_columns(shape->events.count, &events);
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        struct bare_counts first, alone;
        double one[ROUNDS_MAX], many[ROUNDS_MAX], low, high, medians[2];
        for (int i = 0; i < shape->rounds; i++) {
            one[i] = run_queries(shape, &events, kinds[k].add, 1, &alone);
            many[i] = run_queries(shape, &events, kinds[k].add, kinds[k].count, &first);
            if (first.keys != alone.keys || first.checksum != alone.checksum) {
                fprintf(stderr, "bench queries: the first of many differs from the one alone\n");
                exit(1);
            }
        }
        bench_spread(one, shape->rounds, &low, &medians[0], &high);
        bench_spread(many, shape->rounds, &low, &medians[1], &high);
        printf("queries: %llu events, %d %s: %.3f CPU-s, one %.3f: %.2f x\n",
               (unsigned long long)events.count, kinds[k].count, kinds[k].name, medians[1],
               medians[0], medians[1] / medians[0]);
        bench_report("queries", kinds[k].name, "CPU-s", medians[1], medians[0], "one query");
    }
    events_free(&events);
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        struct shape shape = shapes[i];
        if (argc > 1 && strcmp(argv[1], shape.name) != 0)
            continue;
        if (argc > 2)
            shape.rounds = atoi(argv[2]);
        if (argc > 3)
            shape.events.count = (uint64_t)atoll(argv[3]);
        if (strcmp(shape.name, "queries") == 0)
            run_many(&shape);
        else if (shape.threads)
            run_workers(&shape);
        else
            run_shape(&shape);
    }
    return 0;
}
