/* Sources: one reader and one decode per partition of a topic, shared by all inputs that follow it.
 *
 * HOW IT WORKS. An input attaches at its position. If a source of the same form stands there, it
 * joins; otherwise it gets a source of its own, which catches up: the one behind never reads past
 * the one ahead, and when both stand at the same offset they become one. Reading stops while any
 * input's queue is full (back-pressure); a source that found nothing waits for the log's wake-up.
 *
 * Rows that cannot be decoded are handled once, here: policy `fail` stops the queries at that
 * record, `skip` counts, `dead_letter` counts and hands the raw bytes to task_dead.c. @thread
 * worker
 */
#include "stream/engine_int.h"

#include "stream/base/mem.h"
#include "stream/dict.h"
#include "stream/func.h"

#define READ_RETRY_NS 10000000

/* ---- blocks ---- */

static struct tni_block *block_new(struct tni_source *source)
{
    struct tni_worker *worker = source->worker;
    struct tni_block *block = worker->free_blocks;
    if (block) {
        worker->free_blocks = block->next_free;
    } else {
        block = tn_alloc(sizeof *block);
        tn_arena_init(&block->arena, 0);
    }
    block->refs = 1;
    block->worker = worker;
    block->plan = tn_plan_ref(source->plan);
    block->records = NULL;
    block->batch = NULL;
    block->time_max_ms = INT64_MIN;
    block->bad_count = 0;
    return block;
}

void tni_block_unref(struct tni_block *block)
{
    TN_ASSERT(block->refs > 0);
    if (--block->refs > 0)
        return;
    tn_records_unref(block->records);
    tn_plan_unref(block->plan);
    tn_arena_reset(&block->arena);
    block->next_free = block->worker->free_blocks;
    block->worker->free_blocks = block;
}

/* ---- sharing ---- */

static bool schema_same(const struct tn_schema *a, const struct tn_schema *b)
{
    if (a == b)
        return true;
    if (a->fields_count != b->fields_count)
        return false;
    for (uint32_t i = 0; i < a->fields_count; i++)
        if (!tn_str_eq(a->fields[i].name, b->fields[i].name) ||
            !tn_type_eq(a->fields[i].type, b->fields[i].type))
            return false;
    return true;
}

