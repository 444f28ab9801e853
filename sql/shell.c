/* Interactive and scripted SQL over POST /sql. A statement ends with ';' outside quotes; several
 * lines make one statement. Ctrl-C drops the line being typed, Ctrl-D leaves. History is kept in
 * ~/.tarn_history. */
#include "sql/shell.h"

#include <histedit.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "connectors/http_client.h"
#include "sql/shell_table.h"
#include "stream/base/mem.h"

#define STATEMENT_BYTES_MAX ((size_t)1 << 20)
#define TIMEOUT_MS          (INT64_C(24) * 3600 * 1000) /* the server has its own deadline */
#define HISTORY_LINES       1000

static const struct tn_opt shell_options[] = {
    {.name = "url",
     .type = TN_OPT_STRING,
     .offset = offsetof(struct tn_shell_config, url),
     .help = "address of a running tarn, http://HOST:PORT"},
    {.name = "state",
     .type = TN_OPT_STRING,
     .offset = offsetof(struct tn_shell_config, state),
     .deflt = "tarn-state",
     .help = "state folder of a running tarn; its endpoint file names the address"},
    {.name = "format",
     .type = TN_OPT_CHOICE,
     .offset = offsetof(struct tn_shell_config, format),
     .deflt = "table",
     .choices = "table,csv,ndjson,json",
     .help = "how results are printed"},
    {.name = "execute",
     .type = TN_OPT_STRING,
     .offset = offsetof(struct tn_shell_config, execute),
     .help = "run these statements and leave"},
    {.name = "fresh",
     .type = TN_OPT_BOOL,
     .offset = offsetof(struct tn_shell_config, is_fresh),
     .deflt = "false",
     .help = "answer only when everything acknowledged before is visible"},
};

const struct tn_opts tn_shell_opts = {"tarn sql", shell_options,
                                      sizeof shell_options / sizeof *shell_options};

static volatile sig_atomic_t is_interrupted;

struct shell {
    const struct tn_shell_config *config;
    struct tn_http_client *client;
    bool is_failed;
};

static enum tn_status read_endpoint(const char *state, char *ret_url, size_t size,
                                    struct tn_err *err)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/endpoint", state);
    FILE *file = fopen(path, "r");
    if (!file || !fgets(ret_url, (int)size, file)) {
        if (file)
            fclose(file);
        tn_err_set(err, TN_E_NAME, "no running tarn found: cannot read '%s'", path);
        tn_err_hint(err, "start one with: tarn run FILE --state %s, or give --url", state);
        return TN_E_NAME;
    }
    fclose(file);
    ret_url[strcspn(ret_url, "\r\n")] = 0;
    return TN_OK;
}

static void print_error(const struct tn_err *err)
{
    if (err->line)
        fprintf(stderr, "error: line %d:%d: %s\n", err->line, err->col, err->message);
    else
        fprintf(stderr, "error: %s\n", err->message);
    if (err->hint[0])
        fprintf(stderr, "hint: %s\n", err->hint);
}

static const char *accept_of(const char *format)
{
    if (strcmp(format, "csv") == 0)
        return "text/csv";
    return strcmp(format, "ndjson") == 0 ? "application/x-ndjson" : "application/json";
}

static bool print_bytes(void *ctx, struct tn_str bytes)
{
    (void)ctx;
    fwrite(bytes.ptr, 1, bytes.len, stdout);
    fflush(stdout);
    return !is_interrupted;
}

/* A push query never ends by itself: its rows are printed as they come, until Ctrl-C. */
static bool is_push(struct tn_str text)
{
    for (size_t i = 0; i + 12 <= text.len; i++)
        if (strncasecmp(text.ptr + i, "emit changes", 12) == 0)
            return strncasecmp(text.ptr + strspn(text.ptr, " \t\r\n"), "select", 6) == 0;
    return false;
}

static void interrupt(int number)
{
    (void)number;
    is_interrupted = 1;
}

