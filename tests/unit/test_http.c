/* HTTP server with real sockets: routes, bodies and their limits, asynchronous completion, streams
 * and event streams, Host and Origin, malformed and slow clients, pipelining, stop. Covers
 * connectors/http_*.c.
 *
 * No sleeps as synchronisation: what must happen later is waited for by reading until it comes
 * (sockets have a receive timeout) or on a semaphore.
 */
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "connectors/http_client.h"
#include "connectors/http_server.h"
#include "connectors/http_int.h"
#include "stream/base/mem.h"
#include "tests/check.h"
#include "tests/support/raw_http.h"
#include "tests/support/test_clock.h"

#define REPLY_MAX (1 << 16)

static struct tn_metrics *metrics;
static struct tn_http_server *server;
static struct tn_http_client *client;
static const char *address;
static char reply[REPLY_MAX];
static sem_t gone_seen, stream_gone;
static struct tn_http_request *kept; /* a held request that nobody completes until told */
static sem_t kept_there;
static sem_t endless_over;

/* ---- handlers ---- */

static enum tn_status do_echo(void *ctx, struct tn_http_request *req, struct tn_err *err)
{
    (void)ctx;
    (void)err;
    tn_buf_add_str(tn_http_out(req), tn_http_body(req));
    tn_http_reply(req, 200, "text/plain");
    return TN_OK;
}

static enum tn_status do_params(void *ctx, struct tn_http_request *req, struct tn_err *err)
{
    struct tn_str q = tn_http_query(req, "q");
    struct tn_str name = tn_http_param(req, "name");
    (void)ctx;
    if (tn_str_eq(q, TN_STR("fail"))) {
        enum tn_status st = tn_err_at(err, TN_E_SYNTAX, NULL, 2, 7, "no \"such\" thing");
        tn_err_hint(err, "try another");
        return st;
    }
    tn_buf_printf(tn_http_out(req), "%.*s|%.*s|%.*s", TN_STR_FMT(name), TN_STR_FMT(q),
                  TN_STR_FMT(tn_http_header(req, "X-Test")));
    tn_http_reply(req, 200, "text/plain");
    return TN_OK;
}

static void *complete_main(void *arg)
{
    struct tn_http_request *req = arg;
    tn_buf_add_text(tn_http_out(req), "later");
    tn_http_reply(req, 201, "text/plain");
    tn_http_complete(req);
    return NULL;
}

static enum tn_status do_later(void *ctx, struct tn_http_request *req, struct tn_err *err)
{
    pthread_t thread;
    (void)ctx;
    (void)err;
    tn_http_hold(req);
    pthread_create(&thread, NULL, complete_main, req);
    pthread_detach(thread);
    return TN_AGAIN;
}

/* Completes before it returns: the log may call back at once. */
static enum tn_status do_at_once(void *ctx, struct tn_http_request *req, struct tn_err *err)
{
    (void)ctx;
    (void)err;
    tn_http_hold(req);
    complete_main(req);
    return TN_AGAIN;
}

static void on_gone(void *ctx)
{
    (void)ctx;
    sem_post(&gone_seen);
}

static enum tn_status do_keep(void *ctx, struct tn_http_request *req, struct tn_err *err)
{
    (void)ctx;
    (void)err;
    tn_http_hold(req);
    tn_http_on_gone(req, on_gone, NULL);
    kept = req;
    sem_post(&kept_there);
    return TN_AGAIN;
}

static void *stream_main(void *arg)
{
    struct tn_http_stream *stream = arg;
    char line[64];
    enum tn_status st = TN_OK;
    for (int i = 0; i < 20000 && st == TN_OK; i++) {
        snprintf(line, sizeof line, "%d\n", i);
        st = tn_http_stream_write_wait(stream, tn_str_of(line));
    }
    tn_http_stream_end(stream, false);
    return NULL;
}

/* Writes until its reader is cut. */
static void *endless_main(void *arg)
{
    static const struct tn_str text = {"0123456789abcdef0123456789abcdef", 32};
    struct tn_http_stream *stream = arg;
    while (tn_http_stream_write_wait(stream, text) == TN_OK)
        ;
    tn_http_stream_end(stream, false);
    sem_post(&endless_over);
    return NULL;
}

