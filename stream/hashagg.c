/* Hash grouping: see hashagg.h for the contract.
 *
 * HOW IT WORKS. Groups are numbered in order of arrival; an open-addressing table maps hashes to
 * numbers, and what a group's key is lies in plain arrays by number. Three forms of key:
 *
 *   number  one BOOLEAN, INTEGER, BIGINT, DOUBLE or time column: 64 bits compared as such (doubles
 *           normalised: −0.0 is 0.0, one NaN)
 *   text    one VARCHAR, BYTES or JSON column: the bytes
 *   row     everything else: the columns serialised (rowcode), doubles normalised before
 *
 * NULL is a group of its own: in the first two forms its number is kept beside the table. States
 * lie in blocks that never move. DISTINCT keeps one set per aggregate of (group, argument).
 *
 * Ownership: the object owns keys and states. @thread owner */
#include "stream/hashagg.h"

#include <math.h>

#include "stream/base/hash.h"
#include "stream/base/mem.h"
#include "stream/dict.h"
#include "stream/rowcode.h"

#define BLOCK_SHIFT   9
#define BLOCK_GROUPS  (1u << BLOCK_SHIFT)
#define NO_GROUP      UINT32_MAX
#define ROW_BYTES_MAX ((size_t)64 << 20)
#define FIRST_SLOTS   64
#define GROW_FAST     (1u << 12) /* below it tables grow fourfold */
#define TEXT_BYTES    ((size_t)16 << 10)
#define AHEAD         32u /* rows whose slots are fetched before they are probed */

enum form { FORM_NONE, FORM_NUMBER, FORM_TEXT, FORM_ROW };

/* Set of byte strings by hash, for DISTINCT: the strings lie in the arena. */
struct distinct {
    struct distinct_slot {
        uint64_t hash; /* 0 = free */
        struct tn_str bytes;
    } * slots;
    uint32_t count, mask;
    struct tn_buf key;
};

struct tn_hashagg {
    enum form form;
    uint32_t keys_count, aggs_count;
    const struct tn_type **key_types;
    const struct tn_agg_call *aggs;
    uint32_t *offsets; /* of each aggregate's state in a group's memory */
    size_t stride, bytes_max;
    uint32_t count, cap; /* groups */
    struct slot {
        uint32_t hash;
        uint32_t group; /* NO_GROUP = free */
    } * slots;
    uint32_t mask;
    uint64_t *numbers;          /* NUMBER: by group */
    struct tn_str *texts;       /* TEXT, ROW: by group */
    char *text_next, *text_end; /* room for the bytes of new ones */
    uint32_t null_group;        /* NUMBER, TEXT */
    char **blocks;
    uint32_t blocks_count;
    struct distinct *distincts; /* by aggregate; slots NULL where it is not DISTINCT */
    struct tn_arena arena;      /* key bytes */
    struct tn_arena scratch;    /* one call */
    struct tn_buf row;          /* serialised key */
    size_t bytes_extra;         /* behind states, as last counted */
    uint64_t rows_total;
    uint64_t rows_uncounted; /* rows since then */
};

/* ---- making ---- */

static enum form form_of(uint32_t keys_count, const struct tn_type *const *key_types)
{
    if (keys_count == 0)
        return FORM_NONE;
    enum tn_kind kind = key_types[0]->kind;
    if (keys_count > 1 || kind == TN_K_DECIMAL || kind == TN_K_NULL || tn_kind_is_nested(kind))
        return FORM_ROW;
    return tn_kind_is_varlen(kind) ? FORM_TEXT : FORM_NUMBER;
}

static void grow_groups(struct tn_hashagg *ha)
{
    ha->cap = ha->cap ? ha->cap * 2 : FIRST_SLOTS / 2;
    if (ha->form == FORM_NUMBER)
        ha->numbers = tn_realloc(ha->numbers, ha->cap * sizeof *ha->numbers);
    if (ha->form == FORM_TEXT || ha->form == FORM_ROW)
        ha->texts = tn_realloc(ha->texts, ha->cap * sizeof *ha->texts);
}

static void *state_at(const struct tn_hashagg *ha, uint32_t group, uint32_t agg)
{
    return ha->blocks[group >> BLOCK_SHIFT] + (group & (BLOCK_GROUPS - 1)) * ha->stride +
           ha->offsets[agg];
}

