/* Runs the comparisons of verify.h, query by query.
 *
 * HOW. Rows become (key, value) pairs (verify_rows.c), sorted and merged; what stands on one side
 * only, or with another value, is a difference. The engines beside the live one get a log that
 * reads the real topics and writes elsewhere (verify_log.c).
 */
#include "sql/plan_stream_int.h"
#include "sql/verify_int.h"
#include "stream/base/mem.h"

#define SHOWN_MAX  20
#define TEXT_MAX   200 /* bytes of a key or value in a line */
#define INPUTS_MAX 4096

/* ---- differences ---- */

void tni_verify_text(FILE *out, struct tn_str text)
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

static void print_difference(struct tni_verify *verify, const struct tni_vrow *live,
                             struct side other, const struct tni_vrow *row)
{
    TN_ASSERT(live || row);
    fprintf(verify->out, "  %s, %s: key ", verify->query->id,
            verify->object ? verify->object->name : verify->query->sink_name);
    tni_verify_text(verify->out, live ? live->key : row->key);
    fprintf(verify->out, ": %s ", verify->object ? "table has" : "log has");
    tni_verify_text(verify->out, live ? live->value : (struct tn_str){NULL, 0});
    fprintf(verify->out, ", %s ", other.name);
    tni_verify_text(verify->out, row ? row->value : (struct tn_str){NULL, 0});
    fputc('\n', verify->out);
}

/* is_pairs: a key may stand several times, so rows are equal only with their values. */
static int64_t compare(struct tni_verify *verify, const struct tni_vrows *live, struct side other,
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

void tni_verify_verdict(struct tni_verify *verify, const char *what, int64_t found)
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
    struct tni_verify *verify = ctx;
    if (strcmp(info->query_id, verify->query->id) != 0 || verify->inputs_count == INPUTS_MAX)
        return true;
    struct tni_vinput *input = &verify->inputs[verify->inputs_count++];
    snprintf(input->topic, sizeof input->topic, "%s", info->topic);
    input->partition = info->partition;
    input->offset = info->offset;
    return true;
}

static bool is_cut(struct tni_verify *verify, const char *topic)
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

static enum tn_status check_input(struct tni_verify *verify, struct tni_vinput *input,
                                  struct tn_err *err)
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

static enum tni_verify_doubt doubt_of(const struct tn_stage *stage)
{
    bool is_random = false, is_join = false;
    uint32_t sources = 0;
    for (uint32_t i = 0; i < stage->nodes_count; i++) {
        const struct tn_node *node = &stage->nodes[i];
        sources += node->kind == TN_NODE_SOURCE;
        is_join = is_join || node->kind == TN_NODE_JOIN_TABLE || sources > 1;
        for (uint32_t e = 0; e < node->exprs_count; e++)
            tni_expr_walk(node->exprs[e], is_fixed, &is_random);
    }
    return is_random ? TNI_DOUBT_RANDOM : is_join ? TNI_DOUBT_JOIN : TNI_DOUBT_NONE;
}

/* A stage's doubt is its own: the next one reads the records that are in the log. So a table is as
 * good as the last stage. */
static void find_doubts(struct tni_verify *verify)
{
    const struct tn_plan *plan = verify->query->plan;
    for (uint32_t s = 0; s < plan->stages_count; s++)
        verify->doubts[s] = doubt_of(&plan->stages[s]);
    enum tni_verify_doubt last = verify->doubts[plan->stages_count - 1];
    if (last == TNI_DOUBT_JOIN && verify->object)
        snprintf(verify->why, sizeof verify->why,
                 "it adds up joined rows in the stage that joins them, and which row of the other "
                 "input each of them met is in no log");
    if (last == TNI_DOUBT_RANDOM)
        snprintf(verify->why, sizeof verify->why, "it calls a random function");
    if (plan->is_from_latest) {
        verify->is_skipped = true;
        snprintf(verify->why, sizeof verify->why,
                 "it began at the end of its inputs, and where that was is not kept");
    }
}

/* ---- comparisons ---- */

bool tni_verify_is_own(const struct tni_verify *verify, const struct tn_node *node)
{
    bool is_own = node->kind == TN_NODE_REPARTITION ||
                  (node->kind == TN_NODE_SINK && verify->query->kind == TN_QUERY_CSAS);
    return is_own && !node->is_table;
}

/* Records that the query writes again against those it has written: repartition topics of streams,
 * and the result of a query that fills a stream alone. How folded rows are spread over records
 * depends on when rounds end: they are summed up by key first. */
static enum tn_status compare_records(struct tni_verify *verify, struct tn_log *scratch,
                                      const struct tn_node *node, struct tn_err *err)
{
    const char *topic = node->decl->topic;
    struct tni_vrows was, again;
    char what[TN_TOPIC_NAME_MAX + 64];
    tni_vrows_init(&was);
    tni_vrows_init(&again);
    enum tn_status st = tni_vrows_topic(verify->config->log, topic, true, &was, err);
    if (!tn_failed(st))
        st = tni_vrows_topic(scratch, topic, true, &again, err);
    if (!tn_failed(st) && node->is_fold)
        st = tni_vrows_unfold(node, &was, err);
    if (!tn_failed(st) && node->is_fold)
        st = tni_vrows_unfold(node, &again, err);
    if (!tn_failed(st)) {
        tni_vrows_sort(&was);
        tni_vrows_sort(&again);
        int64_t found = compare(verify, &was, (struct side){"recount", &again}, true);
        snprintf(what, sizeof what, "records of '%s' (%zu)", topic, was.count);
        tni_verify_verdict(verify, what, found);
    }
    tni_vrows_release(&was);
    tni_vrows_release(&again);
    return st;
}

