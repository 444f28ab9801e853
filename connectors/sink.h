/* Sinks: readers of a log that write lake files, exactly once.
 *
 * HOW IT WORKS. One thread a sink reads the partitions of its topic, never past what is durable,
 * and fills one open file per source partition and folder. When a rotation rule is met, the
 * partitions concerned are cut:
 *   1. the cut (offset ranges, a unique id) is stored in the sink's record: it is what will be;
 *   2. its files are closed and put into the store under names made of topic, partition, first
 *      offset and epoch;
 *   3. the record notes what was put;
 *   4. the table log gets its next entry by put-if-absent (connectors/table_log.h): now readers see
 *      the files;
 *   5. notices and dead letters are appended to their topics; the record forgets the cut.
 * A crash anywhere repeats the steps not yet known to be done: the same offsets give the same bytes
 * under the same names, an entry of the log is recognised by the id, and appended notices by a
 * header. Positions come from the table log; the record is its cache. Without a record (a new state
 * folder) the log is read from its start and the epoch goes up, so a forgotten writer can neither
 * replace a file nor commit.
 *
 * Of several processes one writes a sink: who owns the task of its name. It stops between two
 * steps when that goes; the next owner takes over by the table log, as from a new state folder. A
 * writer that does not know yet is fenced by the epoch, and asks again after a while.
 *
 * While the store is away the sink waits and reads nothing: what it holds is at most one cut, of
 * which large files are on the local disk (sink_large.c); the
 * rest stays in the log, which keeps it (hold).
 *
 * Ownership: specs are reference counted. @thread any
 */
#ifndef TN_CONNECTORS_SINK_H
#define TN_CONNECTORS_SINK_H

#include <stdatomic.h>
#include "connectors/sink_options.h"
#include "connectors/table_log.h"
#include "stream/base/clock.h"
#include "stream/base/metrics.h"
#include "stream/plan.h"
#include "stream/sink_store.h"

struct tn_sinks;

/* What the catalog says about a sink. Everything lives in `arena`. */
struct tn_sink_spec {
    atomic_int refs;
    struct tn_arena arena;
    const char *name;     /* unique */
    const char *table;    /* "bronze.plays" */
    const char *location; /* URL or path of the table's folder */
    struct tn_topic_decl decl;
    struct tn_sink_options options; /* checked */
    bool is_paused;
    struct tn_sink_spec *base; /* the one it was derived from, whose strings it uses; NULL */
};

struct tn_sink_spec *tn_sink_spec_new(void); /* refs = 1 */
/* A copy that may be changed until it is shared (ALTER, PAUSE). */
struct tn_sink_spec *tn_sink_spec_derive(struct tn_sink_spec *base);
struct tn_sink_spec *tn_sink_spec_ref(struct tn_sink_spec *spec);
void tn_sink_spec_unref(struct tn_sink_spec *spec); /* NULL is a no-op */
/* Can it be written so? Layout against format, columns of partition.by, the template. */
enum tn_status tn_sink_spec_check(const struct tn_sink_spec *spec, const struct tn_formats *formats,
                                  struct tn_err *err);
/* The table's columns as files and folders show them; folders are the last *ret_folders ones. In
 * the spec's arena. */
const struct tn_schema *tn_sink_schema(struct tn_sink_spec *spec, uint32_t *ret_folders);

struct tn_sinks_config {
    struct tn_log *log;
    struct tn_sink_store *store;
    struct tn_clock *clock;
    struct tn_metrics *metrics;
    const struct tn_formats *formats;
    const char *application_id;
    const char *spool_folder; /* what large files hold until they are whole; NULL = no spool */
    /* Opens what `location` names; ret_root: key prefix of the table in it, no final '/'. */
    enum tn_status (*store_open)(void *ctx, const char *location,
                                 struct tn_object_store **ret_store,
                                 char ret_root[TN_OBJECT_KEY_MAX + 1], struct tn_err *err);
    void *store_ctx;
    /* Several processes with one application id: is this sink's work ours? Asked often, must be
     * cheap. NULL = always. */
    bool (*is_ours)(void *ctx, const char *name);
    void *ours_ctx;
};

enum tn_status tn_sinks_open(const struct tn_sinks_config *config, struct tn_sinks **ret_sinks,
                             struct tn_err *err);
/* Sinks put before run from here on. */
void tn_sinks_start(struct tn_sinks *sinks);
void tn_sinks_close(struct tn_sinks *sinks); /* NULL is a no-op; what is open stays in the log */

/* Adds a sink, or gives it another spec (ALTER, PAUSE, RESUME), which it takes at its next cut.
 * Takes a reference. */
enum tn_status tn_sinks_put(struct tn_sinks *sinks, struct tn_sink_spec *spec, struct tn_err *err);
/* Ends it; files and table log stay. Its record and its hold of the log are removed. */
void tn_sinks_drop(struct tn_sinks *sinks, const char *name);

enum tn_sink_state {
    TN_SINK_STARTING,
    TN_SINK_RUNNING,
    TN_SINK_PAUSED,
    TN_SINK_ELSEWHERE, /* another process of the application writes it */
    TN_SINK_RETRYING,  /* the store, a webhook or the log is away; goes on by itself */
    TN_SINK_FAILED     /* needs somebody: a record that does not fit, another writer */
};

#define TN_SINK_RECENT_MAX 5
struct tn_sink_recent { /* a file that was entered into the table log */
    char path[200];     /* cut when longer */
    int64_t rows, bytes, committed_ms;
};

struct tn_sink_info {
    const struct tn_sink_spec *spec; /* valid during the callback */
    enum tn_sink_state state;
    int64_t epoch, version;                                  /* of the table: next entry */
    int64_t rows, files, bytes, cuts, bad, notices, retries; /* by this process */
    int64_t open_rows, open_bytes, lag_records, lag_ms;      /* not yet in the table */
    int64_t committed_ms;                                    /* last entry; 0 = none */
    uint32_t recent_count;                                   /* newest first */
    struct tn_sink_recent recent[TN_SINK_RECENT_MAX];
    char error[TN_ERR_MESSAGE_MAX]; /* of the last failure while not RUNNING */
};
void tn_sinks_each(struct tn_sinks *sinks, bool (*each)(void *ctx, const struct tn_sink_info *info),
                   void *ctx);

/* Files of the tables of all sinks, by their logs: read from the stores (what was read once is
 * remembered). A store that is away is left out. */
struct tn_sink_file_info {
    const char *sink, *table;
    int64_t version, committed_ms;
    const struct tn_table_file *file;
};
void tn_sinks_each_file(struct tn_sinks *sinks,
                        bool (*each)(void *ctx, const struct tn_sink_file_info *info), void *ctx);

/* Waits until everything durable in the sink's topic now is in the table (tests, shutdown hooks).
 * Cuts what is open. */
enum tn_status tn_sinks_flush(struct tn_sinks *sinks, const char *name, int64_t timeout_ms,
                              struct tn_err *err);

#endif
