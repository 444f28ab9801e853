/* Covers the aggregate descriptors. By hand: results, NULLs, overflow, ties and limits under both
 * rule sets. For every descriptor with random rows: encode → decode keeps the result, merging parts
 * gives what the whole gives, undoing gives what was before, the state made from a final value
 * finalises to it, and no cut or changed byte of an encoded state does more than be refused. */
#include <math.h>
#include <stdlib.h>

#include "stream/agg.h"
#include "stream/base/mem.h"
#include "tests/check.h"

static struct tn_arena arena;
static uint64_t seed = 42;

static uint64_t rnd(uint64_t below)
{
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    return (seed >> 33) % below;
}

/* ---- values as text ---- */

static void print_value(struct tn_buf *buf, const struct tn_value *v);

static void print_items(struct tn_buf *buf, const struct tn_value *v, char open, char shut)
{
    bool is_map = v->type->kind == TN_K_MAP;
    tn_buf_add_byte(buf, open);
    for (uint32_t i = 0; i < v->list.count; i++) {
        if (i)
            tn_buf_add_text(buf, is_map && i % 2 ? "=" : ", ");
        print_value(buf, &v->list.items[i]);
    }
    tn_buf_add_byte(buf, shut);
}

static void print_value(struct tn_buf *buf, const struct tn_value *v)
{
    if (v->is_null) {
        tn_buf_add_text(buf, "null");
        return;
    }
    switch (v->type->kind) {
    case TN_K_BOOLEAN: tn_buf_add_text(buf, v->b ? "true" : "false"); break;
    case TN_K_DOUBLE: tn_buf_printf(buf, "%.10g", v->d); break;
    case TN_K_DECIMAL: tn_buf_printf(buf, "%lldE-%d", (long long)v->dec, v->type->scale); break;
    case TN_K_VARCHAR:
    case TN_K_BYTES: tn_buf_add_str(buf, v->s); break;
    case TN_K_ARRAY: print_items(buf, v, '[', ']'); break;
    case TN_K_MAP: print_items(buf, v, '{', '}'); break;
    case TN_K_STRUCT: print_items(buf, v, '<', '>'); break;
    default: tn_buf_printf(buf, "%lld", (long long)v->i);
    }
}

static const char *column_text(const struct tn_column *col, uint32_t row)
{
    struct tn_buf buf;
    tn_buf_init(&buf, 1 << 24);
    struct tn_value v = tn_column_value(col, row, &arena);
    print_value(&buf, &v);
    const char *text = tn_arena_strdup(&arena, tn_buf_cstr(&buf));
    tn_buf_release(&buf);
    return text;
}

/* ---- columns from text: "1,null,3" ---- */

static struct tn_value parse_one(const struct tn_type *type, const char *text)
{
    struct tn_value v = {.type = type};
    if (strcmp(text, "null") == 0) {
        v.is_null = true;
        return v;
    }
    switch (type->kind) {
    case TN_K_BOOLEAN: v.b = strcmp(text, "true") == 0; break;
    case TN_K_DOUBLE: v.d = strtod(text, NULL); break;
    case TN_K_DECIMAL: v.dec = strtoll(text, NULL, 10); break;
    case TN_K_VARCHAR: v.s = tn_str_of(text); break;
    case TN_K_ARRAY: { /* "1|2|null" */
        uint32_t count = 0;
        v.list.items = TN_ARENA_ARRAY(&arena, struct tn_value, 16);
        for (char *save, *item = strtok_r(tn_arena_strdup(&arena, text), "|", &save); item;
             item = strtok_r(NULL, "|", &save))
            v.list.items[count++] = parse_one(type->children[0].type, item);
        v.list.count = count;
        break;
    }
    default: v.i = strtoll(text, NULL, 10);
    }
    return v;
}

static struct tn_column column_of(const struct tn_type *type, const char *text)
{
    struct tn_column col;
    struct tn_colbuilder *b = tn_colbuilder_new(type, &arena);
    char *save;
    for (char *item = strtok_r(tn_arena_strdup(&arena, text), ",", &save); item;
         item = strtok_r(NULL, ",", &save)) {
        struct tn_value v = parse_one(type, item);
        tn_colbuilder_add(b, &v);
    }
    tn_colbuilder_finish(b, &col);
    return col;
}

/* ---- calls ---- */