/* Room and fresh states for the next group. */
static uint32_t add_group(struct tn_hashagg *ha)
{
    uint32_t group = ha->count++;
    if (group == ha->cap)
        grow_groups(ha);
    if (ha->stride && group >> BLOCK_SHIFT == ha->blocks_count) {
        ha->blocks = tn_realloc(ha->blocks, (ha->blocks_count + 1) * sizeof *ha->blocks);
        ha->blocks[ha->blocks_count++] = tn_alloc(BLOCK_GROUPS * ha->stride);
    }
    for (uint32_t a = 0; a < ha->aggs_count; a++)
        ha->aggs[a].agg->init(&ha->aggs[a], state_at(ha, group, a));
    return group;
}

static void grow_slots(struct tn_hashagg *ha)
{
    struct slot *old = ha->slots;
    uint32_t size = old ? ha->mask + 1 : 0;
    uint32_t fresh = !size ? FIRST_SLOTS : size < GROW_FAST ? size * 4 : size * 2;
    TN_ASSERT(fresh > size);
    ha->slots = tn_alloc_raw(fresh * sizeof *ha->slots);
    memset(ha->slots, 0xff, fresh * sizeof *ha->slots);
    ha->mask = fresh - 1;
    for (uint32_t i = 0; i < size; i++) {
        if (old[i].group == NO_GROUP)
            continue;
        uint32_t at = old[i].hash & ha->mask;
        while (ha->slots[at].group != NO_GROUP)
            at = (at + 1) & ha->mask;
        ha->slots[at] = old[i];
    }
    tn_free(old);
}

struct tn_hashagg *tn_hashagg_new(uint32_t keys_count, const struct tn_type *const *key_types,
                                  uint32_t aggs_count, const struct tn_agg_call *aggs,
                                  size_t bytes_max)
{
    struct tn_hashagg *ha = tn_alloc(sizeof *ha);
    tn_arena_init(&ha->arena, 0);
    tn_arena_init(&ha->scratch, 0);
    tn_buf_init(&ha->row, ROW_BYTES_MAX);
    ha->form = form_of(keys_count, key_types);
    ha->keys_count = keys_count;
    ha->aggs_count = aggs_count;
    ha->aggs = aggs;
    ha->bytes_max = bytes_max;
    ha->null_group = NO_GROUP;
    ha->key_types = tn_alloc_array((size_t)keys_count + 1, sizeof(struct tn_type *));
    for (uint32_t i = 0; i < keys_count; i++)
        ha->key_types[i] = key_types[i];
    ha->offsets = tn_alloc_array((size_t)aggs_count + 1, sizeof *ha->offsets);
    ha->distincts = tn_alloc_array((size_t)aggs_count + 1, sizeof *ha->distincts);
    for (uint32_t a = 0; a < aggs_count; a++) {
        TN_ASSERT(aggs[a].state_bytes % 8 == 0);
        ha->offsets[a] = (uint32_t)ha->stride;
        ha->stride += aggs[a].state_bytes;
        tn_buf_init(&ha->distincts[a].key, ROW_BYTES_MAX);
    }
    grow_slots(ha);
    if (keys_count == 0)
        add_group(ha);
    return ha;
}

void tn_hashagg_free(struct tn_hashagg *ha)
{
    if (!ha)
        return;
    for (uint32_t a = 0; a < ha->aggs_count; a++) {
        const struct tn_agg *agg = ha->aggs[a].agg;
        for (uint32_t g = 0; agg->release && g < ha->count; g++)
            agg->release(&ha->aggs[a], state_at(ha, g, a));
        tn_free(ha->distincts[a].slots);
        tn_buf_release(&ha->distincts[a].key);
    }
    for (uint32_t i = 0; i < ha->blocks_count; i++)
        tn_free(ha->blocks[i]);
    tn_free(ha->blocks);
    tn_free(ha->slots);
    tn_free(ha->numbers);
    tn_free(ha->texts);
    tn_free(ha->key_types);
    tn_free(ha->offsets);
    tn_free(ha->distincts);
    tn_arena_release(&ha->arena);
    tn_arena_release(&ha->scratch);
    tn_buf_release(&ha->row);
    tn_free(ha);
}

/* ---- sizes ---- */

