/* Locations of zones: URLs of schemas and tables. Contract: sql/zone.h. */
#include "sql/zone.h"

bool tn_zone_is_schema(struct tn_str schema_name)
{
    return !tn_str_eq_nocase(schema_name, TN_STR("default")) &&
           !tn_str_eq_nocase(schema_name, TN_STR("system")) &&
           !(schema_name.len > 7 && !strncasecmp(schema_name.ptr, "system.", 7)) &&
           !tn_str_eq_nocase(schema_name, TN_STR("information_schema"));
}

/* ---- where zones and tables are ---- */

enum tn_status tn_zone_schema_url(const struct tn_catalog *catalog, struct tn_str schema_name,
                                  const char *lake_dir, struct tn_buf *ret_url, struct tn_err *err)
{
    const char *location = tn_catalog_schema_location(catalog, schema_name);
    if (location)
        return tn_zone_url_clean("location", tn_str_of(location), ret_url, err);
    if (!lake_dir || !*lake_dir)
        return tn_err_at(err, TN_E_INVALID, "INVALID_SCHEMA_PROPERTY", 0, 0,
                         "schema '%.*s' has no location and option lake.dir is not set",
                         TN_STR_FMT(schema_name));
    TN_TRY(tn_zone_url_clean("lake.dir", tn_str_of(lake_dir), ret_url, err));
    return tn_zone_table_url(NULL, (struct tn_str){0}, schema_name, NULL, ret_url, err);
}

enum tn_status tn_zone_table_url(const struct tn_catalog *catalog, struct tn_str schema_name,
                                 struct tn_str name, const char *lake_dir, struct tn_buf *ret_url,
                                 struct tn_err *err)
{
    if (catalog)
        TN_TRY(tn_zone_schema_url(catalog, schema_name, lake_dir, ret_url, err));
    bool is_plain = name.len > 0 && name.len <= 200 && name.ptr[0] != '.' && name.ptr[0] != '_';
    for (size_t i = 0; i < name.len && is_plain; i++) {
        unsigned char c = (unsigned char)name.ptr[i];
        is_plain = c > 0x20 && c != 0x7f && !strchr("/\\%?#*:\"", c);
    }
    if (!is_plain)
        return tn_err_at(err, TN_E_INVALID, "INVALID_ARGUMENTS", 0, 0,
                         "'%.*s' cannot be the name of a folder of a zone", TN_STR_FMT(name));
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        tn_buf_add_byte(ret_url, c >= 'A' && c <= 'Z' ? (char)(c + 32) : c);
    }
    tn_buf_add_byte(ret_url, '/');
    return TN_OK;
}

/* ---- changelogs ---- */

static void add_quoted(struct tn_buf *buf, struct tn_str name)
{
    tn_buf_add_byte(buf, '"');
    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] == '"')
            tn_buf_add_byte(buf, '"');
        tn_buf_add_byte(buf, name.ptr[i]);
    }
    tn_buf_add_byte(buf, '"');
}

static void add_columns(struct tn_buf *buf, const struct tn_schema *schema, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        tn_buf_add_text(buf, i ? ", " : "");
        add_quoted(buf, schema->fields[i].name);
    }
}

const char *tni_zone_latest_text(const struct tn_object *object, struct tn_arena *arena)
{
    struct tn_buf sql;
    tn_buf_init(&sql, 1u << 20);
    tn_buf_add_text(&sql, "SELECT ");
    add_columns(&sql, object->schema, object->schema->fields_count);
    tn_buf_add_text(&sql, " FROM (SELECT *, row_number() OVER (PARTITION BY ");
    add_columns(&sql, object->schema, object->zone->keys_count);
    /* all rows of a key are in one partition, in the order of its offsets */
    tn_buf_add_text(&sql, " ORDER BY \"_offset\" DESC) AS \"_latest\" FROM ");
    add_quoted(&sql, tn_str_of(object->schema_name));
    tn_buf_add_byte(&sql, '.');
    add_quoted(&sql, tn_str_of(object->name));
    tn_buf_add_text(&sql, ") AS t WHERE \"_latest\" = 1 AND (\"_op\" IS NULL OR \"_op\" <> 'd')");
    const char *text = tn_arena_strdup(arena, tn_buf_cstr(&sql));
    tn_buf_release(&sql);
    return text;
}
