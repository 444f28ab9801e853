/* What a sink's spec means: columns of its files, folders, names of files and objects. Pure: the
 * same spec and record give the same name. Contract: connectors/sink_int.h. */
#include "connectors/sink_int.h"

#include <inttypes.h>
#include <stdio.h>

#include "connectors/formats.h"
#include "stream/base/digest.h"
#include "stream/base/mem.h"
#include "stream/base/time.h"

struct tn_sink_spec *tn_sink_spec_new(void)
{
    struct tn_sink_spec *spec = tn_alloc(sizeof *spec);
    atomic_init(&spec->refs, 1);
    tn_arena_init(&spec->arena, 0);
    tn_sink_options_init(&spec->options, &spec->arena);
    return spec;
}

struct tn_sink_spec *tn_sink_spec_ref(struct tn_sink_spec *spec)
{
    atomic_fetch_add(&spec->refs, 1);
    return spec;
}

struct tn_sink_spec *tn_sink_spec_derive(struct tn_sink_spec *base)
{
    struct tn_sink_spec *spec = tn_alloc(sizeof *spec);
    *spec = (struct tn_sink_spec){.name = base->name,
                                  .table = base->table,
                                  .location = base->location,
                                  .decl = base->decl,
                                  .options = base->options,
                                  .is_paused = base->is_paused,
                                  .base = tn_sink_spec_ref(base)};
    atomic_init(&spec->refs, 1);
    tn_arena_init(&spec->arena, 0);
    return spec;
}

void tn_sink_spec_unref(struct tn_sink_spec *spec)
{
    if (!spec || atomic_fetch_sub(&spec->refs, 1) > 1)
        return;
    tn_sink_spec_unref(spec->base);
    tn_arena_release(&spec->arena);
    tn_free(spec);
}

/* ---- columns ---- */

struct extra {
    const char *name;
    enum tn_kind kind;
};

static const struct extra change_extras[] = {
    {"windowstart", TN_K_BIGINT}, {"windowend", TN_K_BIGINT},   {"_op", TN_K_VARCHAR},
    {"_ts", TN_K_TIMESTAMP},      {"_partition", TN_K_INTEGER}, {"_offset", TN_K_BIGINT}};
#define EXTRAS_COUNT 6
static const struct extra raw_columns[] = {
    {"_ts", TN_K_TIMESTAMP},     {"_partition", TN_K_INTEGER}, {"_offset", TN_K_BIGINT},
    {"_key", TN_K_VARCHAR},      {"_key_b64", TN_K_VARCHAR},   {"_value", TN_K_VARCHAR},
    {"_value_b64", TN_K_VARCHAR}};

static bool is_folder_column(const struct tni_sink_shape *shape, uint32_t column)
{
    for (uint32_t i = 0; i < shape->folders_count; i++)
        if (shape->folders[i].kind == TNI_FOLDER_COLUMN && shape->folders[i].column == (int)column)
            return true;
    return false;
}

static enum tn_status change_columns(const struct tn_sink_spec *spec, struct tn_arena *arena,
                                     struct tni_sink_shape *shape, struct tn_err *err)
{
    const struct tn_schema *schema = spec->decl.schema;
    struct tn_field *fields =
        TN_ARENA_ARRAY(arena, struct tn_field, schema->fields_count + EXTRAS_COUNT);
    int *from = TN_ARENA_ARRAY(arena, int, schema->fields_count + EXTRAS_COUNT);
    uint32_t count = 0;
    for (uint32_t i = 0; i < schema->fields_count; i++) {
        if (is_folder_column(shape, i))
            continue;
        fields[count] = schema->fields[i];
        from[count++] = (int)i;
    }
    for (int i = spec->decl.window == TN_WINDOW_NONE ? 2 : 0; i < EXTRAS_COUNT; i++) {
        struct tn_str name = tn_str_of(change_extras[i].name);
        if (tn_schema_find(schema, name) >= 0)
            return tn_err_set(err, TN_E_INVALID,
                              "'%s' is a column of the layout change and of the stream; rename it",
                              change_extras[i].name);
        fields[count] = (struct tn_field){name, tn_type_of(change_extras[i].kind)};
        from[count++] = -1 - i;
    }
    struct tn_schema *columns = TN_ARENA_NEW(arena, struct tn_schema);
    *columns = (struct tn_schema){count, fields};
    shape->columns = columns;
    shape->from = from;
    shape->columns_count = count;
    return TN_OK;
}

