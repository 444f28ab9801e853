/* Administration: SHOW, DESCRIBE, EXPLAIN, SET, sessions, transactions, control of queries, test
 * scripts. How the parser works: parse_int.h. */
#include "sql/parse_int.h"

#define NEW(parser, type) TN_ARENA_NEW((parser)->arena, type)

static bool is_stmt_end(const struct tni_token *token)
{
    return token->kind == TNI_T_END || tni_token_is_op(token, ';');
}

/* Something follows the current word, so that it can be the keyword rather than a name. */
static bool has_more(const struct tni_parser *parser)
{
    struct tni_token next = tni_peek(parser, 1);
    return !is_stmt_end(&next);
}

/* ---- SHOW, LIST, DESCRIBE ---------------------------------------------------------------- */

/* [LIKE 'p' [ESCAPE 'c']] */
static void parse_show_like(struct tni_parser *parser, struct tn_ast_show *show)
{
    if (!tni_accept(parser, TNI_KW_LIKE))
        return;
    show->like = tni_string(parser, "a pattern (string)");
    if (tni_accept(parser, TNI_KW_ESCAPE))
        show->escape = tni_string(parser, "a string of one character");
}

static void parse_show_from(struct tni_parser *parser, struct tn_ast_show *show, bool is_needed)
{
    if (tni_accept(parser, TNI_KW_FROM) || tni_accept(parser, TNI_KW_IN))
        show->name = tni_name(parser, "a name");
    else if (is_needed)
        tni_expected(parser);
}

static void parse_show_create(struct tni_parser *parser, struct tn_ast_show *show)
{
    if (tni_accept(parser, TNI_KW_TABLE)) {
        show->what = TN_AH_CREATE_TABLE;
    } else if (tni_accept(parser, TNI_KW_VIEW)) {
        show->what = TN_AH_CREATE_VIEW;
    } else if (tni_accept(parser, TNI_KW_SCHEMA)) {
        show->what = TN_AH_CREATE_SCHEMA;
    } else if (tni_accept(parser, TNI_KW_FUNCTION)) {
        show->what = TN_AH_CREATE_FUNCTION;
    } else {
        tni_expect(parser, TNI_KW_MATERIALIZED);
        tni_expect(parser, TNI_KW_VIEW);
        show->what = TN_AH_CREATE_MATERIALIZED_VIEW;
    }
    show->name = tni_name(parser, "a name");
}

/* STATS FOR t | (query) */
static void parse_show_stats(struct tni_parser *parser, struct tn_ast_show *show)
{
    show->what = TN_AH_STATS;
    tni_expect(parser, TNI_KW_FOR);
    if (tni_accept_op(parser, '(')) {
        show->query = tni_parse_query(parser);
        tni_expect_op(parser, ')');
    } else {
        show->name = tni_name(parser, "a table name");
    }
}

enum show_tail {
    SHOW_PLAIN,
    SHOW_LIKE = 1u << 0,
    SHOW_FROM = 1u << 1,
    SHOW_NEEDS_FROM = 1u << 2,
    SHOW_EXTENDED = 1u << 3
};

