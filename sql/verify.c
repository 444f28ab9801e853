/* Runs the comparisons of verify.h, query by query.
 *
 * HOW. Rows become (key, value) pairs (verify_rows.c), sorted and merged; what stands on one side
 * only, or with another value, is a difference. The engines beside the live one get a log that
 * reads the real topics and writes elsewhere (verify_log.c).
 */
#include <pthread.h>
#include <time.h>

#include "sql/plan_stream_int.h"
#include "sql/verify_int.h"
#include "stream/base/mem.h"

#define SHOWN_MAX   20
#define TEXT_MAX    200 /* bytes of a key or value in a line */
#define PROGRESS_NS ((int64_t)3000000000)
#define WAIT_MS     100
#define INPUTS_MAX  4096
#define WHY_MAX     256

/* ---- waiting ---- */

struct waiter {
    struct tn_wake wake; /* first member */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool is_signalled;
};

static void waiter_signal(struct tn_wake *wake)
{
    struct waiter *waiter = (struct waiter *)wake;
    pthread_mutex_lock(&waiter->lock);
    waiter->is_signalled = true;
    pthread_cond_signal(&waiter->changed);
    pthread_mutex_unlock(&waiter->lock);
}

static void waiter_init(struct waiter *waiter)
{
    pthread_condattr_t attr;
    *waiter = (struct waiter){.wake = {waiter_signal}};
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&waiter->lock, NULL);
    pthread_cond_init(&waiter->changed, &attr);
    pthread_condattr_destroy(&attr);
}

static void waiter_release(struct waiter *waiter)
{
    pthread_cond_destroy(&waiter->changed);
    pthread_mutex_destroy(&waiter->lock);
}

/* Until signalled, at most WAIT_MS. */
static void waiter_wait(struct waiter *waiter)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += WAIT_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    pthread_mutex_lock(&waiter->lock);
    while (!waiter->is_signalled &&
           pthread_cond_timedwait(&waiter->changed, &waiter->lock, &until) == 0)
        ;
    waiter->is_signalled = false;
    pthread_mutex_unlock(&waiter->lock);
}

/* ---- one run ---- */

struct input {
    char topic[TN_TOPIC_NAME_MAX + 1];
    int32_t partition;
    int64_t offset, end;
};

struct verify {
    const struct tn_verify_config *config;
    FILE *out;
    int64_t differences;
    /* the query at hand */
    const struct tn_catalog_query *query;
    const struct tn_object *object; /* its table; NULL: it fills a stream */
    struct tn_err failure;          /* why the live engine refuses it */
    struct input *inputs;
    uint32_t inputs_count;
    char why[WHY_MAX]; /* the recount proves nothing when it differs, because … */
    bool is_skipped;   /* it cannot even be made */
    int64_t shown_ns;  /* last progress line */
};

static void progress(struct verify *verify, const char *what, int64_t done, int64_t total)
{
    int64_t now = tn_mono_ns(verify->config->clock);
    if (now - verify->shown_ns < PROGRESS_NS)
        return;
    verify->shown_ns = now;
    if (verify->config->progress)
        fprintf(verify->config->progress, "verify: %s: %s %lld of %lld records\n",
                verify->query->id, what, (long long)done, (long long)total);
}

/* ---- differences ---- */

static void print_text(FILE *out, struct tn_str text)
{
    if (!text.ptr) {
        fputs("nothing", out);
        return;
    }
    for (size_t i = 0; i < text.len && i < TEXT_MAX; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        fprintf(out, c >= 32 && c != 127 ? "%c" : "\\x%02x", c);
    }
    if (text.len > TEXT_MAX)
        fputs("…", out);
}

struct side {
    const char *name;
    const struct tni_vrows *rows;
};

static void print_difference(struct verify *verify, const struct tni_vrow *live, struct side other,
                             const struct tni_vrow *row)
{
    fprintf(verify->out, "  %s, %s: key ", verify->query->id,
            verify->object ? verify->object->name : verify->query->sink_name);
    print_text(verify->out, live ? live->key : row->key);
    fprintf(verify->out, ": %s ", verify->object ? "table has" : "log has");
    print_text(verify->out, live ? live->value : (struct tn_str){NULL, 0});
    fprintf(verify->out, ", %s ", other.name);
    print_text(verify->out, row ? row->value : (struct tn_str){NULL, 0});
    fputc('\n', verify->out);
}

