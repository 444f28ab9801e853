/* Parts of the table scan shared by its kinds. Folder-private.
 *
 * Ownership: a scan is heap memory with its own arena; closing releases it and what it charged to
 * the budget.
 * @thread one statement, one thread */
#ifndef TN_SQL_SCAN_INT_H
#define TN_SQL_SCAN_INT_H

#include "sql/scan.h"

/* Charge the growth of `bytes` since the last call to the budget of the statement. */
enum tn_status tni_charge_to(struct tni_exec_ctx *ctx, int64_t bytes, int64_t *charged,
                             struct tn_err *err);

enum tn_status tni_tscan_table_open(struct tni_exec_ctx *ctx, const struct tni_tscan_spec *spec,
                                    const struct tn_schema *schema, struct tni_tscan **ret_scan,
                                    struct tn_err *err);
enum tn_status tni_tscan_log_open(struct tni_exec_ctx *ctx, const struct tni_tscan_spec *spec,
                                  const struct tn_schema *schema, struct tni_tscan **ret_scan,
                                  struct tn_err *err);
enum tn_status tni_tscan_system_open(struct tni_exec_ctx *ctx, const struct tni_tscan_spec *spec,
                                     const struct tn_schema *schema, struct tni_tscan **ret_scan,
                                     struct tn_err *err);

enum tn_status tni_tscan_zone_open(struct tni_exec_ctx *ctx, const struct tni_tscan_spec *spec,
                                   const struct tn_schema *schema, struct tni_tscan **ret_scan,
                                   struct tn_err *err);
void tni_tscan_zone_explain(const struct tni_tscan_spec *spec, struct tn_buf *buf);

/* Is the object read from a store of the engine (KTable, materialised table)? */
static inline bool tni_object_has_store(const struct tn_object *object)
{
    return object->kind == TN_OBJ_KTABLE ||
           (object->kind == TN_OBJ_TABLE && object->query_id != NULL);
}
/* Column of the object's topic declaration that shows as scan column `column`; −1 = none. */
int tni_decl_column(const struct tn_object *object, uint32_t column);
static inline bool tni_tscan_needs(const struct tni_tscan_spec *spec, uint32_t column)
{
    return !spec->needed || spec->needed[column];
}
const struct tni_pred *tni_pred_find(const struct tni_tscan_spec *spec, int column,
                                     const struct tni_pred *after);
/* Full keys, ranges and window bounds that the predicates give for a KTable; in `arena`. False: no
 * row can match. */
bool tni_tscan_key_filter(const struct tni_tscan_spec *spec, struct tn_arena *arena,
                          struct tn_key_filter *ret_filter);
/* Inclusive bounds of an integer column. False: no row can match. */
bool tni_preds_i64(const struct tni_tscan_spec *spec, int column, int64_t *ret_low,
                   int64_t *ret_high);

/* A pseudo-column of one value for all rows. */
void tni_column_fill_i64(struct tn_column *col, enum tn_kind kind, int64_t value,
                         uint32_t rows_count, struct tn_arena *arena);

#endif
