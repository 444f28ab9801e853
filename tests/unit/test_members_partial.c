/* Covers aggregates that other processes begin: whatever the groups, aggregates and conditions and
 * however the rows are split over processes and pages, merging the states gives what one table of
 * groups over all rows gives; damaged requests and states are refused.
 */
#include <stdio.h>
#include <stdlib.h>

#include "sql/members_int.h"
#include "stream/base/mem.h"
#include "tests/check.h"

#define COLUMNS 4
#define ROWS    300

static struct tn_arena arena;
static struct tn_field fields[COLUMNS];
static const struct tn_schema schema = {COLUMNS, fields};
static struct tn_err err;
static uint64_t seed = 3;

static uint32_t rnd(uint32_t below)
{
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)(seed >> 33) % below;
}

static struct tn_value random_value(uint32_t column)
{
    struct tn_value v = {.type = fields[column].type, .is_null = rnd(8) == 0};
    if (v.type->kind == TN_K_VARCHAR)
        v.s = tn_str_of(tn_arena_printf(&arena, "text %u", rnd(12)));
    else
        v.i = (int64_t)rnd(20) - 8;
    return v;
}

static struct tn_batch *random_batch(uint32_t rows_count)
{
    struct tn_batch *batch = tn_batch_new(&schema, rows_count, &arena);
    for (uint32_t c = 0; c < COLUMNS; c++) {
        struct tn_colbuilder *builder = tn_colbuilder_new(fields[c].type, &arena);
        for (uint32_t i = 0; i < rows_count; i++) {
            struct tn_value value = random_value(c);
            tn_colbuilder_add(builder, &value);
        }
        tn_colbuilder_finish(builder, &batch->columns[c]);
    }
    return batch;
}

/* ---- a random aggregation ---- */

static struct tn_agg_call random_call(uint32_t *args)
{
    static const char *const names[] = {"count", "sum", "min", "max", "avg"};
    const char *name = names[rnd(5)];
    struct tn_agg_call call = {.agg = tn_agg_find(tn_str_of(name), TN_RULES_QUERY),
                               .rules = TN_RULES_QUERY,
                               .args_count = 1};
    bool is_any = strcmp(name, "sum") != 0 && strcmp(name, "avg") != 0;
    if (!strcmp(name, "count") && rnd(2))
        call.args_count = 0;
    args[0] = is_any ? rnd(COLUMNS) : 2 + rnd(2);
    call.arg_types[0] = fields[args[0]].type;
    CHECK_OK(tn_agg_bind(&call, &arena, &err), &err);
    CHECK(tn_agg_is_exact(&call));
    return call;
}

static struct tni_pred random_pred(void)
{
    struct tni_pred pred = {.column = (int)rnd(COLUMNS), .is_none = rnd(20) == 0};
    struct tn_value *values = TN_ARENA_ARRAY(&arena, struct tn_value, 3);
    for (uint32_t i = 0; i < 3; i++)
        do
            values[i] = random_value((uint32_t)pred.column);
        while (values[i].is_null);
    if (rnd(2)) {
        pred.values = values;
        pred.values_count = 1 + rnd(3);
        return pred;
    }
    pred.low = rnd(3) ? &values[0] : NULL;
    pred.high = rnd(3) ? &values[1] : NULL;
    pred.is_low_strict = rnd(2);
    pred.is_high_strict = rnd(2);
    return pred;
}

