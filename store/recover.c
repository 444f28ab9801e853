/* Opening RocksDB after a crash; see recover_int.h.
 *
 * FILE IN DOUBT. RocksDB 7.8 (and later) deletes a file whose ingest failed although the record
 * that names it may already stand in the manifest: when the sync of the manifest fails, the bytes
 * stay in the page cache and reach the disk later. The next open then misses a table. So the file
 * being ingested keeps a second name, db/ingest.now, made before RocksDB links it and made durable
 * by the same fsync of the folder (hence inside db/). It goes when the ingest succeeded, or after
 * an open without it. Only one ingest runs at a time (ingest_mu), so there is at most one such
 * file.
 */
#include "store/recover_int.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DOUBT_NAME "ingest.now"

void tni_doubt_path(const struct tn_store *store, char *path, size_t path_size)
{
    snprintf(path, path_size, "%s/" DOUBT_NAME, store->db_path);
}

/* The table that an open missed: "… No such file or directory: … …/db/000022.ldb…". 0: another
 * failure. */
static uint64_t missing_table(const char *message)
{
    if (!strstr(message, "No such file"))
        return 0;
    for (const char *dot = strchr(message, '.'); dot; dot = strchr(dot + 1, '.')) {
        if (strncmp(dot, ".ldb", 4) != 0 && strncmp(dot, ".sst", 4) != 0)
            continue;
        const char *digits = dot;
        while (digits > message && digits[-1] >= '0' && digits[-1] <= '9')
            digits--;
        if (digits < dot && digits > message && digits[-1] == '/')
            return strtoull(digits, NULL, 10);
    }
    return 0;
}

/* Gives the file in doubt the name the manifest knows. False: there is none, or no table is
 * missing. */
static bool settle_doubt(const struct tn_store *store, const char *message, char *table,
                         size_t table_size)
{
    char doubt[4096];
    uint64_t number = missing_table(message);
    tni_doubt_path(store, doubt, sizeof doubt);
    snprintf(table, table_size, "%s/%06" PRIu64 ".sst", store->db_path, number);
    struct tn_err ignored = TN_ERR_INIT;
    return number != 0 && link(doubt, table) == 0 &&
           tni_fsync_folder(store->db_path, &ignored) == TN_OK;
}

static void open_once(struct tn_store *store, const rocksdb_options_t *options, char **ret_message)
{
    static const char *const names[TNI_CF_COUNT] = {"default", "log", "state", "catalog"};
    store->db = rocksdb_open_column_families(options, store->db_path, TNI_CF_COUNT, names,
                                             (const rocksdb_options_t *const *)store->cf_options,
                                             store->cf, ret_message);
    if (*ret_message)
        store->db = NULL;
}

enum tn_status tni_recover_open(struct tn_store *store, const rocksdb_options_t *options,
                                struct tn_err *err)
{
    char *message = NULL, doubt[4096], table[4096];
    open_once(store, options, &message);
    if (message && settle_doubt(store, message, table, sizeof table)) {
        rocksdb_free(message);
        message = NULL;
        open_once(store, options, &message);
        if (message)
            unlink(table); /* RocksDB does not take it: not the missing one */
    }
    if (message) {
        enum tn_status st = tni_rocks_err(message, "open", err);
        tn_err_prefix(err, "state folder '%s'", store->path);
        return st;
    }
    tni_doubt_path(store, doubt, sizeof doubt);
    if (unlink(doubt) != 0 && errno != ENOENT)
        return tn_err_set(err, TN_E_IO, "state folder '%s': cannot remove db/" DOUBT_NAME ": %s",
                          store->path, strerror(errno));
    return tni_fsync_folder(store->path, err);
}
