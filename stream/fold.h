/* What a folding REPARTITION writes: the rows of a round as partial states, one per new key
 * (op_fold.c), many of them in one record.
 *
 *   value = tag 1 | item…                  (the record has no key; its time is the latest item's)
 *   item  = varint n | key of n bytes      in the topic's key format
 *           zigzag varint                  rowtime, as difference to the item before (0 at first)
 *           varint n | states of n bytes   each aggregate's `encode`, one behind the other
 *
 * All keys of a record belong to the partition it lies in. Several items of a key, in one record
 * or in many, are merged; only aggregates whose merge gives the same bytes in any order and
 * grouping are folded (tn_agg_is_exact).
 * @thread any
 */
#ifndef TN_STREAM_FOLD_H
#define TN_STREAM_FOLD_H

#include "stream/agg.h"
#include "stream/base/buf.h"

#define TN_FOLD_ITEMS_MAX 1024u /* of one record */

struct tn_fold_item {
    struct tn_str key, states;
    int64_t rowtime_ms;
};

/* Reading a record; `value` is borrowed. */
struct tn_fold_reader {
    const char *ptr, *end;
    int64_t time_ms;
    uint32_t count;
};

enum tn_status tn_fold_open(struct tn_str value, struct tn_fold_reader *ret_reader,
                            struct tn_err *err);
/* TN_END behind the last item, TN_E_CORRUPT on damaged bytes. */
enum tn_status tn_fold_next(struct tn_fold_reader *reader, struct tn_fold_item *ret_item,
                            struct tn_err *err);

/* Writing: an empty buffer, then items. time_ms starts at 0 for each record. */
void tn_fold_add(struct tn_buf *buf, const struct tn_fold_item *item, int64_t *time_ms);

/* states[a] += the encoded states, one per aggregate; `scratch` has room for one state each. After
 * TN_E_CORRUPT some may have been added. */
enum tn_status tn_fold_apply(const struct tn_agg_call *aggs, uint32_t aggs_count,
                             void *const *states, void *const *scratch, struct tn_str encoded,
                             struct tn_err *err);
/* Encoded states of one key, merged: added to `buf`. */
enum tn_status tn_fold_merge(const struct tn_agg_call *aggs, uint32_t aggs_count,
                             const struct tn_str *states, uint32_t count, struct tn_buf *buf,
                             struct tn_err *err);

#endif
