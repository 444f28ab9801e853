/* DDL of zone tables: CREATE TABLE zone.t (columns) WITH (format, external_location, …), location
 * of CREATE SCHEMA. Only the catalog changes; nothing is written to the object store.
 *
 * Properties carry the names of Trino's Hive connector, so that statements move over unchanged.
 */
#include "sql/zone_ddl.h"

#include <ctype.h>

#include "sql/zone.h"

struct zone_with {
    const char *format, *external_location, *malformed;
    const char *separator, *quote, *escape;
    int64_t header_lines, list_max_age_ms;
    uint32_t partitions_count;
    struct tn_str *partitions;
};

#define AT(field) offsetof(struct zone_with, field)

static const struct tn_opt zone_items[] = {
    {"format", TN_OPT_CHOICE, AT(format), "JSON", 0, 0, "JSON,CSV", 0, NULL,
     "format of the files: JSON (one object a line) or CSV; gzip and zstd are recognised"},
    {"external_location", TN_OPT_STRING, AT(external_location), "", 0, 0, NULL, 0, NULL,
     "folder of the files: s3://bucket/prefix/, s3a://…, file:///folder/"},
    {"malformed", TN_OPT_CHOICE, AT(malformed), "null", 0, 0, "null,skip,fail", 0, NULL,
     "lines that are no row: a row of NULLs, left out, or an error"},
    {"csv_separator", TN_OPT_STRING, AT(separator), ",", 0, 0, NULL, 0, NULL, "one character"},
    {"csv_quote", TN_OPT_STRING, AT(quote), "\"", 0, 0, NULL, 0, NULL, "one character"},
    {"csv_escape", TN_OPT_STRING, AT(escape), "\"", 0, 0, NULL, 0, NULL,
     "one character; the quote itself means doubled quotes"},
    {"skip_header_line_count", TN_OPT_INT, AT(header_lines), "0", 0, 1000, NULL, 0, NULL,
     "lines at the start of each CSV file that are no rows"},
    {"list_max_age_ms", TN_OPT_MS, AT(list_max_age_ms), "0", 0, INT64_MAX, NULL, 0, NULL,
     "how long a listing of the files may be used again; 0 = list at each query"},
};
static const struct tn_opts zone_opts = {"zone table WITH", zone_items,
                                         sizeof zone_items / sizeof *zone_items};

/* ---- WITH ---- */

static enum tn_status prop_error(const struct tn_ast_prop *prop, const char *what,
                                 struct tn_err *err)
{
    return tn_err_at(err, TN_E_INVALID, "INVALID_TABLE_PROPERTY", prop->name.line, prop->name.col,
                     "property %.*s must be %s", TN_STR_FMT(prop->name.text), what);
}

/* ARRAY['dt', 'country'] */
static enum tn_status prop_partitions(struct tni_change *change, const struct tn_ast_prop *prop,
                                      struct zone_with *with, struct tn_err *err)
{
    const struct tn_ast_expr *value = prop->value;
    if (!value || value->kind != TN_AX_ARRAY)
        return prop_error(prop, "an array of column names: ARRAY['dt']", err);
    with->partitions = TN_ARENA_ARRAY(change->arena, struct tn_str, value->args_count + 1);
    for (uint32_t i = 0; i < value->args_count; i++) {
        if (value->args[i]->kind != TN_AX_STRING)
            return prop_error(prop, "an array of column names: ARRAY['dt']", err);
        with->partitions[i] = value->args[i]->text;
    }
    with->partitions_count = value->args_count;
    return TN_OK;
}

static enum tn_status prop_set(struct tni_change *change, const struct tn_ast_prop *prop,
                               struct zone_with *with, struct tn_err *err)
{
    const struct tn_ast_expr *value = prop->value;
    struct tn_str text;
    if (tn_str_eq_nocase(prop->name.text, TN_STR("partitioned_by")))
        return prop_partitions(change, prop, with, err);
    if (value && (value->kind == TN_AX_STRING || value->kind == TN_AX_INTEGER))
        text = value->text;
    else if (value && value->kind == TN_AX_NAME && value->name->parts_count == 1)
        text = value->name->parts[0].text;
    else
        return prop_error(prop, "a text or a number", err);
    enum tn_status st = tn_opt_set(&zone_opts, with, prop->name.text, text, change->arena, err);
    if (tn_failed(st) && err) {
        err->line = prop->name.line;
        err->col = prop->name.col;
        err->name = "INVALID_TABLE_PROPERTY";
    }
    return st;
}

