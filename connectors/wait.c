/* Waiting in a thread of one's own; see wait.h. @thread as noted there */
#include "connectors/wait.h"

#include <time.h>

#include "stream/base/wait.h"

#define LOOK_NS 100000000

bool tn_cond_wait_for(pthread_cond_t *cond, pthread_mutex_t *lock, int64_t ns)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return tn_cond_wait_until(cond, lock, now.tv_sec * INT64_C(1000000000) + now.tv_nsec + ns);
}

/* ---- a log ---- */

static void on_signal(struct tn_wake *wake)
{
    struct tn_waiter *waiter = (struct tn_waiter *)(void *)wake;
    pthread_mutex_lock(&waiter->lock);
    waiter->is_signalled = true;
    pthread_cond_signal(&waiter->cond);
    pthread_mutex_unlock(&waiter->lock);
}

void tn_waiter_init(struct tn_waiter *waiter)
{
    *waiter = (struct tn_waiter){.wake = {on_signal}};
    pthread_mutex_init(&waiter->lock, NULL);
    pthread_cond_init(&waiter->cond, NULL);
}

void tn_waiter_release(struct tn_waiter *waiter)
{
    pthread_cond_destroy(&waiter->cond);
    pthread_mutex_destroy(&waiter->lock);
}

bool tn_waiter_wait(struct tn_waiter *waiter, int64_t ns)
{
    pthread_mutex_lock(&waiter->lock);
    while (!waiter->is_signalled && tn_cond_wait_for(&waiter->cond, &waiter->lock, ns))
        ;
    bool is_signalled = waiter->is_signalled;
    waiter->is_signalled = false;
    pthread_mutex_unlock(&waiter->lock);
    return is_signalled;
}

/* ---- requests ---- */

void tn_object_group_init(struct tn_object_group *group, struct tn_object_store *store)
{
    *group = (struct tn_object_group){.store = store};
    pthread_mutex_init(&group->lock, NULL);
    pthread_cond_init(&group->ended, NULL);
}

void tn_object_group_release(struct tn_object_group *group)
{
    TN_ASSERT(!group->first);
    pthread_cond_destroy(&group->ended);
    pthread_mutex_destroy(&group->lock);
}

static void on_done(struct tn_object_request *request)
{
    struct tn_object_group *group = request->ctx;
    pthread_mutex_lock(&group->lock);
    request->is_ended = true;
    pthread_cond_signal(&group->ended);
    pthread_mutex_unlock(&group->lock);
}

void tn_object_group_add(struct tn_object_group *group, struct tn_object_request *request)
{
    request->done = on_done;
    request->ctx = group;
    request->is_ended = false;
    pthread_mutex_lock(&group->lock);
    request->peer = group->first;
    group->first = request;
    pthread_mutex_unlock(&group->lock);
    group->store->type->submit(group->store, request);
}

/* @locks group->lock is held: done waits for it, so what has not ended is still the store's */
static void cancel_all(struct tn_object_group *group)
{
    struct tn_object_store *store = group->store;
    for (struct tn_object_request *request = group->first; request; request = request->peer)
        if (!request->is_ended && store->type->cancel)
            store->type->cancel(store, request);
}

struct tn_object_request *tn_object_group_next(struct tn_object_group *group,
                                               bool (*is_over)(void *ctx), void *ctx)
{
    struct tn_object_request **at;
    bool is_cancelled = false;
    pthread_mutex_lock(&group->lock);
    for (;;) {
        for (at = &group->first; *at && !(*at)->is_ended;)
            at = &(*at)->peer;
        if (*at || !group->first)
            break;
        (void)tn_cond_wait_for(&group->ended, &group->lock, LOOK_NS);
        if (is_over && !is_cancelled && (is_cancelled = is_over(ctx)))
            cancel_all(group);
    }
    struct tn_object_request *request = *at;
    if (request)
        *at = request->peer;
    pthread_mutex_unlock(&group->lock);
    return request;
}
