/* Model of Kafka (model_broker.h).
 *
 * HOW IT WORKS. A client's transaction wraps one of mem_log. While its client lives it is polled to
 * an outcome; when the client dies, or the answer of a commit is lost, it becomes an orphan:
 * pending entries stay in the partitions and hold the last stable offset until the broker decides,
 * at `due_ms`. A client that starts again with the same id decides its own orphans at once, as
 * init_transactions does.
 *
 * Decisions of the group follow Kafka's cooperative protocol: a partition that moves is first taken
 * from its owner's assignment, given up by member_done, then given to the new one; a member whose
 * session is over loses everything at once and learns of it at its next poll. */
#include "tests/support/model_broker.h"

#include <stdio.h>

#include "stream/base/mem.h"

#define MEMBERS_MAX 16
#define CLIENTS_MAX 64
#define TASKS_MAX   64
#define GROUPS_MAX  1024

struct model_client;

struct tn_log_member {
    struct model_client *client; /* NULL: slot free */
    bool is_expired, is_lost;
    uint64_t generation, seen, done;
    int64_t polled_ms;
    int32_t list[TASKS_MAX];
};

struct group_offset {
    char topic[TN_TOPIC_NAME_MAX + 1];
    int32_t partition;
    int64_t offset;
};

struct tn_log_txn {
    struct model_client *client;
    void *inner, *data;          /* of mem_log: positions; records, whose markers may come later */
    struct tn_records **records; /* for at-least-once and refusals */
    struct tn_topic *topics;
    int32_t *partitions;
    int64_t *bases;
    uint32_t count, cap;
    struct group_offset *offsets;
    uint32_t offsets_count;
    uint64_t epoch;
    int64_t due_ms;    /* begun: time-out; orphan: decision */
    int64_t answer_ms; /* EndTxn is answered then */
    bool is_started, is_checked, is_settled, is_commit, is_timed_out, is_late;
    uint32_t failed_slot;
    struct tn_log_txn *next; /* orphans */
};

struct model_client {
    struct tn_log base;
    struct tn_log_type type;
    struct model_broker *broker;
    char id[64];
    uint64_t epoch;
    bool is_dead, is_at_least_once, was_member;
    struct tn_log_txn *txn;
    struct tn_log_member *member;
    struct model_client *next; /* all of the broker's life */
};

struct model_broker {
    struct model_broker_config config;
    struct tn_log *store;
    uint64_t rng;
    int64_t now_ms, away_until_ms;
    size_t record_bytes_max;
    struct model_client *clients[CLIENTS_MAX]; /* alive */
    struct model_client *all;
    const bool *decision; /* of the transaction being decided */
    struct tn_log_txn *orphans;
    struct tn_log_member members[MEMBERS_MAX];
    int32_t tasks_count;
    struct tn_log_member *owner[TASKS_MAX], *wanted[TASKS_MAX];
    struct group_offset groups[GROUPS_MAX];
    uint32_t groups_count;
    struct model_client_stats stats;
};

static uint32_t roll(struct model_broker *broker, uint32_t n)
{
    uint64_t z = (broker->rng += 0x9E3779B97F4A7C15ull);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return (uint32_t)((z ^ (z >> 31)) % n);
}

static bool chance(struct model_broker *broker, uint32_t permille)
{
    return broker->config.has_faults && roll(broker, 1000) < permille;
}

static struct model_client *client_of(struct tn_log *log)
{
    return (struct model_client *)(void *)log;
}

static struct tn_log_txn *inner_of(const struct tn_log_txn *txn)
{
    return txn->inner;
}

static struct tn_log_txn *data_of(const struct tn_log_txn *txn)
{
    return txn->data;
}

static enum tn_status away(const struct model_broker *broker, struct tn_err *err)
{
    if (broker->now_ms >= broker->away_until_ms)
        return TN_OK;
    enum tn_status st = tn_err_set(err, TN_E_IO, "no broker answers");
    if (err)
        err->retriable = true;
    return st;
}

