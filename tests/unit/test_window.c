/* Covers stream/window (arithmetic, lateness, defaults) and the windows of a ktable: tumbling and
 * hopping counts, EMIT FINAL, sessions and their merging, retention; by hand the examples of the
 * dialect's documentation and of the music chart's window counter, then random rows against a model
 * with restarts, aborts and a small budget. */
#include <stdlib.h>

#include "stream/base/mem.h"
#include "stream/ktable.h"
#include "stream/window.h"
#include "tests/check.h"
#include "tests/support/mem_state.h"

/* ---- arithmetic ---- */

static void test_starts(void)
{
    struct tn_window hop = {.kind = TN_WINDOW_HOP, .size_ms = 30, .advance_ms = 10};
    CHECK_INT(tni_window_fanout(&hop), 3);
    CHECK_INT(tni_window_first(&hop, 0), 0);
    CHECK_INT(tni_window_first(&hop, 29), 0);
    CHECK_INT(tni_window_first(&hop, 30), 10);
    CHECK_INT(tni_window_first(&hop, 45), 20);
    struct tn_window odd = {.kind = TN_WINDOW_HOP, .size_ms = 25, .advance_ms = 10};
    CHECK_INT(tni_window_fanout(&odd), 3);
    CHECK_INT(tni_window_first(&odd, 25), 10);
    CHECK_INT(tni_window_first(&odd, 24), 0);
    struct tn_window tumble = {.kind = TN_WINDOW_TUMBLE, .size_ms = 60000};
    CHECK_INT(tni_window_first(&tumble, 1673267699999), 1673267640000);
}

static void test_defaults(void)
{
    struct tn_err err = TN_ERR_INIT;
    struct tn_window w = {
        .kind = TN_WINDOW_TUMBLE, .size_ms = 60000, .grace_ms = -1, .retention_ms = -1};
    CHECK_OK(tni_window_defaults(&w, &err), &err);
    CHECK_INT(w.grace_ms, 86400000 - 60000);
    CHECK_INT(w.retention_ms, 86400000);
    w = (struct tn_window){.kind = TN_WINDOW_TUMBLE,
                           .size_ms = 60000,
                           .grace_ms = -1,
                           .retention_ms = -1,
                           .is_final = true};
    CHECK_OK(tni_window_defaults(&w, &err), &err);
    CHECK_INT(w.grace_ms, 0);
    CHECK_INT(w.retention_ms, 60000);
    w = (struct tn_window){.kind = TN_WINDOW_TUMBLE,
                           .size_ms = 2 * 86400000ll,
                           .grace_ms = -1,
                           .retention_ms = 3600000};
    CHECK_INT(tni_window_defaults(&w, &err), TN_E_INVALID);
    CHECK(strstr(err.message, "RETENTION") != NULL);
    w = (struct tn_window){.kind = TN_WINDOW_HOP, .size_ms = 10, .advance_ms = 20};
    CHECK_INT(tni_window_defaults(&w, &err), TN_E_INVALID);
    w = (struct tn_window){.kind = TN_WINDOW_SESSION, .size_ms = 0};
    CHECK_INT(tni_window_defaults(&w, &err), TN_E_INVALID);
}

