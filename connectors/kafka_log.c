/* The Kafka log: opening, closing, health. See kafka_log.h.
 *
 * The keeper thread asks a broker every two seconds (sooner after a complaint) and looks at the
 * known topics every four: is_healthy and one log line per change come from it. librdkafka
 * reconnects by itself; nothing here stops because brokers are away.
 */
#include "connectors/kafka_int.h"

#include <stdio.h>

#include "connectors/wait.h"
#include "stream/base/logline.h"
#include "stream/base/mem.h"

#define ASK_MS       2000
#define TOPICS_EVERY 2 /* rounds of asking */
#define START_ASK_MS 1000

static const struct tn_metric_desc metric_up = {"tarn_kafka_up", TN_METRIC_GAUGE, "", NULL,
                                                "1 when a broker answers"};
static const struct tn_metric_desc metric_fetched = {"tarn_kafka_fetched_records_total",
                                                     TN_METRIC_COUNTER, "records", NULL,
                                                     "records read from Kafka"};
static const struct tn_metric_desc metric_appended = {
    "tarn_kafka_appended_records_total", TN_METRIC_COUNTER, "records", NULL,
    "records acknowledged outside of transactions"};
static const struct tn_metric_desc metric_commits = {
    "tarn_kafka_commits_total", TN_METRIC_COUNTER, "transactions", NULL, "transactions committed"};
static const struct tn_metric_desc metric_aborts = {
    "tarn_kafka_aborts_total", TN_METRIC_COUNTER, "transactions", NULL,
    "transactions aborted or without a known outcome"};

/* ---- health ---- */

static bool is_healthy(struct tn_log *log, struct tn_buf *ret_reason)
{
    struct tni_kafka *kafka = (struct tni_kafka *)log;
    pthread_mutex_lock(&kafka->lock);
    bool is = kafka->is_healthy && !kafka->trouble[0];
    if (!is)
        tn_buf_printf(ret_reason, "kafka %s: %s", kafka->bootstrap,
                      kafka->is_healthy ? kafka->trouble : kafka->reason);
    pthread_mutex_unlock(&kafka->lock);
    return is;
}

void tni_kafka_trouble(struct tni_kafka *kafka, const char *reason)
{
    char text[sizeof kafka->trouble];
    snprintf(text, sizeof text, "%s", reason ? reason : "");
    pthread_mutex_lock(&kafka->lock);
    bool is_new = strcmp(kafka->trouble, text) != 0;
    memcpy(kafka->trouble, text, sizeof text);
    pthread_mutex_unlock(&kafka->lock);
    if (is_new && reason)
        tn_logf(TN_LOG_WARN, "kafka", "state=refused reason=\"%s\"", text);
    else if (is_new)
        tn_logf(TN_LOG_INFO, "kafka", "state=accepted");
}

/* One request that any broker can answer. */
static bool ask(struct tni_kafka *kafka, int timeout_ms)
{
    const struct rd_kafka_metadata *metadata = NULL;
    struct tni_krkt *rkts = NULL;
    /* a topic of our own keeps the answer small, whether it exists or not */
    rd_kafka_topic_t *rkt = tni_kafka_rkt(&rkts, kafka->admin, "__tarn");
    rd_kafka_resp_err_t code = rd_kafka_metadata(kafka->admin, 0, rkt, &metadata, timeout_ms);
    if (!code)
        rd_kafka_metadata_destroy(metadata);
    tni_kafka_rkts_free(rkts);
    rd_kafka_poll(kafka->admin, 0); /* error_cb */
    pthread_mutex_lock(&kafka->lock);
    bool was = kafka->is_healthy;
    kafka->is_healthy = !code;
    if (code)
        snprintf(kafka->reason, sizeof kafka->reason, "%s",
                 kafka->library_error[0] ? kafka->library_error : rd_kafka_err2str(code));
    else
        kafka->library_error[0] = 0;
    char reason[256];
    memcpy(reason, kafka->reason, sizeof reason);
    pthread_mutex_unlock(&kafka->lock);
    if (kafka->m_up)
        tn_metric_set(kafka->m_up, !code);
    if (was && code && kafka->has_keeper)
        tn_logf(TN_LOG_WARN, "kafka", "state=unreachable brokers=%s reason=\"%s\"",
                kafka->bootstrap, reason);
    if (!was && !code && kafka->has_keeper)
        tn_logf(TN_LOG_INFO, "kafka", "state=connected brokers=%s", kafka->bootstrap);
    return !code;
}

static void keeper_wait(struct tni_kafka *kafka)
{
    pthread_mutex_lock(&kafka->lock);
    if (!kafka->is_closing && !kafka->is_look_wanted)
        (void)tn_cond_wait_for(&kafka->keeper_cond, &kafka->lock, ASK_MS * 1000000ll);
    pthread_mutex_unlock(&kafka->lock);
}

