/* CREATE … AS SELECT, INSERT INTO … SELECT, views, schemas, types. Contract: sql/db_int.h. */
#include "sql/db_int.h"
#include "sql/zone_ddl.h"

#include <ctype.h>

/* ---- persistent queries ---- */

static void id_make(struct tni_change *change, const char *kind, struct tn_str name,
                    const char **ret_id)
{
    struct tn_str cut = {name.ptr, name.len < 40 ? name.len : 40};
    char *id = name.len ? tn_arena_printf(change->arena, "%s_%.*s_%lld", kind, TN_STR_FMT(cut),
                                          (long long)tn_catalog_version(change->catalog))
                        : tn_arena_printf(change->arena, "%s_%lld", kind,
                                          (long long)tn_catalog_version(change->catalog));
    for (char *p = id; *p; p++)
        *p = isalnum((unsigned char)*p) ? (char)toupper((unsigned char)*p) : '_';
    *ret_id = id;
}

static struct tni_entry *query_entry(struct tni_change *change, enum tn_query_kind kind,
                                     const struct tni_planned *planned,
                                     const struct tni_stream_query *query, const char *sink_name,
                                     struct tn_str statement)
{
    struct tni_entry *entry = tni_cat_entry_new(TNI_ENTRY_QUERY);
    struct tn_arena *arena = &entry->arena;
    const char **sources = TN_ARENA_ARRAY(arena, const char *, query->sources_count + 1);
    for (uint32_t i = 0; i < query->sources_count; i++)
        sources[i] = tn_arena_strdup(arena, query->sources[i].object->name);
    entry->query = (struct tn_catalog_query){
        .kind = kind,
        .id = tn_arena_strdup(arena, planned->plan->query_id),
        .statement = tn_arena_str(arena, statement).ptr,
        .sink_name = tn_arena_strdup(arena, sink_name),
        .plan = planned->plan,
        .sources_count = query->sources_count,
        .sources = sources,
        .changelog_why =
            planned->changelog_why ? tn_arena_strdup(arena, planned->changelog_why) : NULL,
        .created_ms = change->record.created_ms};
    return entry;
}

/* Ids of the query this one stands for: the replaced one, or in a wanted state the one that runs
 * already. */
static const struct tn_catalog_query *known_query(struct tni_change *change,
                                                  const struct tn_object *old, struct tn_str name)
{
    if (change->actual) {
        const struct tn_object *same = tn_catalog_find(change->actual, TN_STR("default"), name);
        return same && same->query_id && same->kind != TN_OBJ_TABLE
                   ? tn_catalog_query(change->actual, tn_str_of(same->query_id))
                   : NULL;
    }
    return old && old->query_id ? tn_catalog_query(change->catalog, tn_str_of(old->query_id))
                                : NULL;
}

struct as_select {
    struct tni_with with;
    struct tni_stream_query *query;
    struct tni_plan_request request;
    struct tni_planned planned;
};

static enum tn_status plan_select(struct tni_change *change, const struct tn_ast_query *ast,
                                  const struct tn_catalog_query *known, const char *id_kind,
                                  struct tn_str id_name, struct as_select *as, struct tn_err *err)
{
    struct tni_bind bind;
    tni_bind_init(&bind, change->arena, TN_RULES_STREAM, change->catalog, change->session,
                  change->record.created_ms);
    TN_TRY(tni_bind_stream_query(&bind, ast, &as->query, err));
    if (as->query->limit >= 0)
        return tni_not_supported(err, ast->limit->line, ast->limit->col,
                                 "LIMIT is not for persistent queries: they do not end");
    as->request.query = as->query;
    as->request.catalog = change->catalog;
    as->request.formats = change->db->config.formats;
    as->request.topic_find = tni_change_topic_find;
    as->request.topic_ctx = change;
    as->request.application_id = change->db->config.application_id;
    as->request.with = &as->with;
    as->request.is_latest = change->record.is_latest;
    as->request.is_exact = change->record.is_exact;
    as->request.store_first = tni_catalog_next_store(change->catalog);
    if (known) {
        as->request.query_id = known->id;
        if (known->plan->stores_count)
            as->request.store_first = known->plan->stores[0].id;
    } else if (tni_with_is_set(&as->with, "QUERY_ID")) {
        as->request.query_id = as->with.query_id;
    } else {
        id_make(change, id_kind, id_name, &as->request.query_id);
    }
    if (strlen(as->request.query_id) > 60)
        return tn_err_set(err, TN_E_INVALID, "query id '%s' is longer than 60 bytes",
                          as->request.query_id);
    return tni_plan_stream(&as->request, &as->planned, err);
}

