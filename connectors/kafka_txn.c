/* Transactions of the Kafka log.
 *
 * HOW IT WORKS. One transactional producer per process, id = application id + id of the state
 * folder. Its thread makes every call that waits; the commit thread only fills librdkafka's queue
 * and looks at the state:
 *
 *   SETTLING ──init_transactions──► READY ──begin──► OPEN ──commit_start──► COMMITTING ──► READY
 *      ▲  new producer, same id                       │ txn_close                │
 *      │                                              ▼                          │ unknown outcome,
 *      └──────────────────────────────────────── ABORTING ──failed──────────────►┘ fenced
 *
 * OUTCOMES. Asked to abort: the producer aborts and is used on; the round is processed again.
 * Anything whose outcome is not known (a deadline, a broken connection during the end of the
 * transaction): never guessed and never used again; the producer is destroyed and another one with
 * the same id settles the old transaction before anything else happens. Fenced: a producer of this
 * id was begun elsewhere, or the broker gave up on us (a suspended process). The first time that is
 * treated like an unknown outcome, since committed positions decide; again within a minute means
 * that another process works with a copy of this state folder, and the log says so and stays
 * fenced.
 *
 * At-least-once: the same calls with a producer that is not transactional. Outputs are flushed
 * first, then the positions are written and flushed, then the group's offsets are committed.
 *
 * @thread commit thread; "txn": the producer's thread. state and outcome are under lock.
 */
#include "connectors/kafka_int.h"

#include <stdio.h>
#include <time.h>

#include "stream/base/crashpoint.h"
#include "stream/base/logline.h"
#include "stream/base/mem.h"

#define POLL_MS     100
#define RETRY_MS    500
#define FENCE_NS    60000000000ll
#define SETTLED_MS  60000
#define FAILED_NONE UINT32_MAX

enum txns_state { SETTLING, READY, OPEN, COMMITTING, ABORTING, FENCED };

struct slot {
    struct tn_log_txn *txn;
    uint32_t number;
    struct tn_records *records;
    int64_t first; /* lowest offset reported; −1 */
    uint32_t queued;
    struct slot *next;
};

struct tn_log_txn {
    struct tni_ktxns *txns;
    struct slot *slots, *last_slot;
    uint32_t slots_count;
    struct tn_records_builder positions;
    struct tn_records *positions_records; /* while they are on their way */
    rd_kafka_topic_partition_list_t *group;
    struct tn_wake *wake;
    enum tn_status outcome; /* under lock; TN_AGAIN until known */
    enum tn_status result;  /* the thread's, before it becomes the outcome; so is the rest */
    struct tn_err err;
    uint32_t failed_slot;
    rd_kafka_resp_err_t failed_code;
    bool is_abandoned; /* under lock: closed while it was committed */
};

struct tni_ktxns {
    struct tni_kafka *kafka;
    rd_kafka_t *rk; /* txn thread replaces it in SETTLING only */
    struct tni_krkt *rkts;
    struct tn_topic positions_topic;
    bool has_positions_topic;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    enum txns_state state;
    struct tn_log_txn *txn;       /* the open one; in ABORTING owned by the thread */
    struct tn_err err;            /* FENCED, or why SETTLING takes so long */
    struct tn_log_member *member; /* under lock; changes only while nothing is committed */
    int64_t fenced_at_ns;
    bool is_closing, has_thread;
    bool is_broken; /* SETTLING begins with another producer */
    pthread_t thread;
};

/* ---- reports ---- */

static void on_report(rd_kafka_t *rk, const rd_kafka_message_t *msg, void *opaque)
{
    struct slot *slot = msg->_private;
    (void)rk;
    (void)opaque;
    if (!slot)
        return; /* a position */
    if (!msg->err) {
        if (slot->first < 0 || msg->offset < slot->first)
            slot->first = msg->offset;
        return;
    }
    struct tn_log_txn *txn = slot->txn;
    enum tn_status st = tni_kafka_status(msg->err);
    bool is_to_blame =
        st == TN_E_LIMIT || st == TN_E_NAME || st == TN_E_DENIED || st == TN_E_INVALID;
    if (is_to_blame && txn->failed_slot == FAILED_NONE) {
        txn->failed_slot = slot->number;
        txn->failed_code = msg->err;
    }
}

