/* The typed syntax tree of the one dialect: what the parser makes of text, and what binders
 * read.
 *
 * One tree serves streaming statements (ksqlDB's) and queries (Trino's). It holds what was
 * written, in few normal forms (listed at each node): names are not resolved, types are names
 * with arguments, nothing is coerced. Every node has the 1-based line and column (code points)
 * where it begins in the whole text that was given to the parser; operator nodes (BINARY,
 * COMPARE, AND, OR …) have the position of their operator.
 *
 * HOW TO READ IT. Structs have a `kind`; members say for which kinds they are set, all others
 * are zero. Lists are `x` with `x_count`. A struct tn_str that is absent has ptr NULL.
 * A '?' is numbered where it stands in the text, and may stand elsewhere in canonical text.
 *
 * LIMITS. The parser refuses statements over TN_AST_DEPTH_MAX levels or TN_AST_NODES_MAX nodes,
 * counted over expressions, queries and relations together, so walking the tree by recursion is
 * safe.
 *
 * Ownership: everything lives in the arena given to the parser; strings borrow the text where
 * they can, so the text must live as long as the tree. Immutable once made. @thread any
 */
#ifndef TN_SQL_AST_H
#define TN_SQL_AST_H

#include <stdbool.h>
#include <stdint.h>
#include "stream/base/buf.h"
#include "stream/base/str.h"

#define TN_AST_DEPTH_MAX 100   /* levels of the tree, and nesting while parsing */
#define TN_AST_NODES_MAX 50000 /* nodes of one statement */

struct tn_ast_expr;
struct tn_ast_query;
struct tn_ast_stmt;

/* ---- names ------------------------------------------------------------------------------- */

struct tn_ident {
    struct tn_str
        text; /* without quotes; as written, or upper case if unquoted (identifiers=ksql) */
    bool is_quoted;
    int line, col;
};

/* a, a.b, a.b.c … */
struct tn_ast_name {
    uint32_t parts_count; /* at least 1 */
    struct tn_ident *parts;
    int line, col;
};

static inline struct tn_ident tn_ast_last(const struct tn_ast_name *name)
{
    return name->parts[name->parts_count - 1];
}

/* One property: WITH (name = value). A dotted name (rotate.records) is one text. */
struct tn_ast_prop {
    struct tn_ident name;      /* spelling as written, never folded; compare without case */
    struct tn_ast_expr *value; /* literal, array, or any expression; NULL = DEFAULT */
};

struct tn_ast_props {
    uint32_t items_count;
    struct tn_ast_prop *items;
    bool is_given; /* WITH (…) was written, perhaps empty */
    int line, col;
};

/* integer + unit: WITHIN 5 MINUTES, SIZE 1 HOUR, EVERY 10 SECONDS, TIMEOUT 3 SECONDS */
struct tn_ast_duration {
    bool is_given;
    int64_t ms;       /* checked for overflow */
    int64_t count;    /* as written */
    const char *unit; /* static, plural: "MILLISECONDS" … "DAYS" */
    int line, col;
};

/* ---- types ------------------------------------------------------------------------------- */

enum tn_ast_type_kind {
    TN_AT_NAMED, /* name, numbers: VARCHAR, VARCHAR(10), DECIMAL(4, 2), a CREATE TYPE name */
    TN_AT_ARRAY, /* children[0]; ARRAY<t>, ARRAY(t), t ARRAY */
    TN_AT_MAP,   /* children[0], children[1]; MAP<k, v>, MAP(k, v) */
    TN_AT_STRUCT /* children with names (name.ptr NULL = unnamed); STRUCT<n t>, ROW(n t), ROW(t) */
};

struct tn_ast_type {
    enum tn_ast_type_kind kind;
    uint16_t height;
    int line, col;
    /* NAMED: the name; words in a normal form: "DOUBLE" also for DOUBLE PRECISION, "INTERVAL DAY TO
     * SECOND", "INTERVAL YEAR TO MONTH"; "TIME" and "TIMESTAMP" with is_zoned for … WITH TIME ZONE
     */
    struct tn_ident name;
    bool is_zoned;
    uint32_t numbers_count; /* NAMED: up to 2 integer arguments */
    int64_t numbers[2];
    uint32_t children_count;
    struct tn_ident *names; /* STRUCT */
    struct tn_ast_type **children;
};

/* ---- expressions ------------------------------------------------------------------------- */