static const struct {
    enum tni_kw kw;
    enum tn_ast_show_what what;
    unsigned tail;
} show_words[] = {
    {TNI_KW_CATALOGS, TN_AH_CATALOGS, SHOW_LIKE},
    {TNI_KW_SCHEMAS, TN_AH_SCHEMAS, SHOW_FROM | SHOW_LIKE},
    {TNI_KW_TABLES, TN_AH_TABLES, SHOW_FROM | SHOW_LIKE | SHOW_EXTENDED},
    {TNI_KW_COLUMNS, TN_AH_COLUMNS, SHOW_FROM | SHOW_NEEDS_FROM | SHOW_LIKE},
    {TNI_KW_FUNCTIONS, TN_AH_FUNCTIONS, SHOW_FROM | SHOW_LIKE},
    {TNI_KW_SESSION, TN_AH_SESSION, SHOW_LIKE},
    {TNI_KW_PARTITIONS, TN_AH_PARTITIONS, SHOW_FROM | SHOW_NEEDS_FROM},
    {TNI_KW_BRANCHES, TN_AH_BRANCHES, SHOW_FROM | SHOW_NEEDS_FROM},
    {TNI_KW_ROLES, TN_AH_ROLES, SHOW_FROM},
    {TNI_KW_STREAMS, TN_AH_STREAMS, SHOW_EXTENDED},
    {TNI_KW_TOPICS, TN_AH_TOPICS, SHOW_EXTENDED},
    {TNI_KW_QUERIES, TN_AH_QUERIES, SHOW_EXTENDED},
    {TNI_KW_TYPES, TN_AH_TYPES, SHOW_PLAIN},
    {TNI_KW_PROPERTIES, TN_AH_PROPERTIES, SHOW_PLAIN},
    {TNI_KW_VARIABLES, TN_AH_VARIABLES, SHOW_PLAIN},
    {TNI_KW_CONNECTORS, TN_AH_CONNECTORS, SHOW_PLAIN},
    {TNI_KW_SINKS, TN_AH_SINKS, SHOW_EXTENDED},
    {TNI_KW_JOBS, TN_AH_JOBS, SHOW_EXTENDED},
};

/* Two-word forms. */
static const struct {
    enum tni_kw first, second;
    enum tn_ast_show_what what;
    unsigned tail;
} show_pairs[] = {
    {TNI_KW_ALL, TNI_KW_TOPICS, TN_AH_ALL_TOPICS, SHOW_EXTENDED},
    {TNI_KW_SOURCE, TNI_KW_CONNECTORS, TN_AH_SOURCE_CONNECTORS, SHOW_PLAIN},
    {TNI_KW_SINK, TNI_KW_CONNECTORS, TN_AH_SINK_CONNECTORS, SHOW_PLAIN},
    {TNI_KW_CONNECTOR, TNI_KW_PLUGINS, TN_AH_CONNECTOR_PLUGINS, SHOW_PLAIN},
    {TNI_KW_CURRENT, TNI_KW_ROLES, TN_AH_CURRENT_ROLES, SHOW_FROM},
    {TNI_KW_ROLE, TNI_KW_GRANTS, TN_AH_ROLE_GRANTS, SHOW_FROM},
};

static bool parse_show_word(struct tni_parser *parser, struct tn_ast_show *show, unsigned *ret_tail)
{
    for (size_t i = 0; i < sizeof show_pairs / sizeof show_pairs[0]; i++)
        if (tni_is_kw(parser, show_pairs[i].first) && tni_peek_kw(parser, show_pairs[i].second)) {
            tni_advance(parser);
            tni_advance(parser);
            show->what = show_pairs[i].what;
            *ret_tail = show_pairs[i].tail;
            return true;
        }
    for (size_t i = 0; i < sizeof show_words / sizeof show_words[0]; i++)
        if (tni_accept(parser, show_words[i].kw)) {
            show->what = show_words[i].what;
            *ret_tail = show_words[i].tail;
            return true;
        }
    return false;
}

static void parse_show(struct tni_parser *parser, struct tn_ast_stmt *stmt)
{
    struct tn_ast_show *show = NEW(parser, struct tn_ast_show);
    unsigned tail = SHOW_PLAIN;
    stmt->kind = TN_AS_SHOW;
    stmt->show = show;
    show->is_list = tni_is_kw(parser, TNI_KW_LIST);
    tni_advance(parser);
    if (tni_accept(parser, TNI_KW_CREATE)) {
        parse_show_create(parser, show);
    } else if (tni_accept_quiet(parser, TNI_KW_STATS)) {
        parse_show_stats(parser, show);
    } else if (tni_accept_quiet(parser, TNI_KW_GRANTS)) {
        show->what = TN_AH_GRANTS;
        if (tni_accept(parser, TNI_KW_ON)) {
            tni_accept(parser, TNI_KW_TABLE);
            show->name = tni_name(parser, "a table name");
        }
    } else if (!parse_show_word(parser, show, &tail)) {
        tni_expected(parser);
    }
    if (tail & SHOW_FROM)
        parse_show_from(parser, show, tail & SHOW_NEEDS_FROM);
    if (tail & SHOW_LIKE)
        parse_show_like(parser, show);
    if ((tail & SHOW_EXTENDED) && !show->name && !show->like.ptr)
        show->is_extended = tni_accept(parser, TNI_KW_EXTENDED);
}

