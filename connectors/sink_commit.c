/* A cut: decided and stored, uploaded, entered into the table log, forgotten. Each step can be
 * repeated. Contract: connectors/sink_int.h.
 *
 * One object per change needs no stored cut: names and bytes follow from the records alone, and the
 * position from the table log.
 */
#include "connectors/sink_int.h"

#include <inttypes.h>
#include <stdio.h>

#include "connectors/wait.h"
#include "stream/base/crashpoint.h"
#include "stream/base/logline.h"
#include "stream/base/mem.h"
#include "stream/base/random.h"

#define RECORD_BYTES_MAX ((size_t)64 << 20)
#define LOG_TIMEOUT_MS   INT64_C(5000)
#define PARALLEL_MAX     64

/* ---- the record ---- */

enum tn_status tni_sink_save(struct tni_sink *sink, struct tn_err *err)
{
    struct tn_sink_store *store = sink->sinks->config.store;
    struct tni_sink_record record = {.epoch = sink->epoch,
                                     .version = sink->version,
                                     .positions_count = sink->parts_count,
                                     .stage = sink->stage,
                                     .cut = sink->cut};
    struct tn_buf buf;
    memcpy(record.log_id, sink->topic.log_id, sizeof record.log_id);
    record.positions = tn_alloc_array(sink->parts_count + 1, sizeof *record.positions);
    for (uint32_t p = 0; p < sink->parts_count; p++)
        record.positions[p] = sink->parts[p].committed;
    tn_buf_init(&buf, RECORD_BYTES_MAX);
    tni_sink_record_print(&record, &buf);
    enum tn_status st = store->put(store, sink->name, tn_buf_str(&buf), err);
    tn_buf_release(&buf);
    tn_free(record.positions);
    return st;
}

bool tni_sink_has_notices(const struct tni_sink *sink)
{
    const struct tn_sink_options *options = &sink->spec->options;
    return options->notify_topic || options->notify_url ||
           (options->errors == TN_SINK_ERRORS_LETTER && !options->object_key);
}

static bool is_cut_stored(const struct tni_sink *sink)
{
    return !sink->spec->options.object_key || tni_sink_has_notices(sink);
}

/* ---- 1: decide ---- */

enum tn_status tni_sink_cut_begin(struct tni_sink *sink, struct tn_err *err)
{
    struct tn_arena *arena = &sink->cut_arena;
    uint32_t count = 0;
    tn_arena_reset(arena);
    sink->cut = (struct tn_table_entry){.epoch = sink->epoch, .operation = TN_STR("APPEND")};
    sink->cut.timestamp_ms = tn_wall_ms(sink->sinks->config.clock);
    sink->cut.sink = tn_str_of(tn_arena_strdup(arena, sink->name));
    sink->cut.commit_id = tn_str_of(
        tn_arena_printf(arena, "%016" PRIx64 "%016" PRIx64, tn_random_next(), tn_random_next()));
    sink->cut.ranges = TN_ARENA_ARRAY(arena, struct tn_table_range, sink->parts_count);
    for (uint32_t p = 0; p < sink->parts_count; p++) {
        if (!sink->is_cut[p])
            continue;
        struct tn_table_range *range = &sink->cut.ranges[count++];
        range->source = tn_str_of(tn_arena_strdup(arena, sink->topic.name));
        memcpy(range->log_id, sink->topic.log_id, sizeof range->log_id);
        range->partition = (int32_t)p;
        range->first = sink->parts[p].committed;
        range->next = sink->parts[p].next;
    }
    sink->cut.ranges_count = count;
    TN_TRY(tni_sink_notice_begin(sink, err));
    sink->stage = TNI_CUT_PLANNED;
    tn_crash_point("sink-before-cut");
    if (is_cut_stored(sink)) {
        enum tn_status st = tni_sink_save(sink, err);
        if (tn_failed(st)) {
            sink->stage = TNI_CUT_NONE;
            return st;
        }
    }
    tn_crash_point("sink-after-cut");
    return TN_OK;
}

/* ---- 2: upload ---- */

