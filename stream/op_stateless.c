/* Operators without state: dispatch to readers, FILTER, PROJECT.
 *
 * A filter over a stream drops rows. A filter over a table works on changes: it looks at the old
 * and the new row and turns the pair into an update, an insert, a delete or nothing (HAVING, WHERE
 * over tables), so it needs the row before; the tombstone has the time of the update that caused
 * it. @thread worker
 */
#include "stream/engine_int.h"

enum tn_status tni_op_push(struct tni_task *task, struct tni_op *op, struct tn_batch *batch,
                           struct tn_err *err)
{
    if (batch->rows_count == 0)
        return TN_OK;
    if (op->readers_count == 0)
        return tni_op_show(task, op, batch);
    bool is_replaying = tni_task_is_replaying(task);
    for (uint32_t i = 0; i < op->readers_count; i++) {
        struct tni_op *reader = &task->ops[op->readers[i]];
        if (is_replaying && !reader->is_replayed)
            continue;
        switch (reader->node->kind) {
        case TN_NODE_FILTER: TN_TRY(tni_op_filter(task, reader, batch, err)); break;
        case TN_NODE_PROJECT: TN_TRY(tni_op_project(task, reader, batch, err)); break;
        case TN_NODE_AGGREGATE: TN_TRY(tni_op_aggregate(task, reader, batch, err)); break;
        case TN_NODE_MATERIALIZE: TN_TRY(tni_op_materialize(task, reader, batch, err)); break;
        case TN_NODE_JOIN_TABLE: TN_TRY(tni_op_join(task, reader, batch, err)); break;
        case TN_NODE_SINK: TN_TRY(tni_op_sink(task, reader, batch, err)); break;
        case TN_NODE_REPARTITION: TN_TRY(tni_op_repartition(task, reader, batch, err)); break;
        case TN_NODE_HOLD: break; /* takes what its store tells at the boundary (op_hold.c) */
        case TN_NODE_SOURCE: tn_assert_failed("a source reads no node", __FILE__, __LINE__);
        }
    }
    return TN_OK;
}

static void count_errors(struct tni_counters *counters, uint32_t errors_count)
{
    if (errors_count && counters)
        atomic_fetch_add_explicit(&counters->rows_error, errors_count, memory_order_relaxed);
}

/* ---- filter ---- */

struct picked {
    uint32_t *rows;
    uint8_t *ops;
    int64_t *rowtimes_ms;
    uint32_t count;
};

static void pick(struct picked *out, const struct tn_batch *batch, uint32_t row, enum tn_op op,
                 uint32_t time_row)
{
    out->rows[out->count] = row;
    out->ops[out->count] = (uint8_t)op;
    if (out->rowtimes_ms)
        out->rowtimes_ms[out->count] = batch->rowtime_ms[time_row];
    out->count++;
}

/* What an update is after the filter, by whether its old and new row match. */
static void pick_pair(struct picked *out, const struct tn_batch *batch, uint32_t row,
                      const uint8_t *match)
{
    bool was = tn_bit_get(match, row), is = tn_bit_get(match, row + 1);
    if (was && is) {
        pick(out, batch, row, TN_OP_UPDATE_BEFORE, row);
        pick(out, batch, row + 1, TN_OP_UPDATE_AFTER, row + 1);
    } else if (was) {
        pick(out, batch, row, TN_OP_DELETE, row + 1);
    } else if (is) {
        pick(out, batch, row + 1, TN_OP_INSERT, row + 1);
    }
}

static struct tn_batch *filter_changes(struct tn_batch *batch, const uint8_t *match,
                                       struct tn_arena *arena)
{
    uint32_t n = batch->rows_count;
    struct picked out = {.rows = tn_arena_alloc(arena, n * sizeof(uint32_t)),
                         .ops = tn_arena_alloc(arena, n),
                         .rowtimes_ms =
                             batch->rowtime_ms ? tn_arena_alloc(arena, n * sizeof(int64_t)) : NULL};
    for (uint32_t i = 0; i < n; i++) {
        enum tn_op op = batch->ops ? (enum tn_op)batch->ops[i] : TN_OP_INSERT;
        bool is_tombstone = batch->null_values && tn_bit_get(batch->null_values, i);
        if (op == TN_OP_UPDATE_BEFORE) {
            TN_ASSERT(i + 1 < n && batch->ops[i + 1] == TN_OP_UPDATE_AFTER);
            pick_pair(&out, batch, i, match);
            i++;
        } else if (tn_bit_get(match, i) || is_tombstone) {
            pick(&out, batch, i, op, i);
        }
    }
    struct tn_batch *kept = tn_batch_gather(batch, out.rows, out.count, arena);
    kept->ops = out.ops;
    kept->rowtime_ms = out.rowtimes_ms;
    return kept;
}