/* ---- deciding ---- */

static void take_offsets(struct model_broker *broker, const struct tn_log_txn *txn)
{
    for (uint32_t i = 0; i < txn->offsets_count; i++) {
        const struct group_offset *from = &txn->offsets[i];
        struct group_offset *to = NULL;
        for (uint32_t g = 0; g < broker->groups_count && !to; g++)
            if (broker->groups[g].partition == from->partition &&
                strcmp(broker->groups[g].topic, from->topic) == 0)
                to = &broker->groups[g];
        if (!to) {
            TN_ASSERT(broker->groups_count < GROUPS_MAX);
            to = &broker->groups[broker->groups_count++];
        }
        *to = *from;
    }
}

/* The store's hook: reads that fail or are short, and the outcome that was decided. */
static struct tn_mem_fault store_fault(void *ctx, enum tn_mem_call call)
{
    struct model_broker *broker = ctx;
    if (call == TN_MEM_COMMIT_POLL)
        return (struct tn_mem_fault){.st = *broker->decision ? TN_OK : TN_E_IO};
    if (call != TN_MEM_READ)
        return (struct tn_mem_fault){.st = TN_OK};
    if (broker->now_ms < broker->away_until_ms || chance(broker, 20))
        return (struct tn_mem_fault){.st = TN_E_IO};
    if (chance(broker, 100))
        return (struct tn_mem_fault){.st = TN_AGAIN};
    return (struct tn_mem_fault){.rows_max = chance(broker, 400) ? 1 + roll(broker, 20) : 0};
}

static void settle(struct model_broker *broker, struct tn_log_txn *inner, bool is_commit)
{
    broker->decision = &is_commit;
    (void)broker->store->type->commit_poll(inner, NULL);
    broker->decision = NULL;
}

static void decide(struct tn_log_txn *txn, bool is_commit)
{
    struct model_broker *broker = txn->client->broker;
    if (txn->is_settled)
        return;
    txn->is_settled = true;
    txn->is_commit = is_commit;
    if (!txn->is_started)
        return;
    settle(broker, inner_of(txn), is_commit);
    txn->is_late = is_commit && chance(broker, 300);
    txn->due_ms = broker->now_ms + roll(broker, 300);
    if (!txn->is_late)
        settle(broker, data_of(txn), is_commit);
    if (is_commit)
        take_offsets(broker, txn);
}

static void free_txn(struct tn_log_txn *txn)
{
    decide(txn, false);
    if (txn->is_late)
        settle(txn->client->broker, data_of(txn), true);
    for (uint32_t i = 0; i < txn->count; i++)
        tn_records_unref(txn->records[i]);
    txn->client->broker->store->type->txn_close(inner_of(txn));
    txn->client->broker->store->type->txn_close(data_of(txn));
    tn_free(txn->records);
    tn_free(txn->topics);
    tn_free(txn->partitions);
    tn_free(txn->bases);
    tn_free(txn->offsets);
    tn_free(txn);
}

static void orphan(struct tn_log_txn *txn, bool is_commit, int64_t due_ms)
{
    struct model_broker *broker = txn->client->broker;
    txn->is_commit = is_commit;
    txn->due_ms = due_ms;
    txn->next = broker->orphans;
    broker->orphans = txn;
}

/* Orphans that are due, or of a producer that starts again. */
static void decide_orphans(struct model_broker *broker, const char *id, bool with_late)
{
    for (struct tn_log_txn **at = &broker->orphans; *at;) {
        struct tn_log_txn *txn = *at;
        bool is_mine = id && strcmp(txn->client->id, id) == 0 && (with_late || !txn->is_late);
        if (!is_mine && broker->now_ms < txn->due_ms) {
            at = &txn->next;
            continue;
        }
        *at = txn->next;
        decide(txn, txn->is_commit);
        free_txn(txn); /* markers that are late come now */
    }
}

/* ---- the group ---- */

