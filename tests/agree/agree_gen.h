/* Generator of random queries over the tables t and u of agree.c. The same seed gives the same text
 * on any machine.
 *
 * Every query orders by all of its output columns, so that rows that tie are equal and the order
 * can be compared. Functions that this build does not have are not used.
 * @thread one */
#ifndef TN_TESTS_AGREE_GEN_H
#define TN_TESTS_AGREE_GEN_H

#include <stdbool.h>
#include <stdint.h>
#include "stream/base/buf.h"

struct agree_gen {
    uint64_t state;
    struct tn_buf sql;
    const char *rel; /* columns are written rel.column */
    int depth;
    bool is_derived; /* reads a derived table, whose rows and columns may be left out unevaluated */
    bool is_native;  /* the query is within the native executor's shape */
};

void agree_gen_init(struct agree_gen *gen, uint64_t seed);
void agree_gen_release(struct agree_gen *gen);
uint32_t agree_random(struct agree_gen *gen, uint32_t below);
/* The next query, in gen->sql. */
const char *agree_query(struct agree_gen *gen);
/* "VALUES (…), …" rows of table t, of table u. */
const char *agree_rows_t(struct agree_gen *gen, int count);
const char *agree_rows_u(struct agree_gen *gen, int count);

#define AGREE_COLUMNS_T                                                                            \
    "id bigint, i integer, j integer, b bigint, d double, e double, s varchar, v varchar, "        \
    "f boolean, m decimal(10,2), w decimal(30,4), dt date, ts timestamp, x varbinary"
#define AGREE_COLUMNS_U "id bigint, i integer, k integer, s varchar, d double, m decimal(10,2)"

#endif
