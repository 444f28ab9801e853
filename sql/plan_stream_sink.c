/* Streaming planner: projection, keys of the result, formats and topic of the sink. Contract:
 * sql/plan_stream_int.h. */
#include "sql/plan_stream_int.h"

/* ---- key columns among the items ---- */

static enum tn_status key_missing(const struct tni_planner *pl, const struct tn_expr *key,
                                  struct tn_err *err)
{
    struct tn_buf buf;
    tn_buf_init(&buf, 128);
    tn_expr_print(key, &buf);
    tn_err_at(err, TN_E_INVALID, "INVALID_ARGUMENTS", pl->query->line, pl->query->col,
              "the SELECT list must contain the key of the result: %s",
              key->name.len ? tn_arena_str(pl->arena, key->name).ptr : tn_buf_cstr(&buf));
    tn_buf_release(&buf);
    return TN_E_INVALID;
}

static bool is_key_item(const struct tni_key *key, uint32_t i, const struct tn_expr *expr)
{
    return tn_expr_eq(key->exprs[i], expr) ||
           (key->alts && key->alts[i] && tn_expr_eq(key->alts[i], expr));
}

static bool name_used(const struct tni_stream_query *query, struct tn_str name)
{
    for (uint32_t i = 0; i < query->items_count; i++)
        if (tn_str_eq_nocase(query->items[i].name, name))
            return true;
    return false;
}

/* A key that SELECT * does not list (PARTITION BY an expression): its own or a generated name. */
static struct tn_str generated_name(struct tni_planner *pl, const struct tn_expr *key)
{
    if (key->name.len && key->kind != TN_E_CALL && !name_used(pl->query, key->name))
        return key->name;
    for (unsigned n = 0;; n++) {
        struct tn_str name = tn_str_of(tn_arena_printf(pl->arena, "KSQL_COL_%u", n));
        if (!name_used(pl->query, name))
            return name;
    }
}

static bool has_star(const struct tni_stream_query *query)
{
    for (uint32_t i = 0; i < query->items_count; i++)
        if (query->items[i].is_from_star)
            return true;
    return false;
}

/* Item of key i. A SELECT * after a join lists both join columns: the first one is the key, a later
 * one a value. */
static enum tn_status find_key(struct tni_planner *pl, const struct tni_key *key, uint32_t i,
                               const struct tni_item **ret_item, struct tn_err *err)
{
    const struct tni_stream_query *query = pl->query;
    const struct tni_item *found = NULL;
    for (uint32_t at = 0; at < query->items_count; at++) {
        const struct tni_item *item = &query->items[at];
        if (!is_key_item(key, i, item->expr))
            continue;
        bool is_same = found && tn_expr_eq(found->expr, item->expr);
        if (is_same && !item->is_from_star) {
            tn_err_at(err, TN_E_INVALID, "INVALID_ARGUMENTS", item->expr->line, item->expr->col,
                      "the key column '%.*s' is twice in the SELECT list",
                      TN_STR_FMT(item->expr->name));
            tn_err_hint(err, "AS_VALUE(…) copies a key into a value column");
            return TN_E_INVALID;
        }
        if (!found ||
            (!tn_expr_eq(found->expr, key->exprs[i]) && tn_expr_eq(item->expr, key->exprs[i])))
            found = item;
    }
    if (!found && !has_star(query))
        return key_missing(pl, key->exprs[i], err);
    *ret_item = found;
    return TN_OK;
}

/* Is the item one of the old key columns that SELECT * brought, pushed out of the key by PARTITION
 * BY? */
static bool is_old_key(const struct tni_planner *pl, const struct tni_item *item)
{
    if (!pl->query->is_partitioned || !item->is_from_star || item->expr->kind != TN_E_COLUMN)
        return false;
    const struct tni_source *source = &pl->query->sources[item->expr->rel];
    return (uint32_t)item->expr->column < source->object->decl.keys_count;
}