static void run_push(struct shell *shell, struct tn_str text)
{
    struct tn_err err = TN_ERR_INIT;
    struct tn_http_response response;
    struct tn_http_header_pair header = {"Accept", "application/x-ndjson"};
    struct sigaction action = {.sa_handler = interrupt}, before;
    is_interrupted = 0;
    sigaction(SIGINT, &action, &before);
    enum tn_status st = tn_http_call_stream(shell->client, "POST", "/sql", &header, 1, text,
                                            print_bytes, NULL, &response, &err);
    sigaction(SIGINT, &before, NULL);
    if (st == TN_OK && response.status >= 400)
        st = tn_http_response_error(&response, &err);
    if (tn_failed(st) && !is_interrupted) {
        shell->is_failed = true;
        print_error(&err);
    }
}

static void run_statement(struct shell *shell, struct tn_str text)
{
    if (is_push(text)) {
        run_push(shell, text);
        return;
    }
    struct tn_err err = TN_ERR_INIT;
    struct tn_http_response response;
    struct tn_http_header_pair headers[] = {{"Accept", accept_of(shell->config->format)},
                                            {"Content-Type", "text/plain; charset=utf-8"}};
    const char *path = shell->config->is_fresh ? "/sql?fresh=1" : "/sql";
    enum tn_status st =
        tn_http_call(shell->client, "POST", path, headers, 2, text, &response, &err);
    if (st == TN_OK && response.status >= 400)
        st = tn_http_response_error(&response, &err);
    if (tn_failed(st)) {
        shell->is_failed = true;
        print_error(&err);
        return;
    }
    if (strcmp(shell->config->format, "table") == 0)
        tni_shell_table(response.body, stdout);
    else
        fwrite(response.body.ptr, 1, response.body.len, stdout);
    fflush(stdout);
}

/* Length of the first statement with its ';', 0 when the text holds no complete one. Quotes and
 * comments hide ';'. */
static size_t statement_length(struct tn_str text)
{
    char quote = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (quote) {
            quote = c == quote ? 0 : quote;
        } else if (c == '\'' || c == '"' || c == '`') {
            quote = c;
        } else if (c == '-' && i + 1 < text.len && text.ptr[i + 1] == '-') {
            while (i < text.len && text.ptr[i] != '\n')
                i++;
        } else if (c == '/' && i + 1 < text.len && text.ptr[i + 1] == '*') {
            for (i += 2; i < text.len && !(text.ptr[i - 1] == '*' && text.ptr[i] == '/'); i++)
                ;
        } else if (c == ';') {
            return i + 1;
        }
    }
    return 0;
}

static bool is_blank(struct tn_str text)
{
    for (size_t i = 0; i < text.len; i++)
        if (!strchr(" \t\r\n;", text.ptr[i]))
            return false;
    return true;
}

/* Run the complete statements of buf; with is_end also the rest. */
static void run_complete(struct shell *shell, struct tn_buf *buf, bool is_end)
{
    size_t at = 0;
    while (at < buf->len) {
        struct tn_str rest = {buf->ptr + at, buf->len - at};
        size_t len = statement_length(rest);
        if (len == 0 && !is_end)
            break;
        if (len == 0)
            len = rest.len;
        if (!is_blank((struct tn_str){rest.ptr, len}))
            run_statement(shell, (struct tn_str){rest.ptr, len});
        at += len;
    }
    memmove(buf->ptr, buf->ptr + at, buf->len - at);
    buf->len -= at;
}

static int run_text(struct shell *shell, FILE *file, const char *text)
{
    struct tn_buf buf;
    char line[4096];
    tn_buf_init(&buf, STATEMENT_BYTES_MAX);
    if (text)
        tn_buf_add_text(&buf, text);
    while (!text && fgets(line, sizeof line, file)) {
        tn_buf_add_text(&buf, line);
        run_complete(shell, &buf, false);
    }
    if (tn_buf_over(&buf)) {
        fprintf(stderr, "error: a statement is longer than %zu bytes\n", STATEMENT_BYTES_MAX);
        shell->is_failed = true;
    } else if (buf.len) {
        run_complete(shell, &buf, true);
    }
    tn_buf_release(&buf);
    return shell->is_failed ? 1 : 0;
}