struct upload {
    struct tn_object_request request; /* first member */
    uint32_t file;
    char key[TN_OBJECT_KEY_MAX + 1];
    bool is_busy;
};

struct uploads {
    struct tni_sink *sink;
    struct tni_sink_file **files;
    uint32_t files_count, next;
    struct upload *slots;
    uint32_t slots_count, busy;
    struct tn_object_group group;
};

static enum tn_status file_key(const struct tni_sink *sink, const struct tni_sink_file *file,
                               char key[TN_OBJECT_KEY_MAX + 1], struct tn_err *err)
{
    int len = snprintf(key, TN_OBJECT_KEY_MAX + 1, "%s%s%.*s", sink->root, sink->root[0] ? "/" : "",
                       TN_STR_FMT(tn_buf_str(&file->path)));
    if (len > TN_OBJECT_KEY_MAX)
        return tn_err_set(err, TN_E_LIMIT, "the name of a file is longer than %d bytes: %.80s…",
                          TN_OBJECT_KEY_MAX, key);
    return TN_OK;
}

/* The name is taken: by our own earlier try, or by a file nobody refers to. */
static enum tn_status settle_existing(struct tni_sink *sink, const struct tni_sink_file *file,
                                      const char *key, struct tn_err *err)
{
    bool is_same = false;
    TN_TRY(tni_sink_settle(sink, file, key, &is_same, err));
    return is_same ? TN_OK
                   : tn_object_put(sink->store, key, tn_buf_str(&file->out), false,
                                   sink->spec->options.timeout_ms, err);
}

static enum tn_status upload_ended(struct uploads *all, struct upload *upload, struct tn_err *err)
{
    struct tni_sink *sink = all->sink;
    struct tn_object_request *request = &upload->request;
    enum tn_status st = request->status;
    if (st == TN_E_EXISTS)
        st = settle_existing(sink, all->files[upload->file], upload->key, err);
    else if (st != TN_OK && err)
        *err = request->err;
    if (st == TN_E_INDEFINITE)
        st = TN_E_IO;
    if (st == TN_OK)
        sink->is_uploaded[upload->file] = true;
    return st;
}

static enum tn_status upload_submit(struct uploads *all, struct upload *upload, struct tn_err *err)
{
    struct tni_sink *sink = all->sink;
    uint32_t at = all->next++;
    struct tni_sink_file *file = all->files[at];
    TN_TRY(file_key(sink, file, upload->key, err));
    struct tn_str body = tn_buf_str(&file->out);
    if (file->spooled || (sink->store->part_bytes && body.len > sink->store->part_bytes)) {
        TN_TRY(tni_sink_put_large(sink, file, upload->key, err));
        sink->is_uploaded[at] = true;
        return TN_OK;
    }
    upload->request = (struct tn_object_request){.op = TN_OBJECT_PUT,
                                                 .key = upload->key,
                                                 .body = body,
                                                 .is_if_absent = !sink->spec->options.object_key,
                                                 .timeout_ms = sink->spec->options.timeout_ms};
    upload->file = at;
    upload->is_busy = true;
    all->busy++;
    tn_object_group_add(&all->group, &upload->request);
    return TN_OK;
}

/* Waits until one has ended; a store that hangs must not hold up the end of the process. */
static enum tn_status upload_take(struct uploads *all, struct tn_err *err)
{
    struct upload *upload =
        (void *)tn_object_group_next(&all->group, tni_sink_is_stopping, all->sink);
    TN_ASSERT(upload);
    upload->is_busy = false;
    all->busy--;
    return upload_ended(all, upload, err);
}

static enum tn_status uploads_run(struct uploads *all, struct tn_err *err)
{
    enum tn_status st = TN_OK;
    while (st == TN_OK && (all->next < all->files_count || all->busy)) {
        for (uint32_t i = 0; i < all->slots_count && st == TN_OK; i++) {
            while (all->next < all->files_count && all->sink->is_uploaded[all->next])
                all->next++;
            if (all->slots[i].is_busy || all->next >= all->files_count)
                continue;
            if (tni_sink_is_stopping(all->sink))
                st = tn_err_set(err, TN_E_CANCELLED, "stopped");
            else
                st = upload_submit(all, &all->slots[i], err);
        }
        if (st == TN_OK && all->busy)
            st = upload_take(all, err);
    }
    while (all->busy)
        (void)!upload_take(all, NULL);
    return st;
}

