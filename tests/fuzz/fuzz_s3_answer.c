/* Fuzz target: what S3 servers answer. Whatever the bytes, as an error document, a page of a list
 * or headers, nothing crashes; a list reports only keys in ascending order. */
#include "connectors/s3_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* libcurl is not linked: dates do not matter here. */
time_t curl_getdate(const char *text, const time_t *unused)
{
    (void)unused;
    return text[0] == 'M' ? 1 : -1;
}

static bool on_object(void *ctx, const struct tn_object_info *info)
{
    struct tn_buf *last = ctx;
    TN_ASSERT(info->key.len > 0);
    TN_ASSERT(tn_str_cmp(tn_buf_str(last), info->key) <= 0);
    tn_buf_reset(last);
    tn_buf_add_str(last, info->key);
    return true;
}

static void read_page(struct tn_str document, const char *prefix, enum tn_object_op op)
{
    struct tn_buf last;
    struct tn_err err = TN_ERR_INIT;
    bool is_last = false;
    tn_buf_init(&last, 1 << 20);
    struct tn_object_request request = {.op = op, .each = on_object, .each_ctx = &last};
    struct tni_s3_store store = {.prefix = (char *)prefix};
    struct tni_s3_call call = {.request = &request, .store = &store};
    tn_buf_init(&call.body, 1 << 20);
    tn_buf_init(&call.continuation, 4096);
    tn_buf_init(&call.continuation_upload, 512);
    tn_buf_add_str(&call.body, document);
    (void)!tni_s3_answer_page(&call, &is_last, &err);
    tn_buf_release(&call.body);
    tn_buf_release(&call.continuation);
    tn_buf_release(&call.continuation_upload);
    tn_buf_release(&last);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tn_str input = {(const char *)data, size};
    struct tni_s3_answer answer;
    char text[40];
    tni_s3_answer_reset(&answer);
    (void)tni_s3_answer_error(&answer, input);
    (void)tni_s3_answer_text(input, "UploadId", text, sizeof text);
    read_page(input, "", TN_OBJECT_LIST);
    read_page(input, "a/", TN_OBJECT_LIST);
    read_page(input, "", TN_OBJECT_UPLOADS);
    while (input.len) {
        const char *end = memchr(input.ptr, '\n', input.len);
        size_t len = end ? (size_t)(end - input.ptr) + 1 : input.len;
        tni_s3_answer_header(&answer, (struct tn_str){input.ptr, len});
        input.ptr += len;
        input.len -= len;
    }
    return 0;
}
