/* Printing loses nothing: random statements, written with every parenthesis, are parsed and
 * printed; the canonical text must parse to a tree of the same shape (kinds, operators, flags,
 * names, in order) and print as itself.
 *
 * The generator prefers what parentheses matter for: words that begin a form of their own used as
 * names, negative numbers, predicates inside predicates, set operations and joins in joins. It is
 * seeded; a failure prints its seed. Usage: test_parser_random [SEED COUNT]
 */
#include <stdlib.h>
#include "sql/parse.h"
#include "tests/check.h"

#define TEXT_BYTES (1024 * 1024)

/* ---- random ---------------------------------------------------------------------------------- */

static uint64_t random_state;

static unsigned random_below(unsigned n)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(random_state >> 33) % n;
}

static const char *pick(const char *const *items, size_t count)
{
    return items[random_below((unsigned)count)];
}
#define PICK(...)                                                                                  \
    pick((const char *const[]){__VA_ARGS__},                                                       \
         sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))

/* ---- generator: expressions ------------------------------------------------------------------ */

static void gen_expr(struct tn_buf *buf, int depth);
static void gen_query(struct tn_buf *buf, int depth);

static const char *gen_name(void)
{
    return PICK("a", "b", "s.x", "\"Q q\"", "all", "array", "interval", "timestamp", "map", "row",
                "struct", "both", "leading", "symmetric", "current", "unbounded", "rollup", "cube",
                "grouping", "date", "first", "nulls", "filter", "over", "limit", "offset", "emit",
                "window", "partition", "within", "any", "some", "at", "zone", "time", "try_cast",
                "extract", "trim", "position", "if", "key", "lateral", "unnest", "`order`", "hours",
                "rows", "ignore", "escape_", "asc", "desc", "recursive", "values_");
}

/* An expression in parentheses, so that its place can not change it. */
static void gen_paren(struct tn_buf *buf, int depth)
{
    tn_buf_add_byte(buf, '(');
    gen_expr(buf, depth);
    tn_buf_add_byte(buf, ')');
}

static void gen_list(struct tn_buf *buf, int depth, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        tn_buf_add_text(buf, i == 0 ? "" : ", ");
        gen_paren(buf, depth);
    }
}

static void gen_literal(struct tn_buf *buf)
{
    tn_buf_add_text(buf, PICK("1", "-1", "- 2", "1.5", "-.5", "1e3", "-2E-1", "5.", "'x'",
                              "'it''s'", "NULL", "TRUE", "X'0a'", "DATE '2024-01-01'",
                              "INTERVAL '1' DAY", "INTERVAL -'1' HOUR", "TIMESTAMP 'x'",
                              "ARRAY 'x'", "?", "9223372036854775808", "-9223372036854775808",
                              "current_date", "current_timestamp(3)", "U&'\\0041'"));
}

static void gen_wrapped(struct tn_buf *buf, int depth, const char *before, const char *between,
                        const char *after)
{
    tn_buf_add_text(buf, before);
    gen_paren(buf, depth);
    if (between) {
        tn_buf_add_text(buf, between);
        gen_paren(buf, depth);
    }
    tn_buf_add_text(buf, after);
}