/* is_pairs: a key may stand several times, so rows are equal only with their values. */
static int64_t compare(struct verify *verify, const struct tni_vrows *live, struct side other,
                       bool is_pairs)
{
    const struct tni_vrows *rows = other.rows;
    int64_t found = 0;
    size_t l = 0, o = 0;
    while (l < live->count || o < rows->count) {
        const struct tni_vrow *a = l < live->count ? &live->items[l] : NULL;
        const struct tni_vrow *b = o < rows->count ? &rows->items[o] : NULL;
        int c = !a ? 1 : !b ? -1 : tn_str_cmp(a->key, b->key);
        bool is_equal = c == 0 && tn_str_eq(a->value, b->value);
        if (c == 0 && !is_equal && is_pairs)
            c = tn_str_cmp(a->value, b->value);
        if (!is_equal && found++ < SHOWN_MAX)
            print_difference(verify, c <= 0 ? a : NULL, other, c >= 0 ? b : NULL);
        l += c <= 0;
        o += c >= 0;
    }
    if (found > SHOWN_MAX)
        fprintf(verify->out, "  … and %lld more\n", (long long)found - SHOWN_MAX);
    return found;
}

static void verdict(struct verify *verify, const char *what, int64_t found)
{
    if (!found)
        fprintf(verify->out, "  %s: agrees\n", what);
    else
        fprintf(verify->out, "  %s: %lld differences\n", what, (long long)found);
    verify->differences += found;
}

/* ---- positions ---- */

static bool take_input(void *ctx, const struct tn_position_info *info)
{
    struct verify *verify = ctx;
    if (strcmp(info->query_id, verify->query->id) != 0 || verify->inputs_count == INPUTS_MAX)
        return true;
    struct input *input = &verify->inputs[verify->inputs_count++];
    snprintf(input->topic, sizeof input->topic, "%s", info->topic);
    input->partition = info->partition;
    input->offset = info->offset;
    return true;
}

static bool is_cut(struct verify *verify, const char *topic)
{
    const struct tn_plan *plan = verify->query->plan;
    for (uint32_t s = 0; s < plan->stages_count; s++)
        for (uint32_t i = 0; i < plan->stages[s].nodes_count; i++) {
            const struct tn_node *node = &plan->stages[s].nodes[i];
            if (node->kind == TN_NODE_SOURCE && strcmp(node->decl->topic, topic) == 0)
                return !node->decl->is_table; /* a table's last values are enough */
        }
    return true;
}

static enum tn_status check_input(struct verify *verify, struct input *input, struct tn_err *err)
{
    struct tn_log *log = verify->config->log;
    struct tn_topic topic;
    struct tn_offsets offsets;
    enum tn_status st = log->type->topic_find(log, input->topic, &topic, err);
    if (st == TN_NOT_FOUND) {
        fprintf(verify->out, "  position: input topic '%s' is gone\n", input->topic);
        verify->differences++;
        verify->is_skipped = true;
        return TN_OK;
    }
    TN_TRY(st);
    TN_TRY(log->type->offsets(log, &topic, input->partition, &offsets, err));
    input->end = offsets.end_visible;
    if (input->offset > offsets.end_visible || input->offset < offsets.start) {
        fprintf(verify->out,
                "  position: %s, '%s' partition %d: stands at %lld, the log has %lld to %lld\n",
                verify->query->id, input->topic, input->partition, (long long)input->offset,
                (long long)offsets.start, (long long)offsets.end_visible);
        verify->differences++;
    } else if (input->offset < offsets.end_visible) {
        fprintf(verify->out, "  position: '%s' partition %d: %lld records not read yet\n",
                input->topic, input->partition, (long long)(offsets.end_visible - input->offset));
    }
    bool is_compacted = topic.cleanup != TN_CLEANUP_DELETE;
    if (is_cut(verify, input->topic) && (offsets.start > 0 || is_compacted)) {
        verify->is_skipped = true;
        snprintf(verify->why, sizeof verify->why,
                 is_compacted ? "'%s' is compacted: records before %lld may be gone"
                              : "the first records of '%s' are dropped: it starts at %lld",
                 input->topic, (long long)(is_compacted ? offsets.end_visible : offsets.start));
    }
    return TN_OK;
}

/* ---- may it be counted again? ---- */

static bool is_fixed(void *ctx, const struct tn_expr *expr)
{
    bool *is_random = ctx;
    if (expr->kind == TN_E_CALL && expr->func->flags & TN_FN_VOLATILE)
        *is_random = true;
    return true;
}

