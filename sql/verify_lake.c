/* Contract: sql/verify_lake.h. Files are fetched whole, one at a time. What a cut under way has
 * uploaded but not entered yet is told by its name (offsets behind the last range) and left alone.
 */
#include "sql/verify_lake.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>

#include "connectors/object_url.h"
#include "connectors/sink.h"
#include "stream/base/mem.h"

#define FILE_BYTES_MAX  ((size_t)2 << 30)
#define TIMEOUT_MS      INT64_C(60000)
#define DIFFERENCES_MAX 20
#define PARTITIONS_KEPT 4096

struct checked {
    const struct tn_catalog_sink *sink;
    struct tn_object_store *store;
    struct tn_log *log;
    FILE *out;
    struct tn_arena arena;
    struct tn_topic topic;
    bool has_topic;
    struct tn_table_file *files;
    bool *is_listed;
    uint32_t count, cap;
    int64_t entries, entries_listed, rows, bytes, pending, differences;
    int64_t *first, *next, *held; /* by partition: ranges of this topic, rows in its files */
    struct tn_err *err;
};

static void differs(struct checked *checked, const char *fmt, ...) TN_PRINTF(2, 3);
static void differs(struct checked *checked, const char *fmt, ...)
{
    va_list ap;
    if (checked->differences++ >= DIFFERENCES_MAX)
        return;
    va_start(ap, fmt);
    fprintf(checked->out, "  %s: ", checked->sink->spec->table);
    vfprintf(checked->out, fmt, ap);
    fputc('\n', checked->out);
    va_end(ap);
}

/* ---- the table log ---- */

static void add_range(struct checked *checked, const struct tn_table_range *range, int64_t version)
{
    int32_t p = range->partition;
    if (!checked->has_topic || p >= checked->topic.partitions_count ||
        memcmp(range->log_id, checked->topic.log_id, sizeof range->log_id) != 0)
        return; /* of a topic that is gone */
    if (checked->first[p] < 0)
        checked->first[p] = range->first;
    else if (range->first != checked->next[p])
        differs(checked,
                "entry %" PRId64 ": partition %d goes on at offset %" PRId64
                ", the entries before end at %" PRId64,
                version, p, range->first, checked->next[p]);
    checked->next[p] = range->next;
}

static bool is_of_topic(const struct checked *checked, const struct tn_table_entry *entry)
{
    return entry->ranges_count && checked->has_topic &&
           memcmp(entry->ranges[0].log_id, checked->topic.log_id, 16) == 0;
}

static enum tn_status add_entry(void *ctx, const struct tn_table_entry *entry, struct tn_err *err)
{
    struct checked *checked = ctx;
    (void)err;
    checked->entries++;
    bool is_ours = tn_str_eq(entry->sink, tn_str_of(checked->sink->name));
    for (uint32_t i = 0; is_ours && i < entry->ranges_count; i++)
        add_range(checked, &entry->ranges[i], entry->version);
    for (uint32_t i = 0; i < entry->files_count; i++) {
        const struct tn_table_file *file = &entry->files[i];
        if (file->is_removed) {
            for (uint32_t k = 0; k < checked->count; k++)
                if (tn_str_eq(checked->files[k].path, file->path))
                    checked->files[k].is_removed = true;
            continue;
        }
        if (checked->count == checked->cap) {
            checked->cap = checked->cap ? checked->cap * 2 : 256;
            checked->files = tn_realloc(checked->files, checked->cap * sizeof *checked->files);
        }
        checked->files[checked->count++] = *file;
        if (is_ours && is_of_topic(checked, entry))
            checked->held[file->partition] +=
                checked->sink->spec->options.object_key ? 1 : file->rows;
    }
    return TN_OK;
}

/* ---- what lies there ---- */

static int by_path(const void *a, const void *b)
{
    return tn_str_cmp(((const struct tn_table_file *)a)->path,
                      ((const struct tn_table_file *)b)->path);
}

