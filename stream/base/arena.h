/* Arena: one bump allocator per unit of work (a batch, a statement). Reset, not freed piece by
 * piece. Ownership: everything allocated lives until reset or release. One owner thread at a time.
 */
#ifndef TN_STREAM_BASE_ARENA_H
#define TN_STREAM_BASE_ARENA_H

#include <stddef.h>
#include "stream/base/status.h"
#include "stream/base/str.h"

struct tn_arena_block;

struct tn_arena {
    struct tn_arena_block *head; /* block in use; earlier blocks hang behind it */
    char *next, *end;
    size_t bytes_total; /* bytes of all blocks, for budgets */
    size_t bytes_max;   /* 0 = no limit; over it tn_arena_over() is true and the owner must stop */
};

/* No allocation happens before the first tn_arena_alloc. */
void tn_arena_init(struct tn_arena *arena, size_t bytes_max);
void tn_arena_release(struct tn_arena *arena);
/* Forget all contents; keeps one block of up to 1 MiB for reuse. */
void tn_arena_reset(struct tn_arena *arena);

void *tn_arena_alloc_slow(struct tn_arena *arena, size_t size, size_t align);

/* Uninitialised memory aligned to 16 bytes. Never NULL. */
static inline void *tn_arena_alloc(struct tn_arena *arena, size_t size)
{
    size = (size + 15u) & ~(size_t)15u;
    if (TN_LIKELY((size_t)(arena->end - arena->next) >= size && arena->next)) {
        void *ptr = arena->next;
        arena->next += size;
        return ptr;
    }
    return tn_arena_alloc_slow(arena, size, 16);
}

/* Zeroed; count × size is overflow-checked. */
void *tn_arena_zalloc(struct tn_arena *arena, size_t count, size_t size);
char *tn_arena_strdup(struct tn_arena *arena, const char *text);
/* Copy with a NUL behind it. A slice with ptr NULL stays NULL. */
struct tn_str tn_arena_str(struct tn_arena *arena, struct tn_str text);
char *tn_arena_printf(struct tn_arena *arena, const char *fmt, ...) TN_PRINTF(2, 3);

/* Would `bytes` more pass the limit? Then the arena counts as over from now on, and the caller
 * gives up what it was making: for results whose size outside input chooses (lists of lists,
 * repeated text). Never without a limit. */
static inline bool tn_arena_refuses(struct tn_arena *arena, size_t bytes)
{
    if (arena->bytes_max == 0 ||
        (arena->bytes_total <= arena->bytes_max && bytes <= arena->bytes_max - arena->bytes_total))
        return false;
    if (arena->bytes_total <= arena->bytes_max)
        arena->bytes_total = arena->bytes_max + 1;
    return true;
}

static inline bool tn_arena_over(const struct tn_arena *arena)
{
    return arena->bytes_max != 0 && arena->bytes_total > arena->bytes_max;
}

#define TN_ARENA_NEW(arena, type)          ((type *)tn_arena_zalloc((arena), 1, sizeof(type)))
#define TN_ARENA_ARRAY(arena, type, count) ((type *)tn_arena_zalloc((arena), (count), sizeof(type)))

#endif
