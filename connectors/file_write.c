/* Rows as text. Contract: connectors/file_write.h. */
#include "connectors/file_write.h"

#include "connectors/format_json.h"
#include "stream/base/base64.h"
#include "stream/base/decimal.h"
#include "stream/base/time.h"

#define HIVE_NULL "__HIVE_DEFAULT_PARTITION__"

/* Digits of the fraction that the instant needs: 0, 3 or 6. */
static int precision_of(int64_t us)
{
    return us % TN_US_PER_SECOND == 0 ? 0 : us % TN_US_PER_MS == 0 ? 3 : 6;
}

static bool add_time(const struct tn_column *col, uint32_t row, struct tn_buf *buf)
{
    char text[TN_TIME_TEXT_MAX];
    size_t len;
    switch (col->type->kind) {
    case TN_K_DATE: len = tn_date_text(tn_column_i32(col, row), text); break;
    case TN_K_TIME:
        len = tn_time_text(tn_column_i64(col, row), precision_of(tn_column_i64(col, row)), text);
        break;
    case TN_K_TIMESTAMP:
    case TN_K_TIMESTAMP_TZ:
        len = tn_timestamp_text(tn_column_i64(col, row), precision_of(tn_column_i64(col, row)), 'T',
                                text);
        text[len++] = 'Z';
        break;
    default: return false;
    }
    tn_buf_add(buf, text, len);
    return true;
}

static bool is_time(enum tn_kind kind)
{
    return kind == TN_K_DATE || kind == TN_K_TIME || kind == TN_K_TIMESTAMP ||
           kind == TN_K_TIMESTAMP_TZ;
}

static void json_row(const struct tn_file_layout *layout, const struct tn_column *columns,
                     uint32_t row, struct tn_buf *buf)
{
    char separator = '{';
    for (uint32_t c = 0; c < layout->schema->fields_count; c++) {
        if (tn_column_is_null(&columns[c], row))
            continue;
        tn_buf_add_byte(buf, separator);
        separator = ',';
        tn_buf_add_json(buf, layout->schema->fields[c].name);
        tn_buf_add_byte(buf, ':');
        if (is_time(columns[c].type->kind)) {
            tn_buf_add_byte(buf, '"');
            (void)add_time(&columns[c], row, buf);
            tn_buf_add_byte(buf, '"');
        } else {
            tni_json_encode_cell(&columns[c], row, buf);
        }
    }
    tn_buf_add_text(buf, separator == '{' ? "{}\n" : "}\n");
}

static void csv_text(const struct tn_file_layout *layout, struct tn_str text, struct tn_buf *buf)
{
    bool needs_quotes = text.len == 0;
    for (size_t i = 0; i < text.len && !needs_quotes; i++) {
        char c = text.ptr[i];
        needs_quotes = c == layout->separator || c == layout->quote || c == layout->escape ||
                       c == '\n' || c == '\r';
    }
    if (!needs_quotes) {
        tn_buf_add_str(buf, text);
        return;
    }
    tn_buf_add_byte(buf, layout->quote);
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == layout->quote || text.ptr[i] == layout->escape)
            tn_buf_add_byte(buf, layout->escape);
        tn_buf_add_byte(buf, text.ptr[i]);
    }
    tn_buf_add_byte(buf, layout->quote);
}

static void csv_cell(const struct tn_file_layout *layout, const struct tn_column *col, uint32_t row,
                     struct tn_buf *buf)
{
    if (tn_column_is_null(col, row) || add_time(col, row, buf))
        return;
    if (col->type->kind == TN_K_VARCHAR || col->type->kind == TN_K_JSON) {
        csv_text(layout, tn_column_str(col, row), buf);
        return;
    }
    if (col->type->kind == TN_K_BYTES) {
        if (tn_column_str(col, row).len == 0)
            csv_text(layout, TN_STR(""), buf);
        tn_base64_encode(tn_column_str(col, row), buf);
        return;
    }
    size_t from = buf->len;
    tni_json_encode_cell(col, row, buf);
    if (!tn_buf_over(buf) && buf->len > from + 1 && buf->ptr[from] == '"') { /* "NaN" */
        memmove(buf->ptr + from, buf->ptr + from + 1, buf->len - from - 2);
        buf->len -= 2;
    }
}

void tn_file_write_rows(const struct tn_file_layout *layout, const struct tn_column *columns,
                        uint32_t from, uint32_t count, struct tn_buf *buf)
{
    for (uint32_t row = from; row < from + count; row++) {
        if (layout->format == TN_FILE_JSON) {
            json_row(layout, columns, row, buf);
            continue;
        }
        for (uint32_t c = 0; c < layout->schema->fields_count; c++) {
            if (c)
                tn_buf_add_byte(buf, layout->separator);
            csv_cell(layout, &columns[c], row, buf);
        }
        tn_buf_add_byte(buf, '\n');
    }
}

/* ---- partitions ---- */

bool tn_file_part_is_kind(enum tn_kind kind)
{
    return kind == TN_K_VARCHAR || kind == TN_K_BOOLEAN || kind == TN_K_INTEGER ||
           kind == TN_K_BIGINT || kind == TN_K_DECIMAL || kind == TN_K_DATE ||
           kind == TN_K_TIMESTAMP;
}

struct tn_str tn_file_part_text(const struct tn_column *col, uint32_t row, struct tn_arena *arena)
{
    char text[TN_TIME_TEXT_MAX];
    if (tn_column_is_null(col, row))
        return (struct tn_str){NULL, 0};
    switch (col->type->kind) {
    case TN_K_VARCHAR: return tn_column_str(col, row);
    case TN_K_BOOLEAN: return tn_column_bool(col, row) ? TN_STR("true") : TN_STR("false");
    case TN_K_INTEGER: return tn_str_of(tn_arena_printf(arena, "%d", tn_column_i32(col, row)));
    case TN_K_DATE: {
        size_t len = tn_date_text(tn_column_i32(col, row), text);
        return tn_arena_str(arena, (struct tn_str){text, len});
    }
    case TN_K_TIMESTAMP: {
        int64_t us = tn_column_i64(col, row);
        size_t len = tn_timestamp_text(us, us % TN_US_PER_MS ? 6 : 3, ' ', text);
        return tn_arena_str(arena, (struct tn_str){text, len});
    }
    case TN_K_DECIMAL: {
        struct tn_buf buf;
        tn_buf_init(&buf, 256);
        struct tn_value value = tn_column_value(col, row, arena);
        tn_decimal_print(value.dec, col->type->scale, &buf);
        struct tn_str out = tn_arena_str(arena, tn_buf_str(&buf));
        tn_buf_release(&buf);
        return out;
    }
    default: return tn_str_of(tn_arena_printf(arena, "%lld", (long long)tn_column_i64(col, row)));
    }
}

void tn_file_part_escape(struct tn_str value, struct tn_buf *buf)
{
    if (!value.ptr || value.len == 0) {
        tn_buf_add_text(buf, HIVE_NULL);
        return;
    }
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.ptr[i];
        if (c <= 0x20 || c >= 0x7f || strchr("\"#%'*/:=?\\{[]^", c))
            tn_buf_printf(buf, "%%%02X", c);
        else
            tn_buf_add_byte(buf, (char)c);
    }
    if (value.len == 1 && value.ptr[0] == '.') /* no folder may be called "." */
        buf->len--, tn_buf_add_text(buf, "%2E");
}
