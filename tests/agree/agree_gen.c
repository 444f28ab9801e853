/* See agree_gen.h. Expressions are made by type, top down, with a depth limit; small pools of
 * values make groups, joins and comparisons meet. */
#include "tests/agree/agree_gen.h"

#include <stdio.h>
#include <string.h>

#include "stream/func.h"

#define DEPTH_MAX 3

enum kind { K_INT, K_DOUBLE, K_TEXT, K_BOOL, K_DEC, K_WIDE, K_DATE, K_TS, K_BYTES, K_COUNT };

static void expr(struct agree_gen *gen, enum kind kind);

void agree_gen_init(struct agree_gen *gen, uint64_t seed)
{
    *gen = (struct agree_gen){.state = seed * 0x9E3779B97F4A7C15ull + 1, .rel = "t"};
    tn_buf_init(&gen->sql, 1 << 20);
}

void agree_gen_release(struct agree_gen *gen)
{
    tn_buf_release(&gen->sql);
}

uint32_t agree_random(struct agree_gen *gen, uint32_t below)
{
    gen->state ^= gen->state << 13;
    gen->state ^= gen->state >> 7;
    gen->state ^= gen->state << 17;
    return (uint32_t)(gen->state >> 33) % below;
}

static bool chance(struct agree_gen *gen, uint32_t percent)
{
    return agree_random(gen, 100) < percent;
}

static void put(struct agree_gen *gen, const char *text)
{
    tn_buf_add_text(&gen->sql, text);
}

static const char *pick(struct agree_gen *gen, const char *const *items, size_t count)
{
    return items[agree_random(gen, (uint32_t)count)];
}

#define PICK(gen, ...)                                                                             \
    pick(gen, (const char *const[]){__VA_ARGS__},                                                  \
         sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))

static bool has(const char *name)
{
    size_t count;
    const struct tn_func *const *funcs = tn_func_all(&count);
    for (size_t i = 0; i < count; i++)
        if (strcmp(funcs[i]->name, name) == 0 && (funcs[i]->flags & TN_FN_QUERY))
            return true;
    return false;
}

/* ---- leaves ---- */

static void literal(struct agree_gen *gen, enum kind kind)
{
    switch (kind) {
    case K_INT: put(gen, PICK(gen, "0", "1", "2", "3", "-1", "7", "100", "5000000000")); break;
    case K_DOUBLE: put(gen, PICK(gen, "0e0", "1.5e0", "-2.25e0", "1e10", "0.1e0")); break;
    case K_TEXT: put(gen, PICK(gen, "''", "'a'", "'ab'", "'A'", "'é'", "'O''Brien'")); break;
    case K_BOOL: put(gen, PICK(gen, "true", "false")); break;
    case K_DEC: put(gen, PICK(gen, "1.50", "0.00", "-7.25", "99.9")); break;
    case K_WIDE:
        put(gen, PICK(gen, "CAST(1.5 AS decimal(30,4))",
                      "CAST(-12345678901234567890 AS decimal(30,4))"));
        break;
    case K_DATE: put(gen, PICK(gen, "DATE '2024-01-31'", "DATE '1969-12-31'")); break;
    case K_TS:
        put(gen,
            PICK(gen, "TIMESTAMP '2024-01-01 10:00:00'", "TIMESTAMP '2024-02-29 23:59:59.999'"));
        break;
    case K_BYTES: put(gen, PICK(gen, "X''", "X'00ff'", "X'41'")); break;
    case K_COUNT: break;
    }
}

static void column(struct agree_gen *gen, enum kind kind)
{
    const char *name = "id";
    bool is_u = strcmp(gen->rel, "u") == 0;
    switch (kind) {
    case K_INT:
        name = is_u ? PICK(gen, "id", "i", "k") : PICK(gen, "id", "i", "i", "j", "b");
        break;
    case K_DOUBLE: name = is_u ? "d" : PICK(gen, "d", "e"); break;
    case K_TEXT: name = is_u ? "s" : PICK(gen, "s", "v"); break;
    case K_BOOL: name = is_u ? NULL : "f"; break;
    case K_DEC: name = "m"; break;
    case K_WIDE: name = is_u ? NULL : "w"; break;
    case K_DATE: name = is_u ? NULL : "dt"; break;
    case K_TS: name = is_u ? NULL : "ts"; break;
    case K_BYTES: name = is_u ? NULL : "x"; break;
    case K_COUNT: break;
    }
    if (name)
        tn_buf_printf(&gen->sql, "%s.%s", gen->rel, name);
    else
        literal(gen, kind);
}