static struct tn_agg_call call_of(const char *name, enum tn_rules rules, uint32_t args_count,
                                  const struct tn_type *const *types)
{
    struct tn_agg_call call = {
        .agg = tn_agg_find(tn_str_of(name), rules), .rules = rules, .args_count = args_count};
    if (!call.agg) {
        fprintf(stderr, "no aggregate %s\n", name);
        exit(1);
    }
    for (uint32_t i = 0; i < args_count; i++)
        call.arg_types[i] = types[i];
    return call;
}

static void *state_new(const struct tn_agg_call *call)
{
    void *state = tn_alloc_raw(call->state_bytes);
    memset(state, 0xAB, call->state_bytes);
    call->agg->init(call, state);
    return state;
}

static void state_free(const struct tn_agg_call *call, void *state)
{
    if (call->agg->release)
        call->agg->release(call, state);
    tn_free(state);
}

/* Rows [from, to) the way callers give them: NULL arguments left out unless the aggregate wants
 * them. */
static void feed(const struct tn_agg_call *call, void *state, const struct tn_column *args,
                 uint32_t from, uint32_t to, bool is_retract)
{
    uint32_t *rows = TN_ARENA_ARRAY(&arena, uint32_t, to);
    void **states = TN_ARENA_ARRAY(&arena, void *, to);
    uint32_t count = 0;
    for (uint32_t i = from; i < to; i++) {
        bool is_null = false;
        for (uint32_t a = 0; a < call->args_count; a++)
            is_null |= tn_column_is_null(&args[a], i);
        if (is_null && !(call->agg->flags & TN_AGG_NULLS))
            continue;
        rows[count] = i;
        states[count++] = state;
    }
    (is_retract ? call->agg->retract : call->agg->update)(call, args, rows, count, states);
}

static const char *final_text(const struct tn_agg_call *call, void *state)
{
    struct tn_column col;
    void *states[1] = {state};
    call->agg->final(call, states, 1, &col, &arena);
    CHECK(tn_type_eq(col.type, call->type));
    return column_text(&col, 0);
}

/* One column, result as text. `params` as text of INTEGER or BOOLEAN, or NULL. */
static const char *run(const char *name, enum tn_rules rules, const struct tn_type *type,
                       const char *values, const char *params)
{
    struct tn_agg_call call = call_of(name, rules, 1, &type);
    struct tn_err err = TN_ERR_INIT;
    if (params) {
        char *save;
        for (char *item = strtok_r(tn_arena_strdup(&arena, params), ",", &save); item;
             item = strtok_r(NULL, ",", &save)) {
            enum tn_kind kind = *item == 't' || *item == 'f' ? TN_K_BOOLEAN
                                : strchr(item, '.')          ? TN_K_DOUBLE
                                                             : TN_K_INTEGER;
            call.params[call.params_count++] = parse_one(tn_type_of(kind), item);
        }
    }
    enum tn_status st = tn_agg_bind(&call, &arena, &err);
    if (st != TN_OK)
        return tn_arena_printf(&arena, "error: %s", err.message);
    struct tn_column col = column_of(type, values);
    void *state = state_new(&call);
    feed(&call, state, &col, 0, col.rows_count, false);
    if (call.agg->error && call.agg->error(&call, state, &err) != TN_OK) {
        state_free(&call, state);
        return tn_arena_printf(&arena, "error: %s", err.message);
    }
    const char *text = final_text(&call, state);
    state_free(&call, state);
    return text;
}

#define S       TN_RULES_STREAM
#define Q       TN_RULES_QUERY
#define T(kind) tn_type_of(TN_K_##kind)
#define EXPECT(name, rules, type, values, params, want)                                            \
    CHECK_STR(tn_str_of(run(name, rules, type, values, params)), want)

