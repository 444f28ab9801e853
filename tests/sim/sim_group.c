/* sim_group: several processes of one application over a model of Kafka, from a seed.
 *
 *   sim_group --seed N [--steps M] [--verbose]      one seed
 *   sim_group --seeds FROM-TO [--steps M]           many
 *   --at-least-once                                 no transactions: nothing may be missing
 *
 * A seed decides shapes, partitions, processes, standbys, faults and events: processes are killed
 * (with or without their state), stopped cleanly, frozen past their session and waked up again as
 * zombies; answers of commits are lost and decided late, brokers go away, records are refused.
 * In the end tables (of all processes together), folded topics and dead letters must equal the
 * recount, and each partition has one owner.
 */
#include <stdio.h>
#include <stdlib.h>

#include "connectors/formats.h"
#include "stream/base/mem.h"
#include "tests/sim/sim.h"
#include "tests/sim/sim_main.h"
#include "tests/support/model_broker.h"

#define PROCESSES_MAX 4
#define SESSION_MS    10000
#define TXN_MS        8000

struct process {
    char id[16];
    struct tn_log *log;
    struct tn_state *state;
    struct tn_engine *engine; /* NULL: down */
    int64_t frozen_until_ms;
};

struct group {
    struct sim_world world; /* topics, shapes, recounts */
    struct model_broker *broker;
    struct process processes[PROCESSES_MAX];
    uint32_t processes_count;
    uint64_t kills, restarts, freezes, aways;
    bool is_at_least_once;
};

static int64_t now_ms(struct group *group)
{
    return tn_mono_ns(&group->world.clock.base) / 1000000;
}

static void advance(struct group *group, int64_t ms)
{
    fake_clock_advance(&group->world.clock, ms);
    model_broker_advance(group->broker, now_ms(group));
}

static void die(struct group *group, const char *what, const struct tn_err *err)
{
    fprintf(stderr, "seed %llu: %s: %s\n", (unsigned long long)group->world.seed, what,
            err->message);
    exit(1);
}

static void say(struct group *group, const char *what, const struct process *process)
{
    if (group->world.is_verbose)
        fprintf(stderr, "-- %lld %s %s\n", (long long)now_ms(group), what, process->id);
}

/* ---- processes ---- */

static void take_down(struct process *process)
{
    process->engine = NULL;
    process->log->type->close(process->log);
    process->log = NULL;
}

static void crash(struct process *process)
{
    model_client_kill(process->log);
    tni_engine_abandon(process->engine);
    take_down(process);
}

static enum tn_status try_open(struct group *group, struct process *process, struct tn_err *err)
{
    struct sim_world *world = &group->world;
    process->log = model_client_new(group->broker, process->id, group->is_at_least_once);
    enum tn_status st = tn_engine_open(&world->config, process->log, process->state,
                                       &world->clock.base, &process->engine, err);
    if (tn_failed(st)) {
        process->log->type->close(process->log);
        process->log = NULL;
        return st;
    }
    for (size_t s = 0; s < sim_shapes_count && !tn_failed(st); s++)
        if (world->shapes & 1u << s)
            st = tn_engine_add(process->engine, world->plans[s], err);
    if (tn_failed(st))
        crash(process);
    return st;
}

static void start(struct group *group, struct process *process)
{
    say(group, "start", process);
    for (int attempt = 0; attempt < 3000; attempt++) {
        struct tn_err err = TN_ERR_INIT;
        if (!tn_failed(try_open(group, process, &err)))
            return;
        advance(group, 20);
        if (attempt == 2999)
            die(group, "a process does not start", &err);
    }
}

static void lose_state(struct process *process)
{
    process->state->type->close(process->state);
    process->state = mem_state_new();
}

static void kill_some(struct group *group)
{
    struct rng *rng = &group->world.rng;
    struct process *process = &group->processes[rng_below(rng, group->processes_count)];
    if (!process->engine)
        return;
    say(group, "kill", process);
    crash(process);
    if (rng_chance(rng, 20))
        lose_state(process);
    process->frozen_until_ms = now_ms(group) + rng_below(rng, 2) * rng_below(rng, 2 * SESSION_MS);
    group->kills++;
}

static void restart_some(struct group *group)
{
    struct rng *rng = &group->world.rng;
    struct process *process = &group->processes[rng_below(rng, group->processes_count)];
    if (!process->engine)
        return;
    say(group, "close", process);
    tn_engine_close(process->engine);
    take_down(process);
    process->frozen_until_ms = now_ms(group) + rng_below(rng, 2 * SESSION_MS);
    group->restarts++;
}

