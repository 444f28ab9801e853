/* Covers sql/db.c under threads: the engine runs on its own threads while statements run on several
 * others: inserts, queries, DDL that makes and drops tables, push queries that end by LIMIT or by
 * being cancelled, fresh reads. At the end every inserted row is counted. Run under TSan, too. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "connectors/formats.h"
#include "sql/db.h"
#include "stream/base/mem.h"
#include "tests/check.h"
#include "tests/support/mem_log.h"
#include "tests/support/mem_state.h"
#include "tests/support/test_clock.h"

#define INSERTS 300
#define ROUNDS  40

struct catalog {
    struct tn_catalog_store base;
    int64_t count;
};

static enum tn_status catalog_append(struct tn_catalog_store *store, int64_t version,
                                     struct tn_str record, struct tn_err *err)
{
    struct catalog *catalog = (struct catalog *)store;
    (void)record;
    if (version != catalog->count + 1)
        return tn_err_set(err, TN_E_BUSY, "version %lld is not next", (long long)version);
    catalog->count++;
    return TN_OK;
}

static enum tn_status catalog_each(struct tn_catalog_store *store,
                                   enum tn_status (*each)(void *ctx, int64_t version,
                                                          struct tn_str record, struct tn_err *err),
                                   void *ctx, struct tn_err *err)
{
    (void)store, (void)each, (void)ctx, (void)err;
    return TN_OK;
}

struct counting {
    struct tn_rows base;
    int64_t rows_count, value;
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
    struct counting *counting = (struct counting *)rows;
    (void)err;
    counting->rows_count += batch->rows_count;
    enum tn_kind kind = batch->schema->fields[0].type->kind;
    if (batch->rows_count && kind == TN_K_BIGINT && !tn_column_is_null(&batch->columns[0], 0))
        counting->value = tn_column_i64(&batch->columns[0], 0);
    return TN_OK;
}

static struct tn_db *db;
static atomic_int problems;

static enum tn_status run(const char *sql, struct tn_budget *budget, struct counting *counting,
                          struct tn_err *err)
{
    struct tn_session session;
    enum tn_statement_class class;
    tn_session_init(&session);
    counting->base = (struct tn_rows){on_columns, on_batch};
    return tn_db_run(db, &session, tn_str_of(sql), budget, &counting->base, &class, err);
}

static void must(const char *sql)
{
    struct tn_budget budget = {.clock = &test_clock};
    struct counting counting = {.rows_count = 0};
    struct tn_err err = TN_ERR_INIT;
    if (tn_failed(run(sql, &budget, &counting, &err))) {
        fprintf(stderr, "%s: %s\n", sql, err.message);
        atomic_fetch_add(&problems, 1);
    }
}

static void *inserter(void *ctx)
{
    (void)ctx;
    for (int i = 0; i < INSERTS; i++) {
        char sql[200];
        snprintf(sql, sizeof sql, "INSERT INTO plays VALUES (%d, 'song %d')", i % 7, i % 5);
        must(sql);
    }
    return NULL;
}

static void *querier(void *ctx)
{
    (void)ctx;
    for (int i = 0; i < ROUNDS * 5; i++)
        must(i % 2 ? "SELECT sum(n) FROM counts" : "SELECT count(*) FROM plays WHERE id > 2");
    return NULL;
}

static void *definer(void *ctx)
{
    (void)ctx;
    for (int i = 0; i < ROUNDS / 2; i++) {
        must("CREATE TABLE brief AS SELECT song, COUNT(*) AS n FROM plays GROUP BY song");
        must("SELECT * FROM brief");
        must("SHOW QUERIES");
        must("DROP TABLE brief DELETE TOPIC");
    }
    return NULL;
}

static void *pusher(void *ctx)
{
    (void)ctx;
    for (int i = 0; i < 3; i++) {
        must("SELECT id, song FROM plays EMIT CHANGES LIMIT 20");
        must("SELECT id, n FROM counts EMIT CHANGES LIMIT 3");
    }
    return NULL;
}

/* A push query without LIMIT, ended by its client. */
static struct tn_budget endless = {.clock = &test_clock};

