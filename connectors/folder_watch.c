/* inotify over the folders of a store. Contract: connectors/folder_watch.h.
 *
 * One inotify instance a watch; `folders` maps its numbers to keys. A notice about a folder
 * (made, moved, gone, other rights) drops the watches of all that was below its key and names it:
 * the list that follows enters what is there now. Notices of numbers that are no longer known
 * belong to folders that were moved away or listed anew, and are passed over.
 *
 * `is_lost`: a list of everything is needed. Set by an overflow of the kernel's queue, too many
 * changes or folders, a refused watch, the root's own end, a file with several links.
 */
#include "connectors/folder_watch.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "connectors/folder_int.h"
#include "stream/base/arena.h"
#include "stream/base/mem.h"

#define WATCHES_MAX  32 /* of this process; users have 128 by default, for all programs */
#define EVENTS_BYTES ((size_t)16 << 10)
#define CHANGES_MAX  4096
#define MARKS_BYTES  ((size_t)4 << 20)
#define MASK                                                                                       \
    (IN_CREATE | IN_DELETE | IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB | IN_MOVED_FROM |              \
     IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR | IN_EXCL_UNLINK)

struct watched {
    int number;
    char *key; /* "" or ends with '/' */
};

struct tn_folder_watch {
    struct tni_folder_store *store;
    int fd;
    uint32_t folders_max, folders_count, folders_cap;
    struct watched *folders; /* by number */
    dev_t device;
    bool is_lost;
    struct tn_arena arena; /* keys of marks */
    const char **marks;
    uint32_t marks_count, marks_cap;
};

static atomic_int watches_count;

/* File systems of this machine, whose every change goes through its kernel. */
static bool is_local(int fd)
{
    static const unsigned long known[] = {0xEF53 /* ext */,         0x58465342 /* xfs */,
                                          0x9123683E /* btrfs */,   0x01021994 /* tmpfs */,
                                          0x794C7630 /* overlay */, 0xF2F52010 /* f2fs */,
                                          0x2FC12FC1 /* zfs */,     0x858458F6 /* ramfs */};
    struct statfs fs;
    bool is_known = false;
    if (fstatfs(fd, &fs) != 0)
        return false;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        is_known |= ((unsigned long)fs.f_type & 0xFFFFFFFFul) == known[i];
    return is_known;
}

struct tn_folder_watch *tn_folder_watch_open(struct tn_object_store *base, uint32_t folders_max)
{
    struct tni_folder_store *store = tni_folder_of(base);
    struct stat stat;
    if (!store || !is_local(store->root) || fstat(store->root, &stat) != 0)
        return NULL;
    int fd = -1;
    if (atomic_fetch_add(&watches_count, 1) < WATCHES_MAX)
        fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (fd < 0) {
        atomic_fetch_sub(&watches_count, 1);
        return NULL;
    }
    struct tn_folder_watch *watch = tn_alloc(sizeof *watch);
    watch->store = store;
    watch->fd = fd;
    watch->folders_max = folders_max;
    watch->device = stat.st_dev;
    watch->is_lost = true;
    tn_arena_init(&watch->arena, 0);
    return watch;
}

static void folders_free(struct tn_folder_watch *watch)
{
    for (uint32_t i = 0; i < watch->folders_count; i++)
        tn_free(watch->folders[i].key);
    watch->folders_count = 0;
}

void tn_folder_watch_close(struct tn_folder_watch *watch)
{
    if (!watch)
        return;
    atomic_fetch_sub(&watches_count, 1);
    if (watch->fd >= 0)
        close(watch->fd);
    folders_free(watch);
    tn_free(watch->folders);
    tn_free(watch->marks);
    tn_arena_release(&watch->arena);
    tn_free(watch);
}

/* ---- folders ---- */

/* Place of the first number that is not less. */
static uint32_t place_of(const struct tn_folder_watch *watch, int number)
{
    uint32_t low = 0, high = watch->folders_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (watch->folders[middle].number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static const char *key_of(const struct tn_folder_watch *watch, int number)
{
    uint32_t at = place_of(watch, number);
    bool is_known = at < watch->folders_count && watch->folders[at].number == number;
    return is_known ? watch->folders[at].key : NULL;
}

static void remember(struct tn_folder_watch *watch, int number, struct tn_str key)
{
    uint32_t at = place_of(watch, number);
    if (at < watch->folders_count && watch->folders[at].number == number) {
        tn_free(watch->folders[at].key); /* the folder was moved here */
    } else {
        if (watch->folders_count == watch->folders_cap) {
            watch->folders_cap = watch->folders_cap ? watch->folders_cap * 2 : 16;
            watch->folders =
                tn_realloc(watch->folders, watch->folders_cap * sizeof *watch->folders);
        }
        memmove(&watch->folders[at + 1], &watch->folders[at],
                (watch->folders_count - at) * sizeof *watch->folders);
        watch->folders_count++;
    }
    watch->folders[at] = (struct watched){number, tn_strndup(key.ptr, key.len)};
}

/* No notices any more from the folder of that key and those below. */
static void forget(struct tn_folder_watch *watch, struct tn_str key)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < watch->folders_count; i++) {
        struct watched folder = watch->folders[i];
        if (strncmp(folder.key, key.ptr, key.len) != 0) {
            watch->folders[kept++] = folder;
            continue;
        }
        (void)inotify_rm_watch(watch->fd, folder.number); /* it may have gone by itself */
        tn_free(folder.key);
    }
    watch->folders_count = kept;
}

