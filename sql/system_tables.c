/* System tables: what the catalog, the engine, the log and the process know, as rows. Contract:
 * sql/system_tables.h.
 *
 * Each table is one row of `tables` below: its columns and the function that fills it. A fill
 * function writes the cells of a row in column order and calls tni_fill_row_done. dead_letters is
 * no fill: its topic is scanned as a stream, so that it can be larger than memory.
 *
 * Ownership: descriptors are made once and never freed. @thread any */
#include "sql/system_tables.h"

#include <pthread.h>

#include "sql/exec.h"
#include "sql/system_tables_int.h"
#include "stream/agg.h"
#include "stream/func.h"

/* Fill functions of tables that walk a list: the context of the walk. */
struct walk {
    struct tni_exec_ctx *ctx;
    struct tni_fill *fill;
    const struct tn_object *object;
    enum tn_status st;
    struct tn_err *err;
};

static void fill_ms(struct tni_fill *fill, int64_t ms)
{
    if (ms <= 0)
        tni_fill_null(fill);
    else
        tni_fill_int(fill, ms * 1000);
}

enum tn_status tni_fill_nothing(struct tni_exec_ctx *ctx, const struct tn_system_table *table,
                                struct tni_fill *fill, struct tn_err *err)
{
    (void)ctx;
    (void)table;
    (void)fill;
    (void)err;
    return TN_OK;
}

void tni_fill_lower(struct tni_exec_ctx *ctx, struct tni_fill *fill, struct tn_str text)
{
    struct tn_str lower = tn_arena_str(ctx->arena, text);
    char *at = tn_arena_alloc(ctx->arena, text.len + 1);
    for (size_t i = 0; i < lower.len; i++)
        at[i] =
            (char)(lower.ptr[i] >= 'A' && lower.ptr[i] <= 'Z' ? lower.ptr[i] + 32 : lower.ptr[i]);
    tni_fill_str(fill, (struct tn_str){at, lower.len});
}

/* ---- queries, positions ---- */

static bool queries_row(void *ctx, const struct tn_query_info *info)
{
    static const char *const states[] = {[TN_QUERY_RESTORING] = "RESTORING",
                                         [TN_QUERY_RUNNING] = "RUNNING",
                                         [TN_QUERY_PAUSED] = "PAUSED",
                                         [TN_QUERY_FAILED] = "FAILED"};
    static const char *const kinds[] = {[TN_QUERY_CSAS] = "STREAM",
                                        [TN_QUERY_CTAS] = "TABLE",
                                        [TN_QUERY_INSERT] = "INSERT",
                                        [TN_QUERY_INTERNAL] = "INTERNAL"};
    struct walk *walk = ctx;
    struct tni_fill *fill = walk->fill;
    const struct tn_catalog_query *query = NULL;
    if (walk->ctx->catalog)
        query = tn_catalog_query(walk->ctx->catalog, tn_str_of(info->plan->query_id));
    tni_fill_text(fill, info->plan->query_id);
    tni_fill_text(fill, query ? kinds[query->kind] : NULL);
    tni_fill_text(fill, info->plan->sink_name);
    tni_fill_text(fill, states[info->state]);
    tni_fill_int(fill, info->rows_in);
    tni_fill_int(fill, info->rows_out);
    tni_fill_int(fill, info->rows_late);
    tni_fill_int(fill, info->rows_bad);
    tni_fill_int(fill, info->rows_unmatched);
    tni_fill_int(fill, info->rows_null_key);
    tni_fill_int(fill, info->lag_records);
    tni_fill_int(fill, info->lag_ms);
    tni_fill_int(fill, info->restore_done);
    tni_fill_int(fill, info->restore_total);
    fill_ms(fill, info->stream_time_ms);
    tni_fill_int(fill, info->state_keys);
    tni_fill_int(fill, info->state_bytes);
    tni_fill_int(fill, info->state_hits);
    tni_fill_int(fill, info->state_misses);
    tni_fill_text(fill, info->state == TN_QUERY_FAILED ? info->error.message : NULL);
    tni_fill_text(fill, info->plan->statement);
    fill_ms(fill, query ? query->created_ms : 0);
    return tni_fill_row_done(fill);
}

