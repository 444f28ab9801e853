/* Object store in a folder of the local file system.
 *
 * HOW IT WORKS. An object is written to a temporary file in <root>/.tarn-tmp, synced, and then
 * appears under its name by link() (put-if-absent: the kernel lets exactly one writer win) or
 * rename() (replace); then the folder is synced. So a reader sees a whole object or none, also
 * after a power loss. Parts of an upload are files in <root>/.tarn-tmp/<upload id>/; finishing
 * joins them into one temporary file first.
 *
 * INVARIANTS. (1) Every access walks from the root by openat, one segment at a time, with
 * O_NOFOLLOW: neither "..", an absolute path nor a symbolic link can lead outside. (2) What begins
 * with ".tarn-" is ours: no key may, no listing shows it.
 *
 * Listing order is the byte order of whole keys: a folder sorts as its name with '/' behind it.
 * @thread any; no state but the root descriptor
 */
#include "connectors/folder_store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "stream/base/hash.h"
#include "stream/base/mem.h"

#define TMP_FOLDER      ".tarn-tmp"
#define OWN_PREFIX      ".tarn-"
#define SEGMENT_MAX     255
#define TMP_AGE_S       ((int64_t)7 * 24 * 3600) /* left behind by a crash: removed at open */
#define COPY_BYTES      ((size_t)1 << 20)
#define PARTS_MAX       10000
#define UPLOAD_ID_BYTES 33 /* 16 bytes as hex, NUL */

struct folder_store {
    struct tn_object_store base; /* first member */
    char *path;                  /* for messages */
    int root;
};

/* ---- errors and keys ---- */

static enum tn_status io_error(const struct folder_store *store, const char *key, int error,
                               struct tn_err *err)
{
    enum tn_status code = error == ENOSPC || error == EDQUOT                    ? TN_E_FULL
                          : error == EACCES || error == EPERM || error == EROFS ? TN_E_DENIED
                                                                                : TN_E_IO;
    return tn_err_set(err, code, "folder '%s', object '%s': %s", store->path, key, strerror(error));
}

static bool segment_ok(const char *segment, size_t len)
{
    if (len == 0 || len > SEGMENT_MAX)
        return false;
    return !(len == 1 && segment[0] == '.') && !(len == 2 && memcmp(segment, "..", 2) == 0);
}

static enum tn_status key_check(const struct folder_store *store, const char *key,
                                struct tn_err *err)
{
    size_t len = strlen(key);
    bool is_ok = len > 0 && len <= TN_OBJECT_KEY_MAX && strncmp(key, OWN_PREFIX, 6) != 0;
    for (const char *p = key; is_ok; p++) {
        size_t n = strcspn(p, "/");
        is_ok = segment_ok(p, n);
        p += n;
        if (!*p)
            break;
    }
    if (is_ok)
        return TN_OK;
    enum tn_status st = tn_err_set(
        err, TN_E_INVALID, "'%.200s' is not an object's name in folder '%s'", key, store->path);
    tn_err_hint(err, "segments between '/' must not be empty, '.', '..' or begin with '.tarn-'");
    return st;
}

/* ---- walking ---- */

static int open_folder(int at, const char *name, bool is_make)
{
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0 || errno != ENOENT || !is_make)
        return fd;
    if (mkdirat(at, name, 0777) != 0 && errno != EEXIST)
        return -1;
    if (fsync(at) != 0)
        return -1;
    return openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* Folder that holds the last segment of `key`; −1 with errno. The caller closes it. */
static int open_parent(const struct folder_store *store, const char *key, bool is_make,
                       const char **ret_last)
{
    char segment[SEGMENT_MAX + 1];
    int fd = fcntl(store->root, F_DUPFD_CLOEXEC, 0);
    while (fd >= 0) {
        size_t len = strcspn(key, "/");
        if (!key[len])
            break;
        memcpy(segment, key, len);
        segment[len] = 0;
        int next = open_folder(fd, segment, is_make);
        int error = errno;
        close(fd);
        errno = error;
        fd = next;
        key += len + 1;
    }
    *ret_last = key;
    return fd;
}

static bool write_all(int fd, const char *bytes, size_t len)
{
    while (len) {
        ssize_t n = write(fd, bytes, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            errno = n == 0 ? EIO : errno;
            return false;
        }
        bytes += n;
        len -= (size_t)n;
    }
    return true;
}