static enum tn_status one_char(const char *name, const char *text, char *ret_char,
                               struct tn_err *err)
{
    if (!strcasecmp(text, "TAB") || !strcmp(text, "\\t")) {
        *ret_char = '\t';
        return TN_OK;
    }
    if (strlen(text) != 1 || text[0] == '\n' || text[0] == '\r')
        return tn_err_at(err, TN_E_INVALID, "INVALID_TABLE_PROPERTY", 0, 0,
                         "property %s must be one character or TAB", name);
    *ret_char = text[0];
    return TN_OK;
}

static enum tn_status fill_layout(const struct zone_with *with, struct tn_file_layout *layout,
                                  struct tn_err *err)
{
    layout->format = strcmp(with->format, "CSV") == 0 ? TN_FILE_CSV : TN_FILE_JSON;
    layout->on_bad = strcmp(with->malformed, "skip") == 0   ? TN_FILE_BAD_SKIP
                     : strcmp(with->malformed, "fail") == 0 ? TN_FILE_BAD_FAIL
                                                            : TN_FILE_BAD_NULL;
    layout->header_lines = (uint32_t)with->header_lines;
    TN_TRY(one_char("csv_separator", with->separator, &layout->separator, err));
    TN_TRY(one_char("csv_quote", with->quote, &layout->quote, err));
    return one_char("csv_escape", with->escape, &layout->escape, err);
}

/* ---- columns ---- */

static bool has_length(const struct tn_type *type)
{
    bool found = type->length_max > 0;
    for (uint32_t i = 0; i < type->children_count; i++)
        found |= has_length(type->children[i].type);
    return found;
}

static enum tn_status zone_columns(struct tni_change *change, const struct tn_ast_create *create,
                                   struct tn_arena *arena, struct tn_schema **ret_schema,
                                   struct tn_err *err)
{
    struct tni_bind bind;
    uint32_t count = create->columns_count;
    struct tn_field *fields = TN_ARENA_ARRAY(arena, struct tn_field, count + 1);
    tni_bind_init(&bind, arena, TN_RULES_QUERY, change->catalog, change->session, 0);
    for (uint32_t i = 0; i < count; i++) {
        const struct tn_ast_column *column = &create->columns[i];
        if (column->like || !column->type || column->deflt || column->role != TN_AC_VALUE)
            return tni_not_supported(err, column->line, column->col,
                                     "columns of zone tables have a name and a type, no key, LIKE "
                                     "or DEFAULT");
        for (uint32_t j = 0; j < i; j++)
            if (tn_catalog_name_eq(change->catalog, fields[j].name, column->name.text))
                return tn_err_at(err, TN_E_NAME, "DUPLICATE_COLUMN_NAME", column->line, column->col,
                                 "column '%.*s' is declared twice", TN_STR_FMT(column->name.text));
        const struct tn_type *type;
        TN_TRY(tni_bind_type(&bind, column->type, &type, err));
        if (tn_kind_is_nested(type->kind) && has_length(type))
            return tni_not_supported(err, column->line, column->col,
                                     "VARCHAR(n) inside ARRAY, MAP or ROW is not supported in zone "
                                     "tables: write VARCHAR");
        fields[i].name = tn_arena_str(arena, column->name.text);
        fields[i].type = tn_type_copy(arena, type);
    }
    struct tn_schema *schema = TN_ARENA_NEW(arena, struct tn_schema);
    *schema = (struct tn_schema){count, fields};
    *ret_schema = schema;
    return TN_OK;
}

/* Partition columns are the last ones, in the order of the folders, as Hive has it. */
static enum tn_status check_partitions(const struct zone_with *with, const struct tn_schema *schema,
                                       struct tn_err *err)
{
    if (with->partitions_count >= schema->fields_count && with->partitions_count)
        return tn_err_at(err, TN_E_INVALID, "INVALID_TABLE_PROPERTY", 0, 0,
                         "partitioned_by: at least one column must be stored in the files");
    for (uint32_t i = 0; i < with->partitions_count; i++) {
        uint32_t at = schema->fields_count - with->partitions_count + i;
        if (!tn_str_eq_nocase(schema->fields[at].name, with->partitions[i])) {
            tn_err_at(err, TN_E_INVALID, "INVALID_TABLE_PROPERTY", 0, 0,
                      "partitioned_by: '%.*s' must be column %u of the table",
                      TN_STR_FMT(with->partitions[i]), at + 1);
            tn_err_hint(err, "partition columns come last, in the order of partitioned_by");
            return TN_E_INVALID;
        }
        if (tn_kind_is_nested(schema->fields[at].type->kind))
            return tn_err_at(err, TN_E_INVALID, "INVALID_TABLE_PROPERTY", 0, 0,
                             "partitioned_by: '%.*s' has no scalar type",
                             TN_STR_FMT(with->partitions[i]));
    }
    return TN_OK;
}

