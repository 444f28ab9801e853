/* Covers connectors' formats: what JSON, DELIMITED, KAFKA, RAW and NONE read and write, strictness
 * of the JSON scanner, name matching, projection, bad rows with reason and position, canonical
 * output. */
#include <math.h>

#include "connectors/formats.h"
#include "connectors/json_scan.h"
#include "stream/base/decimal.h"
#include "stream/base/dtoa.h"
#include "tests/check.h"

static struct tn_arena arena;

static struct tn_schema *schema_of(int count, ...)
{
    struct tn_field *fields = TN_ARENA_ARRAY(&arena, struct tn_field, (size_t)count);
    struct tn_schema *schema = TN_ARENA_NEW(&arena, struct tn_schema);
    va_list ap;
    va_start(ap, count);
    for (int i = 0; i < count; i++) {
        fields[i].name = tn_str_of(va_arg(ap, const char *));
        fields[i].type = va_arg(ap, const struct tn_type *);
    }
    va_end(ap);
    *schema = (struct tn_schema){(uint32_t)count, fields};
    return schema;
}

static struct tn_codec *open_codec(const struct tn_format *format, struct tn_codec_spec spec)
{
    struct tn_codec *codec = NULL;
    struct tn_err err = TN_ERR_INIT;
    CHECK_OK(format->open(format, &spec, &codec, &err), &err);
    return codec;
}

/* Decode one text and encode it again: "bad: reason @position field", "null", or the text. */
static struct tn_str round_trip(const struct tn_format *format, struct tn_codec_spec spec,
                                const char *text)
{
    struct tn_codec *codec = open_codec(format, spec);
    struct tn_str input = tn_str_of(text);
    struct tn_decoded out;
    struct tn_buf buf;
    size_t end;
    tn_buf_init(&buf, 1 << 20);
    codec->format->decode(codec, &input, 1, &arena, &out);
    if (out.bad_count)
        tn_buf_printf(&buf, "bad: %s @%d %.*s", out.bad[0].reason, out.bad[0].position,
                      TN_STR_FMT(out.bad[0].field));
    else if (out.null_rows)
        tn_buf_add_text(&buf, "null");
    else
        codec->format->encode(codec, out.columns, 1, NULL, &buf, &end);
    struct tn_str result = tn_arena_str(&arena, tn_buf_str(&buf));
    tn_buf_release(&buf);
    codec->format->close(codec);
    return result;
}

#define T(kind) tn_type_of(TN_K_##kind)