enum tn_ast_expr_kind {
    /* literals; a minus directly before a number is part of it */
    TN_AX_NULL,
    TN_AX_BOOLEAN, /* boolean */
    TN_AX_INTEGER, /* integer; text = decimal digits with sign */
    TN_AX_DECIMAL, /* text = sign, digits, '.', digits; also integers outside int64 (no '.') */
    TN_AX_DOUBLE,  /* number; text as written (has an exponent) */
    TN_AX_STRING,  /* text, unescaped; U&'…' is one too */
    TN_AX_BYTES,   /* text = the bytes of X'…' */
    TN_AX_TYPED, /* type, text: DATE '…', TIMESTAMP '…', DECIMAL '…', JSON '…', any_name '…' */
    TN_AX_INTERVAL, /* text, is_negative, unit, unit_to: INTERVAL -'1' DAY, INTERVAL '1-2' YEAR TO
                       MONTH */
    TN_AX_PARAM,    /* integer = 0-based number of the '?' in the statement */
    /* names */
    TN_AX_NAME,      /* name: a, t.a, s.t.a, c.s.t.a; perhaps ROW fields or lambda parameters */
    TN_AX_FIELD,     /* args[0], ident: f(x).y, (e).y; a name's own dots are in NAME */
    TN_AX_ARROW,     /* args[0], ident: s->f */
    TN_AX_SUBSCRIPT, /* args[0] [ args[1] ] */
    /* operators */
    TN_AX_NEGATE,     /* - args[0]; unary plus leaves no node */
    TN_AX_BINARY,     /* op + - * / % ||, args[0], args[1] */
    TN_AX_COMPARE,    /* op = <> < <= > >=, args[0], args[1] */
    TN_AX_AND,        /* args[2…]: a AND b AND c is one node */
    TN_AX_OR,         /* args[2…] */
    TN_AX_NOT,        /* args[0] */
    TN_AX_IS_NULL,    /* args[0]; is_not */
    TN_AX_IS_TRUE,    /* args[0]; is_not: IS [NOT] TRUE */
    TN_AX_IS_FALSE,   /* args[0]; is_not */
    TN_AX_IS_UNKNOWN, /* args[0]; is_not */
    TN_AX_DISTINCT,   /* args[0] IS [NOT] DISTINCT FROM args[1]; is_not */
    TN_AX_BETWEEN,    /* args[0], args[1] = low, args[2] = high; is_not, is_symmetric */
    TN_AX_IN,         /* args[0] in args[1…]; is_not */
    TN_AX_LIKE,       /* args[0], args[1] = pattern, args[2] = escape if args_count is 3; is_not */
    TN_AX_AT_ZONE,    /* args[0] AT TIME ZONE args[1] */
    /* subqueries */
    TN_AX_SUBQUERY,   /* query; scalar */
    TN_AX_EXISTS,     /* query; NOT EXISTS is NOT over it */
    TN_AX_IN_QUERY,   /* args[0] (a ROW for several values), query; is_not */
    TN_AX_QUANTIFIED, /* args[0] op ANY|ALL query; is_all; SOME is ANY */
    /* forms */
    TN_AX_CASE,    /* has_operand: args[0] first; then when, then, …; has_else: last arg */
    TN_AX_CAST,    /* args[0], type; is_try; is_macro: written "TIMESTAMP col" */
    TN_AX_EXTRACT, /* unit FROM args[0]; text = the field as written, lower case (TIMEZONE_HOUR,
                      DOW…) */
    TN_AX_CALL,    /* call, args: functions and aggregates; see struct tn_ast_call */
    TN_AX_ROW,     /* args: ROW(a, b), (a, b) */
    TN_AX_ARRAY,   /* args: ARRAY[a, b] */
    TN_AX_MAP,     /* args = k1, v1, k2, v2 …: MAP(k := v). MAP(a, b) of Trino is a CALL */
    TN_AX_STRUCT,  /* args with idents: STRUCT(f := v) */
    TN_AX_LAMBDA,  /* idents = parameters, args[0] = body: x => e, (k, v) => e, x -> e (Trino) */
    TN_AX_UNIT     /* unit as an argument: TIMESTAMPADD(HOURS, 2, t); else such a word is a NAME */
};

enum tn_ast_op {
    TN_AO_NONE,
    TN_AO_ADD,
    TN_AO_SUB,
    TN_AO_MUL,
    TN_AO_DIV,
    TN_AO_MOD,
    TN_AO_CONCAT,
    TN_AO_EQ,
    TN_AO_NE,
    TN_AO_LT,
    TN_AO_LE,
    TN_AO_GT,
    TN_AO_GE
};

