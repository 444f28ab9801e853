/* tarn: the composition root. Parses commands and options from the components' tables, wires ports
 * to adapters, and waits for a signal. Nothing else happens here.
 *
 * Commands: run, demo, sql, produce, verify, completion, version. Exit status: 0, 1 for a failure
 * while running, 2 for a bad command, option or statement (one error line).
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "connectors/formats.h"
#include "connectors/sink.h"
#include "connectors/http_server.h"
#include "connectors/kafka_log.h"
#include "connectors/object_url.h"
#include "connectors/producer.h"
#include "connectors/zoneinfo.h"
#include "dashboards/live.h"
#include "demo_sql.generated.h"
#include "sql/chart.h"
#include "sql/db.h"
#include "sql/http_sql.h"
#include "sql/shell.h"
#include "sql/trino.h"
#include "sql/verify.h"
#include "sql/verify_lake.h"
#include "store/catalog_store.h"
#include "store/db.h"
#include "store/log.h"
#include "store/sink_store.h"
#include "store/state.h"
#include "stream/base/logline.h"
#include "stream/base/mem.h"
#include "stream/base/metrics.h"
#include "stream/base/random.h"
#include "stream/base/zone.h"
#include "stream/catalog_log.h"
#include "stream/engine.h"

#define SCRIPT_BYTES_MAX ((size_t)4 << 20)
#define STOP_GRACE_MS    5000
#define START_RACES_MAX  50

/* ---- options of the engine and of SQL ---- */

struct settings {
    const char *application_id;
    const char *offset_reset, *guarantee, *identifiers;
    int64_t commit_interval_ms, cache_emit_bytes, state_cache_bytes, round_rows, round_bytes;
    int64_t threads, standby_replicas;
    const char *lake_dir;
    int64_t sql_threads, sql_timeout_ms, sql_memory_bytes, sql_cache_bytes, sql_rows_max;
    int64_t partitions;
    bool is_flush_every_commit;
    struct tn_opt_pair *kafka;
};

#define SET(field) offsetof(struct settings, field)

static const struct tn_opt engine_options[] = {
    {"application.id", TN_OPT_STRING, SET(application_id), "music-chart", 0, 0, NULL, 0, NULL,
     "prefix of internal topics and changelogs; part of the state folder's identity"},
    {"auto.offset.reset", TN_OPT_CHOICE, SET(offset_reset), "earliest", 0, 0, "earliest,latest", 0,
     NULL, "where a new query starts to read its streams"},
    {"processing.guarantee", TN_OPT_CHOICE, SET(guarantee), "exactly_once", 0, 0,
     "exactly_once,at_least_once", 0, NULL, "the embedded log is always exactly once"},
    {"commit.interval.ms", TN_OPT_MS, SET(commit_interval_ms), "100", 1, 3600000, NULL, 0, NULL,
     "longest time between commits while events flow; drained inputs commit at once"},
    {"cache.max.bytes.buffering", TN_OPT_BYTES, SET(cache_emit_bytes), "0", 0, INT64_MAX, NULL, 0,
     NULL, "results held back for coalescing beyond a commit; 0 = emit at each commit"},
    {"state.cache.bytes", TN_OPT_BYTES, SET(state_cache_bytes), "256m", 16384, INT64_MAX, NULL, 0,
     NULL, "memory of all tables together in front of RocksDB"},
    {"round.rows", TN_OPT_INT, SET(round_rows), "500000", 1, INT64_MAX, NULL, 0, NULL,
     "commit at the latest after so many records"},
    {"round.bytes", TN_OPT_BYTES, SET(round_bytes), "64m", 1024, INT64_MAX, NULL, 0, NULL,
     "commit at the latest after so many bytes of records"},
    {"num.stream.threads", TN_OPT_INT, SET(threads), "2", 1, 256, NULL, 0, NULL, "worker threads"},
    {"num.standby.replicas", TN_OPT_INT, SET(standby_replicas), "0", 0, 100, NULL, 0, NULL,
     "warm copies of state in other processes (with Kafka); all but one guarantee a warm "
     "take-over"},
    {"lake.dir", TN_OPT_STRING, SET(lake_dir), "", 0, 0, NULL, 0, NULL,
     "folder or s3:// prefix of zones without a location of their own; default: STATE/lake"},
    {"sql.threads", TN_OPT_INT, SET(sql_threads), "4", 1, 256, NULL, 0, NULL, "statement threads"},
    {"sql.timeout.ms", TN_OPT_MS, SET(sql_timeout_ms), "60000", 1, INT64_MAX, NULL, 0, NULL,
     "deadline of a statement"},
    {"sql.memory.bytes", TN_OPT_BYTES, SET(sql_memory_bytes), "256m", 1048576, INT64_MAX, NULL, 0,
     NULL, "memory of one statement"},
    {"sql.cache.bytes", TN_OPT_BYTES, SET(sql_cache_bytes), "64m", 0, INT64_MAX, NULL, 0, NULL,
     "file contents and answers remembered for queries"},
    {"sql.rows.max", TN_OPT_INT, SET(sql_rows_max), "1000000", 1, INT64_MAX, NULL, 0, NULL,
     "rows of one answer"},
    {"identifiers", TN_OPT_CHOICE, SET(identifiers), "blind", 0, 0, "blind,ksql", 0, NULL,
     "blind: names keep their spelling and compare without case; ksql: unquoted names fold to "
     "upper case"},
    {"default.partitions", TN_OPT_INT, SET(partitions), "4", 1, 10000, NULL, 0, NULL,
     "partitions of a new topic when the statement names none"},
    {"state.flush.every.commit", TN_OPT_BOOL, SET(is_flush_every_commit), "false", 0, 0, NULL, 0,
     NULL, "write state to RocksDB at each commit; for tests"},
    {"kafka.", TN_OPT_STRING, SET(kafka), NULL, 0, 0, NULL, TN_OPT_PREFIX, NULL,
     "properties of librdkafka; with kafka.bootstrap.servers=HOST:PORT,… Kafka serves all topics"},
};

