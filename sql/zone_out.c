/* Files of rows that a statement writes. Contract: sql/zone_out.h. */
#include "sql/zone_out.h"

#include <inttypes.h>
#include <stdio.h>

#include "connectors/file_write.h"
#include "stream/base/digest.h"
#include "stream/base/mem.h"
#include "stream/base/random.h"

#define FILE_BYTES   ((size_t)32 << 20)
#define OPEN_BYTES   ((size_t)128 << 20) /* of all open files; then the largest is cut */
#define FILES_MAX    100000
#define FOLDER_BYTES 4096

struct tni_zone_part {
    char *folder; /* "dt=2026-01-02/country=PL/", "" without partitions */
    struct tn_table_part *values;
    struct tn_buf buf;
    int64_t rows_count;
};

/* ---- open, close ---- */

static enum tn_status check_parts(const struct tni_zone_out *out, struct tn_err *err)
{
    for (uint32_t i = out->zone->layout.schema->fields_count; i < out->schema->fields_count; i++) {
        const struct tn_field *field = &out->schema->fields[i];
        if (!tn_file_part_is_kind(field->type->kind))
            return tn_err_at(err, TN_E_UNSUPPORTED, "NOT_SUPPORTED", 0, 0,
                             "writing a partition column of type %s is not supported: '%.*s'",
                             tn_type_name_trino(field->type), TN_STR_FMT(field->name));
    }
    return TN_OK;
}

enum tn_status tni_zone_out_open(struct tni_zone_out *out, struct tn_object_stores *stores,
                                 const struct tn_zone_table *zone, const struct tn_schema *schema,
                                 struct tn_clock *clock, struct tn_arena *arena, struct tn_err *err)
{
    *out = (struct tni_zone_out){.zone = zone, .schema = schema, .clock = clock, .arena = arena};
    tn_buf_init(&out->folder, FOLDER_BYTES);
    snprintf(out->id, sizeof out->id, "%013" PRId64 "-%016" PRIx64, tn_wall_ms(clock),
             tn_random_next());
    if (!stores)
        return tn_err_set(err, TN_E_UNSUPPORTED, "zone tables cannot be written here");
    TN_TRY(check_parts(out, err));
    return tn_object_store_open(stores, zone->location, NULL, &out->store, err);
}

void tni_zone_out_close(struct tni_zone_out *out, bool is_committed)
{
    for (uint32_t i = 0; !is_committed && i < out->files_count; i++)
        (void)!tn_object_remove(out->store, out->files[i].path.ptr, 0, NULL);
    for (uint32_t i = 0; i < out->parts_count; i++)
        tn_buf_release(&out->parts[i].buf);
    tn_object_store_close(out->store);
    tn_buf_release(&out->folder);
    tn_free(out->parts);
    tn_free(out->files);
}

/* ---- files ---- */

static enum tn_status part_flush(struct tni_zone_out *out, struct tni_zone_part *part,
                                 struct tn_err *err)
{
    if (!part->buf.len)
        return TN_OK;
    if (out->files_count == FILES_MAX)
        return tn_err_set(err, TN_E_LIMIT, "the statement writes more than %d files", FILES_MAX);
    if (out->files_count == out->files_cap) {
        out->files_cap = out->files_cap ? out->files_cap * 2 : 16;
        out->files = tn_realloc(out->files, out->files_cap * sizeof *out->files);
    }
    const char *suffix = out->zone->layout.format == TN_FILE_CSV ? "csv" : "json";
    char *key = tn_arena_printf(out->arena, "%s%s-%05u.%s", part->folder, out->id, out->files_count,
                                suffix);
    struct tn_str body = tn_buf_str(&part->buf);
    TN_TRY(tn_object_put(out->store, key, body, false, 0, err));
    out->files[out->files_count++] =
        (struct tn_table_file){.path = tn_str_of(key),
                               .bytes = (int64_t)body.len,
                               .rows = part->rows_count,
                               .crc32 = tn_crc32(body),
                               .modified_ms = tn_wall_ms(out->clock),
                               .parts_count = out->zone->partitions_count,
                               .parts = part->values};
    tn_buf_release(&part->buf); /* many partitions: memory of those at rest is given back */
    tn_buf_init(&part->buf, 4 * FILE_BYTES);
    part->rows_count = 0;
    return TN_OK;
}

enum tn_status tni_zone_out_flush(struct tni_zone_out *out, struct tn_err *err)
{
    for (uint32_t i = 0; i < out->parts_count; i++)
        TN_TRY(part_flush(out, &out->parts[i], err));
    return TN_OK;
}

