/* Covers stream/ktable: random operations (updates, deletes, boundaries, publishes, aborts,
 * flushes, faults, pins, scans, look-ups, trims, warm-ups, restarts) against a plain model, with
 * several key shapes and budgets; then the corners by hand: restore, budget accounting, queries
 * beside a worker.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "stream/base/mem.h"
#include "stream/keycode.h"
#include "stream/ktable.h"
#include "tests/check.h"
#include "tests/support/mem_state.h"

#define KEYS_COUNT 400
#define PINS_MAX   6
#define BATCH_ROWS 64
#define NULL_KEY   5

enum key_shape { KEY_BIGINT, KEY_VARCHAR, KEY_LONG_TEXT, KEY_PAIR, KEY_SHAPES };

struct row {
    bool exists;
    int64_t count, sum, rowtime_ms;
    int latest;
};

typedef struct row table[KEYS_COUNT];

struct pinned {
    bool is_open;
    struct tni_view_pin pin;
    table rows;
};

struct world {
    uint64_t seed;
    enum key_shape shape;
    bool is_flush_each, is_rows;
    struct tn_arena types;
    const struct tn_type *key_types[2];
    const struct tn_type *value_types[3];
    struct tn_agg_call aggs[3];
    struct tn_state *state;
    struct tni_budget budget;
    struct tni_view view;
    struct tni_ktable_config config;
    struct tni_ktable *kt;
    table open, flights[2], committed;
    struct tni_delta *deltas[2];
    int deltas_count;
    int64_t commit, time_ms;
    struct pinned pins[PINS_MAX];
};

static uint64_t rnd(struct world *w, uint64_t below)
{
    w->seed ^= w->seed << 13;
    w->seed ^= w->seed >> 7;
    w->seed ^= w->seed << 17;
    return (w->seed >> 11) % below;
}

/* ---- batches ---- */

static const char *key_text(struct world *w, int key, char *text)
{
    if (w->shape == KEY_LONG_TEXT)
        snprintf(text, 160, "a rather long key that never fits into an entry, number %d, %.*s", key,
                 key % 60, "............................................................");
    else
        snprintf(text, 160, "k%d", key);
    return text;
}

static void key_columns_of(struct world *w, const int *keys, uint32_t count, struct tn_column *cols,
                           struct tn_arena *arena)
{
    uint32_t cols_count = w->shape == KEY_PAIR ? 2 : 1;
    for (uint32_t c = 0; c < cols_count; c++) {
        struct tn_colbuilder *b = tn_colbuilder_new(w->key_types[c], arena);
        for (uint32_t i = 0; i < count; i++) {
            char text[160];
            struct tn_value v = {.type = w->key_types[c]};
            if (w->key_types[c]->kind == TN_K_BIGINT)
                v.i = (int64_t)keys[i] - KEYS_COUNT / 2;
            else if (w->key_types[c]->kind == TN_K_INTEGER)
                v.i = keys[i] / 7;
            else
                v.s = tn_arena_str(arena, tn_str_of(key_text(w, keys[i], text)));
            v.is_null = w->shape == KEY_PAIR ? c == 0 && keys[i] < 7
                                             : keys[i] == NULL_KEY; /* NULL is a value here */
            tn_colbuilder_add(b, &v);
        }
        tn_colbuilder_finish(b, &cols[c]);
        bool has_null = false;
        for (uint32_t i = 0; i < count; i++)
            has_null |= tn_column_is_null(&cols[c], i);
        if (!has_null)
            cols[c].validity = NULL; /* the fast path */
    }
}

static int key_number(struct world *w, const struct tn_column *cols, uint32_t row)
{
    if (w->shape != KEY_PAIR && tn_column_is_null(&cols[0], row))
        return NULL_KEY;
    if (w->shape == KEY_BIGINT)
        return (int)(tn_column_i64(&cols[0], row) + KEYS_COUNT / 2);
    struct tn_str text = tn_column_str(&cols[w->shape == KEY_PAIR ? 1 : 0], row);
    const char *digits = w->shape == KEY_LONG_TEXT ? memchr(text.ptr, 'r', text.len) : text.ptr;
    if (w->shape == KEY_LONG_TEXT) {
        digits = strstr(tn_arena_printf(&w->types, "%.*s", TN_STR_FMT(text)), "number ") + 7;
        return atoi(digits);
    }
    return atoi(tn_arena_printf(&w->types, "%.*s", TN_STR_FMT(text)) + 1);
}

static const struct tn_field value_fields[] = {{{"v", 1}, NULL}, {{"t", 1}, NULL}};
static const struct tn_schema value_schema = {2, value_fields};

