/* Covers stream/keycode and stream/rowcode: random values of every kind, NULLs and several columns
 * come back as they were; the order of key bytes is the order of values; damaged bytes are refused.
 */
#include <math.h>
#include <stdlib.h>

#include "stream/base/mem.h"
#include "stream/keycode.h"
#include "stream/rowcode.h"
#include "tests/check.h"

static struct tn_arena arena;
static uint64_t seed = 7;

static uint64_t rnd(uint64_t below)
{
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    return (seed >> 33) % below;
}

static uint64_t rnd64(void)
{
    return rnd(1ull << 31) << 33 ^ rnd(1ull << 31) << 10 ^ rnd(1024);
}

static int64_t random_int(int bits)
{
    static const int64_t corners[] = {0, 1, -1, 127, 128, -128, 255, 256, -256};
    if (rnd(3) == 0)
        return corners[rnd(9)];
    if (rnd(6) == 0)
        return bits == 32 ? (rnd(2) ? INT32_MAX : INT32_MIN) : (rnd(2) ? INT64_MAX : INT64_MIN);
    int64_t value = (int64_t)(rnd64() >> rnd((uint64_t)bits - 1));
    return bits == 32 ? (int32_t)value : value;
}

static double random_double(void)
{
    static const double corners[] = {0.0, -0.0, 1.0, -1.0, 1e300, -1e300, 5e-324, -5e-324, 0.1};
    if (rnd(3) == 0)
        return corners[rnd(9)];
    if (rnd(8) == 0)
        return rnd(2) ? (double)INFINITY : -(double)INFINITY;
    if (rnd(12) == 0)
        return (double)NAN;
    return ((double)random_int(64)) / (double)(1 + rnd(1000));
}

static struct tn_str random_text(void)
{
    static const char letters[] = {0, 0, 1, 'a', 'a', 'b', (char)0xff, (char)0xfe};
    size_t len = rnd(8) ? rnd(6) : rnd(60);
    char *text = tn_arena_alloc(&arena, len + 1);
    for (size_t i = 0; i < len; i++)
        text[i] = letters[rnd(sizeof letters)];
    return (struct tn_str){text, len};
}

static struct tn_value random_value(const struct tn_type *type)
{
    struct tn_value v = {.type = type, .is_null = rnd(6) == 0};
    if (v.is_null)
        return v;
    switch (type->kind) {
    case TN_K_BOOLEAN: v.b = rnd(2); break;
    case TN_K_INTEGER:
    case TN_K_DATE: v.i = random_int(32); break;
    case TN_K_DOUBLE: v.d = random_double(); break;
    case TN_K_DECIMAL:
        v.dec = (tn_int128)random_int(64) * (rnd(2) ? 1 : 1000000007) * (rnd(2) ? 1 : 1000000007);
        break;
    case TN_K_VARCHAR:
    case TN_K_BYTES:
    case TN_K_JSON: v.s = random_text(); break;
    case TN_K_ARRAY:
    case TN_K_MAP:
    case TN_K_STRUCT: {
        uint32_t step = type->children_count;
        v.list.count = type->kind == TN_K_STRUCT ? step : step * (uint32_t)rnd(4);
        v.list.items = TN_ARENA_ARRAY(&arena, struct tn_value, v.list.count);
        for (uint32_t i = 0; i < v.list.count; i++)
            v.list.items[i] = random_value(type->children[i % step].type);
        break;
    }
    default: v.i = random_int(64);
    }
    return v;
}

/* Value order: NULL first; −0.0 before 0.0, as the bytes have it. */
static int value_order(const struct tn_value *a, const struct tn_value *b)
{
    if (a->is_null || b->is_null)
        return b->is_null - a->is_null;
    if (a->type->kind == TN_K_DOUBLE && a->d == b->d)
        return !!signbit(b->d) - !!signbit(a->d);
    if (tn_kind_is_nested(a->type->kind)) {
        uint32_t n = a->list.count < b->list.count ? a->list.count : b->list.count;
        for (uint32_t i = 0; i < n; i++) {
            int c = value_order(&a->list.items[i], &b->list.items[i]);
            if (c)
                return c;
        }
        return (a->list.count > b->list.count) - (a->list.count < b->list.count);
    }
    return tn_value_cmp(a, b);
}

static bool same(const struct tn_value *a, const struct tn_value *b)
{
    return value_order(a, b) == 0;
}

static const struct tn_type *types[20];
static uint32_t types_count;

