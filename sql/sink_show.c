/* What sinks show of themselves: SHOW SINKS, DESCRIBE, system.sinks, system.files. */
#include "connectors/sink.h"
#include "sql/admin_int.h"
#include "sql/exec.h"
#include "sql/system_tables.h"

#include <stdio.h>

static const char *const states[] = {
    [TN_SINK_STARTING] = "STARTING", [TN_SINK_RUNNING] = "RUNNING",
    [TN_SINK_PAUSED] = "PAUSED",     [TN_SINK_ELSEWHERE] = "ELSEWHERE",
    [TN_SINK_RETRYING] = "RETRYING", [TN_SINK_FAILED] = "FAILED"};
static const char *const layouts[] = {"change", "value", "raw"};

/* The running sink of that name. */
struct search {
    const char *name;
    struct tn_sink_info info;
    bool is_found;
};

static bool find_info(void *ctx, const struct tn_sink_info *info)
{
    struct search *search = ctx;
    search->is_found = strcmp(info->spec->name, search->name) == 0;
    if (search->is_found)
        search->info = *info;
    return !search->is_found;
}

static struct search info_of(struct tn_sinks *sinks, const char *name)
{
    struct search search = {.name = name};
    if (sinks)
        tn_sinks_each(sinks, find_info, &search);
    search.info.spec = NULL; /* the callback is over */
    return search;
}

static void fill_stamp(struct tni_fill *fill, int64_t ms)
{
    if (ms > 0)
        tni_fill_int(fill, ms * 1000);
    else
        tni_fill_null(fill);
}

enum tn_status tni_fill_sinks(struct tni_exec_ctx *ctx, const struct tn_system_table *table,
                              struct tni_fill *fill, struct tn_err *err)
{
    const struct tn_catalog_sink *sink;
    (void)table;
    (void)err;
    for (size_t i = 0; ctx->catalog && (sink = tn_catalog_sink_at(ctx->catalog, i)); i++) {
        struct search search = info_of(ctx->sinks, sink->name);
        const struct tn_sink_info *info = &search.info;
        const int64_t numbers[] = {
            info->lag_records, info->lag_ms,    info->rows,       info->files, info->bytes,
            info->cuts,        info->open_rows, info->open_bytes, info->bad,   info->notices,
            info->retries,     info->epoch,     info->version};
        tni_fill_text(fill, sink->name);
        tni_fill_text(fill, sink->source);
        tni_fill_text(fill, sink->spec->table);
        tni_fill_text(fill, sink->spec->location);
        tni_fill_text(fill, layouts[sink->spec->options.layout]);
        tni_fill_text(fill, search.is_found ? states[info->state] : "STOPPED");
        for (size_t n = 0; n < sizeof numbers / sizeof *numbers; n++)
            tni_fill_int(fill, numbers[n]);
        fill_stamp(fill, info->committed_ms);
        tni_fill_text(fill, info->error[0] ? info->error : NULL);
        tni_fill_text(fill, sink->statement);
        fill_stamp(fill, sink->created_ms);
        if (!tni_fill_row_done(fill))
            break;
    }
    return TN_OK;
}

static bool file_row(void *ctx, const struct tn_sink_file_info *info)
{
    struct tni_fill *fill = ctx;
    const struct tn_table_file *file = info->file;
    char crc[16];
    snprintf(crc, sizeof crc, "%08x", file->crc32);
    tni_fill_text(fill, info->table);
    tni_fill_str(fill, file->path);
    tni_fill_text(fill, info->sink);
    tni_fill_int(fill, file->rows);
    tni_fill_int(fill, file->bytes);
    tni_fill_str(fill, file->source);
    tni_fill_int(fill, file->partition);
    tni_fill_int(fill, file->first);
    tni_fill_int(fill, file->next);
    tni_fill_int(fill, info->version);
    fill_stamp(fill, info->committed_ms);
    tni_fill_text(fill, crc);
    tni_fill_bool(fill, file->is_errors);
    return tni_fill_row_done(fill);
}

enum tn_status tni_fill_files(struct tni_exec_ctx *ctx, const struct tn_system_table *table,
                              struct tni_fill *fill, struct tn_err *err)
{
    (void)table;
    (void)err;
    if (ctx->sinks)
        tn_sinks_each_file(ctx->sinks, file_row, fill);
    return TN_OK;
}

