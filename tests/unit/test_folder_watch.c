/* What changed below a folder: every kind of change, folders that come, go and move, an overflow of
 * the kernel's queue, limits, links; and a random run in which the changes, applied to what was
 * known, must give what a walk gives. Covers connectors/folder_watch.c, folder_list.c. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "connectors/folder_store.h"
#include "connectors/folder_watch.h"
#include "stream/base/hash.h"
#include "stream/base/mem.h"
#include "tests/check.h"
#include "tests/support/temp_folder.h"

static char root[256];
static struct tn_err err;

static void path_of(const char *key, char ret_path[600])
{
    snprintf(ret_path, 600, "%s/%s", root, key);
}

static void write_file(const char *key, const char *text)
{
    char path[600];
    path_of(key, path);
    FILE *file = fopen(path, "w");
    CHECK(file != NULL);
    fputs(text, file);
    CHECK_INT(fclose(file), 0);
}

static void move(const char *from, const char *to)
{
    char a[600], b[600];
    path_of(from, a);
    path_of(to, b);
    CHECK_INT(rename(a, b), 0);
}

static void make(const char *key)
{
    char path[600];
    path_of(key, path);
    CHECK_INT(mkdir(path, 0777), 0);
}

static bool add_key(void *ctx, const struct tn_object_info *info)
{
    tn_buf_add_str(ctx, info->key);
    tn_buf_add_byte(ctx, ' ');
    return true;
}

/* All changes as one text, "?" when they are not known. */
static void check_changes(struct tn_folder_watch *watch, const char *want, const char *file,
                          int line)
{
    const char *const *keys;
    uint32_t count;
    struct tn_buf got;
    tn_buf_init(&got, 1 << 20);
    if (tn_folder_watch_changes(watch, &keys, &count) == TN_END)
        tn_buf_add_text(&got, "? ");
    else
        for (uint32_t i = 0; i < count; i++)
            tn_buf_printf(&got, "%s ", keys[i]);
    tn_checks_run++;
    if (!tn_str_eq(tn_buf_str(&got), tn_str_of(want))) {
        tn_checks_failed++;
        fprintf(stderr, "%s:%d: changes: got '%.*s', want '%s'\n", file, line,
                TN_STR_FMT(tn_buf_str(&got)), want);
    }
    tn_buf_release(&got);
}
#define CHECK_CHANGES(watch, want) check_changes(watch, want, __FILE__, __LINE__)

static void check_list(struct tn_folder_watch *watch, const char *prefix, const char *want)
{
    struct tn_buf got;
    tn_buf_init(&got, 1 << 20);
    CHECK_OK(tn_folder_watch_list(watch, prefix, add_key, &got, &err), &err);
    CHECK_STR(tn_buf_str(&got), want);
    tn_buf_release(&got);
}

static void test_kinds(struct tn_object_store *store)
{
    struct tn_folder_watch *watch = tn_folder_watch_open(store, 100);
    char path[600];
    struct tn_object_info before = {0}, after = {0};
    CHECK(watch != NULL);
    CHECK_CHANGES(watch, "? "); /* nothing was listed yet */
    write_file("a", "1");
    write_file("b", "1");
    make("sub");
    write_file("sub/x", "1");
    check_list(watch, "", "a b sub/x ");
    CHECK_CHANGES(watch, "");
    write_file("c", "new"); /* a new one */
    CHECK_CHANGES(watch, "c ");
    CHECK(tn_folder_watch_head(watch, "a", &before));
    write_file("a", "22"); /* changed in place */
    CHECK_CHANGES(watch, "a ");
    CHECK(tn_folder_watch_head(watch, "a", &after));
    CHECK(strcmp(before.etag, after.etag) != 0);
    write_file(".b", "3"); /* replaced by rename */
    move(".b", "b");
    CHECK_CHANGES(watch, ".b b ");
    path_of("c", path);
    CHECK_INT(unlink(path), 0); /* deleted */
    CHECK_CHANGES(watch, "c ");
    CHECK(!tn_folder_watch_head(watch, "c", &after));
    path_of("a", path);
    CHECK_INT(utimensat(AT_FDCWD, path, (struct timespec[2]){{1, 0}, {1, 0}}, 0), 0);
    CHECK_CHANGES(watch, "a "); /* other times */
    make(".tarn-tmp");
    CHECK_CHANGES(watch, ""); /* the store's own */
    path_of(".tarn-tmp", path);
    CHECK_INT(rmdir(path), 0);
    CHECK_CHANGES(watch, "");
    tn_folder_watch_close(watch);
}

