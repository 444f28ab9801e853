/* Scans of log topics: a stream is all records of all partitions; a declared table that no query
 * materialises is its topic folded by key.
 *
 * The visible end of each partition is fixed when the statement first opens the topic, so a
 * self-join sees one state. ROWPARTITION and ROWOFFSET bounds skip partitions and offsets, a lower
 * ROWTIME bound starts at the first offset that can match (records before it are all older). Both
 * sides of a record always go through their codecs, which check all of it but only read the columns
 * that are needed, as in streams: a record is left out, and counted, when one of those cannot be
 * read. So a query counts what a persistent query over the same columns counts.
 *
 * Folding a table reads a partition twice: first for the last offset of each key (only a 128-bit
 * hash per key is kept), then for the rows at exactly those offsets. A tombstone leaves nothing.
 *
 * Ownership: see scan.h. @thread one statement, one thread; the log's wake-up may come from any */
#include "sql/scan_int.h"

#include "connectors/wait.h"
#include "stream/base/hash.h"
#include "stream/base/mem.h"
#include "stream/base/time.h"

#define READ_BYTES ((size_t)1 << 20)
#define WAIT_NS    20000000 /* then cancellation and deadline are looked at */

struct tni_log_end {
    struct tni_log_end *next;
    struct tn_topic topic;
    struct tn_offsets *partitions;
};

/* Key hash → last offset: open addressing, offset −1 = free. */
struct fold_map {
    struct fold_slot {
        uint64_t low, high;
        int64_t offset;
    } * slots;
    uint32_t count, mask;
};

struct log_scan {
    struct tni_tscan base;
    const struct tn_object *object;
    struct tn_arena arena; /* lives as long as the scan */
    struct tn_arena rows;  /* one batch */
    struct tni_log_end *end;
    struct tn_log_reader *reader;
    struct tn_waiter waiter;
    struct tn_codec *key_codec, *value_codec;
    struct tn_schema key_schema, value_schema;
    struct tn_records *records; /* behind the batch handed out */
    bool *needed;               /* scan columns */
    int *map;                   /* scan column → declared column, −1 = none */
    int64_t offset_low, offset_high, rowtime_low;
    int32_t partition, partition_last;
    int64_t offset, offset_end; /* of the current partition */
    struct fold_map fold;
    int64_t charged, charged_fold;
};

/* ---- visible ends ---- */

static enum tn_status find_end(struct tni_exec_ctx *ctx, const struct tn_object *object,
                               struct tni_log_end **ret_end, struct tn_err *err)
{
    for (struct tni_log_end *end = ctx->log_ends; end; end = end->next) {
        if (strcmp(end->topic.name, object->decl.topic) == 0) {
            *ret_end = end;
            return TN_OK;
        }
    }
    struct tni_log_end *end = TN_ARENA_NEW(ctx->arena, struct tni_log_end);
    enum tn_status st = ctx->log->type->topic_find(ctx->log, object->decl.topic, &end->topic, err);
    if (st == TN_NOT_FOUND)
        return tn_err_at(err, TN_E_NAME, "NOT_FOUND", 0, 0, "topic '%s' of '%s' does not exist",
                         object->decl.topic, object->name);
    TN_TRY(st);
    end->partitions =
        TN_ARENA_ARRAY(ctx->arena, struct tn_offsets, (size_t)end->topic.partitions_count);
    for (int32_t p = 0; p < end->topic.partitions_count; p++)
        TN_TRY(ctx->log->type->offsets(ctx->log, &end->topic, p, &end->partitions[p], err));
    end->next = ctx->log_ends;
    ctx->log_ends = end;
    *ret_end = end;
    return TN_OK;
}

/* ---- reading ---- */

