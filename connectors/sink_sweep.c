/* What crashed writers left in the store: files and unfinished uploads that no entry of the table
 * log will ever name. Contract: connectors/sink_int.h.
 *
 * A name tells partition, first offset and epoch. Behind a FENCE no lower epoch can commit: a file
 * of one that begins at or behind what is committed of its partition and that no entry names never
 * will be named. Only when there are such files is the whole log read. (An earlier log of the same
 * topic's name may have had those offsets: its files are in entries.) Uploads that are begun and
 * not ended are ours or of those before us: this sink has none open when it starts. A writer that
 * was forgotten and goes on may leave a file behind later: `tarn verify` shows it.
 */
#include "connectors/sink_int.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "stream/base/logline.h"
#include "stream/base/mem.h"

#define SWEEP_MAX 10000 /* names at once; what is left waits for the next start */

struct sweep {
    const struct tni_sink *sink;
    struct tn_arena arena, entries;
    uint32_t count;
    struct left {
        const char *key, *upload_id;
        bool is_named;
    } items[SWEEP_MAX];
};

/* Is it the name of a file of this sink? */
static bool name_parse(const struct tni_sink *sink, struct tn_str key, int32_t *ret_partition,
                       int64_t *ret_first, int64_t *ret_epoch)
{
    struct tn_buf name;
    long long numbers[3];
    size_t base = key.len;
    while (base > 0 && key.ptr[base - 1] != '/')
        base--;
    struct tn_str tail = {key.ptr + base, key.len - base};
    const char *end = memchr(tail.ptr, '.', tail.len);
    for (int i = 2; i >= 0; i--) { /* -partition-first-epoch, from the right */
        const char *at = end;
        while (at && at > tail.ptr && at[-1] >= '0' && at[-1] <= '9')
            at--;
        if (!at || at == end || at == tail.ptr || at[-1] != '-')
            return false;
        numbers[i] = strtoll(at, NULL, 10);
        end = at - 1;
    }
    *ret_partition = (int32_t)numbers[0];
    *ret_first = numbers[1];
    *ret_epoch = numbers[2];
    tn_buf_init(&name, TN_OBJECT_KEY_MAX * 4);
    tni_sink_file_name(sink->spec, *ret_partition, *ret_first, *ret_epoch, &name);
    bool is_same = tn_str_eq(tn_buf_str(&name), tail);
    tn_buf_release(&name);
    return is_same && *ret_partition >= 0 && *ret_partition < (int32_t)sink->parts_count;
}

static bool found(struct sweep *sweep, const struct tn_object_info *info)
{
    struct left *item = &sweep->items[sweep->count++];
    item->key = tn_arena_str(&sweep->arena, info->key).ptr;
    item->upload_id = info->upload_id ? tn_arena_strdup(&sweep->arena, info->upload_id) : NULL;
    return sweep->count < SWEEP_MAX;
}

static bool look_file(void *ctx, const struct tn_object_info *info)
{
    struct sweep *sweep = ctx;
    const struct tni_sink *sink = sweep->sink;
    int32_t partition;
    int64_t first, epoch;
    bool is_left = name_parse(sink, info->key, &partition, &first, &epoch) && epoch < sink->epoch &&
                   first >= sink->parts[partition].committed;
    return !is_left || found(sweep, info);
}

static bool look_upload(void *ctx, const struct tn_object_info *info)
{
    struct sweep *sweep = ctx;
    int32_t partition;
    int64_t first, epoch;
    bool is_left = name_parse(sweep->sink, info->key, &partition, &first, &epoch) &&
                   epoch <= sweep->sink->epoch;
    return !is_left || found(sweep, info);
}

