/* Simple operators: scan, values, compute, limit, rename, union. Contract: sql/exec_op.h.
 *
 * Compute filters first, gathers only the columns its expressions read, then evaluates them: a
 * filter that keeps all rows copies nothing.
 *
 * Ownership, threads: see exec_op.h */
#include "sql/exec_op.h"

#include <inttypes.h>

#include "stream/base/mem.h"

enum tn_status tni_op_next(struct tni_op *op, struct tn_batch **ret_batch, struct tn_err *err)
{
    enum tn_status st = op->type->next(op, ret_batch, err);
    TN_DCHECK(st != TN_OK || (*ret_batch)->rows_count > 0);
    return st;
}

void tni_op_close(struct tni_op *op)
{
    while (op) {
        struct tni_op *input = op->input;
        tni_op_close(op->input_2);
        (void)tni_op_charge(op, 0, NULL);
        op->type->close(op);
        op = input;
    }
}

enum tn_status tni_op_charge(struct tni_op *op, size_t bytes, struct tn_err *err)
{
    int64_t delta = (int64_t)bytes - op->charged;
    if (delta == 0)
        return TN_OK;
    op->charged = (int64_t)bytes;
    return tn_budget_charge(op->ctx->budget, delta, err);
}

void tni_op_explain(const struct tni_op *op, int depth, struct tn_buf *buf)
{
    for (int i = 0; i < depth; i++)
        tn_buf_add_text(buf, "  ");
    if (op->type->explain)
        op->type->explain(op, buf);
    else
        tn_buf_add_text(buf, op->type->name);
    tn_buf_add_byte(buf, '\n');
    if (op->input)
        tni_op_explain(op->input, depth + 1, buf);
    if (op->input_2)
        tni_op_explain(op->input_2, depth + 1, buf);
}

static void op_close_plain(struct tni_op *op)
{
    tn_free(op);
}

size_t tni_memory_max(const struct tni_exec_ctx *ctx)
{
    int64_t max = ctx->budget ? ctx->budget->memory_bytes_max : 0;
    return max > 0 ? (size_t)max : 0;
}

/* ---- scan ---- */

struct op_scan {
    struct tni_op base;
    const struct tni_tscan_spec *spec;
    struct tni_tscan *scan;
};

static enum tn_status scan_next(struct tni_op *base, struct tn_batch **ret_batch,
                                struct tn_err *err)
{
    struct op_scan *op = (struct op_scan *)base;
    if (!op->scan)
        TN_TRY(tni_tscan_open(base->ctx, op->spec, &op->scan, err));
    return tni_tscan_next(op->scan, ret_batch, err);
}

static void scan_close(struct tni_op *base)
{
    tni_tscan_close(((struct op_scan *)base)->scan);
    tn_free(base);
}

static void scan_explain(const struct tni_op *base, struct tn_buf *buf)
{
    tn_buf_add_text(buf, "scan ");
    tni_tscan_explain(base->ctx, ((const struct op_scan *)base)->spec, buf);
}

static const struct tni_op_type scan_type = {"scan", scan_next, scan_close, scan_explain};

struct tni_op *tni_op_scan(struct tni_exec_ctx *ctx, const struct tni_tscan_spec *spec)
{
    struct op_scan *op = tn_alloc(sizeof *op);
    op->base.type = &scan_type;
    op->base.ctx = ctx;
    op->base.schema = tni_tscan_schema(spec->object, ctx->arena);
    op->spec = spec;
    return &op->base;
}

const struct tni_tscan_spec *tni_op_scan_spec(const struct tni_op *base)
{
    return ((const struct op_scan *)base)->spec;
}

void tni_op_scan_partial(struct tni_op *base, const struct tni_partial *partial)
{
    struct op_scan *op = (struct op_scan *)base;
    struct tni_tscan_spec *spec = TN_ARENA_NEW(base->ctx->arena, struct tni_tscan_spec);
    *spec = *op->spec;
    spec->partial = partial;
    op->spec = spec;
}

enum tn_status tni_op_scan_states(struct tni_op *base, struct tn_batch **ret_batch,
                                  struct tn_err *err)
{
    struct op_scan *op = (struct op_scan *)base;
    return op->scan ? tni_tscan_next_states(op->scan, ret_batch, err) : TN_END;
}

