/* Date and time patterns in three notations, compiled once and used for printing and reading:
 *
 *   JAVA   java.time DateTimeFormatter: y u M L d D E a h H k K m s S n A X x Z z V w Y e G Q, '…',
 * [optional] JODA   Joda time: y Y x M d D E e w a h H k K m s S z Z G, '…' MYSQL  %a %b %c %d %e
 * %f %H %h %I %i %j %k %l %M %m %p %r %S %s %T %v %W %x %Y %y %%
 *
 * Fields that a text does not give are those of 1970-01-01 00:00. Names are English, read without
 * case.
 *
 * Ownership: the pattern lives in the arena given, literals are copied. @thread any (immutable)
 */
#ifndef TN_STREAM_BASE_TIME_PATTERN_H
#define TN_STREAM_BASE_TIME_PATTERN_H

#include "stream/base/arena.h"
#include "stream/base/buf.h"

enum tn_pattern_style { TN_PATTERN_JAVA, TN_PATTERN_JODA, TN_PATTERN_MYSQL };

struct tn_zone;
struct tn_time_pattern;

/* TN_E_INVALID naming the letter that is not understood. */
enum tn_status tn_time_pattern_new(enum tn_pattern_style style, struct tn_str text,
                                   struct tn_arena *arena, struct tn_time_pattern **ret_pattern,
                                   struct tn_err *err);
/* Print the local time of `us` (µs since the epoch, UTC) in `zone` (NULL = UTC). */
void tn_time_pattern_print(const struct tn_time_pattern *pattern, int64_t us,
                           const struct tn_zone *zone, struct tn_buf *buf);
/* Read the whole text; a zone or offset in it is used, else `zone` (NULL = UTC). False when it does
 * not match or is no such time. */
bool tn_time_pattern_parse(const struct tn_time_pattern *pattern, struct tn_str text,
                           const struct tn_zone *zone, int64_t *ret_us);

#endif
