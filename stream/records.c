/* Raw records. tn_records_new puts the slice arrays into the records' own arena; the builder
 * appends all bytes to one buffer and hands that buffer over as foreign memory, so building n
 * records costs O(1) allocations. Ownership: see records.h. @thread the count is atomic; everything
 * else, besides headers that are loaded late, is written before sharing */
#include "stream/records.h"

#include <pthread.h>

#include "stream/base/mem.h"

#define BUILDER_BYTES_MAX ((size_t)INT32_MAX)

struct tn_records *tn_records_new(uint32_t count)
{
    struct tn_records *records = tn_alloc(sizeof *records);
    atomic_init(&records->refs, 1);
    tn_arena_init(&records->arena, 0);
    records->count = count;
    records->keys = TN_ARENA_ARRAY(&records->arena, struct tn_str, count);
    records->values = TN_ARENA_ARRAY(&records->arena, struct tn_str, count);
    records->timestamps_ms = TN_ARENA_ARRAY(&records->arena, int64_t, count);
    records->offsets = TN_ARENA_ARRAY(&records->arena, int64_t, count);
    return records;
}

struct tn_records *tn_records_ref(const struct tn_records *records)
{
    struct tn_records *shared = (struct tn_records *)(uintptr_t)records;
    int before = atomic_fetch_add_explicit(&shared->refs, 1, memory_order_relaxed);
    TN_ASSERT(before > 0);
    return shared;
}

void tn_records_unref(struct tn_records *records)
{
    if (!records)
        return;
    int before = atomic_fetch_sub_explicit(&records->refs, 1, memory_order_acq_rel);
    TN_ASSERT(before > 0);
    if (before > 1)
        return;
    if (records->release)
        records->release(records);
    tn_arena_release(&records->arena);
    tn_free(records);
}

const struct tn_headers *tn_records_headers(const struct tn_records *records)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    struct tn_records *shared = (struct tn_records *)(uintptr_t)records;
    pthread_mutex_lock(&lock);
    if (shared->load_headers)
        shared->load_headers(shared);
    shared->load_headers = NULL;
    const struct tn_headers *headers = shared->headers;
    pthread_mutex_unlock(&lock);
    return headers;
}

void tn_records_builder_init(struct tn_records_builder *rb)
{
    *rb = (struct tn_records_builder){.bytes = tn_alloc(sizeof *rb->bytes)};
    tn_buf_init(rb->bytes, BUILDER_BYTES_MAX);
}

void tn_records_builder_release(struct tn_records_builder *rb)
{
    if (rb->bytes)
        tn_buf_release(rb->bytes);
    tn_free(rb->bytes);
    tn_free(rb->refs);
    *rb = (struct tn_records_builder){0};
}

static int32_t add_slice(struct tn_buf *bytes, struct tn_str slice, int32_t *ret_at)
{
    *ret_at = (int32_t)bytes->len;
    if (!slice.ptr)
        return -1;
    tn_buf_add_str(bytes, slice);
    TN_ASSERT(!tn_buf_over(bytes)); /* callers flush by budget long before 2 GiB */
    return (int32_t)slice.len;
}

void tn_records_builder_add(struct tn_records_builder *rb, struct tn_str key, struct tn_str value,
                            int64_t timestamp_ms)
{
    if (rb->count == rb->cap) {
        TN_ASSERT(rb->cap < UINT32_MAX / 2);
        rb->cap = rb->cap ? rb->cap * 2 : 64;
        rb->refs = tn_realloc(rb->refs, rb->cap * sizeof *rb->refs);
    }
    struct tn_record_ref *ref = &rb->refs[rb->count++];
    ref->timestamp_ms = timestamp_ms;
    ref->key_len = add_slice(rb->bytes, key, &ref->key_at);
    ref->value_len = add_slice(rb->bytes, value, &ref->value_at);
}

static struct tn_str slice_at(const char *bytes, int32_t at, int32_t len)
{
    return len < 0 ? (struct tn_str){NULL, 0} : (struct tn_str){bytes + at, (size_t)len};
}

static void free_foreign(struct tn_records *records)
{
    tn_free(records->foreign);
}

struct tn_records *tn_records_builder_finish(struct tn_records_builder *rb)
{
    struct tn_records *records = tn_records_new(rb->count);
    records->foreign = tn_buf_detach(rb->bytes, &records->bytes);
    records->release = free_foreign;
    const char *bytes = records->foreign ? records->foreign : "";
    for (uint32_t i = 0; i < rb->count; i++) {
        const struct tn_record_ref *ref = &rb->refs[i];
        records->keys[i] = slice_at(bytes, ref->key_at, ref->key_len);
        records->values[i] = slice_at(bytes, ref->value_at, ref->value_len);
        records->timestamps_ms[i] = ref->timestamp_ms;
    }
    rb->count = 0;
    return records;
}
