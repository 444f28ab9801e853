/* SHOW and LIST. Column sets: Trino's for CATALOGS, SCHEMAS, TABLES, COLUMNS, FUNCTIONS, SESSION
 * and CREATE …, ksqlDB's for STREAMS, QUERIES, TOPICS, TYPES, PROPERTIES, VARIABLES and everything
 * written LIST. */
#include "sql/admin_int.h"

#include <stdlib.h>

struct show {
    struct tni_admin *admin;
    const struct tn_ast_show *ast;
    struct tni_out out;
    struct tn_str schema_name;
    enum tn_status st;
    struct tn_err *err;
};

#define COLUMNS(...)                                                                               \
    static const struct tni_out_column columns[] = {__VA_ARGS__};                                  \
    TN_TRY(tni_out_begin(&show->out, show->admin->rows, show->admin->arena, columns,               \
                         (uint32_t)(sizeof columns / sizeof *columns), show->err))

static bool row_done(struct show *show)
{
    show->st = tni_out_row(&show->out, show->err);
    return !tn_failed(show->st);
}

static enum tn_status finish(struct show *show)
{
    TN_TRY(show->st);
    return tni_out_end(&show->out, show->err);
}

static bool matches(const struct show *show, const char *name)
{
    return tni_like(tn_str_of(name), show->ast->like, show->ast->escape);
}

/* ---- Trino ---- */

static enum tn_status show_catalogs(struct show *show)
{
    static const char *const names[] = {"hive", "system", "tarn"};
    COLUMNS({"Catalog", TN_K_VARCHAR});
    for (size_t i = 0; i < 3; i++)
        if (matches(show, names[i])) {
            tni_out_text(&show->out, names[i]);
            if (!row_done(show))
                break;
        }
    return finish(show);
}

static bool schema_row(void *ctx, const char *name)
{
    struct show *show = ctx;
    const char *lower = tni_lower_case(show->admin->arena, name);
    if (!matches(show, lower))
        return true;
    tni_out_text(&show->out, lower);
    return row_done(show);
}

static enum tn_status show_schemas(struct show *show)
{
    COLUMNS({"Schema", TN_K_VARCHAR});
    struct tn_str catalog = tn_str_of(show->admin->session->catalog);
    if (show->ast->name) {
        catalog = tn_ast_last(show->ast->name).text;
        if (!tn_catalog_is_name(catalog))
            return tn_err_at(show->err, TN_E_NAME, "CATALOG_NOT_FOUND", 0, 0,
                             "Catalog '%.*s' not found", TN_STR_FMT(catalog));
    }
    tn_catalog_each_schema_of(show->admin->catalog, catalog, schema_row, show);
    return finish(show);
}

static bool table_row(void *ctx, const struct tn_object *object)
{
    struct show *show = ctx;
    if (!tn_str_eq_nocase(tn_str_of(object->schema_name), show->schema_name))
        return true;
    const char *lower = tni_lower_case(show->admin->arena, object->name);
    if (!matches(show, lower))
        return true;
    tni_out_text(&show->out, lower);
    return row_done(show);
}

static enum tn_status show_tables(struct show *show)
{
    const struct tn_ast_name *name = show->ast->name;
    COLUMNS({"Table", TN_K_VARCHAR});
    struct tn_str catalog = tn_str_of(show->admin->session->catalog);
    struct tn_str schema = tn_str_of(show->admin->session->schema);
    int line = show->admin->stmt->line, col = show->admin->stmt->col;
    if (name) {
        schema = tn_ast_last(name).text;
        if (name->parts_count > 1)
            catalog = name->parts[name->parts_count - 2].text;
    }
    if (!tn_catalog_is_name(catalog))
        return tn_err_at(show->err, TN_E_NAME, "CATALOG_NOT_FOUND", line, col,
                         "Catalog '%.*s' not found", TN_STR_FMT(catalog));
    show->schema_name = tn_catalog_schema(show->admin->catalog, catalog, schema);
    if (!show->schema_name.ptr)
        return tn_err_at(show->err, TN_E_NAME, "SCHEMA_NOT_FOUND", line, col,
                         "Schema '%.*s' does not exist", TN_STR_FMT(schema));
    tn_catalog_each(show->admin->catalog, table_row, show);
    return finish(show);
}

static enum tn_status show_session(struct show *show)
{
    COLUMNS({"Name", TN_K_VARCHAR}, {"Value", TN_K_VARCHAR}, {"Default", TN_K_VARCHAR},
            {"Type", TN_K_VARCHAR}, {"Description", TN_K_VARCHAR});
    const char *deflt = show->admin->db->config.is_latest ? "latest" : "earliest";
    for (size_t i = 0; i < tni_session_properties_count; i++) {
        const struct tni_session_property *property = &tni_session_properties[i];
        char text[64];
        if (!matches(show, property->name))
            continue;
        tni_out_text(&show->out, property->name);
        tni_out_text(&show->out,
                     tni_session_value(show->admin->session, property, deflt, text, sizeof text));
        tni_out_text(&show->out, property->deflt ? property->deflt : deflt);
        tni_out_text(&show->out, property->type);
        tni_out_text(&show->out, property->help);
        if (!row_done(show))
            return show->st;
    }
    return finish(show);
}