static enum tn_status do_stream(void *ctx, struct tn_http_request *req, struct tn_err *err)
{
    struct tn_http_stream *stream;
    pthread_t thread;
    TN_TRY(tn_http_stream_open(req, 200, "text/plain", 4096, 0, &stream, err));
    pthread_create(&thread, NULL, ctx ? endless_main : stream_main, stream);
    pthread_detach(thread);
    return TN_OK;
}

static enum tn_status do_cut(void *ctx, struct tn_http_request *req, struct tn_err *err)
{
    struct tn_http_stream *stream;
    (void)ctx;
    TN_TRY(tn_http_stream_open(req, 200, "text/plain", 4096, 0, &stream, err));
    CHECK_INT(tn_http_stream_write(stream, TN_STR("part")), TN_OK);
    tn_http_stream_end(stream, true);
    return TN_OK;
}

static struct tn_http_stream *events; /* the last event stream opened */
static sem_t events_there;

static void on_event(void *ctx)
{
    (void)ctx;
    sem_post(&stream_gone);
}

static enum tn_status do_events(void *ctx, struct tn_http_request *req, struct tn_err *err)
{
    (void)ctx;
    TN_TRY(tn_http_stream_open(req, 200, "text/event-stream", 1024, TN_HTTP_SSE, &events, err));
    tn_http_stream_on_event(events, on_event, NULL);
    CHECK_INT(tn_http_stream_write(events, TN_STR("data: hello\n\n")), TN_OK);
    sem_post(&events_there);
    return TN_OK;
}

static enum tn_status begin_404(void *ctx, struct tn_http_request *req, struct tn_err *err)
{
    (void)ctx;
    if (tn_str_eq(tn_http_path(req), TN_STR("/known")))
        return TN_OK;
    tn_http_reply(req, 404, NULL);
    return tn_err_set(err, TN_E_NAME, "no stream takes '%.*s'", TN_STR_FMT(tn_http_path(req)));
}

static enum tn_status do_big(void *ctx, struct tn_http_request *req, struct tn_err *err)
{
    (void)ctx;
    (void)err;
    char *to = tn_buf_reserve(tn_http_out(req), 8 << 20);
    if (to) {
        memset(to, 'x', 8 << 20);
        tn_http_out(req)->len = 8 << 20;
    }
    tn_http_reply(req, 200, "text/plain");
    return TN_OK;
}

static const struct tn_http_route routes[] = {
    {.method = "POST", .path = "/echo", .handler = do_echo, .flags = TN_HTTP_BODY},
    {.method = "POST",
     .path = "/small",
     .handler = do_echo,
     .flags = TN_HTTP_BODY,
     .body_bytes_max = 10},
    {.method = "GET", .path = "/p/{name}/x", .handler = do_params},
    {.method = "POST", .path = "/later", .handler = do_later, .flags = TN_HTTP_BODY},
    {.method = "GET", .path = "/at-once", .handler = do_at_once},
    {.method = "GET", .path = "/keep", .handler = do_keep},
    {.method = "GET", .path = "/stream", .handler = do_stream},
    {.method = "GET", .path = "/endless", .handler = do_stream, .ctx = &endless_over},
    {.method = "GET", .path = "/cut", .handler = do_cut},
    {.method = "GET", .path = "/events", .handler = do_events},
    {.method = "GET", .path = "/big", .handler = do_big},
    {.method = "POST",
     .handler = do_echo,
     .begin = begin_404,
     .flags = TN_HTTP_BODY | TN_HTTP_FALLBACK},
};

static void server_open(void (*change)(struct tn_http_config *config))
{
    struct tn_err err = TN_ERR_INIT;
    struct tn_http_config config;
    char url[160];
    tn_http_config_init(&config);
    config.listen = "127.0.0.1:0";
    config.hosts = "tarn.example, other.example";
    config.cors_origins = "https://friend.example";
    if (change)
        change(&config);
    metrics = tn_metrics_new();
    CHECK_OK(tn_http_open(&config, &test_clock, metrics, &server, &err), &err);
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++)
        tn_http_route_add(server, &routes[i]);
    CHECK_OK(tn_http_start(server, &err), &err);
    address = tn_http_address(server);
    snprintf(url, sizeof url, "http://%s", address);
    CHECK_OK(tn_http_client_new(url, 20000, &client, &err), &err);
}

static void server_close(void)
{
    tn_http_client_free(client);
    tn_http_close(server);
    tn_metrics_free(metrics);
}