/* Records of the current partition from scan->offset, cut at its end; TN_END when it is done. */
static enum tn_status read_some(struct log_scan *scan, uint32_t *ret_count, struct tn_err *err)
{
    struct tn_log *log = scan->base.ctx->log;
    tn_records_unref(scan->records);
    scan->records = NULL;
    while (scan->offset < scan->offset_end) {
        TN_TRY(tn_budget_check(scan->base.ctx->budget, err));
        struct tn_read read = {.records = NULL};
        struct tn_err read_err = TN_ERR_INIT;
        int64_t asked = scan->offset;
        enum tn_status st = log->type->read(scan->reader, &scan->end->topic, scan->partition, asked,
                                            READ_BYTES, &read, &read_err);
        if (st == TN_E_INVALID) { /* retention moved the start meanwhile */
            struct tn_offsets offsets;
            TN_TRY(log->type->offsets(log, &scan->end->topic, scan->partition, &offsets, err));
            if (offsets.start > asked) {
                scan->offset = offsets.start;
                continue;
            }
        }
        if (st != TN_OK && st != TN_AGAIN) {
            if (err)
                *err = read_err;
            return st == TN_NOT_FOUND || st == TN_END ? TN_END : st;
        }
        scan->offset = read.next > asked ? read.next : asked;
        scan->records = read.records;
        if (!read.records) {
            if (scan->offset == asked)
                (void)tn_waiter_wait(&scan->waiter, WAIT_NS);
            continue;
        }
        uint32_t count = read.records->count;
        while (count && read.records->offsets[count - 1] >= scan->offset_end)
            count--;
        *ret_count = count;
        if (count)
            return TN_OK;
    }
    return TN_END;
}

/* ---- folding a table ---- */

static void key_hash(struct tn_str key, uint64_t *ret_low, uint64_t *ret_high)
{
    *ret_low = tn_hash64(key.ptr, key.len);
    *ret_high =
        tn_mix64(tn_crc32c(0, key.ptr, key.len) * 0x9E3779B97F4A7C15ull ^ key.len, *ret_low);
}

static struct fold_slot *fold_find(const struct fold_map *map, uint64_t low, uint64_t high)
{
    uint32_t at = (uint32_t)low & map->mask;
    while (map->slots[at].offset >= 0 && (map->slots[at].low != low || map->slots[at].high != high))
        at = (at + 1) & map->mask;
    return &map->slots[at];
}

static enum tn_status fold_grow(struct log_scan *scan, uint32_t slots_count, struct tn_err *err)
{
    struct fold_map old = scan->fold;
    TN_TRY(tni_charge_to(scan->base.ctx, (int64_t)slots_count * (int64_t)sizeof *old.slots,
                         &scan->charged_fold, err));
    scan->fold = (struct fold_map){
        .slots = tn_alloc_array(slots_count, sizeof *scan->fold.slots),
        .count = old.count,
        .mask = slots_count - 1,
    };
    for (uint32_t i = 0; i < slots_count; i++)
        scan->fold.slots[i].offset = -1;
    for (uint32_t i = 0; old.slots && i <= old.mask; i++)
        if (old.slots[i].offset >= 0)
            *fold_find(&scan->fold, old.slots[i].low, old.slots[i].high) = old.slots[i];
    tn_free(old.slots);
    return TN_OK;
}

static enum tn_status fold_partition(struct log_scan *scan, struct tn_err *err)
{
    int64_t begin = scan->offset;
    uint32_t count;
    enum tn_status st;
    tn_free(scan->fold.slots);
    scan->fold = (struct fold_map){.slots = NULL};
    TN_TRY(fold_grow(scan, 1024, err));
    while ((st = read_some(scan, &count, err)) == TN_OK) {
        for (uint32_t i = 0; i < count; i++) {
            if (!scan->records->keys[i].ptr)
                continue;
            uint64_t low, high;
            key_hash(scan->records->keys[i], &low, &high);
            struct fold_slot *slot = fold_find(&scan->fold, low, high);
            scan->fold.count += slot->offset < 0;
            *slot = (struct fold_slot){low, high, scan->records->offsets[i]};
            if (scan->fold.count > scan->fold.mask / 2)
                TN_TRY(fold_grow(scan, (scan->fold.mask + 1) * 2, err));
        }
    }
    scan->offset = begin;
    return st == TN_END ? TN_OK : st;
}