/* "+", "<=" … Static. */
const char *tn_ast_op_text(enum tn_ast_op op);

enum tn_ast_unit {
    TN_AU_NONE,
    TN_AU_MILLISECOND,
    TN_AU_SECOND,
    TN_AU_MINUTE,
    TN_AU_HOUR,
    TN_AU_DAY,
    TN_AU_WEEK,
    TN_AU_MONTH,
    TN_AU_QUARTER,
    TN_AU_YEAR,
    TN_AU_OTHER /* EXTRACT: text names it */
};

/* "SECOND" …; "" for NONE and OTHER. Static. */
const char *tn_ast_unit_text(enum tn_ast_unit unit);

struct tn_ast_sort {
    struct tn_ast_expr *expr;
    bool is_desc;
    enum tn_ast_nulls { TN_AN_DEFAULT, TN_AN_FIRST, TN_AN_LAST } nulls;
};

enum tn_ast_frame_unit { TN_AF_NONE, TN_AF_ROWS, TN_AF_RANGE, TN_AF_GROUPS };

enum tn_ast_bound {
    TN_AB_UNBOUNDED_PRECEDING,
    TN_AB_PRECEDING, /* offset */
    TN_AB_CURRENT_ROW,
    TN_AB_FOLLOWING, /* offset */
    TN_AB_UNBOUNDED_FOLLOWING
};

/* OVER (…), OVER w, WINDOW w AS (…) */
struct tn_ast_over {
    struct tn_ident
        base;          /* OVER w: only this; OVER (w …): the window it extends; ptr NULL = none */
    bool is_reference; /* OVER w without parentheses */
    uint32_t parts_count;
    struct tn_ast_expr **parts;
    uint32_t sorts_count;
    struct tn_ast_sort *sorts;
    enum tn_ast_frame_unit frame;
    enum tn_ast_bound start, end; /* frame given: a missing end is CURRENT ROW */
    struct tn_ast_expr *start_offset, *end_offset;
    int line, col;
};

/* Details of TN_AX_CALL. Written-out forms become calls: substring(x FROM a FOR b) →
 * substring(x, a, b); trim(BOTH c FROM x) → trim(x, c), LEADING → ltrim, TRAILING → rtrim;
 * position(a IN b) → strpos(b, a); normalize(x, NFC) → normalize(x, 'NFC'). */
struct tn_ast_call {
    struct tn_ast_name name; /* usually one part */
    bool is_star;            /* count(*), t.* is not allowed */
    bool is_bare;            /* current_timestamp, current_user …: no parentheses */
    bool is_distinct;
    bool is_ignore_nulls, is_respect_nulls;
    uint32_t sorts_count; /* agg(x ORDER BY …), listagg(…) WITHIN GROUP (ORDER BY …) */
    struct tn_ast_sort *sorts;
    bool is_within_group;
    struct tn_ast_expr *filter; /* FILTER (WHERE …) */
    struct tn_ast_over *over;
};

struct tn_ast_expr {
    enum tn_ast_expr_kind kind;
    enum tn_ast_op op;
    enum tn_ast_unit unit, unit_to;
    uint16_t height; /* levels below and including this node */
    bool is_not, is_all, is_symmetric, is_try, is_macro, is_negative, has_operand, has_else;
    bool boolean;
    int line, col;
    uint32_t args_count;
    uint32_t idents_count;
    struct tn_ast_expr **args;
    struct tn_ident *idents;
    struct tn_ident ident;
    struct tn_str text;
    int64_t integer;
    double number;
    struct tn_ast_name *name;
    struct tn_ast_type *type;
    struct tn_ast_call *call;
    struct tn_ast_query *query;
};

/* ---- relations --------------------------------------------------------------------------- */

enum tn_ast_rel_kind {
    TN_AR_TABLE,    /* name */
    TN_AR_QUERY,    /* query; is_lateral */
    TN_AR_UNNEST,   /* args; has_ordinality */
    TN_AR_FUNCTION, /* TABLE(f(…)): args[0] is the CALL */
    TN_AR_JOIN      /* left, right, join … */
};

enum tn_ast_join { TN_AJ_INNER, TN_AJ_LEFT, TN_AJ_RIGHT, TN_AJ_FULL, TN_AJ_CROSS };

