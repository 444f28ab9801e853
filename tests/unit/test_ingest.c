/* HTTP ingest over a real server and the embedded log: forms of bodies, keys and partitions, errors
 * that store nothing, declared paths, default members, raw bytes, tombstones, Idempotency-Key with
 * failures and restarts, event streams. Covers connectors/ingest*.c and http_events.c.
 *
 * A proxy stands before the log, so that appends can fail or get lost and end_durable can be held
 * back.
 */
#include <inttypes.h>

#include "connectors/formats.h"
#include "connectors/http_client.h"
#include "connectors/ingest.h"
#include "connectors/producer.h"
#include "stream/base/hash.h"
#include "stream/base/mem.h"
#include "tests/check.h"
#include "tests/support/raw_http.h"
#include "tests/support/store_fixture.h"
#include "tests/support/test_clock.h"

/* ---- log proxy ---- */

struct proxy_log {
    struct tn_log base;
    struct tn_log *real;
    enum tn_status fail; /* answer of the next appends to `fail_partition` (−1: any) */
    int32_t fail_partition;
    _Atomic bool is_keys_lost; /* "done" records of Idempotency-Keys never reach the disk */
    _Atomic int keys_appends;
    _Atomic int64_t durable_back; /* end_durable is so much lower */
};

static struct proxy_log proxy;

static enum tn_status proxy_create(struct tn_log *log, const struct tn_topic_spec *spec,
                                   struct tn_err *err)
{
    (void)log;
    return proxy.real->type->topic_create(proxy.real, spec, err);
}

static enum tn_status proxy_find(struct tn_log *log, const char *name, struct tn_topic *ret_topic,
                                 struct tn_err *err)
{
    (void)log;
    return proxy.real->type->topic_find(proxy.real, name, ret_topic, err);
}

static enum tn_status proxy_offsets(struct tn_log *log, const struct tn_topic *topic,
                                    int32_t partition, struct tn_offsets *ret, struct tn_err *err)
{
    (void)log;
    enum tn_status st = proxy.real->type->offsets(proxy.real, topic, partition, ret, err);
    if (st == TN_OK)
        ret->end_durable -= proxy.durable_back;
    return st;
}

static enum tn_status proxy_reader(struct tn_log *log, struct tn_wake *wake,
                                   struct tn_log_reader **ret_reader, struct tn_err *err)
{
    (void)log;
    return proxy.real->type->reader_open(proxy.real, wake, ret_reader, err);
}

static void proxy_append(struct tn_log *log, const struct tn_topic *topic, int32_t partition,
                         struct tn_records *records, tn_append_done done, void *ctx)
{
    (void)log;
    bool is_keys = strstr(topic->name, "-ingest-keys") != NULL;
    if (!is_keys && proxy.fail && (proxy.fail_partition < 0 || proxy.fail_partition == partition)) {
        struct tn_err err = TN_ERR_INIT;
        (void)tn_err_set(&err, proxy.fail, "no room");
        done(ctx, proxy.fail, -1, &err);
        return;
    }
    if (is_keys && proxy.is_keys_lost && proxy.keys_appends++ > 0) {
        done(ctx, TN_OK, 0, NULL);
        return;
    }
    proxy.real->type->append(proxy.real, topic, partition, records, done, ctx);
}

static struct tn_log_type proxy_type;

/* ---- streams ---- */

enum { SONGS, PLAYS, CLICKS, TEXTS, KEYLESS, KEYED, STREAMS_COUNT };

static struct tn_field songs_fields[] = {{{"id", 2}, NULL}, {{"name", 4}, NULL}, {{"op", 2}, NULL}};
static struct tn_field plays_fields[] = {{{"song_id", 7}, NULL}, {{"play", 4}, NULL}};
static struct tn_field clicks_fields[] = {{{"type", 4}, NULL}};
static struct tn_field texts_fields[] = {{{"k", 1}, NULL}, {{"a", 1}, NULL}, {{"b", 1}, NULL}};
static struct tn_field keyed_fields[] = {{{"song_id", 7}, NULL}, {{"type", 4}, NULL}};
static struct tn_schema schemas[STREAMS_COUNT] = {{3, songs_fields},  {2, plays_fields},
                                                  {1, clicks_fields}, {3, texts_fields},
                                                  {1, clicks_fields}, {2, keyed_fields}};
static struct tn_topic_decl decls[STREAMS_COUNT];
static struct tn_ingest_target targets[STREAMS_COUNT];
static const char *const paths[STREAMS_COUNT] = {"/songs", NULL, "/function/clickevent-ingest",
                                                 NULL,     NULL, NULL};
static _Atomic int64_t catalog_version = 1;
static int pins;

