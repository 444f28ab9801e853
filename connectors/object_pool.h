/* Threads that do the requests of an object store whose calls block (files): `submit` hands a
 * request over, a thread runs it and calls done. Threads start with the first request. */
#ifndef TN_CONNECTORS_OBJECT_POOL_H
#define TN_CONNECTORS_OBJECT_POOL_H

#include "stream/object_store.h"

struct tni_object_pool;

/* `run` fills status, err and outputs of a request; it is called on the pool's threads. */
struct tni_object_pool *tni_object_pool_new(struct tn_object_store *store, int threads_max,
                                            void (*run)(struct tn_object_store *store,
                                                        struct tn_object_request *request));
void tni_object_pool_submit(struct tni_object_pool *pool, struct tn_object_request *request);
/* A request that has not begun ends soon, on a thread of the pool; one that has runs to its end. */
void tni_object_pool_cancel(struct tni_object_pool *pool, struct tn_object_request *request);
/* Waits for what has begun, cancels the rest. NULL is a no-op. */
void tni_object_pool_free(struct tni_object_pool *pool);

#endif