/* Columns v BIGINT (sometimes NULL), t VARCHAR. */
static struct tn_batch *make_batch(struct world *w, const int *latest, const int64_t *values,
                                   const bool *nulls, uint32_t count, struct tn_arena *arena)
{
    struct tn_batch *batch = tn_batch_new(&value_schema, count, arena);
    struct tn_colbuilder *v = tn_colbuilder_new(tn_type_of(TN_K_BIGINT), arena);
    struct tn_colbuilder *t = tn_colbuilder_new(tn_type_of(TN_K_VARCHAR), arena);
    batch->rowtime_ms = TN_ARENA_ARRAY(arena, int64_t, count);
    for (uint32_t i = 0; i < count; i++) {
        struct tn_value value = {
            .type = tn_type_of(TN_K_BIGINT), .i = values[i], .is_null = nulls[i]};
        tn_colbuilder_add(v, &value);
        const char *text = tn_arena_printf(arena, "t%d", latest[i]);
        struct tn_value str = {.type = tn_type_of(TN_K_VARCHAR), .s = tn_str_of(text)};
        tn_colbuilder_add(t, &str);
        batch->rowtime_ms[i] = w->time_ms + (int64_t)rnd(w, 100) - 50;
    }
    tn_colbuilder_finish(v, &batch->columns[0]);
    tn_colbuilder_finish(t, &batch->columns[1]);
    return batch;
}

static void model_add(struct row *row, int64_t value, bool is_null, int latest, int64_t rowtime_ms)
{
    bool existed = row->exists;
    row->exists = true;
    row->count++;
    row->sum += is_null ? 0 : value;
    row->latest = latest;
    if (!existed || rowtime_ms > row->rowtime_ms)
        row->rowtime_ms = rowtime_ms;
}

static const uint32_t agg_args[3][4] = {{0}, {0}, {1}};

static void do_update(struct world *w)
{
    struct tn_arena arena;
    tn_arena_init(&arena, 0);
    uint32_t count = (uint32_t)rnd(w, BATCH_ROWS) + 1;
    int keys[BATCH_ROWS], latest[BATCH_ROWS];
    int64_t values[BATCH_ROWS];
    bool nulls[BATCH_ROWS];
    for (uint32_t i = 0; i < count; i++) {
        uint64_t r = rnd(w, 100);
        keys[i] = (int)(r < 70 ? rnd(w, KEYS_COUNT) : rnd(w, 10));
        latest[i] = (int)rnd(w, 1000);
        values[i] = (int64_t)rnd(w, 1000) - 500;
        nulls[i] = rnd(w, 5) == 0;
    }
    w->time_ms += 10;
    struct tn_column cols[2];
    key_columns_of(w, keys, count, cols, &arena);
    struct tn_batch *batch = make_batch(w, latest, values, nulls, count, &arena);
    struct tni_entry *entries[BATCH_ROWS];
    struct tn_err err = TN_ERR_INIT;
    enum tn_status st = tni_ktable_acquire(w->kt, cols, NULL, count, NULL, entries, &err);
    if (rnd(w, 2) && st == TN_E_IO) { /* an injected fault: asking again works */
        st = tni_ktable_acquire(w->kt, cols, NULL, count, NULL, entries, &err);
    }
    if (st == TN_E_IO) {
        tn_arena_release(&arena);
        return;
    }
    CHECK_OK(st, &err);
    if (w->is_rows) {
        struct tn_column columns[3];
        struct tn_colbuilder *c = tn_colbuilder_new(tn_type_of(TN_K_BIGINT), &arena);
        for (uint32_t i = 0; i < count; i++) {
            struct row *row = &w->open[keys[i]];
            *row = (struct row){.exists = true,
                                .count = latest[i] + 1,
                                .sum = nulls[i] ? 0 : values[i],
                                .latest = latest[i],
                                .rowtime_ms = batch->rowtime_ms[i]};
            struct tn_value value = {.type = tn_type_of(TN_K_BIGINT), .i = row->count};
            tn_colbuilder_add(c, &value);
        }
        tn_colbuilder_finish(c, &columns[0]);
        columns[1] = batch->columns[0];
        columns[2] = batch->columns[1];
        tni_ktable_put(w->kt, entries, columns, batch->rowtime_ms, NULL, count);
    } else {
        tni_ktable_update(w->kt, entries, batch, NULL, count, agg_args, NULL, false);
        for (uint32_t i = 0; i < count; i++)
            model_add(&w->open[keys[i]], values[i], nulls[i], latest[i], batch->rowtime_ms[i]);
    }
    tni_ktable_trim(w->kt);
    tn_arena_release(&arena);
}

static void do_delete(struct world *w)
{
    struct tn_arena arena;
    tn_arena_init(&arena, 0);
    int keys[8];
    for (int i = 0; i < 8; i++)
        keys[i] = (int)rnd(w, KEYS_COUNT);
    struct tn_column cols[2];
    key_columns_of(w, keys, 8, cols, &arena);
    struct tni_entry *entries[8];
    struct tn_err err = TN_ERR_INIT;
    enum tn_status st = tni_ktable_find(w->kt, cols, NULL, 8, NULL, entries, &err);
    if (st != TN_E_IO) {
        CHECK_OK(st, &err);
        for (int i = 0; i < 8; i++) {
            if (w->open[keys[i]].exists || entries[i])
                CHECK(entries[i] != NULL);
            if (!entries[i] || !tni_entry_exists(entries[i]))
                continue; /* deleted twice in this loop */
            CHECK(w->open[keys[i]].exists);
            tni_ktable_delete(w->kt, entries[i], w->time_ms);
            w->open[keys[i]] = (struct row){0};
        }
    }
    tn_arena_release(&arena);
}

