/* CREATE STREAM and CREATE TABLE with columns: a topic declared as a stream or table. ALTER … ADD
 * COLUMN.
 *
 * Every declared TABLE gets an internal query that folds its topic into a store, so that ad-hoc
 * queries read it like a KTable: by key, as of a commit, together with the others. The price is one
 * copy of the table on disk.
 * Tables with windowed keys have none: queries fold their topic.
 */
#include "sql/db_int.h"
#include "connectors/ingest.h"
#include "sql/zone_ddl.h"

#include <ctype.h>
#include <stdio.h>

/* ---- WITH ---- */

enum tn_status tni_prop_text(struct tni_change *change, const struct tn_ast_prop *prop,
                             struct tn_str *ret_text, struct tn_err *err)
{
    const struct tn_ast_expr *value = prop->value;
    switch (value ? value->kind : TN_AX_NULL) {
    case TN_AX_STRING:
    case TN_AX_INTEGER:
    case TN_AX_DECIMAL: *ret_text = value->text; return TN_OK;
    case TN_AX_BOOLEAN: *ret_text = value->boolean ? TN_STR("true") : TN_STR("false"); return TN_OK;
    case TN_AX_NAME:
        if (value->name->parts_count == 1) {
            *ret_text = value->name->parts[0].text;
            return TN_OK;
        }
        break;
    default: break;
    }
    (void)change;
    return tn_err_at(err, TN_E_INVALID, "INVALID_TABLE_PROPERTY", prop->name.line, prop->name.col,
                     "property %.*s must be a text, a number, true or false",
                     TN_STR_FMT(prop->name.text));
}

enum tn_status tni_props_fill(struct tni_change *change, const struct tn_ast_props *props,
                              unsigned where, struct tni_with *with, struct tn_err *err)
{
    tni_with_init(with, change->arena);
    for (uint32_t i = 0; i < props->items_count; i++) {
        const struct tn_ast_prop *prop = &props->items[i];
        struct tn_str text;
        TN_TRY(tni_prop_text(change, prop, &text, err));
        enum tn_status st = tni_with_set(with, where, prop->name.text, text, change->arena, err);
        if (tn_failed(st)) {
            if (err && !err->line) {
                err->line = prop->name.line;
                err->col = prop->name.col;
            }
            return st;
        }
    }
    return TN_OK;
}

const char *tni_default_topic(struct tn_arena *arena, const struct tn_ident *name)
{
    char *topic = (char *)(uintptr_t)tn_arena_str(arena, name->text).ptr;
    for (char *p = topic; *p && !name->is_quoted; p++)
        *p = (char)toupper((unsigned char)*p);
    return topic;
}

/* ---- names ---- */

const char *tni_drop_text(struct tn_arena *arena, bool is_table, struct tn_str name)
{
    struct tn_buf buf;
    tn_buf_init(&buf, 1024);
    tn_buf_printf(&buf, "DROP %s \"", is_table ? "TABLE" : "STREAM");
    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] == '"')
            tn_buf_add_byte(&buf, '"');
        tn_buf_add_byte(&buf, name.ptr[i]);
    }
    tn_buf_add_byte(&buf, '"');
    const char *text = tn_arena_strdup(arena, tn_buf_cstr(&buf));
    tn_buf_release(&buf);
    return text;
}

enum tn_status tni_new_name(struct tni_change *change, const struct tn_ast_name *name,
                            struct tn_str *ret_schema, struct tn_str *ret_name, struct tn_err *err)
{
    struct tni_bind bind;
    tni_bind_init(&bind, change->arena, TN_RULES_STREAM, change->catalog, change->session,
                  change->record.created_ms);
    TN_TRY(tni_bind_schema(&bind, name, ret_schema, ret_name, err));
    if (tn_str_eq_nocase(*ret_schema, TN_STR("system")) ||
        tn_str_eq_nocase(*ret_schema, TN_STR("information_schema")))
        return tn_err_at(err, TN_E_DENIED, "PERMISSION_DENIED", name->line, name->col,
                         "nothing can be created in schema '%.*s'", TN_STR_FMT(*ret_schema));
    if (ret_name->len == 0 || ret_name->len > 200)
        return tn_err_at(err, TN_E_INVALID, "INVALID_ARGUMENTS", name->line, name->col,
                         "a name has 1 to 200 bytes");
    return TN_OK;
}

