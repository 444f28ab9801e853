/* Power loss on the store alone. One folder, again and again: a child works on it
 * (tests/support/store_workload.h) under libpower.so, is cut at a random file operation, what was
 * not synced is gone (wholly, or torn by chance), and after opening again all that was promised
 * must hold. Then failing disks: the n-th write, sync, rename or create fails, once or for ever;
 * the child must end with an error, not crash, and the folder must check.
 *
 * Usage: power_store SHIM [SEED [CUTS]]; TARN_TEST_FULL raises the number of cuts.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/check.h"
#include "tests/support/store_workload.h"
#include "tests/support/temp_folder.h"

static const char *program, *shim;
static int aborts_count;

struct environment {
    char texts[4][400];
    const char *items[5];
};

static void set_environment(struct environment *environment, const char *folder, const char *third,
                            const char *fourth)
{
    snprintf(environment->texts[0], sizeof environment->texts[0], "LD_PRELOAD=%s", shim);
    snprintf(environment->texts[1], sizeof environment->texts[1], "TARN_POWER_FOLDER=%s", folder);
    snprintf(environment->texts[2], sizeof environment->texts[2], "%s", third);
    snprintf(environment->texts[3], sizeof environment->texts[3], "%s", fourth);
    for (int i = 0; i < 4; i++)
        environment->items[i] = environment->texts[i];
    environment->items[4] = NULL;
}

static uint64_t mix(uint64_t seed)
{
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    return (seed ^ seed >> 29) >> 20;
}

/* Moments are spread over opening (the first hundred operations) and working (some thousands). */
static long moment(uint64_t seed)
{
    return (long)(1 + mix(seed) % (seed % 3 == 0 ? 120 : 4000));
}

/* Every fifth run dies by kill -9 without a check: the next one begins with unsynced bytes in the
 * page cache and then loses its power. */
static bool one_cut(const char *folder, uint64_t seed, int number,
                    struct workload_promises *promises)
{
    struct environment environment;
    char at[64], how[64];
    bool is_kill = number % 5 == 3;
    snprintf(at, sizeof at, "TARN_POWER_AT=%ld", moment(seed));
    snprintf(how, sizeof how, "TARN_POWER_TEAR=%llu",
             (unsigned long long)(number % 2 ? mix(seed + 77) | 1 : 0));
    set_environment(&environment, folder, at, is_kill ? "TARN_POWER_KEEP=1" : how);
    bool is_good = store_workload_run(program, folder, seed, environment.items, 0, promises) &&
                   (is_kill || store_workload_check(folder, true, promises));
    if (!is_good)
        fprintf(stderr, "cut %d: seed %llu, %s %s, folder %s\n", number, (unsigned long long)seed,
                at, how, folder);
    return is_good;
}

static void cuts(const char *folder, uint64_t seed, int count)
{
    struct workload_promises promises = {0};
    for (int i = 0; i < count && !tn_checks_failed; i++)
        CHECK(one_cut(folder, seed + (uint64_t)i, i, &promises));
    printf("%d cuts: %lld appends acknowledged, %lld commits, %lld ingested\n", count,
           (long long)promises.acked_count, (long long)promises.durable,
           (long long)promises.ingested);
    CHECK(promises.acked_count > 100 && promises.ingested > 0);
    workload_promises_release(&promises);
}

/* Returns true when the child met the failure (ended with an error). */
static bool one_failure(const char *what, long n, bool is_forever)
{
    struct workload_promises promises = {0};
    struct environment environment;
    char folder[256], failure[64];
    temp_folder_make(folder, sizeof folder);
    snprintf(failure, sizeof failure, "TARN_POWER_FAIL=%s:%ld%s", what, n,
             is_forever ? ":forever" : "");
    set_environment(&environment, folder, failure, "TARN_WORKLOAD_ROUNDS=120");
    int status =
        store_workload_run_to_end(program, folder, (uint64_t)n, environment.items, &promises);
    /* Debian's RocksDB has its assertions on, and some do not expect a failing disk */
    bool is_abort = WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
    aborts_count += is_abort;
    CHECK(is_abort ||
          (WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 3)));
    CHECK(store_workload_check(folder, false, &promises));
    if (tn_checks_failed)
        fprintf(stderr, "%s, status %x, folder %s\n", failure, status, folder);
    else
        temp_folder_remove(folder);
    workload_promises_release(&promises);
    return status != 0;
}

static void failures(void)
{
    static const char *const kinds[] = {"write", "sync", "rename", "create"};
    int count = 0, met = 0;
    for (size_t k = 0; k < 4 && !tn_checks_failed; k++)
        for (long n = 1, misses = 0; misses < 3 && n < 3000 && !tn_checks_failed;
             n += 1 + n / 4, count++) {
            bool is_met = one_failure(kinds[k], n, count % 2);
            met += is_met;
            misses = is_met ? 0 : misses + 1;
        }
    printf("%d failing disks, %d of them met, %d ended by an assertion of RocksDB\n", count, met,
           aborts_count);
    CHECK(met > 20);
}

int main(int argc, char **argv)
{
    store_workload_child(argc, argv);
    if (argc < 2) {
        fprintf(stderr, "usage: power_store SHIM [SEED [CUTS]]\n");
        return 2;
    }
    program = argv[0];
    shim = argv[1];
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    int count = argc > 3 ? (int)strtol(argv[3], NULL, 10) : getenv("TARN_TEST_FULL") ? 500 : 60;
    char folder[256];
    temp_folder_make(folder, sizeof folder);
    cuts(folder, seed, count);
    if (!tn_checks_failed)
        temp_folder_remove(folder);
    if (!tn_checks_failed)
        failures();
    return TN_TEST_END();
}
