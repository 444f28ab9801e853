/* Result writers. Each row is printed into one bounded buffer that is handed to the sink when it
 * holds enough, so a result of any size needs constant memory and a small one is a single write.
 *
 * Cell printing is a switch over the kind per cell; the names of an object's members are escaped
 * once per result.
 *
 * Ownership: see writers.h. @thread the statement's */
#include "sql/writers.h"

#include <math.h>

#include "stream/base/base64.h"
#include "stream/base/decimal.h"
#include "stream/base/dtoa.h"
#include "stream/base/mem.h"
#include "stream/base/time.h"
#include "stream/base/zone.h"

#define FLUSH_BYTES   ((size_t)32 << 10)
#define ROW_BYTES_MAX ((size_t)256 << 20) /* one printed row */

struct tn_writer {
    struct tn_rows rows; /* first: tn_rows_of casts back */
    enum tn_result_format format;
    struct tn_byte_sink *sink;
    struct tn_buf buf;
    struct tn_buf names; /* escaped members: `"count":` */
    size_t *name_ends;
    uint32_t columns_count;
    bool has_columns;
    int64_t rows_count;
};

/* ---- cells ---- */

/* Time kinds: text of at most TN_TIME_TEXT_MAX bytes; fractions have three digits, six when they
 * need them. */
static void print_time(struct tn_buf *buf, const struct tn_column *col, uint32_t row, bool is_json)
{
    char text[TN_TIME_TEXT_MAX];
    size_t len = 0;
    enum tn_kind kind = col->type->kind;
    int64_t value = kind == TN_K_DATE ? tn_column_i32(col, row) : tn_column_i64(col, row);
    int precision = value % 1000 ? 6 : 3;
    const struct tn_zone *zone = kind == TN_K_TIMESTAMP_TZ ? col->type->zone : NULL;
    if (zone)
        value = tn_zone_to_local(zone, value);
    switch (kind) {
    case TN_K_DATE: len = tn_date_text((int32_t)value, text); break;
    case TN_K_TIME: len = tn_time_text(value, precision, text); break;
    case TN_K_INTERVAL_DAY: len = tn_interval_day_text(value, text); break;
    case TN_K_INTERVAL_YEAR: len = tn_interval_year_text(value, text); break;
    default: len = tn_timestamp_text(value, precision, ' ', text); break;
    }
    if (is_json)
        tn_buf_add_byte(buf, '"');
    tn_buf_add(buf, text, len);
    if (zone) {
        tn_buf_add_byte(buf, ' ');
        tn_buf_add_str(buf, tn_zone_name(zone));
    } else if (kind == TN_K_TIMESTAMP_TZ) {
        tn_buf_add_text(buf, " UTC");
    }
    if (is_json)
        tn_buf_add_byte(buf, '"');
}

static void print_list(struct tn_buf *buf, const struct tn_column *col, uint32_t row)
{
    tn_buf_add_byte(buf, '[');
    for (int32_t at = col->offsets[row]; at < col->offsets[row + 1]; at++) {
        if (at > col->offsets[row])
            tn_buf_add_byte(buf, ',');
        tn_cell_json(buf, &col->children[0], (uint32_t)at);
    }
    tn_buf_add_byte(buf, ']');
}

/* JSON members have text names: other key types are printed as text and quoted. */
static void print_map(struct tn_buf *buf, const struct tn_column *col, uint32_t row)
{
    struct tn_buf key;
    tn_buf_init(&key, ROW_BYTES_MAX);
    tn_buf_add_byte(buf, '{');
    for (int32_t at = col->offsets[row]; at < col->offsets[row + 1]; at++) {
        if (at > col->offsets[row])
            tn_buf_add_byte(buf, ',');
        tn_buf_reset(&key);
        tn_cell_text(&key, &col->children[0], (uint32_t)at);
        tn_buf_add_json(buf, tn_buf_str(&key));
        tn_buf_add_byte(buf, ':');
        tn_cell_json(buf, &col->children[1], (uint32_t)at);
    }
    tn_buf_add_byte(buf, '}');
    tn_buf_release(&key);
}

