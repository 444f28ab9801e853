/* The lexer, parser and printer.
 *
 * Most cases are text: the .txt files of tests/sql/parse hold statements, each with its canonical
 * text or error.
 *   - A case is some lines of SQL and then lines that begin with '='; an empty line ends it; '#'
 * lines are comments.
 *   - "==" says the canonical text is the SQL as written, "=> text" gives it.
 *   - "=! line:col message" is an error, "=? hint" its hint; "=! line:col NAME: message" when the
 * SQL error name is not that of its code.
 *   - "%identifiers=ksql" or "%identifiers=tarn" on a line of its own holds for the cases below it.
 * Each canonical text is parsed and printed again and must not change. Every prefix of a case, cut
 * at each token, is parsed too: it must give a tree or an error inside the text, never a crash.
 *
 * `test_parser --print FILE` prints FILE with what the parser answers, for review of new cases.
 *
 * The rest covers what text can not show: positions of nodes, limits, splitting of scripts,
 * variables, the order of the keyword table, names that need quotes.
 */
#include <dirent.h>
#include <stdlib.h>
#include "sql/lexer.h"
#include "sql/parse.h"
#include "stream/base/mem.h"
#include "tests/check.h"

#define CORPUS     "tests/sql/parse"
#define CASES_MIN  400
#define TEXT_BYTES (4 * 1024 * 1024)

/* ---- corpus ------------------------------------------------------------------------------ */

struct corpus_case {
    const char *file;
    int line;
    struct tn_str sql;
    bool is_same;
    struct tn_str want, error, hint;
};

static int cases_run;

static void answer(const struct corpus_case *c, const struct tn_parse_opts *opts,
                   struct tn_arena *arena, struct tn_buf *ret_text)
{
    struct tn_err err = TN_ERR_INIT;
    struct tn_ast_stmt *stmt = NULL;
    if (!tn_failed(tn_parse_statement(c->sql, opts, arena, &stmt, &err))) {
        struct tn_buf text;
        tn_buf_init(&text, TEXT_BYTES);
        tn_ast_print_stmt(stmt, &text);
        bool is_same = tn_str_eq(tn_buf_str(&text), c->sql);
        tn_buf_printf(ret_text, is_same ? "==\n" : "=> %s\n", tn_buf_cstr(&text));
        tn_buf_release(&text);
        return;
    }
    bool has_name = err.name && strcmp(err.name, tn_status_sql_name(err.code)) != 0;
    bool is_syntax = err.code == TN_E_SYNTAX;
    const char *name = has_name ? err.name : is_syntax ? "" : tn_status_sql_name(err.code);
    tn_buf_printf(ret_text, "=! %d:%d %s%s%s\n", err.line, err.col, name, name[0] ? ": " : "",
                  err.message);
    if (err.hint[0])
        tn_buf_printf(ret_text, "=? %s\n", err.hint);
}

static void expected_answer(const struct corpus_case *c, struct tn_buf *ret_text)
{
    if (c->is_same)
        tn_buf_add_text(ret_text, "==\n");
    else if (c->error.ptr)
        tn_buf_printf(ret_text, "=! %.*s\n", TN_STR_FMT(c->error));
    else
        tn_buf_printf(ret_text, "=> %.*s\n", TN_STR_FMT(c->want));
    if (c->hint.ptr)
        tn_buf_printf(ret_text, "=? %.*s\n", TN_STR_FMT(c->hint));
}

