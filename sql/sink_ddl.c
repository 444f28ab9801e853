/* CREATE, ALTER, PAUSE, RESUME, DROP SINK: from statements to the specs that connectors/sink.h
 * runs. A sink also makes its zone (schema) and its table when they do not exist, so that what it
 * writes can be queried at once. Contract: sql/db_int.h.
 *
 * A sink keeps the columns its stream had when it was created; CREATE OR REPLACE SINK takes new
 * ones. */
#include "sql/db_int.h"

#include "connectors/object_url.h"
#include "connectors/sink.h"
#include "sql/zone.h"

#define URL_MAX 2048

static struct tni_entry *entry_of(const struct tn_catalog_sink *sink, struct tn_sink_spec *spec)
{
    struct tni_entry *entry = tni_cat_entry_new(TNI_ENTRY_SINK);
    struct tn_arena *arena = &entry->arena;
    entry->sink =
        (struct tn_catalog_sink){.name = tn_arena_strdup(arena, sink->name),
                                 .statement = tn_arena_strdup(arena, sink->statement),
                                 .source = tn_arena_strdup(arena, sink->source),
                                 .table_schema = tn_arena_strdup(arena, sink->table_schema),
                                 .table_name = tn_arena_strdup(arena, sink->table_name),
                                 .spec = spec,
                                 .created_ms = sink->created_ms};
    return entry;
}

static void put_sink(struct tni_change *change, struct tni_entry *entry)
{
    tni_change_effect(change, TNI_EFFECT_SINK_PUT)->sink = entry->sink.spec;
    tni_catalog_put(change->catalog, entry);
}

static enum tn_status set_props(struct tni_change *change, const struct tn_ast_props *props,
                                struct tn_sink_spec *spec, struct tn_err *err)
{
    for (uint32_t i = 0; i < props->items_count; i++) {
        const struct tn_ast_prop *prop = &props->items[i];
        struct tn_str text;
        TN_TRY(tni_prop_text(change, prop, &text, err));
        enum tn_status st =
            tn_sink_options_set(&spec->options, prop->name.text, text, &spec->arena, err);
        if (tn_failed(st) && err && !err->line) {
            err->line = prop->name.line;
            err->col = prop->name.col;
        }
        TN_TRY(st);
    }
    return TN_OK;
}

/* ---- where ---- */

/* The connector's place: bucket, topics.dir and topic. */
static const char *confluent_place(struct tni_change *change, const struct tn_sink_spec *spec,
                                   const char *to)
{
    const struct tn_sink_options *options = &spec->options;
    const char *dir = options->topics_dir ? options->topics_dir : "topics";
    const char *base = to ? to : tn_arena_printf(change->arena, "s3://%s", options->bucket);
    return tn_arena_printf(change->arena, "%s/%s/%s", base, dir, spec->decl.topic);
}

/* A place is written as it is: a '..' would be followed before anything looks at it. */
static bool climbs(const char *place)
{
    for (const char *at = place; (at = strstr(at, "..")) != NULL; at += 2)
        if ((at == place || at[-1] == '/') && (!at[2] || at[2] == '/'))
            return true;
    return false;
}

static enum tn_status find_location(struct tni_change *change, const struct tn_ast_sink *ast,
                                    struct tn_str schema_name, struct tn_str table,
                                    const struct tn_object *old, struct tn_sink_spec *spec,
                                    struct tn_err *err)
{
    const char *to = ast->to.ptr ? tn_arena_str(change->arena, ast->to).ptr : NULL;
    struct tn_buf url, clean;
    enum tn_status st = TN_OK;
    tn_buf_init(&url, URL_MAX);
    tn_buf_init(&clean, URL_MAX);
    if (spec->options.is_confluent && (to || spec->options.bucket))
        to = confluent_place(change, spec, to);
    if (to && climbs(to)) {
        st = tn_err_set(err, TN_E_INVALID, "TO '%s': '..' is not allowed", to);
    } else if (to) {
        st = tn_object_url_normal(to, &url, err);
        if (!tn_failed(st))
            st = tn_zone_url_clean("TO", tn_buf_str(&url), &clean, err);
    } else if (old) {
        tn_buf_add_text(&clean, old->zone->location);
    } else {
        st = tn_zone_table_url(change->catalog, schema_name, table, change->db->config.lake_dir,
                               &clean, err);
    }
    if (!tn_failed(st)) {
        spec->location = tn_arena_strdup(&spec->arena, tn_buf_cstr(&clean));
        if (old && strcmp(old->zone->location, spec->location) != 0)
            st = tn_err_set(err, TN_E_INVALID, "table %s lies at '%s', not at '%s'", spec->table,
                            old->zone->location, spec->location);
    }
    tn_buf_release(&url);
    tn_buf_release(&clean);
    return st;
}

