/* One decode of a batch: the writers of the needed columns, null rows and bad rows. Shared by all
 * formats. Ownership: everything in the arena given to begin. @thread one */
#ifndef TN_CONNECTORS_DECODE_RUN_H
#define TN_CONNECTORS_DECODE_RUN_H

#include "connectors/column_writer.h"
#include "stream/format.h"

struct tni_decode_run {
    const struct tn_schema *schema;
    const bool *needed;
    struct tni_cw *writers;
    struct tn_arena *arena;
    struct tn_decoded *out;
    uint32_t rows_count, bad_cap;
};

void tni_decode_begin(struct tni_decode_run *run, const struct tn_schema *schema,
                      const bool *needed, struct tni_cw *writers, uint32_t rows_count,
                      struct tn_arena *arena, struct tn_decoded *ret_decoded);
/* The row is undecodable: take back its writes and note why. field.ptr NULL = the record's form. */
void tni_decode_bad(struct tni_decode_run *run, uint32_t row, int64_t position, const char *reason,
                    struct tn_str field);
/* The row's input is null. */
void tni_decode_null(struct tni_decode_run *run, uint32_t row);
void tni_decode_finish(struct tni_decode_run *run);

#endif
