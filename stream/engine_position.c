/* Positions: what a round commits beside its records, so that a restart goes on at the right
 * record.
 *
 * Key: application id NUL query id NUL topic NUL partition (4 bytes big-endian). The query id is
 * empty for dead letter marks. Value, big-endian:
 *
 *   u8 version = 2 | log id 16 | offset i64 | stream time i64 | n u8 |
 *   n × (store id u32 | stream time i64 | closed i64 | changelog base i64 | changelog's log id 16)
 *
 * offset: next to consume (marks: letters below are written). n = stores of the task; times are
 * INT64_MIN where a store has no windows. changelog base: records of the changelog below belong to
 * an earlier life of the query. Layout is stored: a change needs a new version. @thread any
 */
#include "stream/engine_int.h"

#include "stream/base/mem.h"

#define VERSION   2 /* 1 had no log id of the changelogs; it is still read */
#define FIXED_LEN (1 + 16 + 8 + 8 + 1)
#define STORE_LEN (4 + 3 * 8 + 16)

void tni_position_key(const struct tn_engine *engine, const char *query_id, const char *topic,
                      int32_t partition, struct tn_buf *buf)
{
    tn_buf_reset(buf);
    tn_buf_add(buf, engine->application_id, strlen(engine->application_id) + 1);
    tn_buf_add(buf, query_id, strlen(query_id) + 1);
    tn_buf_add(buf, topic, strlen(topic) + 1);
    tn_buf_add_be32(buf, (uint32_t)partition);
}

void tni_position_value(const struct tni_position *position, struct tn_buf *buf)
{
    tn_buf_reset(buf);
    tn_buf_add_byte(buf, VERSION);
    tn_buf_add(buf, position->log_id, sizeof position->log_id);
    tn_buf_add_be64(buf, (uint64_t)position->offset);
    tn_buf_add_be64(buf, (uint64_t)position->stream_time_ms);
    tn_buf_add_byte(buf, (char)position->stores_count);
    for (uint32_t i = 0; i < position->stores_count; i++) {
        const struct tni_position_store *store = &position->stores[i];
        tn_buf_add_be32(buf, store->id);
        tn_buf_add_be64(buf, (uint64_t)store->stream_time_ms);
        tn_buf_add_be64(buf, (uint64_t)store->closed_ms);
        tn_buf_add_be64(buf, (uint64_t)store->changelog_base);
        tn_buf_add(buf, store->changelog_id, sizeof store->changelog_id);
    }
}

static enum tn_status read_value(struct tn_str value, struct tni_position *ret_position,
                                 struct tn_err *err)
{
    bool is_old = value.len && value.ptr[0] == 1;
    size_t store_len = is_old ? STORE_LEN - 16 : STORE_LEN;
    if (value.len < FIXED_LEN || (value.ptr[0] != VERSION && !is_old))
        return tn_err_set(err, TN_E_CORRUPT, "a position record has version %d, expected %d",
                          value.len ? value.ptr[0] : -1, VERSION);
    const char *p = value.ptr + 1;
    memcpy(ret_position->log_id, p, 16);
    ret_position->offset = (int64_t)tn_be64(p + 16);
    ret_position->stream_time_ms = (int64_t)tn_be64(p + 24);
    ret_position->stores_count = (unsigned char)p[32];
    p += 33;
    if (ret_position->stores_count > TNI_TASK_STORES_MAX ||
        value.len != FIXED_LEN + (size_t)ret_position->stores_count * store_len)
        return tn_err_set(err, TN_E_CORRUPT, "a position record is %zu bytes long", value.len);
    for (uint32_t i = 0; i < ret_position->stores_count; i++, p += store_len) {
        ret_position->stores[i] =
            (struct tni_position_store){.id = tn_be32(p),
                                        .stream_time_ms = (int64_t)tn_be64(p + 4),
                                        .closed_ms = (int64_t)tn_be64(p + 12),
                                        .changelog_base = (int64_t)tn_be64(p + 20)};
        if (!is_old)
            memcpy(ret_position->stores[i].changelog_id, p + 28, 16);
    }
    return TN_OK;
}

/* ---- all of a query ---- */

struct item {
    char topic[TN_TOPIC_NAME_MAX + 1];
    int32_t partition;
    struct tni_position position;
};

struct tni_positions {
    struct item **items;
    uint32_t count, cap;
    size_t prefix_len;
};

void tni_positions_free(struct tni_positions *positions)
{
    if (!positions)
        return;
    for (uint32_t i = 0; i < positions->count; i++)
        tn_free(positions->items[i]);
    tn_free(positions->items);
    tn_free(positions);
}

static enum tn_status take(void *ctx, struct tn_str key, struct tn_str value, struct tn_err *err)
{
    struct tni_positions *positions = ctx;
    struct tn_str rest = {key.ptr + positions->prefix_len, key.len - positions->prefix_len};
    const char *nul = rest.len ? memchr(rest.ptr, 0, rest.len) : NULL;
    size_t topic_len = nul ? (size_t)(nul - rest.ptr) : 0;
    if (!nul || rest.len != topic_len + 5 || topic_len > TN_TOPIC_NAME_MAX)
        return tn_err_set(err, TN_E_CORRUPT, "a position key of %zu bytes is damaged", key.len);
    struct item *item = tn_alloc(sizeof *item);
    memcpy(item->topic, rest.ptr, topic_len);
    item->partition = (int32_t)tn_be32(nul + 1);
    if (positions->count == positions->cap) {
        positions->cap = positions->cap ? positions->cap * 2 : 16;
        positions->items = tn_realloc(positions->items, positions->cap * sizeof(void *));
    }
    positions->items[positions->count++] = item;
    return read_value(value, &item->position, err);
}

enum tn_status tni_positions_load(struct tn_engine *engine, const char *query_id,
                                  struct tni_positions **ret_positions, struct tn_err *err)
{
    struct tni_positions *positions = tn_alloc(sizeof *positions);
    struct tn_buf prefix;
    tn_buf_init(&prefix, 4096);
    tn_buf_add(&prefix, engine->application_id, strlen(engine->application_id) + 1);
    tn_buf_add(&prefix, query_id, strlen(query_id) + 1);
    positions->prefix_len = prefix.len;
    enum tn_status st =
        engine->log->type->positions(engine->log, tn_buf_str(&prefix), take, positions, err);
    tn_buf_release(&prefix);
    if (tn_failed(st)) {
        tni_positions_free(positions);
        return st;
    }
    *ret_positions = positions;
    return TN_OK;
}

const struct tni_position *tni_positions_find(const struct tni_positions *positions,
                                              const char *topic, int32_t partition)
{
    for (uint32_t i = 0; i < positions->count; i++)
        if (positions->items[i]->partition == partition &&
            strcmp(positions->items[i]->topic, topic) == 0)
            return &positions->items[i]->position;
    return NULL;
}

uint32_t tni_positions_count(const struct tni_positions *positions)
{
    return positions->count;
}

void tni_positions_at(const struct tni_positions *positions, uint32_t i, const char **ret_topic,
                      int32_t *ret_partition)
{
    *ret_topic = positions->items[i]->topic;
    *ret_partition = positions->items[i]->partition;
}
