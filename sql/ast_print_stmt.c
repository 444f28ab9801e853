/* Canonical text of statements. Contract: ast.h; queries: ast_print_query.c. */
#include "sql/ast_print_int.h"
#include "sql/parse.h"

const char *tn_ast_stmt_text(enum tn_ast_stmt_kind kind)
{
    static const char *const texts[] = {
#define XX(name, member, text) text,
        TN_AST_STMT_MAP(XX)
#undef XX
    };
    TN_ASSERT(kind < TN_AS_COUNT);
    return texts[kind];
}

const char *tn_ast_object_text(enum tn_ast_object object)
{
    static const char *const texts[] = {[TN_AOB_STREAM] = "STREAM",
                                        [TN_AOB_TABLE] = "TABLE",
                                        [TN_AOB_VIEW] = "VIEW",
                                        [TN_AOB_MATERIALIZED_VIEW] = "MATERIALIZED VIEW",
                                        [TN_AOB_SCHEMA] = "SCHEMA",
                                        [TN_AOB_TYPE] = "TYPE",
                                        [TN_AOB_CONNECTOR] = "CONNECTOR",
                                        [TN_AOB_SINK] = "SINK",
                                        [TN_AOB_JOB] = "JOB",
                                        [TN_AOB_QUERY] = "QUERY",
                                        [TN_AOB_TOPIC] = "TOPIC",
                                        [TN_AOB_SYSTEM] = "SYSTEM"};
    TN_ASSERT((size_t)object < sizeof texts / sizeof texts[0]);
    return texts[object];
}

/* ---- parts ------------------------------------------------------------------------------- */

/* " WORD 'text'" when there is one. */
static void print_text(const char *word, struct tn_str text, struct tn_buf *buf)
{
    if (!text.ptr)
        return;
    tn_buf_printf(buf, " %s ", word);
    tni_print_string(text, buf);
}

/* A name kept as text only: in quotes when it could not be read back without. */
static void print_bare(struct tn_str text, struct tn_buf *buf)
{
    struct tn_ident ident = {.text = text, .is_quoted = tn_parse_needs_quotes(text)};
    tni_print_ident(&ident, buf);
}

static void print_word_name(const char *word, const struct tn_ast_name *name, struct tn_buf *buf)
{
    if (!name)
        return;
    tn_buf_add_text(buf, word);
    tn_ast_print_name(name, buf);
}

/* Words with dots between them need no quotes. */
static bool is_prop_word(struct tn_str text)
{
    size_t begin = 0;
    for (size_t i = 0; i <= text.len; i++) {
        if (i < text.len && text.ptr[i] != '.')
            continue;
        struct tn_str part = {text.ptr + begin, i - begin};
        if (part.len == 0 || tn_parse_needs_quotes(part))
            return false;
        begin = i + 1;
    }
    return true;
}

static void print_prop_list(const struct tn_ast_props *props, struct tn_buf *buf)
{
    tn_buf_add_byte(buf, '(');
    for (uint32_t i = 0; i < props->items_count; i++) {
        const struct tn_ast_prop *prop = &props->items[i];
        tn_buf_add_text(buf, i == 0 ? "" : ", ");
        if (is_prop_word(prop->name.text))
            tn_buf_add_str(buf, prop->name.text);
        else
            tni_print_string(prop->name.text, buf);
        tn_buf_add_text(buf, " = ");
        if (prop->value)
            tn_ast_print_expr(prop->value, buf);
        else
            tn_buf_add_text(buf, "DEFAULT");
    }
    tn_buf_add_byte(buf, ')');
}

static void print_with(const struct tn_ast_props *props, struct tn_buf *buf)
{
    if (!props->is_given)
        return;
    tn_buf_add_text(buf, " WITH ");
    print_prop_list(props, buf);
}