static void *keeper_main(void *arg)
{
    struct tni_kafka *kafka = arg;
    for (uint64_t round = 1;; round++) {
        keeper_wait(kafka);
        pthread_mutex_lock(&kafka->lock);
        bool is_closing = kafka->is_closing, is_look_wanted = kafka->is_look_wanted;
        kafka->is_look_wanted = false;
        pthread_mutex_unlock(&kafka->lock);
        if (is_closing)
            return NULL;
        tni_kafka_txns_watch(kafka);
        if (ask(kafka, ASK_MS) && (is_look_wanted || round % TOPICS_EVERY == 0)) {
            tni_kafka_topics_refresh(kafka);
            tni_kafka_fetchers_trim(kafka);
        }
    }
}

/* ---- open ---- */

static enum tn_status refused(struct tni_kafka *kafka, struct tn_err *err)
{
    char reason[256];
    pthread_mutex_lock(&kafka->lock);
    memcpy(reason, kafka->reason, sizeof reason);
    pthread_mutex_unlock(&kafka->lock);
    tn_err_set(err, TN_E_DENIED, "kafka %s refuses us: %s", kafka->bootstrap, reason);
    if (!strstr(reason, "SASL auth") &&
        (strstr(reason, "ssl") || strstr(reason, "SSL") || strstr(reason, "certificate")))
        tn_err_hint(err, "check kafka.ssl.ca.location, the broker's certificate and "
                         "kafka.security.protocol");
    else
        tn_err_hint(err, "check kafka.sasl.username, kafka.sasl.password and kafka.sasl.mechanism");
    return TN_E_DENIED;
}

static enum tn_status wait_for_brokers(struct tni_kafka *kafka, struct tn_err *err)
{
    for (int round = 0; !ask(kafka, START_ASK_MS); round++) {
        if (kafka->is_refused)
            return refused(kafka, err);
        if (kafka->is_stopping && kafka->is_stopping(kafka->stopping_ctx))
            return tn_err_set(err, TN_E_CANCELLED, "stopped while waiting for kafka %s",
                              kafka->bootstrap);
        if (round == 1) /* a first attempt may have been cut short */
            tn_logf(TN_LOG_WARN, "kafka", "state=waiting brokers=%s reason=\"%s\"",
                    kafka->bootstrap, kafka->reason);
    }
    tn_logf(TN_LOG_INFO, "kafka", "state=connected brokers=%s librdkafka=%s", kafka->bootstrap,
            rd_kafka_version_str());
    return TN_OK;
}

static struct tn_metric *metric(struct tn_metrics *metrics, const struct tn_metric_desc *desc)
{
    return metrics ? tn_metric_get(metrics, desc, NULL) : NULL;
}

static void take_config(struct tni_kafka *kafka, const struct tn_kafka_config *config)
{
    struct tn_opt_pair **link = &kafka->properties;
    tn_arena_init(&kafka->arena, 0);
    for (const struct tn_opt_pair *pair = config->properties; pair; pair = pair->next) {
        *link = TN_ARENA_NEW(&kafka->arena, struct tn_opt_pair);
        (*link)->name = tn_arena_strdup(&kafka->arena, pair->name);
        (*link)->value = tn_arena_strdup(&kafka->arena, pair->value);
        if (strcmp(pair->name, "bootstrap.servers") == 0 ||
            strcmp(pair->name, "metadata.broker.list") == 0)
            kafka->bootstrap = tn_arena_strdup(&kafka->arena, pair->value);
        link = &(*link)->next;
    }
    kafka->application_id = tn_arena_strdup(&kafka->arena, config->application_id);
    kafka->instance_id =
        tn_arena_strdup(&kafka->arena, config->instance_id ? config->instance_id : "0");
    kafka->clock = config->clock;
    kafka->is_at_least_once = config->is_at_least_once;
    kafka->is_dynamic = config->is_dynamic;
    kafka->is_stopping = config->is_stopping;
    kafka->stopping_ctx = config->ctx;
    kafka->m_up = metric(config->metrics, &metric_up);
    kafka->m_fetched = metric(config->metrics, &metric_fetched);
    kafka->m_appended = metric(config->metrics, &metric_appended);
    kafka->m_commits = metric(config->metrics, &metric_commits);
    kafka->m_aborts = metric(config->metrics, &metric_aborts);
}

static enum tn_status log_sync(struct tn_log *log, struct tn_err *err)
{
    (void)log;
    (void)err;
    return TN_OK; /* what was acknowledged is as durable as it will be */
}

static void *reaper_main(void *rk)
{
    rd_kafka_destroy(rk);
    return NULL;
}