static enum tn_status check_csv(const struct tn_file_layout *layout, struct tn_err *err)
{
    for (uint32_t i = 0; layout->format == TN_FILE_CSV && i < layout->schema->fields_count; i++)
        if (tn_kind_is_nested(layout->schema->fields[i].type->kind))
            return tn_err_at(err, TN_E_INVALID, "INVALID_TABLE_PROPERTY", 0, 0,
                             "column '%.*s': CSV files hold no arrays, maps or rows",
                             TN_STR_FMT(layout->schema->fields[i].name));
    return TN_OK;
}

/* ---- CREATE TABLE ---- */

static enum tn_status zone_location(struct tni_change *change, const struct zone_with *with,
                                    struct tn_str schema_name, struct tn_str name,
                                    struct tn_arena *arena, const char **ret_location,
                                    struct tn_err *err)
{
    struct tn_buf url;
    enum tn_status st;
    tn_buf_init(&url, TN_ZONE_URL_MAX);
    if (*with->external_location)
        st = tn_zone_url_clean("external_location", tn_str_of(with->external_location), &url, err);
    else
        st = tn_zone_table_url(change->catalog, schema_name, name, change->db->config.lake_dir,
                               &url, err);
    if (!tn_failed(st))
        *ret_location = tn_arena_strdup(arena, tn_buf_cstr(&url));
    tn_buf_release(&url);
    return st;
}

static enum tn_status fill_zone(struct tni_change *change, const struct zone_with *with,
                                struct tn_schema *schema, struct tni_entry *entry,
                                struct tn_err *err)
{
    struct tn_arena *arena = &entry->arena;
    struct tn_object *object = &entry->object;
    struct tn_zone_table *zone = TN_ARENA_NEW(arena, struct tn_zone_table);
    TN_TRY(check_partitions(with, schema, err));
    TN_TRY(fill_layout(with, &zone->layout, err));
    struct tn_schema *stored = TN_ARENA_NEW(arena, struct tn_schema);
    *stored = (struct tn_schema){schema->fields_count - with->partitions_count, schema->fields};
    zone->layout.schema = stored;
    zone->partitions_count = with->partitions_count;
    zone->is_external = *with->external_location != 0;
    zone->list_max_age_ms = with->list_max_age_ms;
    TN_TRY(check_csv(&zone->layout, err));
    object->schema = schema;
    object->zone = zone;
    return zone_location(change, with, tn_str_of(object->schema_name), tn_str_of(object->name),
                         arena, &zone->location, err);
}

static bool same_text(const char *a, const char *b)
{
    return (!a && !b) || (a && b && !strcmp(a, b));
}

bool tni_zone_same(const struct tn_object *a, const struct tn_object *b)
{
    const struct tn_zone_table *x = a->zone, *y = b->zone;
    if (!x || !y || !same_text(x->location, y->location) || x->is_external != y->is_external ||
        x->partitions_count != y->partitions_count || x->list_max_age_ms != y->list_max_age_ms ||
        x->layout.format != y->layout.format || x->layout.on_bad != y->layout.on_bad ||
        x->layout.separator != y->layout.separator || x->layout.quote != y->layout.quote ||
        x->layout.escape != y->layout.escape || x->layout.header_lines != y->layout.header_lines ||
        a->schema->fields_count != b->schema->fields_count)
        return false;
    for (uint32_t i = 0; i < a->schema->fields_count; i++)
        if (!tn_str_eq(a->schema->fields[i].name, b->schema->fields[i].name) ||
            !tn_type_eq(a->schema->fields[i].type, b->schema->fields[i].type))
            return false;
    return true;
}

bool tni_zone_is_target(struct tn_str schema_name, const struct tn_ast_props *props)
{
    bool has_location = false, has_topic = false;
    for (uint32_t i = 0; i < props->items_count; i++) {
        has_location |= tn_str_eq_nocase(props->items[i].name.text, TN_STR("external_location"));
        has_topic |= tn_str_eq_nocase(props->items[i].name.text, TN_STR("KAFKA_TOPIC"));
    }
    return tn_zone_is_schema(schema_name) || (has_location && !has_topic);
}

