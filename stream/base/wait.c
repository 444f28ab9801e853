/* Waiting for a time; see wait.h. @thread any */
#include "stream/base/wait.h"

#include <time.h>

#define SECOND_NS 1000000000

bool tn_cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *lock, int64_t until_ns)
{
    struct timespec until = {.tv_sec = until_ns / SECOND_NS, .tv_nsec = until_ns % SECOND_NS};
    if (until_ns == INT64_MAX)
        return pthread_cond_wait(cond, lock) == 0;
    return pthread_cond_clockwait(cond, lock, CLOCK_MONOTONIC, &until) == 0;
}

bool tn_cond_wait_for(pthread_cond_t *cond, pthread_mutex_t *lock, int64_t ns)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return tn_cond_wait_until(cond, lock, now.tv_sec * (int64_t)SECOND_NS + now.tv_nsec + ns);
}
