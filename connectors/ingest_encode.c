/* Elements → key and value bytes, by the codecs of the stream's formats, in batches of columns.
 *
 * A JSON stream keeps the element as value; its key columns are read from the members of their
 * names, leniently: what does not fit is NULL here and becomes a dead letter when the record is
 * read. Other formats are decoded strictly, because there are no bytes of the client's to keep.
 * @thread one request at a time
 */
#include "connectors/ingest_int.h"

#include <stdio.h>

#include "connectors/formats.h"
#include "stream/base/mem.h"

/* The JSON decoder does not count the object's own brace, the scanner does. */
#define MEMBERS_DEPTH_MAX (TNI_INGEST_DEPTH_MAX - 1)
#define ENCODED_BYTES_MAX ((size_t)256 << 20)

static enum tn_status codec_open(const struct tn_format *format, const struct tn_codec_spec *spec,
                                 struct tn_codec **ret_codec, struct tn_err *err)
{
    return format->open(format, spec, ret_codec, err);
}

static void codec_close(struct tn_codec *codec)
{
    if (codec)
        codec->format->close(codec);
}

static enum tn_status encoder_open_key(struct tni_encoder *enc, const struct tn_topic_decl *decl,
                                       struct tn_err *err)
{
    struct tn_schema schema = {decl->keys_count, decl->schema->fields};
    struct tn_codec_spec members = {.is_case_exact = decl->is_case_exact,
                                    .is_lenient = true,
                                    .depth_max = MEMBERS_DEPTH_MAX,
                                    .schema = &schema};
    struct tn_codec_spec key = {.is_key = true,
                                .is_bare = decl->is_key_bare,
                                .delimiter = decl->key_delimiter,
                                .is_case_exact = decl->is_case_exact,
                                .schema = &schema};
    if (decl->keys_count == 0 || !decl->key_format)
        return TN_OK;
    enc->key_columns_count = decl->keys_count;
    TN_TRY(codec_open(&tn_format_json, &members, &enc->key_members, err));
    return codec_open(decl->key_format, &key, &enc->key, err);
}

static enum tn_status encoder_open_value(struct tni_encoder *enc, const struct tn_topic_decl *decl,
                                         struct tn_err *err)
{
    struct tn_schema schema = {decl->schema->fields_count - decl->keys_count,
                               decl->schema->fields + decl->keys_count};
    struct tn_codec_spec members = {
        .is_case_exact = decl->is_case_exact, .depth_max = MEMBERS_DEPTH_MAX, .schema = &schema};
    struct tn_codec_spec value = {.is_bare = decl->is_value_bare,
                                  .delimiter = decl->value_delimiter,
                                  .is_case_exact = decl->is_case_exact,
                                  .schema = &schema};
    if (decl->value_format == &tn_format_json || schema.fields_count == 0)
        return TN_OK;
    TN_TRY(codec_open(&tn_format_json, &members, &enc->value_members, err));
    enc->value_columns_count = schema.fields_count;
    return codec_open(decl->value_format, &value, &enc->value, err);
}

enum tn_status tni_ingest_encoder_new(const struct tn_topic_decl *decl,
                                      struct tni_encoder **ret_encoder, struct tn_err *err)
{
    struct tni_encoder *enc = tn_alloc(sizeof *enc);
    enum tn_status st;
    tn_arena_init(&enc->arena, 0);
    tn_buf_init(&enc->key_bytes, ENCODED_BYTES_MAX);
    tn_buf_init(&enc->value_bytes, ENCODED_BYTES_MAX);
    enc->keys = tn_alloc_array(TNI_INGEST_CHUNK_ROWS, sizeof *enc->keys);
    enc->values = tn_alloc_array(TNI_INGEST_CHUNK_ROWS, sizeof *enc->values);
    enc->key_ends = tn_alloc_array(TNI_INGEST_CHUNK_ROWS, sizeof *enc->key_ends);
    enc->value_ends = tn_alloc_array(TNI_INGEST_CHUNK_ROWS, sizeof *enc->value_ends);
    TN_GOTO(encoder_open_key(enc, decl, err));
    TN_GOTO(encoder_open_value(enc, decl, err));
    *ret_encoder = enc;
    return TN_OK;
fail:
    tni_ingest_encoder_free(enc);
    return st;
}

