/* Following a stream's topic: its records decoded into batches as they become durable, from the
 * start or from now on. Used by push queries and PRINT.
 *
 * Ownership: a batch is valid until the next call. @thread one statement, one thread; `wake` from
 * any
 */
#ifndef TN_SQL_FOLLOW_H
#define TN_SQL_FOLLOW_H

#include "sql/catalog.h"
#include "stream/log.h"

struct tn_db;
struct tni_follow;

enum tn_status tni_follow_open(struct tn_db *db, const struct tn_object *object, bool is_earliest,
                               struct tn_wake *wake, struct tni_follow **ret_follow,
                               struct tn_err *err);
/* TN_AGAIN: nothing now, `wake` will be signalled. */
enum tn_status tni_follow_next(struct tni_follow *follow, struct tn_batch **ret_batch,
                               struct tn_err *err);
void tni_follow_close(struct tni_follow *follow); /* NULL is a no-op */

#endif
