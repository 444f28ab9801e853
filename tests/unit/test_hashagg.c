/* Covers stream/hashagg: groups of every key form are numbered as first seen and come back as
 * columns; aggregates with FILTER, NULL arguments and DISTINCT; merging of partial results; the
 * memory limit. */
#include <math.h>
#include <stdlib.h>

#include "stream/base/mem.h"
#include "stream/hashagg.h"
#include "tests/check.h"

static struct tn_arena arena;
static uint64_t seed = 11;

static uint64_t rnd(uint64_t below)
{
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    return (seed >> 33) % below;
}

#define ROWS 500

static struct tn_value random_value(const struct tn_type *type, uint64_t range)
{
    struct tn_value v = {.type = type, .is_null = rnd(10) == 0};
    uint64_t n = rnd(range);
    switch (type->kind) {
    case TN_K_BOOLEAN: v.b = n & 1; break;
    case TN_K_DOUBLE:
        v.d = n == 0 ? 0.0 : n == 1 ? -0.0 : n == 2 ? (double)NAN : (double)n / 4;
        break;
    case TN_K_DECIMAL: v.dec = (tn_int128)n - 3; break;
    case TN_K_VARCHAR:
        v.s = tn_str_of(tn_arena_printf(&arena, "g%llu", (unsigned long long)n));
        break;
    case TN_K_ARRAY:
        v.list.count = (uint32_t)(n % 3);
        v.list.items = TN_ARENA_ARRAY(&arena, struct tn_value, 3);
        for (uint32_t i = 0; i < v.list.count; i++)
            v.list.items[i] = random_value(type->children[0].type, 3);
        break;
    default: v.i = (int64_t)n - 5;
    }
    return v;
}

static struct tn_column random_column(const struct tn_type *type, uint64_t range)
{
    struct tn_column col;
    struct tn_colbuilder *b = tn_colbuilder_new(type, &arena);
    for (uint32_t i = 0; i < ROWS; i++) {
        struct tn_value v = random_value(type, range);
        tn_colbuilder_add(b, &v);
    }
    tn_colbuilder_finish(b, &col);
    return col;
}

static bool same_key(const struct tn_column *a, uint32_t row_a, const struct tn_column *b,
                     uint32_t row_b, uint32_t columns)
{
    for (uint32_t c = 0; c < columns; c++)
        if (!tn_column_same(&a[c], row_a, &b[c], row_b))
            return false;
    return true;
}

static struct tn_agg_call bind(const char *name, const struct tn_type *type, bool is_distinct)
{
    struct tn_err err = TN_ERR_INIT;
    struct tn_agg_call call = {.agg = tn_agg_find(tn_str_of(name), TN_RULES_QUERY),
                               .rules = TN_RULES_QUERY,
                               .args_count = type ? 1 : 0,
                               .arg_types = {type},
                               .is_distinct = is_distinct};
    CHECK_OK(tn_agg_bind(&call, &arena, &err), &err);
    return call;
}

static void test_groups(uint32_t columns, const struct tn_type *const *types)
{
    struct tn_err err = TN_ERR_INIT;
    struct tn_agg_call count = bind("count", NULL, false);
    struct tn_hashagg *ha = tn_hashagg_new(columns, types, 1, &count, 0);
    struct tn_column keys[2][3], got[3], values;
    uint32_t groups[2][ROWS], rows[ROWS], next = columns ? 0 : 1;
    int64_t counts[2 * ROWS] = {0};
    for (int b = 0; b < 2; b++) {
        uint32_t selected = 0;
        for (uint32_t c = 0; c < columns; c++)
            keys[b][c] = random_column(types[c], 3 + rnd(200));
        for (uint32_t i = 0; i < ROWS; i++)
            if (rnd(4))
                rows[selected++] = i;
        CHECK_OK(tn_hashagg_groups(ha, keys[b], rows, selected, groups[b], &err), &err);
        const struct tn_column *const args[1] = {NULL};
        CHECK_OK(tn_hashagg_update(ha, groups[b], rows, selected, args, NULL, &err), &err);
        CHECK_OK(tn_hashagg_columns(ha, 0, tn_hashagg_count(ha), &arena, got, &values, &err), &err);
        for (uint32_t i = 0; i < selected; i++) {
            uint32_t group = groups[b][i];
            CHECK(group <= next && group < tn_hashagg_count(ha));
            next += group == next; /* numbered as first seen */
            counts[group]++;
            CHECK(same_key(keys[b], rows[i], got, group, columns));
        }
    }
    CHECK_INT(tn_hashagg_count(ha), next);
    for (uint32_t g = 0; g < next; g++) {
        CHECK_INT(tn_column_i64(&values, g), counts[g]);
        for (uint32_t h = 0; h < g && columns; h++)
            CHECK(!same_key(got, g, got, h, columns));
    }
    tn_hashagg_free(ha);
}

