/* What came back: headers, error documents, pages of lists. Everything here is outside input: all
 * lengths are checked, a document that is not understood is an error, never half a list.
 * @thread the adapter's
 */
#include <stdio.h>
#include <stdlib.h>

#include "connectors/s3_int.h"
#include "connectors/s3_xml.h"
#include "stream/base/arena.h"
#include "stream/base/time.h"

/* ---- headers ---- */

void tni_s3_answer_reset(struct tni_s3_answer *answer)
{
    *answer = (struct tni_s3_answer){
        .length = -1, .range_start = -1, .range_total = -1, .retry_after_ms = -1};
}

static void copy_text(char *to, size_t size, struct tn_str value)
{
    size_t len = value.len < size ? value.len : size - 1;
    memcpy(to, value.ptr, len);
    to[len] = 0;
}

/* Without quotes; too long ones are cut, which only makes them useless for comparing. */
static void copy_etag(char to[TN_OBJECT_ETAG_MAX], struct tn_str value)
{
    if (value.len >= 2 && value.ptr[0] == '"' && value.ptr[value.len - 1] == '"') {
        value.ptr++;
        value.len -= 2;
    }
    copy_text(to, TN_OBJECT_ETAG_MAX, value);
}

static int64_t number(struct tn_str value)
{
    char text[24];
    copy_text(text, sizeof text, value);
    return value.len && value.len < sizeof text ? strtoll(text, NULL, 10) : -1;
}

static int64_t http_date_ms(struct tn_str value)
{
    char text[64];
    copy_text(text, sizeof text, value);
    time_t when = curl_getdate(text, NULL);
    return when < 0 ? 0 : (int64_t)when * 1000;
}

/* "bytes 0-99/1234", "bytes 0-99/x", "bytes x/1234" with '*' for x */
static void take_content_range(struct tni_s3_answer *answer, struct tn_str value)
{
    char text[80];
    copy_text(text, sizeof text, value);
    const char *slash = strchr(text, '/');
    if (strncmp(text, "bytes ", 6) != 0 || !slash)
        return;
    if (text[6] != '*')
        answer->range_start = strtoll(text + 6, NULL, 10);
    if (slash[1] != '*')
        answer->range_total = strtoll(slash + 1, NULL, 10);
}

static void take_header(struct tni_s3_answer *answer, struct tn_str name, struct tn_str value)
{
    if (tn_str_eq_nocase(name, TN_STR("etag")))
        copy_etag(answer->etag, value);
    else if (tn_str_eq_nocase(name, TN_STR("content-length")))
        answer->length = number(value);
    else if (tn_str_eq_nocase(name, TN_STR("content-range")))
        take_content_range(answer, value);
    else if (tn_str_eq_nocase(name, TN_STR("last-modified")))
        answer->modified_ms = http_date_ms(value);
    else if (tn_str_eq_nocase(name, TN_STR("date")))
        answer->date_ms = http_date_ms(value);
    else if (tn_str_eq_nocase(name, TN_STR("retry-after")))
        answer->retry_after_ms = number(value) < 0 ? -1 : number(value) * 1000;
    else if (tn_str_eq_nocase(name, TN_STR("x-amz-request-id")))
        copy_text(answer->request_id, sizeof answer->request_id, value);
    else if (tn_str_eq_nocase(name, TN_STR("x-amz-bucket-region")))
        copy_text(answer->region, sizeof answer->region, value);
    else if (tn_str_eq_nocase(name, TN_STR(TNI_S3_TOKEN_NAME)))
        copy_text(answer->token, sizeof answer->token, value);
    else if (tn_str_eq_nocase(name, TN_STR("location")))
        copy_text(answer->location, sizeof answer->location, value);
}

void tni_s3_answer_header(struct tni_s3_answer *answer, struct tn_str line)
{
    while (line.len && strchr("\r\n \t", line.ptr[line.len - 1]))
        line.len--;
    if (line.len > 12 && memcmp(line.ptr, "HTTP/", 5) == 0) { /* also after a 100 */
        const char *blank = memchr(line.ptr, ' ', line.len);
        tni_s3_answer_reset(answer);
        if (blank && line.ptr + line.len - blank > 3) {
            int64_t status = number((struct tn_str){blank + 1, 3});
            answer->http_status = status > 0 ? (int)status : 0;
        }
        return;
    }
    const char *colon = memchr(line.ptr, ':', line.len);
    if (!colon)
        return;
    struct tn_str name = {line.ptr, (size_t)(colon - line.ptr)};
    struct tn_str value = {colon + 1, line.len - name.len - 1};
    while (value.len && (*value.ptr == ' ' || *value.ptr == '\t')) {
        value.ptr++;
        value.len--;
    }
    take_header(answer, name, value);
}

