/* Covers stream/type.c, batch.c, records.c: spellings and equality of types; columns of every kind
 * built cell by cell, gathered, compared and read back, with NULLs, empty and nested values;
 * batches with hidden columns; the records builder. */
#include <math.h>

#include "stream/batch.h"
#include "stream/records.h"
#include "stream/base/mem.h"
#include "tests/check.h"

static struct tn_arena arena;

static void check_print(const struct tn_type *type, const char *ksql, const char *trino)
{
    struct tn_buf buf;
    tn_buf_init(&buf, 1024);
    tn_type_print_ksql(type, &buf);
    CHECK_STR(tn_buf_str(&buf), ksql);
    tn_buf_reset(&buf);
    tn_type_print_trino(type, &buf);
    CHECK_STR(tn_buf_str(&buf), trino);
    tn_buf_release(&buf);
}

static const struct tn_type *sample_struct(void)
{
    struct tn_field fields[2] = {{TN_STR("A"), tn_type_of(TN_K_INTEGER)},
                                 {TN_STR("b c"), tn_type_of(TN_K_VARCHAR)}};
    return tn_type_struct(&arena, fields, 2);
}

static void test_types(void)
{
    const struct tn_type *row = sample_struct();
    const struct tn_type *map = tn_type_map(&arena, tn_type_of(TN_K_VARCHAR), row);
    check_print(tn_type_of(TN_K_VARCHAR), "STRING", "varchar");
    check_print(tn_type_varchar(&arena, 7), "STRING", "varchar(7)");
    check_print(tn_type_decimal(&arena, 4, 2), "DECIMAL(4, 2)", "decimal(4,2)");
    check_print(tn_type_of(TN_K_BYTES), "BYTES", "varbinary");
    check_print(tn_type_of(TN_K_TIMESTAMP), "TIMESTAMP", "timestamp(3)");
    check_print(tn_type_time(&arena, TN_K_TIMESTAMP_TZ, 6), "TIMESTAMP WITH TIME ZONE",
                "timestamp(6) with time zone");
    check_print(tn_type_array(&arena, tn_type_of(TN_K_INTEGER)), "ARRAY<INTEGER>",
                "array(integer)");
    check_print(map, "MAP<STRING, STRUCT<`A` INTEGER, `b c` STRING>>",
                "map(varchar, row(A integer, \"b c\" varchar))");
    CHECK(tn_type_eq(map, tn_type_copy(&arena, map)) && tn_type_copy(&arena, map) != map);
    CHECK(!tn_type_eq(tn_type_decimal(&arena, 4, 2), tn_type_decimal(&arena, 4, 1)));
    CHECK(!tn_type_eq(tn_type_varchar(&arena, 3), tn_type_of(TN_K_VARCHAR)));
    CHECK(tn_type_time(&arena, TN_K_TIMESTAMP, 3) == tn_type_of(TN_K_TIMESTAMP));
    struct tn_schema schema = {2, row->children};
    CHECK_INT(tn_schema_find(&schema, TN_STR("a")), 0);
    CHECK_INT(tn_schema_find(&schema, TN_STR("B C")), 1);
    CHECK_INT(tn_schema_find(&schema, TN_STR("z")), -1);
}

/* One value of `type` made from a number; multiples of 5 are NULL. */
static struct tn_value make_value(const struct tn_type *type, int n)
{
    struct tn_value value = {.type = type, .is_null = n % 5 == 0};
    if (value.is_null)
        return value;
    switch (type->kind) {
    case TN_K_BOOLEAN: value.b = n % 2; break;
    case TN_K_DOUBLE: value.d = n % 7 ? n * 1.5 : (double)NAN; break;
    case TN_K_DECIMAL:
        value.dec = (tn_int128)n * n * (n % 2 ? -1 : 1) * ((tn_int128)1 << 60);
        break;
    case TN_K_VARCHAR:
    case TN_K_BYTES:
    case TN_K_JSON:
        value.s = n % 3 ? tn_str_of(tn_arena_printf(&arena, "text %d", n)) : TN_STR("");
        break;
    case TN_K_ARRAY:
    case TN_K_MAP:
    case TN_K_STRUCT: {
        uint32_t groups = type->kind == TN_K_STRUCT ? 1 : (uint32_t)n % 4;
        value.list.count = groups * type->children_count;
        value.list.items = TN_ARENA_ARRAY(&arena, struct tn_value, value.list.count);
        for (uint32_t i = 0; i < value.list.count; i++)
            value.list.items[i] =
                make_value(type->children[i % type->children_count].type, n + 1 + (int)i);
        break;
    }
    default: value.i = n * 3 - 40;
    }
    return value;
}

static bool same_value(const struct tn_value *a, const struct tn_value *b)
{
    if (a->is_null || b->is_null)
        return a->is_null && b->is_null;
    return tn_value_cmp(a, b) == 0;
}

static void check_gather(const struct tn_type *type)
{
    enum { N = 203 };
    struct tn_colbuilder *builder = tn_colbuilder_new(type, &arena);
    for (int i = 0; i < N; i++) {
        struct tn_value value = make_value(type, i);
        tn_colbuilder_add(builder, &value);
    }
    struct tn_column col, out;
    tn_colbuilder_finish(builder, &col);
    CHECK_INT(col.rows_count, N);
    uint32_t rows[N + 50];
    for (uint32_t i = 0; i < N + 50; i++)
        rows[i] = i < 60 ? i + 20 : (i * 37 + 11) % N;
    tn_column_gather(&col, rows, N + 50, &out, &arena);
    CHECK_INT(out.rows_count, N + 50);
    for (uint32_t i = 0; i < N + 50; i++) {
        struct tn_value want = make_value(type, (int)rows[i]);
        struct tn_value got = tn_column_value(&out, i, &arena);
        CHECK(same_value(&want, &got));
        CHECK(tn_column_same(&col, rows[i], &out, i));
    }
    tn_column_gather(&col, rows, 0, &out, &arena);
    CHECK_INT(out.rows_count, 0);
}

