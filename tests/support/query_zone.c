/* Tables of the query fixture as zone tables. See query_fixture.h. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "connectors/file_write.h"
#include "connectors/folder_store.h"
#include "tests/check.h"
#include "tests/support/query_fixture.h"
#include "tests/support/test_clock.h"

static void add_value(struct tn_colbuilder *builder, const struct tn_value *value)
{
    if (value->is_null)
        tn_colbuilder_add_null(builder);
    else
        tn_colbuilder_add(builder, value);
}

/* Rows [from, to) as columns. */
static struct tn_column *columns_of(const struct query_fixture_table *table, uint32_t from,
                                    uint32_t to, struct tn_arena *arena)
{
    uint32_t count = table->system.schema->fields_count;
    struct tn_column *columns = TN_ARENA_ARRAY(arena, struct tn_column, count);
    for (uint32_t c = 0; c < count; c++) {
        struct tn_colbuilder *builder =
            tn_colbuilder_new(table->system.schema->fields[c].type, arena);
        for (uint32_t r = from; r < to; r++)
            add_value(builder, &table->rows[(size_t)r * count + c]);
        tn_colbuilder_finish(builder, &columns[c]);
    }
    return columns;
}

/* Files that are an hour old are neither watched for growth nor kept out of memory. */
static void make_old(const char *folder, const char *key)
{
    char path[600];
    snprintf(path, sizeof path, "%s/%s", folder, key);
    struct timespec then = {.tv_sec = test_clock.wall_ms(&test_clock) / 1000 - 3600};
    CHECK_INT(utimensat(AT_FDCWD, path, (struct timespec[2]){then, then}, 0), 0);
}

static void put_rows(struct tn_object_store *store, const char *key,
                     const struct tn_file_layout *layout, const struct tn_column *columns,
                     uint32_t from, uint32_t count)
{
    struct tn_err err = TN_ERR_INIT;
    struct tn_buf body;
    tn_buf_init(&body, 1 << 20);
    tn_file_write_rows(layout, columns, from, count, &body);
    CHECK_OK(tn_object_put(store, key, tn_buf_str(&body), false, 0, &err), &err);
    tn_buf_release(&body);
}

/* Text of a partition folder. */
static void part_key(const struct tn_str name, const struct tn_column *col, uint32_t row,
                     uint32_t number, char *ret_key, size_t size)
{
    struct tn_field field = {name, col->type};
    struct tn_schema schema = {1, &field};
    struct tn_file_layout csv = {TN_FILE_CSV, &schema, TN_FILE_BAD_NULL, ',', '"', '"', 0};
    struct tn_buf text;
    tn_buf_init(&text, 1024);
    tn_file_write_rows(&csv, col, row, 1, &text);
    struct tn_str value = {text.ptr, text.len - 1};
    if (tn_column_is_null(col, row))
        value = TN_STR("__HIVE_DEFAULT_PARTITION__");
    snprintf(ret_key, size, "%.*s=%.*s/part-%05u", TN_STR_FMT(name), TN_STR_FMT(value), number);
    tn_buf_release(&text);
}

void query_fixture_zone(struct query_fixture *fx, struct query_fixture_table *table,
                        const char *folder, enum tn_file_format format, int files_count,
                        bool is_partitioned, int64_t cache_bytes)
{
    struct tn_err err = TN_ERR_INIT;
    struct tn_object_store *store = NULL;
    const struct tn_schema *schema = table->system.schema;
    uint32_t stored = schema->fields_count - is_partitioned;
    struct tn_schema *layout = TN_ARENA_NEW(&fx->arena, struct tn_schema);
    struct tn_zone_table *zone = TN_ARENA_NEW(&fx->arena, struct tn_zone_table);
    *layout = (struct tn_schema){stored, schema->fields};
    zone->layout =
        (struct tn_file_layout){format, layout, TN_FILE_BAD_NULL, ',', '"', '"', .header_lines = 0};
    zone->location = tn_arena_printf(&fx->arena, "file://%s/", folder);
    zone->is_external = true;
    zone->partitions_count = is_partitioned;
    if (!fx->zones) {
        static const struct tn_s3_options none;
        fx->stores = tn_object_stores_new(&none, &test_clock, NULL);
        fx->zones = tni_zones_new(&(struct tni_zones_config){
            .stores = fx->stores,
            .clock = &test_clock,
            .cache_bytes = cache_bytes,
            /* JSON without memory: cut into tiny parts that several threads decode */
            .threads_count = cache_bytes ? 1 : 3,
            .unit_bytes = cache_bytes ? 0 : 150});
    }
    CHECK_OK(tn_folder_store_open(folder, &store, &err), &err);
    uint32_t chunk = table->rows_count / (uint32_t)files_count + 1;
    for (uint32_t from = 0, n = 0; from < table->rows_count; from += chunk, n++) {
        uint32_t to = from + chunk < table->rows_count ? from + chunk : table->rows_count;
        struct tn_column *columns = columns_of(table, from, to, &fx->arena);
        char key[200];
        for (uint32_t r = 0; is_partitioned && r < to - from; r++) {
            part_key(schema->fields[stored].name, &columns[stored], r, from + r, key, sizeof key);
            put_rows(store, key, &zone->layout, columns, r, 1);
            make_old(folder, key);
        }
        snprintf(key, sizeof key, "part-%05u", n);
        if (!is_partitioned) {
            put_rows(store, key, &zone->layout, columns, 0, to - from);
            make_old(folder, key);
        }
    }
    tn_object_store_close(store);
    table->object.kind = TN_OBJ_ZONE;
    table->object.zone = zone;
}
