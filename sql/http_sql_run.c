/* Running one statement for HTTP: session and budget in, bytes out.
 *
 * The answer is collected in the request's buffer. When it grows beyond TNI_SQL_BUFFER_BYTES (or
 * the statement is a push query) the reply becomes a stream: from then on the status is sent and an
 * error can only cut the stream, after an error line where the format has lines (NDJSON, SSE).
 *
 * @thread the one that runs the job
 */
#include "sql/http_sql_int.h"

#include "stream/base/mem.h"

void tni_sql_job_cancel(void *job)
{
    atomic_store(&((struct tni_sql_job *)job)->budget.is_cancelled, true);
}

void tni_sql_job_free(struct tni_sql_job *job)
{
    if (!job)
        return;
    TN_ASSERT(!job->req && !job->stream);
    tn_buf_release(&job->event);
    tn_free(job->text);
    tn_free(job->user);
    tn_free(job);
}

static void job_complete(struct tni_sql_job *job)
{
    struct tn_http_request *req = job->req;
    job->req = NULL;
    if (job->place != TNI_JOB_INLINE)
        tn_http_complete(req);
}

/* ---- bytes out ---- */

static enum tn_status gone(struct tn_err *err)
{
    return tn_err_set(err, TN_E_CANCELLED, "the client has left");
}

/* From here on the answer is streamed. */
static enum tn_status job_to_stream(struct tni_sql_job *job, struct tn_err *err)
{
    const char *type = job->is_sse ? "text/event-stream" : tn_result_content_type(job->format);
    size_t queue = job->is_sse ? TNI_SQL_SSE_BYTES : TNI_SQL_STREAM_BYTES;
    struct tn_buf *out = tn_http_out(job->req);
    enum tn_status st = tn_http_stream_open(job->req, 200, type, queue,
                                            job->is_sse ? TN_HTTP_SSE : 0, &job->stream, err);
    if (tn_failed(st)) {
        job->error_status = 503;
        return st;
    }
    tn_http_stream_on_gone(job->stream, tni_sql_job_cancel, job);
    st = tn_http_stream_write(job->stream, tn_buf_str(out));
    TN_ASSERT(st != TN_AGAIN); /* an empty queue takes any write */
    tn_buf_reset(out);
    job_complete(job);
    return st == TN_OK ? TN_OK : gone(err);
}

static enum tn_status write_bytes(struct tni_sql_job *job, struct tn_str bytes, struct tn_err *err)
{
    if (job->stream)
        return tn_http_stream_write_wait(job->stream, bytes) == TN_OK ? TN_OK : gone(err);
    struct tn_buf *out = tn_http_out(job->req);
    tn_buf_add_str(out, bytes);
    if (out->len < TNI_SQL_BUFFER_BYTES && !job->is_push)
        return TN_OK;
    if (job->place == TNI_JOB_INLINE) {
        job->is_overflow = true;
        return tn_err_set(err, TN_E_CANCELLED, "too long to be answered at once");
    }
    return job_to_stream(job, err);
}

static enum tn_status sink_write(struct tn_byte_sink *sink, const char *bytes, size_t len,
                                 struct tn_err *err)
{
    struct tni_sql_job *job =
        (struct tni_sql_job *)(void *)((char *)sink - offsetof(struct tni_sql_job, sink));
    return write_bytes(job, (struct tn_str){bytes, len}, err);
}

/* ---- server-sent events ---- */

static struct tni_sql_job *job_of_sse(struct tn_rows *rows)
{
    return (struct tni_sql_job *)(void *)((char *)rows - offsetof(struct tni_sql_job, sse_rows));
}

static enum tn_status sse_columns(struct tn_rows *rows, const struct tn_schema *schema,
                                  struct tn_err *err)
{
    struct tni_sql_job *job = job_of_sse(rows);
    struct tn_buf type;
    tn_buf_init(&type, 1 << 20);
    tn_buf_add_text(&job->event, "event: columns\ndata: [");
    for (uint32_t i = 0; i < schema->fields_count; i++) {
        tn_buf_reset(&type);
        tn_type_print_trino(schema->fields[i].type, &type);
        tn_buf_add_text(&job->event, i ? ",{\"name\":" : "{\"name\":");
        tn_buf_add_json(&job->event, schema->fields[i].name);
        tn_buf_add_text(&job->event, ",\"type\":");
        tn_buf_add_json(&job->event, tn_buf_str(&type));
        tn_buf_add_byte(&job->event, '}');
    }
    tn_buf_add_text(&job->event, "]\n\n");
    tn_buf_release(&type);
    enum tn_status st = write_bytes(job, tn_buf_str(&job->event), err);
    tn_buf_reset(&job->event);
    return st;
}

static enum tn_status sse_batch(struct tn_rows *rows, const struct tn_batch *batch,
                                struct tn_err *err)
{
    struct tni_sql_job *job = job_of_sse(rows);
    for (uint32_t row = 0; row < batch->rows_count; row++) {
        enum tn_op op = batch->ops ? (enum tn_op)batch->ops[row] : TN_OP_INSERT;
        if (op == TN_OP_UPDATE_BEFORE)
            continue;
        if (op == TN_OP_DELETE)
            tn_buf_add_text(&job->event, "event: delete\n");
        tn_buf_printf(&job->event, "id: %lld\ndata: ", (long long)++job->rows_count);
        tn_row_json(&job->event, batch, row);
        tn_buf_add_text(&job->event, "\n\n");
        if (job->event.len >= TNI_SQL_SSE_BYTES / 4) {
            TN_TRY(write_bytes(job, tn_buf_str(&job->event), err));
            tn_buf_reset(&job->event);
        }
    }
    enum tn_status st = write_bytes(job, tn_buf_str(&job->event), err);
    tn_buf_reset(&job->event);
    return st;
}

