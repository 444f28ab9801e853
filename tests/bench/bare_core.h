/* The reference of the benchmarks `core` and `wide`: what a careful C program does at least for the
 * same events. */
#ifndef TN_TESTS_BENCH_BARE_CORE_H
#define TN_TESTS_BENCH_BARE_CORE_H

#include "tests/bench/events.h"

struct bare_counts {
    uint64_t events, malformed, keys;
    int64_t ms_sum;
    uint64_t checksum; /* of (key, count) pairs, order-free: compared with tarn's table */
};

/* Validate every byte, read two members, count by one. */
void bare_core_run(const struct events *events, struct bare_counts *ret_counts);
/* Order-free checksum of one (key, count) pair. */
uint64_t bare_pair_hash(struct tn_str key, uint64_t count);

#endif
