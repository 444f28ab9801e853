/* One round as a transaction: outputs, changelogs, dead letters and positions go in together; then
 * the round becomes the committed state, and at times the state port gets it. @thread commit
 */
#include "stream/engine_int.h"

#include "stream/base/crashpoint.h"
#include "stream/base/mem.h"

#define FLUSH_BYTES_MIN ((int64_t)8 << 20)   /* unflushed rows worth a flush by themselves */
#define FLUSH_BYTES_MAX ((int64_t)128 << 20) /* bounds the replay after a kill */
#define HOLD_NS         1000000000ll         /* retention learns of positions this often */
#define FLUSH_AGE_NS    30000000000ll

/* ---- building the transaction ---- */

/* Failures that the query's own output causes: another try would fail the same way. */
static bool is_poison(enum tn_status st)
{
    return st == TN_E_LIMIT || st == TN_E_NAME || st == TN_E_INVALID || st == TN_E_UNSUPPORTED ||
           st == TN_E_DENIED;
}

static enum tn_status append_turn(struct tn_engine *engine, struct tni_turn *turn,
                                  struct tn_err *err)
{
    for (uint32_t i = 0; i < turn->emits_count; i++) {
        struct tni_emit *emit = &turn->emits[i];
        if (emit->is_sent)
            continue;
        enum tn_status st = engine->log->type->txn_append(engine->txn, emit->topic, emit->partition,
                                                          emit->records, &emit->slot, err);
        if (st != TN_OK)
            return st;
        emit->is_sent = true;
    }
    return TN_OK;
}

static void add_store(struct tni_position *position, const struct tni_op *op, int64_t stream_ms,
                      int64_t closed_ms)
{
    if (!op->store)
        return;
    struct tni_position_store *store = &position->stores[position->stores_count++];
    *store = (struct tni_position_store){.id = op->store->id,
                                         .stream_time_ms = stream_ms,
                                         .closed_ms = closed_ms,
                                         .changelog_base = op->changelog_base};
    memcpy(store->changelog_id, op->changelog.log_id, sizeof store->changelog_id);
}

struct bytes {
    struct tn_buf key, value;
};

static enum tn_status put_position(struct tn_engine *engine, const struct tni_input *input,
                                   struct tni_position *position, struct bytes *b,
                                   struct tn_err *err)
{
    memcpy(position->log_id, input->topic.log_id, 16);
    tni_position_key(engine, input->task->query->plan->query_id, input->topic.name,
                     input->partition, &b->key);
    tni_position_value(position, &b->value);
    return engine->log->type->txn_position(engine->txn, tn_buf_str(&b->key), tn_buf_str(&b->value),
                                           err);
}

/* ---- the group's offsets ---- */

static struct tni_group_offset *group_of(struct tn_engine *engine, struct tni_input *input)
{
    for (uint32_t i = 0; i < engine->groups_count && !input->group; i++)
        if (engine->groups[i].topic.id == input->topic.id &&
            engine->groups[i].partition == input->partition)
            input->group = (int32_t)i + 1;
    if (!input->group) {
        if (engine->groups_count == engine->groups_cap) {
            engine->groups_cap = engine->groups_cap ? engine->groups_cap * 2 : 16;
            engine->groups =
                tn_realloc(engine->groups, engine->groups_cap * sizeof *engine->groups);
        }
        engine->groups[engine->groups_count++] = (struct tni_group_offset){
            .topic = input->topic, .partition = input->partition, .committed = -1, .sent = -1};
        input->group = (int32_t)engine->groups_count;
    }
    return &engine->groups[input->group - 1];
}

static enum tn_status put_group(struct tn_engine *engine, struct tni_input *input, int64_t offset,
                                struct tn_err *err)
{
    if (!engine->log->type->txn_group_offset)
        return TN_OK;
    struct tni_group_offset *group = group_of(engine, input);
    int64_t before = group->sent > group->committed ? group->sent : group->committed;
    if (offset <= before && (engine->is_group_sent || offset < before))
        return TN_OK; /* behind the foremost; but a transaction without any is not fenced */
    TN_TRY(engine->log->type->txn_group_offset(engine->txn, &group->topic, group->partition, offset,
                                               err));
    group->sent = offset;
    engine->is_group_sent = true;
    return TN_OK;
}

