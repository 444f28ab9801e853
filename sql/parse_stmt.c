/* Statements: which one it is, and those that are short. CREATE and its kin: parse_create.c; SHOW,
 * SET and the rest of administration: parse_admin.c. How the parser works: parse_int.h. */
#include "sql/parse_int.h"

/* Every word a statement can begin with: for the nearest-word hint. */
static const enum tni_kw first_words[] = {
    TNI_KW_SELECT,   TNI_KW_CREATE,  TNI_KW_INSERT,   TNI_KW_DROP,       TNI_KW_SHOW,
    TNI_KW_DESCRIBE, TNI_KW_EXPLAIN, TNI_KW_ALTER,    TNI_KW_WITH,       TNI_KW_VALUES,
    TNI_KW_TABLE,    TNI_KW_LIST,    TNI_KW_PRINT,    TNI_KW_SET,        TNI_KW_UNSET,
    TNI_KW_DEFINE,   TNI_KW_ASSERT,  TNI_KW_PAUSE,    TNI_KW_RESUME,     TNI_KW_TERMINATE,
    TNI_KW_USE,      TNI_KW_PREPARE, TNI_KW_EXECUTE,  TNI_KW_DEALLOCATE, TNI_KW_START,
    TNI_KW_COMMIT,   TNI_KW_CALL,    TNI_KW_ROLLBACK, TNI_KW_ANALYZE,    TNI_KW_RESET,
    TNI_KW_DELETE,   TNI_KW_UPDATE,  TNI_KW_MERGE,    TNI_KW_GRANT,      TNI_KW_REVOKE,
    TNI_KW_TRUNCATE, TNI_KW_REFRESH, TNI_KW_UNDEFINE, TNI_KW_DESC};

/* The rest of a refused statement is only checked for tokens. */
void tni_refuse(struct tni_parser *parser, struct tn_ast_stmt *stmt, const char *what,
                const char *hint)
{
    stmt->kind = TN_AS_REFUSED;
    stmt->refused = TN_ARENA_NEW(parser->arena, struct tn_ast_refused);
    stmt->refused->what = what;
    stmt->refused->hint = hint;
    while (parser->tok.kind != TNI_T_END && !tni_is_op(parser, ';'))
        tni_advance(parser);
}

static bool parse_refused(struct tni_parser *parser, struct tn_ast_stmt *stmt)
{
    static const struct {
        enum tni_kw kw;
        const char *what, *hint;
    } items[] = {
        {TNI_KW_DELETE, "DELETE", "a tombstone record deletes a row of a table"},
        {TNI_KW_UPDATE, "UPDATE", "a record with the same key replaces a row of a table"},
        {TNI_KW_MERGE, "MERGE", NULL},
        {TNI_KW_TRUNCATE, "TRUNCATE", NULL},
        {TNI_KW_GRANT, "GRANT", "there are no roles and privileges"},
        {TNI_KW_REVOKE, "REVOKE", "there are no roles and privileges"},
        {TNI_KW_DENY, "DENY", "there are no roles and privileges"},
        {TNI_KW_REFRESH, "REFRESH MATERIALIZED VIEW",
         "CREATE TABLE … AS SELECT keeps a result up to date"},
        {TNI_KW_COMMENT, "COMMENT ON", NULL},
    };
    for (size_t i = 0; i < sizeof items / sizeof items[0]; i++)
        if (tni_is_kw(parser, items[i].kw)) {
            tni_refuse(parser, stmt, items[i].what, items[i].hint);
            return true;
        }
    return false;
}

static void no_statement(struct tni_parser *parser)
{
    for (size_t i = 0; i < sizeof first_words / sizeof first_words[0]; i++) {
        if (i < 7)
            tni_want_kw(parser, first_words[i]);
        else
            tni_accept_quiet(parser, first_words[i]); /* never matches: all were looked at */
    }
    tni_want(parser, "another statement");
    tni_expected(parser);
}