/* One song at 3, 12, 8, 15, 9; size 10, grace 5: 8 still enters [0,10), 9 is late. */
static void test_assign(void)
{
    struct tn_arena arena;
    tn_arena_init(&arena, 0);
    struct tn_window w = {.kind = TN_WINDOW_TUMBLE, .size_ms = 10, .grace_ms = 5};
    const int64_t times[] = {3, 12, 8, 15, 9};
    int64_t stream_time = INT64_MIN;
    struct tni_window_pairs pairs;
    tni_window_assign(&w, times, NULL, 5, &stream_time, &arena, &pairs);
    CHECK_INT(stream_time, 15);
    CHECK_INT(pairs.count, 4);
    CHECK_INT(pairs.late_count, 1);
    CHECK_INT(pairs.late_rows[0], 4);
    CHECK_INT(pairs.late_starts_ms[0], 0);
    const int64_t starts[] = {0, 10, 0, 10};
    for (int i = 0; i < 4; i++)
        CHECK_INT(pairs.starts_ms[i], starts[i]);
    /* hopping: late for one of its windows only, oldest first */
    struct tn_window hop = {.kind = TN_WINDOW_HOP, .size_ms = 20, .advance_ms = 10, .grace_ms = 0};
    const int64_t hops[] = {5, 25, 15, -1};
    stream_time = INT64_MIN;
    tni_window_assign(&hop, hops, NULL, 4, &stream_time, &arena, &pairs);
    CHECK_INT(pairs.count, 4); /* 5: 0 · 25: 10, 20 · 15: 10 */
    CHECK_INT(pairs.starts_ms[0], 0);
    CHECK_INT(pairs.starts_ms[1], 10);
    CHECK_INT(pairs.starts_ms[2], 20);
    CHECK_INT(pairs.starts_ms[3], 10);
    CHECK_INT(pairs.late_count, 2); /* 15 in [0,20), and the negative time */
    CHECK_INT(pairs.late_rows[0], 2);
    CHECK_INT(pairs.late_starts_ms[1], -1);
    tn_arena_release(&arena);
}

/* ---- a world with one windowed count ---- */

struct world {
    struct tn_arena arena;
    struct tn_state *state;
    struct tni_view view;
    struct tni_budget budget;
    const struct tn_type *key_type;
    struct tn_agg_call count;
    struct tni_ktable_config config;
    struct tni_ktable *kt;
    int64_t commit, stream_time, closed;
};

static void world_open(struct world *w, struct tn_window window, int64_t budget)
{
    *w = (struct world){.stream_time = INT64_MIN, .closed = INT64_MIN};
    struct tn_err err = TN_ERR_INIT;
    tn_arena_init(&w->arena, 0);
    w->key_type = tn_type_of(TN_K_VARCHAR);
    w->count = (struct tn_agg_call){.agg = tn_agg_find(TN_STR("COUNT"), TN_RULES_STREAM)};
    CHECK_OK(tn_agg_bind(&w->count, &w->arena, &err), &err);
    w->state = mem_state_new();
    CHECK_OK(tni_view_init(&w->view, w->state, 0, &err), &err);
    tni_budget_init(&w->budget, budget);
    w->config = (struct tni_ktable_config){.store_id = 9,
                                           .keys_count = 1,
                                           .key_types = &w->key_type,
                                           .aggs_count = 1,
                                           .aggs = &w->count,
                                           .window = window,
                                           .state = w->state,
                                           .budget = &w->budget,
                                           .view = &w->view};
    CHECK_OK(tni_ktable_open(&w->config, &w->kt, &err), &err);
}

static void commit_round(struct world *w, bool is_flushed)
{
    struct tni_delta *delta = tni_ktable_boundary(w->kt);
    tni_ktable_publish(w->kt, delta, ++w->commit);
    tni_view_advance(&w->view, w->commit);
    tni_ktable_gc(w->kt);
    if (!is_flushed)
        return;
    struct tn_err err = TN_ERR_INIT;
    struct tni_flush *flush = tni_flush_new(w->state, &w->view);
    tni_flush_add(flush, w->kt);
    CHECK_OK(tni_flush_apply(flush, &err), &err);
    tni_flush_free(flush);
}

static void restart(struct world *w)
{
    struct tn_err err = TN_ERR_INIT;
    commit_round(w, true);
    tni_ktable_unref(w->kt);
    CHECK_INT(atomic_load(&w->budget.bytes_used), 0);
    CHECK_OK(tni_ktable_open(&w->config, &w->kt, &err), &err);
}

static void world_close(struct world *w)
{
    struct tn_err err = TN_ERR_INIT;
    CHECK_OK(tni_ktable_abort(w->kt, NULL, 0, &err), &err);
    tni_ktable_unref(w->kt);
    CHECK_INT(atomic_load(&w->budget.bytes_used), 0);
    tni_view_release(&w->view);
    w->state->type->close(w->state);
    tn_arena_release(&w->arena);
}

