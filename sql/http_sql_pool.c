/* Where statements run: the pool of statement threads, threads of push queries, and what is known
 * about the time statements of one shape take.
 *
 * Shapes. A point look-up costs less than handing it to another thread and back. So the mean time
 * per shape (text without literals) is kept in a small lossy table; shapes known to be short run on
 * the polling thread. The table is a hint: a wrong entry costs one hop or one wasted attempt, never
 * a wrong answer.
 *
 * @thread as noted
 */
#include "sql/http_sql_int.h"

#include "stream/base/hash.h"
#include "stream/base/mem.h"

#define STACK_BYTES     ((size_t)1 << 20)
#define THREADS_DEFAULT 4

/* ---- shapes; @thread any ---- */

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           (unsigned char)c >= 0x80;
}

/* End of the quoted text that begins at `at`; a doubled quote stays inside. */
static size_t quote_end(struct tn_str text, size_t at)
{
    char quote = text.ptr[at++];
    while (at < text.len) {
        if (text.ptr[at] == quote) {
            if (at + 1 >= text.len || text.ptr[at + 1] != quote)
                return at + 1;
            at++;
        }
        at++;
    }
    return at;
}

/* End of the comment that begins at `at`; `at` when none does. */
static size_t comment_end(struct tn_str text, size_t at)
{
    if (at + 1 >= text.len)
        return at;
    if (text.ptr[at] == '-' && text.ptr[at + 1] == '-') {
        const char *end = memchr(text.ptr + at, '\n', text.len - at);
        return end ? (size_t)(end - text.ptr) + 1 : text.len;
    }
    if (text.ptr[at] == '/' && text.ptr[at + 1] == '*') {
        const char *end = memmem(text.ptr + at + 2, text.len - at - 2, "*/", 2);
        return end ? (size_t)(end - text.ptr) + 2 : text.len;
    }
    return at;
}

uint32_t tni_sql_shape(struct tn_str text)
{
    uint64_t hash = 1469598103934665603ull;
    bool was_word = false;
    for (size_t i = 0; i < text.len;) {
        char c = text.ptr[i];
        size_t comment = comment_end(text, i);
        if (comment > i) {
            i = comment;
        } else if (c == '\'' || (c >= '0' && c <= '9' && !was_word)) {
            size_t end = c == '\'' ? quote_end(text, i) : i + 1;
            while (c != '\'' && end < text.len && (is_word(text.ptr[end]) || text.ptr[end] == '.'))
                end++;
            hash = tn_mix64(hash, '?');
            was_word = true;
            i = end;
        } else if (c == ' ' || c == '\n' || c == '\t' || c == '\r') {
            was_word = false;
            i++;
        } else {
            hash = tn_mix64(hash, (uint64_t)(unsigned char)c + (was_word ? 0u : 256u));
            was_word = is_word(c);
            i++;
        }
    }
    return (uint32_t)(hash >> 32) ^ (uint32_t)hash;
}

bool tni_sql_shape_is_short(const struct tn_http_sql *http, uint32_t shape)
{
    uint64_t entry =
        atomic_load_explicit(&http->shapes[shape & (TNI_SQL_SHAPES - 1)], memory_order_relaxed);
    return (uint32_t)(entry >> 32) == shape && (int64_t)(uint32_t)entry < TNI_SQL_INLINE_NS;
}

void tni_sql_shape_took(struct tn_http_sql *http, uint32_t shape, int64_t ns)
{
    _Atomic uint64_t *slot = &http->shapes[shape & (TNI_SQL_SHAPES - 1)];
    uint64_t entry = atomic_load_explicit(slot, memory_order_relaxed);
    int64_t mean = ns;
    if ((uint32_t)(entry >> 32) == shape)
        mean = ((int64_t)(uint32_t)entry * 7 + ns) / 8;
    if (mean > UINT32_MAX)
        mean = UINT32_MAX;
    atomic_store_explicit(slot, (uint64_t)shape << 32 | (uint64_t)mean, memory_order_relaxed);
}

bool tni_sql_is_push(struct tn_str text)
{
    bool was_emit = false;
    for (size_t i = 0; i < text.len;) {
        char c = text.ptr[i];
        size_t comment = comment_end(text, i);
        if (comment > i) {
            i = comment;
        } else if (c == '\'' || c == '"' || c == '`') {
            i = quote_end(text, i);
            was_emit = false;
        } else if (is_word(c)) {
            size_t end = i;
            while (end < text.len && is_word(text.ptr[end]))
                end++;
            struct tn_str word = {text.ptr + i, end - i};
            if (was_emit && tn_str_eq_nocase(word, TN_STR("CHANGES")))
                return true;
            was_emit = tn_str_eq_nocase(word, TN_STR("EMIT"));
            i = end;
        } else {
            was_emit = was_emit && (c == ' ' || c == '\n' || c == '\t' || c == '\r');
            i++;
        }
    }
    return false;
}

/* ---- pool ---- */

