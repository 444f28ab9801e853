/* Inside of the Kafka log; see kafka_log.h. Files: kafka_log.c (open, close, health), kafka_conf.c
 * (properties, library), kafka_topic.c (topics, offsets), kafka_read.c (fetchers, readers),
 * kafka_append.c, kafka_txn.c, kafka_positions.c.
 *
 * Locks: kafka->lock guards the lists of topics and fetchers and the health text; it is held for
 * short look-ups only, never around a call that waits. txn and appender have their own.
 */
#ifndef TN_CONNECTORS_KAFKA_INT_H
#define TN_CONNECTORS_KAFKA_INT_H

#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdatomic.h>

#include "connectors/kafka_log.h"

#define TNI_KAFKA_WAIT_MS     10000 /* one request to the servers */
#define TNI_KAFKA_TXN_WAIT_MS 20000 /* commit, abort */

/* A topic as it was seen; a recreated one is another entry. Never freed while the log is open. */
struct tni_ktopic {
    struct tn_topic info;        /* name, id, log_id: for ever; the rest under kafka->lock */
    atomic_int partitions_count; /* the same, for those without the lock */
    atomic_bool is_gone;
    atomic_bool is_suspect; /* a fetch complained: look at once */
    int64_t noted_ns;       /* first seen */
    int64_t checked_ns;     /* under kafka->lock */
};

struct tni_krkt {
    char name[TN_TOPIC_NAME_MAX + 1];
    rd_kafka_topic_t *rkt;
    struct tni_krkt *next;
};

/* A consumer without a group. One of its partitions has one follower at a time; a second follower
 * goes to another fetcher. */
struct tni_kuse {
    uint32_t topic;
    int32_t partition;
};
struct tni_kfetcher {
    rd_kafka_t *rk;
    struct tni_krkt *rkts;
    struct tni_kuse *uses;
    uint32_t uses_count, uses_cap;
    int64_t idle_since_ns;
    struct tni_kfetcher *next;
};

struct tni_kappender;
struct tni_ktxns;
struct tni_kpositions;

struct tni_kafka {
    struct tn_log base;
    char *application_id, *instance_id, *bootstrap;
    struct tn_opt_pair *properties;
    struct tn_arena arena;
    struct tn_clock *clock;
    bool is_at_least_once;
    bool is_static;              /* the next member */
    bool is_dynamic;             /* never static */
    atomic_bool has_coordinator; /* of the group: was found once */
    bool (*is_stopping)(void *ctx);
    void *stopping_ctx;

    rd_kafka_t *admin; /* read_uncommitted, no group */
    pthread_mutex_t lock;
    struct tni_ktopic **topics;
    uint32_t topics_count, topics_cap;
    atomic_ullong topics_version;
    struct tni_kfetcher *fetchers; /* the first lives as long as the log */

    pthread_t keeper; /* health and topics */
    bool has_keeper;
    pthread_cond_t keeper_cond; /* with lock */
    bool is_closing, is_look_wanted;
    bool is_healthy;
    char reason[256];        /* why not; under lock */
    char library_error[256]; /* last error_cb text; under lock */
    char trouble[256];       /* of the group: brokers answer, and refuse; under lock */
    bool is_refused;         /* credentials or certificate */
    struct tn_metric *m_up, *m_fetched, *m_appended, *m_commits, *m_aborts;

    pthread_t reapers[64]; /* of handles that end with the log */
    int reapers_count;

    struct tni_kappender *appender;
    struct tni_ktxns *txns;
    struct tni_kpositions *positions;
};

/* ---- kafka_log.c ---- */

/* Ends a handle while others end too: one takes up to a second. Closing thread; joined before the
 * log is gone. */
void tni_kafka_reap(struct tni_kafka *kafka, rd_kafka_t *rk);
/* Why the log does not work although brokers answer (part of is_healthy's reason); NULL: it does.
 * One log line per change. Any thread. */
void tni_kafka_trouble(struct tni_kafka *kafka, const char *reason);

/* ---- kafka_clock.c ---- */

/* Where it is called librdkafka's waits do not follow the wall clock. Any thread. */
void tni_kafka_clock_start(void);

/* ---- kafka_conf.c ---- */

enum tni_krole {
    TNI_KROLE_FETCH,
    TNI_KROLE_ADMIN,
    TNI_KROLE_APPEND,
    TNI_KROLE_TXN,
    TNI_KROLE_GROUP,
    TNI_KROLE_MEMBER
};

/* A handle for this role; the opaque is `opaque`. `set_more` may add callbacks before creation. */
enum tn_status tni_kafka_new(struct tni_kafka *kafka, enum tni_krole role, void *opaque,
                             void (*dr)(rd_kafka_t *rk, const rd_kafka_message_t *msg,
                                        void *opaque),
                             rd_kafka_t **ret_rk, struct tn_err *err);
