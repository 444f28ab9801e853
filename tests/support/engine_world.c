/* Bench of the engine's unit tests (engine_world.h). */
#include "tests/support/engine_world.h"

#include <stdio.h>
#include <stdlib.h>

#include "connectors/formats.h"
#include "stream/base/hash.h"

static void must(enum tn_status st, const struct tn_err *err, const char *what)
{
    if (!tn_failed(st))
        return;
    fprintf(stderr, "engine world: %s: %s\n", what, err->message);
    abort();
}

void engine_world_open(struct engine_world *w)
{
    must(tn_engine_open(&w->config, w->log, w->state, &w->clock.base, &w->engine, &w->err), &w->err,
         "open");
}

void engine_world_init(struct engine_world *w)
{
    *w = (struct engine_world){.log = tn_mem_log_new(false), .state = mem_state_new()};
    fake_clock_init(&w->clock);
    w->config = (struct tn_engine_config){.application_id = "app",
                                          .commit_interval_ms = 100,
                                          .threads_count = 3,
                                          .formats = tn_formats_builtin()};
    engine_world_open(w);
}

void engine_world_release(struct engine_world *w)
{
    tn_engine_close(w->engine);
    w->log->type->close(w->log);
    w->state->type->close(w->state);
}

void engine_world_topic(struct engine_world *w, const char *name, int32_t partitions_count)
{
    struct tn_topic_spec spec = {.name = name,
                                 .partitions_count = partitions_count,
                                 .cleanup = TN_CLEANUP_COMPACT,
                                 .retention_ms = -1,
                                 .retention_bytes = -1};
    must(w->log->type->topic_create(w->log, &spec, &w->err), &w->err, name);
}

void engine_world_add(struct engine_world *w, struct tn_plan *plan)
{
    must(tn_engine_add(w->engine, plan, &w->err), &w->err, plan->query_id);
    tn_plan_unref(plan);
}

bool engine_world_settle(struct engine_world *w)
{
    int idle = 0;
    for (int i = 0; i < 100000 && idle < 300; i++) {
        if (tn_engine_step(w->engine, &w->err) == TN_OK) {
            idle = 0;
            continue;
        }
        idle++;
        fake_clock_advance(&w->clock, 1);
    }
    return idle >= 300;
}

static struct tn_topic find(struct engine_world *w, const char *name)
{
    struct tn_topic topic;
    enum tn_status st = w->log->type->topic_find(w->log, name, &topic, &w->err);
    must(st == TN_NOT_FOUND ? TN_E_NAME : st, &w->err, name);
    return topic;
}

void engine_world_dump(struct engine_world *w, const char *topic, bool is_int_key,
                       struct tn_buf *buf)
{
    tn_buf_reset(buf);
    for (int32_t p = 0; p < find(w, topic).partitions_count; p++) {
        size_t cursor = 0;
        struct tn_mem_record r;
        while (tn_mem_log_next(w->log, topic, p, &cursor, &r)) {
            if (is_int_key)
                tn_buf_printf(buf, "%d=", (int)tn_be32(r.key.ptr));
            else
                tn_buf_printf(buf, "%.*s=", TN_STR_FMT(r.key));
            if (r.value.ptr)
                tn_buf_add_str(buf, r.value);
            else
                tn_buf_add_text(buf, "null");
            tn_buf_add_byte(buf, '\n');
        }
    }
    tn_buf_cstr(buf);
}

void engine_world_put(struct engine_world *w, const char *topic, int32_t key, const char *value,
                      int64_t timestamp_ms)
{
    char bytes[4] = {(char)(key >> 24), (char)(key >> 16), (char)(key >> 8), (char)key};
    int32_t p = tn_partition_of(bytes, 4, find(w, topic).partitions_count);
    struct tn_str none = {0};
    tn_mem_log_put(w->log, topic, p, (struct tn_str){bytes, 4}, value ? tn_str_of(value) : none,
                   timestamp_ms);
}

struct wanted {
    const char *query_id;
    struct tn_query_info *info;
    bool is_found;
};

static bool take_info(void *ctx, const struct tn_query_info *info)
{
    struct wanted *wanted = ctx;
    if (strcmp(info->plan->query_id, wanted->query_id) != 0)
        return true;
    *wanted->info = *info;
    wanted->is_found = true;
    return false;
}

bool engine_world_info(struct engine_world *w, const char *query_id, struct tn_query_info *ret_info)
{
    struct wanted wanted = {.query_id = query_id, .info = ret_info};
    tn_engine_each_query(w->engine, take_info, &wanted);
    return wanted.is_found;
}