static void print_column(const struct tn_ast_column *column, struct tn_buf *buf)
{
    static const char *const roles[] = {[TN_AC_VALUE] = "",
                                        [TN_AC_KEY] = " KEY",
                                        [TN_AC_PRIMARY_KEY] = " PRIMARY KEY",
                                        [TN_AC_HEADERS] = " HEADERS",
                                        [TN_AC_HEADER] = " HEADER("};
    if (column->like) {
        print_word_name("LIKE ", column->like, buf);
        tn_buf_add_text(buf, column->is_like_props ? " INCLUDING PROPERTIES" : "");
        return;
    }
    tni_print_ident(&column->name, buf);
    if (!column->type)
        return;
    tn_buf_add_byte(buf, ' ');
    tn_ast_print_type(column->type, buf);
    tn_buf_add_text(buf, roles[column->role]);
    if (column->role == TN_AC_HEADER) {
        tni_print_string(column->header, buf);
        tn_buf_add_byte(buf, ')');
    }
    tn_buf_add_text(buf, column->is_not_null ? " NOT NULL" : "");
    if (column->deflt) {
        tn_buf_add_text(buf, " DEFAULT ");
        tn_ast_print_expr(column->deflt, buf);
    }
    print_text("COMMENT", column->comment, buf);
    print_with(&column->props, buf);
}

static void print_columns(const struct tn_ast_column *columns, uint32_t count, const char *before,
                          struct tn_buf *buf)
{
    for (uint32_t i = 0; i < count; i++) {
        tn_buf_add_text(buf, i == 0 ? "" : ", ");
        tn_buf_add_text(buf, before);
        print_column(&columns[i], buf);
    }
}

/* ---- CREATE and kin ---------------------------------------------------------------------- */

static void print_create_head(const struct tn_ast_stmt *stmt, struct tn_buf *buf)
{
    const struct tn_ast_create *create = stmt->create;
    tn_buf_add_text(buf, create->is_or_replace ? "CREATE OR REPLACE " : "CREATE ");
    if (create->is_source)
        tn_buf_add_text(buf, "SOURCE ");
    if (create->is_sink)
        tn_buf_add_text(buf, "SINK ");
    tn_buf_add_text(buf, tn_ast_stmt_text(stmt->kind) + strlen("CREATE "));
    tn_buf_add_text(buf, create->is_if_not_exists ? " IF NOT EXISTS " : " ");
    tn_ast_print_name(create->name, buf);
}

static void print_create_body(const struct tn_ast_create *create, struct tn_buf *buf)
{
    if (create->has_columns) {
        tn_buf_add_text(buf, " (");
        print_columns(create->columns, create->columns_count, "", buf);
        tn_buf_add_byte(buf, ')');
    }
    print_text("COMMENT", create->comment, buf);
    if (create->is_security_definer || create->is_security_invoker)
        tn_buf_add_text(buf,
                        create->is_security_definer ? " SECURITY DEFINER" : " SECURITY INVOKER");
    if (create->authorization.text.ptr) {
        tn_buf_add_text(buf, " AUTHORIZATION ");
        tni_print_ident(&create->authorization, buf);
    }
    print_with(&create->props, buf);
    if (create->type) {
        tn_buf_add_text(buf, " AS ");
        tn_ast_print_type(create->type, buf);
    }
    if (create->query) {
        tn_buf_add_text(buf, " AS ");
        tn_ast_print_query(create->query, buf);
        tn_buf_add_text(buf, create->is_no_data ? " WITH NO DATA" : "");
    }
}

static void print_sink(const struct tn_ast_sink *sink, struct tn_buf *buf)
{
    tn_buf_add_text(buf, sink->is_or_replace ? "CREATE OR REPLACE SINK " : "CREATE SINK ");
    tn_buf_add_text(buf, sink->is_if_not_exists ? "IF NOT EXISTS " : "");
    tn_ast_print_name(sink->name, buf);
    print_word_name(" FROM ", sink->source, buf);
    print_word_name(" INTO ", sink->into, buf);
    print_text("TO", sink->to, buf);
    print_with(&sink->props, buf);
}