/* ---- folders ---- */

static enum tn_status time_folder(struct tni_folder_item *item, const char *name,
                                  const char *pattern, struct tn_arena *arena, struct tn_err *err)
{
    item->kind = TNI_FOLDER_TIME;
    item->name = tn_str_of(name);
    return tn_time_pattern_new(TN_PATTERN_JAVA, tn_str_of(pattern), arena, &item->pattern, err);
}

static enum tn_status add_folder(const struct tn_sink_spec *spec, struct tn_str word,
                                 struct tn_arena *arena, struct tni_sink_shape *shape,
                                 struct tn_err *err)
{
    static const char *const times[][3] = {{"year", "year", "uuuu"},
                                           {"month", "month", "MM"},
                                           {"day", "dt", "uuuu-MM-dd"},
                                           {"hour", "hour", "HH"}};
    if (shape->folders_count == TNI_SINK_FOLDERS_MAX)
        return tn_err_set(err, TN_E_LIMIT, "partition.by takes at most %d parts",
                          TNI_SINK_FOLDERS_MAX);
    struct tni_folder_item *item = &shape->folders[shape->folders_count++];
    int column = tn_schema_find(spec->decl.schema, word);
    if (column >= 0) {
        enum tn_kind kind = spec->decl.schema->fields[column].type->kind;
        if (tn_kind_is_nested(kind) || kind == TN_K_BYTES || kind == TN_K_DOUBLE)
            return tn_err_set(err, TN_E_INVALID, "partition.by: '%.*s' cannot name folders",
                              TN_STR_FMT(word));
        struct tn_str name = tn_arena_str(arena, spec->decl.schema->fields[column].name);
        char *lower = tn_arena_strdup(arena, name.ptr); /* as other engines expect */
        for (size_t i = 0; i < name.len; i++)
            lower[i] = (char)(lower[i] >= 'A' && lower[i] <= 'Z' ? lower[i] + 32 : lower[i]);
        *item = (struct tni_folder_item){TNI_FOLDER_COLUMN, {lower, name.len}, column, NULL};
        return TN_OK;
    }
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        if (!tn_str_eq_nocase(word, tn_str_of(times[i][0])))
            continue;
        shape->folder_step_us = TN_US_PER_HOUR;
        return time_folder(item, times[i][1], times[i][2], arena, err);
    }
    return tn_err_set(err, TN_E_NAME,
                      "partition.by: '%.*s' is neither a column nor year, month, day, hour",
                      TN_STR_FMT(word));
}

static enum tn_status make_folders(const struct tn_sink_spec *spec, struct tn_arena *arena,
                                   struct tni_sink_shape *shape, struct tn_err *err)
{
    if (spec->options.path_format) {
        shape->folder_step_us = TN_US_PER_SECOND;
        return tn_time_pattern_new(TN_PATTERN_JODA, tn_str_of(spec->options.path_format), arena,
                                   &shape->path_pattern, err);
    }
    const char *at = spec->options.partition_by;
    while (at && *at) {
        size_t len = strcspn(at, ",");
        struct tn_str word = {at, len};
        while (word.len && *word.ptr == ' ')
            word = (struct tn_str){word.ptr + 1, word.len - 1};
        while (word.len && word.ptr[word.len - 1] == ' ')
            word.len--;
        if (word.len)
            TN_TRY(add_folder(spec, word, arena, shape, err));
        at += len + (at[len] == ',');
    }
    if (spec->options.is_confluent && !shape->folders_count)
        shape->folders[shape->folders_count++] =
            (struct tni_folder_item){TNI_FOLDER_PARTITION, TN_STR("partition"), -1, NULL};
    for (uint32_t i = 0; i < shape->folders_count; i++)
        for (uint32_t k = 0; k < i; k++)
            if (tn_str_eq_nocase(shape->folders[i].name, shape->folders[k].name))
                return tn_err_set(err, TN_E_INVALID, "partition.by names '%.*s' twice",
                                  TN_STR_FMT(shape->folders[i].name));
    return TN_OK;
}

