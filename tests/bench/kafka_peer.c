/* What the Kafka benchmarks need besides tarn and Java: makes the topics' contents, is the bare
 * reference, and reads what tarn and Streams wrote.
 *
 *   kafka_peer load BOOTSTRAP TOPIC EVENTS KEYS ZIPF    record key = the event's song
 *   kafka_peer columns BOOTSTRAP TOPIC EVENTS           the same with columns c0 … c9 of 20 to 200
 * values kafka_peer bare BOOTSTRAP TOPIC     batch consumption, validating scan, hash count
 *   kafka_peer fold BOOTSTRAP TOPIC     last value of each key: {"n":N} or a big-endian long
 *
 * Each prints one line of NAME=VALUE; CPU seconds are those of this process (`load`: none). `bare`
 * and `fold` read from the beginning to the end as it is at their start, read_committed.
 * @thread main only, besides librdkafka's own
 */
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stream/base/hash.h"
#include "tests/bench/bare_core.h"

#define BATCH      4096
#define WAIT_MS    20000
#define PARTITIONS 64

static void die(const char *what, const char *why)
{
    fprintf(stderr, "kafka_peer: %s: %s\n", what, why);
    exit(1);
}

static rd_kafka_t *open_handle(rd_kafka_type_t type, const char *bootstrap,
                               const char *const (*settings)[2], size_t count)
{
    char text[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    if (rd_kafka_conf_set(conf, "bootstrap.servers", bootstrap, text, sizeof text))
        die("bootstrap.servers", text);
    for (size_t i = 0; i < count; i++)
        if (rd_kafka_conf_set(conf, settings[i][0], settings[i][1], text, sizeof text))
            die(settings[i][0], text);
    rd_kafka_t *rk = rd_kafka_new(type, conf, text, sizeof text);
    if (!rk)
        die("rd_kafka_new", text);
    return rk;
}

/* ---- load ---- */

static void produce_one(rd_kafka_t *rk, rd_kafka_topic_t *topic, struct tn_str key,
                        struct tn_str value)
{
    while (rd_kafka_produce(topic, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY,
                            (void *)(uintptr_t)value.ptr, value.len, key.ptr, key.len, NULL)) {
        if (rd_kafka_last_error() != RD_KAFKA_RESP_ERR__QUEUE_FULL)
            die("produce", rd_kafka_err2str(rd_kafka_last_error()));
        rd_kafka_poll(rk, 100);
    }
}

static rd_kafka_t *open_producer(const char *bootstrap)
{
    static const char *const settings[][2] = {{"enable.idempotence", "true"},
                                              {"partitioner", "murmur2_random"},
                                              {"linger.ms", "20"},
                                              {"batch.num.messages", "100000"},
                                              {"queue.buffering.max.messages", "500000"}};
    return open_handle(RD_KAFKA_PRODUCER, bootstrap, settings,
                       sizeof settings / sizeof settings[0]);
}

static void close_producer(rd_kafka_t *rk, rd_kafka_topic_t *topic)
{
    if (rd_kafka_flush(rk, 120000))
        die("flush", "not everything was acknowledged");
    rd_kafka_topic_destroy(topic);
    rd_kafka_destroy(rk);
}

static void load(const char *bootstrap, const char *name, const struct events *events)
{
    rd_kafka_t *rk = open_producer(bootstrap);
    rd_kafka_topic_t *topic = rd_kafka_topic_new(rk, name, NULL);
    for (uint64_t i = 0; i < events->count; i++) {
        struct tn_str song = {0};
        int64_t ms = 0;
        if (!bare_scan(events->items[i], &song, &ms))
            die("events", "malformed");
        produce_one(rk, topic, song, events->items[i]);
        if (i % 1000 == 0)
            rd_kafka_poll(rk, 0);
    }
    close_producer(rk, topic);
    printf("events=%llu bytes=%llu\n", (unsigned long long)events->count,
           (unsigned long long)events->bytes_count);
}

static void load_keys(const char *bootstrap, char **argv)
{
    struct events_spec spec = {
        11, strtoull(argv[1], NULL, 10), (uint32_t)atoi(argv[2]), atof(argv[3]), 0, false};
    struct events events;
    events_make(&spec, &events);
    load(bootstrap, argv[0], &events);
    events_free(&events);
}

static void load_columns(const char *bootstrap, char **argv)
{
    struct events events;
    events_make_columns(strtoull(argv[1], NULL, 10), &events);
    load(bootstrap, argv[0], &events);
    events_free(&events);
}

/* ---- reading a topic ---- */

struct reading {
    rd_kafka_t *rk;
    rd_kafka_topic_t *topic;
    rd_kafka_queue_t *queue;
    int left; /* partitions not at their end */
    uint64_t records;
    struct bare_table *table;
    struct bare_counts counts;
};

static int partitions_of(rd_kafka_t *rk, rd_kafka_topic_t *topic, const char *name)
{
    const struct rd_kafka_metadata *metadata = NULL;
    if (rd_kafka_metadata(rk, 0, topic, &metadata, WAIT_MS) || metadata->topic_cnt != 1)
        die(name, "no metadata");
    int count = metadata->topics[0].partition_cnt;
    rd_kafka_metadata_destroy(metadata);
    if (count < 1 || count > PARTITIONS)
        die(name, "no such topic");
    return count;
}

static void reading_open(struct reading *reading, const char *bootstrap, const char *name)
{
    static const char *const settings[][2] = {{"enable.partition.eof", "true"},
                                              {"enable.auto.commit", "false"},
                                              {"isolation.level", "read_committed"}};
    *reading = (struct reading){.rk = open_handle(RD_KAFKA_CONSUMER, bootstrap, settings, 3),
                                .table = bare_table_new(true)};
    reading->topic = rd_kafka_topic_new(reading->rk, name, NULL);
    reading->queue = rd_kafka_queue_new(reading->rk);
    reading->left = partitions_of(reading->rk, reading->topic, name);
    for (int p = 0; p < reading->left; p++)
        if (rd_kafka_consume_start_queue(reading->topic, p, RD_KAFKA_OFFSET_BEGINNING,
                                         reading->queue))
            die(name, rd_kafka_err2str(rd_kafka_last_error()));
}

static void reading_run(struct reading *reading,
                        void (*each)(struct reading *reading, const rd_kafka_message_t *msg))
{
    static rd_kafka_message_t *messages[BATCH];
    while (reading->left) {
        ssize_t count = rd_kafka_consume_batch_queue(reading->queue, 100, messages, BATCH);
        for (ssize_t i = 0; i < count; i++) {
            if (!messages[i]->err) {
                reading->records++;
                each(reading, messages[i]);
            } else if (messages[i]->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
                reading->left--;
            }
            rd_kafka_message_destroy(messages[i]);
        }
    }
}

static void count_event(struct reading *reading, const rd_kafka_message_t *msg)
{
    struct tn_str song = {0};
    int64_t ms = 0;
    if (bare_scan((struct tn_str){msg->payload, msg->len}, &song, &ms))
        (*bare_table_at(reading->table, song))++;
    else
        reading->counts.malformed++;
    reading->counts.ms_sum += ms;
}

static void fold_record(struct reading *reading, const rd_kafka_message_t *msg)
{
    const unsigned char *value = msg->payload;
    uint64_t n = 0;
    if (msg->len == 8 && value[0] != '{')
        for (int i = 0; i < 8; i++)
            n = n << 8 | value[i];
    else
        for (size_t i = 0; i < msg->len; i++)
            if (value[i] >= '0' && value[i] <= '9')
                n = n * 10 + (uint64_t)(value[i] - '0');
    uint64_t *count = bare_table_at(reading->table, (struct tn_str){msg->key, msg->key_len});
    reading->counts.events += n - *count; /* the sum of the last ones */
    *count = n;
}

static void read_topic(const char *bootstrap, const char *name,
                       void (*each)(struct reading *reading, const rd_kafka_message_t *msg))
{
    struct reading reading;
    double cpu = bench_cpu(), wall = bench_wall();
    reading_open(&reading, bootstrap, name);
    reading_run(&reading, each);
    struct bare_counts counts = reading.counts;
    bare_table_end(reading.table, &counts);
    cpu = bench_cpu() - cpu;
    wall = bench_wall() - wall;
    printf("records=%llu sum=%llu keys=%llu checksum=%llu malformed=%llu cpu=%.3f wall=%.3f\n",
           (unsigned long long)reading.records,
           (unsigned long long)(counts.events ? counts.events : reading.records),
           (unsigned long long)counts.keys, (unsigned long long)counts.checksum,
           (unsigned long long)counts.malformed, cpu, wall);
    fflush(stdout);
    _Exit(0); /* handles take a second to end */
}

int main(int argc, char **argv)
{
    if (argc == 7 && strcmp(argv[1], "load") == 0)
        load_keys(argv[2], argv + 3);
    else if (argc == 5 && strcmp(argv[1], "columns") == 0)
        load_columns(argv[2], argv + 3);
    else if (argc == 4 && strcmp(argv[1], "bare") == 0)
        read_topic(argv[2], argv[3], count_event);
    else if (argc == 4 && strcmp(argv[1], "fold") == 0)
        read_topic(argv[2], argv[3], fold_record);
    else
        die("usage", "load BOOTSTRAP TOPIC EVENTS KEYS ZIPF | columns BOOTSTRAP TOPIC EVENTS | "
                     "bare|fold BOOTSTRAP TOPIC");
    return 0;
}
