/* Object stores by URL: what is accepted, the one spelling of each place, what is refused and that
 * the refusal shows no secret. Covers connectors/object_url.c and the rule for keys of
 * stream/object_store.c. */
#include <unistd.h>

#include "connectors/object_url.h"
#include "tests/check.h"
#include "tests/support/temp_folder.h"

static struct tn_err err;

static void check_normal(const char *url, const char *want)
{
    struct tn_buf text;
    tn_buf_init(&text, 8192);
    CHECK_OK(tn_object_url_normal(url, &text, &err), &err);
    CHECK_STR(tn_buf_str(&text), want);
    tn_buf_release(&text);
}

static void check_refused(const char *url, const char *message)
{
    struct tn_buf text;
    tn_buf_init(&text, 8192);
    err = (struct tn_err)TN_ERR_INIT;
    CHECK_INT(tn_object_url_normal(url, &text, &err), TN_E_INVALID);
    if (!strstr(err.message, message))
        fprintf(stderr, "'%s': '%s' lacks '%s'\n", url, err.message, message);
    CHECK(strstr(err.message, message) != NULL);
    CHECK(!strstr(err.message, "SECRET"));
    CHECK(err.hint[0] != 0);
    tn_buf_release(&text);
}

static void test_urls(void)
{
    check_normal("s3://bucket", "s3://bucket");
    check_normal("S3A://bucket//", "s3://bucket");
    check_normal("s3n://my-bucket.1/a/b=c d/", "s3://my-bucket.1/a/b=c d");
    check_normal("/data/lake/", "file:///data/lake");
    check_normal("/data//./x/../lake", "file:///data/lake");
    check_normal("file:///data/a%20b", "file:///data/a%20b");
    check_normal("file:/data/%41", "file:///data/A");
    check_normal("file://localhost/data", "file:///data");
    check_normal("/", "file:///");
    check_refused("s3://", "does not name a bucket");
    check_refused("s3://ab/x", "does not name a bucket");
    check_refused("s3://a..b/x", "does not name a bucket");
    check_refused("s3://AKIA:SECRET@bucket/x", "not a key");
    check_refused("s3://host:9000/x", "not a key or a port");
    check_refused("s3://bucket/a/../b", "not allowed");
    check_refused("s3://bucket/a//b", "not allowed");
    check_refused("s3://bucket/./b", "not allowed");
    check_refused("gs://bucket/x", "not known");
    check_refused("https://bucket/x", "not known");
    check_refused("file://host/x", "names a host");
    check_refused("file:///a%zz", "not a folder");
    check_refused("file:///a%00b", "not a folder");
    check_refused("", "not a folder");
}

static void test_keys(void)
{
    static const char *const good[] = {"a", "a/b", "a=b/c d", "...", "a/..b", "é/☃", "~"};
    static const char *const bad[] = {"",     "/",     "/a",   "..",    ".",    "a/..",
                                      "../a", "a/./b", "a\nb", "a\x7f", "\xff", "a/\xc3"};
    static const char *const read_only[] = {"a//b", "a/", "a/b/"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        CHECK_OK(tn_object_key_check(good[i], true, &err), &err);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK_INT(tn_object_key_check(bad[i], false, &err), TN_E_INVALID);
        CHECK_INT(tn_object_key_check(bad[i], true, &err), TN_E_INVALID);
    }
    for (size_t i = 0; i < sizeof read_only / sizeof *read_only; i++) {
        CHECK_OK(tn_object_key_check(read_only[i], false, &err), &err);
        CHECK_INT(tn_object_key_check(read_only[i], true, &err), TN_E_INVALID);
    }
}

static void test_folder(void)
{
    struct tn_s3_options options;
    struct tn_arena arena;
    struct tn_object_store *store;
    struct tn_buf body;
    char root[256], url[300];
    temp_folder_make(root, sizeof root);
    tn_arena_init(&arena, 0);
    tn_buf_init(&body, 100);
    tn_opt_defaults(&tn_s3_opts, &options, &arena);
    struct tn_object_stores *stores = tn_object_stores_new(&options, NULL, NULL);
    snprintf(url, sizeof url, "file://%s/lake", root);
    CHECK_OK(tn_object_store_open(stores, url, NULL, &store, &err), &err);
    CHECK(strcmp(store->url, url) == 0 && strcmp(store->folder, url + 7) == 0);
    CHECK_OK(tn_object_put(store, "a/b", TN_STR("x"), false, 0, &err), &err);
    tn_object_store_close(store);
    CHECK_OK(tn_object_store_open(stores, url + 7, NULL, &store, &err), &err);
    CHECK_OK(tn_object_get(store, "a/b", 0, -1, &body, 0, &err), &err);
    CHECK_STR(tn_buf_str(&body), "x");
    tn_object_store_close(store);
    tn_object_stores_free(stores);
    tn_buf_release(&body);
    tn_arena_release(&arena);
    temp_folder_remove(root);
}

int main(void)
{
    test_urls();
    test_keys();
    test_folder();
    return TN_TEST_END();
}
