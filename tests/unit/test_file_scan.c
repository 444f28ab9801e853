/* Readers of zone files: NDJSON and CSV, plain, gzip and zstd; what is lenient and what is bad;
 * ranges that split a file; shapes that change in the middle; truncated and swollen files. The fast
 * ways (learned shapes, bitmaps) are compared with a row-by-row reference on random input. Covers
 * connectors/file_*.c, json_rows.c, json_shape.c, csv_rows.c. */
#include <stdlib.h>
#include <unistd.h>

#include <isa-l/igzip_lib.h>
#include <zstd.h>

#include "connectors/file_scan.h"
#include "connectors/folder_store.h"
#include "stream/base/mem.h"
#include "tests/check.h"
#include "tests/support/temp_folder.h"

static struct tn_err err;
static struct tn_object_store *store;

static const struct tn_type *T(enum tn_kind kind)
{
    return tn_type_of(kind);
}

static void put(const char *key, struct tn_str body)
{
    CHECK_OK(tn_object_put(store, key, body, false, 0, &err), &err);
}

/* All rows as text: cells joined by '|', NULL as '~', rows end with ';'. */
static enum tn_status read_range(const char *key, const struct tn_file_layout *layout, int64_t from,
                                 int64_t to, bool is_growing, struct tn_buf *out,
                                 struct tn_file_scan_counts *ret_counts)
{
    struct tn_object_info info;
    bool needed[64];
    struct tn_file_scan *scan = NULL;
    struct tn_arena arena;
    memset(needed, 1, sizeof needed);
    CHECK_OK(tn_object_head(store, key, &info, 0, &err), &err);
    struct tn_file_scan_spec spec = {.store = store,
                                     .key = key,
                                     .bytes = info.size,
                                     .layout = layout,
                                     .needed = needed,
                                     .from = from,
                                     .to = to < 0 ? info.size : to,
                                     .is_growing = is_growing,
                                     .expanded_max = 64 << 20};
    tn_arena_init(&arena, 0);
    enum tn_status st = tn_file_scan_open(&spec, &scan, &err);
    while (!tn_failed(st)) {
        struct tn_column *columns;
        uint32_t rows;
        tn_arena_reset(&arena);
        st = tn_file_scan_next(scan, &arena, &columns, &rows, &err);
        if (st != TN_OK)
            break;
        for (uint32_t r = 0; r < rows; r++) {
            for (uint32_t c = 0; c < layout->schema->fields_count; c++) {
                const struct tn_column *col = &columns[c];
                tn_buf_add_text(out, c ? "|" : "");
                if (tn_column_is_null(col, r))
                    tn_buf_add_byte(out, '~');
                else if (col->type->kind == TN_K_VARCHAR)
                    tn_buf_add_str(out, tn_column_str(col, r));
                else if (col->type->kind == TN_K_INTEGER || col->type->kind == TN_K_DATE)
                    tn_buf_add_i64(out, tn_column_i32(col, r));
                else if (col->type->kind == TN_K_DOUBLE)
                    tn_buf_printf(out, "%g", tn_column_f64(col, r));
                else if (col->type->kind == TN_K_BOOLEAN)
                    tn_buf_add_text(out, tn_column_bool(col, r) ? "T" : "F");
                else
                    tn_buf_add_i64(out, tn_column_i64(col, r));
            }
            tn_buf_add_byte(out, ';');
        }
    }
    if (scan && ret_counts)
        *ret_counts = *tn_file_scan_counts(scan);
    tn_file_scan_close(scan);
    tn_arena_release(&arena);
    return st == TN_END ? TN_OK : st;
}

static void expect(int line, const struct tn_file_layout *layout, const char *body,
                   const char *want)
{
    struct tn_buf out;
    tn_buf_init(&out, 1 << 20);
    put("x", tn_str_of(body));
    enum tn_status st = read_range("x", layout, 0, -1, false, &out, NULL);
    if (st != TN_OK || strcmp(tn_buf_cstr(&out), want) != 0)
        fprintf(stderr, "case at line %d: %s\n", line, st == TN_OK ? "" : err.message);
    CHECK_INT(st, TN_OK);
    CHECK_STR(tn_buf_str(&out), want);
    tn_buf_release(&out);
}
#define EXPECT(layout, body, want) expect(__LINE__, layout, body, want)

