/* What follows an entry of the table log: dead letters of the cut, notices on a topic, a webhook.
 * Each record carries a header "tarn-commit" = <commit id>:<source partition>:<offset>, and the
 * ends of the topics before the first of them are stored with the cut and in the entry: after a
 * crash the tail is read to see what is already there, by this process or the one that takes over,
 * so each notice is on its topic once. A webhook is called at
 * least once, with the commit id as Idempotency-Key. Contract: connectors/sink_int.h. */
#include "connectors/sink_int.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "connectors/http_client.h"
#include "stream/base/crashpoint.h"
#include "stream/base/logline.h"
#include "stream/base/mem.h"

#define HEADER_NAME      "tarn-commit"
#define APPEND_ROWS      1000
#define APPEND_BYTES     ((size_t)1 << 20)
#define NOTICE_BYTES_MAX ((size_t)16 << 20)
#define WAIT_MS          20
#define WEBHOOK_MS       10000

static bool is_by_record(const struct tni_sink *sink)
{
    return strcmp(sink->spec->options.notify, "records") == 0;
}

static const char *letters_topic(const struct tni_sink *sink, struct tn_arena *arena)
{
    return tn_arena_printf(arena, "%s-dead-letters", sink->sinks->config.application_id);
}

/* ---- before the cut ---- */

static enum tn_status topic_get(struct tni_sink *sink, const char *name, int32_t partitions,
                                struct tn_topic *ret_topic, struct tn_err *err)
{
    struct tn_log *log = sink->sinks->config.log;
    enum tn_status st = log->type->topic_find(log, name, ret_topic, err);
    if (st != TN_NOT_FOUND)
        return st;
    struct tn_topic_spec spec = {.name = name,
                                 .partitions_count = partitions,
                                 .cleanup = TN_CLEANUP_DELETE,
                                 .retention_ms = -1,
                                 .retention_bytes = -1};
    TN_TRY(log->type->topic_create(log, &spec, err));
    st = log->type->topic_find(log, name, ret_topic, err);
    return st == TN_NOT_FOUND ? tn_err_set(err, TN_E_IO, "topic '%s' cannot be made", name) : st;
}

static enum tn_status note_ends(struct tni_sink *sink, const char *name, int32_t partitions,
                                struct tn_err *err)
{
    struct tn_log *log = sink->sinks->config.log;
    struct tn_arena *arena = &sink->cut_arena;
    struct tn_topic topic;
    TN_TRY(topic_get(sink, name, partitions, &topic, err));
    struct tn_table_entry *cut = &sink->cut;
    struct tn_table_notice *notices = TN_ARENA_ARRAY(
        arena, struct tn_table_notice, cut->notices_count + (uint32_t)topic.partitions_count);
    if (cut->notices_count)
        memcpy(notices, cut->notices, cut->notices_count * sizeof *notices);
    struct tn_str text = tn_str_of(tn_arena_strdup(arena, name));
    for (int32_t p = 0; p < topic.partitions_count; p++) {
        struct tn_offsets offsets;
        TN_TRY(log->type->offsets(log, &topic, p, &offsets, err));
        notices[cut->notices_count++] = (struct tn_table_notice){text, p, offsets.end_visible};
    }
    cut->notices = notices;
    return TN_OK;
}

enum tn_status tni_sink_notice_begin(struct tni_sink *sink, struct tn_err *err)
{
    const struct tn_sink_options *options = &sink->spec->options;
    bool has_errors = options->notify_url != NULL;
    for (uint32_t p = 0; p < sink->parts_count; p++)
        for (uint32_t f = 0; sink->is_cut[p] && f < sink->parts[p].files_count; f++)
            has_errors |= sink->parts[p].files[f].is_errors;
    if (options->notify_topic)
        TN_TRY(note_ends(sink, options->notify_topic,
                         is_by_record(sink) ? sink->topic.partitions_count : 1, err));
    if (has_errors)
        TN_TRY(note_ends(sink, letters_topic(sink, &sink->cut_arena), 1, err));
    return TN_OK;
}

/* ---- reading what is there ---- */

