/* Covers rows that are aggregated before a repartition topic (stream/fold.h, op_fold.c): bytes of
 * its records and damaged ones, which aggregates may be folded, and the same table with and without
 * folding: over NULL keys and values, filters, several rounds, keys by the thousand, two key
 * columns.
 */
#include <stdio.h>

#include "connectors/formats.h"
#include "stream/base/mem.h"
#include "stream/fold.h"
#include "tests/check.h"
#include "tests/support/engine_world.h"

#define PARTITIONS 3

#define settle(w) CHECK(engine_world_settle(w))

/* ---- bytes ---- */

static struct tn_agg_call call_of(const char *name, enum tn_kind kind, struct tn_arena *arena)
{
    struct tn_err err = TN_ERR_INIT;
    struct tn_agg_call call = {.agg = tn_agg_find(tn_str_of(name), TN_RULES_STREAM),
                               .rules = TN_RULES_STREAM};
    CHECK(call.agg != NULL);
    if (kind != TN_K_NULL)
        call.arg_types[call.args_count++] = tn_type_of(kind);
    CHECK_OK(tn_agg_bind(&call, arena, &err), &err);
    return call;
}

static void count_states(int64_t count, struct tn_buf *buf)
{
    tn_buf_reset(buf);
    tn_buf_add_varint(buf, (uint64_t)count * 2); /* zigzag of COUNT */
}

static void test_bytes(void)
{
    struct tn_buf buf, states;
    struct tn_err err = TN_ERR_INIT;
    struct tn_fold_reader reader;
    struct tn_fold_item item;
    int64_t at_ms = 77;
    tn_buf_init(&buf, 1 << 20);
    tn_buf_init(&states, 1 << 10);
    static const int64_t times_ms[] = {5000, 4000, 0, INT64_MAX, -1};
    for (int i = 0; i < 5; i++) {
        count_states(i * 1000, &states);
        item =
            (struct tn_fold_item){i ? TN_STR("key") : TN_STR(""), tn_buf_str(&states), times_ms[i]};
        tn_fold_add(&buf, &item, &at_ms);
    }
    CHECK_OK(tn_fold_open(tn_buf_str(&buf), &reader, &err), &err);
    for (int i = 0; i < 5; i++) {
        count_states(i * 1000, &states);
        CHECK(tn_fold_next(&reader, &item, &err) == TN_OK);
        CHECK_STR(item.key, i ? "key" : "");
        CHECK_INT(item.rowtime_ms, times_ms[i]);
        CHECK(tn_str_eq(item.states, tn_buf_str(&states)));
    }
    CHECK(tn_fold_next(&reader, &item, &err) == TN_END);
    for (size_t len = 0; len < buf.len; len++) { /* cut anywhere: an error or fewer items */
        enum tn_status st = tn_fold_open((struct tn_str){buf.ptr, len}, &reader, &err);
        while (st == TN_OK)
            st = tn_fold_next(&reader, &item, &err);
        CHECK(st == TN_END || st == TN_E_CORRUPT);
    }
    CHECK(tn_fold_open(TN_STR("{\"v\":1}"), &reader, &err) == TN_E_CORRUPT);
    CHECK(strstr(err.message, "another version") != NULL);
    CHECK(tn_fold_open((struct tn_str){0}, &reader, &err) == TN_E_CORRUPT);
    tn_buf_release(&buf);
    tn_buf_release(&states);
}

static void test_merge(void)
{
    struct tn_arena arena;
    struct tn_buf a, b, sum, wanted;
    struct tn_err err = TN_ERR_INIT;
    tn_arena_init(&arena, 0);
    struct tn_agg_call count = call_of("count", TN_K_NULL, &arena);
    struct tn_buf *all[] = {&a, &b, &sum, &wanted};
    for (int i = 0; i < 4; i++)
        tn_buf_init(all[i], 1 << 10);
    count_states(40, &a);
    count_states(2, &b);
    count_states(42, &wanted);
    struct tn_str states[] = {tn_buf_str(&a), tn_buf_str(&b)};
    CHECK_OK(tn_fold_merge(&count, 1, states, 2, &sum, &err), &err);
    CHECK(tn_str_eq(tn_buf_str(&sum), tn_buf_str(&wanted)));
    states[1] = (struct tn_str){a.ptr, 0}; /* nothing to decode, bytes left over */
    CHECK(tn_fold_merge(&count, 1, states, 2, &sum, &err) == TN_E_CORRUPT);
    states[1] = TN_STR("\x02\x02");
    CHECK(tn_fold_merge(&count, 1, states, 2, &sum, &err) == TN_E_CORRUPT);
    for (int i = 0; i < 4; i++)
        tn_buf_release(all[i]);
    tn_arena_release(&arena);
}

