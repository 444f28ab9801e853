/* The documents of the Trino protocol. A member that has no value is left out, never null; columns
 * stand before data on every page once they are known; the end of a result is the absence of
 * nextUri.
 * @thread any, with the query's lock held */
#include <inttypes.h>

#include "sql/trino_int.h"
#include "stream/base/clock.h"

static void add_member_json(struct tn_buf *buf, const char *name, struct tn_str text)
{
    tn_buf_printf(buf, ",\"%s\":", name);
    tn_buf_add_json(buf, text);
}

static void add_head(struct tn_buf *buf, const struct tni_trino_query *query)
{
    tn_buf_printf(buf, "{\"id\":\"%s\",\"infoUri\":\"%s/ui/query.html?%s\"", query->id,
                  query->client.base, query->id);
}

static void add_next(struct tn_buf *buf, const struct tni_trino_query *query, int64_t token)
{
    tn_buf_printf(buf, ",\"nextUri\":\"%s/v1/statement/executing/%s/%s/%" PRId64 "\"",
                  query->client.base, query->id, query->slug, token);
}

const char *tni_trino_state_name(enum tni_trino_state state)
{
    static const char *const names[] = {"QUEUED", "RUNNING", "FINISHED", "FAILED"};
    return names[state];
}

static void add_stats(struct tn_buf *buf, const struct tni_trino_query *query,
                      enum tni_trino_state state)
{
    bool is_queued = state == TNI_TRINO_QUEUED, is_over = state >= TNI_TRINO_FINISHED;
    int64_t now_ns = query->ended_ns ? query->ended_ns : tn_mono_ns(query->trino->config.clock);
    int64_t from_ns = query->started_ns ? query->started_ns : now_ns;
    int64_t elapsed_ms = (now_ns - query->created_ns) / 1000000;
    int64_t wall_ms = (now_ns - from_ns) / 1000000;
    tn_buf_printf(buf, ",\"stats\":{\"state\":\"%s\",\"queued\":%s,\"scheduled\":%s",
                  tni_trino_state_name(state), is_queued ? "true" : "false",
                  is_queued ? "false" : "true");
    if (!is_queued)
        tn_buf_printf(buf, ",\"progressPercentage\":%s,\"runningPercentage\":%s",
                      is_over ? "100.0" : "0.0", is_over ? "0.0" : "100.0");
    tn_buf_printf(buf,
                  ",\"nodes\":%d,\"totalSplits\":%d,\"queuedSplits\":0,\"runningSplits\":%d,"
                  "\"completedSplits\":%d,\"planningTimeMillis\":0,\"analysisTimeMillis\":0,"
                  "\"cpuTimeMillis\":%" PRId64 ",\"wallTimeMillis\":%" PRId64
                  ",\"queuedTimeMillis\":%" PRId64 ",\"elapsedTimeMillis\":%" PRId64
                  ",\"finishingTimeMillis\":0,\"physicalInputTimeMillis\":0,"
                  "\"processedRows\":%" PRId64 ",\"processedBytes\":0,\"physicalInputBytes\":0,"
                  "\"physicalWrittenBytes\":0,\"internalNetworkInputBytes\":0,"
                  "\"peakMemoryBytes\":0,\"spilledBytes\":0}",
                  is_queued ? 0 : 1, is_queued ? 0 : 1, !is_queued && !is_over, is_over, wall_ms,
                  wall_ms, (from_ns - query->created_ns) / 1000000, elapsed_ms, query->rows_count);
}

static void add_location(struct tn_buf *buf, const struct tn_err *err)
{
    if (err->line > 0)
        tn_buf_printf(buf, ",\"errorLocation\":{\"lineNumber\":%d,\"columnNumber\":%d}", err->line,
                      err->col);
}

static void add_error(struct tn_buf *buf, const struct tn_err *err)
{
    struct tni_trino_error error = tni_trino_error_of(err);
    struct tn_buf text;
    tn_buf_init(&text, 2048);
    tni_trino_error_text(err, &text);
    tn_buf_add_text(buf, ",\"error\":{\"message\":");
    tn_buf_add_json(buf, tn_buf_str(&text));
    tn_buf_printf(buf, ",\"errorCode\":%d,\"errorName\":\"%s\",\"errorType\":\"%s\"", error.code,
                  error.name, error.type);
    add_location(buf, err);
    tn_buf_printf(buf, ",\"failureInfo\":{\"type\":\"%s\",\"message\":",
                  error.code == 1 ? "io.trino.sql.parser.ParsingException"
                                  : "io.trino.spi.TrinoException");
    tn_buf_add_json(buf, tn_buf_str(&text));
    tn_buf_printf(buf,
                  ",\"suppressed\":[],\"stack\":[],\"errorInfo\":{\"code\":%d,\"name\":\"%s\","
                  "\"type\":\"%s\"}",
                  error.code, error.name, error.type);
    add_location(buf, err);
    tn_buf_add_text(buf, "}}");
    tn_buf_release(&text);
}

