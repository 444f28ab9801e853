/* Printing, parsing, appending and reading the entries of a table's log. Parsing is lenient towards
 * what later versions may add and strict towards what this one relies on. */
#include "connectors/table_log.h"
#include "connectors/json_scan.h"
#include "stream/base/dtoa.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define JSON_DEPTH 16

/* ---- printing ---- */

static void print_value(const struct tn_table_value *value, struct tn_buf *buf)
{
    switch (value->kind) {
    case TN_TABLE_BOOL: tn_buf_add_text(buf, value->boolean ? "true" : "false"); break;
    case TN_TABLE_INT: tn_buf_add_i64(buf, value->integer); break;
    case TN_TABLE_DOUBLE: tn_double_print(value->number, buf); break;
    case TN_TABLE_TEXT: tn_buf_add_json(buf, value->text); break;
    case TN_TABLE_NONE: tn_buf_add_text(buf, "null"); break;
    }
}

static void print_text(struct tn_buf *buf, const char *name, struct tn_str text)
{
    tn_buf_printf(buf, "\"%s\":", name);
    tn_buf_add_json(buf, text);
}

static void print_bounds(const struct tn_table_file *file, bool is_max, struct tn_buf *buf)
{
    bool is_first = true;
    tn_buf_add_text(buf, is_max ? "\"max\":{" : "\"min\":{");
    for (uint32_t i = 0; i < file->stats_count; i++) {
        const struct tn_table_value *value = is_max ? &file->stats[i].max : &file->stats[i].min;
        if (value->kind == TN_TABLE_NONE)
            continue;
        if (!is_first)
            tn_buf_add_byte(buf, ',');
        is_first = false;
        tn_buf_add_json(buf, file->stats[i].column);
        tn_buf_add_byte(buf, ':');
        print_value(value, buf);
    }
    tn_buf_add_text(buf, "},");
}

static void print_stats(const struct tn_table_file *file, struct tn_buf *buf)
{
    bool is_first = true;
    tn_buf_add_text(buf, ",\"stats\":{");
    print_bounds(file, false, buf);
    print_bounds(file, true, buf);
    tn_buf_add_text(buf, "\"nulls\":{");
    for (uint32_t i = 0; i < file->stats_count; i++) {
        if (file->stats[i].nulls < 0)
            continue;
        if (!is_first)
            tn_buf_add_byte(buf, ',');
        is_first = false;
        tn_buf_add_json(buf, file->stats[i].column);
        tn_buf_printf(buf, ":%" PRId64, file->stats[i].nulls);
    }
    tn_buf_add_text(buf, "}}");
}

static void print_file(const struct tn_table_file *file, struct tn_buf *buf)
{
    if (file->is_removed) {
        tn_buf_add_text(buf, "{\"remove\":{");
        print_text(buf, "path", file->path);
        tn_buf_printf(buf, ",\"timestamp\":%" PRId64 "}}\n", file->modified_ms);
        return;
    }
    tn_buf_printf(buf, "{\"%s\":{", file->is_errors ? "errors" : "add");
    print_text(buf, "path", file->path);
    tn_buf_add_text(buf, ",\"partitionValues\":{");
    for (uint32_t i = 0; i < file->parts_count; i++) {
        if (i)
            tn_buf_add_byte(buf, ',');
        tn_buf_add_json(buf, file->parts[i].column);
        tn_buf_add_byte(buf, ':');
        if (file->parts[i].value.ptr)
            tn_buf_add_json(buf, file->parts[i].value);
        else
            tn_buf_add_text(buf, "null");
    }
    tn_buf_printf(buf,
                  "},\"size\":%" PRId64 ",\"rows\":%" PRId64
                  ",\"crc32\":\"%08x\",\"modificationTime\":%" PRId64 ",",
                  file->bytes, file->rows, file->crc32, file->modified_ms);
    print_text(buf, "source", file->source);
    tn_buf_printf(buf, ",\"partition\":%d,\"first\":%" PRId64 ",\"next\":%" PRId64, file->partition,
                  file->first, file->next);
    if (file->stats_count)
        print_stats(file, buf);
    tn_buf_add_text(buf, "}}\n");
}