static void random_name(char name[UPLOAD_ID_BYTES])
{
    static atomic_ullong counter;
    unsigned char bytes[16];
    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes) {
        unsigned long long n = (unsigned long long)getpid() << 32 | atomic_fetch_add(&counter, 1);
        memset(bytes, 0, sizeof bytes);
        memcpy(bytes, &n, sizeof n);
    }
    for (int i = 0; i < 16; i++)
        snprintf(name + 2 * i, 3, "%02x", bytes[i]);
}

/* ---- put ---- */

/* A temporary file that is not visible yet. */
struct pending {
    int folder; /* .tarn-tmp */
    int fd;
    char name[UPLOAD_ID_BYTES];
};

static void pending_drop(struct pending *pending)
{
    if (pending->fd >= 0)
        close(pending->fd);
    if (pending->folder >= 0) {
        if (pending->name[0])
            (void)unlinkat(pending->folder, pending->name, 0);
        close(pending->folder);
    }
}

static int pending_open(const struct folder_store *store, struct pending *pending)
{
    *pending = (struct pending){-1, -1, ""};
    pending->folder = open_folder(store->root, TMP_FOLDER, true);
    if (pending->folder < 0)
        return errno;
    random_name(pending->name);
    pending->fd =
        openat(pending->folder, pending->name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    return pending->fd < 0 ? errno : 0;
}

/* Gives the synced file its name. 0, or an errno (EEXIST: lost against another writer). */
static int pending_publish(const struct folder_store *store, struct pending *pending,
                           const char *key, bool is_if_absent)
{
    const char *last;
    int parent = open_parent(store, key, true, &last), code;
    if (parent < 0)
        return errno;
    if (is_if_absent)
        code = linkat(pending->folder, pending->name, parent, last, 0);
    else
        code = renameat(pending->folder, pending->name, parent, last);
    int error = code == 0 ? 0 : errno;
    if (code == 0 && !is_if_absent)
        pending->name[0] = 0;
    if (code == 0 && fsync(parent) != 0)
        error = errno;
    close(parent);
    return error;
}

static enum tn_status publish(const struct folder_store *store, struct pending *pending,
                              const char *key, bool is_if_absent, struct tn_err *err)
{
    int error = fsync(pending->fd) == 0 ? 0 : errno;
    if (!error)
        error = pending_publish(store, pending, key, is_if_absent);
    if (!error)
        return TN_OK;
    if (error == EEXIST && is_if_absent)
        return tn_err_set(err, TN_E_EXISTS, "object '%s' exists already", key);
    if (error == ENOTDIR || error == EISDIR || error == ELOOP)
        return tn_err_set(err, TN_E_INVALID, "object '%s': its name is taken by %s", key,
                          error == EISDIR ? "a folder" : "a file or link");
    return io_error(store, key, error, err);
}

static enum tn_status folder_put(struct tn_object_store *base, const char *key, struct tn_str body,
                                 bool is_if_absent, int64_t deadline_ms, struct tn_err *err)
{
    struct folder_store *store = (struct folder_store *)base;
    struct pending pending;
    (void)deadline_ms;
    TN_TRY(key_check(store, key, err));
    int error = pending_open(store, &pending);
    if (!error && !write_all(pending.fd, body.ptr, body.len))
        error = errno;
    enum tn_status st =
        error ? io_error(store, key, error, err) : publish(store, &pending, key, is_if_absent, err);
    pending_drop(&pending);
    return st;
}

/* ---- get, head, remove ---- */

/* The object's file; TN_NOT_FOUND. */
static enum tn_status object_open(const struct folder_store *store, const char *key, int *ret_fd,
                                  struct stat *ret_stat, struct tn_err *err)
{
    const char *last;
    TN_TRY(key_check(store, key, err));
    int parent = open_parent(store, key, false, &last);
    int fd = parent < 0 ? -1 : openat(parent, last, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    int error = errno;
    if (parent >= 0)
        close(parent);
    if (fd < 0)
        return error == ENOENT || error == ENOTDIR || error == ELOOP
                   ? TN_NOT_FOUND
                   : io_error(store, key, error, err);
    if (fstat(fd, ret_stat) != 0 || !S_ISREG(ret_stat->st_mode)) {
        close(fd);
        return TN_NOT_FOUND;
    }
    *ret_fd = fd;
    return TN_OK;
}

static void fill_info(const struct stat *st, struct tn_str key, struct tn_object_info *info)
{
    info->key = key;
    info->size = (int64_t)st->st_size;
    info->modified_ms = (int64_t)st->st_mtim.tv_sec * 1000 + st->st_mtim.tv_nsec / 1000000;
    /* Objects are never changed in place, so the inode with size and time names one content. */
    snprintf(info->etag, sizeof info->etag, "%llx-%llx-%llx%08lx", (unsigned long long)st->st_ino,
             (unsigned long long)st->st_size, (unsigned long long)st->st_mtim.tv_sec,
             (unsigned long)st->st_mtim.tv_nsec);
}

static enum tn_status folder_get(struct tn_object_store *base, const char *key, int64_t offset,
                                 int64_t length, struct tn_buf *ret_body, int64_t deadline_ms,
                                 struct tn_err *err)
{
    struct folder_store *store = (struct folder_store *)base;
    struct stat stat;
    int fd;
    (void)deadline_ms;
    enum tn_status st = object_open(store, key, &fd, &stat, err);
    if (st != TN_OK)
        return st;
    int64_t left = stat.st_size - offset;
    if (offset < 0 || left < 0)
        st = tn_err_set(err, TN_E_INVALID, "object '%s' has %lld bytes; byte %lld was asked for",
                        key, (long long)stat.st_size, (long long)offset);
    left = length >= 0 && length < left ? length : left;
    while (st == TN_OK && left > 0) {
        size_t want = left < (int64_t)COPY_BYTES ? (size_t)left : COPY_BYTES;
        char *to = tn_buf_reserve(ret_body, want);
        ssize_t n = to ? pread(fd, to, want, (off_t)offset) : 0;
        if (!to)
            st = tn_err_set(err, TN_E_LIMIT, "object '%s' is larger than the reader takes", key);
        else if (n < 0 && errno != EINTR)
            st = io_error(store, key, errno, err);
        else if (n == 0)
            st = tn_err_set(err, TN_E_IO, "object '%s' has become shorter while it was read", key);
        if (n > 0) {
            ret_body->len += (size_t)n;
            offset += n;
            left -= n;
        }
    }
    close(fd);
    return st;
}

static enum tn_status folder_head(struct tn_object_store *base, const char *key,
                                  struct tn_object_info *ret_info, int64_t deadline_ms,
                                  struct tn_err *err)
{
    struct folder_store *store = (struct folder_store *)base;
    struct stat stat;
    int fd;
    (void)deadline_ms;
    enum tn_status st = object_open(store, key, &fd, &stat, err);
    if (st != TN_OK)
        return st;
    close(fd);
    fill_info(&stat, tn_str_of(key), ret_info);
    return TN_OK;
}

static enum tn_status folder_remove(struct tn_object_store *base, const char *key,
                                    int64_t deadline_ms, struct tn_err *err)
{
    struct folder_store *store = (struct folder_store *)base;
    const char *last;
    (void)deadline_ms;
    TN_TRY(key_check(store, key, err));
    int parent = open_parent(store, key, false, &last);
    int error = parent < 0 ? errno : 0;
    if (!error && unlinkat(parent, last, 0) != 0)
        error = errno;
    if (!error && fsync(parent) != 0)
        error = errno;
    if (parent >= 0)
        close(parent);
    /* A folder or link of that name is no object. */
    bool is_absent = error == ENOENT || error == ENOTDIR || error == ELOOP || error == EISDIR;
    return error && !is_absent ? io_error(store, key, error, err) : TN_OK;
}

/* ---- list ---- */

struct listing {
    struct folder_store *store;
    const char *prefix, *start_after;
    bool (*each)(void *ctx, const struct tn_object_info *info);
    void *ctx;
    char key[TN_OBJECT_KEY_MAX + 2]; /* of the entry at hand */
    bool is_over;
};

struct entry {
    char *name; /* folders with '/' behind */
};

static int entry_order(const void *a, const void *b)
{
    const struct entry *ea = a, *eb = b;
    return strcmp(ea->name, eb->name);
}

static bool is_folder(int at, const struct dirent *d)
{
    struct stat st;
    if (d->d_type != DT_UNKNOWN)
        return d->d_type == DT_DIR;
    return fstatat(at, d->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

/* Sorted entries of a folder. Takes over fd. */
static struct entry *read_entries(int fd, bool is_root, size_t *ret_count)
{
    struct entry *entries = NULL;
    size_t count = 0, cap = 0;
    DIR *dir = fdopendir(fd);
    if (!dir) {
        close(fd);
        *ret_count = 0;
        return NULL;
    }
    for (struct dirent *d; (d = readdir(dir)) != NULL;) {
        size_t len = strlen(d->d_name);
        if (!segment_ok(d->d_name, len) || (is_root && strncmp(d->d_name, OWN_PREFIX, 6) == 0))
            continue;
        if (count == cap) {
            cap = cap ? cap * 2 : 64;
            entries = tn_realloc(entries, cap * sizeof *entries);
        }
        char *name = tn_alloc_raw(len + 2);
        memcpy(name, d->d_name, len + 1);
        if (is_folder(dirfd(dir), d)) {
            name[len] = '/';
            name[len + 1] = 0;
        }
        entries[count++] = (struct entry){name};
    }
    closedir(dir);
    if (count)
        qsort(entries, count, sizeof *entries, entry_order);
    *ret_count = count;
    return entries;
}

/* May a key that begins with `key` (a folder) be wanted? */
static bool folder_wanted(const struct listing *list, size_t len)
{
    size_t prefix = strlen(list->prefix), n = len < prefix ? len : prefix;
    if (memcmp(list->key, list->prefix, n) != 0)
        return false;
    /* all keys below are ≤ start_after when its first len bytes are greater */
    return strncmp(list->key, list->start_after, len) >= 0;
}

static void list_object(struct listing *list, int at, const char *name, size_t len)
{
    struct stat st;
    struct tn_object_info info = {0};
    if (strncmp(list->key, list->prefix, strlen(list->prefix)) != 0 ||
        strcmp(list->key, list->start_after) <= 0 ||
        fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode))
        return;
    fill_info(&st, (struct tn_str){list->key, len}, &info);
    list->is_over = !list->each(list->ctx, &info);
}

/* Takes over fd; list->key holds the folder's key with '/' (len bytes). */
static void list_folder(struct listing *list, int fd, size_t len)
{
    size_t count;
    int at = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    struct entry *entries = read_entries(fd, len == 0, &count);
    for (size_t i = 0; i < count; i++) {
        char *name = entries[i].name;
        size_t n = strlen(name);
        if (!list->is_over && at >= 0 && len + n <= TN_OBJECT_KEY_MAX) {
            memcpy(list->key + len, name, n + 1);
            if (name[n - 1] != '/') {
                list_object(list, at, name, len + n);
            } else if (folder_wanted(list, len + n)) {
                name[n - 1] = 0;
                int sub = open_folder(at, name, false);
                if (sub >= 0)
                    list_folder(list, sub, len + n);
            }
        }
        tn_free(name);
    }
    tn_free(entries);
    if (at >= 0)
        close(at);
}

static enum tn_status folder_list(struct tn_object_store *base, const char *prefix,
                                  const char *start_after,
                                  bool (*each)(void *ctx, const struct tn_object_info *info),
                                  void *ctx, int64_t deadline_ms, struct tn_err *err)
{
    struct folder_store *store = (struct folder_store *)base;
    struct listing list = {.store = store,
                           .prefix = prefix ? prefix : "",
                           .start_after = start_after ? start_after : "",
                           .each = each,
                           .ctx = ctx};
    (void)deadline_ms;
    int fd = openat(store->root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return io_error(store, list.prefix, errno, err);
    list_folder(&list, fd, 0);
    return TN_OK;
}

/* ---- multipart ---- */

static bool id_ok(const char *id)
{
    return strlen(id) == UPLOAD_ID_BYTES - 1 &&
           strspn(id, "0123456789abcdef") == UPLOAD_ID_BYTES - 1;
}

/* Folder of an upload; TN_NOT_FOUND when it does not exist (any more). */
static enum tn_status upload_open(const struct folder_store *store, const char *key, const char *id,
                                  int *ret_fd, struct tn_err *err)
{
    TN_TRY(key_check(store, key, err));
    int tmp = id_ok(id) ? open_folder(store->root, TMP_FOLDER, false) : -1;
    int fd = tmp < 0 ? -1 : open_folder(tmp, id, false);
    if (tmp >= 0)
        close(tmp);
    if (fd < 0)
        return tn_err_set(err, TN_E_INVALID, "upload '%.64s' of object '%s' does not exist", id,
                          key);
    *ret_fd = fd;
    return TN_OK;
}

static enum tn_status folder_upload_start(struct tn_object_store *base, const char *key,
                                          char upload_id[256], int64_t deadline_ms,
                                          struct tn_err *err)
{
    struct folder_store *store = (struct folder_store *)base;
    char id[UPLOAD_ID_BYTES];
    (void)deadline_ms;
    TN_TRY(key_check(store, key, err));
    int tmp = open_folder(store->root, TMP_FOLDER, true);
    int error = tmp < 0 ? errno : 0;
    random_name(id);
    if (!error && (mkdirat(tmp, id, 0777) != 0 || fsync(tmp) != 0))
        error = errno;
    if (tmp >= 0)
        close(tmp);
    if (error)
        return io_error(store, key, error, err);
    memcpy(upload_id, id, sizeof id);
    return TN_OK;
}

static void part_etag(struct tn_str body, char etag[72])
{
    snprintf(etag, 72, "%08x-%zx", tn_crc32c(0, body.ptr, body.len), body.len);
}

static enum tn_status folder_upload_part(struct tn_object_store *base, const char *key,
                                         const char *upload_id, int part, struct tn_str body,
                                         char ret_etag[72], int64_t deadline_ms, struct tn_err *err)
{
    struct folder_store *store = (struct folder_store *)base;
    char name[16], tmp_name[24];
    int folder, error = 0;
    (void)deadline_ms;
    if (part < 1 || part > PARTS_MAX)
        return tn_err_set(err, TN_E_INVALID, "part number %d is not in 1 … %d", part, PARTS_MAX);
    TN_TRY(upload_open(store, key, upload_id, &folder, err));
    snprintf(name, sizeof name, "%05d", part);
    snprintf(tmp_name, sizeof tmp_name, "%05d.new", part);
    int fd = openat(folder, tmp_name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (fd < 0 || !write_all(fd, body.ptr, body.len) || fsync(fd) != 0 ||
        renameat(folder, tmp_name, folder, name) != 0 || fsync(folder) != 0)
        error = errno;
    if (fd >= 0)
        close(fd);
    close(folder);
    if (error)
        return io_error(store, key, error, err);
    part_etag(body, ret_etag);
    return TN_OK;
}

/* Appends one part to the temporary file, checking that it is the part that was acknowledged. */
static enum tn_status join_part(const struct folder_store *store, const char *key, int folder,
                                int part, const char *etag, int to, char *buffer,
                                struct tn_err *err)
{
    char name[16], real[72];
    uint32_t crc = 0;
    size_t size = 0;
    ssize_t n;
    snprintf(name, sizeof name, "%05d", part);
    int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return tn_err_set(err, TN_E_INVALID, "object '%s': part %d was never uploaded", key, part);
    int error = 0;
    while (!error && (n = read(fd, buffer, COPY_BYTES)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 || !write_all(to, buffer, (size_t)n)) {
            error = errno;
            break;
        }
        crc = tn_crc32c(crc, buffer, (size_t)n);
        size += (size_t)n;
    }
    close(fd);
    if (error)
        return io_error(store, key, error, err);
    snprintf(real, sizeof real, "%08x-%zx", crc, size);
    if (strcmp(real, etag) != 0)
        return tn_err_set(err, TN_E_INVALID, "object '%s': part %d is not the one named", key,
                          part);
    return TN_OK;
}

static void upload_remove(const struct folder_store *store, const char *id)
{
    int tmp = open_folder(store->root, TMP_FOLDER, false);
    int folder = tmp < 0 ? -1 : open_folder(tmp, id, false);
    size_t count = 0;
    if (folder >= 0) {
        int copy = fcntl(folder, F_DUPFD_CLOEXEC, 0);
        struct entry *entries = copy < 0 ? NULL : read_entries(copy, false, &count);
        for (size_t i = 0; i < count; i++) {
            (void)unlinkat(folder, entries[i].name, 0);
            tn_free(entries[i].name);
        }
        tn_free(entries);
        close(folder);
        (void)unlinkat(tmp, id, AT_REMOVEDIR);
    }
    if (tmp >= 0)
        close(tmp);
}

static enum tn_status folder_upload_finish(struct tn_object_store *base, const char *key,
                                           const char *upload_id, const char (*etags)[72],
                                           int parts_count, int64_t deadline_ms, struct tn_err *err)
{
    struct folder_store *store = (struct folder_store *)base;
    struct pending pending;
    int folder;
    (void)deadline_ms;
    if (parts_count < 1 || parts_count > PARTS_MAX)
        return tn_err_set(err, TN_E_INVALID, "an upload has 1 … %d parts, not %d", PARTS_MAX,
                          parts_count);
    TN_TRY(upload_open(store, key, upload_id, &folder, err));
    int error = pending_open(store, &pending);
    enum tn_status st = error ? io_error(store, key, error, err) : TN_OK;
    char *buffer = tn_alloc_raw(COPY_BYTES);
    for (int i = 0; i < parts_count && st == TN_OK; i++)
        st = join_part(store, key, folder, i + 1, etags[i], pending.fd, buffer, err);
    if (st == TN_OK)
        st = publish(store, &pending, key, false, err);
    tn_free(buffer);
    pending_drop(&pending);
    close(folder);
    if (st == TN_OK)
        upload_remove(store, upload_id);
    return st;
}

static enum tn_status folder_upload_abort(struct tn_object_store *base, const char *key,
                                          const char *upload_id, int64_t deadline_ms,
                                          struct tn_err *err)
{
    struct folder_store *store = (struct folder_store *)base;
    (void)deadline_ms;
    TN_TRY(key_check(store, key, err));
    if (id_ok(upload_id))
        upload_remove(store, upload_id);
    return TN_OK;
}

/* ---- open ---- */

/* Temporary files and uploads that nobody has touched for a week. */
static void sweep(const struct folder_store *store)
{
    size_t count = 0;
    struct stat st;
    int tmp = open_folder(store->root, TMP_FOLDER, false);
    int copy = tmp < 0 ? -1 : fcntl(tmp, F_DUPFD_CLOEXEC, 0);
    struct entry *entries = copy < 0 ? NULL : read_entries(copy, false, &count);
    for (size_t i = 0; i < count; i++) {
        char *name = entries[i].name;
        size_t len = strlen(name);
        bool is_upload = name[len - 1] == '/';
        if (is_upload)
            name[len - 1] = 0;
        if (fstatat(tmp, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            st.st_mtim.tv_sec + TMP_AGE_S < time(NULL)) {
            if (is_upload)
                upload_remove(store, name);
            else
                (void)unlinkat(tmp, name, 0);
        }
        tn_free(name);
    }
    tn_free(entries);
    if (tmp >= 0)
        close(tmp);
}

static void folder_close(struct tn_object_store *base)
{
    struct folder_store *store = (struct folder_store *)base;
    if (!store)
        return;
    if (store->root >= 0)
        close(store->root);
    tn_free(store->path);
    tn_free(store);
}

static const struct tn_object_store_type folder_type = {
    .name = "folder",
    .put = folder_put,
    .get = folder_get,
    .head = folder_head,
    .list = folder_list,
    .remove = folder_remove,
    .upload_start = folder_upload_start,
    .upload_part = folder_upload_part,
    .upload_finish = folder_upload_finish,
    .upload_abort = folder_upload_abort,
    .close = folder_close,
};

enum tn_status tn_folder_store_open(const char *path, struct tn_object_store **ret_store,
                                    struct tn_err *err)
{
    if (mkdir(path, 0777) != 0 && errno != EEXIST)
        return tn_err_set(err, TN_E_IO, "cannot make the folder '%s': %s", path, strerror(errno));
    int root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return tn_err_set(err, TN_E_IO, "cannot open the folder '%s': %s", path, strerror(errno));
    struct folder_store *store = tn_alloc(sizeof *store);
    store->base.type = &folder_type;
    store->path = tn_strdup(path);
    store->root = root;
    sweep(store);
    *ret_store = &store->base;
    return TN_OK;
}