static void parse_describe(struct tni_parser *parser, struct tn_ast_stmt *stmt)
{
    struct tn_ast_show *show = NEW(parser, struct tn_ast_show);
    stmt->kind = TN_AS_DESCRIBE;
    stmt->show = show;
    show->what = TN_AH_OBJECT;
    tni_advance(parser);
    struct tni_token next = tni_peek(parser, 1), after = tni_peek(parser, 2);
    bool is_word = tni_token_is_name(&next) &&
                   (!tni_token_is_kw(&next, TNI_KW_EXTENDED) || !is_stmt_end(&after));
    if ((tni_is_kw(parser, TNI_KW_STREAMS) || tni_is_kw(parser, TNI_KW_TABLES)) &&
        tni_token_is_kw(&next, TNI_KW_EXTENDED) && is_stmt_end(&after)) {
        show->what = tni_is_kw(parser, TNI_KW_STREAMS) ? TN_AH_STREAMS : TN_AH_TABLES;
        show->is_extended = true;
        tni_advance(parser);
        tni_advance(parser);
        return;
    }
    if (is_word && tni_accept(parser, TNI_KW_INPUT))
        show->what = TN_AH_INPUT;
    else if (is_word && tni_accept(parser, TNI_KW_OUTPUT))
        show->what = TN_AH_OUTPUT;
    else if (is_word && tni_accept(parser, TNI_KW_FUNCTION))
        show->what = TN_AH_FUNCTION;
    else if (is_word && tni_accept(parser, TNI_KW_CONNECTOR))
        show->what = TN_AH_CONNECTOR;
    else if (is_word && tni_accept(parser, TNI_KW_EXTENDED))
        show->is_extended = true;
    else if (is_word && tni_accept(parser, TNI_KW_SINK))
        show->what = TN_AH_OBJECT; /* DESCRIBE SINK n is DESCRIBE n */
    show->name = tni_name(parser, "a name");
    if (show->what == TN_AH_OBJECT && !show->is_extended)
        show->is_extended = tni_accept(parser, TNI_KW_EXTENDED);
}

/* ---- EXPLAIN ----------------------------------------------------------------------------- */

static void parse_explain_option(struct tni_parser *parser, struct tn_ast_explain *explain)
{
    if (tni_accept(parser, TNI_KW_TYPE)) {
        if (tni_accept(parser, TNI_KW_LOGICAL))
            explain->type = TN_AXT_LOGICAL;
        else if (tni_accept(parser, TNI_KW_DISTRIBUTED))
            explain->type = TN_AXT_DISTRIBUTED;
        else if (tni_accept(parser, TNI_KW_VALIDATE))
            explain->type = TN_AXT_VALIDATE;
        else if (tni_accept(parser, TNI_KW_IO))
            explain->type = TN_AXT_IO;
        else
            tni_expected(parser);
    } else {
        tni_expect(parser, TNI_KW_FORMAT);
        if (tni_accept(parser, TNI_KW_TEXT))
            explain->format = TN_AXF_TEXT;
        else if (tni_accept(parser, TNI_KW_JSON))
            explain->format = TN_AXF_JSON;
        else if (tni_accept(parser, TNI_KW_GRAPHVIZ))
            explain->format = TN_AXF_GRAPHVIZ;
        else
            tni_expected(parser);
    }
}

static void parse_explain(struct tni_parser *parser, struct tn_ast_stmt *stmt)
{
    struct tn_ast_explain *explain = NEW(parser, struct tn_ast_explain);
    stmt->kind = TN_AS_EXPLAIN;
    stmt->explain = explain;
    tni_advance(parser);
    if (tni_is_kw(parser, TNI_KW_ANALYZE) && has_more(parser)) {
        explain->is_analyze = true;
        tni_advance(parser);
        explain->is_verbose = has_more(parser) && tni_accept(parser, TNI_KW_VERBOSE);
    }
    struct tni_token next = tni_peek(parser, 1);
    if (tni_is_op(parser, '(') &&
        (tni_token_is_kw(&next, TNI_KW_TYPE) || tni_token_is_kw(&next, TNI_KW_FORMAT))) {
        tni_advance(parser);
        do {
            parse_explain_option(parser, explain);
        } while (tni_accept_op(parser, ','));
        tni_expect_op(parser, ')');
    }
    if (tni_token_is_name(&parser->tok) && !has_more(parser))
        explain->query_id = tni_ident(parser, "a query id");
    else
        explain->stmt = tni_parse_stmt(parser);
}

