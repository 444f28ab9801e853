/* The only place that calls malloc. Out of memory aborts by default: tarn's memory is bounded by
 * budgets checked before allocation, so a failing malloc is a broken budget, not a condition to
 * limp on from. tn_try_alloc is for sizes that outside input chooses: it returns NULL and the
 * caller reports TN_E_NOMEM.
 * @thread any. Tests may install a hook that fails the n-th tn_try_alloc.
 */
#ifndef TN_STREAM_BASE_MEM_H
#define TN_STREAM_BASE_MEM_H

#include <stddef.h>
#include <stdint.h>

void *tn_alloc(size_t size);                     /* zeroed; aborts when out of memory */
void *tn_alloc_raw(size_t size);                 /* not zeroed; aborts */
void *tn_alloc_array(size_t count, size_t size); /* zeroed, overflow-checked; aborts */
void *tn_realloc(void *ptr, size_t size);        /* aborts */
void *tn_try_alloc(size_t size);                 /* not zeroed; NULL on failure */
void tn_free(void *ptr);                         /* NULL is a no-op */
char *tn_strdup(const char *text);               /* aborts */
char *tn_strndup(const char *text, size_t len);  /* aborts; adds the NUL */
/* Fail the n-th tn_try_alloc from now (1 = the next); 0 turns injection off. Tests only. */
void tn_mem_fail_at(int64_t n);

#endif