static void streams_init(void)
{
    const struct tn_type *integer = tn_type_of(TN_K_INTEGER), *text = tn_type_of(TN_K_VARCHAR);
    songs_fields[0].type = plays_fields[0].type = texts_fields[1].type = integer;
    keyed_fields[0].type = integer;
    keyed_fields[1].type = text;
    songs_fields[1].type = songs_fields[2].type = plays_fields[1].type = text;
    clicks_fields[0].type = texts_fields[0].type = texts_fields[2].type = text;
    static const char *const topics[] = {"songs", "played-songs", "clicks",
                                         "texts", "keyless",      "keyed"};
    for (int i = 0; i < STREAMS_COUNT; i++) {
        decls[i] = (struct tn_topic_decl){.topic = topics[i],
                                          .schema = &schemas[i],
                                          .keys_count = 1,
                                          .key_format = &tn_format_kafka,
                                          .value_format = &tn_format_json,
                                          .is_key_bare = true,
                                          .partitions_count = 12,
                                          .timestamp_column = -1};
        targets[i] = (struct tn_ingest_target){
            .name = topics[i], .decl = &decls[i], .is_ingest_path = paths[i] != NULL};
    }
    decls[CLICKS].keys_count = decls[KEYLESS].keys_count = 0;
    decls[PLAYS].value_format = &tn_format_kafka;
    decls[PLAYS].is_value_bare = true;
    decls[TEXTS].value_format = &tn_format_delimited;
    targets[SONGS].reply_status = 201;
    targets[SONGS].event_text = "Song {id} processed";
    targets[SONGS].defaults = "{\"op\":\"ADD\"}";
    targets[CLICKS].reply_text = "Message Handled";
}

static int64_t resolver_version(struct tn_ingest_resolver *resolver)
{
    (void)resolver;
    return catalog_version;
}

static enum tn_status resolver_find(struct tn_ingest_resolver *resolver, struct tn_str name,
                                    bool is_path, struct tn_ingest_target *ret_target,
                                    struct tn_err *err)
{
    (void)resolver;
    for (int i = 0; i < STREAMS_COUNT; i++)
        if (tn_str_eq(name, tn_str_of(is_path ? paths[i] : targets[i].name))) {
            *ret_target = targets[i];
            pins++;
            return TN_OK;
        }
    return tn_err_set(err, TN_E_NAME, "there is no stream '%.*s'", TN_STR_FMT(name));
}

static void resolver_release(struct tn_ingest_resolver *resolver, struct tn_ingest_target *target)
{
    (void)resolver;
    pins -= target->name != NULL;
}

static void resolver_each(struct tn_ingest_resolver *resolver,
                          void (*each)(void *ctx, const char *name), void *ctx)
{
    (void)resolver;
    for (int i = 0; i < STREAMS_COUNT; i++)
        if (paths[i])
            each(ctx, targets[i].name);
}

static struct tn_ingest_resolver resolver = {resolver_version, resolver_find, resolver_release,
                                             resolver_each};

/* ---- fixture ---- */

static struct store_fixture fixture;
static struct tn_metrics *metrics;
static struct tn_http_server *server;
static struct tn_ingest *ingest;
static struct tn_http_client *client;
static struct tn_http_response answer;
static int64_t keys_max;

static void ingest_up(void)
{
    struct tn_err err = TN_ERR_INIT;
    struct tn_http_config http;
    char url[160];
    proxy_type = *fixture.log->type;
    proxy_type.topic_create = proxy_create;
    proxy_type.topic_find = proxy_find;
    proxy_type.offsets = proxy_offsets;
    proxy_type.reader_open = proxy_reader;
    proxy_type.append = proxy_append;
    proxy = (struct proxy_log){{&proxy_type}, fixture.log, TN_OK, -1, false, 0, 0};
    struct tn_ingest_config config = {.application_id = "app",
                                      .log = &proxy.base,
                                      .formats = tn_formats_builtin(),
                                      .clock = &fixture.clock.base,
                                      .metrics = metrics = tn_metrics_new(),
                                      .resolver = &resolver,
                                      .idempotency_keys_max = keys_max};
    tn_http_config_init(&http);
    http.listen = "127.0.0.1:0";
    http.ingest_bytes_max = 1 << 20;
    CHECK_OK(tn_http_open(&http, &test_clock, metrics, &server, &err), &err);
    CHECK_OK(tn_ingest_open(&config, &ingest, &err), &err);
    tn_ingest_routes(ingest, server);
    CHECK_OK(tn_http_start(server, &err), &err);
    snprintf(url, sizeof url, "http://%s", tn_http_address(server));
    CHECK_OK(tn_http_client_new(url, 20000, &client, &err), &err);
}

static void ingest_down(void)
{
    tn_http_client_free(client);
    tn_http_stop(server, 1000);
    tn_ingest_close(ingest);
    tn_http_close(server);
    tn_metrics_free(metrics);
    CHECK_INT(pins, 0);
}

static void topics_make(void)
{
    struct tn_err err = TN_ERR_INIT;
    for (int i = 0; i < STREAMS_COUNT; i++) {
        struct tn_topic_spec spec = {.name = decls[i].topic,
                                     .partitions_count = 12,
                                     .cleanup = TN_CLEANUP_DELETE,
                                     .retention_ms = -1,
                                     .retention_bytes = -1};
        CHECK_OK(fixture.log->type->topic_create(fixture.log, &spec, &err), &err);
    }
}

