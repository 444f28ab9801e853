/* Choosing and running an executor. Contract: sql/exec.h.
 *
 * The native planner is asked first: it either gives a tree of operators or says why the query is
 * outside its shape; then the SQLite path takes it. Result rows are counted here, so both keep the
 * same row limit.
 *
 * Ownership, threads: see exec.h */
#include "sql/exec.h"

#include <inttypes.h>

#include "sql/exec_op.h"
#include "sql/exec_sqlite.h"
#include "sql/members_int.h"
#include "sql/zone_files.h"

enum tn_status tni_exec_pin(struct tni_exec_ctx *ctx, struct tn_pin **ret_pin, struct tn_err *err)
{
    if (!ctx->pin)
        TN_TRY(tn_engine_pin(ctx->engine, &ctx->pin, err));
    *ret_pin = ctx->pin;
    return TN_OK;
}

void tni_exec_release(struct tni_exec_ctx *ctx)
{
    if (ctx->pin)
        tn_pin_free(ctx->pin);
    ctx->pin = NULL;
    tni_gather_release(ctx);
    tni_zone_release(ctx);
    ctx->log_ends = NULL; /* lived in the statement's arena */
}

/* Counts and limits rows on their way out. */
struct counted_rows {
    struct tn_rows rows; /* first: counted_of casts back */
    struct tn_rows *out;
    struct tni_exec_ctx *ctx;
};

static enum tn_status counted_columns(struct tn_rows *rows, const struct tn_schema *schema,
                                      struct tn_err *err)
{
    struct counted_rows *counted = (struct counted_rows *)rows;
    return counted->out->columns(counted->out, schema, err);
}

static enum tn_status counted_batch(struct tn_rows *rows, const struct tn_batch *batch,
                                    struct tn_err *err)
{
    struct counted_rows *counted = (struct counted_rows *)rows;
    struct tni_exec_ctx *ctx = counted->ctx;
    ctx->rows_count += batch->rows_count;
    if (ctx->budget && ctx->budget->rows_max && ctx->rows_count > ctx->budget->rows_max) {
        tn_err_at(err, TN_E_LIMIT, "EXCEEDED_ROWS_LIMIT", 0, 0,
                  "result has more than %" PRId64 " rows", ctx->budget->rows_max);
        tn_err_hint(err, "add LIMIT, or raise sql.rows.max");
        return TN_E_LIMIT;
    }
    return counted->out->batch(counted->out, batch, err);
}

static enum tn_status run_native(struct tni_op *op, const struct tn_schema *schema,
                                 struct tn_rows *rows, struct tn_err *err)
{
    struct tn_batch *batch;
    enum tn_status st = rows->columns(rows, schema, err);
    while (!tn_failed(st) && (st = tni_op_next(op, &batch, err)) == TN_OK) {
        struct tn_batch shown = *batch;
        shown.schema = schema;
        st = rows->batch(rows, &shown, err);
    }
    return st == TN_END ? TN_OK : st;
}

/* A query without a native plan: `why` is NULL when it is wrong rather than out of shape. */
static enum tn_status no_native(const struct tni_exec_ctx *ctx, enum tn_status st, const char *why,
                                struct tn_err *err)
{
    if (st != TN_E_UNSUPPORTED || !why)
        return st;
    if (ctx->executor == TNI_EXEC_NATIVE)
        return tn_err_set(err, st, "native executor does not take a %s", why);
    return TN_OK;
}

enum tn_status tni_exec_query(struct tni_exec_ctx *ctx, const struct tn_query *query,
                              struct tn_rows *rows, struct tn_err *err)
{
    struct counted_rows counted = {{counted_columns, counted_batch}, rows, ctx};
    ctx->rows_count = 0;
    TN_TRY(tn_budget_check(ctx->budget, err));
    if (ctx->executor != TNI_EXEC_SQLITE) {
        struct tni_op *op;
        const char *why;
        enum tn_status st = tni_native_plan(ctx, query, &op, &why, err);
        if (st == TN_OK) {
            st = run_native(op, query->schema, &counted.rows, err);
            tni_op_close(op);
            return st;
        }
        TN_TRY(no_native(ctx, st, why, err));
    }
    return tni_sqlite_run(ctx, query, &counted.rows, err);
}

enum tn_status tni_exec_explain(struct tni_exec_ctx *ctx, const struct tn_query *query,
                                struct tn_buf *buf, struct tn_err *err)
{
    const char *why = "asked for";
    if (ctx->executor != TNI_EXEC_SQLITE) {
        struct tni_op *op;
        enum tn_status st = tni_native_plan(ctx, query, &op, &why, err);
        if (st == TN_OK) {
            tn_buf_add_text(buf, "executor: native\n");
            tni_op_explain(op, 0, buf);
            tni_op_close(op);
            return TN_OK;
        }
        TN_TRY(no_native(ctx, st, why, err));
    }
    tn_buf_printf(buf, "executor: sqlite (%s)\n", why);
    return tni_sqlite_explain(ctx, query, buf, err);
}