/* One request by libcurl; returns the status, the body is in `reply`. */
static int request(const char *method, const char *path, const char *body, const char *header,
                   const char *value)
{
    struct tn_err err = TN_ERR_INIT;
    struct tn_http_header_pair pair = {header, value};
    struct tn_http_response response;
    CHECK_OK(
        tn_http_call(client, method, path, &pair, header != NULL, tn_str_of(body), &response, &err),
        &err);
    if (err.code)
        return 0;
    snprintf(reply, sizeof reply, "%.*s", (int)response.body.len, response.body.ptr);
    return response.status;
}

static int raw(const char *text)
{
    return raw_request(address, text, strlen(text), reply, sizeof reply);
}

static int64_t metric(const char *reason)
{
    struct tn_buf buf;
    char pattern[128];
    int64_t value = -1;
    tn_buf_init(&buf, 1 << 20);
    tn_metrics_print(metrics, &buf);
    snprintf(pattern, sizeof pattern, "tarn_http_refused_total{reason=\"%s\"} ", reason);
    const char *at = strstr(tn_buf_cstr(&buf), pattern);
    if (at)
        value = atoll(at + strlen(pattern));
    tn_buf_release(&buf);
    return value;
}

/* ---- tests ---- */

static void test_routes(void)
{
    CHECK_INT(request("POST", "/echo", "hello", NULL, NULL), 200);
    CHECK_STR(tn_str_of(reply), "hello");
    CHECK_INT(request("GET", "/p/a%2Fb%20c/x?q=1%2B1+2%25", NULL, "X-Test", "t"), 200);
    CHECK_STR(tn_str_of(reply), "a/b c|1+1 2%|t");
    CHECK_INT(request("GET", "/p//x", NULL, NULL, NULL), 404);
    CHECK_INT(request("GET", "/p/a%00/x", NULL, NULL, NULL), 400);
    CHECK_INT(request("GET", "/p/a%zz/x", NULL, NULL, NULL), 400);
    CHECK_INT(request("GET", "/echo", NULL, NULL, NULL), 405);
    CHECK(strstr(reply, "it takes POST") != NULL);
    CHECK_INT(request("GET", "/nothing", NULL, NULL, NULL), 404);
    CHECK_INT(request("POST", "/nothing", "x", NULL, NULL), 404);
    CHECK(strstr(reply, "no stream takes '/nothing'") != NULL);
    CHECK_INT(request("POST", "/known", "x", NULL, NULL), 200);
    CHECK_INT(request("GET", "/p/n/x?q=fail", NULL, NULL, NULL), 400);
    CHECK_STR(tn_str_of(reply),
              "{\"error\":{\"code\":\"E_SYNTAX\",\"name\":\"SYNTAX_ERROR\",\"message\":\"no "
              "\\\"such\\\" thing\",\"line\":2,\"column\":7,\"hint\":\"try another\"}}\n");
    CHECK_INT(raw("HEAD /p/n/x HTTP/1.1\r\nHost: localhost\r\n\r\n"), 200);
    CHECK(strstr(reply, "Content-Length: 3") != NULL);
    CHECK(strstr(reply, "\r\n\r\nn|") == NULL);
}

static void test_bodies(void)
{
    CHECK_INT(request("POST", "/small", "0123456789", NULL, NULL), 200);
    CHECK_INT(request("POST", "/small", "0123456789a", NULL, NULL), 413);
    CHECK(strstr(reply, "larger than 10 bytes; nothing was done") != NULL);
    CHECK_INT(raw("POST /small HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
                  "6\r\nabcdef\r\n6\r\nabcdef\r\n0\r\n\r\n"),
              413);
    CHECK_INT(raw("POST /small HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
                  "6\r\nabcdef\r\n2\r\ngh\r\n0\r\n\r\n"),
              200);
    CHECK_INT(raw("POST /small HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n"),
              413);
    /* A larger refused body is read to its end, so that the client gets the answer and not a reset.
     */
    size_t size = 3 << 20;
    char *body = tn_alloc(size + 1);
    memset(body, 'a', size);
    CHECK_INT(request("POST", "/echo", body, NULL, NULL), 413);
    CHECK_INT(request("POST", "/echo", "after", NULL, NULL), 200);
    body[1 << 20] = 0;
    CHECK_INT(request("POST", "/echo", body, NULL, NULL), 200);
    tn_free(body);
    CHECK_INT(raw("GET /p/n/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx"), 413);
    /* Truncated: the handler never runs and the connection just ends. */
    int fd = raw_connect(address);
    CHECK(raw_text(fd, "POST /keep2 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nabc"));
    shutdown(fd, SHUT_WR);
    raw_read_until(fd, NULL, reply, sizeof reply);
    CHECK(strstr(reply, "200") == NULL);
    close(fd);
    CHECK(metric("body") >= 5);
}

