/* Types as Trino's clients read them: a text for people and a signature for programs.
 *
 * The text has a space after each comma ("decimal(10, 2)"), unlike typeof() and
 * information_schema. Clients that do not say PARAMETRIC_DATETIME get times without a precision.
 * @thread any */
#include "sql/trino_int.h"

static const struct {
    const char *text, *raw;
} names[TN_K_COUNT] = {
    [TN_K_NULL] = {"unknown", "unknown"},
    [TN_K_BOOLEAN] = {"boolean", "boolean"},
    [TN_K_INTEGER] = {"integer", "integer"},
    [TN_K_BIGINT] = {"bigint", "bigint"},
    [TN_K_DOUBLE] = {"double", "double"},
    [TN_K_DECIMAL] = {"decimal", "decimal"},
    [TN_K_VARCHAR] = {"varchar", "varchar"},
    [TN_K_BYTES] = {"varbinary", "varbinary"},
    [TN_K_DATE] = {"date", "date"},
    [TN_K_TIME] = {"time", "time"},
    [TN_K_TIMESTAMP] = {"timestamp", "timestamp"},
    [TN_K_TIMESTAMP_TZ] = {"timestamp", "timestamp with time zone"},
    [TN_K_JSON] = {"json", "json"},
    [TN_K_INTERVAL_DAY] = {"INTERVAL DAY TO SECOND", "interval day to second"},
    [TN_K_INTERVAL_YEAR] = {"INTERVAL YEAR TO MONTH", "interval year to month"},
    [TN_K_ARRAY] = {"array", "array"},
    [TN_K_MAP] = {"map", "map"},
    [TN_K_STRUCT] = {"row", "row"},
};

static bool is_time(enum tn_kind kind)
{
    return kind >= TN_K_TIME && kind <= TN_K_TIMESTAMP_TZ;
}

static bool is_plain_name(struct tn_str name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (!is_letter && (i == 0 || c < '0' || c > '9'))
            return false;
    }
    return name.len > 0;
}

static void print_type(struct tn_buf *buf, const struct tn_type *type, bool has_datetime)
{
    tn_buf_add_text(buf, names[type->kind].text);
    if (type->kind == TN_K_DECIMAL)
        tn_buf_printf(buf, "(%d, %d)", type->precision, type->scale);
    if (type->kind == TN_K_VARCHAR && type->length_max)
        tn_buf_printf(buf, "(%u)", type->length_max);
    if (is_time(type->kind) && has_datetime)
        tn_buf_printf(buf, "(%d)", type->precision);
    if (type->kind == TN_K_TIMESTAMP_TZ)
        tn_buf_add_text(buf, " with time zone");
    if (!tn_kind_is_nested(type->kind))
        return;
    tn_buf_add_byte(buf, '(');
    for (uint32_t i = 0; i < type->children_count; i++) {
        struct tn_str name = type->children[i].name;
        if (i)
            tn_buf_add_text(buf, ", ");
        if (type->kind == TN_K_STRUCT && name.len)
            tn_buf_printf(buf, is_plain_name(name) ? "%.*s " : "\"%.*s\" ", TN_STR_FMT(name));
        print_type(buf, type->children[i].type, has_datetime);
    }
    tn_buf_add_byte(buf, ')');
}

static void print_long(struct tn_buf *buf, int64_t value)
{
    tn_buf_printf(buf, "{\"kind\":\"LONG\",\"value\":%lld}", (long long)value);
}

static void print_signature(struct tn_buf *buf, const struct tn_type *type, bool has_datetime);

static void print_arguments(struct tn_buf *buf, const struct tn_type *type, bool has_datetime)
{
    if (type->kind == TN_K_VARCHAR) {
        print_long(buf, type->length_max ? type->length_max : INT32_MAX);
    } else if (type->kind == TN_K_DECIMAL) {
        print_long(buf, type->precision);
        tn_buf_add_byte(buf, ',');
        print_long(buf, type->scale);
    } else if (is_time(type->kind) && has_datetime) {
        print_long(buf, type->precision);
    }
    for (uint32_t i = 0; tn_kind_is_nested(type->kind) && i < type->children_count; i++) {
        if (i)
            tn_buf_add_byte(buf, ',');
        if (type->kind != TN_K_STRUCT) {
            tn_buf_add_text(buf, "{\"kind\":\"TYPE\",\"value\":");
            print_signature(buf, type->children[i].type, has_datetime);
            tn_buf_add_byte(buf, '}');
            continue;
        }
        tn_buf_add_text(buf, "{\"kind\":\"NAMED_TYPE\",\"value\":{");
        if (type->children[i].name.len) {
            tn_buf_add_text(buf, "\"fieldName\":{\"name\":");
            tn_buf_add_json(buf, type->children[i].name);
            tn_buf_add_text(buf, "},");
        }
        tn_buf_add_text(buf, "\"typeSignature\":");
        print_signature(buf, type->children[i].type, has_datetime);
        tn_buf_add_text(buf, "}}");
    }
}

static void print_signature(struct tn_buf *buf, const struct tn_type *type, bool has_datetime)
{
    tn_buf_printf(buf, "{\"rawType\":\"%s\",\"arguments\":[", names[type->kind].raw);
    print_arguments(buf, type, has_datetime);
    tn_buf_add_text(buf, "]}");
}

void tni_trino_columns(struct tn_buf *buf, const struct tn_schema *schema, bool has_datetime)
{
    struct tn_buf type;
    tn_buf_init(&type, 1u << 20);
    tn_buf_add_byte(buf, '[');
    for (uint32_t i = 0; i < schema->fields_count; i++) {
        const struct tn_field *field = &schema->fields[i];
        tn_buf_reset(&type);
        print_type(&type, field->type, has_datetime);
        tn_buf_add_text(buf, i ? ",{\"name\":" : "{\"name\":");
        tn_buf_add_json(buf, field->name);
        tn_buf_add_text(buf, ",\"type\":");
        tn_buf_add_json(buf, tn_buf_str(&type));
        tn_buf_add_text(buf, ",\"typeSignature\":");
        print_signature(buf, field->type, has_datetime);
        tn_buf_add_byte(buf, '}');
    }
    tn_buf_add_byte(buf, ']');
    tn_buf_release(&type);
}
