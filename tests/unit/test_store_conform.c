/* The adapters of the log and state ports on RocksDB pass the ports' conformance tests; the log
 * also with no tail cache at all, the state also when every change is small or every sorted one is
 * a file. */
#include "tests/check.h"
#include "tests/support/conform_log.h"
#include "tests/support/conform_state.h"
#include "tests/support/store_fixture.h"

static struct store_fixture fixture;
static int64_t tail_bytes, ingest_rows_min;

static void open_fresh(void)
{
    store_fixture_init(&fixture);
    fixture.config.tail_bytes = tail_bytes;
    fixture.config.ingest_rows_min = ingest_rows_min;
    store_fixture_open(&fixture);
}

static struct tn_log *log_open(void *ctx)
{
    (void)ctx;
    open_fresh();
    return fixture.log;
}

static struct tn_log *log_reopen(void *ctx, struct tn_log *log)
{
    (void)ctx;
    CHECK(log == fixture.log);
    store_fixture_close(&fixture);
    store_fixture_open(&fixture);
    return fixture.log;
}

static void log_close(void *ctx, struct tn_log *log)
{
    (void)ctx;
    (void)log;
    store_fixture_release(&fixture);
}

static struct tn_state *state_open(void *ctx)
{
    (void)ctx;
    open_fresh();
    return fixture.state;
}

static struct tn_state *state_reopen(void *ctx, struct tn_state *state)
{
    (void)ctx;
    CHECK(state == fixture.state);
    store_fixture_close(&fixture);
    store_fixture_open(&fixture);
    return fixture.state;
}

static void state_close(void *ctx, struct tn_state *state)
{
    (void)ctx;
    (void)state;
    store_fixture_release(&fixture);
}

int main(void)
{
    struct conform_log_factory log = {.name = "embedded",
                                      .open = log_open,
                                      .reopen = log_reopen,
                                      .close = log_close,
                                      .seed = 1,
                                      .has_threads = true};
    ingest_rows_min = 4096;
    tail_bytes = 256 << 10;
    CHECK_INT(conform_log(&log), 0);
    log.seed = 2;
    tail_bytes = 0;
    CHECK_INT(conform_log(&log), 0);

    struct conform_state_factory state = {.name = "rocksdb",
                                          .open = state_open,
                                          .reopen = state_reopen,
                                          .close = state_close,
                                          .seed = 3};
    CHECK_INT(conform_state(&state), 0);
    state.seed = 4;
    ingest_rows_min = 1;
    CHECK_INT(conform_state(&state), 0);
    state.seed = 5;
    ingest_rows_min = 1 << 30;
    CHECK_INT(conform_state(&state), 0);
    return TN_TEST_END();
}
