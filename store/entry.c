/* Building, checking and reading entries; the layout is in entry_int.h. */
#include "store/entry_int.h"

#include <assert.h>

#include "stream/base/hash.h"
#include "stream/base/mem.h"

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "entries are little-endian");

#define MAGIC    0x31454E54u /* "TNE1" */
#define NULL_BIT 0x80000000u

static uint32_t load32(const char *from)
{
    uint32_t value;
    memcpy(&value, from, sizeof value);
    return value;
}

static int64_t load64(const char *from)
{
    int64_t value;
    memcpy(&value, from, sizeof value);
    return value;
}

static char *store32(char *to, uint32_t value)
{
    memcpy(to, &value, sizeof value);
    return to + sizeof value;
}

static char *store64(char *to, int64_t value)
{
    memcpy(to, &value, sizeof value);
    return to + sizeof value;
}

/* ---- headers ---- */

static void add_headers(struct tn_buf *buf, const struct tn_headers *headers)
{
    tn_buf_add_varint(buf, headers->count);
    for (uint32_t i = 0; i < headers->count; i++) {
        const struct tn_header *header = &headers->items[i];
        tn_buf_add_slice(buf, header->key);
        tn_buf_add_varint(buf, header->value.ptr ? header->value.len + 1 : 0);
        if (header->value.ptr)
            tn_buf_add_str(buf, header->value);
    }
}

static bool read_slice(const char **at, const char *end, uint64_t len, struct tn_str *ret_slice)
{
    if (len > (uint64_t)(end - *at))
        return false;
    *ret_slice = (struct tn_str){*at, (size_t)len};
    *at += len;
    return true;
}

/* Reads one record's headers; items may be NULL to only step over them. False when malformed. */
static bool read_headers(const char **at, const char *end, struct tn_arena *arena,
                         struct tn_headers *ret_headers)
{
    uint64_t count, len;
    if (!(*at = tn_varint_read(*at, end, &count)) || count > TN_HEADERS_MAX)
        return false;
    struct tn_header *items = arena ? TN_ARENA_ARRAY(arena, struct tn_header, count) : NULL;
    for (uint64_t i = 0; i < count; i++) {
        struct tn_header header = {0};
        if (!(*at = tn_slice_read(*at, end, &header.key)) ||
            !(*at = tn_varint_read(*at, end, &len)))
            return false;
        if (len > 0 && !read_slice(at, end, len - 1, &header.value))
            return false;
        if (items)
            items[i] = header;
    }
    if (ret_headers)
        *ret_headers = (struct tn_headers){(uint32_t)count, items};
    return true;
}

/* ---- build ---- */

struct sizes {
    uint64_t rows;
    size_t body;
    int64_t ts_min, ts_max;
    bool has_headers;
};

static struct sizes measure(const struct tni_span *spans, size_t spans_count)
{
    struct sizes sizes = {.ts_min = INT64_MAX, .ts_max = INT64_MIN};
    for (size_t s = 0; s < spans_count; s++) {
        const struct tn_records *records = spans[s].records;
        for (uint32_t i = spans[s].from; i < spans[s].to; i++) {
            int64_t ts = records->timestamps_ms[i];
            sizes.body += records->keys[i].len + records->values[i].len;
            sizes.ts_min = ts < sizes.ts_min ? ts : sizes.ts_min;
            sizes.ts_max = ts > sizes.ts_max ? ts : sizes.ts_max;
        }
        sizes.rows += spans[s].to - spans[s].from;
        sizes.has_headers |= records->headers != NULL;
    }
    if (sizes.rows == 0)
        sizes.ts_min = sizes.ts_max = 0;
    return sizes;
}

static void pack_headers(struct tn_buf *buf, const struct tni_span *spans, size_t spans_count)
{
    const struct tn_headers none = {0};
    for (size_t s = 0; s < spans_count; s++)
        for (uint32_t i = spans[s].from; i < spans[s].to; i++)
            add_headers(buf, spans[s].records->headers ? &spans[s].records->headers[i] : &none);
}

static void set_pointers(struct tni_entry *entry, size_t headers_len)
{
    const char *at = entry->bytes + TNI_ENTRY_HEADER_BYTES;
    entry->ts = at;
    at += entry->count * (entry->flags & TNI_ENTRY_TS64 ? 8u : 4u);
    entry->rel = at;
    at += entry->flags & TNI_ENTRY_SPARSE ? entry->count * 4u : 0u;
    entry->ends = at;
    at += entry->count * 8u;
    entry->headers = NULL;
    if (entry->flags & TNI_ENTRY_HEADERS) {
        entry->headers = at + 4;
        at += 4 + headers_len;
    }
    entry->body = at;
}

