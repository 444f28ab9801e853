/* Simulated player and clicker. One connection, one request at a time: batches grow with the rate,
 * so that keep-alive and the log's group commit do the rest.
 *
 * Determinism: songs, users and buttons come from a seeded generator; only time stamps come from
 * the clock.
 *
 * Retries: 503 and 409 are repeated after Retry-After. A lost answer is repeated when every request
 * carries an Idempotency-Key (is_exact), else its events are counted as unknown and the producer
 * goes on; RETRIES_MAX refusals in a row end the run.
 */
#include "connectors/producer.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <time.h>

#include "connectors/http_client.h"
#include "connectors/wait.h"
#include "stream/base/mem.h"

#define RETRIES_MAX     120
#define RETRY_MS        250
#define CALL_MS         30000
#define SONGS_PER_BATCH 500
#define REQUEST_BYTES   ((size_t)12 << 20)

#define AT(field) offsetof(struct tn_producer_config, field)

static const struct tn_opt producer_items[] = {
    {.name = "url",
     .type = TN_OPT_STRING,
     .offset = AT(url),
     .deflt = "http://127.0.0.1:8090",
     .help = "address of the tarn to send to"},
    {.name = "kind",
     .type = TN_OPT_CHOICE,
     .offset = AT(kind),
     .deflt = "player",
     .choices = "player,clicker",
     .help = "what is simulated: song plays or mouse clicks"},
    {.name = "stream",
     .type = TN_OPT_STRING,
     .offset = AT(stream),
     .deflt = "",
     .help = "stream (or path) of the events; empty = played_songs or clicks"},
    {.name = "songs",
     .type = TN_OPT_STRING,
     .offset = AT(songs_path),
     .deflt = "/songs",
     .help = "player: path that the songs are posted to first; empty = they are there"},
    {.name = "key-column",
     .type = TN_OPT_STRING,
     .offset = AT(key_column),
     .deflt = "id",
     .help = "player: key column of the plays' stream"},
    {.name = "value-column",
     .type = TN_OPT_STRING,
     .offset = AT(value_column),
     .deflt = "play",
     .help = "player: text column of the plays' stream"},
    {.name = "rate",
     .type = TN_OPT_DOUBLE,
     .offset = AT(rate),
     .deflt = "10",
     .help = "events a second; 0 = as fast as answers come"},
    {.name = "count",
     .type = TN_OPT_INT,
     .offset = AT(count),
     .deflt = "0",
     .min = 0,
     .max = INT64_MAX,
     .help = "stop after so many events; 0 = no limit"},
    {.name = "seconds",
     .type = TN_OPT_INT,
     .offset = AT(seconds),
     .deflt = "0",
     .min = 0,
     .max = 1000000000,
     .help = "stop after so many seconds; 0 = no limit"},
    {.name = "seed",
     .type = TN_OPT_INT,
     .offset = AT(seed),
     .deflt = "1",
     .min = INT64_MIN,
     .max = INT64_MAX,
     .help = "of the random generator: the same seed gives the same events"},
    {.name = "skew",
     .type = TN_OPT_DOUBLE,
     .offset = AT(skew),
     .deflt = "0",
     .help = "Zipf exponent of the songs' popularity; 0 = all alike"},
    {.name = "keys",
     .type = TN_OPT_INT,
     .offset = AT(keys_count),
     .deflt = "8",
     .min = 1,
     .max = 10000000,
     .help = "number of songs; the first eight have names"},
    {.name = "batch",
     .type = TN_OPT_INT,
     .offset = AT(batch),
     .deflt = "1000",
     .min = 1,
     .max = 50000,
     .help = "events a request at most; 1 = one request an event"},
    {.name = "exact",
     .type = TN_OPT_BOOL,
     .offset = AT(is_exact),
     .deflt = "false",
     .help = "send an Idempotency-Key with each request, so that repeats store nothing twice"},
    {.name = "quiet",
     .type = TN_OPT_BOOL,
     .offset = AT(is_quiet),
     .deflt = "false",
     .help = "no progress lines"},
};

const struct tn_opts tn_producer_opts = {"produce", producer_items,
                                         sizeof producer_items / sizeof *producer_items};

static const struct {
    const char *name, *author;
} songs[] = {
    {"The Good The Bad And The Ugly", "Ennio Morricone"},
    {"Believe", "Cher"},
    {"Still Loving You", "Scorpions"},
    {"Bohemian Rhapsody", "Queen"},
    {"Sometimes", "James"},
    {"Into The Unknown", "Frozen II"},
    {"Fox On The Run", "Sweet"},
    {"Perfect", "Ed Sheeran"},
};
#define SONGS_NAMED ((int64_t)(sizeof songs / sizeof *songs))

