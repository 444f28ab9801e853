/* Catalog snapshots. Contract: sql/catalog.h, sql/catalog_int.h.
 *
 * A snapshot is five sorted arrays of references to immutable entries, so that a new version costs
 * one array copy and readers never lock. Objects and schemas are ordered by name without case
 * (exact spelling breaks ties under identifiers=ksql), queries by creation.
 */
#include "sql/catalog_int.h"

#include "connectors/sink.h"
#include "stream/base/mem.h"

struct entries {
    struct tni_entry **items;
    size_t count, cap;
};

struct tn_catalog {
    atomic_int refs;
    int64_t version;
    bool is_exact;
    uint32_t next_store;
    struct entries objects, queries, types, schemas, sinks;
};

struct tni_entry *tni_cat_entry_new(enum tni_entry_kind kind)
{
    struct tni_entry *entry = tn_alloc(sizeof *entry);
    entry->kind = kind;
    atomic_init(&entry->refs, 1);
    tn_arena_init(&entry->arena, 0);
    return entry;
}

void tni_cat_entry_unref(struct tni_entry *entry)
{
    if (!entry || atomic_fetch_sub(&entry->refs, 1) != 1)
        return;
    if (entry->kind == TNI_ENTRY_QUERY)
        tn_plan_unref(entry->query.plan);
    if (entry->kind == TNI_ENTRY_SINK)
        tn_sink_spec_unref(entry->sink.spec);
    tn_arena_release(&entry->arena);
    tn_free(entry);
}

/* Three-way name order: without case first, then exact spelling when `is_exact`. */
static int name_cmp(bool is_exact, struct tn_str a, struct tn_str b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int c = n ? strncasecmp(a.ptr, b.ptr, n) : 0;
    if (c)
        return c;
    if (a.len != b.len)
        return a.len < b.len ? -1 : 1;
    return is_exact ? tn_str_cmp(a, b) : 0;
}

/* System schemas are named without case in every mode. */
static bool is_system_schema(struct tn_str name)
{
    return (name.len > 7 && tn_str_eq_nocase((struct tn_str){name.ptr, 7}, TN_STR("system."))) ||
           tn_str_eq_nocase(name, TN_STR("system")) ||
           tn_str_eq_nocase(name, TN_STR("information_schema"));
}

static int object_cmp(const struct tn_catalog *catalog, const struct tn_object *object,
                      struct tn_str schema_name, struct tn_str name)
{
    int c = name_cmp(false, tn_str_of(object->schema_name), schema_name);
    if (c)
        return c;
    return name_cmp(catalog->is_exact && !is_system_schema(schema_name), tn_str_of(object->name),
                    name);
}

static bool entries_find_object(const struct tn_catalog *catalog, struct tn_str schema_name,
                                struct tn_str name, size_t *ret_at)
{
    size_t low = 0, high = catalog->objects.count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int c = object_cmp(catalog, &catalog->objects.items[mid]->object, schema_name, name);
        if (c == 0) {
            *ret_at = mid;
            return true;
        }
        if (c < 0)
            low = mid + 1;
        else
            high = mid;
    }
    *ret_at = low;
    return false;
}

static const char *entry_name(const struct tni_entry *entry)
{
    return entry->kind == TNI_ENTRY_QUERY  ? entry->query.id
           : entry->kind == TNI_ENTRY_SINK ? entry->sink.name
                                           : entry->name;
}

static bool entries_find_name(const struct entries *entries, bool is_exact, struct tn_str name,
                              size_t *ret_at)
{
    for (size_t i = 0; i < entries->count; i++)
        if (!name_cmp(is_exact, tn_str_of(entry_name(entries->items[i])), name)) {
            *ret_at = i;
            return true;
        }
    *ret_at = entries->count;
    return false;
}

