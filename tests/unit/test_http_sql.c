/* The HTTP surface of SQL over a scripted database: formats, sessions, errors, long answers as
 * streams, deadlines, cancellation when the client leaves, the queue limit, push queries as NDJSON
 * and server-sent events, inline and pool. Covers sql/http_sql*.c. What statements mean is tested
 * elsewhere: the stand-in for the database knows a few words.
 */
#include <semaphore.h>
#include <stdatomic.h>

#include "connectors/formats.h"
#include "connectors/http_client.h"
#include "sql/http_sql.h"
#include "sql/http_sql_int.h"
#include "stream/base/mem.h"
#include "tests/check.h"
#include "tests/support/mem_log.h"
#include "tests/support/raw_http.h"
#include "tests/support/test_clock.h"

/* ---- a database of a few words ---- */

struct tn_db {
    atomic_int runs;
    sem_t started, ended;
    _Atomic int seen_fresh;
    char catalog[64], schema[64];
    bool is_read_only;
};

static struct tn_db db;

void tn_session_init(struct tn_session *session)
{
    *session = (struct tn_session){.catalog = "tarn", .schema = "default"};
}

static struct tn_field row_fields[2] = {{{"n", 1}, NULL}, {{"s", 1}, NULL}};
static const struct tn_schema row_schema = {2, row_fields};

/* `count` rows (n, 's') in batches of 100. */
static enum tn_status push_rows(struct tn_rows *rows, int count, uint8_t op, struct tn_err *err)
{
    struct tn_arena arena;
    enum tn_status st = TN_OK;
    tn_arena_init(&arena, 0);
    for (int at = 0; at < count && !tn_failed(st); at += 100) {
        uint32_t n = (uint32_t)(count - at < 100 ? count - at : 100);
        tn_arena_reset(&arena);
        struct tn_batch *batch = tn_batch_new(&row_schema, n, &arena);
        struct tn_colbuilder *numbers = tn_colbuilder_new(row_fields[0].type, &arena);
        struct tn_colbuilder *texts = tn_colbuilder_new(row_fields[1].type, &arena);
        batch->ops = tn_arena_zalloc(&arena, n, 1);
        memset(batch->ops, op, n);
        for (uint32_t i = 0; i < n; i++) {
            struct tn_value number = {.type = row_fields[0].type, .i = at + (int)i};
            struct tn_value text = {.type = row_fields[1].type, .s = TN_STR("<s>")};
            tn_colbuilder_add(numbers, &number);
            tn_colbuilder_add(texts, &text);
        }
        tn_colbuilder_finish(numbers, &batch->columns[0]);
        tn_colbuilder_finish(texts, &batch->columns[1]);
        st = rows->batch(rows, batch, err);
    }
    tn_arena_release(&arena);
    return st;
}

static enum tn_status run_until_cancelled(struct tn_budget *budget, struct tn_err *err)
{
    enum tn_status st;
    sem_post(&db.started);
    while (!tn_failed(st = tn_budget_check(budget, err)))
        sched_yield();
    sem_post(&db.ended);
    return st;
}

static bool has(struct tn_str text, const char *word)
{
    return memmem(text.ptr, text.len, word, strlen(word)) != NULL;
}

enum tn_status tn_db_run(struct tn_db *self, struct tn_session *session, struct tn_str text,
                         struct tn_budget *budget, struct tn_rows *rows,
                         enum tn_statement_class *ret_class, struct tn_err *err)
{
    atomic_fetch_add(&self->runs, 1);
    memcpy(self->catalog, session->catalog, sizeof self->catalog);
    memcpy(self->schema, session->schema, sizeof self->schema);
    self->is_read_only = session->is_read_only;
    *ret_class = has(text, "CREATE") ? TN_STMT_DDL : TN_STMT_QUERY;
    if (has(text, "bad")) {
        enum tn_status st = tn_err_at(err, TN_E_SYNTAX, NULL, 1, 8, "what is 'bad'?");
        tn_err_hint(err, "good");
        return st;
    }
    if (has(text, "nothing"))
        return tn_err_set(err, TN_E_NAME, "no such table");
    if (has(text, "full"))
        return tn_err_set(err, TN_E_FULL, "the disk is full");
    if (has(text, "CREATE"))
        return TN_OK;
    if (has(text, "sleep"))
        return run_until_cancelled(budget, err);
    TN_TRY(rows->columns(rows, &row_schema, err));
    TN_TRY(push_rows(rows, has(text, "many") ? 200000 : 2, TN_OP_INSERT, err));
    if (has(text, "late"))
        return tn_err_set(err, TN_E_EVAL, "division by zero");
    if (has(text, "EMIT")) {
        TN_TRY(push_rows(rows, 1, TN_OP_UPDATE_BEFORE, err));
        TN_TRY(push_rows(rows, 1, TN_OP_DELETE, err));
    }
    return has(text, "forever") ? run_until_cancelled(budget, err) : TN_OK;
}

