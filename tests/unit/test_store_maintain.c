/* Retention, holds and compaction of the embedded log. Compaction runs against a model: after every
 * pass each record that is the last of its key, or not covered by the pass, is there at its offset;
 * nothing else is required to be. */
#include <dirent.h>
#include <dlfcn.h>
#include <sys/stat.h>
#include <time.h>

#include "stream/base/mem.h"
#include "tests/check.h"
#include "tests/support/conform_log.h"
#include "tests/support/store_fixture.h"

static struct store_fixture fixture;

static struct tn_topic make_topic(const char *name, enum tn_cleanup cleanup, int64_t retention_ms,
                                  int64_t retention_bytes)
{
    struct tn_err err = TN_ERR_INIT;
    struct tn_topic topic = {0};
    struct tn_topic_spec spec = {.name = name,
                                 .partitions_count = 2,
                                 .cleanup = cleanup,
                                 .retention_ms = retention_ms,
                                 .retention_bytes = retention_bytes};
    CHECK_OK(fixture.log->type->topic_create(fixture.log, &spec, &err), &err);
    CHECK_INT(fixture.log->type->topic_find(fixture.log, name, &topic, &err), TN_OK);
    return topic;
}

static void append(const struct tn_topic *topic, const char *key, const char *value,
                   int64_t timestamp_ms)
{
    struct tn_records_builder rb;
    struct tn_err err = TN_ERR_INIT;
    enum tn_status st;
    tn_records_builder_init(&rb);
    tn_records_builder_add(&rb, tn_str_of(key), tn_str_of(value), timestamp_ms);
    struct tn_records *records = tn_records_builder_finish(&rb);
    conform_append(fixture.log, topic, 1, records, &st, &err);
    CHECK_OK(st, &err);
    tn_records_unref(records);
    tn_records_builder_release(&rb);
}

static void maintain(void)
{
    struct tn_err err = TN_ERR_INIT;
    CHECK_OK(tn_rocks_log_maintain(fixture.log, &err), &err);
}

static struct tn_offsets offsets_of(const struct tn_topic *topic)
{
    struct tn_err err = TN_ERR_INIT;
    struct tn_offsets offsets = {0};
    CHECK_OK(fixture.log->type->offsets(fixture.log, topic, 1, &offsets, &err), &err);
    return offsets;
}

static void hold(const struct tn_topic *topic, const char *holder, int64_t offset)
{
    fixture.log->type->hold(fixture.log, topic, 1, holder, offset);
}

static void reopen(void)
{
    store_fixture_close(&fixture);
    store_fixture_open(&fixture);
}

/* "offset:key=value;" of everything that can be read from `offset` on. */
static void read_text(const struct tn_topic *topic, int64_t offset, char *text, size_t text_size)
{
    struct tn_err err = TN_ERR_INIT;
    struct tn_log_reader *reader = NULL;
    size_t used = 0;
    text[0] = 0;
    CHECK_OK(fixture.log->type->reader_open(fixture.log, NULL, &reader, &err), &err);
    for (;;) {
        struct tn_read read = {0};
        enum tn_status st = fixture.log->type->read(reader, topic, 1, offset, 1 << 16, &read, &err);
        if (st != TN_OK) {
            CHECK_INT(st, TN_AGAIN);
            break;
        }
        for (uint32_t i = 0; i < read.records->count; i++)
            used += (size_t)snprintf(text + used, text_size - used, "%lld:%.*s=%.*s;",
                                     (long long)read.records->offsets[i],
                                     TN_STR_FMT(read.records->keys[i]),
                                     TN_STR_FMT(read.records->values[i]));
        offset = read.next;
        tn_records_unref(read.records);
    }
    fixture.log->type->reader_close(reader);
}

#define CHECK_READ(topic, offset, want)                                                            \
    do {                                                                                           \
        char text_[4096];                                                                          \
        read_text(topic, offset, text_, sizeof text_);                                             \
        CHECK_STR(tn_str_of(text_), want);                                                         \
    } while (0)

/* ---- space ---- */