static void print_job(const struct tn_ast_job *job, struct tn_buf *buf)
{
    tn_buf_add_text(buf, job->is_or_replace ? "CREATE OR REPLACE JOB " : "CREATE JOB ");
    tn_buf_add_text(buf, job->is_if_not_exists ? "IF NOT EXISTS " : "");
    tn_ast_print_name(job->name, buf);
    if (job->every.is_given) {
        tn_buf_add_text(buf, " EVERY ");
        tni_print_duration(&job->every, buf);
    }
    print_text("CRON", job->cron, buf);
    print_word_name(" ON ARRIVAL IN ", job->arrival, buf);
    print_with(&job->props, buf);
    tn_buf_add_text(buf, " AS ");
    tn_ast_print_stmt(job->stmt, buf);
}

static void print_insert(const struct tn_ast_insert *insert, struct tn_buf *buf)
{
    tn_ast_print_name(insert->name, buf);
    if (insert->columns_count) {
        tn_buf_add_byte(buf, ' ');
        tni_print_idents(insert->columns, insert->columns_count, buf);
    }
    print_with(&insert->props, buf);
    tn_buf_add_byte(buf, ' ');
    tn_ast_print_query(insert->query, buf);
}

static void print_drop(const struct tn_ast_drop *drop, struct tn_buf *buf)
{
    tn_buf_printf(buf, "DROP %s ", tn_ast_object_text(drop->object));
    tn_buf_add_text(buf, drop->is_if_exists ? "IF EXISTS " : "");
    tn_ast_print_name(drop->name, buf);
    tn_buf_add_text(buf, drop->is_delete_topic ? " DELETE TOPIC" : "");
    tn_buf_add_text(buf, drop->is_cascade ? " CASCADE" : drop->is_restrict ? " RESTRICT" : "");
}

static void print_alter(const struct tn_ast_alter *alter, struct tn_buf *buf)
{
    tn_buf_printf(buf, "ALTER %s ", tn_ast_object_text(alter->object));
    if (alter->object == TN_AOB_SYSTEM) {
        tni_print_string(alter->props.items[0].name.text, buf);
        tn_buf_add_text(buf, " = ");
        tn_ast_print_expr(alter->props.items[0].value, buf);
        return;
    }
    tn_buf_add_text(buf, alter->is_if_exists ? "IF EXISTS " : "");
    tn_ast_print_name(alter->name, buf);
    tn_buf_add_byte(buf, ' ');
    if (alter->object == TN_AOB_SINK) {
        tn_buf_add_text(buf, "SET ");
        print_prop_list(&alter->props, buf);
    } else {
        print_columns(alter->columns, alter->columns_count, "ADD COLUMN ", buf);
    }
}

static void print_control(const struct tn_ast_stmt *stmt, struct tn_buf *buf)
{
    const struct tn_ast_control *control = stmt->control;
    tn_buf_printf(buf, "%s ", tn_ast_stmt_text(stmt->kind));
    if (control->object != TN_AOB_QUERY)
        tn_buf_printf(buf, "%s ", tn_ast_object_text(control->object));
    if (control->is_all)
        tn_buf_add_text(buf, "ALL");
    else
        tni_print_ident(&control->id, buf);
}

/* ---- administration ---------------------------------------------------------------------- */

static void print_explain(const struct tn_ast_explain *explain, struct tn_buf *buf)
{
    static const char *const types[] = {"", "LOGICAL", "DISTRIBUTED", "VALIDATE", "IO"};
    static const char *const formats[] = {"", "TEXT", "JSON", "GRAPHVIZ"};
    tn_buf_add_text(buf, explain->is_analyze ? "EXPLAIN ANALYZE " : "EXPLAIN ");
    tn_buf_add_text(buf, explain->is_verbose ? "VERBOSE " : "");
    if (explain->type != TN_AXT_DEFAULT || explain->format != TN_AXF_DEFAULT) {
        const char *gap = "(";
        if (explain->type != TN_AXT_DEFAULT) {
            tn_buf_printf(buf, "(TYPE %s", types[explain->type]);
            gap = ", ";
        }
        if (explain->format != TN_AXF_DEFAULT)
            tn_buf_printf(buf, "%sFORMAT %s", gap, formats[explain->format]);
        tn_buf_add_text(buf, ") ");
    }
    if (explain->stmt)
        tn_ast_print_stmt(explain->stmt, buf);
    else
        tni_print_ident(&explain->query_id, buf);
}

