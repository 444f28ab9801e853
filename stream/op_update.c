/* Emit every update: one output per input effect, in order, nothing merged (streaming-semantics of
 * tests and small streams). Rows before and after an effect come as two batches and leave as one
 * batch of changes. Cell by cell: this path is for order and completeness, not for speed. @thread
 * worker
 */
#include "stream/op_int.h"

struct mix {
    uint32_t *rows; /* row of `before` or `after` */
    bool *is_after;
    uint8_t *ops;
    uint32_t count;
};

static void mix_add(struct mix *mix, uint32_t row, bool is_after, enum tn_op op)
{
    mix->rows[mix->count] = row;
    mix->is_after[mix->count] = is_after;
    mix->ops[mix->count++] = (uint8_t)op;
}

static void plan_mix(const struct tni_op *op, const struct tni_updates *updates, struct mix *mix)
{
    for (uint32_t i = 0; i < updates->count; i++) {
        bool existed = updates->existed[i], exists = updates->exists[i];
        if (existed && exists) {
            if (op->needs_before)
                mix_add(mix, i, false, TN_OP_UPDATE_BEFORE);
            mix_add(mix, i, true, TN_OP_UPDATE_AFTER);
        } else if (exists) {
            mix_add(mix, i, true, TN_OP_INSERT);
        } else if (existed) {
            mix_add(mix, i, false, TN_OP_DELETE);
        }
    }
}

static void mix_column(const struct mix *mix, const struct tn_column *before,
                       const struct tn_column *after, struct tn_arena *arena,
                       struct tn_column *ret_col)
{
    struct tn_colbuilder *builder = tn_colbuilder_new(after->type, arena);
    for (uint32_t i = 0; i < mix->count; i++) {
        struct tn_value value =
            tn_column_value(mix->is_after[i] ? after : before, mix->rows[i], arena);
        tn_colbuilder_add(builder, &value);
    }
    tn_colbuilder_finish(builder, ret_col);
}

static struct tn_batch *mix_batches(const struct mix *mix, const struct tni_updates *updates,
                                    struct tn_arena *arena)
{
    const struct tn_batch *after = updates->after, *before = updates->before;
    if (!before)
        return tn_batch_gather(after, mix->rows, mix->count, arena);
    struct tn_batch *out = tn_batch_new(after->schema, mix->count, arena);
    for (uint32_t c = 0; c < after->schema->fields_count; c++)
        mix_column(mix, &before->columns[c], &after->columns[c], arena, &out->columns[c]);
    out->rowtime_ms = TN_ARENA_ARRAY(arena, int64_t, mix->count);
    for (uint32_t i = 0; i < mix->count; i++) /* also a delete has the time of its cause */
        out->rowtime_ms[i] = after->rowtime_ms[mix->rows[i]];
    return out;
}

enum tn_status tni_push_updates(struct tni_task *task, struct tni_op *op,
                                const struct tni_updates *updates, struct tn_err *err)
{
    struct tn_arena *arena = task->arena;
    size_t rows_max = (size_t)updates->count * 2;
    struct mix mix = {.rows = tn_arena_alloc(arena, rows_max * sizeof(uint32_t)),
                      .is_after = tn_arena_alloc(arena, rows_max),
                      .ops = tn_arena_alloc(arena, rows_max)};
    plan_mix(op, updates, &mix);
    if (mix.count == 0)
        return TN_OK;
    struct tn_batch *batch = mix_batches(&mix, updates, arena);
    batch->ops = mix.ops;
    batch->partition = task->partition;
    return tni_op_push(task, op, batch, err);
}
