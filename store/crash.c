/* Crash hook: TARN_CRASH_POINT=name[:count] ends the process with SIGKILL at the count-th pass
 * (default: the first). SIGKILL and not exit: no destructor, no flush, nothing that a real crash
 * would not do. */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "store/db.h"
#include "stream/base/crashpoint.h"
#include "stream/base/str.h"

static char *crash_name;
static size_t crash_name_len;
static atomic_long crash_countdown;

static void crash_hook(const char *name)
{
    if (strlen(name) != crash_name_len || memcmp(name, crash_name, crash_name_len) != 0)
        return;
    if (atomic_fetch_sub(&crash_countdown, 1) == 1)
        kill(getpid(), SIGKILL);
}

static void install(void)
{
    const char *text = getenv("TARN_CRASH_POINT");
    if (!text || !*text)
        return;
    size_t len = strcspn(text, ":");
    crash_name = strndup(text, len);
    crash_name_len = len;
    atomic_store(&crash_countdown, text[len] ? strtol(text + len + 1, NULL, 10) : 1);
    if (crash_name)
        tn_crash_hook_set(crash_hook);
}

void tn_store_crash_points_install(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, install);
}