struct tn_ast_rel {
    enum tn_ast_rel_kind kind;
    uint16_t height;
    int line, col;
    struct tn_ast_name *name;
    struct tn_ident alias;  /* ptr NULL = none */
    uint32_t aliases_count; /* AS t(a, b) */
    struct tn_ident *aliases;
    struct tn_ast_query *query;
    bool is_lateral, has_ordinality;
    uint32_t args_count;
    struct tn_ast_expr **args;
    struct tn_str sample; /* TABLESAMPLE BERNOULLI|SYSTEM (sample_percent); NULL = none */
    struct tn_ast_expr *sample_percent;
    /* JOIN; line and col are those of JOIN's first word */
    enum tn_ast_join join;
    bool is_natural, is_comma; /* FROM a, b is CROSS with is_comma */
    struct tn_ast_rel *left, *right;
    struct tn_ast_expr *on;
    uint32_t using_count;
    struct tn_ident *using_names;
    struct tn_ast_duration within_before, within_after; /* WITHIN d sets both; (b, a) each */
    struct tn_ast_duration grace;                       /* GRACE PERIOD d */
};

/* ---- queries ----------------------------------------------------------------------------- */

enum tn_ast_item_kind {
    TN_AI_EXPR,      /* expr [[AS] alias] */
    TN_AI_STAR,      /* * */
    TN_AI_REL_STAR,  /* expr is a NAME: t.*; any other expression: (e).* of Trino, with aliases */
    TN_AI_ARROW_STAR /* expr->* */
};

struct tn_ast_item {
    enum tn_ast_item_kind kind;
    struct tn_ast_expr *expr;
    struct tn_ident alias;  /* ptr NULL = none */
    uint32_t aliases_count; /* (e).* AS (a, b) */
    struct tn_ident *aliases;
    int line, col;
};

enum tn_ast_group_kind {
    TN_AG_EXPR,   /* sets[0] with one expression; GROUP BY (a, b) and () are one set */
    TN_AG_SET,    /* sets[0]: (a, b) or () */
    TN_AG_ROLLUP, /* each of the sets */
    TN_AG_CUBE,
    TN_AG_SETS /* GROUPING SETS */
};

struct tn_ast_group_set {
    uint32_t args_count;
    struct tn_ast_expr **args;
};

struct tn_ast_group {
    enum tn_ast_group_kind kind;
    uint32_t sets_count;
    struct tn_ast_group_set *sets;
    int line, col;
};

enum tn_ast_window_kind { TN_AW_NONE, TN_AW_TUMBLING, TN_AW_HOPPING, TN_AW_SESSION };

/* WINDOW TUMBLING (SIZE d …) */
struct tn_ast_window {
    enum tn_ast_window_kind kind;
    struct tn_ast_duration size; /* SESSION: the gap */
    struct tn_ast_duration advance, retention, grace;
    int line, col;
};

/* WINDOW w AS (…) */
struct tn_ast_named_window {
    struct tn_ident name;
    struct tn_ast_over *over;
};

/* name [(a, b)] AS (query) */
struct tn_ast_cte {
    struct tn_ident name;
    uint32_t aliases_count;
    struct tn_ident *aliases;
    struct tn_ast_query *query;
};

enum tn_ast_emit { TN_AE_NONE, TN_AE_CHANGES, TN_AE_FINAL };

struct tn_ast_select {
    bool is_distinct;
    uint32_t items_count;
    struct tn_ast_item *items;
    struct tn_ast_rel *from; /* NULL = no FROM */
    struct tn_ast_window window;
    struct tn_ast_expr *where;
    uint32_t groups_count;
    struct tn_ast_group *groups;
    bool is_group_distinct; /* GROUP BY DISTINCT */
    bool is_grouped;
    uint32_t parts_count; /* PARTITION BY */
    struct tn_ast_expr **parts;
    struct tn_ast_expr *having;
    uint32_t windows_count;
    struct tn_ast_named_window *windows;
    int line, col;
};

enum tn_ast_query_kind {
    TN_AQ_SELECT, /* select */
    TN_AQ_VALUES, /* rows: ROW nodes for (a, b); other expressions are one-column rows */
    TN_AQ_TABLE,  /* TABLE name: rel */
    TN_AQ_SET,    /* left, right, set, is_all */
    TN_AQ_NESTED  /* left: a parenthesised query with WITH, ORDER BY or LIMIT of its own, when this
                     one adds more */
};

enum tn_ast_set { TN_ASET_UNION, TN_ASET_INTERSECT, TN_ASET_EXCEPT };