static bool is_last_of_key(const struct log_scan *scan, uint32_t row)
{
    uint64_t low, high;
    if (!scan->records->keys[row].ptr || !scan->records->values[row].ptr)
        return false;
    key_hash(scan->records->keys[row], &low, &high);
    return fold_find(&scan->fold, low, high)->offset == scan->records->offsets[row];
}

/* ---- decoding ---- */

/* Window start and end behind the key bytes of a windowed topic; false when the key is too short.
 */
static bool split_window(const struct tn_topic_decl *decl, struct tn_str *key, int64_t *ret_start,
                         int64_t *ret_end)
{
    size_t suffix = decl->window == TN_WINDOW_SESSION ? 16 : 8;
    if (key->len < suffix)
        return false;
    key->len -= suffix;
    int64_t first = (int64_t)tn_be64(key->ptr + key->len);
    if (decl->window == TN_WINDOW_SESSION) {
        *ret_end = first;
        *ret_start = (int64_t)tn_be64(key->ptr + key->len + 8);
    } else {
        *ret_start = first;
        *ret_end = first + decl->window_size_ms;
    }
    return true;
}

static void fill_windows(struct log_scan *scan, uint32_t count, struct tn_str *keys, bool *is_bad,
                         struct tn_batch *batch)
{
    const struct tn_topic_decl *decl = &scan->object->decl;
    int first = tni_tscan_pseudo(scan->object, TN_PSEUDO_WINDOWSTART);
    struct tn_column *starts = &batch->columns[first], *ends = &batch->columns[first + 1];
    tni_column_fill_i64(starts, TN_K_BIGINT, 0, count, &scan->rows);
    tni_column_fill_i64(ends, TN_K_BIGINT, 0, count, &scan->rows);
    for (uint32_t i = 0; i < count; i++) {
        if (!keys[i].ptr)
            continue;
        if (!split_window(decl, &keys[i], (int64_t *)starts->values + i,
                          (int64_t *)ends->values + i))
            is_bad[i] = true;
    }
    for (int k = 0; k < 2; k++) { /* declared WINDOWSTART, WINDOWEND show the same */
        int shown = tn_schema_find(scan->object->schema, scan->base.schema->fields[first + k].name);
        if (shown >= 0)
            batch->columns[shown] = batch->columns[first + k];
    }
}

static void mark_bad(const struct tn_decoded *decoded, uint32_t count, bool *is_bad)
{
    for (uint32_t i = 0; decoded->bad_rows && i < count; i++)
        if (tn_bit_get(decoded->bad_rows, i))
            is_bad[i] = true;
}

/* Event time: the record's, or the declared TIMESTAMP column's. */
static void fill_rowtime(struct log_scan *scan, uint32_t count, const struct tn_column *source,
                         struct tn_batch *batch)
{
    const int64_t *times = scan->records->timestamps_ms;
    int column = tni_tscan_pseudo(scan->object, TN_PSEUDO_ROWTIME);
    struct tn_column *col = &batch->columns[column];
    tni_column_fill_i64(col, TN_K_BIGINT, 0, count, &scan->rows);
    int64_t *out = col->values;
    for (uint32_t i = 0; i < count; i++) {
        out[i] = times[i];
        if (!source || tn_column_is_null(source, i))
            continue;
        int64_t us;
        if (source->type->kind == TN_K_BIGINT)
            out[i] = tn_column_i64(source, i);
        else if (source->type->kind == TN_K_TIMESTAMP)
            out[i] = tn_floor_div(tn_column_i64(source, i), TN_US_PER_MS);
        else if (source->type->kind == TN_K_VARCHAR &&
                 tn_timestamp_parse(tn_column_str(source, i), &us))
            out[i] = tn_floor_div(us, TN_US_PER_MS);
    }
    batch->rowtime_ms = out;
}

