/* Covers execution of queries (sql/exec*.c, gen_sqlite*.c, vtab.c, scan*.c) over tables in memory:
 * native shapes, the SQLite path, semantics that must not differ from Trino's (sql/README.md),
 * limits and cancellation, routing. */
#include "tests/support/query_fixture.h"

#include "stream/func.h"
#include "tests/check.h"
#include "tests/support/test_clock.h"

static struct query_fixture fx;

static const struct query_run automatic = {.executor = TNI_EXEC_AUTO};
static const struct query_run native = {.executor = TNI_EXEC_NATIVE};
static const struct query_run sqlite = {.executor = TNI_EXEC_SQLITE};
static const struct query_run sqlite_plain = {.executor = TNI_EXEC_SQLITE, .is_pushdown_off = true};

static void open_fixture(void)
{
    query_fixture_init(&fx);
    struct query_fixture_table *songs =
        query_fixture_table(&fx, "songs", "songName varchar, count bigint");
    query_fixture_values(
        &fx, songs,
        "VALUES ('Bohemian Rhapsody', 1), ('Bohemian Rhapsody', 2), "
        "('Still Loving You', 3), ('Still Loving You', 4), ('Still Loving You', 5), "
        "('The Good', 1), ('The Good', 2), ('The Good', 3), ('Believe', 3), "
        "('Believe', 4), ('Perfect', 1), ('Sometimes', 1), ('Sometimes', 2), "
        "('Sometimes', 4), ('Into', 2), ('Into', 4)");
    struct query_fixture_table *t = query_fixture_table(
        &fx, "t",
        "id bigint, a integer, d double, s varchar, f boolean, m decimal(10,2), "
        "w decimal(30,4), ts timestamp, b varbinary");
    query_fixture_values(
        &fx, t,
        "VALUES (1, 10, 1.5e0, 'ann', true, 1.25, 1.5, TIMESTAMP '2024-01-01 10:00:00', X'00ff'), "
        "(2, 20, CAST('NaN' AS DOUBLE), 'Bob', false, -2.50, 12345678901234567890.1234, "
        "TIMESTAMP '2024-01-01 11:30:00', X''), "
        "(3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL), "
        "(4, 20, -1e0, '', true, 0.00, -7, TIMESTAMP '2024-02-01 00:00:00', X'01'), "
        "(5, 30, CAST('Infinity' AS DOUBLE), 'Élan', false, 99.99, 0, TIMESTAMP '1969-12-31 "
        "23:59:59', NULL)");
    struct query_fixture_table *u =
        query_fixture_table(&fx, "u", "id bigint, n integer, name varchar, d double");
    query_fixture_values(
        &fx, u,
        "VALUES (1, 100, 'one', 1.5e0), (2, 200, 'two', CAST('NaN' AS DOUBLE)), "
        "(2, 201, 'two again', -1e0), (9, 900, 'nine', NULL), (NULL, 0, 'none', 0e0)");
    struct query_fixture_table *many = query_fixture_table(&fx, "many", "id bigint, s varchar");
    for (int i = 0; i < 5000; i++) {
        struct tn_value row[2] = {
            {.type = tn_type_of(TN_K_BIGINT), .i = i},
            {.type = tn_type_of(TN_K_VARCHAR), .s = i % 2 ? TN_STR("ann") : TN_STR("bob")}};
        query_fixture_row(&fx, many, row);
    }
    query_fixture_open(&fx);
}

static void check_rows(const char *sql, const struct query_run *run, const char *want, int line)
{
    struct query_result result;
    query_result_init(&result);
    query_fixture_run(&fx, sql, run, &result);
    if (tn_failed(result.st))
        fprintf(stderr, "line %d: %s\n  %s\n", line, sql, result.err.message);
    CHECK_INT(result.st, TN_OK);
    CHECK_STR(tn_buf_str(&result.rows), want);
    if (!tn_str_eq(tn_buf_str(&result.rows), tn_str_of(want)))
        fprintf(stderr, "line %d, executor %d: %s\n", line, run->executor, sql);
    CHECK_INT(result.memory_left, 0);
    query_result_release(&result);
}

