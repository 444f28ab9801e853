/* Snapshots of foreign locations: lists, and what a watch tells instead. Contract: sql/zone_int.h.
 *
 * A folder is listed through a watch (connectors/folder_watch.h). At the next query the files that
 * changed are looked at, folders that changed are listed, and the rest is taken over: ten thousand
 * files that did not change cost a copy. When the watch has lost its way, and every WALK_MS for
 * what the kernel does not tell, everything is listed. A change that was taken from the watch but
 * not into a snapshot (a statement over its limits) unfollows the folder: the next one lists.
 */
#include "stream/base/mem.h"
#include "sql/zone_int.h"

#define CHARGE_EVERY   4096
#define FIRST_ENTRY    "_log/00000000000000000000.commit"
#define WALK_MS        60000 /* a watched folder is walked that often all the same */
#define WATCH_AGAIN_MS 60000 /* after it could not be watched */

struct listing {
    struct tni_exec_ctx *ctx;
    struct tni_snapshot *snapshot;
    bool has_log;
    int64_t charged;
    enum tn_status st;
    struct tn_err *err;
};

static bool is_hidden(struct tn_str key)
{
    for (size_t i = 0; i < key.len; i++)
        if ((i == 0 || key.ptr[i - 1] == '/') && (key.ptr[i] == '_' || key.ptr[i] == '.'))
            return true;
    return false;
}

/* Memory of the list so far, and the deadline, now and then. */
static bool charge(struct listing *list)
{
    const struct tni_snapshot *snapshot = list->snapshot;
    if (snapshot->files.count % CHARGE_EVERY != 0)
        return true;
    size_t bytes = snapshot->arena.bytes_total + snapshot->cap * sizeof *snapshot->files.files;
    list->st = tni_charge_to(list->ctx, (int64_t)bytes, &list->charged, list->err);
    if (!tn_failed(list->st))
        list->st = tn_budget_check(list->ctx->budget, list->err);
    return !tn_failed(list->st);
}

static bool list_one(void *ctx, const struct tn_object_info *info)
{
    struct listing *list = ctx;
    if (tn_str_eq(info->key, TN_STR(FIRST_ENTRY))) {
        list->has_log = true;
        return false;
    }
    if (is_hidden(info->key) || info->size <= 0)
        return true;
    struct tni_zone_file *file = tni_snapshot_add(list->snapshot);
    file->key = tn_arena_str(&list->snapshot->arena, info->key).ptr;
    file->etag = tn_arena_strdup(&list->snapshot->arena, info->etag);
    file->bytes = info->size;
    file->modified_ms = info->modified_ms;
    return charge(list);
}

static bool file_same(const struct tni_zone_file *a, const struct tni_zone_file *b)
{
    return a->bytes == b->bytes && !strcmp(a->etag, b->etag) && a->modified_ms == b->modified_ms;
}

/* What is remembered of files that are unchanged goes on to the new snapshot; both are sorted. True
 * when the two are equal. */
static bool inherit(struct tni_zones *zones, const struct tni_zone_files *from,
                    struct tni_zone_files *to)
{
    bool is_same = from->count == to->count;
    pthread_mutex_lock(&zones->lock);
    for (uint32_t i = 0, j = 0; i < from->count && j < to->count;) {
        int order = strcmp(from->files[i].key, to->files[j].key);
        if (order == 0 && file_same(&from->files[i], &to->files[j])) {
            to->files[j].cols = from->files[i].cols;
            if (to->files[j].cols)
                to->files[j].cols->refs++;
        } else {
            is_same = false;
        }
        i += order <= 0;
        j += order >= 0;
    }
    pthread_mutex_unlock(&zones->lock);
    return is_same;
}

/* The list becomes the location's snapshot, unless it failed or shows a log. */
static enum tn_status finish(struct listing *list, struct tni_location *location, enum tn_status st,
                             const struct tn_err *why, bool *ret_has_log)
{
    struct tni_zones *zones = list->ctx->zones;
    struct tni_snapshot *old = location->snapshot;
    (void)tni_charge_to(list->ctx, 0, &list->charged, NULL);
    *ret_has_log = list->has_log;
    if (tn_failed(list->st) || tn_failed(st) || list->has_log) {
        location->is_followed = false;
        tni_snapshot_unref(zones, list->snapshot);
        if (tn_failed(list->st))
            return list->st;
        if (tn_failed(st) && list->err)
            *list->err = *why;
        return st;
    }
    if (old && !old->files.is_own && old->opened == location->opened &&
        inherit(zones, &old->files, &list->snapshot->files)) {
        tni_snapshot_unref(zones, list->snapshot);
    } else {
        tni_snapshot_unref(zones, old);
        location->snapshot = list->snapshot;
    }
    location->snapshot->files.listed_ms = tn_wall_ms(zones->config.clock);
    return TN_OK;
}

void tni_location_unwatch(struct tni_location *location)
{
    tn_folder_watch_close(location->watch);
    location->watch = NULL;
    location->is_followed = false;
}

