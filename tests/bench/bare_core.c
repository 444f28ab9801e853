/* Bare reference: the validating scan (grammar and UTF-8 of every byte), the values of two members,
 * one hash count. No columns, no state store, no changelog. Its ns per event are printed beside
 * tarn's. */
#include "tests/bench/bare_core.h"

#include <stdlib.h>

#include "connectors/json_scan.h"
#include "stream/base/hash.h"

struct slot {
    struct tn_str key; /* borrows the events */
    uint64_t hash, count;
};

struct table {
    struct slot *slots;
    uint64_t mask, used;
};

static void grow(struct table *table)
{
    struct table bigger = {calloc((table->mask + 1) * 2, sizeof *table->slots), table->mask * 2 + 1,
                           table->used};
    for (uint64_t i = 0; i <= table->mask; i++) {
        if (!table->slots[i].key.ptr)
            continue;
        uint64_t at = table->slots[i].hash & bigger.mask;
        while (bigger.slots[at].key.ptr)
            at = (at + 1) & bigger.mask;
        bigger.slots[at] = table->slots[i];
    }
    free(table->slots);
    *table = bigger;
}

static void count_key(struct table *table, struct tn_str key)
{
    uint64_t hash = tn_hash64(key.ptr, key.len), at = hash & table->mask;
    while (table->slots[at].key.ptr &&
           !(table->slots[at].hash == hash && tn_str_eq(table->slots[at].key, key)))
        at = (at + 1) & table->mask;
    if (!table->slots[at].key.ptr) {
        table->slots[at] = (struct slot){key, hash, 0};
        if (++table->used * 2 > table->mask) {
            table->slots[at].count = 1;
            grow(table);
            return;
        }
    }
    table->slots[at].count++;
}

/* The two members of one event; false = malformed. */
static bool scan_event(struct tn_str text, struct tn_str *ret_song, int64_t *ret_ms)
{
    struct tn_json json = {text.ptr, text.ptr + text.len, NULL, 256};
    struct tn_str name, value;
    unsigned flags;
    bool is_integer, is_done;
    if (text.len == 0 || *text.ptr != '{')
        return false;
    json.p++;
    for (bool is_first = true;; is_first = false) {
        if (!tn_json_member(&json, is_first, &is_done, &name, &flags))
            return false;
        if (is_done)
            return json.p == json.end;
        if (name.len == 4 && memcmp(name.ptr, "song", 4) == 0 && *json.p == '"') {
            if (!tn_json_string(&json, ret_song, &flags))
                return false;
        } else if (name.len == 2 && memcmp(name.ptr, "ms", 2) == 0 && tn_json_is_digit(*json.p)) {
            if (!tn_json_number(&json, &value, &is_integer))
                return false;
            int64_t ms = 0;
            for (size_t i = 0; i < value.len; i++)
                ms = ms * 10 + (value.ptr[i] - '0');
            *ret_ms = ms;
        } else if (!tn_json_skip(&json)) {
            return false;
        }
    }
}

uint64_t bare_pair_hash(struct tn_str key, uint64_t count)
{
    return tn_mix64(tn_hash64(key.ptr, key.len), count);
}

void bare_core_run(const struct events *events, struct bare_counts *ret_counts)
{
    struct table table = {calloc(1024, sizeof(struct slot)), 1023, 0};
    struct bare_counts counts = {.events = events->count};
    for (uint64_t i = 0; i < events->count; i++) {
        struct tn_str song = {0};
        int64_t ms = 0;
        if (!scan_event(events->items[i], &song, &ms)) {
            counts.malformed++;
            continue;
        }
        counts.ms_sum += ms;
        count_key(&table, song);
    }
    for (uint64_t i = 0; i <= table.mask; i++)
        if (table.slots[i].key.ptr)
            counts.checksum += bare_pair_hash(table.slots[i].key, table.slots[i].count);
    counts.keys = table.used;
    free(table.slots);
    *ret_counts = counts;
}