/* ---- interactive ---- */

static bool is_continued;

static const char *prompt(EditLine *edit)
{
    (void)edit;
    return is_continued ? "   -> " : "tarn> ";
}

static const char *const words[] = {"SELECT",         "FROM",
                                    "WHERE",          "GROUP BY",
                                    "HAVING",         "ORDER BY",
                                    "LIMIT",          "CREATE STREAM",
                                    "CREATE TABLE",   "INSERT INTO",
                                    "DROP",           "DESCRIBE",
                                    "EXPLAIN",        "SHOW TABLES",
                                    "SHOW STREAMS",   "SHOW QUERIES",
                                    "EMIT CHANGES",   "WINDOW TUMBLING",
                                    "COUNT(*)",       "system.queries",
                                    "system.streams", "system.dead_letters",
                                    "system.metrics"};

/* Tab: complete the word before the cursor from keywords and system tables. */
static unsigned char complete(EditLine *edit, int ch)
{
    (void)ch;
    const LineInfo *info = el_line(edit);
    const char *from = info->cursor;
    while (from > info->buffer && !strchr(" (,", from[-1]))
        from--;
    size_t len = (size_t)(info->cursor - from);
    const char *found = NULL;
    for (size_t i = 0; len > 0 && i < sizeof words / sizeof *words; i++)
        if (strncasecmp(words[i], from, len) == 0) {
            if (found)
                return CC_REFRESH_BEEP;
            found = words[i];
        }
    return found && el_insertstr(edit, found + len) == 0 ? CC_REFRESH : CC_ERROR;
}

static void history_path(char *path, size_t size)
{
    const char *home = getenv("HOME");
    snprintf(path, size, "%s/.tarn_history", home ? home : ".");
}

static int run_interactive(struct shell *shell, const char *url)
{
    char path[4096];
    HistEvent event;
    int count;
    const char *line;
    struct tn_buf buf;
    EditLine *edit = el_init("tarn", stdin, stdout, stderr);
    History *past = history_init();
    history_path(path, sizeof path);
    history(past, &event, H_SETSIZE, HISTORY_LINES);
    history(past, &event, H_LOAD, path);
    el_set(edit, EL_PROMPT, prompt);
    el_set(edit, EL_EDITOR, "emacs");
    el_set(edit, EL_HIST, history, past);
    el_set(edit, EL_ADDFN, "tarn-complete", "complete the word", complete);
    el_set(edit, EL_BIND, "^I", "tarn-complete", NULL);
    el_set(edit, EL_SIGNAL, 1);
    printf("connected to %s; statements end with ';', Ctrl-D leaves\n", url);
    tn_buf_init(&buf, STATEMENT_BYTES_MAX);
    while ((line = el_gets(edit, &count)) != NULL && count > 0) {
        if (!is_blank(tn_str_of(line)))
            history(past, &event, H_ENTER, line);
        tn_buf_add_text(&buf, line);
        run_complete(shell, &buf, false);
        if (is_blank(tn_buf_str(&buf)))
            tn_buf_reset(&buf);
        is_continued = buf.len > 0;
    }
    printf("\n");
    history(past, &event, H_SAVE, path);
    history_end(past);
    el_end(edit);
    tn_buf_release(&buf);
    return 0;
}

int tn_shell_run(const struct tn_shell_config *config)
{
    struct tn_err err = TN_ERR_INIT;
    struct shell shell = {.config = config};
    char url[512];
    int status = 2;
    if (config->url)
        snprintf(url, sizeof url, "%s", config->url);
    else if (tn_failed(read_endpoint(config->state, url, sizeof url, &err)))
        goto fail;
    if (tn_failed(tn_http_client_new(url, TIMEOUT_MS, &shell.client, &err)))
        goto fail;
    if (config->execute)
        status = run_text(&shell, NULL, config->execute);
    else if (isatty(STDIN_FILENO))
        status = run_interactive(&shell, url);
    else
        status = run_text(&shell, stdin, NULL);
fail:
    if (err.code)
        print_error(&err);
    tn_http_client_free(shell.client);
    return status;
}
