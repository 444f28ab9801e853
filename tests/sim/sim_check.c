/* What must hold: tables and folded result topics equal the recount, dead letters name every bad
 * record once, results only grow where they can only grow, committed positions and tables belong
 * together (stream/README.md I1).
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "stream/base/mem.h"
#include "tests/sim/sim.h"

/* ---- rows ---- */

void sim_rows_add(struct sim_rows *rows, struct sim_row row)
{
    if (rows->count == rows->cap) {
        rows->cap = rows->cap ? rows->cap * 2 : 64;
        rows->items = tn_realloc(rows->items, rows->cap * sizeof *rows->items);
    }
    rows->items[rows->count++] = row;
}

struct sim_row *sim_rows_get(struct sim_rows *rows, int32_t key, int64_t start_ms, int64_t end_ms)
{
    for (size_t i = 0; i < rows->count; i++)
        if (rows->items[i].key == key && rows->items[i].start_ms == start_ms &&
            rows->items[i].end_ms == end_ms)
            return &rows->items[i];
    sim_rows_add(rows, (struct sim_row){.key = key, .start_ms = start_ms, .end_ms = end_ms});
    return &rows->items[rows->count - 1];
}

static int compare_rows(const void *a, const void *b)
{
    const struct sim_row *x = a, *y = b;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    if (x->start_ms != y->start_ms)
        return x->start_ms < y->start_ms ? -1 : 1;
    return (x->end_ms > y->end_ms) - (x->end_ms < y->end_ms);
}

void sim_rows_sort(struct sim_rows *rows)
{
    if (rows->count)
        qsort(rows->items, rows->count, sizeof *rows->items, compare_rows);
}

void sim_rows_release(struct sim_rows *rows)
{
    tn_free(rows->items);
    *rows = (struct sim_rows){0};
}

static void hide_zeros(struct sim_rows *rows)
{
    size_t kept = 0;
    for (size_t i = 0; i < rows->count; i++)
        if (rows->items[i].a[0] != 0)
            rows->items[kept++] = rows->items[i];
    rows->count = kept;
}

static bool near(double a, double b)
{
    return fabs(a - b) <= 1e-9 * (fabs(a) + fabs(b) + 1);
}

static bool row_same(const struct sim_row *a, const struct sim_row *b)
{
    return compare_rows(a, b) == 0 && near(a->a[0], b->a[0]) && near(a->a[1], b->a[1]);
}

static void print_row(const char *what, const struct sim_row *row)
{
    fprintf(stderr, "  %s key=%d [%lld, %lld] %.12g %.12g\n", what, row->key,
            (long long)row->start_ms, (long long)row->end_ms, row->a[0], row->a[1]);
}

static bool compare(struct sim_world *world, const struct sim_shape *shape, const char *what,
                    struct sim_rows *got, struct sim_rows *want)
{
    if (shape->is_zero_hidden) {
        hide_zeros(got);
        hide_zeros(want);
    }
    sim_rows_sort(got);
    sim_rows_sort(want);
    size_t i = 0;
    while (i < got->count && i < want->count && row_same(&got->items[i], &want->items[i]))
        i++;
    if (i == got->count && i == want->count)
        return true;
    fprintf(stderr, "seed %llu: %s of '%s': %zu rows, expected %zu; first difference:\n",
            (unsigned long long)world->seed, what, shape->name, got->count, want->count);
    if (i < got->count)
        print_row("got", &got->items[i]);
    if (i < want->count)
        print_row("want", &want->items[i]);
    return false;
}

/* ---- what the engine has ---- */

static double cell(const struct tn_column *col, uint32_t row)
{
    if (tn_column_is_null(col, row))
        return 0;
    switch (col->type->kind) {
    case TN_K_DOUBLE: return tn_column_f64(col, row);
    case TN_K_INTEGER: return tn_column_i32(col, row);
    default: return (double)tn_column_i64(col, row);
    }
}

static void add_batch(const struct sim_shape *shape, const struct tn_batch *batch,
                      struct sim_rows *rows)
{
    uint32_t windows = 1 + shape->columns_count;
    for (uint32_t i = 0; i < batch->rows_count; i++) {
        struct sim_row row = {.key = tn_column_i32(&batch->columns[0], i)};
        for (uint32_t c = 0; c < shape->columns_count; c++)
            row.a[c] = cell(&batch->columns[1 + c], i);
        if (shape->has_window) {
            row.start_ms = tn_column_i64(&batch->columns[windows], i);
            row.end_ms = tn_column_i64(&batch->columns[windows + 1], i);
        }
        sim_rows_add(rows, row);
    }
}

