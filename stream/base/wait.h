/* Waiting on a condition variable for a time. The time is CLOCK_MONOTONIC's, whatever attributes
 * the variable has, and decides only when a thread looks again: never what it finds. So it is not
 * behind the port clock.h. @thread any */
#ifndef TN_STREAM_BASE_WAIT_H
#define TN_STREAM_BASE_WAIT_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* Until the variable is signalled (or, as ever, without a reason), at most `ns`; false: the time is
 * over. */
bool tn_cond_wait_for(pthread_cond_t *cond, pthread_mutex_t *lock, int64_t ns);
/* The same with the moment as the clock tells it; INT64_MAX = for ever. */
bool tn_cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *lock, int64_t until_ns);

#endif
