/* Changes of the catalog: collected, made durable, told to the engine. Contract: sql/db_int.h. */
#include "sql/db_int.h"

#include "connectors/sink.h"

#include "stream/base/logline.h"

#include "sql/members_int.h"
#include "sql/parse.h"

enum tn_status tni_change_begin(struct tn_db *db, const struct tn_catalog *from,
                                const struct tn_session *session, struct tn_arena *arena,
                                struct tn_str statement, struct tni_change *ret_change,
                                struct tn_err *err)
{
    (void)err;
    *ret_change = (struct tni_change){.db = db, .arena = arena, .session = session};
    ret_change->catalog = tni_catalog_clone(from);
    ret_change->record = (struct tni_record){
        .created_ms = tn_wall_ms(db->config.clock),
        .schema_name = session->schema,
        .store_first = tni_catalog_next_store(from),
        .partitions = db->config.default_partitions,
        .is_latest = session->offset_reset ? session->offset_reset == 2 : db->config.is_latest,
        .is_exact = db->config.is_identifiers_ksql,
        .statement = statement};
    ret_change->effects = TN_ARENA_ARRAY(arena, struct tni_effect, 64);
    return TN_OK;
}

void tni_change_release(struct tni_change *change)
{
    tn_catalog_unref(change->catalog);
    change->catalog = NULL;
}

struct tni_effect *tni_change_effect(struct tni_change *change, enum tni_effect_kind kind)
{
    TN_ASSERT(change->effects_count < TNI_EFFECTS_MAX);
    if (change->effects_count >= 64 && (change->effects_count & (change->effects_count - 1)) == 0) {
        struct tni_effect *more =
            TN_ARENA_ARRAY(change->arena, struct tni_effect, change->effects_count * 2);
        memcpy(more, change->effects, change->effects_count * sizeof *more);
        change->effects = more;
    }
    struct tni_effect *effect = &change->effects[change->effects_count++];
    *effect = (struct tni_effect){.kind = kind};
    return effect;
}

/* Made by this change, or by statements before it in the same script. */
static bool topic_planned(const struct tni_change *change, const char *name,
                          int32_t *ret_partitions)
{
    for (size_t i = 0; change->topics && i < change->topics->count; i++)
        if (!strcmp(change->topics->items[i].name, name)) {
            *ret_partitions = change->topics->items[i].partitions;
            return true;
        }
    for (size_t i = 0; i < change->effects_count; i++)
        if (change->effects[i].kind == TNI_EFFECT_TOPIC &&
            !strcmp(change->effects[i].topic, name)) {
            *ret_partitions = change->effects[i].partitions;
            return true;
        }
    return false;
}

/* What the log answers now is written into the record: replay must decide as this change does,
 * whatever became of the topic later. */
static void topic_note(struct tni_change *change, const char *name, int32_t partitions)
{
    struct tni_record *record = &change->record;
    if (!record->topics)
        record->topics =
            TN_ARENA_ARRAY(change->arena, struct tni_record_topic, TNI_RECORD_TOPICS_MAX);
    for (uint32_t i = 0; i < record->topics_count; i++)
        if (!strcmp(record->topics[i].name, name))
            return;
    if (record->topics_count < TNI_RECORD_TOPICS_MAX)
        record->topics[record->topics_count++] =
            (struct tni_record_topic){tn_arena_strdup(change->arena, name), partitions};
}

enum tn_status tni_change_topic_find(void *ctx, const char *name, int32_t *ret_partitions,
                                     struct tn_err *err)
{
    struct tni_change *change = ctx;
    struct tn_topic topic;
    struct tn_log *log = change->db->config.log;
    if (topic_planned(change, name, ret_partitions))
        return TN_OK;
    for (uint32_t i = 0; change->is_replay && i < change->record.topics_count; i++)
        if (!strcmp(change->record.topics[i].name, name)) {
            *ret_partitions = change->record.topics[i].partitions;
            return *ret_partitions ? TN_OK : TN_NOT_FOUND;
        }
    enum tn_status st = log->type->topic_find(log, name, &topic, err);
    if (st == TN_OK)
        *ret_partitions = topic.partitions_count;
    if (!tn_failed(st))
        topic_note(change, name, st == TN_OK ? topic.partitions_count : 0);
    return st;
}

/* ---- effects ---- */

