/* A reader of a log that waits in its own thread: give `wake` to the log, ask, and wait when there
 * is nothing. A signal between asking and waiting is not lost. One thread waits, any signals. */
#ifndef TN_STREAM_LOG_WAIT_H
#define TN_STREAM_LOG_WAIT_H

#include <pthread.h>

#include "stream/log.h"

struct tn_waiter {
    struct tn_wake wake; /* first: its signal casts back */
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool is_signalled; /* guarded by lock */
};

void tn_waiter_init(struct tn_waiter *waiter);
void tn_waiter_release(struct tn_waiter *waiter);
/* Until a signal that was not waited for yet, at most `ns`; false: there was none. */
bool tn_waiter_wait(struct tn_waiter *waiter, int64_t ns);

#endif
