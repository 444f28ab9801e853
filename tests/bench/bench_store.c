/* Figures of the store alone, for store/README.md: append of batches and of single records at 1, 16
 * and 64 outstanding, reads from tail and from disk, MultiGet, small changes, ingested files,
 * memory idle. Usage: bench_store [FOLDER]; prints wall and CPU per unit. Not a test. */
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "store/log.h"
#include "store/state.h"
#include "stream/base/mem.h"
#include "stream/batch.h"
#include "tests/support/temp_folder.h"

static double wall_s(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static double cpu_s(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)usage.ru_utime.tv_sec + (double)usage.ru_stime.tv_sec +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
}

static long resident_kib(void)
{
    long pages = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file) {
        if (fscanf(file, "%ld %ld", &pages, &resident) != 2)
            resident = 0;
        fclose(file);
    }
    return resident * 4;
}

static double wall_from, cpu_from;
static struct tn_store *store;

static void begin(void)
{
    wall_from = wall_s();
    cpu_from = cpu_s();
}

static void end(const char *what, double units)
{
    double wall = wall_s() - wall_from, cpu = cpu_s() - cpu_from;
    printf("%-34s %10.0f/s wall  %8.3f us wall  %8.3f us cpu  %6ld MiB\n", what, units / wall,
           wall * 1e6 / units, cpu * 1e6 / units, resident_kib() >> 10);
    if (store) {
        struct tn_store_stats stats;
        tn_store_stats(store, &stats);
        struct mallinfo2 heap = mallinfo2();
        printf(
            "%-34s RocksDB %lld MiB in memory, %lld MiB on disk; heap %zu MiB used %zu MiB free\n",
            "", (long long)stats.memory_bytes >> 20, (long long)stats.disk_bytes >> 20,
            (heap.uordblks + heap.hblkhd) >> 20, heap.fordblks >> 20);
    }
    fflush(stdout);
}

static void must(enum tn_status st, const struct tn_err *err)
{
    if (st == TN_OK)
        return;
    fprintf(stderr, "bench_store: %s\n", err->message);
    exit(1);
}

static int64_t wall_ms(struct tn_clock *clock)
{
    (void)clock;
    return (int64_t)(wall_s() * 1e3);
}

static int64_t mono_ns(struct tn_clock *clock)
{
    (void)clock;
    return (int64_t)(wall_s() * 1e9);
}

static uint64_t rng = 88172645463325252ull;

static uint64_t next_random(void)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return rng;
}

/* ---- appends ---- */

struct flight {
    pthread_mutex_t mu;
    pthread_cond_t cv;
    int outstanding;
    double *started, *latency; /* by request */
    int done_count;
};

struct one_append {
    struct flight *flight;
    int number;
};

