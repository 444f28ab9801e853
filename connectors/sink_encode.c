/* Records into open files, in the sink's layout. Everything depends on the records and the spec
 * alone: blocks are packed when they are full, so the bytes of a file do not depend on how the log
 * handed its records over. Contract: connectors/sink_int.h. */
#include "connectors/sink_int.h"

#include "connectors/file_write.h"
#include "connectors/formats.h"
#include "connectors/json_scan.h"
#include "stream/base/base64.h"
#include "stream/base/mem.h"
#include "stream/base/time.h"
#include "stream/base/utf8.h"

#define FILE_BYTES_MAX   ((size_t)4 << 30)
#define TEXT_BYTES_MAX   ((size_t)2 << 30)
#define FOLDER_BYTES     4096
#define STATS_COLUMNS    64
#define ERRORS_FOLDER    "_errors"
#define FOLDER_VALUE_MAX 200 /* bytes, before escaping: keys end at 1,024 */

/* One call of tni_encoder_add. */
struct run {
    struct tni_encoder *encoder;
    struct tni_sink_part *part;
    const struct tn_records *records;
    uint32_t count;
    struct tn_decoded key, value;
    struct tn_column *columns; /* of the shape */
    int64_t *window_starts, *window_ends;
    int64_t *times_us; /* for folders */
    const char **bad;  /* reason by row, NULL = fine */
    struct tn_str *bad_fields;
    struct tni_sink_file *file; /* of the row before */
    int64_t step;               /* time part of its folder */
    struct tn_err *err;
};

/* ---- open, close ---- */

static enum tn_status open_sides(struct tni_encoder *encoder, struct tn_err *err)
{
    const struct tn_topic_decl *decl = &encoder->spec->decl;
    const struct tni_sink_shape *shape = encoder->shape;
    uint32_t keys = decl->keys_count, count = decl->schema->fields_count;
    bool *needed = TN_ARENA_ARRAY(&encoder->codecs, bool, count + 1);
    for (uint32_t i = 0; i < shape->columns_count; i++)
        if (shape->from[i] >= 0)
            needed[shape->from[i]] = true;
    for (uint32_t i = 0; i < shape->folders_count; i++)
        if (shape->folders[i].kind == TNI_FOLDER_COLUMN)
            needed[shape->folders[i].column] = true;
    if (shape->time_column >= 0)
        needed[shape->time_column] = true;
    encoder->key_schema = (struct tn_schema){keys, decl->schema->fields};
    encoder->value_schema = (struct tn_schema){count - keys, decl->schema->fields + keys};
    struct tn_codec_spec key = {.is_key = true,
                                .is_bare = decl->is_key_bare,
                                .delimiter = decl->key_delimiter,
                                .is_case_exact = decl->is_case_exact,
                                .schema = &encoder->key_schema,
                                .needed = needed};
    struct tn_codec_spec value = {.is_bare = decl->is_value_bare,
                                  .delimiter = decl->value_delimiter,
                                  .is_case_exact = decl->is_case_exact,
                                  .schema = &encoder->value_schema,
                                  .needed = needed + keys};
    if (keys)
        TN_TRY(decl->key_format->open(decl->key_format, &key, &encoder->key_codec, err));
    if (count > keys)
        TN_TRY(decl->value_format->open(decl->value_format, &value, &encoder->value_codec, err));
    return TN_OK;
}

enum tn_status tni_encoder_open(const struct tn_sink_spec *spec, const struct tni_sink_shape *shape,
                                const struct tn_formats *formats, struct tni_encoder *encoder,
                                struct tn_err *err)
{
    *encoder = (struct tni_encoder){.spec = spec, .shape = shape, .formats = formats};
    tn_arena_init(&encoder->codecs, 0);
    tn_arena_init(&encoder->rows, 0);
    tn_buf_init(&encoder->text, TEXT_BYTES_MAX);
    tn_buf_init(&encoder->folder, FOLDER_BYTES);
    encoder->ends = tn_alloc_array(TN_BATCH_ROWS_MAX, sizeof *encoder->ends);
    encoder->packer = tn_packer_new(spec->options.pack, (int)spec->options.level);
    if (shape->needs_columns)
        TN_TRY(open_sides(encoder, err));
    if (!shape->columns)
        return TN_OK;
    struct tn_codec_spec out = {.schema = shape->columns};
    return tn_format_json.open(&tn_format_json, &out, &encoder->out_codec, err);
}

