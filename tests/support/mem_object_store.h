/* An object store in memory, with faults: the model the other adapters are compared with, and the
 * store of tests that need to fail at a chosen point.
 *
 * Two kinds of faults. Lost tries are inside the adapter: every n-th try is lost before or after it
 * was done, and the adapter repeats it, as the port promises. Failures are what the port may report
 * to its user: the n-th request from now ends with a status, before or after it was done.
 * Handles of one world see the same objects. @thread any
 */
#ifndef TN_TESTS_SUPPORT_MEM_OBJECT_STORE_H
#define TN_TESTS_SUPPORT_MEM_OBJECT_STORE_H

#include "stream/object_store.h"

struct mem_objects;

struct mem_objects *mem_objects_new(void);
void mem_objects_free(struct mem_objects *objects); /* after its handles are closed */
struct tn_object_store *mem_object_store_open(struct mem_objects *objects);

/* Every `every`-th try is lost, in turn before and after it was done; 0 = none. */
void mem_objects_lose(struct mem_objects *objects, int every);
/* The n-th request from now (1 = the next) ends with `status`; is_done: after it was done. From
 * then on `count` requests in all (a store that is away); n 0 = none. */
void mem_objects_fail_at(struct mem_objects *objects, int64_t n, int64_t count,
                         enum tn_status status, bool is_done);
int64_t mem_objects_requests(const struct mem_objects *objects); /* so far */
int64_t mem_objects_tries(const struct mem_objects *objects);

#endif