static struct tn_column text_column(const char *const *texts, uint32_t count,
                                    struct tn_arena *arena)
{
    struct tn_column col;
    struct tn_colbuilder *b = tn_colbuilder_new(tn_type_of(TN_K_VARCHAR), arena);
    for (uint32_t i = 0; i < count; i++) {
        struct tn_value v = {.type = tn_type_of(TN_K_VARCHAR), .s = tn_str_of(texts[i])};
        tn_colbuilder_add(b, &v);
    }
    tn_colbuilder_finish(b, &col);
    col.validity = NULL;
    return col;
}

static const uint32_t no_args[1][4];

/* Rows into a tumbling or hopping table. Returns how many pairs were late. */
static uint32_t feed(struct world *w, const char *const *keys, const int64_t *times, uint32_t count)
{
    struct tn_arena arena;
    tn_arena_init(&arena, 0);
    struct tn_err err = TN_ERR_INIT;
    struct tn_column col = text_column(keys, count, &arena);
    struct tni_window_pairs pairs;
    tni_window_assign(&w->config.window, times, NULL, count, &w->stream_time, &arena, &pairs);
    struct tni_entry **entries = TN_ARENA_ARRAY(&arena, struct tni_entry *, pairs.count);
    CHECK_OK(
        tni_ktable_acquire(w->kt, &col, pairs.rows, pairs.count, pairs.starts_ms, entries, &err),
        &err);
    int64_t *rowtimes = TN_ARENA_ARRAY(&arena, int64_t, count);
    memcpy(rowtimes, times, count * sizeof *rowtimes);
    struct tn_batch batch = {.rows_count = count, .rowtime_ms = rowtimes};
    tni_ktable_update(w->kt, entries, &batch, pairs.rows, pairs.count, no_args, NULL, false);
    tn_arena_release(&arena);
    return pairs.late_count;
}

/* "key@start=count/rowtime " of every entry. */
static const char *entries_text(struct world *w, struct tni_entry *const *entries, uint32_t count)
{
    struct tn_err err = TN_ERR_INIT;
    struct tn_column keys, values;
    struct tn_buf buf;
    tn_buf_init(&buf, 1 << 20);
    tni_ktable_key_columns(w->kt, entries, count, &w->arena, &keys);
    CHECK_OK(tni_ktable_columns(w->kt, entries, count, NULL, &w->arena, &values, &err), &err);
    for (uint32_t i = 0; i < count; i++) {
        int64_t start, end;
        tni_entry_window(w->kt, entries[i], &start, &end);
        tn_buf_printf(&buf, "%.*s[%lld,%lld]=%lld/%lld ", TN_STR_FMT(tn_column_str(&keys, i)),
                      (long long)start, (long long)end, (long long)tn_column_i64(&values, i),
                      (long long)tni_entry_rowtime_ms(entries[i]));
    }
    const char *text = tn_arena_strdup(&w->arena, tn_buf_cstr(&buf));
    tn_buf_release(&buf);
    return text;
}

static const char *close_text(struct world *w)
{
    struct tn_err err = TN_ERR_INIT;
    struct tni_entry **entries = NULL;
    uint32_t count = 0;
    CHECK_OK(tni_ktable_close_windows(w->kt, w->stream_time, &w->closed, &w->arena, &entries,
                                      &count, &err),
             &err);
    return entries_text(w, entries, count);
}

