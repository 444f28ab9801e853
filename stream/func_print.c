/* Values as text: what CAST to VARCHAR or STRING gives under each rule set, and JSON.
 *
 *                stream rules                    query rules
 *   DOUBLE       100.0, 1.0E7                    1.0E2, 1.0E7
 *   TIMESTAMP    2024-01-02T03:04:05.678         2024-01-02 03:04:05.678
 *   TIME         03:04 or 03:04:05[.678]         03:04:05.678
 *   BYTES        base64                          –
 *   ARRAY, MAP   [1, 3], {k=1}                   JSON
 *   STRUCT       Struct{A=1,B=x}                 JSON
 * @thread any */
#include "stream/base/base64.h"
#include "stream/base/dtoa.h"
#include "stream/base/time.h"
#include "stream/func_int.h"

/* java.time.LocalTime.toString: seconds and millis only when they are not zero. */
static size_t short_time(int64_t us, char *text)
{
    size_t len = tn_time_text(us, 3, text);
    if (us % TN_US_PER_SECOND / 1000)
        return len;
    return us % TN_US_PER_MINUTE ? 8 : 5;
}

static void print_time_kind(const struct tn_value *value, enum tn_rules rules, struct tn_buf *buf)
{
    char text[TN_TIME_TEXT_MAX];
    size_t len = 0;
    bool is_stream = rules == TN_RULES_STREAM;
    int precision = value->type->precision;
    switch (value->type->kind) {
    case TN_K_DATE: len = tn_date_text((int32_t)value->i, text); break;
    case TN_K_TIME:
        len = is_stream ? short_time(value->i, text) : tn_time_text(value->i, precision, text);
        break;
    case TN_K_TIMESTAMP:
    case TN_K_TIMESTAMP_TZ:
        len = tn_timestamp_text(value->i, is_stream ? 3 : precision, is_stream ? 'T' : ' ', text);
        break;
    case TN_K_INTERVAL_DAY: len = tn_interval_day_text(value->i, text); break;
    default: len = tn_interval_year_text(value->i, text); break;
    }
    tn_buf_add(buf, text, len);
    if (value->type->kind == TN_K_TIMESTAMP_TZ)
        tn_buf_add_text(buf, " UTC");
}

static void print_item(const struct tn_value *value, enum tn_rules rules, struct tn_buf *buf)
{
    if (value->is_null)
        tn_buf_add_text(buf, "null");
    else
        tni_value_print(value, rules, buf);
}

static void print_nested(const struct tn_value *value, struct tn_buf *buf)
{
    enum tn_kind kind = value->type->kind;
    static const char *const opens[] = {"[", "{", "Struct{"};
    tn_buf_add_text(buf, opens[kind - TN_K_ARRAY]);
    uint32_t step = kind == TN_K_MAP ? 2 : 1;
    for (uint32_t i = 0; i < value->list.count; i += step) {
        if (i)
            tn_buf_add_text(buf, kind == TN_K_STRUCT ? "," : ", ");
        if (kind == TN_K_STRUCT)
            tn_buf_add_str(buf, value->type->children[i].name);
        else if (kind == TN_K_MAP)
            print_item(&value->list.items[i], TN_RULES_STREAM, buf);
        if (kind != TN_K_ARRAY)
            tn_buf_add_byte(buf, '=');
        print_item(&value->list.items[i + step - 1], TN_RULES_STREAM, buf);
    }
    tn_buf_add_byte(buf, kind == TN_K_ARRAY ? ']' : '}');
}

void tni_value_print(const struct tn_value *value, enum tn_rules rules, struct tn_buf *buf)
{
    char text[TN_DOUBLE_TEXT_MAX];
    switch (value->type->kind) {
    case TN_K_NULL: tn_buf_add_text(buf, "null"); break;
    case TN_K_BOOLEAN: tn_buf_add_text(buf, value->b ? "true" : "false"); break;
    case TN_K_INTEGER:
    case TN_K_BIGINT: tn_buf_add_i64(buf, value->i); break;
    case TN_K_DOUBLE:
        if (rules == TN_RULES_STREAM)
            tn_double_print(value->d, buf);
        else
            tn_buf_add(buf, text, tn_double_text_exponent(value->d, text));
        break;
    case TN_K_DECIMAL: tn_decimal_print(value->dec, value->type->scale, buf); break;
    case TN_K_VARCHAR:
    case TN_K_JSON: tn_buf_add_str(buf, value->s); break;
    case TN_K_BYTES: tn_base64_encode(value->s, buf); break;
    case TN_K_ARRAY:
    case TN_K_MAP:
    case TN_K_STRUCT:
        if (rules == TN_RULES_STREAM)
            print_nested(value, buf);
        else
            tni_value_json(value, rules, buf);
        break;
    default: print_time_kind(value, rules, buf);
    }
}

/* ---- JSON ---- */

static void json_key(const struct tn_value *key, enum tn_rules rules, struct tn_buf *buf)
{
    struct tn_buf text;
    if (!key->is_null && key->type->kind == TN_K_VARCHAR) {
        tn_buf_add_json(buf, key->s);
        return;
    }
    tn_buf_init(&text, 1 << 20);
    print_item(key, rules, &text);
    tn_buf_add_json(buf, tn_buf_str(&text));
    tn_buf_release(&text);
}

static void json_nested(const struct tn_value *value, enum tn_rules rules, struct tn_buf *buf)
{
    enum tn_kind kind = value->type->kind;
    /* a row is an array in Trino's CAST to JSON only when its fields have no names */
    bool is_object = kind == TN_K_MAP || (kind == TN_K_STRUCT && value->list.count > 0 &&
                                          value->type->children[0].name.len > 0);
    uint32_t step = kind == TN_K_MAP ? 2 : 1;
    tn_buf_add_byte(buf, is_object ? '{' : '[');
    for (uint32_t i = 0; i < value->list.count; i += step) {
        if (i)
            tn_buf_add_byte(buf, ',');
        if (kind == TN_K_MAP)
            json_key(&value->list.items[i], rules, buf);
        else if (is_object)
            tn_buf_add_json(buf, value->type->children[i].name);
        if (is_object)
            tn_buf_add_byte(buf, ':');
        tni_value_json(&value->list.items[i + step - 1], rules, buf);
    }
    tn_buf_add_byte(buf, is_object ? '}' : ']');
}

void tni_value_json(const struct tn_value *value, enum tn_rules rules, struct tn_buf *buf)
{
    if (value->is_null) {
        tn_buf_add_text(buf, "null");
        return;
    }
    switch (value->type->kind) {
    case TN_K_NULL:
    case TN_K_BOOLEAN:
    case TN_K_INTEGER:
    case TN_K_BIGINT:
    case TN_K_DECIMAL:
    case TN_K_JSON: tni_value_print(value, rules, buf); break;
    case TN_K_DOUBLE:
        if (!isfinite(value->d))
            tn_buf_add_byte(buf, '"');
        tn_double_print(value->d, buf);
        if (!isfinite(value->d))
            tn_buf_add_byte(buf, '"');
        break;
    case TN_K_VARCHAR: tn_buf_add_json(buf, value->s); break;
    case TN_K_ARRAY:
    case TN_K_MAP:
    case TN_K_STRUCT: json_nested(value, rules, buf); break;
    default:
        tn_buf_add_byte(buf, '"');
        tni_value_print(value, rules, buf);
        tn_buf_add_byte(buf, '"');
    }
}