static enum tn_status fill_queries(struct tni_exec_ctx *ctx, const struct tn_system_table *table,
                                   struct tni_fill *fill, struct tn_err *err)
{
    (void)table;
    (void)err;
    struct walk walk = {.ctx = ctx, .fill = fill};
    if (ctx->engine)
        tn_engine_each_query(ctx->engine, queries_row, &walk);
    return TN_OK;
}

static bool positions_row(void *ctx, const struct tn_position_info *info)
{
    struct tni_fill *fill = ((struct walk *)ctx)->fill;
    tni_fill_text(fill, info->query_id);
    tni_fill_text(fill, info->topic);
    tni_fill_int(fill, info->partition);
    tni_fill_int(fill, info->offset);
    tni_fill_int(fill, info->end_visible);
    tni_fill_int(fill, info->end_visible > info->offset ? info->end_visible - info->offset : 0);
    fill_ms(fill, info->stream_time_ms);
    return tni_fill_row_done(fill);
}

static enum tn_status fill_positions(struct tni_exec_ctx *ctx, const struct tn_system_table *table,
                                     struct tni_fill *fill, struct tn_err *err)
{
    (void)table;
    (void)err;
    struct walk walk = {.ctx = ctx, .fill = fill};
    if (ctx->engine)
        tn_engine_each_position(ctx->engine, positions_row, &walk);
    return TN_OK;
}

/* ---- streams, tables, topics ---- */

struct topic_sums {
    int64_t records, bytes;
    bool is_known, are_bytes_known;
};

static struct topic_sums topic_sums(struct tni_exec_ctx *ctx, const struct tn_topic *topic)
{
    struct topic_sums sums = {.is_known = true, .are_bytes_known = true};
    for (int32_t p = 0; p < topic->partitions_count; p++) {
        struct tn_offsets offsets;
        struct tn_err ignored = TN_ERR_INIT;
        if (ctx->log->type->offsets(ctx->log, topic, p, &offsets, &ignored) != TN_OK) {
            sums.is_known = sums.are_bytes_known = false;
            break;
        }
        sums.records += offsets.end_visible - offsets.start;
        sums.bytes += offsets.bytes;
        if (offsets.bytes < 0)
            sums.are_bytes_known = false;
    }
    return sums;
}

static void fill_sums(struct tni_fill *fill, const struct topic_sums *sums)
{
    if (sums->is_known)
        tni_fill_int(fill, sums->records);
    else
        tni_fill_null(fill);
    if (sums->are_bytes_known)
        tni_fill_int(fill, sums->bytes);
    else
        tni_fill_null(fill);
}

static struct topic_sums sums_by_name(struct tni_exec_ctx *ctx, const char *name)
{
    struct tn_topic topic;
    struct tn_err ignored = TN_ERR_INIT;
    if (!ctx->log || !name || ctx->log->type->topic_find(ctx->log, name, &topic, &ignored) != TN_OK)
        return (struct topic_sums){.records = 0};
    return topic_sums(ctx, &topic);
}

/* Queries whose positions hold records of the topic back: "CTAS_A_1, CTAS_B_2". */
struct readers {
    const char *topic;
    struct tn_buf names;
    const char *last;
};

static bool readers_add(void *ctx, const struct tn_position_info *info)
{
    struct readers *readers = ctx;
    if (strcmp(info->topic, readers->topic) != 0)
        return true;
    size_t len = strlen(info->query_id);
    struct tn_str names = tn_buf_str(&readers->names);
    for (size_t at = 0; at + len <= names.len; at++)
        if (memcmp(names.ptr + at, info->query_id, len) == 0 &&
            (at + len == names.len || names.ptr[at + len] == ',') &&
            (at == 0 || names.ptr[at - 1] == ' '))
            return true;
    if (names.len)
        tn_buf_add_text(&readers->names, ", ");
    tn_buf_add_text(&readers->names, info->query_id);
    return true;
}

