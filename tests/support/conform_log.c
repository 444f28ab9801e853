/* The cases of conform_log.h. Each opens its own log. */
#include "tests/support/conform_log.h"

#include <stdlib.h>
#include <pthread.h>
#include <time.h>

#include "stream/base/mem.h"
#include "stream/batch.h"
#include "tests/check.h"

static const struct conform_log_factory *factory;

/* ---- helpers ---- */

struct waited {
    pthread_mutex_t mu;
    pthread_cond_t cv;
    int calls;
    enum tn_status st;
    int64_t base;
    struct tn_err err;
};

static void on_done(void *ctx, enum tn_status st, int64_t base_offset, const struct tn_err *err)
{
    struct waited *waited = ctx;
    pthread_mutex_lock(&waited->mu);
    waited->calls++;
    waited->st = st;
    waited->base = base_offset;
    if (st != TN_OK && err)
        waited->err = *err;
    pthread_cond_signal(&waited->cv);
    pthread_mutex_unlock(&waited->mu);
}

int64_t conform_append(struct tn_log *log, const struct tn_topic *topic, int32_t partition,
                       struct tn_records *records, enum tn_status *ret_st, struct tn_err *err)
{
    struct waited waited = {.base = -1};
    pthread_mutex_init(&waited.mu, NULL);
    pthread_cond_init(&waited.cv, NULL);
    log->type->append(log, topic, partition, records, on_done, &waited);
    pthread_mutex_lock(&waited.mu);
    while (waited.calls == 0)
        pthread_cond_wait(&waited.cv, &waited.mu);
    pthread_mutex_unlock(&waited.mu);
    if (ret_st)
        *ret_st = waited.st;
    if (waited.st != TN_OK && err)
        *err = waited.err;
    CHECK_INT(waited.calls, 1);
    pthread_mutex_destroy(&waited.mu);
    pthread_cond_destroy(&waited.cv);
    return waited.st == TN_OK ? waited.base : -1;
}

static uint64_t seed_next(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
    return *seed >> 33;
}

static struct tn_topic make_topic(struct tn_log *log, const char *name, int32_t partitions,
                                  enum tn_cleanup cleanup)
{
    struct tn_err err = TN_ERR_INIT;
    struct tn_topic topic = {0};
    struct tn_topic_spec spec = {.name = name,
                                 .partitions_count = partitions,
                                 .cleanup = cleanup,
                                 .retention_ms = -1,
                                 .retention_bytes = -1};
    CHECK_OK(log->type->topic_create(log, &spec, &err), &err);
    CHECK_INT(log->type->topic_find(log, name, &topic, &err), TN_OK);
    return topic;
}

/* One record; key or value NULL = null. */
static struct tn_records *one(const char *key, const char *value, int64_t timestamp_ms)
{
    struct tn_records_builder rb;
    tn_records_builder_init(&rb);
    tn_records_builder_add(&rb, tn_str_of(key), tn_str_of(value), timestamp_ms);
    struct tn_records *records = tn_records_builder_finish(&rb);
    tn_records_builder_release(&rb);
    return records;
}

static int64_t append_one(struct tn_log *log, const struct tn_topic *topic, int32_t partition,
                          const char *key, const char *value, int64_t timestamp_ms)
{
    struct tn_records *records = one(key, value, timestamp_ms);
    struct tn_err err = TN_ERR_INIT;
    enum tn_status st;
    int64_t base = conform_append(log, topic, partition, records, &st, &err);
    CHECK_OK(st, &err);
    tn_records_unref(records);
    return base;
}

struct flag_wake {
    struct tn_wake base;
    pthread_mutex_t mu;
    pthread_cond_t cv;
    int count;
};

static void flag_signal(struct tn_wake *base)
{
    struct flag_wake *wake = (struct flag_wake *)(void *)base;
    pthread_mutex_lock(&wake->mu);
    wake->count++;
    pthread_cond_broadcast(&wake->cv);
    pthread_mutex_unlock(&wake->mu);
}

static void wake_init(struct flag_wake *wake)
{
    *wake = (struct flag_wake){.base = {flag_signal}};
    pthread_mutex_init(&wake->mu, NULL);
    pthread_cond_init(&wake->cv, NULL);
}

static void wake_release(struct flag_wake *wake)
{
    pthread_mutex_destroy(&wake->mu);
    pthread_cond_destroy(&wake->cv);
}

static void wake_wait(struct flag_wake *wake)
{
    pthread_mutex_lock(&wake->mu);
    while (wake->count == 0)
        pthread_cond_wait(&wake->cv, &wake->mu);
    wake->count = 0;
    pthread_mutex_unlock(&wake->mu);
}

/* A read that a remote log may answer later: until it is no longer "on its way". With `wants_rows`
 * until there are records: a reader at the end learns of new ones after a while. */
#define REMOTE_ROUNDS 120000

static enum tn_status read_wait(struct tn_log *log, struct tn_log_reader *reader,
                                const struct tn_topic *topic, int32_t partition, int64_t offset,
                                size_t bytes_max, bool wants_rows, struct tn_read *ret_read,
                                struct tn_err *err)
{
    for (int round = 0;; round++) {
        enum tn_status st =
            log->type->read(reader, topic, partition, offset, bytes_max, ret_read, err);
        if (!factory->is_remote || st != TN_AGAIN || round == REMOTE_ROUNDS)
            return st;
        if (!wants_rows && ret_read->next >= ret_read->end_visible)
            return st;
        nanosleep(&(struct timespec){0, 1000000}, NULL); /* the read decides, not the pause */
    }
}