static void refresh(struct model_broker *broker)
{
    for (int m = 0; m < MEMBERS_MAX; m++) {
        struct tn_log_member *member = &broker->members[m];
        int32_t list[TASKS_MAX] = {0};
        if (!member->client)
            continue;
        for (int32_t p = 0; p < broker->tasks_count; p++)
            list[p] = broker->owner[p] == member && broker->wanted[p] == member;
        if (memcmp(list, member->list, sizeof list) != 0 || member->generation == 0)
            member->generation++;
        memcpy(member->list, list, sizeof list);
    }
}

static void hand_over(struct model_broker *broker)
{
    for (int32_t p = 0; p < broker->tasks_count; p++)
        if (!broker->owner[p])
            broker->owner[p] = broker->wanted[p];
    refresh(broker);
}

/* Another distribution: round robin from a random member, so that partitions move often. */
static void rebalance(struct model_broker *broker)
{
    struct tn_log_member *live[MEMBERS_MAX];
    uint32_t count = 0;
    for (int m = 0; m < MEMBERS_MAX; m++)
        if (broker->members[m].client && !broker->members[m].is_expired)
            live[count++] = &broker->members[m];
    uint32_t from = count ? roll(broker, count) : 0;
    for (int32_t p = 0; p < broker->tasks_count; p++)
        broker->wanted[p] = count ? live[(from + (uint32_t)p) % count] : NULL;
    hand_over(broker);
}

static void let_go(struct model_broker *broker, const struct tn_log_member *member)
{
    for (int32_t p = 0; p < broker->tasks_count; p++) {
        if (broker->owner[p] == member)
            broker->owner[p] = NULL;
        if (broker->wanted[p] == member)
            broker->wanted[p] = NULL;
    }
}

static void expire(struct model_broker *broker)
{
    bool has_changed = false;
    for (int m = 0; m < MEMBERS_MAX; m++) {
        struct tn_log_member *member = &broker->members[m];
        if (!member->client || member->is_expired ||
            broker->now_ms - member->polled_ms <= broker->config.session_timeout_ms)
            continue;
        let_go(broker, member);
        member->is_expired = has_changed = true;
        if (member->client->is_dead) {
            member->client->member = NULL;
            *member = (struct tn_log_member){0};
        }
    }
    if (has_changed)
        rebalance(broker);
}

static enum tn_status member_open(struct tn_log *log, int32_t partitions_count,
                                  struct tn_wake *wake, struct tn_log_member **ret_member,
                                  struct tn_err *err)
{
    struct model_client *client = client_of(log);
    struct model_broker *broker = client->broker;
    (void)wake;
    TN_TRY(away(broker, err));
    TN_ASSERT(!client->member && partitions_count <= TASKS_MAX);
    if (partitions_count > broker->tasks_count)
        broker->tasks_count = partitions_count;
    for (int m = 0; m < MEMBERS_MAX && !client->member; m++)
        if (!broker->members[m].client)
            client->member = &broker->members[m];
    TN_ASSERT(client->member);
    *client->member = (struct tn_log_member){.client = client, .polled_ms = broker->now_ms};
    client->was_member = true;
    rebalance(broker);
    *ret_member = client->member;
    return TN_OK;
}

static enum tn_status member_poll(struct tn_log_member *member,
                                  struct tn_log_assignment *ret_assignment, struct tn_err *err)
{
    struct model_broker *broker = member->client->broker;
    static int32_t list[TASKS_MAX];
    TN_TRY(away(broker, err));
    member->polled_ms = broker->now_ms;
    if (member->is_expired) { /* it learns of it, and joins again */
        member->is_expired = false;
        member->is_lost = true;
        member->generation++;
        rebalance(broker);
        *ret_assignment = (struct tn_log_assignment){
            .generation = member->generation, .partitions = list, .is_lost = true};
        member->seen = 0;
        return TN_OK;
    }
    if (member->seen == member->generation)
        return TN_AGAIN;
    member->seen = member->generation;
    *ret_assignment =
        (struct tn_log_assignment){.generation = member->generation, .partitions = list};
    for (int32_t p = 0; p < broker->tasks_count; p++)
        if (member->list[p])
            list[ret_assignment->count++] = p;
    return TN_OK;
}

