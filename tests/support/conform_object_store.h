/* Conformance of the port stream/object_store.h: every adapter passes conform_object_store. The
 * calling test checks that it returns 0. */
#ifndef TN_TESTS_SUPPORT_CONFORM_OBJECT_STORE_H
#define TN_TESTS_SUPPORT_CONFORM_OBJECT_STORE_H

#include "stream/object_store.h"

struct conform_object_store_factory {
    const char *name;
    /* A fresh empty store; several handles of the same store may be open. */
    struct tn_object_store *(*open)(void *ctx);
    void *ctx;
    int writers_count;   /* concurrent writers of the put-if-absent race; 0 = 8 */
    size_t key_max;      /* longest key; 0 = TN_OBJECT_KEY_MAX */
    bool is_prefix_free; /* "a" and "a/b" may both be objects (buckets); folders cannot */
};

/* Runs all cases; prints what failed. Returns the number of failed checks; 0 = conforms. */
int conform_object_store(const struct conform_object_store_factory *factory);

#endif