/* ---- SET and sessions -------------------------------------------------------------------- */

static struct tn_ast_set_stmt *new_set(struct tni_parser *parser, struct tn_ast_stmt *stmt,
                                       enum tn_ast_stmt_kind kind)
{
    struct tn_ast_set_stmt *set = NEW(parser, struct tn_ast_set_stmt);
    stmt->kind = kind;
    stmt->set = set;
    set->line = parser->tok.line;
    set->col = parser->tok.col;
    return set;
}

static void parse_set_session(struct tni_parser *parser, struct tn_ast_stmt *stmt)
{
    struct tni_token next = tni_peek(parser, 1);
    if (tni_is_kw(parser, TNI_KW_AUTHORIZATION) && !tni_token_is_op(&next, '=') &&
        !tni_token_is_op(&next, '.')) {
        tni_advance(parser);
        struct tn_ast_set_stmt *set = new_set(parser, stmt, TN_AS_SET_AUTHORIZATION);
        set->key =
            tni_is_string(parser) ? tni_string(parser, "a user") : tni_ident(parser, "a user").text;
        return;
    }
    struct tn_ast_set_stmt *set = new_set(parser, stmt, TN_AS_SET_SESSION);
    set->name = tni_name(parser, "a session property");
    tni_expect_op(parser, '=');
    set->value = tni_parse_expr(parser);
}

static void parse_set_path(struct tni_parser *parser, struct tn_ast_stmt *stmt)
{
    struct tn_ast_set_stmt *set = new_set(parser, stmt, TN_AS_SET_PATH);
    struct tn_buf buf;
    tn_buf_init(&buf, TN_PARSE_BYTES_MAX);
    do {
        if (buf.len > 0)
            tn_buf_add_text(&buf, ", ");
        tn_ast_print_name(tni_name(parser, "a schema name"), &buf);
    } while (tni_accept_op(parser, ','));
    set->text = tn_arena_str(parser->arena, tn_buf_str(&buf));
    tn_buf_release(&buf);
}

/* SET 'k' = 'v', and the SETs of a session. */
static void parse_set(struct tni_parser *parser, struct tn_ast_stmt *stmt)
{
    tni_advance(parser);
    if (tni_accept(parser, TNI_KW_SESSION)) {
        parse_set_session(parser, stmt);
    } else if (tni_accept(parser, TNI_KW_TIME)) {
        tni_expect(parser, TNI_KW_ZONE);
        struct tn_ast_set_stmt *set = new_set(parser, stmt, TN_AS_SET_TIME_ZONE);
        if (!tni_accept(parser, TNI_KW_LOCAL))
            set->value = tni_parse_expr(parser);
    } else if (tni_accept(parser, TNI_KW_ROLE)) {
        struct tn_ast_set_stmt *set = new_set(parser, stmt, TN_AS_SET_ROLE);
        set->key = tni_ident(parser, "a role, ALL or NONE").text;
        if (tni_accept(parser, TNI_KW_IN))
            set->name = tni_name(parser, "a catalog");
    } else if (tni_accept(parser, TNI_KW_PATH)) {
        parse_set_path(parser, stmt);
    } else {
        struct tn_ast_set_stmt *set = new_set(parser, stmt, TN_AS_SET);
        set->key = tni_string(parser, "a property name (string)");
        tni_expect_op(parser, '=');
        set->text = tni_string(parser, "a string");
    }
}