/* ---- comparing ---- */

static void check_values(struct world *w, const struct row *want, const struct tn_column *cols,
                         uint32_t row, int64_t rowtime_ms)
{
    CHECK(want->exists);
    CHECK_INT(tn_column_i64(&cols[0], row), want->count);
    if (w->is_rows && tn_column_is_null(&cols[1], row))
        CHECK_INT(want->sum, 0);
    else
        CHECK_INT(tn_column_i64(&cols[1], row), want->sum);
    char text[16];
    snprintf(text, sizeof text, "t%d", want->latest);
    CHECK_STR(tn_column_str(&cols[2], row), text);
    CHECK_INT(rowtime_ms, want->rowtime_ms);
}

static void check_rows(struct world *w, const struct row *want, const struct tni_row *rows,
                       uint32_t count, bool *seen, struct tn_arena *arena)
{
    struct tn_column keys[2], values[3];
    int64_t rowtimes[512];
    struct tn_err err = TN_ERR_INIT;
    CHECK_OK(tni_ktable_rows_columns(w->kt, rows, count, NULL, arena, keys, values, rowtimes, NULL,
                                     NULL, &err),
             &err);
    for (uint32_t i = 0; i < count; i++) {
        int key = key_number(w, keys, i);
        CHECK(key >= 0 && key < KEYS_COUNT);
        CHECK(!seen[key]);
        seen[key] = true;
        check_values(w, &want[key], values, i, rowtimes[i]);
    }
}

static void check_scan(struct world *w, const struct tni_view_pin *pin, const struct row *want)
{
    struct tn_arena arena;
    tn_arena_init(&arena, 0);
    bool seen[KEYS_COUNT] = {false};
    struct tni_scan *scan = NULL;
    struct tn_err err = TN_ERR_INIT;
    enum tn_status st = tni_scan_open(w->kt, pin, NULL, &scan, &err);
    if (st == TN_E_IO)
        goto end;
    CHECK_OK(st, &err);
    struct tni_row rows[512];
    uint32_t count, step = (uint32_t)rnd(w, 100) + 1;
    while ((st = tni_scan_next(scan, step, &arena, rows, &count, &err)) == TN_OK) {
        CHECK(count > 0 && count <= step);
        check_rows(w, want, rows, count, seen, &arena);
    }
    tni_scan_close(scan);
    if (st == TN_E_IO)
        goto end;
    CHECK_INT(st, TN_END);
    for (int k = 0; k < KEYS_COUNT; k++)
        CHECK_INT(seen[k], want[k].exists);
end:
    tn_arena_release(&arena);
}

static void check_get(struct world *w, const struct tni_view_pin *pin, const struct row *want)
{
    struct tn_arena arena;
    tn_arena_init(&arena, 0);
    int keys[20];
    for (int i = 0; i < 20; i++)
        keys[i] = (int)rnd(w, KEYS_COUNT);
    struct tn_column cols[2], values[3];
    key_columns_of(w, keys, 20, cols, &arena);
    struct tn_str bytes[20];
    for (uint32_t i = 0; i < 20; i++) {
        struct tn_buf buf;
        tn_buf_init(&buf, 1 << 20);
        tni_keycode_add(&buf, cols, w->config.keys_count, i);
        bytes[i] = tn_arena_str(&arena, tn_buf_str(&buf));
        tn_buf_release(&buf);
    }
    struct tni_row rows[20];
    int64_t rowtimes[20];
    struct tn_err err = TN_ERR_INIT;
    enum tn_status st = tni_ktable_get(w->kt, pin, bytes, 20, &arena, rows, &err);
    if (st != TN_E_IO) {
        CHECK_OK(st, &err);
        CHECK_OK(tni_ktable_rows_columns(w->kt, rows, 20, NULL, &arena, NULL, values, rowtimes,
                                         NULL, NULL, &err),
                 &err);
        for (uint32_t i = 0; i < 20; i++) {
            CHECK_INT(rows[i].row.ptr != NULL, want[keys[i]].exists);
            if (rows[i].row.ptr)
                check_values(w, &want[keys[i]], values, i, rowtimes[i]);
        }
    }
    tn_arena_release(&arena);
}

/* Worker's own view of a few keys. */
static void check_open(struct world *w)
{
    struct tn_arena arena;
    tn_arena_init(&arena, 0);
    int keys[20];
    for (int i = 0; i < 20; i++)
        keys[i] = (int)rnd(w, KEYS_COUNT);
    struct tn_column cols[2], values[3];
    key_columns_of(w, keys, 20, cols, &arena);
    struct tni_entry *entries[20];
    struct tn_err err = TN_ERR_INIT;
    enum tn_status st = tni_ktable_find(w->kt, cols, NULL, 20, NULL, entries, &err);
    if (st != TN_E_IO) {
        CHECK_OK(st, &err);
        CHECK_OK(tni_ktable_columns(w->kt, entries, 20, NULL, &arena, values, &err), &err);
        for (uint32_t i = 0; i < 20; i++) {
            CHECK_INT(entries[i] != NULL, w->open[keys[i]].exists);
            if (entries[i])
                check_values(w, &w->open[keys[i]], values, i, tni_entry_rowtime_ms(entries[i]));
            else
                CHECK(tn_column_is_null(&values[0], i));
        }
    }
    tn_arena_release(&arena);
}

