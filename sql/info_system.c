/* The catalog `system` as Trino's clients know it: jdbc (what DatabaseMetaData of the JDBC driver
 * and so every JDBC tool reads), metadata, runtime. Rows are made from the catalog snapshot for
 * each of the catalogs hive, system and tarn; names are lower case.
 * @thread any */
#include "sql/system_tables_int.h"

static const char *const catalogs[] = {"hive", "system", "tarn"};
#define CATALOGS_COUNT (sizeof catalogs / sizeof *catalogs)

static void fill_nulls(struct tni_fill *fill, int count)
{
    for (int i = 0; i < count; i++)
        tni_fill_null(fill);
}

/* ---- names ---- */

static enum tn_status fill_catalogs(struct tni_exec_ctx *ctx, const struct tn_system_table *table,
                                    struct tni_fill *fill, struct tn_err *err)
{
    (void)ctx;
    (void)err;
    for (size_t i = 0; i < CATALOGS_COUNT; i++) {
        tni_fill_text(fill, catalogs[i]);
        if (table->schema->fields_count == 3) { /* metadata.catalogs */
            tni_fill_text(fill, catalogs[i]);
            tni_fill_text(fill, i == 1 ? "system" : "tarn");
        }
        if (!tni_fill_row_done(fill))
            break;
    }
    return TN_OK;
}

static bool schemas_row(void *ctx, const char *name)
{
    struct tni_walk *walk = ctx;
    tni_fill_lower(walk->ctx, walk->fill, tn_str_of(name));
    tni_fill_text(walk->fill, walk->catalog_name);
    return tni_fill_row_done(walk->fill);
}

static enum tn_status fill_schemas(struct tni_exec_ctx *ctx, const struct tn_system_table *table,
                                   struct tni_fill *fill, struct tn_err *err)
{
    (void)table;
    (void)err;
    for (size_t i = 0; ctx->catalog && i < CATALOGS_COUNT; i++) {
        struct tni_walk walk = {.ctx = ctx, .fill = fill, .catalog_name = catalogs[i]};
        tn_catalog_each_schema_of(ctx->catalog, tn_str_of(catalogs[i]), schemas_row, &walk);
    }
    return TN_OK;
}

static bool fill_names(struct tni_walk *walk, const struct tn_object *object)
{
    const char *schema_name;
    if (!tn_catalog_object_in(object, tn_str_of(walk->catalog_name), &schema_name))
        return false;
    tni_fill_text(walk->fill, walk->catalog_name);
    tni_fill_lower(walk->ctx, walk->fill, tn_str_of(schema_name));
    tni_fill_lower(walk->ctx, walk->fill, tn_str_of(object->name));
    return true;
}

static void each_object(struct tni_exec_ctx *ctx, struct tni_fill *fill, struct tn_buf *type,
                        bool (*each)(void *ctx, const struct tn_object *object))
{
    for (size_t i = 0; ctx->catalog && i < CATALOGS_COUNT; i++) {
        struct tni_walk walk = {
            .ctx = ctx, .fill = fill, .catalog_name = catalogs[i], .type = type};
        tn_catalog_each(ctx->catalog, each, &walk);
    }
}

static bool tables_row(void *ctx, const struct tn_object *object)
{
    struct tni_walk *walk = ctx;
    if (!fill_names(walk, object))
        return true;
    tni_fill_text(walk->fill, object->kind == TN_OBJ_VIEW ? "VIEW" : "TABLE");
    fill_nulls(walk->fill, 6);
    return tni_fill_row_done(walk->fill);
}

static enum tn_status fill_tables(struct tni_exec_ctx *ctx, const struct tn_system_table *table,
                                  struct tni_fill *fill, struct tn_err *err)
{
    (void)table;
    (void)err;
    each_object(ctx, fill, NULL, tables_row);
    return TN_OK;
}

static bool comments_row(void *ctx, const struct tn_object *object)
{
    struct tni_walk *walk = ctx;
    if (!fill_names(walk, object))
        return true;
    tni_fill_text(walk->fill, object->system ? object->system->help : NULL);
    return tni_fill_row_done(walk->fill);
}

