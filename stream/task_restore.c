/* Restore: a task's ktables become what was committed, from the state port and the tail of their
 * changelogs.
 *
 * A flush stores, atomically with the rows, how far the changelog (or the replayed source) is
 * contained in them: the *meta* record of a store partition. On start:
 *
 *   stored meta usable      rows are taken as they are, the changelog is replayed from there to its
 * end absent, or not usable   rows are dropped, the changelog is replayed from its base
 *
 * Not usable: another log id (topic recreated), an offset outside the topic, or stored inputs ahead
 * of the committed position: the log is the truth, state may only be behind. A source-backed store
 * (a declared table) has no changelog: its source is replayed up to the committed position through
 * the ordinary operators (task_run.c, "Replay").
 *
 * Meta key: FF FF FF FF | store u32 BE | partition u32 BE, outside of every store's range. Value,
 * big-endian: u8 version = 1 | log id 16 | changelog next i64 | n u16 | n × (offset i64 | log id
 * 16), inputs in task order
 * @thread worker; prepare: commit thread with workers parked
 */
#include "stream/op_int.h"

#include <limits.h>

#include "stream/base/crashpoint.h"
#include "stream/base/logline.h"
#include "stream/base/mem.h"

#define META_VERSION   1
#define META_FIXED_LEN (1 + 16 + 8 + 2)

struct item {
    struct tni_op *op;
    int64_t next, end; /* end INT64_MAX: followed without end (standby) */
    int64_t behind;    /* standby: records not read yet, as the metric counts them */
};

struct tni_restore {
    struct item *items;
    uint32_t count, at;
    struct tn_metric *left; /* counts what is not replayed yet */
    struct tn_metric *lag;  /* the same of standbys */
    struct tn_arena arena;
};

void tni_restore_free(struct tni_restore *restore)
{
    if (!restore)
        return;
    for (uint32_t i = restore->at; i < restore->count; i++) /* left undone */
        if (restore->items[i].end != INT64_MAX)
            tn_metric_add(restore->left, restore->items[i].next - restore->items[i].end);
    for (uint32_t i = 0; i < restore->count; i++)
        if (restore->items[i].behind)
            tn_metric_add(restore->lag, -restore->items[i].behind);
    tn_arena_release(&restore->arena);
    tn_free(restore->items);
    tn_free(restore);
}

/* ---- meta ---- */

static int32_t state_partition(const struct tni_task *task)
{
    return task->is_global ? 0 : task->partition;
}

void tni_meta_key(const struct tni_task *task, const struct tni_op *op, struct tn_buf *buf)
{
    tn_buf_reset(buf);
    tn_buf_add_be32(buf, UINT32_MAX);
    tn_buf_add_be32(buf, op->store->id);
    tn_buf_add_be32(buf, (uint32_t)state_partition(task));
}

void tni_meta_value(const struct tni_task *task, const struct tni_op *op, struct tn_buf *buf)
{
    tn_buf_reset(buf);
    tn_buf_add_byte(buf, META_VERSION);
    tn_buf_add(buf, op->changelog.log_id, 16);
    tn_buf_add_be64(buf, (uint64_t)atomic_load(&op->changelog_next));
    tn_buf_add_byte(buf, (char)(task->inputs_count >> 8));
    tn_buf_add_byte(buf, (char)(task->inputs_count & 255));
    for (uint32_t i = 0; i < task->inputs_count; i++) {
        tn_buf_add_be64(buf, (uint64_t)atomic_load(&task->inputs[i].applied));
        tn_buf_add(buf, task->inputs[i].topic.log_id, 16);
    }
}

struct meta {
    uint8_t log_id[16];
    int64_t changelog_next;
    uint32_t inputs_count;
    const char *inputs;
};

static int64_t meta_input(const struct meta *meta, uint32_t i)
{
    return (int64_t)tn_be64(meta->inputs + (size_t)i * 24);
}

