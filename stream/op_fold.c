/* FOLD: what a REPARTITION writes when everything behind it is counting.
 *
 *   rows ─► groups of the round: key → states, latest rowtime ─► boundary: items by partition
 *                    │ 4,096 groups or 256 KB: written at once          │ up to 1,024 in a record
 *                    └──────────────────────────────────────────────────┴─► repartition topic
 *   record ─► items: key, states, rowtime ─► AGGREGATE: merge into the group's states
 *
 * The topic gets values × partitions items a round instead of a record per event, so a hundred
 * queries that group one stream by small columns write little. What is folded belongs to the open
 * round: it is written with it at the boundary, or dropped with it. The result is the same as
 * without (only exact aggregates are folded), also the rowtime, which is the latest of the group's
 * rows. Rows that AGGREGATE would leave out (no value, a NULL key) are left out and counted here.
 * @thread worker
 */
#include "stream/op_int.h"

#include "stream/base/mem.h"
#include "stream/fold.h"
#include "stream/hashagg.h"

#define GROUPS_MAX TN_BATCH_ROWS_MAX
#define BYTES_MAX  ((size_t)256 << 10)
#define RECORD_MAX ((size_t)64 << 10)

struct tni_fold {
    struct tn_hashagg *groups;
    int64_t *times_ms; /* latest row of each group */
    uint32_t times_count, times_cap;
};

void tni_fold_drop(struct tni_op *op)
{
    if (!op->fold)
        return;
    tn_hashagg_free(op->fold->groups);
    tn_free(op->fold->times_ms);
    tn_free(op->fold);
    op->fold = NULL;
}

/* ---- rows in ---- */

static void fold_open(struct tni_op *op)
{
    const struct tn_node *node = op->node;
    const struct tn_type *types[TN_NODES_MAX];
    if (op->fold)
        return;
    TN_ASSERT(node->keys_count <= TN_NODES_MAX);
    for (uint32_t k = 0; k < node->keys_count; k++)
        types[k] = node->decl->schema->fields[k].type;
    op->fold = tn_alloc(sizeof *op->fold);
    op->fold->groups = tn_hashagg_new(node->keys_count, types, node->aggs_count, node->aggs, 0);
}

static void note_times(struct tni_fold *fold, const struct tn_batch *batch, const uint32_t *rows,
                       const uint32_t *groups, uint32_t count)
{
    uint32_t groups_count = tn_hashagg_count(fold->groups);
    if (groups_count > fold->times_cap) {
        fold->times_cap = groups_count * 2;
        fold->times_ms = tn_realloc(fold->times_ms, fold->times_cap * sizeof *fold->times_ms);
    }
    for (; fold->times_count < groups_count; fold->times_count++)
        fold->times_ms[fold->times_count] = INT64_MIN;
    for (uint32_t i = 0; i < count; i++) {
        int64_t time_ms = batch->rowtime_ms[rows ? rows[i] : i], *to = &fold->times_ms[groups[i]];
        *to = time_ms > *to ? time_ms : *to;
    }
}

static enum tn_status update(const struct tni_task *task, const struct tni_op *op,
                             const struct tn_batch *batch, const uint32_t *rows,
                             const uint32_t *groups, uint32_t count, struct tn_err *err)
{
    const struct tn_node *node = op->node;
    const struct tn_column **args =
        TN_ARENA_ARRAY(task->arena, const struct tn_column *, node->aggs_count + 1);
    const struct tn_column **filters =
        TN_ARENA_ARRAY(task->arena, const struct tn_column *, node->aggs_count + 1);
    for (uint32_t a = 0; a < node->aggs_count; a++) {
        args[a] = node->aggs[a].args_count ? &batch->columns[node->agg_args[a][0]] : NULL;
        bool has_filter = node->agg_filters && node->agg_filters[a] >= 0;
        filters[a] = has_filter ? &batch->columns[node->agg_filters[a]] : NULL;
    }
    return tn_hashagg_update(op->fold->groups, groups, rows, count, args, filters, err);
}

