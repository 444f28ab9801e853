/* CREATE, INSERT, DROP, ALTER. How the parser works: parse_int.h. */
#include "sql/parse_int.h"

static bool parse_if_not_exists(struct tni_parser *parser)
{
    if (!tni_is_kw(parser, TNI_KW_IF) ||
        (!tni_peek_kw(parser, TNI_KW_NOT) && !tni_peek_kw(parser, TNI_KW_EXISTS)))
        return false;
    tni_advance(parser);
    tni_expect(parser, TNI_KW_NOT);
    tni_expect(parser, TNI_KW_EXISTS);
    return true;
}

/* ---- columns ----------------------------------------------------------------------------- */

static void parse_like(struct tni_parser *parser, struct tn_ast_column *column)
{
    column->like = tni_name(parser, "a table name");
    bool is_including = tni_accept(parser, TNI_KW_INCLUDING);
    if (is_including || tni_accept(parser, TNI_KW_EXCLUDING))
        tni_expect(parser, TNI_KW_PROPERTIES);
    column->is_like_props = is_including;
}

static void set_role(struct tni_parser *parser, struct tn_ast_column *column,
                     enum tn_ast_column_role role, const struct tni_token *token)
{
    if (column->role != TN_AC_VALUE)
        tni_fail_at(parser, token->line, token->col,
                    "column '%.*s' can be only one of KEY, PRIMARY KEY, HEADERS and HEADER('…')",
                    TN_STR_FMT(column->name.text));
    column->role = role;
}

/* One of KEY, PRIMARY KEY, HEADERS, HEADER('h'), NOT NULL, DEFAULT e, COMMENT 'c', WITH (…). */
static bool parse_attribute(struct tni_parser *parser, struct tn_ast_column *column)
{
    struct tni_token token = parser->tok;
    if (tni_accept(parser, TNI_KW_KEY)) {
        set_role(parser, column, TN_AC_KEY, &token);
    } else if (tni_accept(parser, TNI_KW_PRIMARY)) {
        tni_expect(parser, TNI_KW_KEY);
        set_role(parser, column, TN_AC_PRIMARY_KEY, &token);
    } else if (tni_accept(parser, TNI_KW_HEADERS)) {
        set_role(parser, column, TN_AC_HEADERS, &token);
    } else if (tni_accept(parser, TNI_KW_HEADER)) {
        tni_expect_op(parser, '(');
        column->header = tni_string(parser, "a header name (string)");
        tni_expect_op(parser, ')');
        set_role(parser, column, TN_AC_HEADER, &token);
    } else if (tni_accept_quiet(parser, TNI_KW_NOT)) {
        tni_expect(parser, TNI_KW_NULL);
        column->is_not_null = true;
    } else if (tni_accept_quiet(parser, TNI_KW_DEFAULT)) {
        column->deflt = tni_parse_value(parser);
    } else if (tni_accept_quiet(parser, TNI_KW_COMMENT)) {
        column->comment = tni_string(parser, "a string");
    } else if (tni_is_kw(parser, TNI_KW_WITH)) {
        column->props = tni_parse_with(parser);
        return column->props.is_given;
    } else {
        return false;
    }
    return true;
}

void tni_parse_column(struct tni_parser *parser, struct tn_ast_column *column)
{
    *column = (struct tn_ast_column){.line = parser->tok.line, .col = parser->tok.col};
    if (tni_accept_quiet(parser, TNI_KW_LIKE)) {
        parse_like(parser, column);
        return;
    }
    column->name = tni_ident(parser, "a column name");
    if (tni_is_op(parser, ',') || tni_is_op(parser, ')'))
        return;
    column->type = tni_parse_type(parser);
    while (parse_attribute(parser, column)) {
    }
}

void tni_parse_columns(struct tni_parser *parser, struct tn_ast_column **ret_columns,
                       uint32_t *ret_count)
{
    tni_expect_op(parser, '(');
    if (!tni_is_op(parser, ')'))
        do {
            struct tn_ast_column column;
            tni_parse_column(parser, &column);
            *TNI_PUSH(parser, *ret_columns, *ret_count) = column;
        } while (tni_accept_op(parser, ','));
    tni_expect_op(parser, ')');
}

/* ---- CREATE ------------------------------------------------------------------------------ */

static void parse_as_query(struct tni_parser *parser, struct tn_ast_create *create)
{
    size_t begin = parser->tok.pos;
    create->query = tni_parse_query(parser);
    create->query_text = tni_slice(parser, begin);
}