static void member_done(struct tn_log_member *member, uint64_t generation)
{
    struct model_broker *broker = member->client->broker;
    if (member->is_expired || generation != member->generation)
        return; /* it will see a newer one */
    for (int32_t p = 0; p < broker->tasks_count; p++)
        if (broker->owner[p] == member && broker->wanted[p] != member)
            broker->owner[p] = NULL;
    hand_over(broker);
}

static void member_close(struct tn_log_member *member)
{
    if (!member || !member->client || member->client->is_dead)
        return; /* the dead stay until their session is over */
    struct model_broker *broker = member->client->broker;
    let_go(broker, member);
    member->client->member = NULL;
    *member = (struct tn_log_member){0};
    rebalance(broker);
}

/* ---- transactions ---- */

static enum tn_status fenced(struct model_client *client, struct tn_err *err)
{
    client->broker->stats.fenced++;
    return tn_err_set(err, TN_E_FENCED, "producer '%s' is fenced", client->id);
}

static bool is_current(const struct model_client *client, const struct tn_log_txn *txn)
{
    return txn->epoch == client->epoch && !txn->is_timed_out;
}

static enum tn_status begin(struct tn_log *log, struct tn_log_txn **ret_txn, struct tn_err *err)
{
    struct model_client *client = client_of(log);
    struct model_broker *broker = client->broker;
    TN_TRY(away(broker, err));
    TN_ASSERT(!client->txn && !client->is_dead);
    if (chance(broker, 20))
        return tn_err_set(err, TN_E_IO, "begin failed");
    decide_orphans(broker, client->id, true); /* init_transactions */
    struct tn_log_txn *txn = tn_alloc(sizeof *txn), *inner = NULL, *data = NULL;
    TN_ASSERT(broker->store->type->begin(broker->store, &inner, NULL) == TN_OK);
    TN_ASSERT(broker->store->type->begin(broker->store, &data, NULL) == TN_OK);
    *txn = (struct tn_log_txn){.client = client,
                               .inner = inner,
                               .data = data,
                               .epoch = client->epoch,
                               .due_ms = broker->now_ms + broker->config.txn_timeout_ms,
                               .failed_slot = UINT32_MAX};
    *ret_txn = client->txn = txn;
    return TN_OK;
}

static bool is_too_large(const struct model_broker *broker, const struct tn_records *records)
{
    for (uint32_t i = 0; i < records->count && broker->record_bytes_max; i++)
        if (records->values[i].len > broker->record_bytes_max)
            return true;
    return false;
}

static enum tn_status too_large(struct model_broker *broker, const struct tn_topic *topic,
                                struct tn_err *err)
{
    broker->stats.refused++;
    return tn_err_set(err, TN_E_LIMIT, "topic '%s': a record is larger than %zu bytes", topic->name,
                      broker->record_bytes_max);
}

static void grow(struct tn_log_txn *txn)
{
    if (txn->count < txn->cap)
        return;
    txn->cap = txn->cap ? txn->cap * 2 : 16;
    txn->records = tn_realloc(txn->records, txn->cap * sizeof *txn->records);
    txn->topics = tn_realloc(txn->topics, txn->cap * sizeof *txn->topics);
    txn->partitions = tn_realloc(txn->partitions, txn->cap * sizeof *txn->partitions);
    txn->bases = tn_realloc(txn->bases, txn->cap * sizeof *txn->bases);
}

