/* Open, lock, tune and sync the one RocksDB of a state folder; see db.h for the picture.
 *
 * Tuning (figures in README.md): log values go to blob files, written once at flush and never
 * rewritten by compaction; index and filter blocks live in the block cache, so memory is bounded by
 * the two budgets. WAL recovery is point-in-time: a torn tail ends the log, so a crash leaves a
 * prefix.
 */
#include "store/db_int.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "store/options_int.h"
#include "store/recover_int.h"
#include "store/wal_int.h"
#include "stream/base/crashpoint.h"
#include "stream/base/mem.h"

#define ROOM_CHECK_NS ((int64_t)100 * 1000 * 1000)

int64_t tni_mono_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

enum tn_status tni_rocks_err(char *message, const char *what, struct tn_err *err)
{
    enum tn_status st = TN_E_IO;
    if (strncmp(message, "Corruption", 10) == 0)
        st = TN_E_CORRUPT;
    else if (strstr(message, "No space left") != NULL)
        st = TN_E_FULL;
    tn_err_set(err, st, "store: %s: %s", what, message);
    rocksdb_free(message);
    return st;
}

/* ---- state folder ---- */

enum tn_status tni_fsync_folder(const char *path, struct tn_err *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool is_synced = fd >= 0 && fsync(fd) == 0;
    int cause = errno;
    if (fd >= 0)
        close(fd);
    if (!is_synced)
        return tn_err_set(err, TN_E_IO, "state folder '%s': %s", path, strerror(cause));
    return TN_OK;
}

/* The folder's own entry must survive a power loss too. */
static enum tn_status make_folder(const char *path, struct tn_err *err)
{
    if (mkdir(path, 0700) != 0) {
        if (errno != EEXIST) {
            tn_err_set(err, TN_E_IO, "cannot make state folder '%s': %s", path, strerror(errno));
            tn_err_hint(err, "its parent must exist and be writable");
            return TN_E_IO;
        }
        return TN_OK;
    }
    char *parent = tn_strdup(path);
    size_t len = strlen(parent);
    while (len > 1 && parent[len - 1] == '/')
        parent[--len] = 0;
    char *slash = strrchr(parent, '/');
    if (slash)
        slash[slash == parent ? 1 : 0] = 0;
    enum tn_status st = tni_fsync_folder(slash ? parent : ".", err);
    tn_free(parent);
    return st;
}

static enum tn_status in_use(const struct tn_store *store, struct tn_err *err)
{
    char pid[32] = "?";
    ssize_t n = pread(store->lock_fd, pid, sizeof pid - 1, 0);
    if (n > 0)
        pid[strcspn(pid, "\n")] = 0;
    tn_err_set(err, TN_E_BUSY, "state folder '%s' is in use by another process (pid %s)",
               store->path, pid);
    tn_err_hint(err, "stop that process or give --state another folder");
    return TN_E_BUSY;
}

static enum tn_status lock_folder(struct tn_store *store, struct tn_err *err)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/lock", store->path);
    store->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (store->lock_fd < 0)
        return tn_err_set(err, TN_E_IO, "state folder '%s': cannot open its lock file: %s",
                          store->path, strerror(errno));
    if (flock(store->lock_fd, LOCK_EX | LOCK_NB) != 0)
        return in_use(store, err);
    char pid[32] = {0};
    int len = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
    if (ftruncate(store->lock_fd, 0) != 0 || pwrite(store->lock_fd, pid, (size_t)len, 0) != len)
        return tn_err_set(err, TN_E_IO, "state folder '%s': cannot write its lock file: %s",
                          store->path, strerror(errno));
    return TN_OK;
}

/* ---- identity ---- */

static const struct tn_str key_format = {"Aformat", 7};
static const struct tn_str key_application = {"Aapplication", 12};
static const struct tn_str key_id = {"Aid", 3};

static void put_meta(struct tn_store *store, rocksdb_writebatch_t *batch, struct tn_str key,
                     const void *value, size_t len)
{
    rocksdb_writebatch_put_cf(batch, store->cf[TNI_CF_META], key.ptr, key.len, value, len);
}