/* The same answer from every executor that can give one. */
#define ROWS(sql, want)                                                                            \
    do {                                                                                           \
        check_rows(sql, &native, want, __LINE__);                                                  \
        check_rows(sql, &sqlite, want, __LINE__);                                                  \
        check_rows(sql, &sqlite_plain, want, __LINE__);                                            \
    } while (0)
#define SQLITE_ROWS(sql, want)                                                                     \
    do {                                                                                           \
        check_rows(sql, &automatic, want, __LINE__);                                               \
        check_rows(sql, &sqlite, want, __LINE__);                                                  \
        check_rows(sql, &sqlite_plain, want, __LINE__);                                            \
    } while (0)

static void check_error(const char *sql, const struct query_run *run, enum tn_status st,
                        const char *name, int line)
{
    struct query_result result;
    query_result_init(&result);
    query_fixture_run(&fx, sql, run, &result);
    CHECK_INT(result.st, st);
    if (tn_failed(result.st))
        CHECK_STR(tn_str_of(tn_err_name(&result.err)), name);
    if (result.st != st)
        fprintf(stderr, "line %d: %s: %s\n", line, sql, result.err.message);
    CHECK_INT(result.memory_left, 0);
    query_result_release(&result);
}

#define ERROR(sql, st, name)                                                                       \
    do {                                                                                           \
        check_error(sql, &automatic, st, name, __LINE__);                                          \
        check_error(sql, &sqlite, st, name, __LINE__);                                             \
        check_error(sql, &sqlite_plain, st, name, __LINE__);                                       \
    } while (0)

static bool has_function(const char *name)
{
    size_t count;
    const struct tn_func *const *funcs = tn_func_all(&count);
    for (size_t i = 0; i < count; i++)
        if (strcmp(funcs[i]->name, name) == 0)
            return true;
    return false;
}

static void test_chart(void)
{
    ROWS("SELECT songName AS songname, count(*) AS \"count\" FROM (SELECT * FROM songs) AS "
         "\"expr_qry\" GROUP BY songname ORDER BY \"count\" DESC, songname LIMIT 1000",
         "Sometimes|3\nStill Loving You|3\nThe Good|3\nBelieve|2\nBohemian Rhapsody|2\nInto|2\n"
         "Perfect|1\n");
    ROWS(
        "SELECT MAX(\"count\") AS \"MAX(count)\" FROM (SELECT songname, count(*) AS \"count\" FROM "
        "songs GROUP BY songname ORDER BY \"count\" DESC LIMIT 1000) AS expr_qry",
        "3\n");
    ROWS("SELECT songname, max(count) c FROM songs GROUP BY 1 HAVING max(count) > 3 "
         "ORDER BY c DESC, 1 LIMIT 2 OFFSET 1",
         "Believe|4\nInto|4\n");
}

