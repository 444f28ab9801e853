/* Configuration of librdkafka's handles: the user's kafka.* properties pass through, what tarn's
 * promises rest on is set here and cannot be given. Also: which library runs, and its errors as
 * ours. @thread any */
#include "connectors/kafka_int.h"

#include <dlfcn.h>
#include <stdio.h>

#include "stream/base/logline.h"
#include "stream/base/mem.h"

#define EXACTLY_ONCE_VERSION                                                                       \
    0x02050000 /* a retried idempotent batch is rebuilt identically from here on */

/* ---- the library ---- */

const char *tn_kafka_library_version(void)
{
    return rd_kafka_version_str();
}

enum tn_status tn_kafka_check_exactly_once(struct tn_err *err)
{
    if (rd_kafka_version() >= EXACTLY_ONCE_VERSION)
        return TN_OK;
    tn_err_set(err, TN_E_UNSUPPORTED,
               "exactly-once over Kafka needs librdkafka 2.5.0 or newer, this is %s",
               rd_kafka_version_str());
    tn_err_hint(err,
                "run bin/setup kafka and build again, or --set processing.guarantee=at_least_once");
    return TN_E_UNSUPPORTED;
}

static void look_up(void *ret_function, const char *name, bool *ok)
{
    void *found = dlsym(RTLD_DEFAULT, name);
    memcpy(ret_function, &found, sizeof found);
    *ok = *ok && found;
}

static struct tni_kdescribe functions;

static void look_up_all(void)
{
    struct tni_kdescribe f;
    bool ok = true;
    look_up(&f.of_names, "rd_kafka_TopicCollection_of_topic_names", &ok);
    look_up(&f.collection_destroy, "rd_kafka_TopicCollection_destroy", &ok);
    look_up(&f.describe, "rd_kafka_DescribeTopics", &ok);
    look_up(&f.result, "rd_kafka_event_DescribeTopics_result", &ok);
    look_up(&f.topics, "rd_kafka_DescribeTopics_result_topics", &ok);
    look_up(&f.error, "rd_kafka_TopicDescription_error", &ok);
    look_up(&f.name, "rd_kafka_TopicDescription_name", &ok);
    look_up(&f.partitions, "rd_kafka_TopicDescription_partitions", &ok);
    look_up(&f.topic_id, "rd_kafka_TopicDescription_topic_id", &ok);
    look_up(&f.id_high, "rd_kafka_Uuid_most_significant_bits", &ok);
    look_up(&f.id_low, "rd_kafka_Uuid_least_significant_bits", &ok);
    if (ok)
        functions = f;
}

const struct tni_kdescribe *tni_kafka_describe_functions(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, look_up_all);
    return &functions;
}

/* ---- errors ---- */

enum tn_status tni_kafka_status(rd_kafka_resp_err_t code)
{
    switch (code) {
    case RD_KAFKA_RESP_ERR_NO_ERROR: return TN_OK;
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION: return TN_E_NAME;
    case RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS: return TN_E_EXISTS;
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE: return TN_E_LIMIT;
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR__AUTHENTICATION:
    case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED: return TN_E_DENIED;
    case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION:
    case RD_KAFKA_RESP_ERR_INVALID_PARTITIONS:
    case RD_KAFKA_RESP_ERR_INVALID_REPLICATION_FACTOR:
    case RD_KAFKA_RESP_ERR_INVALID_CONFIG:
    case RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP:
    case RD_KAFKA_RESP_ERR_INVALID_RECORD:
    case RD_KAFKA_RESP_ERR_POLICY_VIOLATION: return TN_E_INVALID;
    case RD_KAFKA_RESP_ERR__FENCED:
    case RD_KAFKA_RESP_ERR_PRODUCER_FENCED:
    case RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH: return TN_E_FENCED;
    case RD_KAFKA_RESP_ERR_INVALID_MSG:
    case RD_KAFKA_RESP_ERR__BAD_MSG:
    case RD_KAFKA_RESP_ERR__BAD_COMPRESSION: return TN_E_CORRUPT;
    case RD_KAFKA_RESP_ERR__QUEUE_FULL: return TN_E_BUSY;
    case RD_KAFKA_RESP_ERR__MSG_TIMED_OUT:
    case RD_KAFKA_RESP_ERR__TIMED_OUT: return TN_E_TIMEOUT;
    default: return TN_E_IO;
    }
}

