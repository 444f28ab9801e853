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
 * Stuck. A call of librdkafka may outlast the time it was given:
 * rd_kafka_send_offsets_to_transaction waits without end while no broker is there to name the
 * group's coordinator. The keeper looks at the call under way (tni_kafka_txns_watch); one that
 * takes too long is abandoned with its thread, its producer and its records, which end when the
 * call returns, and another thread begins with SETTLING: the new producer fences the old one, so
 * nothing the old call still sends has effect.
 *
 * Touch. A broker may forget to end a transaction that it has decided (Kafka 4.1 to 4.3: one that
 * is killed just then skips, when it is back, the partitions that have no leader yet). Its records
 * then stay undecided for ever, since nothing is open any more. The next end of a transaction of
 * the same producer in that partition decides for them, too; for topics of results that is the next
 * round. No round comes before the positions are read, so where those stay undecided, an empty
 * transaction in their topic ends the old one: committed if that was acknowledged, or was asked for
 * last.
 *
 * At-least-once: the same calls with a producer that is not transactional. Outputs are flushed
 * first, then the positions are written and flushed, then the group's offsets are committed.
 *
 * @thread commit thread; "txn": the producer's thread. state and outcome are under lock. A thread
 * that was abandoned touches nothing but its runner.
 */
#include "connectors/kafka_txn_int.h"

#include <inttypes.h>
#include <stdio.h>

#include "connectors/wait.h"
#include "stream/base/crashpoint.h"
#include "stream/base/logline.h"
#include "stream/base/mem.h"
#include "stream/base/time.h"

#define RETRY_MS    500
#define FENCE_NS    60000000000ll
#define CALL_NS_MAX 35000000000ll /* longer than any call is told to take */

/* ---- reports ---- */

static void on_report(rd_kafka_t *rk, const rd_kafka_message_t *msg, void *opaque)
{
    struct tni_ktxn_slot *slot = msg->_private;
    struct tni_ktxns *txns = opaque;
    (void)rk;
    if (!slot) { /* a position */
        if (!msg->err && msg->offset >= atomic_load(&txns->positions_next))
            atomic_store(&txns->positions_next, msg->offset + 1);
        return;
    }
    if (!msg->err) {
        if (slot->first < 0 || msg->offset < slot->first)
            slot->first = msg->offset;
        return;
    }
    struct tn_log_txn *txn = slot->txn;
    enum tn_status st = tni_kafka_status(msg->err);
    bool is_to_blame =
        st == TN_E_LIMIT || st == TN_E_NAME || st == TN_E_DENIED || st == TN_E_INVALID;
    if (is_to_blame && txn->failed_slot == TNI_KTXN_FAILED_NONE) {
        txn->failed_slot = slot->number;
        txn->failed_code = msg->err;
        snprintf(txn->failed_topic, sizeof txn->failed_topic, "%s", rd_kafka_topic_name(msg->rkt));
    }
}

static int64_t farthest_ms(const struct tni_ktxn_slot *slot, int64_t now_ms)
{
    int64_t farthest = now_ms;
    for (uint32_t i = 0; slot && i < slot->records->count; i++) {
        int64_t at = slot->records->timestamps_ms[i];
        if (at >= 0 && imaxabs(at - now_ms) > imaxabs(farthest - now_ms))
            farthest = at;
    }
    return farthest;
}