static void print_struct(struct tn_buf *buf, const struct tn_column *col, uint32_t row)
{
    tn_buf_add_byte(buf, '{');
    for (uint32_t i = 0; i < col->type->children_count; i++) {
        if (i)
            tn_buf_add_byte(buf, ',');
        tn_buf_add_json(buf, col->type->children[i].name);
        tn_buf_add_byte(buf, ':');
        tn_cell_json(buf, &col->children[i], row);
    }
    tn_buf_add_byte(buf, '}');
}

static void print_double(struct tn_buf *buf, double value, bool is_json)
{
    bool is_quoted = is_json && !isfinite(value);
    if (is_quoted)
        tn_buf_add_byte(buf, '"');
    tn_double_print(value, buf);
    if (is_quoted)
        tn_buf_add_byte(buf, '"');
}

static void print_text(struct tn_buf *buf, const struct tn_column *col, uint32_t row, bool is_json)
{
    if (is_json)
        tn_buf_add_json(buf, tn_column_str(col, row));
    else
        tn_buf_add_str(buf, tn_column_str(col, row));
}

static void print_bytes(struct tn_buf *buf, const struct tn_column *col, uint32_t row, bool is_json)
{
    if (is_json)
        tn_buf_add_byte(buf, '"');
    tn_base64_encode(tn_column_str(col, row), buf);
    if (is_json)
        tn_buf_add_byte(buf, '"');
}

static void print_cell(struct tn_buf *buf, const struct tn_column *col, uint32_t row, bool is_json)
{
    switch (col->type->kind) {
    case TN_K_BOOLEAN: tn_buf_add_text(buf, tn_column_bool(col, row) ? "true" : "false"); break;
    case TN_K_INTEGER: tn_buf_add_i64(buf, tn_column_i32(col, row)); break;
    case TN_K_BIGINT: tn_buf_add_i64(buf, tn_column_i64(col, row)); break;
    case TN_K_DOUBLE: {
        double value = tn_column_f64(col, row);
        print_double(buf, col->type->bits ? tn_real_shown(value) : value, is_json);
        break;
    }
    case TN_K_DECIMAL:
        tn_decimal_print(((const tn_int128 *)col->values)[row], col->type->scale, buf);
        break;
    case TN_K_VARCHAR: print_text(buf, col, row, is_json); break;
    case TN_K_JSON: tn_buf_add_str(buf, tn_column_str(col, row)); break;
    case TN_K_BYTES: print_bytes(buf, col, row, is_json); break;
    case TN_K_DATE:
    case TN_K_TIME:
    case TN_K_TIMESTAMP:
    case TN_K_TIMESTAMP_TZ:
    case TN_K_INTERVAL_DAY:
    case TN_K_INTERVAL_YEAR: print_time(buf, col, row, is_json); break;
    case TN_K_ARRAY: print_list(buf, col, row); break;
    case TN_K_MAP: print_map(buf, col, row); break;
    case TN_K_STRUCT: print_struct(buf, col, row); break;
    case TN_K_NULL:
    case TN_K_COUNT: break;
    }
}

void tn_cell_json(struct tn_buf *buf, const struct tn_column *col, uint32_t row)
{
    if (col->is_absent || tn_column_is_null(col, row) || col->type->kind == TN_K_NULL)
        tn_buf_add(buf, "null", 4);
    else
        print_cell(buf, col, row, true);
}

void tn_cell_text(struct tn_buf *buf, const struct tn_column *col, uint32_t row)
{
    if (!col->is_absent && !tn_column_is_null(col, row))
        print_cell(buf, col, row, false);
}

void tn_row_json(struct tn_buf *buf, const struct tn_batch *batch, uint32_t row)
{
    tn_buf_add_byte(buf, '{');
    for (uint32_t i = 0; i < batch->schema->fields_count; i++) {
        if (i)
            tn_buf_add_byte(buf, ',');
        tn_buf_add_json(buf, batch->schema->fields[i].name);
        tn_buf_add_byte(buf, ':');
        tn_cell_json(buf, &batch->columns[i], row);
    }
    tn_buf_add_byte(buf, '}');
}

/* ---- documents ---- */

static struct tn_writer *writer_of(struct tn_rows *rows)
{
    return (struct tn_writer *)rows;
}