static bool text_same(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

bool tni_decl_same(const struct tn_topic_decl *a, const struct tn_topic_decl *b)
{
    return a == b ||
           (strcmp(a->topic, b->topic) == 0 && a->is_table == b->is_table &&
            a->keys_count == b->keys_count && a->key_format == b->key_format &&
            a->value_format == b->value_format && a->is_value_bare == b->is_value_bare &&
            a->is_key_bare == b->is_key_bare && a->key_delimiter == b->key_delimiter &&
            a->value_delimiter == b->value_delimiter && a->is_case_exact == b->is_case_exact &&
            a->timestamp_column == b->timestamp_column && a->on_error == b->on_error &&
            a->window == b->window && a->window_size_ms == b->window_size_ms &&
            text_same(a->timestamp_format, b->timestamp_format) &&
            schema_same(a->schema, b->schema));
}

static bool same_stream(const struct tni_source *a, const struct tn_topic *topic, int32_t partition,
                        const struct tn_topic_decl *decl)
{
    return a->partition == partition && a->topic.id == topic->id && tni_decl_same(a->decl, decl);
}

/* Columns that this input's stage reads, added to the source's mask. Returns whether the mask grew.
 */
static bool add_needed(struct tni_source *source, const struct tni_input *input)
{
    const struct tn_schema *schema = input->task->stage->nodes[input->node].schema;
    bool *mask = tn_alloc_array(schema->fields_count, sizeof *mask);
    bool has_grown = false;
    tni_plan_live(input->task->stage, input->node, mask);
    if (source->decl->timestamp_column >= 0)
        mask[source->decl->timestamp_column] = true;
    for (uint32_t i = 0; i < source->decl->schema->fields_count; i++) {
        has_grown |= mask[i] && !source->needed[i];
        source->needed[i] |= mask[i];
    }
    tn_free(mask);
    return has_grown;
}

static void close_codecs(struct tni_source *source)
{
    if (source->key_codec)
        source->key_codec->format->close(source->key_codec);
    if (source->value_codec)
        source->value_codec->format->close(source->value_codec);
    source->key_codec = source->value_codec = NULL;
    source->time_program = NULL;
    tn_arena_release(&source->codec_arena);
}

void tni_source_free(struct tni_source *source)
{
    if (!source)
        return;
    close_codecs(source);
    tn_free(source->needed);
    tn_free(source->inputs);
    tn_plan_unref(source->plan);
    tn_free(source);
}

static void add_input(struct tni_source *source, struct tni_input *input)
{
    if (source->inputs_count == source->inputs_cap) {
        source->inputs_cap = source->inputs_cap ? source->inputs_cap * 2 : 4;
        source->inputs = tn_realloc(source->inputs, source->inputs_cap * sizeof(void *));
    }
    source->inputs[source->inputs_count++] = input;
    input->source = source;
    if (add_needed(source, input))
        source->is_stale = true;
}

/* Most partitions have one source: then there is nobody to wait for or to join. */
static void count_beside(struct tni_source *source, uint32_t change)
{
    for (uint32_t i = 0; i < source->worker->sources_count; i++) {
        struct tni_source *other = source->worker->sources[i];
        if (other == source || other->partition != source->partition ||
            other->topic.id != source->topic.id)
            continue;
        other->beside_count += change;
        source->beside_count += change;
    }
}

static struct tni_source *source_new(struct tni_input *input)
{
    struct tni_worker *worker = input->task->worker;
    struct tni_source *source = tn_alloc(sizeof *source);
    source->worker = worker;
    source->plan = tn_plan_ref(input->task->query->plan);
    source->decl = input->decl;
    source->schema = input->task->stage->nodes[input->node].schema;
    source->topic = input->topic;
    source->partition = input->partition;
    source->is_change = input->is_change;
    source->is_stale = true;
    source->next = atomic_load(&input->position);
    source->needed = tn_alloc_array(input->decl->schema->fields_count, sizeof(bool));
    tn_arena_init(&source->codec_arena, 0);
    if (worker->sources_count == worker->sources_cap) {
        worker->sources_cap = worker->sources_cap ? worker->sources_cap * 2 : 16;
        worker->sources = tn_realloc(worker->sources, worker->sources_cap * sizeof(void *));
    }
    count_beside(source, 1);
    worker->sources[worker->sources_count++] = source;
    return source;
}

void tni_source_attach(struct tni_input *input)
{
    struct tni_worker *worker = input->task->worker;
    TN_ASSERT(!input->source && input->queue_count == 0);
    struct tni_source *found = NULL;
    for (uint32_t i = 0; i < worker->sources_count && !found; i++) {
        struct tni_source *source = worker->sources[i];
        if (source->next == atomic_load(&input->position) &&
            source->is_change == input->is_change &&
            same_stream(source, &input->topic, input->partition, input->decl))
            found = source;
    }
    if (!found)
        found = source_new(input);
    found->is_drained = false;
    add_input(found, input);
}

static void remove_source(struct tni_source *source)
{
    struct tni_worker *worker = source->worker;
    count_beside(source, UINT32_MAX);
    for (uint32_t i = 0; i < worker->sources_count; i++)
        if (worker->sources[i] == source) {
            worker->sources[i] = worker->sources[--worker->sources_count];
            break;
        }
    tni_source_free(source);
}

void tni_input_clear(struct tni_input *input)
{
    for (; input->queue_count; input->queue_count--) {
        tni_block_unref(input->queue[input->queue_from].block);
        input->queue_from = (input->queue_from + 1) % TNI_QUEUE_BLOCKS_MAX;
    }
}

void tni_source_detach(struct tni_input *input)
{
    struct tni_source *source = input->source;
    tni_input_clear(input);
    if (!source)
        return;
    input->source = NULL;
    for (uint32_t i = 0; i < source->inputs_count; i++)
        if (source->inputs[i] == input) {
            source->inputs[i] = source->inputs[--source->inputs_count];
            break;
        }
    if (source->inputs_count == 0)
        remove_source(source);
}

/* The nearest position ahead where this source must stop: its inputs' end of replay, or where
 * another source of the same form stands. INT64_MAX = none. */
static int64_t catch_up_limit(const struct tni_source *source)
{
    int64_t limit = INT64_MAX;
    for (uint32_t i = 0; i < source->inputs_count; i++)
        if (source->inputs[i]->stop_at < limit)
            limit = source->inputs[i]->stop_at;
    for (uint32_t i = 0; source->beside_count && i < source->worker->sources_count; i++) {
        const struct tni_source *other = source->worker->sources[i];
        if (other != source && other->next > source->next && other->next < limit &&
            other->is_change == source->is_change &&
            same_stream(other, &source->topic, source->partition, source->decl))
            limit = other->next;
    }
    return limit;
}

/* Between two of its form, and the hindmost can go on: that one will come here. So of many queries
 * that began one after another only two read a partition at a time. One that has no room does not
 * count: its task may wait for rows of this very source. */
static bool waits_for_hindmost(const struct tni_source *source)
{
    bool is_behind = false, comes_one = false;
    for (uint32_t i = 0; source->beside_count && i < source->worker->sources_count; i++) {
        const struct tni_source *other = source->worker->sources[i];
        if (other == source || other->next == source->next ||
            other->is_change != source->is_change ||
            !same_stream(other, &source->topic, source->partition, source->decl))
            continue;
        is_behind |= other->next > source->next;
        comes_one |= other->next < source->next && !other->is_drained && tni_source_has_room(other);
    }
    return is_behind && comes_one;
}

bool tni_source_merge(struct tni_source *source)
{
    struct tni_worker *worker = source->worker;
    for (uint32_t i = 0; source->beside_count && i < worker->sources_count; i++) {
        struct tni_source *other = worker->sources[i];
        if (other == source || other->next != source->next ||
            other->is_change != source->is_change ||
            !same_stream(other, &source->topic, source->partition, source->decl))
            continue;
        for (uint32_t k = 0; k < source->inputs_count; k++)
            add_input(other, source->inputs[k]);
        other->is_drained = other->is_drained && source->is_drained;
        source->inputs_count = 0;
        remove_source(source);
        return true;
    }
    return false;
}

/* ---- codecs ---- */

static enum tn_status open_side(struct tni_source *source, bool is_key, struct tn_codec **ret_codec,
                                struct tn_err *err)
{
    const struct tn_topic_decl *decl = source->decl;
    uint32_t from = is_key ? 0 : decl->keys_count;
    uint32_t to = is_key ? decl->keys_count : decl->schema->fields_count;
    struct tn_schema *schema = TN_ARENA_NEW(&source->codec_arena, struct tn_schema);
    *schema = (struct tn_schema){.fields_count = to - from, .fields = decl->schema->fields + from};
    struct tn_codec_spec spec = tn_decl_spec(decl, is_key, schema);
    spec.needed = source->needed + from;
    if (schema->fields_count == 0)
        return TN_OK;
    const struct tn_format *format = is_key ? decl->key_format : decl->value_format;
    return format->open(format, &spec, ret_codec, err);
}

static enum tn_status open_time(struct tni_source *source, struct tn_err *err)
{
    const struct tn_topic_decl *decl = source->decl;
    if (decl->timestamp_column < 0 || !decl->timestamp_format)
        return TN_OK;
    return tni_time_program(decl, &source->codec_arena, &source->time_program, err);
}

static enum tn_status reopen_codecs(struct tni_source *source, struct tn_err *err)
{
    close_codecs(source);
    TN_TRY(open_side(source, true, &source->key_codec, err));
    if (!source->is_change)
        TN_TRY(open_side(source, false, &source->value_codec, err));
    TN_TRY(open_time(source, err));
    source->is_stale = false;
    return TN_OK;
}

/* ---- decoding ---- */

struct decode {
    struct tni_source *source;
    struct tni_block *block;
    uint32_t count; /* records to take */
    struct tn_decoded keys, values;
    struct tn_bad_row *times; /* rows with an unusable time column */
    uint32_t times_count;
};

/* Key bytes without the window behind them; window bounds go to columns. A key too short is a bad
 * row. */
static struct tn_str *strip_windows(struct decode *d, struct tn_batch *batch)
{
    const struct tn_topic_decl *decl = d->source->decl;
    struct tn_arena *arena = &d->block->arena;
    size_t suffix = decl->window == TN_WINDOW_SESSION ? 16 : 8;
    struct tn_str *keys = tn_arena_alloc(arena, d->count * sizeof *keys);
    int64_t *starts = TN_ARENA_ARRAY(arena, int64_t, d->count);
    int64_t *ends = TN_ARENA_ARRAY(arena, int64_t, d->count);
    for (uint32_t i = 0; i < d->count; i++) {
        keys[i] = d->block->records->keys[i];
        if (!keys[i].ptr || keys[i].len < suffix)
            continue; /* decoding the whole key will tell */
        keys[i].len -= suffix;
        const char *at = keys[i].ptr + keys[i].len;
        starts[i] = (int64_t)tn_be64(at + suffix - 8);
        ends[i] = decl->window == TN_WINDOW_SESSION ? (int64_t)tn_be64(at)
                                                    : starts[i] + decl->window_size_ms;
    }
    uint32_t at = decl->schema->fields_count;
    const struct tn_type *bigint = tn_type_of(TN_K_BIGINT);
    batch->columns[at] =
        (struct tn_column){.type = bigint, .rows_count = d->count, .values = starts};
    batch->columns[at + 1] =
        (struct tn_column){.type = bigint, .rows_count = d->count, .values = ends};
    return keys;
}

static void bad_time(struct decode *d, uint32_t row)
{
    const struct tn_topic_decl *decl = d->source->decl;
    d->times[d->times_count++] =
        (struct tn_bad_row){.row = row,
                            .position = -1,
                            .reason = "the timestamp column holds no time from 1970 on",
                            .field = decl->schema->fields[decl->timestamp_column].name};
}

/* Row times from the declared column; rows without a usable time are bad. */
static void column_times(struct decode *d, struct tn_batch *batch)
{
    const struct tn_topic_decl *decl = d->source->decl;
    if (decl->timestamp_column < 0)
        return;
    struct tn_arena *arena = &d->block->arena;
    int64_t *times = tn_arena_alloc(arena, d->count * sizeof *times);
    uint8_t *bad = tn_arena_zalloc(arena, tn_bits_bytes(d->count), 1);
    tni_column_times(decl, d->source->time_program, batch, arena, times, bad);
    d->times = tn_arena_alloc(arena, d->count * sizeof *d->times);
    for (uint32_t i = 0; i < d->count; i++) {
        bool is_null_row = batch->null_values && tn_bit_get(batch->null_values, i);
        if (is_null_row)
            times[i] = d->block->records->timestamps_ms[i];
        else if (tn_bit_get(bad, i))
            bad_time(d, i);
    }
    batch->rowtime_ms = times;
}

static uint8_t *absent_values(const struct decode *d)
{
    uint8_t *bits = tn_arena_zalloc(&d->block->arena, tn_bits_bytes(d->count), 1);
    for (uint32_t i = 0; i < d->count; i++)
        if (!d->block->records->values[i].ptr)
            tn_bit_set(bits, i);
    return bits;
}

/* Types of the plan instead of the codec's own: a block may outlive the codec (sources merge), its
 * plan it keeps. */
static void borrow_types(struct tn_column *col, const struct tn_type *type)
{
    col->type = type;
    for (uint32_t i = 0; col->children && i < type->children_count; i++)
        borrow_types(&col->children[i], type->children[i].type);
}

static struct tn_batch *decode_columns(struct decode *d)
{
    struct tni_source *source = d->source;
    const struct tn_topic_decl *decl = source->decl;
    struct tn_records *records = d->block->records;
    struct tn_arena *arena = &d->block->arena;
    struct tn_batch *batch = tn_batch_new(source->schema, d->count, arena);
    struct tn_str *keys = decl->window ? strip_windows(d, batch) : records->keys;
    if (source->key_codec) {
        source->key_codec->format->decode(source->key_codec, keys, d->count, arena, &d->keys);
        memcpy(batch->columns, d->keys.columns, decl->keys_count * sizeof *batch->columns);
    }
    if (source->value_codec) {
        source->value_codec->format->decode(source->value_codec, records->values, d->count, arena,
                                            &d->values);
        memcpy(batch->columns + decl->keys_count, d->values.columns,
               (decl->schema->fields_count - decl->keys_count) * sizeof *batch->columns);
    }
    for (uint32_t i = 0; i < decl->schema->fields_count; i++)
        borrow_types(&batch->columns[i], decl->schema->fields[i].type);
    batch->null_values = source->value_codec ? d->values.null_rows : absent_values(d);
    batch->rowtime_ms = records->timestamps_ms;
    batch->offsets = records->offsets;
    batch->keys = records->keys;
    batch->records = d->count == records->count ? records : NULL;
    batch->partition = source->partition;
    column_times(d, batch);
    return batch;
}

/* Next bad row of the three lists in row order. */
static const struct tn_bad_row *next_bad(const struct decode *d, uint32_t at[3], bool *ret_is_key)
{
    const struct tn_bad_row *lists[3] = {d->keys.bad, d->values.bad, d->times};
    uint32_t counts[3] = {d->keys.bad_count, d->values.bad_count, d->times_count};
    const struct tn_bad_row *best = NULL;
    int best_list = 0;
    for (int l = 0; l < 3; l++) {
        if (at[l] >= counts[l])
            continue;
        TN_ASSERT(lists[l]);
        if (!best || lists[l][at[l]].row < best->row) {
            best = &lists[l][at[l]];
            best_list = l;
        }
    }
    if (!best)
        return NULL;
    for (int l = 0; l < 3; l++) /* one record is bad once */
        while (at[l] < counts[l] && lists[l][at[l]].row == best->row)
            at[l]++;
    *ret_is_key = best_list == 0;
    return best;
}

static void fail_inputs(struct tni_source *source, const struct tn_err *err)
{
    for (uint32_t i = 0; i < source->inputs_count; i++)
        tni_task_fail(source->inputs[i]->task, err);
}

static void fail_at_record(struct decode *d, const struct tn_bad_row *bad)
{
    struct tn_err err = TN_ERR_INIT;
    tn_err_set(&err, TN_E_INVALID, "topic '%s' partition %d offset %lld: %s%s%.*s%s",
               d->source->topic.name, d->source->partition,
               (long long)d->block->records->offsets[bad->row], bad->reason,
               bad->field.ptr ? " (column '" : "", TN_STR_FMT(bad->field),
               bad->field.ptr ? "')" : "");
    tn_err_hint(&err, "the stream's error policy is 'fail'; 'dead_letter' sets such records aside");
    fail_inputs(d->source, &err);
}

static void dead_letter(struct decode *d, const struct tn_bad_row *bad)
{
    struct tni_source *source = d->source;
    struct tn_records *records = d->block->records;
    struct tni_dead *dead = source->worker->dead;
    if (records->offsets[bad->row] < tni_dead_next(dead, source->topic.name, source->partition))
        return; /* written in an earlier round, this is a second reading */
    struct tni_bad_record record = {.topic = &source->topic,
                                    .partition = source->partition,
                                    .offset = records->offsets[bad->row],
                                    .timestamp_ms = records->timestamps_ms[bad->row],
                                    .stream = source->inputs[0]->task->query->plan->query_id,
                                    .reason = bad->reason,
                                    .field = bad->field,
                                    .key = records->keys[bad->row],
                                    .value = records->values[bad->row],
                                    .position = bad->position};
    tni_dead_add(dead, &record);
    tni_dead_mark(dead, &source->topic, source->partition, record.offset + 1);
}

/* Handles bad rows by policy. Under `fail` the batch ends before the first one. Fills good[],
 * returns its count. */
static uint32_t sort_out(struct decode *d, uint32_t *good)
{
    uint32_t at[3] = {0}, row = 0, count = 0;
    bool is_key = false;
    const struct tn_bad_row *bad;
    while ((bad = next_bad(d, at, &is_key)) != NULL) {
        for (; row < bad->row; row++)
            good[count++] = row;
        row = bad->row + 1;
        d->block->bad_count++;
        if (d->source->decl->on_error == TN_POLICY_FAIL) {
            d->block->next = d->block->records->offsets[bad->row];
            d->block->bad_count = 0;
            if (bad->row == 0) {
                d->block->bad_count = 1;
                fail_at_record(d, bad);
            }
            return count;
        }
        if (d->source->decl->on_error == TN_POLICY_DEAD_LETTER)
            dead_letter(d, bad);
    }
    for (; row < d->count; row++)
        good[count++] = row;
    return count;
}

/* Several queries read the block: what one finds out about a column serves the others. */
static void offer_dicts(const struct tni_source *source, struct tni_block *block)
{
    if (block->batch && source->inputs_count > 1)
        tn_dict_offer(block->batch->columns, source->schema->fields_count, &block->arena);
}

static enum tn_status decode_block(struct tni_source *source, struct tni_block *block,
                                   uint32_t count, struct tn_err *err)
{
    if (source->is_change)
        return tni_change_decode(source, block, err);
    struct decode d = {.source = source, .block = block, .count = count};
    struct tn_batch *batch = decode_columns(&d);
    if (d.keys.bad_count + d.values.bad_count + d.times_count == 0) {
        block->batch = batch;
        offer_dicts(source, block);
        return TN_OK;
    }
    uint32_t *good = tn_arena_alloc(&block->arena, count * sizeof *good);
    uint32_t good_count = sort_out(&d, good);
    block->batch = good_count ? tn_batch_gather(batch, good, good_count, &block->arena) : NULL;
    offer_dicts(source, block);
    return TN_OK;
}

/* ---- one read ---- */

bool tni_source_has_room(const struct tni_source *source)
{
    for (uint32_t i = 0; i < source->inputs_count; i++)
        if (source->inputs[i]->queue_count == TNI_QUEUE_BLOCKS_MAX)
            return false;
    return !tni_dead_is_full(source->worker->dead);
}

/* A hole was passed (control records, aborted data): inputs with nothing queued move with the
 * source. */
static void move_over_hole(struct tni_source *source, int64_t next)
{
    if (next == source->next)
        return;
    source->next = next;
    for (uint32_t i = 0; i < source->inputs_count; i++) {
        struct tni_input *input = source->inputs[i];
        if (input->queue_count)
            continue;
        atomic_store_explicit(&input->position, next, memory_order_release);
        atomic_store(&source->worker->has_changes, true);
    }
}

static void push_block(struct tni_source *source, struct tni_block *block)
{
    source->next = block->next;
    for (uint32_t i = 0; i < source->inputs_count; i++) {
        struct tni_input *input = source->inputs[i];
        struct tni_counters *c = &input->task->query->counters;
        if (block->bad_count)
            atomic_fetch_add_explicit(&c->rows_bad, block->bad_count, memory_order_relaxed);
        TN_ASSERT(input->queue_count < TNI_QUEUE_BLOCKS_MAX);
        uint32_t at = (input->queue_from + input->queue_count++) % TNI_QUEUE_BLOCKS_MAX;
        input->queue[at] = (struct tni_queued){.block = block};
        source->worker->is_quiet[input->task->number] = false;
        block->refs++;
    }
}

bool tni_read_is_passing(enum tn_status st)
{
    return st != TN_NOT_FOUND && st != TN_E_INVALID && st != TN_E_CORRUPT;
}

void tni_look_later(struct tni_worker *worker)
{
    int64_t at = tn_mono_ns(worker->engine->clock) + READ_RETRY_NS;
    if (worker->idle_until_ns == 0 || at < worker->idle_until_ns)
        worker->idle_until_ns = at;
}

void tni_read_later(struct tni_worker *worker)
{
    tn_metric_add(worker->engine->m.read_errors, 1);
    tni_look_later(worker);
}

static enum tn_status read_failed(struct tni_source *source, enum tn_status st, struct tn_err *err)
{
    if (st == TN_NOT_FOUND)
        tn_err_set(err, TN_E_NAME, "topic '%s' is gone", source->topic.name);
    if (tni_read_is_passing(st)) {
        tni_read_later(source->worker);
        return TN_AGAIN;
    }
    tn_err_prefix(err, "topic '%s' partition %d", source->topic.name, source->partition);
    fail_inputs(source, err);
    source->is_drained = true;
    return TN_OK;
}

/* How many of the records are below `limit`. */
static uint32_t records_below(const struct tn_records *records, int64_t limit)
{
    uint32_t count = records->count;
    while (count && records->offsets[count - 1] >= limit)
        count--;
    return count;
}

enum tn_status tni_source_step(struct tni_source *source, struct tn_err *err)
{
    struct tn_engine *engine = source->worker->engine;
    if (source->is_drained || !tni_source_has_room(source) || waits_for_hindmost(source))
        return TN_AGAIN;
    if (source->is_stale)
        TN_TRY(reopen_codecs(source, err));
    struct tn_read read = {0};
    enum tn_status st =
        engine->log->type->read(source->worker->reader, &source->topic, source->partition,
                                source->next, TNI_READ_BYTES_MAX, &read, err);
    if (tn_failed(st) || st == TN_NOT_FOUND)
        return read_failed(source, st, err);
    atomic_store_explicit(&source->end_visible, read.end_visible, memory_order_release);
    for (uint32_t i = 0; i < source->inputs_count; i++)
        atomic_store(&source->inputs[i]->seen_end, read.end_visible);
    int64_t limit = catch_up_limit(source);
    if (st == TN_AGAIN) {
        move_over_hole(source, read.next < limit ? read.next : limit);
        source->is_drained = source->next >= read.end_visible;
        if (!source->is_drained && source->next < limit)
            tni_look_later(source->worker); /* visible, but not here yet */
        return source->next == limit ? TN_OK : TN_AGAIN;
    }
    struct tni_block *block = block_new(source);
    block->records = read.records;
    block->from = source->next;
    block->next = read.next < limit ? read.next : limit;
    uint32_t count = records_below(read.records, limit);
    if (count)
        st = decode_block(source, block, count, err);
    if (!tn_failed(st))
        push_block(source, block);
    tni_block_unref(block);
    return tn_failed(st) ? st : TN_OK;
}
