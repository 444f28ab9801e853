/* A log for benchmarks: one source topic whose records are events in memory, any number of topics
 * that swallow what is appended (counting records and bytes); repartition topics keep it. Survives
 * a close of the engine, so that a second open finds positions and offsets, but not contents:
 * reading a swallowed topic asserts. Single threaded use per call site; a lock guards it.
 */
#ifndef TN_TESTS_BENCH_BENCH_LOG_H
#define TN_TESTS_BENCH_BENCH_LOG_H

#include "stream/log.h"
#include "tests/bench/events.h"

/* Topic `name` with `partitions_count` partitions. One partition: events in order, null keys.
 * Several: the record key is the text of the member "song", and murmur2 of it chooses the
 * partition, as a producer would. Borrows the events. */
struct tn_log *bench_log_new(const char *name, const struct events *events,
                             int32_t partitions_count);
void bench_log_free(struct tn_log *log);
/* Records and bytes swallowed by topics whose name ends with `suffix`. */
void bench_log_swallowed(struct tn_log *log, const char *suffix, int64_t *ret_records,
                         int64_t *ret_bytes);

#endif