/* Where an error without a position belongs: the properties, or the statement. */
static enum tn_status place(enum tn_status st, const struct tn_ast_props *props,
                            const struct tn_ast_stmt *stmt, struct tn_err *err)
{
    if (tn_failed(st) && err && !err->line) {
        err->line = props->line ? props->line : stmt->line;
        err->col = props->line ? props->col : stmt->col;
    }
    return st;
}

static struct tni_entry *sink_entry(struct tni_change *change, const struct tni_planned *planned,
                                    struct tn_str name, struct tn_str statement, bool is_table)
{
    struct tni_entry *entry = tni_cat_entry_new(TNI_ENTRY_OBJECT);
    struct tn_object *object = &entry->object;
    object->kind = is_table ? TN_OBJ_KTABLE : TN_OBJ_STREAM;
    object->schema_name = "default";
    object->name = tn_arena_str(&entry->arena, name).ptr;
    tni_decl_copy(&entry->arena, &planned->decl, &object->decl);
    object->schema = tni_schema_copy(&entry->arena, planned->schema);
    object->query_id = tn_arena_strdup(&entry->arena, planned->plan->query_id);
    object->statement = tn_arena_str(&entry->arena, statement).ptr;
    object->created_ms = change->record.created_ms;
    return entry;
}

static void use_stores(struct tni_change *change, const struct tni_planned *planned)
{
    uint32_t next = tni_catalog_next_store(change->catalog);
    for (uint32_t i = 0; i < planned->plan->stores_count; i++)
        if (planned->plan->stores[i].id >= next)
            next = planned->plan->stores[i].id + 1;
    tni_catalog_set_next_store(change->catalog, next);
}

static void plan_effects(struct tni_change *change, struct tn_plan *plan,
                         const struct tni_with *with, enum tni_effect_kind kind)
{
    struct tni_effect *topics = tni_change_effect(change, TNI_EFFECT_PLAN_TOPICS);
    topics->plan = plan;
    topics->replicas = (int32_t)with->replicas;
    topics->retention_ms = with->retention_ms;
    tni_change_effect(change, kind)->plan = plan;
}

static enum tn_status retention_check(const struct as_select *as, bool is_table, struct tn_err *err)
{
    if (is_table && as->planned.decl.window == TN_WINDOW_NONE &&
        tni_with_is_set(&as->with, "RETENTION_MS"))
        return tn_err_set(err, TN_E_INVALID,
                          "property RETENTION_MS is for streams and windowed tables");
    return TN_OK;
}

static enum tn_status as_select_put(struct tni_change *change, const struct tn_ast_stmt *stmt,
                                    struct tn_str name, const struct tn_object *old,
                                    struct as_select *as, struct tn_err *err)
{
    bool is_table = stmt->kind == TN_AS_CREATE_TABLE;
    const struct tn_catalog_query *running =
        old && old->query_id ? tn_catalog_query(change->catalog, tn_str_of(old->query_id)) : NULL;
    if (old && !running)
        return tn_err_at(err, TN_E_INVALID, "NOT_SUPPORTED", stmt->line, stmt->col,
                         "'%s' is not the result of a query and cannot become one", old->name);
    if (running) {
        TN_TRY(tni_replace_check(running->plan, as->planned.plan, err));
        change->is_noop = tni_plan_same(running->plan, as->planned.plan);
        if (change->is_noop)
            return TN_OK;
    }
    struct tni_entry *query =
        query_entry(change, is_table ? TN_QUERY_CTAS : TN_QUERY_CSAS, &as->planned, as->query,
                    tn_arena_str(change->arena, name).ptr, stmt->text);
    tn_plan_ref(as->planned.plan);
    if (running)
        query->query.is_paused = running->is_paused;
    tni_catalog_put(change->catalog, sink_entry(change, &as->planned, name, stmt->text, is_table));
    tni_catalog_put(change->catalog, query);
    use_stores(change, &as->planned);
    plan_effects(change, query->query.plan, &as->with,
                 running ? TNI_EFFECT_REPLACE : TNI_EFFECT_ADD);
    change->message =
        tn_arena_printf(change->arena, "created %s %.*s with query %s",
                        is_table ? "table" : "stream", TN_STR_FMT(name), query->query.id);
    if (!old)
        change->undo = tni_drop_text(change->arena, is_table, name);
    return TN_OK;
}