/* LIMIT, OFFSET, FETCH FIRST: an INTEGER or PARAM node; NULL = none (also LIMIT ALL). */
struct tn_ast_query {
    enum tn_ast_query_kind kind;
    uint16_t height;
    int line, col;
    bool is_recursive;
    uint32_t ctes_count;
    struct tn_ast_cte *ctes;
    struct tn_ast_select *select;
    uint32_t rows_count;
    struct tn_ast_expr **rows;
    struct tn_ast_rel *rel;
    enum tn_ast_set set;
    bool is_all;
    struct tn_ast_query *left, *right;
    uint32_t sorts_count;
    struct tn_ast_sort *sorts;
    enum tn_ast_emit emit;
    int emit_line, emit_col;
    struct tn_ast_expr *limit, *offset;
    bool is_with_ties; /* FETCH FIRST n ROWS WITH TIES */
};

/* ---- statements -------------------------------------------------------------------------- */

/* XX(NAME, member of the union, text for messages) */
#define TN_AST_STMT_MAP(XX)                                                                        \
    XX(QUERY, query, "SELECT")                                                                     \
    XX(CREATE_STREAM, create, "CREATE STREAM")                                                     \
    XX(CREATE_TABLE, create, "CREATE TABLE")                                                       \
    XX(CREATE_VIEW, create, "CREATE VIEW")                                                         \
    XX(CREATE_MATERIALIZED_VIEW, create, "CREATE MATERIALIZED VIEW")                               \
    XX(CREATE_SCHEMA, create, "CREATE SCHEMA")                                                     \
    XX(CREATE_TYPE, create, "CREATE TYPE")                                                         \
    XX(CREATE_CONNECTOR, create, "CREATE CONNECTOR")                                               \
    XX(CREATE_SINK, sink, "CREATE SINK")                                                           \
    XX(CREATE_JOB, job, "CREATE JOB")                                                              \
    XX(INSERT, insert, "INSERT")                                                                   \
    XX(DROP, drop, "DROP")                                                                         \
    XX(ALTER, alter, "ALTER")                                                                      \
    XX(PAUSE, control, "PAUSE")                                                                    \
    XX(RESUME, control, "RESUME")                                                                  \
    XX(TERMINATE, control, "TERMINATE")                                                            \
    XX(EXPLAIN, explain, "EXPLAIN")                                                                \
    XX(DESCRIBE, show, "DESCRIBE")                                                                 \
    XX(SHOW, show, "SHOW")                                                                         \
    XX(PRINT, print, "PRINT")                                                                      \
    XX(SET, set, "SET")                                                                            \
    XX(UNSET, set, "UNSET")                                                                        \
    XX(DEFINE, set, "DEFINE")                                                                      \
    XX(UNDEFINE, set, "UNDEFINE")                                                                  \
    XX(SET_SESSION, set, "SET SESSION")                                                            \
    XX(RESET_SESSION, set, "RESET SESSION")                                                        \
    XX(SET_TIME_ZONE, set, "SET TIME ZONE")                                                        \
    XX(SET_ROLE, set, "SET ROLE")                                                                  \
    XX(SET_PATH, set, "SET PATH")                                                                  \
    XX(SET_AUTHORIZATION, set, "SET SESSION AUTHORIZATION")                                        \
    XX(RESET_AUTHORIZATION, set, "RESET SESSION AUTHORIZATION")                                    \
    XX(ASSERT, assertion, "ASSERT")                                                                \
    XX(RUN_SCRIPT, set, "RUN SCRIPT")                                                              \
    XX(USE, use, "USE")                                                                            \
    XX(PREPARE, prepare, "PREPARE")                                                                \
    XX(EXECUTE, prepare, "EXECUTE")                                                                \
    XX(EXECUTE_IMMEDIATE, prepare, "EXECUTE IMMEDIATE")                                            \
    XX(DEALLOCATE, prepare, "DEALLOCATE PREPARE")                                                  \
    XX(START_TRANSACTION, transaction, "START TRANSACTION")                                        \
    XX(COMMIT, transaction, "COMMIT")                                                              \
    XX(ROLLBACK, transaction, "ROLLBACK")                                                          \
    XX(CALL, call, "CALL")                                                                         \
    XX(ANALYZE, analyze, "ANALYZE")                                                                \
    XX(REFUSED, refused, "statement")

enum tn_ast_stmt_kind {
#define XX(name, member, text) TN_AS_##name,
    TN_AST_STMT_MAP(XX)
#undef XX
        TN_AS_COUNT
};

/* "CREATE STREAM" …; REFUSED: use stmt->refused->what. Static. */
const char *tn_ast_stmt_text(enum tn_ast_stmt_kind kind);