enum tn_status tni_split_items(struct tni_planner *pl, const struct tni_key *key,
                               struct tni_columns *ret_columns, struct tn_err *err)
{
    const struct tni_stream_query *query = pl->query;
    uint32_t keys_count = pl->request->sink == TNI_SINK_NONE ? 0 : key->count;
    struct tni_columns columns = {
        .keys = TN_ARENA_ARRAY(pl->arena, const struct tn_expr *, key->count + 1),
        .key_names = TN_ARENA_ARRAY(pl->arena, struct tn_str, key->count + 1),
        .values = TN_ARENA_ARRAY(pl->arena, const struct tni_item *, query->items_count + 1)};
    const struct tni_item **key_items =
        TN_ARENA_ARRAY(pl->arena, const struct tni_item *, key->count + 1);
    for (uint32_t i = 0; i < key->count; i++) {
        columns.keys[i] = key->exprs[i];
        if (i < keys_count)
            TN_TRY(find_key(pl, key, i, &key_items[i], err));
        columns.key_names[i] =
            key_items[i] ? key_items[i]->name : generated_name(pl, key->exprs[i]);
    }
    for (int pass = 0; pass < 2; pass++)
        for (uint32_t at = 0; at < query->items_count; at++) {
            bool is_key = false;
            for (uint32_t i = 0; i < keys_count; i++)
                is_key = is_key || key_items[i] == &query->items[at];
            if (!is_key && is_old_key(pl, &query->items[at]) == (pass == 1))
                columns.values[columns.values_count++] = &query->items[at];
        }
    columns.keys_count = keys_count;
    if (!columns.values_count && pl->request->sink != TNI_SINK_NONE)
        return tn_err_at(err, TN_E_INVALID, "INVALID_ARGUMENTS", query->line, query->col,
                         "the SELECT list needs a column besides the key");
    *ret_columns = columns;
    return TN_OK;
}

/* ---- formats, topic, partitions ---- */

static enum tn_status sink_formats(struct tni_planner *pl, uint32_t keys_count, struct tn_err *err)
{
    const struct tni_with *with = pl->request->with;
    struct tn_topic_decl *sink = &pl->sink;
    bool has_format = tni_with_is_set(with, "FORMAT");
    if (has_format &&
        (tni_with_is_set(with, "KEY_FORMAT") || tni_with_is_set(with, "VALUE_FORMAT")))
        return tn_err_set(err, TN_E_INVALID,
                          "property FORMAT excludes KEY_FORMAT and VALUE_FORMAT");
    sink->value_format = pl->base.value_format;
    sink->key_format =
        keys_count ? pl->base.key_format : tn_format_find(pl->request->formats, TN_STR("NONE"));
    if (keys_count &&
        (!pl->base.keys_count || !sink->key_format || !strcmp(sink->key_format->name, "NONE")))
        sink->key_format = tn_format_find(pl->request->formats, TN_STR("KAFKA"));
    if (has_format) {
        TN_TRY(tni_with_format(pl->request->formats, with->format, "FORMAT", &sink->value_format,
                               err));
        sink->key_format = keys_count ? sink->value_format : sink->key_format;
    }
    if (tni_with_is_set(with, "VALUE_FORMAT"))
        TN_TRY(tni_with_format(pl->request->formats, with->value_format, "VALUE_FORMAT",
                               &sink->value_format, err));
    if (tni_with_is_set(with, "KEY_FORMAT"))
        TN_TRY(tni_with_format(pl->request->formats, with->key_format, "KEY_FORMAT",
                               &sink->key_format, err));
    if (sink->key_format == pl->base.key_format)
        sink->key_delimiter = pl->base.key_delimiter;
    if (sink->value_format == pl->base.value_format)
        sink->value_delimiter = pl->base.value_delimiter;
    return tni_with_delimiters(with, sink, err);
}

static enum tn_status sink_topic(struct tni_planner *pl, struct tn_err *err)
{
    const struct tni_plan_request *request = pl->request;
    const struct tni_with *with = request->with;
    const char *topic = request->default_topic;
    if (tni_with_is_set(with, "KAFKA_TOPIC"))
        topic = with->kafka_topic;
    else if (tni_with_is_set(with, "STORE"))
        topic = tn_arena_printf(pl->arena, "%s-%s-changelog", request->application_id, with->store);
    pl->sink.topic = tn_arena_strdup(pl->arena, topic);
    pl->sink.partitions_count = pl->base.partitions_count;
    if (tni_with_is_set(with, "PARTITIONS"))
        pl->sink.partitions_count = (int32_t)with->partitions;
    int32_t found;
    enum tn_status st = request->topic_find(request->topic_ctx, topic, &found, err);
    if (tn_failed(st))
        return st;
    if (st == TN_OK && tni_with_is_set(with, "PARTITIONS") && found != pl->sink.partitions_count)
        return tn_err_set(err, TN_E_INVALID, "topic '%s' has %d partitions, PARTITIONS says %d",
                          topic, found, pl->sink.partitions_count);
    if (st == TN_OK)
        pl->sink.partitions_count = found;
    return TN_OK;
}

