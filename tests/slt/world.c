/* The world of SQL logic tests. Contract: tests/slt/world.h. */
#include "tests/slt/world.h"

#include <stdio.h>

#include "connectors/formats.h"
#include "sql/writers.h"
#include "stream/base/hash.h"
#include "stream/base/mem.h"
#include "stream/engine_int.h"
#include "tests/support/mem_log.h"
#include "tests/support/mem_state.h"

#define CURSORS_MAX 64

struct memory_catalog {
    struct tn_catalog_store base;
    char **records;
    size_t *lens;
    int64_t count;
};

struct cursor {
    char *topic;
    size_t seen[256]; /* by partition */
};

struct world {
    struct world_options options;
    struct fake_clock clock;
    struct tn_log *log;
    struct tn_state *state;
    struct memory_catalog catalog;
    struct tn_engine *engine;
    struct tn_db *db;
    struct tn_session session;
    struct cursor cursors[CURSORS_MAX];
    size_t cursors_count;
};

/* ---- catalog in memory ---- */

static enum tn_status catalog_append(struct tn_catalog_store *store, int64_t version,
                                     struct tn_str record, struct tn_err *err)
{
    struct memory_catalog *catalog = (struct memory_catalog *)store;
    if (version != catalog->count + 1)
        return tn_err_set(err, TN_E_BUSY, "version %lld is not next", (long long)version);
    size_t count = (size_t)catalog->count + 1;
    catalog->records = tn_realloc(catalog->records, count * sizeof *catalog->records);
    catalog->lens = tn_realloc(catalog->lens, count * sizeof *catalog->lens);
    catalog->records[count - 1] = tn_strndup(record.ptr, record.len);
    catalog->lens[count - 1] = record.len;
    catalog->count++;
    return TN_OK;
}

static enum tn_status catalog_each(struct tn_catalog_store *store,
                                   enum tn_status (*each)(void *ctx, int64_t version,
                                                          struct tn_str record, struct tn_err *err),
                                   void *ctx, struct tn_err *err)
{
    struct memory_catalog *catalog = (struct memory_catalog *)store;
    for (int64_t i = 0; i < catalog->count; i++)
        TN_TRY(each(ctx, i + 1, (struct tn_str){catalog->records[i], catalog->lens[i]}, err));
    return TN_OK;
}

/* ---- life ---- */

static enum tn_status start(struct world *world, struct tn_err *err)
{
    struct tn_engine_config engine = {.application_id = "test",
                                      .commit_interval_ms = 100,
                                      .cache_emit_bytes = world->options.emit_bytes,
                                      .state_cache_bytes =
                                          world->options.is_tiny ? 64 << 10 : 32 << 20,
                                      .round_rows_max = 1 << 20,
                                      .round_bytes_max = 64 << 20,
                                      .threads_count = 1,
                                      .is_flush_every_commit = world->options.is_tiny,
                                      .formats = tn_formats_builtin()};
    TN_TRY(
        tn_engine_open(&engine, world->log, world->state, &world->clock.base, &world->engine, err));
    struct tn_db_config db = {.application_id = "test",
                              .engine = world->engine,
                              .log = world->log,
                              .catalog_store = &world->catalog.base,
                              .clock = &world->clock.base,
                              .formats = tn_formats_builtin(),
                              .default_partitions = world->options.partitions,
                              .is_latest = world->options.is_latest,
                              .is_identifiers_ksql = world->options.is_exact};
    return tn_db_open(&db, &world->db, err);
}

struct world *world_open(const struct world_options *options)
{
    struct tn_err err = TN_ERR_INIT;
    struct world *world = tn_alloc(sizeof *world);
    world->options = *options;
    fake_clock_init(&world->clock);
    world->log = tn_mem_log_new(true);
    world->state = mem_state_new();
    world->catalog.base = (struct tn_catalog_store){.append = catalog_append, .each = catalog_each};
    tn_session_init(&world->session);
    if (tn_failed(start(world, &err))) {
        fprintf(stderr, "cannot open: %s\n", err.message);
        world_close(world);
        return NULL;
    }
    return world;
}

