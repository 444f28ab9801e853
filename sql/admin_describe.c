/* DESCRIBE, SHOW COLUMNS, SHOW FUNCTIONS. */
#include "sql/admin_int.h"

#include <stdlib.h>

#include "stream/agg.h"

#define ROWS_COLUMNS(list) list, (uint32_t)(sizeof list / sizeof *list)

static enum tn_status find_object(struct tni_admin *admin, const struct tn_ast_name *name,
                                  const struct tn_object **ret_object, struct tn_err *err)
{
    struct tni_bind bind;
    tni_bind_init(&bind, admin->arena, TN_RULES_QUERY, admin->catalog, admin->session, 0);
    return tni_bind_object(&bind, name, ret_object, err);
}

/* ---- Trino: Column, Type, Extra, Comment ---- */

enum tn_status tni_admin_columns(struct tni_admin *admin, const struct tn_ast_name *name,
                                 struct tn_str like, struct tn_str escape, struct tn_err *err)
{
    static const struct tni_out_column columns[] = {{"Column", TN_K_VARCHAR},
                                                    {"Type", TN_K_VARCHAR},
                                                    {"Extra", TN_K_VARCHAR},
                                                    {"Comment", TN_K_VARCHAR}};
    const struct tn_object *object;
    struct tni_out out;
    TN_TRY(find_object(admin, name, &object, err));
    TN_TRY(tni_out_begin(&out, admin->rows, admin->arena, ROWS_COLUMNS(columns), err));
    for (uint32_t i = 0; i < object->schema->fields_count; i++) {
        const struct tn_field *field = &object->schema->fields[i];
        const char *lower =
            tni_lower_case(admin->arena, tn_arena_str(admin->arena, field->name).ptr);
        if (!tni_like(tn_str_of(lower), like, escape))
            continue;
        bool is_key = object->decl.schema && i < object->decl.keys_count;
        bool is_table = object->kind == TN_OBJ_TABLE || object->kind == TN_OBJ_KTABLE;
        tni_out_text(&out, lower);
        enum tn_kind kind = field->type->kind;
        if (admin->session->is_presto && (kind == TN_K_TIMESTAMP || kind == TN_K_TIME))
            tni_out_text(&out, kind == TN_K_TIME ? "time" : "timestamp");
        else
            tni_out_text(&out, tni_type_print(admin->arena, field->type, true));
        tni_out_text(&out, is_key ? (is_table ? "primary key" : "key") : "");
        tni_out_text(&out, "");
        TN_TRY(tni_out_row(&out, err));
    }
    return tni_out_end(&out, err);
}

/* ---- ksqlDB: DESCRIBE … EXTENDED as name and value ---- */

struct extended {
    struct tni_out out;
    struct tni_admin *admin;
    const struct tn_object *object;
    enum tn_status st;
    struct tn_err *err;
};

static void fact(struct extended *ex, const char *name, const char *value)
{
    if (tn_failed(ex->st))
        return;
    tni_out_text(&ex->out, name);
    tni_out_text(&ex->out, value);
    ex->st = tni_out_row(&ex->out, ex->err);
}

static void fact_i64(struct extended *ex, const char *name, int64_t value)
{
    fact(ex, name, tn_arena_printf(ex->admin->arena, "%lld", (long long)value));
}

static void describe_fields(struct extended *ex)
{
    const struct tn_object *object = ex->object;
    bool is_table = object->kind != TN_OBJ_STREAM;
    for (uint32_t i = 0; i < object->schema->fields_count; i++) {
        const struct tn_field *field = &object->schema->fields[i];
        bool is_key = i < object->decl.keys_count;
        fact(ex, tn_arena_printf(ex->admin->arena, "Field %.*s", TN_STR_FMT(field->name)),
             tn_arena_printf(ex->admin->arena, "%s%s",
                             tni_type_print(ex->admin->arena, field->type, false),
                             !is_key    ? ""
                             : is_table ? " (primary key)"
                                        : " (key)"));
    }
}

