/* The one command line of all simulations. */
#include "tests/sim/sim_main.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_line(enum tn_log_level level, const char *component, const char *line)
{
    fprintf(stderr, "%d %s %s\n", (int)level, component, line);
}

static void parse(const struct sim_program *program, int argc, char **argv,
                  struct sim_options *options)
{
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], program->flag) == 0) {
            options->is_flagged = true;
        } else if (strcmp(argv[i], "--verbose") == 0) {
            options->is_verbose = true;
        } else if (strcmp(argv[i], "--seed") == 0) {
            options->from = options->to = strtoull(value, NULL, 10);
            i++;
        } else if (strcmp(argv[i], "--seeds") == 0) {
            char *end = NULL;
            options->from = strtoull(value, &end, 10);
            options->to = *end == '-' ? strtoull(end + 1, NULL, 10) : options->from;
            i++;
        } else if (strcmp(argv[i], "--steps") == 0) {
            options->steps = (uint32_t)strtoul(value, NULL, 10);
            i++;
        } else {
            fprintf(stderr, "%s: unknown option '%s'\n", program->name, argv[i]);
            exit(2);
        }
    }
}

int sim_main(const struct sim_program *program, int argc, char **argv)
{
    struct sim_options options = {.from = 1, .to = 20, .steps = program->steps};
    parse(program, argc, argv, &options);
    if (options.is_verbose)
        tn_log_set_sink(print_line, program->level);
    uint64_t failed = 0;
    for (uint64_t seed = options.from; seed <= options.to; seed++)
        failed += !program->run_seed(seed, &options);
    printf("%llu seeds, %llu failed\n", (unsigned long long)(options.to - options.from + 1),
           (unsigned long long)failed);
    return failed ? 1 : 0;
}
