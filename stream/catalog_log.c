/* The catalog as a log (catalog_log.h).
 *
 * Record value: u8 format = 1 | version i64 BE | writer's mark 16 bytes | DDL record. The mark
 * tells a writer its own record when the answer of the append was lost. Accepted records are kept
 * in memory: a catalog is small, and `each` and `follow` then need no second reading.
 */
#include "stream/catalog_log.h"

#include <pthread.h>
#include <stddef.h>
#include <stdio.h>

#include "stream/base/buf.h"
#include "stream/base/hash.h"
#include "stream/base/mem.h"
#include "stream/base/wait.h"

#define FORMAT      1
#define HEAD_LEN    (1 + 8 + 16)
#define WAIT_NS     15000000000ll /* for the log, in one call */
#define LOOK_NS     50000000ll
#define LOOKS_MAX   2000
#define READ_BYTES  ((size_t)1 << 20)
#define RECORDS_MAX 1000000

struct catalog_log {
    struct tn_catalog_store base;
    struct tn_log *log;
    struct tn_clock *clock;
    struct tn_log_reader *reader;
    struct tn_topic topic;
    struct tn_wake wake;
    pthread_mutex_t lock; /* all of it */
    pthread_mutex_t wait_lock;
    pthread_cond_t cond;
    bool is_signalled; /* guarded by wait_lock */
    bool is_appended;  /* guarded by wait_lock */
    enum tn_status append_st;
    struct tn_err append_err;
    int64_t next;           /* offset to read */
    struct tn_str *records; /* accepted, by version − 1 */
    char (*marks)[16];
    size_t count, cap;
    uint64_t marks_made;
};

static struct catalog_log *of(struct tn_catalog_store *store)
{
    return (struct catalog_log *)(void *)store;
}

/* ---- waiting ---- */

static void signal_wake(struct tn_wake *wake)
{
    struct catalog_log *catalog =
        (struct catalog_log *)(void *)((char *)wake - offsetof(struct catalog_log, wake));
    pthread_mutex_lock(&catalog->wait_lock);
    catalog->is_signalled = true;
    pthread_cond_signal(&catalog->cond);
    pthread_mutex_unlock(&catalog->wait_lock);
}

/* Until somebody signals, at most a moment: then the log is looked at again. */
static void wait_a_moment(struct catalog_log *catalog)
{
    pthread_mutex_lock(&catalog->wait_lock);
    if (!catalog->is_signalled)
        (void)tn_cond_wait_until(&catalog->cond, &catalog->wait_lock,
                                 tn_mono_ns(catalog->clock) + LOOK_NS);
    catalog->is_signalled = false;
    pthread_mutex_unlock(&catalog->wait_lock);
}

/* ---- reading ---- */

static enum tn_status take(struct catalog_log *catalog, struct tn_str value, struct tn_err *err)
{
    if (!value.ptr || value.len < HEAD_LEN || value.ptr[0] != FORMAT)
        return tn_err_set(err, TN_E_CORRUPT, "topic '%s' holds a record that is no catalog record",
                          catalog->topic.name);
    if ((int64_t)tn_be64(value.ptr + 1) != (int64_t)catalog->count + 1)
        return TN_OK; /* it lost its race */
    if (catalog->count == RECORDS_MAX)
        return tn_err_set(err, TN_E_LIMIT, "topic '%s' has too many records", catalog->topic.name);
    if (catalog->count == catalog->cap) {
        catalog->cap = catalog->cap ? catalog->cap * 2 : 64;
        catalog->records = tn_realloc(catalog->records, catalog->cap * sizeof *catalog->records);
        catalog->marks = tn_realloc(catalog->marks, catalog->cap * sizeof *catalog->marks);
    }
    size_t len = value.len - HEAD_LEN;
    memcpy(catalog->marks[catalog->count], value.ptr + 9, 16);
    catalog->records[catalog->count++] =
        (struct tn_str){tn_strndup(value.ptr + HEAD_LEN, len), len};
    return TN_OK;
}

static enum tn_status read_some(struct catalog_log *catalog, struct tn_err *err)
{
    struct tn_read read = {0};
    enum tn_status st = catalog->log->type->read(catalog->reader, &catalog->topic, 0, catalog->next,
                                                 READ_BYTES, &read, err);
    if (st == TN_NOT_FOUND)
        return tn_err_set(err, TN_E_NAME, "topic '%s' is gone", catalog->topic.name);
    if (tn_failed(st))
        return st;
    enum tn_status taken = TN_OK;
    for (uint32_t i = 0; st == TN_OK && i < read.records->count && !tn_failed(taken); i++)
        taken = take(catalog, read.records->values[i], err);
    if (st == TN_OK)
        tn_records_unref(read.records);
    if (!tn_failed(taken))
        catalog->next = read.next;
    return taken;
}

