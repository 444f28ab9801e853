/* Aggregates that other processes begin: what travels, and both sides. Contract: members_partial.h.
 * What can be asked at all: members_partial_plan.c.
 *
 * As bytes: varint keys, each a column; varint aggregates, each name, rules, varint arguments, each
 * a column; varint predicates, each column, flags, varint values, values, bounds. Nothing here
 * trusts the other side: columns and counts are checked against the schema.
 */
#include "sql/members_partial.h"

#include "sql/members_int.h"
#include "stream/rowcode.h"

enum { HAS_LOW = 1, HAS_HIGH = 2, LOW_STRICT = 4, HIGH_STRICT = 8, NO_ROW = 16 };

const struct tn_schema *tni_partial_schema(const struct tn_type **key_types, uint32_t keys_count,
                                           struct tn_arena *arena)
{
    struct tn_field *fields = TN_ARENA_ARRAY(arena, struct tn_field, keys_count + 1);
    struct tn_schema *schema = TN_ARENA_NEW(arena, struct tn_schema);
    for (uint32_t k = 0; k < keys_count; k++)
        fields[k] = (struct tn_field){TN_STR("key"), key_types[k]};
    fields[keys_count] = (struct tn_field){TN_STR("states"), tn_type_of(TN_K_BYTES)};
    *schema = (struct tn_schema){keys_count + 1, fields};
    return schema;
}

/* ---- what is asked, as bytes ---- */

const struct tn_value *tni_partial_value(const struct tni_pred *pred)
{
    if (pred->values_count)
        return pred->values;
    return pred->low ? pred->low : pred->high;
}

static void add_pred(struct tn_buf *buf, const struct tni_pred *pred)
{
    const struct tn_value *any = tni_partial_value(pred);
    tn_buf_add_varint(buf, (uint64_t)pred->column);
    tn_buf_add_byte(buf, (char)((pred->low ? HAS_LOW : 0) | (pred->high ? HAS_HIGH : 0) |
                                (pred->is_low_strict ? LOW_STRICT : 0) |
                                (pred->is_high_strict ? HIGH_STRICT : 0) |
                                (pred->is_none ? NO_ROW : 0)));
    tn_buf_add_varint(buf, pred->values_count);
    for (uint32_t i = 0; i < pred->values_count; i++)
        tni_rowcode_add_value(buf, any->type, &pred->values[i]);
    if (pred->low)
        tni_rowcode_add_value(buf, any->type, pred->low);
    if (pred->high)
        tni_rowcode_add_value(buf, any->type, pred->high);
}

void tni_partial_add(struct tn_buf *buf, const struct tni_partial *partial)
{
    tn_buf_add_varint(buf, partial->keys_count);
    for (uint32_t k = 0; k < partial->keys_count; k++)
        tn_buf_add_varint(buf, partial->keys[k]);
    tn_buf_add_varint(buf, partial->aggs_count);
    for (uint32_t a = 0; a < partial->aggs_count; a++) {
        const struct tn_agg_call *call = &partial->aggs[a];
        tn_buf_add_slice(buf, tn_str_of(call->agg->name));
        tn_buf_add_byte(buf, call->rules == TN_RULES_QUERY ? 1 : 0);
        tn_buf_add_varint(buf, call->args_count);
        for (uint32_t i = 0; i < call->args_count; i++)
            tn_buf_add_varint(buf, partial->args[a * TNI_PARTIAL_ARGS + i]);
    }
    tn_buf_add_varint(buf, partial->preds_count);
    for (uint32_t i = 0; i < partial->preds_count; i++)
        add_pred(buf, &partial->preds[i]);
}

struct reader {
    const char *at, *end; /* at NULL: malformed */
    const struct tn_schema *schema;
    struct tn_arena *arena;
};

static uint32_t read_number(struct reader *r, uint32_t max)
{
    uint64_t number = 0;
    if (r->at)
        r->at = tn_varint_read(r->at, r->end, &number);
    if (number > max)
        r->at = NULL;
    return r->at ? (uint32_t)number : 0;
}

static uint32_t read_column(struct reader *r)
{
    if (!r->schema->fields_count)
        r->at = NULL;
    return read_number(r, r->schema->fields_count - 1);
}

static unsigned read_byte(struct reader *r)
{
    if (!r->at || r->at == r->end) {
        r->at = NULL;
        return 0;
    }
    return (unsigned char)*r->at++;
}

static void read_keys(struct reader *r, struct tni_partial *partial)
{
    partial->keys_count = read_number(r, TNI_SCAN_KEYS_MAX);
    uint32_t *keys = TN_ARENA_ARRAY(r->arena, uint32_t, partial->keys_count + 1);
    const struct tn_type **types =
        TN_ARENA_ARRAY(r->arena, const struct tn_type *, partial->keys_count + 1);
    for (uint32_t k = 0; k < partial->keys_count && r->at; k++) {
        keys[k] = read_column(r);
        types[k] = r->at ? r->schema->fields[keys[k]].type : NULL;
    }
    partial->keys = keys;
    partial->schema = tni_partial_schema(types, partial->keys_count, r->arena);
}