static enum tn_status show_create(struct show *show)
{
    bool is_view = show->ast->what == TN_AH_CREATE_VIEW;
    struct tni_bind bind;
    const struct tn_object *object;
    const struct tn_ast_name *name = show->ast->name;
    tni_bind_init(&bind, show->admin->arena, TN_RULES_QUERY, show->admin->catalog,
                  show->admin->session, 0);
    TN_TRY(tni_bind_object(&bind, name, &object, show->err));
    if (is_view != (object->kind == TN_OBJ_VIEW))
        return tni_not_supported(show->err, show->admin->stmt->line, show->admin->stmt->col,
                                 "Relation '%s.%s.%s' is a %s, not a %s",
                                 show->admin->session->catalog, object->schema_name, object->name,
                                 is_view ? "table" : "view", is_view ? "view" : "table");
    if (!object->statement)
        return tni_not_supported(show->err, name->line, name->col,
                                 "'%s' was not made by a statement", object->name);
    static const struct tni_out_column columns[2] = {{"Create Table", TN_K_VARCHAR},
                                                     {"Create View", TN_K_VARCHAR}};
    TN_TRY(tni_out_begin(&show->out, show->admin->rows, show->admin->arena, &columns[is_view], 1,
                         show->err));
    tni_out_text(&show->out, object->statement);
    row_done(show);
    return finish(show);
}

/* ---- ksqlDB ---- */

static bool source_row(void *ctx, const struct tn_object *object)
{
    struct show *show = ctx;
    bool wants_stream = show->ast->what == TN_AH_STREAMS;
    bool is_table = object->kind == TN_OBJ_TABLE || object->kind == TN_OBJ_KTABLE;
    if (wants_stream ? object->kind != TN_OBJ_STREAM : !is_table)
        return true;
    tni_out_text(&show->out, object->name);
    tni_out_text(&show->out, object->decl.topic);
    tni_out_text(&show->out, object->decl.key_format->name);
    tni_out_text(&show->out, object->decl.value_format->name);
    tni_out_bool(&show->out, object->decl.window != TN_WINDOW_NONE);
    return row_done(show);
}

static enum tn_status list_sources(struct show *show)
{
    static const struct tni_out_column streams[] = {{"Stream Name", TN_K_VARCHAR},
                                                    {"Kafka Topic", TN_K_VARCHAR},
                                                    {"Key Format", TN_K_VARCHAR},
                                                    {"Value Format", TN_K_VARCHAR},
                                                    {"Windowed", TN_K_BOOLEAN}};
    struct tni_out_column columns[5];
    memcpy(columns, streams, sizeof columns);
    if (show->ast->what == TN_AH_TABLES)
        columns[0].name = "Table Name";
    TN_TRY(tni_out_begin(&show->out, show->admin->rows, show->admin->arena, columns, 5, show->err));
    tn_catalog_each(show->admin->catalog, source_row, show);
    return finish(show);
}

struct query_state {
    const char *id;
    const char *state;
};

static bool state_of(void *ctx, const struct tn_query_info *info)
{
    static const char *const names[] = {[TN_QUERY_RESTORING] = "RESTORING",
                                        [TN_QUERY_RUNNING] = "RUNNING",
                                        [TN_QUERY_PAUSED] = "PAUSED",
                                        [TN_QUERY_FAILED] = "FAILED"};
    struct query_state *qs = ctx;
    if (strcmp(info->plan->query_id, qs->id) != 0)
        return true;
    qs->state = names[info->state];
    return false;
}

static bool query_row(void *ctx, const struct tn_catalog_query *query)
{
    struct show *show = ctx;
    struct query_state qs = {query->id, query->is_paused ? "PAUSED" : "RUNNING"};
    if (query->kind == TN_QUERY_INTERNAL)
        return true;
    if (show->admin->db->config.engine)
        tn_engine_each_query(show->admin->db->config.engine, state_of, &qs);
    const struct tn_object *sink =
        tn_catalog_find(show->admin->catalog, TN_STR("default"), tn_str_of(query->sink_name));
    tni_out_text(&show->out, query->id);
    tni_out_text(&show->out, "PERSISTENT");
    tni_out_text(&show->out, qs.state);
    tni_out_text(&show->out, query->sink_name);
    tni_out_text(&show->out, sink ? sink->decl.topic : NULL);
    tni_out_text(&show->out, query->statement);
    return row_done(show);
}

static enum tn_status list_queries(struct show *show)
{
    COLUMNS({"Query ID", TN_K_VARCHAR}, {"Query Type", TN_K_VARCHAR}, {"Status", TN_K_VARCHAR},
            {"Sink Name", TN_K_VARCHAR}, {"Sink Kafka Topic", TN_K_VARCHAR},
            {"Query String", TN_K_VARCHAR});
    tn_catalog_each_query(show->admin->catalog, query_row, show);
    return finish(show);
}