static struct tn_field fields[] = {
    {{"id", 2}, NULL}, {{"songName", 8}, NULL}, {{"x", 1}, NULL},
    {{"ok", 2}, NULL}, {{"ts", 2}, NULL},       {{"d", 1}, NULL},
};
static const struct tn_schema schema = {6, fields};

static void test_json(void)
{
    struct tn_file_layout json = {.format = TN_FILE_JSON, .schema = &schema};
    EXPECT(&json, "", "");
    EXPECT(&json, "{\"id\":1,\"songName\":\"a\",\"x\":1.5,\"ok\":true,\"ts\":7,\"d\":3}",
           "1|a|1.5|T|7000|3;");
    /* members without case, any order, missing, unknown, null; one bad field is NULL */
    EXPECT(&json, "{\"SONGNAME\":\"b\",\"ID\":2}\n{\"songname\":null,\"other\":[1,{\"a\":2}]}\n",
           "2|b|~|~|~|~;~|~|~|~|~|~;");
    EXPECT(&json, "{\"id\":\"3\",\"x\":\"2.5\",\"ok\":\"true\",\"songName\":5}\n",
           "3|5|2.5|~|~|~;");
    EXPECT(&json, "{\"id\":\"abc\",\"x\":{},\"ok\":1,\"songName\":{\"a\": 1}}\n",
           "~|{\"a\":1}|~|~|~|~;");
    EXPECT(&json, "{\"id\":1.9}\n{\"id\":99999999999999999999}\n", "1|~|~|~|~|~;~|~|~|~|~|~;");
    /* times: milliseconds, days, numeric text, ISO 8601 */
    EXPECT(&json,
           "{\"ts\":\"1970-01-01T00:00:01Z\",\"d\":\"1970-01-03\"}\n"
           "{\"ts\":\"1970-01-01 00:00:00.5\",\"d\":\"2\"}\n"
           "{\"ts\":\"1970-01-01T01:00:00+01:00\",\"d\":\"nope\"}\n{\"ts\":\"2020\"}\n"
           "{\"ts\":\"1970-02-30T00:00:00Z\",\"d\":\"1970-02-30\"}\n",
           "~|~|~|~|1000000|2;~|~|~|~|500000|2;~|~|~|~|0|~;~|~|~|~|2020000|~;~|~|~|~|~|~;");
    /* bad lines: a row of NULLs; blank lines are none; one bad line costs one row */
    EXPECT(&json, "{\"id\":1}\n\n  \nnot json\n{\"id\":2\n[1]\nnull\n{\"id\":3} x\n{\"id\":4}\r\n",
           "1|~|~|~|~|~;~|~|~|~|~|~;~|~|~|~|~|~;~|~|~|~|~|~;~|~|~|~|~|~;~|~|~|~|~|~;4|~|~|~|~|~;");
    EXPECT(&json,
           "{\"id\":1,\"songName\":\"a\n{\"id\":2,\"songName\":\"b\"}\n{\"id\":{\"a\":\n1}}\n",
           "~|~|~|~|~|~;2|b|~|~|~|~;~|~|~|~|~|~;~|~|~|~|~|~;");
    EXPECT(&json, "{\"songName\":\"\xff\"}\n{\"songName\":\"\xc3\xa9\\u00e9\\n\"}\n",
           "~|~|~|~|~|~;~|\xc3\xa9\xc3\xa9\n|~|~|~|~;");
    EXPECT(&json, "\xEF\xBB\xBF{\"id\":1}\n", "1|~|~|~|~|~;");
    /* the last of two equal members; an exact name beats another spelling */
    EXPECT(&json, "{\"id\":1,\"id\":2}\n{\"id\":1,\"ID\":2}\n{\"ID\":1,\"Id\":3}\n",
           "2|~|~|~|~|~;1|~|~|~|~|~;3|~|~|~|~|~;");
    json.on_bad = TN_FILE_BAD_SKIP;
    EXPECT(&json, "{\"id\":1}\nbad\n{\"id\":2}\n", "1|~|~|~|~|~;2|~|~|~|~|~;");
    json.on_bad = TN_FILE_BAD_FAIL;
    struct tn_buf out;
    tn_buf_init(&out, 1 << 20);
    put("x", TN_STR("{\"id\":1}\nbad\n"));
    CHECK_INT(read_range("x", &json, 0, -1, false, &out, NULL), TN_E_INVALID);
    CHECK(strstr(err.message, "line 2") != NULL);
    tn_buf_release(&out);
}

