/* The cases of conform_state.h: fixed ones for the contract's corners, then random changes against
 * a model (an array indexed by key number), with snapshots held over later changes. */
#include "tests/support/conform_state.h"

#include <stdlib.h>

#include "stream/base/mem.h"
#include "tests/check.h"

static const struct conform_state_factory *factory;

static uint64_t seed_next(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
    return *seed >> 33;
}

static struct tn_str absent(void)
{
    return (struct tn_str){NULL, 0};
}

static struct tn_str get_one(struct tn_state *state, const struct tn_state_snapshot *snapshot,
                             struct tn_str key, struct tn_arena *arena)
{
    struct tn_err err = TN_ERR_INIT;
    struct tn_str value = TN_STR("untouched");
    CHECK_OK(state->type->multi_get(state, snapshot, &key, 1, arena, &value, &err), &err);
    return value;
}

static void apply_puts(struct tn_state *state, const struct tn_state_put *puts, size_t count,
                       bool is_sorted)
{
    struct tn_err err = TN_ERR_INIT;
    struct tn_state_change change = {.puts = puts, .puts_count = count, .is_sorted = is_sorted};
    CHECK_OK(state->type->apply(state, &change, &err), &err);
}

/* "a=1;b=2;" of a range. */
static void check_range(struct tn_state *state, const struct tn_state_snapshot *snapshot,
                        struct tn_str from, struct tn_str to, const char *want)
{
    struct tn_err err = TN_ERR_INIT;
    struct tn_state_iter *iter = NULL;
    struct tn_str key, value;
    char text[512] = "";
    enum tn_status st;
    CHECK_OK(state->type->iter_open(state, snapshot, from, to, &iter, &err), &err);
    while ((st = state->type->iter_next(iter, &key, &value, &err)) == TN_OK) {
        size_t used = strlen(text);
        snprintf(text + used, sizeof text - used, "%.*s=%.*s;", TN_STR_FMT(key), TN_STR_FMT(value));
    }
    CHECK_INT(st, TN_END);
    state->type->iter_close(iter);
    CHECK_STR(tn_str_of(text), want);
}

static void case_basics(void)
{
    struct tn_state *state = factory->open(factory->ctx);
    struct tn_err err = TN_ERR_INIT;
    struct tn_arena arena;
    tn_arena_init(&arena, 0);
    check_range(state, NULL, absent(), absent(), "");
    CHECK(get_one(state, NULL, TN_STR("a"), &arena).ptr == NULL);
    const struct tn_state_put first[] = {{TN_STR("b"), TN_STR("2")},
                                         {TN_STR("a"), TN_STR("1")},
                                         {TN_STR("ab"), TN_STR("")},
                                         {TN_STR("c"), TN_STR("3")}};
    apply_puts(state, first, 4, false);
    check_range(state, NULL, absent(), absent(), "a=1;ab=;b=2;c=3;");
    check_range(state, NULL, TN_STR("ab"), TN_STR("c"), "ab=;b=2;");
    check_range(state, NULL, TN_STR("aa"), absent(), "ab=;b=2;c=3;");
    check_range(state, NULL, absent(), TN_STR("b"), "a=1;ab=;");
    check_range(state, NULL, TN_STR("c"), TN_STR("a"), "");
    struct tn_str value = get_one(state, NULL, TN_STR("ab"), &arena);
    CHECK(value.ptr != NULL && value.len == 0);

    /* unsorted keys, absent ones and a repeat */
    const struct tn_str keys[] = {TN_STR("c"), TN_STR("x"), TN_STR("a"), TN_STR("c")};
    struct tn_str values[4];
    CHECK_OK(state->type->multi_get(state, NULL, keys, 4, &arena, values, &err), &err);
    CHECK_STR(values[0], "3");
    CHECK(values[1].ptr == NULL);
    CHECK_STR(values[2], "1");
    CHECK_STR(values[3], "3");
    CHECK_OK(state->type->multi_get(state, NULL, NULL, 0, &arena, NULL, &err), &err);

    struct tn_state_snapshot *snapshot = NULL;
    CHECK_OK(state->type->snapshot(state, &snapshot, &err), &err);
    const struct tn_state_put second[] = {{TN_STR("a"), TN_STR("9")}, {TN_STR("b"), {NULL, 0}}};
    apply_puts(state, second, 2, true);
    check_range(state, NULL, absent(), absent(), "a=9;ab=;c=3;");
    check_range(state, snapshot, absent(), absent(), "a=1;ab=;b=2;c=3;");
    CHECK_STR(get_one(state, snapshot, TN_STR("b"), &arena), "2");
    state->type->snapshot_free(state, snapshot);
    state->type->snapshot_free(state, NULL);

    /* ranges go before puts of the same change */
    struct tn_state_change change = {.puts = (struct tn_state_put[]){{TN_STR("ab"), TN_STR("new")}},
                                     .puts_count = 1};
    struct tn_str bounds[2] = {TN_STR("a"), TN_STR("c")};
    _Static_assert(sizeof *change.ranges == sizeof bounds, "a range is two slices");
    change.ranges = (void *)bounds;
    change.ranges_count = 1;
    CHECK_OK(state->type->apply(state, &change, &err), &err);
    check_range(state, NULL, absent(), absent(), "ab=new;c=3;");
    CHECK_OK(state->type->apply(state, &(struct tn_state_change){0}, &err), &err);
    int64_t bytes = -1, rows = -1;
    CHECK_OK(state->type->size(state, TN_STR("a"), TN_STR("z"), &bytes, &rows), &err);
    CHECK(bytes >= 0 && rows >= 0);
    if (factory->reopen) {
        state = factory->reopen(factory->ctx, state);
        check_range(state, NULL, absent(), absent(), "ab=new;c=3;");
    }
    factory->close(factory->ctx, state);
    tn_arena_release(&arena);
}

