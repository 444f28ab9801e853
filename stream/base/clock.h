/* Port: time. stream/ reads no clock except through this. wall_ms is for record timestamps and
 * reports, mono_ns for intervals and deadlines. @thread any */
#ifndef TN_STREAM_BASE_CLOCK_H
#define TN_STREAM_BASE_CLOCK_H

#include <stdint.h>

struct tn_clock {
    int64_t (*wall_ms)(struct tn_clock *clock);
    int64_t (*mono_ns)(struct tn_clock *clock);
};

static inline int64_t tn_wall_ms(struct tn_clock *clock)
{
    return clock->wall_ms(clock);
}
static inline int64_t tn_mono_ns(struct tn_clock *clock)
{
    return clock->mono_ns(clock);
}

#endif