static void parse_reset(struct tni_parser *parser, struct tn_ast_stmt *stmt)
{
    tni_advance(parser);
    tni_expect(parser, TNI_KW_SESSION);
    struct tni_token next = tni_peek(parser, 1);
    struct tn_ast_set_stmt *set = new_set(parser, stmt, TN_AS_RESET_SESSION);
    if (tni_is_kw(parser, TNI_KW_AUTHORIZATION) && is_stmt_end(&next)) {
        stmt->kind = TN_AS_RESET_AUTHORIZATION;
        tni_advance(parser);
    } else {
        set->name = tni_name(parser, "a session property");
    }
}

static void parse_unset(struct tni_parser *parser, struct tn_ast_stmt *stmt)
{
    tni_advance(parser);
    struct tn_ast_set_stmt *set = new_set(parser, stmt, TN_AS_UNSET);
    set->key = tni_string(parser, "a property name (string)");
}

static void parse_define(struct tni_parser *parser, struct tn_ast_stmt *stmt)
{
    bool is_define = tni_is_kw(parser, TNI_KW_DEFINE);
    tni_advance(parser);
    struct tn_ast_set_stmt *set = new_set(parser, stmt, is_define ? TN_AS_DEFINE : TN_AS_UNDEFINE);
    set->key = tni_ident(parser, "a variable name").text;
    if (is_define) {
        tni_expect_op(parser, '=');
        set->text = tni_string(parser, "a string");
    }
}

static void parse_run(struct tni_parser *parser, struct tn_ast_stmt *stmt)
{
    tni_advance(parser);
    tni_expect(parser, TNI_KW_SCRIPT);
    struct tn_ast_set_stmt *set = new_set(parser, stmt, TN_AS_RUN_SCRIPT);
    set->text = tni_string(parser, "a file name (string)");
}

static void parse_use(struct tni_parser *parser, struct tn_ast_stmt *stmt)
{
    struct tn_ast_use *use = NEW(parser, struct tn_ast_use);
    stmt->kind = TN_AS_USE;
    stmt->use = use;
    tni_advance(parser);
    use->schema = tni_ident(parser, "a schema name");
    if (tni_accept_op(parser, '.')) {
        use->catalog = use->schema;
        use->schema = tni_ident_any(parser, "a schema name");
    }
}

/* ---- prepared statements, transactions, CALL --------------------------------------------- */

static void parse_using(struct tni_parser *parser, struct tn_ast_prepare *prepare)
{
    if (tni_accept(parser, TNI_KW_USING))
        tni_parse_exprs(parser, &prepare->args, &prepare->args_count);
}

static void parse_prepare(struct tni_parser *parser, struct tn_ast_stmt *stmt)
{
    struct tn_ast_prepare *prepare = NEW(parser, struct tn_ast_prepare);
    stmt->kind = TN_AS_PREPARE;
    stmt->prepare = prepare;
    tni_advance(parser);
    prepare->name = tni_ident(parser, "a statement name");
    tni_expect(parser, TNI_KW_FROM);
    prepare->stmt = tni_parse_stmt(parser);
}

static void parse_execute(struct tni_parser *parser, struct tn_ast_stmt *stmt)
{
    struct tn_ast_prepare *prepare = NEW(parser, struct tn_ast_prepare);
    stmt->prepare = prepare;
    stmt->kind = TN_AS_EXECUTE;
    tni_advance(parser);
    struct tni_token next = tni_peek(parser, 1);
    if (tni_is_kw(parser, TNI_KW_IMMEDIATE) && !is_stmt_end(&next) &&
        !tni_token_is_kw(&next, TNI_KW_USING)) {
        tni_advance(parser);
        stmt->kind = TN_AS_EXECUTE_IMMEDIATE;
        prepare->text_line = parser->tok.line;
        prepare->text_col = parser->tok.col + (parser->tok.kind == TNI_T_UNICODE ? 3 : 1);
        prepare->text = tni_string(parser, "a statement (string)");
    } else {
        prepare->name = tni_ident(parser, "a statement name");
    }
    parse_using(parser, prepare);
}

static void parse_deallocate(struct tni_parser *parser, struct tn_ast_stmt *stmt)
{
    stmt->kind = TN_AS_DEALLOCATE;
    stmt->prepare = NEW(parser, struct tn_ast_prepare);
    tni_advance(parser);
    tni_expect(parser, TNI_KW_PREPARE);
    stmt->prepare->name = tni_ident(parser, "a statement name");
}

