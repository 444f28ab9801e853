/* Damage in the write-ahead log. A child appends records, each synced, then commits that nobody
 * waited for, and ends without closing. In the synced part every flipped bit, zeroed page and
 * missing end must be refused by name; in the part behind it they only end the log there; what was
 * acknowledged is read back in every case, also after a second crash. */
#include "tests/check.h"
#include "tests/support/conform_log.h"
#include "tests/support/store_fixture.h"
#include "tests/support/temp_folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/db_int.h"
#include "stream/base/mem.h"

#define SYNCED_COUNT   300
#define UNSYNCED_COUNT 40

#define RESULT_FD 3

static struct store_fixture fixture;
static const char *program;

static char note_in_payload[24]; /* of the next record; "": none */

static struct tn_records *record(int number)
{
    struct tn_records_builder rb;
    char text[600];
    int len = snprintf(text, sizeof text, "%d %*s", number, 50 + number * 37 % 400, "");
    if (note_in_payload[0])
        memcpy(text + len - sizeof note_in_payload, note_in_payload, sizeof note_in_payload);
    note_in_payload[0] = 0;
    tn_records_builder_init(&rb);
    tn_records_builder_add(&rb, TN_STR("k"), (struct tn_str){text, (size_t)len}, 1);
    struct tn_records *records = tn_records_builder_finish(&rb);
    tn_records_builder_release(&rb);
    return records;
}

static void must(enum tn_status st, const struct tn_err *err)
{
    if (st == TN_OK)
        return;
    fprintf(stderr, "child: %s\n", err->message);
    _exit(1);
}

static void commit(const struct tn_topic *topic, int number)
{
    struct tn_err err = TN_ERR_INIT;
    struct tn_log_txn *txn;
    uint32_t slot;
    struct tn_records *records = record(number);
    must(fixture.log->type->begin(fixture.log, &txn, &err), &err);
    must(fixture.log->type->txn_append(txn, topic, 0, records, &slot, &err), &err);
    must(fixture.log->type->commit_start(txn, NULL, &err), &err);
    must(fixture.log->type->commit_poll(txn, &err), &err);
    fixture.log->type->txn_close(txn);
    tn_records_unref(records);
}

/* A change of the state that goes around the WAL, but takes a sequence number. */
static void ingest(int number)
{
    enum { ROWS = 5000 };
    static char keys[ROWS][16];
    static struct tn_state_put puts[ROWS];
    struct tn_err err = TN_ERR_INIT;
    char value[32];
    snprintf(value, sizeof value, "%d", number);
    for (int i = 0; i < ROWS; i++) {
        snprintf(keys[i], sizeof keys[0], "k/%05d", i);
        puts[i] = (struct tn_state_put){tn_str_of(keys[i]), tn_str_of(value)};
    }
    struct tn_state_change change = {.puts = puts, .puts_count = ROWS, .is_sorted = true};
    must(fixture.state->type->apply(fixture.state, &change, &err), &err);
}

/* RocksDB begins a new WAL file; the old one stays, other column families need it. */
static void switch_wal(void)
{
    char *message = NULL;
    rocksdb_flushoptions_t *options = rocksdb_flushoptions_create();
    rocksdb_put_cf(fixture.store->db, fixture.store->write_options,
                   fixture.store->cf[TNI_CF_CATALOG], "x", 1, "", 0, &message);
    rocksdb_flush_cf(fixture.store->db, options, fixture.store->cf[TNI_CF_CATALOG], &message);
    rocksdb_flushoptions_destroy(options);
    if (message)
        _exit(2);
}

/* What the child does between its synced records and its commits. */
enum between { NOTHING, SWITCH, INGESTS, AGAIN, SWITCH_FORGED };

/* A payload that looks like the note of a file that is there and was much longer. */
static void forge_note(void)
{
    snprintf(note_in_payload, sizeof note_in_payload, "tarnprev");
    for (int i = 0; i < 8; i++)
        note_in_payload[8 + i] = (char)(fixture.store->mark.file >> 8 * i & 255);
    memset(note_in_payload + 16, 0x7f, 8);
}

