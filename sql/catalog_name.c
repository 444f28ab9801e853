/* Names of catalogs and their schemas as clients write them. tarn and hive are one catalog, which
 * holds everything of the user; system is a second one for what Trino's clients ask: jdbc,
 * metadata, runtime. Its objects are kept under the schema names "system.jdbc"…, which no user's
 * schema can have. Contract: sql/catalog.h. @thread any */
#include "sql/catalog.h"

static const struct {
    const char *name, *inside;
} system_schemas[] = {
    {"information_schema", "information_schema"},
    {"jdbc", "system.jdbc"},
    {"metadata", "system.metadata"},
    {"runtime", "system.runtime"},
};
#define SYSTEM_SCHEMAS (sizeof system_schemas / sizeof *system_schemas)

static bool is_system(struct tn_str catalog_name)
{
    return tn_str_eq_nocase(catalog_name, TN_STR("system"));
}

bool tn_catalog_is_name(struct tn_str name)
{
    return tn_str_eq_nocase(name, TN_STR("tarn")) || tn_str_eq_nocase(name, TN_STR("hive")) ||
           is_system(name);
}

struct tn_str tn_catalog_schema(const struct tn_catalog *catalog, struct tn_str catalog_name,
                                struct tn_str schema)
{
    if (!is_system(catalog_name))
        return tn_catalog_has_schema(catalog, schema) ? schema : (struct tn_str){NULL, 0};
    for (size_t i = 0; i < SYSTEM_SCHEMAS; i++)
        if (tn_str_eq_nocase(schema, tn_str_of(system_schemas[i].name)))
            return tn_str_of(system_schemas[i].inside);
    return (struct tn_str){NULL, 0};
}

void tn_catalog_each_schema_of(const struct tn_catalog *catalog, struct tn_str catalog_name,
                               bool (*each)(void *ctx, const char *name), void *ctx)
{
    if (!is_system(catalog_name)) {
        tn_catalog_each_schema(catalog, each, ctx);
        return;
    }
    for (size_t i = 0; i < SYSTEM_SCHEMAS; i++)
        if (!each(ctx, system_schemas[i].name))
            return;
}

bool tn_catalog_object_in(const struct tn_object *object, struct tn_str catalog_name,
                          const char **ret_schema)
{
    bool is_of_system = strncmp(object->schema_name, "system.", 7) == 0;
    if (!strcmp(object->schema_name, "information_schema")) {
        *ret_schema = object->schema_name;
        return true;
    }
    *ret_schema = is_of_system ? object->schema_name + 7 : object->schema_name;
    return is_of_system == is_system(catalog_name);
}
