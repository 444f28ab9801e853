/* Topics of the Kafka log: identity, partitions, configuration and offsets, through Admin requests.
 *
 * HOW IT WORKS. kafka->topics holds each topic as it was seen; its index is tn_topic.id. A topic
 * that is found with another topic id is another entry and the old one is gone for ever, so readers
 * of the old one learn it. Look-ups trust an entry for a second; the keeper looks at all of them
 * every few seconds. Kafka's own topics ("__…") and tarn's bookkeeping are not listed.
 *
 * librdkafka before 2.3.0 cannot tell topic ids: there the identity is cluster and name, and a
 * recreated topic goes unnoticed until its offsets do not fit.
 * @thread any
 */
#include "connectors/kafka_int.h"

#include <stdlib.h>
#include <time.h>

#include "stream/base/digest.h"
#include "stream/base/hash.h"
#include "stream/base/logline.h"
#include "stream/base/mem.h"

#define FRESH_NS       1000000000ll
#define CREATE_NS_MAX  30000000000ll /* until every broker knows a new topic */
#define BATCH_MAX      500
#define OLD_PICTURE_NS 100000000 /* before it is asked again */

/* ---- the list ---- */

static struct tni_ktopic *live_by_name(struct tni_kafka *kafka, const char *name)
{
    for (uint32_t i = kafka->topics_count; i-- > 0;)
        if (!atomic_load(&kafka->topics[i]->is_gone) &&
            strcmp(kafka->topics[i]->info.name, name) == 0)
            return kafka->topics[i];
    return NULL;
}

struct tni_ktopic *tni_kafka_topic_live(struct tni_kafka *kafka, const struct tn_topic *topic)
{
    struct tni_ktopic *found = NULL;
    pthread_mutex_lock(&kafka->lock);
    if (topic->id < kafka->topics_count)
        found = kafka->topics[topic->id];
    pthread_mutex_unlock(&kafka->lock);
    return found && !atomic_load(&found->is_gone) &&
                   memcmp(found->info.log_id, topic->log_id, 16) == 0
               ? found
               : NULL;
}

/* Take over what a look at the servers gave. kafka->lock is held. */
static struct tni_ktopic *note(struct tni_kafka *kafka, const struct tn_topic *info)
{
    struct tni_ktopic *entry = live_by_name(kafka, info->name);
    if (entry && memcmp(entry->info.log_id, info->log_id, 16) != 0) {
        tn_logf(TN_LOG_WARN, "kafka", "topic '%s' was recreated", info->name);
        atomic_store(&entry->is_gone, true);
        atomic_fetch_add(&kafka->topics_version, 1);
        entry = NULL;
    }
    if (entry && entry->info.partitions_count != info->partitions_count) {
        atomic_fetch_add(&kafka->topics_version, 1);
        tn_logf(TN_LOG_WARN, "kafka", "topic '%s' has %d partitions now, %d before", info->name,
                info->partitions_count, entry->info.partitions_count);
    }
    if (!entry) {
        if (kafka->topics_count == kafka->topics_cap) {
            kafka->topics_cap = kafka->topics_cap ? kafka->topics_cap * 2 : 64;
            kafka->topics =
                tn_realloc(kafka->topics, kafka->topics_cap * sizeof(struct tni_ktopic *));
        }
        entry = tn_alloc(sizeof *entry);
        entry->info = *info;
        entry->info.id = kafka->topics_count;
        entry->noted_ns = tn_mono_ns(kafka->clock);
        kafka->topics[kafka->topics_count++] = entry;
    }
    entry->info.partitions_count = info->partitions_count;
    entry->info.cleanup = info->cleanup;
    entry->info.retention_ms = info->retention_ms;
    entry->info.retention_bytes = info->retention_bytes;
    atomic_store(&entry->partitions_count, info->partitions_count);
    entry->checked_ns = tn_mono_ns(kafka->clock);
    atomic_store(&entry->is_suspect, false);
    return entry;
}

static void forget(struct tni_kafka *kafka, const char *name)
{
    struct tni_ktopic *entry = live_by_name(kafka, name);
    if (!entry)
        return;
    atomic_store(&entry->is_gone, true);
    atomic_fetch_add(&kafka->topics_version, 1);
}

/* A broker says that it does not know the topic. One seen first a moment ago may be known to other
 * brokers only, so its readers stay; any other is gone. kafka->lock is held. */
