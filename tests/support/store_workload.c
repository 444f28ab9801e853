/* See store_workload.h. Topics: "in" (appended from outside, value = number), "out" (one record a
 * commit), "latest" (compacted, key = commit % 50, value = commit). Position "w": "commit p0 p1
 * sum". State: "pos" = commit and 20 rows s/… of the same value (small changes); "large" and 5,000
 * rows l/… (ingested); all of one change at once. */
#include "tests/support/store_workload.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/log.h"
#include "store/state.h"
#include "stream/base/mem.h"

#define IN_FLIGHT_MAX 16
#define SMALL_ROWS    20
#define LARGE_ROWS    5000
#define LATEST_KEYS   50
#define PROMISE_FD    3

/* ---- opening, shared by child and check ---- */

static int64_t clock_wall(struct tn_clock *clock)
{
    (void)clock;
    return 1500000000000;
}

static int64_t clock_mono(struct tn_clock *clock)
{
    (void)clock;
    return 0;
}

static struct tn_clock fixed_clock = {clock_wall, clock_mono};

struct world {
    struct tn_store *store;
    struct tn_log *log;
    struct tn_state *state;
    struct tn_topic in, out, latest;
};

static const char *context = "";

void store_workload_context(const char *text)
{
    context = text;
}

static void fail(const char *what, const struct tn_err *err)
{
    if (!getenv("TARN_WORKLOAD_ROUNDS"))
        fprintf(stderr, "workload: %s: %s %s\n", what, err->message, context);
    _exit(3); /* other threads go on: no destructors */
}

static void must(const char *what, enum tn_status st, const struct tn_err *err)
{
    if (st != TN_OK)
        fail(what, err);
}

static void make_topic(struct world *world, const char *name, int32_t partitions,
                       enum tn_cleanup cleanup, struct tn_topic *ret_topic)
{
    struct tn_err err = TN_ERR_INIT;
    struct tn_topic_spec spec = {.name = name,
                                 .partitions_count = partitions,
                                 .cleanup = cleanup,
                                 .retention_ms = -1,
                                 .retention_bytes = -1};
    must(name, world->log->type->topic_create(world->log, &spec, &err), &err);
    must(name, world->log->type->topic_find(world->log, name, ret_topic, &err), &err);
}

static void open_world(const char *folder, struct world *world)
{
    struct tn_err err = TN_ERR_INIT;
    struct tn_store_config config;
    tn_store_config_init(&config);
    config.path = folder;
    config.application_id = "workload";
    config.clock = &fixed_clock;
    config.cache_bytes = 1 << 20;
    config.write_buffer_bytes = 1 << 20; /* flushes and WAL switches happen often */
    config.tail_bytes = 64 << 10;
    config.reserve_bytes = 0;
    config.compaction_bytes = 64 << 10;
    config.sync_interval_ms = 60000; /* nothing is synced by chance */
    must("open", tn_store_open(&config, &world->store, &err), &err);
    must("log", tn_rocks_log_open(world->store, &world->log, &err), &err);
    must("state", tn_rocks_state_open(world->store, &world->state, &err), &err);
    make_topic(world, "in", WORKLOAD_PARTITIONS, TN_CLEANUP_DELETE, &world->in);
    make_topic(world, "out", 1, TN_CLEANUP_DELETE, &world->out);
    make_topic(world, "latest", 1, TN_CLEANUP_COMPACT, &world->latest);
}

static void close_world(struct world *world)
{
    world->state->type->close(world->state);
    world->log->type->close(world->log);
    tn_store_close(world->store);
}

struct position {
    long long commit, next[WORKLOAD_PARTITIONS], sum;
};

static enum tn_status see_position(void *ctx, struct tn_str key, struct tn_str value,
                                   struct tn_err *err)
{
    struct position *position = ctx;
    char text[128] = {0};
    memcpy(text, value.ptr, value.len < sizeof text ? value.len : sizeof text - 1);
    if (!tn_str_eq(key, TN_STR("w")) ||
        sscanf(text, "%lld %lld %lld %lld", &position->commit, &position->next[0],
               &position->next[1], &position->sum) != 4)
        return tn_err_set(err, TN_E_CORRUPT, "position '%s'", text);
    return TN_OK;
}