/* ---- expressions ---- */

static void binary(struct agree_gen *gen, enum kind kind, const char *op)
{
    put(gen, "(");
    expr(gen, kind);
    tn_buf_printf(&gen->sql, " %s ", op);
    expr(gen, kind);
    put(gen, ")");
}

static void call(struct agree_gen *gen, const char *name, enum kind kind)
{
    tn_buf_printf(&gen->sql, "%s(", name);
    expr(gen, kind);
    put(gen, ")");
}

static void conditional(struct agree_gen *gen, enum kind kind)
{
    if (chance(gen, 50)) {
        put(gen, "CASE WHEN ");
        expr(gen, K_BOOL);
        put(gen, " THEN ");
        expr(gen, kind);
        if (chance(gen, 60)) {
            put(gen, " ELSE ");
            expr(gen, kind);
        }
        put(gen, " END");
    } else {
        put(gen, "coalesce(");
        expr(gen, kind);
        put(gen, ", ");
        expr(gen, kind);
        put(gen, ")");
    }
}

static void expr_int(struct agree_gen *gen)
{
    switch (agree_random(gen, 8)) {
    case 0:
    case 1: binary(gen, K_INT, PICK(gen, "+", "-")); break;
    case 2: binary(gen, K_INT, "*"); break;
    case 3:
        put(gen, "(");
        expr(gen, K_INT);
        put(gen, PICK(gen, " % 7)", " / 3)", " % 2)"));
        break;
    case 4:
        if (has("length"))
            call(gen, "length", K_TEXT);
        else
            column(gen, K_INT);
        break;
    case 5:
        if (chance(gen, 20))
            binary(gen, K_INT, "/"); /* may fail */
        else if (has("abs"))
            call(gen, "abs", K_INT);
        else
            column(gen, K_INT);
        break;
    case 6:
        put(gen, "CAST(");
        expr(gen, chance(gen, 50) ? K_BOOL : K_DEC);
        put(gen, " AS bigint)");
        break;
    default:
        put(gen, "-");
        column(gen, K_INT);
        break;
    }
}

static void expr_double(struct agree_gen *gen)
{
    switch (agree_random(gen, 4)) {
    case 0: binary(gen, K_DOUBLE, PICK(gen, "+", "-", "*")); break;
    case 1: binary(gen, K_DOUBLE, "/"); break;
    case 2:
        put(gen, "CAST(");
        expr(gen, chance(gen, 60) ? K_INT : K_DEC);
        put(gen, " AS double)");
        break;
    default: column(gen, K_DOUBLE); break;
    }
}

static void expr_text(struct agree_gen *gen)
{
    switch (agree_random(gen, 6)) {
    case 0: binary(gen, K_TEXT, "||"); break;
    case 1:
        if (has("lower"))
            call(gen, PICK(gen, "lower", "upper"), K_TEXT);
        else
            column(gen, K_TEXT);
        break;
    case 2:
        if (has("substr")) {
            put(gen, "substr(");
            expr(gen, K_TEXT);
            put(gen, PICK(gen, ", 2)", ", 0, 2)", ", -1)", ", 1, 1)"));
        } else {
            column(gen, K_TEXT);
        }
        break;
    case 3:
        put(gen, "CAST(");
        expr(gen, (enum kind)agree_random(gen, K_BYTES));
        put(gen, " AS varchar)");
        break;
    default: column(gen, K_TEXT); break;
    }
}

static void expr_compare(struct agree_gen *gen)
{
    enum kind kind = (enum kind)agree_random(gen, K_COUNT);
    if (kind == K_BOOL)
        kind = K_INT;
    binary(gen, kind,
           PICK(gen, "=", "<>", "<", "<=", ">", ">=", "IS DISTINCT FROM", "IS NOT DISTINCT FROM"));
}

