/* LATEST_BY_OFFSET, EARLIEST_BY_OFFSET (x [, n] [, ignoreNulls = true]).
 *
 * Without n the state is one cell, with n a list of at most n cells, oldest first. The final value
 * determines the state, so a table of these can be rebuilt from its result topic.
 *
 * @thread owner of the state */
#include "stream/agg_int.h"

#define OFFSET_VALUES_MAX 10000

struct offset_params {
    uint32_t n; /* 0 = no list */
    bool is_null_kept;
};

static struct offset_params params_of(const struct tn_agg_call *call)
{
    struct offset_params res = {0};
    for (uint32_t i = 0; i < call->params_count; i++) {
        if (call->params[i].type->kind == TN_K_BOOLEAN)
            res.is_null_kept = !call->params[i].b;
        else
            res.n = (uint32_t)call->params[i].i;
    }
    return res;
}

static enum tn_status offset_bind(struct tn_agg_call *call, struct tn_arena *arena,
                                  struct tn_err *err)
{
    for (uint32_t i = 0; i < call->params_count; i++) {
        enum tn_kind kind = call->params[i].type->kind;
        bool is_int = kind == TN_K_INTEGER || kind == TN_K_BIGINT;
        if (kind != TN_K_BOOLEAN && !is_int)
            return tn_err_set(err, TN_E_TYPE, "'%s': expected n or true/false behind the column",
                              call->agg->name);
        if (is_int && (call->params[i].i < 1 || call->params[i].i > OFFSET_VALUES_MAX))
            return tn_err_set(err, TN_E_INVALID, "'%s': n must be 1 to %d", call->agg->name,
                              OFFSET_VALUES_MAX);
    }
    bool is_list = params_of(call).n != 0;
    call->type = is_list ? tn_type_array(arena, call->arg_types[0]) : call->arg_types[0];
    call->state_bytes = is_list ? sizeof(struct tni_cells) : sizeof(struct tni_cell);
    return TN_OK;
}

static void offset_init(const struct tn_agg_call *call, void *state)
{
    memset(state, 0, call->state_bytes);
}

static void latest_update(const struct tn_agg_call *call, const struct tn_column *args,
                          const uint32_t *rows, uint32_t rows_count, void *const *states)
{
    const struct tn_column *col = &args[0];
    struct offset_params params = params_of(call);
    bool is_text = tn_kind_is_varlen(col->type->kind);
    for (uint32_t i = 0; i < rows_count; i++) {
        uint32_t row = tni_row(rows, i);
        bool is_null = tn_column_is_null(col, row);
        if (is_null && !params.is_null_kept)
            continue;
        if (params.n) {
            struct tni_cells *cells = states[i];
            if (cells->count == params.n)
                tni_cells_remove(cells, 0, 1);
            tni_cell_set(tni_cells_add(cells), col, row);
        } else if (is_text && !is_null) {
            struct tn_str text = tn_column_str(col, row);
            tni_cell_set_bytes(states[i], text.ptr, text.len);
        } else {
            tni_cell_set(states[i], col, row);
        }
    }
}

static void earliest_update(const struct tn_agg_call *call, const struct tn_column *args,
                            const uint32_t *rows, uint32_t rows_count, void *const *states)
{
    const struct tn_column *col = &args[0];
    struct offset_params params = params_of(call);
    for (uint32_t i = 0; i < rows_count; i++) {
        uint32_t row = tni_row(rows, i);
        if (!params.is_null_kept && tn_column_is_null(col, row))
            continue;
        if (params.n) {
            struct tni_cells *cells = states[i];
            if (cells->count < params.n)
                tni_cell_set(tni_cells_add(cells), col, row);
        } else {
            struct tni_cell *cell = states[i];
            if (cell->state == TNI_CELL_NONE)
                tni_cell_set(cell, col, row);
        }
    }
}

static void latest_merge(const struct tn_agg_call *call, void *to, const void *from)
{
    struct offset_params params = params_of(call);
    const struct tn_type *type = call->arg_types[0];
    if (!params.n) {
        if (((const struct tni_cell *)from)->state != TNI_CELL_NONE)
            tni_cell_copy(type, to, from);
        return;
    }
    const struct tni_cells *other = from;
    struct tni_cells *cells = to;
    for (uint32_t i = 0; i < other->count; i++) {
        if (cells->count == params.n)
            tni_cells_remove(cells, 0, 1);
        tni_cell_copy(type, tni_cells_add(cells), &other->items[i]);
    }
}

