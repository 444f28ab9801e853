/* A model of Kafka for the engine's simulation: several processes (clients) over one mem_log.
 *
 * What mem_log has already (last stable offset, aborted records, control records, compaction,
 * retention) is shared by all clients; this adds what belongs to a client: a transactional producer
 * with an epoch, transactions that stay undecided after their process died or their answer was
 * lost, their time-out, the group of the tasks topic with sessions and generations, refused
 * records, and times when no broker answers. At-least-once clients append outside of transactions.
 *
 * Time is the caller's: model_broker_advance. Everything is decided by the given seed, on one
 * thread.
 *
 * Ownership: model_client logs are closed through type->close, before the broker.
 */
#ifndef TN_TESTS_SUPPORT_MODEL_BROKER_H
#define TN_TESTS_SUPPORT_MODEL_BROKER_H

#include "tests/support/mem_log.h"

struct model_broker;

struct model_broker_config {
    uint64_t seed;
    int64_t session_timeout_ms, txn_timeout_ms;
    bool has_faults;
};

struct model_broker *model_broker_new(const struct model_broker_config *config);
void model_broker_free(struct model_broker *broker);
/* The topics, for producers, oracles and topic operations of tests. */
struct tn_log *model_broker_log(struct model_broker *broker);
void model_broker_set_faults(struct model_broker *broker, bool has_faults);
/* Sessions and transactions whose time is over end; late decisions arrive. */
void model_broker_advance(struct model_broker *broker, int64_t now_ms);
/* Nobody answers until then. */
void model_broker_away(struct model_broker *broker, int64_t until_ms);
/* Records over this many bytes of value are refused: at once, or as the outcome of the commit. */
void model_broker_record_max(struct model_broker *broker, size_t bytes_max);
/* Undecided transactions of processes that died. */
uint32_t model_broker_orphans(const struct model_broker *broker);

/* A process of the application. Same id after a restart: the old producer is fenced. */
struct tn_log *model_client_new(struct model_broker *broker, const char *id, bool is_at_least_once);
/* kill -9: what it began stays undecided, its member stays until the session ends. Call before the
 * engine is abandoned. */
void model_client_kill(struct tn_log *client);

struct model_client_stats {
    uint64_t commits, aborts, indefinite, fenced, stale, refused;
};
void model_broker_stats(const struct model_broker *broker, struct model_client_stats *ret_stats);
/* Shared position of the group; −1 = none. */
int64_t model_broker_group_offset(const struct model_broker *broker, const char *topic,
                                  int32_t partition);

#endif
