/* Readers of the Kafka log: any partition at any offset, read_committed, without a group.
 *
 * HOW IT WORKS. A *cursor* follows one partition for one reader: librdkafka fetches ahead into the
 * cursor's own queue, read() takes batches out of it and hands the messages over without a copy
 * (they are freed with the records). A fetcher (one librdkafka consumer) lets one cursor follow a
 * partition; another reader at the same partition gets another fetcher. A read at an offset where
 * the reader has no cursor opens one; a reader keeps two per partition (one behind the other while
 * a query catches up), so a rewind re-uses the one that was used longest ago. One that was used
 * just now is left alone, up to eight: several that read in turns would take each other's cursor
 * away before anything has come, for ever.
 *
 * The end. librdkafka reports the offset at which a fetch found nothing more (last stable offset,
 * also behind control records and aborted data), but only after the broker let that fetch wait.
 * Until then the end is the high watermark of the last fetch, and before any answer "one more".
 *
 * Ownership: messages belong to the records they are in; all records must be gone before the log
 * is closed. @thread reader: its owner; wake-ups: librdkafka's threads
 */
#include "connectors/kafka_int.h"

#include "stream/base/logline.h"
#include "stream/base/mem.h"
#include "stream/batch.h"

#define CURSORS_OF_PARTITION 2
#define CURSORS_MAX          8
#define BUSY_NS              1000000000ll
#define IDLE_NS              30000000000ll /* an unused cursor stops fetching */
#define SWEEP_READS          4096
#define FETCHERS_MAX         32

struct cursor {
    struct tn_log_reader *reader;
    struct tni_kfetcher *fetcher;
    rd_kafka_topic_t *rkt;
    rd_kafka_queue_t *queue;
    uint32_t topic;
    int32_t partition;
    int64_t from, next; /* offsets in [from, next] mean the same: nothing lies between */
    int64_t end;        /* as reported; −1 unknown */
    bool has_answer;    /* something came since it was opened: watermarks are of its own fetches */
    int64_t used_ns, asked_ns;
    atomic_bool has_news; /* the queue may hold something */
    uint32_t at, count;   /* of messages taken from the queue, not handed over */
    rd_kafka_message_t *messages[TN_BATCH_ROWS_MAX];
};

struct tn_log_reader {
    struct tni_kafka *kafka;
    struct tn_wake *wake;
    struct cursor **cursors;
    uint32_t cursors_count, cursors_cap;
    uint64_t reads_count;
};

/* ---- fetchers ---- */

enum tn_status tni_kafka_fetcher_new(struct tni_kafka *kafka, struct tni_kfetcher **ret_fetcher,
                                     struct tn_err *err)
{
    rd_kafka_t *rk = NULL;
    TN_TRY(tni_kafka_new(kafka, TNI_KROLE_FETCH, NULL, NULL, &rk, err));
    struct tni_kfetcher *fetcher = tn_alloc(sizeof *fetcher);
    fetcher->rk = rk;
    *ret_fetcher = fetcher;
    return TN_OK;
}

/* With `reaper` the handle ends beside others. */
static void fetcher_free(struct tni_kfetcher *fetcher, struct tni_kafka *reaper)
{
    tni_kafka_rkts_free(fetcher->rkts);
    if (reaper)
        tni_kafka_reap(reaper, fetcher->rk);
    else
        rd_kafka_destroy(fetcher->rk);
    tn_free(fetcher->uses);
    tn_free(fetcher);
}

void tni_kafka_fetchers_free(struct tni_kafka *kafka)
{
    for (struct tni_kfetcher *fetcher = kafka->fetchers, *next; fetcher; fetcher = next) {
        next = fetcher->next;
        fetcher_free(fetcher, kafka);
    }
    kafka->fetchers = NULL;
}

