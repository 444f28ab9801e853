/* Table scans: dispatch by kind of object, scan schema, KTable scans. Contract: sql/scan.h.
 *
 * A KTable scan asks the engine for full keys when the predicates name them all, for a range of the
 * first key column otherwise, and wraps the engine's batches without copying: columns are
 * re-ordered by pointer.
 *
 * Where several processes share the partitions, the rows that are here come first, then those of
 * the others (members_int.h). One key is looked for where the partitioner of Kafka's clients puts
 * it, and in the other partitions only when it is not there (another partitioner may be in use).
 *
 * Ownership: see scan.h. @thread one statement, one thread */
#include "sql/members_int.h"
#include "sql/scan_int.h"

#include <inttypes.h>

#include "stream/base/hash.h"
#include "stream/base/mem.h"

void tni_column_fill_i64(struct tn_column *col, enum tn_kind kind, int64_t value,
                         uint32_t rows_count, struct tn_arena *arena)
{
    tn_column_init(col, tn_type_of(kind), rows_count, false, arena);
    for (uint32_t i = 0; i < rows_count; i++) {
        if (kind == TN_K_INTEGER)
            ((int32_t *)col->values)[i] = (int32_t)value;
        else
            ((int64_t *)col->values)[i] = value;
    }
}

/* ---- KTables ---- */

struct table_scan {
    struct tni_tscan base;
    struct tn_arena arena;
    struct tn_table_scan *scan;
    int *map; /* scan column → engine column, −1 = none */
    bool needs_rowtime;
    uint32_t rowtime_column;
    struct tn_batch batch;
    bool is_empty; /* the predicates exclude every row */
    const struct tn_object *object;
    /* several processes: */
    struct tn_key_filter filter;
    bool *needed;
    struct tni_gather *gather;
    const struct tni_partial *partial; /* what is elsewhere is asked for as states */
    int32_t home;    /* of the one key asked for, until it was looked for there; −1 = none */
    uint8_t *wanted; /* partitions but the home */
    bool has_rows;
};

static enum tn_status open_parts(struct table_scan *scan, const uint8_t *wanted,
                                 struct tn_err *err);

/* Nobody answers for some partitions: copies here do, where that is allowed and all are here. */
static enum tn_status take_standbys(struct table_scan *scan, struct tn_err *why, struct tn_err *err)
{
    struct tni_exec_ctx *ctx = scan->base.ctx;
    struct tn_table_scan *copies = NULL;
    struct tn_scan_parts parts = {.wanted = tni_gather_left(scan->gather), .has_standbys = true};
    if (why->code != TN_E_BUSY || !ctx->members->config.has_standbys ||
        tn_failed(tn_table_scan_open_parts(ctx->engine, ctx->pin, scan->object->query_id,
                                           &scan->filter, scan->needed, &parts, &copies, NULL)) ||
        parts.missing_count) {
        tn_table_scan_close(copies);
        if (err)
            *err = *why;
        return why->code;
    }
    tni_gather_close(scan->gather);
    tn_table_scan_close(scan->scan);
    scan->gather = NULL;
    scan->scan = copies;
    return TN_OK;
}

/* Rows here, rows elsewhere; for one key these two again for all but its home. */
static enum tn_status next_rows(struct table_scan *scan, struct tn_batch **ret_batch,
                                struct tn_err *err)
{
    for (;;) {
        enum tn_status st = tn_table_scan_next(scan->scan, ret_batch, err);
        if (st == TN_END && scan->gather && !scan->partial) {
            struct tn_err why = TN_ERR_INIT;
            st = tni_gather_next(scan->gather, ret_batch, &why);
            if (tn_failed(st)) {
                TN_TRY(take_standbys(scan, &why, err));
                continue;
            }
        }
        scan->has_rows |= st == TN_OK && (*ret_batch)->rows_count > 0;
        if (st != TN_END || scan->home < 0 || scan->has_rows)
            return st;
        scan->home = -1;
        TN_TRY(open_parts(scan, scan->wanted, err));
    }
}

static enum tn_status table_next(struct tni_tscan *base, struct tn_batch **ret_batch,
                                 struct tn_err *err)
{
    struct table_scan *scan = (struct table_scan *)base;
    struct tn_batch *in;
    if (scan->is_empty)
        return TN_END;
    enum tn_status st = next_rows(scan, &in, err);
    if (st != TN_OK)
        return st;
    struct tn_batch *out = &scan->batch;
    out->rows_count = in->rows_count;
    out->rowtime_ms = in->rowtime_ms;
    for (uint32_t i = 0; i < base->schema->fields_count; i++) {
        struct tn_column *col = &out->columns[i];
        if (scan->map[i] >= 0)
            *col = in->columns[scan->map[i]];
        else
            *col = (struct tn_column){.type = base->schema->fields[i].type,
                                      .rows_count = in->rows_count,
                                      .is_absent = true};
    }
    if (scan->needs_rowtime && in->rowtime_ms) {
        struct tn_column *col = &out->columns[scan->rowtime_column];
        col->values = in->rowtime_ms;
        col->is_absent = false;
    }
    *ret_batch = out;
    return TN_OK;
}

