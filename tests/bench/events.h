/* The events of the benchmarks: JSON objects of about 100 bytes with their members in random order,
 * 10 % of them with escapes, nested members that no query reads, 0.1 % malformed; keys "song-<n>"
 * by Zipf 1.0 or uniform. Made from a seed, so that every program counts the same events.
 * Ownership: one block, freed by events_free. */
#ifndef TN_TESTS_BENCH_EVENTS_H
#define TN_TESTS_BENCH_EVENTS_H

#include <stdint.h>
#include "stream/base/str.h"

struct events_spec {
    uint64_t seed;
    uint64_t count;
    uint32_t keys_count;
    double zipf;      /* 1.0; 0 = uniform */
    double malformed; /* share of bad events; 0.001 */
    bool is_misfit;   /* bad events parse, but their ms is no number */
};

struct events {
    char *bytes;
    struct tn_str *items;
    uint64_t count;
    uint64_t bytes_count;
    uint64_t malformed_count;
};

void events_make(const struct events_spec *spec, struct events *ret_events);
/* `count` events with columns c0 … c9 of 20 to 200 values ("v<n>") beside song and ms. */
void events_make_columns(uint64_t count, struct events *ret_events);
void events_free(struct events *events);

/* CPU seconds of this process, and monotonic seconds. */
double bench_cpu(void);
double bench_wall(void);
/* Result line for bin/bench --json: appended to the file named by TARN_BENCH_JSON when set. */
void bench_report(const char *bench, const char *metric, const char *unit, double tarn,
                  double reference, const char *reference_name);
/* min, median and max of n values (sorted in place). */
void bench_spread(double *values, int n, double *ret_min, double *ret_median, double *ret_max);

#endif