/* Number of records of all partitions. */
static int64_t records_of(const char *name)
{
    struct tn_topic topic;
    struct tn_err err = TN_ERR_INIT;
    int64_t sum = 0;
    CHECK_OK(fixture.log->type->topic_find(fixture.log, name, &topic, &err), &err);
    for (int32_t p = 0; p < topic.partitions_count; p++) {
        struct tn_offsets offsets;
        CHECK_OK(fixture.log->type->offsets(fixture.log, &topic, p, &offsets, &err), &err);
        sum += offsets.end_visible;
    }
    return sum;
}

/* The newest record of one partition; the caller unrefs. */
static struct tn_records *last_record(const char *name, int32_t partition)
{
    struct tn_topic topic;
    struct tn_err err = TN_ERR_INIT;
    struct tn_offsets offsets = {0};
    struct tn_log_reader *reader;
    struct tn_read read = {0};
    CHECK_OK(fixture.log->type->topic_find(fixture.log, name, &topic, &err), &err);
    CHECK_OK(fixture.log->type->offsets(fixture.log, &topic, partition, &offsets, &err), &err);
    CHECK_OK(fixture.log->type->reader_open(fixture.log, NULL, &reader, &err), &err);
    CHECK_OK(fixture.log->type->read(reader, &topic, partition, offsets.end_visible - 1, 1 << 20,
                                     &read, &err),
             &err);
    fixture.log->type->reader_close(reader);
    return read.records;
}

static void check_last(const char *topic, int32_t partition, const char *key, size_t key_len,
                       const char *value)
{
    struct tn_records *records = last_record(topic, partition);
    CHECK(records != NULL);
    if (!records)
        return;
    struct tn_str k = records->keys[0], v = records->values[0];
    CHECK(key ? tn_str_eq(k, (struct tn_str){key, key_len}) : k.ptr == NULL);
    if (value)
        CHECK_STR(v, value);
    else
        CHECK(v.ptr == NULL);
    tn_records_unref(records);
}

static int call(const char *method, const char *path, const char *type, const char *header,
                const char *header_value, struct tn_str body)
{
    struct tn_err err = TN_ERR_INIT;
    struct tn_http_header_pair headers[2];
    size_t count = 0;
    if (type)
        headers[count++] = (struct tn_http_header_pair){"Content-Type", type};
    if (header)
        headers[count++] = (struct tn_http_header_pair){header, header_value};
    CHECK_OK(tn_http_call(client, method, path, headers, count, body, &answer, &err), &err);
    return err.code ? 0 : answer.status;
}

static int post(const char *path, const char *body)
{
    return call("POST", path, "application/json", NULL, NULL, tn_str_of(body));
}

/* ---- tests ---- */

static void test_forms(void)
{
    CHECK_INT(post("/streams/songs", "{\"id\":1, \"name\":\"Bel\\u00e9ve\",\"op\":\"X\"}"), 201);
    CHECK_STR(answer.body, "{\"accepted\":1,\"offsets\":{\"0\":0}}\n");
    check_last("songs", 0, "\0\0\0\1", 4, "{\"id\":1, \"name\":\"Bel\\u00e9ve\",\"op\":\"X\"}");
    CHECK_INT(post("/streams/songs", " [ {\"id\":2} ,{\"ID\":3,\"op\":\"ADD\"}, 7, null ] "), 201);
    CHECK(memmem(answer.body.ptr, answer.body.len, "\"accepted\":4", 12) != NULL);
    check_last("songs", 11, "\0\0\0\2", 4, "{\"id\":2,\"op\":\"ADD\"}");
    check_last("songs", 7, "\0\0\0\3", 4, "{\"ID\":3,\"op\":\"ADD\"}");
    CHECK_INT(records_of("songs"), 5);
    CHECK_INT(post("/streams/songs", "{\"id\":4}\n{\"id\":4,\n \"name\":\"x\"}\r\n\n {\"id\":4}"),
              201);
    CHECK_INT(records_of("songs"), 8);
    CHECK_INT(post("/streams/songs", "[]"), 201);
    CHECK_STR(answer.body, "{\"accepted\":0,\"offsets\":{}}\n");
    CHECK_INT(call("POST", "/streams/keyless", "application/x-ndjson", NULL, NULL,
                   TN_STR("{\"type\":\"a\"}\r\n\n  {\"type\":\"b\"} \n[1]\n")),
              200);
    CHECK_STR(answer.body, "{\"accepted\":3,\"offsets\":{\"0\":0}}\n");
    check_last("keyless", 0, NULL, 0, "[1]");
    /* curl -d sends this type; it is JSON all the same */
    CHECK_INT(call("POST", "/streams/keyless", "application/x-www-form-urlencoded", NULL, NULL,
                   TN_STR("{}")),
              200);
    CHECK_STR(answer.body, "{\"accepted\":1,\"offsets\":{\"1\":0}}\n");
    CHECK_INT(call("POST", "/streams/songs", NULL, "X-Tarn-Key", "9", TN_STR("{\"id\":1}")), 201);
    check_last("songs", tn_partition_of("\0\0\0\x9", 4, 12), "\0\0\0\x9", 4,
               "{\"id\":1,\"op\":\"ADD\"}");
    /* A key that does not fit is a null key here; the record itself is judged when it is read. */
    int64_t before = records_of("songs");
    CHECK_INT(post("/streams/songs", "{\"id\":\"one\"}"), 201);
    CHECK_INT(records_of("songs"), before + 1);
}

