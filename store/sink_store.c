/* Records of sinks: key = 'F' and the sink's name; value = the record. @thread any (no state) */
#include "store/sink_store.h"

#include "store/db_int.h"
#include "stream/base/mem.h"

#define NAME_MAX_BYTES 256

struct tni_sinks {
    struct tn_sink_store base;
    struct tn_store *store;
};

static struct tn_str key_of(const char *sink, char key[NAME_MAX_BYTES + 1])
{
    size_t len = strnlen(sink, NAME_MAX_BYTES);
    key[0] = TNI_META_SINK;
    memcpy(key + 1, sink, len);
    return (struct tn_str){key, len + 1};
}

static enum tn_status sinks_put(struct tn_sink_store *base, const char *sink, struct tn_str record,
                                struct tn_err *err)
{
    struct tni_sinks *sinks = (struct tni_sinks *)(void *)base;
    char bytes[NAME_MAX_BYTES + 1];
    struct tn_str key = key_of(sink, bytes);
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
    if (record.len)
        rocksdb_writebatch_put_cf(batch, sinks->store->cf[TNI_CF_META], key.ptr, key.len,
                                  record.ptr, record.len);
    else
        rocksdb_writebatch_delete_cf(batch, sinks->store->cf[TNI_CF_META], key.ptr, key.len);
    enum tn_status st = tni_store_write(sinks->store, batch, true, err);
    rocksdb_writebatch_destroy(batch);
    return st;
}

static enum tn_status sinks_get(struct tn_sink_store *base, const char *sink,
                                struct tn_buf *ret_record, struct tn_err *err)
{
    struct tni_sinks *sinks = (struct tni_sinks *)(void *)base;
    char bytes[NAME_MAX_BYTES + 1], *value;
    size_t len;
    enum tn_status st =
        tni_store_get(sinks->store, TNI_CF_META, key_of(sink, bytes), &value, &len, err);
    if (st != TN_OK)
        return st;
    tn_buf_add(ret_record, value, len);
    tn_free(value);
    return TN_OK;
}

enum tn_status tn_rocks_sinks_open(struct tn_store *store, struct tn_sink_store **ret_sinks,
                                   struct tn_err *err)
{
    (void)err;
    struct tni_sinks *sinks = tn_alloc(sizeof *sinks);
    sinks->base = (struct tn_sink_store){.put = sinks_put, .get = sinks_get};
    sinks->store = store;
    *ret_sinks = &sinks->base;
    return TN_OK;
}

void tn_rocks_sinks_close(struct tn_sink_store *base)
{
    tn_free(base);
}