static void test_csv(void)
{
    struct tn_file_layout csv = {
        .format = TN_FILE_CSV, .schema = &schema, .separator = ',', .quote = '"', .escape = '"'};
    EXPECT(&csv, "1,a,1.5,true,1970-01-01T00:00:01Z,1970-01-03\n", "1|a|1.5|T|1000000|2;");
    EXPECT(&csv, "1,a\r\n,\"\",,FALSE,7,3,extra,more\n\n2",
           "1|a|~|~|~|~;~||~|F|7000|3;2|~|~|~|~|~;");
    EXPECT(&csv, "1,\"a,\"\"b\"\"\nc\",2\n2,x\"y\"z\n", "1|a,\"b\"\nc|2|~|~|~;2|x\"y\"z|~|~|~|~;");
    EXPECT(&csv, "x,\"open\n2,b\n", "~|~|~|~|~|~;2|b|~|~|~|~;");
    EXPECT(&csv, "nope,\xff,1e400, true ,zz,2026-13-01\n 5 ,\xc3\xa9\n",
           "~|~|~|T|~|~;5|\xc3\xa9|~|~|~|~;");
    csv.header_lines = 1;
    EXPECT(&csv, "id,name\n7,h\n", "7|h|~|~|~|~;");
    csv.header_lines = 0;
    csv.separator = '\t';
    csv.escape = '\\';
    EXPECT(&csv, "1\t\"a\\\"b\"\t3\n", "1|a\"b|3|~|~|~;");
}

/* ---- compression ---- */

static struct tn_str gzipped(struct tn_str text, struct tn_buf *buf)
{
    struct isal_zstream stream;
    uint8_t *level = tn_alloc(ISAL_DEF_LVL1_DEFAULT);
    size_t room = text.len + 1000;
    isal_deflate_init(&stream);
    stream.gzip_flag = IGZIP_GZIP;
    stream.end_of_stream = 1;
    stream.level = 1;
    stream.level_buf = level;
    stream.level_buf_size = ISAL_DEF_LVL1_DEFAULT;
    stream.next_in = (uint8_t *)(uintptr_t)text.ptr;
    stream.avail_in = (uint32_t)text.len;
    stream.next_out = (uint8_t *)tn_buf_reserve(buf, room);
    stream.avail_out = (uint32_t)room;
    CHECK_INT(isal_deflate(&stream), COMP_OK);
    buf->len += room - stream.avail_out;
    tn_free(level);
    return tn_buf_str(buf);
}

static void many_lines(struct tn_buf *buf, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        tn_buf_printf(buf, "{\"id\":%u,\"songName\":\"song %u\",\"x\":%u.5}\n", i, i % 7, i);
}

