/* JSON format: folder-private parts of decoder and encoder. */
#ifndef TN_CONNECTORS_FORMAT_JSON_H
#define TN_CONNECTORS_FORMAT_JSON_H

#include "connectors/column_writer.h"
#include "connectors/json_scan.h"
#include "connectors/json_shape.h"
#include "stream/format.h"

#define TNI_JSON_SLOTS_MAX 2048

/* Member name → column: open addressing by a hash of length, first and last letter (case folded),
 * so that exact and case-blind look-ups share one probe. */
struct tni_json_names {
    uint32_t mask;
    int16_t *slots; /* column index, −1 = empty */
};

struct tni_json_codec {
    struct tn_codec base;
    struct tn_arena arena;
    struct tn_schema schema;
    bool *needed;
    bool is_bare, is_case_exact, is_lenient;
    uint32_t depth_max;
    struct tni_json_names names;
    /* decoder scratch */
    struct tni_cw *writers;       /* per column */
    int64_t *exact_row;           /* last row in which the exact spelling was met */
    struct tni_json_shape *shape; /* NULL = none yet */
    uint32_t shape_pause;         /* objects that still go the general way */
    uint32_t shape_penalty;       /* length of the last such pause; halved by each hit */
    /* encoder: `{"count":`, `,"songName":` */
    struct tn_str *prefixes;
};

void tni_json_decode(struct tn_codec *base, const struct tn_str *inputs, uint32_t rows_count,
                     struct tn_arena *arena, struct tn_decoded *ret_decoded);
/* Column that reads members of this name (without escapes), −1 = none; *ret_match as 1 = without
 * case, 2 = exactly. */
int tni_json_column(const struct tni_json_codec *codec, struct tn_str name, int *ret_match);
/* Decode the object at json->p into `row`, by the learned shape or in general. is_line: the object
 * ends before the first newline, and what is behind its line may lie before json->end. NULL, or
 * what is wrong (see tni_json_decode); then, and only then, parts of the row may be written. */
const char *tni_json_decode_object(struct tni_json_codec *codec, struct tn_json *json, uint32_t row,
                                   bool is_line, int *ret_col);
void tni_json_encode(struct tn_codec *base, const struct tn_column *columns, uint32_t rows_count,
                     const uint8_t *null_rows, struct tn_buf *buf, size_t *ret_ends);
/* One cell as canonical JSON text (`null` for NULL). */
void tni_json_encode_cell(const struct tn_column *col, uint32_t row, struct tn_buf *buf);
/* Parse the value at json->p as `type` into *ret_value (nested in arena). NULL, or what did not
 * fit. A grammar error leaves json->reason set. */
const char *tni_json_read_value(struct tn_json *json, const struct tn_type *type,
                                bool is_case_exact, struct tn_arena *arena,
                                struct tn_value *ret_value);

static inline uint32_t tni_json_name_hash(struct tn_str name)
{
    if (name.len == 0)
        return 0;
    uint32_t first = (unsigned char)name.ptr[0] | 32u;
    uint32_t last = (unsigned char)name.ptr[name.len - 1] | 32u;
    uint32_t mid = (unsigned char)name.ptr[name.len / 2] | 32u;
    return (uint32_t)name.len * 0x9E3779B1u ^ first * 0x85EBCA6Bu ^ last * 0xC2B2AE35u ^
           mid * 0x27D4EB2Fu;
}

#endif
