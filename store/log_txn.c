/* Transactions of the embedded log: collected in memory, one atomic write at commit_start, so
 * commit_poll knows at once. Not synced: end_durable follows within store.sync.interval.ms or with
 * the next sync. */
#include "store/log_int.h"

#include <string.h>

#include "stream/base/mem.h"

#define POSITION_KEY_MAX   1024u
#define POSITION_VALUE_MAX ((size_t)1 << 20)

enum tn_status tni_txn_begin(struct tn_log *base, struct tn_log_txn **ret_txn, struct tn_err *err)
{
    struct tni_log *log = (struct tni_log *)(void *)base;
    bool expected = false;
    if (!atomic_compare_exchange_strong(&log->is_txn_open, &expected, true))
        return tn_err_set(err, TN_E_BUSY, "the log has an open transaction");
    log->txn.log = log;
    log->txn.state = TNI_TXN_OPEN;
    *ret_txn = &log->txn;
    return TN_OK;
}

enum tn_status tni_txn_append(struct tn_log_txn *txn, const struct tn_topic *topic,
                              int32_t partition, struct tn_records *records, uint32_t *ret_slot,
                              struct tn_err *err)
{
    TN_ASSERT(txn->state == TNI_TXN_OPEN);
    struct tni_part *part = tni_log_part(txn->log, topic, partition);
    if (!part)
        return tni_log_gone(topic->name, err);
    TN_TRY(tni_records_check(part->topic, records, err));
    uint32_t slot = tni_batch_add(&txn->batch, part, tn_records_ref(records));
    if (ret_slot)
        *ret_slot = slot;
    return TN_OK;
}

enum tn_status tni_txn_position(struct tn_log_txn *txn, struct tn_str key, struct tn_str value,
                                struct tn_err *err)
{
    TN_ASSERT(txn->state == TNI_TXN_OPEN);
    if (key.len > POSITION_KEY_MAX || value.len > POSITION_VALUE_MAX)
        return tn_err_set(err, TN_E_LIMIT,
                          "position record of %zu + %zu bytes, the limit is %u + %zu", key.len,
                          value.len, POSITION_KEY_MAX, POSITION_VALUE_MAX);
    char full[POSITION_KEY_MAX + 1];
    full[0] = TNI_META_POSITION;
    memcpy(full + 1, key.ptr, key.len);
    rocksdb_column_family_handle_t *meta = txn->log->store->cf[TNI_CF_META];
    if (value.ptr)
        rocksdb_writebatch_put_cf(txn->batch.write, meta, full, key.len + 1, value.ptr, value.len);
    else
        rocksdb_writebatch_delete_cf(txn->batch.write, meta, full, key.len + 1);
    return TN_OK;
}

enum tn_status tni_txn_start(struct tn_log_txn *txn, struct tn_wake *wake, struct tn_err *err)
{
    TN_ASSERT(txn->state == TNI_TXN_OPEN);
    enum tn_status st = tni_batch_commit(&txn->batch, &txn->error);
    txn->state = st == TN_OK ? TNI_TXN_COMMITTED : TNI_TXN_FAILED;
    if (st == TN_OK) {
        atomic_fetch_add(&txn->log->commits_count, 1);
        tni_log_sync_soon(txn->log);
    }
    if (wake)
        wake->signal(wake);
    if (st != TN_OK && err)
        *err = txn->error;
    return st;
}

enum tn_status tni_txn_poll(struct tn_log_txn *txn, struct tn_err *err)
{
    TN_ASSERT(txn->state == TNI_TXN_COMMITTED || txn->state == TNI_TXN_FAILED);
    if (txn->state == TNI_TXN_COMMITTED)
        return TN_OK;
    if (err)
        *err = txn->error;
    return txn->error.code;
}

int64_t tni_txn_offset(const struct tn_log_txn *txn, uint32_t slot)
{
    TN_ASSERT(txn->state == TNI_TXN_COMMITTED);
    return tni_batch_offset(&txn->batch, slot);
}

void tni_txn_close(struct tn_log_txn *txn)
{
    if (!txn || txn->state == TNI_TXN_CLOSED)
        return;
    tni_batch_clear(&txn->batch);
    txn->state = TNI_TXN_CLOSED;
    txn->error = (struct tn_err)TN_ERR_INIT;
    atomic_store(&txn->log->is_txn_open, false);
}

enum tn_status tni_positions(struct tn_log *base, struct tn_str prefix,
                             enum tn_status (*each)(void *ctx, struct tn_str key,
                                                    struct tn_str value, struct tn_err *err),
                             void *ctx, struct tn_err *err)
{
    struct tni_log *log = (struct tni_log *)(void *)base;
    if (prefix.len > POSITION_KEY_MAX)
        return TN_OK;
    char from[POSITION_KEY_MAX + 1];
    const char end[1] = {TNI_META_POSITION + 1};
    from[0] = TNI_META_POSITION;
    if (prefix.len)
        memcpy(from + 1, prefix.ptr, prefix.len);
    struct tni_iter iter;
    tni_iter_open(log->store, TNI_CF_META, (struct tn_str){end, 1}, &iter);
    enum tn_status st = TN_OK;
    rocksdb_iter_seek(iter.it, from, prefix.len + 1);
    for (; !tn_failed(st) && tni_iter_valid(&iter); rocksdb_iter_next(iter.it)) {
        struct tn_str key = tni_iter_key(&iter);
        if (key.len < prefix.len + 1 || memcmp(key.ptr, from, prefix.len + 1) != 0)
            break;
        st = each(ctx, (struct tn_str){key.ptr + 1, key.len - 1}, tni_iter_value(&iter), err);
    }
    if (!tn_failed(st))
        st = tni_iter_status(&iter, "positions", err);
    tni_iter_close(&iter);
    return st;
}