enum tn_status tni_kafka_check_properties(const struct tn_opt_pair *properties, struct tn_err *err);
bool tni_kafka_is_secret(const char *name);
/* librdkafka's code as a status. */
enum tn_status tni_kafka_status(rd_kafka_resp_err_t code);
/* The status, the message "…: Kafka's text", retriable where trying again may help, a hint where
 * there is a fix. */
enum tn_status(tni_kafka_err)(struct tn_err *err, rd_kafka_resp_err_t code, const char *fmt, ...)
    TN_PRINTF(3, 4);
/* Functions newer than Debian 12's library; all NULL when they are missing. */
struct tni_kdescribe {
    void *(*of_names)(const char **names, size_t count);
    void (*collection_destroy)(void *collection);
    void (*describe)(rd_kafka_t *rk, const void *collection, const rd_kafka_AdminOptions_t *options,
                     rd_kafka_queue_t *queue);
    const void *(*result)(rd_kafka_event_t *event);
    const void **(*topics)(const void *result, size_t *ret_count);
    const rd_kafka_error_t *(*error)(const void *topic);
    const char *(*name)(const void *topic);
    const void **(*partitions)(const void *topic, size_t *ret_count);
    const void *(*topic_id)(const void *topic);
    int64_t (*id_high)(const void *id);
    int64_t (*id_low)(const void *id);
};
const struct tni_kdescribe *tni_kafka_describe_functions(void);

/* ---- kafka_topic.c ---- */

enum tn_status tni_kafka_topic_create(struct tn_log *log, const struct tn_topic_spec *spec,
                                      struct tn_err *err);
enum tn_status tni_kafka_topic_find(struct tn_log *log, const char *name,
                                    struct tn_topic *ret_topic, struct tn_err *err);
enum tn_status tni_kafka_topic_delete(struct tn_log *log, const char *name, struct tn_err *err);
enum tn_status tni_kafka_topic_each(struct tn_log *log,
                                    bool (*each)(void *ctx, const struct tn_topic *topic),
                                    void *ctx, struct tn_err *err);
/* First offset of a partition, and the one after the last written (not: visible) record. */
rd_kafka_resp_err_t tni_kafka_watermarks(struct tni_kafka *kafka, const char *topic,
                                         int32_t partition, int64_t *ret_low, int64_t *ret_high);
enum tn_status tni_kafka_offsets(struct tn_log *log, const struct tn_topic *topic,
                                 int32_t partition, struct tn_offsets *ret_offsets,
                                 struct tn_err *err);
enum tn_status tni_kafka_offset_at(struct tn_log *log, const struct tn_topic *topic,
                                   int32_t partition, int64_t timestamp_ms, int64_t *ret_offset,
                                   struct tn_err *err);
uint64_t tni_kafka_topics_version(struct tn_log *log);
/* The entry of a topic; NULL when it is gone or was recreated. */
struct tni_ktopic *tni_kafka_topic_live(struct tni_kafka *kafka, const struct tn_topic *topic);
/* Look again at all known topics; marks what is gone. Keeper thread. */
void tni_kafka_topics_refresh(struct tni_kafka *kafka);
#define TNI_KAFKA_AHEAD_MAX    "message.timestamp.after.max.ms" /* of topics; Kafka 3.6 */
#define TNI_KAFKA_BEHIND_MAX   "message.timestamp.before.max.ms"
#define TNI_KAFKA_PROPERTY_MAX 64
void tni_kafka_topic_property(struct tni_kafka *kafka, const char *name, const char *property,
                              char ret_value[TNI_KAFKA_PROPERTY_MAX]);
/* An internal topic of ours with one partition, made when absent. */
enum tn_status tni_kafka_topic_internal(struct tni_kafka *kafka, const char *suffix,
                                        int32_t partitions, enum tn_cleanup cleanup,
                                        struct tn_topic *ret_topic, struct tn_err *err);
void tni_kafka_topics_free(struct tni_kafka *kafka);

/* ---- kafka_read.c ---- */

enum tn_status tni_kafka_fetcher_new(struct tni_kafka *kafka, struct tni_kfetcher **ret_fetcher,
                                     struct tn_err *err);
void tni_kafka_fetchers_trim(struct tni_kafka *kafka); /* idle ones; keeper thread */
void tni_kafka_fetchers_free(struct tni_kafka *kafka);
enum tn_status tni_kafka_reader_open(struct tn_log *log, struct tn_wake *wake,
                                     struct tn_log_reader **ret_reader, struct tn_err *err);
void tni_kafka_reader_close(struct tn_log_reader *reader);
enum tn_status tni_kafka_read(struct tn_log_reader *reader, const struct tn_topic *topic,
                              int32_t partition, int64_t offset, size_t bytes_max,
                              struct tn_read *ret_read, struct tn_err *err);