static void table_close(struct tni_tscan *base)
{
    struct table_scan *scan = (struct table_scan *)base;
    tni_gather_close(scan->gather);
    tn_table_scan_close(scan->scan);
    tn_arena_release(&scan->arena);
    tn_free(scan);
}

int tni_decl_column(const struct tn_object *object, uint32_t column)
{
    const struct tn_schema *schema = object->schema, *declared = object->decl.schema;
    if (column >= schema->fields_count)
        return -1;
    struct tn_str name = schema->fields[column].name;
    if (column < declared->fields_count && tn_str_eq(declared->fields[column].name, name))
        return (int)column;
    for (uint32_t i = 0; i < declared->fields_count; i++)
        if (tn_str_eq(declared->fields[i].name, name))
            return (int)i;
    return -1;
}

/* Engine columns are the declared ones (key, value), then WINDOWSTART and WINDOWEND of windowed
 * tables. */
static int engine_column(const struct tn_object *object, uint32_t column)
{
    const struct tn_topic_decl *decl = &object->decl;
    int declared = (int)decl->schema->fields_count;
    bool is_windowed = decl->window != TN_WINDOW_NONE;
    if (column >= object->schema->fields_count) {
        int pseudo = (int)(column - object->schema->fields_count);
        if (is_windowed && pseudo == TN_PSEUDO_WINDOWSTART)
            return declared;
        return is_windowed && pseudo == TN_PSEUDO_WINDOWEND ? declared + 1 : -1;
    }
    int at = tni_decl_column(object, column);
    if (at >= 0)
        return at;
    struct tn_str name = object->schema->fields[column].name;
    if (is_windowed && tn_str_eq_nocase(name, TN_STR("WINDOWSTART")))
        return declared;
    return is_windowed && tn_str_eq_nocase(name, TN_STR("WINDOWEND")) ? declared + 1 : -1;
}

/* ---- several processes ---- */

/* Opens the scan of `wanted` here, and of what is not here at the others. */
static enum tn_status open_parts(struct table_scan *scan, const uint8_t *wanted, struct tn_err *err)
{
    struct tni_exec_ctx *ctx = scan->base.ctx;
    struct tn_scan_parts parts = {.wanted = wanted};
    struct tn_pin *pin;
    tni_gather_close(scan->gather);
    tn_table_scan_close(scan->scan);
    scan->gather = NULL;
    scan->scan = NULL;
    TN_TRY(tni_exec_pin(ctx, &pin, err));
    TN_TRY(tn_table_scan_open_parts(ctx->engine, pin, scan->object->query_id, &scan->filter,
                                    scan->needed, &parts, &scan->scan, err));
    if (parts.missing_count == 0)
        return TN_OK;
    return tni_gather_open(ctx, scan->object, tn_table_scan_schema(scan->scan), &scan->filter,
                           scan->needed, parts.missing, scan->partial, &scan->gather, err);
}

static struct tn_str encode_key(const struct tn_topic_decl *decl, const struct tn_value *values,
                                struct tn_arena *arena)
{
    struct tn_column *cols = TN_ARENA_ARRAY(arena, struct tn_column, decl->keys_count + 1);
    struct tn_schema schema = {decl->keys_count, decl->schema->fields};
    struct tn_codec_spec spec = tn_decl_spec(decl, true, &schema);
    struct tn_codec *codec;
    struct tn_buf bytes;
    size_t end = 0;
    for (uint32_t k = 0; k < decl->keys_count; k++) {
        struct tn_colbuilder *builder = tn_colbuilder_new(schema.fields[k].type, arena);
        tn_colbuilder_add(builder, &values[k]);
        tn_colbuilder_finish(builder, &cols[k]);
    }
    if (tn_failed(decl->key_format->open(decl->key_format, &spec, &codec, NULL)))
        return (struct tn_str){0};
    tn_buf_init(&bytes, TN_RECORD_BYTES_MAX);
    decl->key_format->encode(codec, cols, 1, NULL, &bytes, &end);
    decl->key_format->close(codec);
    struct tn_str key = tn_arena_str(arena, (struct tn_str){tn_buf_str(&bytes).ptr, end});
    tn_buf_release(&bytes);
    return key;
}

/* The partition where the one key of the filter belongs; −1: there is not one key, or it is
 * windowed, or cannot be told. */
