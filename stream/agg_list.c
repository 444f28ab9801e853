/* Aggregates whose state is a list: COLLECT_LIST, COLLECT_SET, TOPK, TOPKDISTINCT, HISTOGRAM, ATTR
 * (stream rules), and array_agg (query rules).
 *
 * Lists are bounded: COLLECT_* keep the first TNI_COLLECT_MAX values and ignore the rest, HISTOGRAM
 * its first 1,000 keys, TOPK k entries.
 *
 * @thread owner of the state */
#include "stream/agg_int.h"

#define TNI_COLLECT_MAX   (1u << 20)
#define TNI_HISTOGRAM_MAX 1000u
#define TNI_TOPK_MAX      10000

/* ---- shared by all states that begin with a list of cells ---- */

static void list_init(const struct tn_agg_call *call, void *state)
{
    memset(state, 0, call->state_bytes);
}

static void cells_release(const struct tn_agg_call *call, void *state)
{
    (void)call;
    tni_cells_release(state);
}

static size_t cells_bytes_extra(const struct tn_agg_call *call, const void *state)
{
    (void)call;
    return tni_cells_bytes(state);
}

static void cells_encode(const struct tn_agg_call *call, const void *state, struct tn_buf *buf)
{
    tni_cells_encode(call->arg_types[0], state, buf);
}

static enum tn_status cells_decode(const struct tn_agg_call *call, void *state, const char *ptr,
                                   const char *end, const char **ret_next)
{
    ptr = tni_cells_decode(call->arg_types[0], state, ptr, end);
    if (!ptr)
        return TN_E_CORRUPT;
    *ret_next = ptr;
    return TN_OK;
}

static void cells_final(const struct tn_agg_call *call, void *const *states, uint32_t count,
                        struct tn_column *ret_col, struct tn_arena *arena)
{
    struct tn_colbuilder *builder = tn_colbuilder_new(call->type, arena);
    for (uint32_t i = 0; i < count; i++) {
        struct tn_value value = tni_cells_value(call->type, states[i], arena);
        tn_colbuilder_add(builder, &value);
    }
    tn_colbuilder_finish(builder, ret_col);
}

static void cells_from_final(const struct tn_agg_call *call, void *state,
                             const struct tn_column *col, uint32_t row)
{
    (void)call;
    tni_cells_release(state);
    if (tn_column_is_null(col, row))
        return;
    for (int32_t i = col->offsets[row]; i < col->offsets[row + 1]; i++)
        tni_cell_set(tni_cells_add(state), &col->children[0], (uint32_t)i);
}

static enum tn_status array_bind(struct tn_agg_call *call, struct tn_arena *arena,
                                 struct tn_err *err)
{
    (void)err;
    call->type = tn_type_array(arena, call->arg_types[0]);
    call->state_bytes = sizeof(struct tni_cells);
    return TN_OK;
}

/* ---- COLLECT_LIST ---- */

static void list_update(const struct tn_agg_call *call, const struct tn_column *args,
                        const uint32_t *rows, uint32_t rows_count, void *const *states)
{
    (void)call;
    for (uint32_t i = 0; i < rows_count; i++) {
        struct tni_cells *cells = states[i];
        if (cells->count < TNI_COLLECT_MAX)
            tni_cell_set(tni_cells_add(cells), &args[0], tni_row(rows, i));
    }
}

/* Removes the last equal value. */
static void list_retract(const struct tn_agg_call *call, const struct tn_column *args,
                         const uint32_t *rows, uint32_t rows_count, void *const *states)
{
    for (uint32_t i = 0; i < rows_count; i++) {
        struct tni_cells *cells = states[i];
        struct tni_cell cell = {0};
        tni_cell_set(&cell, &args[0], tni_row(rows, i));
        for (uint32_t at = cells->count; at > 0; at--) {
            if (!tni_cell_same(call->arg_types[0], &cells->items[at - 1], &cell))
                continue;
            tni_cells_remove(cells, at - 1, 1);
            break;
        }
        tni_cell_release(&cell);
    }
}

static void list_merge(const struct tn_agg_call *call, void *to, const void *from)
{
    const struct tni_cells *other = from;
    struct tni_cells *cells = to;
    for (uint32_t i = 0; i < other->count && cells->count < TNI_COLLECT_MAX; i++)
        tni_cell_copy(call->arg_types[0], tni_cells_add(cells), &other->items[i]);
}

