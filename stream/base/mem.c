/* malloc with the house rules of mem.h. */
#include "stream/base/mem.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static atomic_int_fast64_t fail_countdown;

static _Noreturn void out_of_memory(size_t size)
{
    fprintf(stderr, "tarn: out of memory: %zu bytes\n", size);
    abort();
}

void *tn_alloc_raw(size_t size)
{
    void *ptr = malloc(size ? size : 1);
    if (!ptr)
        out_of_memory(size);
    return ptr;
}

void *tn_alloc(size_t size)
{
    void *ptr = calloc(1, size ? size : 1);
    if (!ptr)
        out_of_memory(size);
    return ptr;
}

void *tn_alloc_array(size_t count, size_t size)
{
    void *ptr = calloc(count ? count : 1, size ? size : 1);
    if (!ptr)
        out_of_memory(count * size);
    return ptr;
}

void *tn_realloc(void *ptr, size_t size)
{
    void *grown = realloc(ptr, size ? size : 1);
    if (!grown)
        out_of_memory(size);
    return grown;
}

void *tn_try_alloc(size_t size)
{
    if (atomic_load_explicit(&fail_countdown, memory_order_relaxed) > 0 &&
        atomic_fetch_sub(&fail_countdown, 1) == 1)
        return NULL;
    return malloc(size ? size : 1);
}

void tn_free(void *ptr)
{
    free(ptr);
}

char *tn_strndup(const char *text, size_t len)
{
    char *copy = tn_alloc_raw(len + 1);
    if (len)
        memcpy(copy, text, len);
    copy[len] = 0;
    return copy;
}

char *tn_strdup(const char *text)
{
    return tn_strndup(text, strlen(text));
}

void tn_mem_fail_at(int64_t n)
{
    atomic_store(&fail_countdown, n);
}