static enum tn_status write_identity(struct tn_store *store, struct tn_err *err)
{
    char format[4];
    unsigned char id[16];
    tni_put_be32(format, TN_STORE_FORMAT);
    if (getrandom(id, sizeof id, 0) != (ssize_t)sizeof id)
        return tn_err_set(err, TN_E_IO, "no random bytes for the state folder's identity: %s",
                          strerror(errno));
    for (size_t i = 0; i < sizeof id; i++)
        snprintf(store->id_hex + 2 * i, 3, "%02x", id[i]);
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
    put_meta(store, batch, key_format, format, sizeof format);
    put_meta(store, batch, key_application, store->application_id, strlen(store->application_id));
    put_meta(store, batch, key_id, store->id_hex, 32);
    enum tn_status st = tni_store_write(store, batch, true, err);
    rocksdb_writebatch_destroy(batch);
    return st;
}

static enum tn_status check_format(struct tn_store *store, const char *value, size_t len,
                                   struct tn_err *err)
{
    if (len != 4)
        return tn_err_set(err, TN_E_CORRUPT, "state folder '%s': its format version is unreadable",
                          store->path);
    uint32_t format = tn_be32(value);
    if (format <= TN_STORE_FORMAT)
        return TN_OK;
    tn_err_set(err, TN_E_INVALID,
               "state folder '%s' has format %u, this tarn (" TN_VERSION ") reads up to format %u",
               store->path, format, TN_STORE_FORMAT);
    tn_err_hint(err, "run the newer tarn that wrote it, or give --state another folder");
    return TN_E_INVALID;
}

static enum tn_status check_application(struct tn_store *store, const char *value, size_t len,
                                        struct tn_err *err)
{
    if (tn_str_eq((struct tn_str){value, len}, tn_str_of(store->application_id)))
        return TN_OK;
    tn_err_set(err, TN_E_INVALID, "state folder '%s' belongs to application id '%.*s', not to '%s'",
               store->path, (int)len, value, store->application_id);
    tn_err_hint(err, "use --set application.id=%.*s or give --state another folder", (int)len,
                value);
    return TN_E_INVALID;
}

static enum tn_status check_identity(struct tn_store *store, struct tn_err *err)
{
    char *value = NULL;
    size_t len = 0;
    enum tn_status st = tni_store_get(store, TNI_CF_META, key_format, &value, &len, err);
    if (st == TN_NOT_FOUND)
        return write_identity(store, err);
    TN_TRY(st);
    st = check_format(store, value, len, err);
    tn_free(value);
    TN_TRY(st);

    st = tni_store_get(store, TNI_CF_META, key_application, &value, &len, err);
    if (st == TN_OK) {
        st = check_application(store, value, len, err);
        tn_free(value);
    }
    TN_TRY(st);

    TN_TRY(st = tni_store_get(store, TNI_CF_META, key_id, &value, &len, err));
    if (st == TN_OK) {
        snprintf(store->id_hex, sizeof store->id_hex, "%.*s", (int)len, value);
        tn_free(value);
    }
    return TN_OK;
}

/* ---- open and close ---- */

#define OPEN_BYTES_MIN ((int64_t)1 << 20)

/* RocksDB ends the process when it cannot write the heading of its own log. */
static enum tn_status check_room_to_open(struct tn_store *store, struct tn_err *err)
{
    tni_store_look(store);
    if (atomic_load(&store->free_bytes) >= OPEN_BYTES_MIN)
        return TN_OK;
    tn_err_set(err, TN_E_FULL, "disk of state folder '%s' is full: less than 1 MiB is free",
               store->path);
    tn_err_hint(err, "free some space and start again; nothing was lost");
    return TN_E_FULL;
}

/* After a kill -9 the WAL's tail may be in the page cache only. Recovery makes it visible and does
 * not write it again, so it is made durable first: otherwise readers of end_durable could see what
 * a later power loss takes back. */
static enum tn_status sync_old_wal(const struct tn_store *store, struct tn_err *err)
{
    DIR *folder = opendir(store->db_path);
    if (!folder)
        return TN_OK; /* no database yet */
    enum tn_status st = TN_OK;
    for (struct dirent *file; st == TN_OK && (file = readdir(folder));) {
        size_t len = strlen(file->d_name);
        if (len < 4 || strcmp(file->d_name + len - 4, ".log") != 0)
            continue;
        int fd = openat(dirfd(folder), file->d_name, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || fdatasync(fd) != 0)
            st = tn_err_set(err, TN_E_IO, "state folder '%s': cannot sync db/%s: %s", store->path,
                            file->d_name, strerror(errno));
        if (fd >= 0)
            close(fd);
    }
    closedir(folder);
    return st;
}