enum tn_status tni_check_exists(struct tni_change *change, const struct tn_ast_create *create,
                                struct tn_str schema_name, struct tn_str name,
                                const struct tn_object **ret_old, struct tn_err *err)
{
    const struct tn_object *old = tn_catalog_find(change->catalog, schema_name, name);
    *ret_old = old;
    if (!old || create->is_or_replace)
        return TN_OK;
    if (create->is_if_not_exists) {
        change->is_noop = true;
        return TN_OK;
    }
    tn_err_at(err, TN_E_EXISTS, "TABLE_ALREADY_EXISTS", create->name->line, create->name->col,
              "'%.*s' exists already", TN_STR_FMT(name));
    tn_err_hint(err, "CREATE OR REPLACE changes it, IF NOT EXISTS leaves it");
    return TN_E_EXISTS;
}

/* ---- columns ---- */

static bool has_map(const struct tn_type *type)
{
    if (type->kind == TN_K_MAP)
        return true;
    for (uint32_t i = 0; i < type->children_count; i++)
        if (has_map(type->children[i].type))
            return true;
    return false;
}

static enum tn_status check_column(const struct tn_ast_column *column, bool is_table,
                                   struct tn_err *err)
{
    static const char *const reserved[] = {"ROWTIME", "ROWPARTITION", "ROWOFFSET", "WINDOWSTART",
                                           "WINDOWEND"};
    if (column->like)
        return tni_not_supported(err, column->line, column->col, "LIKE is not supported here");
    if (column->role == TN_AC_HEADERS || column->role == TN_AC_HEADER)
        return tni_not_supported(err, column->line, column->col,
                                 "HEADERS columns are not supported yet");
    if (!column->type)
        return tn_err_at(err, TN_E_INVALID, "INVALID_ARGUMENTS", column->line, column->col,
                         "column '%.*s' needs a type", TN_STR_FMT(column->name.text));
    if (column->role == TN_AC_KEY && is_table)
        return tn_err_at(err, TN_E_INVALID, "INVALID_ARGUMENTS", column->line, column->col,
                         "key column '%.*s' of a table is declared PRIMARY KEY",
                         TN_STR_FMT(column->name.text));
    if (column->role == TN_AC_PRIMARY_KEY && !is_table)
        return tn_err_at(err, TN_E_INVALID, "INVALID_ARGUMENTS", column->line, column->col,
                         "key column '%.*s' of a stream is declared KEY",
                         TN_STR_FMT(column->name.text));
    if (column->is_not_null || column->deflt)
        return tni_not_supported(err, column->line, column->col,
                                 "NOT NULL and DEFAULT are not supported for streams and tables");
    for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++)
        if (tn_str_eq_nocase(column->name.text, tn_str_of(reserved[i])))
            return tn_err_at(err, TN_E_NAME, "INVALID_COLUMN_NAME", column->line, column->col,
                             "'%s' is a reserved column name", reserved[i]);
    return TN_OK;
}

static enum tn_status check_duplicate(struct tni_change *change, const struct tn_ast_create *create,
                                      uint32_t at, struct tn_err *err)
{
    for (uint32_t i = 0; i < at; i++)
        if (tn_catalog_name_eq(change->catalog, create->columns[i].name.text,
                               create->columns[at].name.text))
            return tn_err_at(err, TN_E_NAME, "DUPLICATE_COLUMN_NAME", create->columns[at].line,
                             create->columns[at].col, "column '%.*s' is declared twice",
                             TN_STR_FMT(create->columns[at].name.text));
    return TN_OK;
}

