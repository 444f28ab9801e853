/* Membership in the application's consumer group.
 *
 * HOW IT WORKS. One consumer handle subscribes to the empty topic "<application id>-tasks", which
 * has as many partitions as the widest input; who is given partition p of it works on partition p
 * of everything. A thread polls the handle. What the group takes away cooperatively is given up
 * only when the engine has settled its last round (member_done); what was lost is gone at once.
 *
 * Transactions carry the membership. The group's generation is refused by the broker when it is
 * stale; one thing the broker cannot see is a member that lost partitions and is back already with
 * a newer generation, so after a loss nothing is committed until the engine has heard of it.
 *
 * Static or dynamic. A static member (group.instance.id) has its partitions back at once after kill
 * -9 and after a clean restart, since it does not leave when its handle is closed. A process that
 * finds nobody else in the group is static, one that joins others is dynamic, and with standbys
 * configured every process is. Decided when it joins: changing it later would cost a rebalance for
 * nothing. A static one that ends while others are there leaves by unsubscribing, so that they need
 * not wait for its session; it does the same, and subscribes again, when it comes back to an
 * assignment made for fewer partitions, which brokers keep for it without asking anybody.
 * @thread engine's commit thread; "member": the polling thread
 */
#include "connectors/kafka_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "stream/base/logline.h"
#include "stream/base/mem.h"

#define POLL_MS  100
#define GROUP_MS 5000
#define LEAVE_MS 2000
#define WIDTH_MS 15000 /* for brokers to know a topic that was just made or widened */

struct tn_log_member {
    struct tni_kafka *kafka;
    rd_kafka_t *rk; /* the thread replaces it under lock; NULL between two */
    struct tn_wake *wake;
    char tasks_topic[TN_TOPIC_NAME_MAX + 1];
    int32_t partitions_count;
    pthread_t thread;
    bool has_thread, is_width_checked;
    pthread_mutex_t lock;
    bool is_closing, is_left;
    bool owned[TN_PARTITIONS_MAX];
    int32_t *shown; /* what the last member_poll gave */
    uint64_t generation, seen, done;
    bool is_lost;                              /* since the last member_poll */
    rd_kafka_topic_partition_list_t *revoking; /* kept until done ≥ revoking_at */
    uint64_t revoking_at;
};

/* ---- the group as it is ---- */

/* Finds, and on a new cluster makes, the group's coordinator: a transaction would wait for it
 * without end. Once; later the keeper watches the calls. */
enum tn_status tni_kafka_group_coordinator(struct tni_kafka *kafka, struct tn_err *err)
{
    rd_kafka_t *rk = NULL;
    if (atomic_load(&kafka->has_coordinator))
        return TN_OK;
    TN_TRY(tni_kafka_new(kafka, TNI_KROLE_GROUP, NULL, NULL, &rk, err));
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, "__tarn", 0); /* any name does */
    rd_kafka_resp_err_t code = rd_kafka_committed(rk, list, TNI_KAFKA_WAIT_MS);
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_destroy(rk);
    if (code)
        return tni_kafka_err(err, code, "kafka: group '%s'", kafka->application_id);
    atomic_store(&kafka->has_coordinator, true);
    return TN_OK;
}

static size_t count_others(const struct tni_kafka *kafka, const struct rd_kafka_group_info *group)
{
    size_t others = 0, len = strlen(kafka->instance_id);
    for (int i = 0; i < group->member_cnt; i++) {
        const char *id = group->members[i].member_id; /* a static one's: its name, a dash, … */
        others += strncmp(id, kafka->instance_id, len) != 0 || id[len] != '-';
    }
    return others;
}

/* Who is in the group besides earlier lives of this process. Not the Admin request for it: in
 * librdkafka 2.x one that times out ends the process by an assertion. */