/* ---- values ---- */

struct op_values {
    struct tni_op base;
    struct tn_arena arena;
    uint32_t rows_count, next;
    struct tn_expr *const *const *rows;
};

static enum tn_status values_cell(struct op_values *op, const struct tn_expr *expr,
                                  struct tn_colbuilder *builder, struct tn_err *err)
{
    if (expr->kind == TN_E_CONST) {
        struct tn_value value = expr->value;
        tn_colbuilder_add(builder, &value);
        return TN_OK;
    }
    struct tn_batch one = {.schema = &(struct tn_schema){0, NULL}, .rows_count = 1};
    struct tni_eval eval;
    struct tn_column col;
    TN_TRY(tni_eval_init(&eval, expr, &op->arena, err));
    TN_TRY(tni_eval_run(&eval, &one, &op->arena, &col, err));
    struct tn_value value = tn_column_value(&col, 0, &op->arena);
    tn_colbuilder_add(builder, &value);
    return TN_OK;
}

static enum tn_status values_next(struct tni_op *base, struct tn_batch **ret_batch,
                                  struct tn_err *err)
{
    struct op_values *op = (struct op_values *)base;
    uint32_t left = op->rows_count - op->next;
    uint32_t count = left < TN_BATCH_ROWS_MAX ? left : TN_BATCH_ROWS_MAX;
    if (count == 0)
        return TN_END;
    TN_TRY(tn_budget_check(base->ctx->budget, err));
    tn_arena_reset(&op->arena);
    struct tn_batch *batch = tn_batch_new(base->schema, count, &op->arena);
    for (uint32_t c = 0; c < base->schema->fields_count; c++) {
        struct tn_colbuilder *builder = tn_colbuilder_new(base->schema->fields[c].type, &op->arena);
        for (uint32_t i = 0; i < count; i++)
            TN_TRY(values_cell(op, op->rows[op->next + i][c], builder, err));
        tn_colbuilder_finish(builder, &batch->columns[c]);
    }
    op->next += count;
    *ret_batch = batch;
    return tni_op_charge(base, op->arena.bytes_total, err);
}

static void values_close(struct tni_op *base)
{
    tn_arena_release(&((struct op_values *)base)->arena);
    tn_free(base);
}

static void values_explain(const struct tni_op *base, struct tn_buf *buf)
{
    uint32_t count = ((const struct op_values *)base)->rows_count;
    tn_buf_printf(buf, "values (%" PRIu32 " %s)", count, count == 1 ? "row" : "rows");
}

static const struct tni_op_type values_type = {"values", values_next, values_close, values_explain};

enum tn_status tni_op_values(struct tni_exec_ctx *ctx, const struct tn_schema *schema,
                             uint32_t rows_count, struct tn_expr *const *const *rows,
                             struct tni_op **ret_op, struct tn_err *err)
{
    (void)err;
    struct op_values *op = tn_alloc(sizeof *op);
    op->base.type = &values_type;
    op->base.ctx = ctx;
    op->base.schema = schema;
    op->rows_count = rows_count;
    op->rows = rows;
    tn_arena_init(&op->arena, 0);
    *ret_op = &op->base;
    return TN_OK;
}

/* ---- compute ---- */

struct op_compute {
    struct tni_op base;
    struct tn_arena arena;
    bool has_filter;
    struct tni_eval filter;
    const struct tn_expr *filter_expr;
    struct tni_eval *exprs;
    bool *reads; /* input columns the expressions read */
};

/* The kept rows of the columns that the expressions read; the rest is absent. */
static struct tn_batch *gather(struct op_compute *op, const struct tn_batch *in,
                               const uint32_t *rows, uint32_t count)
{
    struct tn_batch *out = tn_batch_new(in->schema, count, &op->arena);
    for (uint32_t c = 0; c < in->schema->fields_count; c++) {
        if (op->reads[c])
            tn_column_gather(&in->columns[c], rows, count, &out->columns[c], &op->arena);
        else
            out->columns[c] = (struct tn_column){
                .type = in->schema->fields[c].type, .rows_count = count, .is_absent = true};
    }
    return out;
}