/* The canonical text parses, and prints as itself. */
static void check_fixed_point(const struct corpus_case *c, const struct tn_parse_opts *opts,
                              struct tn_arena *arena)
{
    struct tn_err err = TN_ERR_INIT;
    struct tn_ast_stmt *stmt = NULL;
    struct tn_buf first, second;
    if (tn_failed(tn_parse_statement(c->sql, opts, arena, &stmt, &err)))
        return;
    tn_buf_init(&first, TEXT_BYTES);
    tn_buf_init(&second, TEXT_BYTES);
    tn_ast_print_stmt(stmt, &first);
    enum tn_status st = tn_parse_statement(tn_buf_str(&first), opts, arena, &stmt, &err);
    CHECK_OK(st, &err);
    if (!tn_failed(st))
        tn_ast_print_stmt(stmt, &second);
    CHECK(tn_str_eq(tn_buf_str(&first), tn_buf_str(&second)));
    if (!tn_str_eq(tn_buf_str(&first), tn_buf_str(&second)))
        fprintf(stderr, "%s:%d: no fixed point:\n  %s\n  %s\n", c->file, c->line,
                tn_buf_cstr(&first), tn_buf_cstr(&second));
    tn_buf_release(&first);
    tn_buf_release(&second);
}

/* Where the last token of `text` begins, or 0. */
static size_t last_token(struct tn_str text)
{
    struct tni_lexer lexer;
    struct tni_token token;
    size_t pos = 0;
    tni_lexer_init(&lexer, text, 1, 1);
    for (tni_lexer_next(&lexer, &token); token.kind != TNI_T_END && token.kind != TNI_T_ERROR;
         tni_lexer_next(&lexer, &token))
        pos = token.pos;
    return pos;
}

static void check_prefixes(const struct corpus_case *c, const struct tn_parse_opts *opts,
                           struct tn_arena *arena)
{
    struct tn_str text = c->sql;
    while ((text.len = last_token(text)) > 0) {
        struct tn_err err = TN_ERR_INIT;
        struct tn_ast_stmt *stmt = NULL;
        tn_arena_reset(arena);
        if (!tn_failed(tn_parse_statement(text, opts, arena, &stmt, &err)))
            continue;
        CHECK(err.line >= 1 && err.col >= 1 && err.message[0]);
    }
}

static void run_case(const struct corpus_case *c, const struct tn_parse_opts *opts,
                     struct tn_arena *arena)
{
    struct tn_buf got, want;
    tn_buf_init(&got, TEXT_BYTES);
    tn_buf_init(&want, TEXT_BYTES);
    tn_arena_reset(arena);
    answer(c, opts, arena, &got);
    expected_answer(c, &want);
    cases_run++;
    tn_checks_run++;
    if (!tn_str_eq(tn_buf_str(&got), tn_buf_str(&want))) {
        tn_checks_failed++;
        fprintf(stderr, "%s:%d: %.*s\n got  %s want %s", c->file, c->line, TN_STR_FMT(c->sql),
                tn_buf_cstr(&got), tn_buf_cstr(&want));
    }
    check_fixed_point(c, opts, arena);
    check_prefixes(c, opts, arena);
    tn_buf_release(&got);
    tn_buf_release(&want);
}

static char *read_file(const char *path, size_t *ret_len)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return NULL;
    char *text = tn_alloc(TEXT_BYTES);
    *ret_len = fread(text, 1, TEXT_BYTES, file);
    fclose(file);
    return text;
}

static struct tn_str next_line(struct tn_str text, size_t *pos)
{
    const char *begin = text.ptr + *pos, *end = memchr(begin, '\n', text.len - *pos);
    size_t len = end ? (size_t)(end - begin) : text.len - *pos;
    *pos += len + 1;
    return (struct tn_str){begin, len};
}

static bool begins(struct tn_str line, const char *with)
{
    return line.len >= strlen(with) && memcmp(line.ptr, with, strlen(with)) == 0;
}

static struct tn_str rest(struct tn_str line, size_t skip)
{
    return (struct tn_str){line.ptr + skip, line.len - skip};
}

/* An expectation line: "==", "=> …", "=! …", "=? …". */
static void read_expectation(struct corpus_case *c, struct tn_str line)
{
    if (begins(line, "=>"))
        c->want = rest(line, 3);
    else if (begins(line, "=!"))
        c->error = rest(line, 3);
    else if (begins(line, "=?"))
        c->hint = rest(line, 3);
    else
        c->is_same = true;
}