static void test_plain(void)
{
    ROWS("SELECT 1, 'x', NULL", "1|x|∅\n");
    ROWS("SELECT 1 WHERE false", "");
    ROWS("SELECT count(*) FROM t", "5\n");
    ROWS("SELECT count(*) FROM t WHERE false", "0\n");
    ROWS("SELECT sum(a), min(s), max(d), count(a), count(DISTINCT a) FROM t WHERE id > 100",
         "∅|∅|∅|0|0\n");
    ROWS("SELECT id, a FROM t WHERE a = 20 ORDER BY id DESC", "4|20\n2|20\n");
    ROWS("SELECT id FROM t WHERE a IN (10, 30, 40) OR s IS NULL ORDER BY id", "1\n3\n5\n");
    ROWS("SELECT id FROM t WHERE NOT (a = 20) ORDER BY 1", "1\n5\n");
    ROWS("SELECT id FROM t WHERE a IS DISTINCT FROM 20 ORDER BY 1", "1\n3\n5\n");
    ROWS("SELECT DISTINCT a FROM t ORDER BY a", "10\n20\n30\n∅\n");
    ROWS("SELECT DISTINCT f, a > 15 FROM t ORDER BY 1 DESC NULLS FIRST, 2",
         "∅|∅\ntrue|false\ntrue|true\nfalse|true\n");
    ROWS("SELECT id FROM t ORDER BY a DESC, id LIMIT 3", "5\n2\n4\n");
    ROWS("SELECT id FROM t ORDER BY a NULLS FIRST, id OFFSET 1 LIMIT 2", "1\n2\n");
    ROWS("SELECT id FROM t ORDER BY id LIMIT 0", "");
    ROWS("SELECT x.z + 1 FROM (SELECT a * 2 AS z FROM t WHERE f) x ORDER BY 1", "21\n41\n");
    ROWS("SELECT id FROM t UNION ALL SELECT n FROM u ORDER BY 1 DESC LIMIT 3", "900\n201\n200\n");
    ROWS("SELECT a FROM t UNION SELECT id FROM u ORDER BY 1", "1\n2\n9\n10\n20\n30\n∅\n");
    ROWS(
        "SELECT c, count(*) FROM (SELECT a AS c, count(*) FROM t GROUP BY a) GROUP BY c ORDER BY 1",
        "10|1\n20|1\n30|1\n∅|1\n");
    ROWS("SELECT z FROM (VALUES (3, 'c'), (1, 'a'), (2, NULL)) AS v(z, y) WHERE y IS NOT NULL "
         "ORDER BY z",
         "1\n3\n");
}

/* NULLs, NaN, infinities, text, decimals of both sizes, times: order, equality, grouping. */
static void test_values(void)
{
    ROWS("SELECT id, d FROM t ORDER BY d, id", "4|-1.0\n1|1.5\n5|Infinity\n2|NaN\n3|∅\n");
    ROWS("SELECT id, d FROM t ORDER BY d DESC, id", "2|NaN\n5|Infinity\n1|1.5\n4|-1.0\n3|∅\n");
    ROWS("SELECT id FROM t WHERE d > 1e0 ORDER BY id", "1\n5\n");
    ROWS("SELECT id FROM t WHERE d <> d ORDER BY id", "2\n");
    ROWS("SELECT id FROM t WHERE d = d ORDER BY id", "1\n4\n5\n");
    ROWS("SELECT id, s FROM t ORDER BY s, id", "4|\n2|Bob\n1|ann\n5|Élan\n3|∅\n");
    ROWS("SELECT id FROM t WHERE s LIKE 'a%'", "1\n");
    ROWS("SELECT id, m FROM t ORDER BY m DESC", "5|99.99\n1|1.25\n4|0.00\n2|-2.50\n3|∅\n");
    ROWS("SELECT id, w FROM t ORDER BY w",
         "4|-7.0000\n5|0.0000\n1|1.5000\n2|12345678901234567890.1234\n3|∅\n");
    ROWS("SELECT id FROM t WHERE w > 1 ORDER BY id", "1\n2\n");
    ROWS("SELECT sum(m), max(w), sum(w) FROM t", "98.74|12345678901234567890.1234|"
                                                 "12345678901234567884.6234\n");
    ROWS("SELECT id, ts FROM t WHERE ts < TIMESTAMP '2024-01-15 00:00:00' ORDER BY ts",
         "5|1969-12-31 23:59:59.000\n1|2024-01-01 10:00:00.000\n2|2024-01-01 11:30:00.000\n");
    ROWS("SELECT id, b FROM t ORDER BY b, id", "2|\n1|AP8=\n4|AQ==\n3|∅\n5|∅\n");
    ROWS(
        "SELECT f, count(*), sum(a), avg(d) FROM t WHERE id <> 2 AND id <> 5 GROUP BY f ORDER BY f",
        "true|2|30|0.25\n∅|1|∅|∅\n");
    ROWS("SELECT count(*) FILTER (WHERE f), sum(a) FILTER (WHERE a > 10), count(DISTINCT a) FROM t",
         "2|70|3\n");
    ROWS("SELECT CASE WHEN a > 15 THEN 'big' WHEN a IS NULL THEN 'none' ELSE 'small' END k, "
         "count(*) FROM t GROUP BY 1 ORDER BY 1",
         "big|3\nnone|1\nsmall|1\n");
}