void tni_encoder_close(struct tni_encoder *encoder)
{
    struct tn_codec *codecs[] = {encoder->key_codec, encoder->value_codec, encoder->out_codec};
    for (size_t i = 0; i < 3; i++)
        if (codecs[i])
            codecs[i]->format->close(codecs[i]);
    if (encoder->ends) {
        tn_packer_free(encoder->packer);
        tn_buf_release(&encoder->text);
        tn_buf_release(&encoder->folder);
        tn_arena_release(&encoder->codecs);
        tn_arena_release(&encoder->rows);
        tn_free(encoder->ends);
    }
    *encoder = (struct tni_encoder){0};
}

/* ---- files ---- */

static void file_release(struct tni_sink_file *file)
{
    tni_sink_file_shut(file);
    tn_buf_release(&file->folder);
    tn_buf_release(&file->raw);
    tn_buf_release(&file->out);
    tn_buf_release(&file->path);
    tn_buf_release(&file->part_text);
    tn_free(file->stats);
}

void tni_sink_part_clear(struct tni_sink_part *part)
{
    for (uint32_t i = 0; i < part->files_count; i++)
        file_release(&part->files[i]);
    tn_free(part->files);
    part->files = NULL;
    part->files_count = part->files_cap = 0;
    part->rows = part->bytes = 0;
    part->is_due = false;
}

static struct tni_sink_file *file_new(struct tni_sink_part *part, int64_t first, uint32_t stats)
{
    if (part->files_count == part->files_cap) {
        part->files_cap = part->files_cap ? part->files_cap * 2 : 4;
        part->files = tn_realloc(part->files, part->files_cap * sizeof *part->files);
    }
    struct tni_sink_file *file = &part->files[part->files_count++];
    *file = (struct tni_sink_file){.first = first, .next = first, .spool_fd = -1};
    tn_buf_init(&file->folder, FOLDER_BYTES);
    tn_buf_init(&file->part_text, FOLDER_BYTES);
    tn_buf_init(&file->path, FOLDER_BYTES);
    tn_buf_init(&file->raw, TEXT_BYTES_MAX);
    tn_buf_init(&file->out, FILE_BYTES_MAX);
    if (stats)
        file->stats = tn_alloc_array(stats, sizeof *file->stats);
    return file;
}

static void pack_block(struct tni_encoder *encoder, struct tni_sink_file *file)
{
    tn_packer_add(encoder->packer, tn_buf_str(&file->raw), &file->out);
    file->raw_total += (int64_t)file->raw.len;
    tn_buf_reset(&file->raw);
}

static uint32_t stats_count(const struct tni_encoder *encoder)
{
    uint32_t count = encoder->shape->columns_count;
    return count > STATS_COLUMNS ? STATS_COLUMNS : count;
}

/* ---- folders ---- */

static void time_text(const struct tn_time_pattern *pattern, int64_t us, struct tn_buf *buf)
{
    tn_time_pattern_print(pattern, us, NULL, buf);
}

static const struct tn_column *column_of(const struct run *run, int column)
{
    uint32_t keys = run->encoder->spec->decl.keys_count;
    return (uint32_t)column < keys ? &run->key.columns[column]
                                   : &run->value.columns[(uint32_t)column - keys];
}

