/* libpower.so (LD_PRELOAD): simulates power loss and failing disks for one folder.
 *
 * HOW IT WORKS: every file written under TARN_POWER_FOLDER has an image of its synced bytes. Writes
 * mark a dirty range; fsync and fdatasync copy it into the image. Creating, renaming, linking and
 * removing names are kept as undoable operations until their directory is fsynced. At the chosen
 * operation the process is cut: names that were not synced are undone, files are put back to their
 * images, and the process is killed. kill -9 alone would prove nothing: the page cache survives it.
 *
 *   TARN_POWER_FOLDER  absolute path of the folder; nothing outside is touched (removed names wait
 *       in FOLDER.power)
 *   TARN_POWER_AT      cut before the n-th operation on the folder; 0 or absent = never; "exit" =
 *       when the program calls _exit
 *   TARN_POWER_TEAR    0 or absent: all that was not synced is lost. Else a seed: every unsynced
 *       page is lost or kept by chance, files end anywhere between their synced and their last
 *       length, and the first few unsynced names survive: what a real disk may do
 *   TARN_POWER_KEEP    at the cut keep everything, as kill -9 does; what was not synced is told to
 *       the next process in FOLDER.unsynced
 *   TARN_POWER_FAIL    write|sync|rename|create[@NAME]:N[:forever]: the N-th such call (on a file
 *       whose path contains NAME) fails with EIO (write: ENOSPC)
 *   TARN_POWER_FULL    path of a file: while it exists the disk is full. A write is short once,
 * then fails with ENOSPC, as making folders does; names of files still fit, as on real disks
 *
 * Not covered: mmap'ed writes and writev (RocksDB and tarn use neither for what must survive).
 * One lock orders all operations; real fsyncs are left out, since only the simulated disk counts.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define PAGE   4096
#define FD_MAX 65536

/* ---- the real calls ---- */

static struct {
    int (*openat)(int, const char *, int, ...);
    int (*close)(int);
    ssize_t (*write)(int, const void *, size_t);
    ssize_t (*pwrite)(int, const void *, size_t, off_t);
    int (*fsync)(int);
    int (*ftruncate)(int, off_t);
    int (*fallocate)(int, int, off_t, off_t);
    int (*rename)(const char *, const char *);
    int (*unlinkat)(int, const char *, int);
    int (*link)(const char *, const char *);
    int (*mkdir)(const char *, mode_t);
    int (*statvfs)(const char *, struct statvfs *);
    void (*exit)(int) __attribute__((noreturn));
} real;

/* ---- settings and state, under one lock ---- */

static pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER;
static char folder[PATH_MAX], trash[PATH_MAX + 32], kept[PATH_MAX + 32];
static bool is_keep;
static size_t folder_len;
static long cut_at, operations;
static uint64_t tear_seed;
static bool is_cut_at_exit, is_short_once;
static const char *full_flag;
static char fail_name[16], fail_path[64];
static long fail_at, fail_count;
static bool fail_forever;
static long trash_count;

struct power_file {
    struct power_file *next;
    dev_t dev;
    ino_t ino;
    int fd; /* own descriptor, to read and restore */
    char *image;
    size_t image_len, image_cap;
    off_t dirty_from, dirty_to; /* equal: clean */
    bool is_resized;
};

enum name_kind { NAME_MADE, NAME_REMOVED, NAME_MOVED };

struct name_change {
    struct name_change *older;
    enum name_kind kind;
    char *dir;   /* whose fsync makes it durable */
    char *path;  /* made, removed, or moved to */
    char *from;  /* moved from */
    char *saved; /* in the trash: what was removed or replaced; NULL */
};

static struct power_file *files;
static struct name_change *changes; /* newest first */
static struct power_file *file_of_fd[FD_MAX];
static char *dir_of_fd[FD_MAX];

static void die(const char *what)
{
    dprintf(2, "libpower: %s: %s\n", what, strerror(errno));
    real.exit(99);
}

static void load_kept(void);
static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *where);