/* The first stays: offsets are asked through it. */
void tni_kafka_fetchers_trim(struct tni_kafka *kafka)
{
    struct tni_kfetcher *idle = NULL;
    int64_t now = tn_mono_ns(kafka->clock);
    pthread_mutex_lock(&kafka->lock);
    for (struct tni_kfetcher **link = &kafka->fetchers->next; *link;) {
        struct tni_kfetcher *fetcher = *link;
        if (fetcher->uses_count == 0 && now - fetcher->idle_since_ns > IDLE_NS) {
            *link = fetcher->next;
            fetcher->next = idle;
            idle = fetcher;
        } else {
            link = &fetcher->next;
        }
    }
    pthread_mutex_unlock(&kafka->lock);
    for (struct tni_kfetcher *next; idle; idle = next) {
        next = idle->next;
        fetcher_free(idle, NULL);
    }
}

static bool is_followed(const struct tni_kfetcher *fetcher, uint32_t topic, int32_t partition)
{
    for (uint32_t i = 0; i < fetcher->uses_count; i++)
        if (fetcher->uses[i].topic == topic && fetcher->uses[i].partition == partition)
            return true;
    return false;
}

/* kafka->lock is held. */
static void claim(struct tni_kfetcher *fetcher, uint32_t topic, int32_t partition)
{
    if (fetcher->uses_count == fetcher->uses_cap) {
        fetcher->uses_cap = fetcher->uses_cap ? fetcher->uses_cap * 2 : 16;
        fetcher->uses = tn_realloc(fetcher->uses, fetcher->uses_cap * sizeof *fetcher->uses);
    }
    fetcher->uses[fetcher->uses_count++] = (struct tni_kuse){topic, partition};
}

static enum tn_status take_fetcher(struct tni_kafka *kafka, const struct tn_topic *topic,
                                   int32_t partition, struct cursor *cursor, struct tn_err *err)
{
    struct tni_kfetcher *fetcher, *last = NULL;
    int count = 0;
    pthread_mutex_lock(&kafka->lock);
    for (fetcher = kafka->fetchers; fetcher; last = fetcher, fetcher = fetcher->next, count++)
        if (!is_followed(fetcher, topic->id, partition))
            break;
    if (fetcher)
        claim(fetcher, topic->id, partition);
    pthread_mutex_unlock(&kafka->lock);
    if (!fetcher) {
        if (count >= FETCHERS_MAX) {
            tn_err_set(err, TN_E_BUSY, "topic '%s' partition %d has %d readers already",
                       topic->name, partition, count);
            return TN_E_BUSY;
        }
        TN_TRY(tni_kafka_fetcher_new(kafka, &fetcher, err));
        pthread_mutex_lock(&kafka->lock);
        claim(fetcher, topic->id, partition);
        fetcher->next = kafka->fetchers->next;
        kafka->fetchers->next = fetcher;
        pthread_mutex_unlock(&kafka->lock);
    }
    (void)last;
    cursor->fetcher = fetcher;
    pthread_mutex_lock(&kafka->lock);
    cursor->rkt = tni_kafka_rkt(&fetcher->rkts, fetcher->rk, topic->name);
    pthread_mutex_unlock(&kafka->lock);
    return TN_OK;
}

static void give_fetcher(struct tni_kafka *kafka, struct cursor *cursor)
{
    struct tni_kfetcher *fetcher = cursor->fetcher;
    pthread_mutex_lock(&kafka->lock);
    for (uint32_t i = 0; i < fetcher->uses_count; i++)
        if (fetcher->uses[i].topic == cursor->topic &&
            fetcher->uses[i].partition == cursor->partition) {
            fetcher->uses[i] = fetcher->uses[--fetcher->uses_count];
            break;
        }
    fetcher->idle_since_ns = tn_mono_ns(kafka->clock);
    pthread_mutex_unlock(&kafka->lock);
}

/* ---- cursors ---- */