static enum tn_status txn_append(struct tn_log_txn *txn, const struct tn_topic *topic,
                                 int32_t partition, struct tn_records *records, uint32_t *ret_slot,
                                 struct tn_err *err)
{
    struct model_broker *broker = txn->client->broker;
    TN_TRY(away(broker, err));
    if (chance(broker, 2))
        return tn_err_set(err, TN_E_IO, "append failed");
    bool is_large = is_too_large(broker, records);
    if (is_large && roll(broker, 2))
        return too_large(broker, topic, err);
    uint32_t slot = txn->count;
    if (!txn->client->is_at_least_once)
        TN_TRY(
            broker->store->type->txn_append(data_of(txn), topic, partition, records, &slot, err));
    grow(txn);
    if (is_large)
        txn->failed_slot = slot;
    txn->records[txn->count] = tn_records_ref(records);
    txn->topics[txn->count] = *topic;
    txn->partitions[txn->count] = partition;
    txn->bases[txn->count] = -1;
    *ret_slot = txn->count++;
    TN_ASSERT(*ret_slot == slot);
    return TN_OK;
}

static enum tn_status txn_position(struct tn_log_txn *txn, struct tn_str key, struct tn_str value,
                                   struct tn_err *err)
{
    TN_TRY(away(txn->client->broker, err));
    return txn->client->broker->store->type->txn_position(inner_of(txn), key, value, err);
}

static enum tn_status txn_group_offset(struct tn_log_txn *txn, const struct tn_topic *topic,
                                       int32_t partition, int64_t offset, struct tn_err *err)
{
    (void)err;
    txn->offsets = tn_realloc(txn->offsets, (txn->offsets_count + 1) * sizeof *txn->offsets);
    struct group_offset *to = &txn->offsets[txn->offsets_count++];
    *to = (struct group_offset){.partition = partition, .offset = offset};
    snprintf(to->topic, sizeof to->topic, "%s", topic->name);
    return TN_OK;
}

static void note_base(void *ctx, enum tn_status st, int64_t base_offset, const struct tn_err *err)
{
    (void)err;
    *(int64_t *)ctx = st == TN_OK ? base_offset : -1;
}

/* At least once: records are there when they are acknowledged, whatever becomes of the rest. */
static enum tn_status append_now(struct tn_log_txn *txn, struct tn_err *err)
{
    struct model_broker *broker = txn->client->broker;
    for (uint32_t i = 0; i < txn->count; i++) {
        if (chance(broker, 10))
            return tn_err_set(err, TN_E_IO, "not all records were acknowledged");
        broker->store->type->append(broker->store, &txn->topics[i], txn->partitions[i],
                                    txn->records[i], note_base, &txn->bases[i]);
    }
    return TN_OK;
}

static enum tn_status commit_start(struct tn_log_txn *txn, struct tn_wake *wake, struct tn_err *err)
{
    struct model_broker *broker = txn->client->broker;
    TN_TRY(away(broker, err));
    if (chance(broker, 20))
        return tn_err_set(err, TN_E_IO, "commit start failed");
    if (txn->client->is_at_least_once && txn->failed_slot == UINT32_MAX)
        TN_TRY(append_now(txn, err));
    TN_TRY(broker->store->type->commit_start(data_of(txn), wake, err));
    enum tn_status st = broker->store->type->commit_start(inner_of(txn), wake, err);
    txn->is_started = st == TN_OK;
    txn->answer_ms = broker->now_ms + (chance(broker, 700) ? roll(broker, 60) : 0);
    return st;
}

/* Offsets are sent with the membership; a stale one is refused. */
static bool is_stale(const struct tn_log_txn *txn)
{
    const struct model_client *client = txn->client;
    if (!client->was_member || txn->offsets_count == 0)
        return false;
    return !client->member || client->member->is_expired;
}

static enum tn_status refused(struct tn_log_txn *txn, enum tn_status st, const char *why,
                              struct tn_err *err)
{
    decide(txn, false);
    txn->client->broker->stats.aborts++;
    return tn_err_set(err, st, "%s", why);
}