static int cmp_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Committed rows, sorted as text. */
static const char *scan_text(struct world *w)
{
    struct tn_err err = TN_ERR_INIT;
    struct tni_view_pin pin;
    struct tni_scan *scan;
    struct tni_row rows[64];
    const char *texts[4096];
    size_t total = 0;
    uint32_t count;
    tni_view_pin(&w->view, &pin);
    CHECK_OK(tni_scan_open(w->kt, &pin, NULL, &scan, &err), &err);
    while (tni_scan_next(scan, 64, &w->arena, rows, &count, &err) == TN_OK) {
        struct tn_column keys, values;
        int64_t starts[64], ends[64], rowtimes[64];
        CHECK_OK(tni_ktable_rows_columns(w->kt, rows, count, NULL, &w->arena, &keys, &values,
                                         rowtimes, starts, ends, &err),
                 &err);
        for (uint32_t i = 0; i < count; i++)
            texts[total++] = tn_arena_printf(
                &w->arena, "%.*s[%lld,%lld]=%lld/%lld ", TN_STR_FMT(tn_column_str(&keys, i)),
                (long long)starts[i], (long long)ends[i], (long long)tn_column_i64(&values, i),
                (long long)rowtimes[i]);
    }
    tni_scan_close(scan);
    tni_view_unpin(&w->view, &pin);
    if (total)
        qsort(texts, total, sizeof *texts, cmp_text);
    struct tn_buf buf;
    tn_buf_init(&buf, 1 << 20);
    for (size_t i = 0; i < total; i++)
        tn_buf_add_text(&buf, texts[i]);
    const char *text = tn_arena_strdup(&w->arena, tn_buf_cstr(&buf));
    tn_buf_release(&buf);
    return text;
}

/* ---- EMIT FINAL ---- */

static void test_final(void)
{
    struct world w;
    struct tn_window window = {.kind = TN_WINDOW_TUMBLE,
                               .size_ms = 10,
                               .grace_ms = 5,
                               .retention_ms = 15,
                               .is_final = true};
    for (int mode = 0; mode < 3; mode++) { /* 1: restart between rows, 2: abort and again */
        world_open(&w, window, mode == 1 ? 1 : 1 << 20);
        const char *const song[] = {"Tide"};
        const int64_t times[] = {3, 12, 8, 15, 9, 26};
        const char *const want[] = {"", "", "", "Tide[0,10]=2/8 ", "", "Tide[10,20]=2/15 "};
        for (int i = 0; i < 6; i++) {
            int64_t stream_time = w.stream_time, closed = w.closed;
            if (mode == 2) {
                struct tn_err err = TN_ERR_INIT;
                feed(&w, song, &times[i], 1);
                CHECK_STR(tn_str_of(close_text(&w)), want[i]);
                CHECK_OK(tni_ktable_abort(w.kt, NULL, 0, &err), &err);
                w.stream_time = stream_time;
                w.closed = closed;
            }
            CHECK_INT(feed(&w, song, &times[i], 1), i == 4);
            CHECK_STR(tn_str_of(close_text(&w)), want[i]);
            if (mode == 1)
                restart(&w);
            else
                commit_round(&w, mode == 2);
        }
        world_close(&w);
    }
    /* several windows at once: by start, then key */
    world_open(&w, window, 1 << 20);
    const char *const keys[] = {"b", "a", "c", "a", "b"};
    const int64_t times[] = {1, 2, 3, 12, 11};
    feed(&w, keys, times, 5);
    CHECK_STR(tn_str_of(close_text(&w)), "");
    const char *const late[] = {"z"};
    const int64_t jump[] = {1000};
    feed(&w, late, jump, 1);
    CHECK_STR(tn_str_of(close_text(&w)),
              "a[0,10]=1/2 b[0,10]=1/1 c[0,10]=1/3 a[10,20]=1/12 b[10,20]=1/11 ");
    CHECK_STR(tn_str_of(close_text(&w)), "");
    world_close(&w);
}

/* ---- retention ---- */