const char *tn_ast_show_text(enum tn_ast_show_what what)
{
    static const char *const texts[] = {
#define XX(name, text) text,
        TN_AST_SHOW_MAP(XX)
#undef XX
    };
    TN_ASSERT(what < TN_AH_COUNT);
    return texts[what];
}

/* Word between what is shown and its name. */
static const char *show_link(enum tn_ast_show_what what)
{
    switch (what) {
    case TN_AH_STATS:
    case TN_AH_CREATE_TABLE:
    case TN_AH_CREATE_VIEW:
    case TN_AH_CREATE_MATERIALIZED_VIEW:
    case TN_AH_CREATE_SCHEMA:
    case TN_AH_CREATE_FUNCTION: return " ";
    case TN_AH_GRANTS: return " ON ";
    default: return " FROM ";
    }
}

static void print_show(const struct tn_ast_stmt *stmt, struct tn_buf *buf)
{
    const struct tn_ast_show *show = stmt->show;
    bool is_describe = stmt->kind == TN_AS_DESCRIBE;
    tn_buf_add_text(buf, is_describe ? "DESCRIBE" : show->is_list ? "LIST" : "SHOW");
    if (tn_ast_show_text(show->what)[0])
        tn_buf_printf(buf, " %s", tn_ast_show_text(show->what));
    print_word_name(is_describe ? " " : show_link(show->what), show->name, buf);
    if (show->query) {
        tn_buf_add_text(buf, " (");
        tn_ast_print_query(show->query, buf);
        tn_buf_add_byte(buf, ')');
    }
    print_text("LIKE", show->like, buf);
    print_text("ESCAPE", show->escape, buf);
    tn_buf_add_text(buf, show->is_extended ? " EXTENDED" : "");
}

static void print_topic(const struct tn_ident *topic, struct tn_buf *buf)
{
    if (topic->is_quoted)
        tni_print_string(topic->text, buf);
    else
        tn_buf_add_str(buf, topic->text);
}

static void print_print(const struct tn_ast_print *print, struct tn_buf *buf)
{
    tn_buf_add_text(buf, "PRINT ");
    print_topic(&print->topic, buf);
    tn_buf_add_text(buf, print->is_from_beginning ? " FROM BEGINNING" : "");
    if (print->interval)
        tn_buf_printf(buf, " INTERVAL %lld", (long long)print->interval);
    if (print->limit)
        tn_buf_printf(buf, " LIMIT %lld", (long long)print->limit);
}

/* The SETs of a session. */
static void print_session(const struct tn_ast_stmt *stmt, struct tn_buf *buf)
{
    const struct tn_ast_set_stmt *set = stmt->set;
    tn_buf_add_text(buf, tn_ast_stmt_text(stmt->kind));
    switch (stmt->kind) {
    case TN_AS_SET_TIME_ZONE: tn_buf_add_text(buf, set->value ? " " : " LOCAL"); break;
    case TN_AS_SET_ROLE:
    case TN_AS_SET_AUTHORIZATION:
        tn_buf_add_byte(buf, ' ');
        print_bare(set->key, buf);
        print_word_name(" IN ", set->name, buf);
        return;
    case TN_AS_SET_PATH:
        tn_buf_add_byte(buf, ' ');
        tn_buf_add_str(buf, set->text);
        return;
    case TN_AS_SET_SESSION:
        print_word_name(" ", set->name, buf);
        tn_buf_add_text(buf, " = ");
        break;
    default: print_word_name(" ", set->name, buf); break;
    }
    if (set->value)
        tn_ast_print_expr(set->value, buf);
}