void world_close(struct world *world)
{
    if (!world)
        return;
    tn_db_close(world->db);
    tn_engine_close(world->engine);
    world->state->type->close(world->state);
    world->log->type->close(world->log);
    for (int64_t i = 0; i < world->catalog.count; i++)
        tn_free(world->catalog.records[i]);
    tn_free(world->catalog.records);
    tn_free(world->catalog.lens);
    for (size_t i = 0; i < world->cursors_count; i++)
        tn_free(world->cursors[i].topic);
    tn_free(world);
}

enum tn_status world_restart(struct world *world, bool is_crash, struct tn_err *err)
{
    tn_db_close(world->db);
    world->db = NULL;
    if (is_crash)
        tni_engine_abandon(world->engine);
    else
        tn_engine_close(world->engine);
    world->engine = NULL;
    if (is_crash)
        tn_mem_log_crash(world->log, false, 7);
    tn_session_init(&world->session);
    TN_TRY(start(world, err));
    world_settle(world);
    return TN_OK;
}

void world_settle(struct world *world)
{
    int idle = 0;
    for (int i = 0; i < 100000 && idle < 3; i++) {
        struct tn_err err = TN_ERR_INIT;
        bool has_worked = false;
        for (int steps = 0; steps < 100000; steps++) {
            enum tn_status st = tn_engine_step(world->engine, &err);
            if (tn_failed(st))
                fprintf(stderr, "engine: %s\n", err.message);
            if (st != TN_OK)
                break;
            has_worked = true;
        }
        idle = has_worked ? 0 : idle + 1;
        fake_clock_advance(&world->clock, 10);
    }
}

void world_advance(struct world *world, int64_t ms)
{
    fake_clock_advance(&world->clock, ms);
    world_settle(world);
}

struct tn_db *world_db(struct world *world)
{
    return world->db;
}

struct tn_log *world_log(struct world *world)
{
    return world->log;
}

struct tn_session *world_session(struct world *world)
{
    return &world->session;
}

struct tn_clock *world_clock(struct world *world)
{
    return &world->clock.base;
}

/* ---- feed ---- */

static enum tn_status find_object(struct world *world, const struct tn_catalog *catalog,
                                  struct tn_str name, const struct tn_object **ret_object,
                                  struct tn_err *err)
{
    (void)world;
    *ret_object = tn_catalog_find(catalog, TN_STR("default"), name);
    if (*ret_object && (*ret_object)->decl.topic)
        return TN_OK;
    return tn_err_set(err, TN_E_NAME, "no stream or table '%.*s'", TN_STR_FMT(name));
}

static enum tn_status codec_of(const struct tn_topic_decl *decl, bool is_key,
                               struct tn_schema *schema, struct tn_codec **ret_codec,
                               struct tn_err *err)
{
    uint32_t from = is_key ? 0 : decl->keys_count;
    const struct tn_format *format = is_key ? decl->key_format : decl->value_format;
    *schema = (struct tn_schema){is_key ? decl->keys_count : decl->schema->fields_count - from,
                                 decl->schema->fields + from};
    struct tn_codec_spec spec = {.is_key = is_key,
                                 .is_bare = is_key ? decl->is_key_bare : decl->is_value_bare,
                                 .delimiter = is_key ? decl->key_delimiter : decl->value_delimiter,
                                 .is_case_exact = decl->is_case_exact,
                                 .schema = schema};
    return format->open(format, &spec, ret_codec, err);
}

static enum tn_status encode_one(const struct tn_topic_decl *decl, bool is_key,
                                 const struct tn_column *columns, struct tn_buf *buf,
                                 bool *ret_is_null, struct tn_err *err)
{
    struct tn_schema schema;
    struct tn_codec *codec;
    size_t end;
    uint32_t from = is_key ? 0 : decl->keys_count;
    *ret_is_null = is_key;
    for (uint32_t i = 0; is_key && i < decl->keys_count; i++)
        *ret_is_null = *ret_is_null && tn_column_is_null(&columns[i], 0);
    if (*ret_is_null)
        return TN_OK;
    TN_TRY(codec_of(decl, is_key, &schema, &codec, err));
    codec->format->encode(codec, columns + from, 1, NULL, buf, &end);
    codec->format->close(codec);
    return TN_OK;
}