static void test_numbers(void)
{
    EXPECT("COUNT", S, T(VARCHAR), "a,null,b", NULL, "2");
    EXPECT("sum", S, T(INTEGER), "2147483647,1", NULL, "-2147483648");
    EXPECT("sum", S, T(BIGINT), "9223372036854775807,1", NULL, "-9223372036854775808");
    EXPECT("sum", S, T(INTEGER), "null", NULL, "0");
    EXPECT("sum", S, T(DOUBLE), "0.5,0.25,null", NULL, "0.75");
    const struct tn_type *dec = tn_type_decimal(&arena, 4, 2);
    EXPECT("sum", S, dec, "1000,250", NULL, "1250E-2");
    EXPECT("sum", S, dec, "9999,1", NULL, "error: sum does not fit DECIMAL(4, 2)");
    EXPECT("sum", S, T(VARCHAR), "a", NULL, "error: 'sum' takes a number, not STRING");
    EXPECT("sum", Q, T(INTEGER), "2147483647,1", NULL, "2147483648");
    EXPECT("sum", Q, T(BIGINT), "9223372036854775807,1", NULL, "error: bigint addition overflow");
    EXPECT("sum", Q, T(BIGINT), "9223372036854775807,1,-1", NULL, "9223372036854775807");
    EXPECT("sum", Q, T(BIGINT), "null", NULL, "null");
    EXPECT("sum", Q, T(DOUBLE), "1e100,1,-1e100", NULL, "1");
    EXPECT("sum", Q, dec, "9999,1", NULL, "10000E-2");
    EXPECT("avg", S, T(INTEGER), "1,2,null", NULL, "1.5");
    EXPECT("avg", S, T(INTEGER), "null", NULL, "0");
    EXPECT("avg", S, T(INTEGER), "2147483647,1", NULL, "-1073741824");
    EXPECT("avg", Q, T(BIGINT), "9223372036854775807,9223372036854775807", NULL, "9.223372037e+18");
    EXPECT("avg", Q, T(BIGINT), "null", NULL, "null");
    EXPECT("avg", Q, dec, "100,101,101", NULL, "101E-2");
    EXPECT("avg", Q, dec, "-100,-101", NULL, "-101E-2");
    EXPECT("min", S, T(VARCHAR), "b,a,c", NULL, "a");
    EXPECT("max", S, T(VARCHAR), "b,a,c,null", NULL, "c");
    EXPECT("max", Q, T(DOUBLE), "1,nan,2", NULL, "2");
    EXPECT("max", Q, T(DOUBLE), "nan,1", NULL, "1");
    EXPECT("max", Q, T(DOUBLE), "nan,nan", NULL, "nan");
    EXPECT("max", S, T(DOUBLE), "1,nan,2", NULL, "nan");
    EXPECT("min", S, T(DATE), "5,-3", NULL, "-3");
    EXPECT("max", S, dec, "-5,7", NULL, "7E-2");
    EXPECT("max", S, T(BOOLEAN), "true", NULL,
           "error: 'max' takes a scalar other than BOOLEAN, not BOOLEAN");
    EXPECT("max", Q, T(BOOLEAN), "false,true", NULL, "true");
    EXPECT("min", S, T(BIGINT), "null,null", NULL, "null");
}

static void test_offsets(void)
{
    EXPECT("latest_by_offset", S, T(VARCHAR), "a,b,null", NULL, "b");
    EXPECT("latest_by_offset", S, T(VARCHAR), "a,b,null", "false", "null");
    EXPECT("latest_by_offset", S, T(VARCHAR), "a,b,null", "true", "b");
    EXPECT("latest_by_offset", S, T(BIGINT), "1,2,null,3,4", "2", "[3, 4]");
    EXPECT("latest_by_offset", S, T(BIGINT), "1,2,null,3,4", "3,false", "[null, 3, 4]");
    EXPECT("earliest_by_offset", S, T(BIGINT), "null,1,2", NULL, "1");
    EXPECT("earliest_by_offset", S, T(BIGINT), "null,1,2", "false", "null");
    EXPECT("earliest_by_offset", S, T(BIGINT), "null,1,2,3", "2", "[1, 2]");
    EXPECT("earliest_by_offset", S, T(BIGINT), "null,1,2,3", "2,false", "[null, 1]");
    EXPECT("latest_by_offset", S, T(BIGINT), "1", "0",
           "error: 'latest_by_offset': n must be 1 to 10000");
    const struct tn_type *array = tn_type_array(&arena, T(BIGINT));
    EXPECT("latest_by_offset", S, array, "1|2,3|null", NULL, "[3, null]");
}

