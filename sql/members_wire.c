/* Requests and pages between processes as bytes. Contract: members_wire.h. Nothing here trusts the
 * other side: each length is checked against what is left. @thread any */
#include "sql/members_wire.h"

#include "stream/base/hash.h"

void tni_scan_ask_add(struct tn_buf *buf, const char *query_id, const struct tn_schema *schema,
                      uint32_t keys_count, const uint8_t *wanted, const bool *needed,
                      struct tn_str partial, const struct tn_key_filter *filter)
{
    tn_buf_add_slice(buf, tn_str_of(query_id));
    tn_buf_add_be64(buf, tn_scan_wire_fingerprint(schema));
    tn_buf_add_varint(buf, keys_count);
    tn_buf_add_slice(buf, (struct tn_str){(const char *)wanted, TNI_PART_BYTES});
    tn_buf_add_varint(buf, schema->fields_count);
    for (uint32_t c = 0; c < schema->fields_count; c++)
        tn_buf_add_byte(buf, needed[c] ? 1 : 0);
    tn_buf_add_slice(buf, partial);
    tn_scan_wire_add_filter(buf, filter, schema, keys_count);
}

enum tn_status tni_scan_ask_read(struct tn_str body, struct tni_scan_ask *ask, struct tn_err *err)
{
    const char *at = body.ptr, *end = body.ptr + body.len;
    struct tn_str id;
    uint64_t keys = 0;
    at = tn_slice_read(at, end, &id);
    if (!at || id.len >= sizeof ask->query_id || end - at < 8)
        goto malformed;
    memcpy(ask->query_id, id.ptr, id.len);
    ask->query_id[id.len] = 0;
    ask->fingerprint = tn_be64(at);
    at = tn_varint_read(at + 8, end, &keys);
    at = tn_slice_read(at, end, &ask->wanted);
    at = tn_slice_read(at, end, &ask->needed);
    at = tn_slice_read(at, end, &ask->partial);
    if (!at || keys > TNI_SCAN_KEYS_MAX || ask->wanted.len != TNI_PART_BYTES)
        goto malformed;
    ask->keys_count = (uint32_t)keys;
    ask->rest = at;
    ask->end = end;
    return TN_OK;
malformed:
    return tn_err_set(err, TN_E_INVALID, "malformed request between processes");
}

void tni_scan_page_add(struct tn_buf *buf, uint64_t scan, uint64_t commit, const uint8_t *missing)
{
    tn_buf_add_byte(buf, 0);
    tn_buf_add_be64(buf, scan);
    tn_buf_add_be64(buf, commit);
    tn_buf_add_slice(buf, (struct tn_str){(const char *)missing, missing ? TNI_PART_BYTES : 0});
}

bool tni_scan_page_read(struct tn_str body, struct tni_scan_page *page)
{
    const char *end = body.ptr + body.len;
    const char *at = body.len < 18 ? NULL : tn_slice_read(body.ptr + 17, end, &page->missing);
    if (!at || (page->missing.len != 0 && page->missing.len != TNI_PART_BYTES))
        return false;
    page->is_last = body.ptr[0] == 1;
    page->scan = tn_be64(body.ptr + 1);
    page->commit = tn_be64(body.ptr + 9);
    page->rows = at;
    page->end = end;
    return true;
}
