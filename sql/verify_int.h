/* Private to verify: rows as text, and the log that a second engine is given. See verify.h. */
#ifndef TN_SQL_VERIFY_INT_H
#define TN_SQL_VERIFY_INT_H

#include "sql/verify.h"

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
void tni_vlog_start(struct tni_vlog *vlog);

#endif