/* A remote log may still settle what was before. */
static struct tn_log_txn *begin_wait(struct tn_log *log)
{
    struct tn_log_txn *txn = NULL;
    struct tn_err err = TN_ERR_INIT;
    enum tn_status st = log->type->begin(log, &txn, &err);
    for (int round = 0; factory->is_remote && st == TN_AGAIN && round < REMOTE_ROUNDS; round++) {
        nanosleep(&(struct timespec){0, 1000000}, NULL); /* begin decides, not the pause */
        st = log->type->begin(log, &txn, &err);
    }
    CHECK_INT(st, TN_OK);
    if (!txn) {
        fprintf(stderr, "log '%s': no transaction begins: %s\n", factory->name, err.message);
        exit(1);
    }
    return txn;
}

static struct tn_log_reader *open_reader(struct tn_log *log, struct tn_wake *wake)
{
    struct tn_log_reader *reader = NULL;
    struct tn_err err = TN_ERR_INIT;
    CHECK_OK(log->type->reader_open(log, wake, &reader, &err), &err);
    return reader;
}

/* ---- topics ---- */

struct seen_topics {
    int count;
    char names[8][TN_TOPIC_NAME_MAX + 1];
    int count_max;
};

static bool see_topic(void *ctx, const struct tn_topic *topic)
{
    struct seen_topics *seen = ctx;
    if (seen->count < 8)
        memcpy(seen->names[seen->count], topic->name, sizeof topic->name);
    seen->count++;
    return seen->count < seen->count_max;
}

static void case_topics(void)
{
    struct tn_log *log = factory->open(factory->ctx);
    struct tn_err err = TN_ERR_INIT;
    struct tn_topic topic;
    CHECK_INT(log->type->topic_find(log, "songs", &topic, &err), TN_NOT_FOUND);
    make_topic(log, "songs", 3, TN_CLEANUP_DELETE);
    make_topic(log, "charts", 1, TN_CLEANUP_COMPACT);
    make_topic(log, "plays", 2, TN_CLEANUP_BOTH);
    struct tn_topic_spec spec = {.name = "songs",
                                 .partitions_count = 3,
                                 .cleanup = TN_CLEANUP_DELETE,
                                 .retention_ms = -1,
                                 .retention_bytes = -1};
    CHECK_INT(log->type->topic_create(log, &spec, &err), TN_OK);
    spec.partitions_count = 4;
    CHECK_INT(log->type->topic_create(log, &spec, &err), TN_E_EXISTS);
    CHECK(strstr(err.message, "songs") != NULL);
    spec.partitions_count = 3;
    spec.cleanup = TN_CLEANUP_COMPACT;
    CHECK_INT(log->type->topic_create(log, &spec, &err), TN_E_EXISTS);

    struct seen_topics seen = {.count_max = 8};
    CHECK_INT(log->type->topic_each(log, see_topic, &seen, &err), TN_OK);
    CHECK_INT(seen.count, 3);
    CHECK_STR(tn_str_of(seen.names[0]), "charts");
    CHECK_STR(tn_str_of(seen.names[1]), "plays");
    CHECK_STR(tn_str_of(seen.names[2]), "songs");
    seen = (struct seen_topics){.count_max = 1};
    CHECK_INT(log->type->topic_each(log, see_topic, &seen, &err), TN_OK);
    CHECK_INT(seen.count, 1);

    CHECK_INT(log->type->topic_find(log, "songs", &topic, &err), TN_OK);
    CHECK_INT(topic.partitions_count, 3);
    CHECK_INT(topic.cleanup, TN_CLEANUP_DELETE);
    CHECK_INT(topic.retention_ms, -1);
    append_one(log, &topic, 2, "k", "v", 1);
    CHECK_INT(log->type->topic_delete(log, "songs", &err), TN_OK);
    struct tn_topic again;
    CHECK_INT(log->type->topic_find(log, "songs", &again, &err), TN_NOT_FOUND);
    CHECK_INT(log->type->topic_delete(log, "songs", &err), TN_NOT_FOUND);
    again = make_topic(log, "songs", 3, TN_CLEANUP_DELETE);
    CHECK(memcmp(again.log_id, topic.log_id, sizeof topic.log_id) != 0);
    struct tn_offsets offsets = {0};
    CHECK_OK(log->type->offsets(log, &again, 2, &offsets, &err), &err);
    CHECK_INT(offsets.end_visible, 0);
    if (factory->reopen) {
        log = factory->reopen(factory->ctx, log);
        CHECK_INT(log->type->topic_find(log, "songs", &topic, &err), TN_OK);
        CHECK(memcmp(again.log_id, topic.log_id, sizeof topic.log_id) == 0);
        CHECK_INT(topic.partitions_count, 3);
    }
    factory->close(factory->ctx, log);
}

/* ---- append and read ---- */