static void print_names(struct tn_buf *buf, const char *name, const struct tn_str *names,
                        uint32_t count)
{
    tn_buf_printf(buf, ",\"%s\":[", name);
    for (uint32_t i = 0; i < count; i++) {
        if (i)
            tn_buf_add_byte(buf, ',');
        tn_buf_add_json(buf, names[i]);
    }
    tn_buf_add_byte(buf, ']');
}

static void print_meta(const struct tn_table_meta *meta, struct tn_buf *buf)
{
    tn_buf_add_text(buf, "{\"meta\":{");
    print_text(buf, "format", meta->format);
    tn_buf_add_byte(buf, ',');
    print_text(buf, "compression", meta->compression);
    tn_buf_add_byte(buf, ',');
    print_text(buf, "layout", meta->layout);
    tn_buf_add_text(buf, ",\"columns\":[");
    for (uint32_t i = 0; i < meta->columns_count; i++) {
        tn_buf_add_text(buf, i ? ",{" : "{");
        print_text(buf, "name", meta->columns[i].name);
        tn_buf_add_byte(buf, ',');
        print_text(buf, "type", meta->columns[i].type);
        tn_buf_add_byte(buf, '}');
    }
    tn_buf_add_byte(buf, ']');
    print_names(buf, "keyColumns", meta->keys, meta->keys_count);
    print_names(buf, "partitionColumns", meta->partitions, meta->partitions_count);
    tn_buf_add_text(buf, "}}\n");
}

static void print_hex(const uint8_t *bytes, size_t count, struct tn_buf *buf)
{
    for (size_t i = 0; i < count; i++)
        tn_buf_printf(buf, "%02x", bytes[i]);
}

void tn_table_entry_print(const struct tn_table_entry *entry, struct tn_buf *buf)
{
    tn_buf_add_text(buf, "{\"commit\":{");
    print_text(buf, "id", entry->commit_id);
    tn_buf_printf(buf, ",\"timestamp\":%" PRId64 ",", entry->timestamp_ms);
    print_text(buf, "operation", entry->operation);
    tn_buf_add_byte(buf, ',');
    print_text(buf, "sink", entry->sink);
    tn_buf_printf(buf, ",\"epoch\":%" PRId64 "}}\n", entry->epoch);
    if (entry->meta)
        print_meta(entry->meta, buf);
    for (uint32_t i = 0; i < entry->ranges_count; i++) {
        const struct tn_table_range *range = &entry->ranges[i];
        tn_buf_add_text(buf, "{\"range\":{");
        print_text(buf, "source", range->source);
        tn_buf_add_text(buf, ",\"logId\":\"");
        print_hex(range->log_id, sizeof range->log_id, buf);
        tn_buf_printf(buf, "\",\"partition\":%d,\"first\":%" PRId64 ",\"next\":%" PRId64 "}}\n",
                      range->partition, range->first, range->next);
    }
    for (uint32_t i = 0; i < entry->notices_count; i++) {
        tn_buf_add_text(buf, "{\"notice\":{");
        print_text(buf, "topic", entry->notices[i].topic);
        tn_buf_printf(buf, ",\"partition\":%d,\"from\":%" PRId64 "}}\n",
                      entry->notices[i].partition, entry->notices[i].offset);
    }
    for (uint32_t i = 0; i < entry->files_count; i++)
        print_file(&entry->files[i], buf);
}

/* ---- parsing ---- */

struct reader {
    struct tn_json json;
    struct tn_arena *arena;
    struct tn_table_entry *entry;
    uint32_t notices_cap, ranges_cap, files_cap;
    bool has_commit;
};

static bool refuse(struct reader *reader, const char *reason)
{
    return tn_json_fail(&reader->json, reader->json.p, reason);
}

static struct tn_str unescaped(struct reader *reader, struct tn_str raw, unsigned flags)
{
    if (!(flags & TN_JSON_ESCAPED))
        return tn_arena_str(reader->arena, raw);
    char *to = tn_arena_alloc(reader->arena, raw.len + 1);
    return (struct tn_str){to, tn_json_unescape(raw, to)};
}