static int64_t blob_bytes(void)
{
    char path[512];
    int64_t bytes = 0;
    snprintf(path, sizeof path, "%s/db", fixture.path);
    DIR *folder = opendir(path);
    CHECK(folder != NULL);
    for (const struct dirent *file; folder && (file = readdir(folder));) {
        struct stat info;
        if (strstr(file->d_name, ".blob") && fstatat(dirfd(folder), file->d_name, &info, 0) == 0)
            bytes += info.st_size;
    }
    if (folder)
        closedir(folder);
    return bytes;
}

/* Big records in a topic, compacted or with retention: what was dropped is given back to the disk.
 */
static void check_space(enum tn_cleanup cleanup, int64_t retention_bytes)
{
    enum { RECORD_BYTES = 1 << 20, RECORDS = 90, DAY_MS = 86400000, TRIES = 120000 };
    store_fixture_init(&fixture);
    fixture.config.maintain_interval_ms = DAY_MS; /* nothing is dropped meanwhile */
    store_fixture_open(&fixture);
    struct tn_topic topic = make_topic("big", cleanup, -1, retention_bytes);
    char *value = tn_alloc(RECORD_BYTES + 1);
    memset(value, 'x', RECORD_BYTES);
    for (int i = 0; i < RECORDS; i++)
        append(&topic, i % 2 ? "a" : "b", value, 1);
    reopen(); /* flushes */
    int64_t before = blob_bytes();
    CHECK(before >= (int64_t)RECORDS * RECORD_BYTES);
    int64_t after = before;
    for (int i = 0; i < TRIES && after >= before / 3;
         i++) { /* RocksDB's threads delete the files */
        maintain();
        after = blob_bytes();
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    if (after >= before / 3)
        fprintf(stderr, "%lld bytes of blob files were kept, of %lld\n", (long long)after,
                (long long)before);
    CHECK(after < before / 3);
    tn_free(value);
    store_fixture_release(&fixture);
}

/* RocksDB sums with our function (store/crc.c): a slow ingest would be the only other sign. */
static void test_crc_is_ours(void)
{
    uint32_t (*taken)(uint32_t, const char *, size_t) = NULL;
    *(void **)&taken = dlsym(RTLD_DEFAULT, "_ZN7rocksdb6crc32c6ExtendEjPKcm");
    CHECK(taken != NULL);
    CHECK_INT(taken(0, "123456789", 9), 0xE3069283u);
    CHECK_INT(taken(taken(0, "1234", 4), "56789", 5), 0xE3069283u);
    Dl_info where = {0}, here = {0};
    CHECK(dladdr(*(void **)&taken, &where) != 0 && dladdr((void *)&fixture, &here) != 0);
    CHECK(where.dli_fbase == here.dli_fbase);
}

/* ---- retention ---- */

static void test_retention_time(void)
{
    store_fixture_init(&fixture);
    fixture.clock.wall_ms = 100000;
    store_fixture_open(&fixture);
    struct tn_topic topic = make_topic("t", TN_CLEANUP_DELETE, 1000, -1);
    struct tn_topic keep = make_topic("keep", TN_CLEANUP_DELETE, -1, -1);
    append(&topic, "a", "1", 98000);
    append(&topic, "b", "2", 98500);
    append(&topic, "c", "3", 99500);
    append(&topic, "d", "4", 98000); /* old, but behind a younger one */
    append(&keep, "a", "1", 0);
    hold(&topic, "sink x", 1);
    maintain();
    CHECK_INT(offsets_of(&topic).start, 1);
    hold(&topic, "sink x", 4);
    maintain();
    CHECK_INT(offsets_of(&topic).start, 2);
    CHECK_INT(offsets_of(&keep).start, 0);
    CHECK_READ(&topic, 2, "2:c=3;3:d=4;");

    struct tn_log_reader *reader = NULL;
    struct tn_err err = TN_ERR_INIT;
    struct tn_read read;
    CHECK_OK(fixture.log->type->reader_open(fixture.log, NULL, &reader, &err), &err);
    CHECK_INT(fixture.log->type->read(reader, &topic, 1, 1, 100, &read, &err), TN_E_INVALID);
    fixture.log->type->reader_close(reader);

    int64_t bytes = offsets_of(&topic).bytes;
    reopen();
    CHECK_INT(offsets_of(&topic).start, 2);
    CHECK_INT(offsets_of(&topic).end_visible, 4);
    CHECK_INT(offsets_of(&topic).bytes, bytes);
    CHECK_READ(&topic, 2, "2:c=3;3:d=4;");

    fixture.clock.wall_ms = 200000;
    maintain();
    CHECK_INT(offsets_of(&topic).start, 4);
    CHECK_INT(offsets_of(&topic).bytes, 0);
    reopen(); /* an empty partition keeps its end */
    CHECK_INT(offsets_of(&topic).start, 4);
    CHECK_INT(offsets_of(&topic).end_visible, 4);
    append(&topic, "e", "5", 200000);
    CHECK_READ(&topic, 4, "4:e=5;");
    struct tn_rocks_log_stats stats;
    tn_rocks_log_stats(fixture.log, &stats);
    CHECK_INT(stats.expired_count, 0); /* since the last open */
    store_fixture_release(&fixture);
}

/* Changelogs of windows age by their own records: events of years ago keep their windows. */
static void test_retention_of_windows(void)
{
    store_fixture_init(&fixture);
    fixture.clock.wall_ms = 1800000000000;
    store_fixture_open(&fixture);
    struct tn_topic topic = make_topic("w", TN_CLEANUP_BOTH, 1000, -1);
    append(&topic, "a", "1", 5000);
    append(&topic, "b", "2", 5900);
    maintain();
    CHECK_READ(&topic, 0, "0:a=1;1:b=2;");
    reopen();
    maintain();
    CHECK_INT(offsets_of(&topic).start, 0);
    append(&topic, "c", "3", 8000);
    maintain();
    CHECK_READ(&topic, 2, "2:c=3;");
    CHECK_INT(offsets_of(&topic).start, 2);
    store_fixture_release(&fixture);
}

static void test_retention_bytes(void)
{
    store_fixture_init(&fixture);
    store_fixture_open(&fixture);
    struct tn_topic topic = make_topic("t", TN_CLEANUP_DELETE, -1, 0);
    for (int i = 0; i < 10; i++)
        append(&topic, "k", "0123456789", i);
    int64_t bytes = offsets_of(&topic).bytes;
    CHECK(bytes >= 10 * 11);
    struct tn_topic limited = make_topic("limited", TN_CLEANUP_DELETE, -1, bytes / 2);
    for (int i = 0; i < 10; i++)
        append(&limited, "k", "0123456789", i);
    maintain();
    CHECK_INT(offsets_of(&topic).start, 10);
    CHECK_INT(offsets_of(&limited).start, 5);
    CHECK(offsets_of(&limited).bytes >= bytes / 2);
    store_fixture_release(&fixture);
}

static bool see_hold(void *ctx, const char *topic, int32_t partition, const char *holder,
                     int64_t offset)
{
    char *text = ctx;
    size_t used = strlen(text);
    snprintf(text + used, 256 - used, "%s/%d %s %lld;", topic, partition, holder,
             (long long)offset);
    return true;
}

static void check_holds(const char *want)
{
    char text[256] = "";
    tn_rocks_log_holds_each(fixture.log, see_hold, text);
    CHECK_STR(tn_str_of(text), want);
}

static void test_holds(void)
{
    store_fixture_init(&fixture);
    store_fixture_open(&fixture);
    struct tn_topic topic = make_topic("t", TN_CLEANUP_DELETE, -1, 0);
    for (int i = 0; i < 10; i++)
        append(&topic, "k", "v", i);
    hold(&topic, "b", 3);
    hold(&topic, "a", 2);
    check_holds("t/1 b 3;t/1 a 2;");
    maintain();
    CHECK_INT(offsets_of(&topic).start, 2);
    hold(&topic, "a", 7);
    hold(&topic, "b", 5);
    reopen(); /* moves are not stored at once: the old ones count until their owners speak */
    check_holds("t/1 a 2;t/1 b 3;");
    maintain();
    CHECK_INT(offsets_of(&topic).start, 2);
    hold(&topic, "b", -1);
    hold(&topic, "b", -1);
    hold(&topic, "a", 7);
    maintain();
    CHECK_INT(offsets_of(&topic).start, 7);
    reopen();
    check_holds("t/1 a 7;");
    hold(&topic, "a", -1);
    reopen();
    check_holds("");
    maintain();
    CHECK_INT(offsets_of(&topic).start, 10);
    store_fixture_release(&fixture);
}

/* ---- compaction ---- */

static void test_compaction_small(void)
{
    store_fixture_init(&fixture);
    fixture.config.delete_retention_ms = 1000;
    fixture.clock.wall_ms = 10000;
    store_fixture_open(&fixture);
    struct tn_topic topic = make_topic("t", TN_CLEANUP_COMPACT, -1, -1);
    append(&topic, "a", "1", 1);
    append(&topic, "b", "2", 2);
    append(&topic, "a", "3", 3);
    append(&topic, "b", NULL, 4);
    append(&topic, NULL, "no key", 5);
    append(&topic, "c", "6", 6);
    append(&topic, "a", "7", 7);
    hold(&topic, "restore", 5);
    maintain(); /* below 5: a@0 and b@1 are superseded */
    CHECK_READ(&topic, 0, "2:a=3;3:b=;4:=no key;5:c=6;6:a=7;");
    hold(&topic, "restore", -1);
    int64_t bytes = offsets_of(&topic).bytes;
    maintain();
    CHECK_READ(&topic, 0, "3:b=;4:=no key;5:c=6;6:a=7;");
    CHECK_READ(&topic, 1, "3:b=;4:=no key;5:c=6;6:a=7;");
    CHECK_READ(&topic, 6, "6:a=7;");
    CHECK(offsets_of(&topic).bytes < bytes);
    CHECK_INT(offsets_of(&topic).start, 0);
    maintain(); /* the tombstone's time has not come */
    CHECK_READ(&topic, 0, "3:b=;4:=no key;5:c=6;6:a=7;");
    fixture.clock.wall_ms += 1000;
    maintain();
    CHECK_READ(&topic, 0, "4:=no key;5:c=6;6:a=7;");
    append(&topic, "c", NULL, 8);
    maintain();
    fixture.clock.wall_ms += 1000;
    maintain();
    fixture.clock.wall_ms += 1000;
    maintain();
    CHECK_READ(&topic, 0, "4:=no key;6:a=7;");
    reopen();
    CHECK_READ(&topic, 0, "4:=no key;6:a=7;");
    CHECK_READ(&topic, 7, ""); /* a hole at the end is stepped over */
    int64_t offset = -1;
    struct tn_err err = TN_ERR_INIT;
    CHECK_OK(fixture.log->type->offset_at(fixture.log, &topic, 1, 6, &offset, &err), &err);
    CHECK_INT(offset, 6);
    CHECK_OK(fixture.log->type->offset_at(fixture.log, &topic, 1, 8, &offset, &err), &err);
    CHECK_INT(offset, 8);
    append(&topic, "d", "9", 9);
    CHECK_READ(&topic, 0, "4:=no key;6:a=7;8:d=9;");
    store_fixture_release(&fixture);
}

#define MODEL_KEYS    500u
#define MODEL_RECORDS 30000u

struct model {
    uint32_t count;
    uint16_t keys[MODEL_RECORDS];
    bool is_tombstone[MODEL_RECORDS];
    int64_t last[MODEL_KEYS]; /* offset of the key's last record, −1 none */
};

static uint64_t seed = 7;

static uint64_t next_random(void)
{
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    return seed >> 33;
}

static void model_append(const struct tn_topic *topic, struct model *model, uint32_t count)
{
    struct tn_records_builder rb;
    struct tn_err err = TN_ERR_INIT;
    enum tn_status st;
    tn_records_builder_init(&rb);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = model->count++;
        char key[32], value[64];
        model->keys[at] = (uint16_t)(next_random() % MODEL_KEYS);
        model->is_tombstone[at] = next_random() % 5 == 0;
        model->last[model->keys[at]] = at;
        int key_len = snprintf(key, sizeof key, "key-%u", model->keys[at]);
        int value_len = snprintf(value, sizeof value, "%u", at);
        tn_records_builder_add(&rb, (struct tn_str){key, (size_t)key_len},
                               model->is_tombstone[at] ? (struct tn_str){NULL, 0}
                                                       : (struct tn_str){value, (size_t)value_len},
                               at);
    }
    struct tn_records *records = tn_records_builder_finish(&rb);
    conform_append(fixture.log, topic, 1, records, &st, &err);
    CHECK_OK(st, &err);
    tn_records_unref(records);
    tn_records_builder_release(&rb);
}

