/* Lists of the folder adapter (folder_int.h).
 *
 * A folder is read whole, sorted, and walked in that order: the byte order of whole keys, because a
 * folder sorts as its name with '/' behind it. Links are neither followed nor shown. Whoever wants
 * to know which folders were entered gives hooks (folder_watch.c).
 * @thread any; all state is on the stack
 */
#include "connectors/folder_int.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "stream/base/mem.h"

struct listing {
    struct tni_folder_store *store;
    const char *prefix, *start_after;
    bool (*each)(void *ctx, const struct tn_object_info *info);
    void *ctx;
    const struct tni_folder_hooks *hooks; /* may be NULL */
    bool is_shallow;
    char key[TN_OBJECT_KEY_MAX + 2]; /* of the entry at hand */
    bool is_over;
};

static int entry_order(const void *a, const void *b)
{
    const struct tni_entry *ea = a, *eb = b;
    return strcmp(ea->name, eb->name);
}

static bool is_folder(int at, const struct dirent *d)
{
    struct stat st;
    if (d->d_type != DT_UNKNOWN)
        return d->d_type == DT_DIR;
    return fstatat(at, d->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

struct tni_entry *tni_read_entries(int fd, bool is_root, size_t *ret_count)
{
    struct tni_entry *entries = NULL;
    size_t count = 0, cap = 0;
    DIR *dir = fdopendir(fd);
    if (!dir) {
        close(fd);
        *ret_count = 0;
        return NULL;
    }
    for (struct dirent *d; (d = readdir(dir)) != NULL;) {
        size_t len = strlen(d->d_name);
        if (!tni_segment_ok(d->d_name, len) ||
            (is_root && strncmp(d->d_name, TNI_OWN_PREFIX, 6) == 0))
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
        entries[count++] = (struct tni_entry){name};
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
    tni_fill_info(&st, (struct tn_str){list->key, len}, &info);
    if (list->hooks)
        list->hooks->on_file(list->hooks->ctx, &st);
    list->is_over = !list->each(list->ctx, &info);
}

/* A folder as one entry of a shallow list. */
static void list_entry(struct listing *list, size_t len)
{
    struct tn_object_info info = {.key = {list->key, len}, .size = -1};
    if (strcmp(list->key, list->start_after) > 0)
        list->is_over = !list->each(list->ctx, &info);
}

/* Takes over fd; list->key holds the folder's key with '/' (len bytes). */
static void list_folder(struct listing *list, int fd, size_t len)
{
    size_t count;
    int at = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (list->hooks)
        list->hooks->on_folder(list->hooks->ctx, fd, (struct tn_str){list->key, len});
    struct tni_entry *entries = tni_read_entries(fd, len == 0, &count);
    for (size_t i = 0; i < count; i++) {
        char *name = entries[i].name;
        size_t n = strlen(name);
        if (!list->is_over && at >= 0 && len + n <= TN_OBJECT_KEY_MAX) {
            memcpy(list->key + len, name, n + 1);
            if (name[n - 1] != '/') {
                list_object(list, at, name, len + n);
            } else if (list->is_shallow && len + n > strlen(list->prefix)) {
                if (folder_wanted(list, len + n))
                    list_entry(list, len + n);
            } else if (folder_wanted(list, len + n)) {
                name[n - 1] = 0;
                int sub = tni_open_folder(at, name, false);
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

/* The deepest folder that holds all keys with the prefix: what comes before its last '/'. */
enum tn_status tni_folder_list(struct tni_folder_store *store, struct tn_object_request *request,
                               const struct tni_folder_hooks *hooks, struct tn_err *err)
{
    const char *prefix = request->key ? request->key : "", *last;
    struct listing list = {.store = store,
                           .prefix = prefix,
                           .start_after = request->start_after ? request->start_after : "",
                           .each = request->each,
                           .ctx = request->each_ctx,
                           .hooks = hooks,
                           .is_shallow = request->is_shallow};
    const char *slash = strrchr(prefix, '/');
    size_t len = slash ? (size_t)(slash - prefix) : 0;
    if (len > TN_OBJECT_KEY_MAX || slash == prefix)
        return tn_err_set(err, TN_E_INVALID, "'%.200s' is not a prefix of objects", prefix);
    memcpy(list.key, prefix, len);
    if (len)
        TN_TRY(tni_folder_key_check(store, list.key, err));
    list.key[len] = len ? '/' : 0;
    list.key[len ? len + 1 : 0] = 0;
    /* a descriptor of its own: a duplicate of the root would share its reading position */
    int parent = len ? tni_open_parent(store, list.key, false, &last)
                     : openat(store->root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (parent >= 0)
        list_folder(&list, parent, strlen(list.key));
    else if (errno != ENOENT && errno != ENOTDIR && errno != ELOOP)
        return tni_folder_error(store, prefix, errno, err);
    return TN_OK;
}