static void test_expire(void)
{
    const int64_t minute = 60000;
    struct tn_window window = {
        .kind = TN_WINDOW_TUMBLE, .size_ms = minute, .grace_ms = 0, .retention_ms = 2 * minute};
    for (int mode = 0; mode < 4; mode++) { /* 1: flush each round, 2: tiny budget */
        struct world w;
        world_open(&w, window, mode & 2 ? 1 : 1 << 20);
        const char *const key[] = {"k"};
        for (int64_t m = 0; m < 20; m++) {
            int64_t time = m * minute + 5;
            feed(&w, key, &time, 1);
            tni_ktable_expire(w.kt, w.stream_time);
            struct tni_view_pin pin;
            tni_view_pin(&w.view, &pin); /* what it sees stays until it goes */
            struct tn_arena arena;
            tn_arena_init(&arena, 0);
            const char *before = scan_text(&w);
            commit_round(&w, mode & 1);
            struct tni_scan *scan;
            struct tn_err err = TN_ERR_INIT;
            struct tni_row rows[64];
            uint32_t count = 0, total = 0, want = 0;
            CHECK_OK(tni_scan_open(w.kt, &pin, NULL, &scan, &err), &err);
            while (tni_scan_next(scan, 64, &arena, rows, &count, &err) == TN_OK)
                total += count;
            tni_scan_close(scan);
            tni_view_unpin(&w.view, &pin);
            tn_arena_release(&arena);
            for (const char *at = before; (at = strchr(at, '=')); at++)
                want++;
            CHECK_INT(total, want);
        }
        commit_round(&w, mode & 1);
        const char *text = scan_text(&w);
        CHECK_STR(tn_str_of(text), "k[1020000,1080000]=1/1020005 k[1080000,1140000]=1/1080005 "
                                   "k[1140000,1200000]=1/1140005 ");
        commit_round(&w, true);
        commit_round(&w, true);
        struct tni_ktable_stats stats;
        tni_ktable_stats(w.kt, &stats);
        CHECK(stats.keys <= 3);
        CHECK_INT(mem_state_count(w.state), 3);
        world_close(&w);
    }
}

/* ---- sessions ---- */

static struct tni_session_effect session_feed(struct world *w, const char *key, int64_t time_ms,
                                              bool *ret_late)
{
    struct tn_err err = TN_ERR_INIT;
    const char *const keys[] = {key};
    struct tn_column col = text_column(keys, 1, &w->arena);
    struct tn_batch batch = {.rows_count = 1, .rowtime_ms = &time_ms};
    struct tni_session_effect effect = {0};
    uint32_t effects = 0, late_row, late = 0;
    CHECK_OK(tni_ktable_session_update(w->kt, &col, &batch, NULL, 1, no_args, NULL, &w->stream_time,
                                       &w->arena, &effect, &effects, &late_row, &late, &err),
             &err);
    CHECK_INT(effects + late, 1);
    if (ret_late)
        *ret_late = late;
    else
        CHECK(!late);
    return effect;
}

/* SESSION (10 ms), rows at 0, 15, 7. */
static void test_session_example(void)
{
    struct world w;
    struct tn_window window = {.kind = TN_WINDOW_SESSION,
                               .size_ms = 10,
                               .grace_ms = 86400000 - 10,
                               .retention_ms = 86400000};
    world_open(&w, window, 1 << 20);
    struct tni_session_effect e = session_feed(&w, "k", 0, NULL);
    CHECK(!e.has_tombstones && e.old_count == 0);
    CHECK_STR(tn_str_of(entries_text(&w, &e.merged, 1)), "k[0,0]=1/0 ");
    e = session_feed(&w, "k", 15, NULL);
    CHECK(!e.has_tombstones && e.old_count == 0);
    CHECK_STR(tn_str_of(entries_text(&w, &e.merged, 1)), "k[15,15]=1/15 ");
    commit_round(&w, false);
    e = session_feed(&w, "k", 7, NULL);
    CHECK(e.has_tombstones);
    CHECK_INT(e.old_count, 2);
    int64_t start, end;
    tni_entry_window(w.kt, e.old[0], &start, &end);
    CHECK_INT(end, 0);
    CHECK_INT(tni_entry_rowtime_ms(e.old[0]), 0);
    tni_entry_window(w.kt, e.old[1], &start, &end);
    CHECK_INT(start, 15);
    CHECK_INT(tni_entry_rowtime_ms(e.old[1]), 15);
    CHECK_STR(tn_str_of(entries_text(&w, &e.merged, 1)), "k[0,15]=3/15 ");
    struct tni_delta *delta = tni_ktable_boundary(w.kt);
    CHECK_INT(tni_delta_count(delta), 3); /* two tombstones and the merged session */
    int deletes = 0;
    for (uint32_t i = 0; i < 3; i++)
        deletes += tni_delta_get(delta, i).row.ptr == NULL;
    CHECK_INT(deletes, 2);
    tni_ktable_publish(w.kt, delta, ++w.commit);
    tni_view_advance(&w.view, w.commit);
    CHECK_STR(tn_str_of(scan_text(&w)), "k[0,15]=3/15 ");
    e = session_feed(&w, "k", 9, NULL); /* inside: bounds stay */
    CHECK(e.has_tombstones && e.old_count == 1 && e.old[0] == e.merged);
    e = session_feed(&w, "x", 100, NULL);
    e = session_feed(&w, "x", 100, NULL); /* exactly [t, t] again: no tombstone */
    CHECK(!e.has_tombstones);
    CHECK_STR(tn_str_of(entries_text(&w, &e.merged, 1)), "x[100,100]=2/100 ");
    world_close(&w);
}

