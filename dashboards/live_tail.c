/* Newest records of a stream, decoded for people. A tail remembers where it is and keeps the last
 * few rows as text; a look costs at most a few records per partition, whatever the stream's rate:
 * the rest is stepped over. Nothing beyond end_durable is shown. @thread builder
 */
#include <stdlib.h>

#include "dashboards/live_int.h"
#include "sql/writers.h"
#include "stream/base/mem.h"

#define READ_BYTES ((size_t)64 << 10)
#define ROW_BYTES  ((size_t)2 << 10) /* of one shown row; longer cells are cut */
#define CELL_BYTES 200

struct row {
    int64_t time_ms, offset;
    int32_t partition;
    char *json; /* NULL = unused */
};

struct tni_live_tail {
    const struct tn_catalog *catalog; /* keeps `object` */
    const struct tn_object *object;
    int64_t version;
    struct tn_topic topic;
    struct tn_codec *key, *value;
    struct tn_schema value_schema, key_schema;
    int64_t *next; /* per partition */
    struct tn_arena arena;
    struct row rows[TNI_LIVE_LATEST];
};

/* ---- which stream ---- */

struct find {
    const struct tn_catalog *catalog;
    const char *name;
    const struct tn_object *table, *found, *first;
};

static bool match_name(void *ctx, const struct tn_object *object)
{
    struct find *find = ctx;
    if (object->kind != TN_OBJ_STREAM)
        return true;
    if (find->name[0] && tn_str_eq_nocase(tn_str_of(object->name), tn_str_of(find->name)))
        find->found = object;
    if (!find->first)
        find->first = object;
    return !find->found;
}

static const struct tn_object *source_of(const struct tn_catalog *catalog,
                                         const struct tn_object *table)
{
    const struct tn_catalog_query *query =
        table && table->query_id ? tn_catalog_query(catalog, tn_str_of(table->query_id)) : NULL;
    for (uint32_t i = 0; query && i < query->sources_count; i++) {
        const struct tn_object *object =
            tn_catalog_find(catalog, TN_STR("default"), tn_str_of(query->sources[i]));
        if (object && object->kind == TN_OBJ_STREAM)
            return object;
    }
    return NULL;
}

const struct tn_object *tni_live_stream_find(const struct tn_catalog *catalog, const char *name,
                                             const struct tn_object *table)
{
    struct find find = {catalog, name, table, NULL, NULL};
    tn_catalog_each(catalog, match_name, &find);
    if (find.found)
        return find.found;
    const struct tn_object *source = source_of(catalog, table);
    return source ? source : find.first;
}

/* ---- life ---- */

static void codec_close(struct tn_codec *codec)
{
    if (codec)
        codec->format->close(codec);
}

static void tail_free(struct tni_live_tail *tail)
{
    if (!tail)
        return;
    codec_close(tail->key);
    codec_close(tail->value);
    for (int i = 0; i < TNI_LIVE_LATEST; i++)
        tn_free(tail->rows[i].json);
    tn_arena_release(&tail->arena);
    tn_catalog_unref(tail->catalog);
    tn_free(tail->next);
    tn_free(tail);
}

void tni_live_tails_free(struct tn_live *live)
{
    for (int i = 0; i < TNI_LIVE_TAILS_MAX; i++) {
        tail_free(live->tails[i]);
        live->tails[i] = NULL;
    }
}

static enum tn_status tail_codecs(struct tni_live_tail *tail, struct tn_err *err)
{
    const struct tn_topic_decl *decl = &tail->object->decl;
    tail->key_schema = (struct tn_schema){decl->keys_count, decl->schema->fields};
    tail->value_schema = (struct tn_schema){decl->schema->fields_count - decl->keys_count,
                                            decl->schema->fields + decl->keys_count};
    struct tn_codec_spec key = {.is_key = true,
                                .is_bare = decl->is_key_bare,
                                .delimiter = decl->key_delimiter,
                                .is_case_exact = decl->is_case_exact,
                                .is_lenient = true,
                                .schema = &tail->key_schema};
    struct tn_codec_spec value = {.is_bare = decl->is_value_bare,
                                  .delimiter = decl->value_delimiter,
                                  .is_case_exact = decl->is_case_exact,
                                  .is_lenient = true,
                                  .schema = &tail->value_schema};
    if (decl->keys_count && decl->key_format)
        TN_TRY(decl->key_format->open(decl->key_format, &key, &tail->key, err));
    if (tail->value_schema.fields_count && decl->value_format)
        TN_TRY(decl->value_format->open(decl->value_format, &value, &tail->value, err));
    return TN_OK;
}