static void test_packed(void)
{
    struct tn_file_layout json = {.format = TN_FILE_JSON, .schema = &schema};
    struct tn_buf plain, packed, want, got;
    struct tn_file_scan_counts counts = {0};
    tn_buf_init(&plain, 64 << 20);
    tn_buf_init(&packed, (size_t)512 << 20);
    tn_buf_init(&want, 64 << 20);
    tn_buf_init(&got, 64 << 20);
    many_lines(&plain, 50000);
    put("plain", tn_buf_str(&plain));
    CHECK_OK(read_range("plain", &json, 0, -1, false, &want, &counts), &err);
    CHECK_INT(counts.rows, 50000);
    put("gz", gzipped(tn_buf_str(&plain), &packed));
    CHECK_OK(read_range("gz", &json, 0, -1, false, &got, &counts), &err);
    CHECK_INT(counts.rows, 50000);
    CHECK(tn_str_eq(tn_buf_str(&got), tn_buf_str(&want)));
    /* several members, zeros behind the last */
    (void)gzipped(tn_buf_str(&plain), &packed);
    tn_buf_add(&packed, "\0\0\0\0", 4);
    put("gz2", tn_buf_str(&packed));
    CHECK_OK(read_range("gz2", &json, 0, -1, false, &got, &counts), &err);
    CHECK_INT(counts.rows, 100000);
    /* truncated: an error; of a growing file the whole lines count */
    struct tn_str cut = {packed.ptr, packed.len / 4};
    put("cut", cut);
    CHECK_INT(read_range("cut", &json, 0, -1, false, &got, &counts), TN_E_CORRUPT);
    CHECK(strstr(err.message, "truncated") != NULL);
    CHECK_OK(read_range("cut", &json, 0, -1, true, &got, &counts), &err);
    CHECK(counts.rows > 20000 && counts.rows < 30000);
    CHECK_INT(counts.bad_lines, 0);
    /* a flipped byte */
    packed.ptr[packed.len / 8] ^= 0x55;
    put("flip", tn_buf_str(&packed));
    CHECK_INT(read_range("flip", &json, 0, -1, false, &got, &counts), TN_E_CORRUPT);
    /* zstd, and a bomb */
    tn_buf_reset(&packed);
    char *to = tn_buf_reserve(&packed, ZSTD_compressBound(plain.len));
    packed.len = ZSTD_compress(to, ZSTD_compressBound(plain.len), plain.ptr, plain.len, 3);
    put("zst", tn_buf_str(&packed));
    tn_buf_reset(&got);
    CHECK_OK(read_range("zst", &json, 0, -1, false, &got, &counts), &err);
    CHECK(tn_str_eq(tn_buf_str(&got), tn_buf_str(&want)));
    size_t zeros_len = (size_t)200 << 20;
    char *zeros = tn_alloc(zeros_len);
    memset(zeros, '\n', zeros_len);
    tn_buf_reset(&packed);
    packed.len = ZSTD_compress(tn_buf_reserve(&packed, ZSTD_compressBound(zeros_len)),
                               ZSTD_compressBound(zeros_len), zeros, zeros_len, 1);
    put("bomb", tn_buf_str(&packed));
    CHECK_INT(read_range("bomb", &json, 0, -1, false, &got, &counts), TN_E_LIMIT);
    tn_free(zeros);
    tn_buf_release(&plain);
    tn_buf_release(&packed);
    tn_buf_release(&want);
    tn_buf_release(&got);
}

/* ---- ranges, tails ---- */

static void test_ranges(void)
{
    struct tn_file_layout json = {.format = TN_FILE_JSON, .schema = &schema};
    struct tn_buf plain, want, got;
    tn_buf_init(&plain, 1 << 20);
    tn_buf_init(&want, 1 << 20);
    tn_buf_init(&got, 1 << 20);
    many_lines(&plain, 200);
    put("r", tn_buf_str(&plain));
    CHECK_OK(read_range("r", &json, 0, -1, false, &want, NULL), &err);
    for (int64_t step = 1; step < 400; step += step < 60 ? 1 : 37) {
        tn_buf_reset(&got);
        for (int64_t from = 0; from < (int64_t)plain.len; from += step) {
            int64_t to = from + step < (int64_t)plain.len ? from + step : (int64_t)plain.len;
            CHECK_OK(read_range("r", &json, from, to, false, &got, NULL), &err);
        }
        CHECK(tn_str_eq(tn_buf_str(&got), tn_buf_str(&want)));
    }
    /* a half-written last line of a growing file is left out, a whole one counts */
    put("tail", TN_STR("{\"id\":1}\n{\"id\":2}"));
    tn_buf_reset(&got);
    CHECK_OK(read_range("tail", &json, 0, -1, true, &got, NULL), &err);
    CHECK_STR(tn_buf_str(&got), "1|~|~|~|~|~;2|~|~|~|~|~;");
    put("tail", TN_STR("{\"id\":1}\n{\"id\":2"));
    tn_buf_reset(&got);
    CHECK_OK(read_range("tail", &json, 0, -1, true, &got, NULL), &err);
    CHECK_STR(tn_buf_str(&got), "1|~|~|~|~|~;");
    tn_buf_release(&plain);
    tn_buf_release(&want);
    tn_buf_release(&got);
}

