/* Covers stream/scan_wire.c, sql/members_wire.c: what processes of one application send each other
 * comes back as it was sent; cut anywhere or altered it is refused, never read past its end. */
#include "sql/members_wire.h"
#include "stream/base/mem.h"
#include "tests/check.h"

static struct tn_arena arena;
static struct tn_schema schema;

static void setup(void)
{
    static struct tn_field fields[3];
    fields[0] = (struct tn_field){TN_STR("k"), tn_type_of(TN_K_INTEGER)};
    fields[1] = (struct tn_field){TN_STR("s"), tn_type_of(TN_K_VARCHAR)};
    fields[2] = (struct tn_field){TN_STR("d"), tn_type_of(TN_K_DOUBLE)};
    schema = (struct tn_schema){3, fields};
}

static struct tn_batch *sample(uint32_t rows)
{
    struct tn_batch *batch = tn_batch_new(&schema, rows, &arena);
    struct tn_colbuilder *builders[3];
    for (int c = 0; c < 3; c++)
        builders[c] = tn_colbuilder_new(schema.fields[c].type, &arena);
    batch->rowtime_ms = TN_ARENA_ARRAY(&arena, int64_t, rows + 1);
    for (uint32_t i = 0; i < rows; i++) {
        batch->rowtime_ms[i] = 1000 + i;
        struct tn_value k = {.type = schema.fields[0].type, .i = i},
                        s = {.type = schema.fields[1].type,
                             .s = tn_str_of(tn_arena_printf(&arena, "text %u", i)),
                             .is_null = i % 3 == 1},
                        d = {.type = schema.fields[2].type, .d = i / 2.0};
        tn_colbuilder_add(builders[0], &k);
        tn_colbuilder_add(builders[1], &s);
        tn_colbuilder_add(builders[2], &d);
    }
    for (int c = 0; c < 3; c++)
        tn_colbuilder_finish(builders[c], &batch->columns[c]);
    return batch;
}

static void test_rows(void)
{
    static const bool some[3] = {true, false, true};
    for (int pass = 0; pass < 2; pass++) {
        const bool *needed = pass ? some : NULL;
        struct tn_batch *batch = sample(5), *got;
        struct tn_err err = TN_ERR_INIT;
        struct tn_buf buf;
        tn_buf_init(&buf, 1 << 20);
        tn_scan_wire_add(&buf, batch, needed);
        const char *at = buf.ptr;
        CHECK_OK(tn_scan_wire_read(&at, buf.ptr + buf.len, &schema, needed, &arena, &got, &err),
                 &err);
        CHECK(at == buf.ptr + buf.len && got->rows_count == 5);
        CHECK_INT(got->rowtime_ms[4], 1004);
        CHECK_INT(tn_column_i32(&got->columns[0], 3), 3);
        CHECK(tn_column_f64(&got->columns[2], 3) == 1.5);
        CHECK(got->columns[1].is_absent == (pass == 1));
        if (!pass) {
            CHECK(tn_column_is_null(&got->columns[1], 1));
            CHECK_STR(tn_column_str(&got->columns[1], 2), "text 2");
        }
        for (size_t cut = 0; cut < buf.len; cut++) {
            char *copy = tn_alloc(cut ? cut : 1);
            memcpy(copy, buf.ptr, cut); /* of its own, so that ASan sees the end */
            at = copy;
            CHECK(
                tn_failed(tn_scan_wire_read(&at, copy + cut, &schema, needed, &arena, &got, NULL)));
            tn_free(copy);
        }
        tn_buf_release(&buf);
    }
}

