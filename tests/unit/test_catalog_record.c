/* Covers sql/catalog_record.c: what is written is read back; unknown lines are skipped; another
 * format, a missing header and a record that is cut off are errors, at every length. */
#include "sql/catalog_record.h"
#include "tests/check.h"

static void test_round_trip(struct tn_arena *arena)
{
    struct tni_record_topic topics[] = {{"played-songs", 12}, {"a b", 0}};
    struct tni_record record = {.created_ms = 1700000000123,
                                .schema_name = "default",
                                .store_first = 7,
                                .partitions = 3,
                                .is_latest = true,
                                .is_exact = false,
                                .topics_count = 2,
                                .topics = topics,
                                .statement = TN_STR("CREATE STREAM s (a INT)\n\nWITH (x: y)")};
    struct tn_buf buf;
    struct tni_record got;
    struct tn_err err = TN_ERR_INIT;
    tn_buf_init(&buf, 1 << 16);
    tni_record_encode(&record, &buf);
    CHECK_OK(tni_record_decode(tn_buf_str(&buf), arena, &got, &err), &err);
    CHECK_INT(got.created_ms, 1700000000123);
    CHECK_STR(tn_str_of(got.schema_name), "default");
    CHECK_INT(got.store_first, 7);
    CHECK_INT(got.partitions, 3);
    CHECK(got.is_latest && !got.is_exact);
    CHECK_INT(got.topics_count, 2);
    CHECK_STR(tn_str_of(got.topics[0].name), "played-songs");
    CHECK_INT(got.topics[0].partitions, 12);
    CHECK_STR(tn_str_of(got.topics[1].name), "a b");
    CHECK_STR(got.statement, "CREATE STREAM s (a INT)\n\nWITH (x: y)");
    size_t header = tn_buf_str(&buf).len - record.statement.len;
    for (size_t len = 0; len < header; len++)
        CHECK(tni_record_decode((struct tn_str){buf.ptr, len}, arena, &got, NULL) == TN_E_CORRUPT);
    tn_buf_release(&buf);
}

static void test_other_releases(struct tn_arena *arena)
{
    struct tni_record got;
    struct tn_err err = TN_ERR_INIT;
    CHECK_OK(tni_record_decode(TN_STR("tarn-catalog 1\nnew_line: 5\nstore: 2\n\nDROP STREAM s"),
                               arena, &got, &err),
             &err);
    CHECK_INT(got.store_first, 2);
    CHECK_STR(tn_str_of(got.schema_name), "default");
    CHECK(tni_record_decode(TN_STR("tarn-catalog 2\n\nDROP STREAM s"), arena, &got, &err) ==
          TN_E_CORRUPT);
    CHECK(strstr(err.message, "tarn-catalog 2") != NULL);
    CHECK(tni_record_decode(TN_STR("something else\n\nx"), arena, &got, &err) == TN_E_CORRUPT);
}

int main(void)
{
    struct tn_arena arena;
    tn_arena_init(&arena, 0);
    test_round_trip(&arena);
    test_other_releases(&arena);
    tn_arena_release(&arena);
    return TN_TEST_END();
}
