/* Starting a sink: topic and store, then where it stands. The table log decides; the record says
 * which cut was under way. Contract: connectors/sink_int.h.
 *
 * A sink whose record is gone takes over: the epoch goes up by an entry of its own (FENCE), except
 * where names hold no epoch because a repetition writes the same bytes (one object per change). */
#include "connectors/sink_int.h"

#include <inttypes.h>
#include <stdio.h>

#include "stream/base/mem.h"
#include "stream/base/random.h"

#define RECORD_BYTES_MAX ((size_t)64 << 20)

static enum tn_status find_topic(struct tni_sink *sink, struct tn_err *err)
{
    struct tn_log *log = sink->sinks->config.log;
    enum tn_status st = log->type->topic_find(log, sink->spec->decl.topic, &sink->topic, err);
    if (st == TN_NOT_FOUND)
        return tn_err_set(err, TN_E_NAME, "topic '%s' does not exist", sink->spec->decl.topic);
    TN_TRY(st);
    sink->parts_count = (uint32_t)sink->topic.partitions_count;
    sink->parts = tn_alloc_array(sink->parts_count, sizeof *sink->parts);
    sink->is_cut = tn_alloc_array(sink->parts_count, sizeof *sink->is_cut);
    for (uint32_t p = 0; p < sink->parts_count; p++)
        sink->parts[p] = (struct tni_sink_part){.partition = (int32_t)p, .committed = -1};
    return log->type->reader_open(log, &sink->wake, &sink->reader, err);
}

static bool is_own_range(const struct tni_sink *sink, const struct tn_table_range *range)
{
    return range->partition < (int32_t)sink->parts_count &&
           memcmp(range->log_id, sink->topic.log_id, sizeof range->log_id) == 0;
}

enum tn_status tni_sink_apply(struct tni_sink *sink, const struct tn_table_entry *entry,
                              struct tn_err *err)
{
    sink->version = entry->version + 1;
    if (entry->meta)
        sink->meta_version = entry->version;
    if (!tn_str_eq(entry->sink, tn_str_of(sink->name)))
        return TN_OK;
    bool is_ours = sink->stage != TNI_CUT_NONE && tn_str_eq(entry->commit_id, sink->cut.commit_id);
    if (sink->is_open && !is_ours) {
        tn_err_set(err, TN_E_FENCED,
                   "another process writes %s as sink '%s' (epoch %" PRId64 ", entry %" PRId64
                   " of the table log)",
                   sink->spec->table, sink->name, entry->epoch, entry->version);
        tn_err_hint(err, "stop one of them; a restart takes over");
        return TN_E_FENCED;
    }
    if (entry->epoch > sink->epoch)
        sink->epoch = entry->epoch;
    if (is_ours)
        sink->stage = TNI_CUT_COMMITTED;
    for (uint32_t i = 0; i < entry->ranges_count; i++)
        if (is_own_range(sink, &entry->ranges[i])) {
            struct tni_sink_part *part = &sink->parts[entry->ranges[i].partition];
            if (entry->ranges[i].next > part->committed)
                part->committed = entry->ranges[i].next;
        }
    return TN_OK;
}

static enum tn_status apply_one(void *ctx, const struct tn_table_entry *entry, struct tn_err *err)
{
    return tni_sink_apply(ctx, entry, err);
}

/* Entries parsed into another arena, kept. */
static void keep_cut(struct tni_sink *sink, const struct tni_sink_record *record)
{
    struct tn_arena *arena = &sink->cut_arena;
    struct tn_buf buf;
    struct tn_err err;
    tn_buf_init(&buf, RECORD_BYTES_MAX);
    tn_table_entry_print(&record->cut, &buf);
    enum tn_status st =
        tn_table_entry_parse(tn_buf_str(&buf), record->version, arena, &sink->cut, &err);
    TN_ASSERT(st == TN_OK);
    tn_buf_release(&buf);
    sink->stage = record->stage;
}

/* *ret_found: the record is of this topic. */
static enum tn_status load_record(struct tni_sink *sink, bool *ret_found, struct tn_err *err)
{
    struct tn_sink_store *store = sink->sinks->config.store;
    struct tni_sink_record record;
    struct tn_arena arena;
    struct tn_buf buf;
    tn_buf_init(&buf, RECORD_BYTES_MAX);
    tn_arena_init(&arena, 0);
    enum tn_status st = store->get(store, sink->name, &buf, err);
    *ret_found = st == TN_OK;
    if (st == TN_OK)
        st = tni_sink_record_parse(tn_buf_str(&buf), &arena, &record, err);
    if (st == TN_OK) {
        bool is_same = memcmp(record.log_id, sink->topic.log_id, 16) == 0;
        sink->epoch = record.epoch;
        sink->version = record.version;
        if (is_same) {
            for (uint32_t p = 0; p < record.positions_count && p < sink->parts_count; p++)
                sink->parts[p].committed = record.positions[p];
            if (record.stage != TNI_CUT_NONE)
                keep_cut(sink, &record);
        } else {
            *ret_found = false; /* the topic was made again */
        }
    }
    tn_arena_release(&arena);
    tn_buf_release(&buf);
    return st == TN_NOT_FOUND ? TN_OK : st;
}

