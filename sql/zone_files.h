/* What the database remembers about zone tables: their files as last seen, and columns of files
 * that did not change. Folder-private.
 *
 * A snapshot is the list of files of one location at one moment, in byte order of keys. For a table
 * with a log it is the log up to some version; the tail of the log is read at each query. Others
 * are listed at each query (or used again up to list_max_age_ms), or, as folders, watched. A file
 * is the same as before when key, size and ETag (S3) or inode, size and time (folders) are; else
 * everything remembered is dropped with it.
 *
 * Columns: `sql.cache.bytes` for all locations together, least recently used first out.
 *
 * Ownership: the database owns one tni_zones; snapshots are reference-counted.
 * @thread any
 */
#ifndef TN_SQL_ZONE_FILES_H
#define TN_SQL_ZONE_FILES_H

#include "connectors/object_url.h"
#include "sql/exec.h"
#include "sql/zone.h"

struct tni_zones;
struct tni_zone_cols;

struct tni_zones_config {
    struct tn_object_stores *stores; /* NULL: no zone table can be read */
    struct tn_clock *clock;
    struct tn_metrics *metrics; /* may be NULL */
    int64_t cache_bytes;
    int threads_count;
    bool is_watching;   /* folders are watched by inotify instead of listed (not in libraries: a
                           forked process would take its parent's notices) */
    int64_t unit_bytes; /* tests: cut files that small, however few there are; 0 = as is good */
};

/* Bounds of one column in one file, as the table log tells them. */
struct tni_zone_bound {
    uint32_t column; /* of the table's schema */
    bool is_all_null;
    struct tn_value low, high; /* type NULL = unknown */
};

struct tni_zone_file {
    const char *key;  /* in the store */
    const char *etag; /* "" = unknown */
    int64_t bytes, modified_ms;
    int64_t rows;               /* −1 = unknown */
    struct tni_zone_cols *cols; /* remembered columns; guarded by tni_zones_lock */
    uint32_t parts_count, stats_count;
    const struct tn_table_part *parts; /* of a table log; else the key tells */
    const struct tn_table_stat *stats;
};

struct tni_zone_files {
    struct tn_object_store *store; /* NULL: the folder does not exist, no files */
    const char *url;               /* of the store: "$path" = url + "/" + key */
    bool is_atomic; /* objects appear whole; false: files of a folder that others may write to */
    bool is_own;    /* of a table log, at version log_next − 1 */
    int64_t log_next, listed_ms;
    uint32_t count;
    struct tni_zone_file *files;
    size_t bytes; /* of memory */
};

struct tni_zones *tni_zones_new(const struct tni_zones_config *config);
void tni_zones_free(struct tni_zones *zones); /* NULL is a no-op */

/* Files of the table now. The statement sees one snapshot of a location: a second call gives the
 * same. Released with the statement (tni_zone_release). */
enum tn_status tni_zone_files(struct tni_exec_ctx *ctx, const struct tn_zone_table *zone,
                              struct tni_zone_files **ret_files, struct tn_err *err);
void tni_zone_release(struct tni_exec_ctx *ctx);
/* Nothing seen of a location counts any more; snapshots in use stay. zones may be NULL. */
void tni_zones_forget(struct tni_zones *zones, const char *url);

/* ---- columns that are remembered ---- */

/* Columns of a whole file: parts of at most TN_BATCH_ROWS_MAX rows. */
struct tni_zone_cols {
    struct tni_zone_cols *newer, *older; /* by last use; guarded */
    uint32_t pins, refs;                 /* guarded */
    bool is_listed;
    size_t bytes;
    int64_t rows_count;
    uint64_t layout; /* what the columns were decoded as */
    uint32_t columns_count, parts_count;
    const bool *has; /* by stored column */
    struct tni_zone_colpart {
        uint32_t rows_count;
        struct tn_column *columns;
        void *block; /* heads and buffers */
    } * parts;
    struct tn_arena arena;
};

/* What a file's remembered columns depend on besides the file. */
uint64_t tni_zone_layout_hash(const struct tn_file_layout *layout);
/* The remembered columns of file, pinned, when they have all that is needed; NULL otherwise. */
struct tni_zone_cols *tni_zone_cols_get(struct tni_zones *zones, struct tni_zone_file *file,
                                        uint64_t layout, const bool *needed,
                                        uint32_t columns_count);
/* Are there any for this layout? */
bool tni_zone_cols_has(struct tni_zones *zones, const struct tni_zone_file *file, uint64_t layout);
void tni_zone_cols_unpin(struct tni_zones *zones, struct tni_zone_cols *cols);
/* Empty columns to be filled with tni_zone_cols_add, pinned once. */
struct tni_zone_cols *tni_zone_cols_new(uint64_t layout, const bool *needed,
                                        uint32_t columns_count);
/* Copies a batch behind the others. */
void tni_zone_cols_add(struct tni_zone_cols *cols, const struct tn_column *columns,
                       uint32_t rows_count);
/* Remember; the pin stays the caller's. */
void tni_zone_cols_put(struct tni_zones *zones, struct tni_zone_file *file,
                       struct tni_zone_cols *cols);
/* Is a file of this size worth remembering? */
bool tni_zone_cols_fits(const struct tni_zones *zones, int64_t file_bytes);
struct tn_clock *tni_zones_clock(const struct tni_zones *zones);
int tni_zones_threads(const struct tni_zones *zones);
int64_t tni_zones_unit_bytes(const struct tni_zones *zones);
void tni_zones_count(struct tni_zones *zones, int64_t files, int64_t bytes, int64_t bad_lines);

#endif
