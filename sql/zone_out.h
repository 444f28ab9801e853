/* Files of rows that a statement writes into a zone table: one open file per partition folder, cut
 * at a size. Nothing is visible before an entry of the table log names the files. Folder-private.
 *
 * Ownership: texts of files live in the arena given to open. @thread the statement's */
#ifndef TN_SQL_ZONE_OUT_H
#define TN_SQL_ZONE_OUT_H

#include "connectors/object_url.h"
#include "connectors/table_log.h"
#include "sql/zone.h"
#include "stream/base/clock.h"
#include "stream/batch.h"

#define TNI_ZONE_PARTS_MAX 100 /* partitions of one statement, as in Trino */

struct tni_zone_part; /* an open file */

struct tni_zone_out {
    const struct tn_zone_table *zone;
    const struct tn_schema *schema; /* of the table: the last columns are partitions */
    struct tn_object_store *store;
    struct tn_clock *clock;
    struct tn_arena *arena;
    char id[40]; /* of the statement: names of its files, commit id */
    int64_t rows_count;
    uint32_t parts_count, files_count, files_cap;
    struct tni_zone_part *parts;
    struct tn_table_file *files;
    struct tn_buf folder; /* of the row at hand */
};

/* TN_E_UNSUPPORTED: a partition column of a type that cannot be written as a folder. */
enum tn_status tni_zone_out_open(struct tni_zone_out *out, struct tn_object_stores *stores,
                                 const struct tn_zone_table *zone, const struct tn_schema *schema,
                                 struct tn_clock *clock, struct tn_arena *arena,
                                 struct tn_err *err);
/* Columns of the table, partitions last; they may have narrower types than the table's. */
enum tn_status tni_zone_out_rows(struct tni_zone_out *out, const struct tn_column *columns,
                                 uint32_t rows_count, struct tn_err *err);
/* Writes what is open. */
enum tn_status tni_zone_out_flush(struct tni_zone_out *out, struct tn_err *err);
/* is_committed false: removes the files. After a failed open, too. */
void tni_zone_out_close(struct tni_zone_out *out, bool is_committed);

#endif
