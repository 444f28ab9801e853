/* Alters a state folder that is not in use, so that a test can see `tarn verify` find it.
 *
 *   damage FOLDER APPLICATION state KEY BYTE      one bit of a stored row whose key holds the text
 *   damage FOLDER APPLICATION record TOPIC KEY    the last record with this key leaves the topic
 *   damage FOLDER APPLICATION value TOPIC KEY     one bit of the last value with this key
 *   damage FOLDER APPLICATION position TOPIC BY   all positions on the topic move by so many
 * records
 *
 * Prints what it did; exit 1 when there was nothing to alter.
 */
#include <stdio.h>
#include <stdlib.h>

#include "store/entry_int.h"
#include "store/log_int.h"
#include "store/state.h"
#include "stream/base/mem.h"

struct folder {
    struct tn_store *store;
    struct tn_log *log;
    struct tn_state *state;
};

static void must(enum tn_status st, const struct tn_err *err)
{
    if (!tn_failed(st))
        return;
    fprintf(stderr, "damage: %s\n", err->message);
    exit(2);
}

static bool holds(struct tn_str text, const char *what)
{
    return text.ptr && memmem(text.ptr, text.len, what, strlen(what));
}

static bool alter_state(struct folder *folder, const char *what, int at)
{
    struct tn_err err = TN_ERR_INIT;
    struct tn_state_iter *iter = NULL;
    struct tn_arena arena;
    struct tn_str key, value;
    struct tn_state_put put = {0};
    tn_arena_init(&arena, 0);
    must(folder->state->type->iter_open(folder->state, NULL, TN_STR(""), (struct tn_str){NULL, 0},
                                        &iter, &err),
         &err);
    while (!put.key.ptr && folder->state->type->iter_next(iter, &key, &value, &err) == TN_OK)
        if (holds(key, what))
            put = (struct tn_state_put){tn_arena_str(&arena, key), tn_arena_str(&arena, value)};
    folder->state->type->iter_close(iter);
    if (put.key.ptr) {
        size_t byte = at < 0 ? put.value.len - (size_t)-at : (size_t)at;
        for (size_t i = 0; i < put.value.len; i++)
            printf("%02x%s", (unsigned char)put.value.ptr[i], i == byte ? "* " : " ");
        TN_ASSERT(byte < put.value.len);
        ((char *)put.value.ptr)[byte] ^= 1;
        struct tn_state_change change = {.puts = &put, .puts_count = 1, .is_sorted = true};
        must(folder->state->type->apply(folder->state, &change, &err), &err);
        printf("one bit of the row of '%s'\n", what);
    }
    tn_arena_release(&arena);
    return put.key.ptr != NULL;
}

/* The entry again without row `row`, or with one bit of its value turned; its place and span stay,
 * as compaction leaves them. */
static void alter_row(struct folder *folder, const struct tn_topic *topic, int32_t partition,
                      struct tn_records *records, uint32_t row, struct tni_entry *old, bool is_lost)
{
    struct tn_err err = TN_ERR_INIT;
    struct tni_log *log = (struct tni_log *)(void *)folder->log;
    struct tni_part *part = tni_log_part(log, topic, partition);
    struct tni_span spans[2] = {{records, 0, row}, {records, row + 1, records->count}};
    uint32_t from = row == 0, count = row == 0 || row + 1 == records->count ? 1 : 2;
    char *altered = NULL;
    if (!is_lost) {
        struct tn_str value = records->values[row];
        altered = tn_strndup(value.ptr, value.len);
        altered[value.len - 3] ^= 1; /* before the quote and the brace */
        printf("%.*s is now %s\n", TN_STR_FMT(value), altered);
        records->values[row].ptr = altered;
        spans[0] = (struct tni_span){records, 0, records->count};
        from = 0;
        count = 1;
    }
    struct tni_entry *entry = tni_log_entry_build(spans + from, count, true, old->base);
    tni_log_entry_seal(entry, topic->id, (uint32_t)partition, old->base, old->span);
    char key[TNI_ENTRY_KEY_BYTES];
    tni_log_entry_key(key, part, old->base);
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
    rocksdb_writebatch_put_cf(batch, folder->store->cf[TNI_CF_LOG], key, sizeof key, entry->bytes,
                              entry->len);
    must(tni_store_write(folder->store, batch, true, &err), &err);
    rocksdb_writebatch_destroy(batch);
    tni_log_entry_unref(entry);
    tn_free(altered);
}