static void count_extra(struct tn_hashagg *ha)
{
    ha->bytes_extra = 0;
    ha->rows_uncounted = 0;
    for (uint32_t a = 0; a < ha->aggs_count; a++) {
        const struct tn_agg *agg = ha->aggs[a].agg;
        for (uint32_t g = 0; agg->bytes_extra && g < ha->count; g++)
            ha->bytes_extra += agg->bytes_extra(&ha->aggs[a], state_at(ha, g, a));
    }
}

static void count_rows(struct tn_hashagg *ha, uint32_t count)
{
    ha->rows_uncounted += count;
    ha->rows_total += count;
    if (ha->rows_uncounted >= ha->count && ha->rows_uncounted >= ha->rows_total / 8)
        count_extra(ha); /* asks every state: rarely enough to cost little in all */
}

size_t tn_hashagg_bytes(const struct tn_hashagg *ha)
{
    size_t bytes = ha->arena.bytes_total + ha->scratch.bytes_total + ha->bytes_extra;
    bytes += ((size_t)ha->mask + 1) * sizeof *ha->slots;
    bytes += ha->numbers ? ha->cap * sizeof *ha->numbers : 0;
    bytes += ha->texts ? ha->cap * sizeof *ha->texts : 0;
    bytes += (size_t)ha->blocks_count * BLOCK_GROUPS * ha->stride;
    for (uint32_t a = 0; a < ha->aggs_count; a++)
        if (ha->distincts[a].slots)
            bytes += ((size_t)ha->distincts[a].mask + 1) * sizeof(struct distinct_slot);
    return bytes;
}

static enum tn_status check_bytes(const struct tn_hashagg *ha, struct tn_err *err)
{
    if (ha->bytes_max && tn_hashagg_bytes(ha) > ha->bytes_max)
        return tn_err_set(err, TN_E_LIMIT, "grouping needs more than %zu bytes", ha->bytes_max);
    return TN_OK;
}

uint32_t tn_hashagg_count(const struct tn_hashagg *ha)
{
    return ha->count;
}

/* ---- groups ---- */

static double normal_double(double value)
{
    return isnan(value) ? (double)NAN : value == 0 ? 0 : value;
}

static uint64_t number_at(const struct tn_column *col, uint32_t row)
{
    uint64_t bits;
    switch (col->type->kind) {
    case TN_K_BOOLEAN: return tn_column_bool(col, row);
    case TN_K_INTEGER:
    case TN_K_DATE: return (uint64_t)(int64_t)tn_column_i32(col, row);
    case TN_K_DOUBLE: {
        double value = normal_double(tn_column_f64(col, row));
        memcpy(&bits, &value, sizeof bits);
        return bits;
    }
    default: return (uint64_t)tn_column_i64(col, row);
    }
}

static uint32_t null_group(struct tn_hashagg *ha)
{
    if (ha->null_group == NO_GROUP)
        ha->null_group = add_group(ha);
    return ha->null_group;
}

/* A new group at slot `at`; the slots may move. */
static uint32_t place_group(struct tn_hashagg *ha, uint32_t at, uint32_t hash)
{
    uint32_t group = add_group(ha);
    ha->slots[at] = (struct slot){hash, group};
    if ((uint64_t)ha->count * 4 > (uint64_t)ha->mask * 3)
        grow_slots(ha);
    return group;
}

static uint32_t hash_number(uint64_t number)
{
    return (uint32_t)tn_mix64(number, 0x9FB21C651E98DF25ull);
}

static inline uint32_t hash_text(struct tn_str text)
{
    return (uint32_t)tn_hash_text(text);
}

static inline uint32_t number_group(struct tn_hashagg *ha, uint64_t number, uint32_t hash)
{
    uint32_t at = hash & ha->mask;
    for (; ha->slots[at].group != NO_GROUP; at = (at + 1) & ha->mask)
        if (ha->slots[at].hash == hash && ha->numbers[ha->slots[at].group] == number)
            return ha->slots[at].group;
    uint32_t group = place_group(ha, at, hash);
    ha->numbers[group] = number;
    return group;
}

static struct tn_str keep_text(struct tn_hashagg *ha, struct tn_str text)
{
    if ((size_t)(ha->text_end - ha->text_next) < text.len) {
        size_t size = text.len > TEXT_BYTES ? text.len : TEXT_BYTES;
        ha->text_next = tn_arena_alloc(&ha->arena, size);
        ha->text_end = ha->text_next + size;
    }
    struct tn_str copy = {ha->text_next, text.len};
    if (text.len)
        memcpy(ha->text_next, text.ptr, text.len);
    ha->text_next += text.len;
    return copy;
}

