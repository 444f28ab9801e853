/* From elements to durable records: build per partition, append, answer.
 *
 * HOW IT WORKS. Everything is built before the first append, so a bad element leaves nothing
 * behind. Records of one partition go out in order, in chunks; chunks of all partitions are in
 * flight together and share the log's group commit. The last "done" answers. Keyless records of one
 * request stay together in one partition, the next request takes the next partition.
 *
 * @thread build and start: the request's; append_done: a thread of the log
 */
#include "connectors/ingest_int.h"

#include <stdio.h>
#include <stdlib.h>

#include "stream/base/hash.h"
#include "stream/base/mem.h"

#define CHUNK_ROWS_FIRST 64u

/* Records of one partition while a request is built. */
struct slot {
    struct tn_records *records; /* the chunk; NULL: none yet */
    uint32_t cap;               /* of its arrays */
    struct tni_part part;
    struct tni_chunk **tail;
};

struct build {
    struct tni_ingest_batch *batch;
    struct tn_arena *arena;
    int64_t now_ms;
    int32_t keyless;        /* partition of records without key */
    uint32_t *by_partition; /* slot number + 1 */
    struct slot *slots;
    uint32_t slots_count, slots_cap;
    uint32_t left; /* elements to come */
};

static void build_init(struct build *build, struct tni_ingest_batch *batch)
{
    struct tni_ingest_stream *stream = batch->stream;
    int32_t partitions = stream->topic.partitions_count;
    *build = (struct build){.batch = batch, .arena = tn_http_arena(batch->req)};
    build->now_ms = tn_wall_ms(batch->ingest->config.clock);
    /* A repeated request must find the same partitions again. */
    uint32_t turn = batch->idem_key.ptr
                        ? tn_crc32c(0, batch->idem_key.ptr, batch->idem_key.len)
                        : atomic_fetch_add_explicit(&stream->turn, 1, memory_order_relaxed);
    build->keyless = (int32_t)(turn % (uint32_t)partitions);
    build->by_partition = TN_ARENA_ARRAY(build->arena, uint32_t, (size_t)partitions);
}

static struct slot *build_slot(struct build *build, int32_t partition)
{
    uint32_t at = build->by_partition[partition];
    if (at)
        return &build->slots[at - 1];
    if (build->slots_count == build->slots_cap) {
        build->slots_cap = build->slots_cap ? build->slots_cap * 2 : 1;
        build->slots = tn_realloc(build->slots, build->slots_cap * sizeof *build->slots);
    }
    struct slot *slot = &build->slots[build->slots_count++];
    *slot = (struct slot){.part = {.partition = partition, .base_offset = -1}};
    build->by_partition[partition] = build->slots_count;
    return slot;
}

/* Headers that let a repeat find what a crash left of the first try. */
static void mark_records(struct tn_records *records, struct tn_str idem_key)
{
    struct tn_header *header = TN_ARENA_NEW(&records->arena, struct tn_header);
    header->key = tn_arena_str(&records->arena, TN_STR(TNI_IDEMPOTENCY_HEADER));
    header->value = tn_arena_str(&records->arena, idem_key);
    records->headers = TN_ARENA_ARRAY(&records->arena, struct tn_headers, records->count);
    for (uint32_t i = 0; i < records->count; i++)
        records->headers[i] = (struct tn_headers){1, header};
}

/* Closes the chunk that is being built. */
static void slot_flush(struct build *build, struct slot *slot)
{
    if (!slot->records)
        return;
    struct tni_chunk *chunk = TN_ARENA_NEW(build->arena, struct tni_chunk);
    chunk->batch = build->batch;
    chunk->records = slot->records;
    slot->records = NULL;
    if (build->batch->idem_key.ptr)
        mark_records(chunk->records, build->batch->idem_key);
    if (slot->tail)
        *slot->tail = chunk;
    else
        slot->part.chunks = chunk;
    slot->tail = &chunk->next;
}

static void release_body(struct tn_records *records)
{
    tn_http_bytes_unref(records->foreign);
}

/* The next chunk: records without key come all to one partition, others double from few. */
static void slot_begin(struct build *build, struct slot *slot, bool is_keyless)
{
    uint32_t cap = slot->cap ? slot->cap * 2 : CHUNK_ROWS_FIRST;
    if (is_keyless)
        cap = TNI_INGEST_CHUNK_ROWS;
    cap = cap < TNI_INGEST_CHUNK_ROWS ? cap : TNI_INGEST_CHUNK_ROWS;
    slot->cap = cap < build->left ? cap : build->left;
    slot->records = tn_records_new(slot->cap);
    slot->records->count = 0;
    if (build->batch->body) {
        slot->records->foreign = tn_http_bytes_ref(build->batch->body);
        slot->records->release = release_body;
    }
}