/* Every transaction of a member carries its membership, also one of dead letters only. */
static enum tn_status put_any_group(struct tn_engine *engine, struct tn_err *err)
{
    const struct tn_log_type *type = engine->log->type;
    if (!type->txn_group_offset || !engine->has_members)
        return TN_OK;
    for (uint32_t q = 0; q < engine->queries_count; q++)
        for (uint32_t t = 0; t < engine->queries[q]->tasks_count; t++) {
            struct tni_task *task = &engine->queries[q]->tasks[t];
            bool is_shared = task->is_owned && !task->is_global && task->query->plan->sink_name;
            for (uint32_t i = 0; i < task->inputs_count && is_shared; i++) {
                if (engine->is_group_sent)
                    return TN_OK;
                int64_t at = atomic_load(&task->inputs[i].committed);
                struct tni_group_offset *group = group_of(engine, &task->inputs[i]);
                at = group->committed > at ? group->committed : at;
                TN_TRY(
                    type->txn_group_offset(engine->txn, &group->topic, group->partition, at, err));
                engine->is_group_sent = true;
            }
        }
    return TN_OK;
}

void tni_group_forget(struct tn_engine *engine, bool is_all)
{
    engine->is_group_sent = false;
    for (uint32_t i = 0; i < engine->groups_count; i++) {
        engine->groups[i].sent = -1;
        if (is_all)
            engine->groups[i].committed = -1;
    }
}

static void settle_groups(struct tn_engine *engine)
{
    for (uint32_t i = 0; i < engine->groups_count; i++)
        if (engine->groups[i].sent > engine->groups[i].committed)
            engine->groups[i].committed = engine->groups[i].sent;
    tni_group_forget(engine, false);
}

/* Where all inputs of a new query stand before anything of it is committed. */
static enum tn_status put_first(struct tn_engine *engine, const struct tni_query *query,
                                struct bytes *b, struct tn_err *err)
{
    for (uint32_t t = 0; t < query->tasks_count; t++) {
        const struct tni_task *task = &query->tasks[t];
        struct tni_position position = {.stream_time_ms = INT64_MIN};
        for (uint32_t i = 0; i < task->ops_count; i++)
            add_store(&position, &task->ops[i], INT64_MIN, INT64_MIN);
        for (uint32_t i = 0; i < task->inputs_count && task->is_new; i++) {
            position.offset = atomic_load(&task->inputs[i].committed);
            TN_TRY(put_position(engine, &task->inputs[i], &position, b, err));
        }
    }
    return TN_OK;
}

static enum tn_status put_positions(struct tn_engine *engine, struct tni_turn *turn,
                                    struct bytes *b, struct tn_err *err)
{
    struct tni_task *task = turn->task;
    if (!task->query->plan->sink_name)
        return TN_OK; /* a push query ends with its client */
    if (task->query->needs_first && !task->query->is_first_sent)
        TN_TRY(put_first(engine, task->query, b, err));
    task->query->is_first_sent = true;
    struct tni_position position = {.stream_time_ms = turn->stream_time_ms};
    for (uint32_t i = 0; i < task->ops_count; i++)
        add_store(&position, &task->ops[i], turn->op_times[2 * i], turn->op_times[2 * i + 1]);
    for (uint32_t i = 0; i < task->inputs_count; i++) {
        position.offset = turn->positions[i];
        TN_TRY(put_position(engine, &task->inputs[i], &position, b, err));
        TN_TRY(put_group(engine, &task->inputs[i], turn->positions[i], err));
    }
    return TN_OK;
}

static enum tn_status put_marks(struct tn_engine *engine, const struct tni_part *part,
                                struct bytes *b, struct tn_err *err)
{
    for (uint32_t i = 0; i < part->marks_count; i++) {
        const struct tni_dead_mark *mark = &part->marks[i];
        struct tn_topic topic;
        struct tni_position position = {.offset = mark->next, .stream_time_ms = INT64_MIN};
        enum tn_status st = engine->log->type->topic_find(engine->log, mark->topic, &topic, err);
        if (tn_failed(st))
            return st;
        if (st == TN_NOT_FOUND)
            continue;
        memcpy(position.log_id, topic.log_id, 16);
        tni_position_key(engine, "", mark->topic, mark->partition, &b->key);
        tni_position_value(&position, &b->value);
        TN_TRY(engine->log->type->txn_position(engine->txn, tn_buf_str(&b->key),
                                               tn_buf_str(&b->value), err));
    }
    return TN_OK;
}