/* Everything that is written now, as far as it is visible in time. */
static enum tn_status catch_up(struct catalog_log *catalog, struct tn_err *err)
{
    struct tn_offsets offsets;
    const struct tn_log_type *type = catalog->log->type;
    TN_TRY(type->offsets(catalog->log, &catalog->topic, 0, &offsets, err));
    int64_t end =
        offsets.end_written > offsets.end_visible ? offsets.end_written : offsets.end_visible;
    int64_t deadline = tn_mono_ns(catalog->clock) + WAIT_NS;
    for (int i = 0; catalog->next < end && i < LOOKS_MAX; i++) {
        int64_t before = catalog->next;
        TN_TRY(read_some(catalog, err));
        if (catalog->next >= end)
            break;
        if (tn_mono_ns(catalog->clock) > deadline)
            break;
        if (catalog->next == before)
            wait_a_moment(catalog);
    }
    if (catalog->next >= end)
        return TN_OK;
    enum tn_status st = tn_err_set(err, TN_E_TIMEOUT, "topic '%s' could not be read to its end",
                                   catalog->topic.name);
    if (err)
        err->retriable = true;
    return st;
}

/* ---- writing ---- */

static void append_done(void *ctx, enum tn_status st, int64_t base_offset, const struct tn_err *err)
{
    struct catalog_log *catalog = ctx;
    (void)base_offset;
    pthread_mutex_lock(&catalog->wait_lock);
    catalog->append_st = st;
    if (tn_failed(st) && err)
        catalog->append_err = *err;
    catalog->is_appended = true;
    pthread_cond_signal(&catalog->cond);
    pthread_mutex_unlock(&catalog->wait_lock);
}

/* done is always called, in a time the log bounds. */
static void write_record(struct catalog_log *catalog, struct tn_str value)
{
    struct tn_records *records = tn_records_new(1);
    records->keys[0] = (struct tn_str){0};
    records->values[0] = tn_arena_str(&records->arena, value);
    records->timestamps_ms[0] = tn_wall_ms(catalog->clock);
    records->bytes = value.len;
    catalog->is_appended = false;
    catalog->append_err = (struct tn_err)TN_ERR_INIT;
    catalog->log->type->append(catalog->log, &catalog->topic, 0, records, append_done, catalog);
    tn_records_unref(records);
    pthread_mutex_lock(&catalog->wait_lock);
    while (!catalog->is_appended)
        pthread_cond_wait(&catalog->cond, &catalog->wait_lock);
    pthread_mutex_unlock(&catalog->wait_lock);
}

static void make_mark(struct catalog_log *catalog, struct tn_str record, char *mark)
{
    uint64_t a = tn_hash64(record.ptr, record.len) ^ (uint64_t)tn_wall_ms(catalog->clock);
    uint64_t b = (uint64_t)(uintptr_t)catalog ^ (uint64_t)tn_mono_ns(catalog->clock) ^
                 catalog->marks_made++ << 48;
    memcpy(mark, &a, 8);
    memcpy(mark + 8, &b, 8);
}

static enum tn_status lost(const struct catalog_log *catalog, int64_t version, struct tn_err *err)
{
    tn_err_set(err, TN_E_BUSY,
               "another process changed the catalog first: version %lld is written, the newest is "
               "%zu",
               (long long)version, catalog->count);
    tn_err_hint(err, "look at the change and run the statement again");
    return TN_E_BUSY;
}

static enum tn_status do_append(struct catalog_log *catalog, int64_t version, struct tn_str record,
                                struct tn_err *err)
{
    char mark[16];
    TN_TRY(catch_up(catalog, err));
    if (version != (int64_t)catalog->count + 1)
        return lost(catalog, version, err);
    make_mark(catalog, record, mark);
    struct tn_buf value;
    tn_buf_init(&value, (size_t)16 << 20);
    tn_buf_add_byte(&value, FORMAT);
    tn_buf_add_be64(&value, (uint64_t)version);
    tn_buf_add(&value, mark, sizeof mark);
    tn_buf_add(&value, record.ptr, record.len);
    write_record(catalog, tn_buf_str(&value));
    tn_buf_release(&value);
    TN_TRY(catch_up(catalog, err)); /* also after a failure: it may be there */
    if ((int64_t)catalog->count >= version &&
        memcmp(catalog->marks[version - 1], mark, sizeof mark) == 0)
        return TN_OK;
    if ((int64_t)catalog->count >= version)
        return lost(catalog, version, err);
    if (err)
        *err = catalog->append_err;
    return tn_failed(catalog->append_st)
               ? catalog->append_st
               : tn_err_set(err, TN_E_INTERNAL, "the catalog's record is not in its topic");
}

