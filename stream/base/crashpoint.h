/* Named crash points: places where a test may end the process as if by kill -9 (tests/crash,
 * tests/power).
 *
 * tn_crash_point("append-before-sync") costs one load and a branch. What happens there is decided
 * by the hook, which stream/ does not have: store/ installs one from the environment variable
 * TARN_CRASH_POINT (store/README.md lists the names). @thread any; the hook is installed before
 * other threads start.
 */
#ifndef TN_STREAM_BASE_CRASHPOINT_H
#define TN_STREAM_BASE_CRASHPOINT_H

#include <stdatomic.h>
#include "stream/base/status.h"

typedef void (*tn_crash_hook)(const char *name);

extern _Atomic(tn_crash_hook) tn_crash_hook_installed; /* NULL: every point is a no-op */

void tn_crash_hook_set(tn_crash_hook hook);

static inline void tn_crash_point(const char *name)
{
    tn_crash_hook hook = atomic_load_explicit(&tn_crash_hook_installed, memory_order_relaxed);
    if (TN_UNLIKELY(hook != NULL))
        hook(name);
}

#endif
