/* Reading a table log: entries one after the other, several requests at once when there is a
 * backlog, and whole checkpoints where there are some. Contract: connectors/table_log.h.
 *
 * A checkpoint is a copy of TN_TABLE_CHECKPOINT_ENTRIES entries in one object, each behind a line
 * {"entry":{"version":…,"bytes":…}}. It follows from the entries alone, so whoever writes it writes
 * the same; it is a short cut and never the truth: the first entry is read beside it and must be in
 * it, a missing or refused one costs requests, nothing else.
 *
 * @thread any (no state here); requests end on threads of the adapter
 */
#include "connectors/table_log.h"

#include <inttypes.h>
#include <stdio.h>

#include "connectors/wait.h"
#include "stream/base/logline.h"
#include "stream/base/mem.h"

#define WINDOW_MAX           32
#define CHECKPOINT_BYTES_MAX ((size_t)32 << 20)
#define ENTRIES              TN_TABLE_CHECKPOINT_ENTRIES

struct fetch {
    struct tn_object_request request;
    struct tn_buf body;
    char key[TN_OBJECT_KEY_MAX + 1];
};

struct window {
    int count;
    struct fetch items[];
};

void tn_table_checkpoint_key(struct tn_str root, int64_t last, char ret_key[TN_OBJECT_KEY_MAX + 1])
{
    snprintf(ret_key, TN_OBJECT_KEY_MAX + 1,
             "%.*s%s" TN_TABLE_LOG_FOLDER "/%020" PRId64 ".checkpoint", TN_STR_FMT(root),
             root.len ? "/" : "", last);
}

/* ---- several entries at once ---- */

static struct window *window_new(int count)
{
    struct window *window = tn_alloc(sizeof *window + (size_t)count * sizeof *window->items);
    window->count = count;
    for (int i = 0; i < count; i++)
        tn_buf_init(&window->items[i].body, TN_TABLE_ENTRY_BYTES_MAX);
    return window;
}

static void window_free(struct window *window)
{
    for (int i = 0; i < window->count; i++)
        tn_buf_release(&window->items[i].body);
    tn_free(window);
}

/* Entries [from, from + count): their status and bodies are in window->items. */
static void fetch(struct tn_object_store *store, struct tn_str root, int64_t from, int count,
                  struct window *window, int64_t timeout_ms)
{
    struct tn_object_group group;
    tn_object_group_init(&group, store);
    for (int i = 0; i < count; i++) {
        struct fetch *item = &window->items[i];
        tn_buf_reset(&item->body);
        tn_table_log_key(root, from + i, item->key);
        item->request = (struct tn_object_request){.op = TN_OBJECT_GET,
                                                   .key = item->key,
                                                   .length = -1,
                                                   .timeout_ms = timeout_ms,
                                                   .ret_body = &item->body};
        if (store->type->run) /* files: as good as asking others to do it */
            store->type->run(store, &item->request);
        else
            tn_object_group_add(&group, &item->request);
    }
    while (tn_object_group_next(&group, NULL, NULL))
        ;
    tn_object_group_release(&group);
}

/* ---- checkpoints ---- */

/* The next entry in the text of a checkpoint. */
static bool checkpoint_next(struct tn_str *text, int64_t version, struct tn_str *ret_entry)
{
    char head[96];
    const char *end = text->len ? memchr(text->ptr, '\n', text->len) : NULL;
    size_t len = end ? (size_t)(end - text->ptr) : 0, bytes = 0;
    int64_t told = -1;
    int used = 0;
    if (!len || len >= sizeof head)
        return false;
    memcpy(head, text->ptr, len);
    head[len] = 0;
    if (sscanf(head, "{\"entry\":{\"version\":%" SCNd64 ",\"bytes\":%zu}}%n", &told, &bytes,
               &used) != 2 ||
        (size_t)used != len || told != version || bytes > text->len - len - 1)
        return false;
    *ret_entry = (struct tn_str){end + 1, bytes};
    *text = (struct tn_str){end + 1 + bytes, text->len - len - 1 - bytes};
    return true;
}

/* Is it whole, and of this log? */
static bool checkpoint_ok(struct tn_str text, int64_t from, struct tn_str first)
{
    struct tn_str entry;
    for (int64_t i = 0; i < ENTRIES; i++)
        if (!checkpoint_next(&text, from + i, &entry) || (i == 0 && !tn_str_eq(entry, first)))
            return false;
    return text.len == 0;
}

/* *ret_text: the checkpoint of the entries from `from` on; empty: there is none. */
static void checkpoint_get(struct tn_object_store *store, struct tn_str root, int64_t from,
                           struct tn_str first, int64_t timeout_ms, struct tn_buf *ret_text)
{
    char key[TN_OBJECT_KEY_MAX + 1];
    tn_buf_reset(ret_text);
    tn_table_checkpoint_key(root, from + ENTRIES - 1, key);
    enum tn_status st = tn_object_get(store, key, 0, -1, ret_text, timeout_ms, NULL);
    if (st == TN_OK && checkpoint_ok(tn_buf_str(ret_text), from, first))
        return;
    if (st != TN_NOT_FOUND)
        tn_logf(TN_LOG_WARN, "table log", "entries are read one by one, %s %s",
                st == TN_OK ? "not a checkpoint of this log:" : "cannot read", key);
    tn_buf_reset(ret_text);
}