static int32_t home_of(struct table_scan *scan)
{
    const struct tn_topic_decl *decl = &scan->object->decl;
    struct tni_exec_ctx *ctx = scan->base.ctx;
    if (scan->filter.keys_count != 1 || decl->window != TN_WINDOW_NONE || !decl->key_format)
        return -1;
    for (uint32_t k = 0; k < decl->keys_count; k++)
        if (!tn_type_eq(scan->filter.keys[0][k].type, decl->schema->fields[k].type))
            return -1;
    int32_t count = tn_engine_table_partitions(ctx->engine, scan->object->query_id);
    struct tn_str key = encode_key(decl, scan->filter.keys[0], &scan->arena);
    return key.ptr && count > 0 ? tn_partition_of(key.ptr, key.len, count) : -1;
}

static enum tn_status open_shared(struct table_scan *scan, struct tn_err *err)
{
    scan->home = home_of(scan);
    if (scan->home < 0)
        return open_parts(scan, NULL, err);
    uint8_t *home = TN_ARENA_ARRAY(&scan->arena, uint8_t, TNI_PART_BYTES);
    scan->wanted = TN_ARENA_ARRAY(&scan->arena, uint8_t, TNI_PART_BYTES);
    memset(scan->wanted, 0xff, TNI_PART_BYTES);
    tni_part_put(scan->wanted, scan->home, false);
    tni_part_put(home, scan->home, true);
    return open_parts(scan, home, err);
}

enum tn_status tni_tscan_next_states(struct tni_tscan *base, struct tn_batch **ret_batch,
                                     struct tn_err *err)
{
    struct table_scan *scan = (struct table_scan *)base;
    return scan->gather && scan->partial ? tni_gather_next(scan->gather, ret_batch, err) : TN_END;
}

static const struct tni_tscan_type table_type = {.next = table_next, .close = table_close};

enum tn_status tni_tscan_table_open(struct tni_exec_ctx *ctx, const struct tni_tscan_spec *spec,
                                    const struct tn_schema *schema, struct tni_tscan **ret_scan,
                                    struct tn_err *err)
{
    const struct tn_object *object = spec->object;
    struct table_scan *scan = tn_alloc(sizeof *scan);
    scan->base = (struct tni_tscan){&table_type, ctx, schema};
    tn_arena_init(&scan->arena, 0);
    uint32_t count = schema->fields_count;
    scan->map = TN_ARENA_ARRAY(&scan->arena, int, count);
    bool *needed = TN_ARENA_ARRAY(&scan->arena, bool, object->decl.schema->fields_count + 2);
    for (uint32_t i = 0; i < count; i++) {
        scan->map[i] = tni_tscan_needs(spec, i) ? engine_column(object, i) : -1;
        if (scan->map[i] >= 0)
            needed[scan->map[i]] = true;
    }
    scan->rowtime_column = (uint32_t)tni_tscan_pseudo(object, TN_PSEUDO_ROWTIME);
    scan->needs_rowtime = tni_tscan_needs(spec, scan->rowtime_column);
    scan->batch = (struct tn_batch){
        .schema = schema,
        .columns = TN_ARENA_ARRAY(&scan->arena, struct tn_column, count),
        .arena = &scan->arena,
    };
    scan->object = object;
    scan->partial = spec->partial;
    scan->needed = needed;
    scan->home = -1;
    scan->is_empty = !tni_tscan_key_filter(spec, &scan->arena, &scan->filter);
    enum tn_status st = TN_OK;
    struct tn_pin *pin;
    if (!scan->is_empty && ctx->members) {
        TN_GOTO(open_shared(scan, err));
    } else if (!scan->is_empty) {
        TN_GOTO(tni_exec_pin(ctx, &pin, err));
        TN_GOTO(tn_table_scan_open(ctx->engine, pin, object->query_id, &scan->filter, needed,
                                   &scan->scan, err));
    }
    *ret_scan = &scan->base;
    return TN_OK;
fail:
    table_close(&scan->base);
    return st;
}

/* ---- dispatch ---- */

enum tn_status tni_tscan_open(struct tni_exec_ctx *ctx, const struct tni_tscan_spec *spec,
                              struct tni_tscan **ret_scan, struct tn_err *err)
{
    const struct tn_object *object = spec->object;
    const struct tn_schema *schema = tni_tscan_schema(object, ctx->arena);
    switch (object->kind) {
    case TN_OBJ_SYSTEM: return tni_tscan_system_open(ctx, spec, schema, ret_scan, err);
    case TN_OBJ_STREAM: return tni_tscan_log_open(ctx, spec, schema, ret_scan, err);
    case TN_OBJ_TABLE:
    case TN_OBJ_KTABLE:
        if (tni_object_has_store(object))
            return tni_tscan_table_open(ctx, spec, schema, ret_scan, err);
        return tni_tscan_log_open(ctx, spec, schema, ret_scan, err);
    case TN_OBJ_ZONE: return tni_tscan_zone_open(ctx, spec, schema, ret_scan, err);
    case TN_OBJ_VIEW: break;
    }
    return tn_err_set(err, TN_E_INTERNAL, "view '%s' was not expanded", object->name);
}