/* Run or print (is_print) all cases of one file. */
static void run_file(const char *path, bool is_print)
{
    size_t len = 0, pos = 0;
    char *text = read_file(path, &len);
    CHECK(text != NULL);
    if (!text)
        return;
    struct tn_str all = {text, len};
    struct tn_parse_opts opts = {0};
    struct tn_arena arena;
    struct corpus_case c = {.file = path};
    tn_arena_init(&arena, 0);
    for (int line_no = 1; pos <= len; line_no++) {
        struct tn_str line = pos < len ? next_line(all, &pos) : (pos++, TN_STR(""));
        if (begins(line, "=") && c.sql.ptr) {
            read_expectation(&c, line);
        } else if (line.len > 0 && !begins(line, "#") && !begins(line, "%")) {
            if (!c.sql.ptr)
                c = (struct corpus_case){.file = path, .line = line_no, .sql = line};
            else
                c.sql.len = (size_t)(line.ptr + line.len - c.sql.ptr);
            if (is_print)
                printf("%.*s\n", TN_STR_FMT(line));
        } else {
            if (c.sql.ptr && is_print) {
                struct tn_buf got;
                tn_buf_init(&got, TEXT_BYTES);
                answer(&c, &opts, &arena, &got);
                printf("%s", tn_buf_cstr(&got));
                tn_buf_release(&got);
            } else if (c.sql.ptr) {
                run_case(&c, &opts, &arena);
            }
            c.sql.ptr = NULL;
            if (begins(line, "%identifiers="))
                opts.is_identifiers_ksql = begins(line, "%identifiers=ksql");
            if (is_print && pos <= len)
                printf("%.*s\n", TN_STR_FMT(line));
        }
    }
    tn_arena_release(&arena);
    tn_free(text);
}

static void test_corpus(void)
{
    struct dirent **names = NULL;
    int count = scandir(CORPUS, &names, NULL, alphasort);
    CHECK(count > 0);
    for (int i = 0; i < count; i++) {
        char path[512];
        if (strstr(names[i]->d_name, ".txt")) {
            snprintf(path, sizeof path, "%s/%s", CORPUS, names[i]->d_name);
            run_file(path, false);
        }
        free(names[i]);
    }
    free(names);
    printf("%d statements\n", cases_run);
    CHECK(cases_run >= CASES_MIN);
}

/* ---- trees ------------------------------------------------------------------------------- */

static struct tn_ast_stmt *parse(const char *text, struct tn_arena *arena)
{
    struct tn_err err = TN_ERR_INIT;
    struct tn_ast_stmt *stmt = NULL;
    CHECK_OK(tn_parse_statement(tn_str_of(text), NULL, arena, &stmt, &err), &err);
    if (!stmt)
        exit(1);
    return stmt;
}

/* Operators have the position of their operator, everything else of its first character; columns
 * count code points, lines and columns go on inside strings and comments. */
static void test_positions(void)
{
    struct tn_arena arena;
    tn_arena_init(&arena, 0);
    struct tn_ast_stmt *stmt = parse("SELECT a,\n  'é' || b /* x\n */ AS c\nFROM \"t\"", &arena);
    const struct tn_ast_select *select = stmt->query->select;
    const struct tn_ast_expr *concat = select->items[1].expr;
    CHECK_INT(select->items[0].expr->col, 8);
    CHECK_INT(concat->line, 2);
    CHECK_INT(concat->col, 7);
    CHECK_INT(concat->args[1]->col, 10);
    CHECK_INT(select->items[1].alias.line, 3);
    CHECK_INT(select->items[1].alias.col, 8);
    CHECK_INT(select->from->line, 4);
    CHECK_INT(select->from->col, 6);
    stmt = parse("select 1 where a and b = c", &arena);
    CHECK_INT(stmt->query->select->where->col, 18);
    CHECK_INT(stmt->query->select->where->args[1]->kind, TN_AX_COMPARE);
    CHECK_INT(stmt->query->select->where->args[1]->col, 24);
    tn_arena_release(&arena);
}

/* An inner text parsed with the position of its first character reports positions of the outer one.
 */
