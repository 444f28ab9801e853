/* C11's threads by way of pthreads, for programs under ThreadSanitizer: it knows pthreads only, and
 * librdkafka, which is not built with it, uses these. Without them its threads are unknown and what
 * its locks order looks like races. Linked before libc (CMakeLists.txt). @thread any
 */
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <threads.h>

static int code_of(int code)
{
    return code == 0 ? thrd_success : code == EBUSY ? thrd_busy : thrd_error;
}

int mtx_init(mtx_t *lock, int type)
{
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    if (type & mtx_recursive)
        pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
    return code_of(pthread_mutex_init((pthread_mutex_t *)(void *)lock, &attr));
}

void mtx_destroy(mtx_t *lock)
{
    pthread_mutex_destroy((pthread_mutex_t *)(void *)lock);
}

int mtx_lock(mtx_t *lock)
{
    return code_of(pthread_mutex_lock((pthread_mutex_t *)(void *)lock));
}

int mtx_unlock(mtx_t *lock)
{
    return code_of(pthread_mutex_unlock((pthread_mutex_t *)(void *)lock));
}

int cnd_init(cnd_t *cond)
{
    return code_of(pthread_cond_init((pthread_cond_t *)(void *)cond, NULL));
}

void cnd_destroy(cnd_t *cond)
{
    pthread_cond_destroy((pthread_cond_t *)(void *)cond);
}

int cnd_signal(cnd_t *cond)
{
    return code_of(pthread_cond_signal((pthread_cond_t *)(void *)cond));
}

int cnd_broadcast(cnd_t *cond)
{
    return code_of(pthread_cond_broadcast((pthread_cond_t *)(void *)cond));
}

int cnd_wait(cnd_t *cond, mtx_t *lock)
{
    return code_of(
        pthread_cond_wait((pthread_cond_t *)(void *)cond, (pthread_mutex_t *)(void *)lock));
}

void call_once(once_flag *flag, void (*function)(void))
{
    pthread_once((pthread_once_t *)(void *)flag, function);
}

struct start {
    thrd_start_t function;
    void *arg;
};

static void *run(void *arg)
{
    struct start start = *(struct start *)arg;
    free(arg);
    return (void *)(intptr_t)start.function(start.arg);
}

int thrd_create(thrd_t *ret_thread, thrd_start_t function, void *arg)
{
    struct start *start = malloc(sizeof *start);
    *start = (struct start){function, arg};
    int code = pthread_create(ret_thread, NULL, run, start);
    if (code)
        free(start);
    return code_of(code);
}

int thrd_join(thrd_t thread, int *ret_result)
{
    void *result;
    int code = pthread_join(thread, &result);
    if (code == 0 && ret_result)
        *ret_result = (int)(intptr_t)result;
    return code_of(code);
}
