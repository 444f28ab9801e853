/* DELIMITED format: one CSV line (RFC 4180 quoting). Reading: the column count must match exactly;
 * an empty or "" field is NULL; BOOLEAN is true for any case of "true", else false; numbers, times
 * and BYTES as their JSON text. Only the first line of a record counts. Writing: NULL is nothing;
 * the quoting rules of ksqlDB's writer. */
#include <string.h>

#include "connectors/decode_run.h"
#include "connectors/format_json.h"
#include "connectors/formats.h"
#include "connectors/text_value.h"
#include "stream/base/base64.h"
#include "stream/base/decimal.h"
#include "stream/base/dtoa.h"
#include "stream/base/mem.h"
#include "stream/base/utf8.h"
#include "stream/records.h"

struct delimited_codec {
    struct tn_codec base;
    struct tn_arena arena;
    struct tn_schema schema;
    bool *needed;
    char delimiter;
    bool is_lenient;
    struct tni_cw *writers;
    struct tn_buf scratch;
};

static enum tn_status delimited_open(const struct tn_format *format,
                                     const struct tn_codec_spec *spec, struct tn_codec **ret_codec,
                                     struct tn_err *err)
{
    uint32_t cols = spec->schema->fields_count;
    for (uint32_t c = 0; c < cols; c++)
        if (tn_kind_is_nested(spec->schema->fields[c].type->kind))
            return tn_err_set(err, TN_E_INVALID,
                              "column '%.*s': DELIMITED format carries scalar types only",
                              TN_STR_FMT(spec->schema->fields[c].name));
    struct delimited_codec *codec = tn_alloc(sizeof *codec);
    codec->base.format = format;
    tn_arena_init(&codec->arena, 0);
    struct tn_field *fields = TN_ARENA_ARRAY(&codec->arena, struct tn_field, cols);
    codec->needed = TN_ARENA_ARRAY(&codec->arena, bool, cols);
    for (uint32_t c = 0; c < cols; c++) {
        fields[c].name = tn_arena_str(&codec->arena, spec->schema->fields[c].name);
        fields[c].type = tn_type_copy(&codec->arena, spec->schema->fields[c].type);
        codec->needed[c] = !spec->needed || spec->needed[c];
    }
    codec->schema = (struct tn_schema){cols, fields};
    codec->delimiter = spec->delimiter ? spec->delimiter : ',';
    codec->is_lenient = spec->is_lenient;
    codec->writers = TN_ARENA_ARRAY(&codec->arena, struct tni_cw, cols);
    tn_buf_init(&codec->scratch, TN_RECORD_BYTES_MAX * 2);
    *ret_codec = &codec->base;
    return TN_OK;
}

static void delimited_close(struct tn_codec *base)
{
    struct delimited_codec *codec = (struct delimited_codec *)base;
    if (!codec)
        return;
    tn_buf_release(&codec->scratch);
    tn_arena_release(&codec->arena);
    tn_free(codec);
}

/* Next field of [*p, end): text (unquoted into scratch where needed). False: unbalanced quote.
 * *ret_more: a delimiter followed. */
static bool next_field(struct delimited_codec *codec, const char **p, const char *end,
                       struct tn_str *ret_text, bool *ret_more)
{
    const char *from = *p, *at = from;
    if (at < end && *at == '"') {
        tn_buf_reset(&codec->scratch);
        for (at++;;) {
            const char *quote = memchr(at, '"', (size_t)(end - at));
            if (!quote)
                return false;
            tn_buf_add(&codec->scratch, at, (size_t)(quote - at));
            at = quote + 1;
            if (at >= end || *at != '"')
                break;
            tn_buf_add_byte(&codec->scratch, '"');
            at++;
        }
        *ret_text = tn_buf_str(&codec->scratch);
        if (at < end && *at != codec->delimiter && *at != '\r' && *at != '\n')
            return false;
    } else {
        while (at < end && *at != codec->delimiter && *at != '\r' && *at != '\n')
            at++;
        *ret_text = (struct tn_str){from, (size_t)(at - from)};
    }
    *ret_more = at < end && *at == codec->delimiter;
    *p = at + *ret_more;
    return true;
}

static const char *store_field(struct tni_cw *cw, uint32_t row, struct tn_str text)
{
    if (text.len == 0)
        return NULL;
    if (cw->kind == TN_K_BOOLEAN) {
        tni_cw_bool(cw, row, tn_str_eq_nocase(text, TN_STR("true")));
        return NULL;
    }
    if (cw->kind == TN_K_VARCHAR || cw->kind == TN_K_JSON) {
        if (!tn_utf8_ok(text.ptr, text.len))
            return "invalid UTF-8";
        tni_cw_text(cw, row, text);
        return NULL;
    }
    if (cw->kind == TN_K_BYTES) {
        char *to = tni_cw_text_begin(cw, row, text.len);
        int64_t n = tn_base64_decode_strict(text, to);
        if (n < 0)
            return "expected base64 text";
        tni_cw_text_end(cw, row, (size_t)n);
        return NULL;
    }
    return tni_text_store_number(cw, row, text, false);
}