/* ---- rounds ---- */

static void check_delta(struct world *w, const struct tni_delta *delta, const struct row *before,
                        const struct row *after)
{
    struct tn_arena arena;
    tn_arena_init(&arena, 0);
    struct tn_err err = TN_ERR_INIT;
    bool seen[KEYS_COUNT] = {false};
    for (uint32_t i = 0; i < tni_delta_count(delta); i++) {
        struct tni_change change = tni_delta_get(delta, i);
        struct tni_row rows[2] = {{change.key, change.row}, {change.key, change.before}};
        struct tn_column keys[2], values[3];
        int64_t rowtimes[2];
        CHECK_OK(tni_ktable_rows_columns(w->kt, rows, 2, NULL, &arena, keys, values, rowtimes, NULL,
                                         NULL, &err),
                 &err);
        int key = key_number(w, keys, 0);
        CHECK(!seen[key]);
        seen[key] = true;
        CHECK_INT(change.row.ptr != NULL, after[key].exists);
        CHECK_INT(change.before.ptr != NULL, before[key].exists);
        if (change.row.ptr) {
            check_values(w, &after[key], values, 0, rowtimes[0]);
            CHECK_INT(change.rowtime_ms, after[key].rowtime_ms);
        }
        if (change.before.ptr)
            check_values(w, &before[key], values, 1, rowtimes[1]);
    }
    for (int k = 0; k < KEYS_COUNT; k++)
        if (!seen[k] && (before[k].exists || after[k].exists))
            CHECK(memcmp(&before[k], &after[k], sizeof before[k]) == 0);
    tn_arena_release(&arena);
}

static void do_flush(struct world *w)
{
    struct tni_flush *flush = tni_flush_new(w->state, &w->view);
    tni_flush_add(flush, w->kt);
    tni_flush_put(flush, TN_STR("position"), tn_str_of("1"));
    tni_flush_put(flush,
                  TN_STR("\xff"
                         "position"),
                  tn_str_of("2"));
    struct tn_err err = TN_ERR_INIT;
    enum tn_status st = tni_flush_apply(flush, &err);
    if (st != TN_E_IO)
        CHECK_OK(st, &err);
    tni_flush_free(flush);
}

static void do_boundary(struct world *w)
{
    if (w->deltas_count == 2)
        return;
    struct tni_delta *delta = tni_ktable_boundary(w->kt);
    const struct row *before = w->deltas_count ? w->flights[0] : w->committed;
    check_delta(w, delta, before, w->open);
    memcpy(w->flights[w->deltas_count], w->open, sizeof w->open);
    w->deltas[w->deltas_count++] = delta;
}

static void do_publish(struct world *w)
{
    if (!w->deltas_count)
        return;
    w->commit++;
    tni_ktable_publish(w->kt, w->deltas[0], w->commit);
    if (rnd(w, 4) == 0) { /* somebody pins between publish and advance */
        struct tni_view_pin pin;
        tni_view_pin(&w->view, &pin);
        check_get(w, &pin, w->committed);
        check_scan(w, &pin, w->committed);
        tni_view_unpin(&w->view, &pin);
    }
    tni_view_advance(&w->view, w->commit);
    tni_ktable_gc(w->kt);
    memcpy(w->committed, w->flights[0], sizeof w->committed);
    memcpy(w->flights[0], w->flights[1], sizeof w->flights[0]);
    w->deltas[0] = w->deltas[1];
    w->deltas_count--;
    if (w->is_flush_each)
        do_flush(w);
}

static void do_abort(struct world *w)
{
    struct tn_err err = TN_ERR_INIT;
    struct tni_delta *deltas[2];
    uint32_t count = 0;
    for (int i = 0; i < w->deltas_count; i++)
        if (w->deltas[i])
            deltas[count++] = w->deltas[i];
    CHECK_OK(tni_ktable_abort(w->kt, deltas, count, &err), &err);
    w->deltas_count = 0;
    memcpy(w->open, w->committed, sizeof w->open);
}

static void do_pin(struct world *w)
{
    struct pinned *p = &w->pins[rnd(w, PINS_MAX)];
    if (p->is_open) {
        if (rnd(w, 2))
            check_scan(w, &p->pin, p->rows);
        check_get(w, &p->pin, p->rows);
        if (rnd(w, 3) == 0) {
            tni_view_unpin(&w->view, &p->pin);
            p->is_open = false;
        }
        return;
    }
    tni_view_pin(&w->view, &p->pin);
    CHECK_INT(p->pin.commit, w->commit);
    memcpy(p->rows, w->committed, sizeof p->rows);
    p->is_open = true;
}