static enum tn_status zone_entry(struct tni_change *change, const struct tn_ast_stmt *stmt,
                                 struct tn_str schema_name, struct tn_str name,
                                 struct tn_schema *given, struct tni_entry *entry,
                                 struct tn_err *err)
{
    const struct tn_ast_create *create = stmt->create;
    struct tn_object *object = &entry->object;
    struct zone_with with;
    struct tn_schema *schema = given;
    memset(&with, 0, sizeof with);
    tn_opt_defaults(&zone_opts, &with, change->arena);
    for (uint32_t i = 0; i < create->props.items_count; i++)
        TN_TRY(prop_set(change, &create->props.items[i], &with, err));
    if (!schema)
        TN_TRY(zone_columns(change, create, &entry->arena, &schema, err));
    object->kind = TN_OBJ_ZONE;
    object->schema_name = tn_arena_str(&entry->arena, schema_name).ptr;
    object->name = tn_arena_str(&entry->arena, name).ptr;
    object->statement = tn_arena_str(&entry->arena, stmt->text).ptr;
    object->created_ms = change->record.created_ms;
    enum tn_status st = fill_zone(change, &with, schema, entry, err);
    if (tn_failed(st) && err && !err->line) {
        err->line = create->props.line ? create->props.line : create->name->line;
        err->col = create->props.line ? create->props.col : create->name->col;
    }
    return st;
}

enum tn_status tni_apply_zone_table(struct tni_change *change, const struct tn_ast_stmt *stmt,
                                    struct tn_str schema_name, struct tn_str name,
                                    struct tn_err *err)
{
    const struct tn_ast_create *create = stmt->create;
    const struct tn_object *old;
    TN_TRY(tni_check_exists(change, create, schema_name, name, &old, err));
    if (change->is_noop)
        return TN_OK;
    if (stmt->kind == TN_AS_CREATE_STREAM || create->is_source)
        return tni_not_supported(err, stmt->line, stmt->col,
                                 "schema '%.*s' is a zone: it holds tables of files, streams live "
                                 "in schema 'default'",
                                 TN_STR_FMT(schema_name));
    if (!create->columns_count)
        return tn_err_at(err, TN_E_INVALID, "INVALID_ARGUMENTS", stmt->line, stmt->col,
                         "a zone table needs columns");
    if (old && old->kind != TN_OBJ_ZONE)
        return tn_err_at(err, TN_E_INVALID, "INVALID_ARGUMENTS", create->name->line,
                         create->name->col, "'%s' is not a zone table", old->name);
    struct tni_entry *entry = tni_cat_entry_new(TNI_ENTRY_OBJECT);
    enum tn_status st = zone_entry(change, stmt, schema_name, name, NULL, entry, err);
    if (!tn_failed(st) && old && tni_zone_same(old, &entry->object))
        change->is_noop = true;
    if (tn_failed(st) || change->is_noop) {
        tni_cat_entry_unref(entry);
        return st;
    }
    tni_catalog_put(change->catalog, entry);
    change->message = tn_arena_printf(change->arena, "created table %.*s", TN_STR_FMT(name));
    return TN_OK;
}

/* ---- CREATE SCHEMA ---- */

enum tn_status tni_zone_schema_props(const struct tn_ast_create *create, struct tni_entry *entry,
                                     struct tn_err *err)
{
    for (uint32_t i = 0; i < create->props.items_count; i++) {
        const struct tn_ast_prop *prop = &create->props.items[i];
        if (!tn_str_eq_nocase(prop->name.text, TN_STR("location")))
            return tn_err_at(err, TN_E_INVALID, "INVALID_SCHEMA_PROPERTY", prop->name.line,
                             prop->name.col, "no schema property '%.*s'; there is: location",
                             TN_STR_FMT(prop->name.text));
        if (!prop->value || prop->value->kind != TN_AX_STRING)
            return prop_error(prop, "a text", err);
        struct tn_buf url;
        tn_buf_init(&url, TN_ZONE_URL_MAX);
        enum tn_status st = tn_zone_url_clean("location", prop->value->text, &url, err);
        if (!tn_failed(st))
            entry->location = tn_arena_strdup(&entry->arena, tn_buf_cstr(&url));
        else if (err) {
            err->line = prop->name.line;
            err->col = prop->name.col;
        }
        tn_buf_release(&url);
        TN_TRY(st);
    }
    return TN_OK;
}