static void append_synced(const struct tn_topic *topic, int from)
{
    struct tn_err err = TN_ERR_INIT;
    for (int i = from; i < from + SYNCED_COUNT; i++) {
        enum tn_status st;
        struct tn_records *records = record(i);
        conform_append(fixture.log, topic, 0, records, &st, &err);
        must(st, &err);
        tn_records_unref(records);
    }
}

static _Noreturn void work(const char *folder, enum between between)
{
    store_fixture_init(&fixture);
    temp_folder_remove(fixture.path);
    snprintf(fixture.path, sizeof fixture.path, "%s", folder);
    struct tn_err err = TN_ERR_INIT;
    struct tn_topic topic;
    struct tn_topic_spec spec = {.name = "t",
                                 .partitions_count = 1,
                                 .cleanup = TN_CLEANUP_DELETE,
                                 .retention_ms = -1,
                                 .retention_bytes = -1};
    fixture.config.sync_interval_ms = 60000;
    store_fixture_open(&fixture);
    struct tn_offsets offsets = {0};
    for (int i = 0; between == AGAIN && i < 2; i++)
        ingest(i); /* the very first writes of this process are not in the WAL */
    if (between != AGAIN)
        must(fixture.log->type->topic_create(fixture.log, &spec, &err), &err);
    must(fixture.log->type->topic_find(fixture.log, "t", &topic, &err), &err);
    must(fixture.log->type->offsets(fixture.log, &topic, 0, &offsets, &err), &err);
    int number = (int)offsets.end_visible;
    append_synced(&topic, number);
    number += SYNCED_COUNT;
    struct tni_wal_mark mark = fixture.store->mark;
    for (int i = 0; i < UNSYNCED_COUNT; i++) {
        if (between == INGESTS && i % 7 == 0)
            ingest(i);
        if ((between == SWITCH || between == SWITCH_FORGED) && i == UNSYNCED_COUNT / 2)
            switch_wal();
        if (between == SWITCH_FORGED && i >= UNSYNCED_COUNT / 2)
            forge_note();
        if (between == INGESTS && i == UNSYNCED_COUNT / 2) {
            switch_wal();
            ingest(i);
        }
        commit(&topic, number + i);
    }
    if (write(RESULT_FD, &mark, sizeof mark) != (ssize_t)sizeof mark)
        _exit(1);
    _exit(0); /* nothing is closed */
}

/* A process of its own: threads of RocksDB live on here. */
static void run_child(enum between between, struct tni_wal_mark *ret_mark)
{
    int fds[2], status = -1;
    char mode[2] = {(char)('0' + between), 0};
    CHECK_INT(pipe(fds), 0);
    pid_t pid = fork();
    if (pid == 0) {
        if (dup2(fds[1], RESULT_FD) == RESULT_FD)
            execl(program, program, "child", fixture.path, mode, (char *)NULL);
        _exit(1);
    }
    close(fds[1]);
    *ret_mark = (struct tni_wal_mark){0};
    CHECK_INT(read(fds[0], ret_mark, sizeof *ret_mark), sizeof *ret_mark);
    close(fds[0]);
    waitpid(pid, &status, 0);
    CHECK_INT(status, 0);
    CHECK(ret_mark->bytes > 0 && ret_mark->seq > 0);
}

/* A fresh folder whose WAL is synced up to *ret_mark and goes on behind it. */
static void make_folder_of(enum between between, struct tni_wal_mark *ret_mark)
{
    store_fixture_init(&fixture);
    run_child(between, ret_mark);
}

static void make_folder(struct tni_wal_mark *ret_mark)
{
    make_folder_of(NOTHING, ret_mark);
}

static int open_wal(const struct tni_wal_mark *mark)
{
    char path[400];
    snprintf(path, sizeof path, "%s/db/%06llu.log", fixture.path, (unsigned long long)mark->file);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    CHECK(fd >= 0);
    return fd;
}

static void flip(int fd, uint64_t at, int bit)
{
    unsigned char byte = 0;
    CHECK_INT(pread(fd, &byte, 1, (off_t)at), 1);
    byte ^= (unsigned char)(1 << bit);
    CHECK_INT(pwrite(fd, &byte, 1, (off_t)at), 1);
}