/* Push queries have no sink; their aggregation still needs a key format inside. */
static enum tn_status inner_formats(struct tni_planner *pl, uint32_t keys_count)
{
    pl->sink.value_format = tn_format_find(pl->request->formats, TN_STR("JSON"));
    pl->sink.key_format = pl->sink.value_format;
    pl->sink.partitions_count = pl->base.partitions_count;
    (void)keys_count;
    return TN_OK;
}

enum tn_status tni_sink_begin(struct tni_planner *pl, uint32_t keys_count, struct tn_err *err)
{
    pl->sink.timestamp_column = -1;
    pl->sink.is_case_exact = pl->request->is_exact;
    if (pl->request->sink == TNI_SINK_NONE)
        return inner_formats(pl, keys_count);
    if (pl->request->insert_into) {
        const struct tn_topic_decl *decl = &pl->request->insert_into->decl;
        pl->sink = *decl;
        pl->sink.topic = tn_arena_strdup(pl->arena, decl->topic);
        if (decl->timestamp_format)
            pl->sink.timestamp_format = tn_arena_strdup(pl->arena, decl->timestamp_format);
        return TN_OK;
    }
    TN_TRY(sink_formats(pl, keys_count, err));
    return sink_topic(pl, err);
}

enum tn_status tni_format_check(const struct tn_topic_decl *decl, bool is_key, struct tn_err *err)
{
    uint32_t from = is_key ? 0 : decl->keys_count;
    struct tn_schema slice = {is_key ? decl->keys_count : decl->schema->fields_count - from,
                              decl->schema->fields + from};
    const struct tn_format *format = is_key ? decl->key_format : decl->value_format;
    unsigned need = is_key ? TN_FMT_KEY : TN_FMT_VALUE;
    if (!(format->flags & need))
        return tn_err_set(err, TN_E_INVALID, "format %s cannot be a %s format", format->name,
                          is_key ? "key" : "value");
    if (slice.fields_count > 1 && !(format->flags & TN_FMT_MULTI)) {
        tn_err_set(err, TN_E_INVALID, "%s format %s carries one column, there are %u",
                   is_key ? "key" : "value", format->name, slice.fields_count);
        tn_err_hint(err, "set %s_FORMAT, for example to JSON", is_key ? "KEY" : "VALUE");
        return TN_E_INVALID;
    }
    struct tn_codec_spec spec = tn_decl_spec(decl, is_key, &slice);
    struct tn_codec *codec;
    enum tn_status st = format->open(format, &spec, &codec, err);
    if (tn_failed(st)) {
        tn_err_prefix(err, "%s format %s", is_key ? "key" : "value", format->name);
        return st;
    }
    format->close(codec);
    return TN_OK;
}

enum tn_status tni_sink_columns(struct tni_planner *pl, const struct tn_schema *schema,
                                uint32_t keys_count, struct tn_err *err)
{
    struct tn_topic_decl *sink = &pl->sink;
    if (pl->request->insert_into) {
        sink->schema = schema;
        return TN_OK;
    }
    sink->schema = schema;
    sink->keys_count = keys_count;
    sink->is_table = pl->request->sink == TNI_SINK_TABLE;
    sink->is_key_bare = keys_count == 1;
    TN_TRY(tni_with_columns(pl->request->with, sink, pl->arena, err));
    if (keys_count)
        TN_TRY(tni_format_check(sink, true, err));
    return tni_format_check(sink, false, err);
}

enum tn_status tni_insert_check(struct tni_planner *pl, const struct tn_schema *schema,
                                uint32_t keys_count, struct tn_expr **exprs, struct tn_err *err)
{
    const struct tn_object *target = pl->request->insert_into;
    const struct tn_schema *want = target->decl.schema;
    struct tni_build build = {.arena = pl->arena, .rules = TN_RULES_STREAM};
    struct tn_field *fields = (struct tn_field *)(uintptr_t)schema->fields;
    if (schema->fields_count != want->fields_count || keys_count != target->decl.keys_count)
        return tn_err_at(err, TN_E_TYPE, "MISMATCHED_COLUMNS", pl->query->line, pl->query->col,
                         "the SELECT gives %u key and %u value columns, '%s' has %u and %u",
                         keys_count, schema->fields_count - keys_count, target->name,
                         target->decl.keys_count, want->fields_count - target->decl.keys_count);
    for (uint32_t i = 0; i < want->fields_count; i++) {
        if (!tn_catalog_name_eq(pl->request->catalog, fields[i].name, want->fields[i].name))
            return tn_err_at(err, TN_E_TYPE, "MISMATCHED_COLUMNS", exprs[i]->line, exprs[i]->col,
                             "column %u is '%.*s', in '%s' it is '%.*s'", i + 1,
                             TN_STR_FMT(fields[i].name), target->name,
                             TN_STR_FMT(want->fields[i].name));
        const struct tn_type *type = tn_type_copy(pl->arena, want->fields[i].type);
        TN_TRY(tni_coerce(&build, exprs[i], type,
                          tn_arena_printf(pl->arena, "column '%.*s'", TN_STR_FMT(fields[i].name)),
                          &exprs[i], err));
        fields[i].type = type;
        fields[i].name = tn_arena_str(pl->arena, want->fields[i].name);
    }
    return TN_OK;
}

