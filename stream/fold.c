/* Records of partial states: see fold.h for the bytes. @thread any */
#include "stream/fold.h"

#include "stream/agg_int.h"
#include "stream/base/mem.h"

enum { TAG_FOLD = 1 };

static enum tn_status damaged(struct tn_err *err)
{
    return tn_err_set(err, TN_E_CORRUPT, "a repartition record of partial states is damaged");
}

enum tn_status tn_fold_open(struct tn_str value, struct tn_fold_reader *ret_reader,
                            struct tn_err *err)
{
    if (!value.ptr || value.len < 1)
        return damaged(err);
    if (*value.ptr == '{')
        return tn_err_set(err, TN_E_CORRUPT,
                          "a repartition record holds a row, not partial states: it was written by "
                          "another version");
    if (*value.ptr != TAG_FOLD)
        return damaged(err);
    *ret_reader = (struct tn_fold_reader){.ptr = value.ptr + 1, .end = value.ptr + value.len};
    return TN_OK;
}

enum tn_status tn_fold_next(struct tn_fold_reader *reader, struct tn_fold_item *ret_item,
                            struct tn_err *err)
{
    int64_t step_ms = 0;
    if (reader->ptr == reader->end)
        return TN_END;
    const char *ptr = tn_slice_read(reader->ptr, reader->end, &ret_item->key);
    ptr = tni_get_i64(ptr, reader->end, &step_ms);
    ptr = tn_slice_read(ptr, reader->end, &ret_item->states);
    if (!ptr || ++reader->count > TN_FOLD_ITEMS_MAX)
        return damaged(err);
    reader->ptr = ptr;
    reader->time_ms = tni_wrap_add(reader->time_ms, step_ms);
    ret_item->rowtime_ms = reader->time_ms;
    return TN_OK;
}

void tn_fold_add(struct tn_buf *buf, const struct tn_fold_item *item, int64_t *time_ms)
{
    if (buf->len == 0) {
        tn_buf_add_byte(buf, TAG_FOLD);
        *time_ms = 0;
    }
    tn_buf_add_slice(buf, item->key);
    tni_put_i64(buf, tni_wrap_sub(item->rowtime_ms, *time_ms));
    tn_buf_add_slice(buf, item->states);
    *time_ms = item->rowtime_ms;
}

enum tn_status tn_fold_apply(const struct tn_agg_call *aggs, uint32_t aggs_count,
                             void *const *states, void *const *scratch, struct tn_str encoded,
                             struct tn_err *err)
{
    const char *ptr = encoded.ptr, *end = ptr + encoded.len;
    for (uint32_t a = 0; a < aggs_count; a++) {
        const struct tn_agg *agg = aggs[a].agg;
        agg->init(&aggs[a], scratch[a]);
        bool is_bad = tn_failed(agg->decode(&aggs[a], scratch[a], ptr, end, &ptr));
        if (!is_bad)
            agg->merge(&aggs[a], states[a], scratch[a]);
        if (agg->release)
            agg->release(&aggs[a], scratch[a]);
        if (is_bad)
            return damaged(err);
    }
    return ptr == end ? TN_OK : damaged(err);
}

enum tn_status tn_fold_merge(const struct tn_agg_call *aggs, uint32_t aggs_count,
                             const struct tn_str *states, uint32_t count, struct tn_buf *buf,
                             struct tn_err *err)
{
    struct tn_arena arena;
    enum tn_status st = TN_OK;
    tn_arena_init(&arena, 0);
    void **sums = TN_ARENA_ARRAY(&arena, void *, aggs_count + 1);
    void **ones = TN_ARENA_ARRAY(&arena, void *, aggs_count + 1);
    for (uint32_t a = 0; a < aggs_count; a++) {
        sums[a] = tn_arena_alloc(&arena, aggs[a].state_bytes);
        ones[a] = tn_arena_alloc(&arena, aggs[a].state_bytes);
        aggs[a].agg->init(&aggs[a], sums[a]);
    }
    for (uint32_t i = 0; i < count && !tn_failed(st); i++)
        st = tn_fold_apply(aggs, aggs_count, sums, ones, states[i], err);
    for (uint32_t a = 0; a < aggs_count; a++) {
        if (!tn_failed(st))
            aggs[a].agg->encode(&aggs[a], sums[a], buf);
        if (aggs[a].agg->release)
            aggs[a].agg->release(&aggs[a], sums[a]);
    }
    tn_arena_release(&arena);
    return st;
}
