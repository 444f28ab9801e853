/* CAST from and to text, BYTES and JSON.
 *
 * From text, stream rules: outer blanks are cut; BOOLEAN takes any prefix of true, false, yes, no;
 * BYTES is base64. Query rules: BOOLEAN takes true, false, t, f, 1, 0; VARBINARY is the UTF-8
 * bytes; VARCHAR(n) cuts to n characters. Numbers must be the whole text in both; DECIMAL is
 * rounded half up. @thread the running one */
#include <stdio.h>

#include "stream/base/base64.h"
#include "stream/base/dtoa.h"
#include "stream/base/utf8.h"
#include "stream/func_cast.h"
#include "stream/func_int.h"
#include "stream/json.h"

#define CELL_TEXT_MAX ((size_t)64 << 20)

static struct tn_str trimmed(struct tn_str text)
{
    while (text.len && (unsigned char)text.ptr[0] <= ' ') {
        text.ptr++;
        text.len--;
    }
    while (text.len && (unsigned char)text.ptr[text.len - 1] <= ' ')
        text.len--;
    return text;
}

/* Short quote of a bad value for messages. */
static void error_cast(struct tn_call *call, uint32_t row, struct tn_str text)
{
    struct tn_buf buf;
    tn_buf_init(&buf, 64);
    if (tni_call_rules(call) == TN_RULES_QUERY)
        tn_type_print_trino(call->type, &buf);
    else
        tn_type_print_ksql(call->type, &buf);
    int shown = (int)(text.len < 60 ? text.len : tn_utf8_prefix(text.ptr, 60));
    tni_error_cast(call, row, "cannot cast '%.*s' to %.*s", shown, text.ptr,
                   TN_STR_FMT(tn_buf_str(&buf)));
    tn_buf_release(&buf);
}

static bool parse_integer(struct tn_str text, int64_t *ret_value)
{
    const char *p = text.ptr, *end = text.ptr + text.len;
    bool is_negative = p < end && *p == '-';
    p += p < end && (*p == '-' || *p == '+');
    int64_t value = 0;
    if (p == end)
        return false;
    for (; p < end; p++) {
        if (*p < '0' || *p > '9' || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_sub_overflow(value, *p - '0', &value)) /* downwards: MIN fits */
            return false;
    }
    if (!is_negative && value == INT64_MIN)
        return false;
    *ret_value = is_negative ? value : -value;
    return true;
}

static bool is_prefix(struct tn_str text, const char *word)
{
    return text.len > 0 && text.len <= strlen(word) && strncasecmp(text.ptr, word, text.len) == 0;
}

static bool parse_bool(struct tn_str text, enum tn_rules rules, bool *ret_value)
{
    if (rules == TN_RULES_STREAM) {
        *ret_value = is_prefix(text, "true") || is_prefix(text, "yes");
        return *ret_value || is_prefix(text, "false") || is_prefix(text, "no");
    }
    *ret_value = tn_str_eq_nocase(text, TN_STR("true")) || tn_str_eq_nocase(text, TN_STR("t")) ||
                 tn_str_eq(text, TN_STR("1"));
    return *ret_value || tn_str_eq_nocase(text, TN_STR("false")) ||
           tn_str_eq_nocase(text, TN_STR("f")) || tn_str_eq(text, TN_STR("0"));
}

static bool parse_number(struct tn_call *call, uint32_t row, struct tn_str text)
{
    int64_t integer = 0;
    switch (call->type->kind) {
    case TN_K_INTEGER:
        if (!parse_integer(text, &integer) || integer < INT32_MIN || integer > INT32_MAX)
            return false;
        TNI_OUT(call, int32_t)[row] = (int32_t)integer;
        return true;
    case TN_K_BIGINT:
        if (!parse_integer(text, &integer))
            return false;
        TNI_OUT(call, int64_t)[row] = integer;
        return true;
    case TN_K_DOUBLE: return tn_double_parse(text, &TNI_OUT(call, double)[row]);
    default:
        return tn_decimal_parse(text, call->type->precision, call->type->scale,
                                &TNI_OUT(call, tn_int128)[row]);
    }
}

static void text_to_number(struct tn_call *call)
{
    for (uint32_t row = 0; row < call->rows_count; row++) {
        if (!tni_row_ok(call, row))
            continue;
        struct tn_str text = tn_column_str(&call->args[0], row);
        if (!parse_number(call, row, trimmed(text)))
            error_cast(call, row, text);
    }
}

