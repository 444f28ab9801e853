/* KAFKA format (the primitive serializers of Kafka's Java client), RAW and NONE.
 *
 * KAFKA: one column. INTEGER 4 and BIGINT 8 bytes big-endian, DOUBLE IEEE 754 big-endian, VARCHAR
 * UTF-8, BYTES as they are. A wrong length is an error; nothing is coerced. RAW: one VARCHAR or
 * BYTES column holds the bytes unchanged, and a VARCHAR that is not UTF-8 is an error. NONE: no
 * columns; keys are read as absent and written as null.
 */
#include "connectors/decode_run.h"
#include "connectors/formats.h"
#include "stream/base/mem.h"
#include "stream/base/utf8.h"

struct kafka_codec {
    struct tn_codec base;
    struct tn_arena arena;
    struct tn_schema schema;
    bool needed;
    struct tni_cw writer;
};

static bool can_carry(const struct tn_format *format, enum tn_kind kind)
{
    bool is_text = kind == TN_K_VARCHAR || kind == TN_K_BYTES;
    return is_text || (format == &tn_format_kafka &&
                       (kind == TN_K_INTEGER || kind == TN_K_BIGINT || kind == TN_K_DOUBLE));
}

static enum tn_status kafka_open(const struct tn_format *format, const struct tn_codec_spec *spec,
                                 struct tn_codec **ret_codec, struct tn_err *err)
{
    uint32_t cols = spec->schema->fields_count;
    bool is_none = format == &tn_format_none;
    if (cols != (is_none ? 0 : 1)) {
        tn_err_set(err, TN_E_INVALID, "%s format carries %s, not %u columns", format->name,
                   is_none ? "no columns" : "exactly one column", cols);
        tn_err_hint(err, "use JSON or DELIMITED for several columns");
        return TN_E_INVALID;
    }
    if (!is_none && !can_carry(format, spec->schema->fields[0].type->kind))
        return tn_err_set(err, TN_E_INVALID, "column '%.*s': %s format cannot carry its type",
                          TN_STR_FMT(spec->schema->fields[0].name), format->name);
    struct kafka_codec *codec = tn_alloc(sizeof *codec);
    codec->base.format = format;
    tn_arena_init(&codec->arena, 0);
    if (!is_none) {
        struct tn_field *field = TN_ARENA_NEW(&codec->arena, struct tn_field);
        field->name = tn_arena_str(&codec->arena, spec->schema->fields[0].name);
        field->type = tn_type_copy(&codec->arena, spec->schema->fields[0].type);
        codec->schema = (struct tn_schema){1, field};
        codec->needed = !spec->needed || spec->needed[0];
    }
    *ret_codec = &codec->base;
    return TN_OK;
}

static void kafka_close(struct tn_codec *base)
{
    struct kafka_codec *codec = (struct kafka_codec *)base;
    if (!codec)
        return;
    tn_arena_release(&codec->arena);
    tn_free(codec);
}

static const char *decode_value(struct tni_cw *cw, uint32_t row, struct tn_str input)
{
    double d;
    uint64_t bits;
    switch (cw->kind) {
    case TN_K_INTEGER:
        if (input.len != 4)
            return "an INTEGER takes exactly 4 bytes";
        tni_cw_i32(cw, row, (int32_t)tn_be32(input.ptr));
        return NULL;
    case TN_K_BIGINT:
        if (input.len != 8)
            return "a BIGINT takes exactly 8 bytes";
        tni_cw_i64(cw, row, (int64_t)tn_be64(input.ptr));
        return NULL;
    case TN_K_DOUBLE:
        if (input.len != 8)
            return "a DOUBLE takes exactly 8 bytes";
        bits = tn_be64(input.ptr);
        memcpy(&d, &bits, 8);
        tni_cw_f64(cw, row, d);
        return NULL;
    case TN_K_VARCHAR:
        if (!tn_utf8_ok(input.ptr, input.len))
            return "invalid UTF-8";
        tni_cw_text(cw, row, input);
        return NULL;
    default: tni_cw_text(cw, row, input); return NULL;
    }
}

static void kafka_decode(struct tn_codec *base, const struct tn_str *inputs, uint32_t rows_count,
                         struct tn_arena *arena, struct tn_decoded *ret_decoded)
{
    struct kafka_codec *codec = (struct kafka_codec *)base;
    bool is_none = codec->schema.fields_count == 0;
    struct tni_decode_run run;
    tni_decode_begin(&run, &codec->schema, &codec->needed, &codec->writer, rows_count, arena,
                     ret_decoded);
    for (uint32_t row = 0; !is_none && row < rows_count; row++) {
        struct tni_cw skipped = {.kind = codec->schema.fields[0].type->kind};
        const char *bad = NULL;
        if (!inputs[row].ptr)
            tni_decode_null(&run, row);
        else if (codec->needed)
            bad = decode_value(&codec->writer, row, inputs[row]);
        else if ((skipped.kind == TN_K_INTEGER && inputs[row].len != 4) ||
                 ((skipped.kind == TN_K_BIGINT || skipped.kind == TN_K_DOUBLE) &&
                  inputs[row].len != 8))
            bad = "wrong length for the column's type";
        if (bad)
            tni_decode_bad(&run, row, 0, bad, codec->schema.fields[0].name);
        if (codec->needed)
            tni_cw_row_end(&codec->writer, row);
    }
    tni_decode_finish(&run);
}

static void kafka_encode(struct tn_codec *base, const struct tn_column *columns,
                         uint32_t rows_count, const uint8_t *null_rows, struct tn_buf *buf,
                         size_t *ret_ends)
{
    const struct kafka_codec *codec = (const struct kafka_codec *)base;
    for (uint32_t row = 0; row < rows_count; row++) {
        bool is_null = codec->schema.fields_count == 0 ||
                       (null_rows && tn_bit_get(null_rows, row)) ||
                       tn_column_is_null(&columns[0], row);
        if (!is_null) {
            uint64_t bits;
            switch (columns[0].type->kind) {
            case TN_K_INTEGER:
                tn_buf_add_be32(buf, (uint32_t)tn_column_i32(&columns[0], row));
                break;
            case TN_K_BIGINT:
                tn_buf_add_be64(buf, (uint64_t)tn_column_i64(&columns[0], row));
                break;
            case TN_K_DOUBLE:
                memcpy(&bits, (const double *)columns[0].values + row, 8);
                tn_buf_add_be64(buf, bits);
                break;
            default: tn_buf_add_str(buf, tn_column_str(&columns[0], row)); break;
            }
        }
        ret_ends[row] = buf->len;
    }
}

const struct tn_format tn_format_kafka = {
    .name = "KAFKA",
    .flags = TN_FMT_KEY | TN_FMT_VALUE,
    .open = kafka_open,
    .close = kafka_close,
    .decode = kafka_decode,
    .encode = kafka_encode,
    .help = "one primitive as Kafka's serializers write it: big-endian numbers, UTF-8 text, bytes",
};

const struct tn_format tn_format_none = {
    .name = "NONE",
    .flags = TN_FMT_KEY,
    .open = kafka_open,
    .close = kafka_close,
    .decode = kafka_decode,
    .encode = kafka_encode,
    .help = "no key",
};

const struct tn_format tn_format_raw = {
    .name = "RAW",
    .flags = TN_FMT_KEY | TN_FMT_VALUE,
    .open = kafka_open,
    .close = kafka_close,
    .decode = kafka_decode,
    .encode = kafka_encode,
    .help = "the bytes unchanged in one BYTES or VARCHAR column",
};