static void miss(struct tni_kafka *kafka, const char *name)
{
    const struct tni_ktopic *entry = live_by_name(kafka, name);
    if (entry && tn_mono_ns(kafka->clock) - entry->noted_ns >= CREATE_NS_MAX)
        forget(kafka, name);
}

uint64_t tni_kafka_topics_version(struct tn_log *log)
{
    return atomic_load(&((struct tni_kafka *)log)->topics_version);
}

void tni_kafka_topics_free(struct tni_kafka *kafka)
{
    for (uint32_t i = 0; i < kafka->topics_count; i++)
        tn_free(kafka->topics[i]);
    tn_free(kafka->topics);
}

/* ---- Admin requests ---- */

struct request {
    rd_kafka_queue_t *queue;
    rd_kafka_AdminOptions_t *options;
    rd_kafka_event_t *event;
};

static void request_init(struct tni_kafka *kafka, struct request *request)
{
    char text[128];
    request->queue = rd_kafka_queue_new(kafka->admin);
    request->options = rd_kafka_AdminOptions_new(kafka->admin, RD_KAFKA_ADMIN_OP_ANY);
    request->event = NULL;
    rd_kafka_AdminOptions_set_request_timeout(request->options, TNI_KAFKA_WAIT_MS, text,
                                              sizeof text);
}

static void request_release(struct request *request)
{
    if (request->event)
        rd_kafka_event_destroy(request->event);
    rd_kafka_AdminOptions_destroy(request->options);
    rd_kafka_queue_destroy(request->queue);
}

static enum tn_status request_wait(struct request *request, const char *what, struct tn_err *err)
{
    request->event = rd_kafka_queue_poll(request->queue, TNI_KAFKA_WAIT_MS + 2000);
    rd_kafka_resp_err_t code =
        request->event ? rd_kafka_event_error(request->event) : RD_KAFKA_RESP_ERR__TIMED_OUT;
    return code ? tni_kafka_err(err, code, "%s", what) : TN_OK;
}

/* ---- describe ---- */

static void set_config(struct tn_topic *info, const char *name, const char *value)
{
    if (strcmp(name, "cleanup.policy") == 0)
        info->cleanup = (strstr(value, "compact") ? TN_CLEANUP_COMPACT : 0) |
                        (strstr(value, "delete") ? TN_CLEANUP_DELETE : 0);
    else if (strcmp(name, "retention.ms") == 0)
        info->retention_ms = strtoll(value, NULL, 10);
    else if (strcmp(name, "retention.bytes") == 0)
        info->retention_bytes = strtoll(value, NULL, 10);
}

typedef void config_fn(void *context, const char *topic, const char *property, const char *value);

/* Calls visit for every property of every topic of names[] that the broker tells. */
static enum tn_status ask_configs(struct tni_kafka *kafka, const char *const *names, size_t count,
                                  config_fn *visit, void *context, struct tn_err *err)
{
    struct request request;
    rd_kafka_ConfigResource_t **wanted = tn_alloc_array(count, sizeof *wanted);
    size_t found_count = 0, entries_count;
    const rd_kafka_ConfigResource_t **found = NULL;
    for (size_t i = 0; i < count; i++)
        wanted[i] = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, names[i]);
    request_init(kafka, &request);
    rd_kafka_DescribeConfigs(kafka->admin, wanted, count, request.options, request.queue);
    enum tn_status st = request_wait(&request, "kafka: configuration of topics", err);
    if (!tn_failed(st))
        found = rd_kafka_DescribeConfigs_result_resources(
            rd_kafka_event_DescribeConfigs_result(request.event), &found_count);
    for (size_t i = 0; i < found_count; i++) {
        if (rd_kafka_ConfigResource_error(found[i]))
            continue;
        const rd_kafka_ConfigEntry_t **entries =
            rd_kafka_ConfigResource_configs(found[i], &entries_count);
        for (size_t e = 0; e < entries_count; e++)
            if (rd_kafka_ConfigEntry_value(entries[e]))
                visit(context, rd_kafka_ConfigResource_name(found[i]),
                      rd_kafka_ConfigEntry_name(entries[e]),
                      rd_kafka_ConfigEntry_value(entries[e]));
    }
    request_release(&request);
    rd_kafka_ConfigResource_destroy_array(wanted, count);
    tn_free(wanted);
    return st;
}