static bool parse_meta(struct tn_str value, struct meta *ret_meta)
{
    if (!value.ptr || value.len < META_FIXED_LEN || value.ptr[0] != META_VERSION)
        return false;
    memcpy(ret_meta->log_id, value.ptr + 1, 16);
    ret_meta->changelog_next = (int64_t)tn_be64(value.ptr + 17);
    ret_meta->inputs_count =
        (uint32_t)(unsigned char)value.ptr[25] << 8 | (unsigned char)value.ptr[26];
    ret_meta->inputs = value.ptr + META_FIXED_LEN;
    return value.len == META_FIXED_LEN + (size_t)ret_meta->inputs_count * 24;
}

/* Is what is stored usable? Otherwise a reason. Inputs: same topics, none ahead of what was
 * committed. */
static const char *inputs_refused(const struct tni_task *task, const struct meta *meta)
{
    if (meta->inputs_count != task->inputs_count)
        return "the inputs are others";
    for (uint32_t i = 0; i < task->inputs_count; i++) {
        if (memcmp(meta->inputs + (size_t)i * 24 + 8, task->inputs[i].topic.log_id, 16) != 0)
            return "an input topic was recreated";
        if (!task->is_global && meta_input(meta, i) > atomic_load(&task->inputs[i].committed))
            return "it is ahead of the committed position";
    }
    return NULL;
}

/* `end` with what is not decided yet: after an outage Kafka may show a transaction that it has
 * acknowledged late, or only with the next one, since its markers follow the answer. */
static const char *changelog_refused(const struct tni_op *op, const struct meta *meta,
                                     int64_t start, int64_t end)
{
    if (memcmp(meta->log_id, op->changelog.log_id, 16) != 0)
        return "the changelog was recreated";
    if (meta->changelog_next < op->changelog_base)
        return "it belongs to an earlier life of the query";
    if (meta->changelog_next < start || meta->changelog_next > end)
        return "its offset is outside of the changelog";
    return NULL;
}

/* ---- state port ---- */

static enum tn_status read_meta(const struct tni_task *task, const struct tni_op *op,
                                struct tn_arena *arena, struct tn_str *ret_value,
                                struct tn_err *err)
{
    struct tn_state *state = task->query->engine->state;
    struct tn_buf key;
    tn_buf_init(&key, 64);
    tni_meta_key(task, op, &key);
    struct tn_str text = tn_buf_str(&key);
    enum tn_status st = state->type->multi_get(state, NULL, &text, 1, arena, ret_value, err);
    tn_buf_release(&key);
    return st;
}

enum tn_status tni_state_drop(struct tni_task *task, const struct tni_op *op, struct tn_err *err)
{
    struct tn_state *state = task->query->engine->state;
    struct tn_buf from, to, key;
    tn_buf_init(&from, 16);
    tn_buf_init(&to, 16);
    tn_buf_init(&key, 64);
    uint64_t low = (uint64_t)op->store->id << 32 | (uint32_t)state_partition(task);
    tn_buf_add_be64(&from, low);
    tn_buf_add_be64(&to, low + 1);
    tni_meta_key(task, op, &key);
    struct {
        struct tn_str from, to;
    } range = {tn_buf_str(&from), tn_buf_str(&to)};
    struct tn_state_put put = {.key = tn_buf_str(&key)};
    struct tn_state_change change = {
        .puts = &put, .puts_count = 1, .ranges = (void *)&range, .ranges_count = 1};
    enum tn_status st = state->type->apply(state, &change, err);
    tn_buf_release(&from);
    tn_buf_release(&to);
    tn_buf_release(&key);
    return st;
}

static uint32_t values_count(const struct tni_op *op)
{
    switch (op->node->kind) {
    case TN_NODE_MATERIALIZE: return op->node->schema->fields_count - op->keys_count;
    case TN_NODE_HOLD: return 1;
    default: return 0; /* the aggregates tell */
    }
}

