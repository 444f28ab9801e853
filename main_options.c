/* Options: the tables of the engine and of the commands, and reading them from words and files. */
#include <stdio.h>
#include <string.h>

#include "main.h"

#define SET(field) offsetof(struct tni_settings, field)

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
    {"application.server", TN_OPT_STRING, SET(server), "", 0, 0, NULL, 0, NULL,
     "HOST:PORT where other processes of the application reach this one (with Kafka); default: the "
     "listen address, or this machine's name"},
    {"sql.gather", TN_OPT_BOOL, SET(is_gathering), "true", 0, 0, NULL, 0, NULL,
     "ask other processes for the rows of partitions they own; false: refuse, naming them"},
    {"sql.gather.wait.ms", TN_OPT_MS, SET(gather_wait_ms), "3000", 0, INT64_MAX, NULL, 0, NULL,
     "wait so long for partitions that are on their way to another process"},
    {"sql.standby.reads", TN_OPT_BOOL, SET(has_standby_reads), "false", 0, 0, NULL, 0, NULL,
     "answer from standby copies, which may lag, when the owner of a partition does not"},
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

const struct tn_opts tni_engine_opts = {"engine", engine_options,
                                        sizeof engine_options / sizeof *engine_options};

#define CMD(field) offsetof(struct tni_command_line, field)

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
const struct tn_opts tni_run_opts = {"tarn run", run_options, 3};
/* The first option of tarn run. */
const struct tn_opts tni_verify_opts = {"tarn verify", run_options, 1};
const struct tn_opts tni_demo_opts = {"tarn demo", demo_options, 4};

/* --set key=value: the table that knows the key takes it; an unknown key names the nearest of all
 * tables. */
static enum tn_status server_set(struct tni_server *server, struct tn_str pair, struct tn_err *err)
{
    const char *equals = pair.len ? memchr(pair.ptr, '=', pair.len) : NULL;
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
    return tn_opt_set(&tni_engine_opts, &server->settings, name, value, &server->arena, err);
}

/* Parses "--name value", "--name=value" and flags from `opts`; --set goes to the server. The first
 * other word is *ret_file (may be NULL: then such a word is an error). */
enum tn_status tni_parse_args(const struct tni_args *args, const struct tn_opts *opts, void *target,
                              struct tni_server *server, struct tn_arena *arena,
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

bool tni_wants_help(const struct tni_args *args)
{
    for (int i = 0; i < args->count; i++)
        if (strcmp(args->items[i], "--help") == 0 || strcmp(args->items[i], "-h") == 0)
            return true;
    return false;
}

void tni_print_opts(const struct tn_opts *opts)
{
    struct tn_buf buf;
    tn_buf_init(&buf, 1 << 20);
    tn_opt_print_help(opts, &buf);
    fputs(tn_buf_cstr(&buf), stdout);
    tn_buf_release(&buf);
}

void tni_print_server_opts(void)
{
    printf("\nsettings (--set NAME=VALUE):\n");
    tni_print_opts(&tni_engine_opts);
    tni_print_opts(&tn_store_opts);
    tni_print_opts(&tn_http_opts);
    tni_print_opts(&tn_s3_opts);
}

int tni_complain(int status, const struct tn_err *err)
{
    if (err->line)
        fprintf(stderr, "tarn: line %d:%d: %s", err->line, err->col, err->message);
    else
        fprintf(stderr, "tarn: %s", err->message);
    fprintf(stderr, err->hint[0] ? " (%s)\n" : "%s\n", err->hint);
    return status;
}
