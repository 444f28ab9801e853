/* Transactions of the Trino protocol. tarn's statements are atomic one by one and read one commit
 * each; a transaction only groups them for clients that insist on one, so all there is to keep is
 * which ids are open and which have seen an error.
 *
 * Limit: TNI_TRINO_TX_MAX open ones; the one idle for longest makes room.
 * @thread any; state under trino->lock */
#include <stdio.h>
#include <sys/random.h>

#include "sql/trino_int.h"
#include "stream/base/clock.h"

static struct tni_trino_tx *tx_find(struct tn_trino *trino, const char *id)
{
    for (size_t i = 0; i < TNI_TRINO_TX_MAX; i++)
        if (!strcasecmp(trino->txs[i].id, id))
            return &trino->txs[i];
    return NULL;
}

enum tn_status tni_trino_tx_start(struct tn_trino *trino, char id[40], struct tn_err *err)
{
    unsigned char b[16];
    if (getrandom(b, sizeof b, 0) != (ssize_t)sizeof b)
        return tn_err_set(err, TN_E_INTERNAL, "no random bytes for a transaction id");
    snprintf(id, 40, "%02x%02x%02x%02x-%02x%02x-4%x%02x-8%x%02x-%02x%02x%02x%02x%02x%02x", b[0],
             b[1], b[2], b[3], b[4], b[5], b[6] & 15u, b[7], b[8] & 15u, b[9], b[10], b[11], b[12],
             b[13], b[14], b[15]);
    pthread_mutex_lock(&trino->lock);
    struct tni_trino_tx *tx = &trino->txs[0];
    for (size_t i = 1; i < TNI_TRINO_TX_MAX; i++)
        if (trino->txs[i].seen_ns < tx->seen_ns)
            tx = &trino->txs[i];
    tx->seen_ns = tn_mono_ns(trino->config.clock);
    tx->is_aborted = false;
    snprintf(tx->id, sizeof tx->id, "%s", id);
    pthread_mutex_unlock(&trino->lock);
    return TN_OK;
}

bool tni_trino_tx_end(struct tn_trino *trino, const char *id)
{
    pthread_mutex_lock(&trino->lock);
    struct tni_trino_tx *tx = tx_find(trino, id);
    bool is_aborted = tx && tx->is_aborted;
    if (tx)
        *tx = (struct tni_trino_tx){.seen_ns = 0};
    pthread_mutex_unlock(&trino->lock);
    return is_aborted;
}

enum tn_status tni_trino_tx_check(struct tn_trino *trino, const char *id, bool is_end,
                                  struct tn_err *err)
{
    enum tn_status st = TN_OK;
    pthread_mutex_lock(&trino->lock);
    struct tni_trino_tx *tx = tx_find(trino, id);
    if (tx)
        tx->seen_ns = tn_mono_ns(trino->config.clock);
    if (!tx)
        st = tn_err_at(err, TN_E_NAME, "UNKNOWN_TRANSACTION", 0, 0, "Unknown transaction ID: %s",
                       id);
    else if (tx->is_aborted && !is_end)
        st = tn_err_at(err, TN_E_INVALID, "TRANSACTION_ALREADY_ABORTED", 0, 0,
                       "Current transaction is aborted, commands ignored until end of "
                       "transaction block");
    pthread_mutex_unlock(&trino->lock);
    return st;
}

void tni_trino_tx_abort(struct tn_trino *trino, const char *id)
{
    pthread_mutex_lock(&trino->lock);
    struct tni_trino_tx *tx = tx_find(trino, id);
    if (tx)
        tx->is_aborted = true;
    pthread_mutex_unlock(&trino->lock);
}
