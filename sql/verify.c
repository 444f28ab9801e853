/* Folds result topics and compares them with live tables: see verify.h.
 *
 * HOW: live rows of one pin are encoded by the table's own key and value formats; the topic is read
 * from its start to the end that was visible, keeping the last value of each key. Both become (key
 * bytes → value bytes) maps, sorted and merged; what stands on one side only, or with other bytes,
 * is a difference.
 */
#include "sql/verify.h"

#include <pthread.h>
#include <stdlib.h>

#include "stream/base/mem.h"

#define SHOWN_MAX   20
#define READ_BYTES  ((size_t)4 << 20)
#define QUERIES_MAX 4096

struct pair {
    struct tn_str key, value; /* value.ptr NULL = deleted */
    uint64_t order;           /* position in the fold: the last one wins */
};

struct pairs {
    struct tn_arena arena;
    struct pair *items;
    size_t count, cap;
};

struct verify {
    struct tn_engine *engine;
    struct tn_log *log;
    FILE *out;
    int64_t differences;
    struct tn_err *err;
    enum tn_status st;
};

static void pairs_init(struct pairs *pairs)
{
    *pairs = (struct pairs){0};
    tn_arena_init(&pairs->arena, 0);
}

static void pairs_release(struct pairs *pairs)
{
    tn_free(pairs->items);
    tn_arena_release(&pairs->arena);
}

static void pairs_add(struct pairs *pairs, struct tn_str key, struct tn_str value)
{
    if (pairs->count == pairs->cap) {
        pairs->cap = pairs->cap ? pairs->cap * 2 : 1024;
        pairs->items = tn_realloc(pairs->items, pairs->cap * sizeof *pairs->items);
    }
    pairs->items[pairs->count] = (struct pair){tn_arena_str(&pairs->arena, key),
                                               tn_arena_str(&pairs->arena, value), pairs->count};
    pairs->count++;
}

static int pair_cmp(const void *a, const void *b)
{
    const struct pair *x = a, *y = b;
    int c = tn_str_cmp(x->key, y->key);
    return c ? c : (x->order > y->order) - (x->order < y->order);
}

/* Sort; keep the last of each key; drop deletes. */
static void pairs_fold(struct pairs *pairs)
{
    size_t kept = 0;
    if (pairs->count == 0)
        return;
    qsort(pairs->items, pairs->count, sizeof *pairs->items, pair_cmp);
    for (size_t i = 0; i < pairs->count; i++) {
        bool is_last =
            i + 1 == pairs->count || !tn_str_eq(pairs->items[i].key, pairs->items[i + 1].key);
        if (is_last && pairs->items[i].value.ptr)
            pairs->items[kept++] = pairs->items[i];
    }
    pairs->count = kept;
}

static enum tn_status read_partition(struct verify *verify, const struct tn_topic *topic,
                                     int32_t partition, struct tn_log_reader *reader,
                                     struct pairs *pairs)
{
    const struct tn_log_type *log = verify->log->type;
    struct tn_offsets offsets;
    TN_TRY(log->offsets(verify->log, topic, partition, &offsets, verify->err));
    for (int64_t at = offsets.start; at < offsets.end_visible;) {
        struct tn_read read = {0};
        enum tn_status st = log->read(reader, topic, partition, at, READ_BYTES, &read, verify->err);
        if (tn_failed(st))
            return st;
        for (uint32_t i = 0; read.records && i < read.records->count; i++)
            if (read.records->keys[i].ptr)
                pairs_add(pairs, read.records->keys[i], read.records->values[i]);
        tn_records_unref(read.records);
        if (read.next <= at)
            break;
        at = read.next;
    }
    return TN_OK;
}

static enum tn_status read_topic(struct verify *verify, const char *name, struct pairs *pairs)
{
    const struct tn_log_type *log = verify->log->type;
    struct tn_topic topic;
    struct tn_log_reader *reader = NULL;
    enum tn_status st = log->topic_find(verify->log, name, &topic, verify->err);
    if (st != TN_OK)
        return st == TN_NOT_FOUND
                   ? tn_err_set(verify->err, TN_E_NAME, "result topic '%s' does not exist", name)
                   : st;
    TN_TRY(log->reader_open(verify->log, NULL, &reader, verify->err));
    for (int32_t p = 0; p < topic.partitions_count && !tn_failed(st); p++)
        st = read_partition(verify, &topic, p, reader, pairs);
    log->reader_close(reader);
    return st;
}

/* One side of a batch (key or value columns) as bytes per row. */
struct encoded {
    struct tn_buf buf;
    size_t *ends;
};