/* name [(columns)] [COMMENT 'c'] [WITH (…)] [AS query [WITH [NO] DATA]] */
static void parse_table(struct tni_parser *parser, struct tn_ast_create *create)
{
    create->name = tni_name(parser, "a name");
    if (tni_is_op(parser, '(')) {
        create->has_columns = true;
        tni_parse_columns(parser, &create->columns, &create->columns_count);
    } else {
        tni_want(parser, "'('");
    }
    if (tni_accept_quiet(parser, TNI_KW_COMMENT))
        create->comment = tni_string(parser, "a string");
    create->props = tni_parse_with(parser);
    if (!tni_accept(parser, TNI_KW_AS))
        return;
    parse_as_query(parser, create);
    if (tni_accept2(parser, TNI_KW_WITH, TNI_KW_NO)) {
        tni_expect(parser, TNI_KW_DATA);
        create->is_no_data = true;
    } else {
        tni_accept2(parser, TNI_KW_WITH, TNI_KW_DATA);
    }
}

/* name [COMMENT 'c'] [SECURITY DEFINER|INVOKER] [WITH (…)] AS query */
static void parse_view(struct tni_parser *parser, struct tn_ast_create *create)
{
    create->name = tni_name(parser, "a view name");
    if (tni_is_op(parser, '(')) {
        create->has_columns = true;
        tni_parse_columns(parser, &create->columns, &create->columns_count);
    }
    if (tni_accept_quiet(parser, TNI_KW_COMMENT))
        create->comment = tni_string(parser, "a string");
    if (tni_accept_quiet(parser, TNI_KW_SECURITY)) {
        create->is_security_definer = tni_accept(parser, TNI_KW_DEFINER);
        if (!create->is_security_definer)
            tni_expect(parser, TNI_KW_INVOKER);
        create->is_security_invoker = !create->is_security_definer;
    }
    create->props = tni_parse_with(parser);
    tni_expect(parser, TNI_KW_AS);
    parse_as_query(parser, create);
}

static void parse_sink(struct tni_parser *parser, struct tn_ast_stmt *stmt, bool is_or_replace)
{
    struct tn_ast_sink *sink = TN_ARENA_NEW(parser->arena, struct tn_ast_sink);
    stmt->kind = TN_AS_CREATE_SINK;
    stmt->sink = sink;
    sink->is_or_replace = is_or_replace;
    sink->is_if_not_exists = parse_if_not_exists(parser);
    sink->name = tni_name(parser, "a sink name");
    tni_expect(parser, TNI_KW_FROM);
    sink->source = tni_name(parser, "a stream or table name");
    tni_expect(parser, TNI_KW_INTO);
    sink->into = tni_name(parser, "a table name (zone.table)");
    if (tni_accept(parser, TNI_KW_TO))
        sink->to = tni_string(parser, "a location (string)");
    sink->props = tni_parse_with(parser);
}

/* name (EVERY d | CRON '…' | ON ARRIVAL IN table) [WITH (…)] AS statement */
static void parse_job(struct tni_parser *parser, struct tn_ast_stmt *stmt, bool is_or_replace)
{
    struct tn_ast_job *job = TN_ARENA_NEW(parser->arena, struct tn_ast_job);
    stmt->kind = TN_AS_CREATE_JOB;
    stmt->job = job;
    job->is_or_replace = is_or_replace;
    job->is_if_not_exists = parse_if_not_exists(parser);
    job->name = tni_name(parser, "a job name");
    if (tni_accept(parser, TNI_KW_EVERY)) {
        job->every = tni_duration(parser);
    } else if (tni_accept(parser, TNI_KW_CRON)) {
        job->cron = tni_string(parser, "a schedule ('minute hour day month weekday')");
    } else if (tni_accept(parser, TNI_KW_ON)) {
        tni_expect(parser, TNI_KW_ARRIVAL);
        tni_expect(parser, TNI_KW_IN);
        job->arrival = tni_name(parser, "a table name (zone.table)");
    } else {
        tni_expected(parser);
    }
    job->props = tni_parse_with(parser);
    tni_expect(parser, TNI_KW_AS);
    job->stmt = tni_parse_stmt(parser);
}

static void parse_schema(struct tni_parser *parser, struct tn_ast_create *create)
{
    create->name = tni_name(parser, "a schema name");
    if (tni_accept_quiet(parser, TNI_KW_AUTHORIZATION)) {
        tni_accept_quiet(parser, TNI_KW_ROLE);
        create->authorization = tni_ident(parser, "a name");
    }
    create->props = tni_parse_with(parser);
}