struct infos {
    struct tn_topic *infos;
    size_t count;
};

static void take_config(void *context, const char *topic, const char *property, const char *value)
{
    const struct infos *all = context;
    for (size_t i = 0; i < all->count; i++)
        if (strcmp(all->infos[i].name, topic) == 0)
            set_config(&all->infos[i], property, value);
}

/* cleanup and retention of infos[]. Without the right to read them the defaults stand. */
static enum tn_status describe_configs(struct tni_kafka *kafka, struct tn_topic *infos,
                                       size_t count, struct tn_err *err)
{
    const char **names = tn_alloc_array(count, sizeof *names);
    for (size_t i = 0; i < count; i++) {
        infos[i].cleanup = TN_CLEANUP_DELETE;
        infos[i].retention_ms = infos[i].retention_bytes = -1;
        names[i] = infos[i].name;
    }
    struct infos all = {infos, count};
    enum tn_status st = ask_configs(kafka, names, count, take_config, &all, err);
    tn_free(names);
    return st;
}

struct property {
    const char *name;
    char *value; /* TNI_KAFKA_PROPERTY_MAX */
};

static void take_property(void *context, const char *topic, const char *property, const char *value)
{
    const struct property *wanted = context;
    (void)topic;
    if (strcmp(property, wanted->name) == 0)
        snprintf(wanted->value, TNI_KAFKA_PROPERTY_MAX, "%s", value);
}

/* A property of the topic's; "?" when the broker does not say. */
void tni_kafka_topic_property(struct tni_kafka *kafka, const char *name, const char *property,
                              char ret_value[TNI_KAFKA_PROPERTY_MAX])
{
    struct tn_err err = TN_ERR_INIT; /* why is not told: a part of another message */
    struct property wanted = {property, ret_value};
    snprintf(ret_value, TNI_KAFKA_PROPERTY_MAX, "?");
    (void)ask_configs(kafka, &name, 1, take_property, &wanted, &err);
}

/* One described topic: 1 found, 0 absent, −1 error. */
static int take_described(const struct tni_kdescribe *f, const void *topic, struct tn_topic *info,
                          struct tn_err *err)
{
    const rd_kafka_error_t *error = f->error(topic);
    rd_kafka_resp_err_t code = error ? rd_kafka_error_code(error) : RD_KAFKA_RESP_ERR_NO_ERROR;
    *info = (struct tn_topic){0};
    snprintf(info->name, sizeof info->name, "%s", f->name(topic));
    if (code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART ||
        code == RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION)
        return 0;
    if (code) {
        tni_kafka_err(err, code, "topic '%s'", info->name);
        return -1;
    }
    size_t count;
    f->partitions(topic, &count);
    info->partitions_count = (int32_t)count;
    const void *id = f->topic_id(topic);
    uint64_t halves[2] = {(uint64_t)f->id_high(id), (uint64_t)f->id_low(id)};
    for (int i = 0; i < 16; i++)
        info->log_id[i] = (uint8_t)(halves[i / 8] >> (56 - 8 * (i % 8)));
    return 1;
}

static enum tn_status describe_new(struct tni_kafka *kafka, const char **names, size_t count,
                                   struct tn_topic *infos, size_t *ret_found, struct tn_err *err)
{
    const struct tni_kdescribe *f = tni_kafka_describe_functions();
    struct request request;
    void *collection = f->of_names(names, count);
    request_init(kafka, &request);
    f->describe(kafka->admin, collection, request.options, request.queue);
    enum tn_status st = request_wait(&request, "kafka: description of topics", err);
    size_t topics_count = 0, found = 0;
    const void **topics = tn_failed(st) ? NULL : f->topics(f->result(request.event), &topics_count);
    for (size_t i = 0; i < topics_count && !tn_failed(st); i++) {
        int is_found = take_described(f, topics[i], &infos[found], err);
        if (is_found < 0 && count == 1)
            st = err ? err->code : TN_E_IO;
        found += is_found > 0;
    }
    request_release(&request);
    f->collection_destroy(collection);
    if (!tn_failed(st))
        *ret_found = found;
    return st;
}