static enum tn_status open_table(struct tni_task *task, struct tni_op *op, bool is_known_empty,
                                 struct tn_err *err)
{
    struct tn_engine *engine = task->query->engine;
    struct tni_ktable_config config = {.store_id = op->store->id,
                                       .partition = (uint32_t)state_partition(task),
                                       .keys_count = op->keys_count,
                                       .key_types = op->key_types,
                                       .aggs_count = op->node->aggs_count,
                                       .aggs = op->node->aggs,
                                       .values_count = values_count(op),
                                       .value_types = op->key_types + op->keys_count,
                                       .window = op->node->window,
                                       .state = engine->state,
                                       .budget = &engine->budget,
                                       .view = task->is_global ? &task->global_view : &engine->view,
                                       .is_known_empty = is_known_empty,
                                       .is_resident = op->node->kind == TN_NODE_HOLD};
    struct tni_ktable *kt = NULL;
    TN_TRY(tni_ktable_open(&config, &kt, err));
    tni_op_set_table(task, op, kt);
    return TN_OK;
}

void tni_op_set_table(struct tni_task *task, struct tni_op *op, struct tni_ktable *kt)
{
    struct tn_engine *engine = task->query->engine;
    pthread_mutex_lock(&engine->lock);
    struct tni_ktable *old = op->kt;
    op->kt = kt;
    op->is_warm = false;
    pthread_mutex_unlock(&engine->lock);
    tni_ktable_unref(old);
}

/* ---- prepare ---- */

static void say_dropped(const struct tni_task *task, const struct tni_op *op, const char *reason)
{
    tn_logf(TN_LOG_WARN, "engine",
            "stored state dropped, rebuilding: query=%s store=%s partition=%d reason=%s",
            task->query->plan->query_id, op->store->name, task->partition, reason);
}

/* A store that its source rebuilds: where to replay from and to. */
static void plan_replay(struct tni_task *task, struct tni_op *op, const struct meta *meta)
{
    for (uint32_t i = 0; i < task->inputs_count; i++) {
        struct tni_input *input = &task->inputs[i];
        if (!input->is_replayed)
            continue;
        int n = (int)op->number;
        while (n >= 0 && n != (int)input->node)
            n = task->stage->nodes[n].input;
        if (n < 0)
            continue; /* rebuilds another store */
        int64_t from = meta ? meta_input(meta, i) : input->start;
        if (from < input->start)
            from = input->start;
        atomic_store(&input->applied, from);
        atomic_store(&input->position, from);
        input->stop_at = task->is_global ? INT64_MAX : atomic_load(&input->committed);
    }
}

static void add_item(struct tni_task *task, struct tni_op *op, int64_t next, int64_t end)
{
    atomic_store(&op->changelog_next, next);
    if (next >= end)
        return;
    struct tni_restore *restore = task->restore;
    restore->items[restore->count++] = (struct item){.op = op, .next = next, .end = end};
    if (!task->is_owned)
        return;
    atomic_fetch_add(&task->query->restore_total, end - next);
    tn_metric_add(task->query->engine->m.restore_left, end - next);
}

/* Records that nothing supersedes are gone: only retention or a hand does that to a compacted topic
 * of a broker, whose compaction keeps the start. Windows may go with time. */
static bool is_cut(const struct tni_task *task, const struct tni_op *op,
                   const struct tn_offsets *offsets)
{
    return task->is_owned && !task->query->engine->log->type->commits_state &&
           op->node->window.kind == TN_WINDOW_NONE && offsets->start > op->changelog_base;
}

/* Brokers compare event times with the wall clock: windows of old events go before their time. */
static void warn_window_cut(const struct tni_task *task, const struct tni_op *op,
                            const struct tn_offsets *offsets)
{
    if (task->is_owned && !task->query->engine->log->type->commits_state &&
        offsets->start > op->changelog_base)
        tn_logf(TN_LOG_WARN, "engine",
                "rebuilding windows of '%s' partition %d: the changelog begins at offset %lld, "
                "windows older than its retention.ms are not in it",
                op->changelog.name, task->partition, (long long)offsets->start);
}