/* ---- the producer ---- */

static void txn_free(struct tn_log_txn *txn)
{
    if (!txn)
        return;
    for (struct slot *slot = txn->slots, *next; slot; slot = next) {
        next = slot->next;
        tn_records_unref(slot->records);
        tn_free(slot);
    }
    tn_records_unref(txn->positions_records);
    tn_records_builder_release(&txn->positions);
    if (txn->group)
        rd_kafka_topic_partition_list_destroy(txn->group);
    tn_free(txn);
}

static void producer_destroy(struct tni_ktxns *txns)
{
    if (!txns->rk)
        return;
    rd_kafka_purge(txns->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    rd_kafka_poll(txns->rk, 0);
    tni_kafka_rkts_free(txns->rkts);
    txns->rkts = NULL;
    rd_kafka_destroy(txns->rk);
    txns->rk = NULL;
}

/* init_transactions until it works; the lock is not held. false: closing, or for ever impossible.
 */
static bool settle(struct tni_ktxns *txns, struct tn_err *ret_err)
{
    struct tni_kafka *kafka = txns->kafka;
    if (!txns->rk &&
        tn_failed(tni_kafka_new(kafka, TNI_KROLE_TXN, txns, on_report, &txns->rk, ret_err)))
        return false;
    size_t others;
    if (tn_failed(tni_kafka_group_look(kafka, &others, ret_err)))
        return false; /* a commit would wait for the coordinator without end */
    if (kafka->is_at_least_once)
        return true;
    rd_kafka_error_t *error = rd_kafka_init_transactions(txns->rk, TNI_KAFKA_TXN_WAIT_MS);
    if (!error)
        return true;
    rd_kafka_resp_err_t code = rd_kafka_error_code(error);
    tni_kafka_err(ret_err, code, "kafka: transactions of '%s-%s'", kafka->application_id,
                  kafka->instance_id);
    bool is_fatal = rd_kafka_error_is_fatal(error) != 0;
    rd_kafka_error_destroy(error);
    if (is_fatal)
        producer_destroy(txns);
    return false;
}

static void wait_a_while(struct tni_ktxns *txns, int ms)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += (long)ms * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_cond_timedwait(&txns->changed, &txns->lock, &until);
}

/* lock held */
static void step_settling(struct tni_ktxns *txns)
{
    struct tn_err err = TN_ERR_INIT;
    bool is_broken = txns->is_broken;
    txns->is_broken = false;
    pthread_mutex_unlock(&txns->lock);
    if (is_broken)
        producer_destroy(txns);
    bool is_settled = settle(txns, &err);
    pthread_mutex_lock(&txns->lock);
    if (is_settled) {
        txns->state = READY;
        txns->err = (struct tn_err)TN_ERR_INIT;
        pthread_cond_broadcast(&txns->changed);
        return;
    }
    if (strcmp(err.message, txns->err.message) != 0)
        tn_logf(TN_LOG_WARN, "kafka", "state=waiting what=transactions reason=\"%s\"", err.message);
    txns->err = err;
    pthread_cond_broadcast(&txns->changed);
    if (!txns->is_closing)
        wait_a_while(txns, RETRY_MS);
}

/* ---- outcomes ---- */

static void set_outcome(struct tn_log_txn *txn, enum tn_status st, const char *what)
{
    txn->result = st;
    if (st == TN_OK)
        return;
    tn_err_set(&txn->err, st, "%s", what);
    txn->err.retriable = st == TN_E_IO;
}

static const struct slot *slot_of(const struct tn_log_txn *txn, uint32_t number)
{
    const struct slot *slot = txn->slots;
    while (slot && slot->number != number)
        slot = slot->next;
    return slot;
}

static bool aborted(struct tni_ktxns *txns)
{
    if (txns->kafka->is_at_least_once) {
        rd_kafka_purge(txns->rk, RD_KAFKA_PURGE_F_QUEUE);
        rd_kafka_flush(txns->rk, TNI_KAFKA_TXN_WAIT_MS);
        return true;
    }
    rd_kafka_error_t *error = rd_kafka_abort_transaction(txns->rk, TNI_KAFKA_TXN_WAIT_MS);
    if (!error)
        return true;
    tn_logf(TN_LOG_WARN, "kafka", "abort not settled: %s", rd_kafka_error_string(error));
    rd_kafka_error_destroy(error);
    return false;
}

