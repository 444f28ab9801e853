/* The synced part of the write-ahead log; see wal_int.h.
 *
 * WHY: RocksDB's point-in-time recovery ends at the first record it cannot read. After a power loss
 * that is right for a torn end, which nobody was told of. A flipped bit in the middle looks the
 * same, and everything behind it, acknowledged or not, would be gone without a word. RocksDB does
 * not store which part was synced, so the store does.
 *
 * HOW IT WORKS: after each sync <state>/synced gets a mark: WAL file F, its size S, the last
 * sequence number M written before the sync began. All files before F, and the first S bytes of F,
 * are synced, and so is every record up to M. The mark is not synced itself: an older one is also
 * true. Two slots, written in turn, so that a torn write leaves the other.
 *
 * Before RocksDB opens, the WAL files are read in order, every record by its checksum. The first
 * damage is
 * - harmless, when a later file goes on with the very next sequence number: what was lost had never
 *   been taken (a failed write); RocksDB reads on there, too;
 * - rot, when M lies behind the last record before it: the open is refused, or with
 *   store.wal.damage=cut goes on with what is before;
 * - a torn end otherwise.
 * What is not harmless is cut off and later files are removed: the log is what it was when its last
 * good record was written. No damage stays behind, so that a second crash meets none of an earlier
 * one.
 *
 * HOLES. A disk may keep a file and lose the unsynced end of the one before. No checksum shows that
 * when the end is lost from a record's border on, and RocksDB 7.8 reads over it (its issue 12488):
 * the positions of later commits without the records of earlier ones. Sequence numbers do not show
 * it either: ingested files take some, too, and so do files that RocksDB needs no more and removes
 * in any order. So each batch carries a note (log data: in the WAL only): the file that the last
 * write before it went to, and that file's size. The first record of a file is what decides: when
 * the file it notes is there, but shorter, an end is lost. A file that is not there was needed no
 * more. Writes that overlapped in time are not told apart, and need not be: none builds on the
 * other.
 *
 * WAL format (RocksDB 7.8): blocks of 32 KiB of fragments: masked CRC-32C of the rest u32, length
 * u16, type u8, bytes. A record is a write batch: sequence number u64, count u32, entries (tag u8,
 * varint column family unless it is the default one, slices). All little endian.
 */
#include "store/wal_int.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "stream/base/buf.h"
#include "stream/base/hash.h"
#include "stream/base/mem.h"

#define BLOCK_BYTES    32768
#define FRAGMENT_BYTES 7
#define BATCH_BYTES    12
#define SLOT_BYTES     512 /* a sector: never torn */
#define MAGIC          "tarnsync"
#define NOTE_MAGIC     "tarnprev"
#define NOTE_BYTES     24
#define STAMP_NS       ((int64_t)20 * 1000 * 1000)
#define RECORD_MAX     ((size_t)1 << 30)

enum fragment { FRAGMENT_FULL = 1, FRAGMENT_FIRST, FRAGMENT_MIDDLE, FRAGMENT_LAST };

/* Entries of a batch, those that the store writes. */
enum tag {
    TAG_DELETE,
    TAG_PUT,
    TAG_LOG_DATA = 3,
    TAG_FAMILY_DELETE,
    TAG_FAMILY_PUT,
    TAG_FAMILY_RANGE = 14,
    TAG_RANGE
};

static uint64_t load_le(const char *from, int bytes)
{
    uint64_t value = 0;
    for (int i = bytes; i-- > 0;)
        value = value << 8 | (unsigned char)from[i];
    return value;
}

static char *store_le64(char *to, uint64_t value)
{
    for (int i = 0; i < 8; i++)
        *to++ = (char)(value >> 8 * i & 255);
    return to;
}

/* ---- the mark ---- */

/* magic, counter, file, bytes, seq, crc: 48 bytes */
static void write_mark(struct tn_store *store, const struct tni_wal_mark *mark)
{
    char slot[48] = MAGIC, *to = slot + 8;
    store->mark = *mark;
    store->mark.counter++;
    to = store_le64(to, store->mark.counter);
    to = store_le64(to, mark->file);
    to = store_le64(to, mark->bytes);
    to = store_le64(to, mark->seq);
    store_le64(to, tn_crc32c(0, slot, 40));
    off_t at = (off_t)(store->mark.counter % 2) * SLOT_BYTES;
    (void)!pwrite(store->mark_fd, slot, sizeof slot, at); /* an older mark is true as well */
}