static void case_read(void)
{
    struct tn_log *log = factory->open(factory->ctx);
    struct tn_err err = TN_ERR_INIT;
    struct tn_topic topic = make_topic(log, "t", 2, TN_CLEANUP_DELETE);
    CHECK_INT(append_one(log, &topic, 1, "a", "1", 10), 0);
    const int64_t second_ms = factory->is_remote ? 5 : -5;
    CHECK_INT(append_one(log, &topic, 1, NULL, "2", second_ms), 1);
    CHECK_INT(append_one(log, &topic, 1, "b", NULL, 30), 2);
    CHECK_INT(append_one(log, &topic, 1, "", "", 30), 3);

    struct tn_log_reader *reader = open_reader(log, NULL);
    struct tn_read read = {0};
    int64_t offset = 0;
    const char *keys[] = {"a", NULL, "b", ""}, *values[] = {"1", "2", NULL, ""};
    const int64_t times[] = {10, second_ms, 30, 30};
    while (offset < 4) {
        enum tn_status st = read_wait(log, reader, &topic, 1, offset, 1 << 20, true, &read, &err);
        CHECK_OK(st, &err);
        if (st != TN_OK || !read.records)
            break;
        CHECK_INT(read.end_visible, 4);
        for (uint32_t i = 0; i < read.records->count; i++) {
            int64_t at = read.records->offsets[i];
            CHECK(at >= offset && at < 4);
            CHECK((read.records->keys[i].ptr == NULL) == (keys[at] == NULL));
            CHECK((read.records->values[i].ptr == NULL) == (values[at] == NULL));
            CHECK(tn_str_eq(read.records->keys[i], tn_str_of(keys[at])));
            CHECK(tn_str_eq(read.records->values[i], tn_str_of(values[at])));
            CHECK_INT(read.records->timestamps_ms[i], times[at]);
        }
        offset = read.next;
        tn_records_unref(read.records);
    }
    CHECK_INT(offset, 4);
    read = (struct tn_read){0};
    CHECK_INT(read_wait(log, reader, &topic, 1, 4, 100, false, &read, &err), TN_AGAIN);
    CHECK(read.records == NULL);
    CHECK_INT(read.next, 4);
    CHECK_INT(read_wait(log, reader, &topic, 0, 0, 100, false, &read, &err), TN_AGAIN);
    CHECK_INT(read_wait(log, reader, &topic, 1, 5, 100, true, &read, &err), TN_E_INVALID);
    CHECK(strstr(err.message, "out of range") != NULL);
    CHECK_INT(log->type->read(reader, &topic, 1, -1, 100, &read, &err), TN_E_INVALID);

    /* one byte: still at least one record */
    CHECK_INT(read_wait(log, reader, &topic, 1, 1, 1, true, &read, &err), TN_OK);
    if (read.records) {
        CHECK(read.records->count >= 1);
        CHECK_INT(read.records->offsets[0], 1);
        tn_records_unref(read.records);
    }
    CHECK_INT(log->type->topic_delete(log, "t", &err), TN_OK);
    CHECK_INT(log->type->read(reader, &topic, 1, 0, 100, &read, &err), TN_NOT_FOUND);
    enum tn_status st;
    struct tn_records *records = one("k", "v", 1);
    CHECK_INT(conform_append(log, &topic, 1, records, &st, &err), -1);
    CHECK_INT(st, TN_E_NAME);
    tn_records_unref(records);
    log->type->reader_close(reader);
    factory->close(factory->ctx, log);
}

/* One reader at many positions of a partition in turns, as queries that began one after another:
 * none may keep another from getting on. */
static void case_turns(void)
{
    enum { TURNS = 3, RECORDS = 60 };
    struct tn_log *log = factory->open(factory->ctx);
    struct tn_topic topic = make_topic(log, "turns", 1, TN_CLEANUP_DELETE);
    struct tn_records_builder rb;
    struct tn_err append_err = TN_ERR_INIT;
    enum tn_status append_st;
    tn_records_builder_init(&rb);
    for (int i = 0; i < RECORDS; i++)
        tn_records_builder_add(&rb, TN_STR("k"), TN_STR("v"), i);
    struct tn_records *records = tn_records_builder_finish(&rb);
    tn_records_builder_release(&rb);
    CHECK_INT(conform_append(log, &topic, 0, records, &append_st, &append_err), 0);
    tn_records_unref(records);
    struct tn_log_reader *reader = open_reader(log, NULL);
    int64_t at[TURNS];
    int done = 0;
    for (int t = 0; t < TURNS; t++)
        at[t] = t * 9;
    for (int round = 0; done < TURNS && round < REMOTE_ROUNDS; round++) {
        bool has_moved = false;
        for (int t = 0; t < TURNS; t++) {
            struct tn_read read = {0};
            struct tn_err err = TN_ERR_INIT;
            if (at[t] == RECORDS)
                continue;
            enum tn_status st = log->type->read(reader, &topic, 0, at[t], 40, &read, &err);
            CHECK(st == TN_OK || st == TN_AGAIN);
            if (st != TN_OK)
                continue;
            CHECK_INT(read.records->offsets[0], at[t]);
            has_moved = true;
            at[t] = read.next;
            done += at[t] == RECORDS;
            tn_records_unref(read.records);
        }
        if (!has_moved && factory->is_remote)
            nanosleep(&(struct timespec){0, 1000000}, NULL); /* the reads decide, not the pause */
    }
    CHECK_INT(done, TURNS);
    log->type->reader_close(reader);
    factory->close(factory->ctx, log);
}