static struct tni_live_tail *tail_new(struct tn_live *live, const struct tn_catalog *catalog,
                                      const struct tn_object *object)
{
    struct tn_log *log = live->config.log;
    struct tni_live_tail *tail = tn_alloc(sizeof *tail);
    struct tn_err err = TN_ERR_INIT;
    tn_arena_init(&tail->arena, 0);
    tail->catalog = tn_catalog_ref(catalog);
    tail->object = object;
    tail->version = tn_catalog_version(catalog);
    if (log->type->topic_find(log, object->decl.topic, &tail->topic, &err) != TN_OK ||
        tn_failed(tail_codecs(tail, &err))) {
        tail_free(tail);
        return NULL;
    }
    tail->next = tn_alloc_array((size_t)tail->topic.partitions_count, sizeof *tail->next);
    return tail;
}

/* The tail of `object`, made anew when the catalog has changed. */
static struct tni_live_tail *tail_get(struct tn_live *live, const struct tn_catalog *catalog,
                                      const struct tn_object *object)
{
    int64_t version = tn_catalog_version(catalog);
    for (int i = 0; i < TNI_LIVE_TAILS_MAX; i++) {
        struct tni_live_tail *tail = live->tails[i];
        if (!tail || strcmp(tail->object->name, object->name) != 0)
            continue;
        if (tail->version == version)
            return tail;
        tail_free(tail);
        return live->tails[i] = tail_new(live, catalog, object);
    }
    uint32_t at = live->tails_next++ % TNI_LIVE_TAILS_MAX;
    tail_free(live->tails[at]);
    return live->tails[at] = tail_new(live, catalog, object);
}

/* ---- rows ---- */

static void print_cell(struct tn_buf *buf, const struct tn_column *col, uint32_t row)
{
    struct tn_buf text;
    tn_buf_init(&text, 1 << 20);
    if (col->is_absent || tn_column_is_null(col, row))
        tn_buf_add_text(&text, "null");
    else
        tn_cell_text(&text, col, row);
    if (text.len > CELL_BYTES) {
        text.len = CELL_BYTES;
        while (text.len && (text.ptr[text.len] & 0xc0) == 0x80)
            text.len--;
        tn_buf_add_text(&text, "…");
    }
    tn_buf_add_json(buf, tn_buf_str(&text));
    tn_buf_release(&text);
}

static void decode(struct tn_codec *codec, const struct tn_str *input, struct tn_arena *arena,
                   struct tn_decoded *ret_decoded)
{
    *ret_decoded = (struct tn_decoded){0};
    if (codec)
        codec->format->decode(codec, input, 1, arena, ret_decoded);
}

static char *print_row(struct tni_live_tail *tail, const struct tn_records *records, uint32_t i,
                       int32_t partition)
{
    struct tn_decoded key, value;
    struct tn_buf buf;
    size_t len;
    tn_arena_reset(&tail->arena);
    decode(tail->key, &records->keys[i], &tail->arena, &key);
    decode(tail->value, &records->values[i], &tail->arena, &value);
    tn_buf_init(&buf, (size_t)64 << 10);
    tn_buf_printf(&buf, "{\"time\":%lld,\"partition\":%d,\"offset\":%lld,\"key\":",
                  (long long)records->timestamps_ms[i], partition, (long long)records->offsets[i]);
    if (key.columns)
        print_cell(&buf, &key.columns[0], 0);
    else
        tn_buf_add_text(&buf, "\"\"");
    tn_buf_add_text(&buf, ",\"cells\":[");
    for (uint32_t c = 0; key.columns && c < tail->key_schema.fields_count; c++) {
        if (c)
            tn_buf_add_byte(&buf, ',');
        print_cell(&buf, &key.columns[c], 0);
    }
    for (uint32_t c = 0; value.columns && c < tail->value_schema.fields_count; c++) {
        if (c || key.columns)
            tn_buf_add_byte(&buf, ',');
        print_cell(&buf, &value.columns[c], 0);
    }
    tn_buf_add_text(&buf, "]}");
    (void)tn_buf_cstr(&buf);
    return tn_buf_detach(&buf, &len);
}