static char *copy_slice(char *to, const char *body, struct tn_str slice, char **ends)
{
    if (slice.len)
        memcpy(to, slice.ptr, slice.len);
    to += slice.len;
    *ends = store32(*ends, (uint32_t)(to - body) | (slice.ptr ? 0 : NULL_BIT));
    return to;
}

static void fill(struct tni_entry *entry, const struct tni_span *spans, size_t spans_count,
                 int64_t base)
{
    char *ts = entry->bytes + (entry->ts - entry->bytes);
    char *rel = entry->bytes + (entry->rel - entry->bytes);
    char *ends = entry->bytes + (entry->ends - entry->bytes);
    char *body = entry->bytes + (entry->body - entry->bytes), *to = body;
    for (size_t s = 0; s < spans_count; s++) {
        const struct tn_records *records = spans[s].records;
        for (uint32_t i = spans[s].from; i < spans[s].to; i++) {
            int64_t ms = records->timestamps_ms[i];
            if (entry->flags & TNI_ENTRY_TS64)
                ts = store64(ts, ms);
            else
                ts = store32(ts, (uint32_t)((uint64_t)ms - (uint64_t)entry->ts_min));
            if (entry->flags & TNI_ENTRY_SPARSE)
                rel = store32(rel, (uint32_t)(records->offsets[i] - base));
            to = copy_slice(to, body, records->keys[i], &ends);
            to = copy_slice(to, body, records->values[i], &ends);
        }
    }
    TN_ASSERT(to == body + entry->body_len);
}

struct tni_entry *tni_log_entry_build(const struct tni_span *spans, size_t spans_count,
                                      bool is_sparse, int64_t base)
{
    struct sizes sizes = measure(spans, spans_count);
    TN_ASSERT(sizes.rows <= UINT32_MAX && sizes.body < NULL_BIT);
    struct tn_buf headers;
    tn_buf_init(&headers, INT32_MAX);
    if (sizes.has_headers)
        pack_headers(&headers, spans, spans_count);
    TN_ASSERT(!tn_buf_over(&headers));

    bool is_wide = (uint64_t)sizes.ts_max - (uint64_t)sizes.ts_min > UINT32_MAX;
    size_t row = (is_wide ? 8u : 4u) + (is_sparse ? 4u : 0u) + 8u;
    size_t len = TNI_ENTRY_HEADER_BYTES + (size_t)sizes.rows * row +
                 (sizes.has_headers ? 4 + headers.len : 0) + sizes.body;
    struct tni_entry *entry = tn_alloc_raw(sizeof *entry + len);
    *entry = (struct tni_entry){
        .count = (uint32_t)sizes.rows,
        .flags = (is_wide ? TNI_ENTRY_TS64 : 0u) | (is_sparse ? TNI_ENTRY_SPARSE : 0u) |
                 (sizes.has_headers ? TNI_ENTRY_HEADERS : 0u),
        .body_len = (uint32_t)sizes.body,
        .ts_min = sizes.ts_min,
        .ts_max = sizes.ts_max,
        .len = len,
    };
    atomic_init(&entry->refs, 1);
    set_pointers(entry, headers.len);
    store32(entry->bytes, MAGIC);
    store32(entry->bytes + 8, entry->count);
    store32(entry->bytes + 12, entry->flags);
    store32(entry->bytes + 28, entry->body_len);
    store64(entry->bytes + 32, entry->ts_min);
    store64(entry->bytes + 40, entry->ts_max);
    if (sizes.has_headers) {
        char *to = entry->bytes + (entry->headers - entry->bytes);
        store32(to - 4, (uint32_t)headers.len);
        if (headers.len)
            memcpy(to, headers.ptr, headers.len);
    }
    tn_buf_release(&headers);
    fill(entry, spans, spans_count, base);
    entry->crc_body = tn_crc32c(tn_crc32c(0, entry->bytes + 8, 8), entry->bytes + 28, len - 28);
    return entry;
}

static uint32_t finish_crc(uint32_t crc, uint32_t topic_id, uint32_t partition, int64_t base,
                           uint32_t span)
{
    char where[20];
    store32(store32(store32(store64(where, base), span), topic_id), partition);
    return tn_crc32c(crc, where, sizeof where);
}

