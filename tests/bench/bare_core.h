/* The reference of the benchmarks `core`, `wide` and `kafka`: what a careful C program does at
 * least for the same events. */
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
/* The same in pieces: a hash table of counts. With is_copying keys need not outlive the call. The
 * pointer is good until the next call; a new key has 0. */
struct bare_table;
struct bare_table *bare_table_new(bool is_copying);
uint64_t *bare_table_at(struct bare_table *table, struct tn_str key);
/* Adds keys and checksum to `counts`, and frees the table. */
void bare_table_end(struct bare_table *table, struct bare_counts *counts);
/* The two members of one event; false = malformed. */
bool bare_scan(struct tn_str text, struct tn_str *ret_song, int64_t *ret_ms);
/* Order-free checksum of one (key, count) pair. */
uint64_t bare_pair_hash(struct tn_str key, uint64_t count);

#endif
