/* Registry of aggregate functions, binding, and COUNT. Families live in agg_*.c, one const
 * descriptor per function and rule set.
 *
 * HOW TO ADD ONE: copy count_agg below into the family it belongs to, write the mandatory members
 * (bind … decode), add it to the family's list, and rows to tests/unit/test_agg.c. A state may be
 * merged, encoded and decoded at any moment.
 *
 * @thread any (immutable) */
#include "stream/agg_int.h"

#include <stdio.h>

/* ---- COUNT: the template ---- */

static enum tn_status count_bind(struct tn_agg_call *call, struct tn_arena *arena,
                                 struct tn_err *err)
{
    (void)arena;
    (void)err;
    call->type = tn_type_of(TN_K_BIGINT);
    call->state_bytes = sizeof(int64_t);
    return TN_OK;
}

static void count_init(const struct tn_agg_call *call, void *state)
{
    (void)call;
    *(int64_t *)state = 0;
}

static void count_update(const struct tn_agg_call *call, const struct tn_column *args,
                         const uint32_t *rows, uint32_t rows_count, void *const *states)
{
    (void)call;
    (void)args;
    (void)rows;
    for (uint32_t i = 0; i < rows_count; i++)
        ++*(int64_t *)states[i];
}

static void count_retract(const struct tn_agg_call *call, const struct tn_column *args,
                          const uint32_t *rows, uint32_t rows_count, void *const *states)
{
    (void)call;
    (void)args;
    (void)rows;
    for (uint32_t i = 0; i < rows_count; i++)
        --*(int64_t *)states[i];
}

static void count_merge(const struct tn_agg_call *call, void *to, const void *from)
{
    (void)call;
    *(int64_t *)to += *(const int64_t *)from;
}

static void count_final(const struct tn_agg_call *call, void *const *states, uint32_t count,
                        struct tn_column *ret_col, struct tn_arena *arena)
{
    tn_column_init(ret_col, call->type, count, false, arena);
    int64_t *values = ret_col->values;
    for (uint32_t i = 0; i < count; i++)
        values[i] = *(const int64_t *)states[i];
}

static void count_encode(const struct tn_agg_call *call, const void *state, struct tn_buf *buf)
{
    (void)call;
    tni_put_i64(buf, *(const int64_t *)state);
}

static enum tn_status count_decode(const struct tn_agg_call *call, void *state, const char *ptr,
                                   const char *end, const char **ret_next)
{
    (void)call;
    const char *next = tni_get_i64(ptr, end, state);
    if (!next)
        return TN_E_CORRUPT;
    *ret_next = next;
    return TN_OK;
}

static void count_from_final(const struct tn_agg_call *call, void *state,
                             const struct tn_column *col, uint32_t row)
{
    (void)call;
    *(int64_t *)state = tn_column_is_null(col, row) ? 0 : tn_column_i64(col, row);
}

static const struct tn_agg count_agg = {
    .name = "count",
    .flags = TN_AGG_STREAM | TN_AGG_QUERY | TN_AGG_RETRACT | TN_AGG_INVERTIBLE | TN_AGG_EXACT,
    .args_min = 0,
    .args_max = 1,
    .bind = count_bind,
    .init = count_init,
    .update = count_update,
    .retract = count_retract,
    .merge = count_merge,
    .final = count_final,
    .encode = count_encode,
    .decode = count_decode,
    .from_final = count_from_final,
    .help = "number of rows; with an argument, of rows where it is not NULL",
};

/* ---- registry ---- */

static const struct tn_agg *const base_aggs[] = {&count_agg, NULL};

static const struct tn_agg *const *const families[] = {
    base_aggs,     tni_aggs_num,    tni_aggs_offset, tni_aggs_list,
    tni_aggs_stat, tni_aggs_sketch, tni_aggs_query,
};

