/* Covers dictionaries of text columns (stream/dict.h) and rows selected by number: codes give back
 * every text; comparisons and groups are the same with and without, over NULL, empty and long
 * texts, bytes that are no UTF-8, 256 values and more; several queries that share blocks count as a
 * loop over the events does.
 */
#include <stdio.h>

#include "connectors/formats.h"
#include "stream/dict.h"
#include "stream/func.h"
#include "stream/hashagg.h"
#include "tests/check.h"
#include "tests/support/engine_world.h"

static uint64_t seed = 5;

static uint32_t rnd(uint32_t below)
{
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)(seed >> 33) % below;
}

/* Value n of a column: empty, short, of eight and nine bytes, long, not UTF-8, with a zero byte. */
static struct tn_str text_of(uint32_t n, struct tn_arena *arena)
{
    static const char *const begins[] = {"v", "value00", "value000", "a text longer than ",
                                         "\xff\xfe"};
    if (n == 0)
        return TN_STR("");
    if (n == 1)
        return TN_STR("zero\0inside");
    return tn_str_of(tn_arena_printf(arena, "%s%u", begins[n % 5], n));
}

static struct tn_column column_of(uint32_t rows, uint32_t values, bool has_nulls,
                                  struct tn_arena *arena)
{
    struct tn_column col;
    const struct tn_type *type = tn_type_of(TN_K_VARCHAR);
    struct tn_colbuilder *builder = tn_colbuilder_new(type, arena);
    for (uint32_t i = 0; i < rows; i++) {
        uint32_t n = i < values ? i : rnd(values); /* each at least once */
        struct tn_value value = {.type = type, .s = text_of(n, arena)};
        value.is_null = has_nulls && rnd(7) == 0;
        tn_colbuilder_add(builder, &value);
    }
    tn_colbuilder_finish(builder, &col);
    return col;
}

/* The column as its second reader sees it. */
static struct tn_column offered(const struct tn_column *plain, struct tn_arena *arena)
{
    struct tn_column col = *plain;
    tn_dict_offer(&col, 1, arena);
    CHECK(tn_column_dict(&col) == NULL);
    return col;
}

static void test_codes(uint32_t rows, uint32_t values, bool has_dict)
{
    struct tn_arena arena;
    tn_arena_init(&arena, 0);
    struct tn_column plain = column_of(rows, values, values % 2 == 0, &arena);
    struct tn_column col = offered(&plain, &arena), cut = col, gathered;
    const struct tn_dict *dict = tn_column_dict(&col);
    CHECK((dict != NULL) == has_dict);
    CHECK(tn_column_dict(&plain) == NULL);
    for (uint32_t i = 0; dict && i < rows; i++)
        CHECK(tn_str_eq(dict->values[dict->codes[i]], tn_column_str(&col, i)));
    for (uint32_t a = 0; dict && a < dict->values_count; a++)
        for (uint32_t b = 0; b < a; b++)
            CHECK(!tn_str_eq(dict->values[a], dict->values[b]));
    cut.offsets++;
    cut.rows_count--;
    CHECK(tn_column_dict(&cut) == NULL);
    uint32_t row = 3;
    tn_column_gather(&col, &row, 1, &gathered, &arena);
    CHECK(gathered.dict == NULL);
    tn_arena_release(&arena);
}

/* ---- comparing ---- */

/* s OP 'text', or 'text' OP s */
static struct tn_program *comparison(const char *op, const char *text, bool is_text_first,
                                     enum tn_rules rules, struct tn_arena *arena)
{
    const struct tn_type *type = tn_type_of(TN_K_VARCHAR), *given[2] = {type, type}, *wanted[2];
    struct tn_err err = TN_ERR_INIT;
    struct tn_program *program = NULL;
    struct tn_expr *nodes = TN_ARENA_ARRAY(arena, struct tn_expr, 3);
    struct tn_expr **args = TN_ARENA_ARRAY(arena, struct tn_expr *, 2);
    nodes[0] = (struct tn_expr){.kind = TN_E_COLUMN, .type = type};
    nodes[1] = (struct tn_expr){.kind = TN_E_CONST, .type = type};
    nodes[1].value = (struct tn_value){.type = type, .s = tn_str_of(text)};
    nodes[2] = (struct tn_expr){.kind = TN_E_CALL, .rules = rules, .args_count = 2, .args = args};
    args[is_text_first] = &nodes[0];
    args[!is_text_first] = &nodes[1];
    CHECK_OK(tn_func_resolve(tn_str_of(op), rules, given, 2, arena, &nodes[2].func, wanted,
                             &nodes[2].type, &err),
             &err);
    CHECK_OK(tn_expr_compile(&nodes[2], arena, &program, &err), &err);
    return program;
}

