/* The server: ports wired to adapters in the order in which they need each other, and closed the
 * other way round.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "connectors/formats.h"
#include "connectors/kafka_log.h"
#include "connectors/sink.h"
#include "dashboards/live.h"
#include "main.h"
#include "sql/db.h"
#include "sql/http_sql.h"
#include "sql/members.h"
#include "sql/trino.h"
#include "store/catalog_store.h"
#include "store/log.h"
#include "store/state.h"
#include "stream/base/metrics.h"
#include "stream/catalog_log.h"

#define STOP_GRACE_MS 5000

void tni_server_init(struct tni_server *server)
{
    *server = (struct tni_server){0};
    tn_arena_init(&server->arena, 0);
    tn_opt_defaults(&tni_engine_opts, &server->settings, &server->arena);
    tn_store_config_init(&server->store_config);
    tn_http_config_init(&server->http_config);
    tn_opt_defaults(&tn_s3_opts, &server->s3_options, &server->arena);
}

struct tn_engine_config tni_engine_config(const struct tni_server *server)
{
    const struct tni_settings *set = &server->settings;
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

static enum tn_status open_engine(struct tni_server *server, struct tn_err *err)
{
    struct tn_engine_config config = tni_engine_config(server);
    return tn_engine_open(&config, server->log, server->state, &tni_clock, &server->engine, err);
}

/* Kafka serves all topics when it is named, else the embedded log does. */
static enum tn_status open_log(struct tni_server *server, struct tn_err *err)
{
    const struct tni_settings *set = &server->settings;
    if (!set->kafka)
        return tn_rocks_log_open(server->store, &server->log, err);
    struct tn_kafka_config config = {
        .application_id = set->application_id,
        .instance_id = tn_store_id(server->store),
        .properties = set->kafka,
        .clock = &tni_clock,
        .metrics = server->metrics,
        .is_at_least_once = strcmp(set->guarantee, "at_least_once") == 0,
        .is_dynamic = set->standby_replicas > 0, /* others are expected: hand over at SIGTERM */
        .is_stopping = tni_stop_is_pending,
    };
    return tn_kafka_log_open(&config, &server->log, err);
}