/* Key columns first, then value columns, each in their order. */
static enum tn_status decl_schema(struct tni_change *change, const struct tn_ast_create *create,
                                  bool is_table, struct tn_arena *arena, struct tn_topic_decl *decl,
                                  struct tn_err *err)
{
    struct tni_bind bind;
    uint32_t count = 0;
    struct tn_field *fields = TN_ARENA_ARRAY(arena, struct tn_field, create->columns_count + 1);
    tni_bind_init(&bind, arena, TN_RULES_STREAM, change->catalog, change->session, 0);
    for (int pass = 0; pass < 2; pass++)
        for (uint32_t i = 0; i < create->columns_count; i++) {
            const struct tn_ast_column *column = &create->columns[i];
            bool is_key = column->role != TN_AC_VALUE;
            if (is_key != (pass == 0))
                continue;
            TN_TRY(check_column(column, is_table, err));
            TN_TRY(check_duplicate(change, create, i, err));
            const struct tn_type *type;
            TN_TRY(tni_bind_type(&bind, column->type, &type, err));
            if (is_key && has_map(type))
                return tn_err_at(err, TN_E_TYPE, "INVALID_ARGUMENTS", column->line, column->col,
                                 "key column '%.*s' cannot hold a MAP",
                                 TN_STR_FMT(column->name.text));
            fields[count].name = tn_arena_str(arena, column->name.text);
            fields[count++].type = tn_type_copy(arena, type);
            decl->keys_count += is_key;
        }
    struct tn_schema *schema = TN_ARENA_NEW(arena, struct tn_schema);
    *schema = (struct tn_schema){count, fields};
    decl->schema = schema;
    if (is_table && !decl->keys_count) {
        tn_err_at(err, TN_E_INVALID, "INVALID_ARGUMENTS", create->name->line, create->name->col,
                  "a table needs a PRIMARY KEY column");
        tn_err_hint(err, "write: id INT PRIMARY KEY");
        return TN_E_INVALID;
    }
    if (count == decl->keys_count)
        return tn_err_at(err, TN_E_INVALID, "INVALID_ARGUMENTS", create->name->line,
                         create->name->col, "there must be a column besides the key");
    return TN_OK;
}

/* ---- formats, window, topic ---- */

static enum tn_status decl_formats(struct tni_change *change, const struct tni_with *with,
                                   struct tn_topic_decl *decl, struct tn_err *err)
{
    const struct tn_formats *formats = change->db->config.formats;
    bool has_format = tni_with_is_set(with, "FORMAT");
    if (has_format &&
        (tni_with_is_set(with, "KEY_FORMAT") || tni_with_is_set(with, "VALUE_FORMAT")))
        return tn_err_set(err, TN_E_INVALID,
                          "property FORMAT excludes KEY_FORMAT and VALUE_FORMAT");
    if (!has_format && !tni_with_is_set(with, "VALUE_FORMAT")) {
        tn_err_at(err, TN_E_INVALID, "INVALID_TABLE_PROPERTY", 0, 0,
                  "property VALUE_FORMAT is missing");
        tn_err_hint(err, "write WITH (VALUE_FORMAT='JSON', …)");
        return TN_E_INVALID;
    }
    decl->key_format = tn_format_find(formats, decl->keys_count ? TN_STR("KAFKA") : TN_STR("NONE"));
    if (has_format) {
        TN_TRY(tni_with_format(formats, with->format, "FORMAT", &decl->value_format, err));
        if (decl->keys_count)
            decl->key_format = decl->value_format;
    } else {
        TN_TRY(
            tni_with_format(formats, with->value_format, "VALUE_FORMAT", &decl->value_format, err));
    }
    if (tni_with_is_set(with, "KEY_FORMAT"))
        TN_TRY(tni_with_format(formats, with->key_format, "KEY_FORMAT", &decl->key_format, err));
    if (decl->keys_count && !strcmp(decl->key_format->name, "NONE"))
        return tn_err_at(err, TN_E_INVALID, "INVALID_TABLE_PROPERTY", 0, 0,
                         "KEY_FORMAT NONE is for topics without key columns");
    decl->is_key_bare = decl->keys_count == 1;
    return tni_with_delimiters(with, decl, err);
}