static void test_paths(void)
{
    CHECK_INT(post("/songs", "{\"id\":5,\"name\":\"Sometimes\"}"), 201);
    check_last("songs", 2, "\0\0\0\5", 4, "{\"id\":5,\"name\":\"Sometimes\",\"op\":\"ADD\"}");
    CHECK_INT(post("/function/clickevent-ingest",
                   "{\"type\":\"clickevent\",\"mousebutton\":\"left\",\"isnew\":true}"),
              200);
    CHECK_STR(answer.body, "Message Handled");
    CHECK_STR(answer.content_type, "text/plain; charset=utf-8");
    CHECK_INT(records_of("clicks"), 1);
    CHECK_INT(post("/function/other", "{}"), 404);
    CHECK_INT(post("/streams/nothing", "{}"), 404);
    CHECK(memmem(answer.body.ptr, answer.body.len, "there is no stream 'nothing'", 28) != NULL);
    /* An object gets its defaults also when it is empty. */
    CHECK_INT(post("/songs", "{ }"), 201);
    int64_t seen = 0;
    for (int32_t p = 0; p < 12 && !seen; p++) {
        struct tn_records *records = last_record("songs", p);
        if (records && records->count && !records->keys[0].ptr &&
            tn_str_eq(records->values[0], TN_STR("{ \"op\":\"ADD\"}")))
            seen++;
        tn_records_unref(records);
    }
    CHECK_INT(seen, 1);
}

static void test_refused(void)
{
    static const struct {
        const char *body;
        const char *message;
    } cases[] = {
        {"", "the body is empty"},
        {" \n", "the body is empty"},
        {"{\"id\":1", "line 1, byte 8: object without closing brace"},
        {"[{\"id\":1},{\"id\":2]", "line 1, byte 18: expected ',' or '}'"},
        {"{\"id\":1}\n{\"id\":}", "line 2, byte 7: expected a JSON value"},
        {"{\"id\":1}{\"id\":2}", "line 1, byte 9: text after the JSON value"},
        {"[1] x", "line 1, byte 5: text after the array"},
        {"[1,]", "expected a JSON value"},
        {"{'id':1}", "expected a member name in quotes"},
        {"{\"id\":NaN}", "expected a JSON value"},
        {"{\"name\":\"\xff\"}", "invalid UTF-8"},
        {"{\"name\":\"\\ud800\"}", "byte 10"},
        {"\xef\xbb\xbf{}", "expected a JSON value"},
    };
    int64_t songs = records_of("songs"), keyless = records_of("keyless");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int status = post("/streams/songs", cases[i].body);
        bool is_named = memmem(answer.body.ptr, answer.body.len, cases[i].message,
                               strlen(cases[i].message)) != NULL;
        if (status != 400 || !is_named)
            fprintf(stderr, "case %zu: %d %.*s", i, status, TN_STR_FMT(answer.body));
        CHECK(status == 400 && is_named);
        CHECK_INT(call("POST", "/streams/keyless", "application/x-ndjson", NULL, NULL,
                       tn_str_of(cases[i].body)),
                  400);
    }
    /* Lines that the key decoder checks: the position is still the body's. */
    CHECK_INT(call("POST", "/streams/played-songs", "application/x-ndjson", NULL, NULL,
                   TN_STR("{\"song_id\":1,\"play\":\"a\"}\n{\"song_id\":2,\"play\":\"b\"\n")),
              400);
    CHECK(memmem(answer.body.ptr, answer.body.len, "\"line\":2,\"column\":24", 20) != NULL);
    struct tn_buf deep;
    tn_buf_init(&deep, 1 << 20);
    for (int i = 0; i < 2000; i++)
        tn_buf_add_byte(&deep, '[');
    for (int i = 0; i < 2000; i++)
        tn_buf_add_byte(&deep, ']');
    CHECK_INT(call("POST", "/streams/keyless", NULL, NULL, NULL, tn_buf_str(&deep)), 400);
    tn_buf_release(&deep);
    struct tn_buf large;
    tn_buf_init(&large, 4 << 20);
    for (int i = 0; i < 200000; i++)
        tn_buf_add_text(&large, "{\"id\":1}\n");
    CHECK_INT(call("POST", "/streams/songs", NULL, NULL, NULL, tn_buf_str(&large)), 413);
    tn_buf_release(&large);
    CHECK_INT(call("POST", "/streams/songs", NULL, "Content-Encoding", "gzip", TN_STR("{}")), 415);
    CHECK_INT(records_of("songs"), songs);
    CHECK_INT(records_of("keyless"), keyless);
    /* A truncated request stores nothing. */
    int fd = raw_connect(tn_http_address(server));
    char reply[4096];
    CHECK(raw_text(fd,
                   "POST /streams/songs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20\r\n\r\n"
                   "{\"id\":1}\n{\"id\""));
    shutdown(fd, SHUT_WR);
    raw_read_until(fd, NULL, reply, sizeof reply);
    close(fd);
    CHECK_INT(records_of("songs"), songs);
}