static enum tn_status group_look(struct tni_kafka *kafka, int timeout_ms, size_t *ret_others,
                                 struct tn_err *err)
{
    const struct rd_kafka_group_list *list = NULL;
    rd_kafka_resp_err_t code =
        rd_kafka_list_groups(kafka->admin, kafka->application_id, &list, timeout_ms);
    bool is_partial = code == RD_KAFKA_RESP_ERR__PARTIAL; /* a broker of several is away */
    if (code && !is_partial)
        return tni_kafka_err(err, code, "kafka: group '%s'", kafka->application_id);
    bool is_known = list && list->group_cnt > 0;
    *ret_others = is_known ? count_others(kafka, &list->groups[0]) : is_partial;
    if (list)
        rd_kafka_group_list_destroy(list);
    return TN_OK;
}

/* ---- the group's decisions ---- */

static void mark(struct tn_log_member *member, const rd_kafka_topic_partition_list_t *list,
                 bool is_owned)
{
    for (int i = 0; i < list->cnt; i++)
        if (list->elems[i].partition < TN_PARTITIONS_MAX)
            member->owned[list->elems[i].partition] = is_owned;
}

static void finish_revoke(struct tn_log_member *member)
{
    rd_kafka_topic_partition_list_t *list = member->revoking;
    member->revoking = NULL;
    pthread_mutex_unlock(&member->lock);
    rd_kafka_error_t *error = rd_kafka_incremental_unassign(member->rk, list);
    if (error) {
        tn_logf(TN_LOG_DEBUG, "kafka", "unassign: %s", rd_kafka_error_string(error));
        rd_kafka_error_destroy(error);
    }
    rd_kafka_topic_partition_list_destroy(list);
    pthread_mutex_lock(&member->lock);
}

static void changed(struct tn_log_member *member)
{
    member->generation++;
    if (member->wake && !member->is_left)
        member->wake->signal(member->wake);
}

static void on_revoke(struct tn_log_member *member, const rd_kafka_topic_partition_list_t *list)
{
    bool is_lost = rd_kafka_assignment_lost(member->rk) != 0;
    pthread_mutex_lock(&member->lock);
    if (member->revoking) /* a second one before the first was given up: that one is over too */
        finish_revoke(member);
    mark(member, list, false);
    member->is_lost |= is_lost;
    changed(member);
    member->revoking = rd_kafka_topic_partition_list_copy(list);
    member->revoking_at = member->generation;
    if (is_lost || member->is_left)
        finish_revoke(member);
    pthread_mutex_unlock(&member->lock);
    if (is_lost)
        tn_logf(TN_LOG_WARN, "kafka", "state=lost-partitions group=%s count=%d",
                member->kafka->application_id, list->cnt);
}

void tni_kafka_on_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t code,
                            rd_kafka_topic_partition_list_t *list, void *opaque)
{
    struct tn_log_member *member = opaque;
    if (code == RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS) {
        on_revoke(member, list);
        return;
    }
    if (code != RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
        rd_kafka_assign(rk, NULL);
        return;
    }
    rd_kafka_error_t *error = rd_kafka_incremental_assign(rk, list);
    if (error)
        rd_kafka_error_destroy(error);
    pthread_mutex_lock(&member->lock);
    mark(member, list, true);
    changed(member);
    pthread_mutex_unlock(&member->lock);
    tni_kafka_trouble(member->kafka, NULL);
}

/* ---- the thread ---- */

static bool is_closing(struct tn_log_member *member)
{
    pthread_mutex_lock(&member->lock);
    bool is = member->is_closing;
    pthread_mutex_unlock(&member->lock);
    return is;
}

static void pause_ms(int ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000l}, NULL);
}

