/* Parts of the SQLite extension. Folder-private. The host's SQLite is called through the table it
 * gave at load time (sqlite3ext.h).
 * @thread the host's */
#ifndef TN_SQL_EXT_INT_H
#define TN_SQL_EXT_INT_H

#include <stdlib.h>
#include <sqlite3ext.h>

#include "sql/scan_int.h"
#include "sql/zone.h"
#include "sql/zone_files.h"

#define TNI_EXT_EXPORT __attribute__((visibility("default")))

extern const sqlite3_api_routines *sqlite3_api;
extern struct tn_clock tni_ext_clock;

struct tni_ext {
    struct tn_arena arena;
    struct tn_s3_options s3;
    struct tn_object_stores *stores;
    struct tni_zones *zones;
};

TNI_EXT_EXPORT int sqlite3_extension_init(sqlite3 *db, char **ret_message,
                                          const sqlite3_api_routines *api);
TNI_EXT_EXPORT int sqlite3_tarnsqlite_init(sqlite3 *db, char **ret_message,
                                           const sqlite3_api_routines *api);

char *tni_ext_unquote(struct tn_arena *arena, struct tn_str text);
bool tni_ext_option(struct tn_arena *arena, const char *arg, struct tn_str *ret_name,
                    char **ret_value);
/* Declared type that drivers know. */
void tni_ext_declared(const struct tn_type *type, struct tn_buf *buf);
int tni_ext_declare(sqlite3 *db, const struct tn_schema *schema, struct tn_err *err);
int tni_ext_fail(char **ret_message, const struct tn_err *err);
int tni_ext_plan(const struct tn_schema *schema, sqlite3_index_info *info, bool is_exact_text);
void tni_ext_result(sqlite3_context *out, const struct tn_value *value);

/* ext_table.c: module tarn_table, function tarn_attach */
int tni_ext_tables_register(sqlite3 *db);

#endif
