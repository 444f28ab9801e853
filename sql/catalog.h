/* The catalog: schemas, streams, tables, views, types, persistent queries. Versioned: each DDL
 * makes version n + 1, written durably before it is visible. Readers take an immutable snapshot
 * (reference-counted) and bind against it.
 *
 * Names keep the declared spelling and compare without case (design: README "Names"). Under
 * identifiers=ksql, names are compared exactly (the lexer has folded unquoted ones).
 *
 * @thread any for a snapshot; tn_catalog_* writers are serialised by the database lock in sql/db.c
 */
#ifndef TN_SQL_CATALOG_H
#define TN_SQL_CATALOG_H

#include "stream/plan.h"

enum tn_object_kind {
    TN_OBJ_STREAM, /* decl; rows of a log */
    TN_OBJ_TABLE, /* declared TABLE over a topic (query scans fold the topic unless materialised) */
    TN_OBJ_KTABLE, /* result of CREATE TABLE AS: a store of query_id */
    TN_OBJ_VIEW,   /* text, bound on use */
    TN_OBJ_ZONE,   /* files of an object store: zone (sql/zone.h) */
    TN_OBJ_SYSTEM  /* system.*, information_schema.*: rows made on demand */
};

struct tn_system_table; /* sql/system_tables.h */
struct tn_zone_table;   /* sql/zone.h */

struct tn_object {
    enum tn_object_kind kind;
    const char *schema_name;        /* "default" */
    const char *name;               /* declared spelling */
    const struct tn_schema *schema; /* columns a SELECT * shows */
    struct tn_topic_decl decl;      /* STREAM, TABLE, KTABLE (its result topic) */
    bool is_source;                 /* CREATE SOURCE … */
    const char *query_id;    /* query that fills it (CSAS, CTAS), NULL for declared ones; for a
                                materialised declared table the internal query of its store */
    const char *statement;   /* text as given */
    const char *text;        /* VIEW: the query */
    const char *text_schema; /* VIEW: session schema its names are resolved in */
    const char *ingest_path, *ingest_text; /* HTTP; NULL = default */
    int ingest_status;                     /* 0 = 200 */
    const char *ingest_defaults; /* JSON object of members added to events that lack them; NULL */
    const char *ingest_event;    /* text of server-sent events with {member}s; NULL = the value */
    const struct tn_system_table *system;
    const struct tn_zone_table *zone; /* ZONE */
    int64_t created_ms;
};

struct tn_catalog; /* immutable snapshot */

const struct tn_object *tn_catalog_find(const struct tn_catalog *catalog, struct tn_str schema_name,
                                        struct tn_str name);
int64_t tn_catalog_version(const struct tn_catalog *catalog);
/* Objects in (schema, name) order. */
void tn_catalog_each(const struct tn_catalog *catalog,
                     bool (*each)(void *ctx, const struct tn_object *object), void *ctx);
/* Named type of CREATE TYPE; NULL when absent. */
const struct tn_type *tn_catalog_type(const struct tn_catalog *catalog, struct tn_str name);
bool tn_catalog_has_schema(const struct tn_catalog *catalog, struct tn_str name);
/* Catalogs clients name: tarn and hive, which are one, and system. */
bool tn_catalog_is_name(struct tn_str name);
/* The schema that `schema` of the catalog named `catalog_name` is, in objects' schema_name: itself,
 * or "system.jdbc" for jdbc of system. ptr NULL: there is none. */
struct tn_str tn_catalog_schema(const struct tn_catalog *catalog, struct tn_str catalog_name,
                                struct tn_str schema);
/* Schemas of a catalog, in order of names; "jdbc", not "system.jdbc". */
void tn_catalog_each_schema_of(const struct tn_catalog *catalog, struct tn_str catalog_name,
                               bool (*each)(void *ctx, const char *name), void *ctx);
/* Is the object in that catalog? ret_schema: the name of its schema there. */
bool tn_catalog_object_in(const struct tn_object *object, struct tn_str catalog_name,
                          const char **ret_schema);
/* URL of CREATE SCHEMA … WITH (location=…); NULL = none was given, or no such schema. */
const char *tn_catalog_schema_location(const struct tn_catalog *catalog, struct tn_str name);

/* One persistent query. INTERNAL: keeps the store of a declared TABLE so that queries see it. */
enum tn_query_kind { TN_QUERY_CSAS, TN_QUERY_CTAS, TN_QUERY_INSERT, TN_QUERY_INTERNAL };

struct tn_catalog_query {
    enum tn_query_kind kind;
    const char *id;
    const char *statement;  /* text as given */
    const char *sink_name;  /* object it fills */
    struct tn_plan *plan;   /* borrowed from the snapshot */
    uint32_t sources_count; /* objects it reads, by name in schema "default" */
    const char *const *sources;
    const char *changelog_why; /* why state and results need two topics; NULL = one serves both */
    bool is_paused;
    int64_t created_ms;
};
/* In order of creation. */
void tn_catalog_each_query(const struct tn_catalog *catalog,
                           bool (*each)(void *ctx, const struct tn_catalog_query *query),
                           void *ctx);
const struct tn_catalog_query *tn_catalog_query(const struct tn_catalog *catalog, struct tn_str id);
/* Object at position i in (schema, name) order; NULL past the end. */
const struct tn_object *tn_catalog_at(const struct tn_catalog *catalog, size_t i);
void tn_catalog_each_type(const struct tn_catalog *catalog,
                          bool (*each)(void *ctx, const char *name, const struct tn_type *type),
                          void *ctx);
void tn_catalog_each_schema(const struct tn_catalog *catalog,
                            bool (*each)(void *ctx, const char *name), void *ctx);
/* identifiers=ksql: names are compared exactly. */
bool tn_catalog_is_exact(const struct tn_catalog *catalog);
bool tn_catalog_name_eq(const struct tn_catalog *catalog, struct tn_str a, struct tn_str b);

/* One sink (sql/sink_ddl.c): what CREATE SINK made of its statement. */
struct tn_sink_spec; /* connectors/sink.h */
struct tn_catalog_sink {
    const char *name;                      /* declared spelling; compares without case */
    const char *statement;                 /* text as given */
    const char *source;                    /* stream or table of schema "default" */
    const char *table_schema, *table_name; /* zone table it writes */
    struct tn_sink_spec *spec;             /* borrowed from the snapshot */
    int64_t created_ms;
};
const struct tn_catalog_sink *tn_catalog_sink(const struct tn_catalog *catalog, struct tn_str name);
/* In order of creation; NULL past the end. */
const struct tn_catalog_sink *tn_catalog_sink_at(const struct tn_catalog *catalog, size_t i);

const struct tn_catalog *tn_catalog_ref(const struct tn_catalog *catalog);
void tn_catalog_unref(const struct tn_catalog *catalog); /* NULL is a no-op */

#endif
