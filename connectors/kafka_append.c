/* append() of the Kafka log: one idempotent acks=all producer for HTTP ingest, INSERT and produce.
 * An acknowledgement neither waits for the engine's transaction nor is undone by it.
 *
 * HOW IT WORKS. Callers put the records of one append into the producer's queue; delivery reports
 * (one thread) count them down and the last one calls done. What can be refused is refused before
 * anything is queued. A producer with a fatal error is replaced once its queue has drained.
 * @thread append: any; reports: the appender's thread
 */
#include "connectors/kafka_int.h"

#include "stream/base/logline.h"
#include "stream/base/mem.h"

#define INFLIGHT_RECORDS_MAX 2000000
#define INFLIGHT_BYTES_MAX   ((int64_t)256 << 20)
#define POLL_MS              100
#define DRAIN_MS             5000

struct tni_kappender {
    struct tni_kafka *kafka;
    rd_kafka_t *rk;
    struct tni_krkt *rkts; /* under lock */
    pthread_rwlock_t swap; /* read: while producing; write: replacing rk */
    pthread_mutex_t lock;  /* rkts; keeps the records of one append together */
    pthread_t thread;
    bool has_thread;
    atomic_bool is_closing;
    atomic_llong records, bytes;
};

struct append {
    struct tni_kappender *appender;
    tn_append_done done;
    void *ctx;
    struct tn_records *records;
    atomic_uint left; /* reports to come */
    int64_t base;
    atomic_int code; /* first error */
    char topic[TN_TOPIC_NAME_MAX + 1];
    int32_t partition;
};

/* ---- shared with transactions ---- */

rd_kafka_topic_t *tni_kafka_rkt(struct tni_krkt **list, rd_kafka_t *rk, const char *name)
{
    for (struct tni_krkt *item = *list; item; item = item->next)
        if (strcmp(item->name, name) == 0)
            return item->rkt;
    struct tni_krkt *item = tn_alloc(sizeof *item);
    snprintf(item->name, sizeof item->name, "%s", name);
    item->rkt = rd_kafka_topic_new(rk, name, NULL);
    item->next = *list;
    *list = item;
    return item->rkt;
}

void tni_kafka_ask_again(rd_kafka_t *rk, rd_kafka_topic_t *rkt, int timeout_ms)
{
    const struct rd_kafka_metadata *metadata = NULL;
    if (rd_kafka_metadata(rk, 0, rkt, &metadata, timeout_ms) == RD_KAFKA_RESP_ERR_NO_ERROR)
        rd_kafka_metadata_destroy(metadata);
}

void tni_kafka_rkts_free(struct tni_krkt *list)
{
    for (struct tni_krkt *next; list; list = next) {
        next = list->next;
        if (list->rkt)
            rd_kafka_topic_destroy(list->rkt);
        tn_free(list);
    }
}

static rd_kafka_headers_t *headers_of(const struct tn_headers *from)
{
    rd_kafka_headers_t *headers = rd_kafka_headers_new(from->count);
    for (uint32_t i = 0; i < from->count; i++) {
        const struct tn_header *header = &from->items[i];
        rd_kafka_header_add(headers, header->key.ptr ? header->key.ptr : "",
                            (ssize_t)header->key.len, header->value.ptr,
                            (ssize_t)header->value.len);
    }
    return headers;
}

/* Bytes of the value are not copied: the caller keeps the records until the report. A time of 0
 * would mean "now" to librdkafka; 1 ms is the nearest it can be told. */