static void set_failure(const char *text)
{
    size_t name_len = strcspn(text, "@:"), path_len = strcspn(text + name_len, ":");
    const char *count = text + name_len + path_len;
    if (*count != ':' || name_len >= sizeof fail_name || path_len > sizeof fail_path)
        return;
    memcpy(fail_name, text, name_len);
    if (path_len > 1)
        memcpy(fail_path, text + name_len + 1, path_len - 1);
    char *end = NULL;
    fail_at = strtol(count + 1, &end, 10);
    fail_forever = strcmp(end, ":forever") == 0;
}

__attribute__((constructor)) static void setup(void)
{
    *(void **)&real.openat = dlsym(RTLD_NEXT, "openat");
    *(void **)&real.close = dlsym(RTLD_NEXT, "close");
    *(void **)&real.write = dlsym(RTLD_NEXT, "write");
    *(void **)&real.pwrite = dlsym(RTLD_NEXT, "pwrite");
    *(void **)&real.fsync = dlsym(RTLD_NEXT, "fsync");
    *(void **)&real.ftruncate = dlsym(RTLD_NEXT, "ftruncate");
    *(void **)&real.fallocate = dlsym(RTLD_NEXT, "fallocate");
    *(void **)&real.rename = dlsym(RTLD_NEXT, "rename");
    *(void **)&real.unlinkat = dlsym(RTLD_NEXT, "unlinkat");
    *(void **)&real.link = dlsym(RTLD_NEXT, "link");
    *(void **)&real.mkdir = dlsym(RTLD_NEXT, "mkdir");
    *(void **)&real.statvfs = dlsym(RTLD_NEXT, "statvfs");
    *(void **)&real.exit = dlsym(RTLD_NEXT, "_exit");
    const char *text = getenv("TARN_POWER_FOLDER");
    if (!text || text[0] != '/' || strlen(text) >= sizeof folder)
        return;
    folder_len = strlen(text);
    memcpy(folder, text, folder_len + 1);
    while (folder_len > 1 && folder[folder_len - 1] == '/')
        folder[--folder_len] = 0;
    snprintf(trash, sizeof trash, "%s.power", folder);
    nftw(trash, remove_one, 8, FTW_DEPTH | FTW_PHYS); /* of a process that was killed */
    snprintf(kept, sizeof kept, "%s.unsynced", folder);
    is_keep = getenv("TARN_POWER_KEEP") != NULL;
    text = getenv("TARN_POWER_AT");
    cut_at = text ? strtol(text, NULL, 10) : 0;
    is_cut_at_exit = text && strcmp(text, "exit") == 0;
    text = getenv("TARN_POWER_TEAR");
    tear_seed = text ? strtoull(text, NULL, 10) : 0;
    full_flag = getenv("TARN_POWER_FULL");
    text = getenv("TARN_POWER_FAIL");
    if (text)
        set_failure(text);
    load_kept();
}

static uint64_t roll(void)
{
    tear_seed = tear_seed * 6364136223846793005ull + 1442695040888963407ull;
    return tear_seed >> 33;
}

/* ---- paths ---- */

/* Absolute path of `path` as seen from `dirfd`; false when it is not in the folder. */
static bool resolve(int dirfd, const char *path, char *to)
{
    if (folder_len == 0)
        return false;
    char base[PATH_MAX] = "";
    if (path[0] != '/') {
        char link[64];
        snprintf(link, sizeof link, "/proc/self/fd/%d", dirfd);
        ssize_t n = readlink(dirfd == AT_FDCWD ? "/proc/self/cwd" : link, base, sizeof base - 2);
        if (n < 0)
            return false;
        base[n] = '/';
        base[n + 1] = 0;
    }
    if (strlen(base) + strlen(path) >= PATH_MAX)
        return false;
    char *out = to;
    for (const char *part = base; part; part = part == base ? path : NULL)
        for (const char *p = part; *p; p++)
            if (!(*p == '/' && out > to && out[-1] == '/'))
                *out++ = *p;
    while (out > to + 1 && out[-1] == '/')
        out--;
    *out = 0;
    return strncmp(to, folder, folder_len) == 0 && (to[folder_len] == '/' || to[folder_len] == 0);
}

static char *parent_of(const char *path)
{
    char *dir = strdup(path);
    *strrchr(dir, '/') = 0;
    return dir;
}

