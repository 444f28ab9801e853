/* Functions of the generated SQL: f<site>, x<site> (scalar; x may differ between calls), a<site>
 * (aggregates, usable as window functions), single (scalar subqueries).
 *
 * A scalar call fills one row of argument columns and runs the site's program: the same kernels as
 * everywhere. An aggregate keeps the state of its descriptor in SQLite's aggregate context; where a
 * window's start moves and the descriptor cannot retract, its rows are kept and the state is made
 * again when it is asked for.
 *
 * A connection registers the names once and keeps them; what a name means is looked up in the
 * running statement.
 *
 * Ownership, threads: see exec_sqlite_int.h */
#include "sql/exec_sqlite_int.h"

#include <inttypes.h>
#include <stdio.h>

#include "stream/base/mem.h"

/* What sqlite3_user_data gives: the connection and the number in the name. */
struct handle {
    struct tni_conn *conn;
    uint32_t number;
};

int tni_statement_fail(struct tni_statement *stmt, enum tn_status st, const struct tn_err *err)
{
    if (stmt->err.code == TN_OK) {
        stmt->err = *err;
        stmt->err.code = st;
    }
    return SQLITE_ERROR;
}

static void fail_call(sqlite3_context *context, struct tni_statement *stmt, enum tn_status st,
                      const struct tn_err *err)
{
    tni_statement_fail(stmt, st, err);
    sqlite3_result_error(context, "tarn", -1);
}

static void fail_kind(sqlite3_context *context, struct tni_statement *stmt)
{
    struct tn_err err = TN_ERR_INIT;
    tn_err_set(&err, TN_E_INTERNAL, "a value of another kind reached a function");
    fail_call(context, stmt, TN_E_INTERNAL, &err);
}

/* ---- scalar sites ---- */

static void call_site(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    const struct handle *handle = sqlite3_user_data(context);
    struct tni_statement *stmt = handle->conn->stmt;
    TN_ASSERT(stmt && handle->number < stmt->gen.sites_count);
    struct tni_call_site *call = &stmt->sites[handle->number];
    TN_ASSERT((uint32_t)argc == call->site->args_count);
    tn_arena_reset(&stmt->scratch);
    for (int i = 0; i < argc; i++) {
        if (!tni_sq_column(argv[i], call->site->arg_types[i], &stmt->scratch, &call->cells[i],
                           &call->batch.columns[i])) {
            fail_kind(context, stmt);
            return;
        }
    }
    struct tn_result result;
    tn_program_run(call->program, &call->batch, &stmt->scratch, &result);
    if (result.errors_count) {
        struct tn_err err = TN_ERR_INIT;
        enum tn_status st = tni_row_error(&result.error, &err);
        fail_call(context, stmt, st, &err);
        return;
    }
    tni_sq_result(context, &result.col, 0, false);
}

static enum tn_status prepare_site(struct tni_statement *stmt, uint32_t number, struct tn_err *err)
{
    struct tn_arena *arena = stmt->ctx->arena;
    struct tni_call_site *call = &stmt->sites[number];
    call->site = &stmt->gen.sites[number];
    uint32_t count = call->site->args_count;
    struct tn_field *fields = TN_ARENA_ARRAY(arena, struct tn_field, (size_t)count + 1);
    for (uint32_t i = 0; i < count; i++)
        fields[i].type = call->site->arg_types[i];
    call->schema = (struct tn_schema){count, fields};
    call->cells = TN_ARENA_ARRAY(arena, struct tni_cell, (size_t)count + 1);
    call->batch = (struct tn_batch){
        .schema = &call->schema,
        .rows_count = 1,
        .columns = TN_ARENA_ARRAY(arena, struct tn_column, (size_t)count + 1),
        .arena = &stmt->scratch,
    };
    return tn_expr_compile(call->site->expr, arena, &call->program, err);
}

/* ---- aggregates ---- */

/* Rows of a moving window, oldest first: columns_count values each, copied. */
struct window_rows {
    struct tn_value *values;
    uint32_t first, count, cap; /* in rows */
};

/* In SQLite's aggregate context, zeroed at first; the state follows. */
struct accumulator {
    struct tni_statement *stmt;
    const struct tni_agg_site *site;
    struct window_rows rows;
    int64_t charged, added; /* bytes charged; bytes of arguments since then */
    bool is_dirty;          /* the state lacks what happened to `rows` */
};

static void *state_of(struct accumulator *acc)
{
    return acc + 1;
}