static enum tn_status append_part(struct tn_engine *engine, struct tni_part *part, struct bytes *b,
                                  struct tni_query **ret_culprit, struct tn_err *err)
{
    for (struct tni_turn *turn = part->turns; turn; turn = turn->next) {
        enum tn_status st = append_turn(engine, turn, err);
        if (tn_failed(st) && is_poison(st))
            *ret_culprit = turn->task->query;
        if (st != TN_OK)
            return st;
        if (!turn->has_positions)
            TN_TRY(put_positions(engine, turn, b, err));
        turn->has_positions = true;
    }
    uint32_t slot = 0;
    if (!part->dead || part->is_dead_sent)
        return TN_OK;
    enum tn_status st =
        engine->log->type->txn_append(engine->txn, &engine->dead_topic, 0, part->dead, &slot, err);
    if (st != TN_OK)
        return st;
    part->is_dead_sent = true;
    return put_marks(engine, part, b, err);
}

static enum tn_status build(struct tn_engine *engine, struct bytes *b,
                            struct tni_query **ret_culprit, struct tn_err *err)
{
    for (uint32_t w = 0; w < engine->workers_count; w++) {
        enum tn_status st = append_part(engine, engine->parts[w], b, ret_culprit, err);
        if (st != TN_OK)
            return st;
    }
    for (uint32_t i = 0; i < engine->dropped_count; i++) /* repeating them does no harm */
        TN_TRY(engine->log->type->txn_position(engine->txn, engine->dropped_positions[i],
                                               (struct tn_str){0}, err));
    TN_TRY(put_any_group(engine, err));
    tn_crash_point("commit-before-write");
    TN_TRY(engine->log->type->commit_start(engine->txn, &engine->commit_wake, err));
    tn_crash_point("commit-after-write");
    return TN_OK;
}

/* May be called again after TN_AGAIN: what the log took already is not sent twice. */
enum tn_status tni_commit_start(struct tn_engine *engine, struct tni_query **ret_culprit,
                                struct tn_err *err)
{
    if (!engine->txn) {
        enum tn_status st = engine->log->type->begin(engine->log, &engine->txn, err);
        if (st != TN_OK)
            return st;
    }
    struct bytes b;
    tn_buf_init(&b.key, 4096);
    tn_buf_init(&b.value, 4096);
    enum tn_status st = build(engine, &b, ret_culprit, err);
    tn_buf_release(&b.key);
    tn_buf_release(&b.value);
    return st;
}

struct tni_query *tni_commit_culprit(struct tn_engine *engine)
{
    const struct tn_log_type *type = engine->log->type;
    uint32_t slot = type->txn_failed_slot ? type->txn_failed_slot(engine->txn) : UINT32_MAX;
    for (uint32_t w = 0; w < engine->workers_count && slot != UINT32_MAX; w++)
        for (struct tni_turn *turn = engine->parts[w]->turns; turn; turn = turn->next)
            for (uint32_t i = 0; i < turn->emits_count; i++)
                if (turn->emits[i].slot == slot)
                    return turn->task->query;
    return NULL;
}

/* ---- publish ---- */

static void publish_turn(struct tn_engine *engine, struct tni_turn *turn, int64_t commit)
{
    struct tni_task *task = turn->task;
    for (uint32_t i = 0; i < turn->emits_count; i++) {
        const struct tni_emit *emit = &turn->emits[i];
        tn_metric_add(engine->m.rows_out, emit->records->count);
        if (emit->changelog_op >= 0)
            atomic_store(&task->ops[emit->changelog_op].changelog_next,
                         engine->log->type->txn_offset(engine->txn, emit->slot) +
                             emit->records->count);
    }
    for (uint32_t i = 0; i < task->ops_count; i++) {
        struct tni_op *op = &task->ops[i];
        op->committed_stream_ms = turn->op_times[2 * i];
        op->committed_closed_ms = turn->op_times[2 * i + 1];
        if (turn->deltas[i])
            tni_ktable_publish(op->kt, turn->deltas[i], commit);
        turn->deltas[i] = NULL;
    }
    task->committed_time_ms = turn->stream_time_ms;
    atomic_store(&task->query->state_failures, 0);
    if (!task->query->is_first_sent)
        return;
    task->query->needs_first = false;
    for (uint32_t t = 0; t < task->query->tasks_count; t++)
        task->query->tasks[t].is_new = false;
}