static void gen_operator(struct tn_buf *buf, int depth)
{
    switch (random_below(12)) {
    case 0:
    case 1:
    case 2:
        gen_wrapped(buf, depth, "",
                    PICK("+", "-", "*", "/", "%", "||", "=", "<>", "<", ">=", " AND ", " OR "), "");
        break;
    case 3: gen_wrapped(buf, depth, PICK("-", "- ", "+", "NOT ", "NOT"), NULL, ""); break;
    case 4:
        gen_wrapped(buf, depth, "", NULL,
                    PICK(" IS NULL", " IS NOT NULL", " IS TRUE", " IS NOT UNKNOWN"));
        break;
    case 5: gen_wrapped(buf, depth, "", " IS NOT DISTINCT FROM ", ""); break;
    case 6:
        gen_wrapped(buf, depth, "", PICK(" BETWEEN ", " NOT BETWEEN ", " BETWEEN SYMMETRIC "), "");
        gen_wrapped(buf, depth, " AND ", NULL, "");
        break;
    case 7:
        gen_wrapped(buf, depth, "", NULL, PICK(" IN (", " NOT IN ("));
        gen_list(buf, depth, 1 + random_below(3));
        tn_buf_add_byte(buf, ')');
        break;
    case 8:
        gen_wrapped(buf, depth, "", PICK(" LIKE ", " NOT LIKE "), "");
        if (random_below(2))
            gen_wrapped(buf, depth, " ESCAPE ", NULL, "");
        break;
    case 9: gen_wrapped(buf, depth, "", " AT TIME ZONE ", ""); break;
    case 10: gen_wrapped(buf, depth, "", "[", "]"); break;
    default: gen_wrapped(buf, depth, "", NULL, PICK("->f", ".f", "->select", ".g.h")); break;
    }
}

static void gen_over(struct tn_buf *buf, int depth)
{
    gen_wrapped(buf, depth, " OVER (PARTITION BY ", " ORDER BY ", " DESC ");
    if (random_below(2))
        gen_wrapped(buf, depth, "ROWS BETWEEN ", " PRECEDING AND ", " FOLLOWING");
    else
        tn_buf_add_text(buf, PICK("", "RANGE UNBOUNDED PRECEDING", "ROWS CURRENT ROW"));
    tn_buf_add_byte(buf, ')');
}

static void gen_call(struct tn_buf *buf, int depth)
{
    tn_buf_add_text(buf, PICK("f", "count", "\"trim\"", "map", "array", "date", "timestampadd",
                              "transform", "s.f", "if", "first"));
    tn_buf_add_text(buf, PICK("(", "(", "(DISTINCT ", "(ALL "));
    gen_list(buf, depth, 2);
    if (random_below(4) == 0)
        gen_wrapped(buf, depth, " ORDER BY ", NULL, " NULLS FIRST");
    tn_buf_add_byte(buf, ')');
    if (random_below(4) == 0)
        gen_wrapped(buf, depth, " FILTER (WHERE ", NULL, ")");
    if (random_below(4) == 0)
        gen_over(buf, depth);
}

static void gen_form(struct tn_buf *buf, int depth)
{
    switch (random_below(14)) {
    case 0: gen_wrapped(buf, depth, "CASE ", " WHEN ", ""); break;
    case 1: gen_wrapped(buf, depth, "CASE WHEN ", " THEN ", " END"); return;
    case 2:
        gen_wrapped(buf, depth, PICK("CAST(", "TRY_CAST("), NULL,
                    PICK(" AS INT)", " AS ROW(a INT, \"b\" ARRAY<DATE>))", " AS DOUBLE PRECISION)",
                         " AS TIMESTAMP(3) WITH TIME ZONE)"));
        return;
    case 3:
        gen_wrapped(buf, depth, PICK("EXTRACT(HOUR FROM ", "extract(doy FROM "), NULL, ")");
        return;
    case 4: gen_wrapped(buf, depth, "substring(", " FROM ", ")"); return;
    case 5:
        gen_wrapped(buf, depth, PICK("trim(", "trim(LEADING ", "trim(BOTH "), " FROM ", ")");
        return;
    case 6: gen_wrapped(buf, depth, "position(", " IN ", ")"); return;
    case 7: gen_wrapped(buf, depth, "ROW(", ", ", ")"); return;
    case 8: gen_wrapped(buf, depth, "ARRAY[", ", ", "]"); return;
    case 9: gen_wrapped(buf, depth, "MAP(", " := ", ")"); return;
    case 10: gen_wrapped(buf, depth, "STRUCT(a := ", ", \"b\" := ", ")"); return;
    case 11:
        tn_buf_add_text(buf, PICK("(x => ", "((x, y) => ", "(() => "));
        gen_paren(buf, depth);
        tn_buf_add_byte(buf, ')');
        return;
    case 12: gen_wrapped(buf, depth, "(", ", ", ")"); return;
    default: gen_call(buf, depth); return;
    }
    gen_wrapped(buf, depth, " THEN ", NULL, " ELSE 1 END");
}

