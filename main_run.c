/* tarn run and tarn demo: a server until a signal, over the statements of a file or of the demo. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "connectors/producer.h"
#include "demo_sql.generated.h"
#include "main.h"
#include "sql/chart.h"
#include "sql/db.h"
#include "stream/base/logline.h"

#define SCRIPT_BYTES_MAX ((size_t)4 << 20)
#define START_RACES_MAX  50

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

/* Topics that others must make first are waited for, with one line for each. */
static enum tn_status apply_script(struct tni_server *server, struct tn_str script, bool is_prune,
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
        if (tni_stopped_within_a_second()) {
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
static enum tn_status server_up(struct tni_server *server, const char *state, struct tn_str script,
                                bool is_prune, struct tn_err *err)
{
    TN_TRY(tni_server_open(server, state, err));
    return apply_script(server, script, is_prune, err);
}

int tni_command_run(const struct tni_args *args)
{
    struct tn_err err = TN_ERR_INIT;
    struct tni_command_line line = {0};
    struct tni_server server;
    struct tn_buf script;
    const char *file = NULL;
    enum tn_status st;
    if (tni_wants_help(args)) {
        printf("usage: tarn run FILE [options]\n\nRuns the statements of FILE as the wanted state "
               "and serves.\n\n");
        tni_print_opts(&tni_run_opts);
        tni_print_server_opts();
        return 0;
    }
    tni_server_init(&server);
    tn_buf_init(&script, SCRIPT_BYTES_MAX);
    tn_opt_defaults(&tni_run_opts, &line, &server.arena);
    TN_GOTO(tni_parse_args(args, &tni_run_opts, &line, &server, &server.arena, &file, &err));
    if (!file) {
        st = tn_err_set(&err, TN_E_INVALID, "no FILE given; usage: tarn run FILE [options]");
        goto fail;
    }
    TN_GOTO(read_file(file, &script, &err));
    TN_GOTO(server_up(&server, line.state, tn_buf_str(&script), line.is_prune, &err));
    TN_GOTO(tni_server_listen(&server, line.listen, &err));
    TN_GOTO(tni_server_publish(&server, line.state, &err));
    printf("ready http://%s\n", tn_http_address(server.http));
    fflush(stdout);
    tni_serve(&server);
fail:
    tni_server_close(&server);
    tn_buf_release(&script);
    if (st == TN_E_CANCELLED)
        return 0;
    return tn_failed(st) ? tni_complain(2, &err) : 0;
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
static enum tn_status demo_play(struct tni_server *server, const struct tni_command_line *line,
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
    TN_TRY(tn_producer_new(&config, &tni_clock, NULL, NULL, &player, err));
    if (pthread_create(&thread, NULL, producer_thread, player) != 0) {
        tn_producer_free(player);
        return tn_err_set(err, TN_E_INTERNAL, "cannot start the player's thread");
    }
    printf("open %s in a browser; songs and plays arrive at %g a second\n", url, line->rate);
    printf("try: curl -d 'SELECT songName, count FROM songs_chart ORDER BY count DESC' %s/sql\n",
           url);
    fflush(stdout);
    tni_wait_for_stop(line->seconds);
    tn_producer_stop(player);
    pthread_join(thread, NULL);
    tn_producer_free(player);
    return tn_chart_print(server->db, "SELECT songName, count FROM songs_chart ORDER BY count DESC",
                          stdout, err);
}

int tni_command_demo(const struct tni_args *args)
{
    struct tn_err err = TN_ERR_INIT;
    struct tni_command_line line = {0};
    struct tni_server server;
    char folder[] = "/tmp/tarn-demo-XXXXXX";
    bool is_temporary = false;
    enum tn_status st;
    if (tni_wants_help(args)) {
        printf("usage: tarn demo [options]\n\nThe music chart with a simulated player, all "
               "embedded.\n\n");
        tni_print_opts(&tni_demo_opts);
        tni_print_server_opts();
        return 0;
    }
    tni_server_init(&server);
    tn_opt_defaults(&tni_demo_opts, &line, &server.arena);
    TN_GOTO(tni_parse_args(args, &tni_demo_opts, &line, &server, &server.arena, NULL, &err));
    if (!line.state) {
        is_temporary = mkdtemp(folder) != NULL;
        line.state = folder;
    }
    TN_GOTO(server_up(&server, line.state, tn_str_of(tn_demo_sql), false, &err));
    TN_GOTO(tni_server_listen(&server, line.listen, &err));
    TN_GOTO(tni_server_publish(&server, line.state, &err));
    printf("ready http://%s\n", tn_http_address(server.http));
    TN_GOTO(demo_play(&server, &line, &err));
fail:
    tni_server_close(&server);
    if (is_temporary)
        tni_remove_folder(folder);
    return tn_failed(st) ? tni_complain(2, &err) : 0;
}
