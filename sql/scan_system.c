/* Scans of system tables: `fill` runs once when the scan opens and its rows are kept in batches, so
 * that a table that changes while it is read is seen at one moment. The memory is charged to the
 * statement.
 *
 * Ownership: see scan.h. @thread one statement, one thread */
#include "sql/scan_int.h"
#include "sql/system_tables.h"

#include "stream/base/mem.h"

struct system_scan {
    struct tni_tscan base;
    struct tn_arena arena;
    struct tn_batch **batches;
    uint32_t count, cap, next;
    int64_t charged;
};

struct tni_fill {
    struct system_scan *scan;
    uint32_t columns_count; /* of the object, without pseudo-columns */
    const bool *needed;
    struct tn_colbuilder **cells;
    uint32_t column, rows_count;
    enum tn_status st; /* of the budget */
    struct tn_err *err;
};

static void begin_batch(struct tni_fill *fill)
{
    const struct tn_schema *schema = fill->scan->base.schema;
    fill->rows_count = 0;
    fill->cells =
        TN_ARENA_ARRAY(&fill->scan->arena, struct tn_colbuilder *, fill->columns_count + 1);
    for (uint32_t i = 0; i < fill->columns_count; i++)
        if (!fill->needed || fill->needed[i])
            fill->cells[i] = tn_colbuilder_new(schema->fields[i].type, &fill->scan->arena);
}

static void end_batch(struct tni_fill *fill)
{
    struct system_scan *scan = fill->scan;
    if (fill->rows_count == 0)
        return;
    struct tn_batch *batch = tn_batch_new(scan->base.schema, fill->rows_count, &scan->arena);
    for (uint32_t i = 0; i < scan->base.schema->fields_count; i++) {
        struct tn_column *col = &batch->columns[i];
        if (i < fill->columns_count && fill->cells[i]) {
            tn_colbuilder_finish(fill->cells[i], col);
            continue;
        }
        *col = (struct tn_column){.type = scan->base.schema->fields[i].type,
                                  .rows_count = fill->rows_count,
                                  .is_absent = true};
    }
    if (scan->count == scan->cap) {
        scan->cap = scan->cap ? scan->cap * 2 : 8;
        scan->batches = tn_realloc(scan->batches, scan->cap * sizeof *scan->batches);
    }
    scan->batches[scan->count++] = batch;
}

void tni_fill_value(struct tni_fill *fill, const struct tn_value *value)
{
    TN_ASSERT(fill->column < fill->columns_count);
    struct tn_colbuilder *cell = fill->cells[fill->column++];
    if (cell && value->is_null)
        tn_colbuilder_add_null(cell);
    else if (cell)
        tn_colbuilder_add(cell, value);
}

static const struct tn_type *cell_type(const struct tni_fill *fill)
{
    return fill->scan->base.schema->fields[fill->column].type;
}

void tni_fill_null(struct tni_fill *fill)
{
    tni_fill_value(fill, &(struct tn_value){.type = cell_type(fill), .is_null = true});
}

void tni_fill_bool(struct tni_fill *fill, bool value)
{
    tni_fill_value(fill, &(struct tn_value){.type = cell_type(fill), .b = value});
}

void tni_fill_int(struct tni_fill *fill, int64_t value)
{
    tni_fill_value(fill, &(struct tn_value){.type = cell_type(fill), .i = value});
}

void tni_fill_double(struct tni_fill *fill, double value)
{
    tni_fill_value(fill, &(struct tn_value){.type = cell_type(fill), .d = value});
}

void tni_fill_str(struct tni_fill *fill, struct tn_str text)
{
    tni_fill_value(fill,
                   &(struct tn_value){.type = cell_type(fill), .is_null = !text.ptr, .s = text});
}

void tni_fill_text(struct tni_fill *fill, const char *text)
{
    tni_fill_str(fill, tn_str_of(text));
}

bool tni_fill_row_done(struct tni_fill *fill)
{
    TN_ASSERT(fill->column == fill->columns_count);
    fill->column = 0;
    if (++fill->rows_count == TN_BATCH_ROWS_MAX) {
        end_batch(fill);
        begin_batch(fill);
        struct system_scan *scan = fill->scan;
        fill->st = tni_charge_to(scan->base.ctx, (int64_t)scan->arena.bytes_total, &scan->charged,
                                 fill->err);
        if (!tn_failed(fill->st))
            fill->st = tn_budget_check(scan->base.ctx->budget, fill->err);
    }
    return !tn_failed(fill->st);
}

static enum tn_status system_next(struct tni_tscan *base, struct tn_batch **ret_batch,
                                  struct tn_err *err)
{
    struct system_scan *scan = (struct system_scan *)base;
    (void)err;
    if (scan->next == scan->count)
        return TN_END;
    *ret_batch = scan->batches[scan->next++];
    return TN_OK;
}

static void system_close(struct tni_tscan *base)
{
    struct system_scan *scan = (struct system_scan *)base;
    (void)tni_charge_to(base->ctx, 0, &scan->charged, NULL);
    tn_arena_release(&scan->arena);
    tn_free(scan->batches);
    tn_free(scan);
}

static const struct tni_tscan_type system_type = {.next = system_next, .close = system_close};

enum tn_status tni_tscan_system_open(struct tni_exec_ctx *ctx, const struct tni_tscan_spec *spec,
                                     const struct tn_schema *schema, struct tni_tscan **ret_scan,
                                     struct tn_err *err)
{
    const struct tn_system_table *table = spec->object->system;
    const struct tn_object *stream = table->stream ? table->stream(ctx, table) : NULL;
    if (stream) {
        struct tni_tscan_spec of_stream = *spec;
        of_stream.object = stream;
        return tni_tscan_log_open(ctx, &of_stream, schema, ret_scan, err);
    }
    struct system_scan *scan = tn_alloc(sizeof *scan);
    scan->base = (struct tni_tscan){&system_type, ctx, schema};
    tn_arena_init(&scan->arena, 0);
    struct tni_fill fill = {.scan = scan,
                            .columns_count = spec->object->schema->fields_count,
                            .needed = spec->needed,
                            .err = err};
    begin_batch(&fill);
    enum tn_status st = TN_OK;
    if (table->fill)
        st = table->fill(ctx, table, &fill, err);
    if (!tn_failed(st))
        st = fill.st;
    TN_GOTO(st);
    TN_ASSERT(fill.column == 0);
    end_batch(&fill);
    TN_GOTO(tni_charge_to(ctx, (int64_t)scan->arena.bytes_total, &scan->charged, err));
    *ret_scan = &scan->base;
    return TN_OK;
fail:
    system_close(&scan->base);
    return st;
}