/* What SQLite would answer otherwise (dialect reference, "must never reach it"). */
static void test_never_wrong(void)
{
    ROWS("SELECT CAST('2024-01-01 10:00:00' AS TIMESTAMP)", "2024-01-01 10:00:00.000\n");
    ROWS("SELECT CAST(CAST(a AS VARCHAR) || '1' AS BIGINT) FROM t WHERE id = 1", "101\n");
    ROWS("SELECT CAST(f AS VARCHAR), CAST(a AS DECIMAL(10,2)) FROM t WHERE id = 1", "true|10.00\n");
    ROWS("SELECT CAST(d AS BIGINT), CAST(d + 1e0 AS INTEGER) FROM t WHERE id = 1", "2|3\n");
    ROWS("SELECT id FROM t WHERE s LIKE 'A%'", "");
    ROWS("SELECT -a AS a FROM t WHERE id < 3 ORDER BY a", "-20\n-10\n");
    ROWS("SELECT typeof(a), typeof(m) FROM t WHERE id = 1", "integer|decimal(10,2)\n");
    ROWS("SELECT s FROM t WHERE s = '' ORDER BY 1", "\n");
    ERROR("SELECT a / (a - 10) FROM t WHERE id = 1", TN_E_EVAL, "DIVISION_BY_ZERO");
    ERROR("SELECT id + 9223372036854775807 FROM t", TN_E_EVAL, "NUMERIC_VALUE_OUT_OF_RANGE");
    ERROR("SELECT CAST(s AS BIGINT) FROM t WHERE id = 1", TN_E_EVAL, "INVALID_CAST_ARGUMENT");
    ROWS("SELECT id FROM t WHERE a <> 10 AND 10 / (a - 10) >= 0 ORDER BY id", "2\n4\n5\n");
    ERROR("SELECT id FROM t WHERE 10 / (a - 10) >= 0 AND a <> 10 ORDER BY id", TN_E_EVAL,
          "DIVISION_BY_ZERO");
    ROWS("SELECT TRY(1 / (a - 10)) FROM t WHERE id < 3 ORDER BY id", "∅\n0\n");
    ROWS("SELECT CASE WHEN a <> 10 THEN 100 / (a - 10) END FROM t ORDER BY id",
         "∅\n10\n∅\n10\n5\n");
}

static void test_functions(void)
{
    if (!has_function("lower"))
        return;
    ROWS("SELECT id FROM t WHERE lower(s) LIKE 'É%' OR lower(s) = 'élan'", "5\n");
    ROWS("SELECT lower('É' || s), upper(s) FROM t WHERE id = 5", "éélan|ÉLAN\n");
    ROWS("SELECT substr(s, 0, 2), round(a), a % 7 FROM t WHERE id = 1", "|10|3\n");
    ROWS("SELECT greatest(a, 15), least(a, 15) FROM t WHERE id = 1", "15|10\n");
}

