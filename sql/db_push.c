/* Push queries: SELECT … EMIT CHANGES. One stream or table, filtered and projected as its changes
 * are committed.
 *
 * A table (or the result of a query) is followed by a subscription: the commit thread hands over
 * copies of changed rows through a bounded queue, the statement's thread evaluates and writes them.
 * A declared stream is followed by reading its topic. With auto.offset.reset=earliest the rows that
 * are there come first, then the changes; nothing is missed and nothing comes twice, because the
 * subscription starts before the pin and older commits are skipped.
 *
 * A client slower than the changes ends its own query with an error when the queue is full; the
 * commit never waits.
 */
#include "sql/db_int.h"

#include "connectors/wait.h"
#include "sql/exec_expr.h"
#include "sql/follow.h"
#include "stream/base/mem.h"

#define QUEUE_MAX  256
#define READ_BYTES ((size_t)256 << 10)
#define WAIT_NS    50000000

struct change_set {
    int64_t commit;
    struct tn_arena arena;
    struct tn_batch *batch;
};

struct push {
    struct tn_wake wake; /* first: the log signals it */
    struct tn_db *db;
    const struct tni_stream_query *query;
    const struct tn_object *object;
    struct tn_budget *budget;
    struct tn_rows *rows;
    struct tn_arena *arena;
    const struct tn_schema *schema;
    struct tni_eval where, *items;
    int64_t rows_count;
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool is_signalled;
    struct change_set *queue[QUEUE_MAX];
    size_t head, count;
    bool is_over;
};

/* ---- hand-over ---- */

static void change_set_free(struct change_set *set)
{
    tn_arena_release(&set->arena);
    tn_free(set);
}

/* @thread commit */
static void on_changes(void *ctx, int64_t commit, const struct tn_batch *batch)
{
    struct push *push = ctx;
    struct change_set *set = tn_alloc(sizeof *set);
    tn_arena_init(&set->arena, 0);
    uint32_t *rows = TN_ARENA_ARRAY(&set->arena, uint32_t, batch->rows_count + 1);
    for (uint32_t i = 0; i < batch->rows_count; i++)
        rows[i] = i;
    set->commit = commit;
    set->batch = tn_batch_gather(batch, rows, batch->rows_count, &set->arena);
    pthread_mutex_lock(&push->lock);
    bool is_taken = push->count < QUEUE_MAX;
    if (is_taken)
        push->queue[(push->head + push->count++) % QUEUE_MAX] = set;
    else
        push->is_over = true;
    push->is_signalled = true;
    pthread_cond_signal(&push->cond);
    pthread_mutex_unlock(&push->lock);
    if (!is_taken)
        change_set_free(set);
}

static void on_wake(struct tn_wake *wake)
{
    struct push *push = (struct push *)wake;
    pthread_mutex_lock(&push->lock);
    push->is_signalled = true;
    pthread_cond_signal(&push->cond);
    pthread_mutex_unlock(&push->lock);
}

/* Until a signal, at most 50 ms so that deadline and cancellation are seen. With is_pause what
 * waits in the queue is no reason to go on. */
static void push_wait(struct push *push, bool is_pause)
{
    pthread_mutex_lock(&push->lock);
    if (!push->is_signalled && (is_pause || !push->count))
        (void)tn_cond_wait_for(&push->cond, &push->lock, WAIT_NS);
    push->is_signalled = false;
    pthread_mutex_unlock(&push->lock);
}

static struct change_set *push_take(struct push *push, bool *ret_is_over)
{
    pthread_mutex_lock(&push->lock);
    struct change_set *set = NULL;
    if (push->count) {
        set = push->queue[push->head];
        push->head = (push->head + 1) % QUEUE_MAX;
        push->count--;
    }
    *ret_is_over = push->is_over && !set;
    pthread_mutex_unlock(&push->lock);
    return set;
}

/* ---- rows ---- */