void tni_kafka_reap(struct tni_kafka *kafka, rd_kafka_t *rk)
{
    int max = (int)(sizeof kafka->reapers / sizeof kafka->reapers[0]);
    if (kafka->reapers_count < max &&
        pthread_create(&kafka->reapers[kafka->reapers_count], NULL, reaper_main, rk) == 0)
        kafka->reapers_count++;
    else
        rd_kafka_destroy(rk);
}

static void log_close(struct tn_log *log)
{
    struct tni_kafka *kafka = (struct tni_kafka *)log;
    if (!kafka)
        return;
    pthread_mutex_lock(&kafka->lock);
    kafka->is_closing = true;
    pthread_cond_signal(&kafka->keeper_cond);
    pthread_mutex_unlock(&kafka->lock);
    if (kafka->has_keeper)
        pthread_join(kafka->keeper, NULL);
    tni_kafka_txns_close(kafka);
    tni_kafka_positions_free(kafka);
    tni_kafka_appender_close(kafka);
    tni_kafka_fetchers_free(kafka);
    if (kafka->admin)
        tni_kafka_reap(kafka, kafka->admin);
    for (int i = 0; i < kafka->reapers_count; i++)
        pthread_join(kafka->reapers[i], NULL);
    tni_kafka_topics_free(kafka);
    pthread_cond_destroy(&kafka->keeper_cond);
    pthread_mutex_destroy(&kafka->lock);
    tn_arena_release(&kafka->arena);
    tn_free(kafka);
}

static const struct tn_log_type kafka_type = {
    .name = "kafka",
    .commits_state = false,
    .topic_create = tni_kafka_topic_create,
    .topic_find = tni_kafka_topic_find,
    .topic_delete = tni_kafka_topic_delete,
    .topic_each = tni_kafka_topic_each,
    .offsets = tni_kafka_offsets,
    .offset_at = tni_kafka_offset_at,
    .reader_open = tni_kafka_reader_open,
    .reader_close = tni_kafka_reader_close,
    .read = tni_kafka_read,
    .append = tni_kafka_append,
    .begin = tni_kafka_begin,
    .txn_append = tni_kafka_txn_append,
    .txn_position = tni_kafka_txn_position,
    .commit_start = tni_kafka_commit_start,
    .commit_poll = tni_kafka_commit_poll,
    .txn_offset = tni_kafka_txn_offset,
    .txn_close = tni_kafka_txn_close,
    .positions = tni_kafka_positions,
    .sync = log_sync,
    .close = log_close,
    .txn_group_offset = tni_kafka_txn_group_offset,
    .txn_failed_slot = tni_kafka_txn_failed_slot,
    .is_healthy = is_healthy,
    .member_open = tni_kafka_member_open,
    .member_poll = tni_kafka_member_poll,
    .member_done = tni_kafka_member_done,
    .member_close = tni_kafka_member_close,
    .topics_version = tni_kafka_topics_version,
};

static enum tn_status open_all(struct tni_kafka *kafka, struct tn_err *err)
{
    TN_TRY(tni_kafka_new(kafka, TNI_KROLE_ADMIN, kafka, NULL, &kafka->admin, err));
    TN_TRY(wait_for_brokers(kafka, err));
    TN_TRY(tni_kafka_fetcher_new(kafka, &kafka->fetchers, err));
    TN_TRY(tni_kafka_appender_open(kafka, err));
    TN_TRY(tni_kafka_txns_open(kafka, err));
    kafka->has_keeper = true;
    if (pthread_create(&kafka->keeper, NULL, keeper_main, kafka) != 0) {
        kafka->has_keeper = false;
        return tn_err_set(err, TN_E_INTERNAL, "cannot start Kafka's keeper thread");
    }
    return TN_OK;
}

enum tn_status tn_kafka_log_open(const struct tn_kafka_config *config, struct tn_log **ret_log,
                                 struct tn_err *err)
{
    if (!tn_kafka_is_configured(config->properties))
        return tn_err_set(err, TN_E_INVALID, "'kafka.%s' is set but kafka.bootstrap.servers is not",
                          config->properties ? config->properties->name : "*");
    if (!config->is_at_least_once)
        TN_TRY(tn_kafka_check_exactly_once(err));
    TN_TRY(tni_kafka_check_properties(config->properties, err));
    tni_kafka_clock_start();
    struct tni_kafka *kafka = tn_alloc(sizeof *kafka);
    kafka->base.type = &kafka_type;
    pthread_mutex_init(&kafka->lock, NULL);
    pthread_cond_init(&kafka->keeper_cond, NULL);
    take_config(kafka, config);
    enum tn_status st = open_all(kafka, err);
    if (tn_failed(st)) {
        log_close(&kafka->base);
        return st;
    }
    *ret_log = &kafka->base;
    return TN_OK;
}
