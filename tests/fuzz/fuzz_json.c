/* Fuzz target: the JSON decoder and encoder. Whatever the bytes, nothing crashes; what decodes
 * encodes to JSON that the scanner accepts and that decodes to the same columns (print → parse →
 * print is a fixed point). */
#include "connectors/formats.h"
#include "connectors/json_scan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct tn_arena types, scratch;
static struct tn_codec *codec;

static void setup(void)
{
    static struct tn_field fields[9], inner[2];
    static struct tn_schema schema = {9, fields};
    struct tn_codec_spec spec = {.schema = &schema, .depth_max = 64};
    tn_arena_init(&types, 0);
    tn_arena_init(&scratch, 0);
    inner[0] = (struct tn_field){TN_STR("a"), tn_type_of(TN_K_INTEGER)};
    inner[1] = (struct tn_field){TN_STR("b"), tn_type_array(&types, tn_type_of(TN_K_VARCHAR))};
    fields[0] = (struct tn_field){TN_STR("b"), tn_type_of(TN_K_BOOLEAN)};
    fields[1] = (struct tn_field){TN_STR("i"), tn_type_of(TN_K_INTEGER)};
    fields[2] = (struct tn_field){TN_STR("l"), tn_type_of(TN_K_BIGINT)};
    fields[3] = (struct tn_field){TN_STR("d"), tn_type_of(TN_K_DOUBLE)};
    fields[4] = (struct tn_field){TN_STR("m"), tn_type_decimal(&types, 38, 10)};
    fields[5] = (struct tn_field){TN_STR("s"), tn_type_of(TN_K_VARCHAR)};
    fields[6] = (struct tn_field){TN_STR("y"), tn_type_of(TN_K_BYTES)};
    fields[7] = (struct tn_field){TN_STR("r"), tn_type_struct(&types, inner, 2)};
    fields[8] = (struct tn_field){
        TN_STR("p"), tn_type_map(&types, tn_type_of(TN_K_VARCHAR), tn_type_of(TN_K_TIMESTAMP))};
    TN_ASSERT(tn_format_json.open(&tn_format_json, &spec, &codec, NULL) == TN_OK);
}

/* What the quick check of lines takes, the scanner takes, too. */
static void check_line(struct tn_str input)
{
    const char *end = input.ptr + input.len, *quick = tn_json_line(input.ptr, end);
    if (!quick)
        return;
    struct tn_json json = {input.ptr, quick, NULL, 64};
    TN_ASSERT(quick <= end && tn_json_check(&json));
    TN_ASSERT(!memchr(input.ptr, '\n', (size_t)(quick - input.ptr)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tn_str input = {(const char *)data, size};
    struct tn_decoded first, second;
    struct tn_buf a, b;
    size_t end;
    if (!codec)
        setup();
    check_line(input);
    tn_arena_reset(&scratch);
    codec->format->decode(codec, &input, 1, &scratch, &first);
    struct tn_json json = {input.ptr, input.ptr + size, NULL, 64};
    bool is_json = tn_json_check(&json);
    TN_ASSERT(first.bad_count || is_json); /* what decodes is JSON */
    if (first.bad_count || first.null_rows)
        return 0;
    tn_buf_init(&a, 1 << 24);
    tn_buf_init(&b, 1 << 24);
    codec->format->encode(codec, first.columns, 1, NULL, &a, &end);
    struct tn_str text = tn_buf_str(&a);
    codec->format->decode(codec, &text, 1, &scratch, &second);
    TN_ASSERT(second.bad_count == 0);
    codec->format->encode(codec, second.columns, 1, NULL, &b, &end);
    TN_ASSERT(tn_str_eq(tn_buf_str(&a), tn_buf_str(&b)));
    tn_buf_release(&a);
    tn_buf_release(&b);
    return 0;
}
