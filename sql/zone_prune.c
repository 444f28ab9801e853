/* What is known of files before they are read: partition folders, names, bounds. Contract:
 * sql/zone_scan.h. */
#include "sql/zone_scan.h"

#include <stdlib.h>

#include "sql/scan_int.h"
#include "stream/base/time.h"

#define DEFAULT_PARTITION "__HIVE_DEFAULT_PARTITION__"

/* ---- partition values ---- */

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 32;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static struct tn_str unescape(struct tn_str text, struct tn_arena *arena)
{
    if (!text.len || !memchr(text.ptr, '%', text.len))
        return text;
    char *to = tn_arena_alloc(arena, text.len + 1);
    size_t len = 0;
    for (size_t i = 0; i < text.len; i++) {
        bool is_hex = text.ptr[i] == '%' && i + 2 < text.len && hex(text.ptr[i + 1]) >= 0 &&
                      hex(text.ptr[i + 2]) >= 0;
        to[len++] = is_hex ? (char)(hex(text.ptr[i + 1]) * 16 + hex(text.ptr[i + 2])) : text.ptr[i];
        i += is_hex ? 2 : 0;
    }
    return (struct tn_str){to, len};
}

/* Text of partition `name` of a file: from the log, else from the folders of its key. ptr NULL =
 * null. */
static struct tn_str part_text(const struct tni_zone_file *file, struct tn_str name,
                               struct tn_arena *arena)
{
    for (uint32_t i = 0; i < file->parts_count; i++)
        if (tn_str_eq_nocase(file->parts[i].column, name))
            return file->parts[i].value;
    for (const char *p = file->key; p;) {
        const char *slash = strchr(p, '/');
        if (!slash)
            break;
        const char *equals = memchr(p, '=', (size_t)(slash - p));
        if (equals && tn_str_eq_nocase((struct tn_str){p, (size_t)(equals - p)}, name)) {
            struct tn_str value = {equals + 1, (size_t)(slash - equals) - 1};
            if (tn_str_eq(value, TN_STR(DEFAULT_PARTITION)))
                break;
            return unescape(value, arena);
        }
        p = slash + 1;
    }
    return (struct tn_str){NULL, 0};
}

static bool parse_i64(struct tn_str text, int64_t *ret_value)
{
    char copy[32], *end;
    if (text.len == 0 || text.len >= sizeof copy)
        return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = 0;
    *ret_value = strtoll(copy, &end, 10);
    return *end == 0;
}

static bool parse_f64(struct tn_str text, double *ret_value)
{
    char copy[64], *end;
    if (text.len == 0 || text.len >= sizeof copy)
        return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = 0;
    *ret_value = strtod(copy, &end);
    return *end == 0;
}

/* Text of a folder or bound as a value of `type`; NULL when it is none. */
static struct tn_value text_value(struct tn_str text, const struct tn_type *type)
{
    struct tn_value value = {.type = type};
    int32_t days;
    bool ok = false;
    switch (text.ptr ? type->kind : TN_K_NULL) {
    case TN_K_VARCHAR:
    case TN_K_JSON:
        value.s = text;
        ok = true;
        break;
    case TN_K_BOOLEAN:
        value.b = tn_str_eq_nocase(text, TN_STR("true"));
        ok = value.b || tn_str_eq_nocase(text, TN_STR("false"));
        break;
    case TN_K_INTEGER:
        ok = parse_i64(text, &value.i) && value.i >= INT32_MIN && value.i <= INT32_MAX;
        break;
    case TN_K_BIGINT: ok = parse_i64(text, &value.i); break;
    case TN_K_DOUBLE: ok = parse_f64(text, &value.d); break;
    case TN_K_DECIMAL:
        ok = tn_decimal_parse_exact(text, type->precision, type->scale, &value.dec);
        break;
    case TN_K_DATE:
        ok = tn_date_parse(text, &days);
        value.i = ok ? days : 0;
        break;
    case TN_K_TIMESTAMP:
    case TN_K_TIMESTAMP_TZ: ok = tn_timestamp_parse(text, &value.i); break;
    default: break;
    }
    value.is_null = !ok;
    return value;
}

/* ---- filling ---- */

static struct tn_value part_value(const struct tni_tscan_spec *spec, uint32_t column,
                                  const struct tni_zone_file *file, struct tn_arena *arena)
{
    const struct tn_field *field = &spec->object->schema->fields[column];
    return text_value(part_text(file, field->name, arena), field->type);
}

static struct tn_value path_value(const struct tni_zone_files *files,
                                  const struct tni_zone_file *file, struct tn_arena *arena)
{
    char *path = tn_arena_printf(arena, "%s%s", files->url, file->key);
    return (struct tn_value){.type = tn_type_of(TN_K_VARCHAR), .s = tn_str_of(path)};
}

static struct tn_value run_value(const struct tni_tscan_spec *spec,
                                 const struct tni_zone_files *files, uint32_t column,
                                 const struct tni_zone_file *file, struct tn_arena *arena)
{
    uint32_t count = spec->object->schema->fields_count;
    if (column < count)
        return part_value(spec, column, file, arena);
    switch ((enum tn_pseudo)(column - count)) {
    case TN_PSEUDO_PATH: return path_value(files, file, arena);
    case TN_PSEUDO_FILE_TIME:
        return (struct tn_value){.type = tn_type_of(TN_K_TIMESTAMP_TZ),
                                 .i = file->modified_ms * TN_US_PER_MS};
    default: return (struct tn_value){.type = tn_type_of(TN_K_BIGINT), .i = file->bytes};
    }
}