static void make_folder(struct run *run, uint32_t row, struct tn_buf *buf)
{
    const struct tni_sink_shape *shape = run->encoder->shape;
    tn_buf_reset(buf);
    if (shape->path_pattern) {
        TN_ASSERT(run->times_us);
        time_text(shape->path_pattern, run->times_us[row], buf);
        return;
    }
    for (uint32_t i = 0; i < shape->folders_count; i++) {
        const struct tni_folder_item *item = &shape->folders[i];
        if (i)
            tn_buf_add_byte(buf, '/');
        tn_buf_add_str(buf, item->name);
        tn_buf_add_byte(buf, '=');
        if (item->kind == TNI_FOLDER_TIME)
            time_text(item->pattern, run->times_us[row], buf);
        else if (item->kind == TNI_FOLDER_PARTITION)
            tn_buf_printf(buf, "%d", run->part->partition);
        else
            tn_file_part_escape(
                tn_file_part_text(column_of(run, item->column), row, &run->encoder->rows), buf);
    }
}

/* Values of the folders, for the table log. */
static void make_parts(struct run *run, uint32_t row, struct tni_sink_file *file)
{
    const struct tni_sink_shape *shape = run->encoder->shape;
    file->parts_count = shape->folders_count;
    size_t starts[TNI_SINK_FOLDERS_MAX];
    for (uint32_t i = 0; i < shape->folders_count; i++) {
        const struct tni_folder_item *item = &shape->folders[i];
        starts[i] = file->part_text.len;
        file->parts[i].column = item->name;
        struct tn_str text = TN_STR("");
        if (item->kind == TNI_FOLDER_TIME)
            time_text(item->pattern, run->times_us[row], &file->part_text);
        else if (item->kind == TNI_FOLDER_PARTITION)
            tn_buf_printf(&file->part_text, "%d", run->part->partition);
        else
            text = tn_file_part_text(column_of(run, item->column), row, &run->encoder->rows);
        tn_buf_add_str(&file->part_text, text);
        bool is_null = item->kind == TNI_FOLDER_COLUMN && (!text.ptr || !text.len);
        file->parts[i].value =
            (struct tn_str){is_null ? NULL : "", file->part_text.len - starts[i]};
    }
    for (uint32_t i = 0; i < shape->folders_count; i++)
        if (file->parts[i].value.ptr)
            file->parts[i].value.ptr = file->part_text.ptr ? file->part_text.ptr + starts[i] : "";
}

static struct tni_sink_file *errors_file(struct run *run, int64_t offset)
{
    struct tni_sink_part *part = run->part;
    for (uint32_t i = 0; i < part->files_count; i++)
        if (part->files[i].is_errors)
            return &part->files[i];
    struct tni_sink_file *file = file_new(part, offset, 0);
    tn_buf_add_text(&file->folder, ERRORS_FOLDER);
    file->is_errors = true;
    run->file = NULL; /* the list may have moved */
    return file;
}

static struct tni_sink_file *file_of(struct run *run, uint32_t row)
{
    struct tni_encoder *encoder = run->encoder;
    const struct tni_sink_shape *shape = encoder->shape;
    struct tni_sink_part *part = run->part;
    bool is_flat = !shape->path_pattern && !shape->folders_count;
    int64_t step = 0;
    if (shape->folder_step_us)
        step = tn_floor_div(run->times_us[row], shape->folder_step_us);
    bool is_time_only = true;
    for (uint32_t i = 0; i < shape->folders_count; i++)
        is_time_only &= shape->folders[i].kind != TNI_FOLDER_COLUMN;
    if (run->file && (is_flat || (is_time_only && step == run->step)))
        return run->file;
    make_folder(run, row, &encoder->folder);
    run->step = step;
    struct tn_str folder = tn_buf_str(&encoder->folder);
    if (run->file && tn_str_eq(folder, tn_buf_str(&run->file->folder)))
        return run->file;
    for (uint32_t i = 0; i < part->files_count; i++)
        if (!part->files[i].is_errors && tn_str_eq(folder, tn_buf_str(&part->files[i].folder)))
            return run->file = &part->files[i];
    struct tni_sink_file *file = file_new(part, run->records->offsets[row], stats_count(encoder));
    tn_buf_add_str(&file->folder, folder);
    make_parts(run, row, file);
    return run->file = file;
}