static void test_other_formats(void)
{
    CHECK_INT(post("/streams/played-songs",
                   "[{\"song_id\":2,\"play\":\"2020-07-25T19:52:47.038904Z;Alex\"}]"),
              200);
    check_last("played-songs", 11, "\0\0\0\2", 4, "2020-07-25T19:52:47.038904Z;Alex");
    CHECK_INT(call("POST", "/streams/played-songs", "application/octet-stream", "X-Tarn-Key", "3",
                   TN_STR("\xff;raw")),
              200);
    check_last("played-songs", 7, "\0\0\0\3", 4, "\xff;raw");
    CHECK_INT(call("POST", "/streams/played-songs", "application/octet-stream", "X-Tarn-Key", "x",
                   TN_STR("raw")),
              400);
    CHECK(memmem(answer.body.ptr, answer.body.len, "X-Tarn-Key 'x' is not a key", 27) != NULL);
    CHECK_INT(call("POST", "/streams/keyless", "application/octet-stream", "X-Tarn-Key", "x",
                   TN_STR("raw")),
              400);
    CHECK_INT(call("DELETE", "/streams/played-songs", NULL, "X-Tarn-Key", "3", TN_STR("")), 200);
    check_last("played-songs", 7, "\0\0\0\3", 4, NULL);
    CHECK_INT(call("DELETE", "/streams/played-songs", NULL, NULL, NULL, TN_STR("")), 400);
    CHECK_INT(post("/streams/texts", "{\"k\":\"alex\",\"a\":5,\"b\":\"x,y\"}"), 200);
    check_last("texts", 8, "alex", 4, "5,\"x,y\"");
    int64_t before = records_of("texts");
    CHECK_INT(
        post("/streams/texts", "[{\"k\":\"alex\",\"a\":5},\n{\"k\":\"burr\",\"a\":\"five\"}]"),
        400);
    CHECK(memmem(answer.body.ptr, answer.body.len, "column 'a'", 10) != NULL);
    CHECK(memmem(answer.body.ptr, answer.body.len, "\"line\":2", 8) != NULL);
    CHECK_INT(records_of("texts"), before);
}

/* Many records: chunks, several partitions, order within a key. */
static void test_many(void)
{
    enum { COUNT = 20000 };
    struct tn_buf body;
    int64_t before = records_of("songs");
    tn_buf_init(&body, 16 << 20);
    for (int i = 0; i < COUNT; i++)
        tn_buf_printf(&body, "{\"id\":%d,\"name\":\"n%d\"}\n", i % 100, i);
    CHECK_INT(call("POST", "/songs", "application/x-ndjson", NULL, NULL, tn_buf_str(&body)), 201);
    CHECK_INT(records_of("songs"), before + COUNT);
    tn_buf_release(&body);
}

/* Sum of `n` of the values of one partition from `offset` on, which must ascend. */
static int64_t sum_of(const struct tn_topic *topic, int32_t partition, int64_t offset)
{
    struct tn_err err = TN_ERR_INIT;
    struct tn_log_reader *reader;
    int64_t sum = 0, last = -1;
    CHECK_OK(fixture.log->type->reader_open(fixture.log, NULL, &reader, &err), &err);
    for (;;) {
        struct tn_read read = {.next = offset};
        enum tn_status st =
            fixture.log->type->read(reader, topic, partition, offset, 1 << 20, &read, &err);
        if (st != TN_OK)
            break;
        for (uint32_t i = 0; i < read.records->count; i++) {
            int64_t n = -1;
            char text[64];
            snprintf(text, sizeof text, "%.*s", TN_STR_FMT(read.records->values[i]));
            CHECK(sscanf(text, "{\"song_id\":%*d, \"type\":\"x\", \"n\":%" SCNd64 "}", &n) == 1 &&
                  n > last);
            sum += n;
            last = n;
        }
        offset = read.next;
        tn_records_unref(read.records);
    }
    fixture.log->type->reader_close(reader);
    return sum;
}

/* Bodies whose records point into them, with and without keys; the memory of one is the next one's.
 */
static void test_large(const char *path, const char *name)
{
    enum { COUNT = 9000, ROUNDS = 4 };
    int64_t starts[12], wanted = (int64_t)COUNT * (COUNT - 1) / 2;
    struct tn_topic topic;
    struct tn_err err = TN_ERR_INIT;
    CHECK_OK(fixture.log->type->topic_find(fixture.log, name, &topic, &err), &err);
    for (int round = 0; round < ROUNDS; round++) {
        struct tn_buf body;
        int64_t sum = 0;
        struct tn_offsets offsets;
        tn_buf_init(&body, 16 << 20);
        for (int32_t p = 0; p < topic.partitions_count; p++) {
            CHECK_OK(fixture.log->type->offsets(fixture.log, &topic, p, &offsets, &err), &err);
            starts[p] = offsets.end_visible;
        }
        for (int i = 0; i < COUNT; i++)
            tn_buf_printf(&body, "{\"song_id\":%d, \"type\":\"x\", \"n\":%d}%s\n", i % 50, i,
                          i % 7 ? "" : "\r\n");
        CHECK_INT(call("POST", path, "application/x-ndjson", NULL, NULL, tn_buf_str(&body)), 200);
        for (int32_t p = 0; p < topic.partitions_count; p++)
            sum += sum_of(&topic, p, starts[p]);
        CHECK_INT(sum, wanted);
        /* a bad one between them gives its memory back, too */
        tn_buf_add_text(&body, "{\"n\":}\n");
        CHECK_INT(call("POST", path, "application/x-ndjson", NULL, NULL, tn_buf_str(&body)), 400);
        tn_buf_release(&body);
    }
}

