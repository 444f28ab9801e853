/* Helpers for functions over lists and maps, private to stream/func_*.c. @thread the running one */
#ifndef TN_STREAM_FUNC_NESTED_H
#define TN_STREAM_FUNC_NESTED_H

#include "stream/func.h"

#define TNI_NO_ITEM UINT32_MAX

/* out[i] = in[rows[i]], NULL where rows[i] is TNI_NO_ITEM. rows is changed. */
void tni_gather_or_null(const struct tn_column *in, uint32_t *rows, uint32_t count,
                        struct tn_column *out, struct tn_arena *arena);
/* The same as the result of the call; NULLs and failures of its rows are kept. */
void tni_give_items(struct tn_call *call, const struct tn_column *items, uint32_t *rows);
/* Entry of a map row by key; the last one when it stands there twice. TNI_NO_ITEM when there is
 * none. */
uint32_t tni_map_find(const struct tn_column *map, uint32_t row, const struct tn_column *key,
                      uint32_t key_row);

/* Lists as the result of a call, made row by row from items of one column: open, add items and end
 * each row, close. */
struct tni_list {
    struct tn_call *call;
    int32_t *offsets;
    uint32_t *items; /* rows of the column the items come from */
    uint32_t count, cap, rows_count;
};
void tni_list_open(struct tni_list *list, struct tn_call *call, uint32_t items_hint);
void tni_list_add(struct tni_list *list, uint32_t item);
void tni_list_end(struct tni_list *list);
/* Gather the items from `from` (TNI_NO_ITEM = NULL item); the result is an ARRAY. NULLs of the
 * call's rows are kept. */
void tni_list_close(struct tni_list *list, const struct tn_column *from);

/* Columns one behind the other, all of one type. */
void tni_column_append(const struct tn_column *const *cols, uint32_t count,
                       struct tn_column *ret_col, struct tn_arena *arena);

/* Set of cells of one column by value; NULL is a value. */
struct tni_item_set {
    const struct tn_column *col;
    uint32_t mask;
    uint32_t *slots; /* cell + 1, 0 = empty */
};
void tni_item_set_open(struct tni_item_set *set, const struct tn_column *col, uint32_t cells_max,
                       struct tn_arena *arena);
/* True when the cell was not in the set yet. */
bool tni_item_set_add(struct tni_item_set *set, uint32_t cell);
bool tni_item_set_has(const struct tni_item_set *set, const struct tn_column *col, uint32_t cell);

/* Order of two cells that are not NULL. */
int tni_item_cmp(const struct tn_column *a, uint32_t cell_a, const struct tn_column *b,
                 uint32_t cell_b, struct tn_arena *arena);
/* a is larger (wanted 1) or smaller (wanted -1) than b; under query rules NaN never beats a number.
 */
bool tni_item_beats(const struct tn_call *call, const struct tn_column *a, uint32_t cell_a,
                    const struct tn_column *b, uint32_t cell_b, int wanted);

#endif