void tni_ingest_encoder_free(struct tni_encoder *enc)
{
    if (!enc)
        return;
    codec_close(enc->key_members);
    codec_close(enc->key);
    codec_close(enc->value_members);
    codec_close(enc->value);
    tn_arena_release(&enc->arena);
    tn_buf_release(&enc->key_bytes);
    tn_buf_release(&enc->value_bytes);
    tn_free(enc->keys);
    tn_free(enc->values);
    tn_free(enc->key_ends);
    tn_free(enc->value_ends);
    tn_free(enc);
}

/* Row i is a null key: every key column is NULL. */
static uint8_t *null_keys(const struct tn_decoded *decoded, uint32_t cols, uint32_t count,
                          struct tn_arena *arena)
{
    uint8_t *nulls = tn_arena_zalloc(arena, 1, tn_bits_bytes(count));
    for (uint32_t row = 0; row < count; row++) {
        bool is_null = true;
        for (uint32_t c = 0; c < cols && is_null; c++)
            is_null = tn_column_is_null(&decoded->columns[c], row);
        tn_bit_put(nulls, row, is_null);
    }
    return nulls;
}

static void slices_of(const struct tn_buf *bytes, const size_t *ends, const uint8_t *nulls,
                      uint32_t count, struct tn_str *slices)
{
    size_t at = 0;
    for (uint32_t i = 0; i < count; i++) {
        bool is_null = nulls && tn_bit_get(nulls, i);
        slices[i] = is_null ? (struct tn_str){NULL, 0}
                            : (struct tn_str){(bytes->ptr ? bytes->ptr : "") + at, ends[i] - at};
        at = ends[i];
    }
}

/* A row that the lenient decoder refused: broken JSON is the body's error; any other JSON value has
 * a null key. */
static enum tn_status check_bad_rows(const struct tn_decoded *decoded, struct tn_str body,
                                     const struct tn_str *elements, struct tn_err *err)
{
    for (uint32_t i = 0; i < decoded->bad_count; i++) {
        struct tn_str e = elements[decoded->bad[i].row];
        struct tn_json json = {e.ptr, e.ptr + e.len, NULL, TNI_INGEST_DEPTH_MAX};
        if (!tn_json_check(&json))
            return tni_ingest_syntax(body, json.p, json.reason, err);
    }
    return TN_OK;
}

static enum tn_status encode_keys(struct tni_encoder *enc, struct tn_str body,
                                  const struct tn_str *elements, uint32_t count, struct tn_err *err)
{
    struct tn_decoded decoded = {0};
    enc->key_members->format->decode(enc->key_members, elements, count, &enc->arena, &decoded);
    TN_TRY(check_bad_rows(&decoded, body, elements, err));
    uint8_t *nulls = null_keys(&decoded, enc->key_columns_count, count, &enc->arena);
    tn_buf_reset(&enc->key_bytes);
    enc->key->format->encode(enc->key, decoded.columns, count, nulls, &enc->key_bytes,
                             enc->key_ends);
    slices_of(&enc->key_bytes, enc->key_ends, nulls, count, enc->keys);
    return TN_OK;
}

static enum tn_status value_error(struct tn_str body, const struct tn_str *elements,
                                  const struct tn_bad_row *bad, struct tn_err *err)
{
    struct tn_str e = elements[bad->row];
    size_t at = bad->position < 0 ? 0 : (size_t)bad->position;
    const char *where = e.ptr + (at < e.len ? at : e.len);
    char reason[160];
    if (bad->field.ptr)
        snprintf(reason, sizeof reason, "column '%.*s': %s", TN_STR_FMT(bad->field), bad->reason);
    else
        snprintf(reason, sizeof reason, "%s", bad->reason);
    enum tn_status st = tni_ingest_syntax(body, where, reason, err);
    if (err)
        err->name = "INVALID_RECORD";
    return st;
}

