/* Administrative statements: answered from the catalog, the engine and the log, never by an
 * executor.
 *
 * struct tni_out collects rows cell by cell and pushes full batches.
 */
#ifndef TN_SQL_ADMIN_INT_H
#define TN_SQL_ADMIN_INT_H

#include "sql/db_int.h"

#define TNI_OUT_COLUMNS_MAX 16

struct tni_out {
    struct tn_rows *rows;
    struct tn_arena *arena;
    const struct tn_schema *schema;
    struct tn_colbuilder *builders[TNI_OUT_COLUMNS_MAX];
    uint32_t cell, rows_count;
};

struct tni_out_column {
    const char *name;
    enum tn_kind kind;
};

enum tn_status tni_out_begin(struct tni_out *out, struct tn_rows *rows, struct tn_arena *arena,
                             const struct tni_out_column *columns, uint32_t columns_count,
                             struct tn_err *err);
void tni_out_text(struct tni_out *out, const char *text); /* NULL = SQL NULL */
void tni_out_str(struct tni_out *out, struct tn_str text);
void tni_out_i64(struct tni_out *out, int64_t value);
void tni_out_double(struct tni_out *out, double value);
void tni_out_bool(struct tni_out *out, bool value);
/* After the last cell of a row. */
enum tn_status tni_out_row(struct tni_out *out, struct tn_err *err);
enum tn_status tni_out_end(struct tni_out *out, struct tn_err *err);

/* What an administrative statement runs with. */
struct tni_admin {
    struct tn_db *db;
    const struct tn_catalog *catalog;
    struct tn_session *session;
    const struct tn_ast_stmt *stmt;
    struct tn_budget *budget;
    struct tn_arena *arena;
    struct tn_rows *rows;
};

/* sink_show.c: SHOW SINKS; DESCRIBE of a sink. */
enum tn_status tni_admin_show_sinks(struct tni_admin *admin, struct tn_err *err);
enum tn_status tni_admin_describe_sink(struct tni_admin *admin, const struct tn_catalog_sink *sink,
                                       struct tn_err *err);
/* admin_show.c */
enum tn_status tni_admin_show(struct tni_admin *admin, struct tn_err *err);
/* admin_describe.c */
enum tn_status tni_admin_describe(struct tni_admin *admin, struct tn_err *err);
enum tn_status tni_admin_columns(struct tni_admin *admin, const struct tn_ast_name *name,
                                 struct tn_str like, struct tn_str escape, struct tn_err *err);
enum tn_status tni_admin_functions(struct tni_admin *admin, struct tn_err *err);
enum tn_status tni_admin_describe_function(struct tni_admin *admin, struct tn_err *err);
/* admin_explain.c */
enum tn_status tni_admin_explain(struct tni_admin *admin, struct tn_err *err);

/* prepared.c: DESCRIBE INPUT, OUTPUT */
enum tn_status tni_admin_describe_prepared(struct tni_admin *admin, struct tn_err *err);
/* info_stats.c */
enum tn_status tni_admin_stats(struct tni_admin *admin, struct tn_err *err);
enum tn_status tni_explain_io(struct tni_admin *admin, const struct tn_ast_query *ast,
                              struct tn_buf *buf, struct tn_err *err);

/* LIKE as SHOW … LIKE uses it; pattern ptr NULL matches all. */
bool tni_like(struct tn_str text, struct tn_str pattern, struct tn_str escape);
const char *tni_type_print(struct tn_arena *arena, const struct tn_type *type, bool is_trino);
const char *tni_lower_case(struct tn_arena *arena, const char *text);

#endif
