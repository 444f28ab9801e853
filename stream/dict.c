/* Dictionaries of text columns: see dict.h.
 *
 * Making one stops at the first value too many, so a column of many values costs a few hundred rows
 * a block. @thread owner of the block */
#include "stream/dict.h"

#include "stream/base/hash.h"
#include "stream/base/mem.h"

#define SLOTS 1024u /* four times the values */

/* Codes by hash; 0 = free, else code + 1. */
struct lookup {
    uint16_t slots[SLOTS];
    uint32_t hashes[TN_DICT_VALUES_MAX];
};

/* Code of the text; TN_DICT_VALUES_MAX when it is one value too many. */
static inline uint32_t code_of(struct tn_dict *dict, struct lookup *lookup, struct tn_str text)
{
    uint32_t hash = (uint32_t)tn_hash_text(text), at = hash & (SLOTS - 1);
    for (; lookup->slots[at]; at = (at + 1) & (SLOTS - 1)) {
        uint32_t code = lookup->slots[at] - 1u;
        if (lookup->hashes[code] == hash && tn_str_eq(dict->values[code], text))
            return code;
    }
    uint32_t code = dict->values_count;
    if (code == TN_DICT_VALUES_MAX)
        return code;
    lookup->slots[at] = (uint16_t)(code + 1);
    lookup->hashes[code] = hash;
    dict->values[code] = text;
    dict->values_count++;
    return code;
}

static void make(struct tn_dict *dict, const struct tn_column *col)
{
    struct lookup lookup = {0};
    uint8_t *codes = tn_arena_alloc(dict->arena, col->rows_count);
    dict->values = tn_arena_alloc(dict->arena, TN_DICT_VALUES_MAX * sizeof *dict->values);
    for (uint32_t row = 0; row < col->rows_count; row++) {
        uint32_t code = code_of(dict, &lookup, tn_column_str(col, row));
        if (code == TN_DICT_VALUES_MAX) {
            dict->is_refused = true;
            return;
        }
        codes[row] = (uint8_t)code;
    }
    dict->codes = codes;
}

void tn_dict_offer(struct tn_column *columns, uint32_t columns_count, struct tn_arena *arena)
{
    for (uint32_t i = 0; i < columns_count; i++) {
        struct tn_column *col = &columns[i];
        if (col->is_absent || !tn_kind_is_varlen(col->type->kind) ||
            col->rows_count < TN_DICT_ROWS_MIN)
            continue;
        col->dict = TN_ARENA_NEW(arena, struct tn_dict);
        *col->dict = (struct tn_dict){
            .rows_count = col->rows_count, .offsets = col->offsets, .arena = arena};
    }
}

const struct tn_dict *tn_column_dict(const struct tn_column *col)
{
    struct tn_dict *dict = col->dict;
    if (!dict || dict->is_refused || dict->offsets != col->offsets ||
        dict->rows_count != col->rows_count)
        return NULL;
    if (!dict->codes && dict->asked++ > 0)
        make(dict, col);
    return dict->codes ? dict : NULL;
}
