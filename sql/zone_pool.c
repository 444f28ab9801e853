/* Decoding ahead. Contract: sql/zone_pool.h. */
#include "sql/zone_pool.h"

#include <pthread.h>
#include <unistd.h>

#include "connectors/wait.h"
#include "stream/base/mem.h"

#define PARALLEL_BYTES ((int64_t)8 << 20) /* less is read by the scan itself */
#define PARALLEL_FILES 16
#define UNIT_BYTES     ((int64_t)1 << 20)
#define THREADS_MAX    16
#define WAIT_NS        100000000 /* then deadline and cancellation are looked at */
#define WINDOW         3         /* units a thread that are ready or under way */
#define PIECE_BYTES    ((size_t)2 << 20)
#define READY_BYTES    ((size_t)64 << 20) /* pieces of all units that wait for the scan, but */
#define READY_MIN      2                  /* so many of a unit in any case */

/* A unit that comes in pieces. */
struct tni_zone_stream {
    struct tni_zone_cols **pieces;
    uint32_t ready, cap, taken; /* guarded */
    struct tni_zone_unit out;   /* the piece that was taken last */
};

struct tni_zone_pool {
    struct tni_zone_job job;
    struct tni_zone_unit *units;
    uint32_t count, cap;
    size_t piece_bytes, ready_bytes; /* the latter guarded */
    pthread_mutex_t lock;
    pthread_cond_t work, done;
    uint32_t next, taken; /* guarded: next to decode, next to hand out */
    bool is_stopped;
    int threads_count;
    pthread_t threads[THREADS_MAX];
};

/* ---- units ---- */

static void add_unit(struct tni_zone_pool *pool, uint32_t file, int64_t from, int64_t to)
{
    if (pool->count == pool->cap) {
        pool->cap = pool->cap ? pool->cap * 2 : 64;
        pool->units = tn_realloc(pool->units, pool->cap * sizeof *pool->units);
    }
    int64_t bytes = pool->job.files->files[file].bytes;
    pool->units[pool->count++] = (struct tni_zone_unit){.file = file,
                                                        .from = from,
                                                        .to = to,
                                                        .is_whole = from == 0 && to == bytes,
                                                        .is_last = to == bytes};
}

/* Compressed files cannot be cut; their first bytes tell. */
static bool is_plain(const struct tni_zone_job *job, const struct tni_zone_file *file)
{
    struct tn_buf head;
    tn_buf_init(&head, 64);
    enum tn_status st = tn_object_get(job->files->store, file->key, 0, 4, &head, 0, NULL);
    const unsigned char *p = (const unsigned char *)head.ptr;
    bool is_packed = st != TN_OK || head.len < 4 || (p[0] == 0x1f && p[1] == 0x8b) ||
                     (p[0] == 0x28 && p[1] == 0xb5);
    tn_buf_release(&head);
    return !is_packed;
}

static void add_file(struct tni_zone_pool *pool, uint32_t file, int64_t unit_bytes)
{
    const struct tni_zone_job *job = &pool->job;
    const struct tni_zone_file *f = &job->files->files[file];
    if (f->bytes <= 2 * unit_bytes) {
        add_unit(pool, file, 0, f->bytes);
        return;
    }
    bool is_growing = !job->files->is_own && f->modified_ms > job->growing_after_ms;
    if (job->zone->layout.format != TN_FILE_JSON || is_growing ||
        job->zone->layout.on_bad == TN_FILE_BAD_FAIL /* its error names the line of the file */ ||
        !is_plain(job, f)) {
        add_unit(pool, file, 0, f->bytes);
        pool->units[pool->count - 1].stream = tn_alloc(sizeof(struct tni_zone_stream));
        return;
    }
    for (int64_t from = 0; from < f->bytes; from += unit_bytes) {
        int64_t to = from + unit_bytes;
        if (f->bytes - to < unit_bytes)
            to = f->bytes;
        add_unit(pool, file, from, to);
        from = to == f->bytes ? f->bytes : from;
    }
}

/* Files that are not in memory, and their bytes. */
static bool is_worth_it(const struct tni_zone_job *job, int64_t parallel_bytes)
{
    int64_t bytes = 0, files = 0;
    for (uint32_t i = 0; i < job->files->count; i++) {
        if (job->is_wanted && !job->is_wanted[i])
            continue;
        if (!tni_zone_cols_has(job->ctx->zones, &job->files->files[i], job->layout)) {
            bytes += job->files->files[i].bytes;
            files++;
        }
    }
    return bytes >= parallel_bytes || files > PARALLEL_FILES;
}

/* ---- workers ---- */