/* librdkafka < 2.3.0: metadata, and an identity made of cluster and name. */
static enum tn_status describe_old(struct tni_kafka *kafka, const char **names, size_t count,
                                   struct tn_topic *infos, size_t *ret_found, struct tn_err *err)
{
    const struct rd_kafka_metadata *metadata = NULL;
    char *cluster = rd_kafka_clusterid(kafka->admin, TNI_KAFKA_WAIT_MS);
    rd_kafka_resp_err_t code =
        rd_kafka_metadata(kafka->admin, 1, NULL, &metadata, TNI_KAFKA_WAIT_MS);
    if (!code) {
        size_t found = 0;
        for (int t = 0; t < metadata->topic_cnt; t++)
            for (size_t i = 0; i < count; i++) {
                if (strcmp(metadata->topics[t].topic, names[i]) != 0 || metadata->topics[t].err)
                    continue;
                struct tn_topic *info = &infos[found++];
                *info = (struct tn_topic){.partitions_count = metadata->topics[t].partition_cnt};
                snprintf(info->name, sizeof info->name, "%s", names[i]);
                uint64_t halves[2] = {
                    tn_hash64(cluster ? cluster : "", cluster ? strlen(cluster) : 0),
                    tn_hash64(names[i], strlen(names[i]))};
                memcpy(info->log_id, halves, 16);
            }
        *ret_found = found;
        rd_kafka_metadata_destroy(metadata);
    }
    if (cluster)
        rd_kafka_mem_free(kafka->admin, cluster);
    return code ? tni_kafka_err(err, code, "kafka: metadata") : TN_OK;
}

/* infos has room for count; found ones come first. */
static enum tn_status describe(struct tni_kafka *kafka, const char **names, size_t count,
                               struct tn_topic *infos, size_t *ret_found, struct tn_err *err)
{
    size_t found = 0;
    bool is_new = tni_kafka_describe_functions()->describe != NULL;
    TN_TRY((is_new ? describe_new : describe_old)(kafka, names, count, infos, &found, err));
    if (found)
        TN_TRY(describe_configs(kafka, infos, found, err));
    *ret_found = found;
    return TN_OK;
}

/* ---- find ---- */

enum tn_status tni_kafka_topic_find(struct tn_log *log, const char *name,
                                    struct tn_topic *ret_topic, struct tn_err *err)
{
    struct tni_kafka *kafka = (struct tni_kafka *)log;
    struct tn_topic info;
    size_t found = 0;
    pthread_mutex_lock(&kafka->lock);
    struct tni_ktopic *entry = live_by_name(kafka, name);
    bool is_fresh = entry && !atomic_load(&entry->is_suspect) &&
                    tn_mono_ns(kafka->clock) - entry->checked_ns < FRESH_NS;
    if (is_fresh)
        *ret_topic = entry->info;
    pthread_mutex_unlock(&kafka->lock);
    if (is_fresh)
        return TN_OK;
    if (!name[0] || strlen(name) > TN_TOPIC_NAME_MAX)
        return TN_NOT_FOUND;
    TN_TRY(describe(kafka, &name, 1, &info, &found, err));
    pthread_mutex_lock(&kafka->lock);
    if (found)
        *ret_topic = note(kafka, &info)->info;
    else
        miss(kafka, name);
    pthread_mutex_unlock(&kafka->lock);
    return found ? TN_OK : TN_NOT_FOUND;
}

void tni_kafka_topics_refresh(struct tni_kafka *kafka)
{
    uint32_t at = 0;
    for (bool is_last = false; !is_last;) {
        const char *names[BATCH_MAX];
        static const size_t infos_bytes = BATCH_MAX * sizeof(struct tn_topic);
        struct tn_topic *infos = tn_alloc_raw(infos_bytes);
        size_t count = 0, found = 0;
        pthread_mutex_lock(&kafka->lock);
        for (; at < kafka->topics_count && count < BATCH_MAX; at++)
            if (!atomic_load(&kafka->topics[at]->is_gone))
                names[count++] = kafka->topics[at]->info.name;
        is_last = at >= kafka->topics_count;
        pthread_mutex_unlock(&kafka->lock);
        struct tn_err err = TN_ERR_INIT;
        if (count && !tn_failed(describe(kafka, names, count, infos, &found, &err))) {
            pthread_mutex_lock(&kafka->lock);
            for (size_t i = 0; i < count; i++) {
                size_t f = 0;
                while (f < found && strcmp(infos[f].name, names[i]) != 0)
                    f++;
                if (f < found)
                    note(kafka, &infos[f]);
                else if (count > 1 || found == 0)
                    miss(kafka, names[i]);
            }
            pthread_mutex_unlock(&kafka->lock);
        }
        tn_free(infos);
    }
}

