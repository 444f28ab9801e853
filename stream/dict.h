/* Dictionaries of text columns with few values, shared by the queries that read one block.
 *
 * A hundred queries over a stream look at the same texts of the same rows. A source that several
 * inputs follow hangs a dictionary, empty at first, on each text column of a block; the second
 * reader that asks for it has it made: one byte per row, one text per value. From then on grouping
 * is an index instead of a hash look-up, and comparing with a constant is done once per value.
 *
 *   offsets, data ──► codes[row] = 0 3 0 1 …    values[code] = "v7" "v1" …
 *
 * A dictionary belongs to the buffers it was hung on: copies of the column struct share it, a
 * gathered or cut column has none. Bytes of NULL rows get codes, too; who asks looks at validity.
 *
 * Ownership: in the arena of the block; dies with it. @thread owner of the block
 */
#ifndef TN_STREAM_DICT_H
#define TN_STREAM_DICT_H

#include "stream/batch.h"

#define TN_DICT_VALUES_MAX 256u
#define TN_DICT_ROWS_MIN   256u /* shorter columns are not worth it */

struct tn_dict {
    const uint8_t *codes; /* by row; NULL = not made (yet) */
    struct tn_str *values;
    uint32_t values_count;
    uint32_t asked;  /* how often, before it was made */
    bool is_refused; /* too many values */
    uint32_t rows_count;
    const int32_t *offsets; /* whose dictionary this is */
    struct tn_arena *arena;
};

/* Hangs an empty dictionary on each VARCHAR, BYTES or JSON column that is there. */
void tn_dict_offer(struct tn_column *columns, uint32_t columns_count, struct tn_arena *arena);
/* The dictionary of all rows of the column; NULL when there is none. */
const struct tn_dict *tn_column_dict(const struct tn_column *col);

#endif