static void *endless_pusher(void *ctx)
{
    struct counting counting = {.rows_count = 0};
    struct tn_err err = TN_ERR_INIT;
    (void)ctx;
    if (run("SELECT * FROM counts EMIT CHANGES", &endless, &counting, &err) != TN_E_CANCELLED)
        atomic_fetch_add(&problems, 1);
    return NULL;
}

static void check_total(void)
{
    struct tn_session session;
    struct tn_err err = TN_ERR_INIT;
    struct tn_budget budget = {.clock = &test_clock,
                               .deadline_ns = tn_mono_ns(&test_clock) + INT64_C(60000000000)};
    struct counting counting = {.rows_count = 0};
    tn_session_init(&session);
    CHECK_OK(tn_db_wait_fresh(db, &session, TN_STR("SELECT sum(n) FROM counts"), &budget, &err),
             &err);
    CHECK_OK(run("SELECT sum(n) FROM counts", &budget, &counting, &err), &err);
    CHECK_INT(counting.value, INSERTS);
}

/* A stream over the topic that a query fills: fresh=1 waits for that query, too. */
static void check_fresh_topic(void)
{
    static const char text[] = "SELECT max(n) FROM counts_log WHERE id = 1000";
    must("CREATE STREAM counts_log (id INT KEY, n BIGINT) WITH (kafka_topic='COUNTS', "
         "value_format='JSON')");
    for (int i = 1; i <= 10; i++) {
        struct tn_session session;
        struct tn_err err = TN_ERR_INIT;
        struct tn_budget budget = {.clock = &test_clock,
                                   .deadline_ns = tn_mono_ns(&test_clock) + INT64_C(60000000000)};
        struct counting counting = {.rows_count = 0};
        tn_session_init(&session);
        must("INSERT INTO plays VALUES (1000, 'song')");
        CHECK_OK(tn_db_wait_fresh(db, &session, tn_str_of(text), &budget, &err), &err);
        CHECK_OK(run(text, &budget, &counting, &err), &err);
        CHECK_INT(counting.value, i);
    }
}

static void run_threads(void)
{
    void *(*const bodies[])(void *) = {inserter, querier, querier, definer, pusher, endless_pusher};
    pthread_t threads[sizeof bodies / sizeof *bodies];
    size_t count = sizeof bodies / sizeof *bodies;
    for (size_t i = 0; i < count; i++)
        CHECK_INT(pthread_create(&threads[i], NULL, bodies[i], NULL), 0);
    for (size_t i = 0; i + 1 < count; i++)
        pthread_join(threads[i], NULL);
    endless.is_cancelled = true;
    pthread_join(threads[count - 1], NULL);
    check_total();
}

int main(void)
{
    struct catalog catalog = {.base = {catalog_append, catalog_each}};
    struct tn_log *log = tn_mem_log_new(true);
    struct tn_state *state = mem_state_new();
    struct tn_engine *engine = NULL;
    struct tn_err err = TN_ERR_INIT;
    struct tn_engine_config config = {.application_id = "test",
                                      .commit_interval_ms = 20,
                                      .state_cache_bytes = 16 << 20,
                                      .round_rows_max = 1 << 20,
                                      .round_bytes_max = 64 << 20,
                                      .threads_count = 2,
                                      .formats = tn_formats_builtin()};
    CHECK_OK(tn_engine_open(&config, log, state, &test_clock, &engine, &err), &err);
    CHECK_OK(tn_engine_start(engine, &err), &err);
    struct tn_db_config db_config = {.application_id = "test",
                                     .engine = engine,
                                     .log = log,
                                     .catalog_store = &catalog.base,
                                     .clock = &test_clock,
                                     .formats = tn_formats_builtin(),
                                     .default_partitions = 2};
    CHECK_OK(tn_db_open(&db_config, &db, &err), &err);
    must("CREATE STREAM plays (id INT KEY, song STRING) WITH (kafka_topic='plays', "
         "value_format='JSON')");
    must("CREATE TABLE counts AS SELECT id, COUNT(*) AS n FROM plays GROUP BY id");
    run_threads();
    check_fresh_topic();
    CHECK_INT(problems, 0);
    tn_db_close(db);
    tn_engine_close(engine);
    state->type->close(state);
    log->type->close(log);
    return TN_TEST_END();
}