/* ---- min and max ---- */

static void stat_text(struct tni_sink_stat *stat, struct tn_str text)
{
    size_t kept = text.len < sizeof stat->min_text ? text.len : sizeof stat->min_text;
    while (kept < text.len && kept && ((unsigned char)text.ptr[kept] & 0xc0) == 0x80)
        kept--; /* whole characters only */
    if (!stat->has_value || tn_str_cmp(text, stat->min.text) < 0) {
        memcpy(stat->min_text, text.ptr, kept);
        stat->min = (struct tn_table_value){.kind = TN_TABLE_TEXT};
        stat->min.text = (struct tn_str){stat->min_text, kept}; /* a prefix is not larger */
    }
    if (stat->is_max_open)
        return;
    if (stat->has_value && tn_str_cmp(text, stat->max.text) <= 0)
        return;
    if (kept < text.len) {
        stat->is_max_open = true;
        return;
    }
    memcpy(stat->max_text, text.ptr, kept);
    stat->max = (struct tn_table_value){.kind = TN_TABLE_TEXT};
    stat->max.text = (struct tn_str){stat->max_text, kept};
}

static void stat_int(struct tni_sink_stat *stat, int64_t value)
{
    if (!stat->has_value || value < stat->min.integer)
        stat->min = (struct tn_table_value){.kind = TN_TABLE_INT, .integer = value};
    if (!stat->has_value || value > stat->max.integer)
        stat->max = (struct tn_table_value){.kind = TN_TABLE_INT, .integer = value};
}

static void stat_double(struct tni_sink_stat *stat, double value)
{
    if (value != value) { /* NaN has no place between bounds */
        stat->is_max_open = true;
        stat->min.kind = TN_TABLE_NONE;
        return;
    }
    if (!stat->has_value || value < stat->min.number)
        stat->min = (struct tn_table_value){.kind = TN_TABLE_DOUBLE, .number = value};
    if (!stat->has_value || value > stat->max.number)
        stat->max = (struct tn_table_value){.kind = TN_TABLE_DOUBLE, .number = value};
}

static void stat_row(struct tni_sink_stat *stat, const struct tn_column *col, uint32_t row)
{
    if (tn_column_is_null(col, row)) {
        stat->nulls++;
        return;
    }
    switch (col->type->kind) {
    case TN_K_INTEGER: stat_int(stat, tn_column_i32(col, row)); break;
    case TN_K_BIGINT: stat_int(stat, tn_column_i64(col, row)); break;
    case TN_K_TIMESTAMP: /* as the file has it: ms */
        stat_int(stat, tn_floor_div(tn_column_i64(col, row), TN_US_PER_MS));
        break;
    case TN_K_DOUBLE: stat_double(stat, tn_column_f64(col, row)); break;
    case TN_K_VARCHAR: stat_text(stat, tn_column_str(col, row)); break;
    default: return; /* has_value stays false */
    }
    stat->has_value = true;
}

/* ---- rows ---- */

static void end_row(struct run *run, struct tni_sink_file *file, int64_t offset, size_t start)
{
    struct tni_sink_part *part = run->part;
    (void)start;
    file->rows++;
    file->next = offset + 1;
    if (file->raw.len >= TNI_SINK_BLOCK_BYTES)
        pack_block(run->encoder, file);
    int64_t bytes = tni_sink_file_bytes(file);
    if (run->encoder->spec->options.pack == TN_PACK_NONE)
        bytes += (int64_t)file->raw.len;
    if (bytes > part->bytes)
        part->bytes = bytes;
}