static void unpin_all(struct world *w)
{
    for (int i = 0; i < PINS_MAX; i++)
        if (w->pins[i].is_open)
            tni_view_unpin(&w->view, &w->pins[i].pin);
        else
            continue;
    for (int i = 0; i < PINS_MAX; i++)
        w->pins[i].is_open = false;
}

static void open_table(struct world *w)
{
    struct tn_err err = TN_ERR_INIT;
    mem_state_fail_at(w->state, 0);
    CHECK_OK(tni_ktable_open(&w->config, &w->kt, &err), &err);
}

/* Stop cleanly and start again on the same state port. */
static void do_restart(struct world *w)
{
    while (w->deltas_count)
        do_publish(w);
    do_abort(w);
    unpin_all(w);
    mem_state_fail_at(w->state, 0);
    do_flush(w);
    tni_ktable_unref(w->kt);
    CHECK_INT(atomic_load(&w->budget.bytes_used), 0);
    open_table(w);
}

static void do_warm(struct world *w)
{
    struct tn_err err = TN_ERR_INIT;
    enum tn_status st = tni_ktable_warm(w->kt, (uint32_t)rnd(w, 100) + 1, &err);
    CHECK(st == TN_OK || st == TN_END || st == TN_E_IO);
}

static void check_keys(struct world *w)
{
    struct tni_ktable_stats stats;
    tni_ktable_stats(w->kt, &stats);
    int64_t keys = 0;
    for (int k = 0; k < KEYS_COUNT; k++)
        keys += w->committed[k].exists;
    if (stats.is_complete)
        CHECK_INT(stats.keys, keys);
    CHECK(stats.keys <= keys);
    CHECK_INT(stats.bytes, atomic_load(&w->budget.bytes_used));
    CHECK(stats.bytes >= 0);
}

static void one_step(struct world *w)
{
    uint64_t r = rnd(w, 100);
    if (r < 40)
        do_update(w);
    else if (r < 46)
        do_delete(w);
    else if (r < 58)
        do_boundary(w);
    else if (r < 72)
        do_publish(w);
    else if (r < 78 && !w->is_flush_each)
        do_flush(w);
    else if (r < 90)
        do_pin(w);
    else if (r < 92)
        check_open(w);
    else if (r < 94)
        do_warm(w);
    else if (r < 96)
        do_abort(w);
    else if (r < 97)
        mem_state_fail_at(w->state, (int64_t)rnd(w, 4) + 1);
    else if (r < 98)
        check_keys(w);
    else if (rnd(w, 10) == 0)
        do_restart(w);
}

static void bind_aggs(struct world *w)
{
    static const char *const names[] = {"count", "sum", "latest_by_offset"};
    static const enum tn_kind kinds[] = {TN_K_BIGINT, TN_K_BIGINT, TN_K_VARCHAR};
    for (int a = 0; a < 3; a++) {
        struct tn_err err = TN_ERR_INIT;
        w->aggs[a] = (struct tn_agg_call){.agg = tn_agg_find(tn_str_of(names[a]), TN_RULES_STREAM),
                                          .args_count = a ? 1 : 0,
                                          .arg_types = {tn_type_of(kinds[a])}};
        CHECK_OK(tn_agg_bind(&w->aggs[a], &w->types, &err), &err);
        w->value_types[a] = w->aggs[a].type;
    }
}

static void world_open(struct world *w, enum key_shape shape, bool is_rows, bool is_flush_each,
                       int64_t budget, uint64_t seed)
{
    *w = (struct world){.seed = seed * 0x9E3779B97F4A7C15ull + 1,
                        .shape = shape,
                        .is_rows = is_rows,
                        .is_flush_each = is_flush_each,
                        .time_ms = 1000};
    tn_arena_init(&w->types, 0);
    w->key_types[0] = tn_type_of(shape == KEY_BIGINT ? TN_K_BIGINT
                                 : shape == KEY_PAIR ? TN_K_INTEGER
                                                     : TN_K_VARCHAR);
    w->key_types[1] = tn_type_of(TN_K_VARCHAR);
    bind_aggs(w);
    w->state = mem_state_new();
    struct tn_err err = TN_ERR_INIT;
    CHECK_OK(tni_view_init(&w->view, w->state, 0, &err), &err);
    tni_budget_init(&w->budget, budget);
    w->config = (struct tni_ktable_config){.store_id = 7,
                                           .partition = 3,
                                           .keys_count = shape == KEY_PAIR ? 2 : 1,
                                           .key_types = w->key_types,
                                           .aggs_count = is_rows ? 0 : 3,
                                           .aggs = w->aggs,
                                           .values_count = 3,
                                           .value_types = w->value_types,
                                           .state = w->state,
                                           .budget = &w->budget,
                                           .view = &w->view};
    open_table(w);
}

static void world_close(struct world *w)
{
    mem_state_fail_at(w->state, 0);
    do_abort(w);
    struct tni_view_pin pin;
    tni_view_pin(&w->view, &pin);
    check_scan(w, &pin, w->committed);
    tni_view_unpin(&w->view, &pin);
    check_keys(w);
    do_restart(w);
    tni_view_pin(&w->view, &pin);
    check_scan(w, &pin, w->committed);
    tni_view_unpin(&w->view, &pin);
    tni_ktable_unref(w->kt);
    CHECK_INT(atomic_load(&w->budget.bytes_used), 0);
    tni_view_release(&w->view);
    w->state->type->close(w->state);
    tn_arena_release(&w->types);
}

