/* Paced events into one topic, and when each probe among them comes out of another one and is seen
 * by /sql. Latency and take-over benchmarks beside Kafka.
 *
 *   kafka_pace BOOTSTRAP IN OUT RATE SECONDS song|ms [HOST:PORT]
 *
 * Every PROBE_EVERY-th event has a key of its own ("p<number>" as record key and song, and as ms
 * FIRST_MS + number); the others have 10,000 keys in turn. Prints "started" once the first probe is
 * through, and at the end NAME=VALUE: milliseconds from produce() to the record of that probe in
 * OUT (read_committed; key as text, or as an int32) and to its row in an answer of /sql; probes
 * that did not come out within WAIT_S after the last one; the longest time without a record in one
 * of OUT's partitions.
 * @thread main produces; reader: sets seen_ns; asker: /sql
 */
#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "tests/bench/events.h"
#include "tests/support/raw_http.h"

#define PROBE_EVERY 50
#define FIRST_MS    1000000
#define PROBES_MAX  200000
#define WAIT_S      60
#define PARTITIONS  64
#define ASK_EVERY   5 /* probes; and 0.5 ms between two questions */

static struct {
    const char *bootstrap, *in, *out, *address;
    bool is_by_ms;
    atomic_llong sent_ns[PROBES_MAX], seen_ns[PROBES_MAX], asked_ns[PROBES_MAX];
    atomic_int sent_count, asked_to;
    atomic_bool is_over;
    int64_t gap_ns, last_ns[PARTITIONS];
} run;

static int64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void pause_us(long us)
{
    struct timespec ts = {us / 1000000, us % 1000000 * 1000};
    nanosleep(&ts, NULL);
}

static rd_kafka_t *open_handle(rd_kafka_type_t type)
{
    char text[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "bootstrap.servers", run.bootstrap, text, sizeof text);
    rd_kafka_conf_set(conf, "log.configuration.warnings", "false", text, sizeof text);
    rd_kafka_conf_set(conf, "linger.ms", "0", text, sizeof text);
    rd_kafka_conf_set(conf, "partitioner", "murmur2_random", text, sizeof text);
    rd_kafka_conf_set(conf, "isolation.level", "read_committed", text, sizeof text);
    rd_kafka_t *rk = rd_kafka_new(type, conf, text, sizeof text);
    if (!rk) {
        fprintf(stderr, "kafka_pace: %s\n", text);
        exit(1);
    }
    return rk;
}

/* ---- the output topic ---- */

/* −1: no probe. */
static int probe_of(const rd_kafka_message_t *msg)
{
    char text[24] = "";
    const unsigned char *key = msg->key;
    if (run.is_by_ms && msg->key_len == 4) {
        int64_t ms = (int64_t)key[0] << 24 | key[1] << 16 | key[2] << 8 | key[3];
        return ms >= FIRST_MS ? (int)(ms - FIRST_MS) : -1;
    }
    if (msg->key_len == 0 || msg->key_len >= sizeof text)
        return -1;
    memcpy(text, key, msg->key_len);
    if (!run.is_by_ms)
        return text[0] == 'p' ? atoi(text + 1) : -1;
    return atoi(text) >= FIRST_MS ? atoi(text) - FIRST_MS : -1;
}

static void note(const rd_kafka_message_t *msg)
{
    int64_t now = now_ns();
    int probe = probe_of(msg);
    long long none = 0;
    int64_t *last_ns = &run.last_ns[(uint32_t)msg->partition % PARTITIONS];
    if (*last_ns && now - *last_ns > run.gap_ns)
        run.gap_ns = now - *last_ns;
    *last_ns = now;
    if (probe >= 0 && probe < PROBES_MAX)
        atomic_compare_exchange_strong(&run.seen_ns[probe], &none, now);
}

static void *reader_main(void *arg)
{
    static rd_kafka_message_t *messages[1000];
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_t *rk = open_handle(RD_KAFKA_CONSUMER);
    rd_kafka_topic_t *topic = rd_kafka_topic_new(rk, run.out, NULL);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    if (rd_kafka_metadata(rk, 0, topic, &metadata, 20000))
        exit(1);
    for (int p = 0; p < metadata->topics[0].partition_cnt; p++)
        rd_kafka_consume_start_queue(topic, p, RD_KAFKA_OFFSET_END, queue);
    while (!atomic_load(&run.is_over)) {
        ssize_t count = rd_kafka_consume_batch_queue(queue, 10, messages, 1000);
        for (ssize_t i = 0; i < count; i++) {
            if (!messages[i]->err)
                note(messages[i]);
            rd_kafka_message_destroy(messages[i]);
        }
    }
    return arg;
}

/* ---- /sql ---- */

static bool ask(int *fd, int probe)
{
    char body[128], text[512];
    static char answer[65536];
    snprintf(body, sizeof body,
             run.is_by_ms ? "SELECT n FROM counts WHERE ms = %d"
                          : "SELECT n FROM counts WHERE song = 'p%d'",
             run.is_by_ms ? FIRST_MS + probe : probe);
    snprintf(text, sizeof text,
             "POST /sql HTTP/1.1\r\nHost: %s\r\nAccept: application/json\r\n"
             "Content-Type: text/plain\r\nContent-Length: %zu\r\n\r\n%s",
             run.address, strlen(body), body);
    if (*fd < 0 && (*fd = raw_connect(run.address)) < 0)
        return false;
    if (!raw_text(*fd, text) || !raw_read_until(*fd, "]}", answer, sizeof answer)) {
        close(*fd);
        *fd = -1;
        return false;
    }
    return strstr(answer, "\n[1]") != NULL;
}