/* The answer is lost; the broker decides now or later. */
static enum tn_status lose(struct tn_log_txn *txn, struct tn_err *err)
{
    struct model_broker *broker = txn->client->broker;
    broker->stats.indefinite++;
    bool is_commit = roll(broker, 2) == 0;
    if (roll(broker, 2))
        decide(txn, is_commit);
    else
        txn->is_commit = is_commit; /* txn_close makes it an orphan */
    txn->is_timed_out = !txn->is_settled;
    return tn_err_set(err, TN_E_INDEFINITE, "the answer of the commit was lost");
}

static enum tn_status commit_poll(struct tn_log_txn *txn, struct tn_err *err)
{
    struct model_client *client = txn->client;
    struct model_broker *broker = client->broker;
    if (away(broker, NULL) != TN_OK)
        return chance(broker, 100) ? lose(txn, err) : TN_AGAIN;
    if (!is_current(client, txn)) {
        client->epoch++;
        decide(txn, false);
        return fenced(client, err);
    }
    if (!txn->is_checked && is_stale(txn)) {
        broker->stats.stale++;
        return refused(txn, TN_E_IO, "the membership is stale", err);
    }
    TN_ASSERT(!client->was_member || txn->count == 0 || txn->offsets_count > 0);
    txn->is_checked = true;
    if (broker->now_ms < txn->answer_ms)
        return TN_AGAIN;
    if (txn->failed_slot != UINT32_MAX) {
        decide(txn, false);
        return too_large(broker, &txn->topics[txn->failed_slot], err);
    }
    if (chance(broker, 60))
        return refused(txn, TN_E_IO, "the coordinator asks for an abort", err);
    if (chance(broker, 40))
        return lose(txn, err);
    decide(txn, true);
    broker->stats.commits++;
    return TN_OK;
}

static int64_t txn_offset(const struct tn_log_txn *txn, uint32_t slot)
{
    if (txn->client->is_at_least_once)
        return txn->bases[slot];
    return txn->client->broker->store->type->txn_offset(data_of(txn), slot);
}

static uint32_t txn_failed_slot(const struct tn_log_txn *txn)
{
    return txn->failed_slot;
}

static void txn_close(struct tn_log_txn *txn)
{
    if (!txn || txn->client->is_dead)
        return; /* a dead process closes nothing */
    txn->client->txn = NULL;
    if (txn->is_started && !txn->is_settled && txn->is_timed_out)
        orphan(txn, txn->is_commit, txn->due_ms); /* indefinite */
    else if (txn->is_late)
        orphan(txn, true, txn->due_ms);
    else
        free_txn(txn);
}

/* ---- the rest ---- */

static enum tn_status offsets(struct tn_log *log, const struct tn_topic *topic, int32_t partition,
                              struct tn_offsets *ret_offsets, struct tn_err *err)
{
    struct model_broker *broker = client_of(log)->broker;
    TN_TRY(away(broker, err));
    if (chance(broker, 5))
        return tn_err_set(err, TN_E_IO, "offsets failed");
    return broker->store->type->offsets(broker->store, topic, partition, ret_offsets, err);
}

static bool has_undecided(const struct model_broker *broker, const struct model_client *but)
{
    for (const struct tn_log_txn *txn = broker->orphans; txn; txn = txn->next)
        if (txn->is_started && !txn->is_settled)
            return true;
    for (int c = 0; c < CLIENTS_MAX; c++)
        if (broker->clients[c] && broker->clients[c] != but && broker->clients[c]->txn &&
            broker->clients[c]->txn->is_started && !broker->clients[c]->txn->is_settled)
            return true;
    return false;
}

static enum tn_status positions(struct tn_log *log, struct tn_str prefix,
                                enum tn_status (*each)(void *ctx, struct tn_str key,
                                                       struct tn_str value, struct tn_err *err),
                                void *ctx, struct tn_err *err)
{
    struct model_client *client = client_of(log);
    struct model_broker *broker = client->broker;
    TN_TRY(away(broker, err));
    if (!client->txn)
        decide_orphans(broker, client->id, false);
    if (chance(broker, 5) || has_undecided(broker, client))
        return tn_err_set(err, TN_E_IO, "positions are not stable yet");
    return broker->store->type->positions(broker->store, prefix, each, ctx, err);
}