enum tn_status tn_writer_flush(struct tn_writer *writer, struct tn_err *err)
{
    if (tn_buf_over(&writer->buf))
        return tn_err_set(err, TN_E_LIMIT, "a result row is larger than %zu bytes", ROW_BYTES_MAX);
    if (writer->buf.len == 0)
        return TN_OK;
    enum tn_status st = writer->sink->write(writer->sink, writer->buf.ptr, writer->buf.len, err);
    tn_buf_reset(&writer->buf);
    return st;
}

/* RFC 4180: quote when the text holds a quote, a comma, CR or LF; an empty text is quoted, NULL is
 * nothing. */
static void add_csv(struct tn_buf *buf, struct tn_str text)
{
    bool is_plain = text.len != 0;
    for (size_t i = 0; is_plain && i < text.len; i++)
        is_plain =
            text.ptr[i] != '"' && text.ptr[i] != ',' && text.ptr[i] != '\n' && text.ptr[i] != '\r';
    if (is_plain) {
        tn_buf_add_str(buf, text);
        return;
    }
    tn_buf_add_byte(buf, '"');
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '"')
            tn_buf_add_byte(buf, '"');
        tn_buf_add_byte(buf, text.ptr[i]);
    }
    tn_buf_add_byte(buf, '"');
}

static void csv_row(struct tn_writer *writer, const struct tn_batch *batch, uint32_t row)
{
    for (uint32_t i = 0; i < writer->columns_count; i++) {
        const struct tn_column *col = &batch->columns[i];
        if (i)
            tn_buf_add_byte(&writer->buf, ',');
        if (col->is_absent || tn_column_is_null(col, row))
            continue;
        enum tn_kind kind = col->type->kind;
        if (kind == TN_K_VARCHAR) {
            add_csv(&writer->buf, tn_column_str(col, row));
        } else if (kind == TN_K_JSON || tn_kind_is_nested(kind)) {
            struct tn_buf cell;
            tn_buf_init(&cell, ROW_BYTES_MAX);
            print_cell(&cell, col, row, false);
            add_csv(&writer->buf, tn_buf_str(&cell));
            tn_buf_release(&cell);
        } else {
            print_cell(&writer->buf, col, row, false);
        }
    }
    tn_buf_add(&writer->buf, "\r\n", 2);
}

static void ndjson_row(struct tn_writer *writer, const struct tn_batch *batch, uint32_t row)
{
    size_t at = 0;
    tn_buf_add_byte(&writer->buf, '{');
    for (uint32_t i = 0; i < writer->columns_count; i++) {
        tn_buf_add(&writer->buf, writer->names.ptr + at, writer->name_ends[i] - at);
        at = writer->name_ends[i];
        tn_cell_json(&writer->buf, &batch->columns[i], row);
    }
    tn_buf_add(&writer->buf, "}\n", 2);
}

static void json_row(struct tn_writer *writer, const struct tn_batch *batch, uint32_t row)
{
    tn_buf_add_text(&writer->buf, writer->rows_count ? ",\n[" : "\n[");
    for (uint32_t i = 0; i < writer->columns_count; i++) {
        if (i)
            tn_buf_add_byte(&writer->buf, ',');
        tn_cell_json(&writer->buf, &batch->columns[i], row);
    }
    tn_buf_add_byte(&writer->buf, ']');
}

static void begin_ndjson(struct tn_writer *writer, const struct tn_schema *schema)
{
    tn_free(writer->name_ends);
    writer->name_ends = tn_alloc_array(schema->fields_count + 1, sizeof *writer->name_ends);
    tn_buf_reset(&writer->names);
    for (uint32_t i = 0; i < schema->fields_count; i++) {
        if (i)
            tn_buf_add_byte(&writer->names, ',');
        tn_buf_add_json(&writer->names, schema->fields[i].name);
        tn_buf_add_byte(&writer->names, ':');
        writer->name_ends[i] = writer->names.len;
    }
}

