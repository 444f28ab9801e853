/* Raw records: what a log holds, before decoding. One block shared by every query that reads the
 * topic.
 *
 * keys[i], values[i]: borrowed slices into `owner`'s memory; ptr NULL = null key / null value
 * (tombstone). offsets are ascending, not necessarily dense (compaction, control records).
 *
 * Ownership: reference counted; tn_records_ref / tn_records_unref. @thread any (the count is
 * atomic, the contents immutable once shared)
 */
#ifndef TN_STREAM_RECORDS_H
#define TN_STREAM_RECORDS_H

#include <stdatomic.h>
#include "stream/base/arena.h"
#include "stream/base/buf.h"

#define TN_RECORD_BYTES_MAX ((size_t)16 << 20)
#define TN_HEADERS_MAX      64

struct tn_header {
    struct tn_str key, value; /* value.ptr NULL = null */
};

struct tn_headers {
    uint32_t count;
    const struct tn_header *items;
};

struct tn_records {
    atomic_int refs;
    uint32_t count;
    struct tn_str *keys;
    struct tn_str *values;
    int64_t *timestamps_ms;
    int64_t *offsets;
    struct tn_headers *headers; /* of records that were read: by tn_records_headers; NULL when no
                                 * record has headers */
    void (*load_headers)(struct tn_records *records); /* sets headers when somebody asks; or NULL */
    size_t bytes;                                     /* keys + values, for budgets */
    struct tn_arena arena; /* arrays and, unless `release` is set, the bytes */
    void (*release)(
        struct tn_records *records); /* frees foreign memory (pinned slice, Kafka messages) */
    void *foreign;
};

/* Room for `count` records; refs = 1; slices unset, offsets 0. */
struct tn_records *tn_records_new(uint32_t count);
struct tn_records *tn_records_ref(const struct tn_records *records);
void tn_records_unref(struct tn_records *records); /* NULL is a no-op */
/* Headers of each record, NULL when none has any. Few readers want them, so an adapter may look for
 * them only when this is called. @thread any */
const struct tn_headers *tn_records_headers(const struct tn_records *records);

/* Builder for records to be appended: copies key and value. */
struct tn_records_builder {
    struct tn_buf *bytes; /* one buffer for all slices */
    uint32_t count, cap;
    struct tn_record_ref {
        int32_t key_at, key_len; /* len −1 = null */
        int32_t value_at, value_len;
        int64_t timestamp_ms;
    } * refs;
};
void tn_records_builder_init(struct tn_records_builder *rb);
void tn_records_builder_release(struct tn_records_builder *rb);
void tn_records_builder_add(struct tn_records_builder *rb, struct tn_str key, struct tn_str value,
                            int64_t timestamp_ms);
/* Detach what was added as shared records (refs = 1, offsets 0); the builder is empty and reusable.
 */
struct tn_records *tn_records_builder_finish(struct tn_records_builder *rb);

#endif