static enum tn_status open_db(struct tni_server *server, struct tn_err *err)
{
    const struct tni_settings *set = &server->settings;
    struct tn_db_config config = {
        .application_id = set->application_id,
        .engine = server->engine,
        .log = server->log,
        .catalog_store = server->catalog_store,
        .clock = &tni_clock,
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
static enum tn_status find_lake(struct tni_server *server, const char *state, struct tn_err *err)
{
    char full[4096];
    const char *dir = server->settings.lake_dir;
    snprintf(server->spool_dir, sizeof server->spool_dir, "%s/spool", state);
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
    struct tni_server *server = ctx;
    ret_root[0] = 0; /* the location is the table */
    return tn_object_store_open(server->stores, location, NULL, ret_store, err);
}

static bool is_our_sink(void *ctx, const char *name)
{
    return tn_engine_owns_name(((struct tni_server *)ctx)->engine, name);
}

static enum tn_status open_sinks(struct tni_server *server, struct tn_err *err)
{
    TN_TRY(tn_rocks_sinks_open(server->store, &server->sink_store, err));
    struct tn_sinks_config config = {.log = server->log,
                                     .store = server->sink_store,
                                     .clock = &tni_clock,
                                     .metrics = server->metrics,
                                     .formats = tn_formats_builtin(),
                                     .application_id = server->settings.application_id,
                                     .spool_folder = server->spool_dir,
                                     .store_open = open_lake,
                                     .store_ctx = server,
                                     .is_ours = server->settings.kafka ? is_our_sink : NULL,
                                     .ours_ctx = server};
    return tn_sinks_open(&config, &server->sinks, err);
}

/* With Kafka the catalog is shared by all processes of the application, else it is the folder's. */
static enum tn_status open_catalog(struct tni_server *server, struct tn_err *err)
{
    if (server->settings.kafka)
        return tn_catalog_log_open(server->log, server->settings.application_id, &tni_clock,
                                   &server->catalog_store, err);
    return tn_rocks_catalog_open(server->store, &server->catalog_store, err);
}

static void close_catalog(struct tni_server *server)
{
    if (!server->catalog_store)
        return;
    if (server->settings.kafka)
        tn_catalog_log_close(server->catalog_store);
    else
        tn_rocks_catalog_close(server->catalog_store);
}

/* State folder, log, state, engine, catalog; queries of earlier runs start to restore. */
enum tn_status tni_server_open(struct tni_server *server, const char *state, struct tn_err *err)
{
    server->store_config.path = state;
    server->store_config.application_id = server->settings.application_id;
    server->store_config.clock = &tni_clock;
    server->metrics = tn_metrics_new();
    server->stores = tn_object_stores_new(&server->s3_options, &tni_clock, server->metrics);
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

/* Where other processes reach this one: as given, else the listen address, else this machine. */
static void find_advertised(const struct tni_server *server, char *ret_address, size_t size)
{
    const char *given = server->settings.server, *address = tn_http_address(server->http);
    const char *port = strrchr(address, ':');
    bool is_any = strncmp(address, "0.0.0.0:", 8) == 0 || strncmp(address, "[::]:", 5) == 0;
    char name[256] = "localhost";
    if (given && *given)
        snprintf(ret_address, size, "%s", given);
    else if (is_any && gethostname(name, sizeof name - 1) == 0)
        snprintf(ret_address, size, "%s%s", name, port ? port : "");
    else
        snprintf(ret_address, size, "%s", address);
}

/* The advertised name is one that requests may call this server by. */
static void allow_advertised(struct tni_server *server)
{
    char name[256] = "";
    const char *given = server->settings.server, *hosts = server->http_config.hosts;
    if (!server->settings.kafka)
        return;
    if (given && *given)
        snprintf(name, sizeof name, "%s", given);
    else if (gethostname(name, sizeof name - 1) != 0)
        return;
    char *port = strrchr(name, ':');
    if (port)
        *port = 0;
    snprintf(server->hosts, sizeof server->hosts, "%s%s%s", hosts ? hosts : "",
             hosts && *hosts ? "," : "", name);
    server->http_config.hosts = server->hosts;
}

static enum tn_status open_members(struct tni_server *server, struct tn_err *err)
{
    const struct tni_settings *set = &server->settings;
    char address[300];
    if (!set->kafka)
        return TN_OK;
    find_advertised(server, address, sizeof address);
    struct tn_members_config config = {.application_id = set->application_id,
                                       .instance_id = tn_store_id(server->store),
                                       .address = address,
                                       .db = server->db,
                                       .engine = server->engine,
                                       .log = server->log,
                                       .clock = &tni_clock,
                                       .metrics = server->metrics,
                                       .is_refusing = !set->is_gathering,
                                       .has_standbys = set->has_standby_reads,
                                       .patience_ms = set->gather_wait_ms};
    return tn_members_open(&config, server->http, &server->members, err);
}

enum tn_status tni_server_listen(struct tni_server *server, const char *listen, struct tn_err *err)
{
    const struct tni_settings *set = &server->settings;
    server->http_config.listen = listen;
    allow_advertised(server);
    tn_sinks_start(server->sinks);
    TN_TRY(tn_http_open(&server->http_config, &tni_clock, server->metrics, &server->http, err));
    struct tn_http_sql_config sql = {.db = server->db,
                                     .engine = server->engine,
                                     .log = server->log,
                                     .clock = &tni_clock,
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
                                  .clock = &tni_clock,
                                  .metrics = server->metrics,
                                  .version = TN_VERSION};
    TN_TRY(tn_live_open(&live, server->http, &server->live, err));
    TN_TRY(open_members(server, err));
    return tn_http_start(server->http, err);
}

/* <state>/endpoint, mode 0600: where the shell and the SQLite extension find this process. */
enum tn_status tni_server_publish(struct tni_server *server, const char *state, struct tn_err *err)
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
void tni_server_close(struct tni_server *server)
{
    if (server->endpoint[0])
        unlink(server->endpoint);
    if (server->http)
        tn_http_stop(server->http, STOP_GRACE_MS);
    tn_live_close(server->live);
    tn_trino_close(server->trino);
    tn_http_sql_close(server->http_sql);
    tn_members_close(server->members);
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

/* ---- folders ---- */

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *at)
{
    (void)info;
    (void)kind;
    (void)at;
    return remove(path);
}

void tni_remove_folder(const char *path)
{
    if (nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS) != 0)
        fprintf(stderr, "tarn: could not remove '%s': %s\n", path, strerror(errno));
}