/* Called by librdkafka with the queue's lock held: no call back into it. */
static void on_news(rd_kafka_t *rk, void *opaque)
{
    struct cursor *cursor = opaque;
    (void)rk;
    atomic_store(&cursor->has_news, true);
    if (cursor->reader->wake)
        cursor->reader->wake->signal(cursor->reader->wake);
}

static void cursor_close(struct cursor *cursor)
{
    if (!cursor)
        return;
    if (cursor->queue) {
        rd_kafka_queue_cb_event_enable(cursor->queue, NULL, NULL);
        rd_kafka_consume_stop(cursor->rkt, cursor->partition);
    }
    for (uint32_t i = cursor->at; i < cursor->count; i++)
        rd_kafka_message_destroy(cursor->messages[i]);
    if (cursor->queue)
        rd_kafka_queue_destroy(cursor->queue);
    if (cursor->fetcher)
        give_fetcher(cursor->reader->kafka, cursor);
    tn_free(cursor);
}

static void drop_cursor(struct tn_log_reader *reader, uint32_t i)
{
    cursor_close(reader->cursors[i]);
    reader->cursors[i] = reader->cursors[--reader->cursors_count];
}

static enum tn_status cursor_open(struct tn_log_reader *reader, const struct tn_topic *topic,
                                  int32_t partition, int64_t offset, struct cursor **ret_cursor,
                                  struct tn_err *err)
{
    enum tn_status st = TN_OK;
    struct cursor *cursor = tn_alloc(sizeof *cursor);
    *cursor = (struct cursor){.reader = reader,
                              .topic = topic->id,
                              .partition = partition,
                              .from = offset,
                              .next = offset,
                              .end = -1,
                              .asked_ns = tn_mono_ns(reader->kafka->clock)};
    TN_GOTO(take_fetcher(reader->kafka, topic, partition, cursor, err));
    cursor->queue = rd_kafka_queue_new(cursor->fetcher->rk);
    rd_kafka_queue_cb_event_enable(cursor->queue, on_news, cursor);
    if (rd_kafka_consume_start_queue(cursor->rkt, partition, offset, cursor->queue) != 0) {
        st = tni_kafka_err(err, rd_kafka_last_error(), "topic '%s' partition %d", topic->name,
                           partition);
        goto fail;
    }
    if (reader->cursors_count == reader->cursors_cap) {
        reader->cursors_cap = reader->cursors_cap ? reader->cursors_cap * 2 : 16;
        reader->cursors =
            tn_realloc(reader->cursors, reader->cursors_cap * sizeof(struct cursor *));
    }
    reader->cursors[reader->cursors_count++] = cursor;
    *ret_cursor = cursor;
    return TN_OK;
fail:
    cursor_close(cursor);
    return st;
}

/* The cursor that stands at `offset`, or a new one in place of the one used longest ago. */
static enum tn_status cursor_at(struct tn_log_reader *reader, const struct tn_topic *topic,
                                int32_t partition, int64_t offset, struct cursor **ret_cursor,
                                struct tn_err *err)
{
    uint32_t count = 0, oldest = 0;
    for (uint32_t i = 0; i < reader->cursors_count; i++) {
        struct cursor *cursor = reader->cursors[i];
        if (cursor->topic != topic->id || cursor->partition != partition)
            continue;
        if (offset >= cursor->from && offset <= cursor->next) {
            *ret_cursor = cursor;
            return TN_OK;
        }
        if (count == 0 || cursor->used_ns < reader->cursors[oldest]->used_ns)
            oldest = i;
        count++;
    }
    int64_t now = tn_mono_ns(reader->kafka->clock);
    if (count >= CURSORS_MAX ||
        (count >= CURSORS_OF_PARTITION && now - reader->cursors[oldest]->used_ns > BUSY_NS))
        drop_cursor(reader, oldest);
    return cursor_open(reader, topic, partition, offset, ret_cursor, err);
}