/* A second name in the trash keeps what is about to lose its name. NULL when there is nothing. */
static char *save(const char *path)
{
    char saved[PATH_MAX + 64];
    struct stat info;
    if (lstat(path, &info) != 0 || !S_ISREG(info.st_mode))
        return NULL;
    real.mkdir(trash, 0700);
    snprintf(saved, sizeof saved, "%s/%ld", trash, trash_count++);
    if (real.link(path, saved) != 0)
        die("saving a name");
    return strdup(saved);
}

static void changed(enum name_kind kind, const char *path, const char *from, char *saved)
{
    struct name_change *change = calloc(1, sizeof *change);
    *change = (struct name_change){.older = changes,
                                   .kind = kind,
                                   .dir = parent_of(path),
                                   .path = strdup(path),
                                   .from = from ? strdup(from) : NULL,
                                   .saved = saved};
    changes = change;
}

static void forget(struct name_change *change)
{
    if (change->saved)
        real.unlinkat(AT_FDCWD, change->saved, 0);
    free(change->dir);
    free(change->path);
    free(change->from);
    free(change->saved);
    free(change);
}

static void sync_names(const char *dir)
{
    for (struct name_change **link = &changes; *link;) {
        struct name_change *change = *link;
        if (strcmp(change->dir, dir) != 0) {
            link = &change->older;
            continue;
        }
        *link = change->older;
        forget(change);
    }
}

/* ---- files ---- */

static off_t size_of(int fd)
{
    struct stat info;
    return fstat(fd, &info) == 0 ? info.st_size : 0;
}

static void image_resize(struct power_file *file, size_t len)
{
    if (len > file->image_cap) {
        size_t cap = file->image_cap ? file->image_cap : 65536;
        while (cap < len)
            cap *= 2;
        file->image = realloc(file->image, cap);
        file->image_cap = cap;
    }
    if (len > file->image_len)
        memset(file->image + file->image_len, 0, len - file->image_len);
    file->image_len = len;
}

static void image_read(struct power_file *file, off_t from, off_t to)
{
    while (from < to) {
        ssize_t n = pread(file->fd, file->image + from, (size_t)(to - from), from);
        if (n <= 0)
            die("reading back");
        from += n;
    }
}

static struct power_file *find_file(int fd)
{
    struct stat info;
    if (fstat(fd, &info) != 0)
        return NULL;
    struct power_file *file = files;
    while (file && (file->dev != info.st_dev || file->ino != info.st_ino))
        file = file->next;
    return file;
}

static struct power_file *add_file(int fd, bool is_new, bool is_truncated, off_t old_size)
{
    char link[64];
    struct stat info;
    struct power_file *file = calloc(1, sizeof *file);
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    fstat(fd, &info);
    file->dev = info.st_dev;
    file->ino = info.st_ino;
    file->fd = real.openat(AT_FDCWD, link, O_RDWR | O_CLOEXEC);
    if (file->fd < 0)
        die(link);
    if (is_truncated && old_size > 0)
        file->is_resized =
            true; /* the old bytes are gone from us; the image is empty: not used by tarn */
    else if (!is_new) {
        image_resize(file, (size_t)info.st_size);
        image_read(file, 0, info.st_size);
    }
    file->next = files;
    files = file;
    return file;
}

static void dirty(struct power_file *file, off_t from, off_t to)
{
    if (file->dirty_from == file->dirty_to) {
        file->dirty_from = from;
        file->dirty_to = to;
        return;
    }
    file->dirty_from = from < file->dirty_from ? from : file->dirty_from;
    file->dirty_to = to > file->dirty_to ? to : file->dirty_to;
}

static void sync_file(struct power_file *file)
{
    off_t size = size_of(file->fd);
    off_t to = file->dirty_to < size ? file->dirty_to : size;
    image_resize(file, (size_t)size);
    if (file->dirty_from < to)
        image_read(file, file->dirty_from, to);
    file->dirty_from = file->dirty_to = 0;
    file->is_resized = false;
}

/* ---- unsynced bytes kept for the next process ---- */

struct kept_head {
    char path[PATH_MAX];
    size_t image_len;
    off_t dirty_from, dirty_to;
};

