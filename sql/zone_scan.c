/* Scan of a zone table: files → batches. Contract: sql/scan.h.
 *
 * The files of the table are fixed once for the statement (zone_files.h). Those that cannot hold a
 * row that passes the predicates are left out: by partition folder, "$path", size and the bounds of
 * the table log. Each of the others is decoded, only the needed columns, or comes from memory. Rows
 * of small files are gathered into full batches: ten thousand files of one row cost three batches.
 *
 * Partition columns and the columns of files ("$path" …) are constant in a file; a batch over
 * several files has them run by run.
 *
 * Ownership: see scan.h. @thread one statement, one thread */
#include "sql/zone_scan.h"

#include <inttypes.h>

#include "sql/scan_int.h"
#include "sql/zone_pool.h"
#include "stream/base/mem.h"
#include "stream/base/time.h"

#define SMALL_ROWS   1024u /* parts of fewer rows are gathered */
#define RUNS_MAX     TN_BATCH_ROWS_MAX
#define GROWING_MS   2000 /* a file of a folder changed so recently may still be written to */
#define EXPANDED_MAX ((int64_t)64 << 30)

struct zone_scan {
    struct tni_tscan base;
    const struct tni_tscan_spec *spec;
    const struct tn_zone_table *zone;
    struct tni_zone_files *files;
    struct tn_arena arena; /* as long as the scan */
    struct tn_arena rows;  /* one batch */
    uint64_t layout;
    uint32_t stored_count; /* columns in the files */
    bool *needed;          /* stored columns */
    bool has_nested;
    uint32_t next;              /* file */
    bool *is_wanted;            /* by file; NULL = all */
    struct tn_file_scan *file;  /* being decoded */
    uint32_t file_at;           /* its number */
    struct tni_zone_cols *cols; /* of the file being read: from memory, or being filled */
    uint32_t part;
    bool is_filling;            /* cols gets what is decoded */
    struct tni_zone_pool *pool; /* NULL = the scan reads all itself */
    struct tni_zone_unit *unit; /* cols is this part of the file */
    struct tni_zone_cols *kept; /* all parts so far, to be remembered; NULL = not wanted */
    int64_t now_ms, charged;
    struct tn_batch *batch; /* under construction */
    struct tni_gather gather;
    struct tni_run runs[RUNS_MAX];
    uint32_t runs_count;
    int64_t files_read, bad_lines, bytes_read;
};

/* ---- one file ---- */

static struct tni_zone_file *file_of(struct zone_scan *scan)
{
    return &scan->files->files[scan->file_at];
}

static void drop_cols(struct zone_scan *scan)
{
    if (scan->cols)
        tni_zone_cols_unpin(scan->base.ctx->zones, scan->cols);
    scan->cols = NULL;
    scan->is_filling = false;
}

/* A file that is not there, or not in the version that was listed. A foreign one that vanished has
 * no rows; one that changed is looked for again by running the statement again. */
static enum tn_status file_gone(struct zone_scan *scan, struct tn_err *err)
{
    const struct tni_zone_file *file = file_of(scan);
    struct tn_object_info info;
    if (scan->files->is_own)
        return tn_err_set(err, TN_E_CORRUPT, "table log names object '%s', which does not exist",
                          file->key);
    enum tn_status st = tn_object_head(scan->files->store, file->key, &info, 0, err);
    if (st == TN_NOT_FOUND)
        return TN_OK;
    if (st != TN_OK)
        return st;
    return tn_err_set(err, TN_E_BUSY, "object '%s' changed while it was read", file->key);
}

/* May its contents be remembered? */
static bool may_keep(struct zone_scan *scan)
{
    return tni_zone_cols_fits(scan->base.ctx->zones, file_of(scan)->bytes) &&
           (scan->files->is_own || scan->files->is_atomic ||
            scan->now_ms - file_of(scan)->modified_ms >= GROWING_MS);
}

/* A file that comes in several units is remembered as a whole. */
static void keep_unit(struct zone_scan *scan, const struct tni_zone_unit *unit)
{
    if (unit->from == 0 && !unit->is_whole && may_keep(scan))
        scan->kept = tni_zone_cols_new(scan->layout, scan->needed, scan->stored_count);
    for (uint32_t p = 0; scan->kept && p < scan->cols->parts_count; p++)
        tni_zone_cols_add(scan->kept, scan->cols->parts[p].columns,
                          scan->cols->parts[p].rows_count);
}