static const char *const users[] = {"Alex", "Edson", "Burr", "Sebi", "Kamesh"};
static const char *const buttons[] = {"left", "middle", "right"};

struct tn_producer {
    const struct tn_producer_config *config;
    struct tn_clock *clock;
    void (*progress)(void *ctx, const char *line);
    void *progress_ctx;
    struct tn_http_client *client;
    struct tn_producer_totals totals;
    uint64_t random;
    double *cdf; /* keys_count; NULL = uniform */
    struct tn_buf body;
    char path[300];
    char run_id[40]; /* prefix of the Idempotency-Keys */
    int64_t started_ns, told_ns, told_count, answer_ns;
    pthread_mutex_t lock;
    pthread_cond_t stopped;
    atomic_bool is_stopped;
};

/* ---- random ---- */

/* splitmix64 (public domain algorithm by S. Vigna). */
static uint64_t next_random(struct tn_producer *producer)
{
    uint64_t z = producer->random += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

static int64_t next_below(struct tn_producer *producer, int64_t n)
{
    return (int64_t)(next_random(producer) % (uint64_t)n);
}

/* 1 … keys_count; with skew the k-th is drawn with weight 1 / k^skew. */
static int64_t next_song(struct tn_producer *producer)
{
    int64_t n = producer->config->keys_count;
    if (!producer->cdf)
        return 1 + next_below(producer, n);
    double u = (double)(next_random(producer) >> 11) / 9007199254740992.0;
    int64_t low = 0, high = n - 1;
    while (low < high) {
        int64_t mid = (low + high) / 2;
        if (producer->cdf[mid] > u)
            high = mid;
        else
            low = mid + 1;
    }
    return low + 1;
}

static void zipf_init(struct tn_producer *producer)
{
    int64_t n = producer->config->keys_count;
    double sum = 0;
    if (producer->config->skew <= 0)
        return;
    producer->cdf = tn_alloc_array((size_t)n, sizeof *producer->cdf);
    for (int64_t k = 0; k < n; k++)
        producer->cdf[k] = sum += pow((double)(k + 1), -producer->config->skew);
    for (int64_t k = 0; k < n; k++)
        producer->cdf[k] /= sum;
}

/* ---- events ---- */

static void print_instant(struct tn_producer *producer, struct tn_buf *buf)
{
    int64_t now_ms = tn_wall_ms(producer->clock);
    time_t seconds = (time_t)(now_ms / 1000);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    tn_buf_printf(buf, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900, tm.tm_mon + 1,
                  tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)(now_ms % 1000));
}

static void print_play(struct tn_producer *producer, struct tn_buf *buf)
{
    int64_t song = next_song(producer);
    const char *user = users[next_below(producer, (int64_t)(sizeof users / sizeof *users))];
    tn_buf_add_byte(buf, '{');
    tn_buf_add_json(buf, tn_str_of(producer->config->key_column));
    tn_buf_printf(buf, ":%lld,", (long long)song);
    tn_buf_add_json(buf, tn_str_of(producer->config->value_column));
    tn_buf_add_text(buf, ":\"");
    print_instant(producer, buf);
    tn_buf_printf(buf, ";%s\"}\n", user);
}

static void print_click(struct tn_producer *producer, struct tn_buf *buf)
{
    uint64_t dice = next_random(producer);
    tn_buf_printf(buf, "{\"type\":\"clickevent\",\"mousebutton\":\"%s\",\"isnew\":%s}\n",
                  buttons[dice % 3], dice >> 32 & 1 ? "true" : "false");
}

static void print_song(struct tn_buf *buf, int64_t id)
{
    if (id <= SONGS_NAMED)
        tn_buf_printf(buf, "{\"author\":\"%s\",\"id\":%lld,\"name\":\"%s\"}\n",
                      songs[id - 1].author, (long long)id, songs[id - 1].name);
    else
        tn_buf_printf(buf, "{\"author\":\"Artist %lld\",\"id\":%lld,\"name\":\"Song %lld\"}\n",
                      (long long)id, (long long)id, (long long)id);
}

/* ---- sending ---- */

/* False: stopped meanwhile. */
static bool sleep_until(struct tn_producer *producer, int64_t until_ns)
{
    pthread_mutex_lock(&producer->lock);
    while (!atomic_load(&producer->is_stopped)) {
        int64_t left = until_ns - tn_mono_ns(producer->clock);
        if (left <= 0)
            break;
        (void)tn_cond_wait_for(&producer->stopped, &producer->lock, left);
    }
    bool is_stopped = atomic_load(&producer->is_stopped);
    pthread_mutex_unlock(&producer->lock);
    return !is_stopped;
}

