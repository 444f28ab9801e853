/* The shell at a terminal: line editing, history and completion by libedit.
 *
 * HOW. A statement may take several lines; it goes into the history as one. Tab completes keywords
 * (in the case that was begun) and the names of tables and columns, asked of the server at the
 * first Tab and again after statements that may have changed them. Ctrl-C drops what was typed, or
 * cancels the statement that runs; Ctrl-D on an empty line leaves. The history is
 * ~/.tarn_history, readable by its owner alone.
 * @thread the shell's
 */
#include <errno.h>
#include <fcntl.h>
#include <histedit.h>
#include <langinfo.h>
#include <locale.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>

#include "sql/lexer.h"
#include "sql/shell_int.h"
#include "stream/base/mem.h"

#define STATEMENT_BYTES_MAX ((size_t)1 << 20)
#define HISTORY_LINES       1000
#define NAMES_MAX           4096
#define FOUND_MAX           64

static struct edit {
    struct tni_shell *shell;
    struct tn_arena arena; /* of names */
    const char *names[NAMES_MAX];
    size_t names_count;
    bool is_known, is_continued;
    int keys_fd; /* where keys come from */
} edit;          /* libedit's prompt function gets no context */

static const char help_text[] =
    "Statements end with ';' and may take several lines.\n"
    "  SHOW TABLES;  SHOW STREAMS;  SHOW QUERIES;  SHOW FUNCTIONS;   what there is\n"
    "  DESCRIBE name;  EXPLAIN statement;                             what it is\n"
    "  SELECT … ;                                                    rows as of now\n"
    "  SELECT … EMIT CHANGES;                                        rows as they come, to Ctrl-C\n"
    "  system.queries, system.streams, system.metrics …              tables about tarn itself\n"
    "Tab completes keywords, tables and columns; the arrow keys bring back earlier statements.\n"
    "Ctrl-C drops the line or cancels the statement; Ctrl-D, exit or quit leaves.\n";

static const char *prompt(EditLine *line)
{
    (void)line;
    return edit.is_continued ? "   -> " : "tarn> ";
}

/* ---- completion ---- */

static void add_name(struct tn_str name)
{
    if (name.len == 0 || edit.names_count == NAMES_MAX)
        return;
    for (size_t i = 0; i < edit.names_count; i++)
        if (tn_str_eq(tn_str_of(edit.names[i]), name))
            return;
    edit.names[edit.names_count++] = tn_arena_str(&edit.arena, name).ptr;
}

/* CSV of one column, header first; names that need quotes are left out. */
static void ask_names(const char *statement)
{
    struct tn_err err = TN_ERR_INIT;
    struct tn_http_response response;
    struct tn_http_header_pair header = {"Accept", "text/csv"};
    if (tn_http_call(edit.shell->client, "POST", "/sql", &header, 1, tn_str_of(statement),
                     &response, &err) != TN_OK ||
        response.status != 200)
        return;
    struct tn_str rest = response.body;
    for (bool is_header = true; rest.len; is_header = false) {
        const char *end = memchr(rest.ptr, '\n', rest.len);
        size_t len = end ? (size_t)(end - rest.ptr) : rest.len;
        struct tn_str name = {rest.ptr, len && rest.ptr[len - 1] == '\r' ? len - 1 : len};
        if (!is_header && !memchr(name.ptr, '"', name.len))
            add_name(name);
        len += end != NULL;
        rest = (struct tn_str){rest.ptr + len, rest.len - len};
    }
}

static void learn_names(void)
{
    if (edit.is_known)
        return;
    edit.is_known = true;
    edit.names_count = 0;
    tn_arena_reset(&edit.arena);
    ask_names("SELECT CASE table_schema WHEN 'default' THEN table_name ELSE table_schema || '.' || "
              "table_name END FROM information_schema.tables");
    ask_names("SELECT DISTINCT column_name FROM information_schema.columns "
              "WHERE table_schema = 'default'");
}

struct found {
    struct tn_str typed;
    const char *items[FOUND_MAX];
    size_t count, common; /* bytes that all share without case */
};

static void found_add(struct found *found, const char *text)
{
    if (strncasecmp(text, found->typed.ptr, found->typed.len) != 0 || found->count == FOUND_MAX)
        return;
    size_t len = strlen(text);
    if (found->count == 0 || len < found->common)
        found->common = len;
    while (found->count && strncasecmp(text, found->items[0], found->common) != 0)
        found->common--;
    found->items[found->count++] = text;
}

static bool is_word(char c)
{
    return c == '_' || c == '.' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
           (c >= 'A' && c <= 'Z') || (unsigned char)c >= 0x80;
}