static void test_aggregates(void)
{
    struct tn_err err = TN_ERR_INIT;
    const struct tn_type *type = tn_type_of(TN_K_INTEGER), *big = tn_type_of(TN_K_BIGINT);
    struct tn_agg_call aggs[] = {bind("sum", big, false), bind("count", big, false),
                                 bind("count", big, true), bind("sum", big, false),
                                 bind("max", tn_type_of(TN_K_VARCHAR), false)};
    struct tn_hashagg *whole = tn_hashagg_new(1, &type, 5, aggs, 0);
    struct tn_hashagg *parts[2] = {tn_hashagg_new(1, &type, 1, aggs, 0),
                                   tn_hashagg_new(1, &type, 1, aggs, 0)};
    static int64_t sums[64], counts[64], filtered[64];
    static bool seen[64][64], is_any[64];
    for (int b = 0; b < 6; b++) {
        struct tn_column key = random_column(type, 20), value = random_column(big, 40);
        struct tn_column flag = random_column(tn_type_of(TN_K_BOOLEAN), 2);
        struct tn_column text = random_column(tn_type_of(TN_K_VARCHAR), 9);
        uint32_t groups[ROWS];
        CHECK_OK(tn_hashagg_groups(whole, &key, NULL, ROWS, groups, &err), &err);
        const struct tn_column *const args[5] = {&value, &value, &value, &value, &text};
        const struct tn_column *const filters[5] = {NULL, NULL, NULL, &flag, NULL};
        CHECK_OK(tn_hashagg_update(whole, groups, NULL, ROWS, args, filters, &err), &err);
        for (uint32_t i = 0; i < ROWS; i++) {
            is_any[groups[i]] = true;
            if (tn_column_is_null(&value, i))
                continue;
            int64_t v = tn_column_i64(&value, i);
            sums[groups[i]] += v;
            counts[groups[i]]++;
            seen[groups[i]][v + 5] = true;
            if (!tn_column_is_null(&flag, i) && tn_column_bool(&flag, i))
                filtered[groups[i]] += v;
        }
        CHECK_OK(tn_hashagg_groups(parts[b & 1], &key, NULL, ROWS, groups, &err), &err);
        CHECK_OK(tn_hashagg_update(parts[b & 1], groups, NULL, ROWS, args, NULL, &err), &err);
    }
    uint32_t count = tn_hashagg_count(whole);
    struct tn_column key, values[5];
    CHECK_OK(tn_hashagg_columns(whole, 0, count, &arena, &key, values, &err), &err);
    for (uint32_t g = 0; g < count; g++) {
        int64_t distinct = 0;
        for (int v = 0; v < 64; v++)
            distinct += seen[g][v];
        CHECK(is_any[g]);
        CHECK_INT(tn_column_i64(&values[0], g), sums[g]);
        CHECK_INT(tn_column_i64(&values[1], g), counts[g]);
        CHECK_INT(tn_column_i64(&values[2], g), distinct);
        CHECK_INT(tn_column_i64(&values[3], g), filtered[g]);
    }
    CHECK_OK(tn_hashagg_merge(parts[0], parts[1], &err), &err);
    CHECK_INT(tn_hashagg_count(parts[0]), count);
    uint32_t groups[64];
    CHECK_OK(tn_hashagg_groups(whole, &key, NULL, count, groups, &err), &err);
    struct tn_column merged_key, merged;
    CHECK_OK(tn_hashagg_columns(parts[0], 0, count, &arena, &merged_key, &merged, &err), &err);
    for (uint32_t g = 0; g < count; g++) {
        uint32_t in_whole;
        uint32_t row = g;
        CHECK_OK(tn_hashagg_groups(whole, &merged_key, &row, 1, &in_whole, &err), &err);
        CHECK_INT(tn_column_i64(&merged, g), sums[in_whole]);
    }
    CHECK(tn_hashagg_bytes(whole) > count * 40);
    tn_hashagg_free(whole);
    tn_hashagg_free(parts[0]);
    tn_hashagg_free(parts[1]);
}