static void on_done(void *ctx, enum tn_status st, int64_t base, const struct tn_err *err)
{
    (void)base;
    struct one_append *append = ctx;
    struct flight *flight = append->flight;
    must(st, err);
    pthread_mutex_lock(&flight->mu);
    flight->latency[append->number] = wall_s() - flight->started[append->number];
    flight->outstanding--;
    flight->done_count++;
    pthread_cond_signal(&flight->cv);
    pthread_mutex_unlock(&flight->mu);
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static struct tn_records *make_records(uint32_t count, size_t value_len)
{
    struct tn_records_builder rb;
    tn_records_builder_init(&rb);
    char value[1024], key[16];
    memset(value, 'v', sizeof value);
    for (uint32_t i = 0; i < count; i++) {
        int len = snprintf(key, sizeof key, "%u", (unsigned)(next_random() % 10000));
        tn_records_builder_add(&rb, (struct tn_str){key, (size_t)len},
                               (struct tn_str){value, value_len}, 1500000000000 + i);
    }
    struct tn_records *records = tn_records_builder_finish(&rb);
    tn_records_builder_release(&rb);
    return records;
}

static void bench_appends(struct tn_log *log, const struct tn_topic *topic, const char *what,
                          int concurrency, int count, uint32_t rows)
{
    struct flight flight = {.started = tn_alloc_array((size_t)count, sizeof(double)),
                            .latency = tn_alloc_array((size_t)count, sizeof(double))};
    struct one_append *appends = tn_alloc_array((size_t)count, sizeof *appends);
    struct tn_records *records = make_records(rows, 100);
    pthread_mutex_init(&flight.mu, NULL);
    pthread_cond_init(&flight.cv, NULL);
    begin();
    for (int i = 0; i < count; i++) {
        pthread_mutex_lock(&flight.mu);
        while (flight.outstanding >= concurrency)
            pthread_cond_wait(&flight.cv, &flight.mu);
        flight.outstanding++;
        flight.started[i] = wall_s();
        pthread_mutex_unlock(&flight.mu);
        appends[i] = (struct one_append){&flight, i};
        log->type->append(log, topic, i % topic->partitions_count, records, on_done, &appends[i]);
    }
    pthread_mutex_lock(&flight.mu);
    while (flight.outstanding > 0)
        pthread_cond_wait(&flight.cv, &flight.mu);
    pthread_mutex_unlock(&flight.mu);
    end(what, (double)count * rows);
    qsort(flight.latency, (size_t)count, sizeof(double), compare_doubles);
    printf("%-34s p50 %.3f ms  p99 %.3f ms\n", "", flight.latency[count / 2] * 1e3,
           flight.latency[count * 99 / 100] * 1e3);
    tn_records_unref(records);
    tn_free(flight.started);
    tn_free(flight.latency);
    tn_free(appends);
}

static void bench_txns(struct tn_log *log, const struct tn_topic *topic, int count, uint32_t rows)
{
    struct tn_err err = TN_ERR_INIT;
    struct tn_records *records = make_records(rows, 40);
    begin();
    for (int i = 0; i < count; i++) {
        struct tn_log_txn *txn;
        uint32_t slot;
        must(log->type->begin(log, &txn, &err), &err);
        for (int32_t p = 0; p < topic->partitions_count; p++)
            must(log->type->txn_append(txn, topic, p, records, &slot, &err), &err);
        must(log->type->txn_position(txn, TN_STR("app/q/t/0"), TN_STR("123456789"), &err), &err);
        must(log->type->commit_start(txn, NULL, &err), &err);
        log->type->txn_close(txn);
    }
    end("transactions, 4 x 250 records", (double)count * rows * topic->partitions_count);
    tn_records_unref(records);
}

static void bench_read(struct tn_log *log, const struct tn_topic *topic, const char *what)
{
    struct tn_err err = TN_ERR_INIT;
    struct tn_log_reader *reader;
    must(log->type->reader_open(log, NULL, &reader, &err), &err);
    double rows = 0;
    begin();
    for (int32_t p = 0; p < topic->partitions_count; p++) {
        struct tn_offsets offsets;
        must(log->type->offsets(log, topic, p, &offsets, &err), &err);
        for (int64_t at = offsets.start; at < offsets.end_visible;) {
            struct tn_read read;
            must(log->type->read(reader, topic, p, at, 1 << 20, &read, &err), &err);
            rows += read.records->count;
            at = read.next;
            tn_records_unref(read.records);
        }
    }
    end(what, rows);
    log->type->reader_close(reader);
}

/* ---- state ---- */

#define STATE_KEYS 1000000u

static struct tn_state_put *state_puts(uint32_t from, uint32_t count, uint32_t step,
                                       char **ret_bytes)
{
    struct tn_state_put *puts = tn_alloc_array(count, sizeof *puts);
    char *bytes = tn_alloc_raw((size_t)count * 64);
    for (uint32_t i = 0; i < count; i++) {
        char *at = bytes + (size_t)i * 64;
        int len = snprintf(at, 32, "0000000100000003k%07u", from + i * step);
        memset(at + 32, 'v', 24);
        puts[i] = (struct tn_state_put){{at, (size_t)len}, {at + 32, 24}};
    }
    *ret_bytes = bytes;
    return puts;
}

static void bench_ingest(struct tn_state *state, const char *what, uint32_t files, uint32_t rows)
{
    struct tn_err err = TN_ERR_INIT;
    begin();
    for (uint32_t f = 0; f < files; f++) {
        char *bytes;
        struct tn_state_put *puts = state_puts(f, rows, files, &bytes); /* files interleave */
        struct tn_state_change change = {.puts = puts, .puts_count = rows, .is_sorted = true};
        must(state->type->apply(state, &change, &err), &err);
        tn_free(puts);
        tn_free(bytes);
    }
    end(what, (double)files * rows);
}

static int compare_keys(const void *a, const void *b)
{
    return tn_str_cmp(*(const struct tn_str *)a, *(const struct tn_str *)b);
}

static void bench_gets(struct tn_state *state, const char *what, uint32_t batch, uint32_t rounds,
                       uint32_t space)
{
    struct tn_err err = TN_ERR_INIT;
    struct tn_arena arena;
    tn_arena_init(&arena, 0);
    struct tn_str *keys = tn_alloc_array(batch, sizeof *keys);
    struct tn_str *values = tn_alloc_array(batch, sizeof *values);
    char *bytes = tn_alloc_raw((size_t)batch * 32);
    uint64_t found = 0;
    begin();
    for (uint32_t r = 0; r < rounds; r++) {
        for (uint32_t i = 0; i < batch; i++) {
            int len = snprintf(bytes + i * 32, 32, "0000000100000003k%07u",
                               (unsigned)(next_random() % space));
            keys[i] = (struct tn_str){bytes + i * 32, (size_t)len};
        }
        qsort(keys, batch, sizeof *keys, compare_keys);
        must(state->type->multi_get(state, NULL, keys, batch, &arena, values, &err), &err);
        for (uint32_t i = 0; i < batch; i++)
            found += values[i].ptr != NULL;
        tn_arena_reset(&arena);
    }
    end(what, (double)batch * rounds);
    printf("%-34s %.0f %% found\n", "", 100.0 * (double)found / ((double)batch * rounds));
    tn_arena_release(&arena);
    tn_free(keys);
    tn_free(values);
    tn_free(bytes);
}

/* What a cache miss costs: read and write back sorted batches of random keys, compaction included.
 */
static void bench_cold(struct tn_state *state, uint32_t space, uint32_t batch, uint32_t rounds)
{
    struct tn_err err = TN_ERR_INIT;
    struct tn_arena arena;
    tn_arena_init(&arena, 0);
    struct tn_str *keys = tn_alloc_array(batch, sizeof *keys);
    struct tn_str *values = tn_alloc_array(batch, sizeof *values);
    struct tn_state_put *puts = tn_alloc_array(batch, sizeof *puts);
    char *bytes = tn_alloc_raw((size_t)batch * 32);
    for (uint32_t r = 0; r < rounds; r++) {
        if (r % (rounds / 5) == 0)
            begin();
        uint32_t count = 0;
        for (uint32_t i = 0; i < batch; i++) {
            int len = snprintf(bytes + i * 32, 32, "0000000200000003k%08u",
                               (unsigned)(next_random() % space));
            keys[i] = (struct tn_str){bytes + i * 32, (size_t)len};
        }
        qsort(keys, batch, sizeof *keys, compare_keys);
        for (uint32_t i = 0; i < batch; i++)
            if (i == 0 || !tn_str_eq(keys[count - 1], keys[i]))
                keys[count++] = keys[i];
        must(state->type->multi_get(state, NULL, keys, count, &arena, values, &err), &err);
        for (uint32_t i = 0; i < count; i++)
            puts[i] = (struct tn_state_put){keys[i], TN_STR("value of 24 bytes, as it")};
        struct tn_state_change change = {.puts = puts, .puts_count = count, .is_sorted = true};
        must(state->type->apply(state, &change, &err), &err);
        tn_arena_reset(&arena);
        if (r % (rounds / 5) == rounds / 5 - 1)
            end("cold: get and put back", (double)batch * (rounds / 5));
    }
    tn_arena_release(&arena);
    tn_free(keys);
    tn_free(values);
    tn_free(puts);
    tn_free(bytes);
}

static void bench_puts(struct tn_state *state, uint32_t batch, uint32_t rounds)
{
    struct tn_err err = TN_ERR_INIT;
    begin();
    for (uint32_t r = 0; r < rounds; r++) {
        char *bytes;
        uint32_t step = STATE_KEYS / batch;
        struct tn_state_put *puts =
            state_puts((uint32_t)(next_random() % step), batch, step, &bytes);
        struct tn_state_change change = {.puts = puts, .puts_count = batch};
        must(state->type->apply(state, &change, &err), &err);
        tn_free(puts);
        tn_free(bytes);
    }
    end("state, write batches of 1,000", (double)batch * rounds);
}

int main(int argc, char **argv)
{
    char path[512];
    struct tn_err err = TN_ERR_INIT;
    struct tn_clock clock = {wall_ms, mono_ns};
    struct tn_store_config config;
    struct tn_log *log;
    struct tn_state *state;
    if (argc > 1)
        snprintf(path, sizeof path, "%s", argv[1]);
    else
        temp_folder_make(path, sizeof path);
    tn_store_config_init(&config);
    config.path = path;
    config.application_id = "bench";
    config.clock = &clock;
    config.reserve_bytes = 0;
    must(tn_store_open(&config, &store, &err), &err);
    must(tn_rocks_log_open(store, &log, &err), &err);
    must(tn_rocks_state_open(store, &state, &err), &err);
    printf("idle after open: %ld KiB resident\n", resident_kib());
    struct tn_topic topic, changes;
    struct tn_topic_spec spec = {.name = "events",
                                 .partitions_count = 4,
                                 .cleanup = TN_CLEANUP_DELETE,
                                 .retention_ms = -1,
                                 .retention_bytes = -1};
    must(log->type->topic_create(log, &spec, &err), &err);
    must(log->type->topic_find(log, "events", &topic, &err), &err);
    spec.name = "changes";
    must(log->type->topic_create(log, &spec, &err), &err);
    must(log->type->topic_find(log, "changes", &changes, &err), &err);
    bench_appends(log, &topic, "single appends, 1 at a time", 1, 5000, 1);
    bench_appends(log, &topic, "single appends, 16 at a time", 16, 100000, 1);
    bench_appends(log, &topic, "single appends, 64 at a time", 64, 300000, 1);
    bench_appends(log, &topic, "batches of 4,096, 1 at a time", 1, 500, 4096);
    bench_appends(log, &topic, "batches of 4,096, 4 at a time", 4, 500, 4096);
    bench_txns(log, &changes, 2000, 250);
    bench_read(log, &changes, "read");
    bench_read(log, &topic, "read, mostly from RocksDB");
    bench_ingest(state, "state, 1 M keys, 10 files", 10, STATE_KEYS / 10);
    bench_gets(state, "state, multi_get of 1,000", 1000, 300, STATE_KEYS);
    bench_ingest(state, "state, the same keys again", 10, STATE_KEYS / 10);
    bench_gets(state, "state, multi_get of 1,000", 1000, 300, STATE_KEYS);
    bench_gets(state, "state, multi_get, 90 % absent", 1000, 300, STATE_KEYS * 10);
    bench_gets(state, "state, get of 1", 1, 50000, STATE_KEYS);
    bench_puts(state, 1000, 300);
    bench_gets(state, "state, multi_get of 1,000", 1000, 300, STATE_KEYS);
    if (argc > 2)
        bench_cold(state, 10000000, 30000, 500);
    state->type->close(state);
    log->type->close(log);
    begin();
    tn_store_close(store);
    store = NULL;
    end("close", 1);
    begin();
    must(tn_store_open(&config, &store, &err), &err);
    must(tn_rocks_log_open(store, &log, &err), &err);
    end("open again", 1);
    log->type->close(log);
    tn_store_close(store);
    if (argc < 2)
        temp_folder_remove(path);
    return 0;
}