enum tn_status tni_fold_rows(struct tni_task *task, struct tni_op *op, struct tn_batch *batch,
                             struct tn_err *err)
{
    uint32_t count = 0;
    const uint32_t *rows =
        tni_usable_rows(task, batch, batch->columns, op->node->keys_count, &count);
    if (count == 0)
        return TN_OK;
    fold_open(op);
    struct tni_fold *fold = op->fold;
    uint32_t *groups = tn_arena_alloc(task->arena, count * sizeof *groups);
    TN_TRY(tn_hashagg_groups(fold->groups, batch->columns, rows, count, groups, err));
    note_times(fold, batch, rows, groups, count);
    TN_TRY(update(task, op, batch, rows, groups, count, err));
    tni_task_touch(task, op);
    if (tn_hashagg_count(fold->groups) < GROUPS_MAX && tn_hashagg_bytes(fold->groups) < BYTES_MAX)
        return TN_OK;
    return tni_fold_flush(task, op, err);
}

/* ---- records out ---- */

static void send_record(struct tni_task *task, struct tni_op *op, int32_t partition,
                        int64_t time_ms)
{
    struct tn_buf *buf = &op->value_bytes;
    tni_op_record(task, op, partition, (struct tn_str){0}, tn_buf_str(buf), time_ms);
    tn_buf_reset(buf);
}

/* Groups order[0 … count) all go to `partition`; keys are theirs by group less `from`. */
static void send_items(struct tni_task *task, struct tni_op *op, int32_t partition,
                       const struct tni_encoded *keys, uint32_t from, const uint32_t *order,
                       uint32_t count)
{
    struct tn_buf *buf = &op->value_bytes;
    int64_t at_ms = 0, time_ms = INT64_MIN;
    uint32_t items = 0;
    tn_buf_reset(buf);
    for (uint32_t i = 0; i < count; i++) {
        struct tn_fold_item item = {.key = tni_encoded_row(keys, order[i]),
                                    .rowtime_ms = op->fold->times_ms[from + order[i]]};
        tn_buf_reset(&op->window_bytes);
        tn_hashagg_encode(op->fold->groups, from + order[i], &op->window_bytes);
        item.states = tn_buf_str(&op->window_bytes);
        tn_fold_add(buf, &item, &at_ms);
        time_ms = item.rowtime_ms > time_ms ? item.rowtime_ms : time_ms;
        if (++items < TN_FOLD_ITEMS_MAX && buf->len < RECORD_MAX)
            continue;
        send_record(task, op, partition, time_ms);
        items = 0;
        time_ms = INT64_MIN;
    }
    if (items)
        send_record(task, op, partition, time_ms);
}

/* Groups [from, from + count), sorted by partition. */
static void send_groups(struct tni_task *task, struct tni_op *op, const struct tni_encoded *keys,
                        uint32_t from, uint32_t count)
{
    uint32_t partitions = (uint32_t)op->topic.partitions_count;
    int32_t *of = tn_arena_alloc(task->arena, count * sizeof *of);
    uint32_t *order = tn_arena_alloc(task->arena, count * sizeof *order);
    uint32_t *starts = tn_arena_zalloc(task->arena, partitions + 1, sizeof *starts);
    for (uint32_t i = 0; i < count; i++) {
        of[i] = tni_partition_for(task, op, tni_encoded_row(keys, i));
        starts[of[i] + 1]++;
    }
    for (uint32_t p = 0; p < partitions; p++)
        starts[p + 1] += starts[p];
    uint32_t *next = tn_arena_alloc(task->arena, partitions * sizeof *next);
    memcpy(next, starts, partitions * sizeof *next);
    for (uint32_t i = 0; i < count; i++)
        order[next[of[i]]++] = i;
    for (uint32_t p = 0; p < partitions; p++)
        if (starts[p + 1] > starts[p])
            send_items(task, op, (int32_t)p, keys, from, order + starts[p],
                       starts[p + 1] - starts[p]);
}

