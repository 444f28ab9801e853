/* The state port on RocksDB; see state.h. Keys and values are stored as given: their layout is the
 * runner's. */
#include "store/state.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "store/db_int.h"
#include "store/recover_int.h"
#include "stream/base/crashpoint.h"
#include "stream/base/mem.h"

#define GET_KEYS_MAX 1024u /* keys of one MultiGet: bounds what is pinned at once */

struct tni_state {
    struct tn_state base;
    struct tn_store *store;
};

struct tn_state_snapshot {
    const rocksdb_snapshot_t *snapshot;
    rocksdb_readoptions_t *options;
};

struct tn_state_iter {
    struct tni_iter iter;
    bool is_started;
    struct tn_str from, to; /* copies in the same allocation */
};

static struct tn_store *store_of(struct tn_state *state)
{
    return ((struct tni_state *)(void *)state)->store;
}

/* ---- read ---- */

struct get_scratch {
    const char *keys[GET_KEYS_MAX];
    size_t lens[GET_KEYS_MAX];
    rocksdb_pinnableslice_t *values[GET_KEYS_MAX];
    char *messages[GET_KEYS_MAX];
};

static bool is_ascending(const struct tn_str *keys, size_t count)
{
    for (size_t i = 1; i < count; i++)
        if (tn_str_cmp(keys[i - 1], keys[i]) > 0)
            return false;
    return true;
}

static enum tn_status get_some(struct tn_store *store, const rocksdb_readoptions_t *options,
                               struct get_scratch *scratch, const struct tn_str *keys, size_t count,
                               struct tn_arena *arena, struct tn_str *ret_values,
                               struct tn_err *err)
{
    for (size_t i = 0; i < count; i++) {
        scratch->keys[i] = keys[i].ptr;
        scratch->lens[i] = keys[i].len;
    }
    rocksdb_batched_multi_get_cf(store->db, options, store->cf[TNI_CF_STATE], count, scratch->keys,
                                 scratch->lens, scratch->values, scratch->messages,
                                 is_ascending(keys, count));
    enum tn_status st = TN_OK;
    for (size_t i = 0; i < count; i++) {
        ret_values[i] = (struct tn_str){NULL, 0};
        if (scratch->messages[i]) {
            if (st == TN_OK)
                st = tni_rocks_err(scratch->messages[i], "state", err);
            else
                rocksdb_free(scratch->messages[i]);
        }
        if (!scratch->values[i])
            continue;
        struct tn_str value;
        value.ptr = rocksdb_pinnableslice_value(scratch->values[i], &value.len);
        if (!value.ptr)
            value.ptr = "";
        ret_values[i] = tn_arena_str(arena, value);
        rocksdb_pinnableslice_destroy(scratch->values[i]);
    }
    return st;
}

static enum tn_status state_multi_get(struct tn_state *state,
                                      const struct tn_state_snapshot *snapshot,
                                      const struct tn_str *keys, size_t keys_count,
                                      struct tn_arena *arena, struct tn_str *ret_values,
                                      struct tn_err *err)
{
    struct tn_store *store = store_of(state);
    const rocksdb_readoptions_t *options = snapshot ? snapshot->options : store->read_options;
    struct get_scratch *scratch = tn_alloc_raw(sizeof *scratch);
    enum tn_status st = TN_OK;
    for (size_t at = 0; st == TN_OK && at < keys_count; at += GET_KEYS_MAX) {
        size_t count = keys_count - at < GET_KEYS_MAX ? keys_count - at : GET_KEYS_MAX;
        st = get_some(store, options, scratch, keys + at, count, arena, ret_values + at, err);
    }
    tn_free(scratch);
    return st;
}

static enum tn_status state_snapshot(struct tn_state *state,
                                     struct tn_state_snapshot **ret_snapshot, struct tn_err *err)
{
    (void)err;
    struct tn_state_snapshot *snapshot = tn_alloc(sizeof *snapshot);
    snapshot->snapshot = rocksdb_create_snapshot(store_of(state)->db);
    snapshot->options = rocksdb_readoptions_create();
    rocksdb_readoptions_set_snapshot(snapshot->options, snapshot->snapshot);
    *ret_snapshot = snapshot;
    return TN_OK;
}