static void test_json_values(void)
{
    struct tn_codec_spec spec = {.schema =
                                     schema_of(7, "b", T(BOOLEAN), "i", T(INTEGER), "l", T(BIGINT),
                                               "d", T(DOUBLE), "m", tn_type_decimal(&arena, 4, 2),
                                               "s", T(VARCHAR), "t", T(TIMESTAMP))};
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"{}", "{\"b\":null,\"i\":null,\"l\":null,\"d\":null,\"m\":null,\"s\":null,\"t\":null}"},
        {" { \"s\" : \"x\\u00e9\\n\" , \"b\":true, "
         "\"i\":-7,\"l\":9223372036854775807,\"d\":1e7,\"m\":10.1,"
         "\"t\":1600000000123 } ",
         "{\"b\":true,\"i\":-7,\"l\":9223372036854775807,\"d\":1.0E7,\"m\":10.10,\"s\":"
         "\"x\xc3\xa9\\n\","
         "\"t\":1600000000123}"},
        {"{\"i\":\"12\",\"l\":3.9,\"d\":\"2.5\",\"m\":\"-0.50\",\"s\":{\"a\": [1, 2]},\"t\":-1}",
         "{\"b\":null,\"i\":12,\"l\":3,\"d\":2.5,\"m\":-0.50,\"s\":\"{\\\"a\\\":[1,2]}\",\"t\":-"
         "1}"},
        {"{\"S\":[1, \"a\", [true]],\"I\":4294967297}",
         "{\"b\":null,\"i\":1,\"l\":null,\"d\":null,\"m\":null,\"s\":\"[1, a, "
         "[true]]\",\"t\":null}"},
        {"{\"s\":\"a\",\"S\":\"b\",\"i\":1,\"i\":2}",
         "{\"b\":null,\"i\":2,\"l\":null,\"d\":null,\"m\":null,\"s\":\"a\",\"t\":null}"},
        {"{\"s\":1.50,\"b\":null,\"x\":{\"y\":[{}]}}",
         "{\"b\":null,\"i\":null,\"l\":null,\"d\":null,\"m\":null,\"s\":\"1.50\",\"t\":null}"},
        {"null", "null"},
        {"{\"b\":1}", "bad: expected true or false @6 b"},
        {"{\"i\":true}", "bad: expected a number @9 i"},
        {"{\"l\":92233720368547758070}", "bad: number out of range @25 l"},
        {"{\"m\":1.234}", "bad: number does not fit the DECIMAL type exactly @10 m"},
        {"{\"d\":\"NaN\"}",
         "{\"b\":null,\"i\":null,\"l\":null,\"d\":\"NaN\",\"m\":null,\"s\":null,\"t\":null}"},
        {"{\"d\":1e400}", "bad: number out of range @10 d"},
        {"{\"m\":100}", "bad: number does not fit the DECIMAL type exactly @8 m"},
        {"{\"s\":\"\\ud800\"}", "bad: lone surrogate @6 "},
        {"{\"s\":\"\xff\"}", "bad: invalid UTF-8 @6 "},
        {"{\"x\":\"\xc0\xaf\"}", "bad: invalid UTF-8 @6 "},
        {"{\"x\":01}", "bad: expected ',' or '}' @6 "},
        {"{\"x\":[1,]}", "bad: expected a JSON value @8 "},
        {"{\"x\":1,}", "bad: expected a member name in quotes @7 "},
        {"{\"x\":1}{}", "bad: text after the JSON value @7 "},
        {"", "bad: empty record @0 "},
        {"[1]", "bad: expected a JSON object @0 "},
        {"\xef\xbb\xbf{}", "bad: expected a JSON value @0 "},
        {"{\"x\":NaN}", "bad: expected a JSON value @5 "},
        {"{\"x\":\"a", "bad: string without closing quote @7 "},
        {"{\"x\":\"a\tb\"}", "bad: control character in string @7 "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        CHECK_STR(round_trip(&tn_format_json, spec, cases[i].in), cases[i].out);
}

static void test_json_names(void)
{
    struct tn_codec_spec spec = {.schema = schema_of(2, "songName", T(VARCHAR), "N", T(INTEGER)),
                                 .is_case_exact = true};
    CHECK_STR(round_trip(&tn_format_json, spec, "{\"songname\":\"x\",\"n\":1}"),
              "{\"songName\":null,\"N\":1}");
    CHECK_STR(round_trip(&tn_format_json, spec, "{\"song\\u004eame\":\"x\"}"),
              "{\"songName\":\"x\",\"N\":null}");
    spec.is_case_exact = false;
    CHECK_STR(round_trip(&tn_format_json, spec, "{\"SONGNAME\":\"x\"}"),
              "{\"songName\":\"x\",\"N\":null}");
    spec.is_lenient = true;
    CHECK_STR(round_trip(&tn_format_json, spec, "{\"n\":\"?\",\"songName\":7}"),
              "{\"songName\":\"7\",\"N\":null}");
}