void tni_zone_fill_runs(const struct tni_tscan_spec *spec, const struct tni_zone_files *files,
                        const struct tni_run *runs, uint32_t runs_count, struct tn_batch *batch,
                        struct tn_arena *arena)
{
    uint32_t stored = spec->object->zone->layout.schema->fields_count;
    uint32_t count = spec->object->schema->fields_count;
    for (uint32_t c = stored; c < batch->schema->fields_count; c++) {
        bool is_file = c >= count && c - count >= TN_PSEUDO_PATH;
        if (!tni_tscan_needs(spec, c) || (c >= count && !is_file))
            continue;
        struct tn_colbuilder *builder = tn_colbuilder_new(batch->schema->fields[c].type, arena);
        for (uint32_t r = 0; r < runs_count; r++) {
            struct tn_value value = run_value(spec, files, c, runs[r].file, arena);
            for (uint32_t i = 0; i < runs[r].rows_count; i++) {
                if (value.is_null)
                    tn_colbuilder_add_null(builder);
                else
                    tn_colbuilder_add(builder, &value);
            }
        }
        tn_colbuilder_finish(builder, &batch->columns[c]);
    }
}

/* ---- pruning ---- */

/* May a column with values between low and high (type NULL = open; is_null: only NULL) have a row
 * that passes? */
static bool pred_may_match(const struct tni_pred *pred, const struct tn_value *low,
                           const struct tn_value *high)
{
    if (pred->is_none)
        return false;
    if (pred->values_count) {
        for (uint32_t i = 0; i < pred->values_count; i++)
            if ((!low->type || tn_value_cmp(&pred->values[i], low) >= 0) &&
                (!high->type || tn_value_cmp(&pred->values[i], high) <= 0))
                return true;
        return false;
    }
    if (pred->low && high->type) {
        int order = tn_value_cmp(high, pred->low);
        if (order < 0 || (order == 0 && pred->is_low_strict))
            return false;
    }
    if (pred->high && low->type) {
        int order = tn_value_cmp(low, pred->high);
        if (order > 0 || (order == 0 && pred->is_high_strict))
            return false;
    }
    return true;
}

static bool exact_may_match(const struct tni_pred *pred, const struct tn_value *value)
{
    return !value->is_null && pred_may_match(pred, value, value);
}

/* A bound of the table log as a value of the column's type; type NULL = unknown. */
static struct tn_value bound_value(const struct tn_table_value *bound, const struct tn_type *type)
{
    struct tn_value value = {.type = NULL};
    switch (bound->kind) {
    case TN_TABLE_INT:
        if (type->kind == TN_K_INTEGER || type->kind == TN_K_BIGINT)
            value = (struct tn_value){.type = type, .i = bound->integer};
        break;
    case TN_TABLE_DOUBLE:
        if (type->kind == TN_K_DOUBLE && bound->number == bound->number)
            value = (struct tn_value){.type = type, .d = bound->number};
        break;
    case TN_TABLE_TEXT:
        if (type->kind == TN_K_VARCHAR || type->kind == TN_K_DATE || type->kind == TN_K_TIMESTAMP ||
            type->kind == TN_K_TIMESTAMP_TZ || type->kind == TN_K_DECIMAL)
            value = text_value(bound->text, type);
        break;
    default: break;
    }
    if (value.is_null)
        value.type = NULL;
    return value;
}

static bool stats_may_match(const struct tni_tscan_spec *spec, const struct tni_pred *pred,
                            const struct tni_zone_file *file)
{
    const struct tn_field *field = &spec->object->schema->fields[pred->column];
    for (uint32_t i = 0; i < file->stats_count; i++) {
        const struct tn_table_stat *stat = &file->stats[i];
        if (!tn_str_eq_nocase(stat->column, field->name))
            continue;
        if (file->rows >= 0 && stat->nulls == file->rows)
            return false; /* a predicate is never true for NULL */
        struct tn_value low = bound_value(&stat->min, field->type);
        struct tn_value high = bound_value(&stat->max, field->type);
        return pred_may_match(pred, &low, &high);
    }
    return !pred->is_none;
}

static bool file_may_match(const struct tni_tscan_spec *spec, const struct tni_zone_files *files,
                           const struct tni_zone_file *file, struct tn_arena *arena)
{
    uint32_t stored = spec->object->zone->layout.schema->fields_count;
    uint32_t count = spec->object->schema->fields_count;
    for (uint32_t i = 0; i < spec->preds_count; i++) {
        const struct tni_pred *pred = &spec->preds[i];
        uint32_t column = (uint32_t)pred->column;
        if (column < count && spec->object->schema->fields[column].type->length_max)
            continue; /* its values are cut when they are read */
        if (column < stored) {
            if (!stats_may_match(spec, pred, file))
                return false;
            continue;
        }
        if (column >= count && column - count < TN_PSEUDO_PATH)
            continue;
        struct tn_value value = run_value(spec, files, column, file, arena);
        if (!exact_may_match(pred, &value))
            return false;
    }
    return true;
}

bool *tni_zone_prune(const struct tni_tscan_spec *spec, const struct tni_zone_files *files,
                     struct tn_arena *arena)
{
    struct tn_arena scratch;
    if (!spec->preds_count)
        return NULL;
    bool *is_wanted = TN_ARENA_ARRAY(arena, bool, (size_t)files->count + 1);
    tn_arena_init(&scratch, 0);
    for (uint32_t i = 0; i < files->count; i++) {
        is_wanted[i] = file_may_match(spec, files, &files->files[i], &scratch);
        if (i % 256 == 255)
            tn_arena_reset(&scratch);
    }
    tn_arena_release(&scratch);
    return is_wanted;
}