static void fill_readers(struct tni_exec_ctx *ctx, struct tni_fill *fill, const char *topic)
{
    struct readers readers = {.topic = topic};
    tn_buf_init(&readers.names, 1 << 16);
    if (ctx->engine && topic)
        tn_engine_each_position(ctx->engine, readers_add, &readers);
    tni_fill_str(fill, readers.names.len ? tn_buf_str(&readers.names) : (struct tn_str){NULL, 0});
    tn_buf_release(&readers.names);
}

static void fill_format(struct tni_fill *fill, const struct tn_format *format)
{
    tni_fill_text(fill, format ? format->name : NULL);
}

static bool streams_row(void *ctx, const struct tn_object *object)
{
    struct walk *walk = ctx;
    struct tni_fill *fill = walk->fill;
    if (object->kind != TN_OBJ_STREAM)
        return true;
    struct topic_sums sums = sums_by_name(walk->ctx, object->decl.topic);
    tni_fill_text(fill, object->name);
    tni_fill_text(fill, object->decl.topic);
    fill_format(fill, object->decl.keys_count ? object->decl.key_format : NULL);
    fill_format(fill, object->decl.value_format);
    tni_fill_int(fill, object->decl.partitions_count);
    fill_sums(fill, &sums);
    fill_readers(walk->ctx, fill, object->decl.topic);
    tni_fill_text(fill, object->query_id);
    tni_fill_text(fill, object->ingest_path);
    tni_fill_text(fill, object->statement);
    fill_ms(fill, object->created_ms);
    return tni_fill_row_done(fill);
}

static bool tables_row(void *ctx, const struct tn_object *object)
{
    struct walk *walk = ctx;
    struct tni_fill *fill = walk->fill;
    if (object->kind != TN_OBJ_TABLE && object->kind != TN_OBJ_KTABLE)
        return true;
    tni_fill_text(fill, object->name);
    tni_fill_text(fill, object->decl.topic);
    fill_format(fill, object->decl.key_format);
    fill_format(fill, object->decl.value_format);
    tni_fill_int(fill, object->decl.partitions_count);
    static const char *const windows[] = {[TN_WINDOW_NONE] = NULL,
                                          [TN_WINDOW_TUMBLE] = "TUMBLING",
                                          [TN_WINDOW_HOP] = "HOPPING",
                                          [TN_WINDOW_SESSION] = "SESSION"};
    tni_fill_text(fill, windows[object->decl.window]);
    tni_fill_text(fill, object->query_id);
    if (object->query_id && walk->ctx->engine)
        tni_fill_int(fill, tn_engine_table_rows(walk->ctx->engine, object->query_id));
    else
        tni_fill_null(fill);
    tni_fill_text(fill, object->statement);
    fill_ms(fill, object->created_ms);
    return tni_fill_row_done(fill);
}

static enum tn_status fill_streams(struct tni_exec_ctx *ctx, const struct tn_system_table *table,
                                   struct tni_fill *fill, struct tn_err *err)
{
    (void)table;
    (void)err;
    struct walk walk = {.ctx = ctx, .fill = fill};
    if (ctx->catalog)
        tn_catalog_each(ctx->catalog, streams_row, &walk);
    return TN_OK;
}

static enum tn_status fill_tables(struct tni_exec_ctx *ctx, const struct tn_system_table *table,
                                  struct tni_fill *fill, struct tn_err *err)
{
    (void)table;
    (void)err;
    struct walk walk = {.ctx = ctx, .fill = fill};
    if (ctx->catalog)
        tn_catalog_each(ctx->catalog, tables_row, &walk);
    return TN_OK;
}