static enum tn_status topic_create(struct tn_db *db, const struct tni_effect *effect,
                                   struct tn_err *err)
{
    struct tn_log *log = db->config.log;
    struct tn_topic found;
    enum tn_status st = log->type->topic_find(log, effect->topic, &found, err);
    if (st != TN_NOT_FOUND)
        return st;
    struct tn_topic_spec spec = {.name = effect->topic,
                                 .partitions_count = effect->partitions,
                                 .replicas_count = effect->replicas,
                                 .cleanup = effect->cleanup,
                                 .retention_ms = effect->retention_ms,
                                 .retention_bytes = -1};
    return log->type->topic_create(log, &spec, err);
}

static enum tn_status effect_before(struct tn_db *db, const struct tni_effect *effect,
                                    struct tn_err *err)
{
    switch (effect->kind) {
    case TNI_EFFECT_TOPIC: return topic_create(db, effect, err);
    case TNI_EFFECT_PLAN_TOPICS:
        return tni_plan_topics(effect->plan, db->config.log, effect->replicas, effect->retention_ms,
                               err);
    default: return TN_OK;
    }
}

/* Topics are removed by the process that made the statement: one that hears of it late would remove
 * those of a later object of the same name. */
static enum tn_status effect_after(struct tn_db *db, const struct tni_effect *effect, bool is_ours,
                                   struct tn_err *err)
{
    struct tn_engine *engine = db->config.engine;
    if (effect->kind == TNI_EFFECT_TOPIC_DELETE)
        return is_ours ? db->config.log->type->topic_delete(db->config.log, effect->topic, err)
                       : TN_OK;
    if (effect->kind == TNI_EFFECT_SINK_PUT)
        return db->config.sinks ? tn_sinks_put(db->config.sinks, effect->sink, err) : TN_OK;
    if (effect->kind == TNI_EFFECT_SINK_DROP) {
        if (db->config.sinks)
            tn_sinks_drop(db->config.sinks, effect->query_id);
        return TN_OK;
    }
    if (!engine) /* tests of the catalog alone */
        return TN_OK;
    switch (effect->kind) {
    case TNI_EFFECT_ADD: return tn_engine_add(engine, effect->plan, err);
    case TNI_EFFECT_REPLACE: return tn_engine_replace(engine, effect->plan, err);
    case TNI_EFFECT_DROP:
        return is_ours ? tn_engine_drop(engine, effect->query_id, err)
                       : tn_engine_forget(engine, effect->query_id, err);
    case TNI_EFFECT_PAUSE: return tn_engine_pause(engine, effect->query_id, true, err);
    case TNI_EFFECT_RESUME: return tn_engine_pause(engine, effect->query_id, false, err);
    default: return TN_OK;
    }
}

void tni_publish(struct tn_db *db, struct tn_catalog *catalog)
{
    pthread_mutex_lock(&db->lock);
    const struct tn_catalog *old = db->catalog;
    db->catalog = catalog;
    pthread_mutex_unlock(&db->lock);
    tn_catalog_unref(old);
}

/* Other processes stop what is dropped before its topics go. */
static void wait_for_others(const struct tni_change *change)
{
    struct tn_members *members = atomic_load(&change->db->members);
    bool is_drop = false;
    for (size_t i = 0; i < change->effects_count; i++)
        is_drop |= change->effects[i].kind == TNI_EFFECT_DROP ||
                   change->effects[i].kind == TNI_EFFECT_TOPIC_DELETE;
    if (members && is_drop)
        tni_members_await_version(members, tn_catalog_version(change->catalog));
}

void tni_file_note(struct tn_db *db, uint64_t file, int64_t version)
{
    struct tni_file_mark *oldest = &db->files[0];
    for (uint32_t i = 0; i < TNI_FILES_MAX && file; i++) {
        if (db->files[i].file == file) {
            oldest = &db->files[i];
            break;
        }
        if (db->files[i].version < oldest->version)
            oldest = &db->files[i];
    }
    if (file)
        *oldest = (struct tni_file_mark){file, version};
}

bool tni_file_is_old(const struct tn_db *db, uint64_t file)
{
    for (uint32_t i = 0; i < TNI_FILES_MAX && db->config.catalog_store->follow; i++)
        if (db->files[i].file == file)
            return db->files[i].version < tn_catalog_version(db->catalog);
    return false;
}