static void begin_json(struct tn_writer *writer, const struct tn_schema *schema)
{
    struct tn_buf type;
    tn_buf_init(&type, 1 << 20);
    tn_buf_add_text(&writer->buf, "{\"columns\":[");
    for (uint32_t i = 0; i < schema->fields_count; i++) {
        tn_buf_reset(&type);
        tn_type_print_trino(schema->fields[i].type, &type);
        tn_buf_add_text(&writer->buf, i ? ",{\"name\":" : "{\"name\":");
        tn_buf_add_json(&writer->buf, schema->fields[i].name);
        tn_buf_add_text(&writer->buf, ",\"type\":");
        tn_buf_add_json(&writer->buf, tn_buf_str(&type));
        tn_buf_add_byte(&writer->buf, '}');
    }
    tn_buf_add_text(&writer->buf, "],\"rows\":[");
    tn_buf_release(&type);
}

static void begin_csv(struct tn_writer *writer, const struct tn_schema *schema)
{
    for (uint32_t i = 0; i < schema->fields_count; i++) {
        if (i)
            tn_buf_add_byte(&writer->buf, ',');
        add_csv(&writer->buf, schema->fields[i].name);
    }
    tn_buf_add(&writer->buf, "\r\n", 2);
}

static enum tn_status on_columns(struct tn_rows *rows, const struct tn_schema *schema,
                                 struct tn_err *err)
{
    struct tn_writer *writer = writer_of(rows);
    TN_ASSERT(!writer->has_columns);
    writer->has_columns = true;
    writer->columns_count = schema->fields_count;
    switch (writer->format) {
    case TN_RESULT_NDJSON: begin_ndjson(writer, schema); break;
    case TN_RESULT_JSON: begin_json(writer, schema); break;
    case TN_RESULT_CSV: begin_csv(writer, schema); break;
    }
    (void)err;
    return TN_OK;
}

static enum tn_status on_batch(struct tn_rows *rows, const struct tn_batch *batch,
                               struct tn_err *err)
{
    struct tn_writer *writer = writer_of(rows);
    TN_ASSERT(writer->has_columns && batch->schema->fields_count == writer->columns_count);
    for (uint32_t row = 0; row < batch->rows_count; row++) {
        switch (writer->format) {
        case TN_RESULT_NDJSON: ndjson_row(writer, batch, row); break;
        case TN_RESULT_JSON: json_row(writer, batch, row); break;
        case TN_RESULT_CSV: csv_row(writer, batch, row); break;
        }
        writer->rows_count++;
        if (writer->buf.len >= FLUSH_BYTES || tn_buf_over(&writer->buf))
            TN_TRY(tn_writer_flush(writer, err));
    }
    return TN_OK;
}

struct tn_writer *tn_writer_new(enum tn_result_format format, struct tn_byte_sink *sink)
{
    struct tn_writer *writer = tn_alloc(sizeof *writer);
    writer->rows = (struct tn_rows){.columns = on_columns, .batch = on_batch};
    writer->format = format;
    writer->sink = sink;
    tn_buf_init(&writer->buf, ROW_BYTES_MAX);
    tn_buf_init(&writer->names, 1 << 20);
    return writer;
}

void tn_writer_free(struct tn_writer *writer)
{
    if (!writer)
        return;
    tn_buf_release(&writer->buf);
    tn_buf_release(&writer->names);
    tn_free(writer->name_ends);
    tn_free(writer);
}

struct tn_rows *tn_writer_rows(struct tn_writer *writer)
{
    return &writer->rows;
}

enum tn_status tn_writer_finish(struct tn_writer *writer, struct tn_err *err)
{
    if (writer->format == TN_RESULT_JSON) {
        if (!writer->has_columns)
            tn_buf_add_text(&writer->buf, "{\"columns\":[],\"rows\":[");
        tn_buf_add_text(&writer->buf, writer->rows_count ? "\n]}\n" : "]}\n");
    }
    return tn_writer_flush(writer, err);
}

int64_t tn_writer_rows_count(const struct tn_writer *writer)
{
    return writer->rows_count;
}

const char *tn_result_content_type(enum tn_result_format format)
{
    switch (format) {
    case TN_RESULT_NDJSON: return "application/x-ndjson";
    case TN_RESULT_JSON: return "application/json";
    case TN_RESULT_CSV: return "text/csv; charset=utf-8; header=present";
    }
    return "";
}
