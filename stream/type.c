/* The type system: singletons for scalar kinds, arena-made DECIMAL, VARCHAR(n) and nested types,
 * equality and the two spellings. Types are immutable, so sharing needs no copy; tn_type_copy
 * exists to move one to a longer-lived arena. Depth is bounded by TN_TYPE_DEPTH_MAX: makers are
 * called by the parser, which enforces it. @thread any */
#include "stream/type.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#define SCALAR(k) [TN_K_##k] = {.kind = TN_K_##k}

static const struct tn_type scalars[TN_K_COUNT] = {
    SCALAR(NULL),
    SCALAR(BOOLEAN),
    SCALAR(INTEGER),
    SCALAR(BIGINT),
    SCALAR(DOUBLE),
    SCALAR(VARCHAR),
    SCALAR(BYTES),
    SCALAR(DATE),
    [TN_K_TIME] = {.kind = TN_K_TIME, .precision = 3},
    [TN_K_TIMESTAMP] = {.kind = TN_K_TIMESTAMP, .precision = 3},
    [TN_K_TIMESTAMP_TZ] = {.kind = TN_K_TIMESTAMP_TZ, .precision = 3},
    SCALAR(JSON),
    SCALAR(INTERVAL_DAY),
    SCALAR(INTERVAL_YEAR),
};

static const struct {
    const char *ksql, *trino;
    uint8_t width;
} kinds[TN_K_COUNT] = {
    [TN_K_NULL] = {"NULL", "unknown", 0},
    [TN_K_BOOLEAN] = {"BOOLEAN", "boolean", 0},
    [TN_K_INTEGER] = {"INTEGER", "integer", 4},
    [TN_K_BIGINT] = {"BIGINT", "bigint", 8},
    [TN_K_DOUBLE] = {"DOUBLE", "double", 8},
    [TN_K_DECIMAL] = {"DECIMAL", "decimal", 16},
    [TN_K_VARCHAR] = {"STRING", "varchar", 0},
    [TN_K_BYTES] = {"BYTES", "varbinary", 0},
    [TN_K_DATE] = {"DATE", "date", 4},
    [TN_K_TIME] = {"TIME", "time", 8},
    [TN_K_TIMESTAMP] = {"TIMESTAMP", "timestamp", 8},
    [TN_K_TIMESTAMP_TZ] = {"TIMESTAMP WITH TIME ZONE", "timestamp", 8},
    [TN_K_JSON] = {"JSON", "json", 0},
    [TN_K_INTERVAL_DAY] = {"INTERVAL DAY TO SECOND", "interval day to second", 8},
    [TN_K_INTERVAL_YEAR] = {"INTERVAL YEAR TO MONTH", "interval year to month", 8},
    [TN_K_ARRAY] = {"ARRAY", "array", 0},
    [TN_K_MAP] = {"MAP", "map", 0},
    [TN_K_STRUCT] = {"STRUCT", "row", 0},
};

size_t tn_kind_width(enum tn_kind kind)
{
    TN_ASSERT(kind < TN_K_COUNT);
    return kinds[kind].width;
}

const struct tn_type *tn_type_of(enum tn_kind kind)
{
    TN_ASSERT(kind < TN_K_COUNT && kind != TN_K_DECIMAL && !tn_kind_is_nested(kind));
    return &scalars[kind];
}

const struct tn_type *tn_type_decimal(struct tn_arena *arena, int precision, int scale)
{
    TN_ASSERT(precision >= 1 && precision <= TN_DECIMAL_PRECISION_MAX);
    TN_ASSERT(scale >= 0 && scale <= precision);
    struct tn_type *type = TN_ARENA_NEW(arena, struct tn_type);
    *type = (struct tn_type){
        .kind = TN_K_DECIMAL, .precision = (uint8_t)precision, .scale = (uint8_t)scale};
    return type;
}

const struct tn_type *tn_type_varchar(struct tn_arena *arena, uint32_t length_max)
{
    if (length_max == 0)
        return tn_type_of(TN_K_VARCHAR);
    struct tn_type *type = TN_ARENA_NEW(arena, struct tn_type);
    *type = (struct tn_type){.kind = TN_K_VARCHAR, .length_max = length_max};
    return type;
}