static void load_position(struct world *world, struct position *ret_position)
{
    struct tn_err err = TN_ERR_INIT;
    *ret_position = (struct position){0};
    must("positions",
         world->log->type->positions(world->log, TN_STR("w"), see_position, ret_position, &err),
         &err);
}

static struct tn_records *one_record(struct tn_str key, const char *value)
{
    struct tn_records_builder rb;
    tn_records_builder_init(&rb);
    tn_records_builder_add(&rb, key, tn_str_of(value), 1500000000000);
    struct tn_records *records = tn_records_builder_finish(&rb);
    tn_records_builder_release(&rb);
    return records;
}

/* ---- child: promises ---- */

/* One write of less than PIPE_BUF: whole lines or nothing. */
static void promise(const char *line)
{
    size_t len = strlen(line);
    if (write(PROMISE_FD, line, len) != (ssize_t)len)
        _exit(4);
}

/* ---- child: appends from outside ---- */

/* In a quiet run (every other seed) few appends come, so that nothing is synced for long times:
 * what must be synced explicitly, and only that, is. Its commits carry bulk, so that WAL files
 * change meanwhile. */
#define QUIET_FEEDS 200
#define BULK_BYTES  3000

struct feeder {
    struct world *world;
    bool is_quiet;
    uint64_t seed;
    atomic_llong number;
    pthread_mutex_t mu;
    pthread_cond_t cv;
    int in_flight;
};

struct feed {
    struct feeder *feeder;
    int32_t partition;
    long long number;
};

static uint64_t seed_next(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
    return *seed >> 33;
}

static void on_fed(void *ctx, enum tn_status st, int64_t base_offset, const struct tn_err *err)
{
    struct feed *feed = ctx;
    char line[96];
    if (st != TN_OK)
        fail("append", err);
    snprintf(line, sizeof line, "a %d %lld %lld\n", feed->partition, (long long)base_offset,
             feed->number);
    promise(line);
    pthread_mutex_lock(&feed->feeder->mu);
    feed->feeder->in_flight--;
    pthread_cond_signal(&feed->feeder->cv);
    pthread_mutex_unlock(&feed->feeder->mu);
    tn_free(feed);
}

static void *feeder_main(void *arg)
{
    struct feeder *feeder = arg;
    struct world *world = feeder->world;
    for (int count = 0; !feeder->is_quiet || count < QUIET_FEEDS; count++) {
        pthread_mutex_lock(&feeder->mu);
        while (feeder->in_flight >= IN_FLIGHT_MAX)
            pthread_cond_wait(&feeder->cv, &feeder->mu);
        feeder->in_flight++;
        pthread_mutex_unlock(&feeder->mu);
        struct feed *feed = tn_alloc(sizeof *feed);
        char value[600];
        feed->feeder = feeder;
        feed->partition = (int32_t)(seed_next(&feeder->seed) % WORKLOAD_PARTITIONS);
        feed->number = atomic_fetch_add(&feeder->number, 1);
        int padding = (int)(seed_next(&feeder->seed) % 400);
        snprintf(value, sizeof value, "%lld %*s", feed->number, padding, "");
        struct tn_records *records = one_record(TN_STR("k"), value);
        world->log->type->append(world->log, &world->in, feed->partition, records, on_fed, feed);
        tn_records_unref(records);
    }
    return NULL;
}

/* ---- child: commits and state ---- */

static long long number_of(struct tn_str value)
{
    char text[32] = {0};
    memcpy(text, value.ptr, value.len < sizeof text ? value.len : sizeof text - 1);
    return strtoll(text, NULL, 10);
}

/* Takes up to 50 records of a partition into the position. */
static void consume(struct world *world, struct tn_log_reader *reader, struct position *position,
                    int32_t partition)
{
    struct tn_err err = TN_ERR_INIT;
    struct tn_read read = {0};
    enum tn_status st = world->log->type->read(reader, &world->in, partition,
                                               position->next[partition], 8000, &read, &err);
    if (st == TN_AGAIN)
        return;
    must("read", st, &err);
    for (uint32_t i = 0; i < read.records->count; i++)
        position->sum += number_of(read.records->values[i]);
    position->next[partition] = read.next;
    tn_records_unref(read.records);
}