static bool is_stopped(struct tni_zone_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    bool stopped = pool->is_stopped;
    pthread_mutex_unlock(&pool->lock);
    return stopped;
}

static struct tni_zone_cols *cols_new(const struct tni_zone_job *job)
{
    return tni_zone_cols_new(job->layout, job->needed, job->zone->layout.schema->fields_count);
}

/* What the unit has so far becomes a piece, as soon as there is room for it. */
static enum tn_status give_piece(struct tni_zone_pool *pool, struct tni_zone_unit *unit)
{
    struct tni_zone_stream *stream = unit->stream;
    pthread_mutex_lock(&pool->lock);
    while (stream->ready >= READY_MIN && pool->ready_bytes >= READY_BYTES && !pool->is_stopped)
        pthread_cond_wait(&pool->work, &pool->lock);
    bool is_over = pool->is_stopped;
    if (!is_over) {
        if (stream->ready == stream->cap) {
            stream->cap = stream->cap ? stream->cap * 2 : 8;
            stream->pieces = tn_realloc(stream->pieces, stream->cap * sizeof *stream->pieces);
        }
        stream->pieces[stream->ready++] = unit->cols;
        pool->ready_bytes += unit->cols->bytes;
        unit->cols = NULL;
        pthread_cond_signal(&pool->done);
    }
    pthread_mutex_unlock(&pool->lock);
    if (is_over)
        return TN_E_CANCELLED;
    unit->cols = cols_new(&pool->job);
    return TN_OK;
}

static enum tn_status decode(struct tni_zone_pool *pool, struct tni_zone_unit *unit)
{
    const struct tni_zone_job *job = &pool->job;
    struct tni_zone_file *file = &job->files->files[unit->file];
    uint32_t columns_count = job->zone->layout.schema->fields_count;
    struct tn_file_scan *scan = NULL;
    struct tn_arena arena;
    bool is_growing =
        !job->files->is_own && !job->files->is_atomic && file->modified_ms > job->growing_after_ms;
    struct tn_file_scan_spec spec = {.store = job->files->store,
                                     .key = file->key,
                                     .etag = is_growing || !*file->etag ? NULL : file->etag,
                                     .bytes = file->bytes,
                                     .layout = &job->zone->layout,
                                     .needed = job->needed,
                                     .from = unit->from,
                                     .to = unit->to,
                                     .is_growing = is_growing,
                                     .expanded_max = job->expanded_max};
    if (unit->is_whole)
        unit->cols =
            tni_zone_cols_get(job->ctx->zones, file, job->layout, job->needed, columns_count);
    if (unit->cols)
        return TN_OK;
    unit->cols = cols_new(job);
    tn_arena_init(&arena, 0);
    enum tn_status st = tn_file_scan_open(&spec, &scan, &unit->err);
    while (st == TN_OK) {
        struct tn_column *columns;
        uint32_t rows_count;
        tn_arena_reset(&arena);
        st = tn_file_scan_next(scan, &arena, &columns, &rows_count, &unit->err);
        if (st == TN_OK)
            tni_zone_cols_add(unit->cols, columns, rows_count);
        if (st == TN_OK && is_stopped(pool))
            st = TN_E_CANCELLED;
        if (st == TN_OK && unit->stream && unit->cols->bytes >= pool->piece_bytes)
            st = give_piece(pool, unit);
    }
    if (scan)
        unit->counts = *tn_file_scan_counts(scan);
    tn_file_scan_close(scan);
    tn_arena_release(&arena);
    return st == TN_END ? TN_OK : st;
}

