/* Building blocks of functions over lists: results from item numbers, sets of cells, order of
 * cells. */
#include <math.h>
#include <stdlib.h>

#include "stream/base/hash.h"
#include "stream/func_int.h"
#include "stream/func_nested.h"

void tni_list_open(struct tni_list *list, struct tn_call *call, uint32_t items_hint)
{
    uint32_t cap = items_hint < 16 ? 16 : items_hint;
    *list = (struct tni_list){.call = call, .cap = cap};
    list->offsets = TN_ARENA_ARRAY(call->arena, int32_t, call->rows_count + 1);
    list->items = tn_arena_alloc(call->arena, cap * sizeof *list->items);
}

void tni_list_add(struct tni_list *list, uint32_t item)
{
    if (list->count == list->cap) {
        TN_ASSERT(list->cap <= INT32_MAX / 2);
        uint32_t *items = tn_arena_alloc(list->call->arena, (size_t)list->cap * 2 * sizeof *items);
        memcpy(items, list->items, list->count * sizeof *items);
        list->items = items;
        list->cap *= 2;
    }
    list->items[list->count++] = item;
}

void tni_list_end(struct tni_list *list)
{
    if (tn_arena_over(list->call->arena)) /* the evaluation fails: hold no more items */
        list->count = (uint32_t)list->offsets[list->rows_count];
    list->offsets[++list->rows_count] = (int32_t)list->count;
}

void tni_list_close(struct tni_list *list, const struct tn_column *from)
{
    struct tn_call *call = list->call;
    struct tn_column *col = &call->out->col, *child = TN_ARENA_NEW(call->arena, struct tn_column);
    TN_ASSERT(list->rows_count == call->rows_count);
    tni_gather_or_null(from, list->items, list->count, child, call->arena);
    child->type = call->type->children[0].type;
    uint8_t *validity = col->validity;
    *col = (struct tn_column){.type = call->type,
                              .rows_count = call->rows_count,
                              .validity = validity,
                              .offsets = list->offsets,
                              .children = child};
}

void tni_column_append(const struct tn_column *const *cols, uint32_t count,
                       struct tn_column *ret_col, struct tn_arena *arena)
{
    TN_ASSERT(count > 0);
    struct tn_colbuilder *builder = tn_colbuilder_new(cols[0]->type, arena);
    for (uint32_t k = 0; k < count; k++) {
        for (uint32_t row = 0; row < cols[k]->rows_count; row++) {
            struct tn_value value = tn_column_value(cols[k], row, arena);
            tn_colbuilder_add(builder, &value);
        }
    }
    tn_colbuilder_finish(builder, ret_col);
}

/* ---- sets ---- */

static uint64_t cell_hash(const struct tn_column *col, uint32_t cell)
{
    if (tn_column_is_null(col, cell))
        return 0x51ED270B;
    enum tn_kind kind = col->type->kind;
    size_t width = tn_kind_width(kind);
    if (kind == TN_K_DOUBLE) {
        double x = tn_column_f64(col, cell);
        x = isnan(x) ? (double)NAN : x == 0 ? 0 : x;
        return tn_hash64(&x, sizeof x);
    }
    if (width)
        return tn_hash64((const uint8_t *)col->values + cell * width, width);
    if (tn_kind_is_varlen(kind)) {
        struct tn_str text = tn_column_str(col, cell);
        return tn_hash64(text.ptr, text.len);
    }
    if (kind == TN_K_BOOLEAN)
        return tn_column_bool(col, cell);
    if (!tn_kind_is_nested(kind))
        return 0;
    bool is_struct = kind == TN_K_STRUCT;
    uint32_t from = is_struct ? cell : (uint32_t)col->offsets[cell];
    uint32_t end = is_struct ? cell + 1 : (uint32_t)col->offsets[cell + 1];
    uint64_t hash = end - from;
    for (uint32_t i = from; i < end; i++)
        for (uint32_t k = 0; k < col->type->children_count; k++)
            hash = tn_mix64(hash, cell_hash(&col->children[k], i));
    return hash;
}

void tni_item_set_open(struct tni_item_set *set, const struct tn_column *col, uint32_t cells_max,
                       struct tn_arena *arena)
{
    uint32_t slots = 16;
    while (slots < cells_max * 2)
        slots *= 2;
    *set = (struct tni_item_set){
        .col = col, .mask = slots - 1, .slots = TN_ARENA_ARRAY(arena, uint32_t, slots)};
}

/* Slot of an equal cell, or the empty one where it would go. */
static uint32_t find_slot(const struct tni_item_set *set, const struct tn_column *col,
                          uint32_t cell)
{
    uint32_t slot = (uint32_t)cell_hash(col, cell) & set->mask;
    while (set->slots[slot] && !tn_column_same(set->col, set->slots[slot] - 1, col, cell))
        slot = (slot + 1) & set->mask;
    return slot;
}

bool tni_item_set_add(struct tni_item_set *set, uint32_t cell)
{
    uint32_t slot = find_slot(set, set->col, cell);
    if (set->slots[slot])
        return false;
    set->slots[slot] = cell + 1;
    return true;
}

bool tni_item_set_has(const struct tni_item_set *set, const struct tn_column *col, uint32_t cell)
{
    return set->slots[find_slot(set, col, cell)] != 0;
}

/* ---- order ---- */

#define ORDER(A, B) (((A) > (B)) - ((A) < (B)))

int tni_item_cmp(const struct tn_column *a, uint32_t cell_a, const struct tn_column *b,
                 uint32_t cell_b, struct tn_arena *arena)
{
    switch (a->type->kind) {
    case TN_K_INTEGER:
    case TN_K_DATE: return ORDER(tn_column_i32(a, cell_a), tn_column_i32(b, cell_b));
    case TN_K_VARCHAR:
    case TN_K_BYTES:
    case TN_K_JSON: return tn_str_cmp(tn_column_str(a, cell_a), tn_column_str(b, cell_b));
    case TN_K_BIGINT:
    case TN_K_TIME:
    case TN_K_TIMESTAMP:
    case TN_K_TIMESTAMP_TZ: return ORDER(tn_column_i64(a, cell_a), tn_column_i64(b, cell_b));
    default: {
        struct tn_value x = tn_column_value(a, cell_a, arena);
        struct tn_value y = tn_column_value(b, cell_b, arena);
        return tn_value_cmp(&x, &y);
    }
    }
}

bool tni_item_beats(const struct tn_call *call, const struct tn_column *a, uint32_t cell_a,
                    const struct tn_column *b, uint32_t cell_b, int wanted)
{
    if (a->type->kind == TN_K_DOUBLE && tni_call_rules(call) == TN_RULES_QUERY) {
        double x = tn_column_f64(a, cell_a), y = tn_column_f64(b, cell_b);
        if (isnan(x) || isnan(y))
            return isnan(y) && !isnan(x);
    }
    return tni_item_cmp(a, cell_a, b, cell_b, call->arena) * wanted > 0;
}
