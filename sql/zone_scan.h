/* Parts of the scan of zone tables. Folder-private.
 * Ownership: arrays in the arenas given. @thread one statement, one thread */
#ifndef TN_SQL_ZONE_SCAN_H
#define TN_SQL_ZONE_SCAN_H

#include "connectors/file_scan.h"
#include "connectors/table_log.h"
#include "sql/scan.h"
#include "sql/zone_files.h"

/* Rows of one file, one after the other. */
struct tni_run {
    const struct tni_zone_file *file;
    uint32_t rows_count;
};

/* zone_gather.c: columns of several files behind each other (no nested ones). */
struct tni_gather {
    const struct tn_schema *schema;
    const bool *needed;
    struct tn_arena *arena;
    uint32_t rows_count;
    bool is_taken; /* the batch has its columns already */
    struct tni_gather_column {
        struct tn_column col;
        size_t data_len, data_cap;
    } * columns;
    struct tn_column *left; /* rows that did not fit */
    uint32_t left_rows;
};
void tni_gather_begin(struct tni_gather *gather, const struct tn_schema *schema, const bool *needed,
                      struct tn_arena *arena);
void tni_gather_add(struct tni_gather *gather, const struct tn_column *columns,
                    uint32_t rows_count);
void tni_gather_end(struct tni_gather *gather, struct tn_column *ret_columns);
/* Cuts texts to the n of VARCHAR(n): files may hold longer ones. */
void tni_zone_cut_texts(struct tn_batch *batch, struct tn_arena *arena);

/* zone_prune.c */
/* Which files can hold a row that passes the predicates; NULL = all. */
bool *tni_zone_prune(const struct tni_tscan_spec *spec, const struct tni_zone_files *files,
                     struct tn_arena *arena);
/* Partition columns and columns of files. */
void tni_zone_fill_runs(const struct tni_tscan_spec *spec, const struct tni_zone_files *files,
                        const struct tni_run *runs, uint32_t runs_count, struct tn_batch *batch,
                        struct tn_arena *arena);

#endif