static void case_headers(void)
{
    struct tn_log *log = factory->open(factory->ctx);
    struct tn_err err = TN_ERR_INIT;
    struct tn_topic topic = make_topic(log, "h", 1, TN_CLEANUP_DELETE);
    struct tn_records *records = tn_records_new(2);
    struct tn_header items[2] = {{TN_STR("trace"), TN_STR("abc")}, {TN_STR(""), {NULL, 0}}};
    records->headers = TN_ARENA_ARRAY(&records->arena, struct tn_headers, 2);
    records->headers[1] = (struct tn_headers){2, items};
    records->keys[0] = records->keys[1] = TN_STR("k");
    records->values[0] = records->values[1] = TN_STR("v");
    records->bytes = 4;
    enum tn_status st;
    CHECK_INT(conform_append(log, &topic, 0, records, &st, &err), 0);
    tn_records_unref(records);
    append_one(log, &topic, 0, "k", "plain", 1);
    if (factory->reopen)
        log = factory->reopen(factory->ctx, log);
    CHECK_INT(log->type->topic_find(log, "h", &topic, &err), TN_OK);
    struct tn_log_reader *reader = open_reader(log, NULL);
    struct tn_read read = {0};
    CHECK_INT(read_wait(log, reader, &topic, 0, 1, 1 << 20, true, &read, &err), TN_OK);
    if (read.records) {
        const struct tn_headers *got = tn_records_headers(read.records);
        CHECK(got != NULL);
        CHECK_INT(got ? got->count : 0, 2);
        if (got && got->count == 2) {
            CHECK_STR(got->items[0].key, "trace");
            CHECK_STR(got->items[0].value, "abc");
            CHECK_INT(got->items[1].key.len, 0);
            CHECK(got->items[1].value.ptr == NULL);
        }
        if (read.records->count == 2)
            CHECK_INT(got ? got[1].count : 1, 0);
        tn_records_unref(read.records);
    }
    log->type->reader_close(reader);
    factory->close(factory->ctx, log);
}

static struct tn_records *sized(size_t value_len, char fill)
{
    struct tn_records_builder rb;
    tn_records_builder_init(&rb);
    char *value = tn_alloc_raw(value_len);
    memset(value, fill, value_len);
    tn_records_builder_add(&rb, TN_STR("big"), (struct tn_str){value, value_len}, 7);
    tn_free(value);
    struct tn_records *records = tn_records_builder_finish(&rb);
    tn_records_builder_release(&rb);
    return records;
}

static void case_sizes(void)
{
    struct tn_log *log = factory->open(factory->ctx);
    struct tn_err err = TN_ERR_INIT;
    struct tn_topic topic = make_topic(log, "big", 1, TN_CLEANUP_DELETE);
    enum tn_status st;
    struct tn_records *records = sized(TN_RECORD_BYTES_MAX - 3, 'x');
    CHECK_INT(conform_append(log, &topic, 0, records, &st, &err), 0);
    tn_records_unref(records);
    records = sized(TN_RECORD_BYTES_MAX - 2, 'y');
    CHECK_INT(conform_append(log, &topic, 0, records, &st, &err), -1);
    CHECK_INT(st, TN_E_LIMIT);
    tn_records_unref(records);
    CHECK_INT(append_one(log, &topic, 0, "k", "v", 1), 1);
    records = tn_records_new(0);
    CHECK(conform_append(log, &topic, 0, records, &st, &err) >= 0);
    CHECK_INT(st, TN_OK);
    tn_records_unref(records);
    struct tn_log_reader *reader = open_reader(log, NULL);
    struct tn_read read = {0};
    CHECK_INT(read_wait(log, reader, &topic, 0, 0, 1000, true, &read, &err), TN_OK);
    if (read.records) {
        CHECK_INT(read.records->count, 1);
        CHECK_INT(read.records->values[0].len, TN_RECORD_BYTES_MAX - 3);
        CHECK_INT(read.records->values[0].ptr[TN_RECORD_BYTES_MAX - 4], 'x');
        CHECK_INT(read.next, 1);
        tn_records_unref(read.records);
    }
    log->type->reader_close(reader);
    factory->close(factory->ctx, log);
}

/* ---- wake-ups ---- */

static void case_wake(void)
{
    struct tn_log *log = factory->open(factory->ctx);
    struct tn_err err = TN_ERR_INIT;
    struct tn_topic topic = make_topic(log, "w", 2, TN_CLEANUP_DELETE);
    struct flag_wake first, second;
    wake_init(&first);
    wake_init(&second);
    struct tn_log_reader *a = open_reader(log, &first.base), *b = open_reader(log, &second.base);
    struct tn_read read = {0};
    CHECK_INT(read_wait(log, a, &topic, 0, 0, 100, false, &read, &err), TN_AGAIN);
    CHECK_INT(read_wait(log, b, &topic, 0, 0, 100, false, &read, &err), TN_AGAIN);
    append_one(log, &topic, 0, "k", "v", 1);
    wake_wait(&first);
    wake_wait(&second);
    CHECK_INT(read_wait(log, a, &topic, 0, 0, 100, true, &read, &err), TN_OK);
    tn_records_unref(read.records);
    CHECK_INT(read_wait(log, a, &topic, 0, 1, 100, false, &read, &err), TN_AGAIN);

    struct tn_log_txn *txn = begin_wait(log);
    struct tn_records *records = one("k", "v", 2);
    uint32_t slot = 99;
    CHECK_OK(log->type->txn_append(txn, &topic, 0, records, &slot, &err), &err);
    tn_records_unref(records);
    struct flag_wake settled;
    wake_init(&settled);
    CHECK_OK(log->type->commit_start(txn, &settled.base, &err), &err);
    while (log->type->commit_poll(txn, &err) == TN_AGAIN)
        wake_wait(&settled);
    wake_wait(&first);
    CHECK_INT(read_wait(log, a, &topic, 0, 1, 100, true, &read, &err), TN_OK);
    tn_records_unref(read.records);
    log->type->txn_close(txn);
    /* a closed reader is not signalled any more: its wake may be freed */
    CHECK_INT(read_wait(log, b, &topic, 1, 0, 100, false, &read, &err), TN_AGAIN);
    log->type->reader_close(b);
    pthread_mutex_lock(&second.mu);
    second.count = 0;
    pthread_mutex_unlock(&second.mu);
    append_one(log, &topic, 1, "k", "v", 1);
    pthread_mutex_lock(&second.mu);
    CHECK_INT(second.count, 0);
    pthread_mutex_unlock(&second.mu);
    log->type->reader_close(a);
    factory->close(factory->ctx, log);
    wake_release(&first);
    wake_release(&second);
    wake_release(&settled);
}