static const struct tn_opts engine_opts = {"engine", engine_options,
                                           sizeof engine_options / sizeof *engine_options};

/* Options of the command line itself. */
struct command_line {
    const char *state, *listen;
    int64_t seconds;
    bool is_prune, is_quiet;
    double rate;
};

#define CMD(field) offsetof(struct command_line, field)

static const struct tn_opt run_options[] = {
    {"state", TN_OPT_STRING, CMD(state), "tarn-state", 0, 0, NULL, 0, NULL, "state folder"},
    {"listen", TN_OPT_STRING, CMD(listen), "127.0.0.1:8090", 0, 0, NULL, 0, NULL,
     "HOST:PORT to serve on; port 0 takes a free one"},
    {"prune", TN_OPT_BOOL, CMD(is_prune), "false", 0, 0, NULL, 0, NULL,
     "drop objects that FILE no longer names"},
};
static const struct tn_opt demo_options[] = {
    {"state", TN_OPT_STRING, CMD(state), NULL, 0, 0, NULL, 0, NULL,
     "state folder to keep; default: a temporary one, removed at the end"},
    {"listen", TN_OPT_STRING, CMD(listen), "127.0.0.1:8090", 0, 0, NULL, 0, NULL,
     "HOST:PORT to serve on; port 0 takes a free one"},
    {"seconds", TN_OPT_INT, CMD(seconds), "0", 0, INT64_MAX, NULL, 0, NULL,
     "end by itself after so many seconds; 0 = until Ctrl-C"},
    {"rate", TN_OPT_DOUBLE, CMD(rate), "20", 0, 0, NULL, 0, NULL, "plays a second"},
};
static const struct tn_opts run_opts = {"tarn run", run_options, 3};
/* The first option of tarn run. */
static const struct tn_opts verify_opts = {"tarn verify", run_options, 1};
static const struct tn_opts demo_opts = {"tarn demo", demo_options, 4};

/* ---- clock and log lines ---- */

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

static struct tn_clock system_clock = {system_wall_ms, system_mono_ns};

static void log_to_stderr(enum tn_log_level level, const char *component, const char *line)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    struct timespec ts;
    struct tm tm;
    char at[32];
    clock_gettime(CLOCK_REALTIME, &ts);
    gmtime_r(&ts.tv_sec, &tm);
    strftime(at, sizeof at, "%Y-%m-%dT%H:%M:%S", &tm);
    fprintf(stderr, "%s.%03ldZ %s %s: %s\n", at, ts.tv_nsec / 1000000, names[level], component,
            line);
}

static int fail(int status, const struct tn_err *err)
{
    if (err->line)
        fprintf(stderr, "tarn: line %d:%d: %s", err->line, err->col, err->message);
    else
        fprintf(stderr, "tarn: %s", err->message);
    fprintf(stderr, err->hint[0] ? " (%s)\n" : "%s\n", err->hint);
    return status;
}

/* ---- the server: everything wired together ---- */

struct server {
    struct tn_arena arena; /* strings of options */
    struct settings settings;
    struct tn_store_config store_config;
    struct tn_http_config http_config;
    struct tn_s3_options s3_options;
    struct tn_metrics *metrics;
    char lake_dir[4200];             /* absolute */
    struct tn_object_stores *stores; /* of sinks and zones, by URL */
    struct tn_store *store;
    struct tn_log *log;
    struct tn_state *state;
    struct tn_catalog_store *catalog_store;
    struct tn_engine *engine;
    struct tn_sink_store *sink_store;
    struct tn_sinks *sinks;
    struct tn_db *db;
    struct tn_http_server *http;
    struct tn_http_sql *http_sql;
    struct tn_trino *trino;
    struct tn_live *live;
    char endpoint[4096];
    bool is_still; /* verify: nothing is processed */
};

static void server_init(struct server *server)
{
    *server = (struct server){0};
    tn_arena_init(&server->arena, 0);
    tn_opt_defaults(&engine_opts, &server->settings, &server->arena);
    tn_store_config_init(&server->store_config);
    tn_http_config_init(&server->http_config);
    tn_opt_defaults(&tn_s3_opts, &server->s3_options, &server->arena);
}

/* --set key=value: the table that knows the key takes it; an unknown key names the nearest of all
 * tables. */
static enum tn_status server_set(struct server *server, struct tn_str pair, struct tn_err *err)
{
    const char *equals = memchr(pair.ptr, '=', pair.len);
    if (!equals)
        return tn_err_set(err, TN_E_INVALID, "--set takes key=value, got '%.*s'", TN_STR_FMT(pair));
    struct tn_str name = {pair.ptr, (size_t)(equals - pair.ptr)};
    struct tn_str value = {equals + 1, pair.len - name.len - 1};
    if (tn_opt_find(&tn_store_opts, name))
        return tn_opt_set(&tn_store_opts, &server->store_config, name, value, &server->arena, err);
    if (tn_opt_find(&tn_http_opts, name))
        return tn_opt_set(&tn_http_opts, &server->http_config, name, value, &server->arena, err);
    if (tn_opt_find(&tn_s3_opts, name))
        return tn_opt_set(&tn_s3_opts, &server->s3_options, name, value, &server->arena, err);
    return tn_opt_set(&engine_opts, &server->settings, name, value, &server->arena, err);
}