/* Records of [*io_offset, end); NULL at the end. Moves *io_offset. */
static enum tn_status read_next(struct tni_sink *sink, const struct tn_topic *topic,
                                int32_t partition, int64_t end, int64_t *io_offset,
                                struct tn_records **ret_records, struct tn_err *err)
{
    struct tn_log *log = sink->sinks->config.log;
    *ret_records = NULL;
    while (*io_offset < end) {
        struct tn_read read = {.records = NULL};
        enum tn_status st = log->type->read(sink->reader, topic, partition, *io_offset,
                                            TNI_SINK_READ_BYTES, &read, err);
        if (st == TN_OK) {
            *io_offset = read.next;
            *ret_records = read.records;
            return TN_OK;
        }
        if (st != TN_AGAIN)
            return st == TN_NOT_FOUND
                       ? tn_err_set(err, TN_E_NAME, "topic '%s' is gone", topic->name)
                       : st;
        if (read.next > *io_offset)
            *io_offset = read.next;
        else if (tni_sink_is_stopping(sink))
            return tn_err_set(err, TN_E_CANCELLED, "stopped");
        else
            tni_sink_wait(sink, WAIT_MS);
    }
    return TN_OK;
}

/* How far the cut's notices are: next[source partition] = offset behind the last one there. */
static void note_there(struct tni_sink *sink, const struct tn_records *records, int64_t *next)
{
    const struct tn_headers *headers = tn_records_headers(records);
    for (uint32_t i = 0; headers && i < records->count; i++)
        for (uint32_t h = 0; h < headers[i].count; h++) {
            const struct tn_header *header = &headers[i].items[h];
            size_t id = sink->cut.commit_id.len;
            char text[64] = {0}, *end;
            if (!tn_str_eq(header->key, TN_STR(HEADER_NAME)) || header->value.len <= id + 1 ||
                memcmp(header->value.ptr, sink->cut.commit_id.ptr, id) != 0)
                continue;
            size_t rest = header->value.len - id - 1;
            memcpy(text, header->value.ptr + id + 1, rest < 63 ? rest : 63);
            long partition = strtol(text, &end, 10);
            int64_t offset = *end ? strtoll(end + 1, NULL, 10) : -1;
            if (partition >= 0 && partition < (long)sink->parts_count &&
                offset + 1 > next[partition])
                next[partition] = offset + 1;
        }
}

static enum tn_status find_there(struct tni_sink *sink, const char *name, int64_t *next,
                                 struct tn_err *err)
{
    struct tn_log *log = sink->sinks->config.log;
    struct tn_topic topic;
    TN_TRY(topic_get(sink, name, 1, &topic, err));
    for (uint32_t i = 0; i < sink->cut.notices_count; i++) {
        const struct tn_table_notice *from = &sink->cut.notices[i];
        struct tn_offsets offsets;
        struct tn_records *records;
        int64_t at = from->offset;
        if (!tn_str_eq(from->topic, tn_str_of(name)) || from->partition >= topic.partitions_count)
            continue;
        TN_TRY(log->type->offsets(log, &topic, from->partition, &offsets, err));
        do {
            TN_TRY(
                read_next(sink, &topic, from->partition, offsets.end_visible, &at, &records, err));
            if (records)
                note_there(sink, records, next);
            tn_records_unref(records);
        } while (at < offsets.end_visible);
    }
    return TN_OK;
}

/* ---- appending ---- */

struct append {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool is_done;
    enum tn_status st;
    struct tn_err err;
};

static void on_append(void *ctx, enum tn_status st, int64_t base_offset, const struct tn_err *err)
{
    struct append *append = ctx;
    (void)base_offset;
    pthread_mutex_lock(&append->lock);
    append->st = st;
    if (tn_failed(st) && err)
        append->err = *err;
    append->is_done = true;
    pthread_cond_signal(&append->cond);
    pthread_mutex_unlock(&append->lock);
}

/* Takes the reference. */
static enum tn_status append_wait(struct tni_sink *sink, const struct tn_topic *topic,
                                  int32_t partition, struct tn_records *records, struct tn_err *err)
{
    const struct tn_sinks_config *config = &sink->sinks->config;
    struct tn_log *log = config->log;
    if (config->is_ours && !config->is_ours(config->ours_ctx, sink->name)) {
        tn_records_unref(records); /* whoever owns it now sees which are missing */
        return tn_err_set(err, TN_E_CANCELLED, "sink '%s' is another process's now", sink->name);
    }
    struct append append = {.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};
    uint32_t count = records->count;
    log->type->append(log, topic, partition, records, on_append, &append);
    tn_records_unref(records);
    pthread_mutex_lock(&append.lock);
    while (!append.is_done)
        pthread_cond_wait(&append.cond, &append.lock);
    pthread_mutex_unlock(&append.lock);
    if (tn_failed(append.st)) {
        if (err)
            *err = append.err;
        return append.st;
    }
    tn_metric_add(sink->metrics.notices, count);
    pthread_mutex_lock(&sink->lock);
    sink->counts.notices += count;
    pthread_mutex_unlock(&sink->lock);
    return TN_OK;
}

