/* What the store does with trouble: folder in use, other application or format, full disk, file
 * size limit, damaged entries, index rows and table files, catalog versions out of order. */
#include "tests/check.h"
#include "tests/support/conform_log.h"
#include "tests/support/store_fixture.h"
#include "tests/support/temp_folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/log_int.h"
#include "stream/base/mem.h"

static struct store_fixture fixture;

static struct tn_records *some_records(uint32_t count, size_t value_len)
{
    struct tn_records_builder rb;
    char *value = tn_alloc(value_len + 1);
    memset(value, 'x', value_len);
    tn_records_builder_init(&rb);
    for (uint32_t i = 0; i < count; i++)
        tn_records_builder_add(&rb, TN_STR("key"), (struct tn_str){value, value_len}, i);
    struct tn_records *records = tn_records_builder_finish(&rb);
    tn_records_builder_release(&rb);
    tn_free(value);
    return records;
}

static struct tn_topic make_topic(const char *name)
{
    struct tn_err err = TN_ERR_INIT;
    struct tn_topic topic = {0};
    struct tn_topic_spec spec = {.name = name,
                                 .partitions_count = 4,
                                 .cleanup = TN_CLEANUP_DELETE,
                                 .retention_ms = -1,
                                 .retention_bytes = -1};
    CHECK_OK(fixture.log->type->topic_create(fixture.log, &spec, &err), &err);
    CHECK_INT(fixture.log->type->topic_find(fixture.log, name, &topic, &err), TN_OK);
    return topic;
}

static enum tn_status append(const struct tn_topic *topic, uint32_t count, size_t value_len,
                             struct tn_err *err)
{
    enum tn_status st;
    struct tn_records *records = some_records(count, value_len);
    conform_append(fixture.log, topic, 3, records, &st, err);
    tn_records_unref(records);
    return st;
}

static enum tn_status read_at(const struct tn_topic *topic, int64_t offset, struct tn_err *err)
{
    struct tn_log_reader *reader = NULL;
    struct tn_read read = {0};
    CHECK_OK(fixture.log->type->reader_open(fixture.log, NULL, &reader, err), err);
    enum tn_status st = fixture.log->type->read(reader, topic, 3, offset, 1 << 20, &read, err);
    if (st == TN_OK)
        tn_records_unref(read.records);
    fixture.log->type->reader_close(reader);
    return st;
}

static void reopen(void)
{
    store_fixture_close(&fixture);
    store_fixture_open(&fixture);
}

/* ---- opening ---- */

static void test_in_use(void)
{
    store_fixture_init(&fixture);
    store_fixture_open(&fixture);
    struct tn_err err = TN_ERR_INIT;
    struct tn_store *second = NULL;
    char pid[32];
    CHECK_INT(tn_store_open(&fixture.config, &second, &err), TN_E_BUSY);
    snprintf(pid, sizeof pid, "(pid %ld)", (long)getpid());
    CHECK(strstr(err.message, pid) != NULL);
    CHECK(strstr(err.message, fixture.path) != NULL);
    CHECK(second == NULL);
    store_fixture_close(&fixture);
    CHECK_OK(tn_store_open(&fixture.config, &second, &err), &err);
    tn_store_close(second);
    store_fixture_release(&fixture);
}

