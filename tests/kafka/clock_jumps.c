/* A library that is loaded before libc's functions are looked up (LD_PRELOAD) and moves the wall
 * clock of one process: the file TARN_CLOCK holds eight bytes, nanoseconds that are added. Whoever
 * writes them sets the clock, also under a wait: one that ends at an instant of the wall clock ends
 * when that clock says so, as with a clock that is really set. The monotonic clock stays. @thread
 * any
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S       1000000000ll
#define SLICE_NS       20000000ll /* between two looks at a clock that may be set */
#define COND_MONOTONIC 2u         /* glibc's bit for the clock of a condition */

static _Atomic(_Atomic int64_t *) offset_ns;

static int64_t offset(void)
{
    _Atomic int64_t *found = atomic_load(&offset_ns);
    if (!found) {
        static _Atomic int64_t none;
        const char *path = getenv("TARN_CLOCK");
        int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
        void *map = fd < 0 ? MAP_FAILED : mmap(NULL, 8, PROT_READ, MAP_SHARED, fd, 0);
        if (fd >= 0)
            close(fd);
        found = map == MAP_FAILED ? &none : map;
        atomic_store(&offset_ns, found);
    }
    return atomic_load(found);
}

static int64_t real_ns(clockid_t clock)
{
    static int (*_Atomic next)(clockid_t, struct timespec *);
    struct timespec at;
    if (!next)
        next = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    next(clock, &at);
    return at.tv_sec * NS_PER_S + at.tv_nsec;
}

static int64_t wall_ns(void)
{
    return real_ns(CLOCK_REALTIME) + offset();
}

static struct timespec timespec_of(int64_t ns)
{
    return (struct timespec){.tv_sec = ns / NS_PER_S, .tv_nsec = ns % NS_PER_S};
}

int clock_gettime(clockid_t clock, struct timespec *ret_at)
{
    *ret_at = timespec_of(
        clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE ? wall_ns() : real_ns(clock));
    return 0;
}

int timespec_get(struct timespec *ret_at, int base)
{
    *ret_at = timespec_of(wall_ns());
    return base;
}

int gettimeofday(struct timeval *restrict ret_at, void *restrict zone)
{
    (void)zone;
    struct timespec at = timespec_of(wall_ns());
    *ret_at = (struct timeval){at.tv_sec, at.tv_nsec / 1000};
    return 0;
}

time_t time(time_t *ret_at)
{
    time_t at = wall_ns() / NS_PER_S;
    if (ret_at)
        *ret_at = at;
    return at;
}

static int wait_for_wall(pthread_cond_t *cond, pthread_mutex_t *lock, const struct timespec *until)
{
    for (;;) {
        int64_t left = until->tv_sec * NS_PER_S + until->tv_nsec - wall_ns();
        if (left <= 0)
            return ETIMEDOUT;
        struct timespec at =
            timespec_of(real_ns(CLOCK_MONOTONIC) + (left < SLICE_NS ? left : SLICE_NS));
        int code = pthread_cond_clockwait(cond, lock, CLOCK_MONOTONIC, &at);
        if (code != ETIMEDOUT)
            return code;
    }
}

int pthread_cond_timedwait(pthread_cond_t *restrict cond, pthread_mutex_t *restrict lock,
                           const struct timespec *restrict until)
{
    if (cond->__data.__wrefs & COND_MONOTONIC)
        return pthread_cond_clockwait(cond, lock, CLOCK_MONOTONIC, until);
    return wait_for_wall(cond, lock, until);
}

int cnd_timedwait(cnd_t *restrict cond, mtx_t *restrict lock, const struct timespec *restrict until)
{
    int code =
        wait_for_wall((pthread_cond_t *)(void *)cond, (pthread_mutex_t *)(void *)lock, until);
    return code == 0 ? thrd_success : code == ETIMEDOUT ? thrd_timedout : thrd_error;
}