/* SIGSTOP; it goes on later as if nothing had happened. */
static void freeze_some(struct group *group)
{
    struct rng *rng = &group->world.rng;
    struct process *process = &group->processes[rng_below(rng, group->processes_count)];
    if (!process->engine || group->is_at_least_once)
        return; /* without transactions nobody fences what a zombie appends */
    say(group, "freeze", process);
    process->frozen_until_ms = now_ms(group) + rng_below(rng, 3 * SESSION_MS);
    group->freezes++;
}

static void step_process(struct group *group, struct process *process, uint32_t count)
{
    if (now_ms(group) < process->frozen_until_ms)
        return;
    if (!process->engine)
        start(group, process);
    for (uint32_t i = 0; i < count; i++) {
        struct tn_err err = TN_ERR_INIT;
        enum tn_status st = tn_engine_step(process->engine, &err);
        if (tn_failed(st)) { /* stopped for good: its supervisor starts it again */
            say(group, err.message, process);
            crash(process);
            return;
        }
        if (st == TN_AGAIN)
            break;
    }
}

static void step_some(struct group *group)
{
    struct rng *rng = &group->world.rng;
    for (uint32_t i = 0; i < group->processes_count; i++)
        step_process(group, &group->processes[rng_below(rng, group->processes_count)],
                     1 + rng_below(rng, 30));
    advance(group, 1 + rng_below(rng, 5));
}

static void let_time_pass(struct group *group)
{
    struct rng *rng = &group->world.rng;
    int64_t ms = rng_below(rng, SESSION_MS);
    for (int64_t passed = 0; passed < ms; passed += 500) { /* the living keep their sessions */
        for (uint32_t i = 0; i < group->processes_count; i++)
            step_process(group, &group->processes[i], 20);
        advance(group, 500);
    }
}

static void act(struct group *group)
{
    struct rng *rng = &group->world.rng;
    uint32_t roll = rng_below(rng, 1000);
    if (roll < 350) {
        for (uint32_t n = 1 + rng_below(rng, 30); n; n--)
            sim_put_event(&group->world);
    } else if (roll < 880) {
        step_some(group);
    } else if (roll < 910) {
        sim_settle_foreign(&group->world);
    } else if (roll < 950) {
        let_time_pass(group);
    } else if (roll < 965) {
        kill_some(group);
    } else if (roll < 975) {
        restart_some(group);
    } else if (roll < 990) {
        freeze_some(group);
    } else if (group->world.has_faults) {
        model_broker_away(group->broker, now_ms(group) + rng_below(rng, SESSION_MS));
        group->aways++;
    }
}

/* ---- the end ---- */

static void calm_down(struct group *group)
{
    group->world.has_faults = false;
    model_broker_set_faults(group->broker, false);
    sim_settle_foreign(&group->world);
    uint32_t idle = 0;
    for (uint32_t i = 0; i < 200000 && idle < 400; i++) {
        bool has_worked = false;
        for (uint32_t p = 0; p < group->processes_count; p++) {
            struct process *process = &group->processes[p];
            if (now_ms(group) < process->frozen_until_ms) {
                has_worked = true;
                continue;
            }
            if (!process->engine)
                start(group, process);
            struct tn_err err = TN_ERR_INIT;
            enum tn_status st = tn_engine_step(process->engine, &err);
            if (tn_failed(st))
                crash(process);
            has_worked |= st != TN_AGAIN;
        }
        idle = has_worked ? 0 : idle + 1;
        advance(group, has_worked ? 1 : 100);
    }
    if (idle < 400) {
        fprintf(stderr, "seed %llu: does not come to rest\n",
                (unsigned long long)group->world.seed);
        exit(1);
    }
}

static bool check_owners(struct group *group)
{
    uint32_t owners[64] = {0};
    bool is_good = true;
    for (uint32_t p = 0; p < group->processes_count; p++) {
        int32_t list[64];
        int32_t count = tn_engine_owned(group->processes[p].engine, list, 64);
        for (int32_t i = 0; i < count; i++)
            owners[list[i]]++;
    }
    for (int32_t t = 0; t < group->world.partitions_count; t++)
        if (owners[t] != 1) {
            fprintf(stderr, "seed %llu: partition %d has %u owners\n",
                    (unsigned long long)group->world.seed, t, owners[t]);
            is_good = false;
        }
    return is_good;
}

static bool check(struct group *group)
{
    struct sim_world *world = &group->world;
    for (uint32_t p = 0; p < group->processes_count; p++)
        world->engines[p] = group->processes[p].engine;
    world->engines_count = group->processes_count;
    return check_owners(group) & sim_check_final(world);
}