static bool alter_in(struct folder *folder, const struct tn_topic *topic, int32_t partition,
                     const char *what, bool is_lost)
{
    struct tn_err err = TN_ERR_INIT;
    struct tni_log *log = (struct tni_log *)(void *)folder->log;
    struct tni_part *part = tni_log_part(log, topic, partition);
    struct tn_offsets offsets;
    bool is_done = false;
    must(folder->log->type->offsets(folder->log, topic, partition, &offsets, &err), &err);
    char from[TNI_ENTRY_KEY_BYTES], to[TNI_ENTRY_KEY_BYTES];
    tni_log_entry_key(from, part, offsets.start);
    tni_log_entry_key(to, part, offsets.end_visible);
    struct tni_iter iter;
    tni_iter_open(folder->store, TNI_CF_LOG, (struct tn_str){to, sizeof to}, &iter);
    for (rocksdb_iter_seek_to_last(iter.it); !is_done && tni_iter_valid(&iter);
         rocksdb_iter_prev(iter.it)) {
        struct tn_str key = tni_iter_key(&iter);
        if (key.len != sizeof from || memcmp(key.ptr, from, sizeof from - 8) != 0)
            break;
        struct tni_entry *entry = NULL;
        int64_t base = (int64_t)tn_be64(key.ptr + key.len - 8);
        must(tni_log_entry_parse(tni_iter_value(&iter), topic->id, (uint32_t)partition, base,
                                 &entry, &err),
             &err);
        struct tni_piece piece = {tni_log_entry_ref(entry), 0, entry->count};
        struct tn_records *records = tni_pieces_records(&piece, 1);
        for (uint32_t row = records->count; row-- > 0 && !is_done;)
            if (holds(records->keys[row], what) && (records->count > 1 || !is_lost)) {
                printf("record %lld of '%s' partition %d\n", (long long)records->offsets[row],
                       topic->name, partition);
                alter_row(folder, topic, partition, records, row, entry, is_lost);
                is_done = true;
            }
        tn_records_unref(records);
        tni_log_entry_unref(entry);
    }
    tni_iter_close(&iter);
    return is_done;
}

static bool alter_record(struct folder *folder, const char *name, const char *what, bool is_lost)
{
    struct tn_err err = TN_ERR_INIT;
    struct tn_topic topic;
    if (folder->log->type->topic_find(folder->log, name, &topic, &err) != TN_OK)
        return false;
    for (int32_t p = 0; p < topic.partitions_count; p++)
        if (alter_in(folder, &topic, p, what, is_lost))
            return true;
    return false;
}

struct moves {
    const char *topic;
    int64_t by;
    struct tn_log_txn *txn;
    const struct tn_log_type *type;
    uint32_t count;
};

/* Layout of a position: version, log id, offset (stream/engine_position.c). */
static enum tn_status move_one(void *ctx, struct tn_str key, struct tn_str value,
                               struct tn_err *err)
{
    struct moves *moves = ctx;
    char moved[1024];
    if (!holds(key, moves->topic) || value.len < 25 || value.len > sizeof moved)
        return TN_OK;
    int64_t offset = (int64_t)tn_be64(value.ptr + 17);
    if (offset <= 0 || offset + moves->by < 0)
        return TN_OK;
    memcpy(moved, value.ptr, value.len);
    tni_put_be64(moved + 17, (uint64_t)(offset + moves->by));
    printf("position %lld is now %lld\n", (long long)offset, (long long)(offset + moves->by));
    moves->count++;
    return moves->type->txn_position(moves->txn, key, (struct tn_str){moved, value.len}, err);
}

static bool move_positions(struct folder *folder, const char *application, const char *topic,
                           int64_t by)
{
    struct tn_err err = TN_ERR_INIT;
    const struct tn_log_type *type = folder->log->type;
    struct moves moves = {.topic = topic, .by = by, .type = type};
    must(type->begin(folder->log, &moves.txn, &err), &err);
    must(type->positions(folder->log, tn_str_of(application), move_one, &moves, &err), &err);
    must(type->commit_start(moves.txn, NULL, &err), &err);
    TN_ASSERT(type->commit_poll(moves.txn, &err) == TN_OK);
    type->txn_close(moves.txn);
    return moves.count > 0;
}

static int64_t wall_ms(struct tn_clock *clock)
{
    (void)clock;
    return 1000000;
}

int main(int argc, char **argv)
{
    struct tn_err err = TN_ERR_INIT;
    struct folder folder = {0};
    struct tn_store_config config;
    static struct tn_clock clock = {wall_ms, wall_ms};
    if (argc != 6) {
        fputs("usage: damage FOLDER APPLICATION state|record|value|position WHAT WHICH\n", stderr);
        return 2;
    }
    tn_store_config_init(&config);
    config.path = argv[1];
    config.application_id = argv[2];
    config.clock = &clock;
    must(tn_store_open(&config, &folder.store, &err), &err);
    must(tn_rocks_log_open(folder.store, &folder.log, &err), &err);
    must(tn_rocks_state_open(folder.store, &folder.state, &err), &err);
    bool is_done = false;
    if (strcmp(argv[3], "state") == 0)
        is_done = alter_state(&folder, argv[4], atoi(argv[5]));
    else if (strcmp(argv[3], "record") == 0 || strcmp(argv[3], "value") == 0)
        is_done = alter_record(&folder, argv[4], argv[5], strcmp(argv[3], "record") == 0);
    else if (strcmp(argv[3], "position") == 0)
        is_done = move_positions(&folder, argv[2], argv[4], atoi(argv[5]));
    folder.log->type->close(folder.log);
    folder.state->type->close(folder.state);
    tn_store_close(folder.store);
    if (!is_done)
        fputs("damage: nothing to alter\n", stderr);
    return is_done ? 0 : 1;
}