static void check_refused(const struct tni_wal_mark *mark, uint64_t at)
{
    struct tn_err err = TN_ERR_INIT;
    struct tn_store *store = NULL;
    char name[40];
    enum tn_status st = tn_store_open(&fixture.config, &store, &err);
    CHECK_INT(st, TN_E_CORRUPT);
    snprintf(name, sizeof name, "db/%06llu.log", (unsigned long long)mark->file);
    CHECK(strstr(err.message, name) != NULL && strstr(err.message, "damaged at byte") != NULL);
    CHECK(strstr(err.hint, "store.wal.damage=cut") != NULL);
    if (tn_checks_failed)
        fprintf(stderr, "at byte %llu of %llu: %s\n", (unsigned long long)at,
                (unsigned long long)mark->bytes, err.message);
    if (st == TN_OK)
        tn_store_close(store);
}

/* Opens, reads all records; they are the first ones written. Returns how many. */
static int count_records(void)
{
    struct tn_err err = TN_ERR_INIT;
    struct tn_topic topic;
    struct tn_log_reader *reader;
    struct tn_read read;
    int count = 0;
    store_fixture_open(&fixture);
    const struct tn_log_type *type = fixture.log->type;
    if (type->topic_find(fixture.log, "t", &topic, &err) == TN_OK) {
        CHECK_OK(type->reader_open(fixture.log, NULL, &reader, &err), &err);
        while (type->read(reader, &topic, 0, count, 1 << 16, &read, &err) == TN_OK) {
            for (uint32_t i = 0; i < read.records->count; i++, count++)
                CHECK_INT(strtol(read.records->values[i].ptr, NULL, 10), count);
            tn_records_unref(read.records);
        }
        type->reader_close(reader);
    }
    store_fixture_close(&fixture);
    return count;
}

static void test_synced_part(void)
{
    struct tni_wal_mark mark;
    make_folder(&mark);
    int fd = open_wal(&mark);
    for (uint64_t i = 0; i < 400 && !tn_checks_failed; i++) {
        uint64_t at = i < 40 ? i : i * 2654435761u % mark.bytes;
        flip(fd, at, (int)(i % 8));
        check_refused(&mark, at);
        flip(fd, at, (int)(i % 8));
    }
    /* a page of zeros, wherever its borders lie; bytes missing at the end */
    struct stat info;
    CHECK_INT(fstat(fd, &info), 0);
    size_t size = (size_t)info.st_size;
    char *all = tn_alloc_raw(size), zeros[512] = {0};
    CHECK_INT(pread(fd, all, size, 0), (ssize_t)size);
    for (uint64_t at = 0; at + sizeof zeros < mark.bytes && !tn_checks_failed; at += 509) {
        CHECK_INT(pwrite(fd, zeros, sizeof zeros, (off_t)at), sizeof zeros);
        check_refused(&mark, at);
        CHECK_INT(pwrite(fd, all + at, sizeof zeros, (off_t)at), sizeof zeros);
    }
    for (uint64_t at = 1; at < mark.bytes && !tn_checks_failed; at += 997) {
        CHECK_INT(ftruncate(fd, (off_t)at), 0);
        check_refused(&mark, at);
        CHECK_INT(pwrite(fd, all, size, 0), (ssize_t)size);
    }
    tn_free(all);
    /* whole again, and nothing was changed meanwhile */
    CHECK_INT(count_records(), SYNCED_COUNT + UNSYNCED_COUNT);
    close(fd);
    store_fixture_release(&fixture);
}

static void test_unsynced_part(void)
{
    for (uint64_t i = 0; i < 24 && !tn_checks_failed; i++) {
        struct tni_wal_mark mark;
        struct stat info;
        make_folder(&mark);
        int fd = open_wal(&mark);
        CHECK_INT(fstat(fd, &info), 0);
        uint64_t tail = (uint64_t)info.st_size - mark.bytes;
        CHECK(tail > 1000);
        uint64_t at = mark.bytes + i * 2654435761u % (tail - 600);
        char zeros[512] = {0};
        if (i % 3 == 0)
            flip(fd, at, 3);
        else if (i % 3 == 1)
            CHECK_INT(pwrite(fd, zeros, sizeof zeros, (off_t)(i == 1 ? mark.bytes : at)), 512);
        else
            CHECK_INT(ftruncate(fd, (off_t)at), 0);
        int count = count_records();
        CHECK(count >= SYNCED_COUNT && count < SYNCED_COUNT + UNSYNCED_COUNT);
        CHECK_INT(count_records(), count); /* and so it stays */
        close(fd);
        store_fixture_release(&fixture);
    }
}