static void load_slot(struct tn_store *store, off_t at)
{
    char slot[48];
    if (pread(store->mark_fd, slot, sizeof slot, at) != (ssize_t)sizeof slot ||
        memcmp(slot, MAGIC, 8) != 0 || load_le(slot + 40, 8) != tn_crc32c(0, slot, 40))
        return;
    struct tni_wal_mark mark = {.counter = load_le(slot + 8, 8),
                                .file = load_le(slot + 16, 8),
                                .bytes = load_le(slot + 24, 8),
                                .seq = load_le(slot + 32, 8)};
    if (mark.counter > store->mark.counter)
        store->mark = mark;
}

enum tn_status tni_wal_open(struct tn_store *store, struct tn_err *err)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/synced", store->path);
    store->mark_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (store->mark_fd < 0)
        return tn_err_set(err, TN_E_IO, "state folder '%s': cannot open its file 'synced': %s",
                          store->path, strerror(errno));
    load_slot(store, 0);
    load_slot(store, SLOT_BYTES);
    return TN_OK;
}

void tni_wal_close(struct tn_store *store)
{
    if (store->mark_fd >= 0)
        close(store->mark_fd);
    if (store->wal_fd >= 0)
        close(store->wal_fd);
}

/* ---- files ---- */

/* "000123.log" → 123; 0: another file. */
static uint64_t wal_number(const char *name)
{
    char *end = NULL;
    uint64_t number = name[0] >= '0' && name[0] <= '9' ? strtoull(name, &end, 10) : 0;
    return number && strcmp(end, ".log") == 0 ? number : 0;
}

static void wal_path(const struct tn_store *store, uint64_t number, char *path, size_t path_size)
{
    snprintf(path, path_size, "%s/%06" PRIu64 ".log", store->db_path, number);
}

static int open_wal(const struct tn_store *store, uint64_t number, int flags)
{
    char path[4096];
    wal_path(store, number, path, sizeof path);
    return open(path, flags | O_CLOEXEC);
}