#define PASS(log) client_of(log)->broker->store

static enum tn_status topic_create(struct tn_log *log, const struct tn_topic_spec *spec,
                                   struct tn_err *err)
{
    TN_TRY(away(client_of(log)->broker, err));
    return PASS(log)->type->topic_create(PASS(log), spec, err);
}

static enum tn_status topic_find(struct tn_log *log, const char *name, struct tn_topic *ret_topic,
                                 struct tn_err *err)
{
    TN_TRY(away(client_of(log)->broker, err));
    return PASS(log)->type->topic_find(PASS(log), name, ret_topic, err);
}

static enum tn_status topic_delete(struct tn_log *log, const char *name, struct tn_err *err)
{
    TN_TRY(away(client_of(log)->broker, err));
    return PASS(log)->type->topic_delete(PASS(log), name, err);
}

static enum tn_status topic_each(struct tn_log *log,
                                 bool (*each)(void *ctx, const struct tn_topic *topic), void *ctx,
                                 struct tn_err *err)
{
    return PASS(log)->type->topic_each(PASS(log), each, ctx, err);
}

static enum tn_status offset_at(struct tn_log *log, const struct tn_topic *topic, int32_t partition,
                                int64_t timestamp_ms, int64_t *ret_offset, struct tn_err *err)
{
    return PASS(log)->type->offset_at(PASS(log), topic, partition, timestamp_ms, ret_offset, err);
}

static enum tn_status reader_open(struct tn_log *log, struct tn_wake *wake,
                                  struct tn_log_reader **ret_reader, struct tn_err *err)
{
    return PASS(log)->type->reader_open(PASS(log), wake, ret_reader, err);
}

static void append(struct tn_log *log, const struct tn_topic *topic, int32_t partition,
                   struct tn_records *records, tn_append_done done, void *ctx)
{
    PASS(log)->type->append(PASS(log), topic, partition, records, done, ctx);
}

static enum tn_status sync_nothing(struct tn_log *log, struct tn_err *err)
{
    (void)log;
    (void)err;
    return TN_OK;
}

static void close_client(struct tn_log *log)
{
    struct model_client *client = client_of(log);
    struct model_broker *broker = client->broker;
    TN_ASSERT(!client->txn);
    if (client->is_dead)
        return;
    for (int c = 0; c < CLIENTS_MAX; c++)
        if (broker->clients[c] == client)
            broker->clients[c] = NULL;
    decide_orphans(broker, client->id, true);
}

struct tn_log *model_client_new(struct model_broker *broker, const char *id, bool is_at_least_once)
{
    struct model_client *client = tn_alloc(sizeof *client);
    client->type = (struct tn_log_type){.name = "model",
                                        .topic_create = topic_create,
                                        .topic_find = topic_find,
                                        .topic_delete = topic_delete,
                                        .topic_each = topic_each,
                                        .offsets = offsets,
                                        .offset_at = offset_at,
                                        .reader_open = reader_open,
                                        .reader_close = broker->store->type->reader_close,
                                        .read = broker->store->type->read,
                                        .append = append,
                                        .begin = begin,
                                        .txn_append = txn_append,
                                        .txn_position = txn_position,
                                        .txn_group_offset = txn_group_offset,
                                        .commit_start = commit_start,
                                        .commit_poll = commit_poll,
                                        .txn_offset = txn_offset,
                                        .txn_failed_slot = txn_failed_slot,
                                        .txn_close = txn_close,
                                        .positions = positions,
                                        .sync = sync_nothing,
                                        .close = close_client,
                                        .member_open = member_open,
                                        .member_poll = member_poll,
                                        .member_done = member_done,
                                        .member_close = member_close};
    client->base.type = &client->type;
    client->broker = broker;
    client->is_at_least_once = is_at_least_once;
    snprintf(client->id, sizeof client->id, "%s", id);
    int slot = 0;
    while (slot < CLIENTS_MAX && broker->clients[slot])
        slot++;
    TN_ASSERT(slot < CLIENTS_MAX);
    broker->clients[slot] = client;
    client->next = broker->all;
    broker->all = client;
    decide_orphans(broker, id, true);
    return &client->base;
}