static void add_change(struct run *run, uint32_t row)
{
    struct tni_encoder *encoder = run->encoder;
    struct tni_sink_file *file = file_of(run, row);
    size_t from = row ? encoder->ends[row - 1] : 0;
    size_t len = encoder->ends[row] - from;
    char *to = tn_buf_reserve(&file->raw, len + 1);
    TN_ASSERT(to);
    memcpy(to, encoder->text.ptr + from, len);
    to[len] = '\n';
    file->raw.len += len + 1;
    uint32_t count = stats_count(encoder);
    TN_ASSERT(run->columns || !count);
    for (uint32_t c = 0; c < count; c++)
        stat_row(&file->stats[c], &run->columns[c], row);
    end_row(run, file, run->records->offsets[row], from);
}

/* JSON is one line: only blanks between tokens can be line ends. */
static void add_value(struct run *run, uint32_t row)
{
    struct tni_sink_file *file = file_of(run, row);
    struct tn_str value = run->records->values[row];
    if (!value.ptr) {
        tn_buf_add_text(&file->raw, "null\n");
    } else {
        size_t at = file->raw.len;
        tn_buf_add_str(&file->raw, value);
        for (char *p = file->raw.ptr + at, *end = p + value.len;
             value.len && (p = memchr(p, '\n', (size_t)(end - p))); p++)
            *p = ' ';
        tn_buf_add_byte(&file->raw, '\n');
    }
    end_row(run, file, run->records->offsets[row], 0);
}

static void add_side(struct tn_buf *buf, const char *name, struct tn_str bytes)
{
    if (!bytes.ptr) {
        tn_buf_printf(buf, ",\"%s\":null", name);
    } else if (tn_utf8_ok(bytes.ptr, bytes.len)) {
        tn_buf_printf(buf, ",\"%s\":", name);
        tn_buf_add_json(buf, bytes);
    } else {
        tn_buf_printf(buf, ",\"%s_b64\":\"", name);
        tn_base64_encode(bytes, buf);
        tn_buf_add_byte(buf, '"');
    }
}

static void add_raw(struct run *run, uint32_t row)
{
    struct tni_sink_file *file = file_of(run, row);
    const struct tn_records *records = run->records;
    tn_buf_add_text(&file->raw, "{\"_ts\":");
    tn_buf_add_i64(&file->raw, records->timestamps_ms[row]);
    tn_buf_printf(&file->raw, ",\"_partition\":%d,\"_offset\":", run->part->partition);
    tn_buf_add_i64(&file->raw, records->offsets[row]);
    add_side(&file->raw, "_key", records->keys[row]);
    add_side(&file->raw, "_value", records->values[row]);
    tn_buf_add_text(&file->raw, "}\n");
    end_row(run, file, records->offsets[row], 0);
}

/* One object: the value's bytes; a tombstone is an empty object. */
static void add_object(struct run *run, uint32_t row)
{
    struct tni_encoder *encoder = run->encoder;
    const struct tn_records *records = run->records;
    struct tni_sink_file *file = file_new(run->part, records->offsets[row], 0);
    tni_sink_object_key(encoder->shape, encoder->spec, encoder->exchange, run->part->partition,
                        records->offsets[row], records->timestamps_ms[row], &file->path);
    tn_buf_add_str(&file->out, records->values[row]);
    file->rows = records->values[row].ptr ? 1 : 0;
    file->next = file->first + 1;
    run->part->bytes += (int64_t)file->out.len;
}