enum tn_status(tni_kafka_err)(struct tn_err *err, rd_kafka_resp_err_t code, const char *fmt, ...)
{
    char text[256];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    enum tn_status st = tni_kafka_status(code);
    if (st == TN_E_TIMEOUT)
        st = TN_E_IO; /* time is the server's here, not the statement's */
    tn_err_set(err, st, "%s: %s", text, rd_kafka_err2str(code));
    if (!err)
        return st;
    err->retriable = st == TN_E_IO || st == TN_E_BUSY;
    if (code == RD_KAFKA_RESP_ERR__AUTHENTICATION ||
        code == RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED)
        tn_err_hint(err, "check kafka.sasl.username, kafka.sasl.password and kafka.sasl.mechanism");
    else if (st == TN_E_DENIED)
        tn_err_hint(err, "the broker's ACLs do not allow it for this user");
    else if (st == TN_E_LIMIT)
        tn_err_hint(err, "raise max.message.bytes of the topic or message.max.bytes of the broker");
    else if (code == RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP)
        tn_err_hint(err, "the record's time is too far from the broker's: raise %s of the topic",
                    TNI_KAFKA_AHEAD_MAX);
    return st;
}

/* ---- properties ---- */

/* What tarn's promises rest on. */
static const char *const reserved[] = {"group.id",
                                       "group.instance.id",
                                       "transactional.id",
                                       "enable.idempotence",
                                       "enable.gapless.guarantee",
                                       "acks",
                                       "request.required.acks",
                                       "isolation.level",
                                       "enable.auto.commit",
                                       "enable.auto.offset.store",
                                       "enable.partition.eof",
                                       "auto.offset.reset",
                                       "partition.assignment.strategy",
                                       "group.protocol"};

struct pair {
    const char *name, *value;
};

/* Used where the library knows the name and the user gave none. Fetch memory: 6 MB for a
 * partition's queue; retry.backoff: a commit right after the last one is told to come again. */
static const struct pair defaults[] = {{"client.id", "tarn"},
                                       {"partitioner", "murmur2_random"},
                                       {"retry.backoff.ms", "5"},
                                       {"retry.backoff.max.ms", "50"},
                                       {"queued.max.messages.kbytes", "6144"},
                                       {"fetch.queue.backoff.ms", "5"},
                                       {"fetch.max.bytes", "18874368"},
                                       {"fetch.error.backoff.ms", "100"},
                                       {"fetch.wait.max.ms", "100"},
                                       {"message.max.bytes", "17825792"},
                                       {"receive.message.max.bytes", "100000000"},
                                       {"queue.buffering.max.messages", "10000000"},
                                       {"queue.buffering.max.kbytes", "1048576"},
                                       {"topic.metadata.refresh.interval.ms", "60000"},
                                       {"reconnect.backoff.max.ms", "2000"},
                                       {"check.crcs", "true"},
                                       {"log.connection.close", "false"},
                                       {"log.configuration.warnings", "false"},
                                       {"socket.keepalive.enable", "true"}};

/* Before 2.10 a handle that hears of a topic's new id without having missed the topic corrupts its
 * memory: asking every second makes it miss the topic. */
#define SAFE_RECREATION_VERSION 0x020a0000
static const struct pair old_library_set[] = {{"topic.metadata.refresh.interval.ms", "1000"}};

static const struct pair fetch_set[] = {{"isolation.level", "read_committed"},
                                        {"enable.auto.commit", "false"},
                                        {"enable.auto.offset.store", "false"},
                                        {"enable.partition.eof", "true"},
                                        {"auto.offset.reset", "error"}};
static const struct pair admin_set[] = {{"isolation.level", "read_uncommitted"},
                                        {"enable.auto.commit", "false"}};
static const struct pair append_set[] = {{"enable.idempotence", "true"},
                                         {"acks", "all"},
                                         {"linger.ms", "0.5"},
                                         {"message.timeout.ms", "30000"}};