enum tn_ast_object {
    TN_AOB_STREAM,
    TN_AOB_TABLE,
    TN_AOB_VIEW,
    TN_AOB_MATERIALIZED_VIEW,
    TN_AOB_SCHEMA,
    TN_AOB_TYPE,
    TN_AOB_CONNECTOR,
    TN_AOB_SINK,
    TN_AOB_JOB,
    TN_AOB_QUERY,
    TN_AOB_TOPIC,
    TN_AOB_SYSTEM
};

/* "STREAM" … Static. */
const char *tn_ast_object_text(enum tn_ast_object object);

enum tn_ast_column_role { TN_AC_VALUE, TN_AC_KEY, TN_AC_PRIMARY_KEY, TN_AC_HEADERS, TN_AC_HEADER };

struct tn_ast_column {
    struct tn_ident name;
    struct tn_ast_type *type; /* NULL: name only, CREATE TABLE t (a, b) AS … ; or LIKE */
    enum tn_ast_column_role role;
    struct tn_str header; /* HEADER('h') */
    bool is_not_null;
    struct tn_ast_expr *deflt; /* DEFAULT e */
    struct tn_str comment;     /* COMMENT 'c' */
    struct tn_ast_props props; /* column WITH (…) of Trino */
    struct tn_ast_name *like;  /* LIKE t [INCLUDING PROPERTIES]; then nothing else is set */
    bool is_like_props;
    int line, col;
};

/* CREATE STREAM, TABLE, VIEW, SCHEMA, TYPE, CONNECTOR */
struct tn_ast_create {
    struct tn_ast_name *name;
    bool is_or_replace, is_source, is_if_not_exists;
    bool is_sink; /* CONNECTOR: CREATE SINK CONNECTOR; is_source for SOURCE CONNECTOR */
    uint32_t columns_count;
    struct tn_ast_column *columns;
    bool has_columns; /* a list was written, perhaps empty */
    struct tn_str comment;
    struct tn_ast_props props;
    struct tn_ast_query *query; /* AS SELECT; VIEW */
    struct tn_str query_text;   /* as written: what a view keeps */
    bool is_no_data;            /* WITH NO DATA */
    bool is_security_invoker, is_security_definer;
    struct tn_ast_type *type;      /* TYPE */
    struct tn_ident authorization; /* SCHEMA … AUTHORIZATION x */
};

/* CREATE [OR REPLACE] SINK [IF NOT EXISTS] name FROM source INTO zone.table [TO 'url'] [WITH
 * (…)] */
struct tn_ast_sink {
    struct tn_ast_name *name, *source, *into;
    bool is_or_replace, is_if_not_exists;
    struct tn_str to; /* ptr NULL = none */
    struct tn_ast_props props;
};

/* CREATE [OR REPLACE] JOB [IF NOT EXISTS] name (EVERY d | CRON 'm h d M w' | ON ARRIVAL IN table)
 * [WITH (…)] AS statement */
struct tn_ast_job {
    struct tn_ast_name *name;
    bool is_or_replace, is_if_not_exists;
    struct tn_ast_duration every;
    struct tn_str cron;
    struct tn_ast_name *arrival;
    struct tn_ast_props props;
    struct tn_ast_stmt *stmt;
};

/* INSERT INTO name [(columns)] [WITH (…)] query; INSERT … VALUES has a VALUES query. */
struct tn_ast_insert {
    struct tn_ast_name *name;
    uint32_t columns_count;
    struct tn_ident *columns;
    struct tn_ast_props props;
    struct tn_ast_query *query;
};

struct tn_ast_drop {
    enum tn_ast_object object;
    struct tn_ast_name *name;
    bool is_if_exists, is_delete_topic, is_cascade, is_restrict;
};

/* ALTER STREAM|TABLE n ADD [COLUMN] c type, … ; ALTER SINK n SET (k = v, …) ; ALTER SYSTEM 'k' =
 * 'v' */
struct tn_ast_alter {
    enum tn_ast_object object;
    struct tn_ast_name *name; /* NULL for SYSTEM */
    bool is_if_exists;
    uint32_t columns_count;
    struct tn_ast_column *columns;
    struct tn_ast_props props;
};

/* PAUSE|RESUME|TERMINATE [QUERY] id|ALL; PAUSE|RESUME SINK n; PAUSE|RESUME JOB n */
struct tn_ast_control {
    enum tn_ast_object object; /* QUERY, SINK or JOB */
    bool is_all;
    struct tn_ident id;
};

