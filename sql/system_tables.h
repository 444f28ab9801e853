/* System tables: rows made on demand from the catalog, the engine, the log and the process. One
 * const descriptor per table; the catalog registers tn_system_objects() beside the user's objects,
 * scans call `fill`.
 *
 * Schemas: "system" (queries, streams, tables, topics, positions, metrics, options, dead_letters,
 * functions, processes) and "information_schema" (schemata, tables, columns, views). Names in
 * information_schema are lower case.
 *
 * @thread any; descriptors are immutable
 */
#ifndef TN_SQL_SYSTEM_TABLES_H
#define TN_SQL_SYSTEM_TABLES_H

#include "sql/catalog.h"

struct tni_exec_ctx;

/* Receives rows cell by cell, in column order. Text is copied. Full batches go to the scan that
 * asked. */
struct tni_fill;
void tni_fill_null(struct tni_fill *fill);
void tni_fill_bool(struct tni_fill *fill, bool value);
void tni_fill_int(struct tni_fill *fill,
                  int64_t value); /* INTEGER, BIGINT, DATE, TIME, TIMESTAMP (µs) */
void tni_fill_double(struct tni_fill *fill, double value);
void tni_fill_text(struct tni_fill *fill, const char *text); /* NULL = SQL NULL; VARCHAR, JSON */
void tni_fill_str(struct tni_fill *fill,
                  struct tn_str text); /* ptr NULL = SQL NULL; VARCHAR, BYTES */
void tni_fill_value(struct tni_fill *fill, const struct tn_value *value);
/* All cells of the row are there; false: the scan wants no more rows, stop early. */
bool tni_fill_row_done(struct tni_fill *fill);

struct tn_system_table {
    const char *schema_name, *name;
    const struct tn_schema *schema;
    enum tn_status (*fill)(struct tni_exec_ctx *ctx, const struct tn_system_table *table,
                           struct tni_fill *fill, struct tn_err *err);
    /* Instead of fill: a topic that is scanned as this stream; NULL when it does not exist yet. */
    const struct tn_object *(*stream)(struct tni_exec_ctx *ctx,
                                      const struct tn_system_table *table);
    const char *help;
};

/* sink_show.c: rows of system.sinks, system.files. */
enum tn_status tni_fill_sinks(struct tni_exec_ctx *ctx, const struct tn_system_table *table,
                              struct tni_fill *fill, struct tn_err *err);
enum tn_status tni_fill_files(struct tni_exec_ctx *ctx, const struct tn_system_table *table,
                              struct tni_fill *fill, struct tn_err *err);

/* Ready-made catalog objects (kind TN_OBJ_SYSTEM) of all system tables, in (schema, name) order.
 * Static. */
const struct tn_object *const *tn_system_objects(size_t *ret_count);

#endif
