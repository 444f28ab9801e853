/* Parts of the SQLite path: connections, running statements, values, functions, virtual tables.
 * Folder-private; the only files that include sqlite3.h are exec_sqlite*.c and vtab.c.
 *
 * Representation of values inside SQLite, chosen so that its comparisons, sorting and grouping are
 * ours: BOOLEAN 0/1 · INTEGER, BIGINT, DATE (days), TIME, TIMESTAMP (µs), intervals: integer ·
 * DOUBLE: real, NaN the blob 'NaN' (blobs sort after numbers and equal themselves) · DECIMAL of up
 * to 18 digits: scaled integer, of more: 16 bytes big-endian with the sign flipped · VARCHAR, JSON:
 * text · BYTES: blob · ARRAY, MAP, STRUCT: our bytes.
 *
 * Ownership: a connection belongs to one statement at a time. @thread the statement's */
#ifndef TN_SQL_EXEC_SQLITE_INT_H
#define TN_SQL_EXEC_SQLITE_INT_H

#include <sqlite3.h>

#include "sql/exec_sqlite.h"
#include "sql/gen_sqlite.h"

#define TNI_SQLITE_SLOTS_MAX 256 /* virtual tables of one width on a connection */

struct tni_statement;

struct tni_conn {
    sqlite3 *db;
    struct tni_conn *next;      /* idle list */
    struct tni_statement *stmt; /* running */
    bool is_setup;              /* the authorizer lets our own DDL pass */
    uint32_t functions_count;   /* f0 … and x0 … */
    uint32_t aggs_count;        /* a0 … */
    uint32_t tables_count[3];   /* v0_<width> … by width class */
};

/* A scalar site ready to run: one row of argument columns. */
struct tni_call_site {
    const struct tni_site *site;
    struct tn_program *program;
    struct tn_schema schema;
    struct tn_batch batch;
    struct tni_cell *cells;
};

/* Room for one value of a column. */
struct tni_cell {
    union {
        int32_t i32;
        int64_t i64;
        double f64;
        tn_int128 dec;
    } value;
    uint64_t validity;
    int32_t offsets[2];
};

struct tni_vslot; /* sql/vtab.c: state of a slot in the running statement */

struct tni_statement {
    struct tni_exec_ctx *ctx;
    struct tni_conn *conn;
    struct tni_gen gen;
    struct tni_call_site *sites;
    struct tni_vslot *slots;
    struct tn_arena scratch; /* one function call */
    struct tn_err err;       /* first failure inside a callback; code TN_OK = none */
};

/* Keep the first failure of a callback; SQLite only gets "tarn". */
int tni_statement_fail(struct tni_statement *stmt, enum tn_status st, const struct tn_err *err);

/* ---- memory (exec_sqlite_mem.c) ---- */

/* Install the allocator; before anything else of SQLite. Once a process; later calls return the
 * first result. */
int tni_sqlite_mem_install(void);
/* Allocations of this thread are charged to `budget` from now; NULL = to none. Returns the one
 * before. */
void tni_sqlite_mem_charge(struct tn_budget *budget);

/* ---- values (exec_sqlite_value.c) ---- */

/* Row of a column as the result of a function or virtual table. Text and blobs are copied unless
 * is_static. */
void tni_sq_result(sqlite3_context *context, const struct tn_column *col, uint32_t row,
                   bool is_static);
/* Any SQLite value as a value of `type`; text is borrowed from it, nested items go to `arena`.
 * False: the value is of another kind. */
bool tni_sq_value(sqlite3_value *in, const struct tn_type *type, struct tn_arena *arena,
                  struct tn_value *ret_value);
/* The same into a one-row column over `cell`. */
bool tni_sq_column(sqlite3_value *in, const struct tn_type *type, struct tn_arena *arena,
                   struct tni_cell *cell, struct tn_column *ret_col);
int tni_sq_bind(sqlite3_stmt *stmt, int index, const struct tn_value *value);

/* ---- functions (exec_sqlite_func.c) ---- */

/* Compile the sites of stmt->gen and make sure the connection has their names. */
enum tn_status tni_sq_functions(struct tni_statement *stmt, struct tn_err *err);
int tni_sq_register(struct tni_conn *conn); /* what every connection has: single() */

/* ---- virtual tables (vtab.c) ---- */

int tni_vtab_register(struct tni_conn *conn);
enum tn_status tni_vtab_prepare(struct tni_statement *stmt, struct tn_err *err);
void tni_vtab_release(struct tni_statement *stmt);
/* One line per slot for EXPLAIN. */
void tni_vtab_explain(struct tni_statement *stmt, struct tn_buf *buf);

#endif
