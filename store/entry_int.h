/* One entry of the embedded log: a batch of records as stored, and how it becomes tn_records
 * without copying.
 *
 * Bytes, little-endian (48 + arrays + body):
 *    0 u32 magic "TNE1"      4 u32 CRC-32C of the rest, then of base, topic, partition
 *    8 u32 records count    12 u32 flags (TNI_ENTRY_…)
 *   16 i64 base offset      24 u32 span: the entry covers offsets [base, base + span)
 *   28 u32 body bytes       32 i64 smallest timestamp   40 i64 largest timestamp
 *   48 timestamps: u32 above the smallest each, or i64 each (TS64)
 *      offsets: u32 above base each, only when SPARSE; otherwise base + row
 *      ends: two u32 a record, end of its key and of its value in the body; bit 31 = null
 *      headers: u32 length and bytes, only when HEADERS: per record varint count, then (varint key
 * length, key, varint value length + 1 or 0 for null, value) body: key, value, key, value …
 *
 * The base is not known while an entry is built; sealing patches it and finishes the checksum.
 * The entries of a partition tile [start, end): a gap is damage.
 *
 * Ownership: reference counted; immutable once sealed. @thread any
 */
#ifndef TN_STORE_ENTRY_INT_H
#define TN_STORE_ENTRY_INT_H

#include "stream/records.h"

#define TNI_ENTRY_HEADER_BYTES 48u
#define TNI_ENTRY_ROWS_MAX     4096u
#define TNI_ENTRY_BYTES_SOFT                                                                       \
    ((size_t)512 << 10) /* an entry is closed when its body is this large */

enum tni_entry_flags {
    TNI_ENTRY_TS64 = 1u << 0,
    TNI_ENTRY_SPARSE = 1u << 1,
    TNI_ENTRY_HEADERS = 1u << 2
};

struct tni_entry {
    atomic_int refs;
    uint32_t count, flags, span;
    uint32_t body_len;
    uint32_t crc_body; /* while building */
    int64_t base, ts_min, ts_max;
    size_t len;
    /* into bytes */
    const char *ts, *rel, *ends, *headers, *body;
    char bytes[];
};

/* Rows [from, to) of some records, in the order they are stored. */
struct tni_span {
    const struct tn_records *records;
    uint32_t from, to;
};

/* Entry of these rows, not sealed. is_sparse keeps the records' own offsets relative to `base`. */
struct tni_entry *tni_log_entry_build(const struct tni_span *spans, size_t spans_count,
                                      bool is_sparse, int64_t base);
void tni_log_entry_seal(struct tni_entry *entry, uint32_t topic_id, uint32_t partition,
                        int64_t base, uint32_t span);
/* Copy and check stored bytes. TN_E_CORRUPT with a reason ("checksum mismatch"); the caller adds
 * where. */
enum tn_status tni_log_entry_parse(struct tn_str stored, uint32_t topic_id, uint32_t partition,
                                   int64_t base, struct tni_entry **ret_entry, struct tn_err *err);
struct tni_entry *tni_log_entry_ref(struct tni_entry *entry);
void tni_log_entry_unref(struct tni_entry *entry); /* NULL is a no-op */

static inline int64_t tni_log_entry_next(const struct tni_entry *entry)
{
    return entry->base + entry->span;
}

int64_t tni_log_entry_offset(const struct tni_entry *entry, uint32_t row);
int64_t tni_log_entry_timestamp(const struct tni_entry *entry, uint32_t row);
/* First row whose offset is ≥ offset; count when none. */
uint32_t tni_log_entry_row(const struct tni_entry *entry, int64_t offset);
/* Body bytes of rows [from, to). */
size_t tni_log_entry_bytes(const struct tni_entry *entry, uint32_t from, uint32_t to);

/* Part of an entry that goes into one block of records. */
struct tni_piece {
    struct tni_entry *entry;
    uint32_t from, to;
};
/* Records of the pieces, borrowing from the entries: takes over one reference on each. */
struct tn_records *tni_pieces_records(const struct tni_piece *pieces, size_t pieces_count);

#endif
