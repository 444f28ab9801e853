/* What the engine tells about itself: query states, positions, readiness, metrics. @thread any
 *
 * The list of queries is stable under `lock`; numbers are atomics, so what is told is a moment that
 * never quite was.
 */
#include "stream/engine_int.h"

static const struct tn_metric_desc descs[] = {
    {"tarn_engine_rows_in_total", TN_METRIC_COUNTER, "records", NULL,
     "Records consumed by all queries, committed or not"},
    {"tarn_engine_rows_out_total", TN_METRIC_COUNTER, "records", NULL,
     "Records committed to topics"},
    {"tarn_engine_commits_total", TN_METRIC_COUNTER, "commits", NULL, "Rounds committed"},
    {"tarn_engine_aborts_total", TN_METRIC_COUNTER, "commits", NULL,
     "Rounds rolled back and processed again"},
    {"tarn_engine_recoveries_total", TN_METRIC_COUNTER, "recoveries", NULL,
     "Times all state was loaded again from the log"},
    {"tarn_engine_commit_seconds", TN_METRIC_HISTOGRAM, "seconds", NULL,
     "From asking for a boundary to the published commit"},
    {"tarn_engine_boundary_seconds", TN_METRIC_HISTOGRAM, "seconds", NULL,
     "From asking for a boundary to the last worker's part"},
    {"tarn_engine_flush_seconds", TN_METRIC_HISTOGRAM, "seconds", NULL,
     "Writing committed rows to the state store"},
    {"tarn_engine_flushed_rows_total", TN_METRIC_COUNTER, "rows", NULL,
     "Rows and positions written to the state store"},
    {"tarn_engine_dead_letters_total", TN_METRIC_COUNTER, "records", NULL,
     "Records set aside because they could not be decoded"},
    {"tarn_engine_read_errors_total", TN_METRIC_COUNTER, "reads", NULL,
     "Reads of a log that failed and were tried again"},
    {"tarn_engine_restored_records_total", TN_METRIC_COUNTER, "records", NULL,
     "Changelog records replayed into state"},
    {"tarn_engine_restore_records", TN_METRIC_GAUGE, "records", NULL,
     "Changelog records that queries must still replay before they are live"},
    {"tarn_engine_standby_lag_records", TN_METRIC_GAUGE, "records", NULL,
     "Changelog records that the copies here of what others own have not read yet"},
    {"tarn_engine_partitions_owned", TN_METRIC_GAUGE, "partitions", NULL,
     "Partition numbers of the application that this process works on"},
    {"tarn_engine_round_rows", TN_METRIC_HISTOGRAM, "records", NULL,
     "Records of one worker in one round"},
};

void tni_engine_metrics_init(struct tn_engine *engine)
{
    engine->metrics = engine->config.metrics ? engine->config.metrics : tn_metrics_new();
    struct tn_metric **const targets[] = {
        &engine->m.rows_in,          &engine->m.rows_out,      &engine->m.commits,
        &engine->m.aborts,           &engine->m.recoveries,    &engine->m.commit_seconds,
        &engine->m.boundary_seconds, &engine->m.flush_seconds, &engine->m.flushed_rows,
        &engine->m.dead_letters,     &engine->m.read_errors,   &engine->m.restored,
        &engine->m.restore_left,     &engine->m.standby_lag,   &engine->m.owned,
        &engine->m.round_rows};
    for (size_t i = 0; i < sizeof descs / sizeof *descs; i++)
        *targets[i] = tn_metric_get(engine->metrics, &descs[i], NULL);
}

const struct tn_metric_desc *tn_engine_metric_descs(size_t *ret_count)
{
    *ret_count = sizeof descs / sizeof *descs;
    return descs;
}

/* ---- queries ---- */

/* A log elsewhere is not asked: the lock is held, and what its servers take would stop the rounds.
 * There the end is the one the last read of this partition saw. */
static int64_t end_of(const struct tni_input *input)
{
    struct tn_log *log = input->task->query->engine->log;
    struct tn_offsets offsets;
    int64_t committed = atomic_load(&input->committed);
    int64_t seen = atomic_load(&input->seen_end);
    if (!log->type->commits_state)
        return seen > committed ? seen : committed;
    if (log->type->offsets(log, &input->topic, input->partition, &offsets, NULL) != TN_OK)
        return committed;
    return offsets.end_visible;
}

bool tni_query_is_restoring(const struct tni_query *query)
{
    for (uint32_t t = 0; t < query->tasks_count; t++) {
        const struct tni_task *task = &query->tasks[t];
        if (task->leader)
            task = task->leader;
        if (!task->is_owned && !tni_engine_owns(query->engine, task))
            continue;
        if (!task->is_owned || atomic_load(&task->state) != TNI_TASK_RUNNING ||
            (task->is_global && !atomic_load(&task->is_ready)))
            return true;
    }
    return false;
}

static enum tn_query_state state_of(const struct tni_query *query)
{
    if (atomic_load(&query->is_failed))
        return TN_QUERY_FAILED;
    if (tni_query_is_restoring(query))
        return TN_QUERY_RESTORING;
    return atomic_load(&query->is_paused) ? TN_QUERY_PAUSED : TN_QUERY_RUNNING;
}

static void add_task(struct tn_query_info *info, struct tni_task *task, int64_t wall_ms)
{
    for (uint32_t i = 0; i < task->inputs_count && task->is_owned; i++) {
        int64_t behind = end_of(&task->inputs[i]) - atomic_load(&task->inputs[i].committed);
        if (!task->is_global && behind > 0)
            info->lag_records += behind;
    }
    int64_t time = atomic_load(&task->shown_time_ms);
    if (time != INT64_MIN && time > info->stream_time_ms)
        info->stream_time_ms = time;
    (void)wall_ms;
    for (uint32_t i = 0; i < task->ops_count; i++) {
        struct tni_ktable_stats stats;
        if (!task->ops[i].kt)
            continue;
        tni_ktable_stats(task->ops[i].kt, &stats);
        info->state_keys += stats.keys_total;
        info->state_bytes += stats.bytes;
        info->state_hits += stats.hits;
        info->state_misses += stats.misses;
    }
}