static void print_set(const struct tn_ast_stmt *stmt, struct tn_buf *buf)
{
    const struct tn_ast_set_stmt *set = stmt->set;
    switch (stmt->kind) {
    case TN_AS_SET:
    case TN_AS_UNSET:
        tn_buf_printf(buf, "%s ", tn_ast_stmt_text(stmt->kind));
        tni_print_string(set->key, buf);
        break;
    case TN_AS_DEFINE:
    case TN_AS_UNDEFINE:
        tn_buf_printf(buf, "%s ", tn_ast_stmt_text(stmt->kind));
        print_bare(set->key, buf);
        break;
    case TN_AS_RUN_SCRIPT:
        tn_buf_add_text(buf, "RUN SCRIPT ");
        tni_print_string(set->text, buf);
        return;
    default: print_session(stmt, buf); return;
    }
    if (set->text.ptr) {
        tn_buf_add_text(buf, " = ");
        tni_print_string(set->text, buf);
    }
}

static void print_assert(const struct tn_ast_assert *assertion, struct tn_buf *buf)
{
    static const char *const words[] = {
        [TN_AA_TOPIC] = "TOPIC ",   [TN_AA_SCHEMA] = "SCHEMA",
        [TN_AA_VALUES] = "VALUES ", [TN_AA_NULL_VALUES] = "NULL VALUES ",
        [TN_AA_STREAM] = "STREAM ", [TN_AA_TABLE] = "TABLE "};
    tn_buf_add_text(buf, assertion->is_not_exists ? "ASSERT NOT EXISTS " : "ASSERT ");
    tn_buf_add_text(buf, words[assertion->kind]);
    switch (assertion->kind) {
    case TN_AA_TOPIC:
        print_topic(&assertion->topic, buf);
        print_with(&assertion->props, buf);
        break;
    case TN_AA_SCHEMA:
        if (assertion->subject.text.ptr) {
            tn_buf_add_text(buf, " SUBJECT ");
            print_topic(&assertion->subject, buf);
        }
        if (assertion->has_schema_id)
            tn_buf_printf(buf, " ID %lld", (long long)assertion->schema_id);
        break;
    case TN_AA_VALUES: print_insert(assertion->insert, buf); break;
    case TN_AA_NULL_VALUES:
        tn_ast_print_name(assertion->insert->name, buf);
        if (assertion->insert->columns_count) {
            tn_buf_add_byte(buf, ' ');
            tni_print_idents(assertion->insert->columns, assertion->insert->columns_count, buf);
        }
        tn_buf_add_text(buf, " KEY (");
        tni_print_exprs(assertion->insert->query->rows[0]->args,
                        assertion->insert->query->rows[0]->args_count, buf);
        tn_buf_add_byte(buf, ')');
        break;
    case TN_AA_STREAM:
    case TN_AA_TABLE:
        tn_ast_print_name(assertion->create->name, buf);
        print_create_body(assertion->create, buf);
        break;
    }
    if (assertion->timeout.is_given) {
        tn_buf_add_text(buf, " TIMEOUT ");
        tni_print_duration(&assertion->timeout, buf);
    }
}

static void print_prepare(const struct tn_ast_stmt *stmt, struct tn_buf *buf)
{
    const struct tn_ast_prepare *prepare = stmt->prepare;
    tn_buf_printf(buf, "%s ", tn_ast_stmt_text(stmt->kind));
    if (stmt->kind == TN_AS_EXECUTE_IMMEDIATE)
        tni_print_string(prepare->text, buf);
    else
        tni_print_ident(&prepare->name, buf);
    if (prepare->stmt) {
        tn_buf_add_text(buf, " FROM ");
        tn_ast_print_stmt(prepare->stmt, buf);
    }
    if (prepare->args_count) {
        tn_buf_add_text(buf, " USING ");
        tni_print_exprs(prepare->args, prepare->args_count, buf);
    }
}