static void test_later(void)
{
    CHECK_INT(request("POST", "/later", "x", NULL, NULL), 201);
    CHECK_STR(tn_str_of(reply), "later");
    CHECK_INT(request("GET", "/at-once", NULL, NULL, NULL), 201);
    for (int i = 0; i < 200; i++)
        CHECK_INT(request("POST", "/later", "x", NULL, NULL), 201);
}

static bool take_numbers(void *ctx, struct tn_str bytes)
{
    tn_buf_add_str(ctx, bytes);
    return true;
}

static void test_stream(void)
{
    struct tn_err err = TN_ERR_INIT;
    struct tn_http_response response = {0};
    struct tn_buf all;
    tn_buf_init(&all, 1 << 20);
    CHECK_OK(tn_http_call_stream(client, "GET", "/stream", NULL, 0, TN_STR(""), take_numbers, &all,
                                 &response, &err),
             &err);
    CHECK_INT(response.status, 200);
    CHECK_INT(all.len, 10 + 90 * 2 + 900 * 3 + 9000 * 4 + 10000 * 5 + 20000);
    tn_buf_reset(&all);
    /* Cut short: the client can tell. */
    CHECK_INT(tn_http_call_stream(client, "GET", "/cut", NULL, 0, TN_STR(""), take_numbers, &all,
                                  &response, &err),
              TN_E_IO);
    CHECK_STR(tn_buf_str(&all), "part");
    tn_buf_release(&all);
}

static void test_guard(void)
{
    static const struct {
        const char *head;
        int status;
    } cases[] = {
        {"Host: localhost:1234\r\n", 200},
        {"Host: 127.0.0.2\r\n", 200},
        {"Host: [::1]:9\r\n", 200},
        {"Host: tarn.example:80\r\n", 200},
        {"Host: OTHER.example\r\n", 200},
        {"Host: evil.example\r\n", 403},
        {"Host: 127.0.0.1.evil.example\r\n", 403},
        {"Host: localhost.evil.example\r\n", 403},
        {"Host: \r\n", 403},
        {"", 400},
        {"Host: localhost\r\nOrigin: http://localhost\r\n", 200},
        {"Host: localhost:81\r\nOrigin: http://localhost:81\r\n", 200},
        {"Host: localhost:81\r\nOrigin: http://localhost\r\n", 403},
        {"Host: localhost\r\nOrigin: http://evil.example\r\n", 403},
        {"Host: localhost\r\nOrigin: null\r\n", 403},
        {"Host: localhost\r\nOrigin: https://friend.example\r\n", 200},
        {"Host: localhost\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\n", 403},
        {"Host: localhost\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\n", 200},
        {"Host: localhost\r\nSec-Fetch-Site: same-origin\r\n", 200},
    };
    char text[512];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(text, sizeof text, "GET /p/n/x HTTP/1.1\r\n%s\r\n", cases[i].head);
        int status = raw(text);
        if (status != cases[i].status)
            fprintf(stderr, "case %zu\n", i);
        CHECK_INT(status, cases[i].status);
    }
    CHECK_INT(
        raw("GET /p/n/x HTTP/1.1\r\nHost: localhost\r\nOrigin: https://friend.example\r\n\r\n"),
        200);
    CHECK(strstr(reply, "Access-Control-Allow-Origin: https://friend.example") != NULL);
    CHECK_INT(raw("OPTIONS /echo HTTP/1.1\r\nHost: localhost\r\nOrigin: https://friend.example\r\n"
                  "Access-Control-Request-Method: POST\r\n\r\n"),
              204);
    CHECK(metric("host") >= 4);
    CHECK(metric("origin") >= 4);
}

