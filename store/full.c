/* A full disk: nothing is accepted until there is room, then everything goes on by itself.
 *
 * WHY it may go on, while any other failed write may not (D5): what RocksDB took is in memtables,
 * and what it did not take was refused. RocksDB looks for room every five seconds; when there is,
 * it writes all memtables to files and begins a new WAL, so nothing depends on the WAL that was cut
 * short. Here the same is made sure of once more: a write that RocksDB takes, all memtables to
 * files, a sync of the new WAL. Only then other writes are let in, so none of them shares a WAL
 * with remains of a refused one. If the process dies before, the remains may be replayed: a refused
 * write that exists is allowed (its answer was 503, and it is whole, positions included).
 *
 * RocksDB 7.8 forgets to clear a flag when it resumed: IngestExternalFile then goes on without a
 * file number (Debian's build: an assertion). So after a failure of this kind, also one that only
 * RocksDB's own threads met, state changes of any size go as write batches until a restart.
 *
 * The store's own reserve (store.reserve.bytes) stops ingest earlier; this is for disks that others
 * fill. @thread any
 */
#include <unistd.h>

#include "store/recover_int.h"

#define RESUME_NS        ((int64_t)200 * 1000 * 1000)
#define RESUME_BYTES_MIN ((int64_t)1 << 20)

static enum tn_status full(const struct tn_store *store, struct tn_err *err)
{
    tn_err_set(err, TN_E_FULL, "disk of state folder '%s' is full: nothing can be written",
               store->path);
    tn_err_hint(err, "free some space; writing goes on by itself within seconds");
    if (err) {
        err->retriable = true;
        err->fatal = false;
    }
    return TN_E_FULL;
}

bool tni_full_forbids_ingest(struct tn_store *store)
{
    uint64_t errors = 0;
    if (!atomic_load(&store->was_full) &&
        rocksdb_property_int(store->db, "rocksdb.background-errors", &errors) == 0 && errors > 0)
        atomic_store(&store->was_full, true);
    return atomic_load(&store->was_full);
}

/* RocksDB 7.8 notes a manifest that could not be written (an ingest begins with such a write, a
 * change of options is one), and does not do what its own way out of a full disk takes for granted
 * then: that no file is removed since (Debian's build: an assertion). So it is done here. */
void tni_full_manifest(struct tn_store *store)
{
    char *message = NULL;
    if (atomic_exchange(&store->is_keeping, true))
        return;
    rocksdb_disable_file_deletions(store->db, &message);
    if (message)
        rocksdb_free(message);
}

/* All memtables are in files, so the manifest was written since. */
static void stop_keeping(struct tn_store *store)
{
    char *message = NULL;
    if (!atomic_exchange(&store->is_keeping, false))
        return;
    rocksdb_enable_file_deletions(store->db, 1, &message);
    if (message)
        rocksdb_free(message);
}

enum tn_status tni_full_begin(struct tn_store *store, struct tn_err *err)
{
    atomic_store(&store->was_full, true);
    atomic_store(&store->is_full, true);
    return full(store, err);
}

/* Something that changes nothing. */
static char *write_again(struct tn_store *store)
{
    char format[4], *message = NULL;
    tni_put_be32(format, TN_STORE_FORMAT);
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
    rocksdb_writebatch_put_cf(batch, store->cf[TNI_CF_META], "Aformat", 7, format, sizeof format);
    rocksdb_write(store->db, store->write_options, batch, &message);
    rocksdb_writebatch_destroy(batch);
    return message;
}

/* @locks full_mu */
static enum tn_status resume(struct tn_store *store, struct tn_err *err)
{
    tni_store_look(store);
    if (atomic_load(&store->free_bytes) < RESUME_BYTES_MIN)
        return TN_E_FULL;
    char *message = write_again(store);
    if (message)
        return tni_rocks_err(message, "write", err);
    int64_t seq = atomic_load(&store->write_seq);
    TN_TRY(tni_store_flush(store, err));
    rocksdb_flush_wal(store->db, 1, &message);
    if (message)
        return tni_rocks_err(message, "sync", err);
    stop_keeping(store);
    if (atomic_load(&store->synced_seq) < seq)
        atomic_store(&store->synced_seq, seq);
    char doubt[4096];
    tni_doubt_path(store, doubt, sizeof doubt);
    unlink(doubt); /* RocksDB began a new manifest if the old one may have named it */
    atomic_store(&store->is_full, false);
    return TN_OK;
}

enum tn_status tni_full_resume(struct tn_store *store, struct tn_err *err)
{
    struct tn_err cause = TN_ERR_INIT;
    enum tn_status st = TN_E_FULL;
    if (pthread_mutex_trylock(&store->full_mu) != 0)
        return full(store, err);
    int64_t now = tni_mono_ns();
    if (!atomic_load(&store->is_full)) {
        st = TN_OK; /* another one was faster */
    } else if (now - store->resume_tried_ns >= RESUME_NS) {
        store->resume_tried_ns = now;
        st = resume(store, &cause);
    }
    if (tn_failed(st) && st != TN_E_FULL)
        atomic_store(&store->is_failed, true);
    pthread_mutex_unlock(&store->full_mu);
    if (st == TN_OK)
        return TN_OK;
    return st == TN_E_FULL ? full(store, err) : tni_store_failed(err);
}
