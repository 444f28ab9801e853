/* Engines beside the live one: opened over the log of verify_log.c and a scratch store, and waited
 * for. @thread the caller's
 */
#include "sql/verify_int.h"
#include "stream/base/mem.h"

#define PROGRESS_NS ((int64_t)3000000000)

void tni_verify_progress(struct tni_verify *verify, const char *what, int64_t done, int64_t total)
{
    int64_t now = tn_mono_ns(verify->config->clock);
    if (now - verify->shown_ns < PROGRESS_NS)
        return;
    verify->shown_ns = now;
    if (verify->config->progress)
        fprintf(verify->config->progress, "verify: %s: %s %lld of %lld records\n",
                verify->query->id, what, (long long)done, (long long)total);
}

/* ---- opening ---- */

void tni_vbeside_close(struct tni_verify *verify, struct tni_vbeside *beside)
{
    tn_engine_close(beside->engine);
    if (beside->vlog)
        tni_vlog_log(beside->vlog)->type->close(tni_vlog_log(beside->vlog));
    if (beside->is_open)
        verify->config->scratch_close(verify->config->ctx);
    *beside = (struct tni_vbeside){0};
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
static enum tn_status make_outputs(struct tni_verify *verify, struct tni_vbeside *beside,
                                   struct tn_err *err)
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

enum tn_status tni_vbeside_open(struct tni_verify *verify, enum tni_vlog_mode mode,
                                struct tni_vbeside *beside, struct tn_err *err)
{
    const struct tn_verify_config *config = verify->config;
    struct tn_plan *plan = verify->query->plan;
    TN_TRY(config->scratch_open(config->ctx, &beside->scratch, &beside->scratch_state, err));
    beside->is_open = true;
    if (mode == TNI_VLOG_RECOUNT)
        TN_TRY(make_outputs(verify, beside, err));
    beside->vlog = tni_vlog_new(mode, config->log, beside->scratch, plan);
    if (beside->is_tables_first)
        tni_vlog_tables_first(beside->vlog, beside->hidden, beside->hidden_count);
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
enum tn_status tni_vbeside_restored(struct tni_verify *verify, struct tn_engine *engine,
                                    struct tn_waiter *waiter, struct tn_err *err)
{
    for (;;) {
        struct tn_query_info info = info_of(engine);
        if (info.state == TN_QUERY_FAILED) {
            *err = info.error;
            return err->code;
        }
        if (info.state != TN_QUERY_RESTORING)
            return TN_OK;
        tni_verify_progress(verify, "changelog,", info.restore_done, info.restore_total);
        (void)tn_waiter_wait(waiter, TNI_VERIFY_WAIT_NS);
    }
}

enum tn_status tni_vbeside_counted(struct tni_verify *verify, struct tn_engine *engine,
                                   struct tn_waiter *waiter, struct tn_err *err)
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
        tni_verify_progress(verify, "counted", info.rows_in, total);
        (void)tn_waiter_wait(waiter, TNI_VERIFY_WAIT_NS);
        tn_buf_reset(&lagging);
    }
    tn_fresh_free(fresh);
    tn_buf_release(&lagging);
    return st;
}
