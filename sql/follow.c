/* Following a topic: one reader, partitions in turn, both sides decoded. Contract: sql/follow.h.
 *
 * Records that cannot be decoded are left out: the engine's queries over the stream report them.
 */
#include "sql/follow.h"

#include "sql/db_int.h"
#include "stream/base/mem.h"

#define READ_BYTES ((size_t)256 << 10)

struct tni_follow {
    struct tn_log *log;
    const struct tn_object *object;
    struct tn_topic topic;
    struct tn_log_reader *reader;
    struct tn_codec *key_codec, *value_codec;
    struct tn_schema key_schema, value_schema;
    struct tn_arena arena;
    struct tn_records *records;
    int64_t *offsets;
    int32_t partition; /* next one to read */
};

static enum tn_status codec_open(const struct tn_topic_decl *decl, bool is_key,
                                 struct tn_schema *schema, struct tn_codec **ret_codec,
                                 struct tn_err *err)
{
    uint32_t from = is_key ? 0 : decl->keys_count;
    const struct tn_format *format = is_key ? decl->key_format : decl->value_format;
    *schema = (struct tn_schema){is_key ? decl->keys_count : decl->schema->fields_count - from,
                                 decl->schema->fields + from};
    struct tn_codec_spec spec = tn_decl_spec(decl, is_key, schema);
    if (!schema->fields_count)
        return TN_OK;
    return format->open(format, &spec, ret_codec, err);
}

static enum tn_status start_offsets(struct tni_follow *follow, bool is_earliest, struct tn_err *err)
{
    follow->offsets = tn_alloc_array((size_t)follow->topic.partitions_count, sizeof(int64_t));
    for (int32_t p = 0; p < follow->topic.partitions_count; p++) {
        struct tn_offsets offsets;
        TN_TRY(follow->log->type->offsets(follow->log, &follow->topic, p, &offsets, err));
        follow->offsets[p] = is_earliest ? offsets.start : offsets.end_visible;
    }
    return TN_OK;
}

enum tn_status tni_follow_open(struct tn_db *db, const struct tn_object *object, bool is_earliest,
                               struct tn_wake *wake, struct tni_follow **ret_follow,
                               struct tn_err *err)
{
    enum tn_status st;
    const struct tn_topic_decl *decl = &object->decl;
    if (decl->window != TN_WINDOW_NONE)
        return tn_err_set(err, TN_E_UNSUPPORTED,
                          "following '%s': a stream with windowed keys is not supported",
                          object->name);
    struct tni_follow *follow = tn_alloc(sizeof *follow);
    follow->log = db->config.log;
    follow->object = object;
    tn_arena_init(&follow->arena, 0);
    TN_GOTO(follow->log->type->topic_find(follow->log, decl->topic, &follow->topic, err));
    if (st == TN_NOT_FOUND) {
        st = tn_err_set(err, TN_E_NAME, "topic '%s' of '%s' is gone", decl->topic, object->name);
        goto fail;
    }
    TN_GOTO(codec_open(decl, true, &follow->key_schema, &follow->key_codec, err));
    TN_GOTO(codec_open(decl, false, &follow->value_schema, &follow->value_codec, err));
    TN_GOTO(start_offsets(follow, is_earliest, err));
    TN_GOTO(follow->log->type->reader_open(follow->log, wake, &follow->reader, err));
    *ret_follow = follow;
    return TN_OK;
fail:
    tni_follow_close(follow);
    return st;
}

void tni_follow_close(struct tni_follow *follow)
{
    if (!follow)
        return;
    if (follow->reader)
        follow->log->type->reader_close(follow->reader);
    if (follow->key_codec)
        follow->key_codec->format->close(follow->key_codec);
    if (follow->value_codec)
        follow->value_codec->format->close(follow->value_codec);
    tn_records_unref(follow->records);
    tn_arena_release(&follow->arena);
    tn_free(follow->offsets);
    tn_free(follow);
}

/* One side of all records into columns[from…]; bad rows are marked. */
static void decode_side(struct tni_follow *follow, struct tn_codec *codec,
                        const struct tn_str *inputs, struct tn_batch *batch, uint32_t from,
                        bool *bad, uint8_t **ret_nulls)
{
    struct tn_decoded decoded;
    if (!codec)
        return;
    codec->format->decode(codec, inputs, batch->rows_count, &follow->arena, &decoded);
    uint32_t count = from ? follow->value_schema.fields_count : follow->key_schema.fields_count;
    for (uint32_t i = 0; i < count; i++)
        batch->columns[from + i] = decoded.columns[i];
    for (uint32_t i = 0; i < decoded.bad_count; i++)
        bad[decoded.bad[i].row] = true;
    *ret_nulls = decoded.null_rows;
}

/* Rows that can be decoded and that a power loss cannot take back any more. */
static struct tn_batch *decode(struct tni_follow *follow, int32_t partition, int64_t end_durable)
{
    const struct tn_records *records = follow->records;
    const struct tn_topic_decl *decl = &follow->object->decl;
    struct tn_batch *batch = tn_batch_new(decl->schema, records->count, &follow->arena);
    bool *bad = TN_ARENA_ARRAY(&follow->arena, bool, records->count + 1);
    uint8_t *key_nulls = NULL, *value_nulls = NULL;
    decode_side(follow, follow->key_codec, records->keys, batch, 0, bad, &key_nulls);
    decode_side(follow, follow->value_codec, records->values, batch, decl->keys_count, bad,
                &value_nulls);
    batch->partition = partition;
    batch->rowtime_ms = records->timestamps_ms;
    batch->offsets = records->offsets;
    batch->null_values = value_nulls;
    uint32_t *rows = TN_ARENA_ARRAY(&follow->arena, uint32_t, records->count + 1), count = 0;
    for (uint32_t i = 0; i < records->count; i++)
        if (!bad[i] && records->offsets[i] < end_durable)
            rows[count++] = i;
    return count == records->count ? batch : tn_batch_gather(batch, rows, count, &follow->arena);
}

enum tn_status tni_follow_next(struct tni_follow *follow, struct tn_batch **ret_batch,
                               struct tn_err *err)
{
    tn_arena_reset(&follow->arena);
    tn_records_unref(follow->records);
    follow->records = NULL;
    for (int32_t i = 0; i < follow->topic.partitions_count; i++) {
        int32_t p = follow->partition;
        struct tn_read read = {0};
        struct tn_offsets offsets;
        follow->partition = (p + 1) % follow->topic.partitions_count;
        TN_TRY(follow->log->type->offsets(follow->log, &follow->topic, p, &offsets, err));
        if (follow->offsets[p] >= offsets.end_durable)
            continue;
        enum tn_status st = follow->log->type->read(follow->reader, &follow->topic, p,
                                                    follow->offsets[p], READ_BYTES, &read, err);
        if (tn_failed(st))
            return st;
        if (st == TN_NOT_FOUND)
            return tn_err_set(err, TN_E_NAME, "topic '%s' is gone", follow->topic.name);
        follow->offsets[p] = read.next < offsets.end_durable ? read.next : offsets.end_durable;
        if (st == TN_AGAIN)
            continue;
        follow->records = read.records;
        *ret_batch = decode(follow, p, offsets.end_durable);
        return TN_OK;
    }
    return TN_AGAIN;
}