static void build_add(struct build *build, struct tn_str key, struct tn_str value)
{
    int32_t partitions = build->batch->stream->topic.partitions_count;
    int32_t partition = key.ptr ? tn_partition_of(key.ptr, key.len, partitions) : build->keyless;
    struct slot *slot = build_slot(build, partition);
    if (!slot->records)
        slot_begin(build, slot, !key.ptr);
    struct tn_records *records = slot->records;
    uint32_t at = records->count++;
    records->keys[at] = tn_arena_str(&records->arena, key);
    records->values[at] = build->batch->body ? value : tn_arena_str(&records->arena, value);
    records->timestamps_ms[at] = build->now_ms;
    records->bytes += key.len + value.len;
    slot->part.count++;
    build->left--;
    build->batch->bytes += key.len + value.len;
    if (records->count == slot->cap || records->bytes >= TNI_INGEST_CHUNK_BYTES)
        slot_flush(build, slot);
}

static int part_order(const void *a, const void *b)
{
    const struct tni_part *pa = a, *pb = b;
    return (pa->partition > pb->partition) - (pa->partition < pb->partition);
}

/* Hands what was built to the batch; on failure throws it away. */
static void build_finish(struct build *build, bool is_ok)
{
    struct tni_parts *parts = &build->batch->parts;
    parts->items = TN_ARENA_ARRAY(build->arena, struct tni_part, build->slots_count);
    for (uint32_t i = 0; i < build->slots_count; i++) {
        if (is_ok)
            slot_flush(build, &build->slots[i]);
        tn_records_unref(build->slots[i].records);
        parts->items[parts->count++] = build->slots[i].part;
    }
    tn_free(build->slots);
    qsort(parts->items, parts->count, sizeof *parts->items, part_order);
    for (uint32_t i = 0; i < parts->count; i++)
        for (struct tni_chunk *chunk = parts->items[i].chunks; chunk; chunk = chunk->next)
            chunk->part = &parts->items[i];
    if (!is_ok)
        tni_ingest_batch_release(build->batch);
}

void tni_ingest_batch_release(struct tni_ingest_batch *batch)
{
    for (uint32_t i = 0; i < batch->parts.count; i++)
        for (struct tni_chunk *chunk = batch->parts.items[i].chunks; chunk; chunk = chunk->next) {
            tn_records_unref(chunk->records);
            chunk->records = NULL;
        }
    batch->parts.count = 0;
}

/* Elements with INGEST_DEFAULTS applied, as slices of `text` (sized once, so that slices stay
 * valid). */
static void apply_defaults(const struct tni_ingest_stream *stream, struct tn_str *items,
                           uint32_t count, struct tn_buf *text, struct tn_arena *arena)
{
    tn_buf_reset(text);
    size_t *ends = tn_arena_alloc(arena, count * sizeof *ends);
    for (uint32_t i = 0; i < count; i++) {
        tni_ingest_defaults_apply(&stream->defaults, items[i], text);
        ends[i] = text->len;
    }
    for (uint32_t i = 0; i < count; i++) {
        size_t from = i ? ends[i - 1] : 0;
        items[i] = (struct tn_str){text->ptr + from, ends[i] - from};
    }
}

static enum tn_status build_elements(struct build *build, struct tni_encoder *encoder,
                                     const struct tni_elements *elements, struct tn_str body,
                                     bool is_key_given, struct tn_str key, struct tn_err *err)
{
    const struct tni_ingest_stream *stream = build->batch->stream;
    struct tn_buf text;
    enum tn_status st = TN_OK;
    tn_buf_init(&text, (size_t)1 << 30);
    for (uint32_t at = 0; at < elements->count && !tn_failed(st);) {
        uint32_t count = elements->count - at;
        struct tn_str *items = elements->items + at, checked = body;
        count = count < TNI_INGEST_CHUNK_ROWS ? count : TNI_INGEST_CHUNK_ROWS;
        if (stream->defaults.count) {
            apply_defaults(stream, items, count, &text, build->arena);
            checked = tn_buf_str(&text);
        }
        st = tni_ingest_encoder_run(encoder, checked, items, count, is_key_given, key, err);
        for (uint32_t i = 0; i < count && !tn_failed(st); i++)
            build_add(build, encoder->keys[i], encoder->values[i]);
        at += count;
    }
    tn_buf_release(&text);
    return st;
}