static void sweep(struct tn_log_reader *reader, int64_t now)
{
    for (uint32_t i = reader->cursors_count; i-- > 0;)
        if (now - reader->cursors[i]->used_ns > IDLE_NS)
            drop_cursor(reader, i);
}

/* ---- records ---- */

struct held {
    uint32_t count;
    rd_kafka_message_t *messages[];
};

static void release_messages(struct tn_records *records)
{
    struct held *held = records->foreign;
    for (uint32_t i = 0; i < held->count; i++)
        rd_kafka_message_destroy(held->messages[i]);
    tn_free(held);
}

static void take_headers(struct tn_records *records, uint32_t row, const rd_kafka_headers_t *from)
{
    size_t count = rd_kafka_header_cnt(from);
    if (!records->headers)
        records->headers = TN_ARENA_ARRAY(&records->arena, struct tn_headers, records->count);
    if (count > TN_HEADERS_MAX)
        count = TN_HEADERS_MAX;
    struct tn_header *items = TN_ARENA_ARRAY(&records->arena, struct tn_header, count);
    for (size_t i = 0; i < count; i++) {
        const char *name = "";
        const void *value = NULL;
        size_t len = 0;
        rd_kafka_header_get_all(from, i, &name, &value, &len);
        items[i] = (struct tn_header){tn_str_of(name), {value, value ? len : 0}};
    }
    records->headers[row] = (struct tn_headers){(uint32_t)count, items};
}

/* librdkafka makes a buffer per message to find out that it has none, so only for who asks. */
static void load_headers(struct tn_records *records)
{
    const struct held *held = records->foreign;
    for (uint32_t i = 0; i < held->count; i++) {
        rd_kafka_headers_t *headers;
        if (rd_kafka_message_headers(held->messages[i], &headers) == RD_KAFKA_RESP_ERR_NO_ERROR &&
            rd_kafka_header_cnt(headers) > 0)
            take_headers(records, i, headers);
    }
}

static struct tn_str slice(const void *ptr, size_t len)
{
    return (struct tn_str){ptr, ptr ? len : 0};
}

static void take_message(struct tn_records *records, uint32_t row, rd_kafka_message_t *msg)
{
    rd_kafka_timestamp_type_t type;
    records->keys[row] = slice(msg->key, msg->key_len);
    records->values[row] = slice(msg->payload, msg->len);
    records->bytes += records->keys[row].len + records->values[row].len;
    records->offsets[row] = msg->offset;
    records->timestamps_ms[row] = rd_kafka_message_timestamp(msg, &type);
}

/* The first `count` messages of the cursor become records that own them. */
static struct tn_records *take_records(struct cursor *cursor, uint32_t count)
{
    struct tn_records *records = tn_records_new(count);
    struct held *held = tn_alloc_raw(sizeof *held + count * sizeof held->messages[0]);
    held->count = count;
    memcpy(held->messages, cursor->messages + cursor->at, count * sizeof held->messages[0]);
    for (uint32_t i = 0; i < count; i++)
        take_message(records, i, held->messages[i]);
    records->foreign = held;
    records->release = release_messages;
    records->load_headers = load_headers;
    cursor->at += count;
    cursor->from = cursor->next = records->offsets[count - 1] + 1;
    return records;
}

/* ---- read ---- */

static void fill(struct cursor *cursor)
{
    if (cursor->at < cursor->count || !atomic_load(&cursor->has_news))
        return;
    atomic_store(&cursor->has_news, false); /* before looking: what comes now sets it again */
    ssize_t count =
        rd_kafka_consume_batch_queue(cursor->queue, 0, cursor->messages, TN_BATCH_ROWS_MAX);
    cursor->at = 0;
    cursor->count = count > 0 ? (uint32_t)count : 0;
    if (count <= 0)
        return;
    cursor->has_answer = true;
    atomic_store(&cursor->has_news, true); /* there may be more; nobody will say so */
}

