/* tarn verify: opens a state folder without processing, with scratch stores for the recounts. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "main.h"
#include "sql/verify.h"
#include "sql/verify_lake.h"
#include "store/log.h"
#include "store/state.h"

/* A store under TMPDIR for one engine of verify. */
struct scratch {
    struct tni_server *server;
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
        tni_remove_folder(scratch->folder);
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

int tni_command_verify(const struct tni_args *args)
{
    struct tn_err err = TN_ERR_INIT;
    struct tni_command_line line = {0};
    struct tni_server server;
    struct scratch scratch = {.server = &server};
    int64_t differences = 0;
    enum tn_status st;
    if (tni_wants_help(args)) {
        fputs(verify_text, stdout);
        tni_print_opts(&tni_verify_opts);
        tni_print_server_opts();
        return 0;
    }
    tni_server_init(&server);
    server.is_still = true;
    tn_opt_defaults(&tni_verify_opts, &line, &server.arena);
    TN_GOTO(tni_parse_args(args, &tni_verify_opts, &line, &server, &server.arena, NULL, &err));
    TN_GOTO(is_state_folder(line.state, &err));
    TN_GOTO(tni_server_open(&server, line.state, &err));
    struct tn_engine_config config = tni_engine_config(&server);
    config.metrics = NULL;
    const struct tn_verify_config verify = {.db = server.db,
                                            .engine = server.engine,
                                            .log = server.log,
                                            .clock = &tni_clock,
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
    tni_server_close(&server);
    if (tn_failed(st))
        return tni_complain(2, &err);
    return differences ? 1 : 0;
}
