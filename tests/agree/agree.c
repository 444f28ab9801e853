/* The executors must agree: random queries through the native executor and through generated SQL,
 * with and without predicates pushed down, compared in columns, values, NULLs, order and errors.
 * Queries outside the native shape run in the automatic mode (derived tables native) and in both
 * SQLite modes.
 *
 *   agree [SEED [COUNT [json|csv]]]   prints what ran; on the first ten disagreements the query and
 *                                     both answers
 *
 * With json or csv the tables are zone tables. JSON ones must also give the answers of tables in
 * memory; CSV ones are partitioned and their columns are kept in memory.
 */
#include <math.h>
#include <stdlib.h>

#include "tests/agree/agree_gen.h"
#include "tests/check.h"
#include "tests/support/query_fixture.h"
#include "tests/support/temp_folder.h"

static const struct query_run runs[] = {
    {.executor = TNI_EXEC_AUTO},
    {.executor = TNI_EXEC_SQLITE},
    {.executor = TNI_EXEC_SQLITE, .is_pushdown_off = true},
};
#define RUNS_COUNT (sizeof runs / sizeof *runs)

struct counts {
    int queries, native, failing, rows, disagreements;
};

/* Sums of doubles may differ in the last digit, −0.0 equals 0.0. */
static bool same_number(const char *a, const char *b)
{
    char *end_a, *end_b;
    double x = strtod(a, &end_a), y = strtod(b, &end_b);
    if (end_a == a || end_b == b || *end_a || *end_b)
        return false;
    return x == y || fabs(x - y) <= 1e-12 * fabs(x);
}

static bool same_cell(struct tn_str a, struct tn_str b)
{
    char text_a[64], text_b[64];
    if (tn_str_eq(a, b))
        return true;
    if (a.len >= sizeof text_a || b.len >= sizeof text_b)
        return false;
    snprintf(text_a, sizeof text_a, "%.*s", TN_STR_FMT(a));
    snprintf(text_b, sizeof text_b, "%.*s", TN_STR_FMT(b));
    return same_number(text_a, text_b);
}

static struct tn_str next_cell(struct tn_str *rest)
{
    size_t len = 0;
    while (len < rest->len && rest->ptr[len] != '|' && rest->ptr[len] != '\n')
        len++;
    struct tn_str cell = {rest->ptr, len};
    size_t skip = len < rest->len ? len + 1 : len;
    rest->ptr += skip;
    rest->len -= skip;
    return cell;
}

static bool same_rows(struct tn_str a, struct tn_str b)
{
    if (tn_str_eq(a, b))
        return true;
    while (a.len && b.len)
        if (!same_cell(next_cell(&a), next_cell(&b)))
            return false;
    return a.len == b.len;
}

/* Which row's failure is reported may differ. Where a condition moved below a join, subquery or
 * derived table, it may also be evaluated for rows that the other conditions would have dropped, so
 * only one of the two may fail. */
static bool same(const struct query_result *a, const struct query_result *b, bool is_strict)
{
    if (tn_failed(a->st) && tn_failed(b->st))
        return a->st == b->st;
    if (tn_failed(a->st) || tn_failed(b->st))
        return !is_strict && (a->st == TN_E_EVAL || b->st == TN_E_EVAL);
    return tn_str_eq(tn_buf_str(&a->columns), tn_buf_str(&b->columns)) &&
           a->rows_count == b->rows_count && same_rows(tn_buf_str(&a->rows), tn_buf_str(&b->rows));
}

static void print_result(const char *name, const struct query_result *result)
{
    fprintf(stderr, "  %s: ", name);
    if (tn_failed(result->st))
        fprintf(stderr, "%s: %s\n", tn_err_name(&result->err), result->err.message);
    else
        fprintf(stderr, "%.*s\n%.*s", TN_STR_FMT(tn_buf_str(&result->columns)),
                TN_STR_FMT(tn_buf_str(&result->rows)));
}

