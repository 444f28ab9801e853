/* Fuzz target: what processes of one application send each other: requests for scans with their
 * filters, pages of rows. Whatever the bytes, nothing crashes; what was read is written as bytes
 * that are read again and written as the same bytes. The first byte chooses the form. */
#include "sql/members_partial.h"
#include "sql/members_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct tn_schema schema;

static void setup(void)
{
    static struct tn_field fields[6];
    static struct tn_arena arena;
    tn_arena_init(&arena, 0);
    fields[0] = (struct tn_field){TN_STR("k"), tn_type_of(TN_K_INTEGER)};
    fields[1] = (struct tn_field){TN_STR("s"), tn_type_of(TN_K_VARCHAR)};
    fields[2] = (struct tn_field){TN_STR("d"), tn_type_of(TN_K_DOUBLE)};
    fields[3] = (struct tn_field){TN_STR("m"), tn_type_decimal(&arena, 20, 2)};
    fields[4] = (struct tn_field){TN_STR("a"), tn_type_array(&arena, tn_type_of(TN_K_BIGINT))};
    fields[5] = (struct tn_field){TN_STR("b"), tn_type_of(TN_K_BOOLEAN)};
    schema = (struct tn_schema){6, fields};
}

static void same(const struct tn_buf *a, const struct tn_buf *b)
{
    TN_ASSERT(a->len == b->len && memcmp(a->ptr, b->ptr, a->len) == 0);
}

static void check_filter(const char *at, const char *end, uint32_t keys_count)
{
    struct tn_arena arena;
    struct tn_key_filter *filter, *again;
    struct tn_buf one, two;
    keys_count = keys_count > schema.fields_count ? schema.fields_count : keys_count;
    tn_arena_init(&arena, 0);
    tn_buf_init(&one, 1 << 24);
    tn_buf_init(&two, 1 << 24);
    if (tn_scan_wire_read_filter(&at, end, &schema, keys_count, &arena, &filter, NULL) == TN_OK) {
        tn_scan_wire_add_filter(&one, filter, &schema, keys_count);
        at = one.ptr;
        TN_ASSERT(tn_scan_wire_read_filter(&at, one.ptr + one.len, &schema, keys_count, &arena,
                                           &again, NULL) == TN_OK);
        tn_scan_wire_add_filter(&two, again, &schema, keys_count);
        same(&one, &two);
    }
    tn_buf_release(&one);
    tn_buf_release(&two);
    tn_arena_release(&arena);
}

static void check_partial(struct tn_str bytes)
{
    struct tn_arena arena;
    struct tn_buf one, two;
    struct tni_partial *partial, *again;
    tn_arena_init(&arena, 0);
    tn_buf_init(&one, 1 << 24);
    tn_buf_init(&two, 1 << 24);
    if (tni_partial_read(bytes, &schema, &arena, &partial, NULL) == TN_OK) {
        tni_partial_add(&one, partial);
        TN_ASSERT(tni_partial_read(tn_buf_str(&one), &schema, &arena, &again, NULL) == TN_OK);
        tni_partial_add(&two, again);
        same(&one, &two);
    }
    tn_buf_release(&one);
    tn_buf_release(&two);
    tn_arena_release(&arena);
}

static void check_ask(struct tn_str body)
{
    struct tni_scan_ask ask;
    bool needed[6] = {0};
    struct tn_buf buf;
    struct tni_scan_ask again;
    if (tni_scan_ask_read(body, &ask, NULL) != TN_OK)
        return;
    check_filter(ask.rest, ask.end, ask.keys_count);
    check_partial(ask.partial);
    if (strlen(ask.query_id) == 0 || ask.needed.len != schema.fields_count)
        return;
    tn_buf_init(&buf, 1 << 24);
    tni_scan_ask_add(&buf, ask.query_id, &schema, ask.keys_count, (const uint8_t *)ask.wanted.ptr,
                     needed, ask.partial, NULL);
    TN_ASSERT(tni_scan_ask_read(tn_buf_str(&buf), &again, NULL) == TN_OK);
    TN_ASSERT(!strcmp(again.query_id, ask.query_id) && again.keys_count == ask.keys_count);
    TN_ASSERT(!memcmp(again.wanted.ptr, ask.wanted.ptr, TNI_PART_BYTES));
    tn_buf_release(&buf);
}

static void check_batch(const struct tn_batch *batch, const bool *needed, struct tn_arena *arena)
{
    struct tn_buf one, two;
    struct tn_batch *again;
    tn_buf_init(&one, 1 << 24);
    tn_buf_init(&two, 1 << 24);
    tn_scan_wire_add(&one, batch, needed);
    const char *at = one.ptr;
    TN_ASSERT(tn_scan_wire_read(&at, one.ptr + one.len, &schema, needed, arena, &again, NULL) ==
              TN_OK);
    TN_ASSERT(at == one.ptr + one.len && again->rows_count == batch->rows_count);
    tn_scan_wire_add(&two, again, needed);
    same(&one, &two);
    tn_buf_release(&one);
    tn_buf_release(&two);
}

static void check_page(struct tn_str body, bool is_some)
{
    static const bool some[6] = {true, false, true, false, true, false};
    const bool *needed = is_some ? some : NULL;
    struct tni_scan_page page;
    struct tn_arena arena;
    struct tn_batch *batch;
    if (!tni_scan_page_read(body, &page))
        return;
    tn_arena_init(&arena, 0);
    while (page.rows < page.end && tn_scan_wire_read(&page.rows, page.end, &schema, needed, &arena,
                                                     &batch, NULL) == TN_OK) {
        check_batch(batch, needed, &arena);
        tn_arena_reset(&arena);
    }
    tn_arena_release(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!schema.fields_count)
        setup();
    if (size < 1)
        return 0;
    struct tn_str body = {(const char *)data + 1, size - 1};
    switch (data[0] % 4) {
    case 0: check_ask(body); break;
    case 1: check_filter(body.ptr, body.ptr + body.len, data[0] / 4); break;
    default: check_page(body, data[0] % 4 == 3);
    }
    return 0;
}