static enum tn_status decl_window(const struct tni_with *with, struct tn_topic_decl *decl,
                                  struct tn_err *err)
{
    bool has_size = tni_with_is_set(with, "WINDOW_SIZE");
    if (!tni_with_is_set(with, "WINDOW_TYPE")) {
        if (has_size)
            return tn_err_set(err, TN_E_INVALID, "property WINDOW_SIZE needs WINDOW_TYPE");
        return TN_OK;
    }
    if (!decl->keys_count)
        return tn_err_set(err, TN_E_INVALID, "property WINDOW_TYPE needs a key column");
    bool is_session = !strcasecmp(with->window_type, "SESSION");
    if (is_session == has_size)
        return tn_err_set(err, TN_E_INVALID,
                          is_session ? "property WINDOW_SIZE is not for SESSION windows"
                                     : "property WINDOW_SIZE is missing for WINDOW_TYPE %s",
                          with->window_type);
    decl->window = is_session                                  ? TN_WINDOW_SESSION
                   : !strcasecmp(with->window_type, "HOPPING") ? TN_WINDOW_HOP
                                                               : TN_WINDOW_TUMBLE;
    if (has_size)
        TN_TRY(tni_with_duration("WINDOW_SIZE", with->window_size, &decl->window_size_ms, err));
    return TN_OK;
}

static enum tn_status decl_policy(const struct tni_with *with, struct tn_topic_decl *decl)
{
    decl->on_error = !strcmp(with->on_error, "skip")   ? TN_POLICY_SKIP
                     : !strcmp(with->on_error, "fail") ? TN_POLICY_FAIL
                                                       : TN_POLICY_DEAD_LETTER;
    return TN_OK;
}

static enum tn_status decl_topic(struct tni_change *change, const struct tn_ast_create *create,
                                 const struct tni_with *with, struct tn_arena *arena,
                                 struct tn_topic_decl *decl, struct tn_err *err)
{
    struct tn_ident name = tn_ast_last(create->name);
    bool has_topic = tni_with_is_set(with, "KAFKA_TOPIC");
    if (!has_topic && change->record.is_exact)
        return tn_err_set(err, TN_E_INVALID, "property KAFKA_TOPIC is missing");
    decl->topic =
        has_topic ? tn_arena_strdup(arena, with->kafka_topic) : tni_default_topic(arena, &name);
    bool has_partitions = tni_with_is_set(with, "PARTITIONS");
    decl->partitions_count = has_partitions ? (int32_t)with->partitions : change->record.partitions;
    int32_t found;
    enum tn_status st = tni_change_topic_find(change, decl->topic, &found, err);
    if (tn_failed(st))
        return st;
    if (st == TN_OK) {
        if (has_partitions && found != decl->partitions_count)
            return tn_err_set(err, TN_E_INVALID, "topic '%s' has %d partitions, PARTITIONS says %d",
                              decl->topic, found, decl->partitions_count);
        decl->partitions_count = found;
        return TN_OK;
    }
    if (change->db->config.is_topic_awaited && !has_partitions && !change->is_replay) {
        tn_err_at(err, TN_E_NAME, "TOPIC_NOT_FOUND", 0, 0, "topic '%s' does not exist",
                  decl->topic);
        tn_err_hint(err, "create it, or name PARTITIONS in WITH and tarn does");
        return TN_E_NAME;
    }
    if (decl->is_table && tni_with_is_set(with, "RETENTION_MS"))
        return tn_err_set(err, TN_E_INVALID,
                          "property RETENTION_MS is not for tables: their topic is compacted");
    struct tni_effect *effect = tni_change_effect(change, TNI_EFFECT_TOPIC);
    effect->topic = decl->topic;
    effect->partitions = decl->partitions_count;
    effect->replicas = (int32_t)with->replicas;
    effect->cleanup = decl->is_table ? TN_CLEANUP_COMPACT : TN_CLEANUP_DELETE;
    effect->retention_ms = decl->is_table ? -1 : with->retention_ms;
    return TN_OK;
}

