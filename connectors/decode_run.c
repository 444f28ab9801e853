/* Bookkeeping of one decode: see decode_run.h. */
#include "connectors/decode_run.h"

void tni_decode_begin(struct tni_decode_run *run, const struct tn_schema *schema,
                      const bool *needed, struct tni_cw *writers, uint32_t rows_count,
                      struct tn_arena *arena, struct tn_decoded *ret_decoded)
{
    *run = (struct tni_decode_run){.schema = schema,
                                   .needed = needed,
                                   .writers = writers,
                                   .arena = arena,
                                   .out = ret_decoded,
                                   .rows_count = rows_count};
    *ret_decoded = (struct tn_decoded){
        .columns = TN_ARENA_ARRAY(arena, struct tn_column, schema->fields_count)};
    for (uint32_t c = 0; c < schema->fields_count; c++)
        if (needed[c])
            tni_cw_begin(&writers[c], schema->fields[c].type, rows_count, arena);
}

static void undo_row(struct tni_decode_run *run, uint32_t row)
{
    for (uint32_t c = 0; c < run->schema->fields_count; c++)
        if (run->needed[c])
            tni_cw_undo(&run->writers[c], row);
}

static void set_bit_in(struct tni_decode_run *run, uint8_t **bits, uint32_t row)
{
    if (!*bits)
        *bits = tn_arena_zalloc(run->arena, 1, tn_bits_bytes(run->rows_count));
    tn_bit_set(*bits, row);
}

void tni_decode_bad(struct tni_decode_run *run, uint32_t row, int64_t position, const char *reason,
                    struct tn_str field)
{
    struct tn_decoded *out = run->out;
    undo_row(run, row);
    if (out->bad_count == run->bad_cap) {
        uint32_t cap = run->bad_cap ? run->bad_cap * 2 : 16;
        struct tn_bad_row *grown = TN_ARENA_ARRAY(run->arena, struct tn_bad_row, cap);
        if (out->bad_count)
            memcpy(grown, out->bad, out->bad_count * sizeof *grown);
        out->bad = grown;
        run->bad_cap = cap;
    }
    out->bad[out->bad_count++] =
        (struct tn_bad_row){.row = row,
                            .position = position > INT32_MAX ? -1 : (int32_t)position,
                            .reason = reason,
                            .field = field};
    set_bit_in(run, &out->bad_rows, row);
}

void tni_decode_null(struct tni_decode_run *run, uint32_t row)
{
    undo_row(run, row);
    set_bit_in(run, &run->out->null_rows, row);
}

void tni_decode_finish(struct tni_decode_run *run)
{
    for (uint32_t c = 0; c < run->schema->fields_count; c++) {
        struct tn_column *col = &run->out->columns[c];
        if (run->needed[c])
            tni_cw_finish(&run->writers[c], col);
        else
            *col = (struct tn_column){.type = run->schema->fields[c].type,
                                      .rows_count = run->rows_count,
                                      .is_absent = true};
    }
}
