/* Included by tidy.sh before every file. The analyzer sees one file at a time, so it does not know
 * what status.c asserts: a set error is a failure. Without this each caller is accused of using
 * outputs that a failed call left unset. An assumption in place, not a function: the analyzer goes
 * only so many calls deep.
 */
#ifndef TN_TESTS_TIDY_ANALYZER_H
#define TN_TESTS_TIDY_ANALYZER_H

#include "stream/base/status.h"

#define TN_IS_FAILURE(call)                                                                        \
    __extension__({                                                                                \
        enum tn_status tn_failure_st_ = (call);                                                    \
        __builtin_assume(tn_failure_st_ >= TN_E_INVALID);                                          \
        tn_failure_st_;                                                                            \
    })

#define tn_err_set(...)        TN_IS_FAILURE(tn_err_set(__VA_ARGS__))
#define tn_err_at(...)         TN_IS_FAILURE(tn_err_at(__VA_ARGS__))
#define tni_not_supported(...) TN_IS_FAILURE(tni_not_supported(__VA_ARGS__))
#define tni_kafka_err(...)     TN_IS_FAILURE(tni_kafka_err(__VA_ARGS__))

#endif