static void keep_file(const struct power_file *file, int number)
{
    struct kept_head head = {
        .image_len = file->image_len, .dirty_from = file->dirty_from, .dirty_to = file->dirty_to};
    char name[PATH_MAX + 64], link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file->fd);
    if (readlink(link, head.path, sizeof head.path - 1) < 0)
        die("keeping");
    snprintf(name, sizeof name, "%s/%d", kept, number);
    int fd = real.openat(AT_FDCWD, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || real.write(fd, &head, sizeof head) != (ssize_t)sizeof head ||
        (head.image_len && real.write(fd, file->image, head.image_len) != (ssize_t)head.image_len))
        die(name);
    real.close(fd);
}

static void load_file(const char *name)
{
    struct kept_head head;
    int fd = real.openat(AT_FDCWD, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, &head, sizeof head) != (ssize_t)sizeof head)
        die(name);
    struct power_file *file = calloc(1, sizeof *file);
    struct stat info;
    file->fd = real.openat(AT_FDCWD, head.path, O_RDWR | O_CLOEXEC);
    image_resize(file, head.image_len);
    if (head.image_len && read(fd, file->image, head.image_len) != (ssize_t)head.image_len)
        die(name);
    real.close(fd);
    real.unlinkat(AT_FDCWD, name, 0);
    if (file->fd < 0)
        return; /* its name was removed before the process died */
    fstat(file->fd, &info);
    file->dev = info.st_dev;
    file->ino = info.st_ino;
    file->dirty_from = head.dirty_from;
    file->dirty_to = head.dirty_to;
    file->is_resized = true;
    file->next = files;
    files = file;
}

static void load_kept(void)
{
    char name[PATH_MAX + 64];
    struct stat info;
    for (int number = 0;; number++) {
        snprintf(name, sizeof name, "%s/%d", kept, number);
        if (lstat(name, &info) != 0)
            break;
        load_file(name);
    }
    real.unlinkat(AT_FDCWD, kept, AT_REMOVEDIR);
}

static void keep_all(void)
{
    int number = 0;
    real.mkdir(kept, 0700);
    for (const struct power_file *file = files; file; file = file->next)
        if (file->dirty_from != file->dirty_to || file->is_resized)
            keep_file(file, number++);
}

/* ---- the cut ---- */

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *where)
{
    (void)info;
    (void)where;
    return real.unlinkat(AT_FDCWD, path, kind == FTW_DP || kind == FTW_D ? AT_REMOVEDIR : 0);
}

static void undo(const struct name_change *change)
{
    switch (change->kind) {
    case NAME_MADE: nftw(change->path, remove_one, 8, FTW_DEPTH | FTW_PHYS); break;
    case NAME_REMOVED:
        if (change->saved)
            real.rename(change->saved, change->path);
        break;
    case NAME_MOVED:
        real.rename(change->path, change->from);
        if (change->saved)
            real.rename(change->saved, change->path);
        break;
    }
}

static void undo_names(void)
{
    long count = 0, survivors = 0;
    for (struct name_change *change = changes; change; change = change->older)
        count++;
    if (tear_seed && count > 0)
        survivors = (long)(roll() % (uint64_t)(count + 1)); /* the oldest ones survive */
    for (struct name_change *change = changes; change && count > survivors;
         change = change->older) {
        undo(change);
        count--;
    }
}

static void restore_page(struct power_file *file, off_t page)
{
    char bytes[PAGE] = {0};
    if ((size_t)page < file->image_len) {
        size_t len = file->image_len - (size_t)page < PAGE ? file->image_len - (size_t)page : PAGE;
        memcpy(bytes, file->image + page, len);
    }
    if (real.pwrite(file->fd, bytes, PAGE, page) != PAGE)
        die("restoring");
}

static void cut_file(struct power_file *file)
{
    if (file->dirty_from == file->dirty_to && !file->is_resized)
        return;
    off_t size = size_of(file->fd), end = (off_t)file->image_len;
    for (off_t page = file->dirty_from / PAGE * PAGE; page < file->dirty_to; page += PAGE)
        if (!tear_seed || roll() % 2)
            restore_page(file, page);
    if (tear_seed && size > end && roll() % 4)
        end += (off_t)(roll() % (uint64_t)(size - end + 1));
    if (tear_seed && size < end && roll() % 2)
        end = size;
    if (real.ftruncate(file->fd, end) != 0)
        die("cutting");
}