static struct tni_partial random_partial(void)
{
    struct tni_partial partial = {
        .keys_count = rnd(3), .aggs_count = 1 + rnd(4), .preds_count = rnd(3)};
    uint32_t *keys = TN_ARENA_ARRAY(&arena, uint32_t, 4);
    uint32_t *args = TN_ARENA_ARRAY(&arena, uint32_t, 4 * TNI_PARTIAL_ARGS);
    struct tn_agg_call *aggs = TN_ARENA_ARRAY(&arena, struct tn_agg_call, 4);
    struct tni_pred *preds = TN_ARENA_ARRAY(&arena, struct tni_pred, 4);
    struct tn_field *out = TN_ARENA_ARRAY(&arena, struct tn_field, 4);
    struct tn_schema *wire = TN_ARENA_NEW(&arena, struct tn_schema);
    for (uint32_t k = 0; k < partial.keys_count; k++) {
        keys[k] = rnd(COLUMNS);
        out[k] = fields[keys[k]];
    }
    for (uint32_t a = 0; a < partial.aggs_count; a++)
        aggs[a] = random_call(args + a * TNI_PARTIAL_ARGS);
    for (uint32_t p = 0; p < partial.preds_count; p++)
        preds[p] = random_pred();
    out[partial.keys_count] = (struct tn_field){TN_STR("states"), tn_type_of(TN_K_BYTES)};
    *wire = (struct tn_schema){partial.keys_count + 1, out};
    partial.schema = wire;
    partial.keys = keys;
    partial.args = args;
    partial.aggs = aggs;
    partial.preds = preds;
    return partial;
}

/* ---- both ways ---- */

/* What the condition says of a row, without the code under test. */
static bool is_wanted(const struct tni_partial *partial, const struct tn_batch *batch, uint32_t row)
{
    for (uint32_t p = 0; p < partial->preds_count; p++) {
        const struct tni_pred *pred = &partial->preds[p];
        struct tn_value v = tn_column_value(&batch->columns[pred->column], row, &arena);
        bool is_one = pred->values_count == 0;
        for (uint32_t i = 0; i < pred->values_count; i++)
            is_one |= !v.is_null && !tn_value_cmp(&v, &pred->values[i]);
        if (v.is_null || pred->is_none || !is_one)
            return false;
        if (pred->low && tn_value_cmp(&v, pred->low) < (pred->is_low_strict ? 1 : 0))
            return false;
        if (pred->high && tn_value_cmp(&v, pred->high) > (pred->is_high_strict ? -1 : 0))
            return false;
    }
    return true;
}