/* Partition and offset that a file's name tells; false for other names. */
static bool name_tells(struct tn_str key, int64_t *ret_partition, int64_t *ret_offset)
{
    char text[TN_OBJECT_KEY_MAX + 1];
    long long offset, epoch;
    int partition;
    snprintf(text, sizeof text, "%.*s", TN_STR_FMT(key));
    const char *slash = strrchr(text, '/'), *name = slash ? slash + 1 : text;
    const char *dash = name + strlen(name);
    for (int dashes = 0; dash > name && dashes < 3;)
        dashes += *--dash == '-';
    if (*dash == '-' && sscanf(dash, "-%d-%20lld-%lld.json", &partition, &offset, &epoch) == 3) {
        *ret_partition = partition;
        *ret_offset = offset;
        return true;
    }
    size_t len = strlen(name);
    if (len < 17 || name[len - 17] != '-' || strspn(name + len - 16, "0123456789ABCDEF") != 16)
        return false;
    *ret_offset = strtoll(name + len - 12, NULL, 16);
    text[(size_t)(name - text) + len - 12] = 0;
    *ret_partition = strtoll(name + len - 16, NULL, 16);
    return true;
}

static bool list_object(void *ctx, const struct tn_object_info *info)
{
    struct checked *checked = ctx;
    struct tn_table_file wanted = {.path = info->key};
    int64_t partition, offset;
    if (info->key.len > 5 && memcmp(info->key.ptr, TN_TABLE_LOG_FOLDER "/", 5) == 0) {
        checked->entries_listed += memcmp(info->key.ptr + info->key.len - 5, "ommit", 5) == 0;
        return true;
    }
    struct tn_table_file *found = checked->count ? bsearch(&wanted, checked->files, checked->count,
                                                           sizeof *checked->files, by_path)
                                                 : NULL;
    if (found) {
        checked->is_listed[found - checked->files] = true;
        return true;
    }
    if (checked->has_topic && name_tells(info->key, &partition, &offset) &&
        partition < checked->topic.partitions_count &&
        (checked->next[partition] < 0 || offset >= checked->next[partition]))
        checked->pending++;
    else
        differs(checked, "'%.*s' is in no entry of the table log", TN_STR_FMT(info->key));
    return true;
}

static int64_t count_lines(struct tn_str text)
{
    int64_t lines = 0;
    for (const char *p = text.ptr, *end = p + text.len; p < end; p++, lines++)
        if (!(p = memchr(p, '\n', (size_t)(end - p))))
            return lines + 1;
    return lines;
}

static enum tn_pack_kind pack_of(struct tn_str path)
{
    if (path.len > 3 && memcmp(path.ptr + path.len - 3, ".gz", 3) == 0)
        return TN_PACK_GZIP;
    return path.len > 4 && memcmp(path.ptr + path.len - 4, ".zst", 4) == 0 ? TN_PACK_ZSTD
                                                                           : TN_PACK_NONE;
}

static void check_bytes(struct checked *checked, const struct tn_table_file *file,
                        struct tn_str bytes)
{
    struct tn_buf text;
    struct tn_err err = TN_ERR_INIT;
    if ((int64_t)bytes.len != file->bytes || tn_pack_crc32(0, bytes) != file->crc32) {
        differs(
            checked,
            "'%.*s' was altered: %zu bytes, checksum %08x; the log says %" PRId64 " bytes, %08x",
            TN_STR_FMT(file->path), bytes.len, tn_pack_crc32(0, bytes), file->bytes, file->crc32);
        return;
    }
    if (checked->sink->spec->options.object_key)
        return;
    tn_buf_init(&text, FILE_BYTES_MAX);
    if (tn_failed(tn_unpack(pack_of(file->path), bytes, &text, &err)))
        differs(checked, "'%.*s': %s", TN_STR_FMT(file->path), err.message);
    else if (count_lines(tn_buf_str(&text)) != file->rows)
        differs(checked, "'%.*s' has %" PRId64 " rows; the log says %" PRId64,
                TN_STR_FMT(file->path), count_lines(tn_buf_str(&text)), file->rows);
    tn_buf_release(&text);
}