static void test_joins(void)
{
    SQLITE_ROWS("SELECT t.id, u.name FROM t JOIN u ON t.id = u.id ORDER BY 1, 2",
                "1|one\n2|two\n2|two again\n");
    SQLITE_ROWS("SELECT t.id, u.name FROM t LEFT JOIN u ON t.id = u.id AND u.n > 100 ORDER BY 1, 2",
                "1|∅\n2|two\n2|two again\n3|∅\n4|∅\n5|∅\n");
    SQLITE_ROWS("SELECT t.id, u.id FROM t RIGHT JOIN u ON t.id = u.id ORDER BY 2, 1",
                "1|1\n2|2\n2|2\n∅|9\n∅|∅\n");
    SQLITE_ROWS("SELECT t.id, u.n FROM t FULL JOIN u ON t.id = u.id ORDER BY 1, 2",
                "1|100\n2|200\n2|201\n3|∅\n4|∅\n5|∅\n∅|0\n∅|900\n");
    SQLITE_ROWS("SELECT t.id FROM t JOIN u ON t.d = u.d ORDER BY 1", "1\n4\n");
    SQLITE_ROWS("SELECT t.id, u.n FROM t, u WHERE t.a = u.n / 10 ORDER BY 1, 2",
                "1|100\n2|200\n2|201\n4|200\n4|201\n");
    SQLITE_ROWS("SELECT count(*) FROM t CROSS JOIN u", "25\n");
    SQLITE_ROWS("SELECT t.id FROM t LEFT JOIN u ON t.id = u.id WHERE u.id IS NULL ORDER BY 1",
                "3\n4\n5\n");
    SQLITE_ROWS("SELECT a.id, b.id, c.n FROM t a LEFT JOIN (t b JOIN u c ON b.id = c.id) "
                "ON a.a = b.a ORDER BY 1, 2, 3",
                "1|1|100\n2|2|200\n2|2|201\n3|∅|∅\n4|2|200\n4|2|201\n5|∅|∅\n");
    SQLITE_ROWS("SELECT x.a, x.c, u.name FROM (SELECT a, count(*) AS c FROM t GROUP BY a) x "
                "JOIN u ON x.c = u.id ORDER BY 1, 3",
                "10|1|one\n20|2|two\n20|2|two again\n30|1|one\n∅|1|one\n");
    SQLITE_ROWS("SELECT t.m, count(*) FROM t JOIN u ON t.id >= u.id GROUP BY t.m ORDER BY 1",
                "-2.50|3\n0.00|3\n1.25|1\n99.99|3\n∅|3\n");
}

static void test_subqueries(void)
{
    SQLITE_ROWS("SELECT id FROM t WHERE id IN (SELECT id FROM u) ORDER BY 1", "1\n2\n");
    SQLITE_ROWS("SELECT id FROM t WHERE id NOT IN (SELECT id FROM u) ORDER BY 1", "");
    SQLITE_ROWS(
        "SELECT id FROM t WHERE id NOT IN (SELECT id FROM u WHERE id IS NOT NULL) ORDER BY 1",
        "3\n4\n5\n");
    SQLITE_ROWS("SELECT id FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.id = t.id AND n > 150)",
                "2\n");
    SQLITE_ROWS("SELECT id, (SELECT max(n) FROM u WHERE u.id = t.id) FROM t ORDER BY 1",
                "1|100\n2|201\n3|∅\n4|∅\n5|∅\n");
    SQLITE_ROWS("SELECT id FROM t WHERE a > (SELECT avg(a) FROM t) ORDER BY 1", "5\n");
    SQLITE_ROWS("SELECT a, count(*), (SELECT count(*) FROM u WHERE u.n > x.a * 10) FROM t x "
                "GROUP BY a ORDER BY 1",
                "10|1|3\n20|2|2\n30|1|1\n∅|1|0\n");
    SQLITE_ROWS(
        "WITH z(k) AS (SELECT id FROM t WHERE f) SELECT z.k, y.k FROM z JOIN z y ON z.k < y.k",
        "1|4\n");
    SQLITE_ROWS("SELECT id FROM t INTERSECT SELECT id FROM u ORDER BY 1", "1\n2\n");
    SQLITE_ROWS("SELECT id FROM t EXCEPT SELECT id FROM u ORDER BY 1 LIMIT 2", "3\n4\n");
    check_error("SELECT (SELECT id FROM u WHERE n < 300) FROM t", &automatic, TN_E_EVAL,
                "SUBQUERY_MULTIPLE_ROWS", __LINE__);
    check_error("SELECT (SELECT id FROM u WHERE n < 300) FROM t", &sqlite, TN_E_EVAL,
                "SUBQUERY_MULTIPLE_ROWS", __LINE__);
}