static void text_to_bool(struct tn_call *call)
{
    enum tn_rules rules = tni_call_rules(call);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        if (!tni_row_ok(call, row))
            continue;
        struct tn_str text = tn_column_str(&call->args[0], row);
        bool value;
        if (!parse_bool(trimmed(text), rules, &value))
            error_cast(call, row, text);
        else
            tn_bit_put(call->out->col.values, row, value);
    }
}

static void text_to_bytes_stream(struct tn_call *call)
{
    struct tni_text out;
    tni_text_open(&out, call, 1024);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        if (tni_row_ok(call, row)) {
            struct tn_str text = trimmed(tn_column_str(&call->args[0], row));
            int64_t len = tn_base64_decode(text, tni_text_reserve(&out, text.len + 4));
            if (len < 0)
                error_cast(call, row, text);
            else
                out.len += (size_t)len;
        }
        tni_text_end(&out);
    }
    tni_text_close(&out);
}

/* VARCHAR(n): cut to n characters; nothing is copied when all fit. */
static void text_to_text(struct tn_call *call)
{
    uint32_t max = call->type->length_max;
    bool is_cut = false;
    for (uint32_t row = 0; max && row < call->rows_count && !is_cut; row++)
        is_cut = tni_row_ok(call, row) && tn_utf8_count(tn_column_str(&call->args[0], row)) > max;
    if (!is_cut) {
        tni_same_as(call, 0);
        return;
    }
    struct tni_text out;
    tni_text_open(&out, call, 1024);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        struct tn_str text = tn_column_str(&call->args[0], row);
        if (tni_row_ok(call, row))
            tni_text_add(&out, (struct tn_str){text.ptr, tn_utf8_offset(text, max)});
        tni_text_end(&out);
    }
    tni_text_close(&out);
}

/* A fixed-length target does not hold the text of a number: VARCHAR(n) from others fails in Trino.
 */
static void check_length(struct tn_call *call, uint32_t row, struct tn_str text)
{
    uint32_t max = call->type->length_max;
    if (call->type->kind == TN_K_VARCHAR && max && tn_utf8_count(text) > max)
        tni_error_cast(call, row, "value '%.*s' does not fit varchar(%u)", (int)text.len, text.ptr,
                       max);
}

static void any_to_text(struct tn_call *call)
{
    enum tn_rules rules = tni_call_rules(call);
    struct tni_text out;
    struct tn_buf buf;
    tni_text_open(&out, call, (size_t)call->rows_count * 8);
    tn_buf_init(&buf, CELL_TEXT_MAX);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        if (tni_row_ok(call, row)) {
            struct tn_value value = tn_column_value(&call->args[0], row, call->arena);
            tn_buf_reset(&buf);
            tni_value_print(&value, rules, &buf);
            tni_text_add(&out, tn_buf_str(&buf));
            check_length(call, row, tn_buf_str(&buf));
        }
        tni_text_end(&out);
    }
    tn_buf_release(&buf);
    tni_text_close(&out);
}

static void integer_to_text(struct tn_call *call)
{
    struct tni_text out;
    tni_text_open(&out, call, (size_t)call->rows_count * 8);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        if (tni_row_ok(call, row)) {
            int64_t value = tni_arg_int(call, 0, row);
            char text[24], *p = text + sizeof text;
            uint64_t m = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
            do {
                *--p = (char)('0' + m % 10);
                m /= 10;
            } while (m);
            if (value < 0)
                *--p = '-';
            struct tn_str whole = {p, (size_t)(text + sizeof text - p)};
            tni_text_add(&out, whole);
            check_length(call, row, whole);
        }
        tni_text_end(&out);
    }
    tni_text_close(&out);
}

static void any_to_json(struct tn_call *call)
{
    struct tni_text out;
    struct tn_buf buf;
    tni_text_open(&out, call, (size_t)call->rows_count * 8);
    tn_buf_init(&buf, CELL_TEXT_MAX);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        if (tni_row_ok(call, row)) {
            struct tn_value value = tn_column_value(&call->args[0], row, call->arena);
            tn_buf_reset(&buf);
            tni_value_json(&value, TN_RULES_QUERY, &buf);
            tni_text_add(&out, tn_buf_str(&buf));
        }
        tni_text_end(&out);
    }
    tn_buf_release(&buf);
    tni_text_close(&out);
}

