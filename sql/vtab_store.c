/* Rows of a slot: their source, the copy that is kept for the statement, its hash indexes.
 * Contract: sql/vtab_int.h. */
#include "sql/vtab_int.h"

#include <math.h>
#include <stdlib.h>

#include "stream/base/hash.h"
#include "stream/base/mem.h"

/* ---- sources ---- */

enum tn_status tni_vslot_source(struct tni_vslot *vs, const struct tni_pred *equals,
                                uint32_t equals_count, struct tni_op **ret_op, struct tn_err *err)
{
    struct tni_exec_ctx *ctx = vs->stmt->ctx;
    const struct tni_slot *slot = vs->slot;
    struct tni_op *op;
    if (slot->query) {
        const char *why;
        TN_TRY(tni_native_plan(ctx, slot->query, &op, &why, err));
    } else {
        struct tni_tscan_spec *spec = TN_ARENA_NEW(ctx->arena, struct tni_tscan_spec);
        bool *needed = TN_ARENA_ARRAY(ctx->arena, bool, slot->schema->fields_count);
        memcpy(needed, slot->used, slot->schema->fields_count * sizeof *needed);
        if (slot->filter)
            tn_expr_columns(slot->filter, 0, needed);
        struct tni_pred *preds =
            TN_ARENA_ARRAY(ctx->arena, struct tni_pred, (size_t)vs->preds_count + equals_count + 1);
        if (vs->preds_count)
            memcpy(preds, vs->preds, vs->preds_count * sizeof *preds);
        if (equals_count)
            memcpy(preds + vs->preds_count, equals, equals_count * sizeof *preds);
        *spec = (struct tni_tscan_spec){.object = slot->object,
                                        .needed = needed,
                                        .preds_count = vs->preds_count + equals_count,
                                        .preds = preds};
        op = tni_op_scan(ctx, spec);
    }
    return tni_op_compute(op, slot->filter, &vs->kept, vs->exprs, ret_op, err);
}

/* ---- stored rows ---- */

static enum tn_status charge_store(struct tni_vslot *vs, struct tn_err *err)
{
    size_t bytes = vs->arena.bytes_total;
    for (uint32_t i = 0; i < vs->indexes_count; i++)
        bytes += vs->indexes[i].cap * sizeof(struct tni_ventry) +
                 ((size_t)vs->indexes[i].mask + 1) * sizeof(uint32_t);
    int64_t delta = (int64_t)bytes - vs->charged;
    vs->charged = (int64_t)bytes;
    return delta ? tn_budget_charge(vs->stmt->ctx->budget, delta, err) : TN_OK;
}

static enum tn_status store_batch(struct tni_vslot *vs, const struct tn_batch *batch,
                                  struct tn_err *err)
{
    uint32_t rows[TN_BATCH_ROWS_MAX];
    for (uint32_t i = 0; i < batch->rows_count; i++)
        rows[i] = i;
    if (vs->chunks_count == vs->chunks_cap) {
        vs->chunks_cap = vs->chunks_cap ? vs->chunks_cap * 2 : 8;
        vs->chunks = tn_realloc(vs->chunks, vs->chunks_cap * sizeof(struct tn_batch *));
    }
    TN_ASSERT(vs->chunks_count < UINT32_MAX >> CHUNK_SHIFT);
    vs->chunks[vs->chunks_count++] = tn_batch_gather(batch, rows, batch->rows_count, &vs->arena);
    vs->rows_count += batch->rows_count;
    return charge_store(vs, err);
}

enum tn_status tni_vslot_store(struct tni_vslot *vs, struct tn_err *err)
{
    struct tni_op *op;
    struct tn_batch *batch;
    if (vs->is_stored)
        return TN_OK;
    TN_TRY(tni_vslot_source(vs, NULL, 0, &op, err));
    enum tn_status st;
    while ((st = tni_op_next(op, &batch, err)) == TN_OK) {
        st = store_batch(vs, batch, err);
        if (tn_failed(st))
            break;
    }
    tni_op_close(op);
    vs->is_stored = st == TN_END;
    return st == TN_END ? TN_OK : st;
}

/* Same hash for what the column's type calls equal. */
uint64_t tni_vslot_hash(const struct tn_value *value, uint64_t seed)
{
    uint64_t bits = 0;
    switch (value->type->kind) {
    case TN_K_BOOLEAN: bits = value->b; break;
    case TN_K_DOUBLE: {
        double d = isnan(value->d) ? (double)NAN : value->d == 0 ? 0 : value->d;
        memcpy(&bits, &d, sizeof bits);
        break;
    }
    case TN_K_DECIMAL: bits = (uint64_t)value->dec ^ (uint64_t)(value->dec >> 64); break;
    case TN_K_VARCHAR:
    case TN_K_BYTES:
    case TN_K_JSON: bits = tn_hash64(value->s.ptr, value->s.len); break;
    default: bits = (uint64_t)value->i; break;
    }
    return tn_mix64(bits, seed);
}

/* False when a column is NULL: equality never holds. */
static bool hash_row(const struct tni_vindex *index, const struct tn_batch *batch, uint32_t row,
                     uint64_t *ret_hash)
{
    uint64_t hash = 1;
    for (uint32_t i = 0; i < index->columns_count; i++) {
        const struct tn_column *col = &batch->columns[index->columns[i]];
        if (tn_column_is_null(col, row))
            return false;
        struct tn_value value = tn_column_value(col, row, NULL);
        hash = tni_vslot_hash(&value, hash);
    }
    *ret_hash = hash;
    return true;
}

static void build_index(struct tni_vslot *vs, struct tni_vindex *index)
{
    uint32_t slots = 16;
    while (slots < vs->rows_count * 2 && slots < 1u << 30)
        slots *= 2;
    index->mask = slots - 1;
    index->heads = tn_alloc_raw(slots * sizeof *index->heads);
    memset(index->heads, 0xff, slots * sizeof *index->heads);
    index->cap = (uint32_t)vs->rows_count;
    index->entries = tn_alloc_array((size_t)index->cap + 1, sizeof *index->entries);
    /* From the last row to the first: chains then run in order of arrival. */
    for (uint32_t c = vs->chunks_count; c-- > 0;) {
        for (uint32_t row = vs->chunks[c]->rows_count; row-- > 0;) {
            uint64_t hash;
            if (!hash_row(index, vs->chunks[c], row, &hash))
                continue;
            uint32_t *head = &index->heads[hash & index->mask];
            index->entries[index->count] = (struct tni_ventry){hash, c << CHUNK_SHIFT | row, *head};
            *head = index->count++;
        }
    }
}

enum tn_status tni_vslot_index(struct tni_vslot *vs, const uint32_t *columns,
                               uint32_t columns_count, const struct tni_vindex **ret_index,
                               struct tn_err *err)
{
    TN_TRY(tni_vslot_store(vs, err));
    for (uint32_t i = 0; i < vs->indexes_count; i++) {
        *ret_index = &vs->indexes[i];
        if (vs->indexes[i].columns_count == columns_count &&
            memcmp(vs->indexes[i].columns, columns, columns_count * sizeof *columns) == 0)
            return TN_OK;
    }
    *ret_index = NULL;
    if (vs->indexes_count == INDEXES_MAX)
        return TN_OK; /* scan instead */
    struct tni_vindex *index = &vs->indexes[vs->indexes_count++];
    *index = (struct tni_vindex){.columns_count = columns_count};
    memcpy(index->columns, columns, columns_count * sizeof *columns);
    build_index(vs, index);
    *ret_index = index;
    return charge_store(vs, err);
}