/* ---- transactions ---- */

struct seen_positions {
    int count;
    char text[256];
};

static enum tn_status see_position(void *ctx, struct tn_str key, struct tn_str value,
                                   struct tn_err *err)
{
    (void)err;
    struct seen_positions *seen = ctx;
    size_t used = strlen(seen->text);
    snprintf(seen->text + used, sizeof seen->text - used, "%.*s=%.*s;", TN_STR_FMT(key),
             TN_STR_FMT(value));
    seen->count++;
    return TN_OK;
}

static void check_positions(struct tn_log *log, const char *prefix, const char *want)
{
    struct seen_positions seen = {0};
    struct tn_err err = TN_ERR_INIT;
    CHECK_OK(log->type->positions(log, tn_str_of(prefix), see_position, &seen, &err), &err);
    CHECK_STR(tn_str_of(seen.text), want);
}

static enum tn_status commit(struct tn_log *log, struct tn_log_txn *txn, struct tn_err *err)
{
    struct flag_wake settled;
    wake_init(&settled);
    enum tn_status st = log->type->commit_start(txn, &settled.base, err);
    if (st == TN_OK)
        while ((st = log->type->commit_poll(txn, err)) == TN_AGAIN)
            wake_wait(&settled);
    wake_release(&settled);
    return st;
}

static void txn_put(struct tn_log *log, struct tn_log_txn *txn, const struct tn_topic *topic,
                    int32_t partition, const char *value, uint32_t *ret_slot)
{
    struct tn_err err = TN_ERR_INIT;
    struct tn_records *records = one("k", value, 5);
    CHECK_OK(log->type->txn_append(txn, topic, partition, records, ret_slot, &err), &err);
    tn_records_unref(records);
}

static void case_txn(void)
{
    struct tn_log *log = factory->open(factory->ctx);
    struct tn_err err = TN_ERR_INIT;
    struct tn_topic topic = make_topic(log, "x", 2, TN_CLEANUP_DELETE);
    struct tn_log_txn *txn = NULL, *second = NULL;
    struct tn_offsets offsets;
    uint32_t slots[3];
    append_one(log, &topic, 1, "k", "before", 1);
    txn = begin_wait(log);
    CHECK(tn_failed(log->type->begin(log, &second, &err)));
    txn_put(log, txn, &topic, 0, "a", &slots[0]);
    txn_put(log, txn, &topic, 1, "b", &slots[1]);
    txn_put(log, txn, &topic, 1, "c", &slots[2]);
    CHECK_OK(log->type->txn_position(txn, TN_STR("app/q1"), TN_STR("7"), &err), &err);
    CHECK_OK(log->type->txn_position(txn, TN_STR("app/q2"), TN_STR("8"), &err), &err);
    CHECK_OK(log->type->txn_position(txn, TN_STR("apq"), TN_STR("9"), &err), &err);
    CHECK_OK(log->type->offsets(log, &topic, 0, &offsets, &err), &err);
    CHECK_INT(offsets.end_visible, 0);
    check_positions(log, "", "");
    CHECK_INT(commit(log, txn, &err), TN_OK);
    CHECK(log->type->txn_offset(txn, slots[0]) >= 0);
    CHECK(log->type->txn_offset(txn, slots[2]) == log->type->txn_offset(txn, slots[1]) + 1);
    int64_t at = log->type->txn_offset(txn, slots[1]);
    log->type->txn_close(txn);
    check_positions(log, "app/", "app/q1=7;app/q2=8;");
    check_positions(log, "", "app/q1=7;app/q2=8;apq=9;");
    check_positions(log, "app/q2x", "");
    struct tn_log_reader *reader = open_reader(log, NULL);
    struct tn_read read = {0};
    CHECK_INT(read_wait(log, reader, &topic, 1, at, 1 << 20, true, &read, &err), TN_OK);
    if (read.records) {
        CHECK_INT(read.records->offsets[0], at);
        CHECK_STR(read.records->values[0], "b");
        tn_records_unref(read.records);
    }

    /* closed without commit: nothing happened */
    txn = begin_wait(log);
    txn_put(log, txn, &topic, 0, "lost", NULL);
    CHECK_OK(log->type->txn_position(txn, TN_STR("app/q1"), TN_STR("lost"), &err), &err);
    log->type->txn_close(txn);
    log->type->txn_close(NULL);
    check_positions(log, "app/q1", "app/q1=7;");

    /* overwrite and delete positions; an empty transaction commits too */
    txn = begin_wait(log);
    CHECK_OK(log->type->txn_position(txn, TN_STR("app/q1"), TN_STR("10"), &err), &err);
    CHECK_OK(log->type->txn_position(txn, TN_STR("apq"), (struct tn_str){NULL, 0}, &err), &err);
    CHECK_INT(commit(log, txn, &err), TN_OK);
    log->type->txn_close(txn);
    txn = begin_wait(log);
    CHECK_INT(commit(log, txn, &err), TN_OK);
    log->type->txn_close(txn);
    check_positions(log, "", "app/q1=10;app/q2=8;");
    CHECK_OK(log->type->sync(log, &err), &err);
    CHECK_OK(log->type->offsets(log, &topic, 1, &offsets, &err), &err);
    CHECK(offsets.start <= offsets.end_durable);
    CHECK_INT(offsets.end_durable, offsets.end_visible);

    log->type->reader_close(reader);
    if (factory->reopen) {
        log = factory->reopen(factory->ctx, log);
        check_positions(log, "", "app/q1=10;app/q2=8;");
    }
    factory->close(factory->ctx, log);
}

