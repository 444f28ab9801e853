/* Runs SQL text through parser, binder and either executor over tables held in memory, and gives
 * the result as text: for unit tests of execution and for the comparison of the executors.
 *
 * Ownership: the fixture owns its tables until query_fixture_release. @thread one */
#ifndef TN_TESTS_QUERY_FIXTURE_H
#define TN_TESTS_QUERY_FIXTURE_H

#include "sql/catalog_int.h"
#include "sql/exec.h"
#include "sql/exec_sqlite.h"
#include "sql/system_tables.h"
#include "sql/zone_files.h"

#define QUERY_FIXTURE_TABLES 8

struct query_fixture_table {
    struct tn_system_table system; /* first: fill casts back */
    struct tn_object object;
    uint32_t rows_count, rows_cap;
    struct tn_value *rows; /* rows_count × columns, row by row */
    int fills_count;
};

struct query_fixture {
    struct tn_arena arena;
    struct query_fixture_table tables[QUERY_FIXTURE_TABLES];
    size_t tables_count;
    struct tn_catalog *catalog;
    struct tni_sqlite_pool *pool;
    struct tn_log *log;               /* optional */
    const struct tn_formats *formats; /* optional */
    struct tn_object_stores *stores;  /* of query_fixture_zone */
    struct tni_zones *zones;
};

struct query_run {
    enum tni_executor executor;
    bool is_pushdown_off;
    int64_t memory_bytes_max, deadline_ns, rows_max;
    bool is_cancelled;
};

/* What came out: "name type, …" of the columns, then one line a row with cells separated by '|',
 * NULL as ∅. */
struct query_result {
    enum tn_status st;
    struct tn_err err;
    struct tn_buf columns, rows;
    int64_t rows_count, batches_count;
    int64_t memory_left; /* still charged to the budget afterwards: must be 0 */
};

void query_fixture_init(struct query_fixture *fx);
void query_fixture_release(struct query_fixture *fx);
/* Columns as "id bigint, name varchar, price decimal(10,2)". Returns the table; add rows, then
 * open. */
struct query_fixture_table *query_fixture_table(struct query_fixture *fx, const char *name,
                                                const char *columns);
/* Values by column; copied. */
void query_fixture_row(struct query_fixture *fx, struct query_fixture_table *table,
                       const struct tn_value *values);
/* Rows as SQL: "VALUES (1, 'x'), (2, NULL)" is bound, coerced to the columns and evaluated. */
void query_fixture_values(struct query_fixture *fx, struct query_fixture_table *table,
                          const char *values);
/* Makes the table a zone table: its rows, in order, become files_count files below `folder`. With
 * is_partitioned the values of the last column are folder names. */
void query_fixture_zone(struct query_fixture *fx, struct query_fixture_table *table,
                        const char *folder, enum tn_file_format format, int files_count,
                        bool is_partitioned, int64_t cache_bytes);
/* After the last table: builds the catalog. */
void query_fixture_open(struct query_fixture *fx);

void query_result_init(struct query_result *result);
void query_result_release(struct query_result *result);
void query_fixture_run(struct query_fixture *fx, const char *sql, const struct query_run *run,
                       struct query_result *result);
/* EXPLAIN text. */
void query_fixture_explain(struct query_fixture *fx, const char *sql, const struct query_run *run,
                           struct tn_buf *buf, struct query_result *result);

#endif