static void test_random(int steps)
{
    static const int64_t budgets[] = {64 << 10, 16 << 10, 1 << 30};
    uint64_t seed = 1;
    struct world *w = tn_alloc(sizeof *w);
    for (int shape = 0; shape < KEY_SHAPES; shape++)
        for (int b = 0; b < 3; b++)
            for (int mode = 0; mode < 4; mode++) {
                int failed = tn_checks_failed;
                world_open(w, (enum key_shape)shape, mode & 1, mode & 2, budgets[b], seed);
                for (int i = 0; i < steps && failed == tn_checks_failed; i++)
                    one_step(w);
                if (failed != tn_checks_failed)
                    fprintf(stderr, "shape %d budget %lld mode %d seed %llu\n", shape,
                            (long long)budgets[b], mode, (unsigned long long)seed);
                world_close(w);
                seed++;
            }
    tn_free(w);
}

/* ---- restore, ranges ---- */

/* Replaying the changes of one table into another gives the same rows, by bytes and by columns. */
static void test_restore(bool is_rows, bool is_by_columns)
{
    struct world *from = tn_alloc(sizeof *from), *to = tn_alloc(sizeof *to);
    world_open(from, KEY_VARCHAR, is_rows, false, 1 << 30, 5);
    world_open(to, KEY_VARCHAR, is_rows, true, 64 << 10, 6);
    struct tn_err err = TN_ERR_INIT;
    for (int round = 0; round < 30; round++) {
        struct tn_arena arena;
        tn_arena_init(&arena, 0);
        for (int i = 0; i < 5; i++) {
            do_update(from);
            do_delete(from);
        }
        struct tni_delta *delta = tni_ktable_boundary(from->kt);
        uint32_t changed = tni_delta_count(delta), count = changed * 2;
        struct tn_str *keys = TN_ARENA_ARRAY(&arena, struct tn_str, count);
        struct tn_str *rows = TN_ARENA_ARRAY(&arena, struct tn_str, count);
        struct tni_row *both = TN_ARENA_ARRAY(&arena, struct tni_row, count);
        uint8_t *deletes = TN_ARENA_ARRAY(&arena, uint8_t, count);
        int64_t *rowtimes = TN_ARENA_ARRAY(&arena, int64_t, count);
        for (uint32_t i = 0; i < count; i++) { /* every key twice: first with another one's row */
            keys[i] = tni_delta_get(delta, i % changed).key;
            rows[i] = tni_delta_get(delta, i < changed ? (i + 1) % changed : i - changed).row;
            both[i] = (struct tni_row){keys[i], rows[i]};
            tn_bit_put(deletes, i, !rows[i].ptr);
        }
        if (is_by_columns) {
            struct tn_column key_cols[2], values[3];
            CHECK_OK(tni_ktable_rows_columns(from->kt, both, count, NULL, &arena, key_cols, values,
                                             rowtimes, NULL, NULL, &err),
                     &err);
            CHECK_OK(tni_ktable_restore_columns(to->kt, key_cols, NULL, NULL, values, deletes,
                                                rowtimes, count, 0, &err),
                     &err);
        } else {
            CHECK_OK(tni_ktable_restore(to->kt, keys, rows, count, 0, &err), &err);
        }
        from->commit++;
        tni_ktable_publish(from->kt, delta, from->commit);
        tni_view_advance(&from->view, from->commit);
        tni_ktable_gc(from->kt);
        memcpy(from->committed, from->open, sizeof from->open);
        tni_ktable_gc(to->kt);
        if (round % 3 == 0)
            do_flush(to);
        tni_ktable_trim(to->kt);
        tn_arena_release(&arena);
    }
    memcpy(to->open, from->committed, sizeof to->open);
    memcpy(to->committed, from->committed, sizeof to->committed);
    struct tni_view_pin pin;
    tni_view_pin(&to->view, &pin);
    check_scan(to, &pin, from->committed);
    check_get(to, &pin, from->committed);
    tni_view_unpin(&to->view, &pin);
    do_update(to); /* and it goes on from there */
    check_open(to);
    struct tn_str cut = TN_STR("1234567"), key = TN_STR("\1k\0\0");
    CHECK_INT(tni_ktable_restore(to->kt, &key, &cut, 1, 0, &err), TN_E_CORRUPT);
    world_close(to);
    world_close(from);
    tn_free(from);
    tn_free(to);
}