static void test_execute_immediate(void)
{
    struct tn_arena arena;
    struct tn_err err = TN_ERR_INIT;
    tn_arena_init(&arena, 0);
    struct tn_ast_stmt *outer =
                           parse("EXECUTE IMMEDIATE 'SELECT nosuch FROM FROM' USING 1", &arena),
                       *inner;
    CHECK_INT(outer->kind, TN_AS_EXECUTE_IMMEDIATE);
    CHECK_INT(outer->prepare->text_col, 20);
    struct tn_parse_opts opts = {.start_line = outer->prepare->text_line,
                                 .start_col = outer->prepare->text_col};
    CHECK_INT(tn_parse_statement(outer->prepare->text, &opts, &arena, &inner, &err), TN_E_SYNTAX);
    CHECK_INT(err.line, 1);
    CHECK_INT(err.col, 39);
    tn_arena_release(&arena);
}

static void test_params(void)
{
    struct tn_arena arena;
    tn_arena_init(&arena, 0);
    struct tn_ast_stmt *stmt = parse("SELECT ? FROM t WHERE a = ? LIMIT ?", &arena);
    CHECK_INT(stmt->params_count, 3);
    CHECK_INT(stmt->query->select->where->args[1]->integer, 1);
    CHECK_INT(stmt->query->limit->integer, 2);
    stmt = parse("PREPARE p FROM SELECT ? + ?", &arena);
    CHECK_INT(stmt->prepare->stmt->params_count, 2);
    CHECK_STR(stmt->prepare->stmt->text, "SELECT ? + ?");
    tn_arena_release(&arena);
}

static void test_values(void)
{
    struct tn_arena arena;
    tn_arena_init(&arena, 0);
    struct tn_ast_stmt *stmt =
        parse("VALUES 9223372036854775807, -9223372036854775808, 0xff, 1_000, 1.5e3, "
              "U&'\\00e9!', X'00 ff', 'a''b', 9223372036854775808",
              &arena);
    struct tn_ast_expr **rows = stmt->query->rows;
    CHECK_INT(rows[0]->integer, INT64_MAX);
    CHECK_INT(rows[1]->integer, INT64_MIN);
    CHECK_INT(rows[2]->integer, 255);
    CHECK_INT(rows[3]->integer, 1000);
    CHECK(rows[4]->kind == TN_AX_DOUBLE && rows[4]->number > 1499 && rows[4]->number < 1501);
    CHECK_STR(rows[5]->text, "é!");
    CHECK_INT(rows[6]->text.len, 2);
    CHECK_INT((unsigned char)rows[6]->text.ptr[1], 255);
    CHECK_STR(rows[7]->text, "a'b");
    CHECK_INT(rows[8]->kind, TN_AX_DECIMAL);
    stmt = parse("CREATE VIEW v AS  SELECT 1 -- end\n ;", &arena);
    CHECK_STR(stmt->create->query_text, "SELECT 1");
    CHECK_STR(stmt->text, "CREATE VIEW v AS  SELECT 1");
    stmt = parse("SELECT * FROM a JOIN b WITHIN 2 HOURS ON a.x = b.y", &arena);
    CHECK_INT(stmt->query->select->from->within_after.ms, 7200000);
    tn_arena_release(&arena);
}

/* ---- limits ------------------------------------------------------------------------------ */

static void check_limit(const char *before, const char *repeat, int times, const char *middle,
                        const char *after_repeat, const char *after, const char *want_name)
{
    struct tn_buf text;
    struct tn_arena arena;
    struct tn_err err = TN_ERR_INIT;
    struct tn_ast_stmt *stmt;
    struct tn_parse_opts opts = {.bytes_max = TN_PARSE_BYTES_MAX};
    tn_arena_init(&arena, 0);
    tn_buf_init(&text, TEXT_BYTES);
    tn_buf_add_text(&text, before);
    for (int i = 0; i < times; i++)
        tn_buf_add_text(&text, repeat);
    tn_buf_add_text(&text, middle);
    for (int i = 0; i < times; i++)
        tn_buf_add_text(&text, after_repeat);
    tn_buf_add_text(&text, after);
    enum tn_status st = tn_parse_statement(tn_buf_str(&text), &opts, &arena, &stmt, &err);
    if (want_name) {
        CHECK_INT(st, TN_E_LIMIT);
        CHECK_STR(tn_str_of(tn_err_name(&err)), want_name);
    } else {
        CHECK_OK(st, &err);
    }
    tn_buf_release(&text);
    tn_arena_release(&arena);
}