/* A JSON scalar as its text; null becomes NULL. False for objects and arrays. */
static bool json_scalar_text(struct tn_call *call, struct tn_str json, bool *ret_is_null,
                             struct tn_str *ret_text)
{
    struct tni_json value;
    const char *p = json.ptr;
    if (!tni_json_read(&p, json.ptr + json.len, &value))
        return false;
    *ret_is_null = value.kind == TNI_JSON_NULL;
    *ret_text = value.kind == TNI_JSON_STRING ? tni_json_text(&value, call->arena) : value.raw;
    return value.kind != TNI_JSON_OBJECT && value.kind != TNI_JSON_ARRAY;
}

static void json_to_number(struct tn_call *call)
{
    for (uint32_t row = 0; row < call->rows_count; row++) {
        if (!tni_row_ok(call, row))
            continue;
        struct tn_str json = tn_column_str(&call->args[0], row), text;
        bool is_null, value = false;
        if (!json_scalar_text(call, json, &is_null, &text)) {
            error_cast(call, row, json);
        } else if (is_null) {
            tni_null(call, row);
        } else if (call->type->kind == TN_K_BOOLEAN) {
            if (parse_bool(text, TN_RULES_QUERY, &value))
                tn_bit_put(call->out->col.values, row, value);
            else
                error_cast(call, row, json);
        } else {
            double d = 0;
            bool is_whole = call->type->kind <= TN_K_BIGINT && tn_double_parse(text, &d) &&
                            d == floor(d) && fabs(d) < 0x1p53;
            char whole[32];
            if (is_whole)
                text = (struct tn_str){whole, (size_t)snprintf(whole, sizeof whole, "%.0f", d)};
            if (!parse_number(call, row, text))
                error_cast(call, row, json);
        }
    }
}

static void json_to_text(struct tn_call *call)
{
    struct tni_text out;
    tni_text_open(&out, call, 1024);
    for (uint32_t row = 0; row < call->rows_count; row++) {
        if (tni_row_ok(call, row)) {
            struct tn_str json = tn_column_str(&call->args[0], row), text;
            bool is_null;
            if (!json_scalar_text(call, json, &is_null, &text))
                error_cast(call, row, json);
            else if (is_null)
                tni_null(call, row);
            else
                tni_text_add(&out, text);
        }
        tni_text_end(&out);
    }
    tni_text_close(&out);
}

static void same_bytes(struct tn_call *call)
{
    tni_same_as(call, 0);
}

static tn_kernel from_text(enum tn_kind to, enum tn_rules rules)
{
    switch (to) {
    case TN_K_VARCHAR: return text_to_text;
    case TN_K_BOOLEAN: return text_to_bool;
    case TN_K_INTEGER:
    case TN_K_BIGINT:
    case TN_K_DOUBLE:
    case TN_K_DECIMAL: return text_to_number;
    case TN_K_BYTES: return rules == TN_RULES_STREAM ? text_to_bytes_stream : same_bytes;
    case TN_K_JSON: return rules == TN_RULES_QUERY ? any_to_json : NULL;
    default: return NULL;
    }
}

tn_kernel tni_cast_text_kernel(const struct tn_type *from, const struct tn_type *to,
                               enum tn_rules rules)
{
    bool is_query = rules == TN_RULES_QUERY;
    if (from->kind == TN_K_VARCHAR)
        return from_text(to->kind, rules);
    if (from->kind == TN_K_JSON && is_query) {
        if (to->kind == TN_K_VARCHAR)
            return json_to_text;
        return to->kind == TN_K_BOOLEAN || tn_kind_is_number(to->kind) ? json_to_number : NULL;
    }
    if (to->kind == TN_K_VARCHAR && (from->kind == TN_K_INTEGER || from->kind == TN_K_BIGINT))
        return integer_to_text;
    if (to->kind == TN_K_VARCHAR)
        return is_query && (from->kind == TN_K_BYTES || tn_kind_is_nested(from->kind))
                   ? NULL
                   : any_to_text;
    if (to->kind == TN_K_JSON && is_query && from->kind != TN_K_BYTES)
        return any_to_json;
    return NULL;
}