/* ---- time ---- */

static void case_offset_at(void)
{
    struct tn_log *log = factory->open(factory->ctx);
    struct tn_err err = TN_ERR_INIT;
    struct tn_topic topic = make_topic(log, "time", 1, TN_CLEANUP_DELETE);
    int64_t times[300], offset = -1, shift_ms = factory->is_remote ? 100 : -100;
    uint64_t seed = factory->seed + 17;
    CHECK_OK(log->type->offset_at(log, &topic, 0, 5, &offset, &err), &err);
    CHECK_INT(offset, 0);
    for (int at = 0; at < 300;) {
        struct tn_records_builder rb;
        tn_records_builder_init(&rb);
        for (uint64_t n = 1 + seed_next(&seed) % 7; n > 0 && at < 300; n--, at++) {
            times[at] = at * 10 + (int64_t)(seed_next(&seed) % 200) + shift_ms; /* out of order */
            tn_records_builder_add(&rb, TN_STR("k"), TN_STR("v"), times[at]);
        }
        struct tn_records *records = tn_records_builder_finish(&rb);
        enum tn_status st;
        conform_append(log, &topic, 0, records, &st, &err);
        CHECK_OK(st, &err);
        tn_records_unref(records);
        tn_records_builder_release(&rb);
    }
    for (int64_t wanted = shift_ms - 50; wanted < 3200; wanted += 13) {
        int64_t model = 0;
        while (model < 300 && times[model] < wanted)
            model++;
        CHECK_OK(log->type->offset_at(log, &topic, 0, wanted, &offset, &err), &err);
        CHECK_INT(offset, model);
    }
    factory->close(factory->ctx, log);
}

/* ---- random work against a model ---- */

#define MODEL_PARTITIONS 3

struct model_log {
    struct tn_buf numbers[MODEL_PARTITIONS]; /* 8 bytes a row: its content */
    struct tn_buf offsets[MODEL_PARTITIONS]; /* 8 bytes a row: where the log said it is */
};

static int64_t model_rows(const struct model_log *model, int32_t p)
{
    return (int64_t)(model->numbers[p].len / 8);
}

static int64_t model_offset(const struct model_log *model, int32_t p, int64_t row)
{
    int64_t offset;
    memcpy(&offset, model->offsets[p].ptr + 8 * row, 8);
    return offset;
}

static uint64_t model_number(const struct model_log *model, int32_t p, int64_t row)
{
    uint64_t number;
    memcpy(&number, model->numbers[p].ptr + 8 * row, 8);
    return number;
}