/* Where partitions begin that the table has nothing of. */
static enum tn_status first_positions(struct tni_sink *sink, struct tn_err *err)
{
    struct tn_log *log = sink->sinks->config.log;
    bool is_latest = strcmp(sink->spec->options.start, "latest") == 0;
    for (uint32_t p = 0; p < sink->parts_count; p++) {
        struct tni_sink_part *part = &sink->parts[p];
        struct tn_offsets offsets;
        TN_TRY(log->type->offsets(log, &sink->topic, (int32_t)p, &offsets, err));
        if (part->committed < 0)
            part->committed = is_latest ? offsets.end_durable : offsets.start;
        if (part->committed > offsets.end_visible)
            return tn_err_set(err, TN_E_CORRUPT,
                              "the table has offsets up to %" PRId64 " of %s-%u, which ends at "
                              "%" PRId64 ": the topic lost records",
                              part->committed, sink->topic.name, p, offsets.end_visible);
        if (part->committed < offsets.start) {
            if (part->committed != 0 || sink->epoch > 1)
                return tn_err_set(err, TN_E_CORRUPT,
                                  "the topic %s-%u begins at %" PRId64 ", but the table needs "
                                  "%" PRId64 ": retention dropped records",
                                  sink->topic.name, p, offsets.start, part->committed);
            part->committed = offsets.start;
        }
        part->next = part->committed;
        if (log->type->hold)
            log->type->hold(log, &sink->topic, (int32_t)p, sink->name, part->committed);
    }
    return TN_OK;
}

/* A new writer says so in the log: the entry also carries what the table is. */
static enum tn_status announce(struct tni_sink *sink, bool is_new_epoch, struct tn_err *err)
{
    struct tn_table_entry entry = {.timestamp_ms = tn_wall_ms(sink->sinks->config.clock),
                                   .operation = TN_STR("FENCE"),
                                   .sink = tn_str_of(sink->name)};
    struct tn_arena arena;
    char id[40];
    if (is_new_epoch)
        sink->epoch++;
    snprintf(id, sizeof id, "%016" PRIx64 "-fence", tn_random_next());
    entry.commit_id = tn_str_of(id);
    entry.epoch = sink->epoch;
    tn_arena_init(&arena, 0);
    enum tn_status st;
    for (;;) {
        entry.version = sink->version;
        entry.meta = sink->meta_version < 0 ? tni_sink_meta(sink, &arena) : NULL;
        if (entry.version == 0)
            entry.operation = TN_STR("CREATE");
        st = tn_table_log_append(sink->store, tn_str_of(sink->root), &entry,
                                 sink->spec->options.timeout_ms, err);
        if (st != TN_E_EXISTS && st != TN_E_INDEFINITE)
            break;
        struct tn_table_entry other;
        st = tn_table_log_get(sink->store, tn_str_of(sink->root), entry.version, &arena, &other,
                              sink->spec->options.timeout_ms, err);
        if (st != TN_OK)
            break;
        if (tn_str_eq(other.commit_id, entry.commit_id))
            break;
        if ((st = tni_sink_apply(sink, &other, err)) != TN_OK)
            break;
        if (is_new_epoch && sink->epoch >= entry.epoch)
            entry.epoch = sink->epoch + 1;
    }
    tn_arena_release(&arena);
    if (st == TN_OK) {
        sink->version = entry.version + 1;
        sink->epoch = entry.epoch;
        if (entry.meta)
            sink->meta_version = entry.version;
        tn_table_log_checkpoint(sink->store, tn_str_of(sink->root), entry.version,
                                sink->spec->options.timeout_ms);
    }
    return st;
}

/* The last entry of who was there before: its notices may not all have been sent. Those before it
 * were, since nothing is cut before they are. */
static enum tn_status adopt_notices(struct tni_sink *sink, int64_t end, struct tn_err *err)
{
    tn_arena_reset(&sink->cut_arena);
    for (int64_t version = end - 1; version >= 0; version--) {
        struct tn_table_entry entry;
        enum tn_status st =
            tn_table_log_get(sink->store, tn_str_of(sink->root), version, &sink->cut_arena, &entry,
                             sink->spec->options.timeout_ms, err);
        if (st != TN_OK)
            return st == TN_NOT_FOUND ? TN_OK : st;
        if (!entry.ranges_count || !tn_str_eq(entry.sink, tn_str_of(sink->name)))
            continue; /* a FENCE */
        for (uint32_t i = 0; i < entry.ranges_count; i++)
            if (!is_own_range(sink, &entry.ranges[i]))
                return TN_OK; /* of an earlier topic */
        sink->cut = entry;
        sink->stage = TNI_CUT_COMMITTED;
        sink->is_adopted = true;
        return TN_OK;
    }
    return TN_OK;
}