static void earliest_merge(const struct tn_agg_call *call, void *to, const void *from)
{
    struct offset_params params = params_of(call);
    const struct tn_type *type = call->arg_types[0];
    if (!params.n) {
        if (((const struct tni_cell *)to)->state == TNI_CELL_NONE)
            tni_cell_copy(type, to, from);
        return;
    }
    const struct tni_cells *other = from;
    struct tni_cells *cells = to;
    for (uint32_t i = 0; i < other->count && cells->count < params.n; i++)
        tni_cell_copy(type, tni_cells_add(cells), &other->items[i]);
}

static void offset_final(const struct tn_agg_call *call, void *const *states, uint32_t count,
                         struct tn_column *ret_col, struct tn_arena *arena)
{
    if (!params_of(call).n) {
        tni_cells_column(call->type, states, 0, count, ret_col, arena);
        return;
    }
    struct tn_colbuilder *builder = tn_colbuilder_new(call->type, arena);
    for (uint32_t i = 0; i < count; i++) {
        struct tn_value value = tni_cells_value(call->type, states[i], arena);
        tn_colbuilder_add(builder, &value);
    }
    tn_colbuilder_finish(builder, ret_col);
}

static void offset_encode(const struct tn_agg_call *call, const void *state, struct tn_buf *buf)
{
    if (params_of(call).n)
        tni_cells_encode(call->arg_types[0], state, buf);
    else
        tni_cell_encode(call->type, state, buf);
}

static enum tn_status offset_decode(const struct tn_agg_call *call, void *state, const char *ptr,
                                    const char *end, const char **ret_next)
{
    if (params_of(call).n)
        ptr = tni_cells_decode(call->arg_types[0], state, ptr, end);
    else
        ptr = tni_cell_decode(call->type, state, ptr, end);
    if (!ptr)
        return TN_E_CORRUPT;
    *ret_next = ptr;
    return TN_OK;
}

static void offset_release(const struct tn_agg_call *call, void *state)
{
    if (params_of(call).n)
        tni_cells_release(state);
    else
        tni_cell_release(state);
}

static void offset_from_final(const struct tn_agg_call *call, void *state,
                              const struct tn_column *col, uint32_t row)
{
    struct offset_params params = params_of(call);
    offset_release(call, state);
    if (!params.n) {
        if (params.is_null_kept || !tn_column_is_null(col, row))
            tni_cell_set(state, col, row);
        return;
    }
    if (tn_column_is_null(col, row))
        return;
    for (int32_t i = col->offsets[row]; i < col->offsets[row + 1]; i++)
        tni_cell_set(tni_cells_add(state), &col->children[0], (uint32_t)i);
}

static size_t offset_bytes_extra(const struct tn_agg_call *call, const void *state)
{
    return params_of(call).n ? tni_cells_bytes(state) : tni_cell_bytes(state);
}

static const struct tn_agg latest_agg = {
    .name = "latest_by_offset",
    .flags = TN_AGG_STREAM | TN_AGG_INVERTIBLE | TN_AGG_NULLS | TN_AGG_ROWS,
    .args_min = 1,
    .args_max = 1,
    .params_max = 2,
    .bind = offset_bind,
    .init = offset_init,
    .update = latest_update,
    .merge = latest_merge,
    .final = offset_final,
    .encode = offset_encode,
    .decode = offset_decode,
    .from_final = offset_from_final,
    .release = offset_release,
    .bytes_extra = offset_bytes_extra,
    .help = "value of the row with the largest offset; with n the last n, oldest first",
};

static const struct tn_agg earliest_agg = {
    .name = "earliest_by_offset",
    .flags = TN_AGG_STREAM | TN_AGG_INVERTIBLE | TN_AGG_NULLS | TN_AGG_ROWS,
    .args_min = 1,
    .args_max = 1,
    .params_max = 2,
    .bind = offset_bind,
    .init = offset_init,
    .update = earliest_update,
    .merge = earliest_merge,
    .final = offset_final,
    .encode = offset_encode,
    .decode = offset_decode,
    .from_final = offset_from_final,
    .release = offset_release,
    .bytes_extra = offset_bytes_extra,
    .help = "value of the row with the smallest offset; with n the first n",
};

const struct tn_agg *const tni_aggs_offset[] = {&latest_agg, &earliest_agg, NULL};
