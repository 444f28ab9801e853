/* Status names and error formatting. Truncates, never allocates. @thread any */
#include "stream/base/status.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name, *sql;
    int http;
} status_rows[] = {
#define XX(name, sql, http) {#name, sql, http},
    TN_STATUS_MAP(XX)
#undef XX
};

const char *tn_status_name(enum tn_status st)
{
    return status_rows[st].name;
}

const char *tn_status_sql_name(enum tn_status st)
{
    return status_rows[st].sql;
}

int tn_status_http(enum tn_status st)
{
    return status_rows[st].http;
}

const char *tn_err_name(const struct tn_err *err)
{
    return err->name ? err->name : status_rows[err->code].sql;
}

static TN_PRINTF(3, 0) void err_fill(struct tn_err *err, enum tn_status code, const char *fmt,
                                     va_list ap)
{
    *err = (struct tn_err){.code = code};
    vsnprintf(err->message, sizeof err->message, fmt, ap);
}

/* In parentheses: tests/tidy/analyzer.h has macros of these names. */
enum tn_status(tn_err_set)(struct tn_err *err, enum tn_status code, const char *fmt, ...)
{
    TN_ASSERT(tn_failed(code));
    if (!err)
        return code;
    va_list ap;
    va_start(ap, fmt);
    err_fill(err, code, fmt, ap);
    va_end(ap);
    return code;
}

enum tn_status(tn_err_at)(struct tn_err *err, enum tn_status code, const char *name, int line,
                          int col, const char *fmt, ...)
{
    TN_ASSERT(tn_failed(code));
    if (!err)
        return code;
    va_list ap;
    va_start(ap, fmt);
    err_fill(err, code, fmt, ap);
    va_end(ap);
    err->name = name;
    err->line = line;
    err->col = col;
    return code;
}

void tn_err_hint(struct tn_err *err, const char *fmt, ...)
{
    if (!err)
        return;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(err->hint, sizeof err->hint, fmt, ap);
    va_end(ap);
}

void tn_err_prefix(struct tn_err *err, const char *fmt, ...)
{
    if (!err)
        return;
    char text[TN_ERR_MESSAGE_MAX];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (n < 0 || (size_t)n + 2 >= sizeof text)
        return;
    snprintf(text + n, sizeof text - (size_t)n, ": %.*s", (int)(sizeof text - (size_t)n - 3),
             err->message);
    memcpy(err->message, text, sizeof text);
}

_Noreturn void tn_assert_failed(const char *cond, const char *file, int line)
{
    fprintf(stderr, "tarn: %s:%d: assertion failed: %s\n", file, line, cond);
    abort();
}
