/* Files of zone tables. Contract: sql/zone_files.h.
 *
 * A location is opened once and kept. Its lock is held while its log is read or its folder listed,
 * so that queries of one table do not do the same work side by side; the lock of all (zones->lock)
 * only guards lists and remembered columns. Lists and watches are in zone_list.c.
 */
#include "sql/zone_files.h"

#include <pthread.h>

#include "connectors/table_log.h"
#include "sql/zone_int.h"
#include "stream/base/hash.h"
#include "stream/base/mem.h"

#define LOCATIONS_MAX  4096
#define KEEP_FILES_MAX 200000 /* longer listings are not kept between statements */

static const struct tn_metric_desc zone_metrics[] = {
    {"tarn_zone_files_read_total", TN_METRIC_COUNTER, "files", NULL, "files read by queries"},
    {"tarn_zone_bytes_read_total", TN_METRIC_COUNTER, "bytes", NULL, "bytes read by queries"},
    {"tarn_zone_bad_lines_total", TN_METRIC_COUNTER, "lines", NULL,
     "lines of zone files that are no rows"},
    {"tarn_zone_cache_bytes", TN_METRIC_GAUGE, "bytes", NULL, "columns of files that are kept"},
};

/* ---- the registry ---- */

struct tni_zones *tni_zones_new(const struct tni_zones_config *config)
{
    struct tni_zones *zones = tn_alloc(sizeof *zones);
    zones->config = *config;
    pthread_mutex_init(&zones->lock, NULL);
    zones->lru.newer = zones->lru.older = &zones->lru;
    for (int i = 0; config->metrics && i < 4; i++)
        zones->metrics[i] = tn_metric_get(config->metrics, &zone_metrics[i], NULL);
    return zones;
}

static void store_unref(struct tni_zones *zones, struct tni_zone_store *opened)
{
    if (!opened)
        return;
    pthread_mutex_lock(&zones->lock);
    bool is_last = --opened->refs == 0;
    pthread_mutex_unlock(&zones->lock);
    if (!is_last)
        return;
    tn_object_store_close(opened->store);
    tn_free(opened);
}

void tni_snapshot_unref(struct tni_zones *zones, struct tni_snapshot *snapshot)
{
    if (!snapshot)
        return;
    pthread_mutex_lock(&zones->lock);
    bool is_last = --snapshot->refs == 0;
    for (uint32_t i = 0; is_last && i < snapshot->files.count; i++)
        tni_cols_unref(zones, snapshot->files.files[i].cols);
    pthread_mutex_unlock(&zones->lock);
    if (!is_last)
        return;
    store_unref(zones, snapshot->opened);
    tn_arena_release(&snapshot->arena);
    tn_free(snapshot->files.files);
    tn_free(snapshot);
}

static void location_free(struct tni_zones *zones, struct tni_location *location)
{
    tni_location_unwatch(location);
    tni_snapshot_unref(zones, location->snapshot);
    tn_arena_release(&location->arena);
    store_unref(zones, location->opened);
    pthread_mutex_destroy(&location->lock);
    tn_free(location->url);
    tn_free(location);
}

void tni_zones_free(struct tni_zones *zones)
{
    if (!zones)
        return;
    while (zones->locations) {
        struct tni_location *location = zones->locations;
        zones->locations = location->next;
        location_free(zones, location);
    }
    pthread_mutex_destroy(&zones->lock);
    tn_free(zones);
}

struct tn_clock *tni_zones_clock(const struct tni_zones *zones)
{
    return zones->config.clock;
}

int tni_zones_threads(const struct tni_zones *zones)
{
    return zones->config.threads_count;
}

int64_t tni_zones_unit_bytes(const struct tni_zones *zones)
{
    return zones->config.unit_bytes;
}

void tni_zones_count(struct tni_zones *zones, int64_t files, int64_t bytes, int64_t bad_lines)
{
    if (!zones->metrics[0])
        return;
    tn_metric_add(zones->metrics[0], files);
    tn_metric_add(zones->metrics[1], bytes);
    tn_metric_add(zones->metrics[2], bad_lines);
}

static struct tni_location *location_of(struct tni_zones *zones, const char *url)
{
    pthread_mutex_lock(&zones->lock);
    struct tni_location *location = zones->locations;
    while (location && strcmp(location->url, url) != 0)
        location = location->next;
    if (!location && zones->locations_count < LOCATIONS_MAX) {
        location = tn_alloc(sizeof *location);
        location->url = tn_strdup(url);
        pthread_mutex_init(&location->lock, NULL);
        tn_arena_init(&location->arena, 0);
        location->next = zones->locations;
        zones->locations = location;
        zones->locations_count++;
    }
    pthread_mutex_unlock(&zones->lock);
    return location;
}

/* ---- opening ---- */

/* Path of a folder location, NULL for others. */
static const char *folder_of(const char *url)
{
    return strncmp(url, "file://", 7) == 0 ? url + 7 : NULL;
}

