/* Inputs of a simulated world from its seed: topics, events with tombstones, bad records, late
 * times, and foreign transactions that abort or stay open. */
#include <stdio.h>

#include "stream/base/hash.h"
#include "tests/sim/sim.h"

uint64_t rng_next(struct rng *rng)
{
    uint64_t z = (rng->state += 0x9E3779B97F4A7C15ull);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
}

uint32_t rng_below(struct rng *rng, uint32_t n)
{
    return (uint32_t)(rng_next(rng) % n);
}

bool rng_chance(struct rng *rng, uint32_t percent)
{
    return rng_below(rng, 100) < percent;
}

static void put_record(struct sim_world *world, const char *topic, int32_t key, bool is_null_key,
                       const char *value)
{
    char bytes[4] = {(char)(key >> 24), (char)(key >> 16), (char)(key >> 8), (char)key};
    int32_t p = tn_partition_of(bytes, 4, world->partitions_count);
    struct tn_str k = {bytes, 4}, none = {0};
    struct tn_str v = value ? tn_str_of(value) : none;
    uint32_t roll = rng_below(&world->rng, 100);
    int64_t ts = world->now_ms - (rng_chance(&world->rng, 10) ? rng_below(&world->rng, 60) : 0);
    ts = ts < 0 ? 0 : ts;
    int slot = (int)(p % 8);
    bool is_events = strcmp(topic, "events") == 0;
    if (roll < 3) {
        tn_mem_log_put_aborted(world->log, topic, p, k, v, ts);
    } else if (roll < 5 && is_events && p < 8 && !world->has_open_txn[slot]) {
        world->has_open_txn[slot] = true;
        tn_mem_log_put_open(world->log, topic, p, k, v, ts);
    } else {
        tn_mem_log_put(world->log, topic, p, is_null_key ? none : k, v, ts);
    }
    world->puts++;
}

void sim_put_event(struct sim_world *world)
{
    struct rng *rng = &world->rng;
    char json[64];
    bool is_user = rng_chance(rng, 30);
    uint32_t roll = rng_below(rng, 100);
    int32_t key = (int32_t)rng_below(rng, 1 + rng_below(rng, 40));
    world->now_ms += rng_below(rng, 8);
    snprintf(json, sizeof json, "{\"g\":%u,\"v\":%u}", rng_below(rng, 9), rng_below(rng, 1000));
    const char *value = json;
    if (roll < 3)
        value = "{\"g\":1,";
    else if (roll < (is_user ? 20 : 6))
        value = NULL;
    put_record(world, is_user ? "users" : "events", key, roll > 96, value);
}

void sim_settle_foreign(struct sim_world *world)
{
    for (int32_t p = 0; p < world->partitions_count && p < 8; p++)
        if (world->has_open_txn[p]) {
            tn_mem_log_settle(world->log, "events", p, rng_chance(&world->rng, 50));
            world->has_open_txn[p] = false;
        }
}

static void make_topic(struct sim_world *world, const char *name)
{
    struct tn_err err = TN_ERR_INIT;
    struct tn_topic_spec spec = {.name = name,
                                 .partitions_count = world->partitions_count,
                                 .cleanup = TN_CLEANUP_COMPACT,
                                 .retention_ms = -1,
                                 .retention_bytes = -1};
    TN_ASSERT(world->log->type->topic_create(world->log, &spec, &err) == TN_OK);
}

void sim_make_topics(struct sim_world *world)
{
    make_topic(world, "events");
    make_topic(world, "users");
    make_topic(world, "names");
    for (size_t s = 0; s < sim_shapes_count; s++)
        make_topic(world, sim_shapes[s].name);
    for (int32_t key = 0; key < 50; key++) {
        char json[64], bytes[4] = {0, 0, 0, (char)key};
        snprintf(json, sizeof json, "{\"name\":\"song %d\"}", key);
        if (key % 3 != 0)
            tn_mem_log_put(world->log, "names", tn_partition_of(bytes, 4, world->partitions_count),
                           (struct tn_str){bytes, 4}, tn_str_of(json), 0);
    }
}