static void commit_round(struct world *world, struct position *position, bool is_quiet)
{
    struct tn_err err = TN_ERR_INIT;
    struct tn_log_txn *txn;
    char text[128], key[32], number[32], line[64], bulk[BULK_BYTES + 64];
    position->commit++;
    snprintf(text, sizeof text, "%lld %lld %lld %lld", position->commit, position->next[0],
             position->next[1], position->sum);
    snprintf(key, sizeof key, "%lld", position->commit % LATEST_KEYS);
    snprintf(number, sizeof number, "%lld", position->commit);
    must("begin", world->log->type->begin(world->log, &txn, &err), &err);
    snprintf(bulk, sizeof bulk, "%lld %*s", position->commit, is_quiet ? BULK_BYTES : 1, "");
    struct tn_records *out = one_record(TN_STR("k"), bulk);
    struct tn_records *latest = one_record(tn_str_of(key), number);
    must("txn", world->log->type->txn_append(txn, &world->out, 0, out, NULL, &err), &err);
    must("txn", world->log->type->txn_append(txn, &world->latest, 0, latest, NULL, &err), &err);
    must("txn", world->log->type->txn_position(txn, TN_STR("w"), tn_str_of(text), &err), &err);
    must("commit", world->log->type->commit_start(txn, NULL, &err), &err);
    must("commit", world->log->type->commit_poll(txn, &err), &err);
    world->log->type->txn_close(txn);
    tn_records_unref(out);
    tn_records_unref(latest);
    snprintf(line, sizeof line, "c %lld\n", position->commit);
    promise(line);
}

static void sync_log(struct world *world, const struct position *position)
{
    struct tn_err err = TN_ERR_INIT;
    char line[64];
    must("sync", world->log->type->sync(world->log, &err), &err);
    snprintf(line, sizeof line, "d %lld\n", position->commit);
    promise(line);
}

/* What end_durable says after opening is a promise too. */
static void promise_durable(struct world *world)
{
    struct tn_err err = TN_ERR_INIT;
    struct tn_offsets offsets;
    char line[64];
    must("offsets", world->log->type->offsets(world->log, &world->out, 0, &offsets, &err), &err);
    snprintf(line, sizeof line, "d %lld\n", (long long)offsets.end_durable);
    promise(line);
}

static void apply_state(struct world *world, const struct position *position, bool is_large)
{
    struct tn_err err = TN_ERR_INIT;
    static char keys[SMALL_ROWS + LARGE_ROWS + 2][16];
    static struct tn_state_put puts[SMALL_ROWS + LARGE_ROWS + 2];
    char value[32], line[64];
    size_t count = 0;
    snprintf(value, sizeof value, "%lld", position->commit);
    for (int i = 0; is_large && i < LARGE_ROWS; i++)
        snprintf(keys[count++], sizeof keys[0], "l/%05d", i);
    if (is_large)
        snprintf(keys[count++], sizeof keys[0], "large");
    snprintf(keys[count++], sizeof keys[0], "pos");
    for (int i = 0; i < SMALL_ROWS; i++)
        snprintf(keys[count++], sizeof keys[0], "s/%05d", i);
    for (size_t i = 0; i < count; i++)
        puts[i] = (struct tn_state_put){tn_str_of(keys[i]), tn_str_of(value)};
    struct tn_state_change change = {.puts = puts, .puts_count = count, .is_sorted = true};
    must("apply", world->state->type->apply(world->state, &change, &err), &err);
    if (is_large) {
        snprintf(line, sizeof line, "i %lld\n", position->commit);
        promise(line);
    }
}