/* All columns and ROWTIME from one JSON object; the columns live as long as the codec. */
static enum tn_status feed_decode(const struct tn_topic_decl *decl, struct tn_str json,
                                  struct tn_arena *arena, struct tn_codec **ret_codec,
                                  struct tn_decoded *ret_decoded, struct tn_err *err)
{
    uint32_t width = decl->schema->fields_count;
    struct tn_field *fields = TN_ARENA_ARRAY(arena, struct tn_field, width + 1);
    memcpy(fields, decl->schema->fields, width * sizeof *fields);
    fields[width] = (struct tn_field){TN_STR("ROWTIME"), tn_type_of(TN_K_BIGINT)};
    struct tn_schema *schema = TN_ARENA_NEW(arena, struct tn_schema);
    *schema = (struct tn_schema){width + 1, fields};
    struct tn_codec_spec spec = {.schema = schema};
    TN_TRY(tn_format_json.open(&tn_format_json, &spec, ret_codec, err));
    tn_format_json.decode(*ret_codec, &json, 1, arena, ret_decoded);
    if (ret_decoded->bad_count)
        return tn_err_set(err, TN_E_INVALID, "cannot feed '%.*s': %s", TN_STR_FMT(json),
                          ret_decoded->bad[0].reason);
    return TN_OK;
}

enum tn_status world_feed(struct world *world, struct tn_str name, struct tn_str json,
                          bool is_tombstone, struct tn_err *err)
{
    const struct tn_catalog *catalog = tn_db_catalog(world->db);
    const struct tn_object *object;
    struct tn_arena arena;
    struct tn_buf key, value;
    struct tn_decoded decoded;
    bool is_key_null = false, ignored = false;
    struct tn_codec *codec = NULL;
    tn_arena_init(&arena, 0);
    tn_buf_init(&key, 1 << 20);
    tn_buf_init(&value, 1 << 20);
    enum tn_status st = find_object(world, catalog, name, &object, err);
    if (!tn_failed(st))
        st = feed_decode(&object->decl, json, &arena, &codec, &decoded, err);
    if (!tn_failed(st))
        st = encode_one(&object->decl, true, decoded.columns, &key, &is_key_null, err);
    if (!tn_failed(st) && !is_tombstone)
        st = encode_one(&object->decl, false, decoded.columns, &value, &ignored, err);
    if (!tn_failed(st)) {
        const struct tn_column *rowtime = &decoded.columns[object->decl.schema->fields_count];
        int64_t ts = tn_column_is_null(rowtime, 0) ? tn_wall_ms(&world->clock.base)
                                                   : tn_column_i64(rowtime, 0);
        int32_t partition =
            is_key_null ? 0 : tn_partition_of(key.ptr, key.len, object->decl.partitions_count);
        tn_mem_log_put(world->log, object->decl.topic, partition,
                       is_key_null ? (struct tn_str){0} : tn_buf_str(&key),
                       is_tombstone ? (struct tn_str){0} : tn_buf_str(&value), ts);
    }
    if (codec)
        codec->format->close(codec);
    tn_buf_release(&key);
    tn_buf_release(&value);
    tn_arena_release(&arena);
    tn_catalog_unref(catalog);
    return st;
}

/* ---- changes ---- */

static void print_window(const struct tn_topic_decl *decl, struct tn_str *key, struct tn_buf *buf)
{
    size_t suffix = decl->window == TN_WINDOW_SESSION ? 16 : decl->window ? 8 : 0;
    if (!suffix || key->len < suffix)
        return;
    const char *at = key->ptr + key->len - suffix;
    key->len -= suffix;
    if (decl->window == TN_WINDOW_SESSION)
        tn_buf_printf(buf, "[%lld,%lld] ", (long long)tn_be64(at + 8), (long long)tn_be64(at));
    else
        tn_buf_printf(buf, "[%lld] ", (long long)tn_be64(at));
}

