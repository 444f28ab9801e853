/* DROP TABLE of a zone table: its files go with it when they are tarn's. Contract:
 * sql/zone_write.h.
 *
 * Removed is what the table log names, then the log, newest entry first: other objects below the
 * location are not ours. A crash in between leaves a log that names missing files, which is an
 * error when it is read, never a wrong answer. */
#include "sql/zone_write.h"

#include "connectors/object_url.h"
#include "connectors/table_log.h"
#include "sql/zone_files.h"

struct place {
    const struct tn_object *object;
    bool is_shared;
};

static bool find_shared(void *ctx, const struct tn_object *other)
{
    struct place *place = ctx;
    if (other->kind == TN_OBJ_ZONE && other != place->object) {
        const char *a = place->object->zone->location, *b = other->zone->location;
        size_t a_len = strlen(a), b_len = strlen(b);
        place->is_shared |= !strncmp(a, b, a_len < b_len ? a_len : b_len);
    }
    return !place->is_shared;
}

const char *tni_zone_drop_location(const struct tn_catalog *catalog,
                                   const struct tn_session *session, const struct tn_ast_stmt *stmt,
                                   struct tn_arena *arena)
{
    struct tni_bind bind;
    struct place place = {NULL, false};
    if (stmt->kind != TN_AS_DROP || stmt->drop->object != TN_AOB_TABLE)
        return NULL;
    tni_bind_init(&bind, arena, TN_RULES_QUERY, catalog, session, 0);
    if (tn_failed(tni_bind_object(&bind, stmt->drop->name, &place.object, NULL)) ||
        place.object->kind != TN_OBJ_ZONE || place.object->zone->is_external)
        return NULL;
    tn_catalog_each(catalog, find_shared, &place);
    return place.is_shared ? NULL : tn_arena_strdup(arena, place.object->zone->location);
}

/* Files of one entry of the log. TN_NOT_FOUND: there is none. */
static enum tn_status remove_entry_files(struct tn_object_store *store, int64_t version,
                                         struct tn_budget *budget, struct tn_arena *arena,
                                         struct tn_err *err)
{
    struct tn_table_entry entry;
    enum tn_status st = tn_table_log_get(store, TN_STR(""), version, arena, &entry, 0, err);
    for (uint32_t i = 0; st == TN_OK && i < entry.files_count; i++) {
        if (i % 64 == 0)
            TN_TRY(tn_budget_check(budget, err));
        if (!entry.files[i].is_removed)
            st = tn_object_remove(store, tn_arena_str(arena, entry.files[i].path).ptr, 0, err);
        if (st == TN_NOT_FOUND)
            st = TN_OK;
    }
    return st;
}

static enum tn_status remove_all(struct tn_object_store *store, struct tn_budget *budget,
                                 struct tn_err *err)
{
    struct tn_arena arena;
    int64_t version = 0;
    enum tn_status st = TN_OK;
    tn_arena_init(&arena, 0);
    while (st == TN_OK) {
        tn_arena_reset(&arena);
        st = remove_entry_files(store, version, budget, &arena, err);
        version += st == TN_OK;
    }
    tn_arena_release(&arena);
    if (st == TN_NOT_FOUND)
        st = TN_OK;
    while (!tn_failed(st) && version-- > 0) {
        char key[TN_OBJECT_KEY_MAX + 1];
        tn_table_checkpoint_key(TN_STR(""), version, key);
        if ((version + 1) % TN_TABLE_CHECKPOINT_ENTRIES == 0)
            TN_TRY(tn_object_remove(store, key, 0, err));
        tn_table_log_key(TN_STR(""), version, key);
        st = tn_object_remove(store, key, 0, err);
    }
    return tn_failed(st) ? st : TN_OK;
}

enum tn_status tni_zone_drop_files(struct tn_db *db, const char *location, struct tn_budget *budget,
                                   struct tn_err *err)
{
    struct tn_object_store *store = NULL;
    struct tn_err why = TN_ERR_INIT;
    if (!db->config.stores)
        return TN_OK;
    enum tn_status st = tn_object_store_open(db->config.stores, location, NULL, &store, &why);
    if (!tn_failed(st))
        st = remove_all(store, budget, &why);
    tn_object_store_close(store);
    tni_zones_forget(db->zones, location);
    if (!tn_failed(st))
        return TN_OK;
    return tn_err_set(err, st, "the table is dropped, but files below %s could not be removed: %s",
                      location, why.message);
}