static void test_folders(struct tn_object_store *store)
{
    struct tn_folder_watch *watch = tn_folder_watch_open(store, 100);
    char path[600];
    check_list(watch, "", "a b sub/x ");
    make("sub/deep"); /* made with something in it at once */
    write_file("sub/deep/y", "1");
    CHECK_CHANGES(watch, "sub/deep/ ");
    check_list(watch, "sub/deep/", "sub/deep/y ");
    CHECK_CHANGES(watch, "");
    write_file("sub/deep/z", "1"); /* seen from now on */
    CHECK_CHANGES(watch, "sub/deep/z ");
    move("sub", "moved"); /* with all below it */
    write_file("moved/deep/late", "1");
    CHECK_CHANGES(watch, "moved/ sub/ ");
    check_list(watch, "sub/", "");
    check_list(watch, "moved/", "moved/deep/late moved/deep/y moved/deep/z moved/x ");
    write_file("moved/deep/y", "2");
    CHECK_CHANGES(watch, "moved/deep/y ");
    snprintf(path, sizeof path, "%s-outside", root);
    char from[600];
    path_of("moved/deep", from);
    CHECK_INT(rename(from, path), 0); /* out of the root: what happens there is not ours */
    CHECK_CHANGES(watch, "moved/deep/ ");
    strcat(path, "/q");
    CHECK_INT(close(open(path, O_CREAT | O_WRONLY, 0666)), 0);
    CHECK_CHANGES(watch, "");
    path[strlen(path) - 2] = 0;
    CHECK_INT(rename(path, from), 0); /* and in again */
    CHECK_CHANGES(watch, "moved/deep/ ");
    check_list(watch, "moved/deep/", "moved/deep/late moved/deep/q moved/deep/y moved/deep/z ");
    path_of("moved", path);
    temp_folder_remove(path);
    CHECK_CHANGES(watch, "moved/ ");
    write_file("moved", "a file now");
    CHECK_CHANGES(watch, "moved ");
    path_of("moved", path);
    CHECK_INT(unlink(path), 0);
    tn_folder_watch_close(watch);
}

static int64_t queue_limit(void)
{
    long long limit = 16384;
    FILE *file = fopen("/proc/sys/fs/inotify/max_queued_events", "r");
    if (file) {
        CHECK_INT(fscanf(file, "%lld", &limit), 1);
        fclose(file);
    }
    return limit;
}

static void test_limits(struct tn_object_store *store)
{
    struct tn_folder_watch *watch = tn_folder_watch_open(store, 100);
    char a[600], b[600];
    check_list(watch, "", "a b ");
    path_of("a", a);
    path_of("b", b);
    for (int64_t i = 0; i <= queue_limit() / 2; i++) { /* more than the kernel keeps */
        CHECK_INT(chmod(a, 0600), 0);
        CHECK_INT(chmod(b, 0600), 0);
    }
    CHECK_CHANGES(watch, "? ");
    CHECK_CHANGES(watch, "? "); /* until all is listed */
    check_list(watch, "", "a b ");
    CHECK_CHANGES(watch, "");
    path_of("other", b); /* a second name: writes through it are told to nobody here */
    CHECK_INT(link(a, b), 0);
    check_list(watch, "", "a b other ");
    CHECK(tn_folder_watch_is_lost(watch));
    CHECK_CHANGES(watch, "? ");
    CHECK_INT(unlink(b), 0);
    check_list(watch, "", "a b ");
    CHECK(!tn_folder_watch_is_lost(watch));
    CHECK_INT(chmod(root, 0700), 0); /* the root's own rights */
    CHECK_CHANGES(watch, "? ");
    tn_folder_watch_close(watch);
    make("d");
    watch = tn_folder_watch_open(store, 1); /* one folder more than may be watched */
    check_list(watch, "", "a b ");
    CHECK(tn_folder_watch_is_lost(watch));
    tn_folder_watch_close(watch);
    path_of("d", b);
    CHECK_INT(rmdir(b), 0);
}

