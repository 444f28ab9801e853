/* Inside of sql/zone_files.h: shared by the lists of files and the remembered columns. */
#ifndef TN_SQL_ZONE_INT_H
#define TN_SQL_ZONE_INT_H

#include <pthread.h>
#include "sql/scan_int.h"
#include "sql/zone_files.h"

struct tni_snapshot {
    struct tni_zone_files files; /* first */
    uint32_t refs;               /* guarded by zones->lock */
    uint32_t cap;
    struct tn_arena arena; /* keys of a listing */
};

struct tni_location {
    struct tni_location *next;
    char *url;
    pthread_mutex_t lock; /* guards what follows; taken before zones->lock */
    struct tn_object_store *store;
    bool is_own;
    int64_t log_next;
    struct tni_snapshot *snapshot;
    struct tn_arena arena; /* entries of the log */
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

/* One reference less; zones->lock is held. NULL is a no-op. */
void tni_cols_unref(struct tni_zones *zones, struct tni_zone_cols *cols);

#endif