static int32_t width_seen(rd_kafka_t *rk, rd_kafka_topic_t *rkt)
{
    const struct rd_kafka_metadata *metadata = NULL;
    if (rd_kafka_metadata(rk, 0, rkt, &metadata, POLL_MS * 10) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return 0;
    int32_t count = metadata->topic_cnt == 1 ? metadata->topics[0].partition_cnt : 0;
    rd_kafka_metadata_destroy(metadata);
    return count;
}

/* Who leads the group hands out the partitions it sees, and looks again only when somebody joins or
 * leaves. A broker tells of new ones a moment after it has made them. */
static void await_width(struct tn_log_member *member, rd_kafka_t *rk)
{
    struct tni_krkt *rkts = NULL;
    rd_kafka_topic_t *rkt = tni_kafka_rkt(&rkts, rk, member->tasks_topic);
    int64_t end = tn_mono_ns(member->kafka->clock) + WIDTH_MS * 1000000ll;
    int32_t seen = 0;
    while (!is_closing(member) && (seen = width_seen(rk, rkt)) < member->partitions_count &&
           tn_mono_ns(member->kafka->clock) < end)
        pause_ms(POLL_MS / 10);
    if (seen < member->partitions_count && !is_closing(member))
        tn_logf(TN_LOG_WARN, "kafka", "topic '%s' still shows %d partitions, %d are there",
                member->tasks_topic, seen, member->partitions_count);
    tni_kafka_rkts_free(rkts);
}

static enum tn_status subscribe(struct tn_log_member *member, rd_kafka_t *rk, struct tn_err *err)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, member->tasks_topic, RD_KAFKA_PARTITION_UA);
    rd_kafka_resp_err_t code = rd_kafka_subscribe(rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    return code ? tni_kafka_err(err, code, "kafka: joining group '%s'",
                                member->kafka->application_id)
                : TN_OK;
}

/* A handle that joins; static if nobody else is in the group. */
static enum tn_status join_group(struct tn_log_member *member, struct tn_err *err)
{
    struct tni_kafka *kafka = member->kafka;
    rd_kafka_t *rk = NULL;
    size_t others = 0;
    member->is_width_checked = false;
    TN_TRY(group_look(kafka, GROUP_MS, &others, err));
    kafka->is_static = others == 0 && !kafka->is_dynamic;
    TN_TRY(tni_kafka_new(kafka, TNI_KROLE_MEMBER, member, NULL, &rk, err));
    rd_kafka_poll_set_consumer(rk);
    await_width(member, rk);
    enum tn_status st = subscribe(member, rk, err);
    if (tn_failed(st)) {
        rd_kafka_destroy(rk);
        return st;
    }
    pthread_mutex_lock(&member->lock);
    member->rk = rk;
    pthread_mutex_unlock(&member->lock);
    tn_logf(TN_LOG_INFO, "kafka", "state=joining group=%s member=%s", kafka->application_id,
            kafka->is_static ? "static" : "dynamic");
    return TN_OK;
}

/* What the group refuses for good, or for as long as nobody changes it. */
static void take_error(struct tn_log_member *member, const rd_kafka_message_t *msg)
{
    if (tni_kafka_status(msg->err) != TN_E_DENIED)
        return; /* connections come back by themselves; health is the keeper's */
    struct tn_err err = TN_ERR_INIT;
    tni_kafka_err(&err, msg->err, "group '%s'", member->kafka->application_id);
    tni_kafka_trouble(member->kafka, err.message);
}

static void poll_once(struct tn_log_member *member)
{
    rd_kafka_message_t *msg = rd_kafka_consumer_poll(member->rk, POLL_MS);
    if (msg && msg->err)
        take_error(member, msg);
    if (msg)
        rd_kafka_message_destroy(msg); /* the topic is empty */
    pthread_mutex_lock(&member->lock);
    if (member->revoking && member->done >= member->revoking_at)
        finish_revoke(member);
    pthread_mutex_unlock(&member->lock);
}

/* A handle with a fatal error (a static member that was replaced under its own name, which a broker
 * that was away for longer than the session does to our own second attempt to join) is never given
 * partitions again: everything is lost, and another handle joins. */
