/* Transactions of the Kafka log as the engine sees them: begin, append, positions, commit. Nothing
 * here waits for a server; kafka_txn.c has the thread that does, and the drawing.
 * @thread commit thread */
#include "connectors/kafka_txn_int.h"

#include "stream/base/mem.h"

#define SETTLED_MS 60000

static enum tn_status begin_producer(struct tni_ktxns *txns, struct tn_err *err)
{
    rd_kafka_error_t *error = rd_kafka_begin_transaction(txns->rk);
    if (!error)
        return TN_OK;
    enum tn_status st = tni_kafka_err(err, rd_kafka_error_code(error), "kafka: begin");
    bool is_fatal = rd_kafka_error_is_fatal(error) != 0;
    rd_kafka_error_destroy(error);
    if (!is_fatal)
        return st;
    pthread_mutex_lock(&txns->lock); /* found out between two rounds */
    txns->is_broken = true;
    txns->state = SETTLING;
    pthread_cond_broadcast(&txns->changed);
    pthread_mutex_unlock(&txns->lock);
    return TN_E_INDEFINITE;
}

enum tn_status tni_kafka_begin(struct tn_log *log, struct tn_log_txn **ret_txn, struct tn_err *err)
{
    struct tni_kafka *kafka = (struct tni_kafka *)log;
    struct tni_ktxns *txns = kafka->txns;
    if (!txns->has_positions_topic) {
        TN_TRY(tni_kafka_topic_internal(kafka, "positions", 1, TN_CLEANUP_COMPACT,
                                        &txns->positions_topic, err));
        txns->has_positions_topic = true;
    }
    pthread_mutex_lock(&txns->lock);
    enum tni_ktxns_state state = txns->state;
    bool has_txn = txns->txn && state != ABORTING;
    if (state == FENCED && err)
        *err = txns->err;
    pthread_mutex_unlock(&txns->lock);
    if (has_txn)
        return tn_err_set(err, TN_E_BUSY, "a transaction is open already");
    if (state == FENCED)
        return TN_E_FENCED;
    if (state != READY)
        return TN_AGAIN;
    if (!kafka->is_at_least_once)
        TN_TRY(begin_producer(txns, err));
    struct tn_log_txn *txn = tn_alloc(sizeof *txn);
    *txn =
        (struct tn_log_txn){.txns = txns, .outcome = TN_AGAIN, .failed_slot = TNI_KTXN_FAILED_NONE};
    tn_records_builder_init(&txn->positions);
    pthread_mutex_lock(&txns->lock);
    txns->txn = txn;
    txns->state = OPEN;
    pthread_mutex_unlock(&txns->lock);
    *ret_txn = txn;
    return TN_OK;
}

static enum tn_status check_append(struct tni_kafka *kafka, const struct tn_topic *topic,
                                   int32_t partition, const struct tn_records *records,
                                   struct tn_err *err)
{
    const struct tni_ktopic *live = tni_kafka_topic_live(kafka, topic);
    if (!live)
        return tn_err_set(err, TN_E_NAME, "topic '%s' is gone", topic->name);
    if (partition < 0 || partition >= live->partitions_count)
        return tn_err_set(err, TN_E_NAME, "topic '%s' has no partition %d", topic->name, partition);
    for (uint32_t i = 0; i < records->count; i++)
        if (records->keys[i].len + records->values[i].len > TN_RECORD_BYTES_MAX)
            return tn_err_set(err, TN_E_LIMIT, "topic '%s': a record of %zu bytes; at most %zu",
                              topic->name, records->keys[i].len + records->values[i].len,
                              TN_RECORD_BYTES_MAX);
    return TN_OK;
}

static struct tni_ktxn_slot *add_slot(struct tn_log_txn *txn, struct tn_records *records)
{
    struct tni_ktxn_slot *slot = tn_alloc(sizeof *slot);
    *slot = (struct tni_ktxn_slot){
        .txn = txn, .number = txn->slots_count++, .records = tn_records_ref(records), .first = -1};
    if (txn->last_slot)
        txn->last_slot->next = slot;
    else
        txn->slots = slot;
    txn->last_slot = slot;
    return slot;
}

#define ASK_MS 20

/* A full queue answers TN_AGAIN, so do partitions that the producer does not know yet (the topic
 * got more, or was made anew with more); the next call with the same records goes on where this one
 * ended.
 */