static void print_transaction(const struct tn_ast_stmt *stmt, struct tn_buf *buf)
{
    const struct tn_ast_transaction *t = stmt->transaction;
    tn_buf_add_text(buf, tn_ast_stmt_text(stmt->kind));
    if (t->isolation)
        tn_buf_printf(buf, " ISOLATION LEVEL %s", t->isolation);
    if (t->is_read_only || t->is_read_write)
        tn_buf_printf(buf, "%s READ %s", t->isolation ? "," : "",
                      t->is_read_only ? "ONLY" : "WRITE");
}

static void print_call(const struct tn_ast_call_stmt *call, struct tn_buf *buf)
{
    print_word_name("CALL ", call->name, buf);
    tn_buf_add_byte(buf, '(');
    for (uint32_t i = 0; i < call->args_count; i++) {
        tn_buf_add_text(buf, i == 0 ? "" : ", ");
        if (call->names[i].text.ptr) {
            tni_print_ident(&call->names[i], buf);
            tn_buf_add_text(buf, " => ");
        }
        tni_print_exprs(&call->args[i], 1, buf);
    }
    tn_buf_add_byte(buf, ')');
}

/* ---- statements -------------------------------------------------------------------------- */

static void print_rest(const struct tn_ast_stmt *stmt, struct tn_buf *buf)
{
    switch (stmt->kind) {
    case TN_AS_USE:
        tn_buf_add_text(buf, "USE ");
        if (stmt->use->catalog.text.ptr) {
            tni_print_ident(&stmt->use->catalog, buf);
            tn_buf_add_byte(buf, '.');
        }
        tni_print_ident(&stmt->use->schema, buf);
        break;
    case TN_AS_PREPARE:
    case TN_AS_EXECUTE:
    case TN_AS_EXECUTE_IMMEDIATE:
    case TN_AS_DEALLOCATE: print_prepare(stmt, buf); break;
    case TN_AS_START_TRANSACTION:
    case TN_AS_COMMIT:
    case TN_AS_ROLLBACK: print_transaction(stmt, buf); break;
    case TN_AS_CALL: print_call(stmt->call, buf); break;
    case TN_AS_ANALYZE:
        print_word_name("ANALYZE ", stmt->analyze->name, buf);
        print_with(&stmt->analyze->props, buf);
        break;
    case TN_AS_REFUSED: tn_buf_add_str(buf, stmt->text); break;
    default: print_set(stmt, buf); break;
    }
}

void tn_ast_print_stmt(const struct tn_ast_stmt *stmt, struct tn_buf *buf)
{
    switch (stmt->kind) {
    case TN_AS_QUERY: tn_ast_print_query(stmt->query, buf); break;
    case TN_AS_CREATE_STREAM:
    case TN_AS_CREATE_TABLE:
    case TN_AS_CREATE_VIEW:
    case TN_AS_CREATE_MATERIALIZED_VIEW:
    case TN_AS_CREATE_SCHEMA:
    case TN_AS_CREATE_TYPE:
    case TN_AS_CREATE_CONNECTOR:
        print_create_head(stmt, buf);
        print_create_body(stmt->create, buf);
        break;
    case TN_AS_CREATE_SINK: print_sink(stmt->sink, buf); break;
    case TN_AS_CREATE_JOB: print_job(stmt->job, buf); break;
    case TN_AS_INSERT:
        tn_buf_add_text(buf, "INSERT INTO ");
        print_insert(stmt->insert, buf);
        break;
    case TN_AS_DROP: print_drop(stmt->drop, buf); break;
    case TN_AS_ALTER: print_alter(stmt->alter, buf); break;
    case TN_AS_PAUSE:
    case TN_AS_RESUME:
    case TN_AS_TERMINATE: print_control(stmt, buf); break;
    case TN_AS_EXPLAIN: print_explain(stmt->explain, buf); break;
    case TN_AS_DESCRIBE:
    case TN_AS_SHOW: print_show(stmt, buf); break;
    case TN_AS_PRINT: print_print(stmt->print, buf); break;
    case TN_AS_ASSERT: print_assert(stmt->assertion, buf); break;
    default: print_rest(stmt, buf); break;
    }
}