enum tn_status tn_db_wait_fresh(struct tn_db *self, struct tn_session *session, struct tn_str text,
                                struct tn_budget *budget, struct tn_err *err)
{
    (void)session;
    (void)budget;
    atomic_fetch_add(&self->seen_fresh, 1);
    if (has(text, "lagging"))
        return tn_err_set(err, TN_E_TIMEOUT, "query Q1 lags by 5 records");
    return TN_OK;
}

const struct tn_catalog *tn_db_catalog(struct tn_db *self)
{
    (void)self;
    return NULL;
}

bool tn_engine_is_ready(struct tn_engine *engine, struct tn_buf *ret_reason)
{
    if (!engine)
        tn_buf_add_text(ret_reason, "query Q1 is restoring");
    return engine != NULL;
}

void tn_engine_each_query(struct tn_engine *engine,
                          bool (*each)(void *ctx, const struct tn_query_info *info), void *ctx)
{
    static struct tn_plan plan = {.query_id = "CTAS_1"};
    struct tn_query_info info = {.plan = &plan, .state = TN_QUERY_RUNNING, .lag_records = 7};
    (void)engine;
    each(ctx, &info);
}

/* ---- fixture ---- */

static struct tn_metrics *metrics;
static struct tn_http_server *server;
static struct tn_http_sql *http;
static struct tn_http_client *client;
static struct tn_http_response answer;
static struct tn_log *mem_log;

static void up(int threads, int queue, int64_t timeout_ms)
{
    struct tn_err err = TN_ERR_INIT;
    struct tn_http_config config;
    char url[160];
    row_fields[0].type = tn_type_of(TN_K_BIGINT);
    row_fields[1].type = tn_type_of(TN_K_VARCHAR);
    sem_init(&db.started, 0, 0);
    sem_init(&db.ended, 0, 0);
    metrics = tn_metrics_new();
    mem_log = tn_mem_log_new(true);
    tn_http_config_init(&config);
    config.listen = "127.0.0.1:0";
    config.sse_max = 2;
    CHECK_OK(tn_http_open(&config, &test_clock, metrics, &server, &err), &err);
    struct tn_http_sql_config sql = {.db = &db,
                                     .log = mem_log,
                                     .clock = &test_clock,
                                     .metrics = metrics,
                                     .formats = tn_formats_builtin(),
                                     .application_id = "app",
                                     .version = "0.1.0",
                                     .timeout_ms = timeout_ms,
                                     .threads_count = threads,
                                     .queue_max = queue};
    CHECK_OK(tn_http_sql_open(&sql, server, &http, &err), &err);
    CHECK_OK(tn_http_start(server, &err), &err);
    snprintf(url, sizeof url, "http://%s", tn_http_address(server));
    CHECK_OK(tn_http_client_new(url, 20000, &client, &err), &err);
}

static void down(void)
{
    tn_http_client_free(client);
    tn_http_stop(server, 2000);
    tn_http_sql_close(http);
    tn_http_close(server);
    mem_log->type->close(mem_log);
    tn_metrics_free(metrics);
    sem_destroy(&db.started);
    sem_destroy(&db.ended);
}

static int call(const char *method, const char *path, const char *name, const char *value,
                const char *body)
{
    struct tn_err err = TN_ERR_INIT;
    struct tn_http_header_pair header = {name, value};
    CHECK_OK(
        tn_http_call(client, method, path, &header, name != NULL, tn_str_of(body), &answer, &err),
        &err);
    return err.code ? 0 : answer.status;
}

static int sql(const char *text)
{
    return call("POST", "/sql", "Accept", "application/x-ndjson", text);
}

/* ---- tests ---- */

