/* The object store in memory passes the port's conformance test, also while every third try is lost
 * before or after it was done; injected failures end requests as they were told to. Covers
 * tests/support/mem_object_store.c. */
#include "tests/check.h"
#include "tests/support/conform_object_store.h"
#include "tests/support/mem_object_store.h"

static struct tn_object_store *open_store(void *ctx)
{
    return mem_object_store_open(ctx);
}

static void test_conformance(int lose_every)
{
    struct mem_objects *objects = mem_objects_new();
    mem_objects_lose(objects, lose_every);
    struct conform_object_store_factory factory = {
        .name = "memory", .open = open_store, .ctx = objects, .is_prefix_free = true};
    CHECK_INT(conform_object_store(&factory), 0);
    CHECK(lose_every == 0 || mem_objects_tries(objects) > mem_objects_requests(objects));
    mem_objects_free(objects);
}

static void test_failures(void)
{
    struct mem_objects *objects = mem_objects_new();
    struct tn_object_store *store = mem_object_store_open(objects);
    struct tn_err err = TN_ERR_INIT;
    struct tn_object_info info;
    mem_objects_fail_at(objects, 2, 1, TN_E_IO, false);
    CHECK_INT(tn_object_put(store, "a", TN_STR("1"), true, 0, &err), TN_OK);
    CHECK_INT(tn_object_put(store, "b", TN_STR("1"), true, 0, &err), TN_E_IO);
    CHECK(err.retriable);
    CHECK_INT(tn_object_head(store, "b", &info, 0, &err), TN_NOT_FOUND);
    mem_objects_fail_at(objects, 1, 1, TN_E_INDEFINITE, true);
    CHECK_INT(tn_object_put(store, "b", TN_STR("1"), true, 0, &err), TN_E_INDEFINITE);
    CHECK_INT(tn_object_head(store, "b", &info, 0, &err), TN_OK);
    mem_objects_fail_at(objects, 1, 3, TN_E_TIMEOUT, false);
    for (int i = 0; i < 4; i++)
        CHECK_INT(tn_object_remove(store, "b", 0, &err), i < 3 ? TN_E_TIMEOUT : TN_OK);
    tn_object_store_close(store);
    mem_objects_free(objects);
}

int main(void)
{
    test_conformance(0);
    test_conformance(3);
    test_failures();
    return TN_TEST_END();
}
