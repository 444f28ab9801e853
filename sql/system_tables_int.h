/* How a system table is described, for the files that hold some: system_tables.c (tarn's own),
 * info_schema.c (information_schema), info_system.c (the catalog `system` of Trino's clients).
 * @thread any; descriptors are immutable */
#ifndef TN_SQL_SYSTEM_TABLES_INT_H
#define TN_SQL_SYSTEM_TABLES_INT_H

#include "sql/exec.h"
#include "sql/system_tables.h"

#define TNI_SYSTEM_COLUMNS_MAX 26

struct tni_column_desc {
    const char *name;
    enum tn_kind kind; /* TN_K_ARRAY: of VARCHAR */
};

struct tni_table_desc {
    const char *schema_name, *name, *help;
    enum tn_status (*fill)(struct tni_exec_ctx *ctx, const struct tn_system_table *table,
                           struct tni_fill *fill, struct tn_err *err);
    const struct tn_object *(*stream)(struct tni_exec_ctx *ctx,
                                      const struct tn_system_table *table);
    struct tni_column_desc columns[TNI_SYSTEM_COLUMNS_MAX];
};

/* In order of names. */
extern const struct tni_table_desc tni_info_schema_tables[];
extern const size_t tni_info_schema_tables_count;
extern const struct tni_table_desc tni_info_system_tables[];
extern const size_t tni_info_system_tables_count;

/* Context of fill functions that walk a list. */
struct tni_walk {
    struct tni_exec_ctx *ctx;
    struct tni_fill *fill;
    const char *catalog_name;
    struct tn_buf *type; /* scratch for type names */
    const struct tn_type *list_type;
};

void tni_fill_lower(struct tni_exec_ctx *ctx, struct tni_fill *fill, struct tn_str text);
/* No rows: what clients ask for and tarn has not (roles, grants, procedures …). */
enum tn_status tni_fill_nothing(struct tni_exec_ctx *ctx, const struct tn_system_table *table,
                                struct tni_fill *fill, struct tn_err *err);

#endif