static bool scan_one(struct sim_world *world, struct tn_engine *engine,
                     const struct sim_shape *shape, struct tn_pin *pin, struct sim_rows *rows)
{
    struct tn_table_scan *scan = NULL;
    struct tn_err err = TN_ERR_INIT;
    enum tn_status st = tn_table_scan_open(engine, pin, shape->name, NULL, NULL, &scan, &err);
    struct tn_batch *batch = NULL;
    while (st == TN_OK && (st = tn_table_scan_next(scan, &batch, &err)) == TN_OK)
        add_batch(shape, batch, rows);
    tn_table_scan_close(scan);
    if (st == TN_END)
        return true;
    fprintf(stderr, "seed %llu: scan of '%s': %s\n", (unsigned long long)world->seed, shape->name,
            err.message);
    return false;
}

/* All of the table: of the one engine under the pin, or what the engines of a group have together.
 */
static bool scan_table(struct sim_world *world, const struct sim_shape *shape, struct tn_pin *pin,
                       struct sim_rows *rows)
{
    if (!world->engines_count)
        return scan_one(world, world->engine, shape, pin, rows);
    bool is_good = true;
    for (uint32_t e = 0; e < world->engines_count; e++) {
        struct tn_err err = TN_ERR_INIT;
        struct tn_pin *own = NULL;
        if (tn_engine_pin(world->engines[e], &own, &err) != TN_OK)
            return false;
        is_good &= scan_one(world, world->engines[e], shape, own, rows);
        tn_pin_free(own);
    }
    return is_good;
}

static struct sim_row parse_record(const struct sim_shape *shape, const struct tn_mem_record *r)
{
    struct sim_row row = {.key = (int32_t)tn_be32(r->key.ptr)};
    if (shape->window == TN_WINDOW_SESSION) {
        row.end_ms = (int64_t)tn_be64(r->key.ptr + 4);
        row.start_ms = (int64_t)tn_be64(r->key.ptr + 12);
    } else if (shape->has_window) {
        row.start_ms = (int64_t)tn_be64(r->key.ptr + 4);
        row.end_ms = row.start_ms + SIM_WINDOW_MS;
    }
    char text[256];
    snprintf(text, sizeof text, "%.*s", TN_STR_FMT(r->value));
    if (sscanf(text, "{\"a0\":%lf,\"a1\":%lf}", &row.a[0], &row.a[1]) < 1)
        fprintf(stderr, "result '%s' is not as expected\n", text);
    return row;
}

static void remove_row(struct sim_rows *rows, const struct sim_row *row)
{
    for (size_t i = 0; i < rows->count; i++)
        if (compare_rows(&rows->items[i], row) == 0) {
            rows->items[i] = rows->items[--rows->count];
            return;
        }
}

/* Folds the result topic; checks what can be seen from record to record. */
static bool fold_topic(struct sim_world *world, const struct sim_shape *shape,
                       struct sim_rows *rows)
{
    bool is_good = true;
    for (int32_t p = 0; p < world->partitions_count; p++) {
        size_t cursor = 0;
        struct tn_mem_record r;
        while (tn_mem_log_next(world->log, shape->name, p, &cursor, &r)) {
            if (!r.value.ptr) {
                struct tn_mem_record key_only = r;
                key_only.value = TN_STR("{\"a0\":0}");
                struct sim_row row = parse_record(shape, &key_only);
                remove_row(rows, &row);
                continue;
            }
            struct sim_row row = parse_record(shape, &r);
            struct sim_row *old = sim_rows_get(rows, row.key, row.start_ms, row.end_ms);
            bool is_new = old->a[0] == 0 && old->a[1] == 0;
            bool is_each = world->is_emit_every_update && !shape->is_held;
            bool is_step = is_each ? row.a[0] == old->a[0] + 1 : row.a[0] > old->a[0];
            bool has_two_lives = world->recreated & 1u << (shape - sim_shapes);
            if (!has_two_lives && !world->is_at_least_once &&
                ((shape->is_counting && !is_step) || (shape->is_final && !is_new))) {
                fprintf(stderr, "seed %llu: topic '%s' partition %d offset %lld: %g after %g\n",
                        (unsigned long long)world->seed, shape->name, p, (long long)r.offset,
                        row.a[0], old->a[0]);
                is_good = false;
            }
            *old = row;
        }
    }
    return is_good;
}

/* ---- input ---- */