static bool keeps_rows(const struct tni_agg_site *site)
{
    return site->is_moving &&
           (!(site->call.agg->flags & TN_AGG_RETRACT) ||
            (site->call.args_count && site->call.arg_types[0]->kind == TN_K_DOUBLE));
}

static struct accumulator *accumulator(sqlite3_context *context, bool is_made)
{
    const struct handle *handle = sqlite3_user_data(context);
    struct tni_statement *stmt = handle->conn->stmt;
    TN_ASSERT(stmt && handle->number < stmt->gen.aggs_count);
    const struct tni_agg_site *site = &stmt->gen.aggs[handle->number];
    size_t bytes = sizeof(struct accumulator) + site->call.state_bytes;
    struct accumulator *acc = sqlite3_aggregate_context(context, is_made ? (int)bytes : 0);
    if (acc && !acc->stmt) {
        acc->stmt = stmt;
        acc->site = site;
        site->call.agg->init(&site->call, state_of(acc));
    }
    return acc;
}

/* Argument columns of one row; false when the row does not count (NULL). */
static bool agg_args(sqlite3_context *context, struct accumulator *acc, sqlite3_value **argv,
                     struct tni_cell *cells, struct tn_column *cols)
{
    const struct tn_agg_call *call = &acc->site->call;
    for (uint32_t i = 0; i < call->args_count; i++) {
        if (!(call->agg->flags & TN_AGG_NULLS) && sqlite3_value_type(argv[i]) == SQLITE_NULL)
            return false;
        if (!tni_sq_column(argv[i], call->arg_types[i], &acc->stmt->scratch, &cells[i], &cols[i])) {
            fail_kind(context, acc->stmt);
            return false;
        }
    }
    return true;
}

static size_t argument_bytes(const struct tn_column *cols, uint32_t count)
{
    size_t bytes = 16;
    for (uint32_t i = 0; i < count; i++)
        bytes += tn_kind_is_varlen(cols[i].type->kind) ? tn_column_str(&cols[i], 0).len : 16;
    return bytes;
}

/* Asking a state for its size may take as long as it is large: done when it can have grown by an
 * eighth. */
static void charge_state(sqlite3_context *context, struct accumulator *acc, size_t bytes_added)
{
    const struct tn_agg_call *call = &acc->site->call;
    acc->added += (int64_t)bytes_added;
    if ((!call->agg->bytes_extra && !acc->rows.cap) || acc->added < 4096 + acc->charged / 8)
        return;
    int64_t bytes =
        (int64_t)acc->rows.cap * (int64_t)sizeof(struct tn_value) * (int64_t)call->args_count;
    if (call->agg->bytes_extra)
        bytes += (int64_t)call->agg->bytes_extra(call, state_of(acc));
    struct tn_err err = TN_ERR_INIT;
    int64_t delta = bytes - acc->charged;
    acc->charged = bytes;
    acc->added = 0;
    enum tn_status st = tn_budget_charge(acc->stmt->ctx->budget, delta, &err);
    if (tn_failed(st))
        fail_call(context, acc->stmt, st, &err);
}

/* Rows keep copies of their text; nested values are kept as their bytes would be too rare to tune
 * for. */
static struct tn_value copy_value(const struct tn_value *value)
{
    struct tn_value copy = *value;
    if (value->is_null)
        return copy;
    if (tn_kind_is_varlen(value->type->kind)) {
        copy.s.ptr = tn_strndup(value->s.len ? value->s.ptr : "", value->s.len);
    } else if (tn_kind_is_nested(value->type->kind)) {
        copy.list.items = tn_alloc_array((size_t)value->list.count + 1, sizeof copy);
        for (uint32_t i = 0; i < value->list.count; i++)
            copy.list.items[i] = copy_value(&value->list.items[i]);
    }
    return copy;
}

static void free_value(struct tn_value *value)
{
    if (value->is_null)
        return;
    if (tn_kind_is_varlen(value->type->kind)) {
        union {
            const char *in;
            char *out;
        } owned = {.in = value->s.ptr};
        tn_free(owned.out);
    } else if (tn_kind_is_nested(value->type->kind)) {
        for (uint32_t i = 0; i < value->list.count; i++)
            free_value(&value->list.items[i]);
        tn_free(value->list.items);
    }
}