static enum tn_status bind_decl(struct tni_change *change, const struct tn_ast_stmt *stmt,
                                const struct tni_with *with, struct tni_entry *entry,
                                struct tn_err *err)
{
    const struct tn_ast_create *create = stmt->create;
    struct tn_topic_decl *decl = &entry->object.decl;
    decl->is_table = stmt->kind == TN_AS_CREATE_TABLE;
    decl->is_global = with->is_global;
    decl->is_case_exact = change->record.is_exact;
    TN_TRY(decl_schema(change, create, decl->is_table, &entry->arena, decl, err));
    TN_TRY(decl_formats(change, with, decl, err));
    TN_TRY(decl_window(with, decl, err));
    TN_TRY(decl_policy(with, decl));
    TN_TRY(tni_with_columns(with, decl, &entry->arena, err));
    if (decl->keys_count)
        TN_TRY(tni_format_check(decl, true, err));
    TN_TRY(tni_format_check(decl, false, err));
    return decl_topic(change, create, with, &entry->arena, decl, err);
}

enum tn_status tni_decl_topic_ensure(struct tn_db *db, const struct tn_topic_decl *decl,
                                     struct tn_err *err)
{
    struct tn_log *log = db->config.log;
    struct tn_topic found;
    enum tn_status st = log->type->topic_find(log, decl->topic, &found, err);
    if (st != TN_NOT_FOUND)
        return st;
    struct tn_topic_spec spec = {.name = decl->topic,
                                 .partitions_count = decl->partitions_count,
                                 .cleanup = decl->is_table ? TN_CLEANUP_COMPACT : TN_CLEANUP_DELETE,
                                 .retention_ms = -1,
                                 .retention_bytes = -1};
    return log->type->topic_create(log, &spec, err);
}

/* ---- the object ---- */

static const char *text_or_null(struct tn_arena *arena, const char *text)
{
    return text && *text ? tn_arena_strdup(arena, text) : NULL;
}

static void object_fill(struct tni_change *change, struct tni_entry *entry, struct tn_str name,
                        const struct tn_ast_stmt *stmt, const struct tni_with *with)
{
    struct tn_object *object = &entry->object;
    struct tn_arena *arena = &entry->arena;
    object->kind = object->decl.is_table ? TN_OBJ_TABLE : TN_OBJ_STREAM;
    object->schema_name = "default";
    object->name = tn_arena_str(arena, name).ptr;
    object->schema = object->decl.window == TN_WINDOW_NONE
                         ? object->decl.schema
                         : tni_windowed_schema(arena, object->decl.schema);
    object->is_source = stmt->create->is_source;
    object->statement = tn_arena_str(arena, stmt->text).ptr;
    object->ingest_path = text_or_null(arena, with->ingest_path);
    object->ingest_text = text_or_null(arena, with->ingest_text);
    object->ingest_defaults = text_or_null(arena, with->ingest_defaults);
    object->ingest_event = text_or_null(arena, with->ingest_event);
    object->ingest_status = (int)with->ingest_status;
    object->created_ms = change->record.created_ms;
}

struct path_search {
    const char *path, *name;
    const struct tn_object *found;
};

static bool path_match(void *ctx, const struct tn_object *object)
{
    struct path_search *search = ctx;
    if (object->ingest_path && !strcmp(object->ingest_path, search->path) &&
        strcasecmp(object->name, search->name) != 0)
        search->found = object;
    return !search->found;
}

