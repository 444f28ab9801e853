/* Private to verify: rows as text, and the log that a second engine is given. See verify.h. */
#ifndef TN_SQL_VERIFY_INT_H
#define TN_SQL_VERIFY_INT_H

#include "sql/verify.h"

#include "connectors/wait.h"

/* ---- rows (verify_rows.c) ---- */

struct tni_vrow {
    struct tn_str key, value; /* text; value.ptr NULL = deleted */
    uint64_t order;           /* of several with one key the last one counts */
};

struct tni_vrows {
    struct tn_arena arena;
    struct tni_vrow *items;
    size_t count, cap;
};

void tni_vrows_init(struct tni_vrows *rows);
void tni_vrows_release(struct tni_vrows *rows);
void tni_vrows_add(struct tni_vrows *rows, struct tn_str key, struct tn_str value);
/* Sort by key; keep the last of each key; drop deleted ones. */
void tni_vrows_fold(struct tni_vrows *rows);
/* By key, then value; all stay. */
void tni_vrows_sort(struct tni_vrows *rows);
/* Records of partial states (stream/fold.h) that `node` writes, as one row per key. */
enum tn_status tni_vrows_unfold(const struct tn_node *node, struct tni_vrows *rows,
                                struct tn_err *err);
/* Rows of a query's table as the engine shows them now. is_wire: the bytes that the result topic
 * has for them; else key columns (and window) and value columns as JSON objects. */
enum tn_status tni_vrows_scan(struct tn_engine *engine, const struct tn_object *object,
                              bool is_wire, struct tni_vrows *rows, struct tn_err *err);
/* The same as the result topic must have them: rows whose results are held back (EMIT_INTERVAL_MS)
 * are those of their last result. ret_held: how many are. */
enum tn_status tni_vrows_emitted(struct tn_engine *engine, const struct tn_object *object,
                                 struct tni_vrows *rows, size_t *ret_held, struct tn_err *err);
/* Records of a topic, in order; those without key too when is_all, with an empty one. */
enum tn_status tni_vrows_topic(struct tn_log *log, const char *name, bool is_all,
                               struct tni_vrows *rows, struct tn_err *err);

/* ---- the log of the second engine (verify_log.c) ---- */

struct tni_vlog;

/* RECOUNT: topics that `plan` reads come from `real`, up to the positions given; all else,
 * positions too, lives in `scratch`. Until tni_vlog_start nothing of `real` is visible: a new query
 * would take what its repartition topics hold for an earlier life's.
 * REBUILD: topics and positions of `real`, whole; what is written goes to `scratch`, unread. */
enum tni_vlog_mode { TNI_VLOG_RECOUNT, TNI_VLOG_REBUILD };

/* Borrows real and scratch. close() of the log frees it, not them. */
struct tni_vlog *tni_vlog_new(enum tni_vlog_mode mode, struct tn_log *real, struct tn_log *scratch,
                              const struct tn_plan *plan);
struct tn_log *tni_vlog_log(struct tni_vlog *vlog);
/* Nothing at or behind `offset` of this input is read. Before the engine starts. */
void tni_vlog_limit(struct tni_vlog *vlog, const char *topic, int32_t partition, int64_t offset);
/* Before the engine starts: tables are visible before tni_vlog_start; the topics of `hidden`, which
 * outlives the log, never are. */
void tni_vlog_tables_first(struct tni_vlog *vlog, const char *const *hidden, uint32_t hidden_count);
void tni_vlog_start(struct tni_vlog *vlog);

/* ---- one run (verify.c) ---- */

#define TNI_VERIFY_WHY_MAX 256
#define TNI_VERIFY_WAIT_NS 100000000

struct tni_vinput {
    char topic[TN_TOPIC_NAME_MAX + 1];
    int32_t partition;
    int64_t offset, end;
};

enum tni_verify_doubt { TNI_DOUBT_NONE, TNI_DOUBT_JOIN, TNI_DOUBT_RANDOM };

struct tni_verify {
    const struct tn_verify_config *config;
    FILE *out;
    int64_t differences;
    /* the query at hand */
    const struct tn_catalog_query *query;
    const struct tn_object *object; /* its table; NULL: it fills a stream */
    struct tn_err failure;          /* why the live engine refuses it */
    struct tni_vinput *inputs;
    uint32_t inputs_count;
    char why[TNI_VERIFY_WHY_MAX]; /* the recount proves nothing when it differs, because … */
    enum tni_verify_doubt doubts[TN_STAGES_MAX]; /* what another run may do otherwise */
    bool is_skipped;                             /* it cannot even be made */
    int64_t shown_ns;                            /* last progress line */
};

/* A line every few seconds. */
void tni_verify_progress(struct tni_verify *verify, const char *what, int64_t done, int64_t total);

/* At most 200 bytes of it. */
void tni_verify_text(FILE *out, struct tn_str text);
/* Prints and counts. */
void tni_verify_verdict(struct tni_verify *verify, const char *what, int64_t found);
/* Does the node write a stream that only this query writes? */
bool tni_verify_is_own(const struct tni_verify *verify, const struct tn_node *node);

/* ---- joins (verify_join.c) ---- */

/* Records that a stage has written, each against what it is in any order in which the stage's
 * inputs may have arrived. Says so where that is not known. */
enum tn_status tni_verify_joined(struct tni_verify *verify, uint32_t stage, struct tn_err *err);

/* ---- engines beside the live one (verify_beside.c) ---- */

struct tni_vbeside {
    struct tn_log *scratch;
    struct tn_state *scratch_state;
    struct tni_vlog *vlog;
    struct tn_engine *engine;
    bool is_open;
    /* set before: tables are read before streams, but for `hidden`, which are never read */
    bool is_tables_first;
    const char *const *hidden;
    uint32_t hidden_count;
};

enum tn_status tni_vbeside_open(struct tni_verify *verify, enum tni_vlog_mode mode,
                                struct tni_vbeside *beside, struct tn_err *err);
void tni_vbeside_close(struct tni_verify *verify, struct tni_vbeside *beside);
/* Until the query's state is there. */
enum tn_status tni_vbeside_restored(struct tni_verify *verify, struct tn_engine *engine,
                                    struct tn_waiter *waiter, struct tn_err *err);
/* Until it has read what is visible of its inputs. */
enum tn_status tni_vbeside_counted(struct tni_verify *verify, struct tn_engine *engine,
                                   struct tn_waiter *waiter, struct tn_err *err);

#endif