static void expr_test(struct agree_gen *gen)
{
    enum kind kind = (enum kind)agree_random(gen, K_COUNT);
    put(gen, "(");
    switch (agree_random(gen, 4)) {
    case 0:
        expr(gen, kind);
        put(gen, chance(gen, 50) ? " IS NULL" : " IS NOT NULL");
        break;
    case 1:
        kind = chance(gen, 50) ? K_INT : K_TEXT;
        expr(gen, kind);
        put(gen, chance(gen, 30) ? " NOT IN (" : " IN (");
        for (uint32_t i = 0, n = 1 + agree_random(gen, 4); i < n; i++) {
            put(gen, i ? ", " : "");
            if (chance(gen, 10))
                put(gen, "NULL");
            else
                literal(gen, kind);
        }
        put(gen, ")");
        break;
    case 2:
        kind = chance(gen, 30) ? K_TS : chance(gen, 50) ? K_INT : K_DEC;
        expr(gen, kind);
        put(gen, chance(gen, 30) ? " NOT BETWEEN " : " BETWEEN ");
        literal(gen, kind);
        put(gen, " AND ");
        literal(gen, kind);
        break;
    default:
        column(gen, K_TEXT);
        tn_buf_printf(
            &gen->sql, "%s LIKE %s", chance(gen, 30) ? " NOT" : "",
            PICK(gen, "'a%'", "'%b%'", "'_'", "'A_%'", "'é%'", "'%'", "''", "'z!%!_' ESCAPE '!'"));
        break;
    }
    put(gen, ")");
}

static void expr_bool(struct agree_gen *gen)
{
    switch (agree_random(gen, 7)) {
    case 0:
    case 1:
    case 2: expr_compare(gen); break;
    case 3: expr_test(gen); break;
    case 4: binary(gen, K_BOOL, PICK(gen, "AND", "OR")); break;
    case 5:
        put(gen, "(NOT ");
        expr(gen, K_BOOL);
        put(gen, ")");
        break;
    default: column(gen, K_BOOL); break;
    }
}

/* The time grains that charts use. */
static void grain(struct agree_gen *gen)
{
    const char *col = strcmp(gen->rel, "u") == 0 ? "TIMESTAMP '2024-01-01 10:00:07.5'" : "t.ts";
    const char *unit = PICK(gen, "second", "minute", "hour");
    int part = *unit == 's'   ? agree_random(gen, 2) ? 5 : 30
               : *unit == 'm' ? (int[]){5, 10, 15, 30}[agree_random(gen, 4)]
                              : 6;
    switch (agree_random(gen, 4)) {
    case 0:
    case 1:
        tn_buf_printf(&gen->sql,
                      "(date_trunc('%s', CAST(%s AS TIMESTAMP)) - INTERVAL '1' %s * "
                      "(%s(CAST(%s AS TIMESTAMP)) %% %d))",
                      unit, col, unit, unit, col, part);
        break;
    case 2:
        tn_buf_printf(&gen->sql,
                      "(date_trunc('week', CAST(%s AS TIMESTAMP) + INTERVAL '1' DAY) %s)", col,
                      PICK(gen, "- INTERVAL '1' DAY", "+ INTERVAL '5' DAY"));
        break;
    default:
        tn_buf_printf(&gen->sql, "(date_trunc('week', CAST(%s AS TIMESTAMP)) + INTERVAL '6' DAY)",
                      col);
    }
}

static void expr_time(struct agree_gen *gen, enum kind kind)
{
    if (kind == K_TS && has("date_trunc") && chance(gen, 60)) {
        if (chance(gen, 40)) {
            grain(gen);
            return;
        }
        tn_buf_printf(
            &gen->sql, "date_trunc('%s', ",
            PICK(gen, "second", "MINUTE", "hour", "DAY", "week", "month", "quarter", "year"));
        expr(gen, K_TS);
        put(gen, ")");
    } else if (kind == K_DATE && chance(gen, 40)) {
        put(gen, "CAST(");
        expr(gen, K_TS);
        put(gen, " AS date)");
    } else {
        column(gen, kind);
    }
}

static void expr(struct agree_gen *gen, enum kind kind)
{
    if (gen->depth >= DEPTH_MAX || chance(gen, 30)) {
        if (chance(gen, 75))
            column(gen, kind);
        else
            literal(gen, kind);
        return;
    }
    gen->depth++;
    if (chance(gen, 12)) {
        conditional(gen, kind);
    } else {
        switch (kind) {
        case K_INT: expr_int(gen); break;
        case K_DOUBLE: expr_double(gen); break;
        case K_TEXT: expr_text(gen); break;
        case K_BOOL: expr_bool(gen); break;
        case K_DEC: binary(gen, K_DEC, PICK(gen, "+", "-")); break;
        case K_DATE:
        case K_TS: expr_time(gen, kind); break;
        default: column(gen, kind); break;
        }
    }
    gen->depth--;
}

/* ---- clauses ---- */