static void describe_window(struct extended *ex)
{
    static const char *const names[] = {[TN_WINDOW_NONE] = "",
                                        [TN_WINDOW_TUMBLE] = "TUMBLING",
                                        [TN_WINDOW_HOP] = "HOPPING",
                                        [TN_WINDOW_SESSION] = "SESSION"};
    const struct tn_topic_decl *decl = &ex->object->decl;
    if (decl->window == TN_WINDOW_NONE)
        return;
    fact(ex, "Window type", names[decl->window]);
    const struct tn_catalog_query *query =
        ex->object->query_id ? tn_catalog_query(ex->admin->catalog, tn_str_of(ex->object->query_id))
                             : NULL;
    for (uint32_t s = 0; query && s < query->plan->stages_count; s++)
        for (uint32_t i = 0; i < query->plan->stages[s].nodes_count; i++) {
            const struct tn_node *node = &query->plan->stages[s].nodes[i];
            if (node->kind != TN_NODE_AGGREGATE)
                continue;
            fact_i64(ex,
                     decl->window == TN_WINDOW_SESSION ? "Session gap (ms)" : "Window size (ms)",
                     node->window.size_ms);
            fact_i64(ex, "Grace period (ms)", node->window.grace_ms);
            fact_i64(ex, "Retention (ms)", node->window.retention_ms);
        }
}

struct info_search {
    struct extended *ex;
    const char *id;
};

static bool describe_runtime(void *ctx, const struct tn_query_info *info)
{
    struct info_search *search = ctx;
    struct extended *ex = search->ex;
    if (strcmp(info->plan->query_id, search->id) != 0)
        return true;
    fact_i64(ex, "Rows in", info->rows_in);
    fact_i64(ex, "Rows out", info->rows_out);
    fact_i64(ex, "Late rows", info->rows_late);
    fact_i64(ex, "Bad rows", info->rows_bad);
    fact_i64(ex, "Rows with null key", info->rows_null_key);
    fact_i64(ex, "Unmatched rows", info->rows_unmatched);
    fact_i64(ex, "Keys in state", info->state_keys);
    fact_i64(ex, "State bytes", info->state_bytes);
    fact_i64(ex, "Lag (records)", info->lag_records);
    if (info->state == TN_QUERY_FAILED)
        fact(ex, "Error", tn_arena_strdup(ex->admin->arena, info->error.message));
    return false;
}

static void describe_query(struct extended *ex)
{
    const struct tn_catalog_query *query =
        tn_catalog_query(ex->admin->catalog, tn_str_of(ex->object->query_id));
    if (!query)
        return;
    if (query->kind != TN_QUERY_INTERNAL)
        fact(ex, "Query", query->id);
    for (uint32_t i = 0; i < query->plan->stores_count; i++) {
        const struct tn_store_spec *store = &query->plan->stores[i];
        fact(ex, tn_arena_printf(ex->admin->arena, "Store %s", store->name),
             tn_arena_printf(ex->admin->arena, "changelog %s%s", store->changelog,
                             store->is_changelog_result ? " (the result topic)"
                             : store->is_source         ? " (the source topic)"
                                                        : ""));
    }
    if (query->changelog_why && query->plan->stores_count)
        fact(ex, "State and results are two topics because", query->changelog_why);
    struct info_search search = {ex, query->id};
    if (ex->admin->db->config.engine)
        tn_engine_each_query(ex->admin->db->config.engine, describe_runtime, &search);
}

static enum tn_status describe_extended(struct tni_admin *admin, const struct tn_ast_name *name,
                                        struct tn_err *err)
{
    static const struct tni_out_column columns[] = {{"Property", TN_K_VARCHAR},
                                                    {"Value", TN_K_VARCHAR}};
    static const char *const kinds[] = {
        [TN_OBJ_STREAM] = "STREAM", [TN_OBJ_TABLE] = "TABLE",     [TN_OBJ_KTABLE] = "TABLE",
        [TN_OBJ_VIEW] = "VIEW",     [TN_OBJ_ZONE] = "ZONE TABLE", [TN_OBJ_SYSTEM] = "SYSTEM TABLE"};
    struct extended ex = {.admin = admin, .err = err};
    TN_TRY(find_object(admin, name, &ex.object, err));
    TN_TRY(tni_out_begin(&ex.out, admin->rows, admin->arena, ROWS_COLUMNS(columns), err));
    const struct tn_object *object = ex.object;
    fact(&ex, "Name", object->name);
    fact(&ex, "Type", kinds[object->kind]);
    if (object->decl.topic) {
        fact(&ex, "Kafka topic", object->decl.topic);
        fact_i64(&ex, "Partitions", object->decl.partitions_count);
        fact(&ex, "Key format", object->decl.key_format->name);
        fact(&ex, "Value format", object->decl.value_format->name);
        int column = object->decl.timestamp_column;
        fact(&ex, "Timestamp field",
             column < 0 ? ""
                        : tn_arena_str(admin->arena, object->decl.schema->fields[column].name).ptr);
        describe_window(&ex);
    }
    describe_fields(&ex);
    if (object->statement)
        fact(&ex, "Statement", object->statement);
    if (object->ingest_path)
        fact(&ex, "Ingest path", object->ingest_path);
    if (object->query_id)
        describe_query(&ex);
    TN_TRY(ex.st);
    return tni_out_end(&ex.out, err);
}

