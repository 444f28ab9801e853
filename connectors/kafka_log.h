/* The Kafka log: adapter of stream/log.h on Apache Kafka through librdkafka.
 *
 * HOW IT WORKS. One set of handles per process (connectors/README.md has the picture): fetchers
 * without a group that read any partition at any offset, read_committed; one transactional producer
 * with a thread of its own for the blocking calls; one idempotent acks=all producer for append();
 * one handle for topics. Positions live in the compacted topic "<application id>-positions",
 * written inside the transaction. Topic identity (log_id) is Kafka's topic id.
 *
 * Exactly-once needs librdkafka 2.5.0 or newer; tn_kafka_log_open refuses an older one and names
 * the version found. At-least-once works with Debian 12's 2.0.2.
 *
 * Ownership: the caller owns the log (type->close). Config strings are copied.
 */
#ifndef TN_CONNECTORS_KAFKA_LOG_H
#define TN_CONNECTORS_KAFKA_LOG_H

#include "stream/base/clock.h"
#include "stream/base/metrics.h"
#include "stream/base/opt.h"
#include "stream/log.h"

struct tn_kafka_config {
    const char *application_id; /* group, prefix of internal topics and transactional id */
    const char *instance_id;    /* of this state folder: second half of the transactional id */
    const struct tn_opt_pair *properties; /* kafka.*, without the prefix */
    struct tn_clock *clock;
    struct tn_metrics *metrics; /* NULL = none */
    bool is_at_least_once;
    bool is_dynamic; /* a dynamic member also when it finds nobody else in the group */
    /* Asked while open waits for brokers; true ends the wait with TN_E_CANCELLED. NULL = never. */
    bool (*is_stopping)(void *ctx);
    void *ctx;
};

/* Waits until a broker answers (one log line at the start and at the end of the wait); wrong
 * credentials, a wrong certificate, an unknown property and an old librdkafka are errors at once.
 */
enum tn_status tn_kafka_log_open(const struct tn_kafka_config *config, struct tn_log **ret_log,
                                 struct tn_err *err);

/* Is `bootstrap.servers` among the properties? */
bool tn_kafka_is_configured(const struct tn_opt_pair *properties);
/* "2.8.0": the library this process runs with. Static. */
const char *tn_kafka_library_version(void);
/* TN_E_UNSUPPORTED when the library is too old for exactly-once. */
enum tn_status tn_kafka_check_exactly_once(struct tn_err *err);

#endif
