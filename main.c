/* tarn: the program. Chooses the command; help, completion and the reference of all settings come
 * from the components' option tables. main.h says where the rest of the composition root is.
 *
 * Commands: run, demo, sql, produce, verify, completion, version. Exit status: 0, 1 for a failure
 * while running, 2 for a bad command, option or statement (one error line).
 */
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "connectors/producer.h"
#include "connectors/zoneinfo.h"
#include "main.h"
#include "sql/shell.h"
#include "stream/base/logline.h"
#include "stream/base/random.h"
#include "stream/base/zone.h"

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

struct command {
    const char *name;
    int (*run)(const struct tni_args *args);
    const struct tn_opts *opts;
    const char *help;
};

static int command_completion(const struct tni_args *args);
static int command_help(const struct tni_args *args);
static int command_options(const struct tni_args *args);
static int command_version(const struct tni_args *args);

static const struct command commands[] = {
    {"run", tni_command_run, &tni_run_opts, "run the statements of FILE beside the log and serve"},
    {"demo", tni_command_demo, &tni_demo_opts, "the music chart with a simulated player"},
    {"sql", tni_command_sql, &tn_shell_opts, "SQL shell"},
    {"produce", tni_command_produce, &tn_producer_opts, "send simulated plays or clicks"},
    {"verify", tni_command_verify, &tni_verify_opts,
     "prove that logs, tables and changelogs agree"},
    {"options", command_options, NULL, "all settings as a Markdown reference"},
    {"completion", command_completion, NULL, "print bash completion: eval \"$(tarn completion)\""},
    {"version", command_version, NULL, "print the version"},
    {"help", command_help, NULL, "this text; `tarn COMMAND --help` for one command"},
};

#define COMMANDS_COUNT (sizeof commands / sizeof *commands)

static int command_version(const struct tni_args *args)
{
    (void)args;
    printf("tarn %s\n", TN_VERSION);
    return 0;
}

static int command_help(const struct tni_args *args)
{
    (void)args;
    printf(
        "tarn: streams of events in, live tables and SQL out\n\nusage: tarn COMMAND [options]\n\n");
    for (size_t i = 0; i < COMMANDS_COUNT; i++)
        printf("  %-11s %s\n", commands[i].name, commands[i].help);
    return 0;
}

static int command_options(const struct tni_args *args)
{
    static const struct tn_opts *const tables[] = {&tni_engine_opts,  &tn_store_opts,
                                                   &tn_http_opts,     &tn_s3_opts,
                                                   &tn_producer_opts, &tn_shell_opts};
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

static int command_completion(const struct tni_args *args)
{
    static const struct tn_opts *const tables[] = {&tni_engine_opts, &tn_store_opts, &tn_http_opts,
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
    uint64_t seed = (uint64_t)tni_clock.wall_ms(&tni_clock);
    if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) != (ssize_t)sizeof seed)
        seed ^= (uint64_t)getpid() << 32;
    tn_random_seed(seed);
    tn_zone_set_loader(tn_zoneinfo_load);
}

int main(int argc, char **argv)
{
    const char *names[COMMANDS_COUNT];
    struct tni_args rest = {argc > 2 ? argc - 2 : 0, argv + 2};
    tn_log_set_sink(log_to_stderr, TN_LOG_INFO);
    tni_block_signals();
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