static void set_record(struct tni_sink *sink, struct tn_records *records, uint32_t i,
                       struct tn_str key, struct tn_str value, int64_t timestamp_ms,
                       int32_t partition, int64_t offset)
{
    struct tn_arena *arena = &records->arena;
    struct tn_header *header = TN_ARENA_NEW(arena, struct tn_header);
    header->key = TN_STR(HEADER_NAME);
    header->value = tn_str_of(tn_arena_printf(arena, "%.*s:%d:%" PRId64,
                                              TN_STR_FMT(sink->cut.commit_id), partition, offset));
    records->keys[i] = tn_arena_str(arena, key);
    records->values[i] = tn_arena_str(arena, value);
    records->timestamps_ms[i] = timestamp_ms;
    records->headers[i] = (struct tn_headers){1, header};
    records->bytes += key.len + value.len;
}

static struct tn_records *new_records(uint32_t count)
{
    struct tn_records *records = tn_records_new(count);
    records->headers = TN_ARENA_ARRAY(&records->arena, struct tn_headers, count);
    return records;
}

/* ---- notices ---- */

/* The records of a range, as they are. */
static enum tn_status forward_range(struct tni_sink *sink, const struct tn_topic *topic,
                                    const struct tn_table_range *range, int64_t from,
                                    struct tn_err *err)
{
    int64_t at = from > range->first ? from : range->first;
    int32_t to = range->partition % topic->partitions_count;
    while (at < range->next) {
        struct tn_records *in;
        TN_TRY(read_next(sink, &sink->topic, range->partition, range->next, &at, &in, err));
        if (!in)
            break;
        uint32_t count = 0;
        while (count < in->count && in->offsets[count] < range->next)
            count++;
        struct tn_records *out = new_records(count);
        for (uint32_t i = 0; i < count; i++)
            set_record(sink, out, i, in->keys[i], in->values[i], in->timestamps_ms[i],
                       range->partition, in->offsets[i]);
        tn_records_unref(in);
        if (!count) {
            tn_records_unref(out);
            break;
        }
        TN_TRY(append_wait(sink, topic, to, out, err));
        tn_crash_point("sink-in-notices");
    }
    return TN_OK;
}

static void print_notice(struct tni_sink *sink, struct tn_buf *buf)
{
    int64_t rows = 0, bytes = 0;
    for (uint32_t i = 0; i < sink->cut.files_count; i++) {
        rows += sink->cut.files[i].is_errors ? 0 : sink->cut.files[i].rows;
        bytes += sink->cut.files[i].bytes;
    }
    tn_buf_add_text(buf, "{\"sink\":");
    tn_buf_add_json(buf, tn_str_of(sink->name));
    tn_buf_add_text(buf, ",\"table\":");
    tn_buf_add_json(buf, tn_str_of(sink->spec->table));
    tn_buf_printf(buf,
                  ",\"commit\":\"%.*s\",\"timestamp\":%" PRId64 ",\"rows\":%" PRId64
                  ",\"bytes\":%" PRId64 ",\"files\":[",
                  TN_STR_FMT(sink->cut.commit_id), sink->cut.timestamp_ms, rows, bytes);
    for (uint32_t i = 0; i < sink->cut.files_count; i++) {
        if (i)
            tn_buf_add_byte(buf, ',');
        tn_buf_add_json(buf, sink->cut.files[i].path);
    }
    tn_buf_add_text(buf, "],\"ranges\":[");
    for (uint32_t i = 0; i < sink->cut.ranges_count; i++)
        tn_buf_printf(buf, "%s{\"partition\":%d,\"first\":%" PRId64 ",\"next\":%" PRId64 "}",
                      i ? "," : "", sink->cut.ranges[i].partition, sink->cut.ranges[i].first,
                      sink->cut.ranges[i].next);
    tn_buf_add_text(buf, "]}");
}

