/* A clock that only moves when told to. @thread one test */
#ifndef TN_TESTS_SUPPORT_FAKE_CLOCK_H
#define TN_TESTS_SUPPORT_FAKE_CLOCK_H

#include "stream/base/clock.h"

struct fake_clock {
    struct tn_clock base;
    int64_t now_ns;
};

static inline int64_t fake_wall_ms(struct tn_clock *clock)
{
    return 1700000000000ll + ((struct fake_clock *)(void *)clock)->now_ns / 1000000;
}

static inline int64_t fake_mono_ns(struct tn_clock *clock)
{
    return ((struct fake_clock *)(void *)clock)->now_ns;
}

static inline void fake_clock_init(struct fake_clock *clock)
{
    *clock = (struct fake_clock){.base = {.wall_ms = fake_wall_ms, .mono_ns = fake_mono_ns},
                                 .now_ns = 1000000000};
}

static inline void fake_clock_advance(struct fake_clock *clock, int64_t ms)
{
    clock->now_ns += ms * 1000000;
}

#endif