static void test_cut(void)
{
    struct tni_wal_mark mark;
    make_folder(&mark);
    int fd = open_wal(&mark);
    flip(fd, mark.bytes / 2, 1);
    close(fd);
    check_refused(&mark, mark.bytes / 2);
    fixture.config.wal_damage = "cut";
    int count = count_records();
    CHECK(count > SYNCED_COUNT / 3 && count < SYNCED_COUNT);
    fixture.config.wal_damage = NULL;
    CHECK_INT(count_records(), count);
    store_fixture_release(&fixture);
}

static void test_missing_file(void)
{
    struct tni_wal_mark mark;
    struct tn_err err = TN_ERR_INIT;
    struct tn_store *store = NULL;
    char path[400];
    make_folder(&mark);
    snprintf(path, sizeof path, "%s/db/%06llu.log", fixture.path, (unsigned long long)mark.file);
    CHECK_INT(unlink(path), 0);
    CHECK_INT(tn_store_open(&fixture.config, &store, &err), TN_E_CORRUPT);
    CHECK(strstr(err.message, ".log file in db/ is missing") != NULL);
    snprintf(path, sizeof path, "%s/synced", fixture.path);
    CHECK_INT(unlink(path), 0);
    CHECK_INT(count_records(), 0);
    store_fixture_release(&fixture);
}

static void cut_at_mark(const struct tni_wal_mark *mark)
{
    int fd = open_wal(mark);
    CHECK_INT(ftruncate(fd, (off_t)mark->bytes), 0);
    close(fd);
}

/* The disk kept a file and lost the end of the one before it, from a record's border on: what is in
 * the later file must not be read. */
static void test_hole(void)
{
    struct tni_wal_mark mark;
    make_folder_of(SWITCH, &mark);
    cut_at_mark(&mark);
    CHECK_INT(count_records(), SYNCED_COUNT);
    CHECK_INT(count_records(), SYNCED_COUNT);
    store_fixture_release(&fixture);
    make_folder_of(SWITCH, &mark);
    CHECK_INT(count_records(), SYNCED_COUNT + UNSYNCED_COUNT);
    store_fixture_release(&fixture);
}

/* What a payload says is no note. */
static void test_forged_note(void)
{
    struct tni_wal_mark mark;
    make_folder_of(SWITCH_FORGED, &mark);
    CHECK_INT(count_records(), SYNCED_COUNT + UNSYNCED_COUNT);
    store_fixture_release(&fixture);
}

/* Ingested files take sequence numbers: gaps that are no holes. */
static void test_gaps(void)
{
    struct tni_wal_mark mark;
    make_folder_of(INGESTS, &mark);
    CHECK_INT(count_records(), SYNCED_COUNT + UNSYNCED_COUNT);
    store_fixture_release(&fixture);
}

/* Two crashes without a clean close between them: the second opening meets no damage of the first,
 * wherever the sequence numbers went on. */
static void test_twice(void)
{
    for (int i = 0; i < 2; i++) {
        struct tni_wal_mark mark;
        make_folder_of(i == 0 ? NOTHING : SWITCH, &mark);
        mark.bytes += i == 0 ? 700 : 0;
        cut_at_mark(&mark);
        run_child(AGAIN, &mark);
        int count = count_records();
        CHECK(count >= 2 * SYNCED_COUNT + UNSYNCED_COUNT);
        CHECK(count < 2 * SYNCED_COUNT + 2 * UNSYNCED_COUNT);
        store_fixture_release(&fixture);
    }
}

int main(int argc, char **argv)
{
    program = argv[0];
    if (argc == 4 && strcmp(argv[1], "child") == 0)
        work(argv[2], (enum between)(argv[3][0] - '0'));
    test_synced_part();
    test_unsynced_part();
    test_cut();
    test_missing_file();
    test_hole();
    test_forged_note();
    test_gaps();
    test_twice();
    return TN_TEST_END();
}