enum tn_status tni_ingest_batch_build(struct tni_ingest_batch *batch,
                                      const struct tni_elements *elements, struct tn_str body,
                                      bool is_key_given, struct tn_str key_text, struct tn_err *err)
{
    struct tni_encoder *encoder;
    struct build build;
    struct tn_str key = {NULL, 0};
    TN_TRY(tni_ingest_encoder_take(batch->stream, &encoder, err));
    build_init(&build, batch);
    build.left = elements->count;
    enum tn_status st = TN_OK;
    if (is_key_given) {
        st = tni_ingest_encoder_key_text(encoder, batch->stream->target.decl, key_text, &key, err);
        key = tn_arena_str(build.arena, key);
    }
    if (!tn_failed(st))
        st = build_elements(&build, encoder, elements, body, is_key_given, key, err);
    build_finish(&build, !tn_failed(st));
    tni_ingest_encoder_give(batch->stream, encoder);
    batch->elements_count = elements->count;
    return st;
}

enum tn_status tni_ingest_batch_build_raw(struct tni_ingest_batch *batch, struct tn_str value,
                                          struct tn_str key_text, struct tn_err *err)
{
    struct tni_encoder *encoder;
    struct build build;
    struct tn_str key = {NULL, 0};
    TN_TRY(tni_ingest_encoder_take(batch->stream, &encoder, err));
    build_init(&build, batch);
    build.left = 1;
    enum tn_status st = TN_OK;
    if (key_text.ptr)
        st = tni_ingest_encoder_key_text(encoder, batch->stream->target.decl, key_text, &key, err);
    if (!tn_failed(st))
        build_add(&build, key, value);
    build_finish(&build, !tn_failed(st));
    tni_ingest_encoder_give(batch->stream, encoder);
    batch->elements_count = 1;
    return st;
}

/* ---- append and answer ---- */

static uint32_t parts_done(const struct tni_parts *parts)
{
    uint32_t done = 0;
    for (uint32_t i = 0; i < parts->count; i++)
        done += parts->items[i].done;
    return done;
}

static void reply_accepted(struct tni_ingest_batch *batch, int *ret_status)
{
    const struct tn_ingest_target *target = &batch->stream->target;
    struct tn_buf *out = tn_http_out(batch->req);
    *ret_status = target->reply_status ? target->reply_status : 200;
    if (target->reply_text) {
        tn_buf_add_text(out, target->reply_text);
        tn_http_reply(batch->req, *ret_status, "text/plain; charset=utf-8");
        return;
    }
    tn_buf_printf(out, "{\"accepted\":%u,\"offsets\":{", batch->elements_count);
    for (uint32_t i = 0; i < batch->parts.count && i < 64; i++)
        tn_buf_printf(out, "%s\"%d\":%lld", i ? "," : "", batch->parts.items[i].partition,
                      (long long)batch->parts.items[i].base_offset);
    tn_buf_add_text(out, "}}\n");
    tn_http_reply(batch->req, *ret_status, "application/json");
}

static void reply_failed(struct tni_ingest_batch *batch)
{
    struct tn_err err = batch->err;
    uint32_t done = parts_done(&batch->parts);
    int status = batch->status == TN_NOT_FOUND ? 404 : 0;
    if (batch->status == TN_E_FULL) {
        err.retriable = true;
        if (!err.hint[0])
            tn_err_hint(&err, "free disk space; what is stored already is processed meanwhile");
    }
    if (done) {
        size_t len = strlen(err.message);
        snprintf(err.message + len, sizeof err.message - len, " (%u of %u events were stored)",
                 done, batch->elements_count);
        if (!err.hint[0])
            tn_err_hint(&err, "repeat with an Idempotency-Key to add only the missing ones");
    }
    tn_http_reply_error(batch->req, status, &err);
}

