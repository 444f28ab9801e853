/* tarn sql and tarn produce: the shell and the simulated player. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>

#include "connectors/producer.h"
#include "main.h"
#include "sql/shell.h"

/* Is a running tarn behind <state>/endpoint? The lock of the state folder decides, not the file. */
static int shell_on_state(struct tn_shell_config *config)
{
    struct tn_err err = TN_ERR_INIT;
    struct tni_server server;
    char url[300];
    int status = 2;
    tni_server_init(&server);
    enum tn_status st = tni_server_open(&server, config->state, &err);
    if (st == TN_E_BUSY) { /* in use: its endpoint answers */
        tni_server_close(&server);
        return tn_shell_run(config);
    }
    if (!tn_failed(st) && !tn_failed(tni_server_listen(&server, "127.0.0.1:0", &err))) {
        snprintf(url, sizeof url, "http://%s", tn_http_address(server.http));
        config->url = url;
        status = tn_shell_run(config);
        config->url = NULL; /* the text ends with this function */
    } else {
        tni_complain(2, &err);
    }
    tni_server_close(&server);
    return status;
}

int tni_command_sql(const struct tni_args *args)
{
    struct tn_err err = TN_ERR_INIT;
    struct tn_shell_config config = {0};
    struct tn_arena arena;
    struct stat info;
    if (tni_wants_help(args)) {
        printf("usage: tarn sql [--url URL | --state DIR] [options]\n\n");
        tni_print_opts(&tn_shell_opts);
        return 0;
    }
    tn_arena_init(&arena, 0);
    tn_opt_defaults(&tn_shell_opts, &config, &arena);
    int status = 2;
    if (tn_failed(tni_parse_args(args, &tn_shell_opts, &config, NULL, &arena, NULL, &err)))
        tni_complain(2, &err);
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
    tni_wait_for_stop(0);
    tn_producer_stop(producer);
    return NULL;
}

int tni_command_produce(const struct tni_args *args)
{
    struct tn_err err = TN_ERR_INIT;
    struct tn_producer_config config = {0};
    struct tn_producer *producer = NULL;
    struct tn_producer_totals totals = {0};
    struct tn_arena arena;
    struct tn_buf text;
    pthread_t stopper;
    enum tn_status st;
    if (tni_wants_help(args)) {
        printf("usage: tarn produce [options]\n\nSends simulated plays or clicks to a running "
               "tarn.\n\n");
        tni_print_opts(&tn_producer_opts);
        return 0;
    }
    tn_arena_init(&arena, 0);
    tn_opt_defaults(&tn_producer_opts, &config, &arena);
    TN_GOTO(tni_parse_args(args, &tn_producer_opts, &config, NULL, &arena, NULL, &err));
    TN_GOTO(tn_producer_new(&config, &tni_clock, print_line, NULL, &producer, &err));
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
    return tn_failed(st) ? tni_complain(st == TN_E_INVALID || st == TN_E_NAME ? 2 : 1, &err) : 0;
}