static void find_doubts(struct verify *verify)
{
    const struct tn_plan *plan = verify->query->plan;
    bool is_random = false, is_join = false;
    for (uint32_t s = 0; s < plan->stages_count; s++) {
        uint32_t sources = 0;
        for (uint32_t i = 0; i < plan->stages[s].nodes_count; i++) {
            const struct tn_node *node = &plan->stages[s].nodes[i];
            sources += node->kind == TN_NODE_SOURCE;
            is_join = is_join || node->kind == TN_NODE_JOIN_TABLE || sources > 1;
            for (uint32_t e = 0; e < node->exprs_count; e++)
                tni_expr_walk(node->exprs[e], is_fixed, &is_random);
        }
    }
    if (is_join)
        snprintf(verify->why, sizeof verify->why,
                 "it joins inputs, and the order in which they arrived is in no log");
    if (is_random)
        snprintf(verify->why, sizeof verify->why, "it calls a random function");
    if (plan->is_from_latest) {
        verify->is_skipped = true;
        snprintf(verify->why, sizeof verify->why,
                 "it began at the end of its inputs, and where that was is not kept");
    }
}

/* ---- engines beside the live one ---- */

struct beside {
    struct tn_log *scratch;
    struct tn_state *scratch_state;
    struct tni_vlog *vlog;
    struct tn_engine *engine;
    bool is_open;
};

static void beside_close(struct verify *verify, struct beside *beside)
{
    tn_engine_close(beside->engine);
    if (beside->vlog)
        tni_vlog_log(beside->vlog)->type->close(tni_vlog_log(beside->vlog));
    if (beside->is_open)
        verify->config->scratch_close(verify->config->ctx);
    *beside = (struct beside){0};
}

static bool take_state(void *ctx, const struct tn_query_info *info)
{
    struct tn_query_info *into = ctx;
    *into = *info;
    return true;
}

static struct tn_query_info info_of(struct tn_engine *engine)
{
    struct tn_query_info info = {0};
    tn_engine_each_query(engine, take_state, &info);
    return info;
}

/* Topics that the second engine writes. */
static enum tn_status make_outputs(struct verify *verify, struct beside *beside, struct tn_err *err)
{
    const struct tn_plan *plan = verify->query->plan;
    for (uint32_t s = 0; s < plan->stages_count; s++)
        for (uint32_t i = 0; i < plan->stages[s].nodes_count; i++) {
            const struct tn_node *node = &plan->stages[s].nodes[i];
            struct tn_log *log = verify->config->log;
            struct tn_topic topic;
            if (node->kind != TN_NODE_SINK && node->kind != TN_NODE_REPARTITION)
                continue;
            enum tn_status st = log->type->topic_find(log, node->decl->topic, &topic, err);
            if (st != TN_OK)
                return st == TN_NOT_FOUND ? tn_err_set(err, TN_E_NAME, "topic '%s' does not exist",
                                                       node->decl->topic)
                                          : st;
            struct tn_topic_spec spec = {.name = topic.name,
                                         .partitions_count = topic.partitions_count,
                                         .cleanup = TN_CLEANUP_DELETE,
                                         .retention_ms = -1,
                                         .retention_bytes = -1};
            TN_TRY(beside->scratch->type->topic_create(beside->scratch, &spec, err));
        }
    return TN_OK;
}

static enum tn_status beside_open(struct verify *verify, enum tni_vlog_mode mode,
                                  struct beside *beside, struct tn_err *err)
{
    const struct tn_verify_config *config = verify->config;
    struct tn_plan *plan = verify->query->plan;
    TN_TRY(config->scratch_open(config->ctx, &beside->scratch, &beside->scratch_state, err));
    beside->is_open = true;
    if (mode == TNI_VLOG_RECOUNT)
        TN_TRY(make_outputs(verify, beside, err));
    beside->vlog = tni_vlog_new(mode, config->log, beside->scratch, plan);
    for (uint32_t i = 0; mode == TNI_VLOG_RECOUNT && i < verify->inputs_count; i++)
        tni_vlog_limit(beside->vlog, verify->inputs[i].topic, verify->inputs[i].partition,
                       verify->inputs[i].offset);
    TN_TRY(tn_engine_open(config->engine_config, tni_vlog_log(beside->vlog), beside->scratch_state,
                          config->clock, &beside->engine, err));
    TN_TRY(tn_engine_add(beside->engine, plan, err));
    if (mode == TNI_VLOG_REBUILD)
        TN_TRY(tn_engine_pause(beside->engine, plan->query_id, true, err));
    return tn_engine_start(beside->engine, err);
}