static void test_full(void)
{
    int64_t before = records_of("songs");
    proxy.fail = TN_E_FULL;
    CHECK_INT(post("/songs", "{\"id\":1}"), 503);
    CHECK_INT(answer.retry_after_ms, 1000);
    CHECK(memmem(answer.body.ptr, answer.body.len, "no room", 7) != NULL);
    CHECK_INT(records_of("songs"), before);
    /* Some partitions only: the answer says how much is there. */
    proxy.fail_partition = 0; /* id 1 */
    CHECK_INT(post("/songs", "[{\"id\":1},{\"id\":2},{\"id\":3}]"), 503);
    CHECK(memmem(answer.body.ptr, answer.body.len, "(2 of 3 events were stored)", 27) != NULL);
    proxy.fail = TN_OK;
    proxy.fail_partition = -1;
    CHECK_INT(post("/songs", "{\"id\":1}"), 201);
}

static int post_once(const char *key, const char *body)
{
    return call("POST", "/songs", NULL, "Idempotency-Key", key, tn_str_of(body));
}

static void test_idempotency(void)
{
    int64_t before = records_of("songs");
    char first[256];
    CHECK_INT(post_once("a", "[{\"id\":1},{\"id\":2}]"), 201);
    snprintf(first, sizeof first, "%.*s", TN_STR_FMT(answer.body));
    CHECK_INT(post_once("a", "[{\"id\":1},{\"id\":2}]"), 201);
    CHECK_STR(answer.body, first);
    CHECK_INT(records_of("songs"), before + 2);
    CHECK_INT(post_once("a", "[{\"id\":1}]"), 422);
    CHECK_INT(post_once("b", "[{\"id\":1},{\"id\":2}]"), 201);
    CHECK_INT(records_of("songs"), before + 4);
    /* Nothing was stored for a bad body: the key is free again. */
    CHECK_INT(post_once("c", "[{"), 400);
    CHECK_INT(post_once("c", "[{\"id\":3}]"), 201);
    /* Half of it was stored: a repeat adds the other half only. */
    proxy.fail = TN_E_FULL;
    proxy.fail_partition = 0;
    CHECK_INT(post_once("half", "[{\"id\":1},{\"id\":2},{\"id\":3}]"), 503);
    CHECK_INT(records_of("songs"), before + 7);
    proxy.fail = TN_OK;
    proxy.fail_partition = -1;
    CHECK_INT(post_once("half", "[{\"id\":1},{\"id\":2},{\"id\":3}]"), 201);
    CHECK_INT(records_of("songs"), before + 8);
    CHECK_INT(post_once("half", "[{\"id\":1},{\"id\":2},{\"id\":3}]"), 201);
    CHECK_INT(records_of("songs"), before + 8);
    /* Remembered over a restart. */
    ingest_down();
    ingest_up();
    CHECK_INT(post_once("a", "[{\"id\":1},{\"id\":2}]"), 201);
    CHECK_STR(answer.body, first);
    CHECK_INT(records_of("songs"), before + 8);
    /* A crash between the events and the "done" record: found again, nothing twice. */
    ingest_down();
    ingest_up();
    proxy.is_keys_lost = true;
    CHECK_INT(post_once("crash", "[{\"id\":1},{\"id\":2},{\"name\":\"keyless\"}]"), 201);
    snprintf(first, sizeof first, "%.*s", TN_STR_FMT(answer.body));
    CHECK_INT(records_of("songs"), before + 11);
    ingest_down();
    ingest_up();
    CHECK_INT(post_once("crash", "[{\"id\":1},{\"id\":2},{\"name\":\"keyless\"}]"), 201);
    CHECK_STR(answer.body, first);
    CHECK_INT(records_of("songs"), before + 11);
    /* Forgotten after a day, also in the log. */
    fixture.clock.wall_ms += (int64_t)25 * 3600 * 1000;
    CHECK_INT(post_once("a", "[{\"id\":1}]"), 201);
    CHECK_INT(records_of("songs"), before + 12);
    ingest_down();
    keys_max = 2;
    ingest_up();
    CHECK_INT(post_once("d", "[{\"id\":1}]"), 201);
    CHECK_INT(post_once("e", "[{\"id\":1}]"), 503);
    CHECK_INT(records_of("songs"), before + 13);
    char long_key[300];
    memset(long_key, 'k', sizeof long_key);
    long_key[299] = 0;
    CHECK_INT(post_once(long_key, "[{\"id\":1}]"), 400);
    ingest_down();
    keys_max = 0;
    ingest_up();
}

/* An event stream and what came of it so far. */
struct sse {
    int fd;
    size_t len;
    char text[16384];
};

