/* An engine without threads over the in-memory log and state with a clock that moves only when
 * told: the bench of the engine's unit tests. @thread one test
 */
#ifndef TN_TESTS_SUPPORT_ENGINE_WORLD_H
#define TN_TESTS_SUPPORT_ENGINE_WORLD_H

#include "stream/engine_int.h"
#include "tests/support/fake_clock.h"
#include "tests/support/mem_log.h"
#include "tests/support/mem_state.h"
#include "tests/support/plan_kit.h"

struct engine_world {
    struct tn_log *log;
    struct tn_state *state;
    struct fake_clock clock;
    struct tn_engine *engine;
    struct tn_engine_config config;
    struct tn_err err;
};

void engine_world_init(struct engine_world *w);
/* Opens the engine with w->config; after engine_world_init it is open. */
void engine_world_open(struct engine_world *w);
void engine_world_release(struct engine_world *w);
void engine_world_topic(struct engine_world *w, const char *name, int32_t partitions_count);
/* Adds the plan and gives the caller's reference back. */
void engine_world_add(struct engine_world *w, struct tn_plan *plan);
/* Steps until nothing happens even when time passes. False when it never ends. */
bool engine_world_settle(struct engine_world *w);
/* Committed records of a topic, partition after partition, one "key=value" a line; int32 keys as
 * numbers. */
void engine_world_dump(struct engine_world *w, const char *topic, bool is_int_key,
                       struct tn_buf *buf);
/* A record with an int32 key in the partition that every client would choose. */
void engine_world_put(struct engine_world *w, const char *topic, int32_t key, const char *value,
                      int64_t timestamp_ms);
bool engine_world_info(struct engine_world *w, const char *query_id,
                       struct tn_query_info *ret_info);

#endif
