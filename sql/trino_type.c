/* Types as Trino's clients read them: a text for people and a signature for programs.
 *
 * The text has a space after each comma ("decimal(10, 2)"), unlike typeof() and
 * information_schema. Clients that do not say PARAMETRIC_DATETIME get times without a precision.
 * @thread any */
#include "sql/trino_int.h"

static bool is_time(enum tn_kind kind)
{
    return kind >= TN_K_TIME && kind <= TN_K_TIMESTAMP_TZ;
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
    tn_buf_printf(buf, "{\"rawType\":\"%s\",\"arguments\":[", tn_type_name_trino(type));
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
        tn_type_print_display(field->type, has_datetime, &type);
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