static void state_snapshot_free(struct tn_state *state, struct tn_state_snapshot *snapshot)
{
    if (!snapshot)
        return;
    rocksdb_readoptions_destroy(snapshot->options);
    rocksdb_release_snapshot(store_of(state)->db, snapshot->snapshot);
    tn_free(snapshot);
}

static struct tn_str copy_bound(char **to, struct tn_str bound)
{
    if (!bound.ptr)
        return bound;
    char *copy = *to;
    if (bound.len)
        memcpy(copy, bound.ptr, bound.len);
    *to += bound.len;
    return (struct tn_str){copy, bound.len};
}

static enum tn_status state_iter_open(struct tn_state *state,
                                      const struct tn_state_snapshot *snapshot, struct tn_str from,
                                      struct tn_str to, struct tn_state_iter **ret_iter,
                                      struct tn_err *err)
{
    (void)err;
    struct tn_store *store = store_of(state);
    struct tn_state_iter *iter = tn_alloc(sizeof *iter + from.len + to.len);
    char *bytes = (char *)(iter + 1);
    iter->from = copy_bound(&bytes, from);
    iter->to = copy_bound(&bytes, to);
    rocksdb_readoptions_t *options = rocksdb_readoptions_create();
    if (snapshot)
        rocksdb_readoptions_set_snapshot(options, snapshot->snapshot);
    if (iter->to.ptr)
        rocksdb_readoptions_set_iterate_upper_bound(options, iter->to.ptr, iter->to.len);
    iter->iter.options = options;
    iter->iter.it = rocksdb_create_iterator_cf(store->db, options, store->cf[TNI_CF_STATE]);
    *ret_iter = iter;
    return TN_OK;
}

static enum tn_status state_iter_next(struct tn_state_iter *iter, struct tn_str *ret_key,
                                      struct tn_str *ret_value, struct tn_err *err)
{
    if (iter->is_started)
        rocksdb_iter_next(iter->iter.it);
    else if (iter->from.ptr)
        rocksdb_iter_seek(iter->iter.it, iter->from.ptr, iter->from.len);
    else
        rocksdb_iter_seek_to_first(iter->iter.it);
    iter->is_started = true;
    if (!tni_iter_valid(&iter->iter)) {
        TN_TRY(tni_iter_status(&iter->iter, "state", err));
        return TN_END;
    }
    *ret_key = tni_iter_key(&iter->iter);
    *ret_value = tni_iter_value(&iter->iter);
    return TN_OK;
}

static void state_iter_close(struct tn_state_iter *iter)
{
    if (!iter)
        return;
    tni_iter_close(&iter->iter);
    tn_free(iter);
}

/* ---- change ---- */

/* An empty range deletes nothing, and RocksDB refuses it. */
static bool is_empty_range(const struct tn_state_change *change, size_t i)
{
    return tn_str_cmp(change->ranges[i].from, change->ranges[i].to) >= 0;
}

static enum tn_status apply_batch(struct tn_store *store, const struct tn_state_change *change,
                                  struct tn_err *err)
{
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
    rocksdb_column_family_handle_t *cf = store->cf[TNI_CF_STATE];
    for (size_t i = 0; i < change->ranges_count; i++)
        if (!is_empty_range(change, i))
            rocksdb_writebatch_delete_range_cf(batch, cf, change->ranges[i].from.ptr,
                                               change->ranges[i].from.len, change->ranges[i].to.ptr,
                                               change->ranges[i].to.len);
    for (size_t i = 0; i < change->puts_count; i++) {
        const struct tn_state_put *put = &change->puts[i];
        if (put->value.ptr)
            rocksdb_writebatch_put_cf(batch, cf, put->key.ptr, put->key.len, put->value.ptr,
                                      put->value.len);
        else
            rocksdb_writebatch_delete_cf(batch, cf, put->key.ptr, put->key.len);
    }
    tn_crash_point("state-before-write");
    enum tn_status st = tni_store_write(store, batch, false, err);
    tn_crash_point("state-after-write");
    rocksdb_writebatch_destroy(batch);
    return st;
}

