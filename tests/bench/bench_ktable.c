/* The ktable alone: updates of COUNT(*) by a VARCHAR key, with boundary, publish and gc each round,
 * in-memory state; then a full scan, look-ups and one flush. Prints ns a row and MB.
 *
 * Usage: bench_ktable [ROWS] [KEYS] [ZIPF 0|1] [ROUND_ROWS] */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "stream/base/mem.h"
#include "stream/keycode.h"
#include "stream/ktable.h"
#include "tests/support/mem_state.h"

#define BATCHES 64u /* prepared batches, used round and round with fresh keys for uniform runs */

static double cpu_s(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static double rss_mb(void)
{
    long pages = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f && fscanf(f, "%ld %ld", &pages, &resident) != 2)
        resident = 0;
    if (f)
        fclose(f);
    return (double)resident * 4096 / 1e6;
}

static uint64_t seed = 88172645463325252ull;
static uint64_t rnd(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

static uint32_t pick(uint32_t keys, bool is_zipf)
{
    if (!is_zipf)
        return (uint32_t)(rnd() % keys);
    double u = (double)(rnd() >> 11) / 9007199254740992.0;
    return (uint32_t)(pow((double)keys + 1, u) - 1); /* Zipf 1.0, close enough */
}

static void die(const struct tn_err *err)
{
    fprintf(stderr, "%s\n", err->message);
    exit(1);
}
#define MUST(call)                                                                                 \
    do {                                                                                           \
        if (tn_failed(call))                                                                       \
            die(&err);                                                                             \
    } while (0)

static void fill(struct tn_column *col, uint32_t keys, bool is_zipf, struct tn_arena *arena)
{
    tn_column_init(col, tn_type_of(TN_K_VARCHAR), TN_BATCH_ROWS_MAX, false, arena);
    col->data = tn_arena_alloc(arena, TN_BATCH_ROWS_MAX * 20);
    int32_t at = 0;
    for (uint32_t i = 0; i < TN_BATCH_ROWS_MAX; i++) {
        at += snprintf((char *)col->data + at, 20, "song-%u", pick(keys, is_zipf));
        col->offsets[i + 1] = at;
    }
}

static void scans(struct tni_ktable *kt, struct tni_view *view, uint32_t keys)
{
    struct tn_err err = TN_ERR_INIT;
    struct tn_arena arena;
    tn_arena_init(&arena, 0);
    double from = cpu_s();
    uint64_t rows_total = 0;
    int repeats = keys > 100000 ? 1 : 50;
    for (int r = 0; r < repeats; r++) {
        struct tni_view_pin pin;
        tni_view_pin(view, &pin);
        struct tni_scan *scan;
        MUST(tni_scan_open(kt, &pin, NULL, &scan, &err));
        static struct tni_row rows[TN_BATCH_ROWS_MAX];
        uint32_t count;
        while (tni_scan_next(scan, TN_BATCH_ROWS_MAX, &arena, rows, &count, &err) == TN_OK) {
            struct tn_column key, value;
            MUST(tni_ktable_rows_columns(kt, rows, count, NULL, &arena, &key, &value, NULL, NULL,
                                         NULL, &err));
            rows_total += count;
            tn_arena_reset(&arena);
        }
        tni_scan_close(scan);
        tni_view_unpin(view, &pin);
    }
    double s = cpu_s() - from;
    printf("scan        %7.1f ns a row, %.3f ms for %llu rows\n", s / (double)rows_total * 1e9,
           s / repeats * 1e3, (unsigned long long)rows_total / (unsigned long long)repeats);
    from = cpu_s();
    for (int i = 0; i < 100000; i++) {
        struct tni_view_pin pin;
        char text[24];
        text[0] = 1;
        int len = snprintf(text + 1, 20, "song-%u", (uint32_t)(rnd() % keys)) + 1;
        text[len] = text[len + 1] = 0;
        struct tn_str key = {text, (size_t)len + 2};
        struct tni_row row;
        tni_view_pin(view, &pin);
        MUST(tni_ktable_get(kt, &pin, &key, 1, &arena, &row, &err));
        tni_view_unpin(view, &pin);
        tn_arena_reset(&arena);
    }
    printf("look-up     %7.1f ns\n", (cpu_s() - from) / 100000 * 1e9);
    tn_arena_release(&arena);
}

int main(int argc, char **argv)
{
    uint64_t rows_total = argc > 1 ? strtoull(argv[1], NULL, 10) : 5000000;
    uint32_t keys = argc > 2 ? (uint32_t)atoi(argv[2]) : 10000;
    bool is_zipf = argc > 3 ? atoi(argv[3]) : true;
    uint64_t round_rows = argc > 4 ? strtoull(argv[4], NULL, 10) : 200000;
    struct tn_err err = TN_ERR_INIT;
    struct tn_arena arena;
    tn_arena_init(&arena, 0);
    struct tn_agg_call call = {.agg = tn_agg_find(TN_STR("count"), TN_RULES_STREAM)};
    MUST(tn_agg_bind(&call, &arena, &err));
    struct tn_state *state = mem_state_new();
    struct tni_view view;
    MUST(tni_view_init(&view, state, 0, &err));
    struct tni_budget budget;
    tni_budget_init(&budget, 4ll << 30);
    const struct tn_type *key_type = tn_type_of(TN_K_VARCHAR);
    struct tni_ktable_config config = {.store_id = 1,
                                       .keys_count = 1,
                                       .key_types = &key_type,
                                       .aggs_count = 1,
                                       .aggs = &call,
                                       .state = state,
                                       .budget = &budget,
                                       .view = &view,
                                       .is_known_empty = true};
    struct tni_ktable *kt;
    MUST(tni_ktable_open(&config, &kt, &err));
    struct tn_column *cols = tn_alloc_array(BATCHES, sizeof *cols);
    static struct tni_entry *entries[TN_BATCH_ROWS_MAX];
    static int64_t rowtimes[TN_BATCH_ROWS_MAX];
    static const uint32_t args[1][4];
    struct tn_batch batch = {.rowtime_ms = rowtimes, .rows_count = TN_BATCH_ROWS_MAX};
    double update_s = 0, round_s = 0, rss0 = rss_mb();
    uint64_t in_round = 0, done = 0, changes = 0;
    int64_t commit = 0;
    while (done < rows_total) {
        tn_arena_reset(&arena);
        for (uint32_t b = 0; b < BATCHES; b++)
            fill(&cols[b], keys, is_zipf, &arena);
        for (uint32_t b = 0; b < BATCHES && done < rows_total; b++) {
            double from = cpu_s();
            MUST(tni_ktable_acquire(kt, &cols[b], NULL, TN_BATCH_ROWS_MAX, NULL, entries, &err));
            tni_ktable_update(kt, entries, &batch, NULL, TN_BATCH_ROWS_MAX, args, NULL, false);
            tni_ktable_trim(kt);
            update_s += cpu_s() - from;
            done += TN_BATCH_ROWS_MAX;
            in_round += TN_BATCH_ROWS_MAX;
            if (in_round < round_rows)
                continue;
            from = cpu_s();
            struct tni_delta *delta = tni_ktable_boundary(kt);
            changes += tni_delta_count(delta);
            tni_ktable_publish(kt, delta, ++commit);
            tni_view_advance(&view, commit);
            tni_ktable_gc(kt);
            round_s += cpu_s() - from;
            in_round = 0;
        }
    }
    tni_ktable_publish(kt, tni_ktable_boundary(kt), ++commit);
    tni_view_advance(&view, commit);
    tni_ktable_gc(kt);
    struct tni_ktable_stats stats;
    tni_ktable_stats(kt, &stats);
    printf("rows %llu keys %u %s, round %llu\n", (unsigned long long)done, keys,
           is_zipf ? "zipf" : "uniform", (unsigned long long)round_rows);
    printf("update      %7.1f ns a row\n", update_s / (double)done * 1e9);
    printf("round       %7.1f ns a row, %.1f ns a change, %.0f changes a round\n",
           round_s / (double)done * 1e9, round_s / (double)changes * 1e9,
           (double)changes / (double)commit);
    printf("memory      %7.1f bytes a key (%lld keys), rss +%.0f MB\n",
           (double)stats.bytes / (double)stats.keys, (long long)stats.keys, rss_mb() - rss0);
    scans(kt, &view, keys);
    double from = cpu_s();
    struct tni_flush *flush = tni_flush_new(state, &view);
    tni_flush_add(flush, kt);
    size_t flushed = tni_flush_count(flush);
    double add_s = cpu_s() - from;
    MUST(tni_flush_apply(flush, &err));
    printf(
        "flush       %7.1f ns a key of which %.1f taking (with the in-memory port), rss +%.0f MB\n",
        (cpu_s() - from) / (double)flushed * 1e9, add_s / (double)flushed * 1e9, rss_mb() - rss0);
    tni_flush_free(flush);
    tni_ktable_unref(kt);
    tni_view_release(&view);
    state->type->close(state);
    tn_free(cols);
    tn_arena_release(&arena);
    return 0;
}