static const struct tn_agg collect_list_agg = {
    .name = "collect_list",
    .flags = TN_AGG_STREAM | TN_AGG_RETRACT | TN_AGG_INVERTIBLE | TN_AGG_NULLS | TN_AGG_ROWS,
    .args_min = 1,
    .args_max = 1,
    .bind = array_bind,
    .init = list_init,
    .update = list_update,
    .retract = list_retract,
    .merge = list_merge,
    .final = cells_final,
    .encode = cells_encode,
    .decode = cells_decode,
    .from_final = cells_from_final,
    .release = cells_release,
    .bytes_extra = cells_bytes_extra,
    .help = "array of all values, NULLs too, in order of arrival",
};

static void array_agg_final(const struct tn_agg_call *call, void *const *states, uint32_t count,
                            struct tn_column *ret_col, struct tn_arena *arena)
{
    cells_final(call, states, count, ret_col, arena);
    for (uint32_t i = 0; i < count; i++)
        if (!((const struct tni_cells *)states[i])->count)
            tn_column_set_null(ret_col, i, arena);
}

/* Query rules lose no value in silence: a list that is full may have lost some. */
static enum tn_status array_agg_error(const struct tn_agg_call *call, const void *state,
                                      struct tn_err *err)
{
    (void)call;
    if (((const struct tni_cells *)state)->count < TNI_COLLECT_MAX)
        return TN_OK;
    return tn_err_at(err, TN_E_LIMIT, "EXCEEDED_ARRAY_LIMIT", 0, 0,
                     "array_agg collects fewer than %u values", TNI_COLLECT_MAX);
}

static const struct tn_agg array_agg_agg = {
    .name = "array_agg",
    .flags = TN_AGG_QUERY | TN_AGG_NULLS | TN_AGG_ROWS,
    .args_min = 1,
    .args_max = 1,
    .bind = array_bind,
    .init = list_init,
    .update = list_update,
    .merge = list_merge,
    .final = array_agg_final,
    .encode = cells_encode,
    .decode = cells_decode,
    .release = cells_release,
    .bytes_extra = cells_bytes_extra,
    .error = array_agg_error,
    .help = "array of all values, NULLs too; NULL without rows",
};

/* ---- sets: cells and, when there are many, an index over them ---- */

#define SET_SCAN_MAX 16u

struct set_state {
    struct tni_cells cells;
    uint32_t *index; /* cell + 1 by hash; NULL while small */
    uint64_t mask;
};

static void set_index_add(const struct tn_type *type, struct set_state *set, uint32_t cell)
{
    uint64_t p = tni_cell_hash(type, &set->cells.items[cell]) & set->mask;
    while (set->index[p])
        p = (p + 1) & set->mask;
    set->index[p] = cell + 1;
}

static void set_index_build(const struct tn_type *type, struct set_state *set)
{
    uint64_t size = 64;
    while (size < 4ull * set->cells.count)
        size *= 2;
    tn_free(set->index);
    set->index = tn_alloc_array(size, sizeof *set->index);
    set->mask = size - 1;
    for (uint32_t i = 0; i < set->cells.count; i++)
        set_index_add(type, set, i);
}

static bool set_has(const struct tn_type *type, const struct set_state *set,
                    const struct tni_cell *cell)
{
    if (!set->index) {
        for (uint32_t i = 0; i < set->cells.count; i++)
            if (tni_cell_same(type, &set->cells.items[i], cell))
                return true;
        return false;
    }
    for (uint64_t p = tni_cell_hash(type, cell) & set->mask; set->index[p]; p = (p + 1) & set->mask)
        if (tni_cell_same(type, &set->cells.items[set->index[p] - 1], cell))
            return true;
    return false;
}

static void set_add(const struct tn_type *type, struct set_state *set, const struct tni_cell *cell)
{
    if (set->cells.count >= TNI_COLLECT_MAX || set_has(type, set, cell))
        return;
    tni_cell_copy(type, tni_cells_add(&set->cells), cell);
    if (set->index && 2ull * set->cells.count <= set->mask)
        set_index_add(type, set, set->cells.count - 1);
    else if (set->cells.count > SET_SCAN_MAX)
        set_index_build(type, set);
}