static enum tn_status check_ingest(struct tni_change *change, const struct tn_object *object,
                                   struct tn_err *err)
{
    TN_TRY(tn_ingest_check(object->ingest_path, object->ingest_defaults, err));
    if (!object->ingest_path)
        return TN_OK;
    if (object->is_source)
        return tn_err_set(err, TN_E_INVALID,
                          "property INGEST_PATH: a SOURCE stream or table is read-only");
    struct path_search search = {object->ingest_path, object->name, NULL};
    tn_catalog_each(change->catalog, path_match, &search);
    if (search.found)
        return tn_err_set(err, TN_E_EXISTS, "property INGEST_PATH: '%s' belongs to '%s'",
                          object->ingest_path, search.found->name);
    return TN_OK;
}

struct tni_entry *tni_object_entry(const struct tn_object *object)
{
    struct tni_entry *entry = tni_cat_entry_new(TNI_ENTRY_OBJECT);
    struct tn_arena *arena = &entry->arena;
    entry->object = *object;
    entry->object.name = tn_arena_strdup(arena, object->name);
    entry->object.statement = object->statement ? tn_arena_strdup(arena, object->statement) : NULL;
    entry->object.query_id = object->query_id ? tn_arena_strdup(arena, object->query_id) : NULL;
    entry->object.ingest_path = text_or_null(arena, object->ingest_path);
    entry->object.ingest_text = text_or_null(arena, object->ingest_text);
    entry->object.ingest_defaults = text_or_null(arena, object->ingest_defaults);
    entry->object.ingest_event = text_or_null(arena, object->ingest_event);
    tni_decl_copy(arena, &object->decl, &entry->object.decl);
    entry->object.schema = tni_schema_copy(arena, object->schema);
    return entry;
}

static const char *internal_id(struct tni_change *change, const char *name)
{
    char *id = tn_arena_printf(change->arena, "TABLE_%.40s_%lld", name,
                               (long long)tn_catalog_version(change->catalog));
    for (char *p = id; *p; p++)
        *p = isalnum((unsigned char)*p) ? (char)toupper((unsigned char)*p) : '_';
    return id;
}

enum tn_status tni_materialize(struct tni_change *change, struct tni_entry *entry,
                               const struct tn_object *old, struct tn_err *err)
{
    if (entry->object.decl.window != TN_WINDOW_NONE)
        return TN_OK;
    struct tn_object *object = &entry->object;
    const struct tn_catalog *ids = change->actual ? change->actual : change->catalog;
    const struct tn_catalog_query *same =
        old && old->query_id ? tn_catalog_query(ids, tn_str_of(old->query_id)) : NULL;
    const char *id = internal_id(change, object->name);
    uint32_t store = tni_catalog_next_store(change->catalog);
    if (same && same->plan->stores_count) { /* wanted state: under the ids it has already */
        id = same->id;
        store = same->plan->stores[0].id;
    } else {
        tni_catalog_set_next_store(change->catalog, store + 1);
    }
    struct tn_plan *plan;
    TN_TRY(tni_plan_table(&object->decl, id, object->name, store, &plan, err));
    struct tni_entry *query = tni_cat_entry_new(TNI_ENTRY_QUERY);
    const char **sources = TN_ARENA_ARRAY(&query->arena, const char *, 1);
    sources[0] = tn_arena_strdup(&query->arena, object->name);
    query->query = (struct tn_catalog_query){.kind = TN_QUERY_INTERNAL,
                                             .id = tn_arena_strdup(&query->arena, id),
                                             .statement = "",
                                             .sink_name = sources[0],
                                             .plan = plan,
                                             .sources_count = 1,
                                             .sources = sources,
                                             .created_ms = change->record.created_ms};
    object->query_id = tn_arena_strdup(&entry->arena, id);
    tni_catalog_put(change->catalog, query);
    struct tni_effect *effect = tni_change_effect(change, TNI_EFFECT_ADD);
    effect->plan = plan;
    return TN_OK;
}