static void add_bad(struct run *run, uint32_t row)
{
    const struct tn_records *records = run->records;
    run->encoder->bad++;
    if (run->encoder->spec->options.errors == TN_SINK_ERRORS_SKIP)
        return;
    struct tni_sink_file *file = errors_file(run, records->offsets[row]);
    struct tn_buf *buf = &file->raw;
    tn_buf_add_text(buf, "{\"topic\":");
    tn_buf_add_json(buf, tn_str_of(run->encoder->spec->decl.topic));
    tn_buf_printf(buf, ",\"partition\":%d,\"offset\":%lld,\"timestamp\":%lld,\"query\":",
                  run->part->partition, (long long)records->offsets[row],
                  (long long)records->timestamps_ms[row]);
    tn_buf_add_json(buf, tn_str_of(run->encoder->spec->name));
    tn_buf_add_text(buf, ",\"reason\":");
    tn_buf_add_json(buf, tn_str_of(run->bad[row]));
    tn_buf_add_text(buf, ",\"field\":");
    if (run->bad_fields[row].ptr)
        tn_buf_add_json(buf, run->bad_fields[row]);
    else
        tn_buf_add_text(buf, "null");
    tn_buf_add_text(buf, ",\"position\":null");
    struct tn_str sides[] = {records->keys[row], records->values[row]};
    for (int i = 0; i < 2; i++) {
        tn_buf_add_text(buf, i ? ",\"value\":" : ",\"key\":");
        if (sides[i].ptr) {
            tn_buf_add_byte(buf, '"');
            tn_base64_encode(sides[i], buf);
            tn_buf_add_byte(buf, '"');
        } else {
            tn_buf_add_text(buf, "null");
        }
    }
    tn_buf_add_text(buf, "}\n");
    end_row(run, file, records->offsets[row], 0);
}

/* ---- decoding ---- */

static void note_bad(struct run *run, const struct tn_decoded *decoded)
{
    for (uint32_t i = 0; i < decoded->bad_count; i++) {
        const struct tn_bad_row *bad = &decoded->bad[i];
        if (bad->row >= run->count || run->bad[bad->row])
            continue;
        run->bad[bad->row] = bad->reason;
        run->bad_fields[bad->row] = bad->field;
    }
}

/* Keys without the window behind them. */
static struct tn_str *split_windows(struct run *run)
{
    const struct tn_topic_decl *decl = &run->encoder->spec->decl;
    struct tn_arena *arena = &run->encoder->rows;
    size_t suffix = decl->window == TN_WINDOW_SESSION ? 16 : 8;
    struct tn_str *keys = TN_ARENA_ARRAY(arena, struct tn_str, run->count);
    run->window_starts = TN_ARENA_ARRAY(arena, int64_t, run->count);
    run->window_ends = TN_ARENA_ARRAY(arena, int64_t, run->count);
    for (uint32_t i = 0; i < run->count; i++) {
        keys[i] = run->records->keys[i];
        if (!keys[i].ptr || keys[i].len < suffix) {
            run->bad[i] = "the key has no window";
            keys[i] = (struct tn_str){NULL, 0};
            continue;
        }
        keys[i].len -= suffix;
        const char *at = keys[i].ptr + keys[i].len;
        run->window_starts[i] = (int64_t)tn_be64(at + suffix - 8);
        run->window_ends[i] = decl->window == TN_WINDOW_SESSION
                                  ? (int64_t)tn_be64(at)
                                  : run->window_starts[i] + decl->window_size_ms;
    }
    return keys;
}

static void decode(struct run *run)
{
    struct tni_encoder *encoder = run->encoder;
    struct tn_str *keys = run->records->keys;
    if (encoder->spec->decl.window != TN_WINDOW_NONE)
        keys = split_windows(run);
    if (encoder->key_codec) {
        encoder->key_codec->format->decode(encoder->key_codec, keys, run->count, &encoder->rows,
                                           &run->key);
        note_bad(run, &run->key);
    }
    if (encoder->value_codec) {
        encoder->value_codec->format->decode(encoder->value_codec, run->records->values, run->count,
                                             &encoder->rows, &run->value);
        note_bad(run, &run->value);
    }
}