static enum tn_status create_as(struct tni_change *change, const struct tn_ast_stmt *stmt,
                                struct tn_err *err)
{
    const struct tn_ast_create *create = stmt->create;
    bool is_table = stmt->kind == TN_AS_CREATE_TABLE;
    const struct tn_object *old;
    struct tn_str schema_name, name;
    TN_TRY(tni_new_name(change, create->name, &schema_name, &name, err));
    if (!tn_str_eq_nocase(schema_name, TN_STR("default")))
        return tni_not_supported(
            err, create->name->line, create->name->col,
            "schema '%.*s' is a zone: AS SELECT into it runs once, so it is not "
            "part of a wanted state; a sink fills zone tables for ever",
            TN_STR_FMT(schema_name));
    TN_TRY(tni_check_exists(change, create, schema_name, name, &old, err));
    if (change->is_noop)
        return TN_OK;
    if (create->has_columns || create->is_source || create->is_no_data)
        return tni_not_supported(err, stmt->line, stmt->col, "%s is not supported with AS SELECT",
                                 create->is_source     ? "SOURCE"
                                 : create->has_columns ? "a column list"
                                                       : "WITH NO DATA");
    struct tn_ident last = tn_ast_last(create->name);
    struct as_select as = {0};
    TN_TRY(tni_props_fill(change, &create->props, is_table ? TNI_WITH_CTAS : TNI_WITH_CSAS,
                          &as.with, err));
    as.request.sink = is_table ? TNI_SINK_TABLE : TNI_SINK_STREAM;
    as.request.sink_name = name;
    as.request.default_topic = tni_default_topic(change->arena, &last);
    as.request.statement = tn_arena_str(change->arena, stmt->text).ptr;
    enum tn_status st = plan_select(change, create->query, known_query(change, old, name),
                                    is_table ? "CTAS" : "CSAS", name, &as, err);
    if (!tn_failed(st)) {
        st = retention_check(&as, is_table, err);
        if (!tn_failed(st))
            st = as_select_put(change, stmt, name, old, &as, err);
        tn_plan_unref(as.planned.plan);
    }
    return place(st, &create->props, stmt, err);
}

/* ---- INSERT INTO … SELECT ---- */

struct same_insert {
    const struct tn_plan *plan;
    const struct tn_catalog *taken; /* wanted state: each running query stands for one statement */
    const struct tn_catalog_query *found;
    const char *sink_name, *statement;
};

static bool find_insert(void *ctx, const struct tn_catalog_query *query)
{
    struct same_insert *same = ctx;
    if (query->kind == TN_QUERY_INSERT && !strcasecmp(query->sink_name, same->sink_name) &&
        !strcmp(query->statement, same->statement) &&
        !tn_catalog_query(same->taken, tn_str_of(query->id)))
        same->found = query;
    return !same->found;
}

