/* Worker threads of blocking object stores; see object_pool.h.
 *
 * The queue is the list of the submitted requests, first come first served; its length is the
 * requesters' affair. A thread is started when a request finds none idle, up to threads_max.
 * @thread any; one lock, never held while a request runs or done is called
 */
#include "connectors/object_pool.h"

#include <pthread.h>

#include "stream/base/mem.h"

struct tni_object_pool {
    struct tn_object_store *store;
    void (*run)(struct tn_object_store *store, struct tn_object_request *request);
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct tn_object_request *first, **last;
    pthread_t *threads;
    int threads_max, threads_count, idle_count;
    bool is_closing;
};

static void end_cancelled(struct tn_object_request *request)
{
    request->status = tn_err_set(&request->err, TN_E_CANCELLED, "object '%s': cancelled",
                                 request->key ? request->key : "");
    request->done(request);
}

static struct tn_object_request *take_first(struct tni_object_pool *pool)
{
    struct tn_object_request *request = pool->first;
    if (request) {
        pool->first = request->next;
        if (!pool->first)
            pool->last = &pool->first;
    }
    return request;
}

static void *worker_main(void *arg)
{
    struct tni_object_pool *pool = arg;
    pthread_mutex_lock(&pool->lock);
    while (!pool->is_closing) {
        struct tn_object_request *request = take_first(pool);
        if (!request) {
            pool->idle_count++;
            pthread_cond_wait(&pool->work, &pool->lock);
            pool->idle_count--;
            continue;
        }
        pthread_mutex_unlock(&pool->lock);
        if (request->is_cancelled) {
            end_cancelled(request);
        } else {
            pool->run(pool->store, request);
            request->done(request);
        }
        pthread_mutex_lock(&pool->lock);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

struct tni_object_pool *tni_object_pool_new(struct tn_object_store *store, int threads_max,
                                            void (*run)(struct tn_object_store *store,
                                                        struct tn_object_request *request))
{
    struct tni_object_pool *pool = tn_alloc(sizeof *pool);
    pool->store = store;
    pool->run = run;
    pool->threads_max = threads_max;
    pool->threads = tn_alloc_array((size_t)threads_max, sizeof *pool->threads);
    pool->last = &pool->first;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->work, NULL);
    return pool;
}

void tni_object_pool_submit(struct tni_object_pool *pool, struct tn_object_request *request)
{
    request->next = NULL;
    request->is_cancelled = false;
    pthread_mutex_lock(&pool->lock);
    bool is_open = !pool->is_closing;
    if (is_open && pool->idle_count == 0 && pool->threads_count < pool->threads_max &&
        pthread_create(&pool->threads[pool->threads_count], NULL, worker_main, pool) == 0)
        pool->threads_count++;
    is_open = is_open && pool->threads_count > 0;
    if (is_open) {
        *pool->last = request;
        pool->last = &request->next;
        pthread_cond_signal(&pool->work);
    }
    pthread_mutex_unlock(&pool->lock);
    if (!is_open)
        end_cancelled(request);
}

void tni_object_pool_cancel(struct tni_object_pool *pool, struct tn_object_request *request)
{
    pthread_mutex_lock(&pool->lock);
    for (struct tn_object_request **p = &pool->first; *p; p = &(*p)->next) {
        if (*p != request)
            continue;
        *p = request->next;
        if (!*p)
            pool->last = p;
        request->is_cancelled = true; /* a thread ends it, first of all */
        request->next = pool->first;
        if (!pool->first)
            pool->last = &request->next;
        pool->first = request;
        pthread_cond_signal(&pool->work);
        break;
    }
    pthread_mutex_unlock(&pool->lock);
}

void tni_object_pool_free(struct tni_object_pool *pool)
{
    if (!pool)
        return;
    pthread_mutex_lock(&pool->lock);
    pool->is_closing = true;
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);
    for (int i = 0; i < pool->threads_count; i++)
        pthread_join(pool->threads[i], NULL);
    for (struct tn_object_request *request; (request = take_first(pool)) != NULL;)
        end_cancelled(request);
    pthread_cond_destroy(&pool->work);
    pthread_mutex_destroy(&pool->lock);
    tn_free(pool->threads);
    tn_free(pool);
}