static _Noreturn void work(const char *folder, uint64_t seed)
{
    struct world world;
    struct position position;
    struct tn_err err = TN_ERR_INIT;
    open_world(folder, &world);
    load_position(&world, &position);
    promise_durable(&world);
    struct feeder feeder = {.world = &world, .seed = seed, .is_quiet = seed / 2 % 2 == 0};
    atomic_init(&feeder.number, (long long)(seed % 1000000) * 1000000);
    pthread_mutex_init(&feeder.mu, NULL);
    pthread_cond_init(&feeder.cv, NULL);
    pthread_t thread;
    if (pthread_create(&thread, NULL, feeder_main, &feeder) != 0)
        _exit(5);
    struct tn_log_reader *reader;
    must("reader", world.log->type->reader_open(world.log, NULL, &reader, &err), &err);
    const char *rounds_text = getenv("TARN_WORKLOAD_ROUNDS");
    uint64_t rounds = rounds_text ? strtoull(rounds_text, NULL, 10) : UINT64_MAX;
    for (uint64_t round = 0; round < rounds; round++) {
        for (int32_t p = 0; p < WORKLOAD_PARTITIONS; p++)
            consume(&world, reader, &position, p);
        commit_round(&world, &position, feeder.is_quiet);
        uint64_t roll = seed_next(&seed) % 100;
        if (roll < (feeder.is_quiet ? 2 : 10))
            sync_log(&world, &position);
        else if (roll < 30)
            apply_state(&world, &position, false);
        else if (roll < 34)
            apply_state(&world, &position, true);
        else if (roll < 37)
            must("maintain", tn_rocks_log_maintain(world.log, &err), &err);
    }
    _exit(0);
}

void store_workload_child(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "child") == 0)
        work(argv[2], strtoull(argv[3], NULL, 10));
}

/* ---- parent ---- */

void workload_promises_release(struct workload_promises *promises)
{
    for (int p = 0; p < WORKLOAD_PARTITIONS; p++)
        tn_free(promises->acked[p]);
    *promises = (struct workload_promises){0};
}

static void keep_ack(struct workload_promises *promises, int partition, int64_t offset,
                     int64_t number)
{
    if (offset >= promises->acked_cap[partition]) {
        int64_t cap = promises->acked_cap[partition] ? promises->acked_cap[partition] : 1024;
        while (cap <= offset)
            cap *= 2;
        int64_t *acked = tn_alloc_array((size_t)cap, sizeof *acked);
        if (promises->acked_cap[partition])
            memcpy(acked, promises->acked[partition],
                   (size_t)promises->acked_cap[partition] * sizeof *acked);
        tn_free(promises->acked[partition]);
        promises->acked[partition] = acked;
        promises->acked_cap[partition] = cap;
    }
    promises->acked[partition][offset] = number + 1;
    promises->acked_count++;
}

static void keep_promise(struct workload_promises *promises, const char *line)
{
    long long a = 0, b = 0;
    int partition = 0;
    if (line[0] == 'a' && sscanf(line, "a %d %lld %lld", &partition, &a, &b) == 3)
        keep_ack(promises, partition, a, b);
    else if (sscanf(line + 1, "%lld", &a) == 1)
        *(line[0] == 'c'   ? &promises->committed
          : line[0] == 'd' ? &promises->durable
                           : &promises->ingested) = a;
}

static _Noreturn void become_child(const char *program, const char *folder, uint64_t seed,
                                   const char *const *environment, int promise_fd)
{
    char seed_text[32];
    snprintf(seed_text, sizeof seed_text, "%llu", (unsigned long long)seed);
    for (; environment && *environment; environment++)
        putenv((char *)(uintptr_t)*environment);
    if (promise_fd != PROMISE_FD && dup2(promise_fd, PROMISE_FD) < 0)
        _exit(6);
    execl(program, program, "child", folder, seed_text, (char *)NULL);
    _exit(7);
}