static void *asker_main(void *arg)
{
    int fd = -1;
    for (int probe = 0; !atomic_load(&run.is_over); probe += ASK_EVERY) {
        while (atomic_load(&run.sent_count) <= probe && !atomic_load(&run.is_over))
            pause_us(200);
        if (probe + ASK_EVERY < atomic_load(&run.sent_count))
            probe = (atomic_load(&run.sent_count) / ASK_EVERY - 1) * ASK_EVERY; /* the newest */
        while (!atomic_load(&run.is_over) && !ask(&fd, probe))
            pause_us(500);
        if (!atomic_load(&run.is_over))
            atomic_store(&run.asked_ns[probe], now_ns());
    }
    return arg;
}

/* ---- producing ---- */

static void send_one(rd_kafka_topic_t *topic, long number)
{
    char key[32], value[160];
    bool is_probe = number % PROBE_EVERY == 0;
    int probe = (int)(number / PROBE_EVERY);
    snprintf(key, sizeof key, is_probe ? "p%d" : "song-%d",
             is_probe ? probe : (int)(number * 7919 % 10000));
    int len = snprintf(value, sizeof value,
                       "{\"song\":\"%s\",\"ms\":%d,\"user\":\"u%ld\",\"title\":\"Some plain "
                       "title of a song\",\"dev\":{\"os\":\"linux\"}}",
                       key, is_probe ? FIRST_MS + probe : (int)(number * 31 % 5000), number % 977);
    if (is_probe)
        atomic_store(&run.sent_ns[probe], now_ns());
    rd_kafka_produce(topic, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY, value, (size_t)len, key,
                     strlen(key), NULL);
    if (is_probe)
        atomic_store(&run.sent_count, probe + 1);
}

static bool all_seen(int count)
{
    for (int i = count; i-- > 0;)
        if (!atomic_load(&run.seen_ns[i]))
            return false;
    return true;
}

/* Probes until the first is through: topics, group and caches are warm then. */
static long warm_up(rd_kafka_t *rk, rd_kafka_topic_t *topic)
{
    long number = 0;
    for (int64_t until = now_ns() + WAIT_S * 1000000000ll; now_ns() < until; pause_us(20000)) {
        send_one(topic, number);
        rd_kafka_poll(rk, 0);
        number += PROBE_EVERY;
        if (number > 20 * PROBE_EVERY && all_seen(10))
            return number;
    }
    fprintf(stderr, "kafka_pace: nothing came out of %s\n", run.out);
    exit(1);
}

static void produce(long rate, long seconds, int *ret_first)
{
    rd_kafka_t *rk = open_handle(RD_KAFKA_PRODUCER);
    rd_kafka_topic_t *topic = rd_kafka_topic_new(rk, run.in, NULL);
    long first = warm_up(rk, topic), done = 0;
    *ret_first = (int)(first / PROBE_EVERY);
    printf("started\n");
    fflush(stdout);
    int64_t start = now_ns();
    run.gap_ns = 0;
    while (done < rate * seconds) {
        long due = (long)((double)(now_ns() - start) * 1e-9 * (double)rate);
        for (; done < due && done < rate * seconds; done++)
            send_one(topic, first + done);
        rd_kafka_poll(rk, 0);
        pause_us(1000);
    }
    rd_kafka_flush(rk, 30000);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_percentiles(const char *name, const atomic_llong *ends, int first)
{
    static double values[PROBES_MAX];
    int count = 0, missing = 0;
    for (int i = first; i < atomic_load(&run.sent_count); i++)
        if (ends[i])
            values[count++] = (double)(ends[i] - run.sent_ns[i]) * 1e-6;
        else
            missing++;
    if (!count)
        return;
    qsort(values, (size_t)count, sizeof *values, compare);
    printf("%s_p50=%.2f %s_p99=%.2f %s_max=%.2f %s_probes=%d %s_missing=%d ", name,
           values[count / 2], name, values[count * 99 / 100], name, values[count - 1], name, count,
           name, missing);
}

int main(int argc, char **argv)
{
    pthread_t reader, asker;
    int first = 0;
    if (argc < 7) {
        fprintf(stderr, "usage: kafka_pace BOOTSTRAP IN OUT RATE SECONDS song|ms [HOST:PORT]\n");
        return 2;
    }
    run.bootstrap = argv[1];
    run.in = argv[2];
    run.out = argv[3];
    run.is_by_ms = strcmp(argv[6], "ms") == 0;
    run.address = argc > 7 ? argv[7] : NULL;
    pthread_create(&reader, NULL, reader_main, NULL);
    if (run.address)
        pthread_create(&asker, NULL, asker_main, NULL);
    produce(atol(argv[4]), atol(argv[5]), &first);
    for (int64_t until = now_ns() + WAIT_S * 1000000000ll;
         now_ns() < until && !all_seen(atomic_load(&run.sent_count));)
        pause_us(10000);
    atomic_store(&run.is_over, true);
    pthread_join(reader, NULL);
    print_percentiles("out", run.seen_ns, first);
    print_percentiles("sql", run.asked_ns, first);
    printf("gap=%.1f\n", (double)run.gap_ns * 1e-6);
    fflush(stdout);
    _Exit(0);
}
