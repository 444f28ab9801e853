/* Rows of a table for verify, as (key, value) pairs of text or of the result topic's bytes. Both
 * sides of a comparison are sorted by key and merged. @thread the caller's
 */
#include <stdlib.h>

#include "sql/verify_int.h"
#include "sql/writers.h"
#include "stream/base/mem.h"
#include "stream/fold.h"

#define READ_BYTES ((size_t)4 << 20)

void tni_vrows_init(struct tni_vrows *rows)
{
    *rows = (struct tni_vrows){0};
    tn_arena_init(&rows->arena, 0);
}

void tni_vrows_release(struct tni_vrows *rows)
{
    tn_free(rows->items);
    tn_arena_release(&rows->arena);
}

void tni_vrows_add(struct tni_vrows *rows, struct tn_str key, struct tn_str value)
{
    if (rows->count == rows->cap) {
        rows->cap = rows->cap ? rows->cap * 2 : 1024;
        rows->items = tn_realloc(rows->items, rows->cap * sizeof *rows->items);
    }
    rows->items[rows->count] = (struct tni_vrow){
        tn_arena_str(&rows->arena, key),
        value.ptr ? tn_arena_str(&rows->arena, value) : (struct tn_str){NULL, 0}, rows->count};
    rows->count++;
}

static int row_cmp(const void *a, const void *b)
{
    const struct tni_vrow *x = a, *y = b;
    int c = tn_str_cmp(x->key, y->key);
    return c ? c : (x->order > y->order) - (x->order < y->order);
}

static int pair_cmp(const void *a, const void *b)
{
    const struct tni_vrow *x = a, *y = b;
    int c = tn_str_cmp(x->key, y->key);
    return c ? c : tn_str_cmp(x->value, y->value);
}

void tni_vrows_sort(struct tni_vrows *rows)
{
    if (rows->count)
        qsort(rows->items, rows->count, sizeof *rows->items, pair_cmp);
}

void tni_vrows_fold(struct tni_vrows *rows)
{
    size_t kept = 0;
    if (rows->count == 0)
        return;
    qsort(rows->items, rows->count, sizeof *rows->items, row_cmp);
    for (size_t i = 0; i < rows->count; i++) {
        bool is_last =
            i + 1 == rows->count || !tn_str_eq(rows->items[i].key, rows->items[i + 1].key);
        if (is_last && rows->items[i].value.ptr)
            rows->items[kept++] = rows->items[i];
    }
    rows->count = kept;
}

/* ---- topics ---- */

static enum tn_status read_partition(struct tn_log *log, const struct tn_topic *topic,
                                     int32_t partition, struct tn_log_reader *reader, bool is_all,
                                     struct tni_vrows *rows, struct tn_err *err)
{
    struct tn_offsets offsets;
    TN_TRY(log->type->offsets(log, topic, partition, &offsets, err));
    for (int64_t at = offsets.start; at < offsets.end_visible;) {
        struct tn_read read = {0};
        enum tn_status st = log->type->read(reader, topic, partition, at, READ_BYTES, &read, err);
        if (tn_failed(st))
            return st;
        for (uint32_t i = 0; read.records && i < read.records->count; i++)
            if (read.records->keys[i].ptr || is_all)
                tni_vrows_add(rows, read.records->keys[i], read.records->values[i]);
        tn_records_unref(read.records);
        if (read.next <= at)
            break;
        at = read.next;
    }
    return TN_OK;
}

enum tn_status tni_vrows_topic(struct tn_log *log, const char *name, bool is_all,
                               struct tni_vrows *rows, struct tn_err *err)
{
    struct tn_topic topic;
    struct tn_log_reader *reader = NULL;
    enum tn_status st = log->type->topic_find(log, name, &topic, err);
    if (st == TN_NOT_FOUND)
        return tn_err_set(err, TN_E_NAME, "topic '%s' does not exist", name);
    if (tn_failed(st))
        return st;
    TN_TRY(log->type->reader_open(log, NULL, &reader, err));
    for (int32_t p = 0; p < topic.partitions_count && !tn_failed(st); p++)
        st = read_partition(log, &topic, p, reader, is_all, rows, err);
    log->type->reader_close(reader);
    return st;
}

/* ---- folded rows ---- */

static enum tn_status items_of(const struct tni_vrows *records, struct tni_vrows *items,
                               struct tn_err *err)
{
    for (size_t i = 0; i < records->count; i++) {
        struct tn_fold_reader reader;
        struct tn_fold_item item;
        enum tn_status st;
        TN_TRY(tn_fold_open(records->items[i].value, &reader, err));
        while ((st = tn_fold_next(&reader, &item, err)) == TN_OK)
            tni_vrows_add(items, item.key, item.states);
        if (st != TN_END)
            return st;
    }
    return TN_OK;
}