static void gen_subquery(struct tn_buf *buf, int depth)
{
    unsigned kind = random_below(4);
    if (kind == 0)
        tn_buf_add_text(buf, "EXISTS ");
    else if (kind < 3)
        gen_wrapped(buf, depth, "", NULL, kind == 1 ? " IN " : PICK(" = ANY ", " <> ALL "));
    tn_buf_add_byte(buf, '(');
    gen_query(buf, depth);
    tn_buf_add_byte(buf, ')');
}

static void gen_expr(struct tn_buf *buf, int depth)
{
    unsigned kind = depth <= 0 ? random_below(2) : random_below(8);
    if (kind == 0)
        tn_buf_add_text(buf, gen_name());
    else if (kind == 1)
        gen_literal(buf);
    else if (kind < 5)
        gen_operator(buf, depth - 1);
    else if (kind < 7)
        gen_form(buf, depth - 1);
    else
        gen_subquery(buf, depth - 2);
}

/* ---- generator: queries ---------------------------------------------------------------------- */

static void gen_rel(struct tn_buf *buf, int depth)
{
    unsigned kind = depth <= 0 ? 0 : random_below(6);
    switch (kind) {
    case 1:
        tn_buf_add_byte(buf, '(');
        gen_query(buf, depth - 1);
        tn_buf_add_text(buf, PICK(")", ") AS t", ") t(a, b)", ") AS \"T\""));
        break;
    case 2:
    case 3:
        tn_buf_add_byte(buf, '(');
        gen_rel(buf, depth - 1);
        tn_buf_add_text(buf, PICK(" JOIN ", " LEFT OUTER JOIN ", " FULL JOIN ", " RIGHT JOIN "));
        gen_rel(buf, depth - 1);
        tn_buf_add_text(buf,
                        PICK("", " WITHIN 1 HOUR", " WITHIN (1 HOUR, 2 HOURS) GRACE PERIOD 1 DAY"));
        gen_wrapped(buf, depth - 1, " ON ", NULL, ")");
        break;
    case 4:
        tn_buf_add_byte(buf, '(');
        gen_rel(buf, depth - 1);
        tn_buf_add_text(buf, PICK(" CROSS JOIN ", " NATURAL JOIN "));
        gen_rel(buf, depth - 1);
        tn_buf_add_byte(buf, ')');
        break;
    case 5: gen_wrapped(buf, depth - 1, "UNNEST(", NULL, ") WITH ORDINALITY AS u(a, b)"); break;
    default:
        tn_buf_add_text(buf, PICK("t", "s.t", "\"T\".u", "window", "limit", "lateral", "unnest"));
        tn_buf_add_text(buf, PICK("", " AS x", " AS \"Y\"(a)", " AS partition"));
        break;
    }
}

static void gen_select(struct tn_buf *buf, int depth)
{
    tn_buf_add_text(buf, PICK("SELECT ", "SELECT DISTINCT ", "SELECT ALL ", "SELECT *, "));
    gen_paren(buf, depth);
    tn_buf_add_text(buf, PICK("", " AS c", " AS \"D\"", ", t.*", " AS emit", ".*", "->*"));
    if (random_below(4))
        gen_rel((tn_buf_add_text(buf, " FROM "), buf), depth);
    if (random_below(8) == 0)
        tn_buf_add_text(buf, PICK(" WINDOW TUMBLING (SIZE 1 HOUR, RETENTION 1 DAY)",
                                  " WINDOW HOPPING (SIZE 2 DAYS, ADVANCE BY 1 DAY)",
                                  " WINDOW SESSION (5 MINUTES, GRACE PERIOD 1 SECOND)"));
    if (random_below(3) == 0)
        gen_wrapped(buf, depth, " WHERE ", NULL, "");
    if (random_below(3) == 0)
        gen_wrapped(buf, depth,
                    PICK(" GROUP BY ", " GROUP BY (), ", " GROUP BY ROLLUP (a, (b, c)), "), NULL,
                    PICK("", ", (a, b)", ", GROUPING SETS ((), a, (b, c))"));
    if (random_below(6) == 0)
        gen_wrapped(buf, depth, " PARTITION BY ", NULL, "");
    if (random_below(6) == 0)
        gen_wrapped(buf, depth, " HAVING ", NULL, "");
}