struct sim_event sim_event_read(const struct tn_mem_record *record)
{
    struct sim_event e = {.offset = record->offset,
                          .timestamp_ms = record->timestamp_ms,
                          .is_null_key = !record->key.ptr,
                          .is_null_value = !record->value.ptr};
    if (record->key.ptr)
        e.key = (int32_t)tn_be32(record->key.ptr);
    char text[128];
    snprintf(text, sizeof text, "%.*s", TN_STR_FMT(record->value));
    long long v = 0;
    if (record->value.ptr)
        e.is_bad = sscanf(text, "{\"g\":%d,\"v\":%lld}", &e.g, &v) != 2;
    e.v = v;
    return e;
}

bool sim_next(struct sim_world *world, const char *topic, int32_t partition, int64_t end,
              size_t *cursor, struct sim_event *ret_event)
{
    struct tn_mem_record record;
    if (!tn_mem_log_next(world->log, topic, partition, cursor, &record) || record.offset >= end)
        return false;
    *ret_event = sim_event_read(&record);
    return true;
}

/* ---- dead letters ---- */

static bool check_dead_topic(struct sim_world *world, const char *topic, const char *letters)
{
    bool is_good = true;
    for (int32_t p = 0; p < world->partitions_count; p++) {
        size_t cursor = 0;
        struct sim_event e;
        while (sim_next(world, topic, p, INT64_MAX, &cursor, &e)) {
            char name[128];
            snprintf(name, sizeof name, "{\"topic\":\"%s\",\"partition\":%d,\"offset\":%lld,",
                     topic, p, (long long)e.offset);
            int found = 0;
            for (const char *at = letters; (at = strstr(at, name)) != NULL; at++)
                found++;
            if (found == (e.is_bad ? 1 : 0) || (world->is_at_least_once && e.is_bad && found > 1))
                continue;
            fprintf(stderr, "seed %llu: %d dead letters for %s\n", (unsigned long long)world->seed,
                    found, name);
            is_good = false;
        }
    }
    return is_good;
}

static bool is_read(const struct sim_world *world, const char *topic)
{
    for (size_t s = 0; s < sim_shapes_count; s++)
        if (world->shapes & 1u << s && strcmp(sim_shapes[s].input, topic) == 0)
            return true;
    return false;
}

static bool check_dead_letters(struct sim_world *world)
{
    struct tn_buf letters;
    tn_buf_init(&letters, 1 << 26);
    size_t cursor = 0;
    struct tn_mem_record r;
    while (tn_mem_log_next(world->log, "app-dead-letters", 0, &cursor, &r))
        tn_buf_add_str(&letters, r.value);
    bool is_good = true;
    if (is_read(world, "events"))
        is_good &= check_dead_topic(world, "events", tn_buf_cstr(&letters));
    if (is_read(world, "users"))
        is_good &= check_dead_topic(world, "users", tn_buf_cstr(&letters));
    tn_buf_release(&letters);
    return is_good;
}

/* ---- the checks ---- */

typedef void (*recount_fn)(struct sim_world *world, int32_t partition, int64_t end,
                           struct sim_rows *rows);

static recount_fn table_recount(const struct sim_shape *shape)
{
    return shape->recount_table ? shape->recount_table : shape->recount;
}

/* Is the result topic the changelog of a store? Only then it must fold to the table: otherwise
 * state may be ahead of results that were not acknowledged. */
static bool is_changelog(const struct sim_world *world, const struct sim_shape *shape)
{
    const struct tn_plan *plan = world->plans[shape - sim_shapes];
    for (uint32_t i = 0; i < plan->stores_count; i++)
        if (plan->stores[i].is_changelog_result)
            return true;
    return false;
}

/* At least once: every row that must be there is, with at least its count, and the topic folds to
 * the live table. */
static bool check_at_least(struct sim_world *world, const struct sim_shape *shape)
{
    struct sim_rows want = {0}, table = {0}, topic = {0};
    for (int32_t p = 0; p < world->partitions_count; p++)
        table_recount(shape)(world, p, INT64_MAX, &want);
    bool is_good = fold_topic(world, shape, &topic) && scan_table(world, shape, NULL, &table);
    for (size_t i = 0; i < want.count && shape->is_counting; i++) {
        size_t before = table.count;
        const struct sim_row *w = &want.items[i];
        const struct sim_row *got = sim_rows_get(&table, w->key, w->start_ms, w->end_ms);
        if (table.count == before && got->a[0] >= want.items[i].a[0])
            continue;
        fprintf(stderr, "seed %llu: '%s' misses events\n", (unsigned long long)world->seed,
                shape->name);
        print_row("got", got);
        print_row("want", w);
        is_good = false;
    }
    if (is_changelog(world, shape))
        is_good &= compare(world, shape, "topic against table", &topic, &table);
    sim_rows_release(&want);
    sim_rows_release(&table);
    sim_rows_release(&topic);
    return is_good;
}

