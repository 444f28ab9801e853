/* Aggregation and DISTINCT on the hash grouping of stream/hashagg.h. Contract: sql/exec_op.h.
 *
 * Aggregate reads its whole input, merges what other processes made of their rows, then hands out
 * groups in the order in which they were first seen. Distinct is grouping without aggregates that
 * passes on the first row of each group at once, so LIMIT stops it early.
 *
 * Ownership, threads: see exec_op.h */
#include "sql/members_partial.h"

#include <inttypes.h>

#include "stream/base/mem.h"
#include "stream/hashagg.h"

static struct tn_hashagg *new_hash(const struct tn_schema *schema, uint32_t keys_count,
                                   uint32_t aggs_count, const struct tn_agg_call *calls,
                                   struct tn_arena *arena)
{
    const struct tn_type **types = TN_ARENA_ARRAY(arena, const struct tn_type *, keys_count + 1);
    for (uint32_t i = 0; i < keys_count; i++)
        types[i] = schema->fields[i].type;
    return tn_hashagg_new(keys_count, types, aggs_count, calls, 0);
}

/* ---- aggregate ---- */

struct op_aggregate {
    struct tni_op base;
    struct tn_arena arena;
    uint32_t keys_count, aggs_count;
    const struct tni_agg_spec *aggs;
    struct tni_op *states; /* below the input; NULL = none */
    struct tn_hashagg *hash;
    bool is_filled;
    uint32_t next;
    uint32_t *groups;
    const struct tn_column **args, **filters;
};

static enum tn_status aggregate_batch(struct op_aggregate *op, const struct tn_batch *in,
                                      struct tn_err *err)
{
    uint32_t at = op->keys_count;
    for (uint32_t a = 0; a < op->aggs_count; a++) {
        op->args[a] = &in->columns[at];
        at += op->aggs[a].call.args_count;
        op->filters[a] = op->aggs[a].has_filter ? &in->columns[at++] : NULL;
    }
    TN_TRY(tn_hashagg_groups(op->hash, in->columns, NULL, in->rows_count, op->groups, err));
    TN_TRY(
        tn_hashagg_update(op->hash, op->groups, NULL, in->rows_count, op->args, op->filters, err));
    return tni_op_charge(&op->base, tn_hashagg_bytes(op->hash), err);
}

static enum tn_status aggregate_fill(struct op_aggregate *op, struct tn_err *err)
{
    struct tn_batch *in;
    enum tn_status st;
    while ((st = tni_op_next(op->base.input, &in, err)) == TN_OK)
        TN_TRY(aggregate_batch(op, in, err));
    while (op->states && st == TN_END && (st = tni_op_scan_states(op->states, &in, err)) == TN_OK) {
        TN_TRY(tni_partial_merge(op->hash, in, err));
        TN_TRY(tni_op_charge(&op->base, tn_hashagg_bytes(op->hash), err));
        st = TN_END;
    }
    op->is_filled = true;
    return st == TN_END ? TN_OK : st;
}

static enum tn_status aggregate_next(struct tni_op *base, struct tn_batch **ret_batch,
                                     struct tn_err *err)
{
    struct op_aggregate *op = (struct op_aggregate *)base;
    if (!op->is_filled)
        TN_TRY(aggregate_fill(op, err));
    uint32_t left = tn_hashagg_count(op->hash) - op->next;
    uint32_t count = left < TN_BATCH_ROWS_MAX ? left : TN_BATCH_ROWS_MAX;
    if (count == 0)
        return TN_END;
    TN_TRY(tn_budget_check(base->ctx->budget, err));
    tn_arena_reset(&op->arena);
    struct tn_batch *out = tn_batch_new(base->schema, count, &op->arena);
    TN_TRY(tn_hashagg_columns(op->hash, op->next, count, &op->arena, out->columns,
                              out->columns + op->keys_count, err));
    op->next += count;
    *ret_batch = out;
    return tni_op_charge(base, tn_hashagg_bytes(op->hash) + op->arena.bytes_total, err);
}

static void aggregate_close(struct tni_op *base)
{
    struct op_aggregate *op = (struct op_aggregate *)base;
    tn_hashagg_free(op->hash);
    tn_arena_release(&op->arena);
    tn_free(op);
}