static bool is_internal_topic(const struct show *show, const char *name)
{
    size_t len = strlen(show->admin->db->config.application_id);
    return !strncmp(name, show->admin->db->config.application_id, len) && name[len] == '-';
}

static bool topic_row(void *ctx, const struct tn_topic *topic)
{
    struct show *show = ctx;
    if (show->ast->what != TN_AH_ALL_TOPICS && is_internal_topic(show, topic->name))
        return true;
    if (!matches(show, topic->name))
        return true;
    tni_out_text(&show->out, topic->name);
    tni_out_i64(&show->out, topic->partitions_count);
    tni_out_i64(&show->out, 1);
    return row_done(show);
}

static enum tn_status list_topics(struct show *show)
{
    struct tn_log *log = show->admin->db->config.log;
    COLUMNS({"Kafka Topic", TN_K_VARCHAR}, {"Partitions", TN_K_INTEGER},
            {"Partition Replicas", TN_K_INTEGER});
    TN_TRY(log->type->topic_each(log, topic_row, show, show->err));
    return finish(show);
}

static bool type_row(void *ctx, const char *name, const struct tn_type *type)
{
    struct show *show = ctx;
    tni_out_text(&show->out, name);
    tni_out_text(&show->out, tni_type_print(show->admin->arena, type, false));
    return row_done(show);
}

static enum tn_status list_types(struct show *show)
{
    COLUMNS({"Type Name", TN_K_VARCHAR}, {"Schema", TN_K_VARCHAR});
    tn_catalog_each_type(show->admin->catalog, type_row, show);
    return finish(show);
}

static enum tn_status list_properties(struct show *show)
{
    COLUMNS({"Property", TN_K_VARCHAR}, {"Scope", TN_K_VARCHAR}, {"Default override", TN_K_VARCHAR},
            {"Effective Value", TN_K_VARCHAR});
    const struct tn_db_config *config = &show->admin->db->config;
    for (size_t s = 0; s < config->options_count; s++) {
        const struct tni_option_set *set = &config->options[s];
        for (size_t i = 0; i < set->opts->count; i++) {
            const struct tn_opt *opt = &set->opts->items[i];
            struct tn_buf buf;
            if (opt->flags & TN_OPT_PREFIX)
                continue;
            tn_buf_init(&buf, 4096);
            tn_opt_print_value(opt, set->values, &buf);
            bool is_default = tn_str_eq(tn_buf_str(&buf), tn_str_of(opt->deflt ? opt->deflt : ""));
            tni_out_text(&show->out, opt->name);
            tni_out_text(&show->out, "SERVER");
            tni_out_text(&show->out, is_default ? "" : "SERVER");
            tni_out_text(&show->out, tn_arena_strdup(show->admin->arena, tn_buf_cstr(&buf)));
            tn_buf_release(&buf);
            if (!row_done(show))
                return show->st;
        }
    }
    return finish(show);
}

static enum tn_status list_variables(struct show *show)
{
    COLUMNS({"Variable Name", TN_K_VARCHAR}, {"Value", TN_K_VARCHAR});
    const struct tn_session *session = show->admin->session;
    for (uint32_t i = 0; i < session->vars_count; i++) {
        tni_out_text(&show->out, session->vars[i].name);
        tni_out_text(&show->out, session->vars[i].value);
        if (!row_done(show))
            break;
    }
    return finish(show);
}

enum tn_status tni_admin_show(struct tni_admin *admin, struct tn_err *err)
{
    const struct tn_ast_show *ast = admin->stmt->show;
    struct show show = {.admin = admin, .ast = ast, .err = err};
    switch (ast->what) {
    case TN_AH_CATALOGS: return show_catalogs(&show);
    case TN_AH_SCHEMAS: return show_schemas(&show);
    case TN_AH_TABLES: return ast->is_list ? list_sources(&show) : show_tables(&show);
    case TN_AH_COLUMNS: return tni_admin_columns(admin, ast->name, ast->like, ast->escape, err);
    case TN_AH_FUNCTIONS: return tni_admin_functions(admin, err);
    case TN_AH_SESSION: return show_session(&show);
    case TN_AH_STATS: return tni_admin_stats(admin, err);
    case TN_AH_CREATE_TABLE:
    case TN_AH_CREATE_VIEW: return show_create(&show);
    case TN_AH_STREAMS: return list_sources(&show);
    case TN_AH_QUERIES: return list_queries(&show);
    case TN_AH_SINKS: return tni_admin_show_sinks(admin, err);
    case TN_AH_TOPICS:
    case TN_AH_ALL_TOPICS: return list_topics(&show);
    case TN_AH_TYPES: return list_types(&show);
    case TN_AH_PROPERTIES: return list_properties(&show);
    case TN_AH_VARIABLES: return list_variables(&show);
    default:
        return tni_not_supported(err, admin->stmt->line, admin->stmt->col, "%s %s is not supported",
                                 ast->is_list ? "LIST" : "SHOW", tn_ast_show_text(ast->what));
    }
}