/* What was open belongs to the snapshots that use it. */
static void location_shut(struct tni_zones *zones, struct tni_location *location)
{
    tni_location_unwatch(location);
    store_unref(zones, location->opened);
    location->opened = NULL;
    location->is_own = false;
    location->log_next = 0;
}

static enum tn_status location_open(struct tni_zones *zones, struct tni_location *location,
                                    struct tn_err *err)
{
    const char *folder = folder_of(location->url);
    const struct tni_zone_store *opened = location->opened;
    struct stat status = {0};
    if (!zones->config.stores)
        return tn_err_set(err, TN_E_UNSUPPORTED, "zone tables cannot be read here");
    bool is_there = !folder || (stat(folder, &status) == 0 && S_ISDIR(status.st_mode));
    /* another folder of that name now? (it, or one above it, was moved) */
    if (opened && (!is_there || status.st_ino != opened->folder.st_ino ||
                   status.st_dev != opened->folder.st_dev))
        location_shut(zones, location);
    if (!is_there || location->opened)
        return TN_OK;
    struct tn_object_store *store;
    TN_TRY(tn_object_store_open(zones->config.stores, location->url, NULL, &store, err));
    location->opened = tn_alloc(sizeof *location->opened);
    *location->opened = (struct tni_zone_store){.store = store, .refs = 1, .folder = status};
    return TN_OK;
}

/* ---- snapshots ---- */

struct tni_snapshot *tni_snapshot_new(struct tni_zones *zones, struct tni_location *location)
{
    struct tni_snapshot *snapshot = tn_alloc(sizeof *snapshot);
    snapshot->refs = 1;
    tn_arena_init(&snapshot->arena, 0);
    snapshot->opened = location->opened;
    if (location->opened) {
        snapshot->files.store = location->opened->store;
        pthread_mutex_lock(&zones->lock);
        location->opened->refs++;
        pthread_mutex_unlock(&zones->lock);
    }
    snapshot->files.url = location->url;
    snapshot->files.is_atomic = !folder_of(location->url);
    return snapshot;
}

struct tni_zone_file *tni_snapshot_add(struct tni_snapshot *snapshot)
{
    if (snapshot->files.count == snapshot->cap) {
        snapshot->cap = snapshot->cap ? snapshot->cap * 2 : 64;
        snapshot->files.files =
            tn_realloc(snapshot->files.files, snapshot->cap * sizeof *snapshot->files.files);
    }
    struct tni_zone_file *file = &snapshot->files.files[snapshot->files.count++];
    *file = (struct tni_zone_file){.rows = -1};
    return file;
}

/* ---- table log ---- */

struct tail {
    struct tni_zones *zones;
    struct tni_location *location;
    struct tni_snapshot *snapshot; /* made by the first new entry */
};

static struct tni_snapshot *snapshot_copy(struct tni_zones *zones, struct tni_location *location);

static void remove_file(struct tni_snapshot *snapshot, struct tn_str path)
{
    for (uint32_t i = snapshot->files.count; i-- > 0;)
        if (tn_str_eq(tn_str_of(snapshot->files.files[i].key), path)) {
            snapshot->files.files[i].bytes = -1; /* swept below */
            return;
        }
}

static enum tn_status tail_entry(void *ctx, const struct tn_table_entry *entry, struct tn_err *err)
{
    struct tail *tail = ctx;
    struct tn_arena *arena = &tail->location->arena;
    (void)err;
    if (!tail->snapshot)
        tail->snapshot = snapshot_copy(tail->zones, tail->location);
    for (uint32_t i = 0; i < entry->files_count; i++) {
        const struct tn_table_file *from = &entry->files[i];
        if (from->is_errors)
            continue;
        if (from->is_removed) {
            remove_file(tail->snapshot, from->path);
            continue;
        }
        struct tni_zone_file *file = tni_snapshot_add(tail->snapshot);
        file->key = tn_arena_str(arena, from->path).ptr;
        file->etag = "";
        file->bytes = from->bytes;
        file->rows = from->rows;
        file->modified_ms = from->modified_ms;
        file->parts_count = from->parts_count;
        file->parts = from->parts; /* in the location's arena, as the entry is */
        file->stats_count = from->stats_count;
        file->stats = from->stats;
    }
    return TN_OK;
}

/* A copy of the files so far that may be changed; the strings are the location's. */
static struct tni_snapshot *snapshot_copy(struct tni_zones *zones, struct tni_location *location)
{
    struct tni_snapshot *copy = tni_snapshot_new(zones, location);
    const struct tni_snapshot *from = location->snapshot;
    copy->files.is_own = true;
    if (!from || !from->files.is_own || !location->log_next)
        return copy;
    copy->cap = from->files.count + 64;
    copy->files.files = tn_realloc(NULL, copy->cap * sizeof *copy->files.files);
    copy->files.count = from->files.count;
    if (from->files.count)
        memcpy(copy->files.files, from->files.files, from->files.count * sizeof *from->files.files);
    pthread_mutex_lock(&zones->lock);
    for (uint32_t i = 0; i < copy->files.count; i++)
        if (copy->files.files[i].cols)
            copy->files.files[i].cols->refs++;
    pthread_mutex_unlock(&zones->lock);
    return copy;
}

