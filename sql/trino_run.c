/* Running one statement for the Trino protocol: rows are printed into pages of about one megabyte
 * and handed to the query object.
 * @thread the one that runs the statement */
#include "sql/trino_int.h"
#include "stream/base/mem.h"

struct page_rows {
    struct tn_rows base; /* first: the executor calls it */
    struct tni_trino_query *query;
    const struct tn_schema *schema; /* the bound types, which know time zones; while rows come */
    bool is_message, is_count;      /* the one column that statements without a result answer */
    int64_t written;                /* what a column `rows` said; −1 = nothing */
    struct tn_buf buf;
};

static bool is_only(const struct tn_schema *schema, const char *name, enum tn_kind kind)
{
    return schema && schema->fields_count == 1 && schema->fields[0].type->kind == kind &&
           tn_str_eq(schema->fields[0].name, tn_str_of(name));
}

static enum tn_status page_columns(struct tn_rows *rows, const struct tn_schema *schema,
                                   struct tn_err *err)
{
    struct page_rows *page = (struct page_rows *)rows;
    struct tni_trino_query *query = page->query;
    (void)err;
    page->schema = schema;
    page->is_message = is_only(schema, "message", TN_K_VARCHAR);
    page->is_count = is_only(schema, "rows", TN_K_BIGINT);
    pthread_mutex_lock(&query->lock);
    tn_buf_reset(&query->columns);
    tni_trino_columns(&query->columns, schema, query->client.has_datetime);
    query->has_columns = true;
    query->state = TNI_TRINO_RUNNING;
    pthread_mutex_unlock(&query->lock);
    return TN_OK;
}

static enum tn_status page_flush(struct page_rows *page, struct tn_err *err)
{
    size_t len;
    if (tn_buf_over(&page->buf))
        return tn_err_set(err, TN_E_LIMIT, "a result row is larger than %zu bytes",
                          TNI_TRINO_ROW_MAX);
    if (page->buf.len == 0)
        return TN_OK;
    char *bytes = tn_buf_detach(&page->buf, &len);
    return tni_trino_query_page(page->query, bytes, len, err);
}

static enum tn_status page_batch(struct tn_rows *rows, const struct tn_batch *batch,
                                 struct tn_err *err)
{
    struct page_rows *page = (struct page_rows *)rows;
    struct tni_trino_query *query = page->query;
    struct tn_buf *buf = &page->buf;
    size_t limit = query->is_inline ? TNI_SQL_BUFFER_BYTES : query->page_bytes;
    if (page->is_count && batch->rows_count == 1)
        page->written = tn_column_i64(&batch->columns[0], 0);
    query->rows_count += batch->rows_count;
    for (uint32_t row = 0; row < batch->rows_count; row++) {
        tn_buf_add_text(buf, buf->len ? ",[" : "[");
        for (uint32_t i = 0; i < batch->schema->fields_count; i++) {
            if (i)
                tn_buf_add_byte(buf, ',');
            struct tn_column col = batch->columns[i];
            if (col.type->kind == TN_K_TIMESTAMP_TZ)
                col.type = page->schema->fields[i].type;
            tni_trino_cell(buf, &col, row, query->client.has_datetime);
        }
        tn_buf_add_byte(buf, ']');
        if (buf->len >= limit || tn_buf_over(buf))
            TN_TRY(page_flush(page, err));
    }
    return TN_OK;
}

/* What is left of the page: pushed without waiting, for it is the last. */
static void page_last(struct page_rows *page)
{
    struct tni_trino_query *query = page->query;
    if (page->buf.len == 0 || tn_buf_over(&page->buf))
        return;
    struct tni_trino_page *last = tn_alloc(sizeof *last);
    last->rows = tn_buf_detach(&page->buf, &last->len);
    pthread_mutex_lock(&query->lock);
    if (query->last_page)
        query->last_page->next = last;
    else
        query->first_page = last;
    query->last_page = last;
    query->pages_count++;
    pthread_mutex_unlock(&query->lock);
}

static void columns_none(struct tni_trino_query *query)
{
    pthread_mutex_lock(&query->lock);
    tn_buf_reset(&query->columns);
    tn_buf_add_text(&query->columns, "[]");
    query->has_columns = true;
    pthread_mutex_unlock(&query->lock);
}

static enum tn_status run_text(struct tni_trino_query *query, struct page_rows *page,
                               struct tn_err *err)
{
    struct tn_http_sql *http = query->trino->http;
    enum tn_statement_class class = TN_STMT_QUERY;
    bool is_done = false;
    TN_TRY(tn_budget_check(&query->budget, err));
    if (query->err.code != TN_OK) { /* what the headers asked for cannot be had */
        *err = query->err;
        return err->code;
    }
    TN_TRY(tni_trino_session_run(query, &page->base, &is_done, err));
    if (is_done)
        return TN_OK;
    struct tn_str text = {query->text, query->text_len};
    int64_t from_ns = tn_mono_ns(query->trino->config.clock);
    TN_TRY(tn_db_run(query->trino->config.db, &query->session, text, &query->budget, &page->base,
                     &class, err));
    if (class == TN_STMT_QUERY)
        tni_sql_shape_took(http, query->shape,
                           query->pages_count ? UINT32_MAX
                                              : tn_mono_ns(query->trino->config.clock) - from_ns);
    query->update_type = query->session.update_type;
    if (query->update_type && page->is_message) {
        tn_buf_reset(&page->buf); /* the message is for people at a prompt */
        columns_none(query);
        query->rows_count = 0;
    }
    if (query->update_type)
        query->update_count = page->written >= 0 ? page->written : query->session.update_count;
    return TN_OK;
}

bool tni_trino_run(struct tni_trino_query *query)
{
    struct tn_err err = TN_ERR_INIT;
    struct page_rows page = {.base = {page_columns, page_batch}, .query = query, .written = -1};
    tn_buf_init(&page.buf, TNI_TRINO_ROW_MAX);
    pthread_mutex_lock(&query->lock);
    query->started_ns = tn_mono_ns(query->trino->config.clock);
    query->state = TNI_TRINO_RUNNING;
    pthread_mutex_unlock(&query->lock);
    enum tn_status st = run_text(query, &page, &err);
    bool must_move = query->is_inline && (query->is_overflow || st == TN_E_TIMEOUT);
    if (must_move) {
        tni_sql_shape_took(query->trino->http, query->shape, UINT32_MAX);
        tni_trino_query_forget(query);
    } else {
        if (!tn_failed(st))
            page_last(&page);
        tni_trino_query_done(query, st, &err);
    }
    tn_buf_release(&page.buf);
    return !must_move;
}
