/* SQLite path: connection pool, settings, running a generated statement, typed results.
 *
 * Settings follow from two rules: only generated text is run, and no statement can touch anything
 * but its slots. So the connections are in-memory, defensive, untrusting of the schema, without
 * double-quoted strings, without files (temporary data stays in memory, charged to the statement),
 * and an authorizer lets nothing pass but SELECT, reading columns and calling functions. Limits and
 * the progress handler end what does not end by itself.
 *
 * Results are read back as the types of the bound schema; a value of another kind fails the query
 * rather than being shown as something else.
 *
 * Ownership: see exec_sqlite.h, exec_sqlite_int.h. @thread pool: any */
#include "sql/exec_sqlite.h"

#include <pthread.h>

#include "sql/exec_sqlite_int.h"
#include "stream/base/mem.h"

#define PROGRESS_OPS 2000 /* virtual machine instructions between two looks at the clock */
#define ROWS_FIRST   256  /* the first batch is small, so that a first row is seen early */

struct tni_sqlite_pool {
    pthread_mutex_t lock;
    struct tni_conn *idle;
    int idle_count, idle_max;
};

/* ---- connections ---- */

static int authorize(void *ctx, int action, const char *a, const char *b, const char *c,
                     const char *d)
{
    const struct tni_conn *conn = ctx;
    (void)b;
    (void)c;
    (void)d;
    if (conn->is_setup)
        return SQLITE_OK;
    switch (action) {
    case SQLITE_SELECT:
    case SQLITE_FUNCTION:
    case SQLITE_RECURSIVE: return SQLITE_OK;
    case SQLITE_READ: /* our tables and subqueries, not the schema */
        return a && strncmp(a, "sqlite_", 7) == 0 ? SQLITE_DENY : SQLITE_OK;
    default: return SQLITE_DENY;
    }
}

static int set_limits(sqlite3 *db)
{
    static const struct {
        int id, value;
    } limits[] = {
        {SQLITE_LIMIT_LENGTH, 64 << 20},
        {SQLITE_LIMIT_SQL_LENGTH, 4 << 20},
        {SQLITE_LIMIT_COLUMN, 512},
        {SQLITE_LIMIT_EXPR_DEPTH, 1000},
        {SQLITE_LIMIT_COMPOUND_SELECT, 50},
        {SQLITE_LIMIT_VDBE_OP, 250000},
        {SQLITE_LIMIT_FUNCTION_ARG, 100},
        {SQLITE_LIMIT_ATTACHED, 0},
        {SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1000},
        {SQLITE_LIMIT_VARIABLE_NUMBER, 32766},
        {SQLITE_LIMIT_TRIGGER_DEPTH, 0},
        {SQLITE_LIMIT_WORKER_THREADS, 0},
    };
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        sqlite3_limit(db, limits[i].id, limits[i].value);
    return SQLITE_OK;
}

static int set_config(sqlite3 *db)
{
    static const struct {
        int id, value;
    } settings[] = {
        {SQLITE_DBCONFIG_DQS_DML, 0},
        {SQLITE_DBCONFIG_DQS_DDL, 0},
        {SQLITE_DBCONFIG_DEFENSIVE, 1},
        {SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0},
        {SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0},
        {SQLITE_DBCONFIG_ENABLE_TRIGGER, 0},
        {SQLITE_DBCONFIG_ENABLE_VIEW, 0},
    };
    int rc = SQLITE_OK;
    for (size_t i = 0; rc == SQLITE_OK && i < sizeof settings / sizeof *settings; i++)
        rc = sqlite3_db_config(db, settings[i].id, settings[i].value, (int *)NULL);
    return rc;
}

static void conn_close(struct tni_conn *conn)
{
    if (!conn)
        return;
    sqlite3_close(conn->db);
    tn_free(conn);
}

