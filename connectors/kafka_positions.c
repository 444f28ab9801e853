/* Positions of the Kafka log: the compacted topic "<application id>-positions", read into a sorted
 * list.
 *
 * HOW IT WORKS. positions() first lets an earlier transaction of this id settle, asks where the
 * topic ends (with open transactions), waits until everything before that is stable (another
 * member's transaction may be open; it ends within transaction.timeout.ms; one of our own that a
 * broker forgot to end is ended again, kafka_txn.c "Touch"), and reads what is new since the last
 * call. So it gives what is committed, never less than what a restart must know.
 * @thread any; one caller at a time (lock)
 */
#include "connectors/kafka_int.h"

#include <time.h>

#include "connectors/wait.h"
#include "stream/base/logline.h"
#include "stream/base/mem.h"

#define STABLE_NS  30000000000ll
#define TOUCH_NS   5000000000ll /* longer than a broker needs to end a transaction */
#define LOOK_NS    10000000
#define READ_NS    60000000000ll
#define WAIT_NS    50000000
#define READ_BYTES ((size_t)4 << 20)

struct entry {
    struct tn_str key, value; /* one allocation, at key.ptr */
};

struct tni_kpositions {
    pthread_mutex_t lock;
    struct tn_topic topic;
    int64_t next;
    struct entry *entries;
    size_t count, cap;
};

static pthread_mutex_t create_lock = PTHREAD_MUTEX_INITIALIZER;