static void test_exact(void)
{
    struct tn_arena arena;
    tn_arena_init(&arena, 0);
    static const struct {
        const char *name;
        enum tn_kind kind;
        bool is_exact;
    } rows[] = {{"count", TN_K_NULL, true},
                {"count", TN_K_DOUBLE, true},
                {"sum", TN_K_INTEGER, true},
                {"sum", TN_K_BIGINT, true},
                {"sum", TN_K_DOUBLE, false},
                {"avg", TN_K_BIGINT, true},
                {"avg", TN_K_DOUBLE, false},
                {"min", TN_K_VARCHAR, true},
                {"max", TN_K_DATE, true},
                {"max", TN_K_DOUBLE, false},
                {"latest_by_offset", TN_K_INTEGER, false},
                {"earliest_by_offset", TN_K_INTEGER, false},
                {"collect_list", TN_K_INTEGER, false},
                {"stddev_sample", TN_K_BIGINT, false}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tn_agg_call call = call_of(rows[i].name, rows[i].kind, &arena);
        if (tn_agg_is_exact(&call) != rows[i].is_exact)
            fprintf(stderr, "%s over kind %d\n", rows[i].name, (int)rows[i].kind);
        CHECK(tn_agg_is_exact(&call) == rows[i].is_exact);
    }
    tn_arena_release(&arena);
}

/* ---- the same table ---- */

#define COLUMNS "key INTEGER, g INTEGER, name VARCHAR, v BIGINT"
#define CALLS   "count() sum(v) avg(v) min(name) max(v) count(name)"

static struct tn_plan *plan(const char *name, const char *keys, bool is_folded)
{
    struct plan_kit kit = kit_new(name);
    struct tn_topic_decl *decl =
        kit_decl(&kit, "events", COLUMNS, 1, &tn_format_kafka, &tn_format_json, PARTITIONS);
    int source = kit_source(&kit, decl);
    bool is_pair = strcmp(keys, "g") != 0;
    const struct tn_format *key_format = is_pair ? &tn_format_json : &tn_format_kafka;
    struct tn_expr *exprs[] = {kit_col(&kit, source, "g"), kit_col(&kit, source, "name"),
                               kit_col(&kit, source, "v"), NULL};
    int rows = kit_project(&kit, source, "g INTEGER, name VARCHAR, v BIGINT", exprs);
    char topic[64];
    snprintf(topic, sizeof topic, "app-%s-repartition", name);
    int agg;
    if (is_folded) {
        agg = kit_fold(&kit, rows, topic, keys, CALLS, "store", PARTITIONS);
    } else {
        struct tn_topic_decl *between =
            kit_decl(&kit, topic, "g INTEGER, name VARCHAR, v BIGINT", is_pair ? 2 : 1, key_format,
                     &tn_format_json, PARTITIONS);
        struct tn_expr *again[] = {kit_col(&kit, rows, "g"), kit_col(&kit, rows, "name"),
                                   kit_col(&kit, rows, "v"), NULL};
        kit_repartition(&kit, rows, between, again);
        kit_stage(&kit, PARTITIONS);
        agg = kit_aggregate(&kit, kit_source(&kit, between), keys, CALLS, NULL, "store");
    }
    kit_store(&kit)->id = (uint32_t)(is_folded * 2 + is_pair + 1);
    struct tn_topic_decl *sink =
        kit_decl(&kit, name,
                 is_pair ? "g INTEGER, name VARCHAR, n BIGINT, s BIGINT, a DOUBLE, lo VARCHAR, "
                           "hi BIGINT, names BIGINT"
                         : "g INTEGER, n BIGINT, s BIGINT, a DOUBLE, lo VARCHAR, hi BIGINT, "
                           "names BIGINT",
                 is_pair ? 2 : 1, key_format, &tn_format_json, PARTITIONS);
    sink->is_table = true;
    kit_sink(&kit, agg, sink);
    kit_stage(&kit, PARTITIONS);
    return kit_done(&kit);
}

static void add(struct engine_world *w, const char *name, const char *keys, bool is_folded)
{
    engine_world_topic(w, name, PARTITIONS);
    engine_world_add(w, plan(name, keys, is_folded));
}

static int lines_of(struct engine_world *w, const char *topic)
{
    struct tn_buf buf;
    int lines = 0;
    tn_buf_init(&buf, 64 << 20);
    engine_world_dump(w, topic, false, &buf);
    for (size_t i = 0; i < buf.len; i++)
        lines += buf.ptr[i] == '\n';
    tn_buf_release(&buf);
    return lines;
}

static void put(struct engine_world *w, int i, int groups)
{
    char json[128], group[24], name[24];
    snprintf(group, sizeof group, i % 17 ? "%d" : "null", i % groups);
    snprintf(name, sizeof name, i % 5 ? "\"n%d\"" : "null", i % 11);
    snprintf(json, sizeof json, "{\"g\":%s,\"name\":%s,\"v\":%d}", group, name,
             i * 37 % 1001 - 500);
    engine_world_put(w, "events", i % 97, i % 101 ? json : NULL, 1000 + i * 7919 % 5000);
}