/* The time of folders: the declared column, else the record's. */
static void find_times(struct run *run)
{
    struct tni_encoder *encoder = run->encoder;
    int column = encoder->shape->time_column;
    const struct tn_column *col = column >= 0 ? column_of(run, column) : NULL;
    run->times_us = TN_ARENA_ARRAY(&encoder->rows, int64_t, run->count);
    for (uint32_t i = 0; i < run->count; i++) {
        int64_t us = run->records->timestamps_ms[i] * TN_US_PER_MS;
        if (col && !tn_column_is_null(col, i)) {
            if (col->type->kind == TN_K_BIGINT)
                us = tn_column_i64(col, i) * TN_US_PER_MS;
            else if (col->type->kind == TN_K_TIMESTAMP)
                us = tn_column_i64(col, i);
            else
                (void)!tn_timestamp_parse(tn_column_str(col, i), &us);
        }
        run->times_us[i] = us;
    }
}

/* ---- columns of the layout change ---- */

static void fill_ints(struct tn_column *col, const struct tn_type *type, uint32_t count,
                      struct tn_arena *arena)
{
    *col = (struct tn_column){.type = type, .rows_count = count};
    tn_column_init(col, type, count, false, arena);
}

static void fill_ops(struct run *run, struct tn_column *col)
{
    struct tn_arena *arena = &run->encoder->rows;
    tn_column_init(col, tn_type_of(TN_K_VARCHAR), run->count, false, arena);
    col->data = tn_arena_alloc(arena, run->count + 1);
    bool is_table = run->encoder->spec->decl.is_table;
    for (uint32_t i = 0; i < run->count; i++) {
        col->data[i] = run->records->values[i].ptr ? is_table ? 'u' : 'i' : 'd';
        col->offsets[i + 1] = (int32_t)i + 1;
    }
}

static void fill_extra(struct run *run, int extra, struct tn_column *col)
{
    struct tn_arena *arena = &run->encoder->rows;
    static const enum tn_kind kinds[] = {TN_K_BIGINT,    TN_K_BIGINT,  TN_K_VARCHAR,
                                         TN_K_TIMESTAMP, TN_K_INTEGER, TN_K_BIGINT};
    if (extra == 2) {
        fill_ops(run, col);
        return;
    }
    fill_ints(col, tn_type_of(kinds[extra]), run->count, arena);
    for (uint32_t i = 0; i < run->count; i++)
        switch (extra) {
        case 0:
            TN_ASSERT(run->window_starts);
            ((int64_t *)col->values)[i] = run->window_starts[i];
            break;
        case 1:
            TN_ASSERT(run->window_ends);
            ((int64_t *)col->values)[i] = run->window_ends[i];
            break;
        case 3: ((int64_t *)col->values)[i] = run->records->timestamps_ms[i] * TN_US_PER_MS; break;
        case 4: ((int32_t *)col->values)[i] = run->part->partition; break;
        default: ((int64_t *)col->values)[i] = run->records->offsets[i]; break;
        }
}

static void encode_columns(struct run *run)
{
    struct tni_encoder *encoder = run->encoder;
    const struct tni_sink_shape *shape = encoder->shape;
    run->columns = TN_ARENA_ARRAY(&encoder->rows, struct tn_column, shape->columns_count);
    for (uint32_t i = 0; i < shape->columns_count; i++) {
        if (shape->from[i] >= 0)
            run->columns[i] = *column_of(run, shape->from[i]);
        else
            fill_extra(run, -1 - shape->from[i], &run->columns[i]);
    }
    tn_buf_reset(&encoder->text);
    encoder->out_codec->format->encode(encoder->out_codec, run->columns, run->count, NULL,
                                       &encoder->text, encoder->ends);
    TN_ASSERT(!tn_buf_over(&encoder->text));
}

/* ---- the call ---- */

static enum tn_status check_row(struct run *run, uint32_t row, bool *ret_skip)
{
    const struct tn_sink_options *options = &run->encoder->spec->options;
    bool is_null = !run->records->values[row].ptr;
    *ret_skip = is_null && options->nulls == TN_SINK_NULLS_IGNORE;
    long long offset = (long long)run->records->offsets[row];
    if (is_null && options->nulls == TN_SINK_NULLS_FAIL)
        return tn_err_set(run->err, TN_E_INVALID,
                          "record at partition %d offset %lld has no value (null.values=fail)",
                          run->part->partition, offset);
    if (run->bad[row] && options->errors == TN_SINK_ERRORS_FAIL)
        return tn_err_set(run->err, TN_E_INVALID,
                          "record at partition %d offset %lld does not fit: %s (errors=fail)",
                          run->part->partition, offset, run->bad[row]);
    return TN_OK;
}