static void test_windows(void)
{
    SQLITE_ROWS("SELECT id, row_number() OVER (ORDER BY a DESC, id), rank() OVER (ORDER BY a) "
                "FROM t ORDER BY id",
                "1|4|1\n2|2|2\n3|5|5\n4|3|2\n5|1|4\n");
    SQLITE_ROWS("SELECT id, sum(a) OVER (PARTITION BY f ORDER BY id) FROM t ORDER BY id",
                "1|10\n2|20\n3|∅\n4|30\n5|50\n");
    SQLITE_ROWS(
        "SELECT id, sum(a) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW), "
        "max(s) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING), "
        "avg(m) OVER (ORDER BY id ROWS BETWEEN CURRENT ROW AND 1 FOLLOWING) "
        "FROM t ORDER BY id",
        "1|10|ann|-0.63\n2|30|ann|-2.50\n3|20|Bob|0.00\n4|20|Élan|50.00\n5|50|Élan|99.99\n");
    SQLITE_ROWS("SELECT a, count(*), rank() OVER (ORDER BY count(*) DESC) FROM t GROUP BY a "
                "ORDER BY 3, 1",
                "20|2|1\n10|1|2\n30|1|2\n∅|1|2\n");
    SQLITE_ROWS("SELECT id, lag(s) OVER (ORDER BY id), lead(a, 2, -1) OVER (ORDER BY id) FROM t "
                "ORDER BY id",
                "1|∅|∅\n2|ann|20\n3|Bob|30\n4|∅|-1\n5||-1\n");
}

static void test_types(void)
{
    struct query_result result;
    query_result_init(&result);
    const struct query_run *runs[2] = {&native, &sqlite};
    for (int i = 0; i < 2; i++) {
        query_fixture_run(&fx,
                          "SELECT count(*) c, sum(a) AS \"Sum\", avg(a), min(m), 1.5, 'x' || s, "
                          "a + 1, ts FROM t GROUP BY s, a, ts LIMIT 0",
                          runs[i], &result);
        CHECK_INT(result.st, TN_OK);
        CHECK_STR(tn_buf_str(&result.columns),
                  "c bigint, Sum bigint, _col2 double, _col3 decimal(10,2), _col4 decimal(2,1), "
                  "_col5 varchar, _col6 integer, ts timestamp(3)");
    }
    query_result_release(&result);
}

static void test_limits(void)
{
    struct query_run run = {.rows_max = 4};
    check_error("SELECT * FROM t", &run, TN_E_LIMIT, "EXCEEDED_ROWS_LIMIT", __LINE__);
    run = (struct query_run){.is_cancelled = true};
    check_error("SELECT * FROM t", &run, TN_E_CANCELLED, "USER_CANCELED", __LINE__);
    run = (struct query_run){.deadline_ns = 1};
    check_error("SELECT count(*) FROM t", &run, TN_E_TIMEOUT, "EXCEEDED_TIME_LIMIT", __LINE__);
    /* 5^14 rows: ends at the deadline, inside SQLite. */
    run.deadline_ns = test_clock.mono_ns(&test_clock) + 50000000;
    check_error("SELECT count(*) FROM t a, t b, t c, t d, t e, t f, t g, t h, t i, t j, t k, t l, "
                "t m, t n WHERE a.id + b.id + c.id + n.id > 0",
                &run, TN_E_TIMEOUT, "EXCEEDED_TIME_LIMIT", __LINE__);
    /* A sort of 5^7 wide rows does not fit 2 MB; SQLite's allocator is charged too. */
    run = (struct query_run){.memory_bytes_max = 2 << 20};
    check_error("SELECT a.s, b.s, c.s, d.s FROM t a, t b, t c, t d, t e, t f, t g, u h "
                "ORDER BY h.name, a.s",
                &run, TN_E_NOMEM, "EXCEEDED_LOCAL_MEMORY_LIMIT", __LINE__);
    run.executor = TNI_EXEC_SQLITE;
    check_error("SELECT a.s, b.s, c.s, d.s FROM t a, t b, t c, t d, t e, t f, t g, u h "
                "ORDER BY h.name, a.s",
                &run, TN_E_NOMEM, "EXCEEDED_LOCAL_MEMORY_LIMIT", __LINE__);
    check_rows("SELECT count(*) FROM t", &automatic, "5\n", __LINE__); /* others go on */
}