static const struct {
    const char *user;
    int plays;
} first_batch[] = {{"alex", 4}, {"burr", 3}, {"kamesh", 2}, {"edson", 1}, {"sebi", 1}};

/* 60 s gap, the batch at −38, 0, 30, 75 s: one session; again at 140 s: a new one. */
static void test_session_chart(void)
{
    struct world w;
    struct tn_window window = {
        .kind = TN_WINDOW_SESSION, .size_ms = 60000, .grace_ms = 0, .retention_ms = 60000};
    world_open(&w, window, 1 << 20);
    const int64_t base = 1673267640000, at[] = {-38000, 0, 30000, 75000, 140000};
    for (int b = 0; b < 5; b++) {
        for (size_t u = 0; u < 5; u++)
            for (int p = 0; p < first_batch[u].plays; p++) {
                struct tni_session_effect e =
                    session_feed(&w, first_batch[u].user, base + at[b], NULL);
                struct tn_column value;
                struct tn_err err = TN_ERR_INIT;
                CHECK_OK(tni_ktable_columns(w.kt, &e.merged, 1, NULL, &w.arena, &value, &err),
                         &err);
                int64_t want = (b < 4 ? (int64_t)b * first_batch[u].plays : 0) + p + 1;
                CHECK_INT(tn_column_i64(&value, 0), want);
                int64_t start, end;
                tni_entry_window(w.kt, e.merged, &start, &end);
                CHECK_INT(start, base + (b < 4 ? at[0] : at[4]));
                CHECK_INT(end, base + at[b]);
            }
        commit_round(&w, b & 1);
    }
    world_close(&w);
}

/* 60 s tumbling: the batch once, twice in one window, once in the next. */
static void test_tumbling_chart(void)
{
    struct world w;
    struct tn_window window = {
        .kind = TN_WINDOW_TUMBLE, .size_ms = 60000, .grace_ms = 0, .retention_ms = 60000};
    world_open(&w, window, 1 << 20);
    const int64_t base = 1673267640000, at[] = {1000, 2000, 61000};
    for (int b = 0; b < 3; b++)
        for (size_t u = 0; u < 5; u++)
            for (int p = 0; p < first_batch[u].plays; p++) {
                int64_t time = base + at[b];
                feed(&w, &first_batch[u].user, &time, 1);
            }
    commit_round(&w, true);
    const char *text = scan_text(&w);
    CHECK(strstr(text, "alex[1673267640000,1673267700000]=8/") != NULL);
    CHECK(strstr(text, "burr[1673267640000,1673267700000]=6/") != NULL);
    CHECK(strstr(text, "kamesh[1673267640000,1673267700000]=4/") != NULL);
    CHECK(strstr(text, "edson[1673267640000,1673267700000]=2/") != NULL);
    CHECK(strstr(text, "sebi[1673267700000,1673267760000]=1/") != NULL);
    CHECK(strstr(text, "alex[1673267700000,1673267760000]=4/") != NULL);
    world_close(&w);
}

/* ---- random ---- */

