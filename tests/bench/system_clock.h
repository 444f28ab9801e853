/* The machine's clocks behind the clock port. */
#ifndef TN_TESTS_BENCH_SYSTEM_CLOCK_H
#define TN_TESTS_BENCH_SYSTEM_CLOCK_H

#include "stream/base/clock.h"

struct tn_clock *bench_clock(void);

#endif