/* An event in the stream of messages. TN_OK: stepped over. */
static enum tn_status take_event(struct tn_log_reader *reader, struct cursor *cursor,
                                 const struct tn_topic *topic, const rd_kafka_message_t *msg,
                                 struct tn_err *err)
{
    int64_t low = 0, high = 0;
    switch ((int)msg->err) {
    case RD_KAFKA_RESP_ERR__PARTITION_EOF:
        cursor->end = msg->offset;
        if (cursor->next < msg->offset)
            cursor->next = msg->offset;
        return TN_OK;
    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
    case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE:
        tni_kafka_watermarks(reader->kafka, topic->name, cursor->partition, &low, &high);
        return tn_err_set(
            err, TN_E_INVALID,
            "topic '%s' partition %d: offset %lld is out of range, it has %lld to %lld",
            topic->name, cursor->partition, (long long)cursor->next, (long long)low,
            (long long)high);
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR__BAD_MSG:
    case RD_KAFKA_RESP_ERR__BAD_COMPRESSION:
    case RD_KAFKA_RESP_ERR_INVALID_MSG:
        return tni_kafka_err(err, msg->err, "topic '%s' partition %d offset %lld", topic->name,
                             cursor->partition, (long long)cursor->next);
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
    case 100: { /* UNKNOWN_TOPIC_ID; Debian 12's header does not name it */
        cursor->has_answer = false;
        struct tni_ktopic *live = tni_kafka_topic_live(reader->kafka, topic);
        if (live)
            atomic_store(&live->is_suspect, true);
        pthread_mutex_lock(&reader->kafka->lock);
        reader->kafka->is_look_wanted = true;
        pthread_cond_signal(&reader->kafka->keeper_cond);
        pthread_mutex_unlock(&reader->kafka->lock);
        return TN_OK;
    }
    default: return TN_OK; /* connections come back by themselves; health is the keeper's */
    }
}

/* Events at the front; afterwards the front is a message at or behind `next`, or nothing. */
static enum tn_status step_events(struct tn_log_reader *reader, struct cursor *cursor,
                                  const struct tn_topic *topic, struct tn_err *err)
{
    for (;;) {
        fill(cursor);
        if (cursor->at == cursor->count)
            return TN_OK;
        rd_kafka_message_t *msg = cursor->messages[cursor->at];
        if (!msg->err && msg->offset >= cursor->from)
            return TN_OK;
        enum tn_status st =
            msg->err ? take_event(reader, cursor, topic, msg, err) : TN_OK; /* else: seen before */
        cursor->at++;
        rd_kafka_message_destroy(msg);
        if (tn_failed(st))
            return st;
    }
}

static int64_t end_of(struct cursor *cursor, const struct tn_topic *topic)
{
    int64_t low = -1, high = -1;
    if (cursor->end >= cursor->next)
        return cursor->end;
    if (!cursor->has_answer)
        return cursor->next + 1;
    rd_kafka_get_watermark_offsets(cursor->fetcher->rk, topic->name, cursor->partition, &low,
                                   &high);
    return high > cursor->next ? high : cursor->next;
}

/* The queue is empty: step over control records, which are never handed out. */
static void step_controls(struct cursor *cursor, const struct tn_topic *topic)
{
    if (!cursor->has_answer || cursor->end >= cursor->next)
        return;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, topic->name, cursor->partition);
    if (!rd_kafka_position(cursor->fetcher->rk, list) && !list->elems[0].err &&
        list->elems[0].offset > cursor->next)
        cursor->next = list->elems[0].offset;
    rd_kafka_topic_partition_list_destroy(list);
}

/* How many messages make up about bytes_max; at least one. */
static uint32_t batch_of(const struct cursor *cursor, size_t bytes_max)
{
    size_t bytes = 0;
    uint32_t i = cursor->at;
    for (; i < cursor->count && !cursor->messages[i]->err; i++) {
        bytes += cursor->messages[i]->len + cursor->messages[i]->key_len;
        if (i > cursor->at && bytes > bytes_max)
            break;
    }
    return i - cursor->at;
}