/* All that must be there is there, unchanged; returns how many records are there. */
static uint32_t model_check(const struct tn_topic *topic, const struct model *model,
                            bool tombs_may_go)
{
    struct tn_err err = TN_ERR_INIT;
    struct tn_log_reader *reader = NULL;
    bool *seen = tn_alloc(MODEL_RECORDS);
    uint32_t wrong = 0, count = 0;
    CHECK_OK(fixture.log->type->reader_open(fixture.log, NULL, &reader, &err), &err);
    for (int64_t offset = 0; offset < model->count;) {
        struct tn_read read = {0};
        enum tn_status st = fixture.log->type->read(reader, topic, 1, offset, 1 << 14, &read, &err);
        if (st == TN_AGAIN)
            break;
        CHECK_OK(st, &err);
        if (st != TN_OK)
            break;
        for (uint32_t i = 0; i < read.records->count; i++) {
            int64_t at = read.records->offsets[i];
            char key[32], value[32];
            snprintf(key, sizeof key, "key-%u", model->keys[at]);
            snprintf(value, sizeof value, "%lld", (long long)at);
            wrong +=
                at < offset || seen[at] || read.records->timestamps_ms[i] != at ||
                !tn_str_eq(read.records->keys[i], tn_str_of(key)) ||
                (model->is_tombstone[at] ? read.records->values[i].ptr != NULL
                                         : !tn_str_eq(read.records->values[i], tn_str_of(value)));
            seen[at] = true;
            count++;
        }
        CHECK(read.next > offset);
        offset = read.next;
        tn_records_unref(read.records);
    }
    fixture.log->type->reader_close(reader);
    CHECK_INT(wrong, 0);
    for (uint32_t k = 0; k < MODEL_KEYS; k++)
        if (model->last[k] >= 0 && !(tombs_may_go && model->is_tombstone[model->last[k]]))
            wrong += !seen[model->last[k]];
    CHECK_INT(wrong, 0);
    tn_free(seen);
    return count;
}