static void check_query(struct query_fixture *fx, const struct agree_gen *gen, const char *sql,
                        struct query_result *results, struct counts *counts)
{
    static const char *const names[] = {"auto", "sqlite", "sqlite without push-down"};
    for (size_t i = 0; i < RUNS_COUNT; i++) {
        query_fixture_run(fx, sql, &runs[i], &results[i]);
        CHECK_INT(results[i].memory_left, 0);
    }
    counts->queries++;
    counts->native += gen->is_native;
    counts->failing += tn_failed(results[0].st);
    counts->rows += (int)results[0].rows_count;
    for (size_t i = 1; i < RUNS_COUNT; i++) {
        bool agrees = same(&results[0], &results[i], gen->is_native && !gen->is_derived);
        CHECK(agrees);
        if (agrees || ++counts->disagreements > 10)
            continue;
        fprintf(stderr, "disagreement: %s\n", sql);
        print_result(names[0], &results[0]);
        print_result(names[i], &results[i]);
    }
    if (results[0].st == TN_E_INTERNAL || results[0].st == TN_E_SYNTAX ||
        results[0].st == TN_E_NAME || results[0].st == TN_E_TYPE ||
        results[0].st == TN_E_UNSUPPORTED) {
        CHECK(!"query is not valid");
        fprintf(stderr, "%s\n", sql);
        print_result(names[0], &results[0]);
    }
}

static void make_tables(struct query_fixture *fx, uint64_t seed, const char *form,
                        const char *folder)
{
    struct agree_gen gen;
    char path[300];
    query_fixture_init(fx);
    agree_gen_init(&gen, seed);
    struct query_fixture_table *t = query_fixture_table(fx, "t", AGREE_COLUMNS_T);
    query_fixture_values(fx, t, agree_rows_t(&gen, 40));
    struct query_fixture_table *u = query_fixture_table(fx, "u", AGREE_COLUMNS_U);
    query_fixture_values(fx, u, agree_rows_u(&gen, 12));
    bool is_csv = form && strcmp(form, "csv") == 0;
    enum tn_file_format format = is_csv ? TN_FILE_CSV : TN_FILE_JSON;
    for (int i = 0; form && i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, i ? "u" : "t");
        query_fixture_zone(fx, i ? u : t, path, format, i ? 3 : 5, is_csv && i,
                           is_csv ? 1 << 20 : 0);
    }
    query_fixture_open(fx);
    agree_gen_release(&gen);
}

/* The same query over tables in memory. */
static void check_memory(struct query_fixture *memory, const char *sql,
                         const struct query_result *zone, bool is_native,
                         struct query_result *result, struct counts *counts)
{
    query_fixture_run(memory, sql, &runs[0], result);
    bool agrees = same(zone, result, is_native);
    CHECK(agrees);
    if (agrees || ++counts->disagreements > 10)
        return;
    fprintf(stderr, "disagreement with memory: %s\n", sql);
    print_result("zone", zone);
    print_result("memory", result);
}

int main(int argc, char **argv)
{
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    int count = argc > 2 ? atoi(argv[2]) : 1500;
    const char *form = argc > 3 ? argv[3] : NULL;
    bool has_memory = form && strcmp(form, "json") == 0;
    char folder[256] = "";
    struct query_fixture fx, memory;
    struct agree_gen gen;
    struct query_result results[RUNS_COUNT], other;
    struct counts counts = {0};
    if (form)
        temp_folder_make(folder, sizeof folder);
    make_tables(&fx, seed, form, folder);
    make_tables(&memory, seed, NULL, NULL);
    agree_gen_init(&gen, seed + 1000);
    query_result_init(&other);
    for (size_t i = 0; i < RUNS_COUNT; i++)
        query_result_init(&results[i]);
    for (int i = 0; i < count; i++) {
        const char *sql = agree_query(&gen);
        check_query(&fx, &gen, sql, results, &counts);
        if (has_memory)
            check_memory(&memory, sql, &results[0], gen.is_native, &other, &counts);
    }
    printf("seed %llu%s%s: %d queries, %d of the native shape, %d fail alike, %d rows\n",
           (unsigned long long)seed, form ? ", zone tables of " : "", form ? form : "",
           counts.queries, counts.native, counts.failing, counts.rows);
    for (size_t i = 0; i < RUNS_COUNT; i++)
        query_result_release(&results[i]);
    query_result_release(&other);
    agree_gen_release(&gen);
    query_fixture_release(&fx);
    query_fixture_release(&memory);
    if (form)
        temp_folder_remove(folder);
    return TN_TEST_END();
}