/* The batch with nothing in the columns that nobody reads behind it. */
static struct tn_batch *only_live(const struct tn_batch *batch, const bool *live,
                                  struct tn_arena *arena)
{
    uint32_t width = batch->schema->fields_count;
    struct tn_batch *out = TN_ARENA_NEW(arena, struct tn_batch);
    *out = *batch;
    out->columns = TN_ARENA_ARRAY(arena, struct tn_column, width);
    memcpy(out->columns, batch->columns, width * sizeof *out->columns);
    for (uint32_t i = 0; i < width; i++)
        if (!live[i])
            out->columns[i] = (struct tn_column){
                .type = batch->columns[i].type, .rows_count = batch->rows_count, .is_absent = true};
    return out;
}

/* Rows of a stream that pass. */
static uint32_t *passing_rows(const struct tn_batch *batch, const struct tn_result *result,
                              struct tn_arena *arena, uint32_t *ret_count)
{
    uint32_t *rows = tn_arena_alloc(arena, batch->rows_count * sizeof *rows);
    uint32_t count = tn_result_select(result, rows);
    if (batch->null_values) {
        uint32_t kept = 0;
        for (uint32_t i = 0; i < count; i++)
            if (!tn_bit_get(batch->null_values, rows[i]))
                rows[kept++] = rows[i];
        count = kept;
    }
    *ret_count = count;
    return rows;
}

static struct tn_batch *filter_rows(struct tn_batch *batch, const struct tn_result *result,
                                    const bool *live, struct tn_arena *arena)
{
    uint32_t count = 0;
    const uint32_t *rows = passing_rows(batch, result, arena, &count);
    if (count == batch->rows_count)
        return batch;
    return tn_batch_gather(live ? only_live(batch, live, arena) : batch, rows, count, arena);
}

enum tn_status tni_filter_run(const struct tn_node *node, struct tn_batch *batch, const bool *live,
                              struct tn_arena *arena, struct tni_counters *counters,
                              struct tn_batch **ret_batch, struct tn_err *err)
{
    (void)err;
    struct tn_result result;
    tn_program_run(node->programs[0], batch, arena, &result);
    count_errors(counters, result.errors_count);
    if (!node->is_table) {
        *ret_batch = filter_rows(batch, &result, live, arena);
        return TN_OK;
    }
    uint32_t *rows = tn_arena_alloc(arena, batch->rows_count * sizeof *rows);
    uint32_t count = tn_result_select(&result, rows);
    if (count == batch->rows_count) {
        *ret_batch = batch;
        return TN_OK;
    }
    uint8_t *match = tn_arena_zalloc(arena, tn_bits_bytes(batch->rows_count), 1);
    for (uint32_t i = 0; i < count; i++)
        tn_bit_set(match, rows[i]);
    *ret_batch = filter_changes(batch, match, arena);
    return TN_OK;
}

/* The rows stay where they are; the readers get their numbers. */
static enum tn_status push_selected(struct tni_task *task, struct tni_op *op,
                                    struct tn_batch *batch, struct tn_err *err)
{
    struct tn_result result;
    struct tn_batch out = *batch;
    tn_program_run(op->node->programs[0], batch, task->arena, &result);
    count_errors(&task->query->counters, result.errors_count);
    out.selected = passing_rows(batch, &result, task->arena, &out.selected_count);
    if (out.selected_count == 0)
        return TN_OK;
    return tni_op_push(task, op, out.selected_count == batch->rows_count ? batch : &out, err);
}

enum tn_status tni_op_filter(struct tni_task *task, struct tni_op *op, struct tn_batch *batch,
                             struct tn_err *err)
{
    struct tn_batch *kept = NULL;
    if (op->is_selecting)
        return push_selected(task, op, batch, err);
    TN_TRY(tni_filter_run(op->node, batch, op->live_values, task->arena, &task->query->counters,
                          &kept, err));
    return tni_op_push(task, op, kept, err);
}

/* ---- project ---- */

enum tn_status tni_project_run(const struct tn_node *node, struct tn_batch *batch,
                               const bool *wanted, struct tn_arena *arena,
                               struct tni_counters *counters, struct tn_batch **ret_batch,
                               struct tn_err *err)
{
    (void)err;
    struct tn_batch *out = TN_ARENA_NEW(arena, struct tn_batch);
    *out = *batch;
    out->schema = node->schema;
    out->arena = arena;
    out->columns = TN_ARENA_ARRAY(arena, struct tn_column, node->schema->fields_count);
    for (uint32_t i = 0; i < node->exprs_count; i++) {
        struct tn_result result;
        if (wanted && !wanted[i]) {
            out->columns[i] = (struct tn_column){.type = node->schema->fields[i].type,
                                                 .rows_count = batch->rows_count,
                                                 .is_absent = true};
            continue;
        }
        tn_program_run(node->programs[i], batch, arena, &result);
        count_errors(counters, result.errors_count);
        TN_DCHECK(result.col.is_absent || result.col.rows_count == batch->rows_count);
        out->columns[i] = result.col;
    }
    *ret_batch = out;
    return TN_OK;
}

enum tn_status tni_op_project(struct tni_task *task, struct tni_op *op, struct tn_batch *batch,
                              struct tn_err *err)
{
    struct tn_batch *out = NULL;
    TN_TRY(tni_project_run(op->node, batch, NULL, task->arena, &task->query->counters, &out, err));
    return tni_op_push(task, op, out, err);
}
