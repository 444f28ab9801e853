/* A log for a second engine: it reads the real topics and cannot write them.
 *
 * HOW IT WORKS. Each topic that the engine asks for gets a place in a table: its handle in the real
 * log (when it is read there) and in the scratch log (when it is written). A repartition topic has
 * both: what the query writes goes to scratch, what its next stage reads are the records that the
 * first life of the query wrote, in their order. Reads end at the limit of a partition.
 *
 * @thread as the port; the table of topics and the readers' wakes have one lock
 */
#include <pthread.h>
#include <stdatomic.h>

#include "sql/verify_int.h"
#include "stream/base/mem.h"

#define TOPICS_MAX 1024
#define WAKES_MAX  256
#define NO_LIMIT   INT64_MAX

struct place {
    struct tn_topic seen, real, scratch; /* id 0 … as each log has it */
    bool is_read, is_scratch;
    bool is_open;    /* a global table is complete before the first join */
    bool is_hidden;  /* nothing of it is ever there */
    int64_t *limits; /* per partition; NULL = none */
};

struct tni_vlog {
    struct tn_log base; /* first member */
    enum tni_vlog_mode mode;
    struct tn_log *real, *scratch;
    const struct tn_plan *plan;
    bool is_tables_first;
    const char *const *hidden;
    uint32_t hidden_count;
    atomic_bool is_started;
    pthread_mutex_t lock;
    struct place *places[TOPICS_MAX];
    uint32_t places_count;
    struct tn_wake *wakes[WAKES_MAX];
    uint32_t wakes_count;
};

struct reader {
    struct tni_vlog *vlog;
    struct tn_log_reader *real, *scratch;
};

struct txn {
    struct tni_vlog *vlog;
    struct tn_log_txn *inner;
};

static struct tni_vlog *of(struct tn_log *log)
{
    return (struct tni_vlog *)log;
}

/* The source that reads the topic; NULL when there is none. */
static const struct tn_node *source_of(const struct tni_vlog *vlog, const char *topic)
{
    for (uint32_t s = 0; s < vlog->plan->stages_count; s++)
        for (uint32_t i = 0; i < vlog->plan->stages[s].nodes_count; i++) {
            const struct tn_node *node = &vlog->plan->stages[s].nodes[i];
            if (node->kind == TN_NODE_SOURCE && strcmp(node->decl->topic, topic) == 0)
                return node;
        }
    return NULL;
}

/* Is the topic read in the real log? */
static bool is_read(const struct tni_vlog *vlog, const char *topic)
{
    return vlog->mode == TNI_VLOG_REBUILD || source_of(vlog, topic);
}

static struct place *place_find(struct tni_vlog *vlog, const char *name)
{
    for (uint32_t i = 0; i < vlog->places_count; i++)
        if (strcmp(vlog->places[i]->seen.name, name) == 0)
            return vlog->places[i];
    return NULL;
}

static struct place *place_at(struct tni_vlog *vlog, const struct tn_topic *topic)
{
    pthread_mutex_lock(&vlog->lock);
    TN_ASSERT(topic->id < vlog->places_count);
    struct place *place = vlog->places[topic->id];
    pthread_mutex_unlock(&vlog->lock);
    return place;
}

/* The scratch side of a topic exists from the first write on. */
static enum tn_status scratch_topic(struct tni_vlog *vlog, struct place *place, struct tn_err *err)
{
    enum tn_status st = TN_OK;
    pthread_mutex_lock(&vlog->lock);
    if (!place->is_scratch) {
        struct tn_log *log = vlog->scratch;
        struct tn_topic_spec spec = {.name = place->seen.name,
                                     .partitions_count = place->seen.partitions_count,
                                     .cleanup = TN_CLEANUP_DELETE,
                                     .retention_ms = -1,
                                     .retention_bytes = -1};
        st = log->type->topic_create(log, &spec, err);
        if (!tn_failed(st))
            st = log->type->topic_find(log, place->seen.name, &place->scratch, err);
        place->is_scratch = st == TN_OK;
    }
    pthread_mutex_unlock(&vlog->lock);
    return st;
}

static enum tn_status place_new(struct tni_vlog *vlog, const char *name, struct place **ret_place,
                                struct tn_err *err)
{
    struct place *place = tn_alloc(sizeof *place);
    enum tn_status st = TN_NOT_FOUND;
    const struct tn_node *source = source_of(vlog, name);
    place->is_read = is_read(vlog, name);
    place->is_open =
        source && (source->decl->is_global || (vlog->is_tables_first && source->decl->is_table));
    for (uint32_t i = 0; i < vlog->hidden_count; i++)
        place->is_hidden = place->is_hidden || strcmp(vlog->hidden[i], name) == 0;
    if (place->is_read)
        st = vlog->real->type->topic_find(vlog->real, name, &place->real, err);
    if (!place->is_read) {
        st = vlog->scratch->type->topic_find(vlog->scratch, name, &place->scratch, err);
        place->is_scratch = st == TN_OK;
    }
    if (st == TN_OK && vlog->places_count == TOPICS_MAX)
        st = tn_err_set(err, TN_E_LIMIT, "more than %d topics", TOPICS_MAX);
    if (st != TN_OK) {
        tn_free(place);
        return st;
    }
    place->seen = place->is_read ? place->real : place->scratch;
    place->seen.id = vlog->places_count;
    vlog->places[vlog->places_count++] = place;
    *ret_place = place;
    return TN_OK;
}