static inline uint32_t text_group(struct tn_hashagg *ha, struct tn_str text, uint32_t hash)
{
    uint32_t at = hash & ha->mask;
    for (; ha->slots[at].group != NO_GROUP; at = (at + 1) & ha->mask)
        if (ha->slots[at].hash == hash && tn_str_eq(ha->texts[ha->slots[at].group], text))
            return ha->slots[at].group;
    uint32_t group = place_group(ha, at, hash);
    ha->texts[group] = keep_text(ha, text);
    return group;
}

static inline uint32_t row_of(const uint32_t *rows, uint32_t i)
{
    return rows ? rows[i] : i;
}

static bool has_double(const struct tn_type *type)
{
    bool found = type->kind == TN_K_DOUBLE;
    for (uint32_t i = 0; i < type->children_count && !found; i++)
        found = has_double(type->children[i].type);
    return found;
}

/* The column with its doubles normalised, inside lists too; unchanged when it has none. */
static struct tn_column normal_column(struct tn_arena *arena, const struct tn_column *col)
{
    struct tn_column out = *col;
    if (!has_double(col->type))
        return out;
    if (col->type->kind == TN_K_DOUBLE) {
        double *values = TN_ARENA_ARRAY(arena, double, col->rows_count);
        for (uint32_t i = 0; i < col->rows_count; i++)
            values[i] = normal_double(tn_column_f64(col, i));
        out.values = values;
        return out;
    }
    out.children = TN_ARENA_ARRAY(arena, struct tn_column, col->type->children_count);
    for (uint32_t i = 0; i < col->type->children_count; i++)
        out.children[i] = normal_column(arena, &col->children[i]);
    return out;
}

/* Key columns with doubles normalised, so that equal keys have equal bytes. */
static const struct tn_column *normal_columns(struct tn_hashagg *ha, const struct tn_column *keys)
{
    struct tn_column *out = TN_ARENA_ARRAY(&ha->scratch, struct tn_column, ha->keys_count);
    for (uint32_t k = 0; k < ha->keys_count; k++)
        out[k] = normal_column(&ha->scratch, &keys[k]);
    return out;
}

static enum tn_status row_groups(struct tn_hashagg *ha, const struct tn_column *keys,
                                 const uint32_t *rows, uint32_t count, uint32_t *ret_groups,
                                 struct tn_err *err)
{
    keys = normal_columns(ha, keys);
    for (uint32_t i = 0; i < count; i++) {
        tn_buf_reset(&ha->row);
        tni_rowcode_add(&ha->row, keys, ha->keys_count, row_of(rows, i));
        if (tn_buf_over(&ha->row))
            return tn_err_set(err, TN_E_LIMIT, "a group key is larger than %zu bytes",
                              ROW_BYTES_MAX);
        struct tn_str row = tn_buf_str(&ha->row);
        ret_groups[i] = text_group(ha, row, hash_text(row));
    }
    return TN_OK;
}

/* Up to AHEAD rows: hash and fetch the slots of all, then probe. */
static void number_groups(struct tn_hashagg *ha, const struct tn_column *col, const uint32_t *rows,
                          uint32_t from, uint32_t count, uint32_t *ret_groups)
{
    uint64_t numbers[AHEAD];
    uint32_t hashes[AHEAD];
    for (uint32_t i = 0; i < count; i++) {
        numbers[i] = number_at(col, row_of(rows, from + i));
        hashes[i] = hash_number(numbers[i]);
        __builtin_prefetch(&ha->slots[hashes[i] & ha->mask]);
    }
    for (uint32_t i = 0; i < count; i++)
        ret_groups[from + i] = tn_column_is_null(col, row_of(rows, from + i))
                                   ? null_group(ha)
                                   : number_group(ha, numbers[i], hashes[i]);
}

static void text_groups(struct tn_hashagg *ha, const struct tn_column *col, const uint32_t *rows,
                        uint32_t from, uint32_t count, uint32_t *ret_groups)
{
    struct tn_str texts[AHEAD];
    uint32_t hashes[AHEAD];
    for (uint32_t i = 0; i < count; i++) {
        texts[i] = tn_column_str(col, row_of(rows, from + i));
        hashes[i] = hash_text(texts[i]);
        __builtin_prefetch(&ha->slots[hashes[i] & ha->mask]);
    }
    for (uint32_t i = 0; i < count; i++)
        ret_groups[from + i] = tn_column_is_null(col, row_of(rows, from + i))
                                   ? null_group(ha)
                                   : text_group(ha, texts[i], hashes[i]);
}