static void keep_row(struct accumulator *acc, const struct tn_column *cols)
{
    struct window_rows *rows = &acc->rows;
    uint32_t columns = acc->site->call.args_count;
    if (rows->first + rows->count == rows->cap) {
        if (rows->first > rows->count) {
            memmove(rows->values, rows->values + (size_t)rows->first * columns,
                    (size_t)rows->count * columns * sizeof *rows->values);
            rows->first = 0;
        } else {
            rows->cap = rows->cap ? rows->cap * 2 : 16;
            rows->values =
                tn_realloc(rows->values, ((size_t)rows->cap * columns + 1) * sizeof *rows->values);
        }
    }
    struct tn_value *to = rows->values + (size_t)(rows->first + rows->count++) * columns;
    for (uint32_t i = 0; i < columns; i++) {
        struct tn_value value = tn_column_value(&cols[i], 0, &acc->stmt->scratch);
        to[i] = copy_value(&value);
    }
    acc->is_dirty = true;
}

static void drop_row(struct accumulator *acc)
{
    struct window_rows *rows = &acc->rows;
    uint32_t columns = acc->site->call.args_count;
    if (!rows->count)
        return;
    for (uint32_t i = 0; i < columns; i++)
        free_value(&rows->values[(size_t)rows->first * columns + i]);
    rows->first++;
    rows->count--;
    acc->is_dirty = true;
}

static void release_state(struct accumulator *acc)
{
    const struct tn_agg_call *call = &acc->site->call;
    if (call->agg->release)
        call->agg->release(call, state_of(acc));
}

/* Make the state again from the kept rows. */
static void refresh(struct accumulator *acc)
{
    const struct tn_agg_call *call = &acc->site->call;
    if (!acc->is_dirty)
        return;
    release_state(acc);
    memset(state_of(acc), 0, call->state_bytes);
    call->agg->init(call, state_of(acc));
    tn_arena_reset(&acc->stmt->scratch);
    struct tn_column cols[4];
    for (uint32_t i = 0; i < call->args_count; i++) {
        struct tn_colbuilder *builder = tn_colbuilder_new(call->arg_types[i], &acc->stmt->scratch);
        for (uint32_t k = 0; k < acc->rows.count; k++)
            tn_colbuilder_add(
                builder, &acc->rows.values[(size_t)(acc->rows.first + k) * call->args_count + i]);
        tn_colbuilder_finish(builder, &cols[i]);
    }
    void **states = TN_ARENA_ARRAY(&acc->stmt->scratch, void *, (size_t)acc->rows.count + 1);
    for (uint32_t k = 0; k < acc->rows.count; k++)
        states[k] = state_of(acc);
    if (acc->rows.count)
        call->agg->update(call, cols, NULL, acc->rows.count, states);
    acc->is_dirty = false;
}

static void agg_move(sqlite3_context *context, sqlite3_value **argv, bool is_inverse)
{
    struct accumulator *acc = accumulator(context, true);
    if (!acc) {
        sqlite3_result_error_nomem(context);
        return;
    }
    struct tni_cell cells[4];
    struct tn_column cols[4];
    tn_arena_reset(&acc->stmt->scratch);
    if (!agg_args(context, acc, argv, cells, cols))
        return;
    const struct tn_agg_call *call = &acc->site->call;
    size_t bytes_added = argument_bytes(cols, call->args_count);
    void *states[1] = {state_of(acc)};
    if (keeps_rows(acc->site)) {
        if (is_inverse)
            drop_row(acc);
        else
            keep_row(acc, cols);
    } else if (is_inverse) {
        call->agg->retract(call, cols, NULL, 1, states);
    } else {
        call->agg->update(call, cols, NULL, 1, states);
    }
    charge_state(context, acc, bytes_added);
}

static void agg_step(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    (void)argc;
    agg_move(context, argv, false);
}

static void agg_inverse(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    (void)argc;
    agg_move(context, argv, true);
}

static void agg_result(sqlite3_context *context, struct accumulator *acc)
{
    const struct tn_agg_call *call = &acc->site->call;
    struct tn_err err = TN_ERR_INIT;
    void *states[1] = {state_of(acc)};
    struct tn_column col;
    refresh(acc);
    enum tn_status st = call->agg->error ? call->agg->error(call, states[0], &err) : TN_OK;
    if (tn_failed(st)) {
        if (!err.line) {
            err.line = acc->site->expr->line;
            err.col = acc->site->expr->col;
        }
        fail_call(context, acc->stmt, st, &err);
        return;
    }
    tn_arena_reset(&acc->stmt->scratch);
    call->agg->final(call, states, 1, &col, &acc->stmt->scratch);
    tni_sq_result(context, &col, 0, false);
}