static int run(const char *program, const char *folder, uint64_t seed,
               const char *const *environment, int64_t kill_after,
               struct workload_promises *promises)
{
    int pipe_fds[2], status = -1;
    if (pipe(pipe_fds) != 0)
        return -1;
    pid_t pid = fork();
    if (pid == 0) {
        close(pipe_fds[0]);
        become_child(program, folder, seed, environment, pipe_fds[1]);
    }
    close(pipe_fds[1]);
    FILE *lines = fdopen(pipe_fds[0], "r");
    char line[128];
    int64_t count = 0;
    while (fgets(line, sizeof line, lines)) {
        if (strchr(line, '\n'))
            keep_promise(promises, line);
        if (++count == kill_after)
            kill(pid, SIGKILL);
    }
    fclose(lines);
    waitpid(pid, &status, 0);
    return status;
}

bool store_workload_run(const char *program, const char *folder, uint64_t seed,
                        const char *const *environment, int64_t kill_after,
                        struct workload_promises *promises)
{
    int status = run(program, folder, seed, environment, kill_after, promises);
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
        return true;
    fprintf(stderr, "workload: the child ended by itself (status %x)\n", (unsigned)status);
    return false;
}

int store_workload_run_to_end(const char *program, const char *folder, uint64_t seed,
                              const char *const *environment, struct workload_promises *promises)
{
    return run(program, folder, seed, environment, 0, promises);
}

/* ---- check ---- */

static int wrong_count;

static void wrong(const char *fmt, ...) TN_PRINTF(1, 2);
static void wrong(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    if (wrong_count++ < 20) {
        fprintf(stderr, "workload: ");
        vfprintf(stderr, fmt, ap);
        fprintf(stderr, "\n");
    }
    va_end(ap);
}

/* Calls `each` for every record of a partition; checks that offsets ascend, and are dense unless
 * may_skip. */
static void each_record(
    struct world *world, const struct tn_topic *topic, int32_t partition, bool may_skip,
    void (*each)(void *ctx, int64_t offset, struct tn_str key, struct tn_str value), void *ctx)
{
    struct tn_err err = TN_ERR_INIT;
    struct tn_log_reader *reader;
    int64_t next = 0;
    must("reader", world->log->type->reader_open(world->log, NULL, &reader, &err), &err);
    for (;;) {
        struct tn_read read = {0};
        enum tn_status st =
            world->log->type->read(reader, topic, partition, next, 1 << 16, &read, &err);
        if (st == TN_AGAIN)
            break;
        if (st != TN_OK) {
            wrong("%s", err.message);
            break;
        }
        for (uint32_t i = 0; i < read.records->count; i++) {
            int64_t offset = read.records->offsets[i];
            if (may_skip ? offset < next : offset != next + i)
                wrong("topic %s offset %lld out of order", topic->name, (long long)offset);
            each(ctx, offset, read.records->keys[i], read.records->values[i]);
        }
        next = read.next;
        tn_records_unref(read.records);
    }
    world->log->type->reader_close(reader);
}

struct in_check {
    struct workload_promises *promises;
    int partition;
    int64_t below; /* position */
    int64_t end, found;
    long long sum;
};

static void check_in(void *ctx, int64_t offset, struct tn_str key, struct tn_str value)
{
    (void)key;
    struct in_check *check = ctx;
    long long number = number_of(value);
    const struct workload_promises *promises = check->promises;
    if (offset < promises->acked_cap[check->partition]) {
        int64_t acked = promises->acked[check->partition][offset];
        if (acked != 0 && acked != number + 1)
            wrong("in/%d offset %lld holds %lld, acknowledged was %lld", check->partition,
                  (long long)offset, number, (long long)acked - 1);
        check->found += acked != 0;
    }
    if (offset < check->below)
        check->sum += number;
    check->end = offset + 1;
}

struct out_check {
    const struct position *position;
    long long count;
    long long latest[LATEST_KEYS];
};

static void check_out(void *ctx, int64_t offset, struct tn_str key, struct tn_str value)
{
    (void)key;
    struct out_check *check = ctx;
    if (number_of(value) != offset + 1)
        wrong("out offset %lld holds commit %lld", (long long)offset, number_of(value));
    check->count = offset + 1;
}

static void check_latest(void *ctx, int64_t offset, struct tn_str key, struct tn_str value)
{
    struct out_check *check = ctx;
    long long commit = number_of(value);
    if (commit != offset + 1 || commit % LATEST_KEYS != number_of(key))
        wrong("latest offset %lld holds commit %lld", (long long)offset, commit);
    check->latest[commit % LATEST_KEYS] = commit;
}