static enum tn_status insert_target(struct tni_change *change, const struct tn_ast_stmt *stmt,
                                    const struct tn_object **ret_target, struct tn_err *err)
{
    const struct tn_ast_insert *insert = stmt->insert;
    struct tni_bind bind;
    const struct tn_object *target;
    tni_bind_init(&bind, change->arena, TN_RULES_STREAM, change->catalog, change->session, 0);
    TN_TRY(tni_bind_object(&bind, insert->name, &target, err));
    if (insert->columns_count)
        return tni_not_supported(err, insert->columns[0].line, insert->columns[0].col,
                                 "a column list is not supported with INSERT INTO … SELECT");
    if (target->kind != TN_OBJ_STREAM)
        return tn_err_at(err, TN_E_INVALID, "INVALID_ARGUMENTS", insert->name->line,
                         insert->name->col, "INSERT INTO … SELECT needs a stream, '%s' is none",
                         target->name);
    if (target->is_source)
        return tn_err_at(err, TN_E_INVALID, "INVALID_ARGUMENTS", insert->name->line,
                         insert->name->col, "'%s' is a SOURCE and read-only", target->name);
    *ret_target = target;
    return TN_OK;
}

enum tn_status tni_apply_insert_select(struct tni_change *change, const struct tn_ast_stmt *stmt,
                                       struct tn_err *err)
{
    const struct tn_object *target = NULL;
    struct as_select as = {0};
    TN_TRY(insert_target(change, stmt, &target, err));
    TN_TRY(tni_props_fill(change, &stmt->insert->props, TNI_WITH_INSERT, &as.with, err));
    as.request.sink = TNI_SINK_STREAM;
    as.request.sink_name = tn_str_of(target->name);
    as.request.insert_into = target;
    as.request.default_topic = target->decl.topic;
    as.request.statement = tn_arena_str(change->arena, stmt->text).ptr;
    struct same_insert same = {
        .sink_name = target->name, .statement = as.request.statement, .taken = change->catalog};
    if (change->actual)
        tn_catalog_each_query(change->actual, find_insert, &same);
    enum tn_status st = plan_select(change, stmt->insert->query, same.found, "INSERTQUERY",
                                    (struct tn_str){"", 0}, &as, err);
    if (!tn_failed(st) && !same.found &&
        tn_catalog_query(change->catalog, tn_str_of(as.planned.plan->query_id))) {
        st = tn_err_set(err, TN_E_EXISTS, "query '%s' exists already", as.planned.plan->query_id);
        tn_plan_unref(as.planned.plan);
    }
    if (tn_failed(st))
        return place(st, &stmt->insert->props, stmt, err);
    struct tni_entry *query =
        query_entry(change, TN_QUERY_INSERT, &as.planned, as.query, target->name, stmt->text);
    tni_catalog_put(change->catalog, query);
    use_stores(change, &as.planned);
    plan_effects(change, query->query.plan, &as.with, TNI_EFFECT_ADD);
    change->message = tn_arena_printf(change->arena, "created query %s", query->query.id);
    change->undo = tn_arena_printf(change->arena, "TERMINATE \"%s\"", query->query.id);
    return TN_OK;
}

/* ---- views, schemas, types ---- */

static enum tn_status create_view(struct tni_change *change, const struct tn_ast_stmt *stmt,
                                  struct tn_err *err)
{
    const struct tn_ast_create *create = stmt->create;
    const struct tn_object *old;
    struct tn_str schema_name, name;
    struct tni_bind bind;
    struct tn_query *query;
    TN_TRY(tni_new_name(change, create->name, &schema_name, &name, err));
    TN_TRY(tni_check_exists(change, create, schema_name, name, &old, err));
    if (change->is_noop)
        return TN_OK;
    if (old && old->kind != TN_OBJ_VIEW)
        return tn_err_at(err, TN_E_EXISTS, "TABLE_ALREADY_EXISTS", create->name->line,
                         create->name->col, "'%s' exists and is not a view", old->name);
    tni_bind_init(&bind, change->arena, TN_RULES_QUERY, change->catalog, change->session,
                  change->record.created_ms);
    TN_TRY(tni_bind_query(&bind, create->query, &query, err));
    for (uint32_t i = 0; i < query->schema->fields_count; i++)
        for (uint32_t j = 0; j < i; j++)
            if (tn_catalog_name_eq(change->catalog, query->schema->fields[i].name,
                                   query->schema->fields[j].name))
                return tn_err_at(err, TN_E_NAME, "DUPLICATE_COLUMN_NAME", create->query->line,
                                 create->query->col, "column '%.*s' is twice in the view",
                                 TN_STR_FMT(query->schema->fields[i].name));
    struct tni_entry *entry = tni_cat_entry_new(TNI_ENTRY_OBJECT);
    struct tn_object *object = &entry->object;
    object->kind = TN_OBJ_VIEW;
    object->schema_name = tn_arena_str(&entry->arena, schema_name).ptr;
    object->name = tn_arena_str(&entry->arena, name).ptr;
    object->schema = tni_schema_copy(&entry->arena, query->schema);
    object->text = tn_arena_str(&entry->arena, create->query_text).ptr;
    object->text_schema = tn_arena_strdup(&entry->arena, change->record.schema_name);
    object->statement = tn_arena_str(&entry->arena, stmt->text).ptr;
    object->created_ms = change->record.created_ms;
    tni_catalog_put(change->catalog, entry);
    change->message = tn_arena_printf(change->arena, "created view %.*s", TN_STR_FMT(name));
    return TN_OK;
}

