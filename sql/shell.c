/* Interactive and scripted SQL over POST /sql. A statement ends with ';' outside quotes; several
 * lines make one statement. The terminal is shell_edit.c. */
#include "sql/shell_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "sql/shell_table.h"
#include "stream/base/mem.h"

#define STATEMENT_BYTES_MAX ((size_t)1 << 20)
#define TIMEOUT_MS          (INT64_C(24) * 3600 * 1000) /* the server has its own deadline */

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

volatile sig_atomic_t tni_shell_is_interrupted;

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
    return !tni_shell_is_interrupted;
}

static bool is_cancelled(void)
{
    return tni_shell_is_interrupted != 0;
}

/* Do the words stand in the text, with any white space between? */
static bool has_words(struct tn_str text, const char *first, const char *second)
{
    size_t len = strlen(first);
    for (size_t i = 0; i + len < text.len; i++) {
        if (strncasecmp(text.ptr + i, first, len) != 0)
            continue;
        size_t at = i + len;
        while (at < text.len && strchr(" \t\r\n", text.ptr[at]))
            at++;
        if (at > i + len && text.len - at >= strlen(second) &&
            strncasecmp(text.ptr + at, second, strlen(second)) == 0)
            return true;
    }
    return false;
}

/* A push query never ends by itself: its rows are printed as they come, until Ctrl-C. */
static bool is_push(struct tn_str text)
{
    while (text.len && strchr(" \t\r\n;", *text.ptr))
        text = (struct tn_str){text.ptr + 1, text.len - 1};
    return text.len > 6 && strncasecmp(text.ptr, "select", 6) == 0 &&
           has_words(text, "emit", "changes");
}

static void run_push(struct tni_shell *shell, struct tn_str text)
{
    struct tn_err err = TN_ERR_INIT;
    struct tn_http_response response;
    struct tn_http_header_pair header = {"Accept", "application/x-ndjson"};
    enum tn_status st = tn_http_call_stream(shell->client, "POST", "/sql", &header, 1, text,
                                            print_bytes, NULL, &response, &err);
    if (st == TN_OK && response.status >= 400)
        st = tn_http_response_error(&response, &err);
    if (tni_shell_is_interrupted) {
        printf("^C cancelled\n");
    } else if (tn_failed(st)) {
        shell->is_failed = true;
        print_error(&err);
    }
}

static void run_statement(struct tni_shell *shell, struct tn_str text)
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
    if (tni_shell_is_interrupted) {
        printf("^C cancelled\n");
        return;
    }
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

bool tni_shell_is_blank(struct tn_str text)
{
    for (size_t i = 0; i < text.len; i++)
        if (!strchr(" \t\r\n;", text.ptr[i]))
            return false;
    return true;
}

size_t tni_shell_statements(struct tni_shell *shell, struct tn_buf *buf, bool is_end)
{
    size_t at = 0, count = 0;
    while (at < buf->len) {
        struct tn_str rest = {buf->ptr + at, buf->len - at};
        size_t len = statement_length(rest);
        if (len == 0 && !is_end)
            break;
        if (len == 0)
            len = rest.len;
        if (!tni_shell_is_blank((struct tn_str){rest.ptr, len}) && !tni_shell_is_interrupted) {
            run_statement(shell, (struct tn_str){rest.ptr, len});
            count++;
        }
        at += len;
    }
    if (at)
        memmove(buf->ptr, buf->ptr + at, buf->len - at);
    buf->len -= at;
    return count;
}

static int run_text(struct tni_shell *shell, FILE *file, const char *text)
{
    struct tn_buf buf;
    char line[4096];
    tn_buf_init(&buf, STATEMENT_BYTES_MAX);
    if (text)
        tn_buf_add_text(&buf, text);
    while (!text && fgets(line, sizeof line, file)) {
        tn_buf_add_text(&buf, line);
        (void)tni_shell_statements(shell, &buf, false);
    }
    if (tn_buf_over(&buf)) {
        fprintf(stderr, "error: a statement is longer than %zu bytes\n", STATEMENT_BYTES_MAX);
        shell->is_failed = true;
    } else if (buf.len) {
        (void)tni_shell_statements(shell, &buf, true);
    }
    tn_buf_release(&buf);
    return shell->is_failed ? 1 : 0;
}

int tn_shell_run(const struct tn_shell_config *config)
{
    struct tn_err err = TN_ERR_INIT;
    struct tni_shell shell = {.config = config};
    char url[512];
    int status = 2;
    if (config->url)
        snprintf(url, sizeof url, "%s", config->url);
    else if (tn_failed(read_endpoint(config->state, url, sizeof url, &err)))
        goto fail;
    if (tn_failed(tn_http_client_new(url, TIMEOUT_MS, &shell.client, &err)))
        goto fail;
    tn_http_client_on_cancel(shell.client, is_cancelled);
    if (config->execute)
        status = run_text(&shell, NULL, config->execute);
    else if (isatty(STDIN_FILENO))
        status = tni_shell_interactive(&shell, url);
    else
        status = run_text(&shell, stdin, NULL);
fail:
    if (err.code)
        print_error(&err);
    tn_http_client_free(shell.client);
    return status;
}