static void entries_insert(struct entries *entries, size_t at, struct tni_entry *entry)
{
    if (entries->count == entries->cap) {
        entries->cap = entries->cap ? entries->cap * 2 : 16;
        entries->items = tn_realloc(entries->items, entries->cap * sizeof *entries->items);
    }
    memmove(entries->items + at + 1, entries->items + at,
            (entries->count - at) * sizeof *entries->items);
    entries->items[at] = entry;
    entries->count++;
}

static void entries_remove(struct entries *entries, size_t at)
{
    tni_cat_entry_unref(entries->items[at]);
    entries->count--;
    memmove(entries->items + at, entries->items + at + 1,
            (entries->count - at) * sizeof *entries->items);
}

static void entries_copy(struct entries *to, const struct entries *from)
{
    to->count = from->count;
    to->cap = from->count + 4;
    to->items = tn_alloc_array(to->cap, sizeof *to->items);
    for (size_t i = 0; i < from->count; i++) {
        to->items[i] = from->items[i];
        atomic_fetch_add(&to->items[i]->refs, 1);
    }
}

static void entries_release(struct entries *entries)
{
    for (size_t i = 0; i < entries->count; i++)
        tni_cat_entry_unref(entries->items[i]);
    tn_free(entries->items);
}

static struct entries *entries_of(struct tn_catalog *catalog, enum tni_entry_kind kind)
{
    switch (kind) {
    case TNI_ENTRY_OBJECT: return &catalog->objects;
    case TNI_ENTRY_QUERY: return &catalog->queries;
    case TNI_ENTRY_TYPE: return &catalog->types;
    case TNI_ENTRY_SINK: return &catalog->sinks;
    default: return &catalog->schemas;
    }
}

void tni_catalog_put(struct tn_catalog *catalog, struct tni_entry *entry)
{
    struct entries *entries = entries_of(catalog, entry->kind);
    size_t at;
    bool is_there;
    if (entry->kind == TNI_ENTRY_OBJECT)
        is_there = entries_find_object(catalog, tn_str_of(entry->object.schema_name),
                                       tn_str_of(entry->object.name), &at);
    else
        is_there = entries_find_name(entries, catalog->is_exact && entry->kind == TNI_ENTRY_TYPE,
                                     tn_str_of(entry_name(entry)), &at);
    if (is_there) {
        tni_cat_entry_unref(entries->items[at]);
        entries->items[at] = entry;
    } else {
        entries_insert(entries, at, entry);
    }
}

static void put_schema(struct tn_catalog *catalog, const char *name)
{
    struct tni_entry *entry = tni_cat_entry_new(TNI_ENTRY_SCHEMA);
    entry->name = tn_arena_strdup(&entry->arena, name);
    tni_catalog_put(catalog, entry);
}

struct tn_catalog *tni_catalog_new(bool is_exact, const struct tn_object *const *system,
                                   size_t system_count)
{
    struct tn_catalog *catalog = tn_alloc(sizeof *catalog);
    atomic_init(&catalog->refs, 1);
    catalog->is_exact = is_exact;
    catalog->next_store = 1;
    put_schema(catalog, "default");
    put_schema(catalog, "information_schema");
    put_schema(catalog, "system");
    for (size_t i = 0; i < system_count; i++) {
        struct tni_entry *entry = tni_cat_entry_new(TNI_ENTRY_OBJECT);
        entry->object = *system[i];
        tni_catalog_put(catalog, entry);
    }
    return catalog;
}

struct tn_catalog *tni_catalog_clone(const struct tn_catalog *from)
{
    struct tn_catalog *catalog = tn_alloc(sizeof *catalog);
    atomic_init(&catalog->refs, 1);
    catalog->is_exact = from->is_exact;
    catalog->next_store = from->next_store;
    catalog->version = from->version + 1;
    entries_copy(&catalog->objects, &from->objects);
    entries_copy(&catalog->queries, &from->queries);
    entries_copy(&catalog->types, &from->types);
    entries_copy(&catalog->schemas, &from->schemas);
    entries_copy(&catalog->sinks, &from->sinks);
    return catalog;
}