static enum tn_status append(struct tn_catalog_store *store, int64_t version, struct tn_str record,
                             struct tn_err *err)
{
    struct catalog_log *catalog = of(store);
    pthread_mutex_lock(&catalog->lock);
    enum tn_status st = do_append(catalog, version, record, err);
    pthread_mutex_unlock(&catalog->lock);
    return st;
}

/* ---- following ---- */

static enum tn_status follow(struct tn_catalog_store *store, int64_t after,
                             enum tn_status (*each)(void *ctx, int64_t version,
                                                    struct tn_str record, struct tn_err *err),
                             void *ctx, struct tn_err *err)
{
    struct catalog_log *catalog = of(store);
    pthread_mutex_lock(&catalog->lock);
    enum tn_status st = catch_up(catalog, err);
    for (size_t i = (size_t)after; i < catalog->count && !tn_failed(st); i++)
        st = each(ctx, (int64_t)i + 1, catalog->records[i], err);
    pthread_mutex_unlock(&catalog->lock);
    return st;
}

static enum tn_status each_record(struct tn_catalog_store *store,
                                  enum tn_status (*each)(void *ctx, int64_t version,
                                                         struct tn_str record, struct tn_err *err),
                                  void *ctx, struct tn_err *err)
{
    return follow(store, 0, each, ctx, err);
}

/* ---- life ---- */

static enum tn_status open_topic(struct catalog_log *catalog, const char *application_id,
                                 struct tn_err *err)
{
    char name[TN_TOPIC_NAME_MAX + 1];
    int len = snprintf(name, sizeof name, "%s-catalog", application_id);
    if (len < 0 || (size_t)len >= sizeof name)
        return tn_err_set(err, TN_E_INVALID, "application.id '%s' is too long", application_id);
    const struct tn_log_type *type = catalog->log->type;
    enum tn_status st = type->topic_find(catalog->log, name, &catalog->topic, err);
    if (st != TN_NOT_FOUND)
        return st;
    struct tn_topic_spec spec = {.name = name,
                                 .partitions_count = 1,
                                 .cleanup = TN_CLEANUP_DELETE,
                                 .retention_ms = -1,
                                 .retention_bytes = -1};
    TN_TRY(type->topic_create(catalog->log, &spec, err));
    return type->topic_find(catalog->log, name, &catalog->topic, err);
}

enum tn_status tn_catalog_log_open(struct tn_log *log, const char *application_id,
                                   struct tn_clock *clock, struct tn_catalog_store **ret_store,
                                   struct tn_err *err)
{
    struct catalog_log *catalog = tn_alloc(sizeof *catalog);
    enum tn_status st;
    catalog->base =
        (struct tn_catalog_store){.append = append, .each = each_record, .follow = follow};
    catalog->log = log;
    catalog->clock = clock;
    catalog->wake.signal = signal_wake;
    pthread_mutex_init(&catalog->lock, NULL);
    pthread_mutex_init(&catalog->wait_lock, NULL);
    pthread_cond_init(&catalog->cond, NULL);
    TN_GOTO(open_topic(catalog, application_id, err));
    TN_GOTO(log->type->reader_open(log, &catalog->wake, &catalog->reader, err));
    *ret_store = &catalog->base;
    return TN_OK;
fail:
    tn_catalog_log_close(&catalog->base);
    return st;
}

void tn_catalog_log_close(struct tn_catalog_store *store)
{
    if (!store)
        return;
    struct catalog_log *catalog = of(store);
    catalog->log->type->reader_close(catalog->reader);
    for (size_t i = 0; i < catalog->count; i++)
        tn_free((char *)(uintptr_t)catalog->records[i].ptr);
    tn_free(catalog->records);
    tn_free(catalog->marks);
    pthread_cond_destroy(&catalog->cond);
    pthread_mutex_destroy(&catalog->wait_lock);
    pthread_mutex_destroy(&catalog->lock);
    tn_free(catalog);
}