enum tn_status tni_change_commit(struct tni_change *change, struct tn_err *err)
{
    struct tn_db *db = change->db;
    if (change->is_noop)
        return TN_OK;
    for (size_t i = 0; i < change->effects_count; i++)
        TN_TRY(effect_before(db, &change->effects[i], err));
    struct tn_buf buf;
    tn_buf_init(&buf, 4u << 20);
    tni_record_encode(&change->record, &buf);
    enum tn_status st = TN_OK;
    if (tn_buf_over(&buf))
        st = tn_err_set(err, TN_E_LIMIT, "the statement is too long for the catalog");
    else
        st = db->config.catalog_store->append(
            db->config.catalog_store, tn_catalog_version(change->catalog), tn_buf_str(&buf), err);
    tn_buf_release(&buf);
    if (tn_failed(st))
        return st;
    change->is_durable = true;
    tni_file_note(db, change->record.file, tn_catalog_version(change->catalog));
    wait_for_others(change);
    const struct tn_catalog *keep = tn_catalog_ref(change->catalog); /* plans of the effects */
    tni_publish(db, change->catalog);
    change->catalog = NULL;
    for (size_t i = 0; i < change->effects_count && !tn_failed(st); i++)
        st = effect_after(db, &change->effects[i], true, err);
    tn_catalog_unref(keep);
    return st;
}

void tni_change_adopt(struct tni_change *change)
{
    struct tn_db *db = change->db;
    const struct tn_catalog *keep = tn_catalog_ref(change->catalog);
    tni_publish(db, change->catalog);
    change->catalog = NULL;
    for (size_t i = 0; i < change->effects_count; i++) {
        struct tn_err err = TN_ERR_INIT;
        enum tn_status st = effect_before(db, &change->effects[i], &err);
        if (!tn_failed(st))
            st = effect_after(db, &change->effects[i], false, &err);
        if (tn_failed(st) && st != TN_NOT_FOUND)
            tn_logf(TN_LOG_WARN, "sql", "statement of another process: version=%lld: %s",
                    (long long)tn_catalog_version(keep), err.message);
    }
    tn_catalog_unref(keep);
}

void tni_change_undo(struct tni_change *change)
{
    struct tn_db *db = change->db;
    struct tn_ast_stmt *stmt;
    struct tni_change undo;
    struct tn_parse_opts opts = {.is_identifiers_ksql = db->config.is_identifiers_ksql};
    if (!change->is_durable || !change->undo)
        return;
    struct tn_str text = tn_str_of(change->undo);
    if (tn_failed(tn_parse_statement(text, &opts, change->arena, &stmt, NULL)) ||
        tn_failed(
            tni_change_begin(db, db->catalog, change->session, change->arena, text, &undo, NULL)))
        return;
    if (!tn_failed(tni_change_apply(&undo, stmt, NULL)))
        (void)!tni_change_commit(&undo, NULL);
    tni_change_release(&undo);
}

/* ---- dispatch ---- */

bool tni_is_ddl(const struct tn_ast_stmt *stmt)
{
    switch (stmt->kind) {
    case TN_AS_CREATE_STREAM:
    case TN_AS_CREATE_TABLE:
    case TN_AS_CREATE_VIEW:
    case TN_AS_CREATE_SCHEMA:
    case TN_AS_CREATE_TYPE:
    case TN_AS_CREATE_SINK:
    case TN_AS_DROP:
    case TN_AS_ALTER:
    case TN_AS_PAUSE:
    case TN_AS_RESUME:
    case TN_AS_TERMINATE: return true;
    case TN_AS_INSERT: return stmt->insert->query->kind != TN_AQ_VALUES;
    default: return false;
    }
}

static enum tn_status apply_create_table(struct tni_change *change, const struct tn_ast_stmt *stmt,
                                         struct tn_err *err)
{
    if (stmt->create->query)
        return tni_apply_create_as(change, stmt, err);
    return tni_apply_declare(change, stmt, err);
}

enum tn_status tni_change_apply(struct tni_change *change, const struct tn_ast_stmt *stmt,
                                struct tn_err *err)
{
    switch (stmt->kind) {
    case TN_AS_CREATE_STREAM:
    case TN_AS_CREATE_TABLE: return apply_create_table(change, stmt, err);
    case TN_AS_CREATE_VIEW:
    case TN_AS_CREATE_SCHEMA:
    case TN_AS_CREATE_TYPE: return tni_apply_create_as(change, stmt, err);
    case TN_AS_CREATE_SINK: return tni_apply_create_sink(change, stmt, err);
    case TN_AS_INSERT: return tni_apply_insert_select(change, stmt, err);
    case TN_AS_DROP: return tni_apply_drop(change, stmt->drop, err);
    case TN_AS_ALTER: return tni_apply_alter(change, stmt->alter, err);
    default: return tni_apply_control(change, stmt, err);
    }
}