static void make_schema(struct tni_change *change, struct tn_str schema_name)
{
    if (tn_catalog_has_schema(change->catalog, schema_name))
        return;
    struct tni_entry *entry = tni_cat_entry_new(TNI_ENTRY_SCHEMA);
    entry->name = tn_arena_str(&entry->arena, schema_name).ptr;
    tni_catalog_put(change->catalog, entry);
}

/* The zone table of what the sink writes. */
static void make_table(struct tni_change *change, const struct tn_ast_stmt *stmt,
                       struct tn_str schema_name, struct tn_str table, struct tn_sink_spec *spec)
{
    struct tni_entry *entry = tni_cat_entry_new(TNI_ENTRY_OBJECT);
    struct tn_arena *arena = &entry->arena;
    struct tn_zone_table *zone = TN_ARENA_NEW(arena, struct tn_zone_table);
    struct tn_schema *stored = TN_ARENA_NEW(arena, struct tn_schema);
    uint32_t folders;
    const struct tn_schema *schema = tni_schema_copy(arena, tn_sink_schema(spec, &folders));
    *stored = (struct tn_schema){schema->fields_count - folders, schema->fields};
    zone->location = tn_arena_strdup(arena, spec->location);
    zone->is_external = true;
    zone->layout.format = TN_FILE_JSON;
    zone->layout.schema = stored;
    zone->partitions_count = folders;
    if (tn_schema_find(schema, TN_STR("_op")) >= 0 &&
        tn_schema_find(schema, TN_STR("_offset")) >= 0)
        zone->keys_count = spec->decl.keys_count + (spec->decl.window != TN_WINDOW_NONE);
    entry->object = (struct tn_object){.kind = TN_OBJ_ZONE,
                                       .schema_name = tn_arena_str(arena, schema_name).ptr,
                                       .name = tn_arena_str(arena, table).ptr,
                                       .schema = schema,
                                       .zone = zone,
                                       .statement = tn_arena_str(arena, stmt->text).ptr,
                                       .created_ms = change->record.created_ms};
    tni_catalog_put(change->catalog, entry);
}

/* ---- CREATE ---- */

static enum tn_status find_source(struct tni_change *change, const struct tn_ast_sink *ast,
                                  const struct tn_object **ret_source, struct tn_err *err)
{
    struct tni_bind bind;
    tni_bind_init(&bind, change->arena, TN_RULES_STREAM, change->catalog, change->session, 0);
    TN_TRY(tni_bind_object(&bind, ast->source, ret_source, err));
    const struct tn_object *source = *ret_source;
    if (source->kind == TN_OBJ_STREAM || source->kind == TN_OBJ_TABLE ||
        source->kind == TN_OBJ_KTABLE)
        return TN_OK;
    return tn_err_at(err, TN_E_INVALID, "INVALID_ARGUMENTS", ast->source->line, ast->source->col,
                     "'%s' is neither a stream nor a table of the log", source->name);
}

/* zone.table → its parts; *ret_old: the table that is there. */
static enum tn_status find_target(struct tni_change *change, const struct tn_ast_sink *ast,
                                  struct tn_str *ret_schema, struct tn_str *ret_table,
                                  const struct tn_object **ret_old, struct tn_err *err)
{
    const struct tn_ast_name *into = ast->into;
    *ret_table = tn_ast_last(into).text;
    *ret_schema = into->parts_count > 1 ? into->parts[into->parts_count - 2].text
                                        : tn_str_of(change->session->schema);
    if (!tn_zone_is_schema(*ret_schema)) {
        tn_err_at(err, TN_E_INVALID, "INVALID_ARGUMENTS", into->line, into->col,
                  "INTO names a table of a zone, '%.*s' is none", TN_STR_FMT(*ret_schema));
        tn_err_hint(err, "like INTO bronze.%.*s", TN_STR_FMT(*ret_table));
        return TN_E_INVALID;
    }
    *ret_old = tn_catalog_find(change->catalog, *ret_schema, *ret_table);
    if (*ret_old && (*ret_old)->kind != TN_OBJ_ZONE)
        return tn_err_at(err, TN_E_INVALID, "INVALID_ARGUMENTS", into->line, into->col,
                         "'%s' is not a zone table", (*ret_old)->name);
    return TN_OK;
}

