/* What ingest and event streams may address: objects of schema `default` in the catalog. Declared
 * streams and tables take events; what a query fills, and CREATE SOURCE objects, can only be read.
 * @thread any (catalog snapshots)
 */
#include "sql/http_sql_int.h"

struct find_path {
    struct tn_str path;
    const struct tn_object *found;
};

static bool match_path(void *ctx, const struct tn_object *object)
{
    struct find_path *find = ctx;
    if (object->ingest_path && tn_str_eq(tn_str_of(object->ingest_path), find->path))
        find->found = object;
    return !find->found;
}

static bool has_topic(const struct tn_object *object)
{
    return object->kind == TN_OBJ_STREAM || object->kind == TN_OBJ_TABLE ||
           object->kind == TN_OBJ_KTABLE;
}

struct find_near {
    const char *names[256];
    size_t count;
};

static bool collect_name(void *ctx, const struct tn_object *object)
{
    struct find_near *near = ctx;
    if (has_topic(object) && near->count < 256)
        near->names[near->count++] = object->name;
    return true;
}

static enum tn_status not_found(const struct tn_catalog *catalog, struct tn_str name, bool is_path,
                                struct tn_err *err)
{
    int len = (int)(name.len < 100 ? name.len : 100);
    if (is_path)
        return tn_err_set(err, TN_E_NAME, "there is nothing at '%.*s'", len, name.ptr);
    struct find_near near = {.count = 0};
    enum tn_status st = tn_err_set(err, TN_E_NAME, "there is no stream '%.*s'", len, name.ptr);
    tn_catalog_each(catalog, collect_name, &near);
    const char *nearest = tn_str_nearest(name, near.names, near.count);
    if (nearest)
        tn_err_hint(err, "did you mean '%s'?", nearest);
    return st;
}

static const char *refusal_of(const struct tn_object *object)
{
    if (object->kind == TN_OBJ_KTABLE || (object->kind == TN_OBJ_STREAM && object->query_id))
        return "a query fills it";
    return object->is_source ? "it was declared with CREATE SOURCE" : NULL;
}

static enum tn_status resolver_find(struct tn_ingest_resolver *base, struct tn_str name,
                                    bool is_path, struct tn_ingest_target *ret_target,
                                    struct tn_err *err)
{
    struct tni_resolver *resolver = (struct tni_resolver *)base;
    const struct tn_catalog *catalog = tn_db_catalog(resolver->db);
    struct find_path find = {name, NULL};
    if (is_path)
        tn_catalog_each(catalog, match_path, &find);
    else
        find.found = tn_catalog_find(catalog, TN_STR("default"), name);
    const struct tn_object *object = find.found;
    if (!object || !has_topic(object)) {
        enum tn_status st = not_found(catalog, name, is_path, err);
        tn_catalog_unref(catalog);
        return st;
    }
    *ret_target = (struct tn_ingest_target){.name = object->name,
                                            .decl = &object->decl,
                                            .reply_text = object->ingest_text,
                                            .reply_status = object->ingest_status,
                                            .event_text = object->ingest_event,
                                            .defaults = object->ingest_defaults,
                                            .is_ingest_path = object->ingest_path != NULL,
                                            .refusal = refusal_of(object),
                                            .pin = catalog};
    return TN_OK;
}

static void resolver_release(struct tn_ingest_resolver *base, struct tn_ingest_target *target)
{
    (void)base;
    tn_catalog_unref(target->pin);
    target->pin = NULL;
}

static int64_t resolver_version(struct tn_ingest_resolver *base)
{
    struct tni_resolver *resolver = (struct tni_resolver *)base;
    const struct tn_catalog *catalog = tn_db_catalog(resolver->db);
    int64_t version = tn_catalog_version(catalog);
    tn_catalog_unref(catalog);
    return version;
}

struct each_name {
    void (*each)(void *ctx, const char *name);
    void *ctx;
};

static bool visit_path(void *ctx, const struct tn_object *object)
{
    struct each_name *each = ctx;
    if (object->ingest_path && has_topic(object))
        each->each(each->ctx, object->name);
    return true;
}

static void resolver_each(struct tn_ingest_resolver *base,
                          void (*each)(void *ctx, const char *name), void *ctx)
{
    struct tni_resolver *resolver = (struct tni_resolver *)base;
    const struct tn_catalog *catalog = tn_db_catalog(resolver->db);
    struct each_name visit = {each, ctx};
    tn_catalog_each(catalog, visit_path, &visit);
    tn_catalog_unref(catalog);
}

void tni_sql_resolver_init(struct tni_resolver *resolver, struct tn_db *db)
{
    resolver->base = (struct tn_ingest_resolver){resolver_version, resolver_find, resolver_release,
                                                 resolver_each};
    resolver->db = db;
}