static void test_identity(void)
{
    store_fixture_init(&fixture);
    store_fixture_open(&fixture);
    struct tn_err err = TN_ERR_INIT;
    struct tn_store *store = NULL;
    char id[33], format[4];
    snprintf(id, sizeof id, "%s", tn_store_id(fixture.store));
    CHECK_INT(strlen(id), 32);
    reopen();
    CHECK_STR(tn_str_of(id), tn_store_id(fixture.store));
    store_fixture_close(&fixture);

    struct tn_store_config other = fixture.config;
    other.application_id = "another";
    CHECK_INT(tn_store_open(&other, &store, &err), TN_E_INVALID);
    CHECK(strstr(err.message, "'test'") != NULL && strstr(err.message, "'another'") != NULL);
    CHECK(strstr(err.hint, "application.id=test") != NULL);

    store_fixture_open(&fixture);
    struct tn_store *raw = fixture.store;
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
    tni_put_be32(format, TN_STORE_FORMAT + 7);
    rocksdb_writebatch_put_cf(batch, raw->cf[TNI_CF_META], "Aformat", 7, format, sizeof format);
    CHECK_OK(tni_store_write(raw, batch, true, &err), &err);
    rocksdb_writebatch_destroy(batch);
    store_fixture_close(&fixture);
    err = (struct tn_err)TN_ERR_INIT;
    CHECK_INT(tn_store_open(&fixture.config, &store, &err), TN_E_INVALID);
    char want[64];
    snprintf(want, sizeof want, "has format %u", TN_STORE_FORMAT + 7);
    CHECK(strstr(err.message, want) != NULL);
    snprintf(want, sizeof want, "up to format %u", TN_STORE_FORMAT);
    CHECK(strstr(err.message, want) != NULL);
    store_fixture_release(&fixture);
}

static void test_bad_folder(void)
{
    store_fixture_init(&fixture);
    struct tn_err err = TN_ERR_INIT;
    struct tn_store *store = NULL;
    char path[300];
    snprintf(path, sizeof path, "%s/no/such", fixture.path);
    fixture.config.path = path;
    CHECK_INT(tn_store_open(&fixture.config, &store, &err), TN_E_IO);
    CHECK(strstr(err.message, path) != NULL);
    snprintf(path, sizeof path, "%s/new/", fixture.path);
    CHECK_OK(tn_store_open(&fixture.config, &store, &err), &err);
    tn_store_close(store);
    store_fixture_release(&fixture);
}

/* ---- disk ---- */

static void test_reserve(void)
{
    store_fixture_init(&fixture);
    store_fixture_open(&fixture);
    struct tn_topic topic = make_topic("t");
    struct tn_err err = TN_ERR_INIT;
    CHECK_INT(append(&topic, 1, 10, &err), TN_OK);
    fixture.config.reserve_bytes = INT64_MAX;
    reopen();
    CHECK_INT(append(&topic, 1, 10, &err), TN_E_FULL);
    CHECK(strstr(err.message, fixture.path) != NULL && err.retriable);
    /* processing goes on */
    struct tn_log_txn *txn = NULL;
    struct tn_records *records = some_records(1, 10);
    CHECK_OK(fixture.log->type->begin(fixture.log, &txn, &err), &err);
    CHECK_OK(fixture.log->type->txn_append(txn, &topic, 3, records, NULL, &err), &err);
    CHECK_OK(fixture.log->type->commit_start(txn, NULL, &err), &err);
    CHECK_INT(fixture.log->type->commit_poll(txn, &err), TN_OK);
    fixture.log->type->txn_close(txn);
    tn_records_unref(records);
    struct tn_state_put put = {TN_STR("k"), TN_STR("v")};
    struct tn_state_change change = {.puts = &put, .puts_count = 1};
    CHECK_OK(fixture.state->type->apply(fixture.state, &change, &err), &err);
    fixture.store->config.reserve_bytes = 0; /* somebody made room */
    atomic_store(&fixture.store->room_checked_ns, INT64_MIN);
    CHECK_INT(append(&topic, 1, 10, &err), TN_OK);
    struct tn_rocks_log_stats stats;
    tn_rocks_log_stats(fixture.log, &stats);
    CHECK_INT(stats.refused_count, 1);
    fixture.store->config.reserve_bytes = -1;
    struct tn_store_stats store_stats;
    tn_store_stats(fixture.store, &store_stats);
    CHECK(store_stats.reserve_bytes > 0 && store_stats.reserve_bytes <= 1 << 30);
    store_fixture_release(&fixture);
}