static enum tn_status open_db(struct tn_store *store, struct tn_err *err)
{
    char *message = NULL;
    rocksdb_options_t *options = tni_options_db(&store->config, &message);
    if (message) {
        rocksdb_options_destroy(options);
        return tni_rocks_err(message, "options", err);
    }
    store->cache = tni_options_cache(&store->config);
    for (int i = 0; i < TNI_CF_COUNT; i++)
        store->cf_options[i] =
            tni_options_cf(options, &store->config, (enum tni_cf)i, store->cache);
    enum tn_status st = tni_recover_open(store, options, err);
    rocksdb_options_destroy(options);
    return st;
}

/* Memtables are blocks of 1 MiB, filled by one thread and freed by another: below mmap's threshold
 * they stay in the heaps of threads, about 100 MiB that nobody can use. Fixed thresholds give them
 * back. */
static void tune_malloc(void)
{
#ifdef __GLIBC__
    mallopt(M_MMAP_THRESHOLD, 1 << 20);
    mallopt(M_TRIM_THRESHOLD, 8 << 20);
#endif
    tni_crc_link();
}

enum tn_status tn_store_open(const struct tn_store_config *config, struct tn_store **ret_store,
                             struct tn_err *err)
{
    TN_ASSERT(config->path && config->application_id && config->clock);
    static pthread_once_t tuned = PTHREAD_ONCE_INIT;
    pthread_once(&tuned, tune_malloc);
    tn_store_crash_points_install();
    struct tn_store *store = tn_alloc(sizeof *store);
    enum tn_status st;
    store->lock_fd = store->mark_fd = store->wal_fd = -1;
    store->is_cut_allowed = config->wal_damage && strcmp(config->wal_damage, "cut") == 0;
    store->path = tn_strdup(config->path);
    store->db_path = tn_alloc_raw(strlen(config->path) + 4);
    snprintf(store->db_path, strlen(config->path) + 4, "%s/db", config->path);
    store->application_id = tn_strdup(config->application_id);
    store->compression = tn_strdup(config->compression ? config->compression : "none");
    store->config = *config;
    store->config.path = store->path;
    store->config.application_id = store->application_id;
    store->config.compression = store->compression;
    store->config.wal_damage = NULL; /* the caller's string */
    pthread_mutex_init(&store->sync_mu, NULL);
    pthread_mutex_init(&store->wal_mu, NULL);
    pthread_mutex_init(&store->ingest_mu, NULL);
    pthread_mutex_init(&store->full_mu, NULL);
    atomic_init(&store->room_checked_ns, INT64_MIN);
    atomic_init(&store->free_bytes, INT64_MAX);
    store->read_options = rocksdb_readoptions_create();
    store->write_options = rocksdb_writeoptions_create();
    store->env_options = rocksdb_envoptions_create();

    TN_GOTO(make_folder(store->path, err));
    TN_GOTO(lock_folder(store, err));
    TN_GOTO(check_room_to_open(store, err));
    TN_GOTO(tni_wal_open(store, err));
    TN_GOTO(tni_wal_check(store, err));
    TN_GOTO(sync_old_wal(store, err));
    TN_GOTO(open_db(store, err));
    TN_GOTO(tni_wal_verify(store, err));
    TN_GOTO(check_identity(store, err));
    *ret_store = store;
    return TN_OK;
fail:
    tn_store_close(store);
    return st;
}

enum tn_status tni_store_flush(struct tn_store *store, struct tn_err *err)
{
    rocksdb_flushoptions_t *options = rocksdb_flushoptions_create();
    enum tn_status st = TN_OK;
    for (int i = 0; i < TNI_CF_COUNT; i++) {
        char *message = NULL;
        rocksdb_flush_cf(store->db, options, store->cf[i], &message);
        if (message)
            st = tni_rocks_err(message, "flush", err);
    }
    rocksdb_flushoptions_destroy(options);
    return st;
}

void tn_store_close(struct tn_store *store)
{
    if (!store)
        return;
    if (store->db) {
        struct tn_err ignored = TN_ERR_INIT;
        /* A failure here was or will be seen by whoever waits for durability; closing goes on. */
        if (!atomic_load(&store->is_failed) && tn_failed(tn_store_sync(store, &ignored)))
            atomic_store(&store->is_failed, true);
        /* Memtables to files, so that the next start reads no WAL. A failure costs only that. */
        if (!atomic_load(&store->is_failed) && atomic_load(&store->write_seq) > 0)
            (void)!tni_store_flush(store, &ignored);
        for (int i = 0; i < TNI_CF_COUNT; i++)
            rocksdb_column_family_handle_destroy(store->cf[i]);
        rocksdb_close(store->db);
    }
    for (int i = 0; i < TNI_CF_COUNT; i++)
        if (store->cf_options[i])
            rocksdb_options_destroy(store->cf_options[i]);
    if (store->cache)
        rocksdb_cache_destroy(store->cache);
    rocksdb_readoptions_destroy(store->read_options);
    rocksdb_writeoptions_destroy(store->write_options);
    rocksdb_envoptions_destroy(store->env_options);
    tni_wal_close(store);
    if (store->lock_fd >= 0)
        close(store->lock_fd); /* releases the lock; the file stays */
    pthread_mutex_destroy(&store->sync_mu);
    pthread_mutex_destroy(&store->wal_mu);
    pthread_mutex_destroy(&store->ingest_mu);
    pthread_mutex_destroy(&store->full_mu);
    tn_free(store->path);
    tn_free(store->db_path);
    tn_free(store->application_id);
    tn_free(store->compression);
    tn_free(store);
}