static void drop_kept(struct zone_scan *scan, bool is_good)
{
    if (scan->kept && is_good)
        tni_zone_cols_put(scan->base.ctx->zones, file_of(scan), scan->kept);
    if (scan->kept)
        tni_zone_cols_unpin(scan->base.ctx->zones, scan->kept);
    scan->kept = NULL;
}

/* The next unit of the pool is of this file. */
static enum tn_status unit_open(struct zone_scan *scan, struct tn_err *err)
{
    struct tni_zone_unit *unit;
    TN_TRY(tni_zone_pool_take(scan->pool, scan->base.ctx->budget, &unit, err));
    scan->unit = unit;
    scan->part = 0;
    scan->cols = unit->cols;
    unit->cols = NULL;
    scan->bad_lines += unit->counts.bad_lines;
    scan->bytes_read += unit->counts.bytes;
    scan->files_read += unit->is_last && unit->counts.bytes > 0;
    if (unit->st == TN_NOT_FOUND && unit->from == 0)
        return file_gone(scan, err);
    if (unit->st == TN_NOT_FOUND)
        return tn_err_set(err, TN_E_BUSY, "object '%s' went away while it was read",
                          file_of(scan)->key);
    if (tn_failed(unit->st) && err)
        *err = unit->err;
    if (unit->st == TN_OK)
        keep_unit(scan, unit);
    return unit->st;
}

static enum tn_status file_open(struct zone_scan *scan, struct tn_err *err)
{
    struct tni_zones *zones = scan->base.ctx->zones;
    struct tni_zone_file *file = file_of(scan);
    scan->part = 0;
    if (tni_zone_pool_has(scan->pool, scan->file_at))
        return unit_open(scan, err);
    scan->cols = tni_zone_cols_get(zones, file, scan->layout, scan->needed, scan->stored_count);
    if (scan->cols)
        return TN_OK;
    bool is_growing = !scan->files->is_own && !scan->files->is_atomic &&
                      scan->now_ms - file->modified_ms < GROWING_MS;
    struct tn_file_scan_spec spec = {.store = scan->files->store,
                                     .key = file->key,
                                     .etag = is_growing || !*file->etag ? NULL : file->etag,
                                     .bytes = file->bytes,
                                     .layout = &scan->zone->layout,
                                     .needed = scan->needed,
                                     .to = file->bytes,
                                     .is_growing = is_growing,
                                     .expanded_max = EXPANDED_MAX};
    TN_TRY(tn_file_scan_open(&spec, &scan->file, err));
    scan->is_filling = !is_growing && tni_zone_cols_fits(zones, file->bytes);
    if (scan->is_filling)
        scan->cols = tni_zone_cols_new(scan->layout, scan->needed, scan->stored_count);
    scan->files_read++;
    return TN_OK;
}

static void file_close(struct zone_scan *scan, bool is_whole)
{
    if (scan->file) {
        const struct tn_file_scan_counts *counts = tn_file_scan_counts(scan->file);
        scan->bad_lines += counts->bad_lines;
        scan->bytes_read += counts->bytes;
    }
    bool is_good = scan->unit && scan->unit->st == TN_OK && scan->cols;
    bool is_kept = is_good && scan->unit->is_whole && may_keep(scan);
    drop_kept(scan, is_good && is_whole);
    scan->unit = NULL;
    if ((scan->is_filling || is_kept) && is_whole)
        tni_zone_cols_put(scan->base.ctx->zones, file_of(scan), scan->cols);
    drop_cols(scan);
    tn_file_scan_close(scan->file);
    scan->file = NULL;
}

/* The next rows of the current file; TN_END behind its last. */
static enum tn_status file_next(struct zone_scan *scan, struct tn_column **ret_columns,
                                uint32_t *ret_rows, struct tn_err *err)
{
    if (!scan->file) {
        while (scan->part == scan->cols->parts_count) {
            if (!scan->unit || scan->unit->is_last)
                return TN_END;
            drop_cols(scan);
            TN_TRY(unit_open(scan, err));
        }
        const struct tni_zone_colpart *part = &scan->cols->parts[scan->part++];
        *ret_columns = part->columns;
        *ret_rows = part->rows_count;
        return TN_OK;
    }
    enum tn_status st = tn_file_scan_next(scan->file, &scan->rows, ret_columns, ret_rows, err);
    if (st == TN_NOT_FOUND) {
        scan->is_filling = false;
        drop_cols(scan);
        st = file_gone(scan, err);
        return st == TN_OK ? TN_END : st;
    }
    if (st == TN_OK && scan->is_filling)
        tni_zone_cols_add(scan->cols, *ret_columns, *ret_rows);
    return st;
}