/* ---- small documents ---- */

bool tni_s3_answer_error(struct tni_s3_answer *answer, struct tn_str document)
{
    struct tni_xml xml;
    enum tni_xml_event event;
    bool is_error = false;
    tni_xml_init(&xml, document);
    while ((event = tni_xml_next(&xml)) == TNI_XML_OPEN || event == TNI_XML_CLOSE) {
        struct tn_str text = tn_buf_str(&xml.text);
        if (event == TNI_XML_OPEN) {
            is_error = is_error || (xml.depth <= 2 && tni_xml_is(&xml, "Error"));
        } else if (is_error && tni_xml_within(&xml, "Error")) {
            if (tni_xml_is(&xml, "Code"))
                copy_text(answer->code, sizeof answer->code, text);
            else if (tni_xml_is(&xml, "Message"))
                copy_text(answer->message, sizeof answer->message, text);
            else if (tni_xml_is(&xml, "RequestId") && !answer->request_id[0])
                copy_text(answer->request_id, sizeof answer->request_id, text);
            else if (tni_xml_is(&xml, "Region") && !answer->region[0])
                copy_text(answer->region, sizeof answer->region, text);
            else if (tni_xml_is(&xml, "Endpoint") && !answer->location[0])
                copy_text(answer->location, sizeof answer->location, text);
        }
    }
    tni_xml_release(&xml);
    return is_error;
}

bool tni_s3_answer_text(struct tn_str document, const char *name, char *ret_text, size_t size)
{
    struct tni_xml xml;
    enum tni_xml_event event;
    bool is_found = false;
    tni_xml_init(&xml, document);
    while ((event = tni_xml_next(&xml)) == TNI_XML_OPEN || event == TNI_XML_CLOSE)
        if (event == TNI_XML_CLOSE && !is_found && tni_xml_is(&xml, name) && xml.text.len < size) {
            copy_text(ret_text, size, tn_buf_str(&xml.text));
            is_found = true;
        }
    tni_xml_release(&xml);
    return is_found && event == TNI_XML_END;
}

/* ---- pages of lists ---- */

struct item {
    struct tn_str key; /* decoded, below the store's prefix; arena */
    const char *upload_id;
    int64_t size, modified_ms;
    char etag[TN_OBJECT_ETAG_MAX];
};

#define ITEMS_MAX 10000 /* servers send at most 1,000 */

struct page {
    struct tni_s3_call *call;
    struct tn_arena arena;
    struct item *items;
    size_t count, cap;
    struct item at; /* being read */
    bool is_truncated, is_encoded, is_bad;
    struct tn_str next, next_upload; /* as written */
};

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* In place; '+' is a blank in this encoding. */
static struct tn_str url_decode(struct tn_str text)
{
    char *to = (char *)text.ptr, *start = to;
    for (size_t i = 0; i < text.len; i++) {
        int high = text.ptr[i] == '%' && i + 2 < text.len ? hex_digit(text.ptr[i + 1]) : -1;
        int low = high >= 0 ? hex_digit(text.ptr[i + 2]) : -1;
        if (low >= 0) {
            *to++ = (char)(high * 16 + low);
            i += 2;
        } else {
            *to++ = text.ptr[i] == '+' ? ' ' : text.ptr[i];
        }
    }
    return (struct tn_str){start, (size_t)(to - start)};
}

static int64_t iso_ms(struct tn_str text)
{
    int64_t us;
    return tn_timestamp_parse(text, &us) ? us / 1000 : 0;
}

static void push_item(struct page *page)
{
    if (page->count == page->cap) {
        size_t cap = page->cap ? page->cap * 2 : 256;
        struct item *items = tn_arena_alloc(&page->arena, cap * sizeof *items);
        if (page->count)
            memcpy(items, page->items, page->count * sizeof *items);
        page->items = items;
        page->cap = cap;
    }
    page->is_bad = page->is_bad || page->count >= ITEMS_MAX || !page->at.key.ptr;
    page->items[page->count++] = page->at;
    page->at = (struct item){0};
}