static void fail_cut(struct tni_task *task, const struct tni_op *op,
                     const struct tn_offsets *offsets)
{
    struct tn_err err = TN_ERR_INIT;
    tn_err_set(
        &err, TN_E_INVALID,
        "changelog '%s' partition %d begins at offset %lld: older records, which the table of "
        "store '%s' needs, were deleted",
        op->changelog.name, task->partition, (long long)offsets->start, op->store->name);
    tn_err_hint(&err,
                "set the topic's cleanup.policy to compact, drop the query and create it again");
    tni_query_fail(task->query, &err);
}

static enum tn_status prepare_changelog(struct tni_task *task, struct tni_op *op, bool is_new,
                                        struct meta *meta, const char **refused, struct tn_err *err)
{
    struct tn_log *log = task->query->engine->log;
    struct tn_offsets offsets;
    enum tn_status st = log->type->offsets(log, &op->changelog, task->partition, &offsets, err);
    if (st == TN_NOT_FOUND)
        st = tn_err_set(err, TN_E_IO, "changelog '%s' is gone", op->changelog.name);
    if (st != TN_OK)
        return st;
    int64_t end =
        offsets.end_written > offsets.end_visible ? offsets.end_written : offsets.end_visible;
    if (is_new)
        op->changelog_base = end;
    if (meta && !*refused)
        *refused = changelog_refused(op, meta, offsets.start, end);
    int64_t from = op->changelog_base > offsets.start ? op->changelog_base : offsets.start;
    if (meta && !*refused)
        from = meta->changelog_next;
    else if (is_cut(task, op, &offsets))
        fail_cut(task, op, &offsets);
    else
        warn_window_cut(task, op, &offsets);
    add_item(task, op, from, task->is_owned ? end : INT64_MAX);
    return TN_OK;
}

static enum tn_status prepare_store(struct tni_task *task, struct tni_op *op, bool is_new,
                                    struct tn_arena *arena, struct tn_err *err)
{
    struct tn_str value = {0};
    struct meta stored, *meta = NULL;
    TN_TRY(read_meta(task, op, arena, &value, err));
    const char *refused = NULL;
    if (parse_meta(value, &stored)) {
        meta = &stored;
        refused = is_new && !task->is_global ? "the query is new" : inputs_refused(task, meta);
    } else if (value.ptr) {
        refused = "its position is not readable";
    }
    if (task->is_state_bad)
        refused = "it is damaged";
    if (op->store->changelog && !op->store->is_source)
        TN_TRY(prepare_changelog(task, op, is_new, meta, &refused, err));
    else if (op->store->is_source)
        plan_replay(task, op, refused ? NULL : meta);
    else
        refused = "it is not kept"; /* a push query's state */
    bool is_kept = meta && !refused;
    if (!is_kept) {
        if (meta && !is_new)
            say_dropped(task, op, refused);
        TN_TRY(tni_state_drop(task, op, err));
    }
    return open_table(task, op, !is_kept, err);
}

enum tn_status tni_restore_prepare(struct tni_task *task, bool is_new, struct tn_err *err)
{
    tni_restore_free(task->restore);
    task->restore = tn_alloc(sizeof *task->restore);
    task->restore->items = tn_alloc_array(task->ops_count, sizeof *task->restore->items);
    tn_arena_init(&task->restore->arena, 0);
    task->restore->left = task->query->engine->m.restore_left;
    task->restore->lag = task->query->engine->m.standby_lag;
    for (uint32_t i = 0; i < task->inputs_count; i++)
        atomic_store(&task->inputs[i].applied, atomic_load(&task->inputs[i].committed));
    for (uint32_t i = 0; i < task->ops_count; i++) {
        struct tni_op *op = &task->ops[i];
        if (op->store)
            TN_TRY(prepare_store(task, op, is_new, &task->restore->arena, err));
    }
    task->is_state_bad = false;
    return TN_OK;
}

/* ---- replay of changelogs ---- */

static const struct tni_op *sink_of(const struct tni_task *task, const struct tni_op *op)
{
    for (uint32_t i = 0; i < task->ops_count; i++)
        if (task->ops[i].is_pinned && task->ops[i].changelog_of == (int32_t)op->number)
            return &task->ops[i];
    return NULL;
}