static enum tn_status encode_values(struct tni_encoder *enc, struct tn_str body,
                                    const struct tn_str *elements, uint32_t count,
                                    struct tn_err *err)
{
    struct tn_decoded decoded = {0};
    enc->value_members->format->decode(enc->value_members, elements, count, &enc->arena, &decoded);
    if (decoded.bad_count)
        return value_error(body, elements, &decoded.bad[0], err);
    /* a bare NULL is null bytes */
    uint8_t *nulls = enc->value_columns_count == 1 ? null_keys(&decoded, 1, count, &enc->arena)
                                                   : decoded.null_rows;
    tn_buf_reset(&enc->value_bytes);
    enc->value->format->encode(enc->value, decoded.columns, count, nulls, &enc->value_bytes,
                               enc->value_ends);
    slices_of(&enc->value_bytes, enc->value_ends, nulls, count, enc->values);
    return TN_OK;
}

enum tn_status tni_ingest_encoder_run(struct tni_encoder *enc, struct tn_str body,
                                      const struct tn_str *elements, uint32_t count,
                                      bool is_key_given, struct tn_str given_key,
                                      struct tn_err *err)
{
    TN_ASSERT(count <= TNI_INGEST_CHUNK_ROWS);
    tn_arena_reset(&enc->arena);
    if (is_key_given || !enc->key) {
        for (uint32_t i = 0; i < count; i++)
            enc->keys[i] = given_key;
    } else {
        TN_TRY(encode_keys(enc, body, elements, count, err));
    }
    if (enc->value)
        return encode_values(enc, body, elements, count, err);
    for (uint32_t i = 0; i < count; i++)
        enc->values[i] = elements[i];
    return TN_OK;
}

/* {"id": <text>} for a single key column; text that is an object already is taken as it is. */
static void key_object(const struct tn_topic_decl *decl, struct tn_str text, struct tn_buf *buf)
{
    struct tn_field field = decl->schema->fields[0];
    if (decl->keys_count > 1 || (text.len && text.ptr[0] == '{')) {
        tn_buf_add_str(buf, text);
        return;
    }
    tn_buf_add_byte(buf, '{');
    tn_buf_add_json(buf, field.name);
    tn_buf_add_byte(buf, ':');
    if (tn_kind_is_number(field.type->kind) || field.type->kind == TN_K_BOOLEAN)
        tn_buf_add_str(buf, text);
    else
        tn_buf_add_json(buf, text);
    tn_buf_add_byte(buf, '}');
}

enum tn_status tni_ingest_encoder_key_text(struct tni_encoder *enc,
                                           const struct tn_topic_decl *decl, struct tn_str text,
                                           struct tn_str *ret_key, struct tn_err *err)
{
    struct tn_schema schema = {decl->keys_count, decl->schema->fields};
    struct tn_codec_spec spec = {
        .is_case_exact = decl->is_case_exact, .depth_max = MEMBERS_DEPTH_MAX, .schema = &schema};
    struct tn_codec *codec = NULL;
    struct tn_decoded decoded = {0};
    struct tn_buf object;
    if (!enc->key)
        return tn_err_set(err, TN_E_INVALID,
                          "X-Tarn-Key is given, but the stream has no key column");
    TN_TRY(codec_open(&tn_format_json, &spec, &codec, err));
    tn_arena_reset(&enc->arena);
    tn_buf_init(&object, 64 << 10);
    key_object(decl, text, &object);
    struct tn_str input = tn_arena_str(&enc->arena, tn_buf_str(&object));
    bool is_over = tn_buf_over(&object);
    tn_buf_release(&object);
    codec->format->decode(codec, &input, 1, &enc->arena, &decoded);
    codec_close(codec);
    if (is_over || decoded.bad_count) {
        enum tn_status st =
            tn_err_set(err, TN_E_INVALID, "X-Tarn-Key '%.*s' is not a key of this stream: %s",
                       (int)(text.len < 100 ? text.len : 100), text.ptr,
                       decoded.bad_count ? decoded.bad[0].reason : "too long");
        tn_err_hint(err, "give the key column's value, or a JSON object of the key columns");
        return st;
    }
    tn_buf_reset(&enc->key_bytes);
    enc->key->format->encode(enc->key, decoded.columns, 1, decoded.null_rows, &enc->key_bytes,
                             enc->key_ends);
    *ret_key = tn_buf_str(&enc->key_bytes);
    return TN_OK;
}