static void *work(void *ctx)
{
    struct tni_zone_pool *pool = ctx;
    pthread_mutex_lock(&pool->lock);
    uint32_t window = (uint32_t)pool->threads_count * WINDOW; /* all are started */
    while (!pool->is_stopped && pool->next < pool->count) {
        if (pool->next >= pool->taken + window) {
            pthread_cond_wait(&pool->work, &pool->lock);
            continue;
        }
        struct tni_zone_unit *unit = &pool->units[pool->next++];
        pthread_mutex_unlock(&pool->lock);
        unit->st = decode(pool, unit);
        pthread_mutex_lock(&pool->lock);
        unit->is_done = true;
        pthread_cond_signal(&pool->done);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

/* ---- the scan's side ---- */

static int threads_wanted(const struct tni_zone_job *job)
{
    int threads = tni_zones_threads(job->ctx->zones);
    if (threads > 1 && job->files->is_atomic)
        return THREADS_MAX; /* waiting for answers, not computing */
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    if (!tni_zones_unit_bytes(job->ctx->zones) && threads > cores)
        threads = (int)cores;
    return threads < THREADS_MAX ? threads : THREADS_MAX;
}

struct tni_zone_pool *tni_zone_pool_new(const struct tni_zone_job *job)
{
    int64_t small = tni_zones_unit_bytes(job->ctx->zones); /* tests */
    int threads = threads_wanted(job);
    if (threads < 2 || !job->files->count || !is_worth_it(job, small ? small : PARALLEL_BYTES))
        return NULL;
    struct tni_zone_pool *pool = tn_alloc(sizeof *pool);
    pool->job = *job;
    pool->piece_bytes = small ? (size_t)small : PIECE_BYTES;
    for (uint32_t i = 0; i < job->files->count; i++)
        if ((!job->is_wanted || job->is_wanted[i]) &&
            !tni_zone_cols_has(job->ctx->zones, &job->files->files[i], job->layout))
            add_file(pool, i, small ? small : UNIT_BYTES);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->work, NULL);
    pthread_cond_init(&pool->done, NULL);
    pool->threads_count = threads;
    int started = 0;
    pthread_mutex_lock(&pool->lock);
    while (started < threads && (uint32_t)started < pool->count &&
           pthread_create(&pool->threads[started], NULL, work, pool) == 0)
        started++;
    pool->threads_count = started;
    pthread_mutex_unlock(&pool->lock);
    if (started)
        return pool;
    tni_zone_pool_free(pool);
    return NULL;
}

bool tni_zone_pool_has(const struct tni_zone_pool *pool, uint32_t file)
{
    return pool && pool->taken < pool->count && pool->units[pool->taken].file == file;
}

/* Lock held: a piece, or, behind the last one, the rest of the unit with its status. */
static struct tni_zone_unit *take_piece(struct tni_zone_pool *pool, struct tni_zone_unit *unit)
{
    struct tni_zone_stream *stream = unit->stream;
    bool is_rest = stream->ready == 0;
    stream->out = (struct tni_zone_unit){
        .file = unit->file, .from = stream->taken > 0, .to = unit->to, .is_last = is_rest};
    if (is_rest) {
        stream->out.st = unit->st;
        stream->out.err = unit->err;
        stream->out.counts = unit->counts;
        stream->out.cols = unit->cols;
        unit->cols = NULL;
        pool->taken++;
        return &stream->out;
    }
    stream->out.cols = stream->pieces[0];
    pool->ready_bytes -= stream->out.cols->bytes;
    memmove(stream->pieces, stream->pieces + 1, --stream->ready * sizeof *stream->pieces);
    stream->taken++;
    return &stream->out;
}

enum tn_status tni_zone_pool_take(struct tni_zone_pool *pool, struct tn_budget *budget,
                                  struct tni_zone_unit **ret_unit, struct tn_err *err)
{
    enum tn_status st = TN_OK;
    pthread_mutex_lock(&pool->lock);
    struct tni_zone_unit *unit = &pool->units[pool->taken];
    while (!unit->is_done && !(unit->stream && unit->stream->ready) && !tn_failed(st)) {
        (void)tn_cond_wait_for(&pool->done, &pool->lock, WAIT_NS);
        st = tn_budget_check(budget, err);
    }
    if (!tn_failed(st)) {
        pool->taken += unit->stream == NULL;
        *ret_unit = unit->stream ? take_piece(pool, unit) : unit;
        pthread_cond_broadcast(&pool->work);
    }
    pthread_mutex_unlock(&pool->lock);
    return st;
}

void tni_zone_pool_free(struct tni_zone_pool *pool)
{
    if (!pool)
        return;
    pthread_mutex_lock(&pool->lock);
    pool->is_stopped = true;
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);
    for (int i = 0; i < pool->threads_count; i++)
        pthread_join(pool->threads[i], NULL);
    for (uint32_t i = pool->taken; i < pool->count; i++)
        if (pool->units[i].cols)
            tni_zone_cols_unpin(pool->job.ctx->zones, pool->units[i].cols);
    for (uint32_t i = 0; i < pool->count; i++) {
        struct tni_zone_stream *stream = pool->units[i].stream;
        for (uint32_t p = 0; stream && p < stream->ready; p++)
            tni_zone_cols_unpin(pool->job.ctx->zones, stream->pieces[p]);
        tn_free(stream ? stream->pieces : NULL);
        tn_free(stream);
    }
    pthread_cond_destroy(&pool->work);
    pthread_cond_destroy(&pool->done);
    pthread_mutex_destroy(&pool->lock);
    tn_free(pool->units);
    tn_free(pool);
}