enum tn_status tni_tscan_next(struct tni_tscan *scan, struct tn_batch **ret_batch,
                              struct tn_err *err)
{
    enum tn_status st;
    do {
        TN_TRY(tn_budget_check(scan->ctx->budget, err));
        st = scan->type->next(scan, ret_batch, err);
    } while (st == TN_OK && (*ret_batch)->rows_count == 0);
    return st;
}

void tni_tscan_close(struct tni_tscan *scan)
{
    if (scan)
        scan->type->close(scan);
}

int64_t tni_tscan_rows_estimate(struct tni_exec_ctx *ctx, const struct tn_object *object)
{
    if (tni_object_has_store(object) && ctx->engine)
        return tn_engine_table_rows(ctx->engine, object->query_id);
    if (object->kind == TN_OBJ_ZONE)
        return 1000000;
    if (object->kind == TN_OBJ_SYSTEM || !ctx->log)
        return 200;
    struct tn_topic topic;
    int64_t rows = 0;
    if (ctx->log->type->topic_find(ctx->log, object->decl.topic, &topic, NULL) != TN_OK)
        return 0;
    for (int32_t p = 0; p < topic.partitions_count; p++) {
        struct tn_offsets offsets;
        if (ctx->log->type->offsets(ctx->log, &topic, p, &offsets, NULL) == TN_OK)
            rows += offsets.end_visible - offsets.start;
    }
    return rows;
}

bool tni_tscan_is_lookup(const struct tni_tscan_spec *spec)
{
    if (!tni_object_has_store(spec->object))
        return false;
    struct tn_arena arena;
    struct tn_key_filter filter;
    tn_arena_init(&arena, 0);
    bool is_lookup = !tni_tscan_key_filter(spec, &arena, &filter) || filter.keys_count > 0;
    tn_arena_release(&arena);
    return is_lookup;
}

static void explain_needed(const struct tni_tscan_spec *spec, struct tn_buf *buf)
{
    const struct tn_schema *schema = spec->object->schema;
    const char *separator = ", columns ";
    for (uint32_t i = 0; i < schema->fields_count; i++) {
        if (!tni_tscan_needs(spec, i))
            continue;
        tn_buf_add_text(buf, separator);
        tn_buf_add_str(buf, schema->fields[i].name);
        separator = " ";
    }
    if (separator[0] == ',')
        tn_buf_add_text(buf, ", no columns");
}

static void explain_table(const struct tni_tscan_spec *spec, struct tn_buf *buf)
{
    struct tn_arena arena;
    struct tn_key_filter filter;
    tn_arena_init(&arena, 0);
    if (!tni_tscan_key_filter(spec, &arena, &filter))
        tn_buf_add_text(buf, ": no row can match");
    else if (filter.keys_count)
        tn_buf_printf(buf, ": key look-up (%" PRIu32 " %s)", filter.keys_count,
                      filter.keys_count == 1 ? "key" : "keys");
    else if (filter.low || filter.high)
        tn_buf_add_text(buf, ": key range");
    else
        tn_buf_add_text(buf, ": full scan");
    if (filter.window_from_ms != INT64_MIN || filter.window_to_ms != INT64_MAX)
        tn_buf_add_text(buf, ", window range");
    tn_arena_release(&arena);
}

void tni_tscan_explain(struct tni_exec_ctx *ctx, const struct tni_tscan_spec *spec,
                       struct tn_buf *buf)
{
    const struct tn_object *object = spec->object;
    (void)ctx;
    if (object->kind == TN_OBJ_SYSTEM) {
        tn_buf_printf(buf, "system table %s.%s", object->schema_name, object->name);
    } else if (object->kind == TN_OBJ_ZONE) {
        tni_tscan_zone_explain(spec, buf);
    } else if (tni_object_has_store(object)) {
        tn_buf_printf(buf, "KTable %s", object->name);
        explain_table(spec, buf);
    } else {
        tn_buf_printf(buf, "%s %s: topic %s", object->decl.is_table ? "table" : "stream",
                      object->name, object->decl.topic);
        for (uint32_t i = 0; i < spec->preds_count; i++) {
            int pseudo = spec->preds[i].column - (int)object->schema->fields_count;
            if (pseudo == TN_PSEUDO_ROWPARTITION)
                tn_buf_add_text(buf, ", partition range");
            else if (pseudo == TN_PSEUDO_ROWOFFSET)
                tn_buf_add_text(buf, ", offset range");
            else if (pseudo == TN_PSEUDO_ROWTIME && !object->decl.is_table)
                tn_buf_add_text(buf, ", from time");
        }
    }
    explain_needed(spec, buf);
}
