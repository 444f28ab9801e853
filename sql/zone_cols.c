/* Columns of files that are remembered. Contract: sql/zone_files.h.
 *
 * A ring from newest to oldest use. References: one of each snapshot's file, one of the ring.
 * Eviction frees the buffers at once unless somebody reads them (pins); the small head stays until
 * the last file lets go of it.
 */
#include "sql/zone_int.h"

#include "stream/base/hash.h"
#include "stream/base/mem.h"

uint64_t tni_zone_layout_hash(const struct tn_file_layout *layout)
{
    uint64_t hash =
        tn_mix64((uint64_t)layout->format << 8 | (uint64_t)layout->on_bad,
                 (uint64_t)(unsigned char)layout->separator << 16 |
                     (uint64_t)(unsigned char)layout->quote << 8 | (unsigned char)layout->escape);
    hash = tn_mix64(hash, layout->header_lines);
    struct tn_buf buf;
    tn_buf_init(&buf, 1u << 20);
    for (uint32_t i = 0; i < layout->schema->fields_count; i++) {
        tn_buf_add_json(&buf, layout->schema->fields[i].name);
        tn_type_print_trino(layout->schema->fields[i].type, &buf);
    }
    hash = tn_mix64(hash, tn_hash64(tn_buf_str(&buf).ptr, buf.len));
    tn_buf_release(&buf);
    return hash;
}

/* ---- the ring ---- */

static void ring_remove(struct tni_zones *zones, struct tni_zone_cols *cols)
{
    if (!cols->is_listed)
        return;
    cols->newer->older = cols->older;
    cols->older->newer = cols->newer;
    cols->is_listed = false;
    zones->cols_bytes -= cols->bytes;
}

static void ring_push(struct tni_zones *zones, struct tni_zone_cols *cols)
{
    cols->older = zones->lru.older; /* lru.older = the newest */
    cols->newer = &zones->lru;
    cols->older->newer = cols;
    zones->lru.older = cols;
    cols->is_listed = true;
    zones->cols_bytes += cols->bytes;
}

static void drop_buffers(struct tni_zone_cols *cols)
{
    for (uint32_t i = 0; i < cols->parts_count; i++)
        tn_free(cols->parts[i].block);
    tn_arena_release(&cols->arena);
    tn_free(cols->parts);
    tn_free((void *)(uintptr_t)cols->has);
    cols->parts = NULL;
    cols->has = NULL;
}

static void free_if_unused(struct tni_zone_cols *cols)
{
    if (cols->pins || cols->is_listed)
        return;
    if (cols->has)
        drop_buffers(cols);
    if (!cols->refs)
        tn_free(cols);
}

void tni_cols_unref(struct tni_zones *zones, struct tni_zone_cols *cols)
{
    if (!cols)
        return;
    TN_ASSERT(cols->refs > 0);
    cols->refs--;
    if (!cols->refs)
        ring_remove(zones, cols); /* no file has it any more */
    free_if_unused(cols);
}

static void evict(struct tni_zones *zones)
{
    while (zones->cols_bytes > (size_t)zones->config.cache_bytes) {
        struct tni_zone_cols *oldest = zones->lru.newer;
        if (oldest == &zones->lru)
            return;
        ring_remove(zones, oldest);
        free_if_unused(oldest);
    }
}

/* ---- use ---- */

struct tni_zone_cols *tni_zone_cols_get(struct tni_zones *zones, struct tni_zone_file *file,
                                        uint64_t layout, const bool *needed, uint32_t columns_count)
{
    pthread_mutex_lock(&zones->lock);
    struct tni_zone_cols *cols = file->cols;
    bool is_good =
        cols && cols->is_listed && cols->layout == layout && cols->columns_count == columns_count;
    for (uint32_t c = 0; is_good && c < columns_count; c++)
        is_good = cols->has[c] || !needed[c];
    if (is_good) {
        cols->pins++;
        ring_remove(zones, cols);
        ring_push(zones, cols);
    }
    pthread_mutex_unlock(&zones->lock);
    return is_good ? cols : NULL;
}

bool tni_zone_cols_has(struct tni_zones *zones, const struct tni_zone_file *file, uint64_t layout)
{
    pthread_mutex_lock(&zones->lock);
    bool has = file->cols && file->cols->is_listed && file->cols->layout == layout;
    pthread_mutex_unlock(&zones->lock);
    return has;
}

void tni_zone_cols_unpin(struct tni_zones *zones, struct tni_zone_cols *cols)
{
    pthread_mutex_lock(&zones->lock);
    TN_ASSERT(cols->pins > 0);
    cols->pins--;
    free_if_unused(cols);
    pthread_mutex_unlock(&zones->lock);
}