/* No inotify instance is to be had: as when the user has too many. */
static void test_no_instance(struct tn_object_store *store)
{
    struct rlimit limit, none;
    CHECK_INT(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = limit;
    none.rlim_cur = 0;
    CHECK_INT(setrlimit(RLIMIT_NOFILE, &none), 0);
    struct tn_folder_watch *watch = tn_folder_watch_open(store, 100);
    CHECK_INT(setrlimit(RLIMIT_NOFILE, &limit), 0);
    CHECK(watch == NULL);
    tn_folder_watch_close(watch);
    struct tn_folder_watch *many[200];
    int opened = 0;
    while (opened < 200 && (many[opened] = tn_folder_watch_open(store, 1)) != NULL)
        opened++;
    CHECK(opened > 8 && opened < 128); /* others need some, too */
    while (opened)
        tn_folder_watch_close(many[--opened]);
}

/* ---- random changes ---- */

#define NAMES 4

static uint64_t below(uint64_t *random, uint64_t count)
{
    return (*random = tn_mix64(*random, 77)) % count;
}

/* A path of one to three segments out of few names. */
static void random_key(uint64_t *random, char ret_key[64])
{
    int depth = 1 + (int)below(random, 3), len = 0;
    for (int i = 0; i < depth; i++)
        len += snprintf(ret_key + len, 64 - (size_t)len, "%sn%d", i ? "/" : "",
                        (int)below(random, NAMES));
}

static void random_step(uint64_t *random)
{
    char from[64], to[64], a[600], b[600];
    random_key(random, from);
    random_key(random, to);
    path_of(from, a);
    path_of(to, b);
    FILE *file;
    switch (below(random, 6)) { /* many fail: the name is taken, the folder is not there */
    case 0:
    case 1:
        file = fopen(a, "a");
        if (file) {
            fputs("x", file);
            fclose(file);
        }
        break;
    case 2: (void)mkdir(a, 0777); break;
    case 3: (void)rename(a, b); break;
    case 4: (void)unlink(a); break;
    default: (void)rmdir(a); break;
    }
}

struct known {
    char *keys[1024], *etags[1024];
    int count;
};

static void known_cut(struct known *known, const char *key)
{
    size_t len = strlen(key), same = key[len - 1] == '/' ? len : len + 1;
    int kept = 0;
    for (int i = 0; i < known->count; i++) {
        bool is_gone = strncmp(known->keys[i], key, same) == 0;
        if (is_gone) {
            tn_free(known->keys[i]);
            tn_free(known->etags[i]);
            continue;
        }
        known->keys[kept] = known->keys[i];
        known->etags[kept++] = known->etags[i];
    }
    known->count = kept;
}

static bool known_add(void *ctx, const struct tn_object_info *info)
{
    struct known *known = ctx;
    CHECK(known->count < 1024);
    known->keys[known->count] = tn_strndup(info->key.ptr, info->key.len);
    known->etags[known->count++] = tn_strdup(info->etag);
    return known->count < 1024;
}

static bool check_known(void *ctx, const struct tn_object_info *info)
{
    struct known *known = ctx;
    int at = 0;
    while (at < known->count && !tn_str_eq(info->key, tn_str_of(known->keys[at])))
        at++;
    CHECK(at < known->count);
    if (at < known->count)
        CHECK_STR(tn_str_of(known->etags[at]), info->etag);
    return true;
}

static bool count_one(void *ctx, const struct tn_object_info *info)
{
    (void)info;
    ++*(int *)ctx;
    return true;
}

static void apply(struct tn_folder_watch *watch, struct known *known)
{
    const char *const *keys;
    uint32_t count;
    struct tn_object_info info = {0};
    CHECK_INT(tn_folder_watch_changes(watch, &keys, &count), TN_OK);
    for (uint32_t i = 0; i < count; i++) {
        known_cut(known, keys[i]);
        if (keys[i][strlen(keys[i]) - 1] == '/')
            CHECK_OK(tn_folder_watch_list(watch, keys[i], known_add, known, &err), &err);
        else if (tn_folder_watch_head(watch, keys[i], &info))
            (void)known_add(known, &info);
    }
}

static void test_random(struct tn_object_store *store, uint64_t seed)
{
    uint64_t random = seed;
    struct known known = {.count = 0};
    struct tn_folder_watch *watch = tn_folder_watch_open(store, 1000);
    CHECK_OK(tn_folder_watch_list(watch, "", known_add, &known, &err), &err);
    for (int round = 0; round < 150; round++) {
        for (int i = 0; i < 12; i++)
            random_step(&random);
        apply(watch, &known);
        int count = 0, failed = tn_checks_failed;
        CHECK_OK(tn_object_list(store, "", "", check_known, &known, 0, &err), &err);
        CHECK_OK(tn_object_list(store, "", "", count_one, &count, 0, &err), &err);
        CHECK_INT(known.count, count);
        if (tn_checks_failed != failed) {
            fprintf(stderr, "seed %llu, round %d\n", (unsigned long long)seed, round);
            break;
        }
    }
    for (int i = 0; i < known.count; i++) {
        tn_free(known.keys[i]);
        tn_free(known.etags[i]);
    }
    tn_folder_watch_close(watch);
}

int main(void)
{
    struct tn_object_store *store = NULL;
    temp_folder_make(root, sizeof root);
    CHECK_OK(tn_folder_store_open(root, &store, &err), &err);
    test_kinds(store);
    test_folders(store);
    test_limits(store);
    test_no_instance(store);
    for (uint64_t seed = 1; seed <= 8; seed++)
        test_random(store, seed);
    tn_object_store_close(store);
    temp_folder_remove(root);
    return TN_TEST_END();
}
