/* Window arithmetic: which windows a row belongs to, which rows are late, when windows close.
 *
 * Windows are [start, start + size), aligned to epoch 0, without negative starts; tumbling =
 * hopping with advance = size. Session bounds are inclusive. Closed time c = stream time − grace. A
 * row may enter a window whose end > c; a session whose end after merging is ≥ c − gap. Stream time
 * is the largest row time seen so far, this row included; it never goes back. Times are ms; sums
 * saturate instead of overflowing.
 *
 * @thread any (pure functions)
 */
#ifndef TN_STREAM_WINDOW_H
#define TN_STREAM_WINDOW_H

#include "stream/plan.h"

/* Upper bound of windows a row enters: 1 for TUMBLE, ceil(size / advance) for HOP. */
uint32_t tni_window_fanout(const struct tn_window *window);
/* First (oldest) window start that contains time_ms; later ones follow at + advance while ≤
 * time_ms. */
int64_t tni_window_first(const struct tn_window *window, int64_t time_ms);

/* Result of assigning rows to windows: pair i says source row rows[i] enters the window at
 * starts[i]. Oldest window first per row, rows in order. */
struct tni_window_pairs {
    uint32_t count;
    uint32_t *rows;
    int64_t *starts_ms;
    uint32_t late_count; /* (row, window) pairs dropped as late */
    uint32_t *late_rows; /* their rows (a row may repeat for HOP) */
    int64_t *late_starts_ms;
};
/* TUMBLE, HOP: rows[0…count) (NULL = identity) of rowtimes_ms. Advances *stream_time_ms row by row
 * (INT64_MIN = none yet). A row with negative time enters no window and counts as late with start
 * −1. Arrays live in `arena`. */
void tni_window_assign(const struct tn_window *window, const int64_t *rowtimes_ms,
                       const uint32_t *rows, uint32_t count, int64_t *stream_time_ms,
                       struct tn_arena *arena, struct tni_window_pairs *ret_pairs);

/* May a row still enter the window at this stream time? For sessions: end after merging. */
bool tni_window_is_open(const struct tn_window *window, int64_t start_ms, int64_t end_ms,
                        int64_t stream_time_ms);
/* EMIT FINAL: is it closed? TUMBLE, HOP: stream time ≥ end + grace; SESSION: stream time > end +
 * gap + grace. */
bool tni_window_is_closed(const struct tn_window *window, int64_t end_ms, int64_t stream_time_ms);

/* State segments: windows of one length of time share a segment, which expires as a whole. */
int64_t tni_window_segment_ms(const struct tn_window *window);
/* Segment of a window: by start for TUMBLE and HOP, by end for SESSION. */
uint64_t tni_window_segment(const struct tn_window *window, int64_t start_ms, int64_t end_ms);
/* Segments below this number hold only windows older than stream time − retention. */
uint64_t tni_window_expired_segment(const struct tn_window *window, int64_t stream_time_ms);

/* Defaults of the dialect: grace 24 h − size (sessions 24 h − gap), not below 0, 0 for EMIT FINAL
 * without GRACE; retention = size + grace, at least. Pass −1 for what was not given; fills grace_ms
 * and retention_ms. TN_E_INVALID names the clause when an explicit RETENTION is too small or a size
 * is not positive. */
enum tn_status tni_window_defaults(struct tn_window *window, struct tn_err *err);

#endif