/* ---- create, delete ---- */

static bool is_hidden(const struct tni_kafka *kafka, const char *name)
{
    static const char *const suffixes[] = {"-positions", "-tasks", "-members", "-catalog"};
    size_t len = strlen(kafka->application_id);
    if (strncmp(name, "__", 2) == 0)
        return true;
    if (strncmp(name, kafka->application_id, len) != 0)
        return false;
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++)
        if (strcmp(name + len, suffixes[i]) == 0)
            return true;
    return false;
}

static void add_config(rd_kafka_NewTopic_t *topic, const char *name, int64_t value)
{
    char text[32];
    snprintf(text, sizeof text, "%lld", (long long)value);
    rd_kafka_NewTopic_set_config(topic, name, text);
}

static enum tn_status topic_result(const rd_kafka_topic_result_t **results, size_t count,
                                   const char *what, const char *name, struct tn_err *err)
{
    rd_kafka_resp_err_t code =
        count ? rd_kafka_topic_result_error(results[0]) : RD_KAFKA_RESP_ERR__FAIL;
    if (!code)
        return TN_OK;
    enum tn_status st = tni_kafka_err(err, code, "%s topic '%s'", what, name);
    const char *text = count ? rd_kafka_topic_result_error_string(results[0]) : NULL;
    if (text && err)
        tn_err_set(err, st, "%s topic '%s': %s", what, name, text);
    return st;
}

/* takes_any_time: brokers refuse times that are an hour ahead of their clock (Kafka 4), and one
 * such event must not stop a query. Brokers before 3.6 know neither the limit nor its name. */
static rd_kafka_NewTopic_t *new_topic(struct tni_kafka *kafka, const struct tn_topic_spec *spec,
                                      bool takes_any_time, struct tn_err *err)
{
    static const char *const policies[] = {"delete", "delete", "compact", "compact,delete"};
    char text[256];
    rd_kafka_NewTopic_t *topic =
        rd_kafka_NewTopic_new(spec->name, spec->partitions_count,
                              spec->replicas_count ? spec->replicas_count : -1, text, sizeof text);
    if (!topic) {
        tn_err_set(err, TN_E_INVALID, "topic '%s': %s", spec->name, text);
        return NULL;
    }
    rd_kafka_NewTopic_set_config(topic, "cleanup.policy", policies[spec->cleanup & 3]);
    if (spec->cleanup & TN_CLEANUP_DELETE) {
        add_config(topic, "retention.ms", spec->retention_ms);
        add_config(topic, "retention.bytes", spec->retention_bytes);
    }
    if (is_hidden(kafka, spec->name) || spec->is_append_time)
        rd_kafka_NewTopic_set_config(topic, "message.timestamp.type", "LogAppendTime");
    else if (takes_any_time)
        add_config(topic, TNI_KAFKA_AHEAD_MAX, INT64_MAX);
    return topic;
}

static enum tn_status create(struct tni_kafka *kafka, const struct tn_topic_spec *spec,
                             bool takes_any_time, struct tn_err *err)
{
    struct request request;
    rd_kafka_NewTopic_t *topic = new_topic(kafka, spec, takes_any_time, err);
    if (!topic)
        return TN_E_INVALID;
    request_init(kafka, &request);
    rd_kafka_CreateTopics(kafka->admin, &topic, 1, request.options, request.queue);
    enum tn_status st = request_wait(&request, "kafka: creating a topic", err);
    if (!tn_failed(st)) {
        size_t count;
        const rd_kafka_topic_result_t **results = rd_kafka_CreateTopics_result_topics(
            rd_kafka_event_CreateTopics_result(request.event), &count);
        st = topic_result(results, count, "creating", spec->name, err);
    }
    request_release(&request);
    rd_kafka_NewTopic_destroy(topic);
    return st;
}