/* Until the query's state is there. */
static enum tn_status wait_restored(struct verify *verify, struct tn_engine *engine,
                                    struct waiter *waiter, struct tn_err *err)
{
    for (;;) {
        struct tn_query_info info = info_of(engine);
        if (info.state == TN_QUERY_FAILED) {
            *err = info.error;
            return err->code;
        }
        if (info.state != TN_QUERY_RESTORING)
            return TN_OK;
        progress(verify, "changelog,", info.restore_done, info.restore_total);
        waiter_wait(waiter);
    }
}

static enum tn_status wait_counted(struct verify *verify, struct tn_engine *engine,
                                   struct waiter *waiter, struct tn_err *err)
{
    struct tn_fresh *fresh = NULL;
    struct tn_buf lagging;
    const char *ids[] = {verify->query->id};
    int64_t total = 0;
    for (uint32_t i = 0; i < verify->inputs_count; i++)
        total += verify->inputs[i].offset;
    tn_buf_init(&lagging, 1 << 20);
    enum tn_status st = tn_fresh_open(engine, ids, 1, &waiter->wake, &fresh, err);
    while (!tn_failed(st) && (st = tn_fresh_poll(fresh, &lagging)) == TN_AGAIN) {
        struct tn_query_info info = info_of(engine);
        if (info.state == TN_QUERY_FAILED) {
            *err = info.error;
            st = err->code;
            break;
        }
        progress(verify, "counted", info.rows_in, total);
        waiter_wait(waiter);
        tn_buf_reset(&lagging);
    }
    tn_fresh_free(fresh);
    tn_buf_release(&lagging);
    return st;
}

/* ---- comparisons ---- */

/* Records that the query writes again against those it has written: repartition topics of streams,
 * and the result of a query that fills a stream alone. */
static enum tn_status compare_records(struct verify *verify, struct tn_log *scratch,
                                      const char *topic, struct tn_err *err)
{
    struct tni_vrows was, again;
    char what[TN_TOPIC_NAME_MAX + 64];
    tni_vrows_init(&was);
    tni_vrows_init(&again);
    enum tn_status st = tni_vrows_topic(verify->config->log, topic, true, &was, err);
    if (!tn_failed(st))
        st = tni_vrows_topic(scratch, topic, true, &again, err);
    if (!tn_failed(st)) {
        tni_vrows_sort(&was);
        tni_vrows_sort(&again);
        int64_t found = compare(verify, &was, (struct side){"recount", &again}, true);
        snprintf(what, sizeof what, "records of '%s' (%zu)", topic, was.count);
        verdict(verify, what, found);
    }
    tni_vrows_release(&was);
    tni_vrows_release(&again);
    return st;
}

static enum tn_status compare_written(struct verify *verify, struct tn_log *scratch,
                                      struct tn_err *err)
{
    const struct tn_plan *plan = verify->query->plan;
    const struct tn_object *table = verify->object;
    verify->object = NULL; /* lines speak of logs */
    enum tn_status st = TN_OK;
    for (uint32_t s = 0; s < plan->stages_count && !tn_failed(st); s++)
        for (uint32_t i = 0; i < plan->stages[s].nodes_count && !tn_failed(st); i++) {
            const struct tn_node *node = &plan->stages[s].nodes[i];
            bool is_own = node->kind == TN_NODE_REPARTITION ||
                          (node->kind == TN_NODE_SINK && verify->query->kind == TN_QUERY_CSAS);
            if (is_own && !node->is_table && !verify->why[0])
                st = compare_records(verify, scratch, node->decl->topic, err);
        }
    verify->object = table;
    return st;
}