static bool topics_row(void *ctx, const struct tn_topic *topic)
{
    static const char *const cleanups[] = {[TN_CLEANUP_DELETE] = "delete",
                                           [TN_CLEANUP_COMPACT] = "compact",
                                           [TN_CLEANUP_BOTH] = "compact,delete"};
    struct walk *walk = ctx;
    struct tni_fill *fill = walk->fill;
    struct topic_sums sums = topic_sums(walk->ctx, topic);
    tni_fill_text(fill, topic->name);
    tni_fill_int(fill, topic->partitions_count);
    tni_fill_text(fill, cleanups[topic->cleanup]);
    tni_fill_int(fill, topic->retention_ms);
    tni_fill_int(fill, topic->retention_bytes);
    fill_sums(fill, &sums);
    fill_readers(walk->ctx, fill, topic->name);
    return tni_fill_row_done(fill);
}

static enum tn_status fill_topics(struct tni_exec_ctx *ctx, const struct tn_system_table *table,
                                  struct tni_fill *fill, struct tn_err *err)
{
    (void)table;
    struct walk walk = {.ctx = ctx, .fill = fill};
    return ctx->log ? ctx->log->type->topic_each(ctx->log, topics_row, &walk, err) : TN_OK;
}

/* ---- metrics, options, functions, processes ---- */

static bool metrics_row(void *ctx, const struct tn_metric_desc *desc, const char *label_value,
                        const struct tn_metric *metric)
{
    static const char *const kinds[] = {[TN_METRIC_COUNTER] = "counter",
                                        [TN_METRIC_GAUGE] = "gauge",
                                        [TN_METRIC_HISTOGRAM] = "histogram"};
    struct tni_fill *fill = ((struct walk *)ctx)->fill;
    bool is_histogram = desc->kind == TN_METRIC_HISTOGRAM;
    tni_fill_text(fill, desc->name);
    tni_fill_text(fill, kinds[desc->kind]);
    tni_fill_text(fill, desc->unit);
    tni_fill_text(fill, desc->label);
    tni_fill_text(fill, desc->label ? label_value : NULL);
    tni_fill_int(fill, is_histogram ? tn_metric_count(metric) : tn_metric_value(metric));
    if (is_histogram) {
        tni_fill_int(fill, tn_metric_quantile(metric, 0.5));
        tni_fill_int(fill, tn_metric_quantile(metric, 0.99));
    } else {
        tni_fill_null(fill);
        tni_fill_null(fill);
    }
    tni_fill_text(fill, desc->help);
    return tni_fill_row_done(fill);
}

static enum tn_status fill_metrics(struct tni_exec_ctx *ctx, const struct tn_system_table *table,
                                   struct tni_fill *fill, struct tn_err *err)
{
    (void)table;
    (void)err;
    struct walk walk = {.ctx = ctx, .fill = fill};
    if (ctx->metrics)
        tn_metrics_each(ctx->metrics, metrics_row, &walk);
    return TN_OK;
}

static enum tn_status fill_options(struct tni_exec_ctx *ctx, const struct tn_system_table *table,
                                   struct tni_fill *fill, struct tn_err *err)
{
    static const char *const types[] = {
        [TN_OPT_BOOL] = "boolean",  [TN_OPT_INT] = "integer",   [TN_OPT_BYTES] = "bytes",
        [TN_OPT_MS] = "duration",   [TN_OPT_DOUBLE] = "double", [TN_OPT_STRING] = "string",
        [TN_OPT_CHOICE] = "choice",
    };
    struct tn_buf value;
    (void)table;
    (void)err;
    tn_buf_init(&value, 1 << 20);
    for (size_t s = 0; s < ctx->options_count; s++) {
        const struct tn_opts *opts = ctx->options[s].opts;
        for (size_t i = 0; i < opts->count; i++) {
            const struct tn_opt *opt = &opts->items[i];
            tn_buf_reset(&value);
            tn_opt_print_value(opt, ctx->options[s].values, &value);
            tni_fill_text(fill, opt->name);
            tni_fill_text(fill, opts->component);
            tni_fill_text(fill, types[opt->type]);
            tni_fill_str(fill, tn_buf_str(&value));
            tni_fill_text(fill, opt->deflt);
            tni_fill_bool(fill, opt->flags & TN_OPT_DYNAMIC);
            tni_fill_text(fill, opt->help);
            if (!tni_fill_row_done(fill))
                break;
        }
    }
    tn_buf_release(&value);
    return TN_OK;
}