static enum tn_status check_same(const struct tn_topic *found, const struct tn_topic_spec *spec,
                                 struct tn_err *err)
{
    static const char *const policies[] = {"?", "delete", "compact", "compact,delete"};
    if (found->partitions_count == spec->partitions_count && found->cleanup == spec->cleanup)
        return TN_OK;
    return tn_err_set(err, TN_E_EXISTS,
                      "topic '%s' exists with %d partitions and cleanup %s; wanted %d and %s",
                      spec->name, found->partitions_count, policies[found->cleanup & 3],
                      spec->partitions_count, policies[spec->cleanup & 3]);
}

/* A new topic is known to the controller first; wait until the others answer for it too. */
static enum tn_status find_created(struct tni_kafka *kafka, const char *name,
                                   struct tn_topic *ret_topic, struct tn_err *err)
{
    int64_t deadline = tn_mono_ns(kafka->clock) + CREATE_NS_MAX;
    enum tn_status st;
    while ((st = tni_kafka_topic_find(&kafka->base, name, ret_topic, err)) == TN_NOT_FOUND)
        if (tn_mono_ns(kafka->clock) > deadline)
            return tn_err_set(err, TN_E_IO, "topic '%s' was created but is not to be seen", name);
    return st;
}

enum tn_status tni_kafka_topic_create(struct tn_log *log, const struct tn_topic_spec *spec,
                                      struct tn_err *err)
{
    struct tni_kafka *kafka = (struct tni_kafka *)log;
    struct tn_topic found;
    struct tn_err first = TN_ERR_INIT;
    enum tn_status st = tni_kafka_topic_find(log, spec->name, &found, err);
    if (tn_failed(st))
        return st;
    if (st == TN_OK)
        return check_same(&found, spec, err);
    st = create(kafka, spec, true, &first);
    if (st == TN_E_INVALID)
        st = create(kafka, spec, false, &first);
    if (tn_failed(st) && st != TN_E_EXISTS) { /* another process may have been first */
        if (err)
            *err = first;
        return st;
    }
    TN_TRY(find_created(kafka, spec->name, &found, err));
    return st == TN_E_EXISTS ? check_same(&found, spec, err) : TN_OK;
}

enum tn_status tni_kafka_topic_delete(struct tn_log *log, const char *name, struct tn_err *err)
{
    struct tni_kafka *kafka = (struct tni_kafka *)log;
    struct request request;
    struct tn_topic found;
    enum tn_status st = tni_kafka_topic_find(log, name, &found, err);
    if (st != TN_OK)
        return st;
    rd_kafka_DeleteTopic_t *topic = rd_kafka_DeleteTopic_new(name);
    request_init(kafka, &request);
    rd_kafka_DeleteTopics(kafka->admin, &topic, 1, request.options, request.queue);
    st = request_wait(&request, "kafka: deleting a topic", err);
    if (!tn_failed(st)) {
        size_t count;
        const rd_kafka_topic_result_t **results = rd_kafka_DeleteTopics_result_topics(
            rd_kafka_event_DeleteTopics_result(request.event), &count);
        st = topic_result(results, count, "deleting", name, err);
    }
    request_release(&request);
    rd_kafka_DeleteTopic_destroy(topic);
    if (tn_failed(st))
        return st == TN_E_NAME ? TN_NOT_FOUND : st;
    pthread_mutex_lock(&kafka->lock);
    forget(kafka, name);
    pthread_mutex_unlock(&kafka->lock);
    int64_t deadline = tn_mono_ns(kafka->clock) + CREATE_NS_MAX;
    uint8_t old_id[16];
    memcpy(old_id, found.log_id, 16);
    while (tni_kafka_topic_find(log, name, &found, err) == TN_OK &&
           memcmp(found.log_id, old_id, 16) == 0) { /* a broker that has not heard of it yet */
        pthread_mutex_lock(&kafka->lock);
        forget(kafka, name);
        pthread_mutex_unlock(&kafka->lock);
        if (tn_mono_ns(kafka->clock) > deadline)
            return tn_err_set(err, TN_E_IO, "topic '%s' was deleted but is still there", name);
    }
    return TN_OK;
}