static struct tn_engine_config engine_config(const struct server *server)
{
    const struct settings *set = &server->settings;
    return (struct tn_engine_config){
        .application_id = set->application_id,
        .commit_interval_ms = set->commit_interval_ms,
        .cache_emit_bytes = set->cache_emit_bytes,
        .state_cache_bytes = set->state_cache_bytes,
        .round_rows_max = set->round_rows,
        .round_bytes_max = set->round_bytes,
        .threads_count = (int32_t)set->threads,
        .is_flush_every_commit = set->is_flush_every_commit,
        .is_at_least_once = strcmp(set->guarantee, "at_least_once") == 0,
        .is_member = set->kafka != NULL,
        .standbys_count = (int32_t)set->standby_replicas,
        .formats = tn_formats_builtin(),
        .metrics = server->metrics,
    };
}

static enum tn_status open_engine(struct server *server, struct tn_err *err)
{
    struct tn_engine_config config = engine_config(server);
    return tn_engine_open(&config, server->log, server->state, &system_clock, &server->engine, err);
}

/* A signal that nobody has taken yet; for waits during the start. */
static bool stop_is_pending(void *ctx)
{
    sigset_t set;
    (void)ctx;
    return sigpending(&set) == 0 &&
           (sigismember(&set, SIGTERM) == 1 || sigismember(&set, SIGINT) == 1 ||
            sigismember(&set, SIGHUP) == 1);
}

/* Kafka serves all topics when it is named, else the embedded log does. */
static enum tn_status open_log(struct server *server, struct tn_err *err)
{
    const struct settings *set = &server->settings;
    if (!set->kafka)
        return tn_rocks_log_open(server->store, &server->log, err);
    struct tn_kafka_config config = {
        .application_id = set->application_id,
        .instance_id = tn_store_id(server->store),
        .properties = set->kafka,
        .clock = &system_clock,
        .metrics = server->metrics,
        .is_at_least_once = strcmp(set->guarantee, "at_least_once") == 0,
        .is_stopping = stop_is_pending,
    };
    return tn_kafka_log_open(&config, &server->log, err);
}

static enum tn_status open_db(struct server *server, struct tn_err *err)
{
    const struct settings *set = &server->settings;
    struct tn_db_config config = {
        .application_id = set->application_id,
        .engine = server->engine,
        .log = server->log,
        .catalog_store = server->catalog_store,
        .clock = &system_clock,
        .metrics = server->metrics,
        .formats = tn_formats_builtin(),
        .timeout_ms = set->sql_timeout_ms,
        .memory_bytes = set->sql_memory_bytes,
        .rows_max = set->sql_rows_max,
        .cache_bytes = set->sql_cache_bytes,
        .stores = server->stores,
        .lake_dir = server->lake_dir,
        .sinks = server->sinks,
        .threads_count = (int)set->sql_threads,
        .default_partitions = (int)set->partitions,
        .is_still = server->is_still,
        .is_topic_awaited = set->kafka != NULL,
        .is_latest = strcmp(set->offset_reset, "latest") == 0,
        .is_identifiers_ksql = strcmp(set->identifiers, "ksql") == 0,
    };
    return tn_db_open(&config, &server->db, err);
}

/* lake.dir, default <state>/lake, as an absolute path. */
static enum tn_status find_lake(struct server *server, const char *state, struct tn_err *err)
{
    char full[4096];
    const char *dir = server->settings.lake_dir;
    if (!dir || !*dir) {
        if (!realpath(state, full))
            return tn_err_set(err, TN_E_IO, "state folder '%s': %s", state, strerror(errno));
        snprintf(server->lake_dir, sizeof server->lake_dir, "%s/lake", full);
    } else if (*dir == '/' || strstr(dir, "://")) {
        snprintf(server->lake_dir, sizeof server->lake_dir, "%s", dir);
    } else {
        if (!getcwd(full, sizeof full))
            return tn_err_set(err, TN_E_IO, "lake.dir: %s", strerror(errno));
        snprintf(server->lake_dir, sizeof server->lake_dir, "%s/%s", full, dir);
    }
    return TN_OK;
}

static enum tn_status open_lake(void *ctx, const char *location, struct tn_object_store **ret_store,
                                char ret_root[TN_OBJECT_KEY_MAX + 1], struct tn_err *err)
{
    struct server *server = ctx;
    ret_root[0] = 0; /* the location is the table */
    return tn_object_store_open(server->stores, location, NULL, ret_store, err);
}

static enum tn_status open_sinks(struct server *server, struct tn_err *err)
{
    TN_TRY(tn_rocks_sinks_open(server->store, &server->sink_store, err));
    struct tn_sinks_config config = {.log = server->log,
                                     .store = server->sink_store,
                                     .clock = &system_clock,
                                     .metrics = server->metrics,
                                     .formats = tn_formats_builtin(),
                                     .application_id = server->settings.application_id,
                                     .store_open = open_lake,
                                     .store_ctx = server};
    return tn_sinks_open(&config, &server->sinks, err);
}

/* With Kafka the catalog is shared by all processes of the application, else it is the folder's. */
static enum tn_status open_catalog(struct server *server, struct tn_err *err)
{
    if (server->settings.kafka)
        return tn_catalog_log_open(server->log, server->settings.application_id, &system_clock,
                                   &server->catalog_store, err);
    return tn_rocks_catalog_open(server->store, &server->catalog_store, err);
}

static void close_catalog(struct server *server)
{
    if (!server->catalog_store)
        return;
    if (server->settings.kafka)
        tn_catalog_log_close(server->catalog_store);
    else
        tn_rocks_catalog_close(server->catalog_store);
}