static uint64_t seed;
static uint64_t rnd(uint64_t below)
{
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    return (seed >> 33) % below;
}

#define USERS 12
static const char *const users[USERS] = {"a", "b", "c", "d", "e", "f",
                                         "g", "h", "i", "j", "k", "l"};

struct model_session {
    bool is_live;
    int64_t start, end, count;
};

/* Straightforward sessions of one key. */
static bool model_session(struct model_session *list, int *count, int64_t gap, int64_t grace,
                          int64_t time, int64_t stream_time)
{
    struct model_session merged = {true, time, time, 1};
    bool hit[512] = {false};
    for (int i = 0; i < *count; i++)
        if (list[i].is_live && list[i].end >= time - gap && list[i].start <= time + gap) {
            hit[i] = true;
            merged.start = list[i].start < merged.start ? list[i].start : merged.start;
            merged.end = list[i].end > merged.end ? list[i].end : merged.end;
            merged.count += list[i].count;
        }
    if (merged.end < stream_time - grace - gap)
        return false;
    for (int i = 0; i < *count; i++)
        list[i].is_live &= !hit[i];
    list[(*count)++] = merged;
    return true;
}

static const char *model_text(struct world *w, struct model_session (*lists)[512],
                              const int *counts)
{
    const char *texts[4096];
    size_t total = 0;
    for (int u = 0; u < USERS; u++)
        for (int i = 0; i < counts[u]; i++)
            if (lists[u][i].is_live)
                texts[total++] =
                    tn_arena_printf(&w->arena, "%s[%lld,%lld]=%lld/%lld ", users[u],
                                    (long long)lists[u][i].start, (long long)lists[u][i].end,
                                    (long long)lists[u][i].count, (long long)lists[u][i].end);
    if (total)
        qsort(texts, total, sizeof *texts, cmp_text);
    struct tn_buf buf;
    tn_buf_init(&buf, 1 << 20);
    for (size_t i = 0; i < total; i++)
        tn_buf_add_text(&buf, texts[i]);
    const char *text = tn_arena_strdup(&w->arena, tn_buf_cstr(&buf));
    tn_buf_release(&buf);
    return text;
}

static void test_sessions_random(uint64_t number)
{
    static struct model_session lists[USERS][512], saved[USERS][512];
    int counts[USERS] = {0}, saved_counts[USERS] = {0};
    seed = number * 77 + 5;
    struct world w;
    int64_t gap = 10, grace = (int64_t)rnd(60), base = 100;
    struct tn_window window = {.kind = TN_WINDOW_SESSION,
                               .size_ms = gap,
                               .grace_ms = grace,
                               .retention_ms = 10 * 86400000ll};
    world_open(&w, window, number % 3 == 0 ? 1 : 1 << 20);
    memset(lists, 0, sizeof lists);
    int64_t saved_time = w.stream_time;
    for (int i = 0; i < 900; i++) {
        int u = (int)rnd(USERS);
        int64_t time = base + (int64_t)rnd(60);
        base += (int64_t)rnd(4);
        bool is_late;
        session_feed(&w, users[u], time, &is_late);
        bool want = model_session(lists[u], &counts[u], gap, grace, time, w.stream_time);
        CHECK_INT(!is_late, want);
        if (rnd(10) == 0 && rnd(3) == 0) {
            struct tn_err err = TN_ERR_INIT;
            CHECK_OK(tni_ktable_abort(w.kt, NULL, 0, &err), &err);
            memcpy(lists, saved, sizeof lists);
            memcpy(counts, saved_counts, sizeof counts);
            w.stream_time = saved_time;
        } else if (rnd(10) == 0) {
            if (rnd(8) == 0)
                restart(&w);
            else
                commit_round(&w, rnd(2));
            memcpy(saved, lists, sizeof lists);
            memcpy(saved_counts, counts, sizeof counts);
            saved_time = w.stream_time;
            CHECK_STR(tn_str_of(scan_text(&w)), model_text(&w, lists, counts));
            tni_ktable_trim(w.kt);
        }
        if (tn_checks_failed)
            break;
    }
    world_close(&w);
}