/* Rows of the table in key order, with their rowtimes, as text. */
static void table_text(struct engine_world *w, const char *query_id, struct tn_buf *buf)
{
    struct tn_pin *pin = NULL;
    struct tn_table_scan *scan = NULL;
    struct tn_batch *batch = NULL;
    CHECK_OK(tn_engine_pin(w->engine, &pin, &w->err), &w->err);
    enum tn_status st = tn_table_scan_open(w->engine, pin, query_id, NULL, NULL, &scan, &w->err);
    while (st == TN_OK && (st = tn_table_scan_next(scan, &batch, &w->err)) == TN_OK)
        for (uint32_t i = 0; i < batch->rows_count; i++) {
            tn_buf_printf(buf, "%lld", (long long)batch->rowtime_ms[i]);
            for (uint32_t c = 0; c < batch->schema->fields_count; c++) {
                const struct tn_column *col = &batch->columns[c];
                if (tn_column_is_null(col, i))
                    tn_buf_add_text(buf, " -");
                else if (col->type->kind == TN_K_VARCHAR)
                    tn_buf_printf(buf, " %.*s", TN_STR_FMT(tn_column_str(col, i)));
                else if (col->type->kind == TN_K_DOUBLE)
                    tn_buf_printf(buf, " %.17g", tn_column_f64(col, i));
                else if (col->type->kind == TN_K_INTEGER)
                    tn_buf_printf(buf, " %d", tn_column_i32(col, i));
                else
                    tn_buf_printf(buf, " %lld", (long long)tn_column_i64(col, i));
            }
            tn_buf_add_byte(buf, '\n');
        }
    CHECK(st == TN_END);
    tn_table_scan_close(scan);
    tn_pin_free(pin);
}

static void check_same(struct engine_world *w, const char *a, const char *b)
{
    struct tn_buf plain, folded;
    tn_buf_init(&plain, 64 << 20);
    tn_buf_init(&folded, 64 << 20);
    table_text(w, a, &plain);
    table_text(w, b, &folded);
    CHECK(plain.len > 0);
    CHECK_STR(tn_buf_str(&folded), tn_buf_cstr(&plain));
    tn_buf_release(&plain);
    tn_buf_release(&folded);
}

/* Same rows, rowtimes too; the folded topic holds a record per task, round and partition. */
static void test_same(const char *keys, int groups, int events, int rounds)
{
    struct engine_world w;
    struct tn_query_info plain, folded;
    engine_world_init(&w);
    engine_world_topic(&w, "events", PARTITIONS);
    add(&w, "plain", keys, false);
    add(&w, "folded", keys, true);
    for (int round = 0; round < rounds; round++) {
        for (int i = 0; i < events; i++)
            put(&w, round * events + i, groups);
        settle(&w);
        check_same(&w, "plain", "folded");
    }
    CHECK(engine_world_info(&w, "plain", &plain) && engine_world_info(&w, "folded", &folded));
    CHECK_INT(folded.rows_null_key, plain.rows_null_key);
    CHECK_INT(folded.rows_null_value, plain.rows_null_value);
    int each = lines_of(&w, "app-plain-repartition"), few = lines_of(&w, "app-folded-repartition");
    CHECK(each > rounds * events / 2);
    CHECK(few < each / 4);
    engine_world_release(&w);
}

/* Late and paused queries, and a restart in between. */
static void test_lives(void)
{
    struct engine_world w;
    engine_world_init(&w);
    engine_world_topic(&w, "events", PARTITIONS);
    add(&w, "folded", "g", true);
    for (int i = 0; i < 500; i++)
        put(&w, i, 20);
    settle(&w);
    CHECK_OK(tn_engine_pause(w.engine, "folded", true, &w.err), &w.err);
    for (int i = 500; i < 900; i++)
        put(&w, i, 20);
    settle(&w);
    add(&w, "plain", "g", false); /* late: reads everything */
    CHECK_OK(tn_engine_pause(w.engine, "folded", false, &w.err), &w.err);
    settle(&w);
    check_same(&w, "plain", "folded");
    tn_engine_close(w.engine);
    engine_world_open(&w);
    engine_world_add(&w, plan("plain", "g", false));
    engine_world_add(&w, plan("folded", "g", true));
    for (int i = 900; i < 1300; i++)
        put(&w, i, 20);
    settle(&w);
    check_same(&w, "plain", "folded");
    engine_world_release(&w);
}

/* While held nothing is read. */
static void test_hold(void)
{
    struct engine_world w;
    struct tn_query_info info;
    engine_world_init(&w);
    engine_world_topic(&w, "events", PARTITIONS);
    for (int i = 0; i < 100; i++)
        put(&w, i, 20);
    tn_engine_hold(w.engine, true);
    add(&w, "folded", "g", true);
    settle(&w);
    CHECK(engine_world_info(&w, "folded", &info) && info.rows_in == 0);
    tn_engine_hold(w.engine, false);
    settle(&w);
    CHECK(engine_world_info(&w, "folded", &info) && info.rows_in > 0);
    engine_world_release(&w);
}

int main(void)
{
    test_bytes();
    test_merge();
    test_exact();
    test_same("g", 20, 1000, 3);
    test_same("g", 6000, 20000, 1); /* written before the round ends, too */
    test_same("g name", 7, 1000, 2);
    test_lives();
    test_hold();
    return TN_TEST_END();
}