const char *tn_store_id(const struct tn_store *store)
{
    return store->id_hex;
}

/* ---- write, sync, read ---- */

enum tn_status tni_store_failed(struct tn_err *err)
{
    tn_err_set(err, TN_E_IO, "store: an earlier write or sync failed, nothing more is accepted");
    tn_err_hint(err, "check the disk and restart: what was acknowledged is kept");
    if (err)
        err->fatal = true;
    return TN_E_IO;
}

enum tn_status tni_store_ready(struct tn_store *store, struct tn_err *err)
{
    if (TN_UNLIKELY(atomic_load_explicit(&store->is_failed, memory_order_relaxed)))
        return tni_store_failed(err);
    if (TN_UNLIKELY(atomic_load_explicit(&store->is_full, memory_order_relaxed)))
        return tni_full_resume(store, err);
    return TN_OK;
}

/* After a failed write or fsync the kernel may have dropped dirty pages: only a restart knows what
 * is on disk. A full disk drops nothing: full.c. */
enum tn_status tni_store_fail(struct tn_store *store, char *message, const char *what,
                              struct tn_err *err)
{
    enum tn_status st = tni_rocks_err(message, what, err);
    if (st == TN_E_FULL)
        return tni_full_begin(store, err);
    atomic_store(&store->is_failed, true);
    if (err)
        err->fatal = true;
    return st;
}

enum tn_status tni_store_write(struct tn_store *store, rocksdb_writebatch_t *batch, bool is_sync,
                               struct tn_err *err)
{
    TN_TRY(tni_store_ready(store, err));
    char *message = NULL;
    tni_wal_note(store, batch);
    rocksdb_write(store->db, store->write_options, batch, &message);
    if (!message)
        tni_wal_written(store, batch);
    rocksdb_writebatch_clear(batch);
    if (message)
        return tni_store_fail(store, message, "write", err);
    atomic_fetch_add(&store->write_seq, 1);
    return is_sync ? tn_store_sync(store, err) : TN_OK;
}

enum tn_status tn_store_sync(struct tn_store *store, struct tn_err *err)
{
    int64_t wanted = atomic_load(&store->write_seq);
    if (atomic_load(&store->synced_seq) >= wanted)
        return TN_OK;
    pthread_mutex_lock(&store->sync_mu);
    enum tn_status st = TN_OK;
    if (tn_failed(st = tni_store_ready(store, err))) {
        /* said in *err */
    } else if (atomic_load(&store->synced_seq) < wanted) {
        int64_t seq = atomic_load(&store->write_seq);
        char *message = NULL;
        struct tni_wal_mark mark = tni_wal_before_sync(store);
        tn_crash_point("sync-before");
        rocksdb_flush_wal(store->db, 1, &message);
        tn_crash_point("sync-after");
        if (message) {
            st = tni_store_fail(store, message, "sync", err);
        } else {
            atomic_store(&store->synced_seq, seq);
            tni_wal_after_sync(store, &mark);
        }
        atomic_fetch_add(&store->syncs_count, 1);
    }
    pthread_mutex_unlock(&store->sync_mu);
    return st;
}

enum tn_status tni_store_get(struct tn_store *store, enum tni_cf cf, struct tn_str key,
                             char **ret_value, size_t *ret_len, struct tn_err *err)
{
    char *message = NULL;
    size_t len = 0;
    char *value = rocksdb_get_cf(store->db, store->read_options, store->cf[cf], key.ptr, key.len,
                                 &len, &message);
    if (message)
        return tni_rocks_err(message, "read", err);
    if (!value)
        return TN_NOT_FOUND;
    *ret_value = tn_strndup(value, len);
    *ret_len = len;
    rocksdb_free(value);
    return TN_OK;
}

