/* The clock of librdkafka's waits.
 *
 * WHY. librdkafka waits with C11's cnd_timedwait until an instant of timespec_get, which is the
 * wall clock: when that is set back by an hour, its threads stand still for an hour unless somebody
 * wakes them, heartbeats end and the group gives our partitions away (known since 2018, open).
 *
 * HOW IT WORKS. The program's own definitions of the two functions go before libc's, so librdkafka
 * calls these. An instant is the monotonic clock's with a mark that no wall clock shows; one
 * without the mark was made of gettimeofday a moment ago. Both are waited for by the monotonic
 * clock. Nothing else in the process uses these functions. A librdkafka that was built without
 * C11's threads does not call them and is as it is.
 * @thread any
 */
#include "connectors/kafka_int.h"

#include <errno.h>
#include <threads.h>
#include <time.h>

#define NS_PER_S         1000000000ll
#define MARK_S           100000000000ll /* three thousand years */
#define IN_PLACE_OF_LIBC __attribute__((visibility("default")))

void tni_kafka_clock_start(void)
{
} /* who calls it has this file in the program */

static struct timespec now(clockid_t clock)
{
    struct timespec at;
    clock_gettime(clock, &at);
    return at;
}

/* NOLINTBEGIN(readability-inconsistent-declaration-parameter-name): libc's names are reserved */
IN_PLACE_OF_LIBC int timespec_get(struct timespec *ret_at, int base)
{
    *ret_at = now(CLOCK_MONOTONIC);
    ret_at->tv_sec += MARK_S;
    return base;
}

/* glibc's and musl's cnd_t and mtx_t are what pthreads have. */
IN_PLACE_OF_LIBC int cnd_timedwait(cnd_t *restrict cond, mtx_t *restrict lock,
                                   const struct timespec *restrict until)
{
    struct timespec at = *until;
    if (at.tv_sec >= MARK_S) {
        at.tv_sec -= MARK_S;
    } else {
        struct timespec wall = now(CLOCK_REALTIME), mono = now(CLOCK_MONOTONIC);
        int64_t ns = (at.tv_sec - wall.tv_sec + mono.tv_sec) * NS_PER_S + at.tv_nsec -
                     wall.tv_nsec + mono.tv_nsec;
        at = (struct timespec){.tv_sec = ns > 0 ? ns / NS_PER_S : 0,
                               .tv_nsec = ns > 0 ? ns % NS_PER_S : 0};
    }
    int code = pthread_cond_clockwait((pthread_cond_t *)(void *)cond,
                                      (pthread_mutex_t *)(void *)lock, CLOCK_MONOTONIC, &at);
    return code == 0 ? thrd_success : code == ETIMEDOUT ? thrd_timedout : thrd_error;
}
/* NOLINTEND(readability-inconsistent-declaration-parameter-name) */