/* ---- batches ---- */

static void begin_batch(struct zone_scan *scan)
{
    tn_arena_reset(&scan->rows);
    scan->batch = tn_batch_new(scan->base.schema, 0, &scan->rows);
    scan->runs_count = 0;
    tni_gather_begin(&scan->gather, scan->zone->layout.schema, scan->needed, &scan->rows);
}

static void add_run(struct zone_scan *scan, uint32_t rows_count)
{
    scan->runs[scan->runs_count++] = (struct tni_run){file_of(scan), rows_count};
}

/* Stored columns are in the batch already; the rest follows from the runs. */
static struct tn_batch *end_batch(struct zone_scan *scan, uint32_t rows_count)
{
    struct tn_batch *batch = scan->batch;
    batch->rows_count = rows_count;
    tni_zone_fill_runs(scan->spec, scan->files, scan->runs, scan->runs_count, batch, &scan->rows);
    for (uint32_t c = 0; c < batch->schema->fields_count; c++)
        if (!batch->columns[c].type)
            batch->columns[c] = (struct tn_column){
                .type = batch->schema->fields[c].type, .rows_count = rows_count, .is_absent = true};
    tni_zone_cut_texts(batch, &scan->rows);
    return batch;
}

/* The next wanted file is opened; TN_END behind the last. */
static enum tn_status next_file(struct zone_scan *scan, struct tn_err *err)
{
    while (scan->next < scan->files->count) {
        scan->file_at = scan->next++;
        if (!scan->is_wanted || scan->is_wanted[scan->file_at])
            return file_open(scan, err);
    }
    return TN_END;
}

/* Rows of the current file go into the batch, or are the batch. *ret_is_full: hand it out. */
static enum tn_status take_rows(struct zone_scan *scan, bool *ret_is_full, struct tn_err *err)
{
    struct tn_column *columns;
    uint32_t rows_count;
    *ret_is_full = false;
    enum tn_status st = file_next(scan, &columns, &rows_count, err);
    if (st != TN_OK)
        return st;
    uint32_t have = scan->gather.rows_count;
    bool is_small = rows_count < SMALL_ROWS && !scan->has_nested;
    if (is_small && have + rows_count <= TN_BATCH_ROWS_MAX) {
        tni_gather_add(&scan->gather, columns, rows_count);
        add_run(scan, rows_count);
        return TN_OK;
    }
    if (have) { /* first what was gathered; these rows are next */
        scan->gather.left = columns;
        scan->gather.left_rows = rows_count;
    } else {
        memcpy(scan->batch->columns, columns, scan->stored_count * sizeof *columns);
        scan->gather.rows_count = rows_count;
        scan->gather.is_taken = true;
        add_run(scan, rows_count);
    }
    *ret_is_full = true;
    return TN_OK;
}

/* Rows that did not fit the last batch: they are still valid, their file is still open. */
static bool take_left(struct zone_scan *scan, struct tn_column *columns, uint32_t rows_count)
{
    memcpy(scan->batch->columns, columns, scan->stored_count * sizeof *columns);
    scan->gather.rows_count = rows_count;
    scan->gather.is_taken = true;
    add_run(scan, rows_count);
    return true;
}

static enum tn_status fill(struct zone_scan *scan, struct tn_err *err)
{
    for (uint32_t turns = 0; scan->gather.rows_count < TN_BATCH_ROWS_MAX; turns++) {
        enum tn_status st = TN_OK;
        bool is_full = false;
        if (turns % 64 == 63)
            TN_TRY(tn_budget_check(scan->base.ctx->budget, err));
        if (!scan->file && !scan->cols) {
            st = next_file(scan, err);
            if (st != TN_OK)
                return st;
        }
        st = take_rows(scan, &is_full, err);
        if (st == TN_END)
            file_close(scan, true);
        else if (st != TN_OK || is_full)
            return st;
    }
    return TN_OK;
}