static void gen_term(struct tn_buf *buf, int depth)
{
    if (random_below(3) == 0) {
        tn_buf_add_byte(buf, '(');
        gen_query(buf, depth - 1);
        tn_buf_add_byte(buf, ')');
    } else if (random_below(6) == 0) {
        tn_buf_add_text(buf, "VALUES ");
        gen_list(buf, depth - 1, 1 + random_below(2));
    } else if (random_below(8) == 0) {
        tn_buf_add_text(buf, "TABLE s.t");
    } else {
        gen_select(buf, depth - 1);
    }
}

static void gen_query(struct tn_buf *buf, int depth)
{
    if (depth > 1 && random_below(6) == 0) {
        tn_buf_add_text(buf,
                        PICK("WITH q AS (", "WITH RECURSIVE q (a, b) AS (", "WITH recursive AS ("));
        gen_query(buf, depth - 2);
        tn_buf_add_text(buf, ") ");
    }
    gen_term(buf, depth);
    for (unsigned n = depth > 0 ? random_below(3) : 0; n > 0; n--) {
        tn_buf_add_text(
            buf, PICK(" UNION ", " UNION ALL ", " EXCEPT ", " INTERSECT ", " INTERSECT ALL "));
        gen_term(buf, depth - 1);
    }
    if (random_below(4) == 0)
        gen_wrapped(buf, depth - 1, " ORDER BY ", NULL, PICK("", " DESC", " NULLS LAST", " ASC"));
    tn_buf_add_text(buf, PICK("", "", "", " EMIT CHANGES"));
    tn_buf_add_text(buf, PICK("", "", "", " LIMIT 1", " OFFSET 2", " LIMIT ? OFFSET ?",
                              " OFFSET 1 FETCH FIRST 2 ROWS WITH TIES"));
}

/* ---- shape ----------------------------------------------------------------------------------- */

static void shape_query(const struct tn_ast_query *query, struct tn_buf *buf);

static void shape_expr(const struct tn_ast_expr *e, struct tn_buf *buf);

static void shape_exprs(struct tn_ast_expr *const *exprs, uint32_t count, struct tn_buf *buf)
{
    for (uint32_t i = 0; i < count; i++)
        shape_expr(exprs[i], buf);
}

static void shape_sorts(const struct tn_ast_sort *sorts, uint32_t count, struct tn_buf *buf)
{
    for (uint32_t i = 0; i < count; i++) {
        tn_buf_printf(buf, "<%d%d", sorts[i].is_desc, (int)sorts[i].nulls);
        shape_expr(sorts[i].expr, buf);
    }
}

static void shape_call(const struct tn_ast_call *call, struct tn_buf *buf)
{
    tn_ast_print_name(&call->name, buf);
    tn_buf_printf(buf, "%d%d%d%d", call->is_star, call->is_bare, call->is_distinct,
                  call->is_within_group);
    shape_sorts(call->sorts, call->sorts_count, buf);
    if (call->filter)
        shape_expr(call->filter, buf);
    if (call->over) {
        tn_buf_printf(buf, "o%d%d%d", (int)call->over->frame, (int)call->over->start,
                      (int)call->over->end);
        shape_exprs(call->over->parts, call->over->parts_count, buf);
        shape_sorts(call->over->sorts, call->over->sorts_count, buf);
        if (call->over->start_offset)
            shape_expr(call->over->start_offset, buf);
        if (call->over->end_offset)
            shape_expr(call->over->end_offset, buf);
    }
}

static void add_lower(struct tn_str text, struct tn_buf *buf)
{
    for (size_t i = 0; i < text.len; i++)
        tn_buf_add_byte(buf, (char)(text.ptr[i] | 0x20));
}