static void test_columns(void)
{
    for (int k = TN_K_BOOLEAN; k < TN_K_ARRAY; k++)
        check_gather(k == TN_K_DECIMAL ? tn_type_decimal(&arena, 38, 2)
                                       : tn_type_of((enum tn_kind)k));
    const struct tn_type *row = sample_struct();
    const struct tn_type *list = tn_type_array(&arena, row);
    check_gather(row);
    check_gather(list);
    check_gather(tn_type_map(&arena, tn_type_of(TN_K_VARCHAR), list));
}

static void test_init(void)
{
    struct tn_column col;
    tn_column_init(&col, tn_type_of(TN_K_BIGINT), 70, false, &arena);
    CHECK(!col.validity && tn_column_i64(&col, 69) == 0);
    tn_column_set_null(&col, 69, &arena);
    CHECK(tn_column_is_null(&col, 69) && !tn_column_is_null(&col, 68));
    tn_column_init(&col, tn_type_of(TN_K_NULL), 3, false, &arena);
    CHECK(tn_column_is_null(&col, 2));
    tn_column_init(&col, sample_struct(), 3, true, &arena);
    CHECK_INT(col.children[1].rows_count, 3);
    struct tn_column absent = {
        .type = tn_type_of(TN_K_VARCHAR), .rows_count = 3, .is_absent = true};
    tn_column_gather(&absent, (uint32_t[]){0, 2}, 2, &col, &arena);
    CHECK(col.is_absent && col.rows_count == 2);
}

static void test_batch(void)
{
    struct tn_field field = {TN_STR("n"), tn_type_of(TN_K_INTEGER)};
    struct tn_schema schema = {1, &field};
    struct tn_batch *batch = tn_batch_new(&schema, 3, &arena);
    tn_column_init(&batch->columns[0], field.type, 3, false, &arena);
    memcpy(batch->columns[0].values, (int32_t[]){7, 8, 9}, 12);
    batch->rowtime_ms = (int64_t[]){1, 2, 3};
    batch->offsets = (int64_t[]){10, 20, 30};
    batch->ops = (uint8_t[]){TN_OP_INSERT, TN_OP_UPDATE_BEFORE, TN_OP_DELETE};
    batch->keys = (struct tn_str[]){TN_STR("a"), {NULL, 0}, TN_STR("c")};
    batch->null_values = (uint8_t[8]){4};
    batch->partition = 5;
    struct tn_batch *out = tn_batch_gather(batch, (uint32_t[]){2, 1}, 2, &arena);
    CHECK_INT(tn_column_i32(&out->columns[0], 0), 9);
    CHECK(out->rowtime_ms[1] == 2 && out->offsets[0] == 30 && out->ops[0] == TN_OP_DELETE);
    CHECK(tn_bit_get(out->null_values, 0) && !tn_bit_get(out->null_values, 1));
    CHECK_STR(out->keys[0], "c");
    CHECK(!out->keys[1].ptr && out->partition == 5 && !out->records);
}

static void test_cmp(void)
{
    struct tn_value nan = {.type = tn_type_of(TN_K_DOUBLE), .d = (double)NAN};
    struct tn_value one = {.type = tn_type_of(TN_K_DOUBLE), .d = 1};
    CHECK(tn_value_cmp(&nan, &one) > 0 && tn_value_cmp(&one, &nan) < 0);
    CHECK(tn_value_cmp(&nan, &nan) == 0);
    struct tn_value a = {.type = tn_type_of(TN_K_VARCHAR), .s = TN_STR("a")};
    struct tn_value ab = {.type = tn_type_of(TN_K_VARCHAR), .s = TN_STR("a\xc3")};
    CHECK(tn_value_cmp(&a, &ab) < 0 && tn_value_cmp(&ab, &a) > 0);
}

static void test_records(void)
{
    struct tn_records_builder rb;
    tn_records_builder_init(&rb);
    for (int round = 0; round < 2; round++) {
        tn_records_builder_add(&rb, (struct tn_str){NULL, 0}, TN_STR(""), 5);
        for (int i = 0; i < 200; i++)
            tn_records_builder_add(&rb, TN_STR("k"), TN_STR("value"), i);
        tn_records_builder_add(&rb, TN_STR("z"), (struct tn_str){NULL, 0}, -1);
        struct tn_records *records = tn_records_builder_finish(&rb);
        CHECK_INT(records->count, 202);
        CHECK(!records->keys[0].ptr && records->values[0].ptr && records->values[0].len == 0);
        CHECK_STR(records->values[200], "value");
        CHECK(records->timestamps_ms[200] == 199 && !records->values[201].ptr);
        CHECK_INT(records->bytes, 200 * 6 + 1);
        struct tn_records *again = tn_records_ref(records);
        tn_records_unref(records);
        CHECK_STR(again->keys[201], "z");
        tn_records_unref(again);
    }
    struct tn_records *empty = tn_records_builder_finish(&rb);
    CHECK_INT(empty->count, 0);
    tn_records_unref(empty);
    tn_records_unref(NULL);
    tn_records_builder_release(&rb);
}

int main(void)
{
    tn_arena_init(&arena, 0);
    test_types();
    test_columns();
    test_init();
    test_batch();
    test_cmp();
    test_records();
    tn_arena_release(&arena);
    return TN_TEST_END();
}