/* Which rows go out, and as what. A row that stops matching goes out as a delete. */
static uint32_t choose_rows(const struct tn_batch *batch, const bool *matches, uint32_t *rows,
                            uint8_t *ops)
{
    uint32_t count = 0;
    bool before_matched = false, has_before = false;
    for (uint32_t i = 0; i < batch->rows_count; i++) {
        enum tn_op op = batch->ops ? (enum tn_op)batch->ops[i] : TN_OP_INSERT;
        if (op == TN_OP_UPDATE_BEFORE) {
            before_matched = matches[i];
            has_before = true;
            continue;
        }
        bool is_stopped = op == TN_OP_UPDATE_AFTER && has_before && before_matched && !matches[i];
        has_before = false;
        if (!matches[i] && !is_stopped)
            continue;
        rows[count] = i;
        ops[count++] = (uint8_t)(is_stopped ? TN_OP_DELETE : op);
    }
    return count;
}

static enum tn_status match_rows(struct push *push, const struct tn_batch *batch,
                                 struct tn_arena *arena, bool *matches, struct tn_err *err)
{
    uint32_t *rows = TN_ARENA_ARRAY(arena, uint32_t, batch->rows_count + 1), count;
    memset(matches, push->query->where ? 0 : 1, batch->rows_count * sizeof *matches);
    if (!push->query->where)
        return TN_OK;
    TN_TRY(tni_eval_select(&push->where, batch, arena, rows, &count, err));
    for (uint32_t i = 0; i < count; i++)
        matches[rows[i]] = true;
    return TN_OK;
}

/* TN_END: LIMIT is reached. */
static enum tn_status push_batch(struct push *push, const struct tn_batch *batch,
                                 struct tn_arena *arena, struct tn_err *err)
{
    if (!batch->rows_count)
        return TN_OK;
    bool *matches = TN_ARENA_ARRAY(arena, bool, batch->rows_count + 1);
    uint32_t *rows = TN_ARENA_ARRAY(arena, uint32_t, batch->rows_count + 1);
    uint8_t *ops = TN_ARENA_ARRAY(arena, uint8_t, batch->rows_count + 1);
    TN_TRY(match_rows(push, batch, arena, matches, err));
    uint32_t count = choose_rows(batch, matches, rows, ops);
    int64_t limit = push->query->limit;
    if (limit >= 0 && push->rows_count + count > limit)
        count = (uint32_t)(limit - push->rows_count);
    if (count) {
        struct tn_batch *chosen = tn_batch_gather(batch, rows, count, arena);
        struct tn_batch *out = tn_batch_new(push->schema, count, arena);
        for (uint32_t i = 0; i < push->query->items_count; i++)
            TN_TRY(tni_eval_run(&push->items[i], chosen, arena, &out->columns[i], err));
        out->ops = ops;
        out->rowtime_ms = chosen->rowtime_ms;
        TN_TRY(push->rows->batch(push->rows, out, err));
        push->rows_count += count;
    }
    return limit >= 0 && push->rows_count >= limit ? TN_END : TN_OK;
}

/* ---- tables and results of queries ---- */

static enum tn_status push_snapshot(struct push *push, int64_t *ret_commit, struct tn_err *err)
{
    struct tn_engine *engine = push->db->config.engine;
    struct tn_pin *pin;
    struct tn_table_scan *scan = NULL;
    struct tn_batch *batch;
    TN_TRY(tn_engine_pin(engine, &pin, err));
    *ret_commit = tn_pin_commit(pin);
    enum tn_status st =
        tn_table_scan_open(engine, pin, push->object->query_id, NULL, NULL, &scan, err);
    struct tn_arena arena;
    tn_arena_init(&arena, 0);
    while (!tn_failed(st)) {
        st = tn_budget_check(push->budget, err);
        if (!tn_failed(st))
            st = tn_table_scan_next(scan, &batch, err);
        if (tn_failed(st) || st == TN_END)
            break;
        tn_arena_reset(&arena);
        st = push_batch(push, batch, &arena, err);
        if (st == TN_END)
            break;
    }
    bool is_limit =
        st == TN_END && push->query->limit >= 0 && push->rows_count >= push->query->limit;
    tn_arena_release(&arena);
    tn_table_scan_close(scan);
    tn_pin_free(pin);
    if (tn_failed(st))
        return st;
    return is_limit ? TN_END : TN_OK;
}

#define RESTORE_NS INT64_C(10000000000)

/* ---- several processes ---- */