enum tn_status tni_admin_show_sinks(struct tni_admin *admin, struct tn_err *err)
{
    static const struct tni_out_column columns[] = {
        {"Sink", TN_K_VARCHAR},     {"Source", TN_K_VARCHAR}, {"Table", TN_K_VARCHAR},
        {"Location", TN_K_VARCHAR}, {"State", TN_K_VARCHAR},  {"Lag", TN_K_BIGINT},
        {"Files", TN_K_BIGINT},     {"Error", TN_K_VARCHAR}};
    struct tni_out out;
    const struct tn_catalog_sink *sink;
    TN_TRY(tni_out_begin(&out, admin->rows, admin->arena, columns,
                         (uint32_t)(sizeof columns / sizeof *columns), err));
    for (size_t i = 0; (sink = tn_catalog_sink_at(admin->catalog, i)); i++) {
        struct search search = info_of(admin->db->config.sinks, sink->name);
        tni_out_text(&out, sink->name);
        tni_out_text(&out, sink->source);
        tni_out_text(&out, sink->spec->table);
        tni_out_text(&out, sink->spec->location);
        tni_out_text(&out, search.is_found ? states[search.info.state] : "STOPPED");
        tni_out_i64(&out, search.info.lag_records);
        tni_out_i64(&out, search.info.files);
        tni_out_text(&out, search.info.error[0] ? search.info.error : NULL);
        TN_TRY(tni_out_row(&out, err));
    }
    return tni_out_end(&out, err);
}

/* ---- DESCRIBE ---- */

static enum tn_status fact(struct tni_out *out, const char *name, const char *value,
                           struct tn_err *err)
{
    tni_out_text(out, name);
    tni_out_text(out, value);
    return tni_out_row(out, err);
}

/* Properties that differ from their defaults. */
static enum tn_status option_facts(struct tni_out *out, const struct tn_sink_options *options,
                                   struct tn_arena *arena, struct tn_err *err)
{
    struct tn_sink_options plain;
    struct tn_buf now, usual;
    enum tn_status st = TN_OK;
    tn_sink_options_init(&plain, arena);
    tn_buf_init(&now, 1 << 16);
    tn_buf_init(&usual, 1 << 16);
    for (size_t i = 0; i < tn_sink_opts.count && !tn_failed(st); i++) {
        const struct tn_opt *opt = &tn_sink_opts.items[i];
        if (opt->unsupported || strcmp(opt->name, "format.class") == 0)
            break; /* aliases follow */
        tn_buf_reset(&now);
        tn_buf_reset(&usual);
        tn_opt_print_value(opt, options, &now);
        tn_opt_print_value(opt, &plain, &usual);
        if (!tn_str_eq(tn_buf_str(&now), tn_buf_str(&usual)))
            st = fact(out, opt->name, tn_arena_strdup(arena, tn_buf_cstr(&now)), err);
    }
    tn_buf_release(&now);
    tn_buf_release(&usual);
    return st;
}

enum tn_status tni_admin_describe_sink(struct tni_admin *admin, const struct tn_catalog_sink *sink,
                                       struct tn_err *err)
{
    static const struct tni_out_column columns[] = {{"Property", TN_K_VARCHAR},
                                                    {"Value", TN_K_VARCHAR}};
    struct search search = info_of(admin->db->config.sinks, sink->name);
    const struct tn_sink_info *info = &search.info;
    struct tn_arena *arena = admin->arena;
    struct tni_out out;
    TN_TRY(tni_out_begin(&out, admin->rows, arena, columns, 2, err));
    TN_TRY(fact(&out, "Sink", sink->name, err));
    TN_TRY(fact(&out, "Source", sink->source, err));
    TN_TRY(fact(&out, "Topic", sink->spec->decl.topic, err));
    TN_TRY(fact(&out, "Table", sink->spec->table, err));
    TN_TRY(fact(&out, "Location", sink->spec->location, err));
    TN_TRY(fact(&out, "State", search.is_found ? states[info->state] : "STOPPED", err));
    if (info->error[0])
        TN_TRY(fact(&out, "Error", info->error, err));
    const struct {
        const char *name;
        int64_t value;
    } numbers[] = {{"Lag", info->lag_records}, {"Rows", info->rows},
                   {"Files", info->files},     {"Bytes", info->bytes},
                   {"Epoch", info->epoch},     {"Table version", info->version}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        TN_TRY(fact(&out, numbers[i].name,
                    tn_arena_printf(arena, "%lld", (long long)numbers[i].value), err));
    TN_TRY(option_facts(&out, &sink->spec->options, arena, err));
    TN_TRY(fact(&out, "Statement", sink->statement, err));
    return tni_out_end(&out, err);
}