/* Fenced once is a producer that the broker gave up on; twice in a minute is somebody else. */
static bool is_fenced_again(struct tni_ktxns *txns)
{
    int64_t now = tn_mono_ns(txns->kafka->clock);
    bool is_again = txns->fenced_at_ns && now - txns->fenced_at_ns < FENCE_NS;
    txns->fenced_at_ns = now;
    return is_again;
}

static bool is_fencing(rd_kafka_resp_err_t code)
{
    return tni_kafka_status(code) == TN_E_FENCED;
}

/* The end of a transaction that did not commit; decides what becomes of the producer. */
static enum txns_state fail_txn(struct tni_ktxns *txns, struct tn_log_txn *txn,
                                rd_kafka_error_t *error)
{
    char text[300];
    rd_kafka_resp_err_t code = rd_kafka_error_code(error);
    snprintf(text, sizeof text, "kafka: transaction not committed: %s",
             rd_kafka_error_string(error));
    bool is_abortable = rd_kafka_error_txn_requires_abort(error) != 0;
    bool is_fatal = rd_kafka_error_is_fatal(error) != 0;
    rd_kafka_error_destroy(error);
    bool is_stale = code == RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION; /* maybe our own verdict */
    if ((is_abortable || is_stale) && !is_fatal && aborted(txns)) {
        if (txn->failed_slot != FAILED_NONE && slot_of(txn, txn->failed_slot))
            txn->result =
                tni_kafka_err(&txn->err, txn->failed_code, "kafka: records of a transaction");
        else
            set_outcome(txn, TN_E_IO, text);
        return READY;
    }
    if (is_fencing(code) && is_fenced_again(txns)) {
        set_outcome(txn, TN_E_FENCED, text);
        tn_err_set(&txn->err, TN_E_FENCED, "another process works with the transactions of '%s-%s'",
                   txns->kafka->application_id, txns->kafka->instance_id);
        tn_err_hint(&txn->err, "it runs on a copy of this state folder: end one of the two");
        return FENCED;
    }
    set_outcome(txn, TN_E_INDEFINITE, text);
    return SETTLING;
}

static rd_kafka_error_t *send_group(struct tni_ktxns *txns, const struct tn_log_txn *txn)
{
    if (!txn->group)
        return NULL;
    rd_kafka_consumer_group_metadata_t *meta =
        txns->member ? tni_kafka_member_metadata(txns->member)
                     : rd_kafka_consumer_group_metadata_new(txns->kafka->application_id);
    if (!meta)
        return rd_kafka_error_new(RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION,
                                  "partitions were lost while the round was open");
    rd_kafka_error_t *error =
        rd_kafka_send_offsets_to_transaction(txns->rk, txn->group, meta, TNI_KAFKA_TXN_WAIT_MS);
    rd_kafka_consumer_group_metadata_destroy(meta);
    return error;
}

