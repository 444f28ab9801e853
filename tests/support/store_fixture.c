/* See store_fixture.h. */
#include "tests/support/store_fixture.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/support/temp_folder.h"

static int64_t clock_wall(struct tn_clock *base)
{
    return ((struct test_clock *)(void *)base)->wall_ms;
}

static int64_t clock_mono(struct tn_clock *base)
{
    return ((struct test_clock *)(void *)base)->wall_ms * 1000000;
}

void store_fixture_init(struct store_fixture *fixture)
{
    *fixture = (struct store_fixture){.clock = {{clock_wall, clock_mono}, 1500000000000}};
    temp_folder_make(fixture->path, sizeof fixture->path);
    tn_store_config_init(&fixture->config);
    fixture->config.path = fixture->path;
    fixture->config.application_id = "test";
    fixture->config.clock = &fixture->clock.base;
    fixture->config.cache_bytes = 4 << 20;
    fixture->config.write_buffer_bytes = 4 << 20;
    fixture->config.tail_bytes = 256 << 10;
    fixture->config.reserve_bytes = 0;
}

static void must(enum tn_status st, const struct tn_err *err)
{
    if (st == TN_OK)
        return;
    fprintf(stderr, "cannot open the store: %s\n", err->message);
    abort();
}

void store_fixture_open(struct store_fixture *fixture)
{
    struct tn_err err = TN_ERR_INIT;
    must(tn_store_open(&fixture->config, &fixture->store, &err), &err);
    must(tn_rocks_log_open(fixture->store, &fixture->log, &err), &err);
    must(tn_rocks_state_open(fixture->store, &fixture->state, &err), &err);
    must(tn_rocks_catalog_open(fixture->store, &fixture->catalog, &err), &err);
}

void store_fixture_close(struct store_fixture *fixture)
{
    if (!fixture->store)
        return;
    tn_rocks_catalog_close(fixture->catalog);
    fixture->state->type->close(fixture->state);
    fixture->log->type->close(fixture->log);
    tn_store_close(fixture->store);
    fixture->store = NULL;
}

void store_fixture_release(struct store_fixture *fixture)
{
    store_fixture_close(fixture);
    temp_folder_remove(fixture->path);
}