static void test_forms(void)
{
    static const char *const bad[] = {
        "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nTransfer-Encoding: "
        "chunked\r\n\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: "
        "2\r\n\r\nab",
        "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: "
        "chunked\r\nTransfer-Encoding: "
        "identity\r\n\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: +4\r\n\r\nabcd",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int status = raw(bad[i]);
        if (status != 400)
            fprintf(stderr, "form %zu\n", i);
        CHECK_INT(status, 400);
    }
    CHECK_INT(raw("nonsense\r\n\r\n"), 0);
    size_t size = 160000;
    char *text = tn_alloc(size + 200);
    snprintf(text, size, "GET /p/n/x?q=");
    memset(text + strlen(text), 'a', 9000);
    strcat(text, " HTTP/1.1\r\nHost: localhost\r\n\r\n");
    CHECK_INT(raw(text), 414);
    snprintf(text, size, "GET /p/n/x HTTP/1.1\r\nHost: localhost\r\nX-Long: ");
    memset(text + strlen(text), 'a', 140000);
    strcat(text, "\r\n\r\n");
    int status = raw(text);
    CHECK(status == 431 || status == 0);
    tn_free(text);
}

static void test_pipeline(void)
{
    enum { COUNT = 2000 };
    static const char one[] =
        "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nab";
    static const char last[] =
        "GET /nothing HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    size_t size = COUNT * (sizeof one - 1);
    char *text = tn_alloc_raw(size);
    for (int i = 0; i < COUNT; i++)
        memcpy(text + (size_t)i * (sizeof one - 1), one, sizeof one - 1);
    int fd = raw_connect(address), answers = 0;
    CHECK(raw_send(fd, text, size) && raw_send(fd, last, sizeof last - 1));
    struct tn_buf all;
    tn_buf_init(&all, 16 << 20);
    ssize_t n;
    while ((n = recv(fd, reply, sizeof reply, 0)) > 0)
        tn_buf_add(&all, reply, (size_t)n);
    for (const char *at = tn_buf_cstr(&all); (at = strstr(at, "HTTP/1.1 200")); at++)
        answers++;
    CHECK_INT(answers, COUNT);
    CHECK(strstr(tn_buf_cstr(&all), "HTTP/1.1 404") != NULL);
    tn_buf_release(&all);
    tn_free(text);
    close(fd);
}