static enum tn_status set_bind(struct tn_agg_call *call, struct tn_arena *arena, struct tn_err *err)
{
    TN_TRY(array_bind(call, arena, err));
    call->state_bytes = sizeof(struct set_state);
    return TN_OK;
}

static void set_update(const struct tn_agg_call *call, const struct tn_column *args,
                       const uint32_t *rows, uint32_t rows_count, void *const *states)
{
    for (uint32_t i = 0; i < rows_count; i++) {
        struct tni_cell cell = {0};
        tni_cell_set(&cell, &args[0], tni_row(rows, i));
        set_add(call->arg_types[0], states[i], &cell);
        tni_cell_release(&cell);
    }
}

static void set_merge(const struct tn_agg_call *call, void *to, const void *from)
{
    const struct set_state *other = from;
    for (uint32_t i = 0; i < other->cells.count; i++)
        set_add(call->arg_types[0], to, &other->cells.items[i]);
}

static void set_release(const struct tn_agg_call *call, void *state)
{
    struct set_state *set = state;
    tni_cells_release(&set->cells);
    tn_free(set->index);
    memset(state, 0, call->state_bytes);
}

static size_t set_bytes_extra(const struct tn_agg_call *call, const void *state)
{
    (void)call;
    const struct set_state *set = state;
    return tni_cells_bytes(&set->cells) + (set->index ? (set->mask + 1) * sizeof *set->index : 0);
}

static enum tn_status set_decode(const struct tn_agg_call *call, void *state, const char *ptr,
                                 const char *end, const char **ret_next)
{
    struct set_state *set = state;
    ptr = tni_cells_decode(call->arg_types[0], &set->cells, ptr, end);
    if (!ptr)
        return TN_E_CORRUPT;
    if (set->cells.count > SET_SCAN_MAX)
        set_index_build(call->arg_types[0], set);
    *ret_next = ptr;
    return TN_OK;
}

static void set_from_final(const struct tn_agg_call *call, void *state, const struct tn_column *col,
                           uint32_t row)
{
    struct set_state *set = state;
    set_release(call, state);
    cells_from_final(call, &set->cells, col, row);
    if (set->cells.count > SET_SCAN_MAX)
        set_index_build(call->arg_types[0], set);
}

static const struct tn_agg collect_set_agg = {
    .name = "collect_set",
    .flags = TN_AGG_STREAM | TN_AGG_INVERTIBLE | TN_AGG_NULLS | TN_AGG_ROWS,
    .args_min = 1,
    .args_max = 1,
    .bind = set_bind,
    .init = list_init,
    .update = set_update,
    .merge = set_merge,
    .final = cells_final, /* a set begins with its cells */
    .encode = cells_encode,
    .decode = set_decode,
    .from_final = set_from_final,
    .release = set_release,
    .bytes_extra = set_bytes_extra,
    .help = "array of the distinct values, NULL too, in order of first arrival",
};

/* ---- TOPK: entries of args_count cells, the first one sorts ---- */

static uint32_t topk_k(const struct tn_agg_call *call)
{
    return (uint32_t)call->params[0].i;
}

static enum tn_status topk_bind(struct tn_agg_call *call, struct tn_arena *arena,
                                struct tn_err *err)
{
    enum tn_kind kind = call->arg_types[0]->kind;
    if (tn_kind_is_nested(kind) || kind == TN_K_JSON || kind == TN_K_BOOLEAN)
        return tni_agg_bad_type(call, 0, "a type with an order", err);
    enum tn_kind k = call->params[0].type->kind;
    if ((k != TN_K_INTEGER && k != TN_K_BIGINT) || call->params[0].i < 1 ||
        call->params[0].i > TNI_TOPK_MAX)
        return tn_err_set(err, TN_E_INVALID, "'%s': the last argument k must be 1 to %d",
                          call->agg->name, TNI_TOPK_MAX);
    call->state_bytes = sizeof(struct tni_cells);
    if (call->args_count == 1) {
        call->type = tn_type_array(arena, call->arg_types[0]);
        return TN_OK;
    }
    static const char *const names[] = {"sort_col", "col0", "col1", "col2"};
    struct tn_field fields[4];
    for (uint32_t i = 0; i < call->args_count; i++)
        fields[i] = (struct tn_field){tn_str_of(names[i]), call->arg_types[i]};
    call->type = tn_type_array(arena, tn_type_struct(arena, fields, call->args_count));
    return TN_OK;
}

