/* sim: the whole engine in one thread over faulty ports and a virtual clock, from a seed.
 *
 *   sim --seed N [--steps M]        one seed, with its story on stderr when it fails
 *   sim --seeds FROM-TO [--steps M] many
 *   --small                         64 KiB of state cache and a flush at every commit, for every
 * seed
 *
 * A seed decides everything: shapes, partitions, workers, cache sizes, emission, faults, kills,
 * inputs. The same seed gives the same run.
 */
#include <stdio.h>
#include <stdlib.h>

#include "connectors/formats.h"
#include "stream/base/mem.h"
#include "tests/sim/sim.h"
#include "tests/sim/sim_main.h"

/* ---- faults ---- */

static struct tn_mem_fault poll_fault(struct rng *rng)
{
    uint32_t roll = rng_below(rng, 1000);
    if (roll < 300)
        return (struct tn_mem_fault){.st = TN_AGAIN};
    if (roll < 360)
        return (struct tn_mem_fault){.st = TN_E_IO};
    if (roll < 400)
        return (struct tn_mem_fault){.st = TN_E_INDEFINITE, .is_applied = roll % 2 == 0};
    if (roll < 402)
        return (struct tn_mem_fault){.st = TN_E_FENCED};
    return (struct tn_mem_fault){.st = TN_OK};
}

static struct tn_mem_fault decide_fault(void *ctx, enum tn_mem_call call)
{
    struct sim_world *world = ctx;
    struct rng *rng = &world->rng;
    struct tn_mem_fault none = {.st = TN_OK}, io = {.st = TN_E_IO};
    if (!world->has_faults)
        return none;
    uint32_t roll = rng_below(rng, 1000);
    switch (call) {
    case TN_MEM_READ:
        if (roll < 100)
            return (struct tn_mem_fault){.st = TN_AGAIN};
        if (roll < 120)
            return io;
        return (struct tn_mem_fault){.rows_max = roll < 500 ? 1 + rng_below(rng, 20) : 0};
    case TN_MEM_COMMIT_POLL: return poll_fault(rng);
    case TN_MEM_BEGIN:
    case TN_MEM_COMMIT_START:
    case TN_MEM_SYNC: return roll < 20 ? io : none;
    case TN_MEM_TXN_APPEND:
    case TN_MEM_TXN_POSITION: return roll < 2 ? io : none;
    case TN_MEM_OFFSETS:
    case TN_MEM_POSITIONS: return roll < 5 ? io : none;
    default: return none;
    }
}

/* ---- the world ---- */

static void die(struct sim_world *world, const char *what, const struct tn_err *err)
{
    fprintf(stderr, "seed %llu: %s: %s\n", (unsigned long long)world->seed, what, err->message);
    exit(1);
}

/* Opens the engine and adds the queries; faults may make it fail, then it is tried again as an
 * operator would. */
static void open_engine(struct sim_world *world)
{
    for (int attempt = 0; attempt < 1000; attempt++) {
        struct tn_err err = TN_ERR_INIT;
        enum tn_status st = tn_engine_open(&world->config, world->log, world->state,
                                           &world->clock.base, &world->engine, &err);
        if (tn_failed(st))
            continue;
        for (size_t s = 0; s < sim_shapes_count && !tn_failed(st); s++)
            if (world->shapes & 1u << s)
                st = tn_engine_add(world->engine, world->plans[s], &err);
        if (!tn_failed(st))
            return;
        tni_engine_abandon(world->engine);
        world->engine = NULL;
        if (attempt == 999)
            die(world, "the engine does not open", &err);
    }
}

/* The state port falls back to an earlier moment: what a power loss may do to it. */
static void lose_state(struct sim_world *world)
{
    struct tn_state *old = world->state, *fresh = mem_state_new();
    struct tn_err err = TN_ERR_INIT;
    struct tn_state_iter *iter = NULL;
    struct tn_str key, value, from = {"", 0}, to = {0};
    if (old->type->iter_open(old, world->durable, from, to, &iter, &err) != TN_OK)
        die(world, "state", &err);
    while (old->type->iter_next(iter, &key, &value, &err) == TN_OK) {
        struct tn_state_put put = {.key = key, .value = value};
        struct tn_state_change change = {.puts = &put, .puts_count = 1};
        TN_ASSERT(fresh->type->apply(fresh, &change, &err) == TN_OK);
    }
    old->type->iter_close(iter);
    old->type->snapshot_free(old, world->durable);
    old->type->close(old);
    world->state = fresh;
    world->durable = NULL;
}

static void mark_durable(struct sim_world *world)
{
    struct tn_err err = TN_ERR_INIT;
    if (world->durable)
        world->state->type->snapshot_free(world->state, world->durable);
    world->durable = NULL;
    mem_state_fail_at(world->state, 0);
    TN_ASSERT(world->state->type->snapshot(world->state, &world->durable, &err) == TN_OK);
}

