/* The in-memory log and state, which other tests take for the truth, pass the ports' conformance
 * tests: the log both where a commit takes state with it (embedded) and where it does not (Kafka);
 * control records leave holes in both. */
#include "tests/check.h"
#include "tests/support/conform_log.h"
#include "tests/support/conform_state.h"
#include "tests/support/mem_log.h"
#include "tests/support/mem_state.h"

static struct tn_log *log_open(void *ctx)
{
    const bool *commits_state = ctx;
    return tn_mem_log_new(*commits_state);
}

/* A process that ends and comes back: everything was synced. */
static struct tn_log *log_reopen(void *ctx, struct tn_log *log)
{
    (void)ctx;
    tn_mem_log_settle_disk(log);
    tn_mem_log_crash(log, true, 0);
    return log;
}

static void log_close(void *ctx, struct tn_log *log)
{
    (void)ctx;
    log->type->close(log);
}

static struct tn_state *state_open(void *ctx)
{
    (void)ctx;
    return mem_state_new();
}

static void state_close(void *ctx, struct tn_state *state)
{
    (void)ctx;
    state->type->close(state);
}

int main(void)
{
    bool commits_state = true;
    struct conform_log_factory log = {.name = "memory, embedded",
                                      .open = log_open,
                                      .reopen = log_reopen,
                                      .close = log_close,
                                      .ctx = &commits_state,
                                      .seed = 11,
                                      .has_holes = true,
                                      .has_threads = true};
    CHECK_INT(conform_log(&log), 0);
    commits_state = false;
    log.name = "memory, like Kafka";
    log.seed = 12;
    CHECK_INT(conform_log(&log), 0);

    struct conform_state_factory state = {
        .name = "memory", .open = state_open, .close = state_close, .seed = 13};
    CHECK_INT(conform_state(&state), 0);
    return TN_TEST_END();
}