/* Place for a new entry: behind those that are larger or equal; UINT32_MAX when it is not among k.
 */
static uint32_t topk_place(const struct tn_agg_call *call, const struct tni_cells *cells,
                           const struct tni_cell *sort, bool is_distinct)
{
    uint32_t stride = call->args_count, entries = cells->count / stride, at = entries;
    while (at > 0 && tni_cell_cmp(call->arg_types[0], &cells->items[(at - 1) * stride], sort) < 0)
        at--;
    if (is_distinct && at > 0 &&
        tni_cell_cmp(call->arg_types[0], &cells->items[(at - 1) * stride], sort) == 0)
        return UINT32_MAX;
    return at < topk_k(call) ? at : UINT32_MAX;
}

/* Room for an entry at `at`; the last entry goes when there are k already. */
static struct tni_cell *topk_open(const struct tn_agg_call *call, struct tni_cells *cells,
                                  uint32_t at)
{
    uint32_t stride = call->args_count;
    if (cells->count / stride == topk_k(call))
        tni_cells_remove(cells, cells->count - stride, stride);
    for (uint32_t i = 0; i < stride; i++)
        tni_cells_add(cells);
    struct tni_cell *entry = &cells->items[at * stride];
    memmove(entry + stride, entry, (cells->count - (at + 1) * stride) * sizeof *entry);
    memset(entry, 0, stride * sizeof *entry);
    return entry;
}

static void topk_apply(const struct tn_agg_call *call, const struct tn_column *args,
                       const uint32_t *rows, uint32_t rows_count, void *const *states,
                       bool is_distinct)
{
    for (uint32_t i = 0; i < rows_count; i++) {
        uint32_t row = tni_row(rows, i);
        if (tn_column_is_null(&args[0], row))
            continue;
        struct tni_cell sort = {0};
        tni_cell_set(&sort, &args[0], row);
        uint32_t at = topk_place(call, states[i], &sort, is_distinct);
        if (at != UINT32_MAX) {
            struct tni_cell *entry = topk_open(call, states[i], at);
            for (uint32_t c = 0; c < call->args_count; c++)
                tni_cell_set(&entry[c], &args[c], row);
        }
        tni_cell_release(&sort);
    }
}

static void topk_update(const struct tn_agg_call *call, const struct tn_column *args,
                        const uint32_t *rows, uint32_t rows_count, void *const *states)
{
    topk_apply(call, args, rows, rows_count, states, false);
}

static void topkdistinct_update(const struct tn_agg_call *call, const struct tn_column *args,
                                const uint32_t *rows, uint32_t rows_count, void *const *states)
{
    topk_apply(call, args, rows, rows_count, states, true);
}

static void topk_merge_any(const struct tn_agg_call *call, void *to, const void *from,
                           bool is_distinct)
{
    const struct tni_cells *other = from;
    uint32_t stride = call->args_count;
    for (uint32_t e = 0; e < other->count / stride; e++) {
        const struct tni_cell *source = &other->items[e * stride];
        uint32_t at = topk_place(call, to, source, is_distinct);
        if (at == UINT32_MAX)
            continue;
        struct tni_cell *entry = topk_open(call, to, at);
        for (uint32_t c = 0; c < stride; c++)
            tni_cell_copy(call->arg_types[c], &entry[c], &source[c]);
    }
}

static void topk_merge(const struct tn_agg_call *call, void *to, const void *from)
{
    topk_merge_any(call, to, from, false);
}

static void topkdistinct_merge(const struct tn_agg_call *call, void *to, const void *from)
{
    topk_merge_any(call, to, from, true);
}