static void parse_type_def(struct tni_parser *parser, struct tn_ast_create *create)
{
    create->name = tni_name(parser, "a type name");
    tni_expect(parser, TNI_KW_AS);
    create->type = tni_parse_type(parser);
}

static void parse_connector(struct tni_parser *parser, struct tn_ast_create *create)
{
    create->is_if_not_exists = parse_if_not_exists(parser);
    create->name = tni_name(parser, "a connector name");
    create->props = tni_parse_with(parser);
}

/* CREATE SINK CONNECTOR c WITH …, not CREATE SINK connector FROM … */
static bool is_connector(const struct tni_parser *parser)
{
    struct tni_token after = tni_peek(parser, 2);
    return tni_peek_kw(parser, TNI_KW_CONNECTOR) && !tni_token_is_kw(&after, TNI_KW_FROM) &&
           !tni_token_is_op(&after, '.');
}

static bool parse_refused_create(struct tni_parser *parser, struct tn_ast_stmt *stmt)
{
    if (tni_is_kw(parser, TNI_KW_ROLE))
        tni_refuse(parser, stmt, "CREATE ROLE", "there are no roles and privileges");
    else if (tni_is_kw(parser, TNI_KW_FUNCTION))
        tni_refuse(parser, stmt, "CREATE FUNCTION", NULL);
    else if (tni_is_kw(parser, TNI_KW_CATALOG))
        tni_refuse(parser, stmt, "CREATE CATALOG", "there is one catalog, tarn");
    else
        return false;
    return true;
}

static void parse_object(struct tni_parser *parser, struct tn_ast_stmt *stmt,
                         struct tn_ast_create *create)
{
    stmt->create = create;
    if (tni_accept(parser, TNI_KW_STREAM)) {
        stmt->kind = TN_AS_CREATE_STREAM;
        create->is_if_not_exists = parse_if_not_exists(parser);
        parse_table(parser, create);
    } else if (tni_accept(parser, TNI_KW_TABLE)) {
        stmt->kind = TN_AS_CREATE_TABLE;
        create->is_if_not_exists = parse_if_not_exists(parser);
        parse_table(parser, create);
    } else if (create->is_source) {
        tni_expected(parser);
    } else if (tni_accept(parser, TNI_KW_VIEW)) {
        stmt->kind = TN_AS_CREATE_VIEW;
        create->is_if_not_exists = parse_if_not_exists(parser);
        parse_view(parser, create);
    } else if (tni_accept_quiet(parser, TNI_KW_MATERIALIZED)) {
        stmt->kind = TN_AS_CREATE_MATERIALIZED_VIEW;
        tni_expect(parser, TNI_KW_VIEW);
        create->is_if_not_exists = parse_if_not_exists(parser);
        parse_view(parser, create);
    } else if (create->is_or_replace) {
        tni_expected(parser);
    } else if (tni_accept(parser, TNI_KW_SCHEMA)) {
        stmt->kind = TN_AS_CREATE_SCHEMA;
        create->is_if_not_exists = parse_if_not_exists(parser);
        parse_schema(parser, create);
    } else if (tni_accept(parser, TNI_KW_TYPE)) {
        stmt->kind = TN_AS_CREATE_TYPE;
        create->is_if_not_exists = parse_if_not_exists(parser);
        parse_type_def(parser, create);
    } else if (tni_accept_quiet(parser, TNI_KW_CONNECTOR)) {
        stmt->kind = TN_AS_CREATE_CONNECTOR;
        parse_connector(parser, create);
    } else if (!parse_refused_create(parser, stmt)) {
        tni_expected(parser);
    }
}

static void parse_create(struct tni_parser *parser, struct tn_ast_stmt *stmt)
{
    struct tn_ast_create *create = TN_ARENA_NEW(parser->arena, struct tn_ast_create);
    if (tni_accept_quiet(parser, TNI_KW_OR)) {
        tni_expect(parser, TNI_KW_REPLACE);
        create->is_or_replace = true;
    }
    bool is_sink = tni_is_kw(parser, TNI_KW_SINK);
    if ((is_sink || tni_is_kw(parser, TNI_KW_SOURCE)) && is_connector(parser)) {
        tni_advance(parser);
        tni_advance(parser);
        create->is_sink = is_sink;
        create->is_source = !is_sink;
        stmt->kind = TN_AS_CREATE_CONNECTOR;
        stmt->create = create;
        parse_connector(parser, create);
    } else if (tni_accept(parser, TNI_KW_SINK)) {
        parse_sink(parser, stmt, create->is_or_replace);
    } else if (tni_accept(parser, TNI_KW_JOB)) {
        parse_job(parser, stmt, create->is_or_replace);
    } else {
        create->is_source = tni_accept(parser, TNI_KW_SOURCE);
        parse_object(parser, stmt, create);
    }
}