enum tn_status tni_kafka_topic_internal(struct tni_kafka *kafka, const char *suffix,
                                        int32_t partitions, enum tn_cleanup cleanup,
                                        struct tn_topic *ret_topic, struct tn_err *err)
{
    char name[TN_TOPIC_NAME_MAX + 1];
    int len = snprintf(name, sizeof name, "%s-%s", kafka->application_id, suffix);
    if (len < 0 || (size_t)len >= sizeof name)
        return tn_err_set(err, TN_E_INVALID, "application.id is too long for topic names");
    enum tn_status st = tni_kafka_topic_find(&kafka->base, name, ret_topic, err);
    if (st != TN_NOT_FOUND)
        return st;
    struct tn_topic_spec spec = {.name = name,
                                 .partitions_count = partitions,
                                 .cleanup = cleanup,
                                 .retention_ms = -1,
                                 .retention_bytes = -1};
    st = create(kafka, &spec, false, err);
    if (tn_failed(st) && st != TN_E_EXISTS)
        return st;
    return find_created(kafka, name, ret_topic, err);
}

/* ---- all ---- */

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

enum tn_status tni_kafka_topic_each(struct tn_log *log,
                                    bool (*each)(void *ctx, const struct tn_topic *topic),
                                    void *ctx, struct tn_err *err)
{
    struct tni_kafka *kafka = (struct tni_kafka *)log;
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_resp_err_t code =
        rd_kafka_metadata(kafka->admin, 1, NULL, &metadata, TNI_KAFKA_WAIT_MS);
    if (code)
        return tni_kafka_err(err, code, "kafka: list of topics");
    size_t count = 0;
    const char **names = tn_alloc_array((size_t)metadata->topic_cnt + 1, sizeof *names);
    for (int i = 0; i < metadata->topic_cnt; i++)
        if (!is_hidden(kafka, metadata->topics[i].topic))
            names[count++] = metadata->topics[i].topic;
    qsort(names, count, sizeof *names, by_name);
    enum tn_status st = TN_OK;
    bool is_going_on = true;
    struct tn_topic *infos = tn_alloc_array(BATCH_MAX, sizeof *infos);
    for (size_t at = 0; at < count && is_going_on && !tn_failed(st); at += BATCH_MAX) {
        size_t n = count - at < BATCH_MAX ? count - at : BATCH_MAX, found = 0;
        st = describe(kafka, names + at, n, infos, &found, err);
        for (size_t i = 0; i < n && is_going_on && !tn_failed(st); i++)
            for (size_t f = 0; f < found; f++)
                if (strcmp(infos[f].name, names[at + i]) == 0) {
                    pthread_mutex_lock(&kafka->lock);
                    struct tn_topic info = note(kafka, &infos[f])->info;
                    pthread_mutex_unlock(&kafka->lock);
                    is_going_on = each(ctx, &info);
                    break;
                }
    }
    tn_free(infos);
    tn_free(names);
    rd_kafka_metadata_destroy(metadata);
    return st;
}

/* ---- offsets ---- */

/* Asked of a broker that does not lead the partition, or not yet: librdkafka's picture of the
 * cluster is older than the topic or its last election. */
static bool is_old_picture(rd_kafka_resp_err_t code)
{
    switch ((int)code) {
    case RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION:
    case RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
    case RD_KAFKA_RESP_ERR_FENCED_LEADER_EPOCH:
    case RD_KAFKA_RESP_ERR_UNKNOWN_LEADER_EPOCH:
    case RD_KAFKA_RESP_ERR_OFFSET_NOT_AVAILABLE: return true;
    default: return false;
    }
}

/* Never by a fetcher's handle: this call deletes the topic from the handle's cache, in the caller's
 * thread, when a broker does not lead the partition, while the handle's own thread may be reading
 * that entry without a lock (rd_kafka_metadata_update_op, also in librdkafka 2.12). */
rd_kafka_resp_err_t tni_kafka_watermarks(struct tni_kafka *kafka, const char *topic,
                                         int32_t partition, int64_t *ret_low, int64_t *ret_high)
{
    return rd_kafka_query_watermark_offsets(kafka->admin, topic, partition, ret_low, ret_high,
                                            TNI_KAFKA_WAIT_MS);
}

/* The last stable offset. By the admin handle where the library can: a fetcher's connection may be
 * waiting for records (fetch.wait.max.ms), and a question behind that waits with it. */