const struct tn_type *tn_type_time(struct tn_arena *arena, enum tn_kind kind, int precision)
{
    TN_ASSERT(kind >= TN_K_TIME && kind <= TN_K_TIMESTAMP_TZ);
    TN_ASSERT(precision >= 0 && precision <= 12);
    if (precision == scalars[kind].precision)
        return &scalars[kind];
    struct tn_type *type = TN_ARENA_NEW(arena, struct tn_type);
    *type = (struct tn_type){.kind = kind, .precision = (uint8_t)precision};
    return type;
}

const struct tn_type *tn_type_zoned(struct tn_arena *arena, const struct tn_type *type,
                                    const struct tn_zone *zone)
{
    TN_ASSERT(type->kind == TN_K_TIMESTAMP_TZ);
    if (type->zone == zone)
        return type;
    struct tn_type *copy = TN_ARENA_NEW(arena, struct tn_type);
    *copy = *type;
    copy->zone = zone;
    return copy;
}

static const struct tn_type *nested(struct tn_arena *arena, enum tn_kind kind,
                                    const struct tn_field *fields, uint32_t fields_count)
{
    struct tn_field *copy = TN_ARENA_ARRAY(arena, struct tn_field, fields_count);
    for (uint32_t i = 0; i < fields_count; i++)
        copy[i] = (struct tn_field){tn_arena_str(arena, fields[i].name), fields[i].type};
    struct tn_type *type = TN_ARENA_NEW(arena, struct tn_type);
    *type = (struct tn_type){.kind = kind, .children_count = fields_count, .children = copy};
    return type;
}

const struct tn_type *tn_type_array(struct tn_arena *arena, const struct tn_type *element)
{
    return nested(arena, TN_K_ARRAY, &(struct tn_field){TN_STR("element"), element}, 1);
}

const struct tn_type *tn_type_map(struct tn_arena *arena, const struct tn_type *key,
                                  const struct tn_type *value)
{
    struct tn_field fields[2] = {{TN_STR("key"), key}, {TN_STR("value"), value}};
    return nested(arena, TN_K_MAP, fields, 2);
}

const struct tn_type *tn_type_struct(struct tn_arena *arena, const struct tn_field *fields,
                                     uint32_t fields_count)
{
    return nested(arena, TN_K_STRUCT, fields, fields_count);
}

const struct tn_type *tn_type_copy(struct tn_arena *arena, const struct tn_type *type)
{
    if (type == &scalars[type->kind])
        return type;
    struct tn_type *copy = TN_ARENA_NEW(arena, struct tn_type);
    *copy = *type;
    if (type->children_count == 0)
        return copy;
    struct tn_field *fields = TN_ARENA_ARRAY(arena, struct tn_field, type->children_count);
    for (uint32_t i = 0; i < type->children_count; i++)
        fields[i] = (struct tn_field){tn_arena_str(arena, type->children[i].name),
                                      tn_type_copy(arena, type->children[i].type)};
    copy->children = fields;
    return copy;
}

bool tn_type_eq(const struct tn_type *a, const struct tn_type *b)
{
    if (a == b)
        return true;
    if (a->kind != b->kind || a->precision != b->precision || a->scale != b->scale ||
        a->length_max != b->length_max || a->children_count != b->children_count)
        return false;
    for (uint32_t i = 0; i < a->children_count; i++) {
        if (a->kind == TN_K_STRUCT && !tn_str_eq_nocase(a->children[i].name, b->children[i].name))
            return false;
        if (!tn_type_eq(a->children[i].type, b->children[i].type))
            return false;
    }
    return true;
}

void tn_type_print_ksql(const struct tn_type *type, struct tn_buf *buf)
{
    tn_buf_add_text(buf, kinds[type->kind].ksql);
    if (type->kind == TN_K_DECIMAL)
        tn_buf_printf(buf, "(%d, %d)", type->precision, type->scale);
    if (!tn_kind_is_nested(type->kind))
        return;
    tn_buf_add_byte(buf, '<');
    for (uint32_t i = 0; i < type->children_count; i++) {
        if (i)
            tn_buf_add_text(buf, ", ");
        if (type->kind == TN_K_STRUCT)
            tn_buf_printf(buf, "`%.*s` ", TN_STR_FMT(type->children[i].name));
        tn_type_print_ksql(type->children[i].type, buf);
    }
    tn_buf_add_byte(buf, '>');
}