static enum tn_status fill_comments(struct tni_exec_ctx *ctx, const struct tn_system_table *table,
                                    struct tni_fill *fill, struct tn_err *err)
{
    (void)table;
    (void)err;
    each_object(ctx, fill, NULL, comments_row);
    return TN_OK;
}

static enum tn_status fill_table_types(struct tni_exec_ctx *ctx,
                                       const struct tn_system_table *table, struct tni_fill *fill,
                                       struct tn_err *err)
{
    (void)ctx;
    (void)table;
    (void)err;
    tni_fill_text(fill, "TABLE");
    if (!tni_fill_row_done(fill))
        return TN_OK;
    tni_fill_text(fill, "VIEW");
    (void)tni_fill_row_done(fill);
    return TN_OK;
}

/* ---- types as java.sql.Types ---- */

struct jdbc_type {
    int code; /* java.sql.Types */
    int size; /* 0 = NULL */
    int radix;
};

static struct jdbc_type jdbc_of(const struct tn_type *type)
{
    int p = type->precision;
    switch (type->kind) {
    case TN_K_BOOLEAN: return (struct jdbc_type){16, 0, 0};
    case TN_K_INTEGER: return (struct jdbc_type){4, 10, 10};
    case TN_K_BIGINT: return (struct jdbc_type){-5, 19, 10};
    case TN_K_DOUBLE: return (struct jdbc_type){8, 53, 2};
    case TN_K_DECIMAL: return (struct jdbc_type){3, p, 10};
    case TN_K_VARCHAR:
        return (struct jdbc_type){12, type->length_max ? (int)type->length_max : INT32_MAX, 0};
    case TN_K_BYTES: return (struct jdbc_type){-3, INT32_MAX, 0};
    case TN_K_DATE: return (struct jdbc_type){91, 14, 0};
    case TN_K_TIME: return (struct jdbc_type){92, 8 + (p > 0) + p, 0};
    case TN_K_TIMESTAMP: return (struct jdbc_type){93, 21 + (p > 0) + p, 0};
    case TN_K_TIMESTAMP_TZ: return (struct jdbc_type){2014, 55 + (p > 0) + p, 0};
    case TN_K_ARRAY: return (struct jdbc_type){2003, 0, 0};
    default: return (struct jdbc_type){2000, 0, 0};
    }
}

static void fill_or_null(struct tni_fill *fill, int64_t value, bool is_there)
{
    if (is_there)
        tni_fill_int(fill, value);
    else
        tni_fill_null(fill);
}

static void fill_column(struct tni_walk *walk, const struct tn_field *field, uint32_t position)
{
    const struct tn_type *type = field->type;
    struct jdbc_type jdbc = jdbc_of(type);
    struct tni_fill *fill = walk->fill;
    bool is_text = type->kind == TN_K_VARCHAR || type->kind == TN_K_BYTES;
    bool is_time = type->kind >= TN_K_TIME && type->kind <= TN_K_TIMESTAMP_TZ;
    bool is_decimal = type->kind == TN_K_DECIMAL;
    tn_buf_reset(walk->type);
    tn_type_print_trino(type, walk->type);
    tni_fill_lower(walk->ctx, fill, field->name);
    tni_fill_int(fill, jdbc.code);
    tni_fill_str(fill, tn_buf_str(walk->type));
    fill_or_null(fill, jdbc.size, jdbc.size > 0);
    tni_fill_int(fill, 0);
    fill_or_null(fill, is_decimal ? type->scale : type->precision, is_decimal || is_time);
    fill_or_null(fill, jdbc.radix, jdbc.radix > 0);
    tni_fill_int(fill, 1);
    fill_nulls(fill, 4);
    fill_or_null(fill, jdbc.size, is_text);
    tni_fill_int(fill, position);
    tni_fill_text(fill, "YES");
    fill_nulls(fill, 6);
}