/* A child whose files may not grow beyond 2 MiB: appends fail at some time, and from then on all of
 * them. Its own program run ("limited FOLDER"): a forked copy of a process with threads can do
 * little. */
static int append_until_failure(const char *folder, int count_fd)
{
    struct rlimit limit = {2 << 20, 2 << 20};
    signal(SIGXFSZ, SIG_IGN);
    store_fixture_init(&fixture);
    temp_folder_remove(fixture.path);
    snprintf(fixture.path, sizeof fixture.path, "%s", folder);
    fixture.config.write_buffer_bytes = 64 << 20; /* the WAL is what fails */
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0)
        return 10;
    store_fixture_open(&fixture);
    struct tn_topic topic = make_topic("t");
    struct tn_err err = TN_ERR_INIT;
    uint32_t count = 0;
    while (count < 1000 && append(&topic, 10, 1000, &err) == TN_OK)
        count++;
    if (write(count_fd, &count, sizeof count) != sizeof count)
        return 11;
    if (count == 1000 || !err.fatal)
        return 12;
    for (int i = 0; i < 3; i++)
        if (append(&topic, 1, 1, &err) == TN_OK)
            return 13;
    return 0;
}

static void test_failed_write(const char *program)
{
    int fds[2], how = 0;
    uint32_t count = 0;
    store_fixture_init(&fixture);
    CHECK_INT(pipe(fds), 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(fds[1], 3);
        execl(program, program, "limited", fixture.path, (char *)NULL);
        _exit(14);
    }
    close(fds[1]);
    CHECK(read(fds[0], &count, sizeof count) == sizeof count);
    waitpid(pid, &how, 0);
    CHECK(WIFEXITED(how));
    CHECK_INT(WEXITSTATUS(how), 0);
    close(fds[0]);
    store_fixture_open(&fixture);
    struct tn_topic topic = make_topic("t");
    struct tn_offsets offsets = {0};
    struct tn_err err = TN_ERR_INIT;
    CHECK_OK(fixture.log->type->offsets(fixture.log, &topic, 3, &offsets, &err), &err);
    CHECK(count > 0 && offsets.end_visible >= count * 10);
    CHECK_INT(append(&topic, 1, 1, &err), TN_OK);
    store_fixture_release(&fixture);
}

/* ---- damaged log ---- */

static struct tn_topic log_of_entries(void)
{
    store_fixture_init(&fixture);
    fixture.config.tail_bytes = 0;
    store_fixture_open(&fixture);
    struct tn_topic topic = make_topic("plays");
    struct tn_err err = TN_ERR_INIT;
    for (int i = 0; i < 5; i++)
        CHECK_INT(append(&topic, 10, 20, &err), TN_OK);
    return topic;
}

static char *entry_value(const struct tn_topic *topic, int64_t base, char *key, size_t *ret_len)
{
    char *value = NULL;
    struct tn_err err = TN_ERR_INIT;
    tni_put_be64(tni_put_be32(tni_put_be32(key, topic->id), 3), (uint64_t)base);
    CHECK_OK(tni_store_get(fixture.store, TNI_CF_LOG, (struct tn_str){key, TNI_ENTRY_KEY_BYTES},
                           &value, ret_len, &err),
             &err);
    return value;
}

static void entry_write(const char *key, const char *value, size_t len)
{
    struct tn_err err = TN_ERR_INIT;
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
    if (value)
        rocksdb_writebatch_put_cf(batch, fixture.store->cf[TNI_CF_LOG], key, TNI_ENTRY_KEY_BYTES,
                                  value, len);
    else
        rocksdb_writebatch_delete_cf(batch, fixture.store->cf[TNI_CF_LOG], key,
                                     TNI_ENTRY_KEY_BYTES);
    CHECK_OK(tni_store_write(fixture.store, batch, false, &err), &err);
    rocksdb_writebatch_destroy(batch);
}