static void fill_info(struct tni_query *query, struct tn_query_info *info)
{
    struct tni_counters *c = &query->counters;
    int64_t wall_ms = tn_wall_ms(query->engine->clock);
    *info = (struct tn_query_info){.plan = query->plan,
                                   .state = state_of(query),
                                   .rows_in = atomic_load(&c->rows_in),
                                   .rows_out = atomic_load(&c->rows_out),
                                   .rows_late = atomic_load(&c->rows_late),
                                   .rows_bad = atomic_load(&c->rows_bad),
                                   .rows_unmatched = atomic_load(&c->rows_unmatched),
                                   .rows_null_key = atomic_load(&c->rows_null_key),
                                   .rows_null_value = atomic_load(&c->rows_null_value),
                                   .rows_error = atomic_load(&c->rows_error),
                                   .restore_done = atomic_load(&query->restore_done),
                                   .restore_total = atomic_load(&query->restore_total),
                                   .stream_time_ms = INT64_MIN};
    if (info->state == TN_QUERY_FAILED)
        info->error = query->error;
    for (uint32_t t = 0; t < query->tasks_count; t++)
        add_task(info, &query->tasks[t], wall_ms);
    if (info->stream_time_ms == INT64_MIN)
        info->stream_time_ms = 0;
    else if (info->lag_records && wall_ms > info->stream_time_ms)
        info->lag_ms = wall_ms - info->stream_time_ms;
}

void tn_engine_each_query(struct tn_engine *engine,
                          bool (*each)(void *ctx, const struct tn_query_info *info), void *ctx)
{
    pthread_mutex_lock(&engine->lock);
    bool go_on = true;
    for (uint32_t q = 0; q < engine->queries_count && go_on; q++) {
        struct tn_query_info info;
        fill_info(engine->queries[q], &info);
        go_on = each(ctx, &info);
    }
    pthread_mutex_unlock(&engine->lock);
}

static bool each_input(struct tni_task *task,
                       bool (*each)(void *ctx, const struct tn_position_info *info), void *ctx)
{
    for (uint32_t i = 0; i < task->inputs_count && task->is_owned; i++) {
        struct tni_input *input = task->leader ? &task->leader->inputs[i] : &task->inputs[i];
        struct tn_position_info info = {.query_id = task->query->plan->query_id,
                                        .topic = input->topic.name,
                                        .partition = input->partition,
                                        .offset = task->is_global ? atomic_load(&input->applied)
                                                                  : atomic_load(&input->committed),
                                        .end_visible = end_of(input),
                                        .stream_time_ms = atomic_load(&task->shown_time_ms)};
        if (!each(ctx, &info))
            return false;
    }
    return true;
}

void tn_engine_each_position(struct tn_engine *engine,
                             bool (*each)(void *ctx, const struct tn_position_info *info),
                             void *ctx)
{
    pthread_mutex_lock(&engine->lock);
    bool go_on = true;
    for (uint32_t q = 0; q < engine->queries_count && go_on; q++)
        for (uint32_t t = 0; t < engine->queries[q]->tasks_count && go_on; t++)
            go_on = each_input(&engine->queries[q]->tasks[t], each, ctx);
    pthread_mutex_unlock(&engine->lock);
}

bool tn_engine_is_ready(struct tn_engine *engine, struct tn_buf *ret_missing)
{
    const struct tn_log_type *log = engine->log->type;
    bool is_ready = !log->is_healthy || log->is_healthy(engine->log, ret_missing);
    if (!is_ready)
        tn_buf_add_byte(ret_missing, '\n');
    pthread_mutex_lock(&engine->lock);
    if (atomic_load(&engine->is_fatal)) {
        is_ready = false;
        tn_buf_printf(ret_missing, "processing has stopped: %s\n", engine->fatal.message);
    }
    if (engine->is_unwritten) {
        is_ready = false;
        tn_buf_printf(ret_missing, "state is not written: %s\n", engine->unwritten.message);
    }
    if (atomic_load(&engine->is_withheld)) {
        is_ready = false;
        tn_buf_printf(ret_missing, "takes no tasks: %s\n", engine->withheld);
    } else if (engine->has_members && engine->member_partitions &&
               (engine->generation == 0 || atomic_load(&engine->is_bereft))) {
        is_ready = false;
        tn_buf_printf(ret_missing, "group %s has not handed out partitions yet\n",
                      engine->config.application_id);
    }
    for (uint32_t q = 0; q < engine->queries_count; q++) {
        struct tni_query *query = engine->queries[q];
        if (atomic_load(&query->is_failed)) {
            is_ready = false;
            tn_buf_printf(ret_missing, "query %s has failed: %s\n", query->plan->query_id,
                          query->error.message);
        } else if (tni_query_is_restoring(query)) {
            is_ready = false;
            tn_buf_printf(ret_missing, "query %s is restoring: %lld of %lld changelog records\n",
                          query->plan->query_id, (long long)atomic_load(&query->restore_done),
                          (long long)atomic_load(&query->restore_total));
        }
    }
    pthread_mutex_unlock(&engine->lock);
    return is_ready;
}

int64_t tn_engine_commit(struct tn_engine *engine)
{
    return tni_view_commit(&engine->view);
}
