/* The catalog's records: key = version, 8 bytes big-endian; value = the record. */
#include "store/catalog_store.h"

#include <inttypes.h>

#include "store/db_int.h"
#include "stream/base/crashpoint.h"
#include "stream/base/mem.h"

struct tni_catalog {
    struct tn_catalog_store base;
    struct tn_store *store;
    pthread_mutex_t mu;
    int64_t last; /* newest version; under mu */
};

static enum tn_status catalog_append(struct tn_catalog_store *base, int64_t version,
                                     struct tn_str record, struct tn_err *err)
{
    struct tni_catalog *catalog = (struct tni_catalog *)(void *)base;
    enum tn_status st;
    pthread_mutex_lock(&catalog->mu);
    if (version != catalog->last + 1) {
        st = tn_err_set(err, TN_E_BUSY,
                        "the catalog is at version %" PRId64 ", cannot add version %" PRId64,
                        catalog->last, version);
    } else {
        char key[8];
        tni_put_be64(key, (uint64_t)version);
        rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
        rocksdb_writebatch_put_cf(batch, catalog->store->cf[TNI_CF_CATALOG], key, sizeof key,
                                  record.ptr, record.len);
        tn_crash_point("catalog-before-write");
        st = tni_store_write(catalog->store, batch, true, err);
        rocksdb_writebatch_destroy(batch);
        if (st == TN_OK)
            catalog->last = version;
    }
    pthread_mutex_unlock(&catalog->mu);
    return st;
}

static enum tn_status catalog_each(struct tn_catalog_store *base,
                                   enum tn_status (*each)(void *ctx, int64_t version,
                                                          struct tn_str record, struct tn_err *err),
                                   void *ctx, struct tn_err *err)
{
    struct tni_catalog *catalog = (struct tni_catalog *)(void *)base;
    struct tni_iter iter;
    tni_iter_open(catalog->store, TNI_CF_CATALOG, (struct tn_str){NULL, 0}, &iter);
    enum tn_status st = TN_OK;
    int64_t expected = 1;
    for (rocksdb_iter_seek_to_first(iter.it); !tn_failed(st) && tni_iter_valid(&iter);
         rocksdb_iter_next(iter.it), expected++) {
        struct tn_str key = tni_iter_key(&iter);
        int64_t version = key.len == 8 ? (int64_t)tn_be64(key.ptr) : -1;
        if (version != expected)
            st = tn_err_set(err, TN_E_CORRUPT, "catalog: version %" PRId64 " is missing", expected);
        else
            st = each(ctx, version, tni_iter_value(&iter), err);
    }
    if (!tn_failed(st))
        st = tni_iter_status(&iter, "catalog", err);
    tni_iter_close(&iter);
    return tn_failed(st) ? st : TN_OK;
}

static enum tn_status find_last(struct tni_catalog *catalog, struct tn_err *err)
{
    struct tni_iter iter;
    tni_iter_open(catalog->store, TNI_CF_CATALOG, (struct tn_str){NULL, 0}, &iter);
    rocksdb_iter_seek_to_last(iter.it);
    if (tni_iter_valid(&iter) && tni_iter_key(&iter).len == 8)
        catalog->last = (int64_t)tn_be64(tni_iter_key(&iter).ptr);
    enum tn_status st = tni_iter_status(&iter, "catalog", err);
    tni_iter_close(&iter);
    return st;
}

enum tn_status tn_rocks_catalog_open(struct tn_store *store, struct tn_catalog_store **ret_catalog,
                                     struct tn_err *err)
{
    struct tni_catalog *catalog = tn_alloc(sizeof *catalog);
    catalog->base = (struct tn_catalog_store){.append = catalog_append, .each = catalog_each};
    catalog->store = store;
    pthread_mutex_init(&catalog->mu, NULL);
    enum tn_status st = find_last(catalog, err);
    if (st != TN_OK) {
        tn_rocks_catalog_close(&catalog->base);
        return st;
    }
    *ret_catalog = &catalog->base;
    return TN_OK;
}

void tn_rocks_catalog_close(struct tn_catalog_store *base)
{
    if (!base)
        return;
    struct tni_catalog *catalog = (struct tni_catalog *)(void *)base;
    pthread_mutex_destroy(&catalog->mu);
    tn_free(catalog);
}