/* ---- kafka_append.c ---- */

enum tn_status tni_kafka_appender_open(struct tni_kafka *kafka, struct tn_err *err);
void tni_kafka_appender_close(struct tni_kafka *kafka);
void tni_kafka_append(struct tn_log *log, const struct tn_topic *topic, int32_t partition,
                      struct tn_records *records, tn_append_done done, void *ctx);
/* One record into a producer's queue; never waits. `rkt` belongs to `rk`. */
rd_kafka_resp_err_t tni_kafka_produce(rd_kafka_t *rk, rd_kafka_topic_t *rkt, int32_t partition,
                                      const struct tn_records *records, uint32_t i, void *opaque);
/* The handle's topic object, from a list kept beside it (one thread, or under a lock). */
rd_kafka_topic_t *tni_kafka_rkt(struct tni_krkt **list, rd_kafka_t *rk, const char *name);
void tni_kafka_rkts_free(struct tni_krkt *list);
/* The handle knows fewer partitions of the topic than there are: asks for them, waits for the
 * answer a moment at most. */
void tni_kafka_ask_again(rd_kafka_t *rk, rd_kafka_topic_t *rkt, int timeout_ms);

/* ---- kafka_txn.c ---- */

enum tn_status tni_kafka_txns_open(struct tni_kafka *kafka, struct tn_err *err);
void tni_kafka_txns_close(struct tni_kafka *kafka);
enum tn_status tni_kafka_begin(struct tn_log *log, struct tn_log_txn **ret_txn, struct tn_err *err);
enum tn_status tni_kafka_txn_append(struct tn_log_txn *txn, const struct tn_topic *topic,
                                    int32_t partition, struct tn_records *records,
                                    uint32_t *ret_slot, struct tn_err *err);
enum tn_status tni_kafka_txn_position(struct tn_log_txn *txn, struct tn_str key,
                                      struct tn_str value, struct tn_err *err);
enum tn_status tni_kafka_txn_group_offset(struct tn_log_txn *txn, const struct tn_topic *topic,
                                          int32_t partition, int64_t offset, struct tn_err *err);
enum tn_status tni_kafka_commit_start(struct tn_log_txn *txn, struct tn_wake *wake,
                                      struct tn_err *err);
enum tn_status tni_kafka_commit_poll(struct tn_log_txn *txn, struct tn_err *err);
int64_t tni_kafka_txn_offset(const struct tn_log_txn *txn, uint32_t number);
uint32_t tni_kafka_txn_failed_slot(const struct tn_log_txn *txn);
void tni_kafka_txn_close(struct tn_log_txn *txn);
/* Until an earlier transaction of this id is settled; TN_E_IO when that takes too long. */
enum tn_status tni_kafka_txns_settled(struct tni_kafka *kafka, struct tn_err *err);
/* Ends, between two transactions, what a broker forgot to end in the topic of positions behind
 * `stable`. False: not now. */
bool tni_kafka_txns_touch(struct tni_kafka *kafka, const struct tn_topic *positions,
                          int64_t stable);

/* A call of librdkafka that does not return is left to itself, and another producer begun. Keeper
 * thread, every few seconds. */
void tni_kafka_txns_watch(struct tni_kafka *kafka);

/* Transactions carry this membership from now on (NULL: none); a fenced producer begins anew. Waits
 * for a transaction that is being committed. */
void tni_kafka_txns_rejoined(struct tni_kafka *kafka, struct tn_log_member *member);

/* ---- kafka_member.c ---- */

enum tn_status tni_kafka_group_coordinator(struct tni_kafka *kafka, struct tn_err *err);
enum tn_status tni_kafka_member_open(struct tn_log *log, int32_t partitions_count,
                                     struct tn_wake *wake, struct tn_log_member **ret_member,
                                     struct tn_err *err);
enum tn_status tni_kafka_member_poll(struct tn_log_member *member,
                                     struct tn_log_assignment *ret_assignment, struct tn_err *err);
void tni_kafka_member_done(struct tn_log_member *member, uint64_t generation);
void tni_kafka_member_close(struct tn_log_member *member);
void tni_kafka_on_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t code,
                            rd_kafka_topic_partition_list_t *list, void *opaque);
/* For one transaction; NULL after a loss that the engine has not heard of. */
rd_kafka_consumer_group_metadata_t *tni_kafka_member_metadata(struct tn_log_member *member);

/* ---- kafka_positions.c ---- */

enum tn_status tni_kafka_positions(struct tn_log *log, struct tn_str prefix,
                                   enum tn_status (*each)(void *ctx, struct tn_str key,
                                                          struct tn_str value, struct tn_err *err),
                                   void *ctx, struct tn_err *err);
void tni_kafka_positions_free(struct tni_kafka *kafka);

#endif
