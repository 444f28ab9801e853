/* Catalog records: text lines, an empty line, the statement. Contract: sql/catalog_record.h.
 * @thread any */
#include "sql/catalog_record.h"

#include <stdlib.h>

#define MAGIC "tarn-catalog "

void tni_record_encode(const struct tni_record *record, struct tn_buf *buf)
{
    tn_buf_printf(buf, MAGIC "1\ncreated_ms: %lld\nschema: %s\nstore: %u\npartitions: %d\n",
                  (long long)record->created_ms, record->schema_name, record->store_first,
                  record->partitions);
    tn_buf_printf(buf, "offset_reset: %s\nidentifiers: %s\n",
                  record->is_latest ? "latest" : "earliest", record->is_exact ? "ksql" : "tarn");
    if (record->file)
        tn_buf_printf(buf, "file: %016llx\n", (unsigned long long)record->file);
    for (uint32_t i = 0; i < record->topics_count; i++)
        tn_buf_printf(buf, "topic: %d %s\n", record->topics[i].partitions, record->topics[i].name);
    tn_buf_add_byte(buf, '\n');
    tn_buf_add_str(buf, record->statement);
}

static bool line_next(struct tn_str *rest, struct tn_str *ret_line)
{
    const char *end = memchr(rest->ptr, '\n', rest->len);
    if (!end)
        return false;
    *ret_line = (struct tn_str){rest->ptr, (size_t)(end - rest->ptr)};
    rest->len -= ret_line->len + 1;
    rest->ptr = end + 1;
    return true;
}

static void topic_apply(const char *value, struct tn_arena *arena, struct tni_record *record)
{
    char *name;
    long partitions = strtol(value, &name, 10);
    if (!record->topics)
        record->topics = TN_ARENA_ARRAY(arena, struct tni_record_topic, TNI_RECORD_TOPICS_MAX);
    if (*name != ' ' || record->topics_count == TNI_RECORD_TOPICS_MAX)
        return;
    record->topics[record->topics_count++] =
        (struct tni_record_topic){name + 1, (int32_t)partitions};
}

static void line_apply(struct tn_str line, struct tn_arena *arena, struct tni_record *record)
{
    const char *colon = memchr(line.ptr, ':', line.len);
    if (!colon || colon + 2 > line.ptr + line.len)
        return;
    struct tn_str key = {line.ptr, (size_t)(colon - line.ptr)};
    struct tn_str rest = {colon + 2, (size_t)(line.ptr + line.len - colon - 2)};
    const char *value = tn_arena_str(arena, rest).ptr;
    if (tn_str_eq(key, TN_STR("created_ms")))
        record->created_ms = strtoll(value, NULL, 10);
    else if (tn_str_eq(key, TN_STR("schema")))
        record->schema_name = value;
    else if (tn_str_eq(key, TN_STR("store")))
        record->store_first = (uint32_t)strtoul(value, NULL, 10);
    else if (tn_str_eq(key, TN_STR("partitions")))
        record->partitions = (int32_t)strtol(value, NULL, 10);
    else if (tn_str_eq(key, TN_STR("offset_reset")))
        record->is_latest = !strcmp(value, "latest");
    else if (tn_str_eq(key, TN_STR("file")))
        record->file = strtoull(value, NULL, 16);
    else if (tn_str_eq(key, TN_STR("topic")))
        topic_apply(value, arena, record);
    else if (tn_str_eq(key, TN_STR("identifiers")))
        record->is_exact = !strcmp(value, "ksql");
}

enum tn_status tni_record_decode(struct tn_str bytes, struct tn_arena *arena,
                                 struct tni_record *ret_record, struct tn_err *err)
{
    struct tn_str rest = bytes, line;
    if (!line_next(&rest, &line) || line.len < sizeof MAGIC ||
        memcmp(line.ptr, MAGIC, sizeof MAGIC - 1) != 0)
        return tn_err_set(err, TN_E_CORRUPT, "catalog record does not start with '%s'", MAGIC);
    if (line.len != sizeof MAGIC || line.ptr[sizeof MAGIC - 1] != '1')
        return tn_err_set(err, TN_E_CORRUPT,
                          "catalog record has format '%.*s', this release reads '%s1'",
                          TN_STR_FMT(line), MAGIC);
    struct tni_record record = {.schema_name = "default", .partitions = 1};
    for (;;) {
        if (!line_next(&rest, &line))
            return tn_err_set(err, TN_E_CORRUPT, "catalog record is cut off before its statement");
        if (!line.len)
            break;
        line_apply(line, arena, &record);
    }
    record.statement = tn_arena_str(arena, rest);
    *ret_record = record;
    return TN_OK;
}