static void kill_engine(struct sim_world *world)
{
    struct rng *rng = &world->rng;
    tni_engine_abandon(world->engine);
    world->engine = NULL;
    mem_state_fail_at(world->state, 0);
    tn_mem_log_crash(world->log, rng_chance(rng, 50), rng_next(rng));
    if (world->durable && rng_chance(rng, 50))
        lose_state(world);
    world->kills++;
    open_engine(world);
}

static void restart_engine(struct sim_world *world)
{
    tn_engine_close(world->engine);
    world->engine = NULL;
    world->restarts++;
    open_engine(world);
}

static void compact(struct sim_world *world)
{
    static const char *const topics[] = {"app-average-store-changelog",
                                         "app-having-store-changelog",
                                         "app-tumble-store-changelog",
                                         "app-session-store-changelog",
                                         "app-final-store-changelog",
                                         "users",
                                         "app-held-store-changelog",
                                         "app-held-store-held-changelog",
                                         "app-heldhaving-store-held-changelog",
                                         "app-heldusers-users-held-changelog",
                                         "app-heldsession-store-held-changelog"};
    const char *topic = topics[rng_below(&world->rng, sizeof topics / sizeof *topics)];
    if (strcmp(topic, "users") != 0) /* the recount of `users` reads its history */
        tn_mem_log_compact(world->log, topic);
}

static void pause_some(struct sim_world *world)
{
    struct tn_err err = TN_ERR_INIT;
    uint32_t s = rng_below(&world->rng, (uint32_t)sim_shapes_count);
    if (world->shapes & 1u << s)
        tn_engine_pause(world->engine, sim_shapes[s].name, rng_chance(&world->rng, 50), &err);
}

static void say(const struct sim_world *world, const char *what, const char *name)
{
    if (world->is_verbose)
        fprintf(stderr, "-- %s %s\n", what, name);
}

static void add_again(struct sim_world *world, uint32_t s)
{
    struct tn_err err = TN_ERR_INIT;
    for (int attempt = 0; attempt < 1000; attempt++)
        if (tn_engine_add(world->engine, world->plans[s], &err) == TN_OK)
            return;
    die(world, "a dropped query cannot be created again", &err);
}

/* Drop and create: the new life counts all of the input again and owes nothing to the old one. */
static void recreate_some(struct sim_world *world)
{
    struct tn_err err = TN_ERR_INIT;
    uint32_t s = rng_below(&world->rng, (uint32_t)sim_shapes_count);
    if (!(world->shapes & 1u << s))
        return;
    bool had_faults = world->has_faults;
    world->has_faults =
        false; /* a fence in the middle would need a catalog to tell what is wanted */
    if (tn_engine_drop(world->engine, sim_shapes[s].name, &err) != TN_OK)
        die(world, "drop", &err);
    world->recreated |= 1u << s;
    say(world, "recreated", sim_shapes[s].name);
    add_again(world, s);
    world->has_faults = had_faults;
}

static void replace_some(struct sim_world *world)
{
    struct tn_err err = TN_ERR_INIT;
    uint32_t s = rng_below(&world->rng, (uint32_t)sim_shapes_count);
    if (world->shapes & 1u << s) /* a failure keeps the old one */
        (void)tn_engine_replace(world->engine, world->plans[s], &err);
    say(world, "replaced", sim_shapes[s].name);
}

static void step_engine(struct sim_world *world, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct tn_err err = TN_ERR_INIT;
        enum tn_status st = tn_engine_step(world->engine, &err);
        if (tn_failed(st)) { /* fenced: the process ends and is started again */
            kill_engine(world);
            return;
        }
        if (st == TN_AGAIN)
            fake_clock_advance(&world->clock, 1 + rng_below(&world->rng, 3));
    }
}

static bool act(struct sim_world *world)
{
    struct rng *rng = &world->rng;
    uint32_t roll = rng_below(rng, 1000);
    if (roll < 400) {
        for (uint32_t n = 1 + rng_below(rng, 30); n; n--)
            sim_put_event(world);
    } else if (roll < 900) {
        step_engine(world, 1 + rng_below(rng, 30));
    } else if (roll < 930) {
        sim_settle_foreign(world);
    } else if (roll < 945) {
        fake_clock_advance(&world->clock, 1 + rng_below(rng, 200));
    } else if (roll < 960) {
        return sim_check_pinned(world);
    } else if (roll < 968) {
        mem_state_fail_at(world->state, 1 + rng_below(rng, 20));
    } else if (roll < 975) {
        mark_durable(world);
    } else if (roll < 982) {
        compact(world);
    } else if (roll < 988) {
        pause_some(world);
    } else if (roll < 990) {
        recreate_some(world);
    } else if (roll < 992) {
        replace_some(world);
    } else if (roll < 997) {
        kill_engine(world);
    } else {
        restart_engine(world);
    }
    return true;
}