/* State folder, log, state, engine, catalog; queries of earlier runs start to restore. */
static enum tn_status server_open(struct server *server, const char *state, struct tn_err *err)
{
    server->store_config.path = state;
    server->store_config.application_id = server->settings.application_id;
    server->store_config.clock = &system_clock;
    server->metrics = tn_metrics_new();
    server->stores = tn_object_stores_new(&server->s3_options, &system_clock, server->metrics);
    TN_TRY(tn_store_open(&server->store_config, &server->store, err));
    TN_TRY(find_lake(server, state, err));
    TN_TRY(open_log(server, err));
    TN_TRY(tn_rocks_state_open(server->store, &server->state, err));
    TN_TRY(open_catalog(server, err));
    TN_TRY(open_engine(server, err));
    TN_TRY(open_sinks(server, err));
    TN_TRY(open_db(server, err));
    return tn_engine_start(server->engine, err); /* sinks start with the server: verify has none */
}

static enum tn_status server_listen(struct server *server, const char *listen, struct tn_err *err)
{
    const struct settings *set = &server->settings;
    server->http_config.listen = listen;
    tn_sinks_start(server->sinks);
    TN_TRY(tn_http_open(&server->http_config, &system_clock, server->metrics, &server->http, err));
    struct tn_http_sql_config sql = {.db = server->db,
                                     .engine = server->engine,
                                     .log = server->log,
                                     .clock = &system_clock,
                                     .metrics = server->metrics,
                                     .formats = tn_formats_builtin(),
                                     .application_id = set->application_id,
                                     .version = TN_VERSION,
                                     .timeout_ms = set->sql_timeout_ms,
                                     .memory_bytes = set->sql_memory_bytes,
                                     .rows_max = set->sql_rows_max,
                                     .threads_count = (int)set->sql_threads};
    TN_TRY(tn_http_sql_open(&sql, server->http, &server->http_sql, err));
    TN_TRY(tn_trino_open(server->http_sql, &server->trino, err));
    struct tn_live_config live = {.db = server->db,
                                  .engine = server->engine,
                                  .log = server->log,
                                  .sinks = server->sinks,
                                  .clock = &system_clock,
                                  .metrics = server->metrics,
                                  .version = TN_VERSION};
    TN_TRY(tn_live_open(&live, server->http, &server->live, err));
    return tn_http_start(server->http, err);
}

/* <state>/endpoint, mode 0600: where the shell and the SQLite extension find this process. */
static enum tn_status write_endpoint(struct server *server, const char *state, struct tn_err *err)
{
    snprintf(server->endpoint, sizeof server->endpoint, "%s/endpoint", state);
    int fd = open(server->endpoint, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || dprintf(fd, "http://%s\n", tn_http_address(server->http)) < 0) {
        tn_err_set(err, TN_E_IO, "cannot write '%s': %s", server->endpoint, strerror(errno));
        if (fd >= 0)
            close(fd);
        server->endpoint[0] = 0;
        return TN_E_IO;
    }
    close(fd);
    return TN_OK;
}

/* Every part accepts NULL, so this is also the failure path. Order: clients, queries, state, log.
 */
static void server_close(struct server *server)
{
    if (server->endpoint[0])
        unlink(server->endpoint);
    if (server->http)
        tn_http_stop(server->http, STOP_GRACE_MS);
    tn_live_close(server->live);
    tn_trino_close(server->trino);
    tn_http_sql_close(server->http_sql);
    tn_http_close(server->http);
    tn_db_close(server->db);
    tn_sinks_close(server->sinks);
    tn_engine_close(server->engine);
    tn_rocks_sinks_close(server->sink_store);
    close_catalog(server);
    if (server->state)
        server->state->type->close(server->state);
    if (server->log)
        server->log->type->close(server->log);
    tn_store_close(server->store);
    tn_object_stores_free(server->stores);
    tn_metrics_free(server->metrics);
    tn_arena_release(&server->arena);
}

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
static void block_signals(void)
{
    sigset_t set = stop_signals();
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
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
static bool show_restore(const struct server *server)
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
static void follow_catalog(const struct server *server)
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

/* Until a stop signal, or `seconds` have passed (0 = no limit). */
static void wait_for_stop(int64_t seconds)
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

/* Until a stop signal; looks at the shared catalog and, on a terminal, at the restore. */
static void serve(const struct server *server)
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
    wait_for_stop(0);
}

/* ---- arguments ---- */

struct args {
    int count;
    char **items;
};

/* Parses "--name value", "--name=value" and flags from `opts`; --set goes to the server. The first
 * other word is *ret_file (may be NULL: then such a word is an error). */
static enum tn_status parse_args(const struct args *args, const struct tn_opts *opts, void *target,
                                 struct server *server, struct tn_arena *arena,
                                 const char **ret_file, struct tn_err *err)
{
    for (int i = 0; i < args->count; i++) {
        const char *word = args->items[i];
        if (strncmp(word, "--", 2) != 0) {
            if (!ret_file || *ret_file)
                return tn_err_set(err, TN_E_INVALID, "unexpected argument '%s'", word);
            *ret_file = word;
            continue;
        }
        const char *equals = strchr(word, '=');
        struct tn_str name = {word + 2, equals ? (size_t)(equals - word - 2) : strlen(word + 2)};
        const struct tn_opt *opt = tn_opt_find(opts, name);
        bool is_flag = opt && opt->type == TN_OPT_BOOL && !equals;
        const char *value = equals ? equals + 1 : is_flag ? "true" : NULL;
        bool is_known = opt || (server && tn_str_eq(name, TN_STR("set")));
        if (!value && is_known) {
            if (i + 1 == args->count)
                return tn_err_set(err, TN_E_INVALID, "--%.*s needs a value", TN_STR_FMT(name));
            value = args->items[++i];
        }
        if (server && tn_str_eq(name, TN_STR("set")))
            TN_TRY(server_set(server, tn_str_of(value), err));
        else
            TN_TRY(tn_opt_set(opts, target, name, tn_str_of(value ? value : ""), arena, err));
    }
    return TN_OK;
}