static void check_log(struct world *world, const struct position *position,
                      struct workload_promises *promises)
{
    long long sum = 0;
    int64_t found = 0;
    for (int p = 0; p < WORKLOAD_PARTITIONS; p++) {
        struct in_check in = {.promises = promises, .partition = p, .below = position->next[p]};
        each_record(world, &world->in, p, false, check_in, &in);
        if (position->next[p] > in.end)
            wrong("position %lld of in/%d is beyond its end %lld", position->next[p], p,
                  (long long)in.end);
        sum += in.sum;
        found += in.found;
    }
    if (found != promises->acked_count)
        wrong("%lld records acknowledged, %lld of them found", (long long)promises->acked_count,
              (long long)found);
    if (sum != position->sum)
        wrong("sum of inputs %lld, sum in the position %lld", sum, position->sum);
    struct out_check out = {.position = position};
    each_record(world, &world->out, 0, false, check_out, &out);
    if (out.count != position->commit)
        wrong("position of commit %lld, %lld outputs", position->commit, out.count);
    each_record(world, &world->latest, 0, true, check_latest, &out);
    for (long long commit = position->commit; commit > 0 && commit > position->commit - LATEST_KEYS;
         commit--)
        if (out.latest[commit % LATEST_KEYS] != commit)
            wrong("latest of key %lld is %lld, expected %lld", commit % LATEST_KEYS,
                  out.latest[commit % LATEST_KEYS], commit);
}

/* All rows of [from, to) have one value; returns it (0 without rows). */
static long long one_value(struct world *world, const char *from, const char *to, int rows)
{
    struct tn_err err = TN_ERR_INIT;
    struct tn_state_iter *iter;
    struct tn_str key, value;
    long long first = 0;
    int count = 0;
    enum tn_status st;
    must("state",
         world->state->type->iter_open(world->state, NULL, tn_str_of(from), tn_str_of(to), &iter,
                                       &err),
         &err);
    while ((st = world->state->type->iter_next(iter, &key, &value, &err)) == TN_OK) {
        if (count++ == 0)
            first = number_of(value);
        else if (number_of(value) != first)
            wrong("state: '%.*s' is of commit %lld, others of %lld", TN_STR_FMT(key),
                  number_of(value), first);
    }
    if (st != TN_END)
        wrong("%s", err.message);
    if (count != 0 && count != rows)
        wrong("state: %d rows in %s, expected %d", count, from, rows);
    world->state->type->iter_close(iter);
    return first;
}

static void check_state(struct world *world, const struct position *position,
                        const struct workload_promises *promises)
{
    long long pos = one_value(world, "pos", "pos~", 1);
    long long small = one_value(world, "s/", "s0", SMALL_ROWS);
    long long large = one_value(world, "large", "large~", 1);
    long long rows = one_value(world, "l/", "l0", LARGE_ROWS);
    if (pos != small || large != rows)
        wrong("state: torn change: pos %lld, rows %lld; large %lld, rows %lld", pos, small, large,
              rows);
    if (pos > position->commit)
        wrong("state is of commit %lld, the log only at %lld", pos, position->commit);
    if (large < promises->ingested)
        wrong("state: file of commit %lld was ingested, found %lld", (long long)promises->ingested,
              large);
}

bool store_workload_check(const char *folder, bool is_power, struct workload_promises *promises)
{
    struct world world;
    struct position position;
    wrong_count = 0;
    open_world(folder, &world);
    load_position(&world, &position);
    int64_t promised = is_power ? promises->durable : promises->committed;
    if (position.commit < promised)
        wrong("commit %lld was promised, the log is at %lld", (long long)promised, position.commit);
    check_log(&world, &position, promises);
    check_state(&world, &position, promises);
    /* what is visible now is the base of the next run: a commit that was not promised may have
     * survived */
    promises->committed = position.commit;
    close_world(&world);
    return wrong_count == 0;
}