static void agg_value(sqlite3_context *context)
{
    struct accumulator *acc = accumulator(context, true);
    if (acc)
        agg_result(context, acc);
    else
        sqlite3_result_error_nomem(context);
}

/* Also called to clean up after a failure: then no statement error may be added for a second time.
 */
static void agg_final(sqlite3_context *context)
{
    struct accumulator *acc = accumulator(context, true);
    if (!acc) {
        sqlite3_result_error_nomem(context);
        return;
    }
    if (acc->stmt->err.code == TN_OK)
        agg_result(context, acc);
    while (acc->rows.count)
        drop_row(acc);
    tn_free(acc->rows.values);
    release_state(acc);
    (void)tn_budget_charge(acc->stmt->ctx->budget, -acc->charged, NULL);
}

/* ---- single(x): the value of a scalar subquery ---- */

struct single {
    int64_t rows_count;
    sqlite3_value *value;
};

static void single_step(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    (void)argc;
    struct single *single = sqlite3_aggregate_context(context, sizeof *single);
    if (!single) {
        sqlite3_result_error_nomem(context);
        return;
    }
    if (single->rows_count++ == 0) {
        single->value = sqlite3_value_dup(argv[0]);
        if (!single->value)
            sqlite3_result_error_nomem(context);
        return;
    }
    const struct handle *handle = sqlite3_user_data(context);
    struct tn_err err = TN_ERR_INIT;
    tn_err_at(&err, TN_E_EVAL, "SUBQUERY_MULTIPLE_ROWS", 0, 0,
              "scalar sub-query has returned multiple rows");
    fail_call(context, handle->conn->stmt, TN_E_EVAL, &err);
}

static void single_final(sqlite3_context *context)
{
    struct single *single = sqlite3_aggregate_context(context, 0);
    if (!single || !single->value)
        return; /* NULL */
    sqlite3_result_value(context, single->value);
    sqlite3_value_free(single->value);
}

/* ---- names ---- */

#define FUNC_FLAGS (SQLITE_UTF8 | SQLITE_INNOCUOUS)

static int register_scalar(struct tni_conn *conn, uint32_t number)
{
    static const int flags[2] = {FUNC_FLAGS | SQLITE_DETERMINISTIC, FUNC_FLAGS};
    for (int i = 0; i < 2; i++) {
        char name[16];
        snprintf(name, sizeof name, "%c%" PRIu32, "fx"[i], number);
        struct handle *handle = tn_alloc(sizeof *handle);
        *handle = (struct handle){conn, number};
        int rc = sqlite3_create_function_v2(conn->db, name, -1, flags[i], handle, call_site, NULL,
                                            NULL, tn_free);
        if (rc != SQLITE_OK)
            return rc;
    }
    return SQLITE_OK;
}

static int register_aggregate(struct tni_conn *conn, uint32_t number)
{
    char name[16];
    snprintf(name, sizeof name, "a%" PRIu32, number);
    struct handle *handle = tn_alloc(sizeof *handle);
    *handle = (struct handle){conn, number};
    return sqlite3_create_window_function(conn->db, name, -1, FUNC_FLAGS | SQLITE_DETERMINISTIC,
                                          handle, agg_step, agg_final, agg_value, agg_inverse,
                                          tn_free);
}

int tni_sq_register(struct tni_conn *conn)
{
    struct handle *handle = tn_alloc(sizeof *handle);
    handle->conn = conn;
    return sqlite3_create_function_v2(conn->db, "single", 1, FUNC_FLAGS, handle, NULL, single_step,
                                      single_final, tn_free);
}

enum tn_status tni_sq_functions(struct tni_statement *stmt, struct tn_err *err)
{
    struct tni_conn *conn = stmt->conn;
    int rc = SQLITE_OK;
    for (; rc == SQLITE_OK && conn->functions_count < stmt->gen.sites_count;
         conn->functions_count++)
        rc = register_scalar(conn, conn->functions_count);
    for (; rc == SQLITE_OK && conn->aggs_count < stmt->gen.aggs_count; conn->aggs_count++)
        rc = register_aggregate(conn, conn->aggs_count);
    if (rc != SQLITE_OK)
        return tn_err_set(err, TN_E_INTERNAL, "cannot register a function: %s",
                          sqlite3_errmsg(conn->db));
    stmt->sites =
        TN_ARENA_ARRAY(stmt->ctx->arena, struct tni_call_site, (size_t)stmt->gen.sites_count + 1);
    for (uint32_t i = 0; i < stmt->gen.sites_count; i++)
        TN_TRY(prepare_site(stmt, i, err));
    return TN_OK;
}
