/* The real clock, for tests that use sockets or threads. */
#ifndef TN_TESTS_TEST_CLOCK_H
#define TN_TESTS_TEST_CLOCK_H

#include <time.h>
#include "stream/base/clock.h"

static inline int64_t test_clock_read(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static inline int64_t test_wall_ms(struct tn_clock *clock)
{
    (void)clock;
    return test_clock_read(CLOCK_REALTIME) / 1000000;
}

static inline int64_t test_mono_ns(struct tn_clock *clock)
{
    (void)clock;
    return test_clock_read(CLOCK_MONOTONIC);
}

static struct tn_clock test_clock = {.wall_ms = test_wall_ms, .mono_ns = test_mono_ns};

#endif
