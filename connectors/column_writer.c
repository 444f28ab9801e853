/* Column buffers for decoders: see column_writer.h. */
#include "connectors/column_writer.h"

void tni_cw_begin(struct tni_cw *cw, const struct tn_type *type, uint32_t rows_count,
                  struct tn_arena *arena)
{
    *cw = (struct tni_cw){
        .type = type, .kind = type->kind, .rows_count = rows_count, .row_set = -1, .arena = arena};
    cw->validity = tn_arena_zalloc(arena, 1, tn_bits_bytes(rows_count));
    if (tn_kind_is_varlen(type->kind)) {
        cw->offsets = tn_arena_alloc(arena, (rows_count + 1) * sizeof *cw->offsets);
        cw->offsets[0] = 0;
        cw->data_cap = (size_t)rows_count * 16 + 64;
        cw->data = tn_arena_alloc(arena, cw->data_cap);
    } else if (tn_kind_is_nested(type->kind)) {
        cw->nested = tn_arena_zalloc(arena, rows_count, sizeof *cw->nested);
    } else if (type->kind == TN_K_BOOLEAN) {
        cw->values = tn_arena_zalloc(arena, 1, tn_bits_bytes(rows_count));
    } else {
        cw->values = tn_arena_zalloc(arena, rows_count, tn_kind_width(type->kind));
    }
}

void tni_cw_grow(struct tni_cw *cw, size_t extra)
{
    size_t cap = cw->data_cap * 2;
    while (cap - cw->data_len < extra)
        cap *= 2;
    char *data = tn_arena_alloc(cw->arena, cap);
    memcpy(data, cw->data, cw->data_len);
    cw->data = data;
    cw->data_cap = cap;
}

static void finish_nested(struct tni_cw *cw, struct tn_column *ret_col)
{
    struct tn_colbuilder *builder = tn_colbuilder_new(cw->type, cw->arena);
    for (uint32_t row = 0; row < cw->rows_count; row++) {
        if (tn_bit_get(cw->validity, row))
            tn_colbuilder_add(builder, &cw->nested[row]);
        else
            tn_colbuilder_add_null(builder);
    }
    tn_colbuilder_finish(builder, ret_col);
}

void tni_cw_finish(struct tni_cw *cw, struct tn_column *ret_col)
{
    if (cw->nested) {
        finish_nested(cw, ret_col);
        return;
    }
    *ret_col = (struct tn_column){.type = cw->type,
                                  .rows_count = cw->rows_count,
                                  .validity = cw->set_count == cw->rows_count ? NULL : cw->validity,
                                  .values = cw->values,
                                  .offsets = cw->offsets,
                                  .data = (uint8_t *)cw->data};
}