static bool read_text(struct reader *reader, struct tn_str *ret_text)
{
    struct tn_str raw;
    unsigned flags;
    if (*reader->json.p != '"')
        return refuse(reader, "expected a text");
    if (!tn_json_string(&reader->json, &raw, &flags))
        return false;
    *ret_text = unescaped(reader, raw, flags);
    return true;
}

static bool read_i64(struct reader *reader, int64_t *ret_value)
{
    struct tn_str raw;
    bool is_integer;
    char text[24], *end;
    if (*reader->json.p != '-' && !tn_json_is_digit(*reader->json.p))
        return refuse(reader, "expected a number");
    if (!tn_json_number(&reader->json, &raw, &is_integer))
        return false;
    if (!is_integer || raw.len >= sizeof text)
        return refuse(reader, "expected a 64-bit integer");
    memcpy(text, raw.ptr, raw.len);
    text[raw.len] = 0;
    *ret_value = strtoll(text, &end, 10);
    return true;
}

static bool read_number(struct reader *reader, struct tn_table_value *value)
{
    struct tn_str raw;
    bool is_integer;
    char text[64], *end;
    if (!tn_json_number(&reader->json, &raw, &is_integer))
        return false;
    if (raw.len >= sizeof text)
        return refuse(reader, "number too long");
    memcpy(text, raw.ptr, raw.len);
    text[raw.len] = 0;
    value->kind = is_integer ? TN_TABLE_INT : TN_TABLE_DOUBLE;
    value->integer = is_integer ? strtoll(text, &end, 10) : 0;
    value->number = strtod(text, &end);
    return true;
}

static bool read_value(struct reader *reader, struct tn_table_value *value)
{
    char c = *reader->json.p;
    *value = (struct tn_table_value){0};
    if (c == '"') {
        value->kind = TN_TABLE_TEXT;
        return read_text(reader, &value->text);
    }
    if (c == '-' || tn_json_is_digit(c))
        return read_number(reader, value);
    if (c == 't' || c == 'f') {
        value->kind = TN_TABLE_BOOL;
        value->boolean = c == 't';
    }
    return tn_json_skip(&reader->json);
}

/* Walks the object at p; `each` reads the value of a member or returns false. */
static bool read_object(struct reader *reader,
                        bool (*each)(struct reader *reader, struct tn_str name, void *to), void *to)
{
    struct tn_str raw;
    unsigned flags;
    bool is_done;
    if (*reader->json.p != '{')
        return refuse(reader, "expected an object");
    reader->json.p++;
    for (bool is_first = true;; is_first = false) {
        if (!tn_json_member(&reader->json, is_first, &is_done, &raw, &flags))
            return false;
        if (is_done)
            return true;
        if (!each(reader, unescaped(reader, raw, flags), to))
            return false;
    }
}

#define IS(literal) tn_str_eq(name, TN_STR(literal))

/* Room for one more item of an arena array. */
static void *grow(struct reader *reader, void *items, uint32_t *cap, uint32_t count, size_t size)
{
    if (count < *cap)
        return items;
    *cap = *cap ? *cap * 2 : 8;
    char *grown = tn_arena_zalloc(reader->arena, *cap, size);
    if (items)
        memcpy(grown, items, count * size);
    return grown;
}

struct parts {
    struct tn_table_file *file;
    uint32_t cap;
};

static bool read_part(struct reader *reader, struct tn_str name, void *to)
{
    struct parts *parts = to;
    struct tn_table_file *file = parts->file;
    file->parts = grow(reader, file->parts, &parts->cap, file->parts_count, sizeof *file->parts);
    struct tn_table_part *part = &file->parts[file->parts_count++];
    part->column = name;
    if (*reader->json.p == 'n')
        return tn_json_skip(&reader->json);
    return read_text(reader, &part->value);
}

struct bounds {
    struct tn_table_file *file;
    uint32_t *cap;
    char kind; /* 'm'in, ma'x', 'n'ulls */
};