/* One try. TN_OK: acknowledged; TN_AGAIN: try again after *ret_wait_ms. */
static enum tn_status send_once(struct tn_producer *producer, const char *path, const char *key,
                                int64_t *ret_wait_ms, bool *ret_is_unknown, struct tn_err *err)
{
    struct tn_http_header_pair headers[2] = {{"Content-Type", "application/x-ndjson"},
                                             {"Idempotency-Key", key}};
    struct tn_http_response response;
    int64_t from_ns = tn_mono_ns(producer->clock);
    producer->totals.requests++;
    *ret_wait_ms = RETRY_MS;
    enum tn_status st = tn_http_call(producer->client, "POST", path, headers, key[0] ? 2 : 1,
                                     tn_buf_str(&producer->body), &response, err);
    if (tn_failed(st)) {
        *ret_is_unknown = true;
        return key[0] ? TN_AGAIN : st;
    }
    producer->answer_ns = tn_mono_ns(producer->clock) - from_ns;
    if (response.status >= 200 && response.status < 300)
        return TN_OK;
    st = tn_http_response_error(&response, err);
    if (response.status == 503 || (response.status == 409 && key[0])) {
        if (response.retry_after_ms > 0)
            *ret_wait_ms = response.retry_after_ms;
        return TN_AGAIN;
    }
    return st;
}

/* The body, until it is acknowledged or its fate is unknown. */
static enum tn_status send_body(struct tn_producer *producer, const char *path, bool *ret_is_acked,
                                struct tn_err *err)
{
    char key[80] = "";
    *ret_is_acked = false;
    if (producer->config->is_exact)
        snprintf(key, sizeof key, "%s-%lld", producer->run_id, (long long)producer->totals.sent);
    for (int attempt = 0; attempt < RETRIES_MAX; attempt++) {
        int64_t wait_ms;
        bool is_unknown = false;
        enum tn_status st = send_once(producer, path, key, &wait_ms, &is_unknown, err);
        *ret_is_acked = st == TN_OK;
        if (st == TN_OK)
            return TN_OK;
        if (st != TN_AGAIN && !is_unknown)
            return st;
        if (st != TN_AGAIN && attempt == 0 && producer->totals.acknowledged == 0)
            return st; /* nobody is there */
        if (st != TN_AGAIN) {
            (void)sleep_until(producer, tn_mono_ns(producer->clock) + RETRY_MS * 1000000);
            return TN_OK;
        }
        producer->totals.retries++;
        if (!sleep_until(producer, tn_mono_ns(producer->clock) + wait_ms * 1000000))
            return TN_OK;
    }
    tn_err_prefix(err, "no request was accepted in %d tries", RETRIES_MAX);
    return err && tn_failed(err->code) ? err->code : TN_E_IO;
}

static enum tn_status send_songs(struct tn_producer *producer, struct tn_err *err)
{
    const struct tn_producer_config *config = producer->config;
    bool is_acked = true;
    if (strcmp(config->kind, "player") != 0 || config->songs_path[0] == 0)
        return TN_OK;
    for (int64_t id = 1; id <= config->keys_count && is_acked;) {
        tn_buf_reset(&producer->body);
        int64_t from = id;
        for (int i = 0; i < SONGS_PER_BATCH && id <= config->keys_count; i++)
            print_song(&producer->body, id++);
        TN_TRY(send_body(producer, config->songs_path, &is_acked, err));
        producer->totals.songs += is_acked ? id - from : 0;
        if (!is_acked && !atomic_load(&producer->is_stopped))
            return tn_err_set(err, TN_E_IO, "the answer to the songs was lost");
    }
    return TN_OK;
}

static void tell(struct tn_producer *producer, int64_t now_ns)
{
    struct tn_producer_totals *t = &producer->totals;
    char line[160];
    int64_t past_ns = now_ns - producer->told_ns;
    if (producer->config->is_quiet || !producer->progress || past_ns < 1000000000)
        return;
    snprintf(line, sizeof line, "%lld events, %.0f/s, answered in %.1f ms",
             (long long)t->acknowledged,
             (double)(t->acknowledged - producer->told_count) * 1e9 / (double)past_ns,
             (double)producer->answer_ns / 1e6);
    producer->progress(producer->progress_ctx, line);
    producer->told_ns = now_ns;
    producer->told_count = t->acknowledged;
}

/* Events that are due now; 0 = none yet. −1 = the run is over. */
static int64_t due(const struct tn_producer *producer, int64_t now_ns)
{
    const struct tn_producer_config *config = producer->config;
    int64_t left = config->count ? config->count - producer->totals.sent : INT64_MAX;
    int64_t elapsed_ns = now_ns - producer->started_ns;
    if (left <= 0 || atomic_load(&producer->is_stopped) ||
        (config->seconds && elapsed_ns >= config->seconds * 1000000000))
        return -1;
    int64_t n = config->batch;
    if (config->rate > 0) {
        double want = (double)elapsed_ns / 1e9 * config->rate + 1;
        n = want < 9e18 ? (int64_t)want - producer->totals.sent : config->batch;
    }
    n = n < config->batch ? n : config->batch;
    n = n < left ? n : left;
    return n > 0 ? n : 0;
}