static void topk_final(const struct tn_agg_call *call, void *const *states, uint32_t count,
                       struct tn_column *ret_col, struct tn_arena *arena)
{
    if (call->args_count == 1) {
        cells_final(call, states, count, ret_col, arena);
        return;
    }
    struct tn_colbuilder *builder = tn_colbuilder_new(call->type, arena);
    uint32_t stride = call->args_count;
    for (uint32_t i = 0; i < count; i++) {
        const struct tni_cells *cells = states[i];
        struct tn_value value = {.type = call->type};
        value.list.count = cells->count / stride;
        value.list.items = TN_ARENA_ARRAY(arena, struct tn_value, value.list.count);
        for (uint32_t e = 0; e < value.list.count; e++) {
            struct tn_value *item = &value.list.items[e];
            item->type = call->type->children[0].type;
            item->list.count = stride;
            item->list.items = TN_ARENA_ARRAY(arena, struct tn_value, stride);
            for (uint32_t c = 0; c < stride; c++)
                item->list.items[c] =
                    tni_cell_value(call->arg_types[c], &cells->items[e * stride + c], arena);
        }
        tn_colbuilder_add(builder, &value);
    }
    tn_colbuilder_finish(builder, ret_col);
}

static void topk_encode(const struct tn_agg_call *call, const void *state, struct tn_buf *buf)
{
    const struct tni_cells *cells = state;
    tn_buf_add_varint(buf, cells->count / call->args_count);
    for (uint32_t i = 0; i < cells->count; i++)
        tni_cell_encode(call->arg_types[i % call->args_count], &cells->items[i], buf);
}

static enum tn_status topk_decode(const struct tn_agg_call *call, void *state, const char *ptr,
                                  const char *end, const char **ret_next)
{
    uint64_t entries = 0;
    ptr = tn_varint_read(ptr, end, &entries);
    if (!ptr || entries > topk_k(call))
        return TN_E_CORRUPT;
    for (uint64_t i = 0; i < entries * call->args_count && ptr; i++)
        ptr =
            tni_cell_decode(call->arg_types[i % call->args_count], tni_cells_add(state), ptr, end);
    const struct tni_cells *cells = state;
    for (uint32_t i = 0; ptr && i < cells->count; i += call->args_count)
        if (cells->items[i].state != TNI_CELL_VALUE)
            ptr = NULL; /* the sort column is never NULL */
    if (!ptr)
        return TN_E_CORRUPT;
    *ret_next = ptr;
    return TN_OK;
}

static void topk_from_final(const struct tn_agg_call *call, void *state,
                            const struct tn_column *col, uint32_t row)
{
    if (call->args_count == 1) {
        cells_from_final(call, state, col, row);
        return;
    }
    tni_cells_release(state);
    if (tn_column_is_null(col, row))
        return;
    const struct tn_column *items = &col->children[0];
    for (int32_t i = col->offsets[row]; i < col->offsets[row + 1]; i++)
        for (uint32_t c = 0; c < call->args_count; c++)
            tni_cell_set(tni_cells_add(state), &items->children[c], (uint32_t)i);
}

static const struct tn_agg topk_agg = {
    .name = "topk",
    .flags = TN_AGG_STREAM | TN_AGG_INVERTIBLE | TN_AGG_NULLS | TN_AGG_ROWS,
    .args_min = 1,
    .args_max = 4,
    .params_min = 1,
    .params_max = 1,
    .bind = topk_bind,
    .init = list_init,
    .update = topk_update,
    .merge = topk_merge,
    .final = topk_final,
    .encode = topk_encode,
    .decode = topk_decode,
    .from_final = topk_from_final,
    .release = cells_release,
    .bytes_extra = cells_bytes_extra,
    .help = "the k largest values, largest first; with more columns an array of structs",
};

static const struct tn_agg topkdistinct_agg = {
    .name = "topkdistinct",
    .flags = TN_AGG_STREAM | TN_AGG_INVERTIBLE | TN_AGG_NULLS,
    .args_min = 1,
    .args_max = 1,
    .params_min = 1,
    .params_max = 1,
    .bind = topk_bind,
    .init = list_init,
    .update = topkdistinct_update,
    .merge = topkdistinct_merge,
    .final = topk_final,
    .encode = topk_encode,
    .decode = topk_decode,
    .from_final = topk_from_final,
    .release = cells_release,
    .bytes_extra = cells_bytes_extra,
    .help = "the k largest distinct values, largest first",
};

/* ---- values with counts: HISTOGRAM, ATTR ---- */

struct tally_state {
    struct tni_cells cells; /* values in order of arrival */
    int64_t *counts;
    uint64_t counts_cap;
};