static enum tn_status recount(struct verify *verify, const struct tni_vrows *live,
                              struct tn_err *err)
{
    struct beside beside = {0};
    struct tni_vrows rows;
    struct waiter waiter;
    enum tn_status st;
    waiter_init(&waiter);
    tni_vrows_init(&rows);
    TN_GOTO(beside_open(verify, TNI_VLOG_RECOUNT, &beside, err));
    TN_GOTO(wait_restored(verify, beside.engine, &waiter, err));
    tni_vlog_start(beside.vlog);
    TN_GOTO(wait_counted(verify, beside.engine, &waiter, err));
    TN_GOTO(compare_written(verify, beside.scratch, err));
    if (live) {
        TN_GOTO(tni_vrows_scan(beside.engine, verify->object, false, &rows, err));
        tni_vrows_fold(&rows);
        int64_t found = compare(verify, live, (struct side){"recount", &rows}, false);
        if (found && verify->why[0])
            fprintf(verify->out, "  recount: %lld rows differ; that proves nothing, because %s\n",
                    (long long)found, verify->why);
        else
            verdict(verify, "recount", found);
    } else if (verify->why[0]) {
        fprintf(verify->out, "  recount: not compared: %s\n", verify->why);
    }
fail:
    beside_close(verify, &beside);
    tni_vrows_release(&rows);
    waiter_release(&waiter);
    return st;
}

static enum tn_status rebuild(struct verify *verify, const struct tni_vrows *live,
                              struct tn_err *err)
{
    struct beside beside = {0};
    struct tni_vrows rows;
    struct waiter waiter;
    enum tn_status st;
    waiter_init(&waiter);
    tni_vrows_init(&rows);
    TN_GOTO(beside_open(verify, TNI_VLOG_REBUILD, &beside, err));
    TN_GOTO(wait_restored(verify, beside.engine, &waiter, err));
    TN_GOTO(tni_vrows_scan(beside.engine, verify->object, false, &rows, err));
    tni_vrows_fold(&rows);
    verdict(verify, "changelog", compare(verify, live, (struct side){"changelog", &rows}, false));
fail:
    beside_close(verify, &beside);
    tni_vrows_release(&rows);
    waiter_release(&waiter);
    return st;
}

/* Windows that retention has taken from the table may still be in the topic. */
static void drop_expired(const struct tni_vrows *live, struct tni_vrows *topic)
{
    size_t kept = 0, l = 0;
    for (size_t t = 0; t < topic->count; t++) {
        while (l < live->count && tn_str_cmp(live->items[l].key, topic->items[t].key) < 0)
            l++;
        if (l < live->count && tn_str_eq(live->items[l].key, topic->items[t].key))
            topic->items[kept++] = topic->items[t];
    }
    topic->count = kept;
}

static enum tn_status compare_result(struct verify *verify, struct tn_err *err)
{
    struct tni_vrows live, topic;
    char what[TN_TOPIC_NAME_MAX + 96];
    size_t held = 0;
    tni_vrows_init(&live);
    tni_vrows_init(&topic);
    enum tn_status st =
        tni_vrows_emitted(verify->config->engine, verify->object, &live, &held, err);
    if (!tn_failed(st))
        st = tni_vrows_topic(verify->config->log, verify->object->decl.topic, false, &topic, err);
    if (!tn_failed(st)) {
        int len = snprintf(what, sizeof what, "result topic '%s' (%zu records",
                           verify->object->decl.topic, topic.count);
        snprintf(what + len, sizeof what - (size_t)len,
                 held ? ", results of %zu rows held back)" : ")", held);
        tni_vrows_fold(&live);
        tni_vrows_fold(&topic);
        if (verify->object->decl.window != TN_WINDOW_NONE)
            drop_expired(&live, &topic);
        verdict(verify, what, compare(verify, &live, (struct side){"result topic", &topic}, false));
    }
    tni_vrows_release(&live);
    tni_vrows_release(&topic);
    return st;
}

/* ---- queries ---- */

static enum tn_status check_table(struct verify *verify, struct tn_err *err)
{
    struct tni_vrows live;
    tni_vrows_init(&live);
    enum tn_status st = tni_vrows_scan(verify->config->engine, verify->object, false, &live, err);
    if (!tn_failed(st)) {
        tni_vrows_fold(&live);
        fprintf(verify->out, "  table: %zu rows\n", live.count);
        if (!verify->is_skipped)
            st = recount(verify, &live, err);
    }
    if (!tn_failed(st))
        st = rebuild(verify, &live, err);
    if (!tn_failed(st) && verify->object->kind == TN_OBJ_KTABLE)
        st = compare_result(verify, err);
    tni_vrows_release(&live);
    return st;
}

static bool is_table_of(const struct tn_object *object, const struct tn_catalog_query *query)
{
    bool has_rows = object->kind == TN_OBJ_KTABLE || object->kind == TN_OBJ_TABLE;
    return has_rows && object->query_id && strcmp(object->query_id, query->id) == 0;
}

