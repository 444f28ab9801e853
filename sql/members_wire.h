/* What processes of one application send each other, as bytes: texts, the request for a scan, the
 * head of a page of rows. Layout: members_int.h; rows and filters: stream/scan_wire.h.
 * @thread any */
#ifndef TN_SQL_MEMBERS_WIRE_H
#define TN_SQL_MEMBERS_WIRE_H

#include "stream/scan_wire.h"

#define TNI_PART_BYTES    (TN_PARTITIONS_MAX / 8 + 1)
#define TNI_SCAN_ID_MAX   256u
#define TNI_SCAN_KEYS_MAX 256u

/* Behind the statement's id; texts point into the body. */
struct tni_scan_ask {
    char query_id[TNI_SCAN_ID_MAX];
    uint64_t fingerprint;
    uint32_t keys_count;
    struct tn_str wanted;   /* TNI_PART_BYTES of partition bits */
    struct tn_str needed;   /* a byte per column */
    struct tn_str partial;  /* aggregates to begin (members_partial.h); empty: rows are wanted */
    const char *rest, *end; /* the filter */
};
void tni_scan_ask_add(struct tn_buf *buf, const char *query_id, const struct tn_schema *schema,
                      uint32_t keys_count, const uint8_t *wanted, const bool *needed,
                      struct tn_str partial, const struct tn_key_filter *filter);
enum tn_status tni_scan_ask_read(struct tn_str body, struct tni_scan_ask *ask, struct tn_err *err);

struct tni_scan_page {
    bool is_last;
    uint64_t scan, commit;
    struct tn_str missing;  /* none, or TNI_PART_BYTES of partition bits */
    const char *rows, *end; /* batches */
};
/* is_last is put into the first byte when it is known. */
void tni_scan_page_add(struct tn_buf *buf, uint64_t scan, uint64_t commit, const uint8_t *missing);
bool tni_scan_page_read(struct tn_str body, struct tni_scan_page *page);

#endif
