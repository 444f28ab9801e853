/* Canonical JSON out: every column in schema order, NULL as null, no spaces. DECIMAL with full
 * scale, DOUBLE as Java prints it (NaN and infinities as strings), DATE as epoch day, TIME as ms of
 * day, TIMESTAMP as epoch ms, BYTES as base64. */
#include "connectors/format_json.h"

#include <math.h>

#include "connectors/text_value.h"
#include "stream/base/base64.h"
#include "stream/base/decimal.h"
#include "stream/base/dtoa.h"

static void encode_double(double value, struct tn_buf *buf)
{
    bool is_word = isnan(value) || isinf(value);
    if (is_word)
        tn_buf_add_byte(buf, '"');
    tn_double_print(value, buf);
    if (is_word)
        tn_buf_add_byte(buf, '"');
}

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

static void encode_nested(const struct tn_column *col, uint32_t row, struct tn_buf *buf)
{
    const struct tn_type *type = col->type;
    if (type->kind == TN_K_STRUCT) {
        for (uint32_t i = 0; i < type->children_count; i++) {
            tn_buf_add_byte(buf, i ? ',' : '{');
            tn_buf_add_json(buf, type->children[i].name);
            tn_buf_add_byte(buf, ':');
            tni_json_encode_cell(&col->children[i], row, buf);
        }
        tn_buf_add_text(buf, type->children_count ? "}" : "{}");
        return;
    }
    bool is_map = type->kind == TN_K_MAP;
    tn_buf_add_byte(buf, is_map ? '{' : '[');
    for (int32_t i = col->offsets[row]; i < col->offsets[row + 1]; i++) {
        if (i > col->offsets[row])
            tn_buf_add_byte(buf, ',');
        if (is_map) {
            bool is_text = type->children[0].type->kind == TN_K_VARCHAR;
            if (!is_text)
                tn_buf_add_byte(buf, '"');
            tni_json_encode_cell(&col->children[0], (uint32_t)i, buf);
            if (!is_text)
                tn_buf_add_byte(buf, '"');
            tn_buf_add_byte(buf, ':');
        }
        tni_json_encode_cell(&col->children[is_map], (uint32_t)i, buf);
    }
    tn_buf_add_byte(buf, is_map ? '}' : ']');
}

void tni_json_encode_cell(const struct tn_column *col, uint32_t row, struct tn_buf *buf)
{
    if (col->is_absent || tn_column_is_null(col, row)) {
        tn_buf_add_text(buf, "null");
        return;
    }
    switch (col->type->kind) {
    case TN_K_BOOLEAN: tn_buf_add_text(buf, tn_column_bool(col, row) ? "true" : "false"); break;
    case TN_K_INTEGER:
    case TN_K_DATE: tn_buf_add_i64(buf, tn_column_i32(col, row)); break;
    case TN_K_TIME:
    case TN_K_TIMESTAMP:
    case TN_K_TIMESTAMP_TZ: tn_buf_add_i64(buf, floor_div(tn_column_i64(col, row), 1000)); break;
    case TN_K_DOUBLE: encode_double(tn_column_f64(col, row), buf); break;
    case TN_K_DECIMAL:
        tn_decimal_print(((const tn_int128 *)col->values)[row], col->type->scale, buf);
        break;
    case TN_K_VARCHAR: tn_buf_add_json(buf, tn_column_str(col, row)); break;
    case TN_K_JSON: tn_buf_add_str(buf, tn_column_str(col, row)); break;
    case TN_K_BYTES:
        tn_buf_add_byte(buf, '"');
        tn_base64_encode(tn_column_str(col, row), buf);
        tn_buf_add_byte(buf, '"');
        break;
    case TN_K_ARRAY:
    case TN_K_MAP:
    case TN_K_STRUCT: encode_nested(col, row, buf); break;
    case TN_K_NULL: tn_buf_add_text(buf, "null"); break;
    default: tn_buf_add_i64(buf, tn_column_i64(col, row)); break;
    }
}

void tni_json_encode(struct tn_codec *base, const struct tn_column *columns, uint32_t rows_count,
                     const uint8_t *null_rows, struct tn_buf *buf, size_t *ret_ends)
{
    const struct tni_json_codec *codec = (const struct tni_json_codec *)base;
    uint32_t cols = codec->schema.fields_count;
    for (uint32_t row = 0; row < rows_count; row++) {
        if (!(null_rows && tn_bit_get(null_rows, row))) {
            for (uint32_t c = 0; c < cols; c++) {
                tn_buf_add_str(buf, codec->prefixes[c]);
                tni_json_encode_cell(&columns[c], row, buf);
            }
            if (!codec->is_bare)
                tn_buf_add_text(buf, cols ? "}" : "{}");
        }
        ret_ends[row] = buf->len;
    }
}