/* One look-up per value instead of one per row. */
static void dict_groups(struct tn_hashagg *ha, const struct tn_column *col,
                        const struct tn_dict *dict, const uint32_t *rows, uint32_t count,
                        uint32_t *ret_groups)
{
    uint32_t group_of[TN_DICT_VALUES_MAX];
    memset(group_of, 0xff, sizeof group_of); /* NO_GROUP */
    for (uint32_t i = 0; i < count; i++) {
        uint32_t row = row_of(rows, i);
        if (TN_UNLIKELY(tn_column_is_null(col, row))) {
            ret_groups[i] = null_group(ha);
            continue;
        }
        uint32_t *group = &group_of[dict->codes[row]];
        if (TN_UNLIKELY(*group == NO_GROUP)) {
            struct tn_str text = dict->values[dict->codes[row]];
            *group = text_group(ha, text, hash_text(text));
        }
        ret_groups[i] = *group;
    }
}

enum tn_status tn_hashagg_groups(struct tn_hashagg *ha, const struct tn_column *keys,
                                 const uint32_t *rows, uint32_t count, uint32_t *ret_groups,
                                 struct tn_err *err)
{
    tn_arena_reset(&ha->scratch);
    if (ha->form == FORM_NONE)
        memset(ret_groups, 0, count * sizeof *ret_groups);
    if (ha->form == FORM_ROW)
        TN_TRY(row_groups(ha, keys, rows, count, ret_groups, err));
    const struct tn_dict *dict = ha->form == FORM_TEXT ? tn_column_dict(keys) : NULL;
    if (dict) {
        dict_groups(ha, keys, dict, rows, count, ret_groups);
        return check_bytes(ha, err);
    }
    for (uint32_t from = 0; from < count; from += AHEAD) {
        uint32_t some = count - from < AHEAD ? count - from : AHEAD;
        if (ha->form == FORM_NUMBER)
            number_groups(ha, keys, rows, from, some, ret_groups);
        else if (ha->form == FORM_TEXT)
            text_groups(ha, keys, rows, from, some, ret_groups);
    }
    return check_bytes(ha, err);
}

/* ---- aggregates ---- */

static void grow_distinct(struct distinct *set)
{
    struct distinct old = *set;
    uint32_t slots = old.slots ? (old.mask + 1) * 2 : FIRST_SLOTS;
    set->slots = tn_alloc_array(slots, sizeof *set->slots);
    set->mask = slots - 1;
    for (uint32_t i = 0; old.slots && i <= old.mask; i++) {
        if (!old.slots[i].hash)
            continue;
        uint32_t at = (uint32_t)old.slots[i].hash & set->mask;
        while (set->slots[at].hash)
            at = (at + 1) & set->mask;
        set->slots[at] = old.slots[i];
    }
    tn_free(old.slots);
}

/* True when this group has not seen the arguments before. */
static bool is_first(struct tn_hashagg *ha, uint32_t agg, const struct tn_column *args,
                     uint32_t row, uint32_t group)
{
    struct distinct *set = &ha->distincts[agg];
    tn_buf_reset(&set->key);
    tn_buf_add(&set->key, &group, sizeof group);
    tni_rowcode_add(&set->key, args, ha->aggs[agg].args_count, row);
    struct tn_str key = tn_buf_str(&set->key);
    uint64_t hash = tn_hash64(key.ptr, key.len) | 1;
    if (!set->slots || set->count > set->mask / 2)
        grow_distinct(set);
    uint32_t at = (uint32_t)hash & set->mask;
    for (; set->slots[at].hash; at = (at + 1) & set->mask)
        if (set->slots[at].hash == hash && tn_str_eq(set->slots[at].bytes, key))
            return false;
    set->slots[at] = (struct distinct_slot){hash, tn_arena_str(&ha->arena, key)};
    set->count++;
    return true;
}