rd_kafka_resp_err_t tni_kafka_produce(rd_kafka_t *rk, rd_kafka_topic_t *rkt, int32_t partition,
                                      const struct tn_records *records, uint32_t i, void *opaque)
{
    int64_t at = records->timestamps_ms[i];
    rd_kafka_vu_t vus[7] = {
        {.vtype = RD_KAFKA_VTYPE_RKT, .u.rkt = rkt},
        {.vtype = RD_KAFKA_VTYPE_PARTITION, .u.i32 = partition},
        {.vtype = RD_KAFKA_VTYPE_VALUE,
         .u.mem = {(void *)(uintptr_t)records->values[i].ptr, records->values[i].len}},
        {.vtype = RD_KAFKA_VTYPE_KEY,
         .u.mem = {(void *)(uintptr_t)records->keys[i].ptr, records->keys[i].len}},
        {.vtype = RD_KAFKA_VTYPE_TIMESTAMP, .u.i64 = at ? at : 1},
        {.vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = opaque}};
    size_t count = 6;
    rd_kafka_headers_t *headers = NULL;
    if (records->headers && records->headers[i].count) {
        headers = headers_of(&records->headers[i]);
        vus[count].vtype = RD_KAFKA_VTYPE_HEADERS;
        vus[count++].u.headers = headers;
    }
    rd_kafka_error_t *error = rd_kafka_produceva(rk, vus, count);
    if (!error)
        return RD_KAFKA_RESP_ERR_NO_ERROR;
    rd_kafka_resp_err_t code = rd_kafka_error_code(error);
    rd_kafka_error_destroy(error);
    if (headers)
        rd_kafka_headers_destroy(headers);
    return code;
}

/* ---- reports ---- */

static void finish(struct append *append)
{
    struct tn_err err = TN_ERR_INIT;
    struct tni_kappender *appender = append->appender;
    enum tn_status st = TN_OK;
    rd_kafka_resp_err_t code = (rd_kafka_resp_err_t)atomic_load(&append->code);
    if (code)
        st = tni_kafka_err(&err, code, "topic '%s' partition %d", append->topic, append->partition);
    atomic_fetch_sub(&appender->records, append->records->count);
    atomic_fetch_sub(&appender->bytes, (long long)append->records->bytes);
    if (st == TN_OK && appender->kafka->m_appended)
        tn_metric_add(appender->kafka->m_appended, append->records->count);
    append->done(append->ctx, st, st == TN_OK ? append->base : -1, &err);
    tn_records_unref(append->records);
    tn_free(append);
}

static void note_error(struct append *append, rd_kafka_resp_err_t code)
{
    int none = RD_KAFKA_RESP_ERR_NO_ERROR;
    atomic_compare_exchange_strong(&append->code, &none, code);
}

static void on_report(rd_kafka_t *rk, const rd_kafka_message_t *msg, void *opaque)
{
    struct append *append = msg->_private;
    (void)rk;
    (void)opaque;
    if (msg->err)
        note_error(append, msg->err);
    else if (append->base < 0 || msg->offset < append->base)
        append->base = msg->offset;
    if (atomic_fetch_sub(&append->left, 1) == 1)
        finish(append);
}

