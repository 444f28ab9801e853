/* Table scans between processes. Contract: stream/scan_wire.h.
 *
 * batch:  varint rows, byte 1 + rows × be64 event time (or byte 0), per row varint length + values
 * filter: byte 0, or byte 1, varint keys + their values, flags, low, high, be64 window bounds
 */
#include "stream/scan_wire.h"

#include "stream/base/hash.h"
#include "stream/rowcode.h"

#define KEYS_MAX 100000u
#define ROWS_MAX (1u << 20)

uint64_t tn_scan_wire_fingerprint(const struct tn_schema *schema)
{
    struct tn_buf text;
    tn_buf_init(&text, (size_t)16 << 20);
    for (uint32_t i = 0; i < schema->fields_count; i++) {
        tn_buf_add_str(&text, schema->fields[i].name);
        tn_buf_add_byte(&text, '\n');
        tn_type_print_ksql(schema->fields[i].type, &text);
        tn_buf_add_byte(&text, '\n');
    }
    uint64_t hash = tn_hash64(tn_buf_str(&text).ptr, text.len);
    tn_buf_release(&text);
    return hash;
}

static enum tn_status corrupt(struct tn_err *err)
{
    return tn_err_set(err, TN_E_CORRUPT, "rows from another process cannot be read");
}

/* ---- rows ---- */

void tn_scan_wire_add(struct tn_buf *buf, const struct tn_batch *batch, const bool *needed)
{
    struct tn_buf row;
    uint32_t count = 0;
    struct tn_arena arena;
    tn_arena_init(&arena, 0);
    struct tn_column *cols =
        TN_ARENA_ARRAY(&arena, struct tn_column, batch->schema->fields_count + 1);
    for (uint32_t c = 0; c < batch->schema->fields_count; c++)
        if (!needed || needed[c])
            cols[count++] = batch->columns[c];
    tn_buf_init(&row, (size_t)256 << 20);
    tn_buf_add_varint(buf, batch->rows_count);
    tn_buf_add_byte(buf, batch->rowtime_ms ? 1 : 0);
    for (uint32_t i = 0; batch->rowtime_ms && i < batch->rows_count; i++)
        tn_buf_add_be64(buf, (uint64_t)batch->rowtime_ms[i]);
    for (uint32_t i = 0; i < batch->rows_count; i++) {
        tn_buf_reset(&row);
        tni_rowcode_add(&row, cols, count, i);
        tn_buf_add_slice(buf, tn_buf_str(&row));
    }
    tn_buf_release(&row);
    tn_arena_release(&arena);
}

static enum tn_status read_rows(const char **at, const char *end, uint32_t count,
                                struct tn_str *rows, struct tn_err *err)
{
    const char *ptr = *at;
    for (uint32_t i = 0; i < count; i++)
        ptr = tn_slice_read(ptr, end, &rows[i]);
    if (!ptr)
        return corrupt(err);
    *at = ptr;
    return TN_OK;
}

static enum tn_status read_times(const char **at, const char *end, struct tn_batch *batch,
                                 struct tn_err *err)
{
    if (*at == end)
        return corrupt(err);
    if (*(*at)++ == 0)
        return TN_OK;
    if ((uint64_t)(end - *at) / 8 < batch->rows_count)
        return corrupt(err);
    batch->rowtime_ms = TN_ARENA_ARRAY(batch->arena, int64_t, batch->rows_count + 1);
    for (uint32_t i = 0; i < batch->rows_count; i++, *at += 8)
        batch->rowtime_ms[i] = (int64_t)tn_be64(*at);
    return TN_OK;
}

enum tn_status tn_scan_wire_read(const char **at, const char *end, const struct tn_schema *schema,
                                 const bool *needed, struct tn_arena *arena,
                                 struct tn_batch **ret_batch, struct tn_err *err)
{
    uint64_t count = 0;
    const char *ptr = tn_varint_read(*at, end, &count);
    if (!ptr || count > (uint64_t)(end - ptr) || count > ROWS_MAX)
        return corrupt(err);
    *at = ptr;
    struct tn_batch *batch = tn_batch_new(schema, (uint32_t)count, arena);
    TN_TRY(read_times(at, end, batch, err));
    struct tn_str *rows = TN_ARENA_ARRAY(arena, struct tn_str, count + 1);
    TN_TRY(read_rows(at, end, (uint32_t)count, rows, err));
    const struct tn_type **types =
        TN_ARENA_ARRAY(arena, const struct tn_type *, schema->fields_count + 1);
    struct tn_column *cols = TN_ARENA_ARRAY(arena, struct tn_column, schema->fields_count + 1);
    uint32_t sent = 0;
    for (uint32_t c = 0; c < schema->fields_count; c++)
        if (!needed || needed[c])
            types[sent++] = schema->fields[c].type;
    TN_TRY(tni_rowcode_columns(types, sent, rows, (uint32_t)count, NULL, arena, cols, err));
    sent = 0;
    for (uint32_t c = 0; c < schema->fields_count; c++)
        if (!needed || needed[c])
            batch->columns[c] = cols[sent++];
        else
            batch->columns[c] = (struct tn_column){
                .type = schema->fields[c].type, .rows_count = (uint32_t)count, .is_absent = true};
    *ret_batch = batch;
    return TN_OK;
}