static void test_limits(void)
{
    const char *deep = "EXPRESSION_TOO_DEEP", *complex = "STATEMENT_TOO_COMPLEX";
    check_limit("SELECT ", "(", 90, "1", ")", "", NULL);
    check_limit("SELECT ", "(", 100000, "1", ")", "", deep);
    check_limit("SELECT ", "- ", 90, "x", "", "", NULL);
    check_limit("SELECT ", "- ", 100000, "x", "", "", deep);
    check_limit("SELECT ", "NOT ", 100000, "x", "", "", deep);
    check_limit("SELECT 1", " + 1", 90, "", "", "", NULL);
    check_limit("SELECT 1", " + 1", 100000, "", "", "", deep);
    check_limit("SELECT x", "[1]", 100000, "", "", "", deep);
    check_limit("SELECT x", "->a", 100000, "", "", "", deep);
    check_limit("SELECT ", "f(", 100000, "1", ")", "", deep);
    check_limit("SELECT ", "CASE WHEN ", 20000, "a", " THEN 1 END", "", deep);
    check_limit("SELECT ", "(SELECT ", 20000, "1", ")", "", deep);
    check_limit("SELECT * FROM ", "(", 100000, "t", ")", "", deep);
    check_limit("SELECT * FROM ", "(SELECT * FROM ", 20000, "t", ")", "", deep);
    check_limit("SELECT * FROM a", " JOIN b", 20000, "", " ON x", "", deep);
    check_limit("SELECT * FROM a", ", b", 100000, "", "", "", deep);
    check_limit("SELECT CAST(x AS ", "ARRAY<", 100000, "INT", ">", ")", deep);
    check_limit("SELECT CAST(x AS INT", " ARRAY", 100000, "", "", ")", deep);
    check_limit("", "EXPLAIN ", 20000, "SELECT 1", "", "", deep);
    check_limit("SELECT x ", "=> x", 1, "", "", "", NULL);
    check_limit("SELECT ", "x => ", 100000, "x", "", "", deep);
    check_limit("SELECT 1", " UNION SELECT 1", 49, "", "", "", NULL);
    check_limit("SELECT 1", " UNION SELECT 1", 50, "", "", "", complex);
    check_limit("SELECT a", " OR a", 40000, "", "", "", NULL);
    check_limit("SELECT a", " OR a", 60000, "", "", "", complex);
    check_limit("SELECT a IN (1", ", 1", 60000, "", "", ")", complex);
    check_limit("SELECT 'a", "aaaaaaaaaaaaaaaa", 70000, "'", "", "", "QUERY_TEXT_TOO_LARGE");
}

/* Sizes count per statement; the default is 64 KiB. */
static void test_text_limit(void)
{
    struct tn_buf text;
    struct tn_arena arena;
    struct tn_err err = TN_ERR_INIT;
    struct tn_ast_script script;
    tn_arena_init(&arena, 0);
    tn_buf_init(&text, TEXT_BYTES);
    for (int i = 0; i < 3; i++)
        tn_buf_printf(&text, "SELECT '%*s';\n", 50000, "x");
    CHECK_OK(tn_parse_script(tn_buf_str(&text), NULL, &arena, &script, &err), &err);
    CHECK_INT(script.stmts_count, 3);
    tn_buf_printf(&text, "SELECT '%*s';\n", 70000, "x");
    CHECK_INT(tn_parse_script(tn_buf_str(&text), NULL, &arena, &script, &err), TN_E_LIMIT);
    CHECK_INT(err.line, 4);
    CHECK_STR(tn_str_of(tn_err_name(&err)), "QUERY_TEXT_TOO_LARGE");
    tn_buf_release(&text);
    tn_arena_release(&arena);
}