/* ---- functions ---- */

static const char *kind_name(enum tn_kind kind, bool is_trino)
{
    (void)is_trino;
    switch (kind) {
    case TN_K_DECIMAL: return "decimal";
    case TN_K_ARRAY: return "array";
    case TN_K_MAP: return "map";
    case TN_K_STRUCT: return "row";
    case TN_K_NULL: return "any";
    default: break;
    }
    return tn_kind_trino(kind);
}

static const char *pattern_name(char letter)
{
    static const struct {
        char letter;
        const char *name;
    } rows[] = {{'b', "boolean"},
                {'i', "integer"},
                {'l', "bigint"},
                {'d', "double"},
                {'m', "decimal"},
                {'s', "varchar"},
                {'y', "varbinary"},
                {'D', "date"},
                {'T', "time"},
                {'t', "timestamp"},
                {'z', "timestamp with time zone"},
                {'j', "json"},
                {'v', "interval day to second"},
                {'w', "interval year to month"},
                {'A', "array"},
                {'M', "map"},
                {'R', "row"},
                {'n', "number"},
                {'*', "any"},
                {'f', "lambda"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].letter == letter)
            return rows[i].name;
    return "any";
}

static const char *func_args(struct tn_arena *arena, const struct tn_func *func)
{
    struct tn_buf buf;
    tn_buf_init(&buf, 1024);
    for (uint32_t i = 0; i < func->args_count; i++)
        tn_buf_printf(&buf, "%s%s", i ? ", " : "",
                      func->args ? pattern_name(func->args[i]) : "any");
    if (func->flags & TN_FN_VARARGS)
        tn_buf_add_text(&buf, func->args_count ? ", ..." : "...");
    const char *text = tn_arena_strdup(arena, tn_buf_cstr(&buf));
    tn_buf_release(&buf);
    return text;
}

struct function {
    const char *name;
    const struct tn_func *func; /* or */
    const struct tn_agg *agg;
};

static int function_cmp(const void *a, const void *b)
{
    const struct function *x = a, *y = b;
    return strcmp(x->name, y->name);
}

static struct function *functions(struct tn_arena *arena, bool is_stream, size_t *ret_count)
{
    size_t funcs_count, aggs_count, count = 0;
    const struct tn_func *const *funcs = tn_func_all(&funcs_count);
    const struct tn_agg *const *aggs = tn_agg_all(&aggs_count);
    struct function *all = TN_ARENA_ARRAY(arena, struct function, funcs_count + aggs_count + 1);
    for (size_t i = 0; i < funcs_count; i++)
        if (!(funcs[i]->flags & TN_FN_INTERNAL) &&
            funcs[i]->flags & (is_stream ? TN_FN_STREAM : TN_FN_QUERY))
            all[count++] = (struct function){funcs[i]->name, funcs[i], NULL};
    for (size_t i = 0; i < aggs_count; i++)
        if (aggs[i]->flags & (is_stream ? TN_AGG_STREAM : TN_AGG_QUERY))
            all[count++] = (struct function){aggs[i]->name, NULL, aggs[i]};
    qsort(all, count, sizeof *all, function_cmp);
    *ret_count = count;
    return all;
}

static enum tn_status list_functions(struct tni_admin *admin, struct tn_err *err)
{
    static const struct tni_out_column columns[] = {{"Function Name", TN_K_VARCHAR},
                                                    {"Category", TN_K_VARCHAR}};
    struct tni_out out;
    size_t count;
    const struct function *all = functions(admin->arena, true, &count);
    TN_TRY(tni_out_begin(&out, admin->rows, admin->arena, ROWS_COLUMNS(columns), err));
    for (size_t i = 0; i < count; i++) {
        if (i && !strcmp(all[i].name, all[i - 1].name))
            continue;
        char *upper = tn_arena_strdup(admin->arena, all[i].name);
        for (char *p = upper; *p; p++)
            *p = (char)(*p >= 'a' && *p <= 'z' ? *p - 32 : *p);
        tni_out_text(&out, upper);
        tni_out_text(&out, all[i].agg ? "AGGREGATE" : "SCALAR");
        TN_TRY(tni_out_row(&out, err));
    }
    return tni_out_end(&out, err);
}