static void test_formats(void)
{
    CHECK_INT(sql("SELECT 1"), 200);
    CHECK_STR(answer.content_type, "application/x-ndjson");
    CHECK_STR(answer.body, "{\"n\":0,\"s\":\"<s>\"}\n{\"n\":1,\"s\":\"<s>\"}\n");
    CHECK_INT(call("POST", "/sql", "Accept", "application/json", "SELECT 1"), 200);
    CHECK_STR(answer.body, "{\"columns\":[{\"name\":\"n\",\"type\":\"bigint\"},{\"name\":\"s\","
                           "\"type\":\"varchar\"}],\"rows\":[\n[0,\"<s>\"],\n[1,\"<s>\"]\n]}\n");
    CHECK_INT(call("POST", "/sql", "Accept", "text/csv;q=0.9, application/json;q=0.1", "SELECT 1"),
              200);
    CHECK_STR(answer.body, "n,s\r\n0,<s>\r\n1,<s>\r\n");
    CHECK_INT(call("POST", "/sql", "Accept", "*/*", "SELECT 1"), 200);
    CHECK_STR(answer.content_type, "application/x-ndjson");
    CHECK_INT(call("POST", "/sql?format=csv", NULL, NULL, "SELECT 1"), 200);
    CHECK_STR(answer.content_type, "text/csv; charset=utf-8; header=present");
    CHECK_INT(call("POST", "/sql", "Accept", "image/png", "SELECT 1"), 406);
    CHECK_INT(call("POST", "/sql?format=xml", NULL, NULL, "SELECT 1"), 400);
    CHECK_INT(sql("CREATE"), 200);
    CHECK_STR(answer.body, "");
}

static void test_requests(void)
{
    CHECK_INT(call("POST", "/sql?schema=gold", "X-Tarn-Catalog", "hive", "SELECT 1"), 200);
    CHECK(strcmp(db.catalog, "hive") == 0 && strcmp(db.schema, "gold") == 0);
    CHECK(!db.is_read_only);
    CHECK_INT(call("GET", "/sql?q=SELECT%201", NULL, NULL, ""), 200);
    CHECK(strcmp(db.catalog, "tarn") == 0 && db.is_read_only);
    CHECK_INT(call("GET", "/sql", NULL, NULL, ""), 400);
    CHECK_INT(sql(" \n "), 400);
    CHECK_INT(sql("SELECT '\xff'"), 400);
    CHECK_INT(call("POST", "/sql?fresh=1", NULL, NULL, "SELECT 1"), 200);
    CHECK_INT(atomic_load(&db.seen_fresh), 1);
    CHECK_INT(call("POST", "/sql?fresh=0", NULL, NULL, "SELECT 1"), 200);
    CHECK_INT(atomic_load(&db.seen_fresh), 1);
    CHECK_INT(call("POST", "/sql?fresh=x", NULL, NULL, "SELECT 1"), 400);
    CHECK_INT(call("POST", "/sql?fresh=1", NULL, NULL, "SELECT lagging"), 504);
    CHECK(memmem(answer.body.ptr, answer.body.len, "lags by 5 records", 17) != NULL);
    char *text = tn_alloc((64 << 10) + 2);
    memset(text, ' ', (64 << 10) + 1);
    memcpy(text, "SELECT 1", 8);
    CHECK_INT(sql(text), 413);
    tn_free(text);
}

static void test_errors(void)
{
    CHECK_INT(sql("SELECT bad"), 400);
    CHECK_STR(answer.body,
              "{\"error\":{\"code\":\"E_SYNTAX\",\"name\":\"SYNTAX_ERROR\",\"message\":"
              "\"what is 'bad'?\",\"line\":1,\"column\":8,\"hint\":\"good\"}}\n");
    struct tn_err err = TN_ERR_INIT;
    CHECK_INT(tn_http_response_error(&answer, &err), TN_E_SYNTAX);
    CHECK(err.line == 1 && err.col == 8 && strcmp(err.hint, "good") == 0);
    CHECK_STR(tn_str_of(err.message), "what is 'bad'?");
    CHECK_INT(sql("SELECT nothing"), 400);
    CHECK_INT(sql("INSERT full"), 503);
    /* Before anything was sent, rows are forgotten. */
    CHECK_INT(sql("SELECT late"), 400);
    CHECK(memmem(answer.body.ptr, answer.body.len, "{\"n\"", 4) == NULL);
}

static void test_deadline(void)
{
    CHECK_INT(sql("SELECT sleep"), 504);
    CHECK(memmem(answer.body.ptr, answer.body.len, "EXCEEDED_TIME_LIMIT", 19) != NULL);
    sem_wait(&db.started);
    sem_wait(&db.ended);
}

static bool take(void *ctx, struct tn_str bytes)
{
    tn_buf_add_str(ctx, bytes);
    return true;
}