/* Calm: no faults, everything running, until nothing moves. */
static void calm_down(struct sim_world *world)
{
    world->has_faults = false;
    mem_state_fail_at(world->state, 0);
    sim_settle_foreign(world);
    for (size_t s = 0; s < sim_shapes_count; s++) {
        struct tn_err err = TN_ERR_INIT;
        if (world->shapes & 1u << s)
            tn_engine_pause(world->engine, sim_shapes[s].name, false, &err);
    }
    uint32_t idle = 0;
    for (uint32_t i = 0; i < 1000000 && idle < 400; i++) {
        struct tn_err err = TN_ERR_INIT;
        enum tn_status st = tn_engine_step(world->engine, &err);
        if (tn_failed(st))
            kill_engine(world);
        idle = st == TN_AGAIN ? idle + 1 : 0;
        if (st == TN_AGAIN)
            fake_clock_advance(&world->clock, 5);
    }
    TN_ASSERT(idle == 400);
}

static void make_config(struct sim_world *world, const struct sim_options *options)
{
    struct rng *rng = &world->rng;
    bool is_small = options->is_flagged || rng_chance(rng, 50);
    world->partitions_count = 1 + (int32_t)rng_below(rng, 4);
    world->is_emit_every_update = rng_chance(rng, 30);
    world->hold_ms = 1 + rng_below(rng, 300);
    world->config = (struct tn_engine_config){.application_id = "app",
                                              .commit_interval_ms = 1 + rng_below(rng, 100),
                                              .cache_emit_bytes = rng_chance(rng, 30) ? 1024 : 0,
                                              .state_cache_bytes = is_small ? 64 << 10 : 16 << 20,
                                              .round_rows_max = 1 + rng_below(rng, 500),
                                              .round_bytes_max = 1 << 20,
                                              .threads_count = 1 + (int32_t)rng_below(rng, 4),
                                              .is_flush_every_commit = is_small,
                                              .formats = tn_formats_builtin()};
    while (!world->shapes)
        world->shapes = (uint32_t)rng_next(rng) & ((1u << sim_shapes_count) - 1);
}

static void world_init(struct sim_world *world, uint64_t seed, const struct sim_options *options)
{
    *world = (struct sim_world){.seed = seed, .rng = {.state = seed * 0x632BE59BD9B4E019ull + 1}};
    world->log = tn_mem_log_new(rng_chance(&world->rng, 50));
    world->state = mem_state_new();
    world->now_ms = 1000;
    world->is_verbose = options->is_verbose;
    fake_clock_init(&world->clock);
    make_config(world, options);
    sim_make_topics(world);
    for (size_t s = 0; s < sim_shapes_count; s++)
        world->plans[s] = sim_shapes[s].plan(world, &sim_shapes[s]);
    tn_mem_log_set_fault(world->log, decide_fault, world);
}

static void world_release(struct sim_world *world)
{
    tn_engine_close(world->engine);
    for (size_t s = 0; s < sim_shapes_count; s++)
        tn_plan_unref(world->plans[s]);
    if (world->durable)
        world->state->type->snapshot_free(world->state, world->durable);
    world->state->type->close(world->state);
    world->log->type->close(world->log);
}

static bool run_seed(uint64_t seed, const struct sim_options *options)
{
    struct sim_world world;
    world_init(&world, seed, options);
    world.has_faults = rng_chance(&world.rng, 85);
    open_engine(&world);
    bool is_good = true;
    for (uint32_t i = 0; i < options->steps && is_good; i++)
        is_good = act(&world);
    calm_down(&world);
    is_good &= sim_check_final(&world);
    if (!is_good || options->is_verbose)
        fprintf(stderr,
                "seed %llu %s: shapes=%x partitions=%d workers=%d records=%llu kills=%llu "
                "restarts=%llu commit=%lld every_update=%d flush_each=%d\n",
                (unsigned long long)seed, is_good ? "good" : "FAILED", world.shapes,
                world.partitions_count, world.config.threads_count, (unsigned long long)world.puts,
                (unsigned long long)world.kills, (unsigned long long)world.restarts,
                (long long)tn_engine_commit(world.engine), world.is_emit_every_update,
                world.config.is_flush_every_commit);
    world_release(&world);
    return is_good;
}

int main(int argc, char **argv)
{
    const struct sim_program program = {"sim", "--small", 300, TN_LOG_WARN, run_seed};
    return sim_main(&program, argc, argv);
}