/* ---- push queries through POST /sql: every batch goes out at once ---- */

struct push_rows {
    struct tn_rows base; /* first member */
    struct tn_writer *writer;
};

static enum tn_status push_columns(struct tn_rows *rows, const struct tn_schema *schema,
                                   struct tn_err *err)
{
    struct push_rows *push = (struct push_rows *)rows;
    struct tn_rows *inner = tn_writer_rows(push->writer);
    TN_TRY(inner->columns(inner, schema, err));
    return tn_writer_flush(push->writer, err);
}

static enum tn_status push_batch(struct tn_rows *rows, const struct tn_batch *batch,
                                 struct tn_err *err)
{
    struct push_rows *push = (struct push_rows *)rows;
    struct tn_rows *inner = tn_writer_rows(push->writer);
    TN_TRY(inner->batch(inner, batch, err));
    return tn_writer_flush(push->writer, err);
}

/* ---- the statement ---- */

static enum tn_status run_statement(struct tni_sql_job *job, struct tn_rows *rows,
                                    struct tn_err *err)
{
    struct tn_db *db = job->http->config.db;
    struct tn_str text = {job->text, job->text_len};
    TN_TRY(tn_budget_check(&job->budget, err)); /* left while it waited in the queue? */
    if (job->is_fresh)
        TN_TRY(tn_db_wait_fresh(db, &job->session, text, &job->budget, err));
    return tn_db_run(db, &job->session, text, &job->budget, rows, &job->class, err);
}

static enum tn_status run_with_writer(struct tni_sql_job *job, struct tn_err *err)
{
    job->sink.write = sink_write;
    struct tn_writer *writer = tn_writer_new(job->format, &job->sink);
    struct push_rows push = {{push_columns, push_batch}, writer};
    enum tn_status st = run_statement(job, job->is_push ? &push.base : tn_writer_rows(writer), err);
    if (!tn_failed(st))
        st = tn_writer_finish(writer, err);
    else if (job->stream)
        (void)tn_writer_flush(writer, NULL); /* rows that came before the error */
    tn_writer_free(writer);
    return st;
}

static enum tn_status run_with_events(struct tni_sql_job *job, struct tn_err *err)
{
    job->sse_rows = (struct tn_rows){sse_columns, sse_batch};
    TN_TRY(run_statement(job, &job->sse_rows, err));
    return write_bytes(job, TN_STR("event: end\ndata: {}\n\n"), err);
}

static void job_count(struct tni_sql_job *job, enum tn_status st)
{
    struct tni_sql_metrics *m = &job->http->m;
    int64_t ns = tn_mono_ns(job->http->config.clock) - job->started_ns;
    if (st == TN_E_CANCELLED)
        tn_metric_add(m->cancelled, 1);
    else if (tn_failed(st))
        tn_metric_add(m->failed, 1);
    else if ((unsigned)job->class < 5)
        tn_metric_add(m->statements[job->class], 1);
    if (job->place != TNI_JOB_PUSH)
        tn_metric_observe(m->ns, ns);
}

/* The stream has begun: say what went wrong as far as the format can, and cut. */
static void stream_finish(struct tni_sql_job *job, enum tn_status st, const struct tn_err *err)
{
    bool has_lines = job->is_sse || job->format == TN_RESULT_NDJSON;
    if (tn_failed(st) && st != TN_E_CANCELLED && has_lines) {
        tn_buf_reset(&job->event);
        if (job->is_sse)
            tn_buf_add_text(&job->event, "event: error\ndata: ");
        tn_http_print_error(&job->event, err);
        if (job->is_sse)
            tn_buf_add_byte(&job->event, '\n');
        (void)tn_http_stream_write_wait(job->stream, tn_buf_str(&job->event));
    }
    struct tn_http_stream *stream = job->stream;
    job->stream = NULL;
    tn_http_stream_end(stream, tn_failed(st));
}

static void reply_finish(struct tni_sql_job *job, enum tn_status st, const struct tn_err *err)
{
    if (tn_failed(st)) {
        /* TN_E_NAME is 404 only for paths; a statement that names nothing known is a bad request.
         */
        tn_http_reply_error(job->req, 0, err);
    } else {
        tn_http_reply(job->req, 200,
                      job->is_sse ? "text/event-stream" : tn_result_content_type(job->format));
    }
    job_complete(job);
}

/* An inline attempt that did not fit: forget what it wrote. */
static bool must_move(const struct tni_sql_job *job, enum tn_status st)
{
    if (job->place != TNI_JOB_INLINE)
        return false;
    return job->is_overflow || st == TN_E_TIMEOUT;
}

bool tni_sql_job_run(struct tni_sql_job *job)
{
    struct tn_http_sql *http = job->http;
    struct tn_err err = TN_ERR_INIT;
    int64_t from_ns = tn_mono_ns(http->config.clock);
    enum tn_status st = job->is_sse ? run_with_events(job, &err) : run_with_writer(job, &err);
    int64_t ns = tn_mono_ns(http->config.clock) - from_ns;
    if (must_move(job, st)) {
        tni_sql_shape_took(http, job->shape, UINT32_MAX);
        tn_buf_reset(tn_http_out(job->req));
        tn_metric_add(http->m.retried, 1);
        return false;
    }
    if (!tn_failed(st) && job->class == TN_STMT_QUERY && !job->is_fresh)
        tni_sql_shape_took(http, job->shape, job->stream ? UINT32_MAX : ns);
    job_count(job, st);
    if (job->stream)
        stream_finish(job, st, &err);
    else
        reply_finish(job, st, &err);
    return true;
}