void tni_trino_doc_post(struct tni_trino_query *query, struct tn_buf *buf)
{
    add_head(buf, query);
    add_next(buf, query, 0);
    add_stats(buf, query, TNI_TRINO_QUEUED);
    tn_buf_add_text(buf, ",\"warnings\":[]}");
}

/* Page `query->token` + 1. */
void tni_trino_doc_page(struct tni_trino_query *query, const struct tni_trino_page *page,
                        bool is_last, struct tn_buf *buf)
{
    bool has_failed = is_last && query->err.code != TN_OK;
    enum tni_trino_state state = has_failed                                  ? TNI_TRINO_FAILED
                                 : is_last                                   ? TNI_TRINO_FINISHED
                                 : query->state == TNI_TRINO_QUEUED && !page ? TNI_TRINO_QUEUED
                                                                             : TNI_TRINO_RUNNING;
    add_head(buf, query);
    if (!is_last)
        add_next(buf, query, query->token + 2);
    if (query->has_columns) {
        tn_buf_add_text(buf, ",\"columns\":");
        tn_buf_add_str(buf, tn_buf_str(&query->columns));
    }
    if (page && page->len) {
        tn_buf_add_text(buf, ",\"data\":[");
        tn_buf_add(buf, page->rows, page->len);
        tn_buf_add_byte(buf, ']');
    }
    add_stats(buf, query, state);
    if (has_failed)
        add_error(buf, &query->err);
    tn_buf_add_text(buf, ",\"warnings\":[]");
    if (query->update_type)
        add_member_json(buf, "updateType", tn_str_of(query->update_type));
    if (is_last && !has_failed && query->update_count >= 0)
        tn_buf_printf(buf, ",\"updateCount\":%" PRId64, query->update_count);
    tn_buf_add_byte(buf, '}');
}

/* GET /v1/query and /v1/query/{id}. */
void tni_trino_doc_info(struct tni_trino_query *query, bool is_full, struct tn_buf *buf)
{
    enum tni_trino_state state = query->state;
    tn_buf_printf(buf, "{\"queryId\":\"%s\",\"session\":{\"queryId\":\"%s\",\"user\":", query->id,
                  query->id);
    tn_buf_add_json(buf, tn_str_of(query->client.user));
    add_member_json(buf, "source", tn_str_of(query->client.source));
    add_member_json(buf, "catalog", tn_str_of(query->session.catalog));
    add_member_json(buf, "schema", tn_str_of(query->session.schema));
    tn_buf_printf(buf,
                  "},\"resourceGroupId\":[\"global\"],\"state\":\"%s\",\"scheduled\":%s,"
                  "\"self\":\"%s/v1/query/%s\",\"query\":",
                  tni_trino_state_name(state), state == TNI_TRINO_QUEUED ? "false" : "true",
                  query->client.base, query->id);
    tn_buf_add_json(buf, (struct tn_str){query->text, query->text_len});
    int64_t until_ns = query->ended_ns ? query->ended_ns : tn_mono_ns(query->trino->config.clock);
    tn_buf_printf(buf, ",\"queryStats\":{\"elapsedTime\":\"%.2fms\",\"outputRows\":%" PRId64 "}",
                  (double)(until_ns - query->created_ns) / 1e6, query->rows_count);
    if (query->update_type)
        add_member_json(buf, "updateType", tn_str_of(query->update_type));
    if (is_full && query->is_done && query->err.code != TN_OK) {
        struct tni_trino_error error = tni_trino_error_of(&query->err);
        tn_buf_printf(buf,
                      ",\"errorType\":\"%s\",\"errorCode\":{\"code\":%d,\"name\":\"%s\","
                      "\"type\":\"%s\"}",
                      error.type, error.code, error.name, error.type);
    }
    tn_buf_add_text(buf, ",\"retryPolicy\":\"NONE\"}");
}
