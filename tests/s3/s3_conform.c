/* The S3 adapter on a real server: conformance of the port. Usage: s3_conform URL [NAME=VALUE of
 * s3.* …], with the server in AWS_ENDPOINT_URL_S3 and keys in the environment
 * (tests/support/radosgw.py sets them). */
#include <stdlib.h>
#include <time.h>

#include "connectors/object_url.h"
#include "stream/base/logline.h"
#include "tests/check.h"
#include "tests/support/conform_object_store.h"
#include "tests/support/test_clock.h"

struct world {
    struct tn_object_stores *stores;
    char url[512];
};

static struct tn_object_store *open_store(void *ctx)
{
    struct world *world = ctx;
    struct tn_object_store *store = NULL;
    struct tn_err err = TN_ERR_INIT;
    CHECK_OK(tn_object_store_open(world->stores, world->url, NULL, &store, &err), &err);
    TN_ASSERT(store);
    return store;
}

static void on_line(enum tn_log_level level, const char *component, const char *line)
{
    (void)level;
    fprintf(stderr, "%s: %s\n", component, line);
}

int main(int argc, char **argv)
{
    struct world world = {0};
    struct tn_s3_options options;
    struct tn_arena arena;
    struct tn_err err = TN_ERR_INIT;
    TN_ASSERT(argc >= 2);
    tn_log_set_sink(on_line, TN_LOG_INFO);
    tn_arena_init(&arena, 0);
    tn_opt_defaults(&tn_s3_opts, &options, &arena);
    for (int i = 2; i < argc; i++) {
        const char *value = strchr(argv[i], '=');
        TN_ASSERT(value);
        struct tn_str name = {argv[i], (size_t)(value - argv[i])};
        CHECK_OK(tn_opt_set(&tn_s3_opts, &options, name, tn_str_of(value + 1), &arena, &err), &err);
    }
    world.stores = tn_object_stores_new(&options, &test_clock, NULL);
    struct conform_object_store_factory factory = {
        .name = "s3", .open = open_store, .ctx = &world, .is_prefix_free = true};
    snprintf(world.url, sizeof world.url, "%s", argv[1]); /* a bucket of its own */
    CHECK_INT(conform_object_store(&factory), 0);
    snprintf(world.url, sizeof world.url, "%s/below/a b=c", argv[1]);
    factory.key_max = TN_OBJECT_KEY_MAX - strlen("below/a b=c/");
    CHECK_INT(conform_object_store(&factory), 0);
    tn_object_stores_free(world.stores);
    tn_arena_release(&arena);
    return TN_TEST_END();
}
