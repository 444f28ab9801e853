/* Fuzz target: the DELIMITED decoder and encoder: nothing crashes; what decodes encodes to a line
 * that decodes to the same line. The first byte of the input chooses the delimiter. */
#include "connectors/formats.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct tn_field *fields_of(struct tn_arena *arena)
{
    struct tn_field *fields = TN_ARENA_ARRAY(arena, struct tn_field, 5);
    fields[0] = (struct tn_field){TN_STR("s"), tn_type_of(TN_K_VARCHAR)};
    fields[1] = (struct tn_field){TN_STR("i"), tn_type_of(TN_K_INTEGER)};
    fields[2] = (struct tn_field){TN_STR("d"), tn_type_of(TN_K_DOUBLE)};
    fields[3] = (struct tn_field){TN_STR("b"), tn_type_of(TN_K_BOOLEAN)};
    fields[4] = (struct tn_field){TN_STR("y"), tn_type_of(TN_K_BYTES)};
    return fields;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tn_arena arena;
    struct tn_codec *codec;
    struct tn_decoded first, second;
    struct tn_buf a, b;
    size_t end;
    if (size < 1)
        return 0;
    tn_arena_init(&arena, 0);
    struct tn_schema schema = {5, fields_of(&arena)};
    struct tn_codec_spec spec = {.schema = &schema, .delimiter = ",;\t|"[data[0] & 3]};
    TN_ASSERT(tn_format_delimited.open(&tn_format_delimited, &spec, &codec, NULL) == TN_OK);
    struct tn_str input = {(const char *)data + 1, size - 1};
    codec->format->decode(codec, &input, 1, &arena, &first);
    tn_buf_init(&a, 1 << 24);
    tn_buf_init(&b, 1 << 24);
    if (!first.bad_count) {
        codec->format->encode(codec, first.columns, 1, NULL, &a, &end);
        struct tn_str text = tn_buf_str(&a);
        codec->format->decode(codec, &text, 1, &arena, &second);
        TN_ASSERT(second.bad_count == 0);
        codec->format->encode(codec, second.columns, 1, NULL, &b, &end);
        TN_ASSERT(tn_str_eq(tn_buf_str(&a), tn_buf_str(&b)));
    }
    tn_buf_release(&a);
    tn_buf_release(&b);
    codec->format->close(codec);
    tn_arena_release(&arena);
    return 0;
}
