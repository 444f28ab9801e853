/* kill -9 of a process that works on the store, at every named crash point and at random moments,
 * on one folder again and again; after each death everything that was promised is checked
 * (tests/support/store_workload.h). */
#include "tests/check.h"
#include "tests/support/store_workload.h"
#include "tests/support/temp_folder.h"

#include <stdlib.h>

static const char *const points[] = {
    "append-before-write",     "append-after-write",    "append-before-sync", "append-before-done",
    "commit-before-write",     "commit-after-write",    "sync-before",        "sync-after",
    "state-before-write",      "state-after-write",     "state-file-built",   "state-file-ingested",
    "compaction-before-write", "compaction-after-write"};

int main(int argc, char **argv)
{
    store_workload_child(argc, argv);
    char folder[256];
    struct workload_promises promises = {0};
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    temp_folder_make(folder, sizeof folder);
    size_t points_count = sizeof points / sizeof *points;
    for (size_t i = 0; i < points_count; i++) {
        char variable[96];
        snprintf(variable, sizeof variable, "TARN_CRASH_POINT=%s:%zu", points[i], 1 + i % 4);
        const char *const environment[] = {variable, NULL};
        CHECK(store_workload_run(argv[0], folder, seed++, environment, 0, &promises));
        CHECK(store_workload_check(folder, false, &promises));
        if (tn_checks_failed) {
            fprintf(stderr, "at %s, folder %s\n", variable, folder);
            return TN_TEST_END();
        }
    }
    for (int i = 0; i < 6; i++) {
        CHECK(store_workload_run(argv[0], folder, seed, NULL, (int64_t)(100 + seed * 7919 % 3000),
                                 &promises));
        seed++;
        CHECK(store_workload_check(folder, false, &promises));
    }
    CHECK(promises.acked_count > 1000 && promises.committed > 100 && promises.ingested > 0);
    printf("%lld appends acknowledged, %lld commits\n", (long long)promises.acked_count,
           (long long)promises.committed);
    workload_promises_release(&promises);
    if (!tn_checks_failed)
        temp_folder_remove(folder);
    return TN_TEST_END();
}
