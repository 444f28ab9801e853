/* The simulated player (plays of eight songs by five users) and clicker, sending to a tarn over
 * HTTP with keep-alive and batches. `tarn produce` runs it in the foreground, `tarn demo` on a
 * thread.
 * @thread tn_producer_run: the caller's; tn_producer_stop: any
 */
#ifndef TN_CONNECTORS_PRODUCER_H
#define TN_CONNECTORS_PRODUCER_H

#include "stream/base/buf.h"
#include "stream/base/clock.h"
#include "stream/base/opt.h"
#include "stream/base/status.h"

struct tn_producer_config {
    const char *url;    /* http://127.0.0.1:8090 */
    const char *kind;   /* player, clicker */
    const char *stream; /* plays or clicks: a stream's name, or a path that begins with '/'; "" =
                           played_songs, clicks */
    const char *songs_path;                /* where songs are posted first; "" = nowhere */
    const char *key_column, *value_column; /* columns of the plays' stream */
    double rate;                           /* events a second; 0 = as fast as answers come */
    int64_t count;                         /* stop after so many; 0 = no limit */
    int64_t seconds;                       /* stop after so long; 0 = no limit */
    int64_t seed;
    double skew;        /* Zipf exponent of the songs; 0 = uniform */
    int64_t keys_count; /* songs; the first eight are the named ones */
    int64_t batch;      /* events a request at most */
    bool is_exact; /* Idempotency-Key on each request: repeats after a lost answer store nothing
                      twice */
    bool is_quiet; /* no progress lines */
};

extern const struct tn_opts tn_producer_opts;

struct tn_producer_totals {
    int64_t sent;         /* events put into requests, repeats not counted */
    int64_t acknowledged; /* of them: answered 2xx */
    int64_t unknown;      /* of them: the answer was lost (never with is_exact) */
    int64_t requests, retries, songs;
    int64_t elapsed_ms;
};

struct tn_producer;

/* config and clock outlive the producer. `progress` (may be NULL) gets about one line a second. */
enum tn_status tn_producer_new(const struct tn_producer_config *config, struct tn_clock *clock,
                               void (*progress)(void *ctx, const char *line), void *ctx,
                               struct tn_producer **ret_producer, struct tn_err *err);
/* Runs until count, seconds, stop or an error that retries do not cure. */
enum tn_status tn_producer_run(struct tn_producer *producer, struct tn_producer_totals *ret_totals,
                               struct tn_err *err);
void tn_producer_stop(struct tn_producer *producer);
void tn_producer_free(struct tn_producer *producer);
/* "sent=… acknowledged=… …": the exact totals as one line. */
void tn_producer_print(const struct tn_producer_totals *totals, struct tn_buf *buf);

#endif