static void where(struct agree_gen *gen, uint32_t percent)
{
    if (!chance(gen, percent))
        return;
    put(gen, " WHERE ");
    for (uint32_t i = 0, n = 1 + agree_random(gen, 3); i < n; i++) {
        put(gen, i ? " AND " : "");
        gen->depth = 1;
        expr(gen, K_BOOL);
        gen->depth = 0;
    }
}

static void order(struct agree_gen *gen, uint32_t columns)
{
    uint32_t first = agree_random(gen, columns);
    put(gen, " ORDER BY ");
    for (uint32_t i = 0; i < columns; i++)
        tn_buf_printf(
            &gen->sql, "%s%u%s", i ? ", " : "", (first + i) % columns + 1,
            PICK(gen, "", "", " DESC", " NULLS FIRST", " DESC NULLS FIRST", " DESC NULLS LAST"));
    if (chance(gen, 25))
        tn_buf_printf(&gen->sql, " OFFSET %u", agree_random(gen, 5));
    if (chance(gen, 40))
        tn_buf_printf(&gen->sql, " LIMIT %u", agree_random(gen, 12));
}

static enum kind any_kind(struct agree_gen *gen)
{
    return (enum kind)agree_random(gen, K_COUNT);
}

static uint32_t items(struct agree_gen *gen, const char *alias)
{
    uint32_t count = 1 + agree_random(gen, 4);
    for (uint32_t i = 0; i < count; i++) {
        put(gen, i ? ", " : "");
        expr(gen, any_kind(gen));
        if (alias)
            tn_buf_printf(&gen->sql, " AS %s%u", alias, i);
    }
    return count;
}

static void aggregate(struct agree_gen *gen)
{
    switch (agree_random(gen, 12)) {
    case 0: put(gen, "count(*)"); break;
    case 1: call(gen, "count", any_kind(gen)); break;
    case 2:
        put(gen, PICK(gen, "count(DISTINCT ", "count(DISTINCT ", "sum(DISTINCT "));
        column(gen, K_INT);
        put(gen, ")");
        break;
    case 3: call(gen, "sum", K_INT); break;
    case 4: call(gen, "sum", chance(gen, 50) ? K_DEC : K_WIDE); break;
    case 5: call(gen, "avg", chance(gen, 50) ? K_INT : K_DEC); break;
    case 6: call(gen, PICK(gen, "bool_and", "bool_or", "count_if"), K_BOOL); break;
    case 7: call(gen, PICK(gen, "sum", "avg"), K_DOUBLE); break;
    case 8: call(gen, "approx_distinct", any_kind(gen)); break;
    case 9:
        put(gen, "approx_percentile(");
        expr(gen, chance(gen, 50) ? K_INT : K_DOUBLE);
        put(gen, PICK(gen, ", 0.5)", ", 0)", ", 0.9e0)", ", 1)"));
        break;
    default: call(gen, PICK(gen, "min", "max"), any_kind(gen)); break;
    }
    if (chance(gen, 20)) {
        put(gen, " FILTER (WHERE ");
        expr(gen, K_BOOL);
        put(gen, ")");
    }
}

/* SELECT groups, aggregates FROM rel [WHERE] GROUP BY … [HAVING]; returns the number of columns. */
static uint32_t grouped(struct agree_gen *gen, const char *alias)
{
    uint32_t groups = agree_random(gen, 3), aggs = 1 + agree_random(gen, 3);
    put(gen, "SELECT ");
    for (uint32_t i = 0; i < groups + aggs; i++) {
        put(gen, i ? ", " : "");
        gen->depth = 1;
        if (i < groups)
            expr(gen, any_kind(gen));
        else
            aggregate(gen);
        gen->depth = 0;
        if (alias)
            tn_buf_printf(&gen->sql, " AS %s%u", alias, i);
    }
    tn_buf_printf(&gen->sql, " FROM %s", gen->rel);
    where(gen, 50);
    for (uint32_t i = 0; i < groups; i++)
        tn_buf_printf(&gen->sql, "%s%u", i ? ", " : " GROUP BY ", i + 1);
    if (chance(gen, 30)) {
        put(gen, " HAVING ");
        put(gen, PICK(gen, "count(*) > 0", "count(*) > 1", "count(*) > 3", "sum(t.i) > 3",
                      "min(t.s) < 'b' OR max(t.d) > 1", "NOT (max(t.ts) IS NULL)"));
    }
    return groups + aggs;
}

/* ---- queries ---- */