static enum tn_status find_time(const struct tn_sink_spec *spec, struct tni_sink_shape *shape,
                                struct tn_err *err)
{
    const char *field = spec->options.timestamp_field;
    shape->time_column = spec->decl.timestamp_column;
    if (!field)
        return TN_OK;
    shape->time_column = tn_schema_find(spec->decl.schema, tn_str_of(field));
    if (shape->time_column < 0)
        return tn_err_set(err, TN_E_NAME, "timestamp.field: no column '%s'", field);
    enum tn_kind kind = spec->decl.schema->fields[shape->time_column].type->kind;
    if (kind != TN_K_BIGINT && kind != TN_K_TIMESTAMP && kind != TN_K_VARCHAR)
        return tn_err_set(err, TN_E_TYPE,
                          "timestamp.field: '%s' must be BIGINT (ms), TIMESTAMP or text", field);
    return TN_OK;
}

/* ---- object keys ---- */

static enum tn_status add_piece(struct tn_str word, struct tn_arena *arena,
                                struct tni_key_piece *piece, struct tn_err *err)
{
    static const struct tn_str date = {"date:now:", 9};
    static const struct {
        const char *name;
        enum tni_key_kind kind;
    } words[] = {{"exchangeId", TNI_KEY_EXCHANGE},
                 {"topic", TNI_KEY_TOPIC},
                 {"partition", TNI_KEY_PARTITION},
                 {"offset", TNI_KEY_OFFSET}};
    if (word.len > date.len && memcmp(word.ptr, date.ptr, date.len) == 0) {
        piece->kind = TNI_KEY_DATE;
        struct tn_str pattern = {word.ptr + date.len, word.len - date.len};
        return tn_time_pattern_new(TN_PATTERN_JAVA, pattern, arena, &piece->pattern, err);
    }
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (tn_str_eq(word, tn_str_of(words[i].name))) {
            piece->kind = words[i].kind;
            return TN_OK;
        }
    tn_err_set(err, TN_E_INVALID, "object.key: no placeholder '${%.*s}'", TN_STR_FMT(word));
    tn_err_hint(err,
                "${date:now:yyyyMMdd-HHmmssSSS} ${exchangeId} ${topic} ${partition} ${offset}");
    return TN_E_INVALID;
}

static enum tn_status make_pieces(const char *key, struct tn_arena *arena,
                                  struct tni_sink_shape *shape, struct tn_err *err)
{
    shape->pieces = TN_ARENA_ARRAY(arena, struct tni_key_piece, strlen(key) + 1);
    while (*key) {
        struct tni_key_piece *piece = &shape->pieces[shape->pieces_count++];
        const char *open = strstr(key, "${");
        if (open != key) {
            size_t len = open ? (size_t)(open - key) : strlen(key);
            *piece = (struct tni_key_piece){.kind = TNI_KEY_TEXT, .text = {key, len}};
            key += len;
            continue;
        }
        const char *close = strchr(key, '}');
        if (!close)
            return tn_err_set(err, TN_E_INVALID, "object.key: '${' without '}'");
        struct tn_str word = {key + 2, (size_t)(close - key) - 2};
        TN_TRY(add_piece(word, arena, piece, err));
        key = close + 1;
    }
    return TN_OK;
}