/* ---- a seed ---- */

static void make_config(struct group *group)
{
    struct sim_world *world = &group->world;
    struct rng *rng = &world->rng;
    bool is_small = rng_chance(rng, 30);
    world->partitions_count = 1 + (int32_t)rng_below(rng, 6);
    world->is_emit_every_update = rng_chance(rng, 30);
    world->hold_ms = 1 + rng_below(rng, 300);
    world->config = (struct tn_engine_config){.application_id = "app",
                                              .commit_interval_ms = 1 + rng_below(rng, 100),
                                              .state_cache_bytes = is_small ? 64 << 10 : 16 << 20,
                                              .round_rows_max = 1 + rng_below(rng, 500),
                                              .round_bytes_max = 1 << 20,
                                              .threads_count = 1 + (int32_t)rng_below(rng, 3),
                                              .is_flush_every_commit = is_small,
                                              .is_member = true,
                                              .is_scan_partial = true,
                                              .standbys_count = (int32_t)rng_below(rng, 2),
                                              .is_at_least_once = group->is_at_least_once,
                                              .formats = tn_formats_builtin()};
    while (!world->shapes)
        world->shapes = (uint32_t)rng_next(rng) & ((1u << sim_shapes_count) - 1);
    group->processes_count = 1 + rng_below(rng, 3);
}

static void group_init(struct group *group, uint64_t seed, const struct sim_options *options)
{
    *group = (struct group){.is_at_least_once = options->is_flagged};
    struct sim_world *world = &group->world;
    world->seed = seed;
    world->is_at_least_once = options->is_flagged;
    world->rng.state = seed * 0x632BE59BD9B4E019ull + 7;
    world->now_ms = 1000;
    world->is_verbose = options->is_verbose;
    world->has_faults = rng_chance(&world->rng, 85);
    fake_clock_init(&world->clock);
    struct model_broker_config broker = {.seed = rng_next(&world->rng),
                                         .session_timeout_ms =
                                             SESSION_MS / (1 + rng_below(&world->rng, 4)),
                                         .txn_timeout_ms = TXN_MS,
                                         .has_faults = world->has_faults};
    group->broker = model_broker_new(&broker);
    world->log = model_broker_log(group->broker);
    make_config(group);
    sim_make_topics(world);
    for (size_t s = 0; s < sim_shapes_count; s++)
        world->plans[s] = sim_shapes[s].plan(world, &sim_shapes[s]);
    for (uint32_t p = 0; p < group->processes_count; p++) {
        struct process *process = &group->processes[p];
        snprintf(process->id, sizeof process->id, "p%u", p);
        process->state = mem_state_new();
    }
    advance(group, 1);
}

static void group_release(struct group *group)
{
    for (uint32_t p = 0; p < group->processes_count; p++) {
        struct process *process = &group->processes[p];
        tn_engine_close(process->engine);
        take_down(process);
        process->state->type->close(process->state);
    }
    for (size_t s = 0; s < sim_shapes_count; s++)
        tn_plan_unref(group->world.plans[s]);
    model_broker_free(group->broker);
}

static bool run_seed(uint64_t seed, const struct sim_options *options)
{
    struct group group;
    group_init(&group, seed, options);
    for (uint32_t i = 0; i < options->steps; i++)
        act(&group);
    calm_down(&group);
    bool is_good = check(&group);
    struct model_client_stats stats;
    model_broker_stats(group.broker, &stats);
    if (!is_good || options->is_verbose)
        fprintf(stderr,
                "seed %llu %s: shapes=%x partitions=%d processes=%u workers=%d standbys=%d "
                "records=%llu kills=%llu restarts=%llu freezes=%llu aways=%llu commits=%llu "
                "aborts=%llu indefinite=%llu fenced=%llu stale=%llu\n",
                (unsigned long long)seed, is_good ? "good" : "FAILED", group.world.shapes,
                group.world.partitions_count, group.processes_count,
                group.world.config.threads_count, group.world.config.standbys_count,
                (unsigned long long)group.world.puts, (unsigned long long)group.kills,
                (unsigned long long)group.restarts, (unsigned long long)group.freezes,
                (unsigned long long)group.aways, (unsigned long long)stats.commits,
                (unsigned long long)stats.aborts, (unsigned long long)stats.indefinite,
                (unsigned long long)stats.fenced, (unsigned long long)stats.stale);
    group_release(&group);
    return is_good;
}

int main(int argc, char **argv)
{
    const struct sim_program program = {"sim_group", "--at-least-once", 500, TN_LOG_INFO, run_seed};
    return sim_main(&program, argc, argv);
}