static bool wants_help(const struct args *args)
{
    for (int i = 0; i < args->count; i++)
        if (strcmp(args->items[i], "--help") == 0 || strcmp(args->items[i], "-h") == 0)
            return true;
    return false;
}

static void print_opts(const struct tn_opts *opts)
{
    struct tn_buf buf;
    tn_buf_init(&buf, 1 << 20);
    tn_opt_print_help(opts, &buf);
    fputs(tn_buf_cstr(&buf), stdout);
    tn_buf_release(&buf);
}

static void print_server_opts(void)
{
    printf("\nsettings (--set NAME=VALUE):\n");
    print_opts(&engine_opts);
    print_opts(&tn_store_opts);
    print_opts(&tn_http_opts);
    print_opts(&tn_s3_opts);
}

static enum tn_status read_file(const char *path, struct tn_buf *ret_text, struct tn_err *err)
{
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "r");
    char chunk[65536];
    size_t n;
    if (!file)
        return tn_err_set(err, TN_E_NAME, "cannot read '%s': %s", path, strerror(errno));
    while ((n = fread(chunk, 1, sizeof chunk, file)) > 0)
        tn_buf_add(ret_text, chunk, n);
    bool is_bad = ferror(file) != 0;
    if (file != stdin)
        fclose(file);
    if (is_bad)
        return tn_err_set(err, TN_E_IO, "cannot read '%s'", path);
    if (tn_buf_over(ret_text))
        return tn_err_set(err, TN_E_LIMIT, "'%s' is longer than %zu bytes", path, ret_text->max);
    return TN_OK;
}

/* ---- commands ---- */

/* One second, or until a stop signal: true. */
static bool stopped_within_a_second(void)
{
    sigset_t set = stop_signals();
    struct timespec limit = {.tv_sec = 1};
    return sigtimedwait(&set, NULL, &limit) > 0;
}

/* Topics that others must make first are waited for, with one line for each. */
static enum tn_status apply_script(struct server *server, struct tn_str script, bool is_prune,
                                   struct tn_err *err)
{
    struct tn_buf warnings;
    char told[TN_ERR_MESSAGE_MAX] = "";
    enum tn_status st;
    tn_buf_init(&warnings, 1 << 20);
    for (int races = 0;;) {
        struct tn_err found = TN_ERR_INIT;
        tn_buf_reset(&warnings);
        st = tn_db_apply(server->db, script, is_prune, &warnings, &found);
        if (st == TN_E_BUSY && races++ < START_RACES_MAX) { /* another process was first */
            TN_GOTO(tn_db_follow(server->db, err));
            continue;
        }
        bool is_missing = tn_failed(st) && found.name && !strcmp(found.name, "TOPIC_NOT_FOUND");
        if (tn_failed(st))
            *err = found;
        if (!is_missing)
            break;
        if (strcmp(told, found.message) != 0)
            tn_logf(TN_LOG_WARN, "kafka", "state=waiting what=\"%s\" hint=\"%s\"", found.message,
                    found.hint);
        snprintf(told, sizeof told, "%s", found.message);
        if (stopped_within_a_second()) {
            st = tn_err_set(err, TN_E_CANCELLED, "stopped while waiting: %s", told);
            break;
        }
    }
fail:
    if (warnings.len)
        fprintf(stderr, "%s", tn_buf_cstr(&warnings));
    tn_buf_release(&warnings);
    return st;
}

/* Open everything and apply the wanted state. Failures here are the user's to mend: exit 2; a stop
 * signal while waiting is none. */
static enum tn_status server_up(struct server *server, const char *state, struct tn_str script,
                                bool is_prune, struct tn_err *err)
{
    TN_TRY(server_open(server, state, err));
    return apply_script(server, script, is_prune, err);
}

static int command_run(const struct args *args)
{
    struct tn_err err = TN_ERR_INIT;
    struct command_line line = {0};
    struct server server;
    struct tn_buf script;
    const char *file = NULL;
    enum tn_status st;
    if (wants_help(args)) {
        printf("usage: tarn run FILE [options]\n\nRuns the statements of FILE as the wanted state "
               "and serves.\n\n");
        print_opts(&run_opts);
        print_server_opts();
        return 0;
    }
    server_init(&server);
    tn_buf_init(&script, SCRIPT_BYTES_MAX);
    tn_opt_defaults(&run_opts, &line, &server.arena);
    TN_GOTO(parse_args(args, &run_opts, &line, &server, &server.arena, &file, &err));
    if (!file) {
        st = tn_err_set(&err, TN_E_INVALID, "no FILE given; usage: tarn run FILE [options]");
        goto fail;
    }
    TN_GOTO(read_file(file, &script, &err));
    TN_GOTO(server_up(&server, line.state, tn_buf_str(&script), line.is_prune, &err));
    TN_GOTO(server_listen(&server, line.listen, &err));
    TN_GOTO(write_endpoint(&server, line.state, &err));
    printf("ready http://%s\n", tn_http_address(server.http));
    fflush(stdout);
    serve(&server);
fail:
    server_close(&server);
    tn_buf_release(&script);
    if (st == TN_E_CANCELLED)
        return 0;
    return tn_failed(st) ? fail(2, &err) : 0;
}