enum tn_status tni_sink_shape_make(const struct tn_sink_spec *spec, struct tn_arena *arena,
                                   struct tni_sink_shape *ret_shape, struct tn_err *err)
{
    struct tni_sink_shape shape = {.time_column = -1};
    TN_TRY(make_folders(spec, arena, &shape, err));
    TN_TRY(find_time(spec, &shape, err));
    if (spec->options.layout == TN_SINK_CHANGE && !spec->options.object_key)
        TN_TRY(change_columns(spec, arena, &shape, err));
    if (spec->options.object_key)
        TN_TRY(make_pieces(spec->options.object_key, arena, &shape, err));
    shape.needs_columns = shape.columns_count > 0 || shape.time_column >= 0;
    for (uint32_t i = 0; i < shape.folders_count; i++)
        shape.needs_columns |= shape.folders[i].kind == TNI_FOLDER_COLUMN;
    *ret_shape = shape;
    return TN_OK;
}

enum tn_status tn_sink_spec_check(const struct tn_sink_spec *spec, const struct tn_formats *formats,
                                  struct tn_err *err)
{
    struct tn_arena arena;
    struct tni_sink_shape shape;
    struct tni_encoder encoder = {0};
    const struct tn_sink_options *options = &spec->options;
    bool is_json = strcmp(spec->decl.value_format->name, "JSON") == 0;
    if (options->object_key && options->layout != TN_SINK_VALUE)
        return tn_err_set(err, TN_E_INVALID, "one object per change has layout 'value'");
    if (options->layout == TN_SINK_VALUE && !options->object_key && !is_json)
        return tn_err_set(err, TN_E_INVALID,
                          "layout 'value' writes lines of JSON; the topic's format is %s, use "
                          "'change' or 'raw'",
                          spec->decl.value_format->name);
    if (options->notify_topic && strcmp(options->notify_topic, spec->decl.topic) == 0)
        return tn_err_set(err, TN_E_INVALID, "notify.topic '%s' is the topic the sink reads",
                          options->notify_topic);
    tn_arena_init(&arena, 0);
    enum tn_status st = tni_sink_shape_make(spec, &arena, &shape, err);
    if (st == TN_OK) {
        st = tni_encoder_open(spec, &shape, formats, &encoder, err);
        tni_encoder_close(&encoder);
    }
    tn_arena_release(&arena);
    return st;
}

/* ---- the table's schema ---- */

static uint32_t layout_fields(const struct tn_sink_spec *spec, const struct tni_sink_shape *shape,
                              struct tn_field *fields)
{
    uint32_t count = 0;
    const struct tn_schema *schema = spec->decl.schema;
    if (shape->columns) {
        memcpy(fields, shape->columns->fields, shape->columns_count * sizeof *fields);
        return shape->columns_count;
    }
    if (spec->options.layout == TN_SINK_RAW) {
        for (; count < sizeof raw_columns / sizeof *raw_columns; count++)
            fields[count] = (struct tn_field){tn_str_of(raw_columns[count].name),
                                              tn_type_of(raw_columns[count].kind)};
        return count;
    }
    for (uint32_t i = spec->decl.keys_count; i < schema->fields_count; i++)
        if (!is_folder_column(shape, i))
            fields[count++] = schema->fields[i];
    return count;
}