/* ---- scripts ----------------------------------------------------------------------------- */

static void test_script(void)
{
    struct tn_arena arena;
    struct tn_err err = TN_ERR_INIT;
    struct tn_ast_script script;
    tn_arena_init(&arena, 0);
    CHECK_OK(tn_parse_script(TN_STR("SELECT ';'; -- a; b\n;; SELECT \";\" /* ; */ FROM t;\n"
                                    "  SHOW TABLES"),
                             NULL, &arena, &script, &err),
             &err);
    CHECK_INT(script.stmts_count, 3);
    CHECK_INT(script.stmts[1]->line, 2);
    CHECK_INT(script.stmts[1]->col, 4);
    CHECK_INT(script.stmts[2]->line, 3);
    CHECK_INT(script.stmts[2]->col, 3);
    CHECK_INT(tn_parse_script(TN_STR("SELECT 1;\nSELECT a FORM t;"), NULL, &arena, &script, &err),
              TN_E_SYNTAX);
    CHECK_INT(err.line, 2);
    CHECK_INT(err.col, 10);
    CHECK_STR(tn_str_of(err.hint), "did you mean FROM?");
    CHECK_OK(tn_parse_script(TN_STR(" -- nothing\n ;"), NULL, &arena, &script, &err), &err);
    CHECK_INT(script.stmts_count, 0);
    tn_arena_release(&arena);
}

static void test_split(void)
{
    struct tn_str text = TN_STR("a 'x;\n';b # ; \"c ;");
    struct tn_script_part part;
    size_t pos = 0;
    int line = 1, col = 1;
    CHECK_INT(tn_script_next(text, &pos, &line, &col, &part), TN_OK);
    CHECK_STR(part.text, "a 'x;\n'");
    CHECK(part.is_complete);
    CHECK_INT(tn_script_next(text, &pos, &line, &col, &part), TN_OK);
    CHECK_STR(part.text, "b #");
    CHECK_INT(part.line, 2);
    CHECK_INT(part.col, 3);
    CHECK_INT(tn_script_next(text, &pos, &line, &col, &part), TN_OK);
    CHECK_STR(part.text, "\"c ;");
    CHECK(!part.is_complete);
    CHECK_INT(part.col, 9);
    CHECK_INT(tn_script_next(text, &pos, &line, &col, &part), TN_END);
}

static struct tn_str lookup(void *ctx, struct tn_str name)
{
    (void)ctx;
    if (tn_str_eq(name, TN_STR("topic")))
        return TN_STR("plays");
    return tn_str_eq(name, TN_STR("n_2")) ? TN_STR("") : (struct tn_str){0};
}

static void check_substitute(const char *text, const char *want, int want_line, int want_col)
{
    struct tn_buf buf;
    struct tn_err err = TN_ERR_INIT;
    tn_buf_init(&buf, 1000);
    enum tn_status st = tn_script_substitute(tn_str_of(text), 3, 5, lookup, NULL, &buf, &err);
    if (want) {
        CHECK_OK(st, &err);
        CHECK_STR(tn_buf_str(&buf), want);
    } else {
        CHECK_INT(st, TN_E_SYNTAX);
        CHECK_INT(err.line, want_line);
        CHECK_INT(err.col, want_col);
    }
    tn_buf_release(&buf);
}

static void test_substitute(void)
{
    check_substitute("a ${topic} '${topic}' \"${topic}\" [${n_2}]", "a plays 'plays' \"plays\" []",
                     0, 0);
    check_substitute("-- ${nosuch}\n/* ${nosuch} */ '-- ${topic}'",
                     "-- ${nosuch}\n/* ${nosuch} */ '-- plays'", 0, 0);
    check_substitute("'${date:now:yyyy}' $ ${ ${} ${1} $${topic}",
                     "'${date:now:yyyy}' $ ${ ${} ${1} ${topic}", 0, 0);
    check_substitute("ab ${nosuch}", NULL, 3, 8);
    check_substitute("${topic}\n é${nosuch}", NULL, 4, 3);
}