static enum tn_status fill_functions(struct tni_exec_ctx *ctx, const struct tn_system_table *table,
                                     struct tni_fill *fill, struct tn_err *err)
{
    size_t count;
    (void)ctx;
    (void)table;
    (void)err;
    const struct tn_func *const *funcs = tn_func_all(&count);
    for (size_t i = 0; i < count; i++) {
        const struct tn_func *func = funcs[i];
        if (func->flags & TN_FN_INTERNAL)
            continue;
        tni_fill_text(fill, func->name);
        tni_fill_text(fill, "scalar");
        tni_fill_bool(fill, func->flags & TN_FN_QUERY);
        tni_fill_bool(fill, func->flags & TN_FN_STREAM);
        tni_fill_int(fill, func->args_count);
        tni_fill_text(fill, func->help);
        if (!tni_fill_row_done(fill))
            return TN_OK;
    }
    const struct tn_agg *const *aggs = tn_agg_all(&count);
    for (size_t i = 0; i < count; i++) {
        const struct tn_agg *agg = aggs[i];
        tni_fill_text(fill, agg->name);
        tni_fill_text(fill, "aggregate");
        tni_fill_bool(fill, agg->flags & TN_AGG_QUERY);
        tni_fill_bool(fill, agg->flags & TN_AGG_STREAM);
        tni_fill_int(fill, agg->args_max);
        tni_fill_text(fill, agg->help);
        if (!tni_fill_row_done(fill))
            return TN_OK;
    }
    return TN_OK;
}

static enum tn_status fill_processes(struct tni_exec_ctx *ctx, const struct tn_system_table *table,
                                     struct tni_fill *fill, struct tn_err *err)
{
    struct tn_buf reason;
    (void)table;
    (void)err;
    tn_buf_init(&reason, 1 << 16);
    bool is_ready = !ctx->engine || tn_engine_is_ready(ctx->engine, &reason);
    tni_fill_text(fill, ctx->application_id);
    tni_fill_text(fill, TN_VERSION);
    tni_fill_bool(fill, is_ready);
    tni_fill_str(fill, is_ready ? (struct tn_str){NULL, 0} : tn_buf_str(&reason));
    if (ctx->engine)
        tni_fill_int(fill, tn_engine_commit(ctx->engine));
    else
        tni_fill_null(fill);
    if (ctx->catalog)
        tni_fill_int(fill, tn_catalog_version(ctx->catalog));
    else
        tni_fill_null(fill);
    if (ctx->clock)
        tni_fill_int(fill, tn_wall_ms(ctx->clock) * 1000);
    else
        tni_fill_null(fill);
    tni_fill_row_done(fill);
    tn_buf_release(&reason);
    return TN_OK;
}

/* ---- dead letters ---- */

/* The topic of dead letters is a JSON stream with the columns of this table (stream/README.md). */
static const struct tn_object *dead_letters(struct tni_exec_ctx *ctx,
                                            const struct tn_system_table *table)
{
    struct tn_topic topic;
    struct tn_err ignored = TN_ERR_INIT;
    const struct tn_format *json =
        ctx->formats ? tn_format_find(ctx->formats, TN_STR("JSON")) : NULL;
    if (!ctx->log || !ctx->application_id || !json)
        return NULL;
    char *name = tn_arena_printf(ctx->arena, "%s-dead-letters", ctx->application_id);
    if (ctx->log->type->topic_find(ctx->log, name, &topic, &ignored) != TN_OK)
        return NULL;
    struct tn_object *object = TN_ARENA_NEW(ctx->arena, struct tn_object);
    *object = (struct tn_object){.kind = TN_OBJ_STREAM,
                                 .schema_name = table->schema_name,
                                 .name = table->name,
                                 .schema = table->schema};
    object->decl = (struct tn_topic_decl){.topic = name,
                                          .schema = table->schema,
                                          .key_format = json,
                                          .value_format = json,
                                          .partitions_count = topic.partitions_count,
                                          .timestamp_column = -1};
    return object;
}

