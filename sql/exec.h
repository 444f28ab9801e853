/* Execution of bound queries: chooses the executor, runs it, pushes result batches into a struct
 * tn_rows.
 *
 * Native: vectorised filter, projection, hash aggregation, sort and top-N over one scan or a stack
 * of derived tables. SQLite: every other tree, as SQL generated from the bound tree over virtual
 * tables (sql/README.md "SQLite path"). Both evaluate expressions with the same kernels, so they
 * agree in values, NULLs, types and order.
 *
 * Ownership: the context is the statement's; tni_exec_release gives back the pin. @thread one
 * statement, one thread
 */
#ifndef TN_SQL_EXEC_H
#define TN_SQL_EXEC_H

#include "sql/bound.h"
#include "sql/catalog.h"
#include "sql/result.h"
#include "stream/base/clock.h"
#include "stream/base/metrics.h"
#include "stream/base/opt.h"
#include "stream/engine.h"

enum tni_executor {
    TNI_EXEC_AUTO,
    TNI_EXEC_NATIVE, /* refuse what is outside its shape (tests) */
    TNI_EXEC_SQLITE  /* always generate SQL (tests) */
};

struct tni_sqlite_pool; /* sql/exec_sqlite.h */
struct tni_log_end;     /* sql/scan_log.c */
struct tni_zones;       /* sql/zone_files.h */
struct tni_zone_pin;
struct tni_asked; /* sql/members_scan.c */
struct tn_members;

/* One statement of a Trino client, for system.runtime.queries. */
struct tni_query_row {
    const char *id, *state, *user, *source, *error_type, *error_name; /* NULL = SQL NULL */
    struct tn_str text;
    int64_t queued_ms, created_ms, started_ms, seen_ms, ended_ms; /* times: 0 = NULL */
};
/* Who knows them. */
struct tni_query_list {
    void (*each)(struct tni_query_list *list,
                 bool (*row)(void *ctx, const struct tni_query_row *row), void *ctx);
    const char *uri; /* of this process */
};

/* One filled option struct and its table, for system.options. */
struct tni_option_set {
    const struct tn_opts *opts;
    const void *values;
};

struct tni_exec_ctx {
    /* Given by the caller. */
    struct tn_engine *engine;
    struct tn_log *log;
    const struct tn_catalog
        *catalog; /* snapshot the query was bound against; NULL in tests without one */
    struct tn_clock *clock;
    struct tn_metrics *metrics; /* may be NULL */
    const struct tn_formats *formats;
    const char *application_id;
    struct tni_zones *zones;      /* NULL: no zone tables */
    struct tn_sinks *sinks;       /* NULL: none run */
    struct tni_sqlite_pool *pool; /* shared by all statements of the database */
    struct tn_budget *budget;
    struct tn_arena *arena;               /* the statement's */
    const struct tni_option_set *options; /* may be NULL */
    size_t options_count;
    struct tni_query_list *queries; /* may be NULL */
    struct tn_members *members;     /* other processes of the application; NULL = none */
    enum tni_executor executor;
    bool is_pushdown_off; /* tests: no predicate leaves the executor for the scan */
    /* Filled while running. */
    struct tn_pin *pin;             /* taken by the first scan of a KTable; all scans share it */
    struct tni_log_end *log_ends;   /* visible ends, fixed when the statement first opens a topic */
    struct tni_zone_pin *zone_pins; /* files of zone tables, one snapshot a location */
    struct tni_asked *asked;        /* processes that hold something for this statement */
    bool is_hopeless;               /* what is missing does not come by waiting */
    int64_t rows_bad;               /* undecodable log records skipped by scans */
    int64_t rows_count;             /* result rows pushed */
};

/* Run `query` and push its rows. The columns of `rows` are query->schema. */
enum tn_status tni_exec_query(struct tni_exec_ctx *ctx, const struct tn_query *query,
                              struct tn_rows *rows, struct tn_err *err);
/* Which executor would run it and why, the operators with pushed-down predicates, and for SQLite
 * the generated SQL: lines of text. Nothing is read. */
enum tn_status tni_exec_explain(struct tni_exec_ctx *ctx, const struct tn_query *query,
                                struct tn_buf *buf, struct tn_err *err);
/* The pin of the statement, taken on first use. */
enum tn_status tni_exec_pin(struct tni_exec_ctx *ctx, struct tn_pin **ret_pin, struct tn_err *err);
/* Give back what the context holds (the pin). */
void tni_exec_release(struct tni_exec_ctx *ctx);

#endif