void tn_table_log_checkpoint(struct tn_object_store *store, struct tn_str root, int64_t last,
                             int64_t timeout_ms)
{
    char key[TN_OBJECT_KEY_MAX + 1];
    struct tn_buf text;
    if ((last + 1) % ENTRIES != 0)
        return;
    struct window *window = window_new(WINDOW_MAX);
    int64_t from = last + 1 - ENTRIES;
    bool is_ok = true;
    tn_buf_init(&text, CHECKPOINT_BYTES_MAX);
    for (int64_t at = from; is_ok && at <= last; at += WINDOW_MAX) {
        fetch(store, root, at, WINDOW_MAX, window, timeout_ms);
        for (int i = 0; i < WINDOW_MAX; i++) {
            const struct fetch *item = &window->items[i];
            is_ok &= item->request.status == TN_OK;
            tn_buf_printf(&text, "{\"entry\":{\"version\":%" PRId64 ",\"bytes\":%zu}}\n", at + i,
                          item->body.len);
            tn_buf_add_str(&text, tn_buf_str(&item->body));
        }
    }
    tn_table_checkpoint_key(root, last, key);
    if (is_ok && !tn_buf_over(&text))
        is_ok = tn_object_put(store, key, tn_buf_str(&text), false, timeout_ms, NULL) == TN_OK;
    if (!is_ok)
        tn_logf(TN_LOG_WARN, "table log", "left out: %s", key);
    tn_buf_release(&text);
    window_free(window);
}

/* ---- the walk ---- */

struct walk {
    struct tn_object_store *store;
    struct tn_str root;
    struct tn_arena *arena;
    enum tn_status (*each)(void *ctx, const struct tn_table_entry *entry, struct tn_err *err);
    void *ctx;
    int64_t at, timeout_ms;
    struct window *window;
    struct tn_buf checkpoint;
};

static enum tn_status take(struct walk *walk, struct tn_str text, struct tn_err *err)
{
    struct tn_table_entry entry;
    TN_TRY(tn_table_entry_parse(text, walk->at, walk->arena, &entry, err));
    TN_TRY(walk->each(walk->ctx, &entry, err));
    walk->at++;
    return TN_OK;
}

/* The next `count` entries; those of a checkpoint along with the first of them. */
static enum tn_status step(struct walk *walk, int count, struct tn_err *err)
{
    struct window *window = walk->window;
    bool is_first = walk->at % ENTRIES == 0;
    fetch(walk->store, walk->root, walk->at, count, window, walk->timeout_ms);
    for (int i = 0; i < count; i++) {
        struct fetch *item = &window->items[i];
        if (tn_failed(item->request.status) && item->request.status != TN_NOT_FOUND && err)
            *err = item->request.err;
        if (item->request.status != TN_OK)
            return item->request.status;
        struct tn_str body = tn_buf_str(&item->body), text, entry;
        tn_buf_reset(&walk->checkpoint);
        if (is_first)
            checkpoint_get(walk->store, walk->root, walk->at, body, walk->timeout_ms,
                           &walk->checkpoint);
        text = tn_buf_str(&walk->checkpoint);
        if (!text.len)
            TN_TRY(take(walk, body, err));
        while (text.len && checkpoint_next(&text, walk->at, &entry))
            TN_TRY(take(walk, entry, err));
    }
    return TN_OK;
}

enum tn_status tn_table_log_read(
    struct tn_object_store *store, struct tn_str root, int64_t from, struct tn_arena *arena,
    enum tn_status (*each)(void *ctx, const struct tn_table_entry *entry, struct tn_err *err),
    void *ctx, int64_t *ret_next, int64_t deadline_ms, struct tn_err *err)
{
    struct walk walk = {.store = store,
                        .root = root,
                        .arena = arena,
                        .each = each,
                        .ctx = ctx,
                        .at = from,
                        .timeout_ms = deadline_ms,
                        .window = window_new(1)};
    int most = store->parallel < WINDOW_MAX ? store->parallel : WINDOW_MAX, wanted = 1;
    enum tn_status st = TN_OK;
    tn_buf_init(&walk.checkpoint, CHECKPOINT_BYTES_MAX);
    while (st == TN_OK) {
        int64_t left = ENTRIES - walk.at % ENTRIES; /* a checkpoint begins alone */
        int count = left == ENTRIES ? 1 : left < wanted ? (int)left : wanted;
        if (count > walk.window->count) {
            window_free(walk.window);
            walk.window = window_new(most);
        }
        st = step(&walk, count, err);
        wanted = wanted * 2 > most ? most : wanted * 2;
        wanted = wanted < 1 ? 1 : wanted;
    }
    *ret_next = walk.at;
    tn_buf_release(&walk.checkpoint);
    window_free(walk.window);
    return st == TN_NOT_FOUND ? TN_OK : st;
}

static enum tn_status is_there(struct tn_object_store *store, struct tn_str root, int64_t version,
                               struct tn_err *err)
{
    char key[TN_OBJECT_KEY_MAX + 1];
    struct tn_object_info info;
    tn_table_log_key(root, version, key);
    return tn_object_head(store, key, &info, 0, err);
}

enum tn_status tn_table_log_end(struct tn_object_store *store, struct tn_str root,
                                int64_t *ret_next, struct tn_err *err)
{
    int64_t there = -1, absent = 0; /* versions have no gaps: double, then halve */
    enum tn_status st;
    while ((st = is_there(store, root, absent, err)) == TN_OK) {
        there = absent;
        absent = absent * 2 + 1;
    }
    while (!tn_failed(st) && absent - there > 1) {
        int64_t middle = there + (absent - there) / 2;
        st = is_there(store, root, middle, err);
        if (st == TN_OK)
            there = middle;
        else if (st == TN_NOT_FOUND)
            absent = middle;
    }
    *ret_next = absent;
    return st == TN_NOT_FOUND ? TN_OK : st;
}