/* Not before the view shows the commit: who sees a position that is far enough (fresh=1) pins the
 * view next. */
static void publish_positions(const struct tni_turn *turn)
{
    for (uint32_t i = 0; i < turn->task->inputs_count; i++) {
        atomic_store(&turn->task->inputs[i].committed, turn->positions[i]);
        atomic_store(&turn->task->inputs[i].applied, turn->positions[i]);
    }
}

static void gc_turn(const struct tni_turn *turn)
{
    for (uint32_t i = 0; i < turn->task->ops_count; i++)
        if (turn->task->ops[i].kt)
            tni_ktable_gc(turn->task->ops[i].kt);
}

static void gc_all(struct tn_engine *engine)
{
    for (uint32_t q = 0; q < engine->queries_count; q++)
        for (uint32_t t = 0; t < engine->queries[q]->tasks_count; t++) {
            struct tni_task *task = &engine->queries[q]->tasks[t];
            for (uint32_t i = 0; i < task->ops_count && !task->is_global; i++)
                if (task->ops[i].kt)
                    tni_ktable_gc(task->ops[i].kt);
        }
}

static void notify(struct tn_engine *engine, const struct tni_turn *turn, int64_t commit)
{
    if (!turn->shown)
        return;
    pthread_mutex_lock(&engine->subs_lock);
    for (struct tn_subscription *s = engine->subscriptions; s; s = s->next)
        if (strcmp(s->query_id, turn->task->query->plan->query_id) == 0)
            for (const struct tni_shown *shown = turn->shown; shown; shown = shown->next)
                s->fn(s->ctx, commit, shown->batch);
    pthread_mutex_unlock(&engine->subs_lock);
}

/* ---- retention ---- */

void tni_query_hold(struct tni_query *query, bool is_released)
{
    struct tn_log *log = query->engine->log;
    if (!log->type->hold || !query->plan->sink_name)
        return;
    for (uint32_t t = 0; t < query->tasks_count; t++)
        for (uint32_t i = 0; i < query->tasks[t].inputs_count; i++) {
            struct tni_input *input = &query->tasks[t].inputs[i];
            int64_t offset =
                query->tasks[t].is_global ? input->start : atomic_load(&input->committed);
            log->type->hold(log, &input->topic, input->partition, query->plan->query_id,
                            is_released ? -1 : offset);
        }
}

static void hold_inputs(struct tn_engine *engine)
{
    int64_t now = tn_mono_ns(engine->clock);
    if (!engine->log->type->hold || now - engine->held_at_ns < HOLD_NS)
        return;
    engine->held_at_ns = now;
    for (uint32_t q = 0; q < engine->queries_count; q++)
        tni_query_hold(engine->queries[q], false);
}

void tni_commit_publish(struct tn_engine *engine)
{
    int64_t commit = tni_view_commit(&engine->view) + 1;
    for (uint32_t w = 0; w < engine->workers_count; w++)
        for (struct tni_turn *turn = engine->parts[w]->turns; turn; turn = turn->next)
            publish_turn(engine, turn, commit);
    settle_groups(engine);
    tni_view_advance(&engine->view, commit);
    for (uint32_t w = 0; w < engine->workers_count; w++)
        for (struct tni_turn *turn = engine->parts[w]->turns; turn; turn = turn->next)
            publish_positions(turn);
    if (atomic_exchange(&engine->is_gc_wanted, false)) {
        gc_all(engine);
    } else {
        for (uint32_t w = 0; w < engine->workers_count; w++)
            for (struct tni_turn *turn = engine->parts[w]->turns; turn; turn = turn->next)
                gc_turn(turn);
    }
    for (uint32_t w = 0; w < engine->workers_count; w++)
        for (struct tni_turn *turn = engine->parts[w]->turns; turn; turn = turn->next)
            notify(engine, turn, commit);
    for (uint32_t i = 0; i < engine->dropped_count; i++)
        tn_free((char *)(uintptr_t)engine->dropped_positions[i].ptr);
    engine->dropped_count = 0;
    hold_inputs(engine);
    tn_metric_add(engine->m.commits, 1);
    tni_fresh_signal(engine);
}

/* ---- flush ---- */

static int64_t unflushed_bytes(const struct tni_task *task)
{
    int64_t bytes = 0;
    for (uint32_t i = 0; i < task->ops_count; i++)
        if (task->ops[i].kt)
            bytes += (int64_t)tni_ktable_unflushed_bytes(task->ops[i].kt);
    return bytes;
}