static void check_corrupt(const struct tn_topic *topic, int64_t offset, const char *reason)
{
    struct tn_err err = TN_ERR_INIT;
    CHECK_INT(read_at(topic, offset, &err), TN_E_CORRUPT);
    CHECK(strstr(err.message, "topic 'plays' partition 3 offset 20") != NULL);
    if (!strstr(err.message, reason)) {
        CHECK(false);
        fprintf(stderr, "  '%s' does not say '%s'\n", err.message, reason);
    }
}

static void test_bit_flips(void)
{
    struct tn_topic topic = log_of_entries();
    struct tn_err err = TN_ERR_INIT;
    char key[TNI_ENTRY_KEY_BYTES];
    size_t len = 0;
    char *value = entry_value(&topic, 20, key, &len);
    for (size_t at = 0; at < len; at += at < 64 ? 1 : 13) {
        value[at] = (char)(value[at] ^ 1 << at % 8);
        entry_write(key, value, len);
        check_corrupt(&topic, 20, at < 4 ? "magic" : "checksum");
        value[at] = (char)(value[at] ^ 1 << at % 8);
    }
    for (size_t cut = 1; cut < len; cut += 37) {
        entry_write(key, value, len - cut);
        check_corrupt(&topic, 20, "");
    }
    entry_write(key, value, len);
    CHECK_INT(read_at(&topic, 20, &err), TN_OK);
    entry_write(key, NULL, 0);
    check_corrupt(&topic, 20, "missing");
    CHECK_INT(read_at(&topic, 0, &err), TN_E_CORRUPT); /* reads on into the gap: never skipped */
    CHECK_INT(read_at(&topic, 30, &err), TN_OK);
    tn_free(value);
    /* the right bytes in the wrong place */
    char *other = entry_value(&topic, 30, key, &len);
    tni_put_be64(tni_put_be32(tni_put_be32(key, topic.id), 3), 20);
    entry_write(key, other, len);
    check_corrupt(&topic, 20, "another offset");
    tn_free(other);
    store_fixture_release(&fixture);
}

/* ---- damaged files ---- */

/* Flip a byte in the middle of every file with this suffix; returns how many. */
static int flip_files(const char *suffix)
{
    char folder[300];
    snprintf(folder, sizeof folder, "%s/db", fixture.path);
    DIR *dir = opendir(folder);
    int count = 0;
    for (struct dirent *file; (file = readdir(dir));) {
        size_t len = strlen(file->d_name);
        if (len < 4 || strcmp(file->d_name + len - strlen(suffix), suffix) != 0)
            continue;
        int fd = openat(dirfd(dir), file->d_name, O_RDWR);
        off_t at = lseek(fd, 0, SEEK_END) / 3;
        char byte = 0;
        CHECK_INT(pread(fd, &byte, 1, at), 1);
        byte = (char)(byte ^ 0x10);
        CHECK_INT(pwrite(fd, &byte, 1, at), 1);
        close(fd);
        count++;
    }
    closedir(dir);
    return count;
}

static void test_flipped_table(void)
{
    store_fixture_init(&fixture);
    fixture.config.ingest_rows_min = 1;
    store_fixture_open(&fixture);
    struct tn_err err = TN_ERR_INIT;
    enum { ROWS = 20000 };
    static char keys[ROWS][16];
    static struct tn_state_put puts[ROWS];
    for (int i = 0; i < ROWS; i++) {
        snprintf(keys[i], sizeof keys[i], "key%08d", i);
        puts[i] = (struct tn_state_put){tn_str_of(keys[i]), tn_str_of(keys[i])};
    }
    struct tn_state_change change = {.puts = puts, .puts_count = ROWS, .is_sorted = true};
    CHECK_OK(fixture.state->type->apply(fixture.state, &change, &err), &err);
    store_fixture_close(&fixture);
    CHECK(flip_files(".sst") >= 1);
    int found = 0, damaged = 0, wrong = 0;
    struct tn_state *state = NULL;
    struct tn_arena arena;
    tn_arena_init(&arena, 0);
    if (tn_store_open(&fixture.config, &fixture.store, &err) == TN_OK) {
        CHECK_OK(tn_rocks_state_open(fixture.store, &state, &err), &err);
        for (int i = 0; i < ROWS; i += 7) {
            struct tn_str key = tn_str_of(keys[i]), value = {NULL, 0};
            enum tn_status st = state->type->multi_get(state, NULL, &key, 1, &arena, &value, &err);
            found += st == TN_OK;
            damaged += st == TN_E_CORRUPT;
            wrong += st == TN_OK && !tn_str_eq(value, key);
        }
        CHECK_INT(found + damaged, (ROWS + 6) / 7);
        CHECK_INT(wrong, 0);
        state->type->close(state);
        tn_store_close(fixture.store);
        fixture.store = NULL;
    } else {
        damaged = err.code == TN_E_CORRUPT;
    }
    CHECK(damaged > 0);
    tn_arena_release(&arena);
    store_fixture_release(&fixture);
}