/* Names of files hold the table, not the sink: two writers would replace each other's files. */
static enum tn_status check_alone(const struct tn_catalog *catalog, const struct tn_sink_spec *spec,
                                  struct tn_err *err)
{
    const struct tn_catalog_sink *other;
    if (spec->options.object_key || spec->options.is_confluent)
        return TN_OK; /* these names hold the sink, or the topic */
    for (size_t i = 0; (other = tn_catalog_sink_at(catalog, i)) != NULL; i++) {
        if (!strcmp(other->name, spec->name) || other->spec->options.object_key ||
            other->spec->options.is_confluent || strcmp(other->spec->location, spec->location) != 0)
            continue;
        tn_err_set(err, TN_E_INVALID, "sink '%s' writes to '%s' already", other->name,
                   spec->location);
        tn_err_hint(err, "give each sink a table and a place of its own");
        return TN_E_INVALID;
    }
    return TN_OK;
}

static enum tn_status make_spec(struct tni_change *change, const struct tn_ast_sink *ast,
                                const struct tn_object *source, struct tn_str name,
                                struct tn_str schema_name, struct tn_str table,
                                const struct tn_object *old, struct tn_sink_spec *spec,
                                struct tn_err *err)
{
    spec->name = tn_arena_str(&spec->arena, name).ptr;
    spec->table =
        tn_arena_printf(&spec->arena, "%.*s.%.*s", TN_STR_FMT(schema_name), TN_STR_FMT(table));
    tni_decl_copy(&spec->arena, &source->decl, &spec->decl);
    TN_TRY(set_props(change, &ast->props, spec, err));
    TN_TRY(tn_sink_options_check(&spec->options, &spec->arena, err));
    TN_TRY(find_location(change, ast, schema_name, table, old, spec, err));
    TN_TRY(check_alone(change->catalog, spec, err));
    return tn_sink_spec_check(spec, change->db->config.formats, err);
}

/* OR REPLACE goes on where the old one is: same source, same place, same form. */
static enum tn_status check_replace(const struct tn_sink_spec *from, const struct tn_sink_spec *to,
                                    struct tn_err *err)
{
    const struct tn_sink_options *a = &from->options, *b = &to->options;
    const char *what = NULL;
    const char *texts[][3] = {{"object.key", a->object_key, b->object_key},
                              {"partition.by", a->partition_by, b->partition_by},
                              {"path.format", a->path_format, b->path_format}};
    if (strcmp(from->decl.topic, to->decl.topic) != 0)
        what = "the topic";
    else if (strcmp(from->location, to->location) != 0 || strcmp(from->table, to->table) != 0)
        what = "the table or its place";
    else if (a->layout != b->layout)
        what = "layout";
    for (size_t i = 0; i < 3 && !what; i++)
        if ((texts[i][1] == NULL) != (texts[i][2] == NULL) ||
            (texts[i][1] && strcmp(texts[i][1], texts[i][2]) != 0))
            what = texts[i][0];
    if (!what)
        return TN_OK;
    tn_err_set(err, TN_E_INVALID, "sink '%s' cannot go on: %s differs", from->name, what);
    tn_err_hint(err, "create another sink into another table");
    return TN_E_INVALID;
}

static enum tn_status at_name(enum tn_status st, const struct tn_ast_name *name, struct tn_err *err)
{
    if (tn_failed(st) && err && !err->line) {
        err->line = name->line;
        err->col = name->col;
    }
    return st;
}

