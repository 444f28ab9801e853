/* Private parts of the live page, shared by dashboards/live*.c.
 *
 * One builder thread makes the frames. Readers choose a table and a stream; frames of readers with
 * the same choice are made once. A reader that has not taken its last frame skips one: frames are
 * whole states, not differences.
 */
#ifndef TN_DASHBOARDS_LIVE_INT_H
#define TN_DASHBOARDS_LIVE_INT_H

#include <pthread.h>
#include <stdatomic.h>

#include "dashboards/live.h"

#define TNI_LIVE_NAME_MAX  256
#define TNI_LIVE_FRAME_MAX ((size_t)4 << 20)
#define TNI_LIVE_QUEUE     ((size_t)256 << 10)
#define TNI_LIVE_ROWS      24
#define TNI_LIVE_LATEST    12
#define TNI_LIVE_DEAD      8
#define TNI_LIVE_ZONES     64
#define TNI_LIVE_TAILS_MAX 8
#define TNI_LIVE_QUERY_MS  2000 /* deadline of one statement of a frame */

struct tni_live_reader {
    struct tni_live_reader *next;
    struct tn_http_stream *out;
    char table[TNI_LIVE_NAME_MAX], stream[TNI_LIVE_NAME_MAX];
};

/* Newest records of one stream. */
struct tni_live_tail;

/* What the last frame saw, for rates. */
struct tni_live_past {
    int64_t at_ns, ingested, processed, commits, commit_sum_ns, commit_count;
    double events_per_s, processed_per_s, commits_per_s, commit_ms; /* −1 = no commit yet */
    int64_t dead_seen, dead_at_ns; /* dead letters shown, and when they were looked up */
};

struct tn_live {
    struct tn_live_config config;
    struct tn_metric *ingested, *processed, *commits, *commit_seconds, *dead;
    int64_t started_ns;

    pthread_mutex_t lock;
    pthread_cond_t news;
    struct tni_live_reader *arrivals;
    bool is_over;
    pthread_t thread;
    bool is_running;

    /* builder thread */
    struct tni_live_reader *readers;
    struct tni_live_past past;
    struct tn_buf now, dead_letters, frame;
    struct tn_log_reader *log_reader;
    struct tni_live_tail *tails[TNI_LIVE_TAILS_MAX];
    uint32_t tails_next;
};

/* live_now.c: `"now":{…}`: everything that does not depend on the choice. */
void tni_live_now(struct tn_live *live, const struct tn_catalog *catalog, struct tn_buf *buf);
/* live_table.c: the object whose rows are charted: the reader's choice, else one with rows and a
 * count; NULL = none. */
const struct tn_object *tni_live_table_find(struct tn_live *live, const struct tn_catalog *catalog,
                                            struct tni_live_reader *reader);
/* Columns that are charted; false: the object has none. */
bool tni_live_table_columns(const struct tn_object *object, uint32_t *ret_label,
                            uint32_t *ret_value);
void tni_live_table(struct tn_live *live, const struct tn_object *object, struct tn_buf *buf);
void tni_live_dead(struct tn_live *live, struct tn_buf *buf); /* array of dead letters */
/* live_tail.c: newest records of a stream ("" = one that feeds `table`). */
const struct tn_object *tni_live_stream_find(const struct tn_catalog *catalog, const char *name,
                                             const struct tn_object *table);
void tni_live_latest(struct tn_live *live, const struct tn_catalog *catalog,
                     const struct tn_object *object, struct tn_buf *buf);
void tni_live_tails_free(struct tn_live *live);

#endif