static void test_lists(void)
{
    EXPECT("collect_list", S, T(VARCHAR), "b,null,a,b", NULL, "[b, null, a, b]");
    EXPECT("collect_set", S, T(VARCHAR), "b,null,a,b,null", NULL, "[b, null, a]");
    EXPECT("topk", S, T(BIGINT), "1,5,3,5,null,2", "3", "[5, 5, 3]");
    EXPECT("topkdistinct", S, T(BIGINT), "1,5,3,5,null,2", "3", "[5, 3, 2]");
    EXPECT("topk", S, T(BIGINT), "1", "0", "error: 'topk': the last argument k must be 1 to 10000");
    EXPECT("histogram", S, T(VARCHAR), "a,b,a,null", NULL, "{a=2, b=1}");
    EXPECT("attr", S, T(VARCHAR), "a,a", NULL, "a");
    EXPECT("attr", S, T(VARCHAR), "a,null", NULL, "null");
    EXPECT("array_agg", Q, T(BIGINT), "1,null", NULL, "[1, null]");
    const struct tn_type *array = tn_type_array(&arena, T(INTEGER));
    EXPECT("sum_list", S, array, "1|2,null,3|null", NULL, "6");
    /* ties keep the earlier row; other columns travel along */
    const struct tn_type *types[2] = {T(BIGINT), T(VARCHAR)};
    struct tn_agg_call call = call_of("topk", S, 2, types);
    struct tn_err err = TN_ERR_INIT;
    call.params[call.params_count++] = parse_one(T(INTEGER), "2");
    CHECK_OK(tn_agg_bind(&call, &arena, &err), &err);
    struct tn_column cols[2] = {column_of(types[0], "3,7,7,7"), column_of(types[1], "a,b,null,d")};
    void *state = state_new(&call);
    feed(&call, state, cols, 0, 4, false);
    CHECK_STR(tn_str_of(final_text(&call, state)), "[<7, b>, <7, null>]");
    CHECK_STR(call.type->children[0].type->children[0].name, "sort_col");
    CHECK_STR(call.type->children[0].type->children[1].name, "col0");
    state_free(&call, state);
}

static void test_statistics(void)
{
    EXPECT("stddev_sample", S, T(BIGINT), "2,4,4,4,5,5,7,9", NULL, "2.138089935");
    EXPECT("stddev_samp", S, T(BIGINT), "2,4,4,4,5,5,7,9", NULL, "4.571428571");
    EXPECT("stddev_sample", S, T(BIGINT), "2", NULL, "0");
    EXPECT("stddev", Q, T(BIGINT), "2,4,4,4,5,5,7,9", NULL, "2.138089935");
    EXPECT("stddev_samp", Q, T(BIGINT), "2,4,4,4,5,5,7,9", NULL, "2.138089935");
    EXPECT("stddev_pop", Q, T(BIGINT), "2,4,4,4,5,5,7,9", NULL, "2");
    EXPECT("variance", Q, T(DOUBLE), "1,2", NULL, "0.5");
    EXPECT("var_pop", Q, T(DOUBLE), "1,2", NULL, "0.25");
    EXPECT("variance", Q, T(DOUBLE), "1", NULL, "null");
    EXPECT("var_pop", Q, T(DOUBLE), "1", NULL, "0");
    EXPECT("var_samp", Q, T(DOUBLE), "1000000001,1000000002,1000000003", NULL, "1");
    const struct tn_type *types[2] = {T(DOUBLE), T(DOUBLE)};
    struct tn_agg_call call = call_of("correlation", S, 2, types);
    struct tn_err err = TN_ERR_INIT;
    CHECK_OK(tn_agg_bind(&call, &arena, &err), &err);
    struct tn_column cols[2] = {column_of(types[0], "1,2,3"), column_of(types[1], "2,4,6")};
    void *state = state_new(&call);
    CHECK_STR(tn_str_of(final_text(&call, state)), "nan");
    feed(&call, state, cols, 0, 3, false);
    CHECK_STR(tn_str_of(final_text(&call, state)), "1");
    state_free(&call, state);
}