static enum tn_status cut_largest(struct tni_zone_out *out, struct tn_err *err)
{
    size_t open_bytes = 0;
    struct tni_zone_part *largest = NULL;
    for (uint32_t i = 0; i < out->parts_count; i++) {
        open_bytes += out->parts[i].buf.len;
        if (!largest || out->parts[i].buf.len > largest->buf.len)
            largest = &out->parts[i];
    }
    return open_bytes < OPEN_BYTES ? TN_OK : part_flush(out, largest, err);
}

/* ---- rows ---- */

/* "dt=2026-01-02/country=PL/" of a row, into out->folder. */
static void make_folder(struct tni_zone_out *out, const struct tn_column *columns, uint32_t row,
                        struct tn_arena *scratch)
{
    uint32_t stored = out->zone->layout.schema->fields_count;
    tn_buf_reset(&out->folder);
    for (uint32_t c = stored; c < out->schema->fields_count; c++) {
        tn_file_part_escape(out->schema->fields[c].name, &out->folder);
        tn_buf_add_byte(&out->folder, '=');
        tn_file_part_escape(tn_file_part_text(&columns[c], row, scratch), &out->folder);
        tn_buf_add_byte(&out->folder, '/');
    }
}

static enum tn_status part_new(struct tni_zone_out *out, const struct tn_column *columns,
                               uint32_t row, struct tni_zone_part **ret_part, struct tn_err *err)
{
    uint32_t stored = out->zone->layout.schema->fields_count, count = out->zone->partitions_count;
    if (out->parts_count == TNI_ZONE_PARTS_MAX) {
        tn_err_at(err, TN_E_LIMIT, "HIVE_TOO_MANY_OPEN_PARTITIONS", 0, 0,
                  "the statement writes more than %d partitions of '%s'", TNI_ZONE_PARTS_MAX,
                  out->zone->location);
        tn_err_hint(err, "write them in several statements, or with a sink");
        return TN_E_LIMIT;
    }
    out->parts = tn_realloc(out->parts, (out->parts_count + 1) * sizeof *out->parts);
    struct tni_zone_part *part = &out->parts[out->parts_count++];
    *part =
        (struct tni_zone_part){.folder = tn_arena_strdup(out->arena, tn_buf_cstr(&out->folder))};
    part->values = TN_ARENA_ARRAY(out->arena, struct tn_table_part, count + 1);
    tn_buf_init(&part->buf, 4 * FILE_BYTES);
    for (uint32_t i = 0; i < count; i++) {
        struct tn_str text = tn_file_part_text(&columns[stored + i], row, out->arena);
        part->values[i].column = out->schema->fields[stored + i].name;
        part->values[i].value = text.len ? tn_arena_str(out->arena, text) : (struct tn_str){0};
    }
    *ret_part = part;
    return TN_OK;
}

static enum tn_status part_of(struct tni_zone_out *out, const struct tn_column *columns,
                              uint32_t row, struct tn_arena *scratch,
                              struct tni_zone_part **ret_part, struct tn_err *err)
{
    make_folder(out, columns, row, scratch);
    if (tn_buf_over(&out->folder) || out->folder.len > TN_OBJECT_KEY_MAX / 2)
        return tn_err_at(err, TN_E_LIMIT, "INVALID_ARGUMENTS", 0, 0,
                         "a partition value is too long for the name of a folder");
    for (uint32_t i = out->parts_count; i-- > 0;)
        if (tn_str_eq(tn_str_of(out->parts[i].folder), tn_buf_str(&out->folder))) {
            *ret_part = &out->parts[i];
            return TN_OK;
        }
    return part_new(out, columns, row, ret_part, err);
}

enum tn_status tni_zone_out_rows(struct tni_zone_out *out, const struct tn_column *columns,
                                 uint32_t rows_count, struct tn_err *err)
{
    struct tn_arena scratch;
    enum tn_status st = TN_OK;
    tn_arena_init(&scratch, 0);
    for (uint32_t from = 0; from < rows_count && !tn_failed(st);) {
        struct tni_zone_part *part = NULL;
        uint32_t count = 1, most = out->zone->partitions_count ? 1 : 256;
        st = part_of(out, columns, from, &scratch, &part, err);
        if (tn_failed(st))
            break;
        count = rows_count - from < most ? rows_count - from : most;
        tn_file_write_rows(&out->zone->layout, columns, from, count, &part->buf);
        if (tn_buf_over(&part->buf))
            st = tn_err_set(err, TN_E_LIMIT, "the rows are too long for one file");
        part->rows_count += count;
        out->rows_count += count;
        from += count;
        if (!tn_failed(st) && part->buf.len >= FILE_BYTES)
            st = part_flush(out, part, err);
        tn_arena_reset(&scratch);
    }
    tn_arena_release(&scratch);
    return tn_failed(st) ? st : cut_largest(out, err);
}