/* Statements that only grow: each ends with an error, quickly and within the memory of the query.
 */
static void test_bombs(void)
{
    struct query_run run = {.memory_bytes_max = 32 << 20};
    const struct {
        const char *sql, *name;
    } bombs[] = {
        {"max(length(replace(replace(replace(replace(replace(s || 'xxxxxxxxxx', 'x', "
         "'xxxxxxxxxx'), 'x', 'xxxxxxxxxx'), 'x', 'xxxxxxxxxx'), 'x', 'xxxxxxxxxx'), 'x', "
         "'xxxxxxxxxx')))",
         "EXCEEDED_TEXT_LIMIT"},
        {"max(length(rpad(s || 'x', 900000, 'y')))", "EXCEEDED_LOCAL_MEMORY_LIMIT"},
        {"max(length(lpad(s, 2000000000, 'y')))", "INVALID_FUNCTION_ARGUMENT"},
        {"max(length(CASE WHEN id > 0 THEN lpad('x', 1000000, 'y') END))",
         "EXCEEDED_LOCAL_MEMORY_LIMIT"},
        {"max(cardinality(sequence(1, id * 2000)))", "EXCEEDED_LOCAL_MEMORY_LIMIT"},
        {"max(cardinality(transform(sequence(1, 10000), i -> sequence(1, 10000 - id)))) ",
         "EXCEEDED_LOCAL_MEMORY_LIMIT"},
        {"max(cardinality(repeat(repeat(repeat(s, 10000), 10000), 10000)))",
         "EXCEEDED_LOCAL_MEMORY_LIMIT"},
        {"max(cardinality(transform(sequence(1, 10000), i -> lpad(s, 1000000, 'x'))))",
         "EXCEEDED_LOCAL_MEMORY_LIMIT"},
        {"regexp_like(s || 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!', '(a+)+$')",
         "INVALID_FUNCTION_ARGUMENT"},
    };
    if (!has_function("sequence") || !has_function("regexp_like"))
        return;
    for (size_t i = 0; i < sizeof bombs / sizeof *bombs; i++) {
        char sql[1024];
        struct query_result result;
        snprintf(sql, sizeof sql, "SELECT %s FROM many", bombs[i].sql);
        query_result_init(&result);
        query_fixture_run(&fx, sql, &run, &result);
        CHECK(tn_failed(result.st));
        if (tn_failed(result.st))
            CHECK_STR(tn_str_of(tn_err_name(&result.err)), bombs[i].name);
        else
            fprintf(stderr, "%s: %s", sql, tn_buf_cstr(&result.rows));
        CHECK_INT(result.memory_left, 0);
        query_result_release(&result);
    }
    check_rows("SELECT count(*) FROM t", &automatic, "5\n", __LINE__);
}

static void check_explain(const char *sql, const struct query_run *run, const char *const *wants)
{
    struct query_result result;
    struct tn_buf buf;
    query_result_init(&result);
    tn_buf_init(&buf, 1 << 20);
    query_fixture_explain(&fx, sql, run, &buf, &result);
    CHECK_INT(result.st, TN_OK);
    for (; *wants; wants++) {
        CHECK(strstr(tn_buf_cstr(&buf), *wants) != NULL);
        if (!strstr(tn_buf_cstr(&buf), *wants))
            fprintf(stderr, "no '%s' in:\n%s", *wants, buf.ptr);
    }
    tn_buf_release(&buf);
    query_result_release(&result);
}

