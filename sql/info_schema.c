/* information_schema: what clients ask first. Names are lower case. The columns that Trino hides
 * from SELECT * (comment, extra_info, table_comment) are ordinary ones here.
 *
 * The objects of the catalog `system` are left out: they are in system.jdbc, which knows catalogs.
 * @thread any */
#include "sql/system_tables_int.h"

#define CATALOG_NAME "tarn"

static bool schemata_row(void *ctx, const char *name)
{
    struct tni_walk *walk = ctx;
    tni_fill_text(walk->fill, CATALOG_NAME);
    tni_fill_lower(walk->ctx, walk->fill, tn_str_of(name));
    return tni_fill_row_done(walk->fill);
}

static enum tn_status fill_schemata(struct tni_exec_ctx *ctx, const struct tn_system_table *table,
                                    struct tni_fill *fill, struct tn_err *err)
{
    (void)table;
    (void)err;
    struct tni_walk walk = {.ctx = ctx, .fill = fill};
    if (ctx->catalog)
        tn_catalog_each_schema(ctx->catalog, schemata_row, &walk);
    return TN_OK;
}

static bool is_hidden(const struct tn_object *object)
{
    const char *ignored;
    return !tn_catalog_object_in(object, TN_STR(CATALOG_NAME), &ignored);
}

static void fill_object(struct tni_walk *walk, const struct tn_object *object)
{
    tni_fill_text(walk->fill, CATALOG_NAME);
    tni_fill_lower(walk->ctx, walk->fill, tn_str_of(object->schema_name));
    tni_fill_lower(walk->ctx, walk->fill, tn_str_of(object->name));
}

static bool tables_row(void *ctx, const struct tn_object *object)
{
    struct tni_walk *walk = ctx;
    if (is_hidden(object))
        return true;
    fill_object(walk, object);
    tni_fill_text(walk->fill, object->kind == TN_OBJ_VIEW ? "VIEW" : "BASE TABLE");
    tni_fill_text(walk->fill, object->system ? object->system->help : NULL);
    return tni_fill_row_done(walk->fill);
}

static enum tn_status fill_tables(struct tni_exec_ctx *ctx, const struct tn_system_table *table,
                                  struct tni_fill *fill, struct tn_err *err)
{
    (void)table;
    (void)err;
    struct tni_walk walk = {.ctx = ctx, .fill = fill};
    if (ctx->catalog)
        tn_catalog_each(ctx->catalog, tables_row, &walk);
    return TN_OK;
}

static bool is_key(const struct tn_object *object, uint32_t column)
{
    return !object->system && object->kind != TN_OBJ_VIEW && column < object->decl.keys_count;
}

static bool columns_rows(void *ctx, const struct tn_object *object)
{
    struct tni_walk *walk = ctx;
    bool is_wanted = !is_hidden(object);
    for (uint32_t i = 0; object->schema && i < object->schema->fields_count && is_wanted; i++) {
        const struct tn_field *field = &object->schema->fields[i];
        tn_buf_reset(walk->type);
        tn_type_print_trino(field->type, walk->type);
        fill_object(walk, object);
        tni_fill_lower(walk->ctx, walk->fill, field->name);
        tni_fill_int(walk->fill, i + 1);
        tni_fill_null(walk->fill);
        tni_fill_text(walk->fill, "YES");
        tni_fill_str(walk->fill, tn_buf_str(walk->type));
        tni_fill_null(walk->fill);
        tni_fill_text(walk->fill, is_key(object, i) ? "key" : NULL);
        tni_fill_null(walk->fill);
        if (!tni_fill_row_done(walk->fill))
            return false;
    }
    return true;
}

static enum tn_status fill_columns(struct tni_exec_ctx *ctx, const struct tn_system_table *table,
                                   struct tni_fill *fill, struct tn_err *err)
{
    struct tn_buf type;
    (void)table;
    (void)err;
    tn_buf_init(&type, 1 << 16);
    struct tni_walk walk = {.ctx = ctx, .fill = fill, .type = &type};
    if (ctx->catalog)
        tn_catalog_each(ctx->catalog, columns_rows, &walk);
    tn_buf_release(&type);
    return TN_OK;
}

static bool views_row(void *ctx, const struct tn_object *object)
{
    struct tni_walk *walk = ctx;
    if (object->kind != TN_OBJ_VIEW)
        return true;
    fill_object(walk, object);
    tni_fill_text(walk->fill, object->text);
    return tni_fill_row_done(walk->fill);
}

static enum tn_status fill_views(struct tni_exec_ctx *ctx, const struct tn_system_table *table,
                                 struct tni_fill *fill, struct tn_err *err)
{
    (void)table;
    (void)err;
    struct tni_walk walk = {.ctx = ctx, .fill = fill};
    if (ctx->catalog)
        tn_catalog_each(ctx->catalog, views_row, &walk);
    return TN_OK;
}

#define TEXT TN_K_VARCHAR
#define LONG TN_K_BIGINT
#define HERE "information_schema"

/* clang-format off */
const struct tni_table_desc tni_info_schema_tables[] = {
    {HERE, "applicable_roles", "none", tni_fill_nothing, NULL,
     {{"grantee", TEXT}, {"grantee_type", TEXT}, {"role_name", TEXT}, {"is_grantable", TEXT}}},
    {HERE, "columns", "columns of all tables and views", fill_columns, NULL,
     {{"table_catalog", TEXT}, {"table_schema", TEXT}, {"table_name", TEXT}, {"column_name", TEXT},
      {"ordinal_position", LONG}, {"column_default", TEXT}, {"is_nullable", TEXT},
      {"data_type", TEXT}, {"comment", TEXT}, {"extra_info", TEXT}, {"column_comment", TEXT}}},
    {HERE, "enabled_roles", "none", tni_fill_nothing, NULL, {{"role_name", TEXT}}},
    {HERE, "roles", "none", tni_fill_nothing, NULL, {{"role_name", TEXT}}},
    {HERE, "schemata", "schemas", fill_schemata, NULL,
     {{"catalog_name", TEXT}, {"schema_name", TEXT}}},
    {HERE, "table_privileges", "none", tni_fill_nothing, NULL,
     {{"grantor", TEXT}, {"grantor_type", TEXT}, {"grantee", TEXT}, {"grantee_type", TEXT},
      {"table_catalog", TEXT}, {"table_schema", TEXT}, {"table_name", TEXT},
      {"privilege_type", TEXT}, {"is_grantable", TEXT}, {"with_hierarchy", TEXT}}},
    {HERE, "tables", "streams, tables, views, system tables", fill_tables, NULL,
     {{"table_catalog", TEXT}, {"table_schema", TEXT}, {"table_name", TEXT}, {"table_type", TEXT},
      {"table_comment", TEXT}}},
    {HERE, "views", "views and their text", fill_views, NULL,
     {{"table_catalog", TEXT}, {"table_schema", TEXT}, {"table_name", TEXT},
      {"view_definition", TEXT}}},
};
/* clang-format on */
const size_t tni_info_schema_tables_count =
    sizeof tni_info_schema_tables / sizeof *tni_info_schema_tables;
