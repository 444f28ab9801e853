/* Clock, stop signals, and what the main thread does while the server runs. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "main.h"
#include "sql/db.h"
#include "stream/base/logline.h"

static int64_t system_wall_ms(struct tn_clock *clock)
{
    (void)clock;
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int64_t system_mono_ns(struct tn_clock *clock)
{
    (void)clock;
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

struct tn_clock tni_clock = {system_wall_ms, system_mono_ns};

/* ---- signals ---- */

static sigset_t stop_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    return set;
}

/* Before any thread starts, so that only wait_for_stop sees them. */
void tni_block_signals(void)
{
    sigset_t set = stop_signals();
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
}

/* A signal that nobody has taken yet; for waits during the start. */
bool tni_stop_is_pending(void *ctx)
{
    sigset_t set;
    (void)ctx;
    return sigpending(&set) == 0 &&
           (sigismember(&set, SIGTERM) == 1 || sigismember(&set, SIGINT) == 1 ||
            sigismember(&set, SIGHUP) == 1);
}

/* One second, or until a stop signal: true. */
bool tni_stopped_within_a_second(void)
{
    sigset_t set = stop_signals();
    struct timespec limit = {.tv_sec = 1};
    return sigtimedwait(&set, NULL, &limit) > 0;
}

/* Until a stop signal, or `seconds` have passed (0 = no limit). */
void tni_wait_for_stop(int64_t seconds)
{
    sigset_t set = stop_signals();
    int number;
    struct timespec limit = {.tv_sec = (time_t)seconds};
    if (seconds == 0)
        sigwait(&set, &number);
    else
        while (sigtimedwait(&set, NULL, &limit) < 0 && errno == EINTR)
            ;
}

/* ---- while it runs ---- */

static bool add_restore(void *ctx, const struct tn_query_info *info)
{
    int64_t *sums = ctx;
    sums[0] += info->restore_done;
    sums[1] += info->restore_total;
    return true;
}

/* A bar on a terminal while state is restored. True while there is something to show. */
static bool show_restore(const struct tni_server *server)
{
    static const char full[] = "########################################";
    struct tn_buf missing;
    int64_t sums[2] = {0};
    tn_buf_init(&missing, 1 << 16);
    bool is_ready = tn_engine_is_ready(server->engine, &missing);
    tn_buf_release(&missing);
    tn_engine_each_query(server->engine, add_restore, sums);
    if (sums[1] == 0)
        return !is_ready;
    int width = (int)(40 * sums[0] / sums[1]);
    fprintf(stderr, "\rrestoring [%-40.*s] %lld of %lld records%s", width, full, (long long)sums[0],
            (long long)sums[1], sums[0] < sums[1] ? "" : "\n");
    return sums[0] < sums[1];
}

/* Statements that other processes of the application have accepted. */
static void follow_catalog(const struct tni_server *server)
{
    static bool has_failed;
    struct tn_err err = TN_ERR_INIT;
    struct tn_buf reason;
    const struct tn_log_type *type = server->log->type;
    tn_buf_init(&reason, 4096);
    bool is_healthy = !type->is_healthy || type->is_healthy(server->log, &reason);
    tn_buf_release(&reason);
    if (!is_healthy)
        return;
    bool is_failed = tn_failed(tn_db_follow(server->db, &err));
    if (is_failed && !has_failed)
        tn_logf(TN_LOG_WARN, "main", "the catalog is not followed: %s", err.message);
    has_failed = is_failed;
}

/* Until a stop signal; looks at the shared catalog and, on a terminal, at the restore. */
void tni_serve(const struct tni_server *server)
{
    sigset_t set = stop_signals();
    struct timespec moment = {.tv_nsec = 300000000};
    bool has_bar = isatty(STDERR_FILENO) == 1;
    while (has_bar || server->settings.kafka) {
        if (sigtimedwait(&set, NULL, &moment) >= 0)
            return;
        has_bar = has_bar && show_restore(server);
        if (server->settings.kafka)
            follow_catalog(server);
    }
    tni_wait_for_stop(0);
}