static uint32_t count_files(const struct tni_sink *sink)
{
    uint32_t count = 0;
    for (uint32_t p = 0; p < sink->parts_count; p++)
        if (sink->is_cut[p])
            count += sink->parts[p].files_count;
    return count;
}

static enum tn_status upload_all(struct tni_sink *sink, struct tn_err *err)
{
    struct uploads all = {.sink = sink, .files_count = count_files(sink)};
    uint32_t at = 0;
    tn_object_group_init(&all.group, sink->store);
    all.files = tn_alloc_array(all.files_count + 1, sizeof(struct tni_sink_file *));
    for (uint32_t p = 0; p < sink->parts_count; p++)
        for (uint32_t f = 0; sink->is_cut[p] && f < sink->parts[p].files_count; f++)
            all.files[at++] = &sink->parts[p].files[f];
    int parallel = sink->store->parallel < 1 ? 1 : sink->store->parallel;
    all.slots_count = (uint32_t)(parallel > PARALLEL_MAX ? PARALLEL_MAX : parallel);
    if (all.slots_count > all.files_count)
        all.slots_count = all.files_count;
    all.slots = tn_alloc_array(all.slots_count + 1, sizeof *all.slots);
    int64_t began = tn_mono_ns(sink->sinks->config.clock);
    enum tn_status st = uploads_run(&all, err);
    if (sink->metrics.upload && st == TN_OK)
        tn_metric_observe(sink->metrics.upload, tn_mono_ns(sink->sinks->config.clock) - began);
    tn_free(all.slots);
    tn_free(all.files);
    tn_object_group_release(&all.group);
    return st;
}

/* ---- the cut's files as the log has them ---- */

static void note_stats(const struct tni_sink *sink, const struct tni_sink_file *from,
                       struct tn_table_file *file, struct tn_arena *arena)
{
    uint32_t count = sink->shape.columns_count > 64 ? 64 : sink->shape.columns_count;
    if (!from->stats)
        return;
    file->stats = TN_ARENA_ARRAY(arena, struct tn_table_stat, count);
    for (uint32_t c = 0; c < count; c++) {
        const struct tni_sink_stat *stat = &from->stats[c];
        if (!stat->has_value && stat->nulls != from->rows)
            continue; /* a type without bounds */
        struct tn_table_stat *to = &file->stats[file->stats_count++];
        *to = (struct tn_table_stat){.column = sink->shape.columns->fields[c].name,
                                     .nulls = stat->nulls};
        if (!stat->has_value)
            continue;
        to->min = stat->min;
        to->min.text = tn_arena_str(arena, stat->min.text);
        if (stat->is_max_open)
            continue;
        to->max = stat->max;
        to->max.text = tn_arena_str(arena, stat->max.text);
    }
}

static void note_files(struct tni_sink *sink)
{
    struct tn_arena *arena = &sink->cut_arena;
    int64_t now = sink->cut.timestamp_ms;
    sink->cut.files = TN_ARENA_ARRAY(arena, struct tn_table_file, count_files(sink) + 1);
    sink->cut.files_count = 0;
    for (uint32_t p = 0; p < sink->parts_count; p++) {
        const struct tni_sink_part *part = &sink->parts[p];
        for (uint32_t f = 0; sink->is_cut[p] && f < part->files_count; f++) {
            const struct tni_sink_file *from = &part->files[f];
            struct tn_table_file *file = &sink->cut.files[sink->cut.files_count++];
            *file = (struct tn_table_file){.path = tn_arena_str(arena, tn_buf_str(&from->path)),
                                           .bytes = tni_sink_file_bytes(from),
                                           .rows = from->rows,
                                           .crc32 = from->crc32,
                                           .modified_ms = now,
                                           .source = sink->cut.ranges[0].source,
                                           .partition = part->partition,
                                           .first = from->first,
                                           .next = from->next,
                                           .is_errors = from->is_errors};
            file->parts = TN_ARENA_ARRAY(arena, struct tn_table_part, from->parts_count + 1);
            file->parts_count = from->parts_count;
            for (uint32_t i = 0; i < from->parts_count; i++)
                file->parts[i] = (struct tn_table_part){from->parts[i].column,
                                                        tn_arena_str(arena, from->parts[i].value)};
            note_stats(sink, from, file, arena);
        }
    }
}