static enum tn_status check_file(struct checked *checked, uint32_t at)
{
    const struct tn_table_file *file = &checked->files[at];
    struct tn_buf body;
    char key[TN_OBJECT_KEY_MAX + 1];
    if (at && by_path(file, file - 1) == 0)
        differs(checked, "'%.*s' is in the table log twice", TN_STR_FMT(file->path));
    if (!checked->is_listed[at]) {
        differs(checked, "'%.*s' is gone", TN_STR_FMT(file->path));
        return TN_OK;
    }
    snprintf(key, sizeof key, "%.*s", TN_STR_FMT(file->path));
    tn_buf_init(&body, FILE_BYTES_MAX);
    enum tn_status st = tn_object_get(checked->store, key, 0, -1, &body, TIMEOUT_MS, checked->err);
    if (st == TN_OK) {
        check_bytes(checked, file, tn_buf_str(&body));
        checked->bytes += (int64_t)body.len;
        checked->rows += file->is_errors ? 0 : file->rows;
    } else if (st == TN_NOT_FOUND) {
        differs(checked, "'%.*s' is gone", TN_STR_FMT(file->path));
        st = TN_OK;
    }
    tn_buf_release(&body);
    return st;
}

/* ---- against the topic ---- */

static enum tn_status count_records(struct checked *checked, int32_t p, int64_t *ret_count)
{
    struct tn_log *log = checked->log;
    struct tn_log_reader *reader;
    int64_t at = checked->first[p];
    *ret_count = 0;
    TN_TRY(log->type->reader_open(log, NULL, &reader, checked->err));
    enum tn_status st = TN_OK;
    while (at < checked->next[p] && st == TN_OK) {
        struct tn_read read = {.records = NULL};
        st = log->type->read(reader, &checked->topic, p, at, 1 << 20, &read, checked->err);
        if (st == TN_AGAIN && read.next > at) {
            at = read.next;
            st = TN_OK;
        } else if (st == TN_OK) {
            for (uint32_t i = 0; i < read.records->count; i++)
                *ret_count += read.records->offsets[i] < checked->next[p];
            tn_records_unref(read.records);
            at = read.next;
        }
    }
    log->type->reader_close(reader);
    return st == TN_AGAIN ? TN_OK : st;
}

static enum tn_status check_topic(struct checked *checked)
{
    const struct tn_sink_options *options = &checked->sink->spec->options;
    bool is_whole = options->nulls == TN_SINK_NULLS_WRITE && options->errors != TN_SINK_ERRORS_SKIP;
    for (int32_t p = 0; checked->has_topic && p < checked->topic.partitions_count; p++) {
        struct tn_offsets offsets;
        int64_t count;
        if (checked->first[p] < 0)
            continue;
        TN_TRY(
            checked->log->type->offsets(checked->log, &checked->topic, p, &offsets, checked->err));
        if (checked->next[p] > offsets.end_visible) {
            differs(checked, "partition %d reaches offset %" PRId64 ", the topic ends at %" PRId64,
                    p, checked->next[p], offsets.end_visible);
            continue;
        }
        if (!is_whole || offsets.start > checked->first[p] ||
            checked->topic.cleanup != TN_CLEANUP_DELETE)
            continue; /* records were left out on purpose, or the topic has forgotten some */
        TN_TRY(count_records(checked, p, &count));
        if (count != checked->held[p])
            differs(checked,
                    "partition %d: %" PRId64 " records up to offset %" PRId64 ", %" PRId64
                    " rows in files",
                    p, count, checked->next[p], checked->held[p]);
    }
    return TN_OK;
}