static uint32_t tally_find(const struct tn_type *type, const struct tally_state *tally,
                           const struct tni_cell *cell)
{
    for (uint32_t i = 0; i < tally->cells.count; i++)
        if (tni_cell_same(type, &tally->cells.items[i], cell))
            return i;
    return UINT32_MAX;
}

static void tally_add(const struct tn_agg_call *call, struct tally_state *tally,
                      const struct tni_cell *cell, int64_t count, uint32_t max)
{
    const struct tn_type *type = call->arg_types[0];
    uint32_t at = tally_find(type, tally, cell);
    if (at != UINT32_MAX) {
        tally->counts[at] += count;
        return;
    }
    if (tally->cells.count >= max)
        return;
    tni_cell_copy(type, tni_cells_add(&tally->cells), cell);
    if (tally->counts_cap < tally->cells.count) {
        tally->counts_cap = tally->cells.cap;
        tally->counts = tn_realloc(tally->counts, tally->counts_cap * sizeof *tally->counts);
    }
    tally->counts[tally->cells.count - 1] = count;
}

static uint32_t tally_max(const struct tn_agg_call *call)
{
    return call->type->kind == TN_K_MAP ? TNI_HISTOGRAM_MAX : TNI_COLLECT_MAX;
}

static void tally_update(const struct tn_agg_call *call, const struct tn_column *args,
                         const uint32_t *rows, uint32_t rows_count, void *const *states)
{
    uint32_t max = tally_max(call);
    for (uint32_t i = 0; i < rows_count; i++) {
        struct tni_cell cell = {0};
        tni_cell_set(&cell, &args[0], tni_row(rows, i));
        tally_add(call, states[i], &cell, 1, max);
        tni_cell_release(&cell);
    }
}

static void tally_retract(const struct tn_agg_call *call, const struct tn_column *args,
                          const uint32_t *rows, uint32_t rows_count, void *const *states)
{
    for (uint32_t i = 0; i < rows_count; i++) {
        struct tally_state *tally = states[i];
        struct tni_cell cell = {0};
        tni_cell_set(&cell, &args[0], tni_row(rows, i));
        uint32_t at = tally_find(call->arg_types[0], tally, &cell);
        tni_cell_release(&cell);
        if (at == UINT32_MAX || --tally->counts[at] > 0)
            continue;
        memmove(&tally->counts[at], &tally->counts[at + 1],
                (tally->cells.count - at - 1) * sizeof *tally->counts);
        tni_cells_remove(&tally->cells, at, 1);
    }
}

static void tally_merge(const struct tn_agg_call *call, void *to, const void *from)
{
    const struct tally_state *other = from;
    for (uint32_t i = 0; i < other->cells.count; i++)
        tally_add(call, to, &other->cells.items[i], other->counts[i], tally_max(call));
}

static void tally_encode(const struct tn_agg_call *call, const void *state, struct tn_buf *buf)
{
    const struct tally_state *tally = state;
    tni_cells_encode(call->arg_types[0], &tally->cells, buf);
    for (uint32_t i = 0; i < tally->cells.count; i++)
        tni_put_i64(buf, tally->counts[i]);
}

static enum tn_status tally_decode(const struct tn_agg_call *call, void *state, const char *ptr,
                                   const char *end, const char **ret_next)
{
    struct tally_state *tally = state;
    ptr = tni_cells_decode(call->arg_types[0], &tally->cells, ptr, end);
    if (!ptr)
        return TN_E_CORRUPT;
    tally->counts_cap = tally->cells.cap;
    tally->counts = tn_alloc_array(tally->counts_cap + 1, sizeof *tally->counts);
    for (uint32_t i = 0; i < tally->cells.count && ptr; i++)
        ptr = tni_get_i64(ptr, end, &tally->counts[i]);
    if (!ptr)
        return TN_E_CORRUPT;
    *ret_next = ptr;
    return TN_OK;
}

static void tally_release(const struct tn_agg_call *call, void *state)
{
    struct tally_state *tally = state;
    tni_cells_release(&tally->cells);
    tn_free(tally->counts);
    memset(state, 0, call->state_bytes);
}

static size_t tally_bytes_extra(const struct tn_agg_call *call, const void *state)
{
    (void)call;
    const struct tally_state *tally = state;
    return tni_cells_bytes(&tally->cells) + tally->counts_cap * sizeof *tally->counts;
}