/* Why the broker refused the records of a slot, and what helps. */
static enum tn_status refused(struct tn_log_txn *txn)
{
    if (txn->failed_code != RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP)
        return tni_kafka_err(&txn->err, txn->failed_code, "topic '%s'", txn->failed_topic);
    struct tni_kafka *kafka = txn->txns->kafka;
    int64_t now_ms = tn_wall_ms(kafka->clock), us;
    int64_t at_ms = farthest_ms(tni_ktxn_slot_of(txn, txn->failed_slot), now_ms);
    bool is_ahead = at_ms > now_ms;
    const char *limit = is_ahead ? TNI_KAFKA_AHEAD_MAX : TNI_KAFKA_BEHIND_MAX;
    char value[TNI_KAFKA_PROPERTY_MAX], at[TN_TIME_TEXT_MAX];
    tni_kafka_topic_property(kafka, txn->failed_topic, limit, value);
    if (__builtin_mul_overflow(at_ms, TN_US_PER_MS, &us))
        us = INT64_MAX; /* no time is as far before 1970: Kafka has none */
    size_t at_len = tn_timestamp_text(us, 3, 'T', at);
    return tn_err_set(&txn->err, TN_E_INVALID,
                      "topic '%s': the broker refuses a record of %.*sZ, too far %s its clock: set "
                      "%s of the topic (%s now) higher and start tarn again; nothing is lost",
                      txn->failed_topic, (int)at_len, at, is_ahead ? "ahead of" : "behind", limit,
                      value);
}

/* ---- the producer ---- */