static bool check_shape(struct sim_world *world, const struct sim_shape *shape, struct tn_pin *pin)
{
    if (world->is_at_least_once)
        return check_at_least(world, shape);
    struct sim_rows want = {0}, table = {0}, topic = {0};
    for (int32_t p = 0; p < world->partitions_count; p++)
        shape->recount(world, p, INT64_MAX, &want);
    bool is_good = fold_topic(world, shape, &topic);
    bool has_two_lives = world->recreated & 1u << (shape - sim_shapes);
    /* rows of the first life may stay for ever: the second one need not meet their keys */
    if (!has_two_lives || !(shape->has_tombstones || shape->is_zero_hidden))
        is_good &= compare(world, shape, "topic", &topic, &want);
    want.count = 0;
    for (int32_t p = 0; p < world->partitions_count; p++)
        table_recount(shape)(world, p, INT64_MAX, &want);
    if (!shape->has_expiry)
        is_good &=
            scan_table(world, shape, pin, &table) && compare(world, shape, "table", &table, &want);
    sim_rows_release(&want);
    sim_rows_release(&table);
    sim_rows_release(&topic);
    return is_good;
}

static bool print_failed(void *ctx, const struct tn_query_info *info)
{
    if (info->state == TN_QUERY_RUNNING)
        return true;
    fprintf(stderr, "query %s is in state %d: %s\n", info->plan->query_id, (int)info->state,
            info->error.message);
    *(bool *)ctx = false;
    return true;
}

bool sim_check_final(struct sim_world *world)
{
    bool is_good = true;
    struct tn_err err = TN_ERR_INIT;
    struct tn_pin *pin = NULL;
    for (uint32_t e = 0; e < world->engines_count; e++)
        tn_engine_each_query(world->engines[e], print_failed, &is_good);
    if (world->engine)
        tn_engine_each_query(world->engine, print_failed, &is_good);
    if (world->engine && tn_engine_pin(world->engine, &pin, &err) != TN_OK)
        return false;
    for (size_t s = 0; s < sim_shapes_count; s++)
        if (world->shapes & 1u << s)
            is_good &= check_shape(world, &sim_shapes[s], pin);
    tn_pin_free(pin);
    return is_good & check_dead_letters(world);
}

struct ends {
    const char *query_id, *topic;
    int64_t offsets[64];
};

static bool take_end(void *ctx, const struct tn_position_info *info)
{
    struct ends *ends = ctx;
    if (strcmp(info->query_id, ends->query_id) == 0 && strcmp(info->topic, ends->topic) == 0)
        ends->offsets[info->partition] = info->offset;
    return true;
}

static bool is_restoring(void *ctx, const struct tn_query_info *info)
{
    *(bool *)ctx |= info->state == TN_QUERY_RESTORING;
    return true;
}

/* Between two steps, table and committed positions are of the same commit. */
bool sim_check_pinned(struct sim_world *world)
{
    bool is_good = true, has_restoring = false;
    struct tn_err err = TN_ERR_INIT;
    struct tn_pin *pin = NULL;
    mem_state_fail_at(world->state, 0); /* a scan may fail; that is not what is looked at here */
    tn_engine_each_query(world->engine, is_restoring, &has_restoring);
    if (has_restoring || tn_engine_pin(world->engine, &pin, &err) != TN_OK)
        return true;
    for (size_t s = 0; s < sim_shapes_count; s++) {
        const struct sim_shape *shape = &sim_shapes[s];
        if (!(world->shapes & 1u << s) || !shape->is_one_stage || shape->has_expiry)
            continue;
        struct ends ends = {.query_id = shape->name, .topic = shape->input};
        tn_engine_each_position(world->engine, take_end, &ends);
        struct sim_rows want = {0}, table = {0};
        for (int32_t p = 0; p < world->partitions_count; p++)
            table_recount(shape)(world, p, ends.offsets[p], &want);
        is_good &= scan_table(world, shape, pin, &table) &&
                   compare(world, shape, "pinned table", &table, &want);
        sim_rows_release(&want);
        sim_rows_release(&table);
    }
    tn_pin_free(pin);
    return is_good;
}