static void parse_transaction_mode(struct tni_parser *parser, struct tn_ast_transaction *t)
{
    if (tni_accept(parser, TNI_KW_ISOLATION)) {
        tni_expect(parser, TNI_KW_LEVEL);
        if (tni_accept(parser, TNI_KW_SERIALIZABLE)) {
            t->isolation = "SERIALIZABLE";
        } else if (tni_accept(parser, TNI_KW_REPEATABLE)) {
            tni_expect(parser, TNI_KW_READ);
            t->isolation = "REPEATABLE READ";
        } else {
            tni_expect(parser, TNI_KW_READ);
            t->isolation = "READ COMMITTED";
            if (!tni_accept(parser, TNI_KW_COMMITTED)) {
                tni_expect(parser, TNI_KW_UNCOMMITTED);
                t->isolation = "READ UNCOMMITTED";
            }
        }
        return;
    }
    tni_expect(parser, TNI_KW_READ);
    t->is_read_only = tni_accept(parser, TNI_KW_ONLY);
    if (!t->is_read_only)
        tni_expect(parser, TNI_KW_WRITE);
    t->is_read_write = !t->is_read_only;
}

static void parse_transaction(struct tni_parser *parser, struct tn_ast_stmt *stmt)
{
    stmt->transaction = NEW(parser, struct tn_ast_transaction);
    if (tni_accept(parser, TNI_KW_START)) {
        stmt->kind = TN_AS_START_TRANSACTION;
        tni_expect(parser, TNI_KW_TRANSACTION);
        if (tni_is_kw(parser, TNI_KW_ISOLATION) || tni_is_kw(parser, TNI_KW_READ))
            do {
                parse_transaction_mode(parser, stmt->transaction);
            } while (tni_accept_op(parser, ','));
        return;
    }
    stmt->kind = tni_is_kw(parser, TNI_KW_COMMIT) ? TN_AS_COMMIT : TN_AS_ROLLBACK;
    tni_advance(parser);
    tni_accept(parser, TNI_KW_WORK);
}

static void parse_call_stmt(struct tni_parser *parser, struct tn_ast_stmt *stmt)
{
    struct tn_ast_call_stmt *call = NEW(parser, struct tn_ast_call_stmt);
    uint32_t names_count = 0;
    stmt->kind = TN_AS_CALL;
    stmt->call = call;
    tni_advance(parser);
    call->name = tni_name(parser, "a procedure name");
    tni_expect_op(parser, '(');
    if (!tni_is_op(parser, ')'))
        do {
            struct tn_ident name = {0};
            if (tni_token_is_name(&parser->tok) && tni_peek_op(parser, TNI_OP_LAMBDA)) {
                name = tni_ident(parser, "an argument name");
                tni_advance(parser);
            }
            struct tn_ast_expr *arg = tni_parse_expr(parser);
            *TNI_PUSH(parser, call->names, names_count) = name;
            *TNI_PUSH(parser, call->args, call->args_count) = arg;
        } while (tni_accept_op(parser, ','));
    tni_expect_op(parser, ')');
}

static void parse_analyze(struct tni_parser *parser, struct tn_ast_stmt *stmt)
{
    stmt->kind = TN_AS_ANALYZE;
    stmt->analyze = NEW(parser, struct tn_ast_analyze);
    tni_advance(parser);
    stmt->analyze->name = tni_name(parser, "a table name");
    stmt->analyze->props = tni_parse_with(parser);
}

/* ---- streams: control, PRINT, ASSERT ----------------------------------------------------- */