static void add_meta(struct tni_flush *flush, const struct tni_task *task, const struct tni_op *op)
{
    struct tn_buf key, value;
    tn_buf_init(&key, 64);
    tn_buf_init(&value, (size_t)4 << 20);
    tni_meta_key(task, op, &key);
    tni_meta_value(task, op, &value);
    tni_flush_put(flush, tn_buf_str(&key), tn_buf_str(&value));
    tn_buf_release(&key);
    tn_buf_release(&value);
}

/* Rows and positions of one task in one atomic change. Positions are taken before the rows:
 * replaying a little again is harmless, missing some would not be. */
enum tn_status tni_task_flush(struct tn_engine *engine, struct tni_task *task, struct tn_err *err)
{
    struct tni_flush *flush =
        tni_flush_new(engine->state, task->is_global ? &task->global_view : &engine->view);
    pthread_mutex_lock(&task->side_lock);
    for (uint32_t i = 0; i < task->ops_count; i++) {
        if (!task->ops[i].kt || (!task->ops[i].store->changelog && !task->ops[i].store->is_source))
            continue;
        add_meta(flush, task, &task->ops[i]);
        tni_flush_add(flush, task->ops[i].kt);
    }
    tn_metric_add(engine->m.flushed_rows, (int64_t)tni_flush_count(flush));
    tn_crash_point("flush-before"); /* committed, not flushed */
    enum tn_status st = tni_flush_apply(flush, err);
    tn_crash_point("flush-after");
    pthread_mutex_unlock(&task->side_lock);
    tni_flush_free(flush);
    return st;
}

static int64_t total_unflushed(const struct tn_engine *engine)
{
    int64_t bytes = 0;
    for (uint32_t q = 0; q < engine->queries_count; q++)
        for (uint32_t t = 0; t < engine->queries[q]->tasks_count; t++)
            bytes += unflushed_bytes(&engine->queries[q]->tasks[t]);
    return bytes;
}

void tni_round_keep(struct tn_engine *engine)
{
    struct tn_err err = TN_ERR_INIT;
    for (uint32_t q = 0; q < engine->queries_count; q++)
        for (uint32_t t = 0; t < engine->queries[q]->tasks_count; t++) {
            struct tni_task *task = &engine->queries[q]->tasks[t];
            if (!tni_task_is_live(task) || task->is_global || task->is_blocked ||
                task->is_state_bad || unflushed_bytes(task) == 0)
                continue;
            if (tn_failed(tni_task_drop_changes(task, &err)) ||
                tn_failed(tni_task_flush(engine, task, &err)))
                return; /* it is behind then, which is allowed */
        }
}

static bool flush_is_due(struct tn_engine *engine, int64_t now)
{
    if (engine->config.is_flush_every_commit || atomic_load(&engine->is_flush_wanted))
        return true;
    int64_t bytes = total_unflushed(engine), limit = engine->budget.bytes_max / 4;
    limit = limit < FLUSH_BYTES_MIN ? FLUSH_BYTES_MIN : limit;
    limit = limit > FLUSH_BYTES_MAX ? FLUSH_BYTES_MAX : limit;
    return bytes > limit || (bytes > 0 && now - engine->flushed_at_ns >= FLUSH_AGE_NS);
}

enum tn_status tni_round_flush(struct tn_engine *engine, bool is_all, struct tn_err *err)
{
    int64_t now = tn_mono_ns(engine->clock);
    if (!is_all && !flush_is_due(engine, now))
        return TN_OK;
    if (total_unflushed(engine) == 0) {
        atomic_store(&engine->is_flush_wanted, false);
        return TN_OK;
    }
    TN_TRY(
        engine->log->type->sync(engine->log, err)); /* state must never be ahead of a durable log */
    for (uint32_t q = 0; q < engine->queries_count; q++)
        for (uint32_t t = 0; t < engine->queries[q]->tasks_count; t++) {
            struct tni_task *task = &engine->queries[q]->tasks[t];
            if (unflushed_bytes(task) > 0)
                TN_TRY(tni_task_flush(engine, task, err));
        }
    atomic_store(&engine->is_flush_wanted, false);
    engine->flushed_at_ns = tn_mono_ns(engine->clock);
    tn_metric_observe(engine->m.flush_seconds, engine->flushed_at_ns - now);
    return TN_OK;
}