enum tn_status tni_admin_functions(struct tni_admin *admin, struct tn_err *err)
{
    static const struct tni_out_column columns[] = {
        {"Function", TN_K_VARCHAR},       {"Return Type", TN_K_VARCHAR},
        {"Argument Types", TN_K_VARCHAR}, {"Function Type", TN_K_VARCHAR},
        {"Deterministic", TN_K_BOOLEAN},  {"Description", TN_K_VARCHAR}};
    const struct tn_ast_show *ast = admin->stmt->show;
    struct tni_out out;
    size_t count;
    if (ast->is_list)
        return list_functions(admin, err);
    const struct function *all = functions(admin->arena, false, &count);
    TN_TRY(tni_out_begin(&out, admin->rows, admin->arena, ROWS_COLUMNS(columns), err));
    for (size_t i = 0; i < count; i++) {
        const struct tn_func *func = all[i].func;
        const char *help = func ? func->help : all[i].agg->help;
        if (!tni_like(tn_str_of(all[i].name), ast->like, ast->escape))
            continue;
        tni_out_text(&out, all[i].name);
        tni_out_text(&out, func && !func->resolve ? kind_name(func->result, true) : "any");
        tni_out_text(&out, func ? func_args(admin->arena, func) : "any");
        tni_out_text(&out, func ? "scalar" : "aggregate");
        tni_out_bool(&out, !func || !(func->flags & TN_FN_VOLATILE));
        tni_out_text(&out, help ? help : "");
        TN_TRY(tni_out_row(&out, err));
    }
    return tni_out_end(&out, err);
}

enum tn_status tni_admin_describe_function(struct tni_admin *admin, struct tn_err *err)
{
    static const struct tni_out_column columns[] = {{"Function Name", TN_K_VARCHAR},
                                                    {"Arguments", TN_K_VARCHAR},
                                                    {"Returns", TN_K_VARCHAR},
                                                    {"Rules", TN_K_VARCHAR},
                                                    {"Description", TN_K_VARCHAR}};
    const struct tn_ast_name *name = admin->stmt->show->name;
    struct tn_str wanted = tn_ast_last(name).text;
    struct tni_out out;
    size_t count;
    bool is_found = false;
    TN_TRY(tni_out_begin(&out, admin->rows, admin->arena, ROWS_COLUMNS(columns), err));
    for (int is_stream = 0; is_stream < 2; is_stream++) {
        const struct function *all = functions(admin->arena, is_stream, &count);
        for (size_t i = 0; i < count; i++) {
            const struct tn_func *func = all[i].func;
            if (!tn_str_eq_nocase(tn_str_of(all[i].name), wanted))
                continue;
            is_found = true;
            tni_out_text(&out, all[i].name);
            tni_out_text(&out, func ? func_args(admin->arena, func) : "any");
            tni_out_text(&out, func && !func->resolve ? kind_name(func->result, true) : "any");
            tni_out_text(&out, is_stream ? "stream" : "query");
            const char *help = func ? func->help : all[i].agg->help;
            tni_out_text(&out, help ? help : "");
            TN_TRY(tni_out_row(&out, err));
        }
    }
    if (!is_found)
        return tn_err_at(err, TN_E_NAME, "FUNCTION_NOT_FOUND", name->line, name->col,
                         "no function '%.*s'", TN_STR_FMT(wanted));
    return tni_out_end(&out, err);
}

enum tn_status tni_admin_describe(struct tni_admin *admin, struct tn_err *err)
{
    const struct tn_ast_show *ast = admin->stmt->show;
    const struct tn_catalog_sink *sink = NULL;
    switch (ast->what) {
    case TN_AH_OBJECT:
        if (ast->name->parts_count == 1)
            sink = tn_catalog_sink(admin->catalog, tn_ast_last(ast->name).text);
        if (sink && !tn_catalog_find(admin->catalog, tn_str_of(admin->session->schema),
                                     tn_ast_last(ast->name).text))
            return tni_admin_describe_sink(admin, sink, err);
        if (ast->is_extended)
            return describe_extended(admin, ast->name, err);
        return tni_admin_columns(admin, ast->name, (struct tn_str){0}, (struct tn_str){0}, err);
    case TN_AH_FUNCTION: return tni_admin_describe_function(admin, err);
    case TN_AH_INPUT:
    case TN_AH_OUTPUT: return tni_admin_describe_prepared(admin, err);
    default:
        return tni_not_supported(err, admin->stmt->line, admin->stmt->col,
                                 "this DESCRIBE statement is not supported yet");
    }
}