static bool read_bound(struct reader *reader, struct tn_str name, void *to)
{
    struct bounds *bounds = to;
    struct tn_table_file *file = bounds->file;
    struct tn_table_stat *stat = NULL;
    for (uint32_t i = 0; i < file->stats_count && !stat; i++)
        if (tn_str_eq(file->stats[i].column, name))
            stat = &file->stats[i];
    if (!stat) {
        file->stats =
            grow(reader, file->stats, bounds->cap, file->stats_count, sizeof *file->stats);
        stat = &file->stats[file->stats_count++];
        *stat = (struct tn_table_stat){.column = name, .nulls = -1};
    }
    if (bounds->kind == 'n')
        return read_i64(reader, &stat->nulls);
    return read_value(reader, bounds->kind == 'm' ? &stat->min : &stat->max);
}

static bool read_stats(struct reader *reader, struct tn_str name, void *to)
{
    struct parts *parts = to; /* cap of the stats */
    struct bounds bounds = {parts->file, &parts->cap, 'm'};
    if (IS("max"))
        bounds.kind = 'x';
    else if (IS("nulls"))
        bounds.kind = 'n';
    else if (!IS("min"))
        return tn_json_skip(&reader->json);
    return read_object(reader, read_bound, &bounds);
}

static bool read_hex(struct reader *reader, uint8_t *bytes, size_t count)
{
    struct tn_str text;
    if (!read_text(reader, &text))
        return false;
    if (text.len != count * 2)
        return refuse(reader, "wrong number of hexadecimal digits");
    for (size_t i = 0; i < count; i++) {
        char pair[3] = {text.ptr[2 * i], text.ptr[2 * i + 1], 0}, *end;
        bytes[i] = (uint8_t)strtoul(pair, &end, 16);
        if (end != pair + 2)
            return refuse(reader, "expected hexadecimal digits");
    }
    return true;
}

static bool read_partition(struct reader *reader, int32_t *ret_partition)
{
    int64_t value;
    if (!read_i64(reader, &value))
        return false;
    if (value < 0 || value > INT32_MAX)
        return refuse(reader, "partition out of range");
    *ret_partition = (int32_t)value;
    return true;
}

static bool read_crc(struct reader *reader, uint32_t *ret_crc)
{
    uint8_t bytes[4];
    if (!read_hex(reader, bytes, sizeof bytes))
        return false;
    *ret_crc = tn_be32(bytes);
    return true;
}

static bool read_file(struct reader *reader, struct tn_str name, void *to)
{
    struct tn_table_file *file = to;
    struct parts parts = {.file = file};
    if (IS("path"))
        return read_text(reader, &file->path);
    if (IS("size"))
        return read_i64(reader, &file->bytes);
    if (IS("rows"))
        return read_i64(reader, &file->rows);
    if (IS("crc32"))
        return read_crc(reader, &file->crc32);
    if (IS("modificationTime") || IS("timestamp"))
        return read_i64(reader, &file->modified_ms);
    if (IS("source"))
        return read_text(reader, &file->source);
    if (IS("partition"))
        return read_partition(reader, &file->partition);
    if (IS("first"))
        return read_i64(reader, &file->first);
    if (IS("next"))
        return read_i64(reader, &file->next);
    if (IS("partitionValues"))
        return read_object(reader, read_part, &parts);
    if (IS("stats"))
        return read_object(reader, read_stats, &parts);
    return tn_json_skip(&reader->json);
}

static bool read_range(struct reader *reader, struct tn_str name, void *to)
{
    struct tn_table_range *range = to;
    if (IS("source"))
        return read_text(reader, &range->source);
    if (IS("logId"))
        return read_hex(reader, range->log_id, sizeof range->log_id);
    if (IS("partition"))
        return read_partition(reader, &range->partition);
    if (IS("first"))
        return read_i64(reader, &range->first);
    if (IS("next"))
        return read_i64(reader, &range->next);
    return tn_json_skip(&reader->json);
}