/* {"count":7} 0e: what the states give, and their bytes, which may say more. */
static enum tn_status states_text(const struct tn_node *node, struct tn_str states,
                                  struct tn_arena *arena, struct tn_buf *text, struct tn_err *err)
{
    const char *ptr = states.ptr, *end = states.ptr + states.len;
    enum tn_status st = TN_OK;
    for (uint32_t a = 0; a < node->aggs_count && !tn_failed(st); a++) {
        const struct tn_agg_call *call = &node->aggs[a];
        void *state = tn_arena_alloc(arena, call->state_bytes);
        struct tn_column col;
        call->agg->init(call, state);
        st = call->agg->decode(call, state, ptr, end, &ptr);
        if (tn_failed(st)) {
            tn_err_set(err, st, "a repartition record of partial states is damaged");
        } else {
            call->agg->final(call, &state, 1, &col, arena);
            tn_buf_printf(text, "%c\"%s\":", a ? ',' : '{', call->agg->name);
            tn_cell_json(text, &col, 0);
        }
        if (call->agg->release)
            call->agg->release(call, state);
    }
    tn_buf_add_text(text, "} ");
    for (size_t i = 0; i < states.len; i++)
        tn_buf_printf(text, "%02x", (unsigned char)states.ptr[i]);
    return st;
}

/* Sorted items: those of each key become one row. */
static enum tn_status sum_items(const struct tn_node *node, const struct tni_vrows *items,
                                struct tni_vrows *rows, struct tn_err *err)
{
    enum tn_status st = TN_OK;
    struct tn_str *states = tn_alloc_array(items->count + 1, sizeof *states);
    struct tn_buf sum, text;
    struct tn_arena arena;
    tn_buf_init(&sum, TN_RECORD_BYTES_MAX);
    tn_buf_init(&text, 4 * TN_RECORD_BYTES_MAX);
    tn_arena_init(&arena, 0);
    for (size_t from = 0, to = 0; from < items->count && !tn_failed(st); from = to) {
        uint32_t count = 0;
        for (; to < items->count && tn_str_eq(items->items[from].key, items->items[to].key); to++)
            states[count++] = items->items[to].value;
        tn_buf_reset(&sum);
        tn_buf_reset(&text);
        tn_arena_reset(&arena);
        st = tn_fold_merge(node->aggs, node->aggs_count, states, count, &sum, err);
        if (!tn_failed(st))
            st = states_text(node, tn_buf_str(&sum), &arena, &text, err);
        if (!tn_failed(st))
            tni_vrows_add(rows, items->items[from].key, tn_buf_str(&text));
    }
    tn_arena_release(&arena);
    tn_buf_release(&text);
    tn_buf_release(&sum);
    tn_free(states);
    return st;
}

enum tn_status tni_vrows_unfold(const struct tn_node *node, struct tni_vrows *rows,
                                struct tn_err *err)
{
    struct tni_vrows items, sums;
    tni_vrows_init(&items);
    tni_vrows_init(&sums);
    enum tn_status st = items_of(rows, &items, err);
    tni_vrows_sort(&items);
    if (!tn_failed(st))
        st = sum_items(node, &items, &sums, err);
    tni_vrows_release(&items);
    if (tn_failed(st)) {
        tni_vrows_release(&sums);
        return st;
    }
    tni_vrows_release(rows);
    *rows = sums;
    return TN_OK;
}

/* ---- a table's rows as the topic has them ---- */

/* One side of a batch (key or value columns) as bytes per row. */
struct encoded {
    struct tn_buf buf;
    size_t *ends;
};

static enum tn_status encode_side(const struct tn_topic_decl *decl, bool is_key,
                                  const struct tn_batch *batch, struct tn_arena *arena,
                                  struct encoded *ret_encoded, struct tn_err *err)
{
    uint32_t from = is_key ? 0 : decl->keys_count;
    uint32_t count = is_key ? decl->keys_count : decl->schema->fields_count - decl->keys_count;
    struct tn_schema schema = {count, decl->schema->fields + from};
    const struct tn_format *format = is_key ? decl->key_format : decl->value_format;
    struct tn_codec_spec spec = tn_decl_spec(decl, is_key, &schema);
    struct tn_codec *codec = NULL;
    TN_TRY(format->open(format, &spec, &codec, err));
    tn_buf_init(&ret_encoded->buf, (size_t)1 << 30);
    ret_encoded->ends = tn_arena_alloc(arena, (batch->rows_count + 1) * sizeof(size_t));
    format->encode(codec, batch->columns + from, batch->rows_count, NULL, &ret_encoded->buf,
                   ret_encoded->ends);
    format->close(codec);
    return TN_OK;
}

static struct tn_str encoded_row(const struct encoded *encoded, uint32_t row)
{
    size_t from = row ? encoded->ends[row - 1] : 0;
    return (struct tn_str){tn_buf_str(&encoded->buf).ptr + from, encoded->ends[row] - from};
}

/* Key bytes as the result topic has them: with the window behind (start; sessions: end, start). */
static void window_suffix(const struct tn_topic_decl *decl, const struct tn_batch *batch,
                          uint32_t row, struct tn_buf *key)
{
    uint32_t at = decl->schema->fields_count; /* windowstart, windowend follow the columns */
    if (decl->window == TN_WINDOW_NONE)
        return;
    if (decl->window == TN_WINDOW_SESSION)
        tn_buf_add_be64(key, (uint64_t)tn_column_i64(&batch->columns[at + 1], row));
    tn_buf_add_be64(key, (uint64_t)tn_column_i64(&batch->columns[at], row));
}

