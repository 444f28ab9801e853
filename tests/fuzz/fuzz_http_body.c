/* Fuzz target: ingest bodies, default members, keys of headers. Whatever the bytes, nothing crashes
 * and
 *   - every element of a body that was accepted is one valid JSON value inside the body, in order
 *   - lines that the key decoder checks are refused exactly when the scanner refuses them
 *   - an element with its default members is still valid JSON and has them all
 * The first byte chooses the form. */
#include "connectors/formats.h"
#include "connectors/ingest_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct tni_encoder *json_encoder, *text_encoder;
static struct tni_defaults defaults;
static struct tn_topic_decl decl;

static void setup(void)
{
    static struct tn_field fields[3];
    static struct tn_schema schema = {3, fields};
    fields[0] = (struct tn_field){TN_STR("id"), tn_type_of(TN_K_INTEGER)};
    fields[1] = (struct tn_field){TN_STR("name"), tn_type_of(TN_K_VARCHAR)};
    fields[2] = (struct tn_field){TN_STR("n"), tn_type_of(TN_K_BIGINT)};
    decl = (struct tn_topic_decl){.schema = &schema,
                                  .keys_count = 1,
                                  .is_key_bare = true,
                                  .key_format = &tn_format_kafka,
                                  .value_format = &tn_format_json};
    TN_ASSERT(tni_ingest_encoder_new(&decl, &json_encoder, NULL) == TN_OK);
    decl.value_format = &tn_format_delimited;
    TN_ASSERT(tni_ingest_encoder_new(&decl, &text_encoder, NULL) == TN_OK);
    TN_ASSERT(tni_ingest_defaults_parse("{\"op\":\"ADD\",\"n\":1}", &defaults, NULL) == TN_OK);
}

static bool is_json(struct tn_str text)
{
    struct tn_json json = {text.ptr, text.ptr + text.len, NULL, TNI_INGEST_DEPTH_MAX};
    return tn_json_check(&json);
}

static void check_defaults(struct tn_str element)
{
    struct tn_buf out, member;
    tn_buf_init(&out, 1 << 24);
    tn_buf_init(&member, 1 << 24);
    tni_ingest_defaults_apply(&defaults, element, &out);
    TN_ASSERT(is_json(tn_buf_str(&out)));
    if (element.ptr[0] == '{')
        TN_ASSERT(tni_json_member_text(tn_buf_str(&out), TN_STR("op"), &member) &&
                  tni_json_member_text(tn_buf_str(&out), TN_STR("n"), &member));
    tn_buf_release(&out);
    tn_buf_release(&member);
}

static void check_elements(struct tn_str body, const struct tni_elements *elements)
{
    const char *at = body.ptr;
    for (uint32_t i = 0; i < elements->count; i++) {
        struct tn_str e = elements->items[i];
        TN_ASSERT(e.ptr >= at && e.len > 0 && e.ptr + e.len <= body.ptr + body.len);
        TN_ASSERT(is_json(e));
        check_defaults(e);
        at = e.ptr + e.len;
    }
}

static enum tn_status encode(struct tni_encoder *encoder, struct tn_str body,
                             const struct tni_elements *elements)
{
    struct tn_err err = TN_ERR_INIT;
    enum tn_status st = TN_OK;
    for (uint32_t at = 0; at < elements->count && st == TN_OK; at += TNI_INGEST_CHUNK_ROWS) {
        uint32_t count = elements->count - at;
        count = count < TNI_INGEST_CHUNK_ROWS ? count : TNI_INGEST_CHUNK_ROWS;
        st = tni_ingest_encoder_run(encoder, body, elements->items + at, count, false,
                                    (struct tn_str){NULL, 0}, &err);
    }
    TN_ASSERT(st == TN_OK || (err.line >= 1 && err.message[0]));
    return st;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tni_elements checked = {0}, unchecked = {0};
    struct tn_err err = TN_ERR_INIT;
    if (!json_encoder)
        setup();
    if (size == 0)
        return 0;
    struct tn_str body = {(const char *)data + 1, size - 1};
    enum tni_ingest_form form = data[0] & 1 ? TNI_FORM_LINES : TNI_FORM_AUTO;
    enum tn_status st = tni_ingest_split(body, form, false, &checked, &err);
    TN_ASSERT(st == TN_OK || err.message[0]);
    if (st == TN_OK) {
        check_elements(body, &checked);
        TN_ASSERT(encode(json_encoder, body, &checked) == TN_OK);
        (void)encode(text_encoder, body, &checked);
    }
    if (form == TNI_FORM_LINES) {
        enum tn_status later = tni_ingest_split(body, form, true, &unchecked, &err);
        if (later == TN_OK)
            later = encode(json_encoder, body, &unchecked);
        TN_ASSERT((later == TN_OK) == (st == TN_OK));
    }
    struct tn_str key;
    (void)tni_ingest_encoder_key_text(json_encoder, &decl, body, &key, &err);
    tni_ingest_elements_release(&checked);
    tni_ingest_elements_release(&unchecked);
    return 0;
}