static void test_json_nested(void)
{
    const struct tn_type *list = tn_type_array(&arena, T(INTEGER));
    struct tn_field fields[2] = {{TN_STR("a"), T(INTEGER)}, {TN_STR("L"), list}};
    struct tn_codec_spec spec = {.schema = schema_of(3, "l", list, "m",
                                                     tn_type_map(&arena, T(VARCHAR), T(DOUBLE)),
                                                     "r", tn_type_struct(&arena, fields, 2))};
    CHECK_STR(
        round_trip(&tn_format_json, spec,
                   "{\"l\":[1, null, \"3\"],\"m\":{\"K\":1},\"r\":{\"A\":5,\"z\":0,\"l\":[]}}"),
        "{\"l\":[1,null,3],\"m\":{\"K\":1.0},\"r\":{\"a\":5,\"L\":[]}}");
    CHECK_STR(round_trip(&tn_format_json, spec, "{\"l\":{}}"), "bad: expected a JSON array @7 l");
    spec.schema = schema_of(1, "v", T(INTEGER));
    spec.is_bare = true;
    CHECK_STR(round_trip(&tn_format_json, spec, " 7 "), "7");
    CHECK_STR(round_trip(&tn_format_json, spec, "7 7"), "bad: text after the JSON value @2 ");
}

static void test_json_depth(void)
{
    char text[1200];
    for (int depth = 255; depth <= 260; depth++) {
        struct tn_json json = {text, text + 2 * depth, NULL, 256};
        memset(text, '[', (size_t)depth);
        memset(text + depth, ']', (size_t)depth);
        CHECK(tn_json_check(&json) == (depth <= 256));
    }
}

static void test_json_projection(void)
{
    bool needed[3] = {false, true, false};
    struct tn_codec_spec spec = {
        .schema = schema_of(3, "a", T(VARCHAR), "b", T(BIGINT), "c", T(VARCHAR)), .needed = needed};
    struct tn_codec *codec = open_codec(&tn_format_json, spec);
    struct tn_str inputs[4] = {TN_STR("{\"a\":\"x\",\"b\":1,\"c\":2}"),
                               {0},
                               TN_STR("{\"b\":2,\"a\":\"\xff\"}"),
                               TN_STR("{\"c\":1}")};
    struct tn_decoded out;
    codec->format->decode(codec, inputs, 4, &arena, &out);
    CHECK(out.columns[0].is_absent && out.columns[2].is_absent);
    CHECK_INT(tn_column_i64(&out.columns[1], 0), 1);
    CHECK(tn_column_is_null(&out.columns[1], 1) && tn_bit_get(out.null_rows, 1));
    CHECK_INT(out.bad_count, 1);
    CHECK_INT(out.bad[0].row, 2);
    CHECK(tn_column_is_null(&out.columns[1], 2) && tn_column_is_null(&out.columns[1], 3));
    codec->format->close(codec);
}

static void test_delimited(void)
{
    struct tn_codec_spec spec = {
        .schema = schema_of(4, "i", T(INTEGER), "s", T(VARCHAR), "b", T(BOOLEAN), "d", T(DOUBLE))};
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"1,a,true,2.5", "1,a,true,2.5"},
        {"-5,\"a,\"\"b\"\"\",TRUE,1\r\nsecond", "\"-5\",\"a,\"\"b\"\"\",true,1.0"},
        {",,,", ",,,"},
        {"\"\",\"\",x,", ",,false,"},
        {"1,#x,no,", "1,\"#x\",false,"},
        {"1,a,true", "bad: fewer fields than columns @8 "},
        {"1,a,true,1,9", "bad: more fields than columns @11 "},
        {"x,a,true,1", "bad: expected a number @0 i"},
        {"1,\"a,true,1", "bad: quote without end @2 "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        CHECK_STR(round_trip(&tn_format_delimited, spec, cases[i].in), cases[i].out);
    spec.delimiter = '\t';
    CHECK_STR(round_trip(&tn_format_delimited, spec, "1\ta,b\tfalse\t3"), "1\ta,b\tfalse\t3.0");
}

