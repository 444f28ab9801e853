/* What a join of a stream with tables has written, checked without knowing the order in which its
 * inputs arrived, which is in no log.
 *
 * HOW. Where every key of a table has had one row only, a record of the stream met either that row
 * or none yet. So the stage runs again for each choice of tables that are there before the stream
 * begins, the others never being there, and a record of the live log must be what one of these runs
 * wrote. If all of them wrote equally many, there must be so many. A table with several rows of one
 * key, or whose topic has lost records, leaves it open what was met: then that is said instead.
 *
 * Memory: the records of a topic, once and once per choice. @thread the caller's
 */
#include "sql/verify_int.h"
#include "stream/base/mem.h"

#define TABLES_MAX 3 /* eight runs */
#define SHOWN_MAX  20
#define WHY_MAX    384

struct joined {
    struct tni_verify *verify;
    const struct tn_stage *stage;
    const char *tables[TABLES_MAX];
    uint32_t tables_count;
    char why[WHY_MAX]; /* nothing can be said, because … */
};

/* ---- may it be decided? ---- */

static enum tn_status count_records(struct tn_log *log, const char *name, int64_t *ret_count,
                                    struct tn_err *err)
{
    struct tn_topic topic;
    struct tn_offsets offsets;
    enum tn_status st = log->type->topic_find(log, name, &topic, err);
    *ret_count = 0;
    for (int32_t p = 0; st == TN_OK && p < topic.partitions_count; p++) {
        st = log->type->offsets(log, &topic, p, &offsets, err);
        *ret_count += offsets.end_visible;
    }
    return st;
}

static enum tn_status check_table(struct joined *joined, const char *topic, struct tn_err *err)
{
    struct tn_log *log = joined->verify->config->log;
    struct tni_vrows rows;
    int64_t count = 0;
    tni_vrows_init(&rows);
    enum tn_status st = count_records(log, topic, &count, err);
    if (!tn_failed(st))
        st = tni_vrows_topic(log, topic, true, &rows, err);
    if (!tn_failed(st) && (int64_t)rows.count != count)
        snprintf(joined->why, sizeof joined->why,
                 "'%s' has not all of its records any more, so earlier rows of a key are not known",
                 topic);
    tni_vrows_sort(&rows);
    for (size_t i = 1; i < rows.count && !joined->why[0]; i++)
        if (tn_str_eq(rows.items[i - 1].key, rows.items[i].key))
            snprintf(joined->why, sizeof joined->why,
                     "a key of '%s' has had several rows, and which of them a record met is in no "
                     "log",
                     topic);
    tni_vrows_release(&rows);
    return st;
}

static enum tn_status find_tables(struct joined *joined, struct tn_err *err)
{
    for (uint32_t i = 0; i < joined->stage->nodes_count && !joined->why[0]; i++) {
        const struct tn_node *node = &joined->stage->nodes[i];
        if (node->kind != TN_NODE_SOURCE || !node->decl->is_table)
            continue;
        if (joined->tables_count == TABLES_MAX) {
            snprintf(joined->why, sizeof joined->why, "it joins more than %d tables", TABLES_MAX);
            return TN_OK;
        }
        for (uint32_t j = 0; j < joined->stage->nodes_count; j++) {
            const struct tn_node *other = &joined->stage->nodes[j];
            if (j != i && other->kind == TN_NODE_SOURCE &&
                strcmp(other->decl->topic, node->decl->topic) == 0)
                snprintf(joined->why, sizeof joined->why, "it reads '%s' twice",
                         other->decl->topic);
        }
        joined->tables[joined->tables_count++] = node->decl->topic;
        TN_TRY(check_table(joined, node->decl->topic, err));
    }
    return TN_OK;
}

/* ---- the runs ---- */

