/* CREATE TABLE zone.t AS SELECT and INSERT INTO zone.t: run once, write files, answer with the
 * number of rows, as Trino does. Folder-private.
 *
 * The rows become visible together: the files are named by one entry of the table log, written
 * last. A statement that fails before leaves files that no log names.
 * @thread the statement's; takes the database lock where it changes the catalog */
#ifndef TN_SQL_ZONE_WRITE_H
#define TN_SQL_ZONE_WRITE_H

#include "sql/db_int.h"

struct tni_zone_writing {
    struct tn_db *db;
    const struct tn_catalog *catalog;
    struct tn_session *session;
    const struct tn_ast_stmt *stmt;
    struct tn_budget *budget;
    struct tn_arena *arena;
    struct tn_rows *rows;
};

/* Is the statement one of the two? */
bool tni_zone_is_write(const struct tn_catalog *catalog, const struct tn_session *session,
                       const struct tn_ast_stmt *stmt);
enum tn_status tni_zone_write(const struct tni_zone_writing *writing, struct tn_err *err);

/* zone_drop.c: location whose files DROP TABLE removes: of a zone table without external_location,
 * when no other table lies there too; NULL: none. */
const char *tni_zone_drop_location(const struct tn_catalog *catalog,
                                   const struct tn_session *session, const struct tn_ast_stmt *stmt,
                                   struct tn_arena *arena);
/* Removes the table log below location and the files it names; after the table is dropped. */
enum tn_status tni_zone_drop_files(struct tn_db *db, const char *location, struct tn_budget *budget,
                                   struct tn_err *err);

#endif