static void check_compare(const struct tn_program *program, const struct tn_column *plain,
                          struct tn_arena *arena)
{
    struct tn_field field = {TN_STR("s"), plain->type};
    struct tn_schema schema = {1, &field};
    struct tn_result wanted, got;
    struct tn_column column = *plain;
    struct tn_batch batch = {
        .schema = &schema, .rows_count = plain->rows_count, .columns = &column};
    tn_program_run(program, &batch, arena, &wanted);
    column = offered(plain, arena);
    CHECK(tn_column_dict(&column) != NULL);
    tn_program_run(program, &batch, arena, &got);
    uint32_t *rows = tn_arena_alloc(arena, plain->rows_count * sizeof *rows);
    uint32_t *same = tn_arena_alloc(arena, plain->rows_count * sizeof *same);
    uint32_t count = tn_result_select(&wanted, rows);
    CHECK_INT(tn_result_select(&got, same), count);
    CHECK(memcmp(rows, same, count * sizeof *rows) == 0);
    for (uint32_t i = 0; i < plain->rows_count; i++)
        CHECK(tn_column_is_null(&got.col, i) == tn_column_is_null(&wanted.col, i));
}

static void test_compare(enum tn_rules rules)
{
    static const char *const operators[] = {"=", "<>", "<", "<=", ">", ">="};
    static const char *const texts[] = {
        "", "v5", "value006", "value0007", "no value", "z", "a text longer than 8"};
    for (size_t o = 0; o < sizeof operators / sizeof *operators; o++)
        for (size_t t = 0; t < sizeof texts / sizeof *texts; t++) {
            struct tn_arena arena;
            tn_arena_init(&arena, 0);
            struct tn_column col = column_of(1000 + rnd(100), 40, t % 2, &arena);
            for (int first = 0; first < 2; first++)
                check_compare(comparison(operators[o], texts[t], first, rules, &arena), &col,
                              &arena);
            tn_arena_release(&arena);
        }
}

/* ---- grouping ---- */

static void test_groups(uint32_t values, bool has_nulls)
{
    const struct tn_type *type = tn_type_of(TN_K_VARCHAR);
    struct tn_hashagg *plain = tn_hashagg_new(1, &type, 0, NULL, 0);
    struct tn_hashagg *coded = tn_hashagg_new(1, &type, 0, NULL, 0);
    struct tn_err err = TN_ERR_INIT;
    for (uint32_t batch = 0; batch < 5; batch++) {
        struct tn_arena arena;
        tn_arena_init(&arena, 0);
        uint32_t rows_count = 300 + rnd(3000), some[3300], count = 0, wanted[3300], got[3300];
        for (uint32_t i = 0; i < rows_count; i++)
            if (rnd(3))
                some[count++] = i;
        const uint32_t *rows = batch % 2 ? some : NULL;
        count = rows ? count : rows_count;
        struct tn_column col = column_of(rows_count, values + batch, has_nulls, &arena);
        CHECK_OK(tn_hashagg_groups(plain, &col, rows, count, wanted, &err), &err);
        col = offered(&col, &arena);
        CHECK_OK(tn_hashagg_groups(coded, &col, rows, count, got, &err), &err);
        CHECK(memcmp(wanted, got, count * sizeof *got) == 0);
        CHECK_INT(tn_hashagg_count(coded), tn_hashagg_count(plain));
        tn_arena_release(&arena);
    }
    tn_hashagg_free(plain);
    tn_hashagg_free(coded);
}

/* ---- queries that share blocks ---- */

#define PARTITIONS 3
#define QUERIES    8
#define GROUPS     300
#define EVENTS     6000

static struct tn_str group_name(int group, char *room, size_t size)
{
    int len = group % 50 == 7 ? snprintf(room, size, "a group with a longer name %d", group)
              : group         ? snprintf(room, size, "g%d", group)
                              : 0;
    return (struct tn_str){room, (size_t)len};
}

struct event {
    int group, name; /* −1: NULL */
    int v;
};

/* Query `number` counts by g, its first 20 values or all, over rows with another name. */
static struct tn_plan *plan(int number)
{
    char id[24], topic[64];
    snprintf(id, sizeof id, "q%d", number);
    snprintf(topic, sizeof topic, "app-%s-repartition", id);
    struct plan_kit kit = kit_new(id);
    struct tn_topic_decl *decl =
        kit_decl(&kit, "events", "key INTEGER, g VARCHAR, name VARCHAR, v BIGINT", 1,
                 &tn_format_kafka, &tn_format_json, PARTITIONS);
    int source = kit_source(&kit, decl);
    struct tn_expr *name = TN_ARENA_NEW(kit.arena, struct tn_expr);
    char *text = tn_arena_printf(kit.arena, "n%d", number);
    *name = (struct tn_expr){.kind = TN_E_CONST, .type = tn_type_of(TN_K_VARCHAR)};
    name->value = (struct tn_value){.type = name->type, .s = tn_str_of(text)};
    int at = kit_filter(&kit, source, kit_call(&kit, "<>", kit_col(&kit, source, "name"), name));
    struct tn_expr *exprs[] = {kit_col(&kit, at, "g"), kit_col(&kit, at, "v"), NULL};
    if (number % 2)
        at = kit_project(&kit, at, "g VARCHAR, v BIGINT", exprs);
    int agg;
    if (number % 4 < 2)
        agg = kit_aggregate(&kit, at, "g", "count() sum(v)", NULL, "store");
    else if (number % 2)
        agg = kit_fold(&kit, at, topic, "g", "count() sum(v)", "store", PARTITIONS);
    else
        agg = kit_fold(&kit, kit_project(&kit, at, "g VARCHAR, v BIGINT", exprs), topic, "g",
                       "count() sum(v)", "store", PARTITIONS);
    kit_store(&kit)->id = (uint32_t)number + 1;
    struct tn_topic_decl *sink = kit_decl(&kit, id, "g VARCHAR, n BIGINT, s BIGINT", 1,
                                          &tn_format_kafka, &tn_format_json, PARTITIONS);
    sink->is_table = true;
    kit_sink(&kit, agg, sink);
    kit_stage(&kit, PARTITIONS);
    return kit_done(&kit);
}