static void test_gone(void)
{
    /* A held request learns that its client left, and completing it afterwards is harmless. */
    int fd = raw_connect(address);
    CHECK(raw_text(fd, "GET /keep HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    sem_wait(&kept_there);
    close(fd);
    sem_wait(&gone_seen);
    complete_main(kept);
    /* An event stream whose reader left: its writer is told and may end it. */
    fd = raw_connect(address);
    CHECK(raw_text(fd, "GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    raw_read_until(fd, "data: hello\n\n", reply, sizeof reply);
    CHECK(strstr(reply, "text/event-stream") != NULL);
    sem_wait(&events_there);
    CHECK_INT(tn_http_stream_write(events, TN_STR("data: two\n\n")), TN_OK);
    raw_read_until(fd, "data: two\n\n", reply, sizeof reply);
    CHECK(strstr(reply, "data: two") != NULL);
    close(fd);
    sem_wait(&stream_gone);
    CHECK_INT(tn_http_stream_write(events, TN_STR("x")), TN_E_CANCELLED);
    tn_http_stream_end(events, false);
}

static void test_abandoned(void)
{
    /* The server stops while a request is held and a stream is open: clients get an end, the holder
     * may complete afterwards. */
    server_open(NULL);
    int fd = raw_connect(address), sse = raw_connect(address);
    CHECK(raw_text(fd, "GET /keep HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    CHECK(raw_text(sse, "GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    sem_wait(&kept_there);
    sem_wait(&events_there);
    raw_read_until(sse, "data: hello\n\n", reply, sizeof reply);
    tn_http_stop(server, 50);
    sem_wait(&gone_seen);
    raw_read_until(fd, NULL, reply, sizeof reply);
    CHECK(strstr(reply, "503") != NULL && strstr(reply, "the server is stopping") != NULL);
    CHECK_INT(tn_http_stream_write(events, TN_STR("x")), TN_E_CANCELLED);
    tn_http_stream_end(events, false);
    tn_buf_add_text(tn_http_out(kept), "too late");
    tn_http_complete(kept);
    close(fd);
    close(sse);
    server_close();
}

static void impatient(struct tn_http_config *config)
{
    config->header_ms = 1000;
    config->request_ms = 1000;
    config->stall_ms = 1000;
    config->connections_max = 8;
    config->sse_max = 2;
    config->threads_count = 1;
}

static void test_slow(void)
{
    server_open(impatient);
    /* One byte now and then does not keep a connection: header and body have absolute limits. */
    int header = raw_connect(address), body = raw_connect(address), big;
    CHECK(raw_text(header, "GET /p"));
    CHECK(raw_text(body, "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\na"));
    CHECK_INT(raw_read_until(header, NULL, reply, sizeof reply), 0);
    raw_read_until(body, NULL, reply, sizeof reply);
    CHECK(strstr(reply, "200") == NULL);
    CHECK(metric("slow_sender") >= 2);
    /* A reader that takes nothing is cut, and its writer is told. */
    struct tn_http_stream *first = NULL;
    int small = 4096;
    big = raw_connect(address);
    setsockopt(big, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    CHECK(raw_text(big, "GET /endless HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    CHECK_INT(request("POST", "/echo", "others go on", NULL, NULL), 200);
    close(header);
    close(body);
    /* Event streams over their limit are refused; the others stay. */
    int sse[3];
    for (int i = 0; i < 3; i++) {
        sse[i] = raw_connect(address);
        CHECK(raw_text(sse[i], "GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        raw_read_until(sse[i], i < 2 ? "data: hello" : "are open already", reply, sizeof reply);
        CHECK(strstr(reply, i < 2 ? "200 OK" : "event streams are open already") != NULL);
        if (i < 2)
            sem_wait(&events_there);
        if (i == 0)
            first = events;
    }
    tn_http_stream_end(first, false);
    tn_http_stream_end(events, false);
    for (int i = 0; i < 3; i++)
        close(sse[i]);
    sem_wait(&endless_over);
    CHECK_INT(metric("slow_reader"), 1);
    close(big);
    server_close();
}

static void test_connections(void)
{
    server_open(impatient);
    int fds[32], refused = 0;
    for (int i = 0; i < 32; i++)
        fds[i] = raw_connect(address);
    for (int i = 0; i < 32; i++) {
        if (fds[i] < 0 || !raw_text(fds[i], "GET /p/n/x HTTP/1.1\r\nHost: localhost\r\n\r\n") ||
            raw_read_until(fds[i], "\r\n\r\n", reply, sizeof reply) == 0)
            refused++;
    }
    CHECK(refused >= 32 - 9);
    CHECK(refused < 32);
    CHECK(metric("connections") >= 1);
    for (int i = 0; i < 32; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    server_close();
}

static void test_open_errors(void)
{
    struct tn_err err = TN_ERR_INIT;
    struct tn_http_config config;
    struct tn_http_server *other = NULL;
    tn_http_config_init(&config);
    config.listen = address;
    CHECK_INT(tn_http_open(&config, &test_clock, metrics, &other, &err), TN_E_BUSY);
    CHECK(strstr(err.message, "in use") && strstr(err.message, address));
    static const char *const bad[] = {"localhost", "127.0.0.1:", ":80x", "127.0.0.1:99999",
                                      "::1:80",    "",           ":80"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        config.listen = bad[i];
        CHECK_INT(tn_http_open(&config, &test_clock, metrics, &other, &err), TN_E_INVALID);
    }
    CHECK(!other);
}

static void test_accept(void)
{
    /* Table defaults and tn_http_config_init agree. */
    struct tn_arena arena;
    struct tn_http_config by_table = {0}, by_hand;
    tn_arena_init(&arena, 0);
    tn_opt_defaults(&tn_http_opts, &by_table, &arena);
    tn_http_config_init(&by_hand);
    for (size_t i = 0; i < tn_http_opts.count; i++) {
        const struct tn_opt *opt = &tn_http_opts.items[i];
        struct tn_buf a, b;
        tn_buf_init(&a, 256);
        tn_buf_init(&b, 256);
        tn_opt_print_value(opt, &by_table, &a);
        tn_opt_print_value(opt, &by_hand, &b);
        CHECK(tn_str_eq(tn_buf_str(&a), tn_buf_str(&b)));
        tn_buf_release(&a);
        tn_buf_release(&b);
    }
    tn_arena_release(&arena);
}

int main(void)
{
    sem_init(&gone_seen, 0, 0);
    sem_init(&stream_gone, 0, 0);
    sem_init(&kept_there, 0, 0);
    sem_init(&endless_over, 0, 0);
    sem_init(&events_there, 0, 0);
    server_open(NULL);
    test_routes();
    test_bodies();
    test_later();
    test_stream();
    test_guard();
    test_forms();
    test_pipeline();
    test_gone();
    test_open_errors();
    test_accept();
    server_close();
    test_abandoned();
    test_slow();
    test_connections();
    return TN_TEST_END();
}
