/* Waiting on a condition variable until a moment of CLOCK_MONOTONIC, whatever attributes the
 * variable has. @thread any */
#ifndef TN_STREAM_BASE_WAIT_H
#define TN_STREAM_BASE_WAIT_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* Until the variable is signalled (or, as ever, without a reason); false: the moment has passed.
 * INT64_MAX = for ever. */
bool tn_cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *lock, int64_t until_ns);

#endif