static bool columns_rows(void *ctx, const struct tn_object *object)
{
    struct tni_walk *walk = ctx;
    const char *ignored;
    if (!tn_catalog_object_in(object, tn_str_of(walk->catalog_name), &ignored))
        return true;
    for (uint32_t i = 0; object->schema && i < object->schema->fields_count; i++) {
        (void)fill_names(walk, object);
        fill_column(walk, &object->schema->fields[i], i + 1);
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
    each_object(ctx, fill, &type, columns_rows);
    tn_buf_release(&type);
    return TN_OK;
}

/* Types with arguments stand there with their bare name, as in Trino. */
static enum tn_status fill_types(struct tni_exec_ctx *ctx, const struct tn_system_table *table,
                                 struct tni_fill *fill, struct tn_err *err)
{
    static const struct {
        enum tn_kind kind;
        int code, precision, radix;
        bool is_searchable;
    } types[] = {
        {TN_K_BIGINT, -5, 19, 10, true},       {TN_K_BYTES, -3, INT32_MAX, 0, true},
        {TN_K_INTEGER, 4, 10, 10, true},       {TN_K_DOUBLE, 8, 53, 2, true},
        {TN_K_BOOLEAN, 16, 0, 0, true},        {TN_K_DATE, 91, 14, 0, true},
        {TN_K_ARRAY, 2003, 0, 0, false},       {TN_K_DECIMAL, 2000, 0, 0, false},
        {TN_K_INTERVAL_DAY, 2000, 0, 0, true}, {TN_K_INTERVAL_YEAR, 2000, 0, 0, true},
        {TN_K_JSON, 2000, 0, 0, true},         {TN_K_MAP, 2000, 0, 0, false},
        {TN_K_STRUCT, 2000, 0, 0, false},      {TN_K_TIME, 2000, 0, 0, false},
        {TN_K_TIMESTAMP, 2000, 0, 0, false},   {TN_K_TIMESTAMP_TZ, 2000, 0, 0, false},
        {TN_K_NULL, 2000, 0, 0, true},         {TN_K_VARCHAR, 2000, 0, 0, false},
    };
    (void)ctx;
    (void)table;
    (void)err;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        tni_fill_text(fill, tn_kind_trino(types[i].kind));
        tni_fill_int(fill, types[i].code);
        fill_or_null(fill, types[i].precision, types[i].precision > 0);
        fill_nulls(fill, 3);
        tni_fill_int(fill, 1);
        tni_fill_bool(fill, false);
        tni_fill_int(fill, types[i].is_searchable ? 3 : 0);
        tni_fill_null(fill);
        tni_fill_bool(fill, false);
        fill_nulls(fill, 2);
        tni_fill_int(fill, 0);
        tni_fill_int(fill, 0);
        fill_nulls(fill, 2);
        fill_or_null(fill, types[i].radix, types[i].radix > 0);
        if (!tni_fill_row_done(fill))
            break;
    }
    return TN_OK;
}

/* ---- runtime ---- */

static enum tn_status fill_nodes(struct tni_exec_ctx *ctx, const struct tn_system_table *table,
                                 struct tni_fill *fill, struct tn_err *err)
{
    (void)table;
    (void)err;
    tni_fill_text(fill, ctx->application_id ? ctx->application_id : "tarn");
    tni_fill_text(fill, ctx->queries && ctx->queries->uri ? ctx->queries->uri : "");
    tni_fill_text(fill, TN_VERSION);
    tni_fill_bool(fill, true);
    tni_fill_text(fill, "active");
    (void)tni_fill_row_done(fill);
    return TN_OK;
}

static void fill_stamp(struct tni_fill *fill, int64_t ms)
{
    fill_or_null(fill, ms * 1000, ms > 0);
}

static bool queries_row(void *ctx, const struct tni_query_row *row)
{
    struct tni_walk *walk = ctx;
    struct tni_fill *fill = walk->fill;
    struct tn_value group = {.type = tn_type_of(TN_K_VARCHAR), .s = TN_STR("global")};
    struct tn_value list = {.list = {1, &group}};
    list.type = walk->list_type;
    tni_fill_text(fill, row->id);
    tni_fill_text(fill, row->state);
    tni_fill_text(fill, row->user);
    tni_fill_text(fill, row->source);
    tni_fill_str(fill, row->text);
    tni_fill_value(fill, &list);
    tni_fill_int(fill, row->queued_ms);
    tni_fill_int(fill, 0);
    tni_fill_int(fill, 0);
    fill_stamp(fill, row->created_ms);
    fill_stamp(fill, row->started_ms);
    fill_stamp(fill, row->seen_ms);
    fill_stamp(fill, row->ended_ms);
    tni_fill_text(fill, row->error_type);
    tni_fill_text(fill, row->error_name);
    return tni_fill_row_done(fill);
}