static void test_kafka(void)
{
    struct tn_codec_spec spec = {.is_key = true, .schema = schema_of(1, "id", T(INTEGER))};
    struct tn_codec *codec = open_codec(&tn_format_kafka, spec);
    struct tn_str inputs[4] = {{"\0\0\1\2", 4}, {"\xff\xff\xff\xff", 4}, {"\1\2\3", 3}, {0}};
    struct tn_decoded out;
    struct tn_buf buf;
    size_t ends[4];
    codec->format->decode(codec, inputs, 4, &arena, &out);
    CHECK_INT(tn_column_i32(&out.columns[0], 0), 258);
    CHECK_INT(tn_column_i32(&out.columns[0], 1), -1);
    CHECK_INT(out.bad_count, 1);
    CHECK(tn_bit_get(out.bad_rows, 2) && tn_bit_get(out.null_rows, 3));
    tn_buf_init(&buf, 100);
    codec->format->encode(codec, out.columns, 4, NULL, &buf, ends);
    CHECK(ends[0] == 4 && ends[1] == 8 && ends[2] == 8 && ends[3] == 8);
    CHECK(memcmp(buf.ptr, "\0\0\1\2\xff\xff\xff\xff", 8) == 0);
    tn_buf_release(&buf);
    codec->format->close(codec);
    struct tn_err err = TN_ERR_INIT;
    spec.schema = schema_of(2, "a", T(INTEGER), "b", T(INTEGER));
    CHECK(tn_format_kafka.open(&tn_format_kafka, &spec, &codec, &err) == TN_E_INVALID);
    CHECK(tn_format_find(tn_formats_builtin(), TN_STR("json")) == &tn_format_json);
    CHECK(tn_format_find(tn_formats_builtin(), TN_STR("avro")) == NULL);
}

static void test_numbers(void)
{
    static const struct {
        double value;
        const char *text;
    } doubles[] = {{100, "100.0"},
                   {1e7, "1.0E7"},
                   {0.001, "0.001"},
                   {0.00099, "9.9E-4"},
                   {-0.0, "-0.0"},
                   {0.1, "0.1"},
                   {1.0 / 3, "0.3333333333333333"},
                   {123456.789, "123456.789"},
                   {1e300, "1.0E300"},
                   {4.9e-324, "4.9E-324"},
                   {9999999.5, "9999999.5"},
                   {2.2250738585072014e-308, "2.2250738585072014E-308"}};
    struct tn_buf buf;
    tn_buf_init(&buf, 1000);
    for (size_t i = 0; i < sizeof doubles / sizeof *doubles; i++) {
        tn_buf_reset(&buf);
        tn_double_print(doubles[i].value, &buf);
        CHECK_STR(tn_buf_str(&buf), doubles[i].text);
    }
    static const struct {
        const char *text, *out; /* DECIMAL(6, 2); NULL = refused */
    } decimals[] = {{"1", "1.00"},      {"-0.5", "-0.50"}, {"9999.99", "9999.99"},
                    {"10000", NULL},    {"1.005", NULL},   {"1.5000", "1.50"},
                    {"12e1", "120.00"}, {"1e-2", "0.01"},  {"1e-3", NULL},
                    {"", NULL},         {".", NULL},       {"0e999", "0.00"},
                    {"1x", NULL}};
    for (size_t i = 0; i < sizeof decimals / sizeof *decimals; i++) {
        tn_int128 value = 0;
        bool is_ok = tn_decimal_parse_exact(tn_str_of(decimals[i].text), 6, 2, &value);
        CHECK(is_ok == (decimals[i].out != NULL));
        tn_buf_reset(&buf);
        tn_decimal_print(value, 2, &buf);
        if (is_ok && decimals[i].out)
            CHECK_STR(tn_buf_str(&buf), decimals[i].out);
    }
    tn_buf_release(&buf);
}

int main(void)
{
    tn_arena_init(&arena, 0);
    test_json_values();
    test_json_names();
    test_json_nested();
    test_json_depth();
    test_json_projection();
    test_delimited();
    test_kafka();
    test_numbers();
    tn_arena_release(&arena);
    return TN_TEST_END();
}