static void *pool_main(void *arg)
{
    struct tn_http_sql *http = arg;
    pthread_mutex_lock(&http->lock);
    while (true) {
        while (!http->first && !http->is_over)
            pthread_cond_wait(&http->work, &http->lock);
        struct tni_sql_job *job = http->first;
        if (!job)
            break;
        http->first = job->next;
        if (!http->first)
            http->last = NULL;
        http->queue_count--;
        pthread_mutex_unlock(&http->lock);
        tn_metric_add(http->m.queued, -1);
        bool is_done = tni_sql_job_run(job);
        TN_ASSERT(is_done);
        tni_sql_job_free(job);
        pthread_mutex_lock(&http->lock);
    }
    pthread_mutex_unlock(&http->lock);
    return NULL;
}

static enum tn_status thread_start(pthread_t *thread, void *(*run)(void *arg), void *arg,
                                   struct tn_err *err)
{
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    int code = pthread_create(thread, &attr, run, arg);
    pthread_attr_destroy(&attr);
    if (code == 0)
        return TN_OK;
    return tn_err_set(err, TN_E_LIMIT, "cannot start another statement thread");
}

enum tn_status tni_sql_pool_start(struct tn_http_sql *http, struct tn_err *err)
{
    int count = http->config.threads_count > 0 ? http->config.threads_count : THREADS_DEFAULT;
    http->queue_max = http->config.queue_max > 0 ? http->config.queue_max : 256;
    http->threads = tn_alloc_array((size_t)count, sizeof *http->threads);
    for (; http->threads_count < count; http->threads_count++)
        TN_TRY(thread_start(&http->threads[http->threads_count], pool_main, http, err));
    return TN_OK;
}

void tni_sql_pool_stop(struct tn_http_sql *http)
{
    pthread_mutex_lock(&http->lock);
    http->is_over = true;
    pthread_cond_broadcast(&http->work);
    struct tni_push_thread *pushes = http->pushes;
    http->pushes = NULL;
    pthread_mutex_unlock(&http->lock);
    for (int i = 0; i < http->threads_count; i++)
        pthread_join(http->threads[i], NULL);
    for (struct tni_push_thread *next; pushes; pushes = next) {
        next = pushes->next;
        pthread_join(pushes->thread, NULL);
        tn_free(pushes);
    }
    tn_free(http->threads);
    http->threads = NULL;
    http->threads_count = 0;
}

enum tn_status tni_sql_pool_add(struct tn_http_sql *http, struct tni_sql_job *job,
                                struct tn_err *err)
{
    pthread_mutex_lock(&http->lock);
    bool is_full = http->queue_count >= http->queue_max || http->is_over;
    if (!is_full) {
        job->next = NULL;
        if (http->last)
            http->last->next = job;
        else
            http->first = job;
        http->last = job;
        http->queue_count++;
        pthread_cond_signal(&http->work);
    }
    pthread_mutex_unlock(&http->lock);
    if (is_full) {
        enum tn_status st =
            tn_err_set(err, TN_E_LIMIT, "%d statements are waiting already", http->queue_max);
        if (err)
            err->retriable = true;
        tn_err_hint(err, "try again, or raise sql.threads");
        return st;
    }
    tn_metric_add(http->m.queued, 1);
    return TN_OK;
}

/* ---- push queries ---- */

struct push_start {
    struct tni_push_thread *self;
    struct tni_sql_job *job;
};

static void *push_main(void *arg)
{
    struct push_start start = *(struct push_start *)arg;
    struct tn_http_sql *http = start.job->http;
    tn_free(arg);
    (void)tni_sql_job_run(start.job);
    tni_sql_job_free(start.job);
    atomic_store(&start.self->is_over, true);
    tn_metric_add(http->m.pushes, -1);
    return NULL;
}

/* Joins threads that have ended. @locks http->lock held */
static int pushes_reap(struct tn_http_sql *http)
{
    int count = 0;
    for (struct tni_push_thread **at = &http->pushes; *at;) {
        struct tni_push_thread *push = *at;
        if (!atomic_load(&push->is_over)) {
            count++;
            at = &push->next;
            continue;
        }
        *at = push->next;
        pthread_join(push->thread, NULL);
        tn_free(push);
    }
    return count;
}

enum tn_status tni_sql_push_start(struct tn_http_sql *http, struct tni_sql_job *job,
                                  struct tn_err *err)
{
    enum tn_status st = TN_OK;
    pthread_mutex_lock(&http->lock);
    int count = pushes_reap(http);
    if (count >= tn_http_config_of(http->server)->sse_max || http->is_over) {
        st = tn_err_set(err, TN_E_LIMIT, "%d push queries are running already", count);
        tn_err_hint(err, "end one, or raise http.sse.max");
    } else {
        struct push_start *start = tn_alloc(sizeof *start);
        start->self = tn_alloc(sizeof *start->self);
        start->job = job;
        tn_metric_add(http->m.pushes, 1);
        struct tni_push_thread *self = start->self;
        st = thread_start(&self->thread, push_main, start, err);
        if (tn_failed(st)) {
            tn_metric_add(http->m.pushes, -1);
            tn_free(self);
            tn_free(start);
        } else {
            self->next = http->pushes;
            http->pushes = self;
        }
    }
    pthread_mutex_unlock(&http->lock);
    return st;
}
