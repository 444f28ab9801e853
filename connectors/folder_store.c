/* Object store in a folder of the local file system.
 *
 * HOW IT WORKS. An object is written to a temporary file in <root>/.tarn-tmp, synced, and then
 * appears under its name by link() (put-if-absent: the kernel lets exactly one writer win) or
 * rename() (replace); then the folder is synced. So a reader sees a whole object or none, also
 * after a power loss. Uploads are in folder_upload.c, lists in folder_list.c. Submitted requests
 * are done by a few threads (object_pool.h); waiting ones by the caller's.
 *
 * INVARIANTS. (1) Every access walks from the root by openat, one segment at a time, with
 * O_NOFOLLOW: neither "..", an absolute path nor a symbolic link can lead outside. (2) What begins
 * with ".tarn-" is ours: no key may, no listing shows it.
 *
 * Listing order is the byte order of whole keys: a folder sorts as its name with '/' behind it.
 * @thread any; no state but the root descriptor and the pool
 */
#include "connectors/folder_store.h"

#include "connectors/folder_int.h"
#include "connectors/object_pool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "stream/base/hash.h"
#include "stream/base/mem.h"

#define SEGMENT_MAX 255
#define THREADS_MAX 8

/* ---- errors and keys ---- */

enum tn_status tni_folder_error(const struct tni_folder_store *store, const char *key, int error,
                                struct tn_err *err)
{
    enum tn_status code = error == ENOSPC || error == EDQUOT                    ? TN_E_FULL
                          : error == EACCES || error == EPERM || error == EROFS ? TN_E_DENIED
                                                                                : TN_E_IO;
    return tn_err_set(err, code, "folder '%s', object '%s': %s", store->path, key, strerror(error));
}

bool tni_segment_ok(const char *segment, size_t len)
{
    if (len == 0 || len > SEGMENT_MAX)
        return false;
    return !(len == 1 && segment[0] == '.') && !(len == 2 && memcmp(segment, "..", 2) == 0);
}

enum tn_status tni_folder_key_check(const struct tni_folder_store *store, const char *key,
                                    struct tn_err *err)
{
    TN_TRY(tn_object_key_check(key, true, err));
    bool is_ok = strncmp(key, TNI_OWN_PREFIX, strlen(TNI_OWN_PREFIX)) != 0;
    for (const char *p = key; is_ok && *p; p += *p == '/') {
        size_t n = strcspn(p, "/");
        is_ok = tni_segment_ok(p, n);
        p += n;
    }
    if (is_ok)
        return TN_OK;
    enum tn_status st = tn_err_set(
        err, TN_E_INVALID, "'%.200s' is not an object's name in folder '%s'", key, store->path);
    tn_err_hint(err,
                "segments between '/' have at most %d bytes; the first must not begin with "
                "'.tarn-'",
                SEGMENT_MAX);
    return st;
}

/* ---- walking ---- */

int tni_open_folder(int at, const char *name, bool is_make)
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

int tni_open_parent(const struct tni_folder_store *store, const char *key, bool is_make,
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
        int next = tni_open_folder(fd, segment, is_make);
        int error = errno;
        close(fd);
        errno = error;
        fd = next;
        key += len + 1;
    }
    *ret_last = key;
    return fd;
}

bool tni_write_all(int fd, const char *bytes, size_t len)
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

/* ---- put ---- */

void tni_pending_drop(struct tni_pending *pending)
{
    if (pending->fd >= 0)
        close(pending->fd);
    if (pending->folder >= 0) {
        if (pending->name[0])
            (void)unlinkat(pending->folder, pending->name, 0);
        close(pending->folder);
    }
}

