/* The parser: text of one statement or a script to a syntax tree (sql/ast.h).
 *
 * One hand-written recursive-descent parser for the whole dialect. Errors are TN_E_SYNTAX with
 * line, column and what was expected ("expected FROM, ',' or end of statement, got 'FORM'"), the
 * hint names the nearest keyword. Over a limit: TN_E_LIMIT named QUERY_TEXT_TOO_LARGE,
 * EXPRESSION_TOO_DEEP or STATEMENT_TOO_COMPLEX.
 *
 * Ownership: the tree lives in `arena` and borrows `text`. @thread any
 */
#ifndef TN_SQL_PARSE_H
#define TN_SQL_PARSE_H

#include "sql/ast.h"
#include "stream/base/arena.h"

#define TN_PARSE_BYTES_DEFAULT (64 * 1024)
#define TN_PARSE_BYTES_MAX     (1024 * 1024)

struct tn_parse_opts {
    size_t
        bytes_max; /* of one statement; 0 = TN_PARSE_BYTES_DEFAULT, capped at TN_PARSE_BYTES_MAX */
    bool is_identifiers_ksql;  /* unquoted names fold to upper case */
    int start_line, start_col; /* position of the first character; 0 = 1 */
};

struct tn_ast_script {
    uint32_t stmts_count;
    struct tn_ast_stmt **stmts;
};

/* `opts` may be NULL (defaults). Exactly one statement; a trailing ';' is fine. */
enum tn_status tn_parse_statement(struct tn_str text, const struct tn_parse_opts *opts,
                                  struct tn_arena *arena, struct tn_ast_stmt **ret_stmt,
                                  struct tn_err *err) TN_WARN_UNUSED;
/* Any number of statements separated by ';'. Positions are those of the whole text. */
enum tn_status tn_parse_script(struct tn_str text, const struct tn_parse_opts *opts,
                               struct tn_arena *arena, struct tn_ast_script *ret_script,
                               struct tn_err *err) TN_WARN_UNUSED;
/* One expression; one type ("MAP<STRING, ARRAY<INT>>", "row(a bigint)"). */
enum tn_status tn_parse_expr(struct tn_str text, const struct tn_parse_opts *opts,
                             struct tn_arena *arena, struct tn_ast_expr **ret_expr,
                             struct tn_err *err) TN_WARN_UNUSED;
enum tn_status tn_parse_type(struct tn_str text, const struct tn_parse_opts *opts,
                             struct tn_arena *arena, struct tn_ast_type **ret_type,
                             struct tn_err *err) TN_WARN_UNUSED;

/* ---- scripts before parsing: the shell, and ${v} ----------------------------------------- */

struct tn_script_part {
    struct tn_str text; /* one statement without its ';', leading space and comments skipped */
    int line, col;    /* of its first character: start_line and start_col when it is parsed alone */
    bool is_complete; /* ended by ';' (false: the text ended first, perhaps inside a quote) */
};

/* Next statement of `text` from byte *pos on; advances *pos and (*line, *col). TN_END when
 * nothing is left. Never fails: quotes and comments that do not end run to the end of the text.
 * Start with 0, 1, 1. */
enum tn_status tn_script_next(struct tn_str text, size_t *pos, int *line, int *col,
                              struct tn_script_part *ret_part);

/* Replace ${name} by its value, as text, everywhere but in comments. `lookup` returns ptr NULL
 * for an unknown name, which is an error that names it and its position (counted from line,
 * col). */
enum tn_status tn_script_substitute(struct tn_str text, int line, int col,
                                    struct tn_str (*lookup)(void *ctx, struct tn_str name),
                                    void *ctx, struct tn_buf *ret_text,
                                    struct tn_err *err) TN_WARN_UNUSED;

/* Keywords in alphabetical order, for completion in the shell. */
const char *const *tn_parse_keywords(size_t *ret_count);
/* Must a name be quoted to be read back as the same name? */
bool tn_parse_needs_quotes(struct tn_str name);

#endif