static void print_text(struct tn_str text, struct tn_buf *buf)
{
    if (!text.ptr) {
        tn_buf_add_text(buf, "null");
        return;
    }
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c >= 0x20 && c != 0x7f)
            tn_buf_add_byte(buf, (char)c);
        else
            tn_buf_printf(buf, "\\x%02x", c);
    }
}

static enum tn_status print_key(const struct tn_topic_decl *decl, struct tn_str key,
                                struct tn_buf *buf, struct tn_err *err)
{
    struct tn_schema schema;
    struct tn_codec *codec;
    struct tn_decoded decoded;
    struct tn_arena arena;
    if (!key.ptr || !decl->keys_count) {
        print_text(key, buf);
        return TN_OK;
    }
    print_window(decl, &key, buf);
    TN_TRY(codec_of(decl, true, &schema, &codec, err));
    tn_arena_init(&arena, 0);
    codec->format->decode(codec, &key, 1, &arena, &decoded);
    for (uint32_t i = 0; i < decl->keys_count; i++) {
        tn_buf_add_text(buf, i ? "," : "");
        if (decoded.bad_count || tn_column_is_null(&decoded.columns[i], 0))
            tn_buf_add_text(buf, decoded.bad_count ? "?" : "null");
        else
            tn_cell_text(buf, &decoded.columns[i], 0);
    }
    codec->format->close(codec);
    tn_arena_release(&arena);
    return TN_OK;
}

static struct cursor *cursor_of(struct world *world, const char *topic)
{
    for (size_t i = 0; i < world->cursors_count; i++)
        if (!strcmp(world->cursors[i].topic, topic))
            return &world->cursors[i];
    if (world->cursors_count == CURSORS_MAX)
        return NULL;
    struct cursor *cursor = &world->cursors[world->cursors_count++];
    cursor->topic = tn_strdup(topic);
    return cursor;
}

enum tn_status world_changes(struct world *world, struct tn_str name, struct tn_buf *ret_lines,
                             struct tn_err *err)
{
    const struct tn_catalog *catalog = tn_db_catalog(world->db);
    const struct tn_object *object;
    enum tn_status st = find_object(world, catalog, name, &object, err);
    struct cursor *cursor = tn_failed(st) ? NULL : cursor_of(world, object->decl.topic);
    for (int32_t p = 0; cursor && p < object->decl.partitions_count && p < 256; p++) {
        struct tn_mem_record record;
        while (!tn_failed(st) &&
               tn_mem_log_next(world->log, object->decl.topic, p, &cursor->seen[p], &record)) {
            st = print_key(&object->decl, record.key, ret_lines, err);
            tn_buf_add_byte(ret_lines, ' ');
            print_text(record.value, ret_lines);
            tn_buf_printf(ret_lines, " @%lld\n", (long long)record.timestamp_ms);
        }
    }
    tn_catalog_unref(catalog);
    return st;
}

enum tn_status world_topic(struct world *world, const char *topic, struct tn_buf *ret_lines,
                           struct tn_err *err)
{
    struct tn_topic found;
    enum tn_status st = world->log->type->topic_find(world->log, topic, &found, err);
    if (st != TN_OK)
        return tn_failed(st) ? st : tn_err_set(err, TN_E_NAME, "no topic '%s'", topic);
    for (int32_t p = 0; p < found.partitions_count; p++) {
        struct tn_mem_record record;
        size_t at = 0;
        while (tn_mem_log_next(world->log, topic, p, &at, &record)) {
            tn_buf_printf(ret_lines, "%d ", p);
            print_text(record.key, ret_lines);
            tn_buf_add_byte(ret_lines, ' ');
            print_text(record.value, ret_lines);
            tn_buf_add_byte(ret_lines, '\n');
        }
    }
    return TN_OK;
}
