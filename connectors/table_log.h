/* The log of a lake table: which files it has, and up to which offsets its sources have reached it.
 *
 * Entry n is the object <table>/_log/<n as 20 digits>.commit, written once with put-if-absent and
 * never changed: whoever creates it has committed, everybody else lost. Versions start at 0 and
 * have no gaps, so a reader who knows versions below n asks for n, n + 1, … and stops at the first
 * that is missing: no LIST. Whoever writes entry 511, 1023, … also puts a copy of the last 512 into
 * _log/<20 digits>.checkpoint, so that a long log opens with few requests (table_log_read.c). Files
 * are visible only because an entry names them.
 *
 * An entry is NDJSON, one action a line (unknown actions and members are skipped):
 *   {"commit":{"id":"…","timestamp":1767312000000,"operation":"APPEND","sink":"…","epoch":7}}
 *   {"meta":{"format":"json","compression":"gzip","layout":"change","columns":[{"name":"id",
 *     "type":"INTEGER"}…],"keyColumns":["id"],"partitionColumns":["dt"]}}       (replaces earlier
 * meta)
 *   {"range":{"source":"plays","logId":"<32 hex>","partition":3,"first":12345,"next":13345}}
 *   {"add":{"path":"dt=2026-01-02/plays-3-….json.gz","partitionValues":{"dt":"2026-01-02"},
 *     "size":841454,"rows":1000,"crc32":"0a1b2c3d","modificationTime":…,"source":"plays",
 *     "partition":3,"first":12345,"next":13345,
 *     "stats":{"min":{"id":1},"max":{"id":9},"nulls":{"id":0}}}}
 *   {"notice":{"topic":"plays-notices","partition":0,"from":88}}
 *     (the entry's notices are at or behind this offset: whoever takes over sees what is missing)
 *   {"remove":{"path":"…","timestamp":…}}
 *
 * Paths are plain object names below the table's root (directories as they stand, `%XX` included).
 * Every offset of [first, next) of a range is in the files of the same entry, or was left out on
 * purpose (a hole of the log, a bad record of a sink that skips them). Ranges of one (sink, source,
 * logId, partition) follow each other without gap over the versions.
 *
 * Ownership: parsed entries live in the caller's arena. @thread any (no state here)
 */
#ifndef TN_CONNECTORS_TABLE_LOG_H
#define TN_CONNECTORS_TABLE_LOG_H

#include "stream/base/arena.h"
#include "stream/object_store.h"

#define TN_TABLE_LOG_FOLDER      "_log"
#define TN_TABLE_ENTRY_BYTES_MAX ((size_t)64 << 20)

#define TN_TABLE_CHECKPOINT_ENTRIES 512

enum tn_table_value_kind {
    TN_TABLE_NONE, /* unknown */
    TN_TABLE_BOOL,
    TN_TABLE_INT,
    TN_TABLE_DOUBLE,
    TN_TABLE_TEXT /* also timestamps (ISO 8601, UTC) and decimals */
};

struct tn_table_value {
    enum tn_table_value_kind kind;
    bool boolean;
    int64_t integer;
    double number;
    struct tn_str text;
};

/* Bounds of a column in a file; a long text bound is cut, the maximum then rounded up. */
struct tn_table_stat {
    struct tn_str column;
    struct tn_table_value min, max; /* NONE: unknown (or all values NULL: nulls == rows) */
    int64_t nulls;                  /* −1 unknown */
};

struct tn_table_part {
    struct tn_str column, value; /* value.ptr NULL = null */
};

struct tn_table_file {
    struct tn_str path;
    int64_t bytes, rows;
    uint32_t crc32; /* of the object's bytes */
    int64_t modified_ms;
    struct tn_str source; /* topic; the columns below tell which of its records are in here */
    int32_t partition;
    int64_t first, next;
    uint32_t parts_count, stats_count;
    struct tn_table_part *parts;
    struct tn_table_stat *stats;
    bool is_errors; /* dead letters of the sink (action "errors"): no rows of the table */
    bool is_removed;
};