static enum tn_status vlog_topic_find(struct tn_log *log, const char *name,
                                      struct tn_topic *ret_topic, struct tn_err *err)
{
    struct tni_vlog *vlog = of(log);
    enum tn_status st = TN_OK;
    pthread_mutex_lock(&vlog->lock);
    struct place *place = place_find(vlog, name);
    if (!place)
        st = place_new(vlog, name, &place, err);
    if (st == TN_OK)
        *ret_topic = place->seen;
    pthread_mutex_unlock(&vlog->lock);
    return st;
}

static enum tn_status vlog_topic_create(struct tn_log *log, const struct tn_topic_spec *spec,
                                        struct tn_err *err)
{
    struct tni_vlog *vlog = of(log);
    if (is_read(vlog, spec->name))
        return tn_err_set(err, TN_E_NAME, "topic '%s' is gone", spec->name);
    return vlog->scratch->type->topic_create(vlog->scratch, spec, err);
}

static enum tn_status vlog_topic_delete(struct tn_log *log, const char *name, struct tn_err *err)
{
    (void)log;
    return tn_err_set(err, TN_E_DENIED, "topic '%s' is only read here", name);
}

static enum tn_status vlog_topic_each(struct tn_log *log,
                                      bool (*each)(void *ctx, const struct tn_topic *topic),
                                      void *ctx, struct tn_err *err)
{
    return of(log)->scratch->type->topic_each(of(log)->scratch, each, ctx, err);
}

static int64_t limit_of(const struct place *place, int32_t partition)
{
    return place->limits ? place->limits[partition] : NO_LIMIT;
}

static bool is_visible(const struct tni_vlog *vlog, const struct place *place)
{
    return !place->is_hidden && (place->is_open || atomic_load(&vlog->is_started));
}

static enum tn_status vlog_offsets(struct tn_log *log, const struct tn_topic *topic,
                                   int32_t partition, struct tn_offsets *ret_offsets,
                                   struct tn_err *err)
{
    struct tni_vlog *vlog = of(log);
    struct place *place = place_at(vlog, topic);
    if (!place->is_read)
        return vlog->scratch->type->offsets(vlog->scratch, &place->scratch, partition, ret_offsets,
                                            err);
    struct tn_offsets offsets;
    TN_TRY(vlog->real->type->offsets(vlog->real, &place->real, partition, &offsets, err));
    int64_t limit = limit_of(place, partition);
    if (!is_visible(vlog, place))
        limit = offsets.start;
    if (offsets.end_visible > limit)
        offsets.end_visible = limit;
    offsets.end_durable = offsets.end_visible;
    *ret_offsets = offsets;
    return TN_OK;
}

static enum tn_status vlog_offset_at(struct tn_log *log, const struct tn_topic *topic,
                                     int32_t partition, int64_t timestamp_ms, int64_t *ret_offset,
                                     struct tn_err *err)
{
    struct tni_vlog *vlog = of(log);
    struct place *place = place_at(vlog, topic);
    if (place->is_read)
        return vlog->real->type->offset_at(vlog->real, &place->real, partition, timestamp_ms,
                                           ret_offset, err);
    return vlog->scratch->type->offset_at(vlog->scratch, &place->scratch, partition, timestamp_ms,
                                          ret_offset, err);
}

/* ---- readers ---- */

static void vlog_reader_close(struct tn_log_reader *base)
{
    struct reader *reader = (struct reader *)base;
    if (!reader)
        return;
    reader->vlog->real->type->reader_close(reader->real);
    reader->vlog->scratch->type->reader_close(reader->scratch);
    tn_free(reader);
}

static enum tn_status vlog_reader_open(struct tn_log *log, struct tn_wake *wake,
                                       struct tn_log_reader **ret_reader, struct tn_err *err)
{
    struct tni_vlog *vlog = of(log);
    struct reader *reader = tn_alloc(sizeof *reader);
    reader->vlog = vlog;
    enum tn_status st = vlog->real->type->reader_open(vlog->real, wake, &reader->real, err);
    if (!tn_failed(st))
        st = vlog->scratch->type->reader_open(vlog->scratch, wake, &reader->scratch, err);
    if (tn_failed(st)) {
        vlog_reader_close((struct tn_log_reader *)reader);
        return st;
    }
    pthread_mutex_lock(&vlog->lock);
    if (wake && vlog->wakes_count < WAKES_MAX)
        vlog->wakes[vlog->wakes_count++] = wake;
    pthread_mutex_unlock(&vlog->lock);
    *ret_reader = (struct tn_log_reader *)reader;
    return TN_OK;
}

