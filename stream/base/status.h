/* Status codes and the caller-owned error.
 *
 * Fallible functions return enum tn_status. TN_OK, TN_AGAIN, TN_END and TN_NOT_FOUND are not
 * failures; TN_E_* are. A struct tn_err is owned by the caller, untouched on success, filled on
 * failure; outputs are untouched on failure. Nothing is allocated on the error path.
 *
 * Error prose: lower case, one line, no function names, user text quoted in '…', says what was
 * expected; advice goes to `hint`.
 */
#ifndef TN_STREAM_BASE_STATUS_H
#define TN_STREAM_BASE_STATUS_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* XX(NAME, default SQL error name as Trino spells it, HTTP status) */
#define TN_STATUS_MAP(XX)                                                                          \
    XX(OK, "OK", 200)                                                                              \
    XX(AGAIN, "AGAIN", 503)                                                                        \
    XX(END, "END", 200)                                                                            \
    XX(NOT_FOUND, "NOT_FOUND", 404)                                                                \
    XX(E_INVALID, "INVALID_ARGUMENTS", 400)                                                        \
    XX(E_SYNTAX, "SYNTAX_ERROR", 400)                                                              \
    XX(E_NAME, "NOT_FOUND", 400)                                                                   \
    XX(E_TYPE, "TYPE_MISMATCH", 400)                                                               \
    XX(E_UNSUPPORTED, "NOT_SUPPORTED", 400)                                                        \
    XX(E_EXISTS, "ALREADY_EXISTS", 409)                                                            \
    XX(E_EVAL, "INVALID_FUNCTION_ARGUMENT", 400)                                                   \
    XX(E_LIMIT, "EXCEEDED_LIMIT", 413)                                                             \
    XX(E_TIMEOUT, "EXCEEDED_TIME_LIMIT", 504)                                                      \
    XX(E_CANCELLED, "USER_CANCELED", 400)                                                          \
    XX(E_DENIED, "PERMISSION_DENIED", 403)                                                         \
    XX(E_BUSY, "BUSY", 409)                                                                        \
    XX(E_FULL, "NO_SPACE", 503)                                                                    \
    XX(E_IO, "GENERIC_INTERNAL_ERROR", 500)                                                        \
    XX(E_CORRUPT, "CORRUPT", 500)                                                                  \
    XX(E_FENCED, "FENCED", 500)                                                                    \
    XX(E_INDEFINITE, "INDEFINITE", 500)                                                            \
    XX(E_NOMEM, "EXCEEDED_LOCAL_MEMORY_LIMIT", 500)                                                \
    XX(E_INTERNAL, "GENERIC_INTERNAL_ERROR", 500)

enum tn_status {
#define XX(name, sql, http) TN_##name,
    TN_STATUS_MAP(XX)
#undef XX
        TN_STATUS_COUNT
};

#define TN_ERR_MESSAGE_MAX 384
#define TN_ERR_HINT_MAX    128

struct tn_err {
    enum tn_status code;
    bool retriable;
    bool fatal;
    int line; /* 1-based position in the statement; 0 = none */
    int col;
    const char *name; /* static; SQL error name (COLUMN_NOT_FOUND…); NULL = default of `code` */
    char message[TN_ERR_MESSAGE_MAX];
    char hint[TN_ERR_HINT_MAX];
};

#define TN_ERR_INIT                                                                                \
    {                                                                                              \
        .code = TN_OK                                                                              \
    }

#if defined(__GNUC__)
#define TN_WARN_UNUSED     __attribute__((warn_unused_result))
#define TN_PRINTF(fmt, va) __attribute__((format(printf, fmt, va)))
#define TN_CLEANUP(fn)     __attribute__((cleanup(fn)))
#define TN_LIKELY(x)       __builtin_expect(!!(x), 1)
#define TN_UNLIKELY(x)     __builtin_expect(!!(x), 0)
#endif

static inline bool tn_failed(enum tn_status st)
{
    return st >= TN_E_INVALID;
}

/* Evaluate `call`; leave with its status when it is a failure. */
#define TN_TRY(call)                                                                               \
    do {                                                                                           \
        enum tn_status tn_try_st_ = (call);                                                        \
        if (TN_UNLIKELY(tn_failed(tn_try_st_)))                                                    \
            return tn_try_st_;                                                                     \
    } while (0)

/* The same, but sets the local `st` and jumps to the label `fail`. */
#define TN_GOTO(call)                                                                              \
    do {                                                                                           \
        st = (call);                                                                               \
        if (TN_UNLIKELY(tn_failed(st)))                                                            \
            goto fail;                                                                             \
    } while (0)

/* Name ("E_INVALID"), default SQL error name, HTTP status of a code. Static strings. @thread any */
const char *tn_status_name(enum tn_status st);
const char *tn_status_sql_name(enum tn_status st);
int tn_status_http(enum tn_status st);
/* SQL error name of an error: err->name, else the default of its code. */
const char *tn_err_name(const struct tn_err *err);

/* Fill *err (may be NULL) and return `code`, so that `return tn_err_set(err, …)` works. */
enum tn_status tn_err_set(struct tn_err *err, enum tn_status code, const char *fmt, ...)
    TN_PRINTF(3, 4);
/* The same with a SQL error name and a position. */
enum tn_status tn_err_at(struct tn_err *err, enum tn_status code, const char *name, int line,
                         int col, const char *fmt, ...) TN_PRINTF(6, 7);
void tn_err_hint(struct tn_err *err, const char *fmt, ...) TN_PRINTF(2, 3);
/* Put "prefix: " before the message when crossing a folder: "source 'orders': …". */
void tn_err_prefix(struct tn_err *err, const char *fmt, ...) TN_PRINTF(2, 3);

/* Always-on assertion for programmer errors and invariants; never for external input. */
#define TN_ASSERT(cond)                                                                            \
    do {                                                                                           \
        if (TN_UNLIKELY(!(cond)))                                                                  \
            tn_assert_failed(#cond, __FILE__, __LINE__);                                           \
    } while (0)
#ifdef TN_DEBUG
#define TN_DCHECK(cond) TN_ASSERT(cond)
#else
#define TN_DCHECK(cond) ((void)0)
#endif
_Noreturn void tn_assert_failed(const char *cond, const char *file, int line);

#endif
