/* Power loss on the store alone. One folder, again and again: a child works on it
 * (tests/support/store_workload.h) under libpower.so, is cut at a random file operation, what was
 * not synced is gone (wholly, or torn by chance), and after opening again all that was promised
 * must hold. Then failing disks: the n-th write, sync, rename or create fails, once or for ever;
 * the child must end with an error, not crash, and the folder must check. Then both: a sync of the
 * manifest fails, so that nobody knows what it will name, and the power goes.
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

#define DOUBTS 160

#define TEXTS 6

struct environment {
    char texts[TEXTS][400];
    const char *items[TEXTS + 1];
};

/* Absent ones are NULL. */
static void set_environment(struct environment *environment, const char *folder, const char *third,
                            const char *fourth, const char *fifth, const char *sixth)
{
    char preload[400], power_folder[400];
    snprintf(preload, sizeof preload, "LD_PRELOAD=%s", shim);
    snprintf(power_folder, sizeof power_folder, "TARN_POWER_FOLDER=%s", folder);
    const char *const texts[TEXTS] = {preload, power_folder, third, fourth, fifth, sixth};
    size_t count = 0;
    for (size_t i = 0; i < TEXTS; i++) {
        if (!texts[i])
            continue;
        snprintf(environment->texts[count], sizeof environment->texts[0], "%s", texts[i]);
        environment->items[count] = environment->texts[count];
        count++;
    }
    environment->items[count] = NULL;
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
 * page cache and then loses its power. After every fifth cut there is no check either: the next
 * child opens what the cut left behind, and no clean close tidies up. */
static bool one_cut(const char *folder, uint64_t seed, int number,
                    struct workload_promises *promises)
{
    struct environment environment;
    char at[64], how[64];
    bool is_kill = number % 5 == 3, is_checked = !is_kill && number % 5 != 1;
    snprintf(at, sizeof at, "TARN_POWER_AT=%ld", moment(seed));
    snprintf(how, sizeof how, "TARN_POWER_TEAR=%llu",
             (unsigned long long)(number % 2 ? mix(seed + 77) | 1 : 0));
    set_environment(&environment, folder, at, is_kill ? "TARN_POWER_KEEP=1" : how, NULL, NULL);
    store_workload_context(at);
    bool is_good = store_workload_run(program, folder, seed, environment.items, 0, promises) &&
                   (!is_checked || store_workload_check(folder, true, promises));
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

static void remove_folder(const char *folder)
{
    char trash[300];
    snprintf(trash, sizeof trash, "%s.power", folder); /* of a child that aborted */
    temp_folder_remove(trash);
    temp_folder_remove(folder);
}

/* One run of 120 rounds in a folder of its own. Returns true when the child met the failure. */
static bool one_failure(const char *failure, uint64_t seed, const char *cut, const char *tear)
{
    struct workload_promises promises = {0};
    struct environment environment;
    char folder[256], fail[80];
    temp_folder_make(folder, sizeof folder);
    snprintf(fail, sizeof fail, "TARN_POWER_FAIL=%s", failure);
    set_environment(&environment, folder, fail, "TARN_WORKLOAD_ROUNDS=120", cut, tear);
    store_workload_context(failure);
    int status = store_workload_run_to_end(program, folder, seed, environment.items, &promises);
    /* Debian's RocksDB has its assertions on, and some do not expect a failing disk */
    bool is_abort = WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
    bool is_cut = cut && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    aborts_count += is_abort;
    CHECK(is_abort || is_cut ||
          (WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 3)));
    CHECK(store_workload_check(folder, cut != NULL, &promises));
    if (tn_checks_failed)
        fprintf(stderr, "%s %s %s, status %x, folder %s\n", failure, cut ? cut : "",
                tear ? tear : "", (unsigned)status, folder);
    else
        remove_folder(folder);
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
            char failure[64];
            snprintf(failure, sizeof failure, "%s:%ld%s", kinds[k], n, count % 2 ? ":forever" : "");
            bool is_met = one_failure(failure, (uint64_t)n, NULL, NULL);
            met += is_met;
            misses = is_met ? 0 : misses + 1;
        }
    printf("%d failing disks, %d of them met, %d ended by an assertion of RocksDB\n", count, met,
           aborts_count);
    CHECK(met > 20);
}

/* A record of the manifest whose sync failed may stay or go: by itself (the process only ends),
 * wholly lost, or torn. */
static void doubts(void)
{
    int count = 0;
    for (uint64_t i = 0; i < DOUBTS && !tn_checks_failed; i++) {
        uint64_t n = 1 + i % 16, form = mix(i) % 3;
        char failure[64], tear[64];
        snprintf(failure, sizeof failure, "sync@MANIFEST:%llu%s", (unsigned long long)n,
                 i / 16 % 2 ? ":forever" : "");
        snprintf(tear, sizeof tear, "TARN_POWER_TEAR=%llu",
                 (unsigned long long)(form == 2 ? mix(i) | 1 : 0));
        count += one_failure(failure, i, form ? "TARN_POWER_AT=exit" : NULL, tear);
    }
    printf("%d failed syncs of the manifest\n", count);
    CHECK(count > DOUBTS / 2);
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
        remove_folder(folder);
    if (!tn_checks_failed)
        failures();
    if (!tn_checks_failed)
        doubts();
    return TN_TEST_END();
}