static void test_filter(void)
{
    struct tn_value keys[2] = {{.type = schema.fields[0].type, .i = 7},
                               {.type = schema.fields[0].type, .i = -1}};
    struct tn_value low = {.type = schema.fields[0].type, .i = 3},
                    text = {.type = tn_type_of(TN_K_BIGINT), .i = 3};
    const struct tn_value *rows[2] = {&keys[0], &keys[1]};
    struct tn_key_filter filter = {.keys_count = 2,
                                   .keys = rows,
                                   .low = &low,
                                   .is_low_strict = true,
                                   .window_from_ms = -5,
                                   .window_to_ms = 9},
                         *got;
    struct tn_err err = TN_ERR_INIT;
    struct tn_buf buf;
    tn_buf_init(&buf, 1 << 20);
    tn_scan_wire_add_filter(&buf, &filter, &schema, 1);
    const char *at = buf.ptr;
    CHECK_OK(tn_scan_wire_read_filter(&at, buf.ptr + buf.len, &schema, 1, &arena, &got, &err),
             &err);
    CHECK(got && got->keys_count == 2 && got->keys[1][0].i == -1 && got->low->i == 3);
    CHECK(got->is_low_strict && !got->is_high_strict && !got->high);
    CHECK(got->window_from_ms == -5 && got->window_to_ms == 9);
    for (size_t cut = 0; cut < buf.len; cut++) {
        at = buf.ptr;
        CHECK(tn_failed(
            tn_scan_wire_read_filter(&at, buf.ptr + cut, &schema, 1, &arena, &got, NULL)));
    }
    tn_buf_reset(&buf);
    filter.low = &text; /* another type than the column's: none is sent */
    tn_scan_wire_add_filter(&buf, &filter, &schema, 1);
    at = buf.ptr;
    CHECK_OK(tn_scan_wire_read_filter(&at, buf.ptr + buf.len, &schema, 1, &arena, &got, &err),
             &err);
    CHECK(!got);
    tn_buf_release(&buf);
}

static void test_ask(void)
{
    static const bool needed[3] = {true, false, true};
    uint8_t wanted[TNI_PART_BYTES] = {0x81};
    struct tn_err err = TN_ERR_INIT;
    struct tni_scan_ask ask;
    struct tn_buf buf;
    tn_buf_init(&buf, 1 << 20);
    tni_scan_ask_add(&buf, "ctas_chart_1", &schema, 1, wanted, needed, TN_STR("aggregates"), NULL);
    CHECK_OK(tni_scan_ask_read(tn_buf_str(&buf), &ask, &err), &err);
    CHECK(!strcmp(ask.query_id, "ctas_chart_1") && ask.keys_count == 1);
    CHECK(ask.fingerprint == tn_scan_wire_fingerprint(&schema));
    CHECK(!memcmp(ask.wanted.ptr, wanted, TNI_PART_BYTES));
    CHECK(ask.needed.len == 3 && ask.needed.ptr[0] && !ask.needed.ptr[1] && ask.needed.ptr[2]);
    CHECK_STR(ask.partial, "aggregates");
    CHECK(ask.end - ask.rest == 1);
    for (size_t cut = 0; cut + 1 < buf.len; cut++)
        CHECK(tn_failed(tni_scan_ask_read((struct tn_str){buf.ptr, cut}, &ask, NULL)));
    tn_buf_reset(&buf);
    char name[TNI_SCAN_ID_MAX + 1] = {0};
    memset(name, 'x', TNI_SCAN_ID_MAX);
    tni_scan_ask_add(&buf, name, &schema, 1, wanted, needed, TN_STR("aggregates"), NULL);
    CHECK(tn_failed(tni_scan_ask_read(tn_buf_str(&buf), &ask, NULL)));
    tn_buf_reset(&buf);
    tni_scan_ask_add(&buf, "q", &schema, TNI_SCAN_KEYS_MAX + 1, wanted, needed,
                     TN_STR("aggregates"), NULL);
    CHECK(tn_failed(tni_scan_ask_read(tn_buf_str(&buf), &ask, NULL)));
    tn_buf_release(&buf);
}

static void test_page(void)
{
    uint8_t missing[TNI_PART_BYTES] = {5};
    struct tni_scan_page page;
    struct tn_buf buf;
    tn_buf_init(&buf, 1 << 20);
    tni_scan_page_add(&buf, 3, 4, missing);
    CHECK(tni_scan_page_read(tn_buf_str(&buf), &page) && !page.is_last);
    CHECK(page.scan == 3 && page.commit == 4 && page.rows == page.end);
    CHECK(page.missing.len == TNI_PART_BYTES && page.missing.ptr[0] == 5);
    for (size_t cut = 0; cut < buf.len; cut++)
        CHECK(!tni_scan_page_read((struct tn_str){buf.ptr, cut}, &page));
    tn_buf_reset(&buf);
    tni_scan_page_add(&buf, 3, 4, NULL);
    buf.ptr[0] = 1;
    CHECK(tni_scan_page_read(tn_buf_str(&buf), &page) && page.is_last && !page.missing.len);
    buf.ptr[17] = 2; /* some other number of bits */
    tn_buf_add_text(&buf, "xx");
    CHECK(!tni_scan_page_read(tn_buf_str(&buf), &page));
    tn_buf_release(&buf);
}

int main(void)
{
    tn_arena_init(&arena, 0);
    setup();
    test_rows();
    test_filter();
    test_ask();
    test_page();
    tn_arena_release(&arena);
    TN_TEST_END();
}