static void read_agg(struct reader *r, struct tn_agg_call *call, uint32_t *args)
{
    struct tn_str name;
    r->at = tn_slice_read(r->at, r->end, &name);
    call->rules = read_byte(r) ? TN_RULES_QUERY : TN_RULES_STREAM;
    call->args_count = read_number(r, TNI_PARTIAL_ARGS);
    for (uint32_t i = 0; i < call->args_count && r->at; i++) {
        args[i] = read_column(r);
        call->arg_types[i] = r->at ? r->schema->fields[args[i]].type : NULL;
    }
    call->agg = r->at ? tn_agg_find(name, call->rules) : NULL;
    if (!call->agg || tn_failed(tn_agg_bind(call, r->arena, NULL)) || !tn_agg_is_exact(call))
        r->at = NULL;
}

static void read_aggs(struct reader *r, struct tni_partial *partial)
{
    partial->aggs_count = read_number(r, TNI_SCAN_KEYS_MAX);
    struct tn_agg_call *calls =
        TN_ARENA_ARRAY(r->arena, struct tn_agg_call, partial->aggs_count + 1);
    uint32_t *args =
        TN_ARENA_ARRAY(r->arena, uint32_t, (partial->aggs_count + 1) * TNI_PARTIAL_ARGS);
    for (uint32_t a = 0; a < partial->aggs_count && r->at; a++)
        read_agg(r, &calls[a], args + a * TNI_PARTIAL_ARGS);
    partial->aggs = calls;
    partial->args = args;
}

static void read_value(struct reader *r, const struct tn_type *type, struct tn_value *value)
{
    if (r->at)
        r->at = tni_rowcode_value(type, r->at, r->end, r->arena, value);
    value->type = type;
}

static void read_pred(struct reader *r, struct tni_pred *pred)
{
    pred->column = (int)read_column(r);
    unsigned flags = read_byte(r);
    pred->values_count = read_number(r, TNI_PARTIAL_VALUES_MAX);
    struct tn_value *values = TN_ARENA_ARRAY(r->arena, struct tn_value, pred->values_count + 2);
    const struct tn_type *type = r->at ? r->schema->fields[pred->column].type : NULL;
    uint32_t count = pred->values_count;
    for (uint32_t i = 0; i < count && r->at; i++)
        read_value(r, type, &values[i]);
    if (flags & HAS_LOW)
        read_value(r, type, &values[count]);
    if (flags & HAS_HIGH)
        read_value(r, type, &values[count + 1]);
    pred->values = values;
    pred->low = flags & HAS_LOW ? &values[count] : NULL;
    pred->high = flags & HAS_HIGH ? &values[count + 1] : NULL;
    pred->is_low_strict = flags & LOW_STRICT;
    pred->is_high_strict = flags & HIGH_STRICT;
    pred->is_none = flags & NO_ROW;
}

enum tn_status tni_partial_read(struct tn_str bytes, const struct tn_schema *schema,
                                struct tn_arena *arena, struct tni_partial **ret_partial,
                                struct tn_err *err)
{
    bytes = tn_arena_str(arena, bytes); /* text of the predicates points into it */
    struct reader r = {bytes.ptr, bytes.ptr + bytes.len, schema, arena};
    struct tni_partial *partial = TN_ARENA_NEW(arena, struct tni_partial);
    read_keys(&r, partial);
    read_aggs(&r, partial);
    partial->preds_count = read_number(&r, TNI_TSCAN_PREDS_MAX);
    struct tni_pred *preds = TN_ARENA_ARRAY(arena, struct tni_pred, partial->preds_count + 1);
    for (uint32_t i = 0; i < partial->preds_count && r.at; i++)
        read_pred(&r, &preds[i]);
    partial->preds = preds;
    if (!r.at || r.at != r.end)
        return tn_err_set(err, TN_E_INVALID, "malformed request between processes");
    *ret_partial = partial;
    return TN_OK;
}

/* ---- the side that answers ---- */

struct tn_hashagg *tni_partial_hash(const struct tni_partial *partial)
{
    const struct tn_type *types[TNI_SCAN_KEYS_MAX] = {0};
    for (uint32_t k = 0; k < partial->keys_count; k++)
        types[k] = partial->schema->fields[k].type;
    return tn_hashagg_new(partial->keys_count, types, partial->aggs_count, partial->aggs, 0);
}

