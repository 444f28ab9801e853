/* Window arithmetic; the rules are in window.h. Pure functions. @thread any */
#include "stream/window.h"

#define DAY_MS         ((int64_t)24 * 60 * 60 * 1000)
#define SEGMENT_MS_MIN ((int64_t)60 * 1000)

static int64_t add_sat(int64_t a, int64_t b)
{
    int64_t sum;
    if (__builtin_add_overflow(a, b, &sum))
        return b > 0 ? INT64_MAX : INT64_MIN;
    return sum;
}

static int64_t sub_sat(int64_t a, int64_t b)
{
    int64_t diff;
    if (__builtin_sub_overflow(a, b, &diff))
        return b > 0 ? INT64_MIN : INT64_MAX;
    return diff;
}

static int64_t advance_of(const struct tn_window *window)
{
    return window->kind == TN_WINDOW_HOP ? window->advance_ms : window->size_ms;
}

uint32_t tni_window_fanout(const struct tn_window *window)
{
    int64_t advance = advance_of(window);
    TN_ASSERT(advance > 0 && window->size_ms > 0);
    int64_t fanout = (window->size_ms - 1) / advance + 1;
    return fanout > UINT32_MAX ? UINT32_MAX : (uint32_t)fanout;
}

int64_t tni_window_first(const struct tn_window *window, int64_t time_ms)
{
    int64_t advance = advance_of(window);
    TN_ASSERT(time_ms >= 0 && advance > 0);
    int64_t first =
        time_ms - window->size_ms + 1; /* smallest start whose window still holds the time */
    if (first <= 0)
        return 0;
    return (first + advance - 1) / advance * advance;
}

bool tni_window_is_open(const struct tn_window *window, int64_t start_ms, int64_t end_ms,
                        int64_t stream_time_ms)
{
    (void)start_ms;
    int64_t closed = sub_sat(stream_time_ms, window->grace_ms);
    if (window->kind == TN_WINDOW_SESSION)
        return end_ms >= sub_sat(closed, window->size_ms);
    return end_ms > closed;
}

bool tni_window_is_closed(const struct tn_window *window, int64_t end_ms, int64_t stream_time_ms)
{
    if (stream_time_ms == INT64_MIN)
        return false;
    int64_t close = add_sat(end_ms, window->grace_ms);
    if (window->kind == TN_WINDOW_SESSION)
        return stream_time_ms > add_sat(close, window->size_ms);
    return stream_time_ms >= close;
}

static void pair_add(struct tni_window_pairs *pairs, uint32_t row, int64_t start, bool is_late)
{
    if (is_late) {
        pairs->late_rows[pairs->late_count] = row;
        pairs->late_starts_ms[pairs->late_count++] = start;
    } else {
        pairs->rows[pairs->count] = row;
        pairs->starts_ms[pairs->count++] = start;
    }
}

/* Pairs a row takes at most: windows that hold its time. */
static uint64_t pairs_max(const struct tn_window *window, const int64_t *rowtimes_ms,
                          const uint32_t *rows, uint32_t count)
{
    uint64_t total = 0;
    int64_t advance = advance_of(window);
    for (uint32_t i = 0; i < count; i++) {
        int64_t time_ms = rowtimes_ms[rows ? rows[i] : i];
        total += time_ms < 0
                     ? 1
                     : (uint64_t)((time_ms - tni_window_first(window, time_ms)) / advance) + 1;
    }
    return total;
}

void tni_window_assign(const struct tn_window *window, const int64_t *rowtimes_ms,
                       const uint32_t *rows, uint32_t count, int64_t *stream_time_ms,
                       struct tn_arena *arena, struct tni_window_pairs *ret_pairs)
{
    TN_ASSERT(window->kind == TN_WINDOW_TUMBLE || window->kind == TN_WINDOW_HOP);
    uint64_t max = pairs_max(window, rowtimes_ms, rows, count);
    TN_ASSERT(max <= UINT32_MAX);
    struct tni_window_pairs pairs = {0};
    pairs.rows = tn_arena_alloc(arena, max * sizeof *pairs.rows);
    pairs.starts_ms = tn_arena_alloc(arena, max * sizeof *pairs.starts_ms);
    pairs.late_rows = tn_arena_alloc(arena, max * sizeof *pairs.late_rows);
    pairs.late_starts_ms = tn_arena_alloc(arena, max * sizeof *pairs.late_starts_ms);
    int64_t advance = advance_of(window), stream_time = *stream_time_ms;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t row = rows ? rows[i] : i;
        int64_t time_ms = rowtimes_ms[row];
        if (time_ms > stream_time)
            stream_time = time_ms;
        if (time_ms < 0) {
            pair_add(&pairs, row, -1, true);
            continue;
        }
        int64_t closed = sub_sat(stream_time, window->grace_ms), start;
        for (start = tni_window_first(window, time_ms); start <= time_ms;
             start = add_sat(start, advance)) {
            pair_add(&pairs, row, start, add_sat(start, window->size_ms) <= closed);
            if (start > INT64_MAX - advance)
                break;
        }
    }
    *stream_time_ms = stream_time;
    *ret_pairs = pairs;
}

/* Segments of half the retention, at least a minute, so that two or three hold everything. A table
 * that keeps windows for ever still has segments, or range deletes and scans by time could not skip
 * anything. */
int64_t tni_window_segment_ms(const struct tn_window *window)
{
    int64_t segment = window->retention_ms > 0 ? window->retention_ms / 2 : DAY_MS;
    return segment < SEGMENT_MS_MIN ? SEGMENT_MS_MIN : segment;
}

uint64_t tni_window_segment(const struct tn_window *window, int64_t start_ms, int64_t end_ms)
{
    int64_t time_ms = window->kind == TN_WINDOW_SESSION ? end_ms : start_ms;
    return time_ms <= 0 ? 0 : (uint64_t)(time_ms / tni_window_segment_ms(window));
}

uint64_t tni_window_expired_segment(const struct tn_window *window, int64_t stream_time_ms)
{
    if (window->retention_ms <= 0 || stream_time_ms == INT64_MIN)
        return 0;
    int64_t oldest = sub_sat(stream_time_ms, window->retention_ms);
    return oldest <= 0 ? 0 : (uint64_t)(oldest / tni_window_segment_ms(window));
}

enum tn_status tni_window_defaults(struct tn_window *window, struct tn_err *err)
{
    if (window->kind == TN_WINDOW_NONE)
        return TN_OK;
    if (window->size_ms <= 0)
        return tn_err_set(err, TN_E_INVALID, "%s must be positive",
                          window->kind == TN_WINDOW_SESSION ? "the session gap" : "window SIZE");
    if (window->kind == TN_WINDOW_HOP &&
        (window->advance_ms <= 0 || window->advance_ms > window->size_ms))
        return tn_err_set(err, TN_E_INVALID, "ADVANCE BY must be positive and at most SIZE");
    if (window->kind == TN_WINDOW_TUMBLE)
        window->advance_ms = window->size_ms;
    if (window->grace_ms < 0) {
        window->grace_ms = DAY_MS - window->size_ms;
        if (window->grace_ms < 0 || window->is_final)
            window->grace_ms = 0;
    }
    int64_t least = add_sat(window->size_ms, window->grace_ms);
    if (window->retention_ms < 0) {
        window->retention_ms = least;
    } else if (window->retention_ms < least) {
        return tn_err_set(err, TN_E_INVALID,
                          "RETENTION of %lld ms is below window size plus grace period (%lld ms)",
                          (long long)window->retention_ms, (long long)least);
    }
    return TN_OK;
}