static void query_plain(struct agree_gen *gen)
{
    put(gen, chance(gen, 25) ? "SELECT DISTINCT " : "SELECT ");
    uint32_t columns = items(gen, NULL);
    put(gen, " FROM t");
    where(gen, 80);
    order(gen, columns);
}

static void query_grouped(struct agree_gen *gen)
{
    order(gen, grouped(gen, NULL));
}

static void query_derived(struct agree_gen *gen)
{
    gen->is_derived = true;
    put(gen, "SELECT c0, count(*), count(c0) FROM (");
    if (chance(gen, 50)) {
        put(gen, "SELECT ");
        items(gen, "c");
        put(gen, " FROM t");
        where(gen, 60);
    } else {
        grouped(gen, "c");
    }
    put(gen, ") x");
    if (chance(gen, 50))
        put(gen, " WHERE c0 IS NOT NULL");
    put(gen, " GROUP BY c0");
    order(gen, 3);
}

static void query_union(struct agree_gen *gen)
{
    enum kind kind = any_kind(gen);
    gen->is_native = true;
    for (int i = 0; i < 2; i++) {
        put(gen, i ? PICK(gen, " UNION ALL ", " UNION ") : "");
        put(gen, "SELECT ");
        expr(gen, kind);
        put(gen, ", ");
        expr(gen, K_INT);
        put(gen, " FROM t");
        where(gen, 60);
    }
    order(gen, 2);
}

/* Superset's limit of series: the chart joined with its own largest groups. */
static void query_series(struct agree_gen *gen)
{
    const char *group = PICK(gen, "s", "i", "dt", "m");
    gen->is_native = false;
    tn_buf_printf(&gen->sql,
                  "SELECT t.%s, count(*) AS c, sum(t.j) AS s FROM t %s JOIN (SELECT %s AS g__, "
                  "count(*) AS inner__ FROM t GROUP BY %s ORDER BY count(*) DESC, 1 LIMIT %u) AS "
                  "series_limit ON t.%s = g__",
                  group, chance(gen, 70) ? "" : "LEFT OUTER", group, group,
                  1 + agree_random(gen, 4), group);
    where(gen, 50);
    tn_buf_printf(&gen->sql, " GROUP BY t.%s", group);
    order(gen, 3);
}

static void query_join(struct agree_gen *gen)
{
    gen->is_native = false;
    if (chance(gen, 20)) {
        query_series(gen);
        return;
    }
    put(gen, "SELECT ");
    expr(gen, any_kind(gen));
    gen->rel = "u";
    put(gen, ", ");
    expr(gen, chance(gen, 50) ? K_INT : K_TEXT);
    gen->rel = "t";
    put(gen, ", t.id, u.id FROM t ");
    put(gen, PICK(gen, "JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"));
    put(gen, " u ON ");
    put(gen, PICK(gen, "t.i = u.i", "t.i = u.k AND t.s = u.s", "t.d = u.d", "t.m = u.m",
                  "t.id = u.id", "t.i < u.i"));
    if (chance(gen, 40)) {
        put(gen, " AND ");
        gen->rel = chance(gen, 50) ? "t" : "u";
        gen->depth = 1;
        expr_compare(gen);
        gen->depth = 0;
        gen->rel = "t";
    }
    where(gen, 30);
    order(gen, 4);
}

static void query_subquery(struct agree_gen *gen)
{
    gen->is_native = false;
    put(gen, "SELECT t.id, ");
    if (chance(gen, 40))
        put(gen, PICK(gen, "(SELECT max(u.k) FROM u WHERE u.i = t.i)",
                      "(SELECT count(*) FROM u WHERE u.s = t.s OR u.k > t.j)"));
    else
        expr(gen, any_kind(gen));
    put(gen, " FROM t WHERE ");
    put(gen, chance(gen, 30) ? "NOT " : "");
    put(gen, PICK(gen, "EXISTS (SELECT 1 FROM u WHERE u.i = t.i AND u.k > 0)",
                  "t.i IN (SELECT u.k FROM u)", "t.s IN (SELECT u.s FROM u WHERE u.s IS NOT NULL)",
                  "(t.i, t.s) IN (SELECT u.i, u.s FROM u)",
                  "t.i > (SELECT avg(u.i) FROM u WHERE u.s = t.s)",
                  "t.m IN (SELECT u.m FROM u WHERE u.id <> t.id)"));
    if (chance(gen, 50)) {
        put(gen, " AND ");
        gen->depth = 1;
        expr(gen, K_BOOL);
        gen->depth = 0;
    }
    order(gen, 2);
}