static void types_init(void)
{
    static const enum tn_kind kinds[] = {TN_K_BOOLEAN,   TN_K_INTEGER,      TN_K_BIGINT,
                                         TN_K_DOUBLE,    TN_K_VARCHAR,      TN_K_BYTES,
                                         TN_K_DATE,      TN_K_TIME,         TN_K_JSON,
                                         TN_K_TIMESTAMP, TN_K_TIMESTAMP_TZ, TN_K_INTERVAL_DAY};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        types[types_count++] = tn_type_of(kinds[i]);
    types[types_count++] = tn_type_decimal(&arena, 38, 3);
    const struct tn_type *text = tn_type_of(TN_K_VARCHAR), *big = tn_type_of(TN_K_BIGINT);
    types[types_count++] = tn_type_array(&arena, text);
    types[types_count++] = tn_type_map(&arena, text, big);
    const struct tn_field fields[] = {{TN_STR("a"), text}, {TN_STR("b"), big}};
    types[types_count++] = tn_type_struct(&arena, fields, 2);
    types[types_count] = tn_type_array(&arena, types[types_count - 1]);
    types_count++;
}

static struct tn_str encode(const struct tn_value *values, uint32_t count)
{
    struct tn_buf buf;
    tn_buf_init(&buf, 1 << 20);
    for (uint32_t i = 0; i < count; i++)
        tni_keycode_add_value(&buf, &values[i]);
    struct tn_str bytes = tn_arena_str(&arena, tn_buf_str(&buf));
    tn_buf_release(&buf);
    return bytes;
}

#define ROWS 40

/* Tables of `columns` random types: order of bytes, and back again. */
static void test_round(uint32_t columns)
{
    const struct tn_type *row_types[3];
    struct tn_value values[ROWS][3];
    struct tn_str keys[ROWS];
    struct tn_column cols[3], back[3];
    struct tn_err err = TN_ERR_INIT;
    for (uint32_t c = 0; c < columns; c++) {
        row_types[c] = types[rnd(types_count)];
        struct tn_colbuilder *b = tn_colbuilder_new(row_types[c], &arena);
        for (uint32_t r = 0; r < ROWS; r++) {
            values[r][c] = r && rnd(3) == 0 ? values[r - 1][c] : random_value(row_types[c]);
            tn_colbuilder_add(b, &values[r][c]);
        }
        tn_colbuilder_finish(b, &cols[c]);
    }
    for (uint32_t r = 0; r < ROWS; r++) {
        struct tn_buf buf;
        keys[r] = encode(values[r], columns);
        tn_buf_init(&buf, 1 << 20);
        tni_keycode_add(&buf, cols, columns, r);
        CHECK(tn_str_eq(tn_buf_str(&buf), keys[r]));
        tn_buf_release(&buf);
    }
    for (uint32_t a = 0; a < ROWS; a++)
        for (uint32_t b = 0; b < ROWS; b++) {
            int want = 0, got = tn_str_cmp(keys[a], keys[b]);
            for (uint32_t c = 0; c < columns && !want; c++)
                want = value_order(&values[a][c], &values[b][c]);
            CHECK_INT((got > 0) - (got < 0), (want > 0) - (want < 0));
        }
    size_t ends[ROWS];
    struct tn_str longer[ROWS];
    for (uint32_t r = 0; r < ROWS; r++) { /* something follows the key */
        char *copy = tn_arena_zalloc(&arena, 1, keys[r].len + 8);
        memcpy(copy, keys[r].ptr, keys[r].len);
        longer[r] = (struct tn_str){copy, keys[r].len + 8};
    }
    CHECK_OK(tni_keycode_columns(row_types, columns, longer, ROWS, &arena, back, ends, &err), &err);
    for (uint32_t r = 0; r < ROWS; r++) {
        CHECK_INT(ends[r], keys[r].len);
        for (uint32_t c = 0; c < columns; c++) {
            struct tn_value v = tn_column_value(&back[c], r, &arena);
            CHECK(same(&v, &values[r][c]));
        }
    }
    for (int i = 0; i < 20; i++) { /* cut and changed bytes */
        struct tn_str one = keys[rnd(ROWS)];
        size_t cut = rnd(one.len);
        char *copy = tn_alloc_raw(cut + 1);
        memcpy(copy, one.ptr, cut);
        struct tn_str bad = {copy, cut};
        CHECK_INT(tni_keycode_columns(row_types, columns, &bad, 1, &arena, back, NULL, &err),
                  TN_E_CORRUPT);
        if (cut)
            copy[rnd(cut)] = (char)rnd(256);
        (void)!tni_keycode_columns(row_types, columns, &bad, 1, &arena, back, NULL, &err);
        tn_free(copy);
    }
}