static enum tn_status step_upload(struct tni_sink *sink, struct tn_err *err)
{
    if (!sink->is_uploaded) {
        for (uint32_t p = 0; p < sink->parts_count; p++)
            if (sink->is_cut[p])
                tni_encoder_finish(&sink->encoder, &sink->parts[p]);
        sink->is_uploaded = tn_alloc_array(count_files(sink) + 1, sizeof *sink->is_uploaded);
    }
    TN_TRY(upload_all(sink, err));
    tn_crash_point("sink-after-upload");
    note_files(sink);
    tn_free(sink->is_uploaded);
    sink->is_uploaded = NULL;
    sink->stage = TNI_CUT_UPLOADED;
    return is_cut_stored(sink) ? tni_sink_save(sink, err) : TN_OK;
}

/* ---- 3: the entry ---- */

const struct tn_table_meta *tni_sink_meta(struct tni_sink *sink, struct tn_arena *arena)
{
    static const char *const packs[] = {"none", "gzip", "zstd"};
    static const char *const layouts[] = {"change", "value", "raw"};
    struct tn_sink_spec *spec = sink->spec;
    struct tn_table_meta *meta = TN_ARENA_NEW(arena, struct tn_table_meta);
    uint32_t folders, keys = spec->decl.is_table ? spec->decl.keys_count : 0;
    const struct tn_schema *schema = tn_sink_schema(spec, &folders);
    meta->format = TN_STR("json");
    meta->compression = tn_str_of(packs[spec->options.pack]);
    meta->layout = tn_str_of(layouts[spec->options.layout]);
    meta->columns_count = schema->fields_count;
    meta->columns = TN_ARENA_ARRAY(arena, struct tn_table_column, schema->fields_count + 1);
    for (uint32_t i = 0; i < schema->fields_count; i++) {
        struct tn_buf buf;
        tn_buf_init(&buf, 1 << 20);
        tn_type_print_ksql(schema->fields[i].type, &buf);
        meta->columns[i].name = schema->fields[i].name;
        meta->columns[i].type = tn_arena_str(arena, tn_buf_str(&buf));
        tn_buf_release(&buf);
    }
    meta->partitions = TN_ARENA_ARRAY(arena, struct tn_str, folders + 1);
    for (uint32_t i = 0; i < folders; i++)
        meta->partitions[i] = schema->fields[schema->fields_count - folders + i].name;
    meta->partitions_count = folders;
    if (spec->options.layout != TN_SINK_CHANGE)
        return meta;
    meta->keys = TN_ARENA_ARRAY(arena, struct tn_str, keys + 3);
    for (; meta->keys_count < keys; meta->keys_count++)
        meta->keys[meta->keys_count] = spec->decl.schema->fields[meta->keys_count].name;
    if (spec->decl.window != TN_WINDOW_NONE) {
        meta->keys[meta->keys_count++] = TN_STR("windowstart");
        meta->keys[meta->keys_count++] = TN_STR("windowend");
    }
    return meta;
}

