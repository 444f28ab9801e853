/* Inside of sql/zone_files.h: shared by the lists of files and the remembered columns. */
#ifndef TN_SQL_ZONE_INT_H
#define TN_SQL_ZONE_INT_H

#include <pthread.h>
#include <sys/stat.h>

#include "connectors/folder_watch.h"
#include "sql/scan_int.h"
#include "sql/zone_files.h"

/* An open store; snapshots of a folder that was exchanged still read from the old one. */
struct tni_zone_store {
    struct tn_object_store *store;
    uint32_t refs;      /* guarded by zones->lock */
    struct stat folder; /* its root when it is a folder */
};

struct tni_snapshot {
    struct tni_zone_files files;   /* first */
    struct tni_zone_store *opened; /* files.store is its; NULL */
    uint32_t refs;                 /* guarded by zones->lock */
    uint32_t cap;
    struct tn_arena arena; /* keys of a listing */
};

struct tni_location {
    struct tni_location *next;
    char *url;
    pthread_mutex_t lock;          /* guards what follows; taken before zones->lock */
    struct tni_zone_store *opened; /* NULL: there is no such folder, or not yet open */
    bool is_own;
    int64_t log_next;
    struct tni_snapshot *snapshot;
    struct tn_folder_watch *watch;   /* of a foreign folder; NULL */
    bool is_followed;                /* snapshot and changes of the watch together are the folder */
    int64_t walked_ns, unwatched_ns; /* last whole list; when it could not be watched */
    struct tn_arena arena;           /* entries of the log */
};

struct tni_zones {
    struct tni_zones_config config;
    pthread_mutex_t lock;
    struct tni_location *locations;
    int locations_count;
    struct tni_zone_cols lru; /* head of the ring */
    size_t cols_bytes;
    struct tn_metric *metrics[4];
};

struct tni_zone_pin {
    struct tni_zone_pin *next;
    struct tni_snapshot *snapshot;
};

/* ---- zone_list.c: snapshots of foreign locations. location->lock is held. ---- */

/* All files, as they are now. *ret_has_log: there is a table log, nothing was taken. */
enum tn_status tni_location_list(struct tni_exec_ctx *ctx, struct tni_location *location,
                                 bool *ret_has_log, struct tn_err *err);
/* The same by what the watch tells; TN_END: it has to be listed. */
enum tn_status tni_location_follow(struct tni_exec_ctx *ctx, struct tni_location *location,
                                   bool *ret_has_log, struct tn_err *err);
void tni_location_unwatch(struct tni_location *location);
struct tni_snapshot *tni_snapshot_new(struct tni_zones *zones, struct tni_location *location);
struct tni_zone_file *tni_snapshot_add(struct tni_snapshot *snapshot);
void tni_snapshot_unref(struct tni_zones *zones, struct tni_snapshot *snapshot); /* NULL: no-op */

/* One reference less; zones->lock is held. NULL is a no-op. */
void tni_cols_unref(struct tni_zones *zones, struct tni_zone_cols *cols);

#endif