/* EMIT FINAL over random hopping rows: everything that was not late comes out once, closed windows
 * in order, whatever is evicted, restarted or aborted. */
static void test_final_random(uint64_t number)
{
    seed = number * 91 + 3;
    struct world w;
    struct tn_window window = {.kind = TN_WINDOW_HOP,
                               .size_ms = 40,
                               .advance_ms = 10,
                               .grace_ms = (int64_t)rnd(30),
                               .retention_ms = 200,
                               .is_final = true};
    world_open(&w, window, number % 2 ? 1 : 1 << 20);
    static int64_t counts[USERS][400], emitted[USERS][400], kept[USERS][400];
    memset(counts, 0, sizeof counts);
    memset(emitted, 0, sizeof emitted);
    memset(kept, 0, sizeof kept);
    int64_t base = 0, last_start = -1, kept_time = INT64_MIN, kept_closed = INT64_MIN,
            kept_last = -1;
    static int64_t kept_emitted[USERS][400];
    memset(kept_emitted, 0, sizeof kept_emitted);
    for (int i = 0; i < 600; i++) {
        int u = (int)rnd(USERS);
        int64_t time = base + (int64_t)rnd(50);
        base += (int64_t)rnd(6);
        feed(&w, &users[u], &time, 1);
        for (int64_t s = tni_window_first(&window, time); s <= time; s += 10)
            if (s + 40 > w.stream_time - window.grace_ms)
                counts[u][s / 10]++;
        struct tn_err err = TN_ERR_INIT;
        struct tni_entry **entries;
        uint32_t count;
        CHECK_OK(tni_ktable_close_windows(w.kt, w.stream_time, &w.closed, &w.arena, &entries,
                                          &count, &err),
                 &err);
        struct tn_column keys, values;
        tni_ktable_key_columns(w.kt, entries, count, &w.arena, &keys);
        CHECK_OK(tni_ktable_columns(w.kt, entries, count, NULL, &w.arena, &values, &err), &err);
        for (uint32_t k = 0; k < count; k++) {
            int64_t start, end;
            int user = tn_column_str(&keys, k).ptr[0] - 'a';
            tni_entry_window(w.kt, entries[k], &start, &end);
            CHECK(start >= last_start);
            last_start = start;
            CHECK(end + window.grace_ms <= w.stream_time);
            CHECK_INT(emitted[user][start / 10], 0);
            emitted[user][start / 10] = tn_column_i64(&values, k);
            CHECK_INT(emitted[user][start / 10], counts[user][start / 10]);
        }
        if (rnd(30) == 0) {
            CHECK_OK(tni_ktable_abort(w.kt, NULL, 0, &err), &err);
            memcpy(counts, kept, sizeof counts);
            memcpy(emitted, kept_emitted, sizeof emitted);
            w.stream_time = kept_time;
            w.closed = kept_closed;
            last_start = kept_last;
        } else if (rnd(8) == 0) {
            if (rnd(6) == 0)
                restart(&w);
            else
                commit_round(&w, rnd(2));
            tni_ktable_trim(w.kt);
            memcpy(kept, counts, sizeof counts);
            memcpy(kept_emitted, emitted, sizeof emitted);
            kept_time = w.stream_time;
            kept_closed = w.closed;
            kept_last = last_start;
        }
        if (tn_checks_failed)
            break;
    }
    for (int u = 0; u < USERS; u++)
        for (int s = 0; s < 400; s++)
            if (s * 10 + 40 + window.grace_ms <= w.stream_time)
                CHECK_INT(emitted[u][s], counts[u][s]);
    world_close(&w);
}

int main(void)
{
    test_starts();
    test_defaults();
    test_assign();
    test_final();
    test_expire();
    test_session_example();
    test_session_chart();
    test_tumbling_chart();
    for (uint64_t i = 0; i < 40 && !tn_checks_failed; i++)
        test_sessions_random(i);
    for (uint64_t i = 0; i < 40 && !tn_checks_failed; i++)
        test_final_random(i);
    return TN_TEST_END();
}
