/* Covers the catalog as a log: versions in order, a lost race refused with the newest version, a
 * record that lost its race in the log void for every reader, an append whose answer was lost, a
 * second process that follows, damaged records.
 */
#include <stdio.h>

#include "stream/catalog_log.h"
#include "tests/check.h"
#include "tests/support/fake_clock.h"
#include "tests/support/mem_log.h"

static struct tn_log *topic_log;
static struct fake_clock fake;

static struct tn_catalog_store *open_store(void)
{
    struct tn_err err = TN_ERR_INIT;
    struct tn_catalog_store *store = NULL;
    CHECK_OK(tn_catalog_log_open(topic_log, "app", &fake.base, &store, &err), &err);
    return store;
}

static enum tn_status add_text(void *ctx, int64_t version, struct tn_str record, struct tn_err *err)
{
    (void)err;
    tn_buf_printf(ctx, "%lld:%.*s ", (long long)version, TN_STR_FMT(record));
    return TN_OK;
}

/* What a process reads after a version. */
static const char *text_after(struct tn_catalog_store *store, int64_t after)
{
    static char text[512];
    struct tn_err err = TN_ERR_INIT;
    struct tn_buf buf;
    tn_buf_init(&buf, 4096);
    CHECK_OK(store->follow(store, after, add_text, &buf, &err), &err);
    snprintf(text, sizeof text, "%s", tn_buf_cstr(&buf));
    tn_buf_release(&buf);
    return text;
}

static void test_race(void)
{
    struct tn_err err = TN_ERR_INIT;
    struct tn_catalog_store *a = open_store(), *b = open_store();
    CHECK_OK(a->append(a, 1, TN_STR("one"), &err), &err);
    CHECK_STR(tn_str_of(text_after(b, 0)), "1:one ");
    CHECK_OK(a->append(a, 2, TN_STR("two"), &err), &err);
    CHECK(b->append(b, 2, TN_STR("other"), &err) == TN_E_BUSY);
    CHECK(strstr(err.message, "the newest is 2") != NULL);
    CHECK_STR(tn_str_of(text_after(b, 1)), "2:two ");
    CHECK_OK(b->append(b, 3, TN_STR("three"), &err), &err);
    CHECK_STR(tn_str_of(text_after(a, 0)), "1:one 2:two 3:three ");
    tn_catalog_log_close(a);
    tn_catalog_log_close(b);
}

/* Two records of one version lie in the log: the first one counts, for everybody. */
static void test_void_record(void)
{
    char late[25 + 4] = {1, 0, 0, 0, 0, 0, 0, 0, 3, 9};
    memcpy(late + 25, "late", 4);
    tn_mem_log_put(topic_log, "app-catalog", 0, (struct tn_str){0}, (struct tn_str){late, 29}, 0);
    struct tn_catalog_store *store = open_store();
    CHECK_STR(tn_str_of(text_after(store, 0)), "1:one 2:two 3:three ");
    struct tn_err err = TN_ERR_INIT;
    CHECK_OK(store->append(store, 4, TN_STR("four"), &err), &err);
    tn_catalog_log_close(store);
}

static struct tn_mem_fault lose_append(void *ctx, enum tn_mem_call call)
{
    int *left = ctx;
    if (call == TN_MEM_APPEND && (*left)-- > 0)
        return (struct tn_mem_fault){.st = TN_E_IO};
    return (struct tn_mem_fault){.st = TN_OK};
}

static void test_append_fails(void)
{
    struct tn_err err = TN_ERR_INIT;
    struct tn_catalog_store *store = open_store();
    int left = 1;
    tn_mem_log_set_fault(topic_log, lose_append, &left);
    CHECK(store->append(store, 5, TN_STR("five"), &err) == TN_E_IO);
    CHECK_STR(tn_str_of(text_after(store, 4)), "");
    CHECK_OK(store->append(store, 5, TN_STR("five"), &err), &err);
    tn_mem_log_set_fault(topic_log, NULL, NULL);
    CHECK_STR(tn_str_of(text_after(store, 3)), "4:four 5:five ");
    tn_catalog_log_close(store);
}

static void test_damaged(void)
{
    struct tn_err err = TN_ERR_INIT;
    struct tn_catalog_store *store = open_store();
    tn_mem_log_put(topic_log, "app-catalog", 0, (struct tn_str){0}, TN_STR("no record"), 0);
    CHECK(store->follow(store, 0, add_text, NULL, &err) == TN_E_CORRUPT);
    CHECK(strstr(err.message, "app-catalog") != NULL);
    tn_catalog_log_close(store);
}

int main(void)
{
    fake_clock_init(&fake);
    topic_log = tn_mem_log_new(false);
    test_race();
    test_void_record();
    test_append_fails();
    test_damaged();
    topic_log->type->close(topic_log);
    return TN_TEST_END();
}