static void print_found(const struct found *found)
{
    putchar('\n');
    for (size_t i = 0; i < found->count; i++)
        printf("%s%s", found->items[i], i + 1 < found->count ? "  " : "\n");
    if (found->count == FOUND_MAX)
        printf("… type more\n");
}

static unsigned char complete(EditLine *line, int ch)
{
    (void)ch;
    const LineInfo *info = el_line(line);
    const char *from = info->cursor;
    char rest[256];
    while (from > info->buffer && is_word(from[-1]))
        from--;
    struct found found = {.typed = {from, (size_t)(info->cursor - from)}};
    if (found.typed.len == 0)
        return CC_ERROR;
    learn_names();
    for (size_t i = 0; i < edit.names_count; i++)
        found_add(&found, edit.names[i]);
    size_t names_count = found.count;
    for (int kw = TNI_KW_NONE + 1; kw < TNI_KW_COUNT; kw++)
        found_add(&found, tni_keyword_text((enum tni_kw)kw));
    if (found.count == 0)
        return CC_ERROR;
    size_t len = found.common - found.typed.len;
    bool is_lower = names_count == 0 && *from >= 'a' && *from <= 'z';
    if (len + 2 > sizeof rest)
        return CC_ERROR;
    for (size_t i = 0; i < len; i++) {
        char c = found.items[0][found.typed.len + i];
        rest[i] = is_lower && c >= 'A' && c <= 'Z' ? (char)(c | 32) : c;
    }
    if (found.count == 1)
        rest[len++] = ' ';
    rest[len] = 0;
    if (len)
        return el_insertstr(line, rest) == 0 ? CC_REFRESH : CC_ERROR;
    print_found(&found);
    return CC_REDISPLAY;
}

/* ---- lines ---- */

static void interrupt(int number)
{
    (void)number;
    tni_shell_is_interrupted = 1;
}

static void mask_interrupts(int how)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    pthread_sigmask(how, &set, NULL);
}

/* Ctrl-C is blocked except while a key is waited for (ppoll opens the mask and waits in one step,
 * so that none is lost between two keys) and while statements run. */
static void take_interrupts(void)
{
    struct sigaction action = {.sa_handler = interrupt};
    mask_interrupts(SIG_BLOCK);
    sigaction(SIGINT, &action, NULL);
}

/* The terminal once more, since a byte that poll saw may be gone at the read: Ctrl-C empties the
 * terminal's queue. Nonblocking on stdin itself would be so for whoever started us, too. */