static enum tn_status fill_queries(struct tni_exec_ctx *ctx, const struct tn_system_table *table,
                                   struct tni_fill *fill, struct tn_err *err)
{
    (void)err;
    struct tni_walk walk = {.ctx = ctx, .fill = fill, .list_type = table->schema->fields[5].type};
    if (ctx->queries)
        ctx->queries->each(ctx->queries, queries_row, &walk);
    return TN_OK;
}

/* ---- descriptors, in order of schema and name ---- */

#define TEXT  TN_K_VARCHAR
#define LONG  TN_K_BIGINT
#define FLAG  TN_K_BOOLEAN
#define LIST  TN_K_ARRAY
#define STAMP TN_K_TIMESTAMP_TZ
#define JDBC  "system.jdbc"
#define META  "system.metadata"
#define RUN   "system.runtime"

/* clang-format off */
const struct tni_table_desc tni_info_system_tables[] = {
    {JDBC, "attributes", "none", tni_fill_nothing, NULL,
     {{"type_cat", TEXT}, {"type_schem", TEXT}, {"type_name", TEXT}, {"attr_name", TEXT},
      {"data_type", LONG}, {"attr_type_name", TEXT}, {"attr_size", LONG}, {"decimal_digits", LONG},
      {"num_prec_radix", LONG}, {"nullable", LONG}, {"remarks", TEXT}, {"attr_def", TEXT},
      {"sql_data_type", LONG}, {"sql_datetime_sub", LONG}, {"char_octet_length", LONG},
      {"ordinal_position", LONG}, {"is_nullable", TEXT}, {"scope_catalog", TEXT},
      {"scope_schema", TEXT}, {"scope_table", TEXT}, {"source_data_type", LONG}}},
    {JDBC, "catalogs", "catalogs", fill_catalogs, NULL, {{"table_cat", TEXT}}},
    {JDBC, "columns", "columns of all tables and views", fill_columns, NULL,
     {{"table_cat", TEXT}, {"table_schem", TEXT}, {"table_name", TEXT}, {"column_name", TEXT},
      {"data_type", LONG}, {"type_name", TEXT}, {"column_size", LONG}, {"buffer_length", LONG},
      {"decimal_digits", LONG}, {"num_prec_radix", LONG}, {"nullable", LONG}, {"remarks", TEXT},
      {"column_def", TEXT}, {"sql_data_type", LONG}, {"sql_datetime_sub", LONG},
      {"char_octet_length", LONG}, {"ordinal_position", LONG}, {"is_nullable", TEXT},
      {"scope_catalog", TEXT}, {"scope_schema", TEXT}, {"scope_table", TEXT},
      {"source_data_type", LONG}, {"is_autoincrement", TEXT}, {"is_generatedcolumn", TEXT}}},
    {JDBC, "procedure_columns", "none", tni_fill_nothing, NULL,
     {{"procedure_cat", TEXT}, {"procedure_schem", TEXT}, {"procedure_name", TEXT},
      {"column_name", TEXT}, {"column_type", LONG}, {"data_type", LONG}, {"type_name", TEXT},
      {"precision", LONG}, {"length", LONG}, {"scale", LONG}, {"radix", LONG}, {"nullable", LONG},
      {"remarks", TEXT}, {"column_def", TEXT}, {"sql_data_type", LONG},
      {"sql_datetime_sub", LONG}, {"char_octet_length", LONG}, {"ordinal_position", LONG},
      {"is_nullable", TEXT}, {"specific_name", TEXT}}},
    {JDBC, "procedures", "none", tni_fill_nothing, NULL,
     {{"procedure_cat", TEXT}, {"procedure_schem", TEXT}, {"procedure_name", TEXT},
      {"remarks", TEXT}, {"procedure_type", LONG}, {"specific_name", TEXT}}},
    {JDBC, "pseudo_columns", "none", tni_fill_nothing, NULL,
     {{"table_cat", TEXT}, {"table_schem", TEXT}, {"table_name", TEXT}, {"column_name", TEXT},
      {"data_type", LONG}, {"column_size", LONG}, {"decimal_digits", LONG},
      {"num_prec_radix", LONG}, {"column_usage", TEXT}, {"remarks", TEXT},
      {"char_octet_length", LONG}, {"is_nullable", LONG}}},
    {JDBC, "schemas", "schemas of all catalogs", fill_schemas, NULL,
     {{"table_schem", TEXT}, {"table_catalog", TEXT}}},
    {JDBC, "super_tables", "none", tni_fill_nothing, NULL,
     {{"table_cat", TEXT}, {"table_schem", TEXT}, {"table_name", TEXT},
      {"supertable_name", TEXT}}},
    {JDBC, "super_types", "none", tni_fill_nothing, NULL,
     {{"type_cat", TEXT}, {"type_schem", TEXT}, {"type_name", TEXT}, {"supertype_cat", TEXT},
      {"supertype_schem", TEXT}, {"supertype_name", TEXT}}},
    {JDBC, "table_types", "TABLE and VIEW", fill_table_types, NULL, {{"table_type", TEXT}}},
    {JDBC, "tables", "tables and views of all catalogs", fill_tables, NULL,
     {{"table_cat", TEXT}, {"table_schem", TEXT}, {"table_name", TEXT}, {"table_type", TEXT},
      {"remarks", TEXT}, {"type_cat", TEXT}, {"type_schem", TEXT}, {"type_name", TEXT},
      {"self_referencing_col_name", TEXT}, {"ref_generation", TEXT}}},
    {JDBC, "types", "types", fill_types, NULL,
     {{"type_name", TEXT}, {"data_type", LONG}, {"precision", LONG}, {"literal_prefix", TEXT},
      {"literal_suffix", TEXT}, {"create_params", TEXT}, {"nullable", LONG},
      {"case_sensitive", FLAG}, {"searchable", LONG}, {"unsigned_attribute", FLAG},
      {"fixed_prec_scale", FLAG}, {"auto_increment", FLAG}, {"local_type_name", TEXT},
      {"minimum_scale", LONG}, {"maximum_scale", LONG}, {"sql_data_type", LONG},
      {"sql_datetime_sub", LONG}, {"num_prec_radix", LONG}}},
    {JDBC, "udts", "none", tni_fill_nothing, NULL,
     {{"type_cat", TEXT}, {"type_schem", TEXT}, {"type_name", TEXT}, {"class_name", TEXT},
      {"data_type", TEXT}, {"remarks", TEXT}, {"base_type", TEXT}}},
    {META, "catalogs", "catalogs", fill_catalogs, NULL,
     {{"catalog_name", TEXT}, {"connector_id", TEXT}, {"connector_name", TEXT}}},
    {META, "materialized_views", "none", tni_fill_nothing, NULL,
     {{"catalog_name", TEXT}, {"schema_name", TEXT}, {"name", TEXT}, {"storage_catalog", TEXT},
      {"storage_schema", TEXT}, {"storage_table", TEXT}, {"freshness", TEXT},
      {"last_fresh_time", STAMP}, {"comment", TEXT}, {"definition", TEXT}}},
    {META, "table_comments", "tables and their comments", fill_comments, NULL,
     {{"catalog_name", TEXT}, {"schema_name", TEXT}, {"table_name", TEXT}, {"comment", TEXT}}},
    {RUN, "nodes", "this process", fill_nodes, NULL,
     {{"node_id", TEXT}, {"http_uri", TEXT}, {"node_version", TEXT}, {"coordinator", FLAG},
      {"state", TEXT}}},
    {RUN, "queries", "statements of Trino clients, running and recent", fill_queries, NULL,
     {{"query_id", TEXT}, {"state", TEXT}, {"user", TEXT}, {"source", TEXT}, {"query", TEXT},
      {"resource_group_id", LIST}, {"queued_time_ms", LONG}, {"analysis_time_ms", LONG},
      {"planning_time_ms", LONG}, {"created", STAMP}, {"started", STAMP},
      {"last_heartbeat", STAMP}, {"end", STAMP}, {"error_type", TEXT}, {"error_code", TEXT}}},
};
/* clang-format on */
const size_t tni_info_system_tables_count =
    sizeof tni_info_system_tables / sizeof *tni_info_system_tables;