static bool holds(const struct tni_pred *pred, const struct tn_value *value)
{
    if (value->is_null || pred->is_none)
        return false;
    bool is_one = pred->values_count == 0;
    for (uint32_t i = 0; i < pred->values_count && !is_one; i++)
        is_one = tn_value_cmp(value, &pred->values[i]) == 0;
    if (!is_one)
        return false;
    int low = pred->low ? tn_value_cmp(value, pred->low) : 1;
    int high = pred->high ? tn_value_cmp(value, pred->high) : -1;
    return (low > 0 || (low == 0 && !pred->is_low_strict)) &&
           (high < 0 || (high == 0 && !pred->is_high_strict));
}

static uint32_t select_rows(const struct tni_partial *partial, const struct tn_batch *batch,
                            struct tn_arena *arena, uint32_t *rows)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < batch->rows_count; i++) {
        bool is_in = true;
        for (uint32_t p = 0; p < partial->preds_count && is_in; p++) {
            struct tn_value value =
                tn_column_value(&batch->columns[partial->preds[p].column], i, arena);
            is_in = holds(&partial->preds[p], &value);
        }
        rows[count] = i;
        count += is_in;
    }
    return count;
}

enum tn_status tni_partial_take(const struct tni_partial *partial, struct tn_hashagg *hash,
                                const struct tn_batch *batch, struct tn_arena *arena,
                                struct tn_err *err)
{
    uint32_t *rows = TN_ARENA_ARRAY(arena, uint32_t, batch->rows_count + 1);
    uint32_t *groups = TN_ARENA_ARRAY(arena, uint32_t, batch->rows_count + 1);
    struct tn_column *keys = TN_ARENA_ARRAY(arena, struct tn_column, partial->keys_count + 1);
    struct tn_column *args =
        TN_ARENA_ARRAY(arena, struct tn_column, (partial->aggs_count + 1) * TNI_PARTIAL_ARGS);
    const struct tn_column **args_of =
        TN_ARENA_ARRAY(arena, const struct tn_column *, partial->aggs_count + 1);
    for (uint32_t k = 0; k < partial->keys_count; k++)
        keys[k] = batch->columns[partial->keys[k]];
    for (uint32_t a = 0; a < partial->aggs_count; a++) {
        args_of[a] = args + a * TNI_PARTIAL_ARGS;
        for (uint32_t i = 0; i < partial->aggs[a].args_count; i++)
            args[a * TNI_PARTIAL_ARGS + i] =
                batch->columns[partial->args[a * TNI_PARTIAL_ARGS + i]];
    }
    uint32_t count = select_rows(partial, batch, arena, rows);
    TN_TRY(tn_hashagg_groups(hash, keys, rows, count, groups, err));
    return tn_hashagg_update(hash, groups, rows, count, args_of, NULL, err);
}

enum tn_status tni_partial_print(const struct tni_partial *partial, struct tn_hashagg *hash,
                                 struct tn_buf *buf, struct tn_err *err)
{
    struct tn_arena arena;
    struct tn_buf states;
    enum tn_status st = TN_OK;
    tn_arena_init(&arena, 0);
    tn_buf_init(&states, (size_t)64 << 20);
    for (uint32_t from = 0; from < tn_hashagg_count(hash) && !tn_failed(st);) {
        uint32_t left = tn_hashagg_count(hash) - from;
        uint32_t count = left < TN_BATCH_ROWS_MAX ? left : TN_BATCH_ROWS_MAX;
        struct tn_batch *batch = tn_batch_new(partial->schema, count, &arena);
        struct tn_colbuilder *column = tn_colbuilder_new(tn_type_of(TN_K_BYTES), &arena);
        st = tn_hashagg_columns(hash, from, count, &arena, batch->columns, NULL, err);
        for (uint32_t g = 0; g < count; g++) {
            tn_buf_reset(&states);
            tn_hashagg_encode(hash, from + g, &states);
            struct tn_value value = {.type = tn_type_of(TN_K_BYTES), .s = tn_buf_str(&states)};
            tn_colbuilder_add(column, &value);
        }
        tn_colbuilder_finish(column, &batch->columns[partial->keys_count]);
        if (!tn_failed(st))
            tn_scan_wire_add(buf, batch, NULL);
        from += count;
        tn_arena_reset(&arena);
    }
    tn_buf_release(&states);
    tn_arena_release(&arena);
    return st;
}

/* ---- the side that asked ---- */

enum tn_status tni_partial_merge(struct tn_hashagg *hash, const struct tn_batch *batch,
                                 struct tn_err *err)
{
    const struct tn_column *states = &batch->columns[batch->schema->fields_count - 1];
    uint32_t *groups = TN_ARENA_ARRAY(batch->arena, uint32_t, batch->rows_count + 1);
    TN_TRY(tn_hashagg_groups(hash, batch->columns, NULL, batch->rows_count, groups, err));
    for (uint32_t i = 0; i < batch->rows_count; i++)
        TN_TRY(tn_hashagg_merge_encoded(hash, groups[i], tn_column_str(states, i), err));
    return TN_OK;
}