/* Reads on until `want` is there. */
static const char *sse_wait(struct sse *sse, const char *want)
{
    while (!strstr(sse->text, want)) {
        ssize_t n = recv(sse->fd, sse->text + sse->len, sizeof sse->text - 1 - sse->len, 0);
        if (n <= 0)
            break;
        sse->len += (size_t)n;
        sse->text[sse->len] = 0;
    }
    return strstr(sse->text, want);
}

static void sse_open(struct sse *sse, const char *path, const char *last_id)
{
    char text[256];
    *sse = (struct sse){.fd = raw_connect(tn_http_address(server))};
    snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: localhost\r\n%s%s%s\r\n", path,
             last_id ? "Last-Event-ID: " : "", last_id ? last_id : "", last_id ? "\r\n" : "");
    CHECK(raw_text(sse->fd, text));
    CHECK(sse_wait(sse, ": ready") != NULL);
    CHECK(strstr(sse->text, "text/event-stream") != NULL);
}

static void test_events(void)
{
    static struct sse all, one, early;
    char id[512] = "";
    sse_open(&all, "/events", NULL);
    sse_open(&one, "/streams/songs/events", NULL);
    CHECK_INT(post("/songs", "{\"id\":6,\"name\":\"Into \\\"The\\\" Unknown\"}"), 201);
    CHECK_INT(post("/function/clickevent-ingest", "{\"type\":\"c\n\"}"), 400);
    CHECK_INT(post("/function/clickevent-ingest", "{\"type\":\n\"c\"}"), 200);
    CHECK(sse_wait(&all, "data: {\"type\":\ndata: \"c\"}\n\n") != NULL);
    CHECK(strstr(all.text, "data: Song 6 processed\n\n") != NULL);
    const char *at = strstr(all.text, "id: ");
    CHECK(at && strspn(at + 4, "0123456789abcdef-") == 36 && at[4 + 14] == '4');
    CHECK(sse_wait(&one, "processed\n\n") != NULL);
    at = strstr(one.text, "id: ");
    CHECK(at && sscanf(at, "id: %511s", id) == 1 && strchr(id, ':'));
    close(one.fd);
    /* Resumes behind the last event. */
    CHECK_INT(post("/songs", "[{\"id\":7},{\"id\":8}]"), 201);
    sse_open(&one, "/streams/songs/events", id);
    CHECK(sse_wait(&one, "Song 8 processed\n\n") && sse_wait(&one, "Song 7 processed\n\n"));
    CHECK(!strstr(one.text, "Song 6 processed"));
    close(one.fd);
    sse_open(&early, "/streams/played-songs/events?from=earliest", NULL);
    CHECK(sse_wait(&early, "data: 2020-07-25T19:52:47.038904Z;Alex\n\n") != NULL);
    CHECK(sse_wait(&early, "event: bytes\ndata: /ztyYXc=\n\n") != NULL);
    CHECK(sse_wait(&early, "event: tombstone\ndata: \n\n") != NULL);
    close(early.fd);
    sse_open(&early, "/streams/played-songs/events?from=earliest&envelope=1", NULL);
    CHECK(sse_wait(&early, "data: {\"key\":{\"song_id\":2},\"value\":\"2020-07-25T19:52:47.038904Z;"
                           "Alex\",\"partition\":11,\"offset\":0,\"timestamp\":") != NULL);
    CHECK(sse_wait(&early, "{\"key\":{\"song_id\":3},\"value\":{\"base64\":\"/ztyYXc=\"},") !=
          NULL);
    CHECK(sse_wait(&early, "{\"key\":{\"song_id\":3},\"value\":null,") != NULL);
    close(early.fd);
    sse_open(&early, "/streams/keyless/events?from=earliest&envelope=1", NULL);
    CHECK(sse_wait(&early, "{\"key\":null,\"value\":{\"type\":\"a\"},") != NULL);
    close(early.fd);
    CHECK_INT(call("GET", "/streams/nothing/events", NULL, NULL, NULL, TN_STR("")), 404);
    CHECK_INT(call("GET", "/streams/songs/events?from=x", NULL, NULL, NULL, TN_STR("")), 400);
    /* What is not durable is not shown; it is as soon as it is. */
    sse_open(&one, "/streams/keyless/events", NULL);
    proxy.durable_back = 1000;
    CHECK_INT(post("/streams/keyless", "{\"type\":\"first\"}"), 200);
    CHECK_INT(post("/function/clickevent-ingest", "{\"type\":\"second\"}"), 200);
    proxy.durable_back = 0;
    CHECK(sse_wait(&one, "first") != NULL);
    CHECK(sse_wait(&all, "second") != NULL);
    close(one.fd);
    close(all.fd);
}

static int progress_lines;

static void on_progress(void *ctx, const char *line)
{
    (void)ctx;
    progress_lines++;
    CHECK(strstr(line, "events") != NULL);
}

static struct tn_producer_totals produce(struct tn_producer_config *config)
{
    struct tn_err err = TN_ERR_INIT;
    struct tn_producer *producer;
    struct tn_producer_totals totals = {0};
    CHECK_OK(tn_producer_new(config, &test_clock, on_progress, NULL, &producer, &err), &err);
    CHECK_OK(tn_producer_run(producer, &totals, &err), &err);
    tn_producer_free(producer);
    return totals;
}

