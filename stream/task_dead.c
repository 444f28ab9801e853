/* Dead letters: records that could not be used, with their raw bytes, once per source record.
 *
 * The topic is `<application id>-dead-letters`, one partition, never compacted. Key null; value one
 * JSON object:
 *
 *   {"topic":"plays","partition":3,"offset":17,"timestamp":1700000000000,"query":"CTAS_SONGS_3",
 *    "reason":"not a JSON value","field":"secs","position":12,"key":"AAAAAg==","value":"eyJzZWNz…"}
 *
 * `timestamp` is the record's, in ms; `query` the query on whose behalf it was read first; `field`
 * null when no single column is to blame; `position` the byte in the input, null when unknown;
 * `key`, `value` base64, null for null bytes. The dead letter's own timestamp is the record's.
 *
 * Once. Letters go out in the transaction of the round that read the record, but a query's position
 * may pass the record later (queued input) or twice (a second query). So a mark per topic
 * partition, "letters below this offset are written", is committed with them, and readings below it
 * only count. A rewind takes marks back to the last boundary that was committed. @thread worker;
 * rewind with all parked
 */
#include "stream/engine_int.h"

#include <stdio.h>

#include "stream/base/base64.h"
#include "stream/base/mem.h"

struct mark {
    char topic[TN_TOPIC_NAME_MAX + 1];
    int32_t partition;
    int64_t next, closed; /* open round; as of the last boundary */
};

struct tni_dead {
    struct tni_worker *worker;
    struct tn_records_builder rb;
    struct tn_buf json;
    struct mark *marks;
    uint32_t marks_count, marks_cap;
    uint32_t letters_count;
};

struct tni_dead *tni_dead_new(struct tni_worker *worker)
{
    struct tni_dead *dead = tn_alloc(sizeof *dead);
    dead->worker = worker;
    tn_records_builder_init(&dead->rb);
    tn_buf_init(&dead->json, TN_RECORD_BYTES_MAX * 3);
    return dead;
}

void tni_dead_free(struct tni_dead *dead)
{
    if (!dead)
        return;
    tn_records_builder_release(&dead->rb);
    tn_buf_release(&dead->json);
    tn_free(dead->marks);
    tn_free(dead);
}

bool tni_dead_is_full(const struct tni_dead *dead)
{
    return dead->rb.bytes->len > TNI_DEAD_BYTES_MAX;
}

static void add_base64(struct tn_buf *buf, struct tn_str bytes)
{
    if (!bytes.ptr) {
        tn_buf_add_text(buf, "null");
        return;
    }
    tn_buf_add_byte(buf, '"');
    tn_base64_encode(bytes, buf);
    tn_buf_add_byte(buf, '"');
}

static void add_letter(struct tn_buf *buf, const struct tni_bad_record *bad)
{
    tn_buf_add_text(buf, "{\"topic\":");
    tn_buf_add_json(buf, tn_str_of(bad->topic->name));
    tn_buf_printf(buf,
                  ",\"partition\":%d,\"offset\":%lld,\"timestamp\":%lld,\"query\":", bad->partition,
                  (long long)bad->offset, (long long)bad->timestamp_ms);
    tn_buf_add_json(buf, tn_str_of(bad->stream));
    tn_buf_add_text(buf, ",\"reason\":");
    tn_buf_add_json(buf, tn_str_of(bad->reason));
    tn_buf_add_text(buf, ",\"field\":");
    if (bad->field.ptr)
        tn_buf_add_json(buf, bad->field);
    else
        tn_buf_add_text(buf, "null");
    if (bad->position >= 0)
        tn_buf_printf(buf, ",\"position\":%d", bad->position);
    else
        tn_buf_add_text(buf, ",\"position\":null");
    tn_buf_add_text(buf, ",\"key\":");
    add_base64(buf, bad->key);
    tn_buf_add_text(buf, ",\"value\":");
    add_base64(buf, bad->value);
    tn_buf_add_byte(buf, '}');
}

void tni_dead_add(struct tni_dead *dead, const struct tni_bad_record *bad)
{
    tn_buf_reset(&dead->json);
    add_letter(&dead->json, bad);
    TN_ASSERT(!tn_buf_over(&dead->json));
    tn_records_builder_add(&dead->rb, (struct tn_str){0}, tn_buf_str(&dead->json),
                           bad->timestamp_ms);
    dead->letters_count++;
}

static struct mark *mark_of(struct tni_dead *dead, const char *topic, int32_t partition)
{
    for (uint32_t i = 0; i < dead->marks_count; i++)
        if (dead->marks[i].partition == partition && strcmp(dead->marks[i].topic, topic) == 0)
            return &dead->marks[i];
    if (dead->marks_count == dead->marks_cap) {
        dead->marks_cap = dead->marks_cap ? dead->marks_cap * 2 : 8;
        dead->marks = tn_realloc(dead->marks, dead->marks_cap * sizeof *dead->marks);
    }
    struct mark *mark = &dead->marks[dead->marks_count++];
    *mark = (struct mark){.partition = partition};
    snprintf(mark->topic, sizeof mark->topic, "%s", topic);
    return mark;
}

void tni_dead_mark(struct tni_dead *dead, const struct tn_topic *topic, int32_t partition,
                   int64_t next)
{
    mark_of(dead, topic->name, partition)->next = next;
}

int64_t tni_dead_next(struct tni_dead *dead, const char *topic, int32_t partition)
{
    return mark_of(dead, topic, partition)->next;
}

void tni_dead_restore(struct tni_dead *dead, const char *topic, int32_t partition, int64_t next)
{
    struct mark *mark = mark_of(dead, topic, partition);
    mark->next = mark->closed = next;
}

void tni_dead_take(struct tni_dead *dead, struct tni_part *part)
{
    if (dead->letters_count == 0)
        return;
    part->dead = tn_records_builder_finish(&dead->rb);
    tn_metric_add(dead->worker->engine->m.dead_letters, dead->letters_count);
    dead->letters_count = 0;
    part->marks = tn_alloc_array(dead->marks_count, sizeof *part->marks);
    for (uint32_t i = 0; i < dead->marks_count; i++) {
        struct mark *mark = &dead->marks[i];
        if (mark->next == mark->closed)
            continue;
        struct tni_dead_mark *out = &part->marks[part->marks_count++];
        *out = (struct tni_dead_mark){
            .partition = mark->partition, .next = mark->next, .before = mark->closed};
        memcpy(out->topic, mark->topic, sizeof out->topic);
        mark->closed = mark->next;
    }
}

void tni_dead_rewind(struct tni_dead *dead, const struct tni_part *in_flight)
{
    for (uint32_t i = 0; in_flight && i < in_flight->marks_count; i++)
        mark_of(dead, in_flight->marks[i].topic, in_flight->marks[i].partition)->closed =
            in_flight->marks[i].before;
    for (uint32_t i = 0; i < dead->marks_count; i++)
        dead->marks[i].next = dead->marks[i].closed;
    tn_records_builder_release(&dead->rb);
    tn_records_builder_init(&dead->rb);
    dead->letters_count = 0;
}