static void replace(struct tni_kappender *appender)
{
    struct tn_err err = TN_ERR_INIT;
    rd_kafka_t *fresh = NULL;
    char text[256];
    rd_kafka_resp_err_t code = rd_kafka_fatal_error(appender->rk, text, sizeof text);
    tn_logf(TN_LOG_WARN, "kafka", "producer failed, a new one takes over: %s: %s",
            rd_kafka_err2name(code), text);
    if (tn_failed(
            tni_kafka_new(appender->kafka, TNI_KROLE_APPEND, NULL, on_report, &fresh, &err))) {
        tn_logf(TN_LOG_ERROR, "kafka", "%s", err.message);
        return;
    }
    pthread_rwlock_wrlock(&appender->swap);
    rd_kafka_purge(appender->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    rd_kafka_flush(appender->rk, DRAIN_MS);
    tni_kafka_rkts_free(appender->rkts);
    appender->rkts = NULL;
    rd_kafka_destroy(appender->rk);
    appender->rk = fresh;
    pthread_rwlock_unlock(&appender->swap);
}

static void *appender_main(void *arg)
{
    struct tni_kappender *appender = arg;
    while (!atomic_load(&appender->is_closing)) {
        rd_kafka_poll(appender->rk, POLL_MS);
        if (rd_kafka_fatal_error(appender->rk, NULL, 0))
            replace(appender);
    }
    return NULL;
}

/* ---- append ---- */

static void refuse(tn_append_done done, void *ctx, const struct tn_err *err)
{
    done(ctx, err->code, -1, err);
}

static bool check(struct tni_kafka *kafka, const struct tn_topic *topic, int32_t partition,
                  const struct tn_records *records, struct tn_err *err)
{
    struct tni_kappender *appender = kafka->appender;
    struct tni_ktopic *live = tni_kafka_topic_live(kafka, topic);
    if (!live) {
        tn_err_set(err, TN_E_NAME, "topic '%s' is gone", topic->name);
        return false;
    }
    if (partition < 0 || partition >= live->partitions_count) {
        tn_err_set(err, TN_E_NAME, "topic '%s' has no partition %d", topic->name, partition);
        return false;
    }
    for (uint32_t i = 0; i < records->count; i++)
        if (records->keys[i].len + records->values[i].len > TN_RECORD_BYTES_MAX) {
            tn_err_set(err, TN_E_LIMIT, "a record of %zu bytes; at most %zu",
                       records->keys[i].len + records->values[i].len, TN_RECORD_BYTES_MAX);
            return false;
        }
    if (atomic_load(&appender->records) + records->count > INFLIGHT_RECORDS_MAX ||
        atomic_load(&appender->bytes) > INFLIGHT_BYTES_MAX) {
        tn_err_set(err, TN_E_BUSY, "too many records wait for Kafka's acknowledgement");
        err->retriable = true;
        return false;
    }
    return true;
}

void tni_kafka_append(struct tn_log *log, const struct tn_topic *topic, int32_t partition,
                      struct tn_records *records, tn_append_done done, void *ctx)
{
    struct tni_kafka *kafka = (struct tni_kafka *)log;
    struct tni_kappender *appender = kafka->appender;
    struct tn_err err = TN_ERR_INIT;
    if (!check(kafka, topic, partition, records, &err)) {
        refuse(done, ctx, &err);
        return;
    }
    if (records->count == 0) {
        done(ctx, TN_OK, 0, &err);
        return;
    }
    struct append *append = tn_alloc(sizeof *append);
    *append = (struct append){.appender = appender,
                              .done = done,
                              .ctx = ctx,
                              .records = tn_records_ref(records),
                              .left = records->count,
                              .base = -1,
                              .partition = partition};
    memcpy(append->topic, topic->name, sizeof append->topic);
    atomic_fetch_add(&appender->records, records->count);
    atomic_fetch_add(&appender->bytes, (long long)records->bytes);
    uint32_t count = records->count, queued = 0;
    rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR_NO_ERROR;
    pthread_rwlock_rdlock(&appender->swap);
    pthread_mutex_lock(&appender->lock);
    rd_kafka_topic_t *rkt = tni_kafka_rkt(&appender->rkts, appender->rk, topic->name);
    while (queued < count && !code) {
        code = tni_kafka_produce(appender->rk, rkt, partition, records, queued, append);
        queued += !code;
    }
    pthread_mutex_unlock(&appender->lock);
    pthread_rwlock_unlock(&appender->swap);
    if (!code)
        return;               /* `append` may be gone already */
    note_error(append, code); /* what was not queued gets no report */
    if (atomic_fetch_sub(&append->left, count - queued) == count - queued)
        finish(append);
}

/* ---- open, close ---- */

enum tn_status tni_kafka_appender_open(struct tni_kafka *kafka, struct tn_err *err)
{
    struct tni_kappender *appender = tn_alloc(sizeof *appender);
    kafka->appender = appender;
    appender->kafka = kafka;
    pthread_rwlock_init(&appender->swap, NULL);
    pthread_mutex_init(&appender->lock, NULL);
    TN_TRY(tni_kafka_new(kafka, TNI_KROLE_APPEND, NULL, on_report, &appender->rk, err));
    if (pthread_create(&appender->thread, NULL, appender_main, appender) != 0)
        return tn_err_set(err, TN_E_INTERNAL, "cannot start the appender's thread");
    appender->has_thread = true;
    return TN_OK;
}

void tni_kafka_appender_close(struct tni_kafka *kafka)
{
    struct tni_kappender *appender = kafka->appender;
    if (!appender)
        return;
    atomic_store(&appender->is_closing, true);
    if (appender->has_thread)
        pthread_join(appender->thread, NULL);
    if (appender->rk) {
        rd_kafka_flush(appender->rk, DRAIN_MS);
        if (rd_kafka_outq_len(appender->rk)) {
            rd_kafka_purge(appender->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
            rd_kafka_flush(appender->rk, DRAIN_MS);
        }
        tni_kafka_rkts_free(appender->rkts);
        tni_kafka_reap(kafka, appender->rk);
    }
    pthread_rwlock_destroy(&appender->swap);
    pthread_mutex_destroy(&appender->lock);
    tn_free(appender);
    kafka->appender = NULL;
}
