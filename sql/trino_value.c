/* One value as Trino prints it in a page: integers with all digits, doubles always with a point or
 * an exponent, everything that JSON has no token for as text, rows and arrays as arrays.
 *
 * Differs from the plain writers (writers.h): exactly as many fraction digits as the type says,
 * rows as arrays, JSON values as text. @thread any */
#include <math.h>

#include "sql/trino_int.h"
#include "sql/writers.h"
#include "stream/base/decimal.h"
#include "stream/base/dtoa.h"
#include "stream/base/time.h"
#include "stream/base/zone.h"

#define KEY_BYTES_MAX ((size_t)16 << 20)

/* Older clients know milliseconds only: half up. */
static int64_t to_millis(int64_t us)
{
    return us > INT64_MAX - 500 ? us : tn_floor_div(us + 500, 1000) * 1000;
}

static void print_time(struct tn_buf *buf, const struct tn_column *col, uint32_t row,
                       bool has_datetime)
{
    char text[TN_TIME_TEXT_MAX];
    size_t len;
    enum tn_kind kind = col->type->kind;
    int64_t value = kind == TN_K_DATE ? tn_column_i32(col, row) : tn_column_i64(col, row);
    int precision = has_datetime ? col->type->precision : 3;
    bool is_stamp = kind == TN_K_TIMESTAMP || kind == TN_K_TIMESTAMP_TZ;
    const struct tn_zone *zone = kind == TN_K_TIMESTAMP_TZ ? col->type->zone : NULL;
    if (zone)
        value = tn_zone_to_local(zone, value);
    if (!has_datetime && (is_stamp || kind == TN_K_TIME))
        value = to_millis(value);
    switch (kind) {
    case TN_K_DATE: len = tn_date_text((int32_t)value, text); break;
    case TN_K_TIME: len = tn_time_text(value, precision, text); break;
    case TN_K_INTERVAL_DAY: len = tn_interval_day_text(value, text); break;
    case TN_K_INTERVAL_YEAR: len = tn_interval_year_text(value, text); break;
    default: len = tn_timestamp_text(value, precision, ' ', text); break;
    }
    tn_buf_add(buf, text, len);
    if (zone) {
        tn_buf_add_byte(buf, ' ');
        tn_buf_add_str(buf, tn_zone_name(zone));
    } else if (kind == TN_K_TIMESTAMP_TZ) {
        tn_buf_add_text(buf, " UTC");
    }
}

static void print_list(struct tn_buf *buf, const struct tn_column *col, uint32_t row,
                       bool has_datetime)
{
    tn_buf_add_byte(buf, '[');
    for (int32_t at = col->offsets[row]; at < col->offsets[row + 1]; at++) {
        if (at > col->offsets[row])
            tn_buf_add_byte(buf, ',');
        tni_trino_cell(buf, &col->children[0], (uint32_t)at, has_datetime);
    }
    tn_buf_add_byte(buf, ']');
}

/* Keys are texts, whatever their type. */
static void print_map(struct tn_buf *buf, const struct tn_column *col, uint32_t row,
                      bool has_datetime)
{
    struct tn_buf key;
    const struct tn_column *keys = &col->children[0];
    tn_buf_init(&key, KEY_BYTES_MAX);
    tn_buf_add_byte(buf, '{');
    for (int32_t at = col->offsets[row]; at < col->offsets[row + 1]; at++) {
        if (at > col->offsets[row])
            tn_buf_add_byte(buf, ',');
        tn_buf_reset(&key);
        tni_trino_cell(&key, keys, (uint32_t)at, has_datetime);
        if (key.len && key.ptr[0] == '"')
            tn_buf_add_str(buf, tn_buf_str(&key));
        else
            tn_buf_add_json(buf, tn_buf_str(&key));
        tn_buf_add_byte(buf, ':');
        tni_trino_cell(buf, &col->children[1], (uint32_t)at, has_datetime);
    }
    tn_buf_add_byte(buf, '}');
    tn_buf_release(&key);
}

static void print_row(struct tn_buf *buf, const struct tn_column *col, uint32_t row,
                      bool has_datetime)
{
    tn_buf_add_byte(buf, '[');
    for (uint32_t i = 0; i < col->type->children_count; i++) {
        if (i)
            tn_buf_add_byte(buf, ',');
        tni_trino_cell(buf, &col->children[i], row, has_datetime);
    }
    tn_buf_add_byte(buf, ']');
}

static void print_double(struct tn_buf *buf, double value)
{
    if (isfinite(value)) {
        tn_double_print(value, buf);
        return;
    }
    tn_buf_add_byte(buf, '"');
    tn_double_print(value, buf);
    tn_buf_add_byte(buf, '"');
}

static void print_quoted(struct tn_buf *buf, const struct tn_column *col, uint32_t row,
                         bool has_datetime)
{
    tn_buf_add_byte(buf, '"');
    if (col->type->kind == TN_K_DECIMAL)
        tn_decimal_print(((const tn_int128 *)col->values)[row], col->type->scale, buf);
    else
        print_time(buf, col, row, has_datetime);
    tn_buf_add_byte(buf, '"');
}

void tni_trino_cell(struct tn_buf *buf, const struct tn_column *col, uint32_t row,
                    bool has_datetime)
{
    if (col->is_absent || tn_column_is_null(col, row)) {
        tn_buf_add(buf, "null", 4);
        return;
    }
    switch (col->type->kind) {
    case TN_K_BOOLEAN: tn_buf_add_text(buf, tn_column_bool(col, row) ? "true" : "false"); break;
    case TN_K_INTEGER: tn_buf_add_i64(buf, tn_column_i32(col, row)); break;
    case TN_K_BIGINT: tn_buf_add_i64(buf, tn_column_i64(col, row)); break;
    case TN_K_DOUBLE: {
        double value = tn_column_f64(col, row);
        print_double(buf, col->type->bits ? tn_real_shown(value) : value);
        break;
    }
    case TN_K_VARCHAR:
    case TN_K_JSON: tn_buf_add_json(buf, tn_column_str(col, row)); break;
    case TN_K_BYTES: tn_cell_json(buf, col, row); break;
    case TN_K_DECIMAL:
    case TN_K_DATE:
    case TN_K_TIME:
    case TN_K_TIMESTAMP:
    case TN_K_TIMESTAMP_TZ:
    case TN_K_INTERVAL_DAY:
    case TN_K_INTERVAL_YEAR: print_quoted(buf, col, row, has_datetime); break;
    case TN_K_ARRAY: print_list(buf, col, row, has_datetime); break;
    case TN_K_MAP: print_map(buf, col, row, has_datetime); break;
    case TN_K_STRUCT: print_row(buf, col, row, has_datetime); break;
    case TN_K_NULL:
    case TN_K_COUNT: tn_buf_add(buf, "null", 4); break;
    }
}