static void test_producer(void)
{
    struct tn_producer_config config = {0};
    struct tn_arena arena;
    struct tn_err err = TN_ERR_INIT;
    char url[160];
    int64_t songs = records_of("songs"), plays = records_of("played-songs"),
            clicks = records_of("clicks");
    tn_arena_init(&arena, 0);
    tn_opt_defaults(&tn_producer_opts, &config, &arena);
    snprintf(url, sizeof url, "http://%s", tn_http_address(server));
    config.url = url;
    config.key_column = "song_id";
    config.stream = "played-songs";
    config.rate = 0;
    config.count = 5000;
    config.keys_count = 700;
    config.skew = 1;
    struct tn_producer_totals totals = produce(&config);
    CHECK(totals.sent == 5000 && totals.acknowledged == 5000 && totals.unknown == 0);
    CHECK(totals.requests == 5 + 2 && totals.songs == 700);
    CHECK_INT(records_of("songs"), songs + 700);
    CHECK_INT(records_of("played-songs"), plays + 5000);
    struct tn_records *records = last_record("played-songs", 0); /* song 1 is there, and frequent */
    CHECK(records && records->keys[0].len == 4 && records->values[0].len >= 24 + 1 + 4);
    tn_records_unref(records);
    config.kind = "clicker";
    config.stream = "/function/clickevent-ingest";
    config.count = 20;
    config.batch = 1;
    config.is_exact = true;
    totals = produce(&config);
    CHECK(totals.acknowledged == 20 && totals.requests == 20 && totals.songs == 0);
    CHECK_INT(records_of("clicks"), clicks + 20);
    /* At a rate, for a time: about so many. */
    config.count = 0;
    config.seconds = 1;
    config.rate = 200;
    config.batch = 1000;
    totals = produce(&config);
    CHECK(totals.acknowledged <= 201 && totals.acknowledged > 0);
    struct tn_buf line;
    tn_buf_init(&line, 4096);
    tn_producer_print(&totals, &line);
    CHECK(strncmp(tn_buf_cstr(&line), "songs=0 sent=", 13) == 0);
    tn_buf_release(&line);
    /* Nobody there: an error, not a loop. */
    struct tn_producer *producer;
    config.url = "http://127.0.0.1:1";
    config.key_column = "song_id";
    config.is_exact = false;
    CHECK_OK(tn_producer_new(&config, &test_clock, NULL, NULL, &producer, &err), &err);
    CHECK_INT(tn_producer_run(producer, &totals, &err), TN_E_IO);
    CHECK(strstr(err.hint, "tarn run") != NULL);
    tn_producer_free(producer);
    tn_arena_release(&arena);
}

static void test_declared(void)
{
    static const char *const bad[] = {
        "",     "songs",  "/",          "/a b",  "/a?b",     "/a%20b",   "//a",
        "/sql", "/sql/x", "/streams/x", "/live", "/v1/info", "/metrics", "/assets/app.js"};
    static const char *const good[] = {"/songs", "/function/clickevent-ingest", "/sqlx", "/live/x",
                                       "/streams"};
    struct tn_err err = TN_ERR_INIT;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK_INT(tn_ingest_check(bad[i], NULL, &err), TN_E_INVALID);
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        CHECK_OK(tn_ingest_check(good[i], NULL, &err), &err);
    CHECK_OK(tn_ingest_check(NULL, " {\"op\" : \"ADD\", \"n\":[1,{}]} ", &err), &err);
    CHECK_INT(tn_ingest_check(NULL, "{\"op\":}", &err), TN_E_INVALID);
    CHECK_INT(tn_ingest_check(NULL, "[]", &err), TN_E_INVALID);
    CHECK_INT(tn_ingest_check(NULL, "{} x", &err), TN_E_INVALID);
}

/* A changed catalog is noticed by the next request. */
static void test_change(void)
{
    targets[CLICKS].reply_text = "Changed";
    CHECK_INT(post("/function/clickevent-ingest", "{}"), 200);
    CHECK_STR(answer.body, "Message Handled");
    catalog_version++;
    CHECK_INT(post("/function/clickevent-ingest", "{}"), 200);
    CHECK_STR(answer.body, "Changed");
    struct tn_err err = TN_ERR_INIT;
    CHECK_OK(fixture.log->type->topic_delete(fixture.log, "keyless", &err), &err);
    catalog_version++;
    CHECK_INT(post("/streams/keyless", "{}"), 404);
    CHECK(memmem(answer.body.ptr, answer.body.len, "the topic 'keyless'", 19) != NULL);
}

int main(void)
{
    streams_init();
    store_fixture_init(&fixture);
    store_fixture_open(&fixture);
    topics_make();
    ingest_up();
    test_forms();
    test_paths();
    test_refused();
    test_other_formats();
    test_many();
    test_large("/streams/keyless", "keyless");
    test_large("/streams/keyed", "keyed");
    test_full();
    test_idempotency();
    test_events();
    test_producer();
    test_declared();
    test_change();
    ingest_down();
    store_fixture_close(&fixture);
    store_fixture_release(&fixture);
    return TN_TEST_END();
}