static void give_up_handle(struct tn_log_member *member, const char *reason)
{
    tn_logf(TN_LOG_WARN, "kafka", "state=joining-again group=%s reason=\"%s\"",
            member->kafka->application_id, reason);
    pthread_mutex_lock(&member->lock);
    rd_kafka_t *rk = member->rk;
    member->rk = NULL;
    if (member->revoking)
        rd_kafka_topic_partition_list_destroy(member->revoking);
    member->revoking = NULL;
    memset(member->owned, 0, sizeof member->owned);
    member->is_lost = true;
    changed(member);
    pthread_mutex_unlock(&member->lock);
    rd_kafka_destroy_flags(rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
}

static int32_t count_owned(struct tn_log_member *member)
{
    int32_t count = 0;
    pthread_mutex_lock(&member->lock);
    for (int32_t p = 0; p < TN_PARTITIONS_MAX; p++)
        count += member->owned[p];
    pthread_mutex_unlock(&member->lock);
    return count;
}

/* Leaves the group, a static member, too; until it owns nothing any more, at most a moment. */
static void unsubscribe(struct tn_log_member *member)
{
    int64_t end = tn_mono_ns(member->kafka->clock) + LEAVE_MS * 1000000ll;
    rd_kafka_unsubscribe(member->rk);
    while (count_owned(member) > 0 && tn_mono_ns(member->kafka->clock) < end) {
        rd_kafka_message_t *msg = rd_kafka_consumer_poll(member->rk, POLL_MS / 10);
        if (msg)
            rd_kafka_message_destroy(msg);
    }
}

/* The assignment of an earlier life of this process, when there were fewer partitions. */
static void check_width(struct tn_log_member *member)
{
    struct tn_err err = TN_ERR_INIT;
    size_t others = 0;
    int32_t owned = count_owned(member);
    if (member->is_width_checked || owned == 0)
        return;
    member->is_width_checked = true;
    if (!member->kafka->is_static || owned >= member->partitions_count ||
        tn_failed(group_look(member->kafka, GROUP_MS, &others, &err)) || others > 0)
        return;
    tn_logf(TN_LOG_INFO, "kafka", "state=joining-again group=%s reason=\"%d of %d partitions\"",
            member->kafka->application_id, owned, member->partitions_count);
    rd_kafka_unsubscribe(member->rk); /* its partitions are given up as ever, in poll_once */
    if (tn_failed(subscribe(member, member->rk, &err)))
        tn_logf(TN_LOG_WARN, "kafka", "%s", err.message);
}

static void *member_main(void *arg)
{
    struct tn_log_member *member = arg;
    char reason[256];
    while (!is_closing(member)) {
        struct tn_err err = TN_ERR_INIT;
        if (!member->rk && tn_failed(join_group(member, &err))) {
            pause_ms(POLL_MS * 5);
            continue;
        }
        poll_once(member);
        check_width(member);
        if (rd_kafka_fatal_error(member->rk, reason, sizeof reason))
            give_up_handle(member, reason);
    }
    return NULL;
}

/* ---- the port ---- */

static enum tn_status widen(struct tni_kafka *kafka, const char *name, int32_t count,
                            struct tn_err *err)
{
    char text[256];
    rd_kafka_NewPartitions_t *more =
        rd_kafka_NewPartitions_new(name, (size_t)count, text, sizeof text);
    if (!more)
        return tn_err_set(err, TN_E_INVALID, "topic '%s': %s", name, text);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(kafka->admin);
    rd_kafka_CreatePartitions(kafka->admin, &more, 1, NULL, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, TNI_KAFKA_WAIT_MS);
    rd_kafka_resp_err_t code = event ? rd_kafka_event_error(event) : RD_KAFKA_RESP_ERR__TIMED_OUT;
    if (event)
        rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(queue);
    rd_kafka_NewPartitions_destroy(more);
    return code ? tni_kafka_err(err, code, "partitions of topic '%s'", name) : TN_OK;
}

static enum tn_status tasks_topic(struct tni_kafka *kafka, int32_t partitions_count,
                                  struct tn_topic *ret_topic, struct tn_err *err)
{
    TN_TRY(tni_kafka_topic_internal(kafka, "tasks", partitions_count, TN_CLEANUP_DELETE, ret_topic,
                                    err));
    if (ret_topic->partitions_count < partitions_count)
        TN_TRY(widen(kafka, ret_topic->name, partitions_count, err));
    return TN_OK;
}

static enum tn_status join(struct tn_log_member *member, struct tn_err *err)
{
    TN_TRY(join_group(member, err));
    if (pthread_create(&member->thread, NULL, member_main, member) != 0)
        return tn_err_set(err, TN_E_INTERNAL, "cannot start the member's thread");
    member->has_thread = true;
    return TN_OK;
}

enum tn_status tni_kafka_member_open(struct tn_log *log, int32_t partitions_count,
                                     struct tn_wake *wake, struct tn_log_member **ret_member,
                                     struct tn_err *err)
{
    struct tni_kafka *kafka = (struct tni_kafka *)log;
    struct tn_topic topic;
    if (partitions_count > TN_PARTITIONS_MAX)
        return tn_err_set(err, TN_E_LIMIT, "%d partitions; at most %d", partitions_count,
                          TN_PARTITIONS_MAX);
    TN_TRY(tasks_topic(kafka, partitions_count, &topic, err));
    struct tn_log_member *member = tn_alloc(sizeof *member);
    member->kafka = kafka;
    member->wake = wake;
    member->partitions_count = partitions_count;
    member->shown = tn_alloc_array(TN_PARTITIONS_MAX, sizeof *member->shown);
    memcpy(member->tasks_topic, topic.name, sizeof member->tasks_topic);
    pthread_mutex_init(&member->lock, NULL);
    enum tn_status st = join(member, err);
    if (tn_failed(st)) {
        tni_kafka_member_close(member);
        return st;
    }
    tni_kafka_txns_rejoined(kafka, member);
    *ret_member = member;
    return TN_OK;
}

enum tn_status tni_kafka_member_poll(struct tn_log_member *member,
                                     struct tn_log_assignment *ret_assignment, struct tn_err *err)
{
    (void)err;
    pthread_mutex_lock(&member->lock);
    bool is_new = member->generation != member->seen;
    if (is_new) {
        uint32_t count = 0;
        for (int32_t p = 0; p < TN_PARTITIONS_MAX; p++)
            if (member->owned[p])
                member->shown[count++] = p;
        *ret_assignment = (struct tn_log_assignment){.generation = member->generation,
                                                     .count = count,
                                                     .partitions = member->shown,
                                                     .is_lost = member->is_lost};
        member->seen = member->generation;
        member->is_lost = false;
    }
    pthread_mutex_unlock(&member->lock);
    return is_new ? TN_OK : TN_AGAIN;
}

void tni_kafka_member_done(struct tn_log_member *member, uint64_t generation)
{
    pthread_mutex_lock(&member->lock);
    if (generation > member->done)
        member->done = generation;
    pthread_mutex_unlock(&member->lock);
}

rd_kafka_consumer_group_metadata_t *tni_kafka_member_metadata(struct tn_log_member *member)
{
    pthread_mutex_lock(&member->lock);
    rd_kafka_consumer_group_metadata_t *meta =
        member->is_lost || !member->rk ? NULL : rd_kafka_consumer_group_metadata(member->rk);
    pthread_mutex_unlock(&member->lock);
    return meta;
}

void tni_kafka_member_close(struct tn_log_member *member)
{
    struct tn_err err = TN_ERR_INIT;
    size_t others = 0;
    if (!member)
        return;
    tni_kafka_txns_rejoined(member->kafka, NULL);
    pthread_mutex_lock(&member->lock);
    member->is_left = member->is_closing = true;
    pthread_mutex_unlock(&member->lock);
    if (member->has_thread)
        pthread_join(member->thread, NULL);
    if (member->rk) {
        pthread_mutex_lock(&member->lock);
        if (member->revoking)
            finish_revoke(member);
        pthread_mutex_unlock(&member->lock);
        if (member->kafka->is_static &&
            !tn_failed(group_look(member->kafka, LEAVE_MS, &others, &err)) && others > 0)
            unsubscribe(member);
        rd_kafka_consumer_close(member->rk); /* calls the rebalance callback once more */
        rd_kafka_destroy(member->rk);
    }
    pthread_mutex_destroy(&member->lock);
    tn_free(member->shown);
    tn_free(member);
}