const struct tn_agg *tn_agg_find(struct tn_str name, enum tn_rules rules)
{
    unsigned flag = rules == TN_RULES_STREAM ? TN_AGG_STREAM : TN_AGG_QUERY;
    for (size_t f = 0; f < sizeof families / sizeof *families; f++)
        for (const struct tn_agg *const *agg = families[f]; *agg; agg++)
            if (((*agg)->flags & flag) && tn_str_eq_nocase(tn_str_of((*agg)->name), name))
                return *agg;
    return NULL;
}

#define AGGS_MAX 128
static const struct tn_agg *all_aggs[AGGS_MAX];
static size_t all_count;

__attribute__((constructor)) static void collect_all(void)
{
    for (size_t f = 0; f < sizeof families / sizeof *families; f++)
        for (const struct tn_agg *const *agg = families[f]; *agg; agg++) {
            TN_ASSERT(all_count < AGGS_MAX);
            all_aggs[all_count++] = *agg;
        }
}

const struct tn_agg *const *tn_agg_all(size_t *ret_count)
{
    *ret_count = all_count;
    return all_aggs;
}

uint32_t tn_agg_columns_count(const struct tn_agg *agg, uint32_t given)
{
    if (given < agg->params_min)
        return UINT32_MAX;
    uint32_t columns = given - agg->params_min;
    if (columns > agg->args_max)
        columns = agg->args_max;
    if (columns < agg->args_min || given - columns > agg->params_max)
        return UINT32_MAX;
    return columns;
}

bool tn_agg_is_exact(const struct tn_agg_call *call)
{
    if (!(call->agg->flags & TN_AGG_EXACT) || call->params_count || call->is_distinct)
        return false;
    for (uint32_t i = 0; i < call->args_count && call->agg != &count_agg; i++)
        switch (call->arg_types[i]->kind) {
        case TN_K_BOOLEAN:
        case TN_K_INTEGER:
        case TN_K_BIGINT:
        case TN_K_VARCHAR:
        case TN_K_DATE: break;
        default: return false; /* DOUBLE rounds, DECIMAL may overflow on the way */
        }
    return true;
}

enum tn_status tn_agg_bind(struct tn_agg_call *call, struct tn_arena *arena, struct tn_err *err)
{
    const struct tn_agg *agg = call->agg;
    if (call->args_count < agg->args_min || call->args_count > agg->args_max ||
        call->params_count < agg->params_min || call->params_count > agg->params_max)
        return tn_err_set(err, TN_E_TYPE, "'%s' takes %u to %u arguments, not %u", agg->name,
                          agg->args_min + agg->params_min, agg->args_max + agg->params_max,
                          call->args_count + call->params_count);
    for (uint32_t i = 0; i < call->params_count; i++)
        if (call->params[i].is_null)
            return tn_err_set(err, TN_E_INVALID, "'%s': constant argument %u is NULL", agg->name,
                              call->args_count + i + 1);
    TN_TRY(agg->bind(call, arena, err));
    TN_ASSERT(call->state_bytes > 0 && call->type);
    call->state_bytes = (call->state_bytes + 7u) & ~7u;
    return TN_OK;
}

enum tn_status tni_agg_bad_type(const struct tn_agg_call *call, uint32_t arg, const char *want,
                                struct tn_err *err)
{
    char text[128];
    struct tn_buf buf;
    tn_buf_init(&buf, 4096);
    if (call->rules == TN_RULES_STREAM)
        tn_type_print_ksql(call->arg_types[arg], &buf);
    else
        tn_type_print_trino(call->arg_types[arg], &buf);
    snprintf(text, sizeof text, "%s", tn_buf_cstr(&buf));
    tn_buf_release(&buf);
    const char *name = call->rules == TN_RULES_STREAM ? "TYPE_MISMATCH" : "FUNCTION_NOT_FOUND";
    return tn_err_at(err, TN_E_TYPE, name, 0, 0, "'%s' takes %s, not %s", call->agg->name, want,
                     text);
}

tn_int128 tni_pow10(unsigned n)
{
    TN_ASSERT(n <= TN_DECIMAL_PRECISION_MAX);
    tn_int128 value = 1;
    while (n--)
        value *= 10;
    return value;
}