static enum tn_status conn_open(struct tni_conn **ret_conn, struct tn_err *err)
{
    struct tni_conn *conn = tn_alloc(sizeof *conn);
    conn->is_setup = true;
    int rc = sqlite3_open_v2(":memory:", &conn->db,
                             SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_MEMORY |
                                 SQLITE_OPEN_NOMUTEX,
                             NULL);
    if (rc == SQLITE_OK)
        rc = set_config(conn->db);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(conn->db, "PRAGMA case_sensitive_like=ON; PRAGMA temp_store=MEMORY", NULL,
                          NULL, NULL);
    if (rc == SQLITE_OK)
        rc = tni_vtab_register(conn);
    if (rc == SQLITE_OK)
        rc = tni_sq_register(conn);
    if (rc == SQLITE_OK)
        rc = set_limits(conn->db);
    if (rc == SQLITE_OK)
        rc = sqlite3_set_authorizer(conn->db, authorize, conn);
    conn->is_setup = false;
    if (rc != SQLITE_OK) {
        enum tn_status st = rc == SQLITE_NOMEM ? TN_E_NOMEM : TN_E_INTERNAL;
        tn_err_set(err, st, "cannot open an SQLite connection: %s", sqlite3_errstr(rc));
        conn_close(conn);
        return st;
    }
    *ret_conn = conn;
    return TN_OK;
}

enum tn_status tni_sqlite_pool_open(int idle_max, struct tni_sqlite_pool **ret_pool,
                                    struct tn_err *err)
{
    int rc = tni_sqlite_mem_install();
    if (rc != SQLITE_OK)
        return tn_err_set(err, TN_E_INTERNAL, "cannot set up SQLite: %s", sqlite3_errstr(rc));
    if (sqlite3_libversion_number() < 3038000)
        return tn_err_set(err, TN_E_UNSUPPORTED, "SQLite %s is too old, 3.38 is needed",
                          sqlite3_libversion());
    struct tni_sqlite_pool *pool = tn_alloc(sizeof *pool);
    pthread_mutex_init(&pool->lock, NULL);
    pool->idle_max = idle_max;
    *ret_pool = pool;
    return TN_OK;
}

void tni_sqlite_pool_close(struct tni_sqlite_pool *pool)
{
    if (!pool)
        return;
    while (pool->idle) {
        struct tni_conn *conn = pool->idle;
        pool->idle = conn->next;
        conn_close(conn);
    }
    pthread_mutex_destroy(&pool->lock);
    tn_free(pool);
}

static enum tn_status pool_take(struct tni_sqlite_pool *pool, struct tni_conn **ret_conn,
                                struct tn_err *err)
{
    pthread_mutex_lock(&pool->lock);
    struct tni_conn *conn = pool->idle;
    if (conn) {
        pool->idle = conn->next;
        pool->idle_count--;
    }
    pthread_mutex_unlock(&pool->lock);
    if (!conn)
        return conn_open(ret_conn, err);
    *ret_conn = conn;
    return TN_OK;
}

static void pool_give(struct tni_sqlite_pool *pool, struct tni_conn *conn, bool is_damaged)
{
    TN_ASSERT(!conn->stmt);
    pthread_mutex_lock(&pool->lock);
    bool is_kept = !is_damaged && pool->idle_count < pool->idle_max;
    if (is_kept) {
        conn->next = pool->idle;
        pool->idle = conn;
        pool->idle_count++;
    }
    pthread_mutex_unlock(&pool->lock);
    if (!is_kept)
        conn_close(conn);
}

/* ---- errors ---- */

static int on_progress(void *ctx)
{
    struct tni_statement *stmt = ctx;
    struct tn_err err = TN_ERR_INIT;
    enum tn_status st = tn_budget_check(stmt->ctx->budget, &err);
    if (tn_failed(st))
        tni_statement_fail(stmt, st, &err);
    return tn_failed(st);
}

/* What SQLite says when a statement is larger than it can plan. */
static bool is_limit_message(const char *message)
{
    static const char *const starts[] = {"too many",        "at most",
                                         "Expression tree", "parser stack overflow",
                                         "string or blob",  "statement too long"};
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++)
        if (strncmp(message, starts[i], strlen(starts[i])) == 0)
            return true;
    return false;
}