static void query_window(struct agree_gen *gen)
{
    gen->is_native = false;
    put(gen, "SELECT t.id, ");
    put(gen, PICK(gen, "row_number()", "rank()", "sum(t.i)", "max(t.s)", "count(t.d)", "min(t.m)",
                  "avg(t.i)", "lag(t.s)", "first_value(t.m)", "sum(t.m)"));
    put(gen, " OVER (");
    if (chance(gen, 60)) {
        put(gen, "PARTITION BY ");
        column(gen, any_kind(gen));
    }
    put(gen, " ORDER BY t.id");
    put(gen, ")");
    put(gen, " FROM t");
    where(gen, 30);
    order(gen, 2);
}

const char *agree_query(struct agree_gen *gen)
{
    tn_buf_reset(&gen->sql);
    gen->depth = 0;
    gen->rel = "t";
    gen->is_native = true;
    gen->is_derived = false;
    uint32_t form = agree_random(gen, 100);
    if (form < 30)
        query_plain(gen);
    else if (form < 60)
        query_grouped(gen);
    else if (form < 72)
        query_derived(gen);
    else if (form < 78)
        query_union(gen);
    else if (form < 88)
        query_join(gen);
    else if (form < 95)
        query_subquery(gen);
    else
        query_window(gen);
    return tn_buf_cstr(&gen->sql);
}

/* ---- rows ---- */

static void cell(struct agree_gen *gen, const char *value)
{
    put(gen, ", ");
    put(gen, chance(gen, 15) ? "NULL" : value);
}

#define TEXTS "''", "'a'", "'A'", "'ab'", "'abc'", "'é'", "'Élan'", "'z%_'", "'O''Brien'", "'b'"
#define DOUBLES                                                                                    \
    "0e0", "1.5e0", "-2.25e0", "1e10", "CAST('NaN' AS double)", "CAST('Infinity' AS double)",      \
        "CAST('-Infinity' AS double)", "0.1e0", "3e0"
#define DECIMALS "0.00", "1.50", "-7.25", "99.99", "12345678.90", "-0.01"

const char *agree_rows_t(struct agree_gen *gen, int count)
{
    tn_buf_reset(&gen->sql);
    for (int n = 0; n < count; n++) {
        tn_buf_printf(&gen->sql, "%s(%d", n ? ", " : "VALUES ", n);
        cell(gen, PICK(gen, "0", "1", "2", "3", "-1", "7"));
        cell(gen, PICK(gen, "0", "1", "2", "100", "2147483647", "-2147483648"));
        cell(gen, PICK(gen, "5000000000", "-1", "3", "7", "9000000000000000000"));
        cell(gen, PICK(gen, DOUBLES));
        cell(gen, PICK(gen, "1e0", "2e0", "-0.5e0", "1e-3"));
        cell(gen, PICK(gen, TEXTS));
        cell(gen, PICK(gen, TEXTS));
        cell(gen, PICK(gen, "true", "false"));
        cell(gen, PICK(gen, DECIMALS));
        cell(gen, PICK(gen, "0", "1.5", "-12345678901234567890.1234", "99999999999999999999999999",
                       "0.0001"));
        cell(gen, PICK(gen, "DATE '2024-01-31'", "DATE '2024-02-29'", "DATE '1969-12-31'"));
        cell(gen,
             PICK(gen, "TIMESTAMP '2024-01-01 10:00:00'", "TIMESTAMP '2024-01-01 10:59:59.999'",
                  "TIMESTAMP '1969-12-31 23:59:59'", "TIMESTAMP '2024-02-29 23:59:59.999'"));
        cell(gen, PICK(gen, "X''", "X'00ff'", "X'41'"));
        put(gen, ")");
    }
    return tn_buf_cstr(&gen->sql);
}

const char *agree_rows_u(struct agree_gen *gen, int count)
{
    tn_buf_reset(&gen->sql);
    for (int n = 0; n < count; n++) {
        tn_buf_printf(&gen->sql, "%s(%d", n ? ", " : "VALUES ", n * 2);
        cell(gen, PICK(gen, "0", "1", "2", "5"));
        cell(gen, PICK(gen, "0", "1", "2", "3", "7"));
        cell(gen, PICK(gen, TEXTS));
        cell(gen, PICK(gen, DOUBLES));
        cell(gen, PICK(gen, DECIMALS));
        put(gen, ")");
    }
    return tn_buf_cstr(&gen->sql);
}