static void test_flipped_blob(void)
{
    struct tn_topic topic = log_of_entries();
    struct tn_err err = TN_ERR_INIT;
    CHECK_INT(append(&topic, 4000, 20, &err), TN_OK); /* large enough for a blob file */
    store_fixture_close(&fixture);
    CHECK(flip_files(".blob") >= 1);
    store_fixture_open(&fixture);
    CHECK_INT(read_at(&topic, 50, &err), TN_E_CORRUPT);
    CHECK(strstr(err.message, "topic 'plays' partition 3 offset 50") != NULL);
    store_fixture_release(&fixture);
}

/* ---- catalog ---- */

struct seen_catalog {
    int64_t last;
    char text[256];
};

static enum tn_status see_record(void *ctx, int64_t version, struct tn_str record,
                                 struct tn_err *err)
{
    struct seen_catalog *seen = ctx;
    size_t used = strlen(seen->text);
    if (version == 9)
        return tn_err_set(err, TN_E_CANCELLED, "enough");
    snprintf(seen->text + used, sizeof seen->text - used, "%lld=%.*s;", (long long)version,
             TN_STR_FMT(record));
    seen->last = version;
    return TN_OK;
}

static void test_catalog(void)
{
    store_fixture_init(&fixture);
    store_fixture_open(&fixture);
    struct tn_err err = TN_ERR_INIT;
    struct tn_catalog_store *catalog = fixture.catalog;
    CHECK_OK(catalog->append(catalog, 1, TN_STR("create a"), &err), &err);
    CHECK_OK(catalog->append(catalog, 2, TN_STR("drop a"), &err), &err);
    CHECK_INT(catalog->append(catalog, 2, TN_STR("lost race"), &err), TN_E_BUSY);
    CHECK_INT(catalog->append(catalog, 4, TN_STR("gap"), &err), TN_E_BUSY);
    CHECK(strstr(err.message, "version 2") != NULL && strstr(err.message, "version 4") != NULL);
    reopen();
    catalog = fixture.catalog;
    CHECK_OK(catalog->append(catalog, 3, TN_STR("create b"), &err), &err);
    struct seen_catalog seen = {0};
    CHECK_OK(catalog->each(catalog, see_record, &seen, &err), &err);
    CHECK_STR(tn_str_of(seen.text), "1=create a;2=drop a;3=create b;");
    for (int64_t version = 4; version <= 12; version++)
        CHECK_OK(catalog->append(catalog, version, TN_STR("x"), &err), &err);
    CHECK_INT(catalog->each(catalog, see_record, &seen, &err), TN_E_CANCELLED);
    CHECK_INT(seen.last, 8);
    store_fixture_release(&fixture);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "limited") == 0)
        _exit(append_until_failure(argv[2], 3));
    test_in_use();
    test_identity();
    test_bad_folder();
    test_reserve();
    test_failed_write(argv[0]);
    test_bit_flips();
    test_flipped_table();
    test_flipped_blob();
    test_catalog();
    return TN_TEST_END();
}