/* In one file, puts and range deletes get one sequence number, and a range delete covers only older
 * ones: the order "ranges, then puts" of the port holds. */
static void write_file(rocksdb_sstfilewriter_t *writer, const char *path,
                       const struct tn_state_change *change, char **ret_message)
{
    rocksdb_sstfilewriter_open(writer, path, ret_message);
    for (size_t i = 0; !*ret_message && i < change->ranges_count; i++)
        if (!is_empty_range(change, i))
            rocksdb_sstfilewriter_delete_range(writer, change->ranges[i].from.ptr,
                                               change->ranges[i].from.len, change->ranges[i].to.ptr,
                                               change->ranges[i].to.len, ret_message);
    for (size_t i = 0; !*ret_message && i < change->puts_count; i++) {
        const struct tn_state_put *put = &change->puts[i];
        if (put->value.ptr)
            rocksdb_sstfilewriter_put(writer, put->key.ptr, put->key.len, put->value.ptr,
                                      put->value.len, ret_message);
        else
            rocksdb_sstfilewriter_delete(writer, put->key.ptr, put->key.len, ret_message);
    }
    if (!*ret_message)
        rocksdb_sstfilewriter_finish(writer, ret_message); /* syncs the file */
}

/* TN_AGAIN: RocksDB cannot take a file just now; the same change may go as a write batch. */
static enum tn_status ingest(struct tn_store *store, const char *path, struct tn_err *err)
{
    char doubt[4096];
    tni_doubt_path(store, doubt, sizeof doubt);
    if (rename(path, doubt) != 0)
        return tn_err_set(err, TN_E_IO, "store: state file '%s': %s", path, strerror(errno));
    const char *paths[1] = {doubt};
    char *message = NULL;
    rocksdb_ingestexternalfileoptions_t *options = rocksdb_ingestexternalfileoptions_create();
    rocksdb_ingestexternalfileoptions_set_move_files(options, 1); /* removes `doubt` */
    rocksdb_ingest_external_file_cf(store->db, store->cf[TNI_CF_STATE], paths, 1, options,
                                    &message);
    rocksdb_ingestexternalfileoptions_destroy(options);
    if (message && strstr(message, "Try again")) {
        /* the file's range met the output of a running compaction: nothing was taken */
        rocksdb_free(message);
        unlink(doubt);
        return TN_AGAIN;
    }
    if (!message)
        return TN_OK;
    tni_full_manifest(store);
    /* the manifest may name the file or not: it stays for the next open */
    return tni_store_fail(store, message, "state ingest", err);
}

static enum tn_status apply_file(struct tn_store *store, const struct tn_state_change *change,
                                 struct tn_err *err)
{
    char path[4096];
    int64_t number = atomic_fetch_add(&store->next_file, 1);
    snprintf(path, sizeof path, "%s/ingest-%" PRId64 ".tmp", store->path, number);
    char *message = NULL;
    rocksdb_sstfilewriter_t *writer =
        rocksdb_sstfilewriter_create(store->env_options, store->cf_options[TNI_CF_STATE]);
    write_file(writer, path, change, &message);
    rocksdb_sstfilewriter_destroy(writer);
    enum tn_status st = message ? tni_rocks_err(message, "state file", err) : TN_OK;
    /* The file is not in the WAL: what the change is based on must be durable before it is visible.
     */
    if (st == TN_OK)
        st = tn_store_sync(store, err);
    if (st == TN_OK) {
        tn_crash_point("state-file-built");
        pthread_mutex_lock(&store->ingest_mu);
        st = tni_store_ready(store, err);
        if (st == TN_OK)
            st = tni_full_forbids_ingest(store) ? TN_AGAIN : ingest(store, path, err);
        pthread_mutex_unlock(&store->ingest_mu);
        tn_crash_point("state-file-ingested");
    }
    unlink(path); /* gone already when it was ingested */
    return st;
}