enum tn_status tni_apply_create_sink(struct tni_change *change, const struct tn_ast_stmt *stmt,
                                     struct tn_err *err)
{
    const struct tn_ast_sink *ast = stmt->sink;
    struct tn_str name = tn_ast_last(ast->name).text, schema_name, table;
    const struct tn_object *source, *old_table;
    const struct tn_catalog_sink *old = tn_catalog_sink(change->catalog, name);
    if (ast->name->parts_count > 1)
        return tn_err_at(err, TN_E_INVALID, "INVALID_ARGUMENTS", ast->name->line, ast->name->col,
                         "a sink's name has one part");
    if (old && ast->is_if_not_exists) {
        change->is_noop = true;
        return TN_OK;
    }
    if (old && !ast->is_or_replace)
        return tn_err_at(err, TN_E_EXISTS, "ALREADY_EXISTS", ast->name->line, ast->name->col,
                         "sink '%s' already exists", old->name);
    TN_TRY(find_source(change, ast, &source, err));
    TN_TRY(find_target(change, ast, &schema_name, &table, &old_table, err));
    struct tn_sink_spec *spec = tn_sink_spec_new();
    enum tn_status st =
        make_spec(change, ast, source, name, schema_name, table, old_table, spec, err);
    if (!tn_failed(st) && old)
        st = check_replace(old->spec, spec, err);
    if (tn_failed(st)) {
        tn_sink_spec_unref(spec);
        return at_name(st, ast->name, err);
    }
    if (old)
        spec->is_paused = old->spec->is_paused;
    struct tn_catalog_sink sink = {.name = spec->name,
                                   .statement = tn_arena_str(change->arena, stmt->text).ptr,
                                   .source = source->name,
                                   .table_schema = tn_arena_str(change->arena, schema_name).ptr,
                                   .table_name = tn_arena_str(change->arena, table).ptr,
                                   .created_ms = change->record.created_ms};
    make_schema(change, schema_name);
    bool is_own = old_table && old && old_table->statement &&
                  strcmp(old_table->statement, old->statement) == 0;
    struct tni_entry *entry = entry_of(&sink, spec);
    if (!old_table || is_own)
        make_table(change, stmt, schema_name, table, spec);
    put_sink(change, entry);
    change->message = tn_arena_printf(change->arena, "created sink %.*s", TN_STR_FMT(name));
    return TN_OK;
}

/* ---- ALTER, PAUSE, RESUME, DROP ---- */

static enum tn_status find_sink(struct tni_change *change, struct tn_str name, int line, int col,
                                const struct tn_catalog_sink **ret_sink, struct tn_err *err)
{
    *ret_sink = tn_catalog_sink(change->catalog, name);
    if (*ret_sink)
        return TN_OK;
    const char *names[256];
    size_t count = 0;
    const struct tn_catalog_sink *sink;
    while (count < 256 && (sink = tn_catalog_sink_at(change->catalog, count)))
        names[count++] = sink->name;
    const char *nearest = tn_str_nearest(name, names, count);
    tn_err_at(err, TN_E_NAME, "SINK_NOT_FOUND", line, col, "no sink '%.*s'", TN_STR_FMT(name));
    if (nearest)
        tn_err_hint(err, "did you mean %s?", nearest);
    else
        tn_err_hint(err, "SHOW SINKS lists them");
    return TN_E_NAME;
}

enum tn_status tni_apply_alter_sink(struct tni_change *change, const struct tn_ast_alter *alter,
                                    struct tn_err *err)
{
    const struct tn_catalog_sink *sink;
    struct tn_str name = tn_ast_last(alter->name).text;
    if (alter->is_if_exists && !tn_catalog_sink(change->catalog, name)) {
        change->is_noop = true;
        return TN_OK;
    }
    TN_TRY(find_sink(change, name, alter->name->line, alter->name->col, &sink, err));
    struct tn_sink_spec *spec = tn_sink_spec_derive(sink->spec);
    enum tn_status st = set_props(change, &alter->props, spec, err);
    if (!tn_failed(st))
        st = tn_sink_options_check(&spec->options, &spec->arena, err);
    if (!tn_failed(st))
        st = check_replace(sink->spec, spec, err);
    if (!tn_failed(st))
        st = tn_sink_spec_check(spec, change->db->config.formats, err);
    if (tn_failed(st)) {
        tn_sink_spec_unref(spec);
        return at_name(st, alter->name, err);
    }
    change->message = tn_arena_printf(change->arena, "altered sink %s", sink->name);
    put_sink(change, entry_of(sink, spec));
    return TN_OK;
}

static void pause_sink(struct tni_change *change, const struct tn_catalog_sink *sink,
                       bool is_paused)
{
    struct tn_sink_spec *spec = tn_sink_spec_derive(sink->spec);
    spec->is_paused = is_paused;
    put_sink(change, entry_of(sink, spec));
}