static void test_long(void)
{
    struct tn_err err = TN_ERR_INIT;
    struct tn_buf all;
    tn_buf_init(&all, 64 << 20);
    CHECK_OK(tn_http_call_stream(client, "POST", "/sql", NULL, 0, TN_STR("SELECT many"), take, &all,
                                 &answer, &err),
             &err);
    size_t lines = 0;
    for (const char *p = all.ptr; (p = memchr(p, '\n', (size_t)(all.ptr + all.len - p))); p++)
        lines++;
    CHECK_INT(lines, 200000);
    tn_buf_reset(&all);
    /* An error behind the first bytes: an error line, and no proper end. */
    CHECK_INT(tn_http_call_stream(client, "POST", "/sql", NULL, 0, TN_STR("SELECT many late"), take,
                                  &all, &answer, &err),
              TN_E_IO);
    CHECK(memmem(all.ptr + all.len - 200, 200, "division by zero", 16) != NULL);
    tn_buf_release(&all);
}

static void test_gone(void)
{
    char text[256];
    const char *body = "SELECT sleep";
    int fd = raw_connect(tn_http_address(server));
    snprintf(text, sizeof text,
             "POST /sql HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n%s", strlen(body),
             body);
    CHECK(raw_text(fd, text));
    sem_wait(&db.started);
    close(fd);
    sem_wait(&db.ended); /* the executor was cancelled */
    /* The same for a push query that has nothing to send. */
    fd = raw_connect(tn_http_address(server));
    CHECK(raw_text(fd, "GET /sql/stream?q=SELECT%20forever%20EMIT%20CHANGES HTTP/1.1\r\nHost: "
                       "localhost\r\n\r\n"));
    sem_wait(&db.started);
    close(fd);
    sem_wait(&db.ended);
}

/* Threads of ended push queries and their connections count against the limits until they are
 * over. */
static void wait_no_push(void)
{
    do
        CHECK_INT(call("GET", "/metrics", NULL, NULL, ""), 200);
    while (!memmem(answer.body.ptr, answer.body.len, "\ntarn_sql_push_queries 0\n", 25) ||
           !memmem(answer.body.ptr, answer.body.len, "\ntarn_http_event_streams 0\n", 27));
}

