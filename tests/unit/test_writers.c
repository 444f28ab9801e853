/* Covers sql/writers.c: canonical text of every type in JSON and CSV, documents with and without
 * rows, quoting, flushing, an oversized client error. */
#include "sql/writers.h"
#include "stream/base/mem.h"
#include "tests/check.h"

#include <math.h>

struct sink {
    struct tn_byte_sink base;
    struct tn_buf bytes;
    int writes;
    int fail_at; /* n-th write is refused; 0 = none */
};

static enum tn_status sink_write(struct tn_byte_sink *base, const char *bytes, size_t len,
                                 struct tn_err *err)
{
    struct sink *sink = (struct sink *)base;
    if (++sink->writes == sink->fail_at)
        return tn_err_set(err, TN_E_CANCELLED, "client has gone");
    tn_buf_add(&sink->bytes, bytes, len);
    return TN_OK;
}

static void sink_init(struct sink *sink)
{
    *sink = (struct sink){.base = {sink_write}};
    tn_buf_init(&sink->bytes, 1 << 24);
}

static struct tn_value scalar(enum tn_kind kind, int64_t i)
{
    return (struct tn_value){.type = tn_type_of(kind), .i = i};
}

static struct tn_column one(struct tn_arena *arena, const struct tn_value *value)
{
    struct tn_colbuilder *builder = tn_colbuilder_new(value->type, arena);
    struct tn_column col;
    tn_colbuilder_add(builder, value);
    tn_colbuilder_finish(builder, &col);
    return col;
}

static void check_cell(struct tn_arena *arena, const struct tn_value *value, const char *json,
                       const char *text)
{
    struct tn_column col = one(arena, value);
    struct tn_buf buf;
    tn_buf_init(&buf, 1 << 16);
    tn_cell_json(&buf, &col, 0);
    CHECK_STR(tn_buf_str(&buf), json);
    tn_buf_reset(&buf);
    tn_cell_text(&buf, &col, 0);
    CHECK_STR(tn_buf_str(&buf), text);
    tn_buf_release(&buf);
}

static void test_cells(void)
{
    struct tn_arena arena;
    tn_arena_init(&arena, 0);
    struct tn_value v = {.type = tn_type_of(TN_K_BOOLEAN), .b = true};
    check_cell(&arena, &v, "true", "true");
    v = scalar(TN_K_INTEGER, -7);
    check_cell(&arena, &v, "-7", "-7");
    v = scalar(TN_K_BIGINT, INT64_MIN);
    check_cell(&arena, &v, "-9223372036854775808", "-9223372036854775808");
    v = (struct tn_value){.type = tn_type_of(TN_K_DOUBLE), .d = 0.1};
    check_cell(&arena, &v, "0.1", "0.1");
    v.d = 12345678.0;
    check_cell(&arena, &v, "1.2345678E7", "1.2345678E7");
    v.d = NAN;
    check_cell(&arena, &v, "\"NaN\"", "NaN");
    v.d = -INFINITY;
    check_cell(&arena, &v, "\"-Infinity\"", "-Infinity");
    v = (struct tn_value){.type = tn_type_decimal(&arena, 10, 2), .dec = -700};
    check_cell(&arena, &v, "-7.00", "-7.00");
    v = (struct tn_value){.type = tn_type_of(TN_K_VARCHAR), .s = TN_STR("a\"b\n")};
    check_cell(&arena, &v, "\"a\\\"b\\n\"", "a\"b\n");
    v = (struct tn_value){.type = tn_type_of(TN_K_BYTES), .s = TN_STR("\x00\xff\x10!")};
    check_cell(&arena, &v, "\"AP8QIQ==\"", "AP8QIQ==");
    v = scalar(TN_K_DATE, 19753);
    check_cell(&arena, &v, "\"2024-01-31\"", "2024-01-31");
    v = scalar(TN_K_TIME, 36000000000);
    check_cell(&arena, &v, "\"10:00:00.000\"", "10:00:00.000");
    v = scalar(TN_K_TIMESTAMP, 1706695200123000);
    check_cell(&arena, &v, "\"2024-01-31 10:00:00.123\"", "2024-01-31 10:00:00.123");
    v.i++;
    check_cell(&arena, &v, "\"2024-01-31 10:00:00.123001\"", "2024-01-31 10:00:00.123001");
    v = scalar(TN_K_TIMESTAMP_TZ, 0);
    check_cell(&arena, &v, "\"1970-01-01 00:00:00.000 UTC\"", "1970-01-01 00:00:00.000 UTC");
    v = (struct tn_value){.type = tn_type_of(TN_K_VARCHAR), .is_null = true};
    check_cell(&arena, &v, "null", "");
    v = (struct tn_value){.type = tn_type_of(TN_K_JSON), .s = TN_STR("{\"a\":1}")};
    check_cell(&arena, &v, "{\"a\":1}", "{\"a\":1}");
    tn_arena_release(&arena);
}

