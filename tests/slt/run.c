/* Runner of SQL logic tests: slt_run [--tiny] FILE…
 *
 * A file is a list of blocks separated by empty lines; '#' starts a comment line. Every file has
 * its own world (tests/slt/world.h). Blocks:
 *
 *   config identifiers=ksql partitions=4 latest emit=BYTES    first block only
 *   statement ok                      then SQL
 *   statement error NAME [L:C] [text] then SQL; the error's name, position and a part of message or
 * hint query TYPES [rowsort] [header]    then SQL, then ----, then the rows, cells separated by " |
 * " TYPES: a letter a column: I R T B D(time) N(ested) ? apply ok [prune] | apply error …  then a
 * script up to ----, then the warnings feed NAME                         then a JSON object a row:
 * columns by name and ROWTIME; "tombstone {…}" expect changes NAME [rowsort]     then the new
 * records of its topic: key value @time expect topic NAME [rowsort]       then all records:
 * partition key value advance MS · restart · crash
 *
 * NULL is a NULL cell, (empty) an empty text.
 */
#include <stdio.h>
#include <stdlib.h>

#include "sql/writers.h"
#include "stream/base/mem.h"
#include "tests/slt/world.h"

#define LINES_MAX 4096

struct test {
    const char *path;
    char *text;
    struct tn_str lines[LINES_MAX * 4];
    size_t lines_count, at;
    struct world *world;
    struct world_options options;
    int blocks, failed;
};

/* ---- rows of a statement as text ---- */

struct collect {
    struct tn_rows base;
    struct tn_buf *buf;
    char types[256];
    bool has_header;
    char **rows;
    size_t rows_count, rows_cap;
};

static char type_letter(const struct tn_type *type)
{
    switch (type->kind) {
    case TN_K_INTEGER:
    case TN_K_BIGINT: return 'I';
    case TN_K_DOUBLE:
    case TN_K_DECIMAL: return 'R';
    case TN_K_BOOLEAN: return 'B';
    case TN_K_DATE:
    case TN_K_TIME:
    case TN_K_TIMESTAMP:
    case TN_K_TIMESTAMP_TZ:
    case TN_K_INTERVAL_DAY:
    case TN_K_INTERVAL_YEAR: return 'D';
    case TN_K_ARRAY:
    case TN_K_MAP:
    case TN_K_STRUCT: return 'N';
    default: return 'T';
    }
}

static void add_line(struct collect *collect, const char *text, size_t len)
{
    if (collect->rows_count == collect->rows_cap) {
        collect->rows_cap = collect->rows_cap ? collect->rows_cap * 2 : 64;
        collect->rows = tn_realloc(collect->rows, collect->rows_cap * sizeof *collect->rows);
    }
    collect->rows[collect->rows_count++] = tn_strndup(text, len);
}

/* A row with newlines (EXPLAIN) is several lines. */
static void add_row(struct collect *collect, const struct tn_buf *buf)
{
    const char *at = buf->len ? buf->ptr : "", *end = at + buf->len;
    for (;;) {
        const char *eol = memchr(at, '\n', (size_t)(end - at));
        add_line(collect, at, (size_t)((eol ? eol : end) - at));
        if (!eol)
            return;
        at = eol + 1;
    }
}

static enum tn_status on_columns(struct tn_rows *rows, const struct tn_schema *schema,
                                 struct tn_err *err)
{
    struct collect *collect = (struct collect *)rows;
    (void)err;
    struct tn_buf buf;
    tn_buf_init(&buf, 1 << 20);
    for (uint32_t i = 0; i < schema->fields_count && i < 255; i++) {
        collect->types[i] = type_letter(schema->fields[i].type);
        tn_buf_printf(&buf, "%s%.*s", i ? " | " : "", TN_STR_FMT(schema->fields[i].name));
    }
    if (collect->has_header)
        add_row(collect, &buf);
    tn_buf_release(&buf);
    return TN_OK;
}

static void cell_text(const struct tn_column *col, uint32_t row, struct tn_buf *buf)
{
    size_t before = buf->len;
    if (tn_column_is_null(col, row)) {
        tn_buf_add_text(buf, "NULL");
        return;
    }
    tn_cell_text(buf, col, row);
    if (buf->len == before)
        tn_buf_add_text(buf, "(empty)");
}

