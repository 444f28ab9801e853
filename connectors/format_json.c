/* JSON format: codec construction. Decoder: json_decode.c; encoder: json_encode.c. */
#include "connectors/format_json.h"

#include "connectors/formats.h"
#include "stream/base/mem.h"

static enum tn_status check_type(const struct tn_type *type, struct tn_str column, int depth,
                                 struct tn_err *err)
{
    if (depth > TN_TYPE_DEPTH_MAX)
        return tn_err_set(err, TN_E_INVALID, "column '%.*s': type is nested deeper than %d",
                          TN_STR_FMT(column), TN_TYPE_DEPTH_MAX);
    if (type->kind == TN_K_MAP && type->children[0].type->kind != TN_K_VARCHAR)
        return tn_err_set(err, TN_E_INVALID,
                          "column '%.*s': JSON format needs MAP keys of type STRING",
                          TN_STR_FMT(column));
    for (uint32_t i = 0; i < type->children_count; i++)
        TN_TRY(check_type(type->children[i].type, column, depth + 1, err));
    return TN_OK;
}

static void build_names(struct tni_json_codec *codec)
{
    uint32_t slots = 64; /* 128 bytes; few names of others share one with a column */
    while (slots < codec->schema.fields_count * 4)
        slots *= 2;
    codec->names.mask = slots - 1;
    codec->names.slots = tn_arena_alloc(&codec->arena, slots * sizeof *codec->names.slots);
    for (uint32_t i = 0; i < slots; i++)
        codec->names.slots[i] = -1;
    for (uint32_t c = 0; c < codec->schema.fields_count; c++) {
        if (!codec->needed[c])
            continue;
        uint32_t at = tni_json_name_hash(codec->schema.fields[c].name) & codec->names.mask;
        while (codec->names.slots[at] >= 0)
            at = (at + 1) & codec->names.mask;
        codec->names.slots[at] = (int16_t)c;
    }
}

static void build_prefixes(struct tni_json_codec *codec)
{
    codec->prefixes = TN_ARENA_ARRAY(&codec->arena, struct tn_str, codec->schema.fields_count);
    for (uint32_t c = 0; c < codec->schema.fields_count; c++) {
        struct tn_buf buf;
        tn_buf_init(&buf, SIZE_MAX / 2);
        if (!codec->is_bare) {
            tn_buf_add_byte(&buf, c ? ',' : '{');
            tn_buf_add_json(&buf, codec->schema.fields[c].name);
            tn_buf_add_byte(&buf, ':');
        }
        codec->prefixes[c] = tn_arena_str(&codec->arena, tn_buf_str(&buf));
        tn_buf_release(&buf);
    }
}

static void json_close(struct tn_codec *base)
{
    struct tni_json_codec *codec = (struct tni_json_codec *)base;
    if (!codec)
        return;
    tn_arena_release(&codec->arena);
    tn_free(codec);
}

static enum tn_status json_open(const struct tn_format *format, const struct tn_codec_spec *spec,
                                struct tn_codec **ret_codec, struct tn_err *err)
{
    uint32_t cols = spec->schema->fields_count;
    if (spec->is_bare && cols != 1)
        return tn_err_set(err, TN_E_INVALID,
                          "an unwrapped JSON %s carries exactly one column, not %u",
                          spec->is_key ? "key" : "value", cols);
    for (uint32_t c = 0; c < cols; c++)
        TN_TRY(check_type(spec->schema->fields[c].type, spec->schema->fields[c].name, 0, err));
    struct tni_json_codec *codec = tn_alloc(sizeof *codec);
    codec->base.format = format;
    tn_arena_init(&codec->arena, 0);
    codec->schema.fields_count = cols;
    struct tn_field *fields = TN_ARENA_ARRAY(&codec->arena, struct tn_field, cols);
    codec->needed = TN_ARENA_ARRAY(&codec->arena, bool, cols);
    for (uint32_t c = 0; c < cols; c++) {
        fields[c].name = tn_arena_str(&codec->arena, spec->schema->fields[c].name);
        fields[c].type = tn_type_copy(&codec->arena, spec->schema->fields[c].type);
        codec->needed[c] = !spec->needed || spec->needed[c];
    }
    codec->schema.fields = fields;
    codec->is_bare = spec->is_bare;
    codec->is_case_exact = spec->is_case_exact;
    codec->is_lenient = spec->is_lenient;
    codec->depth_max = spec->depth_max ? spec->depth_max : 256;
    TN_ASSERT(codec->depth_max <= TN_JSON_DEPTH_MAX);
    codec->writers = TN_ARENA_ARRAY(&codec->arena, struct tni_cw, cols);
    codec->exact_row = TN_ARENA_ARRAY(&codec->arena, int64_t, cols);
    build_names(codec);
    build_prefixes(codec);
    *ret_codec = &codec->base;
    return TN_OK;
}

const struct tn_format tn_format_json = {
    .name = "JSON",
    .flags = TN_FMT_KEY | TN_FMT_VALUE | TN_FMT_MULTI | TN_FMT_WRAP,
    .open = json_open,
    .close = json_close,
    .decode = tni_json_decode,
    .encode = tni_json_encode,
    .help = "JSON objects; one unwrapped value for a single key column or WRAP_SINGLE_VALUE=false",
};