static void test_query(void)
{
    EXPECT("count_if", Q, T(BOOLEAN), "true,false,null,true", NULL, "2");
    EXPECT("bool_and", Q, T(BOOLEAN), "true,false,null", NULL, "false");
    EXPECT("every", Q, T(BOOLEAN), "true,null", NULL, "true");
    EXPECT("bool_or", Q, T(BOOLEAN), "false,true", NULL, "true");
    EXPECT("bool_or", Q, T(BOOLEAN), "null", NULL, "null");
    EXPECT("arbitrary", Q, T(VARCHAR), "null,x,y", NULL, "x");
    EXPECT("any_value", Q, T(VARCHAR), "null", NULL, "null");
    const struct tn_type *types[2] = {T(VARCHAR), T(BIGINT)};
    struct tn_err err = TN_ERR_INIT;
    for (int i = 0; i < 2; i++) {
        struct tn_agg_call call = call_of(i ? "min_by" : "max_by", Q, 2, types);
        CHECK_OK(tn_agg_bind(&call, &arena, &err), &err);
        struct tn_column cols[2] = {column_of(types[0], "a,null,c,d"),
                                    column_of(types[1], "1,9,null,9")};
        void *state = state_new(&call);
        feed(&call, state, cols, 0, 4, false);
        CHECK_STR(tn_str_of(final_text(&call, state)), i ? "a" : "null");
        state_free(&call, state);
    }
    EXPECT("approx_percentile", Q, T(BIGINT), "4,1,3,2", "0.5", "3");
    EXPECT("approx_percentile", Q, T(DOUBLE), "4,1,3,2", "0.0", "1");
    EXPECT("approx_percentile", Q, T(DOUBLE), "4,1,3,2", "1.0", "4");
    EXPECT("approx_percentile", Q, T(DOUBLE), "1", "2.0",
           "error: 'approx_percentile': percentile must be in [0, 1], not 2");
    EXPECT("approx_distinct", Q, T(VARCHAR), "a,b,a,null", NULL, "2");
    EXPECT("approx_distinct", Q, T(VARCHAR), "a", "0.5",
           "error: 'approx_distinct': standard error must be in [0.0040625, 0.26], not 0.5");
    EXPECT("count_distinct", S, T(DOUBLE), "0.0,-0.0,nan,nan", NULL, "2");
}

/* ---- laws that every aggregate keeps ---- */

static struct tn_column random_column(const struct tn_type *type, uint32_t count)
{
    struct tn_column col;
    struct tn_colbuilder *b = tn_colbuilder_new(type, &arena);
    for (uint32_t i = 0; i < count; i++) {
        char text[64];
        if (rnd(6) == 0)
            snprintf(text, sizeof text, "null");
        else if (type->kind == TN_K_BOOLEAN)
            snprintf(text, sizeof text, rnd(2) ? "true" : "false");
        else if (type->kind == TN_K_VARCHAR)
            snprintf(text, sizeof text, "v%u", (unsigned)rnd(40));
        else if (type->kind == TN_K_ARRAY)
            snprintf(text, sizeof text, "%u|null|%u", (unsigned)rnd(9), (unsigned)rnd(9));
        else
            snprintf(text, sizeof text, "%d", (int)rnd(60) - 20);
        struct tn_value v = parse_one(type, text);
        tn_colbuilder_add(b, &v);
    }
    tn_colbuilder_finish(b, &col);
    return col;
}

static void check_bytes(const struct tn_agg_call *call, void *state)
{
    struct tn_buf buf;
    const char *want = final_text(call, state), *next = NULL;
    tn_buf_init(&buf, 1 << 24);
    call->agg->encode(call, state, &buf);
    size_t len = buf.len;
    tn_buf_add_text(&buf, "behind");
    void *copy = state_new(call);
    CHECK_INT(call->agg->decode(call, copy, buf.ptr, buf.ptr + buf.len, &next), TN_OK);
    CHECK(next == buf.ptr + len);
    CHECK_STR(tn_str_of(final_text(call, copy)), want);
    struct tn_buf again;
    tn_buf_init(&again, 1 << 24);
    call->agg->encode(call, copy, &again);
    CHECK(again.len == len && memcmp(again.ptr, buf.ptr, len) == 0);
    state_free(call, copy);
    for (size_t cut = 0; cut < len; cut += 1 + len / 50) {
        char *bytes = tn_alloc_raw(cut + 1); /* exact size: a read behind it is seen */
        memcpy(bytes, buf.ptr, cut);
        copy = state_new(call);
        CHECK_INT(call->agg->decode(call, copy, bytes, bytes + cut, &next), TN_E_CORRUPT);
        state_free(call, copy);
        tn_free(bytes);
    }
    for (int i = 0; i < 20; i++) {
        char *bytes = tn_alloc_raw(len);
        memcpy(bytes, buf.ptr, len);
        bytes[rnd(len)] = (char)rnd(256);
        copy = state_new(call);
        if (call->agg->decode(call, copy, bytes, bytes + len, &next) == TN_OK)
            final_text(call, copy);
        state_free(call, copy);
        tn_free(bytes);
    }
    tn_buf_release(&buf);
    tn_buf_release(&again);
}