static enum tn_status histogram_bind(struct tn_agg_call *call, struct tn_arena *arena,
                                     struct tn_err *err)
{
    if (call->arg_types[0]->kind != TN_K_VARCHAR)
        return tni_agg_bad_type(call, 0, "a STRING", err);
    call->type = tn_type_map(arena, call->arg_types[0], tn_type_of(TN_K_BIGINT));
    call->state_bytes = sizeof(struct tally_state);
    return TN_OK;
}

static void histogram_final(const struct tn_agg_call *call, void *const *states, uint32_t count,
                            struct tn_column *ret_col, struct tn_arena *arena)
{
    struct tn_colbuilder *builder = tn_colbuilder_new(call->type, arena);
    for (uint32_t i = 0; i < count; i++) {
        const struct tally_state *tally = states[i];
        struct tn_value value = {.type = call->type};
        value.list.count = 2 * tally->cells.count;
        value.list.items = TN_ARENA_ARRAY(arena, struct tn_value, value.list.count);
        for (uint32_t k = 0; k < tally->cells.count; k++) {
            value.list.items[2 * k] =
                tni_cell_value(call->arg_types[0], &tally->cells.items[k], arena);
            value.list.items[2 * k + 1] =
                (struct tn_value){.type = tn_type_of(TN_K_BIGINT), .i = tally->counts[k]};
        }
        tn_colbuilder_add(builder, &value);
    }
    tn_colbuilder_finish(builder, ret_col);
}

static void histogram_from_final(const struct tn_agg_call *call, void *state,
                                 const struct tn_column *col, uint32_t row)
{
    tally_release(call, state);
    if (tn_column_is_null(col, row))
        return;
    for (int32_t i = col->offsets[row]; i < col->offsets[row + 1]; i++) {
        struct tni_cell cell = {0};
        tni_cell_set(&cell, &col->children[0], (uint32_t)i);
        tally_add(call, state, &cell, tn_column_i64(&col->children[1], (uint32_t)i),
                  TNI_HISTOGRAM_MAX);
        tni_cell_release(&cell);
    }
}

static const struct tn_agg histogram_agg = {
    .name = "histogram",
    .flags = TN_AGG_STREAM | TN_AGG_RETRACT | TN_AGG_INVERTIBLE,
    .args_min = 1,
    .args_max = 1,
    .bind = histogram_bind,
    .init = list_init,
    .update = tally_update,
    .retract = tally_retract,
    .merge = tally_merge,
    .final = histogram_final,
    .encode = tally_encode,
    .decode = tally_decode,
    .from_final = histogram_from_final,
    .release = tally_release,
    .bytes_extra = tally_bytes_extra,
    .help = "map from each value to its count; at most 1,000 values",
};

static enum tn_status attr_bind(struct tn_agg_call *call, struct tn_arena *arena,
                                struct tn_err *err)
{
    (void)arena;
    (void)err;
    call->type = call->arg_types[0];
    call->state_bytes = sizeof(struct tally_state);
    return TN_OK;
}

static void attr_final(const struct tn_agg_call *call, void *const *states, uint32_t count,
                       struct tn_column *ret_col, struct tn_arena *arena)
{
    static struct tni_cell none;
    void **cells = TN_ARENA_ARRAY(arena, void *, count);
    for (uint32_t i = 0; i < count; i++) {
        const struct tally_state *tally = states[i];
        cells[i] = tally->cells.count == 1 ? &tally->cells.items[0] : &none;
    }
    tni_cells_column(call->type, cells, 0, count, ret_col, arena);
}

static const struct tn_agg attr_agg = {
    .name = "attr",
    .flags = TN_AGG_STREAM | TN_AGG_RETRACT | TN_AGG_NULLS,
    .args_min = 1,
    .args_max = 1,
    .bind = attr_bind,
    .init = list_init,
    .update = tally_update,
    .retract = tally_retract,
    .merge = tally_merge,
    .final = attr_final,
    .encode = tally_encode,
    .decode = tally_decode,
    .release = tally_release,
    .bytes_extra = tally_bytes_extra,
    .help = "the value when all rows agree, else NULL",
};

const struct tn_agg *const tni_aggs_list[] = {
    &collect_list_agg, &collect_set_agg, &topk_agg,      &topkdistinct_agg,
    &histogram_agg,    &attr_agg,        &array_agg_agg, NULL};