/* Does this process work on all partitions of the table? Changes elsewhere are not seen here. */
static bool is_whole(struct push *push)
{
    struct tn_engine *engine = push->db->config.engine;
    int32_t count = tn_engine_table_partitions(engine, push->object->query_id), found = 0;
    int32_t *owned = TN_ARENA_ARRAY(push->arena, int32_t, TN_PARTITIONS_MAX);
    int32_t owned_count = tn_engine_owned(engine, owned, TN_PARTITIONS_MAX);
    for (int32_t i = 0; i < owned_count; i++)
        found += owned[i] < count;
    return owned_count < 0 || found == count;
}

static enum tn_status refuse_part(const struct push *push, struct tn_err *err)
{
    tn_err_set(err, TN_E_UNSUPPORTED,
               "a push query on table '%s' needs all of its partitions at one process: others of "
               "the application work on some",
               push->object->name);
    tn_err_hint(err, "declare its topic '%s' as a stream and push that, or poll with SELECT",
                push->object->decl.topic);
    return TN_E_UNSUPPORTED;
}

/* The assignment comes a moment after the start. */
static enum tn_status wait_whole(struct push *push, struct tn_err *err)
{
    int64_t give_up_ns = tn_mono_ns(push->db->config.clock) + RESTORE_NS;
    int32_t first;
    while (!is_whole(push)) {
        bool is_early = tn_engine_owned(push->db->config.engine, &first, 1) == 0;
        if (!is_early || tn_mono_ns(push->db->config.clock) >= give_up_ns)
            return refuse_part(push, err);
        TN_TRY(tn_budget_check(push->budget, err));
        push_wait(push, true);
    }
    return TN_OK;
}

/* A table that was created or restored a moment ago: wait a little rather than fail. */
static enum tn_status push_snapshot_waiting(struct push *push, int64_t *ret_commit,
                                            struct tn_err *err)
{
    int64_t give_up_ns = tn_mono_ns(push->db->config.clock) + RESTORE_NS;
    for (;;) {
        struct tn_err why = TN_ERR_INIT;
        enum tn_status st = push_snapshot(push, ret_commit, &why);
        if (!tn_failed(st))
            return st;
        if (st != TN_E_BUSY || push->rows_count ||
            tn_mono_ns(push->db->config.clock) >= give_up_ns) {
            if (err)
                *err = why;
            return st;
        }
        TN_TRY(tn_budget_check(push->budget, err));
        push_wait(push, true);
    }
}

static enum tn_status push_follow(struct push *push, int64_t after_commit, struct tn_err *err)
{
    enum tn_status st = TN_OK;
    int64_t epoch = 0; /* checked once at least */
    while (st == TN_OK) {
        bool is_over;
        int64_t now = tn_engine_epoch(push->db->config.engine) + 1;
        st = tn_budget_check(push->budget, err);
        if (!tn_failed(st) && now != epoch && !is_whole(push))
            st = refuse_part(push, err);
        if (tn_failed(st))
            break;
        epoch = now;
        struct change_set *set = push_take(push, &is_over);
        if (is_over)
            return tn_err_set(err, TN_E_LIMIT,
                              "the client reads slower than '%s' changes: %d commits are waiting",
                              push->object->name, QUEUE_MAX);
        if (!set) {
            push_wait(push, false);
            continue;
        }
        if (set->commit > after_commit)
            st = push_batch(push, set->batch, &set->arena, err);
        change_set_free(set);
    }
    return st;
}

static enum tn_status push_table(struct push *push, bool is_earliest, struct tn_err *err)
{
    struct tn_engine *engine = push->db->config.engine;
    struct tn_subscription *subscription = NULL;
    int64_t commit = tn_engine_commit(engine);
    TN_TRY(
        tn_engine_subscribe(engine, push->object->query_id, on_changes, push, &subscription, err));
    enum tn_status st = wait_whole(push, err);
    if (!tn_failed(st) && is_earliest && push->object->kind != TN_OBJ_STREAM)
        st = push_snapshot_waiting(push, &commit, err);
    if (st == TN_OK)
        st = push_follow(push, commit, err);
    tn_subscription_free(subscription);
    while (push->count) {
        bool is_over;
        change_set_free(push_take(push, &is_over));
    }
    return st;
}