/* Drop the store of the old declaration; the new one is built from the topic. */
static void unmaterialize(struct tni_change *change, const struct tn_object *old)
{
    if (!old || !old->query_id)
        return;
    struct tni_effect *effect = tni_change_effect(change, TNI_EFFECT_DROP);
    effect->query_id = tn_arena_strdup(change->arena, old->query_id);
    tni_catalog_drop_query(change->catalog, tn_str_of(effect->query_id));
}

static enum tn_status declare_put(struct tni_change *change, struct tni_entry *entry,
                                  const struct tn_object *old, struct tn_err *err)
{
    const struct tn_object *same = NULL;
    if (change->actual)
        same = tn_catalog_find(change->actual, TN_STR("default"), tn_str_of(entry->object.name));
    unmaterialize(change, old);
    if (entry->object.decl.is_table)
        TN_TRY(
            tni_materialize(change, entry, same && same->kind == TN_OBJ_TABLE ? same : NULL, err));
    tni_catalog_put(change->catalog, entry);
    return TN_OK;
}

static enum tn_status declare(struct tni_change *change, const struct tn_ast_stmt *stmt,
                              struct tn_str name, const struct tn_object *old,
                              struct tni_entry *entry, struct tn_err *err)
{
    struct tni_with with;
    unsigned where = stmt->kind == TN_AS_CREATE_TABLE ? TNI_WITH_TABLE : TNI_WITH_STREAM;
    TN_TRY(tni_props_fill(change, &stmt->create->props, where, &with, err));
    enum tn_status st = bind_decl(change, stmt, &with, entry, err);
    if (tn_failed(st)) {
        if (err && !err->line) {
            err->line = stmt->create->props.line ? stmt->create->props.line : stmt->line;
            err->col = stmt->create->props.line ? stmt->create->props.col : stmt->col;
        }
        return st;
    }
    object_fill(change, entry, name, stmt, &with);
    TN_TRY(check_ingest(change, &entry->object, err));
    if (old) {
        if (entry->object.is_source || old->is_source)
            return tn_err_at(err, TN_E_INVALID, "NOT_SUPPORTED", stmt->line, stmt->col,
                             "OR REPLACE is not for SOURCE streams and tables");
        TN_TRY(tni_decl_replace_check(old, &entry->object, err));
        if (tni_object_same(old, &entry->object)) {
            change->is_noop = true;
            return TN_OK;
        }
    }
    return TN_OK;
}

enum tn_status tni_apply_declare(struct tni_change *change, const struct tn_ast_stmt *stmt,
                                 struct tn_err *err)
{
    const struct tn_ast_create *create = stmt->create;
    const struct tn_object *old;
    struct tn_str schema_name, name;
    TN_TRY(tni_new_name(change, create->name, &schema_name, &name, err));
    if (tni_zone_is_target(schema_name, &create->props))
        return tni_apply_zone_table(change, stmt, schema_name, name, err);
    TN_TRY(tni_check_exists(change, create, schema_name, name, &old, err));
    if (change->is_noop)
        return TN_OK;
    if (!create->has_columns)
        return tni_not_supported(err, stmt->line, stmt->col,
                                 "columns must be declared: there is no schema registry");
    struct tni_entry *entry = tni_cat_entry_new(TNI_ENTRY_OBJECT);
    enum tn_status st = declare(change, stmt, name, old, entry, err);
    if (!tn_failed(st) && !change->is_noop)
        st = declare_put(change, entry, old, err);
    if (tn_failed(st) || change->is_noop) {
        tni_cat_entry_unref(entry);
        return st;
    }
    change->message =
        tn_arena_printf(change->arena, "created %s %.*s",
                        stmt->kind == TN_AS_CREATE_TABLE ? "table" : "stream", TN_STR_FMT(name));
    if (!old)
        change->undo = tni_drop_text(change->arena, stmt->kind == TN_AS_CREATE_TABLE, name);
    return TN_OK;
}

/* ---- ALTER … ADD COLUMN ---- */