static const struct pair txn_set[] = {
    {"transaction.timeout.ms", "8000"}, {"linger.ms", "5"}, {"message.timeout.ms", "8000"}};
static const struct pair member_set[] = {
    {"enable.auto.commit", "false"},   {"enable.auto.offset.store", "false"},
    {"auto.offset.reset", "earliest"}, {"session.timeout.ms", "10000"},
    {"heartbeat.interval.ms", "1000"}, {"partition.assignment.strategy", "cooperative-sticky"}};

bool tni_kafka_is_secret(const char *name)
{
    return strstr(name, "password") || strstr(name, "secret") || strstr(name, ".pem") ||
           strstr(name, "jaas") || strcmp(name, "sasl.oauthbearer.config") == 0;
}

static enum tn_status unknown(rd_kafka_conf_t *conf, const char *name, struct tn_err *err)
{
    size_t count = 0;
    const char **dump = rd_kafka_conf_dump(conf, &count), *names[512];
    size_t names_count = 0;
    for (size_t i = 0; i < count && names_count < 512; i += 2)
        names[names_count++] = dump[i];
    const char *nearest = tn_str_nearest(tn_str_of(name), names, names_count);
    tn_err_set(err, TN_E_INVALID, "librdkafka %s has no property '%s'", rd_kafka_version_str(),
               name);
    if (nearest)
        tn_err_hint(err, "did you mean 'kafka.%s'?", nearest);
    rd_kafka_conf_dump_free(dump, count);
    return TN_E_INVALID;
}

static enum tn_status set_user(rd_kafka_conf_t *conf, const char *name, const char *value,
                               struct tn_err *err)
{
    char text[256];
    for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++)
        if (strcmp(reserved[i], name) == 0)
            return tn_err_set(err, TN_E_INVALID,
                              "'kafka.%s' is set by tarn: its promises rest on it", name);
    switch (rd_kafka_conf_set(conf, name, value, text, sizeof text)) {
    case RD_KAFKA_CONF_UNKNOWN: return unknown(conf, name, err);
    case RD_KAFKA_CONF_INVALID:
        if (tni_kafka_is_secret(name))
            return tn_err_set(err, TN_E_INVALID, "'kafka.%s' has a value librdkafka refuses", name);
        return tn_err_set(err, TN_E_INVALID, "'kafka.%s': %s", name, text);
    case RD_KAFKA_CONF_OK: break;
    }
    return TN_OK;
}

static enum tn_status set_all_user(rd_kafka_conf_t *conf, const struct tn_opt_pair *properties,
                                   struct tn_err *err)
{
    for (const struct tn_opt_pair *pair = properties; pair; pair = pair->next)
        TN_TRY(set_user(conf, pair->name, pair->value, err));
    return TN_OK;
}

enum tn_status tni_kafka_check_properties(const struct tn_opt_pair *properties, struct tn_err *err)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    enum tn_status st = set_all_user(conf, properties, err);
    rd_kafka_conf_destroy(conf);
    return st;
}

bool tn_kafka_is_configured(const struct tn_opt_pair *properties)
{
    for (const struct tn_opt_pair *pair = properties; pair; pair = pair->next)
        if (strcmp(pair->name, "bootstrap.servers") == 0 ||
            strcmp(pair->name, "metadata.broker.list") == 0)
            return true;
    return false;
}

static bool user_has(const struct tni_kafka *kafka, const char *name)
{
    for (const struct tn_opt_pair *pair = kafka->properties; pair; pair = pair->next)
        if (strcmp(pair->name, name) == 0)
            return true;
    return false;
}

/* What the library does not know is left out: these are wishes of ours, not of the user. */
static void set_ours(struct tni_kafka *kafka, rd_kafka_conf_t *conf, const struct pair *pairs,
                     size_t count)
{
    char text[256];
    for (size_t i = 0; i < count; i++)
        if (!user_has(kafka, pairs[i].name) &&
            rd_kafka_conf_set(conf, pairs[i].name, pairs[i].value, text, sizeof text) ==
                RD_KAFKA_CONF_INVALID)
            tn_logf(TN_LOG_WARN, "kafka", "%s", text);
}

