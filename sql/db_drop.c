/* DROP, PAUSE, RESUME, TERMINATE. Contract: sql/db_int.h. */
#include "sql/db_int.h"

/* ---- DROP ---- */

static void drop_query(struct tni_change *change, const char *id)
{
    const char *copy = tn_arena_strdup(change->arena, id);
    tni_catalog_drop_query(change->catalog, tn_str_of(copy));
    tni_change_effect(change, TNI_EFFECT_DROP)->query_id = copy;
}

struct writer_search {
    const char *sink, *own;
    const struct tn_catalog_query *found;
};

static bool find_writer(void *ctx, const struct tn_catalog_query *query)
{
    struct writer_search *search = ctx;
    if (query->kind == TN_QUERY_INSERT && !strcasecmp(query->sink_name, search->sink))
        search->found = query;
    return !search->found;
}

static enum tn_status drop_used(struct tni_change *change, const struct tn_object *object,
                                const struct tn_ast_drop *drop, struct tn_err *err)
{
    const struct tn_catalog_query *reader =
        tni_catalog_reader(change->catalog, tn_str_of(object->name), object->query_id);
    struct writer_search search = {object->name, object->query_id, NULL};
    tn_catalog_each_query(change->catalog, find_writer, &search);
    if (!reader && !search.found)
        return TN_OK;
    const struct tn_catalog_query *user = reader ? reader : search.found;
    tn_err_at(err, TN_E_INVALID, "INVALID_ARGUMENTS", drop->name->line, drop->name->col,
              "'%s' is %s by query %s", object->name, reader ? "read" : "written", user->id);
    tn_err_hint(err, "drop '%s' or TERMINATE %s first", user->sink_name, user->id);
    return TN_E_INVALID;
}

static bool kind_matches(enum tn_ast_object word, const struct tn_object *object)
{
    switch (object->kind) {
    case TN_OBJ_STREAM: return word == TN_AOB_STREAM;
    case TN_OBJ_TABLE:
    case TN_OBJ_ZONE:
    case TN_OBJ_KTABLE: return word == TN_AOB_TABLE;
    case TN_OBJ_VIEW: return word == TN_AOB_VIEW;
    default: return false;
    }
}

static enum tn_status drop_object(struct tni_change *change, const struct tn_ast_drop *drop,
                                  struct tn_err *err)
{
    struct tn_str schema_name, name;
    TN_TRY(tni_new_name(change, drop->name, &schema_name, &name, err));
    const struct tn_object *object = tn_catalog_find(change->catalog, schema_name, name);
    if (!object && drop->is_if_exists) {
        change->is_noop = true;
        return TN_OK;
    }
    if (!object)
        return tn_err_at(err, TN_E_NAME, "TABLE_NOT_FOUND", drop->name->line, drop->name->col,
                         "no %s '%.*s'", tn_ast_object_text(drop->object), TN_STR_FMT(name));
    if (!kind_matches(drop->object, object))
        return tn_err_at(err, TN_E_INVALID, "INVALID_ARGUMENTS", drop->name->line, drop->name->col,
                         "'%s' is not a %s", object->name, tn_ast_object_text(drop->object));
    const struct tn_catalog_sink *sink = tni_sink_of(change->catalog, object);
    if (sink) {
        tn_err_at(err, TN_E_INVALID, "INVALID_ARGUMENTS", drop->name->line, drop->name->col,
                  "'%s' is %s by sink %s", object->name,
                  object->kind == TN_OBJ_ZONE ? "written" : "read", sink->name);
        tn_err_hint(err, "DROP SINK %s first", sink->name);
        return TN_E_INVALID;
    }
    if (object->kind != TN_OBJ_VIEW && object->kind != TN_OBJ_ZONE)
        TN_TRY(drop_used(change, object, drop, err));
    if (object->query_id)
        drop_query(change, object->query_id);
    if (drop->is_delete_topic && object->decl.topic && !object->is_source)
        tni_change_effect(change, TNI_EFFECT_TOPIC_DELETE)->topic =
            tn_arena_strdup(change->arena, object->decl.topic);
    change->message = tn_arena_printf(change->arena, "dropped %s", object->name);
    tni_catalog_drop_object(change->catalog, schema_name, name);
    return TN_OK;
}

struct schema_search {
    struct tn_str schema_name;
    const struct tn_object *found;
};

