/* Inside of the parser: shared by parse*.c only.
 *
 * HOW IT WORKS. Recursive descent with one token of look-ahead (more where a form needs it, by
 * lexing a copy).
 * - Errors are sticky: the first one is kept in parser->err, and the current token becomes END from
 * then on, so every loop ends and every function returns a node that is safe to touch. Nothing
 * checks for NULL; the entry point looks at parser->st once.
 * - Each failed tni_accept remembers what it looked for at this token; tni_expected turns that into
 * "expected A, B or C, got 'X'" and the nearest keyword. Operators are looked for quietly: they
 * serve the hint only.
 * - Depth is counted while descending, and each finished node gets its height; both are bounded by
 *   TN_AST_DEPTH_MAX, the number of nodes by TN_AST_NODES_MAX.
 * - A parenthesis may hold an expression, a relation or a query, known only behind it. What was
 * parsed first is handed over in parser->pending_* and taken up as the first operand; nothing is
 * parsed twice.
 */
#ifndef TN_SQL_PARSE_INT_H
#define TN_SQL_PARSE_INT_H

#include "sql/lexer.h"
#include "sql/parse.h"

#define TNI_EXPECTED_MAX 64
#define TNI_COMPOUND_MAX 50 /* terms of one UNION, INTERSECT, EXCEPT chain */

struct tni_expected {
    const char *text; /* static: FROM, ',', a name */
    bool is_keyword;  /* counts for the hint */
    bool is_quiet;    /* hint only */
};

struct tni_expected_set {
    uint32_t count;
    struct tni_expected items[TNI_EXPECTED_MAX];
};

struct tni_parser {
    struct tni_lexer lexer; /* behind tok */
    struct tni_token tok;   /* current */
    size_t prev_end;        /* byte behind the last consumed token */
    struct tn_arena *arena;
    struct tn_err *err;
    enum tn_status st;
    bool is_identifiers_ksql;
    int depth;
    uint32_t nodes_count, params_count;
    struct tni_expected_set expected;
    /* A word taken as alias without AS may be a mistyped keyword: what was possible in its place.
     */
    struct tni_token alias;
    size_t alias_end; /* prev_end behind it; 0 = none */
    struct tni_expected_set alias_expected;
    int item_depth; /* depth of the expressions of the select list being read; 0 = none */
    struct tn_ast_expr *pending_expr;
    struct tn_ast_query *pending_query;
    struct tn_ast_rel *pending_rel;
};

/* ---- tokens: parse.c --------------------------------------------------------------------- */

void tni_advance(struct tni_parser *parser);
/* The n-th token behind the current one (n ≥ 1). Errors show as TNI_T_ERROR. */
struct tni_token tni_peek(const struct tni_parser *parser, int n);

static inline bool tni_is_kw(const struct tni_parser *parser, enum tni_kw kw)
{
    return parser->tok.kind == TNI_T_WORD && parser->tok.kw == kw;
}
static inline bool tni_is_op(const struct tni_parser *parser, int op)
{
    return parser->tok.kind == TNI_T_OP && parser->tok.op == op;
}
static inline bool tni_token_is_kw(const struct tni_token *token, enum tni_kw kw)
{
    return token->kind == TNI_T_WORD && token->kw == kw;
}
static inline bool tni_token_is_op(const struct tni_token *token, int op)
{
    return token->kind == TNI_T_OP && token->op == op;
}
/* Is it one of these single characters? */
static inline bool tni_token_op_in(const struct tni_token *token, const char *ops)
{
    return token->kind == TNI_T_OP && token->op < 128 && strchr(ops, token->op) != NULL;
}
bool tni_peek_kw(const struct tni_parser *parser, enum tni_kw kw);
bool tni_peek_op(const struct tni_parser *parser, int op);

/* Is it the current token? Then take it, else remember that it was looked for. */
bool tni_accept(struct tni_parser *parser, enum tni_kw kw);
bool tni_accept_quiet(struct tni_parser *parser, enum tni_kw kw);
bool tni_accept_op(struct tni_parser *parser, int op);
bool tni_accept_op_quiet(struct tni_parser *parser, int op);
/* Two words in a row: first … second; nothing is taken unless both are there. */
bool tni_accept2(struct tni_parser *parser, enum tni_kw first, enum tni_kw second);
/* Take it, or fail with what was expected. */
void tni_expect(struct tni_parser *parser, enum tni_kw kw);
void tni_expect_op(struct tni_parser *parser, int op);
/* Remember that `text` (static) would have been fine here. */
void tni_want(struct tni_parser *parser, const char *text);
void tni_want_kw(struct tni_parser *parser, enum tni_kw kw);
/* Fail: none of what was looked for is here. */
void tni_expected(struct tni_parser *parser);

/* Fail at a position with a message of its own. */
void tni_fail_at(struct tni_parser *parser, int line, int col, const char *fmt, ...)
    TN_PRINTF(4, 5);
void tni_fail(struct tni_parser *parser, enum tn_status code, const char *name, int line, int col,
              const char *fmt, ...) TN_PRINTF(6, 7);
void tni_fail_hint(struct tni_parser *parser, const char *fmt, ...) TN_PRINTF(2, 3);

/* The error is already in parser->err. */
void tni_stop(struct tni_parser *parser, enum tn_status st);

static inline bool tni_failed(const struct tni_parser *parser)
{
    return parser->st != TN_OK;
}

/* One level deeper; false (and failed) over the limit. Pair with tni_leave, also when it failed. */
bool tni_enter(struct tni_parser *parser);
void tni_leave(struct tni_parser *parser);

/* ---- words and literals: parse.c --------------------------------------------------------- */