static enum tn_status encode_side(const struct tn_topic_decl *decl, bool is_key,
                                  const struct tn_batch *batch, struct tn_arena *arena,
                                  struct encoded *ret_encoded, struct tn_err *err)
{
    uint32_t from = is_key ? 0 : decl->keys_count;
    uint32_t count = is_key ? decl->keys_count : decl->schema->fields_count - decl->keys_count;
    struct tn_schema schema = {count, decl->schema->fields + from};
    const struct tn_format *format = is_key ? decl->key_format : decl->value_format;
    struct tn_codec_spec spec = {.is_key = is_key,
                                 .is_bare = is_key ? decl->is_key_bare : decl->is_value_bare,
                                 .delimiter = is_key ? decl->key_delimiter : decl->value_delimiter,
                                 .is_case_exact = decl->is_case_exact,
                                 .schema = &schema};
    struct tn_codec *codec = NULL;
    TN_TRY(format->open(format, &spec, &codec, err));
    tn_buf_init(&ret_encoded->buf, (size_t)1 << 30);
    ret_encoded->ends = tn_arena_alloc(arena, (batch->rows_count + 1) * sizeof(size_t));
    format->encode(codec, batch->columns + from, batch->rows_count, NULL, &ret_encoded->buf,
                   ret_encoded->ends);
    format->close(codec);
    return TN_OK;
}

static struct tn_str encoded_row(const struct encoded *encoded, uint32_t row)
{
    size_t from = row ? encoded->ends[row - 1] : 0;
    return (struct tn_str){tn_buf_str(&encoded->buf).ptr + from, encoded->ends[row] - from};
}

static void add_be64(struct tn_buf *key, int64_t value)
{
    tn_buf_add_be64(key, (uint64_t)value);
}

/* Key bytes as the result topic has them: with the window behind (start; sessions: end, start). */
static void window_suffix(const struct tn_topic_decl *decl, const struct tn_batch *batch,
                          uint32_t row, struct tn_buf *key)
{
    uint32_t at =
        decl->schema->fields_count; /* windowstart, windowend follow the declared columns */
    if (decl->window == TN_WINDOW_NONE)
        return;
    if (decl->window == TN_WINDOW_SESSION)
        add_be64(key, tn_column_i64(&batch->columns[at + 1], row));
    add_be64(key, tn_column_i64(&batch->columns[at], row));
}

static enum tn_status add_batch(const struct tn_topic_decl *decl, const struct tn_batch *batch,
                                struct pairs *pairs, struct tn_err *err)
{
    struct encoded keys = {0}, values = {0};
    struct tn_arena arena;
    struct tn_buf key;
    tn_arena_init(&arena, 0);
    tn_buf_init(&key, TN_RECORD_BYTES_MAX);
    enum tn_status st = encode_side(decl, true, batch, &arena, &keys, err);
    if (!tn_failed(st))
        st = encode_side(decl, false, batch, &arena, &values, err);
    for (uint32_t r = 0; !tn_failed(st) && r < batch->rows_count; r++) {
        tn_buf_reset(&key);
        tn_buf_add_str(&key, encoded_row(&keys, r));
        window_suffix(decl, batch, r, &key);
        pairs_add(pairs, tn_buf_str(&key), encoded_row(&values, r));
    }
    tn_buf_release(&key);
    tn_buf_release(&keys.buf);
    tn_buf_release(&values.buf);
    tn_arena_release(&arena);
    return st;
}

static enum tn_status read_live(struct verify *verify, const struct tn_object *object,
                                struct pairs *pairs)
{
    struct tn_pin *pin = NULL;
    struct tn_table_scan *scan = NULL;
    struct tn_batch *batch;
    enum tn_status st = tn_engine_pin(verify->engine, &pin, verify->err);
    if (tn_failed(st))
        return st;
    TN_GOTO(
        tn_table_scan_open(verify->engine, pin, object->query_id, NULL, NULL, &scan, verify->err));
    while ((st = tn_table_scan_next(scan, &batch, verify->err)) == TN_OK)
        TN_GOTO(add_batch(&object->decl, batch, pairs, verify->err));
fail:
    tn_table_scan_close(scan);
    tn_pin_free(pin);
    return st == TN_END ? TN_OK : st;
}

static void report(struct verify *verify, const struct tn_object *object, const char *what,
                   struct tn_str key, int64_t *shown)
{
    verify->differences++;
    if ((*shown)++ >= SHOWN_MAX)
        return;
    fprintf(verify->out, "  %s.%s: %s, key ", object->schema_name, object->name, what);
    for (size_t i = 0; i < key.len && i < 64; i++) {
        unsigned char c = (unsigned char)key.ptr[i];
        fprintf(verify->out, c >= 32 && c < 127 ? "%c" : "\\x%02x", c);
    }
    fputc('\n', verify->out);
}