void tni_log_entry_seal(struct tni_entry *entry, uint32_t topic_id, uint32_t partition,
                        int64_t base, uint32_t span)
{
    entry->base = base;
    entry->span = span;
    store64(entry->bytes + 16, base);
    store32(entry->bytes + 24, span);
    store32(entry->bytes + 4, finish_crc(entry->crc_body, topic_id, partition, base, span));
}

/* ---- parse ---- */

static enum tn_status damaged(const char *reason, struct tn_err *err)
{
    return tn_err_set(err, TN_E_CORRUPT, "%s", reason);
}

/* The checksum holds; these guard the pointers against an entry written wrongly. */
static bool is_well_formed(struct tni_entry *entry, size_t headers_len)
{
    set_pointers(entry, headers_len);
    if (entry->body + entry->body_len != entry->bytes + entry->len)
        return false;
    uint32_t last = 0;
    for (uint32_t i = 0; i < 2 * entry->count; i++) {
        uint32_t end = load32(entry->ends + 4 * i) & ~NULL_BIT;
        if (end < last || end > entry->body_len)
            return false;
        last = end;
    }
    const char *at = entry->headers;
    for (uint32_t i = 0; at && i < entry->count; i++)
        if (!read_headers(&at, entry->headers + headers_len, NULL, NULL))
            return false;
    return entry->count == 0 ||
           tni_log_entry_offset(entry, entry->count - 1) < tni_log_entry_next(entry);
}

static bool arrays_fit(const struct tni_entry *entry, size_t *ret_headers_len)
{
    size_t row = (entry->flags & TNI_ENTRY_TS64 ? 8u : 4u) +
                 (entry->flags & TNI_ENTRY_SPARSE ? 4u : 0u) + 8u;
    size_t fixed = TNI_ENTRY_HEADER_BYTES + entry->count * row;
    *ret_headers_len = 0;
    if (!(entry->flags & TNI_ENTRY_HEADERS))
        return fixed + entry->body_len == entry->len;
    if (fixed + 4 > entry->len)
        return false;
    *ret_headers_len = load32(entry->bytes + fixed);
    return fixed + 4 + *ret_headers_len + entry->body_len == entry->len;
}

enum tn_status tni_log_entry_parse(struct tn_str stored, uint32_t topic_id, uint32_t partition,
                                   int64_t base, struct tni_entry **ret_entry, struct tn_err *err)
{
    if (stored.len < TNI_ENTRY_HEADER_BYTES)
        return damaged("entry is truncated", err);
    if (load32(stored.ptr) != MAGIC)
        return damaged("entry has a wrong magic number", err);
    struct tni_entry *entry = tn_alloc_raw(sizeof *entry + stored.len);
    *entry = (struct tni_entry){.len = stored.len};
    atomic_init(&entry->refs, 1);
    memcpy(entry->bytes, stored.ptr, stored.len);
    entry->count = load32(entry->bytes + 8);
    entry->flags = load32(entry->bytes + 12);
    entry->base = load64(entry->bytes + 16);
    entry->span = load32(entry->bytes + 24);
    entry->body_len = load32(entry->bytes + 28);
    entry->ts_min = load64(entry->bytes + 32);
    entry->ts_max = load64(entry->bytes + 40);
    uint32_t crc = tn_crc32c(tn_crc32c(0, entry->bytes + 8, 8), entry->bytes + 28, entry->len - 28);
    crc = finish_crc(crc, topic_id, partition, entry->base, entry->span);
    size_t headers_len;
    const char *reason = NULL;
    if (crc != load32(entry->bytes + 4))
        reason = "entry has a checksum mismatch";
    else if (entry->base != base)
        reason = "entry is stored under another offset";
    else if (!arrays_fit(entry, &headers_len) || !is_well_formed(entry, headers_len))
        reason = "entry is malformed";
    if (reason) {
        tn_free(entry);
        return damaged(reason, err);
    }
    *ret_entry = entry;
    return TN_OK;
}

struct tni_entry *tni_log_entry_ref(struct tni_entry *entry)
{
    atomic_fetch_add_explicit(&entry->refs, 1, memory_order_relaxed);
    return entry;
}

void tni_log_entry_unref(struct tni_entry *entry)
{
    if (!entry || atomic_fetch_sub_explicit(&entry->refs, 1, memory_order_acq_rel) > 1)
        return;
    tn_free(entry);
}

