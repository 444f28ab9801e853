/* Uploads of the folder adapter: a folder <root>/.tarn-tmp/<upload id>/ with the parts as files
 * 00001 … and the object's key in the file "key". Finishing joins the parts into one temporary
 * file, which then gets its name as any object does.
 * @thread any; no state but the files
 */
#include "connectors/folder_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "stream/base/hash.h"
#include "stream/base/mem.h"

#define TMP_AGE_S ((int64_t)7 * 24 * 3600) /* left behind by a crash: removed at open */

static bool id_ok(const char *id)
{
    return strlen(id) == TNI_OBJECT_TOKEN - 1 &&
           strspn(id, "0123456789abcdef") == TNI_OBJECT_TOKEN - 1;
}

/* Folder of an upload; TN_E_CANCELLED when it does not exist (any more). */
static enum tn_status upload_open(const struct tni_folder_store *store, const char *key,
                                  const char *id, int *ret_fd, struct tn_err *err)
{
    TN_TRY(tni_folder_key_check(store, key, err));
    int tmp = id_ok(id) ? tni_open_folder(store->root, TNI_TMP_FOLDER, false) : -1;
    int fd = tmp < 0 ? -1 : tni_open_folder(tmp, id, false);
    if (tmp >= 0)
        close(tmp);
    if (fd < 0)
        return tn_err_set(err, TN_E_CANCELLED,
                          "upload '%.64s' of object '%s' does not exist (any more)", id, key);
    *ret_fd = fd;
    return TN_OK;
}