static void fill_headers(struct log_scan *scan, uint32_t count, struct tn_column *col)
{
    const struct tn_headers *all = tn_records_headers(scan->records);
    struct tn_colbuilder *builder = tn_colbuilder_new(col->type, &scan->rows);
    for (uint32_t i = 0; i < count; i++) {
        struct tn_headers headers = {.count = 0};
        if (all)
            headers = all[i];
        struct tn_value *items =
            TN_ARENA_ARRAY(&scan->rows, struct tn_value, (size_t)headers.count * 3 + 1);
        for (uint32_t k = 0; k < headers.count; k++) {
            struct tn_value *pair = &items[headers.count + 2 * k];
            pair[0] =
                (struct tn_value){.type = tn_type_of(TN_K_VARCHAR), .s = headers.items[k].key};
            pair[1] = (struct tn_value){.type = tn_type_of(TN_K_BYTES),
                                        .is_null = !headers.items[k].value.ptr,
                                        .s = headers.items[k].value};
            items[k] = (struct tn_value){.type = col->type->children[0].type};
            items[k].list.count = 2;
            items[k].list.items = pair;
        }
        struct tn_value list = {.type = col->type};
        list.list.count = headers.count;
        list.list.items = items;
        tn_colbuilder_add(builder, &list);
    }
    tn_colbuilder_finish(builder, col);
}

static void fill_pseudos(struct log_scan *scan, uint32_t count, struct tn_batch *batch)
{
    int column = tni_tscan_pseudo(scan->object, TN_PSEUDO_ROWPARTITION);
    if (scan->needed[column])
        tni_column_fill_i64(&batch->columns[column], TN_K_INTEGER, scan->partition, count,
                            &scan->rows);
    column = tni_tscan_pseudo(scan->object, TN_PSEUDO_ROWOFFSET);
    if (scan->needed[column]) {
        tni_column_fill_i64(&batch->columns[column], TN_K_BIGINT, 0, count, &scan->rows);
        memcpy(batch->columns[column].values, scan->records->offsets, count * sizeof(int64_t));
    }
    column = tni_tscan_pseudo(scan->object, TN_PSEUDO_HEADERS);
    if (scan->needed[column] && scan->object->kind == TN_OBJ_STREAM) {
        batch->columns[column].is_absent = false;
        fill_headers(scan, count, &batch->columns[column]);
    }
    batch->partition = scan->partition;
}

static void decode_columns(struct log_scan *scan, uint32_t count, bool *is_bad,
                           struct tn_batch *batch)
{
    const struct tn_topic_decl *decl = &scan->object->decl;
    struct tn_decoded key = {.columns = NULL}, value = {.columns = NULL};
    struct tn_str *keys = scan->records->keys;
    if (decl->window != TN_WINDOW_NONE) {
        keys = TN_ARENA_ARRAY(&scan->rows, struct tn_str, count);
        memcpy(keys, scan->records->keys, count * sizeof *keys);
        fill_windows(scan, count, keys, is_bad, batch);
    }
    if (scan->key_codec) {
        scan->key_codec->format->decode(scan->key_codec, keys, count, &scan->rows, &key);
        mark_bad(&key, count, is_bad);
    }
    if (scan->value_codec) {
        scan->value_codec->format->decode(scan->value_codec, scan->records->values, count,
                                          &scan->rows, &value);
        mark_bad(&value, count, is_bad);
    }
    for (uint32_t i = 0; i < scan->object->schema->fields_count; i++) {
        if (!scan->needed[i] || scan->map[i] < 0)
            continue;
        uint32_t from = (uint32_t)scan->map[i];
        bool is_key = from < decl->keys_count;
        const struct tn_column *side = is_key ? key.columns : value.columns;
        TN_ASSERT(side); /* a side with columns has a codec */
        batch->columns[i] = side[is_key ? from : from - decl->keys_count];
    }
    if (scan->needed[tni_tscan_pseudo(scan->object, TN_PSEUDO_ROWTIME)]) {
        const struct tn_column *source = NULL;
        uint32_t at = (uint32_t)decl->timestamp_column;
        if (decl->timestamp_column >= 0)
            source =
                at < decl->keys_count ? &key.columns[at] : &value.columns[at - decl->keys_count];
        fill_rowtime(scan, count, source, batch);
    }
}