static void *producer_thread(void *arg)
{
    struct tn_producer_totals totals;
    struct tn_err err = TN_ERR_INIT;
    if (tn_failed(tn_producer_run(arg, &totals, &err)))
        tn_logf(TN_LOG_WARN, "player", "%s", err.message);
    return NULL;
}

/* The player runs beside the server until the time is over or a signal comes; then the chart is
 * printed. */
static enum tn_status demo_play(struct server *server, const struct command_line *line,
                                struct tn_err *err)
{
    struct tn_producer_config config;
    struct tn_producer *player = NULL;
    pthread_t thread;
    char url[300];
    tn_opt_defaults(&tn_producer_opts, &config, &server->arena);
    snprintf(url, sizeof url, "http://%s", tn_http_address(server->http));
    config.url = url;
    config.rate = line->rate;
    config.is_quiet = true;
    TN_TRY(tn_producer_new(&config, &system_clock, NULL, NULL, &player, err));
    if (pthread_create(&thread, NULL, producer_thread, player) != 0) {
        tn_producer_free(player);
        return tn_err_set(err, TN_E_INTERNAL, "cannot start the player's thread");
    }
    printf("open %s in a browser; songs and plays arrive at %g a second\n", url, line->rate);
    printf("try: curl -d 'SELECT songName, count FROM songs_chart ORDER BY count DESC' %s/sql\n",
           url);
    fflush(stdout);
    wait_for_stop(line->seconds);
    tn_producer_stop(player);
    pthread_join(thread, NULL);
    tn_producer_free(player);
    return tn_chart_print(server->db, "SELECT songName, count FROM songs_chart ORDER BY count DESC",
                          stdout, err);
}

static void remove_folder(const char *path)
{
    char command[4200];
    snprintf(command, sizeof command, "rm -rf -- '%s'", path); /* path is ours, from mkdtemp */
    if (system(command) != 0)
        fprintf(stderr, "tarn: could not remove '%s'\n", path);
}

static int command_demo(const struct args *args)
{
    struct tn_err err = TN_ERR_INIT;
    struct command_line line = {0};
    struct server server;
    char folder[] = "/tmp/tarn-demo-XXXXXX";
    bool is_temporary = false;
    enum tn_status st;
    if (wants_help(args)) {
        printf("usage: tarn demo [options]\n\nThe music chart with a simulated player, all "
               "embedded.\n\n");
        print_opts(&demo_opts);
        print_server_opts();
        return 0;
    }
    server_init(&server);
    tn_opt_defaults(&demo_opts, &line, &server.arena);
    TN_GOTO(parse_args(args, &demo_opts, &line, &server, &server.arena, NULL, &err));
    if (!line.state) {
        is_temporary = mkdtemp(folder) != NULL;
        line.state = folder;
    }
    TN_GOTO(server_up(&server, line.state, tn_str_of(tn_demo_sql), false, &err));
    TN_GOTO(server_listen(&server, line.listen, &err));
    TN_GOTO(write_endpoint(&server, line.state, &err));
    printf("ready http://%s\n", tn_http_address(server.http));
    TN_GOTO(demo_play(&server, &line, &err));
fail:
    server_close(&server);
    if (is_temporary)
        remove_folder(folder);
    return tn_failed(st) ? fail(2, &err) : 0;
}

/* Is a running tarn behind <state>/endpoint? The lock of the state folder decides, not the file. */
static int shell_on_state(struct tn_shell_config *config)
{
    struct tn_err err = TN_ERR_INIT;
    struct server server;
    char url[300];
    int status = 2;
    server_init(&server);
    enum tn_status st = server_open(&server, config->state, &err);
    if (st == TN_E_BUSY) { /* in use: its endpoint answers */
        server_close(&server);
        return tn_shell_run(config);
    }
    if (!tn_failed(st) && !tn_failed(server_listen(&server, "127.0.0.1:0", &err))) {
        snprintf(url, sizeof url, "http://%s", tn_http_address(server.http));
        config->url = url;
        status = tn_shell_run(config);
        config->url = NULL; /* the text ends with this function */
    } else {
        fail(2, &err);
    }
    server_close(&server);
    return status;
}

static int command_sql(const struct args *args)
{
    struct tn_err err = TN_ERR_INIT;
    struct tn_shell_config config = {0};
    struct tn_arena arena;
    struct stat info;
    if (wants_help(args)) {
        printf("usage: tarn sql [--url URL | --state DIR] [options]\n\n");
        print_opts(&tn_shell_opts);
        return 0;
    }
    tn_arena_init(&arena, 0);
    tn_opt_defaults(&tn_shell_opts, &config, &arena);
    int status = 2;
    if (tn_failed(parse_args(args, &tn_shell_opts, &config, NULL, &arena, NULL, &err)))
        fail(2, &err);
    else if (!config.url && stat(config.state, &info) == 0)
        status = shell_on_state(&config);
    else
        status = tn_shell_run(&config);
    tn_arena_release(&arena);
    return status;
}

static void print_line(void *ctx, const char *line)
{
    (void)ctx;
    fprintf(stderr, "%s\n", line);
}

static void *stop_thread(void *producer)
{
    wait_for_stop(0);
    tn_producer_stop(producer);
    return NULL;
}

