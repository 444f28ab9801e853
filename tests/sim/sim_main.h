/* Command line of the simulations: --seed N, --seeds A-B, --steps N, --verbose and one flag of the
 * program's own.
 */
#ifndef TN_SIM_MAIN_H
#define TN_SIM_MAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "stream/base/logline.h"

struct sim_options {
    uint64_t from, to; /* seeds, both included */
    uint32_t steps;
    bool is_flagged; /* the program's own flag was given */
    bool is_verbose;
};

struct sim_program {
    const char *name, *flag;                                            /* "--small" */
    uint32_t steps;                                                     /* default */
    enum tn_log_level level;                                            /* shown with --verbose */
    bool (*run_seed)(uint64_t seed, const struct sim_options *options); /* false: failed, told */
};

/* Runs the seeds and prints how many failed; the exit status. */
int sim_main(const struct sim_program *program, int argc, char **argv);

#endif