static void release_cut(struct tn_records *records)
{
    tn_records_unref(records->foreign);
}

/* The records before `limit`; takes over the reference. NULL when there are none. */
static struct tn_records *cut_at(struct tn_records *records, int64_t limit)
{
    uint32_t count = 0;
    while (count < records->count && records->offsets[count] < limit)
        count++;
    if (count == records->count)
        return records;
    if (!count) {
        tn_records_unref(records);
        return NULL;
    }
    struct tn_records *cut = tn_records_new(count);
    memcpy(cut->keys, records->keys, count * sizeof *cut->keys);
    memcpy(cut->values, records->values, count * sizeof *cut->values);
    memcpy(cut->timestamps_ms, records->timestamps_ms, count * sizeof *cut->timestamps_ms);
    memcpy(cut->offsets, records->offsets, count * sizeof *cut->offsets);
    cut->headers = (struct tn_headers *)(uintptr_t)tn_records_headers(records);
    cut->bytes = records->bytes;
    cut->release = release_cut;
    cut->foreign = records;
    return cut;
}

static enum tn_status vlog_read(struct tn_log_reader *base, const struct tn_topic *topic,
                                int32_t partition, int64_t offset, size_t bytes_max,
                                struct tn_read *ret_read, struct tn_err *err)
{
    struct reader *reader = (struct reader *)base;
    struct tni_vlog *vlog = reader->vlog;
    struct place *place = place_at(vlog, topic);
    if (!place->is_read)
        return vlog->scratch->type->read(reader->scratch, &place->scratch, partition, offset,
                                         bytes_max, ret_read, err);
    int64_t limit = limit_of(place, partition);
    if (!is_visible(vlog, place) || offset >= limit) {
        *ret_read = (struct tn_read){NULL, offset, offset};
        return TN_AGAIN;
    }
    struct tn_read read = {0};
    enum tn_status st = vlog->real->type->read(reader->real, &place->real, partition, offset,
                                               bytes_max, &read, err);
    if (tn_failed(st) || st == TN_NOT_FOUND)
        return st;
    if (read.records)
        read.records = cut_at(read.records, limit);
    if (read.next > limit)
        read.next = limit;
    if (read.end_visible > limit)
        read.end_visible = limit;
    *ret_read = read;
    return read.records ? TN_OK : TN_AGAIN;
}

/* ---- writing ---- */

static void vlog_append(struct tn_log *log, const struct tn_topic *topic, int32_t partition,
                        struct tn_records *records, tn_append_done done, void *ctx)
{
    struct tni_vlog *vlog = of(log);
    struct place *place = place_at(vlog, topic);
    struct tn_err err = TN_ERR_INIT;
    enum tn_status st = scratch_topic(vlog, place, &err);
    if (tn_failed(st))
        done(ctx, st, -1, &err);
    else
        vlog->scratch->type->append(vlog->scratch, &place->scratch, partition, records, done, ctx);
}

static enum tn_status vlog_begin(struct tn_log *log, struct tn_log_txn **ret_txn,
                                 struct tn_err *err)
{
    struct tni_vlog *vlog = of(log);
    struct txn *txn = tn_alloc(sizeof *txn);
    txn->vlog = vlog;
    enum tn_status st = vlog->scratch->type->begin(vlog->scratch, &txn->inner, err);
    if (st != TN_OK) {
        tn_free(txn);
        return st;
    }
    *ret_txn = (struct tn_log_txn *)txn;
    return TN_OK;
}

static enum tn_status vlog_txn_append(struct tn_log_txn *base, const struct tn_topic *topic,
                                      int32_t partition, struct tn_records *records,
                                      uint32_t *ret_slot, struct tn_err *err)
{
    struct txn *txn = (struct txn *)base;
    struct place *place = place_at(txn->vlog, topic);
    TN_TRY(scratch_topic(txn->vlog, place, err));
    return txn->vlog->scratch->type->txn_append(txn->inner, &place->scratch, partition, records,
                                                ret_slot, err);
}

static enum tn_status vlog_txn_position(struct tn_log_txn *base, struct tn_str key,
                                        struct tn_str value, struct tn_err *err)
{
    struct txn *txn = (struct txn *)base;
    return txn->vlog->scratch->type->txn_position(txn->inner, key, value, err);
}

static enum tn_status vlog_commit_start(struct tn_log_txn *base, struct tn_wake *wake,
                                        struct tn_err *err)
{
    struct txn *txn = (struct txn *)base;
    return txn->vlog->scratch->type->commit_start(txn->inner, wake, err);
}

