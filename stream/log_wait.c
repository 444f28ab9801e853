/* Waiting for a log; see log_wait.h. @thread as noted there */
#include "stream/log_wait.h"

#include "stream/base/wait.h"

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