static void sweep_removed(struct tni_zones *zones, struct tni_snapshot *snapshot)
{
    uint32_t kept = 0;
    pthread_mutex_lock(&zones->lock);
    for (uint32_t i = 0; i < snapshot->files.count; i++) {
        if (snapshot->files.files[i].bytes < 0)
            tni_cols_unref(zones, snapshot->files.files[i].cols);
        else
            snapshot->files.files[kept++] = snapshot->files.files[i];
    }
    pthread_mutex_unlock(&zones->lock);
    snapshot->files.count = kept;
}

static enum tn_status read_tail(struct tni_exec_ctx *ctx, struct tni_location *location,
                                struct tn_err *err)
{
    struct tail tail = {ctx->zones, location, NULL};
    int64_t next = location->log_next;
    enum tn_status st = tn_table_log_read(location->opened->store, TN_STR(""), location->log_next,
                                          &location->arena, tail_entry, &tail, &next, 0, err);
    if (tn_failed(st) || !tail.snapshot) {
        tni_snapshot_unref(ctx->zones, tail.snapshot);
        return st;
    }
    sweep_removed(ctx->zones, tail.snapshot);
    tail.snapshot->files.log_next = location->log_next = next;
    location->is_own = true;
    tni_location_unwatch(location);
    tni_snapshot_unref(ctx->zones, location->snapshot);
    location->snapshot = tail.snapshot;
    return TN_OK;
}

/* ---- now ---- */

static enum tn_status refresh(struct tni_exec_ctx *ctx, struct tni_location *location,
                              const struct tn_zone_table *zone, struct tn_err *err)
{
    bool has_log = false;
    TN_TRY(location_open(ctx->zones, location, err));
    if (location->opened && (location->is_own || !zone->is_external)) {
        TN_TRY(read_tail(ctx, location, err));
        if (location->is_own)
            return TN_OK;
    }
    const struct tni_snapshot *old = location->snapshot;
    int64_t now = tn_wall_ms(ctx->zones->config.clock);
    if (zone->list_max_age_ms && old && !old->files.is_own && old->opened == location->opened &&
        now - old->files.listed_ms <= zone->list_max_age_ms)
        return TN_OK;
    enum tn_status st = tni_location_follow(ctx, location, &has_log, err);
    if (st == TN_END)
        st = tni_location_list(ctx, location, &has_log, err);
    TN_TRY(st);
    return has_log ? read_tail(ctx, location, err) : TN_OK;
}

enum tn_status tni_zone_files(struct tni_exec_ctx *ctx, const struct tn_zone_table *zone,
                              struct tni_zone_files **ret_files, struct tn_err *err)
{
    if (!ctx->zones)
        return tn_err_set(err, TN_E_UNSUPPORTED, "zone tables cannot be read here");
    for (struct tni_zone_pin *pin = ctx->zone_pins; pin; pin = pin->next)
        if (!strcmp(pin->snapshot->files.url, zone->location)) {
            *ret_files = &pin->snapshot->files;
            return TN_OK;
        }
    struct tni_location *location = location_of(ctx->zones, zone->location);
    if (!location)
        return tn_err_set(err, TN_E_LIMIT, "more than %d locations of zone tables", LOCATIONS_MAX);
    struct tni_zone_pin *pin = TN_ARENA_NEW(ctx->arena, struct tni_zone_pin);
    pthread_mutex_lock(&location->lock);
    enum tn_status st = refresh(ctx, location, zone, err);
    if (!tn_failed(st)) {
        pin->snapshot = location->snapshot;
        pthread_mutex_lock(&ctx->zones->lock);
        pin->snapshot->refs++;
        pthread_mutex_unlock(&ctx->zones->lock);
        if (pin->snapshot->files.count > KEEP_FILES_MAX && !pin->snapshot->files.is_own) {
            tni_snapshot_unref(ctx->zones, location->snapshot);
            location->snapshot = NULL;
            tni_location_unwatch(location);
        }
    }
    pthread_mutex_unlock(&location->lock);
    if (tn_failed(st))
        return st;
    pin->next = ctx->zone_pins;
    ctx->zone_pins = pin;
    *ret_files = &pin->snapshot->files;
    return TN_OK;
}

void tni_zones_forget(struct tni_zones *zones, const char *url)
{
    struct tni_location *location = zones ? location_of(zones, url) : NULL;
    if (!location)
        return;
    pthread_mutex_lock(&location->lock);
    location_shut(zones, location);
    tni_snapshot_unref(zones, location->snapshot);
    location->snapshot = NULL;
    pthread_mutex_unlock(&location->lock);
}

void tni_zone_release(struct tni_exec_ctx *ctx)
{
    for (struct tni_zone_pin *pin = ctx->zone_pins; pin; pin = pin->next)
        tni_snapshot_unref(ctx->zones, pin->snapshot);
    ctx->zone_pins = NULL;
}