/* What the stage writes to the topic while the tables of `mask` are never there. */
static enum tn_status run(struct joined *joined, uint32_t mask, const char *topic,
                          struct tni_vrows *rows, struct tn_err *err)
{
    const char *hidden[TABLES_MAX];
    struct tni_vbeside beside = {.is_tables_first = true, .hidden = hidden};
    struct tn_waiter waiter;
    enum tn_status st;
    for (uint32_t i = 0; i < joined->tables_count; i++)
        if (mask & 1u << i)
            hidden[beside.hidden_count++] = joined->tables[i];
    tn_waiter_init(&waiter);
    TN_GOTO(tni_vbeside_open(joined->verify, TNI_VLOG_RECOUNT, &beside, err));
    TN_GOTO(tni_vbeside_restored(joined->verify, beside.engine, &waiter, err));
    TN_GOTO(tni_vbeside_counted(joined->verify, beside.engine, &waiter, err));
    tni_vlog_start(beside.vlog);
    TN_GOTO(tni_vbeside_counted(joined->verify, beside.engine, &waiter, err));
    TN_GOTO(tni_vrows_topic(beside.scratch, topic, true, rows, err));
fail:
    tni_vbeside_close(joined->verify, &beside);
    tn_waiter_release(&waiter);
    return st;
}

static int64_t unexplained(struct tni_verify *verify, const char *topic,
                           const struct tni_vrows *was, const struct tni_vrows *may)
{
    int64_t found = 0;
    size_t m = 0;
    for (size_t i = 0; i < was->count; i++) {
        const struct tni_vrow *row = &was->items[i];
        int c = 1;
        for (; m < may->count; m++) {
            c = tn_str_cmp(may->items[m].key, row->key);
            c = c ? c : tn_str_cmp(may->items[m].value, row->value);
            if (c >= 0)
                break;
        }
        if ((m < may->count && c == 0) || found++ >= SHOWN_MAX)
            continue;
        fprintf(verify->out, "  %s, %s: key ", verify->query->id, topic);
        tni_verify_text(verify->out, row->key);
        fputs(": log has ", verify->out);
        tni_verify_text(verify->out, row->value);
        fputs(", which the join gives in no order of its inputs\n", verify->out);
    }
    if (found > SHOWN_MAX)
        fprintf(verify->out, "  … and %lld more\n", (long long)found - SHOWN_MAX);
    return found;
}

static enum tn_status compare_topic(struct joined *joined, const char *topic, struct tn_err *err)
{
    struct tni_verify *verify = joined->verify;
    struct tni_vrows was, may;
    char what[TN_TOPIC_NAME_MAX + 96];
    size_t first = 0;
    bool is_equal = true;
    tni_vrows_init(&was);
    tni_vrows_init(&may);
    enum tn_status st = tni_vrows_topic(verify->config->log, topic, true, &was, err);
    for (uint32_t mask = 0; mask < 1u << joined->tables_count && !tn_failed(st); mask++) {
        size_t before = may.count;
        st = run(joined, mask, topic, &may, err);
        first = mask ? first : may.count;
        is_equal = is_equal && may.count - before == first;
    }
    if (!tn_failed(st)) {
        tni_vrows_sort(&was);
        tni_vrows_sort(&may);
        int64_t found = unexplained(verify, topic, &was, &may);
        if (is_equal && was.count != first) {
            fprintf(verify->out, "  %s, %s: log has %zu records, in every order it is %zu\n",
                    verify->query->id, topic, was.count, first);
            found++;
        }
        snprintf(what, sizeof what, "joined records of '%s' (%zu)", topic, was.count);
        tni_verify_verdict(verify, what, found);
    }
    tni_vrows_release(&was);
    tni_vrows_release(&may);
    return st;
}

enum tn_status tni_verify_joined(struct tni_verify *verify, uint32_t stage, struct tn_err *err)
{
    struct joined joined = {.verify = verify, .stage = &verify->query->plan->stages[stage]};
    TN_TRY(find_tables(&joined, err));
    for (uint32_t i = 0; i < joined.stage->nodes_count; i++) {
        const struct tn_node *node = &joined.stage->nodes[i];
        if (!tni_verify_is_own(verify, node))
            continue;
        if (joined.why[0])
            fprintf(verify->out, "  joined records of '%s': not compared: %s\n", node->decl->topic,
                    joined.why);
        else
            TN_TRY(compare_topic(&joined, node->decl->topic, err));
    }
    return TN_OK;
}