static int64_t compare(struct verify *verify, const struct tn_object *object,
                       const struct pairs *live, const struct pairs *topic)
{
    int64_t shown = 0;
    size_t l = 0, t = 0;
    while (l < live->count || t < topic->count) {
        int c = l == live->count    ? 1
                : t == topic->count ? -1
                                    : tn_str_cmp(live->items[l].key, topic->items[t].key);
        if (c < 0)
            report(verify, object, "row is live but not in the topic", live->items[l++].key,
                   &shown);
        else if (c > 0 && object->decl.window != TN_WINDOW_NONE)
            t++; /* retention has dropped this window from the table */
        else if (c > 0)
            report(verify, object, "row is in the topic but not live", topic->items[t++].key,
                   &shown);
        else if (!tn_str_eq(live->items[l++].value, topic->items[t++].value))
            report(verify, object, "live row and topic differ", live->items[l - 1].key, &shown);
    }
    return shown;
}

static bool verify_object(void *ctx, const struct tn_object *object)
{
    struct verify *verify = ctx;
    struct pairs live, topic;
    if (object->kind != TN_OBJ_KTABLE || !object->query_id)
        return true;
    pairs_init(&live);
    pairs_init(&topic);
    verify->st = read_topic(verify, object->decl.topic, &topic);
    if (!tn_failed(verify->st))
        verify->st = read_live(verify, object, &live);
    if (!tn_failed(verify->st)) {
        size_t records = topic.count;
        pairs_fold(&topic);
        pairs_fold(&live);
        int64_t found = compare(verify, object, &live, &topic);
        fprintf(verify->out, "%s.%s: %zu rows, topic '%s' with %zu records, %lld differences\n",
                object->schema_name, object->name, live.count, object->decl.topic, records,
                (long long)found);
    }
    pairs_release(&live);
    pairs_release(&topic);
    return !tn_failed(verify->st);
}

/* ---- waiting until everything visible is processed ---- */

struct waiter {
    struct tn_wake wake; /* first member */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool is_signalled;
};

static void waiter_signal(struct tn_wake *wake)
{
    struct waiter *waiter = (struct waiter *)wake;
    pthread_mutex_lock(&waiter->lock);
    waiter->is_signalled = true;
    pthread_cond_signal(&waiter->changed);
    pthread_mutex_unlock(&waiter->lock);
}

static void waiter_wait(struct waiter *waiter)
{
    pthread_mutex_lock(&waiter->lock);
    while (!waiter->is_signalled)
        pthread_cond_wait(&waiter->changed, &waiter->lock);
    waiter->is_signalled = false;
    pthread_mutex_unlock(&waiter->lock);
}

struct ids {
    struct tn_arena arena;
    const char *items[QUERIES_MAX];
    size_t count;
};

static bool add_id(void *ctx, const struct tn_query_info *info)
{
    struct ids *ids = ctx;
    if (info->state != TN_QUERY_FAILED && info->state != TN_QUERY_PAUSED &&
        ids->count < QUERIES_MAX)
        ids->items[ids->count++] = tn_arena_strdup(&ids->arena, info->plan->query_id);
    return true;
}

static enum tn_status wait_drained(struct tn_engine *engine, struct tn_err *err)
{
    struct waiter waiter = {.wake = {waiter_signal}};
    struct ids *ids = tn_alloc(sizeof *ids);
    struct tn_fresh *fresh = NULL;
    struct tn_buf lagging;
    pthread_mutex_init(&waiter.lock, NULL);
    pthread_cond_init(&waiter.changed, NULL);
    tn_buf_init(&lagging, 4096);
    tn_arena_init(&ids->arena, 0);
    tn_engine_each_query(engine, add_id, ids);
    enum tn_status st = tn_fresh_open(engine, ids->items, ids->count, &waiter.wake, &fresh, err);
    while (!tn_failed(st) && (st = tn_fresh_poll(fresh, &lagging)) == TN_AGAIN) {
        waiter_wait(&waiter);
        tn_buf_reset(&lagging);
    }
    tn_fresh_free(fresh);
    tn_buf_release(&lagging);
    tn_arena_release(&ids->arena);
    tn_free(ids);
    pthread_cond_destroy(&waiter.changed);
    pthread_mutex_destroy(&waiter.lock);
    return st;
}

enum tn_status tn_verify_run(struct tn_db *db, struct tn_engine *engine, struct tn_log *log,
                             FILE *out, int64_t *ret_differences, struct tn_err *err)
{
    struct verify verify = {.engine = engine, .log = log, .out = out, .err = err};
    TN_TRY(wait_drained(engine, err));
    const struct tn_catalog *catalog = tn_db_catalog(db);
    tn_catalog_each(catalog, verify_object, &verify);
    tn_catalog_unref(catalog);
    if (tn_failed(verify.st))
        return verify.st;
    fprintf(out, verify.differences ? "verify: %lld differences\n" : "verify: everything agrees\n",
            (long long)verify.differences);
    *ret_differences = verify.differences;
    return TN_OK;
}