/* Sums of doubles taken in another order agree but for rounding. */
static void check_same(const struct tn_agg_call *call, void *state, const char *want)
{
    const char *got = final_text(call, state);
    if (call->type->kind == TN_K_DOUBLE && fabs(strtod(got, NULL) - strtod(want, NULL)) < 1e-5)
        return;
    CHECK_STR(tn_str_of(got), want);
}

static void check_laws(const struct tn_agg_call *call, uint32_t count)
{
    struct tn_column args[4];
    for (uint32_t a = 0; a < call->args_count; a++)
        args[a] = random_column(call->arg_types[a], count);
    uint32_t cut = (uint32_t)rnd(count + 1);
    void *whole = state_new(call), *left = state_new(call), *right = state_new(call);
    feed(call, whole, args, 0, cut, false);
    const char *before = final_text(call, whole);
    feed(call, whole, args, cut, count, false);
    const char *want = final_text(call, whole);
    check_bytes(call, whole);
    feed(call, left, args, 0, cut, false);
    feed(call, right, args, cut, count, false);
    call->agg->merge(call, left, right);
    check_same(call, left, want);
    if (call->agg->flags & TN_AGG_RETRACT) {
        feed(call, whole, args, cut, count, true);
        check_same(call, whole, before);
    }
    CHECK_INT(!!(call->agg->flags & TN_AGG_RETRACT), call->agg->retract != NULL);
    if (call->agg->flags & TN_AGG_INVERTIBLE) {
        struct tn_column col;
        void *states[1] = {left}, *made = state_new(call);
        call->agg->final(call, states, 1, &col, &arena);
        call->agg->from_final(call, made, &col, 0);
        CHECK_STR(tn_str_of(final_text(call, made)), want);
        feed(call, made, args, 0, count, false); /* and goes on as the original would */
        feed(call, left, args, 0, count, false);
        check_same(call, made, final_text(call, left));
        state_free(call, made);
    }
    state_free(call, whole);
    state_free(call, left);
    state_free(call, right);
}

static void laws_of(const struct tn_agg *agg, enum tn_rules rules)
{
    const struct tn_type *types[] = {T(INTEGER),
                                     T(BIGINT),
                                     T(DOUBLE),
                                     T(BOOLEAN),
                                     T(VARCHAR),
                                     T(TIMESTAMP),
                                     tn_type_decimal(&arena, 18, 2),
                                     tn_type_array(&arena, T(BIGINT))};
    uint32_t bound = 0;
    for (size_t t = 0; t < sizeof types / sizeof *types; t++)
        for (uint32_t args = agg->args_min; args <= agg->args_max; args++)
            for (uint32_t params = agg->params_min; params <= agg->params_max; params++) {
                struct tn_agg_call call = {.agg = agg, .rules = rules, .args_count = args};
                for (uint32_t a = 0; a < args; a++)
                    call.arg_types[a] = types[(t + 3 * a * (a + 1)) % 8];
                call.arg_types[0] = types[t];
                bool is_share = strstr(agg->name, "approx") != NULL;
                for (uint32_t p = 0; p < params; p++)
                    call.params[p] = is_share ? parse_one(T(DOUBLE), "0.25")
                                     : p      ? parse_one(T(BOOLEAN), "false")
                                              : parse_one(T(INTEGER), "3");
                call.params_count = params;
                struct tn_err err = TN_ERR_INIT;
                if (tn_agg_bind(&call, &arena, &err) != TN_OK)
                    continue;
                bound++;
                CHECK_INT(call.state_bytes % 8, 0);
                CHECK_INT(!!(agg->flags & TN_AGG_INVERTIBLE), agg->from_final != NULL);
                CHECK_INT(agg->release != NULL, agg->bytes_extra != NULL);
                for (uint32_t i = 0; i < 6; i++)
                    check_laws(&call, (uint32_t)rnd(i < 3 ? 8 : 300) + 1);
            }
    if (!bound)
        fprintf(stderr, "%s was never bound\n", agg->name);
    CHECK(bound > 0);
}