static enum tn_status add_wire(const struct tn_topic_decl *decl, const struct tn_batch *batch,
                               struct tni_vrows *rows, struct tn_err *err)
{
    struct encoded keys = {0}, values = {0};
    struct tn_arena arena;
    struct tn_buf key;
    tn_arena_init(&arena, 0);
    tn_buf_init(&key, TN_RECORD_BYTES_MAX);
    enum tn_status st = encode_side(decl, true, batch, &arena, &keys, err);
    if (!tn_failed(st))
        st = encode_side(decl, false, batch, &arena, &values, err);
    for (uint32_t r = 0; !tn_failed(st) && r < batch->rows_count; r++) {
        tn_buf_reset(&key);
        tn_buf_add_str(&key, encoded_row(&keys, r));
        window_suffix(decl, batch, r, &key);
        tni_vrows_add(rows, tn_buf_str(&key), encoded_row(&values, r));
    }
    tn_buf_release(&key);
    tn_buf_release(&keys.buf);
    tn_buf_release(&values.buf);
    tn_arena_release(&arena);
    return st;
}

/* ---- a table's rows as text ---- */

static void add_member(struct tn_buf *buf, const struct tn_schema *schema,
                       const struct tn_batch *batch, uint32_t column, uint32_t row)
{
    tn_buf_add_byte(buf, buf->len ? ',' : '{');
    tn_buf_add_json(buf, schema->fields[column].name);
    tn_buf_add_byte(buf, ':');
    tn_cell_json(buf, &batch->columns[column], row);
}

static void add_text(const struct tn_topic_decl *decl, const struct tn_schema *schema,
                     const struct tn_batch *batch, struct tni_vrows *rows)
{
    struct tn_buf key, value;
    uint32_t declared = decl->schema->fields_count;
    tn_buf_init(&key, TN_RECORD_BYTES_MAX);
    tn_buf_init(&value, TN_RECORD_BYTES_MAX);
    for (uint32_t r = 0; r < batch->rows_count; r++) {
        tn_buf_reset(&key);
        tn_buf_reset(&value);
        for (uint32_t c = 0; c < schema->fields_count; c++)
            add_member(c < decl->keys_count || c >= declared ? &key : &value, schema, batch, c, r);
        tn_buf_add_byte(&key, '}');
        tn_buf_add_text(&value, value.len ? "}" : "{}");
        tni_vrows_add(rows, tn_buf_str(&key), tn_buf_str(&value));
    }
    tn_buf_release(&key);
    tn_buf_release(&value);
}

enum which { ALL_ROWS, HELD_NOW, HELD_BEFORE };

static enum tn_status scan(struct tn_engine *engine, struct tn_pin *pin,
                           const struct tn_object *object, enum which which, bool is_wire,
                           struct tni_vrows *rows, struct tn_err *err)
{
    struct tn_table_scan *scan = NULL;
    struct tn_batch *batch;
    enum tn_status st;
    TN_GOTO(tn_table_scan_open(engine, pin, object->query_id, NULL, NULL, &scan, err));
    if (which != ALL_ROWS && !tn_table_scan_held(scan, which == HELD_BEFORE))
        goto fail;
    while ((st = tn_table_scan_next(scan, &batch, err)) == TN_OK) {
        if (is_wire)
            TN_GOTO(add_wire(&object->decl, batch, rows, err));
        else
            add_text(&object->decl, tn_table_scan_schema(scan), batch, rows);
    }
fail:
    tn_table_scan_close(scan);
    return st == TN_END ? TN_OK : st;
}

enum tn_status tni_vrows_scan(struct tn_engine *engine, const struct tn_object *object,
                              bool is_wire, struct tni_vrows *rows, struct tn_err *err)
{
    struct tn_pin *pin = NULL;
    TN_TRY(tn_engine_pin(engine, &pin, err));
    enum tn_status st = scan(engine, pin, object, ALL_ROWS, is_wire, rows, err);
    tn_pin_free(pin);
    return st;
}

/* Later rows of a key win: what is there, nothing for what is held back, what was before. */
enum tn_status tni_vrows_emitted(struct tn_engine *engine, const struct tn_object *object,
                                 struct tni_vrows *rows, size_t *ret_held, struct tn_err *err)
{
    struct tn_pin *pin = NULL;
    enum tn_status st;
    TN_TRY(tn_engine_pin(engine, &pin, err));
    TN_GOTO(scan(engine, pin, object, ALL_ROWS, true, rows, err));
    size_t all = rows->count;
    TN_GOTO(scan(engine, pin, object, HELD_NOW, true, rows, err));
    for (size_t i = all; i < rows->count; i++)
        rows->items[i].value = (struct tn_str){NULL, 0};
    *ret_held = rows->count - all;
    TN_GOTO(scan(engine, pin, object, HELD_BEFORE, true, rows, err));
fail:
    tn_pin_free(pin);
    return st;
}
