/* Conformance of the port stream/state.h: every adapter passes conform_state. The calling test
 * checks that it returns 0. */
#ifndef TN_TESTS_SUPPORT_CONFORM_STATE_H
#define TN_TESTS_SUPPORT_CONFORM_STATE_H

#include "stream/state.h"

struct conform_state_factory {
    const char *name;
    /* A fresh empty state. */
    struct tn_state *(*open)(void *ctx);
    /* Close it and open the same content again; NULL when the adapter keeps nothing. */
    struct tn_state *(*reopen)(void *ctx, struct tn_state *state);
    void (*close)(void *ctx, struct tn_state *state);
    void *ctx;
    uint64_t seed;
};

/* Runs all cases; prints what failed. Returns the number of failed checks; 0 = conforms. */
int conform_state(const struct conform_state_factory *factory);

#endif