static void test_push(void)
{
    char text[4096];
    int fds[3];
    for (int i = 0; i < 3; i++) {
        fds[i] = raw_connect(tn_http_address(server));
        CHECK(raw_text(fds[i], "GET /sql/stream?q=SELECT%20forever%20EMIT%20CHANGES HTTP/1.1\r\n"
                               "Host: localhost\r\n\r\n"));
        if (i == 2) { /* over http.sse.max */
            raw_read_until(fds[i], "\"error\"", text, sizeof text);
            CHECK(strstr(text, "503") != NULL);
            break;
        }
        raw_read_until(fds[i], "event: delete\nid: 3\ndata: {\"n\":0,\"s\":\"<s>\"}\n\n", text,
                       sizeof text);
        CHECK(strstr(text, "event: columns\ndata: [{\"name\":\"n\",\"type\":\"bigint\"}") != NULL);
        CHECK(strstr(text, "id: 1\ndata: {\"n\":0,\"s\":\"<s>\"}\n\nid: 2\ndata:") != NULL);
        CHECK(strstr(text, "event: delete") != NULL);
        sem_wait(&db.started);
    }
    for (int i = 0; i < 3; i++)
        close(fds[i]);
    sem_wait(&db.ended);
    sem_wait(&db.ended);
    wait_no_push();
    /* An error before the first row has a status; a query that ends says so. */
    CHECK_INT(call("GET", "/sql/stream?q=SELECT%20bad", NULL, NULL, ""), 400);
    wait_no_push();
    int fd = raw_connect(tn_http_address(server));
    CHECK(raw_text(fd, "GET /sql/stream?q=SELECT%201 HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    raw_read_until(fd, "event: end\ndata: {}\n\n", text, sizeof text);
    CHECK(strstr(text, "event: end\ndata: {}\n\n") != NULL);
    close(fd);
    fd = raw_connect(tn_http_address(server));
    CHECK(raw_text(fd, "GET /sql/stream?q=SELECT%20late HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    raw_read_until(fd, "event: error\ndata: {\"error\"", text, sizeof text);
    CHECK(strstr(text, "event: error\ndata: {\"error\"") != NULL);
    close(fd);
    wait_no_push();
    /* Over POST /sql rows come while the query runs. */
    const char *body = "SELECT forever /* x */ EMIT  CHANGES";
    fd = raw_connect(tn_http_address(server));
    snprintf(text, sizeof text,
             "POST /sql HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n%s", strlen(body),
             body);
    CHECK(raw_text(fd, text));
    raw_read_until(fd, "{\"n\":1,\"s\":\"<s>\"}\n", text, sizeof text);
    CHECK(strstr(text, "{\"n\":0") != NULL);
    sem_wait(&db.started);
    close(fd);
    sem_wait(&db.ended);
}

static long long counted(const char *metric)
{
    struct tn_buf buf;
    char name[80];
    tn_buf_init(&buf, 1 << 20);
    tn_metrics_print(metrics, &buf);
    snprintf(name, sizeof name, "\n%s ", metric);
    const char *line = strstr(tn_buf_cstr(&buf), name);
    long long value = line ? atoll(line + strlen(name)) : -1;
    tn_buf_release(&buf);
    return value;
}

static void test_inline(void)
{
    /* A shape that was short runs on the polling thread (on a busy machine not at once); one that
     * turns out long is moved, its result whole. */
    CHECK_INT(counted("tarn_sql_inline_retried_total"), 0);
    while (counted("tarn_sql_inline_retried_total") == 0) {
        long long before = counted("tarn_sql_inline_total");
        while (counted("tarn_sql_inline_total") == before)
            CHECK_INT(sql("SELECT 7 FROM t WHERE id = 5"), 200);
        CHECK_INT(sql("SELECT 8 FROM t WHERE id = 'many'"), 200); /* same shape, long answer */
        CHECK(answer.body.len > 1 << 20);
    }
    CHECK_INT(tni_sql_shape(TN_STR("SELECT  1")), tni_sql_shape(TN_STR("SELECT 'a''b' -- c\n")));
    CHECK(tni_sql_shape(TN_STR("SELECT a1")) != tni_sql_shape(TN_STR("SELECT a2")));
    CHECK(tni_sql_shape(TN_STR("SELECT a b")) != tni_sql_shape(TN_STR("SELECT ab")));
    CHECK(tni_sql_is_push(TN_STR("select * from t emit\nchanges limit 1")));
    CHECK(!tni_sql_is_push(TN_STR("select 'emit changes' /* emit changes */ -- emit changes")));
    CHECK(!tni_sql_is_push(TN_STR("select emit, changes")));
}

static void test_queue(void)
{
    /* One thread, one place in the queue: the third is refused, and gets its turn later. */
    char text[512];
    int fds[2];
    const char *body = "SELECT sleep";
    for (int i = 0; i < 2; i++) {
        fds[i] = raw_connect(tn_http_address(server));
        snprintf(text, sizeof text,
                 "POST /sql HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n%s",
                 strlen(body), body);
        CHECK(raw_text(fds[i], text));
        if (i == 0)
            sem_wait(&db.started);
    }
    do
        CHECK_INT(call("GET", "/metrics", NULL, NULL, ""), 200);
    while (!memmem(answer.body.ptr, answer.body.len, "\ntarn_sql_queued 1\n", 19));
    CHECK_INT(sql("SELECT other, text"), 503);
    CHECK_INT(answer.retry_after_ms, 1000);
    /* The server stops with one statement running and one waiting: both end. */
    tn_http_stop(server, 2000);
    sem_wait(&db.ended);
    for (int i = 0; i < 2; i++)
        close(fds[i]);
}

static void test_probes(void)
{
    CHECK_INT(call("GET", "/healthz", NULL, NULL, ""), 200);
    CHECK_INT(call("GET", "/readyz", NULL, NULL, ""), 503);
    CHECK_STR(answer.body, "{\"ready\":false,\"missing\":\"query Q1 is restoring\"}\n");
    CHECK_INT(call("GET", "/v1/info", NULL, NULL, ""), 200);
    CHECK(memmem(answer.body.ptr, answer.body.len, "\"nodeVersion\":{\"version\":\"0.1.0\"}", 33));
    CHECK_INT(call("GET", "/metrics", NULL, NULL, ""), 200);
    CHECK(memmem(answer.body.ptr, answer.body.len, "tarn_query_lag_records{query=\"CTAS_1\"} 7\n",
                 41));
    CHECK(memmem(answer.body.ptr, answer.body.len, "tarn_process_resident_bytes ", 28));
}

int main(void)
{
    up(1, 16, 500);
    test_deadline();
    down();
    up(2, 16, 60000);
    test_formats();
    test_requests();
    test_errors();
    test_long();
    test_push();
    test_inline();
    test_probes();
    down();
    up(1, 1, 60000);
    test_gone();
    test_queue();
    down();
    return TN_TEST_END();
}