static struct tn_batch *decode(struct log_scan *scan, uint32_t count)
{
    const struct tn_schema *schema = scan->base.schema;
    struct tn_batch *batch = tn_batch_new(schema, count, &scan->rows);
    for (uint32_t i = 0; i < schema->fields_count; i++)
        batch->columns[i] = (struct tn_column){
            .type = schema->fields[i].type, .rows_count = count, .is_absent = true};
    bool *is_bad = TN_ARENA_ARRAY(&scan->rows, bool, count);
    decode_columns(scan, count, is_bad, batch);
    fill_pseudos(scan, count, batch);
    uint32_t *rows = TN_ARENA_ARRAY(&scan->rows, uint32_t, count);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (scan->object->decl.is_table && !is_last_of_key(scan, i))
            continue;
        if (is_bad[i])
            scan->base.ctx->rows_bad++;
        else
            rows[kept++] = i;
    }
    return kept == count ? batch : tn_batch_gather(batch, rows, kept, &scan->rows);
}

/* ---- the scan ---- */

static enum tn_status enter_partition(struct log_scan *scan, struct tn_err *err)
{
    struct tni_exec_ctx *ctx = scan->base.ctx;
    const struct tn_offsets *offsets = &scan->end->partitions[scan->partition];
    scan->offset = offsets->start;
    scan->offset_end = offsets->end_visible;
    if (scan->object->decl.is_table)
        return fold_partition(scan, err);
    if (scan->offset_high < scan->offset_end)
        scan->offset_end = scan->offset_high + 1;
    if (scan->offset_low > scan->offset)
        scan->offset = scan->offset_low;
    if (scan->rowtime_low > INT64_MIN && scan->offset < scan->offset_end) {
        int64_t at;
        TN_TRY(ctx->log->type->offset_at(ctx->log, &scan->end->topic, scan->partition,
                                         scan->rowtime_low, &at, err));
        scan->offset = at > scan->offset ? at : scan->offset;
    }
    return TN_OK;
}

static enum tn_status log_next(struct tni_tscan *base, struct tn_batch **ret_batch,
                               struct tn_err *err)
{
    struct log_scan *scan = (struct log_scan *)base;
    for (;;) {
        uint32_t count;
        tn_arena_reset(&scan->rows);
        enum tn_status st = TN_END;
        if (scan->partition >= 0)
            st = read_some(scan, &count, err);
        if (st == TN_OK) {
            *ret_batch = decode(scan, count);
            TN_TRY(tni_charge_to(base->ctx,
                                 (int64_t)(scan->rows.bytes_total + scan->records->bytes),
                                 &scan->charged, err));
            return TN_OK;
        }
        if (st != TN_END)
            return st;
        if (scan->partition == scan->partition_last)
            return TN_END;
        scan->partition++;
        TN_TRY(enter_partition(scan, err));
    }
}

static void log_close(struct tni_tscan *base)
{
    struct log_scan *scan = (struct log_scan *)base;
    (void)tni_charge_to(base->ctx, 0, &scan->charged, NULL);
    (void)tni_charge_to(base->ctx, 0, &scan->charged_fold, NULL);
    if (scan->key_codec)
        scan->key_codec->format->close(scan->key_codec);
    if (scan->value_codec)
        scan->value_codec->format->close(scan->value_codec);
    tn_records_unref(scan->records);
    if (scan->reader)
        base->ctx->log->type->reader_close(scan->reader);
    tn_waiter_release(&scan->waiter);
    tn_free(scan->fold.slots);
    tn_arena_release(&scan->rows);
    tn_arena_release(&scan->arena);
    tn_free(scan);
}

static const struct tni_tscan_type log_type = {.next = log_next, .close = log_close};