/* ---- filters ---- */

static bool is_sendable(const struct tn_key_filter *filter, const struct tn_schema *schema,
                        uint32_t keys_count)
{
    if (keys_count > schema->fields_count || filter->keys_count > KEYS_MAX)
        return false;
    for (uint32_t i = 0; i < filter->keys_count; i++)
        for (uint32_t k = 0; k < keys_count; k++)
            if (!tn_type_eq(filter->keys[i][k].type, schema->fields[k].type))
                return false;
    return (!filter->low || tn_type_eq(filter->low->type, schema->fields[0].type)) &&
           (!filter->high || tn_type_eq(filter->high->type, schema->fields[0].type));
}

void tn_scan_wire_add_filter(struct tn_buf *buf, const struct tn_key_filter *filter,
                             const struct tn_schema *schema, uint32_t keys_count)
{
    if (!filter || !is_sendable(filter, schema, keys_count)) {
        tn_buf_add_byte(buf, 0);
        return;
    }
    tn_buf_add_byte(buf, 1);
    tn_buf_add_varint(buf, filter->keys_count);
    for (uint32_t i = 0; i < filter->keys_count; i++)
        for (uint32_t k = 0; k < keys_count; k++)
            tni_rowcode_add_value(buf, schema->fields[k].type, &filter->keys[i][k]);
    tn_buf_add_byte(buf,
                    (char)((filter->low ? 1 : 0) | (filter->high ? 2 : 0) |
                           (filter->is_low_strict ? 4 : 0) | (filter->is_high_strict ? 8 : 0)));
    if (filter->low)
        tni_rowcode_add_value(buf, schema->fields[0].type, filter->low);
    if (filter->high)
        tni_rowcode_add_value(buf, schema->fields[0].type, filter->high);
    tn_buf_add_be64(buf, (uint64_t)filter->window_from_ms);
    tn_buf_add_be64(buf, (uint64_t)filter->window_to_ms);
}

static bool read_value(const char **at, const char *end, const struct tn_type *type,
                       struct tn_arena *arena, struct tn_value *ret_value)
{
    ret_value->type = type;
    const char *next = tni_rowcode_value(type, *at, end, arena, ret_value);
    if (!next)
        return false;
    ret_value->type = type;
    *at = next;
    return true;
}

static bool read_keys(const char **at, const char *end, const struct tn_schema *schema,
                      uint32_t keys_count, struct tn_arena *arena, struct tn_key_filter *filter)
{
    uint64_t count = 0;
    const char *ptr = tn_varint_read(*at, end, &count);
    if (!ptr || count > KEYS_MAX || keys_count > schema->fields_count)
        return false;
    *at = ptr;
    const struct tn_value **keys = TN_ARENA_ARRAY(arena, const struct tn_value *, count + 1);
    for (uint64_t i = 0; i < count; i++) {
        struct tn_value *values = TN_ARENA_ARRAY(arena, struct tn_value, keys_count + 1);
        for (uint32_t k = 0; k < keys_count; k++)
            if (!read_value(at, end, schema->fields[k].type, arena, &values[k]))
                return false;
        keys[i] = values;
    }
    filter->keys_count = (uint32_t)count;
    filter->keys = keys;
    return true;
}

enum tn_status tn_scan_wire_read_filter(const char **at, const char *end,
                                        const struct tn_schema *schema, uint32_t keys_count,
                                        struct tn_arena *arena, struct tn_key_filter **ret_filter,
                                        struct tn_err *err)
{
    if (*at == end)
        return corrupt(err);
    if (*(*at)++ == 0) {
        *ret_filter = NULL;
        return TN_OK;
    }
    struct tn_key_filter *filter = TN_ARENA_NEW(arena, struct tn_key_filter);
    if (!read_keys(at, end, schema, keys_count, arena, filter) || *at == end)
        return corrupt(err);
    unsigned flags = (unsigned char)*(*at)++;
    struct tn_value *bounds = TN_ARENA_ARRAY(arena, struct tn_value, 2);
    if (((flags & 1) && !read_value(at, end, schema->fields[0].type, arena, &bounds[0])) ||
        ((flags & 2) && !read_value(at, end, schema->fields[0].type, arena, &bounds[1])) ||
        end - *at < 16)
        return corrupt(err);
    filter->low = flags & 1 ? &bounds[0] : NULL;
    filter->high = flags & 2 ? &bounds[1] : NULL;
    filter->is_low_strict = (flags & 4) != 0;
    filter->is_high_strict = (flags & 8) != 0;
    filter->window_from_ms = (int64_t)tn_be64(*at);
    filter->window_to_ms = (int64_t)tn_be64(*at + 8);
    *at += 16;
    *ret_filter = filter;
    return TN_OK;
}