static enum tn_status alter_columns(struct tni_change *change, const struct tn_ast_alter *alter,
                                    const struct tn_object *old, struct tni_entry *entry,
                                    struct tn_err *err)
{
    struct tn_topic_decl *decl = &entry->object.decl;
    struct tn_arena *arena = &entry->arena;
    struct tni_bind bind;
    uint32_t count = decl->schema->fields_count;
    struct tn_field *fields = TN_ARENA_ARRAY(arena, struct tn_field, count + alter->columns_count);
    memcpy(fields, decl->schema->fields, count * sizeof *fields);
    tni_bind_init(&bind, arena, TN_RULES_STREAM, change->catalog, change->session, 0);
    for (uint32_t i = 0; i < alter->columns_count; i++) {
        const struct tn_ast_column *column = &alter->columns[i];
        TN_TRY(check_column(column, decl->is_table, err));
        if (column->role != TN_AC_VALUE)
            return tn_err_at(err, TN_E_INVALID, "INVALID_ARGUMENTS", column->line, column->col,
                             "only value columns can be added");
        for (uint32_t j = 0; j < count; j++)
            if (tn_catalog_name_eq(change->catalog, fields[j].name, column->name.text))
                return tn_err_at(err, TN_E_EXISTS, "COLUMN_ALREADY_EXISTS", column->line,
                                 column->col, "'%s' has a column '%.*s' already", old->name,
                                 TN_STR_FMT(column->name.text));
        const struct tn_type *type;
        TN_TRY(tni_bind_type(&bind, column->type, &type, err));
        fields[count].name = tn_arena_str(arena, column->name.text);
        fields[count++].type = tn_type_copy(arena, type);
    }
    struct tn_schema *schema = TN_ARENA_NEW(arena, struct tn_schema);
    *schema = (struct tn_schema){count, fields};
    decl->schema = schema;
    decl->is_value_bare = count - decl->keys_count == 1 && decl->is_value_bare;
    entry->object.schema =
        decl->window == TN_WINDOW_NONE ? schema : tni_windowed_schema(arena, schema);
    return tni_format_check(decl, false, err);
}

enum tn_status tni_apply_alter(struct tni_change *change, const struct tn_ast_alter *alter,
                               struct tn_err *err)
{
    struct tni_bind bind;
    const struct tn_object *old;
    if (alter->object == TN_AOB_SINK)
        return tni_apply_alter_sink(change, alter, err);
    tni_bind_init(&bind, change->arena, TN_RULES_STREAM, change->catalog, change->session, 0);
    if (alter->object != TN_AOB_STREAM && alter->object != TN_AOB_TABLE)
        return tni_not_supported(err, alter->name ? alter->name->line : 1,
                                 alter->name ? alter->name->col : 1, "ALTER %s is not supported",
                                 tn_ast_object_text(alter->object));
    TN_TRY(tni_bind_object(&bind, alter->name, &old, err));
    bool is_stream = alter->object == TN_AOB_STREAM;
    if (old->kind != (is_stream ? TN_OBJ_STREAM : TN_OBJ_TABLE) || (is_stream && old->query_id))
        return tn_err_at(err, TN_E_INVALID, "INVALID_ARGUMENTS", alter->name->line,
                         alter->name->col, "'%s' is not a declared %s", old->name,
                         is_stream ? "stream" : "table");
    if (old->is_source)
        return tn_err_at(err, TN_E_INVALID, "INVALID_ARGUMENTS", alter->name->line,
                         alter->name->col, "'%s' is a SOURCE and cannot be altered", old->name);
    struct tni_entry *entry = tni_object_entry(old);
    entry->object.query_id = NULL;
    enum tn_status st = alter_columns(change, alter, old, entry, err);
    if (!tn_failed(st))
        st = declare_put(change, entry, old, err);
    if (tn_failed(st)) {
        tni_cat_entry_unref(entry);
        return st;
    }
    change->message = tn_arena_printf(change->arena, "altered %s", entry->object.name);
    return TN_OK;
}
