/* Which worker owns partition p: of every input and of every query alike, so that joins and the
 * shared fetch stay on one thread.
 *
 * WHY NOT p MOD WORKERS: hot keys make some partitions heavier, and how many records a partition
 * holds is a good guess at its share of those to come. A partition is placed when the first query
 * that reads it is made: the heaviest goes to the worker with the least so far, and so on (longest
 * processing time first). The place then holds until the engine is closed.
 *
 * It is a matter of speed only: a log that does not answer counts as empty, and an empty partition
 * goes to worker p mod workers. @thread commit
 */
#include "stream/engine_int.h"

#include <stdlib.h>

struct weight {
    int32_t partition;
    int64_t records_count;
};

static int64_t records_of(struct tn_engine *engine, const struct tn_topic *topic, int32_t partition)
{
    struct tn_offsets offsets;
    struct tn_err err = TN_ERR_INIT;
    if (partition >= topic->partitions_count ||
        engine->log->type->offsets(engine->log, topic, partition, &offsets, &err) != TN_OK)
        return 0;
    return offsets.end_visible - offsets.start;
}

static void add_inputs(struct tn_engine *engine, const struct tn_stage *stage,
                       struct weight *weights)
{
    for (uint32_t i = 0; i < stage->nodes_count; i++) {
        const struct tn_node *node = &stage->nodes[i];
        struct tn_topic topic;
        struct tn_err err = TN_ERR_INIT;
        if (node->kind != TN_NODE_SOURCE || node->decl->is_global ||
            engine->log->type->topic_find(engine->log, node->decl->topic, &topic, &err) != TN_OK)
            continue;
        for (int32_t p = 0; p < stage->partitions_count; p++)
            weights[p].records_count += records_of(engine, &topic, p);
    }
}

static int heavier_first(const void *a, const void *b)
{
    const struct weight *x = a, *y = b;
    if (x->records_count != y->records_count)
        return x->records_count < y->records_count ? 1 : -1;
    return x->partition < y->partition ? -1 : 1;
}

static uint32_t lightest(const struct tn_engine *engine, uint32_t first)
{
    uint32_t best = first % engine->workers_count;
    for (uint32_t w = 0; w < engine->workers_count; w++)
        if (engine->placed_records[w] < engine->placed_records[best])
            best = w;
    return best;
}

static bool has_unplaced(const struct tn_engine *engine, const struct tn_stage *stage)
{
    for (int32_t p = 0; p < stage->partitions_count; p++)
        if (!engine->places[p])
            return true;
    return false;
}

static void place_stage(struct tn_engine *engine, const struct tn_stage *stage)
{
    struct tn_arena arena;
    tn_arena_init(&arena, 0);
    struct weight *weights =
        TN_ARENA_ARRAY(&arena, struct weight, (size_t)stage->partitions_count + 1);
    for (int32_t p = 0; p < stage->partitions_count; p++)
        weights[p] = (struct weight){.partition = p};
    add_inputs(engine, stage, weights);
    qsort(weights, (size_t)stage->partitions_count, sizeof *weights, heavier_first);
    for (int32_t i = 0; i < stage->partitions_count; i++) {
        uint32_t p = (uint32_t)weights[i].partition;
        if (engine->places[p])
            continue;
        uint32_t worker =
            weights[i].records_count ? lightest(engine, p) : p % engine->workers_count;
        engine->placed_records[worker] += weights[i].records_count;
        engine->places[p] = (uint8_t)(worker + 1);
    }
    tn_arena_release(&arena);
}

void tni_engine_place(struct tn_engine *engine, const struct tn_plan *plan)
{
    for (uint32_t s = 0; s < plan->stages_count; s++)
        if (has_unplaced(engine, &plan->stages[s]))
            place_stage(engine, &plan->stages[s]);
}

struct tni_worker *tni_worker_of(struct tn_engine *engine, int32_t partition)
{
    uint32_t place = engine->places[partition];
    return &engine->workers[place ? place - 1 : (uint32_t)partition % engine->workers_count];
}