/* ---- descriptors ---- */

#define TEXT  TN_K_VARCHAR
#define LONG  TN_K_BIGINT
#define INT   TN_K_INTEGER
#define FLAG  TN_K_BOOLEAN
#define STAMP TN_K_TIMESTAMP
#define RAW   TN_K_BYTES

static const struct tni_table_desc tables[] = {
    {"system",
     "dead_letters",
     "records that could not be used, with their raw bytes",
     NULL,
     dead_letters,
     {{"topic", TEXT},
      {"partition", INT},
      {"offset", LONG},
      {"timestamp", STAMP},
      {"query", TEXT},
      {"reason", TEXT},
      {"field", TEXT},
      {"position", INT},
      {"key", RAW},
      {"value", RAW}}},
    {"system",
     "functions",
     "functions and aggregates",
     fill_functions,
     NULL,
     {{"name", TEXT},
      {"kind", TEXT},
      {"in_queries", FLAG},
      {"in_streams", FLAG},
      {"arguments", LONG},
      {"help", TEXT}}},
    {"system",
     "metrics",
     "counters, gauges and histograms of this process",
     fill_metrics,
     NULL,
     {{"name", TEXT},
      {"kind", TEXT},
      {"unit", TEXT},
      {"label", TEXT},
      {"label_value", TEXT},
      {"value", LONG},
      {"p50", LONG},
      {"p99", LONG},
      {"help", TEXT}}},
    {"system",
     "options",
     "options and their values",
     fill_options,
     NULL,
     {{"name", TEXT},
      {"component", TEXT},
      {"type", TEXT},
      {"value", TEXT},
      {"default", TEXT},
      {"is_dynamic", FLAG},
      {"help", TEXT}}},
    {"system",
     "positions",
     "how far each query has read each partition",
     fill_positions,
     NULL,
     {{"query_id", TEXT},
      {"topic", TEXT},
      {"partition", INT},
      {"offset", LONG},
      {"end_offset", LONG},
      {"lag", LONG},
      {"stream_time", STAMP}}},
    {"system",
     "processes",
     "this process",
     fill_processes,
     NULL,
     {{"application_id", TEXT},
      {"version", TEXT},
      {"is_ready", FLAG},
      {"missing", TEXT},
      {"commit_number", LONG},
      {"catalog_version", LONG},
      {"time", STAMP}}},
    {"system",
     "queries",
     "persistent queries and their progress",
     fill_queries,
     NULL,
     {{"query_id", TEXT},      {"kind", TEXT},          {"sink", TEXT},
      {"state", TEXT},         {"rows_in", LONG},       {"rows_out", LONG},
      {"rows_late", LONG},     {"rows_bad", LONG},      {"rows_unmatched", LONG},
      {"rows_null_key", LONG}, {"lag_records", LONG},   {"lag_ms", LONG},
      {"restore_done", LONG},  {"restore_total", LONG}, {"stream_time", STAMP},
      {"state_keys", LONG},    {"state_bytes", LONG},   {"state_hits", LONG},
      {"state_misses", LONG},  {"error", TEXT},         {"statement", TEXT},
      {"created", STAMP}}},
    {"system",
     "streams",
     "streams, what they hold and who still reads it",
     fill_streams,
     NULL,
     {{"name", TEXT},
      {"topic", TEXT},
      {"key_format", TEXT},
      {"value_format", TEXT},
      {"partitions", INT},
      {"records", LONG},
      {"bytes", LONG},
      {"readers", TEXT},
      {"query_id", TEXT},
      {"ingest_path", TEXT},
      {"statement", TEXT},
      {"created", STAMP}}},
    {"system",
     "tables",
     "tables and their approximate number of rows",
     fill_tables,
     NULL,
     {{"name", TEXT},
      {"topic", TEXT},
      {"key_format", TEXT},
      {"value_format", TEXT},
      {"partitions", INT},
      {"window", TEXT},
      {"query_id", TEXT},
      {"rows", LONG},
      {"statement", TEXT},
      {"created", STAMP}}},
    {"system",
     "topics",
     "topics of the log",
     fill_topics,
     NULL,
     {{"name", TEXT},
      {"partitions", INT},
      {"cleanup", TEXT},
      {"retention_ms", LONG},
      {"retention_bytes", LONG},
      {"records", LONG},
      {"bytes", LONG},
      {"readers", TEXT}}},
    {"system",
     "sinks",
     "sinks and how far they are",
     tni_fill_sinks,
     NULL,
     {{"name", TEXT},      {"source", TEXT},     {"target", TEXT},        {"location", TEXT},
      {"layout", TEXT},    {"state", TEXT},      {"lag_records", LONG},   {"lag_ms", LONG},
      {"rows", LONG},      {"files", LONG},      {"bytes", LONG},         {"entries", LONG},
      {"open_rows", LONG}, {"open_bytes", LONG}, {"bad_records", LONG},   {"notices", LONG},
      {"retries", LONG},   {"epoch", LONG},      {"table_version", LONG}, {"last_commit", STAMP},
      {"error", TEXT},     {"statement", TEXT},  {"created", STAMP}}},
    {"system",
     "files",
     "files of the tables that sinks write, by their table logs",
     tni_fill_files,
     NULL,
     {{"target", TEXT},
      {"path", TEXT},
      {"sink", TEXT},
      {"rows", LONG},
      {"bytes", LONG},
      {"source", TEXT},
      {"source_partition", INT},
      {"first_offset", LONG},
      {"next_offset", LONG},
      {"version", LONG},
      {"committed", STAMP},
      {"crc32", TEXT},
      {"is_errors", FLAG}}},
};