enum tn_ast_explain_type {
    TN_AXT_DEFAULT,
    TN_AXT_LOGICAL,
    TN_AXT_DISTRIBUTED,
    TN_AXT_VALIDATE,
    TN_AXT_IO
};
enum tn_ast_explain_format { TN_AXF_DEFAULT, TN_AXF_TEXT, TN_AXF_JSON, TN_AXF_GRAPHVIZ };

struct tn_ast_explain {
    bool is_analyze, is_verbose;
    enum tn_ast_explain_type type;
    enum tn_ast_explain_format format;
    struct tn_ast_stmt *stmt; /* NULL: */
    struct tn_ident query_id; /* EXPLAIN id */
};

/* XX(NAME, words as printed) */
#define TN_AST_SHOW_MAP(XX)                                                                        \
    XX(CATALOGS, "CATALOGS")                                                                       \
    XX(SCHEMAS, "SCHEMAS")                                                                         \
    XX(TABLES, "TABLES")                                                                           \
    XX(COLUMNS, "COLUMNS")                                                                         \
    XX(FUNCTIONS, "FUNCTIONS")                                                                     \
    XX(SESSION, "SESSION")                                                                         \
    XX(PARTITIONS, "PARTITIONS")                                                                   \
    XX(STATS, "STATS FOR")                                                                         \
    XX(CREATE_TABLE, "CREATE TABLE")                                                               \
    XX(CREATE_VIEW, "CREATE VIEW")                                                                 \
    XX(CREATE_MATERIALIZED_VIEW, "CREATE MATERIALIZED VIEW")                                       \
    XX(CREATE_SCHEMA, "CREATE SCHEMA")                                                             \
    XX(CREATE_FUNCTION, "CREATE FUNCTION")                                                         \
    XX(GRANTS, "GRANTS")                                                                           \
    XX(ROLES, "ROLES")                                                                             \
    XX(CURRENT_ROLES, "CURRENT ROLES")                                                             \
    XX(ROLE_GRANTS, "ROLE GRANTS")                                                                 \
    XX(BRANCHES, "BRANCHES")                                                                       \
    XX(STREAMS, "STREAMS")                                                                         \
    XX(TOPICS, "TOPICS")                                                                           \
    XX(ALL_TOPICS, "ALL TOPICS")                                                                   \
    XX(QUERIES, "QUERIES")                                                                         \
    XX(TYPES, "TYPES")                                                                             \
    XX(PROPERTIES, "PROPERTIES")                                                                   \
    XX(VARIABLES, "VARIABLES")                                                                     \
    XX(CONNECTORS, "CONNECTORS")                                                                   \
    XX(SOURCE_CONNECTORS, "SOURCE CONNECTORS")                                                     \
    XX(SINK_CONNECTORS, "SINK CONNECTORS")                                                         \
    XX(CONNECTOR_PLUGINS, "CONNECTOR PLUGINS")                                                     \
    XX(SINKS, "SINKS")                                                                             \
    XX(JOBS, "JOBS")                                                                               \
    /* DESCRIBE only */                                                                            \
    XX(OBJECT, "")                                                                                 \
    XX(INPUT, "INPUT")                                                                             \
    XX(OUTPUT, "OUTPUT")                                                                           \
    XX(FUNCTION, "FUNCTION")                                                                       \
    XX(CONNECTOR, "CONNECTOR")

enum tn_ast_show_what {
#define XX(name, text) TN_AH_##name,
    TN_AST_SHOW_MAP(XX)
#undef XX
        TN_AH_COUNT
};

const char *tn_ast_show_text(enum tn_ast_show_what what); /* "CREATE TABLE" */

/* SHOW, LIST and DESCRIBE. */
struct tn_ast_show {
    enum tn_ast_show_what what;
    bool is_list; /* written LIST */
    bool is_extended;
    struct tn_ast_name *name;   /* FROM|IN name, CREATE TABLE name, DESCRIBE name; NULL = none */
    struct tn_ast_query *query; /* STATS FOR (query) */
    struct tn_str like, escape; /* ptr NULL = none */
};

/* PRINT topic [FROM BEGINNING] [INTERVAL n] [LIMIT n] */
struct tn_ast_print {
    struct tn_ident topic;
    bool is_from_beginning;
    int64_t interval, limit; /* 0 = not given */
};

/* SET 'k' = 'v', UNSET 'k', DEFINE v = 'x', UNDEFINE v, SET SESSION a.b = e, RESET SESSION a.b,
 * SET TIME ZONE LOCAL|e, SET ROLE r|ALL|NONE, SET PATH …, RUN SCRIPT 'f' */