static void parse_kind(struct tni_parser *parser, struct tn_ast_stmt *stmt)
{
    if (tni_is_query_start(&parser->tok) || tni_is_op(parser, '(')) {
        stmt->kind = TN_AS_QUERY;
        stmt->query = tni_parse_query(parser);
    } else if (tni_is_kw(parser, TNI_KW_CREATE) || tni_is_kw(parser, TNI_KW_INSERT) ||
               tni_is_kw(parser, TNI_KW_DROP) || tni_is_kw(parser, TNI_KW_ALTER)) {
        tni_parse_create(parser, stmt);
    } else if (!tni_parse_admin(parser, stmt) && !parse_refused(parser, stmt)) {
        no_statement(parser);
    }
}

struct tn_ast_stmt *tni_parse_stmt(struct tni_parser *parser)
{
    struct tn_ast_stmt *stmt = TN_ARENA_NEW(parser->arena, struct tn_ast_stmt);
    size_t begin = parser->tok.pos;
    uint32_t params_count = parser->params_count;
    stmt->line = parser->tok.line;
    stmt->col = parser->tok.col;
    tni_count_node(parser, stmt->line, stmt->col);
    if (tni_enter(parser))
        parse_kind(parser, stmt);
    tni_leave(parser);
    stmt->text = tni_slice(parser, begin);
    stmt->params_count = parser->params_count - params_count;
    return stmt;
}

/* ---- properties -------------------------------------------------------------------------- */

/* name, 'name', a.b.c: one text, never folded. */
static struct tn_ident parse_prop_name(struct tni_parser *parser)
{
    struct tn_ident name = {.line = parser->tok.line, .col = parser->tok.col};
    size_t begin = parser->tok.pos;
    if (tni_is_string(parser)) {
        name.text = tni_string(parser, "a property name");
        name.is_quoted = true;
        return name;
    }
    if (parser->tok.kind == TNI_T_QUOTED) {
        name.is_quoted = true;
        name.text = tni_ident(parser, "a property name").text;
        return name;
    }
    tni_ident_any(parser, "a property name");
    while (tni_is_op(parser, '.')) {
        tni_advance(parser);
        tni_ident_any(parser, "a property name");
    }
    struct tn_str raw = tni_slice(parser, begin);
    char *to = tn_arena_alloc(parser->arena, raw.len + 1);
    size_t len = 0;
    for (size_t i = 0; i < raw.len; i++) /* spaces around the dots */
        if ((unsigned char)raw.ptr[i] > ' ')
            to[len++] = raw.ptr[i];
    to[len] = 0;
    name.text = (struct tn_str){to, len};
    return name;
}

struct tn_ast_props tni_parse_props(struct tni_parser *parser)
{
    struct tn_ast_props props = {
        .is_given = true, .line = parser->tok.line, .col = parser->tok.col};
    tni_expect_op(parser, '(');
    if (!tni_is_op(parser, ')'))
        do {
            struct tn_ast_prop prop = {.name = parse_prop_name(parser)};
            tni_expect_op(parser, '=');
            struct tni_token next = tni_peek(parser, 1);
            if (tni_is_kw(parser, TNI_KW_DEFAULT) &&
                (tni_token_is_op(&next, ',') || tni_token_is_op(&next, ')')))
                tni_advance(parser);
            else
                prop.value = tni_parse_expr(parser);
            *TNI_PUSH(parser, props.items, props.items_count) = prop;
        } while (tni_accept_op(parser, ','));
    tni_expect_op(parser, ')');
    return props;
}

struct tn_ast_props tni_parse_with(struct tni_parser *parser)
{
    if (!tni_is_kw(parser, TNI_KW_WITH) || !tni_peek_op(parser, '(')) {
        tni_want_kw(parser, TNI_KW_WITH);
        return (struct tn_ast_props){0};
    }
    tni_advance(parser);
    return tni_parse_props(parser);
}