static int64_t next_due_ns(const struct tn_producer *producer)
{
    double at = (double)producer->totals.sent / producer->config->rate * 1e9;
    int64_t next = producer->started_ns + (int64_t)at + 1;
    int64_t seconds = producer->config->seconds;
    int64_t end = producer->started_ns + seconds * 1000000000;
    return seconds && next > end ? end : next;
}

static enum tn_status send_events(struct tn_producer *producer, int64_t count, struct tn_err *err)
{
    bool is_player = strcmp(producer->config->kind, "player") == 0, is_acked;
    tn_buf_reset(&producer->body);
    for (int64_t i = 0; i < count; i++) {
        if (is_player)
            print_play(producer, &producer->body);
        else
            print_click(producer, &producer->body);
    }
    enum tn_status st = send_body(producer, producer->path, &is_acked, err);
    producer->totals.sent += count;
    if (is_acked)
        producer->totals.acknowledged += count;
    else
        producer->totals.unknown += count;
    return st;
}

enum tn_status tn_producer_run(struct tn_producer *producer, struct tn_producer_totals *ret_totals,
                               struct tn_err *err)
{
    enum tn_status st = send_songs(producer, err);
    producer->started_ns = producer->told_ns = tn_mono_ns(producer->clock);
    while (!tn_failed(st)) {
        int64_t now_ns = tn_mono_ns(producer->clock);
        int64_t count = due(producer, now_ns);
        tell(producer, now_ns);
        if (count < 0)
            break;
        if (count == 0)
            (void)sleep_until(producer, next_due_ns(producer));
        else
            st = send_events(producer, count, err);
    }
    producer->totals.elapsed_ms = (tn_mono_ns(producer->clock) - producer->started_ns) / 1000000;
    *ret_totals = producer->totals;
    return st;
}

void tn_producer_stop(struct tn_producer *producer)
{
    pthread_mutex_lock(&producer->lock);
    atomic_store(&producer->is_stopped, true);
    pthread_cond_signal(&producer->stopped);
    pthread_mutex_unlock(&producer->lock);
}

enum tn_status tn_producer_new(const struct tn_producer_config *config, struct tn_clock *clock,
                               void (*progress)(void *ctx, const char *line), void *ctx,
                               struct tn_producer **ret_producer, struct tn_err *err)
{
    struct tn_producer *producer = tn_alloc(sizeof *producer);
    const char *stream = config->stream && config->stream[0]   ? config->stream
                         : strcmp(config->kind, "player") == 0 ? "played_songs"
                                                               : "clicks";
    producer->config = config;
    producer->clock = clock;
    producer->progress = progress;
    producer->progress_ctx = ctx;
    producer->random = (uint64_t)config->seed * 0x2545F4914F6CDD1Du + 1;
    pthread_mutex_init(&producer->lock, NULL);
    pthread_cond_init(&producer->stopped, NULL);
    tn_buf_init(&producer->body, REQUEST_BYTES);
    snprintf(producer->path, sizeof producer->path, stream[0] == '/' ? "%s" : "/streams/%s",
             stream);
    snprintf(producer->run_id, sizeof producer->run_id, "produce-%llx",
             (unsigned long long)tn_wall_ms(clock) * 1000 +
                 (unsigned long long)(tn_mono_ns(clock) / 1000 % 1000));
    zipf_init(producer);
    enum tn_status st = tn_http_client_new(config->url, CALL_MS, &producer->client, err);
    if (tn_failed(st)) {
        tn_producer_free(producer);
        return st;
    }
    *ret_producer = producer;
    return TN_OK;
}

void tn_producer_free(struct tn_producer *producer)
{
    if (!producer)
        return;
    tn_http_client_free(producer->client);
    tn_buf_release(&producer->body);
    tn_free(producer->cdf);
    pthread_mutex_destroy(&producer->lock);
    pthread_cond_destroy(&producer->stopped);
    tn_free(producer);
}

void tn_producer_print(const struct tn_producer_totals *t, struct tn_buf *buf)
{
    tn_buf_printf(buf,
                  "songs=%lld sent=%lld acknowledged=%lld unknown=%lld requests=%lld retries=%lld "
                  "elapsed_ms=%lld events_per_s=%.0f",
                  (long long)t->songs, (long long)t->sent, (long long)t->acknowledged,
                  (long long)t->unknown, (long long)t->requests, (long long)t->retries,
                  (long long)t->elapsed_ms,
                  t->elapsed_ms ? (double)t->acknowledged * 1000.0 / (double)t->elapsed_ms : 0.0);
}
