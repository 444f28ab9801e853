/* Covers statements of sql/db.c when the log, the state or the catalog store fail: each one runs
 * again and again, with the 1st, 2nd, 3rd … fallible call failing once. Afterwards either all of it
 * happened or nothing: the statement can be run again, a restart reads the catalog, and the count
 * is right. */
#include "connectors/formats.h"
#include "sql/db.h"
#include "stream/base/mem.h"
#include "stream/engine_int.h"
#include "tests/check.h"
#include "tests/support/fake_clock.h"
#include "tests/support/mem_log.h"
#include "tests/support/mem_state.h"

struct catalog {
    struct tn_catalog_store base;
    char *records[64];
    size_t lens[64];
    int64_t count;
};

static int64_t calls_left; /* the call that fails; 0 = none */

static bool fails_now(void)
{
    return calls_left > 0 && --calls_left == 0;
}

static struct tn_mem_fault on_log(void *ctx, enum tn_mem_call call)
{
    (void)ctx, (void)call;
    return (struct tn_mem_fault){.st = fails_now() ? TN_E_IO : TN_OK};
}

static enum tn_status catalog_append(struct tn_catalog_store *store, int64_t version,
                                     struct tn_str record, struct tn_err *err)
{
    struct catalog *catalog = (struct catalog *)store;
    if (fails_now())
        return tn_err_set(err, TN_E_IO, "injected");
    TN_ASSERT(version == catalog->count + 1 && catalog->count < 64);
    catalog->records[catalog->count] = tn_strndup(record.ptr, record.len);
    catalog->lens[catalog->count++] = record.len;
    return TN_OK;
}

static enum tn_status catalog_each(struct tn_catalog_store *store,
                                   enum tn_status (*each)(void *ctx, int64_t version,
                                                          struct tn_str record, struct tn_err *err),
                                   void *ctx, struct tn_err *err)
{
    struct catalog *catalog = (struct catalog *)store;
    for (int64_t i = 0; i < catalog->count; i++)
        TN_TRY(each(ctx, i + 1, (struct tn_str){catalog->records[i], catalog->lens[i]}, err));
    return TN_OK;
}

struct world {
    struct fake_clock clock;
    struct catalog catalog;
    struct tn_log *log;
    struct tn_state *state;
    struct tn_engine *engine;
    struct tn_db *db;
    int64_t value;
};

static void start(struct world *world)
{
    struct tn_err err = TN_ERR_INIT;
    struct tn_engine_config engine = {.application_id = "test",
                                      .commit_interval_ms = 10,
                                      .state_cache_bytes = 1 << 20,
                                      .round_rows_max = 1 << 20,
                                      .round_bytes_max = 64 << 20,
                                      .threads_count = 1,
                                      .formats = tn_formats_builtin()};
    CHECK_OK(
        tn_engine_open(&engine, world->log, world->state, &world->clock.base, &world->engine, &err),
        &err);
    struct tn_db_config db = {.application_id = "test",
                              .engine = world->engine,
                              .log = world->log,
                              .catalog_store = &world->catalog.base,
                              .clock = &world->clock.base,
                              .formats = tn_formats_builtin(),
                              .default_partitions = 2};
    CHECK_OK(tn_db_open(&db, &world->db, &err), &err);
}

static void stop(struct world *world)
{
    tn_db_close(world->db);
    tn_engine_close(world->engine);
    world->db = NULL;
    world->engine = NULL;
}

static void settle(struct world *world)
{
    for (int idle = 0; idle < 5; idle++) {
        struct tn_err err = TN_ERR_INIT;
        while (tn_engine_step(world->engine, &err) == TN_OK)
            idle = 0;
        fake_clock_advance(&world->clock, 10);
    }
}

struct reading {
    struct tn_rows base;
    int64_t value;
};

static enum tn_status on_columns(struct tn_rows *rows, const struct tn_schema *schema,
                                 struct tn_err *err)
{
    (void)rows, (void)schema, (void)err;
    return TN_OK;
}

static enum tn_status on_batch(struct tn_rows *rows, const struct tn_batch *batch,
                               struct tn_err *err)
{
    (void)err;
    if (batch->rows_count && batch->schema->fields[0].type->kind == TN_K_BIGINT &&
        !tn_column_is_null(&batch->columns[0], 0))
        ((struct reading *)rows)->value = tn_column_i64(&batch->columns[0], 0);
    return TN_OK;
}

static enum tn_status run(struct world *world, const char *sql, struct tn_err *err)
{
    struct tn_session session;
    struct tn_budget budget = {.clock = &world->clock.base};
    struct reading reading = {.base = {on_columns, on_batch}};
    tn_session_init(&session);
    enum tn_status st =
        tn_db_run(world->db, &session, tn_str_of(sql), &budget, &reading.base, NULL, err);
    world->value = reading.value;
    return st;
}

static void must(struct world *world, const char *sql)
{
    struct tn_err err = TN_ERR_INIT;
    CHECK_OK(run(world, sql, &err), &err);
}

static void open_world(struct world *world)
{
    *world = (struct world){.catalog = {.base = {catalog_append, catalog_each}}};
    fake_clock_init(&world->clock);
    world->log = tn_mem_log_new(true);
    world->state = mem_state_new();
    tn_mem_log_set_fault(world->log, on_log, NULL);
    start(world);
    must(world, "CREATE STREAM plays (id INT KEY, song STRING) WITH (kafka_topic='plays', "
                "value_format='JSON')");
    must(world, "INSERT INTO plays VALUES (1, 'a'), (2, 'b'), (3, 'a')");
}

static void close_world(struct world *world)
{
    stop(world);
    world->state->type->close(world->state);
    world->log->type->close(world->log);
    for (int64_t i = 0; i < world->catalog.count; i++)
        tn_free(world->catalog.records[i]);
}

static const struct fault_case {
    const char *statement, *check;
    int64_t value;
} cases[] = {
    {"CREATE TABLE counts AS SELECT song, COUNT(*) AS n FROM plays GROUP BY song",
     "SELECT sum(n) FROM counts", 3},
    {"CREATE TABLE songs (id STRING PRIMARY KEY, n INT) WITH (kafka_topic='songs', "
     "value_format='JSON')",
     "SELECT count(*) FROM songs", 0},
    {"CREATE STREAM loud AS SELECT id, song + '!' AS song FROM plays", "SELECT count(*) FROM loud",
     3},
};

/* True when the n-th call was reached. */
static bool run_case(const struct fault_case *fault, int64_t n)
{
    struct world world;
    struct tn_err err = TN_ERR_INIT;
    open_world(&world);
    settle(&world);
    calls_left = n;
    enum tn_status st = run(&world, fault->statement, &err);
    bool is_reached = calls_left == 0;
    calls_left = 0;
    if (tn_failed(st)) {
        CHECK(err.message[0] != '\0');
        must(&world, fault->statement); /* nothing of it is left */
    }
    stop(&world);
    start(&world);
    settle(&world);
    must(&world, fault->check);
    CHECK_INT(world.value, fault->value);
    close_world(&world);
    return is_reached;
}

int main(void)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t n = 1;
        while (run_case(&cases[i], n))
            n++;
        printf("%s: %lld calls failed in turn\n", cases[i].check, (long long)n - 1);
        CHECK(n > 3);
    }
    return TN_TEST_END();
}
