/* Seeded simulation of the whole engine: shapes of plans, what they must give, and the world that
 * runs them.
 *
 * A *shape* is a plan and a plain recount of its result from the input topics. The world feeds
 * inputs, steps the engine in one thread with a virtual clock, injects faults at port calls, kills
 * and reopens. In the end (and, where one stage suffices, in the middle under a pin) table and
 * folded result topic must equal the recount.
 */
#ifndef TN_TESTS_SIM_SIM_H
#define TN_TESTS_SIM_SIM_H

#include "stream/engine_int.h"
#include "tests/support/fake_clock.h"
#include "tests/support/mem_log.h"
#include "tests/support/mem_state.h"
#include "tests/support/plan_kit.h"

struct rng {
    uint64_t state;
};
uint64_t rng_next(struct rng *rng);
/* 0 … n − 1 */
uint32_t rng_below(struct rng *rng, uint32_t n);
/* True in `percent` of 100. */
bool rng_chance(struct rng *rng, uint32_t percent);

/* One row of a table: every shape has an INTEGER key and up to two numbers. */
struct sim_row {
    int32_t key;
    int64_t start_ms, end_ms; /* 0 without windows */
    double a[2];
};

struct sim_rows {
    struct sim_row *items;
    size_t count, cap;
};
void sim_rows_add(struct sim_rows *rows, struct sim_row row);
/* The row of this key and window, made with zeros when it is new. */
struct sim_row *sim_rows_get(struct sim_rows *rows, int32_t key, int64_t start_ms, int64_t end_ms);
void sim_rows_sort(struct sim_rows *rows);
void sim_rows_release(struct sim_rows *rows);

/* One input record, decoded. */
struct sim_event {
    int64_t offset, timestamp_ms;
    bool is_null_key, is_null_value, is_bad;
    int32_t key, g;
    int64_t v;
};
struct sim_event sim_event_read(const struct tn_mem_record *record);

struct sim_world;

struct sim_shape {
    const char *name;
    const char *input; /* topic whose partitions it counts */
    uint32_t columns_count;
    bool is_one_stage; /* committed positions say exactly what is in the table */
    bool has_window;
    enum tn_window_kind window;
    bool is_zero_hidden; /* rows with a[0] = 0 depend on where rounds fell: left out */
    bool is_final;       /* each key and window once in the topic */
    bool is_held;        /* results wait for world->hold_ms */
    bool has_expiry;     /* old windows leave the table, not the topic */
    bool is_counting;    /* every change raises a[0] */
    bool has_tombstones; /* rows come and go */
    struct tn_plan *(*plan)(struct sim_world *world, const struct sim_shape *shape);
    /* Rows from the records of one partition below `end`, in order. Partitions come one after
     * another. */
    void (*recount)(struct sim_world *world, int32_t partition, int64_t end, struct sim_rows *rows);
    /* Rows of the table where it shows more than the topic (EMIT FINAL: open windows); NULL =
     * recount. */
    void (*recount_table)(struct sim_world *world, int32_t partition, int64_t end,
                          struct sim_rows *rows);
};

extern const struct sim_shape sim_shapes[];
extern const size_t sim_shapes_count;

struct sim_world {
    uint64_t seed;
    struct rng rng;
    struct tn_log *log;
    struct tn_state *state;
    struct tn_state_snapshot *durable; /* what the state port would still have after a power loss */
    struct fake_clock clock;
    struct tn_engine_config config;
    struct tn_engine *engine;
    struct tn_engine *engines[8]; /* a group of processes: the table is what all of them have */
    uint32_t engines_count;
    int32_t partitions_count;
    bool is_emit_every_update;
    int64_t hold_ms;
    bool has_faults;
    bool is_at_least_once; /* rows may be counted again, none may be missing */
    bool is_verbose;
    bool has_open_txn[8];
    uint32_t shapes;    /* bits */
    uint32_t recreated; /* bits: dropped and created again, so its topic has two lives */
    struct tn_plan *plans[32];
    int64_t now_ms; /* event time of the generator */
    uint64_t puts, kills, restarts;
};

/* sim_feed.c */
void sim_make_topics(struct sim_world *world);
void sim_put_event(struct sim_world *world);
/* Foreign open transactions end, one way or the other. */
void sim_settle_foreign(struct sim_world *world);

/* Read the next event of an input partition below `end`. */
bool sim_next(struct sim_world *world, const char *topic, int32_t partition, int64_t end,
              size_t *cursor, struct sim_event *ret_event);

/* sim_check.c: false and a report on stderr when something does not hold. */
bool sim_check_final(struct sim_world *world);
bool sim_check_pinned(struct sim_world *world);

#define SIM_WINDOW_MS 50
#define SIM_GRACE_MS  20
#define SIM_GAP_MS    15

#endif