int tni_pending_open(const struct tni_folder_store *store, struct tni_pending *pending)
{
    *pending = (struct tni_pending){-1, -1, ""};
    pending->folder = tni_open_folder(store->root, TNI_TMP_FOLDER, true);
    if (pending->folder < 0)
        return errno;
    tni_object_token(pending->name);
    pending->fd =
        openat(pending->folder, pending->name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    return pending->fd < 0 ? errno : 0;
}

/* Gives the synced file its name. 0, or an errno (EEXIST: lost against another writer). */
static int pending_name(const struct tni_folder_store *store, struct tni_pending *pending,
                        const char *key, bool is_if_absent)
{
    const char *last;
    int parent = tni_open_parent(store, key, true, &last), code;
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

enum tn_status tni_pending_publish(const struct tni_folder_store *store,
                                   struct tni_pending *pending, const char *key, bool is_if_absent,
                                   struct tn_object_info *ret_info, struct tn_err *err)
{
    struct stat stat;
    int error = fsync(pending->fd) == 0 ? 0 : errno;
    if (!error && fstat(pending->fd, &stat) != 0)
        error = errno;
    if (!error)
        error = pending_name(store, pending, key, is_if_absent);
    if (!error) {
        tni_fill_info(&stat, (struct tn_str){NULL, 0}, ret_info);
        return TN_OK;
    }
    if (error == EEXIST && is_if_absent)
        return tn_err_set(err, TN_E_EXISTS, "object '%s' exists already", key);
    if (error == ENOTDIR || error == EISDIR || error == ELOOP)
        return tn_err_set(err, TN_E_INVALID, "object '%s': its name is taken by %s", key,
                          error == EISDIR ? "a folder" : "a file or link");
    return tni_folder_error(store, key, error, err);
}

static enum tn_status put(struct tni_folder_store *store, struct tn_object_request *request,
                          struct tn_err *err)
{
    struct tni_pending pending;
    TN_TRY(tni_folder_key_check(store, request->key, err));
    int error = tni_pending_open(store, &pending);
    if (!error && !tni_write_all(pending.fd, request->body.ptr, request->body.len))
        error = errno;
    enum tn_status st = error ? tni_folder_error(store, request->key, error, err)
                              : tni_pending_publish(store, &pending, request->key,
                                                    request->is_if_absent, &request->info, err);
    tni_pending_drop(&pending);
    return st;
}

/* ---- get, head, remove ---- */

/* The object's file; TN_NOT_FOUND. */
static enum tn_status object_open(const struct tni_folder_store *store, const char *key,
                                  int *ret_fd, struct stat *ret_stat, struct tn_err *err)
{
    const char *last;
    TN_TRY(tni_folder_key_check(store, key, err));
    int parent = tni_open_parent(store, key, false, &last);
    int fd = parent < 0 ? -1 : openat(parent, last, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    int error = errno;
    if (parent >= 0)
        close(parent);
    if (fd < 0)
        return error == ENOENT || error == ENOTDIR || error == ELOOP
                   ? TN_NOT_FOUND
                   : tni_folder_error(store, key, error, err);
    if (fstat(fd, ret_stat) != 0 || !S_ISREG(ret_stat->st_mode)) {
        close(fd);
        return TN_NOT_FOUND;
    }
    *ret_fd = fd;
    return TN_OK;
}

void tni_fill_info(const struct stat *st, struct tn_str key, struct tn_object_info *info)
{
    info->key = key;
    info->size = (int64_t)st->st_size;
    info->modified_ms = (int64_t)st->st_mtim.tv_sec * 1000 + st->st_mtim.tv_nsec / 1000000;
    /* Objects are never changed in place, so the inode with size and time names one content. */
    snprintf(info->etag, sizeof info->etag, "%llx-%llx-%llx%08lx", (unsigned long long)st->st_ino,
             (unsigned long long)st->st_size, (unsigned long long)st->st_mtim.tv_sec,
             (unsigned long)st->st_mtim.tv_nsec);
}

static enum tn_status read_range(const struct tni_folder_store *store,
                                 struct tn_object_request *request, int fd, int64_t left,
                                 struct tn_err *err)
{
    struct tn_buf *body = request->ret_body;
    int64_t offset = request->offset;
    while (left > 0) {
        size_t want = left < (int64_t)TNI_COPY_BYTES ? (size_t)left : TNI_COPY_BYTES;
        char *to = tn_buf_reserve(body, want);
        ssize_t n = to ? pread(fd, to, want, (off_t)offset) : 0;
        if (!to)
            return tn_err_set(err, TN_E_LIMIT, "object '%s' is larger than the reader takes",
                              request->key);
        if (n < 0 && errno != EINTR)
            return tni_folder_error(store, request->key, errno, err);
        if (n == 0)
            return tn_err_set(err, TN_E_CORRUPT, "object '%s' has become shorter while it was read",
                              request->key);
        if (n > 0) {
            body->len += (size_t)n;
            offset += n;
            left -= n;
        }
    }
    return TN_OK;
}

static enum tn_status get(struct tni_folder_store *store, struct tn_object_request *request,
                          struct tn_err *err)
{
    struct stat stat;
    size_t before = request->ret_body->len;
    int fd;
    enum tn_status st = object_open(store, request->key, &fd, &stat, err);
    if (st != TN_OK)
        return st;
    tni_fill_info(&stat, (struct tn_str){NULL, 0}, &request->info);
    int64_t left = stat.st_size - request->offset;
    if (request->if_etag && strcmp(request->if_etag, request->info.etag) != 0)
        st = TN_NOT_FOUND;
    else if (request->offset < 0 || left < 0)
        st = tn_err_set(err, TN_E_INVALID, "object '%s' has %lld bytes; byte %lld was asked for",
                        request->key, (long long)stat.st_size, (long long)request->offset);
    left = request->length >= 0 && request->length < left ? request->length : left;
    if (st == TN_OK)
        st = read_range(store, request, fd, left, err);
    if (st != TN_OK) {
        request->ret_body->len = before;
        request->ret_body->is_over = false;
    }
    close(fd);
    return st;
}

bool tni_folder_stat(const struct tni_folder_store *store, const char *key, struct stat *ret_stat)
{
    const char *last;
    if (tni_folder_key_check(store, key, NULL) != TN_OK)
        return false;
    int parent = tni_open_parent(store, key, false, &last);
    bool is_file = parent >= 0 && fstatat(parent, last, ret_stat, AT_SYMLINK_NOFOLLOW) == 0 &&
                   S_ISREG(ret_stat->st_mode);
    if (parent >= 0)
        close(parent);
    return is_file;
}

static enum tn_status head(struct tni_folder_store *store, struct tn_object_request *request,
                           struct tn_err *err)
{
    struct stat stat;
    int fd;
    enum tn_status st = object_open(store, request->key, &fd, &stat, err);
    if (st != TN_OK)
        return st;
    close(fd);
    tni_fill_info(&stat, (struct tn_str){NULL, 0}, &request->info);
    return TN_OK;
}

static enum tn_status remove_object(struct tni_folder_store *store, const char *key,
                                    struct tn_err *err)
{
    const char *last;
    TN_TRY(tni_folder_key_check(store, key, err));
    int parent = tni_open_parent(store, key, false, &last);
    int error = parent < 0 ? errno : 0;
    if (!error && unlinkat(parent, last, 0) != 0)
        error = errno;
    if (!error && fsync(parent) != 0)
        error = errno;
    if (parent >= 0)
        close(parent);
    /* A folder or link of that name is no object. */
    bool is_absent = error == ENOENT || error == ENOTDIR || error == ELOOP || error == EISDIR;
    return error && !is_absent ? tni_folder_error(store, key, error, err) : TN_OK;
}

/* ---- the port ---- */

static void folder_run(struct tn_object_store *base, struct tn_object_request *request)
{
    struct tni_folder_store *store = (struct tni_folder_store *)base;
    struct tn_err *err = &request->err;
    enum tn_status st = TN_E_INTERNAL;
    request->tries = 1;
    switch (request->op) {
    case TN_OBJECT_PUT: st = put(store, request, err); break;
    case TN_OBJECT_GET: st = get(store, request, err); break;
    case TN_OBJECT_HEAD: st = head(store, request, err); break;
    case TN_OBJECT_LIST: st = tni_folder_list(store, request, NULL, err); break;
    case TN_OBJECT_REMOVE: st = remove_object(store, request->key, err); break;
    case TN_OBJECT_UPLOAD_START: st = tni_upload_start(store, request, err); break;
    case TN_OBJECT_UPLOAD_PART: st = tni_upload_part(store, request, err); break;
    case TN_OBJECT_UPLOAD_FINISH: st = tni_upload_finish(store, request, err); break;
    case TN_OBJECT_UPLOAD_ABORT: st = tni_upload_abort(store, request, err); break;
    case TN_OBJECT_UPLOADS: st = tni_upload_list(store, request, err); break;
    case TN_OBJECT_OP_COUNT: break;
    }
    request->status = st;
}

static void folder_submit(struct tn_object_store *base, struct tn_object_request *request)
{
    tni_object_pool_submit(((struct tni_folder_store *)base)->pool, request);
}

static void folder_cancel(struct tn_object_store *base, struct tn_object_request *request)
{
    tni_object_pool_cancel(((struct tni_folder_store *)base)->pool, request);
}

static void folder_close(struct tn_object_store *base)
{
    struct tni_folder_store *store = (struct tni_folder_store *)base;
    tni_object_pool_free(store->pool);
    if (store->root >= 0)
        close(store->root);
    tn_free(store->path);
    tn_free(store->url);
    tn_free(store);
}

static const struct tn_object_store_type folder_type = {
    .name = "folder",
    .submit = folder_submit,
    .run = folder_run,
    .cancel = folder_cancel,
    .close = folder_close,
};

struct tni_folder_store *tni_folder_of(struct tn_object_store *store)
{
    return store->type == &folder_type ? (struct tni_folder_store *)store : NULL;
}

/* The folder and those above it. */
static bool make_folders(const char *path)
{
    char *copy = tn_strdup(path);
    bool is_ok = true;
    for (char *at = strchr(copy + 1, '/'); at && is_ok; at = strchr(at + 1, '/')) {
        *at = 0;
        is_ok = mkdir(copy, 0777) == 0 || errno == EEXIST;
        *at = '/';
    }
    is_ok = is_ok && (mkdir(copy, 0777) == 0 || errno == EEXIST);
    tn_free(copy);
    return is_ok;
}

enum tn_status tn_folder_store_open(const char *path, struct tn_object_store **ret_store,
                                    struct tn_err *err)
{
    if (!*path || !make_folders(path))
        return tn_err_set(err, TN_E_IO, "cannot make the folder '%s': %s", path, strerror(errno));
    int root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return tn_err_set(err, TN_E_IO, "cannot open the folder '%s': %s", path, strerror(errno));
    struct tni_folder_store *store = tn_alloc(sizeof *store);
    char real[PATH_MAX];
    const char *name = realpath(path, real) ? real : path;
    size_t len = strlen(name);
    store->base.type = &folder_type;
    store->path = tn_strdup(name);
    store->url = tn_alloc(len + sizeof "file://");
    memcpy(store->url, "file://", 7);
    memcpy(store->url + 7, name, len);
    store->base.url = store->url;
    store->base.folder = store->path;
    store->base.parallel = THREADS_MAX;
    store->base.part_bytes = (size_t)64 << 20;
    store->root = root;
    store->pool = tni_object_pool_new(&store->base, THREADS_MAX, folder_run);
    tni_upload_sweep(store);
    *ret_store = &store->base;
    return TN_OK;
}