const struct tn_catalog *tn_catalog_ref(const struct tn_catalog *catalog)
{
    atomic_fetch_add(&((struct tn_catalog *)(uintptr_t)catalog)->refs, 1);
    return catalog;
}

void tn_catalog_unref(const struct tn_catalog *catalog)
{
    struct tn_catalog *mine = (struct tn_catalog *)(uintptr_t)catalog;
    if (!mine || atomic_fetch_sub(&mine->refs, 1) != 1)
        return;
    entries_release(&mine->objects);
    entries_release(&mine->queries);
    entries_release(&mine->types);
    entries_release(&mine->schemas);
    entries_release(&mine->sinks);
    tn_free(mine);
}

void tni_catalog_drop_object(struct tn_catalog *catalog, struct tn_str schema_name,
                             struct tn_str name)
{
    size_t at;
    if (entries_find_object(catalog, schema_name, name, &at))
        entries_remove(&catalog->objects, at);
}

void tni_catalog_drop_query(struct tn_catalog *catalog, struct tn_str id)
{
    size_t at;
    if (entries_find_name(&catalog->queries, false, id, &at))
        entries_remove(&catalog->queries, at);
}

void tni_catalog_drop_type(struct tn_catalog *catalog, struct tn_str name)
{
    size_t at;
    if (entries_find_name(&catalog->types, catalog->is_exact, name, &at))
        entries_remove(&catalog->types, at);
}

void tni_catalog_drop_sink(struct tn_catalog *catalog, struct tn_str name)
{
    size_t at;
    if (entries_find_name(&catalog->sinks, false, name, &at))
        entries_remove(&catalog->sinks, at);
}

void tni_catalog_drop_schema(struct tn_catalog *catalog, struct tn_str name)
{
    size_t at;
    if (entries_find_name(&catalog->schemas, false, name, &at))
        entries_remove(&catalog->schemas, at);
}

void tni_catalog_set_version(struct tn_catalog *catalog, int64_t version)
{
    catalog->version = version;
}

uint32_t tni_catalog_next_store(const struct tn_catalog *catalog)
{
    return catalog->next_store;
}

void tni_catalog_set_next_store(struct tn_catalog *catalog, uint32_t next)
{
    TN_ASSERT(next >= catalog->next_store);
    catalog->next_store = next;
}

const struct tn_object *tn_catalog_find(const struct tn_catalog *catalog, struct tn_str schema_name,
                                        struct tn_str name)
{
    size_t at;
    if (!entries_find_object(catalog, schema_name, name, &at))
        return NULL;
    return &catalog->objects.items[at]->object;
}

int64_t tn_catalog_version(const struct tn_catalog *catalog)
{
    return catalog->version;
}

bool tn_catalog_is_exact(const struct tn_catalog *catalog)
{
    return catalog->is_exact;
}

bool tn_catalog_name_eq(const struct tn_catalog *catalog, struct tn_str a, struct tn_str b)
{
    return catalog->is_exact ? tn_str_eq(a, b) : tn_str_eq_nocase(a, b);
}

const struct tn_object *tn_catalog_at(const struct tn_catalog *catalog, size_t i)
{
    return i < catalog->objects.count ? &catalog->objects.items[i]->object : NULL;
}

void tn_catalog_each(const struct tn_catalog *catalog,
                     bool (*each)(void *ctx, const struct tn_object *object), void *ctx)
{
    for (size_t i = 0; i < catalog->objects.count; i++)
        if (!each(ctx, &catalog->objects.items[i]->object))
            return;
}

void tn_catalog_each_query(const struct tn_catalog *catalog,
                           bool (*each)(void *ctx, const struct tn_catalog_query *query), void *ctx)
{
    for (size_t i = 0; i < catalog->queries.count; i++)
        if (!each(ctx, &catalog->queries.items[i]->query))
            return;
}