enum tn_status tni_fold_flush(struct tni_task *task, struct tni_op *op, struct tn_err *err)
{
    if (!op->fold)
        return TN_OK;
    uint32_t total = tn_hashagg_count(op->fold->groups);
    for (uint32_t from = 0; from < total; from += TN_BATCH_ROWS_MAX) {
        uint32_t count = total - from < TN_BATCH_ROWS_MAX ? total - from : TN_BATCH_ROWS_MAX;
        struct tn_column *keys =
            TN_ARENA_ARRAY(task->arena, struct tn_column, op->node->keys_count + 1);
        TN_TRY(tn_hashagg_columns(op->fold->groups, from, count, task->arena, keys, NULL, err));
        struct tni_encoded *encoded =
            tni_encode_side(op->key_codec, keys, count, NULL, &op->key_bytes, task->arena);
        send_groups(task, op, encoded, from, count);
        if (tn_buf_over(&op->key_bytes) || tn_buf_over(&op->value_bytes) ||
            tn_buf_over(&op->window_bytes))
            return tn_err_set(err, TN_E_LIMIT, "a row for topic '%s' is too large", op->topic.name);
    }
    tni_fold_drop(op);
    return TN_OK;
}

/* ---- behind the topic ---- */

struct items {
    struct tn_str *keys, *states;
    int64_t *times_ms;
    uint32_t count;
};

static enum tn_status apply(struct tni_task *task, struct tni_op *op, struct items *items,
                            struct tn_err *err)
{
    const struct tn_node *node = op->node;
    struct tn_arena *arena = task->arena;
    struct tn_decoded keys;
    uint32_t count = items->count, aggs = node->aggs_count;
    if (count == 0)
        return TN_OK;
    items->count = 0;
    op->key_codec->format->decode(op->key_codec, items->keys, count, arena, &keys);
    if (keys.bad_count)
        return tn_err_set(err, TN_E_CORRUPT, "a repartition record has a bad key: %s",
                          keys.bad[0].reason);
    struct tni_entry **entries = tn_arena_alloc(arena, count * sizeof *entries);
    TN_TRY(tni_ktable_acquire(op->kt, keys.columns, NULL, count, NULL, entries, err));
    void ***states = TN_ARENA_ARRAY(arena, void **, aggs + 1);
    void **of_one = TN_ARENA_ARRAY(arena, void *, aggs + 1);
    void **scratch = TN_ARENA_ARRAY(arena, void *, aggs + 1);
    for (uint32_t a = 0; a < aggs; a++) {
        states[a] = tn_arena_alloc(arena, count * sizeof(void *));
        scratch[a] = tn_arena_alloc(arena, node->aggs[a].state_bytes);
        tni_ktable_states(op->kt, entries, count, a, states[a]);
    }
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t a = 0; a < aggs; a++)
            of_one[a] = states[a][i];
        TN_TRY(tn_fold_apply(node->aggs, aggs, of_one, scratch, items->states[i], err));
    }
    tni_ktable_touch(op->kt, entries, items->times_ms, NULL, count);
    return TN_OK;
}

static enum tn_status merge_record(struct tni_task *task, struct tni_op *op, struct tn_str value,
                                   struct items *items, struct tn_err *err)
{
    struct tn_fold_reader reader;
    struct tn_fold_item item;
    enum tn_status st;
    TN_TRY(tn_fold_open(value, &reader, err));
    while ((st = tn_fold_next(&reader, &item, err)) == TN_OK) {
        items->keys[items->count] = item.key;
        items->states[items->count] = item.states;
        items->times_ms[items->count++] = item.rowtime_ms;
        if (items->count == TN_BATCH_ROWS_MAX)
            TN_TRY(apply(task, op, items, err));
    }
    return st == TN_END ? TN_OK : st;
}

enum tn_status tni_fold_merge(struct tni_task *task, struct tni_op *op, struct tn_batch *batch,
                              struct tn_err *err)
{
    const struct tn_column *values = &batch->columns[op->node->keys_count];
    struct items items = {
        .keys = tn_arena_alloc(task->arena, TN_BATCH_ROWS_MAX * sizeof *items.keys),
        .states = tn_arena_alloc(task->arena, TN_BATCH_ROWS_MAX * sizeof *items.states),
        .times_ms = tn_arena_alloc(task->arena, TN_BATCH_ROWS_MAX * sizeof *items.times_ms)};
    tni_task_touch(task, op);
    for (uint32_t r = 0; r < batch->rows_count; r++) {
        struct tn_str value =
            tn_column_is_null(values, r) ? (struct tn_str){0} : tn_column_str(values, r);
        TN_TRY(merge_record(task, op, value, &items, err));
    }
    return apply(task, op, &items, err);
}
