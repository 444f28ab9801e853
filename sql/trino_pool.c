/* Statement threads of the Trino protocol. There are as many slots as sql.threads; a statement that
 * waits for its client gives its slot back, so that slow readers never keep others from running.
 * Threads are started when a statement finds none idle, up to TNI_TRINO_THREADS_MAX.
 *
 * @thread any; state under trino->lock */
#include "sql/trino_int.h"
#include "stream/base/mem.h"

#define STACK_BYTES ((size_t)1 << 20)

static void *thread_main(void *arg)
{
    struct tn_trino *trino = arg;
    pthread_mutex_lock(&trino->lock);
    for (;;) {
        trino->idle_count++;
        while (!trino->is_over && (!trino->run_first || trino->running_count >= trino->slots_count))
            pthread_cond_wait(&trino->work, &trino->lock);
        trino->idle_count--;
        struct tni_trino_query *query = trino->run_first;
        if (!query)
            break; /* only when it is over */
        trino->run_first = query->next_run;
        if (!trino->run_first)
            trino->run_last = NULL;
        trino->running_count++;
        pthread_mutex_unlock(&trino->lock);
        bool is_done = tni_trino_run(query);
        TN_ASSERT(is_done);
        tni_trino_query_unref(query);
        pthread_mutex_lock(&trino->lock);
        trino->running_count--;
        pthread_cond_broadcast(&trino->work);
    }
    pthread_mutex_unlock(&trino->lock);
    return NULL;
}

/* trino->lock held. When no thread can be had, the idle ones that exist will do it later. */
static void thread_start(struct tn_trino *trino)
{
    pthread_attr_t attr;
    if (trino->threads_count == TNI_TRINO_THREADS_MAX)
        return;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    if (pthread_create(&trino->threads[trino->threads_count], &attr, thread_main, trino) == 0)
        trino->threads_count++;
    pthread_attr_destroy(&attr);
}

void tni_trino_run_add(struct tn_trino *trino, struct tni_trino_query *query)
{
    tni_trino_query_ref(query);
    pthread_mutex_lock(&trino->lock);
    query->next_run = NULL;
    if (trino->run_last)
        trino->run_last->next_run = query;
    else
        trino->run_first = query;
    trino->run_last = query;
    if (trino->idle_count == 0)
        thread_start(trino);
    else
        pthread_cond_broadcast(&trino->work);
    pthread_mutex_unlock(&trino->lock);
}

void tni_trino_slot_release(struct tn_trino *trino)
{
    pthread_mutex_lock(&trino->lock);
    trino->running_count--;
    if (trino->run_first && trino->idle_count == 0)
        thread_start(trino);
    pthread_cond_broadcast(&trino->work);
    pthread_mutex_unlock(&trino->lock);
}

void tni_trino_slot_acquire(struct tn_trino *trino)
{
    pthread_mutex_lock(&trino->lock);
    while (trino->running_count >= trino->slots_count && !trino->is_over)
        pthread_cond_wait(&trino->work, &trino->lock);
    trino->running_count++;
    pthread_mutex_unlock(&trino->lock);
}

void tni_trino_run_stop(struct tn_trino *trino)
{
    pthread_mutex_lock(&trino->lock);
    trino->is_over = true;
    if (trino->run_first && trino->threads_count == 0)
        thread_start(trino);
    pthread_cond_broadcast(&trino->work);
    int count = trino->threads_count;
    pthread_mutex_unlock(&trino->lock);
    for (int i = 0; i < count; i++)
        pthread_join(trino->threads[i], NULL);
    trino->threads_count = 0;
}