static bool is_due(int64_t now_ns, int64_t then_ns, int64_t ms)
{
    return now_ns - then_ns >= ms * 1000000;
}

/* A watch for the list to come, when there can be one. */
static void watch(struct tni_zones *zones, struct tni_location *location, int64_t now_ns)
{
    if (location->watch || !zones->config.is_watching || !location->opened ||
        (location->unwatched_ns && !is_due(now_ns, location->unwatched_ns, WATCH_AGAIN_MS)))
        return;
    location->watch = tn_folder_watch_open(location->opened->store, TN_FOLDER_WATCH_FOLDERS);
    location->unwatched_ns = location->watch ? 0 : now_ns;
}

enum tn_status tni_location_list(struct tni_exec_ctx *ctx, struct tni_location *location,
                                 bool *ret_has_log, struct tn_err *err)
{
    struct listing list = {
        .ctx = ctx, .snapshot = tni_snapshot_new(ctx->zones, location), .err = err};
    struct tn_err why = TN_ERR_INIT;
    enum tn_status st = TN_OK;
    int64_t now_ns = tn_mono_ns(ctx->zones->config.clock);
    watch(ctx->zones, location, now_ns);
    if (location->watch)
        st = tn_folder_watch_list(location->watch, "", list_one, &list, &why);
    else if (location->opened)
        st = tn_object_list(location->opened->store, "", "", list_one, &list, 0, &why);
    location->walked_ns = now_ns;
    if (location->watch && tn_folder_watch_is_lost(location->watch)) {
        tni_location_unwatch(location);
        location->unwatched_ns = now_ns;
    }
    location->is_followed = location->watch != NULL;
    return finish(&list, location, st, &why, ret_has_log);
}

/* ---- following ---- */

/* Files of the old snapshot below a bound are taken over; *io_at is the first one behind. */
static bool take_over(struct listing *list, const struct tni_zone_files *from, uint32_t *io_at,
                      const char *bound)
{
    struct tn_arena *arena = &list->snapshot->arena;
    for (; *io_at < from->count; (*io_at)++) {
        const struct tni_zone_file *old = &from->files[*io_at];
        if (bound && strcmp(old->key, bound) >= 0)
            return true;
        struct tni_zone_file *file = tni_snapshot_add(list->snapshot);
        *file = *old;
        file->key = tn_arena_strdup(arena, old->key);
        file->etag = tn_arena_strdup(arena, old->etag);
        file->cols = NULL; /* inherited at the end */
        if (!charge(list))
            return false;
    }
    return true;
}

/* What is at a key that changed: an object, or all of a folder. */
static enum tn_status look(struct listing *list, struct tn_folder_watch *watch, const char *key,
                           struct tn_err *err)
{
    struct tn_object_info info = {0};
    struct tn_str name = tn_str_of(key);
    bool is_log = tn_str_eq(name, TN_STR("_log/")) || tn_str_eq(name, TN_STR(FIRST_ENTRY));
    if (!is_log && is_hidden(name))
        return TN_OK;
    if (name.ptr[name.len - 1] == '/')
        return tn_folder_watch_list(watch, key, list_one, list, err);
    if (tn_folder_watch_head(watch, key, &info))
        (void)list_one(list, &info);
    return TN_OK;
}

enum tn_status tni_location_follow(struct tni_exec_ctx *ctx, struct tni_location *location,
                                   bool *ret_has_log, struct tn_err *err)
{
    const struct tni_snapshot *old = location->snapshot;
    const char *const *keys;
    uint32_t count, at = 0;
    if (!location->is_followed || !old || old->files.is_own || old->opened != location->opened ||
        is_due(tn_mono_ns(ctx->zones->config.clock), location->walked_ns, WALK_MS))
        return TN_END;
    enum tn_status st = tn_folder_watch_changes(location->watch, &keys, &count);
    if (st != TN_OK)
        return st;
    location->snapshot->files.listed_ms = tn_wall_ms(ctx->zones->config.clock);
    if (!count)
        return TN_OK;
    struct tn_err why = TN_ERR_INIT;
    struct listing list = {
        .ctx = ctx, .snapshot = tni_snapshot_new(ctx->zones, location), .err = err};
    for (uint32_t i = 0; i < count && !list.has_log && !tn_failed(st) && !tn_failed(list.st); i++) {
        size_t len = strlen(keys[i]), same = keys[i][len - 1] == '/' ? len : len + 1;
        if (!take_over(&list, &old->files, &at, keys[i]))
            break;
        while (at < old->files.count && !strncmp(old->files.files[at].key, keys[i], same))
            at++;
        st = look(&list, location->watch, keys[i], &why);
    }
    if (!list.has_log && !tn_failed(st) && !tn_failed(list.st))
        (void)take_over(&list, &old->files, &at, NULL);
    return finish(&list, location, st, &why, ret_has_log);
}