static _Noreturn void cut(void)
{
    if (is_keep) {
        keep_all();
    } else {
        for (struct power_file *file = files; file; file = file->next)
            cut_file(file);
        undo_names();
    }
    nftw(trash, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    kill(getpid(), SIGKILL);
    for (;;)
        pause();
}

/* Counts an operation; does not return when it is the chosen one. True: it shall fail. */
static bool operation(const char *name, const char *path)
{
    if (++operations == cut_at)
        cut();
    if (strcmp(name, fail_name) != 0 || !strstr(path, fail_path))
        return false;
    fail_count++;
    if (fail_count == fail_at && full_flag)
        (void)!real.openat(AT_FDCWD, full_flag, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    return fail_count == fail_at || (fail_forever && fail_count > fail_at);
}

/* The name a file was opened by. */
static const char *name_of(int fd, char *path, size_t path_size)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = fail_path[0] ? readlink(link, path, path_size - 1) : 0;
    path[len > 0 ? len : 0] = 0;
    return path;
}

static bool is_full(void)
{
    struct stat info;
    bool is_now = full_flag && lstat(full_flag, &info) == 0;
    is_short_once = is_short_once && is_now;
    return is_now;
}

/* Bytes that still fit: some of the first write on a full disk. */
static size_t that_fit(size_t len)
{
    if (!is_full())
        return len;
    size_t fit = is_short_once ? 0 : len / 2;
    is_short_once = true;
    return fit;
}

static int failed(int code)
{
    pthread_mutex_unlock(&mu);
    errno = code;
    return -1;
}

/* ---- interposed calls ---- */

static int open_in_folder(int dirfd, const char *path, const char *full, int flags, mode_t mode)
{
    struct stat before;
    bool is_new = lstat(full, &before) != 0;
    bool writes = (flags & O_ACCMODE) != O_RDONLY;
    pthread_mutex_lock(&mu);
    if (is_new && (flags & O_CREAT) && operation("create", full))
        return failed(EIO);
    int fd = real.openat(dirfd, path, flags, mode);
    if (fd >= 0 && fd < FD_MAX) {
        struct stat info;
        fstat(fd, &info);
        free(dir_of_fd[fd]);
        dir_of_fd[fd] = S_ISDIR(info.st_mode) ? strdup(full) : NULL;
        file_of_fd[fd] = NULL;
        if (S_ISREG(info.st_mode)) {
            struct power_file *file = find_file(fd);
            bool is_truncated = !is_new && (flags & O_TRUNC);
            if (is_new)
                changed(NAME_MADE, full, NULL, NULL);
            if (!file && writes)
                file = add_file(fd, is_new, is_truncated, is_new ? 0 : before.st_size);
            else if (file && is_truncated)
                dirty(file, 0, before.st_size);
            file_of_fd[fd] = file;
        }
    }
    pthread_mutex_unlock(&mu);
    return fd;
}

static int do_open(int dirfd, const char *path, int flags, mode_t mode)
{
    char full[2 * PATH_MAX];
    if (!resolve(dirfd, path, full)) {
        int fd = real.openat(dirfd, path, flags, mode);
        if (fd >= 0 && fd < FD_MAX)
            file_of_fd[fd] = NULL; /* its number may have been closed inside libc */
        return fd;
    }
    return open_in_folder(dirfd, path, full, flags, mode);
}

static mode_t mode_of(int flags, va_list ap)
{
    return flags & (O_CREAT | O_TMPFILE) ? (mode_t)va_arg(ap, int) : 0;
}

#define DEFINE_OPEN(name)                                                                          \
    EXPORT int name(const char *path, int flags, ...);                                             \
    EXPORT int name(const char *path, int flags, ...)                                              \
    {                                                                                              \
        va_list ap;                                                                                \
        va_start(ap, flags);                                                                       \
        mode_t mode = mode_of(flags, ap);                                                          \
        va_end(ap);                                                                                \
        return do_open(AT_FDCWD, path, flags, mode);                                               \
    }
DEFINE_OPEN(open)
DEFINE_OPEN(open64)

#define DEFINE_OPENAT(name)                                                                        \
    EXPORT int name(int dirfd, const char *path, int flags, ...);                                  \
    EXPORT int name(int dirfd, const char *path, int flags, ...)                                   \
    {                                                                                              \
        va_list ap;                                                                                \
        va_start(ap, flags);                                                                       \
        mode_t mode = mode_of(flags, ap);                                                          \
        va_end(ap);                                                                                \
        return do_open(dirfd, path, flags, mode);                                                  \
    }
DEFINE_OPENAT(openat)
DEFINE_OPENAT(openat64)

EXPORT int __open_2(const char *path, int flags);
EXPORT int __open_2(const char *path, int flags)
{
    return do_open(AT_FDCWD, path, flags, 0);
}

EXPORT int __open64_2(const char *path, int flags);
EXPORT int __open64_2(const char *path, int flags)
{
    return do_open(AT_FDCWD, path, flags, 0);
}

EXPORT int close(int fd)
{
    if (fd >= 0 && fd < FD_MAX && (file_of_fd[fd] || dir_of_fd[fd])) {
        pthread_mutex_lock(&mu);
        file_of_fd[fd] = NULL;
        free(dir_of_fd[fd]);
        dir_of_fd[fd] = NULL;
        pthread_mutex_unlock(&mu);
    }
    return real.close(fd);
}

static struct power_file *tracked(int fd)
{
    return fd >= 0 && fd < FD_MAX ? file_of_fd[fd] : NULL;
}

EXPORT ssize_t write(int fd, const void *bytes, size_t len)
{
    char path[PATH_MAX];
    struct power_file *file = tracked(fd);
    if (!file)
        return real.write(fd, bytes, len);
    pthread_mutex_lock(&mu);
    if (operation("write", name_of(fd, path, sizeof path)))
        return failed(ENOSPC);
    size_t fit = that_fit(len);
    if (fit == 0 && len > 0)
        return failed(ENOSPC);
    ssize_t n = real.write(fd, bytes, fit);
    off_t end = lseek(fd, 0, SEEK_CUR);
    if (n > 0)
        dirty(file, end - n, end);
    pthread_mutex_unlock(&mu);
    return n;
}

EXPORT ssize_t pwrite(int fd, const void *bytes, size_t len, off_t at)
{
    char path[PATH_MAX];
    struct power_file *file = tracked(fd);
    if (!file)
        return real.pwrite(fd, bytes, len, at);
    pthread_mutex_lock(&mu);
    if (operation("write", name_of(fd, path, sizeof path)))
        return failed(ENOSPC);
    size_t fit = that_fit(len);
    if (fit == 0 && len > 0)
        return failed(ENOSPC);
    ssize_t n = real.pwrite(fd, bytes, fit, at);
    if (n > 0)
        dirty(file, at, at + n);
    pthread_mutex_unlock(&mu);
    return n;
}

EXPORT ssize_t pwrite64(int fd, const void *bytes, size_t len, off_t at);
EXPORT ssize_t pwrite64(int fd, const void *bytes, size_t len, off_t at)
{
    return pwrite(fd, bytes, len, at);
}

static int do_sync(int fd)
{
    char path[PATH_MAX];
    struct power_file *file = tracked(fd);
    bool is_dir = fd >= 0 && fd < FD_MAX && dir_of_fd[fd];
    if (!file && !is_dir)
        return folder_len ? 0 : real.fsync(fd);
    pthread_mutex_lock(&mu);
    if (operation("sync", name_of(fd, path, sizeof path)))
        return failed(EIO);
    if (file)
        sync_file(file);
    else
        sync_names(dir_of_fd[fd]);
    pthread_mutex_unlock(&mu);
    return 0;
}

EXPORT int fsync(int fd)
{
    return do_sync(fd);
}

EXPORT int fdatasync(int fd)
{
    return do_sync(fd);
}

EXPORT int ftruncate(int fd, off_t len)
{
    char path[PATH_MAX];
    struct power_file *file = tracked(fd);
    if (!file)
        return real.ftruncate(fd, len);
    pthread_mutex_lock(&mu);
    operation("truncate", name_of(fd, path, sizeof path));
    off_t size = size_of(fd);
    int st = real.ftruncate(fd, len);
    file->is_resized = true;
    if (len != size)
        dirty(file, len < size ? len : size, len < size ? size : len);
    pthread_mutex_unlock(&mu);
    return st;
}

EXPORT int ftruncate64(int fd, off_t len);
EXPORT int ftruncate64(int fd, off_t len)
{
    return ftruncate(fd, len);
}

EXPORT int fallocate(int fd, int mode, off_t at, off_t len)
{
    struct power_file *file = tracked(fd);
    if (!file || (mode & FALLOC_FL_KEEP_SIZE))
        return real.fallocate(fd, mode, at, len);
    pthread_mutex_lock(&mu);
    int st = real.fallocate(fd, mode, at, len);
    file->is_resized = true;
    pthread_mutex_unlock(&mu);
    return st;
}

EXPORT int fallocate64(int fd, int mode, off_t at, off_t len);
EXPORT int fallocate64(int fd, int mode, off_t at, off_t len)
{
    return fallocate(fd, mode, at, len);
}

EXPORT int rename(const char *from, const char *to)
{
    char full_from[2 * PATH_MAX], full_to[2 * PATH_MAX];
    if (!resolve(AT_FDCWD, from, full_from) || !resolve(AT_FDCWD, to, full_to))
        return real.rename(from, to);
    pthread_mutex_lock(&mu);
    if (operation("rename", full_to))
        return failed(EIO);
    char *saved = save(full_to);
    int st = real.rename(from, to);
    if (st == 0) {
        changed(NAME_MOVED, full_to, full_from, saved);
    } else if (saved) {
        int code = errno;
        real.unlinkat(AT_FDCWD, saved, 0);
        free(saved);
        errno = code;
    }
    pthread_mutex_unlock(&mu);
    return st;
}

static int do_unlink(int dirfd, const char *path, int flags)
{
    char full[2 * PATH_MAX];
    if (!resolve(dirfd, path, full) || (flags & AT_REMOVEDIR))
        return real.unlinkat(dirfd, path, flags);
    pthread_mutex_lock(&mu);
    operation("unlink", full);
    char *saved = save(full);
    int st = real.unlinkat(dirfd, path, flags);
    if (st == 0)
        changed(NAME_REMOVED, full, NULL, saved);
    else
        free(saved);
    pthread_mutex_unlock(&mu);
    return st;
}

EXPORT int unlink(const char *path)
{
    return do_unlink(AT_FDCWD, path, 0);
}

EXPORT int unlinkat(int dirfd, const char *path, int flags)
{
    return do_unlink(dirfd, path, flags);
}

EXPORT int link(const char *from, const char *to)
{
    char full[2 * PATH_MAX];
    if (!resolve(AT_FDCWD, to, full))
        return real.link(from, to);
    pthread_mutex_lock(&mu);
    if (operation("rename", full))
        return failed(EIO);
    int st = real.link(from, to);
    if (st == 0)
        changed(NAME_MADE, full, NULL, NULL);
    pthread_mutex_unlock(&mu);
    return st;
}

EXPORT int mkdir(const char *path, mode_t mode)
{
    char full[2 * PATH_MAX];
    if (!resolve(AT_FDCWD, path, full))
        return real.mkdir(path, mode);
    pthread_mutex_lock(&mu);
    if (operation("create", full))
        return failed(EIO);
    if (is_full())
        return failed(ENOSPC);
    int st = real.mkdir(path, mode);
    if (st == 0)
        changed(NAME_MADE, full, NULL, NULL);
    pthread_mutex_unlock(&mu);
    return st;
}

static int do_statvfs(const char *path, struct statvfs *info)
{
    int st = real.statvfs(path, info);
    pthread_mutex_lock(&mu);
    if (st == 0 && is_full())
        info->f_bfree = info->f_bavail = 0;
    pthread_mutex_unlock(&mu);
    return st;
}

EXPORT int statvfs(const char *path, struct statvfs *info)
{
    return do_statvfs(path, info);
}

EXPORT int statvfs64(const char *path, struct statvfs64 *info);
EXPORT int statvfs64(const char *path, struct statvfs64 *info)
{
    return do_statvfs(path, (struct statvfs *)(void *)info); /* the same on 64-bit systems */
}

/* Programs of tests end by _exit when something failed. */
EXPORT void _exit(int status)
{
    pthread_mutex_lock(&mu);
    if (is_cut_at_exit)
        cut();
    nftw(trash, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    real.exit(status);
}