/* ---- declared streams ---- */

static enum tn_status push_stream(struct push *push, bool is_earliest, struct tn_err *err)
{
    struct tni_follow *follow = NULL;
    struct tn_batch *batch;
    TN_TRY(tni_follow_open(push->db, push->object, is_earliest, &push->wake, &follow, err));
    struct tn_arena arena;
    tn_arena_init(&arena, 0);
    enum tn_status st = TN_OK;
    while (st == TN_OK || st == TN_AGAIN) {
        if (st == TN_AGAIN)
            push_wait(push, false);
        st = tn_budget_check(push->budget, err);
        if (tn_failed(st))
            break;
        tn_arena_reset(&arena);
        st = tni_follow_next(follow, &batch, err);
        if (st == TN_OK)
            st = push_batch(push, batch, &arena, err);
    }
    tn_arena_release(&arena);
    tni_follow_close(follow);
    return st;
}

/* ---- the statement ---- */

static enum tn_status push_check(const struct tni_stream_query *query,
                                 const struct tn_ast_stmt *stmt, struct tn_err *err)
{
    const char *what = query->sources_count > 1                 ? "a join"
                       : query->groups_count || query->has_aggs ? "an aggregation"
                       : query->is_partitioned                  ? "PARTITION BY"
                       : query->emit == TNI_EMIT_FINAL          ? "EMIT FINAL"
                                                                : NULL;
    if (!what)
        return TN_OK;
    tni_not_supported(err, stmt->line, stmt->col, "a push query with %s is not supported yet",
                      what);
    tn_err_hint(err,
                "make it a table: CREATE TABLE t AS SELECT …, then SELECT * FROM t EMIT CHANGES");
    return TN_E_UNSUPPORTED;
}

static enum tn_status push_prepare(struct push *push, struct tn_err *err)
{
    const struct tni_stream_query *query = push->query;
    struct tn_schema *schema = TN_ARENA_NEW(push->arena, struct tn_schema);
    struct tn_field *fields = TN_ARENA_ARRAY(push->arena, struct tn_field, query->items_count + 1);
    push->items = TN_ARENA_ARRAY(push->arena, struct tni_eval, query->items_count + 1);
    for (uint32_t i = 0; i < query->items_count; i++) {
        fields[i] = (struct tn_field){query->items[i].name, query->items[i].expr->type};
        TN_TRY(tni_eval_init(&push->items[i], query->items[i].expr, push->arena, err));
    }
    *schema = (struct tn_schema){query->items_count, fields};
    push->schema = schema;
    if (query->where)
        TN_TRY(tni_eval_init(&push->where, query->where, push->arena, err));
    return push->rows->columns(push->rows, schema, err);
}

enum tn_status tni_push_run(struct tn_db *db, const struct tn_catalog *catalog,
                            struct tn_session *session, const struct tn_ast_stmt *stmt,
                            struct tn_budget *budget, struct tn_arena *arena, struct tn_rows *rows,
                            struct tn_err *err)
{
    struct push *push = tn_arena_zalloc(arena, 1, sizeof *push);
    struct tni_bind bind;
    struct tni_stream_query *query;
    tni_bind_init(&bind, arena, TN_RULES_STREAM, catalog, session, tn_wall_ms(db->config.clock));
    TN_TRY(tni_bind_stream_query(&bind, stmt->query, &query, err));
    TN_TRY(push_check(query, stmt, err));
    push->wake.signal = on_wake;
    push->db = db;
    push->query = query;
    push->object = query->sources[0].object;
    push->budget = budget;
    push->rows = rows;
    push->arena = arena;
    TN_TRY(push_prepare(push, err));
    if (query->limit == 0)
        return TN_OK;
    pthread_mutex_init(&push->lock, NULL);
    pthread_cond_init(&push->cond, NULL);
    bool is_earliest = session->offset_reset ? session->offset_reset == 1 : !db->config.is_latest;
    enum tn_status st = push->object->kind == TN_OBJ_STREAM ? push_stream(push, is_earliest, err)
                                                            : push_table(push, is_earliest, err);
    pthread_cond_destroy(&push->cond);
    pthread_mutex_destroy(&push->lock);
    return st == TN_END ? TN_OK : st;
}