static enum tn_status list(struct sweep *sweep, enum tn_object_op op, struct tn_err *err)
{
    const struct tni_sink *sink = sweep->sink;
    char prefix[TN_OBJECT_KEY_MAX + 2];
    snprintf(prefix, sizeof prefix, "%s%s", sink->root, sink->root[0] ? "/" : "");
    struct tn_object_request request = {.op = op,
                                        .key = prefix,
                                        .start_after = "",
                                        .each = op == TN_OBJECT_LIST ? look_file : look_upload,
                                        .each_ctx = sweep,
                                        .timeout_ms = sink->spec->options.timeout_ms};
    return tn_object_wait(sink->store, &request, err);
}

static int key_order(const void *key, const void *item)
{
    return strcmp(key, ((const struct left *)item)->key);
}

/* Files that an entry names are none of ours. */
static enum tn_status spare_named(void *ctx, const struct tn_table_entry *entry, struct tn_err *err)
{
    struct sweep *sweep = ctx;
    const struct tni_sink *sink = sweep->sink;
    char key[TN_OBJECT_KEY_MAX * 2];
    (void)err;
    for (uint32_t i = 0; i < entry->files_count; i++) {
        snprintf(key, sizeof key, "%s%s%.*s", sink->root, sink->root[0] ? "/" : "",
                 TN_STR_FMT(entry->files[i].path));
        struct left *item =
            bsearch(key, sweep->items, sweep->count, sizeof *sweep->items, key_order);
        if (item)
            item->is_named = true;
    }
    tn_arena_reset(&sweep->entries);
    return TN_OK;
}

static enum tn_status find_files(struct sweep *sweep, struct tn_err *err)
{
    const struct tni_sink *sink = sweep->sink;
    int64_t next;
    uint32_t kept = 0;
    TN_TRY(list(sweep, TN_OBJECT_LIST, err)); /* in byte order */
    if (!sweep->count)
        return TN_OK;
    TN_TRY(tn_table_log_read(sink->store, tn_str_of(sink->root), 0, &sweep->entries, spare_named,
                             sweep, &next, sink->spec->options.timeout_ms, err));
    for (uint32_t i = 0; i < sweep->count; i++)
        if (!sweep->items[i].is_named)
            sweep->items[kept++] = sweep->items[i];
    sweep->count = kept;
    return TN_OK;
}

static enum tn_status sweep_one(const struct tni_sink *sink, const struct left *item,
                                struct tn_err *err)
{
    int64_t timeout = sink->spec->options.timeout_ms;
    tn_logf(TN_LOG_INFO, "sink", "removes what a crash left, sink=%s %s=%s", sink->name,
            item->upload_id ? "upload" : "key", item->key);
    if (item->upload_id)
        return tn_object_upload_abort(sink->store, item->key, item->upload_id, timeout, err);
    return tn_object_remove(sink->store, item->key, timeout, err);
}

enum tn_status tni_sink_sweep(struct tni_sink *sink, bool is_take_over, struct tn_err *err)
{
    enum tn_status st = TN_OK;
    if (sink->spec->options.object_key || sink->spec->options.is_confluent)
        return TN_OK; /* these names hold no epoch */
    struct sweep *sweep = tn_alloc(sizeof *sweep);
    sweep->sink = sink;
    tn_arena_init(&sweep->arena, 0);
    tn_arena_init(&sweep->entries, 0);
    if (is_take_over)
        st = find_files(sweep, err);
    if (st == TN_OK && sweep->count < SWEEP_MAX)
        st = list(sweep, TN_OBJECT_UPLOADS, err);
    for (uint32_t i = 0; i < sweep->count && st == TN_OK; i++)
        st = sweep_one(sink, &sweep->items[i], err);
    tn_arena_release(&sweep->arena);
    tn_arena_release(&sweep->entries);
    tn_free(sweep);
    if (st != TN_E_DENIED)
        return st;
    tn_logf(TN_LOG_WARN, "sink", "left-overs of crashes stay, sink=%s: %s", sink->name,
            err ? err->message : "denied");
    return TN_OK; /* a policy may allow neither lists nor removals */
}