/* First row at or after an offset. */
static int64_t model_row_at(const struct model_log *model, int32_t p, int64_t offset)
{
    int64_t low = 0, high = model_rows(model, p);
    while (low < high) {
        int64_t mid = (low + high) / 2;
        if (model_offset(model, p, mid) < offset)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* The rows up to `rows` that have no offset yet got theirs from `base` on. */
static void model_place(struct model_log *model, int32_t p, int64_t rows, int64_t base)
{
    int64_t placed = (int64_t)(model->offsets[p].len / 8);
    int64_t end = placed ? model_offset(model, p, placed - 1) + 1 : 0;
    CHECK(factory->has_holes ? base >= end : base == end);
    for (; placed < rows; placed++, base++)
        tn_buf_add(&model->offsets[p], &base, sizeof base);
}

static struct tn_records *model_records(struct model_log *model, int32_t p, uint64_t count,
                                        uint64_t *seed)
{
    struct tn_records_builder rb;
    tn_records_builder_init(&rb);
    for (uint64_t i = 0; i < count; i++) {
        uint64_t number = seed_next(seed);
        char text[256];
        int len = snprintf(text, sizeof text, "%llu%*s", (unsigned long long)number,
                           (int)(number % 50), "");
        tn_records_builder_add(&rb, TN_STR("key"), (struct tn_str){text, (size_t)len},
                               1 + (int64_t)(number % 1000));
        tn_buf_add(&model->numbers[p], &number, sizeof number);
    }
    struct tn_records *records = tn_records_builder_finish(&rb);
    tn_records_builder_release(&rb);
    return records;
}

/* Records are the model's from `row` on. */
static bool model_equals(const struct model_log *model, int32_t p, int64_t row,
                         const struct tn_records *records)
{
    bool is_equal = row + records->count <= model_rows(model, p);
    size_t bytes = 0;
    for (uint32_t i = 0; is_equal && i < records->count; i++, row++) {
        uint64_t number = model_number(model, p, row);
        char text[32];
        int len = snprintf(text, sizeof text, "%llu", (unsigned long long)number);
        struct tn_str value = records->values[i];
        is_equal = records->offsets[i] == model_offset(model, p, row) &&
                   value.len == (size_t)len + (size_t)(number % 50) &&
                   memcmp(value.ptr, text, (size_t)len) == 0 &&
                   records->timestamps_ms[i] == 1 + (int64_t)(number % 1000);
        bytes += records->keys[i].len + value.len;
    }
    return is_equal && bytes == records->bytes;
}

static void model_check_read(struct tn_log *log, struct tn_log_reader *reader,
                             const struct tn_topic *topic, const struct model_log *model, int32_t p,
                             int64_t offset, size_t bytes_max, int64_t *ret_next)
{
    struct tn_err err = TN_ERR_INIT;
    struct tn_read read = {0};
    int64_t row = model_row_at(model, p, offset);
    enum tn_status st = read_wait(log, reader, topic, p, offset, bytes_max,
                                  row < model_rows(model, p), &read, &err);
    *ret_next = read.next;
    CHECK_OK(st, &err);
    if (st == TN_AGAIN) /* at the end, or over a hole */
        CHECK(factory->has_holes ? model_row_at(model, p, read.next) == row
                                 : row == model_rows(model, p));
    if (st != TN_OK || !read.records)
        return;
    CHECK(read.records->count > 0 && read.records->count <= TN_BATCH_ROWS_MAX);
    CHECK(model_equals(model, p, row, read.records));
    int64_t last = read.records->offsets[read.records->count - 1];
    CHECK(factory->has_holes ? read.next > last : read.next == last + 1);
    CHECK_INT(model_row_at(model, p, read.next), row + read.records->count);
    tn_records_unref(read.records);
}

static void model_append(struct tn_log *log, const struct tn_topic *topic, struct model_log *model,
                         int32_t p, uint64_t count, uint64_t *seed)
{
    struct tn_err err = TN_ERR_INIT;
    enum tn_status st;
    struct tn_records *records = model_records(model, p, count, seed);
    int64_t base = conform_append(log, topic, p, records, &st, &err);
    CHECK_OK(st, &err);
    model_place(model, p, model_rows(model, p), base);
    tn_records_unref(records);
}

/* Kafka writes the marker of a transaction some time after the commit's answer, perhaps between the
 * records of the next append; the model wants the records of an append side by side. */
static void marker_wait(struct tn_log *log, const struct tn_topic *topic, int32_t p, int64_t marker)
{
    struct tn_err err = TN_ERR_INIT;
    struct tn_offsets offsets = {0};
    if (!factory->is_remote)
        return;
    for (int round = 0; offsets.end_visible <= marker && round < REMOTE_ROUNDS; round++) {
        nanosleep(&(struct timespec){0, 1000000}, NULL); /* the log decides, not the pause */
        CHECK_OK(log->type->offsets(log, topic, p, &offsets, &err), &err);
    }
    CHECK(offsets.end_visible > marker);
}

static void model_commit(struct tn_log *log, const struct tn_topic *topic, struct model_log *model,
                         const uint64_t *sizes, uint64_t *seed)
{
    struct tn_err err = TN_ERR_INIT;
    struct tn_log_txn *txn = begin_wait(log);
    int64_t rows[4];
    int32_t parts[4];
    uint32_t slots[4];
    for (int i = 0; i < 4; i++) {
        int32_t p = parts[i] = (int32_t)(seed_next(seed) % MODEL_PARTITIONS);
        struct tn_records *records = model_records(model, p, sizes[seed_next(seed) % 7], seed);
        rows[i] = model_rows(model, p);
        CHECK_OK(log->type->txn_append(txn, topic, p, records, &slots[i], &err), &err);
        tn_records_unref(records);
    }
    CHECK_INT(commit(log, txn, &err), TN_OK);
    for (int i = 0; i < 4; i++)
        model_place(model, parts[i], rows[i], log->type->txn_offset(txn, slots[i]));
    log->type->txn_close(txn);
    for (int i = 0; i < 4; i++)
        marker_wait(log, topic, parts[i], model_offset(model, parts[i], rows[i] - 1) + 1);
}

static void model_round(struct tn_log *log, const struct tn_topic *topic, struct model_log *model,
                        uint64_t *seed)
{
    static const uint64_t sizes[] = {1, 1, 1, 2, 7, 60, 700, 5000};
    int32_t p = (int32_t)(seed_next(seed) % MODEL_PARTITIONS);
    uint64_t count = sizes[seed_next(seed) % 8];
    if (seed_next(seed) % 3 > 0)
        model_append(log, topic, model, p, count, seed);
    else
        model_commit(log, topic, model, sizes, seed);
}

static void model_check_all(struct tn_log *log, struct model_log *model, uint64_t *seed)
{
    struct tn_err err = TN_ERR_INIT;
    struct tn_topic topic;
    CHECK_INT(log->type->topic_find(log, "model", &topic, &err), TN_OK);
    struct tn_log_reader *reader = open_reader(log, NULL);
    for (int32_t p = 0; p < MODEL_PARTITIONS; p++) {
        int64_t rows = model_rows(model, p), next;
        int64_t end = rows ? model_offset(model, p, rows - 1) + 1 : 0;
        for (int64_t offset = 0; offset < end; offset = next) {
            model_check_read(log, reader, &topic, model, p, offset,
                             (size_t)1 << (seed_next(seed) % 20), &next);
            if (next <= offset) {
                CHECK(next > offset);
                break;
            }
        }
        for (int i = 0; i < 20 && end > 0; i++)
            model_check_read(log, reader, &topic, model, p,
                             (int64_t)(seed_next(seed) % (uint64_t)end),
                             (size_t)1 << (seed_next(seed) % 20), &next);
    }
    log->type->reader_close(reader);
}

static void case_model(void)
{
    struct tn_log *log = factory->open(factory->ctx);
    struct model_log model;
    uint64_t seed = factory->seed;
    for (int p = 0; p < MODEL_PARTITIONS; p++) {
        tn_buf_init(&model.numbers[p], (size_t)1 << 30);
        tn_buf_init(&model.offsets[p], (size_t)1 << 30);
    }
    struct tn_topic topic = make_topic(log, "model", MODEL_PARTITIONS, TN_CLEANUP_DELETE);
    for (int round = 0; round < 120; round++) {
        model_round(log, &topic, &model, &seed);
        if (round % 40 != 39)
            continue;
        model_check_all(log, &model, &seed);
        if (factory->reopen) {
            struct tn_err err = TN_ERR_INIT;
            log = factory->reopen(factory->ctx, log);
            CHECK_INT(log->type->topic_find(log, "model", &topic, &err), TN_OK);
            model_check_all(log, &model, &seed);
        }
    }
    factory->close(factory->ctx, log);
    for (int p = 0; p < MODEL_PARTITIONS; p++) {
        tn_buf_release(&model.numbers[p]);
        tn_buf_release(&model.offsets[p]);
    }
}

/* ---- several threads ---- */

#define APPENDERS    4
#define APPENDS_EACH 300

struct appender {
    struct tn_log *log;
    const struct tn_topic *topic;
    int number;
    int64_t offsets[APPENDS_EACH];
    bool is_failed;
};

static void *appender_main(void *arg)
{
    struct appender *self = arg;
    for (int i = 0; i < APPENDS_EACH; i++) {
        char text[32];
        snprintf(text, sizeof text, "%d:%d", self->number, i);
        struct tn_records *records = one("k", text, i);
        struct waited waited = {.base = -1};
        pthread_mutex_init(&waited.mu, NULL);
        pthread_cond_init(&waited.cv, NULL);
        self->log->type->append(self->log, self->topic, 0, records, on_done, &waited);
        tn_records_unref(records);
        pthread_mutex_lock(&waited.mu);
        while (waited.calls == 0)
            pthread_cond_wait(&waited.cv, &waited.mu);
        pthread_mutex_unlock(&waited.mu);
        self->is_failed |= waited.st != TN_OK;
        self->offsets[i] = waited.base;
        pthread_mutex_destroy(&waited.mu);
        pthread_cond_destroy(&waited.cv);
    }
    return NULL;
}

/* Reads while others append: every record once, in the order of its appender, at the offset its
 * appender was told. */
static int64_t seen_offsets[APPENDERS][APPENDS_EACH];

static void see_appended(const struct tn_records *records, int *seen)
{
    for (uint32_t i = 0; i < records->count; i++) {
        int thread = -1, number = -1;
        char text[32] = {0};
        memcpy(text, records->values[i].ptr, records->values[i].len);
        CHECK(sscanf(text, "%d:%d", &thread, &number) == 2);
        if (thread < 0 || thread >= APPENDERS || seen[thread] >= APPENDS_EACH)
            continue;
        CHECK_INT(number, seen[thread]);
        seen_offsets[thread][seen[thread]++] = records->offsets[i];
    }
}

static void follow(struct tn_log *log, const struct tn_topic *topic)
{
    struct flag_wake wake;
    struct tn_err err = TN_ERR_INIT;
    wake_init(&wake);
    struct tn_log_reader *reader = open_reader(log, &wake.base);
    int seen[APPENDERS] = {0};
    int64_t offset = 0;
    while (offset < APPENDERS * APPENDS_EACH) {
        struct tn_read read = {0};
        enum tn_status st = log->type->read(reader, topic, 0, offset, 4096, &read, &err);
        if (st == TN_AGAIN) {
            wake_wait(&wake);
            continue;
        }
        CHECK_OK(st, &err);
        if (st != TN_OK)
            break;
        see_appended(read.records, seen);
        offset = read.next;
        tn_records_unref(read.records);
    }
    log->type->reader_close(reader);
    wake_release(&wake);
    for (int t = 0; t < APPENDERS; t++)
        CHECK_INT(seen[t], APPENDS_EACH);
}

static void case_threads(void)
{
    struct tn_log *log = factory->open(factory->ctx);
    struct tn_topic topic = make_topic(log, "threads", 1, TN_CLEANUP_DELETE);
    static struct appender appenders[APPENDERS];
    pthread_t threads[APPENDERS];
    for (int t = 0; t < APPENDERS; t++) {
        appenders[t] = (struct appender){.log = log, .topic = &topic, .number = t};
        CHECK_INT(pthread_create(&threads[t], NULL, appender_main, &appenders[t]), 0);
    }
    follow(log, &topic);
    for (int t = 0; t < APPENDERS; t++) {
        pthread_join(threads[t], NULL);
        CHECK(!appenders[t].is_failed);
        CHECK(memcmp(appenders[t].offsets, seen_offsets[t], sizeof seen_offsets[t]) == 0);
    }
    struct tn_offsets offsets = {0};
    struct tn_err err = TN_ERR_INIT;
    CHECK_OK(log->type->offsets(log, &topic, 0, &offsets, &err), &err);
    CHECK_INT(offsets.end_visible, APPENDERS * APPENDS_EACH);
    CHECK_INT(offsets.end_durable, APPENDERS * APPENDS_EACH);
    factory->close(factory->ctx, log);
}

/* ---- all ---- */

int conform_log(const struct conform_log_factory *given)
{
    int failed_before = tn_checks_failed;
    factory = given;
    case_topics();
    case_read();
    case_turns();
    case_headers();
    case_sizes();
    case_wake();
    case_txn();
    case_offset_at();
    case_model();
    if (factory->has_threads)
        case_threads();
    int failed = tn_checks_failed - failed_before;
    if (failed > 0)
        fprintf(stderr, "log '%s': %d checks failed (seed %llu)\n", factory->name, failed,
                (unsigned long long)factory->seed);
    return failed;
}