static bool take_failure(void *ctx, const struct tn_query_info *info)
{
    struct verify *verify = ctx;
    if (info->state == TN_QUERY_FAILED && strcmp(info->plan->query_id, verify->query->id) == 0)
        verify->failure = info->error;
    return true;
}

static enum tn_status check_query(struct verify *verify, const struct tn_catalog *catalog,
                                  const struct tn_catalog_query *query, struct tn_err *err)
{
    const struct tn_object *object;
    verify->query = query;
    verify->object = NULL;
    verify->inputs_count = 0;
    verify->why[0] = 0;
    verify->is_skipped = false;
    verify->failure = (struct tn_err)TN_ERR_INIT;
    for (size_t i = 0; (object = tn_catalog_at(catalog, i)) != NULL; i++)
        if (is_table_of(object, query))
            verify->object = object;
    fprintf(verify->out, "%s, %s:\n", query->id, query->sink_name ? query->sink_name : "?");
    fflush(verify->out);
    tn_engine_each_query(verify->config->engine, take_failure, verify);
    if (verify->failure.code != TN_OK) { /* it was not even loaded */
        fprintf(verify->out, "  %s, %s: cannot go on: %s\n", query->id, query->sink_name,
                verify->failure.message);
        verify->differences++;
        return TN_OK;
    }
    tn_engine_each_position(verify->config->engine, take_input, verify);
    find_doubts(verify);
    for (uint32_t i = 0; i < verify->inputs_count; i++)
        TN_TRY(check_input(verify, &verify->inputs[i], err));
    if (verify->is_skipped)
        fprintf(verify->out, "  recount: not possible: %s\n",
                verify->why[0] ? verify->why : "an input is gone");
    if (verify->object)
        return check_table(verify, err);
    return verify->is_skipped ? TN_OK : recount(verify, NULL, err);
}

struct ready {
    bool is_restoring;
    int64_t done, total;
};

static bool take_ready(void *ctx, const struct tn_query_info *info)
{
    struct ready *ready = ctx;
    ready->is_restoring = ready->is_restoring || info->state == TN_QUERY_RESTORING;
    ready->done += info->restore_done;
    ready->total += info->restore_total;
    return true;
}

static void wait_live(struct verify *verify)
{
    struct waiter waiter;
    struct tn_catalog_query all = {.id = "all"};
    waiter_init(&waiter);
    verify->query = &all;
    for (;;) {
        struct ready ready = {0};
        tn_engine_each_query(verify->config->engine, take_ready, &ready);
        if (!ready.is_restoring)
            break;
        progress(verify, "restored", ready.done, ready.total);
        waiter_wait(&waiter);
    }
    waiter_release(&waiter);
    verify->query = NULL;
}

struct queries {
    const struct tn_catalog_query *items[INPUTS_MAX];
    size_t count;
};

static bool add_query(void *ctx, const struct tn_catalog_query *query)
{
    struct queries *queries = ctx;
    if (queries->count < INPUTS_MAX)
        queries->items[queries->count++] = query;
    return true;
}

enum tn_status tn_verify_run(const struct tn_verify_config *config, int64_t *ret_differences,
                             struct tn_err *err)
{
    struct verify verify = {
        .config = config, .out = config->out, .shown_ns = tn_mono_ns(config->clock)};
    struct queries *queries = tn_alloc(sizeof *queries);
    const struct tn_catalog *catalog = tn_db_catalog(config->db);
    enum tn_status st = TN_OK;
    verify.inputs = tn_alloc_array(INPUTS_MAX, sizeof *verify.inputs);
    wait_live(&verify);
    tn_catalog_each_query(catalog, add_query, queries);
    for (size_t i = 0; i < queries->count && !tn_failed(st); i++) {
        st = check_query(&verify, catalog, queries->items[i], err);
        if (tn_failed(st))
            tn_err_prefix(err, "%s: ", queries->items[i]->id);
    }
    tn_catalog_unref(catalog);
    tn_free(queries);
    tn_free(verify.inputs);
    if (tn_failed(st))
        return st;
    fprintf(config->out,
            verify.differences ? "verify: %lld differences\n" : "verify: everything agrees\n",
            (long long)verify.differences);
    *ret_differences = verify.differences;
    return TN_OK;
}