/* ---- words ------------------------------------------------------------------------------- */

static void test_words(void)
{
    size_t count;
    const char *const *words = tn_parse_keywords(&count);
    CHECK(count > 200);
    for (size_t i = 0; i < count; i++) {
        CHECK(i == 0 || strcmp(words[i - 1], words[i]) < 0);
        CHECK_INT(tni_keyword_find(tn_str_of(words[i])), (int)i + 1);
    }
    CHECK(!tn_parse_needs_quotes(TN_STR("count")));
    CHECK(!tn_parse_needs_quotes(TN_STR("Emit")));
    CHECK(!tn_parse_needs_quotes(TN_STR("_a1")));
    CHECK(tn_parse_needs_quotes(TN_STR("select")));
    CHECK(tn_parse_needs_quotes(TN_STR("1a")));
    CHECK(tn_parse_needs_quotes(TN_STR("a b")));
    CHECK(tn_parse_needs_quotes(TN_STR("a-b")));
    CHECK(tn_parse_needs_quotes(TN_STR("é")));
    CHECK(tn_parse_needs_quotes(TN_STR(" a")));
    CHECK(tn_parse_needs_quotes(TN_STR("")));
}

/* Parse `pattern` with each '@' replaced by the word. */
static void parse_pattern(const char *pattern, const char *word, struct tn_arena *arena)
{
    struct tn_buf text;
    tn_buf_init(&text, 2000);
    for (; *pattern; pattern++)
        if (*pattern == '@')
            tn_buf_add_text(&text, word);
        else
            tn_buf_add_byte(&text, *pattern);
    parse(tn_buf_cstr(&text), arena);
    tn_buf_release(&text);
}

/* Every keyword that is not reserved can be a column, an alias with AS, a table, a field and a
 * property. */
static void test_keywords_as_names(void)
{
    struct tn_arena arena;
    size_t count;
    const char *const *words = tn_parse_keywords(&count);
    tn_arena_init(&arena, 0);
    for (size_t i = 0; i < count; i++) {
        if (tni_keyword_is_reserved((enum tni_kw)(i + 1)))
            continue;
        parse_pattern("SELECT @, t.@, @ AS @, s->@, @ + 1, @.@.x FROM @ JOIN b AS @ ON @ = 1 "
                      "WHERE @ > @ AND @ IS NULL GROUP BY @, 1 HAVING @ ORDER BY @",
                      words[i], &arena);
        parse_pattern("CREATE STREAM @ (@ INT, a STRUCT<@ INT>) WITH (@ = 1)", words[i], &arena);
    }
    tn_arena_release(&arena);
}

static void test_bad_text(void)
{
    struct tn_arena arena;
    struct tn_err err = TN_ERR_INIT;
    struct tn_ast_stmt *stmt;
    tn_arena_init(&arena, 0);
    CHECK_INT(tn_parse_statement(TN_STR("SELECT\n'a\xff'"), NULL, &arena, &stmt, &err),
              TN_E_SYNTAX);
    CHECK_INT(err.line, 2);
    CHECK_INT(err.col, 3);
    CHECK_INT(tn_parse_statement((struct tn_str){"SELECT \0 1", 10}, NULL, &arena, &stmt, &err),
              TN_E_SYNTAX);
    CHECK_INT(err.col, 8);
    CHECK_INT(tn_parse_statement((struct tn_str){NULL, 0}, NULL, &arena, &stmt, NULL), TN_E_SYNTAX);
    CHECK_INT(tn_parse_statement(TN_STR("SELECT ("), NULL, &arena, &stmt, NULL), TN_E_SYNTAX);
    tn_arena_release(&arena);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--print") == 0) {
        run_file(argv[2], true);
        return 0;
    }
    test_corpus();
    test_positions();
    test_execute_immediate();
    test_params();
    test_values();
    test_limits();
    test_text_limit();
    test_script();
    test_split();
    test_substitute();
    test_words();
    test_keywords_as_names();
    test_bad_text();
    return TN_TEST_END();
}