static enum tn_status compare_written(struct tni_verify *verify, struct tn_log *scratch,
                                      struct tn_err *err)
{
    const struct tn_plan *plan = verify->query->plan;
    const struct tn_object *table = verify->object;
    verify->object = NULL; /* lines speak of logs */
    enum tn_status st = TN_OK;
    for (uint32_t s = 0; s < plan->stages_count && !tn_failed(st); s++)
        for (uint32_t i = 0; i < plan->stages[s].nodes_count && !tn_failed(st); i++) {
            const struct tn_node *node = &plan->stages[s].nodes[i];
            if (tni_verify_is_own(verify, node) && verify->doubts[s] == TNI_DOUBT_NONE)
                st = compare_records(verify, scratch, node, err);
        }
    verify->object = table;
    return st;
}

/* The table of the engine beside against the live one. */
static enum tn_status compare_table(struct tni_verify *verify, enum tni_vlog_mode mode,
                                    struct tn_engine *engine, const struct tni_vrows *live,
                                    struct tn_err *err)
{
    const char *name = mode == TNI_VLOG_RECOUNT ? "recount" : "changelog";
    struct tni_vrows rows;
    tni_vrows_init(&rows);
    enum tn_status st = tni_vrows_scan(engine, verify->object, false, &rows, err);
    if (!tn_failed(st)) {
        tni_vrows_fold(&rows);
        int64_t found = compare(verify, live, (struct side){name, &rows}, false);
        if (found && verify->why[0] && mode == TNI_VLOG_RECOUNT)
            fprintf(verify->out, "  recount: %lld rows differ; that proves nothing, because %s\n",
                    (long long)found, verify->why);
        else
            tni_verify_verdict(verify, name, found);
    }
    tni_vrows_release(&rows);
    return st;
}

/* RECOUNT: from the inputs. REBUILD: from the changelog; then live is not NULL. */
static enum tn_status beside(struct tni_verify *verify, enum tni_vlog_mode mode,
                             const struct tni_vrows *live, struct tn_err *err)
{
    struct tni_vbeside beside = {0};
    struct tn_waiter waiter;
    enum tn_status st;
    tn_waiter_init(&waiter);
    TN_GOTO(tni_vbeside_open(verify, mode, &beside, err));
    TN_GOTO(tni_vbeside_restored(verify, beside.engine, &waiter, err));
    if (mode == TNI_VLOG_RECOUNT) {
        tni_vlog_start(beside.vlog);
        TN_GOTO(tni_vbeside_counted(verify, beside.engine, &waiter, err));
        TN_GOTO(compare_written(verify, beside.scratch, err));
    }
    if (live)
        TN_GOTO(compare_table(verify, mode, beside.engine, live, err));
    else if (verify->why[0])
        fprintf(verify->out, "  recount: not compared: %s\n", verify->why);
fail:
    tni_vbeside_close(verify, &beside);
    tn_waiter_release(&waiter);
    return st;
}

static enum tn_status recount(struct tni_verify *verify, const struct tni_vrows *live,
                              struct tn_err *err)
{
    TN_TRY(beside(verify, TNI_VLOG_RECOUNT, live, err));
    for (uint32_t s = 0; s < verify->query->plan->stages_count; s++)
        if (verify->doubts[s] == TNI_DOUBT_JOIN)
            TN_TRY(tni_verify_joined(verify, s, err));
    return TN_OK;
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

static enum tn_status compare_result(struct tni_verify *verify, struct tn_err *err)
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
        tni_verify_verdict(verify, what,
                           compare(verify, &live, (struct side){"result topic", &topic}, false));
    }
    tni_vrows_release(&live);
    tni_vrows_release(&topic);
    return st;
}

/* ---- queries ---- */

static enum tn_status check_table(struct tni_verify *verify, struct tn_err *err)
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
        st = beside(verify, TNI_VLOG_REBUILD, &live, err);
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
    struct tni_verify *verify = ctx;
    if (info->state == TN_QUERY_FAILED && strcmp(info->plan->query_id, verify->query->id) == 0)
        verify->failure = info->error;
    return true;
}

static enum tn_status check_query(struct tni_verify *verify, const struct tn_catalog *catalog,
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

static void wait_live(struct tni_verify *verify)
{
    struct tn_waiter waiter;
    struct tn_catalog_query all = {.id = "all"};
    tn_waiter_init(&waiter);
    verify->query = &all;
    for (;;) {
        struct ready ready = {0};
        tn_engine_each_query(verify->config->engine, take_ready, &ready);
        if (!ready.is_restoring)
            break;
        tni_verify_progress(verify, "restored", ready.done, ready.total);
        (void)tn_waiter_wait(&waiter, TNI_VERIFY_WAIT_NS);
    }
    tn_waiter_release(&waiter);
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
    struct tni_verify verify = {
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
