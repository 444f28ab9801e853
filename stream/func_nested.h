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

#endif