enum tn_status tni_apply_pause_sink(struct tni_change *change, const struct tn_ast_stmt *stmt,
                                    struct tn_err *err)
{
    const struct tn_ast_control *control = stmt->control;
    const struct tn_catalog_sink *sink;
    if (stmt->kind == TN_AS_TERMINATE)
        return tni_not_supported(err, stmt->line, stmt->col,
                                 "TERMINATE SINK is not supported: DROP SINK ends a sink");
    bool is_paused = stmt->kind == TN_AS_PAUSE;
    size_t count = 0;
    if (control->is_all) {
        for (; (sink = tn_catalog_sink_at(change->catalog, count)); count++)
            pause_sink(change, sink, is_paused); /* replaced in place: the order stays */
        change->is_noop = count == 0;
    } else {
        TN_TRY(find_sink(change, control->id.text, control->id.line, control->id.col, &sink, err));
        pause_sink(change, sink, is_paused);
        count = 1;
    }
    change->message = tn_arena_printf(change->arena, "%s: %zu %s", tn_ast_stmt_text(stmt->kind),
                                      count, count == 1 ? "sink" : "sinks");
    return TN_OK;
}

enum tn_status tni_apply_drop_sink(struct tni_change *change, const struct tn_ast_drop *drop,
                                   struct tn_err *err)
{
    const struct tn_catalog_sink *sink;
    struct tn_str name = tn_ast_last(drop->name).text;
    if (drop->is_if_exists && !tn_catalog_sink(change->catalog, name)) {
        change->is_noop = true;
        return TN_OK;
    }
    TN_TRY(find_sink(change, name, drop->name->line, drop->name->col, &sink, err));
    change->message = tn_arena_printf(change->arena, "dropped sink %s", sink->name);
    tni_change_effect(change, TNI_EFFECT_SINK_DROP)->query_id =
        tn_arena_strdup(change->arena, sink->name);
    tni_catalog_drop_sink(change->catalog, name);
    return TN_OK;
}

/* ---- comparing, starting ---- */

bool tni_sink_same(const struct tn_catalog_sink *a, const struct tn_catalog_sink *b)
{
    struct tn_buf left, right;
    const struct tn_schema *x = a->spec->decl.schema, *y = b->spec->decl.schema;
    if (strcasecmp(a->source, b->source) != 0 ||
        strcmp(a->spec->location, b->spec->location) != 0 ||
        strcmp(a->spec->table, b->spec->table) != 0 ||
        strcmp(a->spec->decl.topic, b->spec->decl.topic) != 0 || x->fields_count != y->fields_count)
        return false;
    for (uint32_t i = 0; i < x->fields_count; i++)
        if (!tn_str_eq(x->fields[i].name, y->fields[i].name) ||
            !tn_type_eq(x->fields[i].type, y->fields[i].type))
            return false;
    tn_buf_init(&left, 1 << 20);
    tn_buf_init(&right, 1 << 20);
    for (size_t i = 0; i < tn_sink_opts.count; i++) {
        if (tn_sink_opts.items[i].unsupported)
            continue;
        tn_opt_print_value(&tn_sink_opts.items[i], &a->spec->options, &left);
        tn_opt_print_value(&tn_sink_opts.items[i], &b->spec->options, &right);
        tn_buf_add_byte(&left, '\n');
        tn_buf_add_byte(&right, '\n');
    }
    bool is_same = tn_str_eq(tn_buf_str(&left), tn_buf_str(&right));
    tn_buf_release(&left);
    tn_buf_release(&right);
    return is_same;
}

const struct tn_catalog_sink *tni_sink_of(const struct tn_catalog *catalog,
                                          const struct tn_object *object)
{
    const struct tn_catalog_sink *sink;
    bool is_default = strcasecmp(object->schema_name, "default") == 0;
    for (size_t i = 0; (sink = tn_catalog_sink_at(catalog, i)); i++)
        if ((is_default && strcasecmp(sink->source, object->name) == 0) ||
            (strcasecmp(sink->table_schema, object->schema_name) == 0 &&
             strcasecmp(sink->table_name, object->name) == 0))
            return sink;
    return NULL;
}

enum tn_status tni_sinks_start(struct tn_db *db, struct tn_err *err)
{
    const struct tn_catalog_sink *sink;
    for (size_t i = 0; db->config.sinks && (sink = tn_catalog_sink_at(db->catalog, i)); i++)
        TN_TRY(tn_sinks_put(db->config.sinks, sink->spec, err));
    return TN_OK;
}