/* Binary keys compare as unsigned bytes, shorter first. */
static void case_order(void)
{
    struct tn_state *state = factory->open(factory->ctx);
    struct tn_err err = TN_ERR_INIT;
    static const char raw[][4] = {"\x00", "\x00\x00", "\x7f", "\x80", "\xff", "\xff\xff"};
    static const size_t lens[] = {1, 2, 1, 1, 1, 2};
    for (size_t i = 0; i < 6; i++) {
        size_t at = (i * 5 + 3) % 6;
        struct tn_state_put put = {{raw[at], lens[at]}, {raw[at], lens[at]}};
        apply_puts(state, &put, 1, true);
    }
    struct tn_state_iter *iter = NULL;
    struct tn_str key, value;
    size_t count = 0;
    CHECK_OK(state->type->iter_open(state, NULL, absent(), absent(), &iter, &err), &err);
    for (; state->type->iter_next(iter, &key, &value, &err) == TN_OK; count++)
        CHECK(count < 6 && tn_str_eq(key, (struct tn_str){raw[count], lens[count]}) &&
              tn_str_eq(key, value));
    CHECK_INT(count, 6);
    state->type->iter_close(iter);
    factory->close(factory->ctx, state);
}

/* ---- random changes against a model ---- */

#define MODEL_KEYS 20000u

struct model_state {
    uint32_t values[MODEL_KEYS]; /* 0 = absent */
};

static struct tn_str key_of(char *text, uint32_t number)
{
    return (struct tn_str){text, (size_t)snprintf(text, 16, "key%08u", number)};
}

struct model_change {
    struct tn_state_put *puts;
    char (*texts)[2][16];
    size_t count;
};

static void change_add(struct model_change *change, uint32_t key, uint32_t value)
{
    size_t i = change->count++;
    change->puts[i].key = key_of(change->texts[i][0], key);
    change->puts[i].value = absent();
    if (value) {
        int len = snprintf(change->texts[i][1], 16, "%u", value);
        change->puts[i].value = (struct tn_str){change->texts[i][1], (size_t)len};
    }
}

static void model_apply(struct tn_state *state, struct model_state *model,
                        struct model_change *scratch, uint64_t *seed)
{
    struct tn_err err = TN_ERR_INIT;
    struct tn_state_change change = {.puts = scratch->puts};
    char bounds_text[2][16];
    struct tn_str bounds[2];
    scratch->count = 0;
    if (seed_next(seed) % 4 == 0) {
        uint32_t from = (uint32_t)(seed_next(seed) % MODEL_KEYS);
        uint32_t to = from + (uint32_t)(seed_next(seed) % 500);
        to = to < MODEL_KEYS ? to : MODEL_KEYS - 1;
        bounds[0] = key_of(bounds_text[0], from);
        bounds[1] = key_of(bounds_text[1], to);
        change.ranges = (void *)bounds;
        change.ranges_count = 1;
        for (uint32_t i = from; i < to; i++)
            model->values[i] = 0;
    }
    bool is_large = seed_next(seed) % 3 == 0;
    uint32_t step = is_large ? 1 + (uint32_t)(seed_next(seed) % 3) : 97;
    uint32_t first = (uint32_t)(seed_next(seed) % (is_large ? 100 : MODEL_KEYS));
    for (uint32_t key = first; key < MODEL_KEYS; key += step) {
        if (!is_large && scratch->count == 50)
            break;
        uint32_t value = seed_next(seed) % 5 ? (uint32_t)seed_next(seed) | 1u : 0;
        change_add(scratch, key, value);
        model->values[key] = value;
    }
    change.puts_count = scratch->count;
    change.is_sorted = true;
    CHECK_OK(state->type->apply(state, &change, &err), &err);
}