static bool read_column(struct reader *reader, struct tn_str name, void *to)
{
    struct tn_table_column *column = to;
    if (IS("name"))
        return read_text(reader, &column->name);
    if (IS("type"))
        return read_text(reader, &column->type);
    return tn_json_skip(&reader->json);
}

/* Array of texts or of columns at p. */
static bool read_list(struct reader *reader, void **ret_items, uint32_t *ret_count, size_t size)
{
    uint32_t cap = 0;
    bool is_done;
    if (*reader->json.p != '[')
        return refuse(reader, "expected an array");
    reader->json.p++;
    for (bool is_first = true;; is_first = false) {
        if (!tn_json_element(&reader->json, is_first, &is_done))
            return false;
        if (is_done)
            return true;
        *ret_items = grow(reader, *ret_items, &cap, *ret_count, size);
        char *item = (char *)*ret_items + *ret_count * size;
        ++*ret_count;
        if (size == sizeof(struct tn_str) ? !read_text(reader, (struct tn_str *)(void *)item)
                                          : !read_object(reader, read_column, item))
            return false;
    }
}

static bool read_meta(struct reader *reader, struct tn_str name, void *to)
{
    struct tn_table_meta *meta = to;
    void *items = NULL;
    bool is_ok;
    if (IS("format"))
        return read_text(reader, &meta->format);
    if (IS("compression"))
        return read_text(reader, &meta->compression);
    if (IS("layout"))
        return read_text(reader, &meta->layout);
    if (IS("columns")) {
        is_ok = read_list(reader, &items, &meta->columns_count, sizeof *meta->columns);
        meta->columns = items;
        return is_ok;
    }
    if (IS("keyColumns")) {
        is_ok = read_list(reader, &items, &meta->keys_count, sizeof *meta->keys);
        meta->keys = items;
        return is_ok;
    }
    if (IS("partitionColumns")) {
        is_ok = read_list(reader, &items, &meta->partitions_count, sizeof *meta->partitions);
        meta->partitions = items;
        return is_ok;
    }
    return tn_json_skip(&reader->json);
}

static bool read_notice(struct reader *reader, struct tn_str name, void *to)
{
    struct tn_table_notice *notice = to;
    int64_t partition = 0;
    if (IS("topic"))
        return read_text(reader, &notice->topic);
    if (IS("from"))
        return read_i64(reader, &notice->offset) &&
               (notice->offset >= 0 ? true : refuse(reader, "notice from a negative offset"));
    if (!IS("partition"))
        return tn_json_skip(&reader->json);
    if (!read_i64(reader, &partition))
        return false;
    if (partition < 0 || partition > INT32_MAX)
        return refuse(reader, "notice of no partition");
    notice->partition = (int32_t)partition;
    return true;
}

static bool read_commit(struct reader *reader, struct tn_str name, void *to)
{
    struct tn_table_entry *entry = to;
    if (IS("id"))
        return read_text(reader, &entry->commit_id);
    if (IS("timestamp"))
        return read_i64(reader, &entry->timestamp_ms);
    if (IS("operation"))
        return read_text(reader, &entry->operation);
    if (IS("sink"))
        return read_text(reader, &entry->sink);
    if (IS("epoch"))
        return read_i64(reader, &entry->epoch);
    return tn_json_skip(&reader->json);
}

static bool read_action(struct reader *reader, struct tn_str name, void *to)
{
    struct tn_table_entry *entry = to;
    if (IS("commit")) {
        reader->has_commit = true;
        return read_object(reader, read_commit, entry);
    }
    if (IS("meta")) {
        struct tn_table_meta *meta = TN_ARENA_NEW(reader->arena, struct tn_table_meta);
        entry->meta = meta;
        return read_object(reader, read_meta, meta);
    }
    if (IS("range")) {
        entry->ranges = grow(reader, entry->ranges, &reader->ranges_cap, entry->ranges_count,
                             sizeof *entry->ranges);
        struct tn_table_range *range = &entry->ranges[entry->ranges_count++];
        return read_object(reader, read_range, range) &&
               (range->source.len ? true : refuse(reader, "range without source"));
    }
    if (IS("notice")) {
        entry->notices = grow(reader, entry->notices, &reader->notices_cap, entry->notices_count,
                              sizeof *entry->notices);
        return read_object(reader, read_notice, &entry->notices[entry->notices_count++]);
    }
    if (IS("add") || IS("remove") || IS("errors")) {
        entry->files = grow(reader, entry->files, &reader->files_cap, entry->files_count,
                            sizeof *entry->files);
        struct tn_table_file *file = &entry->files[entry->files_count++];
        file->is_errors = IS("errors");
        file->is_removed = IS("remove");
        return read_object(reader, read_file, file) &&
               (file->path.len ? true : refuse(reader, "file without path"));
    }
    return tn_json_skip(&reader->json);
}