static enum tn_status vlog_commit_poll(struct tn_log_txn *base, struct tn_err *err)
{
    struct txn *txn = (struct txn *)base;
    return txn->vlog->scratch->type->commit_poll(txn->inner, err);
}

static int64_t vlog_txn_offset(const struct tn_log_txn *base, uint32_t slot)
{
    const struct txn *txn = (const struct txn *)base;
    return txn->vlog->scratch->type->txn_offset(txn->inner, slot);
}

static void vlog_txn_close(struct tn_log_txn *base)
{
    struct txn *txn = (struct txn *)base;
    if (!txn)
        return;
    txn->vlog->scratch->type->txn_close(txn->inner);
    tn_free(txn);
}

static enum tn_status vlog_positions(struct tn_log *log, struct tn_str prefix,
                                     enum tn_status (*each)(void *ctx, struct tn_str key,
                                                            struct tn_str value,
                                                            struct tn_err *err),
                                     void *ctx, struct tn_err *err)
{
    struct tni_vlog *vlog = of(log);
    struct tn_log *from = vlog->mode == TNI_VLOG_REBUILD ? vlog->real : vlog->scratch;
    return from->type->positions(from, prefix, each, ctx, err);
}

static enum tn_status vlog_sync(struct tn_log *log, struct tn_err *err)
{
    return of(log)->scratch->type->sync(of(log)->scratch, err);
}

static void vlog_close(struct tn_log *log)
{
    struct tni_vlog *vlog = of(log);
    for (uint32_t i = 0; i < vlog->places_count; i++) {
        tn_free(vlog->places[i]->limits);
        tn_free(vlog->places[i]);
    }
    pthread_mutex_destroy(&vlog->lock);
    tn_free(vlog);
}

static const struct tn_log_type vlog_type = {
    .name = "verify",
    .commits_state = true,
    .topic_create = vlog_topic_create,
    .topic_find = vlog_topic_find,
    .topic_delete = vlog_topic_delete,
    .topic_each = vlog_topic_each,
    .offsets = vlog_offsets,
    .offset_at = vlog_offset_at,
    .reader_open = vlog_reader_open,
    .reader_close = vlog_reader_close,
    .read = vlog_read,
    .append = vlog_append,
    .begin = vlog_begin,
    .txn_append = vlog_txn_append,
    .txn_position = vlog_txn_position,
    .commit_start = vlog_commit_start,
    .commit_poll = vlog_commit_poll,
    .txn_offset = vlog_txn_offset,
    .txn_close = vlog_txn_close,
    .positions = vlog_positions,
    .sync = vlog_sync,
    .close = vlog_close,
};

struct tni_vlog *tni_vlog_new(enum tni_vlog_mode mode, struct tn_log *real, struct tn_log *scratch,
                              const struct tn_plan *plan)
{
    struct tni_vlog *vlog = tn_alloc(sizeof *vlog);
    vlog->base.type = &vlog_type;
    vlog->mode = mode;
    vlog->real = real;
    vlog->scratch = scratch;
    vlog->plan = plan;
    atomic_store(&vlog->is_started, mode == TNI_VLOG_REBUILD);
    pthread_mutex_init(&vlog->lock, NULL);
    return vlog;
}

struct tn_log *tni_vlog_log(struct tni_vlog *vlog)
{
    return &vlog->base;
}

void tni_vlog_tables_first(struct tni_vlog *vlog, const char *const *hidden, uint32_t hidden_count)
{
    TN_ASSERT(vlog->places_count == 0);
    vlog->is_tables_first = true;
    vlog->hidden = hidden;
    vlog->hidden_count = hidden_count;
}

void tni_vlog_limit(struct tni_vlog *vlog, const char *topic, int32_t partition, int64_t offset)
{
    struct tn_topic found;
    struct tn_err ignored = TN_ERR_INIT;
    if (vlog_topic_find(&vlog->base, topic, &found, &ignored) != TN_OK)
        return;
    struct place *place = place_at(vlog, &found);
    TN_ASSERT(partition >= 0 && partition < found.partitions_count);
    if (!place->limits) {
        place->limits = tn_alloc_array((size_t)found.partitions_count, sizeof *place->limits);
        for (int32_t p = 0; p < found.partitions_count; p++)
            place->limits[p] = NO_LIMIT;
    }
    place->limits[partition] = offset;
}

void tni_vlog_start(struct tni_vlog *vlog)
{
    atomic_store(&vlog->is_started, true);
    pthread_mutex_lock(&vlog->lock);
    for (uint32_t i = 0; i < vlog->wakes_count; i++)
        vlog->wakes[i]->signal(vlog->wakes[i]);
    pthread_mutex_unlock(&vlog->lock);
}
