/* Bump allocator: a chain of malloc'ed blocks, doubling from 8 KiB to 1 MiB. Reset keeps the newest
 * block when it is not larger than 1 MiB, so a steady workload stops calling malloc. */
#include "stream/base/arena.h"

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "stream/base/mem.h"

#define BLOCK_MIN ((size_t)8 << 10)
#define BLOCK_MAX ((size_t)1 << 20)

struct tn_arena_block {
    struct tn_arena_block *prev;
    size_t size; /* payload bytes */
};

static_assert(sizeof(struct tn_arena_block) == 16, "payload must stay 16-aligned");

void tn_arena_init(struct tn_arena *arena, size_t bytes_max)
{
    *arena = (struct tn_arena){.bytes_max = bytes_max};
}

static void free_chain(struct tn_arena_block *block)
{
    while (block) {
        struct tn_arena_block *prev = block->prev;
        tn_free(block);
        block = prev;
    }
}

void tn_arena_release(struct tn_arena *arena)
{
    free_chain(arena->head);
    *arena = (struct tn_arena){.bytes_max = arena->bytes_max};
}

static void use_block(struct tn_arena *arena, struct tn_arena_block *block)
{
    arena->head = block;
    arena->next = (char *)(block + 1);
    arena->end = arena->next + block->size;
}

void tn_arena_reset(struct tn_arena *arena)
{
    struct tn_arena_block *keep = arena->head;
    if (!keep)
        return;
    free_chain(keep->prev);
    keep->prev = NULL;
    if (keep->size > BLOCK_MAX) {
        tn_arena_release(arena);
        return;
    }
    use_block(arena, keep);
    arena->bytes_total = keep->size;
}

void *tn_arena_alloc_slow(struct tn_arena *arena, size_t size, size_t align)
{
    TN_ASSERT(align == 16);
    size_t block_size = arena->head ? arena->head->size * 2 : BLOCK_MIN;
    if (block_size > BLOCK_MAX)
        block_size = BLOCK_MAX;
    if (block_size < size)
        block_size = size;
    struct tn_arena_block *block = tn_alloc_raw(sizeof *block + block_size);
    block->prev = arena->head;
    block->size = block_size;
    arena->bytes_total += block_size;
    use_block(arena, block);
    void *ptr = arena->next;
    arena->next += size;
    return ptr;
}

void *tn_arena_zalloc(struct tn_arena *arena, size_t count, size_t size)
{
    TN_ASSERT(size == 0 || count <= SIZE_MAX / 2 / size);
    void *ptr = tn_arena_alloc(arena, count * size);
    memset(ptr, 0, count * size);
    return ptr;
}

struct tn_str tn_arena_str(struct tn_arena *arena, struct tn_str text)
{
    if (!text.ptr)
        return text;
    char *copy = tn_arena_alloc(arena, text.len + 1);
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = 0;
    return (struct tn_str){copy, text.len};
}

char *tn_arena_strdup(struct tn_arena *arena, const char *text)
{
    return (char *)tn_arena_str(arena, tn_str_of(text)).ptr;
}

char *tn_arena_printf(struct tn_arena *arena, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int len = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    TN_ASSERT(len >= 0);
    char *text = tn_arena_alloc(arena, (size_t)len + 1);
    vsnprintf(text, (size_t)len + 1, fmt, again);
    va_end(again);
    return text;
}
