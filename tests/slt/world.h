/* A whole tarn in one thread, for SQL logic tests: in-memory log, state and catalog, the engine in
 * step mode, the database on top, time that only moves when told to.
 * @thread one test
 */
#ifndef TN_TESTS_SLT_WORLD_H
#define TN_TESTS_SLT_WORLD_H

#include "sql/db.h"
#include "tests/support/fake_clock.h"

struct world_options {
    bool is_exact; /* identifiers=ksql */
    bool is_tiny;  /* 64 KiB of state cache, a flush at each commit */
    bool is_latest;
    int partitions;
    int64_t emit_bytes; /* cache.max.bytes.buffering */
};

struct world;

struct world *world_open(const struct world_options *options);
void world_close(struct world *world);
/* Stop and start again on the same log, state and catalog; is_crash: without a last commit or
 * flush. */
enum tn_status world_restart(struct world *world, bool is_crash, struct tn_err *err);
/* Let the engine work until nothing is left to do; moves the clock a little for commits. */
void world_settle(struct world *world);
void world_advance(struct world *world, int64_t ms);

struct tn_db *world_db(struct world *world);
struct tn_log *world_log(struct world *world);
struct tn_session *world_session(struct world *world);
struct tn_clock *world_clock(struct world *world);

/* One JSON object per row: columns of the stream or table by name, ROWTIME. is_tombstone: null
 * value. */
enum tn_status world_feed(struct world *world, struct tn_str name, struct tn_str json,
                          bool is_tombstone, struct tn_err *err);
/* Records of the object's topic from *cursor on, one line each: key, value, time. */
enum tn_status world_changes(struct world *world, struct tn_str name, struct tn_buf *ret_lines,
                             struct tn_err *err);
/* The topic as text, all of it (golden bytes). */
enum tn_status world_topic(struct world *world, const char *topic, struct tn_buf *ret_lines,
                           struct tn_err *err);

#endif
