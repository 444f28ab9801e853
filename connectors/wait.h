/* Waiting in a thread of one's own: for a time, for a log, for requests to an object store.
 *
 * Times are CLOCK_MONOTONIC's and decide only when a thread looks again, never what it finds. */
#ifndef TN_CONNECTORS_WAIT_H
#define TN_CONNECTORS_WAIT_H

#include <pthread.h>

#include "stream/log.h"
#include "stream/object_store.h"

/* Until the variable is signalled (or, as ever, without a reason), at most `ns`; false: the time is
 * over. Whatever attributes the variable has. */
bool tn_cond_wait_for(pthread_cond_t *cond, pthread_mutex_t *lock, int64_t ns);

/* A reader of a log: give `wake` to the log, ask, and wait when there is nothing. A signal between
 * asking and waiting is not lost. One thread waits, any signals. */
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

/* Requests that one thread has under way and waits for. */
struct tn_object_group {
    struct tn_object_store *store;
    pthread_mutex_t lock;
    pthread_cond_t ended;
    struct tn_object_request *first; /* those that _next has not given back; guarded by lock */
};

void tn_object_group_init(struct tn_object_group *group, struct tn_object_store *store);
void tn_object_group_release(struct tn_object_group *group); /* nothing is under way */
/* Submits it; `done` and `ctx` are used by the group. */
void tn_object_group_add(struct tn_object_group *group, struct tn_object_request *request);
/* Waits for a request that has ended, each is given once; NULL: there is none under way. `is_over`
 * (NULL: never) is asked ten times a second; once it is true all that are under way are cancelled.
 */
struct tn_object_request *tn_object_group_next(struct tn_object_group *group,
                                               bool (*is_over)(void *ctx), void *ctx);

#endif