static bool is_newer(const struct row *a, const struct row *b)
{
    if (a->time_ms != b->time_ms)
        return a->time_ms > b->time_ms;
    return a->partition == b->partition ? a->offset > b->offset : a->partition < b->partition;
}

/* Rows stay sorted, newest first; the oldest falls off. */
static void add_row(struct tni_live_tail *tail, const struct tn_records *records, uint32_t i,
                    int32_t partition)
{
    struct row row = {records->timestamps_ms[i], records->offsets[i], partition, NULL};
    struct row *oldest = &tail->rows[TNI_LIVE_LATEST - 1];
    if (oldest->json && !is_newer(&row, oldest))
        return;
    row.json = print_row(tail, records, i, partition);
    tn_free(oldest->json);
    int at = TNI_LIVE_LATEST - 1;
    while (at > 0 && (!tail->rows[at - 1].json || is_newer(&row, &tail->rows[at - 1]))) {
        tail->rows[at] = tail->rows[at - 1];
        at--;
    }
    tail->rows[at] = row;
}

static void look(struct tn_live *live, struct tni_live_tail *tail, int32_t partition)
{
    struct tn_log *log = live->config.log;
    struct tn_offsets offsets;
    struct tn_err err = TN_ERR_INIT;
    if (log->type->offsets(log, &tail->topic, partition, &offsets, &err) != TN_OK)
        return;
    int64_t from = offsets.end_durable - TNI_LIVE_LATEST;
    from = from > tail->next[partition] ? from : tail->next[partition];
    from = from > offsets.start ? from : offsets.start;
    while (from < offsets.end_durable) {
        struct tn_read read = {.next = from};
        enum tn_status st = log->type->read(live->log_reader, &tail->topic, partition, from,
                                            READ_BYTES, &read, &err);
        for (uint32_t i = 0; st == TN_OK && read.records && i < read.records->count; i++)
            if (read.records->offsets[i] >= from && read.records->offsets[i] < offsets.end_durable)
                add_row(tail, read.records, i, partition);
        tn_records_unref(read.records);
        if ((st != TN_OK && st != TN_AGAIN) || read.next <= from)
            break;
        from = read.next;
    }
    tail->next[partition] = from < offsets.end_durable ? from : offsets.end_durable;
}

void tni_live_latest(struct tn_live *live, const struct tn_catalog *catalog,
                     const struct tn_object *object, struct tn_buf *buf)
{
    struct tni_live_tail *tail = object ? tail_get(live, catalog, object) : NULL;
    bool is_first = true;
    if (!tail) {
        tn_buf_add_text(buf, "null");
        return;
    }
    for (int32_t p = 0; p < tail->topic.partitions_count; p++)
        look(live, tail, p);
    tn_buf_add_text(buf, "{\"stream\":");
    tn_buf_add_json(buf, tn_str_of(object->name));
    tn_buf_add_text(buf, ",\"columns\":[");
    for (uint32_t i = 0; i < object->decl.schema->fields_count; i++) {
        if (i)
            tn_buf_add_byte(buf, ',');
        tn_buf_add_json(buf, object->decl.schema->fields[i].name);
    }
    tn_buf_add_text(buf, "],\"rows\":[");
    for (int i = 0; i < TNI_LIVE_LATEST && tail->rows[i].json; i++) {
        if (!is_first)
            tn_buf_add_byte(buf, ',');
        is_first = false;
        tn_buf_add_text(buf, tail->rows[i].json);
    }
    tn_buf_add_text(buf, "]}");
}