static rd_kafka_resp_err_t stable_end(struct tni_kafka *kafka, const char *topic, int32_t partition,
                                      int64_t *ret_offset)
{
    if (rd_kafka_version() < 0x020300ff) { /* has no such function, and no KIP-951 */
        int64_t low;
        return rd_kafka_query_watermark_offsets(kafka->fetchers->rk, topic, partition, &low,
                                                ret_offset, TNI_KAFKA_WAIT_MS);
    }
#if RD_KAFKA_VERSION >= 0x020300ff
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, topic, partition)->offset = RD_KAFKA_OFFSET_SPEC_LATEST;
    rd_kafka_AdminOptions_t *options =
        rd_kafka_AdminOptions_new(kafka->admin, RD_KAFKA_ADMIN_OP_LISTOFFSETS);
    rd_kafka_error_destroy(rd_kafka_AdminOptions_set_isolation_level(
        options, RD_KAFKA_ISOLATION_LEVEL_READ_COMMITTED));
    rd_kafka_queue_t *queue = rd_kafka_queue_new(kafka->admin);
    rd_kafka_ListOffsets(kafka->admin, list, options, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, TNI_KAFKA_WAIT_MS);
    rd_kafka_resp_err_t code = event ? rd_kafka_event_error(event) : RD_KAFKA_RESP_ERR__TIMED_OUT;
    size_t count = 0;
    const rd_kafka_ListOffsetsResultInfo_t **infos =
        code ? NULL
             : rd_kafka_ListOffsets_result_infos(rd_kafka_event_ListOffsets_result(event), &count);
    if (count) {
        code = rd_kafka_ListOffsetsResultInfo_topic_partition(infos[0])->err;
        *ret_offset = rd_kafka_ListOffsetsResultInfo_topic_partition(infos[0])->offset;
    }
    if (event)
        rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(queue);
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_topic_partition_list_destroy(list);
    return code;
#else
    return RD_KAFKA_RESP_ERR__NOT_IMPLEMENTED;
#endif
}

enum tn_status tni_kafka_offsets(struct tn_log *log, const struct tn_topic *topic,
                                 int32_t partition, struct tn_offsets *ret_offsets,
                                 struct tn_err *err)
{
    struct tni_kafka *kafka = (struct tni_kafka *)log;
    int64_t low = 0, high = 0, written = 0;
    *ret_offsets = (struct tn_offsets){0};
    if (!tni_kafka_topic_live(kafka, topic))
        return TN_NOT_FOUND;
    int64_t until = tn_mono_ns(kafka->clock) + TNI_KAFKA_WAIT_MS * INT64_C(1000000);
    rd_kafka_resp_err_t code;
    for (;;) {
        /* what is written first: the stable end can only have grown since */
        code = tni_kafka_watermarks(kafka, topic->name, partition, &low, &written);
        if (!code)
            code = stable_end(kafka, topic->name, partition, &high);
        if (!is_old_picture(code) || tn_mono_ns(kafka->clock) > until)
            break;
        nanosleep(&(struct timespec){0, OLD_PICTURE_NS}, NULL);
    }
    if (code)
        return tni_kafka_err(err, code, "offsets of topic '%s' partition %d", topic->name,
                             partition);
    *ret_offsets = (struct tn_offsets){.start = low,
                                       .end_visible = high,
                                       .end_durable = high,
                                       .bytes = -1,
                                       .end_written = written};
    return TN_OK;
}

enum tn_status tni_kafka_offset_at(struct tn_log *log, const struct tn_topic *topic,
                                   int32_t partition, int64_t timestamp_ms, int64_t *ret_offset,
                                   struct tn_err *err)
{
    struct tni_kafka *kafka = (struct tni_kafka *)log;
    struct tn_offsets offsets;
    enum tn_status st = tni_kafka_offsets(log, topic, partition, &offsets, err);
    if (st != TN_OK)
        return st; /* also when the topic is gone, which is no failure */
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    /* the protocol gives −1 and −2 meanings of their own */
    rd_kafka_topic_partition_list_add(list, topic->name, partition)->offset =
        timestamp_ms < 0 ? 0 : timestamp_ms;
    rd_kafka_resp_err_t code = rd_kafka_offsets_for_times(kafka->admin, list, TNI_KAFKA_WAIT_MS);
    if (!code)
        code = list->elems[0].err;
    int64_t offset = list->elems[0].offset;
    rd_kafka_topic_partition_list_destroy(list);
    if (code)
        return tni_kafka_err(err, code, "offset by time of topic '%s' partition %d", topic->name,
                             partition);
    *ret_offset = offset < 0 || offset > offsets.end_visible ? offsets.end_visible : offset;
    return TN_OK;
}