/* A damaged row is an error when it is used, not a wrong answer. */
static void test_damaged(void)
{
    struct world *w = tn_alloc(sizeof *w);
    world_open(w, KEY_BIGINT, false, false, 1 << 30, 9);
    struct tn_err err = TN_ERR_INIT;
    struct tn_arena arena;
    tn_arena_init(&arena, 0);
    int number = 3;
    struct tn_column col, values[3];
    key_columns_of(w, &number, 1, &col, &arena);
    struct tn_buf buf;
    tn_buf_init(&buf, 64);
    tni_keycode_add(&buf, &col, 1, 0);
    struct tn_str key = tn_buf_str(&buf), row = TN_STR("12345678\2\2\1\5ab");
    CHECK_OK(tni_ktable_restore(w->kt, &key, &row, 1, 0, &err), &err);
    struct tni_entry *entry;
    CHECK_INT(tni_ktable_acquire(w->kt, &col, NULL, 1, NULL, &entry, &err), TN_E_CORRUPT);
    CHECK(strstr(err.message, "store 7 partition 3") != NULL);
    struct tni_row both = {key, row};
    CHECK_INT(tni_ktable_rows_columns(w->kt, &both, 1, NULL, &arena, NULL, values, NULL, NULL, NULL,
                                      &err),
              TN_E_CORRUPT);
    tn_buf_release(&buf);
    tn_arena_release(&arena);
    CHECK_OK(tni_ktable_abort(w->kt, NULL, 0, &err), &err);
    tni_ktable_unref(w->kt);
    tni_view_release(&w->view);
    w->state->type->close(w->state);
    tn_arena_release(&w->types);
    tn_free(w);
}

static void test_ranges(void)
{
    struct world *w = tn_alloc(sizeof *w);
    for (int mode = 0; mode < 3; mode++) { /* in memory, half flushed, evicted */
        world_open(w, KEY_BIGINT, false, false, mode == 2 ? 1 : 1 << 30, 21);
        for (int round = 0; round < 4; round++) {
            for (int i = 0; i < 4; i++)
                do_update(w);
            do_boundary(w);
            do_publish(w);
            if (mode && round == 1)
                do_flush(w);
            tni_ktable_trim(w->kt);
        }
        for (int low = -220; low < 220; low += 55) {
            struct tn_value bounds[2] = {{.type = tn_type_of(TN_K_BIGINT), .i = low},
                                         {.type = tn_type_of(TN_K_BIGINT), .i = low + 80}};
            struct tn_buf bytes[2];
            for (int i = 0; i < 2; i++) {
                tn_buf_init(&bytes[i], 64);
                tni_keycode_add_value(&bytes[i], &bounds[i]);
            }
            struct tni_scan_range range = {.low = tn_buf_str(&bytes[0]),
                                           .high = tn_buf_str(&bytes[1])};
            struct tni_view_pin pin;
            struct tni_scan *scan;
            struct tn_err err = TN_ERR_INIT;
            struct tn_arena arena;
            struct tni_row rows[16];
            uint32_t count;
            bool seen[KEYS_COUNT] = {false};
            tn_arena_init(&arena, 0);
            tni_view_pin(&w->view, &pin);
            CHECK_OK(tni_scan_open(w->kt, &pin, &range, &scan, &err), &err);
            while (tni_scan_next(scan, 16, &arena, rows, &count, &err) == TN_OK)
                check_rows(w, w->committed, rows, count, seen, &arena);
            tni_scan_close(scan);
            tni_view_unpin(&w->view, &pin);
            for (int k = 0; k < KEYS_COUNT; k++) {
                int value = k - KEYS_COUNT / 2;
                bool is_inside = value >= low && value < low + 80 && k != NULL_KEY;
                CHECK_INT(seen[k], w->committed[k].exists && is_inside);
            }
            tn_arena_release(&arena);
            tn_buf_release(&bytes[0]);
            tn_buf_release(&bytes[1]);
        }
        world_close(w);
    }
    tn_free(w);
}

/* ---- threads: one worker, one commit thread, two readers ---- */

struct stage {
    struct world *w;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct tni_delta *deltas[2];
    int count;
    bool is_done;
    atomic_bool is_over;
    atomic_int scans;
};

#define THREAD_ROUNDS 300

/* Every round moves amounts between keys: the sum over the table is 0 at each commit. */
static void *worker_main(void *ctx)
{
    struct stage *st = ctx;
    struct world *w = st->w;
    for (int round = 0; round < THREAD_ROUNDS; round++) {
        for (int b = 0; b < 4; b++) {
            struct tn_arena arena;
            tn_arena_init(&arena, 0);
            int keys[BATCH_ROWS], latest[BATCH_ROWS] = {0};
            int64_t values[BATCH_ROWS];
            bool nulls[BATCH_ROWS] = {false};
            for (int i = 0; i < BATCH_ROWS; i += 2) {
                keys[i] = (int)rnd(w, KEYS_COUNT);
                keys[i + 1] = (int)rnd(w, KEYS_COUNT);
                values[i] = (int64_t)rnd(w, 1000);
                values[i + 1] = -values[i];
            }
            struct tn_column cols[2];
            struct tni_entry *entries[BATCH_ROWS];
            struct tn_err err = TN_ERR_INIT;
            key_columns_of(w, keys, BATCH_ROWS, cols, &arena);
            struct tn_batch *batch = make_batch(w, latest, values, nulls, BATCH_ROWS, &arena);
            CHECK_OK(tni_ktable_acquire(w->kt, cols, NULL, BATCH_ROWS, NULL, entries, &err), &err);
            tni_ktable_update(w->kt, entries, batch, NULL, BATCH_ROWS, agg_args, NULL, false);
            tni_ktable_trim(w->kt);
            tn_arena_release(&arena);
        }
        struct tni_delta *delta = tni_ktable_boundary(w->kt);
        pthread_mutex_lock(&st->lock);
        while (st->count == 2)
            pthread_cond_wait(&st->changed, &st->lock);
        st->deltas[st->count++] = delta;
        pthread_cond_broadcast(&st->changed);
        pthread_mutex_unlock(&st->lock);
    }
    pthread_mutex_lock(&st->lock);
    st->is_done = true;
    pthread_cond_broadcast(&st->changed);
    pthread_mutex_unlock(&st->lock);
    return NULL;
}