/* All rows in one table of groups. */
static void add_rows(const struct tni_partial *partial, struct tn_hashagg *hash,
                     const struct tn_batch *batch)
{
    uint32_t rows[ROWS], groups[ROWS], count = 0;
    struct tn_column keys[4];
    const struct tn_column *args[4];
    for (uint32_t i = 0; i < batch->rows_count; i++)
        if (is_wanted(partial, batch, i))
            rows[count++] = i;
    for (uint32_t k = 0; k < partial->keys_count; k++)
        keys[k] = batch->columns[partial->keys[k]];
    for (uint32_t a = 0; a < partial->aggs_count; a++)
        args[a] = &batch->columns[partial->args[a * TNI_PARTIAL_ARGS]];
    CHECK_OK(tn_hashagg_groups(hash, keys, rows, count, groups, &err), &err);
    CHECK_OK(tn_hashagg_update(hash, groups, rows, count, args, NULL, &err), &err);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Groups and final values as sorted lines. */
static const char *text_of(const struct tni_partial *partial, struct tn_hashagg *hash)
{
    uint32_t count = tn_hashagg_count(hash), width = partial->keys_count + partial->aggs_count;
    struct tn_column cols[8];
    const char **lines = TN_ARENA_ARRAY(&arena, const char *, count + 1);
    struct tn_buf buf;
    CHECK_OK(tn_hashagg_columns(hash, 0, count, &arena, cols, cols + partial->keys_count, &err),
             &err);
    tn_buf_init(&buf, 1 << 20);
    for (uint32_t i = 0; i < count; i++) {
        tn_buf_reset(&buf);
        for (uint32_t c = 0; c < width; c++) {
            struct tn_value value = tn_column_value(&cols[c], i, &arena);
            if (value.is_null)
                tn_buf_add_text(&buf, "null");
            else if (value.type->kind == TN_K_VARCHAR)
                tn_buf_add_str(&buf, value.s);
            else if (value.type->kind == TN_K_DOUBLE)
                tn_buf_printf(&buf, "%.17g", value.d);
            else
                tn_buf_printf(&buf, "%lld", (long long)value.i);
            tn_buf_add_byte(&buf, '|');
        }
        lines[i] = tn_arena_str(&arena, tn_buf_str(&buf)).ptr;
    }
    qsort(lines, count, sizeof *lines, by_text);
    tn_buf_reset(&buf);
    for (uint32_t i = 0; i < count; i++)
        tn_buf_printf(&buf, "%s\n", lines[i]);
    const char *text = tn_arena_str(&arena, tn_buf_str(&buf)).ptr;
    tn_buf_release(&buf);
    return text;
}

/* One page of another process into the asker's groups. */
static void merge_page(const struct tni_partial *partial, struct tn_hashagg *into,
                       struct tn_str page)
{
    const char *at = page.ptr, *end = page.ptr + page.len;
    while (at < end) {
        struct tn_batch *batch;
        CHECK_OK(tn_scan_wire_read(&at, end, partial->schema, NULL, &arena, &batch, &err), &err);
        CHECK_OK(tni_partial_merge(into, batch, &err), &err);
    }
}

static struct tni_partial *sent(const struct tni_partial *partial)
{
    struct tni_partial *got = NULL, *none;
    struct tn_buf buf;
    tn_buf_init(&buf, 1 << 20);
    tni_partial_add(&buf, partial);
    CHECK_OK(tni_partial_read(tn_buf_str(&buf), &schema, &arena, &got, &err), &err);
    for (size_t cut = 0; cut < buf.len; cut++)
        CHECK(tn_failed(
            tni_partial_read((struct tn_str){buf.ptr, cut}, &schema, &arena, &none, NULL)));
    tn_buf_release(&buf);
    return got;
}

static void test_split(void)
{
    struct tni_partial partial = random_partial();
    const struct tni_partial *there = sent(&partial);
    struct tn_hashagg *all = tni_partial_hash(&partial), *into = tni_partial_hash(&partial);
    uint32_t processes = 1 + rnd(3);
    struct tn_buf page;
    tn_buf_init(&page, 1 << 20);
    for (uint32_t p = 0; p < processes; p++)
        for (uint32_t pages = rnd(4); pages; pages--) {
            struct tn_hashagg *hash = tni_partial_hash(there);
            for (uint32_t batches = rnd(3); batches; batches--) {
                struct tn_batch *batch = random_batch(rnd(ROWS));
                add_rows(&partial, p ? all : into, batch);
                if (!p) { /* the asker's own rows */
                    add_rows(&partial, all, batch);
                    continue;
                }
                CHECK_OK(tni_partial_take(there, hash, batch, &arena, &err), &err);
            }
            tn_buf_reset(&page);
            CHECK_OK(tni_partial_print(there, hash, &page, &err), &err);
            merge_page(&partial, into, tn_buf_str(&page));
            tn_hashagg_free(hash);
        }
    CHECK_STR(tn_str_of(text_of(&partial, into)), text_of(&partial, all));
    tn_buf_release(&page);
    tn_hashagg_free(all);
    tn_hashagg_free(into);
}

static void test_damaged_states(void)
{
    struct tni_partial partial = random_partial();
    struct tn_hashagg *hash = tni_partial_hash(&partial);
    struct tn_batch *batch = random_batch(50);
    struct tn_buf states;
    tn_buf_init(&states, 1 << 16);
    add_rows(&partial, hash, batch);
    if (tn_hashagg_count(hash)) {
        tn_hashagg_encode(hash, 0, &states);
        for (size_t cut = 0; cut < states.len; cut++)
            CHECK(tn_hashagg_merge_encoded(hash, 0, (struct tn_str){states.ptr, cut}, NULL) ==
                  TN_E_CORRUPT);
    }
    tn_buf_release(&states);
    tn_hashagg_free(hash);
}

int main(void)
{
    tn_arena_init(&arena, 0);
    fields[0] = (struct tn_field){TN_STR("song"), tn_type_of(TN_K_VARCHAR)};
    fields[1] = (struct tn_field){TN_STR("artist"), tn_type_of(TN_K_VARCHAR)};
    fields[2] = (struct tn_field){TN_STR("n"), tn_type_of(TN_K_BIGINT)};
    fields[3] = (struct tn_field){TN_STR("ms"), tn_type_of(TN_K_INTEGER)};
    for (int i = 0; i < 400; i++) {
        test_split();
        test_damaged_states();
        tn_arena_reset(&arena);
    }
    tn_arena_release(&arena);
    return TN_TEST_END();
}
