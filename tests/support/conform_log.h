/* Conformance of the port stream/log.h: every adapter passes conform_log. The calling test checks
 * that it returns 0.
 */
#ifndef TN_TESTS_SUPPORT_CONFORM_LOG_H
#define TN_TESTS_SUPPORT_CONFORM_LOG_H

#include "stream/log.h"

struct conform_log_factory {
    const char *name;
    /* A fresh empty log. */
    struct tn_log *(*open)(void *ctx);
    /* Close it and open the same content again; NULL when the adapter keeps nothing. */
    struct tn_log *(*reopen)(void *ctx, struct tn_log *log);
    void (*close)(void *ctx, struct tn_log *log);
    void *ctx;
    uint64_t seed;
    bool has_holes;   /* offsets of the adapter's own: control records behind transactions */
    bool has_threads; /* appends may come from several threads at once, done from another thread */
    /* Records take their time: reads are repeated until what is wanted has come. Commits take
     * offsets of their own, and times before 1970 are not kept. */
    bool is_remote;
};

/* Runs all cases; prints what failed. Returns the number of failed checks; 0 = conforms. */
int conform_log(const struct conform_log_factory *factory);
/* For other tests: append and wait until done; returns the base offset, or −1 with *ret_st. */
int64_t conform_append(struct tn_log *log, const struct tn_topic *topic, int32_t partition,
                       struct tn_records *records, enum tn_status *ret_st, struct tn_err *err);

#endif
