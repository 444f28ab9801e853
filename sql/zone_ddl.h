/* Catalog changes of zones, called by the dispatch of sql/db_*.c. Folder-private.
 * @thread the writer holds the database lock */
#ifndef TN_SQL_ZONE_DDL_H
#define TN_SQL_ZONE_DDL_H

#include "sql/db_int.h"

/* Does CREATE TABLE with this schema and these properties mean files? A zone schema, or
 * external_location without KAFKA_TOPIC. */
bool tni_zone_is_target(struct tn_str schema_name, const struct tn_ast_props *props);
enum tn_status tni_apply_zone_table(struct tni_change *change, const struct tn_ast_stmt *stmt,
                                    struct tn_str schema_name, struct tn_str name,
                                    struct tn_err *err);
enum tn_status tni_zone_schema_props(const struct tn_ast_create *create, struct tni_entry *entry,
                                     struct tn_err *err);
bool tni_zone_same(const struct tn_object *a, const struct tn_object *b);

#endif