static rd_kafka_resp_err_t produce_positions(struct tni_ktxns *txns, struct tn_log_txn *txn)
{
    if (txn->positions.count == 0)
        return RD_KAFKA_RESP_ERR_NO_ERROR;
    txn->positions_records = tn_records_builder_finish(&txn->positions);
    rd_kafka_topic_t *rkt = tni_kafka_rkt(&txns->rkts, txns->rk, txns->positions_topic.name);
    for (uint32_t i = 0; i < txn->positions_records->count; i++) {
        rd_kafka_resp_err_t code =
            tni_kafka_produce(txns->rk, rkt, 0, txn->positions_records, i, NULL);
        if (code)
            return code;
    }
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static enum txns_state commit_exactly_once(struct tni_ktxns *txns, struct tn_log_txn *txn)
{
    rd_kafka_resp_err_t code = produce_positions(txns, txn);
    if (code) {
        set_outcome(txn, TN_E_INDEFINITE, rd_kafka_err2str(code));
        return SETTLING;
    }
    tn_crash_point("kafka-before-offsets");
    /* The offsets after all records: a member that lost its partitions is refused here, or its
     * successor sees its records as undecided. */
    if (txn->group && (code = rd_kafka_flush(txns->rk, TNI_KAFKA_TXN_WAIT_MS))) {
        set_outcome(txn, TN_E_INDEFINITE, rd_kafka_err2str(code));
        return SETTLING;
    }
    rd_kafka_error_t *error = send_group(txns, txn);
    tn_crash_point("kafka-before-commit");
    if (!error)
        error = rd_kafka_commit_transaction(txns->rk, TNI_KAFKA_TXN_WAIT_MS);
    tn_crash_point("kafka-after-commit");
    if (error)
        return fail_txn(txns, txn, error);
    txn->result = TN_OK;
    return READY;
}

/* Outputs, then positions, then the group's offsets: whatever is lost is done again. */
static enum txns_state commit_at_least_once(struct tni_ktxns *txns, struct tn_log_txn *txn)
{
    rd_kafka_resp_err_t code = rd_kafka_flush(txns->rk, TNI_KAFKA_TXN_WAIT_MS);
    if (!code && txn->failed_slot != FAILED_NONE) {
        txn->result = tni_kafka_err(&txn->err, txn->failed_code, "kafka: records of a round");
        return READY;
    }
    for (const struct slot *slot = txn->slots; slot && !code; slot = slot->next)
        if (slot->first < 0 && slot->records->count)
            code = RD_KAFKA_RESP_ERR__MSG_TIMED_OUT;
    if (!code)
        code = produce_positions(txns, txn);
    if (!code)
        code = rd_kafka_flush(txns->rk, TNI_KAFKA_TXN_WAIT_MS);
    if (code) {
        set_outcome(txn, TN_E_INDEFINITE, rd_kafka_err2str(code));
        return SETTLING;
    }
    txn->result = TN_OK;
    return READY;
}

/* lock held */
static void step_committing(struct tni_ktxns *txns)
{
    struct tn_log_txn *txn = txns->txn;
    struct tni_kafka *kafka = txns->kafka;
    pthread_mutex_unlock(&txns->lock);
    enum txns_state next =
        kafka->is_at_least_once ? commit_at_least_once(txns, txn) : commit_exactly_once(txns, txn);
    if (next == SETTLING || next == FENCED)
        producer_destroy(txns); /* before the records can go */
    struct tn_metric *metric = txn->result == TN_OK ? kafka->m_commits : kafka->m_aborts;
    if (metric)
        tn_metric_add(metric, 1);
    pthread_mutex_lock(&txns->lock);
    txns->state = next;
    if (next == FENCED)
        txns->err = txn->err;
    txn->outcome = txn->result;
    if (txn->wake && !txn->is_abandoned)
        txn->wake->signal(txn->wake);
    if (txn->is_abandoned) {
        txns->txn = NULL;
        txn_free(txn);
    }
    pthread_cond_broadcast(&txns->changed);
}

/* lock held; the transaction is the thread's */
static void step_aborting(struct tni_ktxns *txns)
{
    struct tn_log_txn *txn = txns->txn;
    pthread_mutex_unlock(&txns->lock);
    bool is_done = aborted(txns);
    if (!is_done)
        producer_destroy(txns);
    if (txns->kafka->m_aborts)
        tn_metric_add(txns->kafka->m_aborts, 1);
    txn_free(txn);
    pthread_mutex_lock(&txns->lock);
    txns->txn = NULL;
    txns->state = is_done ? READY : SETTLING;
    pthread_cond_broadcast(&txns->changed);
}

static void *txns_main(void *arg)
{
    struct tni_ktxns *txns = arg;
    pthread_mutex_lock(&txns->lock);
    while (!txns->is_closing || txns->state == ABORTING || txns->state == COMMITTING)
        switch (txns->state) {
        case SETTLING: step_settling(txns); break;
        case COMMITTING: step_committing(txns); break;
        case ABORTING: step_aborting(txns); break;
        case READY:
        case OPEN:
        case FENCED:
            wait_a_while(txns, POLL_MS);
            if (txns->rk && txns->state == OPEN) {
                pthread_mutex_unlock(&txns->lock);
                rd_kafka_poll(txns->rk, 0); /* reports of a long round */
                pthread_mutex_lock(&txns->lock);
            }
            break;
        }
    pthread_mutex_unlock(&txns->lock);
    return NULL;
}

/* ---- the port ---- */

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
    enum txns_state state = txns->state;
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
    *txn = (struct tn_log_txn){.txns = txns, .outcome = TN_AGAIN, .failed_slot = FAILED_NONE};
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
    if (partition < 0 || partition >= live->info.partitions_count)
        return tn_err_set(err, TN_E_NAME, "topic '%s' has no partition %d", topic->name, partition);
    for (uint32_t i = 0; i < records->count; i++)
        if (records->keys[i].len + records->values[i].len > TN_RECORD_BYTES_MAX)
            return tn_err_set(err, TN_E_LIMIT, "topic '%s': a record of %zu bytes; at most %zu",
                              topic->name, records->keys[i].len + records->values[i].len,
                              TN_RECORD_BYTES_MAX);
    return TN_OK;
}