/* The folder of a new upload, holding its key; an errno or 0. */
static int make_upload(int tmp, const char *id, const char *key)
{
    if (mkdirat(tmp, id, 0777) != 0)
        return errno;
    int folder = tni_open_folder(tmp, id, false);
    int fd = folder < 0 ? -1 : openat(folder, "key", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    int error = fd < 0 || !tni_write_all(fd, key, strlen(key)) || fsync(fd) != 0 ||
                        fsync(folder) != 0 || fsync(tmp) != 0
                    ? errno
                    : 0;
    if (fd >= 0)
        close(fd);
    if (folder >= 0)
        close(folder);
    return error;
}

enum tn_status tni_upload_start(struct tni_folder_store *store, struct tn_object_request *request,
                                struct tn_err *err)
{
    char id[TNI_OBJECT_TOKEN];
    TN_TRY(tni_folder_key_check(store, request->key, err));
    int tmp = tni_open_folder(store->root, TNI_TMP_FOLDER, true);
    tni_object_token(id);
    int error = tmp < 0 ? errno : make_upload(tmp, id, request->key);
    if (tmp >= 0)
        close(tmp);
    if (error)
        return tni_folder_error(store, request->key, error, err);
    memcpy(request->upload_id, id, sizeof id);
    return TN_OK;
}

static void part_etag(struct tn_str body, char etag[TN_OBJECT_ETAG_MAX])
{
    snprintf(etag, TN_OBJECT_ETAG_MAX, "%08x-%zx", tn_crc32c(0, body.ptr, body.len), body.len);
}

enum tn_status tni_upload_part(struct tni_folder_store *store, struct tn_object_request *request,
                               struct tn_err *err)
{
    struct tn_str body = request->body;
    char name[16], tmp_name[40], unique[TNI_OBJECT_TOKEN];
    int folder, error = 0, part = request->part;
    if (part < 1 || part > TN_OBJECT_PARTS_MAX)
        return tn_err_set(err, TN_E_INVALID, "part number %d is not in 1 … %d", part,
                          TN_OBJECT_PARTS_MAX);
    TN_TRY(upload_open(store, request->key, request->upload_id, &folder, err));
    tni_object_token(unique); /* the same part may be sent twice at once */
    snprintf(name, sizeof name, "%05d", part);
    snprintf(tmp_name, sizeof tmp_name, "%s", unique);
    int fd = openat(folder, tmp_name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (fd < 0 || !tni_write_all(fd, body.ptr, body.len) || fsync(fd) != 0 ||
        renameat(folder, tmp_name, folder, name) != 0 || fsync(folder) != 0)
        error = errno;
    if (fd >= 0)
        close(fd);
    close(folder);
    if (error)
        return tni_folder_error(store, request->key, error, err);
    part_etag(body, request->info.etag);
    return TN_OK;
}

/* Appends one part to the temporary file, checking that it is the part that was acknowledged. */
static enum tn_status join_part(const struct tni_folder_store *store, const char *key, int folder,
                                int part, const char *etag, int to, char *buffer,
                                struct tn_err *err)
{
    char name[16], real[TN_OBJECT_ETAG_MAX];
    uint32_t crc = 0;
    size_t size = 0;
    ssize_t n;
    snprintf(name, sizeof name, "%05d", part);
    int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return tn_err_set(err, TN_E_INVALID, "object '%s': part %d was never uploaded", key, part);
    int error = 0;
    while (!error && (n = read(fd, buffer, TNI_COPY_BYTES)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 || !tni_write_all(to, buffer, (size_t)n)) {
            error = errno;
            break;
        }
        crc = tn_crc32c(crc, buffer, (size_t)n);
        size += (size_t)n;
    }
    close(fd);
    if (error)
        return tni_folder_error(store, key, error, err);
    snprintf(real, sizeof real, "%08x-%zx", crc, size);
    if (strcmp(real, etag) != 0)
        return tn_err_set(err, TN_E_INVALID, "object '%s': part %d is not the one named", key,
                          part);
    return TN_OK;
}

static void upload_remove(const struct tni_folder_store *store, const char *id)
{
    int tmp = tni_open_folder(store->root, TNI_TMP_FOLDER, false);
    int folder = tmp < 0 ? -1 : tni_open_folder(tmp, id, false);
    size_t count = 0;
    if (folder >= 0) {
        int copy = fcntl(folder, F_DUPFD_CLOEXEC, 0);
        struct tni_entry *entries = copy < 0 ? NULL : tni_read_entries(copy, false, &count);
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

enum tn_status tni_upload_finish(struct tni_folder_store *store, struct tn_object_request *request,
                                 struct tn_err *err)
{
    const char *key = request->key;
    struct tni_pending pending;
    int folder;
    if (request->parts_count < 1 || request->parts_count > TN_OBJECT_PARTS_MAX)
        return tn_err_set(err, TN_E_INVALID, "an upload has 1 … %d parts, not %d",
                          TN_OBJECT_PARTS_MAX, request->parts_count);
    TN_TRY(upload_open(store, key, request->upload_id, &folder, err));
    int error = tni_pending_open(store, &pending);
    enum tn_status st = error ? tni_folder_error(store, key, error, err) : TN_OK;
    char *buffer = tn_alloc_raw(TNI_COPY_BYTES);
    for (int i = 0; i < request->parts_count && st == TN_OK; i++)
        st = join_part(store, key, folder, i + 1, request->etags[i], pending.fd, buffer, err);
    if (st == TN_OK)
        st = tni_pending_publish(store, &pending, key, false, &request->info, err);
    tn_free(buffer);
    tni_pending_drop(&pending);
    close(folder);
    if (st == TN_OK)
        upload_remove(store, request->upload_id);
    return st;
}

enum tn_status tni_upload_abort(struct tni_folder_store *store, struct tn_object_request *request,
                                struct tn_err *err)
{
    TN_TRY(tni_folder_key_check(store, request->key, err));
    if (id_ok(request->upload_id))
        upload_remove(store, request->upload_id);
    return TN_OK;
}

/* ---- left-over uploads ---- */

/* Reports the upload `id` when its key has the prefix; false stops. */
static bool report_upload(struct tn_object_request *request, int tmp, const char *id)
{
    char key[TN_OBJECT_KEY_MAX + 1];
    struct tn_object_info info;
    struct stat stat;
    int folder = tni_open_folder(tmp, id, false);
    int fd = folder < 0 ? -1 : openat(folder, "key", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    ssize_t n = fd < 0 || fstat(fd, &stat) != 0 ? -1 : read(fd, key, TN_OBJECT_KEY_MAX);
    if (fd >= 0)
        close(fd);
    if (folder >= 0)
        close(folder);
    if (n <= 0)
        return true; /* ended meanwhile, or never begun */
    key[n] = 0;
    if (request->key && strncmp(key, request->key, strlen(request->key)) != 0)
        return true;
    tni_fill_info(&stat, (struct tn_str){key, (size_t)n}, &info);
    info.etag[0] = 0;
    info.size = 0;
    info.upload_id = id;
    return request->each(request->each_ctx, &info);
}

enum tn_status tni_upload_list(struct tni_folder_store *store, struct tn_object_request *request,
                               struct tn_err *err)
{
    size_t count = 0;
    bool is_over = false;
    int tmp = tni_open_folder(store->root, TNI_TMP_FOLDER, false);
    int copy = tmp < 0 ? -1 : fcntl(tmp, F_DUPFD_CLOEXEC, 0);
    if (tmp < 0 && errno != ENOENT)
        return tni_folder_error(store, TNI_TMP_FOLDER, errno, err);
    struct tni_entry *entries = copy < 0 ? NULL : tni_read_entries(copy, false, &count);
    for (size_t i = 0; i < count; i++) {
        char *name = entries[i].name;
        size_t len = strlen(name);
        if (name[len - 1] == '/' && !is_over) {
            name[len - 1] = 0;
            is_over = !report_upload(request, tmp, name);
        }
        tn_free(name);
    }
    tn_free(entries);
    if (tmp >= 0)
        close(tmp);
    return TN_OK;
}

void tni_upload_sweep(const struct tni_folder_store *store)
{
    size_t count = 0;
    struct stat st;
    int tmp = tni_open_folder(store->root, TNI_TMP_FOLDER, false);
    int copy = tmp < 0 ? -1 : fcntl(tmp, F_DUPFD_CLOEXEC, 0);
    struct tni_entry *entries = copy < 0 ? NULL : tni_read_entries(copy, false, &count);
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
