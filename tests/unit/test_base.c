/* Covers stream/base: errors, arena, buffers, nearest names, murmur2 vectors of Kafka's Java
 * client, CRC-32C. */
#include "stream/base/arena.h"
#include "stream/base/buf.h"
#include "stream/base/hash.h"
#include "tests/check.h"

static void test_errors(void)
{
    struct tn_err err = TN_ERR_INIT;
    CHECK(tn_err_set(&err, TN_E_NAME, "no stream '%s'", "x") == TN_E_NAME);
    tn_err_prefix(&err, "source '%s'", "orders");
    CHECK_STR(tn_str_of(err.message), "source 'orders': no stream 'x'");
    CHECK(tn_err_set(NULL, TN_E_IO, "ignored") == TN_E_IO);
}

static void test_arena(void)
{
    struct tn_arena arena;
    tn_arena_init(&arena, 1 << 20);
    for (int i = 0; i < 10000; i++) {
        char *p = tn_arena_alloc(&arena, (size_t)(i % 97) + 1);
        CHECK(((uintptr_t)p & 15) == 0);
        memset(p, 7, (size_t)(i % 97) + 1);
    }
    CHECK(!tn_arena_over(&arena));
    tn_arena_alloc(&arena, 1 << 20);
    CHECK(tn_arena_over(&arena));
    tn_arena_reset(&arena);
    CHECK_STR(tn_str_of(tn_arena_printf(&arena, "%d-%s", 7, "x")), "7-x");
    tn_arena_release(&arena);
}

static void test_buf(void)
{
    struct tn_buf buf;
    tn_buf_init(&buf, 64);
    tn_buf_add_json(&buf, TN_STR("a\"b\\\n\x01"));
    CHECK_STR(tn_buf_str(&buf), "\"a\\\"b\\\\\\n\\u0001\"");
    tn_buf_reset(&buf);
    tn_buf_add_i64(&buf, INT64_MIN);
    CHECK_STR(tn_buf_str(&buf), "-9223372036854775808");
    tn_buf_reset(&buf);
    tn_buf_add_varint(&buf, UINT64_MAX);
    uint64_t value = 0;
    CHECK(tn_varint_read(buf.ptr, buf.ptr + buf.len, &value) == buf.ptr + buf.len);
    CHECK(value == UINT64_MAX);
    CHECK(tn_varint_read(buf.ptr, buf.ptr + buf.len - 1, &value) == NULL);
    tn_buf_reset(&buf);
    tn_buf_add_slice(&buf, TN_STR("slice"));
    struct tn_str slice = {0};
    CHECK(tn_slice_read(buf.ptr, buf.ptr + buf.len, &slice) == buf.ptr + buf.len);
    CHECK_STR(slice, "slice");
    CHECK(tn_slice_read(buf.ptr, buf.ptr + buf.len - 1, &slice) == NULL);
    CHECK(tn_slice_read(NULL, buf.ptr, &slice) == NULL);
    for (int i = 0; i < 100; i++)
        tn_buf_add_text(&buf, "0123456789");
    CHECK(tn_buf_over(&buf) && buf.len <= 64);
    tn_buf_release(&buf);
}

static void test_murmur2(void)
{
    static const struct {
        int32_t key, partition;
    } ints[] = {{0, 4}, {1, 0}, {2, 11}, {3, 7},  {4, 7},  {5, 2},         {6, 11},
                {7, 3}, {8, 6}, {9, 4},  {10, 1}, {-1, 5}, {INT32_MAX, 3}, {INT32_MIN, 6}};
    for (size_t i = 0; i < sizeof ints / sizeof *ints; i++) {
        uint32_t k = (uint32_t)ints[i].key;
        unsigned char b[4] = {(unsigned char)(k >> 24), (unsigned char)(k >> 16),
                              (unsigned char)(k >> 8), (unsigned char)k};
        CHECK_INT(tn_partition_of(b, 4, 12), ints[i].partition);
    }
    static const struct {
        const char *key;
        int32_t partition;
    } texts[] = {{"alex", 8}, {"burr", 11}, {"kamesh", 4}, {"edson", 8}, {"sebi", 5}, {"", 9}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        CHECK_INT(tn_partition_of(texts[i].key, strlen(texts[i].key), 12), texts[i].partition);
    CHECK_INT(tn_murmur2("21", 2), -973932308);
    CHECK_INT(tn_murmur2("foobar", 6), -790332482);
    CHECK_INT(tn_murmur2("abc", 3), 479470107);
}

static void test_names(void)
{
    static const char *const names[] = {"commit.interval.ms", "application.id",
                                        "state.cache.bytes"};
    CHECK_STR(tn_str_of(tn_str_nearest(TN_STR("comit.interval.ms"), names, 3)),
              "commit.interval.ms");
    CHECK(tn_str_nearest(TN_STR("zzz"), names, 3) == NULL);
    CHECK_INT(tn_crc32c(0, "123456789", 9), 0xE3069283u);
    /* long texts go another way than the pieces they are made of */
    char text[5000];
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)(i * i >> 3);
    for (size_t len = 1400; len < sizeof text; len += 97) {
        uint32_t sum = 5;
        for (size_t at = 0; at < len; at += 7)
            sum = tn_crc32c(sum, text + at, len - at < 7 ? len - at : 7);
        CHECK_INT(tn_crc32c(5, text, len), sum);
    }
}

/* Equality of short texts takes a way of its own: every length, every byte that differs. */
static void test_short_texts(void)
{
    char a[16], b[16];
    for (size_t len = 0; len <= 12; len++) {
        memset(a, 'x', sizeof a);
        memset(b, 'x', sizeof b);
        for (size_t other = 0; other <= 12; other++)
            CHECK(tn_str_eq((struct tn_str){a, len}, (struct tn_str){b, other}) == (len == other));
        for (size_t at = 0; at < len; at++) {
            b[at] ^= (char)0x80;
            CHECK(!tn_str_eq((struct tn_str){a, len}, (struct tn_str){b, len}));
            b[at] ^= (char)0x80;
        }
    }
    CHECK(tn_str_eq((struct tn_str){0}, TN_STR("")));
}

int main(void)
{
    test_errors();
    test_arena();
    test_buf();
    test_murmur2();
    test_names();
    test_short_texts();
    return TN_TEST_END();
}