#define OWN_COUNT  (sizeof tables / sizeof *tables)
#define TABLES_MAX 64

static struct tn_arena arena; /* never released */
static struct tn_system_table descriptors[TABLES_MAX];
static struct tn_object objects[TABLES_MAX];
static const struct tn_object *object_list[TABLES_MAX];
static size_t objects_count;

static const struct tn_type *type_of(enum tn_kind kind)
{
    return kind == TN_K_ARRAY ? tn_type_array(&arena, tn_type_of(TN_K_VARCHAR)) : tn_type_of(kind);
}

static void make_object(const struct tni_table_desc *desc)
{
    size_t i = objects_count++;
    uint32_t count = 0;
    TN_ASSERT(i < TABLES_MAX);
    while (count < TNI_SYSTEM_COLUMNS_MAX && desc->columns[count].name)
        count++;
    struct tn_field *fields = TN_ARENA_ARRAY(&arena, struct tn_field, count);
    for (uint32_t k = 0; k < count; k++)
        fields[k] =
            (struct tn_field){tn_str_of(desc->columns[k].name), type_of(desc->columns[k].kind)};
    struct tn_schema *schema = TN_ARENA_NEW(&arena, struct tn_schema);
    *schema = (struct tn_schema){count, fields};
    descriptors[i] = (struct tn_system_table){.schema_name = desc->schema_name,
                                              .name = desc->name,
                                              .schema = schema,
                                              .fill = desc->fill,
                                              .stream = desc->stream,
                                              .help = desc->help};
    objects[i] = (struct tn_object){.kind = TN_OBJ_SYSTEM,
                                    .schema_name = desc->schema_name,
                                    .name = desc->name,
                                    .schema = schema,
                                    .system = &descriptors[i]};
    object_list[i] = &objects[i];
}

/* "information_schema" < "system" < "system.jdbc" … */
static void make_objects(void)
{
    tn_arena_init(&arena, 0);
    for (size_t i = 0; i < tni_info_schema_tables_count; i++)
        make_object(&tni_info_schema_tables[i]);
    for (size_t i = 0; i < OWN_COUNT; i++)
        make_object(&tables[i]);
    for (size_t i = 0; i < tni_info_system_tables_count; i++)
        make_object(&tni_info_system_tables[i]);
}

const struct tn_object *const *tn_system_objects(size_t *ret_count)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_objects);
    *ret_count = objects_count;
    return object_list;
}
