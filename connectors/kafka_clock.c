/* The clock of librdkafka's waits.
 *
 * WHY. librdkafka waits with C11's cnd_timedwait until an instant of timespec_get, which is the
 * wall clock: when that is set back by an hour, its threads stand still for an hour unless somebody
 * wakes them, heartbeats end and the group gives our partitions away (known since 2018, open).
 *
 * HOW IT WORKS. The program's own definitions of the two functions go before libc's, so librdkafka
 * calls these: instants are those of a clock that was the wall clock when the program began and is
 * never set, and waits are by the monotonic clock. Nothing else in the process uses either. A
 * librdkafka that was built without C11's threads does not call them and is as it is.
 * @thread any
 */
#include "connectors/kafka_int.h"

#include <errno.h>
#include <threads.h>
#include <time.h>

#define NS_PER_S         1000000000ll
#define IN_PLACE_OF_LIBC __attribute__((visibility("default")))

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int64_t wall_minus_mono_ns; /* once it was set, the same for ever */

static int64_t read_ns(clockid_t clock)
{
    struct timespec at;
    clock_gettime(clock, &at);
    return at.tv_sec * NS_PER_S + at.tv_nsec;
}

static struct timespec timespec_of(int64_t ns)
{
    return (struct timespec){.tv_sec = ns / NS_PER_S, .tv_nsec = ns % NS_PER_S};
}

static void compare_clocks(void)
{
    wall_minus_mono_ns = read_ns(CLOCK_REALTIME) - read_ns(CLOCK_MONOTONIC);
}

void tni_kafka_clock_start(void)
{
    pthread_once(&once, compare_clocks);
}

IN_PLACE_OF_LIBC int timespec_get(struct timespec *ret_at, int base)
{
    if (base != TIME_UTC)
        return 0;
    tni_kafka_clock_start();
    *ret_at = timespec_of(read_ns(CLOCK_MONOTONIC) + wall_minus_mono_ns);
    return base;
}

/* glibc's and musl's cnd_t and mtx_t are what pthreads have. */
IN_PLACE_OF_LIBC int cnd_timedwait(cnd_t *restrict cond, mtx_t *restrict lock,
                                   const struct timespec *restrict until)
{
    tni_kafka_clock_start();
    int64_t mono_ns = until->tv_sec * NS_PER_S + until->tv_nsec - wall_minus_mono_ns;
    struct timespec at = timespec_of(mono_ns > 0 ? mono_ns : 0);
    int code = pthread_cond_clockwait((pthread_cond_t *)(void *)cond,
                                      (pthread_mutex_t *)(void *)lock, CLOCK_MONOTONIC, &at);
    return code == 0 ? thrd_success : code == ETIMEDOUT ? thrd_timedout : thrd_error;
}