static void test_limits(void)
{
    struct tn_err err = TN_ERR_INIT;
    const struct tn_type *type = tn_type_of(TN_K_BIGINT);
    struct tn_hashagg *ha = tn_hashagg_new(1, &type, 0, NULL, 64 << 10);
    enum tn_status st = TN_OK;
    for (int b = 0; b < 100 && st == TN_OK; b++) {
        struct tn_column key = random_column(type, 1 << 30);
        uint32_t groups[ROWS];
        st = tn_hashagg_groups(ha, &key, NULL, ROWS, groups, &err);
    }
    CHECK_INT(st, TN_E_LIMIT);
    tn_hashagg_free(ha);
    /* no rows, no key: one group with neutral values; an overflow is reported when read */
    struct tn_agg_call sum = bind("sum", type, false);
    ha = tn_hashagg_new(0, NULL, 1, &sum, 0);
    struct tn_column value;
    CHECK_INT(tn_hashagg_count(ha), 1);
    CHECK_OK(tn_hashagg_columns(ha, 0, 1, &arena, NULL, &value, &err), &err);
    CHECK(tn_column_is_null(&value, 0));
    struct tn_column big;
    tn_column_init(&big, type, 2, false, &arena);
    ((int64_t *)big.values)[0] = ((int64_t *)big.values)[1] = INT64_MAX;
    const struct tn_column *const args[1] = {&big};
    uint32_t groups[2] = {0, 0};
    CHECK_OK(tn_hashagg_update(ha, groups, NULL, 2, args, NULL, &err), &err);
    CHECK_INT(tn_hashagg_columns(ha, 0, 1, &arena, NULL, &value, &err), TN_E_EVAL);
    CHECK_STR(tn_str_of(tn_err_name(&err)), "NUMERIC_VALUE_OUT_OF_RANGE");
    tn_hashagg_free(ha);
}

int main(void)
{
    tn_arena_init(&arena, 0);
    const struct tn_type *types[] = {
        tn_type_of(TN_K_INTEGER),       tn_type_of(TN_K_BIGINT),
        tn_type_of(TN_K_DOUBLE),        tn_type_of(TN_K_VARCHAR),
        tn_type_of(TN_K_BOOLEAN),       tn_type_of(TN_K_TIMESTAMP),
        tn_type_decimal(&arena, 20, 2), tn_type_array(&arena, tn_type_of(TN_K_DOUBLE))};
    test_groups(0, NULL);
    for (uint32_t t = 0; t < 8; t++)
        test_groups(1, &types[t]);
    for (int i = 0; i < 20; i++) {
        const struct tn_type *some[3] = {types[rnd(8)], types[rnd(8)], types[rnd(8)]};
        test_groups(2 + (uint32_t)rnd(2), some);
    }
    test_aggregates();
    test_limits();
    tn_arena_release(&arena);
    return TN_TEST_END();
}