struct tn_table_range {
    struct tn_str source;
    uint8_t log_id[16];
    int32_t partition;
    int64_t first, next;
};

struct tn_table_notice {
    struct tn_str topic;
    int32_t partition;
    int64_t offset;
};

struct tn_table_column {
    struct tn_str name, type; /* as declared; SQL text of the type */
};

struct tn_table_meta {
    struct tn_str format, compression, layout; /* "json"; "none", "gzip", "zstd"; "change"… */
    uint32_t columns_count, keys_count, partitions_count;
    struct tn_table_column *columns;
    struct tn_str *keys;       /* names among columns: a later row of the same key replaces */
    struct tn_str *partitions; /* folder names, in order; their values are in no file */
};

struct tn_table_entry {
    int64_t version, timestamp_ms;
    struct tn_str commit_id;          /* unique per attempt to commit the same thing */
    struct tn_str operation;          /* "CREATE", "APPEND", "FENCE", "REMOVE" */
    struct tn_str sink;               /* writer; empty for others */
    int64_t epoch;                    /* of the writer; a lower one must not write any more */
    const struct tn_table_meta *meta; /* NULL = unchanged */
    uint32_t ranges_count, files_count;
    uint32_t notices_count;
    struct tn_table_range *ranges;
    struct tn_table_notice *notices;
    struct tn_table_file *files; /* added and removed ones, in order */
};

void tn_table_entry_print(const struct tn_table_entry *entry, struct tn_buf *buf);
/* TN_E_CORRUPT names the version and what is wrong. */
enum tn_status tn_table_entry_parse(struct tn_str text, int64_t version, struct tn_arena *arena,
                                    struct tn_table_entry *ret_entry, struct tn_err *err);

/* `root` is the table's key prefix in the store, without final '/'; "" = the store's root. */
void tn_table_log_key(struct tn_str root, int64_t version, char ret_key[TN_OBJECT_KEY_MAX + 1]);

/* The object with a copy of the entries that end with `last`. */
void tn_table_checkpoint_key(struct tn_str root, int64_t last, char ret_key[TN_OBJECT_KEY_MAX + 1]);
/* Writes it when `last` is the last one of a checkpoint: whoever has appended an entry calls this
 * when nobody waits for it any more. Readers do without where that fails. */
void tn_table_log_checkpoint(struct tn_object_store *store, struct tn_str root, int64_t last,
                             int64_t timeout_ms);

/* Puts the entry at entry->version. TN_E_EXISTS: another entry has that version (compare its
 * commit_id after an unknown outcome: it may be ours). */
enum tn_status tn_table_log_append(struct tn_object_store *store, struct tn_str root,
                                   const struct tn_table_entry *entry, int64_t deadline_ms,
                                   struct tn_err *err);

/* One entry. TN_NOT_FOUND: the log ends before `version`. */
enum tn_status tn_table_log_get(struct tn_object_store *store, struct tn_str root, int64_t version,
                                struct tn_arena *arena, struct tn_table_entry *ret_entry,
                                int64_t deadline_ms, struct tn_err *err);

/* Entries `from`, from + 1, … to the end of the log; a failure of `each` ends the walk and is
 * returned. *ret_next = first version that is missing; equal to `from`: nothing new. The entry
 * lives in `arena`, which is not reset in between. Entries may come from checkpoints. */
enum tn_status tn_table_log_read(
    struct tn_object_store *store, struct tn_str root, int64_t from, struct tn_arena *arena,
    enum tn_status (*each)(void *ctx, const struct tn_table_entry *entry, struct tn_err *err),
    void *ctx, int64_t *ret_next, int64_t deadline_ms, struct tn_err *err);

/* The first version that is missing, by few requests: nothing is read. */
enum tn_status tn_table_log_end(struct tn_object_store *store, struct tn_str root,
                                int64_t *ret_next, struct tn_err *err);

#endif