enum tn_status tni_kafka_txn_append(struct tn_log_txn *txn, const struct tn_topic *topic,
                                    int32_t partition, struct tn_records *records,
                                    uint32_t *ret_slot, struct tn_err *err)
{
    struct tni_ktxns *txns = txn->txns;
    struct tni_ktxn_slot *slot = txn->last_slot;
    bool goes_on = slot && slot->records == records && slot->queued < records->count;
    if (!goes_on) {
        TN_TRY(check_append(txns->kafka, topic, partition, records, err));
        slot = add_slot(txn, records);
    }
    rd_kafka_topic_t *rkt = tni_kafka_rkt(&txns->rkts, txns->rk, topic->name);
    for (; slot->queued < records->count; slot->queued++) {
        rd_kafka_resp_err_t code =
            tni_kafka_produce(txns->rk, rkt, partition, records, slot->queued, slot);
        if (code == RD_KAFKA_RESP_ERR__QUEUE_FULL)
            return TN_AGAIN;
        bool is_stale = code == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION ||
                        code == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC;
        if (is_stale && tni_kafka_topic_live(txns->kafka, topic)) { /* it is there: check_append */
            tni_kafka_ask_again(txns->rk, rkt, ASK_MS);
            return TN_AGAIN;
        }
        if (code)
            return tni_kafka_err(err, code, "topic '%s' partition %d", topic->name, partition);
    }
    if (ret_slot)
        *ret_slot = slot->number;
    return TN_OK;
}

enum tn_status tni_kafka_txn_position(struct tn_log_txn *txn, struct tn_str key,
                                      struct tn_str value, struct tn_err *err)
{
    (void)err;
    tn_records_builder_add(&txn->positions, key, value, tn_wall_ms(txn->txns->kafka->clock));
    return TN_OK;
}

enum tn_status tni_kafka_txn_group_offset(struct tn_log_txn *txn, const struct tn_topic *topic,
                                          int32_t partition, int64_t offset, struct tn_err *err)
{
    (void)err;
    if (!txn->group)
        txn->group = rd_kafka_topic_partition_list_new(16);
    rd_kafka_topic_partition_t *part =
        rd_kafka_topic_partition_list_find(txn->group, topic->name, partition);
    if (!part)
        part = rd_kafka_topic_partition_list_add(txn->group, topic->name, partition);
    part->offset = offset;
    return TN_OK;
}

enum tn_status tni_kafka_commit_start(struct tn_log_txn *txn, struct tn_wake *wake,
                                      struct tn_err *err)
{
    struct tni_ktxns *txns = txn->txns;
    (void)err;
    pthread_mutex_lock(&txns->lock);
    TN_ASSERT(txns->state == OPEN && txns->txn == txn);
    txn->wake = wake;
    txns->state = COMMITTING;
    pthread_cond_broadcast(&txns->changed);
    pthread_mutex_unlock(&txns->lock);
    return TN_OK;
}

enum tn_status tni_kafka_commit_poll(struct tn_log_txn *txn, struct tn_err *err)
{
    pthread_mutex_lock(&txn->txns->lock);
    enum tn_status st = txn->outcome;
    if (tn_failed(st) && err)
        *err = txn->err;
    pthread_mutex_unlock(&txn->txns->lock);
    return st;
}

int64_t tni_kafka_txn_offset(const struct tn_log_txn *txn, uint32_t number)
{
    const struct tni_ktxn_slot *slot = tni_ktxn_slot_of(txn, number);
    return slot ? slot->first : -1;
}

uint32_t tni_kafka_txn_failed_slot(const struct tn_log_txn *txn)
{
    return txn->failed_slot;
}

void tni_kafka_txn_close(struct tn_log_txn *txn)
{
    if (!txn)
        return;
    struct tni_ktxns *txns = txn->txns;
    pthread_mutex_lock(&txns->lock);
    if (txns->state == OPEN && txns->txn == txn) {
        txns->state = ABORTING; /* the thread frees it */
        txn = NULL;
    } else if (txn->outcome == TN_AGAIN) {
        txn->is_abandoned = true;
        txn = NULL;
    } else {
        txns->txn = NULL;
    }
    pthread_cond_broadcast(&txns->changed);
    pthread_mutex_unlock(&txns->lock);
    tni_ktxn_free(txn);
}

enum tn_status tni_kafka_txns_settled(struct tni_kafka *kafka, struct tn_err *err)
{
    struct tni_ktxns *txns = kafka->txns;
    enum tn_status st = TN_OK;
    int64_t deadline = tn_mono_ns(kafka->clock) + SETTLED_MS * 1000000ll;
    pthread_mutex_lock(&txns->lock);
    while (txns->state == SETTLING || txns->state == ABORTING) {
        if (tn_mono_ns(kafka->clock) > deadline) {
            st = tn_err_set(err, TN_E_IO, "kafka: an earlier transaction is not settled: %s",
                            txns->err.message);
            break;
        }
        tni_ktxns_wait(txns, TNI_KTXN_POLL_MS);
    }
    pthread_mutex_unlock(&txns->lock);
    return st;
}

void tni_kafka_txns_rejoined(struct tni_kafka *kafka, struct tn_log_member *member)
{
    struct tni_ktxns *txns = kafka->txns;
    pthread_mutex_lock(&txns->lock);
    while (txns->state == COMMITTING)
        tni_ktxns_wait(txns, TNI_KTXN_POLL_MS);
    txns->member = member;
    if (txns->state == FENCED && member) {
        txns->fenced_at_ns = 0;
        txns->state = SETTLING;
        pthread_cond_broadcast(&txns->changed);
    }
    pthread_mutex_unlock(&txns->lock);
}