static enum tn_status read_log(struct tni_sink *sink, struct tn_err *err)
{
    struct tn_arena arena;
    int64_t from = sink->version, next = 0;
    tn_arena_init(&arena, 0);
    enum tn_status st =
        tn_table_log_read(sink->store, tn_str_of(sink->root), from, &arena, apply_one, sink, &next,
                          sink->spec->options.timeout_ms, err);
    struct tn_table_entry entry;
    if (st == TN_OK && next == from && from > 0) { /* is it still the table we knew? */
        st = tn_table_log_get(sink->store, tn_str_of(sink->root), from - 1, &arena, &entry,
                              sink->spec->options.timeout_ms, err);
        if (st == TN_NOT_FOUND) {
            tn_err_set(err, TN_E_CORRUPT,
                       "the table log of %s has no entry %" PRId64 ", which this sink knows",
                       sink->spec->table, from - 1);
            tn_err_hint(err,
                        "was the table's folder removed? DROP SINK and CREATE SINK start anew");
            st = TN_E_CORRUPT;
        }
    }
    tn_arena_release(&arena);
    return tn_failed(st) ? st : TN_OK;
}

static enum tn_status open_spec(struct tni_sink *sink, struct tn_err *err)
{
    const struct tn_sinks_config *config = &sink->sinks->config;
    TN_TRY(tni_sink_shape_make(sink->spec, &sink->arena, &sink->shape, err));
    TN_TRY(tni_encoder_open(sink->spec, &sink->shape, config->formats, &sink->encoder, err));
    return config->store_open(config->store_ctx, sink->spec->location, &sink->store, sink->root,
                              err);
}

enum tn_status tni_sink_recover(struct tni_sink *sink, struct tn_err *err)
{
    bool has_record;
    sink->meta_version = -1;
    sink->version = sink->epoch = 0;
    TN_TRY(open_spec(sink, err));
    TN_TRY(find_topic(sink, err));
    TN_TRY(load_record(sink, &has_record, err));
    if (has_record && sink->version > 0 && !sink->is_spec_new)
        sink->meta_version = 0; /* it was written by us; ALTER writes it again */
    int64_t own_epoch = sink->epoch;
    TN_TRY(read_log(sink, err));
    bool is_take_over = (!has_record && (sink->epoch == 0 || !sink->spec->options.object_key)) ||
                        (has_record && sink->epoch > own_epoch);
    if (is_take_over)
        sink->stage = TNI_CUT_NONE; /* the cut is of an epoch that must not write any more */
    int64_t end = sink->version;
    if (is_take_over || sink->meta_version < 0)
        TN_TRY(announce(sink, is_take_over, err));
    TN_TRY(first_positions(sink, err));
    TN_TRY(tni_sink_sweep(sink, is_take_over, err));
    sink->encoder.epoch = sink->epoch;
    tni_sink_exchange(sink->spec, sink->topic.log_id, sink->epoch, sink->encoder.exchange);
    if ((is_take_over || !has_record) && tni_sink_has_notices(sink))
        TN_TRY(adopt_notices(sink, end, err));
    TN_TRY(tni_sink_save(sink, err));
    sink->is_open = true;
    for (uint32_t i = 0; i < sink->cut.ranges_count && sink->stage < TNI_CUT_COMMITTED; i++)
        if (is_own_range(sink, &sink->cut.ranges[i]) &&
            sink->cut.ranges[i].first != sink->parts[sink->cut.ranges[i].partition].committed)
            sink->stage = TNI_CUT_NONE; /* another writer was there meanwhile */
    if (sink->stage == TNI_CUT_PLANNED || sink->stage == TNI_CUT_UPLOADED) {
        /* Its files are made again from the same offsets. */
        sink->is_rebuilding = true;
        sink->stage = TNI_CUT_PLANNED;
        for (uint32_t i = 0; i < sink->cut.ranges_count; i++)
            if (is_own_range(sink, &sink->cut.ranges[i]))
                sink->is_cut[sink->cut.ranges[i].partition] = true;
    }
    return TN_OK;
}

void tni_sink_release(struct tni_sink *sink)
{
    for (uint32_t p = 0; p < sink->parts_count; p++)
        tni_sink_part_clear(&sink->parts[p]);
    tn_free(sink->parts);
    tn_free(sink->is_cut);
    tn_free(sink->is_uploaded);
    sink->parts = NULL;
    sink->is_cut = sink->is_uploaded = NULL;
    sink->parts_count = 0;
    if (sink->reader)
        sink->sinks->config.log->type->reader_close(sink->reader);
    sink->reader = NULL;
    tni_encoder_close(&sink->encoder);
    tn_object_store_close(sink->store);
    sink->store = NULL;
    tn_arena_reset(&sink->arena);
    tn_arena_reset(&sink->cut_arena);
    sink->stage = TNI_CUT_NONE;
    sink->is_rebuilding = sink->is_adopted = sink->is_open = false;
}
