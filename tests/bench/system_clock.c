/* The machine's clocks behind the clock port. */
#include "tests/bench/system_clock.h"

#include <time.h>

static int64_t wall_ms(struct tn_clock *clock)
{
    struct timespec ts;
    (void)clock;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int64_t mono_ns(struct tn_clock *clock)
{
    struct timespec ts;
    (void)clock;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

struct tn_clock *bench_clock(void)
{
    static struct tn_clock clock = {wall_ms, mono_ns};
    return &clock;
}