void tn_catalog_each_type(const struct tn_catalog *catalog,
                          bool (*each)(void *ctx, const char *name, const struct tn_type *type),
                          void *ctx)
{
    for (size_t i = 0; i < catalog->types.count; i++)
        if (!each(ctx, catalog->types.items[i]->name, catalog->types.items[i]->type))
            return;
}

void tn_catalog_each_schema(const struct tn_catalog *catalog,
                            bool (*each)(void *ctx, const char *name), void *ctx)
{
    for (size_t i = 0; i < catalog->schemas.count; i++)
        if (!each(ctx, catalog->schemas.items[i]->name))
            return;
}

const struct tn_type *tn_catalog_type(const struct tn_catalog *catalog, struct tn_str name)
{
    size_t at;
    if (!entries_find_name(&catalog->types, catalog->is_exact, name, &at))
        return NULL;
    return catalog->types.items[at]->type;
}

bool tn_catalog_has_schema(const struct tn_catalog *catalog, struct tn_str name)
{
    size_t at;
    return entries_find_name(&catalog->schemas, false, name, &at);
}

const char *tn_catalog_schema_location(const struct tn_catalog *catalog, struct tn_str name)
{
    size_t at;
    return entries_find_name(&catalog->schemas, false, name, &at)
               ? catalog->schemas.items[at]->location
               : NULL;
}

const struct tn_catalog_query *tn_catalog_query(const struct tn_catalog *catalog, struct tn_str id)
{
    size_t at;
    if (!entries_find_name(&catalog->queries, false, id, &at))
        return NULL;
    return &catalog->queries.items[at]->query;
}

const struct tn_catalog_sink *tn_catalog_sink(const struct tn_catalog *catalog, struct tn_str name)
{
    size_t at;
    if (!entries_find_name(&catalog->sinks, false, name, &at))
        return NULL;
    return &catalog->sinks.items[at]->sink;
}

const struct tn_catalog_sink *tn_catalog_sink_at(const struct tn_catalog *catalog, size_t i)
{
    return i < catalog->sinks.count ? &catalog->sinks.items[i]->sink : NULL;
}

const struct tn_catalog_query *tni_catalog_query_at(const struct tn_catalog *catalog, size_t i)
{
    return i < catalog->queries.count ? &catalog->queries.items[i]->query : NULL;
}

const struct tn_catalog_query *tni_catalog_reader(const struct tn_catalog *catalog,
                                                  struct tn_str name, const char *except)
{
    for (size_t i = 0; i < catalog->queries.count; i++) {
        const struct tn_catalog_query *query = &catalog->queries.items[i]->query;
        if (query->kind == TN_QUERY_INTERNAL || (except && !strcmp(query->id, except)))
            continue;
        for (uint32_t j = 0; j < query->sources_count; j++)
            if (tn_catalog_name_eq(catalog, tn_str_of(query->sources[j]), name))
                return query;
    }
    return NULL;
}

const struct tn_schema *tni_schema_copy(struct tn_arena *arena, const struct tn_schema *schema)
{
    struct tn_field *fields = TN_ARENA_ARRAY(arena, struct tn_field, schema->fields_count + 1);
    for (uint32_t i = 0; i < schema->fields_count; i++) {
        fields[i].name = tn_arena_str(arena, schema->fields[i].name);
        fields[i].type = tn_type_copy(arena, schema->fields[i].type);
    }
    struct tn_schema *copy = TN_ARENA_NEW(arena, struct tn_schema);
    copy->fields_count = schema->fields_count;
    copy->fields = fields;
    return copy;
}

static const char *text_copy(struct tn_arena *arena, const char *text)
{
    return text ? tn_arena_strdup(arena, text) : NULL;
}

void tni_decl_copy(struct tn_arena *arena, const struct tn_topic_decl *from,
                   struct tn_topic_decl *ret_decl)
{
    *ret_decl = *from;
    ret_decl->topic = text_copy(arena, from->topic);
    ret_decl->timestamp_format = text_copy(arena, from->timestamp_format);
    ret_decl->schema = tni_schema_copy(arena, from->schema);
}