static void drop_failed(struct tn_log_reader *reader, const struct cursor *cursor)
{
    for (uint32_t i = 0; i < reader->cursors_count; i++)
        if (reader->cursors[i] == cursor) {
            drop_cursor(reader, i);
            return;
        }
}

static enum tn_status check_read(struct tn_log_reader *reader, const struct tn_topic *topic,
                                 int32_t partition, int64_t offset, struct tn_err *err)
{
    const struct tni_ktopic *live = tni_kafka_topic_live(reader->kafka, topic);
    if (!live)
        return TN_NOT_FOUND;
    if (partition < 0 || partition >= live->partitions_count)
        return tn_err_set(err, TN_E_INVALID, "topic '%s' has no partition %d", topic->name,
                          partition);
    if (offset < 0)
        return tn_err_set(err, TN_E_INVALID, "topic '%s' partition %d: offset %lld is out of range",
                          topic->name, partition, (long long)offset);
    return TN_OK;
}

/* Nothing came at all: a handle without a group looks for new partitions of a topic only when it is
 * told to. */
static void ask_again(const struct tn_log_reader *reader, struct cursor *cursor)
{
    int64_t now = tn_mono_ns(reader->kafka->clock);
    if (cursor->has_answer || now - cursor->asked_ns < BUSY_NS)
        return;
    cursor->asked_ns = now;
    tni_kafka_ask_again(cursor->fetcher->rk, cursor->rkt, 1);
}

enum tn_status tni_kafka_read(struct tn_log_reader *reader, const struct tn_topic *topic,
                              int32_t partition, int64_t offset, size_t bytes_max,
                              struct tn_read *ret_read, struct tn_err *err)
{
    struct cursor *cursor = NULL;
    int64_t now = tn_mono_ns(reader->kafka->clock);
    enum tn_status st = check_read(reader, topic, partition, offset, err);
    if (st != TN_OK)
        return st;
    if (++reader->reads_count % SWEEP_READS == 0)
        sweep(reader, now);
    TN_TRY(cursor_at(reader, topic, partition, offset, &cursor, err));
    cursor->used_ns = now;
    st = step_events(reader, cursor, topic, err);
    if (tn_failed(st)) {
        drop_failed(reader, cursor);
        return st;
    }
    if (cursor->at == cursor->count) {
        step_controls(cursor, topic);
        ask_again(reader, cursor);
        *ret_read = (struct tn_read){.next = cursor->next > offset ? cursor->next : offset,
                                     .end_visible = end_of(cursor, topic)};
        return TN_AGAIN;
    }
    ret_read->records = take_records(cursor, batch_of(cursor, bytes_max));
    ret_read->next = cursor->next;
    if (cursor->end >= 0 && cursor->end < cursor->next)
        cursor->end = -1; /* what was the end has been passed */
    ret_read->end_visible = end_of(cursor, topic);
    if (reader->kafka->m_fetched)
        tn_metric_add(reader->kafka->m_fetched, ret_read->records->count);
    return TN_OK;
}

/* ---- readers ---- */

enum tn_status tni_kafka_reader_open(struct tn_log *log, struct tn_wake *wake,
                                     struct tn_log_reader **ret_reader, struct tn_err *err)
{
    (void)err;
    struct tn_log_reader *reader = tn_alloc(sizeof *reader);
    reader->kafka = (struct tni_kafka *)log;
    reader->wake = wake;
    *ret_reader = reader;
    return TN_OK;
}

void tni_kafka_reader_close(struct tn_log_reader *reader)
{
    if (!reader)
        return;
    while (reader->cursors_count)
        drop_cursor(reader, reader->cursors_count - 1);
    tn_free(reader->cursors);
    tn_free(reader);
}