static bool is_strictly_sorted(const struct tn_state_change *change)
{
    for (size_t i = 1; i < change->puts_count; i++)
        if (tn_str_cmp(change->puts[i - 1].key, change->puts[i].key) >= 0)
            return false;
    return true;
}

static enum tn_status state_apply(struct tn_state *state, const struct tn_state_change *change,
                                  struct tn_err *err)
{
    struct tn_store *store = store_of(state);
    if (change->puts_count == 0 && change->ranges_count == 0)
        return TN_OK;
    if (change->is_sorted && change->puts_count >= (size_t)store->config.ingest_rows_min &&
        !tni_full_forbids_ingest(store)) {
        TN_ASSERT(is_strictly_sorted(change));
        enum tn_status st = apply_file(store, change, err);
        if (st != TN_AGAIN)
            return st;
    }
    return apply_batch(store, change, err);
}

/* ---- size ---- */

static enum tn_status state_size(struct tn_state *state, struct tn_str from, struct tn_str to,
                                 int64_t *ret_bytes, int64_t *ret_keys)
{
    struct tn_store *store = store_of(state);
    static const char beyond[64] = {-1, -1, -1, -1, -1, -1, -1, -1};
    const char *start = from.ptr ? from.ptr : "", *limit = to.ptr ? to.ptr : beyond;
    size_t start_len = from.len, limit_len = to.ptr ? to.len : sizeof beyond;
    const char *all_start = "", *all_limit = beyond;
    size_t all_start_len = 0, all_limit_len = sizeof beyond;
    uint64_t bytes = 0, all_bytes = 0, all_keys = 0;
    char *message = NULL;
    rocksdb_approximate_sizes_cf(store->db, store->cf[TNI_CF_STATE], 1, &start, &start_len, &limit,
                                 &limit_len, &bytes, &message);
    if (!message)
        rocksdb_approximate_sizes_cf(store->db, store->cf[TNI_CF_STATE], 1, &all_start,
                                     &all_start_len, &all_limit, &all_limit_len, &all_bytes,
                                     &message);
    if (message)
        return tni_rocks_err(message, "state size", NULL);
    if (rocksdb_property_int_cf(store->db, store->cf[TNI_CF_STATE], "rocksdb.estimate-num-keys",
                                &all_keys) != 0)
        all_keys = 0;
    *ret_bytes = (int64_t)bytes;
    *ret_keys = all_bytes ? (int64_t)((double)all_keys * (double)bytes / (double)all_bytes) : 0;
    return TN_OK;
}

/* ---- open and close ---- */

static void state_close(struct tn_state *state)
{
    tn_free(state);
}

static const struct tn_state_type rocks_state_type = {
    .name = "rocksdb",
    .multi_get = state_multi_get,
    .apply = state_apply,
    .snapshot = state_snapshot,
    .snapshot_free = state_snapshot_free,
    .iter_open = state_iter_open,
    .iter_next = state_iter_next,
    .iter_close = state_iter_close,
    .size = state_size,
    .close = state_close,
};

/* Files of an earlier run that died between building and ingesting. */
static void remove_left_files(const struct tn_store *store)
{
    DIR *folder = opendir(store->path);
    if (!folder)
        return;
    for (struct dirent *file; (file = readdir(folder));)
        if (strncmp(file->d_name, "ingest-", 7) == 0)
            unlinkat(dirfd(folder), file->d_name, 0);
    closedir(folder);
}

enum tn_status tn_rocks_state_open(struct tn_store *store, struct tn_state **ret_state,
                                   struct tn_err *err)
{
    (void)err;
    struct tni_state *state = tn_alloc(sizeof *state);
    state->base.type = &rocks_state_type;
    state->store = store;
    remove_left_files(store);
    *ret_state = &state->base;
    return TN_OK;
}
