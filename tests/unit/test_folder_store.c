/* The folder adapter of the object store port: conformance, and what only a folder has: names that
 * would lead outside, symbolic links, left-over temporary files, a read-only folder. Covers
 * connectors/folder_store.c. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "connectors/folder_store.h"
#include "tests/check.h"
#include "tests/support/conform_object_store.h"
#include "tests/support/temp_folder.h"

static char root[256];
static struct tn_err err;

static struct tn_object_store *open_root(void *ctx)
{
    struct tn_object_store *store = NULL;
    (void)ctx;
    CHECK_OK(tn_folder_store_open(root, &store, &err), &err);
    return store;
}

static void test_outside(struct tn_object_store *store)
{
    static const char *const bad[] = {"..",  "../x", "a/../../x", "/etc/x",      "a//b",    "a/./b",
                                      "./a", "a/",   "a/..",      ".tarn-tmp/x", ".tarn-x", "."};
    struct tn_object_info info;
    struct tn_buf body;
    char outside[300], link_path[300], id[TN_OBJECT_UPLOAD_MAX];
    tn_buf_init(&body, 1024);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK_INT(tn_object_put(store, bad[i], TN_STR("x"), false, 0, &err), TN_E_INVALID);
        CHECK_INT(tn_object_put(store, bad[i], TN_STR("x"), true, 0, &err), TN_E_INVALID);
        CHECK_INT(tn_object_get(store, bad[i], 0, -1, &body, 0, &err), TN_E_INVALID);
        CHECK_INT(tn_object_head(store, bad[i], &info, 0, &err), TN_E_INVALID);
        CHECK_INT(tn_object_remove(store, bad[i], 0, &err), TN_E_INVALID);
        CHECK_INT(tn_object_upload_start(store, bad[i], id, 0, &err), TN_E_INVALID);
    }
    /* Links to elsewhere are neither followed nor listed, nor does a put go through them. */
    snprintf(outside, sizeof outside, "%s-outside", root);
    CHECK_INT(mkdir(outside, 0777), 0);
    snprintf(link_path, sizeof link_path, "%s/way-out", root);
    CHECK_INT(symlink(outside, link_path), 0);
    CHECK(tn_failed(tn_object_put(store, "way-out/x", TN_STR("x"), false, 0, &err)));
    CHECK_INT(tn_object_get(store, "way-out/x", 0, -1, &body, 0, &err), TN_NOT_FOUND);
    snprintf(link_path, sizeof link_path, "%s/passwd", root);
    CHECK_INT(symlink("/etc/passwd", link_path), 0);
    CHECK_INT(tn_object_get(store, "passwd", 0, -1, &body, 0, &err), TN_NOT_FOUND);
    CHECK_INT(body.len, 0);
    /* A put replaces the link itself. */
    CHECK_OK(tn_object_put(store, "passwd", TN_STR("mine"), false, 0, &err), &err);
    CHECK_OK(tn_object_get(store, "passwd", 0, -1, &body, 0, &err), &err);
    CHECK_STR(tn_buf_str(&body), "mine");
    CHECK_INT(rmdir(outside), 0); /* still empty */
    tn_buf_release(&body);
}

static bool count_object(void *ctx, const struct tn_object_info *info)
{
    (void)info;
    ++*(int *)ctx;
    return true;
}

static void test_left_over(void)
{
    char path[300];
    struct timespec old[2] = {{.tv_sec = 1000000}, {.tv_sec = 1000000}};
    snprintf(path, sizeof path, "%s/.tarn-tmp/crashed", root);
    int fd = open(path, O_CREAT | O_WRONLY, 0666);
    CHECK(fd >= 0 && futimens(fd, old) == 0);
    close(fd);
    struct tn_object_store *store = open_root(NULL);
    CHECK_INT(access(path, F_OK), -1);
    int count = 0;
    CHECK_OK(tn_object_list(store, ".tarn", NULL, count_object, &count, 0, &err), &err);
    CHECK_INT(count, 0);
    /* An object where a folder is needed, and the other way round. */
    CHECK_OK(tn_object_put(store, "file", TN_STR("x"), false, 0, &err), &err);
    CHECK_INT(tn_object_put(store, "file/below", TN_STR("x"), false, 0, &err), TN_E_INVALID);
    CHECK_OK(tn_object_put(store, "folder/x", TN_STR("x"), false, 0, &err), &err);
    CHECK_INT(tn_object_put(store, "folder", TN_STR("x"), false, 0, &err), TN_E_INVALID);
    tn_object_store_close(store);
}

int main(void)
{
    temp_folder_make(root, sizeof root);
    struct conform_object_store_factory factory = {.name = "folder", .open = open_root};
    CHECK_INT(conform_object_store(&factory), 0);
    struct tn_object_store *store = open_root(NULL);
    test_outside(store);
    tn_object_store_close(store);
    test_left_over();
    CHECK(tn_failed(tn_folder_store_open("/proc/nothing/here", &store, &err)));
    temp_folder_remove(root);
    return TN_TEST_END();
}