/* ---- INSERT ------------------------------------------------------------------------------ */

/* name [(columns)] [WITH (…)] query */
struct tn_ast_insert *tni_parse_insert_body(struct tni_parser *parser)
{
    struct tn_ast_insert *insert = TN_ARENA_NEW(parser->arena, struct tn_ast_insert);
    insert->name = tni_name(parser, "a stream or table name");
    struct tni_token next = tni_peek(parser, 1);
    if (tni_is_op(parser, '(') && !tni_is_query_start(&next) && !tni_token_is_op(&next, '('))
        tni_ident_list(parser, "a column name", &insert->columns, &insert->columns_count);
    insert->props = tni_parse_with(parser);
    insert->query = tni_parse_query(parser);
    return insert;
}

/* ---- DROP -------------------------------------------------------------------------------- */

/* STREAM, TABLE, VIEW, SCHEMA …; false: none of them is here. */
static bool parse_object_word(struct tni_parser *parser, enum tn_ast_object *ret_object)
{
    static const struct {
        enum tni_kw kw;
        enum tn_ast_object object;
    } words[] = {{TNI_KW_STREAM, TN_AOB_STREAM}, {TNI_KW_TABLE, TN_AOB_TABLE},
                 {TNI_KW_VIEW, TN_AOB_VIEW},     {TNI_KW_SCHEMA, TN_AOB_SCHEMA},
                 {TNI_KW_TYPE, TN_AOB_TYPE},     {TNI_KW_SINK, TN_AOB_SINK},
                 {TNI_KW_JOB, TN_AOB_JOB},       {TNI_KW_CONNECTOR, TN_AOB_CONNECTOR}};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (tni_accept(parser, words[i].kw)) {
            *ret_object = words[i].object;
            return true;
        }
    if (tni_accept_quiet(parser, TNI_KW_MATERIALIZED)) {
        tni_expect(parser, TNI_KW_VIEW);
        *ret_object = TN_AOB_MATERIALIZED_VIEW;
        return true;
    }
    return false;
}

static void parse_drop(struct tni_parser *parser, struct tn_ast_stmt *stmt)
{
    struct tn_ast_drop *drop = TN_ARENA_NEW(parser->arena, struct tn_ast_drop);
    stmt->kind = TN_AS_DROP;
    stmt->drop = drop;
    if (tni_is_kw(parser, TNI_KW_ROLE)) {
        tni_refuse(parser, stmt, "DROP ROLE", "there are no roles and privileges");
        return;
    }
    if (tni_is_kw(parser, TNI_KW_FUNCTION) || tni_is_kw(parser, TNI_KW_CATALOG)) {
        tni_refuse(parser, stmt,
                   tni_is_kw(parser, TNI_KW_CATALOG) ? "DROP CATALOG" : "DROP FUNCTION", NULL);
        return;
    }
    if (!parse_object_word(parser, &drop->object)) {
        tni_expected(parser);
        return;
    }
    drop->is_if_exists = tni_accept2(parser, TNI_KW_IF, TNI_KW_EXISTS);
    drop->name = tni_name(parser, "a name");
    if ((drop->object == TN_AOB_STREAM || drop->object == TN_AOB_TABLE) &&
        tni_accept(parser, TNI_KW_DELETE)) {
        tni_expect(parser, TNI_KW_TOPIC);
        drop->is_delete_topic = true;
    }
    if (drop->object == TN_AOB_SCHEMA) {
        drop->is_cascade = tni_accept(parser, TNI_KW_CASCADE);
        drop->is_restrict = !drop->is_cascade && tni_accept(parser, TNI_KW_RESTRICT);
    }
}

/* ---- ALTER ------------------------------------------------------------------------------- */

/* Take the word unless it is itself the name: "ADD COLUMN a INT" and "ADD column ARRAY<INT>". */
static void skip_word(struct tni_parser *parser, enum tni_kw kw)
{
    struct tni_token next = tni_peek(parser, 1), after = tni_peek(parser, 2);
    bool is_type = tni_token_is_op(&after, '<') || tni_token_is_op(&after, '(');
    if (tni_is_kw(parser, kw) && tni_token_is_name(&next) && !is_type)
        tni_advance(parser);
}