static enum tn_status compute_filter(struct op_compute *op, struct tn_batch **batch,
                                     struct tn_err *err)
{
    uint32_t *rows = tn_arena_alloc(&op->arena, (*batch)->rows_count * sizeof *rows);
    uint32_t count;
    TN_TRY(tni_eval_select(&op->filter, *batch, &op->arena, rows, &count, err));
    if (count == 0)
        return TN_AGAIN;
    if (count < (*batch)->rows_count)
        *batch = gather(op, *batch, rows, count);
    return TN_OK;
}

static enum tn_status compute_next(struct tni_op *base, struct tn_batch **ret_batch,
                                   struct tn_err *err)
{
    struct op_compute *op = (struct op_compute *)base;
    struct tn_batch *in;
    enum tn_status st;
    do {
        tn_arena_reset(&op->arena);
        st = tni_op_next(base->input, &in, err);
        if (st != TN_OK)
            return st;
        if (op->has_filter)
            st = compute_filter(op, &in, err);
    } while (st == TN_AGAIN);
    if (st != TN_OK)
        return st;
    struct tn_batch *out = tn_batch_new(base->schema, in->rows_count, &op->arena);
    for (uint32_t c = 0; c < base->schema->fields_count; c++)
        TN_TRY(tni_eval_run(&op->exprs[c], in, &op->arena, &out->columns[c], err));
    *ret_batch = out;
    return tni_op_charge(base, op->arena.bytes_total, err);
}

static void compute_close(struct tni_op *base)
{
    tn_arena_release(&((struct op_compute *)base)->arena);
    tn_free(base);
}

static void compute_explain(const struct tni_op *base, struct tn_buf *buf)
{
    const struct op_compute *op = (const struct op_compute *)base;
    if (op->has_filter) {
        tn_buf_add_text(buf, "filter ");
        tn_expr_print(op->filter_expr, buf);
        tn_buf_add_text(buf, ", ");
    }
    tn_buf_add_text(buf, "project");
    for (uint32_t c = 0; c < base->schema->fields_count; c++) {
        tn_buf_add_text(buf, c ? ", " : " ");
        tn_expr_print(op->exprs[c].expr, buf);
    }
}

static const struct tni_op_type compute_type = {"compute", compute_next, compute_close,
                                                compute_explain};

enum tn_status tni_op_compute(struct tni_op *input, const struct tn_expr *filter,
                              const struct tn_schema *schema, struct tn_expr *const *exprs,
                              struct tni_op **ret_op, struct tn_err *err)
{
    struct op_compute *op = tn_alloc(sizeof *op);
    struct tn_arena *arena = input->ctx->arena;
    op->base.type = &compute_type;
    op->base.ctx = input->ctx;
    op->base.schema = schema;
    op->base.input = input;
    tn_arena_init(&op->arena, tni_memory_max(input->ctx));
    op->reads = TN_ARENA_ARRAY(arena, bool, input->schema->fields_count + 1);
    op->exprs = TN_ARENA_ARRAY(arena, struct tni_eval, schema->fields_count + 1);
    enum tn_status st = TN_OK;
    for (uint32_t c = 0; c < schema->fields_count; c++) {
        TN_GOTO(tni_eval_init(&op->exprs[c], exprs[c], arena, err));
        tn_expr_columns(exprs[c], 0, op->reads);
    }
    if (filter) {
        op->has_filter = true;
        op->filter_expr = filter;
        TN_GOTO(tni_eval_init(&op->filter, filter, arena, err));
    }
    *ret_op = &op->base;
    return TN_OK;
fail:
    tni_op_close(&op->base);
    return st;
}

/* ---- limit ---- */

struct op_limit {
    struct tni_op base;
    struct tn_arena arena;
    int64_t limit, offset; /* as given */
    int64_t left, skip;    /* rows still wanted, rows still to skip */
};

static struct tn_batch *slice(struct op_limit *op, const struct tn_batch *in, uint32_t from,
                              uint32_t count)
{
    uint32_t *rows = tn_arena_alloc(&op->arena, count * sizeof *rows);
    for (uint32_t i = 0; i < count; i++)
        rows[i] = from + i;
    return tn_batch_gather(in, rows, count, &op->arena);
}