bool tni_token_is_name(const struct tni_token *token);
/* A name: quoted, or a word that is not reserved. `what` for the message: "a column name". */
struct tn_ident tni_ident(struct tni_parser *parser, const char *what);
/* A name where reserved words are fine too: after '.', '->'. */
struct tn_ident tni_ident_any(struct tni_parser *parser, const char *what);
struct tn_ast_name *tni_name(struct tni_parser *parser, const char *what);
/* (a, b, c) */
void tni_ident_list(struct tni_parser *parser, const char *what, struct tn_ident **ret_items,
                    uint32_t *ret_count);
struct tn_str tni_string(struct tni_parser *parser, const char *what);
bool tni_is_string(const struct tni_parser *parser);
int64_t tni_integer(struct tni_parser *parser, const char *what);
/* Digits of an INTEGER token as a number; false when outside int64. */
bool tni_token_integer(const struct tni_token *token, bool is_negative, int64_t *ret_value);
struct tn_ast_duration tni_duration(struct tni_parser *parser);
/* Unit of a word, singular or plural; NONE when it is none. */
enum tn_ast_unit tni_unit_of(const struct tni_token *token);
struct tn_str tni_slice(const struct tni_parser *parser, size_t begin);

/* Growing array in the arena: items are copied to twice the room when full. */
void *tni_push(struct tni_parser *parser, void *items, uint32_t *count, size_t item_bytes);
#define TNI_PUSH(parser, items, count)                                                             \
    (*(void **)&(items) = tni_push((parser), (items), &(count), sizeof *(items)),                  \
     &(items)[(count)-1])

/* ---- nodes ------------------------------------------------------------------------------- */

struct tn_ast_expr *tni_ast_node(struct tni_parser *parser, enum tn_ast_expr_kind kind, int line,
                                 int col);
void tni_add_arg(struct tni_parser *parser, struct tn_ast_expr *expr, struct tn_ast_expr *arg);
/* Count a node that is no expression. */
void tni_count_node(struct tni_parser *parser, int line, int col);
/* Raise *height to child + 1; fails over the limit. */
void tni_raise(struct tni_parser *parser, uint16_t *height, unsigned child, int line, int col);

/* ---- grammar ----------------------------------------------------------------------------- */

struct tn_ast_expr *tni_parse_expr(struct tni_parser *parser);    /* parse_expr.c */
struct tn_ast_expr *tni_parse_value(struct tni_parser *parser);   /* no AND, OR, comparison */
struct tn_ast_expr *tni_parse_primary(struct tni_parser *parser); /* parse_primary.c */
bool tni_is_lambda(const struct tni_parser *parser, bool is_arrow);
struct tn_ast_expr *tni_parse_lambda(struct tni_parser *parser);
struct tn_ast_type *tni_parse_type(struct tni_parser *parser); /* parse_type.c */
struct tn_ast_expr *tni_parse_call(struct tni_parser *parser,
                                   struct tn_ast_name *name); /* parse_call.c */
/* The same behind "name(first". */
struct tn_ast_expr *tni_parse_call_after(struct tni_parser *parser, struct tn_ast_name *name,
                                         struct tn_ast_expr *first);
/* After '(': a query (ret_query set, NULL returned), else the first expression. */
struct tn_ast_expr *tni_parse_expr_or_query(struct tni_parser *parser,
                                            struct tn_ast_query **ret_query);
void tni_parse_sorts(struct tni_parser *parser, struct tn_ast_sort **ret_sorts,
                     uint32_t *ret_count); /* after ORDER BY */
void tni_parse_exprs(struct tni_parser *parser, struct tn_ast_expr ***ret_items,
                     uint32_t *ret_count); /* a, b, c */
unsigned tni_sorts_height(const struct tn_ast_sort *sorts, uint32_t count);
struct tn_ast_over *tni_parse_over(struct tni_parser *parser);      /* after OVER: (…) or name */
struct tn_ast_over *tni_parse_over_body(struct tni_parser *parser); /* ( … ) */
unsigned tni_over_height(const struct tn_ast_over *over);

/* At WINDOW: of streams, WINDOW TUMBLING (…)? */
bool tni_is_stream_window(const struct tni_parser *parser);
bool tni_is_query_start(const struct tni_token *token);
bool tni_is_query_tail(const struct tni_parser *parser);         /* UNION, ORDER, LIMIT … */
struct tn_ast_query *tni_parse_query(struct tni_parser *parser); /* parse_query.c */
struct tn_ast_rel *tni_parse_from(struct tni_parser *parser);    /* parse_rel.c: a, b JOIN c … */
struct tn_ident tni_parse_alias(struct tni_parser *parser, bool is_item); /* [AS] name, or none */

struct tn_ast_stmt *tni_parse_stmt(struct tni_parser *parser);              /* parse_stmt.c */
struct tn_ast_props tni_parse_with(struct tni_parser *parser);              /* [WITH (…)] */
struct tn_ast_props tni_parse_props(struct tni_parser *parser);             /* (k = v, …) */
void tni_parse_create(struct tni_parser *parser, struct tn_ast_stmt *stmt); /* parse_create.c */
void tni_parse_columns(struct tni_parser *parser, struct tn_ast_column **ret_columns,
                       uint32_t *ret_count); /* ( c type …, … ) */
void tni_parse_column(struct tni_parser *parser, struct tn_ast_column *column);
bool tni_parse_admin(struct tni_parser *parser, struct tn_ast_stmt *stmt); /* parse_admin.c */
void tni_refuse(struct tni_parser *parser, struct tn_ast_stmt *stmt, const char *what,
                const char *hint);
struct tn_ast_insert *tni_parse_insert_body(struct tni_parser *parser);

#endif