static int open_keys(void)
{
    char name[256];
    if (ttyname_r(STDIN_FILENO, name, sizeof name) != 0)
        return STDIN_FILENO;
    int fd = open(name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    return fd < 0 ? STDIN_FILENO : fd;
}

/* One byte of the terminal: 1, 0 at its end, -1 with EINTR at Ctrl-C or when there is none. */
static ssize_t read_byte(char *ret_byte)
{
    struct pollfd fd = {.fd = edit.keys_fd, .events = POLLIN};
    sigset_t open;
    pthread_sigmask(SIG_BLOCK, NULL, &open);
    sigdelset(&open, SIGINT);
    int ready = ppoll(&fd, 1, NULL, &open);
    if (tni_shell_is_interrupted)
        errno = EINTR;
    if (ready < 0 || tni_shell_is_interrupted)
        return -1;
    ssize_t count = read(edit.keys_fd, ret_byte, 1);
    if (count < 0 && errno == EAGAIN)
        errno = EINTR;
    return count;
}

/* libedit's source of keys: one character in the terminal's encoding. */
static int read_key(EditLine *line, wchar_t *ret_key)
{
    mbstate_t state = {0};
    char byte;
    (void)line;
    for (;;) {
        ssize_t count = read_byte(&byte);
        if (count < 0 && errno == EINTR && !tni_shell_is_interrupted)
            continue; /* the window changed its size, or the byte is gone */
        if (count <= 0)
            return (int)count;
        size_t used = mbrtowc(ret_key, &byte, 1, &state);
        if (used == (size_t)-1)
            state = (mbstate_t){0}; /* not a character: dropped */
        else if (used != (size_t)-2)
            return 1;
    }
}

static void history_path(char *path, size_t size)
{
    const char *home = getenv("HOME");
    snprintf(path, size, "%s/.tarn_history", home && *home ? home : ".");
}

/* A statement as one line; one with a line comment as it is. */
static void remember(History *past, struct tn_str text, const char *path)
{
    HistEvent event;
    char *copy = tn_strndup(text.ptr, text.len);
    size_t len = text.len;
    while (len && strchr(" \t\r\n", copy[len - 1]))
        copy[--len] = 0;
    for (size_t i = 0; i < len && !strstr(copy, "--"); i++)
        if (copy[i] == '\n')
            copy[i] = ' ';
    if (len) {
        history(past, &event, H_ENTER, copy);
        history(past, &event, H_SAVE, path);
    }
    tn_free(copy);
}

static bool is_command(struct tn_str text, const char *command)
{
    while (text.len && strchr(" \t\r\n", *text.ptr))
        text = (struct tn_str){text.ptr + 1, text.len - 1};
    while (text.len && strchr(" \t\r\n;", text.ptr[text.len - 1]))
        text.len--;
    return tn_str_eq_nocase(text, tn_str_of(command));
}

static bool is_leaving(struct tn_str text)
{
    return is_command(text, "exit") || is_command(text, "quit") || is_command(text, "\\q");
}

/* False when the user leaves. */
static bool take_line(struct tni_shell *shell, struct tn_buf *buf, const char *line, History *past,
                      const char *path)
{
    if (!buf->len && is_leaving(tn_str_of(line)))
        return false;
    if (!buf->len && (is_command(tn_str_of(line), "help") || is_command(tn_str_of(line), "?"))) {
        fputs(help_text, stdout);
        return true;
    }
    tn_buf_add_text(buf, line);
    char *whole = tn_strndup(buf->ptr, buf->len);
    mask_interrupts(SIG_UNBLOCK);
    if (tni_shell_statements(shell, buf, false)) {
        remember(past, tn_str_of(whole), path);
        edit.is_known = false;
    } else if (tni_shell_is_interrupted)
        printf("^C cancelled\n"); /* before it was sent */
    mask_interrupts(SIG_BLOCK);
    tni_shell_is_interrupted = 0;
    tn_free(whole);
    if (tn_buf_over(buf))
        fprintf(stderr, "error: a statement is longer than %zu bytes\n", STATEMENT_BYTES_MAX);
    if (tn_buf_over(buf) || tni_shell_is_blank(tn_buf_str(buf)))
        tn_buf_reset(buf);
    return true;
}

static EditLine *edit_open(History *past)
{
    EditLine *line = el_init("tarn", stdin, stdout, stderr);
    if (!line)
        return NULL;
    el_set(line, EL_PROMPT, prompt);
    el_set(line, EL_EDITOR, "emacs");
    el_set(line, EL_HIST, history, past);
    el_set(line, EL_ADDFN, "tarn-complete", "complete the word", complete);
    el_set(line, EL_BIND, "^I", "tarn-complete", NULL);
    el_set(line, EL_BIND, "^R", "em-inc-search-prev", NULL);
    el_set(line, EL_SIGNAL, 0);
    el_set(line, EL_GETCFN, read_key);
    return line;
}

static void read_lines(struct tni_shell *shell, EditLine *line, History *past, const char *path)
{
    struct tn_buf buf;
    const char *text;
    int count;
    tn_buf_init(&buf, STATEMENT_BYTES_MAX);
    for (bool go_on = true; go_on;) {
        edit.is_continued = buf.len > 0;
        tni_shell_is_interrupted = 0;
        el_resize(line);
        text = el_gets(line, &count);
        if (text && count > 0) {
            go_on = take_line(shell, &buf, text, past, path);
        } else if (tni_shell_is_interrupted) {
            printf("^C\n");
            tn_buf_reset(&buf);
            el_reset(line);
        } else {
            printf("\n");
            go_on = false;
        }
    }
    tn_buf_release(&buf);
}

int tni_shell_interactive(struct tni_shell *shell, const char *url)
{
    char path[4096];
    HistEvent event;
    History *past = history_init();
    if (!setlocale(LC_CTYPE, "") || strcmp(nl_langinfo(CODESET), "UTF-8") != 0)
        setlocale(LC_CTYPE, "C.UTF-8");
    EditLine *line = edit_open(past);
    if (!line) {
        history_end(past);
        fputs("error: the terminal cannot be used\n", stderr);
        return 2;
    }
    edit.shell = shell;
    edit.keys_fd = open_keys();
    tn_arena_init(&edit.arena, 0);
    history_path(path, sizeof path);
    history(past, &event, H_SETSIZE, HISTORY_LINES);
    history(past, &event, H_SETUNIQUE, 1);
    history(past, &event, H_LOAD, path);
    take_interrupts();
    printf("connected to %s; statements end with ';', help shows more, Ctrl-D leaves\n", url);
    read_lines(shell, line, past, path);
    el_end(line);
    if (edit.keys_fd != STDIN_FILENO)
        close(edit.keys_fd);
    history_end(past);
    tn_arena_release(&edit.arena);
    return 0;
}