static enum tn_status zone_next(struct tni_tscan *base, struct tn_batch **ret_batch,
                                struct tn_err *err)
{
    struct zone_scan *scan = (struct zone_scan *)base;
    struct tn_column *left = scan->gather.left;
    uint32_t left_rows = scan->gather.left_rows;
    if (left) { /* decoded into the last batch's arena */
        scan->batch = tn_batch_new(scan->base.schema, 0, &scan->rows);
        scan->runs_count = 0;
        scan->gather.left = NULL;
        take_left(scan, left, left_rows);
    } else {
        begin_batch(scan);
        enum tn_status st = fill(scan, err);
        if (tn_failed(st))
            return st;
        if (scan->gather.rows_count == 0)
            return TN_END;
    }
    if (!scan->gather.is_taken)
        tni_gather_end(&scan->gather, scan->batch->columns);
    *ret_batch = end_batch(scan, scan->gather.rows_count);
    return tni_charge_to(base->ctx, (int64_t)(scan->rows.bytes_total + scan->arena.bytes_total),
                         &scan->charged, err);
}

static void zone_close(struct tni_tscan *base)
{
    struct zone_scan *scan = (struct zone_scan *)base;
    if (scan->file || scan->cols)
        file_close(scan, false);
    tni_zone_pool_free(scan->pool);
    base->ctx->rows_bad += scan->bad_lines;
    if (scan->files_read)
        tni_zones_count(base->ctx->zones, scan->files_read, scan->bytes_read, scan->bad_lines);
    (void)tni_charge_to(base->ctx, 0, &scan->charged, NULL);
    tn_arena_release(&scan->arena);
    tn_arena_release(&scan->rows);
    tn_free(scan);
}

static const struct tni_tscan_type zone_type = {.next = zone_next, .close = zone_close};

enum tn_status tni_tscan_zone_open(struct tni_exec_ctx *ctx, const struct tni_tscan_spec *spec,
                                   const struct tn_schema *schema, struct tni_tscan **ret_scan,
                                   struct tn_err *err)
{
    const struct tn_zone_table *zone = spec->object->zone;
    struct zone_scan *scan = tn_alloc(sizeof *scan);
    enum tn_status st;
    scan->base = (struct tni_tscan){&zone_type, ctx, schema};
    scan->spec = spec;
    scan->zone = zone;
    tn_arena_init(&scan->arena, 0);
    tn_arena_init(&scan->rows, 0);
    scan->stored_count = zone->layout.schema->fields_count;
    scan->needed = TN_ARENA_ARRAY(&scan->arena, bool, scan->stored_count + 1);
    for (uint32_t c = 0; c < scan->stored_count; c++) {
        scan->needed[c] = tni_tscan_needs(spec, c);
        scan->has_nested |=
            scan->needed[c] && tn_kind_is_nested(zone->layout.schema->fields[c].type->kind);
    }
    scan->layout = tni_zone_layout_hash(&zone->layout);
    scan->now_ms = ctx->clock ? tn_wall_ms(ctx->clock) : 0;
    TN_GOTO(tni_zone_files(ctx, zone, &scan->files, err));
    scan->is_wanted = tni_zone_prune(spec, scan->files, &scan->arena);
    struct tni_zone_job job = {.ctx = ctx,
                               .zone = zone,
                               .files = scan->files,
                               .is_wanted = scan->is_wanted,
                               .needed = scan->needed,
                               .layout = scan->layout,
                               .growing_after_ms = scan->now_ms - GROWING_MS,
                               .expanded_max = EXPANDED_MAX};
    scan->pool = tni_zone_pool_new(&job);
    *ret_scan = &scan->base;
    return TN_OK;
fail:
    zone_close(&scan->base);
    return st;
}

void tni_tscan_zone_explain(const struct tni_tscan_spec *spec, struct tn_buf *buf)
{
    const struct tn_zone_table *zone = spec->object->zone;
    uint32_t stored = zone->layout.schema->fields_count;
    tn_buf_printf(buf, "zone table %s.%s: %s files below %s", spec->object->schema_name,
                  spec->object->name, zone->layout.format == TN_FILE_JSON ? "JSON" : "CSV",
                  zone->location);
    for (uint32_t i = 0; i < spec->preds_count; i++) {
        uint32_t column = (uint32_t)spec->preds[i].column;
        if (column >= stored && column < spec->object->schema->fields_count)
            tn_buf_printf(buf, ", folders by %.*s",
                          TN_STR_FMT(spec->object->schema->fields[column].name));
        else if (column < stored)
            tn_buf_printf(buf, ", bounds of %.*s",
                          TN_STR_FMT(spec->object->schema->fields[column].name));
        else
            tn_buf_add_text(buf, ", files by name");
    }
}