static bool is_value(struct tn_str value, uint32_t want)
{
    char text[16];
    int len = snprintf(text, sizeof text, "%u", want);
    return want ? tn_str_eq(value, (struct tn_str){text, (size_t)len}) : value.ptr == NULL;
}

static void model_check(struct tn_state *state, const struct tn_state_snapshot *snapshot,
                        const struct model_state *model, uint64_t *seed)
{
    struct tn_err err = TN_ERR_INIT;
    struct tn_state_iter *iter = NULL;
    struct tn_str key, value;
    char text[16];
    uint32_t at = (uint32_t)(seed_next(seed) % MODEL_KEYS), wrong = 0;
    CHECK_OK(state->type->iter_open(state, snapshot, key_of(text, at), absent(), &iter, &err),
             &err);
    while (state->type->iter_next(iter, &key, &value, &err) == TN_OK) {
        while (at < MODEL_KEYS && model->values[at] == 0)
            at++;
        wrong += at >= MODEL_KEYS || !tn_str_eq(key, key_of(text, at)) ||
                 !is_value(value, model->values[at]);
        at++;
    }
    while (at < MODEL_KEYS && model->values[at] == 0)
        at++;
    CHECK(at >= MODEL_KEYS);
    CHECK_INT(wrong, 0);
    state->type->iter_close(iter);

    enum { GETS = 2500 };
    struct tn_arena arena;
    tn_arena_init(&arena, 0);
    struct tn_str *keys = TN_ARENA_ARRAY(&arena, struct tn_str, GETS);
    struct tn_str *values = TN_ARENA_ARRAY(&arena, struct tn_str, GETS);
    uint32_t *numbers = TN_ARENA_ARRAY(&arena, uint32_t, GETS);
    for (size_t i = 0; i < GETS; i++) {
        numbers[i] = (uint32_t)(seed_next(seed) % MODEL_KEYS);
        keys[i] = tn_arena_str(&arena, key_of(text, numbers[i]));
    }
    CHECK_OK(state->type->multi_get(state, snapshot, keys, GETS, &arena, values, &err), &err);
    for (size_t i = 0; i < GETS; i++)
        wrong += !is_value(values[i], model->values[numbers[i]]);
    CHECK_INT(wrong, 0);
    tn_arena_release(&arena);
}

static void case_model(void)
{
    struct tn_state *state = factory->open(factory->ctx);
    struct tn_err err = TN_ERR_INIT;
    uint64_t seed = factory->seed;
    struct model_state *model = tn_alloc(sizeof *model), *old = tn_alloc(sizeof *old);
    struct model_change scratch = {.puts = tn_alloc_array(MODEL_KEYS, sizeof *scratch.puts),
                                   .texts = tn_alloc_array(MODEL_KEYS, sizeof *scratch.texts)};
    struct tn_state_snapshot *snapshot = NULL;
    for (int round = 0; round < 60; round++) {
        model_apply(state, model, &scratch, &seed);
        if (round % 10 == 3) {
            CHECK_OK(state->type->snapshot(state, &snapshot, &err), &err);
            *old = *model;
        } else if (round % 10 == 9) {
            model_check(state, NULL, model, &seed);
            model_check(state, snapshot, old, &seed);
            state->type->snapshot_free(state, snapshot);
            if (factory->reopen)
                state = factory->reopen(factory->ctx, state);
            model_check(state, NULL, model, &seed);
        }
    }
    factory->close(factory->ctx, state);
    tn_free(scratch.puts);
    tn_free(scratch.texts);
    tn_free(model);
    tn_free(old);
}

int conform_state(const struct conform_state_factory *given)
{
    int failed_before = tn_checks_failed;
    factory = given;
    case_basics();
    case_order();
    case_model();
    int failed = tn_checks_failed - failed_before;
    if (failed > 0)
        fprintf(stderr, "state '%s': %d checks failed (seed %llu)\n", factory->name, failed,
                (unsigned long long)factory->seed);
    return failed;
}
