/* Catalog records in memory, for benchmarks and tests. Survives a close of the database. */
#ifndef TN_TESTS_BENCH_MEM_CATALOG_H
#define TN_TESTS_BENCH_MEM_CATALOG_H

#include "stream/catalog_store.h"

struct tn_catalog_store *mem_catalog_new(void);
void mem_catalog_free(struct tn_catalog_store *store);

#endif