/* ---- projection without aggregation ---- */

static enum tn_status project_key(struct tni_planner *pl, struct tni_key *ret_key,
                                  struct tn_err *err)
{
    const struct tni_stream_query *query = pl->query;
    *ret_key = pl->key;
    if (!query->is_partitioned)
        return TN_OK;
    if (pl->is_table)
        return tn_err_at(err, TN_E_INVALID, "INVALID_ARGUMENTS", query->line, query->col,
                         "PARTITION BY needs a stream: a table is keyed by its primary key");
    if (query->sources[0].object->decl.window != TN_WINDOW_NONE)
        return tn_err_at(err, TN_E_UNSUPPORTED, "NOT_SUPPORTED", query->line, query->col,
                         "rows with windowed keys cannot be partitioned by another key");
    *ret_key = (struct tni_key){.count = query->parts_count, .exprs = query->parts};
    return TN_OK;
}

enum tn_status tni_flow_project(struct tni_planner *pl, struct tn_err *err)
{
    struct tni_key key;
    struct tni_columns columns;
    TN_TRY(project_key(pl, &key, err));
    TN_TRY(tni_split_items(pl, &key, &columns, err));
    TN_TRY(tni_sink_begin(pl, columns.keys_count, err));
    uint32_t keys = columns.keys_count, width = keys + columns.values_count;
    bool is_windowed = pl->base.window != TN_WINDOW_NONE;
    struct tn_expr **exprs = TN_ARENA_ARRAY(pl->arena, struct tn_expr *, width + 3);
    struct tn_schema *schema = tni_schema_new(pl->arena, width);
    struct tn_field *fields = (struct tn_field *)(uintptr_t)schema->fields;
    for (uint32_t i = 0; i < width; i++) {
        const struct tn_expr *expr = i < keys ? columns.keys[i] : columns.values[i - keys]->expr;
        struct tn_str name = i < keys ? columns.key_names[i] : columns.values[i - keys]->name;
        exprs[i] = tni_lower(pl, expr);
        fields[i] = (struct tn_field){tn_arena_str(pl->arena, name), exprs[i]->type};
    }
    if (pl->request->insert_into)
        TN_TRY(tni_insert_check(pl, schema, keys, exprs, err));
    if (is_windowed) { /* the bounds of a windowed source stay those of the result */
        uint32_t bounds = pl->query->sources[0].object->decl.schema->fields_count;
        struct tni_build build = {.arena = pl->arena, .rules = TN_RULES_STREAM};
        for (uint32_t i = 0; i < 2; i++) {
            int column = pl->columns[0][bounds + i];
            exprs[width + i] = tni_column(&build, 0, column, tn_type_of(TN_K_BIGINT),
                                          pl->schema->fields[column].name, (struct tni_pos){0, 0});
        }
        pl->sink.window = pl->base.window;
        pl->sink.window_size_ms = pl->base.window_size_ms;
    }
    if (pl->request->sink != TNI_SINK_NONE)
        TN_TRY(tni_sink_columns(pl, schema, keys, err));
    const struct tn_schema *rows = is_windowed ? tni_windowed_schema(pl->arena, schema) : schema;
    int at = tni_node_add(pl, TN_NODE_PROJECT, pl->node, rows, err);
    struct tn_node *node = tni_node_at(pl, at);
    node->exprs = exprs;
    node->exprs_count = rows->fields_count;
    node->is_table = pl->is_table;
    pl->node = at;
    pl->schema = rows;
    return TN_OK;
}