#define SET_OURS(pairs) set_ours(kafka, conf, pairs, sizeof(pairs) / sizeof *(pairs))

static void set_role(struct tni_kafka *kafka, rd_kafka_conf_t *conf, enum tni_krole role)
{
    char text[256], id[512];
    SET_OURS(defaults);
    if (rd_kafka_version() < SAFE_RECREATION_VERSION)
        SET_OURS(old_library_set);
    switch (role) {
    case TNI_KROLE_FETCH: SET_OURS(fetch_set); break;
    case TNI_KROLE_ADMIN: SET_OURS(admin_set); break;
    case TNI_KROLE_APPEND: SET_OURS(append_set); break;
    case TNI_KROLE_GROUP:
        SET_OURS(admin_set);
        rd_kafka_conf_set(conf, "group.id", kafka->application_id, text, sizeof text);
        break;
    case TNI_KROLE_MEMBER:
        SET_OURS(member_set);
        rd_kafka_conf_set(conf, "group.id", kafka->application_id, text, sizeof text);
        if (kafka->is_static)
            rd_kafka_conf_set(conf, "group.instance.id", kafka->instance_id, text, sizeof text);
        rd_kafka_conf_set_rebalance_cb(conf, tni_kafka_on_rebalance);
        break;
    case TNI_KROLE_TXN:
        SET_OURS(txn_set);
        snprintf(id, sizeof id, "%s-%s", kafka->application_id, kafka->instance_id);
        rd_kafka_conf_set(conf, kafka->is_at_least_once ? "enable.idempotence" : "transactional.id",
                          kafka->is_at_least_once ? "true" : id, text, sizeof text);
        break;
    }
}

/* ---- callbacks ---- */

/* librdkafka's own lines are for debugging (all of them with kafka.debug); changes of state are
 * told once, by the keeper. */
static void on_log(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
    (void)rk;
    tn_logf(level == 7 ? TN_LOG_INFO : TN_LOG_DEBUG, "librdkafka", "%s: %s", facility, text);
}

static void on_error(rd_kafka_t *rk, int code, const char *reason, void *opaque)
{
    struct tni_kafka *kafka = opaque;
    (void)rk;
    if (!kafka || code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
        return; /* the error before it has the cause */
    pthread_mutex_lock(&kafka->lock);
    snprintf(kafka->library_error, sizeof kafka->library_error, "%s", reason);
    kafka->is_refused = code == RD_KAFKA_RESP_ERR__AUTHENTICATION ||
                        code == RD_KAFKA_RESP_ERR__SSL ||
                        code == RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED;
    pthread_mutex_unlock(&kafka->lock);
}

enum tn_status tni_kafka_new(struct tni_kafka *kafka, enum tni_krole role, void *opaque,
                             void (*dr)(rd_kafka_t *rk, const rd_kafka_message_t *msg,
                                        void *opaque),
                             rd_kafka_t **ret_rk, struct tn_err *err)
{
    char text[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    enum tn_status st = set_all_user(conf, kafka->properties, err);
    if (tn_failed(st)) {
        rd_kafka_conf_destroy(conf);
        return st;
    }
    set_role(kafka, conf, role);
    rd_kafka_conf_set_log_cb(conf, on_log);
    if (role == TNI_KROLE_ADMIN)
        rd_kafka_conf_set_error_cb(conf, on_error);
    if (dr)
        rd_kafka_conf_set_dr_msg_cb(conf, dr);
    rd_kafka_conf_set_opaque(conf, opaque);
    bool is_producer = role == TNI_KROLE_APPEND || role == TNI_KROLE_TXN;
    rd_kafka_t *rk =
        rd_kafka_new(is_producer ? RD_KAFKA_PRODUCER : RD_KAFKA_CONSUMER, conf, text, sizeof text);
    if (!rk) {
        rd_kafka_conf_destroy(conf);
        return tn_err_set(err, TN_E_INVALID, "kafka: %s", text);
    }
    *ret_rk = rk;
    return TN_OK;
}