struct result_rows {
    struct tn_str *keys;
    int64_t *starts, *ends;
    struct tn_decoded key_columns, value_columns;
    uint8_t *is_delete;
};

static enum tn_status split_keys(const struct tn_topic_decl *decl, const struct tn_records *records,
                                 struct tn_arena *arena, struct result_rows *rows,
                                 struct tn_err *err)
{
    uint32_t n = records->count;
    rows->keys = tn_arena_alloc(arena, n * sizeof *rows->keys);
    memcpy(rows->keys, records->keys, n * sizeof *rows->keys);
    if (decl->window == TN_WINDOW_NONE)
        return TN_OK;
    size_t suffix = decl->window == TN_WINDOW_SESSION ? 16 : 8;
    rows->starts = tn_arena_alloc(arena, n * sizeof(int64_t));
    rows->ends = tn_arena_alloc(arena, n * sizeof(int64_t));
    for (uint32_t i = 0; i < n; i++) {
        if (!rows->keys[i].ptr || rows->keys[i].len < suffix)
            return tn_err_set(err, TN_E_CORRUPT, "offset %lld: the key has no window",
                              (long long)records->offsets[i]);
        rows->keys[i].len -= suffix;
        const char *at = rows->keys[i].ptr + rows->keys[i].len;
        rows->starts[i] = (int64_t)tn_be64(at + suffix - 8);
        rows->ends[i] =
            suffix == 16 ? (int64_t)tn_be64(at) : rows->starts[i] + decl->window_size_ms;
    }
    return TN_OK;
}

static enum tn_status decode_result(const struct tni_op *sink, const struct tn_records *records,
                                    struct tn_arena *arena, struct result_rows *rows,
                                    struct tn_err *err)
{
    TN_TRY(split_keys(sink->node->decl, records, arena, rows, err));
    sink->key_codec->format->decode(sink->key_codec, rows->keys, records->count, arena,
                                    &rows->key_columns);
    if (sink->value_codec)
        sink->value_codec->format->decode(sink->value_codec, records->values, records->count, arena,
                                          &rows->value_columns);
    const struct tn_decoded *bad =
        rows->key_columns.bad_count ? &rows->key_columns : &rows->value_columns;
    if (bad->bad_count)
        return tn_err_set(err, TN_E_CORRUPT, "offset %lld: %s",
                          (long long)records->offsets[bad->bad[0].row], bad->bad[0].reason);
    rows->is_delete = tn_arena_zalloc(arena, tn_bits_bytes(records->count), 1);
    for (uint32_t i = 0; i < records->count; i++)
        if (!records->values[i].ptr)
            tn_bit_set(rows->is_delete, i);
    return TN_OK;
}

/* Column i of the sink gives key −1 − from_result[i] or aggregate from_result[i]. */
static enum tn_status restore_result(struct tni_task *task, struct tni_op *op,
                                     const struct tn_records *records, int64_t commit,
                                     struct tn_arena *arena, struct tn_err *err)
{
    const struct tni_op *sink = sink_of(task, op);
    const struct tn_topic_decl *decl = sink->node->decl;
    struct result_rows rows = {0};
    TN_TRY(decode_result(sink, records, arena, &rows, err));
    struct tn_column *keys = TN_ARENA_ARRAY(arena, struct tn_column, op->keys_count);
    struct tn_column *values =
        TN_ARENA_ARRAY(arena, struct tn_column, tni_ktable_values_count(op->kt) + 1);
    for (uint32_t i = 0; i < decl->schema->fields_count; i++) {
        const struct tn_column *col = i < decl->keys_count
                                          ? &rows.key_columns.columns[i]
                                          : &rows.value_columns.columns[i - decl->keys_count];
        int target = op->store->from_result[i];
        if (target >= 0)
            values[target] = *col;
        else if (target != INT_MIN)
            keys[-1 - target] = *col;
    }
    return tni_ktable_restore_columns(op->kt, keys, rows.starts, rows.ends, values, rows.is_delete,
                                      records->timestamps_ms, records->count, commit, err);
}