static int compare_numbers(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Numbers of the WAL files in order; tn_free them. */
static size_t list_wals(const struct tn_store *store, uint64_t **ret_numbers)
{
    size_t count = 0, cap = 16;
    uint64_t *numbers = tn_alloc_array(cap, sizeof *numbers);
    DIR *folder = opendir(store->db_path);
    for (struct dirent *file; folder && (file = readdir(folder));) {
        uint64_t number = wal_number(file->d_name);
        if (number == 0)
            continue;
        if (count == cap)
            numbers = tn_realloc(numbers, (cap *= 2) * sizeof *numbers);
        numbers[count++] = number;
    }
    if (folder)
        closedir(folder);
    qsort(numbers, count, sizeof *numbers, compare_numbers);
    *ret_numbers = numbers;
    return count;
}

/* ---- at run time ---- */

void tni_wal_written(struct tn_store *store, const rocksdb_writebatch_t *batch)
{
    size_t len = 0;
    const char *bytes =
        rocksdb_writebatch_data((rocksdb_writebatch_t *)(uintptr_t)batch, &len); /* not changed */
    if (len < BATCH_BYTES || load_le(bytes + 8, 4) == 0)
        return;
    uint64_t seq = load_le(bytes, 8), last = atomic_load(&store->wal_seq);
    while (seq > last && !atomic_compare_exchange_weak(&store->wal_seq, &last, seq))
        ;
}

static uint64_t size_of(int fd)
{
    struct stat info;
    return fd >= 0 && fstat(fd, &info) == 0 ? (uint64_t)info.st_size : 0;
}

static void follow_newest(struct tn_store *store)
{
    uint64_t *numbers;
    size_t count = list_wals(store, &numbers);
    if (count > 0 && (store->wal_fd < 0 || numbers[count - 1] != store->wal_file)) {
        if (store->wal_fd >= 0)
            close(store->wal_fd);
        store->wal_file = numbers[count - 1];
        store->wal_fd = open_wal(store, store->wal_file, O_RDONLY);
    }
    tn_free(numbers);
}

/* No file was made or removed since the last listing. Times of folders advance in steps of some
 * milliseconds: a listing counts only when it came well after this time was first seen. */
static bool is_folder_as_listed(struct tn_store *store)
{
    struct stat info;
    int64_t now = tni_mono_ns();
    if (stat(store->db_path, &info) != 0)
        return false;
    int64_t stamp = (int64_t)info.st_mtim.tv_sec * 1000000000 + info.st_mtim.tv_nsec;
    if (stamp == store->folder_stamp && store->listed_ns - store->stamp_seen_ns >= STAMP_NS)
        return true;
    if (stamp != store->folder_stamp)
        store->stamp_seen_ns = now;
    store->folder_stamp = stamp;
    store->listed_ns = now;
    return false;
}

/* The file that the writes completed so far went to last, and its size. A new file is looked for
 * when one write completed and the known file did not grow, or when several did. */
static void find_place(struct tn_store *store, uint64_t *ret_file, uint64_t *ret_bytes)
{
    pthread_mutex_lock(&store->wal_mu);
    int64_t writes = atomic_load(&store->write_seq);
    uint64_t bytes = size_of(store->wal_fd);
    int64_t more = writes - store->wal_writes;
    if ((more > 1 || (more == 1 && bytes == store->wal_bytes)) && !is_folder_as_listed(store)) {
        follow_newest(store);
        bytes = size_of(store->wal_fd);
    }
    store->wal_writes = writes;
    store->wal_bytes = bytes;
    *ret_file = store->wal_fd >= 0 ? store->wal_file : 0;
    *ret_bytes = bytes;
    pthread_mutex_unlock(&store->wal_mu);
}

/* magic, file, size: 24 bytes */
void tni_wal_note(struct tn_store *store, rocksdb_writebatch_t *batch)
{
    char note[NOTE_BYTES] = NOTE_MAGIC;
    uint64_t file, bytes;
    find_place(store, &file, &bytes);
    if (file == 0)
        return; /* the first write of this process: what was before is synced */
    store_le64(store_le64(note + 8, file), bytes);
    rocksdb_writebatch_put_log_data(batch, note, sizeof note);
}

struct tni_wal_mark tni_wal_before_sync(struct tn_store *store)
{
    struct tni_wal_mark mark = {.counter = store->mark.counter,
                                .seq = atomic_load(&store->wal_seq)};
    find_place(store, &mark.file, &mark.bytes);
    return mark;
}

void tni_wal_after_sync(struct tn_store *store, const struct tni_wal_mark *mark)
{
    if (mark->file && mark->seq) /* else nothing was written by this process */
        write_mark(store, mark);
}

/* ---- reading the WAL ---- */

struct walk {
    struct tn_store *store;
    uint64_t last_seq; /* of the records read */
    const char *damage;
    uint64_t file, at;     /* where */
    uint64_t fragment_seq; /* first number of the damaged record where it can be read; else 0 */
    /* the record being put together */
    uint64_t record_at;
    char head[BATCH_BYTES];
    size_t head_len;
    bool is_open;
    bool is_first;       /* in its file */
    struct tn_buf bytes; /* of a first record */
    bool was_damaged;    /* in an earlier file, and the log has not gone on yet */
    bool is_skipped;     /* the log does not go on in this file */
};

static bool damaged(struct walk *walk, uint64_t file, uint64_t at, const char *damage)
{
    walk->damage = damage;
    walk->file = file;
    walk->at = walk->is_open ? walk->record_at : at;
    walk->fragment_seq =
        walk->is_open && walk->head_len == BATCH_BYTES ? load_le(walk->head, 8) : 0;
    return false;
}

/* How many slices an entry has; 0: not one of ours. */
static int count_slices(unsigned char tag)
{
    switch (tag) {
    case TAG_DELETE:
    case TAG_FAMILY_DELETE:
    case TAG_LOG_DATA: return 1;
    case TAG_PUT:
    case TAG_FAMILY_PUT:
    case TAG_RANGE:
    case TAG_FAMILY_RANGE: return 2;
    default: return 0;
    }
}

/* The entry at `at`; *ret_log_data: its bytes when it is log data. Returns the byte behind it;
 * NULL: not to be read. */
static const char *read_entry(const char *at, const char *end, struct tn_str *ret_log_data)
{
    unsigned char tag = (unsigned char)*at++;
    int slices = count_slices(tag);
    uint64_t value;
    bool has_family = tag == TAG_FAMILY_DELETE || tag == TAG_FAMILY_PUT || tag == TAG_FAMILY_RANGE;
    if (slices == 0 || (has_family && !(at = tn_varint_read(at, end, &value))))
        return NULL;
    *ret_log_data = (struct tn_str){0};
    for (int i = 0; i < slices; i++) {
        at = tn_varint_read(at, end, &value);
        if (!at || value > (uint64_t)(end - at))
            return NULL;
        if (tag == TAG_LOG_DATA)
            *ret_log_data = (struct tn_str){at, (size_t)value};
        at += value;
    }
    return at;
}

static bool is_shorter_than(const struct tn_store *store, uint64_t file, uint64_t bytes)
{
    int fd = open_wal(store, file, O_RDONLY);
    bool is_shorter = fd >= 0 && size_of(fd) < bytes;
    if (fd >= 0)
        close(fd);
    return is_shorter;
}

/* A file noted in the record read is there, and shorter than it was. RocksDB joins the batches of
 * threads that write together: a record may have several notes. */
static bool is_end_missing(const struct walk *walk)
{
    const char *at = walk->bytes.ptr + BATCH_BYTES, *end = walk->bytes.ptr + walk->bytes.len;
    struct tn_str note;
    while (at && at < end) {
        at = read_entry(at, end, &note);
        if (at && note.len == NOTE_BYTES && memcmp(note.ptr, NOTE_MAGIC, 8) == 0 &&
            is_shorter_than(walk->store, load_le(note.ptr + 8, 8), load_le(note.ptr + 16, 8)))
            return true;
    }
    return false;
}

/* A record is whole. False: enough of this file, since the log does not go on here after an earlier
 * damage, or a hole. */
static bool take_record(struct walk *walk, uint64_t file)
{
    uint64_t seq = load_le(walk->head, 8), count = load_le(walk->head + 8, 4);
    if (walk->is_first && !walk->was_damaged && is_end_missing(walk))
        return damaged(walk, file, 0, "the end of the file before it is missing");
    walk->is_open = walk->is_first = false;
    walk->is_skipped = walk->was_damaged && seq != walk->last_seq + 1;
    if (walk->is_skipped)
        return false;
    walk->was_damaged = false;
    if (seq + count > walk->last_seq + 1)
        walk->last_seq = seq + count - 1;
    return true;
}

static bool take_fragment(struct walk *walk, uint64_t file, uint64_t at, enum fragment type,
                          const char *bytes, size_t len)
{
    bool is_start = type == FRAGMENT_FULL || type == FRAGMENT_FIRST;
    if (is_start == walk->is_open)
        return damaged(walk, file, at, "a record without its end");
    if (is_start) {
        walk->is_open = true;
        walk->record_at = at;
        walk->head_len = 0;
    }
    size_t more = BATCH_BYTES - walk->head_len < len ? BATCH_BYTES - walk->head_len : len;
    memcpy(walk->head + walk->head_len, bytes, more);
    walk->head_len += more;
    if (walk->is_first)
        tn_buf_add(&walk->bytes, bytes, len);
    if (type != FRAGMENT_FULL && type != FRAGMENT_LAST)
        return true;
    if (walk->head_len < BATCH_BYTES)
        return damaged(walk, file, at, "a record that is too short");
    return take_record(walk, file);
}

static bool is_sum_right(const char *fragment, size_t len)
{
    uint32_t stored = (uint32_t)load_le(fragment, 4) - 0xa282ead8u;
    return (stored >> 17 | stored << 15) == tn_crc32c(0, fragment + 6, len + 1);
}

static bool walk_block(struct walk *walk, uint64_t file, uint64_t block_at, const char *block,
                       size_t block_len)
{
    size_t at = 0;
    while (block_len - at >= FRAGMENT_BYTES) {
        const char *fragment = block + at;
        size_t len = load_le(fragment + 4, 2);
        int type = (unsigned char)fragment[6];
        if (type < FRAGMENT_FULL || type > FRAGMENT_LAST)
            return damaged(walk, file, block_at + at, "not a record");
        if (len > block_len - at - FRAGMENT_BYTES)
            return damaged(walk, file, block_at + at, "a record cut short");
        if (!is_sum_right(fragment, len))
            return damaged(walk, file, block_at + at, "a wrong checksum");
        if (!take_fragment(walk, file, block_at + at, (enum fragment)type,
                           fragment + FRAGMENT_BYTES, len))
            return false;
        at += FRAGMENT_BYTES + len;
    }
    if (block_len < BLOCK_BYTES && at < block_len)
        return damaged(walk, file, block_at + at, "a record cut short");
    return true;
}

/* False: damaged, or skipped. */
static bool walk_file(struct walk *walk, uint64_t file)
{
    static _Thread_local char block[BLOCK_BYTES];
    int fd = open_wal(walk->store, file, O_RDONLY);
    bool is_whole = fd >= 0 || damaged(walk, file, 0, strerror(errno));
    walk->is_open = walk->is_skipped = false;
    walk->is_first = true;
    tn_buf_reset(&walk->bytes);
    for (uint64_t at = 0; is_whole; at += BLOCK_BYTES) {
        ssize_t len = pread(fd, block, sizeof block, (off_t)at);
        if (len < 0)
            is_whole = damaged(walk, file, at, strerror(errno));
        else if (len == 0)
            break;
        else
            is_whole = walk_block(walk, file, at, block, (size_t)len);
        if (len < BLOCK_BYTES)
            break;
    }
    if (is_whole && walk->is_open)
        is_whole = damaged(walk, file, 0, "a record without its end");
    if (is_whole && file == walk->store->mark.file && size_of(fd) < walk->store->mark.bytes)
        is_whole = damaged(walk, file, size_of(fd), "synced bytes are missing at its end");
    if (fd >= 0)
        close(fd);
    return is_whole;
}

/* ---- what to do about damage ---- */

static bool is_synced(const struct walk *walk)
{
    const struct tni_wal_mark *mark = &walk->store->mark;
    if (walk->last_seq)
        return walk->last_seq < mark->seq;
    if (walk->fragment_seq)
        return walk->fragment_seq <= mark->seq;
    /* the very first record */
    return walk->file < mark->file || (walk->file == mark->file && walk->at < mark->bytes);
}

static enum tn_status refuse(const struct walk *walk, struct tn_err *err)
{
    tn_err_set(err, TN_E_CORRUPT,
               "state folder '%s': db/%06" PRIu64 ".log is damaged at byte %" PRIu64
               " (%s) in its synced part: acknowledged writes from there on cannot be read",
               walk->store->path, walk->file, walk->at, walk->damage);
    tn_err_hint(err, "check the disk and restore the folder from a copy; or lose them with "
                     "--set store.wal.damage=cut");
    return TN_E_CORRUPT;
}

static enum tn_status not_cut(const struct walk *walk, uint64_t file, int cause, struct tn_err *err)
{
    return tn_err_set(err, TN_E_IO, "state folder '%s': cannot cut db/%06" PRIu64 ".log: %s",
                      walk->store->path, file, strerror(cause));
}

/* Later files go first, the newest before the others: whatever of this survives another power loss,
 * the same damage is found again. */
static enum tn_status cut(const struct walk *walk, const uint64_t *files, size_t count,
                          struct tn_err *err)
{
    struct tn_store *store = walk->store;
    while (count > 0 && files[count - 1] > walk->file) {
        char path[4096];
        wal_path(store, files[--count], path, sizeof path);
        if (unlink(path) != 0)
            return not_cut(walk, files[count], errno, err);
        TN_TRY(tni_fsync_folder(store->db_path, err));
    }
    int fd = open_wal(store, walk->file, O_WRONLY);
    bool is_cut = fd >= 0 && ftruncate(fd, (off_t)walk->at) == 0 && fdatasync(fd) == 0;
    int cause = errno;
    if (fd >= 0)
        close(fd);
    if (!is_cut)
        return not_cut(walk, walk->file, cause, err);
    struct tni_wal_mark mark = store->mark;
    if (mark.seq > walk->last_seq)
        mark.seq = walk->last_seq;
    if (mark.file >= walk->file) {
        mark.bytes = mark.file > walk->file || mark.bytes > walk->at ? walk->at : mark.bytes;
        mark.file = walk->file;
    }
    write_mark(store, &mark);
    return TN_OK;
}

/* The first damage that is not harmless. */
static bool find_damage(struct walk *walk, const uint64_t *files, size_t count)
{
    struct walk first = *walk;
    for (size_t i = 0; i < count; i++) {
        if (walk_file(walk, files[i]) || walk->was_damaged)
            continue;
        walk->was_damaged = true;
        first = *walk;
    }
    bool is_damaged = walk->was_damaged;
    first.bytes = walk->bytes;
    if (is_damaged)
        *walk = first;
    return is_damaged;
}

enum tn_status tni_wal_check(struct tn_store *store, struct tn_err *err)
{
    uint64_t *files;
    size_t count = list_wals(store, &files);
    struct walk walk = {.store = store};
    enum tn_status st = TN_OK;
    tn_buf_init(&walk.bytes, RECORD_MAX);
    if (find_damage(&walk, files, count)) {
        if (is_synced(&walk) && !store->is_cut_allowed)
            st = refuse(&walk, err);
        else
            st = cut(&walk, files, count, err);
    }
    tn_buf_release(&walk.bytes);
    tn_free(files);
    return st;
}

enum tn_status tni_wal_verify(struct tn_store *store, struct tn_err *err)
{
    uint64_t seq = rocksdb_get_latest_sequence_number(store->db);
    if (seq >= store->mark.seq)
        return TN_OK;
    tn_err_set(err, TN_E_CORRUPT,
               "state folder '%s': its database ends at write %" PRIu64
               ", but writes up to %" PRIu64
               " were synced: a .log file in db/ is missing, or db/ is of an older copy",
               store->path, seq, store->mark.seq);
    tn_err_hint(err,
                "restore the whole folder from one copy; or go on without them by removing "
                "the file '%s/synced'",
                store->path);
    return TN_E_CORRUPT;
}