static void test_compaction_model(void)
{
    store_fixture_init(&fixture);
    fixture.config.compaction_bytes = 32 * 1024; /* several passes */
    fixture.config.delete_retention_ms = 1000;
    store_fixture_open(&fixture);
    struct tn_topic topic = make_topic("t", TN_CLEANUP_COMPACT, -1, -1);
    struct model *model = tn_alloc(sizeof *model);
    for (uint32_t k = 0; k < MODEL_KEYS; k++)
        model->last[k] = -1;
    for (int round = 0; round < 12; round++) {
        static const uint32_t sizes[] = {1, 3, 40, 900};
        while (model->count < (uint32_t)(round + 1) * 2000)
            model_append(&topic, model, sizes[next_random() % 4]);
        bool time_passes = round % 4 == 3;
        fixture.clock.wall_ms += time_passes ? 5000 : 0;
        maintain();
        CHECK(model_check(&topic, model, round >= 3) <= MODEL_KEYS);
        if (round % 3 == 2) {
            reopen();
            CHECK(model_check(&topic, model, round >= 3) <= MODEL_KEYS);
        }
    }
    /* clean partitions are left alone */
    struct tn_rocks_log_stats before, after;
    struct tn_store_stats store_before, store_after;
    tn_rocks_log_stats(fixture.log, &before);
    tn_store_stats(fixture.store, &store_before);
    maintain();
    tn_rocks_log_stats(fixture.log, &after);
    tn_store_stats(fixture.store, &store_after);
    CHECK_INT(after.compacted_count, before.compacted_count);
    CHECK_INT(store_after.writes_count, store_before.writes_count);
    tn_free(model);
    store_fixture_release(&fixture);
}

int main(void)
{
    test_crc_is_ours();
    check_space(TN_CLEANUP_DELETE, (int64_t)8 << 20);
    check_space(TN_CLEANUP_COMPACT, -1);
    test_retention_time();
    test_retention_of_windows();
    test_retention_bytes();
    test_holds();
    test_compaction_small();
    test_compaction_model();
    return TN_TEST_END();
}