static void put(struct engine_world *w, int i, const struct event *event)
{
    char json[160], group[64] = "null", name[24] = "null", room[48];
    if (event->group >= 0)
        snprintf(group, sizeof group, "\"%.*s\"",
                 TN_STR_FMT(group_name(event->group, room, sizeof room)));
    if (event->name >= 0)
        snprintf(name, sizeof name, "\"n%d\"", event->name);
    snprintf(json, sizeof json, "{\"g\":%s,\"name\":%s,\"v\":%d}", group, name, event->v);
    engine_world_put(w, "events", i % 97, json, 1000 + i);
}

static int group_at(struct tn_str text, int groups)
{
    char room[48];
    for (int g = 0; g < groups; g++)
        if (tn_str_eq(group_name(g, room, sizeof room), text))
            return g;
    return -1;
}

/* The table against a loop over the events. */
static void check_table(struct engine_world *w, int number, const struct event *events, int count,
                        int groups)
{
    int64_t n[GROUPS] = {0}, sum[GROUPS] = {0};
    char id[24];
    struct tn_pin *pin = NULL;
    struct tn_table_scan *scan = NULL;
    struct tn_batch *batch = NULL;
    for (int i = 0; i < count; i++)
        if (events[i].group >= 0 && events[i].name >= 0 && events[i].name != number) {
            n[events[i].group]++;
            sum[events[i].group] += events[i].v;
        }
    snprintf(id, sizeof id, "q%d", number);
    CHECK_OK(tn_engine_pin(w->engine, &pin, &w->err), &w->err);
    enum tn_status st = tn_table_scan_open(w->engine, pin, id, NULL, NULL, &scan, &w->err);
    while (st == TN_OK && (st = tn_table_scan_next(scan, &batch, &w->err)) == TN_OK)
        for (uint32_t i = 0; i < batch->rows_count; i++) {
            int group = group_at(tn_column_str(&batch->columns[0], i), groups);
            CHECK(group >= 0);
            n[group] -= tn_column_i64(&batch->columns[1], i);
            sum[group] -= tn_column_i64(&batch->columns[2], i);
        }
    CHECK(st == TN_END);
    for (int g = 0; g < groups; g++)
        CHECK(n[g] == 0 && sum[g] == 0);
    tn_table_scan_close(scan);
    tn_pin_free(pin);
}

static void test_queries(int groups)
{
    static struct event events[EVENTS];
    struct engine_world w;
    engine_world_init(&w);
    engine_world_topic(&w, "events", PARTITIONS);
    tn_engine_hold(w.engine, true);
    for (int q = 0; q < QUERIES; q++) {
        char name[24];
        snprintf(name, sizeof name, "q%d", q);
        engine_world_topic(&w, name, PARTITIONS);
        engine_world_add(&w, plan(q));
    }
    tn_engine_hold(w.engine, false);
    for (int i = 0; i < EVENTS; i++) {
        events[i] = (struct event){.group = (int)rnd((uint32_t)groups + 5) - 5,
                                   .name = (int)rnd(QUERIES + 2) - 1,
                                   .v = (int)rnd(1000)};
        put(&w, i, &events[i]);
        if (i + 1 != EVENTS / 2 && i + 1 != EVENTS)
            continue;
        CHECK(engine_world_settle(&w));
        for (int q = 0; q < QUERIES; q++)
            check_table(&w, q, events, i + 1, groups);
    }
    engine_world_release(&w);
}

int main(void)
{
    test_codes(1000, 40, true);
    test_codes(1000, 1, true);
    test_codes(256, 255, true);
    test_codes(4096, 256, true);
    test_codes(4096, 257, false);
    test_codes(255, 10, false);
    test_compare(TN_RULES_STREAM);
    test_compare(TN_RULES_QUERY);
    test_groups(30, false);
    test_groups(30, true);
    test_groups(253, true); /* the later batches have too many values */
    test_queries(20);
    test_queries(GROUPS);
    return TN_TEST_END();
}