static void *commit_main(void *ctx)
{
    struct stage *st = ctx;
    struct world *w = st->w;
    for (int64_t commit = 1;; commit++) {
        pthread_mutex_lock(&st->lock);
        while (!st->count && !st->is_done)
            pthread_cond_wait(&st->changed, &st->lock);
        bool is_end = !st->count;
        struct tni_delta *delta = st->deltas[0];
        pthread_mutex_unlock(&st->lock);
        if (is_end)
            break;
        tni_ktable_publish(w->kt, delta, commit);
        tni_view_advance(&w->view, commit);
        tni_ktable_gc(w->kt);
        if (commit % 3 == 0)
            do_flush(w);
        pthread_mutex_lock(&st->lock);
        st->deltas[0] = st->deltas[1];
        st->count--;
        pthread_cond_broadcast(&st->changed);
        pthread_mutex_unlock(&st->lock);
    }
    atomic_store(&st->is_over, true);
    return NULL;
}

static void read_once(struct stage *st, struct tn_arena *arena)
{
    struct world *w = st->w;
    struct tni_view_pin pin;
    struct tni_scan *scan = NULL;
    struct tn_err err = TN_ERR_INIT;
    struct tni_row rows[64];
    uint32_t count;
    int64_t sum = 0, total = 0;
    enum tn_status status;
    tni_view_pin(&w->view, &pin);
    TN_ASSERT(tni_scan_open(w->kt, &pin, NULL, &scan, &err) == TN_OK);
    while ((status = tni_scan_next(scan, 64, arena, rows, &count, &err)) == TN_OK) {
        struct tn_column values[3];
        status = tni_ktable_rows_columns(w->kt, rows, count, NULL, arena, NULL, values, NULL, NULL,
                                         NULL, &err);
        TN_ASSERT(status == TN_OK);
        for (uint32_t i = 0; i < count; i++) {
            total += tn_column_i64(&values[0], i);
            sum += tn_column_i64(&values[1], i);
        }
    }
    TN_ASSERT(status == TN_END && sum == 0);
    TN_ASSERT(total == pin.commit * 4 * BATCH_ROWS); /* exactly the rows of the pinned commits */
    tni_scan_close(scan);
    tni_view_unpin(&w->view, &pin);
    tn_arena_reset(arena);
    atomic_fetch_add(&st->scans, 1);
}

static void *reader_main(void *ctx)
{
    struct stage *st = ctx;
    struct tn_arena arena;
    tn_arena_init(&arena, 0);
    while (!atomic_load(&st->is_over))
        read_once(st, &arena);
    read_once(st, &arena);
    tn_arena_release(&arena);
    return NULL;
}

static void test_threads(int64_t budget)
{
    struct stage st = {.w = tn_alloc(sizeof *st.w)};
    world_open(st.w, KEY_LONG_TEXT, false, false, budget, 77);
    pthread_mutex_init(&st.lock, NULL);
    pthread_cond_init(&st.changed, NULL);
    pthread_t threads[4];
    pthread_create(&threads[0], NULL, worker_main, &st);
    pthread_create(&threads[1], NULL, commit_main, &st);
    pthread_create(&threads[2], NULL, reader_main, &st);
    pthread_create(&threads[3], NULL, reader_main, &st);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    CHECK(atomic_load(&st.scans) >= 2);
    struct tn_err err = TN_ERR_INIT;
    CHECK_OK(tni_ktable_abort(st.w->kt, NULL, 0, &err), &err);
    tni_ktable_unref(st.w->kt);
    CHECK_INT(atomic_load(&st.w->budget.bytes_used), 0);
    tni_view_release(&st.w->view);
    st.w->state->type->close(st.w->state);
    tn_arena_release(&st.w->types);
    tn_free(st.w);
    pthread_mutex_destroy(&st.lock);
    pthread_cond_destroy(&st.changed);
}

int main(int argc, char **argv)
{
    for (int i = 0; i < 4; i++)
        test_restore(i & 1, i & 2);
    test_damaged();
    test_ranges();
    test_threads(1 << 30);
    test_threads(64 << 10);
    test_random(argc > 1 ? atoi(argv[1]) : 600);
    return TN_TEST_END();
}