static const struct tn_column *distinct_args(struct tn_hashagg *ha, uint32_t agg,
                                             const struct tn_column *args)
{
    uint32_t count = ha->aggs[agg].args_count;
    struct tn_column *out = TN_ARENA_ARRAY(&ha->scratch, struct tn_column, count);
    for (uint32_t k = 0; k < count; k++)
        out[k] = normal_column(&ha->scratch, &args[k]);
    return out;
}

static bool is_left_out(const struct tn_agg_call *call, const struct tn_column *args,
                        const struct tn_column *filter, uint32_t row)
{
    if (filter && (tn_column_is_null(filter, row) || !tn_column_bool(filter, row)))
        return true;
    if (call->agg->flags & TN_AGG_NULLS)
        return false;
    for (uint32_t k = 0; k < call->args_count; k++)
        if (tn_column_is_null(&args[k], row))
            return true;
    return false;
}

static bool has_nulls(const struct tn_agg_call *call, const struct tn_column *args)
{
    for (uint32_t k = 0; k < call->args_count; k++)
        if (args[k].validity)
            return true;
    return false;
}

static void update_one(struct tn_hashagg *ha, uint32_t agg, const uint32_t *groups,
                       const uint32_t *rows, uint32_t count, const struct tn_column *args,
                       const struct tn_column *filter, void **states, uint32_t *kept)
{
    const struct tn_agg_call *call = &ha->aggs[agg];
    if (!filter && !call->is_distinct && !has_nulls(call, args)) {
        for (uint32_t i = 0; i < count; i++)
            states[i] = state_at(ha, groups[i], agg);
        call->agg->update(call, args, rows, count, states);
        return;
    }
    if (call->is_distinct)
        args = distinct_args(ha, agg, args);
    uint32_t n = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t row = row_of(rows, i);
        if (is_left_out(call, args, filter, row) ||
            (call->is_distinct && !is_first(ha, agg, args, row, groups[i])))
            continue;
        kept[n] = row;
        states[n++] = state_at(ha, groups[i], agg);
    }
    if (n)
        call->agg->update(call, args, kept, n, states);
}

enum tn_status tn_hashagg_update(struct tn_hashagg *ha, const uint32_t *groups,
                                 const uint32_t *rows, uint32_t count,
                                 const struct tn_column *const *args,
                                 const struct tn_column *const *filters, struct tn_err *err)
{
    tn_arena_reset(&ha->scratch);
    void **states = TN_ARENA_ARRAY(&ha->scratch, void *, (size_t)count + 1);
    uint32_t *kept = TN_ARENA_ARRAY(&ha->scratch, uint32_t, (size_t)count + 1);
    for (uint32_t a = 0; a < ha->aggs_count; a++)
        update_one(ha, a, groups, rows, count, args[a], filters ? filters[a] : NULL, states, kept);
    count_rows(ha, count);
    return check_bytes(ha, err);
}

enum tn_status tn_hashagg_merge(struct tn_hashagg *to, const struct tn_hashagg *from,
                                struct tn_err *err)
{
    struct tn_arena arena;
    tn_arena_init(&arena, 0);
    enum tn_status st = TN_OK;
    for (uint32_t first = 0; first < from->count && !tn_failed(st); first += BLOCK_GROUPS) {
        uint32_t left = from->count - first, groups[BLOCK_GROUPS] = {0};
        uint32_t count = left < BLOCK_GROUPS ? left : BLOCK_GROUPS;
        union {
            const struct tn_hashagg *in;
            struct tn_hashagg *out;
        } source = {.in = from}; /* columns without values change nothing */
        struct tn_column *keys = TN_ARENA_ARRAY(&arena, struct tn_column, from->keys_count + 1u);
        st = tn_hashagg_columns(source.out, first, count, &arena, keys, NULL, err);
        if (!tn_failed(st))
            st = tn_hashagg_groups(to, keys, NULL, count, groups, err);
        for (uint32_t i = 0; i < count && !tn_failed(st); i++)
            for (uint32_t a = 0; a < to->aggs_count; a++)
                to->aggs[a].agg->merge(&to->aggs[a], state_at(to, groups[i], a),
                                       state_at(from, first + i, a));
        tn_arena_reset(&arena);
    }
    tn_arena_release(&arena);
    return st;
}

/* ---- results ---- */

void tn_hashagg_encode(const struct tn_hashagg *ha, uint32_t group, struct tn_buf *buf)
{
    for (uint32_t a = 0; a < ha->aggs_count; a++)
        ha->aggs[a].agg->encode(&ha->aggs[a], state_at(ha, group, a), buf);
}