static bool find_in_schema(void *ctx, const struct tn_object *object)
{
    struct schema_search *search = ctx;
    if (tn_str_eq_nocase(tn_str_of(object->schema_name), search->schema_name))
        search->found = object;
    return !search->found;
}

static enum tn_status drop_schema(struct tni_change *change, const struct tn_ast_drop *drop,
                                  struct tn_err *err)
{
    struct tn_str name = tn_ast_last(drop->name).text;
    struct schema_search search = {name, NULL};
    if (!tn_catalog_has_schema(change->catalog, name)) {
        change->is_noop = drop->is_if_exists;
        return drop->is_if_exists
                   ? TN_OK
                   : tn_err_at(err, TN_E_NAME, "SCHEMA_NOT_FOUND", drop->name->line,
                               drop->name->col, "Schema '%.*s' does not exist", TN_STR_FMT(name));
    }
    if (tn_str_eq_nocase(name, TN_STR("default")) || tn_str_eq_nocase(name, TN_STR("system")) ||
        tn_str_eq_nocase(name, TN_STR("information_schema")))
        return tn_err_at(err, TN_E_DENIED, "PERMISSION_DENIED", drop->name->line, drop->name->col,
                         "schema '%.*s' cannot be dropped", TN_STR_FMT(name));
    tn_catalog_each(change->catalog, find_in_schema, &search);
    if (search.found)
        return tn_err_at(err, TN_E_INVALID, "SCHEMA_NOT_EMPTY", drop->name->line, drop->name->col,
                         "schema '%.*s' holds '%s'", TN_STR_FMT(name), search.found->name);
    tni_catalog_drop_schema(change->catalog, name);
    change->message = tn_arena_printf(change->arena, "dropped schema %.*s", TN_STR_FMT(name));
    return TN_OK;
}

static enum tn_status drop_type(struct tni_change *change, const struct tn_ast_drop *drop,
                                struct tn_err *err)
{
    struct tn_str name = tn_ast_last(drop->name).text;
    if (!tn_catalog_type(change->catalog, name)) {
        change->is_noop = drop->is_if_exists;
        return drop->is_if_exists ? TN_OK
                                  : tn_err_at(err, TN_E_NAME, "TYPE_NOT_FOUND", drop->name->line,
                                              drop->name->col, "no type '%.*s'", TN_STR_FMT(name));
    }
    tni_catalog_drop_type(change->catalog, name);
    change->message = tn_arena_printf(change->arena, "dropped type %.*s", TN_STR_FMT(name));
    return TN_OK;
}

enum tn_status tni_apply_drop(struct tni_change *change, const struct tn_ast_drop *drop,
                              struct tn_err *err)
{
    switch (drop->object) {
    case TN_AOB_STREAM:
    case TN_AOB_TABLE:
    case TN_AOB_VIEW: return drop_object(change, drop, err);
    case TN_AOB_SCHEMA: return drop_schema(change, drop, err);
    case TN_AOB_TYPE: return drop_type(change, drop, err);
    case TN_AOB_SINK: return tni_apply_drop_sink(change, drop, err);
    default:
        return tni_not_supported(err, drop->name->line, drop->name->col, "DROP %s is not supported",
                                 tn_ast_object_text(drop->object));
    }
}

/* ---- PAUSE, RESUME, TERMINATE ---- */

static struct tni_entry *query_clone(const struct tn_catalog_query *query)
{
    struct tni_entry *entry = tni_cat_entry_new(TNI_ENTRY_QUERY);
    struct tn_arena *arena = &entry->arena;
    entry->query = *query;
    entry->query.id = tn_arena_strdup(arena, query->id);
    entry->query.statement = tn_arena_strdup(arena, query->statement);
    entry->query.sink_name = tn_arena_strdup(arena, query->sink_name);
    if (query->changelog_why)
        entry->query.changelog_why = tn_arena_strdup(arena, query->changelog_why);
    const char **sources = TN_ARENA_ARRAY(arena, const char *, query->sources_count + 1);
    for (uint32_t i = 0; i < query->sources_count; i++)
        sources[i] = tn_arena_strdup(arena, query->sources[i]);
    entry->query.sources = sources;
    entry->query.plan = tn_plan_ref(query->plan);
    return entry;
}