static enum tn_status sqlite_failure(struct tni_statement *stmt, int rc, struct tn_err *err)
{
    if (stmt->err.code != TN_OK) {
        if (err)
            *err = stmt->err;
        return stmt->err.code;
    }
    if (rc == SQLITE_NOMEM) {
        struct tn_budget *budget = stmt->ctx->budget;
        tn_err_at(err, TN_E_NOMEM, "EXCEEDED_LOCAL_MEMORY_LIMIT", 0, 0,
                  "query exceeded its memory limit of %lld bytes",
                  (long long)(budget ? budget->memory_bytes_max : 0));
        tn_err_hint(err, "raise sql.memory.bytes, or narrow the query with WHERE or LIMIT");
        return TN_E_NOMEM;
    }
    const char *message = sqlite3_errmsg(stmt->conn->db);
    if (rc == SQLITE_TOOBIG || is_limit_message(message))
        return tn_err_at(err, TN_E_LIMIT, "QUERY_TOO_COMPLEX", 0, 0, "query is too large: %s",
                         message);
    return tn_err_set(err, TN_E_INTERNAL, "generated SQL failed: %s", message);
}

/* ---- results ---- */

static enum tn_status read_row(struct tni_statement *stmt, sqlite3_stmt *sql,
                               const struct tn_schema *schema, struct tn_colbuilder **cells,
                               struct tn_err *err)
{
    for (uint32_t i = 0; i < schema->fields_count; i++) {
        struct tn_value value;
        sqlite3_value *in = sqlite3_column_value(sql, (int)i);
        if (!tni_sq_value(in, schema->fields[i].type, &stmt->scratch, &value))
            return tn_err_set(err, TN_E_INTERNAL,
                              "column '%.*s' holds a value of another kind than its type",
                              TN_STR_FMT(schema->fields[i].name));
        tn_colbuilder_add(cells[i], &value);
    }
    return TN_OK;
}

/* Up to rows_max rows as one batch; TN_END when there are none. *io_is_done: the last row was read
 * (another step would start the statement again). */
static enum tn_status read_batch(struct tni_statement *stmt, sqlite3_stmt *sql,
                                 const struct tn_schema *schema, uint32_t rows_max,
                                 struct tn_arena *arena, bool *io_is_done,
                                 struct tn_batch **ret_batch, struct tn_err *err)
{
    struct tn_colbuilder **cells =
        TN_ARENA_ARRAY(arena, struct tn_colbuilder *, (size_t)schema->fields_count + 1);
    for (uint32_t i = 0; i < schema->fields_count; i++)
        cells[i] = tn_colbuilder_new(schema->fields[i].type, arena);
    uint32_t count = 0;
    int rc = SQLITE_ROW;
    if (*io_is_done)
        return TN_END;
    while (count < rows_max && (rc = sqlite3_step(sql)) == SQLITE_ROW) {
        tn_arena_reset(&stmt->scratch);
        TN_TRY(read_row(stmt, sql, schema, cells, err));
        count++;
        if (arena->bytes_total > (size_t)8 << 20)
            break;
    }
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        return sqlite_failure(stmt, rc, err);
    *io_is_done = rc == SQLITE_DONE;
    if (count == 0)
        return TN_END;
    struct tn_batch *batch = tn_batch_new(schema, count, arena);
    for (uint32_t i = 0; i < schema->fields_count; i++)
        tn_colbuilder_finish(cells[i], &batch->columns[i]);
    *ret_batch = batch;
    return TN_OK;
}

static enum tn_status run_rows(struct tni_statement *stmt, sqlite3_stmt *sql,
                               const struct tn_schema *schema, struct tn_rows *rows,
                               struct tn_err *err)
{
    struct tn_arena arena;
    uint32_t rows_max = ROWS_FIRST;
    TN_TRY(rows->columns(rows, schema, err));
    tn_arena_init(&arena, 0);
    enum tn_status st;
    struct tn_batch *batch = NULL;
    bool is_done = false;
    while ((st = read_batch(stmt, sql, schema, rows_max, &arena, &is_done, &batch, err)) == TN_OK) {
        st = rows->batch(rows, batch, err);
        if (tn_failed(st))
            break;
        tn_arena_reset(&arena);
        rows_max = TN_BATCH_ROWS_MAX;
    }
    tn_arena_release(&arena);
    return st == TN_END ? TN_OK : st;
}

