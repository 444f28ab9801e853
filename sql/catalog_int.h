/* Making catalog versions: used by sql/db*.c only. A version is built from the last one by adding
 * and removing reference-counted entries, then never changes.
 *
 * Ownership: an entry owns its arena and everything its object points to; a catalog holds one
 * reference per entry.
 * @thread the writer holds the database lock
 */
#ifndef TN_SQL_CATALOG_INT_H
#define TN_SQL_CATALOG_INT_H

#include <stdatomic.h>
#include "sql/catalog.h"

enum tni_entry_kind {
    TNI_ENTRY_OBJECT,
    TNI_ENTRY_QUERY,
    TNI_ENTRY_TYPE,
    TNI_ENTRY_SCHEMA,
    TNI_ENTRY_SINK
};

struct tni_entry {
    enum tni_entry_kind kind;
    atomic_int refs;
    struct tn_arena arena;
    struct tn_object object;       /* OBJECT */
    struct tn_catalog_query query; /* QUERY; query.plan is a reference owned by the entry */
    struct tn_catalog_sink sink;   /* SINK; sink.spec is a reference owned by the entry */
    const char *name;              /* TYPE, SCHEMA */
    const char *location;          /* SCHEMA: URL, may be NULL */
    const struct tn_type *type;    /* TYPE */
};

struct tni_entry *tni_cat_entry_new(enum tni_entry_kind kind);
void tni_cat_entry_unref(struct tni_entry *entry);

/* Version 0: schemas `default`, `system`, `information_schema` and the system tables. */
struct tn_catalog *tni_catalog_new(bool is_exact, const struct tn_object *const *system,
                                   size_t system_count);
/* A copy that may be changed, one version up, with one reference. */
struct tn_catalog *tni_catalog_clone(const struct tn_catalog *from);
/* Takes over the caller's reference; an entry of the same kind and name is replaced. */
void tni_catalog_put(struct tn_catalog *catalog, struct tni_entry *entry);
void tni_catalog_drop_object(struct tn_catalog *catalog, struct tn_str schema_name,
                             struct tn_str name);
void tni_catalog_drop_query(struct tn_catalog *catalog, struct tn_str id);
void tni_catalog_drop_sink(struct tn_catalog *catalog, struct tn_str name);
void tni_catalog_drop_type(struct tn_catalog *catalog, struct tn_str name);
void tni_catalog_drop_schema(struct tn_catalog *catalog, struct tn_str name);
/* Wanted state: a catalog of its own whose next version follows `version`. */
void tni_catalog_set_version(struct tn_catalog *catalog, int64_t version);
uint32_t tni_catalog_next_store(const struct tn_catalog *catalog);
void tni_catalog_set_next_store(struct tn_catalog *catalog, uint32_t next);
/* First query that reads object `name`, other than `except`; NULL = none. */
const struct tn_catalog_query *tni_catalog_reader(const struct tn_catalog *catalog,
                                                  struct tn_str name, const char *except);

const struct tn_catalog_query *tni_catalog_query_at(const struct tn_catalog *catalog, size_t i);

/* Deep copies into an entry's arena. */
const struct tn_schema *tni_schema_copy(struct tn_arena *arena, const struct tn_schema *schema);
void tni_decl_copy(struct tn_arena *arena, const struct tn_topic_decl *from,
                   struct tn_topic_decl *ret_decl);

#endif