static int compare(struct tn_str a, struct tn_str b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len ? memcmp(a.ptr, b.ptr, len) : 0;
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

static size_t lower_bound(const struct tni_kpositions *list, struct tn_str key)
{
    size_t low = 0, high = list->count;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (compare(list->entries[mid].key, key) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static struct entry entry_new(struct tn_str key, struct tn_str value)
{
    char *bytes = tn_alloc_raw(key.len + value.len + 1);
    memcpy(bytes, key.ptr, key.len);
    if (value.len)
        memcpy(bytes + key.len, value.ptr, value.len);
    return (struct entry){{bytes, key.len}, {bytes + key.len, value.len}};
}

static void put(struct tni_kpositions *list, struct tn_str key, struct tn_str value)
{
    size_t at = lower_bound(list, key);
    bool is_there = at < list->count && compare(list->entries[at].key, key) == 0;
    if (is_there)
        tn_free((char *)(uintptr_t)list->entries[at].key.ptr);
    if (!value.ptr) {
        if (is_there)
            memmove(list->entries + at, list->entries + at + 1,
                    (--list->count - at) * sizeof *list->entries);
        return;
    }
    if (!is_there) {
        if (list->count == list->cap) {
            list->cap = list->cap ? list->cap * 2 : 64;
            list->entries = tn_realloc(list->entries, list->cap * sizeof *list->entries);
        }
        memmove(list->entries + at + 1, list->entries + at,
                (list->count++ - at) * sizeof *list->entries);
    }
    list->entries[at] = entry_new(key, value);
}

static void clear(struct tni_kpositions *list)
{
    for (size_t i = 0; i < list->count; i++)
        tn_free((char *)(uintptr_t)list->entries[i].key.ptr);
    list->count = 0;
    list->next = 0;
}

void tni_kafka_positions_free(struct tni_kafka *kafka)
{
    struct tni_kpositions *list = kafka->positions;
    if (!list)
        return;
    clear(list);
    tn_free(list->entries);
    pthread_mutex_destroy(&list->lock);
    tn_free(list);
    kafka->positions = NULL;
}

/* ---- reading ---- */

static void take(struct tni_kpositions *list, const struct tn_records *records)
{
    for (uint32_t i = 0; i < records->count; i++)
        if (records->keys[i].ptr)
            put(list, records->keys[i], records->values[i]);
}

static enum tn_status read_to(struct tni_kafka *kafka, struct tni_kpositions *list, int64_t end,
                              struct tn_err *err)
{
    struct tn_waiter waiter;
    struct tn_log_reader *reader = NULL;
    int64_t deadline = tn_mono_ns(kafka->clock) + READ_NS;
    tn_waiter_init(&waiter);
    enum tn_status st = tni_kafka_reader_open(&kafka->base, &waiter.wake, &reader, err);
    while (list->next < end && !tn_failed(st)) {
        struct tn_read read = {0};
        st = tni_kafka_read(reader, &list->topic, 0, list->next, READ_BYTES, &read, err);
        if (tn_failed(st) || st == TN_NOT_FOUND)
            break;
        if (st == TN_OK) {
            take(list, read.records);
            tn_records_unref(read.records);
        }
        list->next = read.next;
        if (st != TN_AGAIN)
            continue;
        if (tn_mono_ns(kafka->clock) > deadline)
            st = tn_err_set(err, TN_E_IO, "topic '%s' could not be read to %lld", list->topic.name,
                            (long long)end);
        else if (list->next < end)
            (void)tn_waiter_wait(&waiter, WAIT_NS);
    }
    if (reader)
        tni_kafka_reader_close(reader);
    tn_waiter_release(&waiter);
    if (st == TN_NOT_FOUND)
        st = tn_err_set(err, TN_E_IO, "topic '%s' is gone", list->topic.name);
    return tn_failed(st) ? st : TN_OK;
}

/* A broker that is busy or away for a moment does not end a start. */
static enum tn_status ask_offsets(struct tni_kafka *kafka, const struct tn_topic *topic,
                                  struct tn_offsets *ret_offsets, struct tn_err *err)
{
    int64_t deadline = tn_mono_ns(kafka->clock) + READ_NS;
    for (;;) {
        struct tn_err cause = TN_ERR_INIT;
        enum tn_status st = tni_kafka_offsets(&kafka->base, topic, 0, ret_offsets, &cause);
        if (st == TN_NOT_FOUND)
            return tn_err_set(err, TN_E_IO, "topic '%s' is gone", topic->name);
        if (!tn_failed(st) || !cause.retriable || tn_mono_ns(kafka->clock) > deadline) {
            if (tn_failed(st) && err)
                *err = cause;
            return st;
        }
        nanosleep(&(struct timespec){0, WAIT_NS}, NULL);
    }
}

static enum tn_status undecided(const struct tn_topic *topic, int64_t stable, int64_t high,
                                struct tn_err *err)
{
    tn_err_set(err, TN_E_IO,
               "topic '%s': a transaction of another process is open, records %lld to %lld are not "
               "decided",
               topic->name, (long long)stable, (long long)high);
    tn_err_hint(err, "if this lasts, see kafka-transactions.sh find-hanging");
    return TN_E_IO;
}

/* The end of everything written, once it is stable. */
static enum tn_status stable_end(struct tni_kafka *kafka, const struct tn_topic *topic,
                                 int64_t *ret_end, struct tn_err *err)
{
    int64_t high = -1, now = tn_mono_ns(kafka->clock);
    int64_t deadline = now + STABLE_NS, touch_at = now + TOUCH_NS;
    for (;;) {
        struct tn_offsets offsets;
        TN_TRY(ask_offsets(kafka, topic, &offsets, err));
        if (high < 0)
            high = offsets.end_written;
        if (offsets.end_visible >= high)
            break;
        now = tn_mono_ns(kafka->clock);
        if (now > deadline)
            return undecided(topic, offsets.end_visible, high, err);
        if (now > touch_at && tni_kafka_txns_touch(kafka, topic, offsets.end_visible)) {
            tn_logf(TN_LOG_INFO, "kafka", "topic '%s': records from %lld on were not decided",
                    topic->name, (long long)offsets.end_visible);
            touch_at = now + TOUCH_NS;
        }
        nanosleep(&(struct timespec){0, LOOK_NS}, NULL);
    }
    *ret_end = high;
    return TN_OK;
}

static enum tn_status catch_up(struct tni_kafka *kafka, struct tni_kpositions *list,
                               struct tn_err *err)
{
    struct tn_topic topic;
    int64_t end = 0;
    TN_TRY(tni_kafka_txns_settled(kafka, err));
    TN_TRY(tni_kafka_topic_internal(kafka, "positions", 1, TN_CLEANUP_COMPACT, &topic, err));
    if (memcmp(topic.log_id, list->topic.log_id, 16) != 0)
        clear(list);
    list->topic = topic;
    TN_TRY(stable_end(kafka, &topic, &end, err));
    return read_to(kafka, list, end, err);
}

static struct tni_kpositions *list_of(struct tni_kafka *kafka)
{
    pthread_mutex_lock(&create_lock);
    if (!kafka->positions) {
        kafka->positions = tn_alloc(sizeof *kafka->positions);
        pthread_mutex_init(&kafka->positions->lock, NULL);
    }
    pthread_mutex_unlock(&create_lock);
    return kafka->positions;
}

enum tn_status tni_kafka_positions(struct tn_log *log, struct tn_str prefix,
                                   enum tn_status (*each)(void *ctx, struct tn_str key,
                                                          struct tn_str value, struct tn_err *err),
                                   void *ctx, struct tn_err *err)
{
    struct tni_kafka *kafka = (struct tni_kafka *)log;
    struct tni_kpositions *list = list_of(kafka);
    pthread_mutex_lock(&list->lock);
    enum tn_status st = catch_up(kafka, list, err);
    for (size_t i = tn_failed(st) ? list->count : lower_bound(list, prefix);
         i < list->count && !tn_failed(st); i++) {
        struct tn_str key = list->entries[i].key;
        if (key.len < prefix.len || (prefix.len && memcmp(key.ptr, prefix.ptr, prefix.len) != 0))
            break;
        st = each(ctx, key, list->entries[i].value, err);
    }
    pthread_mutex_unlock(&list->lock);
    return tn_failed(st) ? st : TN_OK;
}