/* ---- random lines: the same rows whatever came before them ---- */

static uint64_t seed = 42;

static uint32_t below(uint32_t limit)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33) % limit;
}

static void random_line(struct tn_buf *buf)
{
    static const char *const names[] = {"id", "songName", "x", "ok",      "ts",
                                        "d",  "ID",       "u", "songname"};
    static const char *const values[] = {"1",          "-7",           "\"a\"",
                                         "\"b\\\"c\"", "null",         "true",
                                         "false",      "[1,2]",        "{\"q\":[{}]}",
                                         "2.5e1",      "\"\xc3\xa9\"", "\"1970-01-01T00:00:02Z\"",
                                         "\"12\"",     "\"\"",         "nul",
                                         "\"x",        "{\"a\":",      "01",
                                         "\"\\u12\""};
    uint32_t members = below(5);
    const char *space = below(3) ? "" : " ";
    tn_buf_add_byte(buf, '{');
    for (uint32_t i = 0; i < members; i++) {
        uint32_t kinds = below(20) ? 14 : (uint32_t)(sizeof values / sizeof *values);
        tn_buf_printf(buf, "%s\"%s\"%s:%s%s", i ? "," : "", names[below(i < 3 ? i + 1 : 9)], space,
                      space, values[below(kinds)]);
    }
    tn_buf_add_text(buf, below(50) ? "}" : "");
}

static void test_random(void)
{
    struct tn_file_layout json = {.format = TN_FILE_JSON, .schema = &schema};
    struct tn_buf all, want, got, line;
    tn_buf_init(&all, 1 << 20);
    tn_buf_init(&line, 1 << 16);
    tn_buf_init(&want, 1 << 20);
    tn_buf_init(&got, 1 << 20);
    for (int round = 0; round < 30; round++) {
        tn_buf_reset(&all);
        tn_buf_reset(&want);
        tn_buf_reset(&got);
        for (int i = 0; i < 60; i++) {
            tn_buf_reset(&line);
            random_line(&line);
            tn_buf_add_byte(&line, '\n');
            put("one", tn_buf_str(&line)); /* alone: the general way */
            CHECK_OK(read_range("one", &json, 0, -1, false, &want, NULL), &err);
            tn_buf_add_str(&all, tn_buf_str(&line));
        }
        put("all", tn_buf_str(&all));
        CHECK_OK(read_range("all", &json, 0, -1, false, &got, NULL), &err);
        if (!tn_str_eq(tn_buf_str(&got), tn_buf_str(&want)))
            fprintf(stderr, "round %d\n%s\ngot  %s\nwant %s\n", round, tn_buf_cstr(&all),
                    tn_buf_cstr(&got), tn_buf_cstr(&want));
        CHECK(tn_str_eq(tn_buf_str(&got), tn_buf_str(&want)));
    }
    tn_buf_release(&all);
    tn_buf_release(&want);
    tn_buf_release(&got);
    tn_buf_release(&line);
}

int main(void)
{
    char root[256];
    static const enum tn_kind kinds[] = {TN_K_INTEGER, TN_K_VARCHAR,   TN_K_DOUBLE,
                                         TN_K_BOOLEAN, TN_K_TIMESTAMP, TN_K_DATE};
    for (int i = 0; i < 6; i++)
        fields[i].type = T(kinds[i]);
    temp_folder_make(root, sizeof root);
    CHECK_OK(tn_folder_store_open(root, &store, &err), &err);
    test_json();
    test_csv();
    test_packed();
    test_ranges();
    test_random();
    tn_object_store_close(store);
    temp_folder_remove(root);
    return TN_TEST_END();
}
