/* Catalog records in memory: see mem_catalog.h. */
#include "tests/bench/mem_catalog.h"

#include "stream/base/mem.h"

struct record {
    char *bytes;
    size_t len;
};

struct mem_catalog {
    struct tn_catalog_store base;
    struct record *records;
    size_t count;
};

static enum tn_status mem_append(struct tn_catalog_store *store, int64_t version,
                                 struct tn_str record, struct tn_err *err)
{
    struct mem_catalog *catalog = (struct mem_catalog *)store;
    if (version != (int64_t)catalog->count + 1)
        return tn_err_set(err, TN_E_BUSY, "another version came first");
    catalog->records =
        tn_realloc(catalog->records, (catalog->count + 1) * sizeof *catalog->records);
    catalog->records[catalog->count++] =
        (struct record){tn_strndup(record.ptr, record.len), record.len};
    return TN_OK;
}

static enum tn_status mem_each(struct tn_catalog_store *store,
                               enum tn_status (*each)(void *ctx, int64_t version,
                                                      struct tn_str record, struct tn_err *err),
                               void *ctx, struct tn_err *err)
{
    struct mem_catalog *catalog = (struct mem_catalog *)store;
    for (size_t i = 0; i < catalog->count; i++)
        TN_TRY(each(ctx, (int64_t)i + 1,
                    (struct tn_str){catalog->records[i].bytes, catalog->records[i].len}, err));
    return TN_OK;
}

struct tn_catalog_store *mem_catalog_new(void)
{
    struct mem_catalog *catalog = tn_alloc(sizeof *catalog);
    catalog->base.append = mem_append;
    catalog->base.each = mem_each;
    return &catalog->base;
}

void mem_catalog_free(struct tn_catalog_store *store)
{
    struct mem_catalog *catalog = (struct mem_catalog *)store;
    for (size_t i = 0; i < catalog->count; i++)
        tn_free(catalog->records[i].bytes);
    tn_free(catalog->records);
    tn_free(catalog);
}
