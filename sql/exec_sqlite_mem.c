/* SQLite's allocator: every allocation is charged to the budget of the statement that runs on this
 * thread.
 *
 * A block has a header of 16 bytes: its size and the serial number of the charge it was made under.
 * A block freed later, when another statement runs (a pooled connection keeps some memory), gives
 * nothing back to that one. Over the limit the allocation fails; SQLite answers SQLITE_NOMEM and
 * the statement ends with the budget's error.
 *
 * @thread any; the current budget is thread-local */
#include "sql/exec_sqlite_int.h"

#include <pthread.h>
#include <stdatomic.h>

#include "stream/base/mem.h"

struct header {
    int64_t size;    /* as asked for, rounded up to 8 */
    uint64_t serial; /* 0 = not charged */
};

static _Thread_local struct tn_budget *current;
static _Thread_local uint64_t current_serial;
static _Thread_local int64_t current_bytes; /* charged and not given back */
static _Atomic uint64_t serials;

void tni_sqlite_mem_charge(struct tn_budget *budget)
{
    struct tn_budget *before = current;
    if (before)
        (void)tn_budget_charge(before, -current_bytes, NULL);
    current = budget;
    current_bytes = 0;
    current_serial = budget ? atomic_fetch_add(&serials, 1) + 1 : 0;
}

static struct header *header_of(void *ptr)
{
    return (struct header *)ptr - 1;
}

static void *mem_malloc(int size)
{
    int64_t rounded = ((int64_t)size + 7) & ~INT64_C(7);
    if (current && tn_failed(tn_budget_charge(current, rounded, NULL))) {
        (void)tn_budget_charge(current, -rounded, NULL);
        return NULL;
    }
    struct header *header = tn_try_alloc(sizeof *header + (size_t)rounded);
    if (!header) {
        (void)tn_budget_charge(current, -rounded, NULL);
        return NULL;
    }
    *header = (struct header){rounded, current_serial};
    current_bytes += current ? rounded : 0;
    return header + 1;
}

static void mem_free(void *ptr)
{
    if (!ptr)
        return;
    struct header *header = header_of(ptr);
    if (header->serial && header->serial == current_serial) {
        (void)tn_budget_charge(current, -header->size, NULL);
        current_bytes -= header->size;
    }
    tn_free(header);
}

static void *mem_realloc(void *ptr, int size)
{
    if (!ptr)
        return mem_malloc(size);
    struct header *header = header_of(ptr);
    if (size <= header->size)
        return ptr;
    void *more = mem_malloc(size);
    if (!more)
        return NULL;
    memcpy(more, ptr, (size_t)header->size);
    mem_free(ptr);
    return more;
}

static int mem_size(void *ptr)
{
    return ptr ? (int)header_of(ptr)->size : 0;
}

static int mem_roundup(int size)
{
    return (size + 7) & ~7;
}

static int mem_init(void *arg)
{
    (void)arg;
    return SQLITE_OK;
}

static void mem_shutdown(void *arg)
{
    (void)arg;
}

static int install_result;

static void install(void)
{
    static const struct sqlite3_mem_methods methods = {
        .xMalloc = mem_malloc,
        .xFree = mem_free,
        .xRealloc = mem_realloc,
        .xSize = mem_size,
        .xRoundup = mem_roundup,
        .xInit = mem_init,
        .xShutdown = mem_shutdown,
    };
    install_result = sqlite3_config(SQLITE_CONFIG_MALLOC, &methods);
    if (install_result == SQLITE_OK)
        install_result = sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    if (install_result == SQLITE_OK)
        install_result = sqlite3_initialize();
}

int tni_sqlite_mem_install(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, install);
    return install_result;
}