void tni_iter_open(struct tn_store *store, enum tni_cf cf, struct tn_str to, struct tni_iter *iter)
{
    iter->options = rocksdb_readoptions_create();
    if (to.ptr)
        rocksdb_readoptions_set_iterate_upper_bound(iter->options, to.ptr, to.len);
    iter->it = rocksdb_create_iterator_cf(store->db, iter->options, store->cf[cf]);
}

void tni_iter_close(struct tni_iter *iter)
{
    if (iter->it)
        rocksdb_iter_destroy(iter->it);
    if (iter->options)
        rocksdb_readoptions_destroy(iter->options);
    *iter = (struct tni_iter){0};
}

struct tn_str tni_iter_key(const struct tni_iter *iter)
{
    struct tn_str key;
    key.ptr = rocksdb_iter_key(iter->it, &key.len);
    return key;
}

struct tn_str tni_iter_value(const struct tni_iter *iter)
{
    struct tn_str value;
    value.ptr = rocksdb_iter_value(iter->it, &value.len);
    return value;
}

bool tni_iter_valid(const struct tni_iter *iter)
{
    return rocksdb_iter_valid(iter->it) != 0;
}

enum tn_status tni_iter_status(const struct tni_iter *iter, const char *what, struct tn_err *err)
{
    char *message = NULL;
    rocksdb_iter_get_error(iter->it, &message);
    return message ? tni_rocks_err(message, what, err) : TN_OK;
}

/* ---- room and figures ---- */

void tni_store_look(struct tn_store *store)
{
    struct statvfs fs;
    if (statvfs(store->path, &fs) != 0)
        return; /* keep the last answer */
    int64_t total = (int64_t)fs.f_blocks * (int64_t)fs.f_frsize;
    int64_t reserve = store->config.reserve_bytes;
    if (reserve < 0)
        reserve = total / 20 < ((int64_t)1 << 30) ? total / 20 : (int64_t)1 << 30;
    atomic_store(&store->free_bytes, (int64_t)fs.f_bavail * (int64_t)fs.f_frsize);
    atomic_store(&store->reserve_bytes, reserve);
}

enum tn_status tn_store_check_room(struct tn_store *store, struct tn_err *err)
{
    int64_t now = tni_mono_ns();
    int64_t last = atomic_load_explicit(&store->room_checked_ns, memory_order_relaxed);
    if ((last == INT64_MIN || now - last > ROOM_CHECK_NS) &&
        atomic_compare_exchange_strong(&store->room_checked_ns, &last, now))
        tni_store_look(store);
    TN_TRY(tni_store_ready(store, err));
    int64_t free_bytes = atomic_load(&store->free_bytes);
    int64_t reserve = atomic_load(&store->reserve_bytes);
    if (free_bytes >= reserve)
        return TN_OK;
    tn_err_set(err, TN_E_FULL,
               "disk of state folder '%s' is full: %" PRId64 " MiB free, %" PRId64
               " MiB are kept in reserve",
               store->path, free_bytes >> 20, reserve >> 20);
    tn_err_hint(err, "free some space; appends go on by themselves (store.reserve.bytes)");
    if (err)
        err->retriable = true;
    return TN_E_FULL;
}

static int64_t property(struct tn_store *store, enum tni_cf cf, const char *name)
{
    uint64_t value = 0;
    if (rocksdb_property_int_cf(store->db, store->cf[cf], name, &value) != 0)
        return 0;
    return (int64_t)value;
}

void tn_store_stats(struct tn_store *store, struct tn_store_stats *ret_stats)
{
    struct tn_store_stats stats = {0};
    for (int i = 0; i < TNI_CF_COUNT; i++) {
        enum tni_cf cf = (enum tni_cf)i;
        stats.disk_bytes += property(store, cf, "rocksdb.total-sst-files-size") +
                            property(store, cf, "rocksdb.total-blob-file-size");
        stats.memory_bytes += property(store, cf, "rocksdb.cur-size-all-mem-tables") +
                              property(store, cf, "rocksdb.estimate-table-readers-mem");
    }
    stats.memory_bytes += (int64_t)rocksdb_cache_get_usage(store->cache);
    stats.syncs_count = atomic_load(&store->syncs_count);
    stats.writes_count = atomic_load(&store->write_seq);
    tni_store_look(store);
    stats.free_bytes = atomic_load(&store->free_bytes);
    stats.reserve_bytes = atomic_load(&store->reserve_bytes);
    *ret_stats = stats;
}