static enum tn_status limit_next(struct tni_op *base, struct tn_batch **ret_batch,
                                 struct tn_err *err)
{
    struct op_limit *op = (struct op_limit *)base;
    while (op->left > 0) {
        struct tn_batch *in;
        enum tn_status st = tni_op_next(base->input, &in, err);
        if (st != TN_OK)
            return st;
        if (op->skip >= in->rows_count) {
            op->skip -= in->rows_count;
            continue;
        }
        uint32_t from = (uint32_t)op->skip;
        uint32_t count = in->rows_count - from;
        if (count > op->left)
            count = (uint32_t)op->left;
        op->skip = 0;
        op->left -= count;
        tn_arena_reset(&op->arena);
        *ret_batch = count == in->rows_count ? in : slice(op, in, from, count);
        return TN_OK;
    }
    return TN_END;
}

static void limit_close(struct tni_op *base)
{
    tn_arena_release(&((struct op_limit *)base)->arena);
    tn_free(base);
}

static void limit_explain(const struct tni_op *base, struct tn_buf *buf)
{
    const struct op_limit *op = (const struct op_limit *)base;
    tn_buf_add_text(buf, "limit");
    if (op->limit >= 0)
        tn_buf_printf(buf, " %" PRId64, op->limit);
    if (op->offset)
        tn_buf_printf(buf, " offset %" PRId64, op->offset);
}

static const struct tni_op_type limit_type = {"limit", limit_next, limit_close, limit_explain};

struct tni_op *tni_op_limit(struct tni_op *input, int64_t limit, int64_t offset)
{
    struct op_limit *op = tn_alloc(sizeof *op);
    op->base.type = &limit_type;
    op->base.ctx = input->ctx;
    op->base.schema = input->schema;
    op->base.input = input;
    op->limit = limit;
    op->offset = offset;
    op->left = limit < 0 ? INT64_MAX : limit;
    op->skip = offset;
    tn_arena_init(&op->arena, 0);
    return &op->base;
}

/* ---- rename ---- */

struct op_rename {
    struct tni_op base;
    struct tn_batch batch;
};

static enum tn_status rename_next(struct tni_op *base, struct tn_batch **ret_batch,
                                  struct tn_err *err)
{
    struct op_rename *op = (struct op_rename *)base;
    struct tn_batch *in;
    enum tn_status st = tni_op_next(base->input, &in, err);
    if (st != TN_OK)
        return st;
    op->batch = *in;
    op->batch.schema = base->schema;
    *ret_batch = &op->batch;
    return TN_OK;
}

static void rename_explain(const struct tni_op *base, struct tn_buf *buf)
{
    tn_buf_printf(buf, "columns 1 to %" PRIu32, base->schema->fields_count);
}

static const struct tni_op_type rename_type = {"columns", rename_next, op_close_plain,
                                               rename_explain};

struct tni_op *tni_op_rename(struct tni_op *input, const struct tn_schema *schema)
{
    struct op_rename *op = tn_alloc(sizeof *op);
    op->base.type = &rename_type;
    op->base.ctx = input->ctx;
    op->base.schema = schema;
    op->base.input = input;
    return &op->base;
}

/* ---- union all ---- */

struct op_union {
    struct tni_op base;
    bool is_left_done;
    struct tn_batch batch;
};

static enum tn_status union_next(struct tni_op *base, struct tn_batch **ret_batch,
                                 struct tn_err *err)
{
    struct op_union *op = (struct op_union *)base;
    struct tn_batch *in;
    enum tn_status st = TN_END;
    if (!op->is_left_done)
        st = tni_op_next(base->input, &in, err);
    if (st == TN_END) {
        op->is_left_done = true;
        st = tni_op_next(base->input_2, &in, err);
    }
    if (st != TN_OK)
        return st;
    op->batch = *in;
    op->batch.schema = base->schema;
    *ret_batch = &op->batch;
    return TN_OK;
}

static const struct tni_op_type union_type = {"union all", union_next, op_close_plain, NULL};

struct tni_op *tni_op_union(struct tni_op *left, struct tni_op *right,
                            const struct tn_schema *schema)
{
    struct op_union *op = tn_alloc(sizeof *op);
    op->base.type = &union_type;
    op->base.ctx = left->ctx;
    op->base.schema = schema;
    op->base.input = left;
    op->base.input_2 = right;
    return &op->base;
}