static void pause_one(struct tni_change *change, const struct tn_catalog_query *query,
                      bool is_paused)
{
    struct tni_entry *entry = query_clone(query);
    entry->query.is_paused = is_paused;
    tni_change_effect(change, is_paused ? TNI_EFFECT_PAUSE : TNI_EFFECT_RESUME)->query_id =
        tn_arena_strdup(change->arena, query->id);
    tni_catalog_put(change->catalog, entry);
}

/* The query ends, what it wrote stays: a table goes on as a declared one, read from its topic. */
static enum tn_status terminate_one(struct tni_change *change, const struct tn_catalog_query *query,
                                    struct tn_err *err)
{
    const struct tn_object *object =
        tn_catalog_find(change->catalog, TN_STR("default"), tn_str_of(query->sink_name));
    bool is_insert = query->kind == TN_QUERY_INSERT;
    const char *id = tn_arena_strdup(change->arena, query->id);
    drop_query(change, id);
    if (is_insert || !object)
        return TN_OK;
    struct tni_entry *entry = tni_object_entry(object);
    entry->object.query_id = NULL;
    if (object->kind == TN_OBJ_KTABLE) {
        entry->object.kind = TN_OBJ_TABLE;
        enum tn_status st = tni_materialize(change, entry, NULL, err);
        if (tn_failed(st)) {
            tni_cat_entry_unref(entry);
            return st;
        }
    }
    tni_catalog_put(change->catalog, entry);
    return TN_OK;
}

struct query_ids {
    const char *ids[TNI_EFFECTS_MAX / 4];
    size_t count;
    struct tn_arena *arena;
};

static bool collect_query(void *ctx, const struct tn_catalog_query *query)
{
    struct query_ids *out = ctx;
    if (query->kind != TN_QUERY_INTERNAL && out->count < TNI_EFFECTS_MAX / 4)
        out->ids[out->count++] = tn_arena_strdup(out->arena, query->id);
    return true;
}

static enum tn_status control_one(struct tni_change *change, const struct tn_ast_stmt *stmt,
                                  const char *id, struct tn_err *err)
{
    const struct tn_catalog_query *query = tn_catalog_query(change->catalog, tn_str_of(id));
    if (stmt->kind == TN_AS_TERMINATE)
        return terminate_one(change, query, err);
    pause_one(change, query, stmt->kind == TN_AS_PAUSE);
    return TN_OK;
}

static enum tn_status query_not_found(struct tni_change *change,
                                      const struct tn_ast_control *control, struct tn_err *err)
{
    struct query_ids all = {.arena = change->arena};
    tn_catalog_each_query(change->catalog, collect_query, &all);
    const char *nearest = tn_str_nearest(control->id.text, all.ids, all.count);
    tn_err_at(err, TN_E_NAME, "QUERY_NOT_FOUND", control->id.line, control->id.col,
              "no query '%.*s'", TN_STR_FMT(control->id.text));
    if (nearest)
        tn_err_hint(err, "did you mean %s?", nearest);
    else
        tn_err_hint(err, "SHOW QUERIES lists them");
    return TN_E_NAME;
}

enum tn_status tni_apply_control(struct tni_change *change, const struct tn_ast_stmt *stmt,
                                 struct tn_err *err)
{
    const struct tn_ast_control *control = stmt->control;
    if (control->object == TN_AOB_SINK)
        return tni_apply_pause_sink(change, stmt, err);
    if (control->object != TN_AOB_QUERY)
        return tni_not_supported(err, stmt->line, stmt->col, "%s %s is not supported yet",
                                 tn_ast_stmt_text(stmt->kind), tn_ast_object_text(control->object));
    struct query_ids *ids = tn_arena_zalloc(change->arena, 1, sizeof *ids);
    ids->arena = change->arena;
    if (control->is_all) {
        tn_catalog_each_query(change->catalog, collect_query, ids);
    } else {
        const struct tn_catalog_query *query = tn_catalog_query(change->catalog, control->id.text);
        if (!query || query->kind == TN_QUERY_INTERNAL)
            return query_not_found(change, control, err);
        ids->ids[ids->count++] = tn_arena_strdup(change->arena, query->id);
    }
    for (size_t i = 0; i < ids->count; i++)
        TN_TRY(control_one(change, stmt, ids->ids[i], err));
    change->is_noop = ids->count == 0;
    change->message = tn_arena_printf(change->arena, "%s: %zu %s", tn_ast_stmt_text(stmt->kind),
                                      ids->count, ids->count == 1 ? "query" : "queries");
    return TN_OK;
}