struct tn_ast_set_stmt {
    struct tn_str key;         /* SET, UNSET, DEFINE, UNDEFINE: name; SET ROLE: role, ALL or NONE */
    struct tn_str text;        /* SET, DEFINE, RUN SCRIPT: value */
    struct tn_ast_name *name;  /* SET SESSION, RESET SESSION */
    struct tn_ast_expr *value; /* SET SESSION, SET TIME ZONE (NULL = LOCAL) */
    int line, col;             /* of the key or name */
};

enum tn_ast_assert_kind {
    TN_AA_TOPIC,       /* name or text, props, timeout; is_not_exists */
    TN_AA_SCHEMA,      /* subject and/or schema_id, timeout; is_not_exists */
    TN_AA_VALUES,      /* insert */
    TN_AA_NULL_VALUES, /* insert */
    TN_AA_STREAM,      /* create */
    TN_AA_TABLE        /* create */
};

struct tn_ast_assert {
    enum tn_ast_assert_kind kind;
    bool is_not_exists;
    struct tn_ident topic;
    struct tn_ident subject;
    bool has_schema_id;
    int64_t schema_id;
    struct tn_ast_props props;
    struct tn_ast_duration timeout;
    struct tn_ast_create *create;
    struct tn_ast_insert *insert;
};

/* USE [catalog.]schema */
struct tn_ast_use {
    struct tn_ident catalog; /* ptr NULL = none */
    struct tn_ident schema;
};

/* PREPARE name FROM stmt; EXECUTE name [USING …]; EXECUTE IMMEDIATE 'text' [USING …]; DEALLOCATE
 * PREPARE name */
struct tn_ast_prepare {
    struct tn_ident name;
    struct tn_ast_stmt *stmt; /* PREPARE; stmt->text is the inner text as written */
    struct tn_str
        text; /* EXECUTE IMMEDIATE: parse it with start_line, start_col = text_line, text_col */
    int text_line, text_col; /* first character inside the quotes */
    uint32_t args_count;     /* USING */
    struct tn_ast_expr **args;
};

struct tn_ast_transaction {
    const char *isolation; /* "READ UNCOMMITTED" …; NULL = not given */
    bool is_read_only, is_read_write;
};

struct tn_ast_call_stmt {
    struct tn_ast_name *name;
    uint32_t args_count;
    struct tn_ident *names; /* ptr NULL = positional */
    struct tn_ast_expr **args;
};

struct tn_ast_analyze {
    struct tn_ast_name *name;
    struct tn_ast_props props;
};

/* Known by name, not offered: GRANT, MERGE, CREATE ROLE … The rest of its text was only checked
 * for tokens. */
struct tn_ast_refused {
    const char *what; /* static: "GRANT" */
    const char *hint; /* static, may be NULL */
};

struct tn_ast_stmt {
    enum tn_ast_stmt_kind kind;
    int line, col;
    struct tn_str text;    /* as written, without the ';' and outer spaces */
    uint32_t params_count; /* number of '?' */
    union {
        struct tn_ast_query *query;
        struct tn_ast_create *create;
        struct tn_ast_sink *sink;
        struct tn_ast_job *job;
        struct tn_ast_insert *insert;
        struct tn_ast_drop *drop;
        struct tn_ast_alter *alter;
        struct tn_ast_control *control;
        struct tn_ast_explain *explain;
        struct tn_ast_show *show;
        struct tn_ast_print *print;
        struct tn_ast_set_stmt *set;
        struct tn_ast_assert *assertion;
        struct tn_ast_use *use;
        struct tn_ast_prepare *prepare;
        struct tn_ast_transaction *transaction;
        struct tn_ast_call_stmt *call;
        struct tn_ast_analyze *analyze;
        struct tn_ast_refused *refused;
    };
};

/* ---- canonical text (ast_print.c) -------------------------------------------------------- */

/* SQL that parses to the same tree: keywords upper case, single spaces, no comments, parentheses
 * only where needed, names as written ("…" for quoted ones). print → parse → print is a fixed
 * point. Two statements with the same canonical text mean the same; refused ones print as written.
 */
void tn_ast_print_stmt(const struct tn_ast_stmt *stmt, struct tn_buf *buf);
void tn_ast_print_query(const struct tn_ast_query *query, struct tn_buf *buf);
void tn_ast_print_expr(const struct tn_ast_expr *expr, struct tn_buf *buf);
void tn_ast_print_type(const struct tn_ast_type *type, struct tn_buf *buf);
void tn_ast_print_name(const struct tn_ast_name *name, struct tn_buf *buf);

#endif