/* a AND (b AND c) is a AND b AND c. */
static void shape_args(const struct tn_ast_expr *e, struct tn_buf *buf)
{
    bool is_chain = e->kind == TN_AX_AND || e->kind == TN_AX_OR;
    for (uint32_t i = 0; i < e->args_count; i++)
        if (is_chain && e->args[i]->kind == e->kind)
            shape_args(e->args[i], buf);
        else
            shape_expr(e->args[i], buf);
}

static void shape_expr(const struct tn_ast_expr *e, struct tn_buf *buf)
{
    tn_buf_printf(buf, "(%d.%d.%d%d%d%d%d%d%d", (int)e->kind, (int)e->op, e->is_not, e->is_all,
                  e->is_symmetric, e->is_try, e->is_negative, e->has_operand, e->has_else);
    tn_buf_printf(buf, ".%d.%d.%d.%lld ", e->boolean, (int)e->unit, (int)e->unit_to,
                  e->kind == TN_AX_PARAM ? 0 : (long long)e->integer);
    tn_buf_add_str(buf, e->text);
    if (e->name)
        for (uint32_t i = 0; i < e->name->parts_count; i++)
            tn_buf_printf(buf, ".%.*s", TN_STR_FMT(e->name->parts[i].text));
    add_lower(e->ident.text, buf);
    for (uint32_t i = 0; i < e->idents_count; i++)
        add_lower(e->idents[i].text, buf);
    if (e->type)
        tn_ast_print_type(e->type, buf);
    if (e->call)
        shape_call(e->call, buf);
    shape_args(e, buf);
    if (e->query)
        shape_query(e->query, buf);
    tn_buf_add_byte(buf, ')');
}

static void shape_rel(const struct tn_ast_rel *rel, struct tn_buf *buf)
{
    tn_buf_printf(buf, "{%d.%d.%d%d%d%d.%lld.%lld.%lld ", (int)rel->kind, (int)rel->join,
                  rel->is_natural, rel->is_comma, rel->is_lateral, rel->has_ordinality,
                  (long long)rel->within_before.ms, (long long)rel->within_after.ms,
                  (long long)rel->grace.ms);
    if (rel->name)
        tn_ast_print_name(rel->name, buf);
    tn_buf_printf(buf, " %.*s", TN_STR_FMT(rel->alias.text));
    for (uint32_t i = 0; i < rel->aliases_count; i++)
        tn_buf_printf(buf, " %.*s", TN_STR_FMT(rel->aliases[i].text));
    if (rel->query)
        shape_query(rel->query, buf);
    shape_exprs(rel->args, rel->args_count, buf);
    if (rel->left)
        shape_rel(rel->left, buf);
    if (rel->right)
        shape_rel(rel->right, buf);
    if (rel->on)
        shape_expr(rel->on, buf);
    tn_buf_add_byte(buf, '}');
}

static void shape_select(const struct tn_ast_select *s, struct tn_buf *buf)
{
    tn_buf_printf(buf, "%d%d%d.%lld.%lld.%lld ", s->is_distinct, s->is_grouped, (int)s->window.kind,
                  (long long)s->window.size.ms, (long long)s->window.retention.ms,
                  (long long)s->window.grace.ms);
    for (uint32_t i = 0; i < s->items_count; i++) {
        tn_buf_printf(buf, ",%d %.*s", (int)s->items[i].kind, TN_STR_FMT(s->items[i].alias.text));
        if (s->items[i].expr)
            shape_expr(s->items[i].expr, buf);
    }
    if (s->from)
        shape_rel(s->from, buf);
    if (s->where)
        shape_expr((tn_buf_add_byte(buf, 'w'), s->where), buf);
    for (uint32_t i = 0; i < s->groups_count; i++) {
        tn_buf_printf(buf, "g%d", (int)s->groups[i].kind);
        for (uint32_t k = 0; k < s->groups[i].sets_count; k++) {
            tn_buf_add_byte(buf, ';');
            shape_exprs(s->groups[i].sets[k].args, s->groups[i].sets[k].args_count, buf);
        }
    }
    tn_buf_add_byte(buf, 'p');
    shape_exprs(s->parts, s->parts_count, buf);
    if (s->having)
        shape_expr((tn_buf_add_byte(buf, 'h'), s->having), buf);
}