static void test_explain(void)
{
    check_explain("SELECT a, count(*) FROM t WHERE id > 1 GROUP BY a ORDER BY 2 DESC LIMIT 3",
                  &automatic,
                  (const char *[]){"executor: native\n", "limit 3", "top 3 by", "hash aggregate",
                                   "filter", "system table default.t, columns id a\n", NULL});
    check_explain("SELECT t.id FROM t JOIN u ON t.id = u.id WHERE t.s || 'y' = 'x'", &automatic,
                  (const char *[]){"executor: sqlite (join)", "r0.c0 = r1.c0", "filter", NULL});
    check_explain("SELECT rank() OVER (ORDER BY a) FROM t", &automatic,
                  (const char *[]){"executor: sqlite (window function)", NULL});
    check_explain("SELECT a FROM t", &sqlite,
                  (const char *[]){"executor: sqlite (asked for)", NULL});
    check_error("SELECT 1 FROM t, u", &native, TN_E_UNSUPPORTED, "NOT_SUPPORTED", __LINE__);
}

/* An unused column of a derived table is never computed; a slot reads only what is named. */
static void test_pruning(void)
{
    ROWS("SELECT k FROM (SELECT id AS k, 1 / (a - 10) AS bad FROM t) WHERE k = 1", "1\n");
    SQLITE_ROWS(
        "SELECT x.k FROM (SELECT id AS k, 1 / (a - 10) AS bad FROM t) x JOIN u ON x.k = u.id "
        "WHERE u.n = 100",
        "1\n");
}

/* More rows than a batch: sorting, top-N with cut-backs, grouping, joins over several chunks. */
static void test_many(void)
{
    struct query_result result;
    query_result_init(&result);
    const char *big = "(SELECT a.id * 3125 + b.id * 625 + c.id * 125 + d.id * 25 + e.id * 5 + f.id "
                      "AS n FROM t a, t b, t c, t d, t e, t f) x";
    char sql[1024];
    snprintf(sql, sizeof sql, "SELECT n FROM %s ORDER BY n %% 1000 DESC, n LIMIT 3 OFFSET 2", big);
    check_rows(sql, &automatic, "5999\n6999\n7999\n", __LINE__);
    check_rows(sql, &sqlite, "5999\n6999\n7999\n", __LINE__);
    snprintf(sql, sizeof sql, "SELECT count(*), count(DISTINCT n), min(n), max(n) FROM %s", big);
    check_rows(sql, &automatic, "15625|15625|3906|19530\n", __LINE__);
    snprintf(sql, sizeof sql,
             "SELECT count(*), sum(y.c) FROM %s JOIN (SELECT n %% 100 AS k, count(*) AS c FROM %s "
             "GROUP BY 1) y ON x.n %% 100 = y.k",
             big, big);
    check_rows(sql, &automatic, "15625|2441425\n", __LINE__);
    query_result_release(&result);
}

static void test_system_tables(void)
{
    check_rows(
        "SELECT table_schema, table_name FROM information_schema.tables WHERE table_schema = "
        "'default' ORDER BY 2",
        &automatic, "default|many\ndefault|songs\ndefault|t\ndefault|u\n", __LINE__);
    check_rows("SELECT column_name, ordinal_position, data_type FROM information_schema.columns "
               "WHERE table_name = 'songs' ORDER BY 2",
               &automatic, "songname|1|varchar\ncount|2|bigint\n", __LINE__);
    check_rows("SELECT count(*) FROM system.queries", &automatic, "0\n", __LINE__);
    check_rows("SELECT count(*) FROM system.dead_letters", &automatic, "0\n", __LINE__);
    check_rows("SELECT application_id, is_ready FROM system.processes", &automatic, "test|true\n",
               __LINE__);
    check_rows("SELECT count(*) > 0 FROM system.functions WHERE kind = 'scalar'", &automatic,
               "true\n", __LINE__);
}

int main(void)
{
    open_fixture();
    test_chart();
    test_plain();
    test_values();
    test_never_wrong();
    test_functions();
    test_joins();
    test_subqueries();
    test_windows();
    test_types();
    test_limits();
    test_bombs();
    test_explain();
    test_pruning();
    test_many();
    test_system_tables();
    query_fixture_release(&fx);
    return TN_TEST_END();
}