static void test_rows(uint32_t columns)
{
    const struct tn_type *row_types[3];
    struct tn_value values[ROWS][3];
    struct tn_str rows[ROWS];
    struct tn_column cols[3], back[3];
    struct tn_err err = TN_ERR_INIT;
    for (uint32_t c = 0; c < columns; c++) {
        row_types[c] = types[rnd(types_count)];
        struct tn_colbuilder *b = tn_colbuilder_new(row_types[c], &arena);
        for (uint32_t r = 0; r < ROWS; r++) {
            values[r][c] = random_value(row_types[c]);
            tn_colbuilder_add(b, &values[r][c]);
        }
        tn_colbuilder_finish(b, &cols[c]);
    }
    for (uint32_t r = 0; r < ROWS; r++) {
        struct tn_buf buf;
        tn_buf_init(&buf, 1 << 20);
        tni_rowcode_add(&buf, cols, columns, r);
        rows[r] = tn_arena_str(&arena, tn_buf_str(&buf));
        tn_buf_release(&buf);
    }
    rows[3] = (struct tn_str){NULL, 0};
    bool needed[3] = {rnd(2), rnd(2), true};
    CHECK_OK(tni_rowcode_columns(row_types, columns, rows, ROWS, needed, &arena, back, &err), &err);
    for (uint32_t c = 0; c < columns; c++) {
        CHECK_INT(back[c].is_absent, !needed[c]);
        for (uint32_t r = 0; needed[c] && r < ROWS; r++) {
            struct tn_value v = tn_column_value(&back[c], r, &arena);
            CHECK(r == 3 ? v.is_null : same(&v, &values[r][c]));
        }
    }
    for (int i = 0; i < 20; i++) {
        struct tn_str one = rows[4 + rnd(ROWS - 4)];
        size_t cut = rnd(one.len);
        char *copy = tn_alloc_raw(cut + 1);
        memcpy(copy, one.ptr, cut);
        struct tn_str bad = {copy, cut};
        CHECK_INT(tni_rowcode_columns(row_types, columns, &bad, 1, NULL, &arena, back, &err),
                  TN_E_CORRUPT);
        CHECK_INT(tni_rowcode_columns(row_types, columns, &bad, 1, needed, &arena, back, &err),
                  TN_E_CORRUPT);
        if (cut)
            copy[rnd(cut)] = (char)rnd(256);
        (void)!tni_rowcode_columns(row_types, columns, &bad, 1, NULL, &arena, back, &err);
        tn_free(copy);
    }
}

/* Bytes that are stored: they must never change. */
static void test_frozen(void)
{
    struct tn_value big = {.type = tn_type_of(TN_K_BIGINT), .i = 258};
    struct tn_str bytes = encode(&big, 1);
    CHECK(bytes.len == 9 && memcmp(bytes.ptr, "\1\x80\0\0\0\0\0\1\2", 9) == 0);
    struct tn_value small = {.type = tn_type_of(TN_K_INTEGER), .i = -2};
    bytes = encode(&small, 1);
    CHECK(bytes.len == 5 && memcmp(bytes.ptr, "\1\x7f\xff\xff\xfe", 5) == 0);
    struct tn_value text = {.type = tn_type_of(TN_K_VARCHAR), .s = {"a\0b", 3}};
    bytes = encode(&text, 1);
    CHECK(bytes.len == 7 && memcmp(bytes.ptr,
                                   "\1a\0\xff"
                                   "b\0\0",
                                   7) == 0);
    struct tn_value null = {.type = tn_type_of(TN_K_VARCHAR), .is_null = true};
    bytes = encode(&null, 1);
    CHECK(bytes.len == 1 && bytes.ptr[0] == 0);
    struct tn_value number = {.type = tn_type_of(TN_K_DOUBLE), .d = 1.0};
    bytes = encode(&number, 1);
    CHECK(bytes.len == 9 && memcmp(bytes.ptr, "\1\xbf\xf0\0\0\0\0\0\0", 9) == 0);
}

static void test_bounds(void)
{
    char prefix[] = {'a', (char)0xff, (char)0xff};
    size_t len = 3;
    CHECK(tni_keycode_successor(prefix, &len));
    CHECK(len == 1 && prefix[0] == 'b');
    char all[] = {(char)0xff, (char)0xff};
    len = 2;
    CHECK(!tni_keycode_successor(all, &len));
    const struct tn_type *fixed[] = {tn_type_of(TN_K_BIGINT), tn_type_of(TN_K_BOOLEAN)};
    CHECK_INT(tni_keycode_width(fixed, 2), 11);
    const struct tn_type *varying[] = {tn_type_of(TN_K_BIGINT), tn_type_of(TN_K_VARCHAR)};
    CHECK_INT(tni_keycode_width(varying, 2), 0);
}

int main(void)
{
    tn_arena_init(&arena, 0);
    types_init();
    test_frozen();
    test_bounds();
    for (int i = 0; i < 400; i++) {
        test_round((uint32_t)rnd(3) + 1);
        test_rows((uint32_t)rnd(3) + 1);
    }
    tn_arena_release(&arena);
    return TN_TEST_END();
}
