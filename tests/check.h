/* Checks for unit tests. A failed check prints file, line and values and counts; TN_TEST_END
 * returns the result. */
#ifndef TN_TESTS_CHECK_H
#define TN_TESTS_CHECK_H

#include <stdio.h>
#include <string.h>
#include "stream/base/status.h"
#include "stream/base/str.h"

static _Atomic int tn_checks_run, tn_checks_failed; /* threads may check too */

#define CHECK(cond)                                                                                \
    do {                                                                                           \
        tn_checks_run++;                                                                           \
        if (!(cond)) {                                                                             \
            tn_checks_failed++;                                                                    \
            fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #cond);                     \
        }                                                                                          \
    } while (0)

#define CHECK_INT(got, want)                                                                       \
    do {                                                                                           \
        long long got_ = (long long)(got), want_ = (long long)(want);                              \
        tn_checks_run++;                                                                           \
        if (got_ != want_) {                                                                       \
            tn_checks_failed++;                                                                    \
            fprintf(stderr, "%s:%d: %s: got %lld, want %lld\n", __FILE__, __LINE__, #got, got_,    \
                    want_);                                                                        \
        }                                                                                          \
    } while (0)

#define CHECK_STR(got, want)                                                                       \
    do {                                                                                           \
        struct tn_str got_ = (got), want_ = tn_str_of(want);                                       \
        tn_checks_run++;                                                                           \
        if (!tn_str_eq(got_, want_)) {                                                             \
            tn_checks_failed++;                                                                    \
            fprintf(stderr, "%s:%d: %s: got '%.*s', want '%s'\n", __FILE__, __LINE__, #got,        \
                    TN_STR_FMT(got_), want_.ptr);                                                  \
        }                                                                                          \
    } while (0)

#define CHECK_OK(call, err)                                                                        \
    do {                                                                                           \
        enum tn_status st_ = (call);                                                               \
        tn_checks_run++;                                                                           \
        if (tn_failed(st_)) {                                                                      \
            tn_checks_failed++;                                                                    \
            fprintf(stderr, "%s:%d: %s: %s: %s\n", __FILE__, __LINE__, #call, tn_status_name(st_), \
                    (err)->message);                                                               \
        }                                                                                          \
    } while (0)

#define TN_TEST_END()                                                                              \
    (printf("%d checks, %d failed\n", tn_checks_run, tn_checks_failed),                            \
     tn_checks_failed || !tn_checks_run ? 1 : 0)

#endif