static enum tn_status apply_records(struct tni_task *task, struct item *item,
                                    const struct tn_records *records, struct tn_err *err)
{
    struct tni_op *op = item->op;
    struct tn_engine *engine = task->query->engine;
    int64_t commit = tni_view_commit(&engine->view);
    enum tn_status st;
    if (op->has_own_changelog)
        st =
            tni_ktable_restore(op->kt, records->keys, records->values, records->count, commit, err);
    else
        st = restore_result(task, op, records, commit, &task->restore->arena, err);
    if (tn_failed(st))
        tn_err_prefix(err, "changelog '%s' partition %d", op->changelog.name, task->partition);
    tn_metric_add(engine->m.restored, records->count);
    return st;
}

static void note_lag(struct tni_restore *restore, struct item *item, int64_t end_visible)
{
    int64_t behind = end_visible > item->next ? end_visible - item->next : 0;
    if (item->end != INT64_MAX || behind == item->behind)
        return;
    tn_metric_add(restore->lag, behind - item->behind);
    item->behind = behind;
}

/* One read of one changelog. TN_OK: something was applied or passed. TN_AGAIN: not there yet. */
static enum tn_status replay(struct tni_task *task, struct item *item, struct tn_err *err)
{
    struct tni_restore *restore = task->restore;
    struct tn_engine *engine = task->query->engine;
    struct tn_read read = {0};
    enum tn_status st =
        engine->log->type->read(task->worker->reader, &item->op->changelog, task->partition,
                                item->next, TNI_READ_BYTES_MAX, &read, err);
    if (st == TN_NOT_FOUND)
        return tn_err_set(err, TN_E_NAME, "changelog '%s' is gone", item->op->changelog.name);
    if (tn_failed(st)) {
        if (!tni_read_is_passing(st))
            return st;
        tni_read_later(task->worker);
        return TN_AGAIN;
    }
    int64_t next = read.next < item->end ? read.next : item->end;
    if (st == TN_OK) {
        pthread_mutex_lock(&task->side_lock);
        st = apply_records(task, item, read.records, err);
        if (!tn_failed(st))
            atomic_store(&item->op->changelog_next, next);
        pthread_mutex_unlock(&task->side_lock);
        tn_records_unref(read.records);
        tn_arena_reset(&restore->arena);
        if (tn_failed(st))
            return st;
        if (!tni_ktable_trim(item->op->kt))
            atomic_store(&engine->is_flush_wanted, true);
    } else if (next == item->next) {
        note_lag(restore, item, read.end_visible);
        tni_look_later(task->worker); /* a short answer, or a transaction that is not decided yet */
        return TN_AGAIN;
    }
    if (task->is_owned) {
        atomic_fetch_add(&task->query->restore_done, next - item->next);
        tn_metric_add(engine->m.restore_left, item->next - next);
    }
    atomic_store(&item->op->changelog_next, next);
    item->next = next;
    note_lag(restore, item, read.end_visible);
    return TN_OK;
}

enum tn_status tni_restore_step(struct tni_task *task, struct tn_err *err)
{
    struct tni_restore *restore = task->restore;
    if (!restore || restore->at == restore->count)
        return TN_END;
    struct item *item = &restore->items[restore->at];
    tn_crash_point("restore-step");
    enum tn_status st = replay(task, item, err);
    if (st != TN_OK)
        return st;
    if (item->next >= item->end)
        restore->at++;
    return restore->at == restore->count ? TN_END : TN_OK;
}

enum tn_status tni_standby_step(struct tni_task *task, struct tn_err *err)
{
    struct tni_restore *restore = task->restore;
    for (uint32_t i = 0; restore && i < restore->count; i++) {
        struct item *item = &restore->items[restore->at++ % restore->count];
        enum tn_status st = replay(task, item, err);
        if (st == TN_OK)
            tni_ktable_gc(item->op->kt);
        if (st != TN_AGAIN)
            return st;
    }
    return TN_AGAIN;
}
