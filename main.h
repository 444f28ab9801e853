/* The composition root's own header: the server of `tarn run`, its options, and the commands. Only
 * main*.c include it. main_options.c holds the options, main_server.c wires ports to adapters,
 * main_wait.c holds clock, signals and what happens while the server runs; main_run.c,
 * main_client.c and main_verify.c are the commands.
 *
 * @thread one thread; signals are blocked before any other starts.
 */
#ifndef TN_MAIN_H
#define TN_MAIN_H

#include "connectors/http_server.h"
#include "connectors/object_url.h"
#include "store/db.h"
#include "store/sink_store.h"
#include "stream/engine.h"

/* Options of the engine and of SQL. */
struct tni_settings {
    const char *application_id;
    const char *offset_reset, *guarantee, *identifiers;
    int64_t commit_interval_ms, cache_emit_bytes, state_cache_bytes, round_rows, round_bytes;
    int64_t threads, standby_replicas;
    const char *lake_dir;
    int64_t sql_threads, sql_timeout_ms, sql_memory_bytes, sql_cache_bytes, sql_rows_max;
    int64_t partitions;
    const char *server;
    bool is_gathering, has_standby_reads;
    int64_t gather_wait_ms;
    bool is_flush_every_commit;
    struct tn_opt_pair *kafka;
};

/* Options of the command line itself. */
struct tni_command_line {
    const char *state, *listen;
    int64_t seconds;
    bool is_prune, is_quiet;
    double rate;
};

/* The words after the command. */
struct tni_args {
    int count;
    char **items;
};

/* Everything wired together. */
struct tni_server {
    struct tn_arena arena; /* strings of options */
    struct tni_settings settings;
    struct tn_store_config store_config;
    struct tn_http_config http_config;
    struct tn_s3_options s3_options;
    struct tn_metrics *metrics;
    char lake_dir[4200];             /* absolute */
    char spool_dir[4200];            /* of sinks */
    char hosts[1200];                /* http.hosts and the advertised name */
    struct tn_members *members;      /* other processes; NULL = none */
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

extern const struct tn_opts tni_engine_opts, tni_run_opts, tni_demo_opts, tni_verify_opts;
extern struct tn_clock tni_clock;

/* ---- main_options.c ---- */

/* Parses "--name value", "--name=value" and flags from `opts`; --set goes to `server` (may be
 * NULL). The first other word is *ret_file (may be NULL: then such a word is an error). */
enum tn_status tni_parse_args(const struct tni_args *args, const struct tn_opts *opts, void *target,
                              struct tni_server *server, struct tn_arena *arena,
                              const char **ret_file, struct tn_err *err);
bool tni_wants_help(const struct tni_args *args);
void tni_print_opts(const struct tn_opts *opts);
/* The settings of all components. */
void tni_print_server_opts(void);
/* Prints the error as one line; returns `status`. */
int tni_complain(int status, const struct tn_err *err);

/* ---- main_server.c ---- */

void tni_server_init(struct tni_server *server);
/* State folder, log, state, engine, catalog; queries of earlier runs start to restore. */
enum tn_status tni_server_open(struct tni_server *server, const char *state, struct tn_err *err);
enum tn_status tni_server_listen(struct tni_server *server, const char *listen, struct tn_err *err);
/* <state>/endpoint, mode 0600: where the shell and the SQLite extension find this process. */
enum tn_status tni_server_publish(struct tni_server *server, const char *state, struct tn_err *err);
/* Of a server in any state after server_init. */
void tni_server_close(struct tni_server *server);
struct tn_engine_config tni_engine_config(const struct tni_server *server);

/* ---- main_wait.c ---- */

/* Before any thread starts, so that only the functions below see them. */
void tni_block_signals(void);
/* A signal that nobody has taken yet; for waits during the start. */
bool tni_stop_is_pending(void *ctx);
/* One second, or until a stop signal: true. */
bool tni_stopped_within_a_second(void);
/* Until a stop signal, or `seconds` have passed (0 = no limit). */
void tni_wait_for_stop(int64_t seconds);
/* Until a stop signal; looks at the shared catalog and, on a terminal, at the restore. */
void tni_serve(const struct tni_server *server);

/* ---- commands: exit status ---- */

int tni_command_run(const struct tni_args *args);
int tni_command_demo(const struct tni_args *args);
int tni_command_sql(const struct tni_args *args);
int tni_command_produce(const struct tni_args *args);
int tni_command_verify(const struct tni_args *args);
/* A temporary folder of ours and all in it. */
void tni_remove_folder(const char *path);

#endif
