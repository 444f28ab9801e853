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

struct chunk {
    struct chunk *next;
    size_t used;
    char bytes[(1u << 20) - 64];
};

struct bare_table {
    struct slot *slots;
    uint64_t mask, used;
    struct chunk *chunks; /* copies of keys; NULL: borrowed */
    bool is_copying;
};

static void grow(struct bare_table *table)
{
    struct bare_table bigger = *table;
    bigger.slots = calloc((table->mask + 1) * 2, sizeof *table->slots);
    bigger.mask = table->mask * 2 + 1;
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

static struct tn_str copy_key(struct bare_table *table, struct tn_str key)
{
    struct chunk *chunk = table->chunks;
    if (!chunk || sizeof chunk->bytes - chunk->used < key.len) {
        chunk = malloc(sizeof *chunk);
        *chunk = (struct chunk){.next = table->chunks};
        table->chunks = chunk;
    }
    char *to = chunk->bytes + chunk->used;
    memcpy(to, key.ptr, key.len);
    chunk->used += key.len;
    return (struct tn_str){to, key.len};
}

uint64_t *bare_table_at(struct bare_table *table, struct tn_str key)
{
    uint64_t hash = tn_hash64(key.ptr, key.len), at = hash & table->mask;
    while (table->slots[at].key.ptr &&
           !(table->slots[at].hash == hash && tn_str_eq(table->slots[at].key, key)))
        at = (at + 1) & table->mask;
    if (table->slots[at].key.ptr)
        return &table->slots[at].count;
    table->slots[at] = (struct slot){table->is_copying ? copy_key(table, key) : key, hash, 0};
    if (++table->used * 2 <= table->mask)
        return &table->slots[at].count;
    grow(table);
    return bare_table_at(table, key);
}

struct bare_table *bare_table_new(bool is_copying)
{
    struct bare_table *table = calloc(1, sizeof *table);
    *table = (struct bare_table){calloc(1024, sizeof(struct slot)), 1023, 0, NULL, is_copying};
    return table;
}

void bare_table_end(struct bare_table *table, struct bare_counts *counts)
{
    for (uint64_t i = 0; i <= table->mask; i++)
        if (table->slots[i].key.ptr)
            counts->checksum += bare_pair_hash(table->slots[i].key, table->slots[i].count);
    counts->keys = table->used;
    for (struct chunk *next; table->chunks; table->chunks = next) {
        next = table->chunks->next;
        free(table->chunks);
    }
    free(table->slots);
    free(table);
}

bool bare_scan(struct tn_str text, struct tn_str *ret_song, int64_t *ret_ms)
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
    struct bare_table *table = bare_table_new(false);
    struct bare_counts counts = {.events = events->count};
    for (uint64_t i = 0; i < events->count; i++) {
        struct tn_str song = {0};
        int64_t ms = 0;
        if (!bare_scan(events->items[i], &song, &ms)) {
            counts.malformed++;
            continue;
        }
        counts.ms_sum += ms;
        (*bare_table_at(table, song))++;
    }
    bare_table_end(table, &counts);
    *ret_counts = counts;
}