/* A folder's name must fit into a key. */
static void check_folders(struct run *run)
{
    const struct tni_sink_shape *shape = run->encoder->shape;
    for (uint32_t f = 0; f < shape->folders_count; f++) {
        const struct tni_folder_item *item = &shape->folders[f];
        const struct tn_column *col =
            item->kind == TNI_FOLDER_COLUMN ? column_of(run, item->column) : NULL;
        for (uint32_t i = 0; col && col->type->kind == TN_K_VARCHAR && i < run->count; i++)
            if (!run->bad[i] && !tn_column_is_null(col, i) &&
                tn_column_str(col, i).len > FOLDER_VALUE_MAX) {
                run->bad[i] = "the value is too long for a folder's name";
                run->bad_fields[i] = item->name;
            }
    }
}

static void check_json(struct run *run)
{
    for (uint32_t i = 0; i < run->count; i++) {
        struct tn_str value = run->records->values[i];
        struct tn_json json = {.p = value.ptr, .end = value.ptr + value.len, .depth_max = 256};
        if (value.ptr && !run->bad[i] && !tn_json_check(&json))
            run->bad[i] = json.reason;
    }
}

enum tn_status tni_encoder_add(struct tni_encoder *encoder, struct tni_sink_part *part,
                               const struct tn_records *records, uint32_t count, struct tn_err *err)
{
    const struct tn_sink_options *options = &encoder->spec->options;
    struct run run = {
        .encoder = encoder, .part = part, .records = records, .count = count, .err = err};
    tn_arena_reset(&encoder->rows);
    run.bad = TN_ARENA_ARRAY(&encoder->rows, const char *, count);
    run.bad_fields = TN_ARENA_ARRAY(&encoder->rows, struct tn_str, count);
    if (encoder->shape->needs_columns)
        decode(&run);
    if (encoder->shape->folder_step_us)
        find_times(&run);
    check_folders(&run);
    if (options->layout == TN_SINK_VALUE && !options->object_key)
        check_json(&run);
    for (uint32_t row = 0; row < count; row++) {
        bool is_skipped;
        TN_TRY(check_row(&run, row, &is_skipped));
    }
    if (encoder->shape->columns)
        encode_columns(&run);
    for (uint32_t row = 0; row < count; row++) {
        bool is_skipped;
        TN_TRY(check_row(&run, row, &is_skipped));
        if (is_skipped)
            continue;
        if (run.bad[row])
            add_bad(&run, row);
        else if (options->object_key)
            add_object(&run, row);
        else if (options->layout == TN_SINK_CHANGE)
            add_change(&run, row);
        else if (options->layout == TN_SINK_VALUE)
            add_value(&run, row);
        else
            add_raw(&run, row);
    }
    part->rows += count;
    part->next = count ? records->offsets[count - 1] + 1 : part->next;
    return TN_OK;
}

void tni_encoder_finish(struct tni_encoder *encoder, struct tni_sink_part *part)
{
    for (uint32_t i = 0; i < part->files_count; i++) {
        struct tni_sink_file *file = &part->files[i];
        if (file->is_closed)
            continue;
        if (file->raw.len)
            pack_block(encoder, file);
        if (!file->path.len) {
            tn_buf_add_str(&file->path, tn_buf_str(&file->folder));
            if (file->path.len)
                tn_buf_add_byte(&file->path, '/');
            tni_sink_file_name(encoder->spec, part->partition, file->first, encoder->epoch,
                               &file->path);
        }
        file->crc32 = tn_pack_crc32(file->crc32, tn_buf_str(&file->out));
        file->is_closed = true;
    }
}