/* ADD [COLUMN] c type, [ADD] [COLUMN] d type … */
static void parse_add(struct tni_parser *parser, struct tn_ast_alter *alter)
{
    tni_expect(parser, TNI_KW_ADD);
    do {
        struct tn_ast_column column;
        if (alter->columns_count > 0)
            skip_word(parser, TNI_KW_ADD);
        skip_word(parser, TNI_KW_COLUMN);
        tni_parse_column(parser, &column);
        if (!column.type && !tni_failed(parser)) {
            tni_want(parser, "a type");
            tni_expected(parser);
        }
        *TNI_PUSH(parser, alter->columns, alter->columns_count) = column;
    } while (tni_accept_op(parser, ','));
}

/* ALTER SYSTEM 'k' = 'v' */
static void parse_alter_system(struct tni_parser *parser, struct tn_ast_alter *alter)
{
    struct tn_ast_prop prop = {
        .name = {.is_quoted = true, .line = parser->tok.line, .col = parser->tok.col}};
    alter->object = TN_AOB_SYSTEM;
    alter->props.is_given = true;
    prop.name.text = tni_string(parser, "a property name (string)");
    tni_expect_op(parser, '=');
    prop.value = tni_ast_node(parser, TN_AX_STRING, parser->tok.line, parser->tok.col);
    prop.value->text = tni_string(parser, "a string");
    *TNI_PUSH(parser, alter->props.items, alter->props.items_count) = prop;
}

static void parse_alter(struct tni_parser *parser, struct tn_ast_stmt *stmt)
{
    struct tn_ast_alter *alter = TN_ARENA_NEW(parser->arena, struct tn_ast_alter);
    stmt->kind = TN_AS_ALTER;
    stmt->alter = alter;
    if (tni_accept_quiet(parser, TNI_KW_SYSTEM)) {
        parse_alter_system(parser, alter);
        return;
    }
    bool is_stream = tni_is_kw(parser, TNI_KW_STREAM), is_sink = tni_is_kw(parser, TNI_KW_SINK);
    if (tni_is_kw(parser, TNI_KW_VIEW) || tni_is_kw(parser, TNI_KW_MATERIALIZED)) {
        tni_refuse(parser, stmt, "ALTER VIEW", "CREATE OR REPLACE VIEW changes a view");
        return;
    }
    if (tni_is_kw(parser, TNI_KW_SCHEMA)) {
        tni_refuse(parser, stmt, "ALTER SCHEMA", NULL);
        return;
    }
    if (!tni_accept(parser, TNI_KW_STREAM) && !tni_accept(parser, TNI_KW_TABLE) &&
        !tni_accept(parser, TNI_KW_SINK)) {
        tni_expected(parser);
        return;
    }
    alter->object = is_stream ? TN_AOB_STREAM : is_sink ? TN_AOB_SINK : TN_AOB_TABLE;
    alter->is_if_exists = tni_accept2(parser, TNI_KW_IF, TNI_KW_EXISTS);
    alter->name = tni_name(parser, "a name");
    if (is_sink) {
        if (!tni_accept(parser, TNI_KW_SET))
            tni_expect(parser, TNI_KW_WITH);
        alter->props = tni_parse_props(parser);
    } else if (!is_stream && (tni_is_kw(parser, TNI_KW_RENAME) || tni_is_kw(parser, TNI_KW_DROP) ||
                              tni_is_kw(parser, TNI_KW_SET) || tni_is_kw(parser, TNI_KW_ALTER) ||
                              tni_is_kw(parser, TNI_KW_EXECUTE))) {
        tni_refuse(parser, stmt, "this form of ALTER TABLE", "ADD COLUMN is what can be done");
    } else {
        parse_add(parser, alter);
    }
}

void tni_parse_create(struct tni_parser *parser, struct tn_ast_stmt *stmt)
{
    if (tni_accept(parser, TNI_KW_CREATE)) {
        parse_create(parser, stmt);
    } else if (tni_accept(parser, TNI_KW_DROP)) {
        parse_drop(parser, stmt);
    } else if (tni_accept(parser, TNI_KW_ALTER)) {
        parse_alter(parser, stmt);
    } else {
        tni_expect(parser, TNI_KW_INSERT);
        tni_expect(parser, TNI_KW_INTO);
        stmt->kind = TN_AS_INSERT;
        stmt->insert = tni_parse_insert_body(parser);
    }
}