enum tn_status tni_flow_sink(struct tni_planner *pl, struct tn_err *err)
{
    struct tn_topic_decl *decl = TN_ARENA_NEW(pl->arena, struct tn_topic_decl);
    *decl = pl->sink;
    int at = tni_node_add(pl, TN_NODE_SINK, pl->node, pl->schema, err);
    struct tn_node *node = tni_node_at(pl, at);
    node->decl = decl;
    node->is_table = pl->is_table;
    pl->node = at;
    return TN_OK;
}

/* ---- topics ---- */

static enum tn_status topic_make(struct tn_log *log, const struct tn_topic_spec *spec,
                                 struct tn_err *err)
{
    struct tn_topic found;
    enum tn_status st = log->type->topic_find(log, spec->name, &found, err);
    if (tn_failed(st))
        return st;
    if (st == TN_NOT_FOUND)
        return log->type->topic_create(log, spec, err);
    if (found.partitions_count == spec->partitions_count)
        return TN_OK;
    return tn_err_set(err, TN_E_INVALID, "topic '%s' has %d partitions, %d are needed", spec->name,
                      found.partitions_count, spec->partitions_count);
}

/* How long a windowed table's changelog keeps records: a day more than its windows, as Kafka
 * Streams' windowstore.changelog.additional.retention.ms, since brokers look at the wall clock. */
static int64_t changelog_retention(const struct tn_window *window)
{
    return window->retention_ms + INT64_C(86400000);
}

/* What a topic of results keeps, and for how long. */
static void results_kept(const struct tn_stage *stage, const struct tn_topic_decl *decl,
                         int64_t stream_retention_ms, struct tn_topic_spec *spec)
{
    if (!decl->is_table) {
        spec->retention_ms = stream_retention_ms;
        return;
    }
    spec->cleanup = TN_CLEANUP_COMPACT;
    if (decl->window == TN_WINDOW_NONE)
        return;
    spec->cleanup = TN_CLEANUP_BOTH;
    for (uint32_t i = 0; i < stage->nodes_count; i++)
        if (stage->nodes[i].kind == TN_NODE_AGGREGATE)
            spec->retention_ms = changelog_retention(&stage->nodes[i].window);
}

static enum tn_status stage_topics(const struct tn_plan *plan, uint32_t at, struct tn_log *log,
                                   int32_t replicas, int64_t stream_retention_ms,
                                   struct tn_err *err)
{
    const struct tn_stage *stage = &plan->stages[at];
    for (uint32_t i = 0; i < stage->nodes_count; i++) {
        const struct tn_node *node = &stage->nodes[i];
        if (node->kind != TN_NODE_REPARTITION && node->kind != TN_NODE_SINK)
            continue;
        struct tn_topic_spec spec = {.name = node->decl->topic,
                                     .partitions_count = node->decl->partitions_count,
                                     .replicas_count = replicas,
                                     .cleanup = TN_CLEANUP_DELETE,
                                     .retention_ms = -1,
                                     .retention_bytes = -1};
        if (node->kind == TN_NODE_SINK)
            results_kept(stage, node->decl, stream_retention_ms, &spec);
        TN_TRY(topic_make(log, &spec, err));
    }
    return TN_OK;
}

enum tn_status tni_plan_topics(const struct tn_plan *plan, struct tn_log *log, int32_t replicas,
                               int64_t stream_retention_ms, struct tn_err *err)
{
    for (uint32_t i = 0; i < plan->stages_count; i++)
        TN_TRY(stage_topics(plan, i, log, replicas, stream_retention_ms, err));
    for (uint32_t i = 0; i < plan->stores_count; i++) {
        const struct tn_store_spec *store = &plan->stores[i];
        if (store->is_source || store->is_changelog_result)
            continue;
        const struct tn_node *node = &plan->stages[store->stage].nodes[store->node];
        bool is_windowed = node->kind == TN_NODE_AGGREGATE && node->window.kind != TN_WINDOW_NONE;
        /* These records are read by nobody else, so their time can be the broker's: windows of
         * events from years ago are kept as long as those of today. */
        struct tn_topic_spec spec = {
            .name = store->changelog,
            .partitions_count = plan->stages[store->stage].partitions_count,
            .replicas_count = replicas,
            .cleanup = is_windowed ? TN_CLEANUP_BOTH : TN_CLEANUP_COMPACT,
            .retention_ms = is_windowed ? changelog_retention(&node->window) : -1,
            .retention_bytes = -1,
            .is_append_time = is_windowed};
        TN_TRY(topic_make(log, &spec, err));
    }
    return TN_OK;
}