void model_client_kill(struct tn_log *log)
{
    struct model_client *client = client_of(log);
    struct model_broker *broker = client->broker;
    struct tn_log_txn *txn = client->txn;
    client->is_dead = true;
    client->txn = NULL;
    for (int c = 0; c < CLIENTS_MAX; c++) /* its slot is free for the next life; freed at the end */
        if (broker->clients[c] == client)
            broker->clients[c] = NULL;
    if (txn) { /* EndTxn may have been sent once the offsets were accepted */
        bool is_commit = txn->is_checked && !txn->is_settled && roll(broker, 2);
        int64_t timeout = broker->config.txn_timeout_ms;
        orphan(txn, is_commit, broker->now_ms + roll(broker, 2 * (uint32_t)timeout));
    }
}

/* ---- the broker ---- */

static void time_out_txns(struct model_broker *broker)
{
    for (int c = 0; c < CLIENTS_MAX; c++) {
        struct model_client *client = broker->clients[c];
        struct tn_log_txn *txn = client ? client->txn : NULL;
        if (!txn || txn->is_settled || broker->now_ms < txn->due_ms)
            continue;
        decide(txn, false);
        txn->is_timed_out = true; /* the epoch is raised: this producer is fenced */
    }
}

struct model_broker *model_broker_new(const struct model_broker_config *config)
{
    struct model_broker *broker = tn_alloc(sizeof *broker);
    broker->config = *config;
    broker->rng = config->seed;
    broker->store = tn_mem_log_new(false);
    tn_mem_log_share(broker->store);
    tn_mem_log_set_fault(broker->store, store_fault, broker);
    return broker;
}

void model_broker_free(struct model_broker *broker)
{
    broker->now_ms = INT64_MAX;
    decide_orphans(broker, NULL, false);
    broker->store->type->close(broker->store);
    for (struct model_client *client = broker->all, *next; client; client = next) {
        next = client->next;
        tn_free(client);
    }
    tn_free(broker);
}

struct tn_log *model_broker_log(struct model_broker *broker)
{
    return broker->store;
}

void model_broker_set_faults(struct model_broker *broker, bool has_faults)
{
    broker->config.has_faults = has_faults;
    if (!has_faults)
        broker->away_until_ms = 0;
}

void model_broker_advance(struct model_broker *broker, int64_t now_ms)
{
    broker->now_ms = now_ms;
    time_out_txns(broker);
    decide_orphans(broker, NULL, false);
    expire(broker);
}

void model_broker_away(struct model_broker *broker, int64_t until_ms)
{
    broker->away_until_ms = until_ms;
}

void model_broker_record_max(struct model_broker *broker, size_t bytes_max)
{
    broker->record_bytes_max = bytes_max;
}

uint32_t model_broker_orphans(const struct model_broker *broker)
{
    uint32_t count = 0;
    for (const struct tn_log_txn *txn = broker->orphans; txn; txn = txn->next)
        count++;
    return count;
}

void model_broker_stats(const struct model_broker *broker, struct model_client_stats *ret_stats)
{
    *ret_stats = broker->stats;
}

int64_t model_broker_group_offset(const struct model_broker *broker, const char *topic,
                                  int32_t partition)
{
    for (uint32_t i = 0; i < broker->groups_count; i++)
        if (broker->groups[i].partition == partition && strcmp(broker->groups[i].topic, topic) == 0)
            return broker->groups[i].offset;
    return -1;
}