static struct slot *add_slot(struct tn_log_txn *txn, struct tn_records *records)
{
    struct slot *slot = tn_alloc(sizeof *slot);
    *slot = (struct slot){
        .txn = txn, .number = txn->slots_count++, .records = tn_records_ref(records), .first = -1};
    if (txn->last_slot)
        txn->last_slot->next = slot;
    else
        txn->slots = slot;
    txn->last_slot = slot;
    return slot;
}

/* A full queue answers TN_AGAIN; the next call with the same records goes on where this one ended.
 */
enum tn_status tni_kafka_txn_append(struct tn_log_txn *txn, const struct tn_topic *topic,
                                    int32_t partition, struct tn_records *records,
                                    uint32_t *ret_slot, struct tn_err *err)
{
    struct tni_ktxns *txns = txn->txns;
    struct slot *slot = txn->last_slot;
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
    const struct slot *slot = slot_of(txn, number);
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
    txn_free(txn);
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
        wait_a_while(txns, POLL_MS);
    }
    pthread_mutex_unlock(&txns->lock);
    return st;
}

void tni_kafka_txns_rejoined(struct tni_kafka *kafka, struct tn_log_member *member)
{
    struct tni_ktxns *txns = kafka->txns;
    pthread_mutex_lock(&txns->lock);
    while (txns->state == COMMITTING)
        wait_a_while(txns, POLL_MS);
    txns->member = member;
    if (txns->state == FENCED && member) {
        txns->fenced_at_ns = 0;
        txns->state = SETTLING;
        pthread_cond_broadcast(&txns->changed);
    }
    pthread_mutex_unlock(&txns->lock);
}

/* ---- open, close ---- */

enum tn_status tni_kafka_txns_open(struct tni_kafka *kafka, struct tn_err *err)
{
    struct tni_ktxns *txns = tn_alloc(sizeof *txns);
    kafka->txns = txns;
    txns->kafka = kafka;
    txns->state = SETTLING;
    pthread_mutex_init(&txns->lock, NULL);
    pthread_cond_init(&txns->changed, NULL);
    txns->has_thread = pthread_create(&txns->thread, NULL, txns_main, txns) == 0;
    return txns->has_thread ? TN_OK
                            : tn_err_set(err, TN_E_INTERNAL, "cannot start the producer's thread");
}

void tni_kafka_txns_close(struct tni_kafka *kafka)
{
    struct tni_ktxns *txns = kafka->txns;
    if (!txns)
        return;
    pthread_mutex_lock(&txns->lock);
    txns->is_closing = true;
    if (txns->state == OPEN)
        txns->state = ABORTING;
    pthread_cond_broadcast(&txns->changed);
    pthread_mutex_unlock(&txns->lock);
    if (txns->has_thread)
        pthread_join(txns->thread, NULL);
    if (txns->rk) {
        tni_kafka_rkts_free(txns->rkts);
        tni_kafka_reap(kafka, txns->rk);
    }
    pthread_cond_destroy(&txns->changed);
    pthread_mutex_destroy(&txns->lock);
    tn_free(txns);
    kafka->txns = NULL;
}