/* ---- read ---- */

int64_t tni_log_entry_offset(const struct tni_entry *entry, uint32_t row)
{
    return entry->base + (entry->flags & TNI_ENTRY_SPARSE ? load32(entry->rel + 4u * row) : row);
}

int64_t tni_log_entry_timestamp(const struct tni_entry *entry, uint32_t row)
{
    return entry->flags & TNI_ENTRY_TS64
               ? load64(entry->ts + 8u * row)
               : (int64_t)((uint64_t)entry->ts_min + load32(entry->ts + 4u * row));
}

uint32_t tni_log_entry_row(const struct tni_entry *entry, int64_t offset)
{
    if (offset <= entry->base)
        return 0;
    if (!(entry->flags & TNI_ENTRY_SPARSE))
        return offset - entry->base < entry->count ? (uint32_t)(offset - entry->base)
                                                   : entry->count;
    uint32_t low = 0, high = entry->count;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (tni_log_entry_offset(entry, mid) < offset)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static uint32_t row_start(const struct tni_entry *entry, uint32_t row)
{
    return row ? load32(entry->ends + 8u * row - 4u) & ~NULL_BIT : 0;
}

size_t tni_log_entry_bytes(const struct tni_entry *entry, uint32_t from, uint32_t to)
{
    return row_start(entry, to) - row_start(entry, from);
}

static struct tn_str slice_to(const char *body, uint32_t start, uint32_t end)
{
    if (end & NULL_BIT)
        return (struct tn_str){NULL, 0};
    return (struct tn_str){body + start, end - start};
}

static void fill_headers(const struct tni_piece *piece, struct tn_records *records, uint32_t at)
{
    const struct tni_entry *entry = piece->entry;
    if (!entry->headers)
        return;
    const char *next = entry->headers, *end = entry->body;
    for (uint32_t row = 0; row < piece->to; row++) {
        bool is_wanted = row >= piece->from;
        bool is_good = read_headers(&next, end, is_wanted ? &records->arena : NULL,
                                    is_wanted ? &records->headers[at + row - piece->from] : NULL);
        TN_ASSERT(is_good); /* tni_log_entry_parse checked them */
    }
}

static void fill_rows(const struct tni_piece *piece, struct tn_records *records, uint32_t at)
{
    const struct tni_entry *entry = piece->entry;
    uint32_t start = row_start(entry, piece->from);
    for (uint32_t row = piece->from; row < piece->to; row++, at++) {
        uint32_t key_end = load32(entry->ends + 8u * row);
        uint32_t value_end = load32(entry->ends + 8u * row + 4u);
        records->keys[at] = slice_to(entry->body, start, key_end);
        records->values[at] = slice_to(entry->body, key_end & ~NULL_BIT, value_end);
        records->timestamps_ms[at] = tni_log_entry_timestamp(entry, row);
        records->offsets[at] = tni_log_entry_offset(entry, row);
        start = value_end & ~NULL_BIT;
    }
}

struct entry_refs {
    size_t count;
    struct tni_entry *entries[];
};

static void release_entries(struct tn_records *records)
{
    struct entry_refs *refs = records->foreign;
    for (size_t i = 0; i < refs->count; i++)
        tni_log_entry_unref(refs->entries[i]);
}

struct tn_records *tni_pieces_records(const struct tni_piece *pieces, size_t pieces_count)
{
    uint32_t rows = 0;
    bool has_headers = false;
    for (size_t i = 0; i < pieces_count; i++) {
        rows += pieces[i].to - pieces[i].from;
        has_headers |= pieces[i].entry->headers != NULL;
    }
    struct tn_records *records = tn_records_new(rows);
    struct entry_refs *refs =
        tn_arena_alloc(&records->arena, sizeof *refs + pieces_count * sizeof refs->entries[0]);
    refs->count = pieces_count;
    if (has_headers)
        records->headers = TN_ARENA_ARRAY(&records->arena, struct tn_headers, rows);
    uint32_t at = 0;
    for (size_t i = 0; i < pieces_count; i++) {
        refs->entries[i] = pieces[i].entry;
        fill_rows(&pieces[i], records, at);
        fill_headers(&pieces[i], records, at);
        records->bytes += tni_log_entry_bytes(pieces[i].entry, pieces[i].from, pieces[i].to);
        at += pieces[i].to - pieces[i].from;
    }
    records->foreign = refs;
    records->release = release_entries;
    return records;
}