/* A closed element within Contents, CommonPrefixes, Upload, or of the whole answer. */
static void take_element(struct page *page, struct tni_xml *xml)
{
    struct tn_str text = tn_arena_str(&page->arena, tn_buf_str(&xml->text));
    bool is_object = tni_xml_within(xml, "Contents"), is_upload = tni_xml_within(xml, "Upload");
    bool is_top = xml->depth == 1;
    if ((is_object || is_upload) && tni_xml_is(xml, "Key")) {
        page->at.key = text;
    } else if (is_object && tni_xml_is(xml, "Size")) {
        page->at.size = number(text);
    } else if (is_object && tni_xml_is(xml, "ETag")) {
        copy_etag(page->at.etag, text);
    } else if ((is_object && tni_xml_is(xml, "LastModified")) ||
               (is_upload && tni_xml_is(xml, "Initiated"))) {
        page->at.modified_ms = iso_ms(text);
    } else if (is_upload && tni_xml_is(xml, "UploadId")) {
        page->at.upload_id = tn_arena_printf(&page->arena, "-:%.*s", TN_STR_FMT(text));
    } else if (tni_xml_within(xml, "CommonPrefixes") && tni_xml_is(xml, "Prefix")) {
        page->at = (struct item){.key = text, .size = -1};
        push_item(page);
    } else if (is_top && (tni_xml_is(xml, "Contents") || tni_xml_is(xml, "Upload"))) {
        push_item(page);
    } else if (is_top && tni_xml_is(xml, "IsTruncated")) {
        page->is_truncated = tn_str_eq(text, TN_STR("true"));
    } else if (is_top && tni_xml_is(xml, "EncodingType")) {
        page->is_encoded = tn_str_eq(text, TN_STR("url"));
    } else if (is_top &&
               (tni_xml_is(xml, "NextContinuationToken") || tni_xml_is(xml, "NextKeyMarker"))) {
        page->next = text;
    } else if (is_top && tni_xml_is(xml, "NextUploadIdMarker")) {
        page->next_upload = text;
    }
}

static bool read_page(struct page *page, struct tn_str document)
{
    static const char *const roots[] = {"ListBucketResult", "ListMultipartUploadsResult"};
    struct tni_xml xml;
    enum tni_xml_event event;
    bool is_list = false;
    tni_xml_init(&xml, document);
    while ((event = tni_xml_next(&xml)) == TNI_XML_OPEN || event == TNI_XML_CLOSE) {
        if (event == TNI_XML_OPEN && !is_list)
            is_list = tni_xml_is(&xml, roots[0]) || tni_xml_is(&xml, roots[1]);
        else if (event == TNI_XML_CLOSE && xml.depth > 0)
            take_element(page, &xml);
    }
    tni_xml_release(&xml);
    return event == TNI_XML_END && is_list && !page->is_bad;
}

static int item_order(const void *a, const void *b)
{
    return tn_str_cmp(((const struct item *)a)->key, ((const struct item *)b)->key);
}

/* Decodes the keys and takes the store's prefix off; objects and folders come in two lists. */
static void settle_items(struct page *page)
{
    const char *prefix = page->call->store->prefix;
    size_t prefix_len = strlen(prefix), kept = 0;
    bool is_sorted = true;
    for (size_t i = 0; i < page->count; i++) {
        struct item *item = &page->items[i];
        if (page->is_encoded)
            item->key = url_decode(item->key);
        if (item->key.len <= prefix_len || memcmp(item->key.ptr, prefix, prefix_len) != 0)
            continue; /* the prefix itself as an object */
        item->key.ptr += prefix_len;
        item->key.len -= prefix_len;
        is_sorted = is_sorted && (kept == 0 || item_order(&page->items[kept - 1], item) < 0);
        page->items[kept++] = *item;
    }
    page->count = kept;
    if (!is_sorted)
        qsort(page->items, kept, sizeof *page->items, item_order);
}

/* False: each wants no more. */
static bool report_items(const struct page *page)
{
    const struct tn_object_request *request = page->call->request;
    for (size_t i = 0; i < page->count; i++) {
        const struct item *item = &page->items[i];
        struct tn_object_info info = {.key = item->key,
                                      .size = item->size,
                                      .modified_ms = item->modified_ms,
                                      .upload_id = item->upload_id};
        memcpy(info.etag, item->etag, sizeof info.etag);
        if (!request->each(request->each_ctx, &info))
            return false;
    }
    return true;
}

enum tn_status tni_s3_answer_page(struct tni_s3_call *call, bool *ret_is_last, struct tn_err *err)
{
    struct page page = {.call = call};
    tn_arena_init(&page.arena, 0); /* the document is bounded */
    bool is_ok = read_page(&page, tn_buf_str(&call->body));
    is_ok = is_ok && (!page.is_truncated || page.next.len > 0);
    if (!is_ok) {
        tn_arena_release(&page.arena);
        return tn_err_set(err, TN_E_CORRUPT, "the store's list cannot be read");
    }
    settle_items(&page);
    *ret_is_last = !report_items(&page) || !page.is_truncated;
    tn_buf_reset(&call->continuation);
    tn_buf_reset(&call->continuation_upload);
    tn_buf_add_str(&call->continuation, page.next);
    tn_buf_add_str(&call->continuation_upload, page.next_upload);
    tn_arena_release(&page.arena);
    return TN_OK;
}