static void test_nested(void)
{
    struct tn_arena arena;
    tn_arena_init(&arena, 0);
    const struct tn_type *ints = tn_type_array(&arena, tn_type_of(TN_K_INTEGER));
    struct tn_value items[2] = {scalar(TN_K_INTEGER, 1),
                                {.type = tn_type_of(TN_K_INTEGER), .is_null = true}};
    struct tn_value list = {.type = ints};
    list.list.count = 2;
    list.list.items = items;
    check_cell(&arena, &list, "[1,null]", "[1,null]");
    const struct tn_type *map =
        tn_type_map(&arena, tn_type_of(TN_K_BIGINT), tn_type_of(TN_K_VARCHAR));
    struct tn_value pair[2] = {scalar(TN_K_BIGINT, 5),
                               {.type = tn_type_of(TN_K_VARCHAR), .s = TN_STR("x")}};
    list = (struct tn_value){.type = map};
    list.list.count = 2;
    list.list.items = pair;
    check_cell(&arena, &list, "{\"5\":\"x\"}", "{\"5\":\"x\"}");
    struct tn_field fields[2] = {{TN_STR("a"), tn_type_of(TN_K_BIGINT)},
                                 {TN_STR("b c"), tn_type_of(TN_K_VARCHAR)}};
    list.type = tn_type_struct(&arena, fields, 2);
    check_cell(&arena, &list, "{\"a\":5,\"b c\":\"x\"}", "{\"a\":5,\"b c\":\"x\"}");
    tn_arena_release(&arena);
}

/* Rows (1, 'x'), (2, NULL), (3, ''), (4, 'a,"b'). */
static struct tn_batch *sample(struct tn_arena *arena, const struct tn_schema *schema)
{
    static const char *const texts[4] = {"x", NULL, "", "a,\"b"};
    struct tn_colbuilder *ints = tn_colbuilder_new(schema->fields[0].type, arena);
    struct tn_colbuilder *strs = tn_colbuilder_new(schema->fields[1].type, arena);
    for (int i = 0; i < 4; i++) {
        struct tn_value v = scalar(TN_K_BIGINT, i + 1);
        tn_colbuilder_add(ints, &v);
        v = (struct tn_value){
            .type = schema->fields[1].type, .is_null = !texts[i], .s = tn_str_of(texts[i])};
        tn_colbuilder_add(strs, &v);
    }
    struct tn_batch *batch = tn_batch_new(schema, 4, arena);
    tn_colbuilder_finish(ints, &batch->columns[0]);
    tn_colbuilder_finish(strs, &batch->columns[1]);
    return batch;
}