/* Last part is durable, or an error is known and nothing is in flight. */
static void batch_finish(struct tni_ingest_batch *batch)
{
    struct tn_ingest *ingest = batch->ingest;
    struct tni_ingest_stream *stream = batch->stream;
    struct tn_http_request *req = batch->req;
    int status = 0;
    if (tn_failed(batch->status) || batch->status == TN_NOT_FOUND) {
        tn_metric_add(ingest->m.failed, 1);
        if (batch->status == TN_NOT_FOUND)
            tni_ingest_stream_forget(ingest);
        reply_failed(batch);
        if (batch->idem)
            tni_idempotency_release(ingest->idempotency, batch->idem, &batch->parts);
    } else {
        tn_metric_add(ingest->m.records, batch->elements_count);
        tn_metric_add(ingest->m.bytes, (int64_t)batch->bytes);
        tn_metric_observe(ingest->m.ack_ns, tn_mono_ns(ingest->config.clock) - batch->started_ns);
        reply_accepted(batch, &status);
        if (batch->idem)
            tni_idempotency_settle(ingest->idempotency, batch->idem, status,
                                   tn_buf_str(tn_http_out(req)));
    }
    tni_ingest_batch_release(batch);
    pthread_mutex_destroy(&batch->lock);
    tn_http_complete(req); /* the batch was in its arena */
    tni_ingest_stream_unref(stream);
    atomic_fetch_sub(&ingest->appends_open, 1);
}

static void batch_step(struct tni_ingest_batch *batch)
{
    if (atomic_fetch_sub(&batch->pending, 1) == 1)
        batch_finish(batch);
}

static void batch_fail(struct tni_ingest_batch *batch, enum tn_status st, const struct tn_err *err)
{
    pthread_mutex_lock(&batch->lock);
    if (batch->status == TN_OK) {
        batch->status = st;
        if (err && err->message[0])
            batch->err = *err;
        else
            (void)tn_err_set(&batch->err, tn_failed(st) ? st : TN_E_IO,
                             st == TN_NOT_FOUND ? "the stream's topic is gone"
                                                : "the events could not be stored");
    }
    pthread_mutex_unlock(&batch->lock);
}

static void append_done(void *ctx, enum tn_status st, int64_t base_offset, const struct tn_err *err)
{
    struct tni_chunk *chunk = ctx;
    struct tni_ingest_batch *batch = chunk->batch;
    if (st == TN_OK) {
        pthread_mutex_lock(&batch->lock);
        chunk->part->done += chunk->records->count;
        if (chunk->part->base_offset < 0 || base_offset < chunk->part->base_offset)
            chunk->part->base_offset = base_offset;
        pthread_mutex_unlock(&batch->lock);
    } else {
        batch_fail(batch, st, err);
    }
    batch_step(batch);
}

/* Records of a part that an earlier try has stored are dropped from its front. */
static struct tni_chunk *skip_done(const struct tni_part *part)
{
    uint32_t skip = part->done;
    struct tni_chunk *chunk = part->chunks;
    while (chunk && skip >= chunk->records->count) {
        skip -= chunk->records->count;
        chunk = chunk->next;
    }
    if (chunk && skip) {
        struct tn_records *r = chunk->records;
        uint32_t left = r->count - skip;
        memmove(r->keys, r->keys + skip, left * sizeof *r->keys);
        memmove(r->values, r->values + skip, left * sizeof *r->values);
        memmove(r->timestamps_ms, r->timestamps_ms + skip, left * sizeof *r->timestamps_ms);
        if (r->headers)
            memmove(r->headers, r->headers + skip, left * sizeof *r->headers);
        r->count = left;
    }
    return chunk;
}

static void batch_append(struct tni_ingest_batch *batch)
{
    struct tn_log *log = batch->ingest->config.log;
    for (uint32_t i = 0; i < batch->parts.count; i++) {
        struct tni_part *part = &batch->parts.items[i];
        struct tni_chunk *next;
        for (struct tni_chunk *chunk = skip_done(part); chunk; chunk = next) {
            next = chunk->next; /* done may come before append returns */
            atomic_fetch_add(&batch->pending, 1);
            log->type->append(log, &batch->stream->topic, part->partition, chunk->records,
                              append_done, chunk);
        }
    }
    batch_step(batch);
}

static void batch_begun(void *ctx, enum tn_status st, int64_t base_offset, const struct tn_err *err)
{
    struct tni_ingest_batch *batch = ctx;
    (void)base_offset;
    if (st == TN_OK) {
        batch_append(batch);
        return;
    }
    batch_fail(batch, st, err);
    batch_step(batch);
}

void tni_ingest_batch_start(struct tni_ingest_batch *batch)
{
    pthread_mutex_init(&batch->lock, NULL);
    atomic_fetch_add(&batch->ingest->appends_open, 1);
    atomic_init(&batch->pending, 1);
    tn_http_hold(batch->req);
    if (batch->idem && !batch->is_resumed)
        tni_idempotency_begin(batch->ingest->idempotency, batch->idem, batch->stream->topic.name,
                              &batch->parts, batch_begun, batch);
    else
        batch_append(batch);
}