/* PAUSE|RESUME|TERMINATE [QUERY|SINK|JOB] id|ALL */
static void parse_control(struct tni_parser *parser, struct tn_ast_stmt *stmt,
                          enum tn_ast_stmt_kind kind)
{
    struct tn_ast_control *control = NEW(parser, struct tn_ast_control);
    stmt->kind = kind;
    stmt->control = control;
    control->object = TN_AOB_QUERY;
    tni_advance(parser);
    if (has_more(parser)) {
        if (kind != TN_AS_TERMINATE && tni_accept(parser, TNI_KW_SINK))
            control->object = TN_AOB_SINK;
        else if (kind != TN_AS_TERMINATE && tni_accept(parser, TNI_KW_JOB))
            control->object = TN_AOB_JOB;
        else
            tni_accept_quiet(parser, TNI_KW_QUERY);
    }
    if (tni_is_kw(parser, TNI_KW_ALL) && control->object == TN_AOB_QUERY) {
        control->is_all = true;
        tni_advance(parser);
    } else {
        control->id = tni_ident(parser, "a query id or ALL");
    }
}

/* A name or a string; the spelling is kept even where names fold: topics are case-sensitive. */
static struct tn_ident parse_topic(struct tni_parser *parser, const char *what)
{
    struct tn_ident topic = {.line = parser->tok.line, .col = parser->tok.col, .is_quoted = true};
    if (tni_is_string(parser)) {
        topic.text = tni_string(parser, what);
        return topic;
    }
    bool is_folding = parser->is_identifiers_ksql;
    parser->is_identifiers_ksql = false;
    topic = tni_ident(parser, what);
    parser->is_identifiers_ksql = is_folding;
    return topic;
}

static void parse_print(struct tni_parser *parser, struct tn_ast_stmt *stmt)
{
    struct tn_ast_print *print = NEW(parser, struct tn_ast_print);
    stmt->kind = TN_AS_PRINT;
    stmt->print = print;
    tni_advance(parser);
    print->topic = parse_topic(parser, "a topic name");
    if (tni_accept(parser, TNI_KW_FROM)) {
        tni_expect(parser, TNI_KW_BEGINNING);
        print->is_from_beginning = true;
    }
    if (tni_accept(parser, TNI_KW_INTERVAL) || tni_accept_quiet(parser, TNI_KW_SAMPLE))
        print->interval = tni_integer(parser, "a number");
    if (tni_accept(parser, TNI_KW_LIMIT))
        print->limit = tni_integer(parser, "a number");
}

/* [NOT EXISTS] TOPIC t [WITH (…)] | SCHEMA [SUBJECT s] [ID n], then [TIMEOUT d] */
static void parse_assert_resource(struct tni_parser *parser, struct tn_ast_assert *assertion)
{
    if (tni_accept(parser, TNI_KW_TOPIC)) {
        assertion->kind = TN_AA_TOPIC;
        assertion->topic = parse_topic(parser, "a topic name");
        assertion->props = tni_parse_with(parser);
    } else {
        tni_expect(parser, TNI_KW_SCHEMA);
        assertion->kind = TN_AA_SCHEMA;
        bool has_subject = tni_accept(parser, TNI_KW_SUBJECT);
        if (has_subject)
            assertion->subject = parse_topic(parser, "a subject");
        assertion->has_schema_id = tni_accept(parser, TNI_KW_ID);
        if (assertion->has_schema_id)
            assertion->schema_id = tni_integer(parser, "a number");
        else if (!has_subject)
            tni_expected(parser);
    }
    if (tni_accept(parser, TNI_KW_TIMEOUT))
        assertion->timeout = tni_duration(parser);
}

/* NULL VALUES name (columns) KEY (values) */
static struct tn_ast_insert *parse_null_values(struct tni_parser *parser)
{
    struct tn_ast_insert *insert = NEW(parser, struct tn_ast_insert);
    insert->name = tni_name(parser, "a stream or table name");
    if (tni_is_op(parser, '('))
        tni_ident_list(parser, "a column name", &insert->columns, &insert->columns_count);
    tni_expect(parser, TNI_KW_KEY);
    insert->query = NEW(parser, struct tn_ast_query);
    insert->query->kind = TN_AQ_VALUES;
    insert->query->height = 1;
    insert->query->line = parser->tok.line;
    insert->query->col = parser->tok.col;
    struct tn_ast_expr *row = tni_ast_node(parser, TN_AX_ROW, parser->tok.line, parser->tok.col);
    tni_expect_op(parser, '(');
    tni_parse_exprs(parser, &row->args, &row->args_count);
    tni_expect_op(parser, ')');
    *TNI_PUSH(parser, insert->query->rows, insert->query->rows_count) = row;
    return insert;
}

