/* Inside of the Kafka log's transactions: kafka_txn.c (the producer's thread) and kafka_txn_port.c
 * (what the engine calls). See kafka_txn.c. @thread see there */
#ifndef TN_CONNECTORS_KAFKA_TXN_INT_H
#define TN_CONNECTORS_KAFKA_TXN_INT_H

#include "connectors/kafka_int.h"

#define TNI_KTXN_POLL_MS     100
#define TNI_KTXN_FAILED_NONE UINT32_MAX

enum tni_ktxns_state { SETTLING, READY, OPEN, COMMITTING, ABORTING, TOUCHING, FENCED };

struct tni_ktxn_slot {
    struct tn_log_txn *txn;
    uint32_t number;
    struct tn_records *records;
    int64_t first; /* lowest offset reported; −1 */
    uint32_t queued;
    struct tni_ktxn_slot *next;
};

struct tn_log_txn {
    struct tni_ktxns *txns;
    struct tni_ktxn_slot *slots, *last_slot;
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
    char failed_topic[TN_TOPIC_NAME_MAX + 1];
    bool is_abandoned; /* under lock: closed while it was committed */
};

/* A "txn" thread. Its own while it is abandoned. */
struct tni_ktxn_runner {
    struct tni_ktxns *txns;
    pthread_t thread;
    int64_t call_since_ns; /* a call that waits is under way; under lock, 0: none */
    bool is_abandoned;     /* under lock */
    rd_kafka_t *rk;        /* abandoned with it */
    struct tni_krkt *rkts;
    struct tn_log_txn *txn;
};

struct tni_ktxns {
    struct tni_kafka *kafka;
    struct tni_ktxn_runner *runner;
    uint32_t abandoned_count; /* calls that have not come back; under lock */
    rd_kafka_t *rk;           /* txn thread replaces it in SETTLING only */
    struct tni_krkt *rkts;
    struct tn_topic positions_topic;
    bool has_positions_topic;
    atomic_llong positions_next; /* behind the last record of it that a broker has */
    int64_t positions_committed; /* the same when a commit was acknowledged; −1: none. Under lock */
    bool was_aborted;            /* the last one with positions; under lock */
    bool is_touch_commit;        /* of TOUCHING */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    enum tni_ktxns_state state;
    struct tn_log_txn *txn;       /* the open one; in ABORTING owned by the thread */
    struct tn_err err;            /* FENCED, or why SETTLING takes so long */
    struct tn_log_member *member; /* under lock; changes only while nothing is committed */
    int64_t fenced_at_ns;
    bool is_closing;
    bool is_closed; /* the last abandoned runner frees this; under lock */
    bool is_broken; /* SETTLING begins with another producer */
};

void tni_ktxn_free(struct tn_log_txn *txn);
const struct tni_ktxn_slot *tni_ktxn_slot_of(const struct tn_log_txn *txn, uint32_t number);
/* lock held */
void tni_ktxns_wait(struct tni_ktxns *txns, int ms);

#endif
