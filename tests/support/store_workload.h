/* A workload on the store that acts like the engine (appends from outside, commits of outputs with
 * positions, state applied later) and checks of what must hold after the process died at any
 * moment.
 *
 * The child process (store_workload_child) works until it is killed and says on a pipe what was
 * promised; the parent collects the promises (store_workload_run) and checks the folder
 * (store_workload_check). Runs on one folder continue each other, so promises add up.
 *
 * Checked: every acknowledged append is there with its bytes; positions and outputs moved together;
 * the sum in the position equals the sum of the inputs below it; a compacted topic has the last
 * record of each key; state is not ahead of the log, was changed atomically and is not behind what
 * was promised; every entry can be read.
 */
#ifndef TN_TESTS_SUPPORT_STORE_WORKLOAD_H
#define TN_TESTS_SUPPORT_STORE_WORKLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WORKLOAD_PARTITIONS 2

struct workload_promises {
    int64_t *acked[WORKLOAD_PARTITIONS]; /* by offset: number appended + 1; 0 = not acknowledged */
    int64_t acked_cap[WORKLOAD_PARTITIONS];
    int64_t acked_count;
    int64_t committed; /* commit_start answered: survives kill -9 */
    int64_t durable;   /* sync answered: survives a power loss */
    int64_t ingested;  /* commit of the last ingested state file */
};

void workload_promises_release(struct workload_promises *promises);

/* argv of the child: PROGRAM child FOLDER SEED. Call first thing in main: runs the child and does
 * not return when argv says so. */
void store_workload_child(int argc, char **argv);

/* Environment of the child beside its own: NULL-terminated "NAME=value". kill_after: parent kills
 * it after so many promises (0 = it dies by itself). Returns false when the child ended otherwise
 * than by SIGKILL (a message was printed). */
bool store_workload_run(const char *program, const char *folder, uint64_t seed,
                        const char *const *environment, int64_t kill_after,
                        struct workload_promises *promises);

/* The same for a child that ends by itself (TARN_WORKLOAD_ROUNDS in its environment); returns its
 * wait status: exit 0, or 3 when the store returned an error. */
int store_workload_run_to_end(const char *program, const char *folder, uint64_t seed,
                              const char *const *environment, struct workload_promises *promises);

/* Printed with whatever goes wrong from now on; the string must live on. */
void store_workload_context(const char *context);

/* True when all holds; prints what does not. is_power: only what was synced is promised. */
bool store_workload_check(const char *folder, bool is_power, struct workload_promises *promises);

#endif