void tni_ktxn_free(struct tn_log_txn *txn)
{
    if (!txn)
        return;
    for (struct tni_ktxn_slot *slot = txn->slots, *next; slot; slot = next) {
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

static void handle_destroy(rd_kafka_t *rk, struct tni_krkt *rkts)
{
    rd_kafka_purge(rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    rd_kafka_poll(rk, 0);
    tni_kafka_rkts_free(rkts);
    rd_kafka_destroy(rk);
}

static void producer_destroy(struct tni_ktxns *txns)
{
    if (!txns->rk)
        return;
    handle_destroy(txns->rk, txns->rkts);
    txns->rkts = NULL;
    txns->rk = NULL;
}

/* Around every call that waits. call_end is false when the thread was abandoned meanwhile: nothing
 * of txns is its any more. */
static rd_kafka_t *call_begin(struct tni_ktxn_runner *runner)
{
    struct tni_ktxns *txns = runner->txns;
    pthread_mutex_lock(&txns->lock);
    runner->call_since_ns = tn_mono_ns(txns->kafka->clock);
    rd_kafka_t *rk = txns->rk;
    pthread_mutex_unlock(&txns->lock);
    return rk;
}

static bool call_end(struct tni_ktxn_runner *runner)
{
    pthread_mutex_lock(&runner->txns->lock);
    runner->call_since_ns = 0;
    bool is_abandoned = runner->is_abandoned;
    pthread_mutex_unlock(&runner->txns->lock);
    return !is_abandoned;
}

static rd_kafka_error_t *abandoned_error(rd_kafka_error_t *error)
{
    if (error)
        rd_kafka_error_destroy(error);
    return rd_kafka_error_new(RD_KAFKA_RESP_ERR__TIMED_OUT, "the call took too long");
}

/* init_transactions until it works; the lock is not held. false: closing, or for ever impossible.
 */
static bool settle(struct tni_ktxn_runner *self, struct tn_err *ret_err)
{
    struct tni_ktxns *txns = self->txns;
    struct tni_kafka *kafka = txns->kafka;
    if (!txns->rk &&
        tn_failed(tni_kafka_new(kafka, TNI_KROLE_TXN, txns, on_report, &txns->rk, ret_err)))
        return false;
    if (tn_failed(tni_kafka_group_coordinator(kafka, ret_err)))
        return false;
    if (kafka->is_at_least_once)
        return true;
    rd_kafka_error_t *error = rd_kafka_init_transactions(call_begin(self), TNI_KAFKA_TXN_WAIT_MS);
    if (!call_end(self))
        error = abandoned_error(error);
    if (!error)
        return true;
    rd_kafka_resp_err_t code = rd_kafka_error_code(error);
    tni_kafka_err(ret_err, code, "kafka: transactions of '%s-%s'", kafka->application_id,
                  kafka->instance_id);
    bool is_fatal = rd_kafka_error_is_fatal(error) != 0;
    rd_kafka_error_destroy(error);
    if (is_fatal && !self->is_abandoned)
        producer_destroy(txns);
    return false;
}

void tni_ktxns_wait(struct tni_ktxns *txns, int ms)
{
    (void)tn_cond_wait_for(&txns->changed, &txns->lock, (int64_t)ms * 1000000);
}

/* lock held */
static void step_settling(struct tni_ktxn_runner *self)
{
    struct tni_ktxns *txns = self->txns;
    struct tn_err err = TN_ERR_INIT;
    bool is_broken = txns->is_broken;
    txns->is_broken = false;
    pthread_mutex_unlock(&txns->lock);
    if (is_broken)
        producer_destroy(txns);
    bool is_settled = settle(self, &err);
    pthread_mutex_lock(&txns->lock);
    if (self->is_abandoned)
        return;
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
        tni_ktxns_wait(txns, RETRY_MS);
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

const struct tni_ktxn_slot *tni_ktxn_slot_of(const struct tn_log_txn *txn, uint32_t number)
{
    const struct tni_ktxn_slot *slot = txn->slots;
    while (slot && slot->number != number)
        slot = slot->next;
    return slot;
}

static bool aborted(struct tni_ktxn_runner *self)
{
    struct tni_ktxns *txns = self->txns;
    if (txns->kafka->is_at_least_once) {
        rd_kafka_purge(txns->rk, RD_KAFKA_PURGE_F_QUEUE);
        rd_kafka_flush(txns->rk, TNI_KAFKA_TXN_WAIT_MS);
        return true;
    }
    rd_kafka_error_t *error = rd_kafka_abort_transaction(call_begin(self), TNI_KAFKA_TXN_WAIT_MS);
    if (!call_end(self))
        error = abandoned_error(error);
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

/* How the last transaction with positions ended, as far as is known; see touch. */
static void note_end(struct tni_ktxns *txns, bool is_abort, bool is_acknowledged)
{
    pthread_mutex_lock(&txns->lock);
    txns->was_aborted = is_abort;
    if (is_acknowledged)
        txns->positions_committed = atomic_load(&txns->positions_next);
    pthread_mutex_unlock(&txns->lock);
}

/* The end of a transaction that did not commit; decides what becomes of the producer. */
static enum tni_ktxns_state fail_txn(struct tni_ktxn_runner *self, struct tn_log_txn *txn,
                                     rd_kafka_error_t *error)
{
    struct tni_ktxns *txns = self->txns;
    char text[300];
    rd_kafka_resp_err_t code = rd_kafka_error_code(error);
    snprintf(text, sizeof text, "kafka: transaction not committed: %s",
             rd_kafka_error_string(error));
    bool is_abortable = rd_kafka_error_txn_requires_abort(error) != 0;
    bool is_fatal = rd_kafka_error_is_fatal(error) != 0;
    rd_kafka_error_destroy(error);
    if (self->is_abandoned)
        return SETTLING; /* the transaction is not ours any more */
    bool is_stale = code == RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION; /* maybe our own verdict */
    if (txn->positions_records)
        note_end(txns, is_abortable || is_stale, false);
    if ((is_abortable || is_stale) && !is_fatal && aborted(self)) {
        if (txn->failed_slot != TNI_KTXN_FAILED_NONE && tni_ktxn_slot_of(txn, txn->failed_slot))
            txn->result = refused(txn);
        else
            set_outcome(txn, TN_E_IO, text);
        return READY;
    }
    if (self->is_abandoned)
        return SETTLING;
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

static rd_kafka_error_t *send_group(struct tni_ktxn_runner *self, const struct tn_log_txn *txn)
{
    struct tni_ktxns *txns = self->txns;
    if (!txn->group)
        return NULL;
    rd_kafka_consumer_group_metadata_t *meta =
        txns->member ? tni_kafka_member_metadata(txns->member)
                     : rd_kafka_consumer_group_metadata_new(txns->kafka->application_id);
    if (!meta)
        return rd_kafka_error_new(RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION,
                                  "partitions were lost while the round was open");
    rd_kafka_error_t *error = rd_kafka_send_offsets_to_transaction(call_begin(self), txn->group,
                                                                   meta, TNI_KAFKA_TXN_WAIT_MS);
    rd_kafka_consumer_group_metadata_destroy(meta);
    return call_end(self) ? error : abandoned_error(error);
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

static rd_kafka_error_t *commit(struct tni_ktxn_runner *self)
{
    rd_kafka_error_t *error = rd_kafka_commit_transaction(call_begin(self), TNI_KAFKA_TXN_WAIT_MS);
    return call_end(self) ? error : abandoned_error(error);
}

static enum tni_ktxns_state commit_exactly_once(struct tni_ktxn_runner *self,
                                                struct tn_log_txn *txn)
{
    struct tni_ktxns *txns = self->txns;
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
    rd_kafka_error_t *error = send_group(self, txn);
    tn_crash_point("kafka-before-commit");
    if (!error)
        error = commit(self);
    tn_crash_point("kafka-after-commit");
    if (error)
        return fail_txn(self, txn, error);
    if (txn->positions_records && !self->is_abandoned)
        note_end(txns, false, true);
    txn->result = TN_OK;
    return READY;
}

/* Outputs, then positions, then the group's offsets: whatever is lost is done again. */
static enum tni_ktxns_state commit_at_least_once(struct tni_ktxns *txns, struct tn_log_txn *txn)
{
    rd_kafka_resp_err_t code = rd_kafka_flush(txns->rk, TNI_KAFKA_TXN_WAIT_MS);
    if (!code && txn->failed_slot != TNI_KTXN_FAILED_NONE) {
        txn->result = refused(txn);
        return READY;
    }
    for (const struct tni_ktxn_slot *slot = txn->slots; slot && !code; slot = slot->next)
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
static void step_committing(struct tni_ktxn_runner *self)
{
    struct tni_ktxns *txns = self->txns;
    struct tn_log_txn *txn = txns->txn;
    struct tni_kafka *kafka = txns->kafka;
    pthread_mutex_unlock(&txns->lock);
    enum tni_ktxns_state next =
        kafka->is_at_least_once ? commit_at_least_once(txns, txn) : commit_exactly_once(self, txn);
    if (self->is_abandoned) {
        pthread_mutex_lock(&txns->lock);
        return;
    }
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
        tni_ktxn_free(txn);
    }
    pthread_cond_broadcast(&txns->changed);
}

/* lock held; the transaction is the thread's */
static void step_aborting(struct tni_ktxn_runner *self)
{
    struct tni_ktxns *txns = self->txns;
    struct tn_log_txn *txn = txns->txn;
    pthread_mutex_unlock(&txns->lock);
    bool is_done = aborted(self);
    if (self->is_abandoned) {
        pthread_mutex_lock(&txns->lock);
        return;
    }
    if (!is_done)
        producer_destroy(txns);
    if (txns->kafka->m_aborts)
        tn_metric_add(txns->kafka->m_aborts, 1);
    tni_ktxn_free(txn);
    pthread_mutex_lock(&txns->lock);
    txns->txn = NULL;
    txns->state = is_done ? READY : SETTLING;
    pthread_cond_broadcast(&txns->changed);
}

/* A transaction with nothing but a tombstone of no position. */
static rd_kafka_error_t *touch(struct tni_ktxn_runner *self, bool is_commit)
{
    struct tni_ktxns *txns = self->txns;
    static char key[] = "touch";
    rd_kafka_error_t *error = rd_kafka_begin_transaction(txns->rk);
    if (error)
        return error;
    rd_kafka_topic_t *rkt = tni_kafka_rkt(&txns->rkts, txns->rk, txns->positions_topic.name);
    rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR_NO_ERROR;
    if (rd_kafka_produce(rkt, 0, RD_KAFKA_MSG_F_COPY, NULL, 0, key, sizeof key - 1, NULL) != 0)
        code = rd_kafka_last_error();
    else
        code = rd_kafka_flush(txns->rk, TNI_KAFKA_WAIT_MS);
    if (code)
        return rd_kafka_error_new(code, "%s", rd_kafka_err2str(code));
    if (is_commit)
        return commit(self);
    return aborted(self) ? NULL : rd_kafka_error_new(RD_KAFKA_RESP_ERR__TIMED_OUT, "not settled");
}

/* lock held */
static void step_touching(struct tni_ktxn_runner *self)
{
    struct tni_ktxns *txns = self->txns;
    bool is_commit = txns->is_touch_commit;
    pthread_mutex_unlock(&txns->lock);
    rd_kafka_error_t *error = touch(self, is_commit);
    if (error && !self->is_abandoned)
        producer_destroy(txns);
    pthread_mutex_lock(&txns->lock);
    if (!self->is_abandoned)
        txns->state = error ? SETTLING : READY;
    pthread_cond_broadcast(&txns->changed);
    if (!error)
        return;
    tn_logf(TN_LOG_WARN, "kafka", "topic '%s': a transaction cannot be ended again: %s",
            txns->positions_topic.name, rd_kafka_error_string(error));
    rd_kafka_error_destroy(error);
}

bool tni_kafka_txns_touch(struct tni_kafka *kafka, const struct tn_topic *positions, int64_t stable)
{
    struct tni_ktxns *txns = kafka->txns;
    int64_t deadline = tn_mono_ns(kafka->clock) + CALL_NS_MAX;
    pthread_mutex_lock(&txns->lock);
    bool is_possible = txns->state == READY && !txns->txn && !kafka->is_at_least_once;
    if (is_possible) {
        txns->positions_topic = *positions;
        txns->has_positions_topic = true;
        txns->is_touch_commit = stable < txns->positions_committed || !txns->was_aborted;
        txns->state = TOUCHING;
        pthread_cond_broadcast(&txns->changed);
    }
    while (is_possible && txns->state == TOUCHING && !txns->is_closing &&
           tn_mono_ns(kafka->clock) < deadline)
        tni_ktxns_wait(txns, TNI_KTXN_POLL_MS);
    is_possible &= txns->state == READY;
    pthread_mutex_unlock(&txns->lock);
    return is_possible;
}

/* lock held */
static void step(struct tni_ktxn_runner *self)
{
    struct tni_ktxns *txns = self->txns;
    switch (txns->state) {
    case SETTLING: step_settling(self); break;
    case COMMITTING: step_committing(self); break;
    case ABORTING: step_aborting(self); break;
    case TOUCHING: step_touching(self); break;
    case READY:
    case OPEN:
    case FENCED:
        tni_ktxns_wait(txns, TNI_KTXN_POLL_MS);
        if (txns->rk && txns->state == OPEN) {
            pthread_mutex_unlock(&txns->lock);
            rd_kafka_poll(txns->rk, 0); /* reports of a long round */
            pthread_mutex_lock(&txns->lock);
        }
        break;
    }
}

static void txns_free(struct tni_ktxns *txns)
{
    pthread_cond_destroy(&txns->changed);
    pthread_mutex_destroy(&txns->lock);
    tn_free(txns);
}

static void *runner_main(void *arg)
{
    struct tni_ktxn_runner *self = arg;
    struct tni_ktxns *txns = self->txns;
    pthread_mutex_lock(&txns->lock);
    while (!self->is_abandoned &&
           (!txns->is_closing || txns->state == ABORTING || txns->state == COMMITTING))
        step(self);
    bool is_abandoned = self->is_abandoned;
    pthread_mutex_unlock(&txns->lock);
    if (!is_abandoned)
        return NULL;
    tn_logf(TN_LOG_INFO, "kafka", "an abandoned call has returned");
    handle_destroy(self->rk, self->rkts);
    tni_ktxn_free(self->txn);
    tn_free(self);
    pthread_mutex_lock(&txns->lock);
    bool is_last = --txns->abandoned_count == 0 && txns->is_closed;
    pthread_mutex_unlock(&txns->lock);
    if (is_last)
        txns_free(txns);
    return NULL;
}

static bool runner_start(struct tni_ktxns *txns)
{
    struct tni_ktxn_runner *runner = tn_alloc(sizeof *runner);
    *runner = (struct tni_ktxn_runner){.txns = txns};
    txns->runner = runner;
    if (pthread_create(&runner->thread, NULL, runner_main, runner) == 0)
        return true;
    txns->runner = NULL;
    tn_free(runner);
    return false;
}

/* lock held. The engine learns of an unknown outcome; what librdkafka may still read goes with the
 * runner. */
static void abandon(struct tni_ktxns *txns)
{
    struct tni_ktxn_runner *old = txns->runner;
    struct tn_log_txn *txn = txns->txn;
    old->is_abandoned = true;
    old->rk = txns->rk;
    old->rkts = txns->rkts;
    txns->rk = NULL;
    txns->rkts = NULL;
    txns->abandoned_count++;
    pthread_detach(old->thread);
    if (txn && (txns->state == ABORTING || txn->is_abandoned)) {
        old->txn = txn; /* nobody else has it */
        txns->txn = NULL;
    } else if (txn) { /* the engine frees the shell, the runner what was produced */
        old->txn = tn_alloc(sizeof *txn);
        *old->txn = *txn;
        for (struct tni_ktxn_slot *slot = old->txn->slots; slot; slot = slot->next)
            slot->txn = old->txn;
        *txn = (struct tn_log_txn){
            .txns = txns, .wake = txn->wake, .failed_slot = TNI_KTXN_FAILED_NONE};
        tn_records_builder_init(&txn->positions);
        set_outcome(txn, TN_E_INDEFINITE, "kafka: a call did not return in time");
        txn->outcome = txn->result;
        if (txn->wake)
            txn->wake->signal(txn->wake);
    }
    txns->state = SETTLING;
    pthread_cond_broadcast(&txns->changed);
}

void tni_kafka_txns_watch(struct tni_kafka *kafka)
{
    struct tni_ktxns *txns = kafka->txns;
    pthread_mutex_lock(&txns->lock);
    struct tni_ktxn_runner *runner = txns->runner;
    int64_t since = runner ? runner->call_since_ns : 0;
    bool is_stuck = since && tn_mono_ns(kafka->clock) - since > CALL_NS_MAX;
    if (is_stuck) {
        abandon(txns);
        while (!runner_start(txns))
            tni_ktxns_wait(txns, RETRY_MS);
    }
    pthread_mutex_unlock(&txns->lock);
    if (is_stuck)
        tn_logf(
            TN_LOG_WARN, "kafka",
            "state=stuck what=transactions: a call did not return, beginning with a new producer");
}

/* ---- open, close ---- */

enum tn_status tni_kafka_txns_open(struct tni_kafka *kafka, struct tn_err *err)
{
    struct tni_ktxns *txns = tn_alloc(sizeof *txns);
    kafka->txns = txns;
    txns->kafka = kafka;
    txns->state = SETTLING;
    txns->positions_committed = -1;
    pthread_mutex_init(&txns->lock, NULL);
    pthread_cond_init(&txns->changed, NULL);
    return runner_start(txns)
               ? TN_OK
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
    if (txns->runner)
        pthread_join(txns->runner->thread, NULL);
    tn_free(txns->runner);
    if (txns->rk) {
        tni_kafka_rkts_free(txns->rkts);
        tni_kafka_reap(kafka, txns->rk);
    }
    kafka->txns = NULL;
    pthread_mutex_lock(&txns->lock);
    txns->is_closed = true;
    bool is_last = txns->abandoned_count == 0;
    pthread_mutex_unlock(&txns->lock);
    if (is_last) /* a thread that comes back late still asks whether it was abandoned */
        txns_free(txns);
}