/* The entries themselves, not what checkpoints say of them. */
static enum tn_status read_log(struct checked *checked, int64_t *ret_next)
{
    struct tn_table_entry entry;
    for (int64_t version = 0;; version++) {
        *ret_next = version;
        enum tn_status st = tn_table_log_get(checked->store, TN_STR(""), version, &checked->arena,
                                             &entry, TIMEOUT_MS, checked->err);
        if (st == TN_NOT_FOUND)
            return TN_OK;
        TN_TRY(st);
        TN_TRY(add_entry(checked, &entry, checked->err));
    }
}

static enum tn_status check_all(struct checked *checked)
{
    int64_t next = 0;
    enum tn_status st = checked->log->type->topic_find(
        checked->log, checked->sink->spec->decl.topic, &checked->topic, checked->err);
    checked->has_topic = st == TN_OK;
    TN_TRY(st);
    for (int32_t p = 0; p < PARTITIONS_KEPT; p++)
        checked->first[p] = checked->next[p] = -1;
    if (checked->topic.partitions_count > PARTITIONS_KEPT)
        checked->has_topic = false;
    TN_TRY(read_log(checked, &next));
    if (checked->count)
        qsort(checked->files, checked->count, sizeof *checked->files, by_path);
    checked->is_listed = tn_alloc_array(checked->count + 1, sizeof *checked->is_listed);
    TN_TRY(
        tn_object_list(checked->store, "", NULL, list_object, checked, TIMEOUT_MS, checked->err));
    if (checked->entries_listed != checked->entries)
        differs(checked, "the table log has a gap: entry %" PRId64 " is gone, later ones exist",
                next);
    for (uint32_t i = 0; i < checked->count; i++)
        if (!checked->files[i].is_removed)
            TN_TRY(check_file(checked, i));
    return check_topic(checked);
}

static enum tn_status check_sink(struct tn_object_stores *stores, struct tn_log *log,
                                 const struct tn_catalog_sink *sink, FILE *out,
                                 int64_t *io_differences, struct tn_err *err)
{
    struct checked checked = {.sink = sink, .log = log, .out = out, .err = err};
    enum tn_status st =
        tn_object_store_open(stores, sink->spec->location, NULL, &checked.store, err);
    if (tn_failed(st))
        return st;
    tn_arena_init(&checked.arena, 0);
    checked.first = tn_alloc_array(PARTITIONS_KEPT, sizeof *checked.first);
    checked.next = tn_alloc_array(PARTITIONS_KEPT, sizeof *checked.next);
    checked.held = tn_alloc_array(PARTITIONS_KEPT, sizeof *checked.held);
    st = check_all(&checked);
    if (st == TN_OK)
        fprintf(out, "%s: sink %s, %u files, %" PRId64 " rows, %" PRId64 " entries: %s\n",
                sink->spec->table, sink->name, checked.count, checked.rows, checked.entries,
                checked.differences ? "differs" : "agrees");
    *io_differences += checked.differences;
    tn_free(checked.first);
    tn_free(checked.next);
    tn_free(checked.held);
    tn_free(checked.files);
    tn_free(checked.is_listed);
    tn_arena_release(&checked.arena);
    tn_object_store_close(checked.store);
    return st;
}

enum tn_status tn_verify_lake(struct tn_db *db, struct tn_object_stores *stores, struct tn_log *log,
                              FILE *out, int64_t *ret_differences, struct tn_err *err)
{
    const struct tn_catalog *catalog = tn_db_catalog(db);
    const struct tn_catalog_sink *sink;
    enum tn_status st = TN_OK;
    int64_t differences = 0;
    size_t count = 0;
    for (; st == TN_OK && (sink = tn_catalog_sink_at(catalog, count)); count++)
        st = check_sink(stores, log, sink, out, &differences, err);
    tn_catalog_unref(catalog);
    if (st != TN_OK)
        return tn_failed(st) ? st : tn_err_set(err, TN_E_NAME, "a topic of a sink is gone");
    if (count)
        fprintf(out,
                differences ? "verify lake: %" PRId64 " differences\n"
                            : "verify lake: everything agrees\n",
                differences);
    *ret_differences = differences;
    return TN_OK;
}
