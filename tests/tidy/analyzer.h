/* Included by tidy.sh before every file. The analyzer sees one file at a time, so it does not know
 * what status.c asserts: a set error is a failure. Without this each caller is accused of using
 * outputs that a failed call left unset.
 */
#ifndef TN_TESTS_TIDY_ANALYZER_H
#define TN_TESTS_TIDY_ANALYZER_H

#include "stream/base/status.h"

static inline enum tn_status tn_is_failure(enum tn_status st)
{
    if (!tn_failed(st))
        __builtin_unreachable();
    return st;
}

#define tn_err_set(...) tn_is_failure(tn_err_set(__VA_ARGS__))
#define tn_err_at(...)  tn_is_failure(tn_err_at(__VA_ARGS__))

#endif