static enum tn_status create_schema(struct tni_change *change, const struct tn_ast_stmt *stmt,
                                    struct tn_err *err)
{
    const struct tn_ast_create *create = stmt->create;
    struct tn_str name = tn_ast_last(create->name).text;
    if (create->name->parts_count > 2)
        return tn_err_at(err, TN_E_NAME, "SYNTAX_ERROR", create->name->line, create->name->col,
                         "a schema name has at most two parts: catalog.schema");
    if (tn_catalog_has_schema(change->catalog, name)) {
        if (!create->is_if_not_exists)
            return tn_err_at(err, TN_E_EXISTS, "SCHEMA_ALREADY_EXISTS", create->name->line,
                             create->name->col, "schema '%.*s' exists already", TN_STR_FMT(name));
        change->is_noop = true;
        return TN_OK;
    }
    struct tni_entry *entry = tni_cat_entry_new(TNI_ENTRY_SCHEMA);
    entry->name = tn_arena_str(&entry->arena, name).ptr;
    enum tn_status st = tni_zone_schema_props(create, entry, err);
    if (tn_failed(st)) {
        tni_cat_entry_unref(entry);
        return st;
    }
    tni_catalog_put(change->catalog, entry);
    change->message = tn_arena_printf(change->arena, "created schema %.*s", TN_STR_FMT(name));
    return TN_OK;
}

static enum tn_status create_type(struct tni_change *change, const struct tn_ast_stmt *stmt,
                                  struct tn_err *err)
{
    const struct tn_ast_create *create = stmt->create;
    struct tn_str name = tn_ast_last(create->name).text;
    struct tni_bind bind;
    const struct tn_type *type;
    const struct tn_type *old = tn_catalog_type(change->catalog, name);
    tni_bind_init(&bind, change->arena, TN_RULES_STREAM, change->catalog, change->session, 0);
    TN_TRY(tni_bind_type(&bind, create->type, &type, err));
    if (old && create->is_if_not_exists) {
        change->is_noop = true;
        return TN_OK;
    }
    if (old && !create->is_or_replace)
        return tn_err_at(err, TN_E_EXISTS, "ALREADY_EXISTS", create->name->line, create->name->col,
                         "type '%.*s' exists already", TN_STR_FMT(name));
    struct tni_entry *entry = tni_cat_entry_new(TNI_ENTRY_TYPE);
    entry->name = tn_arena_str(&entry->arena, name).ptr;
    entry->type = tn_type_copy(&entry->arena, type);
    tni_catalog_put(change->catalog, entry);
    change->message = tn_arena_printf(change->arena, "created type %.*s", TN_STR_FMT(name));
    return TN_OK;
}

enum tn_status tni_apply_create_as(struct tni_change *change, const struct tn_ast_stmt *stmt,
                                   struct tn_err *err)
{
    switch (stmt->kind) {
    case TN_AS_CREATE_VIEW: return create_view(change, stmt, err);
    case TN_AS_CREATE_SCHEMA: return create_schema(change, stmt, err);
    case TN_AS_CREATE_TYPE: return create_type(change, stmt, err);
    default: return create_as(change, stmt, err);
    }
}