bool tni_zone_cols_fits(const struct tni_zones *zones, int64_t file_bytes)
{
    return file_bytes <= zones->config.cache_bytes / 8;
}

struct tni_zone_cols *tni_zone_cols_new(uint64_t layout, const bool *needed, uint32_t columns_count)
{
    struct tni_zone_cols *cols = tn_alloc(sizeof *cols);
    tn_arena_init(&cols->arena, 0); /* nested columns */
    bool *has = tn_alloc_array((size_t)columns_count + 1, sizeof *has);
    memcpy(has, needed, columns_count * sizeof *has);
    cols->has = has;
    cols->layout = layout;
    cols->columns_count = columns_count;
    cols->pins = 1;
    return cols;
}

static size_t aligned(size_t bytes)
{
    return (bytes + 15u) & ~(size_t)15u;
}

/* Bytes of the buffers of a column that is neither absent nor nested. */
static size_t column_bytes(const struct tn_column *col)
{
    uint32_t count = col->rows_count;
    size_t bytes = col->validity ? aligned(tn_bits_bytes(count)) : 0;
    if (tn_kind_is_varlen(col->type->kind))
        return bytes + aligned((count + 1) * sizeof *col->offsets) +
               aligned((size_t)col->offsets[count] + 1);
    size_t width = tn_kind_width(col->type->kind);
    return bytes + aligned(width ? width * count : tn_bits_bytes(count));
}

static void *copied(char **io_to, const void *from, size_t bytes, size_t room)
{
    char *to = *io_to;
    if (bytes)
        memcpy(to, from, bytes);
    *io_to = to + aligned(room);
    return to;
}

static void column_copy(const struct tn_column *from, struct tn_column *to, char **io_to)
{
    uint32_t count = from->rows_count;
    *to = *from;
    if (from->validity)
        to->validity = copied(io_to, from->validity, tn_bits_bytes(count), tn_bits_bytes(count));
    if (tn_kind_is_varlen(from->type->kind)) {
        size_t bytes = (count + 1) * sizeof *to->offsets, data = (size_t)from->offsets[count];
        to->offsets = copied(io_to, from->offsets, bytes, bytes);
        to->data = copied(io_to, from->data, data, data + 1);
        return;
    }
    size_t width = tn_kind_width(from->type->kind);
    size_t bytes = width ? width * count : tn_bits_bytes(count);
    to->values = copied(io_to, from->values, bytes, bytes);
}

void tni_zone_cols_add(struct tni_zone_cols *cols, const struct tn_column *columns,
                       uint32_t rows_count)
{
    cols->parts = tn_realloc(cols->parts, (cols->parts_count + 1) * sizeof *cols->parts);
    struct tni_zone_colpart *part = &cols->parts[cols->parts_count++];
    size_t heads = aligned(((size_t)cols->columns_count + 1) * sizeof *part->columns);
    size_t bytes = heads;
    for (uint32_t c = 0; c < cols->columns_count; c++)
        if (!columns[c].is_absent && !tn_kind_is_nested(columns[c].type->kind))
            bytes += column_bytes(&columns[c]);
    part->rows_count = rows_count;
    part->block = tn_alloc_raw(bytes);
    part->columns = part->block;
    char *to = (char *)part->block + heads;
    for (uint32_t c = 0; c < cols->columns_count; c++) {
        part->columns[c] = columns[c];
        if (columns[c].is_absent)
            continue;
        if (!tn_kind_is_nested(columns[c].type->kind)) {
            column_copy(&columns[c], &part->columns[c], &to);
            continue;
        }
        uint32_t *rows = tn_arena_alloc(&cols->arena, (rows_count + 1) * sizeof *rows);
        for (uint32_t i = 0; i < rows_count; i++)
            rows[i] = i;
        tn_column_gather(&columns[c], rows, rows_count, &part->columns[c], &cols->arena);
    }
    TN_ASSERT(to == (char *)part->block + bytes);
    cols->bytes += bytes + sizeof *part;
    cols->rows_count += rows_count;
}

void tni_zone_cols_put(struct tni_zones *zones, struct tni_zone_file *file,
                       struct tni_zone_cols *cols)
{
    if (cols->is_listed) /* it came from memory */
        return;
    cols->bytes += sizeof *cols + cols->arena.bytes_total + 3 * 16 + cols->columns_count;
    pthread_mutex_lock(&zones->lock);
    if (cols->bytes <= (size_t)zones->config.cache_bytes / 4) {
        tni_cols_unref(zones, file->cols);
        file->cols = cols;
        cols->refs++;
        ring_push(zones, cols);
        evict(zones);
    }
    if (zones->metrics[3])
        tn_metric_set(zones->metrics[3], (int64_t)zones->cols_bytes);
    pthread_mutex_unlock(&zones->lock);
}
