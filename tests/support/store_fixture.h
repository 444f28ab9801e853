/* A store in a temporary folder, for unit tests of store/ and of rooms that need real adapters. */
#ifndef TN_TESTS_SUPPORT_STORE_FIXTURE_H
#define TN_TESTS_SUPPORT_STORE_FIXTURE_H

#include "store/catalog_store.h"
#include "store/db.h"
#include "store/log.h"
#include "store/state.h"

struct test_clock {
    struct tn_clock base;
    int64_t wall_ms; /* what the clock says */
};

struct store_fixture {
    char path[256];
    struct test_clock clock;
    struct tn_store_config config; /* may be changed before store_fixture_open */
    struct tn_store *store;
    struct tn_log *log;
    struct tn_state *state;
    struct tn_catalog_store *catalog;
};

/* Makes the folder; nothing is open yet. Small budgets. */
void store_fixture_init(struct store_fixture *fixture);
/* Opens store, log, state and catalog; aborts with a message when that fails. */
void store_fixture_open(struct store_fixture *fixture);
void store_fixture_close(struct store_fixture *fixture);
/* Removes the folder. */
void store_fixture_release(struct store_fixture *fixture);

#endif