static void aggregate_explain(const struct tni_op *base, struct tn_buf *buf)
{
    const struct op_aggregate *op = (const struct op_aggregate *)base;
    tn_buf_printf(buf, "hash aggregate by %" PRIu32 " %s:", op->keys_count,
                  op->keys_count == 1 ? "key" : "keys");
    for (uint32_t a = 0; a < op->aggs_count; a++)
        tn_buf_printf(buf, "%s%s%s%s", a ? ", " : " ", op->aggs[a].call.agg->name,
                      op->aggs[a].call.is_distinct ? " distinct" : "",
                      op->aggs[a].has_filter ? " filter" : "");
    if (op->states)
        tn_buf_add_text(buf, ", begun by the processes that have the rows");
}

static const struct tni_op_type aggregate_type = {"aggregate", aggregate_next, aggregate_close,
                                                  aggregate_explain};

struct tni_op *tni_op_group(struct tni_op *input, const struct tn_schema *schema,
                            uint32_t keys_count, uint32_t aggs_count,
                            const struct tni_agg_spec *aggs, struct tni_op *states)
{
    struct tn_arena *arena = input->ctx->arena;
    struct op_aggregate *op = tn_alloc(sizeof *op);
    op->base.type = &aggregate_type;
    op->base.ctx = input->ctx;
    op->base.schema = schema;
    op->base.input = input;
    op->keys_count = keys_count;
    op->aggs_count = aggs_count;
    op->aggs = aggs;
    op->states = states;
    tn_arena_init(&op->arena, 0);
    struct tn_agg_call *calls = TN_ARENA_ARRAY(arena, struct tn_agg_call, aggs_count + 1);
    for (uint32_t a = 0; a < aggs_count; a++)
        calls[a] = aggs[a].call;
    op->args = TN_ARENA_ARRAY(arena, const struct tn_column *, aggs_count + 1);
    op->filters = TN_ARENA_ARRAY(arena, const struct tn_column *, aggs_count + 1);
    op->groups = TN_ARENA_ARRAY(arena, uint32_t, TN_BATCH_ROWS_MAX);
    op->hash = new_hash(schema, keys_count, aggs_count, calls, arena);
    return &op->base;
}

/* ---- distinct ---- */

struct op_distinct {
    struct tni_op base;
    struct tn_arena arena;
    struct tn_hashagg *hash;
    uint32_t *groups, *rows;
};

static enum tn_status distinct_next(struct tni_op *base, struct tn_batch **ret_batch,
                                    struct tn_err *err)
{
    struct op_distinct *op = (struct op_distinct *)base;
    for (;;) {
        struct tn_batch *in;
        enum tn_status st = tni_op_next(base->input, &in, err);
        if (st != TN_OK)
            return st;
        uint32_t seen = tn_hashagg_count(op->hash), kept = 0;
        TN_TRY(tn_hashagg_groups(op->hash, in->columns, NULL, in->rows_count, op->groups, err));
        for (uint32_t i = 0; i < in->rows_count; i++)
            if (op->groups[i] == seen) { /* numbers are given in order of arrival */
                op->rows[kept++] = i;
                seen++;
            }
        tn_arena_reset(&op->arena);
        TN_TRY(tni_op_charge(base, tn_hashagg_bytes(op->hash) + op->arena.bytes_total, err));
        if (kept == 0)
            continue;
        *ret_batch = kept == in->rows_count ? in : tn_batch_gather(in, op->rows, kept, &op->arena);
        return TN_OK;
    }
}

static void distinct_close(struct tni_op *base)
{
    struct op_distinct *op = (struct op_distinct *)base;
    tn_hashagg_free(op->hash);
    tn_arena_release(&op->arena);
    tn_free(op);
}

static const struct tni_op_type distinct_type = {"distinct", distinct_next, distinct_close, NULL};

struct tni_op *tni_op_distinct(struct tni_op *input, uint32_t columns_count)
{
    struct tn_arena *arena = input->ctx->arena;
    struct op_distinct *op = tn_alloc(sizeof *op);
    op->base.type = &distinct_type;
    op->base.ctx = input->ctx;
    op->base.schema = input->schema;
    op->base.input = input;
    tn_arena_init(&op->arena, 0);
    op->groups = TN_ARENA_ARRAY(arena, uint32_t, TN_BATCH_ROWS_MAX);
    op->rows = TN_ARENA_ARRAY(arena, uint32_t, TN_BATCH_ROWS_MAX);
    op->hash = new_hash(input->schema, columns_count, 0, NULL, arena);
    return &op->base;
}