static enum tn_status on_batch(struct tn_rows *rows, const struct tn_batch *batch,
                               struct tn_err *err)
{
    struct collect *collect = (struct collect *)rows;
    (void)err;
    struct tn_buf buf;
    tn_buf_init(&buf, 16 << 20);
    for (uint32_t r = 0; r < batch->rows_count; r++) {
        tn_buf_reset(&buf);
        for (uint32_t c = 0; c < batch->schema->fields_count; c++) {
            tn_buf_add_text(&buf, c ? " | " : "");
            cell_text(&batch->columns[c], r, &buf);
        }
        if (batch->ops && batch->ops[r] == TN_OP_DELETE)
            tn_buf_add_text(&buf, " (deleted)");
        add_row(collect, &buf);
    }
    tn_buf_release(&buf);
    return TN_OK;
}

static void collect_release(struct collect *collect)
{
    for (size_t i = 0; i < collect->rows_count; i++)
        tn_free(collect->rows[i]);
    tn_free(collect->rows);
}

/* ---- reading blocks ---- */

static struct tn_str line_at(const struct test *test, size_t i)
{
    return i < test->lines_count ? test->lines[i] : (struct tn_str){"", 0};
}

static bool starts(struct tn_str line, const char *word)
{
    size_t len = strlen(word);
    return line.len >= len && !memcmp(line.ptr, word, len) &&
           (line.len == len || line.ptr[len] == ' ');
}

static struct tn_str word_next(struct tn_str *rest)
{
    while (rest->len && *rest->ptr == ' ') {
        rest->ptr++;
        rest->len--;
    }
    struct tn_str word = {rest->ptr, 0};
    while (rest->len && *rest->ptr != ' ') {
        rest->ptr++;
        rest->len--;
        word.len++;
    }
    return word;
}

/* The line without a comment on it ("row   # why"). */
static struct tn_str strip_note(struct tn_str line)
{
    const char *note = memmem(line.ptr, line.len, "   #", 4);
    if (note)
        line.len = (size_t)(note - line.ptr);
    while (line.len && line.ptr[line.len - 1] == ' ')
        line.len--;
    return line;
}

static bool is_comment(struct tn_str line)
{
    return line.len && line.ptr[0] == '#';
}

/* Lines up to an empty one (or `stop`), joined by newlines; test->at is behind them. */
static struct tn_str block_text(struct test *test, struct tn_buf *buf, const char *stop)
{
    for (; test->at < test->lines_count; test->at++) {
        struct tn_str line = test->lines[test->at];
        if (stop ? tn_str_eq(line, tn_str_of(stop))
                 : (!line.len || tn_str_eq(line, TN_STR("----"))))
            break;
        if (is_comment(line))
            continue;
        if (buf->len)
            tn_buf_add_byte(buf, '\n');
        tn_buf_add_str(buf, line);
    }
    return tn_buf_str(buf);
}

static int fail(struct test *test, size_t line, const char *what)
{
    test->failed++;
    fprintf(stderr, "%s:%zu: %s\n", test->path, line + 1, what);
    return 1;
}