/* ---- statements ---- */

static enum tn_status prepare(struct tni_statement *stmt, sqlite3_stmt **ret_sql,
                              struct tn_err *err)
{
    TN_TRY(tni_sq_functions(stmt, err));
    TN_TRY(tni_vtab_prepare(stmt, err));
    sqlite3_progress_handler(stmt->conn->db, PROGRESS_OPS, on_progress, stmt);
    int rc = sqlite3_prepare_v2(stmt->conn->db, stmt->gen.sql.ptr, (int)stmt->gen.sql.len, ret_sql,
                                NULL);
    for (uint32_t i = 0; rc == SQLITE_OK && i < stmt->gen.binds_count; i++)
        rc = tni_sq_bind(*ret_sql, (int)i + 1, &stmt->gen.binds[i]);
    return rc == SQLITE_OK ? TN_OK : sqlite_failure(stmt, rc, err);
}

static enum tn_status begin(struct tni_exec_ctx *ctx, const struct tn_query *query,
                            struct tni_statement *stmt, struct tn_err *err)
{
    *stmt = (struct tni_statement){.ctx = ctx};
    tn_arena_init(&stmt->scratch, tni_memory_max(ctx));
    enum tn_status st = TN_OK;
    if (!ctx->pool)
        return tn_err_set(err, TN_E_INTERNAL, "no SQLite connections were set up");
    TN_GOTO(tni_gen_query(ctx, query, &stmt->gen, err));
    TN_GOTO(pool_take(ctx->pool, &stmt->conn, err));
    stmt->conn->stmt = stmt;
    return TN_OK;
fail:
    tni_gen_release(&stmt->gen);
    tn_arena_release(&stmt->scratch);
    return st;
}

static void end(struct tni_statement *stmt, sqlite3_stmt *sql)
{
    sqlite3_finalize(sql);
    sqlite3_progress_handler(stmt->conn->db, 0, NULL, NULL);
    tni_vtab_release(stmt);
    bool is_damaged = stmt->err.code == TN_E_NOMEM;
    stmt->conn->stmt = NULL;
    pool_give(stmt->ctx->pool, stmt->conn, is_damaged);
    tni_gen_release(&stmt->gen);
    tn_arena_release(&stmt->scratch);
}

enum tn_status tni_sqlite_run(struct tni_exec_ctx *ctx, const struct tn_query *query,
                              struct tn_rows *rows, struct tn_err *err)
{
    struct tni_statement stmt;
    sqlite3_stmt *sql = NULL;
    TN_TRY(begin(ctx, query, &stmt, err));
    tni_sqlite_mem_charge(ctx->budget);
    enum tn_status st = prepare(&stmt, &sql, err);
    if (!tn_failed(st))
        st = run_rows(&stmt, sql, query->schema, rows, err);
    if (st == TN_E_NOMEM)
        stmt.err.code = TN_E_NOMEM;
    end(&stmt, sql);
    tni_sqlite_mem_charge(NULL);
    return st;
}

enum tn_status tni_sqlite_explain(struct tni_exec_ctx *ctx, const struct tn_query *query,
                                  struct tn_buf *buf, struct tn_err *err)
{
    struct tni_statement stmt;
    sqlite3_stmt *sql = NULL;
    TN_TRY(begin(ctx, query, &stmt, err));
    enum tn_status st = prepare(&stmt, &sql, err);
    if (!tn_failed(st)) {
        tn_buf_add_str(buf, tn_buf_str(&stmt.gen.sql));
        tn_buf_add_byte(buf, '\n');
        tni_vtab_explain(&stmt, buf);
        for (uint32_t i = 0; i < stmt.gen.sites_count; i++) {
            tn_buf_printf(buf, "%c%u: ", stmt.gen.sites[i].is_volatile ? 'x' : 'f', i);
            tn_expr_print(stmt.gen.sites[i].expr, buf);
            tn_buf_add_byte(buf, '\n');
        }
    }
    end(&stmt, sql);
    return st;
}