static void parse_assert(struct tni_parser *parser, struct tn_ast_stmt *stmt)
{
    struct tn_ast_assert *assertion = NEW(parser, struct tn_ast_assert);
    stmt->kind = TN_AS_ASSERT;
    stmt->assertion = assertion;
    tni_advance(parser);
    bool is_stream = tni_is_kw(parser, TNI_KW_STREAM);
    if (tni_accept(parser, TNI_KW_VALUES)) {
        assertion->kind = TN_AA_VALUES;
        assertion->insert = tni_parse_insert_body(parser);
    } else if (tni_accept2(parser, TNI_KW_NULL, TNI_KW_VALUES)) {
        assertion->kind = TN_AA_NULL_VALUES;
        assertion->insert = parse_null_values(parser);
    } else if (tni_accept(parser, TNI_KW_STREAM) || tni_accept(parser, TNI_KW_TABLE)) {
        assertion->kind = is_stream ? TN_AA_STREAM : TN_AA_TABLE;
        assertion->create = NEW(parser, struct tn_ast_create);
        assertion->create->name = tni_name(parser, "a name");
        if (tni_is_op(parser, '(')) {
            assertion->create->has_columns = true;
            tni_parse_columns(parser, &assertion->create->columns,
                              &assertion->create->columns_count);
        }
        assertion->create->props = tni_parse_with(parser);
    } else {
        if (tni_accept(parser, TNI_KW_NOT)) {
            tni_expect(parser, TNI_KW_EXISTS);
            assertion->is_not_exists = true;
        }
        parse_assert_resource(parser, assertion);
    }
}

/* ---- dispatch ---------------------------------------------------------------------------- */

static bool parse_control_kind(struct tni_parser *parser, struct tn_ast_stmt *stmt)
{
    switch (parser->tok.kw) {
    case TNI_KW_PAUSE: parse_control(parser, stmt, TN_AS_PAUSE); return true;
    case TNI_KW_RESUME: parse_control(parser, stmt, TN_AS_RESUME); return true;
    case TNI_KW_TERMINATE: parse_control(parser, stmt, TN_AS_TERMINATE); return true;
    case TNI_KW_PRINT: parse_print(parser, stmt); return true;
    case TNI_KW_ASSERT: parse_assert(parser, stmt); return true;
    case TNI_KW_RUN: parse_run(parser, stmt); return true;
    default: return false;
    }
}

bool tni_parse_admin(struct tni_parser *parser, struct tn_ast_stmt *stmt)
{
    if (parser->tok.kind != TNI_T_WORD)
        return false;
    switch (parser->tok.kw) {
    case TNI_KW_SHOW:
    case TNI_KW_LIST: parse_show(parser, stmt); return true;
    case TNI_KW_DESC:
    case TNI_KW_DESCRIBE: parse_describe(parser, stmt); return true;
    case TNI_KW_EXPLAIN: parse_explain(parser, stmt); return true;
    case TNI_KW_SET: parse_set(parser, stmt); return true;
    case TNI_KW_RESET: parse_reset(parser, stmt); return true;
    case TNI_KW_UNSET: parse_unset(parser, stmt); return true;
    case TNI_KW_DEFINE:
    case TNI_KW_UNDEFINE: parse_define(parser, stmt); return true;
    case TNI_KW_USE: parse_use(parser, stmt); return true;
    case TNI_KW_PREPARE: parse_prepare(parser, stmt); return true;
    case TNI_KW_EXECUTE: parse_execute(parser, stmt); return true;
    case TNI_KW_DEALLOCATE: parse_deallocate(parser, stmt); return true;
    case TNI_KW_START:
    case TNI_KW_COMMIT:
    case TNI_KW_ROLLBACK: parse_transaction(parser, stmt); return true;
    case TNI_KW_CALL: parse_call_stmt(parser, stmt); return true;
    case TNI_KW_ANALYZE: parse_analyze(parser, stmt); return true;
    default: return parse_control_kind(parser, stmt);
    }
}