static int row_cmp(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Expected lines from test->at up to an empty one, against `got`. */
static void compare(struct test *test, size_t line, char **got, size_t got_count, bool is_sorted)
{
    char *want[LINES_MAX];
    size_t want_count = 0;
    for (; test->at < test->lines_count && test->lines[test->at].len; test->at++)
        if (!is_comment(test->lines[test->at]) && want_count < LINES_MAX) {
            struct tn_str text = strip_note(test->lines[test->at]);
            want[want_count++] = tn_strndup(text.ptr, text.len);
        }
    if (is_sorted) {
        qsort(got, got_count, sizeof *got, row_cmp);
        qsort(want, want_count, sizeof *want, row_cmp);
    }
    bool is_same = got_count == want_count;
    for (size_t i = 0; is_same && i < got_count; i++)
        is_same = !strcmp(got[i], want[i]);
    if (!is_same) {
        fail(test, line, "rows differ");
        for (size_t i = 0; i < want_count || i < got_count; i++) {
            const char *w = i < want_count ? want[i] : NULL, *g = i < got_count ? got[i] : NULL;
            bool same = w && g && !strcmp(w, g);
            if (same)
                fprintf(stderr, "    %s\n", g);
            if (!same && w)
                fprintf(stderr, "  - %s\n", w);
            if (!same && g)
                fprintf(stderr, "  + %s\n", g);
        }
    }
    for (size_t i = 0; i < want_count; i++)
        tn_free(want[i]);
}

static void compare_text(struct test *test, size_t line, struct tn_buf *lines, bool is_sorted)
{
    char *got[LINES_MAX];
    size_t count = 0;
    char *at = lines->len ? (char *)(uintptr_t)tn_buf_cstr(lines) : NULL;
    while (at && *at && count < LINES_MAX) {
        char *end = strchr(at, '\n');
        got[count++] = at;
        if (!end)
            break;
        *end = '\0';
        at = end + 1;
    }
    compare(test, line, got, count, is_sorted);
}

/* Past the expected rows of a block that failed. */
static void skip_rows(struct test *test)
{
    while (test->at < test->lines_count && test->lines[test->at].len)
        test->at++;
}

/* ---- blocks ---- */

static enum tn_status run_sql(struct test *test, struct tn_str sql, struct collect *collect,
                              struct tn_err *err)
{
    struct tn_budget budget = {.clock = world_clock(test->world)};
    enum tn_statement_class class;
    collect->base = (struct tn_rows){on_columns, on_batch};
    enum tn_status st = tn_db_run(world_db(test->world), world_session(test->world), sql, &budget,
                                  &collect->base, &class, err);
    world_settle(test->world);
    return st;
}

static void check_error(struct test *test, size_t line, struct tn_str rest, enum tn_status st,
                        const struct tn_err *err)
{
    char text[1024];
    struct tn_str name = word_next(&rest);
    if (!tn_failed(st)) {
        fail(test, line, "must fail, but did not");
        return;
    }
    struct tn_str after = rest, position = word_next(&after);
    int want_line, want_col;
    char copy[64];
    snprintf(copy, sizeof copy, "%.*s", TN_STR_FMT(position));
    if (sscanf(copy, "%d:%d", &want_line, &want_col) == 2) {
        rest = after;
        if (err->line != want_line || err->col != want_col) {
            snprintf(text, sizeof text, "error at %d:%d instead of %.*s: %s", err->line, err->col,
                     TN_STR_FMT(position), err->message);
            fail(test, line, text);
            return;
        }
    }
    while (rest.len && *rest.ptr == ' ') {
        rest.ptr++;
        rest.len--;
    }
    snprintf(text, sizeof text, "%s: %s (%s)", tn_err_name(err), err->message, err->hint);
    if (!tn_str_eq(name, tn_str_of(tn_err_name(err))) ||
        (rest.len && !memmem(text, strlen(text), rest.ptr, rest.len))) {
        char what[1200];
        snprintf(what, sizeof what, "another error: %s", text);
        fail(test, line, what);
    }
}

static void block_statement(struct test *test, struct tn_str rest)
{
    size_t line = test->at - 1;
    struct tn_buf sql;
    struct tn_err err = TN_ERR_INIT;
    struct collect collect = {.buf = NULL};
    struct tn_str want = word_next(&rest);
    tn_buf_init(&sql, 1 << 20);
    enum tn_status st = run_sql(test, block_text(test, &sql, NULL), &collect, &err);
    if (tn_str_eq(want, TN_STR("error"))) {
        check_error(test, line, rest, st, &err);
    } else if (tn_failed(st)) {
        char text[1024];
        snprintf(text, sizeof text, "%s at %d:%d: %s (%s)", tn_err_name(&err), err.line, err.col,
                 err.message, err.hint);
        fail(test, line, text);
    }
    collect_release(&collect);
    tn_buf_release(&sql);
}

static void block_query(struct test *test, struct tn_str rest)
{
    size_t line = test->at - 1;
    struct tn_buf sql;
    struct tn_err err = TN_ERR_INIT;
    struct collect collect = {.buf = NULL};
    struct tn_str types = word_next(&rest), word;
    bool is_sorted = false;
    while ((word = word_next(&rest)).len) {
        is_sorted = is_sorted || tn_str_eq(word, TN_STR("rowsort"));
        collect.has_header = collect.has_header || tn_str_eq(word, TN_STR("header"));
    }
    tn_buf_init(&sql, 1 << 20);
    world_settle(test->world);
    enum tn_status st = run_sql(test, block_text(test, &sql, NULL), &collect, &err);
    if (tn_str_eq(line_at(test, test->at), TN_STR("----")))
        test->at++;
    if (tn_failed(st)) {
        char text[1024];
        snprintf(text, sizeof text, "%s at %d:%d: %s (%s)", tn_err_name(&err), err.line, err.col,
                 err.message, err.hint);
        fail(test, line, text);
        skip_rows(test);
    } else {
        bool is_typed = strlen(collect.types) == types.len;
        for (size_t i = 0; is_typed && i < types.len; i++)
            is_typed = types.ptr[i] == '?' || types.ptr[i] == collect.types[i];
        if (!is_typed) {
            char text[400];
            snprintf(text, sizeof text, "types are %s", collect.types);
            fail(test, line, text);
        }
        compare(test, line, collect.rows, collect.rows_count, is_sorted);
    }
    collect_release(&collect);
    tn_buf_release(&sql);
}

static void block_apply(struct test *test, struct tn_str rest)
{
    size_t line = test->at - 1;
    struct tn_buf script, warnings;
    struct tn_err err = TN_ERR_INIT;
    struct tn_str want = word_next(&rest), after = rest;
    bool is_prune = tn_str_eq(word_next(&after), TN_STR("prune"));
    tn_buf_init(&script, 1 << 20);
    tn_buf_init(&warnings, 1 << 20);
    struct tn_str text = block_text(test, &script, "----");
    if (test->at < test->lines_count)
        test->at++;
    enum tn_status st = tn_db_apply(world_db(test->world), text, is_prune, &warnings, &err);
    world_settle(test->world);
    if (tn_str_eq(want, TN_STR("error"))) {
        check_error(test, line, rest, st, &err);
    } else if (tn_failed(st)) {
        char what[1024];
        snprintf(what, sizeof what, "%s at %d:%d: %s (%s)", tn_err_name(&err), err.line, err.col,
                 err.message, err.hint);
        fail(test, line, what);
        skip_rows(test);
    } else {
        compare_text(test, line, &warnings, true);
    }
    tn_buf_release(&script);
    tn_buf_release(&warnings);
}

static void block_feed(struct test *test, struct tn_str rest)
{
    struct tn_str name = word_next(&rest);
    for (; test->at < test->lines_count && test->lines[test->at].len; test->at++) {
        struct tn_str json = strip_note(test->lines[test->at]);
        struct tn_err err = TN_ERR_INIT;
        if (is_comment(json))
            continue;
        bool is_tombstone = starts(json, "tombstone");
        if (is_tombstone)
            word_next(&json);
        if (tn_failed(world_feed(test->world, name, json, is_tombstone, &err)))
            fail(test, test->at, err.message);
    }
    world_settle(test->world);
}

static void block_expect(struct test *test, struct tn_str rest)
{
    size_t line = test->at - 1;
    struct tn_buf lines;
    struct tn_err err = TN_ERR_INIT;
    struct tn_str what = word_next(&rest), name = word_next(&rest);
    bool is_sorted = tn_str_eq(word_next(&rest), TN_STR("rowsort"));
    tn_buf_init(&lines, 16 << 20);
    char topic[256];
    snprintf(topic, sizeof topic, "%.*s", TN_STR_FMT(name));
    enum tn_status st = tn_str_eq(what, TN_STR("topic"))
                            ? world_topic(test->world, topic, &lines, &err)
                            : world_changes(test->world, name, &lines, &err);
    if (tn_failed(st)) {
        fail(test, line, err.message);
        skip_rows(test);
    } else {
        compare_text(test, line, &lines, is_sorted);
    }
    tn_buf_release(&lines);
}

static void block_config(struct test *test, struct tn_str rest)
{
    struct tn_str word;
    struct world_options *options = &test->options;
    while ((word = word_next(&rest)).len) {
        char copy[128];
        snprintf(copy, sizeof copy, "%.*s", TN_STR_FMT(word));
        if (!strcmp(copy, "identifiers=ksql"))
            options->is_exact = true;
        else if (!strcmp(copy, "latest"))
            options->is_latest = true;
        else if (!strncmp(copy, "partitions=", 11))
            options->partitions = atoi(copy + 11);
        else if (!strncmp(copy, "emit=", 5))
            options->emit_bytes = atoll(copy + 5);
        else
            fail(test, test->at - 1, "unknown config");
    }
}

static void block_restart(struct test *test, bool is_crash)
{
    struct tn_err err = TN_ERR_INIT;
    if (tn_failed(world_restart(test->world, is_crash, &err)))
        fail(test, test->at - 1, err.message);
}

static void run_block(struct test *test)
{
    struct tn_str rest = test->lines[test->at++], first = rest;
    word_next(&rest);
    test->blocks++;
    if (starts(first, "statement")) {
        block_statement(test, rest);
    } else if (starts(first, "query")) {
        block_query(test, rest);
    } else if (starts(first, "apply")) {
        block_apply(test, rest);
    } else if (starts(first, "feed")) {
        block_feed(test, rest);
    } else if (starts(first, "expect")) {
        block_expect(test, rest);
    } else if (starts(first, "advance")) {
        char ms[32];
        struct tn_str word = word_next(&rest); /* the macro takes it twice */
        snprintf(ms, sizeof ms, "%.*s", TN_STR_FMT(word));
        world_advance(test->world, atoll(ms));
    } else if (starts(first, "restart")) {
        block_restart(test, false);
    } else if (starts(first, "crash")) {
        block_restart(test, true);
    } else {
        fail(test, test->at - 1, "unknown block");
    }
}

/* ---- files ---- */

static bool load(struct test *test)
{
    FILE *file = fopen(test->path, "rb");
    if (!file)
        return false;
    fseek(file, 0, SEEK_END);
    long size = ftell(file);
    fseek(file, 0, SEEK_SET);
    test->text = tn_alloc((size_t)size + 1);
    size_t got = fread(test->text, 1, (size_t)size, file);
    fclose(file);
    char *at = test->text, *end = test->text + got;
    while (at < end && test->lines_count < LINES_MAX * 4) {
        char *eol = memchr(at, '\n', (size_t)(end - at));
        size_t len = (size_t)((eol ? eol : end) - at);
        test->lines[test->lines_count++] = (struct tn_str){at, len};
        at += len + 1;
    }
    return got == (size_t)size && at >= end;
}

static int run_file(const char *path, bool is_tiny)
{
    static struct test test; /* large */
    test = (struct test){.path = path, .options = {.partitions = 1, .is_tiny = is_tiny}};
    if (!load(&test)) {
        fprintf(stderr, "%s: cannot be read\n", path);
        return 1;
    }
    for (; test.at < test.lines_count; test.at++) {
        struct tn_str line = test.lines[test.at];
        if (!line.len || is_comment(line))
            continue;
        if (starts(line, "config") && !test.world) {
            struct tn_str rest = line;
            word_next(&rest);
            block_config(&test, rest);
            continue;
        }
        if (!test.world)
            test.world = world_open(&test.options);
        if (!test.world)
            break;
        run_block(&test);
        if (!test.world || test.failed > 20)
            break;
        test.at--; /* the empty line, or the next header */
    }
    bool is_open = test.world != NULL;
    world_close(test.world);
    tn_free(test.text);
    printf("%s: %d blocks, %d failed\n", path, test.blocks, test.failed);
    return test.failed || !is_open || !test.blocks;
}

int main(int argc, char **argv)
{
    bool is_tiny = false;
    int bad = 0;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--tiny"))
            is_tiny = true;
        else
            bad |= run_file(argv[i], is_tiny);
    }
    return bad;
}