static int command_produce(const struct args *args)
{
    struct tn_err err = TN_ERR_INIT;
    struct tn_producer_config config = {0};
    struct tn_producer *producer = NULL;
    struct tn_producer_totals totals = {0};
    struct tn_arena arena;
    struct tn_buf text;
    pthread_t stopper;
    enum tn_status st;
    if (wants_help(args)) {
        printf("usage: tarn produce [options]\n\nSends simulated plays or clicks to a running "
               "tarn.\n\n");
        print_opts(&tn_producer_opts);
        return 0;
    }
    tn_arena_init(&arena, 0);
    tn_opt_defaults(&tn_producer_opts, &config, &arena);
    TN_GOTO(parse_args(args, &tn_producer_opts, &config, NULL, &arena, NULL, &err));
    TN_GOTO(tn_producer_new(&config, &system_clock, print_line, NULL, &producer, &err));
    bool has_stopper = pthread_create(&stopper, NULL, stop_thread, producer) == 0;
    st = tn_producer_run(producer, &totals, &err);
    if (has_stopper) {
        pthread_kill(stopper, SIGTERM);
        pthread_join(stopper, NULL);
    }
    tn_buf_init(&text, 4096);
    tn_producer_print(&totals, &text);
    printf("%s\n", tn_buf_cstr(&text));
    tn_buf_release(&text);
fail:
    tn_producer_free(producer);
    tn_arena_release(&arena);
    return tn_failed(st) ? fail(st == TN_E_INVALID || st == TN_E_NAME ? 2 : 1, &err) : 0;
}

/* A store under TMPDIR for one engine of verify. */
struct scratch {
    struct server *server;
    struct tn_store *store;
    struct tn_log *log;
    struct tn_state *state;
    char folder[4200];
};

static void scratch_close(void *ctx)
{
    struct scratch *scratch = ctx;
    if (scratch->log)
        scratch->log->type->close(scratch->log);
    if (scratch->state)
        scratch->state->type->close(scratch->state);
    tn_store_close(scratch->store);
    if (scratch->folder[0])
        remove_folder(scratch->folder);
    *scratch = (struct scratch){.server = scratch->server};
}

static enum tn_status scratch_open(void *ctx, struct tn_log **ret_log, struct tn_state **ret_state,
                                   struct tn_err *err)
{
    struct scratch *scratch = ctx;
    struct tn_store_config config = scratch->server->store_config;
    const char *tmp = getenv("TMPDIR");
    enum tn_status st;
    snprintf(scratch->folder, sizeof scratch->folder, "%s/tarn-verify-XXXXXX",
             tmp && *tmp ? tmp : "/tmp");
    if (!mkdtemp(scratch->folder)) {
        st = tn_err_set(err, TN_E_IO, "scratch folder '%s': %s", scratch->folder, strerror(errno));
        scratch->folder[0] = 0;
        return st;
    }
    config.path = scratch->folder;
    TN_GOTO(tn_store_open(&config, &scratch->store, err));
    TN_GOTO(tn_rocks_log_open(scratch->store, &scratch->log, err));
    TN_GOTO(tn_rocks_state_open(scratch->store, &scratch->state, err));
    *ret_log = scratch->log;
    *ret_state = scratch->state;
    return TN_OK;
fail:
    scratch_close(scratch);
    return st;
}

/* Verify makes no folder. */
static enum tn_status is_state_folder(const char *path, struct tn_err *err)
{
    char file[4200];
    snprintf(file, sizeof file, "%s/db/CURRENT", path);
    if (access(file, R_OK) == 0)
        return TN_OK;
    return tn_err_set(err, TN_E_NAME, "'%s' is no state folder of tarn: %s", path, strerror(errno));
}

static const char verify_text[] =
    "usage: tarn verify [--state DIR]\n\n"
    "Proves that the logs, tables, changelogs and positions of a state folder agree. The folder\n"
    "must not be in use. Nothing of it is processed: what was committed is what is compared.\n\n"
    "For every persistent query:\n"
    "  recount    its plan runs again over its inputs, from their first record to the committed\n"
    "             positions, with an empty state in a scratch folder under TMPDIR (which needs\n"
    "             room for the state and for what the query writes)\n"
    "  changelog  its table is built anew from the changelog\n"
    "  result     its result topic, folded, gives the same rows\n"
    "  position   lies within its topic; what is not read yet is told, and is no difference\n\n"
    "A difference is one line with query, table, key and both values. Where a recount proves\n"
    "nothing (inputs dropped by retention, arrival order of joins, random functions) the reason\n"
    "is told.\n\n"
    "exit status: 0 everything agrees, 1 differences, 2 the folder cannot be verified\n\n";

static int command_verify(const struct args *args)
{
    struct tn_err err = TN_ERR_INIT;
    struct command_line line = {0};
    struct server server;
    struct scratch scratch = {.server = &server};
    int64_t differences = 0;
    enum tn_status st;
    if (wants_help(args)) {
        fputs(verify_text, stdout);
        print_opts(&verify_opts);
        print_server_opts();
        return 0;
    }
    server_init(&server);
    server.is_still = true;
    tn_opt_defaults(&verify_opts, &line, &server.arena);
    TN_GOTO(parse_args(args, &verify_opts, &line, &server, &server.arena, NULL, &err));
    TN_GOTO(is_state_folder(line.state, &err));
    TN_GOTO(server_open(&server, line.state, &err));
    struct tn_engine_config config = engine_config(&server);
    config.metrics = NULL;
    const struct tn_verify_config verify = {.db = server.db,
                                            .engine = server.engine,
                                            .log = server.log,
                                            .clock = &system_clock,
                                            .engine_config = &config,
                                            .scratch_open = scratch_open,
                                            .scratch_close = scratch_close,
                                            .ctx = &scratch,
                                            .out = stdout,
                                            .progress = stderr};
    TN_GOTO(tn_verify_run(&verify, &differences, &err));
    int64_t lake_differences = 0;
    TN_GOTO(tn_verify_lake(server.db, server.stores, server.log, stdout, &lake_differences, &err));
    differences += lake_differences;
fail:
    server_close(&server);
    if (tn_failed(st))
        return fail(2, &err);
    return differences ? 1 : 0;
}

/* ---- help and completion ---- */