static enum tn_status notify_topic(struct tni_sink *sink, struct tn_err *err)
{
    struct tn_topic topic;
    const char *name = sink->spec->options.notify_topic;
    int64_t *next = TN_ARENA_ARRAY(&sink->cut_arena, int64_t, sink->parts_count + 1);
    TN_TRY(topic_get(sink, name, 1, &topic, err));
    TN_TRY(find_there(sink, name, next, err));
    if (is_by_record(sink)) {
        for (uint32_t i = 0; i < sink->cut.ranges_count; i++) {
            const struct tn_table_range *range = &sink->cut.ranges[i];
            TN_TRY(forward_range(sink, &topic, range, next[range->partition], err));
        }
        return TN_OK;
    }
    if (next[0] > 0 || !sink->cut.files_count)
        return TN_OK;
    struct tn_buf buf;
    tn_buf_init(&buf, NOTICE_BYTES_MAX);
    print_notice(sink, &buf);
    struct tn_records *records = new_records(1);
    set_record(sink, records, 0, tn_str_of(sink->spec->table), tn_buf_str(&buf),
               sink->cut.timestamp_ms, 0, 0);
    tn_buf_release(&buf);
    return append_wait(sink, &topic, 0, records, err);
}

/* ---- dead letters ---- */

static enum tn_status letters_text(struct tni_sink *sink, const struct tn_table_file *file,
                                   struct tn_buf *packed, struct tn_err *err)
{
    const struct tni_sink_part *part = &sink->parts[file->partition];
    for (uint32_t f = 0; f < part->files_count; f++)
        if (part->files[f].is_errors && part->files[f].is_closed) {
            tn_buf_add_str(packed, tn_buf_str(&part->files[f].out));
            return TN_OK;
        }
    char *key = tn_arena_printf(&sink->cut_arena, "%s%s%.*s", sink->root, sink->root[0] ? "/" : "",
                                TN_STR_FMT(file->path));
    enum tn_status st =
        tn_object_get(sink->store, key, 0, -1, packed, sink->spec->options.timeout_ms, err);
    return st == TN_NOT_FOUND ? tn_err_set(err, TN_E_CORRUPT, "'%s' with dead letters is gone", key)
                              : st;
}

static enum tn_status append_lines(struct tni_sink *sink, const struct tn_topic *topic,
                                   const struct tn_table_file *file, struct tn_str text,
                                   int64_t next, struct tn_err *err)
{
    while (text.len) {
        const char *end = memchr(text.ptr, '\n', text.len);
        struct tn_str line = {text.ptr, end ? (size_t)(end - text.ptr) : text.len};
        size_t used = line.len + (end ? 1 : 0);
        text = (struct tn_str){text.ptr + used, text.len - used};
        char *copy = tn_strndup(line.ptr, line.len);
        const char *at = strstr(copy, ",\"offset\":"), *when = strstr(copy, ",\"timestamp\":");
        int64_t offset = at ? strtoll(at + 10, NULL, 10) : 0;
        int64_t time = when ? strtoll(when + 13, NULL, 10) : 0;
        tn_free(copy);
        if (offset < next)
            continue;
        struct tn_records *records = new_records(1);
        set_record(sink, records, 0, (struct tn_str){NULL, 0}, line, time, file->partition, offset);
        TN_TRY(append_wait(sink, topic, 0, records, err));
    }
    return TN_OK;
}

static enum tn_status send_letters(struct tni_sink *sink, struct tn_err *err)
{
    const char *name = letters_topic(sink, &sink->cut_arena);
    int64_t *next = TN_ARENA_ARRAY(&sink->cut_arena, int64_t, sink->parts_count + 1);
    bool is_ready = false;
    struct tn_topic topic;
    for (uint32_t i = 0; i < sink->cut.files_count; i++) {
        const struct tn_table_file *file = &sink->cut.files[i];
        if (!file->is_errors)
            continue;
        if (!is_ready) {
            TN_TRY(topic_get(sink, name, 1, &topic, err));
            TN_TRY(find_there(sink, name, next, err));
            is_ready = true;
        }
        struct tn_buf packed, text;
        tn_buf_init(&packed, SIZE_MAX / 4);
        tn_buf_init(&text, SIZE_MAX / 4);
        enum tn_status st = letters_text(sink, file, &packed, err);
        if (st == TN_OK)
            st = tn_unpack(sink->spec->options.pack, tn_buf_str(&packed), &text, err);
        if (st == TN_OK)
            st = append_lines(sink, &topic, file, tn_buf_str(&text), next[file->partition], err);
        tn_buf_release(&packed);
        tn_buf_release(&text);
        TN_TRY(st);
    }
    return TN_OK;
}

