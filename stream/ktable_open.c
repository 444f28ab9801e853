/* The worker's look at a whole ktable, or at rows of one by key bytes: for results that are held
 * back (op_hold.c). @thread worker */
#include "stream/ktable_int.h"

#include <stdlib.h>

#define WARM_ROWS 1000

enum tn_status tni_ktable_last(struct tni_ktable *kt, const struct tn_str *keys, uint32_t count,
                               struct tn_str *ret_rows, struct tn_err *err)
{
    TN_ASSERT(kt->dirty.count == 0);
    struct tni_entry **entries = tn_alloc_array(count + 1, sizeof *entries);
    enum tn_status st = TN_OK;
    if (atomic_load(&kt->is_complete)) /* K2: what is not here is nowhere */
        for (uint32_t i = 0; i < count; i++)
            entries[i] = tni_index_find(kt, keys[i], tni_key_hash(keys[i]));
    else
        st = tni_acquire_keys(kt, keys, count, TNI_ACQUIRE_LOAD, entries, err);
    for (uint32_t i = 0; i < count && !tn_failed(st); i++) {
        const struct tni_version *last = entries[i] ? entries[i]->last : NULL;
        ret_rows[i] =
            tni_version_lives(last) ? (struct tn_str){last->bytes, last->len} : (struct tn_str){0};
    }
    tn_free(entries);
    tni_settle(kt);
    return st;
}

struct keyed {
    struct tn_str key;
    struct tni_entry *entry;
};

static int by_key(const void *a, const void *b)
{
    const struct keyed *x = a, *y = b;
    size_t len = x->key.len < y->key.len ? x->key.len : y->key.len;
    int order = memcmp(x->key.ptr, y->key.ptr, len);
    return order ? order : (x->key.len > y->key.len) - (x->key.len < y->key.len);
}

enum tn_status tni_ktable_living(struct tni_ktable *kt, struct tni_entry ***ret_entries,
                                 uint32_t *ret_count, struct tn_err *err)
{
    TN_ASSERT(kt->cfg.is_resident);
    enum tn_status st = TN_OK;
    while (!atomic_load(&kt->is_complete) && st == TN_OK)
        st = tni_ktable_warm(kt, WARM_ROWS, err);
    if (tn_failed(st))
        return st;
    TN_ASSERT(atomic_load(&kt->is_complete));
    uint32_t count = 0;
    struct keyed *rows = tn_alloc_array(kt->ids_used + 1, sizeof *rows);
    for (uint32_t id = 0; id < kt->ids_used; id++) {
        struct tni_entry *e = tni_entry_at(kt, id);
        if ((e->wflags & TNI_W_LIVE) && (e->wflags & TNI_W_EXISTS))
            rows[count++] = (struct keyed){tni_entry_key(kt, e), e};
    }
    if (count)
        qsort(rows, count, sizeof *rows, by_key);
    struct tni_entry **entries = tn_alloc_array(count + 1, sizeof *entries);
    for (uint32_t i = 0; i < count; i++)
        entries[i] = rows[i].entry;
    tn_free(rows);
    *ret_entries = entries;
    *ret_count = count;
    return TN_OK;
}