static void on_folder(void *ctx, int fd, struct tn_str key)
{
    struct tn_folder_watch *watch = ctx;
    char path[40];
    struct stat stat;
    if (watch->is_lost)
        return;
    /* by descriptor: no link can be followed, nothing can be exchanged in between */
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int number = -1;
    if (watch->folders_count < watch->folders_max && fstat(fd, &stat) == 0 &&
        stat.st_dev == watch->device)
        number = inotify_add_watch(watch->fd, path, MASK);
    if (number < 0)
        watch->is_lost = true;
    else
        remember(watch, number, key);
}

static void on_file(void *ctx, const struct stat *stat)
{
    struct tn_folder_watch *watch = ctx;
    if (stat->st_nlink > 1)
        watch->is_lost = true;
}

/* A new instance: watches and queue of the old one go with it. */
static bool start_again(struct tn_folder_watch *watch)
{
    if (watch->fd >= 0)
        close(watch->fd);
    watch->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    folders_free(watch);
    return watch->fd >= 0;
}

enum tn_status tn_folder_watch_list(struct tn_folder_watch *watch, const char *prefix,
                                    bool (*each)(void *ctx, const struct tn_object_info *info),
                                    void *ctx, struct tn_err *err)
{
    const struct tni_folder_hooks hooks = {on_folder, on_file, watch};
    if (!*prefix)
        watch->is_lost = !start_again(watch);
    struct tn_object_request request = {
        .op = TN_OBJECT_LIST, .key = prefix, .each = each, .each_ctx = ctx};
    return tni_folder_list(watch->store, &request, &hooks, err);
}

bool tn_folder_watch_is_lost(const struct tn_folder_watch *watch)
{
    return watch->is_lost;
}

bool tn_folder_watch_head(struct tn_folder_watch *watch, const char *key,
                          struct tn_object_info *ret_info)
{
    struct stat stat;
    if (!tni_folder_stat(watch->store, key, &stat))
        return false;
    on_file(watch, &stat);
    tni_fill_info(&stat, tn_str_of(key), ret_info);
    return true;
}

/* ---- notices ---- */

static void mark(struct tn_folder_watch *watch, const char *folder, const char *name,
                 bool is_folder)
{
    size_t folder_len = strlen(folder), len = strlen(name);
    if (!*folder && strncmp(name, TNI_OWN_PREFIX, strlen(TNI_OWN_PREFIX)) == 0)
        return;
    if (folder_len + len + is_folder > TN_OBJECT_KEY_MAX)
        return; /* no key */
    char *key = tn_arena_alloc(&watch->arena, folder_len + len + 2);
    memcpy(key, folder, folder_len);
    memcpy(key + folder_len, name, len);
    key[folder_len + len] = is_folder ? '/' : 0;
    key[folder_len + len + is_folder] = 0;
    if (is_folder)
        forget(watch, tn_str_of(key));
    if (watch->marks_count && strcmp(watch->marks[watch->marks_count - 1], key) == 0)
        return;
    if (watch->marks_count == watch->marks_cap) {
        watch->marks_cap = watch->marks_cap ? watch->marks_cap * 2 : 64;
        watch->marks = tn_realloc(watch->marks, watch->marks_cap * sizeof *watch->marks);
    }
    watch->marks[watch->marks_count++] = key;
    if (watch->arena.bytes_total > MARKS_BYTES)
        watch->is_lost = true;
}

static void notice(struct tn_folder_watch *watch, const struct inotify_event *event)
{
    const char *folder = key_of(watch, event->wd);
    if (event->mask & IN_Q_OVERFLOW)
        watch->is_lost = true;
    if (watch->is_lost || !folder || (event->mask & IN_IGNORED))
        return;
    if (event->len && event->name[0])
        mark(watch, folder, event->name, (event->mask & IN_ISDIR) != 0);
    else if (!*folder)
        watch->is_lost = true; /* the root itself was moved, removed or got other rights */
    /* the end of another folder is told by the one above it */
}

static void read_notices(struct tn_folder_watch *watch)
{
    _Alignas(struct inotify_event) char events[EVENTS_BYTES];
    int waiting = 0;
    /* what is there now: a busy writer must not keep us here */
    if (ioctl(watch->fd, FIONREAD, &waiting) != 0)
        watch->is_lost = true;
    while (waiting > 0 && !watch->is_lost) {
        ssize_t got = read(watch->fd, events, sizeof events);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            watch->is_lost |= errno != EAGAIN;
            return;
        }
        waiting -= (int)got;
        for (ssize_t at = 0; at < got;) {
            const struct inotify_event *event = (const void *)(events + at);
            at += (ssize_t)(sizeof *event + event->len);
            notice(watch, event);
        }
    }
}

static int key_order(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

enum tn_status tn_folder_watch_changes(struct tn_folder_watch *watch, const char *const **ret_keys,
                                       uint32_t *ret_count)
{
    uint32_t kept = 0;
    const char *folder = NULL;
    tn_arena_reset(&watch->arena);
    watch->marks_count = 0;
    if (!watch->is_lost)
        read_notices(watch);
    if (!watch->is_lost && watch->marks_count)
        qsort(watch->marks, watch->marks_count, sizeof *watch->marks, key_order);
    for (uint32_t i = 0; i < watch->marks_count; i++) {
        const char *key = watch->marks[i];
        if ((folder && strncmp(key, folder, strlen(folder)) == 0) ||
            (kept && strcmp(watch->marks[kept - 1], key) == 0))
            continue;
        if (key[strlen(key) - 1] == '/')
            folder = key;
        watch->marks[kept++] = key;
    }
    watch->is_lost |= kept > CHANGES_MAX;
    if (watch->is_lost)
        return TN_END;
    *ret_keys = watch->marks;
    *ret_count = kept;
    return TN_OK;
}