/* Sketches over many values: within three standard errors, whatever the order of merging. */
static void test_sketches(void)
{
    static const uint32_t sizes[] = {100, 128, 129, 1000, 20000, 200000};
    const struct tn_type *type = T(BIGINT);
    struct tn_err err = TN_ERR_INIT;
    for (size_t n = 0; n < sizeof sizes / sizeof *sizes; n++)
        for (int q = 0; q < 2; q++) {
            struct tn_agg_call call =
                call_of(q ? "approx_distinct" : "count_distinct", q ? Q : S, 1, &type);
            CHECK_OK(tn_agg_bind(&call, &arena, &err), &err);
            void *parts[2] = {state_new(&call), state_new(&call)};
            for (uint32_t from = 0; from < sizes[n]; from += 1000) {
                struct tn_column col;
                uint32_t count = sizes[n] - from < 1000 ? sizes[n] - from : 1000;
                tn_column_init(&col, type, count, false, &arena);
                for (uint32_t i = 0; i < count; i++)
                    ((int64_t *)col.values)[i] = (int64_t)(from + i) * 7919;
                feed(&call, parts[from / 1000 % 2], &col, 0, count, false);
                feed(&call, parts[0], &col, 0, count / 2, false); /* repeats count once */
            }
            call.agg->merge(&call, parts[0], parts[1]);
            check_bytes(&call, parts[0]);
            double got = strtod(final_text(&call, parts[0]), NULL);
            double error = fabs(got - sizes[n]) / sizes[n];
            CHECK(error <= (sizes[n] <= 128 ? 0 : q ? 0.069 : 0.025));
            state_free(&call, parts[0]);
            state_free(&call, parts[1]);
            tn_arena_reset(&arena);
        }
    struct tn_agg_call call = call_of("approx_percentile", Q, 1, &type);
    call.params[call.params_count++] = parse_one(T(DOUBLE), "0.9");
    CHECK_OK(tn_agg_bind(&call, &arena, &err), &err);
    void *state = state_new(&call);
    for (uint32_t b = 0; b < 100; b++) {
        struct tn_column col;
        tn_column_init(&col, type, 1000, false, &arena);
        for (uint32_t i = 0; i < 1000; i++)
            ((int64_t *)col.values)[i] = (int64_t)rnd(1000000);
        feed(&call, state, &col, 0, 1000, false);
    }
    check_bytes(&call, state);
    double got = strtod(final_text(&call, state), NULL);
    CHECK(got > 894000 && got < 906000);
    CHECK(call.agg->bytes_extra(&call, state) < 65536);
    state_free(&call, state);
}

static void test_laws(void)
{
    size_t count;
    const struct tn_agg *const *all = tn_agg_all(&count);
    CHECK(count > 30);
    for (size_t i = 0; i < count; i++) {
        CHECK(all[i]->help && all[i]->init && all[i]->update && all[i]->merge && all[i]->final);
        if (all[i]->flags & TN_AGG_STREAM)
            laws_of(all[i], S);
        if (all[i]->flags & TN_AGG_QUERY)
            laws_of(all[i], Q);
        tn_arena_reset(&arena);
    }
}

static void test_splits(void)
{
    const struct tn_agg *latest = tn_agg_find(TN_STR("Latest_By_Offset"), S);
    CHECK(latest != NULL);
    CHECK(tn_agg_find(TN_STR("latest_by_offset"), Q) == NULL);
    CHECK(tn_agg_find(TN_STR("count_if"), S) == NULL);
    CHECK_INT(tn_agg_columns_count(latest, 1), 1);
    CHECK_INT(tn_agg_columns_count(latest, 3), 1);
    CHECK_INT(tn_agg_columns_count(latest, 4), UINT32_MAX);
    CHECK_INT(tn_agg_columns_count(latest, 0), UINT32_MAX);
    const struct tn_agg *topk = tn_agg_find(TN_STR("topk"), S);
    CHECK_INT(tn_agg_columns_count(topk, 3), 2);
    CHECK_INT(tn_agg_columns_count(topk, 1), UINT32_MAX);
    const struct tn_agg *percentile = tn_agg_find(TN_STR("approx_percentile"), Q);
    CHECK_INT(tn_agg_columns_count(percentile, 2), 1);
    CHECK_INT(tn_agg_columns_count(percentile, 3), 2);
    CHECK_INT(tn_agg_columns_count(tn_agg_find(TN_STR("count"), S), 0), 0);
}

int main(void)
{
    tn_arena_init(&arena, 0);
    test_splits();
    test_numbers();
    test_offsets();
    test_lists();
    test_statistics();
    test_query();
    test_sketches();
    test_laws();
    tn_arena_release(&arena);
    return TN_TEST_END();
}