static const char *decode_line(struct delimited_codec *codec, struct tn_str input, uint32_t row,
                               const char **ret_at, int *ret_col)
{
    const char *p = input.ptr, *end = input.ptr + input.len;
    uint32_t cols = codec->schema.fields_count;
    bool more = true;
    *ret_col = -1;
    *ret_at = p;
    if (p == end)
        return "empty record";
    for (uint32_t c = 0; c < cols; c++) {
        struct tn_str text;
        *ret_at = p;
        if (!more)
            return "fewer fields than columns";
        if (!next_field(codec, &p, end, &text, &more))
            return "quote without end";
        if (!codec->needed[c])
            continue;
        const char *bad = store_field(&codec->writers[c], row, text);
        if (bad && !codec->is_lenient) {
            *ret_col = (int)c;
            return bad;
        }
    }
    *ret_at = p;
    return more ? "more fields than columns" : NULL;
}

static void delimited_decode(struct tn_codec *base, const struct tn_str *inputs,
                             uint32_t rows_count, struct tn_arena *arena,
                             struct tn_decoded *ret_decoded)
{
    struct delimited_codec *codec = (struct delimited_codec *)base;
    uint32_t cols = codec->schema.fields_count;
    struct tni_decode_run run;
    tni_decode_begin(&run, &codec->schema, codec->needed, codec->writers, rows_count, arena,
                     ret_decoded);
    for (uint32_t row = 0; row < rows_count; row++) {
        const char *at = NULL;
        int col = -1;
        const char *bad = inputs[row].ptr ? decode_line(codec, inputs[row], row, &at, &col) : NULL;
        if (bad)
            tni_decode_bad(&run, row, at - inputs[row].ptr, bad,
                           col < 0 ? (struct tn_str){0} : codec->schema.fields[col].name);
        else if (!inputs[row].ptr)
            tni_decode_null(&run, row);
        for (uint32_t c = 0; c < cols; c++)
            if (codec->needed[c])
                tni_cw_row_end(&codec->writers[c], row);
    }
    tni_decode_finish(&run);
}

/* ksqlDB's writer (commons-csv minimal quoting): see streaming format rules in
 * connectors/README.md. */
static bool needs_quotes(struct tn_str text, bool is_first, char delimiter)
{
    if (text.len == 0)
        return is_first;
    unsigned char head = (unsigned char)text.ptr[0], tail = (unsigned char)text.ptr[text.len - 1];
    bool is_plain_head = (head >= '0' && head <= '9') || (head >= 'A' && head <= 'Z') ||
                         (head >= 'a' && head <= 'z');
    if ((is_first && !is_plain_head) || head <= '#' || tail <= ' ')
        return true;
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] == '\r' || text.ptr[i] == '\n' || text.ptr[i] == '"' ||
            text.ptr[i] == delimiter)
            return true;
    return false;
}

static void write_quoted(struct tn_str text, struct tn_buf *buf)
{
    tn_buf_add_byte(buf, '"');
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '"')
            tn_buf_add_byte(buf, '"');
        tn_buf_add_byte(buf, text.ptr[i]);
    }
    tn_buf_add_byte(buf, '"');
}

static void cell_text(const struct tn_column *col, uint32_t row, struct tn_buf *buf)
{
    switch (col->type->kind) {
    case TN_K_VARCHAR: tn_buf_add_str(buf, tn_column_str(col, row)); break;
    case TN_K_BYTES: tn_base64_encode(tn_column_str(col, row), buf); break;
    case TN_K_DOUBLE: tn_double_print(tn_column_f64(col, row), buf); break;
    default: tni_json_encode_cell(col, row, buf); break;
    }
}

static void delimited_encode(struct tn_codec *base, const struct tn_column *columns,
                             uint32_t rows_count, const uint8_t *null_rows, struct tn_buf *buf,
                             size_t *ret_ends)
{
    struct delimited_codec *codec = (struct delimited_codec *)base;
    for (uint32_t row = 0; row < rows_count; row++) {
        for (uint32_t c = 0; c < codec->schema.fields_count; c++) {
            if (null_rows && tn_bit_get(null_rows, row))
                break;
            if (c)
                tn_buf_add_byte(buf, codec->delimiter);
            if (columns[c].is_absent || tn_column_is_null(&columns[c], row))
                continue;
            tn_buf_reset(&codec->scratch);
            cell_text(&columns[c], row, &codec->scratch);
            struct tn_str text = tn_buf_str(&codec->scratch);
            if (needs_quotes(text, c == 0, codec->delimiter))
                write_quoted(text, buf);
            else
                tn_buf_add_str(buf, text);
        }
        ret_ends[row] = buf->len;
    }
}

const struct tn_format tn_format_delimited = {
    .name = "DELIMITED",
    .flags = TN_FMT_KEY | TN_FMT_VALUE | TN_FMT_MULTI,
    .open = delimited_open,
    .close = delimited_close,
    .decode = delimited_decode,
    .encode = delimited_encode,
    .help = "one CSV line; VALUE_DELIMITER, KEY_DELIMITER set the separator",
};