static void shape_query(const struct tn_ast_query *q, struct tn_buf *buf)
{
    tn_buf_printf(buf, "[%d.%d%d%d%d%d ", (int)q->kind, (int)q->set, q->is_all, q->is_recursive,
                  (int)q->emit, q->is_with_ties);
    for (uint32_t i = 0; i < q->ctes_count; i++) {
        tn_buf_printf(buf, "c%.*s.%u", TN_STR_FMT(q->ctes[i].name.text), q->ctes[i].aliases_count);
        shape_query(q->ctes[i].query, buf);
    }
    if (q->select)
        shape_select(q->select, buf);
    shape_exprs(q->rows, q->rows_count, buf);
    if (q->rel)
        shape_rel(q->rel, buf);
    if (q->left)
        shape_query(q->left, buf);
    if (q->right)
        shape_query(q->right, buf);
    shape_sorts(q->sorts, q->sorts_count, buf);
    if (q->limit)
        shape_expr((tn_buf_add_byte(buf, 'l'), q->limit), buf);
    if (q->offset)
        shape_expr((tn_buf_add_byte(buf, 'o'), q->offset), buf);
    tn_buf_add_byte(buf, ']');
}

/* ---- check ----------------------------------------------------------------------------------- */

/* One random query. False: it has more levels than a statement may have. */
static bool check_one(uint64_t seed, struct tn_arena *arena)
{
    struct tn_buf text, print[2], shape[2];
    struct tn_err err = TN_ERR_INIT;
    struct tn_ast_stmt *stmt;
    bool is_ok = true, is_parsed = true;
    struct tn_buf *bufs[] = {&text, &print[0], &print[1], &shape[0], &shape[1]};
    for (size_t i = 0; i < 5; i++)
        tn_buf_init(bufs[i], TEXT_BYTES);
    random_state = seed;
    gen_query(&text, 2 + (int)random_below(4));
    tn_arena_reset(arena);
    for (int i = 0; i < 2 && is_ok && is_parsed; i++) {
        enum tn_status st =
            tn_parse_statement(tn_buf_str(i ? &print[0] : &text), NULL, arena, &stmt, &err);
        is_parsed = st != TN_E_LIMIT;
        is_ok = !tn_failed(st) || !is_parsed;
        if (tn_failed(st))
            continue;
        tn_ast_print_stmt(stmt, &print[i]);
        shape_query(stmt->query, &shape[i]);
    }
    is_ok = is_ok && (!is_parsed || (tn_str_eq(tn_buf_str(&print[0]), tn_buf_str(&print[1])) &&
                                     tn_str_eq(tn_buf_str(&shape[0]), tn_buf_str(&shape[1]))));
    CHECK(is_ok);
    if (!is_ok)
        fprintf(stderr, "seed %llu:\n  %s\n  %s\n  %s\n  %s at %d:%d\n", (unsigned long long)seed,
                tn_buf_cstr(&text), tn_buf_cstr(&print[0]), tn_buf_cstr(&print[1]), err.message,
                err.line, err.col);
    for (size_t i = 0; i < 5; i++)
        tn_buf_release(bufs[i]);
    return is_parsed;
}

int main(int argc, char **argv)
{
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    long count = argc > 2 ? strtol(argv[2], NULL, 10) : 4000, parsed_count = 0;
    struct tn_arena arena;
    tn_arena_init(&arena, 0);
    for (long i = 0; i < count && tn_checks_failed < 5; i++)
        parsed_count += check_one(seed + (uint64_t)i, &arena);
    tn_arena_release(&arena);
    printf("%ld random queries, %ld within the limits\n", count, parsed_count);
    CHECK(parsed_count > count / 2);
    return TN_TEST_END();
}