static enum tn_status open_codecs(struct log_scan *scan, struct tn_err *err)
{
    const struct tn_topic_decl *decl = &scan->object->decl;
    uint32_t keys = decl->keys_count, count = decl->schema->fields_count;
    bool *needed = TN_ARENA_ARRAY(&scan->arena, bool, count + 1);
    for (uint32_t i = 0; i < scan->object->schema->fields_count; i++)
        if (scan->needed[i] && scan->map[i] >= 0)
            needed[scan->map[i]] = true;
    if (decl->timestamp_column >= 0)
        needed[decl->timestamp_column] = true;
    scan->key_schema = (struct tn_schema){keys, decl->schema->fields};
    scan->value_schema = (struct tn_schema){count - keys, decl->schema->fields + keys};
    struct tn_codec_spec key = {.is_key = true,
                                .is_bare = decl->is_key_bare,
                                .delimiter = decl->key_delimiter,
                                .is_case_exact = decl->is_case_exact,
                                .schema = &scan->key_schema,
                                .needed = needed};
    struct tn_codec_spec value = {.is_bare = decl->is_value_bare,
                                  .delimiter = decl->value_delimiter,
                                  .is_case_exact = decl->is_case_exact,
                                  .schema = &scan->value_schema,
                                  .needed = needed + keys};
    if (keys)
        TN_TRY(decl->key_format->open(decl->key_format, &key, &scan->key_codec, err));
    if (count > keys)
        TN_TRY(decl->value_format->open(decl->value_format, &value, &scan->value_codec, err));
    return TN_OK;
}

/* Bounds of partition, offset and time. False: no row can match. */
static bool set_bounds(struct log_scan *scan, const struct tni_tscan_spec *spec)
{
    const struct tn_object *object = spec->object;
    int64_t low, high, unused;
    for (uint32_t i = 0; i < spec->preds_count; i++)
        if (spec->preds[i].is_none)
            return false;
    if (!tni_preds_i64(spec, tni_tscan_pseudo(object, TN_PSEUDO_ROWPARTITION), &low, &high) ||
        !tni_preds_i64(spec, tni_tscan_pseudo(object, TN_PSEUDO_ROWOFFSET), &scan->offset_low,
                       &scan->offset_high) ||
        !tni_preds_i64(spec, tni_tscan_pseudo(object, TN_PSEUDO_ROWTIME), &scan->rowtime_low,
                       &unused))
        return false;
    if (object->decl.timestamp_column >= 0)
        scan->rowtime_low = INT64_MIN; /* the log knows record times only */
    int32_t last = scan->end->topic.partitions_count - 1;
    scan->partition = low > 0 ? (int32_t)(low > last ? last : low - 1) : -1;
    scan->partition_last = high < last ? (int32_t)high : last;
    return low <= last && high >= 0;
}

enum tn_status tni_tscan_log_open(struct tni_exec_ctx *ctx, const struct tni_tscan_spec *spec,
                                  const struct tn_schema *schema, struct tni_tscan **ret_scan,
                                  struct tn_err *err)
{
    struct log_scan *scan = tn_alloc(sizeof *scan);
    scan->base = (struct tni_tscan){&log_type, ctx, schema};
    scan->object = spec->object;
    tn_arena_init(&scan->arena, 0);
    tn_arena_init(&scan->rows, 0);
    tn_waiter_init(&scan->waiter);
    scan->needed = TN_ARENA_ARRAY(&scan->arena, bool, schema->fields_count);
    scan->map = TN_ARENA_ARRAY(&scan->arena, int, schema->fields_count);
    for (uint32_t i = 0; i < schema->fields_count; i++) {
        scan->needed[i] = tni_tscan_needs(spec, i);
        scan->map[i] = tni_decl_column(spec->object, i);
    }
    enum tn_status st = TN_OK;
    TN_GOTO(find_end(ctx, spec->object, &scan->end, err));
    TN_GOTO(open_codecs(scan, err));
    TN_GOTO(ctx->log->type->reader_open(ctx->log, &scan->waiter.wake, &scan->reader, err));
    if (!set_bounds(scan, spec))
        scan->partition = scan->partition_last = -1;
    *ret_scan = &scan->base;
    return TN_OK;
fail:
    log_close(&scan->base);
    return st;
}