struct command {
    const char *name;
    int (*run)(const struct args *args);
    const struct tn_opts *opts;
    const char *help;
};

static int command_completion(const struct args *args);
static int command_help(const struct args *args);
static int command_options(const struct args *args);
static int command_version(const struct args *args);

static const struct command commands[] = {
    {"run", command_run, &run_opts, "run the statements of FILE beside the log and serve"},
    {"demo", command_demo, &demo_opts, "the music chart with a simulated player"},
    {"sql", command_sql, &tn_shell_opts, "SQL shell"},
    {"produce", command_produce, &tn_producer_opts, "send simulated plays or clicks"},
    {"verify", command_verify, &verify_opts, "prove that logs, tables and changelogs agree"},
    {"options", command_options, NULL, "all settings as a Markdown reference"},
    {"completion", command_completion, NULL, "print bash completion: eval \"$(tarn completion)\""},
    {"version", command_version, NULL, "print the version"},
    {"help", command_help, NULL, "this text; `tarn COMMAND --help` for one command"},
};

#define COMMANDS_COUNT (sizeof commands / sizeof *commands)

static int command_version(const struct args *args)
{
    (void)args;
    printf("tarn %s\n", TN_VERSION);
    return 0;
}

static int command_help(const struct args *args)
{
    (void)args;
    printf(
        "tarn: streams of events in, live tables and SQL out\n\nusage: tarn COMMAND [options]\n\n");
    for (size_t i = 0; i < COMMANDS_COUNT; i++)
        printf("  %-11s %s\n", commands[i].name, commands[i].help);
    return 0;
}

static int command_options(const struct args *args)
{
    static const struct tn_opts *const tables[] = {&engine_opts, &tn_store_opts,    &tn_http_opts,
                                                   &tn_s3_opts,  &tn_producer_opts, &tn_shell_opts};
    struct tn_buf buf;
    (void)args;
    tn_buf_init(&buf, 1 << 20);
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        tn_buf_printf(&buf, "## %s\n\n", tables[i]->component);
        tn_opt_print_markdown(tables[i], &buf);
        tn_buf_add_byte(&buf, '\n');
    }
    fputs(tn_buf_cstr(&buf), stdout);
    tn_buf_release(&buf);
    return 0;
}

/* "sql:--format) words='table csv' ;;" */
static void print_choices(const struct command *command, const struct tn_opt *opt)
{
    printf("  %s:--%s) words='", command->name, opt->name);
    for (const char *c = opt->choices; *c; c++)
        putchar(*c == ',' ? ' ' : *c);
    printf("' ;;\n");
}

static int command_completion(const struct args *args)
{
    static const struct tn_opts *const tables[] = {&engine_opts, &tn_store_opts, &tn_http_opts,
                                                   &tn_s3_opts};
    (void)args;
    printf("_tarn() {\n  local word=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[1]} words=\n"
           "  if [ \"$COMP_CWORD\" -eq 1 ]; then words='");
    for (size_t i = 0; i < COMMANDS_COUNT; i++)
        printf("%s ", commands[i].name);
    printf("'; else case $command:${COMP_WORDS[COMP_CWORD-1]} in\n  *:--set) words='");
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
        for (size_t o = 0; o < tables[t]->count; o++)
            printf("%s%s ", tables[t]->items[o].name,
                   tables[t]->items[o].flags & TN_OPT_PREFIX ? "" : "=");
    printf("'\n    compopt -o nospace 2>/dev/null ;;\n");
    for (size_t i = 0; i < COMMANDS_COUNT; i++) {
        const struct tn_opts *opts = commands[i].opts;
        for (size_t o = 0; opts && o < opts->count; o++)
            if (opts->items[o].choices)
                print_choices(&commands[i], &opts->items[o]);
        if (!opts)
            continue;
        printf("  %s:*) words='--help --set ", commands[i].name);
        for (size_t o = 0; o < opts->count; o++)
            printf("--%s ", opts->items[o].name);
        printf("' ;;\n");
    }
    printf("  esac; fi\n  COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n"
           "  if [ ${#COMPREPLY[@]} -eq 0 ] && [ \"$COMP_CWORD\" -gt 1 ]; then\n"
           "    COMPREPLY=($(compgen -f -- \"$word\"))\n  fi\n  return 0\n}\n"
           "complete -F _tarn tarn\n");
    return 0;
}

/* What functions of SQL take from outside: time zone files and a seed for RANDOM() and UUID(). */
static void install_sources(void)
{
    uint64_t seed = (uint64_t)system_wall_ms(NULL);
    if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) != (ssize_t)sizeof seed)
        seed ^= (uint64_t)getpid() << 32;
    tn_random_seed(seed);
    tn_zone_set_loader(tn_zoneinfo_load);
}

int main(int argc, char **argv)
{
    const char *names[COMMANDS_COUNT];
    struct args rest = {argc > 2 ? argc - 2 : 0, argv + 2};
    tn_log_set_sink(log_to_stderr, TN_LOG_INFO);
    block_signals();
    install_sources();
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return command_help(&rest);
    if (strcmp(argv[1], "--version") == 0)
        return command_version(&rest);
    for (size_t i = 0; i < COMMANDS_COUNT; i++) {
        names[i] = commands[i].name;
        if (strcmp(commands[i].name, argv[1]) == 0)
            return commands[i].run(&rest);
    }
    const char *nearest = tn_str_nearest(tn_str_of(argv[1]), names, COMMANDS_COUNT);
    fprintf(stderr, "tarn: no command '%s'", argv[1]);
    fprintf(stderr, nearest ? "; did you mean '%s'?\n" : "%s; see tarn help\n",
            nearest ? nearest : "");
    return 2;
}