enum tn_status tn_hashagg_merge_encoded(struct tn_hashagg *ha, uint32_t group, struct tn_str states,
                                        struct tn_err *err)
{
    const char *at = states.ptr, *end = states.ptr + states.len;
    enum tn_status st = TN_OK;
    tn_arena_reset(&ha->scratch);
    for (uint32_t a = 0; a < ha->aggs_count && !tn_failed(st); a++) {
        const struct tn_agg_call *call = &ha->aggs[a];
        void *state = tn_arena_alloc(&ha->scratch, call->state_bytes);
        call->agg->init(call, state);
        st = call->agg->decode(call, state, at, end, &at);
        if (!tn_failed(st))
            call->agg->merge(call, state_at(ha, group, a), state);
        if (call->agg->release)
            call->agg->release(call, state);
    }
    if (tn_failed(st) || at != end)
        return tn_err_set(err, TN_E_CORRUPT, "states of aggregates cannot be read");
    count_rows(ha, 1);
    return TN_OK;
}

static void number_column(const struct tn_hashagg *ha, uint32_t from, uint32_t count,
                          struct tn_arena *arena, struct tn_column *col)
{
    bool has_null = ha->null_group >= from && ha->null_group - from < count;
    tn_column_init(col, ha->key_types[0], count, has_null, arena);
    size_t width = tn_kind_width(col->type->kind);
    for (uint32_t i = 0; i < count; i++) {
        if (from + i == ha->null_group)
            tn_bit_clear(col->validity, i);
        else if (width == 8)
            ((uint64_t *)col->values)[i] = ha->numbers[from + i];
        else if (width == 4)
            ((uint32_t *)col->values)[i] = (uint32_t)ha->numbers[from + i];
        else
            tn_bit_put(col->values, i, ha->numbers[from + i] != 0);
    }
}

static void text_column(const struct tn_hashagg *ha, uint32_t from, uint32_t count,
                        struct tn_arena *arena, struct tn_column *col)
{
    bool has_null = ha->null_group >= from && ha->null_group - from < count;
    tn_column_init(col, ha->key_types[0], count, has_null, arena);
    size_t total = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (from + i == ha->null_group)
            tn_bit_clear(col->validity, i);
        else
            total += ha->texts[from + i].len;
        TN_ASSERT(total <= INT32_MAX);
        col->offsets[i + 1] = (int32_t)total;
    }
    col->data = tn_arena_alloc(arena, total + 1);
    for (uint32_t i = 0; i < count; i++)
        if (from + i != ha->null_group && ha->texts[from + i].len)
            memcpy(col->data + col->offsets[i], ha->texts[from + i].ptr, ha->texts[from + i].len);
}

static enum tn_status key_columns(const struct tn_hashagg *ha, uint32_t from, uint32_t count,
                                  struct tn_arena *arena, struct tn_column *ret_keys,
                                  struct tn_err *err)
{
    switch (ha->form) {
    case FORM_NONE: return TN_OK;
    case FORM_NUMBER: number_column(ha, from, count, arena, ret_keys); return TN_OK;
    case FORM_TEXT: text_column(ha, from, count, arena, ret_keys); return TN_OK;
    case FORM_ROW: break;
    }
    return tni_rowcode_columns(ha->key_types, ha->keys_count, ha->texts + from, count, NULL, arena,
                               ret_keys, err);
}

enum tn_status tn_hashagg_columns(struct tn_hashagg *ha, uint32_t from, uint32_t count,
                                  struct tn_arena *arena, struct tn_column *ret_keys,
                                  struct tn_column *ret_values, struct tn_err *err)
{
    TN_ASSERT(from + count <= ha->count);
    TN_TRY(key_columns(ha, from, count, arena, ret_keys, err));
    if (!ret_values)
        return TN_OK;
    void **states = TN_ARENA_ARRAY(arena, void *, (size_t)count + 1);
    for (uint32_t a = 0; a < ha->aggs_count; a++) {
        const struct tn_agg_call *call = &ha->aggs[a];
        for (uint32_t i = 0; i < count; i++) {
            states[i] = state_at(ha, from + i, a);
            if (call->agg->error)
                TN_TRY(call->agg->error(call, states[i], err));
        }
        call->agg->final(call, states, count, &ret_values[a], arena);
    }
    return TN_OK;
}