static enum tn_status step_commit(struct tni_sink *sink, struct tn_err *err)
{
    struct tn_str root = tn_str_of(sink->root);
    while (sink->stage == TNI_CUT_UPLOADED) {
        sink->cut.version = sink->version;
        sink->cut.meta = sink->meta_version < 0 ? tni_sink_meta(sink, &sink->cut_arena) : NULL;
        tn_crash_point("sink-before-complete");
        enum tn_status st = tn_table_log_append(sink->store, root, &sink->cut, LOG_TIMEOUT_MS, err);
        tn_crash_point("sink-after-complete");
        if (st == TN_OK) {
            if (sink->cut.meta)
                sink->meta_version = sink->cut.version;
            return tni_sink_apply(sink, &sink->cut, err);
        }
        if (st != TN_E_EXISTS && st != TN_E_INDEFINITE)
            return st;
        /* Somebody has this version: perhaps we ourselves. Never go on before that is known. */
        struct tn_table_entry there;
        st = tn_table_log_get(sink->store, root, sink->version, &sink->cut_arena, &there,
                              LOG_TIMEOUT_MS, err);
        if (st == TN_NOT_FOUND)
            return tn_err_set(err, TN_E_IO, "the outcome of entry %" PRId64 " is not known yet",
                              sink->version);
        TN_TRY(st);
        TN_TRY(tni_sink_apply(sink, &there, err));
    }
    return TN_OK;
}

/* ---- 4: done ---- */

/* @locks sink->lock is held */
static void note_recent(struct tni_sink *sink, const struct tn_table_file *file)
{
    uint32_t kept = sink->recent_count;
    if (kept == TN_SINK_RECENT_MAX)
        kept--;
    memmove(sink->recent + 1, sink->recent, kept * sizeof *sink->recent);
    sink->recent_count = kept + 1;
    sink->recent[0] = (struct tn_sink_recent){
        .rows = file->rows, .bytes = file->bytes, .committed_ms = sink->cut.timestamp_ms};
    snprintf(sink->recent[0].path, sizeof sink->recent[0].path, "%.*s", TN_STR_FMT(file->path));
}

static void count_cut(struct tni_sink *sink)
{
    int64_t rows = 0, bytes = 0;
    for (uint32_t i = 0; i < sink->cut.files_count; i++) {
        rows += sink->cut.files[i].is_errors ? 0 : sink->cut.files[i].rows;
        bytes += sink->cut.files[i].bytes;
    }
    pthread_mutex_lock(&sink->lock);
    sink->counts.rows += rows;
    sink->counts.bytes += bytes;
    sink->counts.files += sink->cut.files_count;
    sink->counts.cuts++;
    sink->counts.committed_ms = sink->cut.timestamp_ms;
    for (uint32_t i = 0; i < sink->cut.files_count; i++)
        note_recent(sink, &sink->cut.files[i]);
    pthread_mutex_unlock(&sink->lock);
    tn_metric_add(sink->metrics.rows, rows);
    tn_metric_add(sink->metrics.bytes, bytes);
    tn_metric_add(sink->metrics.files, sink->cut.files_count);
    tn_metric_add(sink->metrics.cuts, 1);
}

static enum tn_status step_done(struct tni_sink *sink, struct tn_err *err)
{
    struct tn_log *log = sink->sinks->config.log;
    if (tni_sink_has_notices(sink))
        TN_TRY(tni_sink_notice_run(sink, err));
    tn_crash_point("sink-before-record");
    sink->stage = TNI_CUT_NONE;
    enum tn_status st = tni_sink_save(sink, err);
    if (tn_failed(st)) {
        sink->stage = TNI_CUT_COMMITTED;
        return st;
    }
    tn_crash_point("sink-after-record");
    if (!sink->is_adopted)
        count_cut(sink);
    sink->is_adopted = false;
    for (uint32_t p = 0; p < sink->parts_count; p++) {
        if (!sink->is_cut[p])
            continue;
        tni_sink_part_clear(&sink->parts[p]);
        sink->is_cut[p] = false;
        if (log->type->hold)
            log->type->hold(log, &sink->topic, (int32_t)p, sink->name, sink->parts[p].committed);
    }
    tn_table_log_checkpoint(sink->store, tn_str_of(sink->root), sink->cut.version, LOG_TIMEOUT_MS);
    return TN_OK;
}

enum tn_status tni_sink_cut_step(struct tni_sink *sink, struct tn_err *err)
{
    if (sink->stage == TNI_CUT_PLANNED)
        TN_TRY(step_upload(sink, err));
    if (sink->stage == TNI_CUT_UPLOADED)
        TN_TRY(step_commit(sink, err));
    return sink->stage == TNI_CUT_COMMITTED ? step_done(sink, err) : TN_OK;
}