const struct tn_schema *tn_sink_schema(struct tn_sink_spec *spec, uint32_t *ret_folders)
{
    struct tni_sink_shape shape;
    struct tn_err err = TN_ERR_INIT;
    struct tn_field *fields = TN_ARENA_ARRAY(
        &spec->arena, struct tn_field, spec->decl.schema->fields_count + 16 + TNI_SINK_FOLDERS_MAX);
    enum tn_status st = tni_sink_shape_make(spec, &spec->arena, &shape, &err);
    TN_ASSERT(st == TN_OK); /* checked before */
    uint32_t count = layout_fields(spec, &shape, fields);
    *ret_folders = 0;
    for (uint32_t i = 0; i < shape.folders_count; i++) {
        const struct tni_folder_item *item = &shape.folders[i];
        const struct tn_type *type = tn_type_of(TN_K_VARCHAR);
        if (item->kind == TNI_FOLDER_COLUMN)
            type = spec->decl.schema->fields[item->column].type;
        else if (item->kind == TNI_FOLDER_PARTITION)
            type = tn_type_of(TN_K_INTEGER);
        fields[count++] = (struct tn_field){item->name, type};
        ++*ret_folders;
    }
    struct tn_schema *out = TN_ARENA_NEW(&spec->arena, struct tn_schema);
    *out = (struct tn_schema){count, fields};
    return out;
}

/* ---- names ---- */

static void add_plain(struct tn_str name, struct tn_buf *buf)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                        (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
        tn_buf_add_byte(buf, is_plain && (i || (c != '.' && c != '_')) ? c : '-');
    }
}

void tni_sink_file_name(const struct tn_sink_spec *spec, int32_t partition, int64_t first,
                        int64_t epoch, struct tn_buf *buf)
{
    const struct tn_sink_options *options = &spec->options;
    if (options->is_confluent) {
        const char *delim = options->file_delim ? options->file_delim : "+";
        add_plain(tn_str_of(spec->decl.topic), buf);
        tn_buf_printf(buf, "%s%d%s%0*" PRId64, delim, partition, delim, (int)options->pad_width,
                      first);
    } else {
        const char *dot = strrchr(spec->table, '.');
        add_plain(tn_str_of(dot ? dot + 1 : spec->table), buf);
        tn_buf_printf(buf, "-%d-%020" PRId64 "-%" PRId64, partition, first, epoch);
    }
    tn_buf_printf(buf, ".json%s", tn_pack_suffix(options->pack));
}

void tni_sink_exchange(const struct tn_sink_spec *spec, const uint8_t log_id[16], int64_t epoch,
                       char ret_text[16])
{
    struct tn_buf buf;
    unsigned char digest[32];
    tn_buf_init(&buf, 4096);
    tn_buf_add(&buf, log_id, 16);
    tn_buf_add_text(&buf, spec->name);
    tn_buf_add_be64(&buf, (uint64_t)epoch);
    tn_sha256(tn_buf_str(&buf), digest);
    tn_buf_release(&buf);
    for (int i = 0; i < 15; i++) {
        int half = i % 2 ? digest[i / 2] & 15 : digest[i / 2] >> 4;
        ret_text[i] = "0123456789ABCDEF"[half];
    }
    ret_text[15] = 0;
}

void tni_sink_object_key(const struct tni_sink_shape *shape, const struct tn_sink_spec *spec,
                         const char exchange[16], int32_t partition, int64_t offset,
                         int64_t timestamp_ms, struct tn_buf *buf)
{
    for (uint32_t i = 0; i < shape->pieces_count; i++) {
        const struct tni_key_piece *piece = &shape->pieces[i];
        switch (piece->kind) {
        case TNI_KEY_TEXT: tn_buf_add_str(buf, piece->text); break;
        case TNI_KEY_DATE:
            tn_time_pattern_print(piece->pattern, timestamp_ms * TN_US_PER_MS, NULL, buf);
            break;
        case TNI_KEY_EXCHANGE:
            tn_buf_printf(buf, "%s-%04X%012" PRIX64, exchange, (unsigned)partition & 0xffffu,
                          (uint64_t)offset);
            break;
        case TNI_KEY_TOPIC: tn_buf_add_text(buf, spec->decl.topic); break;
        case TNI_KEY_PARTITION: tn_buf_printf(buf, "%d", partition); break;
        case TNI_KEY_OFFSET: tn_buf_printf(buf, "%020" PRId64, offset); break;
        }
    }
}
