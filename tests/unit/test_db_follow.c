/* Covers a process that follows a catalog of which it cannot apply everything: one version behind
 * it works on, two behind it takes no tasks, says so, and the other process has all of them.
 */
#include "connectors/formats.h"
#include "sql/db.h"
#include "stream/base/mem.h"
#include "tests/check.h"
#include "tests/support/engine_world.h"
#include "tests/support/model_broker.h"

#define RECORDS_MAX 16

/* The catalog that both processes share. */
static struct catalog {
    struct tn_catalog_store base;
    struct tn_str records[RECORDS_MAX];
    int64_t count;
} catalog;

static enum tn_status append(struct tn_catalog_store *store, int64_t version, struct tn_str record,
                             struct tn_err *err)
{
    (void)store, (void)err;
    CHECK(version == catalog.count + 1 && catalog.count < RECORDS_MAX);
    catalog.records[catalog.count++] =
        (struct tn_str){tn_strndup(record.ptr, record.len), record.len};
    return TN_OK;
}

typedef enum tn_status take_record(void *ctx, int64_t version, struct tn_str record,
                                   struct tn_err *err);

static enum tn_status follow(struct tn_catalog_store *store, int64_t after, take_record *each,
                             void *ctx, struct tn_err *err)
{
    (void)store;
    for (int64_t i = after; i < catalog.count; i++)
        TN_TRY(each(ctx, i + 1, catalog.records[i], err));
    return TN_OK;
}

static enum tn_status each_record(struct tn_catalog_store *store, take_record *each, void *ctx,
                                  struct tn_err *err)
{
    return follow(store, 0, each, ctx, err);
}

struct process {
    struct engine_world world;
    struct tn_metrics *metrics;
    struct tn_db *db;
};

static struct model_broker *broker;

static void open_process(struct process *p, const char *id)
{
    struct engine_world *w = &p->world;
    struct tn_err err = TN_ERR_INIT;
    *w =
        (struct engine_world){.log = model_client_new(broker, id, false), .state = mem_state_new()};
    fake_clock_init(&w->clock);
    w->config = (struct tn_engine_config){.application_id = "app",
                                          .commit_interval_ms = 10,
                                          .threads_count = 1,
                                          .is_member = true,
                                          .formats = tn_formats_builtin()};
    engine_world_open(w);
    p->metrics = tn_metrics_new();
    struct tn_db_config config = {.application_id = "app",
                                  .engine = w->engine,
                                  .log = w->log,
                                  .catalog_store = &catalog.base,
                                  .clock = &w->clock.base,
                                  .metrics = p->metrics,
                                  .formats = tn_formats_builtin(),
                                  .default_partitions = 4};
    CHECK_OK(tn_db_open(&config, &p->db, &err), &err);
}

static void close_process(struct process *p)
{
    tn_db_close(p->db);
    engine_world_release(&p->world);
    tn_metrics_free(p->metrics);
}

static void settle(struct process *p, int count)
{
    for (int i = 0, idle = 0; i < 100000 && idle < 300; i++, idle++) {
        for (int n = 0; n < count; n++) {
            struct engine_world *w = &p[n].world;
            enum tn_status st = tn_engine_step(w->engine, &w->err);
            CHECK(!tn_failed(st));
            if (st == TN_OK)
                idle = 0;
            fake_clock_advance(&w->clock, 1);
        }
        model_broker_advance(broker, tn_mono_ns(&p[0].world.clock.base) / 1000000);
    }
}

static int owned(struct process *p)
{
    int32_t list[8];
    return tn_engine_owned(p->world.engine, list, 8);
}

static const char *metrics_of(struct process *p)
{
    static char text[1024];
    struct tn_buf buf;
    tn_buf_init(&buf, 1 << 16);
    tn_metrics_print(p->metrics, &buf);
    snprintf(text, sizeof text, "%s", tn_buf_cstr(&buf));
    tn_buf_release(&buf);
    return text;
}

static void test_behind(void)
{
    struct process p[2];
    struct tn_err err = TN_ERR_INIT;
    struct tn_buf warnings, reason;
    tn_buf_init(&warnings, 1 << 16);
    tn_buf_init(&reason, 1 << 12);
    open_process(&p[0], "a");
    open_process(&p[1], "b");
    CHECK_OK(tn_db_apply(p[0].db,
                         TN_STR("CREATE STREAM plays (song VARCHAR KEY, ms INT) WITH "
                                "(KAFKA_TOPIC='plays', VALUE_FORMAT='JSON', PARTITIONS=4);"
                                "CREATE TABLE songs AS SELECT song, COUNT(*) AS n FROM plays "
                                "GROUP BY song;"),
                         false, &warnings, &err),
             &err);
    CHECK_OK(tn_db_follow(p[1].db, &err), &err);
    settle(p, 2);
    CHECK_INT(owned(&p[0]), 2);
    CHECK_INT(owned(&p[1]), 2);
    append(&catalog.base, catalog.count + 1, TN_STR("of a newer tarn"), &err);
    CHECK(tn_failed(tn_db_follow(p[1].db, &err)));
    settle(p, 2);
    CHECK_INT(owned(&p[1]), 2);
    CHECK(strstr(metrics_of(&p[1]), "tarn_catalog_versions_behind 1\n") != NULL);
    append(&catalog.base, catalog.count + 1, TN_STR("and another"), &err);
    CHECK(tn_failed(tn_db_follow(p[1].db, &err)));
    settle(p, 2);
    CHECK_INT(owned(&p[0]), 4);
    CHECK_INT(owned(&p[1]), 0);
    CHECK(!tn_engine_is_ready(p[1].world.engine, &reason));
    CHECK(strstr(tn_buf_cstr(&reason), "takes no tasks: version 2 of the catalog is applied here, "
                                       "4 is the newest: catalog version 3: ") != NULL);
    CHECK(strstr(metrics_of(&p[1]), "tarn_catalog_versions_behind 2\n") != NULL);
    tn_free(
        (char *)(uintptr_t)catalog.records[--catalog.count].ptr); /* one that it can do without */
    CHECK(tn_failed(tn_db_follow(p[1].db, &err)));
    fake_clock_advance(&p[1].world.clock, 2000);
    settle(p, 2);
    CHECK_INT(owned(&p[1]), 2);
    tn_buf_release(&warnings);
    tn_buf_release(&reason);
    close_process(&p[0]);
    close_process(&p[1]);
}

int main(void)
{
    catalog.base = (struct tn_catalog_store){append, each_record, follow};
    broker = model_broker_new(&(struct model_broker_config){
        .seed = 1, .session_timeout_ms = 10000, .txn_timeout_ms = 8000});
    test_behind();
    model_broker_free(broker);
    for (int64_t i = 0; i < catalog.count; i++)
        tn_free((char *)(uintptr_t)catalog.records[i].ptr);
    return TN_TEST_END();
}