static bool is_plain_name(struct tn_str name)
{
    if (name.len == 0 || isdigit((unsigned char)name.ptr[0]))
        return false;
    for (size_t i = 0; i < name.len; i++)
        if (!isalnum((unsigned char)name.ptr[i]) && name.ptr[i] != '_')
            return false;
    return true;
}

struct trino_style {
    bool is_display, has_precision;
};

static void print_trino(const struct tn_type *type, struct trino_style style, struct tn_buf *buf)
{
    bool is_time = type->kind >= TN_K_TIME && type->kind <= TN_K_TIMESTAMP_TZ;
    bool is_interval = type->kind == TN_K_INTERVAL_DAY || type->kind == TN_K_INTERVAL_YEAR;
    const char *name = type->bits ? tn_type_name_trino(type) : kinds[type->kind].trino;
    tn_buf_add_text(buf, is_interval && style.is_display ? kinds[type->kind].ksql : name);
    if (type->kind == TN_K_DECIMAL)
        tn_buf_printf(buf, style.is_display ? "(%d, %d)" : "(%d,%d)", type->precision, type->scale);
    if (type->kind == TN_K_VARCHAR && type->length_max)
        tn_buf_printf(buf, "(%u)", type->length_max);
    if (is_time && style.has_precision)
        tn_buf_printf(buf, "(%d)", type->precision);
    if (type->kind == TN_K_TIMESTAMP_TZ)
        tn_buf_add_text(buf, " with time zone");
    if (!tn_kind_is_nested(type->kind))
        return;
    tn_buf_add_byte(buf, '(');
    for (uint32_t i = 0; i < type->children_count; i++) {
        struct tn_str field = type->children[i].name;
        if (i)
            tn_buf_add_text(buf, ", ");
        if (type->kind == TN_K_STRUCT && field.len > 0)
            tn_buf_printf(buf, is_plain_name(field) ? "%.*s " : "\"%.*s\" ", TN_STR_FMT(field));
        print_trino(type->children[i].type, style, buf);
    }
    tn_buf_add_byte(buf, ')');
}

void tn_type_print_trino(const struct tn_type *type, struct tn_buf *buf)
{
    print_trino(type, (struct trino_style){.has_precision = true}, buf);
}

void tn_type_print_display(const struct tn_type *type, bool has_precision, struct tn_buf *buf)
{
    print_trino(type, (struct trino_style){true, has_precision}, buf);
}

const char *tn_kind_trino(enum tn_kind kind)
{
    TN_ASSERT(kind < TN_K_COUNT);
    return kind == TN_K_TIMESTAMP_TZ ? "timestamp with time zone" : kinds[kind].trino;
}

const char *tn_kind_ksql(enum tn_kind kind)
{
    TN_ASSERT(kind < TN_K_COUNT);
    return kinds[kind].ksql;
}

const char *tn_type_name_trino(const struct tn_type *type)
{
    switch (type->bits) {
    case 8: return "tinyint";
    case 16: return "smallint";
    case 32: return "real";
    default: return tn_kind_trino(type->kind);
    }
}

const struct tn_type *tn_type_small(int bits)
{
    static const struct tn_type tinyint = {.kind = TN_K_INTEGER, .bits = 8},
                                smallint = {.kind = TN_K_INTEGER, .bits = 16},
                                real = {.kind = TN_K_DOUBLE, .bits = 32};
    return bits == 8 ? &tinyint : bits == 16 ? &smallint : &real;
}

double tn_real_shown(double value)
{
    char text[32];
    for (int digits = 1; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*e", digits - 1, value);
        if (strtof(text, NULL) == (float)value)
            return strtod(text, NULL);
    }
    return value; /* infinite, not a number */
}

int tn_schema_find(const struct tn_schema *schema, struct tn_str name)
{
    for (uint32_t i = 0; i < schema->fields_count; i++)
        if (tn_str_eq_nocase(schema->fields[i].name, name))
            return (int)i;
    return -1;
}