/* ---- webhook ---- */

static enum tn_status post(struct tni_sink *sink, struct tn_str body, struct tn_err *err)
{
    struct tn_http_client *client;
    struct tn_http_response response;
    char id[64];
    snprintf(id, sizeof id, "%.*s", TN_STR_FMT(sink->cut.commit_id));
    struct tn_http_header_pair headers[] = {{"Content-Type", "application/json"},
                                            {"Idempotency-Key", id}};
    TN_TRY(tn_http_client_new(sink->spec->options.notify_url, WEBHOOK_MS, &client, err));
    enum tn_status st = tn_http_call(client, "POST", "", headers, 2, body, &response, err);
    if (st == TN_OK && (response.status < 200 || response.status > 299))
        st = tn_err_set(err, TN_E_IO, "notify.url answered %d", response.status);
    tn_http_client_free(client);
    return st;
}

/* Given up: the notice becomes a dead letter with the reason. */
static enum tn_status webhook_letter(struct tni_sink *sink, struct tn_str body, const char *reason,
                                     struct tn_err *err)
{
    struct tn_topic topic;
    struct tn_buf buf;
    const char *name = letters_topic(sink, &sink->cut_arena);
    int64_t *next = TN_ARENA_ARRAY(&sink->cut_arena, int64_t, sink->parts_count + 1);
    TN_TRY(topic_get(sink, name, 1, &topic, err));
    TN_TRY(find_there(sink, name, next, err));
    tn_buf_init(&buf, NOTICE_BYTES_MAX * 2);
    tn_buf_printf(
        &buf, "{\"topic\":\"%s\",\"partition\":0,\"offset\":0,\"timestamp\":%" PRId64 ",\"query\":",
        sink->topic.name, sink->cut.timestamp_ms);
    tn_buf_add_json(&buf, tn_str_of(sink->name));
    tn_buf_add_text(&buf, ",\"reason\":");
    tn_buf_add_json(&buf, tn_str_of(reason));
    tn_buf_add_text(&buf, ",\"field\":null,\"position\":null,\"key\":null,\"notice\":");
    tn_buf_add_str(&buf, body);
    tn_buf_add_text(&buf, ",\"value\":null}");
    struct tn_records *records = new_records(1);
    set_record(sink, records, 0, (struct tn_str){NULL, 0}, tn_buf_str(&buf), sink->cut.timestamp_ms,
               0, 0);
    tn_buf_release(&buf);
    return append_wait(sink, &topic, 0, records, err);
}

static enum tn_status call_webhook(struct tni_sink *sink, struct tn_err *err)
{
    struct tn_buf body;
    struct tn_err why = TN_ERR_INIT;
    if (!sink->cut.files_count)
        return TN_OK;
    tn_buf_init(&body, NOTICE_BYTES_MAX);
    print_notice(sink, &body);
    enum tn_status st = post(sink, tn_buf_str(&body), &why);
    if (tn_failed(st) && ++sink->webhook_failures > sink->spec->options.notify_retries) {
        tn_logf(TN_LOG_ERROR, "sink", "notice given up, sink=%s: %s", sink->name, why.message);
        st = webhook_letter(sink, tn_buf_str(&body), why.message, &why);
    }
    if (!tn_failed(st))
        sink->webhook_failures = 0;
    else if (err)
        *err = why;
    tn_buf_release(&body);
    return st;
}

enum tn_status tni_sink_notice_run(struct tni_sink *sink, struct tn_err *err)
{
    if (sink->spec->options.errors == TN_SINK_ERRORS_LETTER)
        TN_TRY(send_letters(sink, err));
    if (sink->spec->options.notify_topic)
        TN_TRY(notify_topic(sink, err));
    return sink->spec->options.notify_url ? call_webhook(sink, err) : TN_OK;
}