static void check_document(enum tn_result_format format, int batches, const char *want)
{
    struct tn_arena arena;
    struct tn_err err = TN_ERR_INIT;
    struct sink sink;
    tn_arena_init(&arena, 0);
    sink_init(&sink);
    struct tn_field fields[2] = {{TN_STR("n"), tn_type_of(TN_K_BIGINT)},
                                 {TN_STR("a\"b"), tn_type_of(TN_K_VARCHAR)}};
    struct tn_schema schema = {2, fields};
    struct tn_writer *writer = tn_writer_new(format, &sink.base);
    struct tn_rows *rows = tn_writer_rows(writer);
    if (batches >= 0)
        CHECK_OK(rows->columns(rows, &schema, &err), &err);
    for (int i = 0; i < batches; i++)
        CHECK_OK(rows->batch(rows, sample(&arena, &schema), &err), &err);
    CHECK_OK(tn_writer_finish(writer, &err), &err);
    CHECK_INT(tn_writer_rows_count(writer), batches > 0 ? 4 * batches : 0);
    CHECK_STR(tn_buf_str(&sink.bytes), want);
    CHECK_INT(sink.writes, sink.bytes.len ? 1 : 0);
    tn_writer_free(writer);
    tn_buf_release(&sink.bytes);
    tn_arena_release(&arena);
}

static void test_documents(void)
{
    check_document(TN_RESULT_NDJSON, 1,
                   "{\"n\":1,\"a\\\"b\":\"x\"}\n{\"n\":2,\"a\\\"b\":null}\n"
                   "{\"n\":3,\"a\\\"b\":\"\"}\n{\"n\":4,\"a\\\"b\":\"a,\\\"b\"}\n");
    check_document(TN_RESULT_NDJSON, 0, "");
    check_document(TN_RESULT_NDJSON, -1, "");
    check_document(TN_RESULT_JSON, 1,
                   "{\"columns\":[{\"name\":\"n\",\"type\":\"bigint\"},"
                   "{\"name\":\"a\\\"b\",\"type\":\"varchar\"}],\"rows\":[\n[1,\"x\"],\n[2,null],\n"
                   "[3,\"\"],\n[4,\"a,\\\"b\"]\n]}\n");
    check_document(TN_RESULT_JSON, 0,
                   "{\"columns\":[{\"name\":\"n\",\"type\":\"bigint\"},"
                   "{\"name\":\"a\\\"b\",\"type\":\"varchar\"}],\"rows\":[]}\n");
    check_document(TN_RESULT_JSON, -1, "{\"columns\":[],\"rows\":[]}\n");
    check_document(TN_RESULT_CSV, 1, "n,\"a\"\"b\"\r\n1,x\r\n2,\r\n3,\"\"\r\n4,\"a,\"\"b\"\r\n");
}

/* A long result is written in pieces; a client that goes away ends it at once. */
static void test_flush(void)
{
    struct tn_arena arena;
    struct tn_err err = TN_ERR_INIT;
    struct sink sink;
    tn_arena_init(&arena, 0);
    struct tn_field fields[2] = {{TN_STR("n"), tn_type_of(TN_K_BIGINT)},
                                 {TN_STR("s"), tn_type_of(TN_K_VARCHAR)}};
    struct tn_schema schema = {2, fields};
    for (int fail_at = 0; fail_at <= 2; fail_at++) {
        sink_init(&sink);
        sink.fail_at = fail_at;
        struct tn_writer *writer = tn_writer_new(TN_RESULT_NDJSON, &sink.base);
        struct tn_rows *rows = tn_writer_rows(writer);
        enum tn_status st = rows->columns(rows, &schema, &err);
        for (int i = 0; i < 2000 && st == TN_OK; i++)
            st = rows->batch(rows, sample(&arena, &schema), &err);
        CHECK_INT(st, fail_at ? TN_E_CANCELLED : TN_OK);
        CHECK(fail_at ? sink.writes == fail_at : sink.writes > 3);
        tn_writer_free(writer);
        tn_buf_release(&sink.bytes);
    }
    tn_arena_release(&arena);
}

int main(void)
{
    test_cells();
    test_nested();
    test_documents();
    test_flush();
    return TN_TEST_END();
}