enum tn_status tn_table_entry_parse(struct tn_str text, int64_t version, struct tn_arena *arena,
                                    struct tn_table_entry *ret_entry, struct tn_err *err)
{
    struct tn_table_entry entry = {.version = version};
    struct reader reader = {.arena = arena, .entry = &entry};
    reader.json =
        (struct tn_json){.p = text.ptr, .end = text.ptr + text.len, .depth_max = JSON_DEPTH};
    for (int line = 1;; line++) {
        tn_json_space(&reader.json);
        if (reader.json.p == reader.json.end)
            break;
        if (!read_object(&reader, read_action, &entry))
            return tn_err_set(err, TN_E_CORRUPT, "table log entry %" PRId64 ", line %d: %s",
                              version, line, reader.json.reason);
    }
    if (!reader.has_commit)
        return tn_err_set(err, TN_E_CORRUPT, "table log entry %" PRId64 " has no commit", version);
    *ret_entry = entry;
    return TN_OK;
}

/* ---- the store ---- */

void tn_table_log_key(struct tn_str root, int64_t version, char ret_key[TN_OBJECT_KEY_MAX + 1])
{
    snprintf(ret_key, TN_OBJECT_KEY_MAX + 1, "%.*s%s" TN_TABLE_LOG_FOLDER "/%020" PRId64 ".commit",
             TN_STR_FMT(root), root.len ? "/" : "", version);
}

enum tn_status tn_table_log_append(struct tn_object_store *store, struct tn_str root,
                                   const struct tn_table_entry *entry, int64_t deadline_ms,
                                   struct tn_err *err)
{
    char key[TN_OBJECT_KEY_MAX + 1];
    struct tn_buf buf;
    tn_buf_init(&buf, TN_TABLE_ENTRY_BYTES_MAX);
    tn_table_entry_print(entry, &buf);
    tn_table_log_key(root, entry->version, key);
    enum tn_status st;
    if (tn_buf_over(&buf))
        st = tn_err_set(err, TN_E_LIMIT, "table log entry %" PRId64 " is larger than %zu bytes",
                        entry->version, TN_TABLE_ENTRY_BYTES_MAX);
    else
        st = tn_object_put(store, key, tn_buf_str(&buf), true, deadline_ms, err);
    tn_buf_release(&buf);
    return st;
}

enum tn_status tn_table_log_get(struct tn_object_store *store, struct tn_str root, int64_t version,
                                struct tn_arena *arena, struct tn_table_entry *ret_entry,
                                int64_t deadline_ms, struct tn_err *err)
{
    char key[TN_OBJECT_KEY_MAX + 1];
    struct tn_buf buf;
    tn_buf_init(&buf, TN_TABLE_ENTRY_BYTES_MAX);
    tn_table_log_key(root, version, key);
    enum tn_status st = tn_object_get(store, key, 0, -1, &buf, deadline_ms, err);
    if (st == TN_OK && tn_buf_over(&buf))
        st = tn_err_set(err, TN_E_CORRUPT, "table log entry %" PRId64 " is larger than %zu bytes",
                        version, TN_TABLE_ENTRY_BYTES_MAX);
    if (st == TN_OK)
        st = tn_table_entry_parse(tn_buf_str(&buf), version, arena, ret_entry, err);
    tn_buf_release(&buf);
    return st;
}
